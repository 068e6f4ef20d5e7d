"""Whether the probabilities of classifiers are what comes true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, rankdata, t
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ..estimators.samples import as_array
from ..params import SEED, check, integer, real
from ..studies.curves import bin_of, binned, forecasts
from ..studies.intervals import clopper_pearson
from ..studies.metrics import Outcome
from ..studies.tasks import Classes, is_dense
from .steps import type_name

Floats = NDArray[np.float64]

CONFIDENCE, DRAWS = 0.95, 1000  # where nobody asks for others
HIGHEST = 0.95  # quantile of what is by chance
EPSILON = 1e-12  # of sums of what should be the same


def reliability(
    estimators: Any,
    X: Any,
    y: Any,
    *,
    n_bins: int = 10,
    groups: Any = None,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    r"""Compare what fitted classifiers say with some probability with how often it comes true.

    For two classes the probability is that of the second one, and the frequency that of its
    label; for more classes, the largest probability and how often its class is right.  The
    interval of the frequency in a bin is Clopper and Pearson's, of n trials; where samples come in
    groups, of as many as have the variance of a mean of groups (Korn and Graubard),

    .. math::
        n^* = \frac{f (1 - f)}{s^2} \frac{z^2}{t^2_{G - 1}}, \qquad
        s^2 = \frac{G}{G - 1} \sum_g \frac{(h_g - f n_g)^2}{n^2},

    where of :math:`n_g` samples of group g, :math:`h_g` came true; of G where f is 0 or 1.

    Parameters
    ----------
    estimators : fitted classifier, or dict from str to these
        With ``predict_proba``.  Of classifiers of maps, every place is a sample, those of one
        map are a group, and places whose label is no class are left out.
    X : array-like, shape (n, ...)
        Samples that they were not fitted to.
    y : array-like, shape (n,)
    n_bins : int, default=10
        Number of bins of equal width between 0 and 1.
    groups : array-like, shape (n,), default=None
        Subjects, whose samples are alike.
    confidence : float, default=0.95
        Of the intervals.

    Returns
    -------
    bins : DataFrame
        One row for each estimator and bin with samples: ``estimator``, ``low`` and ``high`` of
        the bin, ``probability`` (mean), ``frequency``, ``n`` and the interval from
        ``frequency_low`` to ``frequency_high``.

    Raises
    ------
    NotFittedError
        If an estimator is not fitted.
    TypeError
        If it gives no probabilities.
    ValueError
        If a parameter is none of the above, or there is a label that is no class.

    See Also
    --------
    calibration_errors : In one number.
    CalibrationDisplay : A picture of it.
    sklstruct.studies.calibration : The same for all fits of a study.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger. On calibration of modern neural networks.
    ICML, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import reliability
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GaussianNB().fit(X[:300], y[:300])
    >>> reliability(model, X[300:], y[300:], n_bins=2).drop(columns="estimator").round(2)
       low  high  probability  frequency    n  frequency_low  frequency_high
    0  0.0   0.5         0.01       0.09   69           0.03            0.18
    1  0.5   1.0         0.99       0.98  200           0.96            1.00
    """
    check("n_bins", n_bins, integer(1))
    check("confidence", confidence, real(above=0, below=1))
    return bins_of(outcomes_of(estimators, X, y, groups), n_bins, confidence)


def bins_of(
    outcomes: Mapping[str, Tested], n_bins: int, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Return the bins of ``reliability`` of what classifiers made of samples."""
    tables = []
    for name, test in outcomes.items():
        said = forecasts(test.outcome)
        bins = binned(said.assign(estimator=name), ["estimator"], n_bins).sort_values("low")
        place = bin_of(said["probability"].to_numpy(), n_bins)
        group = test.outcome.sample if test.group is None else test.group
        inside = [place == number for number in np.unique(place)]
        limits = [
            interval(said["outcome"].to_numpy()[some], group[some], confidence) for some in inside
        ]
        low, high = np.transpose(limits)
        tables.append(bins.assign(frequency_low=low, frequency_high=high))
    return pd.concat(tables, ignore_index=True)


