"""Wavelet scattering, fixed features that a structured network has to beat."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_layers() -> dict[str, Any]:
    """Provide the scattering transform."""
    return {"scattering": "sklstruct_scattering.scattering:Scattering"}
