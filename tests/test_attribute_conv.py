"""Convolution over space and attributes: its definition, its symmetries, and the kernel."""

import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklstruct.layers import AttributeConv, attributes, fused
from sklstruct.layers.attributes import Way, convolve_attributes, patch_moments, surround

THREADS = torch.get_num_threads()
compiled = pytest.mark.skipif(not attributes.MOST_TAPS, reason="no compiler where it was installed")


def by_definition(layer, x, norm):
    """Equations 33 to 37, place by place of the attributes."""
    n, _, *extents, height, width = x.shape
    z = x.mean(1, keepdim=True) if not layer.intermediate_nonlinearity else x
    maps = z.reshape(-1, 1, height, width)
    filters = layer.spatial_filters.unsqueeze(1)
    z = nn.functional.conv2d(maps, filters, stride=layer.stride, padding=1)
    places = z.shape[2:]
    z = norm(z)
    if layer.intermediate_nonlinearity:
        z = nn.functional.elu(z)
    z = z.view(n, -1, *extents, layer.n_factors, *places).mean(1)
    step, mixing = layer.attribute_stride, layer.attribute_filters
    out = [-(-extent // step) for extent in extents]
    y = torch.zeros(n, *out, layer.n_filters, *places, dtype=x.dtype)
    for to in np.ndindex(*out):
        for tap in np.ndindex(*layer.attribute_support):
            at = [step * i + t - k // 2 for i, t, k in zip(to, tap, mixing.shape[2:], strict=True)]
            if layer.boundary == "periodic":
                at = [i % extent for i, extent in zip(at, extents, strict=True)]
            elif any(not 0 <= i < extent for i, extent in zip(at, extents, strict=True)):
                continue
            some = z[(slice(None), *at)], mixing[(..., *tap)]
            y[(slice(None), *to)] += torch.einsum("nqhw,kq->nkhw", *some)
    return y


@pytest.mark.parametrize("n_factors", [4, 12], ids="{} factors".format)
@pytest.mark.parametrize("boundary", ["zeros", "periodic"])
@pytest.mark.parametrize("plus", [False, True], ids=["", "+"])
def test_it_is_what_the_thesis_defines(plus, boundary, n_factors):
    """Twelve factors are more than there are taps, and computed by their product."""
    torch.manual_seed(0)
    options = {"boundary": boundary, "intermediate_nonlinearity": plus, "stride": 2}
    layer = AttributeConv(5, (3, 5), n_factors=n_factors, **options).double()
    if plus:
        nn.init.normal_(layer.norm.weight)
        nn.init.normal_(layer.norm.bias)
    norm = nn.BatchNorm2d(n_factors, affine=plus).double()
    norm.load_state_dict(layer.norm.state_dict())
    x = torch.randn(3, 2, 4, 7, 9, 8, dtype=torch.double) + 0.3
    for training in (True, False):
        layer.train(training), norm.train(training)
        torch.testing.assert_close(layer(x), by_definition(layer, x, norm), atol=1e-12, rtol=0)
        for name, statistic in norm.named_buffers():
            torch.testing.assert_close(layer.norm.get_buffer(name), statistic)
    if not plus:
        torch.testing.assert_close(layer.fuse().eval()(x), layer(x), atol=1e-13, rtol=0)


@pytest.mark.parametrize("boundary", ["zeros", "periodic"])
def test_filters_have_one_product(boundary):
    """However many factors there are, and whether the oldest attribute is there or not."""
    torch.manual_seed(0)
    layer = AttributeConv(6, (3, 5), n_factors=4, ndim=1, boundary=boundary)
    layer(torch.randn(8, 4, 6, 10))
    fused = layer.eval().fuse()
    assert sum(weights.numel() for weights in fused.parameters()) == 6 * 3 * 3 * 5
    x = torch.randn(2, 3, 4, 6, 10)
    torch.testing.assert_close(fused(x), layer(x))
    loaded = AttributeConv(6, (3, 5), ndim=1, boundary=boundary)
    loaded.load_state_dict(fused.state_dict())
    assert torch.equal(loaded(x), fused(x))
    torch.testing.assert_close(fused(x), fused(x.mean(1)))


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_translations_along_attributes_go_through(axis, dtype):
    """Of the oldest one nothing is left; along the others every stride-th shift does."""
    torch.manual_seed(0)
    options = {"boundary": "periodic", "intermediate_nonlinearity": True}
    layer = AttributeConv(4, (3, 5), n_factors=6, **options).to(dtype).eval()
    x = torch.randn(2, 3, 4, 8, 6, 5, dtype=dtype)
    y, moved = layer(x), layer(x.roll(2, axis))
    close = {"atol": 1e-5 if dtype == torch.float32 else 1e-12, "rtol": 0}
    torch.testing.assert_close(moved, y.roll(1, axis - 1) if axis > 1 else y, **close)
    if axis > 1:
        assert (layer(x.roll(1, axis)) - y.roll(1, axis - 1)).abs().max() > 0.01


def test_derivatives_of_all_orders_are_right():
    torch.manual_seed(0)
    options = {"ndim": 1, "intermediate_nonlinearity": True}
    layer = AttributeConv(2, (3,), n_factors=2, **options).double()
    x = torch.randn(2, 2, 3, 4, dtype=torch.double, requires_grad=True)

    def function(x, *weights):
        names = dict(layer.named_parameters())
        return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))

    inputs = x, *layer.parameters()
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


# --- the kernel -----------------------------------------------------------------------------


@st.composite
def cases(draw):
    ndim, n_attributes = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    small = st.integers(1, 6 if n_attributes < 3 else 3)
    spatial = [draw(st.integers(1, (40, 9, 4)[ndim - 1])) for _ in range(ndim)]
    extents = [draw(small) for _ in range(n_attributes)]
    support = (draw(st.sampled_from((1, 3, 5) if ndim < 3 else (1, 3))),) * ndim
    along = tuple(draw(st.sampled_from((1, 3, 5))) for _ in extents)
    flags = st.booleans()
    way = Way(support, draw(st.integers(1, 2)), draw(flags), along, draw(small), draw(flags))
    numbers = np.random.default_rng(draw(st.integers(0, 99)))
    shape = draw(st.integers(1, 5)), draw(st.integers(1, 3)), *extents, *spatial
    n_factors, n_filters = draw(st.integers(1, 18)), draw(st.integers(1, 18))
    shapes = shape, (n_factors, *support), (n_factors,), (n_filters, n_factors, *along)
    tensors = [torch.from_numpy(numbers.normal(size=one)).float() for one in shapes]
    tensors[0] = surround(tensors[0], support)
    return tensors, way


def derivatives(tensors, way, above=None):
    """Return the output and all gradients; also of the moments of patches."""
    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    y = convolve_attributes(*tensors, way)
    above = torch.linspace(-1, 1, y.numel()).view(y.shape) if above is None else above
    moments = patch_moments(tensors[0], way.support, way.stride)
    slopes = [torch.linspace(-1, 2, m.numel()).view(m.shape).to(m) for m in moments]
    of_moments = torch.autograd.grad(moments, tensors[0], slopes)
    return y, *torch.autograd.grad(y, tensors, above.to(y)), *moments, *of_moments


def close(found, wanted, tolerance=4e-6):
    for one, other in zip(found, wanted, strict=True):
        scale = max(1.0, other.abs().max().item())  # of sums of numbers around 1
        assert (one - other).abs().max() <= tolerance * scale


@compiled
@given(case=cases())
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_torch(case):
    tensors, way = case
    exact = derivatives([tensor.double() for tensor in tensors], way)
    for name in fused.KERNELS[:]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fused, "KERNELS", [name])
            close(derivatives(tensors, way), exact)


