"""The small AlexNet, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.layers import MAX_POOL, Dropout, Network
from sklstruct.params import WIDTHS, one_of, param, real

from .layers import Conv, hidden_layers, rectified
from .presets import ALEXNETS

NEIGHBOURS, STRENGTH, POWER = 9, 1e-3, 0.75  # of the response normalisation


class AlexNetSmall(Architecture):
    r"""AlexNet for small images: two convolutions with response normalisation, hidden layers.

    .. math::
        h = g_c \Big(1 + \frac{10^{-3}}{9} \sum_{|c' - c| \le 4} g_{c'}^2\Big)^{-3/4}, \qquad
        g = \mathrm{pool}(\max(0, w \star x + b))

    with kernels of 5x5 and the maximum over 3x3 places at every second one, twice; then come
    linear layers with rectifiers, and one without; in 1D, 2D and 3D.

    Parameters
    ----------
    preset : {"small", "zhang-2017"}, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "zhang-2017": as published for the middle 28x28 of CIFAR images, with a
        learning rate that falls along a cosine in place of 5 % an epoch.
    widths : sequence of int, default=None
        Channels of the convolutions; (32, 32).
    hidden : sequence of int, default=None
        Units of the hidden layers; (128,).
    dropout : float, default=None
        Before every layer that is no convolution; 0.5.

    See Also
    --------
    VGGSmall : Deeper, with small kernels.

    References
    ----------
    A. Krizhevsky, I. Sutskever and G. E. Hinton. ImageNet classification with deep convolutional
    neural networks. NIPS, 2012.

    C. Zhang, S. Bengio, M. Hardt, B. Recht and O. Vinyals. Understanding deep learning requires
    rethinking generalization. ICLR, 2017: its appendix A has this form.

    Examples
    --------
    >>> from sklstruct_reference_nets.alexnet import AlexNetSmall
    >>> network = AlexNetSmall(preset="zhang-2017").build(in_shape=(3, 28, 28), n_outputs=10)
    >>> sum(weights.numel() for weights in network.parameters())
    1387786
    """

    preset: str = param("small", one_of(*ALEXNETS))
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    hidden: Sequence[int] | None = param(None, WIDTHS | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = ALEXNETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        net, (channels, *extents) = self.in_force(), in_shape
        ndim = len(extents)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (n_in, n_out) in enumerate(pairwise([channels, *net.widths]), start=1):
            stages[f"conv{number}"] = rectified(Conv(n_in, n_out, (5,) * ndim), n_out, ndim, False)
            stages[f"pool{number}"] = MAX_POOL[ndim](3, stride=2, padding=1)
            stages[f"norm{number}"] = nn.LocalResponseNorm(NEIGHBOURS, STRENGTH, POWER)
            extents = [-(-extent // 2) for extent in extents]
        stages["flatten"] = nn.Flatten()
        stages["dropout"] = Dropout(net.dropout)
        n_values = net.widths[-1] * prod(extents)
        stages["hidden"] = hidden_layers(n_values, net.hidden, net.dropout)
        options = {"n_features": net.hidden[-1], "dropout": net.dropout}
        return Network(in_shape, n_outputs, nn.Sequential(stages), **options)
