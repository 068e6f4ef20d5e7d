"""Lines of several estimators in one picture: how they look, and how they are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .display import Axes
from .drawing import COLOURS, FAINT, INK, LETTER, MEDIUM

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.lines import Line2D

LEADER = {"arrowstyle": "-", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4}
MARKERS = "osD^vP*"
DASHES = ("-", "--", "-.", ":")
LINE, SAMPLE = 0.2, 0.42  # inches: distance of names, and room for a sample of a line
TICK_GAP = 0.07  # least distance of labels as a share of their axis


def styles(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return how the line of each estimator is drawn, the same in all pictures of a study."""
    # Dashes too: a picture may be printed, or read by colour-blind eyes.
    looks = zip(names, cycle(COLOURS), cycle(DASHES), strict=False)
    return {name: {"color": colour, "ls": ls, "linewidth": 1.5} for name, colour, ls in looks}


def markers(names: Iterable[str], **style: Any) -> dict[str, dict[str, Any]]:
    """Return how curves with few points are drawn: as lines, with markers at the points."""
    return {
        name: look | {"marker": MARKERS[place % len(MARKERS)], "markersize": 5} | style
        for place, (name, look) in enumerate(styles(names).items())
    }


def legend_size(names: Iterable[str], heading: str = "") -> tuple[float, float]:
    """Return width and height, in inches, that ``name_below`` needs."""
    names = [heading, *names] if heading else [*names]
    return SAMPLE + LETTER * max(map(len, names)), LINE * len(names)


def name_below(
    ax: Axes, top: float, shown: Mapping[str, Mapping[str, Any]], heading: str = ""
) -> None:
    """Name lines below the axes, one under the other, each with a sample of it.

    Below, as names are long and telephones narrow.

    Parameters
    ----------
    ax : matplotlib Axes
    top : float
        Distance of the names from the axes, in inches.
    shown : mapping from str to mapping
        Styles of the lines by name.
    heading : str, default=""
        What stands above the names.
    """
    inches = ax.bbox.transformed(ax.figure.dpi_scale_trans.inverted())
    left, right, text = np.array([0.0, 0.3, SAMPLE]) / inches.width
    where: dict[str, Any] = {"transform": ax.transAxes, "va": "center", "fontsize": MEDIUM}
    lines: list[tuple[str, Mapping[str, Any] | None]] = [(heading, None)] if heading else []
    for row, (label, style) in enumerate([*lines, *shown.items()]):
        height = -(top + (row + 0.5) * LINE) / inches.height
        ax.text(text if style else left, height, label, color=INK, parse_math=False, **where)
        if style:
            ax.plot([left, right], [height] * 2, transform=ax.transAxes, clip_on=False, **style)


def draw_band(
    ax: Axes, table: pd.DataFrame, over: str, mean: str, style: Mapping[str, Any]
) -> None:
    """Draw a column of means over another, with a band from low to high."""
    ax.plot(table[over], table[mean], **style)
    band: dict[str, Any] = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
    ax.fill_between(table[over], table["low"], table["high"], **band)


def quieten(ax: Axes, grid: Literal["both", "x", "y"] = "y") -> None:
    """Make ticks and lines of the axes faint, and take away those that nobody reads."""
    ax.tick_params(labelsize=MEDIUM, length=3, color=FAINT, labelcolor=INK)
    ax.grid(axis=grid, color=FAINT, linewidth=0.4)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)


def legible(sizes: NDArray[Any], gap: float = TICK_GAP) -> list[str]:
    """Return labels of ascending ticks on a logarithmic axis, empty where there is no room."""
    places = np.log(sizes / sizes[0]) / (np.log(sizes[-1] / sizes[0]) or 1)
    labels, last = [], -np.inf
    for size, place in zip(sizes, places, strict=True):
        fits = place - last > gap
        labels.append(f"{size:g}" if fits else "")
        last = place if fits else last
    return labels


def label_ends(ax: Axes, lines: dict[str, Line2D]) -> None:
    """Write the name of every line to the right of its end, with no two names overlapping."""
    ax.autoscale_view()  # which matplotlib puts off, and places are shares of the axes
    ends = np.array([np.asarray(line.get_xydata())[-1] for line in lines.values()])
    heights = ax.transAxes.inverted().transform(ax.transData.transform(ends))[:, 1]
    axis_inches = ax.bbox.transformed(ax.figure.dpi_scale_trans.inverted()).height
    heights = spread(heights, LINE / axis_inches)
    # What has been pushed beyond an end of the axis comes back, and pushes the others.
    heights -= min(heights.min(), 0)
    heights -= max(heights.max() - 1, 0)
    for (name, line), end, height in zip(lines.items(), ends, heights, strict=True):
        style: dict[str, Any] = {"color": line.get_color(), "fontsize": MEDIUM, "va": "center"}
        style["arrowprops"] = LEADER | {"color": line.get_color()}
        place = 1.04, height
        ax.annotate(name, end, place, textcoords="axes fraction", parse_math=False, **style)


def spread(places: NDArray[Any], gap: float) -> NDArray[Any]:
    """Return the nearest places (least squares) in the same order that lie a gap apart."""
    from scipy.optimize import isotonic_regression

    # With steps taken off, "a gap apart" is "not descending": the problem of isotonic regression.
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    out = np.empty(len(places))
    out[order] = isotonic_regression(places[order] - steps).x + steps
    return out
