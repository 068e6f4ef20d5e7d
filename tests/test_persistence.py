"""Model files: what comes out is what went in, and a file can do nothing but be read."""

import io
import json
import pickle
import resource
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import is_regressor
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklstruct_fcn.architecture import FrameFCN
from sklstruct_rfnn.architecture import RFNN
from skorch.callbacks import Callback

from sklstruct import (
    LinearStackClassifier,
    NiftiVolumes,
    RFNNClassifier,
    RFNNRegressor,
    StructuredClassifier,
    StructuredMapClassifier,
    VoxelSVC,
    plugins,
)
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import Augment
from sklstruct.estimators.encoding import Parts, encode
from sklstruct.estimators.persistence import load_model, save_model
from sklstruct.estimators.volumes import on_paths, takes_paths
from sklstruct.frames import GaussianDerivatives, Pixels
from sklstruct.training import CrossEntropy

TINY = {"widths": (4,), "max_epochs": 1, "random_state": 0}
FRAME = Pixels(size=3).build(2)
ROOT = ("model", "estimator")
STEP = ("tuple", 1, "estimator")


class Coarse(Pixels):
    """A family that nobody has registered."""


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X[:60] / 16).reshape(-1, 8, 8), y[:60]


@pytest.fixture
def saved(digits, tmp_path):
    """Return a fitted model and the file that it is in."""
    model, path = RFNNClassifier(**TINY).fit(*digits), tmp_path / "model.skl"
    save_model(model, path)
    return model, path


