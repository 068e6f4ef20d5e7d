"""The estimators as a scikit-learn user meets them."""

import os
import pickle
import subprocess
import sys
from types import FunctionType

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from PIL import Image
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklstruct_rfnn.architecture import RFNN
from skorch.callbacks import Callback
from torch import nn

import sklstruct
from sklstruct import Architecture, plugins
from sklstruct.estimators import Augment, NetworkEstimator
from sklstruct.estimators.samples import decide_layout
from sklstruct.estimators.stack import LinearStack
from sklstruct.frames import FrameFamily, GaussianDerivatives, Pixels
from sklstruct.inspection import FrameDisplay
from sklstruct.layers import FrameConv, to_dense
from sklstruct.params import plain

RFNNClassifier, RFNNRegressor = sklstruct.RFNNClassifier, sklstruct.RFNNRegressor
StructuredClassifier = sklstruct.StructuredClassifier
StructuredRegressor = sklstruct.StructuredRegressor
SMALL = {"widths": (8, 8), "max_epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:120] / 16).reshape(-1, 8, 8).astype(np.float32), y[:120]


def small(cls):
    """Return an estimator for the toy problems of the checks: few features, little time."""
    known = cls().get_params(deep=False)
    params = {"lr": 0.1, "max_epochs": 20} if "max_epochs" in known else {}
    if "widths" in known:
        params |= {"widths": (8, 8) if "scales" in known else (8,), "batch_size": 50}
    if "blocks" in known:  # whose features are means over what the checks mean by features
        params |= {"widths": (32,), "dropout": 0.0}
    if {"depth", "frame"} <= known.keys() and "widths" not in known:
        shape = {"depth": 8, "width": 4} if "width" in known else {"depth": 7, "growth": 4}
        params |= {**shape, "batch_size": 100, "max_epochs": 15}
    if "n_attributes" in known:
        params = {"depth": 4, "n_factors": 4, "batch_size": 25, "max_epochs": 30, "lr": 0.1}
    if "network" in known:
        network = StructuredClassifier if "svm" in known["linear"] else StructuredRegressor
        params = {"network": network(max_epochs=2), "cv": 2}
        if "svm" in known["linear"]:
            params["linear"] = sklstruct.VoxelSVC(C=1.0)
    if {"C", "n_components"} <= known.keys():
        params = {"C": 1.0, "n_components": 2}  # nothing to choose
    if "front" in known:  # its samples of two places say little, however long it trains
        params = {"J": 1, "width": 8, "max_epochs": 4}
    if "learn_threshold" in known:
        params = {"tau": 0.1}  # of samples of two places more would forget too much
    if {"dictionaries", "C"} <= known.keys():
        params = {"dictionaries": (4,), "size": 2}
    return cls(**{"J": 1, **params} if "J" in known else params)


def estimator_classes():
    """Return what is registered, under one name or several."""
    entries = plugins.entries("estimator").values()
    return list(dict.fromkeys(entry.load() for entry in entries))


# scikit-learn's own checks -----------------------------------------------------------------------


REPETITIONS = (
    "a repeated sample meets other companions in its batch, in batch norm and under dropout than "
    "a weighted one does; the two agree where none of these is at work, see "
    "test_weights_are_repetitions"
)
TWO_PLACES = (
    "its samples are points with two coordinates, which are read as signals of two places: "
    "scattering averages over both and forgets which one was larger"
)


def expected_failures(estimator):
    if not isinstance(estimator, NetworkEstimator | LinearStack):
        return {}
    failures = {"check_sample_weight_equivalence_on_dense_data": REPETITIONS}
    if isinstance(estimator, sklstruct.ScatteringNetClassifier):
        failures["check_classifiers_train"] = TWO_PLACES
    return failures


def takes_rows(cls):
    """Return whether the generic checks, which feed rows of numbers, have anything to say."""
    return cls().__sklearn_tags__().input_tags.two_d_array


CHECKED_ELSEWHERE = {  # in both precisions, or with other parameters too
    *("PixelSVC", "ScatteringSVC", "ScatteringLinear", "ScatteringPCAClassifier"),
    *("ScatteringTransformer", "WindowedFourierTransformer", "WaveletModulusTransformer"),
}


@parametrize_with_checks(
    [
        small(cls)
        for cls in estimator_classes()
        if takes_rows(cls) and cls.__name__ not in CHECKED_ELSEWHERE
    ],
    expected_failed_checks=expected_failures,
)
@pytest.mark.filterwarnings("ignore")  # the checks feed warnings on purpose
def test_scikit_learn(estimator, check):
    check(estimator)


# parameters --------------------------------------------------------------------------------------

OTHER_VALUES = {
    str: "other",
    bool: None,
    int: 7,
    float: 0.37,
    type(None): 3,
    tuple: (1, 2),
}


@pytest.mark.parametrize("cls", estimator_classes(), ids=lambda cls: cls.__name__)
def test_setting_a_parameter_is_constructing_with_it(cls):
    for name, value in cls().get_params(deep=False).items():
        other = not value if isinstance(value, bool) else OTHER_VALUES[type(value)]
        assert cls().set_params(**{name: other}).get_params() == cls(**{name: other}).get_params()


@pytest.mark.parametrize("cls", estimator_classes(), ids=lambda cls: cls.__name__)
def test_the_global_generators_are_left_alone(cls, digits):
    model = small(cls)
    if not takes_rows(cls):
        pytest.skip("it takes no images")
    known = model.get_params(deep=False)
    params = {"random_state": 0, "max_epochs": 1, "augment": "digits"}
    model.set_params(**{name: value for name, value in params.items() if name in known})
    np.random.seed(7)  # noqa: NPY002 -- the generator that must not be touched
    wanted = np.random.rand()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    state = torch.get_rng_state()
    model.fit(digits[0][:60], digits[1][:60] % 3)
    assert np.random.rand() == wanted  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("frame", ["gaussian", GaussianDerivatives()], ids=["name", "object"])
def test_nested_parameters_reach_the_kernels(digits, frame):
    model = RFNNClassifier(frame=frame, **SMALL).set_params(frame__order=1, frame__scales=(1.5,))
    assert model.frame == GaussianDerivatives(order=1, scales=(1.5,))
    layer = model.fit(*digits).net_.module_.stages[0][0]
    assert (len(layer.frame), layer.frame.support) == (3, (11, 11))


def test_nested_parameters_of_an_augmentation_name():
    model = RFNNClassifier(augment="digits").set_params(augment__rotation=3.0)
    assert isinstance(model.augment, Augment)
    assert model.augment.rotation == 3.0


@pytest.mark.parametrize(
    "params, message",
    [
        ({"frame__ordr": 2}, "ordr"),
        ({"augment__rotation": 2}, "augment=None has none"),
        ({"widths__0": 2}, "widths"),
        ({"nonsense": 2}, "nonsense"),
        ({"nonsense__order": 2}, "nonsense"),
    ],
)
def test_a_parameter_that_does_not_exist_is_never_ignored(params, message):
    with pytest.raises(ValueError, match=message):
        RFNNClassifier().set_params(**params)


@pytest.mark.parametrize("base, name", [(Architecture, "width"), (RFNNClassifier, "max_epochs")])
def test_a_value_without_a_type_is_refused_where_it_would_be_no_parameter(base, name):
    message = f"{name} of Tiny has no type, and so is no parameter: write {name}: int = 16, or"
    with pytest.raises(TypeError, match=message):
        type("Tiny", (base,), {name: 16})
    typed = {name: 16, "__annotations__": {name: "int"}, "dense": False, "_own": 3}
    assert getattr(type("Tiny", (base,), typed)(**{name: 8}), name) == 8


def test_parameters_of_a_sequence_go_to_those_that_have_them():
    frames = GaussianDerivatives(), Pixels(), GaussianDerivatives(order=1)
    model = RFNNClassifier(frame=frames).set_params(frame__order=2)
    assert model.frame == (GaussianDerivatives(order=2), Pixels(), GaussianDerivatives(order=2))
    assert frames[0].order == 3, "what was given must stay as it is"
    with pytest.raises(ValueError, match="ordr"):
        model.set_params(frame__ordr=2)


def test_a_parameter_that_cannot_be_set_leaves_the_others():
    model = RFNNClassifier()
    with pytest.raises(ValueError, match="ordr"):
        model.set_params(widths=(3,), frame__ordr=2)
    assert (model.widths, model.frame) == (None, "gaussian")


@pytest.mark.parametrize("architecture", ["rfnn", RFNN, RFNN()], ids=["name", "class", "object"])
def test_any_architecture_is_searched_like_a_named_estimator(digits, architecture):
    rest = {"max_epochs": 3, "random_state": 0}
    generic = StructuredClassifier(architecture=architecture, **rest)
    grid = {"architecture__widths": [(4,), (8, 8)], "architecture__frame__order": [1, 2]}
    search = GridSearchCV(generic, grid, cv=2).fit(*digits)
    named = {key.removeprefix("architecture__"): values for key, values in grid.items()}
    expected = GridSearchCV(RFNNClassifier(**rest), named, cv=2).fit(*digits)
    for key in ("mean_test_score", "rank_test_score"):
        assert np.array_equal(search.cv_results_[key], expected.cv_results_[key])
    best = search.best_estimator_
    assert np.array_equal(best.predict_proba(digits[0]), expected.predict_proba(digits[0]))
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        generic.set_params(architecture__width=3)


def test_architectures_are_values():
    assert RFNN(widths=(8,)) == RFNN(widths=[8]) != RFNN(widths=(9,))
    paper = RFNN.from_preset("paper")
    assert (paper.norm, paper.padding) == ("crossmap", ("same", "full", "full"))
    with pytest.raises(ValueError, match="preset must be one of"):
        RFNN.from_preset("papr")
    model = RFNNClassifier()
    assert model != clone(model)  # but an estimator is itself alone
    assert {model: 1}[model] == 1
    assert "RFNNClassifier()" in repr(model)


def test_grid_search_over_order_and_scale(digits):
    grid = {"frame__order": [0, 1, 2], "frame__scales": [(1.0,), (1.5,)]}
    search = GridSearchCV(RFNNClassifier(**SMALL), grid, cv=2).fit(*digits)
    results = pd.DataFrame(search.cv_results_)
    for order, scales, score in results[
        ["param_frame__order", "param_frame__scales", "mean_test_score"]
    ].itertuples(index=False):
        frame = GaussianDerivatives(order=order, scales=scales)
        by_hand = cross_val_score(RFNNClassifier(frame=frame, **SMALL), *digits, cv=2)
        assert score == by_hand.mean()
    assert search.best_estimator_.frame == GaussianDerivatives(
        order=search.best_params_["frame__order"], scales=search.best_params_["frame__scales"]
    )


# how samples are read ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, layout",
    [
        ((64,), "L"),
        ((28, 28), "HW"),
        ((1, 28, 28), "CHW"),
        ((3, 32, 32), "CHW"),
        ((32, 32, 3), "HWC"),
        ((3, 32, 3), "CHW"),
        ((31, 40, 24), "DHW"),
        ((2, 31, 40, 24), "CDHW"),
        ((31, 40, 24, 2), "DHWC"),
        ((5, 31, 40, 24), "CDHW"),
    ],
)
def test_the_rule_of_layouts(shape, layout):
    assert decide_layout(shape) == layout


