"""Search for parameters on the training part of a split, with the same budget for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from numbers import Integral, Real
from sys import maxsize
from time import perf_counter
from typing import Any, Self

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import r2_score, recall_score
from sklearn.model_selection import GroupKFold, ParameterGrid, ParameterSampler
from sklearn.utils import check_random_state

from ..compat import BaseSearchCV, num_samples
from .fitting import check_parameters, group_params, noted
from .splits import Indices, strata_of

Candidate = dict[str, Any]

MOST_SEEDS = 2**31 - 1


@dataclass(frozen=True)
class Budget:
    """What the search of each method may spend on each training set.

    Parameters
    ----------
    fits : int, default=None
        Number of fits on inner splits: every candidate costs ``n_splits``.
    seconds : float, default=None
        Time in place of fits.  A candidate is begun if it would end in time, going by the mean of
        those before.  What is found then depends on the machine.
    n_splits : int, default=3
        Number of inner splits.

    Raises
    ------
    ValueError
        Unless either fits or seconds are given, and pay for one candidate.

    See Also
    --------
    BudgetSearchCV : Who spends it.

    Examples
    --------
    >>> from sklstruct.studies import Budget
    >>> Budget(fits=30)
    Budget(fits=30, seconds=None, n_splits=3)
    >>> Budget(fits=2)
    Traceback (most recent call last):
        ...
    ValueError: fits must be an integer of at least n_splits=3, which one candidate costs, got 2.
    """

    fits: int | None = None
    seconds: float | None = None
    n_splits: int = 3

    def __post_init__(self) -> None:
        if (self.fits is None) == (self.seconds is None):
            raise ValueError(
                f"A budget must be in fits or in seconds, got fits={self.fits!r} and "
                f"seconds={self.seconds!r}."
            )
        if not isinstance(self.n_splits, Integral) or self.n_splits < 2:
            raise ValueError(f"n_splits must be an integer of at least 2, got {self.n_splits!r}.")
        if self.seconds is None and not (
            isinstance(self.fits, Integral) and self.fits >= self.n_splits
        ):
            raise ValueError(
                f"fits must be an integer of at least n_splits={self.n_splits}, which one "
                f"candidate costs, got {self.fits!r}."
            )
        if self.fits is None and not (
            isinstance(self.seconds, Real) and isfinite(self.seconds) and self.seconds > 0
        ):
            raise ValueError(f"seconds must be a finite number above 0, got {self.seconds!r}.")

    def allows(self, n_candidates: int, fits: int, seconds: float) -> bool:
        """Whether it pays for one candidate more after those that took fits and seconds."""
        spent, most = (fits, self.fits) if self.seconds is None else (seconds, self.seconds)
        return spent * (n_candidates + 1) <= (most or 0) * n_candidates


class InnerSplits(GroupKFold):
    """Folds that are stratified and keep groups together, also where there are few samples.

    Classes, or fifths of values, are dealt out one after the other, so that any two of a class
    are in different folds.

    Parameters
    ----------
    n_splits : int
        Or the number of samples or groups, if there are fewer.
    random_state : int or None
    classes : bool
        Whether y has classes.
    """

    def __init__(self, n_splits: int, random_state: int | None, classes: bool) -> None:
        super().__init__(n_splits, shuffle=True, random_state=random_state)
        self.classes = classes

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds."""
        n_subjects = num_samples(X) if groups is None else len(np.unique(groups))
        return min(self.n_splits, n_subjects)

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Indices, Indices]]:
        """Yield the training and the test samples of each fold."""
        groups = np.arange(num_samples(X)) if groups is None else groups
        of = np.unique(groups, return_inverse=True)[1]
        one_each = of_samples(y)  # maps have neither classes nor fifths
        strata = strata_of(y if one_each else of * 0, of, values=one_each and not self.classes)
        if np.bincount(strata).max() < 2:
            raise ValueError(
                "A search must have two subjects of a class at least, to fit on one and test on "
                f"the other, got {len(strata)} of {len(strata)} classes."
            )
        order = np.lexsort((np.random.default_rng(self.random_state).random(len(strata)), strata))
        fold = np.empty_like(order)
        fold[order] = np.arange(len(order)) % self.get_n_splits(X, y, groups)
        for number in range(fold.max() + 1):
            test = fold[of] == number
            yield np.flatnonzero(~test), np.flatnonzero(test)


