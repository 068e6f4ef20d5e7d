"""Sparse codes in fixed frames and in convolutional dictionaries, and classifiers on them."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_layers() -> dict[str, Any]:
    """Provide the threshold."""
    return {"threshold": "sklstruct_sparse.thresholds:Threshold"}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the classifiers and the transformer."""
    return {
        "sparse_frame": "sklstruct_sparse.classifier:SparseFrameClassifier",
        "sparse_coding": "sklstruct_sparse.classifier:ConvolutionalSparseClassifier",
        "sparse_coder": "sklstruct_sparse.coder:ConvolutionalSparseCoder",
    }
