"""Find the frame layers of a fitted estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..frames import Frame
from .steps import unfolded


def frame_layers(estimator: Any) -> dict[str, Any]:
    """Return the frame layers of a fitted estimator by their names in ``net_.module_``.

    A frame layer has a ``Frame`` as ``frame``, ``coefficients`` of its atoms of shape
    (out_channels, in_channels, n_atoms) and a ``kernel`` of shape
    (out_channels, in_channels, *support).

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If it has no frame layers.
    """
    estimator = unfolded(estimator)[-1]
    check_is_fitted(estimator)
    module = getattr(getattr(estimator, "net_", None), "module_", None)
    layers = {
        name: layer
        for name, layer in ([] if module is None else module.named_modules())
        # By what they have, as layers of plugins need not be FrameConv.
        if isinstance(getattr(layer, "frame", None), Frame)
        and {"coefficients", "kernel"} <= {*dir(layer)}  # kernels of large scales may not fit
    }
    if not layers:
        raise ValueError(f"{type(estimator).__name__} has no frame layers to show.")
    return layers


def unit_coefficients(layer: Any) -> NDArray[np.float64]:
    """Return the coefficients of the atoms of unit norm, (out_channels, in_channels, n_atoms)."""
    coefficients: NDArray[np.float64] = layer.coefficients.numpy(force=True).astype(np.float64)
    norms: NDArray[np.float64] = layer.frame.norms  # which need no atoms that are built as arrays
    return coefficients * norms