@pytest.mark.parametrize(
    "as_given",
    [
        lambda X: (X.reshape(len(X), -1), {"image_shape": (8, 8)}),
        lambda X: (X.reshape(len(X), -1), {"image_shape": (1, 8, 8)}),
        lambda X: (X[:, None], {}),
        lambda X: (X[..., None], {}),
        lambda X: (X[:, :, None, :], {"layout": "HWC", "image_shape": None, "swap": True}),
        lambda X: (torch.tensor(X), {}),
        lambda X: (pd.DataFrame(X.reshape(len(X), -1)).add_prefix("p"), {"image_shape": (8, 8)}),
        lambda X: (X.astype(np.float64), {}),
        lambda X: (np.asfortranarray(X), {}),
    ],
    ids=["rows", "rows-c", "nchw", "nhwc", "layout", "tensor", "frame", "float64", "fortran"],
)
def test_one_image_many_ways(digits, as_given):
    X, y = digits
    expected = RFNNClassifier(**SMALL).fit(X, y).predict_proba(X)
    given, params = as_given(X)
    if params.pop("swap", False):
        given = given.swapaxes(2, 3)
    model = RFNNClassifier(**SMALL, **params).fit(given, y)
    assert np.array_equal(model.predict_proba(given), expected)


def test_read_only_memory_maps(digits, tmp_path):
    X, y = digits
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = RFNNClassifier(**SMALL).fit(X, y).predict(X)
    assert np.array_equal(RFNNClassifier(**SMALL).fit(mapped, y).predict(mapped), expected)


