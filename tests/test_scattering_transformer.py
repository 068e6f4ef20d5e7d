"""Scattering coefficients as features: which they are, that they are kept, and what they keep."""

import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklstruct_scattering.cache import CACHE
from sklstruct_scattering.scattering import Scattering
from sklstruct_scattering.transformer import ScatteringTransformer
from test_inspection import assert_legible

from sklstruct.inspection import ScatteringDisplay
from sklstruct.inspection.scattering import first_order_sectors, second_order_sectors

CASES = [  # shape of samples, layout, parameters
    ((40,), "L", {"J": 3, "Q": 2}),
    ((13, 11), "HW", {}),
    ((13, 11), "HW", {"max_order": 0}),
    ((13, 11), "HW", {"max_order": 3, "L": 2, "J": 3, "dtype": "float64"}),
    ((3, 9, 8), "CHW", {"L": 3}),
    ((8, 9, 3), "HWC", {"L": 3, "padding": "zero"}),
    ((6, 5, 7), "DHW", {"L": 3, "max_order": 1}),
    ((2, 6, 5, 7), "CDHW", {"L": 2}),
]
ids = [f"{layout}-{params}" for _, layout, params in CASES]


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def transformer(**params):
    return ScatteringTransformer(**{"cache_size": 0, **params})


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:90] / 16, y[:90]


@pytest.fixture
def computed(monkeypatch):
    """How many samples every computation was for; the cache is empty before and after."""
    sizes, compute = [], ScatteringTransformer._compute_anew

    def counted(self, X):
        sizes.append(len(X))
        return compute(self, X)

    monkeypatch.setattr(ScatteringTransformer, "_compute_anew", counted)
    CACHE.clear()
    yield sizes
    CACHE.clear()


@parametrize_with_checks([ScatteringTransformer(J=1)])  # some checks have three features only
@pytest.mark.filterwarnings("ignore")  # the checks feed warnings on purpose
def test_scikit_learn(estimator, check):
    check(estimator)


# which coefficients these are --------------------------------------------------------------------


@pytest.mark.parametrize("shape, layout, params", CASES, ids=ids)
def test_features_are_the_coefficients_and_say_which(shape, layout, params):
    """The table alone leads from every feature to its place in what the module returns."""
    X = noise(4, *shape)
    scattering = transformer(**params).fit(X)
    assert scattering.layout_ == layout
    features, meta = scattering.transform(X), scattering.meta_
    x = torch.tensor(X, dtype=getattr(torch, scattering.dtype))
    x = x.movedim(1 + layout.index("C"), 1) if "C" in layout else x[:, None]
    options = {name: value for name, value in params.items() if name not in ("J", "dtype")}
    module = Scattering(params.get("J", 2), tuple(x.shape[2:]), **options)
    wanted = module(x).numpy()
    places = [meta[axis] for axis in ("z", "y", "x") if axis in meta]
    found = wanted[:, meta["channel"], meta["path"], *places]
    np.testing.assert_allclose(features, found, rtol=0, atol=1e-6 * abs(found).max())
    assert features.dtype == scattering.dtype
    assert features.shape[1] == wanted[0].size
    assert [*meta["path"].unique()] == [*range(len(module.paths))]
    for number, rows in meta.groupby("path"):
        path, row = module.paths[number], rows.iloc[0]
        assert (rows["order"] == path.order).all()
        for k, wavelet in enumerate(path.wavelets, start=1):
            numbers = row[f"n{k}"] if layout == "L" else row[f"theta{k}"]
            assert numbers == (path.numbers[k - 1] if layout == "L" else wavelet.theta)
            assert (row[f"j{k}"], row[f"xi{k}"], row[f"sigma{k}"]) == (
                (wavelet.j, wavelet.xi, wavelet.sigma)
            )
    for name in meta.filter(regex=r"^(j|theta|n|angle|xi|sigma)\d$"):
        assert meta[name].isna().equals(meta["order"] < int(name[-1]))


