"""Network in Network on frames, and the layer that makes large scales cheap."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklstruct_rfnin.architecture import RFNiN
from sklstruct_rfnin.convolution import FreeAtomsConv
from sklstruct_rfnin.presets import PRESETS, octaves
from torch import nn

from sklstruct import RFNiNClassifier, RFNiNRegressor
from sklstruct.frames import Framelets, GaussianDerivatives, Pixels
from sklstruct.frames.product import product_jet
from sklstruct.layers import FrameConv, to_dense
from sklstruct.layers.coarse import CoarseFrameConv
from sklstruct.testing import parametrize_architectures

PHOTO = (3, 64, 64)
WIDE = GaussianDerivatives(order=3, scales=(1.0, 3.0, 6.0), truncate=5.0)


def spatial(table):
    return table[table.index.str.endswith("spatial.conv")]


@parametrize_architectures(  # with default parameters it is registered, and checked there
    RFNiN(frame="free", widths=(8, 8)),
    RFNiN(frame="pixel", widths=(8, 8)),
    RFNiN(frame=WIDE, widths=(4, 4), tolerance=1e-6),
    RFNiN(widths=(8, 8), checkpointing=True),
)
def test_architecture(check, build, in_shape):
    check(build, in_shape)


# the published networks --------------------------------------------------------------------------

SCALES = ((1.0, 2.0, 4.0, 8.0), (1.0, 2.0, 4.0), (1.0, 2.0), (1.0,))


@pytest.mark.parametrize(
    "order, scales, n_atoms, millions",
    [
        (1, "one", 12, 1.8),
        (2, "one", 24, 3.4),
        (3, "one", 40, 5.5),
        (4, "one", 60, 8.1),
        (1, "four", 24, 2.2),
        (2, "four", 54, 4.2),
        (3, "four", 94, 6.8),
        (4, "four", 144, 10.1),
    ],
)
def test_atoms_and_parameters_of_table_1(order, scales, n_atoms, millions):
    frames = octaves(order)
    if scales == "one":
        frames = [GaussianDerivatives(order=order)] * 4
    table = RFNiN(preset="imagenet-v1", frame=frames).describe(PHOTO, 100)
    assert table.atoms.sum() == n_atoms
    assert table.parameters.sum() / 1e6 == pytest.approx(millions, abs=0.1)


def test_parameters_of_table_2():
    gauss, free = (
        RFNiN(preset="imagenet-v1", frame=frame).describe(PHOTO, 100)
        for frame in ("gaussian", "free")
    )
    assert gauss.parameters.sum() / 1e6 == pytest.approx(6.83, abs=0.005)
    extents = np.array([11, 9, 7, 5])
    atoms = spatial(free).atoms.to_numpy()
    assert free.parameters.sum() - gauss.parameters.sum() == (atoms * extents**2).sum()
    assert (spatial(free).atoms == spatial(gauss).atoms).all()


def test_presets_have_the_published_atoms():
    def atoms(preset, in_shape):
        return spatial(RFNiN(preset=preset).describe(in_shape)).atoms.tolist()

    assert atoms("imagenet-v1", PHOTO) == [37, 28, 19, 10]
    assert atoms("imagenet-v2", PHOTO)[:4] == [57, 43, 29, 15]
    assert atoms("mri", (1, 20, 22, 20)) == [58, 58, 58]


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "mri"])
def test_the_plain_twin_has_the_same_supports(preset):
    gauss, plain = (
        RFNiN(preset=preset, frame=frame).describe(PHOTO) for frame in ("gaussian", "pixel")
    )
    same = ["support", "stride", "receptive_field", "out_shape"]
    assert gauss[same].equals(plain[same])
    assert set(spatial(plain).kind) == {"pixel"}


def test_description_counts_what_is_there():
    network = RFNiN().build((1, 20, 24, 18), 2)
    table = RFNiN().describe((1, 20, 24, 18))
    assert table.parameters.sum() == sum(p.numel() for p in network.parameters())
    shape = tuple(network.maps(torch.zeros(1, 1, 20, 24, 18)).shape[1:])
    assert table.out_shape["stages.group3.parts.mixing.conv"] == shape
    assert table.receptive_field["stages.group2.parts.spatial.conv"] == "29x29x29"


def test_one_output_sees_its_receptive_field_and_no_more():
    torch.manual_seed(0)
    network = RFNiN(widths=(4, 4)).build((1, 99), 2).double().eval()
    x = torch.rand(1, 1, 99, dtype=torch.float64, requires_grad=True)
    maps = network.maps(x)
    maps[0, :, maps.shape[2] // 2].sum().backward()
    seen = x.grad[0, 0].nonzero()
    table = RFNiN(widths=(4, 4)).describe((1, 99))
    field = int(table.receptive_field["stages.group2.parts.mixing.pool"])
    assert seen.max() - seen.min() < field
    assert seen.max() - seen.min() > field / 2  # maxima and rectifiers may pass over the rest


def test_only_the_first_layer_structured():
    layers = list(RFNiN(frame="free", structured_layers="first").build(PHOTO, 2).modules())
    assert sum(isinstance(layer, FreeAtomsConv) for layer in layers) == 1
    assert [m.frame.name for m in layers if isinstance(m, FrameConv)] == ["pixel", "pixel"]


def test_millimetres():
    """Twice as fine a grid, the same responses to the same smooth object."""
    family, bump = GaussianDerivatives(scales=(2.0,), truncate=5.0), {}
    for step in (1.0, 0.5):
        axes = [torch.arange(-12, 12 + step, step, dtype=torch.float64) for _ in "yx"]
        y, x = torch.meshgrid(*axes, indexing="ij")
        signal = torch.exp(-(y**2 + (x - 1) ** 2) / 8)[None, None]
        frame = product_jet(family, 2, step)
        conv = CoarseFrameConv(1, len(frame), frame, bias=False).double()
        with torch.no_grad():
            conv.weight.copy_(torch.diag(conv.norms)[:, None])
        bump[step] = conv(signal)[0, :, :: int(1 / step), :: int(1 / step)]
    torch.testing.assert_close(bump[0.5], bump[1.0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"preset": "imagenet"}, "preset of RFNiN must be one of"),
        ({"widths": ()}, "widths"),
        ({"frame": ["gaussian"] * 2}, "frame has 2 entries for 3 stages"),
        ({"strides": (1, 2)}, "strides has 2 entries for 3 stages"),
        ({"frame": "gauss"}, "Did you mean 'gaussian'"),
        ({"structured_layers": "last"}, "structured_layers of RFNiN must be one of"),
        ({"spacing": (1.0, 2.0, 3.0)}, "spacing"),
        ({"spacing": -1.0}, "spacing"),
        ({"spacing": 5.0}, "Scale 1 is too small for samples 5 apart"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        RFNiN(**params).build(PHOTO, 2)


# places, averaging, statistics ------------------------------------------------------------------


def test_large_volumes_are_averaged_unless_scales_are_millimetres():
    table = RFNiN().describe((1, 33, 70, 40))
    assert table.loc["stages.average", ["support", "stride", "out_shape"]].tolist() == [
        "4x4x4",
        4,
        (1, 9, 18, 10),
    ]
    assert "stages.average" not in RFNiN(spacing=0.5).describe((1, 33, 70, 40)).index
    assert "stages.average" not in RFNiN().describe((1, 64, 64)).index
    x = torch.randn(2, 1, 40, 8, 8)
    block = RFNiN().build((1, 40, 8, 8), 2).stages.average(x)[0, 0, 1, 2, 3]
    torch.testing.assert_close(block, x[0, 0, 2:4, 4:6, 6:8].mean())


def test_statistics_are_those_of_the_whole_training_set():
    """The first norm of a fitted network has mean and deviation of what enters it."""
    X = np.random.default_rng(0).normal(3, 2, size=(20, 12, 11)).astype(np.float32)
    model = RFNiNClassifier(max_epochs=1, random_state=0).fit(X, [0, 1] * 10)
    part = model.net_.module_.stages.group1.parts["spatial"]
    entering = part.conv(model._to_tensor(X[:, None])).transpose(0, 1).flatten(1)
    torch.testing.assert_close(part.norm.running_mean, entering.mean(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(part.norm.running_var, entering.var(1), rtol=1e-4, atol=1e-5)
    assert part.norm.momentum == 0.1
    assert not any(module.training for module in model.net_.module_.modules())


# how it is computed ------------------------------------------------------------------------------


def training_step(**params):
    torch.manual_seed(0)
    network = RFNiN(dropout=0.0, **params).build((2, 14, 12), 3)
    x = torch.randn(6, 2, 14, 12, generator=torch.Generator().manual_seed(1))
    outputs = network(x)
    outputs.square().sum().backward()
    return outputs, [p.grad for p in network.parameters()], network.state_dict()


def test_recomputing_changes_nothing():
    kept, again = training_step(), training_step(checkpointing=True)
    torch.testing.assert_close(kept, again, rtol=0, atol=0)


def test_mixed_precision_is_near():
    full, mixed = (training_step(mixed_precision=low)[0].detach() for low in (False, True))
    assert mixed.dtype == torch.float32
    assert not torch.equal(full, mixed)
    torch.testing.assert_close(full, mixed, rtol=0, atol=0.1 * full.abs().max())


# large scales ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_factors_multiply_to_the_jet(ndim):
    family = GaussianDerivatives(order=3, scales=(1.0, 1.7))
    built, factored = family.build(ndim), product_jet(family, ndim)
    np.testing.assert_allclose(factored.atoms, built.atoms, atol=1e-15)
    np.testing.assert_allclose(factored.gram, built.gram, atol=1e-15)
    for copy in (factored, pickle.loads(pickle.dumps(factored))):
        assert (copy.labels, copy.support) == (built.labels, built.support)
        assert (copy.orders == built.orders).all()
        assert (copy.scales == built.scales).all()
        assert repr(copy) == repr(built)


def operators(conv, spatial):
    """Return what a layer does to a signal for each atom alone, (n_atoms, n_out, n_in)."""
    n_in = int(np.prod(spatial))
    with torch.no_grad():
        conv.weight.copy_(torch.diag(conv.norms)[:, None])
        columns = conv(torch.eye(n_in, dtype=torch.float64).view(n_in, 1, *spatial))
    return columns.flatten(2).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-4])
def test_the_error_of_every_atom_is_bounded(tolerance, stride):
    frame, shape = WIDE.build(2), (22, 17)
    plain = FrameConv(1, len(frame), frame, stride=stride, bias=False).double()
    reduced = CoarseFrameConv(
        1, len(frame), frame, stride=stride, bias=False, tolerance=tolerance
    ).double()
    exact, cheap = operators(plain, shape), operators(reduced, shape)
    errors = np.linalg.norm(cheap - exact, 2, axis=(1, 2))
    relative = errors / np.linalg.norm(exact, 2, axis=(1, 2))
    assert relative.max() <= tolerance
    assert relative[frame.scales == 6].max() > 1e-9, "nothing was reduced"


def test_a_scale_of_16_needs_a_small_grid():
    conv = CoarseFrameConv(1, 1, GaussianDerivatives(scales=(16.0,), truncate=5.0), ndim=3)
    [(atoms, bank)] = conv.filters((91, 109, 91))
    assert len(atoms) == 20
    assert max(bank.output_shape((91, 109, 91))) <= 16


@pytest.mark.parametrize(
    "frame", [WIDE, Framelets(), Pixels(size=3)], ids=["jet", "framelet", "pixel"]
)
def test_coarse_layer_and_its_gradients_are_those_of_frame_conv(frame):
    cheap = CoarseFrameConv(2, 3, frame, stride=2, tolerance=1e-7).double()
    plain = FrameConv(2, 3, frame, stride=2).double()
    plain.load_state_dict(cheap.state_dict())
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 2, 25, 20))).requires_grad_()
    for one, other in zip(*(value_and_gradients(conv, x) for conv in (cheap, plain)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * float(other.abs().max()))
    assert type(to_dense(cheap)) is nn.Conv2d


def value_and_gradients(conv, x):
    out = conv(x)
    return out.detach(), *torch.autograd.grad(out.square().sum(), [x, *conv.parameters()])


def test_coarse_layer_starts_like_frame_conv():
    def kernels(make):
        torch.manual_seed(0)
        return make(2, 3, GaussianDerivatives(scales=(1.0, 2.0))).kernel

    torch.testing.assert_close(kernels(CoarseFrameConv), kernels(FrameConv), rtol=0, atol=1e-4)


def test_coarse_layer_refuses_what_it_cannot_factor():
    with pytest.raises(ValueError, match="not separable"):
        CoarseFrameConv(1, 1, "morlet")
    with pytest.raises(ValueError, match="tolerance"):
        CoarseFrameConv(1, 1, WIDE, tolerance=0)


# estimators --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blobs():
    """Volumes with noise and a bump somewhere, narrow or wide."""
    rng, grid = np.random.default_rng(0), np.indices((14, 12, 13)).reshape(3, -1).T
    y = np.arange(60) % 2
    X = rng.normal(size=(60, 14, 12, 13)).astype(np.float32)
    for volume, wide in zip(X, y, strict=True):
        centre, sigma = rng.uniform(4, 9, size=3), (1.2, 2.4)[wide]
        bump = np.exp(-((grid - centre) ** 2).sum(axis=1) / (2 * sigma**2))
        volume += 4 * bump.reshape(volume.shape)
    return X, y


@pytest.mark.parametrize("frame", ["gaussian", "pixel", "free"])
def test_volumes_are_learned(blobs, frame):
    X, y = blobs
    model = RFNiNClassifier(frame=frame, max_epochs=12, random_state=0).fit(X[:40], y[:40])
    assert model.score(X[40:], y[40:]) >= 0.9
    assert model.describe().parameters.sum() == model.n_parameters_


def test_values_are_learned(blobs):
    X, y = blobs
    model = RFNiNRegressor(max_epochs=12, random_state=0).fit(X[:40], y[:40].astype(float))
    assert model.score(X[40:], y[40:]) > 0.5


def test_description_needs_a_shape():
    model = RFNiNClassifier(preset="cifar")
    assert model.describe((3, 32, 32), 10).parameters["head"] == 1930
    with pytest.raises(ValueError, match="in_shape"):
        model.describe()


def test_a_parameter_of_a_name_is_set_in_every_group(blobs):
    model = RFNiNClassifier(max_epochs=1).set_params(frame__order=1)
    assert [(frame.order, frame.scales) for frame in model.frame] == [
        (1, (1.0, 2.0)),
        (1, (1.0,)),
        (1, (1.0,)),
    ]
    atoms = spatial(model.fit(*blobs).describe()).atoms.tolist()
    assert atoms == [7, 4, 4]
    search = GridSearchCV(RFNiNClassifier(max_epochs=1), {"frame__order": [1, 2]}, cv=2)
    best = search.fit(*blobs).best_estimator_
    assert {frame.order for frame in best.frame} == {search.best_params_["frame__order"]}
    longer = RFNiN(widths=(4, 4, 4, 4)).set_params(frame__order=1)
    assert [frame.order for frame in longer.frame] == [1] * 4
    mixed = RFNiN(preset="imagenet-v2").set_params(frame__order=1)
    assert mixed.frame[-1] == Pixels(size=3), "what is free in the preset stays so"
    one = RFNiNClassifier(frame=GaussianDerivatives()).set_params(frame__order=2)
    assert one.frame == GaussianDerivatives(order=2)


@pytest.mark.parametrize("name", ["pixel", "naive", "gabor"])
def test_a_name_has_the_supports_of_the_preset(name):
    supports = spatial(RFNiN(frame=name).describe(PHOTO)).support.tolist()
    assert supports == ["9x9", "5x5", "5x5"]
    assert set(spatial(RFNiN(frame=name).describe(PHOTO)).kind) == {name}


def test_presets_set_the_training():
    def settings(**params):
        plan = RFNiNClassifier(**params)._plan(10)
        return plan.lr, plan.schedule, plan.optimizer

    epochs = [RFNiNClassifier()._plan(n).max_epochs for n in (10, 60, 122, 250, 9999)]
    assert epochs == [50, 50, 32, 20, 20]
    assert settings() == (0.005, "one-cycle", "adamw")
    assert settings(early_stopping=True) == (0.0015, "constant", "adamw")
    assert settings(preset="imagenet-v2", lr=0.1) == (0.1, "cosine", "sgd")
    assert RFNiNClassifier()._plan(10).settle_norms
