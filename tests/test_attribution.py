"""Maps of networks by gradients: what they add up to, what they equal, where blobs come back."""

import copy
from functools import partial

import nibabel
import numpy as np
import pytest
import torch
from fitted import digits, fitted
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklstruct_rfnin.architecture import RFNiN

from sklstruct import (
    RFNNClassifier,
    StructuredClassifier,
    StructuredMapClassifier,
    StructuredRegressor,
)
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.inspection import (
    captum_map,
    class_activation_map,
    grad_cam_map,
    gradient_map,
    integrated_gradients,
    occlusion_map,
)
from sklstruct.inspection.methods import MAP_METHODS, map_method
from sklstruct.inspection.opened import Opened
from sklstruct.inspection.steps import unfolded

FAST = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
METHODS = [*MAP_METHODS, "captum:DeepLift"]
OPTIONS = {"occlusion": {"size": 5, "stride": 2, "fill": 0.0}, "smooth_gradient": {"noise": 0.01}}
SHARP = "input_x_gradient", "integrated_gradients", "captum:DeepLift"
FINE = "activation", "grad_cam", *SHARP


def decisions(model, X, chosen):
    """Return f of every sample by the public way, of the class that is chosen for each."""
    scores = model.decision_function(X)
    if scores.ndim == 1:
        return scores
    return np.take_along_axis(scores, np.reshape(chosen, (-1, 1)), axis=1)[:, 0]


def chosen_by(model, X):
    return np.searchsorted(model.classes_, model.predict(X))


# ------------------------------------------------------------------ of what is known: linear ones


@pytest.mark.parametrize(
    "shape, layout", [((9,), "L"), ((3, 8, 7), "CHW"), ((8, 7, 3), "HWC"), ((5, 6, 7), "DHW")]
)
def test_attributions_of_a_linear_model_are_weight_times_input(shape, layout):
    rng = np.random.default_rng(0)
    X, y = rng.normal(1, 2, (12, *shape)).astype(np.float32), np.arange(12) % 2
    model = StructuredClassifier(architecture="linear", layout=layout, **FAST).fit(X, y)
    head, ones = model.net_.module_.head.weight.detach().numpy(), (-1, *(1,) * (len(shape) - 1))
    weight = (head[1] - head[0]).reshape(model.in_shape_)
    samples = model._read(X, reset=False)
    ones = -1, *(1,) * (samples.ndim - 2)
    weight = weight / model.scale_.reshape(ones)
    expected = (weight * (samples - model.mean_.reshape(ones))).sum(axis=1)
    close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    close(gradient_map(model, X, kind="input_x_gradient"), expected)
    close(integrated_gradients(model, X, n_steps=1), expected)
    close(captum_map("DeepLift", model, X), expected)
    close(grad_cam_map(model, X, layer="stages", kind="hires_cam"), expected)
    close(
        integrated_gradients(model, X, baseline=X[0]), (weight * (samples - samples[0])).sum(axis=1)
    )
    # hidden behind the mean of the channel in the sample
    means = samples.mean(axis=tuple(range(2, samples.ndim)), keepdims=True)
    close(occlusion_map(model, X, size=1), (weight * (samples - means)).sum(axis=1))
    close(integrated_gradients(model, X, 0), -integrated_gradients(model, X, 1))


@pytest.mark.parametrize("name", ["rfnn", "rfnin_3d", "resnet_20", "irevnet", "pipeline"])
def test_integrated_gradients_add_up_to_what_sets_a_sample_apart_from_another(name):
    model, X, _ = fitted(name)
    X, chosen = X[:5], chosen_by(model, X[:5])
    if model.classes_.size == 2:
        chosen = np.ones_like(chosen)
    maps, gap = integrated_gradients(model, X, baseline=X[7 % len(X)], return_gap=True)
    change = decisions(model, X, chosen)
    change -= decisions(model, np.broadcast_to(X[7 % len(X)], X.shape), chosen)
    sums = maps.reshape(len(X), -1).sum(axis=1)
    np.testing.assert_allclose(sums + gap, change, rtol=1e-4, atol=1e-4)
    assert (np.abs(gap) <= 0.05 * np.abs(maps).reshape(len(X), -1).sum(axis=1)).all()


