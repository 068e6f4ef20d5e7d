"""What the predictions of a study say: intervals and comparisons of estimators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.utils import check_scalar

from .intervals import LEAST, NONE, jackknife_error, left_out
from .metrics import Array, Floats, Limits, Measure, Outcome, mean_of_defined
from .outcomes import Key, check_some, keys, names_of, outcomes
from .tasks import Task, task_in

if TYPE_CHECKING:
    from .results import Results

SUMMARY = ["estimator", "metric", "mean", "low", "high", "std", "n_repeats"]
COMPARISON = [
    *("estimator", "baseline", "metric", "n_repeats", "difference", "low", "high", "test"),
    *("t", "p_t", "p_exchange", "p_t_holm", "p_exchange_holm"),
]
TIE = 1e-12  # relative; differences that rounding may have made
ROUNDING = 1e-12  # relative; what is less is no deviation
AT_ONCE = 1 << 22  # weights of exchanges
MOST_EXCHANGED = 500  # parts of the subjects; with more subjects, several go together


# Means ---------------------------------------------------------------------------------------


def summarise(
    results: Results, metric: str | Sequence[str] | None = None, *, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the mean of every metric over the repeats, with intervals over the subjects.

    An interval covers what comes from the choice of the subjects that were tested, for the models
    as they were fitted.  A subject counts once, whatever the number of its samples and repeats.
    Where training sets are drawn anew each time, as in ``Draws``, it covers what comes from these
    draws too: both reaches are added by their squares, that over draws being Student's.  Hold-outs
    and folds, which share training samples, do not tell what another training cohort would have
    changed, and their intervals do not cover it.

    Intervals of recalls are exact (Clopper and Pearson); those of accuracies add them up (Zou and
    Donner); those of the AUC are Newcombe's; those of shares of places Korn and Graubard's; those
    of rank correlations Bonett and Wright's; those of losses and of R2 are Student's on a scale of
    logarithms, with deviations from subjects that are left out.  Where they say 95 %, simulations
    found that those of recalls, accuracies, the AUC and rank correlations cover at least 92 %;
    those of R2 91 %, of errors of values and of shares of places 90 %, each in the worst of their
    designs; losses of classes 95 % in the mean and 86 % at least; and any over draws 91 %, from 3
    draws on.  Few draws do not tell what happens seldom: of a rule that now and then comes out
    inverted, intervals of the AUC over 3 draws covered 62 %, over 10 draws 92 %.

    With fewer than 5 tested subjects (of a class) there is none but that of recalls, which is as
    wide as it must be; nor with fewer than 10 for errors and R2, which needs as many in each
    hold-out.

    Parameters
    ----------
    results : Results
    metric : str or list of str, default=None
        Metrics of the task, or other columns of numbers, which have no intervals; None is all
        metrics.
    confidence : float, default=0.95
        Of the intervals, between 0 and 1.

    Returns
    -------
    summary : DataFrame
        One row for each condition (such as a size), estimator and metric, with columns for the
        condition, estimator, metric, mean, low, high (nan where there is no interval), std (over
        the repeats, with n - 1 in the denominator; nan for a single one) and n_repeats (those in
        which the metric is defined; others do not count).

    Raises
    ------
    ValueError
        If a parameter is out of its range, or the results are not sound.

    See Also
    --------
    compare : Differences between estimators.
    format_summary : The same as text.

    References
    ----------
    C. J. Clopper and E. S. Pearson. The use of confidence or fiducial limits illustrated in the
    case of the binomial. Biometrika, 1934.
    G. Y. Zou and A. Donner. Construction of confidence limits about effect measures: a general
    approach. Statistics in Medicine, 2008.
    R. G. Newcombe. Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic. Part 2: asymptotic methods and evaluation. Statistics in Medicine, 2006.
    E. L. Korn and B. I. Graubard. Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data. Survey Methodology, 1998.
    D. G. Bonett and T. A. Wright. Sample size requirements for estimating Pearson, Kendall and
    Spearman correlations. Psychometrika, 2000.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import cohort_study, summarise
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> summarise(results)[["estimator", "metric", "mean", "low", "high"]].round(2).head(2)
      estimator             metric  mean   low  high
    0     bayes  balanced_accuracy  0.94  0.90  0.96
    1     bayes                auc  0.98  0.96  0.99
    """
    check_confidence(confidence)
    check_some(results)
    task, rows = task_in(results), []
    metrics = [metric] if isinstance(metric, str) else list(metric or task.measures)
    for name in metrics:
        check_metric(name, task, results)
    for condition, part in results.parts():
        tests = outcomes(part) if task.measures.keys() & {*metrics} else {}
        for estimator in part.estimators:
            fits = part.fits[part["estimator"] == estimator]
            for name in metrics:
                values = fits[name].astype(float)
                known = keys(fits[values.notna()], names_of(part))
                mine = [tests[key] for key in known] if name in task.measures else []
                low, high = limits(task, name, mine, values, drawn_anew(part), confidence)
                row = [*condition.values(), estimator, name, values.mean(), low, high]
                rows.append([*row, values.std(), int(values.count())])
    return pd.DataFrame(rows, columns=[*results.condition_columns, *SUMMARY])


