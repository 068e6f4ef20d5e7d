"""Hierarchical attribute CNNs: counts, an oracle, what translations leave unchanged, and fusing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklstruct_hierarchical.architecture import HierarchicalCNN
from torch import nn

from sklstruct import HierarchicalCNNClassifier, HierarchicalCNNRegressor
from sklstruct.cli import main
from sklstruct.estimators import load_model, save_model

TINY = {"n_attributes": 4, "n_factors": 2, "depth": 5}
FIT = {**TINY, "max_epochs": 2, "random_state": 0}
PLAIN = {"intermediate_nonlinearity": False}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:60].reshape(-1, 8, 8) / 16, y[:60] % 3


def settled(architecture, shape=(2, 7, 6), n_outputs=3, dtype=torch.float64):
    """Return a network in evaluation whose norms are not those of a new one."""
    torch.manual_seed(0)
    network = architecture.build(shape, n_outputs).to(dtype)
    for name, value in [*network.named_buffers(), *network.named_parameters()]:
        if "norm." in name and value.is_floating_point():
            value.data.uniform_(0.5, 1.5)
    return network.eval()


def n_free(network):
    """Return the number of parameters, those of norms not counted."""
    return sum(w.numel() for name, w in network.named_parameters() if "norm." not in name)


# --- counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, n_outputs, published",
    [
        ({"preset": "cifar10", "n_factors": "fused"}, 10, 97_650),
        ({"preset": "cifar10+"}, 10, 344_640),
        ({"preset": "cifar100", "n_factors": "fused"}, 100, 250_308),
        ({"preset": "cifar100+"}, 100, 887_424),
        ({"preset": "released"}, 10, 359_594),
        ({"preset": "small"}, 10, 43_456),
    ],
)
def test_parameters_are_as_many_as_published(params, n_outputs, published):
    with torch.device("meta"):
        network = HierarchicalCNN(**params).build((3, 32, 32), n_outputs)
    assert n_free(network) == published


@pytest.mark.parametrize("preset, strided", [("cifar10", (5, 9)), ("released", (4, 8))])
@torch.no_grad()
def test_layers_are_as_large_as_published(preset, strided):
    network = HierarchicalCNN(preset=preset).build((3, 16, 16), 10).eval()
    x = torch.zeros(2, 3, 16, 16)
    for depth in range(1, 12):
        x = network.stages[depth - 1](x)
        places = [(16, 8, 4)[sum(depth >= j for j in strided)]] * 2
        youngest = 10 if (preset, depth) == ("cifar10", 11) else 16
        older = {1: [], 2: [8]}.get(depth, [4, 8])
        assert x.shape == (2, *older, youngest, *places)


# --- the equations --------------------------------------------------------------------------


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def normed(x, norm, axis):
    """Return x normalised as a batch norm in evaluation does, by its index along an axis."""
    shape = [-1 if k == axis else 1 for k in range(x.ndim)]
    mean, variance = (b.numpy().reshape(shape) for b in (norm.running_mean, norm.running_var))
    x = (x - mean) / np.sqrt(variance + norm.eps)
    if not norm.affine:
        return x
    weight, bias = (p.detach().numpy().reshape(shape) for p in (norm.weight, norm.bias))
    return weight * x + bias


def along_space(x, kernel, stride):
    """Return every map filtered, and subsampled."""
    maps = [correlate2d(one, kernel, mode="same") for one in x.reshape(-1, *x.shape[-2:])]
    maps = np.stack(maps)[:, ::stride, ::stride]
    return maps.reshape(*x.shape[:-2], *maps.shape[1:])


def along_attributes(z, kernel, stride, periodic):
    """Return the sum over taps of what lies there, by equation 31, at every stride."""
    y = np.zeros((*(-(-e // stride) for e in z.shape[:-2]), *z.shape[-2:]))
    for place in np.ndindex(y.shape[:-2]):
        for tap in np.ndindex(kernel.shape):
            at = [stride * v + t - s // 2 for v, t, s in zip(place, tap, kernel.shape, strict=True)]
            if periodic:
                at = [v % e for v, e in zip(at, z.shape, strict=False)]
            if all(0 <= v < e for v, e in zip(at, z.shape, strict=False)):
                y[place] += kernel[tap] * z[tuple(at)]
    return y


def by_the_equations(network, x, net):
    """Return outputs for a sample (channels, height, width), by equations 32, 33, 35 and 36."""
    periodic = net["boundary"] == "periodic"
    for number, layer in enumerate(network.stages, start=1):
        conv, stride = layer.conv, 2 if number in net["strided"] else 1
        if number == 1:
            kernels = conv.kernel.detach().numpy()
            y = [sum(map(along_space, x, w, [stride] * len(x))) for w in kernels]
        elif number == 2:
            y = [
                sum(
                    along_attributes(along_space(x, w[..., tap], stride), unit, 2, periodic)
                    for tap, unit in enumerate(np.eye(w.shape[-1]))
                )
                for w in conv.filters.detach().numpy()
            ]
        else:
            if net["mean_first"] and number > 3:
                x = x.mean(0)
            z = [along_space(x, h, stride) for h in conv.spatial_filters.detach().numpy()]
            z = normed(np.stack(z), conv.norm, axis=0)
            z = elu(z) if net["intermediate_nonlinearity"] else z
            z = z.mean(1) if z.ndim == 6 else z
            y = [
                sum(along_attributes(*pair, 2, periodic) for pair in zip(z, g, strict=True))
                for g in conv.attribute_filters.detach().numpy()
            ]
        youngest = y[0].ndim - 2
        x = elu(normed(np.stack(y, axis=youngest), layer.norm, axis=youngest))
    return x.mean((0, 1, 3, 4))


@pytest.mark.parametrize("boundary", ["zeros", "periodic"])
@pytest.mark.parametrize("plus, mean_first", [(False, False), (True, False), (True, True)])
@torch.no_grad()
def test_the_network_is_that_of_the_equations(plus, mean_first, boundary):
    net = {"intermediate_nonlinearity": plus, "mean_first": mean_first}
    net |= {"boundary": boundary, "strided": (2, 4)}
    network = settled(HierarchicalCNN(**TINY, **net, attribute_support=(3, 5)))
    x = torch.randn(2, 2, 7, 6, dtype=torch.float64)
    expected = np.stack([by_the_equations(network, sample, net) for sample in x.numpy()])
    np.testing.assert_allclose(network(x).numpy(), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_without_a_nonlinearity_between_factors_the_mean_may_come_first():
    late, early = (settled(HierarchicalCNN(**TINY, **PLAIN, mean_first=f)) for f in (False, True))
    x = torch.randn(2, 2, 7, 6, dtype=torch.float64)
    torch.testing.assert_close(early(x), late(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", ["mean", "linear"])
@torch.no_grad()
def test_a_network_goes_on_from_any_layer(head):
    network = settled(HierarchicalCNN(**TINY, head=head))
    x = torch.randn(2, 2, 7, 6, dtype=torch.float64)
    for depth in range(1, 1 + network.n_layers):
        again = network.from_attributes(network.attributes(x, depth), depth)
        assert torch.equal(again, network(x))
    with pytest.raises(ValueError, match="depth must be an integer from 1 to 4, got 5"):
        network.attributes(x, 5)


# --- translations ---------------------------------------------------------------------------

ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-12}
EVERY_FORM = pytest.mark.parametrize("form", [{}, PLAIN, {"mean_first": True}, {"head": "linear"}])


@EVERY_FORM
@pytest.mark.parametrize("dtype", ROUNDING)
@given(depth=st.integers(1, 4), taus=st.tuples(*[st.integers(0, 3)] * 3), seed=st.integers(0, 1000))
@torch.no_grad()
def test_translations_leave_the_outputs_unchanged(dtype, form, depth, taus, seed):
    """Proposition 5.3.1, without subsampling along attributes: along all of them together."""
    options = {**TINY, "depth": 6, "boundary": "periodic", "attribute_stride": 1}
    network = settled(HierarchicalCNN(**options, **form), (1, 5, 4), dtype=dtype)
    x = torch.randn(2, 1, 5, 4, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    attributes = network.attributes(x, depth)
    axes = range(1, attributes.ndim - 2)
    moved = attributes.roll(taus[: len(axes)], tuple(axes))
    outputs = network.from_attributes(moved, depth)
    torch.testing.assert_close(outputs, network(x), rtol=0, atol=ROUNDING[dtype])


@torch.no_grad()
def translation_errors(network, x, depth):
    """Return how far all translations of a layer along each attribute move the outputs."""
    attributes = network.attributes(x, depth)
    outputs = network.from_attributes(attributes, depth)

    def error(axis, tau):
        moved = network.from_attributes(attributes.roll(tau, axis), depth)
        return (moved - outputs).norm() / outputs.norm()

    extents = attributes.shape[1 : 1 + min(depth, 3)]
    return [
        torch.stack([error(axis, tau) for tau in range(extent)])
        for axis, extent in enumerate(extents, start=1)
    ]


@EVERY_FORM
@pytest.mark.parametrize("dtype", ROUNDING)
def test_of_strided_attributes_multiples_of_the_strides_to_come_leave_them(dtype, form):
    """And no others: the condition under which proposition 5.3.1 holds as published."""
    architecture = HierarchicalCNN(
        **{"n_factors": 2, "n_attributes": 16, "depth": 7, "boundary": "periodic", **form}
    )
    network = settled(architecture, (1, 4, 4), dtype=dtype)
    x = torch.randn(2, 1, 4, 4, dtype=dtype)
    for depth in range(1, 6):
        steps = (1, 2, 4 if depth < 5 else 2)  # after depth 5 there is one layer left
        errors = translation_errors(network, x, depth)
        for step, error in zip(reversed(steps), reversed(errors), strict=False):
            exact = torch.arange(len(error)) % step == 0
            assert error[exact].max() < ROUNDING[dtype]
            assert exact.all() or error[~exact].min() > 1e-4


def test_zeros_beyond_the_ends_of_attributes_break_it():
    options = {**TINY, "depth": 6, "attribute_stride": 1}
    network = settled(HierarchicalCNN(**options), (1, 5, 4))
    x = torch.randn(2, 1, 5, 4, dtype=torch.float64)
    *_, older, oldest = reversed(translation_errors(network, x, depth=3))
    assert oldest.max() < 1e-12  # the mean over it comes next, whatever lies beyond
    assert older[1:].min() > 1e-4


# --- fusing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", ["zeros", "periodic"])
@pytest.mark.parametrize("n_factors", [2, 32])
@torch.no_grad()
def test_a_fused_network_has_equal_outputs(n_factors, boundary):
    params = {"preset": "cifar10", "n_factors": n_factors, "boundary": boundary}
    network = settled(HierarchicalCNN(**params), (3, 8, 8), 10, torch.float32)
    fused, x = network.fuse(), torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(fused(x), network(x), rtol=0, atol=1e-5)
    assert n_free(fused) == 97_650
    rebuilt = HierarchicalCNN(**{**params, "n_factors": "fused"}).build((3, 8, 8), 10)
    rebuilt.load_state_dict(fused.state_dict())
    assert torch.equal(rebuilt.eval()(x), fused(x))
    assert torch.equal(fused.fuse()(x), fused(x))


def test_a_fused_estimator_predicts_the_same_is_stored_and_learns_on(digits, tmp_path):
    X, y = digits
    groups = [("*.spatial_filters", {"lr": 1e-3})]
    model = HierarchicalCNNClassifier(**{**FIT, **PLAIN}, param_groups=groups).fit(X, y)
    model.set_params(n_factors=5)  # of the next fit
    fused, wanted = model.fuse(), model.predict_proba(X)
    assert model.n_factors == 5
    np.testing.assert_allclose(fused.predict_proba(X), wanted, rtol=0, atol=1e-5)
    assert fused.loss_curve_ == model.loss_curve_
    assert fused.n_parameters_ == sum(w.numel() for w in fused.net_.module_.parameters())
    for one in (model, fused):
        save_model(one, tmp_path / "model.skl")
        loaded = load_model(tmp_path / "model.skl")
        np.testing.assert_array_equal(loaded.predict_proba(X), one.predict_proba(X))
    fused.partial_fit(X, y)
    assert not np.allclose(fused.predict_proba(X), wanted, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(model.predict_proba(X), wanted)


def test_with_nonlinearities_between_them_factors_do_not_fuse(digits):
    with pytest.raises(ValueError, match="intermediate_nonlinearity must be False to fuse"):
        HierarchicalCNNClassifier(**FIT).fit(*digits).fuse()


# --- any samples, any parameters ------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2), (3, 31), (1, 27, 13), (2, 9, 7, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize(
    "params",
    [
        {"n_attributes": 6},  # no multiple of 4
        {"attribute_support": (11, 9)},  # larger than there are values
        {"attribute_support": (11, 9), "boundary": "periodic"},
        {"depth": 4, "head": "linear", "n_factors": "fused", **PLAIN},
    ],
    ids=str,
)
def test_samples_of_all_shapes_are_taken(shape, params):
    network = HierarchicalCNN(**{**TINY, **params}).build(shape, 2)
    x = torch.randn(3, *shape)
    assert network(x).shape == (3, 2)
    network(x).square().sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in network.parameters())


@pytest.mark.parametrize(
    "params, message",
    [
        ({"depth": 3}, "depth of HierarchicalCNN must be an integer of at least 4"),
        ({"depth": 6, "strided": (3, 6)}, r"strided must be numbers of layers from 1 to depth - 1"),
        ({"strided": 5}, "strided of HierarchicalCNN must be a sequence of numbers of layers"),
        ({"attribute_support": (5, 6)}, "attribute_support of .* must be a pair of odd integers"),
        ({"attribute_support": 5}, "attribute_support of .* must be a pair of odd integers"),
        (
            {"n_attributes": 6, "boundary": "periodic"},
            r"n_attributes must be a multiple of attribute_stride \*\* 2 = 4 .* got 6",
        ),
        ({"n_factors": "fused"}, "intermediate_nonlinearity must be False, got True"),
        ({"n_factors": 0}, "n_factors of HierarchicalCNN must be an integer .* or 'fused' or None"),
        ({"preset": "cifar"}, "preset of HierarchicalCNN must be one of"),
        ({"boundary": "reflect"}, "boundary of HierarchicalCNN must be one of"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_named(params, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalCNN(**params).build((3, 8, 8), 10)


def test_statistics_are_shared_along_all_attributes_but_the_youngest():
    network = HierarchicalCNN(**TINY).build((1, 8, 8), 3)
    network(torch.randn(5, 1, 8, 8))
    layer = network.stages.layer4
    assert type(layer.norm) is nn.BatchNorm2d
    seen = []
    layer.register_forward_hook(lambda module, args, y: seen.append(y))
    layer.elu = nn.Identity()
    network(torch.randn(5, 1, 8, 8))
    y = seen[0].movedim(3, 0).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(3), rtol=0, atol=1e-2)


# --- estimators -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(24,), (2, 6, 5), (9, 8, 3), (2, 6, 5, 4)])
def test_two_classes_of_signals_images_and_volumes(shape):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12, *shape)), np.repeat(["a", "b"], 6)
    model = HierarchicalCNNClassifier(**FIT).fit(X, y)
    assert model.predict_proba(X).shape == (12, 2)


def test_values_far_below_their_mean_are_reached(digits):
    X = digits[0]
    ink = X.mean((1, 2))
    model = HierarchicalCNNRegressor(**{**FIT, "max_epochs": 20}).fit(X, ink)
    assert model.predict(X).min() < ink.mean() - 1.2 * ink.std()  # units would not go below -1


def test_a_search_over_factors(digits):
    grid = {"n_factors": [1, np.int64(3), "fused"]}
    model = HierarchicalCNNClassifier(**{**FIT, **PLAIN})
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(*digits)
    assert search.best_params_["n_factors"] in (1, 3, "fused")
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_command_line_trains_it(tmp_path, capsys):
    tiny = ":".join(f"{name}={value}" for name, value in TINY.items())
    call = ["study", "--dataset", "digits", "--estimators", f"hierarchical_cnn:{tiny}"]
    call += ["--sizes", "20", "--draws", "1", "--set", "max_epochs=1", "--out", str(tmp_path)]
    assert main(call) == 0
    assert "hierarchical_cnn" in capsys.readouterr().out
    assert main(["show", "architecture", "hierarchical_cnn", "--set", "preset=cifar10+"]) == 0
    assert "stages.layer11.conv" in capsys.readouterr().out
