"""Sparse codes in fixed frames and in convolutional dictionaries."""

import os
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklstruct_sparse.dictionary import ConvolutionalDictionary
from sklstruct_sparse.ridge import ridge
from sklstruct_sparse.thresholds import (
    FUNCTIONS,
    Threshold,
    hard,
    keep_k,
    printed_hard,
    printed_soft,
    soft,
)

from sklstruct import (
    ConvolutionalSparseClassifier,
    ConvolutionalSparseCoder,
    SparseFrameClassifier,
)
from sklstruct.estimators import load_model, save_model
from sklstruct.frames import WaveletTransform

SHAPES = [(12,), (7, 6), (4, 5, 3)]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).reshape(-1, 8, 8), y


def noise(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def dictionary(spatial, n_atoms=3, channels=2, support=3, seed=0):
    atoms = noise(n_atoms, channels, *(support,) * len(spatial), seed=seed)
    return ConvolutionalDictionary(atoms, spatial)


def dense(dictionary):
    """Return the matrix D, one column an atom at a place."""
    shape = len(dictionary.atoms), *dictionary.spatial
    n = int(np.prod(shape))
    codes = torch.eye(n, dtype=torch.float64).reshape(n, *shape)
    return dictionary.synthesise(codes).flatten(1).T.numpy()


# thresholds --------------------------------------------------------------------------------------


def printed(x, tau):
    """Return both formulas of the document, written out as they are printed."""
    if abs(x) <= tau:
        return 0, 0
    return (x, x - tau) if x > tau else (-x, -x + tau)


@given(x=st.floats(-5, 5), tau=st.floats(0, 3))
def test_thresholds_are_their_formulas(x, tau):
    def values(function):
        return float(function(torch.tensor([x], dtype=torch.float64), tau))

    assert values(hard) == (x if abs(x) > tau else 0)
    assert values(soft) == pytest.approx(np.sign(x) * max(abs(x) - tau, 0), abs=1e-12)
    of_hard, of_soft = printed(x, tau)
    assert values(printed_hard) == of_hard
    assert values(printed_soft) == of_soft


def test_the_soft_threshold_minimises_its_proximal_problem():
    x, tau = noise(50), 0.7
    best = soft(x, tau)

    def cost(g):
        return 0.5 * (g - x) ** 2 + tau * g.abs()

    for step in (-1e-3, 1e-3):
        assert (cost(best) <= cost(best + step)).all()


def test_keep_k_is_the_best_approximation_in_an_orthonormal_basis(digits):
    X, wavelets = digits[0][:20], WaveletTransform("haar")
    coefficients = torch.from_numpy(wavelets.analyse(X))
    kept = keep_k(coefficients, 10)
    assert ((kept != 0).sum(1) <= 10).all()
    missed = ((wavelets.synthesise(kept.numpy(), (8, 8)) - X) ** 2).sum((1, 2))
    smallest = np.sort(coefficients.numpy() ** 2, axis=1)[:, :-10].sum(1)
    assert np.allclose(missed, smallest)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_layer_has_a_threshold_for_each_sub_band(kind):
    layer = Threshold(2, sizes=(3, 4), threshold=kind, tau=[[0.1, 0.5], [1.0, 2.0]])
    x = noise(5, 2, 7).float()
    for channel in range(2):
        for part, band in ((slice(3), 0), (slice(3, 7), 1)):
            wanted = FUNCTIONS[kind](x[:, channel, part], float(layer.tau[channel, band]))
            assert torch.equal(layer(x)[:, channel, part], wanted)


def test_learned_thresholds_start_at_tau_stay_positive_and_have_the_right_gradient():
    layer = Threshold(1, sizes=(2, 3), tau=0.3, learn_threshold=True).double()
    assert torch.allclose(layer.thresholds, torch.full((1, 2), 0.3, dtype=torch.float64))
    x = noise(4, 1, 5)
    assert torch.autograd.gradcheck(lambda w: soft(x, w[:, layer.band]), layer.thresholds)
    with torch.no_grad():
        layer.weight -= 50
    assert (layer.thresholds > 0).all()


# the linear classifier ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 30), (30, 5)], ids=["dual", "primal"])
def test_ridge_left_out_is_ridge_fitted_without(shape):
    rng = np.random.default_rng(0)
    Z, T, weight = (
        rng.normal(size=shape),
        rng.normal(size=(shape[0], 2)),
        rng.uniform(1, 3, shape[0]),
    )
    fits = ridge(Z, T, weight, [0.1, 10.0])
    mean = np.average(Z, axis=0, weights=weight)
    variance = weight @ ((Z - mean) ** 2).sum(axis=1) / weight.sum()
    for number, C in enumerate((0.1, 10.0)):
        oracle = Ridge(variance / C).fit(Z, T, weight)
        said = Z @ fits.matrices[number] + fits.intercepts[number]
        assert np.allclose(said, oracle.predict(Z))
        for row in range(shape[0]):
            others = np.arange(shape[0]) != row
            oracle = Ridge(variance / C).fit(Z[others], T[others], weight[others])
            assert np.allclose(fits.left_out[row, number], oracle.predict(Z[[row]]))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"pool": None, "frame": "wavelet", "threshold": "hard"},
        {"frame": "curvelet", "threshold": "printed-soft"},
        {"frame": "fourier", "pool": None, "threshold": "keep-k", "k": 30},
        {"frame": "framelet", "learn_threshold": True},
        {"frame": WaveletTransform("haar", levels=2), "tau": 0.1, "C": 10.0},
    ],
    ids=str,
)
def test_digits_are_told_apart(digits, params, tmp_path):
    X, y = digits
    model = SparseFrameClassifier(random_state=0, **params).fit(X[:300], y[:300])
    assert model.score(X[300:800], y[300:800]) > 0.75
    codes = model.transform(X[:5])
    assert codes.shape == (5, len(model.get_feature_names_out()))
    if params.get("k"):
        assert ((codes != 0).sum(axis=1) <= 30).all()
    elif model.tau is None and model.threshold != "keep-k":
        assert (codes == 0).mean() > 0.4
    save_model(model, tmp_path / "model.zip")
    again = load_model(tmp_path / "model.zip")
    assert np.array_equal(again.predict_proba(X[:20]), model.predict_proba(X[:20]))


