"""How samples are drawn, and subjects held out with all that there is of them."""

from __future__ import annotations

from collections.abc import Sequence
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
    subject_of = np.unique(groups, return_inverse=True)[1]
    values = y.dtype.kind in "iuf" and len(np.unique(y)) > MOST_CLASSES  # too many for classes
    strata = strata_of(y, subject_of, values=values)
    if sites is not None:
        if test_size is not None:
            raise ValueError(f"test_size must be None where sites are left out, got {test_size!r}.")
        sites = labelled("sites", sites, groups)
        check_consistent_length(y, sites)
        strata = np.zeros_like(strata) if values else strata
        return site_splits(strata, subject_of, sites, n_repeats, random_state)
    seeds = ([random_state, repeat] for repeat in range(n_repeats))
    return [hold_out(strata, subject_of, test_size, seed) for seed in seeds]


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


def strata_of(y: ArrayLike, subject_of: Indices, *, values: bool) -> Indices:
    """Return the most frequent class of each subject, or the fifth that its mean value is in.

    Of several classes it is the first one in order.
    """
    if values:
        means = np.bincount(subject_of, np.asarray(y, float)) / np.bincount(subject_of)
        rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
        return rank * min(STRATA, len(means) // 2) // len(means)
    label = np.unique(y, return_inverse=True)[1]
    counts = np.zeros((subject_of.max() + 1, label.max() + 1), int)
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


def hold_out(
    strata: Indices, subject_of: Indices, test_size: float | int | None, seed: Sequence[int]
) -> tuple[Indices, Indices]:
    """Return the samples to fit on and to test on in one hold-out."""
    # StratifiedGroupKFold and StratifiedShuffleSplit draw anew when a repeat is added or rows are
    # shuffled; here a repeat is a function of its own number and of the subjects' names.
    rng = np.random.default_rng(seed)
    chosen = [
        rng.permutation(np.flatnonzero(strata == stratum))[:count]
        for stratum, count in enumerate(held_out(test_size, strata))
    ]
    test = np.isin(subject_of, np.concatenate(chosen))
    return np.flatnonzero(~test), np.flatnonzero(test)


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


def stratified_order(classes: Indices, rng: np.random.Generator) -> Indices:
    r"""Return all samples in a random order of which every head and tail is stratified.

    The j-th of the :math:`n_c` samples of a class comes at the place
    :math:`(j + 1/2) / n_c`, as in the apportionment of Webster and Sainte-Lague; but the first
    ones of all classes come first, and the last ones last.  So a head or tail holds every class
    as soon as it is as long as there are classes, and holds them in proportion from then on.

    Parameters
    ----------
    classes : ndarray of int, shape (n_samples,)
        Numbers of the classes, from 0.
    rng : Generator

    Returns
    -------
    order : ndarray of int, shape (n_samples,)
    """
    counts = np.bincount(classes)
    # train_test_split draws every size anew: larger training sets would not hold smaller ones.
    shuffled = rng.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    size = np.repeat(counts, counts)
    rank = np.arange(len(classes)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = (rank + 0.5) / size
    place[rank == size - 1] = 1
    place[rank == 0] = 0
    return by_class[np.lexsort((rng.random(len(place)), place))]


def estimator_seed(random_state: int, *numbers: int) -> int:
    """Return the seed of every estimator that is fitted on one training set, by its numbers."""
    # Not random_state + draw: seeds of neighbouring draws and studies would coincide.
    return int(np.random.SeedSequence([random_state, *numbers]).generate_state(1)[0])
