"""From the tables of a study to what metrics are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .tasks import check_columns, task_in

if TYPE_CHECKING:
    from .metrics import Outcome
    from .results import Results

Key = tuple[Any, ...]  # the label of an estimator, and what the design calls the fit


def score_fits(results: Results) -> pd.DataFrame:
    r"""Return the metrics of every fit on its test part, from its predictions.

    With :math:`r_c` the share of the samples of class c that are recognised, the balanced accuracy
    is the mean of :math:`r_c` over the classes that are tested; for two classes
    sensitivity is :math:`r` of the last class in sorted order (the positive one) and specificity
    that of the first.  The AUC is the share of pairs of a positive and a negative sample in which
    the positive one has the higher score, ties counting half; for more classes, the mean of
    one class against all others.  With values y and predictions f,
    :math:`R^2 = 1 - \sum (y - f)^2 / \sum (y - \bar y)^2`, and the rank correlation is
    Spearman's.  Of maps, all places of the tested samples count alike.

    Parameters
    ----------
    results : Results

    Returns
    -------
    scores : DataFrame
        One row a fit in the order of the results, with the columns estimator, those of the design,
        and the metrics of the task: of classes balanced_accuracy, auc, sensitivity, specificity
        (nan unless there are two classes), accuracy, brier and log_loss (nan where scores are no
        probabilities); of values r2, mae, rmse and rank_correlation; of maps mean_iou, dice,
        accuracy and balanced_accuracy, or r2, mae and rmse, or score.  What needs a class that is
        not tested is nan.

    Raises
    ------
    ValueError
        If the tables of the results lack columns or rows, have some twice, or disagree.

    See Also
    --------
    summarise : Means with intervals.

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
    tests, measures = outcomes(results), task_in(results).measures
    names = names_of(results)
    fits = results.fits[names].reset_index(drop=True)
    for name, measure in measures.items():
        fits[name] = [float(measure(tests[key])[0]) for key in keys(fits, names)]
    return fits


def outcomes(results: Results) -> dict[Key, Outcome]:
    """Return what was tested in each fit, the samples in one order for all estimators.

    Raises
    ------
    ValueError
        If the tables of the results lack columns or rows, have some twice, or disagree.
    """
    check_some(results)
    # Tables may come from a file that somebody has edited, or from another program.
    check_results(results)
    task, names, table = task_in(results), names_of(results), results.predictions
    sample, _ = pd.factorize(table["sample"], sort=True)
    order = sample.argsort(kind="stable")
    table, sample = table.iloc[order], sample[order]
    # Numbers in place of names: they are many, and are compared often.
    subject, _ = pd.factorize(table["subject"])
    columns, fits = task.columns(table), results.fits
    kinds = fits["probabilities"] if "probabilities" in fits else [True] * len(fits)
    rows = table.groupby(names, sort=False).indices
    found = {}
    for key, sure in zip(keys(fits, names), kinds, strict=True):
        at = rows[key]
        part = {name: values[at] for name, values in columns.items()} | {"sure": np.array(sure)}
        found[key] = task.outcome(part, sample[at], subject[at])
    return found


def names_of(results: Results) -> list[str]:
    """Return the columns that say which fit a row is of."""
    return ["estimator", *results.key_columns]


def keys(table: pd.DataFrame, names: Sequence[str]) -> list[Key]:
    """Return some columns of each row as tuples."""
    return list(table[[*names]].itertuples(index=False, name=None))


# What results must be ------------------------------------------------------------------------


def check_some(results: Results) -> None:
    """Raise an error unless these are results of a study with a finished fit."""
    if not hasattr(results, "description"):
        raise TypeError(
            "results must be what a study returns, or Results.read of its folder, got "
            f"{type(results).__name__}, which does not know its predictions."
        )
    if results.empty:
        raise ValueError("results must have a finished fit, got none.")


def check_results(results: Results) -> None:
    """Raise a ValueError unless both tables are complete and belong together."""
    names = names_of(results)
    fits, predictions = results.fits, results.predictions
    check_table("fits", fits, names, names)
    check_table("predictions", predictions, [*names, "subject", "sample"], [*names, "sample"])
    there = {*keys(predictions[names].drop_duplicates(), names)}
    if one_sided := {*keys(fits, names)} ^ there:
        raise ValueError(
            "fits and predictions must be of the same fits, but only one of them has "
            f"{in_words(names, min(one_sided, key=str))}."
        )


def check_table(name: str, table: pd.DataFrame, columns: Sequence[str], key: Sequence[str]) -> None:
    """Raise a ValueError unless a table has rows, the columns, and every key once."""
    check_columns(name, table, columns)
    twice = table.duplicated([*key])
    if twice.any():
        row = keys(table[twice], key)[0]
        raise ValueError(
            f"{name} must have every fit and sample once, got twice: {in_words(key, row)}."
        )


def in_words(names: Sequence[str], row: Key) -> str:
    """Return which row is meant."""
    return ", ".join(f"{name} {value!r}" for name, value in zip(names, row, strict=True))
