"""The wavelets of scattering as data: NumPy only, in the Fourier domain, at every resolution.

The definitions are those of the literature and of Kymatio 0.3, to the last digit of its filters:
in the plane they are rounded to single precision, on the line they are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from math import ceil, floor, log, log2, nan, pi, prod, sqrt
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from sklstruct.frames import half_sphere

Array = NDArray[np.floating]

SIGMA = 0.8  # width of the finest wavelet in the plane and in space, in samples
FREQUENCY = 3 * pi / 4  # its centre frequency, in radians a sample
UNDERFLOW = 105.0  # exp(-105) is 0 in single precision
SIGMA_LOW = 0.1  # on the line: width of the low-pass filter in Fourier, times its scale
OVERLAP = sqrt(0.5)  # value where neighbouring wavelets of the line meet
MOST_VALUES = 1 << 28  # of all wavelets: 2 GB.  A slip, or a file, must not fill the memory.
MOST_WAVELETS = 1 << 10  # of small signals, whose wavelets take time rather than room
MEANWHILE = 16  # as many values as a wavelet has times this are taken while one is made
BANKS = 4  # of each kind that are kept for the next who asks
ALIASING = 5.0  # widths from the centre of a wavelet to where its spectrum is taken for 0


@dataclass(frozen=True)
class Wavelet:
    """One wavelet, as its Fourier transform at every resolution where it is applied.

    Parameters
    ----------
    j : int
        Scale: the modulus of the response is kept at every 2^j-th sample.
    levels : tuple of ndarray
        Fourier transforms, real, level r for signals at every 2^r-th sample.
    theta : int, default=None
        Number of the orientation, in the plane and in space.
    angle : float, default=nan
        Direction of the wave in the plane, in radians from axis 0 to axis 1.
    xi : float, default=nan
        Centre frequency, in cycles a sample.
    sigma : float, default=nan
        Width of the spectrum, in cycles a sample.
    """

    j: int
    levels: tuple[Array, ...] = field(repr=False)
    theta: int | None = None
    angle: float = nan
    xi: float = nan
    sigma: float = nan


@dataclass(frozen=True)
class Bank:
    """The wavelets of every order, and the low-pass filter.

    Parameters
    ----------
    psi : tuple of tuple of Wavelet
        The wavelets of first order, second order and so on; the last entry serves all higher
        orders too.
    phi : tuple of ndarray
        Low-pass filter by level.
    coarsest : int
        Level of the averaged coefficients: they are kept at every 2^coarsest-th sample.
    """

    psi: tuple[tuple[Wavelet, ...], ...]
    phi: tuple[Array, ...]
    coarsest: int

    def wavelets(self, order: int) -> tuple[Wavelet, ...]:
        """Return the wavelets that lead to this order, 1 or more."""
        return self.psi[min(order, len(self.psi)) - 1]


def protected(*levels: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return filters that are read-only: all who ask for a bank share it."""
    for level in levels:
        level.setflags(write=False)
    return levels


def check_room(n_wavelets: int, shape: tuple[int, ...]) -> None:
    """Raise ValueError if so many wavelets, on a grid of this shape, are too much to be made."""
    values = (n_wavelets + MEANWHILE) * prod(shape)
    if n_wavelets > MOST_WAVELETS or values > MOST_VALUES:
        raise ValueError(
            f"up to {n_wavelets} wavelets on a grid of {'x'.join(map(str, shape))} samples must be "
            f"at most {MOST_WAVELETS}, with {MOST_VALUES} values together, got {values}: lower J, "
            "L or Q, or the extents."
        )


# --- the line -------------------------------------------------------------------------------


