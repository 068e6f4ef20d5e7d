"""Boundaries: what annotators say, what is learned of it, and the network that learns it."""

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklstruct_boundaries.architecture import DynResNet
from sklstruct_boundaries.detector import Boundaries

from sklstruct import BoundaryDetector, StructuredMapClassifier, boundary_scores
from sklstruct.estimators import load_model, save_model
from sklstruct.training import AtPlaces, BinaryCrossEntropy, PosePenalty

TINY = {"stem": 4, "widths": (8, 8), "top": 8, "crop": 16, "random_state": 0}


def half_planes(seed, n, extents=None, channels=(), smallest=24):
    """Return images of two grey values and noise, and the straight edge between them."""
    rng = np.random.default_rng(seed)
    images, edges = [], []
    for _ in range(n):
        shape = extents or tuple(rng.integers(smallest, 2 * smallest, size=2))
        y, x = np.indices(shape) - np.reshape(shape, (2, 1, 1)) / 2
        angle = rng.uniform(0, 2 * np.pi)
        side = np.cos(angle) * x + np.sin(angle) * y > rng.uniform(-6, 6)
        edge = np.zeros(shape, bool)
        edge[:-1] |= side[:-1] != side[1:]
        edge[:, :-1] |= side[:, :-1] != side[:, 1:]
        noise = rng.normal(0, 0.3, size=(*shape, *channels))
        image = noise + side.reshape(*shape, *(1 for _ in channels))
        images.append(gaussian_filter(image, (0.5, 0.5, *(0 for _ in channels))))
        edges.append(edge)
    return images, edges


@pytest.fixture(scope="module")
def model():
    images, edges = half_planes(0, 30, channels=(3,))
    params = {"max_epochs": 20, "batch_size": 5, "crop": 24, "augment": None}
    return BoundaryDetector(**TINY | params).fit(images, edges)


def test_straight_edges_are_found_in_images_of_any_shape(model):
    images, edges = half_planes(1, 10, channels=(3,), smallest=60)
    maps = model.predict_proba(images)
    assert {image.shape[0] > image.shape[1] for image in images} == {True, False}
    assert [one.shape for one in maps] == [one.shape for one in edges]
    assert all(0 <= one.min() <= one.max() <= 1 for one in maps)
    assert boundary_scores(maps, edges, tolerance=0.02).ods > 0.85
    assert model.score(images, edges) == boundary_scores(maps, edges).ods
    for image, alone in zip(images, maps, strict=True):
        np.testing.assert_allclose(model.predict_proba([image])[0], alone, atol=1e-5)
    same, _ = half_planes(2, 3, (24, 30), channels=(3,))
    proba, logits = model.predict_proba(same), model.decision_function(np.stack(same))
    assert proba.shape == (3, 24, 30)
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    assert np.array_equal(model.predict(same), proba >= 0.5)
    channels_first = pickle.loads(pickle.dumps(model)).set_params(layout="CHW")
    channels_first.layout_ = "CHW"
    moved = channels_first.predict_proba(np.moveaxis(np.stack(same), -1, 1))
    assert np.array_equal(moved, proba)


def test_tiles_give_the_whole_image(model):
    image = half_planes(3, 1, (64, 64), channels=(3,))[0]
    whole = model.predict_proba(image)
    tiled = pickle.loads(pickle.dumps(model))
    assert np.array_equal(tiled.set_params(tile=64).predict_proba(image), whole)
    # Tiles of 32 that begin at multiples of the coarsest stride differ near their borders only.
    tiled = tiled.set_params(tile=32, overlap=0.5).predict_proba(image)
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.9


MARKS = np.array([[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 0]]])


@pytest.mark.parametrize(
    "rule, wanted",
    [
        ("share", [0.8, 0.6, 0.2, 0]),
        ("majority", [1, 1, 0, 0]),
        ("more than two", [1, 1, 0, 0]),
        ("consensus", [1, 1, np.nan, 0]),
    ],
)
def test_annotators_make_one_map(rule, wanted):
    model = BoundaryDetector(annotators=rule)
    model.layout_ = "HW"
    for given in (MARKS, list(MARKS), torch.from_numpy(MARKS), MARKS.astype(bool)):
        seen = model._read_map(0, (given, (1, 4)))
        np.testing.assert_array_equal(seen, np.float32([wanted]))
    if rule != "more than two":
        single = model._read_map(0, (MARKS[0], (1, 4)))
        np.testing.assert_array_equal(single, MARKS[0])
    four = model._read_map(0, (MARKS[:4], (1, 4)))[0, 1:3]
    expected = {"share": [0.75, 0.25], "consensus": [1, np.nan]}
    np.testing.assert_array_equal(four, expected.get(rule, [1, 0]))


