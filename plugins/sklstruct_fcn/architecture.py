"""The fully convolutional frame network, in one to three dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.frames import GaussianDerivatives
from sklstruct.layers import BATCH_NORM, DenseNetwork, FrameConv
from sklstruct.params import FLAG, WIDTHS, one_of, param, real
from sklstruct.plugins import make_frame


class FrameFCN(Architecture):
    r"""Stages of frame convolution, norm and rectifier at full resolution, and a linear layer.

    .. math::
        h_l = \max(0, \mathrm{norm}(w_l \star h_{l-1})), \qquad
        w_l \in \mathrm{span}(\psi_1, \dots, \psi_K)

    Nothing is pooled: an output is given at every place, and what it sees around that place grows
    by the scales of the frames, in place of strides or holes.

    Parameters
    ----------
    frame : str, frame family, or sequence of these, default="gaussian"
        Of every stage, or one for each.  A name stands for the family with the orders, the scales
        and the supports of the default: ``frame="pixel"`` is the twin with free kernels.
    widths : sequence of int, default=(32, 32, 32)
        Channels of each stage.
    dropout : float, default=0.0
        Of whole channels, before the linear layer.
    learn_scale : bool or "channel", default=False
        Whether the scales of the Gaussians are learned too, by one factor of a layer, or one of
        each output channel; see ``FrameConv``.  Free kernels have none.

    See Also
    --------
    StructuredMapClassifier, StructuredMapRegressor : Train it.

    References
    ----------
    J. Long, E. Shelhamer and T. Darrell. Fully convolutional networks for semantic
    segmentation. CVPR, 2015.

    Examples
    --------
    >>> from sklstruct import StructuredMapClassifier
    >>> from sklstruct_fcn.architecture import FrameFCN
    >>> network = FrameFCN(widths=(8, 8)).build(in_shape=(1, 16, 16), n_outputs=2)
    >>> sum(weights.numel() for weights in network.parameters())
    802
    >>> model = StructuredMapClassifier(architecture=FrameFCN(frame="pixel"))
    """

    frame: Any = param("gaussian", resolve=make_frame)
    widths: Sequence[int] = param((32, 32, 32), WIDTHS)
    dropout: float = param(0.0, real(least=0, below=1))
    learn_scale: bool | str = param(False, FLAG | one_of("channel"))

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": {
            "frame": (
                GaussianDerivatives(order=2),
                GaussianDerivatives(order=2, scales=(1.0, 2.0), size=9),
                GaussianDerivatives(order=2, scales=(1.0, 2.0), size=9),
            ),
            "label_smoothing": 0.0,  # borders are where labels are the least sure already
        }
    }
    dense: ClassVar[bool] = True

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> DenseNetwork:
        """Return the network."""
        net = self.in_force()
        ndim, channels = len(in_shape) - 1, pairwise([in_shape[0], *net.widths])
        stages = nn.Sequential()
        for (n_in, n_out), frame in zip(channels, self.frames(len(net.widths)), strict=True):
            learned = not getattr(frame, "free", False) and net.learn_scale
            # norms have a bias
            conv = FrameConv(n_in, n_out, frame, ndim=ndim, bias=False, learn_scale=learned)
            stages.append(nn.Sequential(conv, BATCH_NORM[ndim](n_out), nn.ReLU()))
        return DenseNetwork(n_outputs, stages, net.widths[-1], ndim, net.dropout)
