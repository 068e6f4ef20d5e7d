"""Scattering coefficients on scales that a classifier can compare."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LOG_FLOOR = 0.5  # in units of the mean of the path: below it the logarithm is nearly linear
NOTHING = 1e-6  # of the largest mean of a path: what is smaller is rounding
CONSTANT = 1e-12  # variance below which a path tells nothing


class PathScaling:
    r"""Centre every coefficient, and divide by one standard deviation to each path.

    A scale for every coefficient would blow up the noise of places where a path is hardly ever
    seen.  The variance of a path is then :math:`n_m^{-1/2} / c`, where :math:`n_m` is the number
    of paths of its order m: half way between equal paths, among which the many of second order
    would drown the others, and equal orders.  The constant makes the total variance 1.

    Parameters
    ----------
    orders : array-like, shape (n_paths,)
        Order of every path.
    log : bool
        Whether to take the logarithm :math:`\mathrm{sign}(s) \log(1 + |s| / \epsilon)` first,
        where :math:`\epsilon` is half the mean of \|s\| over the path.
    """

    def __init__(self, orders: NDArray[np.intp], log: bool) -> None:
        self.orders, self.log = orders, log

    def fit(self, S: Array, weight: Array) -> Self:
        """Find the scales on coefficients (n, n_paths * n_places) of weighted samples."""
        S = self._maps(S)
        sizes = np.average(np.abs(S).mean(axis=2), axis=0, weights=weight)
        self.unit_ = (sizes + NOTHING * (sizes.max() or 1.0))[:, np.newaxis]
        S = self._compressed(S)
        self.mean_ = np.average(S, axis=0, weights=weight)
        variance = np.average(((S - self.mean_) ** 2).mean(axis=2), axis=0, weights=weight)
        _, order, counts = np.unique(self.orders, return_inverse=True, return_counts=True)
        total = S.shape[2] * np.sqrt(counts).sum()
        # So many paths of 1 / sqrt(counts) each make up the share of an order, and all shares 1.
        scale = np.sqrt(np.maximum(variance, CONSTANT) * np.sqrt(counts[order]) * total)
        self.scale_ = np.where(variance > CONSTANT, scale, np.inf)[:, np.newaxis]
        return self

    def transform(self, S: Array) -> Array:
        """Return the scaled coefficients, of the shape of S."""
        S = self._compressed(self._maps(S))
        S -= self.mean_  # in place: coefficients are many
        S /= self.scale_
        return S.reshape(len(S), -1)

    def _maps(self, S: Array) -> Array:
        return S.reshape(len(S), len(self.orders), -1)

    def _compressed(self, S: Array) -> Array:
        S = S / self.unit_
        return np.copysign(np.log1p(np.abs(S) / LOG_FLOOR), S) if self.log else S