@pytest.mark.parametrize("shape, layout, params", CASES, ids=ids)
def test_names_follow_from_the_table(shape, layout, params):
    scattering = transformer(**params).fit(noise(2, *shape))
    names, meta = scattering.get_feature_names_out(), scattering.meta_
    assert [*meta.index] == [*names]
    assert len(set(names)) == len(names)
    label = "n" if layout == "L" else "theta"
    for name, row in meta.iterrows():
        order = range(1, int(row["order"]) + 1)
        wavelets = "".join(
            f"[j={row[f'j{k}']:.0f},{label}={row[f'{label}{k}']:.0f}]" for k in order
        )
        place = ",".join(f"{row[axis]:.0f}" for axis in ("z", "y", "x") if axis in meta)
        channel = f"c{row['channel']:.0f} " if meta["channel"].max() else ""
        assert name == f"{channel}S{row['order']:.0f}{wavelets}@({place})"


def test_names_are_these(digits):
    names = transformer(image_shape=(8, 8)).fit(digits[0]).get_feature_names_out()
    assert names[0] == "S0@(0,0)"
    assert names[-1] == "S2[j=0,theta=7][j=1,theta=7]@(1,1)"
    assert "S2[j=0,theta=3][j=1,theta=5]@(1,0)" in names
    assert transformer().fit(noise(2, 32)).get_feature_names_out()[9] == "S1[j=0,n=0]@(1)"


@pytest.mark.parametrize("shape", [(40,), (13, 11), (2, 9, 8), (6, 5, 7)])
def test_without_averaging_names_fit_too(shape):
    """Paths differ in resolution; a constant channel tells where its coefficients are."""
    X = noise(3, *shape)
    scattering = transformer(average=False, L=2, max_order=1).fit(X)
    features, meta = scattering.transform(X), scattering.meta_
    assert features.shape == (3, len(meta))
    spatial = scattering.in_shape_[1:]
    maps = Scattering(2, spatial, L=2, max_order=1, average=False)
    wanted = maps(torch.tensor(X.reshape(3, *scattering.in_shape_)).float())
    for (channel, path), rows in meta.groupby(["channel", "path"]):
        part = features[:, meta.index.get_indexer(rows.index)]
        found = wanted[path][:, channel].flatten(1).numpy()
        np.testing.assert_allclose(part, found, atol=1e-6 * abs(found).max())


def test_pandas_output_is_labelled(digits):
    X, _ = digits
    scattering = transformer(image_shape=(8, 8)).set_output(transform="pandas")
    table = scattering.fit_transform(X)
    assert [*table.columns] == [*scattering.get_feature_names_out()]
    meta = scattering.meta_
    first = table[meta.index[(meta["order"] == 1) & (meta["j1"] == 0)]]
    assert first.shape == (90, 8 * 4)


# how samples are read ----------------------------------------------------------------------------


def test_one_image_many_ways(digits, tmp_path):
    rows = digits[0]
    images = rows.reshape(-1, 8, 8)
    expected = transformer().fit_transform(images)
    np.save(tmp_path / "rows.npy", rows)
    for given, params in [
        (rows, {"image_shape": (8, 8)}),
        (np.load(tmp_path / "rows.npy", mmap_mode="r"), {"image_shape": (1, 8, 8)}),
        (images[..., None], {}),
        (torch.tensor(images), {}),
        (np.asfortranarray(images), {}),
        (pd.DataFrame(rows).add_prefix("p"), {"image_shape": (8, 8)}),
        (images.tolist(), {}),
    ]:
        for size in (0, 256):
            again = transformer(cache_size=size, **params).fit_transform(given)
            assert np.array_equal(again, expected)


