"""Numbers before pictures: what displays hold, and that what they draw can be read."""

import subprocess
import sys
from io import BytesIO
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.text import Text
from PIL import Image
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC

from sklstruct import RFNNClassifier
from sklstruct.frames import Frame, GaussianDerivatives, Pixels
from sklstruct.inspection import (
    CoefficientDisplay,
    DifferencesDisplay,
    FrameDisplay,
    KernelDisplay,
    ScaleDisplay,
    learned_scales,
)

COMPARISONS = pd.DataFrame(
    {
        "estimator": ["SVC"],
        "baseline": "RFNN",
        "metric": "auc",
        "difference": 0.1,
        "low": 0,
        "high": 1,
    }
)


@pytest.fixture(scope="module")
def model():
    return fitted(frame="gaussian")


def fitted(shape=(8, 8), **params):
    rng = np.random.default_rng(0)
    model = RFNNClassifier(widths=(3, 2), max_epochs=1, random_state=0, **params)
    return model.fit(rng.normal(size=(8, *shape)), [0, 1] * 4)


def layer_of(model, name="stages.0.0"):
    return dict(model.net_.module_.named_modules())[name]


def beyond(figure):
    """Return the labels of ticks beyond the ends of their axes, which are not drawn."""
    return {
        label
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for low, high in [sorted(axis.get_view_interval())]
        for tick in axis.get_major_ticks()
        if not low <= tick.get_loc() <= high
        for label in (tick.label1, tick.label2)
    }


def assert_legible(figure):
    """Nothing is written over the edge, and no two texts lie over one another."""
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # places are known then, and pixels are not needed
    unseen = beyond(figure)
    texts = [
        text
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and text not in unseen
    ]
    extents = [Text.get_window_extent(text, canvas.get_renderer()) for text in texts]  # no arrows
    low, high = np.array([box.get_points() for box in extents]).swapaxes(0, 1)
    inside = ((figure.bbox.min <= low) & (high <= figure.bbox.max)).all(axis=1)
    assert inside.all(), f"{texts[inside.argmin()].get_text()!r} is cut off"
    over = ((high[:, None] > low) & (high > low[:, None])).all(axis=2)
    for one, other in np.argwhere(np.triu(over, k=1)):
        raise AssertionError(f"{texts[one].get_text()!r} lies over {texts[other].get_text()!r}")


def image_of(content):
    image = Image.open(BytesIO(content))
    image.load()  # raises if the file is cut short
    return np.asarray(image.convert("RGB"))


# Frames -------------------------------------------------------------------------------------


def test_the_numbers_of_a_frame_are_those_of_its_gram_matrix():
    frame = GaussianDerivatives(order=2).build(2)
    values = np.linalg.eigvalsh(frame.gram)
    numbers = FrameDisplay(frame).numbers
    assert (numbers["atoms"], numbers["support"], numbers["rank"]) == (6, (7, 7), 6)
    np.testing.assert_allclose(numbers["lower_bound"], values[0])
    np.testing.assert_allclose(numbers["upper_bound"], values[-1])
    np.testing.assert_allclose(numbers["condition_number"], values[-1] / values[0])
    assert not numbers["tight"]
    assert FrameDisplay(Pixels(3).build(2)).numbers["tight"]


def test_a_family_is_built_with_parameters_and_left_as_it_was():
    family = GaussianDerivatives(order=3)
    display = FrameDisplay.from_family(family, ndim=1, order=1, scales=(1, 2))
    assert display.frame.labels == ("g @1", "g_x @1", "g_x @2")
    assert family == GaussianDerivatives(order=3)
    assert FrameDisplay.from_family(display.frame).frame.ndim == 1  # it brings its own
    assert FrameDisplay.from_family("pixel", size=3).frame.atoms.shape == (9, 3, 3)


FRAMES = {
    "order 3": ("gaussian", {}),
    "order 0": ("gaussian", {"order": 0}),
    "four scales": ("gaussian", {"order": 2, "scales": (1, 2, 4, 8)}),
    "57 atoms": ("gaussian", {"order": 4, "scales": (1, 1.5, 2, 3)}),
    "25 pixels": ("pixel", {"size": 5}),
    "framelets": ("framelet", {}),
    "gabor": ("gabor", {}),
    "morlet, two scales": ("morlet", {"n_orientations": 8, "scales": (1.5, 3)}),
    "curves": ("gaussian", {"ndim": 1, "scales": (1, 2)}),
    "pixels of a line": ("pixel", {"ndim": 1}),
    "volumes": ("gaussian", {"ndim": 3}),
    "volumes, two scales": ("gaussian", {"ndim": 3, "order": 2, "scales": (1, 2)}),
}


