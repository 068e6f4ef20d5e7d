"""The layers of torch by the number of dimensions: one code serves lines, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LONG = 15  # supports that vendors' kernels are made for
CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEAN_POOL = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def output_extents(
    extents: Sequence[int], support: Sequence[int], stride: int, padding: Sequence[int]
) -> tuple[int, ...]:
    """Return the spatial shape of what is convolved."""
    sizes = zip(extents, support, padding, strict=True)
    return tuple((s + 2 * p - k) // stride + 1 for s, k, p in sizes)


class Pointwise(nn.Linear):
    """Convolution with kernels of a single sample: a linear layer at every place.

    Parameters
    ----------
    in_channels, out_channels, ndim : int
    bias : bool, default=True

    See Also
    --------
    convolve

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import Pointwise
    >>> Pointwise(4, 8, ndim=3)(torch.zeros(2, 4, 5, 6, 7)).shape
    torch.Size([2, 8, 5, 6, 7])
    """

    def __init__(self, in_channels: int, out_channels: int, ndim: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, bias)
        self.ndim = ndim

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, *spatial) to (n, out_channels, *spatial)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    def to_dense(self) -> nn.Module:
        """Return a plain ``nn.ConvNd`` with the same output."""
        make = CONV[self.ndim]
        conv = make(self.in_features, self.out_features, 1, bias=self.bias is not None)
        conv = conv.to(self.weight)  # before the weights, lest they lose digits
        state = self.state_dict()
        state["weight"] = state["weight"][(..., *[None] * self.ndim)]
        conv.load_state_dict(state)
        return conv.train(self.training)


def convolve(
    x: Tensor, kernel: Tensor, bias: Tensor | None, *, stride: int, padding: tuple[int, ...]
) -> Tensor:
    """Convolve with zero padding, also where kernels are larger than the samples.

    The channels of a place lie side by side in the output, as they do in that of the compiled
    frame convolution: norms and pooling are several times faster so.

    Parameters
    ----------
    x : Tensor, shape (n, in_channels, *spatial)
    kernel : Tensor, shape (out_channels, in_channels, *support)
    bias : Tensor, shape (out_channels,), or None
    stride : int
    padding : tuple of int

    Returns
    -------
    y : Tensor, shape (n, out_channels, *spatial_out)

    See Also
    --------
    FrameConv : Convolves with kernels on a frame.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import convolve
    >>> kernel = torch.ones(1, 1, 3)
    >>> convolve(torch.arange(5.0).view(1, 1, 5), kernel, None, stride=1, padding=(1,))
    tensor([[[1., 3., 6., 9., 7.]]])
    """
    supports = zip(kernel.shape[2:], x.shape[2:], strict=True)
    if stride > 1 and any(support > extent for support, extent in supports):
        # oneDNN (in torch 2.13 on AVX-512) writes beyond its memory in the gradient of such
        # convolutions of volumes, unless the padding is there already
        x = F.pad(x, [extent for extent in reversed(padding) for _ in range(2)])
        padding = (0,) * len(padding)
    if x.shape[1] > 1 and max(kernel.shape[2:]) <= LONG:  # otherwise oneDNN is far slower so
        x, kernel = channels_last(x), channels_last(kernel)
    else:
        x = x.contiguous()
    y = CONVOLVE[len(padding)](x, kernel, bias, stride=stride, padding=padding)
    return channels_last(y)


def channels_last(x: Tensor) -> Tensor:
    """Return x of shape (n, channels, *spatial) with the channels of a place side by side.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import channels_last
    >>> channels_last(torch.zeros(1, 3, 8, 8)).stride()
    (192, 1, 24, 3)
    """
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def has_free_kernels(layer: Any) -> bool:
    """Return whether the weights of a layer are the kernels that it convolves with."""
    if hasattr(layer, "kernel") or getattr(layer, "transposed", False):
        return False
    support = tuple(getattr(getattr(layer, "weight", None), "shape", ())[2:])
    return bool(support) and getattr(layer, "kernel_size", None) == support
