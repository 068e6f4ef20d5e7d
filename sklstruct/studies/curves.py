"""Calibration and ROC curves of a study of classes."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_curve
from sklearn.utils import check_scalar

from .metrics import Floats, Outcome, auc_columns, mean_of_defined
from .outcomes import check_some, outcomes

if TYPE_CHECKING:
    from .results import Results

FALSE_POSITIVE_RATES = np.linspace(0, 1, 101)


def roc_curves(results: Results) -> pd.DataFrame:
    """Return mean ROC curves: sensitivities are averaged over the repeats at false positive rates.

    For more than two classes a repeat's curve is itself the mean over the classes, each
    against all others.

    Parameters
    ----------
    results : Results
        Of classes.

    Returns
    -------
    curves : DataFrame
        101 rows for each condition (such as a size) and estimator, with columns for the condition,
        estimator, false_positive_rate and true_positive_rate (nan where no repeat tested two
        classes and has scores).

    Raises
    ------
    ValueError
        If the results are not sound, or not of classes.

    See Also
    --------
    sklstruct.inspection.RocDisplay : A picture of them.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import cohort_study, roc_curves
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> roc_curves(results).iloc[[0, 10, 100]].round(2)
        estimator  false_positive_rate  true_positive_rate
    0       bayes                  0.0                0.00
    10      bayes                  0.1                0.96
    100     bayes                  1.0                1.00
    """
    check_classes(results)
    tables = []
    for condition, part in results.parts():
        curves: dict[str, list[Floats]] = {}
        for (estimator, *_), outcome in outcomes(part).items():
            of_classes = [
                sensitivities(outcome.truth[:, column], outcome.ranks[:, column])
                for column in auc_columns(outcome)
            ]
            mean = mean_of_defined(np.stack(of_classes), axis=0)
            curves.setdefault(estimator, []).append(mean)
        # At equal false positive rates, because thresholds of fits are not comparable.
        for label, found in curves.items():
            rates = {
                "false_positive_rate": FALSE_POSITIVE_RATES,
                "true_positive_rate": mean_of_defined(np.stack(found), axis=0),
            }
            tables.append(pd.DataFrame({**condition, "estimator": label, **rates}))
    return pd.concat(tables, ignore_index=True)


def sensitivities(positive: Floats, ranks: Floats) -> Floats:
    """Return the sensitivities of one class at the false positive rates."""
    if np.isnan(ranks).any() or positive.min() == positive.max():
        return np.full(len(FALSE_POSITIVE_RATES), np.nan)
    false_rates, true_rates, _ = roc_curve(positive, ranks)
    found = np.interp(FALSE_POSITIVE_RATES, false_rates, true_rates)
    return np.concatenate([[0.0], found[1:]])  # all curves start where nothing is found


def calibration(results: Results, n_bins: int = 10) -> pd.DataFrame:
    """Compare probabilities with frequencies, pooled over the tested samples of all repeats.

    For two classes the probability is that of the last one (the positive one), and the frequency
    that of its label; for more classes, the largest probability and how often its class is right.

    Parameters
    ----------
    results : Results
        Of classes.
    n_bins : int, default=10
        Number of bins of equal width between 0 and 1.

    Returns
    -------
    calibration : DataFrame
        One row for each condition (such as a size), estimator and bin with predictions, with
        columns for the condition, estimator, low, high (of the bin), probability (mean), frequency
        and n (samples times repeats).  Estimators whose scores are no probabilities have no rows.

    Raises
    ------
    ValueError
        If the number of bins is not positive, or the results are not sound, or not of classes.

    See Also
    --------
    sklstruct.inspection.CalibrationDisplay : A picture of it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import calibration, cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> calibration(results, n_bins=2).round(2)
      estimator  low  high  probability  frequency    n
    0     bayes  0.0   0.5         0.01       0.09  163
    1     bayes  0.5   1.0         1.00       0.96  263
    """
    check_classes(results)
    check_scalar(n_bins, "n_bins", Integral, min_val=1)
    tables = []
    for condition, part in results.parts():
        for (estimator, *_), outcome in outcomes(part).items():
            said = forecasts(outcome)
            tables.append(said.assign(**condition, estimator=estimator))
    names = [*results.condition_columns, "estimator"]
    found = binned(pd.concat(tables, ignore_index=True), names, n_bins)
    rank = {label: place for place, label in enumerate(results.estimators)}
    return found.sort_values(
        [*names, "low"],
        key=lambda column: column.map(rank) if column.name == "estimator" else column,
        ignore_index=True,
    )


def forecasts(outcome: Outcome) -> pd.DataFrame:
    """Return the probability that was said of each sample, and whether it came true.

    For two classes it is that of the last one, for more classes the largest one; nan where there
    are no probabilities.
    """
    two = outcome.truth.shape[1] == 2
    place = np.ones(len(outcome.said), int) if two else outcome.said.argmax(axis=1)
    rows = np.arange(len(place))
    # Decision values are no probabilities, and have no losses either.
    said = np.where(np.isnan(outcome.sums[:, -1]), np.nan, outcome.said[rows, place])
    return pd.DataFrame({"probability": said, "outcome": outcome.truth[rows, place]})


def bin_of(probability: Floats, n_bins: int) -> NDArray[np.intp]:
    """Return the number of the bin of equal width that each probability is in."""
    # A probability of one belongs to the last bin.
    return np.clip((probability * n_bins).astype(np.intp), 0, n_bins - 1)


def binned(table: pd.DataFrame, names: list[str], n_bins: int) -> pd.DataFrame:
    """Return means of forecasts in bins of equal width, for each value of some columns."""
    table = table.dropna()
    inside = bin_of(table["probability"].to_numpy(), n_bins)
    table = table.assign(low=inside / n_bins, high=(inside + 1) / n_bins)
    found = table.groupby([*names, "low", "high"], sort=False).agg(
        probability=("probability", "mean"), frequency=("outcome", "mean"), n=("outcome", "size")
    )
    return found.reset_index()


def calibration_error(bins: pd.DataFrame) -> pd.Series[float]:
    r"""Return the expected calibration error of each estimator.

    That is :math:`\sum_b n_b / n \, |\mathrm{frequency}_b - \mathrm{probability}_b|` over bins b.

    Parameters
    ----------
    bins : DataFrame
        What ``calibration`` returns.

    Returns
    -------
    errors : Series of float, by estimator
    """
    # Weighted by predictions: bins are of equal width, and most are nearly empty.
    gaps = bins["n"] * (bins["frequency"] - bins["probability"]).abs()
    labels = bins["estimator"]
    total = gaps.groupby(labels, sort=False).sum()
    return (total / bins["n"].groupby(labels, sort=False).sum()).rename("calibration_error")


def check_classes(results: Results) -> None:
    """Raise a ValueError unless there are results, and of classes."""
    check_some(results)
    if results.task != "classes":
        raise ValueError(f"results must be of classes, got {results.task!r}.")