def test_what_integrated_gradients_miss_is_told():
    X = np.repeat(blob((20, 20), (9, 11), 2.0)[np.newaxis], 4, axis=0)
    model = detector().fit(X, [0, 1, 0, 1])
    see(model, X)
    with pytest.warns(RuntimeWarning, match=r"of 4 samples miss up to .*larger n_steps than 1 may"):
        _, rough = integrated_gradients(model, X, n_steps=1, return_gap=True)
    _, fine = integrated_gradients(model, X, n_steps=64, return_gap=True)
    assert np.abs(fine).max() < 0.1 * np.abs(rough).max()
    blurred = integrated_gradients(model, X, baseline="blur")
    assert not np.allclose(blurred, integrated_gradients(model, X))
    with pytest.raises(ValueError, match="baseline must be 'mean', 'blur' or a sample, got 'zero'"):
        integrated_gradients(model, X, baseline="zero")


def test_noisy_copies_are_explained_for_the_class_of_the_sample():
    model, X, _ = fitted("rfnn")
    chosen = chosen_by(model, X)
    maps = gradient_map(model, X, n_samples=4, noise=3.0)
    for column, label in enumerate(model.classes_):
        np.testing.assert_array_equal(
            maps[chosen == column],
            gradient_map(model, X, label, n_samples=4, noise=3.0)[chosen == column],
        )


# ------------------------------------------------------------------------------- at layers


@pytest.mark.parametrize(
    "name, layer", [("rfnin_3d", None), ("resnet_20", "stages"), ("irevnet", "head.relu")]
)
@pytest.mark.parametrize("kind", ["grad_cam", "hires_cam"])
def test_of_a_mean_and_a_linear_layer_grad_cam_is_the_class_activation(name, layer, kind):
    model, X, _ = fitted(name)
    n_places = np.prod(Opened(model).layers()[layer or "stages"][1:])
    maps = n_places * grad_cam_map(model, X[:6], layer=layer, kind=kind)
    np.testing.assert_allclose(maps, class_activation_map(model, X[:6]), rtol=1e-3, atol=1e-5)
    rectified = grad_cam_map(model, X[:6], layer=layer, kind=kind, rectify=True)
    assert (rectified >= 0).all()


def test_hires_cam_of_flattened_features_adds_up_to_the_logit_without_bias():
    model, X, _ = fitted("rfnn")
    chosen = chosen_by(model, X)
    places = grad_cam_map(model, X, kind="hires_cam")[:, ::2, ::2]  # those of the last layer
    bias = model.net_.module_.head.bias.detach().numpy()
    expected = decisions(model, X, chosen) - bias[chosen]
    np.testing.assert_allclose(places.sum(axis=(1, 2)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["rfnin_3d", "resnet_20", "irevnet", "scattering_net"])
def test_layers_with_places_have_maps(name):
    model, X, _ = fitted(name)
    opened = Opened(model)
    ndim = len(opened.in_shape) - 1
    for layer, shape in [*opened.layers().items()][::4]:
        if len(shape) == 1 + ndim:
            maps = grad_cam_map(model, X[:2], layer=layer)
            assert maps.shape == (2, *opened.in_shape[1:])
            assert np.isfinite(maps).all()
        else:
            with pytest.raises(ValueError, match="layer must be a layer that gives places"):
                grad_cam_map(model, X[:2], layer=layer)


# ----------------------------------------------------------------------------------- captum


@pytest.mark.parametrize("name", ["rfnn", "resnet_20", "rfnin_3d", "pipeline"])
def test_what_captum_computes_is_what_is_computed_here(name):
    pytest.importorskip("captum")
    model, X, _ = fitted(name)
    X, last = X[:4], unfolded(model)[-1]
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=2e-5)
    theirs = captum_map(
        "IntegratedGradients", model, X, n_steps=32, method="gausslegendre", baselines=0
    )
    close(theirs, integrated_gradients(model, X))
    if len(set(last.scale_)) == 1:
        theirs = captum_map("Saliency", model, X, abs=False) / last.scale_[0]
        close(theirs, gradient_map(model, X))
    theirs = captum_map("LayerGradCam", model, X, layer="stages")
    close(theirs, grad_cam_map(model, X, layer="stages"))
    theirs = captum_map("InputXGradient", model, X)
    close(theirs, gradient_map(model, X, kind="input_x_gradient"))