@pytest.mark.parametrize("shape, layout", [((20,), "L"), ((3, 9, 8), "CHW"), ((6, 6, 7), "DHW")])
def test_signals_images_and_volumes(shape, layout):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = rng.normal(size=(40, *shape)) + y.reshape(-1, *(1,) * len(shape))
    model = SparseFrameClassifier(layout=layout, pool=2).fit(X, y)
    assert model.score(X, y) > 0.8
    coder = ConvolutionalSparseCoder(dictionaries=(2, 3), layout=layout, size=2, tol=1e-3).fit(
        X[:5]
    )
    back = coder.inverse_transform(coder.transform(X[:5]))
    assert back.shape == X[:5].shape


def test_without_a_threshold_and_without_pooling_the_classifier_is_linear_in_pixels(digits):
    X, y = digits
    params = {"frame": WaveletTransform("haar"), "pool": None, "tau": 0.0, "C": 10.0}
    model = SparseFrameClassifier(dtype="float64", **params).fit(X[:100], y[:100])
    rows = X[:100].reshape(100, -1)
    targets = np.where(y[:100, None] == np.arange(10), 1.0, -1.0)
    variance = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1).mean()
    oracle = Ridge(variance / 10).fit(rows, targets)
    said = oracle.predict(X[100:200].reshape(100, -1))
    assert np.allclose(model.decision_function(X[100:200]), said)


def test_pooling_makes_codes_bear_a_shift(digits):
    X, y = digits
    moved = np.roll(X, 1, axis=2)
    scores = [
        SparseFrameClassifier(pool=pool).fit(X[:300], y[:300]).score(moved[300:800], y[300:800])
        for pool in (2, None)
    ]
    assert scores[0] > scores[1] + 0.1


