"""The residual network of dynamic and static blocks."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklstruct_steerable.architecture import SteerableResNet

from sklstruct import SteerableResNetClassifier
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import pose_maps
from sklstruct.layers import DynamicSteerableBlock
from sklstruct.training import CrossEntropy

DIGITS = load_digits()
X, Y = DIGITS.images[:120], DIGITS.target[:120]
TINY = {"widths": (6, 8), "max_epochs": 8, "random_state": 0}


def n_parameters(**options):
    network = SteerableResNet(**options).build((1, 28, 28), n_outputs=10)
    return sum(weights.numel() for weights in network.parameters())


def test_twins_have_as_many_parameters_and_differ_in_their_poses_alone():
    assert n_parameters() == 122965
    assert n_parameters(pose="fixed") == n_parameters(pose="max") == 117898
    network = SteerableResNet().build((1, 28, 28), n_outputs=10)
    blocks = [part for part in network.modules() if isinstance(part, DynamicSteerableBlock)]
    poses = sum(weights.numel() for block in blocks for weights in block.where.parameters())
    assert n_parameters() - poses == n_parameters(pose="fixed")


@pytest.mark.parametrize("pose", ["learned", "max", "fixed"])
def test_digits_are_learned(pose):
    model = SteerableResNetClassifier(pose=pose, **TINY | {"max_epochs": 15}).fit(X, Y)
    assert model.score(DIGITS.images[120:220], DIGITS.target[120:220]) > 0.6


def test_a_penalty_makes_poses_alike():
    rough = []
    for penalty in (0.0, 30.0):
        model = SteerableResNetClassifier(pose_penalty=penalty, **TINY | {"lr": 0.03}).fit(X, Y)
        angles = pose_maps(model, X[:20])[:, 0]
        rough.append((1 - np.cos(np.diff(angles, axis=-1))).mean())
    assert rough[1] < rough[0] / 5
    objective = CrossEntropy()
    assert SteerableResNet(pose="fixed", pose_penalty=1.0).penalised(objective) is objective
    assert SteerableResNet().penalised(objective) is objective


def test_a_search_reaches_poses_and_equal_seeds_give_equal_results():
    grid = {"pose": ["learned", "fixed"], "pose_units": [4]}
    model = SteerableResNetClassifier(**TINY | {"max_epochs": 2})
    search = GridSearchCV(model, grid, cv=2).fit(X, Y)
    again = clone(search.best_estimator_).fit(X, Y)
    assert np.array_equal(again.predict_proba(X), search.predict_proba(X))


def test_signals_have_nothing_to_turn():
    signals = X.reshape(120, 64)
    options = TINY | {"max_epochs": 2, "layout": "L"}
    models = [
        SteerableResNetClassifier(pose=p, **options).fit(signals, Y) for p in ("learned", "fixed")
    ]
    np.testing.assert_array_equal(*(model.predict_proba(signals) for model in models))
    frame = GaussianDerivatives(order=2, scales=(0.8, 1.2))
    scaled = SteerableResNetClassifier(frame=frame, steer_scale=True, **options).fit(signals, Y)
    assert scaled.n_parameters_ > models[0].n_parameters_
