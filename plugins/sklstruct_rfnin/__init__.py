"""Receptive field Network in Network (Jacobsen, van Gemert, Lou and Smeulders, CVPR 2016)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"rfnin": "sklstruct_rfnin.network:RFNiN"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and its regressor."""
    return {
        "rfnin": "sklstruct_rfnin.estimator:RFNiNClassifier",
        "rfnin_regressor": "sklstruct_rfnin.estimator:RFNiNRegressor",
    }
