"""Reversible layers: what is undone exactly, what is not kept, and what stays as it was."""

import copy
import itertools
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklstruct_irevnet.architecture import IRevNet
from sklstruct_irevnet.twins import ResNetTwin, RevNet, n_parameters
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from sklstruct import IRevNetClassifier, StructuredClassifier
from sklstruct.layers import (
    BATCH_NORM,
    CONV,
    Coupling,
    Dropout,
    InjectivePad,
    Reversible,
    ReversibleSequential,
    SpaceToChannels,
    fixed_point,
)
from sklstruct.testing import check_reversible


def residual(n_in, n_out, ndim, stride=1):
    """Return everything that makes recomputing hard: norms, two kinds of dropout, strides."""
    return nn.Sequential(
        BATCH_NORM[ndim](n_in),
        nn.ReLU(),
        CONV[ndim](n_in, n_out, 3, stride=stride, padding=1, bias=False),
        Dropout(0.3),
        BATCH_NORM[ndim](n_out),
        nn.ReLU(),
        CONV[ndim](n_out, n_out, 3, padding=1),
        nn.Dropout(0.2),
    )


def chain(ndim=2, depth=4, seed=0, **options):
    """Return a chain of 3 channels and odd extents with padding, strides and couplings."""
    torch.manual_seed(seed)
    return ReversibleSequential(
        InjectivePad(5, [(0, 1)] * ndim),
        Coupling(residual(4, 4, ndim)),
        Coupling(residual(4, 4 * 2**ndim, ndim, 2), SpaceToChannels(2)),
        *(Coupling(residual(4 * 2**ndim, 4 * 2**ndim, ndim)) for _ in range(depth)),
        **options,
    )


def images(ndim=2, n=3, dtype=torch.float64):
    values = np.random.default_rng(0).normal(size=(n, 3, *(7,) * ndim))
    return torch.from_numpy(values).to(dtype)


def backward(network, x, *, calls=1):
    """Return gradients, statistics and what was drawn, of one step or several."""
    network, leaf = copy.deepcopy(network), x.clone().requires_grad_()
    torch.manual_seed(1)
    for _ in range(calls):
        network(leaf).square().sum().backward()
    grads = [leaf.grad, *(one.grad for one in network.parameters())]
    return [*grads, *network.buffers(), torch.rand(2)]


def assert_equal(seen, wanted, **tolerance):
    assert len(seen) == len(wanted)
    for one, other in zip(seen, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **tolerance or {"rtol": 1e-10, "atol": 1e-10})


# --- layers -----------------------------------------------------------------------------------


class Scale(Reversible):
    """A layer of somebody else, which says nothing about gradients."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return x * self.factor.exp()

    def inverse(self, y):
        return y * (-self.factor).exp()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(
    "make",
    [
        lambda ndim: SpaceToChannels(2),
        lambda ndim: SpaceToChannels(3, order="channel"),
        lambda ndim: InjectivePad(2, [(1, 2)] * ndim),
        lambda ndim: Coupling(residual(2, 2, ndim)),
        lambda ndim: Coupling(residual(2, 2 * 2**ndim, ndim, 2), SpaceToChannels(2)),
        lambda ndim: Coupling(nn.Identity(), SpaceToChannels(1)),
        lambda ndim: ReversibleSequential(Scale(), SpaceToChannels(2), Scale()),
        lambda ndim: Scale(),
    ],
    ids=["position", "channel", "pad", "coupling", "strided", "identity", "sequence", "scale"],
)
def test_a_reversible_layer_keeps_its_word(make, ndim, training):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, *(6,) * ndim)))
    check_reversible(make(ndim).train(training), x)


class Liar(Scale):
    def inverse(self, y):
        return y * self.factor


class Gossip(Scale):
    """Its inverse is right, and leaves a trace."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def inverse(self, y):
        self.calls += 1
        return super().inverse(y)


class Vandal(Scale):
    def inverse(self, y):
        return y.mul_((-self.factor).exp())