def test_boundaries_weigh_as_much_as_all_the_rest():
    rng = np.random.default_rng(0)
    maps = [rng.choice([0, 0, 0, 0.3, 1, np.nan], size=(5, 7)).astype(np.float32) for _ in "abc"]
    target = Boundaries.of(maps, estimator=BoundaryDetector(balance=1.0))
    losses = {0: 0.0, 1: 0.0}
    for y in maps:
        values, says = target.encode(y, "float64")
        assert np.array_equal(says, ~np.isnan(y))
        y, weight = torch.from_numpy(values)[None], torch.from_numpy(says * 1.0)[None]
        for label in losses:  # of logits of 0, by what is a boundary and by what is not
            part = y * weight if label else (1 - y) * weight
            objective, outputs = target.objective(0), torch.zeros(1, 1, 5, 7).double()
            losses[label] += objective(lambda x: x, outputs, (y * 0 + label, part)).item()
    assert losses[0] == pytest.approx(losses[1])
    half = Boundaries.of(maps, estimator=BoundaryDetector(balance=0.5))
    assert half.pos_weight**2 == pytest.approx(target.pos_weight)


def test_the_static_twin_has_as_many_parameters_and_sees_as_much():
    seen = {}
    for pose in ("learned", "max", "fixed"):
        torch.manual_seed(0)
        network = DynResNet(pose=pose).build((3, 96, 96), 1).double().eval()
        n_parameters = sum(weights.numel() for weights in network.parameters())
        x = torch.randn(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
        network(x)[0, 0, 128, 128].backward()
        rows = x.grad.abs().amax((0, 1, 3)) > 0
        seen[pose] = n_parameters, rows.nonzero().min().item(), rows.nonzero().max().item()
    assert seen["learned"][0] <= 150_000
    assert abs(seen["learned"][0] / seen["fixed"][0] - 1) < 0.05
    assert seen["learned"][1:] == seen["fixed"][1:]


def test_every_side_learns():
    """A network that returns its sides in training only, and sums the losses of all of them."""
    network = DynResNet(stem=4, widths=(4, 4), top=4, side_outputs=True).build((1, 17, 23), 1)
    x = torch.randn(2, 1, 17, 23)
    fused, *sides = network(x)
    assert len(sides) == 3
    assert all(side.shape == (2, 1, 17, 23) for side in (fused, *sides))
    torch.testing.assert_close(network.fuse(torch.cat(sides, 1)), fused)
    y = (x[:, 0] > 1).float(), torch.ones(2, 17, 23)
    objective = Boundaries(3.0).objective(0)
    losses = objective(lambda x: [fused, *sides], x, y)
    torch.testing.assert_close(losses, sum(objective.base.of(one, y) for one in (fused, *sides)))
    assert torch.is_tensor(network.eval()(x))
    images, edges = half_planes(0, 4)
    model = BoundaryDetector(**TINY, side_outputs=True, max_epochs=2).fit(images, edges)
    assert model.predict_proba(images)[0].shape == edges[0].shape


def test_images_of_any_extents():
    rng = np.random.default_rng(0)
    shapes = [(1, 1), (1, 9), (2, 2), (7, 5), (17, 23)]
    images = [rng.random(shape) for shape in shapes]
    maps = [image > 0.5 for image in images]
    model = BoundaryDetector(**TINY, max_epochs=1).fit(images, maps)
    assert [one.shape for one in model.predict(images)] == shapes
    alone = BoundaryDetector(**TINY, max_epochs=1).fit(images[-1:], maps[-1:])
    assert alone.predict_proba(images[:1])[0].shape == (1, 1)


def test_pieces_are_no_larger_than_images():
    images, edges = half_planes(0, 4)
    largest = tuple(np.max([edge.shape for edge in edges], axis=0).tolist())
    fits = [
        BoundaryDetector(**TINY | {"crop": crop, "max_epochs": 1}).fit(images, edges)
        for crop in (largest, 192)
    ]
    assert fits[1].in_shape_ == (1, *largest)
    assert np.array_equal(*(fit.predict_proba(images)[0] for fit in fits))


def test_scikit_learn_drives_it():
    images, edges = half_planes(0, 6)
    quick = BoundaryDetector(**TINY, max_epochs=1)
    grid = {"pose": ["learned", "fixed"], "side_outputs": [False, True]}
    search = GridSearchCV(quick, grid, cv=2, error_score="raise").fit(images, edges)
    assert set(search.best_params_) == set(grid)
    assert 0 < search.best_score_ <= 1
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()
    assert GridSearchCV(quick, {"preset": ["small"]}, cv=2).fit(images, edges).best_score_ > 0


def test_models_are_kept(model, tmp_path):
    image = half_planes(5, 1, channels=(3,))[0]
    expected = model.predict_proba(image)[0]
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(image)[0], expected)
    model = clone(model).set_params(
        objective=PosePenalty(AtPlaces(BinaryCrossEntropy())), max_epochs=1
    )
    model.fit(*half_planes(0, 4, channels=(3,)))
    expected = model.predict_proba(image)[0]
    save_model(model, tmp_path / "model.sklstruct")
    loaded = load_model(tmp_path / "model.sklstruct")
    assert np.array_equal(loaded.predict_proba(image)[0], expected)
    assert loaded.target_.pos_weight == model.target_.pos_weight
    assert loaded.objective == model.objective


