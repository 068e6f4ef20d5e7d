"""What the report of a cohort study is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import pandas as pd

from ..studies.cohort_study import CohortResults
from ..studies.curves import calibration
from ..studies.inference import baseline_of, compare, summarise_cohort
from ..studies.metrics import estimators_of, score_fits

COMPARED = ("balanced_accuracy", "auc")  # fixed before, not those that come out well


@dataclass(frozen=True, eq=False)
class Findings:
    """What a report is about.

    Parameters
    ----------
    results : CohortResults
    baseline : str
    scores, summary, comparisons, bins : DataFrame
        From ``score_fits``, ``summarise_cohort``, ``compare`` and ``calibration``.
    """

    results: CohortResults
    baseline: str
    scores: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    bins: pd.DataFrame

    @classmethod
    def of(cls, results: CohortResults, baseline: str | None) -> Self:
        """Compute everything that a report says."""
        comparisons = [compare(results, baseline, metric) for metric in COMPARED]
        return cls(
            results,
            baseline_of(results, baseline),
            score_fits(results),
            summarise_cohort(results),
            pd.concat(comparisons, ignore_index=True),
            calibration(results),
        )

    @property
    def estimators(self) -> list[str]:
        """Labels of the estimators."""
        return estimators_of(self.results)

    @property
    def n_repeats(self) -> int:
        """Number of hold-outs."""
        return self.results.fits["repeat"].nunique()
