"""scikit-learn estimators over the architectures: X to probabilities, and nothing else."""

from typing import Any

from ..hookspecs import hookimpl
from ..lazy import attach

__getattr__, __dir__ = attach(__name__, __file__)


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network without structure."""
    return {"linear": "sklstruct.layers.network:Linear"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the estimators that take any architecture or frame."""
    return {
        "structured": "sklstruct.estimators.generic:StructuredClassifier",
        "structured_regressor": "sklstruct.estimators.generic:StructuredRegressor",
        "structured_map": "sklstruct.estimators.maps:StructuredMapClassifier",
        "structured_map_regressor": "sklstruct.estimators.maps:StructuredMapRegressor",
        "linear_stack": "sklstruct.estimators.stack:LinearStackClassifier",
        "linear_stack_regressor": "sklstruct.estimators.stack:LinearStackRegressor",
        "frame_features": "sklstruct.estimators.frame_transformer:FrameTransformer",
        "differential_invariants": (
            "sklstruct.estimators.differential_invariants:DifferentialInvariants"
        ),
    }
