"""LeNet-5, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.layers import CONV, MEAN_POOL, Network, Weights, convolve
from sklstruct.params import one_of, param

from .presets import LENETS

LEAST = 32  # extent that smaller samples are padded to
N_C1, N_C3, N_C5, N_F6 = 6, 16, 120, 84
TABLE = (  # maps of S2 that each map of C3 sees
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
ALL = (tuple(range(N_C1)),) * N_C3
SUPPORT, STEP = 5, 2
PAD: dict[int, Any] = {1: nn.ReplicationPad1d, 2: nn.ReplicationPad2d, 3: nn.ReplicationPad3d}


class LeNet5(Architecture):
    r"""LeNet-5: convolutions, trained subsampling and partial connections.

    .. math::
        \rho(a) = 1.7159 \tanh(2 a / 3), \qquad
        S(h)_c(p) = \rho\Big(w_c \sum_{q \in \{0, 1\}^d} h_c(2 p + q) + b_c\Big)

    for samples of d axes in layers C1 (6 maps, 5x5), S2, C3 (16 maps, each of some maps of S2),
    S4, C5 (120 maps) and F6 (84 units), all followed by :math:`\rho`; in 1D, 2D and 3D.  Samples
    are padded to extents of 32 by their outermost values; of larger ones C5 has several places,
    and F6 reads all.  A linear layer takes the place of the fixed bitmaps of characters whose
    distances were the outputs, which other classes do not have: 60,000 parameters come before it.
    Subsampling starts as a mean, and other layers as torch has it; published were narrower draws,
    and a second-order method where here the first order has to do.

    Parameters
    ----------
    connections : {"table", "all"}, default="table"
        What each map of C3 sees: three, four or six maps of S2, as published, or all.

    See Also
    --------
    StructuredClassifier, StructuredRegressor : The estimators that train it.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner. Gradient-based learning applied to document
    recognition. Proceedings of the IEEE 86(11), 1998.

    Examples
    --------
    >>> from sklstruct_reference_nets.lenet import LeNet5
    >>> network = LeNet5().build(in_shape=(1, 28, 28), n_outputs=10)
    >>> layers = {**dict(network.stages.named_children()), "head": network.head}
    >>> {name: sum(p.numel() for p in layer.parameters()) for name, layer in layers.items()}
    {'pad': 0, 'c1': 156, 's2': 12, 'c3': 1516, 's4': 32, 'c5': 48120, 'f6': 10164, 'head': 850}
    """

    connections: str = param("table", one_of("table", "all"))

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = LENETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        net, (channels, *spatial) = self.in_force(), in_shape
        ndim = len(spatial)
        missing = [max(0, LEAST - extent) for extent in spatial]
        padding = [side for gap in reversed(missing) for side in (gap // 2, gap - gap // 2)]
        extents = [extent + gap for extent, gap in zip(spatial, missing, strict=True)]
        for _ in range(2):
            extents = [(extent - SUPPORT + 1) // STEP for extent in extents]
        n_places = prod(extent - SUPPORT + 1 for extent in extents)
        table = TABLE if net.connections == "table" else ALL
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["pad"] = PAD[ndim](padding)
        layers["c1"] = squashed(CONV[ndim](channels, N_C1, SUPPORT))
        layers["s2"] = squashed(Subsampling(N_C1, ndim))
        layers["c3"] = squashed(PartialConv(table, ndim))
        layers["s4"] = squashed(Subsampling(N_C3, ndim))
        layers["c5"] = squashed(CONV[ndim](N_C3, N_C5, SUPPORT))
        layers["f6"] = squashed(nn.Flatten(), nn.Linear(N_C5 * n_places, N_F6))
        return Network(in_shape, n_outputs, nn.Sequential(layers), n_features=N_F6)


class ScaledTanh(nn.Module):
    r"""The hyperbolic tangent that leaves 1 and -1 where they are: :math:`1.7159 \tanh(2a/3)`."""

    def forward(self, a: Tensor) -> Tensor:
        """Squash every value."""
        return 1.7159 * torch.tanh(2 / 3 * a)


def squashed(*layers: nn.Module) -> nn.Sequential:
    """Return layers with the squashing function at their end."""
    return nn.Sequential(*layers, ScaledTanh())


class Subsampling(nn.Module):
    """Sum over blocks of two samples along every axis, with one weight and one bias a map.

    Parameters
    ----------
    width, ndim : int
    """

    def __init__(self, width: int, ndim: int) -> None:
        super().__init__()
        self.n_summed = STEP**ndim
        self.mean = MEAN_POOL[ndim](STEP)
        self.weight = nn.Parameter(torch.full((width,), 1 / self.n_summed))
        self.bias = nn.Parameter(torch.zeros(width))

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return how many weights there would be if the samples of a block had one each."""
        free, support = len(self.weight), (STEP,) * (len(in_shape) - 1)
        options: dict[str, Any] = {"stride": STEP, "pairs": free, "frame": free}
        return Weights.of_kernels(in_shape, out_shape, support, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, *spatial) to half the extents."""
        each = -1, *[1] * (x.ndim - 2)
        return self.n_summed * self.weight.view(each) * self.mean(x) + self.bias.view(each)


class PartialConv(nn.Module):
    """Convolution in which every map sees some of the maps before it.

    Parameters
    ----------
    table : sequence of sequence of int
        What each map sees, by number.
    ndim : int
    """

    out_index: Tensor
    in_index: Tensor

    def __init__(self, table: Sequence[Sequence[int]], ndim: int) -> None:
        super().__init__()
        pairs = [(n_out, n_in) for n_out, seen in enumerate(table) for n_in in seen]
        out_index, in_index = torch.tensor(pairs).T
        self.register_buffer("out_index", out_index, persistent=False)
        self.register_buffer("in_index", in_index, persistent=False)
        n_seen = torch.tensor([len(table[n_out]) for n_out, _ in pairs])
        self.shape = len(table), 1 + max(n_in for _, n_in in pairs), *[SUPPORT] * ndim
        # as torch draws kernels: uniform, within one over the root of what a unit sees
        bounds = (n_seen * SUPPORT**ndim).rsqrt().view(-1, *[1] * ndim)
        kernels = torch.empty(len(pairs), *[SUPPORT] * ndim).uniform_(-1, 1)
        self.weight = nn.Parameter(bounds * kernels)
        self.bias = nn.Parameter(torch.zeros(len(table)))

    def weights_by_structure(
        self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> Weights:
        """Return how many weights there would be without sharing and locality."""
        support = tuple(self.weight.shape[1:])
        return Weights.of_kernels(in_shape, out_shape, support, pairs=len(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, *spatial) to (n, n_out, *spatial_out), without padding."""
        kernel = self.weight.new_zeros(self.shape)
        kernel = kernel.index_put((self.out_index, self.in_index), self.weight)
        return convolve(x, kernel, self.bias, stride=1, padding=(0,) * (x.ndim - 2))
