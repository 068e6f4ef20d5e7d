"""A scale that is learned: Gaussian derivatives that are dilated by a parameter."""

from __future__ import annotations

import copy
from math import log
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import Frame, Jet
from ..frames.checks import check_positive
from ..frames.product import NARROWEST

WIDEST = 1 / 3  # standard deviation as a share of the support, 1.5 to each side


class LearnedScale(nn.Module):
    r"""The atoms of a Gaussian-derivative frame, dilated by a factor that is learned.

    .. math::
        \psi_k(x; s \sigma_k), \qquad \log s = b \tanh(\theta / b)

    with a parameter :math:`\theta` that starts at 0, where :math:`s = 1` and
    :math:`ds / d\theta = 1`.  The bound b is the logarithm of the largest factor where
    :math:`\theta > 0`, and of the smallest one where :math:`\theta < 0`: so the smallest standard
    deviation stays above 0.4 samples, and the largest one below a third of the support.

    Parameters
    ----------
    frame : Frame
        Of Gaussian derivatives.
    n_factors : int, default=1

    Attributes
    ----------
    log_factor : Parameter, shape (n_factors,)
        The :math:`\theta`.  Estimators decay no parameters of one axis; a decay would draw the
        scales to the first ones.

    Raises
    ------
    ValueError
        If the frame is none of Gaussian derivatives, or its scales are beyond these bounds.

    References
    ----------
    S. L. Pintea, N. Tomen, S. F. Goes, M. Loog and J. C. van Gemert. Resolution learning in deep
    convolutional networks using scale-space theory. IEEE TIP, 2021.

    See Also
    --------
    FrameConv : Its ``learn_scale``.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.layers import LearnedScale
    >>> scale = LearnedScale(GaussianDerivatives(order=2, scales=(1.0, 1.5)).build(ndim=2))
    >>> scale().shape  # 11 atoms on 11x11
    torch.Size([1, 11, 121])
    >>> [round(factor, 3) for factor in scale.range]
    [0.4, 2.444]
    """

    atoms: Tensor

    def __init__(self, frame: Frame, n_factors: int = 1) -> None:
        super().__init__()
        jet = frame.functions
        if not isinstance(jet, Jet):
            raise ValueError(
                "A scale is learned of Gaussian derivatives only, such as the frame 'gaussian', "
                f"got the frame {frame.name!r}."
            )
        widest = (jet.widths / jet.support).max()
        if jet.widths.min() <= NARROWEST or widest >= WIDEST:
            raise ValueError(
                f"learn_scale needs scales above {NARROWEST} samples and below a third of the "
                f"support, got {jet.widths.min():g} to {jet.widths.max():g} samples on a support "
                f"of {jet.support} in the frame {frame.name!r}: raise its size."
            )
        self.range = float(NARROWEST / jet.widths.min()), float(WIDEST / widest)
        self.support, self.order = jet.support, int(jet.indices.max())
        self.widths, numbers = np.unique(jet.widths, return_inverse=True)
        # Where in the table of one axis, by width and then by order, the factor of an atom stands.
        places = numbers.reshape(jet.widths.shape) * (self.order + 1) + jet.indices
        self._places = places.T.copy()
        self.register_buffer("atoms", torch.from_numpy(self._places), persistent=False)
        self.log_factor = nn.Parameter(torch.zeros(n_factors))

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        super()._apply(*args, **kwargs)  # which leaves nothing in what was on no device
        self.atoms = torch.tensor(self._places, device=self.log_factor.device)
        return self

    @property
    def factor(self) -> Tensor:
        """What the atoms are dilated by, shape (n_factors,)."""
        log_factor = self.log_factor.real  # of a layer that was made complex, too
        bound = self._bound(log_factor)
        return torch.exp(bound * torch.tanh(log_factor / bound))

    def forward(self) -> Tensor:
        """Return the atoms as rows, shape (n_factors, n_atoms, n_samples)."""
        tables = {
            extent: derivatives(self.factor, self.widths, self.order, extent)
            for extent in dict.fromkeys(self.support)
        }
        rows = torch.ones_like(self.factor)[:, None, None]
        for atoms, extent in zip(self.atoms, self.support, strict=True):
            profiles = tables[extent].index_select(1, atoms)
            rows = (rows.unsqueeze(3) * profiles.unsqueeze(2)).flatten(2)
        return rows

    @torch.no_grad()
    def dilate(self, factor: float) -> None:
        """Multiply the learned factors by another one.

        Raises
        ------
        ValueError
            If a scale would leave the bounds.
        """
        wanted = self.factor.cpu().double() * check_positive("factor", factor)
        low, high = self.range
        if not low < wanted.min() <= wanted.max() < high:
            raise ValueError(
                f"factor must keep the scales between {low:.3g} and {high:.3g} times the first "
                f"ones, got {factor:g}, which makes them {wanted.min():.3g} to {wanted.max():.3g} "
                "times as large."
            )
        bound = self._bound(wanted.log())
        self.log_factor.copy_(bound * torch.atanh(wanted.log() / bound))

    def _bound(self, log_factor: Tensor) -> Tensor:
        low, high = map(log, self.range)
        return torch.full_like(log_factor, high).masked_fill(log_factor < 0, low)

    def extra_repr(self) -> str:
        """Return what ``print`` shows between the parentheses."""
        return f"{len(self.log_factor)}, from {self.range[0]:.3g} to {self.range[1]:.3g}"


