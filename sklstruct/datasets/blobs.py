"""Textured blobs: images without end, whose boundaries are known to the pixel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from sklearn.utils import check_random_state

from ..io import Dataset
from ..params import SEED, Rule, check, integer, remembered

Array = NDArray[Any]

N_BLOBS = 3  # at most
RADII = 0.13, 0.26  # of the smaller extent
HARMONICS = np.arange(2, 6)  # of an outline: the first one would shift it
ROUGHNESS = 0.25  # standard deviation of the logarithm of the radius, divided by the harmonic
WAVELENGTHS = 4, 8  # pixels
TURN = np.pi / 4  # least angle between blob and background
MIDDLE, CONTRAST = 0.5, (0.12, 0.18)  # mean and standard deviation of a textured image
LARGEST = 2.5  # deviation from the mean, for no side to lose contrast at the ends of the range
CLUE = 0.6, 0.5  # level 2: largest shift of a mean in units of the contrast, and of its logarithm
N_TRAIN, N_TEST = 500, 200
SHAPE = Rule(
    "a tuple of two integers of at least 16",
    lambda v: isinstance(v, tuple) and len(v) == 2 and all(map(integer(16).holds, v)),
)


class Texture(NamedTuple):
    """A kind of texture: noise that a filter has passed.

    Parameters
    ----------
    octaves : float
        Standard deviation of the filter around its wavelength.
    concentration : float
        Of the filter around its orientation; 0 is all orientations alike.
    share : float
        Of pixels at which the noise is an impulse; 1 is normal noise.
    limit : float
        Gain before values are limited; 0 does not limit them.
    """

    octaves: float
    concentration: float = 0
    share: float = 1
    limit: float = 0


TEXTURES = {
    "noise": Texture(0.5),
    "fibres": Texture(0.5, concentration=6),
    "grating": Texture(0.1, concentration=60),
    "spots": Texture(0.5, share=0.04),
    "strokes": Texture(0.5, concentration=6, share=0.04),
    "patches": Texture(0.3, limit=3),
}


def make_textured_blobs(
    n_samples: int,
    level: int,
    *,
    start: int = 0,
    shape: tuple[int, int] = (64, 64),
    random_state: Any = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    r"""Make images of random blobs, and the maps of their boundaries.

    An image shows the union of one to three blobs with the outlines

    .. math::
        r(\theta) = r_0 \exp \sum_{k=2}^5 a_k \cos(k \theta + \varphi_k)

    whose centres lie anywhere in the image.  On level 1, blobs are 1 and the background is 0.  On
    level 2, both are filled with textures of different kinds and orientations, whose means and
    contrasts differ a little, so that gradients say little of where boundaries are.  On level 3,
    mean and contrast of both are equal too.

    Textures are filtered noise: without a direction, fibres, gratings, spots, strokes and patches.
    Orientations, wavelengths of 4 to 8 pixels and contrasts are random.

    Parameters
    ----------
    n_samples : int
    level : {1, 2, 3}
    start : int, default=0
        Number of the first sample.  A sample depends on its number and ``random_state`` alone, so
        that there are always more: training may go on with new ones.
    shape : tuple of int, default=(64, 64)
        Extents of an image, of at least 16 pixels.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of float32, shape (n_samples, *shape)
        From 0 to 1.
    y : ndarray of bool, shape (n_samples, *shape)
        The pixels of blobs that have one of the background above, below, left or right: curves of
        the width of a pixel.  The border of an image is no boundary.

    Raises
    ------
    ValueError
        If a parameter is none of the above.

    See Also
    --------
    make_cartoon : Images that are smooth but for one edge.
    BoundaryDetector : Learns such maps.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017.  Its textures are photographs of KTH-TIPS.

    Examples
    --------
    >>> from sklstruct.datasets import make_textured_blobs
    >>> X, y = make_textured_blobs(3, level=1, random_state=0)
    >>> X.shape, y.mean(axis=(1, 2)).round(2).tolist()
    ((3, 64, 64), [0.03, 0.03, 0.04])
    """
    check("n_samples", n_samples, integer(1))
    check("level", level, integer(1, 3))
    check("start", start, integer(0))
    check("shape", shape, SHAPE)
    seed = check("random_state", random_state, SEED)
    if not integer(0).holds(seed):
        seed = check_random_state(seed).randint(2**31)
    X, y = np.empty((n_samples, *shape), np.float32), np.empty((n_samples, *shape), bool)
    for place, number in enumerate(range(start, start + n_samples)):
        rng = np.random.default_rng([seed, number])
        blobs = draw_blobs(rng, shape)
        inside = blobs[1:-1, 1:-1]
        y[place] = inside & ~ndimage.binary_erosion(blobs)[1:-1, 1:-1]
        X[place] = inside if level == 1 else textured(rng, inside, level)
    return X, y


def draw_blobs(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return where blobs are, also one pixel beyond the border, (H + 2, W + 2)."""
    rows, columns = np.ogrid[-1 : shape[0] + 1, -1 : shape[1] + 1]
    blobs = np.zeros((shape[0] + 2, shape[1] + 2), bool)
    for _ in range(rng.integers(1, N_BLOBS + 1)):
        row, column = rng.uniform(0, np.array(shape) - 1)
        radius = rng.uniform(*RADII) * min(shape)
        waves = rng.normal(size=(2, len(HARMONICS))) * ROUGHNESS / HARMONICS
        places = (columns - column) + 1j * (rows - row)
        distances = np.abs(places)
        directions = places / np.maximum(distances, np.finfo(float).tiny)
        outline = sum(
            (complex(*wave) * directions**k).real
            for wave, k in zip(waves.T, HARMONICS.tolist(), strict=True)
        )
        blobs |= distances < radius * np.exp(outline)
    return blobs


