"""Network in Network, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.layers import MAX_POOL, MEAN_POOL, Dropout, MeanNetwork
from sklstruct.params import FLAG, integer, one_of, param, real

from .layers import Conv, rectified
from .presets import NINS

GROUPS = (  # supports, and channels where the first convolutions have 192
    ((5, 192), (1, 160), (1, 96)),
    ((5, 192), (1, 192), (1, 192)),
    ((3, 192), (1, 192)),
)
WIDTH = 192


class NiN(Architecture):
    r"""Network in Network: every convolution is followed by a small network at every place.

    .. math:: h_l = \rho(A_l \, \rho(A'_l \, \rho(w_l \star h_{l-1}))), \qquad \rho = \max(0, \cdot)

    with 1x1 convolutions A, in three groups with kernels of 5x5, 5x5 and 3x3; between them are
    the maximum and then the mean over 3x3 places at every second one, in the end the mean over
    space, and the last 1x1 convolution is the linear layer after it; in 1D, 2D and 3D.  As
    published, but that the last layer is not rectified, as values to regress on may be negative.

    Parameters
    ----------
    preset : {"small", "nin"}, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "nin": as published for CIFAR-10, with a learning rate that falls along a
        cosine in place of a step.
    width : int, default=None
        Channels of the convolutions with larger kernels; 48.  The 1x1 convolutions have as many
        but in the first group, where they have 5/6 and 1/2 of that.
    norm : bool, default=None
        Whether there is a batch norm before every rectifier; True, of what is published False.
    dropout : float, default=None
        Of what the first two groups give; 0.

    See Also
    --------
    RFNiNClassifier : The same idea with kernels in the span of a frame.

    References
    ----------
    M. Lin, Q. Chen and S. Yan. Network in network. ICLR, 2014.

    Examples
    --------
    >>> from sklstruct_reference_nets.nin import NiN
    >>> network = NiN(preset="nin").build(in_shape=(3, 32, 32), n_outputs=10)
    >>> sum(weights.numel() for weights in network.parameters())
    966986
    """

    preset: str = param("small", one_of(*NINS))
    width: int | None = param(None, integer(2) | None)
    norm: bool | None = param(None, FLAG | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = NINS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MeanNetwork:
        """Return the network."""
        net, n_in, ndim = self.in_force(), in_shape[0], len(in_shape) - 1
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        for number, group in enumerate(GROUPS, start=1):
            layers = nn.Sequential()
            for size, of_192 in group:
                n_out = net.width * of_192 // WIDTH
                conv = Conv(n_in, n_out, (size,) * ndim)
                layers.append(rectified(conv, n_out, ndim, net.norm))
                n_in = n_out
            stages[f"group{number}"] = layers
            if number == 1:
                stages["pool1"] = MAX_POOL[ndim](3, stride=2, padding=1)
            elif number == 2:
                # means of volumes refuse windows that are larger than what is padded
                window = [min(3, -(-extent // 2)) for extent in in_shape[1:]]
                padding = [(size - 1) // 2 for size in window]
                stages["pool2"] = MEAN_POOL[ndim](window, 2, padding, count_include_pad=False)
            if number < len(GROUPS):
                stages[f"dropout{number}"] = Dropout(net.dropout)
        return MeanNetwork(in_shape, n_outputs, nn.Sequential(stages), n_features=n_in)