def test_learned_thresholds_lower_the_error_of_samples_left_out(digits):
    X, y = digits[0][:200], digits[1][:200]
    targets = np.where(y[:, None] == np.arange(10), 1.0, -1.0)
    errors = []
    for learn in (False, True):
        model = SparseFrameClassifier(
            frame="framelet", dtype="float64", C=10.0, learn_threshold=learn, random_state=0
        ).fit(X, y)
        features = np.concatenate([*model._features(X[:, None])])
        left_out = ridge(features, targets, np.ones(200), [10.0]).left_out
        errors.append(np.square(left_out[:, 0] - targets).mean())
    assert errors[1] < 0.95 * errors[0]
    assert (model.thresholds_ > 0).all()


# dictionaries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spatial", [*SHAPES, (2, 2)], ids=str)
def test_a_dictionary_is_the_matrix_of_all_shifts(spatial):
    D = dictionary(spatial)
    matrix = dense(D)
    assert np.allclose(np.linalg.norm(matrix, axis=0), 1)
    x = noise(4, 2, *spatial)
    assert np.allclose(D.analyse(x).flatten(1), x.flatten(1).numpy() @ matrix)
    gram = matrix.T @ matrix
    assert D.squared_norm == pytest.approx(np.linalg.eigvalsh(gram)[-1])
    assert D.mutual_coherence == pytest.approx(np.abs(gram - np.diag(np.diag(gram))).max())