@lru_cache(maxsize=BANKS)
def line_bank(n: int, J: int, Q: tuple[int, int], T: float) -> Bank:
    r"""Return the Morlet wavelets of a line, with Q[0] and Q[1] to the octave.

    .. math::
        \hat\psi(\omega) = e^{-(\omega - \xi)^2 / 2 \sigma^2} - \kappa\, e^{-\omega^2 / 2\sigma^2}

    The frequencies fall by :math:`2^{1/Q}` from wavelet to wavelet, down to the width of the
    low-pass filter, and evenly below.

    Parameters
    ----------
    n : int
        Number of samples, a power of 2.
    J : int
        The wavelets reach scale 2^J.
    Q : tuple of int
        Wavelets to the octave, of first order and above.
    T : float
        Scale of the low-pass filter, in samples.

    References
    ----------
    J. Andén and S. Mallat. Deep scattering spectrum. IEEE Trans. Signal Processing, 2014.
    """
    check_room(sum(Q) * (J + 2), (n,))  # as the widths fall from 0.15 to SIGMA_LOW / 2^J
    coarsest = floor(log2(T))  # averages over T samples are kept about once in T
    phi = line_wavelet(n, 0.0, SIGMA_LOW / T)
    places = [wave_places(SIGMA_LOW / 2**J, q) for q in Q]
    deepest = max((j for _, _, j in places[0] + places[1]), default=0)
    psi = tuple(
        tuple(  # those of first order meet the signal itself only
            Wavelet(j, line_levels(line_wavelet(n, xi, sigma), j if k else 0), xi=xi, sigma=sigma)
            for xi, sigma, j in found
        )
        for k, found in enumerate(places)
    )
    return Bank(psi, line_levels(phi, min(deepest, coarsest)), coarsest)


def wave_places(sigma_min: float, q: int) -> list[tuple[float, float, int]]:
    """Return centre frequency, width in Fourier and scale of the wavelets, finest first."""
    ratio = 2 ** (1 / q)
    xi, sigma = finest_wave(q)
    waves = []
    while sigma > sigma_min:
        waves.append((xi, sigma))
        xi, sigma = xi / ratio, sigma / ratio
    # unless already the finest one is as narrow as the low-pass filter
    lowest = waves[-1][0] if waves else sigma
    waves += [(lowest - k / q * lowest, sigma_min) for k in range(1, q)]
    return [(xi, sigma, line_scale(xi, sigma)) for xi, sigma in waves]


def finest_wave(q: int) -> tuple[float, float]:
    """Return the largest centre frequency, and the width that overlaps the next wavelet's."""
    ratio = 2 ** (1 / q)
    xi = max(1 / (1 + 2 ** (3 / q)), 0.35)
    return xi, xi * (1 - 1 / ratio) / (1 + 1 / ratio) / sqrt(2 * log(1 / OVERLAP))


def line_scale(xi: float, sigma: float) -> int:
    """Return the scale j such that every 2^j-th sample of the response is enough."""
    # every 2^j-th sample has the frequencies up to 2^-(j+1)
    return floor(-log2(min(xi + ALIASING * sigma, 0.5))) - 1


def line_wavelet(n: int, xi: float, sigma: float) -> Array:
    """Return the Fourier transform of a Morlet wavelet, or of a Gaussian where xi is 0.

    The absolute values of the wavelet in time add to 1.
    """
    # Kymatio's count of the periods in which the Gaussian is above 1e-7, and its centre of one.
    periods = min(ceil(sqrt(-2 * sigma**2 * log(1e-7)) + 1), 5)
    frequencies = np.arange((1 - periods) * n, periods * n) / n
    around_zero = np.fft.fftfreq(n) if periods == 1 else frequencies
    low = periodised(np.exp(-(around_zero**2) / (2 * sigma**2)), n)
    spectrum = low
    if xi:
        wave = periodised(np.exp(-((frequencies - xi) ** 2) / (2 * sigma**2)), n)
        spectrum = wave - wave[0] / low[0] * low  # constants are not seen
    return spectrum / np.abs(scipy.fft.ifft(spectrum)).sum()


def line_levels(spectrum: Array, deepest: int) -> tuple[Array, ...]:
    """Return the filter at levels 0 to ``deepest``, each period averaged."""
    n = len(spectrum)
    return protected(
        spectrum, *(periodised(spectrum, n >> level) for level in range(1, deepest + 1))
    )


def periodised(values: Array, n: int) -> Array:
    """Return the mean of successive stretches of n values."""
    return values.reshape(-1, n).mean(axis=0)


