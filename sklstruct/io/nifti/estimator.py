"""Paths of NIfTI files to volumes, the scikit-learn way."""

import os
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from ...compat import TransformerMixin
from ...params import FLAG, Rule, all_or_nothing, instance_of, integer, one_of, param, real
from .file import MAX_BYTES, Source, SpatialImage, StrPath, check_size, read_grid, write_volume
from .grid import Array, Box, Grid, coverage, resample
from .intensity import SCALINGS
from .lazy import WHOLE, LazyVolumes, VolumeReader, check_same_grid
from .mask import bounding_box, brain_mask, read_mask
from .paths import PATH, PATTERN, VOLUME, TakesPaths, find_volumes

SMALLEST = 1e-6  # millimetres; no voxel is as small as that


def numbers(
    words: str, shape: tuple[int, ...], holds: Callable[[Array], Any], kinds: str = "iuf"
) -> Rule:
    """Return the rule of arrays of a shape, for whose finite numbers something holds."""

    def are(value: Any) -> bool:
        given = np.asarray(value)
        sound = given.shape == shape and given.dtype.kind in kinds and np.isfinite(given).all()
        return bool(sound and np.all(holds(given)))

    return Rule(words, are)


SPACING = real(above=0) | numbers("three numbers of at least 1e-06", (3,), lambda v: v >= SMALLEST)
SHAPE = numbers("three int of at least 1", (3,), lambda v: v >= 1, kinds="iu")
AFFINE = numbers("finite numbers of shape (4, 4)", (4, 4), np.isfinite)
PERCENTILES = numbers("two growing numbers from 0 to 100", (2,), lambda v: 0 <= v[0] < v[1] <= 100)