def limits(
    task: Task,
    metric: str,
    tests: list[Outcome],
    values: pd.Series[float],
    anew: bool,
    confidence: float,
) -> Limits:
    """Return the interval of the mean of a metric over the fits of one estimator."""
    mean, n = values.mean(), values.count()
    if not tests:
        return NONE
    measure = task.measures[metric]
    low, high = measure.interval(measure, tests, mean, confidence)
    if not anew or n == 1 or np.isnan(low):
        return low, high
    # Training sets and subjects are drawn independently: their variances add up.
    reach = student.ppf((1 + confidence) / 2, n - 1) * values.std() / np.sqrt(n)
    least, most = measure.bounds
    return max(least, mean - np.hypot(mean - low, reach)), min(
        most, mean + np.hypot(high - mean, reach)
    )


def too_small(results: Results) -> dict[str, int]:
    """Return how many subjects were tested of the classes that have too few for intervals."""
    of = results.predictions.groupby("label")["subject"].nunique()
    return {str(label): int(count) for label, count in of.items() if count < LEAST}


def drawn_anew(results: Results) -> bool:
    """Whether training sets are drawn anew each time, so that repeats are independent."""
    return not results.description["design"]["overlapping"]


# Comparisons ---------------------------------------------------------------------------------


def compare(
    results: Results,
    baseline: str | None = None,
    metric: str | None = None,
    *,
    pairs: str = "baseline",
    confidence: float = 0.95,
    n_permutations: int = 5000,
    random_state: int = 0,
) -> pd.DataFrame:
    r"""Compare estimators on the repeats that both have.

    ``p_t`` and the interval are those of a t-test, which ``test`` names:

    - "corrected", where training parts share samples (hold-outs, sites, folds): the standard error
      of the mean difference over J repeats is
      :math:`s \sqrt{1/J + n_\mathrm{test} / n_\mathrm{train}}`, with numbers of subjects;
    - "paired", where they are drawn anew each time: :math:`s / \sqrt J`;
    - "subjects", for a single repeat: the standard error is that of subjects who are left out, one
      at a time, and the test is about these fitted models.

    The first two ask whether the difference would last with other training sets of the same number,
    the second one on the same tested samples.  Where they say 95 %, intervals covered 89 % to 95 %
    (corrected), 95 % to 96 % (paired) and 91 % or more (subjects) in simulations.

    ``p_exchange`` is the share of exchanges that give at least as large an absolute
    difference: for each subject the predictions of the two methods change their owners or not,
    in all repeats together (scores as ranks within a repeat, which methods of any kind have in
    common).  It asks whether these fitted models differ on such subjects.  Where there are no
    more than ``n_permutations`` exchanges, all of them are taken and p is exact; where there are
    more than 500 subjects, several of them are exchanged together.

    Parameters
    ----------
    results : Results
    baseline : str, default=None
        Label of the estimator to compare with; None is that of the study, or else the first one,
        whatever came out.
    metric : str, default=None
        A metric of the task; None is its main one: balanced accuracy, R2, mean IoU or score.
    pairs : {"baseline", "all"}, default="baseline"
        Whether every other estimator is compared with the baseline, or each with all before it.
    confidence : float, default=0.95
        Of the interval, between 0 and 1.
    n_permutations : int, default=5000
        Number of exchanges; 0 leaves the test out.  Of the AUC, whose ranks are found anew in each
        of them, a hundred take 2 s for 10,000 samples of 10 classes in one repeat.
    random_state : int, default=0

    Returns
    -------
    comparisons : DataFrame
        One row for each condition (such as a size) and pair, with columns for the condition,
        estimator, baseline, metric, n_repeats, difference (estimator minus baseline), low, high,
        test, t, p_t, p_exchange, and both p adjusted for the number of pairs of the condition by
        Holm's method as p_t_holm and p_exchange_holm.  Differences that are all the same have no
        t-test: its values are nan.

    Raises
    ------
    ValueError
        If a parameter is out of its range, the results are not sound, or two estimators were
        not tested on the same samples.

    See Also
    --------
    rank_table, critical_difference : Many estimators at once.

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
    check_scalar(n_permutations, "n_permutations", Integral, min_val=0)
    check_some(results)
    if pairs not in ("baseline", "all"):
        raise ValueError(f"pairs must be 'baseline' or 'all', got {pairs!r}.")
    task, rows = task_in(results), []
    metric = task.main if metric is None else metric
    check_metric(metric, task)
    baseline = baseline_of(results, baseline)
    for condition, part in results.parts():
        tests = outcomes(part)
        found = [
            {
                **condition,
                "estimator": one,
                "baseline": other,
                "metric": metric,
                **t_test(part, shared, metric, confidence),
                # The same exchanges in every comparison.
                "p_exchange": exchange_test(
                    shared, task.measures[metric], n_permutations, random_state
                ),
            }
            for one, other in pairs_of(results.estimators, baseline, pairs)
            if (shared := paired(tests, one, other))
        ]
        for name in ("p_t", "p_exchange"):
            adjusted = holm(np.array([row[name] for row in found], dtype=np.float64))
            for row, p in zip(found, adjusted, strict=True):
                row[f"{name}_holm"] = p
        rows += found
    return pd.DataFrame(rows, columns=[*results.condition_columns, *COMPARISON])


def baseline_of(results: Results, baseline: str | None = None) -> str:
    """Return the label of the baseline: what is asked for, that of the study, or the first one."""
    labels = results.estimators
    if baseline is None:
        return named_baseline(results) or labels[0]
    check_baseline(baseline, labels)
    return baseline


def check_baseline(baseline: str, labels: Sequence[str]) -> None:
    """Raise a ValueError unless a baseline is one of the estimators."""
    if baseline not in labels:
        known = ", ".join(map(repr, labels))
        raise ValueError(f"baseline must be one of the estimators {known}, got {baseline!r}.")


def named_baseline(results: Results) -> str | None:
    """Return the label of the baseline that the study names, None without results of it."""
    named = results.description.get("baseline")
    return named if named in results.estimators else None


def pairs_of(labels: list[str], baseline: str, pairs: str) -> list[tuple[str, str]]:
    """Return which estimators are compared, each with what it is compared with."""
    if pairs == "all":
        return [(one, other) for other, one in combinations(labels, 2)]
    return [(label, baseline) for label in labels if label != baseline]


Shared = dict[tuple[Key, Key], tuple[Outcome, Outcome]]  # by the fits that they are of


def paired(tests: dict[Key, Outcome], estimator: str, baseline: str) -> Shared:
    """Return what both were tested on, by repeat, or raise a ValueError if it is not the same."""
    shared = {}
    for key, mine in tests.items():
        label, *repeat = key
        other = tests.get((baseline, *repeat))
        if label != estimator or other is None:
            continue
        if not np.array_equal(mine.sample, other.sample):
            raise ValueError(
                f"Estimators must be tested on the same samples, but {estimator!r} and "
                f"{baseline!r} were not in {', '.join(map(str, repeat))}."
            )
        shared[key, (baseline, *repeat)] = mine, other
    return shared


def t_test(part: Results, shared: Shared, metric: str, confidence: float) -> dict[str, Any]:
    """Return the t-test of the differences between two estimators, and what it is called."""
    names = [metric, "n_test_subjects", "n_train_subjects"]
    rows = dict(zip(keys(part, names_of(part)), keys(part, names), strict=True))
    pairs = [(rows[key], rows[shared_with], tests) for (key, shared_with), tests in shared.items()]
    known = [pair for pair in pairs if not np.isnan(pair[0][0] - pair[1][0])]
    differences = np.array([mine[0] - other[0] for mine, other, _ in known])
    n, mean = len(known), differences.mean() if known else np.nan
    if n == 1:
        measure = task_in(part).measures[metric]
        name, test = "subjects", test_over_subjects(measure, known[0][2], mean, confidence)
    else:
        # Subjects, not samples: samples of one subject are no further evidence.
        ratio = np.mean([tested / trained for (_, tested, trained), *_ in known]) if known else 0.0
        name, ratio = ("paired", 0.0) if drawn_anew(part) else ("corrected", ratio)
        std = differences.std(ddof=1) if known else np.nan
        test = resampled_t_test(mean, std, n, ratio, confidence)
    values = {"low": test.low, "high": test.high, "t": test.t, "p_t": test.p}
    return {"n_repeats": n, "difference": mean, "test": name} | {
        key: float(value) for key, value in values.items()
    }


class TTest(NamedTuple):
    """A t-test of a mean against zero, and the interval of the mean."""

    standard_error: Any
    low: Any
    high: Any
    t: Any
    p: Any


def resampled_t_test(
    mean: Any, std: Any, n: Any, ratio: Any = 0.0, confidence: float = 0.95
) -> TTest:
    r"""Test whether differences over resampled splits have the mean zero.

    The standard error is :math:`s \sqrt{1/J + n_\mathrm{test} / n_\mathrm{train}}`, which takes
    into account that splits of the same data share training samples; the test statistic
    :math:`t = \bar d / \mathrm{se}` is taken for one of Student's distribution with J - 1
    degrees of freedom.

    Parameters
    ----------
    mean, std : float or array-like
        Mean of the J differences, and their standard deviation s with J - 1 in the denominator.
    n : int or array-like
        J, the number of differences.
    ratio : float or array-like, default=0
        Test over training samples; 0 for the paired t-test of independent draws.
    confidence : float, default=0.95
        Of the interval.

    Returns
    -------
    test : TTest
        With the fields standard_error, low, high, t and p (two-sided), of the shape of the
        parameters.  All are nan for a single difference; all but the standard error are nan where
        all differences are the same, because nothing is known then about their distribution.

    References
    ----------
    C. Nadeau and Y. Bengio. Inference for the generalization error. Machine Learning, 2003.
    """
    std, n = np.asarray(std, float), np.asarray(n)
    error = std * np.sqrt(1 / np.maximum(n, 1) + np.asarray(ratio, float))
    return student_test(np.asarray(mean, float), error, n - 1, confidence)


def student_test(mean: Any, error: Any, freedom: Any, confidence: float) -> TTest:
    """Return the t-test of a mean with a standard error and degrees of freedom."""
    # Equal differences are no evidence without end: their spread is not known.
    varies = (error > ROUNDING * np.abs(mean)) & (error > 0)
    reach = student.ppf((1 + confidence) / 2, freedom) * np.where(varies, error, np.nan)
    t = np.divide(mean, error, out=np.full_like(error, np.nan), where=varies)
    return TTest(error, mean - reach, mean + reach, t, 2 * student.sf(np.abs(t), freedom))


def test_over_subjects(
    measure: Measure, pair: tuple[Outcome, Outcome], mean: float, confidence: float
) -> TTest:
    """Return the t-test of one difference, with the deviation of subjects that are left out."""
    without = np.subtract(*(left_out(measure, [outcome]) for outcome in pair))
    n = len(np.unique(pair[0].subject))
    error = jackknife_error(without) if n >= LEAST else np.nan
    return student_test(np.asarray(mean), np.asarray(error), len(without) - 1, confidence)


def exchange_test(
    shared: Shared,
    measure: Measure,
    n_permutations: int,
    random_state: int,
    greater: bool = False,
) -> float:
    """Return the share of exchanges between two methods that differ at least as much.

    With ``greater``, those in which the first one is at least as much better.
    """
    tests = list(shared.values())
    if not n_permutations:
        return np.nan
    subjects, places = np.unique(
        np.concatenate([mine.subject for mine, _ in tests]), return_inverse=True
    )
    # A subject is exchanged in all repeats or in none: its predictions belong together.
    ends = np.cumsum([len(mine.subject) for mine, _ in tests])[:-1]
    n_parts = min(len(subjects), MOST_EXCHANGED)
    ways = [
        (ranks_exchanged if measure.ranks else sums_exchanged)(
            measure, *pair, at % n_parts, n_parts
        )
        for pair, at in zip(tests, np.split(places, ends), strict=True)
    ]
    found, tie, rng = [], None, np.random.default_rng(random_state)
    for swaps in exchanges(n_parts, n_permutations, max(1, AT_ONCE // len(places)), rng):
        values = np.stack([way(swaps) for way in ways])
        differences = mean_of_defined(values[:, 0] - values[:, 1], axis=0)
        found.append(differences if greater else np.abs(differences))
        if tie is None:
            tie = TIE * np.nanmax(np.abs(values[..., 0]), initial=0)
    size = np.concatenate(found)
    return float(np.mean(size >= size[0] - tie)) if np.isfinite(size[0]) else np.nan


Exchange = Callable[[Floats], Floats]  # from who is exchanged to both metrics, (2, n_exchanges)


def sums_exchanged(
    measure: Measure, mine: Outcome, other: Outcome, part: Array, n_parts: int
) -> Exchange:
    """Return how a metric of sums changes if parts of the samples change sides."""
    totals = [outcome.sums.sum(axis=0) for outcome in (mine, other)]
    gain = np.zeros((n_parts, len(totals[0])))
    np.add.at(gain, part, other.sums - mine.sums)
    # What the samples are stays the same whoever predicts them.
    some = np.flatnonzero(gain.any(axis=0))

    def values(swaps: Floats) -> Floats:
        moved = np.zeros((len(swaps), gain.shape[1]))
        moved[:, some] = swaps @ gain[:, some]
        return np.stack([measure.of(totals[0] + moved), measure.of(totals[1] - moved)])

    return values


def ranks_exchanged(
    measure: Measure, mine: Outcome, other: Outcome, part: Array, n_parts: int
) -> Exchange:
    """Return how a metric of ranks changes if parts of the samples change sides."""
    # Both own shares of the same 2 n predictions, so that an exchange is a weighting.
    both = Outcome(*(np.concatenate(pair) for pair in zip(mine, other, strict=True)))

    def values(swaps: Floats) -> Floats:
        moved = swaps[:, part]
        kept = np.hstack([1 - moved, moved])
        return np.stack([measure(both, kept), measure(both, 1 - kept)])

    return values


def exchanges(
    n_parts: int, n_permutations: int, size: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Yield who is exchanged, (size, n_parts), at first nobody; all cases if they are few."""
    everyone = 2**n_parts <= n_permutations
    n = 2**n_parts if everyone else 1 + n_permutations
    for start in range(0, n, size):
        cases = np.arange(start, min(start + size, n))
        if everyone:
            yield ((cases[:, None] >> np.arange(n_parts)) & 1).astype(np.float64)
        else:
            swaps = rng.integers(0, 2, size=(len(cases), n_parts)).astype(np.float64)
            swaps[cases == 0] = 0  # what was observed is one of them, so that p is never zero
            yield swaps


def holm(p: Floats) -> Floats:
    """Return p-values adjusted by Holm's method; nan does not count as a test."""
    order = np.argsort(p, kind="stable")  # nan comes last
    left = np.count_nonzero(~np.isnan(p)) - np.arange(len(p))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * left), 1)
    return adjusted


# ---------------------------------------------------------------------------------------------


def check_confidence(confidence: float) -> None:
    """Raise a ValueError unless the confidence of an interval is a share."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}.")


def check_metric(metric: str, task: Task, results: Results | None = None) -> None:
    """Raise a ValueError unless the task has a metric, or the results a column of numbers."""
    columns = () if results is None else results.select_dtypes("number").columns
    if metric not in task.measures and metric not in columns:
        raise ValueError(f"metric must be one of {', '.join(task.measures)}, got {metric!r}.")
