"""Pyramids, networks that read several resolutions, and what the resolutions have in common."""

import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pywt
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklstruct_multiscale.architecture import SCALES, Multiscale
from test_inspection import assert_legible
from torch import nn

from sklstruct import MultiscaleClassifier, MultiscaleRegressor, StructuredClassifier
from sklstruct.estimators import load_model, save_model
from sklstruct.inspection import RedundancyDisplay, redundancy
from sklstruct.layers import Network, Pyramid
from sklstruct.training import CrossEntropy, SquaredError

ROOT = Path(__file__).parents[1]
KINDS = "projection", "learned", "haar", "db2"
WAVELETS = KINDS[2:]
ROUNDING = {torch.float32: 1e-6, torch.float64: 1e-12}
EXTENTS = st.lists(st.integers(1, 19), min_size=1, max_size=3).filter(lambda e: max(e) > 1)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:120].reshape(-1, 8, 8) / 16, y[:120]


def noise(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=dtype, generator=generator)


def pyramid(levels, kind, dtype=torch.float64):
    """Return a pyramid whose weights, if it has any, are not those of a new one."""
    made = Pyramid(levels, kind).to(dtype)
    for seed, weights in enumerate(made.parameters()):
        weights.data = noise(4, seed=seed, dtype=dtype)
    return made


def most_levels(extents):
    return (max(extents) - 1).bit_length()


# --- pyramids -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ROUNDING)
@given(extents=EXTENTS, seed=st.integers(0, 100))
@torch.no_grad()
def test_nothing_is_lost_whatever_the_extents(dtype, kind, extents, seed):
    split, x = (
        pyramid(most_levels(extents), kind, dtype),
        noise(2, 3, *extents, seed=seed).to(dtype),
    )
    parts = split(x)
    assert parts[0].shape[2:] == (1,) * len(extents)
    assert (split.inverse(parts) - x).abs().max() < ROUNDING[dtype] * x.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@given(extents=EXTENTS, seed=st.integers(0, 100))
@torch.no_grad()
def test_low_resolutions_are_orthogonal_projections_one_in_the_other(kind, extents, seed):
    split, x = pyramid(most_levels(extents), kind), noise(1, 2, *extents, seed=seed)
    found = [split.low_pass(x, level) for level in range(split.levels + 1)]
    terms = [one - other for one, other in pairwise([*found, torch.zeros_like(x)])]
    torch.testing.assert_close(sum(terms), x, rtol=0, atol=1e-12)
    gram = torch.stack(terms).flatten(1) @ torch.stack(terms).flatten(1).T
    assert (gram - gram.diag().diag()).abs().max() < 1e-10 * x.square().sum()
    for level, low in enumerate(found):
        torch.testing.assert_close(split.low_pass(low, level), low, rtol=0, atol=1e-10)


