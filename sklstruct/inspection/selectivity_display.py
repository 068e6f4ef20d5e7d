"""How far the channels of layers prefer orientations and colours, as a picture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from .display import Axes, Place, TableDisplay
from .drawing import COLOURS, INK, LETTER, MEDIUM, Sheet
from .lines import name_below, quieten
from .tuning import MEASURES, selectivity, selectivity_by_layer

LEFT, WIDTH, PANEL, GAP, RIGHT = 0.6, 2.4, 1.1, 0.35, 0.15  # inches
STEP, NAME, NAMED = 0.2, 0.2, 0.45  # inches: a layer, names of panels and of networks
ASIDE, JITTER = 0.16, 0.09  # of the distance of layers
MANY = 300  # dots
TITLES = {
    "orientation": "orientation (gratings)",
    "grating_colour": "colour (gratings)",
    "colour": "colour (samples)",
}
LOOKS: dict[str, dict[str, Any]] = {
    "fitted": {"color": COLOURS[0], "marker": "o", "ls": ""},
    "untrained": {"color": "#777777", "marker": "s", "ls": ""},
}


class SelectivityDisplay(TableDisplay):
    """Selectivity of channels, from 0 to 1, by layer, and what the untrained network has.

    Each dot is a channel; markers are medians with their 95 % intervals.  What the fitted network
    has beyond the untrained one was learned.

    Parameters
    ----------
    results : DataFrame
        As ``selectivity`` returns it.

    Attributes
    ----------
    results : DataFrame
    medians : DataFrame
        As ``selectivity_by_layer`` returns it.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_measures,)
        Of orientations and, for three channels, colours.

    Raises
    ------
    ValueError
        If results lack a column, or nothing is defined in them, as in 1D.

    See Also
    --------
    selectivity, selectivity_by_layer : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import SelectivityDisplay
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X, y)
    >>> SelectivityDisplay.from_estimator(model).medians.shape
    (4, 8)
    """

    def __init__(self, results: pd.DataFrame) -> None:
        self.medians = selectivity_by_layer(results)
        if self.medians.empty:
            raise ValueError("results must have a selectivity that is defined, got NaN alone.")
        self.results = results

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any = None, *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw how far channels prefer orientations and colours.

        Parameters are those of ``selectivity``, and ``ax`` as ``plot`` takes it.
        """
        return cls(selectivity(estimator, X, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        layers = self.results.drop_duplicates("layer").set_index("depth")["layer"]
        measures = [name for name in MEASURES if name in set(self.medians["measure"])]
        heading = ["Selectivity of channels", "0: none, 1: for one orientation, or colour"]
        width, foot = max(WIDTH, STEP * len(layers)), 0.15 + LETTER * layers.str.len().max()
        height = (PANEL + GAP) * len(measures) + foot + NAMED
        sheet, head = Sheet.headed(heading, LEFT, LEFT + width + RIGHT, height, on)
        axes = []
        for row, measure in enumerate(measures):
            ax = sheet.axes(LEFT, head + NAME + (PANEL + GAP) * row, width, PANEL)
            self._draw_measure(ax, measure)
            last = row == len(measures) - 1
            ax.set_xticks(layers.index, layers if last else [""] * len(layers), rotation=90)
            axes.append(ax)
        networks = set(self.medians["network"])
        # One marker of the two that a sample of a line has.
        shown = {n: look | {"markevery": [1]} for n, look in LOOKS.items() if n in networks}
        name_below(ax, foot, shown)
        return axes

    def _draw_measure(self, ax: Axes, measure: str) -> None:
        medians = self.medians[self.medians["measure"] == measure]
        for (network, part), side in zip(
            medians.groupby("network", sort=False), (-ASIDE, ASIDE), strict=False
        ):
            look = LOOKS[str(network)]
            if network == "fitted":
                known = self.results[self.results["network"] == network].dropna(subset=measure)
                jitter = JITTER * np.linspace(-1, 1, 7)[known["channel"] % 7]
                dots: dict[str, Any] = {"alpha": 0.25, "linewidth": 0}
                dots["rasterized"] = len(known) > MANY
                ax.scatter(known["depth"] + side + jitter, known[measure], 7, look["color"], **dots)
            ax.vlines(part["depth"] + side, part["low"], part["high"], look["color"], linewidth=1)
            ax.plot(part["depth"] + side, part["median"], markersize=4, **look)
        ax.set_title(TITLES[measure], loc="left", fontsize=MEDIUM, color=INK)
        last = self.results["depth"].max()
        ax.set(xlim=(0.5, last + 0.5), ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
        quieten(ax)
