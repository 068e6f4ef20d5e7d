"""MultiscaleClassifier and MultiscaleRegressor: networks of several resolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .architecture import Multiscale


class MultiscaleClassifier(Multiscale, NetworkClassifier):
    """Classifier with a network whose embedding reads one resolution or several.

    See Also
    --------
    MultiscaleRegressor : The same for values.
    sklstruct.inspection.redundancy : What its levels have in common.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import MultiscaleClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MultiscaleClassifier(scales="pyramid", image_shape=(8, 8), max_epochs=1)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """

    _fewest_features: ClassVar[int] = 2  # a single number has no lower resolution


class MultiscaleRegressor(Multiscale, NetworkRegressor):
    """Regressor with a network whose embedding reads one resolution or several.

    Where levels are supervised, it is by the squared error of values of their own.

    See Also
    --------
    MultiscaleClassifier : The same for classes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import MultiscaleRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = MultiscaleRegressor(widths=(4, 8), max_epochs=20, random_state=0).fit(X, ink)
    >>> model.score(X, ink) > 0.5
    True
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {**Multiscale.presets["default"], "dropout": 0.0}
    }
    _fewest_features: ClassVar[int] = 2
