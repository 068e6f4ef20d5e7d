"""The residual network of dynamic and static blocks that gives maps, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import mul
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklstruct.estimators import SteerableArchitecture
from sklstruct.layers import MAX_POOL, FrameConv, Pointwise, ResidualBlock, activation, pointwise
from sklstruct.params import FLAG, ODD, WIDTHS, integer, one_of, param
from sklstruct.plugins import make_frame

from .presets import PRESETS

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class DynResNet(SteerableArchitecture):
    r"""Residual network of dynamic and static blocks with an output at every place.

    .. math::
        h_l = \rho(h' + w'' \star \rho(w' \star \rho(h'))), \quad h' = D_l(\mathrm{pool}(h_{l-1})),
        \qquad
        m_l = P_l h_l + {\uparrow} m_{l+1}, \qquad o = {\uparrow} W \rho(w \star \rho(m_1))

    with dynamic steerable blocks D, each of them followed by a static residual block; norm and
    rectifier :math:`\rho`; kernels w in the span of a frame; and 1x1 convolutions P and W.  A thin
    convolution of the sample gives :math:`h_0`.  Most is done where places are few: pairs of blocks
    are coarser than what is before them, and their maps m are brought together, by linear
    interpolation :math:`\uparrow`, at the first pair.  The thesis has the order of the blocks
    and the widths; supports, scales, strides, the sum of maps and the small network are ours.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too.  "small": for a few
        hundred images on a CPU.  "thesis": 64, twice 128, and 256 channels.
    frame : str, frame family, or sequence of these, default="gaussian"
        Of all convolutions, or for each pair of blocks; one that rotations steer, but for
        ``pose="fixed"``.
    stem : int, default=None
        Channels of the first convolution; 16.
    widths : sequence of int, default=None
        Channels of each pair of blocks; (24, 40, 64).
    strides : int or sequence of int, default=None
        How many times coarser each pair is than what is before it; 2.
    top : int, default=None
        Channels of the last convolution; 32.
    side_outputs : bool, default=False
        Whether outputs are fused, by a 1x1 convolution, of those of each pair of blocks and those
        of the last convolution.  In training the network gives these as well, so that each of them
        learns.
    pose_context : int, default=1
        As for any steerable architecture.  With 1 a dynamic block sees as much as its static twin.

    See Also
    --------
    BoundaryDetector : The estimator that trains it.
    StructuredMapClassifier : Any classes with it.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017 (section 4.4.2 of the first author's thesis).

    S. Xie and Z. Tu. Holistically-nested edge detection. ICCV, 2015.

    Examples
    --------
    >>> from sklstruct_boundaries.architecture import DynResNet
    >>> for pose in ("learned", "fixed"):
    ...     network = DynResNet(pose=pose).build(in_shape=(3, 64, 64), n_outputs=1)
    ...     print(sum(weights.numel() for weights in network.parameters()))
    111132
    107025
    """

    preset: str = param("small", one_of(*PRESETS))
    frame: Any = param("gaussian", resolve=make_frame)
    stem: int | None = param(None, integer(1) | None)
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    strides: int | Sequence[int] | None = param(None, WIDTHS | integer(1) | None)
    top: int | None = param(None, integer(1) | None)
    side_outputs: bool = param(False, FLAG)
    pose_context: int = param(1, ODD)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    dense: ClassVar[bool] = True

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> PyramidNetwork:
        """Return the network."""
        net, ndim = self.in_force(), len(in_shape) - 1
        families = self.frames(len(net.widths))
        strides = self.of_stages("strides", len(net.widths))

        def convolution(n_in: int, n_out: int, frame: Any) -> nn.Module:
            return FrameConv(n_in, n_out, frame, ndim=ndim, bias=False)  # norms have a bias

        stem: OrderedDict[str, nn.Module] = OrderedDict()
        stem["conv"] = convolution(in_shape[0], net.stem, families[0])
        stem["activate"] = activation(net.stem, ndim)
        pairs, n_in = nn.ModuleList(), net.stem
        for n_out, stride, frame in zip(net.widths, strides, families, strict=True):
            residual: OrderedDict[str, nn.Module] = OrderedDict()
            residual["conv1"] = convolution(n_out, n_out, frame)
            residual["activate"] = activation(n_out, ndim)
            residual["conv2"] = convolution(n_out, n_out, frame)
            pair: OrderedDict[str, nn.Module] = OrderedDict()
            pair["pool"] = MAX_POOL[ndim](stride, ceil_mode=True)  # so that a place stays one
            pair["dynamic"] = net.dynamic(n_in, n_out, frame, ndim)
            pair["static"] = ResidualBlock(activation(n_out, ndim), nn.Sequential(residual), None)
            pair["activate"] = activation(n_out, ndim)
            pairs.append(nn.Sequential(pair))
            n_in = n_out
        top: OrderedDict[str, nn.Module] = OrderedDict()
        top["activate1"] = activation(net.widths[0], ndim)
        top["conv"] = convolution(net.widths[0], net.top, families[0])
        top["activate2"] = activation(net.top, ndim)
        return PyramidNetwork(
            n_outputs,
            nn.Sequential(stem),
            pairs,
            nn.Sequential(top),
            strides=strides,
            widths=net.widths,
            n_top=net.top,
            ndim=ndim,
            side_outputs=net.side_outputs,
        )


class PyramidNetwork(nn.Module):
    r"""Stages, each coarser than the one before, whose maps are brought together at the finest.

    .. math:: m_l = P_l h_l + {\uparrow} m_{l+1}, \qquad o = {\uparrow} W \, \mathrm{top}(m_1)

    with the maps :math:`h_l` of the stages, 1x1 convolutions P and W, where :math:`P_1 = 1`, and
    linear interpolation :math:`\uparrow`.

    Parameters
    ----------
    n_outputs : int
        Number of outputs at a place.
    stem : nn.Module
        What the first stage reads, at full resolution.
    stages : nn.ModuleList
    top : nn.Module
        What reads :math:`m_1`.
    strides, widths : sequence of int
        Of each stage: how many times coarser it is than what is before it, and its channels.
    n_top : int
        Channels of what ``top`` gives.
    ndim : int
        Number of spatial axes.
    side_outputs : bool, default=False
        Whether outputs are fused, by a 1x1 convolution, of :math:`o` and of those of each m.  In
        training these are returned too, after the fused ones.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct_boundaries.architecture import PyramidNetwork
    >>> stages = nn.ModuleList([nn.Conv2d(3, 8, 1), nn.Conv2d(8, 9, 2, 2)])
    >>> options = {"strides": (1, 2), "widths": (8, 9), "n_top": 8, "ndim": 2}
    >>> network = PyramidNetwork(1, nn.Identity(), stages, nn.Identity(), **options)
    >>> network(torch.zeros(5, 3, 16, 18)).shape
    torch.Size([5, 1, 16, 18])
    """

    def __init__(
        self,
        n_outputs: int,
        stem: nn.Module,
        stages: nn.ModuleList,
        top: nn.Module,
        *,
        strides: Sequence[int],
        widths: Sequence[int],
        n_top: int,
        ndim: int,
        side_outputs: bool = False,
    ) -> None:
        super().__init__()
        self.stem, self.stages, self.top = stem, stages, top
        self.strides, self.coarser = list(strides), list(accumulate(strides, mul))
        width, *others = widths
        self.laterals = nn.ModuleList([pointwise(n_in, width, ndim) for n_in in others])
        self.classify = Pointwise(n_top, n_outputs, ndim)
        self.sides = self.fuse = None
        if side_outputs:
            self.sides = nn.ModuleList([Pointwise(width, n_outputs, ndim) for _ in widths])
            self.fuse = Pointwise(n_outputs * (1 + len(widths)), n_outputs, ndim)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps m for samples (n, channels, *spatial), the finest one first."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            maps.append(x := stage(x))
        for level, lateral in enumerate(self.laterals, start=1):
            maps[level] = lateral(maps[level])
        for level in reversed(range(len(self.laterals))):
            fine, coarse = maps[level : level + 2]
            maps[level] = fine + enlarged(coarse, self.strides[level + 1], fine.shape[2:])
        return maps

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what ``top`` gives, (n, n_top, *places)."""
        return self.top(self.maps(x)[0])

    def forward(self, x: Tensor) -> Any:
        """Map (n, channels, *spatial) to (n, n_outputs, *spatial), or in training to a tuple."""
        maps, extents = self.maps(x), x.shape[2:]
        outputs = enlarged(self.classify(self.top(maps[0])), self.coarser[0], extents)
        if self.sides is None or self.fuse is None:
            return outputs
        pairs = zip(self.sides, maps, self.coarser, strict=True)
        sides = [outputs, *(enlarged(side(m), factor, extents) for side, m, factor in pairs)]
        fused = self.fuse(torch.cat(sides, dim=1))
        return (fused, *sides) if self.training else fused


def enlarged(x: Tensor, factor: int, extents: Sequence[int]) -> Tensor:
    """Return maps interpolated to a finer grid, as far as that one goes."""
    if factor > 1:
        mode = LINEAR[x.ndim - 2]
        x = F.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)
    for axis, extent in enumerate(extents, start=2):
        x = x.narrow(axis, 0, extent)
    return x
