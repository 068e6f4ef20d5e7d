"""Boundaries of objects in images: networks that find them, scores, and artificial images."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"dyn_resnet": "sklstruct_boundaries.architecture:DynResNet"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the detector."""
    return {"boundaries": "sklstruct_boundaries.detector:BoundaryDetector"}
