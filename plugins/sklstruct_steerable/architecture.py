"""The residual network of dynamic and static blocks, in two and three dimensions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from sklstruct.estimators import SteerableArchitecture
from sklstruct.frames import GaussianDerivatives
from sklstruct.layers import FrameConv, MeanNetwork, ResidualBlock, activation, pointwise
from sklstruct.params import WIDTHS, one_of, param
from sklstruct.plugins import make_frame
from sklstruct.training import FEW_SAMPLES

SMALL: dict[str, Any] = {
    "frame": (GaussianDerivatives(order=2),),
    "widths": (16, 32, 64),
    **FEW_SAMPLES,
    "weight_decay": 0.01,
}


class SteerableResNet(SteerableArchitecture):
    r"""Residual network in which dynamic and static blocks take turns.

    .. math::
        h' = P \rho(h) + w \star \rho(D \rho(h)), \qquad
        h'' = h' + w'' \star \rho(w' \star \rho(h')), \qquad
        w \in \mathrm{span}(\psi_1, \dots, \psi_K)

    with dynamic steerable blocks D, norm and rectifier :math:`\rho` and 1x1 convolutions P; such a
    pair for each width, halved extents in between, and in the end the mean over space and a linear
    layer.  The thesis has the blocks; supports, scale, widths and training are ours.

    Parameters
    ----------
    preset : str, default="small"
        Where parameters come from that are None, those of the training too: for 100 to 5000
        samples.
    frame : str, frame family, or sequence of these, default="gaussian"
        Of all convolutions, or for each width; one that rotations steer, but for ``pose="fixed"``.
    widths : sequence of int, default=None
        Channels of each pair of blocks; (16, 32, 64).

    See Also
    --------
    SteerableResNetClassifier, SteerableResNetRegressor : The estimators that train it.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017.

    Examples
    --------
    >>> from sklstruct_steerable.architecture import SteerableResNet
    >>> for pose in ("learned", "fixed"):
    ...     network = SteerableResNet(widths=(8,), pose=pose).build((1, 28, 28), n_outputs=10)
    ...     print(sum(weights.numel() for weights in network.parameters()))
    2803
    1754
    """

    preset: str = param("small", one_of("small"))
    frame: Any = param("gaussian", resolve=make_frame)
    widths: Sequence[int] | None = param(None, WIDTHS | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"small": SMALL}

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MeanNetwork:
        """Return the network."""
        net, ndim = self.in_force(), len(in_shape) - 1
        families = self.frames(len(net.widths))
        n_in = net.widths[0]
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["stem"] = FrameConv(in_shape[0], n_in, families[0], ndim=ndim, bias=False)
        for number, (n_out, frame) in enumerate(zip(net.widths, families, strict=True), start=1):
            stride = 2 if number > 1 else 1
            changes = n_in != n_out or stride > 1
            dynamic, static = OrderedDict[str, nn.Module](), OrderedDict[str, nn.Module]()
            dynamic["steered"] = net.dynamic(n_in, n_out, frame, ndim, stride)
            static["conv1"] = FrameConv(n_out, n_out, frame, ndim=ndim, bias=False)
            for layers in (dynamic, static):
                layers["activate"] = activation(n_out, ndim)
                layers["conv2"] = FrameConv(n_out, n_out, frame, ndim=ndim, bias=False)
            stages[f"dynamic{number}"] = ResidualBlock(
                activation(n_in, ndim),
                nn.Sequential(dynamic),
                pointwise(n_in, n_out, ndim, stride) if changes else None,
            )
            stages[f"static{number}"] = ResidualBlock(
                activation(n_out, ndim), nn.Sequential(static), None
            )
            n_in = n_out
        stages["activate"] = activation(n_in, ndim)
        return MeanNetwork(in_shape, n_outputs, nn.Sequential(stages), n_features=n_in)
