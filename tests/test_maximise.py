"""What units want: of a linear network it is known, of any other it is compared."""

from functools import partial
from itertools import starmap

import numpy as np
import pytest
import torch
from fitted import MAKERS, digits, fitted
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_inspection import assert_legible
from torch import nn

from sklstruct import (
    RFNNClassifier,
    StructuredClassifier,
    StructuredMapRegressor,
    StructuredRegressor,
)
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import (
    MaximisedDisplay,
    best_patches,
    filters,
    grad_cam_map,
    maximise,
    responses,
)
from sklstruct.inspection.maximisation import Span
from sklstruct.inspection.maximised_display import Driving
from sklstruct.inspection.opened import Opened

RNG = np.random.default_rng(0)
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SHAPES = {1: (21,), 2: (11, 14), 3: (9, 8, 11)}
FIRST = {1: "CL", 2: "CHW", 3: "CDHW"}
LAST = {1: "LC", 2: "HWC", 3: "DHWC"}
NOISY = pytest.mark.filterwarnings("ignore")  # constant pixels, samples unlike the training


class Convolving(nn.Module):
    """One convolution, the means of its channels, and a linear layer."""

    def __init__(self, in_shape, n_outputs, n_channels=2, stride=1):
        super().__init__()
        self.conv = CONV[len(in_shape) - 1](in_shape[0], n_channels, 5, stride=stride, padding=2)
        self.head = nn.Linear(n_channels, n_outputs)

    def forward(self, x):
        return self.head(self.conv(x).flatten(2).mean(2))


class Linear(nn.Module):
    """A linear function of all values."""

    def __init__(self, in_shape, n_outputs):
        super().__init__()
        self.head = nn.Linear(int(np.prod(in_shape)), n_outputs)

    def forward(self, x):
        return self.head(x.flatten(1))


def trained(architecture, shape, n_classes=2, kind=StructuredClassifier, **params):
    X = RNG.normal(2, 3, (12, *shape))
    y = np.arange(12) % n_classes
    model = kind(architecture=architecture, max_epochs=1, random_state=0, device="cpu", **params)
    return model.fit(X, y if kind is StructuredClassifier else y + 0.5), X


def cosine(a, b):
    a, b = np.ravel(a), np.ravel(b)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def standardised(model, samples):
    opened = Opened(model)
    return opened.run(opened.read(samples), torch.clone)


def sizes(x):
    return np.sqrt((x.reshape(len(x), -1) ** 2).mean(axis=1))


# A linear unit ------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", SHAPES)
def test_a_convolution_is_driven_most_by_its_kernel_where_it_is(ndim):
    shape = SHAPES[ndim]
    model, _ = trained(Convolving, (3, *shape), layout=FIRST[ndim])
    centre = tuple(n // 2 for n in shape)
    found = standardised(model, maximise(model, (1, *centre), "conv", n_starts=2))
    wanted = np.zeros((3, *shape))
    box = tuple(slice(c - 2, c + 3) for c in centre)
    wanted[:, *box] = model.net_.module_.conv.weight.detach()[1]
    assert all(cosine(one, wanted) > 0.99 for one in found)
    np.testing.assert_allclose(sizes(found), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", [StructuredClassifier, StructuredRegressor])
def test_an_output_of_a_linear_network_is_driven_most_by_its_weights(kind):
    model, _ = trained(Linear, (6, 9), kind=kind)
    weights = model.net_.module_.head.weight.detach().numpy()
    wanted = weights[1] - weights[0] if kind is StructuredClassifier else weights[0]
    found, values = maximise(model, contrast=2.0, return_responses=True)
    x = standardised(model, found)
    assert cosine(x[0], wanted) > 0.999
    np.testing.assert_allclose(sizes(x), 2, rtol=1e-4)
    np.testing.assert_allclose(values, responses(model, found), rtol=1e-5)
    assert (np.diff(values) <= 0).all()


def test_of_several_classes_it_is_the_logit():
    model, X = trained(Linear, (6, 9), n_classes=3)
    weights = model.net_.module_.head.weight.detach().numpy()
    assert cosine(standardised(model, maximise(model, 2))[0], weights[2]) > 0.999
    logits = np.stack([responses(model, X, label) for label in range(3)], axis=1)
    np.testing.assert_allclose(responses(model, X), logits.max(axis=1))
    np.testing.assert_array_equal(logits.argmax(axis=1), model.predict(X))


def test_a_planted_filter_is_found_again():
    model, _ = trained(Convolving, (15, 15))
    stripes = torch.sin(torch.arange(5) * 1.5).expand(5, 5)
    with torch.no_grad():
        model.net_.module_.conv.weight[1] = stripes
    found = maximise(model, 1, "conv", over="max", n_starts=1)[0]
    windows = np.lib.stride_tricks.sliding_window_view(found - found.mean(), (5, 5))
    matches = [cosine(window, stripes) for window in windows.reshape(-1, 5, 5)]
    assert max(matches) > 0.99


# Priors -------------------------------------------------------------------------------------


def roughness(x):
    """Return the share of the energy that lies above half of the largest frequency."""
    spectrum = np.abs(np.fft.fft2(x - x.mean(axis=(-2, -1), keepdims=True))) ** 2
    high = np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16))) > 0.25
    return spectrum[..., high].sum() / spectrum.sum()


