"""How alike representations are: theorems, the published formula, and layers of networks."""

from itertools import permutations

import numpy as np
import pytest
from fitted import fitted
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC
from test_inspection import assert_legible

import sklstruct
from sklstruct.inspection import CKADisplay, alignment, cka
from sklstruct.inspection.blocks import block_features, block_names


def hsic_of_song(K, L):
    """Return the unbiased estimate as it is printed, equation 5 of Song et al. (2012)."""
    n, one = len(K), np.ones(len(K))
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    total = np.trace(K @ L) + (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * one @ K @ L @ one) / (n * (n - 3))


def hsic_of_gretton(K, L):
    """Return the biased estimate of Gretton et al. (2005), which Kornblith et al. (2019) take."""
    n = len(K)
    H = np.eye(n) - 1 / n
    return np.trace(K @ H @ L @ H) / (n - 1) ** 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 30), st.integers(1, 50), st.integers(1, 50))
def test_it_is_that_of_the_published_formulas(seed, n, p, q):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(5, 2, (n, p)), rng.normal(size=(n, q))
    Y[:, 0] += X[:, 0]
    K, L = X @ X.T, Y @ Y.T
    for debiased, hsic in ((True, hsic_of_song), (False, hsic_of_gretton)):
        expected = hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
        assert cka(X, Y, debiased=debiased) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(20, 5), (20, 60)]), st.booleans())
def test_rotated_scaled_and_moved_representations_are_the_same(seed, shape, debiased):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape)
    rotation, _ = np.linalg.qr(rng.normal(size=(shape[1], shape[1])))
    moved = 3 * X @ rotation + rng.normal(size=shape[1])
    assert cka(X, moved, debiased=debiased) == pytest.approx(1, abs=1e-9)


def test_over_all_orders_of_the_samples_the_mean_is_zero_if_debiased():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(6, 3)), rng.normal(size=(6, 40))
    orders = [list(order) for order in permutations(range(6))]
    assert np.mean([cka(X, Y[order]) for order in orders]) == pytest.approx(0, abs=1e-9)
    assert np.mean([cka(X, Y[order], debiased=False) for order in orders]) > 0.5


def test_layers_of_networks_are_compared_by_their_features():
    model, X, _ = fitted("hierarchical")
    other, _, _ = fitted("rfnn")
    names, others = block_names(model, None), block_names(other, None)
    table = cka(model, X, other)
    assert (table.index.tolist(), table.columns.tolist()) == (names, others)
    first, second = cka(model, X, places="all"), cka(other, X, model)
    features = block_features(model, X, names[:3], "all")
    expected = [[cka(a, b) for a in features] for b in features]
    np.testing.assert_allclose(first.iloc[:3, :3], expected, atol=1e-6)
    np.testing.assert_allclose(second, table.T)
    np.testing.assert_allclose(np.diag(first), 1)
    some = cka(model, X, layers=names[2:4], other_layers=names[:1])
    np.testing.assert_allclose(some, cka(model, X).loc[names[2:4], names[:1]])


@pytest.mark.parametrize("places", ["mean", "all"])
def test_memory_does_not_decide_what_comes_out(places, monkeypatch):
    model, X, _ = fitted("rfnin_3d")
    expected = cka(model, X, places=places)
    passes = []
    run = type(model)._run
    monkeypatch.setattr(type(model), "_run", lambda *args, **_: passes.append(1) or run(*args))
    step = 5 if places == "mean" else 100  # features in a pass
    monkeypatch.setattr(alignment, "VALUES_AT_ONCE", step * len(X))
    np.testing.assert_allclose(cka(model, X, places=places), expected, atol=1e-9)
    assert len(passes) > 2


def test_constant_features_are_like_nothing():
    rng = np.random.default_rng(0)
    constant = np.full((10, 3), 0.1, np.float32)
    assert np.isnan(cka(constant, rng.normal(size=(10, 2))))


def test_what_is_no_representation_is_told():
    model, X, _ = fitted("rfnn")
    A = np.ones((10, 2))
    for args, kwargs, error, message in (
        ((A, A[:9]), {}, ValueError, "second must have the 10 samples of first, got 9"),
        ((A[:3], A[:3]), {}, ValueError, "at least 4 samples, got 3"),
        ((A[:, 0], A), {}, ValueError, r"first must be finite numbers of shape \(n, n_features\)"),
        ((A, A * np.nan), {}, ValueError, "second must be finite"),
        ((A, A, model), {}, TypeError, "need an estimator"),
        ((A, A), {"layers": ["stages.0"]}, TypeError, "need an estimator"),
        ((model, X), {"places": "max"}, ValueError, "places must be one of"),
        ((model, X), {"layers": ["stages.9"]}, ValueError, "layers"),
        ((SVC(), X), {}, TypeError, "got SVC"),
        ((sklstruct.RFNNClassifier(), X), {}, NotFittedError, "fit"),
    ):
        with pytest.raises(error, match=message):
            cka(*args, **kwargs)


def test_display():
    model, X, _ = fitted("hierarchical")
    other, _, _ = fitted("rfnn")
    for display in (
        CKADisplay.from_estimator(model, X),
        CKADisplay.from_estimator(other, X, model),
    ):
        assert_legible(display.figure_)
        image = display.axes_[0].images[0].get_array()
        np.testing.assert_allclose(image, display.to_frame())
