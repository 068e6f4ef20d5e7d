"""Where layers start, and which of them learn."""

import pickle
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sklstruct import (
    FrameResNetClassifier,
    RFNNClassifier,
    RFNNRegressor,
    StructuredClassifier,
    plugins,
)
from sklstruct.estimators import load_model, save_model
from sklstruct.estimators.base import RECIPE
from sklstruct.frames import Frame, GaussianDerivatives
from sklstruct.layers import AttributeConv, FrameConv, outside, start_layers

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 12, 12)).astype(np.float32)
Y = np.arange(24) % 3
SHORT = {"max_epochs": 1, "random_state": 0, "batch_size": 8}
SMALL = {"widths": (6, 6, 6), **SHORT}


def state(estimator):
    return {name: v.clone() for name, v in estimator.net_.module_.state_dict().items()}


def differing(one, other):
    return {name for name in one if not torch.equal(one[name], other[name])}


# Where they start --------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("name", ["gaussian", "pixel"])
def test_a_layer_of_atoms_is_the_transform_of_the_frame(name, ndim):
    frame = plugins.make_frame(name, GaussianDerivatives(order=2)).build(ndim)
    n = min(len(frame), 20)
    make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1]
    free = make(3, n + 4, frame.support)
    start_layers(nn.Sequential(free), {"0": frame})
    expected = torch.tensor(frame.atoms[:n]).float()[:, None] / 3
    torch.testing.assert_close(free.weight[:n].detach(), expected.expand(-1, 3, *frame.support))
    rest = free.weight[n:].detach().double().flatten(0, 1).flatten(1).numpy()
    in_span = rest @ np.linalg.pinv(frame.flat) @ frame.flat
    np.testing.assert_allclose(in_span, rest, atol=1e-6)


def test_frame_convolutions_start_from_what_they_span():
    frame = GaussianDerivatives(order=1).build(2)
    layer = FrameConv(1, 5, GaussianDerivatives(order=3))
    start_layers(nn.Sequential(layer), {"0": frame})
    np.testing.assert_allclose(layer.kernel[:3, 0].numpy(force=True), frame.atoms, atol=1e-6)
    with pytest.raises(ValueError, match=r"init\['0'\]: the kernels .* not in the span of Frame"):
        start_layers(nn.Sequential(layer), {"0": Frame("noise", RNG.normal(size=(3, 7, 7)))})


@pytest.mark.parametrize("learn_scale", [False, True, "channel"])
def test_kernels_of_a_learned_scale_are_taken_over_or_refused(learn_scale):
    source, layer = (
        FrameConv(1, 4, "gaussian", learn_scale=learn) for learn in (True, learn_scale)
    )
    with torch.no_grad():
        source.scale.log_factor.fill_(0.3)
    sources = {"0": nn.Sequential(source)}
    if learn_scale is True:
        start_layers(nn.Sequential(layer), sources)
        assert torch.equal(layer.kernel, source.kernel)
    else:  # whose kernels are other ones, and which would start as none that the source has had
        with pytest.raises(ValueError, match=r"init\['0'\]"):
            start_layers(nn.Sequential(layer), sources)


def test_a_name_has_the_support_of_the_kernels_and_small_atoms_are_surrounded():
    five, nine = nn.Conv2d(1, 10, 5), nn.Conv2d(1, 10, 9)
    network = nn.ModuleDict({"five": nn.Sequential(nn.ReLU(), five), "nine": nine})
    start_layers(network, {"five": "gaussian", "nine": GaussianDerivatives(order=1)})
    atoms = GaussianDerivatives(size=5).build(2).atoms
    np.testing.assert_allclose(five.weight[:, 0].numpy(force=True), atoms, rtol=1e-6)
    around = np.pad(GaussianDerivatives(order=1).build(2).atoms, [(0, 0), (1, 1), (1, 1)])
    np.testing.assert_allclose(nine.weight[:3, 0].numpy(force=True), around, rtol=1e-6)


@pytest.mark.parametrize("other", ["gaussian", "pixel"])
def test_a_source_is_taken_over_before_the_training(other):
    source = RFNNClassifier(**SMALL).fit(X, Y)
    init = {"stages": source if other == "gaussian" else make_pipeline("passthrough", source)}
    made = RFNNRegressor(frame=other, init=init, train_layers="last", **SMALL)
    made.fit(X, X.mean((1, 2)))
    x = torch.from_numpy(X[:, None])
    expected = source.net_.module_.stages(x)
    torch.testing.assert_close(made.net_.module_.stages(x), expected, rtol=1e-5, atol=1e-5)
    if other == "gaussian":
        before, after = source.net_.module_.stages, made.net_.module_.stages
        assert not differing(before.state_dict(), after.state_dict())


