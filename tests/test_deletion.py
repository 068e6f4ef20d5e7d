"""Places that matter come first: what a linear model must give, exactly, and what is random."""

import numpy as np
import pandas as pd
import pytest
from fitted import MAKERS, fitted
from scipy.integrate import trapezoid
from sklearn.datasets import load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression
from test_inspection import assert_legible

from sklstruct import StructuredClassifier, StructuredRegressor, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.inspection import DeletionDisplay, deletion
from sklstruct.inspection.opened import Opened

FAST = {"random_state": 0, "device": "cpu"}
RNG = np.random.default_rng(0)
SHAPES = {"HW": (7, 5), "CHW": (3, 6, 5), "HWC": (6, 5, 3), "L": (24,), "DHW": (5, 6, 7)}


def linear(shape, layout=None, dtype="float64"):
    """Return a linear network, samples, and what every place adds to f when it is not the mean."""
    X = RNG.normal(size=(20, *shape))
    y = np.arange(20) % 2
    params = {"architecture": "linear", "layout": layout, "dtype": dtype, "max_epochs": 2}
    model = StructuredClassifier(**params, **FAST).fit(X, y)
    opened = Opened(model)
    samples = opened.read(X)
    weight = opened.network.head.weight.detach().numpy()
    weight = (weight[1] - weight[0]).reshape(opened.in_shape)
    weight = weight / model.scale_.reshape(-1, *(1,) * (weight.ndim - 1))
    in_space = tuple(range(2, samples.ndim))
    parts = weight * (samples - samples.mean(axis=in_space, keepdims=True))
    return model, X, parts.sum(axis=1)


def curve(found, order="map"):
    return found.table[found.table["order"] == order].set_index("share")["score"]


@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("kind", ["deletion", "insertion"])
def test_the_curve_of_a_linear_network_is_the_cumulated_sum(layout, kind):
    model, X, parts = linear(SHAPES[layout], layout)
    n_places = parts[0].size
    found = deletion(model, X, parts, kind=kind, n_steps=n_places, n_random=2)
    whole = model.decision_function(X)
    ordered = -np.sort(-parts.reshape(20, -1), axis=1)
    sums = np.concatenate([np.zeros((20, 1)), ordered.cumsum(axis=1)], axis=1)
    blank = (whole - sums[:, -1])[:, np.newaxis]
    exact = blank + sums if kind == "insertion" else whole[:, np.newaxis] - sums
    np.testing.assert_allclose(curve(found), exact.mean(axis=0), rtol=1e-9, atol=1e-9)
    shares = np.arange(n_places + 1) / n_places
    np.testing.assert_allclose(found.areas["map"], trapezoid(exact, shares), rtol=1e-9, atol=1e-9)
    # No order is better, and none is worse than the reverse one.
    areas = found.areas
    sign = 1 if kind == "insertion" else -1
    assert (sign * (areas["map"] - areas["random"]) > 0).all()
    assert (sign * (areas["random"] - areas["reverse"]) > 0).all()
    np.testing.assert_allclose(areas["gain"], sign * (areas["map"] - areas["random"]))
    assert found.gain.mean == pytest.approx(areas["gain"].mean())
    assert 0 < found.gain.low < found.gain.mean < found.gain.high


def test_a_random_map_is_no_better_than_random_orders():
    model, X, parts = linear((8, 8))
    noise = RNG.normal(size=parts.shape)
    found = deletion(model, X, noise)
    assert found.gain.low < 0 < found.gain.high
    assert deletion(model, X, parts).gain.low > 0
    assert deletion(model, X, -parts).gain.high < 0


def test_random_orders_are_as_coarse_as_the_map():
    """Whatever is smooth is moved as a whole: neighbours stay neighbours."""
    from sklstruct.inspection.hiding import orders_of

    y, x = np.mgrid[:16, :16]
    blob = np.exp(-((y - 4) ** 2 + (x - 5) ** 2) / 8.0)
    orders = orders_of(blob, np.ones((16, 16), bool), 5, np.random.default_rng(0))
    for order in orders[2:]:
        first = np.argwhere(order < 9)
        spread = np.abs(first[:, None] - first).max(axis=(0, 1))
        assert np.minimum(spread, 16 - spread).max() <= 4  # a disc, perhaps across the border
    for order in orders:
        assert sorted(order.ravel()) == list(range(256))


