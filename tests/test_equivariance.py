"""What moves along with samples and what does not, by theorems; radii that are known by design."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklstruct_fcn.architecture import FrameFCN
from test_inspection import assert_legible

from sklstruct import (
    BoundaryDetector,
    DifferentialInvariants,
    NiftiVolumes,
    RFNNClassifier,
    ScatteringTransformer,
    StructuredClassifier,
    StructuredMapClassifier,
    StructuredMapRegressor,
    VoxelSVC,
)
from sklstruct.datasets import simulate_cohort
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import (
    EquivarianceDisplay,
    LabelRadiusDisplay,
    equivariance,
    label_radius,
)
from sklstruct.inspection.motions import GROUPS, make_motion, make_motions

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 16, 16)), np.arange(24) % 3
X[Y == 1, :, :8] += 0.5
X[Y == 2, 4:12, 4:12] -= 0.5
EXACT = {"dtype": "float64", "max_epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def hnet():
    return StructuredClassifier(architecture="hnet", **EXACT).fit(X, Y)


@pytest.fixture(scope="module")
def rfnn():
    return RFNNClassifier(widths=(4, 8), **EXACT).fit(X, Y)


# --- motions --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9, 9), (8, 8)])
def test_right_angles_and_reflections_are_those_of_arrays(shape):
    planes = RNG.normal(size=(2, 3, *shape))
    for quarters, motion in enumerate(make_motions("right angles", None, 2), 1):
        turned = np.rot90(planes, quarters, axes=(2, 3))
        np.testing.assert_allclose(motion.apply(planes, "zero"), turned, atol=1e-12)
    for axis, motion in enumerate(make_motions("reflections", None, 2)):
        mirrored = np.flip(planes, 2 + axis)
        np.testing.assert_allclose(motion.apply(planes, "zero"), mirrored, atol=1e-12)


def test_volumes_turn_about_each_axis_and_signals_are_shifted():
    volumes = RNG.normal(size=(1, 1, 5, 5, 5))
    about = make_motions("right angles", (90,), 3)
    assert [motion.axis for motion in about] == [0, 1, 2]
    for motion, axes in zip(about, ((3, 4), (2, 4), (2, 3)), strict=True):
        turned = np.rot90(volumes, axes=axes)
        np.testing.assert_allclose(motion.apply(volumes, "zero"), turned, atol=1e-12)
    signals = RNG.normal(size=(1, 1, 20))
    shift = make_motion("translations", 3, 0, 1)
    np.testing.assert_allclose(
        shift.apply(signals, "periodic"), np.roll(signals, 3, axis=2), atol=1e-12
    )


@given(
    group=st.sampled_from(["rotations", "scales", "translations"]),
    parameter=st.floats(0.5, 2),
    ratio=st.sampled_from([1.0, 0.5, 2.0]),
)
@settings(max_examples=30, deadline=None)
def test_a_motion_and_its_inverse_leave_places_where_they_are(group, parameter, ratio):
    motion = make_motion(group, parameter, 0 if group == "translations" else None, 2)
    back = motion.inverse()
    np.testing.assert_allclose(motion.matrix @ back.matrix, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(motion.matrix @ back.shift + motion.shift, 0, atol=1e-12)
    coarse = motion.on(np.array([ratio, ratio]))
    np.testing.assert_allclose(coarse.matrix, motion.matrix)
    np.testing.assert_allclose(coarse.shift, ratio * motion.shift)


# --- equivariance ---------------------------------------------------------------------------


def test_a_harmonic_network_does_not_see_right_angles_but_another_does(hnet, rfnn):
    table = equivariance(hnet, X, "right angles")
    assert table["parameter"].tolist() == [90, 180, 270]
    assert table["axis"].isna().all()
    assert (table["error"] < 1e-4).all()
    assert (table["kept"] == 1).all()
    other = equivariance(rfnn, X, "right angles")
    assert (other["error"] > 0.1).all()
    assert (other["kept"] < 1).any()
    turned = np.ascontiguousarray(np.rot90(X, axes=(1, 2)))
    assert other["kept"][0] == np.mean(rfnn.predict(turned) == rfnn.predict(X))
    for one in (table, other):  # nothing is resampled
        assert (one["resampling"] < 1e-6).all()


def test_the_error_is_relative_to_the_spread_of_outputs():
    """Outputs of a linear function, whose error and spread can be written down."""

    def first_column(X):
        return 7 + 3 * X[:, :, 0]

    table = equivariance(first_column, X, "reflections")
    wanted = [
        np.linalg.norm(moved - X[:, :, 0]) / np.linalg.norm(X[:, :, 0] - X[:, :, 0].mean(axis=0))
        for moved in (X[:, ::-1, 0], X[:, :, -1])
    ]
    np.testing.assert_allclose(table["error"], wanted, rtol=1e-9)
    assert table["kept"].isna().all()
    independent = table["error"].mean()  # noise of another place says nothing of this one
    assert independent == pytest.approx(np.sqrt(2), rel=0.1)


def test_a_mean_is_invariant_and_resampling_says_what_interpolation_does():
    smooth = np.stack([ndimage.gaussian_filter(x, 2) for x in X])
    window = np.hanning(16)[:, None] * np.hanning(16)
    table = equivariance(lambda X: X.mean(axis=(1, 2)), smooth * window, (0, 20, 45, 90))
    assert (table["group"] == "rotations").all()
    assert (table["error"] < 0.01).all()
    rough = equivariance(lambda X: (X**2).mean(axis=(1, 2)), X, (45,), boundary="reflect")
    assert rough["resampling"][0] > 0.1
    assert rough["error"][0] < 2 * rough["resampling"][0]


def map_network(orders):
    """Return a map network on atoms that do not change at right angles, or on all of an order."""
    family = GaussianDerivatives(order=orders, scales=(1.0,))
    network = FrameFCN(frame=family, widths=(6,))
    model = StructuredMapClassifier(architecture=network, **EXACT)
    return model.fit(X, X > 0.3)


def test_maps_move_along_where_kernels_are_isotropic():
    """Kernels of order 0 are Gaussians: their maps turn, shift and mirror with the image."""
    isotropic, free = map_network(0), map_network(2)
    for group, inside in (("right angles", 0), ("reflections", 0), ("translations", 4)):
        values = (1, 2) if group == "translations" else None
        options = {"values": values, "margin": inside}
        table = equivariance(isotropic, X, group, **options)
        assert (table["error"] < 1e-6).all()
        assert (table["kept"] == 1).all()
    turned = equivariance(free, X, "right angles")
    assert (turned["error"] > 0.05).all()
    assert (turned["kept"] < 1).all()
    # Whatever its kernels, a network that convolves is equivariant to translations.
    shifted = equivariance(free, X, "translations", values=(1, 3), margin=4)
    assert (shifted["error"] < 1e-6).all()
    smooth = np.stack([ndimage.gaussian_filter(x, 1.5) for x in X])
    assert equivariance(free, X, (45,), margin=100)["error"].isna().all()  # no place is left
    few = equivariance(isotropic, smooth, (10, 45), margin=3)
    assert (few["error"] < 0.1).all()


def test_maps_of_what_is_no_classifier_move_along():
    options = {"frame": GaussianDerivatives(order=0), "widths": (4,), "strides": 1, "crop": None}
    model = BoundaryDetector(pose="fixed", **options, **EXACT).fit(X, X > 1)
    table = equivariance(model, X, "right angles")
    assert (table["error"] < 1e-6).all()


def test_a_layer_may_be_coarser_than_samples():
    """Of 2x2 means, which are as good as equivariant wherever places of both grids meet."""

    def build(in_shape, n_outputs):
        pooled = torch.nn.AvgPool2d(2)
        return torch.nn.Sequential(pooled, torch.nn.Flatten(), torch.nn.Linear(64, n_outputs))

    model = StructuredClassifier(architecture=build, **EXACT).fit(X, Y)
    for group, values in (("right angles", None), ("reflections", None), ("translations", (2, 4))):
        table = equivariance(model, X, group, values=values, layer="0")
        assert (table["error"] < 1e-6).all()
        assert table["kept"].isna().all()
    assert (equivariance(model, X, "translations", values=(1,), layer="0")["error"] > 0.1).all()


def test_whatever_gives_outputs_can_be_measured(rfnn):
    scattering = ScatteringTransformer(J=2).fit(X)
    invariants = make_pipeline(DifferentialInvariants(), LogisticRegression()).fit(X, Y)
    smoothing = StructuredMapRegressor(architecture=FrameFCN(widths=(4,)), **EXACT).fit(X, X)
    for model in (scattering, invariants, smoothing, rfnn):
        table = equivariance(model, X, "reflections")
        assert np.isfinite(table["error"]).all()
    assert (equivariance(invariants, X, "right angles")["error"] < 1e-6).all()
    flat = X.reshape(len(X), -1)
    folded = RFNNClassifier(widths=(4, 8), image_shape=(16, 16), **EXACT).fit(flat, Y)
    pd.testing.assert_frame_equal(
        equivariance(folded, flat, "right angles"), equivariance(rfnn, X, "right angles")
    )
    coloured = np.repeat(X[..., None], 3, axis=-1)
    table = equivariance(lambda X: X.max(axis=(1, 2)), coloured, "right angles", layout="HWC")
    np.testing.assert_allclose(table["error"], 0, atol=1e-9)


def test_matrices_and_functions_are_groups_too(hnet):
    quarter = np.array([[0, -1], [1, 0]])
    table = equivariance(hnet, X, [np.eye(2), quarter, -quarter, 2 * np.eye(2)])
    assert (table["error"][:3] < 1e-4).all()
    assert table["error"][3] > 0.01
    own = equivariance(hnet, X, lambda planes: np.rot90(planes, axes=(2, 3)))
    assert own["error"][0] < 1e-4
    assert own["resampling"].isna().all()
    isotropic = map_network(0)
    table = equivariance(isotropic, X, lambda planes: planes.swapaxes(2, 3))
    assert table["error"][0] < 1e-6


def test_volumes_and_signals_move():
    volumes = RNG.normal(size=(4, 5, 5, 5))
    table = equivariance(lambda X: X.std(axis=(1, 2, 3)), volumes, "right angles")
    assert table["axis"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(table["error"], 0, atol=1e-9)
    signals = RNG.normal(size=(6, 32))
    spectrum = equivariance(
        lambda X: np.abs(np.fft.rfft(X)),
        signals,
        "translations",
        values=(1, 5),
        boundary="periodic",
    )
    np.testing.assert_allclose(spectrum["error"], 0, atol=1e-9)


# --- radii ----------------------------------------------------------------------------------

BARS = np.array([0.0, 10.0, -20.0, 28.0])  # degrees


def bar(angle, extent=33):
    """Return an image of a bar that is turned counter-clockwise out of the vertical."""
    rows, columns = np.mgrid[:extent, :extent] - (extent - 1) / 2
    turn = np.deg2rad(angle)
    across, along = columns * np.cos(turn) - rows * np.sin(turn), columns**2 + rows**2
    return np.exp(-(across**2) / 8 - along / 18)


class Slanted(ClassifierMixin, BaseEstimator):
    """Says whether a bar is more than 30 degrees out of the vertical, or large, or not central."""

    def __init__(self, by="angle"):
        self.by = by

    def fit(self, X, y=None):
        self.classes_ = np.array([False, True])
        return self

    def predict(self, X):
        rows, columns = np.mgrid[: X.shape[1], : X.shape[2]] - (X.shape[1] - 1) / 2
        mass = X.sum(axis=(1, 2))

        def mean(values):
            return (X * values).sum(axis=(1, 2)) / mass

        if self.by == "place":
            return mean(columns) > 3
        if self.by == "size":
            return mean(rows**2 + columns**2) > 1.5**2 * Slanted.extent
        twice = np.arctan2(2 * mean(rows * columns), mean(rows**2) - mean(columns**2))
        return abs(np.rad2deg(twice)) / 2 > 30


BAR = bar(0)
Slanted.extent = (BAR * ((np.mgrid[:33, :33] - 16.0) ** 2).sum(axis=0)).sum() / BAR.sum()


def test_the_radius_of_a_bar_is_what_is_left_of_30_degrees():
    model, bars = Slanted().fit(None), np.stack([bar(angle) for angle in BARS])
    table = label_radius(model, bars)
    np.testing.assert_allclose(table["radius"], 30 - abs(BARS), atol=0.1)
    np.testing.assert_allclose(table["parameter"][1:], np.sign(BARS[1:]) * table["radius"][1:])
    assert not table["label"].any()
    assert table["axis"].isna().all()
    coarse = label_radius(model, bars, n_steps=10, farthest=45)
    np.testing.assert_allclose(coarse["radius"], table["radius"], atol=0.1)
    near = label_radius(model, bars, farthest=5)
    np.testing.assert_allclose(near["radius"], [np.inf, np.inf, np.inf, 2], atol=0.1)
    assert near["parameter"].isna().tolist() == [True, True, True, False]


def test_radii_of_shifts_and_of_scales_have_their_units():
    bars = np.stack([bar(0), np.roll(bar(0), 1, axis=1), np.roll(bar(0), -2, axis=1)])
    table = label_radius(Slanted("place").fit(None), bars, group="translations")
    np.testing.assert_allclose(table["radius"], [3, 2, 5], atol=0.05)
    assert table["axis"].tolist() == [1, 1, 1]
    table = label_radius(Slanted("size").fit(None), bars[:1], group="scales")
    np.testing.assert_allclose(table["radius"], 1.5, atol=0.03)
    np.testing.assert_allclose(table["parameter"], 1.5, atol=0.03)
    wrong = label_radius(Slanted("size").fit(None), bars, [True, False, True], group="scales")
    assert wrong["radius"].tolist()[::2] == [1, 1]
    assert wrong["parameter"].isna().tolist() == [True, False, True]


def test_what_does_not_see_a_motion_preserves_labels_for_good(hnet):
    volumes = RNG.normal(size=(2, 5, 5, 5))

    class Constant(Slanted):
        def predict(self, X):
            return np.zeros(len(X), int)

    table = label_radius(Constant().fit(None), volumes, group="rotations", n_steps=2)
    assert np.isinf(table["radius"]).all()
    turned = label_radius(hnet, X[:4], farthest=90, n_steps=1)  # which looks at right angles only
    assert np.isinf(turned["radius"]).all()


# --- errors and pictures --------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"group": "turns"}, ValueError, r"group must be one of \('rotations'"),
        ({"group": np.zeros((1, 2, 2))}, ValueError, "group must be .* invertible matrices"),
        ({"group": "right angles", "values": (45,)}, ValueError, "values must be a multiple of 90"),
        ({"group": "scales", "values": (0,)}, ValueError, "Each of values must be a finite number"),
        ({"group": (1, 2), "values": (3,)}, ValueError, "values are those of a group that has a"),
        (
            {"group": lambda planes: planes[:1]},
            ValueError,
            "group must return an array of the shape",
        ),
        ({"boundary": "edge"}, ValueError, "boundary must be one of"),
        ({"margin": -1}, ValueError, "margin must be a finite number"),
        ({"layer": "nowhere"}, ValueError, "layer='nowhere' is no layer"),
        ({"X": X[:, 0]}, ValueError, "rotations need samples of at least 2 axes, got 1"),
        ({"X": X * 0 + 1}, ValueError, "X must have samples whose outputs differ"),
        ({"estimator": RFNNClassifier()}, NotFittedError, "not fitted"),
        ({"estimator": 3}, TypeError, "estimator must have one of"),
        ({"estimator": Slanted(), "layer": "0"}, TypeError, "must be a network estimator"),
    ],
)
def test_a_bad_parameter_is_named(params, error, message, rfnn):
    given = {"estimator": rfnn, "X": X, "group": "rotations", **params}
    if params.get("X") is not None:
        given["estimator"] = lambda X: X
    with pytest.raises(error, match=message):
        equivariance(**given)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"group": "reflections"}, "group must be one of"),
        ({"farthest": 0}, "farthest must be a finite number above 0"),
        ({"group": "scales", "farthest": 1}, "farthest must be a finite number above 1"),
        ({"n_steps": 0}, "n_steps must be an integer"),
        ({"y": [0]}, "inconsistent"),
    ],
)
def test_a_bad_parameter_of_radii_is_named(params, message, rfnn):
    with pytest.raises(ValueError, match=message):
        label_radius(rfnn, X, **params)
    regressor = StructuredMapRegressor(architecture=FrameFCN(widths=(4,)), **EXACT)
    for other in (regressor, map_network(0), X.mean):
        with pytest.raises(TypeError, match="estimator must be a classifier of samples"):
            label_radius(other, X)


@pytest.mark.parametrize("group", GROUPS)
def test_the_picture_can_be_read(group, rfnn, hnet, tmp_path):
    values = {"rotations": (0, 45, 90)}.get(group)
    models = {"rfnn": rfnn, "hnet": hnet}
    display = EquivarianceDisplay.from_estimator(models, X[::4], group, values=values)
    errors, shares = display.axes_
    table = display.to_frame()
    assert table["estimator"].unique().tolist() == ["rfnn", "hnet"]
    for ax, column in ((errors, "error"), (shares, "kept")):
        drawn = np.concatenate([line.get_ydata() for line in ax.lines])
        assert set(table[column]) <= set(drawn)
    assert_legible(display.figure_)
    display.save(tmp_path / "equivariance.png")


def test_the_picture_of_radii_can_be_read(rfnn, hnet):
    display = LabelRadiusDisplay.from_estimator({"rfnn": rfnn, "hnet": hnet}, X, Y, n_steps=4)
    (ax,) = display.axes_
    table = display.to_frame()
    for line, (_, part) in zip(ax.lines, table.groupby("estimator", sort=False), strict=True):
        for place, share in zip(*line.get_data(), strict=True):
            assert share == pytest.approx((part["radius"] > place).mean())
    assert_legible(display.figure_)
    with pytest.raises(ValueError, match="got none"):
        LabelRadiusDisplay({})
    with pytest.raises(ValueError, match="results must be a table with the columns"):
        LabelRadiusDisplay({"a": pd.DataFrame({"sample": [1]})})
    with pytest.raises(ValueError, match="results must be of one group, got"):
        EquivarianceDisplay({})


def test_samples_are_moved_in_the_form_that_the_network_has_them_in(tmp_path):
    cohort = simulate_cohort(tmp_path / "c", n_subjects=6, shape=(12, 14, 12), spacing=14.0)
    model = make_pipeline(NiftiVolumes(spacing=14.0, mask="brain"), VoxelSVC())
    model.fit(cohort.X, cohort.y)
    volumes = model[0].transform(cohort.X)
    rows, folded = X.reshape(len(X), -1), {"image_shape": (16, 16)}
    net = RFNNClassifier(widths=(4,), **EXACT, **folded).fit(rows, Y)
    steps = make_pipeline(FunctionTransformer(), net)
    for measure, group in ((equivariance, "right angles"), (label_radius, "translations")):
        of_scans = measure(model, cohort.X, group=group)
        assert of_scans.equals(measure(model[1], volumes, group=group))
        assert measure(steps, rows, group=group).equals(measure(net, rows, group=group))
        short = torch.as_tensor(rows).to(torch.bfloat16)
        assert measure(net, short, group=group).equals(measure(net, short.float(), group=group))
