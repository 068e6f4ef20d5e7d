"""Maps must change with the weights: what ignores them is told, and nothing happens to networks."""

from functools import partial
from itertools import chain, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from fitted import MAKERS, fitted
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from test_inspection import assert_legible

from sklstruct import (
    RFNNClassifier,
    StructuredClassifier,
    StructuredMapClassifier,
    StructuredRegressor,
)
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.inspection import (
    SanityDisplay,
    deletion,
    gradient_map,
    occlusion_map,
    sanity_check,
)
from sklstruct.inspection.means import Mean, mean_over_samples
from sklstruct.inspection.methods import MAP_METHODS
from sklstruct.inspection.opened import Opened
from sklstruct.inspection.sanity import mixed_up, parameters_by_layer, targets_of, verdict_on

FAST = {"random_state": 0, "device": "cpu"}
EXPLAINED = {"n_repeats": 2, "random_state": 0}


def sample_itself(estimator, X, target=None):
    """Look at what a sample is, and not at the network."""
    return np.asarray(X)


def edges(estimator, X, target=None):
    return np.abs(np.gradient(np.asarray(X), axis=1))


def state(model):
    return {name: v.clone() for name, v in Opened(model).network.state_dict().items()}


def last(table):
    return table[table["step"] == table["step"].max()].set_index("measure")


@pytest.fixture(scope="module")
def model():
    X, y = load_digits().images, load_digits().target
    return RFNNClassifier(widths=(8, 8), max_epochs=8, **FAST).fit(X[:400], y[:400]), X[400:430]


@pytest.mark.parametrize("method", [sample_itself, edges])
@pytest.mark.parametrize("order", ["cascade", "independent"])
def test_a_method_that_ignores_the_network_says_nothing(model, method, order):
    estimator, X = model
    table = sanity_check(method, estimator, X, order=order, **EXPLAINED)
    np.testing.assert_allclose(table[["similarity", "low", "high"]], 1, rtol=1e-12)
    assert (table["verdict"] == "kept").all()
    assert (table["chance"] < 0.8).all()
    others = [
        spearmanr(*(method(None, X)[[i, j]].reshape(2, -1)))[0]
        for i, j in np.ndindex(30, 30)
        if i != j
    ]
    np.testing.assert_allclose(table["chance"], np.mean(others), rtol=1e-9)


def test_the_gradient_of_a_linear_network_falls_to_chance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 16, 16))
    y = np.arange(60) % 3
    linear = StructuredClassifier(architecture="linear", max_epochs=3, **FAST).fit(X, y)
    for order in ("cascade", "independent"):
        table = sanity_check("gradient", linear, X, order=order, n_repeats=10)
        assert table["layer"].unique().tolist() == ["", "head"]
        assert (table["verdict"][table["step"] == 0] == "kept").all()
        assert (last(table)["verdict"] == "chance").all()
        assert (last(table)["similarity"].abs() < 0.1).all()
        assert (last(table)["low"] < last(table)["similarity"]).all()


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "integrated_gradients"])
def test_samples_have_maps_of_their_own_classes_in_one_run(model, method, monkeypatch):
    estimator, _ = model
    X, runs = load_digits().images[500:570], []  # more than a piece
    monkeypatch.setitem(MAP_METHODS, method, spied(MAP_METHODS[method], runs))
    options = {"n_repeats": 1, "layers": ["head"]}
    table = sanity_check(method, estimator, X, **options)
    assert len(runs) == 2  # of the trained and of the changed network
    one_at_a_time = sanity_check(lambda *args: MAP_METHODS[method](*args), estimator, X, **options)
    assert len(runs) == 2 + 2 * 10
    pd.testing.assert_frame_equal(table, one_at_a_time, rtol=1e-4)


def spied(function, calls):
    def call(*args):
        calls.append(args)
        return function(*args)

    return call


def test_similarities_are_those_of_maps_of_networks_that_are_mixed_up(model):
    """Against the definition, written down plainly."""
    estimator, X = model
    table = sanity_check("gradient", estimator, X[:6], n_repeats=1, random_state=3)
    groups = parameters_by_layer(Opened(estimator), None)
    seed = np.random.RandomState(3).randint(2**31, size=1)[0]
    predicted = estimator.predict(X[:6])
    trained = gradient_map(estimator, X[:6])
    for step, changed in enumerate(mixed_up(estimator, list(groups.values()), "cascade", seed), 1):
        pairs = [
            (trained[i], gradient_map(changed, X[i : i + 1], predicted[i])[0]) for i in range(6)
        ]
        for measure, of in {"signed": np.asarray, "magnitude": np.abs}.items():
            wanted = np.mean([spearmanr(of(a).ravel(), of(b).ravel())[0] for a, b in pairs])
            row = table[(table["step"] == step) & (table["measure"] == measure)]
            assert row["similarity"].item() == pytest.approx(wanted, abs=1e-4)
    assert step == table["step"].max()


