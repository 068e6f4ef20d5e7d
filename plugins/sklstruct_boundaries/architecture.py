"""The residual network of dynamic and static blocks for maps, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.layers import BATCH_NORM, MAX_POOL, DynamicSteerableBlock, FrameConv, Pointwise
from sklstruct.params import FLAG, WIDTHS, integer, one_of, param
from sklstruct.plugins import make_frame

from .presets import PRESETS

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class DynResNet(Architecture):
    preset: str = param("small", one_of(*PRESETS))
    frame: Any = param("gaussian", resolve=make_frame)
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    strides: Sequence[int] | None = param(None, WIDTHS | None)
    top: int | None = param(None, integer(1) | None)
    pose: str = param("learned", one_of("learned", "max", "fixed"))
    side_outputs: bool = param(False, FLAG)
    refine: bool = param(False, FLAG)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    dense: ClassVar[bool] = True

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> BoundaryNetwork:
        net, ndim = self.in_force(), len(in_shape) - 1
        n_stages = len(net.widths)
        families = self.frames(n_stages)
        strides = self.of_stages("strides", n_stages)
        stages, laterals = nn.ModuleList(), nn.ModuleList()
        refine = nn.ModuleList()
        n_in = in_shape[0]
        for stage, (width, stride, family) in enumerate(zip(net.widths, strides, families, strict=True)):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            if stride > 1 and stage:
                layers["pool"] = MAX_POOL[ndim](stride, ceil_mode=True)
            options = {"stride": stride} if stage==0 else {}
            if stage:
                layers["conv"] = DynamicSteerableBlock(n_in, width, family, ndim=ndim, bias=False, pose=net.pose)
            else:
                layers["conv"] = FrameConv(n_in, width, family, ndim=ndim, bias=False, **options)
            layers["activate"] = activation(width, ndim)
            if stage:
                layers["residual"] = StaticBlock(width, family, ndim)
                laterals.append(Pointwise(width, net.top, ndim))
                refine.append(StaticBlock(net.top, family, ndim) if net.refine else nn.Identity())
            stages.append(nn.Sequential(layers))
            n_in = width
        return BoundaryNetwork(stages, laterals, refine, strides, net.top, n_outputs, net.widths, ndim, net.side_outputs, families[-1])


def activation(width: int, ndim: int) -> nn.Sequential:
    """Return batch norm and rectifier."""
    return nn.Sequential(OrderedDict(norm=BATCH_NORM[ndim](width), relu=nn.ReLU()))


class StaticBlock(nn.Module):
    def __init__(self, width: int, family: Any, ndim: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(OrderedDict(
            conv1=FrameConv(width, width, family, ndim=ndim, bias=False),
            activate=activation(width, ndim),
            conv2=FrameConv(width, width, family, ndim=ndim, bias=False),
            norm=BATCH_NORM[ndim](width),
        ))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.residual(x)).relu()


class BoundaryNetwork(nn.Module):
    def __init__(self, stages, laterals, refine, strides, top, n_outputs, widths, ndim, side_outputs, family) -> None:
        super().__init__()
        self.stages, self.laterals = stages, laterals
        self.strides, self.mode = list(strides), LINEAR[ndim]
        self.refine = refine
        self.top = nn.Sequential(OrderedDict(
            activate=activation(top, ndim),
            conv=FrameConv(top, top, family, ndim=ndim, bias=False),
            activate2=activation(top, ndim)))
        self.predict = Pointwise(top, n_outputs, ndim)
        self.sides = nn.ModuleList([Pointwise(top, n_outputs, ndim) for _ in laterals[1:]]) if side_outputs else None
        self.fuse = Pointwise(len(widths) - 1, n_outputs, ndim) if side_outputs else None

    def grow(self, x, factor, extents):
        if factor > 1:
            x = F.interpolate(x, scale_factor=factor, mode=self.mode, align_corners=False)
        for axis, extent in enumerate(extents, start=2):
            x = x.narrow(axis, 0, extent)
        return x

    def merged(self, x):
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        merged, out, factor = None, [], 1
        for k in range(len(maps)-1, 0, -1):
            lateral = self.laterals[k-1](maps[k])
            if merged is not None:
                lateral = lateral + self.grow(merged, self.strides[k+1], lateral.shape[2:])
            merged = self.refine[k-1](lateral)
            out.append(merged)
        return out

    def features(self, x):
        return self.top(self.merged(x)[-1])

    def forward(self, x: Tensor) -> Any:
        extents = x.shape[2:]
        merged = self.merged(x)
        factor = self.strides[0] * self.strides[1]
        out = self.grow(self.predict(self.top(merged[-1])), factor, extents)
        if self.sides is None:
            return out
        sides = [out]
        for k in range(len(self.strides)-1, 1, -1):
            side = self.sides[k-2](merged[len(self.strides)-1-k])
            f = 1
            for s in self.strides[:k+1]: f *= s
            sides.append(self.grow(side, f, extents))
        fused = self.fuse(torch.cat(sides, 1))
        return (fused, *sides) if self.training else fused
