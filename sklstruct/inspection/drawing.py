"""How filters and their names are drawn, the same in every display."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..frames import Frame
from .display import Axes, Place

DIVERGING = "RdBu_r"  # white at zero, and readable by colour-blind eyes
POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
INK, FAINT = "#333333", "#bbbbbb"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TINY, SMALL, MEDIUM, LARGE = 6, 7, 8, 10  # points
LETTER, LEADING = 0.065, 0.22  # width and distance of lines of medium text, in inches
PLANES = "planes yx, zx, zy through the sample of largest magnitude"


def draw_filter(
    ax: Axes,
    values: NDArray[Any],
    label: str = "",
    *,
    limit: float = 0,
    lowest: float | None = None,
    colours: str = DIVERGING,
    stacked: bool = False,
    rotation: float = 0,
) -> None:
    """Draw a filter: a curve in 1D, an image in 2D, three planes in 3D.

    Parameters
    ----------
    ax : matplotlib Axes
    values : ndarray, shape (*support,)
    label : str, default=""
        Name of the atom, which is written above, turned by ``rotation`` degrees.
    limit : float, default=0
        What the ends of the colours stand for, with zero in the middle; if 0, the largest
        magnitude.
    lowest : float, default=None
        What the lower end stands for; None is minus the limit.
    colours : str, default="RdBu_r"
        Those of images, from the lower end to the upper one.
    stacked : bool, default=False
        Whether the planes of a volume stand above one another, not side by side.
    rotation : float, default=0
    """
    ax.set_title(pretty(label), fontsize=SMALL, color=INK, pad=2, rotation=rotation)
    limit = limit or np.abs(values).max() or 1.0
    if values.ndim == 1:
        x = np.arange(len(values)) - len(values) // 2
        ax.axhline(0, color=FAINT, linewidth=0.6)
        ax.plot(x, values, color=COLOURS[0], linewidth=1, marker=".", markersize=3)
        ax.set_ylim(-1.15 * limit, 1.15 * limit)
    else:
        planes = [values] if values.ndim == 2 else peak_planes(values)
        ends = -limit if lowest is None else lowest, limit
        draw_planes(ax, planes, ends, colours, stacked)
    bare(ax)
    ax.spines[:].set_visible(values.ndim == 1)


def draw_planes(
    ax: Axes,
    planes: list[NDArray[Any]],
    ends: tuple[float, float],
    colours: str = DIVERGING,
    stacked: bool = False,
) -> None:
    """Draw images in one axes, each in a thin frame of its own."""
    from matplotlib.patches import Rectangle

    step = 1.1 * max(max(plane.shape) for plane in planes)
    for place, plane in enumerate(planes):
        height, width = plane.shape[:2]  # in colour, there is a third axis
        left, top = (0, place * step) if stacked else (place * step, 0)
        extent = left, left + width, top + height, top
        low, high = ends
        ax.imshow(plane, colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")
        edge: dict[str, Any] = {"edgecolor": FAINT, "linewidth": 0.5, "clip_on": False}
        ax.add_patch(Rectangle((left, top), width, height, fill=False, **edge))
    ax.set(xlim=(0, left + width), ylim=(top + height, 0))


def peak_planes(volume: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the planes yx, zx and zy through the sample of largest magnitude.

    Planes through the centre would be blank for odd filters.
    """
    magnitude = np.abs(volume) / (np.abs(volume).max() or 1)
    peak = magnitude.round(9).argmax()  # of equal samples the first, whatever rounding did
    return planes_through(volume, np.unravel_index(peak, volume.shape))


def planes_through(volume: NDArray[Any], place: Sequence[Any]) -> list[NDArray[Any]]:
    """Return the planes yx, zx and zy through a place."""
    return [volume.take(index, axis) for axis, index in enumerate(place)]


def pretty(label: str) -> str:
    """Return the name of an atom as text for matplotlib, without its scale."""
    name = label.partition(" @")[0].replace("$", r"\$")
    return re.sub(r"^([A-Za-z])_([xyz]+)$", r"$\1_{\2}$", name)