def test_with_a_frame_samples_are_sums_of_its_atoms_and_smoother():
    model, X = trained(Linear, (16, 16))
    family = GaussianDerivatives(order=1, scales=(2.0,))
    found = standardised(model, maximise(model, X=X, prior=family, jitter=0))
    atoms = family.build(2).atoms
    grid = [(y, x) for y in range(1, 16, 4) for x in range(1, 16, 4)]  # two deviations apart
    span = []
    for atom in atoms:
        for y, x in grid:
            padded = np.zeros((30, 30))
            padded[y + 1 : y + 14, x + 1 : x + 14] = atom
            span.append(padded[7:23, 7:23].ravel())
    basis, *_ = np.linalg.svd(np.array(span).T, full_matrices=False)
    assert basis.shape[1] == 48  # of 256
    rows = found.reshape(len(found), -1)
    np.testing.assert_allclose(rows @ basis @ basis.T, rows, atol=1e-5)
    assert (
        roughness(found[:, 0]) < 0.03 < 0.3 < roughness(standardised(model, maximise(model))[:, 0])
    )


@pytest.mark.parametrize("ndim", SHAPES)
@pytest.mark.parametrize("prior", ["gaussian", "framelet", GaussianDerivatives(1, (1.0, 2.5))])
def test_steps_in_a_frame_are_symmetric_and_never_downhill(prior, ndim):
    like = torch.zeros((), dtype=torch.float64)
    span = Span(prior, SHAPES[ndim], like)
    x, y = torch.from_numpy(RNG.normal(size=(2, 1, 2, *SHAPES[ndim])))
    torch.testing.assert_close((span(x) * y).sum(), (x * span(y)).sum())
    assert (span(x) * x).sum() > 0
    torch.testing.assert_close(Span("pixel", SHAPES[ndim], like)(x), x, rtol=0, atol=0)


def test_variation_and_diversity_do_what_they_say():
    model, _, _ = fitted("rfnn")
    plain, smooth = maximise(model, 1), maximise(model, 1, total_variation=0.5)
    apart = maximise(model, 1, diversity=1.0)

    def variation(x):
        return sum(np.abs(np.diff(x, axis=axis)).sum() for axis in (1, 2))

    def alike(x):
        rows = standardised(model, x).reshape(len(x), -1)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return (rows @ rows.T)[np.triu_indices(len(x), 1)].mean()

    assert variation(smooth) < variation(plain)
    assert alike(apart) < alike(plain)
    assert not np.array_equal(maximise(model, 1, blur=1.0), plain)


# Any model ----------------------------------------------------------------------------------


