"""Invertible i-RevNets, and the networks that they are compared with (Jacobsen et al., 2018)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network and its two twins, which lose information."""
    return {
        "irevnet": "sklstruct_irevnet.architecture:IRevNet",
        "revnet": "sklstruct_irevnet.twins:RevNet",
        "resnet_twin": "sklstruct_irevnet.twins:ResNetTwin",
    }


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and its regressor."""
    return {
        "irevnet": "sklstruct_irevnet.estimators:IRevNetClassifier",
        "irevnet_regressor": "sklstruct_irevnet.estimators:IRevNetRegressor",
    }