def test_ties_come_in_random_order_and_the_same_one_every_time():
    model, X, parts = linear((8, 8))
    flat = np.zeros_like(parts)
    found = deletion(model, X, flat)
    assert found.gain.low < 0 < found.gain.high
    pd.testing.assert_frame_equal(found.table, deletion(model, X, flat).table)
    other = deletion(model, X, flat, random_state=1)
    assert not np.allclose(curve(found), curve(other))


def test_a_sample_does_not_depend_on_its_company():
    model, X, parts = linear((8, 8))
    among, alone = deletion(model, X, parts), deletion(model, X[:3], parts[:3])
    pd.testing.assert_frame_equal(among.areas[:3], alone.areas, rtol=1e-9)
    by_method = deletion(model, X, "input_x_gradient", kind="insertion")
    assert by_method.gain.low > 0
    one = deletion(model, X[:1], parts[:1])
    assert np.isnan(one.gain.low)
    assert one.gain.mean > 0


@pytest.mark.parametrize("fill", ["mean", "blur", 0.0, "array", "channels"])
def test_what_is_put_in_place(fill):
    model, X, parts = linear((3, 6, 5), "CHW")
    values = {"array": RNG.normal(size=(3, 6, 5)), "channels": np.ones((3, 1, 1))}.get(fill, fill)
    found = deletion(model, X, parts, fill=values, n_steps=3)
    blank = model.decision_function(X).mean() if fill == "blur" else None
    end = curve(found).iloc[-1]
    if fill == "blur":
        assert end != pytest.approx(blank)
    elif fill != "mean":
        wanted = model.decision_function(np.broadcast_to(values, (1, 3, 6, 5)).astype(float))
        assert end == pytest.approx(wanted[0])


def test_outside_of_the_mask_nothing_is_hidden():
    model, X, parts = linear((8, 8))
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:7] = True
    for kind in ("deletion", "insertion"):
        found = deletion(model, X, parts, mask=mask, kind=kind, n_steps=12)
        hidden = np.where(mask, X.mean(axis=(1, 2), keepdims=True), X)
        ends = model.decision_function(X).mean(), model.decision_function(hidden).mean()
        scores = curve(found)
        first, last = scores.iloc[0], scores.iloc[-1]
        assert (first, last) == pytest.approx(ends if kind == "deletion" else ends[::-1])


def test_the_class_stays_that_of_the_whole_sample():
    """Else hiding would never lower the largest of several logits for long."""
    X, y = load_digits(n_class=3, return_X_y=True)
    X = X.reshape(-1, 8, 8)
    model = StructuredClassifier(architecture="linear", max_epochs=10, **FAST).fit(X[:200], y[:200])
    found = deletion(model, X[200:220], "input_x_gradient")
    own = np.concatenate(
        [
            deletion(model, X[n : n + 1], "input_x_gradient", model.predict(X[n : n + 1])[0]).areas
            for n in range(200, 201)
        ]
    )
    np.testing.assert_allclose(found.areas["map"][0], own[0, 1], rtol=1e-5)
    assert curve(found).iloc[-1] < curve(found).iloc[0] / 2


def test_any_estimator_of_arrays():
    X, y = load_digits(n_class=2, return_X_y=True)
    X, y = X[:40], y[:40]
    model = LogisticRegression(max_iter=1000).fit(X, y)
    parts = (X - X.mean(axis=1, keepdims=True)) * model.coef_
    found = deletion(model, X, parts, n_steps=64)
    ordered = -np.sort(-parts, axis=1)
    exact = model.decision_function(X) - ordered.cumsum(axis=1).T
    np.testing.assert_allclose(curve(found).iloc[1:], exact.mean(axis=1), rtol=1e-6, atol=1e-6)
    values = LinearRegression().fit(X, X[:, 20])
    assert deletion(values, X, (X - X.mean(axis=1, keepdims=True)) * values.coef_).gain.low > 0