def units_of(name):
    """Return an output, and a channel of a layer in the middle."""
    model, _, y = fitted(name)
    layers = [key for key, shape in Opened(model).layers().items() if len(shape) > 1]
    return (None if len(set(y)) == 2 else 1, None), (0, layers[len(layers) // 2])


def state_of(network):
    """Return copies of all that could be left in a network."""
    hooks = [len(layer._forward_hooks) for layer in network.modules()]
    modes = [layer.training for layer in network.modules()]
    stored = [getattr(layer, "store_activations", True) for layer in network.modules()]
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    tensors = [*network.state_dict().values(), *gradients, torch.tensor([hooks, modes, stored])]
    return [tensor.clone() for tensor in tensors]


@NOISY
@pytest.mark.parametrize("name", MAKERS)
def test_no_sample_drives_a_unit_as_much_and_nothing_is_left_behind(name):
    model, X, _ = fitted(name)
    opened = Opened(model)
    before = state_of(opened.network)
    for unit, layer in units_of(name):
        found, values = maximise(
            model, unit, layer, X=X, steps=8, n_starts=2, return_responses=True
        )
        assert found.shape == (2, *X.shape[1:])
        assert np.isfinite(found).all()
        best = responses(model, X, unit, layer).max()
        assert values[0] >= best - 1e-5 * abs(best)
        np.testing.assert_allclose(
            responses(model, found, unit, layer), values, rtol=1e-3, atol=1e-4 * abs(values).max()
        )
        smooth = maximise(model, unit, layer, prior="gaussian", steps=2, n_starts=1)
        assert np.isfinite(smooth).all()
    after = state_of(opened.network)
    assert all(starmap(torch.equal, zip(before, after, strict=True)))


@NOISY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_seeds_give_equal_bits_and_a_start_needs_no_company(dtype):
    X, y = digits()
    model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0, dtype=dtype).fit(X, y)
    found, values = maximise(model, 1, return_responses=True)
    assert found.dtype == dtype
    assert found.tobytes() == maximise(model, 1).tobytes()
    assert found.tobytes() != maximise(model, 1, random_state=1).tobytes()
    alone, value = maximise(model, 1, n_starts=1, return_responses=True)
    nearest = np.abs(values - value).argmin()
    np.testing.assert_allclose(alone[0], found[nearest], rtol=1e-3, atol=1e-3)


def test_what_a_layer_gives_is_known_where_the_next_one_changes_it_in_place():
    def build(inplace, in_shape, n_outputs):
        return nn.Sequential(
            nn.Conv2d(in_shape[0], 3, 3),
            nn.ReLU(inplace),
            nn.Conv2d(3, 4, 3),
            nn.ReLU(inplace),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, n_outputs),
        )

    (apart, X), (inside, _) = (
        trained(partial(build, inplace), (1, 9, 9), layout="CHW") for inplace in (False, True)
    )
    inside.net_.module_.load_state_dict(apart.net_.module_.state_dict())
    inside.mean_, inside.scale_ = apart.mean_, apart.scale_
    for look in (
        partial(responses, X=X, unit=1, layer="0"),
        partial(maximise, unit=1, layer="0", X=X, steps=3),
        partial(grad_cam_map, X=X, layer="2"),
        partial(filters, layer="2", of="input"),
    ):
        np.testing.assert_array_equal(look(inside), look(apart))
    for model in (inside, apart):
        model.feature_layer = "0"
    np.testing.assert_array_equal(inside.transform(X), apart.transform(X))
    assert responses(inside, X, 1, "0").min() < responses(inside, X, 1, "1").min()


def test_a_unit_without_slope_is_met_by_chance():
    class Late(Linear):
        def forward(self, x):
            return (self.head(x.flatten(1)) - 0.2).relu()

    model, _ = trained(Late, (4, 4))
    with torch.no_grad():
        model.net_.module_.head.weight[:] = torch.eye(2, 16)
        model.net_.module_.head.bias[:] = 0
    assert responses(model, np.full((1, 4, 4), 2.0), (1,), "head")[0] < 0.2
    assert (maximise(model, 1, return_responses=True)[1] > 3).all()


