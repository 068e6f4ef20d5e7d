"""Plain networks to compare with: published counts, oracles, any shape, training."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklstruct_reference_nets.alexnet import AlexNetSmall
from sklstruct_reference_nets.all_cnn import AllCNN
from sklstruct_reference_nets.lenet import LeNet5, PartialConv, Subsampling
from sklstruct_reference_nets.mlp import MLP
from sklstruct_reference_nets.nin import NiN
from sklstruct_reference_nets.vgg import VGGSmall
from torch import nn
from torch.nn import functional as F

from sklstruct import StructuredClassifier, StructuredRegressor
from sklstruct.cli import main

EVERY = (AllCNN, AlexNetSmall, LeNet5, MLP, NiN, VGGSmall)
X, Y = load_digits().images, load_digits().target


def n_parameters(part):
    return sum(weights.numel() for weights in part.parameters())


def built(architecture, in_shape=(3, 32, 32), n_outputs=10):
    with torch.device("meta"):
        return architecture.build(in_shape, n_outputs)


# --- counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture, in_shape, published",
    [
        (AllCNN(preset="all-cnn-a"), (3, 32, 32), 1_254_250),  # "1.28M"
        (AllCNN(preset="all-cnn-b"), (3, 32, 32), 1_300_618),  # "1.35M"
        (AllCNN(preset="all-cnn-c"), (3, 32, 32), 1_369_738),  # "1.4M"
        (NiN(preset="nin"), (3, 32, 32), 966_986),  # "0.97M"
        (AlexNetSmall(preset="zhang-2017"), (3, 28, 28), 1_387_786),  # as published
        (MLP(preset="1x512"), (3, 28, 28), 1_209_866),  # as published
        (MLP(preset="3x512"), (3, 28, 28), 1_735_178),  # as published
        (VGGSmall(preset="vgg-16"), (3, 32, 32), 14_991_946),  # as in released code
        (LeNet5(), (1, 32, 32), 60_000 + 85 * 10),  # "60,000" before the outputs
    ],
    ids=repr,
)
def test_parameters_are_as_many_as_published(architecture, in_shape, published):
    assert n_parameters(built(architecture, in_shape)) == published


def test_all_cnn_has_the_layers_of_the_paper():
    stages = built(AllCNN(preset="all-cnn-c")).stages
    counts = [n_parameters(layer) for layer in stages if n_parameters(layer)]
    wide, wider = 96 * 96 * 9 + 96, 192 * 192 * 9 + 192
    growing, mixing = 96 * 192 * 9 + 192, 192 * 192 + 192
    first = 3 * 96 * 9 + 96
    assert counts == [first, wide, wide, growing, wider, wider, wider, mixing]
    assert [layer.p for layer in stages if hasattr(layer, "p")] == [0.2, 0.5, 0.5]


@pytest.mark.parametrize("channels, c1", [(1, 156), (3, 456)])
def test_lenet_has_the_layers_of_the_paper(channels, c1):
    stages = built(LeNet5(), (channels, 28, 28)).stages
    assert [n_parameters(layer) for layer in stages] == [0, c1, 12, 1516, 32, 48_120, 10_164]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("norm", [False, True])
def test_a_number_of_parameters_is_met_as_closely_as_a_rank_can(ndim, norm):
    in_shape = (3, *(8,) * ndim)
    one = AllCNN(width=12, norm=norm)
    counts = [n_parameters(built(AllCNN(**params(one, rank=k)), in_shape)) for k in range(1, 12)]
    whole = n_parameters(built(one, in_shape))
    assert sorted(counts) == counts
    for wanted in (counts[0], counts[3] + 1, (2 * counts[4] + counts[5]) // 3, whole):
        found = n_parameters(built(AllCNN(**params(one, n_parameters=wanted)), in_shape))
        assert abs(found - wanted) == min(abs(n - wanted) for n in [*counts, whole])


def params(architecture, **others):
    return architecture.get_params(deep=False) | others


def test_a_low_rank_network_is_as_small_as_a_hierarchical_one():
    for wanted in (97_650, 344_640):
        network = built(AllCNN(preset="all-cnn-c", n_parameters=wanted))
        assert abs(n_parameters(network) - wanted) < 0.004 * wanted


# --- oracles --------------------------------------------------------------------------------


def test_subsampling_adds_weighs_and_shifts():
    layer, x = Subsampling(2, ndim=2), torch.randn(3, 2, 4, 6)
    torch.testing.assert_close(layer(x), F.avg_pool2d(x, 2))  # so it starts
    weight, bias = torch.randn(2, 2, 1, 1)
    layer.weight.data[:], layer.bias.data[:] = weight.ravel(), bias.ravel()
    summed = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
    torch.testing.assert_close(layer(x), weight * summed + bias)
    assert layer.weight.ndim == layer.bias.ndim == 1  # so that neither is decayed


def test_maps_see_what_the_table_of_the_paper_says():
    """LeCun et al. (1998), table I: rows are maps of S2, columns those of C3."""
    rows = """
    X . . . X X X . . X X X X . X X
    X X . . . X X X . . X X X X . X
    X X X . . . X X X . . X . X X X
    . X X X . . X X X X . . X . X X
    . . X X X . . X X X X . X X . X
    . . . X X X . . X X X X . X X X
    """
    table = [[cell == "X" for cell in row.split()] for row in rows.strip().splitlines()]
    (conv,) = [m for m in LeNet5().build((1, 32, 32), 10).modules() if isinstance(m, PartialConv)]
    x, weights = torch.randn(2, 6, 14, 14), iter(conv.weight)
    for n_out, column in enumerate(zip(*table, strict=True)):
        seen = [n_in for n_in, sees in enumerate(column) if sees]
        kernel = torch.stack([next(weights) for _ in seen])[None]
        wanted = F.conv2d(x[:, seen], kernel, conv.bias[n_out : n_out + 1])
        torch.testing.assert_close(conv(x)[:, n_out : n_out + 1], wanted)
        bound = (25 * len(seen)) ** -0.5
        assert 0.8 * bound < kernel.abs().max() <= bound
    assert next(weights, None) is None


def test_lenet_is_that_of_the_paper():
    network = LeNet5(connections="all").build((1, 28, 28), 10).double()
    _, c1, s2, c3, s4, c5, f6 = network.stages
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    h = F.pad(x, (2, 2, 2, 2), mode="replicate")
    h = rho(F.conv2d(h, c1[0].weight, c1[0].bias))
    h = rho(F.avg_pool2d(h, 2) * 4 * s2[0].weight.view(-1, 1, 1) + s2[0].bias.view(-1, 1, 1))
    h = rho(F.conv2d(h, c3[0].weight.view(16, 6, 5, 5), c3[0].bias))
    h = rho(F.avg_pool2d(h, 2) * 4 * s4[0].weight.view(-1, 1, 1) + s4[0].bias.view(-1, 1, 1))
    h = rho(c5[0].weight.flatten(1) @ h.flatten(1).T + c5[0].bias[:, None])
    h = rho(f6[1].weight @ h + f6[1].bias[:, None])
    torch.testing.assert_close(network.features(x), h.T)
    ones = torch.tensor([1.0, -1.0])
    torch.testing.assert_close(rho(ones), ones, rtol=0, atol=1e-4)


def rho(a):
    return 1.7159 * torch.tanh(2 * a / 3)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_factors_are_kernels_of_that_rank(ndim):
    """The two convolutions are the one whose kernels are sums of products."""
    network = AllCNN(width=8, rank=2, norm=False).build((3, *(9,) * ndim), 4).eval().double()
    x = h = torch.randn(2, 3, *(9,) * ndim, dtype=torch.float64)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[ndim - 1]
    for number in range(1, 9):
        conv = network.stages.get_submodule(f"conv{number}").conv
        kernel, last = getattr(conv, "weight", None), conv
        if isinstance(conv, nn.Sequential):
            first, last = conv
            kernel = torch.einsum("orb,rca->ocab", last.weight.flatten(2), first.weight.flatten(2))
            kernel = kernel.reshape(*kernel.shape[:2], *(3,) * ndim)
        stride, padding = 1 + (number in (3, 6)), kernel.shape[-1] // 2
        h = F.relu(convolve(h, kernel, last.bias, stride=stride, padding=padding))
    torch.testing.assert_close(network.head(h.flatten(2).mean(2)), network(x))


# --- shapes and errors ----------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    make=st.sampled_from(EVERY),
    channels=st.integers(1, 3),
    spatial=st.lists(st.integers(1, 20), min_size=1, max_size=3),
)
def test_samples_of_any_extents_are_taken(make, channels, spatial):
    network = make().build((channels, *spatial), 2)
    outputs = network(torch.randn(3, channels, *spatial))
    assert outputs.shape == (3, 2)
    outputs.sum().backward()


def test_lenet_sees_all_of_larger_images():
    network = LeNet5().build((1, 40, 33), 2).eval()
    assert network.stages.f6[1].in_features == 120 * 3 * 1
    x = torch.zeros(1, 1, 40, 33, requires_grad=True)
    network(x)[0, 0].backward()
    assert (x.grad[..., :, :32] != 0).all()


@pytest.mark.parametrize(
    "architecture, message",
    [
        (AllCNN(rank=2, n_parameters=10_000), "rank must be None where n_parameters .* got 2"),
        (AllCNN(n_parameters=10), "n_parameters must be from [0-9]+, at rank 1, to .*, got 10"),
        (AllCNN(n_parameters=10**9), "n_parameters must be .*, without a rank, .* got 1000000000"),
        (AllCNN(kernels=(4,)), "kernels of AllCNN must be a sequence of odd integers"),
        (LeNet5(connections="some"), "connections of LeNet5 must be one of"),
        (VGGSmall(depth=(2, 2)), "depth has 2 entries for 3 stages"),
        (VGGSmall(conv_dropout=(0.1, 1, 0)), "conv_dropout of VGGSmall must be .* one a stage"),
        (NiN(preset="cifar"), "preset of NiN must be one of"),
    ],
)
def test_what_cannot_be_built_is_named(architecture, message):
    with pytest.raises(ValueError, match=message):
        architecture.build((3, 32, 32), 10)


# --- training -------------------------------------------------------------------------------


def test_lenet_learns_digits():
    model = StructuredClassifier(architecture="lenet5", max_epochs=15, random_state=0)
    assert model.fit(X[:600], Y[:600]).score(X[1000:], Y[1000:]) > 0.85


@pytest.mark.parametrize("name", ["all_cnn", "alexnet_small", "mlp", "nin", "vgg_small"])
def test_the_others_learn_digits(name):
    model = StructuredRegressor(architecture=name, max_epochs=10, random_state=0)
    ink = X[:200].mean(axis=(1, 2))
    assert model.fit(X[:200], ink).score(X[:200], ink) > 0.8


def test_the_command_line_trains_them(tmp_path, capsys):
    names = "structured:architecture=lenet5,structured:architecture=all_cnn:architecture__rank=2"
    call = ["study", "--dataset", "digits", "--estimators", names, "--sizes", "20", "--draws", "1"]
    assert main([*call, "--set", "max_epochs=1", "--out", str(tmp_path)]) == 0
    assert main(["show", "architecture", "all_cnn", "--set", "preset=all-cnn-c", "--shape",
                 "3,32,32", "--outputs", "10"]) == 0  # fmt: skip
    printed = capsys.readouterr().out
    assert "lenet5" in printed
    assert "1369738 parameters for inputs of 3x32x32" in printed
