"""How a study splits its data: what every estimator is fitted on, and what it is tested on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
import sklearn.model_selection as sk
from sklearn.utils import check_scalar

from ..io.leakage import check_subjects
from .data import StudyData
from .splits import Indices, estimator_seed, hold_out, site_splits, stratified_order

Key = tuple[int, ...]

HELD_OUT_SHARE = 1 / 3
SHOWN = 60  # letters of what was given, in a message


class Split(NamedTuple):
    """Numbers of the samples to fit on and to test on; the latter are of X_test if it is given."""

    train: Indices
    test: Indices


@dataclass(frozen=True)
class Design(ABC):
    """A family of splits, each of which has a key.

    A split depends on the data, the fields that are no extent, the seed and its own key, and on
    nothing else: extents can grow, and what is done stays.

    Attributes
    ----------
    keys : tuple of str
        What the numbers of a key are called, as columns of the results.
    condition : tuple of str
        Those of them that make another question; the others ask the same one again.
    extent : tuple of str
        Fields that may grow.
    unit : str
        What one split is called.
    overlapping : bool
        Whether training parts share most of their samples, so that fits are not independent.
    takes_test : bool
        Whether test samples may be given.

    See Also
    --------
    Draws, HoldOuts, LeaveSiteOut, KFold, FixedSplit : The designs there are.

    Examples
    --------
    >>> from sklstruct.studies import KFold
    >>> KFold(n_splits=5, n_repeats=2).keys
    ('repeat', 'fold')
    """

    keys: ClassVar[tuple[str, ...]]
    condition: ClassVar[tuple[str, ...]] = ()
    extent: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str]
    overlapping: ClassVar[bool] = True
    takes_test: ClassVar[bool] = False

    @abstractmethod
    def cells(self, data: StudyData, random_state: int) -> list[Key]:
        """Return the keys of all splits in the order to compute them.

        Raises
        ------
        ValueError
            If the data cannot be split so.
        """

    @abstractmethod
    def split(self, data: StudyData, key: Key, random_state: int) -> Split:
        """Return one split."""

    def describe(self) -> dict[str, Any]:
        """Return all that the design is."""
        return {
            "kind": type(self).__name__,
            "keys": self.keys,
            "condition": self.condition,
            "unit": self.unit,
            "overlapping": self.overlapping,
            **asdict(self),
        }


@dataclass(frozen=True)
class Draws(Design):
    """Stratified training sets of several sizes, those of one draw nested, and their test set.

    Test samples are given, or held out of X in every draw: in whole groups, if there are groups.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of training samples.
    n_draws : int, default=5
        Number of training sets of each size.
    test_size : int, float or None, default=None
        Number or share of the samples (of the groups, if there are groups) to hold out where no
        test samples are given; None is a third.  It does not depend on the sizes, so that sizes
        can be added.

    See Also
    --------
    limited_data : A study of this design in one call.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import Draws, Study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = Study(Draws(sizes=[10, 40], n_draws=3), {"bayes": GaussianNB()}).run(X, y)
    >>> results.groupby("size")["accuracy"].mean().round(2).to_dict()
    {10: 0.92, 40: 0.96}
    """

    sizes: Sequence[int]
    n_draws: int = 5
    test_size: int | float | None = None

    keys = "size", "draw"
    condition = ("size",)
    extent = "sizes", "n_draws"
    unit = "draw"
    overlapping = False
    takes_test = True

    def __post_init__(self) -> None:
        if not isinstance(self.sizes, Iterable):
            raise TypeError(f"sizes must be a list of numbers of samples, got {self.sizes!r}.")
        sizes = [*self.sizes]
        if not sizes or len({*sizes}) < len(sizes):
            raise ValueError(f"sizes must be numbers of samples, each once, got {sizes}.")
        for size in sizes:
            check_scalar(size, "sizes", Integral)
        check_scalar(self.n_draws, "n_draws", Integral, min_val=1)
        if self.test_size is not None:
            check_scalar(self.test_size, "test_size", Real)
        object.__setattr__(self, "sizes", tuple(sorted(map(int, sizes))))

    def cells(self, data: StudyData, random_state: int) -> list[Key]:
        """Return size and draw, draw by draw: one that stops early has compared all on some."""
        if data.X_test is not None and self.test_size is not None:
            raise ValueError("Give X_test and y_test together and no test_size, or neither.")
        orders = [self.order(data, draw, random_state) for draw in range(self.n_draws)]
        if data.X_test is None:
            for draw, order in enumerate(orders):
                check_sides(data, order, f"draw {draw}")
        available, least = min(len(order.train) for order in orders), len(data.classes) or 1
        for size in self.sizes:
            if size < least:
                raise ValueError(f"sizes must be at least {least}, one sample a class, got {size}.")
            if size > available:
                raise ValueError(
                    f"sizes must be at most {available}, got {size}: there are {len(data)} "
                    f"samples, of which {len(data) - available} are held out for testing."
                )
        return [(size, draw) for draw, size in product(range(self.n_draws), self.sizes)]

    def split(self, data: StudyData, key: Key, random_state: int) -> Split:
        """Return the first samples of a draw, and what it is tested on."""
        size, draw = key
        train, test = self.order(data, draw, random_state)
        return Split(train[:size], test)

    def order(self, data: StudyData, draw: int, random_state: int) -> Split:
        """Return all that a draw can be fitted on, in an order of which heads are stratified."""
        # Of the draw alone: whoever adds a size or an estimator gets the same samples.
        rng = np.random.default_rng([random_state, draw])
        if data.X_test is not None:
            return Split(stratified_order(data.strata, rng), np.arange(len(data.y_test)))
        strata = data.subject_strata
        order = stratified_order(strata, rng)
        n_train = len(strata) - self._n_held_out(data)
        if data.groups is None:
            return Split(order[:n_train], order[n_train:])
        test = np.isin(data.subjects, order[n_train:])
        (pool,) = np.nonzero(~test)
        return Split(pool[stratified_order(data.strata[pool], rng)], np.flatnonzero(test))

    def _n_held_out(self, data: StudyData) -> int:
        """Return how many samples, or groups, to hold out."""
        n, n_test = data.n_subjects, self.test_size
        least = len(data.classes) or 1
        if n_test is None:
            n_test = max(least, round(HELD_OUT_SHARE * n))  # to be stratified
        elif not isinstance(n_test, Integral):
            n_test = round(float(n_test) * n) if isfinite(n_test) else 0
        if not least <= n_test <= n - least:
            unit = "samples" if data.groups is None else "groups"
            each = ", one a class," if data.task == "classes" else ""
            raise ValueError(
                f"test_size must leave at least {least} {unit}{each} on both sides, got "
                f"{self.test_size!r} of {n} {unit}."
            )
        return int(n_test)


@dataclass(frozen=True)
class HoldOuts(Design):
    """Repeated stratified hold-outs of whole subjects; see ``subject_splits``.

    Parameters
    ----------
    n_repeats : int, default=20
    test_size : float, int or None, default=None
        Share or number of the subjects to test on; None is a quarter.

    See Also
    --------
    cohort_study : A study of this design in one call.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import HoldOuts, Study
    >>> X, y = np.random.default_rng(0).normal(size=(16, 3)), np.repeat([0, 1], 8)
    >>> study = Study(HoldOuts(n_repeats=2), {"bayes": GaussianNB()})
    >>> study.run(X, y, groups=np.repeat(np.arange(8), 2))["n_test_subjects"].tolist()
    [2, 2]
    """

    n_repeats: int = 20
    test_size: float | int | None = None

    keys = ("repeat",)
    extent = ("n_repeats",)
    unit = "hold-out"

    def __post_init__(self) -> None:
        check_scalar(self.n_repeats, "n_repeats", Integral, min_val=1)

    def cells(self, data: StudyData, random_state: int) -> list[Key]:
        """Return the numbers of the repeats."""
        for repeat in range(self.n_repeats):
            check_sides(data, self.split(data, (repeat,), random_state), f"repeat {repeat}")
        return [(repeat,) for repeat in range(self.n_repeats)]

    def split(self, data: StudyData, key: Key, random_state: int) -> Split:
        """Return one hold-out."""
        seed = [random_state, *key]
        return Split(*hold_out(data.subject_strata, data.subjects, self.test_size, seed))


@dataclass(frozen=True)
class LeaveSiteOut(Design):
    """One whole site is left out after the other, in random order; see ``subject_splits``.

    Subjects of that site who have been to other sites too are left out of training.

    Parameters
    ----------
    n_repeats : int or None, default=None
        Number of sites to leave out; None is all of them.

    See Also
    --------
    cohort_study : A study of this design in one call.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import LeaveSiteOut, Study
    >>> X, y = np.random.default_rng(0).normal(size=(16, 3)), np.tile([0, 1], 8)
    >>> study = Study(LeaveSiteOut(), {"bayes": GaussianNB()})
    >>> sorted(study.run(X, y, sites=np.repeat(["A", "B"], 8))["held_out_site"])
    ['A', 'B']
    """

    n_repeats: int | None = None

    keys = ("repeat",)
    extent = ("n_repeats",)
    unit = "hold-out"

    def __post_init__(self) -> None:
        if self.n_repeats is not None:
            check_scalar(self.n_repeats, "n_repeats", Integral, min_val=1)

    def cells(self, data: StudyData, random_state: int) -> list[Key]:
        """Return the numbers of the sites."""
        return [(repeat,) for repeat in range(len(self._splits(data, random_state)))]

    def split(self, data: StudyData, key: Key, random_state: int) -> Split:
        """Return what leaves one site out."""
        return Split(*self._splits(data, random_state)[key[0]])

    def _splits(self, data: StudyData, random_state: int) -> list[tuple[Indices, Indices]]:
        if data.sites is None:
            raise ValueError("sites must have a value for each sample, got None.")
        n_repeats = len({*data.sites.tolist()}) if self.n_repeats is None else self.n_repeats
        strata = data.subject_strata if data.task == "classes" else np.zeros(data.n_subjects, int)
        return site_splits(strata, data.subjects, data.sites, n_repeats, random_state)


@dataclass(frozen=True)
class KFold(Design):
    """Repeated cross-validation, stratified for classes, in whole groups if there are groups.

    Folds are those of scikit-learn's StratifiedGroupKFold, StratifiedKFold, GroupKFold or KFold.

    Parameters
    ----------
    n_splits : int, default=5
    n_repeats : int, default=1

    See Also
    --------
    HoldOuts : Test parts that overlap, and as many as one likes.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklstruct.studies import KFold, Study
    >>> X, y = load_diabetes(return_X_y=True)
    >>> results = Study(KFold(n_splits=4), {"ridge": Ridge(0.1)}).run(X, y)
    >>> results[["fold", "n_test", "r2"]].round(2)
       fold  n_test    r2
    0     0     111  0.56
    1     1     111  0.43
    2     2     110  0.38
    3     3     110  0.57
    """

    n_splits: int = 5
    n_repeats: int = 1

    keys = "repeat", "fold"
    extent = ("n_repeats",)
    unit = "fold"

    def __post_init__(self) -> None:
        check_scalar(self.n_splits, "n_splits", Integral, min_val=2)
        check_scalar(self.n_repeats, "n_repeats", Integral, min_val=1)

    def cells(self, data: StudyData, random_state: int) -> list[Key]:
        """Return repeat and fold."""
        strata = data.subject_strata
        least = np.bincount(strata).min() if data.task == "classes" else len(strata)
        if self.n_splits > least:
            raise ValueError(
                f"n_splits must be at most {least}, so that every fold tests every class, got "
                f"{self.n_splits}."
            )
        for repeat in range(self.n_repeats):
            for fold, split in enumerate(self._folds(data, repeat, random_state)):
                check_sides(data, Split(*split), f"repeat {repeat}, fold {fold}")
        return [*product(range(self.n_repeats), range(self.n_splits))]

    def split(self, data: StudyData, key: Key, random_state: int) -> Split:
        """Return one fold."""
        repeat, fold = key
        return Split(*self._folds(data, repeat, random_state)[fold])

    def _folds(self, data: StudyData, repeat: int, random_state: int) -> list[Any]:
        stratified, grouped = data.task == "classes", data.groups is not None
        kinds = {
            (True, True): sk.StratifiedGroupKFold,
            (True, False): sk.StratifiedKFold,
            (False, True): sk.GroupKFold,
            (False, False): sk.KFold,
        }
        seed = estimator_seed(random_state, repeat)
        folds = kinds[stratified, grouped](self.n_splits, shuffle=True, random_state=seed)
        groups = data.subjects if grouped else None
        return [*folds.split(np.zeros(len(data)), data.strata, groups)]


@dataclass(frozen=True)
class FixedSplit(Design):
    """One split that is given, on which estimators are fitted with one seed or several.

    Parameters
    ----------
    test : array-like of int or bool, default=None
        Numbers of the samples of X to test on, or whether each is one; None where X_test and
        y_test are given.
    n_runs : int, default=1
        Number of fits, each with a seed of its own.

    See Also
    --------
    Draws : Subsets of the training samples, too.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklstruct.studies import FixedSplit, Study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> study = Study(FixedSplit(n_runs=2), {"forest": RandomForestClassifier(10)})
    >>> study.run(X[:400], y[:400], X_test=X[400:], y_test=y[400:])["accuracy"].round(2).tolist()
    [0.95, 0.96]
    """

    test: Any = None
    n_runs: int = 1
    _n_samples: ClassVar[int | None] = None  # of which test says whether each is one

    keys = ("run",)
    extent = ("n_runs",)
    unit = "run"
    overlapping = False
    takes_test = True

    def __post_init__(self) -> None:
        check_scalar(self.n_runs, "n_runs", Integral, min_val=1)
        if self.test is not None:
            test = np.asarray(self.test)
            if test.ndim != 1 or (test.dtype.kind not in "biu" and test.size):
                raise TypeError(
                    "test must be numbers of samples, or whether each is one to test on, got "
                    f"{shortened(self.test)}."
                )
            n_samples = len(test) if test.dtype.kind == "b" else None
            test = np.unique(test.astype(int)) if n_samples is None else np.flatnonzero(test)
            object.__setattr__(self, "test", tuple(test.tolist()))
            object.__setattr__(self, "_n_samples", n_samples)

    def cells(self, data: StudyData, random_state: int) -> list[Key]:
        """Return the numbers of the runs."""
        if (self.test is None) == (data.X_test is None):
            raise ValueError("Give the test samples of X as test, or X_test and y_test.")
        if self.test is not None:
            if self._n_samples not in (None, len(data)):
                raise ValueError(
                    f"test must say of each of {len(data)} samples whether it is one to test on, "
                    f"got {self._n_samples} of them."
                )
            if not self.test or not 0 <= self.test[0] <= self.test[-1] < len(data):
                raise ValueError(
                    f"test must be numbers of samples from 0 to {len(data) - 1}, got "
                    f"{shortened(self.test)}."
                )
            if len(self.test) == len(data):
                raise ValueError("test must leave samples to fit on, got all of them.")
            check_sides(data, self.split(data, (0,), random_state), "the split")
        return [(run,) for run in range(self.n_runs)]

    def split(self, data: StudyData, key: Key, random_state: int) -> Split:
        """Return the split."""
        if data.X_test is not None:
            return Split(np.arange(len(data)), np.arange(len(data.y_test)))
        test = np.array(self.test)
        return Split(np.setdiff1d(np.arange(len(data)), test), test)


DESIGNS = {kind.__name__: kind for kind in (Draws, HoldOuts, LeaveSiteOut, KFold, FixedSplit)}


def check_sides(data: StudyData, split: Split, name: str) -> None:
    """Raise a ValueError if a subject is on both sides, or there is a class to learn on neither."""
    if data.groups is not None:
        check_subjects(*(data.groups[side] for side in split))
    if len(np.unique(data.strata[split.train])) < len(data.classes):
        raise ValueError(
            f"The training part of {name} lacks a class; subjects should have one label each, as "
            "they count for the most frequent one of their samples."
        )


def shortened(values: Any) -> str:
    """Return what was given in a few words."""
    text = repr(values)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
