"""How good the predictions of a study are, for any weights of the tested samples.

An exchange of predictions and a subject that is left out are weightings of the same samples, so
that one implementation of every metric serves for the values, their intervals and their tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Limits = tuple[float, float]

EPSILON = np.finfo(np.float64).eps  # what a probability of zero counts for in the log loss
N_LOSSES = 2  # of classes: Brier score and log loss


class Outcome(NamedTuple):
    """The samples that one fit was tested on, and what it made of them.

    Parameters
    ----------
    sample, subject : ndarray of int, shape (n,)
        Their numbers, the same in all fits of a study.
    sums : ndarray of float, shape (n, n_sums)
        What metrics of sums add up.  Of classes: one for the label, else zero; the same where it
        is recognised; both losses, nan where scores are no probabilities.  Of values: moments of
        labels and errors.  Of maps of classes: how many places of each label got each label.
    truth : ndarray of float, shape (n, n_columns)
        What metrics of ranks compare with: one for the label, else zero; or the values.
    said : ndarray of float, shape (n, n_columns)
        Probabilities that sum to one, decision values, or predicted values.
    ranks : ndarray of float, shape (n, n_columns)
        Those of what was said among the samples, which estimators of any kind have in common.
    """

    sample: Array
    subject: Array
    sums: Floats
    truth: Floats
    said: Floats
    ranks: Floats


@dataclass(frozen=True)
class Measure:
    """A metric, and what there is to know about it.

    Parameters
    ----------
    of : callable
        From totals (..., n_sums) to values (...); or, of ranks, from an outcome and weights
        (n_weightings, n) to values (n_weightings,).
    interval : callable
        From the metric, a list of outcomes, its mean over them and a confidence to the limits.
    bounds : tuple of float
        Between which it can be.
    ranks : bool, default=False
        Whether it is made of ranks, and not of sums over samples.
    loss : bool, default=False
        Whether less is better.
    share : bool, default=False
        Whether it is shown in percent.
    guess : callable
        From the number of classes to the value of what knows nothing, nan if it depends.
    """

    of: Callable[..., Floats]
    interval: Callable[[Measure, list[Outcome], float, float], Limits]
    bounds: Limits
    ranks: bool = False
    loss: bool = False
    share: bool = False
    guess: Callable[[int], float] = lambda n_classes: np.nan

    def __call__(self, outcome: Outcome, weights: Floats | None = None) -> Floats:
        """Return the metric for weights (n_weightings, n), or with all samples once, (1,)."""
        weights = np.ones((1, len(outcome.subject))) if weights is None else weights
        return self.of(outcome, weights) if self.ranks else self.of(weights @ outcome.sums)


# Of classes ----------------------------------------------------------------------------------


def n_classes_in(sums: Floats) -> int:
    """Return of how many classes sums are."""
    return (sums.shape[-1] - N_LOSSES) // 2


def recalls(totals: Floats) -> Floats:
    """Return the recall of each class, (..., n_classes), nan where it has no weight."""
    n = n_classes_in(totals)
    return ratio(totals[..., n : 2 * n], totals[..., :n])


def recall_of_two(totals: Floats, label: int) -> Floats:
    """Return the recall of one of two classes, nan if there are more."""
    of_all = recalls(totals)
    return of_all[..., label] if of_all.shape[-1] == 2 else np.full(totals.shape[:-1], np.nan)


def balanced_accuracy(totals: Floats) -> Floats:
    """Return the mean recall of the classes that have weight."""
    return mean_of_defined(recalls(totals), axis=-1)


def accuracy(totals: Floats) -> Floats:
    """Return the share of samples that are recognised."""
    n = n_classes_in(totals)
    return ratio(totals[..., n : 2 * n].sum(axis=-1), totals[..., :n].sum(axis=-1))


def mean_loss(totals: Floats, column: int) -> Floats:
    """Return the mean of the Brier score or the log loss, whose column counts from the end."""
    return ratio(totals[..., column], totals[..., : n_classes_in(totals)].sum(axis=-1))


def class_areas(outcome: Outcome, weights: Floats) -> Floats:
    """Return the area of each class that is set against all others, (n_weightings, n_areas)."""
    areas = [
        area(outcome.ranks[:, column], outcome.truth[:, column], weights)
        for column in auc_columns(outcome)
    ]
    return np.stack(areas, axis=1)


def auc_columns(outcome: Outcome) -> range:
    """Return the classes that are set against all others: of two the last one, else all."""
    n_classes = outcome.truth.shape[1]
    return range(1, 2) if n_classes == 2 else range(n_classes)


def auc(outcome: Outcome, weights: Floats) -> Floats:
    """Return the area under the ROC curve: for two classes that of the last one, else the mean."""
    return mean_of_defined(class_areas(outcome, weights), axis=1)


def area(ranks: Floats, positive: Floats, weights: Floats) -> Floats:
    """Return how often a positive sample outranks a negative one, nan where there is no pair."""
    if np.isnan(ranks).any():
        return np.full(len(weights), np.nan)
    of_positive = weights @ positive
    won = (weights * midranks(ranks, weights)) @ positive - of_positive**2 / 2
    return ratio(won, of_positive * (weights.sum(axis=1) - of_positive))


def midranks(values: Floats, weights: Floats) -> Floats:
    """Return the weight below each sample and half of that beside it, (n_weightings, n)."""
    # By one sort: pairs are too many where thousands are tested.
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(tied, axis=1) - tied / 2)[:, place]


# Of values -----------------------------------------------------------------------------------


def moments(n: Array, label: Array, spread: Array, squared: Array, absolute: Array) -> Floats:
    """Return what metrics of values add up, (n_samples, 5).

    Parameters
    ----------
    n : ndarray, shape (n_samples,)
        Values of a sample.
    label : ndarray, shape (n_samples,)
        Their mean.
    spread, squared, absolute : ndarray, shape (n_samples,)
        Sums of squared deviations from that mean, and of squared and absolute errors.
    """
    columns = (n, n * label, spread + n * label**2, squared, absolute)
    return np.stack(columns, axis=1).astype(np.float64)


def r2(totals: Floats) -> Floats:
    """Return the coefficient of determination, nan where labels are all the same."""
    n, label, square, squared, _ = np.moveaxis(totals, -1, 0)
    return 1 - ratio(squared, square - ratio(label**2, n))


def mae(totals: Floats) -> Floats:
    """Return the mean absolute error."""
    return ratio(totals[..., 4], totals[..., 0])


def rmse(totals: Floats) -> Floats:
    """Return the root of the mean squared error."""
    return np.sqrt(ratio(totals[..., 3], totals[..., 0]))


def rank_correlation(outcome: Outcome, weights: Floats) -> Floats:
    """Return Spearman's correlation: 0 where all predictions are the same, nan where labels are."""
    both = midranks(outcome.ranks[:, 0], weights), midranks(outcome.truth[:, 0], weights)
    whole = weights.sum(axis=1, keepdims=True)
    said, truth = (x - (weights * x).sum(axis=1, keepdims=True) / whole for x in both)
    together, of_said, of_truth = (
        (weights * x * y).sum(axis=1) for x, y in ((said, truth), (said, said), (truth, truth))
    )
    known = np.where(of_truth > 0, of_truth, np.nan)
    # What says the same of everybody knows no order, as its AUC is a half.
    return np.where(of_said > 0, ratio(together, np.sqrt(of_said * known)), 0.0 * known)