class NiftiVolumes(TransformerMixin, TakesPaths):
    """NIfTI files or images as volumes (n, D, H, W) on a common grid, read one at a time.

    Every volume is brought into canonical orientation (D runs to the right, H to the front, W
    to the top), smoothed, resampled linearly by its affine, cropped, scaled and masked.
    Nothing beside the grid and the mask is learned from the training files.

    Parameters
    ----------
    grid : {"first", "same"} or path-like or image, default="first"
        The common grid: that of the first training file, with "same" demanding that all files
        have it; or that of another NIfTI file or image of nibabel, a template say.
    spacing : float or tuple of three floats, default=None
        Size of a voxel in millimetres, over the same field of view; None keeps that of the
        grid.  When it is much larger than that of the files, smooth as well.
    shape : tuple of three ints, default=None
        Number of voxels, about the same centre; None keeps what covers the field of view.
    affine : array-like, shape (4, 4), default=None
        With ``shape``, gives the grid in full; ``spacing`` must be None then.
    mask : "brain" or path-like or image, default=None
        Outside the mask, volumes become zero.  "brain" is the largest connected region above
        Otsu's threshold of the mean training volume, holes filled: the brain where the skull
        was taken off, the head where it was not.  The 2 % brightest and darkest voxels of a scan
        count as less so, and a region that is too small or too large for a head is refused.  A
        mask image is resampled to the nearest voxel and counts where it is not zero.
    crop : bool, default=False
        Whether volumes are cropped to the bounding box of the mask.
    scaling : {"zscore", "percentile"}, default="zscore"
        Scale of the values of each volume, by those in the mask: mean 0 and deviation 1, or
        the range between two percentiles to 0..1, or as they are if None.
    percentiles : tuple of two floats, default=(1.0, 99.0)
        For ``scaling="percentile"``.
    smoothing_fwhm : float, default=None
        Full width at half maximum of a Gaussian, in millimetres.
    non_finite : {"error", "zero"}, default="error"
        What becomes of voxels in the mask that are NaN or infinite, or are interpolated from such:
        an error that names the file, or zero before volumes are scaled.  Outside the mask, and for
        smoothing, they count as zero.
    min_coverage : float, default=0.25
        Smallest share of the common grid that the field of view of a scan may cover, of what the
        file in ``grid`` could.  A scan that covers less is refused, and one that covers less than
        three quarters is warned about.
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
    covered_ : float
        Share of the common grid that the file in ``grid`` covers where both have one centre.
    file_grid_ : Grid or None
        The grid that every file must have, with ``grid="same"``.

    See Also
    --------
    RegionMeans : One number for each region of an atlas.
    sklstruct.estimators.on_paths : Any estimator of volumes as one of paths.

    Examples
    --------
    >>> from sklstruct import NiftiVolumes
    >>> from sklstruct.datasets import simulate_cohort
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> volumes = NiftiVolumes(mask="brain", crop=True).fit(cohort.X)
    >>> volumes.transform(cohort.X).shape
    (8, 22, 28, 24)
    >>> volumes.spacing_
    (6.0, 6.0, 6.0)
    """

    grid: Source = param("first", VOLUME)
    spacing: ArrayLike | None = param(None, SPACING | None)
    shape: tuple[int, int, int] | None = param(None, SHAPE | None)
    affine: ArrayLike | None = param(None, AFFINE | None)
    mask: Source | None = param(None, VOLUME | None)
    crop: bool = param(False, FLAG)
    scaling: str | None = param("zscore", one_of(*SCALINGS) | None)
    percentiles: tuple[float, float] = param((1.0, 99.0), PERCENTILES)
    smoothing_fwhm: float | None = param(None, real(above=0) | None)
    non_finite: str = param("error", one_of("error", "zero"))
    min_coverage: float = param(0.25, real(least=0, most=1))
    stream: bool = param(False, FLAG)
    cache_dir: StrPath | None = param(None, PATH | None)
    max_bytes: int = param(MAX_BYTES, integer(1))
    pattern: str = param(PATTERN, instance_of("a pattern", str))

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the common grid and the mask.

        Parameters
        ----------
        X : array-like of str, path-like or image, shape (n,) or (n, 1); or one of these
            Paths, or images of nibabel; or a pattern such as ``"scans/*.nii.gz"``, or a folder,
            see ``pattern``.
        y : None
            There for pipelines.

        Raises
        ------
        OSError, TypeError, ValueError
            If there are no files, or one that is read is not sound; the message names it.
        """
        self.check_params()
        paths = find_volumes(X, self.pattern)
        usual = paths[0] if self.grid in ("first", "same") or self.affine is not None else self.grid
        grid = source = read_grid(usual, self.max_bytes)
        if self.shape is not None and self.affine is not None:
            grid = Grid(tuple(map(int, self.shape)), np.asarray(self.affine, np.float64))
        # A grid that a file had when the model was fitted counts, whatever becomes of that file.
        self.file_grid_ = grid if self.grid == "same" else None
        for path in paths if self.file_grid_ else ():
            check_same_grid(path, grid, self.max_bytes)
        if self.spacing is not None:
            grid = grid.with_spacing(self.spacing)
        if self.shape is not None and self.affine is None:
            grid = grid.with_shape(self.shape)
        check_size(grid.shape, np.float32, self.max_bytes)
        # A grid of more voxels than scans have is padded, and no scan misses that.
        in_the_middle = grid.about_centre(np.array(source.shape), source.directions)
        self.grid_, self.covered_, mask = grid, coverage(in_the_middle, grid), None
        if self.mask == "brain":  # of the training scans, as all that is learned
            mask = brain_mask(paths, replace(self._reader(), non_finite="zero"))
        elif self.mask is not None:
            mask = read_mask(self.mask, grid, self.max_bytes)
        self.box_ = bounding_box(mask) if self.crop and mask is not None else WHOLE
        self.mask_ = None if mask is None else mask[self.box_]
        cropped = grid.cropped(self.box_)
        self.shape_, self.affine_, self.spacing_ = cropped.shape, cropped.affine, cropped.spacing
        self.n_features_in_ = 1
        return self

    def transform(self, X: Any) -> Array | LazyVolumes:
        """Return the volumes of files.

        Beside the result, this holds the one volume that is read, and with ``crop`` also the
        same volume before it is cropped.

        Parameters
        ----------
        X : array-like of str, path-like or image, or one of these
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

    def check_params(self) -> None:
        """Raise an error for parameters that are wrong, are no files or do not go together."""
        super().check_params()
        for name, known in {"grid": ("first", "same"), "mask": (None, "brain")}.items():
            value = getattr(self, name)
            given = isinstance(value, SpatialImage) or value in known
            if not given and not os.path.isfile(value):
                raise FileNotFoundError(f"{name} must be one of {known} or a file, got {value!r}.")
        if self.crop and self.mask is None:
            raise ValueError("crop=True needs a mask, such as mask='brain'.")
        if self.affine is not None and (self.shape is None or self.spacing is not None):
            raise ValueError("affine needs a shape beside it, and no spacing.")

    def _reader(self, box: Box = WHOLE, mask: Array | None = None) -> VolumeReader:
        names = {one.name for one in fields(VolumeReader)}
        params = {name: value for name, value in self.get_params().items() if name in names}
        found = {"grid": self.grid_, "covered": self.covered_, "same_as": self.file_grid_}
        return VolumeReader(**{**params, **found, "box": box, "mask": mask})
