"""Values of voxels: smoothing in millimetres, and scales that subjects can be compared on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from .grid import Array

SCALINGS = ("zscore", "percentile")
ROUNDING = np.finfo(np.float32).eps  # relative: values this close are the same one
FWHM = np.sqrt(8 * np.log(2))  # full width at half maximum of a Gaussian of deviation 1


def smooth(volume: Array, spacing: Sequence[float], fwhm: float) -> None:
    """Smooth a volume in place with a Gaussian, continued beyond the border by its last values.

    Parameters
    ----------
    volume : ndarray of float32
    spacing : sequence of float
        Size of a voxel along each axis, in millimetres.
    fwhm : float
        Full width of the Gaussian at half its maximum, in millimetres.
    """
    deviations = fwhm / FWHM / np.asarray(spacing)
    for axis, deviation in enumerate(deviations):
        ndimage.gaussian_filter1d(volume, deviation, axis, output=volume, mode="nearest")


def scale(
    volume: Array,
    scaling: str | None,
    mask: Array | None = None,
    percentiles: tuple[float, float] = (1, 99),
) -> None:
    r"""Scale a volume in place by the values in a mask, and set those outside to zero.

    .. math::
        \text{zscore:} \; (v - \mu) / \sigma, \qquad
        \text{percentile:} \; \min(1, \max(0, (v - p_{low}) / (p_{high} - p_{low})))

    Parameters
    ----------
    volume : ndarray of float32
    scaling : {"zscore", "percentile"} or None
    mask : ndarray of bool, default=None
        Where the values count; everywhere if None.
    percentiles : tuple of two floats, default=(1, 99)

    Raises
    ------
    ValueError
        If the values in the mask do not differ.
    """
    if scaling == "zscore":
        # Sums over millions of voxels need double precision, and no copy of the volume in it.
        where: Any = True if mask is None else mask
        mean = np.mean(volume, dtype=np.float64, where=where)
        np.subtract(volume, mean, out=volume, dtype=np.float64, casting="same_kind")
        deviation = np.sqrt(np.mean(np.square(volume), dtype=np.float64, where=where))
        volume /= positive("deviation", deviation, mean)
    elif scaling == "percentile":
        inside = volume.flatten() if mask is None else volume[mask]
        low, high = np.percentile(inside, percentiles, overwrite_input=True)  # a copy anyway
        volume -= low
        volume /= positive(f"range between the percentiles {percentiles}", high - low, high)
        np.clip(volume, 0, 1, out=volume)
    if mask is not None:
        volume[~mask] = 0


def positive(name: str, width: Any, level: Any) -> Any:
    """Return a measure of spread, or raise a ValueError if there is none but rounding."""
    if not ROUNDING * abs(level) < width < np.inf:
        raise ValueError(
            f"the {name} of its values (in the mask, if there is one) must be positive and "
            f"finite, got {width:g} about {level:g}"
        )
    return width