def rewrite(path, **members):
    """Replace members of a model file, given without their suffixes."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    suffixes = {name.partition(".")[0]: name for name in content}
    content |= {suffixes[stem]: value for stem, value in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in content.items():
            archive.writestr(name, value)


def header(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# what goes in comes out ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        RFNNClassifier(**TINY, frame=GaussianDerivatives(order=2, scales=(1.0, 1.5))),
        RFNNClassifier(**TINY, frame=("pixel",), augment=Augment(shift=0.1, flip=(0,))),
        RFNNClassifier(**TINY, frame=FRAME, dtype="float64", standardize=False),
        RFNNClassifier(**TINY, class_weight={digit: 1.0 + digit for digit in range(10)}),
        RFNNClassifier(**{**TINY, "random_state": np.int64(3), "lr": np.float32(0.1)}),
        RFNNClassifier(**TINY, early_stopping=True, validation_fraction=0.3),
        RFNNClassifier(**TINY, objective=CrossEntropy(0.3)),
        StructuredClassifier(architecture="rfnn", max_epochs=1),
        StructuredClassifier(
            architecture=RFNN(frame=("naive", FRAME), widths=(4, 4)), max_epochs=1
        ),
        make_pipeline(RFNNClassifier(**TINY), VoxelSVC(C=0.1)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_survives_bit_by_bit(model, digits, tmp_path):
    X, y = digits
    save_model(model.fit(X, y), tmp_path / "model.skl")
    loaded = load_model(tmp_path / "model.skl")
    assert type(loaded) is type(model)
    assert repr(loaded.get_params()) == repr(model.get_params())
    assert vars(loaded).keys() == vars(model).keys()
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(loaded, name)(X), getattr(model, name)(X))
    if hasattr(model, "loss_curve_"):
        assert loaded.loss_curve_ == model.loss_curve_


@pytest.mark.parametrize("name", plugins.entries("estimator"))
def test_every_estimator_survives_or_is_refused_before_it_is_fitted(
    name, digits, tmp_path, request
):
    model, X, y = plugins.lookup("estimator", name)(), digits[0], digits[1] % 2
    if not getattr(model, "storable", True):
        with pytest.raises(ValueError, match="cannot be stored in a model file"):
            encode(model, Parts(), "model")
        return
    if takes_paths(model):
        cohort = request.getfixturevalue("cohort")
        X, y = cohort.X, cohort.y
    network = (RFNNRegressor if is_regressor(model) else RFNNClassifier)(**TINY)
    settings = {
        **TINY,
        "network": network,
        "atlas": tmp_path / "mask.nii",
        "J": 1,
        "L": 4,
        "C": 1.0,
    }
    known = model.get_params(deep=False)
    model.set_params(**{key: value for key, value in settings.items() if key in known})
    save_model(model.fit(X, X > 0.5 if "crop" in known and "tile" in known else y), tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert vars(loaded).keys() == vars(model).keys()
    methods = ("predict_proba", "predict", "transform")
    for method in [each for each in methods if hasattr(model, each)]:
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(model, method)(X))


def test_maps_survive(digits, tmp_path):
    X = digits[0]
    model = StructuredMapClassifier(
        architecture=FrameFCN(widths=(4,)), max_epochs=1, random_state=0
    )
    save_model(model.fit(X, np.where(X > 0.5, "ink", "paper")), tmp_path / "model.skl")
    np.testing.assert_array_equal(load_model(tmp_path / "model.skl").predict(X), model.predict(X))


def test_a_network_is_that_of_its_fit_whatever_is_set_since(saved, digits):
    model, path = saved
    expected = model.predict_proba(digits[0])
    save_model(model.set_params(widths=(9, 9), frame="pixel", feature_layer="stages.0"), path)
    loaded = load_model(path)
    assert (loaded.widths, loaded.frame, loaded.feature_layer) == ((9, 9), "pixel", "stages.0")
    np.testing.assert_array_equal(loaded.predict_proba(digits[0]), expected)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["even", "odd"]),
        np.array(["even", "odd"], dtype=object),
        np.array([False, True]),
        np.array([-1.0, 2.0]),
    ],
    ids=lambda labels: str(labels.dtype),
)
def test_labels_of_any_type_survive(labels, digits, tmp_path):
    X, y = digits
    model = RFNNClassifier(**TINY).fit(X, labels[y % 2])
    save_model(model, tmp_path / "model.skl")
    loaded = load_model(tmp_path / "model.skl")
    assert loaded.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_names_of_features_and_outputs_survive(digits, tmp_path):
    X, y = digits
    X = pd.DataFrame(X.reshape(len(X), -1)).add_prefix("pixel")
    model = RFNNClassifier(**TINY, image_shape=(8, 8)).set_output(transform="pandas").fit(X, y)
    save_model(model, tmp_path / "model.skl")
    pd.testing.assert_frame_equal(
        load_model(tmp_path / "model.skl").transform(X), model.transform(X)
    )


def test_targets_of_a_regressor_keep_their_shape(digits, tmp_path):
    X, y = digits
    model = RFNNRegressor(**TINY).fit(X, np.stack([y, -y], axis=1))
    save_model(model, tmp_path / "model.skl")
    np.testing.assert_array_equal(load_model(tmp_path / "model.skl").predict(X), model.predict(X))


def test_training_goes_on_from_a_loaded_model(saved, digits):
    loaded = load_model(saved[1]).partial_fit(*digits)
    assert len(loaded.loss_curve_) == 2
    assert loaded.loss_curve_[0] == saved[0].loss_curve_[0]


def test_loading_draws_nothing_from_the_random_numbers_of_the_process(saved):
    before = torch.get_rng_state()
    load_model(saved[1])
    assert torch.equal(torch.get_rng_state(), before)


# pipelines on scans -------------------------------------------------------------------------


@pytest.fixture
def cohort(tmp_path):
    """Return four scans, and beside them a mask and a template that may be taken away."""
    cohort = simulate_cohort(
        tmp_path / "study", n_subjects=4, shape=(8, 10, 9), spacing=20.0, random_state=0
    )
    template = NiftiVolumes(mask="brain", spacing=25.0).fit(cohort.X)
    template.to_nifti(template.mask_, tmp_path / "mask.nii")
    return cohort


def volume_pipeline(**nifti_params):
    return on_paths(RFNNClassifier(**TINY, frame=Pixels(size=3)), **nifti_params)


CENTRED = np.array([[25.0, 0, 0, -62], [0, 25, 0, -80], [0, 0, 25, -54], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"grid": "same", "scaling": None, "max_bytes": 10**6},
        {"mask": "brain", "crop": True, "spacing": (25.0, 20, 30), "smoothing_fwhm": 30},
        {"mask": Path("mask.nii"), "grid": "mask.nii", "crop": True, "scaling": "percentile"},
        {"shape": [6, 6, 6], "affine": CENTRED, "pattern": "sub-*/*"},
    ],
    ids=str,
)
def test_a_pipeline_predicts_as_before_where_only_the_scans_are_left(
    params, cohort, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    model = volume_pipeline(cache_dir="cache", **params).fit(cohort.X, cohort.y)
    expected = model.predict_proba(cohort.X)
    save_model(model, "model.skl")
    Path("mask.nii").unlink()
    shutil.rmtree("cache")
    loaded = load_model("model.skl")
    assert [name for name, _ in loaded.steps] == [name for name, _ in model.steps]
    assert vars(loaded[0]).keys() == vars(model[0]).keys()
    assert repr(loaded[0].set_params(cache_dir="cache")) == repr(model[0])
    loaded[0].cache_dir = None
    np.testing.assert_array_equal(loaded.predict_proba(cohort.X), expected)
    np.testing.assert_array_equal(loaded[0].transform(cohort.X), model[0].transform(cohort.X))
    loaded[0].to_nifti(np.ones(loaded[0].shape_), "map.nii")


def test_the_file_of_a_pipeline_chooses_no_folder_to_write_to(cohort, tmp_path):
    path = tmp_path / "model.skl"
    model = volume_pipeline(cache_dir=tmp_path / "cache").fit(cohort.X, cohort.y)
    save_model(model, path)
    content = header(path)
    assert "cache" not in json.dumps(content)
    for group in ("params", "fitted"):
        forged = json.loads(json.dumps(content))
        reader = forged["model"]["pipeline"][0]["tuple"][1]["estimator"]
        reader[group]["cache_dir"] = str(tmp_path / "elsewhere")
        rewrite(path, model=json.dumps(forged))
        load_model(path).predict(cohort.X)
    assert not (tmp_path / "elsewhere").exists()


def forged(path, *changes):
    """Write a model file anew, with values at places of its header that are given by keys."""
    content = header(path)
    for *place, key, value in changes:
        part = content
        for step in place:
            part = part[step]
        part[key] = value
    rewrite(path, model=json.dumps(content))


@pytest.mark.parametrize(
    "place, value, message",
    [
        ([0, "tuple"], [], "damaged or cannot be built"),
        ([], [{}], "damaged or cannot be built"),
        ([], "reader", "damaged or cannot be built"),
        ([0, "tuple", 1], 1, "damaged or cannot be built"),
        ([0, *STEP, "fitted"], {}, "not fitted"),
        ([1, *STEP, "net"], None, "not fitted"),
        ([0, *STEP, "params"], {"nonsense": 1}, "nonsense"),
        ([0, *STEP, "name"], "nonsense", "Unknown estimator 'nonsense'"),
    ],
    ids=str,
)
def test_a_pipeline_that_does_not_fit_is_refused(place, value, message, cohort, tmp_path):
    path = tmp_path / "model.skl"
    save_model(volume_pipeline().fit(cohort.X, cohort.y), path)
    forged(path, ("model", "pipeline", *place, value))
    with pytest.raises(ValueError, match=rf"(?s)model\.skl .*{message}"):
        load_model(path)


def test_what_stands_before_the_network_must_be_registered_and_fitted(cohort, digits, tmp_path):
    path = tmp_path / "model.skl"
    with pytest.raises(NotFittedError):
        save_model(volume_pipeline(), path)
    scaled = make_pipeline(StandardScaler(), RFNNClassifier(**TINY, image_shape=(8, 8)))
    with pytest.raises(ValueError, match=r"StandardScaler\(\) is neither .* a registered class"):
        save_model(scaled.fit(digits[0].reshape(60, -1), digits[1]), path)
    assert not path.exists()


def test_an_estimator_that_takes_paths_stays_as_it_is_or_reads_them_as_asked_for():
    network, regions = RFNNClassifier(), plugins.lookup("estimator", "region_svm")(atlas="atlas")
    pipeline = on_paths(network, scaling=None)
    assert (pipeline[0].scaling, pipeline[1]) == (None, network)
    assert on_paths(pipeline, crop=True) is pipeline
    reading = on_paths(regions, spacing=3.0)
    assert (reading.atlas, reading.volumes.spacing, regions.volumes) == ("atlas", 3.0, None)
    assert on_paths(reading, spacing=2.0) is reading


# what cannot go in --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, message",
    [
        ({"callbacks": [Callback()]}, "parameter 'callbacks' of RFNNClassifier cannot .*Callback"),
        (
            {"augment": lambda x, generator: x},
            "parameter 'augment' of RFNNClassifier cannot .*<lambda>",
        ),
        ({"random_state": np.random.RandomState(0)}, "parameter 'random_state' .*RandomState"),
        ({"frame": GaussianDerivatives().build(2)}, "parameter 'frame' .*Frame"),
        ({"frame": Coarse()}, r"parameter 'frame' .*plugins.register\('frame', NAME, Coarse\)"),
    ],
    ids=lambda params: next(iter(params)) if isinstance(params, dict) else "",
)
def test_what_cannot_be_stored_is_named_and_an_earlier_file_left_alone(
    params, message, digits, saved
):
    before = saved[1].read_bytes()
    with pytest.raises(ValueError, match=message):
        save_model(RFNNClassifier(**{**TINY, **params}).fit(*digits), saved[1])
    assert saved[1].read_bytes() == before
    assert [saved[1]] == list(saved[1].parent.iterdir())


def test_only_registered_estimators_that_are_fitted_and_known_to_be_storable_are_stored(
    digits, tmp_path
):
    class Own(RFNNClassifier):
        pass

    path = tmp_path / "model.skl"
    with pytest.raises(NotFittedError):
        save_model(RFNNClassifier(), path)
    with pytest.raises(
        ValueError, match=r"model cannot be stored .*, as Own\(.*'estimator', NAME, Own\)"
    ):
        save_model(Own(**TINY).fit(*digits), path)
    with pytest.raises(ValueError, match="PixelSVC cannot be stored in a model file, as there is"):
        save_model(plugins.lookup("estimator", "svm")().fit(*digits), path)
    within = LinearStackClassifier(network=Own(**TINY))
    for linear, message in (("svm", "PixelSVC"), ("voxel_svm", "parameter 'network' of .*Own")):
        with pytest.raises(ValueError, match=message):
            encode(within.set_params(linear=linear), Parts(), "model")
    assert not path.exists()


def test_a_frame_that_is_no_longer_registered_is_named(digits, tmp_path):
    path = tmp_path / "model.skl"
    plugins.register("frame", "coarse", lambda: Pixels(size=3))
    try:
        save_model(RFNNClassifier(**TINY, frame="coarse").fit(*digits), path)
        load_model(path)
    finally:
        plugins.unregister("frame", "coarse")
    with pytest.raises(
        ValueError, match=r"model\.skl holds a model .* Unknown frame 'coarse'"
    ) as caught:
        load_model(path)
    assert "plugins.register('frame', 'coarse', ...)" in str(caught.value)


# what comes from strangers ------------------------------------------------------------------


def test_a_damaged_file_is_refused_or_does_no_harm(saved, digits):
    model, path = saved
    sound, expected = path.read_bytes(), model.predict_proba(digits[0])
    for place in np.linspace(0, len(sound) - 1, 60, dtype=int):
        damaged = bytearray(sound)
        damaged[place] ^= 0b101
        for content in (damaged, sound[:place]):
            path.write_bytes(content)
            outputs = outputs_or_refusal(path, digits[0])
            if isinstance(outputs, ValueError):
                assert str(path) in str(outputs)
            else:
                assert len(content) == len(sound), "a truncated file was taken for a sound one"
                np.testing.assert_array_equal(outputs, expected)


def outputs_or_refusal(path, X):
    try:
        return load_model(path).predict_proba(X)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "place, value, message",
    [
        (["version"], 1, "format 2 to be read by this version of sklstruct, got format 1"),
        (["format"], "something else", "format 2 .* got format None"),
        (["model"], {"family": []}, r"\(rfnn of sklstruct .* cannot be built here: 'family'"),
        ([*ROOT, "name"], "nonsense", "Unknown estimator 'nonsense'"),
        ([*ROOT, "params", "nonsense"], 1, "nonsense"),
        ([*ROOT, "fitted", "_built_with"], {"dict": [["widths", [5]]]}, "of another network"),
        ([*ROOT, "fitted"], {}, "damaged or cannot be built"),
        ([*ROOT, "net", "dict", 1, 1], {"array": 99}, "99.npy"),
        ([*ROOT, "params", "frame"], {"object": "os:system"}, "damaged or cannot be built"),
        ([*ROOT, "params", "frame"], {"data": ["Path", {"dict": []}]}, "cannot be built here"),
        ([*ROOT, "params", "frame"], {"dataset": ["digits", {"dict": []}]}, "cannot be built here"),
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_is_refused(place, value, message, saved):
    forged(saved[1], (*place, value))
    with pytest.raises(ValueError, match=rf"(?s)model\.skl .*{message}"):
        load_model(saved[1])


def test_a_header_that_is_no_header_is_refused(saved):
    for content in ("", "[]", "{}", "null", "\x00"):
        rewrite(saved[1], model=content)
        with pytest.raises(ValueError, match=r"model\.skl is not a sound model file"):
            load_model(saved[1])


def test_nothing_is_ever_unpickled(saved, tmp_path):
    path, touched = saved[1], tmp_path / "touched"
    evil = pickle.dumps(Evil(touched))
    objects = io.BytesIO()
    np.save(objects, np.array([Evil(touched)], dtype=object))
    for content in (evil, objects.getvalue()):
        with zipfile.ZipFile(path) as archive:
            members = [name.partition(".")[0] for name in archive.namelist()]
        for member in members:
            if member != "model":
                rewrite(path, **{member: content})
        with pytest.raises(ValueError, match=r"model\.skl"):
            load_model(path)
    path.write_bytes(evil)
    with pytest.raises(ValueError, match=r"model\.skl"):
        load_model(path)
    assert not touched.exists()
    pickle.loads(evil)
    assert touched.exists(), "what was not executed would have left no trace"


def built_with(name, value):
    """Return what lets a file tell of another network."""

    def forge(path):
        content = header(path)
        content["model"]["estimator"]["fitted"]["_built_with"]["dict"].append([name, value])
        rewrite(path, model=json.dumps(content))

    return forge


def of_huge_array(path, name="0.npy", count=10**9):
    """Let an array promise more than there is."""
    rewrite(path, **{name.partition(".")[0]: npy_header((count,)) + b"0" * 8})


def npy_header(shape):
    stream = io.BytesIO()
    content = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, content)
    return stream.getvalue()


def compressed(path):
    """Write the parts of a file anew, zeros of which a thousand take the room of one."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["0.npy"] = npy_header((10**7,)) + bytes(8 * 10**7)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(name, value)
    assert path.stat().st_size < 10**6


