"""Harmonics as functions of space: polynomials, rings that carry them, and their norms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil, factorial, pi, prod, sqrt
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss

from .frame import Array


def harmonic_labels(ndim: int, degree: int) -> tuple[str, ...]:
    """Return the names of the harmonics of a degree, in their order."""
    if ndim == 1:
        return (("even", "odd")[degree],)
    if ndim == 2:
        return tuple(f"{part}{degree}" for part in (("cos", "sin") if degree else ("cos",)))
    return tuple(f"Y{degree},{m}" for m in range(-degree, degree + 1))


def harmonic_polynomials(points: Array, degree: int) -> Array:
    r"""Return the real harmonic polynomials of a degree, shape (n_harmonics, n_points).

    Their squares sum to :math:`|x|^{2 \ell}`, so that rotations mix them by orthogonal matrices.

    Parameters
    ----------
    points : ndarray, shape (n_points, ndim)
        The last axis is x, as in pictures.
    degree : int
    """
    n_points, ndim = points.shape
    if ndim == 1:
        return points.T**degree
    x, y = points.T[-1], points.T[-2]
    waves = [(x + 1j * y) ** m for m in range(degree + 1)]
    if ndim == 2:
        return np.stack([waves[-1].real, waves[-1].imag][: 1 + (degree > 0)])
    z, square = points.T[0], (points**2).sum(axis=1)
    rows = {}
    for m, wave in enumerate(waves):
        # associated Legendre functions times r^(l - m), by their recurrence in l
        before, legendre = np.zeros(n_points), np.full(n_points, float(prod(range(1, 2 * m, 2))))
        for n in range(m + 1, degree + 1):
            ahead = (2 * n - 1) * z * legendre - (n + m - 1) * square * before
            before, legendre = legendre, ahead / (n - m)
        norm = sqrt((2 if m else 1) * factorial(degree - m) / factorial(degree + m))
        rows[m], rows[-m] = norm * legendre * wave.real, norm * legendre * wave.imag
        if m == 0:
            rows[0] = legendre
    return np.stack([rows[m] for m in sorted(rows)])


def evaluate_rings(points: Array, degrees: Sequence[tuple[float, int]], width: float) -> Array:
    """Return blurred rings with harmonics at points, shape (n_atoms, n_points)."""
    ndim = points.shape[1]
    distance = np.sqrt((points**2).sum(axis=1))
    rows = []
    for radius, degree in degrees:
        mean = partial(zonal_mean, ndim, degree, radius * (radius + 12 * width) / width**2)
        # Two Gaussians convolved are one: the norm is the value of a wider ring on itself.
        square = (radius / width) ** (2 * degree) / 2**degree * mean(radius**2 / (2 * width**2))
        square = square / len(harmonic_labels(ndim, degree)) / (4 * pi * width**2) ** (ndim / 2)
        window = np.exp(-((distance - radius) ** 2) / (2 * width**2))
        window *= mean(distance * radius / width**2) * (radius / width**2) ** degree
        window /= (2 * pi * width**2) ** (ndim / 2) * np.sqrt(square)
        rows.append(window * harmonic_polynomials(points, degree))
    return np.concatenate(rows)


def zonal_mean(ndim: int, degree: int, most: float, z: Any) -> Any:
    r"""Return the mean of a Gaussian over a sphere against a harmonic, by Poisson's integral.

    .. math::
        z^{-\ell} e^{-z} \int P_\ell(u_1) \, e^{z u_1} \, d\mu(u)
        = \tfrac{1}{(d - 1)(d + 1) \cdots (d + 2 \ell - 3)}
        \int (1 - u_1^2)^\ell \, e^{z (u_1 - 1)} \, d\mu(u)

    In 2D this is :math:`z^{-\ell} e^{-z} I_\ell(z)`.  All terms are positive: nothing cancels.

    Parameters
    ----------
    ndim, degree : int
    most : float
        Largest z that matters; beyond it the Gaussian around the ring is nothing.
    z : ndarray or float
        Distance times radius, over the square of the width.
    """
    count = ceil(5 * sqrt(most)) + degree + 20  # of a Gauss rule, for rounding accuracy up to it
    if ndim == 1 and degree == 0:  # the sphere is two points
        nodes, weights = np.array([-1.0, 1.0]), np.full(2, 0.5)
    elif ndim == 2:
        nodes = np.cos(pi * (np.arange(count) + 0.5) / count)
        weights = (1 - nodes**2) ** degree / count
    else:  # in 1D sinh(z) / z is a mean over an interval
        nodes, weights = leggauss(count)
        weights = weights / 2 * (1 - nodes**2) ** (degree if ndim == 3 else 0)
    if ndim > 1:
        weights = weights / prod(range(ndim - 1, ndim + 2 * degree - 2, 2))
    terms = (weight * np.exp(z * (node - 1)) for node, weight in zip(nodes, weights, strict=True))
    return sum(terms)  # one after another, as there may be many points and many nodes


def evaluate_solids(points: Array, degrees: Sequence[tuple[float, int]]) -> Array:
    """Return harmonic polynomials under Gaussians at points, shape (n_atoms, n_points)."""
    ndim = points.shape[1]
    rows = []
    for scale, degree in degrees:
        x = points / scale
        mean_square = prod(ndim / 2 + k for k in range(degree))  # of r^(2 l) under the Gaussian
        mean_square /= len(harmonic_labels(ndim, degree))
        window = np.exp(-(x**2).sum(axis=1) / 2) / (pi * scale**2) ** (ndim / 4)
        rows.append(window / sqrt(mean_square) * harmonic_polynomials(x, degree))
    return np.concatenate(rows)
