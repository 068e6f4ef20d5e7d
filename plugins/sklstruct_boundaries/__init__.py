"""Boundaries of what images show: detectors, and how good they are."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"dyn_resnet": "sklstruct_boundaries.architecture:DynResNet"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the detector."""
    return {"boundary_detector": "sklstruct_boundaries.detector:BoundaryDetector"}


@hookimpl
def register_metrics() -> dict[str, Any]:
    """Provide the scores of the field."""
    return {"boundary_scores": "sklstruct_boundaries.scores:boundary_scores"}
