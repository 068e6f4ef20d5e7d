"""Models that choose on samples held out: which candidate is best, how sure it may be."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from ..compat import BaseEstimator, ClassifierMixin, check_sample_weight
from ..params import MAPPING, SEED, Params, one_of, param
from .samples import as_array

Array = NDArray[Any]
Labels = NDArray[np.intp]

MAX_FOLDS = 5
ENOUGH = 2000  # samples held out: no further fold is needed to find a number or two
TEMPERATURES = 0.05, 20.0  # at the lower end a margin of 1 is certain, whatever the folds say
TIE = 1e-7  # losses that differ by less were found by the same predictions
DIGEST = 16  # bytes; two samples of a hundred thousand have the same one once in 10^28 times


class CalibratedClassifier(ClassifierMixin, Params, BaseEstimator):
    r"""Base of classifiers whose probabilities are calibrated on samples held out.

    The probabilities are :math:`\mathrm{softmax}(f(x) / T)` of decision values f, where the
    temperature T minimises the log loss of samples held out; a single number cannot change which
    class comes first.

    Identical samples of a class count as one with their summed weights, so that they never lie
    on both sides of a fold, and neither the order of the samples nor the difference between a
    weight and a repetition matters.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds; nothing else is random.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    temperature_ : float
        1 where less than two classes have several distinct samples to hold out.

    See Also
    --------
    ScatteringSVC, PixelSVC : What is made of it.
    best_temperature : How probabilities are calibrated.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import PixelSVC
    >>> from sklstruct.estimators import CalibratedClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = PixelSVC(random_state=0).fit(X[:200], y[:200])
    >>> isinstance(model, CalibratedClassifier), model.temperature_ > 0
    (True, True)
    """

    random_state: int | np.random.RandomState | None = param(None, SEED)

    @abstractmethod
    def _values(self, X: Any) -> Array:
        """Return the decision values of all classes, shape (n, n_classes)."""

    def decision_function(self, X: Any) -> Array:
        """Return the decision values of the classes; for two classes, their difference.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        decision : ndarray, shape (n, n_classes) or (n,)
        """
        values = self._values(X)
        return values[:, 1] - values[:, 0] if len(self.classes_) == 2 else values

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, shape (n, n_classes)."""
        values = self._values(X)
        return softmax(values / self.temperature_, axis=1)

    def predict(self, X: Any) -> Array:
        """Return the most probable classes, shape (n,)."""
        values = self._values(X)
        return self.classes_[values.argmax(axis=1)]

    def predict_with_proba(self, X: Any) -> tuple[Array, Array]:
        """Return what ``predict`` and ``predict_proba`` do, for samples that are read once."""
        values = self._values(X)
        return self.classes_[values.argmax(axis=1)], softmax(values / self.temperature_, axis=1)


class ClassWeighted(Params):
    """Base of classifiers that weight their classes.

    Parameters
    ----------
    class_weight : "balanced", dict or None, default=None
        Factors on the weights of the samples of each class; classes of factor 0 are left out.

    See Also
    --------
    weights_of_samples : What the weights come to.

    Examples
    --------
    >>> from sklstruct.estimators import ClassWeighted
    >>> class Mine(ClassWeighted):
    ...     C: float = 1.0
    >>> Mine(class_weight="balanced")
    Mine(class_weight='balanced', C=1.0)
    """

    class_weight: dict[Any, float] | str | None = param(None, MAPPING | one_of("balanced") | None)


# --- samples and their weights --------------------------------------------------------------