def line_support(n: int, T: float) -> int:
    """Return the samples to each side beyond which the low-pass filter holds under 1e-3."""
    check_room(1, (n,))
    response = np.abs(scipy.fft.ifft(line_wavelet(n, 0.0, SIGMA_LOW / T)))[: n // 2]
    tails = np.cumsum(response[::-1])[::-1]
    small = np.flatnonzero(tails <= 1e-3)
    return int(small[0]) + 1 if len(small) else n // 2


# --- the plane ------------------------------------------------------------------------------


@lru_cache(maxsize=BANKS)
def plane_bank(shape: tuple[int, int], J: int, L: int) -> Bank:
    r"""Return the Morlet wavelets of the plane at J scales and L orientations.

    .. math::
        \psi_{j,\theta}(u) = g_{j,\theta}(u) \, (e^{i \xi_j \langle u, e_\theta \rangle} - \kappa)

    with :math:`\xi_j = \tfrac{3\pi}{4} 2^{-j}` and a Gaussian window of width
    :math:`0.8 \cdot 2^j` along the wave and L/4 times that across.

    Parameters
    ----------
    shape : tuple of int
        Samples along the two axes, multiples of 2^J.
    J : int
        Number of scales; the low-pass filter has width 0.8 * 2^(J-1).
    L : int
        Number of orientations, over half a turn.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013, section 2.
    """
    check_room(J * L, shape)
    phi = spectrum_of(gabor(shape, SIGMA * 2 ** (J - 1), 0.0, 0.0, 1.0))
    return grid_bank(plane_wavelet, phi, J, L)


def plane_angle(theta: int, L: int) -> float:
    """Return the direction of a wave, in radians from axis 0 to axis 1."""
    return (int(L - L / 2 - 1) - theta) * pi / L


def plane_wavelet(shape: tuple[int, int], j: float, theta: int, L: int, deepest: int) -> Wavelet:
    """Return one wavelet of the plane, of L orientations."""
    angle, slant = plane_angle(theta, L), 4 / L
    sigma, frequency = SIGMA * 2**j, FREQUENCY / 2**j
    window = gabor(shape, sigma, angle, 0.0, slant)
    wave = gabor(shape, sigma, angle, frequency, slant)
    spectrum = spectrum_of(wave - wave.sum() / window.sum() * window)
    levels = grid_levels(spectrum, deepest)
    return Wavelet(floor(j), levels, theta, angle, frequency / (2 * pi), 1 / (2 * pi * sigma))


def gabor(
    shape: tuple[int, int], sigma: float, angle: float, frequency: float, slant: float
) -> NDArray[np.complex64]:
    """Return a plane wave under a Gaussian window, summed over the periods of the grid.

    Sums and constants are rounded as Kymatio rounds them: another order of the sum, or one more
    digit of pi, would move coefficients by 1e-7, which shows in double precision.
    """
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    turn = np.array([[cos, -sin], [sin, cos]], np.float32)
    curvature = turn @ (np.diag([1, slant * slant]) @ turn.T) / (2 * sigma * sigma)
    total = np.zeros(shape, np.complex64)
    reach = sqrt(UNDERFLOW / np.linalg.eigvalsh(curvature)[0])
    for periods in product(range(-2, 3), repeat=2):
        starts = [period * extent for period, extent in zip(periods, shape, strict=True)]
        if any(s > reach or s + n < -reach for s, n in zip(starts, shape, strict=True)):
            continue  # nothing but zeros in single precision
        x, y = np.ogrid[tuple(slice(s, s + n) for s, n in zip(starts, shape, strict=True))]
        window = curvature[0, 0] * (x * x) + (curvature[0, 1] + curvature[1, 0]) * (x * y)
        wave = x * frequency * np.cos(angle) + y * frequency * np.sin(angle)
        total += np.exp(-(window + curvature[1, 1] * (y * y)) + 1j * wave)
    total /= 2 * 3.1415 * sigma * sigma / slant  # this is Kymatio's pi
    return total


def spectrum_of(signal: NDArray[np.complexfloating]) -> Array:
    """Return the Fourier transform of a filter that is symmetric up to conjugation: it is real."""
    return np.ascontiguousarray(np.real(scipy.fft.fftn(signal)))


def grid_bank(wavelet: Callable[..., Wavelet], phi: Array, J: int, L: int) -> Bank:
    """Return the wavelets of a plane or of space at J scales and L orientations."""
    psi = (
        wavelet(phi.shape, j, theta, L, deepest=min(j, max(J - 2, 0)))
        for j in range(J)
        for theta in range(L)
    )
    return Bank((tuple(psi),), grid_levels(phi, J - 1), J)


def grid_levels(spectrum: Array, deepest: int) -> tuple[Array, ...]:
    """Return the filter for signals at every 2^level-th sample, cut to their band, by level."""
    levels = [[band(n, level) for n in spectrum.shape] for level in range(1, deepest + 1)]
    cut = (np.ascontiguousarray(spectrum[np.ix_(*bands)]) for bands in levels)
    return protected(spectrum, *cut)


def band(n: int, level: int) -> NDArray[np.intp]:
    """Return the frequencies, of n, that signals at every 2^level-th sample have."""
    half = n >> (level + 1)
    return np.concatenate([np.arange(half), np.arange(n - (n >> level) + half, n)])


# --- space ----------------------------------------------------------------------------------


@lru_cache(maxsize=BANKS)
def space_bank(shape: tuple[int, int, int], J: int, L: int) -> Bank:
    r"""Return the Morlet wavelets of space at J scales and L orientations over half a sphere.

    .. math::
        \hat\psi_{j,\theta}(\omega) = \hat g(\omega - \xi_j e_\theta) - \kappa\, \hat g(\omega)

    with the widths and frequencies of the plane; across the wave the window is wider the more
    orientations there are, in the same proportion to their distance as in the plane.

    Parameters
    ----------
    shape : tuple of int
        Samples along the three axes, multiples of 2^J.
    J, L : int
        Numbers of scales and of orientations.
    """
    check_room(J * L, shape)
    phi = gaussian_spectrum(shape, SIGMA * 2 ** (J - 1), half_sphere(3, 1)[0], 1.0, 0.0)
    return grid_bank(space_wavelet, phi, J, L)


def space_wavelet(
    shape: tuple[int, int, int], j: float, theta: int, L: int, deepest: int
) -> Wavelet:
    """Return one wavelet of space, of L orientations."""
    sigma, frequency = SIGMA * 2**j, FREQUENCY / 2**j
    slant = min(1.0, 4 / pi * sqrt(2 * pi / L))  # 4 / pi times the distance of directions
    direction = half_sphere(3, L)[theta]
    window = gaussian_spectrum(shape, sigma, direction, slant, 0.0)
    wave = gaussian_spectrum(shape, sigma, direction, slant, frequency)
    levels = grid_levels(wave - wave.flat[0] / window.flat[0] * window, deepest)
    return Wavelet(floor(j), levels, theta, nan, frequency / (2 * pi), 1 / (2 * pi * sigma))


def gaussian_spectrum(
    shape: tuple[int, ...], sigma: float, direction: Array, slant: float, frequency: float
) -> Array:
    """Return the Fourier transform of a Gaussian window times a wave, summed over periods."""
    # So far from its centre a Gaussian is nothing, even along its longer axis in Fourier.
    reach = ceil(UNDERFLOW**0.5 / (2 * pi * sigma * slant) + frequency / (2 * pi))
    total = np.zeros(shape)
    for periods in product(range(-reach, reach + 1), repeat=len(shape)):
        axes = [
            2 * pi * (np.fft.fftfreq(n) + period) - frequency * u
            for n, period, u in zip(shape, periods, direction, strict=True)
        ]
        grid = np.meshgrid(*axes, indexing="ij", sparse=True)
        along = sum(w * u for w, u in zip(grid, direction, strict=True))
        squared = sum(w * w for w in grid)
        total += np.exp(-(sigma**2) / 2 * (along**2 + (squared - along**2) / slant**2))
    return total
