"""Scattering of volumes with solid harmonics, integrated over space, as a torch module."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from math import factorial, gamma, pi, prod, sqrt
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Legendre
from numpy.typing import NDArray
from torch import Tensor, nn

from sklstruct.layers import KeptTensors, is_traced
from sklstruct.params import FLAG, Rule, check, integer, real

from .bank import Array
from .checks import VOLUME, check_shape, is_several, whole
from .grid import PIECE, in_pieces

POSITIVE = real(above=0)
POWERS = Rule(
    "one or more positive numbers",
    lambda v: is_several(v) and len(v) > 0 and all(map(POSITIVE.holds, v)),
)
SPACE = (-3, -2, -1)
SYMMETRIC = 1e-6  # what is less symmetric adds in quadrature: below this share it is rounding


class HarmonicScattering(nn.Module):
    r"""Scattering of volumes with solid harmonics: invariant to shifts and rotations.

    .. math::
        \psi_{j,\ell,m}(u) \propto |u|^\ell \, Y_{\ell,m}(u / |u|) \,
        e^{-|u|^2 / 2 \sigma_j^2}, \qquad \sigma_j = 2^j \sigma_0

        U x [j, \ell](u) = \Big( \sum_{m=-\ell}^{\ell}
        |x \star \psi_{j,\ell,m}(u)|^2 \Big)^{1/2}

        S_1 x [j, \ell, q] = \sum_u \big( U x[j, \ell](u) \big)^q, \qquad
        S_2 x [j_1, j_2, \ell, q] = \sum_u \big( U\, U x [j_1, \ell] [j_2, \ell](u) \big)^q

    for :math:`j_1 < j_2`.  Volumes are periodic; nothing is sampled.  The computation follows
    the dtype and the device of x.

    Parameters
    ----------
    J : int
        Largest scale; there are J + 1.
    shape : tuple of int
        Extents of the volumes, (D, H, W).
    L : int, default=3
        Largest degree of the harmonics; there are L + 1.
    sigma_0 : float, default=1
        Width of the finest wavelets, in samples.
    max_order : int, default=2
        Largest number of wavelets on a path, 1 or 2.
    integral_powers : sequence of float, default=(0.5, 1.0, 2.0)
        The powers q.
    rotation_covariant : bool, default=True
        If False, only the harmonic of largest :math:`|m|` is taken; the moduli then do not turn
        with x.

    Attributes
    ----------
    paths : tuple of tuple of int
        Scales of the wavelets that are applied, in the order of the coefficients.

    Raises
    ------
    ValueError
        If a parameter is not valid, such as a wavelet wider than the volume.

    See Also
    --------
    Scattering : Wavelets of single directions.

    Notes
    -----
    Coefficients are those of Kymatio 0.3 for even extents.  Along an odd one Kymatio takes each
    frequency for the next lower one, so that its filters are not centred and constants are not
    passed as such; here frequencies are right for any extent.

    References
    ----------
    M. Eickenberg, G. Exarchakis, M. Hirn, S. Mallat and L. Thiry. Solid harmonic wavelet
    scattering for predictions of molecule properties. J. Chemical Physics, 2018.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import HarmonicScattering
    >>> HarmonicScattering(J=2, shape=(16, 16, 16), L=3)(torch.zeros(5, 1, 16, 16, 16)).shape
    torch.Size([5, 1, 6, 4, 3])
    """

    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 3,
        sigma_0: float = 1.0,
        max_order: int = 2,
        integral_powers: Sequence[float] = (0.5, 1.0, 2.0),
        rotation_covariant: bool = True,
    ) -> None:
        super().__init__()
        self.shape = check_shape(shape, VOLUME)
        self.J, self.L = whole("J", J, integer(0)), whole("L", L, integer(0))
        self.max_order = whole("max_order", max_order, integer(1, 2))
        self.sigma_0 = float(check("sigma_0", sigma_0, POSITIVE))
        self.integral_powers = tuple(map(float, check("integral_powers", integral_powers, POWERS)))
        self.rotation_covariant = check("rotation_covariant", rotation_covariant, FLAG)
        if self.sigma_0 * 2**self.J > min(self.shape):
            raise ValueError(
                f"J={J} makes wavelets of width sigma_0 * 2**J = {self.sigma_0 * 2**self.J:g}, "
                f"wider than the shape {self.shape}."
            )
        scales, orders = range(self.J + 1), range(1, self.max_order + 1)
        self.paths: tuple[tuple[int, ...], ...] = tuple(
            path for order in orders for path in combinations(scales, order)
        )
        self.kept = KeptTensors()

    def extra_repr(self) -> str:
        """Return the parameters that matter most."""
        return f"J={self.J}, shape={self.shape}, L={self.L}, sigma_0={self.sigma_0}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the coefficients.

        Parameters
        ----------
        x : Tensor, shape (n, channels, D, H, W)
            Real; float32 or float64.

        Returns
        -------
        coefficients : Tensor, shape (n, channels, n_paths, L + 1, n_powers)

        Raises
        ------
        TypeError
            If x is not a real floating-point tensor.
        ValueError
            If x has another shape.
        """
        return in_pieces(self._coefficients, x, self.shape, (2 * self.L + 1) * prod(self.shape))

    def _coefficients(self, volumes: Tensor) -> Tensor:
        """Return the coefficients of volumes (n, D, H, W), (n, n_paths, L + 1, n_powers)."""
        spectra = torch.fft.rfftn(volumes, dim=SPACE)
        degrees = [self._of_degree(volumes, spectra, degree) for degree in range(self.L + 1)]
        return torch.stack(degrees, dim=2)

    def _of_degree(self, volumes: Tensor, spectra: Tensor, degree: int) -> Tensor:
        """Return the coefficients of one degree, (n, n_paths, n_powers)."""
        found: dict[tuple[int, ...], Tensor] = {}
        for j in range(self.J + 1):
            first = self._modulus(volumes, spectra, j, degree)
            found[(j,)] = integrals(first, self.integral_powers)
            # A wavelet of no larger scale would find next to nothing in the modulus.
            wider = range(j + 1, self.J + 1) if self.max_order == 2 else ()
            below = torch.fft.rfftn(first, dim=SPACE) if wider else spectra
            for k in wider:
                second = self._modulus(first, below, k, degree)
                found[j, k] = integrals(second, self.integral_powers)
        return torch.stack([found[path] for path in self.paths], dim=1)

    def _modulus(self, signals: Tensor, spectra: Tensor, j: int, degree: int) -> Tensor:
        """Return the moduli of signals (n, D, H, W), given halves of their spectra too."""
        filters = self._filters(j, degree, spectra)
        if filters.shape[-1] == self.shape[-1]:
            spectra = torch.fft.fftn(signals, dim=SPACE)
        else:
            # The factor that makes responses real; moduli do not see its sign.
            spectra = spectra[..., : filters.shape[-1]] * (1j if degree % 2 else 1)
        # Some harmonics at a time, as nothing but the sum of their squares is kept.
        room = PIECE["cpu" if spectra.device.type == "cpu" else "other"] // prod(self.shape)
        parts = filters.split(len(filters) if is_traced() else max(1, room // len(spectra)))
        energies = (energy(self._responses(spectra, part)) for part in parts)
        return powered(reduce(torch.add, energies), 0.5)

    def _responses(self, spectra: Tensor, filters: Tensor) -> Tensor:
        """Return signals convolved with filters, (n, n_filters, D, H, W).

        Where they are real, spectra and filters are given up to the largest frequency on the
        last axis that the filters let pass.
        """
        products = spectra[:, None] * filters
        if filters.shape[-1] == self.shape[-1]:
            return torch.fft.ifftn(products, dim=SPACE)
        return torch.fft.irfft(torch.fft.ifftn(products, dim=SPACE[:2]), n=self.shape[-1])

    def _filters(self, j: int, degree: int, like: Tensor) -> Tensor:
        """Return the wavelets of a scale and a degree, for spectra of a dtype on a device."""

        def make() -> NDArray[Any]:
            waves = solid_harmonics(self.shape, self.sigma_0 * 2**j, degree)
            if not self.rotation_covariant:
                return waves[-1:].conj()  # m = -degree, up to its sign
            return band(real_harmonics(waves), degree, negligible=torch.finfo(like.dtype).eps)

        return self.kept.like(like, (j, degree), make)


def energy(responses: Tensor) -> Tensor:
    """Return the sums of squares over the harmonics, (n, D, H, W)."""
    if responses.is_complex():
        return (responses.real.square() + responses.imag.square()).sum(1)
    return responses.square().sum(1)


def integrals(moduli: Tensor, powers: tuple[float, ...]) -> Tensor:
    """Return the integrals over space of powers of moduli (n, D, H, W), (n, n_powers)."""
    return torch.stack([powered(moduli, q).sum(dim=SPACE) for q in powers], dim=-1)


def powered(values: Tensor, q: float) -> Tensor:
    """Return a power of values from 0 on; its gradient is 0 where the value is."""
    if q >= 1 or not values.requires_grad:
        return values**q
    positive = values > 0
    return torch.where(positive, values, 1) ** q * positive


# --- the wavelets ---------------------------------------------------------------------------


def real_harmonics(waves: NDArray[np.complexfloating]) -> Array:
    r"""Return :math:`\psi_{\ell,0}, \sqrt 2 \mathrm{Re}\, \psi_{\ell,m}, \dots` in Fourier.

    The squares of the responses to them add to those of all :math:`-\ell \leq m \leq \ell`.

    Parameters
    ----------
    waves : ndarray, shape (degree + 1, D, H, W)
        The solid harmonics with m from 0.

    Returns
    -------
    filters : ndarray, shape (2 * degree + 1, D, H, W)
    """
    waves = waves.astype(np.complex128)
    return np.concatenate([waves.real, waves[1:].imag]) * np.sqrt(
        [1] + [2] * 2 * (len(waves) - 1)
    ).reshape(-1, 1, 1, 1)


def band(filters: Array, degree: int, negligible: float) -> Array:
    """Return the half of each filter on the last axis that is not negligible.

    Solid harmonics are real in space, and half of a spectrum is enough.  But on a grid of even
    extent the border of the band has one side only: filters that reach it are returned whole.
    """
    axes, size = (1, 2, 3), np.abs(filters).max()
    opposite = np.roll(np.flip(filters, axes), 1, axes) * (-1) ** degree
    if np.abs(filters - opposite).max() / 2 > SYMMETRIC * size:
        return filters
    half = (filters + opposite)[..., : filters.shape[-1] // 2 + 1] / 2
    passing = np.flatnonzero(np.abs(half).max(axis=(0, 1, 2)) > negligible * size)
    return half[..., : passing[-1] + 1]


def solid_harmonics(shape: tuple[int, ...], sigma: float, degree: int) -> NDArray[np.complex64]:
    r"""Return solid harmonics under a Gaussian in Fourier, m = 0 to the degree.

    .. math::
        i^\ell \hat\psi_{\ell,m}(\omega) = c_\ell \, |\sigma\omega|^\ell \,
        Y_{\ell,m}(\omega / |\omega|) \, e^{-\sigma^2 |\omega|^2 / 2}

    They are rounded as Kymatio 0.3 rounds them, which shows in double precision.
    """
    z, y, x = np.meshgrid(
        *[np.fft.fftfreq(n, 1 / n).astype(np.float32) * np.float32(2 * pi / n) for n in shape],
        indexing="ij",
    )
    width = 1 / sigma
    squared = z**2 + y**2 + x**2
    gaussian = np.exp(-0.5 * squared / width**2).astype(np.complex64)
    if degree == 0:  # all constants together are 1
        return gaussian[None]
    radial = np.sqrt(squared**degree) * gaussian / width**degree
    polar = np.arctan2(z, np.sqrt(x**2 + y**2)) + pi / 2
    azimuth = np.arctan2(y, x)
    waves = np.empty((degree + 1, *shape), np.complex64)
    for m in range(degree + 1):
        waves[m] = spherical_harmonic(m, degree, polar, azimuth) * radial
    # The root of the squares over m integrates to 1 in space.
    integral = 2 ** ((degree + 1) / 2) * gamma((degree + 3) / 2) * sqrt(4 * pi * (2 * degree + 1))
    waves *= np.float64((2 * pi) ** 1.5 / integral)
    return waves


def spherical_harmonic(m: int, degree: int, polar: Array, azimuth: Array) -> NDArray[np.complex128]:
    """Return the spherical harmonic of degree and order m, up to its sign, in double precision."""
    polar, azimuth = polar.astype(float), azimuth.astype(float)
    norm = sqrt((2 * degree + 1) / (4 * pi) * factorial(degree - m) / factorial(degree + m))
    legendre = np.abs(np.sin(polar)) ** m * Legendre.basis(degree).deriv(m)(np.cos(polar))
    return norm * legendre * np.exp(1j * m * azimuth)
