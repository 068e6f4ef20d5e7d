"""Dense estimators: a label or a value at every place, on a task made of the embedded digits."""

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklstruct_fcn.architecture import FrameFCN

from sklstruct import StructuredClassifier, StructuredMapClassifier, StructuredMapRegressor
from sklstruct.estimators import Augment
from sklstruct.frames import Pixels
from sklstruct.training.batches import MapSamples
from sklstruct.training.objectives import AtPlaces, CrossEntropy

BACKGROUND, ONE, ROUND = "paper", "one", "zero"
FAST = {"architecture": FrameFCN(widths=(12, 12)), "max_epochs": 4, "random_state": 0}


def scene(rng, extents):
    """Return ones and zeros somewhere on noisy paper, and which of them is where."""
    X, y = load_digits(n_class=2, return_X_y=True)
    image, labels = rng.normal(0, 1, size=extents), np.full(extents, BACKGROUND, dtype=object)
    for _ in range(4):
        number = rng.integers(len(X))
        corner = [rng.integers(extent - 7) for extent in extents]
        window = tuple(slice(a, a + 8) for a in corner)
        ink = X[number].reshape(8, 8)
        labels[window] = BACKGROUND
        image[window] = rng.normal(0, 1, size=(8, 8)) + ink
        labels[window][ink > 4] = (ROUND, ONE)[y[number]]
    return image.astype(np.float32), labels.astype(str)


@pytest.fixture(scope="module")
def scenes():
    """Return scenes of different sizes."""
    rng = np.random.default_rng(0)
    pairs = [scene(rng, rng.integers(16, 40, size=2)) for _ in range(50)]
    images, labels = zip(*pairs, strict=True)
    return list(images), list(labels)


@pytest.fixture(scope="module")
def model(scenes):
    images, labels = scenes
    params = {"max_epochs": 24, "batch_size": 5, "crop": 20, "random_state": 0}
    network = FrameFCN(widths=(16, 16, 16))
    return StructuredMapClassifier(architecture=network, **params).fit(images[:35], labels[:35])


def test_places_are_told_apart_by_what_is_around_them(model, scenes):
    """Both digits have the same ink, so no place can be known by itself."""
    images, labels = (part[35:] for part in scenes)
    assert model.classes_.tolist() == [ONE, BACKGROUND, ROUND]
    predicted = model.predict(images)
    assert [one.shape for one in predicted] == [one.shape for one in labels]
    ink = [one != BACKGROUND for one in labels]
    right = np.concatenate([(p == t)[i] for p, t, i in zip(predicted, labels, ink, strict=True)])
    assert right.mean() > 0.8
    share = np.mean(
        np.concatenate([(p == t).ravel() for p, t in zip(predicted, labels, strict=True)])
    )
    assert model.score(images, labels) == pytest.approx(share)
    for proba, labels_of_one in zip(model.predict_proba(images), predicted, strict=True):
        np.testing.assert_allclose(proba.sum(axis=0), 1, rtol=1e-5)
        assert np.array_equal(model.classes_[proba.argmax(axis=0)], labels_of_one)


def test_tiles_give_the_whole_image(model, scenes):
    image = max(scenes[0], key=lambda one: one.size)
    whole = model.decision_function([image])[0]
    inside = clone_fitted(model).set_params(tile=(99, 99)).decision_function([image])[0]
    assert np.array_equal(inside, whole)
    tiled = clone_fitted(model).set_params(tile=26, overlap=0.5).predict([image])[0]
    assert np.mean(tiled == model.predict([image])[0]) > 0.95  # tiles know less at their borders
    # A network that sees one place at a time cannot tell tiles from the whole.
    points = FrameFCN(frame=Pixels(size=1), widths=(4,))
    pointwise = StructuredMapClassifier(architecture=points, max_epochs=2, random_state=0)
    pointwise.fit(scenes[0][:5], scenes[1][:5])
    whole = pointwise.predict_proba([image])[0]
    for tile, overlap in ((7, 0.3), (1, 0.9), ((5, 30), 0.0)):
        found = pointwise.set_params(tile=tile, overlap=overlap).predict_proba([image])[0]
        np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-6)


def clone_fitted(model):
    return pickle.loads(pickle.dumps(model))


def test_one_image_many_ways(scenes):
    rng = np.random.default_rng(1)
    images, labels = map(np.stack, zip(*(scene(rng, (16, 18)) for _ in range(6)), strict=True))
    expected = StructuredMapClassifier(**FAST).fit(images, labels).predict_proba(images)
    assert expected.shape == (6, 3, 16, 18)
    for X, y, params in (
        (list(images), list(labels), {}),
        (images[:, None], labels[:, None], {}),
        (images[..., None], labels, {}),
        (torch.from_numpy(images), labels, {}),
        (images.reshape(6, -1), labels, {"image_shape": (16, 18)}),
    ):
        model = StructuredMapClassifier(**FAST, **params).fit(X, y)
        assert np.array_equal(model.predict_proba(X), expected)
    features = model.set_params(image_shape=(16, 18)).transform(X)
    assert features.shape == (6, 12 * 16 * 18)


