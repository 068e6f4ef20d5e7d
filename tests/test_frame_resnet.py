"""Residual and densely connected networks on frames: counts, oracles, and what a frame changes."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklstruct_frame_resnet.densenet import FrameDenseNet
from sklstruct_frame_resnet.resnet import FrameResNet
from torch import nn
from torch.nn import functional as F

from sklstruct import FrameResNetClassifier, StructuredClassifier
from sklstruct.cli import main
from sklstruct.frames import Framelets, GaussianDerivatives, Monomials, Pixels
from sklstruct.layers import FrameConv
from sklstruct.plugins import entries

FRAMES = "image", "gaussian", "gaussian_first", "framelet", "naive", "pixel"


def n_parameters(architecture):
    with torch.device("meta"):
        network = architecture.build((3, 32, 32), 10)
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(
    "architecture, published",
    [
        (FrameResNet(depth=20), 272_282),
        (FrameResNet(depth=56), 855_578),
        (FrameResNet(depth=110), 1_730_522),
        (FrameResNet(depth=164), 2_605_466),
        (FrameResNet(depth=164, bottleneck=True), 1_703_258),
        (FrameResNet(depth=16, widen_factor=4), 2_748_890),
        (FrameResNet(preset="resnet-164"), 1_703_258),
        (FrameResNet(preset="wrn-16-4"), 2_748_890),
        (FrameDenseNet(depth=40, growth=12), 1_019_722),
        (FrameDenseNet(depth=100, growth=12), 6_979_642),
        (FrameDenseNet(depth=100, growth=12, compression=0.5, bottleneck=True), 769_162),
    ],
    ids=repr,
)
def test_parameters_are_as_many_as_published(architecture, published):
    assert n_parameters(architecture) == published


@pytest.mark.parametrize("make", [FrameResNet, FrameDenseNet])
def test_every_frame_has_as_many_parameters(make):
    assert len({n_parameters(make(frame=frame)) for frame in FRAMES}) == 1


@pytest.mark.parametrize(
    "frame, names",
    [
        ("image", ["gaussian", "framelet"]),
        ("naive", ["naive"]),
        (("gaussian", Pixels(3), "naive"), ["gaussian", "pixel", "naive"]),
    ],
)
@pytest.mark.parametrize("make", [FrameResNet, FrameDenseNet])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_frames_take_turns(make, frame, names, ndim):
    network = make(frame=frame).build((1, *(8,) * ndim), 2)
    frames = [layer.frame for layer in network.modules() if isinstance(layer, FrameConv)]
    assert [one.name for one in frames] == [names[k % len(names)] for k in range(len(frames))]
    assert all(one.is_complete and one.support == (3,) * ndim for one in frames)


@pytest.mark.parametrize("make", [FrameResNet, FrameDenseNet])
def test_every_registered_frame_fits_the_support(make):
    for name in entries("frame"):
        network = make(frame=name, depth=8 if make is FrameResNet else 7).build((1, 8, 8), 2)
        frames = [layer.frame for layer in network.modules() if isinstance(layer, FrameConv)]
        assert all(frame.support == (3, 3) for frame in frames)
    pairs = make(frame=("image", "pixel")).families()
    assert [type(family).__name__ for family in pairs[1:]] == ["Framelets", "Pixels"]


@pytest.mark.parametrize("shape", [(2, 9, 8), (8, 8, 2), (1, 1, 1), (2, 3, 1)])
def test_volumes_with_thin_axes_are_pooled(shape):
    network = FrameDenseNet(depth=7).build((1, *shape), 2)
    assert network(torch.zeros(2, 1, *shape)).shape == (2, 2)


def test_a_norm_is_read_before_the_rectifier():
    network = FrameResNet(depth=8, width=4).build((1, 8, 8), 2)
    seen = []
    network.stages.activate.norm.register_forward_hook(lambda *args: seen.append(args[2]))
    features = network.stages(torch.randn(5, 1, 8, 8))
    assert seen[0].min() < 0
    torch.testing.assert_close(seen[0].relu(), features)


@pytest.mark.parametrize("make", [FrameResNet, FrameDenseNet])
def test_scales_are_learned_where_there_are_any(make):
    for frame, expected in (("image", {"gaussian"}), ("gaussian", {"gaussian"}), ("pixel", set())):
        network = make(frame=frame, learn_scale=True).build((1, 8, 8), 2)
        layers = [layer for layer in network.modules() if isinstance(layer, FrameConv)]
        assert {one.frame.name for one in layers if one.scale is not None} == expected


def test_parameters_of_frames_are_set_where_a_name_stands():
    design = GaussianDerivatives(order=(2,), scales=(1.0,), size=3)
    model = FrameResNetClassifier(frame="gaussian").set_params(frame__scales=(1.0,))
    assert model.frame == design
    model = FrameResNetClassifier().set_params(frame__scales=(1.0,))  # framelets have none
    assert model.frame == (design, Framelets(degree=1))
    assert FrameResNet(frame="naive").families() == [Monomials(order=(2,), size=3)]


def kernels_and_norms(network):
    """Return kernels, and norms each as a function with a rectifier, in the order of use."""

    def rho(norm):
        return lambda x: F.relu(
            F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )

    modules = list(network.modules())
    kernels = [m.kernel for m in modules if isinstance(m, FrameConv)]
    pointwise = [m.weight for m in modules if type(m) is nn.Conv2d]
    norms = [rho(m) for m in modules if isinstance(m, nn.BatchNorm2d)]
    return map(iter, (kernels, pointwise, norms))


def trained(architecture):
    """Return a network whose running statistics and affine maps are not those of a new one."""
    torch.manual_seed(0)
    network = architecture.build((3, 12, 10), 4).double()
    for name, value in [*network.named_buffers(), *network.named_parameters()]:
        if value.ndim == 1 and "head" not in name:
            value.data.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_residual_network_is_that_of_the_paper(bottleneck):
    """He et al. (2016), figure 4 e, and where shapes change the shortcut of the activation."""
    depth = 20 if bottleneck else 14  # two blocks a stage
    network = trained(FrameResNet(depth=depth, bottleneck=bottleneck, widen_factor=2, width=4))
    kernels, pointwise, norms = kernels_and_norms(network)
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    h = F.conv2d(x, next(kernels), padding=1)
    for block in range(6):
        stride = 2 if block in (2, 4) else 1
        active = y = next(norms)(h)
        if bottleneck:
            y = next(norms)(F.conv2d(y, next(pointwise)))
        y = next(norms)(F.conv2d(y, next(kernels), stride=stride, padding=1))
        last = (next(pointwise), 0) if bottleneck else (next(kernels), 1)
        y = F.conv2d(y, last[0], padding=last[1])
        if block in (0, 2, 4):
            h = F.conv2d(active, next(pointwise), stride=stride)
        h = h + y
    features = next(norms)(h).mean(dim=(2, 3))
    torch.testing.assert_close(network(x), network.head(features), rtol=1e-9, atol=1e-9)
    assert not [*kernels, *pointwise, *norms]


@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_dense_network_is_that_of_the_paper(bottleneck):
    """Huang et al. (2017), equation 2 and section 3."""
    depth, growth, compression = 16 if bottleneck else 10, 3, 0.5
    network = trained(
        FrameDenseNet(depth=depth, growth=growth, compression=compression, bottleneck=bottleneck)
    )
    kernels, pointwise, norms = kernels_and_norms(network)
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    h = F.conv2d(x, next(kernels), padding=1)
    for stage in range(3):
        if stage:
            h = F.conv2d(next(norms)(h), next(pointwise))
            h = F.avg_pool2d(h, 2, ceil_mode=True)
        for _ in range(2):
            y = next(norms)(h)
            if bottleneck:
                y = next(norms)(F.conv2d(y, next(pointwise)))
            h = torch.cat([h, F.conv2d(y, next(kernels), padding=1)], dim=1)
    features = next(norms)(h).mean(dim=(2, 3))
    torch.testing.assert_close(network(x), network.head(features), rtol=1e-9, atol=1e-9)
    assert not [*kernels, *pointwise, *norms]


@pytest.mark.parametrize("make", [FrameResNet, FrameDenseNet])
def test_a_complete_frame_is_another_parametrisation_and_no_other_network(make):
    plain, framed = (trained(make(frame=frame)) for frame in ("pixel", "image"))
    others = dict(plain.named_modules())
    state = plain.state_dict()
    for name, layer in framed.named_modules():
        if isinstance(layer, FrameConv):
            kernel = others[name].kernel.flatten(2)
            state[f"{name}.weight"] = kernel @ torch.linalg.inv(layer.basis.flatten(1))
    framed.load_state_dict(state)
    x = torch.randn(2, 3, 12, 10, dtype=torch.float64)
    torch.testing.assert_close(framed(x), plain(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "architecture, message",
    [
        (FrameResNet(depth=12), "depth must be 6n \\+ 2 or 6n \\+ 4, with n of at least 1, got 12"),
        (FrameResNet(depth=14, bottleneck=True), "depth must be 9n \\+ 2 with bottlenecks.*got 14"),
        (FrameDenseNet(depth=12), "depth must be 3n \\+ 4, n of at least 1, got 12"),
        (FrameDenseNet(depth=7, bottleneck=True), "depth must be 6n \\+ 4, n of at least 1, got 7"),
        (FrameResNet(frame=()), "frame must have at least one entry"),
        (FrameResNet(frame="images"), "Unknown frame 'images'"),
        (FrameResNet(preset="resnet-18"), "preset of FrameResNet must be one of"),
    ],
)
def test_what_cannot_be_built_is_named(architecture, message):
    with pytest.raises(ValueError, match=message):
        architecture.build((3, 32, 32), 10)


def test_a_search_over_frames_and_depths():
    X, y = load_digits().images[:60], load_digits().target[:60] % 3
    model = FrameResNetClassifier(max_epochs=1, width=4, random_state=0)
    grid = {"frame": ["image", "pixel"], "depth": [8, 14]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    named = StructuredClassifier(architecture="frame_resnet", max_epochs=1, random_state=0)
    named.set_params(architecture__width=4, **{f"architecture__{k}": v[0] for k, v in grid.items()})
    fitted = model.set_params(frame="image", depth=8).fit(X, y)
    np.testing.assert_array_equal(named.fit(X, y).predict_proba(X), fitted.predict_proba(X))
    assert len(set(search.cv_results_["mean_fit_time"])) == 4


def test_the_command_line_trains_them(tmp_path, capsys):
    names = "frame_resnet:depth=8:width=4,frame_densenet:depth=7:frame=pixel"
    call = ["study", "--dataset", "digits", "--estimators", names, "--sizes", "20", "--draws", "1"]
    assert main([*call, "--set", "max_epochs=1", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert main(["show", "architecture", "frame_resnet", "--set", "frame=pixel,naive"]) == 0
    printed += capsys.readouterr().out
    assert "'pixel'" in printed
    assert "'naive'" in printed
    assert "frame_resnet" in printed
    assert "frame_densenet" in printed


def test_the_example_forgets_the_frame(capsys):
    example = runpy.run_path(Path(__file__).parents[1] / "examples/one_network_on_many_frames.py")
    example["main"](n_train=30, n_draws=2, max_epochs=1)
    printed = capsys.readouterr().out
    assert "pixel" in printed
    assert float(printed.rsplit(" ", 1)[1]) < 1e-5
