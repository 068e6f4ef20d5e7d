"""Where a model looked: gradients, class activations, occlusion, files in the subject's space."""

import json
import re
from functools import partial
from itertools import product
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklstruct_rfnin.architecture import RFNiN
from sklstruct_scattering.scattering import Scattering
from torch import nn

from sklstruct import NiftiVolumes, RFNNClassifier, StructuredClassifier, StructuredRegressor, cli
from sklstruct.cli.explain import METHODS
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.estimators.persistence import save_model
from sklstruct.frames import Pixels
from sklstruct.inspection import (
    MapDisplay,
    SampleMapsDisplay,
    class_activation_map,
    deletion,
    grad_cam_map,
    gradient_map,
    integrated_gradients,
    occlusion_map,
    write_maps,
)
from sklstruct.inspection.maps import mean_volume
from sklstruct.inspection.methods import MAP_METHODS, MEANINGS
from sklstruct.inspection.opened import Opened
from sklstruct.inspection.places import Places
from sklstruct.io.nifti import read_volume
from sklstruct.layers import FrameConv, InjectivePad, SpaceToChannels
from sklstruct.plugins import entries, lookup

FAST = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "device": "cpu"}
SHAPE = (9, 8, 7)


class Tiny(nn.Module):
    """Two convolutions with strides 2 and a pooling, mean over space, linear layer."""

    def __init__(self, in_shape, n_outputs):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(in_shape[0], 4, 3, stride=2, padding=1),
            nn.Tanh(),
            nn.MaxPool3d(3, stride=2, padding=1),
            nn.Conv3d(4, 4, 3, stride=2, padding=1),
        )
        self.head = nn.Linear(4, n_outputs)

    def forward(self, x):
        return self.head(self.features(x).flatten(2).mean(2))

    def class_activations(self, x):
        return torch.einsum("nc...,oc->no...", self.features(x), self.head.weight)


class Position(nn.Module):
    """Its class activations are where they are: the index along each axis in turn, in samples."""

    def __init__(self, in_shape, n_outputs):
        super().__init__()
        self.every_fourth = nn.Conv3d(1, 1, 1, stride=4)
        self.head = nn.Linear(1, n_outputs)

    def forward(self, x):
        return self.head(x.flatten(1).mean(1, keepdim=True))

    def class_activations(self, x):
        self.every_fourth(x)
        places = torch.meshgrid(*(torch.arange(0.0, n, 4) for n in x.shape[2:]), indexing="ij")
        return torch.stack(places).expand(len(x), -1, -1, -1, -1)


def data(n=8, shape=SHAPE, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    shift = 2 * y.reshape(-1, *(1,) * len(shape))  # so that something can be learned
    return (3 + shift + 2 * rng.normal(size=(n, *shape))).astype(np.float32), y


def fitted(architecture="linear", n_classes=2, shape=SHAPE, **params):
    X, y = data(shape=shape, n_classes=n_classes)
    labels = np.array(["ant", "bee", "cow"])[y]
    return StructuredClassifier(architecture=architecture, **{**FAST, **params}).fit(X, labels), X


def flat(X):
    return np.reshape(X, (len(X), -1))


# --------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("standardize", [True, False])
def test_the_gradient_of_a_linear_network_is_its_weight_in_units_of_x(standardize):
    model, X = fitted(standardize=standardize)
    weight = model.net_.module_.head.weight.detach().numpy()
    expected = (weight[1] - weight[0]).reshape(SHAPE) / model.scale_[0]
    maps = gradient_map(model, X)
    assert maps.shape == X.shape
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, np.broadcast_to(expected, X.shape), rtol=1e-6)
    np.testing.assert_array_equal(gradient_map(model, X, "ant"), -gradient_map(model, X, "bee"))
    # a step along the gradient changes the decision by its square
    step = model.decision_function(X + maps) - model.decision_function(X)
    np.testing.assert_allclose(step, (maps.astype(float) ** 2).sum((1, 2, 3)), rtol=1e-3)


