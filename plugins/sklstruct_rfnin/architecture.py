"""The receptive field Network in Network, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sklstruct import Architecture
from sklstruct.estimators import described_network
from sklstruct.layers import (
    BATCH_NORM,
    MAX_POOL,
    Dropout,
    MeanNetwork,
    Pointwise,
    frozen_statistics,
)
from sklstruct.params import FLAG, SEQUENCE, WIDTHS, one_of, param, real
from sklstruct.plugins import make_frame

from .convolution import spatial_convolution
from .describe import describe_network
from .presets import PRESETS

SMALL = 4  # extents up to this are neither strided nor pooled any further


class RFNiN(Architecture):
    r"""Network in Network whose spatial convolutions have kernels in the span of a frame.

    A group of layers is

    .. math::
        h_l = \mathrm{pool}(\rho(A_l \, \rho(w_l \star h_{l-1}))), \qquad
        w_l \in \mathrm{span}(\psi_1, \dots, \psi_K), \quad
        \rho = \max(0, \cdot) \circ \mathrm{norm}

    with a 1x1 convolution A and batch norm; in the end come the mean over space and a linear
    layer; in 1D, 2D and 3D.  The mixing of the atoms stands for the first 1x1 convolution of a
    group of Network in Network.  Where no extent exceeds 4, nothing is strided or pooled further.

    Parameters
    ----------
    frame : str, frame family, or sequence of these, default="gaussian"
        Of every group, or one for each.  A name stands for the family with the orders, the scales
        and the supports of the preset: "pixel" are free kernels of the same supports (plain
        Network in Network).  "free" are atoms that are learned too, as many and as large as those
        of the preset (NiN-refactor).
    preset : {"small", "cifar", "imagenet-v1", "imagenet-v2", "mri"}, default="small"
        Where parameters come from that are None, those of the training too.  "small" suits tens
        to hundreds of images or volumes of any kind.  "cifar" and "imagenet-v1", "-v2" are the
        published networks for photographs.  "mri" is the published one for brain scans, of order
        3 at scales 1, 4 and 16; its strides and pooling are not published and chosen here as in
        Network in Network: stride 2 first, and 3x3 max pooling with stride 2 after every group
        but the last.
    widths : sequence of int, default=None
        Channels of each group.
    strides : int or sequence of int, default=None
        Of the spatial convolutions.
    pools, mixing : bool or sequence of bool, default=None
        Whether 3x3 max pooling with stride 2 ends a group, and whether it has a 1x1 convolution.
    free_sizes : int or sequence of int, default=None
        Supports of free kernels and atoms; None are those of the frames, but in "mri" 7, 5 and 5,
        as kernels of the size of the scan are out of reach.
    structured_layers : {"all", "first"}, default="all"
        "first" lets the groups after the first have free kernels.
    dropout : float or sequence of float, default=None
        Before every group; there is none before the first.
    head_dropout : float, default=0.0
        Before the linear layer.
    spacing : float or sequence of float, default=None
        Distance of the samples in millimetres, along all axes or along each: Gaussians then keep
        their size in millimetres.  None takes scales as samples.
    unit : float, default=None
        Length of scale 1 in millimetres; 1, in "mri" 2.
    largest : int, default=None
        Volumes are averaged over 2x2x2 samples until no extent exceeds this, which bounds the
        time of a fit, unless ``spacing`` is given; 32 in "small".
    tolerance : float, default=None
        Relative error allowed to the filters, which makes large scales cheap, see
        ``CoarseFrameConv``; 1e-3 in "mri" and else 0, which computes exactly.
    learn_scale : bool or "channel", default=False
        Whether the scales of the Gaussians are learned too, by one factor of a layer, or one of
        each output channel; see ``FrameConv``.  Free kernels and atoms have none.  Supports must
        be three times as large as scales, which those of "cifar" and "imagenet" are not, and
        ``tolerance`` must be 0.
    checkpointing : bool, default=False
        Whether to compute layers again for the gradient, in place of keeping their insides: less
        memory, more time, the same result.
    mixed_precision : bool, default=False
        Whether to compute in bfloat16 what torch deems safe.

    See Also
    --------
    RFNiNClassifier, RFNiNRegressor : The estimators that train it.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.

    M. Lin, Q. Chen and S. Yan. Network in network. ICLR, 2014.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_rfnin.architecture import RFNiN
    >>> network = RFNiN(frame="gaussian").build(in_shape=(1, 24, 24, 24), n_outputs=2)
    >>> network(torch.zeros(3, 1, 24, 24, 24)).shape
    torch.Size([3, 2])
    """

    frame: Any = param("gaussian", resolve=make_frame)
    preset: str = param("small", one_of(*PRESETS))
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    strides: int | Sequence[int] | None = None
    pools: bool | Sequence[bool] | None = None
    mixing: bool | Sequence[bool] | None = None
    free_sizes: int | Sequence[int] | None = None
    structured_layers: str = param("all", one_of("all", "first"))
    dropout: float | Sequence[float] | None = param(None, real(least=0, below=1) | SEQUENCE | None)
    head_dropout: float = param(0.0, real(least=0, below=1))
    spacing: float | Sequence[float] | None = param(None, real(above=0) | SEQUENCE | None)
    unit: float | None = param(None, real(above=0) | None)
    largest: int | None = param(None, real(least=1) | None)
    tolerance: float | None = param(None, real(least=0, below=1) | None)
    learn_scale: bool | str = param(False, FLAG | one_of("channel"))
    checkpointing: bool = param(False, FLAG)
    mixed_precision: bool = param(False, FLAG)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> RFNiNNetwork:
        """Return the network."""
        net = self.in_force()
        n_groups, ndim = len(net.widths), len(in_shape) - 1
        step = sample_step(net.spacing, net.unit, ndim)
        stages, shape = nn.Sequential(), in_shape
        halvings = 0  # one average over all of them, lest a border count twice in some
        while net.largest and net.spacing is None and ndim == 3 and max(shape[1:]) > net.largest:
            halvings += 1
            shape = strided(in_shape, 2**halvings)
        if halvings:
            stages.add_module("average", nn.AvgPool3d(2**halvings, ceil_mode=True))
        settings = ("free_sizes", "strides", "mixing", "pools", "dropout")
        of_groups = zip(
            net.widths,
            self._choices(n_groups),
            self.designs(n_groups),
            *(self.of_stages(name, n_groups) for name in settings),
            strict=True,
        )
        for number, group in enumerate(of_groups, start=1):
            width, frame, design, size, stride, mixing, pool, dropout = group
            stride = stride if max(shape[1:]) > SMALL else 1
            channels = shape[0], width
            conv = spatial_convolution(
                frame, design, size, channels, stride, ndim, step, net.tolerance, net.learn_scale
            )
            shape = strided((width, *shape[1:]), stride)
            pool = pool and max(shape[1:]) > SMALL
            dropout = dropout if number > 1 else 0.0  # values of a sample are never dropped
            layers = Group(conv, width, ndim, mixing, pool, dropout, net.checkpointing)
            stages.add_module(f"group{number}", layers)
            shape = strided(shape, 2 if pool else 1)
        options = {"dropout": net.head_dropout, "mixed_precision": net.mixed_precision}
        return RFNiNNetwork(in_shape, n_outputs, stages, n_features=shape[0], **options)

    def describe(self, in_shape: tuple[int, ...] | None = None, n_outputs: int = 2) -> pd.DataFrame:
        """Return the layers of the network as a table: atoms, parameters, receptive fields.

        Parameters
        ----------
        in_shape : tuple of int, default=None
            Shape of one sample, (channels, *spatial).  None is that of a fitted estimator.
        n_outputs : int, default=2
            Number of outputs, where there is no fitted estimator.

        Returns
        -------
        table : DataFrame
            See ``sklstruct_rfnin.describe.describe_network``.

        Raises
        ------
        ValueError
            If nothing is fitted and there is no ``in_shape``.
        """
        network, _ = described_network(self, in_shape, n_outputs)
        return describe_network(network)

    def _choices(self, n_groups: int) -> Sequence[Any]:
        """Return what the frame of each group shall be, a name or a family."""
        choices = list(self.of_stages("frame", n_groups))
        first = self.structured_layers == "first"
        return choices[:1] + ["pixel"] * (n_groups - 1) if first else choices


class RFNiNNetwork(MeanNetwork):
    """Groups of layers, the mean over space and a linear head.

    Parameters
    ----------
    in_shape, n_outputs, stages, dropout, n_features
        As of ``Network``.
    mixed_precision : bool
    """

    def __init__(
        self, in_shape: tuple[int, ...], *args: Any, mixed_precision: bool, **options: Any
    ) -> None:
        super().__init__(in_shape, *args, **options)
        self.in_shape, self.mixed_precision = in_shape, mixed_precision

    def maps(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to what the last group gives, (n, width, *places)."""
        if not self.mixed_precision:
            return super().maps(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            return super().maps(x).to(x.dtype)


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
        self.parts = nn.ModuleDict({"spatial": normed(conv, width, ndim, pool and not mixing)})
        if mixing:
            pointwise = Pointwise(width, width, ndim, bias=False)
            self.parts["mixing"] = normed(pointwise, width, ndim, pool)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, width, *spatial_out)."""
        x = self.dropout(x)  # drawn once, so outside of what is computed twice
        for part in self.parts.values():
            if self.checkpointing and self.training:  # only the input is kept
                contexts = partial(recomputing, part)
                x = checkpoint(part, x, use_reentrant=False, context_fn=contexts)
            else:
                x = part(x)
        return x


def normed(conv: nn.Module, width: int, ndim: int, pool: bool) -> nn.Sequential:
    """Return a convolution with norm, pooling if there is any, and rectifier."""
    layers = OrderedDict(conv=conv, norm=BATCH_NORM[ndim](width))
    if pool:  # before the rectifier, which has less to do then and gives the same
        layers["pool"] = MAX_POOL[ndim](3, stride=2, padding=1)
    return nn.Sequential(OrderedDict(layers, relu=nn.ReLU()))


def recomputing(module: nn.Module) -> tuple[Any, Any]:
    """Return the contexts of a module that is run, and is run again for the gradient."""
    return nullcontext(), frozen_statistics(module)


def strided(shape: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """Return the shape of a sample after a layer that strides and pads by half its support."""
    return shape[0], *((extent - 1) // stride + 1 for extent in shape[1:])


def sample_step(spacing: float | Sequence[float] | None, unit: float, ndim: int) -> Any:
    """Return the distance of the samples in the unit of the scales, 1 without a spacing.

    Raises
    ------
    ValueError
        If the spacing is no positive number, nor one for each axis.
    """
    if spacing is None:
        return 1.0
    steps = np.asarray(spacing, dtype=float)
    if steps.shape not in ((), (1,), (ndim,)) or not (np.isfinite(steps) & (steps > 0)).all():
        raise ValueError(
            f"spacing must be a positive number of millimetres, or {ndim} of them, got {spacing!r}."
        )
    return steps / unit