@pytest.mark.parametrize("params", [{}, {"dtype": "float64"}, {"average": False}])
@pytest.mark.parametrize("shape", [(50,), (12, 12), (2, 7, 9)])
def test_no_sample_depends_on_its_company(shape, params):
    X = noise(70, *shape)
    scattering = transformer(**params).fit(X)
    expected = scattering.transform(X)
    order = np.random.default_rng(1).permutation(70)
    assert np.array_equal(scattering.transform(X[order]), expected[order])
    assert np.array_equal(scattering.transform(X[3:5]), expected[3:5])
    assert np.array_equal(scattering.set_params(n_threads=2).transform(X), expected)


# the scikit-learn way ----------------------------------------------------------------------------


def test_setting_a_parameter_changes_the_features(digits):
    X, _ = digits
    scattering = transformer(image_shape=(8, 8)).fit(X)
    for other in ({"J": 3}, {"L": 4}, {"max_order": 1}, {"padding": "zero"}, {"average": False}):
        wanted = transformer(image_shape=(8, 8), **other).fit_transform(X)
        again = clone(scattering).set_params(**other).fit_transform(X)
        assert np.array_equal(again, wanted)
        assert not np.array_equal(again, scattering.transform(X))
    line = transformer(J=3, layout="L").fit(X)
    for other in ({"Q": 3}, {"Q": (2, 1)}, {"T": 4}):
        again = clone(line).set_params(**other).fit_transform(X)
        assert not np.array_equal(again, line.transform(X))


def test_grid_search_over_the_scale(digits):
    pipeline = make_pipeline(transformer(image_shape=(8, 8)), RidgeClassifier())
    search = GridSearchCV(pipeline, {"scatteringtransformer__J": [1, 2, 3]}, cv=2).fit(*digits)
    scores = search.cv_results_["mean_test_score"]
    for J, score in zip([1, 2, 3], scores, strict=True):
        by_hand = make_pipeline(transformer(J=J, image_shape=(8, 8)), RidgeClassifier())
        assert score == cross_val_score(by_hand, *digits, cv=2).mean()
    assert len(set(scores)) > 1


def test_pickles_are_complete(digits):
    X, _ = digits
    scattering = transformer(image_shape=(8, 8)).fit(X)
    expected = scattering.transform(X)
    copy = pickle.loads(pickle.dumps(scattering))
    assert np.array_equal(copy.transform(X), expected)
    assert [*copy.meta_.index] == [*scattering.meta_.index]


# what is kept ------------------------------------------------------------------------------------


def test_a_search_over_the_classifier_computes_every_sample_once(digits, computed):
    def search(**params):
        scattering = transformer(image_shape=(8, 8), **params)
        grid = {"ridgeclassifier__alpha": [0.1, 1.0, 10.0, 100.0]}
        pipeline = make_pipeline(scattering, RidgeClassifier())
        return GridSearchCV(pipeline, grid, cv=3).fit(*digits).cv_results_["mean_test_score"]

    kept = search(cache_size=256)
    assert sum(computed) == 90
    assert np.array_equal(search(cache_size=256, n_threads=2), kept)
    assert sum(computed) == 90
    search(cache_size=256, J=1)
    assert sum(computed) == 180
    computed.clear()
    assert np.array_equal(search(cache_size=0), kept)
    assert sum(computed) == 4 * 3 * 90 + 90


IMAGES, LINES = {"image_shape": (8, 8)}, {"image_shape": (64,)}


@pytest.mark.parametrize(
    "params, other",
    [
        (IMAGES, {"J": 1}),
        (IMAGES, {"L": 4}),
        (IMAGES, {"padding": "zero"}),
        (IMAGES, {"average": False}),
        (IMAGES, {"max_order": 1}),
        (IMAGES, {"dtype": "float64"}),
        (IMAGES, {"image_shape": (4, 16)}),
        (IMAGES, {"image_shape": None, "layout": "L"}),
        (LINES, {"Q": 2}),
        (LINES | {"Q": 2}, {"Q": (2, 2)}),
        (LINES | {"Q": (1, 3)}, {"Q": (1, 2)}),
        (LINES, {"T": 8}),
    ],
)
def test_what_is_kept_is_never_taken_for_something_else(digits, computed, params, other):
    X, _ = digits
    params = {**params, "cache_size": 256}
    ScatteringTransformer(**params).fit_transform(X)
    found = ScatteringTransformer(**params | other).fit_transform(X)
    assert np.array_equal(found, transformer(**params | other | {"cache_size": 0}).fit_transform(X))
    assert sum(computed) == 3 * 90


