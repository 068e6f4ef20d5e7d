"""The compiled frame convolution against composed kernels, bit by bit against itself, and more."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklstruct.frames import Frame, Gabor, GaussianDerivatives
from sklstruct.layers import CoarseFrameConv, FrameConv, fused

pytestmark = pytest.mark.skipif(not fused.KERNELS, reason="no compiler where it was installed")
THREADS = torch.get_num_threads()


@pytest.fixture(params=fused.KERNELS)
def kernel(request, monkeypatch):
    monkeypatch.setattr(fused, "KERNELS", [request.param])
    return request.param


@pytest.fixture
def torch_alone(monkeypatch):
    monkeypatch.setattr(fused, "KERNELS", [])


@st.composite
def layers_and_signals(draw):
    """Draw a layer with atoms that share some of their factors, and signals for it."""
    ndim = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    support = [draw(st.sampled_from([1, 3, 5, 7])) for _ in range(ndim)]
    n_atoms = draw(st.integers(1, 8))
    profiles = [rng.normal(size=(draw(st.integers(1, 5)), extent)) for extent in support]
    chosen = [rows[rng.integers(0, len(rows), n_atoms)] for rows in profiles]
    axes = "abc"[:ndim]
    atoms = np.einsum(",".join("n" + axis for axis in axes) + "->n" + axes, *chosen)
    padding = draw(st.sampled_from(["same", "full", "valid", 1]))
    channels = draw(st.sampled_from([1, 2, 3, 8, 16, 17, 33]))
    layer = FrameConv(
        channels,
        draw(st.sampled_from([1, 3, 16, 17, 40, 70])),
        Frame("drawn", atoms),
        padding=padding,
        stride=draw(st.integers(1, 3)),
        method="filter",
    )
    least = [max(1, k - 2 * p) for k, p in zip(support, layer.padding, strict=True)]
    extents = [draw(st.integers(low, 12)) for low in least]
    n = draw(st.integers(1, 18))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(rng.normal(size=layer.weight.shape)))
    signals = torch.from_numpy(rng.normal(size=(n, channels, *extents))).float()
    return layer, signals


def relative(ours, exact):
    return ((ours - exact).norm() / exact.norm().clamp_min(1e-30)).item()


def derivatives(way, layer, x, y_gradient):
    """Return the output, and the gradients for signals and weights."""
    x = x.detach().clone().requires_grad_()
    y = way(layer, x)
    return (y, *torch.autograd.grad(y, (x, layer.weight), y_gradient))


def composed(layer, x):
    """Return in double precision what the layer should."""
    kernel = torch.tensordot(layer.weight.double(), layer.double_basis, dims=1)
    options = {"stride": layer.stride, "padding": layer.padding}
    return torch.nn.functional.__dict__[f"conv{x.ndim - 2}d"](x.double(), kernel, **options)


@given(drawn=layers_and_signals())
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_composed_kernels(drawn):
    layer, x = drawn
    layer.bias = None
    layer.double_basis = torch.from_numpy(layer._atoms()["basis"])
    exact_y = composed(layer, x)
    g = torch.randn(exact_y.shape, generator=torch.Generator().manual_seed(0))
    exact = derivatives(composed, layer, x, g.double())
    for name in fused.KERNELS[:]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fused, "KERNELS", [name])
            found = derivatives(FrameConv.forward, layer, x, g)
        for ours, wanted in zip(found, exact, strict=True):
            assert relative(ours, wanted) < 2e-6


@given(drawn=layers_and_signals(), split=st.integers(1, 17))
@settings(max_examples=30, deadline=None)
def test_bits_depend_on_neither_threads_nor_company(drawn, split):
    layer, x = drawn
    g = torch.ones(layer(x).shape)
    try:
        torch.set_num_threads(1)
        alone = derivatives(FrameConv.forward, layer, x, g)
        torch.set_num_threads(3)
        together = derivatives(FrameConv.forward, layer, x, g)
    finally:
        torch.set_num_threads(THREADS)
    assert all(map(torch.equal, alone, together))
    for some in (slice(0, split), slice(split, None)):
        if len(x[some]):
            y, gradient, _ = derivatives(FrameConv.forward, layer, x[some], g[some])
            assert torch.equal(y, alone[0][some])
            assert torch.equal(gradient, alone[1][some])


def test_atoms_of_low_separable_rank_are_filtered_too(kernel):
    layer = FrameConv(3, 5, Gabor(), method="filter")
    other = FrameConv(3, 5, Gabor(), method="compose")
    other.load_state_dict(layer.state_dict())
    assert layer.bank.n_atoms > len(layer.frame)
    x, g = torch.randn(2, 3, 12, 11), torch.randn(2, 5, 12, 11)
    for one, two in zip(
        derivatives(FrameConv.forward, layer, x, g),
        derivatives(FrameConv.forward, other, x, g),
        strict=True,
    ):
        assert relative(one, two) < 2e-6


def test_the_channels_of_a_place_lie_side_by_side(kernel):
    for method in ("compose", "filter"):
        y = FrameConv(1, 8, "gaussian", method=method)(torch.randn(2, 1, 9, 9))
        assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "make, spatial",
    [
        (FrameConv, (9, 8)),
        (CoarseFrameConv, (40, 9)),  # one axis on a small grid, and one that is as it was
        (CoarseFrameConv, (40, 30)),
        (CoarseFrameConv, (9, 30, 7)),
    ],
)
def test_without_a_compiler_torch_gives_the_same(make, spatial, stride, monkeypatch):
    torch.manual_seed(0)
    jet = GaussianDerivatives(order=2, scales=(1.0, 3.0))
    layer = make(4, 5, jet, ndim=len(spatial), stride=stride)
    layer.method, x = "filter", torch.randn(3, 4, *spatial)
    g = torch.randn(layer(x).shape)
    results = []
    for kernels in ([], *([name] for name in fused.KERNELS)):
        monkeypatch.setattr(fused, "KERNELS", kernels)
        results.append(derivatives(make.forward, layer, x, g))
    for found in results[1:]:
        for one, two in zip(results[0], found, strict=True):
            assert relative(one, two) < 2e-6


def test_without_a_compiler_kernels_are_composed(torch_alone):
    assert FrameConv(64, 64, "gaussian").method_for((25, 64, 14, 14)) == "compose"


def test_compiled_networks_have_it_as_an_operator():
    layer = FrameConv(4, 8, "gaussian", method="filter")
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    y, coefficients = layer(x).detach(), layer.coefficients.detach()
    circle = [x.detach(), coefficients, y]
    for wanted in range(3):
        one, two = circle[wanted - 2], circle[wanted - 1]
        operator, (numbers, *arrays) = torch.ops.sklstruct.filter_and_mix.default, layer.bank.plan
        plan = numbers, *map(torch.from_numpy, arrays)
        torch.library.opcheck(operator, (wanted, one, two, (6, 6), *plan))


GUARDED = """
from itertools import product
import numpy as np
from guarded import guarded, normal, rng
from sklstruct.layers import _fused

