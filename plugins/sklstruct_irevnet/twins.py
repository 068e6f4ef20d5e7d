"""What an i-RevNet is compared with: networks of as many bottlenecks and parameters."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from functools import partial
from math import inf
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sklstruct.layers import (
    BATCH_NORM,
    CONV,
    Coupling,
    MeanNetwork,
    Network,
    ReversibleSequential,
    channels_last,
)

from .architecture import NARROWER, IRevNet, bottleneck

WIDEST = 2**13
INNER = (
    NARROWER,
    2.0,
    2.5,
    3.0,
    3.5,
    4.5,
    5.0,
    6.0,
    8.0,
)  # times fewer channels within a bottleneck
CLOSE = 0.02  # relative


class Residual(nn.Module):
    r"""Residual block: :math:`P x + F x`, with a 1x1 convolution P where shapes differ.

    Parameters
    ----------
    residual : nn.Module
        F.
    project : nn.Module
        P.
    """

    def __init__(self, residual: nn.Module, project: nn.Module) -> None:
        super().__init__()
        self.residual, self.project = residual, project
        self.stride = getattr(project, "stride", 1)  # of both ways, for who asks where places lie

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, channels_out, *spatial_out)."""
        x = channels_last(x)  # norms and convolutions are faster so
        return self.project(x) + self.residual(x)


class ResNetTwin(IRevNet):
    r"""Residual network with as many bottlenecks and parameters as an i-RevNet.

    .. math:: h_{j+1} = P_j h_j + F_j h_j

    with the bottlenecks F of the i-RevNet and 1x1 convolutions P where a stage begins, after one
    convolution that widens the samples.  Channels double with every stride; how many there are
    follows from the number of parameters, which agree within 5 % from some thousands on.

    Parameters
    ----------
    preset, blocks, widths, strides, kernels, initial_downsampling, zeros, order, dropout
        Of the ``IRevNet`` whose twin it is.
    store_activations, mixed_precision : bool, default=False
        As of ``IRevNet``; a residual network always stores activations.

    See Also
    --------
    RevNet : Its stages are reversible, but for their beginnings.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun. Identity mappings in deep residual networks. ECCV, 2016.

    Examples
    --------
    >>> from sklstruct_irevnet.architecture import IRevNet
    >>> from sklstruct_irevnet.twins import ResNetTwin
    >>> networks = [make().build((3, 32, 32), 10) for make in (IRevNet, ResNetTwin)]
    >>> [sum(weights.numel() for weights in network.parameters()) for network in networks]
    [151362, 153728]
    """

    _divisor: ClassVar[int] = 1  # of the channels

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return the network."""
        with torch.device("meta"):
            wanted = n_parameters(super().build(in_shape, n_outputs))
            build = partial(self._build, in_shape, n_outputs)
            widths = range(self._divisor, WIDEST, self._divisor)
            larger = bisect_left(widths, wanted, key=lambda width: n_parameters(build(width)))
            near, best = widths[max(0, larger - 2) : larger + 2], (inf, 0, 0.0)
            for narrower in INNER:
                networks = ((width, narrower) for width in near)
                best = min(
                    best, *((abs(n_parameters(build(*n)) / wanted - 1), *n) for n in networks)
                )
                if best[0] < CLOSE:  # else another shape of bottlenecks is worth it
                    break
        return build(*best[1:])

    def _build(
        self, in_shape: tuple[int, ...], n_outputs: int, width: int, narrower: float = NARROWER
    ) -> Network:
        """Return the network whose first stage, and whose bottlenecks, are that wide."""
        net, ndim = self.in_force(), len(in_shape) - 1
        step = net.initial_downsampling
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        size = max(3, step)
        layers["widen"] = CONV[ndim](in_shape[0], width, size, step, padding=size // 2, bias=False)
        strides, blocks = self._stages()
        n_in = width
        for stage, (n_blocks, stride) in enumerate(zip(blocks, strides, strict=True), start=1):
            n_out = n_in * stride
            if n_out != n_in:
                project = CONV[ndim](n_in, n_out, 1, stride, bias=False)
                residual = bottleneck(n_in, n_out, net, stride, ndim, narrower=narrower)
                layers[f"shrink{stage}"] = Residual(residual, project)
                n_blocks -= 1
            layers[f"stage{stage}"] = self._stage(n_out, n_blocks, net, ndim, narrower)
            n_in = n_out
        layers |= {"norm": BATCH_NORM[ndim](n_in), "relu": nn.ReLU()}
        return MeanNetwork(in_shape, n_outputs, nn.Sequential(layers), n_features=n_in)

    def _stage(self, width: int, n_blocks: int, net: Any, ndim: int, narrower: float) -> nn.Module:
        """Return bottlenecks one after another, at one resolution."""
        shape = width, width, net, 1, ndim
        blocks = (bottleneck(*shape, narrower=narrower) for _ in range(n_blocks))
        return nn.Sequential(*(Residual(block, nn.Identity()) for block in blocks))


class RevNet(ResNetTwin):
    r"""Reversible residual network with as many bottlenecks and parameters as an i-RevNet.

    Within a stage two halves of the channels are coupled as in an i-RevNet, and their activations
    need not be stored; a stage begins with a residual block of the ``ResNetTwin``, which loses
    information.

    Parameters
    ----------
    preset, blocks, widths, strides, kernels, initial_downsampling, zeros, order, dropout
        Of the ``IRevNet`` whose twin it is.
    store_activations, mixed_precision : bool, default=False
        As of ``IRevNet``.

    See Also
    --------
    IRevNet : Loses nothing where this one pools.
    ResNetTwin : As many bottlenecks, not reversible.

    References
    ----------
    A. N. Gomez, M. Ren, R. Urtasun and R. B. Grosse. The reversible residual network:
    backpropagation without storing activations. NeurIPS, 2017.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_irevnet.twins import RevNet
    >>> network = RevNet().build(in_shape=(3, 32, 32), n_outputs=10)
    >>> network(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    _divisor: ClassVar[int] = 2  # two halves

    def _stage(self, width: int, n_blocks: int, net: Any, ndim: int, narrower: float) -> nn.Module:
        """Return couplings one after another, at one resolution."""
        shape = width // 2, width // 2, net, 1, ndim
        blocks = (bottleneck(*shape, narrower=narrower) for _ in range(n_blocks))
        chain = map(Coupling, blocks)
        return ReversibleSequential(*chain, store_activations=net.store_activations)


def n_parameters(network: nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
