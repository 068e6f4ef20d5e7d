"""The all convolutional network, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import nn

from sklstruct import Architecture
from sklstruct.layers import Dropout, MeanNetwork
from sklstruct.params import FLAG, ODD, SEQUENCE, Rule, integer, one_of, param, real

from .layers import Conv, rectified
from .presets import ALL_CNNS

KERNELS = Rule(
    "a sequence of odd integers of at least 1",
    lambda v: SEQUENCE.holds(v) and len(v) > 0 and all(map(ODD.holds, v)),
)


class AllCNN(Architecture):
    r"""All convolutional network: strides in place of pooling, and the mean over space.

    .. math:: h_l = \max(0, w_l \star h_{l-1} + b_l)

    in two stages that each end with a 3x3 convolution of stride 2, the second with twice the
    channels; then come a 3x3 and a 1x1 convolution, the mean over space and a linear layer; in
    1D, 2D and 3D.  As published, but for the last 3x3 convolution, which is padded too (so that
    the mean is over 8x8 places of a CIFAR image, not 6x6), and the last layer, which is not
    rectified, as values to regress on may be negative.

    With a rank, kernels are factorised along the axes, those of 3x3 into

    .. math:: w_{oc} = \sum_{r=1}^{R} v_{or} \otimes u_{rc}

    with u of 3x1 and v of 1x3, in 3D of 3x1x1 and 1x3x3, in 1D of 3 and 1; wherever that needs
    fewer weights.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "all-cnn-a", "all-cnn-b" and "all-cnn-c": as published for CIFAR, with a
        learning rate that falls along a cosine in place of steps; augment="crops" is about what
        was done to the images.
    kernels : sequence of int, default=None
        Supports of the convolutions before each strided one; (3, 3).
    width : int, default=None
        Channels of the first stage; 32.
    rank : int, default=None
        The R above; None leaves kernels whole.
    n_parameters : int, default=None
        Takes the rank that comes closest to so many parameters of the whole network.
    norm : bool, default=None
        Whether there is a batch norm before every rectifier; True, of what is published False.
    input_dropout, dropout : float, default=None
        Of the samples, and of what strided convolutions give; 0.

    See Also
    --------
    StructuredClassifier, StructuredRegressor : The estimators that train it.

    References
    ----------
    J. T. Springenberg, A. Dosovitskiy, T. Brox and M. Riedmiller. Striving for simplicity: the
    all convolutional net. ICLR workshop, 2015.

    M. Jaderberg, A. Vedaldi and A. Zisserman. Speeding up convolutional neural networks with
    low rank expansions. BMVC, 2014.

    Examples
    --------
    >>> from sklstruct_reference_nets.all_cnn import AllCNN
    >>> for n_parameters in (None, 97_650):
    ...     architecture = AllCNN(preset="all-cnn-c", n_parameters=n_parameters)
    ...     network = architecture.build(in_shape=(3, 32, 32), n_outputs=10)
    ...     print(sum(weights.numel() for weights in network.parameters()))
    1369738
    97354
    """

    preset: str = param("small", one_of(*ALL_CNNS))
    kernels: Sequence[int] | None = param(None, KERNELS | None)
    width: int | None = param(None, integer(1) | None)
    rank: int | None = param(None, integer(1) | None)
    n_parameters: int | None = param(None, integer(1) | None)
    norm: bool | None = param(None, FLAG | None)
    input_dropout: float | None = param(None, real(least=0, below=1) | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = ALL_CNNS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MeanNetwork:
        """Return the network.

        Raises
        ------
        ValueError
            If there is a rank and a number of parameters, or no rank has about so many.
        """
        net, ndim = self.in_force(), len(in_shape) - 1
        rank, layers = net.rank, layers_of(net.kernels, net.width, in_shape[0])
        if net.n_parameters is not None:
            if rank is not None:
                raise ValueError(f"rank must be None where n_parameters is given, got {rank}.")
            rank = rank_for(net.n_parameters, layers, n_outputs, ndim, net.norm)
        stages: OrderedDict[str, nn.Module] = OrderedDict(dropout=Dropout(net.input_dropout))
        for number, layer in enumerate(layers, start=1):
            conv = layer.conv(ndim, rank)
            stages[f"conv{number}"] = rectified(conv, layer.n_out, ndim, net.norm)
            if layer.stride > 1:
                stages[f"dropout{number}"] = Dropout(net.dropout)
        width = layers[-1].n_out
        return MeanNetwork(in_shape, n_outputs, nn.Sequential(stages), n_features=width)


class Layer(NamedTuple):
    """A convolution of the network, as numbers."""

    n_in: int
    n_out: int
    size: int
    stride: int = 1

    def n_weights(self, ndim: int, rank: int | None) -> int:
        """Return the number of weights, in factors of a rank if these have fewer."""
        whole = self.n_in * self.n_out * self.size**ndim
        if rank is None or self.size == 1:
            return whole
        return min(whole, rank * (self.n_in * self.size + self.n_out * self.size ** (ndim - 1)))

    def conv(self, ndim: int, rank: int | None) -> nn.Module:
        """Return the convolution, or the two that its factors are."""
        n_in, n_out, size, stride = self
        if rank is None or self.n_weights(ndim, rank) == self.n_weights(ndim, None):
            return Conv(n_in, n_out, (size,) * ndim, stride)
        first = Conv(n_in, rank, (size, *[1] * (ndim - 1)), bias=False)
        nn.init.kaiming_normal_(first.weight, nonlinearity="linear")  # nothing is rectified there
        return nn.Sequential(first, Conv(rank, n_out, (1, *[size] * (ndim - 1)), stride))


def layers_of(kernels: Sequence[int], width: int, channels: int) -> list[Layer]:
    """Return the convolutions of a network for samples of so many channels."""
    layers, n_in = [], channels
    for n_out in (width, 2 * width):
        for size, stride in (*((size, 1) for size in kernels), (3, 2)):
            layers.append(Layer(n_in, n_out, size, stride))
            n_in = n_out
    return [*layers, Layer(n_in, n_in, 3), Layer(n_in, n_in, 1)]


def rank_for(
    n_parameters: int, layers: Sequence[Layer], n_outputs: int, ndim: int, norm: bool
) -> int:
    """Return the rank whose network comes closest to a number of parameters.

    Raises
    ------
    ValueError
        If all ranks have more, or fewer.
    """
    width = layers[-1].n_out
    fixed = sum((3 if norm else 1) * layer.n_out for layer in layers) + (width + 1) * n_outputs

    def count(rank: int) -> int:
        return fixed + sum(layer.n_weights(ndim, rank) for layer in layers)

    most = max(layer.n_out * layer.size ** (ndim - 1) for layer in layers)  # all are whole there
    if not count(1) <= n_parameters <= count(most):
        raise ValueError(
            f"n_parameters must be from {count(1)}, at rank 1, to {count(most)}, without a rank, "
            f"for this network, got {n_parameters}."
        )
    return min(range(1, most + 1), key=lambda rank: abs(count(rank) - n_parameters))
