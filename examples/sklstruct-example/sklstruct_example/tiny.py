"""A small network of frame convolutions."""

from itertools import pairwise

from torch import nn

from sklstruct.layers import FrameConv
from sklstruct.plugins import make_frame


class Tiny(nn.Module):
    """Frame convolutions with rectifiers, the mean over space, and one linear layer.

    Parameters
    ----------
    in_shape : tuple of int
        Shape of one sample, (channels, *spatial).
    n_outputs : int
    frame : str or frame family, default="dct"
    width : int, default=16
        Number of channels of every layer.
    depth : int, default=3
        Number of layers.
    """

    def __init__(self, in_shape, n_outputs, *, frame="dct", width=16, depth=3):
        super().__init__()
        channels, *spatial = in_shape
        family = make_frame(frame)
        widths = [channels] + [width] * depth
        self.convs = nn.ModuleList(
            FrameConv(n_in, n_out, family, ndim=len(spatial)) for n_in, n_out in pairwise(widths)
        )
        self.head = nn.Linear(width, n_outputs)

    def forward(self, x):
        """Map (n, channels, *spatial) to (n, n_outputs)."""
        for conv in self.convs:
            x = conv(x).relu()
        return self.head(x.flatten(2).mean(dim=2))