@compiled
@given(case=cases(), split=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_bits_depend_on_neither_threads_nor_company(case, split):
    (x, *weights), way = case
    try:
        torch.set_num_threads(1)
        alone = derivatives([x, *weights], way)
        torch.set_num_threads(3)
        together = derivatives([x, *weights], way)
    finally:
        torch.set_num_threads(THREADS)
    assert all(map(torch.equal, alone, together))
    above = torch.linspace(-1, 1, alone[0].numel()).view(alone[0].shape)
    for some in (slice(0, split), slice(split, None)):
        if len(x[some]):
            y, of_x, *_ = derivatives([x[some], *weights], way, above[some])
            assert torch.equal(y, alone[0][some])
            assert torch.equal(of_x, alone[1][some])


WAY = Way((3, 3), 1, True, (3, 5), 2, False)
SHAPES = (2, 2, 4, 6, 7, 8), (5, 3, 3), (5,), (4, 5, 3, 5)


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    return [torch.randn(shape) for shape in SHAPES]


@compiled
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # derivatives of elu
def test_second_derivatives_and_transforms_of_functions_go_on(tensors):
    exact = [tensor.double() for tensor in tensors]

    def energy(*tensors):
        mean, covariance = patch_moments(tensors[0], WAY.support, 1)
        return convolve_attributes(*tensors, WAY).square().sum() + covariance.sum() * mean.sum()

    def slope(tensors):
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        first = torch.autograd.grad(energy(*tensors), tensors, create_graph=True)
        return torch.autograd.grad(sum(one.square().sum() for one in first), tensors)

    close(slope(tensors), slope(exact), 1e-5)
    ahead = torch.func.jvp(energy, tuple(tensors), tuple(tensors))
    close(ahead, torch.func.jvp(energy, tuple(exact), tuple(exact)), 1e-5)

    def one(x):
        return energy(x.unsqueeze(0), *tensors[1:])

    each = torch.func.vmap(torch.func.grad(one))(tensors[0])
    close(each, torch.stack([torch.func.grad(one)(x) for x in tensors[0]]), 1e-5)


@compiled
def test_gradients_of_gradients_are_those_of_a_layer_in_training():
    """Whose filters depend on its samples, by the norm in between."""
    torch.manual_seed(0)
    layer = AttributeConv(4, (3, 5), n_factors=6, intermediate_nonlinearity=True)
    x, found = torch.randn(2, 3, 4, 8, 6, 5), []
    for dtype in (torch.float32, torch.float64):
        copy = deepcopy(layer).to(dtype)
        tensors = [x.to(dtype).requires_grad_(), *copy.parameters()]
        first = torch.autograd.grad(copy(tensors[0]).sin().sum(), tensors, create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), tensors)
        found.append([*first, *second])
    close(*found, 1e-5)