class Moody(Scale):
    """Its inverse is right in evaluation alone."""

    def inverse(self, y):
        return super().inverse(y) * (2 if self.training else 1)


@pytest.mark.parametrize("layer", [Liar(), Gossip(), Vandal(), Moody().eval()])
def test_the_check_fails_for_what_is_wrong(layer):
    x = torch.rand(2, 2, 3, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(AssertionError):
            check_reversible(layer, x)
    with pytest.raises(ValueError, match=r"double precision, got torch\.float32"):
        check_reversible(Scale(), x.float())


def test_orders_of_channels_are_those_that_the_names_say():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    assert torch.equal(SpaceToChannels(2, "channel")(x), nn.PixelUnshuffle(2)(x))
    y = SpaceToChannels(2)(x)  # channel (row in block, column in block, colour)
    for row, column, colour in itertools.product(range(2), range(2), range(3)):
        assert torch.equal(y[:, (row * 2 + column) * 3 + colour], x[:, colour, row::2, column::2])


@pytest.mark.parametrize("dtype, step", [(torch.float32, 2.0**-16), (torch.float64, 2.0**-42)])
def test_sums_on_the_grid_are_undone_to_the_bit(dtype, step):
    x, shift = (fixed_point(20 * torch.randn(10**4, dtype=dtype)) for _ in range(2))
    assert torch.equal((x + shift) - shift, x)
    assert torch.equal((x / step).round() * step, x)
    y = torch.randn(100, dtype=dtype)
    assert float((fixed_point(y) - y).abs().max()) <= step / 2


# --- chains -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_gradients_statistics_and_draws_are_those_of_stored_activations(ndim, dtype):
    x = images(ndim, dtype=dtype)
    stored, recomputed = (
        backward(chain(ndim, store_activations=stored).to(dtype), x) for stored in (True, False)
    )
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5  # sums may have another order
    assert_equal(recomputed, stored, rtol=tolerance, atol=tolerance)


class Watchful(nn.Conv2d):
    """Its output depends on a buffer that it changes, and it counts."""

    def __init__(self):
        super().__init__(4, 4, 3, padding=1)
        self.register_buffer("mean", torch.zeros(4, 1, 1))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += len(x)
        self.mean = 0.9 * self.mean + 0.1 * x.mean((0, 2, 3))[:, None, None].detach()
        return super().forward(x - self.mean)


class Seldom(nn.Conv2d):
    """Stochastic depth, where nothing that learns is left."""

    def forward(self, x):
        kept = torch.rand(()) < 0.5
        return super().forward(x) if kept else torch.zeros_like(x)


def doubled():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    conv.weight.register_hook(lambda grad: 2 * grad)
    return conv


RESIDUALS = {
    "watchful": Watchful,
    "spectral norm": lambda: spectral_norm(nn.Conv2d(4, 4, 3, padding=1)),
    "weight norm": lambda: weight_norm(nn.Conv2d(4, 4, 3, padding=1)),
    "instance norm": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "group norm": lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1)),
    "seldom": lambda: Seldom(4, 4, 3, padding=1),
    "nothing left": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), Dropout(1.0)),
    "hook": doubled,
    "identity": nn.Identity,
    "lazy": lambda: nn.LazyConv2d(4, 3, padding=1),
}


