"""What decisions become when places are hidden in the order of maps, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import pandas as pd

from .display import Axes, Display, Place
from .drawing import INK, MEDIUM, Sheet
from .hiding import DeletionCurves, deletion
from .lines import draw_band, legend_size, name_below, quieten
from .methods import Methods, named_methods
from .sanity_display import SOLID
from .study import markers

LEFT, WIDTH, HEIGHT, FOOT, RIGHT = 0.65, 3.0, 2.2, 0.45, 0.2  # inches
EDGE = 0.02
GAIN = "(gain in area over random places, 95 % interval)"
DONE = {"deletion": "hidden", "insertion": "shown"}


class DeletionDisplay(Display):
    """Decisions over the share of places that are hidden, or shown, those of a map first.

    The better a map says what matters, the steeper the line falls (deletion) or rises
    (insertion).  Dotted are random orders as coarse as the map; bands are intervals (95 %), and
    in brackets is the gain over random orders.

    Parameters
    ----------
    results : mapping from str to DeletionCurves
        By the name of the method, all of one kind.

    Attributes
    ----------
    results : dict from str to DeletionCurves
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there are no results, or of both kinds.

    See Also
    --------
    deletion : The numbers behind it.

    References
    ----------
    V. Petsiuk, A. Das and K. Saenko. RISE: randomized input sampling for explanation of black-box
    models. BMVC, 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import DeletionDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> display = DeletionDisplay.from_estimator(model, X[100:110], ["gradient", "grad_cam"])
    >>> display.to_frame().columns.tolist()
    ['method', 'order', 'share', 'score', 'low', 'high']
    """

    def __init__(self, results: Mapping[str, DeletionCurves]) -> None:
        kinds = {found.kind for found in results.values()}
        if len(kinds) != 1:
            raise ValueError(f"results must be at least one, all of one kind, got {sorted(kinds)}.")
        self.results = dict(results)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        methods: Methods = ("gradient", "input_x_gradient"),
        target: Any = None,
        *,
        ax: Place = None,
        **options: Any,
    ) -> Self:
        """Measure and draw what decisions become in the order of the maps of some methods.

        Parameters
        ----------
        estimator, X, target
            As of ``deletion``.
        methods : sequence of str, or mapping from str to callable or maps
            Names in ``MAP_METHODS``, or names of one's own and the methods or maps.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **options
            Others of ``deletion``.
        """
        results = {
            name: deletion(estimator, X, maps, target, **options)
            for name, maps in named_methods(methods).items()
        }
        return cls(results).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the curves of all methods.

        Returns
        -------
        table : DataFrame
            With the columns method, order, share, score, low and high.
        """
        tables = [found.table.assign(method=name) for name, found in self.results.items()]
        table = pd.concat(tables, ignore_index=True)
        return table[["method", "order", "share", "score", "low", "high"]]

    def _draw(self, on: Place) -> list[Axes]:
        (kind,) = {found.kind for found in self.results.values()}
        heading = [f"{kind.capitalize()}, best places first", "dotted: places at random"]
        looks = {name: look | SOLID for name, look in markers([*self.results]).items()}
        shown = {named(name, self.results[name]): look for name, look in looks.items()}
        width, height = legend_size(shown, GAIN)
        width = max(WIDTH, width)
        size = LEFT + width + RIGHT, HEIGHT + FOOT + height + RIGHT
        sheet, head = Sheet.headed(heading, LEFT, *size, on)
        ax = sheet.axes(LEFT, head, width, HEIGHT)
        for name, look in looks.items():
            table = self.results[name].table
            by_map, random = (table[table["order"] == order] for order in ("map", "random"))
            draw_band(ax, by_map, "share", "score", look)
            ax.plot(random["share"], random["score"], color=look["color"], ls=":", linewidth=1)
        ax.set_xlim(-EDGE, 1 + EDGE)
        ax.set_xlabel(f"share of places {DONE[kind]}", fontsize=MEDIUM, color=INK)
        ax.set_ylabel("decision f", fontsize=MEDIUM, color=INK)
        quieten(ax)
        name_below(ax, FOOT, shown, GAIN)
        return [ax]


def named(name: str, found: DeletionCurves) -> str:
    """Return the name of a method with its gain."""
    mean, low, high = found.gain
    return f"{name} ({mean:+.2g}, {low:.2g} to {high:.2g})"