def test_jacobians_are_the_same_both_ways():
    torch.manual_seed(0)
    layer = AttributeConv(2, (3,), n_factors=2, ndim=1, intermediate_nonlinearity=True).eval()
    x = torch.randn(1, 2, 3, 4)
    torch.testing.assert_close(torch.func.jacrev(layer)(x), torch.func.jacfwd(layer)(x))


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_statistics_are_those_of_a_batch_norm(dtype, offset):
    """Far from zero, where squares cancel, and in half precision, where they overflow."""
    torch.manual_seed(0)
    layer = AttributeConv(2, (3,), n_factors=2, support=1, intermediate_nonlinearity=True)
    nn.init.uniform_(layer.spatial_filters, 0.5, 1.0)
    x = torch.randn(9, 2, 4, 25, 25) + (offset if dtype == torch.float32 else offset / 100)
    layer(x[:0])  # which has none
    layer.to(dtype)(x.to(dtype))
    z = x.view(-1, 1) * layer.spatial_filters.detach().float().view(1, -1)
    close = {"rtol": 1e-4 if dtype == torch.float32 else 1e-2, "atol": 1e-2}
    torch.testing.assert_close(layer.norm.running_mean.float(), 0.1 * z.mean(0), **close)
    torch.testing.assert_close(layer.norm.running_var.float(), 0.9 + 0.1 * z.var(0), **close)


