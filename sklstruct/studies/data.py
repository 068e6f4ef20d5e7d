"""The data of a study, checked, and the way it is split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .draws import stratified_order

Array = NDArray[Any]

HELD_OUT_SHARE = 1 / 3


class Split(NamedTuple):
    """The samples of one training set and those that it is tested on."""

    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array


@dataclass(frozen=True, eq=False)
class StudyData:
    """Samples to draw training sets from, and where the test samples come from.

    Parameters
    ----------
    X : ndarray, shape (n_samples, ...)
    y : ndarray, shape (n_samples,)
    X_test : ndarray, shape (n_test, ...), or None
        If None, test samples are held out of X in every draw.
    y_test : ndarray, shape (n_test,), or None
    n_test : int
    """

    X: Array
    y: Array
    X_test: Array | None
    y_test: Array | None
    n_test: int

    @classmethod
    def checked(cls, X: Any, y: Any, X_test: Any, y_test: Any, test_size: Any) -> Self:
        """Return the data, or raise a ValueError that says what is wrong with it."""
        X, y = check_samples(X, y, "X", "y")
        labels, counts = np.unique(y, return_counts=True)
        if len(labels) < 2 or counts.min() < 2:
            raise ValueError(
                "y must have at least 2 classes with at least 2 samples each, got "
                f"{dict(zip(labels.tolist(), counts.tolist(), strict=True))}."
            )
        if X_test is None and y_test is None:
            n_classes, n_test = len(labels), test_size
            if test_size is None:
                n_test = max(n_classes, round(HELD_OUT_SHARE * len(y)))  # to be stratified
            elif isinstance(test_size, Real) and not isinstance(test_size, Integral):
                n_test = round(float(test_size) * len(y))
            if not n_classes <= n_test <= len(y) - n_classes:
                raise ValueError(
                    f"test_size must leave at least {n_classes} samples, one a class, on both "
                    f"sides, got {test_size!r} of {len(y)} samples."
                )
            return cls(X, y, None, None, int(n_test))
        if X_test is None or y_test is None or test_size is not None:
            raise ValueError("Give X_test and y_test together and no test_size, or neither.")
        X_test, y_test = check_samples(X_test, y_test, "X_test", "y_test")
        if X_test.shape[1:] != X.shape[1:]:
            raise ValueError(f"X_test must have shape (n, *{X.shape[1:]}), got {X_test.shape}.")
        if unknown := set(y_test.tolist()) - set(labels.tolist()):
            raise ValueError(f"y_test has labels that y has not: {sorted(unknown, key=str)}.")
        return cls(X, y, X_test, y_test, len(y_test))

    @cached_property
    def classes(self) -> Array:
        """The labels, sorted."""
        return np.unique(self.y)

    @property
    def n_available(self) -> int:
        """Number of samples that a training set can have."""
        return len(self.y) - (self.n_test if self.y_test is None else 0)

    def split(self, size: int, draw: int, random_state: int) -> Split:
        """Return the training set of one size and draw, and what it is tested on.

        The order of the samples depends on the draw only, and test samples are the last ones.
        Training sets of one draw are therefore nested and share the test set, whatever other
        sizes and draws there are.
        """
        # Of the draw alone: whoever adds a size or an estimator gets the same samples.
        rng = np.random.default_rng([random_state, draw])
        order = stratified_order(np.searchsorted(self.classes, self.y), rng)
        train = order[:size]
        if self.X_test is None or self.y_test is None:
            test = order[self.n_available :]
            return Split(self.X[train], self.y[train], self.X[test], self.y[test])
        # copies, because what comes into a worker process may be a read-only memory map
        X_test, y_test = np.array(self.X_test), np.array(self.y_test)
        return Split(self.X[train], self.y[train], X_test, y_test)

    def describe(self) -> dict[str, Any]:
        """Return the shape of the data and a fingerprint of its values."""
        return {
            "n_samples": len(self.y),
            "sample_shape": list(self.X.shape[1:]),
            "n_classes": len(self.classes),
            "n_test": self.n_test,
            "test_samples": "held out" if self.y_test is None else "given",
            "sha256": fingerprint(self.X, self.y, self.X_test, self.y_test),
        }


def check_samples(X: Any, y: Any, x_name: str, y_name: str) -> tuple[Array, Array]:
    """Return samples and labels as arrays, or raise a ValueError."""
    X = check_array(X, allow_nd=True, input_name=x_name)
    if np.ndim(y) > 1 and np.shape(y)[1:] != (1,):
        raise ValueError(
            f"{y_name} must have one label a sample, as a study compares classifiers of samples, "
            f"got maps or rows of shape {np.shape(y)}."
        )
    y = column_or_1d(y)
    if len(X) != len(y):
        raise ValueError(f"{x_name} and {y_name} must agree, got {len(X)} and {len(y)} samples.")
    check_classification_targets(y)
    return X, y


def fingerprint(*arrays: Array | None) -> str:
    """Return a hash of the shapes, dtypes and values of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        plain = array.astype(str) if array.dtype.hasobject else array  # not pointers
        # Or else the same bytes in another shape would be the same data.
        digest.update(f"{plain.dtype} {plain.shape}".encode())
        digest.update(np.ascontiguousarray(plain).tobytes())
    return digest.hexdigest()