def test_training_goes_on_and_stops_early():
    images, edges = half_planes(0, 6)
    model = BoundaryDetector(**TINY, max_epochs=2, warm_start=True).fit(images, edges)
    assert model.fit(images, edges).n_iter_ == 4
    bit_by_bit = BoundaryDetector(**TINY).partial_fit(images[:3], edges[:3])
    before = bit_by_bit.target_.pos_weight
    bit_by_bit.partial_fit(images[3:], [edge & False for edge in edges[3:]])
    assert len(bit_by_bit.net_.history) == 2
    assert bit_by_bit.target_.pos_weight == before
    stopping = BoundaryDetector(**TINY, max_epochs=2, early_stopping=True).fit(images, edges)
    assert "valid_loss" in stopping.net_.history[-1]
    weighted = BoundaryDetector(**TINY, max_epochs=1)
    weighted.fit(images, edges, sample_weight=[1, 1, 1, 1, 1, 0])
    assert weighted.target_.pos_weight != model.target_.pos_weight


def test_any_classes_with_its_network():
    images, edges = half_planes(0, 4)
    labels = [np.where(edge, "edge", "plain") for edge in edges]
    for side_outputs in (False, True):
        network = DynResNet(widths=(8,), side_outputs=side_outputs)
        model = StructuredMapClassifier(architecture=network, crop=16, max_epochs=1, random_state=0)
        assert model.fit(images, labels).predict_proba(images)[0].shape == (2, *edges[0].shape)


X, Y = np.random.default_rng(0).random((4, 6, 7)), np.arange(4 * 42).reshape(4, 6, 7) % 3 == 0


@pytest.mark.parametrize(
    "params, data, message",
    [
        ({}, (X, Y[:3]), "inconsistent"),
        ({}, (X, Y[:, :5]), r"y\[0\] must be a map of the places of X\[0\], \(6, 7\)"),
        ({}, (X, Y.swapaxes(1, 2)), r"y\[0\] must be a map of the places of X\[0\], \(6, 7\)"),
        ({}, (X, [Y[0], Y[:0], Y[2], Y[3]]), r"y\[1\] .* annotators, got shape \(0, 6, 7\)"),
        ({}, (X, [0, 1, 2, 3]), r"y\[0\] .* annotators, got shape \(\)"),
        ({}, (X[0], Y[0]), r"X\[0\] has shape \(7,\): a single image is \[image\]"),
        ({"pose_context": 2}, (X, Y), "pose_context of BoundaryDetector must be an odd integer"),
        (
            {"crop": None, "batch_size": 1},
            (X[:, :1, :1], Y[0, :1, :4].reshape(4, 1, 1)),
            "too small",
        ),
        ({}, (X, [Y[0], [Y[1], Y[1, :5]], *Y[2:]]), r"y\[1\] .* \[\(6, 7\), \(5, 7\)\]"),
        ({}, (X, Y * 255), r"y\[0\] must have values from 0 to 1, got some from 0 to 255"),
        ({}, (X, np.where(Y, np.nan, 0)), r"y\[0\] must have values from 0 to 1"),
        ({}, (X, Y & False), "y must have boundaries and places without, got no boundary"),
        ({}, (X, Y | True), "got no place without a boundary"),
        ({"annotators": "more than two"}, (X, Y), r"at least three of them, y\[0\] has 1"),
        ({"annotators": "all"}, (X, Y), "annotators of BoundaryDetector must be one of"),
        ({"threshold": 2}, (X, Y), "threshold"),
        ({"widths": ()}, (X, Y), "widths"),
        ({"strides": (1, 2, 2)}, (X, Y), "strides has 3 entries for 2 stages"),
        (
            {},
            ([X[0], np.stack([X[1]] * 3, 2)], Y[:2]),
            "must have the axes of all samples, HW",
        ),
        ({"layout": "HWC"}, ([X[0, ..., None], np.stack([X[1]] * 3, 2)], Y[:2]), "1 channels"),
        ({"frame": "pixel"}, (X, Y), "steered"),
    ],
)
def test_bad_input_is_named(params, data, message):
    with pytest.raises(ValueError, match=message):
        BoundaryDetector(**TINY | {"max_epochs": 1, **params}).fit(*data)
