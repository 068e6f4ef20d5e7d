"""The multilayer perceptron, for samples of any shape."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.layers import Network
from sklstruct.params import WIDTHS, one_of, param, real

from .layers import hidden_layers
from .presets import MLPS


class MLP(Architecture):
    r"""Multilayer perceptron: hidden layers of all values of a sample, which know no places.

    .. math:: h_l = \max(0, W_l \, \mathrm{dropout}(h_{l-1}) + b_l)

    and a linear layer; for samples of any shape.

    Parameters
    ----------
    preset : {"small", "1x512", "3x512"}, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "1x512" and "3x512": as published for the middle 28x28 of CIFAR images,
        with a learning rate that falls along a cosine in place of 5 % an epoch.
    widths : sequence of int, default=None
        Units of the hidden layers; (256, 256).
    dropout : float, default=None
        Before every layer but the first; 0.2.

    See Also
    --------
    sklstruct.layers.Linear : No hidden layer at all.

    References
    ----------
    C. Zhang, S. Bengio, M. Hardt, B. Recht and O. Vinyals. Understanding deep learning requires
    rethinking generalization. ICLR, 2017.

    Examples
    --------
    >>> from sklstruct_reference_nets.mlp import MLP
    >>> network = MLP(preset="3x512").build(in_shape=(3, 28, 28), n_outputs=10)
    >>> sum(weights.numel() for weights in network.parameters())
    1735178
    """

    preset: str = param("small", one_of(*MLPS))
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MLPS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> Network:
        """Return the network."""
        net = self.in_force()
        stages: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        stages["hidden"] = hidden_layers(prod(in_shape), net.widths, net.dropout)
        options = {"n_features": net.widths[-1], "dropout": net.dropout}
        return Network(in_shape, n_outputs, nn.Sequential(stages), **options)
