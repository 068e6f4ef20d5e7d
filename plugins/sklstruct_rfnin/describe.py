"""A network as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from sklstruct.layers import FrameConv

from .convolution import FreeAtomsConv


def describe_network(network: Any) -> pd.DataFrame:
    """Return the layers of a network, one a row.

    Parameters
    ----------
    network : RFNiNNetwork

    Returns
    -------
    table : DataFrame
        By the names of the layers: "kind"; "atoms", the number of different spatial filters,
        which for free kernels is one for each pair of channels; "support" and "stride";
        "parameters", with those of the norm that follows; "receptive_field", the extents of
        what one output can see, in samples of the input; "out_shape", (channels, *spatial).
    """
    shape, rows = network.in_shape, []
    field, step = np.ones(len(shape) - 1, dtype=int), 1
    for name, layer, norm in layers_of(network):
        support, stride = window(layer, len(field))
        field, step = field + (np.array(support) - 1) * step, step * stride
        width = getattr(layer, "out_channels", shape[0])
        shape = width, *((extent - 1) // stride + 1 for extent in shape[1:])
        rows.append(
            {
                "layer": name,
                "kind": kind(layer),
                "atoms": count_atoms(layer),
                "support": extents(support),
                "stride": stride,
                "parameters": count(layer) + count(norm),
                "receptive_field": extents(tuple(field)),
                "out_shape": shape,
            }
        )
    everything = {"support": extents(shape[1:]), "receptive_field": extents(network.in_shape[1:])}
    mean = {"layer": "mean", "kind": "mean", "out_shape": shape[:1], **everything}
    head = {
        "layer": "head",
        "kind": "linear",
        "parameters": count(network.head),
        "receptive_field": extents(network.in_shape[1:]),
        "out_shape": (network.head.out_features,),
    }
    table = pd.DataFrame([*rows, mean, head]).set_index("layer")
    numbers = ["atoms", "stride", "parameters"]
    return table.assign(**{name: table[name].fillna(0).astype(int) for name in numbers})


def layers_of(network: Any) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Yield name, layer and norm (or an empty module) of what changes channels or extents."""
    modules = dict(network.stages.named_modules(prefix="stages"))
    for name, layer in modules.items():
        if name.endswith((".average", ".conv", ".pool")):
            norm = modules[name.replace(".conv", ".norm")] if "conv" in name else nn.Identity()
            yield name, layer, norm


def kind(layer: nn.Module) -> str:
    """Return the name of the frame of a convolution, or what else a layer is."""
    if isinstance(layer, FrameConv):
        return layer.frame.name
    if isinstance(layer, FreeAtomsConv):
        return "free"
    if isinstance(layer, nn.AvgPool3d):
        return "average"
    return "1x1" if hasattr(layer, "out_channels") else "max"


def window(layer: nn.Module, ndim: int) -> tuple[tuple[int, ...], int]:
    """Return support and stride of a layer."""
    if isinstance(layer, FrameConv):
        return layer.frame.support, layer.stride
    if isinstance(layer, FreeAtomsConv):
        return layer.support, layer.stride
    if isinstance(layer, nn.AvgPool3d):
        step = int(layer.kernel_size)  # type: ignore[arg-type]
        return (step,) * ndim, step
    pooled = not hasattr(layer, "out_channels")
    return ((3,) * ndim, 2) if pooled else ((1,) * ndim, 1)


def count_atoms(layer: nn.Module) -> int:
    """Return the number of different spatial filters of a layer."""
    if isinstance(layer, FreeAtomsConv):
        return layer.n_atoms
    if not isinstance(layer, FrameConv):
        return 0
    free = layer.frame.name == "pixel"
    return layer.in_channels * layer.out_channels if free else len(layer.frame)


def count(module: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def extents(shape: tuple[int, ...]) -> str:
    """Return extents as in 11x11."""
    return "x".join(map(str, shape))