def test_maps_scans_and_flat_rows_come_back_as_they_went(tmp_path):
    X, _ = digits()
    maps = StructuredMapRegressor(max_epochs=1, random_state=0).fit(X, X)
    assert maximise(maps, n_starts=1).shape == (1, 8, 8)
    cohort = simulate_cohort(tmp_path, n_subjects=8, shape=(10, 10, 8), spacing=20.0)
    network = StructuredClassifier(architecture=Convolving, max_epochs=1, random_state=0)
    scans = on_paths(network).fit(cohort.X, cohort.y)
    assert maximise(scans, X=cohort.X, n_starts=2, steps=4).shape == (2, 10, 10, 8)
    patches, table = best_patches(scans, cohort.X, 1, "conv", n_patches=3)
    assert patches.shape == (3, 5, 5, 5)
    centre = table[["place_0", "place_1", "place_2"]].to_numpy()
    affine = scans[0].affine_
    np.testing.assert_allclose(
        table[["x_mm", "y_mm", "z_mm"]], centre @ affine[:3, :3].T + affine[:3, 3]
    )


# Patches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("ndim", SHAPES)
def test_planted_templates_are_found_where_they_are(ndim, stride):
    shape = tuple(n + (n + 1) % 2 for n in SHAPES[ndim])
    model, _ = trained(lambda *a: Convolving(*a, stride=stride), (*shape, 2), layout=LAST[ndim])
    template = RNG.normal(size=(2, *(5,) * ndim))
    with torch.no_grad():
        model.net_.module_.conv.weight[1] = torch.from_numpy(template)
    X = RNG.normal(2, 0.3, (6, *shape, 2))
    corners = {1: (0,) * ndim, 4: tuple(n - 5 for n in shape), 5: (2,) * ndim}
    for height, (number, corner) in enumerate(corners.items(), 1):
        box = tuple(slice(c, c + 5) for c in corner)
        X[number, *box] += 5 * (4 - height) * np.moveaxis(template, 0, -1)
    patches, table = best_patches(model, X, 1, "conv", n_patches=3)
    assert table["sample"].tolist() == [*corners]
    starts = table[[f"start_{axis}" for axis in range(ndim)]].to_numpy()
    np.testing.assert_array_equal(starts, [*corners.values()])
    for patch, (number, corner) in zip(patches, corners.items(), strict=True):
        box = tuple(slice(c, c + 5) for c in corner)
        np.testing.assert_allclose(patch, X[number, *box], rtol=1e-5, atol=1e-5)
    values = responses(model, X, 1, "conv", over="max")
    np.testing.assert_allclose(table["response"], values[[*corners]], rtol=1e-5)


def test_patches_beyond_the_border_have_the_mean_and_those_of_a_sample_do_not_overlap():
    model, _ = trained(Convolving, (13, 13))
    with torch.no_grad():  # what it says is what is in the middle of what it sees
        model.net_.module_.conv.weight[0] = 0.01
        model.net_.module_.conv.weight[0, 0, 2, 2] = 1
    X = np.full((1, 13, 13), 2.0)
    X[0, 0, 0], X[0, 2, 3], X[0, 6, 0], X[0, 12, 12] = 20, 16, 12, 8
    patches, table = best_patches(model, X, 0, "conv", per_sample=3)
    assert table[["place_0", "place_1"]].to_numpy().tolist() == [[0, 0], [6, 0], [12, 12]]
    np.testing.assert_allclose(patches[0, :2], model.mean_[0], rtol=1e-6)
    assert patches[:, 2, 2].round(4).tolist() == [20, 12, 8]


def test_flat_rows_give_patches_of_images_in_their_units():
    model, X, _ = fitted("pipeline")
    patches, table = best_patches(model, X, 1, "stages.0.0", n_patches=4)
    for patch, row in zip(patches, table.itertuples(), strict=True):
        image = np.pad(X[row.sample].reshape(8, 8), 3, constant_values=np.nan)
        own = image[row.start_0 + 3 :, row.start_1 + 3 :][:7, :7]
        np.testing.assert_allclose(patch[~np.isnan(own)], own[~np.isnan(own)], atol=1e-4)