def weights_of_samples(X: Any, y: Array, sample_weight: Any, class_weight: Any = None) -> Array:
    """Return the weights of samples, times those of their classes, shape (n,).

    Parameters
    ----------
    X : array-like, shape (n, ...)
    y : ndarray, shape (n,)
    sample_weight : array-like, shape (n,), or None
        Not negative.
    class_weight : "balanced", dict or None, default=None

    Raises
    ------
    ValueError
        If the weights are not valid.

    See Also
    --------
    ClassWeighted : Estimators with weights of classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import weights_of_samples
    >>> weights_of_samples(np.zeros((3, 2)), np.array([0, 0, 1]), None, class_weight={0: 0.5, 1: 1})
    array([0.5, 0.5, 1. ])
    """
    weight: Array = check_sample_weight(
        as_array(sample_weight), X, dtype=np.float64, ensure_non_negative=True, copy=True
    )
    kept = np.flatnonzero(weight)  # "balanced" must not count what has no weight
    classes, codes = np.unique(y[kept], return_inverse=True)
    if class_weight is not None and len(kept):
        factors = compute_class_weight(
            class_weight, classes=classes, y=y[kept], sample_weight=weight[kept]
        )
        if not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(f"class_weight must be finite and not negative, got {class_weight}.")
        weight[kept] *= factors[codes]
    return weight


def distinct_rows(
    X: Array, y: Array, sample_weight: Any, class_weight: Any
) -> tuple[Labels, Labels, Array, Array]:
    """Return where distinct samples are, and what they are of; see ``without_copies``.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
    y : ndarray, shape (n,)
    sample_weight, class_weight
        As ``weights_of_samples`` takes them.

    Returns
    -------
    rows : ndarray of int, shape (m,)
    codes : ndarray of int, shape (m,)
        Numbers of their classes.
    weight : ndarray, shape (m,)
    classes : ndarray, shape (n_classes,)

    Raises
    ------
    ValueError
        If y holds no classes, or the weights are not valid or leave less than two of them.

    See Also
    --------
    without_copies : The same for any targets.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import distinct_rows
    >>> X, y = np.array([[1.0], [1.0], [2.0]]), np.array(["a", "a", "b"])
    >>> rows, codes, weight, classes = distinct_rows(X, y, sample_weight=None, class_weight=None)
    >>> len(rows), float(weight.sum()), classes.tolist()
    (2, 3.0, ['a', 'b'])
    """
    check_classification_targets(y)
    weight = weights_of_samples(X, y, sample_weight, class_weight)
    classes = np.unique(y[weight > 0])
    if len(classes) < 2:
        found = "1 class" if len(classes) else "0 classes"
        raise ValueError(
            f"y must have at least 2 classes with weight, got {found}: {classes.tolist()}."
        )
    rows, weight = without_copies(X, y, weight)
    return rows, np.searchsorted(classes, y[rows]), weight, classes


def without_copies(X: Array, y: Array, weight: Array) -> tuple[Labels, Array]:
    """Return where each sample is once, and its summed weights, in an order of its values.

    So copies of a sample never lie on both sides of a fold, unless their targets differ: then
    each target has a sample of its own.  And neither the order of the samples nor the difference
    between a weight and a repetition matters.  Samples of weight 0 are left out.

    Parameters
    ----------
    X : ndarray, shape (n, ...)
        The samples, or their ``digests`` if they are large.
    y : ndarray, shape (n,)
    weight : ndarray, shape (n,)

    Returns
    -------
    rows : ndarray of int, shape (m,)
    weight : ndarray, shape (m,)

    See Also
    --------
    distinct_rows : The same for samples, labels and weights.
    digests : How equal samples are found.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import without_copies
    >>> X, y = np.array([[1.0], [1.0], [2.0]]), np.array([0, 0, 1])
    >>> rows, weight = without_copies(X, y, weight=np.ones(3))
    >>> sorted(zip(X[rows, 0].tolist(), weight.tolist()))
    [(1.0, 2.0), (2.0, 1.0)]
    """
    kept = np.flatnonzero(weight)
    if not len(kept):
        raise ValueError("sample_weight must be positive for some samples, got 0 for all.")
    codes = np.unique(y[kept], return_inverse=True)[1].astype(X.dtype)
    values = np.column_stack([codes, X[kept].reshape(len(kept), -1)])
    values += 0  # no negative zeros: rows are compared as bytes
    values = values.view(f"V{values[0].nbytes}").ravel()
    _, first, copies = np.unique(values, return_index=True, return_inverse=True)
    return kept[first], np.bincount(copies, weight[kept])


