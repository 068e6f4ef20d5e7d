"""What a linear machine sees of images, and the way of its weights back to their voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.ndimage import gaussian_filter

from .duals import Array, combined, inner_products, mean_square

FLAT = 1e-6  # deviation of a voxel, in those of the one that varies most, that is no variation


@dataclass(frozen=True, eq=False)
class SeenVoxels:
    r"""What a machine sees of centred images (n, channels, *spatial): smoothed and scaled voxels.

    With smoothing S and scaling D, weights w on :math:`D S x` are the weights :math:`S D w` on
    x, as S is symmetric: a sample to predict need not be smoothed.

    Parameters
    ----------
    deviation : float or None
        Of the Gaussian.
    scale : ndarray, shape (channels, *spatial)
    unit : float
        Mean squared norm of the samples.
    kernel : ndarray, shape (n, n)
        Inner products, divided by the unit.
    """

    deviation: float | None
    scale: Array
    unit: float
    kernel: Array

    @classmethod
    def of(cls, X: Array, weight: Array, deviation: float | None, standardize: bool) -> Self:
        """Smooth and scale images."""
        voxels = smoothed(X, deviation).reshape(len(X), -1)
        scale = inverse_deviations(voxels, weight) if standardize else np.ones(voxels.shape[1])
        products = inner_products(voxels, scale)
        # In units of the norm, a penalty means the same for volumes of any size and scale.
        unit = mean_square(products, weight)
        return cls(deviation, scale.reshape(X.shape[1:]), unit, products / unit)

    def combine(self, X: Array, coefficients: Array) -> Array:
        """Return combinations of the images as the machine sees them, in units of their norm."""
        sums = combined(coefficients / np.sqrt(self.unit), X.reshape(len(X), -1))
        return self.scale * smoothed(sums.reshape(-1, *X.shape[1:]), self.deviation)

    def weights(self, X: Array, coefficients: Array) -> Array:
        """Return the weights of voxels as they are, for a machine on what it sees."""
        scale = self.scale / np.sqrt(self.unit)
        return smoothed(scale * self.combine(X, coefficients), self.deviation)


def smoothed(X: Array, deviation: float | None) -> Array:
    """Smooth samples (n, channels, *spatial), reflected at their border; None leaves them alone.

    The deviation of the Gaussian is in samples.  As a matrix, this is symmetric.
    """
    if deviation is None:
        return X
    result = np.empty_like(X)
    for image, target in zip(X, result, strict=True):  # a filter of all at once needs more memory
        gaussian_filter(image, (0,) + (deviation,) * (image.ndim - 1), output=target)
    return result


def centred(X: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Centre images in place, and return them, their mean, and which of their voxels vary."""
    varies = X.min(axis=0) != X.max(axis=0)
    mean = np.einsum("i,i...->...", weight / weight.sum(), X)
    X -= mean
    X[:, ~varies] = 0  # and nothing of the rounding of their mean
    return X, mean, varies


def inverse_deviations(voxels: Array, weight: Array) -> Array:
    """Return one over the deviation of each centred voxel, or zero where it hardly varies."""
    share = weight / weight.sum()
    deviations = np.sqrt(np.einsum("i,ij,ij->j", share, voxels, voxels))
    varies = deviations > FLAT * deviations.max()
    return np.divide(1.0, deviations, out=np.zeros_like(deviations), where=varies)