def test_equal_samples_are_computed_once(digits, computed):
    X = np.repeat(digits[0][:3], 2, axis=0)
    features = transformer(image_shape=(8, 8), cache_size=1).fit_transform(X)
    assert computed == [3]
    assert np.array_equal(features[::2], features[1::2])
    expected = features.copy()
    features[:] = 0  # the caller's, not the cache's
    again = transformer(image_shape=(8, 8), cache_size=1).fit_transform(X)
    assert np.array_equal(again, expected)
    assert computed == [3]


def test_what_is_kept_is_bounded(computed):
    X = noise(200, 8, 8)
    row = transformer().fit_transform(X[:1]).nbytes
    scattering = transformer(cache_size=50 * row / 1e6).fit(X)
    computed.clear()
    for start in range(0, 200, 40):
        scattering.transform(X[start : start + 40])
        assert len(CACHE) <= 50
    scattering.transform(X[150:])  # those that were used last are there
    assert sum(computed) == 200
    scattering.transform(X)  # too many to keep: nothing is lost for it
    scattering.transform(X[150:])
    assert sum(computed) == 400


def test_blocks_are_kept_if_all_of_them_can_be(computed):
    X = noise(100, 8, 8)
    expected = transformer().fit_transform(X)
    computed.clear()
    for room, times in ((100, 1), (99, 2)):
        CACHE.clear()
        scattering = transformer(cache_size=room * expected[0].nbytes / 1e6).fit(X)
        for _ in range(2):
            found = np.empty_like(expected)
            for rows, features in scattering.blocks(X, 30):
                found[rows] = features
            assert np.array_equal(found, expected)
        assert computed == [30, 30, 30, 10] * times
        computed.clear()


def test_the_smallest_cache_wins(computed):
    X = noise(20, 8, 8)
    row = transformer(cache_size=1).fit_transform(X)[0].nbytes
    assert len(CACHE) == 20
    transformer(cache_size=5 * row / 1e6).fit_transform(noise(21, 8, 8)[20:])
    assert len(CACHE) == 5


# the way back ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, params",
    [((64,), {"image_shape": (8, 8)}), ((3, 9, 8), {"L": 4}), ((8, 9, 3), {"L": 4}), ((48,), {})],
)
def test_the_inverse_has_the_coefficients(shape, params):
    """From noise of the right energy, the distance of the coefficients falls 20 times at least."""
    X = np.abs(noise(2, *shape))
    scattering = transformer(J=1, **params).fit(X)
    wanted = scattering.transform(X)

    def distance(samples):
        found = scattering.transform(samples)
        scale = np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
        return np.linalg.norm(found * scale[:, None] - wanted, axis=1)

    found = scattering.inverse_transform(wanted, n_steps=60, random_state=0)
    assert found.shape == X.shape
    assert found.dtype == np.float32
    start = np.random.default_rng(1).normal(size=X.shape)
    assert (distance(found) < distance(start) / 20).all()
    again = scattering.inverse_transform(pd.DataFrame(wanted), n_steps=60, random_state=0)
    assert np.array_equal(again, found)
    other = scattering.inverse_transform(wanted, n_steps=60, random_state=1)
    assert not np.array_equal(other, found)
    assert not scattering.inverse_transform(0 * wanted).any()


# what is refused ---------------------------------------------------------------------------------

X = noise(3, 8, 8)


