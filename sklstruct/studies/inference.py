"""What the predictions of a cohort study say: intervals and comparisons of estimators."""

from __future__ import annotations

from itertools import product
from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_scalar

from .cohort_study import CohortResults
from .intervals import LEAST, interval
from .metrics import (
    MEASURES,
    Floats,
    Key,
    Measure,
    Outcome,
    estimators_of,
    mean_of_defined,
    measure_of,
    ones,
    outcomes,
)
from .summary import check_confidence, resampled_t_test

SUMMARY = ["estimator", "metric", "mean", "low", "high", "std", "n_repeats"]
COMPARISON = [
    *("estimator", "baseline", "metric", "n_repeats", "difference", "low", "high", "t"),
    *("p_corrected", "p_permutation", "p_corrected_holm", "p_permutation_holm"),
]
TIE = 1e-12  # differences that rounding may have made


def summarise_cohort(
    results: CohortResults,
    *,
    confidence: float = 0.95,
    n_bootstrap: int = 2000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Return the mean of every metric over the repeats, with intervals over the subjects.

    An interval covers what comes from the choice of the subjects that were tested, for the models
    as they were fitted; it does not cover what another training cohort would have changed.  A
    subject counts once, whatever the number of its scans and repeats.  Intervals of recalls are
    exact (Clopper and Pearson); those of accuracies add them up (Zou and Donner); those of the AUC
    are Newcombe's; those of losses take their deviation from resampled cohorts, where subjects are
    drawn with replacement within their classes.  Where they say 95 %, those of recalls, accuracies
    and the AUC covered at least 92 % in simulations from 5 and 40 subjects to 100 and 100, those of
    losses 95 % in the mean and 87 % at least.  With fewer than 5 tested subjects of a class
    there is none but that of recalls, which is as wide as it must be.

    Parameters
    ----------
    results : CohortResults
    confidence : float, default=0.95
        Of the intervals, between 0 and 1.
    n_bootstrap : int, default=2000
        Number of resampled cohorts for the losses, the same for all estimators.
    random_state : int, default=0

    Returns
    -------
    summary : DataFrame
        One row for each estimator and metric of ``score_fits``, with the columns estimator,
        metric, mean, low, high (nan where there is no interval), std (over the repeats, nan for
        a single one) and n_repeats (those in which the metric is defined; others do not count).

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the results are not sound.

    See Also
    --------
    compare : Differences from a baseline.
    format_cohort_summary : The same as text.

    References
    ----------
    C. J. Clopper and E. S. Pearson. The use of confidence or fiducial limits illustrated in the
    case of the binomial. Biometrika, 1934.
    G. Y. Zou and A. Donner. Construction of confidence limits about effect measures: a general
    approach. Statistics in Medicine, 2008.
    R. G. Newcombe. Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2: asymptotic methods and evaluation. Statistics in Medicine, 2006.
    C. A. Field and A. H. Welsh. Bootstrapping clustered data. JRSS B, 2007.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import cohort_study, summarise_cohort
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> summarise_cohort(results)[["estimator", "metric", "mean", "low", "high"]].round(2).head(2)
      estimator             metric  mean   low  high
    0     bayes  balanced_accuracy  0.94  0.90  0.96
    1     bayes                auc  0.98  0.96  0.99
    """
    check_confidence(confidence)
    check_scalar(n_bootstrap, "n_bootstrap", Integral, min_val=1)
    tests = outcomes(results)
    # The same resampled cohorts for all: intervals of two estimators differ by what they predict.
    draws = resampled_subjects(strata_of(tests), n_bootstrap, np.random.default_rng(random_state))
    rows = []
    for estimator, (metric, measure) in product(estimators_of(results), MEASURES.items()):
        mine = [outcome for (label, _), outcome in tests.items() if label == estimator]
        repeats = pd.Series([measure(outcome, ones(outcome))[0] for outcome in mine])
        low, high = interval(metric, mine, repeats.mean(), confidence, draws)
        spread, count = repeats.std(), int(repeats.count())
        rows.append([estimator, metric, repeats.mean(), low, high, spread, count])
    return pd.DataFrame(rows, columns=SUMMARY)


def too_small(results: CohortResults) -> dict[str, int]:
    """Return how many subjects were tested of the classes that have too few for intervals."""
    tested = results.predictions.groupby("label")["subject"].nunique()
    return {str(label): int(count) for label, count in tested.items() if count < LEAST}


def resampled_subjects(
    strata: NDArray[np.intp], n_bootstrap: int, rng: np.random.Generator
) -> Floats:
    """Return how often each subject is in each resampled cohort, (n_bootstrap, n_subjects)."""
    draws = np.empty((n_bootstrap, len(strata)))
    # Within classes, as hold-outs are stratified: a cohort without patients is no other cohort.
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        even = np.full(len(members), 1 / len(members))
        draws[:, members] = rng.multinomial(len(members), even, size=n_bootstrap)
    return draws


def strata_of(tests: dict[Key, Outcome]) -> NDArray[np.intp]:
    """Return the most frequent class of the tested scans of each subject."""
    subjects = np.concatenate([outcome.subject for outcome in tests.values()])
    counts = np.zeros((subjects.max() + 1, next(iter(tests.values())).is_class.shape[1]))
    np.add.at(counts, subjects, np.concatenate([outcome.is_class for outcome in tests.values()]))
    return counts.argmax(axis=1)


# Comparisons ---------------------------------------------------------------------------------


def compare(
    results: CohortResults,
    baseline: str | None = None,
    metric: str = "balanced_accuracy",
    *,
    confidence: float = 0.95,
    n_permutations: int = 5000,
    random_state: int = 0,
) -> pd.DataFrame:
    r"""Compare every estimator with a baseline on the repeats that both have.

    ``p_corrected`` and the interval are those of the corrected resampled t-test: the standard
    error of the mean difference over J repeats is
    :math:`s \sqrt{1/J + n_\mathrm{test} / n_\mathrm{train}}`, with numbers of subjects.  It asks
    whether the difference would last with other training and test subjects of the same number.

    ``p_permutation`` is the share of exchanges that give at least as large an absolute
    difference: for each subject the predictions of the two methods change their owners or not,
    in all repeats together (scores as ranks within a repeat, which methods of any kind have in
    common).  It asks whether these fitted models differ on such subjects.  Where there are no
    more than ``n_permutations`` exchanges, all of them are taken and p is exact.

    Parameters
    ----------
    results : CohortResults
    baseline : str, default=None
        Label of the estimator to compare with; None is the first one, whatever came out.
    metric : str, default="balanced_accuracy"
        One of ``score_fits``.
    confidence : float, default=0.95
        Of the interval, between 0 and 1.
    n_permutations : int, default=5000
    random_state : int, default=0

    Returns
    -------
    comparisons : DataFrame
        One row for each other estimator, with the columns estimator, baseline, metric,
        n_repeats, difference (estimator minus baseline), low, high, t, p_corrected,
        p_permutation, and both p adjusted for the number of estimators by Holm's method as
        p_corrected_holm and p_permutation_holm.  A single repeat has no t-test, nor have
        differences that are all the same: their values are nan.

    Raises
    ------
    ValueError
        If a parameter is out of its range, the results are not sound, or two estimators were
        not tested on the same scans.

    See Also
    --------
    paired_differences : The same for learning curves.

    References
    ----------
    C. Nadeau and Y. Bengio. Inference for the generalization error. Machine Learning, 2003.
    E. S. Venkatraman and C. B. Begg. A distribution-free procedure for comparing receiver
    operating characteristic curves from a paired experiment. Biometrika, 1996.
    S. Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statist., 1979.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import cohort_study, compare
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> compare(results, baseline="counts")[["estimator", "difference", "low", "high"]].round(2)
      estimator  difference   low  high
    0     gauss        0.03 -0.07  0.14
    """
    check_confidence(confidence)
    check_scalar(n_permutations, "n_permutations", Integral, min_val=1)
    tests, measure = outcomes(results), measure_of(metric)
    # Subjects, not scans: scans of one subject are no further evidence.
    of_repeat = results.fits.drop_duplicates("repeat").set_index("repeat")
    ratios = of_repeat["n_test_subjects"] / of_repeat["n_train_subjects"]
    baseline = baseline_of(results, baseline)
    rows = []
    for estimator in estimators_of(results):
        pairs = paired(tests, estimator, baseline)
        if estimator == baseline or not pairs:
            continue
        rng = np.random.default_rng(random_state)  # the same exchanges in every comparison
        rows.append(
            {
                "estimator": estimator,
                "baseline": baseline,
                "metric": metric,
                **corrected_test(pairs, measure, ratios, confidence),
                "p_permutation": exchange_test(pairs, measure, n_permutations, rng),
            }
        )
    table = pd.DataFrame(rows, columns=COMPARISON)
    for name in ("p_corrected", "p_permutation"):
        table[f"{name}_holm"] = holm(table[name].to_numpy(np.float64))
    return table


def baseline_of(results: CohortResults, baseline: str | None = None) -> str:
    """Return the label of the baseline: what is asked for, or the first estimator."""
    labels = estimators_of(results)
    if baseline is None:
        return labels[0]
    if baseline not in labels:
        known = ", ".join(map(repr, labels))
        raise ValueError(f"baseline must be one of the estimators {known}, got {baseline!r}.")
    return baseline


Pairs = dict[int, tuple[Outcome, Outcome]]  # by repeat


def paired(tests: dict[Key, Outcome], estimator: str, baseline: str) -> Pairs:
    """Return what both were tested on, by repeat, or raise a ValueError if it is not the same."""
    pairs = {}
    for (label, repeat), mine in tests.items():
        other = tests.get((baseline, repeat))
        if label != estimator or other is None:
            continue
        if not np.array_equal(mine.scan, other.scan):
            raise ValueError(
                f"Estimators must be tested on the same scans, but {estimator!r} and {baseline!r} "
                f"were not in repeat {repeat}."
            )
        pairs[repeat] = mine, other
    return pairs


def corrected_test(
    pairs: Pairs, measure: Measure, ratios: pd.Series[float], confidence: float
) -> dict[str, float]:
    """Return the corrected resampled t-test of the differences of the repeats."""
    found = {
        repeat: measure(mine, ones(mine))[0] - measure(other, ones(other))[0]
        for repeat, (mine, other) in pairs.items()
    }
    differences = pd.Series(found, dtype=float).dropna()
    mean, count = differences.mean(), len(differences)
    share = ratios[differences.index].mean()
    test = resampled_t_test(mean, differences.std(), count, share, confidence)
    named = {"low": test.low, "high": test.high, "t": test.t, "p_corrected": test.p}
    return {"n_repeats": count, "difference": mean, **{k: float(v) for k, v in named.items()}}


def exchange_test(
    pairs: Pairs, measure: Measure, n_permutations: int, rng: np.random.Generator
) -> float:
    """Return the share of exchanges between two methods that differ at least as much."""
    subjects, places = np.unique(
        np.concatenate([mine.subject for mine, _ in pairs.values()]), return_inverse=True
    )
    # A subject is exchanged in all repeats or in none: its predictions belong together.
    swaps = exchanges(len(subjects), n_permutations, rng)
    ends = np.cumsum([len(mine.subject) for mine, _ in pairs.values()])[:-1]
    differences = []
    for (mine, other), at in zip(pairs.values(), np.split(places, ends), strict=True):
        # Both own shares of the same 2 n predictions, so that an exchange is a weighting.
        both = Outcome(*(np.concatenate(pair) for pair in zip(mine, other, strict=True)))
        kept = np.hstack([1 - swaps[:, at], swaps[:, at]])
        differences.append(measure(both, kept) - measure(both, 1 - kept))
    size = np.abs(mean_of_defined(np.stack(differences), axis=0))
    return float(np.mean(size >= size[0] - TIE)) if np.isfinite(size[0]) else np.nan


def exchanges(n_subjects: int, n_permutations: int, rng: np.random.Generator) -> Floats:
    """Return who is exchanged, (n, n_subjects), at first nobody; all cases if they are few."""
    if 2**n_subjects <= n_permutations:
        cases = np.arange(2**n_subjects)
        return ((cases[:, None] >> np.arange(n_subjects)) & 1).astype(np.float64)
    swaps = rng.integers(0, 2, size=(1 + n_permutations, n_subjects)).astype(np.float64)
    swaps[0] = 0  # what was observed is one of the exchanges, so that p is never zero
    return swaps


def holm(p: Floats) -> Floats:
    """Return p-values adjusted by Holm's method; nan does not count as a test."""
    order = np.argsort(p, kind="stable")  # nan comes last
    left = np.count_nonzero(~np.isnan(p)) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * left), 1)
    return adjusted
