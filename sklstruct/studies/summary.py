"""From the results of a study to the numbers of a paper."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

SHARES = {"accuracy", "balanced_accuracy", "sensitivity", "specificity"}  # shown in percent
ABSENT = "-"
ROUNDING = 1e-12  # relative; what is less is no deviation


def summarise(results: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """Return the mean and the standard deviation of a metric over the draws.

    Parameters
    ----------
    results : DataFrame
        What ``limited_data`` returns, or its ``results.csv``.
    metric : str, default="accuracy"
        Name of a column of numbers.

    Returns
    -------
    summary : DataFrame
        One row for each estimator and size, in their order in the results, with the columns
        estimator, size, mean, std (with n - 1 in the denominator; nan for one draw) and
        n_draws.

    Raises
    ------
    ValueError
        If the results are empty or lack a column.

    See Also
    --------
    format_summary : The same as text.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import limited_data, summarise
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> summarise(results).round(2)
      estimator  size  mean   std  n_draws
    0     gauss    10  0.92  0.05        3
    1     gauss    40  0.96  0.02        3
    2    counts    10  0.83  0.07        3
    3    counts    40  0.90  0.01        3
    """
    check_columns(results, metric)
    values = results.astype({metric: float}).groupby(["estimator", "size"], sort=False)[metric]
    return values.agg(mean="mean", std="std", n_draws="size").reset_index()


def format_summary(results: pd.DataFrame, metric: str = "accuracy") -> str:
    """Return a plain-text table of mean ± standard deviation over the draws.

    Parameters
    ----------
    results : DataFrame
        What ``limited_data`` returns, or its ``results.csv``.
    metric : str, default="accuracy"
        Accuracies are given in percent with one decimal, anything else with three digits.

    Returns
    -------
    table : str
        A line for each estimator, a column for each size; no ± where there is one draw.

    See Also
    --------
    summarise : The same as a table of numbers.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import format_summary, limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> print(format_summary(results))
                    10          40
    gauss   91.9 ± 4.6  96.3 ± 1.6
    counts  83.3 ± 7.4  89.6 ± 1.1
    """
    summary = summarise(results, metric)
    scale, style = (100, ".1f") if metric in SHARES else (1, ".3g")
    summary["text"] = [
        ABSENT
        if isnan(mean)
        else f"{scale * mean:{style}}{'' if isnan(std) else f' ± {scale * std:{style}}'}"
        for mean, std in zip(summary["mean"], summary["std"], strict=True)
    ]
    labels = list(dict.fromkeys(summary["estimator"]))
    sizes = sorted(summary["size"].unique())
    texts = summary.set_index(["estimator", "size"])["text"]
    rows = [["", *map(str, sizes)]]
    rows += [[label, *(texts.get((label, size), ABSENT) for size in sizes)] for label in labels]
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as lines of text, the first column to the left, others to the right."""
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]).rstrip() for row in rows
    )


def paired_differences(
    results: pd.DataFrame,
    reference: str,
    metric: str = "accuracy",
    *,
    confidence: float = 0.95,
    corrected: bool = False,
) -> pd.DataFrame:
    r"""Compare every estimator with a reference over the same draws.

    With the differences :math:`d_1, \dots, d_J` of J draws and their variance :math:`s^2` the
    standard error of their mean is :math:`s \sqrt{1/J}`, and the interval is that of the
    paired t-test with J - 1 degrees of freedom.  It covers what comes from the draw of the
    training sets, for the given samples.  Draws that share much of their training data, as
    where sizes come near the number of samples, are not independent: ``corrected`` then takes
    :math:`s \sqrt{1/J + n_\mathrm{test} / n_\mathrm{train}}` for splits of the same data into
    both parts.  That is far too cautious where few of many samples are drawn.

    Parameters
    ----------
    results : DataFrame
        What ``limited_data`` returns, or its ``results.csv``.
    reference : str
        Label of the estimator to compare with.
    metric : str, default="accuracy"
    confidence : float, default=0.95
        Of the interval, between 0 and 1.
    corrected : bool, default=False
        Whether to correct the variance for resampling.

    Returns
    -------
    differences : DataFrame
        One row for each other estimator and size, with the columns estimator, size, n_draws,
        difference (estimator minus reference), standard_error, low and high; the last three
        are nan for a single draw, the last two where all differences are the same.

    Raises
    ------
    ValueError
        If the reference or a column is not in the results.

    See Also
    --------
    compare : The same for cohorts.

    References
    ----------
    C. Nadeau and Y. Bengio. Inference for the generalization error. Machine Learning, 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import limited_data, paired_differences
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> differences = paired_differences(results, reference="counts")
    >>> differences[["estimator", "size", "difference"]].round(2)
      estimator  size  difference
    0     gauss    10        0.09
    1     gauss    40        0.07
    """
    check_columns(results, metric, "draw", "n_test")
    if reference not in set(results["estimator"]):
        known = ", ".join(map(repr, dict.fromkeys(results["estimator"])))
        raise ValueError(f"reference must be one of the estimators {known}, got {reference!r}.")
    check_confidence(confidence)
    results = results.astype({metric: float})  # numbers of parameters may be integers with gaps
    mine = results["estimator"] == reference
    pairs = results[~mine].merge(
        results.loc[mine, ["size", "draw", metric]], on=["size", "draw"], suffixes=("", "_ref")
    )
    pairs["difference"] = pairs[metric] - pairs[f"{metric}_ref"]
    groups = pairs.groupby(["estimator", "size"], sort=False)
    table = groups.agg(
        n_draws=("difference", "size"),
        difference=("difference", "mean"),
        std=("difference", "std"),
        n_test=("n_test", "first"),
    ).reset_index()
    # Without it, hold-outs that share training samples count as if each were a study of its own.
    ratio = table["n_test"] / table["size"] if corrected else 0.0
    test = resampled_t_test(table["difference"], table["std"], table["n_draws"], ratio, confidence)
    table["standard_error"], table["low"], table["high"] = test.standard_error, test.low, test.high
    return table.drop(columns=["std", "n_test"])


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
    mean, std, n = np.asarray(mean, float), np.asarray(std, float), np.asarray(n)
    error = std * np.sqrt(1 / np.maximum(n, 1) + np.asarray(ratio, float))
    # Equal differences are no evidence without end: their spread is not known.
    varies = (error > ROUNDING * np.abs(mean)) & (error > 0)
    reach = student.ppf((1 + confidence) / 2, n - 1) * np.where(varies, error, np.nan)
    t = np.divide(mean, error, out=np.full_like(error, np.nan), where=varies)
    return TTest(error, mean - reach, mean + reach, t, 2 * student.sf(np.abs(t), n - 1))


def check_confidence(confidence: float) -> None:
    """Raise a ValueError unless the confidence of an interval is a share."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}.")


def check_columns(results: pd.DataFrame, *names: str) -> None:
    """Raise a ValueError unless results have rows and all the columns."""
    absent = {"estimator", "size", *names} - {*results.columns}
    if absent or results.empty:
        raise ValueError(
            f"results must have rows and the columns {', '.join(sorted(absent)) or 'of a study'}, "
            f"got {len(results)} rows with the columns {', '.join(map(str, results.columns))}."
        )
