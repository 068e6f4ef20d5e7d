"""Convolutional networks whose embedding reads several resolutions."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_layers() -> dict[str, Any]:
    """Provide what splits samples into resolutions."""
    return {"pyramid": "sklstruct.layers:Pyramid"}


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"multiscale": "sklstruct_multiscale.architecture:Multiscale"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and its regressor."""
    return {
        "multiscale": "sklstruct_multiscale.estimators:MultiscaleClassifier",
        "multiscale_regressor": "sklstruct_multiscale.estimators:MultiscaleRegressor",
    }
