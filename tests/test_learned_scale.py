"""Scales that are learned: what dilation is, that it is learned, and that it stays in bounds."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklstruct_fcn.architecture import FrameFCN
from sklstruct_frame_resnet.resnet import FrameResNet
from sklstruct_rfnin.architecture import RFNiN
from sklstruct_rfnn.architecture import RFNN
from torch import nn
from torch.autograd import grad as grad_of
from torch.func import functional_call, grad, jvp, vmap

from sklstruct import RFNiNClassifier, RFNNClassifier
from sklstruct.estimators import load_model, save_model
from sklstruct.frames import (
    FirstGaussianDerivatives,
    Framelets,
    Gabor,
    GaussianDerivatives,
    Pixels,
    product_jet,
)
from sklstruct.layers import FrameConv, LearnedScale, dilate, fused, to_dense
from sklstruct.layers.scale import derivatives
from sklstruct.testing import parametrize_architectures

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # jvp

FAMILIES = {
    "order 3": GaussianDerivatives(),
    "two scales": GaussianDerivatives(order=2, scales=(1.0, 1.5)),
    "tensor order": GaussianDerivatives(order=(2,), scales=(0.8,), size=3),
    "first nine": FirstGaussianDerivatives(),
}
WAYS = pytest.mark.parametrize("learn_scale", [True, "channel"])


def twins(*args, learn_scale=True, **options):
    """Return a layer of fixed scale and one that learns it, of equal seeds in double precision."""
    layers = []
    for learns in (False, learn_scale):
        torch.manual_seed(0)
        layers.append(FrameConv(*args, learn_scale=learns, **options).double())
    return layers


@torch.no_grad()
def moved(layer):
    """Move the factors of a layer away from 1, each elsewhere."""
    layer.scale.log_factor += torch.linspace(0.5, -0.4, len(layer.scale.log_factor))
    return layer


# Kernels ------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_first_kernels_are_those_of_the_fixed_scale(family, ndim, learn_scale):
    fixed, learned = twins(2, 3, family, ndim=ndim, learn_scale=learn_scale)
    assert torch.equal(learned.weight, fixed.weight)  # of equal seeds
    atol = 1e-14 * fixed.kernel.abs().max().item()
    torch.testing.assert_close(learned.kernel, fixed.kernel, rtol=0, atol=atol)
    assert learned.scales.tolist() == fixed.scales.tolist() * len(learned.scale.log_factor)


@pytest.mark.parametrize("step", [1.0, 0.7, (0.6, 0.8)])
def test_atoms_are_those_of_a_frame_of_these_scales(step):
    """The oracle is the frame that NumPy builds for the dilated scales, axis by axis."""
    family, factor = GaussianDerivatives(order=3, scales=(1.0, 1.5)), 1.2
    frame = product_jet(family, 2, step)
    scale = LearnedScale(frame).double()
    scale.dilate(factor)
    jet = frame.functions
    np.testing.assert_allclose(jet(frame.grid), frame.flat, atol=1e-15)
    dilated = jet._replace(widths=factor * jet.widths)(frame.grid)
    np.testing.assert_allclose(scale()[0].detach(), dilated, atol=1e-14)


@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("first, factor", [(1.5, 2.0), (3.0, 0.5)])
def test_a_dilated_kernel_sees_a_dilated_signal_as_the_kernel_sees_the_signal(first, factor, ndim):
    """To 1e-7 of the largest response: what is left is sampling, and Gaussians that are cut."""
    family = GaussianDerivatives(order=3, scales=(first,), size=41)
    layer = FrameConv(1, 2, family, ndim=ndim, learn_scale=True, bias=False).double()

    def response(dilation):
        """Return the response at the places that all dilations of the grid have."""
        axis = np.arange(-90, 91) / dilation
        y, x = np.meshgrid(axis if ndim == 2 else 0.0, axis, indexing="ij")
        signal = np.exp(-(x**2 + 2 * y**2 + x * y) / 200) * np.cos(x / 5 + y / 7)
        with torch.no_grad():
            y = dilate(layer, dilation)(torch.tensor(signal.reshape(1, 1, *(181,) * ndim)))
        places = 90 + np.rint(np.arange(-12, 13) * dilation / min(1, factor)).astype(int)
        return y[0][(slice(None), *np.ix_(*[places] * ndim))].numpy()

    expected = response(1.0)
    np.testing.assert_allclose(response(factor), expected, atol=1e-7 * np.abs(expected).max())


def test_constants_pass_at_any_scale():
    """The samples of a Gaussian sum to one: a blur keeps the mean."""
    layer = FrameConv(1, 1, GaussianDerivatives(order=0, size=9), learn_scale=True).double()
    sums = [dilate(layer, factor).kernel.sum().item() for factor in (0.41, 1.0, 2.9)]
    np.testing.assert_allclose(sums, sums[1], rtol=1e-14)


@WAYS
def test_dense_copies_compute_the_same(learn_scale):
    layer = moved(FrameConv(2, 3, "gaussian", stride=2, learn_scale=learn_scale))
    x = torch.randn(2, 2, 9, 8)
    torch.testing.assert_close(to_dense(layer)(x), layer(x), rtol=0, atol=1e-5)


# Learning -----------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_are_gradients(check, learn_scale):
    family = GaussianDerivatives(order=2, scales=(0.9, 1.2), size=5)
    layer = FrameConv(1, 2, family, ndim=1, learn_scale=learn_scale).double()
    names = [name for name, _ in layer.named_parameters()]
    x = torch.randn(2, 1, 6, dtype=torch.float64, requires_grad=True)
    log_factor = torch.tensor([-0.3, 0.2])[: len(layer.scale.log_factor)].double()
    values = dict(layer.named_parameters()) | {"scale.log_factor": log_factor.requires_grad_()}

    def outputs(x, *parameters):
        return functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert check(outputs, (x, *(values[name].detach().requires_grad_() for name in names)))


def test_gradients_of_single_samples_sum_to_that_of_all():
    layer = FrameConv(1, 2, "gaussian", learn_scale="channel").double()
    parameters, x = dict(layer.named_parameters()), torch.randn(3, 1, 8, 8).double()

    def loss(parameters, x):
        return functional_call(layer, parameters, (x,)).square().sum()

    each = vmap(grad(lambda p, one: loss(p, one[None])), (None, 0))(parameters, x)
    for name, whole in grad(loss)(parameters, x).items():
        torch.testing.assert_close(each[name].sum(0), whole)


def test_dilation_raises_the_order_by_two():
    """Exactly, of samples too: the derivative along the logarithm of the factor."""
    widths, factor = np.array([0.7, 1.5]), torch.tensor([1.1], dtype=torch.float64)
    orders, extent = 5, 9

    def table(log_factor, order):
        return derivatives(log_factor.exp(), widths, order, extent).view(2, -1, extent)

    _, slopes = jvp(lambda t: table(t, orders), (factor.log(),), (torch.ones_like(factor),))
    p, n = table(factor.log(), orders + 2), torch.arange(orders + 1)[:, None]
    raised = p[:, 2:] + (n - p[:, 2:3].sum(dim=2, keepdim=True)) * p[:, :-2]
    torch.testing.assert_close(slopes, raised, rtol=0, atol=1e-14)


compiled = pytest.mark.skipif(not fused.KERNELS, reason="built without a C compiler")


def by_kernel(layer, monkeypatch):
    """Return a layer in single precision that has to compute by the kernel, and its double twin."""
    twin = copy.deepcopy(layer).double()
    assert twin.method_for((9,) * (2 + layer.frame.ndim)) == "compose"
    monkeypatch.setattr(layer, "method_for", lambda shape: "filter")
    return layer, twin


@compiled
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": "full"}, {"padding": 0}])
def test_compiled_way_agrees_with_composed_kernels(family, ndim, options, monkeypatch):
    """Outputs, gradients and the gradients of these, of the factor too."""
    torch.manual_seed(0)
    layer = moved(FrameConv(2, 3, family, ndim=ndim, learn_scale=True, **options))
    x, found = torch.randn(2, 2, *(12, 11, 13)[:ndim]), []
    for each in by_kernel(layer, monkeypatch):
        signal = x.to(each.weight).requires_grad_()
        given = signal, each.weight, each.scale.log_factor
        y = each(signal)
        gradients = grad_of(y, given, y.detach(), create_graph=True)
        # Of squares: sums of products that nearly cancel would compare rounding.
        second = grad_of(sum(part.square().sum() for part in gradients), given)
        found.append([y, *gradients, *second])
    for seen, wanted in zip(*found, strict=True):
        tolerance = 5e-5 if seen.ndim == 1 else 2e-6  # what is one number cancels in its sum
        assert (seen.double() - wanted).norm() < tolerance * wanted.norm()


@compiled
def test_transforms_of_functions_take_the_compiled_way(monkeypatch):
    layer = moved(FrameConv(2, 3, "gaussian", learn_scale=True))
    x, found = torch.randn(4, 2, 9, 8), []
    for each in by_kernel(layer, monkeypatch):
        parameters = dict(each.named_parameters())
        directions = {name: value.detach() for name, value in parameters.items()}
        directions["scale.log_factor"] = torch.ones_like(parameters["scale.log_factor"])

        def loss(parameters, one, each=each):
            return functional_call(each, parameters, (one[None],)).square().sum()

        signals = x.to(each.weight)
        single = vmap(grad(loss), (None, 0))(parameters, signals)
        along = jvp(lambda p: loss(p, signals[0]), (parameters,), (directions,))[1]  # noqa: B023
        twice = jvp(lambda p: grad(loss)(p, signals[0]), (parameters,), (directions,))[1]  # noqa: B023
        found.append([along, *single.values(), *twice.values()])
    for seen, wanted in zip(*found, strict=True):
        assert (seen.double() - wanted).norm() < 1e-5 * wanted.norm()


@compiled
def test_the_kernel_is_taken_where_it_serves():
    shape, options = (32, 64, 28, 28), {"in_channels": 64, "out_channels": 64, "frame": "gaussian"}
    layer = FrameConv(**options, learn_scale=True)
    assert layer.method_for(shape) == "filter"
    assert layer.method_for((0, 64, 28, 28)) == "compose"
    assert layer(torch.zeros(0, 64, 28, 28)).shape == (0, 64, 28, 28)
    assert FrameConv(**options, learn_scale="channel").method_for(shape) == "compose"
    assert FrameConv(**options, learn_scale=True, method="compose").method_for(shape) == "compose"
    assert layer.double().method_for(shape) == "compose"


@pytest.mark.parametrize("scale", [0.9, 2.5])
def test_a_blur_is_learned_with_its_scale(scale):
    signal = np.random.default_rng(0).normal(size=(48, 48))
    x, y = (
        torch.tensor(values, dtype=torch.float32)[None, None]
        for values in (signal, gaussian_filter(signal, scale, mode="constant"))
    )
    family = GaussianDerivatives(order=0, scales=(1.5,), size=15)
    torch.manual_seed(0)
    layer = FrameConv(1, 1, family, learn_scale=True, bias=False)
    descent = torch.optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        descent.zero_grad()
        error = (layer(x) - y).square().mean()
        error.backward()
        return error

    assert descent.step(loss) > 1e-3
    assert loss() < 1e-6
    assert layer.scales.item() == pytest.approx(scale, rel=0.01)


@WAYS
@pytest.mark.parametrize("rate", [1e3, -1e3, 1e30, -1e30])
def test_scales_stay_in_bounds_after_absurd_steps(rate, learn_scale):
    family = GaussianDerivatives(order=2, scales=(1.0, 1.5))
    layer = FrameConv(1, 2, family, learn_scale=learn_scale)
    x = torch.randn(1, 1, 12, 12)
    for _ in range(3):
        layer.zero_grad()
        layer(x).square().sum().backward()
        with torch.no_grad():
            layer.scale.log_factor -= rate * (layer.scale.log_factor.grad + 1)
        assert layer.scales.min() >= 0.4 * (1 - 1e-6)
        assert layer.scales.max() <= layer.frame.support[0] / 3 * (1 + 1e-6)
        assert torch.isfinite(layer.kernel).all()


def test_the_scale_is_not_decayed():
    model = RFNNClassifier(widths=(2,), max_epochs=1, random_state=0, learn_scale=True)
    model.fit(np.random.default_rng(0).normal(size=(8, 8, 8)), [0, 1] * 4)
    (scale,) = (p for name, p in model.net_.module_.named_parameters() if "log_factor" in name)
    decay = [
        group["weight_decay"]
        for group in model.net_.optimizer_.param_groups
        if any(parameter is scale for parameter in group["params"])
    ]
    assert decay == [0.0]


# Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"frame": Pixels(size=3)}, "Gaussian derivatives only.*'pixel'"),
        ({"frame": Framelets()}, "Gaussian derivatives only"),
        ({"frame": Gabor()}, "Gaussian derivatives only"),
        ({"frame": GaussianDerivatives(order=1, scales=(0.4,), size=3)}, "0.4 samples"),
        ({"frame": GaussianDerivatives(order=1, scales=(1.0,), size=3)}, "third of the support"),
        ({"frame": GaussianDerivatives(scales=(1.0, 4.0), size=9)}, "got 1 to 4 samples"),
        ({"method": "filter"}, "method='filter' needs a scale that is fixed"),
        ({"learn_scale": "atom"}, "learn_scale must be True or False or 'channel', got 'atom'"),
        ({"learn_scale": 1}, "learn_scale must be"),
    ],
)
def test_what_has_no_scale_to_learn_is_refused(options, message):
    options = {"frame": "gaussian", "learn_scale": True} | options
    with pytest.raises(ValueError, match=message):
        FrameConv(1, 2, **options)


def test_dilation_stays_in_bounds():
    layer = FrameConv(1, 1, "gaussian", learn_scale=True)
    assert dilate(dilate(layer, 2.0), 0.3).scales.item() == pytest.approx(0.6)
    assert layer.scales.item() == 1
    with pytest.raises(ValueError, match=r"between 0.4 and 2.33 times .* got 3, which"):
        dilate(layer, 3.0)
    with pytest.raises(ValueError, match="factor must be a finite number above 0"):
        dilate(layer, 0.0)
    with pytest.raises(ValueError, match="there is none"):
        dilate(nn.Sequential(FrameConv(1, 1, "gaussian")), 2.0)


def test_coarse_filters_are_fixed_ones():
    with pytest.raises(ValueError, match=r"tolerance must be 0, got 0\.001"):
        RFNiN(preset="mri", learn_scale=True).build((1, 12, 12, 12), 2)


# Copies -------------------------------------------------------------------------------------


@WAYS
def test_copies_are_complete(learn_scale):
    layer = moved(FrameConv(1, 2, "gaussian", learn_scale=learn_scale))
    x, fresh = torch.randn(1, 1, 6, 6), FrameConv(1, 2, "gaussian", learn_scale=learn_scale)
    fresh.load_state_dict(layer.state_dict())
    for twin in (fresh, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    assert set(layer.state_dict()) == {"weight", "bias", "scale.log_factor"}
    layer.reset_parameters()
    assert layer.scales.unique().tolist() == [1]
    exact = FrameConv(1, 2, "gaussian", learn_scale=learn_scale).double().scale()
    torch.testing.assert_close(layer.half().double().scale(), exact, rtol=0, atol=0)


def test_what_was_on_no_device_has_its_atoms_afterwards():
    with torch.device("meta"):
        layer = FrameConv(1, 2, "gaussian", learn_scale=True)
    layer.to_empty(device="cpu").reset_parameters()
    atoms = FrameConv(1, 2, "gaussian", learn_scale=True).scale()
    torch.testing.assert_close(layer.scale(), atoms, rtol=0, atol=0)


# Networks -----------------------------------------------------------------------------------


@parametrize_architectures(
    RFNN(widths=(4, 4), learn_scale="channel"),
    FrameResNet(depth=8, width=4, learn_scale=True),
    RFNiN(widths=(4, 4), learn_scale=True),
    FrameFCN(widths=(4, 4), learn_scale=True),
)
def test_architecture(check, build, in_shape):
    check(build, in_shape)


@pytest.mark.parametrize("architecture", [RFNN, RFNiN, FrameFCN])
def test_free_kernels_have_no_scale(architecture):
    for frame in ("pixel", Pixels(size=3)):
        plain, twin = (
            architecture(frame=frame, learn_scale=learns).build((1, 12, 12), 2)
            for learns in (False, True)
        )
        assert list(twin.state_dict()) == list(plain.state_dict())


def test_a_fitted_network_keeps_its_scales(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, 8, 8)), [0, 1] * 6
    model = RFNiNClassifier(widths=(3, 3), max_epochs=2, random_state=0, learn_scale="channel")
    save_model(model.fit(X, y), tmp_path / "model.skl")
    for twin in (load_model(tmp_path / "model.skl"), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(twin.predict_proba(X), model.predict_proba(X))
        assert twin.describe().equals(model.describe())
    layer = model.net_.module_.stages.group1.parts["spatial"].conv
    means = ", ".join(f"{scale:.3g}" for scale in layer.scales.mean(dim=0).tolist())
    assert means != "1, 2"
    assert model.describe().scales["stages.group1.parts.spatial.conv"] == means
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_grid_chooses_among_scales_that_are_learned_or_not():
    rng = np.random.default_rng(0)
    model = RFNNClassifier(widths=(2,), max_epochs=1, random_state=0)
    grid = {"learn_scale": [False, True, "channel"], "frame": ["gaussian", "pixel"]}
    search = GridSearchCV(model, grid, cv=2).fit(rng.normal(size=(8, 8, 8)), [0, 1] * 4)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
