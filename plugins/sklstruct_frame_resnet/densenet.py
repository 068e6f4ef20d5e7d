"""The densely connected network on frames, in one to three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from sklstruct.layers import MEAN_POOL, Dropout, MeanNetwork, activation, pointwise
from sklstruct.params import integer, one_of, param, real

from .layers import INNER, DenseLayer, FrameNetwork
from .presets import DENSENETS

STEM = 16


class FrameDenseNet(FrameNetwork):
    r"""Densely connected network whose 3x3 kernels are learned in the span of frames.

    .. math::
        h_{l+1} = (h_l, \; w_l \star \rho(h_l)), \qquad
        w_l \in \mathrm{span}(\psi_1, \dots, \psi_K), \quad
        \rho = \max(0, \cdot) \circ \mathrm{norm}

    in three stages of (depth - 4) / 3 layers, each of which adds ``growth`` channels; between them
    come a 1x1 convolution and the mean over 2x2 places, in the end the mean over space and a
    linear layer; in 1D, 2D and 3D.  Convolutions have no bias.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too.  "small": for 100 to
        5000 samples.  "densenet-40-12", "densenet-100-12" and "densenet-bc-100-12": as published
        for CIFAR, for the 164 epochs of the thesis or the 300 of the paper, with a learning rate
        that falls along a cosine in place of steps.
    depth : int, default=None
        Layers with weights, 3n + 4, or 6n + 4 with bottlenecks; 22.
    growth : int, default=None
        Channels that a layer adds; 12.
    compression : float, default=None
        Share of the channels that a 1x1 convolution between stages keeps; 1.

    See Also
    --------
    FrameDenseNetClassifier, FrameDenseNetRegressor : The estimators that train it.
    FrameResNet : Layers that add to what they see.

    References
    ----------
    G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger. Densely connected convolutional
    networks. CVPR, 2017.

    J.-H. Jacobsen. Structured deep networks (thesis), sections 4.3 and 4.4.1.

    Examples
    --------
    >>> from sklstruct_frame_resnet.densenet import FrameDenseNet
    >>> network = FrameDenseNet(depth=40, growth=12).build(in_shape=(3, 32, 32), n_outputs=10)
    >>> sum(weights.numel() for weights in network.parameters())
    1019722
    """

    preset: str = param("small", one_of(*DENSENETS))
    depth: int | None = param(None, integer(7) | None)
    growth: int | None = param(None, integer(1) | None)
    compression: float | None = param(None, real(above=0, most=1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = DENSENETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MeanNetwork:
        """Return the network."""
        net, ndim = self.in_force(), len(in_shape) - 1
        step = 6 if net.bottleneck else 3
        n_layers, rest = divmod(net.depth - 4, step)
        if rest or n_layers < 1:
            raise ValueError(f"depth must be {step}n + 4, n of at least 1, got {net.depth}.")
        convolution, extents = self.convolution(ndim), list(in_shape[1:])
        width = 2 * net.growth if net.bottleneck else STEM
        stages: OrderedDict[str, nn.Module] = OrderedDict(stem=convolution(in_shape[0], width))
        for stage in range(1, 4):
            if stage > 1:
                kept = max(1, int(net.compression * width))
                transition: OrderedDict[str, nn.Module] = OrderedDict()
                transition["activate"] = activation(width, ndim)
                transition["compress"] = pointwise(width, kept, ndim)
                # Of odd extents, the last mean is one of fewer places, and one place stays one.
                window = [min(2, extent) for extent in extents]
                transition["pool"] = MEAN_POOL[ndim](window, ceil_mode=True)
                extents = [-(-extent // 2) for extent in extents]
                stages[f"transition{stage - 1}"] = nn.Sequential(transition)
                width = kept
            dense: OrderedDict[str, nn.Module] = OrderedDict()
            for number in range(1, 1 + n_layers):
                inner, layer = width, OrderedDict[str, nn.Module]()
                layer["activate"] = activation(width, ndim)
                if net.bottleneck:
                    inner = INNER * net.growth
                    layer["reduce"] = pointwise(width, inner, ndim)
                    layer["activate2"] = activation(inner, ndim)
                layer["dropout"] = Dropout(net.dropout)
                layer["conv"] = convolution(inner, net.growth)
                dense[f"layer{number}"] = DenseLayer(layer)
                width += net.growth
            stages[f"stage{stage}"] = nn.Sequential(dense)
        stages["activate"] = activation(width, ndim)
        return MeanNetwork(in_shape, n_outputs, nn.Sequential(stages), n_features=width)
