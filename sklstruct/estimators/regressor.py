"""Numbers in, numbers out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .base import NetworkEstimator, check_both_or_none
from .rows import Rows


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Train a network whose outputs are standardised values."""

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train on samples and their values.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : array-like, shape (n,) or (n, n_targets)
        sample_weight : array-like, shape (n,), default=None
        X_val, y_val : array-like, default=None
            Samples to watch the loss on; with ``early_stopping``, to stop by.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        self._validate_params()
        warm = self._is_warm()
        X, y = self._read_both(X, y, reset=not warm)
        weight = self._check_weight(sample_weight, X)
        if not warm:
            self._fit_target_scaling(y, weight)
        validation = None
        check_both_or_none(X_val, y_val)
        if X_val is not None:
            X_val, y_val = self._read_both(X_val, y_val, reset=False)
            validation = X_val, self._scale(y_val)
        return self._fit(X, self._scale(y), weight, validation)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, on from the present weights.

        Mean and deviation of X and y are those of the first call.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``

        Returns
        -------
        self
        """
        self._validate_params()
        first = not hasattr(self, "net_")
        X, y = self._read_both(X, y, reset=first)
        weight = self._check_weight(sample_weight, X)
        if first:
            self._fit_target_scaling(y, weight)
        return self._partial_fit(X, self._scale(y), weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the values, in the units of y.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        values : ndarray of float64, shape (n,) or (n, n_targets) as y had it
        """
        check_is_fitted(self)
        values = self._outputs(X) * self.y_scale_ + self.y_mean_
        return values.reshape(len(values), *self.target_shape_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _criterion(self) -> nn.Module:
        return nn.MSELoss(reduction="none")

    def _n_outputs(self) -> int:
        return len(self.y_mean_)

    def _read_both(self, X: Any, y: Any, *, reset: bool) -> tuple[Rows, NDArray[Any]]:
        X, y = self._read_rows(X, y, reset=reset, min_samples=2, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            message = "A column-vector y was passed when a 1d array was expected."
            warnings.warn(message, DataConversionWarning, stacklevel=3)
            y = y[:, 0]
        return X, y.astype(np.float64)

    def _fit_target_scaling(self, y: NDArray[Any], weight: Any) -> None:
        self.target_shape_ = y.shape[1:]
        columns = y.reshape(len(y), -1)
        self.y_mean_ = np.average(columns, axis=0, weights=weight)
        variance = np.average((columns - self.y_mean_) ** 2, axis=0, weights=weight)
        self.y_scale_ = np.sqrt(np.where(variance > 0, variance, 1))

    def _scale(self, y: NDArray[Any]) -> NDArray[Any]:
        if y.shape[1:] != self.target_shape_:
            raise ValueError(
                f"y must have shape (n, {', '.join(map(str, self.target_shape_))}) as in the "
                f"first fit, got {y.shape}."
            )
        return ((y.reshape(len(y), -1) - self.y_mean_) / self.y_scale_).astype(self.dtype)
