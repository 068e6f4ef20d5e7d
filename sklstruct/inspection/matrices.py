"""Tables of numbers as colours, the same in every display."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .display import Axes
from .drawing import INK, LETTER, MEDIUM, SMALL, Sheet, faint_ticks

CELL, LEAST, SIDE = 0.3, 0.14, 1.8  # inches: with a number, with a name, and of all cells
MARGIN, BAR = 0.15, 0.1  # inches
MANY = 6  # rows or columns, beyond which numbers do not fit into the column of a page
DARK = 0.6  # below it, letters on viridis are white
EMPTY = "#eeeeee"


def matrix_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return width and height, in inches, that ``draw_matrix`` needs."""
    rows, columns = (max(map(len, map(str, names))) for names in (table.index, table.columns))
    cell = cell_size(table)
    width = LETTER * rows + cell * table.shape[1] + BAR + 7 * LETTER + 2 * MARGIN
    return width, cell * table.shape[0] + LETTER * columns + MARGIN


def cell_size(table: pd.DataFrame) -> float:
    """Return the extent of a cell, in inches."""
    n = max(table.shape)
    return CELL if n <= MANY else max(LEAST, SIDE / n)


def draw_matrix(
    sheet: Sheet, left: float, top: float, table: pd.DataFrame, label: str
) -> list[Axes]:
    """Draw numbers from 0 to 1 with the names of rows and columns, and what colours stand for."""
    rows, columns = [*map(str, table.index)], [*map(str, table.columns)]
    left += MARGIN + LETTER * max(map(len, rows))
    cell = cell_size(table)
    width, height = cell * len(columns), cell * len(rows)
    ax = sheet.axes(left, top, width, height)
    bar = sheet.axes(left + width + MARGIN, top, BAR, height)
    image = ax.imshow(table, "viridis", vmin=0, vmax=1, aspect="auto")
    ax.set_facecolor(EMPTY)  # where there is no number
    ax.set_xticks(range(len(columns)), columns, rotation=90)
    ax.set_yticks(range(len(rows)), rows)
    faint_ticks(ax)
    ax.spines[:].set_visible(False)
    if max(table.shape) <= MANY:
        style: dict[str, Any] = {"fontsize": SMALL, "ha": "center", "va": "center"}
        for (row, column), value in np.ndenumerate(table.to_numpy()):
            if not np.isnan(value):
                colour = "white" if value < DARK else INK
                ax.text(column, row, f"{value:.2f}", color=colour, **style)
    ax.figure.colorbar(image, cax=bar, ticks=[0, 0.5, 1]).outline.set_visible(False)
    faint_ticks(bar)
    bar.set_ylabel(label, fontsize=MEDIUM, color=INK)
    return [ax, bar]