def bare(ax: Axes) -> None:
    """Take ticks away, and make the frame faint."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color=FAINT, linewidth=0.5)


def faint_ticks(ax: Axes) -> None:
    """Let ticks be there for whoever looks for them."""
    ax.tick_params(labelsize=SMALL, length=2, color=FAINT, labelcolor=INK)


def scale_name(scale: float) -> str:
    """Return what stands beside atoms of a scale."""
    return f"\N{GREEK SMALL LETTER SIGMA} = {scale:g}"


def order_colour(order: int) -> str:
    """Return the colour of an order."""
    return COLOURS[int(order) % len(COLOURS)]


def scale_runs(frame: Frame) -> list[tuple[int, int, float]]:
    """Return (start, stop, scale) of the runs of atoms of one scale; none if all are alike."""
    if len(np.unique(frame.scales)) == 1:  # of several nan too
        return []
    edges = np.flatnonzero(np.diff(frame.scales)) + 1
    bounds = [0, *edges.tolist(), len(frame)]
    return [(a, b, float(frame.scales[a])) for a, b in pairwise(bounds)]


def heading_size(lines: list[str]) -> tuple[float, float]:
    """Return width and height, in inches, that ``Sheet.heading`` needs."""
    letters = max(1.45 * len(lines[0]), *map(len, lines))  # bold and large ones are wider
    return LETTER * letters, LEADING * (len(lines) + 0.8)


def in_rows(n: int, columns: int, step: float, row: float) -> list[tuple[float, float]]:
    """Return where pictures stand that follow one another in rows, (left, top)."""
    return [(number % columns * step, number // columns * row) for number in range(n)]


class Sheet:
    """A figure, or axes, with places in inches from the upper left corner.

    Parameters
    ----------
    width, height : float
        Size that places refer to; that of the figure, if it is new.
    on : matplotlib Axes, Figure or SubFigure, default=None
        A new figure, unknown to pyplot, if None.
    """

    def __init__(self, width: float, height: float, on: Any = None) -> None:
        from matplotlib.figure import Figure

        # Inches, not shares of a figure: text has a size in inches too, and must not overlap.
        self.width, self.height = width, height
        self.on = Figure(figsize=(width, height)) if on is None else on
        # Axes that are given stay what they are to their figure, and lend their place.
        if is_axes(on):
            on.set_axis_off()
            self._add, self._transform = on.inset_axes, on.transAxes
        else:
            self._add, self._transform = self.on.add_axes, self.on.transSubfigure

    @classmethod
    def headed(
        cls, heading: list[str], left: float, width: float, height: float, on: Any
    ) -> tuple[Self, float]:
        """Return a sheet with lines at the top, and how high they are.

        It is as high as they and what is below, and as wide as the wider of both.
        """
        text, head = heading_size(heading)
        sheet = cls(max(width, left + text), head + height, on)
        sheet.heading(left, heading)
        return sheet, head

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return new axes at a place, of a size in inches."""
        w, h = self.width, self.height
        return self._add((left / w, 1 - (top + height) / h, width / w, height / h))

    def heading(self, left: float, lines: list[str]) -> None:
        """Write lines at the top, the first one bold."""
        for place, line in enumerate(lines):
            style: dict[str, Any] = {} if place else {"fontsize": LARGE, "weight": "bold"}
            self.text(left, LEADING * (place + 1), line, **style)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Write text at a place; its style is that of ``Figure.text``."""
        defaults = {"fontsize": MEDIUM, "color": INK, "va": "center"}
        place = left / self.width, 1 - top / self.height
        self.on.text(*place, text, defaults | {"transform": self._transform} | style)


def one_axes(
    place: Place, size: tuple[float, float], box: tuple[float, float, float, float]
) -> Axes:
    """Return axes that are given to draw on, or else new ones at a place in inches."""
    return place if is_axes(place) else Sheet(*size, place).axes(*box)  # type: ignore[return-value]


def is_axes(place: Place) -> bool:
    """Whether a place to draw on is axes, and no figure."""
    return hasattr(place, "inset_axes")
