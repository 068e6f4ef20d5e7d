"""Dropout whose randomness has an owner."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """``nn.Dropout`` that draws from a generator of its own where it is given one.

    The global generator of torch belongs to the process: networks that train side by side in
    threads would draw from each other's stream.

    Parameters
    ----------
    p : float, default=0.5
        Probability that an activation is zeroed.
    """

    generator: torch.Generator | None = None

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("generator", None)  # belongs to the training that is under way
        return state

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some activations zeroed and the others scaled up, in training only."""
        if not self.training or self.p == 0:
            return x
        if self.generator is None:
            return super().forward(x)
        keep = torch.empty(x.shape, dtype=x.dtype, device=self.generator.device)
        keep = keep.bernoulli_(1 - self.p, generator=self.generator).to(x.device)
        return x * keep / (1 - self.p)


def adopt_dropout(network: nn.Module, generator: torch.Generator | None) -> None:
    """Let every plain dropout layer of a network draw from a generator, in place."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p).train(child.training))
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = generator
