"""What structure saves: the weights of a layer if it were dense, local, shared, in a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .dimensions import has_free_kernels

Shape = tuple[int, ...]

BEYOND: dict[str, Any] = {  # the sample, as np.pad names it
    "zeros": {"constant_values": -1},
    "reflect": {"mode": "reflect"},
    "replicate": {"mode": "edge"},
    "circular": {"mode": "wrap"},
}


class Weights(NamedTuple):
    """Numbers of weights of a layer, biases not counted, from the least structure to the most.

    Parameters
    ----------
    dense : int
        If every output had a weight of every input.
    local : int
        Connections that are left where kernels have a support: pairs of an output and an input.
    shared : int
        Free parameters if all places share their kernel.
    frame : int
        If kernels are combinations of few atoms.
    attributes : int
        If what maps of channels have in common is used too, by ordered attributes, for example.

    See Also
    --------
    network_structure : Of all layers of a network.
    structure : The same as a table.

    Examples
    --------
    >>> from sklstruct.layers import Weights
    >>> Weights.of_kernels((1, 3, 3), (1, 2, 2), support=(2, 2))
    Weights(dense=36, local=16, shared=4, frame=4, attributes=4)
    """

    dense: int = 0
    local: int = 0
    shared: int = 0
    frame: int = 0
    attributes: int = 0

    @classmethod
    def of_kernels(
        cls,
        in_shape: Shape,
        out_shape: Shape,
        support: Shape,
        *,
        stride: Sequence[int] | int = 1,
        padding: Sequence[int] | int = 0,
        dilation: Sequence[int] | int = 1,
        padding_mode: str = "zeros",
        pairs: int | None = None,
        frame: int | None = None,
        attributes: int | None = None,
    ) -> Weights:
        """Return the numbers of a convolution.

        Parameters
        ----------
        in_shape, out_shape : tuple of int
            (*channels, *spatial) of a sample before and after; there may be several axes of
            channels.
        support : tuple of int
            Extents of the kernels.
        stride, padding, dilation : int or sequence of int
            Along every axis, or one for each.
        padding_mode : {"zeros", "reflect", "replicate", "circular"}, default="zeros"
            What is beyond the sample; with zeros there is nothing to connect to.
        pairs : int, default=None
            Of an input and an output channel that are connected; None is all.
        frame, attributes : int, default=None
            Free parameters by the structure of kernels and of channels; None is as before it.
        """
        ndim = len(support)
        connections = 1
        for axis, taps in enumerate(support):
            n_in, n_out = (shape[len(shape) - ndim + axis] for shape in (in_shape, out_shape))
            step, pad, apart = (
                v[axis] if isinstance(v, Sequence) else v for v in (stride, padding, dilation)
            )
            reach = pad + apart * taps
            places = np.pad(np.arange(n_in), reach, **BEYOND[padding_mode])
            taken = reach - pad + np.arange(n_out)[:, np.newaxis] * step + apart * np.arange(taps)
            # Each place once, and none where there is nothing.
            seen = np.sort(places[taken], axis=1)
            connections *= int((np.diff(seen, axis=1, prepend=-1) > 0).sum())
        if pairs is None:
            pairs = prod(in_shape[:-ndim]) * prod(out_shape[:-ndim])
        shared = pairs * prod(support)
        frame = shared if frame is None else frame
        attributes = frame if attributes is None else attributes
        dense = prod(in_shape) * prod(out_shape)
        return cls(dense, pairs * connections, shared, frame, attributes)


def weights_of(layer: Any, in_shape: Shape, out_shape: Shape) -> Weights:
    """Return the numbers of weights of any layer, for a sample of a shape."""
    if callable(own := getattr(layer, "weights_by_structure", None)):
        return own(in_shape, out_shape)
    transposed = getattr(layer, "transposed", False)
    if has_free_kernels(layer) or transposed:
        one, other, *support = layer.weight.shape
        names = "stride", "padding", "dilation", "padding_mode"
        steps = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
        if layer.padding == "same":  # as torch names it
            steps["padding"] = [
                apart * (extent - 1) // 2
                for apart, extent in zip(layer.dilation, support, strict=True)
            ]
        elif layer.padding == "valid":
            steps["padding"] = 0
        shapes = (out_shape, in_shape) if transposed else (in_shape, out_shape)
        return Weights.of_kernels(*shapes, tuple(support), pairs=one * other, **steps)
    if isinstance(layer, nn.Linear):  # perhaps at every place
        free = layer.weight.numel()
        places = prod(out_shape) // layer.out_features
        return Weights(prod(in_shape) * prod(out_shape), free * places, free, free, free)
    return Weights()  # a norm, say


def weights_of_calls(layer: Any, calls: Sequence[tuple[Shape, Shape]]) -> Weights:
    """Return the numbers of a layer that may run several times, by the shapes of each time."""
    if not calls:
        return Weights()
    dense, local, *shared = zip(*(weights_of(layer, *shapes) for shapes in calls), strict=True)
    return Weights(sum(dense), sum(local), *map(max, shared))


class LayerWeights(NamedTuple):
    """A layer of a network: its name, what it is, what it gives, and its numbers of weights."""

    name: str
    layer: nn.Module
    out_shape: Shape | None
    weights: Weights
    n_parameters: int


def network_structure(network: nn.Module, in_shape: Shape) -> list[LayerWeights]:
    """Return the layers of a network that have parameters or nothing within them.

    Parameters
    ----------
    network : nn.Module
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).

    Returns
    -------
    layers : list of LayerWeights
        In the order in which the network has them; shapes are None of a layer that it does not
        run.

    See Also
    --------
    structure : The same as a table, of any estimator.

    Examples
    --------
    >>> from torch import nn
    >>> from sklstruct.layers import network_structure
    >>> layers = network_structure(nn.Sequential(nn.Conv2d(1, 1, 2), nn.Flatten()), (1, 3, 3))
    >>> [(one.name, one.out_shape, one.weights.local) for one in layers]
    [('0', (1, 2, 2), 16), ('1', (4,), 0)]
    """
    layers = dict(layers_of(network))
    calls: dict[nn.Module, list[tuple[Shape, Shape]]] = {layer: [] for layer in layers.values()}

    def see(layer: nn.Module, args: Any, options: Any, output: Any) -> None:
        first: Any = next(iter((*args, *options.values())), None)
        if hasattr(first, "shape") and hasattr(output, "shape"):
            calls[layer].append((tuple(first.shape[1:]), tuple(output.shape[1:])))

    handles = [layer.register_forward_hook(see, with_kwargs=True) for layer in layers.values()]
    modes = [(module, module.training) for module in network.modules()]
    like = next(network.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, *in_shape, dtype=like.dtype, device=like.device))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return [
        LayerWeights(
            name,
            layer,
            calls[layer][-1][1] if calls[layer] else None,
            weights_of_calls(layer, calls[layer]),
            sum(parameter.numel() for parameter in layer.parameters()),
        )
        for name, layer in layers.items()
    ]


def layers_of(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and layers: with parameters of their own, or nothing within them."""
    found: list[str] = []
    lists = nn.ParameterList, nn.ParameterDict
    for name, part in network.named_modules():
        inner = [child for child in part.children() if not isinstance(child, lists)]
        own = not inner or any(True for _ in part.parameters(recurse=False))
        counts = hasattr(part, "weights_by_structure")  # what is within is a detail
        if (own or counts) and not name.startswith(tuple(f"{outer}." for outer in found)):
            found.append(name)
            yield name, part
