"""Cartoon images: smooth but for a smooth edge, whose length is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from ..params import SEED, check, integer

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

HARMONICS = np.arange(2, 6)  # of the outline: the first one would shift it
ROUGHNESS = 0.25  # most of the logarithm of the radius, divided by the harmonic
RADIUS, SHIFT = 0.27, 0.05  # of the outline, and most of its centre, in an image of width 1
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
    >>> from sklstruct.datasets import make_cartoon
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

    See Also
    --------
    nterm_approximation : How few terms such an image needs.
    make_textured_blobs : Blobs with textures, and their boundaries.

    References
    ----------
    E. J. Candes and D. L. Donoho. New tight frames of curvelets and optimal representations of
    objects with piecewise C2 singularities. Communications on Pure and Applied Mathematics,
    2004.

    Examples
    --------
    >>> from sklstruct.datasets import make_cartoon
    >>> small, large = (make_cartoon(size, random_state=0) for size in (64, 128))
    >>> round(large.edge_length / small.edge_length, 6)
    2.0
    >>> means = large.image.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    >>> abs(means - small.image).mean().round(3).item()
    0.0
    """
    check("size", size, integer(16))
    rng = check_random_state(check("random_state", random_state, SEED))
    centre = complex(0.5, 0.5) + complex(*rng.uniform(-SHIFT, SHIFT, size=2))
    outline = np.zeros(HARMONICS.max() + 1, complex)
    outline[HARMONICS] = complex_uniform(rng, HARMONICS.shape) * ROUGHNESS / HARMONICS
    smooth = complex_uniform(rng, (2, len(WAVES))) * SMOOTH
    points = (np.arange(size) + 0.5) / size
    places = points + 1j * points[:, None] - centre
    inside = depth(places, outline)
    turns = np.exp(2j * np.pi * np.arange(DIRECTIONS) / DIRECTIONS)
    slope = polyval(turns, np.arange(len(outline)) * outline).imag  # of the logarithm of r
    # How fast depth falls bounds how far the edge is; a pixel reaches half its diagonal.
    crossed = np.abs(inside) < np.hypot(1, slope).max() / size / np.sqrt(2)
    offsets = (np.arange(SUBSAMPLES) + 0.5 - SUBSAMPLES / 2) / SUBSAMPLES / size
    share = (inside > 0).astype(np.float64)
    samples = [places[crossed] + x + 1j * y for x in offsets for y in offsets]
    share[crossed] = np.mean([depth(one, outline) > 0 for one in samples], axis=0)
    background, jump = (waves(points, parts) for parts in smooth)
    length = 2 * np.pi * size * np.mean(radii(turns, outline) * np.hypot(1, slope))
    return Cartoon(background + (1 + jump) * share, float(length))


def complex_uniform(rng: Any, shape: tuple[int, ...]) -> Complex:
    """Return complex numbers whose real and imaginary parts lie between -1 and 1."""
    return rng.uniform(-1, 1, shape) + 1j * rng.uniform(-1, 1, shape)


def radii(directions: Complex, outline: Complex) -> Array:
    """Return the radius of an outline in some directions, complex numbers of length 1."""
    return RADIUS * np.exp(polyval(directions, outline).real)


def depth(places: Complex, outline: Complex) -> Array:
    """Return how much further the outline is from its centre than places are."""
    distances = np.abs(places)
    return radii(places / np.maximum(distances, np.finfo(float).tiny), outline) - distances


def waves(points: Array, parts: Complex) -> Array:
    """Return a sum of waves with the period of the image."""
    turns = np.exp(2j * np.pi * points)
    terms = [
        np.outer(part * turns**up, turns**right).real
        for (up, right), part in zip(WAVES, parts, strict=True)
    ]
    return np.sum(terms, axis=0)
