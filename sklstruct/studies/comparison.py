"""Several studies side by side: the same estimators on other data, or other runs on the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from .designs import DESIGNS
from .inference import compare, holm, summarise
from .ranks import CriticalDifference, critical_difference, rank_table
from .results import Results
from .text import (
    ABSENT,
    RENDERED,
    Block,
    Table,
    check_format,
    difference_with_p,
    main_metric,
    with_interval,
    with_unit,
    without_tests,
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What several studies say about the same estimators.

    Parameters
    ----------
    studies : dict of Results
        By their names.
    metric : str
    means : DataFrame
        One row for each study and row of ``summarise``, with the column study in front.
    differences : DataFrame
        Of studies with the same data and splits: what ``compare`` returns for every estimator
        that a later study shares with the first one, with the columns study and first in place of
        baseline; p-values are adjusted for the number of estimators.  Empty otherwise.
    ranks : DataFrame
        Of studies with different data: what ``rank_table`` returns for the estimators that are in
        all of them.  Empty otherwise.
    critical : CriticalDifference or None
        Of the same, from three estimators and two data sets on.

    See Also
    --------
    compare_studies : Makes it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import KFold, Study, compare_studies
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> before, after = (
    ...     Study(KFold(n_splits=3), {"bayes": GaussianNB(var_smoothing=v)}).run(X, y)
    ...     for v in (1e-9, 1e-12)
    ... )
    >>> found = compare_studies(before, after, names=["before", "after"])
    >>> found.differences[["study", "estimator", "first", "difference"]].round(3)
       study estimator   first  difference
    0  after     bayes  before      -0.007
    """

    studies: dict[str, Results]
    metric: str
    means: pd.DataFrame
    differences: pd.DataFrame
    ranks: pd.DataFrame
    critical: CriticalDifference | None

    def to_text(self, format: str = "text") -> str:
        """Return one table, a column for each study.

        Parameters
        ----------
        format : {"text", "markdown", "latex"}, default="text"

        Returns
        -------
        text : str
            Means with intervals, and mean ranks over data sets, or differences from the first
            study with p after Holm's adjustment.
        """
        check_format(format)
        return RENDERED[format](comparison_block(self))


def compare_studies(
    *results: Results, names: Sequence[str] | None = None, metric: str | None = None
) -> Comparison:
    """Compare what several studies say about the same estimators.

    Studies of the same data with the same splits are compared estimator by estimator, pair by
    pair of fits.  Studies of different data rank the estimators that all of them have.

    Parameters
    ----------
    *results : Results
        Two or more, of one task.
    names : sequence of str, default=None
        What to call the studies; None is what their data are called.
    metric : str, default=None
        None is the main metric of the first study.

    Returns
    -------
    comparison : Comparison

    Raises
    ------
    ValueError
        If there are fewer than two studies, they are of several tasks, or no estimator is in two
        of them.

    See Also
    --------
    rank_table, critical_difference : The ranks alone.
    sklstruct.inspection.write_comparison : The same as a page.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer, load_wine
    >>> from sklearn.naive_bayes import BernoulliNB, GaussianNB
    >>> from sklstruct.studies import KFold, Study, compare_studies
    >>> models = {"gauss": GaussianNB(), "signs": BernoulliNB()}
    >>> studies = [
    ...     Study(KFold(n_splits=3), models, name=load.__name__[5:]).run(*load(return_X_y=True))
    ...     for load in (load_breast_cancer, load_wine)
    ... ]
    >>> print(compare_studies(*studies).to_text())
    balanced accuracy (%), mean [95 % interval]
               breast_cancer               wine  mean rank
    gauss  92.8 [90.0, 94.9]  97.5 [93.0, 99.0]       1.00
    signs  50.0 [50.0, 50.0]  33.3 [33.3, 33.3]       2.00
    """
    if len(results) < 2:
        raise ValueError(f"There must be two studies at least, got {len(results)}.")
    if len({one.task for one in results}) > 1:
        raise ValueError(f"All studies must have one task, got {[one.task for one in results]}.")
    studies = dict(zip(distinct(results, names), results, strict=True))
    metric = main_metric(results[0]) if metric is None else metric
    labels = [label for one in results for label in one.estimators]
    if len({*labels}) == len(labels):
        raise ValueError(
            "Studies must have an estimator in common, but no label is in two of them."
        )
    means = pd.concat(
        [summarise(one, metric).assign(study=name) for name, one in studies.items()],
        ignore_index=True,
    )
    means.insert(0, "study", means.pop("study"))
    none = pd.DataFrame(columns=["estimator", "mean_rank"])
    if len({splits_of(one) for one in results}) == 1:
        return Comparison(studies, metric, means, differences(studies, metric), none, None)
    ranks, critical = none, None
    common = [label for label in results[0].estimators if labels.count(label) == len(results)]
    if len({data_of(one) for one in results}) == len(results) and len(common) > 1:
        shared = {name: only(one, common) for name, one in studies.items()}
        ranks = rank_table(shared, metric)
        critical = critical_difference(shared, metric) if len(common) > 2 else None
    empty = pd.DataFrame(columns=["study", *results[0].condition_columns, "estimator", "first"])
    return Comparison(studies, metric, means, empty, ranks, critical)


