"""Responses that are steered at every place, and blocks that see by what."""

import copy
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn

from sklstruct.frames import (
    AnisotropicGaussian,
    CircularHarmonics,
    GaussianDerivatives,
    Pixels,
    SolidHarmonics,
)
from sklstruct.layers import (
    DynamicSteerableBlock,
    FrameConv,
    Steer,
    convolve,
    fused,
    to_dense,
)
from sklstruct.layers.dynamic import PoseNetwork
from sklstruct.training import CrossEntropy, PosePenalty, SquaredError

THREE = (0.8, 1.1, 1.5)
FAMILIES = [
    GaussianDerivatives(order=1),
    GaussianDerivatives(order=4, size=9),
    GaussianDerivatives(order=2, scales=(0.8, 1.4)),
    CircularHarmonics(),
    SolidHarmonics(),
]
ANGLES = st.floats(-7, 7)


def rotation(*angles):
    """Return the rotation that angles mean, in 2D or in 3D."""
    ndim = 2 if len(angles) == 1 else 3
    planes = [(0, 1)] if ndim == 2 else [(1, 2), (2, 0), (0, 1)]
    product = np.eye(ndim)
    for angle, (i, j) in zip(angles, planes, strict=True):
        turn = np.eye(ndim)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        product = product @ turn
    return product


# --- turning and dilating -----------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@given(a=ANGLES, b=ANGLES)
@settings(max_examples=10)
def test_turns_are_those_of_the_frame_and_add_up(family, a, b):
    steer = Steer(family)
    assert_allclose(steer.matrix(a), steer.frame.steering(rotation(a)).matrix, atol=1e-12)
    assert_allclose(steer.matrix(a) @ steer.matrix(b), steer.matrix(a + b), atol=1e-12)


