"""Norm, pooling, rectifier and dropout at once against the same layers one after another."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklstruct.layers import BATCH_NORM, MAX_POOL, Dropout, Stage, channels_last, fused, norms

pytestmark = pytest.mark.skipif(not norms.MADE, reason="no compiler where it was installed")
THREADS = torch.get_num_threads()


def make_stage(channels, ndim, pooled, dropout):
    """Return a stage without convolution, whose norm does something."""
    layers = [BATCH_NORM[ndim](channels), nn.ReLU()]
    if pooled:
        layers.insert(1, MAX_POOL[ndim](3, stride=2, padding=1))
    if dropout:
        layers.append(Dropout(0.3))
    nn.init.normal_(layers[0].weight)
    nn.init.normal_(layers[0].bias)
    return Stage(*layers)


def derivatives(stage, x):
    """Return output, gradients and statistics."""
    if isinstance(stage[-1], Dropout):
        stage[-1].generator = torch.Generator().manual_seed(0)  # which no copy has
    x = x.detach().requires_grad_()
    y = stage(x)
    weights = torch.linspace(-1, 2, y.numel()).reshape(y.shape).to(y)
    y.backward(weights)
    norm = stage[0]
    return y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var


@st.composite
def stages_and_signals(draw):
    """Draw a stage, and signals that are far from zero."""
    ndim = draw(st.integers(1, 3))
    shape = [draw(st.integers(2, 5)), draw(st.sampled_from([1, 3, 8, 16, 19, 40]))]
    shape += [draw(st.integers(1, 9)) for _ in range(ndim)]
    torch.manual_seed(draw(st.integers(0, 2**32)))
    stage = make_stage(shape[1], ndim, draw(st.booleans()), draw(st.booleans()))
    return stage, channels_last(3 * torch.randn(shape) + 5)


@pytest.mark.parametrize("kernel", fused.KERNELS)
@given(drawn=stages_and_signals())
@settings(max_examples=40, deadline=None)
def test_it_computes_what_the_layers_do(kernel, drawn):
    stage, x = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "KERNELS", [kernel])
        assert norms.count_fused(list(stage), x) == len(stage)
        exact = derivatives(copy.deepcopy(stage).double(), x.double())
        for ours, theirs in zip(derivatives(stage, x), exact, strict=True):
            error = (ours - theirs).norm() / theirs.norm().clamp_min(1)
            assert error < 2e-5  # few values have a small variance


@pytest.mark.parametrize("pooled", [False, True])
def test_errors_are_those_of_rounding_and_bits_those_of_one_thread(pooled):
    torch.manual_seed(0)
    stage, x = make_stage(32, 2, pooled, True), channels_last(torch.randn(9, 32, 25, 22) + 3)
    exact = derivatives(copy.deepcopy(stage).double(), x.double())
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(derivatives(copy.deepcopy(stage), x))
    finally:
        torch.set_num_threads(THREADS)
    for one, *others, theirs in zip(*results, exact, strict=True):
        assert (one - theirs).norm() < 2e-6 * theirs.norm()
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("pooled", [False, True])
def test_what_is_no_number_stays_visible(pooled):
    stage = make_stage(16, 2, pooled, False)
    x = channels_last(torch.randn(3, 16, 6, 6))
    x[1, 2, 3, 3] = torch.nan
    plain = nn.Sequential(*copy.deepcopy(stage))
    assert torch.equal(stage(x).isnan(), plain(x).isnan())


@pytest.mark.parametrize("pooled", [False, True])
def test_second_derivatives(pooled):
    torch.manual_seed(0)
    stage = make_stage(4, 2, pooled, True)
    plain = nn.Sequential(*copy.deepcopy(stage)).double()
    found = []
    for layers, x in ((stage, torch.randn(3, 4, 5, 5)), (plain, None)):
        x = found[0][0].double() if x is None else channels_last(x)
        x = x.detach().requires_grad_()
        layers[-1].generator = torch.Generator().manual_seed(0)
        y = layers(x)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        first.square().sum().backward()
        found.append((x, x.grad, layers[0].weight.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)


def test_what_is_watched_is_computed_layer_by_layer():
    stage, seen = make_stage(8, 2, True, True), []
    x = channels_last(torch.randn(2, 8, 6, 6))
    stage[1].register_forward_hook(lambda layer, args, out: seen.append(out))
    stage(x)
    assert seen[0].shape == (2, 8, 3, 3)


@pytest.mark.parametrize("change", ["eval", "momentum", "layout", "pool", "single"])
def test_other_layers_are_left_to_torch(change):
    stage, x = make_stage(8, 2, True, False), channels_last(torch.randn(2, 8, 6, 6))
    if change == "eval":
        stage.eval()
    elif change == "momentum":
        stage[0].momentum = None
    elif change == "layout":
        x = x.contiguous()
    elif change == "pool":
        stage[1].ceil_mode = True
    else:
        x = x[:1, :, :1, :1]
    assert norms.count_fused(list(stage), x) == 0


GUARDED = """
from itertools import product
import numpy as np
from guarded import guarded, normal
from sklstruct.layers import _norms

SHAPES = product((1, 5, 16, 35), (0, 1), (1, 4, 7))
for kernel, (channels, pooled, size) in product(_norms.available(), SHAPES):
    layout = guarded(np.array([3, channels, pooled, 1, size, 5]))
    outs = 3 * channels * (-(-size // 2) * 3 if pooled else size * 5)
    x, weight, bias = normal(3 * channels * size * 5), normal(channels), normal(channels)
    mean, variance, y = normal(channels), normal(channels), normal(outs)
    draws, origin = (guarded(np.zeros(outs, dtype)) for dtype in (np.int16, np.uint8))
    kept = mean, variance, y, origin, normal(outs) if pooled else None
    how = kernel, 1, 0, 1e-5, 1, 2.0, layout, x, weight
    _norms.run(*how, bias, draws, *kept, None, None, None)
    found = normal(x.size), normal(channels), normal(channels)
    _norms.run(kernel, 1, 1, *how[3:], None, None, *kept, *found)
    assert all(np.isfinite(array).all() for array in (y, mean, variance, *found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mprotect")
def test_nothing_is_read_beyond_an_array():
    subprocess.run([sys.executable, "-c", GUARDED], cwd=Path(__file__).parent, check=True)


@pytest.mark.parametrize("number", range(1, 13))
def test_arrays_that_do_not_fit_are_refused(number):
    """One of them would end the process."""
    layout = np.array([1, 2, 1, 1, 4, 4])
    sizes = [32, 2, 2, 8, 2, 2, 8, 8, 8, 32, 2, 2]
    dtypes = {3: np.int16, 7: np.uint8}
    sizes[number - 1] += 1
    arrays = [np.ones(size, dtypes.get(i, np.float32)) for i, size in enumerate(sizes)]
    backward = number > 9
    with pytest.raises(ValueError, match="do not fit"):
        norms._norms.run(fused.KERNELS[0], 1, backward, 1e-5, 0, 1.0, layout, *arrays)
