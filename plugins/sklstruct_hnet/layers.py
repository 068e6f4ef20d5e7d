"""Norm and pooling of complex maps, which leave their phases as they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from sklstruct.layers import BATCH_NORM

SMALLEST = 1e-3  # magnitude squared below which a phase is not trusted: there it is rounding


class MagnitudeNorm(nn.Module):
    """Batch norm and rectifier of the magnitudes; phases stay as they are.

    Parameters
    ----------
    n_channels : int
        Complex channels of each order.
    n_orders : int
    keep_phases : bool, default=True
        Whether complex maps are returned; if not, the rectified magnitudes.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_hnet.layers import MagnitudeNorm
    >>> x = torch.zeros(5, 2 * 2 * 8, 7, 7)
    >>> MagnitudeNorm(8, 2)(x).shape, MagnitudeNorm(8, 2, keep_phases=False)(x).shape
    (torch.Size([5, 32, 7, 7]), torch.Size([5, 16, 7, 7]))
    """

    def __init__(self, n_channels: int, n_orders: int, keep_phases: bool = True) -> None:
        super().__init__()
        self.shape, self.keep_phases = (n_orders, 2, n_channels), keep_phases
        self.norm = BATCH_NORM[2](n_orders * n_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_orders * 2 * n_channels, *spatial) to as much, or to half without phases."""
        parts = x.unflatten(1, self.shape)
        magnitude = (parts.square().sum(2) + SMALLEST).sqrt()
        rectified = self.norm(magnitude.flatten(1, 2)).relu()
        if not self.keep_phases:
            return rectified
        scale = rectified.unflatten(1, self.shape[::2]) / magnitude
        return (parts * scale.unsqueeze(2)).flatten(1, 3)


class CentredPool(nn.Module):
    """Means of neighbours at every second place, on a grid that has the centre of the input.

    Windows have two places along an even extent and three along an odd one, so that turning the
    input by a right angle turns the output.

    Parameters
    ----------
    extents : sequence of int
        Of the inputs to expect, for who asks where places lie; turned ones are pooled as well.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_hnet.layers import CentredPool
    >>> CentredPool((28, 7))(torch.zeros(5, 8, 28, 7)).shape
    torch.Size([5, 8, 14, 4])
    """

    stride = 2

    def __init__(self, extents: Sequence[int]) -> None:
        super().__init__()
        self.padding = [extent % 2 for extent in extents]
        self.kernel_size = [2 + odd for odd in self.padding]

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to about half the extents."""
        padding = [extent % 2 for extent in x.shape[2:]]
        window = [2 + odd for odd in padding]
        return F.avg_pool2d(x, window, self.stride, padding, count_include_pad=False)
