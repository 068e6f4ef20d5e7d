"""Fully convolutional frame networks: an output at every place."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network, which ``StructuredMapClassifier`` and its regressor train."""
    return {"frame_fcn": "sklstruct_fcn.architecture:FrameFCN"}