def calibration_errors(
    estimators: Any,
    X: Any,
    y: Any,
    *,
    n_bins: int = 10,
    groups: Any = None,
    n_draws: int = DRAWS,
    random_state: Any = 0,
) -> pd.DataFrame:
    r"""Return how far probabilities are from frequencies, and how far they would be by chance.

    With :math:`n_b` samples, the mean probability :math:`p_b` and the frequency :math:`f_b` in
    bin b,

    .. math::
        \mathrm{error} = \sum_b \frac{n_b}{n} |f_b - p_b|.

    This is positive for perfect probabilities too, the more so the fewer samples there are.  So
    labels are drawn from the probabilities themselves, many times: the mean error of these is what
    is to be expected of a perfect model, and only what is beyond says that a model is not.

    Parameters
    ----------
    estimators : fitted classifier, or dict from str to these
    X : array-like, shape (n, ...)
    y : array-like, shape (n,)
        All as ``reliability`` takes them.
    n_bins : int, default=10
        Number of bins, of equal width, or for the adaptive error of equal numbers of samples.
    groups : array-like, shape (n,), default=None
        Subjects, whose samples have one label, or labels that are alike.  Where they are given,
        labels of a subject are drawn with one random number, so that they depend on one another as
        much as they can: else ten scans of a subject would pass for ten subjects.
    n_draws : int, default=1000
        How often labels are drawn, each independent of the others, or of those of other subjects.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    errors : DataFrame
        One row an estimator: ``estimator``, ``n``, ``calibration_error``, ``expected`` and
        ``highest`` (95 % quantile) of a perfect model, ``p_value``, the share of its errors and
        this one that are at least as large, ``adaptive_error``, and the proper scores ``brier`` and
        ``log_loss``.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        As ``reliability`` does.

    See Also
    --------
    reliability : The bins.
    CalibrationDisplay : A picture of them.

    References
    ----------
    J. Vaicenavicius et al. Evaluating model calibration in classification. AISTATS, 2019.

    J. Nixon et al. Measuring calibration in deep learning. CVPR workshops, 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import calibration_errors
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = GaussianNB().fit(X[:300], y[:300])
    >>> errors = calibration_errors(model, X[300:], y[300:])
    >>> errors[["n", "calibration_error", "expected", "p_value", "brier"]].round(3)
         n  calibration_error  expected  p_value  brier
    0  269              0.033      0.01    0.001  0.029
    """
    check("n_bins", n_bins, integer(1))
    check("n_draws", n_draws, integer(1))
    check("random_state", random_state, SEED)
    return errors_of(outcomes_of(estimators, X, y, groups), n_bins, random_state, n_draws)


def errors_of(
    outcomes: Mapping[str, Tested], n_bins: int, random_state: Any, n_draws: int = DRAWS
) -> pd.DataFrame:
    """Return the table of ``calibration_errors`` of what classifiers made of samples."""
    rng, rows = check_random_state(random_state), []
    for name, (outcome, group) in outcomes.items():
        said = forecasts(outcome)
        probability, true = said["probability"].to_numpy(), said["outcome"].to_numpy()
        place = bin_of(probability, n_bins)
        error = gap(place, probability, true)
        of = np.arange(len(place)) if group is None else group
        chance = [
            gap(place, probability, rng.random_sample(of.max() + 1)[of] < probability)
            for _ in range(n_draws)
        ]
        # By the ranks in the middle, so that equal probabilities are in one bin.
        share = (rankdata(probability) - 0.5) / len(place)
        brier, log_loss = outcome.sums[:, -2:].mean(axis=0)
        rows.append(
            {
                "estimator": name,
                "n": len(place),
                "calibration_error": error,
                "expected": np.mean(chance),
                "highest": np.quantile(chance, HIGHEST),
                # Counting what was found as well: with few draws a share of 0 would be too small.
                "p_value": np.mean(np.array([error, *chance]) >= error - EPSILON),
                "adaptive_error": gap(bin_of(share, n_bins), probability, true),
                "brier": brier,
                "log_loss": log_loss,
            }
        )
    return pd.DataFrame(rows)


