"""The kernel machine on pixels: scikit-learn's contract, and what its docstring promises."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklstruct_baselines.svm import PixelSVC, decision_values
from sklstruct_baselines.voxels import VoxelSVC

from sklstruct.estimators.held_out import TEMPERATURES
from sklstruct.plugins import lookup


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    train, test = np.split(np.random.default_rng(0).permutation(len(y))[:900], [300])
    images = X.reshape(-1, 8, 8)
    return images[train], y[train], images[test], y[test]


@parametrize_with_checks([PixelSVC(), PixelSVC(C=1.0, gamma=0.1, class_weight="balanced")])
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_it_is_registered():
    assert lookup("estimator", "svm") is PixelSVC


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_the_most_probable_class_is_the_predicted_one(digits, n_classes):
    X, y, X_test, _ = digits
    model = PixelSVC(random_state=0).fit(X[y < n_classes], y[y < n_classes])
    proba, decision = model.predict_proba(X_test), model.decision_function(X_test)
    assert proba.shape == (len(X_test), n_classes)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(proba.argmax(axis=1), model.predict(X_test))
    first = (decision > 0).astype(int) if n_classes == 2 else decision.argmax(axis=1)
    np.testing.assert_array_equal(first, model.predict(X_test))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_decision_values_are_smallest_margins(digits, n_classes):
    X, y, X_test, _ = digits
    X, y = X[y < n_classes].reshape(-1, 64), y[y < n_classes]
    machine = SVC(decision_function_shape="ovo").fit(X, y)
    pairs = machine.decision_function(X_test[:20].reshape(-1, 64)).reshape(20, -1)
    values = decision_values(machine, X_test[:20].reshape(-1, 64))
    for row, margins in zip(values, pairs, strict=True):
        over = dict(zip(combinations(range(n_classes), 2), margins, strict=True))
        over |= {(j, i): -m for (i, j), m in over.items()}
        if n_classes == 2:
            over = {(1, 0): margins[0], (0, 1): -margins[0]}
        expected = [min(m for (i, _), m in over.items() if i == c) for c in range(n_classes)]
        np.testing.assert_allclose(row, expected)
    won = machine.predict(X_test[:20].reshape(-1, 64))
    beats_all = values.max(axis=1) > 0
    assert beats_all.any()
    np.testing.assert_array_equal(values.argmax(axis=1)[beats_all], won[beats_all])


def test_it_is_a_good_baseline_with_good_probabilities(digits):
    X, y, X_test, y_test = digits
    model = PixelSVC(random_state=0).fit(X, y)
    assert model.score(X_test, y_test) > 0.93
    assert TEMPERATURES[0] < model.temperature_ < TEMPERATURES[1]
    calibrated = log_loss(y_test, model.predict_proba(X_test))
    for wrong in (model.temperature_ / 4, model.temperature_ * 4):
        model.temperature_ = wrong
        assert calibrated < log_loss(y_test, model.predict_proba(X_test))


def test_any_shape_and_any_units_give_the_same(digits):
    X, y, X_test, _ = digits
    images = PixelSVC(random_state=0).fit(X, y)
    flat = PixelSVC(random_state=0).fit(X.reshape(len(X), -1), y)
    proba = flat.predict_proba(X_test.reshape(-1, 64))
    np.testing.assert_array_equal(proba, images.predict_proba(X_test))
    offsets = np.random.default_rng(0).normal(size=(8, 8))  # one a pixel, but one scale for all
    with pytest.warns(UserWarning, match="another scale"):
        images.predict(256 * X)
    moved = PixelSVC(random_state=0).fit(256 * X + offsets, y)
    decision = moved.decision_function(256 * X_test + offsets)
    np.testing.assert_allclose(decision, images.decision_function(X_test), atol=images.svc_.tol)
    with pytest.raises(ValueError, match=r"samples of shape \(8, 4\).* fitted on shape \(8, 8\)"):
        flat.fit(X, y).predict(X_test[:, :, :4])


def test_weights_are_repetitions_and_the_order_does_not_matter(digits):
    X, y, X_test, _ = digits
    X, y = X[:120], y[:120]
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, size=len(y))
    repeated = rng.permutation(np.repeat(np.arange(len(y)), weight))
    weighted = PixelSVC(random_state=0).fit(X, y, sample_weight=weight)
    copied = PixelSVC(random_state=0).fit(X[repeated], y[repeated])
    np.testing.assert_allclose(
        weighted.predict_proba(X_test), copied.predict_proba(X_test), rtol=1e-9
    )
    assert weighted.temperature_ == pytest.approx(copied.temperature_, rel=1e-9)


@pytest.mark.parametrize("cls", [PixelSVC, VoxelSVC])
def test_a_list_of_images_is_as_good_as_an_array(cls, digits):
    X, y = digits[0][:60].astype(np.uint8), digits[1][:60] % 2
    images = [Image.fromarray(x) for x in X]
    wanted = cls(random_state=0).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(cls(random_state=0).fit(images, y).predict_proba(images), wanted)


def test_class_weights_are_sample_weights(digits):
    X, y, X_test, _ = digits
    labels = np.array(list("abcdefghij"))[y]
    by_class = PixelSVC(class_weight={"a": 3.0}, random_state=0).fit(X, labels)
    by_sample = PixelSVC(random_state=0).fit(X, labels, sample_weight=np.where(y == 0, 3.0, 1.0))
    np.testing.assert_array_equal(by_class.predict_proba(X_test), by_sample.predict_proba(X_test))
    assert set(by_class.predict(X_test)) <= set(by_class.classes_.tolist()) == set("abcdefghij")


def test_without_something_to_hold_out_the_temperature_is_one(digits):
    X, y, X_test, _ = digits
    _, kept = np.unique(y, return_index=True)
    model = PixelSVC().fit(X[kept], y[kept])
    assert model.temperature_ == 1
    assert model.predict_proba(X_test).shape[1] == 10
    copies = np.where(X[kept] == 0, -0.0, X[kept])  # the same samples once more
    model.fit(np.r_[X[kept], copies], np.r_[y[kept], y[kept]])
    assert model.temperature_ == 1


def test_one_rare_class_does_not_leave_the_others_uncalibrated(digits):
    X, y, X_test, y_test = digits
    kept = (y != 3) | (np.arange(len(y)) == np.flatnonzero(y == 3)[0])
    model = PixelSVC(random_state=0).fit(X[kept], y[kept])
    frequent = y_test != 3
    calibrated = log_loss(y_test[frequent], model.predict_proba(X_test[frequent]), labels=range(10))
    for wrong in (model.temperature_ / 4, model.temperature_ * 4):
        model.temperature_ = wrong
        proba = model.predict_proba(X_test[frequent])
        assert calibrated < log_loss(y_test[frequent], proba, labels=range(10))


def test_a_class_of_weight_0_is_left_out(digits):
    X, y, X_test, _ = digits
    model = PixelSVC(class_weight={3: 0}, random_state=0).fit(X, y)
    without = PixelSVC(random_state=0).fit(X[y != 3], y[y != 3])
    np.testing.assert_array_equal(model.classes_, np.delete(np.arange(10), 3))
    np.testing.assert_array_equal(model.predict_proba(X_test), without.predict_proba(X_test))


def test_parameters_are_counted(digits):
    X, y, *_ = digits
    model = PixelSVC().fit(X[y < 3], y[y < 3])
    assert model.n_parameters_ == 2 * len(model.svc_.support_) + 3


@pytest.mark.parametrize("parameters", [{"C": 0}, {"gamma": "wide"}, {"gamma": -1.0}])
def test_bad_parameters_are_named(digits, parameters):
    with pytest.raises(ValueError, match=f"{next(iter(parameters))} of PixelSVC must be"):
        PixelSVC(**parameters).fit(*digits[:2])


def test_what_needs_no_torch_loads_none():
    code = (
        "import sys, sklstruct_baselines.svm, sklstruct_baselines.voxels, sklstruct_baselines.pca\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
