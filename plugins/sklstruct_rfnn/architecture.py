"""The receptive field network, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.frames import GaussianDerivatives
from sklstruct.layers import BATCH_NORM, MAX_POOL, Dropout, FrameConv, Network
from sklstruct.params import FLAG, WIDTHS, one_of, param, real
from sklstruct.plugins import make_frame

SMALL = 4  # extents up to this are not pooled any further
SHARE = real(least=0, below=1) | None

MODERN: dict[str, Any] = {
    "frame": (GaussianDerivatives(),),
    "widths": (64, 64, 64),
    "norm": "batch",
    "padding": "same",
    "coefficients": "white",
    "dropout": 0.2,
    "head_dropout": 0.7,
}
PAPER: dict[str, Any] = {
    **MODERN,
    "frame": (
        GaussianDerivatives(order=3, scales=(1.5,), size=11),
        GaussianDerivatives(order=2, scales=(1.0,), size=7),
    ),
    "norm": "crossmap",
    "padding": ("same", "full", "full"),
    "coefficients": "uniform",
    "max_epochs": ((300, 1000), (1000, 300), (2000, 200), (5000, 150), (10000, 100)),
    "lr": 5.0,
    "optimizer": "adadelta",
    "schedule": "linear",
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}


class RFNN(Architecture):
    r"""Receptive field network: kernels learned in the span of a frame, stage after stage.

    .. math::
        h_l = \mathrm{pool}(\max(0, \mathrm{norm}(w_l \star h_{l-1}))), \qquad
        w_l \in \mathrm{span}(\psi_1, \dots, \psi_K)

    and one linear layer in the end; in 1D, 2D and 3D.  A stage pools by two while some extent
    exceeds 4, so that small images keep a shape.

    Parameters
    ----------
    frame : str, frame family, or sequence of these, default="gaussian"
        Frame of every stage, or one for each.  A name stands for the family with the orders, the
        scales and the supports of the preset: ``frame="pixel"`` is the unstructured twin, the
        same network with free kernels of the same size.
    preset : {"modern", "paper"}, default="modern"
        Where parameters come from that are None, those of the training too.  "modern": batch
        norm, AdamW and one cycle of the learning rate.  "paper": as published in 2016 for MNIST,
        with supports of 11, 7 and 7, cross-channel normalisation, full padding, no biases,
        uniform coefficients of the atoms as they are, and Adadelta for epochs that depend on the
        number of samples.  Other than published, samples are standardised, not divided by 255,
        and the learning rate falls with every batch, not with every epoch.
    widths : sequence of int, default=None
        Channels of each stage; (64, 64, 64).
    norm : {"batch", "crossmap"}, default=None
        Batch norm before the rectifier; or normalisation across 9 channels after the pooling, as
        published, and no biases.
    padding : str or sequence of str, default=None
        Of every convolution, or one for each stage; see ``FrameConv``.
    coefficients : {"white", "uniform"}, default=None
        First coefficients: see ``FrameConv``; or, as published, uniform in [-1, 1], of atoms that
        are learned as they are and not at unit norm, and a linear layer of deviation 0.01.
    dropout, head_dropout : float, default=None
        After every stage but the last, and before the linear layer; 0.2 and 0.7 (regressors in
        "modern": 0 and 0.2, as values suffer from heavy dropout).
    learn_scale : bool or "channel", default=False
        Whether the scales of the Gaussians are learned too, by one factor of a layer, or one of
        each output channel; see ``FrameConv``.  Free kernels have none.

    See Also
    --------
    RFNNClassifier, RFNNRegressor : The estimators that train it.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_rfnn.architecture import RFNN
    >>> network = RFNN(widths=(8, 8)).build(in_shape=(1, 28, 28), n_outputs=10)
    >>> network(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """

    frame: Any = param("gaussian", resolve=make_frame)
    preset: str = param("modern", one_of("modern", "paper"))
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    norm: str | None = param(None, one_of("batch", "crossmap") | None)
    padding: str | Sequence[str] | None = None
    coefficients: str | None = param(None, one_of("white", "uniform") | None)
    dropout: float | None = param(None, SHARE)
    head_dropout: float | None = param(None, SHARE)
    learn_scale: bool | str = param(False, FLAG | one_of("channel"))

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"modern": MODERN, "paper": PAPER}

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        net = self.in_force()
        widths, ndim = net.widths, len(in_shape) - 1
        published, uniform = net.norm == "crossmap", net.coefficients == "uniform"
        families = net.frames(len(widths))
        paddings = self.of_stages("padding", len(widths))
        stages, channels, extents = nn.Sequential(), in_shape[0], in_shape[1:]
        for number, (width, family, padding) in enumerate(
            zip(widths, families, paddings, strict=True), start=1
        ):
            # batch norm has a bias of its own
            options: dict[str, Any] = {"padding": padding, "bias": False, "unit_norm": not uniform}
            options["learn_scale"] = not getattr(family, "free", False) and net.learn_scale
            conv = FrameConv(channels, width, family, ndim=ndim, **options)
            if uniform and conv.frame.name != "pixel":  # free kernels start as ever
                nn.init.uniform_(conv.weight, -1, 1)
            # As published the window has to fit without padding, which thin samples need.
            room = [int(extent < 3) if published else 1 for extent in extents]
            pool = [MAX_POOL[ndim](3, stride=2, padding=tuple(room))] * (max(extents) > SMALL)
            if published:
                crossmap = nn.LocalResponseNorm(9, alpha=9e-4, beta=0.75, k=2)
                stage = [conv, *pool, nn.ReLU(), crossmap]
            else:
                stage = [conv, BATCH_NORM[ndim](width), *pool, nn.ReLU()]  # fewer to rectify
            last = number == len(widths)
            stages.append(nn.Sequential(*stage, *([] if last else [Dropout(net.dropout)])))
            extents = conv.out_extents(extents)
            if pool:
                extents = tuple(
                    (e + 2 * p - 3) // 2 + 1 for e, p in zip(extents, room, strict=True)
                )
            channels = width
        options = {"dropout": net.head_dropout, "n_features": channels * prod(extents)}
        network = Network(in_shape, n_outputs, stages, bias=not published, **options)
        if uniform:
            nn.init.normal_(network.head.weight, std=0.01)
        return network