# Of maps of classes --------------------------------------------------------------------------


def confusion(totals: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the places of each class, those that are called it, and those that are both."""
    n = round(totals.shape[-1] ** 0.5)
    matrix = totals.reshape(*totals.shape[:-1], n, n)
    return matrix.sum(axis=-1), matrix.sum(axis=-2), np.diagonal(matrix, axis1=-2, axis2=-1)


def accuracy_of_places(totals: Floats) -> Floats:
    """Return the share of places that are recognised."""
    of_class, _, right = confusion(totals)
    return ratio(right.sum(axis=-1), of_class.sum(axis=-1))


def balanced_accuracy_of_places(totals: Floats) -> Floats:
    """Return the mean recall of the classes that have places."""
    of_class, _, right = confusion(totals)
    return mean_of_defined(ratio(right, of_class), axis=-1)


def mean_iou(totals: Floats) -> Floats:
    """Return the mean of intersection over union, over the classes that are there or said."""
    of_class, called, right = confusion(totals)
    return mean_of_defined(ratio(right, of_class + called - right), axis=-1)


def dice(totals: Floats) -> Floats:
    """Return the overlap of the last of two classes, else the mean over those there or said."""
    of_class, called, right = confusion(totals)
    of_each = ratio(2 * right, of_class + called)
    return of_each[..., 1] if of_each.shape[-1] == 2 else mean_of_defined(of_each, axis=-1)


# ---------------------------------------------------------------------------------------------


def ratio(share: Array, whole: Array) -> Floats:
    """Return share / whole, nan where the whole is zero."""
    share, whole = np.broadcast_arrays(share, whole)
    return np.divide(share, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def mean_of_defined(values: Floats, axis: int) -> Floats:
    """Return the mean over an axis of what is not nan, nan where there is nothing else."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=axis), defined.sum(axis=axis))
