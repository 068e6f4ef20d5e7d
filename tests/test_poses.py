"""Poses of dynamic steerable blocks: what is shown is what the network computes with."""

import numpy as np
import pytest
import torch
from test_inspection import assert_legible
from torch import nn

from sklstruct import RFNNClassifier, StructuredMapClassifier
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import PoseDisplay, SteeredKernelDisplay, pose_maps
from sklstruct.inspection.pose import seen_by_block
from sklstruct.inspection.pose_display import wheel_colours
from sklstruct.layers import DynamicSteerableBlock

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2, 16, 16))
TWO_SCALES = GaussianDerivatives(order=2, scales=(1.0, 2.0))


def fitted(X=X, frame="gaussian", **options):
    """Return a map classifier with two blocks, of which the second one has the options."""
    ndim = X.ndim - 2

    def build(in_shape, n_outputs):
        still = {"pose": "fixed"} if ndim == 1 else {}  # no angle turns signals
        first = DynamicSteerableBlock(in_shape[0], 3, ndim=ndim, **still)
        second = DynamicSteerableBlock(3, n_outputs, frame, ndim=ndim, **options)
        return nn.Sequential(first, nn.ReLU(), second)

    layout = ("CL", "CHW", "CDHW")[ndim - 1]
    params = {"max_epochs": 1, "random_state": 0, "dtype": "float64", "layout": layout}
    return StructuredMapClassifier(architecture=build, **params).fit(X, X[:, 0] > 0)


@pytest.mark.parametrize(
    "options, n_numbers, n_poses",
    [
        ({}, 1, 1),
        ({"pose": "max"}, 1, 1),
        ({"poses": "input"}, 1, 3),
        ({"frame": TWO_SCALES, "scale": True}, 2, 1),
    ],
)
def test_poses_are_those_that_blocks_compute_with(options, n_numbers, n_poses):
    model = fitted(**options)
    poses = pose_maps(model, X, "2")
    assert poses.shape == (6, n_numbers, n_poses, 16, 16)
    network = model.net_.module_
    x = model._to_tensor(model._read(X[:3], reset=False)[0][None])
    with torch.no_grad():
        passing = network[1](network[0](x))
        y, pose = network[2](passing, return_pose=True)
        torch.testing.assert_close(y, network(x))
    np.testing.assert_allclose(poses[:1], pose.numpy(), rtol=1e-6, atol=1e-9)
    strengths = seen_by_block(model, X, "2").strengths
    oriented = network[2].frame.orders > 0
    with torch.no_grad():
        responses = network[2].filter.responses(passing)[0][:, oriented]
    np.testing.assert_allclose(strengths[0], responses.square().sum((0, 1)).sqrt(), rtol=1e-6)


def test_the_pose_of_an_edge_turns_with_it():
    """With pose="max" it is the orientation of the gradient, whatever the wheel calls 0."""
    rows, columns = np.mgrid[:33, :33] - 16
    angles = np.deg2rad([0, 30, 90, 200])
    edges = np.stack([np.tanh(np.cos(a) * columns - np.sin(a) * rows) for a in angles])

    def build(in_shape, n_outputs):
        return nn.Sequential(DynamicSteerableBlock(1, n_outputs, pose="max"))

    model = StructuredMapClassifier(architecture=build, max_epochs=1, random_state=0)
    poses = pose_maps(model.fit(edges, edges > 0), edges)[:, 0, 0, 16, 16]
    turned = (poses - poses[0] - angles + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(turned, 0, atol=0.01)


def test_hues_run_round_a_wheel_and_weak_poses_are_dark():
    angles = np.deg2rad([0, 120, 240, 360])
    colours = wheel_colours(angles, np.array([1, 1, 0.5, 2]))
    np.testing.assert_allclose(colours, [[1, 0, 0], [0, 1, 0], [0, 0, 0.5], [1, 0, 0]], atol=1e-9)


def test_kernels_are_those_of_the_block_at_every_pose():
    model = fitted()
    display = SteeredKernelDisplay.from_estimator(model, "0", n_kernels=2, input_channel=1)
    block = model.net_.module_[0]
    kernel = block.conv.kernel.numpy(force=True)
    np.testing.assert_allclose(display.kernels[0], kernel[:2, 1], atol=1e-6)
    for quarters in (1, 2, 3):  # counter-clockwise
        turned = np.rot90(display.kernels[0], quarters, axes=(1, 2))
        np.testing.assert_allclose(display.kernels[2 * quarters], turned, atol=1e-6)
    assert display.names[1] == "45\N{DEGREE SIGN}"


@pytest.mark.parametrize("options", [{}, {"frame": TWO_SCALES, "scale": True}])
def test_the_pictures_of_poses_can_be_read(options, tmp_path):
    model = fitted(**options)
    display = PoseDisplay.from_estimator(model, X[:3], "2")
    assert len(display.axes_) == 1 + 3 * (2 + bool(options))
    assert display.colours.shape == (3, 16, 16, 3)
    assert_legible(display.figure_)
    kernels = SteeredKernelDisplay.from_estimator(model, "2").save(tmp_path / "kernels.png")
    assert len(kernels.axes_) == 8 * 2
    assert_legible(kernels.figure_)


@pytest.mark.parametrize(
    "shape, options, n_poses",
    [((2, 20), {"frame": TWO_SCALES, "scale": True}, 3), ((2, 5, 5, 5), {}, 8)],
)
def test_kernels_of_signals_and_volumes_are_steered_too(shape, options, n_poses):
    model = fitted(RNG.normal(size=(2, *shape)), **options)
    display = SteeredKernelDisplay.from_estimator(model, "2", n_kernels=1)
    assert len(display.axes_) == n_poses
    assert_legible(display.figure_)


@pytest.mark.parametrize(
    "options, call, message",
    [
        ({}, lambda m: pose_maps(m, X, "5"), r"block must be one of \('0', '2'\), got '5'"),
        ({"pose": "fixed"}, lambda m: pose_maps(m, X, "2"), "'2' steers by no pose, with pose='fi"),
        ({"steering": "free"}, lambda m: pose_maps(m, X, "2"), "by no pose, .* steering='free'"),
        ({}, lambda m: PoseDisplay.from_estimator(m, X, pose=1), "pose must be an integer from 0"),
        (
            {},
            lambda m: pose_maps(m, [X[0], X[0][..., :5]]),
            "X must have samples of one shape here",
        ),
        (
            {},
            lambda m: SteeredKernelDisplay.from_estimator(m, poses=[[0, 1]]),
            r"poses must have shape \(n, 1\), got \(1, 2\)",
        ),
        (
            {},
            lambda m: SteeredKernelDisplay.from_estimator(m, input_channel=2),
            "input_channel must be an integer from 0 to 1",
        ),
    ],
)
def test_what_cannot_be_shown_is_named(options, call, message):
    with pytest.raises(ValueError, match=message):
        call(fitted(**options))


def test_networks_without_blocks_have_no_poses():
    plain = RFNNClassifier(widths=(4,), max_epochs=1).fit(X, [0, 1] * 3)
    with pytest.raises(ValueError, match="RFNNClassifier has no dynamic steerable blocks"):
        pose_maps(plain, X)
    with pytest.raises(ValueError, match="samples must be images with one angle"):
        PoseDisplay(X[:, 0], X[:, 0], X[:, 0])
    with pytest.raises(TypeError, match="must be a network estimator"):
        pose_maps(object(), X)