@pytest.mark.parametrize("extent", [8, 9])
@torch.no_grad()
def test_the_projection_is_that_of_least_squares(extent):
    """By NumPy, on linear interpolation from every fourth sample: B-splines are refinable."""
    places, knots = np.arange(extent), np.arange(0, extent, 4)
    hats = np.stack([np.interp(places, knots, row) for row in np.eye(len(knots))], axis=1)
    x = noise(extent)
    expected = hats @ np.linalg.lstsq(hats, x.numpy(), rcond=None)[0]
    found = Pyramid(2).double().low_pass(x[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", WAVELETS)
@given(extents=EXTENTS)
@torch.no_grad()
def test_wavelets_keep_the_energy_and_the_number_of_values(kind, extents):
    x = noise(2, 1, *extents)
    low, *details = Pyramid(most_levels(extents), kind)(x)
    parts = [low, *(band for bands in details for band in bands)]
    assert sum(part.numel() for part in parts) == x.numel()
    energy = sum(part.square().sum() for part in parts)
    torch.testing.assert_close(energy, x.square().sum())


@pytest.mark.parametrize("kind, shift", [("haar", 0), ("db2", 1)])
@torch.no_grad()
def test_wavelets_are_those_of_pywavelets(kind, shift):
    x = noise(1, 1, 12, 10)
    low, (columns, rows, both) = Pyramid(1, kind)(x.roll((shift, shift), (2, 3)))
    known, bands = pywt.dwt2(x[0, 0].numpy(), kind, mode="periodization")
    for found, expected in zip((low, rows, columns, both), (known, *bands), strict=True):
        np.testing.assert_allclose(found[0, 0], expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_pyramids(kind):
    split, x = pyramid(2, kind), noise(2, 1, 5, 4).requires_grad_()

    def parts(x, *weights):
        low, *details = split(x)
        return low, *(band for bands in details for band in bands)

    assert torch.autograd.gradcheck(parts, (x, *split.parameters()))
    assert torch.autograd.gradcheck(split.low_pass, (x,))


def test_learning_cannot_lose_the_inverse():
    """Towards the least details, with steps that would break what is not invertible by design."""
    split = Pyramid(2, "learned")
    x = noise(4, 1, 21, 16, dtype=torch.float32).cumsum(2).cumsum(3)
    optimizer, sizes = torch.optim.Adam(split.parameters(), lr=0.3), []
    for _ in range(30):
        optimizer.zero_grad()
        size = sum(band.square().mean() for bands in split(x)[1:] for band in bands)
        sizes.append(size.item())
        size.backward()
        optimizer.step()
    assert min(sizes) < sizes[0]
    with torch.no_grad():
        lost = split.inverse(split(x)) - x
        low = split.low_pass(x)
    assert lost.abs().max() < 1e-6 * x.abs().max()
    torch.testing.assert_close(split.low_pass(low), low, rtol=0, atol=1e-5 * float(x.abs().max()))


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: Pyramid(kind="db3"), "kind must be one of .*, got 'db3'"),
        (lambda: Pyramid(0), "levels must be an integer of at least 1, got 0"),
        (lambda: Pyramid(4)(noise(1, 1, 8, 8)), "at most 3 for samples of .8, 8. places.* got 4"),
        (lambda: Pyramid()(noise(8, 8)), r"\(n, channels, \*spatial\).* got \(8, 8\)"),
        (lambda: Pyramid(2).inverse(Pyramid()(noise(1, 1, 8))), "2 levels, got 2 parts"),
        (lambda: Pyramid().low_pass(noise(1, 1, 8), 2), "level must be .* 0 to 1, got 2"),
    ],
)
def test_what_pyramids_refuse(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


# --- networks -------------------------------------------------------------------------------


def gradients(scales, *, main):
    """Return which parts of a network the loss of the outputs, or of the sides, moves."""
    torch.manual_seed(0)
    network = Multiscale(scales=scales, widths=(4, 6), split="learned").build((1, 9, 8), 3).train()
    outputs, *sides = network(noise(5, 1, 9, 8, dtype=torch.float32))
    (outputs if main else sides[0]).square().sum().backward()
    parts = dict(network.named_children()) | dict(network.stages.named_children())
    return {
        name
        for name, part in parts.items()
        if any(p.grad is not None and p.grad.any() for p in part.parameters())
    } - {"stages"}


def test_a_detached_level_learns_from_its_own_softmax_alone():
    rest = {"1", "pyramids", "embed", "head"}
    assert gradients("supervised-detached", main=True) == rest
    assert gradients("supervised-detached", main=False) == {"0", "sides"}
    assert gradients("supervised", main=True) == {"0", *rest}
    assert gradients("supervised", main=False) == {"0", "sides"}


@pytest.mark.parametrize("n_outputs", [10, 43])
def test_networks_differ_in_what_the_embedding_reads_alone(n_outputs):
    numbers, trunks = [], []
    for scales in SCALES:
        torch.manual_seed(0)
        network = Multiscale(scales=scales).build((3, 32, 32), n_outputs)
        numbers.append(sum(weights.numel() for weights in network.parameters()))
        trunks.append(network.stages.state_dict())
    assert max(numbers) < 1.03 * min(numbers)
    for trunk in trunks[1:]:
        assert all(torch.equal(value, trunks[0][name]) for name, value in trunk.items())


@torch.no_grad()
def test_what_the_embedding_reads():
    """By hand, from the maps of the stages."""
    x, pool = noise(2, 1, 11, 8, dtype=torch.float32), nn.AdaptiveMaxPool2d(4)
    for scales in SCALES:
        torch.manual_seed(0)
        network = Multiscale(scales=scales, widths=(3, 5)).build((1, 11, 8), 2).eval()
        fine = network.stages[0](x)
        low, (detail,) = Pyramid()(fine)
        coarse = network.stages[1](low)
        more = {"concatenate": [fine], "pyramid": [detail.abs()]}.get(scales, [])
        read = torch.cat([pool(one) for one in [*more, coarse]], 1)
        torch.testing.assert_close(network(x), network.head(network.embed(read)))


def test_the_loss_is_that_of_both_softmaxes(digits):
    X, y = digits
    model = MultiscaleClassifier(
        scales="supervised", auxiliary_weight=0.7, dropout=0.0, max_epochs=1, random_state=0
    ).fit(X, y)
    network, x = model.net_.module_, model._to_tensor(model._read(X, reset=False)[:])
    objective, numbers = CrossEntropy(0.1), torch.from_numpy(y)
    outputs, side = network.train()(x)
    expected = objective.of(outputs, numbers) + 0.7 * objective.of(side, numbers)
    torch.testing.assert_close(model.net_.criterion_(network, x, numbers), expected)
    values = MultiscaleRegressor(scales="supervised", max_epochs=1).fit(X, X.mean((1, 2)))
    assert values.net_.criterion_.base == SquaredError()
    with pytest.raises(TypeError, match=r"needs? an objective with of\(outputs, y\)"):
        model.set_params(objective=lambda network, x, y: network(x)[0].sum(1)).fit(X, y)


@pytest.mark.parametrize(
    "scales, split",
    [*((scales, "learned") for scales in SCALES), ("pyramid", "haar"), ("pyramid", "db2")],
)
def test_samples_of_any_dimension_are_learned_and_stored(scales, split, tmp_path):
    rng = np.random.default_rng(0)
    for shape in ((13,), (7, 6), (5, 4, 6)):
        X, y = rng.normal(size=(40, *shape)), np.arange(40) % 2
        X[y == 1] += 1
        options = {"widths": (4, 4, 4), "max_epochs": 4, "random_state": 0}
        model = MultiscaleClassifier(scales=scales, split=split, **options).fit(X, y)
        assert model.loss_curve_[-1] < model.loss_curve_[0]
        save_model(model, tmp_path / "model")
        again = load_model(tmp_path / "model")
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "params, message",
    [
        ({"scales": "first"}, "scales .* must be one of .* got 'first'"),
        ({"split": "db3"}, "split .* must be one of .* got 'db3'"),
        ({"widths": (8,) * 5}, r"samples of shape \(1, 8, 8\) are too small for 5 levels"),
    ],
)
def test_what_networks_refuse(digits, params, message):
    with pytest.raises(ValueError, match=message):
        MultiscaleClassifier(**params).fit(*digits)


