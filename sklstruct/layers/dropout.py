"""Dropout whose randomness has an owner."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

LEVELS = 2**16  # of a decision

# torch's layers that are replaced by ours, and whether they drop whole channels
WHOLE = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
ADOPTED: dict[type, bool] = {nn.Dropout: False} | dict.fromkeys(WHOLE, True)


class Dropout(nn.Dropout):
    """``nn.Dropout`` that draws from a generator of its own where it is given one.

    The global generator of torch belongs to the process: networks that train side by side in
    threads would draw from each other's stream.

    Parameters
    ----------
    p : float, default=0.5
        Probability that an activation is zeroed.
    whole_channels : bool, default=False
        Whether channels are zeroed as a whole, as by ``nn.Dropout2d`` and its like.

    See Also
    --------
    adopt_dropout

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import Dropout
    >>> layer = Dropout(0.5)
    >>> layer.generator = torch.Generator().manual_seed(0)
    >>> sorted(set(layer(torch.ones(1000)).tolist()))
    [0.0, 2.0]
    """

    def __init__(self, p: float = 0.5, whole_channels: bool = False) -> None:
        super().__init__(p)
        self.whole_channels = whole_channels

    generator: torch.Generator | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The generator belongs to the training that is under way.
        return {name: value for name, value in self.__dict__.items() if name != "generator"}

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some activations zeroed and the others scaled up, in training only."""
        kept = round((1 - self.p) * LEVELS)
        if not self.training or kept == LEVELS:
            return x
        if kept == 0:
            return torch.zeros_like(x)
        shape = (*x.shape[:2], *(1,) * (x.ndim - 2)) if self.whole_channels else x.shape
        device = x.device if self.generator is None else self.generator.device
        # Four decisions from each draw of the generator: draws take longer than all the rest.
        n_draws = -(-prod(shape) // 4)
        draws = torch.empty(n_draws, dtype=torch.int64, device=device)
        draws.random_(-(2**63), None, generator=self.generator)
        keep = draws.view(torch.int16)[: prod(shape)].view(shape) < kept - LEVELS // 2
        return x * keep.to(x.device) * (LEVELS / kept)


def adopt_dropout(network: nn.Module, generator: torch.Generator | None) -> None:
    """Let every dropout layer of a network draw from a generator, in place.

    Parameters
    ----------
    network : nn.Module
    generator : torch.Generator or None
        None is torch's global one.

    See Also
    --------
    Dropout

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import adopt_dropout
    >>> network = nn.Sequential(nn.Linear(3, 2), nn.Dropout2d(0.2))
    >>> adopt_dropout(network, torch.Generator().manual_seed(0))
    >>> network[1].whole_channels
    True
    """
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _DropoutNd) and type(child) in ADOPTED:
                ours = Dropout(child.p, whole_channels=ADOPTED[type(child)])
                setattr(parent, name, ours.train(child.training))
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = generator