@pytest.mark.parametrize(
    "params, X, message",
    [
        ({"J": 4}, X, r"J=4 averages over 16 samples.*\(8, 8\).*at most 3"),
        ({"J": 0}, X, "J of .* must be an integer"),
        ({"L": 0}, X, "L of .* must be"),
        ({"Q": 1.5}, X, "Q of .* must be"),
        ({"max_order": 4}, X, "max_order"),
        ({"T": 4}, X, "T=4 is for signals on a line"),
        ({"padding": "mirror"}, X, "padding of .* must be one of"),
        ({"padding": "periodic"}, X[:, :7], "multiples"),
        ({"average": 1}, X, "average"),
        ({"cache_size": -1}, X, "cache_size"),
        ({"n_threads": 0}, X, "n_threads"),
        ({"dtype": "float16"}, X, "dtype"),
        ({"device": "nonsense"}, X, "nonsense"),
        ({"image_shape": (7, 7)}, X.reshape(3, 64), "49 values"),
        ({}, np.where(X > 0, X, np.nan), "NaN"),
        ({}, np.where(X > 0, X, np.inf), "infinity"),
        ({}, X + 1j, "Complex"),
        ({}, X[0, 0], "1D"),
        ({}, noise(2, 2, 4, 4, 4, 4), "2 to 5 axes"),
        ({}, X[:0], "0 sample"),
    ],
)
def test_bad_input_is_named(params, X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        transformer(**params).fit_transform(X)


def test_other_samples_than_in_fit_are_refused():
    with pytest.raises(NotFittedError):
        transformer().meta_  # noqa: B018
    scattering = transformer().fit(X)
    for other in (X[:, :7], X[:, None], X.reshape(3, 64)):
        with pytest.raises(ValueError, match=r"samples of shape .*\(8, 8\)"):
            scattering.transform(other)
    with pytest.raises(ValueError, match="324 features, got 3"):
        scattering.inverse_transform(np.ones((2, 3)))
    with pytest.raises(ValueError, match="n_steps"):
        scattering.inverse_transform(np.ones((2, 324)), n_steps=0)


# the picture -------------------------------------------------------------------------------------


def disk_of(image, order):
    """The sectors of an order: (radius, angle) of the middle to the coefficient."""
    scattering = transformer(J=3, L=6, padding="periodic").fit(image[None])
    table = ScatteringDisplay.from_transformer(scattering, image[None]).to_frame()
    table = table[table["order"] == order]
    sectors = {1: first_order_sectors, 2: second_order_sectors}[order](table)
    inner, outer, start, stop = sectors.T
    assert (inner < outer).all()
    places = (inner + outer) / 2 * np.exp(1j * (start + stop))  # twice the angle: half a turn is 0
    return places, table["coefficient"].to_numpy()


@pytest.mark.parametrize("order", [1, 2])
def test_the_disk_turns_with_the_image(order):
    image = noise(16, 16)
    turned = np.roll(np.rot90(image), 1, axis=0)  # anticlockwise, around the sample (0, 0)
    places, coefficients = disk_of(image, order)
    other_places, others = disk_of(turned, order)
    at = np.abs(-places[:, None] - other_places).argmin(axis=1)  # a quarter of a turn, doubled
    assert sorted(at) == [*range(len(at))]
    # at coarse levels the filters hold one of the two highest frequencies, as Kymatio's do
    np.testing.assert_allclose(others[at], coefficients, rtol=2e-3)


def test_the_disk_of_a_wave_is_brightest_at_its_frequency():
    y, x = np.mgrid[:32, :32]
    for order_of_axes in ((y, x), (x, y)):
        along = order_of_axes[0]
        image = np.sin(2 * np.pi * 0.1875 * along)[None]  # between 1/8 and 1/4 cycles a sample
        scattering = transformer(J=3, max_order=1).fit(image)
        table = ScatteringDisplay.from_transformer(scattering, image).to_frame()
        table = table[table["order"] == 1]
        inner, outer, start, stop = first_order_sectors(table)[table["coefficient"].argmax()]
        assert (inner, outer) == (0.125, 0.25)
        wanted = 1.0 if along is x else -1.0  # cos of twice the angle: along the axis x or y
        assert np.cos(start + stop) == pytest.approx(wanted)


def test_the_sectors_fill_the_disk():
    scattering = transformer(J=4).fit(noise(2, 16, 16))
    table = ScatteringDisplay(scattering.meta_, np.zeros(len(scattering.meta_))).to_frame()
    first, second = (table[table["order"] == order] for order in (1, 2))
    inner, outer, start, stop = first_order_sectors(first).T
    area = ((outer**2 - inner**2) * (stop - start)).sum()  # of the half of the disk
    assert area == pytest.approx(np.pi * (0.5**2 - 0.5**2 / 4**4))
    inner, outer, start, stop = second_order_sectors(second).T
    area = ((outer**2 - inner**2) * (stop - start)).sum()
    assert area == pytest.approx(np.pi * (0.5**2 - 0.5**2 / 4**3))


def test_the_numbers_of_the_disk():
    X = noise(2, 9, 8, 3)
    scattering = transformer(L=4).fit(X)
    features = scattering.transform(X).reshape(2, 3, -1, *scattering.module_.out_shape)
    table = ScatteringDisplay.from_transformer(scattering, X).to_frame()
    np.testing.assert_allclose(table["coefficient"], features.mean((0, 1, 3, 4)), rtol=1e-5)
    here = ScatteringDisplay.from_transformer(scattering, X[:1], place=(0, 1)).to_frame()
    np.testing.assert_allclose(here["coefficient"], features[0, :, :, 0, 1].mean(0), rtol=1e-5)
    assert [*table.columns[:4]] == ["order", "j1", "theta1", "angle1"]
    without = transformer(L=4, average=False).fit(X)
    assert len(ScatteringDisplay.from_transformer(without, X).to_frame()) == len(table)


@pytest.mark.parametrize(
    "shape, params, place, n_panels",
    [
        ((8, 8), {}, None, 3),
        ((8, 8), {"max_order": 1}, (1, 0), 2),
        ((9, 8, 3), {"J": 3, "L": 6}, (0, 0), 3),
        ((2, 8, 8), {"average": False}, None, 2),  # two channels are no picture
    ],
)
def test_the_picture_can_be_read(shape, params, place, n_panels, tmp_path):
    X = noise(1, *shape)
    scattering = transformer(**params).fit(X)
    display = ScatteringDisplay.from_transformer(scattering, X, place=place).plot()
    assert len(display.axes_) == n_panels
    assert_legible(display.figure_)
    display.save(tmp_path / "disk.pdf")
    assert (tmp_path / "disk.pdf").stat().st_size


def test_a_constant_image_has_a_dark_disk():
    X = np.zeros((1, 8, 8))
    display = ScatteringDisplay.from_transformer(transformer().fit(X), X)
    figure = plt.figure()
    assert display.plot(figure).figure_ is figure
    plt.close(figure)
    assert not display.to_frame()["coefficient"].any()


@pytest.mark.parametrize(
    "shape, params, place, message",
    [
        ((32,), {}, None, "no column.*angle1"),
        ((6, 5, 7), {}, None, "no column.*angle1"),
        ((8, 8), {"max_order": 0}, None, "no column.*angle1"),
        ((8, 8), {}, (2, 0), r"place=\(2, 0\)"),
    ],
)
def test_what_has_no_disk_is_refused(shape, params, place, message):
    samples = noise(1, *shape)
    scattering = transformer(**params).fit(samples)
    with pytest.raises(ValueError, match=message):
        ScatteringDisplay.from_transformer(scattering, samples, place=place)
    with pytest.raises(ValueError, match=r"one for each row.*\(3,\)"):
        ScatteringDisplay(transformer().fit(noise(1, 8, 8)).meta_, np.zeros(3))
