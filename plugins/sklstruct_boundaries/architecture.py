"""The residual network of dynamic and static blocks that gives maps, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklstruct.estimators import SteerableArchitecture
from sklstruct.layers import MAX_POOL, FrameConv, Pointwise, ResidualBlock, activation, pointwise
from sklstruct.params import FLAG, WIDTHS, Rule, integer, one_of, param
from sklstruct.plugins import make_frame

from .presets import PRESETS

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
STAGES = Rule(
    "a sequence of integers of at least 1: of the stem, and of at least one pair of blocks",
    lambda v: WIDTHS.holds(v) and len(v) > 1,
)


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
        Of the stem, and of each pair of blocks; one that rotations steer, but for
        ``pose="fixed"``.
    widths : sequence of int, default=None
        Channels of the stem and of each pair of blocks; (16, 24, 40, 64).
    strides : sequence of int, default=None
        How many times coarser the stem and each pair are than what is before them; (1, 2, 2, 2).
    top : int, default=None
        Channels of the last convolution; 32.
    side_outputs : bool, default=False
        Whether outputs are fused, by a 1x1 convolution, of those of each pair of blocks and those
        of the last convolution.  In training the network gives these as well, so that each of them
        learns.

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
    116108
    110273
    """

    preset: str = param("small", one_of(*PRESETS))
    frame: Any = param("gaussian", resolve=make_frame)
    widths: Sequence[int] | None = param(None, STAGES | None)
    strides: Sequence[int] | None = param(None, WIDTHS | None)
    top: int | None = param(None, integer(1) | None)
    side_outputs: bool = param(False, FLAG)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    dense: ClassVar[bool] = True

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> PyramidNetwork:
        """Return the network."""
        net, ndim = self.in_force(), len(in_shape) - 1
        n_stages = len(net.widths)
        families, strides = self.frames(n_stages), self.of_stages("strides", n_stages)
        stages = nn.ModuleList()
        n_in = in_shape[0]
        for number, (n_out, stride, frame) in enumerate(
            zip(net.widths, strides, families, strict=True)
        ):
            layers: OrderedDict[str, nn.Module] = OrderedDict()
            options: dict[str, Any] = {"ndim": ndim, "bias": False}
            if number == 0:
                layers["conv"] = FrameConv(n_in, n_out, frame, stride=stride, **options)
            else:
                if stride > 1:  # of odd extents, the last window has fewer places
                    layers["pool"] = MAX_POOL[ndim](stride, ceil_mode=True)
                layers["dynamic"] = net.dynamic(n_in, n_out, frame, ndim)
                residual: OrderedDict[str, nn.Module] = OrderedDict()
                residual["conv1"] = FrameConv(n_out, n_out, frame, **options)
                residual["activate"] = activation(n_out, ndim)
                residual["conv2"] = FrameConv(n_out, n_out, frame, **options)
                layers["static"] = ResidualBlock(
                    activation(n_out, ndim), nn.Sequential(residual), None
                )
            layers["activate"] = activation(n_out, ndim)
            stages.append(nn.Sequential(layers))
            n_in = n_out
        top: OrderedDict[str, nn.Module] = OrderedDict()
        top["activate1"] = activation(net.widths[1], ndim)
        top["conv"] = FrameConv(net.widths[1], net.top, families[1], ndim=ndim, bias=False)
        top["activate2"] = activation(net.top, ndim)
        options = {"n_top": net.top, "ndim": ndim, "side_outputs": net.side_outputs}
        return PyramidNetwork(n_outputs, stages, nn.Sequential(top), strides, net.widths, **options)


class PyramidNetwork(nn.Module):
    r"""Stages, each coarser than the one before, whose maps are brought together at the finest.

    .. math:: m_l = P_l h_l + {\uparrow} m_{l+1}, \qquad o = {\uparrow} W \, \mathrm{top}(m_1)

    with the maps :math:`h_l` of the stages after the first one, 1x1 convolutions P and W, where
    :math:`P_1 = 1`, and linear interpolation :math:`\uparrow`.

    Parameters
    ----------
    n_outputs : int
        Number of outputs at a place.
    stages : nn.ModuleList
    top : nn.Module
        What reads :math:`m_1`.
    strides, widths : sequence of int
        Of each stage, how many times coarser it is than what is before it, and its channels.
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
    >>> stages = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 9, 2, 2)])
    >>> options = {"strides": (1, 1, 2), "widths": (4, 8, 9), "n_top": 8, "ndim": 2}
    >>> network = PyramidNetwork(1, stages, nn.Identity(), **options)
    >>> network(torch.zeros(5, 3, 16, 18)).shape
    torch.Size([5, 1, 16, 18])
    """

    def __init__(
        self,
        n_outputs: int,
        stages: nn.ModuleList,
        top: nn.Module,
        strides: Sequence[int],
        widths: Sequence[int],
        *,
        n_top: int,
        ndim: int,
        side_outputs: bool = False,
    ) -> None:
        super().__init__()
        self.stages, self.top = stages, top
        self.steps = list(strides[2:])  # from each map to the next
        self.factors = [prod(strides[: level + 2]) for level in range(len(widths) - 1)]
        width = widths[1]
        self.laterals = nn.ModuleList([pointwise(n_in, width, ndim) for n_in in widths[2:]])
        self.classify = Pointwise(n_top, n_outputs, ndim)
        self.sides = self.fuse = None
        if side_outputs:
            self.sides = nn.ModuleList([Pointwise(width, n_outputs, ndim) for _ in self.factors])
            self.fuse = Pointwise(n_outputs * len(widths), n_outputs, ndim)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps m for samples (n, channels, *spatial), the finest one first."""
        maps = [x := stage(x) for stage in self.stages][1:]
        for level, lateral in enumerate(self.laterals, start=1):
            maps[level] = lateral(maps[level])
        for level in reversed(range(len(self.laterals))):
            extents = maps[level].shape[2:]
            maps[level] = maps[level] + enlarged(maps[level + 1], self.steps[level], extents)
        return maps

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what ``top`` gives, (n, n_top, *places)."""
        return self.top(self.maps(x)[0])

    def forward(self, x: Tensor) -> Any:
        """Map (n, channels, *spatial) to (n, n_outputs, *spatial), or in training to a tuple."""
        maps, extents = self.maps(x), x.shape[2:]
        outputs = enlarged(self.classify(self.top(maps[0])), self.factors[0], extents)
        if self.sides is None or self.fuse is None:
            return outputs
        pairs = zip(self.sides, maps, self.factors, strict=True)
        sides = [outputs, *(enlarged(side(m), factor, extents) for side, m, factor in pairs)]
        fused = self.fuse(torch.cat(sides, dim=1))
        return (fused, *sides) if self.training else fused


def enlarged(x: Tensor, factor: int, extents: Sequence[int]) -> Tensor:
    """Return maps interpolated to a finer grid, as far as that one goes."""
    if factor > 1:
        mode = LINEAR[x.ndim - 2]
        x = F.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)
    return x[(..., *(slice(extent) for extent in extents))]
