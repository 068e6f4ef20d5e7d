"""Whether test samples are known from training: the same subjects, or the same images."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .nifti import Grid, read_volume
from .nifti.file import Source, SpatialImage, name_of

SHOWN = 10  # names in a message


def check_leakage(
    train: Any, test: Any, *, train_groups: Any = None, test_groups: Any = None
) -> None:
    """Raise an error if a subject or an image is on both sides of a split.

    Images are compared by their voxels in canonical orientation and single precision, so that
    copies under other names, compressed or not, flipped on disk or of another dtype are found.
    They are read one at a time, and a file that has not changed is read once only.

    Parameters
    ----------
    train, test : Cohort, or array-like of path or image, shape (n_train,) and (n_test,)
        The subjects of cohorts are known.
    train_groups, test_groups : array-like, shape (n_train,) and (n_test,), default=None
        Subjects of the paths; not compared if left out.

    Raises
    ------
    ValueError
        If a subject is on both sides, or an image under whatever name; all of them are named.
        Also if an image cannot be read.

    See Also
    --------
    sklstruct.studies.subject_splits : Splits that keep subjects on one side.

    Examples
    --------
    >>> from sklstruct.datasets import simulate_cohort
    >>> from sklstruct.io import check_leakage
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> check_leakage(cohort.take(range(4)), cohort.take(range(4, 8)))  # says nothing: all is well
    >>> check_leakage(cohort.X[:4], cohort.X[3:])
    Traceback (most recent call last):
        ...
    ValueError: The same image must not be in training and in test, but these are: ...
    """
    train, train_groups = parts(train, train_groups)
    test, test_groups = parts(test, test_groups)
    if train_groups is not None and test_groups is not None:
        check_subjects(train_groups, test_groups)
    # Names say nothing: the same scan is in two folders more often than one thinks.
    by_digest = defaultdict(list)
    for path in train:
        by_digest[voxel_digest(path)].append(path)
    pairs = [(path, first) for path in test for first in by_digest.get(voxel_digest(path), ())]
    if pairs:
        raise ValueError(
            "The same image must not be in training and in test, but these are: "
            + named(f"{name_of(in_test)} and {name_of(in_train)}" for in_test, in_train in pairs)
        )


def parts(samples: Any, groups: Any) -> tuple[Any, Any]:
    """Return the paths and the subjects of a cohort, or of what else there is."""
    if hasattr(samples, "groups"):
        return samples.X, samples.groups
    if groups is not None and len(groups) != len(samples):
        raise ValueError(
            f"There must be one subject an image, got {len(groups)} and {len(samples)}."
        )
    return samples, groups


def check_subjects(train_groups: Any, test_groups: Any) -> None:
    """Raise a ValueError if a subject, with or without "sub-", is on both sides of a split."""
    sides = np.asarray(train_groups), np.asarray(test_groups)
    labels = np.concatenate(sides).astype(str).tolist()
    known = {label.removeprefix("sub-") for label in labels[: len(sides[0])]}
    tested = sorted({*labels[len(sides[0]) :]})
    if both := [label for label in tested if label.removeprefix("sub-") in known]:
        raise ValueError(
            "A subject must not be in training and in test, but "
            f"{len(both)} {'is' if len(both) == 1 else 'are'}: {named(both)}"
        )


def same_names(groups: NDArray[Any]) -> NDArray[Any]:
    """Return names of subjects, all with "sub-" if one has it: "sub-01" and "01" are one."""
    if groups.dtype.kind != "U" or not np.char.startswith(groups, "sub-").any():
        return groups
    return np.array([f"sub-{name.removeprefix('sub-')}" for name in groups.tolist()])


def named(names: Iterable[str]) -> str:
    """Return the first names of many as a sentence's end."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}."


def voxel_digest(path: Source) -> str:
    """Return a fingerprint of the voxels of an image, whatever its name and its header.

    Raises
    ------
    OSError, ValueError
        As ``read_volume`` does.
    """
    return look_at(path).digest


def sample_marks(X: Any) -> NDArray[np.uint64]:
    """Return a short fingerprint of each sample, of scans by their voxels.

    Parameters
    ----------
    X : array-like of path, shape (n,), or ndarray, shape (n, ...)

    Returns
    -------
    marks : ndarray of uint64, shape (n,)
    """
    if np.ndim(X) == 1:  # voxels, not names: the same scan lies in several folders
        return np.array([int(voxel_digest(path)[:16], 16) for path in X], np.uint64)
    # In one type, as a file of images may be read as another than it was written.
    plain = (np.ascontiguousarray(sample, np.float64).tobytes() for sample in X)
    digests = (hashlib.blake2b(values, digest_size=8).digest() for values in plain)
    return np.array([int.from_bytes(digest) for digest in digests], np.uint64)


class Look(NamedTuple):
    """What there is to know about a scan before it is used."""

    digest: str  # fingerprint of its voxels
    unknown: float  # share of them that is NaN or infinite
    grid: Grid


def look_at(path: Source) -> Look:
    """Return what there is to know about a scan, read once for each state of its file."""
    if isinstance(path, SpatialImage):  # which may change unseen
        return look_once.__wrapped__(path)
    stat = os.stat(path)  # a study asks for the same files again, and they may have changed
    return look_once(os.fspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=2**14)
def look_once(path: Source, *state: int) -> Look:
    """Return what there is to know about a file in some state."""
    values, grid = read_volume(path, finite=False)
    digest = hashlib.sha256(str(values.shape).encode())
    digest.update((values + np.float32(0)).tobytes())  # no negative zeros
    return Look(digest.hexdigest(), float(np.isnan(values).mean()), grid)