def test_a_pair_names_the_layer_of_the_source_and_nothing_else_is_changed():
    source = RFNNClassifier(**SMALL).fit(X, Y)
    settings = {**SMALL, "train_layers": "last"}
    drawn = RFNNClassifier(**settings).fit(X, Y)
    made = RFNNClassifier(init={"stages.2": (source, "stages.1")}, **settings).fit(X, Y)
    moved = source.net_.module_.stages[1].state_dict()
    assert not differing(moved, made.net_.module_.stages[2].state_dict())
    changed = differing(state(drawn), state(made))
    assert all(name.startswith(("stages.2", "head")) for name in changed)


def test_sources_that_do_not_fit_are_told():
    source = RFNNClassifier(**SMALL).fit(X, Y)
    other = {**SMALL, "widths": (6, 8, 6)}
    cases = [
        ({"stage.0": source}, r"init='stage.0' is no layer .* Did you mean 'stages.0'"),
        ({"stages": (source, "stags")}, r"init\['stages'\]='stags' is no layer"),
        ({"stages.1": source}, r"init\['stages.1'\], 0: the source has .*\(6, 6, 10\)"),
        ({"stages": (source, None)}, r"init\['stages'\]=None is no layer"),
        ({0: source}, "init=0 is no layer of the network"),
        ({"stages.1": RFNNClassifier()}, "must be a frame or a fitted network estimator, got"),
        ({"stages.0.3": source}, r"init\['stages.0.3'\]: ReLU has nothing that it could take over"),
        ({"stages.0": (source,)}, r"init\['stages.0'\]: frame must be .*, got \(Network"),
        ({"stages.0": None}, r"init\['stages.0'\]: frame must be .*, got None"),
        ({"stages.0": "gausian"}, "Unknown frame 'gausian'. Did you mean 'gaussian'"),
        ({"stages.0": GaussianDerivatives(size=9)}, r"do not fit into .* kernels of \(7, 7\)"),
        ({"head": "gaussian"}, "Linear has no kernels that could start as atoms of a frame"),
    ]
    for init, message in cases:
        with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
            RFNNClassifier(init=init, **other).fit(X, Y)
    with pytest.raises(ValueError, match="init of RFNNClassifier must be a dict or None"):
        RFNNClassifier(init="gaussian", **SMALL).fit(X, Y)
    attributes = nn.Sequential(AttributeConv(4, (3,), n_factors=2))
    with pytest.raises(ValueError, match="AttributeConv has no kernels"):
        start_layers(attributes, {"0": "gaussian"})


def test_equal_seeds_start_alike_and_models_keep_their_source(tmp_path):
    source = RFNNClassifier(**SMALL).fit(X, Y)
    init = {"stages.0": source, "stages.1": "gaussian"}
    one, two = (RFNNClassifier(init=init, **SMALL).fit(X, Y) for _ in "ab")
    assert not differing(state(one), state(two))
    save_model(one, tmp_path / "model.sklstruct")
    loaded = load_model(tmp_path / "model.sklstruct")
    np.testing.assert_array_equal(loaded.predict_proba(X), one.predict_proba(X))
    assert not differing(state(loaded.init["stages.0"]), state(source))
    again = loaded.fit(X, Y)
    assert not differing(state(again), state(one))


def test_sources_within_others_are_found_and_kept(tmp_path):
    search = GridSearchCV(RFNNClassifier(**SMALL), {"lr": [0.01]}, cv=2).fit(X, Y)
    source = search.best_estimator_
    for within in (search, make_pipeline("passthrough", search), FrozenEstimator(search)):
        made = RFNNClassifier(init={"stages": within}, train_layers="last", **SMALL).fit(X, Y)
        assert differing(state(made), state(source)) == {"head.weight", "head.bias"}
    made.set_params(init={"stages": FrozenEstimator(source)}).fit(X, Y)  # as searches want it
    save_model(made, tmp_path / "model.sklstruct")
    loaded = load_model(tmp_path / "model.sklstruct").init["stages"]
    assert not differing(state(loaded.estimator), state(source))


