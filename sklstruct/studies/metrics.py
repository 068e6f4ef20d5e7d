"""How good the predictions of a study are, for any weights of the tested scans.

A bootstrap and an exchange of predictions are weightings of the same scans, so that one
implementation of every metric serves for the values, their intervals and their tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from .cohort_study import CohortResults, score_columns

Array = NDArray[Any]
Floats = NDArray[np.float64]
Key = tuple[str, int]

KEY = ["estimator", "repeat"]
SIZES = ["n_train", "n_test", "n_train_subjects", "n_test_subjects"]
EPSILON = np.finfo(np.float64).eps  # what a probability of zero counts for in the log loss


class Outcome(NamedTuple):
    """The scans that one fit was tested on, and what it made of them.

    Parameters
    ----------
    scan, subject : ndarray of int, shape (n,)
        Numbers of the scans and of the subjects, the same in all fits of a study.
    is_class : ndarray of float, shape (n, n_classes)
        One for the label, else zero.
    correct : ndarray of float, shape (n,)
        One where the prediction is the label, else zero.
    scores : ndarray of float, shape (n, n_classes)
        Probabilities that sum to one, or decision values.
    brier, log_loss : ndarray of float, shape (n,)
        Loss of each scan; nan where the scores are no probabilities.
    ranks : ndarray of float, shape (n, n_classes)
        Those of the scores among the scans, which estimators of any kind have in common.
    """

    scan: Array
    subject: Array
    is_class: Array
    correct: Array
    scores: Array
    brier: Array
    log_loss: Array
    ranks: Array


def score_fits(results: CohortResults) -> pd.DataFrame:
    r"""Return the metrics of every fit on its test part.

    With :math:`r_c` the share of the scans of class c that are recognised, the balanced accuracy
    is the mean of :math:`r_c` over the classes that are tested; for two classes
    sensitivity is :math:`r` of the last class in sorted order (the positive one) and specificity
    that of the first.  The AUC is the share of pairs of a positive and a negative scan in which
    the positive one has the higher score, ties counting half; for more classes, the mean of
    one class against all others.

    Parameters
    ----------
    results : CohortResults

    Returns
    -------
    scores : DataFrame
        One row a fit in the order of ``results.fits``, with the columns estimator, repeat,
        held_out_site, n_train, n_test, n_train_subjects, n_test_subjects, balanced_accuracy,
        auc, sensitivity, specificity (nan unless there are two classes), accuracy, brier and
        log_loss (nan where scores are no probabilities).  What needs a class that is not tested
        is nan.

    Raises
    ------
    ValueError
        If the tables of the results lack columns or rows, have some twice, or disagree.

    See Also
    --------
    summarise_cohort : Means with intervals.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import cohort_study, score_fits
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> score_fits(results)[["estimator", "repeat", "balanced_accuracy", "auc"]].round(2)
      estimator  repeat  balanced_accuracy   auc
    0     bayes       0               0.92  0.98
    1     bayes       1               0.93  0.99
    2     bayes       2               0.95  0.99
    """
    tests = outcomes(results)
    fits = results.fits[[*KEY, "held_out_site", *SIZES]].reset_index(drop=True)
    for name, measure in MEASURES.items():
        fits[name] = [measure(tests[key], ones(tests[key]))[0] for key in keys(fits)]
    return fits


# The metrics, for weights of shape (n_weightings, n) each of shape (n_weightings,) -------------


def ones(outcome: Outcome) -> Floats:
    """Return the weights with which every scan counts once."""
    return np.ones((1, len(outcome.subject)))


def auc(outcome: Outcome, weights: Floats) -> Floats:
    """Return the area under the ROC curve: for two classes that of the last one, else the mean."""
    return mean_of_defined(class_areas(outcome, weights), axis=1)


def class_areas(outcome: Outcome, weights: Floats) -> Floats:
    """Return the area of each class that is set against all others, (n_weightings, n_areas)."""
    areas = [
        share_of_pairs(outcome.ranks[:, column], outcome.is_class[:, column] == 1, weights)
        for column in auc_columns(outcome)
    ]
    return np.stack(areas, axis=1)


def auc_columns(outcome: Outcome) -> range:
    """Return the classes that are set against all others: of two the last one, else all."""
    n_classes = outcome.is_class.shape[1]
    return range(1, 2) if n_classes == 2 else range(n_classes)


def recalls(outcome: Outcome, weights: Floats) -> Floats:
    """Return the recall of each class, (n_weightings, n_classes), nan where it has no weight."""
    is_class = outcome.is_class
    return ratio(weights @ (is_class * outcome.correct[:, None]), weights @ is_class)


def recall_of_two(outcome: Outcome, weights: Floats, label: int) -> Floats:
    """Return the recall of one of two classes, nan if there are more."""
    if outcome.is_class.shape[1] != 2:
        return np.full(len(weights), np.nan)
    return recalls(outcome, weights)[:, label]


def balanced_accuracy(outcome: Outcome, weights: Floats) -> Floats:
    """Return the mean recall of the classes that are tested, nan where one has no weight."""
    # Without that one it would be another measure: of a class alone, anything is recognised.
    return recalls(outcome, weights)[:, outcome.is_class.any(axis=0)].mean(axis=1)


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Return the means of the values of scans."""
    return ratio(weights @ values, weights.sum(axis=1))


Measure = Callable[[Outcome, Floats], Floats]
MEASURES: dict[str, Measure] = {
    "balanced_accuracy": balanced_accuracy,
    "auc": auc,
    "sensitivity": lambda outcome, w: recall_of_two(outcome, w, 1),
    "specificity": lambda outcome, w: recall_of_two(outcome, w, 0),
    "accuracy": lambda outcome, w: weighted_mean(outcome.correct, w),
    "brier": lambda outcome, w: weighted_mean(outcome.brier, w),
    "log_loss": lambda outcome, w: weighted_mean(outcome.log_loss, w),
}