def test_a_network_is_afterwards_as_it_was(model):
    estimator, X = model
    before, said = state(estimator), estimator.predict_proba(X)
    slopes = [weight.grad for weight in Opened(estimator).network.parameters()]  # of the fit
    sanity_check("gradient", estimator, X, **EXPLAINED)
    assert all(torch.equal(value, state(estimator)[name]) for name, value in before.items())
    np.testing.assert_array_equal(estimator.predict_proba(X), said)
    now = [weight.grad for weight in Opened(estimator).network.parameters()]
    assert all(one is other for one, other in zip(slopes, now, strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_every_parameter_is_mixed_up_once_from_the_output_on(name):
    estimator, X, _ = fitted(name)
    opened = Opened(estimator)
    groups = parameters_by_layer(opened, None)
    weights = dict(opened.network.named_parameters())
    assert sorted(chain.from_iterable(groups.values())) == sorted(weights)
    assert all(any(weights[own].ndim > 1 for own in group) for group in groups.values())
    before, seen = state(estimator), []
    first = opened.run(opened.read(X[:2]), opened.outputs)
    for changed in mixed_up(estimator, list(groups.values()), "cascade", 0):
        now = state(changed)
        seen.append([name for name in weights if not torch.equal(now[name], before[name])])
        for weight in weights:
            assert torch.equal(*(which[weight].flatten().sort()[0] for which in (now, before)))
        again = Opened(changed)
        assert not np.allclose(again.run(again.read(X[:2]), again.outputs), first)
    assert all({*fewer} < {*more} for fewer, more in pairwise(seen))
    for changed in mixed_up(estimator, list(groups.values()), "independent", 0):
        now = state(changed)
        other = {name for name in weights if not torch.equal(now[name], before[name])}
        assert any(other <= {*group} for group in groups.values())


def test_places_outside_of_a_mask_do_not_count(model):
    """Maps that are zero there would be alike for that alone."""
    estimator, X = model
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:6] = True

    def only_inside(estimator, X, target=None):
        return np.where(mask, gradient_map(estimator, X, target), 0)

    everywhere = sanity_check(only_inside, estimator, X, **EXPLAINED)
    inside = sanity_check(only_inside, estimator, X, mask=mask, **EXPLAINED)
    whole = sanity_check("gradient", estimator, X, mask=mask, **EXPLAINED)
    pd.testing.assert_frame_equal(inside, whole)
    assert last(everywhere).loc["magnitude", "chance"] > 0.8
    assert last(inside).loc["magnitude", "chance"] < 0.3
    with pytest.raises(ValueError, match=r"mask must have the shape \(8, 8\) of a sample"):
        sanity_check("gradient", estimator, X, mask=mask[:4])


def test_layers_can_be_chosen(model):
    estimator, X = model
    table = sanity_check("gradient", estimator, X, layers=["stages", "head"], **EXPLAINED)
    assert table["layer"].tolist() == ["", "", "stages", "stages", "head", "head"]
    with pytest.raises(ValueError, match="layers='body' is no layer of the network"):
        sanity_check("gradient", estimator, X, layers=["body"])
    with pytest.raises(ValueError, match=r"layers must have parameters, but 'stages\.0\.2' has"):
        sanity_check("gradient", estimator, X, layers=["stages.0.2"])


def test_the_class_stays_that_of_the_trained_network(model):
    estimator, X = model
    asked = []

    def method(estimator, X, target=None):
        asked.append((len(X), target))
        return np.asarray(X)

    sanity_check(method, estimator, X, n_repeats=1)
    labels, counts = np.unique(estimator.predict(X), return_counts=True)
    wanted = sorted(zip(counts.tolist(), labels.tolist(), strict=True))
    each = np.reshape(asked, (-1, len(labels), 2)).tolist()
    assert all(sorted(map(tuple, of_network)) == wanted for of_network in each)
    assert targets_of(Opened(estimator), X, 7) == [7] * 30


def test_of_two_classes_the_second_and_of_values_the_chosen_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 6, 6))
    two = StructuredClassifier(architecture="linear", max_epochs=1, **FAST).fit(X, ["a", "b"] * 10)
    assert targets_of(Opened(two), X, None) == ["b"] * 20
    several = StructuredRegressor(architecture="linear", max_epochs=1, **FAST).fit(X, X[:, 0, :3])
    assert targets_of(Opened(several), X, 1) == [1] * 20
    table = sanity_check("gradient", several, X, 1, **EXPLAINED)
    assert len(table) == 4


