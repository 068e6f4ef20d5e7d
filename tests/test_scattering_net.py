"""The network on scattering: what is trained and what is not, and that it is an estimator."""

from math import log

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklstruct_scattering.net import SMALL, ScatteringNet, ScatteringNetClassifier
from sklstruct_scattering.scattering import Scattering

from sklstruct.estimators import StructuredClassifier, load_model, save_model
from sklstruct.layers import Dropout
from sklstruct.plugins import lookup

TINY = {"J": 1, "L": 4, "width": 8, "max_epochs": 2, "augment": "crops", "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:300] / 16).reshape(-1, 8, 8).astype(np.float32), y[:300]


@pytest.mark.parametrize("shape", [(2, 20), (3, 13, 10), (1, 8, 9, 8)])
def test_the_front_is_scattering_and_only_what_stands_on_it_is_trained(shape):
    net = ScatteringNet(J=2, L=3, width=4).build(shape, 3)
    x = torch.randn(5, *shape, requires_grad=True)
    coefficients = Scattering(2, shape[1:], L=3)(x)
    front = net.stages.front(x).unflatten(1, coefficients.shape[1:3])
    undone = torch.cat([front[:, :, :1], front[:, :, 1:].exp() - SMALL], dim=2)
    torch.testing.assert_close(undone, coefficients, rtol=1e-4, atol=1e-5)
    assert not list(net.stages.front.parameters())
    net(x).sum().backward()
    assert x.grad.abs().max() > 0  # for pictures of what matters


def test_a_learnable_front_is_trained_too(digits):
    model = ScatteringNetClassifier(**TINY, learnable=True).fit(digits[0][:40], digits[1][:40])
    fresh = ScatteringNet(J=1, L=4, learnable=True).build((1, 8, 8), 10)
    start, learned = (net.stages.front.scattering.learned for net in (fresh, model.net_.module_))
    for name, before in start.named_parameters():
        assert not torch.equal(getattr(learned, name), before)


def test_rounding_below_0_is_0_to_the_logarithm(monkeypatch):
    front = ScatteringNet(J=1, L=2).build((1, 8, 8), 2).stages.front
    coefficients = torch.tensor([-1.0, -0.5, 0.0]).reshape(1, 1, 3, 1, 1)
    monkeypatch.setattr(front.scattering, "forward", lambda x: coefficients)
    found = front(torch.zeros(1, 1, 8, 8)).flatten()
    torch.testing.assert_close(found, torch.tensor([-1.0, log(SMALL), log(SMALL)]))


@pytest.mark.parametrize(
    "shape, J",
    [
        ((3, 32, 32), 2),
        ((1, 28, 28), 3),
        ((1, 30, 17), 2),
        ((1, 17, 17), 3),
        ((1, 40), 3),
        ((1, 37), 2),
        ((1, 8, 8, 12), 1),
        ((1, 9, 7, 11), 1),
    ],
)
def test_the_twin_has_the_same_trunk_at_the_same_resolution(shape, J):
    fronts = "scattering", "pixels"
    nets = [ScatteringNet(J=J, L=3, front=front).build(shape, 5) for front in fronts]
    x = torch.zeros(2, *shape)
    ours, twins = (net.stages.front(x).shape for net in nets)
    assert ours[2:] == twins[2:] == Scattering(J, shape[1:], L=3).out_shape
    ours, twins = (
        [p.shape for part in (net.stages[4:], net.head) for p in part.parameters()] for net in nets
    )
    assert ours == twins


def test_whole_coefficients_are_dropped_in_training_alone():
    stages = ScatteringNet(L=3).build((1, 16, 16), 2).stages
    x = torch.rand(1, stages.norm.num_features, 4, 4) + 1
    dropped = stages.dropout(x).flatten(2) == 0
    assert torch.equal(dropped.all(2), dropped.any(2))
    assert 0 < dropped.all(2).sum() < dropped.shape[1]
    assert torch.equal(stages.dropout.eval()(x), x)


@pytest.mark.parametrize("name", ["input_dropout", "dropout", "head_dropout"])
def test_every_dropout_is_at_work_in_training_alone(name):
    shares = dict.fromkeys(["input_dropout", "dropout", "head_dropout"], 0.0) | {name: 0.4}
    net, x = ScatteringNet(J=1, L=2, **shares).build((1, 8, 8), 2), torch.randn(4, 1, 8, 8)
    assert sorted(m.p for m in net.modules() if isinstance(m, Dropout)) == [0, 0, 0.4]
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_it_learns_digits_better_than_chance_within_a_grid_search(digits):
    grid = {"J": [1, 2], "front": ["scattering", "pixels"]}
    params = TINY | {"max_epochs": 12, "augment": None}
    search = GridSearchCV(ScatteringNetClassifier(**params), grid, cv=2).fit(*digits)
    scores = search.cv_results_["mean_test_score"]
    assert scores.min() > 0.6
    assert len(set(scores)) == 4


def test_a_saved_model_predicts_the_same(digits, tmp_path):
    X, y = digits
    model = ScatteringNetClassifier(**TINY).fit(X[:60], y[:60])
    save_model(model, tmp_path / "model.skl")
    assert np.array_equal(
        load_model(tmp_path / "model.skl").predict_proba(X), model.predict_proba(X)
    )


def test_equal_seeds_give_equal_bits_and_rows_are_folded(digits):
    X, y = digits
    first = ScatteringNetClassifier(**TINY).fit(X[:60], y[:60]).predict_proba(X)
    flat = X.reshape(len(X), -1)
    second = ScatteringNetClassifier(**TINY, image_shape=(8, 8)).fit(flat[:60], y[:60])
    assert np.array_equal(second.predict_proba(flat), first)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"front": "wavelets"}, "front of .* must be one of .*pixels"),
        ({"n_blocks": -1}, "n_blocks of .* must be an integer of at least 0, got -1"),
        ({"width": 2.5}, "width of .* must be an integer"),
        ({"width": 0}, "width of .* must be an integer of at least 1, got 0"),
        ({"n_cells": 0}, "n_cells of .* must be"),
        ({"input_dropout": 1.0}, "input_dropout of .* must be a finite number .* below 1"),
        ({"J": 0, "front": "pixels"}, "J of .* must be"),
        ({"J": 5, "front": "pixels"}, r"J=5 averages over 32 samples, but the shape is \(16,\)"),
        ({"learnable": True}, "learnable=True is for two dimensions"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        ScatteringNet(**params).build((1, 16), 2)
    with pytest.raises(ValueError, match=message):
        ScatteringNetClassifier(**params).fit(np.ones((4, 16)), [0, 1, 0, 1])


def test_it_is_trained_as_its_preset_says_by_whichever_estimator(digits):
    X, y = digits[0][:60], digits[1][:60]
    plan = ScatteringNetClassifier()._plan(60)
    assert (plan.lr, plan.weight_decay) == (0.005, 0.05)
    own = {name: TINY[name] for name in ("J", "L", "width")}
    rest = {name: value for name, value in TINY.items() if name not in own}
    model = StructuredClassifier(architecture=ScatteringNet(**own), **rest).fit(X, y)
    named = ScatteringNetClassifier(**TINY).fit(X, y)
    assert np.array_equal(model.predict_proba(X), named.predict_proba(X))
    assert lookup("architecture", "scattering_net") is ScatteringNet
