"""RFNNClassifier and RFNNRegressor: the receptive field network the scikit-learn way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sklstruct.estimators import NetworkClassifier, NetworkRegressor

from .architecture import MODERN, PAPER, RFNN


class RFNNClassifier(RFNN, NetworkClassifier):
    """Classifier with a receptive field network.

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
    """Regressor with a receptive field network."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "modern": {**MODERN, "dropout": 0.0, "head_dropout": 0.2},
        "paper": PAPER,
    }
