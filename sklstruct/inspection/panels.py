"""Curves in panels side by side, each named at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .display import Axes, Place
from .drawing import COLOURS, INK, LETTER, MEDIUM, Sheet
from .lines import MARKERS, label_ends, legible, quieten

PANEL, HEIGHT, LEFT, GAP, NAME, FOOT = 2.6, 2.4, 0.6, 0.6, 0.3, 0.6  # inches
DOTS = 30  # more points have no markers
TICK_GAP = 0.13  # least distance of labels as a share of the axis
DECADE, ROOM = 10, 1.1  # least extent of a logarithmic axis, and what is added above


class Panel(NamedTuple):
    """What is drawn over what.

    Parameters
    ----------
    name : str
        What curves are of.
    over : str
        What they run over.
    curves : mapping from str to Series
        By name; a single one of no name needs none.  Their indices are what they run over.
    levels : mapping from str to float
        Of horizontal lines.
    logarithmic : str, default=""
        Which axes are logarithmic: "x", "y" or "xy".
    """

    name: str
    over: str
    curves: Mapping[str, pd.Series[float]]
    levels: Mapping[str, float] = {}
    logarithmic: str = ""


def draw_panels(on: Place, heading: list[str], panels: Sequence[Panel]) -> list[Axes]:
    """Draw panels side by side under a heading, and return their axes."""
    letters = [max(map(len, [*panel.curves, *panel.levels])) for panel in panels]
    *lefts, right = accumulate((PANEL + GAP + LETTER * n for n in letters), initial=LEFT)
    sheet, head = Sheet.headed(heading, LEFT, right, NAME + HEIGHT + FOOT, on)
    axes = [sheet.axes(left, head + NAME, PANEL, HEIGHT) for left in lefts]
    for ax, panel in zip(axes, panels, strict=True):
        draw_panel(ax, panel)
    return axes


def draw_panel(ax: Axes, panel: Panel) -> None:
    """Draw the curves and levels of a panel, and name them."""
    lines = {}
    for number, (name, curve) in enumerate(panel.curves.items()):
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.5}
        marker = MARKERS[number % len(MARKERS)] if len(curve) <= DOTS else ""
        (lines[name],) = ax.plot(curve.index, curve, marker=marker, markersize=5, **style)
    places = np.unique(np.concatenate([curve.index for curve in panel.curves.values()]))
    for name, level in panel.levels.items():
        ends = [places[0], places[-1]]
        (lines[name],) = ax.plot(ends, [level, level], color=INK, linestyle="--", linewidth=1)
    style = {"fontsize": MEDIUM, "color": INK}
    ax.set_title(panel.name, loc="left", **style)
    ax.set_xlabel(panel.over, **style)
    if "x" in panel.logarithmic:
        ax.set_xscale("log")
        if len(places) <= DOTS:
            ax.set_xticks(places, legible(places, TICK_GAP))
        ax.minorticks_off()
    else:
        ax.locator_params(axis="x", nbins=6, integer=bool((places == places.round()).all()))
    if "y" in panel.logarithmic:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, high / DECADE), high * ROOM)  # else rounding may fill the axis
        ax.minorticks_off()
    else:
        ax.locator_params(axis="y", nbins=6)
    quieten(ax)
    if any(lines):
        label_ends(ax, lines)


def check_results(results: Any, *wanted: str) -> None:
    """Raise ValueError unless results are a table with these columns, and rows."""
    if not isinstance(results, pd.DataFrame) or results.empty or not {*wanted} <= {*results}:
        seen = type(results).__name__
        if isinstance(results, pd.DataFrame):
            seen = f"{'no rows of ' if results.empty else ''}{list(results)}"
        raise ValueError(f"results must be a table with the columns {list(wanted)}, got {seen}.")
