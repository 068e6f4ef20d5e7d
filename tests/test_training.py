"""How a network learns: objectives, plans, and callbacks of skorch."""

import os
import pickle
import signal
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from sklstruct import RFNNClassifier, StructuredClassifier, StructuredRegressor
from sklstruct.training import Auxiliary, CrossEntropy, Penalised, SquaredError

SMALL = {"widths": (8, 8), "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:120] / 16).reshape(-1, 8, 8).astype(np.float32), y[:120]


# callbacks ---------------------------------------------------------------------------------------


def raise_if(done):
    """End the training, and not in a line that begins with raise."""
    _ = done and (_ for _ in ()).throw(KeyboardInterrupt)


class Ending(Callback):
    """Ends the training after an epoch, as callbacks of skorch do."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        raise_if(len(net.history) >= self.epoch)


class Interrupting(Callback):
    """Lets Ctrl-C come in the middle of an epoch or of a callback."""

    def __init__(self, where):
        self.where = where

    def notify(self, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)

    def initialize(self):
        setattr(self, self.where, lambda net, **kwargs: self.notify())
        return self


def test_a_callback_may_end_a_training(digits):
    model = RFNNClassifier(**SMALL | {"max_epochs": 9}, callbacks=[Ending(2)]).fit(*digits)
    assert model.n_iter_ == 2
    assert model.predict(digits[0]).shape == (120,)


@pytest.mark.parametrize("where", ["on_epoch_end", "on_batch_end", "on_grad_computed"])
def test_ctrl_c_ends_the_fit_and_leaves_nothing(digits, where):
    handler = signal.getsignal(signal.SIGINT)
    model = RFNNClassifier(**SMALL, callbacks=[Interrupting(where)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits)
    with pytest.raises(NotFittedError):
        model.predict(digits[0])
    assert signal.getsignal(signal.SIGINT) is handler


def test_callbacks_are_called_and_not_kept(digits):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            Count.epochs += 1

    model = RFNNClassifier(**SMALL, callbacks=[Count()]).fit(*digits)
    assert Count.epochs == 3
    assert not any(isinstance(callback, Count) for _, callback in model.net_.callbacks_)


def test_a_callback_that_fails_is_no_fit(digits):
    class Failing(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError("nope")

    model = RFNNClassifier(**SMALL, callbacks=[Failing()])
    with pytest.raises(RuntimeError, match="nope"):
        model.fit(*digits)
    with pytest.raises(NotFittedError):
        model.predict(digits[0])


def test_scores_of_skorch_are_those_of_scikit_learn(digits):
    X, y = digits
    scores = [
        EpochScoring("accuracy", lower_is_better=False, name="valid_acc"),
        EpochScoring("neg_log_loss", lower_is_better=False, name="valid_loss_"),
        EpochScoring("accuracy", on_train=True, name="train_acc"),
    ]
    model = RFNNClassifier(**SMALL, callbacks=scores)
    model.fit(
        X[:80],
        np.array(list("abcdefghij"))[y[:80]],
        X_val=X[80:],
        y_val=np.array(list("abcdefghij"))[y[80:]],
    )
    last = model.net_.history[-1]
    assert last["valid_acc"] == accuracy_score(y[80:], model.predict_proba(X[80:]).argmax(1))
    loss = log_loss(y[80:], model.predict_proba(X[80:]), labels=range(10))
    assert last["valid_loss_"] == pytest.approx(-loss, rel=1e-4)
    assert 0 < last["train_acc"] <= 1
    values = StructuredRegressor(max_epochs=2, callbacks=[EpochScoring("r2")], random_state=0)
    values.fit(X, y.astype(float), X_val=X, y_val=y.astype(float))
    assert values.net_.history[-1]["r2"] == pytest.approx(values.score(X, y), rel=1e-4)


# objectives --------------------------------------------------------------------------------------


class Towers(nn.Module):
    """Two linear classifiers, of which the second is a side output."""

    def __init__(self, in_shape, n_outputs):
        super().__init__()
        n = int(np.prod(in_shape))
        self.main, self.side = nn.Linear(n, n_outputs), nn.Linear(n, n_outputs)

    def features(self, x):
        return x.flatten(1)

    def forward(self, x):
        x = self.features(x)
        return self.main(x), self.side(x)


class OwnLoss(Towers):
    def loss(self, x, y):
        return sum(nn.functional.cross_entropy(out, y, reduction="none") for out in self(x))


def trained(digits, build, **params):
    return StructuredClassifier(architecture=build, max_epochs=3, random_state=0, **params).fit(
        *digits
    )


def moved(model, name):
    """Return how far a layer is from where it started."""
    start = StructuredClassifier(architecture=model.architecture, max_epochs=1, lr=1e-30)
    start = start.set_params(random_state=0, optimizer="sgd").fit(*model.data)
    weights = (getattr(one.net_.module_, name).weight.detach() for one in (start, model))
    return float(torch.dist(*weights))


def test_of_several_outputs_the_first_is_the_main_one(digits):
    model = trained(digits, Towers)
    model.data = digits
    assert model.predict_proba(digits[0]).shape == (120, 10)
    assert moved(model, "main") > 0.001
    assert moved(model, "side") == 0
    assert np.array_equal(
        pickle.loads(pickle.dumps(model)).predict(digits[0]), model.predict(digits[0])
    )


@pytest.mark.parametrize(
    "build, params",
    [
        (Towers, {"objective": Auxiliary(CrossEntropy(), weights=(1.0,))}),
        (OwnLoss, {}),
    ],
    ids=["objective", "network"],
)
def test_side_outputs_are_trained_by_an_objective_or_by_the_network(digits, build, params):
    model = trained(digits, build, **params)
    model.data = digits
    assert moved(model, "side") > 0.001
    by_hand = trained(
        digits,
        Towers,
        objective=lambda net, x, y: sum(CrossEntropy().of(out, y) for out in net(x)),
    )
    assert np.array_equal(model.predict_proba(digits[0]), by_hand.predict_proba(digits[0]))


def test_a_penalty_is_weight_decay(digits):
    def half_squares(network):
        return network.head.weight.square().sum() / 2

    rest = {"optimizer": "sgd", "schedule": "constant", "lr": 0.01, "max_epochs": 4}
    rest |= {"dtype": "float64", "random_state": 0}
    decayed = StructuredClassifier(weight_decay=0.3, **rest).fit(*digits)
    objective = Penalised(CrossEntropy(0.1), half_squares, strength=0.3)
    penalised = StructuredClassifier(weight_decay=0.0, objective=objective, **rest).fit(*digits)
    np.testing.assert_allclose(
        penalised.decision_function(digits[0]), decayed.decision_function(digits[0]), rtol=1e-9
    )


def test_objectives_are_the_losses_of_torch():
    rng = torch.Generator().manual_seed(0)
    logits, y = torch.randn(6, 4, generator=rng), torch.arange(6) % 4
    torch.testing.assert_close(
        CrossEntropy(0.2).of(logits, y),
        nn.CrossEntropyLoss(reduction="none", label_smoothing=0.2)(logits, y),
    )
    values = torch.randn(6, 4, generator=rng)
    torch.testing.assert_close(
        SquaredError().of(logits, values).mean(), nn.MSELoss()(logits, values)
    )


@pytest.mark.parametrize(
    "objective, message",
    [
        (
            lambda net, x, y: CrossEntropy().of(net(x)[0], y).mean(),
            r"loss of each sample, shape \(\d+,\)",
        ),
        (Auxiliary(CrossEntropy(), weights=(1.0, 1.0)), "one for each side output, got 2"),
        (3, "objective of StructuredClassifier must be a function"),
    ],
)
def test_wrong_objectives_are_named(digits, objective, message):
    with pytest.raises(ValueError, match=message):
        trained(digits, Towers, objective=objective)


# plans -------------------------------------------------------------------------------------------

PLAN = {"max_epochs": 1, "batch_size": 9, "lr": 0.1, "optimizer": "sgd", "schedule": "constant"}


def test_groups_of_parameters_have_rates_of_their_own(digits):
    groups = [("main.*", {"lr": 1e-30, "weight_decay": 0.5}), ("*.bias", {"lr": 0.07})]
    model = trained(digits, OwnLoss, param_groups=groups, schedule="constant", lr=0.02)
    model.data = digits
    assert moved(model, "main") < 1e-20
    assert moved(model, "side") > 0.001
    found = {
        (group["lr"], group["weight_decay"], len(group["params"]))
        for group in model.net_.optimizer_.param_groups
    }
    assert found == {(1e-30, 0.5, 1), (1e-30, 0, 1), (0.07, 0, 1), (0.02, 0.01, 1)}
    with pytest.raises(
        ValueError, match=r"No parameter .* matches 'mian\.\*'; it has main\.weight"
    ):
        trained(digits, Towers, param_groups=[("mian.*", {})])


def test_a_schedule_keeps_the_ratio_of_groups(digits):
    class Watch(Callback):
        ratios: ClassVar[list] = []

        def on_batch_end(self, net, training, **kwargs):
            usual, own = (group["lr"] for group in net.optimizer_.param_groups[::2])
            self.ratios.append(own / usual)

    trained(digits, Towers, param_groups=[("main.*", {"lr": 0.1})], lr=0.01, callbacks=[Watch()])
    np.testing.assert_allclose(Watch.ratios, 10, rtol=1e-6)


# features and their inverse ----------------------------------------------------------------------


class Shuffle(nn.Module):
    """Features that are all values in another order, doubled; and the way back."""

    def __init__(self, in_shape, n_outputs):
        super().__init__()
        n = int(np.prod(in_shape))
        self.in_shape, self.head = in_shape, nn.Linear(n, n_outputs)

    def features(self, x):
        return 2 * x.flatten(1).flip(1)

    def inverse(self, features):
        return features.flip(1).unflatten(1, self.in_shape) / 2

    def forward(self, x):
        return self.head(self.features(x))


@pytest.mark.parametrize(
    "shape, params",
    [
        ((60,), {}),
        ((60,), {"image_shape": (4, 5, 3)}),
        ((5, 12), {}),
        ((6, 5, 2), {}),
        ((2, 6, 5), {}),
        ((5, 6, 7), {}),
        ((6, 5, 3), {"standardize": False}),
    ],
    ids=str,
)
def test_samples_come_back_as_they_were_given(shape, params):
    X = np.random.default_rng(0).integers(0, 256, size=(20, *shape)).astype(np.uint8)
    model = StructuredClassifier(architecture=Shuffle, max_epochs=1, random_state=0, **params)
    features = model.fit(X, np.arange(20) % 2).transform(X)
    back = model.inverse_transform(features)
    assert back.dtype == np.float32
    assert np.array_equal(back.round().astype(np.uint8), X)
    for wrong, message in (
        (features[:, 1:], r"must have shape \(n, "),
        (features * np.nan, "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            model.inverse_transform(wrong)


def test_only_networks_that_have_one_give_an_inverse(digits):
    model = RFNNClassifier(**SMALL).fit(*digits)
    assert not hasattr(model, "inverse_transform")
    bare = trained(digits, lambda *shape: nn.Sequential(nn.Flatten(), nn.Linear(64, shape[1])))
    with pytest.raises(ValueError, match=r"no features\(x\).*feature_layer"):
        bare.transform(digits[0])


@pytest.fixture
def monitors():
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has it since 1.9")
    return callback.ScoringMonitor


def test_callbacks_of_scikit_learn_see_every_epoch(monitors):
    X, y = load_digits(return_X_y=True)
    X, y = X[:60].reshape(-1, 8, 8), y[:60] % 3
    monitor = monitors(scoring="accuracy")
    model = RFNNClassifier(widths=(4,), max_epochs=3, random_state=0).set_callbacks(monitor)
    plain = clone(model).set_callbacks().fit(X, y)
    model.fit(X, y)
    assert np.array_equal(model.predict_proba(X), plain.predict_proba(X))
    rows = pd.DataFrame(monitor.get_logs().data)
    epochs = rows[rows["task_name"] == "epoch"]
    assert epochs["task_id"].tolist() == [0, 1, 2]
    assert epochs["accuracy"].iloc[-1] == model.score(X, y) == rows["accuracy"].iloc[-1]
    search = GridSearchCV(
        model.set_callbacks(monitors(scoring="accuracy")), {"lr": [0.01, 0.1]}, cv=2
    )
    runs = search.fit(X, y).estimator._skl_callbacks[0].get_logs("all")
    assert sum(row["task_name"] == "epoch" for run in runs for row in run.data) == 3 * (2 * 2 + 1)


def test_a_callback_of_scikit_learn_may_end_a_training(monitors):
    class Enough(monitors):
        def on_fit_task_end(self, estimator, context, **kwargs):
            return context.task_name == "epoch" and context.task_id == 1

    X = np.random.default_rng(0).normal(size=(20, 8, 8))
    model = RFNNClassifier(widths=(4,), max_epochs=9).set_callbacks(Enough(scoring="accuracy"))
    assert model.fit(X, np.arange(20) % 2).n_iter_ == 2