def distinct(results: Sequence[Results], names: Sequence[str] | None) -> list[str]:
    """Return a name for each study, none twice."""
    if names is None:
        names = [one.description.get("name") or one.target for one in results]
    if len(names) != len(results):
        raise ValueError(f"names must be {len(results)}, one a study, got {list(names)}.")
    if len({*names}) == len(names):
        return [*names]
    return [f"{name} ({place})" for place, name in enumerate(names, start=1)]


def data_of(results: Results) -> str:
    """Return what tells the data of a study from others."""
    return str(results.description["data"]["sha256"])


def splits_of(results: Results) -> str:
    """Return what tells the splits of a study from others, whatever its extent."""
    design = results.description["design"]
    extent = DESIGNS[design["kind"]].extent
    fields = {name: value for name, value in sorted(design.items()) if name not in extent}
    return repr([data_of(results), fields, results.description["random_state"]])


def only(results: Results, labels: Sequence[str], names: Sequence[str] | None = None) -> Results:
    """Return the results of some estimators, perhaps under other names."""
    new = dict(zip(labels, labels if names is None else names, strict=True))
    tables = [
        table[table["estimator"].isin(labels)].assign(estimator=lambda t: t["estimator"].map(new))
        for table in (results.fits, results.predictions)
    ]
    fits, predictions = (table.reset_index(drop=True) for table in tables)
    return Results(fits, predictions, results.description)


def differences(studies: Mapping[str, Results], metric: str) -> pd.DataFrame:
    """Return how every estimator differs between later studies and the first one."""
    (first, reference), *others = studies.items()
    tables = []
    for name, one in others:
        for label in one.estimators:
            if label not in reference.estimators:
                continue
            parts = [only(r, [label], [n]) for n, r in ((first, reference), (name, one))]
            both = Results(
                pd.concat([part.fits for part in parts], ignore_index=True),
                pd.concat([part.predictions for part in parts], ignore_index=True),
                one.description,
            )
            found = compare(both, first, metric)
            tables.append(found.assign(study=name, estimator=label))
    found = pd.concat(tables, ignore_index=True).rename(columns={"baseline": "first"})
    front = ["study", *reference.condition_columns]
    for name in ("p_t", "p_exchange"):
        of_study = found.groupby(front)[name]
        found[f"{name}_holm"] = of_study.transform(lambda p: holm(p.to_numpy(float)))
    return found[[*front, *(column for column in found if column not in front)]]


def comparison_block(comparison: Comparison) -> Block:
    """Return the table of a comparison."""
    metric, (first, *others) = comparison.metric, comparison.studies
    key = ["estimator", *comparison.studies[first].condition_columns]
    means, paired = (
        {tuple(row[name] for name in ["study", *key]): row for row in table.to_dict("records")}
        for table in (comparison.means, comparison.differences)
    )
    ranks = comparison.ranks.set_index("estimator")["mean_rank"].to_dict()
    rows = []
    for place in dict.fromkeys(place[1:] for place in means):
        cells = [means.get((name, *place)) for name in (first, *others)]
        rows.append([*map(str, place), *(with_interval(cell, "mean", metric) for cell in cells)])
        if ranks:
            rows[-1].append(f"{ranks[place[0]]:.2f}" if place[0] in ranks else ABSENT)
        if paired:
            rows[-1] += [difference_with_p(paired.get((name, *place)), metric) for name in others]
    head = ["", *key[1:], first, *others, *["mean rank"] * bool(ranks)]
    head += [f"{name} minus {first}, p (Holm)" for name in others] * bool(paired)
    known = comparison.differences.rename(columns={"first": "baseline"})
    notes = without_tests(comparison.studies[first], known) if paired else []
    return Block([f"{with_unit(metric)}, mean [95 % interval]"], Table(head, rows), notes)
