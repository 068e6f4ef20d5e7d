"""The receptive field network, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklstruct.layers import Dropout, FrameConv
from sklstruct.layers.dimensions import BATCH_NORM, MAX_POOL

SMALL = 4  # extents up to this are not pooled any further


class RFNN(nn.Module):
    r"""Stages of frame convolution, normalisation, rectifier, pooling; then one linear layer.

    .. math::
        h_l = \mathrm{pool}(\max(0, \mathrm{norm}(w_l \star h_{l-1}))), \qquad
        w_l \in \mathrm{span}(\psi_1, \dots, \psi_K)

    A stage pools by two while some extent exceeds 4, so that small images keep a shape.

    Parameters
    ----------
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).
    n_outputs : int
        Number of outputs, logits for a classifier.
    frame : str, frame family, or sequence of these, default="gaussian"
        Of every stage, or one for each stage.
    widths : sequence of int, default=(64, 64, 64)
        Number of channels of each stage.
    norm : {"batch", "crossmap"}, default="batch"
        Batch norm before the rectifier; or as published in 2016, normalisation across 9
        channels after the pooling.
    padding : sequence of str, default=("same",)
        Of every convolution, or one for each stage; see ``FrameConv``.
    dropout : float, default=0.2
        After every stage but the last.
    head_dropout : float, default=0.7
        Before the linear layer.
    init : {"white", "uniform"}, default="white"
        First coefficients: see ``FrameConv``, or uniform in [-1, 1] as published.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        n_outputs: int,
        *,
        frame: Any = "gaussian",
        widths: Sequence[int] = (64, 64, 64),
        norm: str = "batch",
        padding: Sequence[str] = ("same",),
        dropout: float = 0.2,
        head_dropout: float = 0.7,
        init: str = "white",
    ) -> None:
        super().__init__()
        if norm not in ("batch", "crossmap"):
            raise ValueError(f"norm must be 'batch' or 'crossmap', got {norm!r}.")
        n_stages = len(widths)
        if n_stages == 0:
            raise ValueError("widths must hold the channels of at least one stage, got none.")
        frames = one_for_each("frame", frame, n_stages)
        paddings = one_for_each("padding", padding, n_stages)
        shape, stages = in_shape, nn.Sequential()
        for width, family, pad in zip(widths, frames, paddings, strict=True):
            conv = FrameConv(
                shape[0],
                width,
                family,
                ndim=len(shape) - 1,
                padding=pad,
                bias=norm != "batch",  # batch norm has its own
            )
            if init == "uniform" and conv.frame.name != "pixel":  # free kernels start as ever
                set_uniform(conv)
            stage = [conv, *self._after(conv, norm, shape[1:])]
            if len(stages) < n_stages - 1:
                stage.append(Dropout(dropout))
            stages.append(nn.Sequential(*stage))
            shape = output_shape(stages[-1], shape)
        self.stages = stages
        self.flatten = nn.Flatten()
        self.dropout = Dropout(head_dropout)
        self.head = nn.Linear(torch.Size(shape).numel(), n_outputs)

    @staticmethod
    def _after(conv: FrameConv, norm: str, extents: tuple[int, ...]) -> list[nn.Module]:
        """Return what follows the convolution of a stage."""
        ndim, pooled = conv.frame.ndim, max(extents) > SMALL
        if norm == "batch":
            pool = [MAX_POOL[ndim](3, stride=2, padding=1)] if pooled else []
            return [BATCH_NORM[ndim](conv.out_channels), nn.ReLU(), *pool]
        padding = tuple(int(extent < 3) for extent in extents)  # the window has to fit
        pool = [MAX_POOL[ndim](3, stride=2, padding=padding)] if pooled else []
        return [nn.ReLU(), *pool, nn.LocalResponseNorm(9, alpha=9e-4, beta=0.75, k=2)]

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs)."""
        return self.head(self.dropout(self.flatten(self.stages(x))))


def one_for_each(name: str, value: Any, n_stages: int) -> list[Any]:
    """Return a list of one value for each stage, from one for all of them or from a sequence."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(values) == 1:
        return values * n_stages
    if len(values) != n_stages:
        raise ValueError(f"{name} has {len(values)} entries for {n_stages} stages (widths).")
    return values


def set_uniform(conv: FrameConv) -> None:
    """Draw the coefficients of the atoms from [-1, 1], in place."""
    with torch.no_grad():
        conv.weight.uniform_(-1, 1).mul_(conv.norms)


def output_shape(stage: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one sample after a stage, which is left as it is."""
    training = stage.training
    with torch.no_grad():
        shape = tuple(stage.eval()(torch.zeros(1, *shape)).shape[1:])
    stage.train(training)
    return shape
