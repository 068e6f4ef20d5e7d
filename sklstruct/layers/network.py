"""The frame of most networks: stages, what is pooled of them, and a head that reads it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..architecture import Architecture
from .dimensions import Pointwise
from .dropout import Dropout


class Network(nn.Module):
    r"""Stages one after another, features that are pooled of them, and a linear head.

    .. math:: o = W \, \mathrm{dropout}(\mathrm{pool}(h)) + b, \qquad h = \mathrm{stages}(x)

    Parameters
    ----------
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).
    n_outputs : int
    stages : nn.Sequential
        From (n, \*in_shape) to (n, width, \*places).
    pool : nn.Module, default=None
        To features (n, n_features); None flattens, so that the head knows every place.
    dropout : float, default=0.0
        Of the features, before the head.
    n_features : int, default=None
        Number of features; None counts those of a sample of zeros.
    bias : bool, default=True
        Whether the head has one.

    See Also
    --------
    MeanNetwork, DenseNetwork

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import FrameConv, Network
    >>> stages = nn.Sequential(FrameConv(1, 8, "gaussian"), nn.ReLU(), nn.MaxPool2d(2))
    >>> network = Network((1, 8, 8), 3, stages)
    >>> x = torch.zeros(5, 1, 8, 8)
    >>> network.features(x).shape, network(x).shape
    (torch.Size([5, 128]), torch.Size([5, 3]))
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        n_outputs: int,
        stages: nn.Sequential,
        *,
        pool: nn.Module | None = None,
        dropout: float = 0.0,
        n_features: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stages = stages
        self.pool = nn.Flatten() if pool is None else pool
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(n_features or self._count_features(in_shape), n_outputs, bias)

    @torch.no_grad()
    def _count_features(self, in_shape: tuple[int, ...]) -> int:
        """Return the number of features of one sample; running statistics stay as they are."""
        # In evaluation, lest the zeros enter running statistics.
        features = self.eval().features(torch.zeros(1, *in_shape))
        self.train()
        return features.shape[1]

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what the head reads, (n, n_features)."""
        return self.pool(self.stages(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs)."""
        return self.head(self.dropout(self.features(x)))


class Linear(Architecture):
    """One linear layer of all values of a sample: the network without structure.

    See Also
    --------
    MLP : Several such layers.

    Examples
    --------
    >>> from sklstruct.layers import Linear
    >>> Linear().build((1, 8, 8), 3).head
    Linear(in_features=64, out_features=3, bias=True)
    """

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        return Network(in_shape, n_outputs, nn.Sequential())


class MeanNetwork(Network):
    r"""A network whose features are the means of its channels over all places.

    So its outputs are means as well, of class activations

    .. math:: a_o(p) = \sum_c w_{oc} \, h_c(p)

    with the weights w of the head and the last maps h.

    See Also
    --------
    Network

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import FrameConv, MeanNetwork
    >>> network = MeanNetwork((1, 8, 8), 3, nn.Sequential(FrameConv(1, 8, "gaussian")))
    >>> network.class_activations(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 3, 8, 8])
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, pool=MeanOverPlaces(), **options)

    def maps(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what the last stage gives, (n, width, *places)."""
        return self.stages(x)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to the means, (n, width)."""
        return self.pool(self.maps(x))

    def class_activations(self, x: Tensor) -> Tensor:
        """Return what every place adds to the outputs, (n, n_outputs, *places)."""
        return torch.einsum("nc...,oc->no...", self.maps(x), self.head.weight)


class MeanOverPlaces(nn.Module):
    """Map (n, channels, *places) to the means, (n, channels).

    See Also
    --------
    MeanNetwork : A network that ends with it.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import MeanOverPlaces
    >>> MeanOverPlaces()(torch.ones(5, 8, 7, 7)).shape
    torch.Size([5, 8])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the means over all places."""
        return x.flatten(2).mean(2)


class DenseNetwork(nn.Module):
    r"""Stages that keep the places, and a linear head at every one of them.

    .. math:: o(p) = W \, \mathrm{dropout}(h(p)) + b, \qquad h = \mathrm{stages}(x)

    Parameters
    ----------
    n_outputs : int
        Number of outputs at a place.
    stages : nn.Sequential
        From (n, channels, \*spatial) to (n, width, \*spatial).
    width : int
    ndim : int
        Number of spatial axes.
    dropout : float, default=0.0
        Of whole channels, before the head.

    See Also
    --------
    Network

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct.layers import DenseNetwork, FrameConv
    >>> network = DenseNetwork(3, nn.Sequential(FrameConv(1, 8, "gaussian")), width=8, ndim=2)
    >>> network(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 3, 8, 8])
    """

    def __init__(
        self, n_outputs: int, stages: nn.Sequential, width: int, ndim: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stages = stages
        self.dropout = Dropout(dropout, whole_channels=True)
        self.head = Pointwise(width, n_outputs, ndim)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what the head reads, (n, width, *spatial)."""
        return self.stages(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs, *spatial)."""
        return self.head(self.dropout(self.features(x)))
