"""Hierarchical attribute CNNs: channels with an order (Jacobsen, thesis, chapter 5)."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_architectures() -> dict[str, Any]:
    """Provide the network."""
    return {"hierarchical_cnn": "sklstruct_hierarchical.architecture:HierarchicalCNN"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide its classifier and its regressor."""
    module = "sklstruct_hierarchical.estimators"
    return {
        "hierarchical_cnn": f"{module}:HierarchicalCNNClassifier",
        "hierarchical_cnn_regressor": f"{module}:HierarchicalCNNRegressor",
    }