@pytest.mark.parametrize("family, params", FRAMES.values(), ids=FRAMES)
def test_every_atom_has_a_place_of_its_own_and_all_can_be_read(family, params):
    display = FrameDisplay.from_family(family, **params).plot()
    assert len(display.axes_) == len(display.frame)
    places = [ax.get_position(original=True) for ax in display.axes_]
    assert all(p.min.min() >= 0 and p.max.max() <= 1 for p in places)
    assert not any(a.overlaps(b) for a, b in combinations(places, 2))
    assert display.figure_.get_figwidth() <= 8.5
    assert_legible(display.figure_)


def test_orders_stand_in_lines_and_scales_below_one_another():
    def rows(display):
        tops = [round(ax.get_position(original=True).y1, 6) for ax in display.plot().axes_]
        return (
            np.unique(tops, return_inverse=True)[1].max() - np.unique(tops, return_inverse=True)[1]
        )

    by_order = FrameDisplay.from_family("gaussian", order=3)
    np.testing.assert_array_equal(rows(by_order), by_order.frame.orders)
    by_scale = FrameDisplay.from_family("gaussian", order=2, scales=(1, 2))
    np.testing.assert_array_equal(rows(by_scale), np.asarray(by_scale.frame.scales) - 1)
    left = [ax.get_position(original=True).x0 for ax in by_scale.axes_]
    np.testing.assert_allclose(left[1:6], left[6:])  # equal derivatives, one column


def test_zero_is_in_the_middle_of_the_colours():
    display = FrameDisplay.from_family("gaussian", order=1).plot()
    for ax, atom in zip(display.axes_, display.frame.atoms, strict=True):
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), atom)
        assert image.get_clim() == (-np.abs(atom).max(), np.abs(atom).max())
        assert isinstance(image.cmap, Colormap)
        assert min(image.cmap(0.5)[:3]) > 0.95


def test_curves_are_drawn_over_a_centred_axis():
    display = FrameDisplay.from_family("gaussian", ndim=1, order=1).plot()
    curve = display.axes_[1].get_lines()[-1]
    np.testing.assert_array_equal(curve.get_xdata(), np.arange(-3, 4))
    np.testing.assert_array_equal(curve.get_ydata(), display.frame.atoms[1])


def test_no_plane_of_a_volume_is_blank_be_its_atom_odd():
    display = FrameDisplay.from_family("gaussian", ndim=3, order=3).plot()
    for ax, atom in zip(display.axes_, display.frame.atoms, strict=True):
        assert len(ax.images) == 3
        for image in ax.images:
            assert np.abs(image.get_array()).max() == pytest.approx(np.abs(atom).max())


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: FrameDisplay("gaussian"), TypeError, "from_family"),
        (lambda: FrameDisplay.from_family("gausian"), ValueError, "gaussian"),
        (lambda: FrameDisplay.from_family("pixel", order=3), ValueError, "order"),
        (lambda: FrameDisplay.from_family("pixel", ndim=0), ValueError, "ndim"),
        (lambda: FrameDisplay.from_family(Pixels(3).build(2), ndim=3), ValueError, "3 are needed"),
        (lambda: FrameDisplay.from_family(Pixels(3).build(2), size=5), TypeError, "size"),
    ],
)
def test_a_frame_that_cannot_be_shown_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Kernels and coefficients -------------------------------------------------------------------


def test_a_kernel_is_its_coefficients_times_the_unit_atoms(model):
    display = KernelDisplay.from_estimator(model, "stages.1.0", n_kernels=9, input_channel=2)
    layer = layer_of(model, "stages.1.0")
    unit = display.frame.flat / np.linalg.norm(display.frame.flat, axis=1, keepdims=True)
    made = (display.coefficients @ unit).reshape(display.kernels.shape)
    np.testing.assert_allclose(made, display.kernels, atol=1e-6)
    np.testing.assert_array_equal(display.kernels, layer.kernel[:, 2].detach().numpy())
    np.testing.assert_allclose(display.coefficients, layer.weight[:, 2].detach(), rtol=1e-6)
    assert display.kernels.shape == (2, 7, 7)  # no more than there are