# --- redundancy -----------------------------------------------------------------------------


class Channel(nn.Module):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return (x[0] if isinstance(x, tuple) else x)[:, self.number :]


def channels(in_shape, n_outputs):
    """Return a network with a copy of the samples, one channel of them, and that one again."""
    stages = nn.Sequential(nn.Identity(), Channel(1), nn.Identity(), nn.MaxPool2d(2))
    return Network(in_shape, n_outputs, stages)


def test_a_copy_is_redundant_and_noise_is_not():
    X = np.random.default_rng(0).normal(size=(60, 2, 8, 8))
    X[:, 0] = np.random.default_rng(1).normal(size=(60, 8, 8))
    model = StructuredClassifier(architecture=channels, max_epochs=1).fit(X, np.arange(60) % 2)
    table = redundancy(model, X)
    part, copy = table["predicted_by_next"][:2]
    assert copy == pytest.approx(1, abs=1e-6)
    assert table["predicts_next"][:2].to_numpy() == pytest.approx(1, abs=1e-6)
    assert part == pytest.approx(0.5, abs=0.05)  # the other channel is noise: nothing of it


@pytest.mark.parametrize("ndim", [1, 2])
def test_of_noise_a_low_resolution_keeps_its_share_and_predicts_no_more(ndim):
    X = np.random.default_rng(0).normal(size=(200, 1, *(16,) * ndim))
    table = redundancy(Pyramid(2, "haar"), X)
    share = table[["kept", "predicted_by_next"]].iloc[:2].to_numpy()
    assert share == pytest.approx(0.5**ndim, abs=0.05)
    assert table["predicts_next"][:2].to_numpy() == pytest.approx(1, abs=1e-6)
    assert table["sparsity"][0] == pytest.approx(1, abs=0.06) or ndim == 1  # of eight numbers
    assert table["n_points"].tolist() == [16**ndim, 8**ndim, 4**ndim]
    assert table["cosine"].max() < 1e-12


