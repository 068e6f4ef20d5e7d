"""What residual and densely connected networks on frames have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn

from sklstruct import Architecture
from sklstruct.frames import Jet, build_frame
from sklstruct.layers import FrameConv
from sklstruct.params import FLAG, one_of, param, real
from sklstruct.plugins import make_frame

IMAGE = ("gaussian", "framelet")
INNER = 4  # times more channels around a bottleneck than within it, or within a dense one


class FrameNetwork(Architecture):
    """Base of networks of many 3x3 convolutions, whose frames alternate from layer to layer.

    Parameters
    ----------
    frame : str, frame family, or sequence of these, default="image"
        Of all 3x3 convolutions; those of a sequence take turns from layer to layer.  "image" are
        Gaussian derivatives and framelets in turn.  "gaussian" is the tensor set of orders 0 to 2
        along each axis at scale 0.8, "gaussian_first" the first nine by total order, "naive" are
        monomials, and "pixel" is the unstructured twin: all have as many parameters.
    bottleneck : bool, default=None
        Whether 1x1 convolutions surround the 3x3 convolutions; False.
    dropout : float, default=None
        Before every 3x3 convolution but the first; 0.
    learn_scale : bool or "channel", default=False
        Whether the scales of Gaussians are learned too, by one factor of a layer, or one of each
        output channel; see ``FrameConv``.  Frames without a scale stay as they are.
    """

    frame: Any = param("image", resolve=make_frame)
    bottleneck: bool | None = param(None, FLAG | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)
    learn_scale: bool | str = param(False, FLAG | one_of("channel"))

    def families(self) -> Sequence[Any]:
        """Return the frame families that take turns."""
        named = self.frame if isinstance(self.frame, (tuple, list)) else [self.frame]
        pairs = (IMAGE if isinstance(one, str) and one == "image" else [one] for one in named)
        choices = [choice for pair in pairs for choice in pair]
        if not choices:
            raise ValueError(f"frame must have at least one entry, got {self.frame!r}.")
        return [make_frame(choice, *self.published()["frame"]) for choice in choices]

    def resolved(self, name: str) -> Any:
        """Return the object, or the objects, that a parameter stands for."""
        if name != "frame":
            return super().resolved(name)
        first, *others = self.families()
        return (first, *others) if others else first

    def convolution(self, ndim: int) -> Callable[..., nn.Module]:
        """Return what makes a convolution of so many channels, on the frame whose turn it is."""
        frames = cycle([build_frame(family, ndim) for family in self.families()])

        def make(n_in: int, n_out: int, stride: int = 1) -> FrameConv:
            frame = next(frames)
            learn_scale = self.learn_scale if isinstance(frame.functions, Jet) else False
            options: dict[str, Any] = {"stride": stride, "learn_scale": learn_scale}
            return FrameConv(n_in, n_out, frame, bias=False, **options)

        return make


class DenseLayer(nn.Sequential):
    r"""A few channels more, computed from all that are there: :math:`y = (x, F x)`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, channels + growth, *spatial)."""
        return torch.cat([x, super().forward(x)], dim=1)
