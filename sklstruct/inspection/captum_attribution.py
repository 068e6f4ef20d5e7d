"""Attributions of the package captum, of any estimator that ends in a network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..params import check, integer
from .attribution import explained
from .opened import Opened, with_gradients
from .places import Places


def captum_map(
    method: Any,
    /,
    estimator: Any,
    X: Any,
    target: Any = None,
    *,
    layer: str | None = None,
    random_state: int = 0,
    **params: Any,
) -> NDArray[np.float32]:
    """Return maps of a method of the package captum.

    What captum is given is the network and standardised samples, one after another, and what it
    explains is the one number of a sample that all maps here explain.  What it returns is added
    up over channels.

    Parameters
    ----------
    method : str or class
        A class of ``captum.attr``, or its name: "DeepLift", "GuidedBackprop", "LayerGradCam",
        "ShapleyValueSampling".
    estimator : fitted network estimator
        Or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        Samples as ``fit`` had them; paths of scans are read one at a time.
    target : label or int, default=None
        As of ``gradient_map``.
    layer : str, default=None
        For methods of a layer, its name in ``net_.module_``; None is the last one with places.
        Between these, the map is interpolated as by ``grad_cam_map``.
    random_state : int, default=0
        What is random begins with, anew for every sample.
    **params
        As the class or its ``attribute`` take them, in standardised units and of one sample: its
        ``baselines``, as tensors (1, channels, *spatial), are 0 for the mean.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)

    Raises
    ------
    ImportError
        If captum is not installed: ``pip install 'sklstruct[captum]'``.
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it does not end in a network estimator.
    ValueError
        If there is no such method, layer or target, or X has another shape.

    See Also
    --------
    gradient_map, integrated_gradients, grad_cam_map : The usual ones, without captum.

    References
    ----------
    N. Kokhlikyan et al. Captum: a unified and generic model interpretability library for PyTorch.
    2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import captum_map
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> captum_map("DeepLift", model, X[:3], target=7).shape
    (3, 8, 8)
    """
    try:
        import captum.attr
    except ImportError as error:
        raise ImportError(
            f"captum_map needs the package captum, which cannot be imported ({error}): pip install "
            "'sklstruct[captum]'."
        ) from error
    made_by: Any = getattr(captum.attr, method, None) if isinstance(method, str) else method
    if not callable(getattr(made_by, "attribute", None)):
        raise ValueError(f"method must be a class of captum.attr or its name, got {method!r}.")
    check("random_state", random_state, integer(0))
    opened = Opened(estimator)
    weigh, samples = opened.weigh(target), opened.read(X)
    taken = signature(made_by).parameters
    options = {name: params.pop(name) for name in list(params) if name in taken}
    places = None
    if "layer" in taken:
        places = Places(opened, samples.shape[1:], opened.outputs)
        layer, at = places.of(layer)
        options["layer"] = opened.network.get_submodule(layer)

    def explain(x: Tensor) -> Tensor:
        with with_gradients(), seeded(random_state), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Setting .*hooks", UserWarning)  # and removing them
            f = Explained(opened.network, explained(opened, weigh, x))
            found = made_by(f, **options).attribute(x.clone().requires_grad_(), **params)
        return opened.as_maps(found).detach().sum(dim=1)

    with opened.storing():
        maps = opened.run(samples, explain, one_by_one=True).astype(np.float32, copy=False)
    if places is None or maps.shape[1:] == places.sample:
        return maps
    return places.to_samples(maps, at)


@contextmanager
def seeded(random_state: int) -> Iterator[None]:
    """Seed torch and NumPy, from both of which captum draws, and put them back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(random_state)  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_state)
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


class Explained(nn.Module):
    """What is explained as a module, in which captum finds the layers of the network."""

    def __init__(self, network: nn.Module, function: Any) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to one number a sample, (n,)."""
        return self.function(x)