class Tested(NamedTuple):
    """What a classifier made of samples, and numbers of their groups if there are some."""

    outcome: Outcome
    group: NDArray[np.intp] | None


def outcomes_of(estimators: Any, X: Any, y: Any, groups: Any) -> dict[str, Tested]:
    """Return what classifiers make of samples, by their names."""
    named = estimators if isinstance(estimators, Mapping) else {type_name(estimators): estimators}
    return {str(name): outcome_of(estimator, X, y, groups) for name, estimator in named.items()}


def outcome_of(estimator: Any, X: Any, y: Any, groups: Any) -> Tested:
    """Return what a classifier makes of samples."""
    check_is_fitted(estimator)
    if not is_classifier(estimator) or not hasattr(estimator, "predict_proba"):
        raise TypeError(
            "estimator must be a classifier with predict_proba, got "
            f"{type_name(estimator)}; see sklearn.calibration.CalibratedClassifierCV."
        )
    group = None if groups is None else np.unique(as_array(groups), return_inverse=True)[1]
    if group is not None and group.shape != (len(y),):
        raise ValueError(f"groups must be one for each of {len(y)} samples, got {group.shape}.")
    classes = np.asarray(estimator.classes_)
    if is_dense(estimator):
        columns, sample = columns_of_places(estimator, classes, X, y)
    else:
        columns = {**Classes(classes).predict(estimator, X, as_array(y))}
        sample = np.arange(len(columns["label"]))
    outcome = Classes(classes).outcome(columns, sample, sample)
    return Tested(outcome, None if group is None else group[sample])


def columns_of_places(
    estimator: Any, classes: NDArray[Any], X: Any, y: Any
) -> tuple[dict[str, Any], NDArray[np.intp]]:
    """Return what ``Classes.predict`` does, for all places with a label, and whose they are."""
    said = [np.moveaxis(p, 0, -1).reshape(-1, len(classes)) for p in estimator.predict_proba(X)]
    labels = np.concatenate([np.ravel(one) for one in y])
    probabilities = np.concatenate(said)
    if len(labels) != len(probabilities):
        raise ValueError(
            f"y must have a label for each of {len(probabilities)} places, got {len(labels)}."
        )
    sample = np.repeat(np.arange(len(said)), [len(p) for p in said])
    some = np.isin(labels, classes)
    columns = {
        "label": np.searchsorted(classes, labels[some]),
        "predicted": probabilities[some].argmax(axis=1),
        "probabilities": probabilities[some],
    }
    return columns, sample[some]


def gap(place: NDArray[np.intp], probability: Floats, true: NDArray[Any]) -> float:
    """Return the mean distance of frequency and probability over bins, weighted by samples."""
    return float(np.abs(np.bincount(place, true - probability)).sum() / len(place))


def interval(true: Floats, group: NDArray[np.intp], confidence: float) -> tuple[float, float]:
    """Return the interval of a frequency, with as many trials as groups of samples are worth."""
    frequency, n = true.mean(), float(len(true))
    groups, place = np.unique(group, return_inverse=True)
    n_groups = len(groups)
    if n_groups < n:
        deviation = np.square(np.bincount(place, true - frequency)).sum() / n**2
        n = float(n_groups)
        if deviation > EPSILON and n_groups > 1:
            tail = (1 + confidence) / 2
            factor = (norm.ppf(tail) / t.ppf(tail, n_groups - 1)) ** 2 * (n_groups - 1) / n_groups
            n = min(frequency * (1 - frequency) / deviation * factor, float(len(true)))
    return clopper_pearson(frequency, n, confidence)
