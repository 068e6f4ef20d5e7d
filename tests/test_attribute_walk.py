"""Walks along attributes: exact where theory says so, and destroyed by a random order."""

import runpy
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import rotate
from scipy.stats import rankdata, spearmanr
from test_inspection import assert_legible
from torch import nn

from sklstruct import (
    HierarchicalCNNClassifier,
    RFNNClassifier,
    StructuredClassifier,
    StructuredRegressor,
)
from sklstruct.frames import Morlet
from sklstruct.inspection import (
    AttributeOrderDisplay,
    AttributeWalk,
    attribute_invariance,
    image_properties,
)
from sklstruct.inspection.attribute_walk import resultant
from sklstruct.inspection.properties import association
from sklstruct.layers import AttributeConv

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 3, 4, 4)), np.arange(24) % 3


class Wavelets(nn.Module):
    """The moduli of wavelets, one a channel, of periodic samples."""

    n_layers = 1

    def __init__(self, atoms, n_outputs, boundary):
        super().__init__()
        self.atoms, self.boundary = torch.tensor(atoms), boundary
        self.head = nn.Linear(len(atoms), n_outputs)

    def attributes(self, x, depth):
        space = tuple(range(2 - x.ndim, 0))
        size = self.atoms.shape[-1]
        filters = torch.zeros(len(self.atoms), *x.shape[2:], dtype=self.atoms.dtype)
        filters[(slice(None), *[slice(size)] * len(space))] = self.atoms
        spectrum = torch.fft.fftn(filters.roll([-(size // 2)] * len(space), space), dim=space)
        return torch.fft.ifftn(spectrum * torch.fft.fftn(x, dim=space), dim=space).abs()

    def from_attributes(self, layer, depth):
        return self.head(layer.flatten(2).mean(2).to(self.head.weight.dtype))

    def forward(self, x):
        return self.from_attributes(self.attributes(x, 1), 1)


class Cascade(nn.Module):
    """A small network of attributes."""

    n_layers = 4

    def __init__(self, in_shape, n_outputs, boundary):
        super().__init__()
        ndim = len(in_shape) - 1
        options = {"ndim": ndim, "boundary": boundary}
        first = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[ndim - 1](in_shape[0], 8, 3, padding=1)
        filters = [(8, (5,)), (8, (3, 5)), (n_outputs, (3, 5))]
        rest = [AttributeConv(k, support, **options) for k, support in filters]
        self.layers = nn.ModuleList([first, *rest])
        self.boundary = boundary

    def attributes(self, x, depth):
        for layer in self.layers[:depth]:
            x = F.elu(layer(x))
        return x

    def from_attributes(self, x, depth):
        for layer in self.layers[depth:]:
            x = F.elu(layer(x))
        return x.flatten(4).mean((1, 2, 4))

    def forward(self, x):
        return self.from_attributes(x, 0)


def fitted(network, X, y, **params):
    params = {"max_epochs": 1, "random_state": 0, "dtype": "float64", **params}
    return StructuredClassifier(architecture=network, **params).fit(X, y)


def cascade(X=X, y=Y, boundary="periodic"):
    layout = ("CL", "CHW", "CDHW")[X.ndim - 3]
    return fitted(lambda *shapes: Cascade(*shapes, boundary), X, y, layout=layout)


# The exact examples ------------------------------------------------------------------------

PER_OCTAVE = 4


def log_spaced(n_channels, **options):
    """Return complex Morlets from low to high frequency, shape (n_channels, size)."""
    scales = tuple(1.5 * 2 ** (v / PER_OCTAVE) for v in range(n_channels))
    atoms = Morlet(scales=scales, truncate=5, **options).build(1).atoms
    return np.flip(atoms[1::2] + 1j * atoms[2::2], axis=0).copy()


def test_multiplying_the_frequency_of_a_sinusoid_shifts_log_spaced_wavelets():
    """x_1(u, v_1) of the sinusoid of twice the frequency is x_1(2 u, v_1 - tau)."""
    u = np.arange(1024)
    slow, fast = (np.cos(2 * np.pi * k * u / 1024 + 0.5) for k in (18, 36))
    layer = Wavelets(log_spaced(20), 2, "zeros")
    before, after = layer.attributes(torch.tensor(np.stack([slow, fast])[:, None]), 1).numpy()
    moved = before[:-PER_OCTAVE, 2 * u % 1024]
    np.testing.assert_allclose(after[PER_OCTAVE:], moved, atol=2e-5)
    assert after.max() > 0.4


@pytest.mark.parametrize("smoothing", [1, 3])
def test_walks_along_frequency_lead_to_sinusoids_of_multiples_of_it(smoothing):
    steps = np.arange(16)
    waves = np.cos(0.1 * 2 ** (steps / PER_OCTAVE)[:, None] * np.arange(-300, 301) + 0.5)
    atoms = log_spaced(20)
    model = fitted(lambda _, n: Wavelets(atoms, n, "zeros"), waves[:, None], steps % 2, layout="CL")
    options = {"queries": range(4, 9), "shifts": range(1, 7), "smoothing": smoothing}
    walk = AttributeWalk.from_estimator(model, waves[:, None], steps % 2, **options)
    np.testing.assert_array_equal(walk.nearest[0], walk.queries + walk.shifts[:, None])
    # Means over channels meet the zeros beyond the highest frequency.
    assert walk.distances.max() < (1e-6 if smoothing == 1 else 0.2)


def test_turning_an_image_shifts_rotated_wavelets_and_turns_places():
    atoms = Morlet(n_orientations=8, scales=(2.0,), slant=0.5, size=21).build(2).atoms
    atoms = atoms[1::2] + 1j * atoms[2::2]
    image = np.zeros((65, 65))
    image[12:53, 12:53] = rotate(RNG.normal(size=(41, 41)), 30, reshape=False)
    layer = Wavelets(atoms, 2, "periodic")
    images = np.stack([image, np.rot90(image), rotate(image, -22.5, reshape=False, order=5)])
    x, quarter, step = layer.attributes(torch.tensor(images[:, None]), 1).numpy()
    # A quarter turn of filters over half a turn is half of the channels.
    turned = np.rot90(np.roll(x, 4, axis=0), axes=(1, 2))
    np.testing.assert_allclose(quarter, turned, atol=1e-12)
    assert np.abs(quarter - np.roll(x, 4, axis=0)).max() > 0.1  # for places turn too
    np.testing.assert_allclose(step[:, 32, 32], np.roll(x, 1, axis=0)[:, 32, 32], atol=2e-3)


def test_walks_along_orientation_lead_to_turned_images():
    atoms = Morlet(n_orientations=4, scales=(1.5,), slant=0.5, size=15).build(2).atoms
    images = RNG.normal(size=(12, 1, 17, 17))
    images[6:] = np.rot90(images[:6], axes=(2, 3))
    labels = np.tile(np.arange(6), 2)
    network = Wavelets(atoms[1::2] + 1j * atoms[2::2], 6, "periodic")
    model = fitted(lambda *_: network, images, labels)
    walk = AttributeWalk.from_estimator(model, images, labels, shifts=[2], smoothing=1)
    np.testing.assert_array_equal(walk.nearest[0, 0], (np.arange(12) + 6) % 12)
    assert walk.distances.max() < 1e-6
    assert walk.to_frame()["share"].tolist() == [1]


# Walks --------------------------------------------------------------------------------------


def planted(n_channels=12, n_classes=5, n_filters=3):
    """Return arrays of classes that are the translations of a pattern, and labels."""
    patterns = RNG.normal(size=(n_classes, n_channels, n_filters))
    arrays = [np.roll(patterns, shift, axis=1) for shift in range(n_channels)]
    return np.concatenate(arrays), np.tile(np.arange(n_classes), n_channels)


def test_translated_arrays_are_walked_along_and_a_random_order_destroys_it():
    arrays, labels = planted()
    samples = np.zeros((60, 1, 4))
    walk = AttributeWalk(
        {5: arrays}, samples, labels, shifts=range(1, 12), smoothing=1, random_state=0
    )
    assert walk.distances.max() < 1e-12
    expected = (np.arange(60) + 5 * np.arange(1, 12)[:, None]) % 60
    np.testing.assert_array_equal(walk.nearest[0], expected)
    table = walk.to_frame()
    assert (table[["share", "high"]] == 1).all(axis=None)
    assert table["low"].between(0.94, 0.95).all()  # of 60 out of 60
    assert table["control_high"].max() < 0.9
    assert (table["p_value"] < 0.11).all()
    assert table["distance_control"].min() > 0.2


def test_walks_do_not_depend_on_where_the_order_begins_and_smoothing_is_a_mean():
    arrays, labels = RNG.normal(size=(30, 7, 2)), np.arange(30) % 2
    samples = np.zeros((30, 1, 4))
    options = {"queries": [3, 8], "shifts": [0, 2]}
    walk = AttributeWalk({1: arrays}, samples, labels, **options)
    again = AttributeWalk({1: np.roll(arrays, 3, axis=1)}, samples, labels, **options)
    np.testing.assert_array_equal(walk.nearest, again.nearest)
    np.testing.assert_allclose(walk.distances, again.distances)
    mean = (arrays + np.roll(arrays, 1, axis=1) + np.roll(arrays, -1, axis=1)) / 3
    smooth = AttributeWalk({1: mean}, samples, labels, smoothing=1, **options)
    np.testing.assert_allclose(walk.distances, smooth.distances)
    apart = np.linalg.norm((np.roll(mean[3], 2, axis=0) - mean).reshape(30, -1), axis=1)
    apart[3] = np.inf
    assert walk.nearest[0, 1, 0] == apart.argmin()
    pairs = np.linalg.norm((mean[:, None] - mean).reshape(30, 30, -1), axis=2)
    relative = apart.min() / np.sqrt((pairs**2).mean())
    np.testing.assert_allclose(walk.distances[0, 1, 0], relative)


def test_zero_boundaries_lose_what_moves_over_the_end():
    steps = np.tril(np.ones((6, 6)))[:, :, None]  # channels 0 to k are 1
    walk = AttributeWalk(
        {1: steps[:, ::-1]},
        np.zeros((6, 1, 4)),
        [0] * 6,
        boundary="zeros",
        smoothing=1,
        shifts=[2],
        queries=[5],
    )
    assert walk.nearest.tolist() == [[[3]]]
    assert walk.distances.tolist() == [[[0]]]


@given(st.lists(st.floats(0, 10), min_size=5, max_size=5).filter(lambda e: max(e) > 0.1))
def test_random_orders_concentrate_energy_as_its_width_says(energy):
    orders = np.array(list(permutations(energy)))
    width = orders[0].sum() ** 2 / (orders[0] ** 2).sum()
    mean = (np.abs(resultant(orders)) ** 2).mean()
    np.testing.assert_allclose(mean, (5 / width - 1) / 4, atol=1e-12)


def test_localisation_tells_one_channel_neighbours_and_all_channels():
    n = 8
    one, all_alike = np.eye(n), np.ones((n, n))
    near = one + np.roll(one, 1, axis=1) + np.roll(one, 2, axis=1)
    apart = one + np.roll(one, 3, axis=1) + np.roll(one, 6, axis=1)
    arrays = {
        depth: np.concatenate([rows, -rows])[:, :, None]  # their mean is 0
        for depth, rows in enumerate([one, near, apart, all_alike], start=1)
    }
    walk = AttributeWalk(
        arrays, np.zeros((2 * n, 1, 4)), [0, 1] * n, n_permutations=199, random_state=0
    )
    table = walk.localisation()
    np.testing.assert_allclose(table["width"], [1, 3, 3, n])
    np.testing.assert_allclose(table["concentration"][[0, 3]], [1, 0], atol=1e-12)
    np.testing.assert_allclose(table["control"], [1, 5 / 21, 5 / 21, 0], atol=0.02)
    assert table["concentration"][1] > table["control_high"][1]
    assert table["concentration"][2] < table["control_low"][2]
    assert table["p_value"][1] < 0.1
    assert (table["p_value"][[0, 2, 3]] > 0.9).all()


# Properties ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_size_of_a_bump_is_in_proportion_to_its_width(ndim):
    places = np.stack(np.meshgrid(*[np.arange(48)] * ndim, indexing="ij")) - 22.0
    bumps = [np.exp(-(places**2).sum(axis=0) / (2 * sigma**2)) for sigma in (2, 4)]
    table = image_properties(3 * np.stack(bumps)[:, None] + 1)
    np.testing.assert_allclose(table["size"], np.sqrt((ndim + 2) / 2) * np.array([2, 4]), rtol=0.12)
    assert ("orientation" in table) == (ndim == 2)


def test_orientations_and_colours_are_measured():
    rows, columns = np.mgrid[:41, :41] - 20
    angles = np.deg2rad([0, 30, 90, 135, 179])
    across = [-np.sin(a) * columns - np.cos(a) * rows for a in angles]
    window = np.exp(-(rows**2 + columns**2) / 200)
    images = window * np.cos(np.array(across) / 2)
    table = image_properties(images[:, None])
    off = (table["orientation"] - angles + np.pi / 2) % np.pi - np.pi / 2
    np.testing.assert_allclose(off, 0, atol=0.02)
    assert (table["coherence"] > 0.9).all()
    colours = np.array([[0.9, 0.3, 0.0], [0.5, 0.5, 0.5]])[:, :, None, None] + np.zeros((6, 6))
    table = image_properties(colours)
    np.testing.assert_allclose(table["brightness"], [0.4, 0.5])
    np.testing.assert_allclose(table[["red", "green", "blue"]], [[0.5, -0.1, -0.4], [0, 0, 0]])
    np.testing.assert_allclose(table["saturation"], [0.9, 0])
    assert table[["orientation", "coherence", "size"]].isna().all(axis=None)


def test_associations_are_those_of_spearman_mardia_and_jupp():
    n = 50
    x, theta, phi = RNG.normal(size=n), *RNG.uniform(0, 2 * np.pi, size=(2, n))
    x, theta = x + np.cos(phi), theta / 3 + phi
    ranks = rankdata(x)[:, None], rankdata(phi)[:, None]
    np.testing.assert_allclose(association(*ranks), abs(spearmanr(x, phi)[0]))
    circle, other = (np.stack([np.cos(a), np.sin(a)], axis=1) for a in (phi, theta))
    xc, xs, cs = (
        np.corrcoef(*pair)[0, 1] for pair in ((x, circle[:, 0]), (x, circle[:, 1]), circle.T)
    )
    mardia = (xc**2 + xs**2 - 2 * xc * xs * cs) / (1 - cs**2)
    np.testing.assert_allclose(association(x[:, None], circle), np.sqrt(mardia))
    R = np.corrcoef(circle.T, other.T)
    jupp = np.trace(np.linalg.inv(R[:2, :2]) @ R[:2, 2:] @ np.linalg.inv(R[2:, 2:]) @ R[2:, :2])
    np.testing.assert_allclose(association(other, circle), np.sqrt(jupp / 2))
    np.testing.assert_allclose(association(circle, circle), 1)
    assert np.isnan(association(np.ones((n, 1)), circle))


def test_a_property_that_channels_are_ordered_by_is_found():
    n, n_channels = 200, 16
    angle = RNG.uniform(0, np.pi, n)
    shift = 2 * np.arange(n_channels) * np.pi / n_channels - 2 * angle[:, None]
    arrays = np.exp(4 * np.cos(shift))[:, :, None] * RNG.choice([-1, 1], (n, 1, 1))
    properties = pd.DataFrame({"orientation": angle, "noise": RNG.normal(size=n)})
    properties.loc[7, "orientation"] = np.nan
    walk = AttributeWalk({2: arrays}, np.zeros((n, 1, 4)), np.arange(n) % 2, random_state=0)
    table = walk.correlation(properties).set_index("property")
    found = table.loc["orientation"]
    assert found["r"] > 0.99 > 0.8 > found["control_high"]
    assert found["p_value"] == 1 / 20
    assert table.loc["noise", "r"] < 0.2
    own = walk.correlation(periods={})
    assert own["property"].tolist() == ["brightness", "size"]
    assert own["r"].isna().all()  # of samples that are all the same


# Networks -----------------------------------------------------------------------------------


def test_networks_do_not_see_translations_by_multiples_of_the_strides_to_come():
    """Proposition 5.3.1 of the thesis; others they do see, and moves in a random order."""
    table = attribute_invariance(cascade(), X, n_permutations=2, random_state=0)
    table = table.set_index(["depth", "attribute", "shift"])
    periods = {(1, 1): 4, (2, 1): 2, (2, 2): 4, (3, 1): 1, (3, 2): 2, (3, 3): 2}
    periods |= {(4, 2): 1, (4, 3): 1, (4, 4): 0}
    assert {key[:2] for key in table.index} == set(periods)
    strided = []
    for (depth, attribute, shift), row in table.iterrows():
        period = periods[depth, attribute]
        if (period and shift % period == 0) or shift % row["n_channels"] == 0:
            assert row["change"] < 1e-6
            assert row["kept"] == 1
            strided.append(row["change_control"])
        else:
            assert row["change"] > 1e-4
    assert max(strided) > 1e-3


def test_zero_boundaries_are_seen():
    table = attribute_invariance(cascade(boundary="zeros"), X, depths=[3], shifts=[2])
    assert (table["change"] > 1e-3).all()


@pytest.mark.parametrize("shape", [(16,), (4, 5), (3, 3, 4)])
def test_invariant_arrays_are_those_of_the_central_place(shape):
    X = RNG.normal(size=(12, 2, *shape))
    model = cascade(X, np.arange(12) % 3)
    walk = AttributeWalk.from_estimator(model, X)
    network = model.net_.module_
    x = model._to_tensor(model._read(X, reset=False))
    centre = tuple(extent // 2 for extent in shape)
    with torch.no_grad():
        layers = [network.attributes(x, depth)[(..., *centre)].numpy() for depth in (1, 2, 3, 4)]
    expected = [layers[0][:, :, None], layers[1], layers[2].sum(axis=1), layers[3].sum(axis=1)]
    assert list(walk.arrays) == [1, 2, 3, 4]
    for array, wanted in zip(walk.arrays.values(), expected, strict=True):
        np.testing.assert_allclose(array, wanted, atol=1e-12)
    np.testing.assert_array_equal(walk.y, model.predict(X))
    assert walk.nearest.shape == (4, 4, 12)
    assert {"size", "brightness"} <= set(walk.correlation()["property"])
    assert_legible(walk.plot().figure_)
    assert len(walk.axes_) == 2 * 4 * 5


def test_hierarchical_networks_are_walked_along():
    model = HierarchicalCNNClassifier(boundary="periodic", depth=6, max_epochs=1, layout="CHW")
    walk = AttributeWalk.from_estimator(model.fit(X, Y), X, Y, depths=[1, 3, 5])
    assert [array.shape[1:] for array in walk.arrays.values()] == [(8, 1), (4, 8), (4, 3)]
    network = model.net_.module_
    with torch.no_grad():
        x = model._to_tensor(model._read(X, reset=False))
        again = network.from_attributes(network.attributes(x, 4), 4)
    np.testing.assert_allclose(again, model._outputs(X), atol=1e-5)
    table = attribute_invariance(model, X, depths=[4], shifts=[2], n_permutations=1)
    assert table["change"].max() < 1e-4
    assert table["kept"].min() == 1


def test_the_example_shows_what_is_exact(capsys):
    example = runpy.run_path(ROOT / "examples/attributes_one_can_walk_along.py")
    example["main"](n_train=60, n_permutations=2, depth=4, max_epochs=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[1:4]] == ["1", "2", "4"]
    assert float(lines[7].split()[-2]) < 1e-12 < 0.5 < float(lines[7].split()[-1])


def test_the_pictures_can_be_read(tmp_path):
    model = cascade()
    walk = AttributeWalk.from_estimator(model, X, Y, depths=[2, 4], queries=5, random_state=0)
    assert_legible(walk.save(tmp_path / "walks.png").figure_)
    assert len(walk.axes_) == 2 * 2 * (1 + len(walk.shifts))
    walk.plot(queries=walk.queries[3:4], depth=4)
    assert_legible(walk.figure_)
    assert len(walk.axes_) == 2 * (1 + len(walk.shifts))
    display = AttributeOrderDisplay.from_estimator(model, X, Y, depths=[2, 4], n_permutations=5)
    assert_legible(display.figure_)
    assert len(display.axes_) == 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"depths": [5]}, "Each of depths must be an integer from 1 to 4"),
        ({"queries": [24]}, "Each of queries must be an integer from 0 to 23"),
        ({"queries": 0}, "queries must be an integer of at least 1"),
        ({"shifts": []}, "shifts must be a sequence of at least one entry"),
        ({"smoothing": 2}, "smoothing must be an odd integer"),
        ({"n_permutations": 0}, "n_permutations must be an integer of at least 1"),
    ],
)
def test_what_cannot_be_walked_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        AttributeWalk.from_estimator(cascade(), X, Y, **options)


def test_what_does_not_fit_is_named():
    arrays, labels = planted()
    samples = np.zeros((60, 1, 4))
    for given_arrays in ({}, {3: arrays[:5]}, {3: arrays[..., 0]}):
        with pytest.raises(ValueError, match=r"arrays must have shape \(60, n_channels"):
            AttributeWalk(given_arrays, samples, labels)
    with pytest.raises(ValueError, match="same array at depth 2"):
        AttributeWalk({2: np.ones((60, 3, 2))}, samples, labels)
    with pytest.raises(ValueError, match="boundary must be one of"):
        AttributeWalk({2: arrays}, samples, labels, boundary="mirror")
    walk = AttributeWalk({2: arrays}, samples, labels, queries=[4], shifts=[0])
    with pytest.raises(ValueError, match=r"walk must have a shift of 1, got \[0\]"):
        AttributeOrderDisplay(walk)
    with pytest.raises(ValueError, match="depth must be 2"):
        AttributeOrderDisplay(AttributeWalk({2: arrays}, samples, labels), depth=1)
    with pytest.raises(ValueError, match="properties must have a row for each of 60"):
        walk.correlation(pd.DataFrame({"size": [1]}))
    with pytest.raises(ValueError, match="arrays must be finite, got NaN or infinity at depth 2"):
        AttributeWalk({2: np.where(arrays > 0, np.nan, arrays)}, samples, labels)
    angles = pd.DataFrame({0: np.arange(60.0)})  # names need not be words
    assert walk.correlation(angles, periods={0: 60.0})["property"].tolist() == [0]
    with pytest.raises(ValueError, match="periods must be of properties, 0, got angle"):
        walk.correlation(angles, periods={"angle": 60.0})
    with pytest.raises(ValueError, match="period of 0 must be a finite number above 0, got -1"):
        walk.correlation(angles, periods={0: -1})
    with pytest.raises(ValueError, match="queries must be a sequence of at least one entry, got 4"):
        walk.plot(queries=4)
    with pytest.raises(ValueError, match="Each of queries must be 4"):
        walk.plot(queries=[0])
    with pytest.raises(ValueError, match="depth must be 2"):
        walk.plot(depth=3)
    with pytest.raises(ValueError, match=r"samples must have shape \(n, channels"):
        image_properties(np.zeros((4, 5)))


def test_networks_without_attributes_have_none_to_walk_along():
    plain = RFNNClassifier(widths=(4,), max_epochs=1, layout="CHW").fit(X, Y)
    with pytest.raises(TypeError, match="lacks n_layers, boundary, attributes, from_attributes"):
        AttributeWalk.from_estimator(plain, X)
    values = StructuredRegressor(architecture=lambda *s: Cascade(*s, "zeros"), max_epochs=1)
    with pytest.raises(TypeError, match="must be a classifier"):
        attribute_invariance(values.fit(X, RNG.normal(size=24)), X)
    with pytest.raises(TypeError, match="must be a network estimator"):
        AttributeWalk.from_estimator(SimpleNamespace(), X)