def test_captum_draws_alike_for_every_sample():
    pytest.importorskip("captum")
    model, X, _ = fitted("rfnn")
    quarters = torch.arange(4).reshape(2, 2).repeat_interleave(4, 0).repeat_interleave(4, 1)
    explain = partial(captum_map, "ShapleyValueSampling", feature_mask=quarters[None, None])
    maps = explain(model, X[:3], 1, n_samples=3)
    state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_allclose(explain(model, X[2:3], 1, n_samples=3)[0], maps[2], atol=1e-6)
    assert torch.equal(state[0], torch.get_rng_state())
    assert (state[1] == np.random.get_state()[1]).all()  # noqa: NPY002
    # Shapley values add up to what sets the sample apart from the mean
    blank = np.broadcast_to(np.float32(model.mean_[0]), X[:3].shape)
    change = model.decision_function(X[:3])[:, 1] - model.decision_function(blank)[:, 1]
    np.testing.assert_allclose(maps[:, ::4, ::4].sum(axis=(1, 2)), change, rtol=1e-4, atol=1e-5)
    guided = captum_map("GuidedGradCam", model, X[:2], layer="stages.0")
    assert guided.shape == (2, 8, 8)
    with pytest.raises(ValueError, match=r"class of captum\.attr or its name, got 'DeepLifting'"):
        captum_map("DeepLifting", model, X)


# ------------------------------------------------------------------------ any estimator, any X


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_of_its_sample_alone_and_leaves_no_trace(method):
    model, X, _ = fitted("resnet_20")
    network, explain = model.net_.module_, map_method(method)
    before = copy.deepcopy(network.state_dict())
    gradients = [copy.deepcopy(parameter.grad) for parameter in network.parameters()]
    noise = torch.get_rng_state()
    maps = explain(model, X[:6])
    assert maps.shape == (6, 16, 16)
    assert maps.dtype == np.float32
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        np.testing.assert_allclose(explain(model, X[4:5])[0], maps[4], rtol=1e-4, atol=1e-5)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)
    assert not network.training
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
    assert torch.equal(noise, torch.get_rng_state())


