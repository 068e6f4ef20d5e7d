"""Distances of features against the size of a deformation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from .deformations import Draw
from .display import Axes, Display, Place
from .drawing import COLOURS, INK, LETTER, MEDIUM, Sheet
from .lines import MARKERS, label_ends, quieten
from .lipschitz import Stability, stability

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

HEADING = [
    "Stability to deformations",
    "how far features move when signals are deformed; in brackets the steepest slope",
    "line: mean; band: one standard deviation; dots: single samples and draws",
]
PANEL, HEIGHT, LEFT, GAP, NAME, FOOT = 2.6, 2.6, 0.6, 0.45, 0.3, 0.6  # inches


class StabilityDisplay(Display):
    r"""Relative distance of the features of deformed signals over the size of the deformation.

    A panel for each deformation, a line for each representation: the mean over signals and
    draws, with a band of one standard deviation.  What is Lipschitz continuous stays below a
    line through the origin, whose slope is its constant.

    Parameters
    ----------
    results : dict from str to sequence of Stability
        By representation; each has the same deformations.

    Attributes
    ----------
    results : dict from str to tuple of Stability
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_deformations,)

    Raises
    ------
    ValueError
        If there are no results, or representations have other deformations than the first.

    See Also
    --------
    stability : The numbers behind it.

    References
    ----------
    S. Mallat. Group invariant scattering. Communications on Pure and Applied Mathematics, 2012.
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import ScatteringTransformer
    >>> from sklstruct.inspection import StabilityDisplay
    >>> x, y = np.mgrid[:32, :32] / 32
    >>> X = np.sin(2 * np.pi * np.stack([x + 2 * y, 3 * x - y]))
    >>> models = {"scattering": ScatteringTransformer(J=2, L=4).fit(X)}
    >>> display = StabilityDisplay.from_transformers(models, X)
    >>> display.to_frame().columns.tolist()
    ['representation', 'deformation', 'constant', 'mean_constant']
    """

    def __init__(self, results: dict[str, Sequence[Stability]]) -> None:
        self.results = {name: tuple(measured) for name, measured in results.items()}
        deformations = {tuple(each.deformation for each in m) for m in self.results.values()}
        if len(deformations) != 1 or not min(deformations):
            raise ValueError(
                f"results must be of the same deformations for each representation, got "
                f"{sorted(deformations)}."
            )

    @classmethod
    def from_transformers(
        cls,
        transformers: dict[str, Any],
        X: Any,
        deformations: Sequence[str | Draw] = ("translation", "dilation", "diffeomorphism"),
        *,
        random_state: int | None = 0,
        ax: Place = None,
        **options: Any,
    ) -> Self:
        """Measure and draw the stability of several representations to the same deformations.

        Parameters
        ----------
        transformers : dict from str to fitted transformer or callable
        X : array-like, shape (n, ...)
        deformations : sequence of str or callable
        random_state : int or None, default=0
            An integer, for all to see the same displacements.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **options
            Others of ``stability``.

        Raises
        ------
        ValueError
            If ``stability`` refuses a parameter or X.
        """
        # One seed for all: they must see the same displacements, or nothing is compared.
        return cls(
            {
                name: [
                    stability(transformer, X, each, random_state=random_state, **options)
                    for each in deformations
                ]
                for name, transformer in transformers.items()
            }
        ).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the constants.

        Returns
        -------
        table : DataFrame
            With the columns representation, deformation, constant and mean_constant.
        """
        rows = [
            (name, each.deformation, each.constant, each.mean_constant)
            for name, measured in self.results.items()
            for each in measured
        ]
        columns = ["representation", "deformation", "constant", "mean_constant"]
        return pd.DataFrame(rows, columns=columns)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a panel for each deformation."""
        labels = [  # each with its constant
            [f"{name} ({found[number].constant:.2g})" for name, found in self.results.items()]
            for number in range(min(map(len, self.results.values())))
        ]
        room = GAP / 2 + LETTER * max(len(label) for panel in labels for label in panel)
        step = PANEL + room + GAP
        size = LEFT + step * len(labels), NAME + HEIGHT + FOOT
        sheet, head = Sheet.headed(HEADING, LEFT, *size, on)
        lefts = [LEFT + step * number for number in range(len(labels))]
        axes = [sheet.axes(left, head + NAME, PANEL, HEIGHT) for left in lefts]
        for number, ax in enumerate(axes):
            self._draw_panel(ax, number, labels[number])
        axes[0].set_ylabel("relative distance", fontsize=MEDIUM, color=INK)
        return axes

    def _draw_panel(self, ax: Axes, number: int, labels: list[str]) -> None:
        """Draw the distances under one deformation."""
        found = [each[number] for each in self.results.values()]
        tables = []
        for each in found:  # what is not deformed does not move
            origin = each.table.drop_duplicates(["sample", "draw"]).assign(size=0.0, distance=0.0)
            tables.append(pd.concat([origin, each.table], ignore_index=True))
        lines = {
            label: draw_curve(ax, table["distance"], table["size"], place)
            for place, (label, table) in enumerate(zip(labels, tables, strict=True))
        }
        ax.set_title(found[0].deformation, fontsize=MEDIUM, color=INK, loc="left")
        ax.set_xlim(left=0)
        ax.set_ylim(bottom=0)
        ax.set_xlabel(found[0].unit, fontsize=MEDIUM, color=INK)
        ax.locator_params(nbins=5)
        quieten(ax)
        label_ends(ax, lines)


def draw_curve(
    ax: Axes, distances: pd.Series[float], sizes: pd.Series[float], place: int
) -> Line2D:
    """Draw the curve of one representation, and return the line through its means."""
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    by_size = distances.groupby(sizes)
    mean, std = by_size.mean(), by_size.std().fillna(0)
    ax.fill_between(mean.index, mean - std, mean + std, color=colour, alpha=0.12, linewidth=0)
    ax.scatter(sizes, distances, s=8, color=colour, alpha=0.35, linewidth=0)
    return ax.plot(mean.index, mean, color=colour, marker=marker, markersize=5, linewidth=1.5)[0]