def test_kernels_stand_beside_bars_under_the_atoms(model):
    display = KernelDisplay.from_estimator(model, n_kernels=2).plot()
    assert display.layer == "stages.0.0"
    atoms, rest = np.split(display.axes_, [10])
    np.testing.assert_array_equal(atoms[4].images[0].get_array(), display.frame.atoms[4])
    assert len(rest) == 4
    limits = {ax.images[0].get_clim() for ax in rest[::2]}
    assert limits == {(-np.abs(display.kernels).max(), np.abs(display.kernels).max())}
    for ax, coefficients in zip(rest[1::2], display.coefficients, strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in ax.patches], coefficients)
        for k, atom in enumerate(atoms):  # every bar is centred below its atom
            x = ax.transData.transform((k, 0))[0]
            assert x == pytest.approx(atom.bbox.x0 / 2 + atom.bbox.x1 / 2, abs=1)


@pytest.mark.parametrize(
    "shape, params",
    [
        ((8, 8), {}),
        ((8, 8), {"frame": GaussianDerivatives(order=3, scales=(1, 2, 3))}),
        ((8, 8), {"frame": Pixels(size=5)}),
        ((8, 8), {"frame": ("framelet", "gabor")}),
        ((9,), {"layout": "L"}),
        ((5, 5, 5), {"layout": "DHW", "frame": GaussianDerivatives(order=1)}),
    ],
    ids=["10 atoms", "three scales", "pixels", "mixed", "curves", "volumes"],
)
def test_kernels_and_coefficients_can_be_read(shape, params):
    model = fitted(shape, **params)
    assert_legible(KernelDisplay.from_estimator(model, -1).plot().figure_)
    assert_legible(CoefficientDisplay.from_estimator(model).plot().figure_)


