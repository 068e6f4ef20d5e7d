r"""Intervals of the metrics of a study over the subjects that were tested.

A bootstrap of few subjects is too sure: five of five that are right are right in every resampled
cohort.  So what can be counted has an interval of counts here, with as many trials as there are
subjects, however many scans they have and however often they were tested:

- recalls: Clopper and Pearson's, which never covers less than it says;
- accuracies, which are weighted sums of recalls, :math:`\sum_c w_c r_c`: from those of the recalls,
  by the square-and-add rule (MOVER);
- AUC: Newcombe's, where the variance belongs to the limit and not to the estimate, so that it is
  not zero for an AUC of one;
- losses: Student's of their logarithm, as they are skewed, with the deviation of the means of
  resampled cohorts and the degrees of freedom of the smallest class.

Their coverage is in ``benchmarks/coverage.csv``.

References
----------
C. J. Clopper and E. S. Pearson. The use of confidence or fiducial limits illustrated in the case
of the binomial. Biometrika, 1934.
G. Y. Zou and A. Donner. Construction of confidence limits about effect measures: a general
approach. Statistics in Medicine, 2008.
R. G. Newcombe. Confidence intervals for an effect size measure based on the Mann-Whitney
statistic. Part 2: asymptotic methods and evaluation. Statistics in Medicine, 2006.
C. A. Field and A. H. Welsh. Bootstrapping clustered data. JRSS B, 2007.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import beta, norm, t

from .metrics import (
    MEASURES,
    Floats,
    Outcome,
    auc_columns,
    class_areas,
    mean_of_defined,
    ones,
    recalls,
)

LEAST = 5  # tested subjects of a class, for which coverage has been measured
OF_COUNTS = {"balanced_accuracy", "accuracy"}
NONE = np.nan, np.nan
NEAR = 1e-9

Limits = tuple[float, float]


def interval(
    metric: str, tests: list[Outcome], mean: float, confidence: float, draws: Floats
) -> Limits:
    """Return the interval of the mean of a metric over the hold-outs of one estimator.

    Parameters
    ----------
    metric : str
    tests : list of Outcome
        Those of the hold-outs.
    mean : float
        Of the metric; nan has no interval.
    confidence : float
    draws : ndarray of float, shape (n_bootstrap, n_subjects)
        How often each subject is in a resampled cohort.

    Returns
    -------
    low, high : float
        Both nan where there is none, as where a tested class has fewer than 5 subjects; recalls
        have one for any number.
    """
    counts = np.array([len(np.unique(c)) for c in subjects_of_classes(tests)])
    of_class = mean_of_defined(np.concatenate([recalls(t, ones(t)) for t in tests]), axis=0)
    if np.isnan(mean):
        return NONE
    if metric in ("specificity", "sensitivity"):
        label = int(metric == "sensitivity")
        return clopper_pearson(of_class[label], counts[label], confidence)
    # A site may lack a class, which then has no part in any mean.
    tested = counts > 0
    if counts[tested].min() < LEAST:
        return NONE
    if metric in OF_COUNTS:
        # What says the same of everybody is right as often as there are such subjects, no more.
        if all(map(says_one_label, tests)):
            return mean, mean
        shares = np.mean([t.is_class.mean(axis=0) for t in tests], axis=0)
        weights = tested / tested.sum() if metric == "balanced_accuracy" else shares
        # Recalls of different classes are of different subjects, and so independent.
        limits = [clopper_pearson(*rn, confidence) for rn in zip(of_class, counts, strict=True)]
        reach = np.square(weights[:, None] * (np.array(limits) - of_class[:, None]))[tested]
        below, above = np.sqrt(reach.sum(axis=0))
        return max(0.0, mean - below), min(1.0, mean + above)
    if metric == "auc":
        return auc_interval(tests, counts, mean, confidence)
    # All hold-outs at once: within one, those who are drawn would make up for those who are not.
    known = [test for test in tests if np.isfinite(MEASURES[metric](test, ones(test))[0])]
    pooled = Outcome._make(map(np.concatenate, zip(*known, strict=True)))
    share = np.concatenate([np.full(len(test.subject), 1 / len(test.subject)) for test in known])
    resampled = MEASURES[metric](pooled, draws[:, pooled.subject] * share)
    # A resampled cohort varies like one of a subject less in each class.
    n = counts[tested].min()
    deviation = np.std(resampled) * np.sqrt(n / (n - 1))
    factor = np.exp(t.ppf((1 + confidence) / 2, n - 1) * deviation / mean) if mean > 0 else np.nan
    return float(mean / factor), float(mean * factor)


def subjects_of_classes(tests: list[Outcome]) -> list[NDArray[np.intp]]:
    """Return the subjects with tested scans of each class."""
    subject = np.concatenate([outcome.subject for outcome in tests])
    is_class = np.concatenate([outcome.is_class for outcome in tests])
    return [subject[column == 1] for column in is_class.T]


def says_one_label(outcome: Outcome) -> bool:
    """Whether everybody, of several classes, is said to be of the same one."""
    tested = outcome.is_class[:, outcome.is_class.any(axis=0)]
    same = (tested == outcome.correct[:, None]).all(axis=0)
    return tested.shape[1] > 1 and bool(same.any())


def clopper_pearson(share: float, n: int, confidence: float) -> Limits:
    """Return the exact interval of a share of n, also where n times the share is no integer."""
    if n == 0:
        return NONE
    # With a fractional number it is too wide rather than too narrow: shares vary less than counts.
    tail, right = (1 - confidence) / 2, share * n
    low = beta.ppf(tail, right, n - right + 1) if right > 0 else 0.0
    high = beta.ppf(1 - tail, right + 1, n - right) if right < n else 1.0
    return float(low), float(high)


def auc_interval(
    tests: list[Outcome], counts: NDArray[np.intp], mean: float, confidence: float
) -> Limits:
    """Return the interval of the AUC, with several classes the mean of theirs."""
    if all((outcome.ranks == outcome.ranks[0]).all() for outcome in tests):
        return mean, mean  # no pair of subjects is told apart, whoever they are
    n_subjects = len(np.unique(np.concatenate([outcome.subject for outcome in tests])))
    areas = mean_of_defined(np.stack([class_areas(t, ones(t))[0] for t in tests]), axis=0)
    # The mean of limits, as areas of classes that share their subjects rise and fall together.
    positives = counts[list(auc_columns(tests[0]))]
    limits = [
        newcombe(area, n, max(n_subjects - n, 1), confidence)
        for area, n in zip(areas, positives, strict=True)
        if not np.isnan(area)
    ]
    low, high = np.mean(limits, axis=0)
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
