"""The harmonic network, for images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from sklstruct import Architecture
from sklstruct.frames import build_frame
from sklstruct.layers import MeanNetwork
from sklstruct.params import SEQUENCE, WIDTHS, Rule, integer, one_of, param, real
from sklstruct.plugins import make_frame

from .convolution import HarmonicConv
from .layers import CentredPool, MagnitudeNorm
from .presets import PRESETS

SMALL = 4  # extents up to this are not pooled any further
ORDERS = Rule(
    "a sequence of distinct integers, 0 among them",
    lambda v: (
        SEQUENCE.holds(v) and all(map(integer().holds, v)) and len(set(v)) == len(v) and 0 in v
    ),
)


class HNet(Architecture):
    r"""Harmonic network: maps that turn with the image, up to means that stay as they are.

    .. math::
        x_b^{l+1} = \frac{x}{|x|} \max(0, \mathrm{norm}(|x|)), \qquad
        x = \sum_a w_{b-a} \star x_a^l, \qquad
        w_m = e^{i \beta} \sum_q c_q \, R_q(r) \, e^{i m \varphi}

    Complex maps have rotation orders: where the image turns by :math:`\theta`, those of order m
    turn along and get :math:`e^{i m \theta}`.  Magnitudes of the last maps, of order 0, are
    rectified and averaged over all places; a linear layer reads these means.  Between stages means
    of neighbours halve the extents while one exceeds 4.  Outputs do not change when samples turn
    by right angles, but for rounding, whatever their extents.  At other angles pixels, pooling and
    borders are seen: of the variance of the means between smooth images, 0.1 % is what turning
    them changes, with the first weights.  For images only.

    Parameters
    ----------
    preset : {"small", "paper"}, default="small"
        Where parameters come from that are None, those of the training too.  "small": for some
        hundred samples.  "paper": widths, depth and training as in the authors' code for rotated
        MNIST, with kernels of 5x5 and 4 rings.  Other than there, the rings fit into the support,
        the last layer has as many channels as the one before and a linear layer reads it, every
        layer has a batch norm, phases learn at the rate of all, and learning rates fall along a
        cosine.
    frame : str, frame family, or sequence of these, default="circular_harmonics"
        Of every stage, or one for each; "solid_harmonics", or a family with other rings.
    widths : sequence of int, default=None
        Complex channels of each order in each stage; (8, 16, 32).
    depth : int or sequence of int, default=None
        Convolutions in each stage; (1, 1, 2).
    orders : sequence of int, default=None
        Rotation orders of the maps; (0, 1).
    dropout : float, default=None
        Of the means, before the linear layer; 0.

    See Also
    --------
    sklstruct.frames.CircularHarmonics : The filters.

    References
    ----------
    D. E. Worrall, S. J. Garbin, D. Turmukhambetov and G. J. Brostow. Harmonic networks: deep
    translation and rotation equivariance. CVPR, 2017.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import StructuredClassifier
    >>> from sklstruct_hnet.architecture import HNet
    >>> model = StructuredClassifier(architecture=HNet(widths=(4, 8)))
    >>> network = model.architecture.build(in_shape=(1, 28, 28), n_outputs=10).eval()
    >>> x = torch.rand(2, 1, 28, 28)
    >>> torch.allclose(network(x.rot90(1, (2, 3))), network(x), atol=1e-5)
    True
    """

    preset: str = param("small", one_of(*PRESETS))
    frame: Any = param("circular_harmonics", resolve=make_frame)
    widths: Sequence[int] | None = param(None, WIDTHS | None)
    depth: int | Sequence[int] | None = param(None, WIDTHS | integer(1) | None)
    orders: Sequence[int] | None = param(None, ORDERS | None)
    dropout: float | None = param(None, real(least=0, below=1) | None)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    def build(self, in_shape: tuple[int, ...], n_outputs: int) -> MeanNetwork:
        """Return the network.

        Raises
        ------
        ValueError
            If samples are no images, or the frame does not consist of harmonics.
        """
        net = self.in_force()
        if len(in_shape) != 3:
            raise ValueError(
                f"samples of HNet must be images, (channels, height, width), got {in_shape}: "
                "its maps have the rotations of the plane."
            )
        n_in, extents = in_shape[0], list(in_shape[1:])
        n_stages, orders = len(net.widths), tuple(net.orders)
        families, depths = net.frames(n_stages), self.of_stages("depth", n_stages)
        options: dict[str, Any] = {"in_orders": (0,), "out_orders": orders, "real": True}
        stages = nn.Sequential()
        for width, depth, family in zip(net.widths, depths, families, strict=True):
            frame = build_frame(family, 2)
            layers: list[nn.Module] = []
            if len(stages) and max(extents) > SMALL:
                layers, extents = [CentredPool(extents)], [-(-extent // 2) for extent in extents]
            for _ in range(depth):
                conv = HarmonicConv(n_in, width, frame, **options)
                layers += [conv, MagnitudeNorm(width, len(orders))]
                n_in, options = width, {"in_orders": orders, "out_orders": orders}
            stages.append(nn.Sequential(*layers))
        last = HarmonicConv(n_in, n_in, frame, in_orders=orders, out_orders=(0,))
        stages.append(nn.Sequential(last, MagnitudeNorm(n_in, 1, keep_phases=False)))
        return MeanNetwork(in_shape, n_outputs, stages, n_features=n_in, dropout=net.dropout)
