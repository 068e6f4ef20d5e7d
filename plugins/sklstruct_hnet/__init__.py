"""Harmonic networks: equivariant to rotations until the last layer (Worrall et al., 2017)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network, which ``StructuredClassifier`` and its regressor train."""
    return {"hnet": "sklstruct_hnet.architecture:HNet"}
