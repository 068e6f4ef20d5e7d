"""What several of the networks are made of, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from sklstruct.layers import CONV, Dropout, activation, convolve


class Conv(nn.Module):
    """Convolution that pads with zeros by half its support, and starts by He's rule.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    support : tuple of int
        Odd, one extent for each axis.
    stride : int, default=1
    bias : bool, default=True
    """

    def __init__(
        self, n_in: int, n_out: int, support: tuple[int, ...], stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"kernel_size": support, "bias": bias}
        plain = CONV[len(support)](n_in, n_out, **options)
        self.weight, self.bias = plain.weight, plain.bias
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.kernel_size, self.stride = support, stride
        self.padding = tuple(size // 2 for size in support)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, *spatial) to (n, n_out, *spatial_out)."""
        return convolve(x, self.weight, self.bias, stride=self.stride, padding=self.padding)

    def extra_repr(self) -> str:
        """Return channels, support and stride."""
        n_out, n_in, *support = self.weight.shape
        return f"{n_in}, {n_out}, {tuple(support)}, stride={self.stride}"


def rectified(conv: nn.Module, width: int, ndim: int, norm: bool) -> nn.Sequential:
    """Return a convolution to so many channels, batch norm if there is any, and rectifier."""
    rectify = activation(width, ndim) if norm else nn.ReLU()
    return nn.Sequential(OrderedDict(conv=conv, rectify=rectify))


def hidden_layers(
    n_in: int, widths: Sequence[int], dropout: float = 0.0, norm: bool = False
) -> nn.Sequential:
    """Return linear layers with batch norm if there is any and rectifier, dropout between them."""
    layers = nn.Sequential()
    for before, width in pairwise([n_in, *widths]):
        if len(layers):
            layers.append(Dropout(dropout))
        norms = [nn.BatchNorm1d(width)] if norm else []
        layers.append(nn.Sequential(nn.Linear(before, width), *norms, nn.ReLU()))
    return layers