@pytest.mark.parametrize("pursuit", ["fista", "ista"])
@pytest.mark.parametrize("spatial", SHAPES, ids=str)
def test_pursuit_is_the_lasso(spatial, pursuit):
    D = dictionary(spatial)
    x = noise(3, 2, *spatial)
    codes = D.pursue(x, 0.2, pursuit=pursuit, tol=1e-7, max_steps=100_000)
    lam = 0.2 * D.analyse(x).flatten(1).abs().amax(1)
    kept, products = codes.flatten(1), D.analyse(x - D.synthesise(codes)).flatten(1)
    at_zero = (products.abs() - lam[:, None]).clamp_min(0)
    off = torch.where(kept == 0, at_zero, (products - lam[:, None] * kept.sign()).abs())
    assert off.max() <= 1e-6
    matrix = dense(D)
    for sample in range(3):
        rows = x[sample].flatten().numpy()
        lasso = Lasso(
            float(lam[sample]) / len(rows), fit_intercept=False, tol=1e-12, max_iter=10**6
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            lasso.fit(matrix, rows)

        costs = [
            0.5 * np.sum((rows - matrix @ g) ** 2) + float(lam[sample]) * np.abs(g).sum()
            for g in (kept[sample].numpy(), lasso.coef_)
        ]
        assert costs[0] <= costs[1] * (1 + 1e-9)


def test_codes_do_not_depend_on_their_company():
    D, x = dictionary((9, 9)), noise(6, 2, 9, 9)
    together = D.pursue(x, 0.1)
    assert torch.allclose(together[2:3], D.pursue(x[2:3], 0.1), atol=1e-12)
    assert torch.allclose(D.pursue(7 * x, 0.1), 7 * together)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_less_than_half_of_one_and_one_over_the_coherence_are_recovered(data):
    """Papyan, Romano and Elad: so few non-zeros in every stripe, and the code is the true one."""
    n, seed = 64, data.draw(st.integers(0, 10_000))
    # Random atoms of many channels are nearly orthogonal, whatever their shifts are.
    atoms = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 60, 3)))
    D = ConvolutionalDictionary(atoms, (n,))
    bound = (1 + 1 / D.mutual_coherence) / 2
    assert bound > 2
    most = int(np.ceil(bound)) - 1  # non-zeros in a stripe
    truth = torch.zeros(1, 2, n, dtype=torch.float64)
    stripe = 2 * 3 - 1  # places whose atoms overlap
    for start in range(0, n - 2 * stripe, 2 * stripe):  # more than a stripe from one to the next
        count = data.draw(st.integers(0, most))
        places = data.draw(st.permutations(range(2 * stripe)))[:count]
        for place in places:
            value = data.draw(st.sampled_from([-2.0, -1.0, 1.0, 1.5]))
            truth[0, place % 2, start + place // 2] = value
    assume(truth.any())
    x = D.synthesise(truth)
    codes = D.pursue(x, 1e-4, tol=1e-5, max_steps=50_000)
    assert (codes[truth == 0] == 0).all()
    assert torch.allclose(codes, truth, atol=1e-2)


@pytest.fixture(scope="module")
def coder(digits):
    params = {"dictionaries": (4, 6), "size": 3, "penalty": (0.05, 0.02), "random_state": 0}
    return ConvolutionalSparseCoder(tol=1e-4, **params).fit(digits[0][:50])


def test_two_layers_reconstruct_within_the_errors_of_both(digits, coder):
    X = torch.from_numpy(digits[0][50:60, None])
    first, second = map(torch.from_numpy, coder.codes(digits[0][50:60]))
    below, above = (ConvolutionalDictionary(torch.from_numpy(a), (8, 8)) for a in coder.atoms_)

    def size(x):
        return x.flatten(1).norm(dim=1)

    errors = size(X - below.synthesise(first)), size(first - above.synthesise(second))
    back = torch.from_numpy(coder.inverse_transform(coder.transform(digits[0][50:60])))[:, None]
    assert torch.allclose(back, below.synthesise(above.synthesise(second)))
    bound = errors[0] + below.squared_norm**0.5 * errors[1]
    assert (size(X - back) <= bound + 1e-12).all()
    error = (size(X - back) / size(X)).mean()
    assert coder.reconstruction_error(digits[0][50:60]) == pytest.approx(float(error))
    assert error < 0.35


def test_atoms_of_the_second_layer_are_combinations_of_those_of_the_first(coder):
    below, above = (ConvolutionalDictionary(torch.from_numpy(a), (8, 8)) for a in coder.atoms_)
    effective = coder.effective_atoms()
    assert effective.shape == (6, 1, 5, 5)
    codes = torch.zeros(6, 6, 8, 8, dtype=torch.float64)
    codes[range(6), range(6), 3, 4] = 1
    shown = below.synthesise(above.synthesise(codes))
    assert np.allclose(shown[:, :, 1:6, 2:7], effective)
    assert np.array_equal(coder.effective_atoms(0), coder.atoms_[0])
    assert np.allclose(coder.mutual_coherence_, [below.mutual_coherence, above.mutual_coherence])


def test_thresholding_is_the_forward_pass_of_a_network(digits, coder):
    X = torch.from_numpy(digits[0][:5, None])
    fast = ConvolutionalSparseCoder(
        dictionaries=coder.atoms_, penalty=(0.05, 0.02), pursuit="threshold"
    )
    codes = fast.fit(digits[0][:5]).codes(digits[0][:5])
    for atoms, wanted in zip(coder.atoms_, codes, strict=True):
        products = ConvolutionalDictionary(torch.from_numpy(atoms), (8, 8)).analyse(X)
        penalty = 0.05 if len(atoms) == 4 else 0.02
        X = soft(products, penalty * products.flatten(1).abs().amax(1).view(-1, 1, 1, 1))
        assert np.allclose(X, wanted)


def test_a_coder_in_a_pipeline_and_in_a_file(digits, tmp_path):
    X, y = digits
    coder = ConvolutionalSparseCoder(
        dictionaries=("gaussian", 32), size=3, penalty=0.02, pursuit="threshold", pool=4
    )
    model = make_pipeline(coder, StandardScaler(), RidgeClassifier(100.0)).fit(X[:300], y[:300])
    assert model.score(X[300:800], y[300:800]) > 0.75
    assert coder.transform(X[:9]).shape[1] == len(coder.get_feature_names_out())
    save_model(coder, tmp_path / "coder.zip")
    assert np.array_equal(
        load_model(tmp_path / "coder.zip").transform(X[:9]), coder.transform(X[:9])
    )


def test_the_classifier_is_ridge_on_the_codes_of_its_coder(digits, coder):
    X, y = digits
    params = {"dictionaries": coder.atoms_, "penalty": 0.1, "tol": 1e-3, "pool": 3}
    model = ConvolutionalSparseClassifier(pursuit="fista", C=10.0, **params).fit(X[:40], y[:40])
    codes = ConvolutionalSparseCoder(**params).fit(X[:40]).transform(X[:50])
    assert np.allclose(model.transform(X[40:50]), codes[40:])
    variance = codes[:40].var(axis=0).sum()
    targets = np.where(y[:40, None] == np.arange(10), 1.0, -1.0)
    oracle = Ridge(variance / 10).fit(codes[:40], targets)
    assert np.allclose(model.decision_function(X[40:50]), oracle.predict(codes[40:]))
    assert model.n_parameters_ == 10 * (codes.shape[1] + 1)  # no atom was learned


def test_the_classifier_learns_dictionaries_from_samples_that_differ(digits, tmp_path):
    X, y = digits
    params = {"dictionaries": (8, "gaussian"), "size": 3, "random_state": 0}
    model = ConvolutionalSparseClassifier(**params).fit(X[:300], y[:300])
    assert model.score(X[300:800], y[300:800]) > 0.8
    assert model.n_parameters_ == model.coef_.size + 10 + 8 * 3 * 3
    proba = model.predict_proba(X[300:320])
    assert np.allclose(proba.sum(axis=1), 1)
    assert np.array_equal(model.classes_[proba.argmax(axis=1)], model.predict(X[300:320]))
    rows = np.random.default_rng(0).permutation(np.r_[:300, :100])
    again = clone(model).fit(X[rows], y[rows])
    weighted = clone(model).fit(X[:300], y[:300], sample_weight=np.repeat([2, 1], [100, 200]))
    assert np.array_equal(again.atoms_[0], model.atoms_[0])
    assert np.allclose(again.predict_proba(X[300:320]), weighted.predict_proba(X[300:320]))
    save_model(model, tmp_path / "model.zip")
    loaded = load_model(tmp_path / "model.zip")
    assert np.array_equal(loaded.predict_proba(X[300:320]), proba)


def test_the_example_draws_both_layers(capsys, tmp_path):
    example = runpy.run_path(Path(__file__).parents[1] / "examples/sparse_codes.py")
    pictures = tuple(str(tmp_path / f"{layer}.png") for layer in (1, 2))
    example["main"](n_patches=10, pictures=pictures, dictionaries=(3, 4), size=3, penalty=0.3)
    assert "two layers" in capsys.readouterr().out
    assert all(map(os.path.getsize, pictures))


# what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, message",
    [
        ({"frame": "wavelet", "threshold": "keep-k", "k": 65}, "k must be at most 64"),
        ({"frame": WaveletTransform("haar", levels=4)}, "levels=4 must be at most 3"),
        ({"threshold": "sharp"}, "threshold of SparseFrameClassifier must be one of"),
        ({"threshold": "hard", "learn_threshold": True}, "learn_threshold=True needs"),
        ({"frame": "wavelets"}, "wavelets"),
        ({"tau": -1.0}, "tau of SparseFrameClassifier must be"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(digits, params, message):
    with pytest.raises(ValueError, match=message):
        SparseFrameClassifier(**params).fit(digits[0][:50], digits[1][:50])


@pytest.mark.parametrize(
    "params, message",
    [
        ({"dictionaries": ()}, "dictionaries of ConvolutionalSparseCoder must be"),
        ({"dictionaries": (np.ones((2, 2, 3, 3)),)}, r"atoms of shape \(n_atoms, 1"),
        ({"dictionaries": (np.zeros((2, 1, 3, 3)),)}, "atom 0 of a dictionary is zero"),
        ({"penalty": (0.1, 0.1, 0.1)}, "penalty has 3 entries for 2 dictionaries"),
        ({"pursuit": "greedy"}, "pursuit of ConvolutionalSparseCoder must be one of"),
    ],
    ids=str,
)
def test_what_cannot_be_coded_is_refused(digits, params, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionalSparseCoder(**params).fit(digits[0][:5])


def test_a_pursuit_that_is_cut_off_says_so():
    with pytest.warns(ConvergenceWarning, match="max_steps=2"):
        dictionary((9, 9)).pursue(noise(2, 2, 9, 9), 0.01, max_steps=2)
