"""Morlet wavelets whose parameters are learned with the network above them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import pi
from typing import Any

import torch
from torch import Tensor, nn

from .bank import FREQUENCY, SIGMA, Wavelet, band

PERIODS = 2  # of the spectrum, to each side, that sampling adds up
PI_OF_THE_BANK = 3.1415  # which scales the fixed wavelets


class LearnableMorlets(nn.Module):
    r"""Morlet wavelets of the plane, each with parameters of its own.

    .. math::
        \hat\psi(\omega) = \hat g(\omega - \xi e_\theta) - \kappa\, \hat g(\omega), \qquad
        \hat g(\omega) = e^{-\frac{\sigma^2}{2} (\langle \omega, e_\theta \rangle^2
        + \langle \omega, e_\theta^\perp \rangle^2 / s^2)}

    They start as the fixed ones.  The low-pass filter stays as it is.

    Parameters
    ----------
    wavelets : tuple of Wavelet
        The fixed ones.
    shape : tuple of int
        Extents of the padded images.
    L : int
        Number of orientations.

    Attributes
    ----------
    angle, frequency, sigma, slant : Parameter, shape (n_wavelets,)
        Direction in radians, centre frequency in radians a sample, width along the wave in
        samples, and that width as a share of the width across.

    References
    ----------
    S. Gauthier, B. Thérien, L. Alsène-Racicot, M. Chaudhary, I. Rish, E. Belilovsky,
    M. Eickenberg and G. Wolf. Parametric scattering networks. CVPR, 2022, section 3.
    """

    def __init__(self, wavelets: tuple[Wavelet, ...], shape: tuple[int, ...], L: int) -> None:
        super().__init__()
        scales = torch.tensor([2.0**wavelet.j for wavelet in wavelets])
        self.shape = shape
        self.angle = nn.Parameter(torch.tensor([wavelet.angle for wavelet in wavelets]))
        self.frequency = nn.Parameter(FREQUENCY / scales)
        self.sigma = nn.Parameter(SIGMA * scales)
        self.slant = nn.Parameter(torch.full_like(scales, 4 / L))

    def forward(self, dtype: torch.dtype) -> Tensor:
        """Return the Fourier transforms for the parameters of this moment, (n_wavelets, *shape)."""
        window = self._gaussians(torch.zeros_like(self.frequency))
        wave = self._gaussians(self.frequency)
        share = wave[:, :1, :1] / window[:, :1, :1]  # so that constants are not seen
        return ((wave - share * window) * (pi / PI_OF_THE_BANK)).to(dtype)

    def _gaussians(self, frequency: Tensor) -> Tensor:
        """Return the spectra of windows, moved to a frequency and summed over periods."""
        # Written for the spectrum, in which sampling in space is a sum over periods: the fixed
        # wavelets are sums over periods in space, which is the same but for rounding.
        cos, sin = (f(self.angle)[:, None, None] for f in (torch.cos, torch.sin))
        total = torch.zeros(1, device=cos.device, dtype=cos.dtype)
        for periods in product(range(-PERIODS, PERIODS + 1), repeat=2):
            x, y = (
                2 * pi * (torch.fft.fftfreq(n, device=cos.device, dtype=cos.dtype) + period)
                for n, period in zip(self.shape, periods, strict=True)
            )
            along = x[:, None] * cos + y * sin - frequency[:, None, None]
            across = (y * cos - x[:, None] * sin) / self.slant[:, None, None]
            squared = (along**2 + across**2) * self.sigma[:, None, None] ** 2
            total = total + torch.exp(-squared / 2)
        return total


@dataclass(frozen=True)
class ResolvedMorlets:
    """The wavelets at given parameters, at every level.

    Parameters
    ----------
    fixed : FixedFilters
        Has the low-pass filter.
    spectra : Tensor, shape (n_wavelets, *shape)
    """

    fixed: Any
    spectra: Tensor

    def psi(self, order: int, numbers: tuple[int, ...], level: int, like: Tensor) -> Tensor:
        """Return the wavelets of these numbers at a level, shape (len(numbers), ...)."""
        chosen = self.spectra[list(numbers)]
        for axis, n in enumerate(self.spectra.shape[1:], start=1) if level else ():
            places = torch.from_numpy(band(n, level)).to(chosen.device)
            chosen = chosen.index_select(axis, places)
        return chosen

    def phi(self, level: int, like: Tensor) -> Tensor:
        """Return the low-pass filter at a level."""
        return self.fixed.phi(level, like)
