"""Filters of networks: what they are, what they are like, and whether two networks agree."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from fitted import fitted
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import orthogonal_mp
from sklearn.pipeline import make_pipeline
from test_inspection import assert_legible
from torch import nn

from sklstruct import Architecture, RFNNClassifier, StructuredClassifier
from sklstruct.frames import Frame, Gabor, GaussianDerivatives
from sklstruct.inspection import (
    FilterDisplay,
    FilterMatchDisplay,
    FrameDisplay,
    FrameSimilarityDisplay,
    SpectrumDisplay,
    convolutions,
    filter_table,
    filters,
    match_filters,
    similarity_to_frame,
)
from sklstruct.inspection.filter_properties import describe
from sklstruct.inspection.frame_similarity import atoms_on, explained
from sklstruct.inspection.opened import Opened
from sklstruct.layers import BATCH_NORM, CONV, MAX_POOL, FrameConv, MeanNetwork, Network
from sklstruct.plugins import entries

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
EXTENTS = {1: (21,), 2: (15, 12), 3: (13, 12, 11)}


class Layers(Architecture):
    """A network of given layers, their means over places, and a linear layer."""

    make: object = None
    width: int = 4

    def build(self, in_shape, n_outputs):
        with torch.random.fork_rng():
            stages = self.make(in_shape[0], len(in_shape) - 1)
        return MeanNetwork(in_shape, n_outputs, stages, n_features=self.width)


def fit(make, width=4, channels=2, extents=(15, 12), seed=0):
    """Return a fitted classifier whose network has some layers."""
    X = np.random.default_rng(seed).normal(size=(8, channels, *extents))
    architecture = Layers(make=make, width=width)
    layout = {1: "CL", 2: "CHW", 3: "CDHW"}[len(extents)]
    options = {"max_epochs": 1, "random_state": seed, "device": "cpu", "layout": layout}
    return StructuredClassifier(architecture=architecture, **options).fit(X, [0, 1] * 4)


def layer_of(model, name):
    return dict(model.net_.module_.named_modules())[name]


def plant(model, kernels, name="stages.0"):
    """Give a layer kernels, (n_out, n_in, *support)."""
    with torch.no_grad():
        layer_of(model, name).weight.copy_(torch.tensor(kernels))
    return model


# The kernels of a chain ---------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("between", [[], [nn.ReLU()], [nn.Tanh(), nn.LocalResponseNorm(3)]])
def test_two_layers_are_one_convolution_with_their_composed_kernels(ndim, stride, between):
    def make(channels, ndim):
        first = CONV[ndim](channels, 3, 3, stride)
        return nn.Sequential(first, *between, CONV[ndim](3, 4, 3, dilation=2))

    model = fit(make, extents=EXTENTS[ndim])
    last = f"stages.{1 + len(between)}"
    kernels = torch.from_numpy(filters(model, last, of="input"))
    assert kernels.shape[2:] == (3 + stride * 4,) * ndim
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 2, *EXTENTS[ndim])))
    y = x
    for name in ("stages.0", last):
        layer = layer_of(model, name).double()
        y = CONVOLVE[ndim](y, layer.weight, None, layer.stride, dilation=layer.dilation)
    np.testing.assert_allclose(
        CONVOLVE[ndim](x, kernels, stride=stride).numpy(), y.detach().numpy(), atol=1e-12
    )


def test_to_look_draws_nothing_from_the_generator_of_others():
    model, _, _ = fitted("rfnn")
    before = torch.get_rng_state()
    filters(model, of="input")
    assert torch.equal(torch.get_rng_state(), before)


def test_norms_scale_channels_and_maxima_are_means():
    def make(channels, ndim):
        layers = CONV[ndim](channels, 3, 3), BATCH_NORM[ndim](3), MAX_POOL[ndim](2)
        return nn.Sequential(*layers, CONV[ndim](3, 4, 1))

    model = fit(make)
    norm = layer_of(model, "stages.1")
    gains = (norm.weight / (norm.running_var + norm.eps).sqrt()).numpy(force=True)
    first, second = filters(model, "stages.0"), filters(model, "stages.3")[:, :, 0, 0]
    spread = sum(
        np.pad(first, [(0, 0)] * 2 + [(i, 1 - i), (j, 1 - j)]) for i in (0, 1) for j in (0, 1)
    )
    wanted = np.einsum("oi,icyx->ocyx", second * gains, spread / 4)
    np.testing.assert_allclose(filters(model, "stages.3", of="input"), wanted, atol=1e-8)
    assert not any(layer._forward_hooks for layer in model.net_.module_.modules())


@pytest.mark.parametrize(
    "make",
    [
        lambda channels, ndim: nn.Conv2d(channels, 4, 3, dilation=3, padding="same"),
        lambda channels, ndim: nn.ConvTranspose2d(channels, 4, 4),
        lambda channels, ndim: FrameConv(channels, 4, "gaussian", learn_scale=True),
        lambda channels, ndim: FrameConv(channels, 4, "gabor", padding_mode="circular"),
    ],
)
def test_kernels_of_a_layer_are_its_response_to_impulses(make):
    model = fit(lambda *args: nn.Sequential(make(*args)))
    kernels = filters(model)
    assert convolutions(model)["stages.0"] == kernels.shape
    found = filters(model, "stages.0", of="input")
    cut = [(a - b) // 2 for a, b in zip(kernels.shape[2:], found.shape[2:], strict=True)]
    inner = tuple(slice(c, c + n) for c, n in zip(cut, found.shape[2:], strict=True))
    np.testing.assert_allclose(kernels[(..., *inner)], found, atol=1e-7)


def test_groups_see_their_own_channels_alone():
    model = fit(lambda channels, ndim: nn.Sequential(nn.Conv2d(channels, 4, 3, groups=2)))
    of_group, whole = filters(model), filters(model, of="input")
    assert of_group.shape == (4, 1, 3, 3)
    for o in range(4):
        np.testing.assert_allclose(whole[o, o // 2], of_group[o, 0])
        assert not whole[o, 1 - o // 2].any()


def test_linear_layers_have_the_extents_of_the_maps_they_read():
    class Flat(Architecture):
        def build(self, in_shape, n_outputs):
            stages = nn.Sequential(nn.Flatten(), nn.Linear(2 * 15 * 12, 5), nn.ReLU())
            return Network(in_shape, n_outputs, stages)

    X = np.random.default_rng(0).normal(size=(8, 2, 15, 12))
    options = {"max_epochs": 1, "random_state": 0, "device": "cpu", "layout": "CHW"}
    model = StructuredClassifier(architecture=Flat(), **options).fit(X, [0, 1] * 4)
    assert convolutions(model) == {"stages.1": (5, 2, 15, 12), "head": (2, 5, 1, 1)}
    np.testing.assert_allclose(filters(model), filters(model, "stages.1", of="input"))
    templates = np.einsum("oi,icyx->ocyx", filters(model, "head")[..., 0, 0], filters(model))
    np.testing.assert_allclose(filters(model, "head", of="input"), templates, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["rfnn", "rfnin_3d", "resnet_20", "irevnet", "pipeline"])
def test_second_layers_of_any_network_are_filters_of_its_input(name):
    estimator = fitted(name)[0]
    shapes = [shape for shape in convolutions(estimator).values() if max(shape[2:]) > 1]
    kernels = filters(estimator, of="input")
    assert kernels.shape[:2] == (shapes[1][0], Opened(estimator).in_shape[0])
    assert np.isfinite(kernels).all()
    assert kernels.any(axis=(1, 2, 3)).all()


def test_what_is_no_chain_of_linear_maps_has_no_kernels_of_the_input():
    with pytest.raises(TypeError, match="no linear function of the samples"):
        filters(fitted("scattering_net")[0], of="input")
    with pytest.raises(TypeError, match="no linear function of the samples"):
        filters(fitted("steerable")[0], "stages.dynamic1", of="input")

    class Mean(nn.Module):
        def forward(self, x):
            return x - x.mean((2, 3), keepdim=True)

    model = fit(lambda channels, ndim: nn.Sequential(nn.Conv2d(channels, 4, 3), Mean()))
    with pytest.raises(TypeError, match="sees more than"):
        filters(model, "stages.1", of="input")


def test_what_cannot_be_looked_at_is_named():
    model = fitted("rfnn")[0]
    with pytest.raises(ValueError, match="layer='stage' is no layer"):
        filters(model, "stage")
    with pytest.raises(
        TypeError, match=r"'stages.0.1' has no kernels\.  Those that have: stages.0"
    ):
        filters(model, "stages.0.1")
    with pytest.raises(ValueError, match="of must be 'input' or None, got 'output'"):
        filters(model, of="output")
    with pytest.raises(NotFittedError):
        filters(RFNNClassifier())
    one = fit(lambda channels, ndim: nn.Sequential(nn.Conv2d(channels, 4, 1)))
    with pytest.raises(TypeError, match="no kernels wider than one sample"):
        filters(one)


# What filters are like ----------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1.7, 2.5])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_planted_derivatives_are_found(ndim, scale):
    order = 4 if ndim < 3 else 2
    frame = GaussianDerivatives(order=order, scales=(scale,)).build(ndim)
    table = pd.DataFrame(describe(frame.atoms[:, np.newaxis]))
    np.testing.assert_array_equal(table.order, frame.orders)
    np.testing.assert_allclose(table.scale, scale, rtol=0.07)  # half a step between those tried
    assert (table.explained > 0.98).all()
    np.testing.assert_allclose(table.parity, (-1.0) ** frame.orders)
    np.testing.assert_allclose(table.energy, frame.norms**2)
    np.testing.assert_allclose(table.width[0], scale, rtol=0.02)
    along = {label: place for place, label in enumerate(frame.labels)}
    if ndim > 1:
        np.testing.assert_allclose(table.orientation[along["g_x"]], 0, atol=1e-6)
        np.testing.assert_allclose(table.orientation[along["g_yy"]], 90)
        assert table.orientation[along["g_xy"]] != table.orientation[along["g_xy"]]  # as two are
        assert table.anisotropy[0] < 1e-9
    if ndim == 3:
        np.testing.assert_allclose(abs(table.elevation[along["g_z"]]), 90)
        np.testing.assert_allclose(table.elevation[along["g_x"]], 0, atol=1e-6)


@given(st.floats(0, 179), st.floats(0.2, 0.3), st.floats(1.8, 2.5))
@settings(max_examples=25, deadline=None)
def test_planted_waves_are_found(angle, frequency, scale):
    y, x = np.mgrid[-8:9, -8:9]
    along = np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y
    wave = np.sin(2 * np.pi * frequency * along) * np.exp(-(x**2 + y**2) / (2 * scale**2))
    (found,) = pd.DataFrame(describe(wave[np.newaxis, np.newaxis])).itertuples()
    assert abs((found.orientation - angle + 90) % 180 - 90) < 1
    assert abs(found.frequency - frequency) < 0.04  # a window of few waves moves its peak
    assert abs(found.width / scale - 1) < 0.25
    assert found.parity == pytest.approx(-1)


def test_white_noise_is_what_theory_says():
    table = pd.DataFrame(describe(np.random.default_rng(0).normal(size=(2000, 3, 5, 5))))
    assert table.smoothness.mean() == pytest.approx(np.pi / 16, abs=0.01)  # a disc in a square
    assert table.colour.mean() == pytest.approx(2 / 3, abs=0.01)
    assert table.parity.mean() == pytest.approx(1 / 25, abs=0.01)  # of the sample in the middle
    assert table.explained.mean() < 0.5


def test_colour_is_what_channels_do_not_share():
    grey = np.random.default_rng(0).normal(size=(1, 1, 5, 5))
    kernels = grey * np.array([[1, 1, 1], [1, -1, 0], [1, 0, 0]])[:, :, np.newaxis, np.newaxis]
    np.testing.assert_allclose(describe(kernels)["colour"], [0, 1, 2 / 3], atol=1e-12)


def test_the_table_of_a_layer_has_a_row_a_filter_or_a_pair():
    model = plant(fit(lambda c, ndim: nn.Sequential(nn.Conv2d(c, 4, 5))), np.zeros((4, 2, 5, 5)))
    atoms = GaussianDerivatives(order=1, scales=(0.9,), size=5).build(2).atoms
    kernels = np.zeros((4, 2, 5, 5))
    kernels[:3, 1] = atoms
    plant(model, kernels)
    table = filter_table(make_pipeline("passthrough", model))
    assert table["filter"].tolist() == [0, 1, 2, 3]
    assert table["order"].tolist()[:3] == [0, 1, 1]
    assert np.isnan(table["order"][3])
    assert table["energy"][3] == 0
    pairs = filter_table(model, by_channel=True)
    assert pairs[["filter", "channel"]].values.tolist() == [
        [i, j] for i in range(4) for j in (0, 1)
    ]
    np.testing.assert_allclose(pairs["order"][1:6:2], table["order"][:3])


# Frames -------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_pursuit_is_that_of_scikit_learn(k, seed):
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(9, 12))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    kernels = rng.normal(size=(6, 12))
    found = explained(kernels, atoms, [k, 9])
    codes = orthogonal_mp(atoms.T, kernels.T, n_nonzero_coefs=k).reshape(9, 6)
    lost = ((kernels - codes.T @ atoms) ** 2).sum(axis=1) / (kernels**2).sum(axis=1)
    np.testing.assert_allclose(found[:, 0], 1 - lost, atol=1e-9)
    best = np.linalg.lstsq(atoms.T, kernels.T, rcond=None)[0].T @ atoms
    np.testing.assert_allclose(found[:, 1], (best**2).sum(1) / (kernels**2).sum(1), atol=1e-9)


@pytest.mark.parametrize("name", ["rfnn", "rfnin_3d", "resnet_20", "pipeline", "example_plugin"])
def test_a_frame_network_is_in_the_span_of_its_own_frame(name):
    table = similarity_to_frame(fitted(name)[0], "own", n_atoms=(1,), n_random=50)
    whole = table.groupby("layer", sort=False).last()
    np.testing.assert_allclose(whole["learned"], 1, atol=1e-6)
    assert (table["learned"] >= table["low"]).all()


def test_noise_has_the_share_of_the_span_and_planted_atoms_need_one():
    frame = GaussianDerivatives(order=2, scales=(1.1,), size=7).build(2)
    model = fit(lambda c, ndim: nn.Sequential(nn.Conv2d(c, 6, 7)), width=6, channels=1)
    plant(model, frame.atoms[:, np.newaxis])
    table = similarity_to_frame(model, frame, n_atoms=(1, 2), n_random=3000)
    assert table["n_atoms"].tolist() == [1, 2, 6]
    np.testing.assert_allclose(table["learned"], 1, atol=1e-6)
    assert table["random"].iloc[-1] == pytest.approx(6 / 49, abs=0.005)
    assert table["permuted"].iloc[-1] < 0.5
    np.testing.assert_allclose(table["excess"], table["learned"] - table["permuted"])
    assert table.attrs["left_out"] == ["head"]
    again = similarity_to_frame(model, frame, n_atoms=(1, 2), n_random=3000)
    pd.testing.assert_frame_equal(table, again)


@pytest.mark.parametrize("frame", sorted(set(entries("frame")) - {"naive"}))
@pytest.mark.parametrize("support", [(3, 3), (4, 5), (9, 9)])
def test_every_frame_fits_every_support_that_has_a_middle(frame, support):
    on_grid_only = FrameDisplay.from_family(frame).frame.functions is None
    if on_grid_only and support == (4, 5):
        with pytest.raises(ValueError, match="no middle in common"):
            atoms_on(frame, support)
        return
    atoms = atoms_on(frame, support)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1)
    assert atoms.shape[1] == np.prod(support)


def test_atoms_are_cut_and_widened_around_their_middle():
    frame = Frame("ramp", np.arange(1.0, 6.0)[np.newaxis])
    np.testing.assert_allclose(atoms_on(frame, (3,)) * 29**0.5, [[2, 3, 4]])
    np.testing.assert_allclose(atoms_on(frame, (7,)) * 55**0.5, [[0, 1, 2, 3, 4, 5, 0]])


def test_the_interval_of_few_kernels_covers_as_often_as_it_says():
    model = fit(lambda c, ndim: nn.Sequential(nn.Conv2d(c, 4, 5)), channels=1)
    frame, rng = GaussianDerivatives(order=1, scales=(0.9,), size=5), np.random.default_rng(0)
    tables = [
        similarity_to_frame(
            plant(model, rng.normal(size=(4, 1, 5, 5))), frame, n_atoms=(3,), n_random=1
        )
        for _ in range(300)
    ]
    last = pd.concat(tables).query("n_atoms == 3")
    covered = (last["low"] < 3 / 25) & (last["high"] > 3 / 25)  # the share of the span
    assert covered.mean() > 0.85  # 0.91 for skewed shares, 0.77 by the normal distribution


def test_a_layer_that_is_zero_has_no_share():
    model = plant(fit(lambda c, ndim: nn.Sequential(nn.Conv2d(c, 4, 5))), np.zeros((4, 2, 5, 5)))
    table = similarity_to_frame(model, n_atoms=(1,), n_random=20)
    assert table[["learned", "low", "high", "permuted", "excess"]].isna().all(axis=None)
    assert table["random"].notna().all()


def test_layers_that_cannot_be_compared_are_named():
    model = fitted("resnet_20")[0]
    with pytest.raises(ValueError, match=r"layers must be .* got \['head'\]"):
        similarity_to_frame(model, layers=["head"])
    with pytest.raises(ValueError, match="in a frame of their own, none"):
        similarity_to_frame(fit(lambda c, ndim: nn.Sequential(nn.Conv2d(c, 4, 5))), "own")
    with pytest.raises(ValueError, match="n_atoms must be a sequence of integers"):
        similarity_to_frame(model, n_atoms=())


# Two networks -------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_filters_in_another_order_turned_and_negated_are_the_same(ndim):
    def make(channels, ndim):
        return nn.Sequential(CONV[ndim](channels, 5, 3, bias=False))

    first, second = (
        fit(make, width=5, extents=EXTENTS[ndim], channels=3, seed=seed) for seed in (0, 1)
    )
    order = [3, 1, 4, 0, 2]
    kernels = -filters(first)[order]
    kernels = np.rot90(kernels, axes=(-2, -1)) if ndim > 1 else kernels[..., ::-1]
    plant(second, kernels.copy())
    shift = {"max_shift": 0} if ndim == 3 else {}
    match = match_filters(first, second, n_random=2, **shift)
    assert match.similarity == pytest.approx(1, abs=1e-6)
    pairs = match.table.sort_values("second")
    assert pairs["first"].tolist() == order
    np.testing.assert_allclose(*match.kernels, atol=1e-6)
    assert max(match.random.max(), match.permuted.max()) < 0.9
    straight = match_filters(first, second, n_random=2, turns=False, max_shift=0)
    assert straight.similarity < 0.9


def test_shifts_and_turns_in_between_are_allowed_for():
    def make(channels, ndim):
        return nn.Sequential(CONV[ndim](channels, 4, 15, padding=7))

    first, second = (fit(make, channels=1, extents=(15, 15), seed=seed) for seed in (0, 1))
    waves = Gabor(n_orientations=2, scales=(2.0,), size=15).build(2)
    turned = waves.evaluate(waves.grid @ rotation(30).T).reshape(-1, 15, 15)
    plant(first, waves.atoms[1:, np.newaxis])
    plant(second, turned[1:, np.newaxis])
    for n_angles, low, high in ((4, 0, 0.97), (12, 0.99, 1)):
        match = match_filters(first, second, n_angles=n_angles, n_random=1)
        assert low < match.similarity < high
    plant(second, np.roll(waves.atoms[1:, np.newaxis], 2, axis=3))
    for max_shift, low, high in ((1, 0, 0.95), (2, 0.999, 1.001)):
        match = match_filters(first, second, max_shift=max_shift, n_random=1)
        assert low < match.similarity < high


def rotation(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_networks_that_cannot_be_compared_are_named():
    rfnn, resnet = fitted("rfnn")[0], fitted("resnet_20")[0]
    with pytest.raises(ValueError, match="as many channels and axes"):
        match_filters(rfnn, resnet)
    with pytest.raises(ValueError, match="n_angles must be a multiple of 4, got 6"):
        match_filters(rfnn, rfnn, n_angles=6)
    volumes = fitted("rfnin_3d")[0]
    with pytest.raises(ValueError, match="n_angles must be 4 unless"):
        match_filters(volumes, volumes, n_angles=8)


# Pictures -----------------------------------------------------------------------------------


@cache
def curves():
    """Return a classifier of signals in one dimension."""
    return fit(lambda c, ndim: nn.Sequential(CONV[ndim](c, 4, 9)), channels=1, extents=(40,))


@pytest.mark.parametrize("by", [None, "orientation", "scale", "order", "energy"])
@pytest.mark.parametrize("name", ["rfnn", "rfnin_3d", "resnet_20", "scattering_net", "curves"])
def test_sheets_of_filters_are_legible(name, by):
    model = curves() if name == "curves" else fitted(name)[0]
    display = FilterDisplay.from_estimator(model, by=by)
    assert_legible(display.figure_)
    assert display.figure_.get_figwidth() < 4
    assert len(display.axes_) == len(display.to_frame()) == len(display.kernels)
    values = display.table[by or "filter"].dropna()
    assert values.is_monotonic_increasing
    np.testing.assert_array_equal(display.kernels, filters(model)[display.table["filter"]])


@pytest.mark.parametrize("name", ["rfnn", "rfnin_3d", "curves"])
def test_spectra_are_legible_and_keep_the_energy(name):
    model = curves() if name == "curves" else fitted(name)[0]
    display = SpectrumDisplay.from_estimator(model, n_filters=3)
    assert_legible(display.figure_)
    assert len(display.axes_) == 3
    power = (display.spectra**2).mean(axis=tuple(range(1, display.spectra.ndim)))
    energy = filter_table(model)["energy"][display.numbers]
    np.testing.assert_allclose(power, energy)  # Parseval


@pytest.mark.parametrize("name, n_panels", [("rfnn", 2), ("resnet_20", 4)])
def test_pictures_of_frames_are_legible(name, n_panels):
    display = FrameSimilarityDisplay.from_estimator(fitted(name)[0], n_atoms=(1, 2, 4, 6))
    assert_legible(display.figure_)
    assert display.figure_.get_figwidth() < 4
    assert len(display.axes_) == n_panels


def test_pictures_of_pairs_are_legible():
    display = FilterMatchDisplay.from_estimators(
        fitted("rfnn")[0], fitted("steerable")[0], n_pairs=5, n_random=3
    )
    assert_legible(display.figure_)
    assert len(display.axes_) == 10
    assert_legible(FilterMatchDisplay.from_estimators(curves(), curves()).figure_)
    volumes = fitted("rfnin_3d")[0]
    options = {"turns": False, "max_shift": 0}
    assert_legible(FilterMatchDisplay.from_estimators(volumes, volumes, **options).figure_)
