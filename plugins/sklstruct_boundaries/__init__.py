"""Boundaries between objects: networks that find them, and how good maps of them are."""

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


@hookimpl
def register_metrics() -> dict[str, Any]:
    """Provide the scores of the field."""
    return {"boundary_scores": "sklstruct_boundaries.scores:boundary_scores"}
