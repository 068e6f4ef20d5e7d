"""The spatial convolution of a group: on a frame, on pixels, or on atoms that are learned too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklstruct.frames import Frame, GaussianDerivatives, Pixels
from sklstruct.frames.checks import support_size
from sklstruct.frames.product import product_jet
from sklstruct.layers import FrameConv
from sklstruct.layers.coarse import CoarseFrameConv
from sklstruct.layers.dimensions import convolve
from sklstruct.plugins import make_frame

from .presets import Plan, Preset

PRESET_FRAMES = ("gaussian", "free")  # names that stand for what the preset has
STRUCTURED_LAYERS = ("all", "first")


@dataclass(frozen=True)
class Spatial:
    """How the spatial convolutions of a network are made, group by group.

    Parameters
    ----------
    preset : Preset
    ndim : int
    choices : list
        What the frame of each group shall be, see ``RFNiN``.
    step : float or sequence of float
        Distance of the samples, in the unit of the scales.
    tolerance : float
        Relative error allowed to coarse scales; 0 computes exactly.
    """

    preset: Preset
    ndim: int
    choices: list[Any]
    step: Any
    tolerance: float

    def make(self, group: int, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        """Return the convolution of one group."""
        choice, plan = self.choices[group], self.preset.plan(group)
        if choice == "free" and not isinstance(plan.frame, Pixels):
            n_atoms, support = len(self._build(plan.frame)), (self._twin(plan),) * self.ndim
            return FreeAtomsConv(in_channels, out_channels, n_atoms, support, stride=stride)
        if choice == "pixel":
            frame = Pixels(size=self._twin(plan))
        else:
            frame = plan.frame if choice in PRESET_FRAMES else make_frame(choice)
        built, channels = self._build(frame), (in_channels, out_channels)
        if self.tolerance and isinstance(frame, GaussianDerivatives):
            tolerance = self.tolerance
            return CoarseFrameConv(*channels, built, stride=stride, bias=False, tolerance=tolerance)
        return FrameConv(*channels, built, stride=stride, bias=False)

    def _build(self, frame: Any) -> Frame:
        if isinstance(frame, GaussianDerivatives):
            return product_jet(frame, self.ndim, self.step)
        built: Frame = frame.build(self.ndim)
        return built

    def _twin(self, plan: Plan) -> int:
        """Return the support that free kernels have in place of the frame of a plan."""
        if plan.twin is not None:
            return plan.twin
        if isinstance(plan.frame, Pixels):
            return plan.frame.size
        scale = max(plan.frame.scales) / float(np.min(self.step))
        return support_size(plan.frame.size, scale, plan.frame.truncate)


class FreeAtomsConv(nn.Module):
    r"""Convolution whose kernels are mixed from atoms that are learned as well.

    .. math::
        w_{oi} = \sum_k c_{oik} \, \psi_k

    with learned coefficients c and learned atoms :math:`\psi`, which all channels share.

    Parameters
    ----------
    in_channels, out_channels, n_atoms : int
    support : tuple of int
        Extents of the atoms, odd.
    stride : int, default=1
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        n_atoms: int,
        support: tuple[int, ...],
        *,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        self.n_atoms, self.support = n_atoms, support
        self.atoms = nn.Parameter(torch.randn(n_atoms, *support) / prod(support) ** 0.5)
        he = (2 / (in_channels * n_atoms)) ** 0.5
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, n_atoms) * he)

    @property
    def kernel(self) -> Tensor:
        """The effective kernel, shape (out_channels, in_channels, *support)."""
        return torch.tensordot(self.weight, self.atoms, dims=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, *spatial) to (n, out_channels, *spatial_out)."""
        padding = tuple(extent // 2 for extent in self.support)
        return convolve(x, self.kernel, None, stride=self.stride, padding=padding)

    def extra_repr(self) -> str:
        """Return what ``print`` shows between the parentheses."""
        extents = "x".join(map(str, self.support))
        return f"{self.in_channels}, {self.out_channels}, {self.n_atoms} free atoms on {extents}"


def choose_frames(frame: Any, n_groups: int, structured_layers: str) -> list[Any]:
    """Return what the frame of each group shall be.

    Raises
    ------
    ValueError
        If ``structured_layers`` is unknown, or a sequence has another length.
    """
    if structured_layers not in STRUCTURED_LAYERS:
        raise ValueError(
            f"structured_layers must be one of {STRUCTURED_LAYERS}, got {structured_layers!r}."
        )
    choices = list(frame) if isinstance(frame, (list, tuple)) else [frame] * n_groups
    if len(choices) != n_groups:
        raise ValueError(f"frame has {len(choices)} entries for {n_groups} groups (widths).")
    return choices if structured_layers == "all" else choices[:1] + ["pixel"] * (n_groups - 1)


def sample_step(spacing: float | Sequence[float] | None, unit: float, ndim: int) -> Any:
    """Return the distance of the samples in the unit of the scales, 1 without a spacing.

    Raises
    ------
    ValueError
        If the spacing is no positive number, nor one for each axis.
    """
    if spacing is None:
        return 1.0
    steps = np.asarray(spacing, dtype=float)
    if steps.shape not in ((), (1,), (ndim,)) or not (np.isfinite(steps) & (steps > 0)).all():
        raise ValueError(
            f"spacing must be a positive number of millimetres, or {ndim} of them, got {spacing!r}."
        )
    return steps / unit
