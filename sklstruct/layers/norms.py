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
from torch import Tensor, nn

from . import fused
from .dimensions import BATCH_NORM, MAX_POOL
from .dropout import LEVELS, Dropout

try:
    from . import _norms
except ImportError:  # no compiler where the package was built
    MADE = False
else:
    MADE = True

NOWHERE = 255  # where a value comes from that does not pass
POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
POOLING = {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 1}
POOLING |= {"ceil_mode": False, "return_indices": False}


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


class NormAndRectify(torch.autograd.Function):
    """What comes of signals, and the mean and the variance of their channels; by the kernel."""

    @staticmethod
    def forward(
        rule: Rule, x: Tensor, weight: Tensor, bias: Tensor, draws: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """Return the output, mean and variance, and of its windows what is picked and from where."""
        signals = x.movedim(1, -1)
        n, *places, channels = signals.shape
        if rule.pooled:
            places = [(extent - 1) // 2 + 1 for extent in places]
        y = x.new_empty((n, *places, channels))
        origin = torch.empty(y.shape, dtype=torch.uint8)
        mean, variance = torch.empty_like(bias), torch.empty_like(bias)
        picked = torch.empty_like(y) if rule.pooled else None
        filled = mean, variance, y, origin, picked
        run(rule, False, signals, weight, bias, draws, *filled, None, None, None)
        return y.movedim(-1, 1), mean, variance, origin, picked

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, outputs: Any) -> None:
        """Keep what gradients need."""
        ctx.rule, *tensors, _ = inputs
        ctx.mark_non_differentiable(*outputs[1:4], *outputs[4:] if ctx.rule.pooled else ())
        ctx.save_for_backward(*tensors, *outputs[1:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *unused: Any) -> Any:
        """Return the gradients of signals, weight and bias."""
        x, weight, bias, mean, variance, origin, picked = ctx.saved_tensors
        if torch.is_grad_enabled():  # they are differentiated in turn
            y = by_torch(ctx.rule, x, weight, bias) * (origin != NOWHERE).movedim(-1, 1)
            needed = [one for one in (x, weight, bias) if one.requires_grad]
            exact = iter(torch.autograd.grad(y, needed, grad, create_graph=True))
            return None, *(next(exact) if one.requires_grad else None for one in (x, weight, bias)), None
        found = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        above, signals = (tensor.movedim(1, -1) for tensor in (grad, x))
        kept = mean, variance, above.contiguous(), origin, picked, found[0].movedim(1, -1)
        run(ctx.rule, True, signals, weight, None, None, *kept, *found[1:])
        return None, *found, None


def run(rule: Rule, backward: bool, signals: Tensor, *tensors: Tensor | None) -> None:
    """Let the kernel fill tensors."""
    n, *places, channels = signals.shape
    extents = *(1,) * (3 - len(places)), *places
    layout = np.array([n, channels, rule.pooled, *extents], np.int64)
    arrays = [None if part is None else part.detach().numpy() for part in (signals, *tensors)]
    how = fused.KERNELS[0], torch.get_num_threads(), backward, rule.eps, rule.limit, rule.factor
    _norms.run(*how, layout, *arrays)


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
            if taken:
                x = compute(layers[:taken], x)
            else:
                x = layers[0](x)
            del layers[: taken or 1]
        return x


def count_fused(layers: Sequence[nn.Module], x: Tensor) -> int:
    """Return how many layers from the first one on the kernel computes at once, or 0."""
    norm, *others = layers
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
    pooled = bool(others) and type(others[0]) is MAX_POOL[x.ndim - 2] and pools_by_two(others[0])
    rectifier = 1 + pooled
    if len(layers) <= rectifier or type(layers[rectifier]) is not nn.ReLU:
        return 0
    taken = rectifier + 1
    last = layers[taken] if len(layers) > taken else None
    if type(last) is Dropout and last.training and not last.whole_channels:
        generator = last.generator
        taken += 0 < last.kept < LEVELS and (generator is None or generator.device == x.device)
    return 0 if any(map(is_watched, layers[:taken])) else taken


def pools_by_two(pool: nn.Module) -> bool:
    """Return whether a pooling is the one that the kernel knows."""
    pairs = ((getattr(pool, name), value) for name, value in POOLING.items())
    return all(found == value or found == (value,) * len(np.atleast_1d(found)) for found, value in pairs)


def is_watched(layer: nn.Module) -> bool:
    """Return whether someone wants to know what goes through a layer."""
    hooks = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return any(getattr(layer, name) for name in hooks)


def compute(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Return by the kernel what layers make of x that ``count_fused`` has counted."""
    norm: Any = layers[0]
    pooled, last = type(layers[1]) is not nn.ReLU, layers[-1]
    rule, draws = Rule(pooled, norm.eps), None
    if isinstance(last, Dropout):
        extents = [(extent - 1) // 2 + 1 if pooled else extent for extent in x.shape[2:]]
        draws = last.draw((*x.shape[:2], *extents), x.device).movedim(1, -1).contiguous()
        rule = Rule(pooled, norm.eps, last.kept - LEVELS // 2, LEVELS / last.kept)
    y, mean, variance, *_ = NormAndRectify.apply(rule, x, norm.weight, norm.bias, draws)
    count = x.numel() // x.shape[1]
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / (count - 1)), norm.momentum)
    return y
