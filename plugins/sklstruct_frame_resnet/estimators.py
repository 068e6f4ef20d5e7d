"""Residual and densely connected networks on frames the scikit-learn way."""

from __future__ import annotations

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .densenet import FrameDenseNet
from .resnet import FrameResNet


class FrameResNetClassifier(FrameResNet, NetworkClassifier):
    """Classifier with a residual network on frames.

    See Also
    --------
    FrameResNetRegressor : The same for values.
    RFNNClassifier : Three stages with large supports, for the fewest samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import FrameResNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = FrameResNetClassifier(depth=8, image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """


class FrameResNetRegressor(FrameResNet, NetworkRegressor):
    """Regressor with a residual network on frames.

    See Also
    --------
    FrameResNetClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import FrameResNetRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = FrameResNetRegressor(depth=8, max_epochs=20, random_state=0).fit(X, ink)
    >>> model.score(X, ink) > 0.5
    True
    """


class FrameDenseNetClassifier(FrameDenseNet, NetworkClassifier):
    """Classifier with a densely connected network on frames.

    See Also
    --------
    FrameDenseNetRegressor : The same for values.
    FrameResNetClassifier : Layers that add to what they see.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import FrameDenseNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = FrameDenseNetClassifier(depth=7, image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """


class FrameDenseNetRegressor(FrameDenseNet, NetworkRegressor):
    """Regressor with a densely connected network on frames.

    See Also
    --------
    FrameDenseNetClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import FrameDenseNetRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = FrameDenseNetRegressor(depth=7, max_epochs=20, random_state=0).fit(X, ink)
    >>> model.score(X, ink) > 0.5
    True
    """
