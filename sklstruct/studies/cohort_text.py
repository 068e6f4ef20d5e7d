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
