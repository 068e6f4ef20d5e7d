"""Find the frame layers of a fitted estimator, known by what they have, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import Frame


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
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    module = getattr(getattr(estimator, "net_", None), "module_", None)
    named = [] if module is None else module.named_modules()
    layers = {name: layer for name, layer in named if is_frame_layer(layer)}
    if not layers:
        raise ValueError(f"{type(estimator).__name__} has no frame layers to show.")
    return layers


def is_frame_layer(module: Any) -> bool:
    """Return whether a module has what makes a frame layer."""
    has_frame = isinstance(getattr(module, "frame", None), Frame)
    return has_frame and hasattr(module, "coefficients") and hasattr(module, "kernel")


def pick_layer(layers: dict[str, Any], layer: str | int | None) -> str:
    """Return the name of a layer that is given by name, by index or as None for the first.

    Raises
    ------
    ValueError
        If there is no such layer; the message gives the known names.
    """
    names = list(layers)
    if layer in layers:
        return str(layer)
    index = 0 if layer is None else layer
    if isinstance(index, int) and -len(names) <= index < len(names):
        return names[index]
    raise ValueError(
        f"layer must be an index below {len(names)} or one of {', '.join(names)}, got {layer!r}."
    )


def unit_coefficients(layer: Any) -> NDArray[np.float64]:
    """Return the coefficients of the atoms of unit norm, (out_channels, in_channels, n_atoms)."""
    return to_numpy(layer.coefficients) * np.linalg.norm(layer.frame.flat, axis=1)


def to_numpy(tensor: Any) -> NDArray[np.float64]:
    """Return a torch tensor as an array."""
    return np.asarray(tensor.detach().cpu(), dtype=np.float64)
