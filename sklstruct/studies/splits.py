"""Hold-outs of a cohort that keep all scans of a subject on one side."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from ..io.leakage import named, same_names

Indices = NDArray[np.intp]

TEST_SHARE = 0.25
STRATA = 5  # of subjects with numbers as labels
MOST_CLASSES = 10  # numbers with more values than that are no classes


def subject_splits(
    y: ArrayLike,
    groups: ArrayLike,
    *,
    n_repeats: int,
    test_size: float | int | None = None,
    sites: ArrayLike | None = None,
    random_state: int = 0,
) -> list[tuple[Indices, Indices]]:
    r"""Return repeated stratified hold-outs of subjects.

    Of the :math:`n_c` subjects of class c the test part gets :math:`t n_c`, rounded, where t is
    the share to hold out, but at least one and not all of them.  A repeat depends on the
    labels, the names of the subjects, ``random_state`` and its own number, so that repeats can
    be added and rows can be shuffled.

    With ``sites`` every repeat leaves out one whole site, another one each time, in random
    order.  Subjects of that site who have been to other sites too are left out of training.

    Parameters
    ----------
    y : array-like, shape (n_scans,)
        Labels.  A subject counts for the most frequent label of its scans, the first one in
        order if there are several.  Numbers with more than 10 values are stratified by the
        fifth of all subjects that the mean of a subject is in.
    groups : array-like, shape (n_scans,)
        Subjects.
    n_repeats : int
    test_size : float, int or None, default=None
        Share or number of the subjects to hold out; None is a quarter.  It must be None where
        sites are left out.
    sites : array-like, shape (n_scans,), default=None
        Sites to leave out, one at a time.
    random_state : int, default=0

    Returns
    -------
    splits : list of (train, test)
        Indices of scans in ascending order; what ``cross_validate`` takes as ``cv``.

    Raises
    ------
    ValueError
        If there is no such split: a class has a single subject, the share leaves nothing on one
        side, there are fewer sites than repeats, or a part lacks a class when a site is left
        out.

    See Also
    --------
    cohort_study : Everything on these splits.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.studies import subject_splits
    >>> y, subjects = np.repeat([0, 1], 8), np.repeat(np.arange(8), 2)  # two scans each
    >>> splits = subject_splits(y, subjects, n_repeats=3)
    >>> [(len(train), len(test)) for train, test in splits]
    [(12, 4), (12, 4), (12, 4)]
    >>> set(subjects[splits[0][0]]) & set(subjects[splits[0][1]])
    set()
    """
    groups = same_names(labelled("groups", groups))
    y = labelled("y", y, groups)
    check_consistent_length(y, groups)
    check_scalar(n_repeats, "n_repeats", Integral, min_val=1)
    check_scalar(random_state, "random_state", Integral, min_val=0)
    subjects, subject_of = np.unique(groups, return_inverse=True)
    strata = strata_of(y, subject_of, len(subjects))
    if sites is not None:
        if test_size is not None:
            raise ValueError(f"test_size must be None where sites are left out, got {test_size!r}.")
        sites = labelled("sites", sites, groups)
        check_consistent_length(y, sites)
        strata = np.zeros_like(strata) if are_numbers(y) else strata
        return site_splits(strata, subject_of, sites, n_repeats, random_state)
    # StratifiedGroupKFold and StratifiedShuffleSplit draw anew when a repeat is added or rows are
    # shuffled; here a repeat is a function of its own number and of the subjects' names.
    counts = held_out(test_size, strata)
    seeds = ([random_state, repeat] for repeat in range(n_repeats))
    tests = [np.isin(subject_of, draw(strata, counts, np.random.default_rng(s))) for s in seeds]
    return [(np.flatnonzero(~test), np.flatnonzero(test)) for test in tests]


def labelled(name: str, values: ArrayLike, groups: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return one value a scan, none of them missing; an error names subjects that lack theirs."""
    if values is None:
        raise ValueError(f"{name} must have a value for each scan, got None.")
    # NumPy would make a text of what is missing in a list of texts.
    column = column_or_1d(np.asarray(values, None if hasattr(values, "dtype") else object))
    missing = pd.isna(column)
    if missing.any():
        # Whoever has hundreds of subjects cannot look for the one.
        number, of = np.count_nonzero(missing), ""
        if groups is not None and len(groups) == len(missing):
            of = f", of {named(dict.fromkeys(map(str, groups[missing]))).removesuffix('.')}"
        raise ValueError(f"{name} must have no missing values, got {number}{of}.")
    return np.array(column.tolist())


