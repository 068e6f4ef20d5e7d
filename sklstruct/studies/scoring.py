"""How good one fitted model is, as a study scores its fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .tasks import check_positive, task_of

SHOWN = 5  # labels in a message


def score_model(model: Any, X: Any, y: Any, positive: Any = None) -> dict[str, float]:
    """Return how good the predictions of a fitted model are, by the metrics of a study.

    Parameters
    ----------
    model : fitted estimator
        A classifier, a regressor, or an estimator of maps.
    X : array-like, shape (n_samples, ...)
        Samples, each of which is read once.
    y : array-like, shape (n_samples,) or (n_samples, *spatial)
        Labels, values, or maps of them.
    positive : label, default=None
        The class of two that sensitivity and AUC are about; None is the last one.

    Returns
    -------
    scores : dict of float
        Metrics by name, those that there are.

    Raises
    ------
    TypeError, ValueError
        If y is not what the model predicts or has learned, or there is no such class of two.

    See Also
    --------
    Study : Many fits on many splits.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import score_model
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> scores = score_model(GaussianNB().fit(X[:400], y[:400]), X[400:], y[400:])
    >>> round(scores["accuracy"], 2), round(scores["auc"], 2)
    (0.96, 0.99)
    """
    task = task_of(y, {type(model).__name__: model})
    known = getattr(model, "classes_", None)
    if known is not None and len(task.classes):
        # Else they would count as errors, and a wrong column would look like a bad model.
        if unknown := sorted({*task.classes.tolist()} - {*known.tolist()}, key=str):
            more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
            raise ValueError(
                f"y has labels {unknown[:SHOWN]}{more} that are not among the classes "
                f"{known.tolist()} of the model."
            )
        chosen = {"classes": known, "positive": check_positive(positive, known)}
        task = replace(task, **chosen)  # type: ignore[type-var]
    scores = task.score(task.predict(model, X, y))
    return {name: scores[name] for name in task.measures if not np.isnan(scores[name])}