@pytest.mark.parametrize("shape", [(24,), (2, 6, 5), (9, 8, 3), (6, 5, 7), (2, 6, 5, 4)])
def test_signals_images_and_volumes(shape):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, *shape)), np.repeat(["a", "b"], 6)
    model = RFNNClassifier(**SMALL | {"widths": (2, 2)}).fit(X, y)
    assert model.predict_proba(X).shape == (12, 2)
    assert set(model.predict(X)) <= {"a", "b"}


@pytest.mark.parametrize("y", ["abcdefghij", np.arange(10) - 3, np.arange(10.0), np.arange(10) * 9])
def test_any_labels(digits, y):
    X, numbers = digits
    labels = np.array(list(y))[numbers]
    model = RFNNClassifier(**SMALL).fit(X, labels)
    assert np.array_equal(model.classes_, np.unique(labels))
    reference = RFNNClassifier(**SMALL).fit(X, numbers).predict_proba(X)
    order = np.argsort(np.array(list(y)))
    assert np.array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(1)])
    if np.array_equal(order, np.arange(10)):
        assert np.array_equal(model.predict_proba(X), reference)


# what training promises --------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [RFNNClassifier, RFNNRegressor])
def test_equal_seeds_give_equal_bits(digits, cls):
    outputs = [cls(**SMALL, augment="digits").fit(*digits)._outputs(digits[0]) for _ in range(2)]
    assert np.array_equal(*outputs)
    other = cls(**SMALL | {"random_state": 1}, augment="digits").fit(*digits)
    assert not np.array_equal(outputs[0], other._outputs(digits[0]))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_parallel_fits_equal_serial_ones(digits, backend):
    models = [
        RFNNClassifier(**SMALL | {"random_state": seed}, augment="digits") for seed in range(2)
    ]
    serial = [clone(model).fit(*digits).predict_proba(digits[0]) for model in models]
    jobs = (delayed(fit_predict)(model, *digits) for model in models)
    parallel = Parallel(n_jobs=2, backend=backend)(jobs)
    assert all(map(np.array_equal, serial, parallel))


def fit_predict(model, X, y):
    return model.fit(X, y).predict_proba(X)


def test_a_sample_without_weight_is_a_sample_left_out(digits):
    X, y = digits
    weight = np.arange(len(X)) % 3 > 0
    weighted = RFNNClassifier(**SMALL).fit(X, y, sample_weight=weight.astype(float))
    assert np.array_equal(
        weighted.predict_proba(X),
        RFNNClassifier(**SMALL).fit(X[weight], y[weight]).predict_proba(X),
    )


def test_weights_are_repetitions(digits):
    X, y = digits[0].astype(float), digits[1]
    weight = np.arange(len(X)) % 3 + 1
    model = StructuredClassifier(
        batch_size=1000, optimizer="sgd", dtype="float64", max_epochs=20, random_state=0
    )
    weighted = clone(model).fit(X, y, sample_weight=weight)
    repeated = clone(model).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_allclose(
        weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-9, atol=1e-12
    )


def test_class_weights_are_sample_weights(digits):
    X, y = digits
    per_class = {label: 1.0 + label for label in range(10)}
    by_class = RFNNClassifier(**SMALL, class_weight=per_class).fit(X, y)
    by_sample = RFNNClassifier(**SMALL).fit(X, y, sample_weight=1.0 + y)
    assert np.array_equal(by_class.predict_proba(X), by_sample.predict_proba(X))