@pytest.mark.parametrize("training", [False, True])
def test_a_layer_is_compiled_and_exported(training):
    torch.manual_seed(0)
    layer = AttributeConv(4, (3, 5), n_factors=6, intermediate_nonlinearity=True).train(training)
    x, more = torch.randn(2, 3, 4, 8, 6, 5), torch.randn(5, 3, 4, 8, 6, 5)
    compiled = torch.compile(deepcopy(layer), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x), atol=1e-5, rtol=1e-5)
    if not training:
        batch = torch.export.Dim("batch")
        exported = torch.export.export(layer, (x,), dynamic_shapes=({0: batch},)).module()
        torch.testing.assert_close(exported(more), layer(more), atol=1e-5, rtol=1e-5)


def test_running_statistics_are_means_and_kept_in_full():
    """Without a momentum of all batches, and in half precision too."""
    layer = AttributeConv(4, (3, 5), n_factors=6, intermediate_nonlinearity=True)
    batches, layer.norm.momentum = torch.randn(3, 2, 4, 6, 7, 8), None
    with torch.autocast("cpu"):
        for batch in batches:
            layer(batch).sum().backward()
    whole = nn.functional.conv2d(
        batches.view(-1, 1, 7, 8), layer.spatial_filters.unsqueeze(1), padding=1
    )
    torch.testing.assert_close(layer.norm.running_mean, whole.mean((0, 2, 3)))
    variances = [z.var((0, 2, 3)) for z in whole.chunk(3)]
    torch.testing.assert_close(layer.norm.running_var, torch.stack(variances).mean(0))


@compiled
def test_without_the_kernel_a_layer_is_the_same(monkeypatch):
    torch.manual_seed(0)
    layer = AttributeConv(4, (3, 5), n_factors=6, intermediate_nonlinearity=True)
    x = torch.randn(2, 3, 4, 8, 6, 5)
    ours, state = layer(x), layer.norm.running_var.clone()
    layer.norm.reset_running_stats()
    monkeypatch.setattr(fused, "KERNELS", [])
    torch.testing.assert_close(layer(x), ours, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.norm.running_var, state)


def test_what_is_no_number_stays_none(tensors):
    for value in (np.nan, np.inf, -np.inf):
        x = tensors[0].clone()
        x[0, 0, 0, 0, 3, 3] = value
        y = convolve_attributes(x, *tensors[1:], WAY)
        exact = convolve_attributes(*(t.double() for t in (x, *tensors[1:])), WAY)
        assert torch.equal(y.isnan(), exact.isnan())
        assert torch.equal(y.isfinite(), exact.isfinite())


