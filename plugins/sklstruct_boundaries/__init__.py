"""Boundaries of what images show: detectors, how good they are, and data with known boundaries."""

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
def register_datasets() -> dict[str, Any]:
    """Provide the textured blobs of every level."""
    levels = ("first", "second", "third")
    return {
        f"textured_blobs_{number}": f"sklstruct_boundaries.blobs:load_{level}_level"
        for number, level in enumerate(levels, 1)
    }


@hookimpl
def register_metrics() -> dict[str, Any]:
    """Provide the scores of the field."""
    return {"boundary_scores": "sklstruct_boundaries.scores:boundary_scores"}