def test_a_class_of_weight_zero_is_left_out(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL, early_stopping=True, class_weight={3: 0, 4: 0})
    assert model.fit(X, y).classes_.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]
    by_sample = RFNNClassifier(**SMALL).fit(X, y, sample_weight=(y != 3) & (y != 4))
    by_class = RFNNClassifier(**SMALL, class_weight={3: 0, 4: 0}).fit(X, y)
    assert np.array_equal(by_class.predict_proba(X), by_sample.predict_proba(X))
    with pytest.raises(ValueError, match="two classes with weight, got one class: 0"):
        model.set_params(class_weight=dict.fromkeys(range(1, 10), 0)).fit(X, y)
    online = RFNNClassifier(**SMALL, class_weight={3: 0}).partial_fit(X, y, classes=range(10))
    before = online.predict_proba(X)
    online.partial_fit(X[y == 3], y[y == 3])  # says nothing
    assert np.array_equal(online.predict_proba(X), before)
    with pytest.raises(ValueError, match="those of the first call"):
        online.partial_fit(X, y, classes=range(11))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2, 120)])
def test_a_constant_channel_has_scale_one(digits, dtype, weights):
    X, y = digits
    X = np.stack([X, np.full_like(X, 0.1), X.astype(np.float64) * 1e-7 + 3e3], axis=1)
    model = RFNNClassifier(**SMALL, dtype=dtype).fit(X, y, sample_weight=weights)
    # In single precision the last channel is constant too.
    assert (model.scale_ == 1).tolist() == [False, True, dtype == "float32"]
    moved = X.copy()
    moved[:, 1] *= 1 + 1e-6  # says nothing about its scale either
    np.testing.assert_allclose(model.predict_proba(moved), model.predict_proba(X), atol=1e-5)
    flat = RFNNRegressor(**SMALL, dtype=dtype).fit(X, np.full(120, 0.1), sample_weight=weights)
    assert flat.target_.scale == 1


def test_a_warm_start_sets_the_same_samples_aside(digits):
    X, y = digits
    marks = np.arange(120)[:, None, None] + np.zeros((120, 8, 8))
    seen = []

    class Watch(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            seen.append((training, *batch[0][:, 1, 0, 0].tolist()))

    model = RFNNClassifier(**SMALL | {"random_state": None}, early_stopping=True, warm_start=True)
    model.set_params(standardize=False, callbacks=[Watch()])
    for _ in range(2):
        model.fit(np.stack([X, marks], axis=1), y)
    trained, held = (
        {mark for training, *marks in seen if training is part for mark in marks}
        for part in (True, False)
    )
    assert len(held) == 12
    assert not trained & held


def test_a_history_does_not_keep_every_batch(digits):
    model = RFNNClassifier(**SMALL | {"widths": (4,)}).fit(*digits)
    few = len(pickle.dumps(model))
    for _ in range(20):
        model.partial_fit(*digits)
    assert len(pickle.dumps(model)) - few < 20 * 200
    assert len(model.net_.history) == 23


@pytest.mark.parametrize(
    "as_given",
    [
        list,
        lambda X: X.tolist(),
        lambda X: pd.Series(list(X), index=range(7, 127)),
        lambda X: [Image.fromarray(x) for x in X],
        lambda X: [torch.tensor(x) for x in X],
        lambda X: pd.DataFrame({"image": list(X)}),
        lambda X: torch.tensor(X).to(torch.float8_e4m3fn),
        lambda X: torch.tensor(X).to_sparse(),
    ],
    ids=["arrays", "numbers", "series", "images", "tensors", "frame", "float8", "sparse"],
)
def test_a_list_of_samples_is_as_good_as_an_array(digits, as_given):
    X, y = (digits[0] * 16).astype(np.uint8), digits[1]
    wanted = RFNNClassifier(**SMALL).fit(X, y).predict_proba(X)
    model = RFNNClassifier(**SMALL).fit(as_given(X), y)
    assert np.array_equal(model.predict_proba(as_given(X)), wanted)
    with pytest.raises(ValueError, match=r"got \(8, 8\) in X\[0\] and \(4, 8\) in X\[1\]"):
        model.predict([X[0], X[1, :4]])
    with pytest.raises(ValueError, match=r"samples of shape \(8,\), but .* of shape \(8, 8\)"):
        model.predict(Image.fromarray(X[0]))
    with pytest.raises(ValueError, match="one array a sample, but has 2 columns"):
        model.fit(pd.DataFrame({"left": list(X), "right": list(X)}), y)


def test_samples_that_look_like_a_mistake_draw_a_warning(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL)
    with pytest.warns(UserWarning, match=r"64 values: image_shape=\(8, 8\)"):
        model.fit(X.reshape(120, 64), y)
    with pytest.warns(UserWarning, match=r"image_shape=\(6, 6, 6\)"):
        model.fit(np.tile(X.reshape(120, 64), 4)[:, :216], y)
    with pytest.warns(UserWarning, match=r"image_shape=\(3, 16, 16\)"):
        model.fit(np.tile(X.reshape(120, 64), 12), y)
    with pytest.warns(UserWarning, match="2 x 32: layout='CL'"):
        model.fit(X.reshape(120, 2, 32), y)
    with pytest.warns(UserWarning, match="8 x 64: layout='CL'"):  # channels of an EEG, say
        model.fit(np.tile(X, 8), y)
    for layout, shape in (("L", (64,)), ("CL", (2, 32)), (None, (8, 8))):  # said, or clear
        model.set_params(layout=layout).fit(X.reshape(120, *shape), y)
    with pytest.warns(UserWarning, match="another scale .* mean 76.8 .* and had 0.301"):
        model.predict(X * 255)
    with pytest.warns(UserWarning, match="another scale"):
        model.score(X / 16, y)
    model.predict(X[:1] / 16)  # one sample says little
    for nothing in (X[:, :, :0], X[:, :0]):
        with pytest.raises(ValueError, match=r"samples of shape .*, which hold no values"):
            clone(model).fit(nothing, y)
    with pytest.raises(TypeError, match="got a DataLoader"):
        clone(model).fit(torch.utils.data.DataLoader(X), y)
    exact = torch.tensor(X).bfloat16()
    assert np.array_equal(model.predict_proba(exact), model.predict_proba(exact.float()))
    one = torch.ones(120).bfloat16()
    assert np.array_equal(model.fit(exact, y, sample_weight=one).predict(exact), model.predict(X))


def test_numbers_of_numpy_are_as_good_as_those_of_python(digits):
    grid = {"max_epochs": np.arange(1, 3), "n_threads": np.arange(1, 2)}
    search = GridSearchCV(RFNNClassifier(**SMALL), grid, cv=2, error_score="raise").fit(*digits)
    assert np.isfinite(search.best_score_)
    short = {"max_epochs": 1, "random_state": 0, "optimizer": "sgd", "dtype": "float64"}
    rfnin = {"widths": [4, 4, 4], "strides": [1, 2, 1], "pools": [True, False, False]}
    for model, params in (
        (RFNNClassifier, short | {"widths": (8, 8)}),
        (sklstruct.RFNiNClassifier, short | rfnin),
        (sklstruct.ScatteringNetClassifier, short | {"J": 1, "width": 4, "n_cells": 1}),
        (sklstruct.PCASVC, {"n_components": np.float16(0.5), "random_state": 0}),
    ):
        of_numpy, params = (
            {name: change(value) for name, value in params.items()}
            for change in (lambda value: np.asarray(value)[()], plain)
        )
        seen, wanted = (
            model(**p).fit(*digits).predict_proba(digits[0]) for p in (params, of_numpy)
        )
        assert np.array_equal(seen, wanted)


@pytest.mark.parametrize(
    "model",
    [
        RFNNClassifier(**SMALL, early_stopping=True),
        sklstruct.ScatteringSVC(J=1),
        sklstruct.PCASVC(),
        sklstruct.PixelSVC(),
    ],
)
@pytest.mark.parametrize("again", [False, True])
def test_half_a_fit_is_none(model, again, digits, monkeypatch):
    X, y = digits
    model = clone(model)
    if again:
        model.fit(X, y)
    for name in ("_hold_out", "_choose", "_solve", "_machine"):
        if hasattr(model, name):
            monkeypatch.setitem(vars(model), name, lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        model.predict(X)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.zeros(120), "groups must have at least two, got one"),
        (np.arange(5), "inconsistent numbers of samples"),
        ([None, *range(119)], "groups must have no missing values, got 1"),
    ],
)
def test_groups_that_set_nobody_aside_are_named(groups, message, digits):
    with pytest.raises(ValueError, match=message):
        RFNNClassifier(**SMALL, early_stopping=True).fit(*digits, groups=groups)