def test_what_is_ignored_says_nothing(scenes):
    rng = np.random.default_rng(1)
    X, y = map(np.stack, zip(*(scene(rng, (16, 16)) for _ in range(6)), strict=True))
    hidden = rng.random(y.shape) < 0.5
    other = np.where(hidden, "?", y)
    weight = np.where(hidden, 0.0, 1.0)
    ignored = StructuredMapClassifier(ignored_label="?", **FAST).fit(X, other)
    unweighed = StructuredMapClassifier(**FAST).fit(X, y, sample_weight=weight)
    assert np.array_equal(ignored.predict_proba(X), unweighed.predict_proba(X))
    assert ignored.score(X, other) == unweighed.score(X, y, sample_weight=weight)
    assert "?" not in ignored.classes_


def test_class_weights_are_weights_of_places():
    rng = np.random.default_rng(1)
    X, y = map(np.stack, zip(*(scene(rng, (16, 16)) for _ in range(6)), strict=True))
    factor = {ONE: 3.0, ROUND: 2.0, BACKGROUND: 0.5}
    by_class = StructuredMapClassifier(class_weight=factor, **FAST).fit(X, y)
    weight = np.vectorize(factor.get)(y)
    by_place = StructuredMapClassifier(**FAST).fit(X, y, sample_weight=weight)
    assert np.array_equal(by_class.predict_proba(X), by_place.predict_proba(X))


def test_the_loss_is_the_weighted_mean_over_places():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=rng)
    y, weight = torch.randint(3, (2, 4, 5), generator=rng), torch.rand(2, 4, 5, generator=rng)
    loss = AtPlaces(CrossEntropy()).of(logits, (y, weight))
    by_place = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    torch.testing.assert_close(loss, (by_place * weight).mean((1, 2)))


