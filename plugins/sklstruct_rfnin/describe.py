"""A network as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from sklstruct.layers import FrameConv, Weights, network_structure

from .convolution import FreeAtomsConv

SIZES = ("atoms", "scales", "support", "stride", "parameters", "receptive_field", "out_shape")


def describe_network(network: Any) -> pd.DataFrame:
    """Return the layers of a network, one a row.

    Parameters
    ----------
    network : RFNiNNetwork

    Returns
    -------
    table : DataFrame
        By the names of the layers: "kind"; "atoms", the number of different spatial filters,
        which for free kernels is one for each pair of channels; "scales", those of the atoms as
        they are, the mean over channels where each has its own; "support" and "stride";
        "parameters", with those of the norm that follows; "receptive_field", the extents of
        what one output can see, in samples of the input; "out_shape", (channels, *spatial); and
        the weights from the least structure to the most, see ``sklstruct.inspection.structure``.
    """
    shape, everything = network.in_shape, extents(network.in_shape[1:])
    rows: list[Any] = []
    field, step = np.ones(len(shape) - 1, dtype=int), 1
    for name, layer, norm in layers_of(network):
        kind, atoms, support, stride = facts(layer, len(field))
        field, step = field + (np.array(support) - 1) * step, step * stride
        width = getattr(layer, "out_channels", shape[0])
        shape = width, *((extent - 1) // stride + 1 for extent in shape[1:])
        size, seen = count(layer) + count(norm), extents(tuple(field))
        rows.append((name, kind, atoms, scales(layer), extents(support), stride, size, seen, shape))
    rows.append(("mean", "mean", 0, "", extents(shape[1:]), 0, 0, everything, shape[:1]))
    size, n_outputs = count(network.head), network.head.out_features
    rows.append(("head", "linear", 0, "", np.nan, 0, size, everything, (n_outputs,)))
    table = pd.DataFrame(rows, columns=["layer", "kind", *SIZES]).set_index("layer")
    found = {one.name: one.weights for one in network_structure(network, network.in_shape)}
    weights = [found.get(name, Weights()) for name in table.index]
    return table.join(pd.DataFrame(weights, index=table.index))


def layers_of(network: Any) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Yield name, layer and norm (or an empty module) of what changes channels or extents."""
    modules = dict(network.stages.named_modules(prefix="stages"))
    for name, layer in modules.items():
        if name.endswith((".average", ".conv", ".pool")):
            norm = modules[name.replace(".conv", ".norm")] if "conv" in name else nn.Identity()
            yield name, layer, norm


def facts(layer: Any, ndim: int) -> tuple[str, int, tuple[int, ...], int]:
    """Return kind, number of different spatial filters, support and stride of a layer."""
    if isinstance(layer, FrameConv):
        pairs, frame = layer.in_channels * layer.out_channels, layer.frame
        atoms = pairs if frame.name == "pixel" else len(frame)
        return frame.name, atoms, frame.support, layer.stride
    if isinstance(layer, FreeAtomsConv):
        return "free", layer.n_atoms, layer.kernel_size, layer.stride
    if isinstance(layer, nn.AvgPool3d):
        step: Any = layer.kernel_size
        return "average", 0, (step,) * ndim, step
    return ("1x1", 0, (1,) * ndim, 1) if count(layer) else ("max", 0, (3,) * ndim, 2)


def scales(layer: Any) -> str:
    """Return the scales of the atoms of a layer, the means over channels, as in 1, 2.05."""
    found = layer.scales.mean(dim=0).tolist() if isinstance(layer, FrameConv) else []
    return ", ".join(f"{scale:.3g}" for scale in found if scale == scale)  # pixels have nan


def count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def extents(shape: tuple[int, ...]) -> str:
    """Return extents as in 11x11."""
    return "x".join(map(str, shape))
