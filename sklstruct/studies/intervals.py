r"""Intervals of the metrics of a study over the subjects that were tested.

A bootstrap of few subjects is too sure: five of five that are right are right in every resampled
cohort.  So what can be counted has an interval of counts here, with as many trials as there are
subjects, however many samples they have and however often they were tested:

- recalls: Clopper and Pearson's, which never covers less than it says;
- accuracies, which are weighted sums of recalls, :math:`\sum_c w_c r_c`: from those of the recalls,
  by the square-and-add rule (MOVER);
- AUC: Newcombe's, where the variance belongs to the limit and not to the estimate, so that it is
  not zero for an AUC of one;
- shares of places in maps: Clopper and Pearson's with the effective number of trials
  :math:`p (1 - p) / s^2` of Korn and Graubard, and with that of the subjects where all are alike;
- rank correlations: Bonett and Wright's, on Fisher's scale;
- losses, and :math:`1 - R^2`: Student's of their logarithm, as they are skewed.  The deviation is
  that of the metric when subjects are left out, one at a time.

Their coverage is in ``benchmarks/coverage.csv``.

References
----------
C. J. Clopper and E. S. Pearson. The use of confidence or fiducial limits illustrated in the case
of the binomial. Biometrika, 1934.
G. Y. Zou and A. Donner. Construction of confidence limits about effect measures: a general
approach. Statistics in Medicine, 2008.
R. G. Newcombe. Confidence intervals for an effect size measure based on the Mann-Whitney
statistic. Part 2: asymptotic methods and evaluation. Statistics in Medicine, 2006.
E. L. Korn and B. I. Graubard. Confidence intervals for proportions with small expected number of
positive counts estimated from survey data. Survey Methodology, 1998.
D. G. Bonett and T. A. Wright. Sample size requirements for estimating Pearson, Kendall and
Spearman correlations. Psychometrika, 2000.
B. Efron and C. Stein. The jackknife estimate of variance. Annals of Statistics, 1981.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, norm, t

from .metrics import (
    Floats,
    Limits,
    Measure,
    Outcome,
    auc_columns,
    class_areas,
    mean_of_defined,
    n_classes_in,
    recalls,
)

LEAST = 5  # tested subjects (of a class), for which coverage has been measured
LEAST_OF_ERRORS = 10  # the same for errors of values, and for R2 in each hold-out
MOST_PARTS = 200  # that are left out one at a time; with more subjects, several together
NONE = np.nan, np.nan
NEAR = 1e-9


# Of classes ----------------------------------------------------------------------------------


def interval_of_recall(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float, label: int
) -> Limits:
    """Return the exact interval of the recall of one of two classes."""
    return clopper_pearson(mean, len(np.unique(subjects_of_classes(tests)[label])), confidence)


def interval_of_accuracy(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float, balanced: bool
) -> Limits:
    """Return the interval of an accuracy, from those of the recalls."""
    counts = n_subjects_of_classes(tests)
    # A site may lack a class, which then has no part in any mean.
    tested = counts > 0
    if counts[tested].min() < LEAST:
        return NONE
    # What says the same of everybody is right as often as there are such subjects, no more.
    if all(map(says_one_label, tests)):
        return mean, mean
    of_class = mean_of_defined(np.stack([recalls(test.sums.sum(axis=0)) for test in tests]), axis=0)
    shares = np.mean([test.truth.mean(axis=0) for test in tests], axis=0)
    weights = tested / tested.sum() if balanced else shares
    # Recalls of different classes are of different subjects, and so independent.
    limits = [clopper_pearson(*rn, confidence) for rn in zip(of_class, counts, strict=True)]
    reach = np.square(weights[:, None] * (np.array(limits) - of_class[:, None]))[tested]
    below, above = np.sqrt(reach.sum(axis=0))
    return max(0.0, mean - below), min(1.0, mean + above)


def interval_of_auc(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float
) -> Limits:
    """Return the interval of the AUC, with several classes the mean of theirs."""
    counts = n_subjects_of_classes(tests)
    if counts[counts > 0].min() < LEAST:
        return NONE
    if all((test.ranks == test.ranks[0]).all() for test in tests):
        return mean, mean  # no pair of subjects is told apart, whoever they are
    n_subjects = len(np.unique(np.concatenate([test.subject for test in tests])))
    each = [class_areas(test, np.ones((1, len(test.subject))))[0] for test in tests]
    areas = mean_of_defined(np.stack(each), axis=0)
    # The mean of limits, as areas of classes that share their subjects rise and fall together.
    positives = counts[list(auc_columns(tests[0]))]
    limits = [
        newcombe(area, n, max(n_subjects - n, 1), confidence)
        for area, n in zip(areas, positives, strict=True)
        if not np.isnan(area)
    ]
    low, high = np.mean(limits, axis=0)
    return float(low), float(high)


def interval_of_class_loss(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float
) -> Limits:
    """Return the interval of the mean of a loss of each sample, for cohorts of the same classes."""
    counts = n_subjects_of_classes(tests)
    n = counts[counts > 0].min()
    if n < LEAST or mean <= 0:
        return NONE
    # All hold-outs at once: within one, those who are drawn would make up for those who are not.
    pooled, share = pool(tests)
    _, place = np.unique(pooled.subject, return_inverse=True)
    loss = measure.of(pooled.sums)
    centred = np.bincount(place, share * (loss - share @ loss / share.sum()))
    truth = np.stack([np.bincount(place, column) for column in pooled.truth.T], axis=1)
    # Within classes, as hold-outs are stratified: a cohort without patients is no other cohort.
    stratum = truth.argmax(axis=1)
    size = np.maximum(np.bincount(stratum), 1)
    means = np.bincount(stratum, centred) / size
    variance = np.square(centred - means[stratum]).sum() / share.sum() ** 2
    # A resampled cohort varies like one of a subject less in each class.
    deviation = np.sqrt(variance * n / (n - 1))
    factor = np.exp(t.ppf((1 + confidence) / 2, n - 1) * deviation / mean)
    return float(mean / factor), float(mean * factor)


def subjects_of_classes(tests: list[Outcome]) -> list[NDArray[np.intp]]:
    """Return the subjects with tested samples of each class."""
    subject = np.concatenate([outcome.subject for outcome in tests])
    truth = np.concatenate([outcome.truth for outcome in tests])
    return [subject[column == 1] for column in truth.T]


def n_subjects_of_classes(tests: list[Outcome]) -> NDArray[np.intp]:
    """Return how many subjects of each class were tested."""
    return np.array([len(np.unique(subjects)) for subjects in subjects_of_classes(tests)])


def says_one_label(outcome: Outcome) -> bool:
    """Whether everybody, of several classes, is said to be of the same one."""
    tested = outcome.truth[:, outcome.truth.any(axis=0)]
    n = n_classes_in(outcome.sums)
    same = (tested == outcome.sums[:, n : 2 * n].sum(axis=1, keepdims=True)).all(axis=0)
    return tested.shape[1] > 1 and bool(same.any())


def clopper_pearson(share: float, n: float, confidence: float) -> Limits:
    """Return the exact interval of a share of n, also where n times the share is no integer."""
    if n == 0:
        return NONE
    # With a fractional number it is too wide rather than too narrow: shares vary less than counts.
    tail, right = (1 - confidence) / 2, share * n
    low = beta.ppf(tail, right, n - right + 1) if right > 0 else 0.0
    high = beta.ppf(1 - tail, right + 1, n - right) if right < n else 1.0
    return float(low), float(high)


def newcombe(area: float, n_positive: int, n_negative: int, confidence: float) -> Limits:
    r"""Return the interval of an AUC, the :math:`\theta` with :math:`|A - \theta| \le z \sigma`.

    .. math::
        \sigma^2(\theta) = \frac{\theta (1 - \theta)}{m n} \Bigl(1 + (N - 1) \Bigl(
        \frac{1 - \theta}{2 - \theta} + \frac{\theta}{1 + \theta}\Bigr)\Bigr), \quad
        N = \frac{m + n}{2}
    """
    z, others = norm.ppf((1 + confidence) / 2), (n_positive + n_negative) / 2 - 1

    def beyond(theta: float) -> float:
        spread = 1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / (n_positive * n_negative)
        return float(abs(area - theta) - z * np.sqrt(variance))

    # From beside the area: where it is 0 or 1 there is no variance, and a root that is no limit.
    low = brentq(beyond, 0, area * (1 - NEAR)) if area > 0 else 0.0
    high = brentq(beyond, area + (1 - area) * NEAR, 1) if area < 1 else 1.0
    return low, high


# Of values and of maps -----------------------------------------------------------------------


def interval_of_ranks(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float
) -> Limits:
    """Return the interval of a rank correlation, symmetric on Fisher's scale."""
    n = n_subjects(tests)
    if n < LEAST:
        return NONE
    # An order without any fault is as good as one with a single pair exchanged, not certain.
    most = 1 - 12 / (n * (n**2 - 1))
    found = float(np.clip(mean, -most, most))
    reach = norm.ppf((1 + confidence) / 2) * np.sqrt((1 + found**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(found) + np.array([-reach, reach]))
    return min(float(low), mean), max(float(high), mean)


def interval_of_loss(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float
) -> Limits:
    """Return the interval of a loss, symmetric on the scale of its logarithm."""
    return on_scale(np.log, np.exp, measure, tests, mean, confidence)


def interval_of_r2(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float
) -> Limits:
    """Return the interval of the coefficient of determination, by what it leaves unexplained."""
    # On a few subjects it varies without bounds, as their labels do not.
    if min(map(n_subjects, ([test] for test in tests))) < LEAST_OF_ERRORS:
        return NONE
    high, low = on_scale(
        lambda found: np.log(1 - found),
        lambda scaled: 1 - np.exp(scaled),
        *(measure, tests, mean, confidence),
    )
    return low, high


def on_scale(
    link: Callable[[Floats], Floats],
    inverse: Callable[[Floats], Floats],
    measure: Measure,
    tests: list[Outcome],
    mean: float,
    confidence: float,
) -> Limits:
    """Return Student's interval on a scale, with the deviation of subjects that are left out."""
    n = n_subjects(tests)
    if n < LEAST_OF_ERRORS:
        return NONE
    with np.errstate(divide="ignore", invalid="ignore"):  # without errors there is no deviation
        scaled, error = link(np.array(mean)), jackknife_error(link(left_out(measure, tests)))
    if not (np.isfinite(scaled) and error > 0):
        return NONE
    reach = t.ppf((1 + confidence) / 2, min(n, MOST_PARTS) - 1) * error
    return float(inverse(scaled - reach)), float(inverse(scaled + reach))


def interval_of_places(
    measure: Measure, tests: list[Outcome], mean: float, confidence: float
) -> Limits:
    """Return the interval of a share of places, with as many trials as subjects are worth."""
    n = n_subjects(tests)
    if n < LEAST:
        return NONE
    error, trials = jackknife_error(left_out(measure, tests)), float(n)
    if error > NEAR:
        tail = (1 + confidence) / 2
        trials = mean * (1 - mean) * (norm.ppf(tail) / t.ppf(tail, min(n, MOST_PARTS) - 1)) ** 2
        trials /= error**2
    return clopper_pearson(mean, trials, confidence)


def left_out(measure: Measure, tests: list[Outcome]) -> Floats:
    """Return a metric of all tests without each of their subjects, (n_parts,).

    Where subjects are many, several of them are left out together.
    """
    pooled, share = pool(tests)
    subjects, place = np.unique(pooled.subject, return_inverse=True)
    n_parts = min(len(subjects), MOST_PARTS)
    part = place % n_parts
    if measure.ranks:
        return measure(pooled, share * (part != np.arange(n_parts)[:, None]))
    own = np.zeros((n_parts, pooled.sums.shape[1]))
    np.add.at(own, part, share[:, None] * pooled.sums)
    return measure.of(own.sum(axis=0) - own)


def jackknife_error(values: Floats) -> float:
    """Return the standard error of what values are when each part is left out."""
    return float(np.sqrt((len(values) - 1) * np.mean(np.square(values - values.mean()))))


def pool(tests: list[Outcome]) -> tuple[Outcome, Floats]:
    """Return all tests as one, and the weights with which each of them counts once."""
    share = np.concatenate([np.full(len(test.subject), 1 / len(test.subject)) for test in tests])
    return Outcome._make(map(np.concatenate, zip(*tests, strict=True))), share


def n_subjects(tests: list[Outcome]) -> int:
    """Return how many subjects were tested."""
    return len(np.unique(np.concatenate([test.subject for test in tests])))
