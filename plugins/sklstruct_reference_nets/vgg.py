"""The VGG network for small images, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.layers import MAX_POOL, Dropout, Network
from sklstruct.params import SEQUENCE, WIDTHS, Rule, integer, one_of, param, real

from .layers import Conv, hidden_layers, rectified
from .presets import VGGS

SHARE = real(least=0, below=1)
SHARES = Rule(
    "a sequence of such numbers, one a stage",
    lambda v: SEQUENCE.holds(v) and all(map(SHARE.holds, v)),
)


class VGGSmall(Architecture):
    r"""VGG for small images: stages of 3x3 convolutions, between them 2x2 pooling.

    .. math:: h_l = \max(0, \mathrm{norm}(w_l \star h_{l-1} + b_l))

    Every stage ends with the maximum over 2x2 places; then come hidden layers with batch norm,
    and a linear layer; in 1D, 2D and 3D.  One place along an axis stays one.

    Parameters
    ----------
    preset : {"small", "vgg-16"}, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "vgg-16": the 13 convolutions of VGG-16 with one hidden layer, as adapted
        to CIFAR, with a learning rate that falls along a cosine in place of steps and the norm
        before the rectifier, which the released code has after it.
    widths : sequence of int, default=None
        Channels of each stage; (32, 64, 128).
    depth : int or sequence of int, default=None
        Convolutions in each stage; 2.
    hidden : sequence of int, default=None
        Units of the hidden layers; (128,).
    conv_dropout : float or sequence of float, default=None
        Between the convolutions of each stage; 0.
    dropout : float, default=None
        Before every layer that is no convolution; 0.5.

    See Also
    --------
    AlexNetSmall : Wider kernels, fewer layers.

    References
    ----------
    K. Simonyan and A. Zisserman. Very deep convolutional networks for large-scale image
    recognition. ICLR, 2015.

    S. Liu and W. Deng. Very deep convolutional neural network based image classification using
    small training sample size. ACPR, 2015.

    Examples
    --------
    >>> from sklstruct_reference_nets.vgg import VGGSmall
    >>> network = VGGSmall(preset="vgg-16").build(in_shape=(3, 32, 32), n_outputs=10)
    >>> sum(weights.numel() for weights in network.parameters())
    14991946
    """

    preset: str = param("small", one_of(*VGGS))
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    depth: int | Sequence[int] | None = param(None, WIDTHS | integer(1) | None)
    hidden: Sequence[int] | None = param(None, WIDTHS | None)
    conv_dropout: float | Sequence[float] | None = param(None, SHARE | SHARES | None)
    dropout: float | None = param(None, SHARE | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = VGGS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        net, (n_in, *extents) = self.in_force(), in_shape
        ndim, n_stages = len(extents), len(net.widths)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        settings = (self.of_stages(name, n_stages) for name in ("depth", "conv_dropout"))
        for number, (width, depth, dropout) in enumerate(
            zip(net.widths, *settings, strict=True), start=1
        ):
            layers = nn.Sequential()
            for step in range(depth):
                if step:
                    layers.append(Dropout(dropout))
                layers.append(rectified(Conv(n_in, width, (3,) * ndim), width, ndim, norm=True))
                n_in = width
            stages[f"stage{number}"] = layers
            stages[f"pool{number}"] = MAX_POOL[ndim](2, ceil_mode=True)
            extents = [-(-extent // 2) for extent in extents]
        stages["flatten"] = nn.Flatten()
        stages["dropout"] = Dropout(net.dropout)
        stages["hidden"] = hidden_layers(n_in * prod(extents), net.hidden, net.dropout, norm=True)
        options = {"n_features": net.hidden[-1], "dropout": net.dropout}
        return Network(in_shape, n_outputs, nn.Sequential(stages), **options)
