"""Where the brain is: masks from files or from the mean of many volumes, and boxes around them."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from .file import MAX_BYTES, Source, naming, read_volume
from .grid import Array, Box, Grid, resample
from .lazy import VolumeReader

BINS = 256
INLIERS = 2, 98  # percentiles of a volume
HEAD = 0.01, 0.95  # share of a grid that a head may fill
GROUND = 0.75  # share of the border of a grid that no head fills


def read_mask(path: Source, grid: Grid, max_bytes: int = MAX_BYTES) -> Array:
    """Return the voxels of a grid whose nearest voxel in a mask image is not zero.

    Raises
    ------
    OSError, ValueError
        If the file is no sound volume, or no voxel of the grid is in the mask.
    """
    values, source = read_volume(path, max_bytes, constant=True)  # a mask may be full
    mask = resample(values, source, grid, nearest=True) != 0
    with naming(path):
        if not mask.any():
            raise ValueError(f"the mask has no voxel on the grid of {grid}")
    return mask


def brain_mask(paths: Iterable[Source], reader: VolumeReader) -> Array:
    """Return the foreground of the mean volume of files.

    Volumes are clipped to percentiles and divided by their root mean square before: a few hot
    voxels are no head, and units differ between scanners.

    Raises
    ------
    ValueError
        If the foreground is too small or too large for a head.
    """
    # One volume after another: the mean of a cohort must not need the memory of a cohort.
    total = np.zeros(reader.grid.shape, np.float32)
    volume = np.empty_like(total)
    for path in paths:
        reader.read_whole(path, volume)
        np.clip(volume, *np.percentile(volume, INLIERS), out=volume)
        volume /= np.sqrt(np.mean(np.square(volume), dtype=np.float64)) or 1  # or there is nothing
        total += volume
    # The mean, a multiple of it, has the same foreground.
    mask = foreground(total) if np.ptp(total) else np.zeros(total.shape, bool)
    if not HEAD[0] <= mask.mean() <= HEAD[1]:
        raise ValueError(
            f"mask='brain' must find a head that fills {HEAD[0]:.0%} to {HEAD[1]:.0%} of the grid, "
            f"bright on a dark ground, got {mask.mean():.1%}; give a mask image, or none."
        )
    # What is bright at the border is no head, but the ground around a dark one, or a damaged slice.
    inside, border = shares_of(mask)
    if border > min(GROUND, 2 * inside):
        raise ValueError(
            "mask='brain' must find a head in the middle of the grid, bright on a dark ground, got "
            f"a region that fills {inside:.1%} of the inside and {border:.1%} of the border; give "
            "a mask image, or none."
        )
    return mask


def shares_of(mask: Array) -> tuple[float, float]:
    """Return which share of the inside of a grid a mask fills, and of its outermost voxels."""
    border = np.ones(mask.shape, bool)
    border[(slice(1, -1),) * 3] = False
    if border.all():  # too small to have an inside
        return 1.0, 0.0
    return float(mask[~border].mean()), float(mask[border].mean())


def foreground(volume: Array) -> Array:
    """Return the largest connected region above Otsu's threshold, its holes filled."""
    regions, n_regions = ndimage.label(volume > otsu_threshold(volume))
    sizes = np.bincount(regions.ravel(), minlength=n_regions + 1)[1:]
    return ndimage.binary_fill_holes(regions == 1 + sizes.argmax())


def otsu_threshold(values: Array) -> float:
    r"""Return the threshold between two classes of the largest variance between them.

    .. math::
        \max_t \, n_0 n_1 (\mu_0 - \mu_1)^2

    References
    ----------
    N. Otsu. A threshold selection method from gray-level histograms. IEEE Transactions on
    Systems, Man, and Cybernetics, 1979.
    """
    counts, edges = np.histogram(values, bins=BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    below, sums = np.cumsum(counts).astype(float), np.cumsum(counts * centres)
    n_values, total = below[-1], sums[-1]
    between = (below * total - n_values * sums)[:-1] ** 2 / (below * (n_values - below))[:-1]
    return float(edges[1 + between.argmax()])


def bounding_box(mask: Array) -> Box:
    """Return the smallest box of voxels that holds a mask."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return box
