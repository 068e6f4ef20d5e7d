"""Paths of NIfTI files to one number for each region of an atlas, the scikit-learn way."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from ...compat import TransformerMixin
from ...params import MAPPING, all_or_nothing, instance_of, one_of, param
from ..participants import read_participants
from .estimator import NiftiVolumes
from .file import MAX_BYTES, Source, StrPath, naming, read_volume
from .grid import Array, Grid, resample
from .paths import PATH, VOLUME, TakesPaths

LARGEST = 2**24  # single precision holds all integers up to here
SHOWN = 10  # regions in a message


class OfRegions(TakesPaths):
    """Parameters that say which regions of scans are meant, and what of them.

    Parameters
    ----------
    atlas : path-like or image
        A NIfTI file or image of nibabel with integers, 0 for what is in no region.  It is
        resampled to the nearest voxel onto the common grid of the volumes.
    names : path-like or mapping, default=None
        Names of regions by label, or a table with the columns ``index`` and ``name``, as in
        BIDS; with tabs between its cells if it ends in ``.tsv``, else with commas.  A region
        without a name is called "region 12" by its label.
    statistic : {"mean", "share"}, default="mean"
        The mean in a region, or the share of the sum over the whole volume, which is for maps
        of tissue that are neither negative nor scaled.
    volumes : NiftiVolumes, default=None
        How files are read; voxels outside its mask are in no region.  None is
        ``NiftiVolumes()``, without scaling for shares.

    See Also
    --------
    RegionMeans, RegionSVC : What has these parameters.

    Examples
    --------
    >>> from sklstruct.io import OfRegions
    >>> class Mine(OfRegions):
    ...     C: float = 1.0
    >>> Mine(atlas="atlas.nii.gz", statistic="share")
    Mine(atlas='atlas.nii.gz', names=None, statistic='share', volumes=None, C=1.0)
    """

    atlas: Any = param(None, VOLUME)
    names: StrPath | Mapping[int, str] | None = param(None, PATH | MAPPING | None)
    statistic: str = param("mean", one_of("mean", "share"))
    volumes: NiftiVolumes | None = param(None, instance_of("NiftiVolumes", NiftiVolumes) | None)


class RegionMeans(TransformerMixin, OfRegions):
    r"""NIfTI files as one number for each region of an atlas, read one at a time.

    .. math::
        \text{mean:} \; \frac{1}{|r|} \sum_{v \in r} x(v), \qquad
        \text{share:} \; \sum_{v \in r} x(v) \Big/ \sum_v x(v)

    Attributes
    ----------
    volumes_ : NiftiVolumes
    region_labels_ : ndarray of int, shape (n_regions,)
        In ascending order.
    region_names_ : list of str
    regions_ : ndarray of int, shape ``volumes_.shape_``
        The label of every voxel.

    See Also
    --------
    RegionSVC : A classifier of these.
    NiftiVolumes : All voxels.

    Examples
    --------
    >>> from sklstruct import RegionMeans
    >>> from sklstruct.datasets import simulate_cohort
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> atlas = "study/derivatives/truth/label-atrophy_mask.nii.gz"
    >>> means = RegionMeans(atlas=atlas, names={1: "atrophy"}).fit(cohort.X)
    >>> means.transform(cohort.X).shape, means.region_names_
    ((8, 1), ['atrophy'])
    """

    @all_or_nothing
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the common grid, and the regions on it.

        Parameters
        ----------
        X : array-like of str or path-like, shape (n,) or (n, 1); or one str or path-like
            As ``NiftiVolumes`` takes it.
        y : None
            There for pipelines.

        Raises
        ------
        OSError, TypeError, ValueError
            If a file that is read is not sound, if the atlas has no labels or others than
            integers, or if a region has no voxel on the grid; the message names the file.
        """
        self.check_params()
        shares = self.statistic == "share"
        volumes = self.volumes or NiftiVolumes(scaling=None if shares else "zscore")
        if shares and volumes.scaling is not None:
            raise ValueError(
                "statistic='share' is for volumes that are not scaled: volumes must have "
                f"scaling=None, got {volumes.scaling!r}."
            )
        self.volumes_ = clone(volumes).fit(X)
        self.regions_ = self._regions()
        self.region_labels_ = np.unique(self.regions_[self.regions_ > 0])
        self.region_names_ = names_of(self.region_labels_, self.names)
        self.n_features_in_ = 1
        return self

    def transform(self, X: Any) -> Array:
        """Return one number for each region.

        Parameters
        ----------
        X : array-like of str or path-like, or one str or path-like
            As in ``fit``.

        Returns
        -------
        table : ndarray, shape (n, n_regions)

        Raises
        ------
        OSError, TypeError, ValueError
            If there are no files, or one is not sound, or has negative voxels where shares are
            wanted; the message names it.
        """
        check_is_fitted(self)
        volumes = self.volumes_.lazy(X)
        # 0 for no region, then 1, 2, 3 ..., whatever the labels are: bins for one pass over voxels.
        numbers = np.searchsorted(self.region_labels_, self.regions_, side="right").ravel()
        sums = np.empty((len(volumes), len(self.region_labels_)))
        for path, volume, row in zip(volumes.paths, volumes, sums, strict=True):
            row[:] = np.bincount(numbers, volume.ravel())[1:]
            if self.statistic == "share":
                with naming(path):
                    if volume.min() < 0:
                        raise ValueError(
                            f"shares need voxels that are not negative, got {volume.min():g}"
                        )
                row /= volume.sum(dtype=np.float64)
        return sums if self.statistic == "share" else sums / np.bincount(numbers)[1:]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the regions."""
        check_is_fitted(self)
        return np.array(self.region_names_, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _regions(self) -> Array:
        """Return the label of every voxel that volumes have."""
        grid, mask = self.volumes_.grid_, self.volumes_.mask_
        labels, source = read_atlas(self.atlas, self.volumes_.max_bytes)
        regions = resample(labels, source, grid, nearest=True)[self.volumes_.box_]
        regions = regions if mask is None else np.where(mask, regions, 0)
        # A mean over nothing would be a column of NaN, found when the machine is trained at last.
        missing = np.setdiff1d(labels, np.append(regions, 0))
        with naming(self.atlas):
            where = f"on the grid of {grid}" + ("" if mask is None else ", in the mask")
            if not regions.any():
                raise ValueError(f"no region has a voxel {where}")
            if missing.size:
                shown = ", ".join(map(str, missing[:SHOWN]))
                shown += " ..." if missing.size > SHOWN else ""
                raise ValueError(f"{missing.size} of its regions have no voxel {where}: {shown}")
        return regions


def read_atlas(path: Source, max_bytes: int = MAX_BYTES) -> tuple[Array, Grid]:
    """Return the labels of an atlas in canonical orientation, and where they are.

    Raises
    ------
    OSError, ValueError
        If the file is no sound volume, or has no labels or others than integers.
    """
    values, grid = read_volume(path, max_bytes, constant=True)
    labels = np.rint(values)  # atlases are stored as float too, or scaled by 0.99999994
    off = ~np.isclose(values, labels, rtol=1e-6, atol=1e-6)
    wrong = values[off | (labels < 0) | (labels >= LARGEST)]
    with naming(path):
        if wrong.size:
            raise ValueError(f"labels must be integers from 0 to {LARGEST - 1}, got {wrong[0]!s}")
        if not labels.any():
            raise ValueError("an atlas must have labels, but all voxels are 0")
    return labels.astype(np.int32), grid


def names_of(labels: Array, names: StrPath | Mapping[int, str] | None) -> list[str]:
    """Return the names of regions, those without one by their labels."""
    known = names if isinstance(names, Mapping) else {} if names is None else read_names(names)
    result = [str(known.get(label, f"region {label}")) for label in labels.tolist()]
    several = sorted({name for name in result if result.count(name) > 1})
    if several:
        raise ValueError(f"names must be different for each region, but several are {several}.")
    return result


def read_names(path: StrPath) -> dict[int, str]:
    """Return the names in a table with the columns index and name.

    Raises
    ------
    OSError, ValueError
        If there is no such table, or something else in it; the message names it.
    """
    separator = "\t" if Path(path).suffix == ".tsv" else ","
    names: dict[int, str] = {}
    for line, row in read_participants(Path(path), "name", "index", separator).items():
        label, name = row["index"] or "", row["name"]
        if not re.fullmatch(r"[0-9]+(\.0*)?", label) or int(float(label)) in names:
            raise ValueError(
                f"{path}, line {line}: index must be an integer, another one in each row, got "
                f"{row['index']!r}."
            )
        names[int(float(label))] = name or ""
    return {label: name for label, name in names.items() if name}