def test_the_exponent_of_a_power_law_is_found():
    """Details of signals made of wavelets whose sizes fall as a power of their number."""
    sizes = np.random.default_rng(0).permutation(np.arange(1, 257.0) ** -0.8)
    split = Pyramid(1, "haar")
    parts = [torch.ones(1, 1, 256).double(), (torch.from_numpy(sizes).view(1, 1, 256),)]
    X = split.inverse(parts).numpy().repeat(5, axis=0)
    assert redundancy(split, X)["decay"][0] == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("split", ["projection", "haar", "db2"])
def test_an_axis_of_one_place_has_no_details(split):
    network = Multiscale(scales="pyramid", split=split, widths=(2, 3)).build((1, 5, 1), 2)
    assert network(torch.zeros(4, 1, 5, 1)).shape == (4, 2)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e5])
def test_rounding_is_no_detail(value):
    table = redundancy(Pyramid(2), np.full((10, 1, 16, 15), value))
    numbers = ["predicts_next", "predicted_by_next", "decay", "energy_10", "sparsity"]
    assert table[numbers].isna().all(axis=None)
    assert (table["cosine"].dropna() == 0).all()


def test_samples_may_be_views(digits):
    X = digits[0][::-1, None, :, ::-1]  # which torch does not take
    pd.testing.assert_frame_equal(redundancy(Pyramid(), X), redundancy(Pyramid(), X.copy()))


def test_levels_of_a_network_and_their_picture(digits):
    X, y = digits
    model = MultiscaleClassifier(widths=(8, 16), max_epochs=12, random_state=0).fit(X, y)
    table = redundancy(model, X, y)
    assert table["level"].tolist() == ["stages.0", "stages.1"]
    assert table["n_places"].tolist() == [64, 16]
    assert (table["accuracy"] > 0.8).all()  # of ten classes
    assert table["predicted_by_next"][0] > 0.2
    assert_legible(RedundancyDisplay(table).plot().figure_)
    assert len(RedundancyDisplay(redundancy(Pyramid(), X[:, None])).plot().axes_) == 3


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"estimator": MultiscaleClassifier()}, NotFittedError, "not fitted"),
        ({"estimator": nn.Identity()}, TypeError, "must be a network estimator"),
        ({"estimator": Pyramid(4)}, ValueError, "levels must be at most 3"),
        ({"layers": ["stages.7"]}, ValueError, "layers='stages.7' is no layer"),
        ({"layers": ["head"]}, ValueError, "'head' gives"),
        ({"patch": 2}, ValueError, "patch must be an odd integer"),
        ({"cv": 1}, ValueError, "cv must be an integer of at least 2, got 1"),
        ({"cv": 200}, ValueError, "cv=200 folds need as many samples, got 120"),
        ({"y": [0, 1]}, ValueError, "y must have a label for each of 120 samples, got 2"),
    ],
)
def test_what_redundancy_refuses(digits, change, error, message):
    X = digits[0][:, None]
    options = {"X": X, **change}
    if "estimator" not in options:
        options["estimator"] = MultiscaleClassifier(max_epochs=1, widths=(2, 2)).fit(X, digits[1])
    with pytest.raises(error, match=message):
        redundancy(**options)


def test_photographs_are_redundant_in_the_example(tmp_path, capsys):
    pictures = str(tmp_path / "photographs.png"), str(tmp_path / "noise.png")
    example = runpy.run_path(ROOT / "examples/redundant_scales.py")
    example["main"](n_patches=20, n_train=50, pictures=pictures, widths=(2, 3), max_epochs=1)
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    photographs, noise = (line for line in printed if line[:1] == ["input"])
    assert float(photographs[2]) > 0.9
    assert float(noise[2]) == pytest.approx(0.25, abs=0.02)
    assert all(Path(picture).stat().st_size for picture in pictures)
