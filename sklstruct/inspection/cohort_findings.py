"""What the report of a cohort study is about."""

from __future__ import annotations

import pandas as pd

from ..studies.cohort_study import CohortResults
from ..studies.curves import calibration
from ..studies.inference import baseline_of, compare, summarise_cohort
from ..studies.metrics import estimators_of, score_fits

COMPARED = ("balanced_accuracy", "auc")  # fixed before, not those that come out well


class Findings:
    """Everything that a report says, computed once.

    Parameters
    ----------
    results : CohortResults
    baseline : str or None
        None is the first estimator.

    Attributes
    ----------
    results, baseline
        As given, or found.
    scores, summary, comparisons, bins : DataFrame
        From ``score_fits``, ``summarise_cohort``, ``compare`` and ``calibration``.
    estimators : list of str
    n_repeats : int
        Number of hold-outs.
    """

    def __init__(self, results: CohortResults, baseline: str | None) -> None:
        self.results, self.baseline = results, baseline_of(results, baseline)
        self.scores, self.summary = score_fits(results), summarise_cohort(results)
        compared = [compare(results, baseline, metric) for metric in COMPARED]
        self.comparisons = pd.concat(compared, ignore_index=True)
        self.bins = calibration(results)
        self.estimators = estimators_of(results)
        self.n_repeats = results.fits["repeat"].nunique()
