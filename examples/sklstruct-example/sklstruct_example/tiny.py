"""A small network of frame convolutions, and its classifier."""

from itertools import pairwise
from typing import Any

from torch import nn

from sklstruct import Architecture
from sklstruct.estimators import NetworkClassifier
from sklstruct.layers import FrameConv, MeanNetwork
from sklstruct.params import integer, param
from sklstruct.plugins import make_frame


class Tiny(Architecture):
    """Frame convolutions with rectifiers, the mean over space, and one linear layer.

    Parameters
    ----------
    frame : str or frame family, default="dct"
    width, depth : int, default=16 and 3
        Number of channels of every layer, and number of layers.
    """

    frame: Any = param("dct", resolve=make_frame)
    width: int = param(16, integer(1))
    depth: int = param(3, integer(1))

    def build(self, in_shape, n_outputs):
        """Return the network."""
        widths, stages = [in_shape[0]] + [self.width] * self.depth, nn.Sequential()
        for channels in pairwise(widths):
            conv = FrameConv(*channels, self.frame, ndim=len(in_shape) - 1)
            stages.append(nn.Sequential(conv, nn.ReLU()))
        return MeanNetwork(in_shape, n_outputs, stages)


class TinyClassifier(Tiny, NetworkClassifier):
    """Classifier with a small network."""