@NOISY
@pytest.mark.parametrize("name", MAKERS)
def test_patches_of_any_model_drive_it_as_the_table_says(name):
    model, X, _ = fitted(name)
    for unit, layer in units_of(name):
        table = best_patches(model, X, unit, layer, n_patches=3).table
        values = responses(model, X, unit, layer, over="max")
        np.testing.assert_allclose(table["response"], np.sort(values)[:-4:-1], rtol=1e-4, atol=1e-5)


# Pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rfnn", "resnet_20", "rfnin_3d", "pipeline"])
def test_a_picture_shows_what_the_numbers_say_in_a_column_of_a_paper(name):
    model, X, _ = fitted(name)
    layer = units_of(name)[1][1]
    display = MaximisedDisplay.from_estimator(model, [0, 1], layer, X=X, steps=4).plot()
    table = display.to_frame()
    assert len(table) == len(display.axes_) == 12
    best = responses(model, X, 1, layer, over="max").max()
    rows = table[(table["unit"] == 1) & (table["rank"] == 0)].set_index("kind")["response"]
    np.testing.assert_allclose(rows["patch"], best, rtol=1e-4)
    assert rows["maximised"] >= rows["patch"] * (1 - 1e-5)
    assert display.figure_.get_figwidth() < 4
    assert_legible(display.figure_)


def test_a_picture_of_all_outputs_needs_no_samples():
    model, _, _ = fitted("rfnn")
    display = MaximisedDisplay.from_estimator(model, n_starts=2, steps=2)
    assert display.units == [0, 1, 2]
    assert len(display.axes_) == 6
    scan = Driving(RNG.normal(size=(1, 1, 1, 5, 6, 7)), np.ones((1, 1)))
    drawn = MaximisedDisplay(["a"], scan, spacing=(2.0, 2.0, 3.0)).plot().figure_
    assert "10 \N{MULTIPLICATION SIGN} 12 \N{MULTIPLICATION SIGN} 21 mm" in [
        text.get_text() for text in drawn.texts
    ]


@NOISY
def test_behind_steps_with_values_of_their_own_pictures_are_what_the_network_reads():
    X, y = digits()
    model = RFNNClassifier(image_shape=(4, 4), widths=(4,), max_epochs=1, random_state=0)
    chain = make_pipeline(PCA(16, random_state=0), model).fit(X.reshape(-1, 64), y)
    display = MaximisedDisplay.from_estimator(
        chain, [0], X=X.reshape(-1, 64), n_starts=2, n_patches=2, steps=2
    )
    assert display.maximised.images.shape == (1, 2, 1, 4, 4)
    made = maximise(chain, 0, X=X.reshape(-1, 64), n_starts=2, steps=2, over="max")
    read = Opened(chain).read(made)
    np.testing.assert_allclose(display.maximised.images[0], read, atol=1e-4)


# What is refused ----------------------------------------------------------------------------


def test_errors_say_what_is_wrong():
    model, X, _ = fitted("rfnn")
    for params, words in (
        ({"unit": 6, "layer": "stages.0"}, r"unit must be .* within \(6, 4, 4\) .* got 6"),
        ({"unit": (1, 2), "layer": "stages.0"}, r"got \(1, 2\)"),
        ({"layer": "stages.0"}, "got None"),
        ({"unit": 1, "layer": "stage"}, "layer='stage' is no layer"),
        ({"unit": 7}, r"target must be one of the classes \[0, 1, 2\], got 7"),
        ({"prior": "gauss"}, "gauss"),
        ({"contrast": 0}, "contrast must be a finite number above 0"),
        ({"over": "sum"}, "over must be one of"),
        ({"n_starts": 0}, "n_starts must be an integer of at least 1"),
        ({"X": X[:, :4]}, "X"),
    ):
        with pytest.raises(ValueError, match=words):
            maximise(model, **params)
    with pytest.raises(NotFittedError):
        maximise(RFNNClassifier())
    with pytest.raises(TypeError, match="network estimator"):
        responses(StandardScaler().fit(X[0]), X)
