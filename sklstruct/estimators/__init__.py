"""scikit-learn estimators over the architectures: X to probabilities, and nothing else."""

import importlib
from typing import Any

from ..hookspecs import hookimpl

_HOMES = {
    "CalibratedClassifier": "held_out",
    "ClassWeighted": "held_out",
    "FeatureTransformer": "frame_transformer",
    "LinearStackClassifier": "stack",
    "LinearStackRegressor": "stack",
    "NetworkClassifier": "classifier",
    "NetworkEstimator": "base",
    "NetworkRegressor": "regressor",
    "SampleReader": "samples",
    "StructuredClassifier": "generic",
    "StructuredMapClassifier": "maps",
    "StructuredMapRegressor": "maps",
    "StructuredRegressor": "generic",
    "TorchReader": "frame_transformer",
    "FrameTransformer": "frame_transformer",
    "best_candidate": "held_out",
    "best_temperature": "held_out",
    "channels_first": "samples",
    "digests": "held_out",
    "distinct_rows": "held_out",
    "held_out_values": "held_out",
    "like_samples": "samples",
    "load_model": "persistence",
    "on_paths": "volumes",
    "save_model": "persistence",
    "subject_numbers": "held_out",
    "weights_of_samples": "held_out",
    "without_copies": "held_out",
}


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
    }


def __getattr__(name: str) -> Any:  # importing this package must not import torch
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name == "Augment":
        return importlib.import_module("sklstruct.training").Augment
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "Augment"})
