"""The linear classifier beside the network: what it finds, and how much it has to say."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklstruct_rfnin.estimator import RFNiNClassifier
from sklstruct_rfnin.linear import Places, fit_linear
from sklstruct_rfnin.mixture import LEAST, best_shares
from skorch.callbacks import EarlyStopping

from sklstruct.estimators.rows import Rows


def samples(n=60, n_classes=2, shape=(6, 7, 5), seed=0):
    """Samples of one channel whose classes differ in a place that smoothing leaves."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.normal(size=(n, 1, *shape))
    X[:, 0, 2:4, 2:5, 1:4] += 0.5 * y.reshape(-1, 1, 1, 1)
    return X, y


def places(X, weight=None):
    weight = np.ones(len(X)) if weight is None else weight
    return Places(Rows(X, np.arange(len(X))), weight, torch.from_numpy)


def seen(X):
    """Return what the classifier sees, by other means."""
    smooth = [gaussian_filter(sample, 1.0, axes=(1, 2, 3)) for sample in X]
    return StandardScaler().fit_transform(np.reshape(smooth, (len(X), -1)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_logistic_regression_on_smoothed_and_scaled_places(n_classes, monkeypatch):
    monkeypatch.setattr("sklstruct_rfnin.linear.PENALTIES", (10.0,))
    X, y = samples(n_classes=n_classes)
    fit = fit_linear(places(X), y, np.ones(len(y)), np.arange(len(y)), 0)
    logits = X.reshape(len(X), -1) @ fit.weight.reshape(n_classes, -1).T + fit.bias
    Z = seen(X)
    Z /= np.sqrt((Z**2).sum(1).mean())
    oracle = LogisticRegression(C=10.0, tol=1e-8, max_iter=10_000).fit(Z, y)
    expected = oracle.predict_log_proba(Z)  # within the tolerance of the optimiser
    np.testing.assert_allclose(log_softmax(logits, axis=1), expected, rtol=1e-2, atol=1e-3)


def test_inner_products_do_not_depend_on_the_blocks(monkeypatch):
    X, _ = samples()
    blocks = places(X).products()
    monkeypatch.setattr("sklstruct_rfnin.linear.BLOCKS", 1)
    np.testing.assert_allclose(blocks, places(X).products(), rtol=1e-12)
    np.testing.assert_allclose(blocks, seen(X) @ seen(X).T, rtol=1e-9, atol=1e-9)


def test_places_that_do_not_vary_have_no_weight():
    X, y = samples(shape=(20, 4, 4))
    X[:, :, :12] = 7.3  # the Gaussian reaches four samples, there and back
    X = (X + 1e3).astype(np.float32)  # which rounds
    weight = fit_linear(places(X), y, np.ones(len(y)), np.arange(len(y)), 0).weight
    assert not weight[:, :, :4].any()
    assert weight[:, :, 12:].any()


def test_a_weight_counts_samples():
    X, _ = samples(n=24)
    weight = np.where(np.arange(24) < 6, 2.0, 1.0)
    weighted, repeated = places(X, weight), places(np.concatenate([X, X[:6]]))
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-9)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-9)


def test_the_shares_are_those_of_the_least_log_loss():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=400)
    weight = rng.uniform(0.5, 2, size=400)
    truth = np.eye(3)[y]
    good, bad = truth + rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    assert best_shares(bad, good, y, weight)[0] == pytest.approx(LEAST, abs=0.2)
    found = best_shares(good, truth + rng.normal(size=(400, 3)), y, weight)
    assert found == pytest.approx((1, 1), abs=0.3)  # for unit noise, Bayes' rule


@pytest.fixture(scope="module")
def fitted():
    X, y = samples(n=40)
    return RFNiNClassifier(max_epochs=2, random_state=0).fit(X, np.array(list("ba"))[y]), X


