"""Suppression of what is no maximum across a boundary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Image = NDArray[np.float32]

MARGIN = 5  # pixels at the border of an image where responses fade
TOLERANCE = 1.01  # by which a neighbour must be larger


def suppress(image: NDArray[np.floating]) -> Image:
    """Return a map of boundaries, smoothed a little, with zeros where it is no maximum across.

    A place is compared with those one pixel away to both sides of the boundary, whose direction
    is that of the second derivatives of the map smoothed more.  At the border responses fade.

    Parameters
    ----------
    image : ndarray, shape (height, width)

    Returns
    -------
    maxima : ndarray of float32, shape (height, width)

    References
    ----------
    P. Dollár and C. L. Zitnick. Fast edge detection using structured forests. IEEE Transactions
    on Pattern Analysis and Machine Intelligence 37, 2015; the toolbox that belongs to it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct_boundaries.suppression import suppress
    >>> ramp = np.repeat([[0.0, 0.25, 0.5, 0.75, 0.5, 0.25, 0.0]], 16, axis=0)
    >>> suppress(np.pad(ramp, 8))[16].nonzero()[0]
    array([11])
    """
    smooth = smoothed(image.astype(np.float32), 1)
    angle = orientation(smooth)
    rows, columns = np.indices(smooth.shape, np.float32)
    down, right = np.sin(angle), np.cos(angle)
    least = smooth * np.float32(TOLERANCE)
    kept = np.ones(smooth.shape, bool)
    for side in (-1, 1):
        kept &= least >= interpolated(smooth, rows + side * down, columns + side * right)
    return np.where(kept, smooth, np.float32(0)) * fading(smooth.shape)


def smoothed(image: Image, radius: int) -> Image:
    """Return a map smoothed by triangles of that radius along both axes, [1 2 1] / 4 for 1."""
    rising = np.arange(1, radius + 2)
    weights = np.concatenate([rising, rising[-2::-1]]) / (radius + 1) ** 2
    return correlate1d(correlate1d(image, weights, axis=0), weights, axis=1)


def derivative(image: Image, axis: int) -> Image:
    """Return central differences, one-sided ones at the border."""
    return np.zeros_like(image) if image.shape[axis] == 1 else np.gradient(image, axis=axis)


def orientation(image: Image) -> Image:
    """Return the angle from the columns' axis across the boundary at each place, in radians."""
    down, right = (derivative(smoothed(image, 4), axis) for axis in (0, 1))
    along, mixed, across = derivative(right, 1), derivative(right, 0), derivative(down, 0)
    # As the toolbox has it: where the mixed derivative is exactly zero, on a line along the rows
    # say, the angle is zero and nothing across is suppressed.  Thinning follows.
    angle = np.arctan2(across * np.sign(-mixed), along + np.float32(1e-5))
    return angle % np.float32(np.pi)


def interpolated(image: Image, rows: Image, columns: Image) -> Image:
    """Return bilinear interpolations; outside the image those at its border."""
    places = []
    for values, extent in ((rows, image.shape[0]), (columns, image.shape[1])):
        values = values.clip(0, max(0, extent - 1.001))
        first = values.astype(np.intp)
        places.append((first, np.minimum(first + 1, extent - 1), values - first))
    (top, bottom, down), (left, right, across) = places
    above = image[top, left] * (1 - across) + image[top, right] * across
    below = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return above * (1 - down) + below * down


def fading(shape: tuple[int, ...]) -> Image:
    """Return factors from 0 at the border to 1 inside."""
    margin = min(MARGIN, *(extent // 2 for extent in shape))
    axes = [np.minimum(np.arange(n), np.arange(n)[::-1]) for n in shape]
    factors = [np.minimum(axis / max(margin, 1), 1) if margin else axis * 0 + 1 for axis in axes]
    return np.multiply.outer(*factors).astype(np.float32)
