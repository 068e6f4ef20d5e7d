"""Batch norm, pooling, rectifier and dropout at once, and the compiled way to it.

One after another they read and write the largest arrays of a network a dozen times.  The kernel
reads what comes in twice and writes what goes out, forward and backward.  It is there for single
precision on a CPU, in training; elsewhere torch computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from . import fused
from .dimensions import BATCH_NORM, MAX_POOL, channels_last
from .dropout import LEVELS, Dropout
from .fused import empty_by_place

try:
    from . import _norms
except ImportError:  # no compiler where the package was built
    MADE = False
else:
    MADE = True

NOWHERE = 255  # where a value comes from that does not pass
POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class Rule(NamedTuple):
    """How values go through.

    Parameters
    ----------
    pooled : bool
        Whether the largest of 3 along each axis are taken, at every second place.
    eps : float
        Added to the variance.
    limit : int
        What draws are below, where values pass dropout.
    factor : float
        Of these.
    """

    pooled: bool
    eps: float
    limit: int = 0
    factor: float = 1.0

    def extents(self, x: Tensor) -> list[int]:
        """Return the spatial shape of what comes of x."""
        return [(extent - 1) // 2 + 1 if self.pooled else extent for extent in x.shape[2:]]


class NormAndRectify(torch.autograd.Function):
    """What comes of signals, and the mean and the variance of their channels; by the kernel."""

    @staticmethod
    def forward(
        rule: Rule, x: Tensor, weight: Tensor, bias: Tensor, draws: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Return the output, mean and variance, and what is picked of windows, and from where."""
        y = empty_by_place(x, x.shape[0], x.shape[1], rule.extents(x))
        origin, picked = torch.empty_like(y, dtype=torch.uint8), None
        mean, variance = torch.empty_like(bias), torch.empty_like(bias)
        if rule.pooled:
            picked = torch.empty_like(y)
        filled = mean, variance, y, origin, picked
        run(rule, False, x, weight, bias, draws, *filled, None, None, None)
        return y, mean, variance, origin, picked

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, outputs: Any) -> None:
        """Keep what gradients need."""
        ctx.rule, *tensors, _ = inputs
        ctx.mark_non_differentiable(*outputs[1:4], *outputs[4:] if ctx.rule.pooled else ())
        ctx.save_for_backward(*tensors, *outputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *unused: Any) -> Any:
        """Return the gradients of signals, weight and bias."""
        *inputs, mean, variance, origin, picked = ctx.saved_tensors
        if torch.is_grad_enabled():  # they are differentiated in turn
            y = by_torch(ctx.rule, *inputs) * (origin != NOWHERE)
            needed = [one for one in inputs if one.requires_grad]
            exact = iter(torch.autograd.grad(y, needed, grad, create_graph=True))
            return None, *(next(exact) if one.requires_grad else None for one in inputs), None
        x, weight, _ = inputs
        found = [torch.empty_like(one) for one in inputs]
        filled = mean, variance, channels_last(grad), origin, picked, *found
        run(ctx.rule, True, x, weight, None, None, *filled)
        return None, *found, None


def run(rule: Rule, backward: bool, x: Tensor, *tensors: Tensor | None) -> None:
    """Let the kernel fill tensors whose channels lie side by side."""
    extents = *(1,) * (5 - x.ndim), *x.shape[2:]
    layout = np.array([*x.shape[:2], rule.pooled, *extents], np.int64)
    how = fused.KERNELS[0], torch.get_num_threads(), backward, rule.eps, rule.limit, rule.factor
    arrays = [None if part is None else flat(part) for part in (x, *tensors)]
    _norms.run(*how, layout, *arrays)


def flat(tensor: Tensor) -> NDArray[Any]:
    """Return the memory of a tensor in the order in which it lies there."""
    array: NDArray[Any] = tensor.detach().as_strided((tensor.numel(),), (1,)).numpy()
    return array


def by_torch(rule: Rule, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return by torch's functions what comes of signals without dropout, times its factor."""
    y = F.batch_norm(x, None, None, weight, bias, training=True, eps=rule.eps)
    if rule.pooled:
        y = POOL[x.ndim - 2](y, 3, stride=2, padding=1)
    return y.relu() * rule.factor


class Stage(nn.Sequential):
    """``nn.Sequential`` that in training computes a norm and what follows it at once.

    These are batch norm, max pooling over 3 places at every second one, if there is any, a
    rectifier and ``Dropout``, if there is any.

    See Also
    --------
    activation : Batch norm and rectifier.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import FrameConv, Stage
    >>> stage = Stage(FrameConv(1, 8, "gaussian"), nn.BatchNorm2d(8), nn.ReLU())
    >>> stage(torch.zeros(2, 1, 9, 9)).shape
    torch.Size([2, 8, 9, 9])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layers make of x, one after another."""
        layers = list(self)
        while layers:
            taken = count_fused(layers, x)
            x = compute(layers[:taken], x) if taken else layers[0](x)
            del layers[: taken or 1]
        return x


def count_fused(layers: Sequence[nn.Module], x: Tensor) -> int:
    """Return how many layers from the first one on the kernel computes at once, or 0."""
    norm: Any = layers[0]
    if not (
        MADE
        and not torch.compiler.is_compiling()
        and type(norm) in BATCH_NORM.values()
        and norm.training
        and norm.track_running_stats
        and norm.affine
        and norm.momentum is not None
        and fused.serves(x, norm.weight)
        and not torch.is_autocast_enabled("cpu")
        and x.ndim > 2
        and x.shape[1] == norm.num_features
        and x.numel() > x.shape[1]  # else torch refuses to
        and x.movedim(1, -1).is_contiguous()
    ):
        return 0
    taken = 1
    if len(layers) > 1 and type(layers[1]) is MAX_POOL[x.ndim - 2] and pools_by_two(layers[1]):
        taken = 2
    if len(layers) <= taken or type(layers[taken]) is not nn.ReLU:
        return 0
    taken += 1
    last = layers[taken] if len(layers) > taken else None
    if type(last) is Dropout and last.training and not last.whole_channels:
        generator = last.generator
        taken += 0 < last.kept < LEVELS and (generator is None or generator.device == x.device)
    return 0 if any(map(is_watched, layers[:taken])) else taken


def pools_by_two(pool: Any) -> bool:
    """Return whether a pooling is the one that the kernel knows."""
    sizes = pool.kernel_size, pool.stride, pool.padding, pool.dilation
    sets = [{size} if isinstance(size, int) else {*size} for size in sizes]
    return sets == [{3}, {2}, {1}, {1}] and not (pool.ceil_mode or pool.return_indices)


def is_watched(layer: nn.Module) -> bool:
    """Return whether someone wants to know what goes through a layer."""
    hooks = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return any(getattr(layer, name) for name in hooks)


def compute(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return by the kernel what layers make of x that ``count_fused`` has counted."""
    norm: Any = layers[0]
    last, draws = layers[-1], None
    rule = Rule(type(layers[1]) is not nn.ReLU, norm.eps)
    if isinstance(last, Dropout):
        draws = channels_last(last.draw((*x.shape[:2], *rule.extents(x)), x.device))
        rule = rule._replace(limit=last.kept - LEVELS // 2, factor=LEVELS / last.kept)
    y, mean, variance, *_ = NormAndRectify.apply(rule, x, norm.weight, norm.bias, draws)
    count = x.numel() // x.shape[1]
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    return y
