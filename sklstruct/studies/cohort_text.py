"""The results of a cohort study as text for people."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from ..io.cohort import counted
from ..io.scans import in_words
from .cohort_study import CohortResults
from .inference import baseline_of, compare, summarise_cohort, too_small
from .intervals import LEAST
from .metrics import estimators_of
from .summary import ABSENT, SHARES, aligned

NAMES = {"auc": "AUC", "brier": "Brier score"}  # others are named by their columns


def format_cohort_summary(results: CohortResults, baseline: str | None = None) -> str:
    """Return means with intervals of all metrics, and the differences from a baseline.

    Parameters
    ----------
    results : CohortResults
    baseline : str, default=None
        Label of the estimator to compare with; None is the first one.

    Returns
    -------
    text : str
        A table with a line for each metric and a column for each estimator (percent, but for
        AUC, Brier score and log loss), and one of the differences in balanced accuracy.

    Raises
    ------
    ValueError
        If there is no such baseline, or the results are not sound.

    See Also
    --------
    summarise_cohort, compare : The same as tables of numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import cohort_study, format_cohort_summary
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> print(format_cohort_summary(results, baseline="counts"))
    label: tested on 331 scans of 331 subjects in 3 hold-outs.
    Mean over the hold-outs [95 % interval over the tested subjects]; 1 is positive.
    <BLANKLINE>
                                      gauss                counts
    balanced accuracy     93.7 [90.1, 96.1]     90.3 [86.1, 93.5]
    AUC                0.984 [0.962, 0.993]  0.957 [0.927, 0.975]
    sensitivity           94.4 [90.3, 97.1]     97.0 [93.7, 98.9]
    specificity           93.1 [87.0, 96.9]     83.6 [75.9, 89.7]
    accuracy              93.9 [90.5, 96.1]     92.0 [88.4, 94.6]
    Brier score        0.059 [0.036, 0.099]  0.077 [0.053, 0.113]
    log loss           0.957 [0.470, 1.948]  1.150 [0.717, 1.844]
    <BLANKLINE>
    Difference in balanced accuracy from counts, and p (Holm):
                   difference  corrected t-test  exchange test
    gauss  +3.4 [−7.1, +13.9]              0.30           0.11
    """
    summary = summarise_cohort(results).set_index(["metric", "estimator"])
    labels = estimators_of(results)
    # Sensitivity of three classes, log loss of machines without probabilities: no row of dashes.
    known = summary["mean"].groupby(level="metric", sort=False).count()
    rows = [["", *labels]]
    for metric in known.index[known > 0]:
        cells = [with_interval(summary.loc[(metric, label)], "mean", metric) for label in labels]
        rows.append([name_of(metric), *cells])
    positive = f"; {results.classes[-1]} is positive" if len(results.classes) == 2 else ""
    small = f"\n{without_intervals(results)}" if too_small(results) else ""
    parts = [
        f"{results.target}: tested on {extent(results)}.\n"
        f"Mean over the hold-outs [95 % interval over the tested subjects]{positive}.{small}",
        aligned(rows),
    ]
    comparisons = compare(results, baseline)
    if len(comparisons):
        reference = baseline_of(results, baseline)
        head = f"Difference in balanced accuracy from {reference}, and p (Holm):"
        rows = [["", "difference", "corrected t-test", "exchange test"]]
        for row in comparisons.to_dict("records"):
            p_values = [p_value(row[f"{name}_holm"]) for name in ("p_corrected", "p_permutation")]
            difference = with_interval(row, "difference", row["metric"])
            rows.append([row["estimator"], difference, *p_values])
        parts.append("\n".join([head, aligned(rows), *beyond(comparisons)]))
    return "\n\n".join(parts)


def without_intervals(results: CohortResults) -> str:
    """Return why there are no intervals but those of recalls."""
    small = in_words(f"{count} of {label}" for label, count in too_small(results).items())
    return (
        f"Only recalls have intervals: of each class at least {LEAST} subjects must be tested, but "
        f"there were {small}."
    )


def beyond(comparisons: pd.DataFrame) -> list[str]:
    """Return a note if intervals reach beyond what a difference can be."""
    # A t-test of few hold-outs knows nothing of bounds.
    if not (comparisons[["low", "high"]].abs() > 1).any(axis=None):
        return []
    return [
        "Intervals that reach beyond 100 points, or beyond 1 for the AUC, hold what no difference "
        f"can be: {counted(int(comparisons['n_repeats'].min()), 'hold-out')} are too few for this "
        "test to say how much estimators differ."
    ]


def extent(results: CohortResults) -> str:
    """Return on how many scans of how many subjects a study was tested, and how often."""
    scans, subjects = (results.predictions[name].nunique() for name in ("scan", "subject"))
    repeats = results.fits["repeat"].nunique()
    return (
        f"{counted(scans, 'scan')} of {counted(subjects, 'subject')} in "
        f"{counted(repeats, 'hold-out')}"
    )


def name_of(metric: str) -> str:
    """Return the name of a metric as people write it."""
    return NAMES.get(metric, metric.replace("_", " "))


def with_unit(metric: str) -> str:
    """Return the name of a metric, in percent if it is a share."""
    return f"{name_of(metric)} (%)" if metric in SHARES else name_of(metric)


def number(value: float, metric: str, signed: bool = False) -> str:
    """Return percent with one decimal for a share, else three decimals."""
    if np.isnan(value):
        return ABSENT
    scale, decimals = (100, 1) if metric in SHARES else (1, 3)
    shown = round(round(scale * value, 9), decimals) + 0.0  # the same half up, no negative zero
    return f"{shown:{'+' if signed else ''}.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def with_interval(row: Any, name: Hashable, metric: str) -> str:
    """Return "82.3 [78.7, 85.4]" from a row with low and high."""
    signed = name == "difference"
    middle, *ends = (number(row[column], metric, signed) for column in (name, "low", "high"))
    return middle if ends == [ABSENT, ABSENT] else f"{middle} [{ends[0]}, {ends[1]}]"


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, down to 0.001."""
    if np.isnan(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:#.2g}"