def digests(X: Array) -> NDArray[np.int64]:
    """Return two numbers for every sample that are the same where samples are.

    See Also
    --------
    without_copies, distinct_rows : What they are for.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import digests
    >>> found = digests(np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]]))
    >>> found.shape, len(np.unique(found, axis=0))
    ((3, 2), 2)
    """
    each = (blake2b((sample + 0).tobytes(), digest_size=DIGEST).digest() for sample in X)
    return np.frombuffer(b"".join(each), np.int64).reshape(len(X), -1)


def subject_numbers(groups: ArrayLike | None, X: Any) -> Labels:
    """Return the number of the subject of every sample; without groups, each is one of its own.

    Raises
    ------
    ValueError
        If groups are missing for some samples.

    See Also
    --------
    held_out_values : Keeps every subject on one side.

    Examples
    --------
    >>> from sklstruct.estimators import subject_numbers
    >>> subject_numbers(["b", "a", "b"], X=[[0], [1], [2]])
    array([0, 1, 0])
    >>> subject_numbers(None, X=[[0], [1], [2]])
    array([0, 1, 2])
    """
    if groups is None:
        return np.arange(len(X))
    check_consistent_length(X, groups)
    numbers, _ = pd.factorize(column_or_1d(np.asarray(groups)))
    if (numbers < 0).any():
        raise ValueError(f"groups must have no missing values, got {np.sum(numbers < 0)}.")
    return numbers


# --- holding out ----------------------------------------------------------------------------


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

    See Also
    --------
    best_temperature : What to divide such values by.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import LinearSVC
    >>> from sklstruct.estimators import held_out_values
    >>> X, y = load_iris(return_X_y=True)
    >>> def decide(train, test):
    ...     return LinearSVC(random_state=0).fit(X[train], y[train]).decision_function(X[test])
    >>> rows, values = held_out_values(decide, y, random_state=0)
    >>> rows.shape, values.shape
    ((150,), (150, 3))
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
    """Yield the rows to train on and those to test on, see ``held_out_values``.

    ``StratifiedGroupKFold`` would hold out the only subject of a class, and takes a millisecond
    a subject.
    """
    labels = pd.crosstab(subjects, codes).to_numpy().argmax(axis=1)
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
        if len(np.unique(codes[train])) == codes.max() + 1:  # unless subjects change their class
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

    See Also
    --------
    best_candidate : The best of several candidates, and its temperature.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import best_temperature
    >>> values = np.eye(2)[[0, 1, 0, 1, 0]]  # the last one is wrong
    >>> temperature, log_loss = best_temperature(values, np.array([0, 1, 0, 1, 1]), np.ones(5))
    >>> round(float(temperature), 2), round(float(log_loss), 2)
    (0.72, 0.5)
    """
    margins = values - values[np.arange(len(values)), codes][:, np.newaxis]
    share = weight / weight.sum()
    # In log T the loss is smooth and has one minimum.  CalibratedClassifierCV fits a temperature
    # too, but fits models of its own, for one candidate, and knows no subjects.
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

    See Also
    --------
    best_temperature : The temperature of one candidate.
    held_out_values : What the candidates say of samples held out.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import best_candidate
    >>> codes = np.array([0, 1, 0, 1, 0, 1])
    >>> good = np.eye(2)[codes] + 0.6 * np.eye(2)[[0, 1, 0, 1, 0, 0]]
    >>> candidates = np.stack([1 - good, good], axis=1)  # one is always wrong
    >>> candidate, temperature = best_candidate(candidates, codes, weight=np.ones(6))
    >>> candidate
    1
    """
    deviations = values - values.mean(axis=2, keepdims=True)
    units = deviations.std(axis=(0, 2))
    found = [
        best_temperature(values[:, k], codes, weight, unit or 1.0) for k, unit in enumerate(units)
    ]
    losses = np.array([loss for _, loss in found])
    candidate = int(np.argmax(losses <= losses.min() + TIE))
    return candidate, found[candidate][0]
