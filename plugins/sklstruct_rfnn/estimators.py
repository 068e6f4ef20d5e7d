"""RFNNClassifier and RFNNRegressor: the receptive field network the scikit-learn way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .architecture import MODERN, PAPER, RFNN


class RFNNClassifier(RFNN, NetworkClassifier):
    """Classifier with a receptive field network.

    See Also
    --------
    RFNNRegressor : The same for values.
    RFNiNClassifier : Deeper, for volumes too.
    ScatteringSVC : Fixed wavelets in place of learned kernels.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = RFNNClassifier(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> model.fit(X[:50], y[:50]).predict_proba(X[:3]).shape
    (3, 10)
    """


class RFNNRegressor(RFNN, NetworkRegressor):
    """Regressor with a receptive field network.

    See Also
    --------
    RFNNClassifier : The same for classes.
    VoxelRidge : A linear model to compare with.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> model = RFNNRegressor(widths=(8,), max_epochs=20, random_state=0).fit(X, ink)
    >>> model.score(X, ink) > 0.5
    True
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "modern": {**MODERN, "dropout": 0.0, "head_dropout": 0.2},
        "paper": PAPER,
    }