@pytest.mark.parametrize("method", METHODS)
def test_rows_searches_and_lists_are_explained_like_arrays(method):
    X, y = digits()
    explain = map_method(method)
    if method == "activation":
        model = StructuredClassifier(architecture="rfnin", **FAST).fit(X, y)
        maps = explain(model, X[:3])
        flat = StructuredClassifier(architecture="rfnin", image_shape=(8, 8), **FAST)
    else:
        model = RFNNClassifier(widths=(4,), **FAST).fit(X, y)
        maps = explain(model, X[:3])
        flat = RFNNClassifier(widths=(4,), image_shape=(8, 8), **FAST)
    search = GridSearchCV(make_pipeline("passthrough", flat), {}, cv=2).fit(X.reshape(-1, 64), y)
    np.testing.assert_allclose(explain(search, X[:3].reshape(-1, 64)), maps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_outputs_at_every_place_are_explained_by_their_mean(method):
    X, _ = digits()
    model = StructuredMapClassifier(**FAST).fit(X, X > 8)
    maps = map_method(method)(model, X[:3])
    assert maps.shape == (3, 8, 8)
    if method == "activation":
        scores = model.decision_function(X[:3])
        np.testing.assert_allclose(maps, scores[:, 1] - scores[:, 0], rtol=1e-5, atol=1e-6)
    if method == "integrated_gradients":
        said, gap = integrated_gradients(model, X[:3], baseline=X[5], return_gap=True)
        scores = model.decision_function(X[[0, 1, 2, 5]]).mean(axis=(2, 3))
        change = np.diff(scores[:3] - scores[3], axis=1)[:, 0]
        np.testing.assert_allclose(said.sum(axis=(1, 2)) + gap, change, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_values_in_the_units_of_y_are_explained(method):
    X = digits()[0]
    y = np.stack([X[:, 3, 3], 1000 * X[:, 4, 4]], axis=1)
    model = StructuredRegressor(architecture="rfnin", dtype="float64", **FAST).fit(X, y)
    explain = map_method(method)
    maps = [explain(model, X[:2], target) for target in (0, 1)]
    assert np.abs(maps[1]).max() > 10 * np.abs(maps[0]).max()
    with pytest.raises(ValueError, match="number of a value, from 0 to 1, got None"):
        explain(model, X)


def test_boxes_of_occlusion_hold_all_channels():
    model, X, _ = fitted("resnet_20")
    one = occlusion_map(model, X[:2], size=4, stride=3, fill=0.0)
    assert one.shape == (2, 16, 16)
    boxes = occlusion_map(model, X[:2], size=(3, 4, 4), stride=(3, 3, 3), fill=0.0)
    np.testing.assert_allclose(boxes, np.repeat(one[:, None], 3, axis=1), atol=1e-6)
    y = np.arange(len(X)) % 2
    linear = partial(StructuredClassifier, architecture="linear", **FAST)
    last = linear(layout="HWC").fit(np.moveaxis(X, 1, -1), y)
    first = linear(layout="CHW").fit(X, y)
    explain = partial(occlusion_map, size=(5, 4))
    np.testing.assert_allclose(
        explain(last, np.moveaxis(X[:2], 1, -1)), explain(first, X[:2]), rtol=1e-4, atol=1e-6
    )
    mask = np.zeros((16, 16), bool)
    mask[4:9] = True
    masked = occlusion_map(model, X[:2], size=4, mask=mask)
    assert not masked[:, ~mask].any()
    assert masked[:, mask].any()


# ------------------------------------------------------------- back in the space of the subject


def blob(shape, place, width):
    """Return a Gaussian about a place, in samples."""
    ones = (-1, *(1,) * len(shape))
    distance = np.linalg.norm(np.indices(shape) - np.reshape(place, ones), axis=0)
    return np.exp(-(distance**2) / (2 * width**2)).astype(np.float32)


def detector():
    """Return what ``see`` lets see bright blobs: Gaussian, threshold, mean over places."""
    architecture = RFNiN(widths=(1,), strides=2, mixing=False, pools=False, largest=20)
    return StructuredClassifier(architecture=architecture, standardize=False, **FAST)


def see(model, X):
    """Let a network see what is brighter than a third of the brightest in X, as it smoothes it."""
    network = model.net_.module_
    with torch.no_grad():
        group = network.stages.group1.parts["spatial"]
        group.norm.reset_parameters()
        group.norm.running_mean.zero_()
        group.norm.running_var.fill_(1)
        group.conv.weight.zero_()[0, 0, 0] = 1
        group.norm.bias.zero_()
        group.norm.bias.sub_(network.maps(torch.from_numpy(X)[:, None]).max() / 3)
        network.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))


def centre(values):
    """Return where the middle of what is positive lies."""
    values = np.maximum(values, 0).astype(np.float64)
    return [(index * values).sum() / values.sum() for index in np.indices(values.shape)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "shape, place",
    [
        ((33, 28), (12, 17)),
        ((15, 14, 16), (9, 6, 7)),
        ((25, 19, 17), (10, 12, 7)),  # averaged over 2x2x2, the last ones over less
        ((25, 19, 17), (19, 7, 11)),
    ],
)
def test_a_planted_blob_is_where_the_map_is_largest(shape, place, method):
    block = 4 if max(shape) == 25 else 2  # from place to place of the last layer
    X = blob(shape, place, 2.0)[np.newaxis]
    model = detector().fit(np.repeat(X, 4, axis=0), [0, 1, 0, 1])
    see(model, X)
    values = map_method(method)(model, X, 1, **OPTIONS.get(method, {}))[0]
    largest = np.unravel_index(values.argmax(), shape)
    np.testing.assert_allclose(largest, place, atol=1 if method in SHARP else block / 2)
    # slopes are alike wherever something is seen, however little
    np.testing.assert_allclose(centre(values), place, atol=0.4 if method in FINE else block / 2)