@compiled
def test_what_lies_between_the_factors_is_not_kept(tensors):
    kept = []
    layer = AttributeConv(8, (5, 7), n_factors=16, intermediate_nonlinearity=True)
    x = torch.randn(4, 2, 4, 8, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = layer(x)
    unique = {tensor.data_ptr(): tensor.numel() for tensor in kept}
    padded = x.numel() * (18 / 16) ** 2
    assert sum(unique.values()) < padded + 20_000 < 16 * x.numel()
    assert y.requires_grad


GUARDED = """
from itertools import product
import numpy as np
from guarded import guarded, normal
from sklstruct.layers import _attributes
from sklstruct.layers.attributes import grid, links

SIZES = ((3, 3), 1), ((9, 11), 1), ((18, 18), 1), ((13, 35), 2)
COUNTS = (1, 1), (5, 3), (16, 8), (9, 10)
for kernel, (size, stride), (q, k) in product(_attributes.available(), SIZES, COUNTS):
    places = tuple((extent - 3) // stride + 1 for extent in size)
    where = [guarded(one) for one in grid(size, (3, 3), places, stride)]
    out, n, table = links((3, 5), (3, 5), 2, False)
    layout = guarded(np.array([3, 2, 15, size[0] * size[1], q, 1, out[0] * out[1], k, 15, n]))
    x, y = normal(3 * 2 * 15 * size[0] * size[1]), normal(3 * out[0] * out[1] * k * len(where[0]))
    how = layout, *where, guarded(table), x
    spatial, weights = normal(10 * q), normal(15 * q * k)
    _attributes.run(kernel, 1, 0, *how, spatial, weights, y, None, None, None)
    found = normal(x.size), normal(10 * q), normal(weights.size)
    _attributes.run(kernel, 1, 1, *how, spatial, weights, y, *found)
    sums = guarded(np.zeros(54))
    layout[4] = 9
    _attributes.run(kernel, 1, 2, *how, None, None, sums, None, None, None)
    _attributes.run(kernel, 1, 3, *how, normal(90), None, None, found[0], None, None)
    assert all(np.isfinite(array).all() for array in (y, sums, *found))
"""


@compiled
@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
def test_nothing_is_read_beyond_an_array():
    subprocess.run([sys.executable, "-c", GUARDED], cwd=Path(__file__).parent, check=True)


@compiled
@pytest.mark.parametrize(
    "change",
    [
        *({"layout": (number, value)} for number in range(10) for value in (-1, 1 << 40)),
        *({name: 7} for name in ("where", "offset", "links", "x", "spatial", "weights", "y")),
        *({"gradients": one} for one in range(3)),
        {"link": -1},
        {"link": 99},
        {"kernel": "abacus"},
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused(change):
    """One of them would end the process."""
    where, offset = attributes.grid((4, 4), (3, 3), (2, 2), 1)
    (out,), n, table = attributes.links((3,), (3,), 1, False)
    table = table.copy()
    if "link" in change:
        table[out + 1] = change["link"]
    layout = np.array([1, 1, 3, 16, 2, 0, out, 1, 3, n])
    if "layout" in change:
        number, value = change["layout"]
        layout[number] = value
    sizes = {"x": 48, "spatial": 20, "weights": 6, "y": 12}
    arrays = [np.ones(change.get(name, size), np.float32) for name, size in sizes.items()]
    found = [np.ones(size, np.float32) for size in (48, 20, 6)]
    if "gradients" in change:
        found[change["gradients"]] = np.ones(5, np.float32)
    tables = {"where": where, "offset": offset, "links": table}
    tables = [one[: -change[name]] if name in change else one for name, one in tables.items()]
    name = change.get("kernel", fused.KERNELS[0])
    if change.get("layout", (0, 0))[0] == 5:
        layout[5] = -1
    with pytest.raises(ValueError, match="do not fit"):
        attributes._attributes.run(name, 1, 1, layout, *tables, *arrays, *found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attribute_support": (4, 5)}, "attribute_support must be one to three odd integers"),
        ({"attribute_support": ()}, "attribute_support must be one to three odd integers"),
        ({"n_factors": 0}, "n_factors must be an integer of at least 1 or None"),
        ({"support": 2}, "support must be an odd integer"),
        ({"boundary": "mirror"}, "boundary must be one of"),
        ({"intermediate_nonlinearity": True}, "needs n_factors, got None"),
    ],
    ids=str,
)
def test_mistakes_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        AttributeConv(4, **{"attribute_support": (3, 5), **options})


def test_samples_must_have_the_attributes():
    layer = AttributeConv(4, (3, 5), n_factors=2, intermediate_nonlinearity=True)
    with pytest.raises(ValueError, match="must have 2 attributes, or one more, and 2 spatial axes"):
        layer(torch.zeros(2, 4, 8, 8))
    with pytest.raises(ValueError, match="must be False to fuse, got True"):
        layer.fuse()
