"""What a network does to the space about a sample, and to classes from block to block."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC
from test_inspection import assert_legible
from torch import nn

from sklstruct import (
    Architecture,
    RFNiNClassifier,
    RFNNClassifier,
    StructuredClassifier,
    StructuredRegressor,
)
from sklstruct.inspection import (
    ComponentsDisplay,
    DepthDisplay,
    InterpolationDisplay,
    SingularValuesDisplay,
    accuracy_by_components,
    accuracy_by_depth,
    contraction_by_depth,
    equivariance,
    interpolate,
    jacobian,
    redundancy,
    singular_values,
)
from sklstruct.inspection.blocks import block_features, block_names
from sklstruct.inspection.opened import Opened
from sklstruct.layers import Network

EXACT = {"dtype": "float64", "max_epochs": 1, "random_state": 0}


class Invertible(nn.Module):
    """Blocks that can be undone one after another, and a linear head."""

    def __init__(self, in_shape, n_outputs, blocks):
        super().__init__()
        self.in_shape, self.stages = in_shape, nn.Sequential(*blocks)
        self.head = nn.Linear(int(np.prod(in_shape)), n_outputs)

    def features(self, x):
        return torch.cat(self.stages(x.flatten(1).chunk(2, dim=1)), dim=1)

    def inverse(self, features):
        parts = features.chunk(2, dim=1)
        for block in reversed(self.stages):
            parts = block.inverse(parts)
        return torch.cat(parts, dim=1).unflatten(1, self.in_shape)

    def forward(self, x):
        return self.head(self.features(x))


class Coupling(nn.Module):
    """Add a function of one half of the values to the other half, then swap them."""

    def __init__(self, width):
        super().__init__()
        self.change = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))

    def forward(self, parts):
        return parts[1], parts[0] + self.change(parts[1])

    def inverse(self, parts):
        return parts[1] - self.change(parts[0]), parts[0]


class Couplings(Architecture):
    n_blocks: int = 3

    def build(self, in_shape, n_outputs):
        width = int(np.prod(in_shape)) // 2
        blocks = [Coupling(width) for _ in range(self.n_blocks)]
        return Invertible(in_shape, n_outputs, blocks)


class Rotation(nn.Module):
    """An orthogonal matrix that is not learned."""

    def __init__(self, n):
        super().__init__()
        matrix = nn.init.orthogonal_(torch.empty(n, n, dtype=torch.float64))
        self.register_buffer("matrix", matrix)

    def forward(self, parts):
        return (torch.cat(parts, 1) @ self.matrix).chunk(2, 1)

    def inverse(self, parts):
        return (torch.cat(parts, 1) @ self.matrix.T).chunk(2, 1)


class Rotations(Architecture):
    def build(self, in_shape, n_outputs):
        n = int(np.prod(in_shape))
        return Invertible(in_shape, n_outputs, [Rotation(n), Rotation(n)])


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.register_buffer("factor", torch.as_tensor(factor))

    def forward(self, x):
        return self.factor * x


class Scales(Architecture):
    """A network whose blocks only multiply."""

    factors: tuple = (1.0, 1.0)

    def build(self, in_shape, n_outputs):
        return Network(in_shape, n_outputs, nn.Sequential(*map(Scale, self.factors)))


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def fitted(architecture, shape=(8, 8), n=8, **params):
    model = StructuredClassifier(architecture=architecture, **EXACT | params)
    return model.fit(noise(n, *shape), np.arange(n) % 2)


def two_classes(n=60, shape=(3, 4, 4)):
    """Return samples whose classes differ by a third of their deviation in one channel."""
    y = np.arange(n) % 2
    X = noise(n, *shape)
    X[:, 0] += 0.4 * (2 * y - 1).reshape(-1, 1, 1)
    return X, np.array(["ill", "well"])[y]


@pytest.fixture(scope="module")
def images():
    return two_classes()


@pytest.fixture(scope="module")
def model(images):
    return RFNNClassifier(widths=(6, 5), **EXACT).fit(*images)


@pytest.fixture
def matrix_free(monkeypatch):
    """No Jacobian is held as a whole."""
    monkeypatch.setattr(jacobian, "MOST_ENTRIES", 0)


# Singular values -------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16,), (3, 4, 2), (4, 6, 6)])
def test_an_isometry_has_ones_only(shape):
    table = singular_values(fitted(Rotations(), shape), noise(*shape))
    n = int(np.prod(shape))
    np.testing.assert_allclose(table["value"], 1, rtol=1e-12)
    np.testing.assert_allclose(table["energy"], np.arange(1, n + 1) / n)
    np.testing.assert_allclose(table["fraction"], table["energy"])


def test_what_keeps_volumes_has_singular_values_whose_product_is_one():
    values = singular_values(fitted(Couplings()), noise(8, 8))["value"]
    assert values.iloc[0] > 1.1
    assert np.log(values).sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("widths", [(3,), (40, 40)])
def test_values_are_those_of_the_derivative_of_the_network(widths):
    X = noise(8, 8, 8)
    estimator = RFNNClassifier(widths=widths, **EXACT).fit(X, np.arange(8) % 2)
    module, x = estimator.net_.module_.eval(), estimator._to_tensor(X[:1, np.newaxis])
    matrix = torch.autograd.functional.jacobian(lambda x: module.features(x).flatten(), x)
    wanted = torch.linalg.svdvals(matrix.reshape(len(matrix), -1))
    found = singular_values(estimator, X[0])
    assert len(found) == len(wanted) == min(matrix.shape[0], 64)
    np.testing.assert_allclose(found["value"], wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("layer", [None, "stages.1", "head"])
@pytest.mark.parametrize("kind", [RFNNClassifier, RFNiNClassifier])
def test_without_a_matrix_the_largest_values_are_the_same(kind, layer, monkeypatch):
    X = noise(8, 8, 8)
    estimator = kind(widths=(32, 32), max_epochs=1, random_state=0).fit(X, np.arange(8) % 4)
    if layer == "stages.1":
        layer = block_names(estimator, None)[-1]
    full = singular_values(estimator, X[0], layer=layer)
    k = min(20, len(full) - 1)
    pd.testing.assert_frame_equal(singular_values(estimator, X[0], k, layer=layer), full[:k])
    monkeypatch.setattr(jacobian, "MOST_ENTRIES", 0)
    found = singular_values(estimator, X[0], k, layer=layer)
    np.testing.assert_allclose(found, full[:k], rtol=1e-6)
    pd.testing.assert_frame_equal(singular_values(estimator, X[0], k, layer=layer), found)
    monkeypatch.setattr(jacobian, "MOST_ROWS", 1)  # the sum of all squares is out of reach
    assert singular_values(estimator, X[0], k, layer=layer)["energy"].isna().all()


def test_without_a_matrix_an_isometry_still_has_ones_only(matrix_free):
    table = singular_values(fitted(Rotations()), noise(8, 8), 20)
    np.testing.assert_allclose(table["value"], 1, rtol=1e-9)
    np.testing.assert_allclose(table["energy"].iloc[-1], 20 / 64)


def test_a_network_is_left_as_it_was(images):
    estimator = RFNNClassifier(widths=(3,), max_epochs=1, random_state=0).fit(*images)
    before = estimator.predict_proba(images[0])
    singular_values(estimator, images[0][0])
    accuracy_by_depth(estimator, *images, *images)
    module = estimator.net_.module_
    assert all(p.requires_grad and p.dtype == torch.float32 for p in module.parameters())
    assert not any(layer._forward_hooks for layer in module.modules())
    np.testing.assert_array_equal(estimator.predict_proba(images[0]), before)


def test_the_layer_of_features_is_the_one_of_transform(images, model):
    X, _ = images
    by_layer = singular_values(model, X[0], layer="stages.0")
    chosen = RFNNClassifier(widths=(6, 5), feature_layer="stages.0", **EXACT).fit(*images)
    pd.testing.assert_frame_equal(singular_values(chosen, X[0]), by_layer)


def test_what_is_no_sample_or_number_of_values_is_refused(images, model, monkeypatch):
    sample = images[0][0]
    for message, arguments in {
        r"sample must have the shape \(3, 4, 4\), got \(4, 4\)": (sample[0],),
        "k must be an integer of at least 1": (sample, 0),
        "k must be at most": (sample, 1000),
    }.items():
        with pytest.raises(ValueError, match=message):
            singular_values(model, *arguments)
    with pytest.raises(ValueError, match="layer='stages' is a layer that the network does not run"):
        singular_values(fitted(Unrun), noise(8, 8), layer="stages")
    with pytest.raises(ValueError, match=r"^layer='top' is no layer of the network. Known: stages"):
        singular_values(model, sample, layer="top")
    monkeypatch.setattr(jacobian, "MOST_ENTRIES", 0)
    with pytest.raises(ValueError, match=r"k must be .* too large to be held, got None"):
        singular_values(model, sample)


class Unrun(nn.Module):
    def __init__(self, in_shape, n_outputs):
        super().__init__()
        self.stages = nn.ModuleList([nn.Flatten()])
        self.head = nn.Linear(64, n_outputs)

    def forward(self, x):
        return self.head(self.stages[0](x))


# Between samples -------------------------------------------------------------------------------


def test_through_an_isometry_samples_are_mixed():
    X = noise(4, 8, 8)
    table, samples = interpolate(fitted(Rotations()), X[:2], X[2:], n_steps=5)
    t = np.linspace(1, 0, 5)
    assert samples.shape == (2, 5, 8, 8)
    np.testing.assert_allclose(samples[:, 1], 0.75 * X[:2] + 0.25 * X[2:], atol=1e-12)
    assert table["pair"].tolist() == [0] * 5 + [1] * 5
    np.testing.assert_allclose(table["t"], [*t, *t])
    np.testing.assert_allclose(table["from_first"], 1 - table["t"], atol=1e-12)
    np.testing.assert_allclose(table["from_second"], table["t"], atol=1e-12)
    np.testing.assert_allclose(table["from_mixture"], 0, atol=1e-12)


@pytest.mark.parametrize("shape", [(16,), (8, 8), (6, 6, 3), (6, 6, 6), (2, 6, 6, 6)], ids=str)
def test_through_couplings_the_ends_come_back_and_the_way_is_bent(shape):
    X = 5 * noise(6, *shape) + 100
    estimator = fitted(Couplings(), shape)
    estimator = estimator.fit(X, np.arange(6) % 2)
    table, samples = interpolate(estimator, X[:3], X[3:])
    assert samples.shape == (3, 8, *shape)
    np.testing.assert_allclose(samples[:, [0, -1]], np.stack([X[:3], X[3:]], axis=1))
    middle = table[table["t"].between(0.1, 0.9)]
    assert (middle["from_mixture"] > 1e-3).all()


def test_only_what_has_an_inverse_is_interpolated(images, model):
    X, _ = images
    with pytest.raises(TypeError, match=r"RFNNClassifier has no inverse_transform.*inverse\("):
        interpolate(model, X[:2], X[2:4])
    with pytest.raises(TypeError, match="has no transform"):
        interpolate(SVC().fit(X[:, 0, 0], np.arange(60) % 2), X[:2], X[2:4])
    with pytest.raises(NotFittedError):
        interpolate(StructuredClassifier(), X[:2], X[2:4])
    Z = noise(8, 8, 8)
    with pytest.raises(ValueError, match=r"same shape, got \(2, 8, 8\) and \(3, 8, 8\)"):
        interpolate(fitted(Couplings()), Z[:2], Z[2:5])
    with pytest.raises(ValueError, match=r"must be samples, .* got \(0, 8, 8\)"):
        interpolate(fitted(Couplings()), Z[:0], Z[:0])
    with pytest.raises(ValueError, match="the same sample in pair 1"):
        interpolate(fitted(Couplings()), Z[:2], Z[[3, 1]])
    within = fitted(Couplings(), feature_layer="stages.1.change")
    with pytest.raises(ValueError, match="set feature_layer=None, got"):
        interpolate(within, Z[:2], Z[2:4])
    with pytest.raises(ValueError, match="n_steps must be an integer of at least 2"):
        interpolate(fitted(Couplings()), Z[:2], Z[2:4], n_steps=1)


# Blocks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RFNNClassifier, RFNiNClassifier])
@pytest.mark.parametrize("shape", [(16,), (8, 8), (8, 8, 3), (9, 8, 8)], ids=str)
def test_one_pass_gives_the_means_of_all_blocks(kind, shape):
    X = noise(70, *shape)  # in more than one piece
    estimator = kind(widths=(3, 2), **EXACT).fit(X, np.arange(70) % 2)
    names = block_names(estimator, None)
    assert names[-1].startswith("stages.")
    runs = []
    last = dict(estimator.net_.module_.named_modules())[names[-1]]
    handle = last.register_forward_hook(lambda *_: runs.append(1))
    means, values = (block_features(estimator, X, names, places) for places in ("mean", "all"))
    handle.remove()
    n_passes = len(runs) // 2
    for name, mean, value in zip(names, means, values, strict=True):
        features = estimator.set_params(feature_layer=name)._features(
            estimator._read(X, reset=False)
        )
        np.testing.assert_allclose(mean, features.reshape(*features.shape[:2], -1).mean(axis=2))
        np.testing.assert_array_equal(value, features.reshape(len(X), -1))
    runs.clear()
    handle = last.register_forward_hook(lambda *_: runs.append(1))
    block_features(estimator, X, names[-1:])
    handle.remove()
    assert len(runs) == n_passes  # as many for one layer as for all


def test_streams_of_a_block_stand_side_by_side():
    X, estimator = noise(8, 8, 8), fitted(Couplings())
    names = block_names(estimator, None)
    for places in ("mean", "all"):
        features = block_features(estimator, X, names, places)
        np.testing.assert_array_equal(features[-1], estimator.transform(X))
    streams = torch.randn(2, 3, 4, 5), torch.randn(2, 1, 2, 2)
    wanted = torch.cat([stream.mean(dim=(2, 3)) for stream in streams], dim=1)
    opened = Opened(estimator)
    torch.testing.assert_close(opened.as_rows(streams, "mean"), wanted)
    assert opened.as_rows(streams[0].bfloat16(), "mean").dtype == torch.float32


def test_blocks_are_told_or_are_the_stages(model):
    assert block_names(model, None) == ["stages.0", "stages.1"]
    assert block_names(model, ["head"]) == ["head"]
    for wrong in ("head", [], ["head", "head"]):
        with pytest.raises(ValueError, match="layers must be a sequence of different names"):
            block_names(model, wrong)
    bare = fitted(lambda shape, n: nn.Sequential(nn.Flatten(), nn.Linear(64, n)))
    for linear in (bare, fitted("linear")):
        with pytest.raises(ValueError, match=r"has no stages: name its blocks with layers"):
            block_names(linear, None)
    with pytest.raises(ValueError, match=r"^layers='top' is no layer"):
        block_features(model, noise(2, 3, 4, 4), ["top"])


# Accuracy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [(1.0, 1.0), (3.0, 0.1, 7.0)])
def test_blocks_that_only_scale_are_as_good_as_one_another(images, factors):
    X, y = images
    estimator = StructuredClassifier(architecture=Scales(factors=factors), **EXACT).fit(X, y)
    table = accuracy_by_depth(estimator, X[:40], y[:40], X[40:], y[40:])
    assert table["depth"].tolist() == sorted([*range(1, len(factors) + 1)] * 2 + [len(factors) + 1])
    for kind, part in table.groupby("classifier"):
        assert part["accuracy"].nunique() == 1, kind
    assert (table["n_features"] == [3] * 2 * len(factors) + [2]).all()
    assert table["accuracy"].iloc[-1] == estimator.score(X[40:], y[40:])


def test_classes_that_differ_in_a_channel_are_told_apart_by_its_mean(images):
    X, y = images
    estimator = StructuredClassifier(architecture=Scales(), **EXACT).fit(X, y)
    table = accuracy_by_depth(estimator, X[:40], y[:40], X[40:], y[40:]).set_index("classifier")
    assert (table.loc["linear_svm", "accuracy"] >= 0.9).all()
    shuffled = np.random.default_rng(1).permutation(y[:40])
    table = accuracy_by_depth(estimator, X[:40], shuffled, X[40:], y[40:]).set_index("classifier")
    assert (table.loc["linear_svm", "accuracy"] < 0.8).all()


@pytest.mark.parametrize("function", [accuracy_by_depth, accuracy_by_components])
def test_classifiers_never_see_test_samples(images, model, function):
    X, y = images
    parts = [function(model, X[:40], y[:40], X[s], y[s]) for s in (slice(40, 50), slice(50, 60))]
    order = np.random.default_rng(0).permutation(np.arange(40, 60))
    both = function(model, X[:40], y[:40], X[order], y[order])
    means = (parts[0]["accuracy"] + parts[1]["accuracy"]) / 2
    np.testing.assert_allclose(both["accuracy"], means)


def test_all_components_are_as_good_as_the_features(images, model):
    X, y = images
    data = X[:40], y[:40], X[40:], y[40:]
    by_depth = accuracy_by_depth(model, *data).set_index(["layer", "classifier"])["accuracy"]
    for layer in (None, "stages.0"):
        table = accuracy_by_components(model, *data, layer=layer)
        assert table["n_components"].unique().tolist() == [1, 2, 4, 6 if layer else 5]
        assert table["variance"].is_monotonic_increasing
        assert table["variance"].iloc[-1] == pytest.approx(1)
        last = table.iloc[-2:].set_index("classifier")["accuracy"]
        pd.testing.assert_series_equal(last, by_depth[layer or "stages.1"])


def test_numbers_of_components_are_told(images, model):
    X, y = images
    table = accuracy_by_components(model, X, y, X, y, n_components=[3, 1])
    assert table["n_components"].tolist() == [3, 3, 1, 1]
    for wrong in (0, 6, 1.5):
        with pytest.raises(ValueError, match="Each of n_components must be an integer from 1 to 5"):
            accuracy_by_components(model, X, y, X, y, n_components=[wrong])


def test_steps_before_a_network_are_passed(images, model):
    X, y = images
    chain = make_pipeline(FunctionTransformer(lambda X: 0.5 * X), model)
    half, moved = 0.5 * X, partial(equivariance, layer="stages.0", layout="CHW")
    for found, expected in (
        (singular_values(chain, X[0]), singular_values(model, half[0])),
        (accuracy_by_depth(chain, X, y, X, y), accuracy_by_depth(model, half, y, half, y)),
        (contraction_by_depth(chain, X, y), contraction_by_depth(model, half, y)),
        (redundancy(chain, X, patch=1, cv=2), redundancy(model, half, patch=1, cv=2)),
        (moved(chain, X), moved(model, half)),
    ):
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("function", [accuracy_by_depth, accuracy_by_components])
def test_what_has_no_accuracy_is_refused(images, model, function):
    X, y = images
    with pytest.raises(TypeError, match=r"must be a network estimator, .* got SVC"):
        function(SVC(), X, y, X, y)
    with pytest.raises(NotFittedError):
        function(RFNNClassifier(), X, y, X, y)
    regressor = StructuredRegressor(architecture="rfnn", max_epochs=1).fit(
        X, X.mean(axis=(1, 2, 3))
    )
    with pytest.raises(TypeError, match="must be a classifier with one label a sample"):
        function(regressor, X, y, X, y)
    with pytest.raises(ValueError, match="y must have a label for each of 60 samples, got 59"):
        function(model, X, y[1:], X, y)
    with pytest.raises(ValueError, match="y_test must have a label for each of 9"):
        function(model, X, y, X[:9], y)
    with pytest.raises(ValueError, match=r"y must have two classes .* got 2 classes of at least 1"):
        function(model, X[:5], ["ill"] + ["well"] * 4, X, y)


# Contraction -----------------------------------------------------------------------------------


def test_distances_are_those_of_the_formula(images, model):
    X, y = images[0][:12], images[1][:12]
    table = contraction_by_depth(model, X, y, places="all").set_index("layer")
    x = model._to_tensor(X)
    features = {"input": x, "stages.0": model.net_.module_.stages[0](x)}
    pairs = [(i, j) for i in range(12) for j in range(i)]
    lengths = {
        name: np.array([torch.dist(values[i], values[j]).item() for i, j in pairs])
        for name, values in features.items()
    }
    before, after = (each / each.mean() for each in lengths.values())
    alike = np.array([y[i] == y[j] for i, j in pairs])
    row = table.loc["stages.0"]
    assert row["ratio"] == pytest.approx(after[alike].mean() / after[~alike].mean())
    assert row["contracted"] == pytest.approx((after[alike] <= before[alike]).mean())
    assert row["margin"] == pytest.approx(after[~alike].min())
    assert row["margin_5"] == pytest.approx(np.quantile(after[~alike], 0.05))
    assert table.loc["input", "margin"] == pytest.approx(before[~alike].min())
    assert np.isnan(table.loc["input", "contracted"])


def test_scaling_all_features_alike_contracts_nothing(images):
    X, y = images
    estimator = StructuredClassifier(architecture=Scales(factors=(0.1, 30.0)), **EXACT).fit(X, y)
    table = contraction_by_depth(estimator, X, y, places="all")
    assert table["depth"].tolist() == [0, 1, 2]
    for column in ("ratio", "margin", "margin_5"):
        np.testing.assert_allclose(table[column], table[column].iloc[0])
    assert (table["contracted"].iloc[1:] == 1).all()  # "no farther apart" allows as far


def test_shrinking_what_classes_do_not_differ_by_contracts_them(images):
    X, y = images
    kept = torch.tensor([1.0, 0.1, 0.1]).reshape(3, 1, 1)
    estimator = StructuredClassifier(architecture=Scales(factors=(kept,)), **EXACT).fit(X, y)
    table = contraction_by_depth(estimator, X, y)
    assert table["ratio"].iloc[1] < 0.7 < table["ratio"].iloc[0]
    assert table["contracted"].iloc[1] > 0.6


def test_what_has_no_distances_is_refused(images, model):
    X, y = images
    for labels in (["ill"] * 15, np.arange(15)):
        with pytest.raises(ValueError, match="y must have two classes, and one of them two samp"):
            contraction_by_depth(model, X[:15], labels)
    with pytest.raises(ValueError, match="places must be one of"):
        contraction_by_depth(model, X, y, places="max")
    flat = StructuredClassifier(architecture=Scales(factors=(1.0, 0.0)), **EXACT).fit(X, y)
    with pytest.raises(ValueError, match=r"same features in layer 'stages\.1'"):
        contraction_by_depth(flat, X, y)


# Pictures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def displays(images, model):
    X, y = images
    data = X[:40], y[:40], X[40:], y[40:]
    couplings, Z = fitted(Couplings()), noise(4, 8, 8)
    return {
        "accuracy": DepthDisplay.from_accuracy(model, *data),
        "contraction": DepthDisplay.from_contraction(model, X, y),
        "components": ComponentsDisplay.from_estimator(model, *data),
        "values": SingularValuesDisplay.from_estimator(model, X[0], layers=["stages.0", "head"]),
        "isometry": SingularValuesDisplay.from_estimator(fitted(Rotations()), Z[0]),
        "images": InterpolationDisplay.from_estimator(couplings, Z[:2], Z[2:]),
    }


@pytest.mark.parametrize(
    "name, n_axes",
    {
        "accuracy": 1,
        "contraction": 3,
        "components": 1,
        "values": 2,
        "isometry": 2,
        "images": 16,
    }.items(),
)
def test_displays_can_be_read(displays, name, n_axes):
    display = displays[name]
    assert len(display.axes_) == n_axes
    assert len(display.to_frame())
    assert_legible(display.figure_)
    figure = Figure()
    assert display.plot(figure.add_subplot()).figure_ is figure


def test_curves_are_the_numbers_and_the_head_is_a_line(displays):
    table = displays["accuracy"].to_frame()
    lines = displays["accuracy"].plot().axes_[0].lines
    machine, neighbour, head = (line.get_ydata() for line in lines)
    by_kind = table.set_index("classifier")["accuracy"]
    np.testing.assert_array_equal(machine, by_kind["linear_svm"])
    np.testing.assert_array_equal(neighbour, by_kind["nearest_neighbour"])
    np.testing.assert_array_equal(head, [by_kind["head"]] * 2)
    first, _, margins = displays["contraction"].plot().axes_
    contraction = displays["contraction"].to_frame()
    np.testing.assert_array_equal(first.lines[0].get_ydata(), contraction["ratio"])
    np.testing.assert_array_equal(margins.lines[1].get_ydata(), contraction["margin_5"])


def test_the_energy_of_the_first_tenth_is_told(displays):
    assert displays["isometry"].energy_within(0.1) == {"features": pytest.approx(7 / 64)}
    table = displays["isometry"].results["features"]
    few = SingularValuesDisplay({"few": table[:3]})
    assert np.isnan(few.energy_within()["few"])
    with pytest.raises(ValueError, match="fraction must be"):
        few.energy_within(0)


@pytest.mark.parametrize("shape", [(16,), (8, 8), (3, 8, 8), (6, 6, 6), (2, 6, 6, 6)], ids=str)
def test_samples_of_any_shape_are_drawn(shape):
    X = noise(4, *shape)
    rows = X.reshape(4, -1)
    found = interpolate(PCA().fit(rows), rows[:2], rows[2:], n_steps=3)
    display = InterpolationDisplay(found, image_shape=shape).plot()
    assert display.samples.shape[:2] == (2, 3)
    assert len(display.axes_) == 6
    assert_legible(display.figure_)


def test_numbers_of_components_that_lie_close_are_not_all_written():
    numbers = [*2 ** np.arange(8), 200]
    table = pd.DataFrame({"n_components": numbers, "classifier": "linear_svm", "accuracy": 0.5})
    display = ComponentsDisplay(table).plot()
    labels = [label.get_text() for label in display.axes_[0].get_xticklabels()]
    assert labels[-2:] == ["128", ""]
    assert_legible(display.figure_)


def test_displays_refuse_other_tables():
    table = pd.DataFrame({"a": [1]})
    for display in (DepthDisplay, ComponentsDisplay, lambda t: SingularValuesDisplay({"x": t})):
        for wrong in (table, table[:0], {"a": 1}):
            with pytest.raises(ValueError, match=r"must be a table with the columns \["):
                display(wrong)
    with pytest.raises(ValueError, match="got none"):
        SingularValuesDisplay({})