@pytest.mark.filterwarnings("ignore:X is on another scale")  # the blank samples are
def test_input_x_gradient_of_a_linear_network_adds_up_to_what_sets_a_sample_apart():
    model, X = fitted(shape=(3, 8, 8))  # an image of three channels
    maps = gradient_map(model, X, kind="input_x_gradient")
    assert maps.shape == (8, 8, 8)
    blank = np.broadcast_to(model.mean_[:, None, None], X.shape).astype(np.float32)
    expected = model.decision_function(X) - model.decision_function(blank)
    np.testing.assert_allclose(maps.sum((1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_gradients_agree_with_finite_differences_in_the_units_of_y():
    X, _ = data()
    y = np.stack([X[:, 1, 2, 3], 100 * X[:, 4, 4, 4]], axis=1)
    model = StructuredRegressor(architecture=Tiny, dtype="float64", **FAST).fit(X, y)
    X = X[:2].astype(np.float64)
    for target, place in product((0, 1), [(0, 0, 0), (4, 4, 4)]):
        step = np.zeros(SHAPE)
        step[place] = 1e-4
        change = (model.predict(X + step) - model.predict(X - step))[:, target] / 2e-4
        found = gradient_map(model, X, target)[:, *place]
        np.testing.assert_allclose(found, change, rtol=1e-4)


def test_without_a_target_the_predicted_one_of_several_classes_is_explained():
    model, X = fitted(Tiny, n_classes=3, max_epochs=20)
    predicted = model.predict(X)
    assert len(set(predicted)) > 1
    for explain in (gradient_map, class_activation_map, partial(occlusion_map, size=4)):
        maps = explain(model, X)
        for label in set(predicted):
            np.testing.assert_array_equal(
                maps[predicted == label], explain(model, X, label)[predicted == label]
            )


def test_smoothgrad_averages_and_leaves_a_linear_network_alone():
    model, X = fitted()
    smooth = gradient_map(model, X, n_samples=3, noise=0.5)
    np.testing.assert_allclose(smooth, gradient_map(model, X), rtol=1e-5)
    model, X = fitted(Tiny)
    one, two = (gradient_map(model, X, noise=0.5, random_state=seed) for seed in (0, 1))
    assert not np.allclose(one, two)
    assert not np.allclose(one, gradient_map(model, X))
    many = [gradient_map(model, X, n_samples=n, noise=0.5) for n in (1, 2)]
    assert not np.allclose(*many)


@pytest.mark.parametrize("n_samples", [1, 2])
def test_a_map_depends_neither_on_company_nor_on_threads(n_samples):
    model, X = fitted(Tiny)
    for explain in (
        partial(gradient_map, noise=0.1, n_samples=n_samples),
        class_activation_map,
        partial(occlusion_map, size=5),
    ):
        maps = explain(model, X)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            np.testing.assert_array_equal(explain(model, X[5:6])[0], maps[5])
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)


def test_explaining_leaves_no_trace_in_the_network():
    model, X = fitted(Tiny)
    module = model.net_.module_
    states = []
    for _ in range(2):
        gradients = [parameter.grad for parameter in module.parameters()]
        states.append([value.clone() for value in [*module.state_dict().values(), *gradients]])
        gradient_map(model, X)
    assert all(map(torch.equal, *states))


# ------------------------------------------------------------------------- class activations


def test_class_activations_of_the_last_places_average_to_logit_minus_bias():
    model, X = fitted(Tiny, shape=(17, 16, 10))
    maps = class_activation_map(model, X)
    assert maps.shape == X.shape
    bias = model.net_.module_.head.bias.detach().numpy()
    places = maps[:, ::8, ::8, ::8]  # those of the last layer
    expected = model.decision_function(X) - (bias[1] - bias[0])
    np.testing.assert_allclose(places.mean((1, 2, 3)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", entries("architecture"))
def test_whatever_has_class_activations_says_where_they_lie(name):
    if lookup("architecture", name).dense:
        pytest.skip("it has an output at every place")
    X, y = np.random.default_rng(0).random((12, 16, 13)), np.arange(12) % 2
    model = StructuredClassifier(architecture=name, max_epochs=1, random_state=0).fit(X, y)
    if not hasattr(model.net_.module_, "class_activations"):
        pytest.skip("it has none")
    assert class_activation_map(model, X).shape == X.shape


@pytest.mark.parametrize("shape", [(9, 8, 7), (5, 13, 6), (21, 5, 5)])
def test_places_of_a_strided_layer_lie_where_they_belong(shape):
    model, X = fitted(Position, n_classes=3, shape=shape)
    for axis, label in enumerate(("ant", "bee", "cow")):
        extent = X.shape[1 + axis]
        index = np.minimum(np.arange(extent), (extent - 1) // 4 * 4)  # constant past the last
        along = np.moveaxis(class_activation_map(model, X, label), 1 + axis, -1)
        np.testing.assert_allclose(along, np.broadcast_to(index, along.shape), atol=1e-6)


@pytest.mark.parametrize("extent, averaged", [(24, 1), (40, 2), (70, 4)])
@pytest.mark.parametrize("at", [0.3, 0.6])
def test_a_blob_comes_back_where_it_is(extent, averaged, at):
    """Whatever is averaged before the first group: its places lie in the middle of what is."""
    architecture = RFNiN(widths=(1,), strides=1, mixing=False, pools=False, largest=32)
    model, _ = fitted(architecture, shape=(extent, 8, 9), standardize=False)
    network = model.net_.module_
    with torch.no_grad():
        group = network.stages.group1.parts["spatial"]
        group.norm.reset_parameters()
        group.conv.weight.zero_()[0, 0, 0] = 1  # a Gaussian
        network.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
    along, *_ = Places(Opened(model), (1, extent, 8, 9), network).of("stages")[1]
    assert np.diff(along)[0] == averaged
    place, width = at * extent, extent / 18
    blob = np.exp(-((np.arange(extent) - place) ** 2) / 2 / width**2).reshape(-1, 1, 1)
    profile = class_activation_map(model, np.broadcast_to(blob, (1, extent, 8, 9)))[0, :, 4, 4]
    assert profile @ np.arange(extent) / profile.sum() == pytest.approx(place, abs=0.05)


@pytest.mark.parametrize(
    "layers, stride, first",
    [
        ([nn.AvgPool1d(4, ceil_mode=True), nn.Conv1d(1, 1, 3, 2, padding=1)], 8, 1.5),
        ([nn.Conv1d(1, 1, 4, padding=1), nn.MaxPool1d(2)], 2, 1.0),
        ([FrameConv(1, 1, Pixels(5), ndim=1, padding="full"), nn.MaxPool1d(3, 2, 1)], 2, -2.0),
        ([nn.Conv1d(1, 1, 3, dilation=2), nn.Conv1d(1, 1, 3, stride=3, padding="valid")], 3, 3.0),
    ],
)
def test_places_lie_in_the_middle_of_what_they_see(layers, stride, first):
    """Found by what moves them: the centre of the samples with a gradient."""
    network = nn.Sequential(*layers).double()
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    x = torch.linspace(0, 1, 48, dtype=torch.float64).requires_grad_()
    out = network(x[None, None])[0, 0]
    seen = [torch.autograd.grad(out[k], x, retain_graph=True)[0].nonzero() for k in (2, 3)]
    if not any(isinstance(layer, nn.MaxPool1d) for layer in layers):
        centres = [(of.min() + of.max()).item() / 2 for of in seen]
        assert centres == [first + stride * 2, first + stride * 3]
    (along,) = places_of(network, 48).of(None)[1]
    np.testing.assert_array_equal(along[:4], first + stride * np.arange(4))


def places_of(network, *extents):
    """Return where the places of layers lie, for a network of single precision or double."""
    opened = SimpleNamespace(
        network=network,
        estimator=SimpleNamespace(dtype="float64"),
        run=lambda X, function: function(torch.from_numpy(X)),
    )
    opened.trace = partial(Opened.trace, opened)
    return Places(opened, (1, *extents), network)


@pytest.mark.parametrize("extent", [45, 46, 47, 48])
def test_places_of_windows_that_reach_past_the_border_lie_in_what_is_inside(extent):
    pool = nn.AvgPool1d(4, ceil_mode=True)
    means = pool(torch.arange(extent).double()[None, None])[0, 0]
    np.testing.assert_array_equal(places_of(nn.Sequential(pool), extent).of("0")[1][0], means)


def test_places_of_margins_and_of_blocks_that_become_channels():
    network = nn.Sequential(
        SpaceToChannels(), InjectivePad(places=[(1, 0)]), nn.AdaptiveAvgPool1d(3)
    )
    found = places_of(network, 10)
    np.testing.assert_array_equal(found.of_layer["0"][0], [0.5, 2.5, 4.5, 6.5, 8.5])
    np.testing.assert_array_equal(found.of_layer["1"][0], [-1.5, 0.5, 2.5, 4.5, 6.5, 8.5])
    np.testing.assert_array_equal(found.of_layer["2"][0], [-0.5, 3.5, 7.5])


@pytest.mark.parametrize("extent, J", [(32, 2), (32, 3), (27, 2), (13, 1)])
@pytest.mark.parametrize("padding", ["reflect", "periodic"])
def test_averages_of_scattering_lie_where_they_are_sampled(extent, J, padding):
    if padding == "periodic" and extent % 2**J:
        pytest.skip("periodic signals have extents that are multiples of the step")
    scattering = Scattering(J, (extent, extent), padding=padding)
    along, _ = scattering.sampled_at
    for place, sample in enumerate(along.tolist()):
        if 2 * 2**J < sample < extent - 2 * 2**J:  # nothing is mirrored there
            x = torch.zeros(1, 1, extent, extent)
            x[..., sample, extent // 2] = 1
            averages = scattering(x)[0, 0, 0].sum(1)
            assert averages.argmax() == place
            np.testing.assert_allclose(averages[place - 1], averages[place + 1], rtol=1e-3)


def test_what_cannot_be_explained_is_said():
    model, X = fitted()
    with pytest.raises(TypeError, match=r"no class activations.*gradient_map"):
        class_activation_map(model, X)
    with pytest.raises(TypeError, match=r"must be a network estimator.*, got GaussianNB"):
        gradient_map(GaussianNB(), X)
    with pytest.raises(ValueError, match=r"target must be one of .*'ant', 'bee'.*got 'wasp'"):
        gradient_map(model, X, "wasp")
    with pytest.raises(ValueError, match="kind must be one of"):
        gradient_map(model, X, kind="slope")
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 1"):
        gradient_map(model, X, n_samples=0)
    with pytest.raises(ValueError, match="random_state must be an integer of at least 0, got None"):
        gradient_map(model, X, random_state=None)
    with pytest.raises(ValueError, match="gives places, and the network has none, got None"):
        grad_cam_map(fitted("mlp", shape=(6,))[0], data(shape=(6,))[0])
    several = StructuredRegressor(**FAST).fit(X, np.stack([X[:, 0, 0, 0]] * 2, axis=1))
    with pytest.raises(ValueError, match="number of a value, from 0 to 1, got None"):
        gradient_map(several, X)


# --------------------------------------------------------------------------------- occlusion


def covered(values, size, stride):
    """Return the mean over the boxes around every place of the sums of values in them."""
    starts = [sorted({*range(0, n - size, stride), n - size}) for n in values.shape]
    total, times = np.zeros(values.shape), np.zeros(values.shape)
    for corner in product(*starts):
        box = tuple(slice(a, a + size) for a in corner)
        total[box] += values[box].sum()
        times[box] += 1
    return total / times


@pytest.mark.parametrize("size, stride", [(1, 1), (3, 2), (4, 4), (7, 3)])
@pytest.mark.parametrize("model", [LogisticRegression(max_iter=1000), LinearRegression()])
def test_occlusion_of_a_linear_model_is_the_sum_of_weight_times_deviation(model, size, stride):
    X, y = data(20)
    chain = make_pipeline(FunctionTransformer(flat), model).fit(X, y)
    weight = np.ravel(model.coef_).reshape(SHAPE)
    X = X[:2].astype(np.float64)
    maps = occlusion_map(chain, X, size=size, stride=stride)
    expected = [covered(weight * (x - x.mean()), size, stride) for x in X]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)
    average = X.mean(0)
    maps = occlusion_map(chain, X, size=size, stride=stride, fill=average)
    expected = [covered(weight * (x - average), size, stride) for x in X]
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)


def test_occlusion_explains_probabilities_classes_and_several_values():
    X, y = data(30, (4, 4), 3)
    X[y == 2, 1, 1] += 30
    chain = make_pipeline(FunctionTransformer(flat), GaussianNB()).fit(X, y)
    maps = occlusion_map(chain, X[y == 2], 2, size=1, fill=3.0)
    assert (flat(maps).argmax(1) == 5).all()
    np.testing.assert_allclose(maps[:, 1, 1], 1, atol=1e-3)  # the probability falls to nothing
    values = LinearRegression().fit(flat(X), flat(X)[:, :2])
    maps = occlusion_map(values, flat(X)[:3], 1, size=1, fill=0)
    np.testing.assert_allclose(maps[:, 1], X[:3, 0, 1], rtol=1e-4)
    np.testing.assert_allclose(np.delete(maps, 1, axis=1), 0, atol=1e-4)


def test_occlusion_of_rows_with_named_columns_is_that_of_rows():
    X, y = data(30, (16,))
    table = pd.DataFrame(X, columns=[f"pixel {n}" for n in range(16)])
    by_name = ColumnTransformer([("some", StandardScaler(), ["pixel 3", "pixel 5"])])
    chain = make_pipeline(by_name, LogisticRegression()).fit(table, y)
    by_number = ColumnTransformer([("some", StandardScaler(), [3, 5])])
    other = make_pipeline(by_number, LogisticRegression()).fit(X, y)
    expected = occlusion_map(other, X[:3], size=1)
    np.testing.assert_allclose(occlusion_map(chain, table[:3], size=1), expected, rtol=1e-5)
    areas = [
        deletion(model, rows, "occlusion", n_random=2).areas
        for model, rows in ((chain, table[:3]), (other, X[:3]))
    ]
    np.testing.assert_allclose(*areas, rtol=1e-5)


def test_occlusion_never_holds_many_copies(monkeypatch):
    X, y = data(10)
    seen = []

    def spy(X):
        seen.append(len(X))
        return flat(X)

    chain = make_pipeline(FunctionTransformer(spy), LinearSVC()).fit(X, y)
    whole = occlusion_map(chain, X[:1], size=3)
    monkeypatch.setattr("sklstruct.inspection.occlusion.VALUES_AT_ONCE", 3 * X[0].size + 1)
    seen.clear()
    np.testing.assert_allclose(occlusion_map(chain, X[:1], size=3), whole, rtol=1e-6)
    assert max(seen) == 3
    seen.clear()
    assert not occlusion_map(chain, np.ones((1, *SHAPE)), size=3).any()
    assert seen == [1]  # what would change nothing is not tried


def test_wrong_parameters_of_occlusion_are_named():
    X, y = data(10)
    chain = make_pipeline(FunctionTransformer(flat), LinearSVC()).fit(X, y)
    for message, params in {
        "size must be a positive integer, or 3 of them": {"size": (2, 2)},
        "size must be a positive integer": {"size": 0},
        "stride must be at most size": {"size": 2, "stride": 3},
        "fill must be 'mean', a number, or an array of the shape": {"size": 2, "fill": "zero"},
        "target must be one of the classes": {"size": 2, "target": 5},
    }.items():
        with pytest.raises(ValueError, match=message):
            occlusion_map(chain, X, **params)
    with pytest.raises(ValueError, match="X must be numbers"):
        occlusion_map(chain, np.array([["a.nii"]]), size=1)


# ------------------------------------------------------------------------------------- files

MM = np.array([1.0, 2.0, -0.5])  # a map that is a ramp over the millimetres


def oblique(seed, spacing=2.0):
    """Return an affine with flipped and exchanged axes, turned a little."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.eye(3) + 0.1 * rng.normal(size=(3, 3)))[0]
    axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    affine = np.eye(4)
    affine[:3, :3] = spacing * turn @ axes
    affine[:3, 3] = -affine[:3, :3] @ np.full(3, 5.5) + rng.normal(size=3)
    return affine


def write_scan(path, seed, affine=None, brighter=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).normal(size=(12, 12, 12)).astype(np.float32)
    voxels[:6] += brighter
    affine = oblique(seed) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return str(path)


@pytest.fixture
def scans(tmp_path):
    """Two scans of each of three subjects, whose names have an entity or two."""
    names = [f"sub-{n}_ses-{k}_T1w.nii.gz" for n in (1, 2, 3) for k in (1, 2)]
    return [write_scan(tmp_path / "bids" / name, n) for n, name in enumerate(names)]


@pytest.fixture
def model(scans):
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -15
    volumes = NiftiVolumes(shape=(11, 11, 11), affine=affine, scaling=None)
    chain = make_pipeline(volumes, FunctionTransformer(flat), LinearSVC(dual=True, C=1e-3))
    return chain.fit(scans, list("abbaab"))


def itself(estimator, X, target):
    return X


def test_a_map_lies_at_the_same_millimetres_in_the_space_of_its_scan(model, scans, tmp_path):
    def ramp(estimator, X, target):
        indices = np.indices(X.shape[1:]).reshape(3, -1)
        mm = model[0].affine_[:3, :3] @ indices + model[0].affine_[:3, 3:]
        return (MM @ mm).reshape(X.shape)

    out = write_maps(model, scans, tmp_path / "maps", ramp)
    table = pd.read_csv(out / "scans.csv")
    assert table["scan"].tolist() == scans
    orientations = set()
    for scan, name in zip(table["scan"], table["map"], strict=True):
        before, after = nibabel.load(scan), nibabel.load(out / name)
        np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)
        assert after.shape == before.shape
        orientations.add(nibabel.aff2axcodes(after.affine))
        mm = after.affine[:3, :3] @ np.indices(after.shape).reshape(3, -1) + after.affine[:3, 3:]
        inside = (np.abs(mm) < 15).all(axis=0)  # the common grid reaches that far
        assert inside.sum() > 500
        np.testing.assert_allclose(after.get_fdata().ravel()[inside], (MM @ mm)[inside], atol=1e-3)
    assert len(orientations) > 3
    values, grid = read_volume(out / "group" / "all_stat-mean_map.nii.gz")
    assert grid.agrees(model[0].grid_)
    np.testing.assert_allclose(values, ramp(None, values[None], None)[0], atol=1e-4)


def test_group_maps_are_statistics_over_subjects(model, scans, tmp_path):
    y, subjects = np.array(list("abbabb")), np.repeat(["x", "y", "z"], 2)
    out = write_maps(model, scans, tmp_path / "maps", itself, y=y, subjects=subjects)
    X = model[0].transform(scans).astype(np.float64)

    def read(name):
        return read_volume(out / f"group/{name}_map.nii.gz", constant=True)[0]

    means = X.reshape(3, 2, *X.shape[1:]).mean(1)
    np.testing.assert_allclose(read("all_stat-mean"), means.mean(0), atol=1e-6)
    np.testing.assert_allclose(read("all_stat-std"), means.std(0, ddof=1), atol=1e-6)
    t, varies = read("all_stat-t"), means.std(0) > 0  # nothing does beyond the scans
    assert not t[~varies].any()
    expected = means.mean(0)[varies] / means.std(0, ddof=1)[varies] * np.sqrt(3)
    np.testing.assert_allclose(t[varies], expected, rtol=1e-4, atol=1e-5)
    a, b = X[[0, 3]], np.stack([X[1], X[2], X[4:].mean(0)])
    np.testing.assert_allclose(read("true-a_stat-mean"), a.mean(0), atol=1e-6)
    np.testing.assert_allclose(read("true-b_stat-std"), b.std(0, ddof=1), atol=1e-6)
    np.testing.assert_allclose(read("difference-b-a_stat-mean"), b.mean(0) - a.mean(0), atol=1e-6)
    error = np.sqrt(a.var(0, ddof=1) / 2 + b.var(0, ddof=1) / 3)[varies]
    welch = (b.mean(0) - a.mean(0))[varies] / error
    np.testing.assert_allclose(read("difference-b-a_stat-t")[varies], welch, rtol=1e-4)
    np.testing.assert_allclose(read_volume(out / "mean_volume.nii.gz")[0], X.mean(0), atol=1e-6)
    table = pd.read_csv(out / "scans.csv")
    assert table["predicted"].tolist() == model.predict(scans).tolist()
    assert table["label"].tolist() == y.tolist()
    predicted = {f"predicted-{label}" for label in set(table["predicted"])}
    groups = {path.name.split("_")[0] for path in (out / "group").glob("*.nii.gz")}
    assert groups == {"all", "true-a", "true-b", "difference-b-a"} | predicted
    assert json.loads((out / "maps.json").read_text())["n_subjects"] == 3
    assert {path.stem for path in (out / "group").glob("*.png")} == groups


def test_scans_are_explained_one_at_a_time_and_masked(scans, tmp_path):
    mask = tmp_path / "mask.nii.gz"
    inside = np.zeros((12, 12, 12), np.float32)
    inside[3:9, 3:9, 3:9] = 1
    nibabel.save(nibabel.Nifti1Image(inside, oblique(0)), mask)
    chain = make_pipeline(NiftiVolumes(mask=mask), FunctionTransformer(flat), GaussianNB())
    chain.fit(scans, list("abbaab"))
    shapes = []

    def ones(estimator, X, target):
        shapes.append(X.shape)
        assert target == "b"
        return np.ones_like(X)

    out = write_maps(chain, scans, tmp_path / "maps", ones, target="b")
    assert shapes == [(1, *chain[0].shape_)] * 6
    values, _ = read_volume(out / "group" / "all_stat-mean_map.nii.gz")
    np.testing.assert_array_equal(values, chain[0].mask_)


def test_scans_of_one_name_get_maps_of_two(model, tmp_path):
    names = [
        *("one/sub-1_T1w.nii", "two/sub-1_T1w.nii.gz", "three/sub-1_number-1_T1w.nii.gz"),
        *("sub-1_T2w.nii", "head_a-b.nii", "four/head_a-b.nii.gz", "five/T1w.nii"),
    ]
    paths = [write_scan(tmp_path / name, n) for n, name in enumerate(names)]
    table = pd.read_csv(write_maps(model, paths, tmp_path / "maps", itself) / "scans.csv")
    assert table["map"].nunique() == len(paths)
    written = {
        path.name.removesuffix("_map.nii.gz") for path in (tmp_path / "maps/scans").iterdir()
    }
    assert written == {
        *("sub-1_number-1", "sub-1_number-2", "sub-1_number-3", "sub-1_number-4"),
        *("head_a-b_number-1", "head_a-b_number-2", "T1w"),
    }
    for path, name in zip(paths, table["map"], strict=True):  # each with the space of its own
        affines = [nibabel.load(file).affine for file in (path, tmp_path / "maps" / name)]
        np.testing.assert_allclose(*affines, atol=1e-5)


def test_nothing_is_overwritten_and_nothing_is_left_half_done(model, scans, tmp_path):
    (tmp_path / "full").mkdir()
    kept = tmp_path / "full" / "notes.txt"
    kept.write_text("mine")
    with pytest.raises(FileExistsError, match="full"):
        write_maps(model, scans, tmp_path / "full", itself)
    assert kept.read_text() == "mine"
    assert [kept] == list((tmp_path / "full").iterdir())
    damaged = tmp_path / "bids" / "sub-9_T1w.nii"
    damaged.write_bytes(b"no scan")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"sub-9_T1w\.nii is not a usable NIfTI volume"):
        write_maps(model, [*scans, damaged], tmp_path / "maps", itself)
    assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(TypeError, match="begins with NiftiVolumes, got LinearSVC"):
        write_maps(model[-1], scans, tmp_path / "maps", itself)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        write_maps(model, scans, tmp_path / "maps", itself, y=["a"])


def test_the_difference_of_two_classes_lies_where_they_differ(tmp_path):
    cohort = simulate_cohort(
        tmp_path / "cohort", n_subjects=18, shape=(19, 24, 21), spacing=8.0, effect_size=1.0
    )
    volumes = NiftiVolumes(smoothing_fwhm=12, mask="brain")
    chain = make_pipeline(volumes, FunctionTransformer(flat), LinearSVC(C=1e-4))
    chain.fit(cohort.X, cohort.y)
    assert chain.score(cohort.X, cohort.y) > 0.9
    hide = partial(occlusion_map, size=2, stride=2, fill=mean_volume(volumes.lazy(cohort.X)))
    out = write_maps(chain, cohort.X, tmp_path / "maps", hide, y=cohort.y, subjects=cohort.groups)
    values, grid = read_volume(out / "group/difference-patient-control_stat-mean_map.nii.gz")
    truth = read_volume(tmp_path / "cohort/derivatives/truth/label-atrophy_mask.nii.gz")[0] > 0
    brain = volumes.mask_
    assert values[truth & brain].mean() > 5 * np.abs(values[~truth & brain]).mean()
    assert roc_auc_score(truth[brain], values[brain]) > 0.95
    peak = np.unravel_index(values.argmax(), values.shape)
    place = grid.affine[:3] @ [*peak, 1]
    assert np.linalg.norm(place - [-55, -20, -10]) < 16  # mm, the edge of a box


# ---------------------------------------------------------------------------------- pictures


def ball(centre, shape=(20, 24, 16)):
    distance = ((np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0)
    return np.exp(-distance / 8.0)


def test_planes_go_through_the_strongest_place_and_know_left_from_right():
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = -19, -30, -20
    values = ball((4, 16, 5)) - 2 * ball((15, 6, 10))
    display = MapDisplay(values, np.ones_like(values), affine=affine).plot()
    assert display.at == (15 * 2 - 19, 6 * 3 - 30, 10 * 4 - 20)
    assert display.limit == pytest.approx(2, rel=1e-6)
    letters = [[text.get_text() for text in ax.texts] for ax in display.axes_]
    assert letters == [["P", "A"], ["L", "R"], ["L", "R"]]
    for ax, (normal, across) in zip(
        display.axes_, [(0, (1, 2)), (1, (0, 2)), (2, (0, 1))], strict=True
    ):
        plane = values.take((15, 6, 10)[normal], axis=normal)
        image = ax.images[-1]
        np.testing.assert_array_equal(image.get_array()[..., 3] == 1, np.abs(plane.T) >= 0.8)
        assert image.get_extent() == [
            *(0, plane.shape[0] * affine[across[0], across[0]]),
            *(0, plane.shape[1] * affine[across[1], across[1]]),
        ]
        left = next(text for text in ax.texts if text.get_text() in "LP")
        assert left.get_position()[0] < 0  # beside the column of index 0
        assert image.origin == "lower"


def test_a_place_in_millimetres_is_the_same_in_any_orientation(tmp_path):
    values = ball((4, 16, 5))
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    mirrored = np.diag([-2.0, 2.0, 2.0, 1.0])
    mirrored[0, 3] = 2 * (len(values) - 1)
    one = MapDisplay(values, affine=affine, at=(8, 30, 10.7))
    two = MapDisplay(values[::-1], affine=mirrored, at=(8, 30, 10.7), truth=values[::-1] > 0.5)
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(two.truth, values > 0.5)
    assert one.at == two.at == (8, 30, 10)
    nibabel.save(nibabel.Nifti1Image(values[::-1].astype(np.float32), mirrored), tmp_path / "m.nii")
    three = MapDisplay.from_nifti(tmp_path / "m.nii", truth=tmp_path / "m.nii")
    assert three.at == (8, 32, 10)
    np.testing.assert_allclose(three.truth, values, rtol=1e-6)
    three.save(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_maps_are_refused():
    values = ball((4, 16, 5))
    with pytest.raises(ValueError, match="finite numbers with three axes"):
        MapDisplay(values[0])
    with pytest.raises(ValueError, match="background must have the shape"):
        MapDisplay(values, values[1:])
    with pytest.raises(ValueError, match="at must be a place on 20x24x16"):
        MapDisplay(values, at=(100, 0, 0))
    with pytest.raises(ValueError, match="at must be three numbers"):
        MapDisplay(values, at=(1, 2))
    MapDisplay(np.zeros_like(values)).plot()  # nothing to see, but no error
    with pytest.raises(ValueError, match="maps must be finite numbers, got 0% so"):
        SampleMapsDisplay(values, np.full_like(values, np.nan), ["a"] * 4)


def test_a_method_is_drawn_beside_samples_and_over_a_scan(tmp_path):
    rng = np.random.default_rng(0)
    for shape, kept in (((30,), ()), ((9, 8), ()), ((3, 9, 8), (3,)), ((7, 6, 5), ())):
        X = rng.normal(size=(6, *shape)).astype(np.float32)
        layout = {1: "L", 2: "HW", 3: "CHW" if kept else "DHW"}[len(shape)]
        estimator = StructuredClassifier(layout=layout, **FAST).fit(X, [0, 1] * 3)
        display = SampleMapsDisplay.from_estimator(estimator, X[:2], "input_x_gradient")
        spatial = shape[1:] if kept else shape
        assert display.samples.shape == (2, *spatial, *kept)
        np.testing.assert_array_equal(
            display.maps, gradient_map(estimator, X[:2], kind="input_x_gradient")
        )
        assert display.titles == [f"predicted {label}" for label in estimator.predict(X[:2])]
        assert display.label == "slope times deviation (1)"
    cohort = simulate_cohort(tmp_path / "c", n_subjects=4, shape=(12, 14, 12), spacing=14.0)
    chain = on_paths(StructuredClassifier(**FAST), mask="brain").fit(cohort.X, cohort.y)
    figure = Figure(figsize=(3.3, 2))
    display = MapDisplay.from_estimator(chain, cohort.X[1], "integrated_gradients", ax=figure)
    volumes = chain[0].transform(cohort.X[1:2])
    expected = np.where(chain[0].mask_, integrated_gradients(chain[-1], volumes)[0], 0)
    np.testing.assert_array_equal(display.values, expected)  # whose axes are in order
    np.testing.assert_array_equal(display.background, volumes[0])
    assert display.title == f"predicted {chain.predict(cohort.X[1:2])[0]}"
    with pytest.raises(TypeError, match="begins with NiftiVolumes, got Structured"):
        MapDisplay.from_estimator(chain[-1], volumes[0])


# ------------------------------------------------------------------------------ command line


def test_the_command_knows_the_methods():
    assert list(METHODS) == list(MAP_METHODS) == list(MEANINGS)
    assert "captum:DeepLift" in METHODS
    assert "magic" not in METHODS


def test_explain_writes_maps_of_a_model_in_a_file(tmp_path, capsys):
    simulate_cohort(tmp_path / "cohort", n_subjects=4, shape=(8, 10, 9), spacing=20.0)
    paths = sorted(map(str, (tmp_path / "cohort").glob("sub-*/anat/*")))
    network = StructuredClassifier(**FAST)
    save_model(make_pipeline(NiftiVolumes(), network).fit(paths, [0, 1, 0, 1]), tmp_path / "m.skl")

    def run(*arguments):
        options = ["--model", tmp_path / "m.skl", "--cohort", tmp_path / "cohort", *arguments]
        return cli.main(["explain", *map(str, options)]), capsys.readouterr()

    status, said = run("--target", "diagnosis", "--method", "gradient", "--out", tmp_path / "g")
    assert status == 0
    assert re.search("maps: 100%.* 4/4 ", said.err)
    assert "4 scans of 4 subjects" in said.out
    assert len(list((tmp_path / "g/scans").iterdir())) == 4
    status, _ = run("--method", "occlusion", "--size", 60, "--of", 0, "--out", tmp_path / "o")
    assert status == 0
    assert json.loads((tmp_path / "o/maps.json").read_text())["target"] == "0"
    status, said = run("--method", "gradient", "--out", tmp_path / "g")
    assert status == 1
    assert "empty folder" in said.err
    status, said = run("--out", tmp_path / "a")
    assert status == 1
    assert "no class activations" in said.err
    assert not (tmp_path / "a").exists()
    status, said = run("--of", "wasp", "--method", "gradient", "--out", tmp_path / "a")
    assert status == 1
    assert "--of must be one of the classes 0, 1, got 'wasp'" in said.err


def test_occlusion_hides_nothing_outside_of_a_mask():
    rng = np.random.default_rng(0)
    X, mask = rng.normal(size=(3, 6, 6)), np.zeros((6, 6), bool)
    mask[1:4, 1:5] = True
    flat = FunctionTransformer(lambda x: x.reshape(len(x), -1))
    model = make_pipeline(flat, LinearRegression().fit(np.eye(36), rng.normal(size=36)))
    weights = model[1].coef_
    maps = occlusion_map(model, X, size=3, stride=3, fill=0.0, mask=mask)
    assert (maps[:, ~mask] == 0).all()
    hidden = np.where(mask, weights.reshape(6, 6) * X, 0)  # of a linear model it is a sum
    expected = hidden[:, :3, :3].sum(axis=(1, 2))
    np.testing.assert_allclose(maps[:, 1, 1], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="mask must have the shape"):
        occlusion_map(model, X, size=3, mask=mask[1:])


def test_planes_go_through_the_head():
    head, values = np.zeros((12, 10, 8)), np.zeros((12, 10, 8))
    head[2:9, 3:8, 1:6] = 1 + np.random.default_rng(0).uniform(size=(7, 5, 5))
    values[0, 0, 0], values[4, 5, 2] = 5, 1  # the largest value is of the air
    assert MapDisplay(values, head).at == (4, 5, 2)
    assert MapDisplay(values).at == (0, 0, 0)
    nothing = MapDisplay(np.zeros_like(values), head)
    assert all(head.take(int(at), axis).any() for axis, at in enumerate(nothing.at))


def test_explain_takes_images(tmp_path, capsys):
    X, y = load_digits(return_X_y=True)
    X = X[:40].reshape(-1, 8, 8)
    model = RFNNClassifier(widths=(4,), max_epochs=2, random_state=0).fit(X, y[:40])
    save_model(model, tmp_path / "m.skl")
    np.savez(tmp_path / "X.npz", X=X[:5])

    def run(*arguments):
        options = ["--model", tmp_path / "m.skl", "--data", tmp_path / "X.npz", *arguments]
        assert cli.main(["explain", *map(str, options)]) == 0, capsys.readouterr().err
        out = arguments[-1]
        assert (out / "maps.png").read_bytes().startswith(b"\x89PNG")
        return np.load(out / "maps.npy"), json.loads((out / "maps.json").read_text())["target"]

    maps, target = run("--method", "gradient", "--of", 3, "--out", tmp_path / "g")
    np.testing.assert_array_equal(maps, gradient_map(model, X[:5], 3))
    assert target == "3"
    maps, _ = run("--method", "captum:InputXGradient", "--of", 3, "--out", tmp_path / "c")
    expected = gradient_map(model, X[:5], 3, kind="input_x_gradient")
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-6)
    maps, target = run("--method", "occlusion", "--size", 2, "--out", tmp_path / "o")
    np.testing.assert_array_equal(maps, occlusion_map(model, X[:5], size=2, stride=2))
    assert target == "the class that is predicted"
    predicted = pd.read_csv(tmp_path / "o/samples.csv")["predicted"]
    assert predicted.tolist() == model.predict(X[:5]).tolist()