@pytest.mark.parametrize("family", [GaussianDerivatives(order=3), SolidHarmonics()], ids=repr)
@given(angles=st.tuples(ANGLES, ANGLES, ANGLES))
@settings(max_examples=10)
def test_rotations_of_volumes_are_those_of_the_frame(family, angles):
    steer = Steer(family, ndim=3)
    assert_allclose(
        steer.matrix(*angles), steer.frame.steering(rotation(*angles)).matrix, atol=1e-12
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_scales_of_the_frame_are_exact_and_others_as_near_as_is_said(ndim):
    steer = Steer(GaussianDerivatives(order=2, scales=THREE, size=11), ndim=ndim, scale=True)
    turned = (0.0,) * steer.n_angles
    worst = 0.0
    for scale in (*THREE, 0.93, 1.25, 1.3):
        wanted = GaussianDerivatives(order=2, scales=(scale,), size=11).build(ndim).flat
        made = steer.matrix(*turned, scale) @ steer.frame.flat
        errors = np.linalg.norm(made - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        if scale in THREE:  # but for the Gaussian itself, which is there at the smallest scale only
            assert errors[1:].max() < 1e-9
        worst = max(worst, errors.max())
        best = np.linalg.lstsq(steer.frame.flat.T, wanted.T, rcond=None)[0].T @ steer.frame.flat
        least = np.linalg.norm(best - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        assert errors.max() < 1.5 * least.max() + 2e-3  # least squares of sums, not of integrals
    assert 0.9 * steer.error < worst <= 1.01 * steer.error


def test_more_scales_carry_the_range_better():
    frames = [(0.8, 1.5), THREE, (0.8, 0.98, 1.2, 1.5)]
    errors = [Steer(GaussianDerivatives(order=2, scales=s), scale=True).error for s in frames]
    assert_allclose(errors, [0.256, 0.033, 0.007], rtol=0.05)


def test_every_place_has_a_pose_of_its_own():
    steer = Steer(GaussianDerivatives(order=2, scales=THREE), scale=True)
    f = torch.randn(2, 3, len(steer.frame), 4)
    pose = torch.stack([torch.randn(2, 3, 4), torch.empty(2, 3, 4).uniform_(0.8, 1.5)], dim=1)
    found = steer(f, pose)
    for sample, channel, place in np.ndindex(2, 3, 4):
        matrix = steer.matrix(*pose[sample, :, channel, place].tolist())
        wanted = matrix @ f[sample, channel, :, place].double().numpy()
        assert_allclose(found[sample, channel, :, place], wanted, rtol=1e-5, atol=1e-5)


def test_steering_is_differentiable_in_angle_and_scale():
    for ndim in (2, 3):
        steer = Steer(GaussianDerivatives(order=2, scales=(0.8, 1.2)), ndim=ndim, scale=True)
        f = torch.randn(1, 2, len(steer.frame), 2, dtype=torch.float64, requires_grad=True)
        pose = torch.rand(1, steer.n_numbers, 1, 2, dtype=torch.float64) * 0.3 + 0.85
        assert torch.autograd.gradcheck(steer, (f, pose.requires_grad_()))
        assert torch.autograd.gradgradcheck(steer, (f, pose))


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        (Pixels(size=5), {}, "not steered by rotations"),
        (AnisotropicGaussian(), {}, "not steered by rotations"),
        (GaussianDerivatives(order=(2,)), {}, "not steered by rotations"),
        (GaussianDerivatives(order=2), {"scale": True}, "at least two scales"),
        (CircularHarmonics(), {"scale": True}, "round Gaussian derivatives"),
        (GaussianDerivatives(), {"ndim": 1}, "by scale only"),
    ],
    ids=str,
)
def test_what_cannot_be_steered_is_refused(family, options, message):
    with pytest.raises(ValueError, match=message):
        Steer(family, **options)


def test_poses_and_responses_are_those_of_the_frame():
    steer = Steer(GaussianDerivatives(order=1, scales=THREE), scale=True)
    with pytest.raises(
        ValueError, match=r"responses of shape \(n, channels, 7, ...\), got \(1, 1, 3"
    ):
        steer(torch.zeros(1, 1, 3, 1), torch.ones(1, 2, 1, 1))
    with pytest.raises(
        ValueError, match=r"poses of shape \(n, 2, 1 or channels, ...\), got \(1, 1,"
    ):
        steer(torch.zeros(1, 1, 7, 1), torch.ones(1, 1, 1, 1))
    for scale, end in ((-1, min(THREE)), (0, min(THREE)), (99, max(THREE))):
        np.testing.assert_allclose(steer.matrix(1, scale), steer.matrix(1, end), atol=1e-12)


# --- blocks -------------------------------------------------------------------------------------

KINDS = [
    {},
    {"scale": True},
    {"poses": "input"},
    {"poses": "output"},
    {"poses": "pair", "scale": True},
    {"steering": "free"},
    {"steering": "filters", "poses": "output"},
    {"pose": "max", "poses": "input"},
    {"ndim": 3},
    {"ndim": 1, "scale": True},
    {"ndim": 3, "steering": "filters", "poses": "input"},
]


def make_block(seed=0, **options):
    torch.manual_seed(seed)
    family = GaussianDerivatives(order=2, scales=THREE if options.get("scale") else (1.0,), size=7)
    block = DynamicSteerableBlock(3, 5, family, units=4, **options)
    for parameter in block.parameters():  # poses that differ
        nn.init.normal_(parameter, std=0.5)
    return block, torch.randn(2, 3, *(9, 8, 7)[: block.frame.ndim])


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_kernel_computes_what_torch_does(options):
    block, x = make_block(**options)
    twice = copy.deepcopy(block).double()
    results = []
    for one, signal in ((block, x), (twice, x.double())):
        y, pose = one(signal.requires_grad_(), return_pose=True)
        (y * torch.cos(torch.arange(y.numel()).view(y.shape))).sum().backward()
        results.append([y, pose, signal.grad, *(p.grad for p in one.parameters())])
        signal.requires_grad_(False)
    for found, wanted in zip(*results, strict=True):
        assert_allclose(
            found.detach(), wanted.detach(), rtol=1e-4, atol=2e-5 * abs(wanted).max().item()
        )


@pytest.mark.parametrize("options", KINDS[:8], ids=str)
def test_a_pose_that_is_the_same_everywhere_is_a_convolution(options):
    block, x = make_block(**options)
    numbers = torch.randn(1, block.n_numbers)
    if options.get("scale"):
        numbers[:, -1] = 1.3
    pose = numbers.view(1, -1, 1, 1, 1).expand(2, -1, -1, 9, 8)
    y = convolve(x, block.kernels(numbers)[0], block.conv.bias, stride=1, padding=(3, 3))
    assert_allclose(block.steered(x, pose).detach(), y.detach(), atol=1e-4)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_fixed_pose_is_a_frame_convolution_bit_by_bit(ndim):
    layers = []
    for kind in (FrameConv, DynamicSteerableBlock):
        torch.manual_seed(0)
        options = {"pose": "fixed"} if kind is DynamicSteerableBlock else {}
        layers.append(kind(3, 5, GaussianDerivatives(order=2), ndim=ndim, **options))
    x = torch.randn(2, 3, *(9, 8, 7)[:ndim])
    assert torch.equal(layers[0](x), layers[1](x))
    assert len(list(layers[0].parameters())) == len(list(layers[1].parameters()))
    assert layers[1].pose(x).abs().sum() == 0
    assert isinstance(to_dense(nn.Sequential(layers[1]))[0], nn.Module)


def test_derivatives_of_any_order_and_under_transformations():
    block, x = make_block()
    block, x = block.double(), x.double()[:1, :, :4, :3].requires_grad_()
    weights = block.conv.weight.detach()

    def outputs(x, table):
        return block.filter(x, table, weights)

    table = torch.randn(1, 5, 1, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (x, table))
    assert torch.autograd.gradgradcheck(outputs, (x, table))
    along = torch.randn_like(x), torch.randn_like(table)
    with warnings.catch_warnings():  # of torch's own, about what it imports for this
        warnings.simplefilter("ignore", DeprecationWarning)
        _, found = torch.func.jvp(outputs, (x, table), along)
    wanted = outputs(along[0], table) + outputs(x, along[1])
    assert_allclose(found.detach(), wanted.detach(), atol=1e-12)
    both = torch.stack([x, 2 * x])
    found = torch.func.vmap(outputs, in_dims=(0, None))(both, table)
    assert_allclose(found[1].detach(), 2 * outputs(x, table).detach(), atol=1e-12)


def test_second_derivatives_of_the_kernel():
    block, x = make_block()
    gradients = []
    for one, signal in ((block, x), (copy.deepcopy(block).double(), x.double())):
        signal.requires_grad_()
        first = torch.autograd.grad(one(signal).square().sum(), signal, create_graph=True)[0]
        gradients.append(torch.autograd.grad(first.square().sum(), signal)[0])
    assert_allclose(*gradients, rtol=1e-3, atol=1e-4 * gradients[1].abs().max().item())


def test_equal_bits_for_any_number_of_threads_and_split_of_a_batch():
    block, x = make_block()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        pose = block.pose(x)
        one = block.steered(x, pose)
        torch.set_num_threads(2)
        assert torch.equal(block.steered(x, pose), one)
    finally:
        torch.set_num_threads(before)
    alone = torch.cat([block.steered(x[i : i + 1], pose[i : i + 1]) for i in range(2)])
    assert torch.equal(alone, one)


def test_autocast_reaches_both_ways():
    for options in KINDS:
        block, x = make_block(**options)
        gradients = []
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                y = block.steered(x.requires_grad_(), block.pose(x).detach())
            gradients.append(torch.autograd.grad(y.float().square().sum(), x)[0])
        far = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
        assert far < (0.02 if options.get("pose") == "max" else 0.2), options


@pytest.mark.skipif(not fused.KERNELS, reason="no kernel")
def test_without_the_kernel_outputs_are_the_same(monkeypatch):
    block, x = make_block()
    pose = block.pose(x).detach()
    y = block.steered(x, pose).detach()
    monkeypatch.setattr(fused, "KERNELS", [])
    assert_allclose(block.steered(x, pose).detach(), y, atol=2e-6)
    assert_allclose(block.pose(x).detach(), pose, atol=1e-5)  # angles up to pi


def test_largest_responses_turn_with_the_image_and_are_the_gradient():
    torch.manual_seed(0)
    block = DynamicSteerableBlock(1, 4, GaussianDerivatives(order=2), pose="max", bias=False)
    x = torch.randn(1, 1, 21, 21)
    y = block(x)
    assert_allclose(block(x.rot90(1, (2, 3))).detach(), y.rot90(1, (2, 3)).detach(), atol=1e-5)
    # Where the canonical features are the two first derivatives, one has all of the gradient.
    gradient = FrameConv(1, 2, block.frame, bias=False)
    with torch.no_grad():
        gradient.weight.zero_()
        gradient.weight[0, :, 1] = gradient.weight[1, :, 2] = 1.0
        block.conv.weight.zero_()
        block.conv.weight[:2] = gradient.weight
    lengths = block(x)[:, :2].detach().square()
    assert_allclose(lengths.sum(1), gradient(x).detach().square().sum(1), rtol=1e-4)
    assert lengths.amin(1).max() < 1e-8


def test_a_shared_pose_is_that_of_the_strongest_channels():
    block = DynamicSteerableBlock(2, 4, GaussianDerivatives(order=1), pose="max")
    x = torch.randn(1, 1, 9, 9)
    alone = DynamicSteerableBlock(1, 4, GaussianDerivatives(order=1), pose="max").pose(x)
    both = block.pose(torch.cat([x, 1e-3 * torch.randn(1, 1, 9, 9)], dim=1))
    assert_allclose(torch.cos(both - alone).mean(), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pose": "best"}, "pose must be one of"),
        ({"context": 2}, "context must be an odd integer"),
        ({"frame": GaussianDerivatives().build(2), "ndim": 3}, "has 2 dimensions, but 3"),
        ({"frame": Pixels(size=5)}, "not steered by rotations"),
        ({"scale": True}, "at least two scales"),
        ({"pose": "max", "ndim": 3}, "pose='max' is there for images"),
        ({"pose": "max", "poses": "pair"}, "is there for poses='shared' and 'input'"),
        ({"steering": "free", "ndim": 3}, "steering='free' is there for images"),
        ({"poses": "pair", "ndim": 3}, "poses='output' and 'pair'"),
        ({"steering": "filters", "scale": True}, "scale=True is there for"),
        ({"depth": 1}, "depth must be an integer of at least 2"),
    ],
    ids=str,
)
def test_blocks_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DynamicSteerableBlock(3, 4, **options)


