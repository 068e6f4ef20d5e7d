"""Gabor and Morlet frames: plane waves under a Gaussian window."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from .checks import check_integer, check_ndim, check_positive, check_scales, support_size
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

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013.
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
        directions = half_sphere(ndim, count)
        frequency = check_positive("frequency", self.frequency)
        slant = check_positive("slant", self.slant)
        size = support_size(self.size, scales[-1] / min(slant, 1), self.truncate)
        functions = partial(
            evaluate_waves,
            directions=directions,
            scales=scales,
            frequency=frequency,
            slant=slant,
            size=size,
            zero_mean=self.zero_mean,
        )
        support = (size,) * ndim
        waves = [(scale, k) for scale in scales for k in range(len(directions)) for _ in "cs"]
        angles = [np.arctan2(*directions[k][-2:]) if ndim == 2 else np.nan for _, k in waves]
        labels = [f"{'cos' if i % 2 == 0 else 'sin'}{k}" for i, (_, k) in enumerate(waves)]
        if len(scales) > 1:
            labels = [f"{n} @{scale:g}" for n, (scale, _) in zip(labels, waves, strict=True)]
        return Frame(
            self.name,
            functions(centred_grid(support)).reshape(-1, *support),
            labels=("g", *labels),
            orders=[0] + [1] * len(waves),
            scales=[scales[-1]] + [scale for scale, _ in waves],
            orientations=[np.nan, *angles],
            functions=functions,
        )


class Morlet(Gabor):
    r"""Gabor waves less a multiple of their window, so that they do not see the mean.

    .. math::
        \psi(x) = g(x) \, (e^{i \omega \langle u, x \rangle / \sigma} - \kappa),
        \qquad \textstyle\sum_x \psi(x) = 0

    The window at the largest scale stays as it is.  Parameters as of ``Gabor``.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013, section 2.
    """

    name: ClassVar[str] = "morlet"
    zero_mean: ClassVar[bool] = True


def half_sphere(ndim: int, count: int) -> Array:
    """Return unit vectors spread over half a sphere, shape (count, ndim), in array axes."""
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
    points: Array,
    directions: Array,
    scales: tuple[float, ...],
    frequency: float,
    slant: float,
    size: int,
    zero_mean: bool,
) -> Array:
    """Return the window and all waves at points, shape (n_atoms, n_points).

    Sums that normalise (window to one, Morlet wave to zero) run over the grid of extent
    ``size``, wherever the points are.
    """
    grid = centred_grid((size,) * points.shape[1])

    def window(x: Array, scale: float, direction: Array | None = None) -> Array:
        square = (x**2).sum(axis=1)
        if direction is not None:
            along = (x @ direction) ** 2
            square = along + slant**2 * (square - along)
        return np.exp(-square / (2 * scale**2))

    rows = [window(points, scales[-1]) / window(grid, scales[-1]).sum()]
    for scale in scales:
        for direction in directions:
            total = window(grid, scale, direction).sum()
            here = window(points, scale, direction) / total
            for part in (np.cos, np.sin):
                wave = here * part(frequency / scale * points @ direction)
                if zero_mean:
                    on_grid = window(grid, scale, direction) / total
                    on_grid = on_grid * part(frequency / scale * grid @ direction)
                    wave = wave - here * on_grid.sum()
                rows.append(wave)
    return np.stack(rows)