def measure_of(metric: str) -> Measure:
    """Return a metric by its name, or raise a ValueError that lists them."""
    if metric not in MEASURES:
        raise ValueError(f"metric must be one of {', '.join(MEASURES)}, got {metric!r}.")
    return MEASURES[metric]


def share_of_pairs(ranks: Floats, positive: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return how often a positive scan outranks a negative one, nan where there is no pair."""
    # Every pair, as weights are many and scans are few; sorting would be slower.
    wins = np.heaviside(ranks[positive][:, None] - ranks[~positive], 0.5)
    of_positive, of_negative = weights[:, positive], weights[:, ~positive]
    won = np.einsum("ij,ij->i", of_positive @ wins, of_negative)
    return ratio(won, of_positive.sum(axis=1) * of_negative.sum(axis=1))


def ratio(share: Array, whole: Array) -> Floats:
    """Return share / whole, nan where the whole is zero."""
    return np.divide(share, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def mean_of_defined(values: Floats, axis: int) -> Floats:
    """Return the mean over an axis of what is not nan, nan where there is nothing else."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=axis), defined.sum(axis=axis))


# From tables to arrays -----------------------------------------------------------------------


def outcomes(results: CohortResults) -> dict[Key, Outcome]:
    """Return what was tested in each fit, the scans in one order for all estimators.

    Raises
    ------
    ValueError
        If the tables of the results lack columns or rows, have some twice, or disagree.
    """
    # Tables may come from a file that somebody has edited, or from another program.
    check_results(results)
    table = results.predictions.merge(results.fits[[*KEY, "probabilities"]], on=KEY)
    table = table.sort_values("scan", kind="stable")
    classes = results.classes.tolist()
    labels, predicted = (codes(table[name], classes) for name in ("label", "predicted"))
    probabilities, one_hot = table["probabilities"].to_numpy(bool), np.eye(len(classes))[labels]
    given = table[score_columns(results.classes)].to_numpy(np.float64)
    # Probabilities sum to one, also those that came in float32.
    scores = given / np.where(probabilities, given.sum(axis=1), 1.0)[:, None]
    known = np.where(probabilities, 1.0, np.nan)  # decision values have neither loss
    # Halved for two classes, it is the score that Brier defined for events.
    squared = ((scores - one_hot) ** 2).sum(axis=1) / (2 if len(classes) == 2 else 1)
    of_label = np.clip(scores[np.arange(len(labels)), labels], EPSILON, 1 - EPSILON)
    # Numbers in place of names: resampling then only picks columns of weights.
    columns = (
        *(pd.factorize(table[name])[0] for name in ("scan", "subject")),
        *(one_hot, (labels == predicted).astype(np.float64), scores),
        *(known * squared, -known * np.log(of_label)),
    )
    rows = table.groupby(KEY, sort=False).indices
    # Ranks of what was given: dividing by sums would break ties by what it rounds.
    return {
        key: Outcome._make([*(column[at] for column in columns), rankdata(given[at], axis=0)])
        for key, at in ((key, rows[key]) for key in keys(results.fits))
    }


def codes(labels: pd.Series[Any], classes: list[Any]) -> NDArray[np.intp]:
    """Return the places of labels among the classes, or raise a ValueError."""
    places = {label: place for place, label in enumerate(classes)}
    unknown = sorted({str(label) for label in labels.unique() if label not in places})
    if unknown:
        raise ValueError(
            f"The column {labels.name!r} of predictions must hold the classes {classes}, got "
            f"{', '.join(map(repr, unknown))}."
        )
    return np.array([places[label] for label in labels], dtype=np.intp)


def keys(table: pd.DataFrame) -> list[Key]:
    """Return estimator and repeat of each row."""
    return list(table[KEY].itertuples(index=False, name=None))


def estimators_of(results: CohortResults) -> list[str]:
    """Return the labels of the estimators in the order in which they were given."""
    return list(dict.fromkeys(results.fits["estimator"]))


# What results must be ------------------------------------------------------------------------


def check_results(results: CohortResults) -> None:
    """Raise a ValueError unless both tables are complete and belong together."""
    fits, predictions = results.fits, results.predictions
    check_table("fits", fits, [*KEY, "held_out_site", "probabilities", *SIZES], KEY)
    wanted = [*KEY, "subject", "scan", "label", "predicted", *score_columns(results.classes)]
    check_table("predictions", predictions, wanted, [*KEY, "scan"])
    one_sided = {*keys(fits)} ^ {*keys(predictions)}
    if one_sided:
        estimator, repeat = min(one_sided)
        raise ValueError(
            "fits and predictions must be of the same fits, but only one of them has the estimator "
            f"{estimator!r} in repeat {repeat}."
        )


def check_table(name: str, table: pd.DataFrame, columns: Iterable[str], key: list[str]) -> None:
    """Raise a ValueError unless a table has rows, the columns, and every key once."""
    absent = [column for column in columns if column not in table]
    if absent:
        raise ValueError(f"{name} lacks the columns {absent}; it has {list(table)}.")
    if table.empty:
        raise ValueError(f"{name} must have rows, got none.")
    for twice in table.loc[table.duplicated(key), key].itertuples(index=False, name=None):
        row = ", ".join(f"{column} {value!r}" for column, value in zip(key, twice, strict=True))
        raise ValueError(f"{name} must have every fit and scan once, got twice: {row}.")
