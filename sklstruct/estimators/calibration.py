"""Classifiers that choose on samples held out: which candidate is best, how sure it may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight

Array = NDArray[Any]
Labels = NDArray[np.intp]

MAX_FOLDS = 5
ENOUGH = 2000  # samples held out: no further fold is needed to find a number or two
TEMPERATURES = 0.05, 20.0  # at the lower end a margin of 1 is certain, whatever the folds say
TIE = 1e-7  # losses that differ by less were found by the same predictions


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
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
    weight = weight * class_factors(class_weight, y, weight)
    X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        found = "1 class" if len(classes) else "0 classes"
        raise ValueError(
            f"y must have at least 2 classes with weight, got {found}: {classes.tolist()}."
        )
    rows = np.column_stack([codes.astype(X.dtype), X.reshape(len(X), -1)])
    rows += 0.0  # no negative zeros: rows are compared as bytes
    rows = rows.view(f"V{rows[0].nbytes}").ravel()
    _, first, group = np.unique(rows, return_index=True, return_inverse=True)
    return Distinct(X[first], codes[first], np.bincount(group, weight), classes)


def class_factors(class_weight: Any, y: Array, weight: Array) -> Array:
    """Return the factor of its class for every sample."""
    classes, codes = np.unique(y, return_inverse=True)
    factors = compute_class_weight(class_weight, classes=classes, y=y, sample_weight=weight)
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(f"class_weight must be finite and not negative, got {class_weight}.")
    return factors[codes]


def held_out_values(
    decide: Callable[[Labels, Labels], Array], codes: Labels, random_state: Any
) -> tuple[Labels, Array] | None:
    """Return which samples were held out, and their decision values by models without them.

    The only sample of a class is never held out: every model knows all classes.

    Parameters
    ----------
    decide : callable
        Maps row numbers to train on and others to test on to decision values (n_test, ...).
    codes : ndarray, shape (n,)
        Numbers of classes; folds are stratified by them.
    random_state : int, RandomState instance or None
        Shuffles the folds.

    Returns
    -------
    rows : ndarray, shape (m,)
    values : ndarray, shape (m, ...)
        None for both where less than two classes have several samples: those of one class
        cannot tell how well classes are told apart.
    """
    counts = np.bincount(codes)
    several = counts[counts > 1]
    if len(several) < 2:
        return None
    usable = np.flatnonzero(counts[codes] > 1)
    n_folds = min(MAX_FOLDS, several.min())
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=random_state)
    rows: list[Labels] = []
    values: list[Array] = []
    for _, places in folds.split(usable, codes[usable]):
        test = usable[places]
        train = np.setdiff1d(np.arange(len(codes)), test)
        values.append(decide(train, test))
        rows.append(test)
        if sum(map(len, rows)) >= ENOUGH:
            break
    return np.concatenate(rows), np.concatenate(values)


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
