"""How good the predictions of a model are, as a table shows it."""

from __future__ import annotations

from typing import Any

SHOWN = 5  # labels in a message


def scores_of(model: Any, X: Any, y: Any, positive: str | None = None) -> dict[str, str]:
    """Return how good the predictions of an estimator are, of maps at all places.

    Of what is neither a classifier nor a regressor it is what ``score`` says.

    Parameters
    ----------
    model : fitted estimator
    X, y : ndarray
    positive : str, default=None
        The class of two that sensitivity is about; None is the last one.

    Raises
    ------
    ValueError
        If labels are not what the model has learned, or there is no such class of two.
    """
    import numpy as np
    from sklearn.base import is_classifier, is_regressor
    from sklearn.metrics import r2_score, root_mean_squared_error

    check_labels(model, y)
    if is_classifier(model):
        return class_scores(model, X, y, positive)
    if not is_regressor(model):  # it knows itself how good it is
        return {"score": f"{model.score(X, y):.4f}"}
    y, predicted = y.ravel(), np.ravel(model.predict(X))
    return {
        "R2": f"{r2_score(y, predicted):.4f}",
        "root mean squared error": f"{root_mean_squared_error(y, predicted):.4g}",
    }


def check_labels(model: Any, y: Any) -> None:
    """Raise a ValueError if labels are not what a model is to predict, or has learned."""
    import numpy as np
    from sklearn.base import is_regressor

    name, dense = type(model).__name__, getattr(model, "_dense", False)
    if dense != (y.ndim > 1):
        wanted, seen = ("maps", "one label a sample")[:: 1 if dense else -1]
        raise ValueError(f"{name} predicts {wanted}, but the data has {seen}.")
    if is_regressor(model) and y.dtype.kind not in "biuf":
        label = str(y.flat[0])
        raise ValueError(f"{name} predicts numbers, but there are labels such as {label!r}.")
    known: Any = getattr(model, "classes_", None)
    # scikit-learn would count them as errors, and a wrong column would look like a bad model.
    unknown = [] if known is None else sorted({*np.unique(y).tolist()} - {*known.tolist()}, key=str)
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise ValueError(
            f"The data has labels {unknown[:SHOWN]}{more} that are not among the classes "
            f"{known.tolist()} of the model."
        )


def class_scores(model: Any, X: Any, y: Any, positive: str | None) -> dict[str, str]:
    """Return how good predicted classes are."""
    import numpy as np

    from ..studies.limited_data import score

    y, predicted, dense = y.ravel(), np.ravel(model.predict(X)), y.ndim > 1
    # As a study scores, so that one number has one meaning everywhere.
    scores = score(None if dense else model, X, y, predicted, model.classes_)
    shown = {
        "accuracy": scores["accuracy"],
        "balanced accuracy": scores["balanced_accuracy"],
    }
    classes = sorted(model.classes_.tolist(), key=lambda label: str(label) == positive)
    if positive is not None and (len(classes) != 2 or str(classes[-1]) != positive):
        raise ValueError(f"--positive must be one of two classes, got {positive!r} of {classes}.")
    if len(classes) == 2:  # of which the last one is positive
        for name, label in zip(("specificity", "sensitivity"), classes, strict=True):
            if label in y:
                shown[f"{name}, of {label}"] = (predicted[y == label] == label).mean()
    percent = {name: f"{100 * share:.2f} %" for name, share in shown.items()}
    return percent if dense else {**percent, "log loss": f"{scores['log_loss']:.4g}"}
