"""Derivatives of Gaussians that are longer than wide, in several directions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import comb
from typing import Any

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
from .gaussian import differentiate, jet_atoms
from .morlet import half_sphere

ALONG_ACROSS = "uvw"  # the axis of the Gaussian, and what is perpendicular to it


class AnisotropicGaussian(FrameFamily):
    r"""Derivatives of elongated Gaussians along and across their axes, in several directions.

    .. math::
        \psi_{\alpha,\theta,\sigma}(x) = \prod_i \sigma_i^{\alpha_i} \partial_{u_i}^{\alpha_i} \,
        g(u) = \prod_i (-1)^{\alpha_i} \mathrm{He}_{\alpha_i}(u_i / \sigma_i) \, g(u),
        \qquad u = R_\theta^{-1} x, \quad |\alpha| \le \text{order}

    with the Hermite polynomials :math:`\mathrm{He}_n` and a Gaussian whose samples sum to one.
    Its deviation is :math:`\sigma_1 = \text{elongation} \cdot \sigma` along its axis and
    :math:`\sigma` across; in 3D it is a spheroid.  The zero-order atoms stand only at the lowest
    scale.  A rotation by :math:`\pi / n` maps the atoms of each of n directions in the plane to
    those of the next, and the last ones to :math:`(-1)^{|\alpha|}` times the first.

    Parameters
    ----------
    order : int, default=2
        Highest total order of differentiation.
    n_orientations : int, default=4
        Directions of the axis, spread over half a turn in 2D and half a sphere in 3D; there is
        no frame in 1D.
    elongation : float, default=2.0
        Deviation along the axis as a multiple of that across.  1 gives the span of
        ``GaussianDerivatives``, once for each direction.
    scales : sequence of float, default=(1.0,)
        Standard deviations of the Gaussian across its axis, in samples.
    size : int, default=None
        Extent of the atoms along every axis, odd.  If None, it follows from ``truncate``.
    truncate : float, default=3.0
        Half the automatic extent, in standard deviations of the longest Gaussian.

    See Also
    --------
    GaussianDerivatives : Those of round Gaussians, which steer to any direction.

    References
    ----------
    J.-M. Geusebroek, A. W. M. Smeulders and J. van de Weijer. Fast anisotropic Gauss filtering.
    IEEE Transactions on Image Processing, 2003.
    P. Perona. Steerable-scalable kernels for edge detection and junction analysis. Image and
    Vision Computing, 1992.

    Examples
    --------
    >>> from sklstruct.frames import AnisotropicGaussian
    >>> frame = AnisotropicGaussian(order=1, n_orientations=2).build(ndim=2)
    >>> frame
    Frame('anisotropic_gaussian', 6 atoms on 13x13)
    >>> frame.labels
    ('g0', 'g0_u', 'g0_v', 'g1', 'g1_u', 'g1_v')
    """

    order: int = 2
    n_orientations: int = 4
    elongation: float = 2.0
    scales: Sequence[float] = (1.0,)
    size: int | None = None
    truncate: float = 3.0

    def build(self, ndim: int) -> Frame:
        """Return the frame: for each direction as many atoms as ``GaussianDerivatives`` has.

        Raises
        ------
        ValueError
            In 1D, where there is a single direction, or if a parameter is out of range.
        """
        if check_ndim(ndim) == 1:
            raise ValueError("ndim must be 2 or 3, where a Gaussian has a direction, got 1.")
        order = check_integer("order", self.order, 0)
        count = check_integer("n_orientations", self.n_orientations, 1)
        elongation, scales = (
            check_positive("elongation", self.elongation),
            check_scales(self.scales),
        )
        size = support_size(self.size, scales[-1] * max(elongation, 1), self.truncate)
        n_atoms = ((comb(order + ndim, ndim) - 1) * len(scales) + 1) * count
        check_values(n_atoms, size, ndim)
        directions = half_sphere(ndim, count)
        atoms = [
            (k, index[::-1], scale)  # what is along the axis comes first
            for scale in scales
            for k in range(count)
            for index, of_scale in jet_atoms(ndim, order, scales)[0]
            if of_scale == scale
        ]
        functions = partial(
            evaluate_elongated,
            atoms=tuple(atoms),
            axes=tuple(map(perpendicular_axes, directions)),
            elongation=elongation,
            size=size,
        )
        labels = []
        for k, index, scale in atoms:
            letters = "".join(letter * n for letter, n in zip(ALONG_ACROSS, index, strict=False))
            labels.append(f"g{k}_{letters}" if letters else f"g{k}")
            labels[-1] += f" @{scale:g}" if len(scales) > 1 else ""
        angles = np.arctan2(*directions.T[-2:]) if ndim == 2 else np.full(count, np.nan)
        return Frame(
            "anisotropic_gaussian",
            functions(centred_grid((size,) * ndim)).reshape(-1, *(size,) * ndim),
            labels=tuple(labels),
            orders=[sum(index) for _, index, _ in atoms],
            scales=[scale for *_, scale in atoms],
            orientations=angles[[k for k, *_ in atoms]],
            functions=functions,
        )


def perpendicular_axes(direction: Array) -> Array:
    """Return an orthonormal basis whose first vector is a direction, as rows (ndim, ndim)."""
    basis = np.linalg.qr(np.column_stack([direction, np.eye(len(direction))]))[0].T
    # The decomposition is free to turn axes round, and a turn of all directions must not be mixed
    # with mirrors.
    basis[0] = direction
    basis[-1] *= np.sign(np.linalg.det(basis))
    return basis


def evaluate_elongated(
    points: Array, atoms: Any, axes: Sequence[Array], elongation: float, size: int
) -> Array:
    """Return derivatives of elongated Gaussians at points, shape (n_atoms, n_points).

    Parameters
    ----------
    points : ndarray, shape (n_points, ndim)
    atoms : sequence of (number of the direction, multi-index, scale)
    axes : sequence of ndarray, shape (ndim, ndim)
        Of each direction, that of the Gaussian first.
    elongation : float
    size : int
        Extent of the grid on which the samples of a Gaussian sum to one.
    """
    ndim = points.shape[1]
    grid, deviations = centred_grid((size,) * ndim), np.array([elongation] + [1.0] * (ndim - 1))
    gaussians: dict[Any, tuple[Array, Array]] = {}
    values = np.empty((len(atoms), len(points)))
    for row, (k, index, scale) in enumerate(atoms):
        if (k, scale) not in gaussians:
            u, on_grid = (x @ axes[k].T / (scale * deviations) for x in (points, grid))
            total = np.exp(-(on_grid**2).sum(axis=1) / 2).sum()
            gaussians[k, scale] = u, np.exp(-(u**2).sum(axis=1) / 2) / total
        u, values[row] = gaussians[k, scale]
        differentiate(values[row], u, index)
    return values
