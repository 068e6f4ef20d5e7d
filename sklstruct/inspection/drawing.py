"""How filters and their names are drawn, the same in every display."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..frames import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .display import AnyFigure

DIVERGING = "RdBu_r"  # white at zero, and readable by colour-blind eyes
POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
INK, FAINT = "#333333", "#bbbbbb"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SMALL, MEDIUM, LARGE = 7, 8, 10  # points
PLANES = "planes yx, zx, zy through the sample of largest magnitude"


def draw_filter(ax: Axes, values: NDArray[Any], limit: float = 0, stacked: bool = False) -> None:
    """Draw a filter: a curve in 1D, an image in 2D, three planes in 3D.

    Parameters
    ----------
    ax : matplotlib Axes
    values : ndarray, shape (*support,)
    limit : float, default=0
        What the ends of the colours stand for, with zero in the middle; if 0, the largest
        magnitude.
    stacked : bool, default=False
        Whether the planes of a volume stand above one another, not side by side.
    """
    limit = limit or np.abs(values).max() or 1.0
    if values.ndim == 1:
        x = np.arange(len(values)) - len(values) // 2
        ax.axhline(0, color=FAINT, linewidth=0.6)
        ax.plot(x, values, color=COLOURS[0], linewidth=1, marker=".", markersize=3)
        ax.set_ylim(-1.15 * limit, 1.15 * limit)
    else:
        image = values if values.ndim == 2 else planes(values, stacked)
        ax.imshow(image, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color=FAINT, linewidth=0.5)
    ax.spines[:].set_visible(values.ndim < 3)


def planes(volume: NDArray[Any], stacked: bool = False) -> NDArray[Any]:
    """Return the planes yx, zx and zy through the sample of largest magnitude, as one image.

    Planes through the centre would be blank for odd filters.  Gaps between planes are nan.
    """
    magnitude = np.abs(volume) / (np.abs(volume).max() or 1)
    peak = magnitude.round(9).argmax()  # of equal samples the first, whatever rounding did
    z, y, x = np.unravel_index(peak, volume.shape)
    extent = max(volume.shape)
    tiles = np.full((3, extent + stacked, extent + (not stacked)), np.nan)
    for tile, plane in zip(tiles, (volume[z], volume[:, y], volume[:, :, x]), strict=True):
        tile[: plane.shape[0], : plane.shape[1]] = plane
    return np.concatenate(list(tiles), axis=0 if stacked else 1)


def pretty(label: str) -> str:
    """Return the name of an atom as text for matplotlib, without its scale."""
    name = label.partition(" @")[0].replace("$", r"\$")
    return re.sub(r"^([A-Za-z])_([xyz]+)$", r"$\1_{\2}$", name)


def order_colour(order: int) -> str:
    """Return the colour of an order."""
    return COLOURS[order % len(COLOURS)]


def scale_runs(frame: Frame) -> list[tuple[int, int, float]]:
    """Return (start, stop, scale) of the runs of atoms of one scale; none if all are alike."""
    if len(np.unique(frame.scales)) == 1:  # of several nan too
        return []
    edges = np.flatnonzero(np.diff(frame.scales)) + 1
    bounds = [0, *edges.tolist(), len(frame)]
    return [(a, b, float(frame.scales[a])) for a, b in pairwise(bounds)]


class Sheet:
    """A figure with places in inches from its upper left corner.

    Parameters
    ----------
    width, height : float
        Size that places refer to; that of the figure, if it is new.
    figure : matplotlib Figure or SubFigure, default=None
        A new one, unknown to pyplot, if None.
    """

    def __init__(self, width: float, height: float, figure: AnyFigure | None = None) -> None:
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height)) if figure is None else figure

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes at a place, of a size in inches."""
        w, h = self.width, self.height
        return self.figure.add_axes((left / w, 1 - (top + height) / h, width / w, height / h))

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Write text at a place; its style is that of ``Figure.text``."""
        style = {"fontsize": MEDIUM, "color": INK, "va": "center"} | style
        self.figure.text(left / self.width, 1 - top / self.height, text, **style)
