"""The i-RevNet: a cascade of couplings that loses nothing, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.layers import (
    BATCH_NORM,
    CONV,
    Coupling,
    Dropout,
    InjectivePad,
    MeanOverPlaces,
    Reversible,
    ReversibleSequential,
    SpaceToChannels,
)
from sklstruct.params import FLAG, SEQUENCE, WIDTHS, integer, one_of, param, real

from .presets import PRESETS

KERNELS = ("1-3-1", "3-3-3")
NARROWER = 4  # times fewer channels within a residual than it gives
CHANNELS = WIDTHS | integer(1) | one_of("bijective") | None


class IRevNet(Architecture):
    r"""Invertible residual network: couplings of two halves, and space moved into channels.

    .. math::
        x_{j+1} = S_j \tilde x_j, \quad \tilde x_{j+1} = S_j x_j + F_j \tilde x_j
        \quad \Longleftrightarrow \quad
        \tilde x_j = S_j^{-1} x_{j+1}, \quad x_j = S_j^{-1} (\tilde x_{j+1} - F_j \tilde x_j)

    with bottlenecks F of three convolutions, each after batch norm and rectifier, and S that
    moves blocks of neighbours into channels in the first block of a stage with a stride, and is
    the identity else.  Only the head loses something: norm, rectifier, mean over places, linear.
    Samples are padded with zeros to multiples of the total stride, and the inverse cuts them off.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "cifar": as in the authors' code; "cifar-bijective": without channels of
        zeros.  "imagenet-b": the bijective network as described, "imagenet-b-released": as in
        the code, and "imagenet-a": the injective one; kernels of the published number of
        parameters of the last are not known.  Learning rates fall along a cosine in place of
        steps.
    blocks : sequence of int, default=None
        Couplings in each stage; (2, 2, 2).
    widths : sequence of int, int or "bijective", default=None
        Channels of one half in each stage.  Where there are fewer, channels of zeros join them,
        which makes the network injective, and its inverse a left inverse.  An integer is the
        width of the last stage, and those before have as many values as it; 128.  "bijective":
        as many as samples have.
    strides : int or sequence of int, default=None
        Of the first coupling of each stage; (1, 2, 2).
    kernels : {"1-3-1", "3-3-3"}, default=None
        Supports of the three convolutions; "3-3-3".
    initial_downsampling : int, default=None
        Edge of the blocks that become channels before the first coupling; 1.
    zeros : {"front", "end"}, default=None
        Where channels of zeros come.  In front, the first half is empty where samples are narrow,
        and its residuals see the second.  At the end, as published, the first residual sees zeros
        alone, and never learns; "front", of what is published "end".
    order : {"position", "channel"}, default="position"
        Of the channels that space is moved into; see ``SpaceToChannels``.
    dropout : float, default=None
        Before the last convolution of a bottleneck; 0.1.
    store_activations : bool, default=False
        Whether to keep what the gradient needs, in place of computing it again by the inverses:
        less time, memory that grows with depth, and the same result but for rounding.
    mixed_precision : bool, default=False
        Whether bottlenecks are computed in bfloat16; what is carried on stays as exact.

    See Also
    --------
    IRevNetClassifier, IRevNetRegressor : The estimators that train it.

    References
    ----------
    J.-H. Jacobsen, A. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR, 2018.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_irevnet.architecture import IRevNet
    >>> network = IRevNet().build(in_shape=(3, 27, 31), n_outputs=10).eval()
    >>> x = torch.rand(2, 3, 27, 31)
    >>> z = network.features(x)
    >>> z.shape
    torch.Size([2, 256, 7, 8])
    >>> torch.allclose(network.inverse(z), x, atol=1e-5)
    True
    """

    preset: str = param("small", one_of(*PRESETS))
    blocks: Sequence[int] | None = param(None, WIDTHS | None)
    widths: Sequence[int] | int | str | None = param(None, CHANNELS)
    strides: int | Sequence[int] | None = param(None, WIDTHS | integer(1) | None)
    kernels: str | None = param(None, one_of(*KERNELS) | None)
    initial_downsampling: int | None = param(None, integer(1) | None)
    zeros: str | None = param(None, one_of("front", "end") | None)
    order: str = param("position", one_of("position", "channel"))
    dropout: float | None = param(None, real(least=0, below=1) | None)
    store_activations: bool = param(False, FLAG)
    mixed_precision: bool = param(False, FLAG)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return the network."""
        net = self.in_force()
        block, (channels, *spatial) = net.initial_downsampling, in_shape
        strides, n_blocks = self._stages()
        ndim, total = len(spatial), block * prod(strides)
        if min(spatial) < total:
            raise ValueError(
                f"Samples must have at least {total} values along every axis, the total stride, "
                f"got {tuple(spatial)}: choose smaller strides."
            )
        widths = self._widths(channels * block**ndim, strides, ndim)
        missing = [-extent % total for extent in spatial]
        layers: OrderedDict[str, Reversible] = OrderedDict()
        layers["pad"] = InjectivePad(0, [(gap // 2, gap - gap // 2) for gap in missing])
        layers["downsample"] = SpaceToChannels(block, net.order)
        extents = [(extent + gap) // block for extent, gap in zip(spatial, missing, strict=True)]
        shapes = [tuple(in_shape), (channels, *(block * extent for extent in extents))]
        shapes.append((channels * block**ndim, *extents))
        n_done = 0
        for stage, (width, stride, n) in enumerate(zip(widths, strides, n_blocks, strict=True), 1):
            before = 2 * width // stride**ndim
            if before > shapes[-1][0]:
                front = net.zeros == "front"
                layers[f"widen{stage}"] = InjectivePad(before - shapes[-1][0], front=front)
                shapes.append((before, *extents))
            for step in (stride, *[1] * (n - 1)):
                n_done += 1
                half = shapes[-1][0] // 2
                residual = bottleneck(half, width, net, step, ndim, norm_first=n_done > 1)
                layers[f"block{n_done}"] = Coupling(residual, SpaceToChannels(step, net.order))
                extents = [extent // step for extent in extents]
                shapes.append((2 * width, *extents))
        stages = ReversibleSequential(layers, store_activations=net.store_activations)
        return IRevNetNetwork(stages, shapes, n_outputs, net.mixed_precision)

    def _stages(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return strides and numbers of blocks, one a stage."""
        given = (getattr(self, name) for name in ("widths", "blocks", "strides"))
        n_stages = len(next(filter(SEQUENCE.holds, given), self.published()["blocks"]))
        return self.of_stages("strides", n_stages), self.of_stages("blocks", n_stages)

    def _widths(self, channels: int, strides: Sequence[int], ndim: int) -> Sequence[int]:
        """Return the channels of a half in each stage, for samples of so many channels."""
        widths, growth = self.in_force().widths, [stride**ndim for stride in strides]
        if isinstance(widths, int):
            widths = [widths // prod(growth[k + 1 :]) for k in range(len(growth))]
        elif widths == "bijective":
            if channels % 2:
                raise ValueError(
                    f"widths='bijective' needs an even number of channels to halve, got {channels}:"
                    " give widths, or an even initial_downsampling."
                )
            widths = [channels // 2 * prod(growth[: k + 1]) for k in range(len(growth))]
        else:
            widths = list(self.of_stages("widths", len(growth)))
        before = [-(-channels // 2), *widths[:-1]]
        for stage, (old, step, width) in enumerate(zip(before, growth, widths, strict=True), 1):
            if width % step or width < old * step:
                multiple = f" and be a multiple of {step}" if step > 1 else ""
                raise ValueError(
                    "widths must grow as space shrinks, or something would be lost: that of stage "
                    f"{stage} must be at least {old * step}{multiple}, got {width}."
                )
        return widths


def bottleneck(
    n_in: int,
    n_out: int,
    net: Any,
    stride: int,
    ndim: int,
    norm_first: bool = True,
    narrower: float = NARROWER,
) -> nn.Sequential:
    """Return three convolutions, each after norm and rectifier.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    net : IRevNet
        Its ``kernels`` and its ``dropout``.
    stride : int
        Of the first convolution.
    ndim : int
    norm_first : bool, default=True
        Whether there are norm and rectifier before the first convolution.
    narrower : float, default=4
        How many times fewer channels there are within.
    """
    inner = max(1, int(n_out / narrower))
    sizes = [int(size) for size in net.kernels.split("-")]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    widths, steps = (n_in, inner, inner, n_out), (stride, 1, 1)
    for k, (size, step) in enumerate(zip(sizes, steps, strict=True), start=1):
        if k > 1 or norm_first:
            layers |= {f"norm{k}": BATCH_NORM[ndim](widths[k - 1]), f"relu{k}": nn.ReLU()}
        options: dict[str, Any] = {"stride": step, "padding": size // 2, "bias": False}
        layers[f"conv{k}"] = CONV[ndim](widths[k - 1], widths[k], size, **options)
        if k == 2:
            layers["dropout"] = Dropout(net.dropout)
    return nn.Sequential(layers)


class IRevNetNetwork(nn.Module):
    """Reversible stages, and a head that reads their output.

    Parameters
    ----------
    stages : ReversibleSequential
    shapes : sequence of tuple of int
        Of a sample, (channels, *spatial), and of what every layer of the stages makes of it.
    n_outputs : int
    mixed_precision : bool
    """

    def __init__(
        self,
        stages: ReversibleSequential,
        shapes: Sequence[tuple[int, ...]],
        n_outputs: int,
        mixed_precision: bool,
    ) -> None:
        super().__init__()
        self.stages, self.shapes, self.mixed_precision = stages, shapes, mixed_precision
        width, ndim = shapes[-1][0], len(shapes[-1]) - 1
        norm, linear = BATCH_NORM[ndim](width), nn.Linear(width, n_outputs)
        layers = OrderedDict(norm=norm, relu=nn.ReLU(), mean=MeanOverPlaces(), linear=linear)
        self.head = nn.Sequential(layers)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to the representation, (n, 2 * width, *places)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.mixed_precision):
            return self.stages(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs)."""
        return self.head(self.features(x))

    def class_activations(self, x: Tensor) -> Tensor:
        """Return what every place adds to the outputs, (n, n_outputs, *places)."""
        maps, linear = self.head[:2](self.features(x)), cast(nn.Linear, self.head[-1])
        return torch.einsum("nc...,oc->no...", maps, linear.weight)

    def inverse(self, z: Tensor, layer: str | None = None) -> Tensor:
        """Return the samples that have a representation.

        Parameters
        ----------
        z : Tensor, shape (n, 2 * width, *places)
            What ``features`` gives, or what a layer of the stages does.
        layer : str, default=None
            Its name, such as "stages.block3".

        Returns
        -------
        x : Tensor, shape (n, channels, *spatial)
        """
        names = [f"stages.{name}" for name, _ in self.stages.named_children()]
        if layer not in (None, *names):
            raise ValueError(f"layer must be one of {', '.join(names)}, got {layer!r}.")
        last = len(names) if layer is None else 1 + names.index(layer)
        if tuple(z.shape[1:]) != self.shapes[last]:
            raise ValueError(
                f"The representation must have shape (n, {', '.join(map(str, self.shapes[last]))})"
                f", got {tuple(z.shape)}."
            )
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.mixed_precision):
            return cast(ReversibleSequential, self.stages[:last]).inverse(z)
