"""What a layer needs to give the same output again, when it is run anew for the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from .dropout import Dropout


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let norms leave their running statistics alone, which have seen the batch before.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import frozen_statistics
    >>> norm = nn.BatchNorm1d(1)
    >>> with frozen_statistics(norm):
    ...     out = norm(torch.tensor([[2.0], [4.0]]))
    >>> norm.running_mean
    tensor([0.])
    """
    # Without a count of batches a momentum of 0 leaves everything as it is.
    norms = [part for part in module.modules() if isinstance(part, _NormBase)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked


class Replay:
    """All that a layer's output depends on but its input and its parameters.

    These are the modes of its parts, the states of the generators that it may draw from, and the
    precision of ``torch.autocast``, each as it is when this object is made.

    Parameters
    ----------
    layer : nn.Module
    x : Tensor
        Its input, which tells the device.
    earlier : Replay, default=None
        Of the layer before, whose states are shared where nothing was drawn in between.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import Dropout, Replay
    >>> layer, x = Dropout(0.5), torch.ones(100)
    >>> replay = Replay(layer, x)
    >>> first = layer(x)
    >>> with replay.again():
    ...     print(torch.equal(layer(x), first))
    True
    """

    def __init__(self, layer: nn.Module, x: Tensor, earlier: Replay | None = None) -> None:
        self.layer = layer
        self.modes = [(part, part.training) for part in layer.modules()]
        owned = {part.generator for part, _ in self.modes if isinstance(part, Dropout)}
        drawn_from = [torch.default_generator, *(one for one in owned if one is not None)]
        if x.device.type == "cuda":
            drawn_from.append(torch.cuda.default_generators[x.device.index])
        self.states = {one: one.get_state() for one in drawn_from}
        for one, state in (earlier.states if earlier else {}).items():
            if one in self.states and torch.equal(self.states[one], state):
                self.states[one] = state  # 5 kB for each of a hundred layers add up
        kind = x.device.type
        # What autocast keeps of weights has no gradient where it was made without one.
        self.precision: dict[str, Any] = {
            "device_type": kind,
            "enabled": torch.is_autocast_enabled(kind),
            "dtype": torch.get_autocast_dtype(kind),
            "cache_enabled": False,
        }

    @contextmanager
    def again(self) -> Iterator[None]:
        """Set everything as it was, and back in the end; running statistics stay as they are."""
        now = [(one, one.get_state()) for one in self.states]
        modes = [(part, part.training) for part, _ in self.modes]
        with ExitStack() as stack:
            for part, training in modes:
                stack.callback(setattr, part, "training", training)
            for one, state in now:
                stack.callback(one.set_state, state)
            for part, training in self.modes:
                part.training = training
            for one, state in self.states.items():
                one.set_state(state)
            stack.enter_context(frozen_statistics(self.layer))
            stack.enter_context(torch.autocast(**self.precision))
            yield
