"""Boundaries between objects: how good maps of them are."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_metrics() -> dict[str, Any]:
    """Provide the scores of the field."""
    return {"boundary_scores": "sklstruct_boundaries.scores:boundary_scores"}
