"""A small convolutional network, and what its embedding reads of which resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.frames import Pixels
from sklstruct.layers import Dropout, FrameConv, Pyramid, activation
from sklstruct.params import WIDTHS, integer, one_of, param, real
from sklstruct.plugins import make_frame
from sklstruct.training import FEW_SAMPLES, Auxiliary

SCALES = "last", "concatenate", "supervised", "supervised-detached", "pyramid"
MAX_OVER = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}


class Multiscale(Architecture):
    r"""Convolutions at one resolution after another, and an embedding of some or all of them.

    .. math::
        h_l = \mathrm{conv}_l(a_{l-1}), \qquad a_l = U^+ h_l, \qquad
        o = W \max(0, E \, \mathrm{pool}(\cdot))

    where each level sees the low resolution of the one before as a ``Pyramid`` finds it, and the
    first one the samples :math:`a_0`, in 1D, 2D and 3D.  What the embedding E reads is

    - "last": :math:`h_L`;
    - "concatenate": :math:`h_1, \dots, h_L`;
    - "supervised": :math:`h_L`, while softmaxes of the other levels add to the loss;
    - "supervised-detached": the same, but gradients stop between levels, so that each is a network
      of its own that learns from its own softmax alone, and takes the others as they are;
    - "pyramid": :math:`h_L`, and the details :math:`|h_l - U a_l|` of the other levels.

    What is compared is otherwise the same: convolutions, and the number of all weights to some
    per cent.  Every level is pooled to ``places`` by the largest value; where the embedding reads
    more, it has fewer values.  Softmaxes of other levels read means over places, for which few
    weights are enough, and are for the training alone.

    Parameters
    ----------
    scales : {"last", "concatenate", "supervised", "supervised-detached", "pyramid"}, default="last"
        What the embedding reads, see above.
    frame : str, frame family, or sequence of these, default="pixel"
        Of the convolutions, or of those of each level; "pixel" are free kernels of 3x3.
    widths : sequence of int, default=None
        Channels of each level; (16, 32).  With a single level all five are the same.
    depth : int, default=None
        Convolutions of each level; 2.
    split : {"projection", "learned", "haar", "db2"}, default=None
        Kind of the pyramids; "projection".  Wavelets have several details for each channel.
    places : int, default=None
        Places along every axis that a level is pooled to, if there are so many in the last; 4.
    embedding : int, default=None
        Values of the embedding where it reads the last level alone; 64.
    dropout : float, default=None
        Of the embedding; 0.2 (regressors: 0).
    auxiliary_weight : float, default=None
        Of the losses of the other levels against that of the outputs; 0.3.

    See Also
    --------
    MultiscaleClassifier, MultiscaleRegressor : The estimators that train it.
    sklstruct.layers.Pyramid : What is between levels.

    References
    ----------
    P. Sermanet and Y. LeCun. Traffic sign recognition with multi-scale convolutional networks.
    IJCNN, 2011.

    C.-Y. Lee, S. Xie, P. Gallagher, Z. Zhang and Z. Tu. Deeply-supervised nets. AISTATS, 2015.

    Examples
    --------
    >>> from sklstruct_multiscale.architecture import SCALES, Multiscale
    >>> for scales in SCALES:
    ...     network = Multiscale(scales=scales).build(in_shape=(3, 32, 32), n_outputs=10)
    ...     print(scales, sum(weights.numel() for weights in network.parameters()))
    last 50234
    concatenate 50259
    supervised 50404
    supervised-detached 50404
    pyramid 50259
    """

    scales: str = param("last", one_of(*SCALES))
    frame: Any = param("pixel", resolve=make_frame)
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    depth: int | None = param(None, integer(1) | None)
    split: str | None = param(None, one_of("projection", "learned", "haar", "db2") | None)
    places: int | None = param(None, integer(1) | None)
    embedding: int | None = param(None, integer(1) | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)
    auxiliary_weight: float | None = param(None, real(above=0) | None, may_change=True)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {
            "frame": (Pixels(size=3),),
            "widths": (16, 32),
            "depth": 2,
            "split": "projection",
            "places": 4,
            "embedding": 64,
            "dropout": 0.2,
            "auxiliary_weight": 0.3,
            **FEW_SAMPLES,
        }
    }

    def penalised(self, objective: Any) -> Any:
        """Return an objective with the losses of the levels that are supervised."""
        net = self.in_force()
        if not net.scales.startswith("supervised"):
            return objective
        return Auxiliary(objective, net.auxiliary_weight)

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MultiscaleNetwork:
        """Return the network.

        Raises
        ------
        ValueError
            If samples are too small for so many levels.
        """
        net, ndim = self.in_force(), len(in_shape) - 1
        stages, extents = nn.ModuleList(), in_shape[1:]
        channels = pairwise([in_shape[0], *net.widths])
        for (n_in, n_out), family in zip(channels, net.frames(len(net.widths)), strict=True):
            layers: list[nn.Module] = []
            for _ in range(net.depth):
                conv = FrameConv(n_in, n_out, family, ndim=ndim, bias=False)  # norms have one
                layers, n_in = [*layers, conv, activation(n_out, ndim)], n_out
            stages.append(nn.Sequential(*layers))
        for _ in net.widths[1:]:
            if max(extents) < 2:
                raise ValueError(
                    f"samples of shape {in_shape} are too small for {len(net.widths)} levels "
                    "(widths), each of which has half the extents of the one before."
                )
            extents = tuple((extent + 1) // 2 for extent in extents)
        return MultiscaleNetwork(
            n_outputs,
            stages,
            net.widths,
            grid=tuple(min(extent, net.places) for extent in extents),
            scales=net.scales,
            split=net.split,
            embedding=net.embedding,
            dropout=net.dropout,
        )


class MultiscaleNetwork(nn.Module):
    r"""Levels of maps, each of half the extents of the one before, and an embedding of them.

    Parameters
    ----------
    n_outputs : int
    stages : nn.ModuleList
        What makes the maps of each level, from (n, channels, \*places) to (n, width, \*places).
    widths : sequence of int
        Channels of each.
    grid : tuple of int
        Places that every level is pooled to.
    scales, split, embedding, dropout
        See ``Multiscale``.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from sklstruct_multiscale.architecture import MultiscaleNetwork
    >>> stages = nn.ModuleList([nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 1)])
    >>> network = MultiscaleNetwork(10, stages, (8, 16), grid=(4, 4), scales="supervised")
    >>> [outputs.shape for outputs in network(torch.zeros(5, 3, 16, 18))]
    [torch.Size([5, 10]), torch.Size([5, 10])]
    """

    def __init__(
        self,
        n_outputs: int,
        stages: nn.ModuleList,
        widths: Sequence[int],
        *,
        grid: tuple[int, ...],
        scales: str = "last",
        split: str = "projection",
        embedding: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stages, self.scales, self.grid = stages, scales, grid
        *others, last = widths
        self.pyramids = nn.ModuleList([Pyramid(kind=split) for _ in others])
        n_bands = 2 ** len(grid) - 1 if split in ("haar", "db2") else 1
        more = {"concatenate": sum(others), "pyramid": sum(others) * n_bands}.get(scales, 0)
        n_last, n_read = last * prod(grid), (last + more) * prod(grid)
        # As many weights as if only the last level was read.
        width = round(embedding * (n_last + 1 + n_outputs) / (n_read + 1 + n_outputs))
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(n_read, max(1, width)), nn.ReLU())
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(max(1, width), n_outputs)
        supervised = others if scales.startswith("supervised") else []
        self.sides = nn.ModuleList([nn.Linear(n_in, n_outputs) for n_in in supervised])

    def levels(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return what stages give, (n, width, *places) each, and the details between them."""
        maps, details = [self.stages[0](x)], []
        for stage, pyramid in zip(self.stages[1:], self.pyramids, strict=True):
            fine = maps[-1].detach() if self.scales == "supervised-detached" else maps[-1]
            low, bands = pyramid(fine)
            details += bands
            maps.append(stage(low))
        return maps, details

    def _embedded(self, maps: list[Tensor], details: list[Tensor]) -> Tensor:
        *finer, last = maps
        read = {"concatenate": finer, "pyramid": details}.get(self.scales, [])
        return self.embed(torch.cat([self._pooled(one.abs()) for one in [*read, last]], dim=1))

    def _pooled(self, x: Tensor) -> Tensor:
        if not x.numel():  # details along an axis of one place
            return x.new_zeros(*x.shape[:2], *self.grid)
        pooled: Tensor = MAX_OVER[len(self.grid)](x, self.grid)
        return pooled

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to the embedding, (n, width)."""
        return self._embedded(*self.levels(x))

    def forward(self, x: Tensor) -> Any:
        """Map (n, channels, *spatial) to (n, n_outputs), or in training to a tuple."""
        maps, details = self.levels(x)
        outputs = self.head(self.dropout(self._embedded(maps, details)))
        if not (self.training and len(self.sides)):
            return outputs
        pairs = zip(self.sides, maps, strict=False)  # the last level has the head
        return outputs, *(side(one.flatten(2).mean(2)) for side, one in pairs)