AFFINES = {
    "straight": np.diag([3.0, 3.0, 3.0, 1.0]),
    "reversed": np.diag([-3.0, -3.0, 3.0, 1.0]),
    "exchanged": np.array([[0, 0, 3.0, 0], [-3.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 0, 1]]),
    "oblique": np.array([[2.9, 0.5, 0, 0], [-0.5, 2.9, 0, 0], [0, 0, 3.2, 0], [0, 0, 0, 1.0]]),
}


def scan(path, affine, place=None, shape=(27, 33, 29)):
    """Write a bright ball of a head with a blob at a place in millimetres, about the origin."""
    affine = affine.copy()
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)
    mm = np.einsum("ij,j...->i...", affine[:3, :3], np.indices(shape))
    mm += affine[:3, 3].reshape(3, 1, 1, 1)
    voxels = (np.linalg.norm(mm, axis=0) < 38) * 0.05
    if place is not None:
        distance = np.linalg.norm(mm - np.reshape(place, (3, 1, 1, 1)), axis=0)
        voxels = voxels + np.exp(-(distance**2) / (2 * 6.0**2))
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), path)
    return str(path)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("orientation", AFFINES)
def test_a_blob_comes_back_in_the_space_of_the_subject(tmp_path, orientation, method):
    place = 14.0, -11.0, 8.0
    paths = [scan(tmp_path / f"{n}.nii.gz", AFFINES["straight"], place) for n in range(4)]
    options = {
        "straight": {"scaling": None},
        "reversed": {"scaling": None, "spacing": 3.5},
        "exchanged": {"scaling": None, "mask": "brain", "crop": True},
        "oblique": {"scaling": None, "shape": (31, 30, 29), "mask": "brain"},
    }[orientation]
    model = on_paths(detector(), **options).fit(paths, [0, 1, 0, 1])
    subject = scan(tmp_path / "subject.nii.gz", AFFINES[orientation], place)
    see(model[-1], model[0].transform([subject]))
    values = map_method(method)(model, [subject], 1, **OPTIONS.get(method, {}))[0]
    model[0].to_nifti(values, tmp_path / "map.nii.gz", subject=subject)
    image = nibabel.load(tmp_path / "map.nii.gz")
    assert image.shape == (27, 33, 29)
    found = image.affine[:3] @ [*centre(image.get_fdata()), 1]
    np.testing.assert_allclose(found, place, atol=2 if method in FINE else 3)  # mm, of voxels of 3
    largest = np.unravel_index(image.get_fdata().argmax(), image.shape)
    block = 4 * max(model[0].spacing_)
    distance = np.abs(image.affine[:3] @ [*largest, 1] - place)
    assert distance.max() <= (4 if method in SHARP else block / 2 + 3)


def test_paths_give_the_maps_of_their_volumes(tmp_path):
    cohort = simulate_cohort(tmp_path / "cohort", n_subjects=4, shape=(12, 14, 12), spacing=14.0)
    network = StructuredClassifier(architecture="rfnin", **FAST)
    model = on_paths(network, mask="brain").fit(cohort.X, cohort.y)
    volumes = model[0].transform(cohort.X)
    for method in METHODS:
        maps = map_method(method)(model, cohort.X)
        options = {"mask": model[0].mask_} if method == "occlusion" else {}
        of_arrays = map_method(method)(model[-1], volumes, **options)
        np.testing.assert_allclose(maps, of_arrays, rtol=1e-4, atol=1e-5)
    other = integrated_gradients(model, cohort.X[:1], baseline=cohort.X[1])
    volume = integrated_gradients(model[-1], volumes[:1], baseline=volumes[1])
    np.testing.assert_allclose(other, volume, rtol=1e-5, atol=1e-6)


def test_methods_have_names():
    assert map_method("gradient") is gradient_map
    assert map_method(len) is len
    with pytest.raises(ValueError, match=r"method must be one of 'activation', .*got 'magic'"):
        map_method("magic")
