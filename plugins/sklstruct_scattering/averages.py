"""The last average of scattering in space: weights along every axis, at the places kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bank import Bank
from .grid import Grid

Array = NDArray[np.float64]

NEGLIGIBLE = np.finfo(np.float32).eps  # weight, to the largest: single precision sees no less


@dataclass(frozen=True, eq=False)
class Average:
    """A weighted average along a cyclic axis.

    Parameters
    ----------
    extent : int
        Samples of the axis.
    start : int
        The sample that the first weight is for, where the average is the first that is kept.
    step : int
        Samples from one average to the next.
    n_places : int
        Number of averages.
    weights : ndarray
        For successive samples.
    """

    extent: int
    start: int
    step: int
    n_places: int
    weights: Array

    @property
    def matrix(self) -> Array:
        """The averages as a matrix, shape (n_places, extent)."""
        matrix = np.zeros((self.n_places, self.extent))
        places = self.start + self.step * np.arange(self.n_places)[:, np.newaxis]
        samples = (places + np.arange(len(self.weights))) % self.extent
        np.put_along_axis(matrix, samples, self.weights[np.newaxis], axis=1)
        return matrix


def averages(bank: Bank, grid: Grid, level: int) -> list[Average]:
    """Return the averages of moduli at a level along every axis.

    The low-pass filter is their product: exactly in space and trivially on a line, up to single
    precision in the plane, where it was rounded.
    """
    step, phi = 2 ** (bank.coarsest - level), bank.phi[level].astype(float)
    found = []
    for axis, part in enumerate(grid.kept(bank.coarsest, average=True)):
        factor = phi[tuple(slice(None) if k == axis else 0 for k in range(phi.ndim))]
        # The value at frequency 0 is in every slice, but once in the product.
        before, weights = weights_of(factor / phi.flat[0] if axis else factor)
        extent, n_places = phi.shape[axis], part.stop - part.start
        start = (part.start * step - before) % extent  # before the first sample is the last one
        found.append(Average(extent, start, step, n_places, weights))
    return found


def weights_of(spectrum: Array) -> tuple[int, Array]:
    """Return how far an average reaches back, and its weights from there on."""
    response = np.fft.ifft(spectrum).real
    n = len(response)
    places = np.flatnonzero(abs(response) >= NEGLIGIBLE * abs(response).max())
    reach = np.minimum(places, n - places).max()
    before = min(reach, n // 2)  # a filter wider than the axis goes round it once
    after = min(reach, n - 1 - before)
    return before, response[-np.arange(-before, after + 1) % n]