@pytest.mark.parametrize("shape", [(30,), (11, 12), (7, 8, 9)], ids=str)
def test_values_of_signals_images_and_volumes(shape):
    """A smoothing is linear, and so is learned well; channels are told apart."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, *shape))
    smooth = np.stack([gaussian_filter(one, 1.0) for one in X])
    layout = ("L", "HW", "DHW")[len(shape) - 1]
    model = StructuredMapRegressor(layout=layout, batch_size=4, lr=0.02, random_state=0)
    model.set_params(architecture=FrameFCN(widths=(8,)), max_epochs=20)
    assert model.fit(X[:16], 5 + 3 * smooth[:16]).score(X[16:], 5 + 3 * smooth[16:]) > 0.7
    y = np.stack([smooth, -2 * smooth], axis=1)
    y[0, 1, 0] = np.nan
    both = model.fit(X, y).predict(X)
    assert both.shape == y.shape
    assert np.corrcoef(both[:, 0].ravel(), both[:, 1].ravel())[0, 1] < -0.9


def test_crops_and_moves_take_maps_along():
    """The map is the image itself, so any piece and any motion must keep them equal."""
    rng = np.random.default_rng(0)
    X = [rng.random((1, *extents)).astype(np.float32) for extents in ((9, 14), (20, 11), (6, 6))]
    ones = [np.ones(x.shape[1:], np.float32) for x in X]
    samples = MapSamples(X, X, ones, torch.from_numpy, crop=(8, 10))
    generator = torch.Generator().manual_seed(0)
    batch = samples.batch(np.arange(3), generator)
    x, (y, weight) = batch
    assert x.shape == (3, 1, 8, 10)
    assert torch.equal(x, y)
    assert weight.flatten(1).sum(1).tolist() == [80, 80, 36]  # of the small one, what there is
    augment = Augment(shift=0.2, rotation=30, scale=0.2, flip=True, elastic=0.05)
    x, (y, weight) = samples.changed(batch, augment, generator)
    torch.testing.assert_close(x, y)
    labels = MapSamples(
        X, [(x[0] > 0.5).astype(np.int64) for x in X], ones, torch.from_numpy, (6, 6)
    )
    batch = labels.changed(labels.batch(np.arange(3), generator), Augment(flip=(0, 1)), generator)
    assert torch.equal(batch[0][:, 0] > 0.5, batch[1][0] == 1)
    with pytest.raises(TypeError, match="moves the maps"):
        labels.changed(batch, lambda x, generator: x, generator)


def test_scikit_learn_drives_them():
    rng = np.random.default_rng(1)
    X, y = map(np.stack, zip(*(scene(rng, (16, 16)) for _ in range(9)), strict=True))
    quick = StructuredMapClassifier(**FAST | {"max_epochs": 2})
    scores = cross_val_score(quick, X, y, cv=3)
    by_hand = clone(quick).fit(X[3:], y[3:]).score(X[:3], y[:3])
    assert scores[0] == by_hand
    grid = {"architecture__frame": ["gaussian", "pixel"], "architecture__widths": [(4,), (4, 4)]}
    assert GridSearchCV(quick, grid, cv=2).fit(X, y).best_score_ > 0.3


def test_training_goes_on_and_stops_early():
    rng = np.random.default_rng(1)
    X, y = map(np.stack, zip(*(scene(rng, (16, 16)) for _ in range(10)), strict=True))
    model = StructuredMapClassifier(**FAST | {"max_epochs": 3}, warm_start=True).fit(X, y)
    assert model.fit(X, y).n_iter_ == 6
    with pytest.raises(ValueError, match="warm_start"):
        model.fit(X, np.where(y == ONE, ROUND, y))
    by_epoch = StructuredMapClassifier(**FAST)
    for _ in range(2):
        by_epoch.partial_fit(X, y, classes=[ONE, ROUND, BACKGROUND, "spare"])
    assert (by_epoch.n_iter_, len(by_epoch.classes_)) == (2, 4)
    stopping = StructuredMapClassifier(**FAST, early_stopping=True, n_iter_no_change=2)
    stopping.fit(X, y, groups=np.arange(10) // 2)
    assert "valid_loss" in stopping.net_.history[-1]


X, Y = np.random.default_rng(0).random((4, 6, 6)), np.arange(4 * 36).reshape(4, 6, 6) % 2


@pytest.mark.parametrize(
    "params, data, message",
    [
        ({}, (X, Y[:3]), "inconsistent"),
        ({}, (X, Y[:, :5]), r"y\[0\] must have the places of X\[0\], \(6, 6\)"),
        ({}, (X, Y * 0), "one class"),
        ({}, (X, Y + 0.5), "Unknown label type"),
        ({}, ([], []), "at least one image"),
        ({}, (np.where(X > 0.9, np.nan, X), Y), r"X\[0\] contains NaN"),
        ({}, ([X[0], X[1, None]], Y[:2]), r"X\[1\] must have the axes of all samples, HW,"),
        ({}, ([X[0], X[1, :, :0]], Y[:2]), r"X\[1\] must have .* at least, got shape \(6, 0\)"),
        ({}, (X, None), "requires y to be passed"),
        ({"layout": "CHW"}, ([X[:2], X[:3]], Y[:2]), r"X\[1\] must have 2 channels"),
        ({}, (X, Y, -np.ones(4)), r"sample_weight\[0\]"),
        ({}, (X, Y, np.ones((4, 5, 6))), r"sample_weight\[0\] must be a number, or a map"),
        ({}, (X, Y, np.zeros(4)), "No place has weight"),
        ({"ignored_label": 1}, (X, Y * 0 + 1), "says nothing"),
        ({"crop": (3,)}, (X, Y), "crop must be a number or one for each of 2 axes"),
        ({"crop": 0}, (X, Y), "crop"),
        ({"tile": -1}, (X, Y), "tile"),
        ({"overlap": 1.0}, (X, Y), "overlap"),
        ({"architecture": "rfnn"}, (X, Y), "needs an architecture that gives maps"),
        ({"augment": lambda x, generator: x}, (X, Y), "moves the maps"),
    ],
)
def test_bad_input_is_named(params, data, message):
    with pytest.raises((ValueError, TypeError), match=message):
        StructuredMapClassifier(**{"max_epochs": 1, **params}).fit(*data)


@pytest.mark.parametrize("by", ["class_weight", "sample_weight"])
def test_a_class_without_weight_is_left_out(by):
    labels = np.random.default_rng(0).integers(0, 3, size=Y.shape)
    weight = [(one != 0).astype(float) for one in labels] if by == "sample_weight" else None
    model = StructuredMapClassifier(max_epochs=1, random_state=0)
    if by == "class_weight":
        model.set_params(class_weight={0: 0, 1: 1, 2: 1})
    model.fit(X, labels, sample_weight=weight, X_val=X, y_val=labels)
    assert model.classes_.tolist() == [1, 2]
    assert set(np.unique(model.predict(X))) <= {1, 2}
    with pytest.raises(ValueError, match="at least two classes with weight, got one class: 2"):
        model.set_params(class_weight={0: 0, 1: 0, 2: 1}).fit(X, labels)


def test_what_is_no_map_is_refused(model):
    with pytest.raises(TypeError, match="StructuredMapClassifier"):
        StructuredClassifier(architecture="frame_fcn").fit(X, [0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        StructuredMapClassifier().predict(X)
    with pytest.raises(ValueError, match="one shape"):
        model.transform([X[0], X[0, :5]])
    with pytest.raises(ValueError, match=r"2 channels|axes"):
        model.predict(np.zeros((1, 2, 9, 9)))
