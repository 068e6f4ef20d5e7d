"""Cartoon images: smooth but for a smooth edge, whose length is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ..params import SEED, check, integer

Array = NDArray[np.float64]

HARMONICS = np.arange(2, 6)  # of the outline: the first one would shift it
ROUGHNESS = 0.25  # most of the logarithm of the radius, divided by the harmonic
RADIUS, SHIFT = (
    0.27,
    0.05,
)  # of the outline, and most of its centre, in an image of width 1
WAVES = np.array([(0, 1), (1, -1), (1, 0), (1, 1)])  # periods of the smooth parts in the image
SMOOTH = 0.1  # most of each of their waves; the jump is 1 in the mean, and at least 0.4
SUBSAMPLES = 16  # along each axis of a pixel that the edge may cross
DIRECTIONS = 1 << 14  # in which the length of the outline is summed up


class Cartoon(NamedTuple):
    """An image with an edge.

    Parameters
    ----------
    image : ndarray, shape (size, size)
    edge_length : float
        Length of the edge, in pixels.

    See Also
    --------
    make_cartoon : A random one.

    Examples
    --------
    >>> from sklstruct.io import make_cartoon
    >>> image, edge_length = make_cartoon(128, random_state=0)
    >>> image.shape, round(edge_length)
    ((128, 128), 223)
    """

    image: Array
    edge_length: float


def make_cartoon(size: int = 256, random_state: Any = None) -> Cartoon:
    r"""Make a periodic image that is piecewise smooth, with a smooth edge.

    .. math::
        f = f_0 + f_1 1_B, \qquad B = \{r < r(\theta)\}, \qquad
        r(\theta) = r_0 \exp \sum_{k=2}^5 a_k \cos(k \theta + \varphi_k)

    where :math:`f_0` and :math:`f_1 - 1` are a few waves that are as long as the image.  A pixel
    is the mean of f over its square: pixels that the edge may cross average 16 x 16 points, so
    that no staircase stands in for the edge.  The scene depends on ``random_state`` alone, so
    that two sizes show the same one.

    Parameters
    ----------
    size : int, default=256
        Extent along both axes, in pixels.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    cartoon : Cartoon
        The image, and the length of its edge.

    Raises
    ------
    ValueError
        If a parameter is none of the above.

    References
    ----------
    E. J. Candes and D. L. Donoho. New tight frames of curvelets and optimal representations of
    objects with piecewise C2 singularities. Communications on Pure and Applied Mathematics,
    2004.

    Examples
    --------
    >>> from sklstruct.io import make_cartoon
    >>> small, large = (make_cartoon(size, random_state=0) for size in (64, 128))
    >>> round(large.edge_length / small.edge_length, 6)
    2.0
    >>> means = large.image.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    >>> abs(means - small.image).mean().round(3).item()
    0.0
    """
    check("size", size, integer(16))
    rng = check_random_state(check("random_state", random_state, SEED))
    centre = 0.5 + rng.uniform(-SHIFT, SHIFT, size=2)
    outline = rng.uniform(-ROUGHNESS, ROUGHNESS, size=(2, len(HARMONICS))) / HARMONICS
    smooth = rng.uniform(-SMOOTH, SMOOTH, size=(2, 2, len(WAVES)))
    points = (np.arange(size) + 0.5) / size
    rows, columns = np.meshgrid(points, points, indexing="ij")
    inside = depth(rows, columns, centre, outline)
    radius, slope = radii(np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False), outline)
    # How fast depth falls bounds how far the edge is; a pixel reaches half its diagonal.
    steepest = np.hypot(1, slope / radius).max()
    crossed = np.abs(inside) < steepest / size / np.sqrt(2)
    offsets = (np.arange(SUBSAMPLES) + 0.5 - SUBSAMPLES / 2) / SUBSAMPLES / size
    share = (inside > 0).astype(np.float64)
    share[crossed] = np.mean(
        [
            depth(rows[crossed] + up, columns[crossed] + right, centre, outline) > 0
            for up in offsets
            for right in offsets
        ],
        axis=0,
    )
    background, jump = (waves(rows, columns, parts) for parts in smooth)
    length = 2 * np.pi * size * np.hypot(radius, slope).mean()
    return Cartoon(background + (1 + jump) * share, float(length))


def radii(angles: Array, outline: Array) -> tuple[Array, Array]:
    """Return the radius of an outline at some angles, and its derivative."""
    cosines, sines = outline[:, None, :]
    phases = angles[:, None] * HARMONICS
    exponent = (cosines * np.cos(phases) + sines * np.sin(phases)).sum(axis=1)
    change = ((sines * np.cos(phases) - cosines * np.sin(phases)) * HARMONICS).sum(axis=1)
    radius = RADIUS * np.exp(exponent)
    return radius, radius * change


def depth(rows: Array, columns: Array, centre: Array, outline: Array) -> Array:
    """Return how much further the outline is from its centre than points are."""
    up, right = rows - centre[0], columns - centre[1]
    radius, _ = radii(np.arctan2(up, right).ravel(), outline)
    return radius.reshape(up.shape) - np.hypot(up, right)


def waves(rows: Array, columns: Array, parts: Array) -> Array:
    """Return a sum of waves with the period of the image."""
    values = np.zeros_like(rows)
    for (up, right), (cosine, sine) in zip(WAVES, parts.T, strict=True):
        phase = 2 * np.pi * (up * rows + right * columns)
        values += cosine * np.cos(phase) + sine * np.sin(phase)
    return values
