"""Volumes on a common grid, read when they are asked for."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import cache
from .file import (
    MAX_BYTES,
    Source,
    SpatialImage,
    StrPath,
    name_of,
    naming,
    read_grid,
    read_volume,
)
from .grid import CLOSE, Array, Box, Grid, coverage, resample
from .intensity import scale, smooth

WHOLE = (slice(None),) * 3
MOST = 0.75  # share of a grid; scans that cover less are worth a warning


@dataclass(frozen=True, eq=False)
class VolumeReader:
    """How a volume comes from its file.

    Parameters
    ----------
    grid : Grid
        Common to all volumes.
    box : tuple of slice, default=all
        The part of the grid that is wanted.
    mask : ndarray of bool, default=None
        In the box; values outside become zero.
    scaling : {"zscore", "percentile"}, default=None
    percentiles : tuple of two floats, default=(1, 99)
    smoothing_fwhm : float, default=None
        In millimetres; smoothing comes before resampling.
    non_finite : {"error", "zero"}, default="error"
        What becomes of voxels in the mask that depend on NaN or infinite ones.
    min_coverage : float, default=0.25
        Smallest share of the grid that a scan may cover.
    covered : float, default=1
        Share that counts as all of the grid, where there is more of it than of any scan.
    same_as : Grid, default=None
        If given, files with another grid are refused.
    cache_dir : path-like, default=None
        Where volumes on the whole grid are kept, neither masked nor scaled, so that they serve
        for every mask.
    max_bytes : int, default=2**31
        See ``read_volume``.
    """

    grid: Grid
    box: Box = WHOLE
    mask: Array | None = None
    scaling: str | None = None
    percentiles: tuple[float, float] = (1, 99)
    smoothing_fwhm: float | None = None
    non_finite: str = "error"
    min_coverage: float = 0.25
    covered: float = 1.0
    same_as: Grid | None = None
    cache_dir: StrPath | None = None
    max_bytes: int = MAX_BYTES

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the volumes."""
        return self.grid.cropped(self.box).shape

    def read(self, path: Source, out: Array | None = None) -> Array:
        """Return a volume, cropped, scaled and masked.

        Parameters
        ----------
        path : str or path-like, or image of nibabel
        out : ndarray of float32, C-contiguous, default=None
            Where to put it.

        Raises
        ------
        OSError, ValueError
            As ``read_volume`` does; and if the volume is on another grid than demanded, does
            not meet the common grid, or has but one value or one that is not finite in the mask.
        """
        out = np.empty(self.shape, np.float32) if out is None else out
        if out.shape == self.grid.shape:  # no second volume is needed then
            self.read_whole(path, out)
        else:
            out[...] = self.read_whole(path, np.empty(self.grid.shape, np.float32))[self.box]
        with naming(path):
            if np.isnan(out.min()):
                unknown = np.isnan(out if self.mask is None else out[self.mask])
                if unknown.any():
                    raise ValueError(
                        f"voxels in the mask must be finite, but {unknown.mean():.2%} are not; "
                        "non_finite='zero' sets them to zero"
                    )
            scale(out, self.scaling, self.mask, self.percentiles)
        return out

    def read_whole(self, path: Source, out: Array) -> Array:
        """Return a volume on the whole grid, neither masked nor scaled, NaN where it is unknown."""
        if self.same_as is not None:
            check_same_grid(path, self.same_as, self.max_bytes)
        if self.cache_dir is None or isinstance(path, SpatialImage):  # which may change unseen
            self._compute(path, out)
        else:
            # All that volumes on the whole grid depend on.
            setting = self.grid.shape, self.grid.affine.tolist(), self.smoothing_fwhm
            cache.fetch(
                self.cache_dir, cache.key_of(path, setting), out, partial(self._compute, path)
            )
        self._check_coverage(path)  # here, as what a cache holds is no less incomplete
        if self.non_finite == "zero" and np.isnan(out.min()):
            out[np.isnan(out)] = 0
        return out

    def _compute(self, path: Source, out: Array) -> None:
        strict = self.non_finite == "error" and self.mask is None  # then the file says which voxel
        values, grid = read_volume(path, self.max_bytes, finite=strict)
        unknown = np.isnan(values) if np.isnan(values.min()) else None
        if unknown is not None:
            values[unknown] = 0
        if self.smoothing_fwhm is not None:
            smooth(values, grid.spacing, self.smoothing_fwhm)
        resample(values, grid, self.grid, out=out)
        with naming(path):
            if not out.any():  # the affines of a file and of the grid do not meet
                raise ValueError(f"on {grid}, it is zero everywhere on the grid of {self.grid}")
        if unknown is not None:  # marked, so that an entry of the cache serves for every mask
            out[resample(unknown.astype(np.float32), grid, self.grid) > CLOSE] = np.nan

    def _check_coverage(self, path: Source) -> None:
        """Raise a ValueError for a scan that misses most of the grid, or warn of one."""
        grid = read_grid(path, self.max_bytes)
        share = coverage(grid, self.grid) / self.covered
        place = f"on {grid}, it covers {share:.0%} of the grid of {self.grid}"
        with naming(path):
            if share < self.min_coverage:
                raise ValueError(f"{place}, which is less than min_coverage={self.min_coverage}")
        if share < MOST:
            warnings.warn(f"{name_of(path)}: {place}; the rest is zero.", stacklevel=2)


def check_same_grid(path: Source, wanted: Grid, max_bytes: int) -> None:
    """Raise a ValueError that names the file if its grid is another one."""
    grid = read_grid(path, max_bytes)
    if not grid.agrees(wanted):
        with naming(path):
            raise ValueError(f"it must have the grid of all, {wanted}, but has {grid}")


@dataclass(frozen=True, eq=False, repr=False)
class LazyVolumes:
    """A sequence of volumes that holds paths, and reads a volume whenever one is asked for.

    An index gives a volume (D, H, W); a slice, a list of indices or a mask gives the
    ``LazyVolumes`` of these samples, so that splitting reads nothing.  ``np.asarray`` reads
    all into one array (n, D, H, W).

    Parameters
    ----------
    paths : list of Path or image of nibabel
    reader : VolumeReader
    """

    paths: list[Path | SpatialImage]
    reader: VolumeReader

    ndim = 4  # with shape and dtype, all that scikit-learn asks of an array before it splits it
    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for, (n, D, H, W)."""
        return (len(self.paths), *self.reader.shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"LazyVolumes({len(self)} volumes on {self.reader.grid.cropped(self.reader.box)})"

    def __getitem__(self, key: Any) -> Any:
        chosen = np.arange(len(self))[key]  # NumPy knows slices, lists, masks and what is wrong
        if chosen.ndim == 0:
            return self.reader.read(self.paths[chosen])
        return LazyVolumes([self.paths[index] for index in chosen], self.reader)

    def __iter__(self) -> Iterator[Array]:
        return map(self.reader.read, self.paths)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("Volumes that are read from files are always a new array.")
        volumes = np.empty(self.shape, self.dtype)
        for path, volume in zip(self.paths, volumes, strict=True):
            self.reader.read(path, volume)
        return volumes.astype(dtype or self.dtype, copy=False)
