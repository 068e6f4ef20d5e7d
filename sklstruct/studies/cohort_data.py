"""The scans of a study on a cohort, checked, and the way they are split."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, Self

import numpy as np
from nibabel.spatialimages import SpatialImage
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets

from ..compat import num_samples, safe_indexing
from ..io.leakage import check_subjects, named, same_names, voxel_digest
from ..io.nifti import find_volumes, read_grid
from .data import fingerprint
from .splits import MOST_CLASSES, TEST_SHARE, labelled, subject_splits
from .tables import Row

Array = NDArray[Any]
Indices = NDArray[np.intp]

MARK = 12  # letters of a fingerprint that tells one scan from another
SCAN = str, os.PathLike, SpatialImage
LABEL_TYPES = {"U": "str", "b": "bool", "i": "int64", "u": "int64", "f": "float64"}  # of labels


@dataclass(frozen=True, eq=False)
class CohortData:
    """Scans with labels and subjects, and their splits.

    Parameters
    ----------
    X : ndarray of str, shape (n_scans,), or anything of n_scans rows
        Paths, or samples.
    y : ndarray, shape (n_scans,)
    groups : ndarray of str, shape (n_scans,)
    sites : ndarray, shape (n_scans,), or None
    splits : list of (train, test)
        What ``subject_splits`` returns.
    test_size : float, int or None
        As it was given.
    """

    X: Any
    y: Array
    groups: Array
    sites: Array | None
    splits: list[tuple[Indices, Indices]]
    test_size: float | int | None

    @classmethod
    def checked(
        cls,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike,
        sites: ArrayLike | None,
        *,
        n_repeats: int,
        test_size: float | int | None,
        random_state: int,
    ) -> Self:
        """Return the data, or raise an error that says what is wrong with it."""
        groups = same_names(labelled("groups", groups))
        y = labelled("y", y, groups)
        sites = None if sites is None else labelled("sites", sites, groups)
        check_lengths(X, y, groups, sites)
        check_classes(y, groups)
        splits = subject_splits(
            y,
            groups,
            n_repeats=n_repeats,
            test_size=test_size,
            sites=sites,
            random_state=random_state,
        )
        if isinstance(safe_indexing(X, 0), SCAN):
            # As they were written, so that tables name scans as their owner does.
            scans = [str(x) if isinstance(x, os.PathLike) else x for x in find_volumes(X)]
            X = np.array([*scans, None], dtype=object)[:-1]  # NumPy would look into images
        elif not hasattr(X, "shape"):
            X = np.asarray(X)
        data = cls(X, y, groups.astype(str), sites, splits, test_size)
        data.check_splits()
        data.check_images()
        return data

    def check_splits(self) -> None:
        """Raise a ValueError if a subject is on both sides, or training lacks a class."""
        for repeat, (train, test) in enumerate(self.splits):
            check_subjects(self.groups[train], self.groups[test])
            if len(np.unique(self.y[train])) < len(self.classes):
                raise ValueError(
                    f"The training part of repeat {repeat} lacks a class; subjects should have one "
                    "label each, as they count for the most frequent one of their scans."
                )

    def check_images(self) -> None:
        """Raise a ValueError if subjects have the same image, or a scan is there twice."""
        # A subject who is in the cohort under two names would be trained on and tested on.
        first: dict[str, int] = {}
        pairs = [(first.setdefault(digest, row), row) for row, digest in enumerate(self.digests)]
        if pairs := [pair for pair in pairs if len({*self.groups[[*pair]]}) > 1]:
            raise ValueError(
                "Subjects must not have the same image, but these have: "
                + named(" and ".join(map(self._in_words, pair)) for pair in pairs)
            )
        if twice := [name for name, times in Counter(self.names).items() if times > 1]:
            raise ValueError(f"X must have every scan once, got several times: {named(twice)}")

    def _in_words(self, row: int) -> str:
        name = self.names[row] if self.has_scans else f"row {row}"
        return f"{name} of {self.groups[row]}"

    @property
    def has_scans(self) -> bool:
        """Whether the samples are paths, or images in memory."""
        return isinstance(self.X, np.ndarray) and self.X.ndim == 1 and isinstance(self.X[0], SCAN)

    @cached_property
    def classes(self) -> Array:
        """The labels, sorted."""
        return np.unique(self.y)

    @cached_property
    def digests(self) -> list[str]:
        """Fingerprints of the images, or of the rows."""
        if self.has_scans:
            return [voxel_digest(path) for path in self.X]
        rows = range(len(self.y))
        return [fingerprint(np.asarray(safe_indexing(self.X, row))) for row in rows]

    @property
    def marks(self) -> dict[str, str]:
        """Short fingerprints by scan of all that the study knows about it."""
        sites = self.groups if self.sites is None else self.sites
        # By scan, as one fingerprint of all does not tell which has changed.
        rows = zip(self.names, self._contents, self.y, self.groups, sites, strict=True)
        return {name: fingerprint(np.array([*map(str, row)]))[:MARK] for name, *row in rows}

    @cached_property
    def _contents(self) -> list[str]:
        """Fingerprints of voxels and grids, not of names: a folder may move."""
        if not self.has_scans:
            return self.digests
        grids = (fingerprint(read_grid(path).affine) for path in self.X)
        return [voxels + grid for voxels, grid in zip(self.digests, grids, strict=True)]

    @property
    def names(self) -> list[str]:
        """The paths, or the numbers of the rows."""
        names = [str(row) for row in range(len(self.y))]
        scans = self.X if self.has_scans else names
        return [x if isinstance(x, str) else name for x, name in zip(scans, names, strict=True)]

    def take(self, scans: Indices) -> Any:
        """Return some samples."""
        return safe_indexing(self.X, scans)

    def counts(self, repeat: int) -> Row:
        """Return how many are on each side of a repeat, and the site that it leaves out."""
        train, test = self.splits[repeat]
        return {
            "n_train": len(train),
            "n_test": len(test),
            "n_train_subjects": len(np.unique(self.groups[train])),
            "n_test_subjects": len(np.unique(self.groups[test])),
            "held_out_site": "" if self.sites is None else str(self.sites[test[0]]),
        }

    def tested(self, repeat: int) -> list[Row]:
        """Return subject, scan and label of what a repeat is tested on."""
        names, test = self.names, self.splits[repeat][1]
        return [
            {"subject": str(self.groups[row]), "scan": names[row], "label": self.y[row].item()}
            for row in test
        ]

    def describe(self) -> dict[str, Any]:
        """Return the size of the data and a fingerprint of its content."""
        n_subjects = len(np.unique(self.groups))
        share = TEST_SHARE if self.test_size is None else self.test_size
        share = share / n_subjects if isinstance(share, Integral) else share
        return {
            "n_scans": len(self.y),
            "n_subjects": n_subjects,
            "classes": self.classes.tolist(),
            "test_size": float(share) if self.sites is None else None,
            "held_out": "subjects" if self.sites is None else "sites",
            "sha256": fingerprint(np.array(self._contents), self.y, self.groups, self.sites),
        }


def check_lengths(X: Any, *columns: Sequence[Any] | Array | None) -> None:
    """Raise unless there is one label, subject and site for each sample."""
    if isinstance(X, (str, os.PathLike)):
        raise TypeError(f"X must have one path a scan, got {os.fspath(X)!r} for all.")
    lengths = [num_samples(X), *(len(column) for column in columns if column is not None)]
    if len({*lengths}) > 1:
        raise ValueError(f"X, y, groups and sites must have as many scans each, got {lengths}.")


def check_classes(y: Array, groups: Array) -> None:
    """Raise a ValueError unless there are classes of several subjects each."""
    # Ages as labels are a mistake that would otherwise show in the results only.
    if y.dtype.kind in "iuf" and len(np.unique(y)) > MOST_CLASSES:
        raise ValueError(
            f"y must be the labels of classes, got {len(np.unique(y))} different numbers; so many "
            "classes must have text as labels."
        )
    check_classification_targets(y)
    subjects = {label: len(np.unique(groups[y == label])) for label in np.unique(y).tolist()}
    if len(subjects) < 2 or min(subjects.values()) < 2:
        raise ValueError(
            f"y must have at least 2 classes with at least 2 subjects each, got {subjects}."
        )
    if y.dtype.kind not in LABEL_TYPES:
        raise TypeError(f"The labels y must be str, bool, int or float, got {y.dtype}.")
