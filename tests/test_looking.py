"""Everything that looks into estimators, over estimators of every kind."""

import numpy as np
import pandas as pd
import pytest
import torch
from fitted import MAKERS, digits, fitted, volumes

from sklstruct import (
    StructuredMapClassifier,
    StructuredRegressor,
    VoxelSVC,
    inspection,
    plugins,
)
from sklstruct.estimators import load_model, save_model
from sklstruct.inspection.blocks import block_names
from sklstruct.inspection.methods import MAP_METHODS
from sklstruct.inspection.opened import Opened

FEW = 3  # samples


def last_block(estimator):
    return block_names(estimator, None)[-1]


def is_map(values, estimator, X):
    return values.shape == (FEW, *Opened(estimator).in_shape[1:]) and values.dtype == np.float32


TABLES = {
    "filter_table": lambda e, X, y: inspection.filter_table(e),
    "similarity_to_frame": lambda e, X, y: inspection.similarity_to_frame(e, n_random=20),
    "selectivity": lambda e, X, y: inspection.selectivity(e, n_orientations=4, frequencies=(0.2,)),
    "cka": lambda e, X, y: inspection.cka(e, X),
    "reliability": lambda e, X, y: inspection.reliability(e, X, y),
    "agreement": lambda e, X, y: inspection.agreement([e, e], X, y),
    "sanity_check": lambda e, X, y: inspection.sanity_check("gradient", e, X[:FEW], n_repeats=1),
    "deletion": lambda e, X, y: inspection.deletion(e, X[:FEW], "gradient", n_random=2).table,
    "best_patches": lambda e, X, y: inspection.best_patches(e, X, 0, last_block(e), n_patches=2)[1],
}
DISPLAYS = {
    "FilterDisplay": lambda e, X, y: inspection.FilterDisplay.from_estimator(e, by="scale"),
    "SpectrumDisplay": lambda e, X, y: inspection.SpectrumDisplay.from_estimator(e),
    "MaximisedDisplay": lambda e, X, y: inspection.MaximisedDisplay.from_estimator(
        e, [0], last_block(e), X=X, n_starts=1, n_patches=1, steps=2
    ),
    "SampleMapsDisplay": lambda e, X, y: inspection.SampleMapsDisplay.from_estimator(e, X[:FEW]),
    "SanityDisplay": lambda e, X, y: inspection.SanityDisplay.from_estimator(
        e, X[:FEW], ["gradient"], n_repeats=1
    ),
    "DeletionDisplay": lambda e, X, y: inspection.DeletionDisplay.from_estimator(
        e, X[:FEW], ["gradient"], n_random=2
    ),
    "FrameSimilarityDisplay": lambda e, X, y: inspection.FrameSimilarityDisplay.from_estimator(
        e, n_random=20
    ),
    "SelectivityDisplay": lambda e, X, y: inspection.SelectivityDisplay.from_estimator(
        e, n_orientations=4, frequencies=(0.2,)
    ),
    "CKADisplay": lambda e, X, y: inspection.CKADisplay.from_estimator(e, X),
    "CalibrationDisplay": lambda e, X, y: inspection.CalibrationDisplay.from_estimator(e, X, y),
    "AgreementDisplay": lambda e, X, y: inspection.AgreementDisplay.from_estimators([e, e], X, y),
}
EACH = pytest.mark.parametrize("name", MAKERS)
OURS = pytest.mark.parametrize("name", [name for name in MAKERS if name != "pipeline"])


@OURS
def test_a_model_from_a_file_says_the_same_and_looks_at_the_same_places(name, tmp_path):
    estimator, X, _ = fitted(name)
    own = name == "example_plugin"
    if own:
        plugins.register("estimator", "tiny", type(estimator))
        plugins.register("frame", "cosines", type(estimator.frame))
    try:
        save_model(estimator, tmp_path / "model.skl")
        loaded = load_model(tmp_path / "model.skl")
    finally:
        if own:
            plugins.unregister("estimator", "tiny")
            plugins.unregister("frame", "cosines")
    assert np.array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    maps = [inspection.gradient_map(one, X[:FEW]) for one in (estimator, loaded)]
    assert np.array_equal(*maps)


