"""Receptive field networks (Jacobsen, van Gemert, Lou and Smeulders, CVPR 2016)."""

from sklstruct import hookimpl


@hookimpl
def register_architectures():
    """Provide the network."""
    return {"rfnn": "sklstruct_rfnn.network:RFNN"}


@hookimpl
def register_estimators():
    """Provide its classifier and its regressor."""
    return {
        "rfnn": "sklstruct_rfnn.estimator:RFNNClassifier",
        "rfnn_regressor": "sklstruct_rfnn.estimator:RFNNRegressor",
    }
