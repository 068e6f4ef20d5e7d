"""Residual and densely connected networks on any frame (Jacobsen, thesis, section 4.4.1)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the networks."""
    return {
        "frame_resnet": "sklstruct_frame_resnet.resnet:FrameResNet",
        "frame_densenet": "sklstruct_frame_resnet.densenet:FrameDenseNet",
    }


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide their classifiers and regressors."""
    return {
        "frame_resnet": "sklstruct_frame_resnet.estimators:FrameResNetClassifier",
        "frame_resnet_regressor": "sklstruct_frame_resnet.estimators:FrameResNetRegressor",
        "frame_densenet": "sklstruct_frame_resnet.estimators:FrameDenseNetClassifier",
        "frame_densenet_regressor": "sklstruct_frame_resnet.estimators:FrameDenseNetRegressor",
    }
