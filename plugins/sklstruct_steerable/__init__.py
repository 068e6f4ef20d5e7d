"""Residual networks with dynamic steerable blocks (Jacobsen, thesis, section 4.3.1)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"steerable_resnet": "sklstruct_steerable.architecture:SteerableResNet"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and regressor."""
    return {
        "steerable_resnet": "sklstruct_steerable.estimators:SteerableResNetClassifier",
        "steerable_resnet_regressor": "sklstruct_steerable.estimators:SteerableResNetRegressor",
    }