def test_early_stopping_returns_to_the_best_epoch(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL | {"max_epochs": 60}, early_stopping=True, n_iter_no_change=2)
    model.set_params(schedule="constant", lr=0.05).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    losses = model.net_.history[:, "valid_loss"]
    assert len(losses) < 60
    assert np.argmin(losses) == len(losses) - 1 - 2
    probabilities = model.predict_proba(X[80:])
    smoothed = 0.9 * np.eye(10)[y[80:]] + 0.01
    loss = -(smoothed * np.log(probabilities)).sum(axis=1).mean()
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_early_stopping_sets_its_own_samples_aside(digits):
    model = RFNNClassifier(**SMALL, early_stopping=True, validation_fraction=0.3).fit(*digits)
    assert model.net_.history[-1, "batches", :, "valid_batch_size"] is not None
    held = sum(row["valid_batch_size"] for row in model.net_.history[-1]["batches"][-2:])
    assert held == 36


def test_early_stopping_needs_enough_samples():
    X, y = np.zeros((3, 8, 8)), [0, 0, 1]
    with pytest.raises(ValueError, match="early_stopping"):
        RFNNClassifier(**SMALL, early_stopping=True).fit(X, y)


def test_warm_start_goes_on(digits):
    X, y = digits
    cold = RFNNClassifier(**SMALL).fit(X, y)
    warm = RFNNClassifier(**SMALL, warm_start=True).fit(X, y)
    assert np.array_equal(cold.predict_proba(X), warm.predict_proba(X))
    assert warm.fit(X, y).n_iter_ == 6
    assert warm.loss_curve_[3] < warm.loss_curve_[0]
    with pytest.raises(ValueError, match="warm_start"):
        warm.fit(X[y < 5], y[y < 5])


def test_partial_fit_learns_epoch_by_epoch(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL, lr=0.003)
    with pytest.raises(ValueError, match="classes"):
        model.partial_fit(X[:20], y[:20])
    for _ in range(30):
        model.partial_fit(X, y, classes=range(10))
    assert model.n_iter_ == 30
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="11"):
        model.partial_fit(X[:2], [0, 11])


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "linear", "constant"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "adadelta"])
def test_schedules_reach_the_optimizer(digits, schedule, optimizer):
    model = RFNNClassifier(**SMALL, schedule=schedule, optimizer=optimizer, lr=0.02).fit(*digits)
    last = model.net_.optimizer_.param_groups[0]["lr"]
    if schedule == "constant":
        assert last == 0.02
    else:
        assert last < 0.02 * 0.05


def test_parameters_set_between_fits_are_followed_or_refused(digits):
    model = RFNNClassifier(**SMALL, warm_start=True).fit(*digits)
    model.set_params(batch_size=60, weight_decay=0.5, label_smoothing=0.3, lr=0.02).fit(*digits)
    group, other = model.net_.optimizer_.param_groups
    assert (group["weight_decay"], other["weight_decay"]) == (0.5, 0)
    assert model.net_.criterion_.label_smoothing == 0.3
    assert len(model.net_.history[-1]["batches"]) == 2
    for change in (
        {"optimizer": "sgd"},
        {"dtype": "float64"},
        {"frame__order": 1},
        {"widths": (3,)},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(change)).partition('__')[0]}.* was"):
            clone(model).fit(*digits).set_params(**change).fit(*digits)


