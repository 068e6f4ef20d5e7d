"""HierarchicalCNNClassifier and -Regressor: networks of ordered channels the scikit-learn way."""

from __future__ import annotations

import copy
from typing import Self

from sklearn.utils.validation import check_is_fitted

from sklstruct.estimators import NetworkClassifier, NetworkEstimator, NetworkRegressor
from sklstruct.params import one_of, param

from .architecture import HierarchicalCNN


class Fusible(HierarchicalCNN, NetworkEstimator):
    """Base of the two: what they do beyond other estimators."""

    def fuse(self) -> Self:
        """Return a fitted copy whose factors are fused into the filters that they stand for.

        Its predictions are the same but for rounding, and it has far fewer parameters.

        Returns
        -------
        fused : estimator
            With ``n_factors="fused"``, and no ``param_groups``, whose names may be of factors.

        Raises
        ------
        NotFittedError
            If nothing is fitted.
        ValueError
            If there are nonlinearities between the factors.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from sklstruct import HierarchicalCNNClassifier
        >>> X, y = load_digits().images[:50], load_digits().target[:50]
        >>> model = HierarchicalCNNClassifier(depth=5, intermediate_nonlinearity=False)
        >>> fused = model.set_params(max_epochs=1, random_state=0).fit(X, y).fuse()
        >>> model.n_parameters_, fused.n_parameters_
        (11012, 6314)
        >>> bool(np.allclose(fused.predict_proba(X), model.predict_proba(X), atol=1e-5))
        True
        """
        check_is_fitted(self)
        weights = self.net_.module_.fuse().state_dict()
        fused = copy.copy(self)
        fused._built_with = {**self._built_with, "n_factors": "fused", "param_groups": None}
        vars(fused).update(fused._built_with)  # parameters may have been set since
        fused._build(0, self.net_.device, fused._plan(1))
        fused.net_.module_.load_state_dict(weights)
        fused.net_.module_.eval()
        fused.net_.history.extend(self.net_.history)
        return fused


class HierarchicalCNNClassifier(Fusible, NetworkClassifier):
    """Classifier with a hierarchical attribute CNN, whose channels have an order.

    See Also
    --------
    HierarchicalCNNRegressor : The same for values.
    RFNNClassifier : Spatial filters of a frame, and channels in no order.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import HierarchicalCNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = HierarchicalCNNClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """


class HierarchicalCNNRegressor(Fusible, NetworkRegressor):
    """Regressor with a hierarchical attribute CNN, whose channels have an order.

    Parameters
    ----------
    head : {"mean", "linear"}, default="linear"
        Means of exponential linear units are above -1, in deviations of y from its mean.

    See Also
    --------
    HierarchicalCNNClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import HierarchicalCNNRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = HierarchicalCNNRegressor(depth=5, max_epochs=20, random_state=0).fit(X, ink)
    >>> model.score(X, ink) > 0.5
    True
    """

    head: str | None = param("linear", one_of("mean", "linear") | None)