@OURS
@pytest.mark.parametrize("method", ["gradient", "occlusion"])
def test_samples_of_any_type_of_numbers_have_maps(method, name):
    estimator, X, _ = fitted(name)
    rounded = torch.as_tensor(X[:FEW]).to(torch.bfloat16)
    shown = inspection.SampleMapsDisplay.from_estimator(estimator, rounded, method)
    plain = inspection.SampleMapsDisplay.from_estimator(estimator, rounded.float(), method)
    assert np.array_equal(shown.maps, plain.maps)
    assert np.array_equal(shown.samples, plain.samples)


@EACH
@pytest.mark.parametrize("method", MAP_METHODS)
def test_every_method_maps_the_samples_of_every_estimator(method, name):
    estimator, X, _ = fitted(name)
    if method == "activation" and not hasattr(Opened(estimator).network, "class_activations"):
        with pytest.raises(TypeError, match="has no class activations"):
            MAP_METHODS[method](estimator, X[:FEW])
        return
    maps = MAP_METHODS[method](estimator, X[:FEW])
    assert is_map(maps, estimator, X)
    assert np.isfinite(maps).all()
    assert np.ptp(maps) > 0


@EACH
@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_there_for_every_estimator(table, name):
    found = TABLES[table](*fitted(name))
    assert isinstance(found, pd.DataFrame)
    assert len(found)
    numbers = found.select_dtypes("number").to_numpy(float)
    assert np.isfinite(numbers).any()
    assert not np.isinf(numbers).any()


@EACH
@pytest.mark.parametrize("display", DISPLAYS)
def test_every_picture_is_drawn_of_every_estimator(display, name, tmp_path):
    drawn = DISPLAYS[display](*fitted(name))
    assert len(drawn.axes_)
    assert drawn.save(tmp_path / "picture.png").figure_ is not None


@EACH
def test_what_drives_a_unit_comes_back_as_a_sample(name):
    estimator, X, _ = fitted(name)
    layer = last_block(estimator)
    found = inspection.maximise(estimator, 0, layer, X=X, n_starts=2, steps=4)
    assert found.shape == (2, *X.shape[1:])
    best = inspection.responses(estimator, X, 0, layer).max()
    assert inspection.responses(estimator, found, 0, layer).max() >= best


@EACH
def test_filters_belong_to_the_layers_that_are_listed(name):
    estimator, _, _ = fitted(name)
    for layer, shape in inspection.convolutions(estimator).items():
        assert inspection.filters(estimator, layer).shape == shape


@pytest.mark.parametrize("name", ["rfnin_3d", "pipeline"])
def test_a_page_shows_all_of_a_network(name, tmp_path):
    estimator, X, y = fitted(name)
    text = inspection.write_look(estimator, X, tmp_path / "look.html", y, n_maps=2).read_text()
    assert text.count("<h2>") == 5  # and nothing is left out
    assert text.count("data:image/svg+xml") == 15
    assert "These maps miss at most" in text


def test_what_integrated_gradients_miss_is_kept_with_their_maps():
    estimator, X, _ = fitted("rfnn")
    options = {"n_steps": 4}
    maps, gap = inspection.integrated_gradients(estimator, X[:FEW], return_gap=True, **options)
    of_method = inspection.SampleMapsDisplay.from_estimator
    shown = of_method(estimator, X[:FEW], "integrated_gradients", **options)
    assert np.array_equal(shown.maps, maps)
    assert shown.missed == pytest.approx(abs(gap) / abs(maps).sum(axis=(1, 2)))
    assert of_method(estimator, X[:FEW], "gradient").missed is None


def test_a_page_says_what_it_has_not(tmp_path):
    X, y = volumes()
    model = VoxelSVC().fit(X, y)
    text = inspection.write_look(model, X, tmp_path / "look.html", n_maps=2).read_text()
    assert text.count("data:image/svg+xml") == 1  # occlusion
    assert "What is not here" in text
    assert "estimator must be a network estimator" in text
    with pytest.raises(ValueError, match="13, 12, 11"):
        inspection.write_look(model, X[:, 1:], tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_the_page_of_several_values_and_of_maps_has_maps(tmp_path):
    X, _ = digits(n_samples=20)
    options = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    several = StructuredRegressor(architecture="rfnn", **options).fit(X, X[:, 3:5, 3])
    maps = StructuredMapClassifier(architecture="frame_fcn", **options).fit(X, X > 5)
    for model, y in ((several, X[:, 3:5, 3]), (maps, X > 5)):
        page = inspection.write_look(model, X, tmp_path / "look.html", y, n_maps=2).read_text()
        assert "Where it looks</h2>" in page
        assert "target must be" not in page