def test_a_fit_that_fails_late_is_no_fit(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="nope"):
        model.set_params(frame="nope").fit(X, y % 3)
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_partial_fit_takes_class_weights_for_classes_that_are_not_there(digits):
    X, y = digits
    weights = dict.fromkeys(range(10), 2.0)
    model = RFNNClassifier(**SMALL, class_weight=weights)
    model.partial_fit(X[y < 2], y[y < 2], classes=range(10))
    with pytest.raises(ValueError, match="balanced"):
        model.set_params(class_weight="balanced").partial_fit(X, y)


def one_layer(in_shape, n_outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(in_shape)), n_outputs))


def test_training_goes_on_after_a_pickle(digits):
    model = StructuredClassifier(architecture=one_layer, max_epochs=1).fit(*digits)
    copy = pickle.loads(pickle.dumps(model))
    copy.architecture = FunctionType(one_layer.__code__, globals())  # elsewhere in memory
    assert copy.partial_fit(*digits).n_iter_ == 2
    copy.architecture = lambda *shape: one_layer(*shape)
    with pytest.raises(ValueError, match="architecture was"):
        copy.partial_fit(*digits)


def test_channel_dropout_of_a_stranger_is_seeded_too(digits):
    def build(in_shape, n_outputs):
        layers = nn.Conv2d(1, 8, 3), nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(8 * 36, n_outputs)
        return nn.Sequential(*layers)

    model = StructuredClassifier(architecture=build, max_epochs=2, random_state=0)
    assert np.array_equal(fit_predict(clone(model), *digits), fit_predict(clone(model), *digits))


def test_progress_is_printed_on_request(digits, capsys):
    RFNNClassifier(**SMALL).fit(*digits)
    assert capsys.readouterr().out == ""
    RFNNClassifier(**SMALL, verbose=1).fit(*digits)
    assert "train_loss" in capsys.readouterr().out


def test_standardisation_makes_the_unit_of_x_irrelevant(digits):
    X, y = digits
    expected = RFNNClassifier(**SMALL).fit(X, y).predict(X)
    scaled = RFNNClassifier(**SMALL).fit(1000 * X - 7, y).predict(1000 * X - 7)
    assert np.mean(expected == scaled) > 0.98
    raw = RFNNClassifier(**SMALL, standardize=False).fit(X, y)
    assert (raw.mean_, raw.scale_) == (0, 1)


def test_a_diverging_fit_says_so_and_is_no_fit(digits):
    for params in ({"lr": 1e30, "optimizer": "sgd"}, {"lr": 1e30, "max_epochs": 1}):
        model = RFNNClassifier(**SMALL | params)
        with pytest.raises(ValueError, match="lower lr"):
            model.fit(*digits)
    with pytest.raises(NotFittedError):
        model.predict(digits[0])


def test_regression_learns_and_keeps_the_units():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 6, 6))
    y = np.stack([1000 + 50 * X[:, 2:4, 2:4].mean((1, 2)), X[:, 0, 0]], axis=1)
    model = RFNNRegressor(widths=(16,), max_epochs=60, random_state=0).fit(X, y)
    assert model.predict(X).shape == (200, 2)
    assert model.predict(X).dtype == np.float64
    assert model.score(X, y) > 0.8
    one = RFNNRegressor(widths=(8,), max_epochs=2, random_state=0).fit(X, y[:, 0])
    assert one.predict(X).shape == (200,)


def test_the_paper_preset_is_the_published_network(digits):
    model = RFNNClassifier(preset="paper", max_epochs=1, random_state=0)
    X = np.random.default_rng(0).normal(size=(20, 28, 28))
    network = model.fit(X, digits[1][:20]).net_.module_
    convs = [stage[0] for stage in network.stages]
    assert [(len(c.frame), c.frame.support[0]) for c in convs] == [(10, 11), (6, 7), (6, 7)]
    assert [c.padding[0] for c in convs] == [5, 6, 6]
    assert network.head.in_features == 3136
    assert model.n_parameters_ == 64 * 10 + 2 * 64 * 64 * 6 + 3136 * 10  # and no biases
    start = RFNN(preset="paper").build((1, 28, 28), 10)
    assert start.head.weight.std().item() == pytest.approx(0.01, rel=0.05)
    coefficients = start.stages[1][0].weight.detach()  # learned as they are
    assert torch.equal(coefficients, start.stages[1][0].coefficients)
    assert coefficients.std().item() == pytest.approx(1 / np.sqrt(3), rel=0.05)
    plans = [RFNNClassifier(preset="paper")._plan(n) for n in (300, 1000, 60000)]
    assert [plan.max_epochs for plan in plans] == [1000, 300, 100]
    assert (plans[0].optimizer, plans[0].lr, plans[0].label_smoothing) == ("adadelta", 5, 0)
    twin = RFNNClassifier(preset="paper", frame="pixel", max_epochs=1).fit(X, digits[1][:20])
    assert [s[0].frame.support[0] for s in twin.net_.module_.stages] == [11, 7, 7]
    assert [frame.order for frame in model.set_params(frame__order=1).frame] == [1, 1, 1]
    flat = RFNNClassifier(preset="paper", widths=(4, 4), max_epochs=1, lr=0.1, layout="HW")
    assert flat.fit(X[:, :2], digits[1][:20]).predict(X[:, :2]).shape == (20,)