SIZES = (1, 3, 1, 1), (3, 5, 2, 2), (13, 3, 0, 1), (9, 3, 2, 3)
for kernel, channels, outs, size in product(_fused.available(), (1, 3, 5, 17), (1, 5, 18), SIZES):
    width, taps, zeros, stride = size
    out = (width + 2 * zeros - taps) // stride + 1
    axes = [1, 1, 1, 0, 1, *2 * [width, taps, stride, zeros, 2]]
    axes[-1] = 3
    layout = guarded(np.array([2, channels, outs, *axes, 0, 0, 0, 0, 1, 1]))
    profiles = guarded(np.r_[1, rng.normal(size=5 * taps)].astype(np.float32))
    x, y = normal(2 * width * width * channels), normal(2 * out * out * outs)
    mixing = normal(3 * channels * outs)
    _fused.convolve(kernel, 1, layout, profiles, None, None, x, mixing, None, y)
    gx, gm = normal(x.size), normal(mixing.size)
    _fused.differentiate(kernel, 1, layout, profiles, None, None, None, mixing, None, y, gx)
    _fused.differentiate(kernel, 1, layout, profiles, None, None, x, None, None, y, None, gm)
    both = None, gm, None, normal(y.size)
    _fused.differentiate(kernel, 1, layout, profiles, None, None, x, mixing, None, y, *both)
    # Two sums of the three responses, with four numbers at a place.
    entries = [0, 0, 1, 0, 0, 2, 3, 1, 1, 1, 0, 2], [0, 0, 1, 0, 1, 1, 0, 2, 2, 0, 3, 1]
    weights, mixing = normal(3), normal(2 * channels * outs)
    for by_channel in (0, 1):
        steps = guarded(np.array([2, 4, by_channel, *sum(entries, [])]))
        table = normal(2 * out * out * 4 * (channels if by_channel else 1))
        how = kernel, 1, layout, profiles, steps, weights
        _fused.convolve(*how, x, mixing, table, y)
        gt, gm = normal(table.size), normal(mixing.size)
        _fused.differentiate(*how, x, mixing, table, y, gx, None, gt)
        _fused.differentiate(*how, x, None, table, y, None, gm)
        assert all(np.isfinite(array).all() for array in (y, gx, gm, gt))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
def test_nothing_is_read_beyond_an_array():
    subprocess.run([sys.executable, "-c", GUARDED], cwd=Path(__file__).parent, check=True)


@pytest.mark.parametrize(
    "change",
    [
        {"x": 5},
        {"y": 5},
        {"mixing": 5},
        {"profiles": 5},
        {"layout": -1},
        {"layout": 3},
        {"parent": 1},
        {"parent": -1},
        {"kernel": "abacus"},
        {"steps": [0, 0, 0, 0]},
        {"steps": [5, 0, 0, 0]},
        {"steps": [0, 5, 0, 0]},
        {"steps": [0, 0, 5, 0]},
        {"steps": [0, 0, 0, 5]},
        {"table": 5},
    ],
    ids=str,
)
def test_arrays_that_do_not_fit_are_refused(change):
    """One of them would end the process."""
    kernel = change.get("kernel", fused.KERNELS[0])
    layout = np.array([1, 1, 1, *3 * [4, 3, 1, 1, 1], 0, 0, change.get("parent", 0)])
    arrays = {"layout": layout, "profiles": 9, "x": 64, "mixing": 1, "y": 64}
    for name, size in arrays.items():
        if name != "layout":
            arrays[name] = np.ones(change.get(name, size), np.float32)
    if "layout" in change:
        layout[change["layout"]] = 1 << 40
    layout, profiles, x, mixing, y = arrays.values()
    steps = weights = table = None
    if "steps" in change or "table" in change:
        entry = change.get("steps", [0, 0, 0, 0])
        steps = np.array([1, 1, 0, *entry, 0, 0, 0, 0 if any(entry) or "table" in change else 1])
        weights, table = np.ones(1, np.float32), np.ones(change.get("table", 64), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        fused._fused.convolve(kernel, 1, layout, profiles, steps, weights, x, mixing, table, y)


@pytest.mark.parametrize("shape", [(0, 2, 9, 9), (2, 2, 9, 9)])
def test_empty_batches_are_no_obstacle(shape):
    layer = FrameConv(2, 3, GaussianDerivatives(), method="filter")
    assert layer(torch.zeros(shape)).shape == (shape[0], 3, 9, 9)
