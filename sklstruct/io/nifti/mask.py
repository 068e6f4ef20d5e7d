"""Where the brain is: masks from files or from the mean of many volumes, and boxes around them."""

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from .file import MAX_BYTES, StrPath, naming, read_volume
from .grid import Array, Box, Grid, resample
from .lazy import VolumeReader

BINS = 256


def read_mask(path: StrPath, grid: Grid, max_bytes: int = MAX_BYTES) -> Array:
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


def brain_mask(paths: Iterable[StrPath], reader: VolumeReader) -> Array:
    """Return the foreground of the mean volume of files.

    Volumes are divided by their root mean square before: units differ between scanners.
    """
    # One volume after another: the mean of a cohort must not need the memory of a cohort.
    total = np.zeros(reader.grid.shape, np.float32)
    volume = np.empty_like(total)
    for path in paths:
        reader.read_whole(path, volume)
        volume /= np.sqrt(np.mean(np.square(volume), dtype=np.float64))
        total += volume
    return foreground(total)  # which the mean, a multiple of it, has too


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