@pytest.mark.parametrize("make", RESIDUALS.values(), ids=RESIDUALS)
def test_whatever_the_residual_is(make):
    x = torch.randn(3, 8, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for stored in (True, False):
        torch.manual_seed(0)
        layers = [Coupling(make()) for _ in range(4)]
        network = ReversibleSequential(*layers, store_activations=stored).double()
        leaf = x.clone().requires_grad_()
        torch.manual_seed(1)
        for _ in range(2):
            network(leaf).square().sum().backward()
        grads = [one.grad for one in network.parameters()]
        found.append([leaf.grad, *grads, *network.buffers(), torch.rand(2)])
    assert_equal(found[1], found[0])


def test_ways_that_tensors_come_back_changed():
    network, x = chain().double().eval(), images()
    wanted = backward(chain(store_activations=True).double().eval(), x)
    torch.manual_seed(1)
    leaf = x.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
        network(leaf).square().sum().backward()
    grads = [one.grad for one in network.parameters()]
    assert_equal([leaf.grad, *grads], wanted[: 1 + len(grads)])
    own = {name: one.detach().clone().requires_grad_() for name, one in network.named_parameters()}
    torch.func.functional_call(network, own, (x,)).square().sum().backward()
    assert_equal([one.grad for one in own.values()], grads)


def test_hooks_on_layers_are_heard():
    found = []
    for stored in (True, False):
        network, x = chain(store_activations=stored).double().eval(), images().requires_grad_()
        network[1].register_full_backward_hook(lambda *_: (torch.zeros(3, 8, 8, 8).double(),))
        caught = []
        network[2].register_forward_hook(lambda layer, args, y, caught=caught: caught.append(y))
        network(x).square().sum().backward()
        assert caught[0].requires_grad
        found.append(x.grad)
    assert_equal(found[1:], found[:1])
    assert not found[0].any()


def test_a_residual_must_leave_its_input_and_have_its_shape():
    x = torch.randn(2, 8, 4, 4)
    with pytest.raises(ValueError, match="must not change its input in place"):
        Coupling(nn.ReLU(inplace=True))(x)
    with torch.inference_mode():  # where changes are not counted, it has a copy
        layer = Coupling(nn.ReLU(inplace=True))
        y = layer(x)
        assert torch.equal(layer.inverse(y), x) or torch.allclose(layer.inverse(y), x)
    with pytest.raises(ValueError, match=r"residual must map \(2, 4, 4, 4\) to .* got"):
        Coupling(nn.AdaptiveAvgPool2d(1))(x)


def test_half_precision_is_carried_on_in_single():
    network, x = chain(), images(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("calls", [1, 3])
def test_gradients_accumulate(calls):
    stored, recomputed = (
        backward(chain(store_activations=stored).double(), images(), calls=calls)
        for stored in (True, False)
    )
    assert_equal(recomputed, stored)


@pytest.mark.parametrize(
    "frozen", [range(5), range(5, 9), [0, 2], range(99)], ids=["lower", "upper", "some", "all"]
)
@pytest.mark.parametrize("wanted", [True, False])
def test_part_of_it_may_be_frozen(frozen, wanted):
    found = []
    for stored in (True, False):
        network = chain(store_activations=stored).double()
        for number, layer in enumerate(network):
            layer.requires_grad_(number not in frozen)
        x = images().requires_grad_(wanted)
        torch.manual_seed(1)
        y = network(x)
        if y.requires_grad:
            y.square().sum().backward()
        found.append([x.grad, *(one.grad for one in network.parameters())])
    assert_equal(*found)


def test_a_graph_that_is_kept_can_be_gone_through_twice():
    network, x = chain().double(), images().requires_grad_()
    y = network(x)
    inputs = [x, *network.parameters()]
    first = torch.autograd.grad(y.square().sum(), inputs, retain_graph=True)
    assert_equal(torch.autograd.grad(y.square().sum(), inputs), first)


def test_layers_may_share_their_parameters():
    shared = Coupling(residual(4, 4, 2))
    found = []
    for stored in (True, False):
        network = ReversibleSequential(InjectivePad(5), shared, shared, store_activations=stored)
        found.append(backward(network.double(), images()))
    assert_equal(*found)


def test_a_chain_within_a_chain():
    inner = [Coupling(residual(4, 4, 2)) for _ in range(3)]
    flat = ReversibleSequential(InjectivePad(5), *inner, store_activations=True)
    nested = ReversibleSequential(InjectivePad(5), ReversibleSequential(*inner))
    seen, wanted = (backward(network.double(), images()) for network in (nested, flat))
    assert_equal(seen, wanted)


def test_mixed_precision_is_that_of_the_forward_pass():
    found = []
    for stored in (True, False):
        network, x = chain(store_activations=stored), images(dtype=torch.float32).requires_grad_()
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
            assert y.dtype == torch.float32  # what is carried on is exact
            network(x)  # what autocast keeps must not stand in for weights
        y.square().sum().backward()
        found.append([x.grad, *(one.grad for one in network.parameters())])
    assert all(grad is not None for grad in found[1])
    assert_equal(*found)


def test_modes_are_those_of_the_forward_pass():
    found = []
    for stored in (True, False):
        network, x = chain(store_activations=stored).double(), images().requires_grad_()
        torch.manual_seed(1)
        y = network(x)
        network.eval()
        y.square().sum().backward()
        assert not any(part.training for part in network.modules())
        found.append(x.grad)
    assert_equal(found[1:], found[:1])


def kept(network, x):
    """Return the bytes that autograd keeps for a backward pass, but for parameters."""
    storages = {}

    def keep(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    own = {one.untyped_storage().data_ptr() for one in network.parameters()}
    return sum(size for place, size in storages.items() if place not in own)


def test_what_is_kept_does_not_grow_with_depth():
    x = images().requires_grad_()
    flat = [kept(chain(depth=depth).double(), x) for depth in (4, 40)]
    assert flat[0] == flat[1]  # with dropout, whose states are in one piece beside it
    stored = [kept(chain(depth=d, store_activations=True).double(), x) for d in (4, 40)]
    assert stored[1] > 6 * stored[0] > 6 * flat[0]


def test_autograd_takes_over_where_more_is_wanted():
    network, x = chain().double().eval(), images()
    jacobian = torch.func.vjp(network, x)[1]
    leaf = x.clone().requires_grad_()
    y = network(leaf)
    weights = torch.randn_like(y)
    assert_equal(jacobian(weights), torch.autograd.grad(y, leaf, weights))
    with torch.inference_mode():
        assert torch.equal(network(x), y)
    grad = torch.autograd.grad(network(leaf).square().sum(), leaf, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()
    network.store_activations = True
    grad = torch.autograd.grad(network(leaf).square().sum(), leaf, create_graph=True)[0]
    grad.sum().backward()
    assert leaf.grad is not None


def test_a_step_before_the_gradient_is_an_error():
    network, x = chain().double(), images()
    loss = network(x).square().sum()
    with torch.no_grad():
        next(network.parameters()).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_chain_warns_where_its_inverse_drifts():
    network = ReversibleSequential(*(Coupling(nn.Conv1d(2, 2, 1)) for _ in range(4)))
    x = 1e4 * torch.randn(2, 4, 8)  # far beyond the range of exact sums
    with torch.no_grad():
        for layer in network:
            layer.residual.weight.mul_(100)
    with pytest.warns(RuntimeWarning, match="recomputed from the output differs"):
        network(x).sum().backward()


TWO_PROCESSES = """
import sys, tempfile
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel
from sklstruct_irevnet.architecture import IRevNet

def train(rank, file):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
    found = []
    for stored in (True, False):
        torch.manual_seed(0)
        network = IRevNet(widths=(4, 16), store_activations=stored).build((3, 8, 8), 2).double()
        parallel = DistributedDataParallel(network)
        optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
        torch.manual_seed(rank)
        for _ in range(3):
            optimizer.zero_grad()
            parallel(torch.randn(4, 3, 8, 8, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
        found.append(torch.cat([one.detach().flatten() for one in network.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)
    others = [torch.empty_like(found[1]) for _ in range(2)]
    distributed.all_gather(others, found[1])
    assert torch.equal(*others)
    distributed.destroy_process_group()

if __name__ == "__main__":
    multiprocessing.start_processes(train, (sys.argv[1],), nprocs=2, start_method="fork")
    print("as stored")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are not forked there")
def test_two_processes_train_one_network(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(TWO_PROCESSES)
    command = [sys.executable, str(script), str(tmp_path / "rendezvous")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "as stored", done.stderr


# --- the network ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, in_shape, n_outputs, count",
    [
        ({"preset": "cifar"}, (3, 32, 32), 10, 6_274_826),
        ({"preset": "cifar", "kernels": "1-3-1"}, (3, 32, 32), 10, 1_347_338),
        ({"preset": "imagenet-b"}, (3, 224, 224), 1000, 29_201_092),
        ({"preset": "imagenet-b-released"}, (3, 224, 224), 1000, 125_120_356),
    ],
)
def test_published_numbers_of_parameters(params, in_shape, n_outputs, count):
    with torch.device("meta"):
        assert n_parameters(IRevNet(**params).build(in_shape, n_outputs)) == count


@pytest.mark.parametrize("twin", [RevNet, ResNetTwin])
@pytest.mark.parametrize("preset", IRevNet.presets)
def test_twins_have_as_many_parameters_and_convolutions(twin, preset):
    in_shape = (3, 224, 224) if "imagenet" in preset else (3, 32, 32)
    with torch.device("meta"):
        networks = [make(preset=preset).build(in_shape, 10) for make in (IRevNet, twin)]
    ours, other = map(n_parameters, networks)
    assert abs(other / ours - 1) < 0.05
    depths = [
        sum(isinstance(part, nn.Conv2d) and part.kernel_size != (1, 1) for part in net.modules())
        for net in networks
    ]
    assert depths[1] - depths[0] == 1  # the one that widens the samples


@pytest.mark.parametrize(
    "params, in_shape",
    [
        ({}, (3, 27, 31)),
        ({"widths": 64}, (1, 9, 10, 11)),
        ({"order": "channel", "kernels": "3-3-3"}, (2, 50)),
        ({"widths": "bijective", "initial_downsampling": 2}, (3, 27, 31)),
        ({"widths": (8, 40, 160)}, (1, 16, 16)),  # zeros between stages
    ],
)
@pytest.mark.parametrize("dtype, error", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_samples_of_any_size_come_back(params, in_shape, dtype, error):
    torch.manual_seed(0)
    network = IRevNet(**params).build(in_shape, 3).to(dtype)
    x = torch.randn(4, *in_shape, dtype=dtype)
    for _ in range(2):
        network(x)  # statistics of the samples
    network.eval().requires_grad_(False)
    z = network.features(x)
    assert z.shape[1:] == network.shapes[-1]
    assert float((network.inverse(z) - x).norm() / x.norm()) < error
    for (name, layer), shape in zip(
        network.stages.named_children(), network.shapes[1:], strict=True
    ):
        assert layer is network.stages.get_submodule(name)
        assert shape == tuple(network.stages[: 1 + list(network.stages).index(layer)](x).shape[1:])
    if params.get("widths") == "bijective" and not any(e % 8 for e in in_shape[1:]):
        assert z[0].numel() == x[0].numel()


def test_a_bijective_network_is_onto():
    network = IRevNet(widths="bijective", initial_downsampling=2).build((3, 16, 16), 3)
    network(torch.randn(8, 3, 16, 16))
    network.eval()
    z = fixed_point(torch.randn(4, *network.shapes[-1]))
    assert torch.equal(network.features(network.inverse(z)), z)


@pytest.fixture(scope="module")
def deep():
    """Return a hundred blocks of one width, trained, with images of digits and with noise."""
    digits = load_digits()
    X = (15 * digits.images).astype(np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, X[:60].shape).astype(np.uint8)
    shape = {"blocks": (100,), "widths": (8,), "strides": (1,)}
    fits = {
        dtype: IRevNetClassifier(**shape, max_epochs=2, dtype=dtype, random_state=0).fit(
            X[:100], digits.target[:100]
        )
        for dtype in ("float32", "float64")
    }
    return fits, X[1000:1060], noise


@pytest.mark.parametrize("dtype, error", [("float32", 1e-5), ("float64", 1e-12)])
def test_images_and_noise_come_back_through_a_hundred_blocks(deep, dtype, error):
    fits, *samples = deep
    model = fits[dtype]
    for X in samples:
        assert model.reconstruction_error(X) < error
        back = model.inverse_transform(model.transform(X))
        assert back.shape == X.shape
        assert np.array_equal(back.round(), X)


def test_few_come_back_as_well_as_many(deep):
    fits, X, _ = deep
    Z = fits["float32"].transform(X)
    assert np.array_equal(fits["float32"].inverse_transform(Z[5:8]).round(), X[5:8])


def test_what_is_off_the_range_is_not_blown_up(deep):
    fits, X, _ = deep
    Z = fits["float64"].transform(X)
    mixed = fits["float64"].inverse_transform((Z[:30] + Z[30:]) / 2)
    assert np.abs(mixed).max() < 1e4  # channels of zeros are known; else it was 1e7 and more


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:150].reshape(-1, 8, 8), y[:150]


def test_every_block_has_an_inverse(digits):
    model = IRevNetClassifier(max_epochs=1, random_state=0).fit(*digits)
    names = [f"stages.{name}" for name, _ in model.net_.module_.stages.named_children()]
    assert names[0] == "stages.pad"
    for name in names[1::3]:
        model.set_params(feature_layer=name)
        back = model.inverse_transform(model.transform(digits[0]))
        assert np.abs(back - digits[0]).max() < 1e-3


def test_stored_activations_train_the_same_network(digits):
    models = [
        IRevNetClassifier(max_epochs=2, random_state=0, store_activations=stored).fit(*digits)
        for stored in (True, False)
    ]
    stored, recomputed = (model.predict_proba(digits[0]) for model in models)
    assert np.allclose(stored, recomputed, atol=1e-4)
    assert np.allclose(models[0].loss_curve_, models[1].loss_curve_, rtol=1e-4)


def test_mixed_precision_comes_back_too(digits):
    model = IRevNetClassifier(max_epochs=1, mixed_precision=True, random_state=0).fit(*digits)
    assert model.reconstruction_error(digits[0]) < 1e-5


class Lossy(IRevNet):
    """A network whose inverse has drifted."""

    def build(self, in_shape, n_outputs):
        network = super().build(in_shape, n_outputs)
        exact = network.inverse
        network.inverse = lambda z: exact(z).mul(1.01)
        return network


def test_a_fit_warns_if_its_inverse_is_not_exact(digits):
    model = StructuredClassifier(architecture=Lossy(), max_epochs=1, random_state=0)
    with pytest.warns(RuntimeWarning, match="inverse of the trained network loses 0.01"):
        model.fit(*digits)
    assert model.reconstruction_error(digits[0]) > 1e-3


def test_blocks_are_searched(digits):
    grid = {"blocks": [(1, 1), (2, 2)], "kernels": ["1-3-1", "3-3-3"]}
    model = IRevNetClassifier(widths=(8, 32), max_epochs=1, random_state=0)
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(*digits)
    assert len(search.cv_results_["params"]) == 4
    assert search.inverse_transform(search.transform(digits[0])).shape == digits[0].shape


def test_the_example_gives_digits_back(capsys):
    example = runpy.run_path(Path(__file__).parents[1] / "examples/nothing_is_lost.py")
    example["main"](n_train=60, max_epochs=1)
    assert "all digits back, bit for bit: True" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["revnet", "resnet_twin"])
def test_twins_train_and_have_no_inverse(digits, name):
    model = StructuredClassifier(architecture=name, max_epochs=1, random_state=0).fit(*digits)
    assert model.predict(digits[0]).shape == digits[1].shape
    assert not hasattr(model, "inverse_transform")
    assert not hasattr(model, "reconstruction_error")


# --- bad input --------------------------------------------------------------------------------


def test_a_part_of_a_chain_is_one():
    network = chain(store_activations=True, tolerance=0.1)[1:3]
    assert (len(network), network.store_activations, network.tolerance) == (2, True, 0.1)
    assert "store_activations=True, tolerance=0.1" in repr(network)
    network.append(nn.ReLU())
    with pytest.raises(TypeError, match="Layer 2 must be Reversible"):
        network(torch.zeros(1, 8, 4, 4))


def test_errors_of_layers():
    with pytest.raises(ValueError, match=r"block must be an integer .* got 1\.5"):
        SpaceToChannels(1.5)
    with pytest.raises(ValueError, match=r"number of zeros must be an integer .* got -1"):
        InjectivePad(-1)
    with pytest.raises(ValueError, match="zeros for 1 spatial axes, but samples have 2"):
        InjectivePad(0, [(0, 1)])(torch.zeros(1, 1, 3, 4))
    with pytest.raises(ValueError, match="even number of channels to halve, got 3"):
        Coupling(nn.Identity())(torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match=r"multiples of block=2 .* got \(4, 5\)"):
        SpaceToChannels(2)(torch.zeros(1, 3, 4, 5))
    with pytest.raises(ValueError, match="multiple of 4, the values of a block, got 6"):
        SpaceToChannels(2).inverse(torch.zeros(1, 6, 4, 5))
    with pytest.raises(ValueError, match="order must be one of"):
        SpaceToChannels(2, "colour")
    with pytest.raises(TypeError, match=r"Layer 0 must be Reversible, .* got ReLU"):
        ReversibleSequential(nn.ReLU())
    with pytest.raises(NotImplementedError, match="must define inverse"):
        Reversible().inverse(torch.zeros(1))


@pytest.mark.parametrize(
    "params, in_shape, match",
    [
        ({}, (1, 3, 8), r"at least 4 values along every axis, the total stride, got \(3, 8\)"),
        ({"initial_downsampling": 16}, (1, 8, 8), "at least 64 values along every axis"),
        ({"widths": "bijective"}, (3, 8, 8), "even number of channels to halve, got 3"),
        (
            {"widths": (4, 8, 32)},
            (1, 8, 8),
            "stage 2 must be at least 16 and be a multiple of 4, got 8",
        ),
        ({"widths": (1, 4, 16)}, (3, 8, 8), "stage 1 must be at least 2, got 1"),
        ({"blocks": (1, 2), "strides": (1, 2, 2)}, (1, 8, 8), "strides has 3 entries for 2"),
        ({"widths": 0}, (1, 8, 8), "widths of IRevNet must be"),
        ({"kernels": "5-5-5"}, (1, 8, 8), "kernels of IRevNet must be"),
    ],
)
def test_errors_of_the_network(params, in_shape, match):
    with pytest.raises(ValueError, match=match):
        IRevNet(**params).build(in_shape, 2)


def test_errors_of_the_inverse(digits):
    network = IRevNet().build((1, 8, 8), 2)
    with pytest.raises(ValueError, match=r"shape \(n, 256, 2, 2\), got \(3, 256, 2, 3\)"):
        network.inverse(torch.zeros(3, 256, 2, 3))
    with pytest.raises(ValueError, match=r"layer must be one of stages\.pad, .* got 'head'"):
        network.inverse(torch.zeros(3, 256, 2, 2), "head")
    model = IRevNetClassifier(max_epochs=1, random_state=0)
    with pytest.raises(NotFittedError):
        model.inverse_transform(np.zeros((2, 8)))
    Z = model.fit(*digits).transform(digits[0])
    with pytest.raises(ValueError, match="features must have shape"):
        model.inverse_transform(Z[:, :-1])
    with pytest.raises(ValueError, match="0 sample"):
        model.inverse_transform(Z[:0])
    with pytest.raises(ValueError, match="Complex data not supported"):
        model.inverse_transform(Z * 1j)
    Z[0, 0] = np.nan
    with pytest.raises(ValueError, match="features must be finite"):
        model.inverse_transform(Z)
    model.set_params(feature_layer="head.norm")
    with pytest.raises(ValueError, match="layer must be one of"):
        model.inverse_transform(model.transform(digits[0]))


def test_a_head_reads_what_class_activations_add_up_to(digits):
    network = IRevNet().build((1, 8, 8), 4).eval()
    x = torch.randn(3, 1, 8, 8)
    outputs = network.class_activations(x).flatten(2).mean(2) + network.head.linear.bias
    torch.testing.assert_close(outputs, network(x))
    assert F.softmax(outputs, 1).shape == (3, 4)