# what can be looked into -------------------------------------------------------------------------


def test_features_of_a_layer(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL).fit(X, y)
    features = model.transform(X)
    head = model.net_.module_.head
    logits = features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(logits, model.decision_function(X), rtol=1e-4, atol=1e-5)
    model.set_params(feature_layer="stages.0").set_output(transform="pandas")
    table = model.transform(X)
    assert table.shape == (120, 8 * 4 * 4)
    assert table.columns[-1] == "stages.0[7,3,3]"
    with pytest.raises(ValueError, match=r"stages\.9.*stages\.1"):
        model.set_params(feature_layer="stages.9").transform(X)


def test_a_network_feeds_a_pipeline(digits):
    model = make_pipeline(RFNNClassifier(**SMALL | {"max_epochs": 20}), LinearSVC())
    assert model.fit(*digits).score(*digits) > 0.9


def test_frame_features_are_the_responses_of_the_atoms(digits):
    from scipy.ndimage import correlate

    X, _ = digits
    transformer = sklstruct.FrameTransformer(frame=GaussianDerivatives(order=1), pool=2).fit(X)
    features = transformer.set_output(transform="pandas").transform(X[:1])
    atom = GaussianDerivatives(order=1).build(2).atoms[1]
    response = np.abs(correlate(X[0].astype(float), atom, mode="constant"))
    assert features.loc[0, "c0 g_x (0,1)"] == pytest.approx(response[:4, 4:].mean(), rel=1e-5)


def test_the_network_leaves_without_us(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL).fit(X, y)
    dense = to_dense(model.net_.module_)
    assert not any(isinstance(module, FrameConv) for module in dense.modules())
    x = torch.from_numpy((X[:, None] - model.mean_.item()) / model.scale_.item()).float()
    with torch.no_grad():
        logits = dense(x).numpy()
    np.testing.assert_allclose(logits, model.decision_function(X), rtol=1e-3, atol=1e-4)


def test_pickles_are_complete_and_hold_no_training(digits):
    model = RFNNClassifier(**SMALL, augment="digits").fit(*digits)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(digits[0]), model.predict_proba(digits[0]))
    assert copy.net_.train_split is None
    assert copy.net_.iterator_train__generator is None


# plugins and devices -----------------------------------------------------------------------------


class Coarse(GaussianDerivatives):
    """A frame that only this process knows."""

    def build(self, ndim):
        return GaussianDerivatives(order=1, scales=(2.0,)).build(ndim)


@pytest.fixture
def coarse():
    plugins.register("frame", "coarse", Coarse)
    yield
    plugins.unregister("frame", "coarse")


def test_names_of_this_process_are_known_in_others(digits, coarse):
    model = RFNNClassifier(frame="coarse", **SMALL)
    serial = fit_predict(clone(model), *digits)
    (parallel,) = Parallel(n_jobs=2, backend="loky")([delayed(fit_predict)(model, *digits)])
    assert np.array_equal(serial, parallel)


def test_what_a_name_stands_for_follows_a_new_registration(digits, coarse):
    """Workers live on between calls: they must not remember the frame of an earlier one."""
    model = RFNNClassifier(frame="coarse", **SMALL)
    Parallel(n_jobs=2, backend="loky")([delayed(fit_predict)(model, *digits)] * 2)
    plugins.register("frame", "coarse", Pixels)
    parallel = Parallel(n_jobs=2, backend="loky")([delayed(fit_predict)(model, *digits)] * 2)
    assert np.array_equal(parallel[0], fit_predict(clone(model), *digits))


def test_the_environment_chooses_the_device(digits, monkeypatch):
    monkeypatch.setenv("SKLSTRUCT_DEVICE", "nonsense")
    with pytest.raises(ValueError, match="nonsense"):
        RFNNClassifier(**SMALL).fit(*digits)
    RFNNClassifier(**SMALL, device="cpu").fit(*digits)


# what is refused ---------------------------------------------------------------------------------

X, Y = np.zeros((10, 8, 8)), np.arange(10) % 2


@pytest.mark.parametrize(
    "params, data, message",
    [
        ({"lr": -1}, (X, Y), "lr"),
        ({"max_epochs": 0}, (X, Y), "max_epochs"),
        ({"batch_size": 2.5}, (X, Y), "batch_size"),
        ({"optimizer": "adamm"}, (X, Y), "optimizer"),
        ({"frame": "gausian"}, (X, Y), "Did you mean 'gaussian'"),
        ({"frame": 3}, (X, Y), "frame"),
        ({"frame": GaussianDerivatives(order=-1)}, (X, Y), "order"),
        ({"frame": ("gaussian",) * 3}, (X, Y), "3 entries for 2 stages"),
        ({"augment": "digit"}, (X, Y), "digit"),
        ({"device": "cuda:99"}, (X, Y), "cuda:99"),
        ({"layout": "WH"}, (X, Y), "layout"),
        ({"layout": "CHW"}, (X, Y), "layout='CHW'"),
        ({"image_shape": (7, 7)}, (X.reshape(10, -1), Y), "49 values"),
        ({"image_shape": 8}, (X.reshape(10, -1), Y), "image_shape"),
        ({"label_smoothing": 1}, (X, Y), "label_smoothing"),
        ({}, (np.where(X == 0, np.nan, X), Y), "NaN"),
        ({}, (np.where(X == 0, np.inf, X), Y), "infinity"),
        ({}, (X[:, 0, 0], Y), "1D"),
        ({}, (X[None, None, None], Y[:1]), "2 to 5 axes|minimum of 2"),
        ({}, (X[:0], Y[:0]), "0 sample"),
        ({}, (X, Y[:9]), "inconsistent"),
        ({}, (X, None), "y"),
        ({}, (X, Y * 0), "one class"),
        ({}, (X, Y + 0.5), "Unknown label type"),
        ({}, (X, Y, -np.ones(10)), "sample_weight"),
        ({}, (X, Y, np.zeros(10)), "non-zero"),
        ({"preset": "papr"}, (X, Y), "preset"),
        ({"widths": ()}, (X, Y), "widths"),
        ({"callbacks": ["x"]}, (X, Y), "callbacks of RFNNClassifier must be a list of skorch"),
        ({"widths": (0,)}, (X, Y), "widths of RFNNClassifier must be a sequence of integers"),
        ({"class_weight": "balancd"}, (X, Y), "class_weight"),
        ({"class_weight": {0: -1, 1: 1}}, (X, Y), "class_weight"),
        ({"class_weight": {0: 0, 1: 0}}, (X, Y), "class_weight"),
        ({"feature_layer": "nope"}, (X, Y), "nope"),
    ],
)
def test_bad_input_is_named(params, data, message):
    with pytest.raises((ValueError, TypeError), match=message):
        RFNNClassifier(**SMALL | params).fit(*data)


