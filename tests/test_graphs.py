"""What torch makes of layers: graphs of any batch, derivatives of any order, other precisions."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from sklstruct_multiscale.architecture import Multiscale
from sklstruct_rfnn.architecture import RFNN
from sklstruct_scattering.fourier import WindowedFourier
from sklstruct_scattering.harmonic import HarmonicScattering
from sklstruct_scattering.net import ScatteringNet
from sklstruct_scattering.roto import RotoTranslationScattering
from sklstruct_scattering.scattering import Scattering
from torch.export import Dim, export
from torch.func import functional_call, grad, jacrev, jvp, vmap

from sklstruct import FrameTransformer, RFNNClassifier
from sklstruct.frames import Framelets, GaussianDerivatives, Pixels
from sklstruct.layers import (
    AttributeConv,
    CoarseFrameConv,
    DynamicSteerableBlock,
    FrameConv,
    Pyramid,
)

pytestmark = pytest.mark.filterwarnings(  # of torch about itself
    "ignore:.*:DeprecationWarning",
    "ignore:Complex modules",
    "ignore:There is a performance drop",
)

SCATTERING = [
    Scattering(2, (16,)),
    Scattering(2, (8, 8), L=2),
    Scattering(1, (4, 4, 4), L=2),
    RotoTranslationScattering(1, (4, 4), L=2),
    HarmonicScattering(1, (4, 5, 6), L=1),
    WindowedFourier((8, 8), 4),
]
METHODS = ("compose", "filter")


def filtered(ndim=2, **options):
    torch.manual_seed(0)
    return FrameConv(2, 3, GaussianDerivatives(order=2), ndim=ndim, method="filter", **options)


# --- graphs ---------------------------------------------------------------------------------


def cases():
    yield filtered(), (2, 9, 8)
    yield FrameConv(2, 3, GaussianDerivatives(order=2), learn_scale="channel"), (2, 9, 8)
    yield FrameConv(16, 16, "gaussian", learn_scale=True), (16, 9, 8)
    yield CoarseFrameConv(1, 2, GaussianDerivatives(2, (1.0, 4.0)), ndim=1), (1, 40)
    yield RFNN(widths=(2, 2)).build((1, 9, 9), 2), (1, 9, 9)
    yield Pyramid(2, "learned"), (2, 9, 8)
    yield Pyramid(2, "db2"), (2, 9, 8)
    yield Multiscale(widths=(2, 2)).build((1, 9, 9), 2), (1, 9, 9)
    yield ScatteringNet(J=1, L=2, width=2).build((1, 8, 8), 2), (1, 8, 8)
    for scattering in SCATTERING:
        yield scattering, (1, *scattering.shape)


@pytest.mark.parametrize("layer, shape", [*cases()], ids=lambda case: type(case).__name__)
def test_a_graph_takes_any_batch_and_leaves_nothing_in_the_layer(layer, shape):
    """A copy keeps no tensors, so that all are made anew while the graph is made."""
    layer = pickle.loads(pickle.dumps(layer)).eval()
    three, five = torch.randn(3, *shape), torch.randn(5, *shape)
    with torch.no_grad():
        graph = export(layer, (three,), dynamic_shapes=({0: Dim("n")},)).module()
        wanted = pickle.loads(pickle.dumps(layer))(five)
        torch.testing.assert_close(layer(five), wanted, rtol=0, atol=0)
        torch.testing.assert_close(graph(five), wanted)


@pytest.mark.parametrize("layer", [filtered(1), *SCATTERING], ids=lambda it: type(it).__name__)
def test_transforms_of_torch_leave_nothing_in_the_layer(layer):
    shape = getattr(layer, "shape", (9,))
    x = torch.randn(2, getattr(layer, "in_channels", 1), *shape)
    wanted = layer(x)
    for transform in (
        lambda copied: vmap(grad(lambda one: copied(one[None]).sin().sum()))(x),
        lambda copied: jvp(copied, (x,), (x,)),
        lambda copied: vmap(copied)(x[None]),
    ):
        copied = pickle.loads(pickle.dumps(layer))
        transform(copied)
        torch.testing.assert_close(copied(x), wanted, rtol=0, atol=0)


# --- derivatives ----------------------------------------------------------------------------


def test_filtering_has_second_derivatives_forward_and_backward():
    layer = filtered(1, stride=2).double()
    x = torch.randn(2, 2, 5, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(layer.bank, (x, weight), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(layer.bank, (x, weight), check_fwd_over_rev=True)


def test_both_ways_have_the_same_transforms():
    """Gradients of each sample, Jacobians, directional derivatives and Hessians."""
    layers = [filtered(1).double(), filtered(1).double()]
    layers[0].method = "compose"
    parameters = {name: p.detach() for name, p in layers[0].named_parameters()}
    x, along = torch.randn(2, 3, 2, 6, dtype=torch.float64)

    def everything(layer):
        def loss(parameters, signal):
            return functional_call(layer, parameters, (signal[None],)).sin().sum()

        yield from vmap(grad(loss), in_dims=(None, 0))(parameters, x).values()
        yield jacrev(layer)(x)
        yield from jvp(layer, (x,), (along,))
        yield vmap(layer)(x[None])
        yield jacrev(jacrev(lambda signal: loss(parameters, signal)))(x[0])
        yield torch.func.hessian(lambda signal: loss(parameters, signal))(x[0])

    for composed, by_filters in zip(*map(everything, layers), strict=True):
        torch.testing.assert_close(composed, by_filters)


@pytest.mark.parametrize("options", [*({"method": m} for m in METHODS), {"learn_scale": True}])
def test_another_precision_is_refused_and_complex_layers_stay_complex(options):
    layer = FrameConv(1, 2, "gaussian", **options)
    x = torch.randn(1, 1, 5, 6)
    for dtype in (torch.float64, torch.complex64):
        with pytest.raises(TypeError, match=r"wants input of torch.float32, got torch.(fl|co)"):
            layer(x.to(dtype))
    turned = copy.deepcopy(layer).to(torch.complex64)
    with torch.no_grad():
        turned.weight.mul_(1j)
        turned.bias.mul_(1j)
        torch.testing.assert_close(turned(x + 0j), 1j * layer(x))


# --- precision ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", [GaussianDerivatives(), Framelets(3), Pixels(3)], ids=repr)
def test_in_double_precision_kernels_are_the_atoms_to_the_last_digit(family, method):
    """Whatever the precision was before, and whatever torch's default is."""
    frame = family.build(2)
    for casts in (("double",), ("half", "float", "double")):
        layer = FrameConv(1, 2, family, method=method, padding="full")
        weight = layer.weight.detach().double()
        for cast in casts:
            layer = getattr(layer, cast)()
        with torch.no_grad():
            layer.weight.copy_(weight)
        x = torch.randn(1, 1, 6, 7, dtype=torch.float64)
        unit = frame.flat / np.linalg.norm(frame.flat, axis=1, keepdims=True)
        kernel = torch.from_numpy(unit.T @ weight[:, 0].numpy().T).T
        kernel = kernel.reshape(2, 1, *frame.support)
        padding = tuple(extent - 1 for extent in frame.support)
        wanted = torch.nn.functional.conv2d(x, kernel, layer.bias, padding=padding)
        torch.testing.assert_close(layer(x), wanted, rtol=0, atol=1e-12)


