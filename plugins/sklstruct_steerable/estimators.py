"""Residual networks with dynamic steerable blocks the scikit-learn way."""

from __future__ import annotations

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .architecture import SteerableResNet


class SteerableResNetClassifier(SteerableResNet, NetworkClassifier):
    """Classifier with a residual network of dynamic steerable blocks.

    See Also
    --------
    SteerableResNetRegressor : The same for values.
    sklstruct.BoundaryDetector : What the blocks were made for.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import SteerableResNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SteerableResNetClassifier(widths=(8,), image_shape=(8, 8), max_epochs=1)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """


class SteerableResNetRegressor(SteerableResNet, NetworkRegressor):
    """Regressor with a residual network of dynamic steerable blocks.

    See Also
    --------
    SteerableResNetClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import SteerableResNetRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = SteerableResNetRegressor(widths=(8,), max_epochs=20, random_state=0).fit(X, ink)
    >>> model.score(X, ink) > 0.5
    True
    """