def strata_of(y: NDArray[Any], subject_of: Indices, n_subjects: int) -> Indices:
    """Return the number of the class, or of the fifth, of each subject."""
    if are_numbers(y):
        return fifths(y, subject_of)
    return most_frequent(np.unique(y, return_inverse=True)[1], subject_of, n_subjects)


def are_numbers(y: NDArray[Any]) -> bool:
    """Whether labels are numbers, and too many to be classes."""
    return y.dtype.kind in "iuf" and len(np.unique(y)) > MOST_CLASSES


def fifths(values: NDArray[Any], subject_of: Indices) -> Indices:
    """Return the fifth of all subjects that the mean of each subject is in."""
    means = np.bincount(subject_of, values) / np.bincount(subject_of)
    rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    return rank * min(STRATA, len(means) // 2) // len(means)


def most_frequent(label: Indices, subject_of: Indices, n_subjects: int) -> Indices:
    """Return the most frequent label of each subject, the first one of several."""
    counts = np.zeros((n_subjects, label.max() + 1), int)
    np.add.at(counts, (subject_of, label), 1)
    return counts.argmax(axis=1)


def held_out(test_size: float | int | None, strata: Indices) -> Indices:
    """Return how many subjects of each class to hold out."""
    sizes = np.bincount(strata)
    if len(strata) < 2 or (sizes == 1).any():
        raise ValueError(
            "There must be at least 2 subjects of every class, one for each side, got classes of "
            f"{sizes.tolist()} subjects."
        )
    share = TEST_SHARE if test_size is None else test_size
    check_scalar(share, "test_size", Real)
    if isinstance(share, Integral):
        share = share / len(strata)
    if not 0 < share < 1:
        raise ValueError(
            "test_size must be a share between 0 and 1, or a number of subjects from 1 to "
            f"{len(strata) - 1}, got {test_size!r}."
        )
    # One at least on each side, or a small class would be tested on nothing.
    return np.clip(np.rint(share * sizes).astype(int), 1, sizes - 1)


def draw(strata: Indices, counts: Indices, rng: np.random.Generator) -> Indices:
    """Return so many random subjects of every class."""
    members = (np.flatnonzero(strata == stratum) for stratum in range(len(counts)))
    chosen = [rng.permutation(m)[:count] for m, count in zip(members, counts, strict=True)]
    return np.concatenate(chosen)


def site_splits(
    strata: Indices, subject_of: Indices, sites: NDArray[Any], n_repeats: int, random_state: int
) -> list[tuple[Indices, Indices]]:
    """Return splits that leave out one site each."""
    names = np.unique(sites)
    if not n_repeats <= len(names) or len(names) < 2:
        raise ValueError(
            f"There must be a site to leave out for each of {n_repeats} repeats and others to "
            f"train on, got the sites {names.tolist()}."
        )
    splits = []
    for site in names[np.random.default_rng(random_state).permutation(len(names))[:n_repeats]]:
        in_test = sites == site
        # LeaveOneGroupOut would train on what travelling subjects have elsewhere.
        in_train = ~np.isin(subject_of, subject_of[in_test])
        for part, inside in (("The other sites", in_train), (f"Site {str(site)!r}", in_test)):
            lacking = set(strata.tolist()) - set(strata[subject_of[inside]].tolist())
            if lacking:
                raise ValueError(
                    f"{part} must have subjects of every class when site {str(site)!r} is left "
                    f"out, but {len(lacking)} of {strata.max() + 1} classes have none there."
                )
        splits.append((np.flatnonzero(in_train), np.flatnonzero(in_test)))
    return splits