def test_pipelines_searches_and_scans(tmp_path):
    estimator, X, _ = fitted("pipeline")
    assert len(sanity_check("gradient", estimator, X, **EXPLAINED)) >= 4
    cohort = simulate_cohort(tmp_path / "c", n_subjects=8, shape=(16, 16, 16), spacing=12.0)
    model = on_paths(StructuredClassifier(architecture="linear", max_epochs=1, **FAST))
    search = GridSearchCV(model, {"structuredclassifier__lr": [1e-3]}, cv=2)
    search.fit(np.array([str(path) for path in cohort.X]), cohort.y)
    method = partial(gradient_map)
    table = sanity_check(method, search, tmp_path / "c", n_repeats=1)
    again = sanity_check(method, search, [str(path) for path in cohort.X], n_repeats=1)
    pd.testing.assert_frame_equal(table, again)


def test_what_cannot_be_is_refused(model):
    estimator, X = model
    with pytest.raises(ValueError, match="X must have at least two samples"):
        sanity_check("gradient", estimator, X[:1])
    with pytest.raises(ValueError, match="order must be one of"):
        sanity_check("gradient", estimator, X, order="random")
    with pytest.raises(ValueError, match="n_repeats must be an integer of at least 1, got 0"):
        sanity_check("gradient", estimator, X, n_repeats=0)
    with pytest.raises(TypeError, match="estimator must be a network estimator"):
        sanity_check("gradient", LogisticRegression().fit(X.reshape(30, -1), np.arange(30) % 2), X)
    with pytest.raises(ValueError, match="results must be a table with the columns"):
        SanityDisplay(pd.DataFrame({"step": [0]}))


@pytest.mark.parametrize(
    "similarity, beyond, verdict",
    [
        ((0.9, 0.8, 1.0), (0.5, 0.4, 0.6), "kept"),
        ((0.5, 0.5, 0.6), (0.0, -0.1, 0.1), "kept"),  # so much is what others have as well
        ((0.4, 0.2, 0.6), (0.3, 0.1, 0.5), "unclear"),
        ((0.3, 0.2, 0.4), (0.2, 0.1, 0.3), "changed"),
        ((0.3, 0.2, 0.4), (0.2, 0.0, 0.4), "chance"),
    ],
)
def test_what_is_said_of_a_map(similarity, beyond, verdict):
    assert verdict_on(Mean(*similarity), Mean(*beyond), 0.5) == verdict


def test_the_interval_covers_the_mean_of_samples_and_draws():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        values = 1 + rng.normal(size=(12, 1)) + rng.normal(size=(1, 6)) + rng.normal(size=(12, 6))
        found = mean_over_samples(values)
        assert found.mean == pytest.approx(values.mean())
        covered.append(found.low <= 1 <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.99
    assert np.isnan(mean_over_samples(np.ones((1, 3))).low)
    assert mean_over_samples(np.ones(4)) == (1, 1, 1)


def test_a_picture_has_a_line_a_method_and_says_what_it_means(model):
    estimator, X = model
    methods = {
        "gradient": "gradient",
        "occlusion": partial(occlusion_map, size=4),
        "the sample itself": sample_itself,
    }
    display = SanityDisplay.from_estimator(estimator, X[:10], methods, **EXPLAINED)
    assert list(display.verdicts) == list(methods)
    assert display.verdicts["the sample itself"] == "kept"
    assert display.verdicts["gradient"] != "kept"
    assert_legible(display.figure_)
    signed, magnitude = display.axes_
    for ax, measure in ((signed, "signed"), (magnitude, "magnitude")):
        table = display.results.set_index(["method", "measure"]).sort_index()
        wanted = table.loc[("gradient", measure), "similarity"]
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), wanted)
    assert [label.get_text() for label in magnitude.get_xticklabels()][:2] == ["trained", "head"]
    steps = [f"layers.{n}" for n in range(30)]
    rows = display.results.query("step == 1")
    many = [rows.assign(step=n, layer=name, low=-3) for n, name in enumerate(steps)]
    deep = SanityDisplay(pd.concat(many)).plot()
    upper, lower = deep.axes_
    assert upper.get_ylim()[0] >= -1.05
    assert [ax.xaxis.get_tick_params()["labelbottom"] for ax in (upper, lower)] == [False, True]


def test_maps_of_what_predicts_maps():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8, 10, 10)).astype(np.float32)
    model = StructuredMapClassifier(architecture="frame_fcn", max_epochs=1, **FAST)
    model.fit(X, (X > 0).astype(int))
    assert len(sanity_check("gradient", model, X, **EXPLAINED)) > 4
    assert np.isfinite(deletion(model, X, "gradient", n_steps=4, n_random=2).areas).all(axis=None)
