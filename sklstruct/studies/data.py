"""The samples of a study: read, checked, and told apart."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets

from ..compat import num_samples, safe_indexing
from ..io.leakage import named, same_names, voxel_digest
from ..io.nifti import find_volumes, read_grid
from .splits import MOST_CLASSES, Indices, labelled, strata_of

Array = NDArray[Any]

MARK = 12  # letters of a fingerprint that tells one scan from another
SCAN = str, os.PathLike, SpatialImage
FEW = 5  # subjects a class, below which many numbers are no classes


@dataclass(frozen=True, eq=False)
class StudyData:
    """Samples with labels, perhaps with subjects, sites and a test set.

    Parameters
    ----------
    X : ndarray of path, shape (n_samples,), or anything of n_samples rows
    y : ndarray, shape (n_samples,) or (n_samples, *spatial), or list of maps
    task : str
        What is predicted: "classes", "values" or "maps".
    groups : ndarray, shape (n_samples,), or None
        Subjects; if None, every sample is one.
    sites : ndarray, shape (n_samples,), or None
    X_test, y_test : like X and y, or None
    """

    X: Any
    y: Any
    task: str
    groups: Array | None = None
    sites: Array | None = None
    X_test: Any = None
    y_test: Any = None

    @classmethod
    def checked(
        cls,
        X: Any,
        y: Any,
        task: str,
        *,
        groups: Any = None,
        sites: Any = None,
        X_test: Any = None,
        y_test: Any = None,
    ) -> Self:
        """Return the data, or raise an error that says what is wrong with it."""
        X, y = read_samples(X, "X"), read_labels(y, task, "y")
        sites = None if sites is None else labelled("sites", sites, groups)
        check_lengths(X, {"y": y, "groups": groups, "sites": sites})
        if (X_test is None) != (y_test is None):
            raise ValueError("Give X_test and y_test together and no test_size, or neither.")
        if X_test is not None:
            X_test, y_test = read_samples(X_test, "X_test"), read_labels(y_test, task, "y_test")
            check_lengths(X_test, {"y_test": y_test}, "X_test")
            check_test(X, y, X_test, y_test, task)
        data = cls(X, y, task, groups, sites, X_test, y_test)
        data.check_classes()
        data.check_images()
        return data

    def __len__(self) -> int:
        return len(self.y)

    # What splits are made by ---------------------------------------------------------------------

    @cached_property
    def classes(self) -> Array:
        """The labels, sorted; none where there are values or maps."""
        return np.unique(self.y) if self.task == "classes" else np.array([])

    @cached_property
    def strata(self) -> Indices:
        """The class of each sample, or the fifth of all that its value is in."""
        if self.task == "classes":
            return np.searchsorted(self.classes, self.y)
        if self.task == "values":
            return strata_of(self.y, np.arange(len(self)), values=True)
        return np.zeros(len(self), int)

    @cached_property
    def _subjects(self) -> tuple[Array, Indices]:
        groups = np.arange(len(self)) if self.groups is None else self.groups
        names, numbers = np.unique(groups, return_inverse=True)
        return names, numbers

    @property
    def subjects(self) -> Indices:
        """The number of the subject of each sample."""
        return self._subjects[1]

    @property
    def n_subjects(self) -> int:
        """Number of subjects."""
        return len(self._subjects[0])

    @cached_property
    def subject_strata(self) -> Indices:
        """The most frequent class of each subject, or the fifth that its mean is in."""
        if self.task == "values":
            return strata_of(self.y, self.subjects, values=True)
        return strata_of(self.strata, self.subjects, values=False)

    # What is handed out --------------------------------------------------------------------------

    def training(self, samples: Indices) -> tuple[Any, Any]:
        """Return samples to fit on with their labels, as arrays of one's own."""
        return taken(self.X, samples), taken(self.y, samples)

    def tested(self, samples: Indices) -> tuple[Any, Any]:
        """Return samples to test on with their labels, of the test set if there is one."""
        if self.X_test is None:
            return self.training(samples)
        return taken(self.X_test, samples), taken(self.y_test, samples)

    # What they are -------------------------------------------------------------------------------

    @property
    def has_scans(self) -> bool:
        """Whether the samples are paths, or images in memory."""
        return is_scans(self.X)

    @cached_property
    def digests(self) -> list[str]:
        """Fingerprints of the samples, of scans those of their voxels."""
        return digests_of(self.X)

    @cached_property
    def test_digests(self) -> list[str]:
        """Fingerprints of the test samples that are given."""
        return [] if self.X_test is None else digests_of(self.X_test)

    @property
    def names(self) -> list[str]:
        """What the samples are called: paths, or the numbers of the rows."""
        numbers = [str(row) for row in range(len(self))]
        scans = self.X if self.has_scans else numbers
        return [x if isinstance(x, str) else n for x, n in zip(scans, numbers, strict=True)]

    @cached_property
    def table(self) -> pd.DataFrame | None:
        """Sample, subject, site and a mark of all that is known; None where numbers name them."""
        if not self.has_scans and self.groups is None:
            return None
        subjects = self.names if self.groups is None else self.groups.astype(str)
        sites = np.full(len(self), "") if self.sites is None else self.sites.astype(str)
        labels = self.y if self.task != "maps" else [""] * len(self)
        # By sample, as one fingerprint of all does not tell which has changed.
        rows = zip(self._contents, labels, subjects, sites, strict=True)
        marks = [fingerprint(np.array([*map(str, row)]))[:MARK] for row in rows]
        return pd.DataFrame(
            {"sample": self.names, "subject": subjects, "site": sites, "mark": marks}
        )

    @cached_property
    def _contents(self) -> list[str]:
        """Fingerprints of voxels and grids, not of names: a folder may move."""
        if not self.has_scans:
            return self.digests
        grids = (fingerprint(read_grid(path).affine) for path in self.X)
        return [voxels + grid for voxels, grid in zip(self.digests, grids, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Return how many there are, and a fingerprint of all values."""
        labels = [*digests_of(self.y)] if self.task == "maps" else self.y
        tests: list[Any] = [None, None]
        if self.X_test is not None:
            known = digests_of(self.y_test) if self.task == "maps" else self.y_test
            tests = [np.array(self.test_digests), np.asarray(known)]
        shape = getattr(self.X, "shape", ())[1:]
        columns = None if not hasattr(self.X, "columns") else np.array([*map(str, self.X.columns)])
        groups = None if self.groups is None else self.groups.astype(str)
        return {
            "n_samples": len(self),
            "n_subjects": None if self.groups is None else self.n_subjects,
            "n_sites": None if self.sites is None else len(np.unique(self.sites)),
            "n_test": None if self.X_test is None else len(self.y_test),
            "dtype": str(getattr(self.X, "dtype", "")),
            "sample_shape": [] if self.has_scans else list(shape),
            "scans": self.has_scans,
            "n_twins": self.n_twins,
            "sha256": fingerprint(
                np.array(self._contents), np.asarray(labels), groups, self.sites, columns, *tests
            ),
        }

    @property
    def n_twins(self) -> int:
        """Number of samples of which an equal one may be on the other side of a split."""
        own = Counter(self.digests)
        if self.X_test is not None:
            return sum(digest in own for digest in self.test_digests)
        return sum(times for times in own.values() if times > 1) if self.groups is None else 0

    # What they must be ---------------------------------------------------------------------------

    def check_classes(self) -> None:
        """Raise a ValueError unless there are classes of several subjects each."""
        if self.task != "classes":
            return
        unit = "samples" if self.groups is None else "subjects"
        subjects = {
            label: len(np.unique(self.subjects[self.y == label])) for label in self.classes.tolist()
        }
        # Ages as labels are a mistake that would otherwise show in the results only.
        many = self.y.dtype.kind in "iuf" and len(subjects) > MOST_CLASSES
        if many and self.n_subjects < FEW * len(subjects):
            raise ValueError(
                f"y must be the labels of classes, got {len(subjects)} different numbers; so many "
                "classes must have text as labels."
            )
        check_classification_targets(self.y)
        if len(subjects) < 2 or min(subjects.values()) < 2:
            raise ValueError(
                f"y must have at least 2 classes with at least 2 {unit} each, got {subjects}."
            )
        if self.y.dtype.kind not in "Ubiuf":
            raise TypeError(f"The labels y must be str, bool, int or float, got {self.y.dtype}.")

    def check_images(self) -> None:
        """Raise a ValueError if subjects have the same image, or a scan is there twice."""
        if self.groups is not None:
            # A subject who is there under two names would be trained on and tested on.
            first: dict[str, int] = {}
            pairs = [
                (first.setdefault(digest, row), row) for row, digest in enumerate(self.digests)
            ]
            if pairs := [pair for pair in pairs if len({*self.groups[[*pair]]}) > 1]:
                raise ValueError(
                    "Subjects must not have the same image, but these have: "
                    + named(" and ".join(map(self._in_words, pair)) for pair in pairs)
                )
        if twice := [name for name, times in Counter(self.names).items() if times > 1]:
            raise ValueError(f"X must have every scan once, got several times: {named(twice)}")

    def _in_words(self, row: int) -> str:
        name = self.names[row] if self.has_scans else f"row {row}"
        return f"{name} of {self.groups[row]}"  # type: ignore[index]


def read_samples(X: Any, name: str) -> Any:
    """Return samples that can be told apart and taken by number, or raise an error."""
    if isinstance(X, (str, os.PathLike)):
        raise TypeError(f"{name} must have one path a scan, got {os.fspath(X)!r} for all.")
    if not hasattr(X, "__len__") and not hasattr(X, "shape"):
        raise TypeError(f"{name} must have one sample after the other, got {X!r}.")
    if issparse(X):
        return X.tocsr()  # of which rows can be taken
    if num_samples(X) and isinstance(row_of(X, 0), SCAN):
        # As they were written, so that tables name scans as their owner does.
        scans = [str(x) if isinstance(x, os.PathLike) else x for x in find_volumes(X)]
        return np.array([*scans, None], dtype=object)[:-1]  # NumPy would look into images
    if isinstance(X, np.ndarray) and X.dtype.hasobject and X.ndim == 1 and is_ragged([*X]):
        return [*X]
    if isinstance(X, pd.DataFrame) or is_ragged(X):
        return X
    # Lazy volumes and the like are read when they are asked for.
    if hasattr(X, "shape") and not isinstance(X, np.ndarray) and hasattr(X, "__getitem__"):
        return X
    return check_array(X, allow_nd=True, input_name=name)


def read_columns(groups: Any, y: Any) -> tuple[Array | None, Any]:
    """Return subjects and labels without gaps; y may be maps."""
    if y is None:
        raise ValueError("y must have a label, a value or a map for each sample, got None.")
    groups = None if groups is None else same_names(labelled("groups", groups))
    of_maps = any(isinstance(value, (list, tuple)) or getattr(value, "ndim", 0) for value in y)
    return groups, y if of_maps else labelled("y", y, groups)


def read_labels(y: Any, task: str, name: str) -> Any:
    """Return labels: one a sample, or a map of them."""
    if task == "maps":
        return y if is_ragged(y) else np.asarray(y)
    column = labelled(name, y)
    return check_array(column, ensure_2d=False, dtype=np.float64) if task == "values" else column


def is_ragged(values: Any) -> bool:
    """Whether there is a list of arrays whose shapes differ."""
    return isinstance(values, (list, tuple)) and len({np.shape(value) for value in values}) > 1


def is_scans(X: Any) -> bool:
    """Whether samples are paths, or images in memory."""
    return isinstance(X, np.ndarray) and X.ndim == 1 and isinstance(X[0], SCAN)


def check_lengths(X: Any, columns: dict[str, Any], name: str = "X") -> None:
    """Raise a ValueError unless there is one of each for each sample."""
    lengths = {name: num_samples(X)}
    lengths |= {key: len(value) for key, value in columns.items() if value is not None}
    if len({*lengths.values()}) > 1:
        found = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise ValueError(f"There must be as many samples in all of them, got {found}.")


def check_test(X: Any, y: Any, X_test: Any, y_test: Any, task: str) -> None:
    """Raise a ValueError unless a test set has samples like those to fit on."""
    shapes = [each.shape[1:] for each in (X, X_test) if hasattr(each, "shape")]  # or of all sizes
    if task != "maps" and len({*shapes}) > 1:
        wanted = ", ".join(map(str, ("n", *shapes[0])))
        raise ValueError(f"X_test must have shape ({wanted}), as X has, got {X_test.shape}.")
    if task == "classes" and (unknown := {*y_test.tolist()} - {*y.tolist()}):
        raise ValueError(f"y_test has labels that y has not: {sorted(unknown, key=str)}.")


def taken(values: Any, samples: Indices) -> Any:
    """Return some samples, in memory of their own."""
    if isinstance(values, (list, tuple)):
        return [values[sample] for sample in samples]
    return safe_indexing(values, samples)


def digests_of(X: Any) -> list[str]:
    """Return fingerprints of samples, of scans those of their voxels."""
    if is_scans(X):
        return [voxel_digest(path) for path in X]
    rows = (row_of(X, row) for row in range(num_samples(X)))
    return [fingerprint(row.toarray() if issparse(row) else np.asarray(row)) for row in rows]


def row_of(X: Any, row: int) -> Any:
    """Return a sample."""
    return X[row] if isinstance(X, (np.ndarray, list, tuple)) else safe_indexing(X, row)


def fingerprint(*arrays: Array | None) -> str:
    """Return a hash of the shapes, dtypes and values of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is None:
            digest.update(b"none")
            continue
        values = array.astype(str) if array.dtype.hasobject else array  # not pointers
        # Or else the same bytes in another shape would be the same data.
        digest.update(f"{values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
