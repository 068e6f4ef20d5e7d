"""scikit-learn estimators over the architectures: X to probabilities, and nothing else."""

import importlib
from typing import Any

from ..hookspecs import hookimpl

_HOMES = {
    "StructuredClassifier": "generic",
    "StructuredRegressor": "generic",
    "FrameTransformer": "frame_transformer",
    "Augment": "augment",
    "class_activation_map": "attribution",
    "gradient_map": "attribution",
    "load_model": "persistence",
    "on_paths": "volumes",
    "save_model": "persistence",
}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the estimators that take any architecture or frame."""
    return {
        "structured": "sklstruct.estimators.generic:StructuredClassifier",
        "structured_regressor": "sklstruct.estimators.generic:StructuredRegressor",
        "frame_features": "sklstruct.estimators.frame_transformer:FrameTransformer",
    }


def __getattr__(name: str) -> Any:  # importing this package must not import torch
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
