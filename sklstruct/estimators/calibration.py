"""Classifiers that choose on samples held out: which candidate is best, how sure it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

Array = NDArray[Any]
Labels = NDArray[np.intp]

MAX_FOLDS = 5
ENOUGH = 2000  # samples held out: no further fold is needed to find a number or two
TEMPERATURES = 0.05, 20.0  # at the lower end a margin of 1 is certain, whatever the folds say
TIE = 1e-7  # losses that differ by less were found by the same predictions
DIGEST = 16  # bytes; two samples of a hundred thousand have the same one once in 10^28 times


class DistinctRows(NamedTuple):
    """Row numbers of distinct samples, the numbers of their classes, their weights, the classes."""

    rows: Labels
    codes: Labels
    weight: Array
    classes: Array


class Distinct(NamedTuple):
    """Distinct samples, the numbers of their classes, their weights, and the classes."""

    X: Array
    codes: Labels
    weight: Array
    classes: Array


def distinct_samples(X: Array, y: Array, sample_weight: Any, class_weight: Any) -> Distinct:
    """Return each sample once, with its weights summed, in an order that their values decide.

    So copies of a sample never lie on both sides of a fold, unless their labels differ: then
    each label has a sample of its own.  And neither the order of the samples nor the difference
    between a weight and a repetition matters.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
    y : ndarray, shape (n,)
    sample_weight : array-like, shape (n,), or None
        Not negative; samples of weight 0 are left out.
    class_weight : "balanced", dict or None
        Factors on the weights of the samples of each class; classes of factor 0 are left out.

    Returns
    -------
    distinct : Distinct

    Raises
    ------
    ValueError
        If the weights are not valid, or leave less than two classes.
    """
    rows, codes, weight, classes = distinct_rows(X, y, sample_weight, class_weight)
    return Distinct(X[rows], codes, weight, classes)


def distinct_rows(X: Array, y: Array, sample_weight: Any, class_weight: Any) -> DistinctRows:
    """Return where distinct samples are, instead of a copy of them; see ``distinct_samples``.

    Of large samples, hand over the ``digests``.
    """
    weight = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True
    )
    kept = np.flatnonzero(weight)
    weight[kept] *= class_factors(class_weight, y[kept], weight[kept])
    kept = np.flatnonzero(weight)
    classes, codes = np.unique(y[kept], return_inverse=True)
    if len(classes) < 2:
        found = "1 class" if len(classes) else "0 classes"
        raise ValueError(
            f"y must have at least 2 classes with weight, got {found}: {classes.tolist()}."
        )
    values = np.column_stack([codes.astype(X.dtype), X[kept].reshape(len(kept), -1)])
    values += 0  # no negative zeros: rows are compared as bytes
    values = values.view(f"V{values[0].nbytes}").ravel()
    _, first, copies = np.unique(values, return_index=True, return_inverse=True)
    return DistinctRows(kept[first], codes[first], np.bincount(copies, weight[kept]), classes)


def digests(X: Array) -> NDArray[np.int64]:
    """Return two numbers for every sample that are the same where samples are."""
    each = (blake2b((sample + 0).tobytes(), digest_size=DIGEST).digest() for sample in X)
    return np.frombuffer(b"".join(each), np.int64).reshape(len(X), -1)


def subject_numbers(groups: ArrayLike | None, X: Array) -> Labels:
    """Return the number of the subject of every sample; without groups, each is one of its own.

    Raises
    ------
    ValueError
        If groups are missing for some samples.
    """
    if groups is None:
        return np.arange(len(X))
    check_consistent_length(X, groups)
    numbers, _ = pd.factorize(column_or_1d(np.asarray(groups)))
    if (numbers < 0).any():
        raise ValueError(f"groups must have no missing values, got {np.sum(numbers < 0)}.")
    return numbers


def class_factors(class_weight: Any, y: Array, weight: Array) -> Array:
    """Return the factor of its class for every sample."""
    classes, codes = np.unique(y, return_inverse=True)
    factors = compute_class_weight(class_weight, classes=classes, y=y, sample_weight=weight)
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(f"class_weight must be finite and not negative, got {class_weight}.")
    return factors[codes]


def held_out_values(
    decide: Callable[[Labels, Labels], Array],
    codes: Labels,
    random_state: Any,
    subjects: Labels | None = None,
    max_folds: int = MAX_FOLDS,
) -> tuple[Labels, Array] | None:
    """Return which samples were held out, and their decision values by models without them.

    The samples of a subject are held out together.  A subject counts for its most frequent
    class, and the only one of a class is never held out: every model knows all classes.

    Parameters
    ----------
    decide : callable
        Maps row numbers to train on and others to test on to decision values (n_test, ...).
    codes : ndarray, shape (n,)
        Numbers of classes; folds are stratified by them.
    random_state : int, RandomState instance or None
        Shuffles the folds.
    subjects : ndarray, shape (n,), default=None
        Numbers of subjects; every sample is one of its own if None.
    max_folds : int, default=5

    Returns
    -------
    rows : ndarray, shape (m,)
    values : ndarray, shape (m, ...)
        None for both where less than two classes have several subjects: those of one class
        cannot tell how well classes are told apart.
    """
    subjects = np.arange(len(codes)) if subjects is None else pd.factorize(subjects)[0]
    rows: list[Labels] = []
    values: list[Array] = []
    for train, test in folds_of_subjects(codes, subjects, random_state, max_folds):
        values.append(decide(train, test))
        rows.append(test)
        if sum(map(len, rows)) >= ENOUGH:
            break
    return (np.concatenate(rows), np.concatenate(values)) if rows else None


def folds_of_subjects(
    codes: Labels, subjects: Labels, random_state: Any, max_folds: int
) -> Iterator[tuple[Labels, Labels]]:
    """Yield the rows to train on and those to test on, see ``held_out_values``."""
    table = np.zeros((subjects.max() + 1, codes.max() + 1))
    np.add.at(table, (subjects, codes), 1)
    labels = table.argmax(axis=1)
    counts = np.bincount(labels)
    several = counts[counts > 1]
    if len(several) < 2:
        return
    usable = np.flatnonzero(counts[labels] > 1)
    n_folds = min(max_folds, several.min())
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    for _, places in folds.split(usable, labels[usable]):
        held_out = np.isin(subjects, usable[places])
        train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        if len(np.unique(codes[train])) == table.shape[1]:  # unless subjects change their class
            yield train, test


def best_temperature(
    values: Array, codes: Labels, weight: Array, unit: float = 1.0
) -> tuple[float, float]:
    r"""Return the temperature T at which :math:`\mathrm{softmax}(v / T)` fits best, and its loss.

    Parameters
    ----------
    values : ndarray, shape (n, n_classes)
        Decision values of samples held out.
    codes : ndarray, shape (n,)
    weight : ndarray, shape (n,)
    unit : float, default=1.0
        Size of a clear difference between decision values.

    Returns
    -------
    temperature, log_loss : float
    """
    margins = values - values[np.arange(len(values)), codes][:, np.newaxis]
    share = weight / weight.sum()
    best = minimize_scalar(
        lambda log_t: share @ logsumexp(margins / np.exp(log_t), axis=1),
        bounds=np.log(TEMPERATURES) + np.log(unit),
    )
    return float(np.exp(best.x)), float(best.fun)


def best_candidate(values: Array, codes: Labels, weight: Array) -> tuple[int, float]:
    """Return the number of the candidate of least log loss, and its temperature.

    Parameters
    ----------
    values : ndarray, shape (n, n_candidates, n_classes)
        Decision values of samples held out, in any unit.
    codes : ndarray, shape (n,)
    weight : ndarray, shape (n,)

    Returns
    -------
    candidate : int
        The first one, where several are equally good.
    temperature : float
    """
    deviations = values - values.mean(axis=2, keepdims=True)
    units = deviations.std(axis=(0, 2))
    found = [
        best_temperature(values[:, k], codes, weight, unit or 1.0) for k, unit in enumerate(units)
    ]
    losses = np.array([loss for _, loss in found])
    candidate = int(np.argmax(losses <= losses.min() + TIE))
    return candidate, found[candidate][0]
