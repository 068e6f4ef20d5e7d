"""The residual network on frames, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from sklstruct.layers import Dropout, MeanNetwork, ResidualBlock, activation, pointwise
from sklstruct.params import integer, one_of, param

from .layers import INNER, FrameNetwork
from .presets import RESNETS


class FrameResNet(FrameNetwork):
    r"""Residual network with pre-activation whose 3x3 kernels are learned in the span of frames.

    .. math::
        h_{l+1} = h_l + w_2 \star \rho(w_1 \star \rho(h_l)), \qquad
        w_i \in \mathrm{span}(\psi_1, \dots, \psi_K), \quad
        \rho = \max(0, \cdot) \circ \mathrm{norm}

    in three stages of (depth - 2) / 6 blocks, of which the second and the third begin with a
    stride of 2 and twice the channels; then the mean over space and a linear layer; in 1D, 2D and
    3D.  Convolutions have no bias, and shortcuts that change the shape are 1x1 convolutions.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "resnet-20", "-56", "-110", "-164" (with bottlenecks), "resnet-164-basic"
        (without) and "wrn-16-4": as published for CIFAR, with a learning rate that falls along a
        cosine in place of steps.
    depth : int, default=None
        Layers with weights: 6n + 2, where shortcuts are not counted, or 6n + 4, where they are,
        as in wide networks; with bottlenecks 9n + 2.  14.
    width : int, default=None
        Channels of the first stage; 16.
    widen_factor : int, default=None
        How many times more channels the blocks have than the stem: 1.

    See Also
    --------
    FrameResNetClassifier, FrameResNetRegressor : The estimators that train it.
    FrameDenseNet : Layers that see all layers before them.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun. Identity mappings in deep residual networks. ECCV, 2016.

    S. Zagoruyko and N. Komodakis. Wide residual networks. BMVC, 2016.

    J.-H. Jacobsen. Structured deep networks (thesis), sections 4.3 and 4.4.1.

    Examples
    --------
    >>> from sklstruct_frame_resnet.resnet import FrameResNet
    >>> network = FrameResNet(depth=20).build(in_shape=(3, 32, 32), n_outputs=10)
    >>> sum(weights.numel() for weights in network.parameters())
    272282
    """

    preset: str = param("small", one_of(*RESNETS))
    depth: int | None = param(None, integer(8) | None)
    width: int | None = param(None, integer(1) | None)
    widen_factor: int | None = param(None, integer(1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = RESNETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MeanNetwork:
        """Return the network."""
        net, ndim = self.in_force(), len(in_shape) - 1
        convolution = self.convolution(ndim)
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = convolution(in_shape[0], net.width)
        n_in = net.width
        for stage in range(3):
            inner = net.width * net.widen_factor * 2**stage
            n_out = inner * INNER if net.bottleneck else inner
            blocks: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, 1 + n_blocks(net.depth, net.bottleneck)):
                stride = 2 if number == 1 and stage > 0 else 1
                layers: OrderedDict[str, nn.Module] = OrderedDict()
                if net.bottleneck:
                    layers["reduce"] = pointwise(n_in, inner, ndim)
                    layers["activate1"] = activation(inner, ndim)
                    layers["dropout"] = Dropout(net.dropout)
                    layers["conv"] = convolution(inner, inner, stride)
                    layers["activate2"] = activation(inner, ndim)
                    layers["expand"] = pointwise(inner, n_out, ndim)
                else:
                    layers["conv1"] = convolution(n_in, n_out, stride)
                    layers["activate"] = activation(n_out, ndim)
                    layers["dropout"] = Dropout(net.dropout)
                    layers["conv2"] = convolution(n_out, n_out)
                blocks[f"block{number}"] = ResidualBlock(
                    activation(n_in, ndim),
                    nn.Sequential(layers),
                    None if n_in == n_out else pointwise(n_in, n_out, ndim, stride),
                )
                n_in = n_out
            stages[f"stage{stage + 1}"] = nn.Sequential(blocks)
        stages["activate"] = activation(n_in, ndim)
        return MeanNetwork(in_shape, n_outputs, nn.Sequential(stages), n_features=n_in)


def n_blocks(depth: int, bottleneck: bool) -> int:
    """Return the number of blocks in each of three stages.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    n, rest = divmod(depth - 2, 9 if bottleneck else 6)
    if n < 1 or rest not in ((0,) if bottleneck else (0, 2)):
        wanted = "9n + 2 with bottlenecks" if bottleneck else "6n + 2 or 6n + 4"
        raise ValueError(f"depth must be {wanted}, with n of at least 1, got {depth}.")
    return n