def test_the_outputs_are_the_mixture(fitted):
    model, X = fitted
    network, x = model.net_.module_, model._to_tensor(X)
    alone = network.head(network.features(x).flatten(2).mean(2))
    mixed = model.shares_[0] * alone + model.shares_[1] * network.linear(x)
    torch.testing.assert_close(network(x), mixed)
    np.testing.assert_allclose(model.predict_proba(X), mixed.softmax(1).detach(), rtol=1e-4)
    assert (model.shares_ >= LEAST).all()


def test_the_network_is_the_one_without_a_linear_classifier(fitted):
    model, X = fitted
    alone = clone(model).set_params(linear=False).fit(X, model.predict(X))
    again = clone(model).fit(X, model.predict(X))
    theirs = again.net_.module_.state_dict()
    for name, values in alone.net_.module_.state_dict().items():
        assert name == "shares" or torch.equal(values, theirs[name]), name
    assert alone.shares_.tolist() == [1, 0]


def test_a_linear_problem_needs_no_long_training():
    """Half of the samples have a spot on the left, the others the same spot on the right."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 12, 12)), np.arange(80) % 2
    X[y == 0, 2:5, 2:5] += 1.5
    X[y == 1, 7:10, 7:10] += 1.5
    train, test = slice(50), slice(50, None)
    model = RFNiNClassifier(max_epochs=2, random_state=0).fit(X[train], y[train])
    assert model.score(X[test], y[test]) > 0.9
    alone = clone(model).set_params(linear=False).fit(X[train], y[train])
    assert alone.score(X[test], y[test]) < 0.9


def test_where_nothing_can_be_held_out_the_network_is_alone():
    X, _ = samples(n=6)
    model = RFNiNClassifier(max_epochs=1, random_state=0).fit(X, [0, 1, 1, 1, 1, 1])
    assert model.shares_.tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(12, 6, 6), (12, 1, 6, 6)])
def test_of_samples_that_are_all_the_same_the_network_is_alone(shape):
    model = RFNiNClassifier(max_epochs=1, random_state=0).fit(np.ones(shape), [0, 1] * 6)
    assert model.shares_.tolist() == [1, 0]


def test_where_a_class_has_no_weight_the_network_is_alone():
    X, y = samples(n=24, n_classes=3)
    model = RFNiNClassifier(class_weight={0: 1, 1: 1, 2: 0}, max_epochs=1, random_state=0)
    assert model.fit(X, y).shares_.tolist() == [1, 0]


def test_networks_that_hold_out_have_neither_callbacks_nor_a_feature_layer():
    X, y = samples(n=24)
    stopping = ("stop", EarlyStopping(monitor="valid_loss"))
    model = RFNiNClassifier(callbacks=[stopping], feature_layer="linear", max_epochs=1)
    assert model.fit(X, y, X_val=X, y_val=y).transform(X).shape == (24, 2)


def test_the_unit_of_the_weights_does_not_matter():
    X, y = samples(n=24)
    model = RFNiNClassifier(max_epochs=1, random_state=0)
    expected = clone(model).fit(X, y, sample_weight=np.ones(24)).predict_proba(X)
    found = clone(model).fit(X, y, sample_weight=np.full(24, 2.0**-12)).predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_scans_of_a_subject_are_held_out_together():
    X, y = samples(n=24)
    model = RFNiNClassifier(max_epochs=1, random_state=0)
    weight = np.arange(24) > 2  # subjects keep to the samples that stay
    one_each = model.fit(X, y, weight, groups=np.where(weight, y, 5))
    assert one_each.shares_.tolist() == [1, 0]  # no subject can be held out
    assert model.fit(X, y, weight, groups=np.arange(24) // 4 * 2 + y).shares_[1] > 0
    assert "_subjects" not in vars(model)
    assert fit_linear(places(X), y, np.ones(24), y, 0) is None


def test_a_failure_leaves_no_half_fitted_model(monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sklstruct_rfnin.estimator.mix", fail)
    X, y = samples(n=12)
    model = RFNiNClassifier(max_epochs=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "net_")
