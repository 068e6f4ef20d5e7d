"""Receptive field Network in Network (Jacobsen, van Gemert, Lou and Smeulders, CVPR 2016)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"rfnin": "sklstruct_rfnin.architecture:RFNiN"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and its regressor, and the classifier stacked with a linear one."""
    return {
        "rfnin": "sklstruct_rfnin.estimators:RFNiNClassifier",
        "rfnin_regressor": "sklstruct_rfnin.estimators:RFNiNRegressor",
        "rfnin_stack": "sklstruct.estimators.stack:LinearStackClassifier",  # its default network
    }
