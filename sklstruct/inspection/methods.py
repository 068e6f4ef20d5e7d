"""Maps of where a model looks, by the names of the methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attribution import class_activation_map, gradient_map
from .captum_attribution import captum_map
from .grad_cam import grad_cam_map
from .integrated import integrated_gradients
from .occlusion import occlusion_map

MapMethod = Callable[..., NDArray[np.float32]]
Methods = Mapping[str, Any] | Sequence[str]

MAP_METHODS: dict[str, MapMethod] = {
    "activation": class_activation_map,
    "grad_cam": grad_cam_map,
    "gradient": gradient_map,
    "input_x_gradient": partial(gradient_map, kind="input_x_gradient"),
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion_map,
    "smooth_gradient": partial(gradient_map, n_samples=16, noise=0.5),
}
MEANINGS = {  # of their values
    "activation": "class activation",
    "grad_cam": "Grad-CAM",
    "gradient": "slope of the output",
    "input_x_gradient": "slope times deviation",
    "integrated_gradients": "share in the output",
    "occlusion": "fall of the output when hidden",
    "smooth_gradient": "mean slope of the output",
}
FROM_CAPTUM = "captum:"


def map_method(method: str | MapMethod) -> MapMethod:
    """Return what makes maps, by its name, or as it is.

    Parameters
    ----------
    method : str or callable
        One of "activation", "grad_cam", "gradient", "input_x_gradient", "integrated_gradients",
        "occlusion" and "smooth_gradient"; a class of captum as "captum:DeepLift"; or what maps
        (estimator, X, target) to maps (n, *spatial).

    Raises
    ------
    ValueError
        If there is no method of this name.
    """
    if callable(method):
        return method
    if str(method).startswith(FROM_CAPTUM):
        return partial(captum_map, method.removeprefix(FROM_CAPTUM))
    if method not in MAP_METHODS:
        known = ", ".join(map(repr, MAP_METHODS))
        raise ValueError(f"method must be one of {known}, or 'captum:NAME', got {method!r}.")
    return MAP_METHODS[method]


def named_methods(methods: Methods) -> dict[str, Any]:
    """Return methods by their names, which may be all that is given of them."""
    return dict(methods) if isinstance(methods, Mapping) else {name: name for name in methods}


def values_of(method: str | MapMethod, estimator: Any, target: Any) -> str:
    """Return in words what the values of maps are, and of which class."""
    name = method if isinstance(method, str) else getattr(method, "__name__", "map")
    words = MEANINGS.get(name, name.removeprefix(FROM_CAPTUM).replace("_", " "))
    classes = getattr(estimator, "classes_", [])
    if target is None and len(classes) == 2:
        target = classes[-1]
    return words if target is None else f"{words} ({target})"
