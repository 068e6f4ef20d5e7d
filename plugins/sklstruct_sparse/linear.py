"""What classifiers that are linear in features of samples share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklstruct import estimators
from sklstruct.estimators import CalibratedClassifier, ClassWeighted
from sklstruct.params import all_or_nothing, param, real
from sklstruct.threads import one_blas_thread

from .ridge import Array, Fits, ridge

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-3, 9))  # of the ridge, the most cautious first


class RidgeOnFeatures(ClassWeighted, CalibratedClassifier):
    """Base of classifiers that are a ridge regression of the classes on features.

    A subclass reads samples, finds what its features need, and computes them.

    Parameters
    ----------
    C : float, default=None
        Inverse of the penalty, where the total variance of the features is 1; None chooses one
        from 0.03 to 10000.

    Attributes
    ----------
    C_ : float
    coef_ : ndarray, shape (n_features, n_classes)
    intercept_ : ndarray, shape (n_classes,)
    n_parameters_ : int
        Entries of these two, and what was learned for the features.
    """

    C: float | None = param(None, real(above=0) | None)

    _fewest_features: ClassVar[int] = 1
    _read: ClassVar[Any]  # comes from the reader of samples that a subclass is too

    @abstractmethod
    def _learn_features(
        self, X: NDArray[Any], codes: NDArray[np.intp], targets: Array, weight: Array
    ) -> int:
        """Find what the features need, and return how many numbers of it were learned.

        Parameters
        ----------
        X : ndarray, shape (n, channels, *spatial)
            Distinct samples.
        codes : ndarray, shape (n,)
            Numbers of their classes.
        targets : ndarray, shape (n, n_classes)
            1 for the own class, -1 for the others.
        weight : ndarray, shape (n,)
        """

    @abstractmethod
    def _features(self, X: NDArray[Any]) -> Iterator[Array]:
        """Yield features (m, n_features) of some samples at a time, in double precision."""

    @all_or_nothing
    @one_blas_thread()
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from samples and their classes.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : array-like, shape (n,)
            Labels of any type.
        sample_weight : array-like, shape (n,), default=None
            Not negative; samples of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        ImportError
            If the package behind wavelets or curvelets is missing.
        """
        self.check_params()
        X, y = self._read(X, y, reset=True, ensure_min_features=self._fewest_features)
        rows, codes, weight, self.classes_ = estimators.distinct_rows(
            X, y, sample_weight, self.class_weight
        )
        X = X[rows]
        targets = np.where(codes[:, np.newaxis] == np.arange(len(self.classes_)), 1.0, -1.0)
        n_learned = self._learn_features(X, codes, targets, weight)
        fits, chosen = self._choose(X, codes, targets, weight)
        self.coef_, self.intercept_ = fits.matrices[chosen], fits.intercepts[chosen]
        self.n_parameters_ = self.coef_.size + self.intercept_.size + n_learned
        return self

    def _choose(
        self, X: NDArray[Any], codes: NDArray[np.intp], targets: Array, weight: Array
    ) -> tuple[Fits, int]:
        """Set C and temperature by samples that are left out, and return the fits."""
        strengths = list(STRENGTHS) if self.C is None else [self.C]
        features = np.concatenate([*self._features(X)])
        fits = ridge(features, targets, weight, strengths)
        chosen, self.temperature_ = 0, 1.0
        # What is said without the only sample of a class knows nothing of that class.
        several = np.bincount(codes) > 1
        rows = np.flatnonzero(several[codes])
        if several.sum() > 1:
            chosen, self.temperature_ = estimators.best_candidate(
                fits.left_out[rows], codes[rows], weight[rows]
            )
        self.C_ = strengths[chosen]
        return fits, chosen

    @one_blas_thread()
    def _values(self, X: Any) -> Array:
        """Return the decision values, shape (n, n_classes)."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        parts = [features @ self.coef_ for features in self._features(X)]
        return np.concatenate(parts) + self.intercept_

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")