def test_other_samples_than_in_training_are_refused(digits):
    images, labels = digits
    model = RFNNClassifier(**SMALL)
    with pytest.raises(NotFittedError):
        model.predict(images)
    model.fit(images, labels)
    narrow = images[:, :, :7]
    for other in (images[:, :7], images[:, None], images.reshape(120, -1), narrow.tolist()):
        with pytest.raises(ValueError, match=r"samples of shape .*\(8, 8\)"):
            model.predict(other)
    with pytest.raises(ValueError, match="99"):
        model.set_params(early_stopping=True).fit(images, labels, X_val=images[:1], y_val=[99])
    with pytest.raises(ValueError, match="without y_val"):
        model.fit(images, labels, X_val=images)
    with pytest.raises(ValueError, match="without X_val"):
        model.fit(images, labels, y_val=labels)


def test_a_label_that_was_not_in_training_is_an_error_that_counts(digits):
    X, y = digits
    model = RFNNClassifier(**SMALL).fit(X, y)
    right = model.predict(X) == y
    assert model.score(X, np.where(right, 99, y)) == 0
    rare = np.where(np.arange(120) == 0, 77, y)  # in one fold it cannot be known
    scores = cross_val_score(RFNNClassifier(**SMALL), X, rare, cv=KFold(4), error_score="raise")
    assert np.isfinite(scores).all()


def test_unknown_architectures_are_refused(digits):
    with pytest.raises(ValueError, match="Did you mean 'rfnn'"):
        StructuredClassifier(architecture="rfn").fit(*digits)
    with pytest.raises(TypeError, match="architecture"):
        StructuredClassifier(architecture=3).fit(*digits)


def test_estimators_of_the_core_are_estimators():
    assert all(issubclass(cls, BaseEstimator) for cls in estimator_classes())


# mistakes of those who write architectures -------------------------------------------------------


class Wider(sklstruct.Architecture):
    """An architecture with more outputs than it is asked for."""

    def build(self, in_shape, n_outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, n_outputs + 3))


@pytest.mark.parametrize(
    "architecture, error, message",
    [
        (Wider(), ValueError, r"must have 10 outputs for each of 25 samples, got .* \(25, 13\)"),
        (lambda *args: nn.Linear(8, 10), ValueError, r"for each of 25 .* \(25, 1, 8, 10\)"),
        (
            lambda *args: nn.Sequential(nn.Flatten(), nn.Linear(64, 1)),
            ValueError,
            r"10 .*\(25, 1\)",
        ),
        (
            lambda *args: nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(0)),
            ValueError,
            r"10 .*\(1600,\)",
        ),
        (lambda *args: np.zeros(3), TypeError, "must build an nn.Module, got ndarray"),
        (RFNN(widths=(4, 0)), ValueError, "widths of RFNN must be a sequence of integers"),
    ],
)
def test_mistakes_in_an_architecture_are_named(architecture, error, message, digits):
    X, y = (part[:100] for part in digits)
    with pytest.raises(error, match=message):
        StructuredClassifier(architecture=architecture, max_epochs=1).fit(X, y)


class Arrays(FrameFamily):
    """A family that builds atoms, and no frame of them."""

    def build(self, ndim):
        return np.ones((3,) * (ndim + 1))


@pytest.mark.parametrize("use", [lambda f: FrameConv(1, 2, f), FrameDisplay.from_family])
def test_a_family_that_builds_no_frame_is_named(use):
    with pytest.raises(TypeError, match=r"Arrays must build a Frame, got ndarray"):
        use(Arrays())


FORKED = """
import numpy as np
from joblib import Parallel, delayed
from sklstruct import RFNNClassifier

def fitted(n_threads):
    X = np.random.default_rng(0).normal(size=(20, 8, 8))
    model = RFNNClassifier(widths=(64, 64), max_epochs=1, random_state=0, n_threads=n_threads)
    return model.fit(X, np.arange(20) % 2).predict_proba(X)

several = fitted(2)  # whose threads are not there in a child of this process
one, other = Parallel(2, backend="multiprocessing", timeout=60)(map(delayed(fitted), [1, 2]))
assert np.array_equal(one, fitted(1))
assert np.allclose(other, several, atol=1e-5)
"""


def test_a_child_of_a_process_that_has_trained_trains_too():
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    subprocess.run(command, check=True, timeout=120, env=environment)