def derivatives(factor: Tensor, widths: NDArray[np.float64], order: int, extent: int) -> Tensor:
    """Return dilated Gaussian derivatives on a line.

    Parameters
    ----------
    factor : Tensor, shape (n_factors,)
    widths : ndarray, shape (n_widths,)
        Standard deviations before the dilation, in samples.
    order : int
        The highest one.
    extent : int
        Samples of the line, in the middle of which they are centred.

    Returns
    -------
    derivatives : Tensor, shape (n_factors, n_widths * (order + 1), extent)
    """
    offsets = torch.arange(extent, dtype=factor.dtype, device=factor.device) - extent // 2
    # Numbers of Python keep their digits, whatever precision the factor is cast to.
    x = torch.stack([offsets / (factor[:, None] * w) for w in widths.tolist()], dim=1)
    below, derivative = torch.zeros_like(x), torch.softmax(-x.square() / 2, dim=-1)
    found = [derivative]
    for n in range(order):  # He_{n+1}(x) = x He_n(x) - n He_{n-1}(x), with their signs
        below, derivative = derivative, -(x * derivative + n * below)
        found.append(derivative)
    return torch.stack(found, dim=2).flatten(1, 2)


def dilate(network: nn.Module, factor: float) -> nn.Module:
    r"""Return a copy of a network in which all scales that are learned are multiplied.

    The response of a dilated kernel to a dilated signal is the dilated response.  So the copy
    sees a sample that is dilated by the factor as the network sees the sample, but for what
    sampling loses: scales below about 0.7 samples are no longer those of derivatives.

    Parameters
    ----------
    network : nn.Module
    factor : float

    Returns
    -------
    dilated : nn.Module

    Raises
    ------
    ValueError
        If no scale is learned, or one would leave its bounds.

    See Also
    --------
    FrameConv : Its ``learn_scale``.

    Examples
    --------
    >>> from sklstruct.layers import FrameConv, dilate
    >>> layer = FrameConv(1, 8, "gaussian", learn_scale=True)
    >>> dilate(layer, 1.5).scales
    tensor([[1.5000]], grad_fn=<MulBackward0>)
    """
    dilated = copy.deepcopy(network)
    scales = [part for part in dilated.modules() if isinstance(part, LearnedScale)]
    if not scales:
        raise ValueError("network must have a FrameConv with learn_scale, of which there is none.")
    for scale in scales:
        scale.dilate(factor)
    return dilated
