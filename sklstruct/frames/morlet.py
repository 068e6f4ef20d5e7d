"""Gabor and Morlet frames: plane waves under a Gaussian window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from .checks import (
    check_integer,
    check_ndim,
    check_positive,
    check_scales,
    check_values,
    support_size,
)
from .frame import Array, Frame, FrameFamily, centred_grid


class Gabor(FrameFamily):
    r"""Cosine and sine waves under a Gaussian window, and the window at the largest scale.

    .. math::
        \psi_{\theta,\sigma}(x) = g_\sigma(R_\theta^{-1} x)
        \, e^{i \omega \langle u_\theta, x \rangle / \sigma}

    with real and imaginary part as two atoms.

    Parameters
    ----------
    n_orientations : int, default=4
        Directions :math:`u_\theta`, spread over half a turn in 2D and half a sphere in 3D; in
        1D there is one.
    scales : sequence of float, default=(1.5,)
        Standard deviations of the window along the wave, in samples.
    frequency : float, default=1.885
        Wave number times scale, :math:`\omega`, in radians; the default is that of the usual
        scattering wavelets.
    slant : float, default=1.0
        Width of the window along the wave as a share of its width across; 1 is isotropic.
    size : int, default=None
        Extent of the atoms along every axis, odd.  If None, it follows from ``truncate``.
    truncate : float, default=3.0
        Half the automatic extent, in standard deviations of the largest scale.

    See Also
    --------
    Morlet : The same waves without a mean.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013.

    Examples
    --------
    >>> from sklstruct.frames import Gabor
    >>> frame = Gabor(n_orientations=2, scales=(1.5,)).build(ndim=2)
    >>> frame
    Frame('gabor', 5 atoms on 11x11)
    >>> frame.labels
    ('g', 'cos0', 'sin0', 'cos1', 'sin1')
    """

    n_orientations: int = 4
    scales: Sequence[float] = (1.5,)
    frequency: float = 1.885
    slant: float = 1.0
    size: int | None = None
    truncate: float = 3.0

    name: ClassVar[str] = "gabor"
    zero_mean: ClassVar[bool] = False

    def build(self, ndim: int) -> Frame:
        """Return the frame of 2 * n_orientations * n_scales + 1 atoms."""
        ndim = check_ndim(ndim)
        scales = check_scales(self.scales)
        count = check_integer("n_orientations", self.n_orientations, 1)
        frequency = check_positive("frequency", self.frequency)
        slant = check_positive("slant", self.slant)
        size = support_size(self.size, scales[-1] / min(slant, 1), self.truncate)
        check_values(1 + 2 * count * len(scales), size, ndim)
        directions = half_sphere(ndim, count)
        waves = [(scale, tuple(u)) for scale in scales for u in directions.tolist()]
        functions = partial(
            evaluate_waves, waves=waves, shape=(frequency, slant, size, self.zero_mean)
        )
        names = [
            f"{part}{k}" for _ in scales for k in range(len(directions)) for part in ("cos", "sin")
        ]
        of_wave = np.repeat(scales, 2 * len(directions))
        if len(scales) > 1:
            names = [f"{name} @{scale:g}" for name, scale in zip(names, of_wave, strict=True)]
        angles = np.arctan2(*directions.T[-2:]) if ndim == 2 else np.full(len(directions), np.nan)
        return Frame(
            self.name,
            functions(centred_grid((size,) * ndim)).reshape(-1, *(size,) * ndim),
            labels=("g", *names),
            orders=[0] + [1] * len(names),
            scales=[scales[-1], *of_wave],
            orientations=[np.nan, *np.tile(np.repeat(angles, 2), len(scales))],
            functions=functions,
        )


class Morlet(Gabor):
    r"""Gabor waves less a multiple of their window, so that they do not see the mean.

    .. math::
        \psi(x) = g(x) \, (e^{i \omega \langle u, x \rangle / \sigma} - \kappa),
        \qquad \textstyle\sum_x \psi(x) = 0

    The window at the largest scale stays as it is.  Parameters as of ``Gabor``.

    See Also
    --------
    Gabor : The waves as they are.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013, section 2.

    Examples
    --------
    >>> from sklstruct.frames import Gabor, Morlet
    >>> sums = Morlet(n_orientations=2).build(ndim=2).atoms.sum(axis=(1, 2))
    >>> bool(abs(sums[1:]).max() < 1e-12)
    True
    """

    name: ClassVar[str] = "morlet"
    zero_mean: ClassVar[bool] = True


def half_sphere(ndim: int, count: int) -> Array:
    """Return unit vectors spread over half a sphere, shape (count, ndim), in array axes.

    Examples
    --------
    >>> from sklstruct.frames import half_sphere
    >>> half_sphere(3, 10).shape
    (10, 3)
    """
    if ndim == 1:
        return np.ones((1, 1))
    k = np.arange(count)
    if ndim == 2:
        angles = np.pi * k / count
        return np.stack([np.sin(angles), np.cos(angles)], axis=1)
    height = 1 - (k + 0.5) / count  # Fibonacci spiral on the upper half
    turn = np.pi * (3 - np.sqrt(5)) * k
    ring = np.sqrt(1 - height**2)
    return np.stack([height, ring * np.sin(turn), ring * np.cos(turn)], axis=1)


def evaluate_waves(
    points: Array, waves: Sequence[tuple[float, tuple[float, ...]]], shape: tuple[Any, ...]
) -> Array:
    """Return the window of the last wave, made isotropic, and all waves, (n_atoms, n_points).

    Parameters
    ----------
    points : ndarray, shape (n_points, ndim)
    waves : sequence of (scale, direction)
        In the order of their scales.
    shape : tuple
        Frequency, slant, extent of the grid on which windows sum to one, and whether waves sum
        to zero there.
    """
    frequency, slant, size, zero_mean = shape
    grid = centred_grid((size,) * points.shape[1])

    def window(scale: float, direction: Any, slant: float) -> tuple[Array, Array]:
        """Return a window at the points and on the grid."""
        ways = []
        for x in (points, grid):
            along = (x @ direction) ** 2
            square = along + slant**2 * ((x**2).sum(axis=1) - along)
            ways.append(np.exp(-square / (2 * scale**2)))
        return ways[0] / ways[1].sum(), ways[1] / ways[1].sum()

    rows = [window(*waves[-1], 1.0)[0]]
    for scale, direction in waves:
        here, on_grid = window(scale, direction, slant)
        for part in (np.cos, np.sin):
            wave, of_grid = (part(frequency / scale * x @ direction) for x in (points, grid))
            rows.append(here * (wave - zero_mean * (on_grid @ of_grid)))
    return np.stack(rows)
