"""Many estimators at once: ranks over blocks, and which of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import factorial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import f as fisher
from scipy.stats import studentized_range
from sklearn.utils import check_scalar

from .inference import check_metric
from .metrics import Floats, ratio
from .outcomes import check_some
from .tasks import task_in

if TYPE_CHECKING:
    from .results import Results

TIE = 10  # digits by which values must differ for one to be better


def rank_table(results: Results | Mapping[str, Results], metric: str | None = None) -> pd.DataFrame:
    """Rank estimators within blocks, the best one first.

    Of one study a block is a repeat (of a size, where there are several); of several studies it is
    a study, by the mean over its repeats (of a size).  Equal values share the mean of their ranks.
    Only blocks in which every estimator has a value count.

    Parameters
    ----------
    results : Results, or dict of Results
        One study, or several by the names of their data.
    metric : str, default=None
        A metric of the task; None is its main one.

    Returns
    -------
    ranks : DataFrame
        One row an estimator, the best one first, with the columns estimator, metric, mean_rank,
        wins (blocks in which none is better), mean (of the metric over blocks) and n_blocks.

    Raises
    ------
    ValueError
        If there is no such metric, studies have different tasks, or no block has all estimators.

    See Also
    --------
    critical_difference : Which of them differ.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
    >>> from sklstruct.studies import limited_data, rank_table
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB(), "signs": BernoulliNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> rank_table(results, "accuracy")[["estimator", "mean_rank", "wins", "n_blocks"]].round(2)
      estimator  mean_rank  wins  n_blocks
    0     gauss       1.17     5         6
    1    counts       1.83     1         6
    2     signs       3.00     0         6
    """
    values, metric, loss = blocks(results, metric)
    ranks = ranks_of(values, loss)
    table = pd.DataFrame(
        {
            "estimator": values.columns,
            "metric": metric,
            "mean_rank": ranks.mean(axis=0),
            "wins": (ranks == ranks.min(axis=1, keepdims=True)).sum(axis=0),
            "mean": values.mean().to_numpy(),
            "n_blocks": len(values),
        }
    )
    return table.sort_values("mean_rank", kind="stable", ignore_index=True)


@dataclass(frozen=True, eq=False)
class CriticalDifference:
    """Mean ranks of estimators, and which of them differ by more than chance.

    Parameters
    ----------
    metric : str
    ranks : Series of float
        Mean ranks by estimator, the best one first.
    n_blocks : int
    alpha : float
    statistic, p : float
        F of Iman and Davenport, and its p: whether there is any difference.
    difference : float
        Of mean ranks, from which on two estimators differ (Nemenyi).
    p_values : DataFrame
        Those of all pairs, by estimator in the order of ``ranks``.
    groups : list of list of str
        Longest runs of estimators, of which none differs from another.

    See Also
    --------
    critical_difference : Finds it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
    >>> from sklstruct.studies import critical_difference, limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB(), "signs": BernoulliNB()}
    >>> found = critical_difference(limited_data(models, X, y, sizes=[20], n_draws=8), "accuracy")
    >>> found.n_blocks, found.p < 0.001, found.ranks.round(2).to_dict()
    (8, True, {'gauss': 1.0, 'counts': 2.0, 'signs': 3.0})
    """

    metric: str
    ranks: pd.Series[float]
    n_blocks: int
    alpha: float
    statistic: float
    p: float
    difference: float
    p_values: pd.DataFrame
    groups: list[list[str]]


def critical_difference(
    results: Results | Mapping[str, Results], metric: str | None = None, *, alpha: float = 0.05
) -> CriticalDifference:
    r"""Test whether estimators differ in their ranks over blocks, and which of them do.

    With mean ranks :math:`R_j` of k estimators over N blocks, Friedman's :math:`\chi^2`, which
    takes ties into account, gives

    .. math:: F = \frac{(N - 1) \chi^2}{N (k - 1) - \chi^2}

    with k - 1 and (k - 1)(N - 1) degrees of freedom (Iman and Davenport).  Two estimators differ
    if their mean ranks do by at least

    .. math:: \mathrm{CD} = q_\alpha \sqrt{\frac{k (k + 1)}{12 N}}

    with the quantile :math:`q_\alpha` of the studentized range of k (Nemenyi).  Both hold for
    blocks that are independent, as several data sets are.  Repeats of one study share samples: with
    them, the test says more than it knows, and ``compare`` is what to go by.

    Parameters
    ----------
    results : Results, or dict of Results
        One study, whose blocks are its repeats, or several by the names of their data.
    metric : str, default=None
        A metric of the task; None is its main one.
    alpha : float, default=0.05
        Level of both tests.

    Returns
    -------
    found : CriticalDifference

    Raises
    ------
    ValueError
        As ``rank_table`` does, or if there are fewer than 3 estimators or 2 blocks.

    See Also
    --------
    rank_table : The ranks alone.
    compare : Two at a time.

    References
    ----------
    J. Demsar. Statistical comparisons of classifiers over multiple data sets. Journal of Machine
    Learning Research, 2006.
    R. L. Iman and J. M. Davenport. Approximations of the critical region of the Friedman
    statistic. Communications in Statistics, 1980.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
    >>> from sklstruct.studies import critical_difference, limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB(), "signs": BernoulliNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> found = critical_difference(results, "accuracy")
    >>> round(found.difference, 2), found.groups
    (1.35, [['gauss', 'counts'], ['counts', 'signs']])
    """
    check_scalar(alpha, "alpha", Real, min_val=0, max_val=1, include_boundaries="neither")
    values, metric, loss = blocks(results, metric)
    n, k = values.shape
    if k < 3 or n < 2:
        raise ValueError(f"There must be 3 estimators and 2 blocks at least, got {k} and {n}.")
    ranks = ranks_of(values, loss)
    means = pd.Series(ranks.mean(axis=0), values.columns).sort_values(kind="stable")
    statistic, p = friedman(ranks)
    unit = np.sqrt(k * (k + 1) / (12 * n))  # of a range
    apart = np.abs(means.to_numpy()[:, None] - means.to_numpy())
    difference = float(studentized_range.ppf(1 - alpha, k, np.inf) * unit)
    p_values = pd.DataFrame(studentized_range.sf(apart / unit, k, np.inf), means.index, means.index)
    return CriticalDifference(
        *(metric, means, n, alpha, statistic, p, difference),
        p_values,
        groups_of(means, difference),
    )


def friedman(ranks: Floats) -> tuple[float, float]:
    """Return F of Iman and Davenport for ranks (n_blocks, n_estimators), and its p."""
    n, k = ranks.shape
    mean = (k + 1) / 2
    between = n * np.square(ranks.mean(axis=0) - mean).sum()
    # Where all blocks rank alike nothing varies, and where all are tied there is no order.
    chi2 = float(ratio((k - 1) * n * between, np.square(ranks - mean).sum()))
    rest = n * (k - 1) - chi2
    if np.isnan(chi2):
        return np.nan, 1.0
    if rest <= 1e-9 * chi2:
        return np.inf, factorial(k) ** (1 - n)
    statistic = (n - 1) * chi2 / rest
    return statistic, float(fisher.sf(statistic, k - 1, (k - 1) * (n - 1)))


def groups_of(means: pd.Series[float], difference: float) -> list[list[str]]:
    """Return the longest runs of estimators of which none differs from another."""
    labels, ends, found = list(means.index), means.to_numpy(), []
    last = 0
    for start in range(len(labels)):
        end = int(np.flatnonzero(ends - ends[start] < difference)[-1]) + 1
        if end > max(last, start + 1):
            found.append(labels[start:end])
        last = max(last, end)
    return found


def ranks_of(values: pd.DataFrame, loss: bool) -> Floats:
    """Return ranks within blocks, 1 for the best estimator, (n_blocks, n_estimators)."""
    size = values.abs().to_numpy().max()
    same = (values / size if size > 0 else values).round(TIE)  # but for rounding
    return same.rank(axis=1, ascending=loss).to_numpy(np.float64)


def blocks(
    results: Results | Mapping[str, Results], metric: str | None
) -> tuple[pd.DataFrame, str, bool]:
    """Return a metric by block and estimator, its name, and whether less is better."""
    several = results if isinstance(results, Mapping) else {"": results}
    tasks = {name: task_in(one) for name, one in several.items()}
    if len({type(task) for task in tasks.values()}) > 1:
        kinds = ", ".join(f"{name!r} of {task.name}" for name, task in tasks.items())
        raise ValueError(f"All studies must have one task, got {kinds}.")
    task = next(iter(tasks.values()))
    metric = task.main if metric is None else metric
    check_metric(metric, task)
    tables = []
    for name, one in several.items():
        check_some(one)
        by = one.condition_columns if isinstance(results, Mapping) else one.key_columns
        block = [str((name, *row)) for row in one[by].itertuples(index=False, name=None)]
        tables.append(one.fits[["estimator", metric]].assign(block=block))
    values = pd.concat(tables).pivot_table(
        index="block", columns="estimator", values=metric, aggfunc="mean", sort=False
    )
    labels = dict.fromkeys(label for one in several.values() for label in one.estimators)
    values = values.reindex(columns=[*labels]).dropna()
    if values.empty:
        raise ValueError(f"There must be a block in which every estimator has {metric}, got none.")
    return values, metric, task.measures[metric].loss
