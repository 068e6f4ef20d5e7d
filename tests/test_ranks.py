"""Ranks over blocks against scipy and scikit-posthocs."""

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare
from test_inference import of_values, results_of, two_classes

from sklstruct.studies import critical_difference, rank_table
from sklstruct.studies.ranks import friedman
from sklstruct.studies.tasks import Classes, Values

RNG = np.random.default_rng


def repeats(values, metric="balanced_accuracy", **design):
    """Results with the values (n_repeats, n_estimators) of a metric."""
    fits = pd.DataFrame(values, columns=[*"abcdefgh"[: values.shape[1]]])
    fits = fits.rename_axis("repeat").reset_index()
    task = Classes(np.arange(2)) if metric in Classes.measures else Values()
    return results_of(fits.melt("repeat", None, "estimator", metric), None, task, **design)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(3, 6), st.booleans())
def test_ranks_are_those_of_scipy_and_scikit_posthocs(seed, n, k, ties):
    values = RNG(seed).normal(size=(n, k)).round(0 if ties else 6)
    found = critical_difference(repeats(values))
    ranks = pd.DataFrame(-values, columns=[*"abcdefgh"[:k]]).rank(axis=1)
    table = rank_table(repeats(values)).set_index("estimator")
    pd.testing.assert_series_equal(table["mean_rank"].sort_index(), ranks.mean(), check_names=False)
    assert found.ranks.is_monotonic_increasing
    nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(-values)
    order = ["abcdefgh".index(label) for label in found.p_values]
    np.testing.assert_allclose(found.p_values, nemenyi.to_numpy()[np.ix_(order, order)], atol=1e-9)
    chi2 = friedmanchisquare(*values.T).statistic
    if np.isfinite(chi2) and chi2 < n * (k - 1) - 1e-6:
        expected = (n - 1) * chi2 / (n * (k - 1) - chi2)
        assert found.statistic == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_critical_difference_of_demsar():
    """Four classifiers on 14 data sets, of mean ranks 3.143, 2.000, 2.893 and 1.964."""
    found = critical_difference(repeats(RNG(0).normal(size=(14, 4))))
    assert found.difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=5e-4)
    # Any ranks with those means: chi2 9.28, and F of Iman and Davenport 3.69
    means = np.array([3.143, 2.000, 2.893, 1.964])
    chi2 = 12 * 14 / 20 * (np.square(means).sum() - 4 * 25 / 4)
    assert 13 * chi2 / (14 * 3 - chi2) == pytest.approx(3.69, abs=0.01)


def test_pairs_differ_by_the_critical_difference_where_p_is_alpha():
    found = critical_difference(repeats(RNG(1).normal(size=(9, 5))), alpha=0.1)
    gap = np.abs(found.ranks.to_numpy()[:, None] - found.ranks.to_numpy())
    np.testing.assert_array_equal(found.p_values < 0.1, gap > found.difference)


def test_blocks_that_rank_alike_or_not_at_all():
    alike = np.tile([1.0, 2.0, 3.0], (5, 1))
    assert friedman(alike) == (np.inf, 6.0**-4)  # of the 6 orders, all as the first block
    statistic, p = friedman(np.full((5, 3), 2.0))
    assert np.isnan(statistic)
    assert p == 1
    assert critical_difference(repeats(-alike)).groups == [["a", "b"], ["b", "c"]]


def test_less_is_better_for_losses():
    results = repeats(np.array([[1.0, 2.0], [1.0, 3.0]]), "rmse")
    table = rank_table(results, "rmse")
    assert table["estimator"].tolist() == ["a", "b"]
    assert table["wins"].tolist() == [2, 0]


def test_several_studies_are_a_block_each_by_their_means():
    one, other = two_classes(0), two_classes(1)
    table = rank_table({"one": one, "other": other}, "auc").set_index("estimator")
    assert (table["n_blocks"] == 2).all()
    means = [study.fits.groupby("estimator")["auc"].mean() for study in (one, other)]
    pd.testing.assert_series_equal(table["mean"].sort_index(), sum(means) / 2, check_names=False)


def test_only_blocks_of_all_estimators_count():
    results = repeats(RNG(0).normal(size=(6, 3)))
    missing = results.fits.drop(index=[0, 8])  # of two repeats
    part = type(results)(missing, None, results.description)
    assert (rank_table(part)["n_blocks"] == 4).all()


def test_rounding_makes_no_rank():
    values = np.array([[0.3, 0.1 + 0.2, 0.2]] * 4)
    assert rank_table(repeats(values))["mean_rank"].tolist() == [1.5, 1.5, 3]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"results": {"a": two_classes(), "b": of_values()}}, "one task, got 'a' of classes"),
        ({"results": two_classes()}, "3 estimators and 2 blocks at least, got 2 and 3"),
        ({"results": two_classes(), "metric": "r2"}, "metric must be one of"),
        ({"results": repeats(np.zeros((3, 3))), "alpha": 5}, "alpha"),
        ({"results": repeats(np.full((3, 3), np.nan))}, "every estimator has balanced_accuracy"),
    ],
)
def test_what_cannot_be_ranked_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        critical_difference(**given)
