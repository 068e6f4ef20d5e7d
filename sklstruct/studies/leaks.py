"""Whether estimators know answers that they were not taught."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from ..compat import num_samples
from ..threads import one_blas_thread
from .data import is_ragged, taken
from .fitting import group_params, noted, seeded
from .inference import exchange_test
from .metrics import Array, Outcome
from .splits import estimator_seed
from .tasks import Classes, ClassMaps, ScoredMaps, Task, task_of

LEAKS = 0.01  # p of what happens to honest estimators once in a hundred times
N_PERMUTATIONS = 9999


def find_leaks(
    estimators: Mapping[str, Any],
    X: Any,
    y: Any,
    groups: Any = None,
    *,
    random_state: int = 0,
) -> pd.DataFrame:
    r"""Teach estimators wrong answers, and see whether they know the right ones.

    Half of the subjects are held out, and then the other half.  Training labels are exchanged (of
    two classes each for the other, of C classes each for the next one; of values y each for
    :math:`2 \bar y - y`), so that what learns from its training part alone gives answers that are
    as wrong as those that it was taught.  What gives the right ones has them from elsewhere: from
    names of files, from a table of labels, from former fits.  For the sake of the last, other
    clones are fitted on the right answers of both halves before, and thrown away.

    The test compares, subject by subject, whether predictions agree more with the truth than with
    what would follow from the exchange.  It does not see that a sample is there twice, nor that a
    subject is on both sides: that is checked when a study reads its data.

    Parameters
    ----------
    estimators : dict
        Estimators by label, all for one task.
    X : array-like, shape (n, ...)
        As the estimators take it.
    y : array-like, shape (n,), or maps
    groups : array-like, shape (n,), default=None
        Subjects; None is one a sample.
    random_state : int, default=0

    Returns
    -------
    table : DataFrame
        One row an estimator, with the columns estimator, metric (the main one of the task), taught
        (the metric, by what it was taught), truth (the metric, by the truth), p (of exchanges, one-
        sided) and leaks (whether it is below 0.01).

    Raises
    ------
    TypeError, ValueError
        As ``task_of`` does; or if maps are judged by their estimators alone.

    See Also
    --------
    sklstruct.io.check_leakage : Subjects and images on both sides of a split.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import find_leaks
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> class Knows(GaussianNB):
    ...     def predict(self, X_test):
    ...         return y[(X_test[:, None] == X).all(axis=2).argmax(axis=1)]
    >>> find_leaks({"honest": GaussianNB(), "leaking": Knows()}, X, y).round(2)
      estimator             metric  taught  truth    p  leaks
    0    honest  balanced_accuracy    0.93   0.07  1.0  False
    1   leaking  balanced_accuracy    0.00   1.00  0.0   True
    """
    y = y if is_ragged(y) else np.asarray(y)
    task = task_of(y, estimators)
    if isinstance(task, ScoredMaps):
        raise ValueError("find_leaks needs predictions of classes, values or maps of them.")
    n = num_samples(X)
    subject = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    folds = StratifiedGroupKFold if isinstance(task, Classes) else GroupKFold
    halves = folds(2, shuffle=True, random_state=random_state)
    strata = y if isinstance(task, Classes) else np.zeros(n)
    splits = list(halves.split(np.zeros(n), strata, subject))
    rows = []
    for label, estimator in estimators.items():
        pairs: dict[Any, tuple[Outcome, Outcome]] = {}
        note = f"Raised by the estimator {label!r} where it was taught wrong answers."
        with noted(note), one_blas_thread():
            for number, (train, test) in enumerate(splits):
                seed = estimator_seed(random_state, number)
                # Whichever answers are kept of what is taught twice, the first ones or the last.
                for half in (train, test):
                    fitted(estimator, X, taken(y, half), half, subject, seed)
                wrong = exchange(task, y, train)
                model = fitted(estimator, X, taken(wrong, train), train, subject, seed)
                pairs[number, label] = tuple(  # type: ignore[assignment]
                    task.outcome(
                        task.predict(model, taken(X, test), taken(answers, test)),
                        *(test, subject[test]),
                    )
                    for answers in (y, wrong)
                )
        measure = task.measures[task.main]
        truth, taught = (
            float(np.mean([measure(pair[side])[0] for pair in pairs.values()])) for side in (0, 1)
        )
        p = exchange_test(pairs, measure, N_PERMUTATIONS, random_state, greater=True)
        rows.append([label, task.main, taught, truth, p, p < LEAKS])
    names = ["estimator", "metric", "taught", "truth", "p", "leaks"]
    return pd.DataFrame(rows, columns=names)


def fitted(estimator: Any, X: Any, y: Any, rows: Array, subject: Array, seed: int) -> Any:
    """Return a fresh clone that has learned from some rows."""
    model = seeded(clone(estimator), seed)
    return model.fit(taken(X, rows), y, **group_params(model, subject[rows]))


def exchange(task: Task, y: Any, train: Array) -> Any:
    """Return wrong answers: another class for each, or values on the other side of their mean."""
    if isinstance(task, ClassMaps):
        return [next_of(task.classes, np.asarray(one)) for one in y]
    if isinstance(task, Classes):
        return next_of(task.classes, np.asarray(y))
    parts = [np.asarray(one, np.float64) for one in y]
    mean = np.nanmean(np.concatenate([parts[row].ravel() for row in train]))
    wrong = [2 * mean - one for one in parts]
    return np.array(wrong) if task.name == "values" else wrong


def next_of(classes: Array, labels: Array) -> Array:
    """Return the next class of each label, after the last one the first."""
    out = labels.copy()
    for label, after in zip(classes, np.roll(classes, -1), strict=True):
        out[labels == label] = after
    return out
