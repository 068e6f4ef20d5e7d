"""The receptive field Network in Network, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from sklstruct.estimators.attribution import interpolations
from sklstruct.layers import Dropout
from sklstruct.layers.coarse import along_axes
from sklstruct.layers.dimensions import BATCH_NORM, CONV, MAX_POOL

from .convolution import Spatial, choose_frames, sample_step
from .linear import LinearMap
from .presets import find_preset

SMALL = 4  # extents up to this are neither strided nor pooled any further


class RFNiN(nn.Module):
    r"""Network in Network whose spatial convolutions have kernels in the span of a frame.

    A group of layers is

    .. math::
        h_l = \mathrm{pool}(\rho(A_l \, \rho(w_l \star h_{l-1}))), \qquad
        w_l \in \mathrm{span}(\psi_1, \dots, \psi_K), \quad
        \rho = \max(0, \cdot) \circ \mathrm{norm}

    with a 1x1 convolution A and batch norm; in the end come the mean over space and a linear
    layer.  The mixing of the atoms stands for the first 1x1 convolution of a group of Network in
    Network.  Where no extent exceeds 4, nothing is strided or pooled any further.  A linear
    classifier of the whole sample may stand beside that, see ``set_beside``.

    Parameters
    ----------
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).
    n_outputs : int
        Number of outputs, logits for a classifier.
    frame : str, frame family, or sequence of these, default="gaussian"
        Of every group, or one for each.  "gaussian" stands for the frames of the preset,
        "pixel" for free kernels of the same supports (plain Network in Network), and "free"
        for learned atoms, as many and as large as those of the preset (NiN-refactor).
    preset : {"small", "cifar", "imagenet-v1", "imagenet-v2", "mri"}, default="small"
        Where widths, frames, strides and pooling come from; see ``sklstruct_rfnin.presets``.
    widths : sequence of int, default=None
        Channels of each group; None is the preset's.
    structured_layers : {"all", "first"}, default="all"
        "first" lets the groups after the first have free kernels.
    dropout : float, default=None
        Before every group but the first; None is the preset's.
    head_dropout : float, default=0.0
        Before the linear layer.
    linear : bool, default=False
        Whether there is a place for a linear classifier beside the network.
    spacing : float or sequence of float, default=None
        Distance of the samples in millimetres, along all axes or along each: Gaussians then
        keep their size in millimetres.  None takes scales as samples, and averages volumes over
        2x2x2 samples until they are not larger than the preset wants.
    tolerance : float, default=None
        Relative error allowed to the filters, see ``CoarseFrameConv``; None is the preset's,
        and 0 computes exactly.
    checkpointing : bool, default=False
        Whether to compute layers again for the gradient, in place of keeping their insides.
    mixed_precision : bool, default=False
        Whether to compute in bfloat16 what torch deems safe.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.

    M. Lin, Q. Chen and S. Yan. Network in network. ICLR, 2014.
    """

    shares: Tensor

    def __init__(
        self,
        in_shape: tuple[int, ...],
        n_outputs: int,
        *,
        frame: Any = "gaussian",
        preset: str = "small",
        widths: Sequence[int] | None = None,
        structured_layers: str = "all",
        dropout: float | None = None,
        head_dropout: float = 0.0,
        linear: bool = False,
        spacing: float | Sequence[float] | None = None,
        tolerance: float | None = None,
        checkpointing: bool = False,
        mixed_precision: bool = False,
    ) -> None:
        super().__init__()
        design = find_preset(preset)
        widths = design.widths if widths is None else widths
        n_groups, ndim = len(widths), len(in_shape) - 1
        if n_groups == 0:
            raise ValueError("widths must hold the channels of at least one group, got none.")
        spatial = Spatial(
            design,
            ndim,
            choose_frames(frame, n_groups, structured_layers),
            sample_step(spacing, design.unit, ndim),
            design.tolerance if tolerance is None else tolerance,
        )
        self.in_shape, self.mixed_precision = in_shape, mixed_precision
        self.average, shape = averaging(in_shape, design.largest if spacing is None else None)
        self.groups = nn.Sequential()
        for index, width in enumerate(widths):
            plan = design.plan(index)
            stride = plan.stride if max(shape[1:]) > SMALL else 1
            conv = spatial.make(index, shape[0], width, stride)
            shape = strided((width, *shape[1:]), stride)
            pool = plan.pool and max(shape[1:]) > SMALL
            drop = 0.0 if index == 0 else plan.dropout if dropout is None else dropout
            self.groups.append(Group(conv, width, ndim, plan.mixing, pool, drop, checkpointing))
            shape = strided(shape, 2 if pool else 1)
        self.dropout = Dropout(head_dropout)
        self.head = nn.Linear(shape[0], n_outputs)
        self.linear = LinearMap(in_shape, n_outputs) if linear else None
        self.register_buffer("shares", torch.tensor([1.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, n_outputs); in training, by the network alone."""
        outputs = self.head(self.dropout(self.features(x).flatten(2).mean(2))).to(x.dtype)
        if self.training or self.linear is None:
            return outputs
        return self.shares[0] * outputs + self.shares[1] * self.linear(x)

    def features(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what the last group gives, (n, width, *places)."""
        low = torch.autocast(x.device.type, torch.bfloat16) if self.mixed_precision else None
        with low or nullcontext():
            features: Tensor = self.groups(self.average(x))
        return features.to(x.dtype)

    def class_activations(self, x: Tensor) -> Tensor:
        r"""Return where the outputs come from, at the places of the last group.

        .. math::
            a \sum_c w_{oc} h_c(p) + b\, P \sum_q t_{qp} (W_o x)(q)

        with the weights w of ``head``, the features h of the last group at P places, and what
        the linear classifier W makes of sample q, shared out between the places around it by
        the weights t of linear interpolation.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *spatial)

        Returns
        -------
        maps : Tensor, shape (n, n_outputs, *places)
            Their mean over the places is the output, but for constants.
        """
        maps = torch.einsum("nc...,oc->no...", self.features(x), self.head.weight)
        if self.linear is None:
            return maps
        between = interpolations(self, x.shape[2:], maps.shape[2:])
        linear = along_axes(self.linear.contributions(x), [weights.T for weights in between])
        return self.shares[0] * maps + self.shares[1] * linear * prod(maps.shape[2:])

    def set_beside(self, weight: Any, bias: Any, shares: Any) -> None:
        """Set the linear classifier, and the shares of the network and of that in the outputs."""
        assert self.linear is not None
        found = {self.linear.weight: weight, self.linear.bias: bias, self.shares: shares}
        for buffer, values in found.items():
            buffer.copy_(torch.as_tensor(values))


class Group(nn.Module):
    """Spatial convolution, 1x1 convolution, both with norm and rectifier, and pooling.

    Parameters
    ----------
    conv : nn.Module
        The spatial convolution.
    width, ndim : int
    mixing, pool : bool
        Whether 1x1 convolution and pooling are there.
    dropout : float
        Before all that.
    checkpointing : bool
    """

    def __init__(
        self,
        conv: nn.Module,
        width: int,
        ndim: int,
        mixing: bool,
        pool: bool,
        dropout: float,
        checkpointing: bool,
    ) -> None:
        super().__init__()
        self.dropout, self.checkpointing = Dropout(dropout), checkpointing
        self.parts = nn.ModuleDict({"spatial": normed(conv, width, ndim)})
        if mixing:
            pointwise = CONV[ndim](width, width, 1, bias=False)
            self.parts["mixing"] = normed(pointwise, width, ndim)
        if pool:
            self.parts["mixing" if mixing else "spatial"].add_module(
                "pool", MAX_POOL[ndim](3, stride=2, padding=1)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, width, *spatial_out)."""
        x = self.dropout(x)  # drawn once, so outside of what is computed twice
        for part in self.parts.values():
            x = recomputed(part, x) if self.checkpointing and self.training else part(x)
        return x


