"""Paths of NIfTI files to volumes, the scikit-learn way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .file import MAX_BYTES, StrPath, check_size, read_grid, write_volume
from .grid import Box, Grid, resample
from .intensity import SCALINGS
from .lazy import WHOLE, LazyVolumes, VolumeReader, check_same_grid
from .mask import bounding_box, brain_mask, read_mask
from .paths import PATTERN, TakesPaths, find_volumes

Array = NDArray[Any]

SMALLEST = 1e-6  # millimetres; no voxel is as small as that


@dataclass(kw_only=True, eq=False, repr=False)
class NiftiVolumes(TakesPaths, TransformerMixin, BaseEstimator):
    """NIfTI files as volumes (n, D, H, W) on a common grid, read one at a time.

    Every volume is brought into canonical orientation (D runs to the right, H to the front, W
    to the top), smoothed, resampled linearly by its affine, cropped, scaled and masked.
    Nothing beside the grid and the mask is learned from the training files.

    Parameters
    ----------
    grid : {"first", "same"} or path-like, default="first"
        The common grid: that of the first training file, with "same" demanding that all files
        have it; or that of another NIfTI file, a template say.
    spacing : float or tuple of three floats, default=None
        Size of a voxel in millimetres, over the same field of view; None keeps that of the
        grid.  When it is much larger than that of the files, smooth as well.
    shape : tuple of three ints, default=None
        Number of voxels, about the same centre; None keeps what covers the field of view.
    affine : array-like, shape (4, 4), default=None
        With ``shape``, gives the grid in full; ``spacing`` must be None then.
    mask : "brain" or path-like, default=None
        Outside the mask, volumes become zero.  "brain" is the largest connected region above
        Otsu's threshold of the mean training volume, holes filled: the brain where the skull
        was taken off, the head where it was not.  A mask image is resampled to the nearest
        voxel and counts where it is not zero.
    crop : bool, default=False
        Whether volumes are cropped to the bounding box of the mask.
    scaling : {"zscore", "percentile"}, default="zscore"
        Scale of the values of each volume, by those in the mask: mean 0 and deviation 1, or
        the range between two percentiles to 0..1, or as they are if None.
    percentiles : tuple of two floats, default=(1.0, 99.0)
        For ``scaling="percentile"``.
    smoothing_fwhm : float, default=None
        Full width at half maximum of a Gaussian, in millimetres.
    stream : bool, default=False
        If True, ``transform`` returns ``LazyVolumes``, which read a volume when it is asked
        for, instead of an array.
    cache_dir : path-like, default=None
        Folder in which volumes on the common grid are kept, which processes may share.  A file
        that changes is read again; nothing is deleted.
    max_bytes : int, default=2**31
        Largest size of one volume; a header that claims more is refused before memory is
        taken.
    pattern : str, default="sub-*/**/*_T1w.nii*"
        What to read from a folder, where X is one.

    Attributes
    ----------
    shape_ : tuple of int
        Shape of the volumes.
    affine_ : ndarray, shape (4, 4)
        From indices (d, h, w) to millimetres.
    spacing_ : tuple of float
        Size of a voxel, in millimetres.
    mask_ : ndarray of bool, shape ``shape_``, or None
    grid_ : Grid
        The common grid before cropping.
    box_ : tuple of slice
        The part of it that is kept.
    file_grid_ : Grid or None
        The grid that every file must have, with ``grid="same"``.
    n_features_in_ : int
        One, the path.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklstruct import NiftiVolumes, RFNNClassifier
    >>> model = make_pipeline(NiftiVolumes(mask="brain", crop=True), RFNNClassifier())
    >>> model.fit(paths, y)  # doctest: +SKIP
    """

    grid: StrPath = "first"
    spacing: ArrayLike | None = None
    shape: tuple[int, int, int] | None = None
    affine: ArrayLike | None = None
    mask: StrPath | None = None
    crop: bool = False
    scaling: str | None = "zscore"
    percentiles: tuple[float, float] = (1.0, 99.0)
    smoothing_fwhm: float | None = None
    stream: bool = False
    cache_dir: StrPath | None = None
    max_bytes: int = MAX_BYTES
    pattern: str = PATTERN

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "grid": [str, os.PathLike],
        "spacing": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "shape": ["array-like", None],
        "affine": ["array-like", None],
        "mask": [str, os.PathLike, None],
        "crop": ["boolean"],
        "scaling": [StrOptions(set(SCALINGS)), None],
        "percentiles": ["array-like"],
        "smoothing_fwhm": [Interval(Real, 0, None, closed="neither"), None],
        "stream": ["boolean"],
        "cache_dir": [str, os.PathLike, None],
        "max_bytes": [Interval(Integral, 1, None, closed="left")],
        "pattern": [str],
    }

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the common grid and the mask.

        Parameters
        ----------
        X : array-like of str or path-like, shape (n,) or (n, 1); or one str or path-like
            Paths; or a pattern such as ``"scans/*.nii.gz"``, or a folder, see ``pattern``.
        y : None
            There for pipelines.

        Raises
        ------
        OSError, TypeError, ValueError
            If there are no files, or one that is read is not sound; the message names it.
        """
        self._validate_params()
        self._check_params()
        paths = find_volumes(X, self.pattern)
        reference = self._reference_grid(paths)
        self.file_grid_ = reference if self.grid == "same" else None
        if self.grid == "same":
            for path in paths:
                check_same_grid(path, reference, self.max_bytes)
        self.grid_ = self._common_grid(reference)
        mask = self._find_mask(paths)
        self.box_ = bounding_box(mask) if self.crop and mask is not None else WHOLE
        self.mask_ = None if mask is None else mask[self.box_]
        cropped = self.grid_.cropped(self.box_)
        self.shape_, self.affine_, self.spacing_ = cropped.shape, cropped.affine, cropped.spacing
        self.n_features_in_ = 1
        return self

    def transform(self, X: Any) -> Array | LazyVolumes:
        """Return the volumes of files.

        Beside the result, this holds the one volume that is read, and with ``crop`` also the
        same volume before it is cropped.

        Parameters
        ----------
        X : array-like of str or path-like, or one str or path-like
            As in ``fit``.

        Returns
        -------
        volumes : ndarray of float32, shape (n, D, H, W), or LazyVolumes if ``stream`` is set

        Raises
        ------
        OSError, TypeError, ValueError
            If there are no files, or one is not sound; the message names it.
        """
        volumes = self.lazy(X)
        return volumes if self.stream else np.asarray(volumes)

    def lazy(self, X: Any) -> LazyVolumes:
        """Return the volumes of files as a sequence that reads them when they are asked for."""
        check_is_fitted(self)
        return LazyVolumes(find_volumes(X, self.pattern), self._reader(self.box_, self.mask_))

    def to_nifti(self, values: ArrayLike, path: StrPath, subject: StrPath | None = None) -> None:
        """Write a map on the common grid as a NIfTI file.

        Parameters
        ----------
        values : array-like, shape ``shape_``
        path : str or path-like
            Of a file ``.nii`` or ``.nii.gz``, which is written whole or not at all.
        subject : str or path-like, default=None
            A NIfTI file to whose voxels the map is resampled, in its orientation; zero where
            the map does not reach.

        Raises
        ------
        OSError, ValueError
            If values have another shape, the subject cannot be read or the file not written.
        """
        check_is_fitted(self)
        values, grid = np.asarray(values, np.float32), Grid(self.shape_, self.affine_)
        if values.shape != self.shape_:
            raise ValueError(f"values must have the shape {self.shape_}, got {values.shape}.")
        if subject is not None:
            target = read_grid(subject, self.max_bytes, canonical=False)
            values, grid = resample(values, grid, target), target
        write_volume(path, values, grid)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Do nothing: volumes have four axes and stay arrays, whatever a pipeline is set to."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "grid_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_params(self) -> None:
        """Raise an error for parameters that are wrong or do not go together."""
        for name, names in {"grid": ("first", "same"), "mask": (None, "brain")}.items():
            value = getattr(self, name)
            if value not in names and not os.path.isfile(value):
                raise FileNotFoundError(f"{name} must be one of {names} or a file, got {value!r}.")
        if self.crop and self.mask is None:
            raise ValueError("crop=True needs a mask, such as mask='brain'.")
        if self.affine is not None and (self.shape is None or self.spacing is not None):
            raise ValueError("affine needs a shape beside it, and no spacing.")
        if self.spacing is not None and np.ndim(self.spacing):
            check_numbers("spacing", self.spacing, (3,), low=SMALLEST)
        if self.shape is not None:
            check_numbers("shape", self.shape, (3,), kinds="iu", low=1)
        if self.affine is not None:
            check_numbers("affine", self.affine, (4, 4))
        check_numbers("percentiles", self.percentiles, (2,), low=0, high=100)
        if self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"percentiles must grow, got {self.percentiles!r}.")

    def _reference_grid(self, paths: list[Path]) -> Grid:
        """Return the grid that the parameters start from."""
        if self.affine is not None and self.shape is not None:
            return Grid(tuple(map(int, self.shape)), np.asarray(self.affine, np.float64))
        source = paths[0] if self.grid in ("first", "same") else self.grid
        return read_grid(source, self.max_bytes)

    def _common_grid(self, reference: Grid) -> Grid:
        grid = reference
        if self.spacing is not None:
            grid = grid.with_spacing(self.spacing)
        if self.shape is not None and self.affine is None:
            grid = grid.with_shape(self.shape)
        check_size(grid.shape, np.float32, self.max_bytes)
        return grid

    def _find_mask(self, paths: list[Path]) -> Array | None:
        if self.mask is None:
            return None
        if self.mask == "brain":
            return brain_mask(paths, self._reader())
        return read_mask(self.mask, self.grid_, self.max_bytes)

    def _reader(self, box: Box = WHOLE, mask: Array | None = None) -> VolumeReader:
        return VolumeReader(
            grid=self.grid_,
            box=box,
            mask=mask,
            scaling=self.scaling,
            percentiles=self.percentiles,
            smoothing_fwhm=self.smoothing_fwhm,
            same_as=self.file_grid_,
            cache_dir=self.cache_dir,
            max_bytes=self.max_bytes,
        )


def check_numbers(
    name: str,
    values: Any,
    shape: tuple[int, ...],
    *,
    kinds: str = "iuf",
    low: float = -np.inf,
    high: float = np.inf,
) -> None:
    """Raise a ValueError unless a parameter is an array of finite numbers within bounds."""
    given = np.asarray(values)
    sound = given.shape == shape and given.dtype.kind in kinds
    if not sound or not (np.isfinite(given) & (low <= given) & (given <= high)).all():
        sort = "int" if kinds == "iu" else "float"
        raise ValueError(
            f"{name} must be {sort} of shape {shape} from {low:g} to {high:g}, got {values!r}."
        )