def test_features_in_double_precision_are_correlations_to_the_last_digit():
    X = np.random.default_rng(0).normal(size=(2, 9, 8))
    model = FrameTransformer(nonlinearity="none", pool=None, dtype="float64").fit(X)
    atoms, features = model.frame_.atoms, model.transform(X).reshape(2, -1, 9, 8)
    for image, found in zip(X, features, strict=True):
        wanted = [correlate(image, atom, mode="constant") for atom in atoms]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_equal_seeds_give_equal_layers_whatever_the_default_is(request):
    def weights():
        torch.manual_seed(0)
        return FrameConv(1, 2, "gaussian").weight.detach().float()

    X = np.random.default_rng(0).normal(size=(8, 9, 9))
    model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0)
    wanted = weights(), model.fit(X, [0, 1] * 4).predict_proba(X)
    request.getfixturevalue("double_by_default")
    assert torch.equal(weights(), wanted[0])
    np.testing.assert_array_equal(model.fit(X, [0, 1] * 4).predict_proba(X), wanted[1])


@pytest.mark.parametrize(
    "layer, shape",
    [
        (FrameConv(16, 16, "gaussian"), (16, 9, 8)),
        (FrameConv(16, 16, "gaussian", learn_scale=True), (16, 9, 8)),
        (CoarseFrameConv(1, 2, GaussianDerivatives(2, (1.0, 4.0)), ndim=1), (1, 40)),
        (AttributeConv(4, (3, 5), n_factors=6), (2, 5, 6, 3)),
        (DynamicSteerableBlock(2, 3, GaussianDerivatives(order=2)), (2, 9, 8)),
        (DynamicSteerableBlock(2, 3, "gaussian", poses="output"), (2, 9, 8)),
    ],
    ids=lambda case: type(case).__name__,
)
def test_layers_keep_their_precision_whatever_the_default_is(layer, shape, request):
    x, found = torch.randn(2, *shape, requires_grad=True), []
    for fixture in (None, "double_by_default"):
        if fixture:
            request.getfixturevalue(fixture)
        y = layer(x)
        gradients = torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])
        found.append([y.detach(), *gradients])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(double, single, rtol=0, atol=0)


@pytest.mark.parametrize("scattering", SCATTERING, ids=repr)
@pytest.mark.parametrize("with_gradients", [False, True])
def test_autocast_does_not_change_scattering(scattering, with_gradients):
    x = torch.randn(2, 1, *scattering.shape, requires_grad=with_gradients)
    with torch.autocast("cpu", torch.bfloat16):
        found = scattering(x)
    torch.testing.assert_close(found, scattering(x), rtol=0, atol=0)


def test_sizes_are_numbers_of_any_kind_and_one_for_all_axes():
    numbers = {"stride": 2, "padding": 1}
    layers = [
        FrameConv(1, 2, "gaussian", **{name: kind(n) for name, n in numbers.items()})
        for kind in (int, np.int64)
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(1, 1, 9, 8)
    assert torch.equal(layers[0](x), layers[1](x))
    with pytest.raises(ValueError, match=r"stride must be an integer of at least 1, got \(2, 2\)"):
        FrameConv(1, 2, "gaussian", stride=(2, 2))