HOSTILE = {
    "compressed": compressed,
    "promises": of_huge_array,
    "promises more than memory": lambda path: of_huge_array(path, count=10**15),
    "one array many times": lambda path: forged(
        path, (*ROOT, "fitted", "more", [{"array": 0}] * 10**5)
    ),
    "a method": lambda path: forged(path, (*ROOT, "fitted", "predict", 5)),
    "a private method": lambda path: forged(path, (*ROOT, "fitted", "_run", 5)),
    "a property": lambda path: forged(path, (*ROOT, "fitted", "classes_", 5)),
    "a huge frame": built_with("frame", {"frame": ["gaussian", {"dict": [["size", 20001]]}]}),
    "many atoms": built_with(
        "frame", {"frame": ["gaussian", {"dict": [["order", 10**6], ["size", 10**7 + 1]]}]}
    ),
    "many pixels": built_with("frame", {"frame": ["pixel", {"dict": [["size", 1001]]}]}),
    "a large Gram matrix": built_with("frame", {"frame": ["pixel", {"dict": [["size", 63]]}]}),
    "a scalar of a gigabyte": lambda path: forged(
        path, (*ROOT, "fitted", "more", {"scalar": ["<V8", 10**9]})
    ),
    "many threads": lambda path: forged(path, (*ROOT, "params", "n_threads", 10**9)),
    "many layers": built_with("widths", {"tuple": [1] * 10**5}),
    "a wide network": built_with("widths", {"tuple": [10**8, 10**8]}),
    "a deep network": built_with("widths", {"tuple": [4] * 50}),
    "large samples": lambda path: forged(
        path, (*ROOT, "fitted", "in_shape_", {"tuple": [1, 10**9]})
    ),
    "nested": lambda path: rewrite(path, model="[" * 10**5 + "]" * 10**5),
    "an endless number": lambda path: rewrite(path, model='{"format": ' + "9" * 10**5 + "}"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_before_it_takes_memory(kind, saved):
    path = saved[1]
    HOSTILE[kind](path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"model\.skl"):
        load_model(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # kB
    assert grown < 500_000


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.skl"):
        load_model(tmp_path / "nothing.skl")