def test_sources_and_layers_can_be_searched():
    source = RFNNClassifier(**SMALL).fit(X, Y)
    made = clone(RFNNClassifier(init={"stages": source}, **SMALL))
    assert made.init["stages"] is source
    grid = {
        "init": [None, {"stages": FrozenEstimator(source)}],
        "train_layers": ["all", "last", ["stages.0"]],
    }
    search = GridSearchCV(RFNNClassifier(**SMALL), grid, cv=2, n_jobs=2).fit(X, Y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with pytest.raises(ValueError, match=r"give it FrozenEstimator\(source\)"):
        GridSearchCV(made, {"init": [{"stages": source}]}, cv=2, error_score="raise").fit(X, Y)


# Which of them learn -----------------------------------------------------------------------------

LEARNERS = [
    StructuredClassifier(architecture=name)
    for name in plugins.entries("architecture")
    if not getattr(plugins.lookup("architecture", name), "dense", False)
]


@pytest.mark.parametrize("estimator", LEARNERS, ids=lambda e: e.architecture)
@pytest.mark.parametrize("settle_norms", [False, True])
def test_what_does_not_learn_stays_bit_by_bit(estimator, settle_norms, monkeypatch):
    monkeypatch.setattr(
        "sklstruct.estimators.base.RECIPE", {**RECIPE, "settle_norms": settle_norms}
    )
    samples = RNG.normal(size=(12, 32, 32)).astype(np.float32)
    drawn = estimator.set_params(**SHORT, warm_start=True).fit(samples, Y[:12])
    first = state(drawn)
    drawn.set_params(train_layers="last").fit(samples, Y[:12])
    changed = differing(first, state(drawn))
    kept = set(outside(drawn.net_.module_, "last"))
    assert changed
    assert not changed & kept
    count = sum(v.numel() for n, v in drawn.net_.module_.named_parameters() if n not in kept)
    assert drawn.n_parameters_ == count


def test_any_layer_can_learn_alone_and_all_again():
    model = FrameResNetClassifier(warm_start=True, **SHORT).fit(X, Y)
    names = ["stages.stage2", "head"]
    before = state(model)
    n_all = model.n_parameters_
    model.set_params(train_layers=names).fit(X, Y)
    after = state(model)
    changed = differing(before, after)
    assert changed
    assert all(name.startswith(tuple(names)) for name in changed)
    assert model.n_parameters_ < n_all
    model.set_params(train_layers="all").fit(X, Y)
    assert model.n_parameters_ == n_all
    learned = differing(after, state(model))
    assert {n.split(".")[0] for n in learned} == {n.split(".")[0] for n in after}


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
@pytest.mark.parametrize("copied", [False, True])
def test_other_layers_may_learn_after_some_did_alone(fit, copied):
    model = RFNNClassifier(warm_start=True, train_layers=["stages.0"], **SMALL).fit(X, Y)
    for layers, name in ((["stages.1"], "stages.1"), ("last", "head"), (["stages.0"], "stages.0")):
        model = pickle.loads(pickle.dumps(model)) if copied else model
        before = state(model)
        getattr(model.set_params(train_layers=layers), fit)(X, Y)
        assert {one.startswith(name) for one in differing(before, state(model))} == {True}


def test_a_loss_needs_no_gradient_below_what_learns():
    layers = []

    class Watched(nn.Linear):
        def forward(self, x):
            layers.append(x.requires_grad)
            return super().forward(x)

    def build(in_shape, n_outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), Watched(8, n_outputs))

    StructuredClassifier(architecture=build, train_layers=["3"], **SHORT).fit(X, Y)
    assert not any(layers)


def test_a_loss_without_any_layer_that_learns_is_told():
    class Idle(nn.Module):
        def __init__(self, in_shape, n_outputs):
            super().__init__()
            self.idle, self.head = nn.Linear(2, 2), nn.Linear(144, n_outputs)

        def forward(self, x):
            return self.head(x.flatten(1))

    with pytest.raises(ValueError, match="none of the layers that learn: see train_layers"):
        StructuredClassifier(architecture=Idle, train_layers=["idle"], **SHORT).fit(X, Y)


def test_layers_that_do_not_learn_are_told():
    for layers, message in [
        (["stagse.0"], r"train_layers='stagse.0' is no layer .* Did you mean 'stages.0'"),
        (["stages.0.2"], r"train_layers=\['stages.0.2'\] have no parameters to learn"),
        ([], r"train_layers=\[\] have no parameters to learn"),
        ("first", r"train_layers .* must be one of \('all', 'last'\) or a sequence of names"),
    ]:
        with pytest.raises(ValueError, match=message):
            RFNNClassifier(train_layers=layers, **SMALL).fit(X, Y)


def test_one_layer_of_a_random_network_is_a_line():
    def accuracy(layers):
        hidden = {"architecture__widths": (16, 16), "architecture__dropout": 0.0}
        model = StructuredClassifier(architecture="mlp", train_layers=layers, **SHORT)
        model.set_params(**hidden, max_epochs=60, lr=0.01).fit(X, Y)
        return model.score(X, Y)

    assert min(accuracy([f"stages.hidden.{k}"]) for k in (0, 2)) > 0.6


def test_the_example_runs(tmp_path, capsys):
    example = runpy.run_path(ROOT / "examples/layers_that_learn.py")
    example["main"](n_draws=2, max_epochs=2, picture=tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 10_000
    assert len(re.findall(r"0\.\d{3} ± 0\.\d{3}", capsys.readouterr().out)) == 8