def test_images_of_any_size_are_taken():
    block, _ = make_block()
    for extents in ((1, 1), (2, 17), (17, 23)):
        assert block(torch.zeros(1, 3, *extents)).shape == (1, 5, *extents)
    assert block(torch.zeros(0, 3, 9, 8)).shape == (0, 5, 9, 8)


def test_the_penalty_is_that_of_poses_that_differ():
    block, x = make_block()
    network = nn.Sequential(block, nn.AdaptiveMaxPool2d(1), nn.Flatten())
    where = next(part for part in network.modules() if isinstance(part, PoseNetwork))
    assert where.roughness(torch.full((2, 1, 1, 9, 8), 3.0)).abs().sum() == 0
    steps = (torch.arange(8.0) * 0.5).expand(2, 1, 1, 9, 8)
    assert_allclose(where.roughness(steps), 1 - np.cos(0.5), rtol=1e-5)
    y = torch.tensor([0, 1])
    plain, penalised = CrossEntropy(), PosePenalty(CrossEntropy(), strength=2.0)
    more = penalised(network, x, y) - plain(network, x, y)
    assert_allclose(more.detach(), 2 * where.roughness(block.pose(x)).detach(), rtol=1e-5)
    assert_allclose(
        PosePenalty(SquaredError())(nn.Flatten(), x, x.flatten(1)), 0
    )  # nothing is steered