@pytest.mark.parametrize("absolute", [False, True])
def test_mean_and_spread_are_those_over_all_kernels(model, absolute):
    display = CoefficientDisplay.from_estimator(model, absolute=absolute)
    table = display.to_frame()
    assert list(table) == ["layer", "atom", "order", "scale", "mean", "std"]
    assert list(table["layer"].unique()) == ["stages.0.0", "stages.1.0"]
    part = table[table["layer"] == "stages.1.0"]
    weights = layer_of(model, "stages.1.0").weight.detach().numpy().astype(float)
    weights = abs(weights) if absolute else weights
    np.testing.assert_allclose(part["mean"], weights.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(part["std"], weights.std(axis=(0, 1)), rtol=1e-5)
    assert list(part["atom"]) == list(layer_of(model).frame.labels)
    assert list(part["order"]) == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def test_every_layer_has_a_panel_with_all_its_atoms(model):
    display = CoefficientDisplay.from_estimator(model).plot()
    assert len(display.axes_) == 2
    table = display.to_frame()
    for ax, (_, part) in zip(display.axes_, table.groupby("layer"), strict=True):
        drawn = [point for bars in ax.containers for point in bars.lines[0].get_xydata()]
        np.testing.assert_allclose(sorted(drawn, key=lambda p: p[0]), [*enumerate(part["mean"])])
        ends = [line for bars in ax.containers for line in bars.lines[2][0].get_segments()]
        np.testing.assert_allclose(
            [end[1, 1] - end[0, 1] for end in sorted(ends, key=lambda e: e[0, 0])], 2 * part["std"]
        )


@pytest.mark.parametrize(
    "params, message",
    [
        ({"layer": "head"}, "stages.0.0, stages.1.0, got 'head'"),
        ({"layer": 2}, "below 2"),
        ({"layer": 0.5}, "stages.0.0"),
        ({"n_kernels": 0}, "n_kernels"),
        ({"input_channel": 1}, "below 1"),
        ({"input_channel": -1}, "input_channel"),
    ],
)
def test_an_unknown_layer_or_channel_is_refused(model, params, message):
    with pytest.raises(ValueError, match=message):
        KernelDisplay.from_estimator(model, **params)


@pytest.mark.parametrize("learn_scale", [True, "channel"])
@pytest.mark.parametrize("scales", [(1.0,), (1.0, 1.5)])
def test_learned_scales_stand_beside_the_first_ones(scales, learn_scale):
    model = fitted(frame=GaussianDerivatives(order=1, scales=scales), learn_scale=learn_scale)
    layer = layer_of(model, "stages.1.0")
    with torch.no_grad():
        layer.scale.log_factor.copy_(torch.linspace(0.3, -0.2, len(layer.scale.log_factor)))
    table = learned_scales(model)
    part = table[table["layer"] == "stages.1.0"]
    np.testing.assert_allclose(part["learned_scale"], layer.scales.detach().flatten())
    assert part["initial_scale"].tolist() == [*scales] * len(layer.scales)
    assert part["channel"].isna().all() == (learn_scale is True)
    display = ScaleDisplay.from_estimator(model)
    assert display.to_frame().equals(table)
    drawn = [
        x for line in display.axes_[1].lines for x in line.get_xdata() if line.get_marker() == "o"
    ]
    np.testing.assert_allclose(sorted(drawn), sorted(part["learned_scale"]))
    assert_legible(display.figure_)


def test_fixed_scales_are_not_shown_as_learned(model):
    with pytest.raises(ValueError, match="RFNNClassifier learns no scales"):
        ScaleDisplay.from_estimator(model)
    with pytest.raises(ValueError, match="learned_scale"):
        ScaleDisplay(pd.DataFrame({"layer": []}))


@pytest.mark.parametrize("display", [KernelDisplay, CoefficientDisplay, ScaleDisplay])
def test_estimators_without_frame_layers_are_refused(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(RFNNClassifier())
    with pytest.raises(ValueError, match="SVC has no frame layers"):
        display.from_estimator(SVC().fit([[0], [1]], [0, 1]))


# What all displays share --------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ""])
def test_a_saved_picture_is_whole(suffix, tmp_path):
    path = tmp_path / f"atoms{suffix}"
    display = FrameDisplay.from_family("gaussian", order=1).save(path, dpi=50)
    content = path.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix in (".png", ""):
        image = image_of(content)
        width, height = display.figure_.get_size_inches() * 50
        assert image.shape[:2] == (int(height), int(width))
        assert image.std() > 1
    else:
        assert content.rstrip().endswith({".pdf": b"%%EOF", ".svg": b"</svg>"}[suffix])


def test_a_picture_that_cannot_be_saved_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / "atoms.xyz"
    path.write_text("before")
    display = FrameDisplay.from_family("pixel", size=1)
    with pytest.raises(ValueError, match="xyz"):
        display.save(path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]
    with pytest.raises(OSError, match="nowhere"):
        display.save(tmp_path / "nowhere" / "atoms.png")


def test_figures_are_unknown_to_pyplot_unless_they_come_from_there():
    display = DifferencesDisplay(COMPARISONS).plot()
    assert plt.get_fignums() == []
    assert image_of(display._repr_png_()).std() > 1
    figure, ax = plt.subplots()
    try:
        assert display.plot(ax).axes_[0] is ax
        assert display.figure_ is figure
        assert display._repr_png_() is None  # lest a notebook show it twice
    finally:
        plt.close(figure)


def test_displays_are_drawn_when_they_are_made_on_axes_if_there_are_some(model):
    figure = plt.matplotlib.figure.Figure(figsize=(12, 6))
    one, other, third = figure.subplots(1, 3)
    assert DifferencesDisplay(COMPARISONS).plot(one).axes_[0] is one
    frame = FrameDisplay.from_family("gaussian", order=2, ax=other)
    kernels = KernelDisplay.from_estimator(model, n_kernels=2, ax=third)
    figure.draw_without_rendering()
    for display, ax in ((frame, other), (kernels, third)):
        assert display.figure_ is figure
        low, high = ax.get_window_extent().get_points()
        for part in display.axes_:
            inner = part.get_window_extent().get_points()
            assert (inner >= low - 1).all()
            assert (inner <= high + 1).all()
    assert len(CoefficientDisplay.from_estimator(model).axes_) == 2


def test_displays_share_a_figure(model, tmp_path):
    figure = plt.matplotlib.figure.Figure(figsize=(12, 6))
    left, right = figure.subfigures(1, 2)
    FrameDisplay(Frame("own", np.eye(9).reshape(9, 3, 3), labels=["a_b_c$"] * 9)).plot(left)
    display = KernelDisplay.from_estimator(model, n_kernels=2).plot(right)
    assert len(left.axes) == 9
    display.save(tmp_path / "both.png", dpi=50)
    assert image_of((tmp_path / "both.png").read_bytes()).shape[:2] == (300, 600)


def test_pictures_of_frames_and_studies_are_there_without_torch_and_matplotlib():
    code = (
        "import sys; from sklstruct.inspection import FrameDisplay, write_report, occlusion_map\n"
        "sys.exit(', '.join({'torch', 'skorch', 'matplotlib'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
