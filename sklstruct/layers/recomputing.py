"""What layers need to give the same outputs again, when they are run anew for the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.stateless import _reparametrize_module

from .dropout import Dropout


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let a module leave its buffers alone, such as statistics that have seen the batch before.

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
    others = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with _reparametrize_module(module, others):
        yield


class Replays:
    """What the outputs of layers depend on but their inputs, noted while each is run.

    These are the modes of its parts, the buffers that it changes, the states of torch's
    generators and of those of its ``Dropout``, and the precision of ``torch.autocast``.

    Parameters
    ----------
    layers : sequence of nn.Module
    x : Tensor
        Input of the first one, which tells the device.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import Dropout, Replays
    >>> layer, x = Dropout(0.5), torch.ones(100)
    >>> replays = Replays([layer], x)
    >>> with replays.noted(0):
    ...     first = layer(x)
    >>> with replays.again(0):
    ...     print(torch.equal(layer(x), first))
    True
    """

    def __init__(self, layers: Sequence[nn.Module], x: Tensor) -> None:
        self.layers = layers
        parts = (part for layer in layers for part in layer.modules())
        owned = {part.generator: None for part in parts if isinstance(part, Dropout)}
        self.generators = [torch.default_generator, *filter(None, owned)]
        if x.device.type == "cuda":
            self.generators.append(torch.cuda.default_generators[x.device.index])
        # In one piece: the memory between small tensors that stay could not be used for large
        # ones again.
        states = [one.get_state() for one in self.generators]
        self.states = [state.repeat(len(layers), 1) for state in states]
        self.modes: list[list[tuple[nn.Module, bool]]] = []
        self.buffers: list[dict[str, Tensor]] = []
        kind = x.device.type
        # What autocast keeps of weights has no gradient where it was made without one.
        self.precision: dict[str, Any] = {
            "device_type": kind,
            "enabled": torch.is_autocast_enabled(kind),
            "dtype": torch.get_autocast_dtype(kind),
            "cache_enabled": False,
        }

    @contextmanager
    def noted(self, number: int) -> Iterator[None]:
        """Note all that the layer of a number depends on, while it is run."""
        layer = self.layers[number]
        for generator, rows in zip(self.generators, self.states, strict=True):
            rows[number] = generator.get_state()
        self.modes.append([(part, part.training) for part in layer.modules()])
        before = {}
        for prefix, part in layer.named_modules():
            if not isinstance(part, _NormBase):  # which does not read what it changes
                for name, buffer in part.named_buffers(prefix, recurse=False):
                    before[name] = buffer, buffer._version, buffer.clone()
        with torch.autocast(**self.precision):
            yield
        after = dict(layer.named_buffers())
        self.buffers.append(
            {
                name: copy
                for name, (buffer, version, copy) in before.items()
                if buffer._version != version or after.get(name) is not buffer
            }
        )

    @contextmanager
    def again(self, number: int, parameters: dict[str, Tensor] | None = None) -> Iterator[None]:
        """Set everything as it was for the layer of a number, and back in the end.

        Parameters
        ----------
        number : int
        parameters : dict from str to Tensor, default=None
            What stands in for its parameters, by their names.
        """
        layer = self.layers[number]
        buffers = {**dict(layer.named_buffers()), **self.buffers[number]}
        others = {name: buffer.clone() for name, buffer in buffers.items()} | (parameters or {})
        modes = [(part, part.training) for part, _ in self.modes[number]]
        states = [generator.get_state() for generator in self.generators]
        with ExitStack() as stack:
            for part, training in modes:
                stack.callback(setattr, part, "training", training)
            for generator, state in zip(self.generators, states, strict=True):
                stack.callback(generator.set_state, state)
            for part, training in self.modes[number]:
                part.training = training
            for generator, rows in zip(self.generators, self.states, strict=True):
                generator.set_state(rows[number].clone())  # of a row, torch reads beyond its end
            stack.enter_context(_reparametrize_module(layer, others, tie_weights=True))
            stack.enter_context(torch.autocast(**self.precision))
            yield
