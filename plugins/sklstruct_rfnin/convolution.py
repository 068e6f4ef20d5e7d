"""The spatial convolution of a group: on a frame, on pixels, or on atoms that are learned too."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklstruct.frames import Frame, GaussianDerivatives, Pixels, product_jet, support_size
from sklstruct.layers import CoarseFrameConv, FrameConv, Weights, convolve
from sklstruct.plugins import make_frame


def spatial_convolution(
    choice: Any,
    design: Any,
    free_size: int | None,
    channels: tuple[int, int],
    stride: int,
    ndim: int,
    step: Any,
    tolerance: float,
    learn_scale: bool | str,
) -> nn.Module:
    """Return the convolution of one group.

    Parameters
    ----------
    choice : str, frame family or Frame
        "free" are atoms that are learned too, as many as those of the design.
    design : frame family
        What a name takes its parameters from.
    free_size : int or None
        Support of free kernels and atoms; None is that of the design.
    channels : (int, int)
        Channels in and out.
    stride, ndim : int
    step : float or sequence of float
        Distance of the samples, in the unit of the scales.
    tolerance : float
        Relative error allowed to coarse scales; 0 computes exactly.
    learn_scale : bool or "channel"
        As of ``FrameConv``; free kernels and atoms have no scale.

    Raises
    ------
    ValueError
        If scales are to be learned of coarse filters, which are fixed ones.
    """

    def build(family: Any) -> Frame:
        # Known by their factors, atoms may lie on other grids, and need not fit into memory.
        product = isinstance(family, GaussianDerivatives)
        return product_jet(family, ndim, step) if product else family.build(ndim)

    if choice == "free" and design.free:
        choice = design
    if choice in ("free", "pixel") and not design.free:
        if free_size is None and isinstance(design, GaussianDerivatives):
            scale = max(design.scales) / float(np.min(step))
            free_size = support_size(design.size, scale, design.truncate)
        free_size = design.extent if free_size is None else free_size
        if choice == "free":
            support = (free_size,) * ndim
            return FreeAtomsConv(*channels, len(build(design)), support, stride=stride)
        choice = Pixels(size=free_size)
    frame = make_frame(choice, design)
    if tolerance and isinstance(frame, GaussianDerivatives):
        if learn_scale:
            raise ValueError(
                "learn_scale needs filters that are computed exactly: tolerance must be 0, got "
                f"{tolerance:g}."
            )
        return CoarseFrameConv(
            *channels, build(frame), stride=stride, bias=False, tolerance=tolerance
        )
    learned = not getattr(frame, "free", False) and learn_scale
    return FrameConv(*channels, build(frame), stride=stride, bias=False, learn_scale=learned)


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
        self.n_atoms, self.kernel_size = n_atoms, support
        self.padding = tuple(extent // 2 for extent in support)
        self.atoms = nn.Parameter(torch.randn(n_atoms, *support) / prod(support) ** 0.5)
        he = (2 / (in_channels * n_atoms)) ** 0.5
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, n_atoms) * he)

    @property
    def kernel(self) -> Tensor:
        """The effective kernel, shape (out_channels, in_channels, *support)."""
        return torch.tensordot(self.weight, self.atoms, dims=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, *spatial) to (n, out_channels, *spatial_out)."""
        return convolve(x, self.kernel, None, stride=self.stride, padding=self.padding)

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return how many weights there would be without atoms, sharing and locality."""
        options: dict[str, Any] = {"stride": self.stride, "padding": self.padding}
        free = self.weight.numel() + self.atoms.numel()
        return Weights.of_kernels(in_shape, out_shape, self.kernel_size, frame=free, **options)

    def extra_repr(self) -> str:
        """Return what ``print`` shows between the parentheses."""
        extents = "x".join(map(str, self.kernel_size))
        return f"{self.in_channels}, {self.out_channels}, {self.n_atoms} free atoms on {extents}"