def of_samples(y: Any) -> bool:
    """Whether y has one label or value a sample, and no maps."""
    return not isinstance(y, list) and np.ndim(y) == 1


def main_score(model: Any, X: Any, y: Any) -> float:
    """Return the mean recall of the classes, R2 of values, or what an estimator says of maps."""
    if is_classifier(model) and of_samples(y):
        # balanced_accuracy_score would warn of classes that are predicted and not tested.
        tested = np.unique(y)
        predicted = model.predict(X)
        return recall_score(y, predicted, labels=tested, average="macro", zero_division=0)
    if is_regressor(model) and of_samples(y):
        return r2_score(y, model.predict(X))
    return model.score(X, y)


class BudgetSearchCV(BaseSearchCV):
    """Search among candidates, one after the other, until a budget is spent.

    The first candidate is what the estimator has by itself, so that it is never left for one that
    is worse on the inner splits.  A grid is tried in random order, as a whole where the budget
    lets it; distributions are drawn from.  A larger budget in fits tries all that a smaller one
    does.  The best candidate is fitted again on all samples.

    Inner splits are stratified where y has classes, and keep samples of one of the ``groups`` that
    ``fit`` may get together.  Candidates are judged by the mean recall of the classes (balanced
    accuracy), or by R2 of values, or by ``score``.

    Parameters
    ----------
    estimator : estimator
    parameters : dict or list of dict
        Values or distributions (with ``rvs``) to search, by names of parameters.
    budget : Budget
    metric : str or callable, default=None
        What to judge by in place of that, as ``scoring`` of scikit-learn.
    random_state : int, RandomState or None, default=None
        Of the inner splits and of the candidates.

    Attributes
    ----------
    best_params_, best_score_, best_estimator_, cv_results_
        As those of ``GridSearchCV``.
    n_splits_, refit_time_
        As those, too: each of ``cv_results_["params"]`` took as many fits as there are splits.

    See Also
    --------
    Study : Takes pairs of an estimator and parameters, and one budget for all.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from sklstruct.studies import Budget, BudgetSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> search = BudgetSearchCV(SVC(), {"C": [0.01, 0.1, 1, 10]}, Budget(fits=9), random_state=0)
    >>> [candidate["C"] for candidate in search.fit(X, y).cv_results_["params"]]
    [1.0, 0.1, 10]
    """

    n_jobs, pre_dispatch, verbose = None, "n_jobs", 0
    refit, error_score, return_train_score = True, "raise", False
    _seed = None

    def __init__(
        self,
        estimator: Any,
        parameters: Any,
        budget: Budget,
        *,
        metric: Any = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.budget = budget
        self.metric = metric
        self.random_state = random_state

    @property
    def scoring(self) -> str | Callable[..., float]:
        """What candidates are judged by."""
        return main_score if self.metric is None else self.metric

    @property
    def cv(self) -> InnerSplits:
        """The inner splits."""
        return InnerSplits(self.budget.n_splits, self._seed, is_classifier(self.estimator))

    def check_params(self) -> None:
        """Raise unless every value that may be tried is one of a parameter of the estimator.

        Raises
        ------
        ValueError
            If the estimator has no such parameter, or a value breaks its rule, or there is none.
        TypeError
            If values are neither a sequence nor a distribution.
        """
        if not isinstance(self.budget, Budget):
            raise ValueError(f"budget must be a Budget, got {self.budget!r}.")
        spaces = as_list(self.parameters)
        if not spaces or not all(isinstance(space, Mapping) and space for space in spaces):
            raise ValueError(
                "parameters must be a dict with values or distributions by names, or a list of "
                f"them, got {self.parameters!r}."
            )
        for space in spaces:
            ParameterGrid({n: v for n, v in space.items() if not hasattr(v, "rvs")})  # of values
            drawn = next(iter(ParameterSampler(space, 1, random_state=0)))
            # A name may be one of what another one stands for, as "svc__C" of a "svc".
            for name in sorted(space, key=lambda name: name.count("__")):
                outer = {other: drawn[other] for other in drawn if name.startswith(f"{other}__")}
                model = clone(self.estimator).set_params(**clone(outer, safe=False))
                for value in [drawn[name]] if hasattr(space[name], "rvs") else space[name]:
                    check_value(model, name, value)

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate on all samples.

        Parameters
        ----------
        X : array-like, shape (n_samples, ...)
        y : array-like, shape (n_samples,) or (n_samples, *spatial)
        **params : dict
            For ``fit`` of the estimator; ``groups`` for the inner splits too.

        Returns
        -------
        self : BudgetSearchCV
        """
        self.check_params()
        self._seed = check_random_state(self.random_state).randint(MOST_SEEDS)
        return super().fit(X, y, **params)

    def _get_routed_params_for_fit(self, params: dict[str, Any]) -> Any:
        routed = super()._get_routed_params_for_fit(params)
        # scikit-learn gives groups to the splits alone; who holds out samples needs them too.
        routed.estimator.fit.update(group_params(self.estimator, params.get("groups")))
        return routed

    def _run_search(self, evaluate_candidates: Callable[[Sequence[Candidate]], Candidate]) -> None:
        start = perf_counter()
        for number, candidate in enumerate(self._candidates(), start=1):
            with noted(f"Raised by the candidate {candidate}."):
                tried = evaluate_candidates([candidate])
            n_splits = sum(name.startswith("split") for name in tried)  # a column each
            if not self.budget.allows(number, number * n_splits, perf_counter() - start):
                break

    def _candidates(self) -> Iterator[Candidate]:
        """Yield what the estimator has by itself, then the others in random order."""
        rng = np.random.RandomState(self._seed)
        spaces = as_list(self.parameters)
        has = self.estimator.get_params(deep=True)
        own = {name: has[name] for space in spaces for name in space if name in has}
        yield own
        if any(hasattr(values, "rvs") for space in spaces for values in space.values()):
            others = iter(ParameterSampler(spaces, maxsize, random_state=rng))
        else:
            grid = ParameterGrid(spaces)
            others = (grid[number] for number in rng.permutation(len(grid)))
        for candidate in others:
            # Numbers of Python, which can be told in JSON.
            drawn = {n: v.item() if isinstance(v, np.generic) else v for n, v in candidate.items()}
            if not same(drawn, own):
                yield drawn


def as_list(parameters: Any) -> list[Mapping[str, Any]]:
    """Return one or several spaces of parameters as a list."""
    return list(parameters) if isinstance(parameters, (list, tuple)) else [parameters]


def check_value(model: Any, name: str, value: Any) -> None:
    """Raise a ValueError unless an estimator can have a value of a parameter."""
    try:
        model.set_params(**{name: value})
    except ValueError as error:
        known = sorted(model.get_params(deep=True))
        close = get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it has {', '.join(known)}."
        kind = type(model).__name__
        raise ValueError(f"{name!r} is no parameter of {kind} to search; {hint}") from error
    check_parameters(model)


def same(one: Candidate, other: Candidate) -> bool:
    """Whether two candidates are the same, as far as is easily seen."""
    return one.keys() == other.keys() and all(
        value is other[name]
        or (np.isscalar(value) and type(value) is type(other[name]) and value == other[name])
        for name, value in one.items()
    )
