"""Numbers in, numbers out."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ..compat import RegressorMixin
from .base import NetworkEstimator
from .targets import Values


class NetworkRegressor(RegressorMixin, NetworkEstimator):
    """Train a network whose outputs are standardised values.

    See Also
    --------
    NetworkClassifier : The same for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from sklstruct import Architecture
    >>> from sklstruct.estimators import NetworkRegressor
    >>> class Linear(Architecture, NetworkRegressor):
    ...     def build(self, in_shape, n_outputs):
    ...         return nn.Sequential(nn.Flatten(), nn.Linear(np.prod(in_shape), n_outputs))
    >>> X = np.random.default_rng(0).normal(size=(8, 6, 6))
    >>> Linear(max_epochs=1).fit(X, X.mean(axis=(1, 2))).predict(X).shape
    (8,)
    """

    _target: ClassVar[Any] = Values

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
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the values, in the units of y.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        values : ndarray of float64, shape (n,) or (n, n_values) as y had it
        """
        outputs = self._outputs(X)
        return self.target_.decode(outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