def test_scans_are_read_from_their_paths(tmp_path):
    cohort = simulate_cohort(tmp_path / "c", n_subjects=8, shape=(16, 16, 16), spacing=12.0)
    network = on_paths(StructuredClassifier(architecture="linear", max_epochs=2, **FAST))
    for model in (network, on_paths(VoxelSVC(), mask="brain")):
        model.fit(cohort.X, cohort.y)
        X = model[0].transform(cohort.X)
        maps = RNG.normal(size=X.shape)
        by_paths = deletion(model, tmp_path / "c", maps, n_steps=4, n_random=2)
        mask = model[0].mask_
        by_volumes = deletion(model[1], X, maps, n_steps=4, n_random=2, mask=mask)
        pd.testing.assert_frame_equal(by_paths.table, by_volumes.table)


@pytest.mark.filterwarnings("ignore:X is on another scale")  # the blank samples are
def test_values_are_in_the_units_of_y():
    X = RNG.normal(size=(30, 6, 6))
    y = 100 * X[:, 2, 3]
    model = StructuredRegressor(architecture="linear", max_epochs=60, **FAST).fit(X, y)
    found = deletion(model, X, "input_x_gradient", n_steps=36)
    f = curve(found)
    blank = np.broadcast_to(X.mean(axis=(1, 2), keepdims=True), X.shape)
    wanted = (model.predict(X) - model.predict(blank)).mean()
    assert f.iloc[0] - f.iloc[-1] == pytest.approx(wanted, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("name", MAKERS)
def test_every_network(name):
    estimator, X, _ = fitted(name)
    for kind in ("deletion", "insertion"):
        found = deletion(estimator, X[:3], "gradient", kind=kind, n_steps=4, n_random=2)
        assert np.isfinite(found.areas.to_numpy()).all()
        assert found.table["share"].between(0, 1).all()


@pytest.mark.parametrize(
    "params, message",
    [
        ({"kind": "hiding"}, r"kind must be one of \('deletion', 'insertion'\), got 'hiding'"),
        ({"fill": "median"}, r"fill must be one of \('mean', 'blur'\), got 'median'"),
        ({"fill": np.zeros(3)}, r"fill must be 'mean', 'blur', a number, or an array"),
        ({"n_steps": 0}, "n_steps must be an integer of at least 1, got 0"),
        ({"n_random": 0}, "n_random must be an integer of at least 1, got 0"),
        ({"mask": np.zeros((8, 8))}, r"mask must have the shape \(8, 8\) of a sample, and some"),
        ({"maps": np.zeros((20, 4, 8))}, r"maps must have the places of the samples, \(20, 8, 8\)"),
        ({"maps": lambda *_: np.zeros((20, 64))}, r"maps must have the places .*, got \(20, 64\)"),
        ({"target": 3}, r"target must be one of the classes \[0, 1\], got 3"),
    ],
)
def test_what_cannot_be_is_refused(params, message):
    model, X, parts = linear((8, 8))
    with pytest.raises(ValueError, match=message):
        deletion(model, X, **{"maps": parts, **params})


def test_pictures_of_one_kind():
    model, X, parts = linear((8, 8))
    display = DeletionDisplay.from_estimator(
        model, X, {"its parts": parts, "gradient": "gradient"}, kind="insertion"
    )
    assert_legible(display.figure_)
    (ax,) = display.axes_
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), curve(display.results["its parts"]))
    assert set(display.to_frame()["method"]) == {"its parts", "gradient"}
    both = {"a": deletion(model, X, parts), **display.results}
    with pytest.raises(ValueError, match="results must be at least one, all of one kind"):
        DeletionDisplay(both)
    with pytest.raises(ValueError, match=r"all of one kind, got \[\]"):
        DeletionDisplay({})