def textured(rng: np.random.Generator, inside: NDArray[np.bool_], level: int) -> Array:
    """Return an image of blobs and background that differ in their textures, (H, W)."""
    kinds = rng.permutation(list(TEXTURES))
    angle, contrast = rng.uniform(0, np.pi), rng.uniform(*CONTRAST)
    image = np.empty(inside.shape)
    for kind, side in zip(kinds[:2].tolist(), (inside, ~inside), strict=True):
        wavelength = rng.uniform(*WAVELENGTHS)
        values = draw_texture(rng, inside.shape, TEXTURES[kind], wavelength, angle)[side]
        # Of what is seen of it: what a texture has elsewhere would be a clue.
        values = standardised(standardised(values).clip(-LARGEST, LARGEST))
        if level == 2:
            shift, gain = rng.uniform(-1, 1, size=2) * CLUE
            values = np.exp(gain) * values + shift
        image[side] = MIDDLE + contrast * values
        angle += rng.uniform(TURN, np.pi - TURN)
    return image.clip(0, 1)


def standardised(values: Array) -> Array:
    """Return values with mean 0 and deviation 1."""
    return (values - values.mean()) / values.std()


def draw_texture(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    texture: Texture,
    wavelength: float,
    angle: float,
) -> Array:
    r"""Return noise that a filter has passed, of deviation 1 before it is limited, (H, W).

    .. math::
        \hat h(\omega) = \exp \left( -\frac{\log_2^2(\lambda |\omega|)}{2 b^2} +
        \kappa (\cos 2 (\theta - \theta_0) - 1) \right)
    """
    octaves, twice = frequencies(shape)
    if texture.share < 1:
        noise = (rng.random(shape) < texture.share).astype(float)
    else:
        noise = rng.standard_normal(shape)
    passed = np.exp(
        -((octaves + np.log2(wavelength)) ** 2) / (2 * texture.octaves**2)
        + texture.concentration * (np.cos(twice - 2 * angle) - 1)
    )
    values = fft.irfft2(fft.rfft2(noise) * passed, shape)
    values /= values.std()
    return np.tanh(texture.limit * values) if texture.limit else values


@remembered
def frequencies(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the logarithms of frequencies to base 2, and twice their angles, (H, W // 2 + 1)."""
    rows, columns = fft.fftfreq(shape[0])[:, np.newaxis], fft.rfftfreq(shape[1])
    lengths = np.hypot(rows, columns)
    lengths[0, 0] = np.finfo(float).tiny  # which no filter lets pass
    return np.log2(lengths), 2 * np.arctan2(rows, columns)


def load_first_level() -> Dataset:
    """Return 500 binary images of blobs with maps of their boundaries, and 200 unseen ones.

    ``make_textured_blobs`` makes as many as are wanted.

    Examples
    --------
    >>> from sklstruct.io import load_dataset
    >>> load_dataset("textured_blobs_1")
    Dataset('textured_blobs_1', 500 samples of 64x64 and 200 for testing, maps of 2 labels)
    """
    return load_level(1)


def load_second_level() -> Dataset:
    """Return 500 images of blobs whose gradients say little of their boundaries, and 200 others.

    ``make_textured_blobs`` makes as many as are wanted.

    Examples
    --------
    >>> from sklstruct.io import load_dataset
    >>> load_dataset("textured_blobs_2")
    Dataset('textured_blobs_2', 500 samples of 64x64 and 200 for testing, maps of 2 labels)
    """
    return load_level(2)


def load_third_level() -> Dataset:
    """Return 500 images of blobs whose gradients hide their boundaries, and 200 unseen ones.

    ``make_textured_blobs`` makes as many as are wanted.

    Examples
    --------
    >>> from sklstruct.io import load_dataset
    >>> load_dataset("textured_blobs_3")
    Dataset('textured_blobs_3', 500 samples of 64x64 and 200 for testing, maps of 2 labels)
    """
    return load_level(3)


def load_level(level: int) -> Dataset:
    """Return the data set of a level."""
    train = make_textured_blobs(N_TRAIN, level, random_state=0)
    # Of another seed: who makes more of the same to train on meets no sample of the test.
    test = make_textured_blobs(N_TEST, level, random_state=1)
    return Dataset(f"textured_blobs_{level}", *train, *test)
