"""Receptive field networks (Jacobsen, van Gemert, Lou and Smeulders, CVPR 2016)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"rfnn": "sklstruct_rfnn.architecture:RFNN"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and its regressor."""
    return {
        "rfnn": "sklstruct_rfnn.estimators:RFNNClassifier",
        "rfnn_regressor": "sklstruct_rfnn.estimators:RFNNRegressor",
    }