def normed(conv: nn.Module, width: int, ndim: int) -> nn.Sequential:
    """Return a convolution with norm and rectifier."""
    layers = {"conv": conv, "norm": BATCH_NORM[ndim](width), "relu": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers))


def recomputed(module: nn.Module, x: Tensor) -> Tensor:
    """Return the output of a module that keeps its input only, and computes again backwards."""

    def contexts() -> tuple[Any, Any]:
        return nullcontext(), frozen_statistics(module)

    return checkpoint(module, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms leave their running statistics alone, which have seen the batch before."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked


def averaging(in_shape: tuple[int, ...], largest: int | None) -> tuple[nn.Module, tuple[int, ...]]:
    """Return the layer that averages volumes until no extent exceeds a limit, and their shape."""
    step, shape = 1, in_shape
    while largest is not None and len(in_shape) == 4 and max(shape[1:]) > largest:
        step *= 2
        shape = strided(in_shape, step)
    return nn.AvgPool3d(step, ceil_mode=True) if step > 1 else nn.Identity(), shape


@torch.no_grad()
def settle_norms(network: nn.Module, batches: Iterable[Any]) -> None:
    """Replace the running statistics of batch norms by those of the network as it is now.

    In training they come from batches of few samples, from weights that still moved and from
    activations that dropout had spread: with few samples that shifts all outputs alike.

    Parameters
    ----------
    network : nn.Module
        Is in evaluation mode afterwards.
    batches : iterable of (x, anything)
    """
    network.eval()
    norms = [part for part in network.modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # the mean over all batches
    for x, _ in batches:
        network(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval()
        norm.momentum = momentum


def strided(shape: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """Return the shape of a sample after a layer that strides and pads by half its support."""
    return shape[0], *((extent - 1) // stride + 1 for extent in shape[1:])
