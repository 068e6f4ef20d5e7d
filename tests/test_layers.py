"""Frame convolutions against what they claim to be."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklstruct.frames import (
    FirstGaussianDerivatives,
    Frame,
    Framelets,
    Gabor,
    GaussianDerivatives,
    Monomials,
    Pixels,
)
from sklstruct.layers import Dropout, FrameConv, adopt_dropout, filtering, fused, to_dense

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
FAMILIES = [
    GaussianDerivatives(),
    GaussianDerivatives(order=2, scales=(1.0, 2.0)),
    Framelets(),
    Monomials(),
    Gabor(n_orientations=2, scales=(1.0,)),
    Pixels(size=3),
]
NOISE = Frame("noise", np.random.default_rng(0).normal(size=(6, 5, 5)))
TWICE = np.concatenate([Pixels(size=3).build(2).atoms] * 2)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_the_pixel_frame_is_the_ordinary_convolution(ndim, stride, bias):
    ours = FrameConv(2, 4, Pixels(size=5), ndim=ndim, stride=stride, bias=bias)
    torchs = CONV[ndim](2, 4, 5, padding=2, stride=stride, bias=bias)
    with torch.no_grad():
        torchs.weight.copy_(ours.weight.reshape(torchs.weight.shape))
        if bias:
            torchs.bias.copy_(ours.bias.normal_())
    x = torch.randn(3, 2, *(9, 8, 7)[:ndim])
    assert torch.equal(ours(x), torchs(x))


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_first_kernels_are_white_in_the_span_of_the_atoms(family, ndim):
    """E[w w^T] is a multiple of the projection, so no frame starts worse than pixels."""
    torch.manual_seed(0)
    n, channels = 4000 if ndim < 3 else 1500, 3
    layer = FrameConv(channels, n, family, ndim=ndim)
    kernels = layer.kernel.detach().double().flatten(2).flatten(0, 1).numpy()
    frame = layer.frame
    axes = np.linalg.svd(frame.flat, full_matrices=False)[2][: frame.rank]
    covariance = np.cov((kernels @ axes.T).T).reshape(frame.rank, frame.rank)
    expected = 2 / (channels * frame.rank)
    error = 6 * expected * np.sqrt(2 / len(kernels))  # of a sample covariance
    np.testing.assert_allclose(covariance, expected * np.eye(frame.rank), atol=error)
    np.testing.assert_allclose(kernels @ axes.T @ axes, kernels, atol=1e-5)


@pytest.mark.parametrize("frame", [FirstGaussianDerivatives(), Frame("twice", TWICE)], ids=repr)
def test_first_coefficients_are_the_least_of_their_kernels(frame):
    """What adds nothing to kernels starts at zero, where an overcomplete frame is robust."""
    layer = FrameConv(3, 50, frame)
    unit = layer.basis.flatten(1).double().numpy()
    weights = layer.weight.detach().numpy()
    least = weights @ unit @ np.linalg.pinv(unit, rcond=1e-6)
    np.testing.assert_allclose(weights, least, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_white_noise_keeps_its_variance_through_a_layer_and_a_rectifier(family):
    torch.manual_seed(0)
    x = torch.randn(16, 64, 64)
    out = FrameConv(64, 512, family, ndim=1, padding_mode="circular")(x).relu().detach()
    assert (out**2).mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("piece", [1, 3000, 1 << 20], ids="piece{}".format)
@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_both_ways_are_one_function(family, ndim, piece, monkeypatch):
    """Values and all gradients agree, however small the pieces are that one of them works in."""
    monkeypatch.setitem(filtering.PIECE_BYTES, "cpu", piece)
    torch.manual_seed(0)
    options = {"stride": 2, "padding": "full"} if piece == 3000 else {}
    layers = [
        FrameConv(3, 2, family, ndim=ndim, method=m, **options) for m in ("compose", "filter")
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(4, 3, *(9, 8, 7)[:ndim], dtype=torch.float64)
    results = []
    for layer in layers:
        layer.double()
        signal = x.clone().requires_grad_()
        out = layer(signal)
        out.sin().sum().backward()
        results.append([out, signal.grad, layer.weight.grad, layer.bias.grad])
    for composed, filtered in zip(*results, strict=True):
        np.testing.assert_allclose(
            composed.detach(), filtered.detach(), rtol=1e-6, atol=1e-6 * composed.abs().max().item()
        )


@pytest.mark.parametrize("scale", [1, 1e-12, 1e12])
@pytest.mark.parametrize(
    "atoms", [TWICE, GaussianDerivatives().build(2).atoms], ids=["twice", "jet"]
)
def test_equal_and_tiny_atoms_are_filtered_too(atoms, scale):
    frame = Frame("odd", scale * atoms)
    layers = [FrameConv(1, 2, frame, method=method) for method in ("compose", "filter")]
    layers[1].load_state_dict(layers[0].state_dict())
    signal = torch.randn(2, 1, 6, 5)
    grads = []
    for layer in layers:
        x = signal.clone().requires_grad_()
        out = layer(x)
        out.sin().sum().backward()
        grads.append([out, x.grad, layer.weight.grad])
    for composed, filtered in zip(*grads, strict=True):
        torch.testing.assert_close(composed, filtered, rtol=1e-3, atol=1e-4)


def test_autocast_reaches_both_ways():
    x = torch.randn(1, 1, 6, 5)
    for method in ("compose", "filter"):
        layer = FrameConv(1, 2, GaussianDerivatives(), method=method)
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        torch.testing.assert_close(out.float(), layer(x), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("method", ["compose", "filter", "auto"])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_without_values_there_is_a_shape(method, ndim):
    with torch.device("meta"):  # as a network is built to load weights
        layer = FrameConv(2, 8, GaussianDerivatives(), ndim=ndim, method=method)
        assert layer(torch.zeros(1, 2, *(9,) * ndim)).shape == (1, 8, *(9,) * ndim)


def test_gradients_are_gradients():
    layer = FrameConv(2, 3, GaussianDerivatives(order=2), method="filter").double()
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: layer.bank(x, w), (x, layer.coefficients.detach().requires_grad_())
    )


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", ["same", "full", "valid", 1])
@pytest.mark.parametrize("method", ["compose", "filter"])
def test_dense_copies_give_the_same_output(padding, padding_mode, method):
    layer = FrameConv(
        2, 3, GaussianDerivatives(), padding=padding, padding_mode=padding_mode, method=method
    )
    x = torch.randn(2, 2, 9, 8)
    dense = layer.to_dense()
    assert type(dense) is nn.Conv2d
    torch.testing.assert_close(dense(x), layer(x), rtol=1e-4, atol=1e-5)


def test_dense_networks_hold_no_frame():
    network = nn.Sequential(nn.Sequential(FrameConv(1, 2, Pixels())), nn.BatchNorm2d(2)).eval()
    dense = to_dense(network)
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(dense(x), network(x))
    assert not any(isinstance(module, FrameConv) for module in dense.modules())
    assert isinstance(network[0][0], FrameConv)


@pytest.mark.parametrize("extent", [1, 2, 5])
def test_images_smaller_than_the_support_are_padded(extent):
    for method in ("compose", "filter"):
        layer = FrameConv(1, 2, GaussianDerivatives(scales=(3.0,)), method=method)
        assert layer(torch.randn(2, 1, extent, extent)).shape == (2, 2, extent, extent)


@pytest.mark.parametrize(
    "family, channels, shape, by_torch, compiled",
    [
        (GaussianDerivatives(), (64, 64), (25, 64, 14, 14), "compose", "filter"),
        (Framelets(), (64, 64), (32, 64, 32, 32), "compose", "compose"),
        (GaussianDerivatives(scales=(4.0,)), (32, 32), (16, 32, 32, 32), "filter", "filter"),
        (GaussianDerivatives(scales=(4.0,)), (8, 8), (1, 8, 40, 40, 40), "filter", "filter"),
        (Gabor(), (32, 32), (16, 32, 32, 32), "compose", "filter"),
        (Pixels(size=7), (64, 64), (25, 64, 14, 14), "compose", "compose"),
    ],
)
def test_the_cheaper_way_is_chosen(family, channels, shape, by_torch, compiled):
    layer = FrameConv(*channels, family, ndim=len(shape) - 2)
    assert layer.method_for(shape) == (compiled if fused.KERNELS else by_torch)
    assert layer.double().method_for(shape) == by_torch


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "fft"}, "method"),
        ({"method": "filter", "frame": NOISE}, "separable"),
        ({"padding": "some"}, "padding"),
        ({"padding": -1}, "padding"),
        ({"padding_mode": "zero"}, "padding_mode"),
        ({"stride": 0}, "stride"),
        ({"in_channels": 0}, "in_channels"),
        ({"frame": GaussianDerivatives().build(3), "ndim": 2}, "3 dimensions"),
    ],
)
def test_wrong_options_are_named(options, message):
    arguments = {"in_channels": 1, "out_channels": 1, "frame": GaussianDerivatives()} | options
    with pytest.raises(ValueError, match=message):
        FrameConv(**arguments)


def test_wrong_inputs_are_named():
    layer = FrameConv(2, 3, Pixels(), padding_mode="reflect")
    with pytest.raises(ValueError, match=r"\(n, 2, extent, extent\), got \(1, 3, 8, 8\)"):
        layer(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="too wide"):
        layer(torch.zeros(1, 2, 3, 3))
    for method in ("auto", "compose", "filter"):
        layer = FrameConv(1, 1, "gaussian", padding="valid", method=method)
        with pytest.raises(ValueError, match="smaller than the support"):
            layer(torch.zeros(1, 1, 9, 6))
    with pytest.raises(TypeError, match="frame must be"):
        FrameConv(1, 1, 3)


def test_coefficients_are_those_of_the_atoms():
    layer = FrameConv(2, 3, GaussianDerivatives())
    atoms = torch.tensor(layer.frame.atoms).float()
    kernel = torch.tensordot(layer.coefficients, atoms, dims=1)
    torch.testing.assert_close(kernel, layer.kernel)


def test_copies_are_complete():
    layer = FrameConv(1, 2, GaussianDerivatives(), method="filter").double()
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    expected = layer(x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), expected)
        assert twin.bank.bands  # filled by the call, and not carried along
    assert set(layer.state_dict()) == {"weight", "bias"}


def test_redundant_frames_are_no_obstacle():
    layer = FrameConv(1, 2000, Frame("twice", TWICE))
    assert layer.kernel.std().item() == pytest.approx(np.sqrt(2 / 9), rel=0.05)


def test_dropout_has_a_generator_of_its_own():
    network = nn.Sequential(nn.Dropout(0.25), nn.Identity()).train()
    adopt_dropout(network, torch.Generator().manual_seed(0))
    x = torch.ones(100, 100)
    state = torch.get_rng_state()
    out = network(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(out.unique().tolist()) == {0.0, np.float32(4 / 3)}
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    adopt_dropout(network, torch.Generator().manual_seed(0))
    assert torch.equal(network(x), out)
    assert torch.equal(network.eval()(x), x)
    assert isinstance(pickle.loads(pickle.dumps(network))[0], Dropout)


def test_nearly_dependent_atoms_start_with_moderate_weights():
    layer = FrameConv(64, 64, GaussianDerivatives(scales=(1.0, 1.5, 2.0, 3.0)))
    assert layer.weight.abs().max() < 10
    energy = (layer.kernel.detach() ** 2).sum().item()
    assert energy == pytest.approx(2 * 64, rel=0.05)  # of 64 * 64 kernels, 2 / 64 each


def test_kernels_larger_than_a_volume():
    """The gradient that oneDNN gets wrong, by crashing: the kernel sees six of nine samples."""
    frame = Pixels(size=9).build(ndim=3)
    conv = FrameConv(1, 4, frame, stride=2, bias=False)
    x = torch.randn(2, 1, 6, 6, 6, requires_grad=True)
    for _ in range(20):
        y = conv(x)
        y.square().sum().backward()
    padded = torch.nn.functional.pad(x, (4,) * 6)
    torch.testing.assert_close(y, torch.nn.functional.conv3d(padded, conv.kernel, stride=2))
