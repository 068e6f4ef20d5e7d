"""How similar maps stay while a network forgets layer after layer, a line a method."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

from .display import Axes, Place, TableDisplay
from .drawing import INK, LETTER, MEDIUM, SMALL, Sheet
from .lines import draw_band, legend_size, markers, name_below, quieten
from .methods import Methods, named_methods
from .panels import check_results
from .sanity import sanity_check

LEFT, WIDTH, HEIGHT, GAP, FOOT, RIGHT = 0.7, 3.0, 1.6, 0.35, 0.35, 0.2  # inches
EDGE = 0.1  # of a step
MOST_NAMES = 14  # layers whose names stand at the axis
PANELS = {"signed": "values of the map", "magnitude": "magnitudes"}
VERDICTS = {  # from the best on
    "chance": "changes like that of another sample",
    "changed": "changes, something of the sample stays",
    "unclear": "unclear: take more repeats",
    "kept": "stays: says little of the weights",
}


class SanityDisplay(TableDisplay):
    """Similarity with the maps of the trained network, over the layers that are mixed up.

    A line that stays high shows a map that says little of what was learned.  Dotted is what maps
    of other samples have in common with it, and bands are intervals (95 %).

    Parameters
    ----------
    results : DataFrame
        One or several tables of ``sanity_check`` below one another, with the column ``method``.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (2,)
        Of the values of maps, and of their magnitudes.

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    sanity_check : The numbers behind it.

    References
    ----------
    J. Adebayo, J. Gilmer, M. Muelly, I. Goodfellow, M. Hardt and B. Kim. Sanity checks for
    saliency maps. NeurIPS, 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import SanityDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> display = SanityDisplay.from_estimator(model, X[100:110], ["gradient", "grad_cam"])
    >>> list(display.verdicts)
    ['gradient', 'grad_cam']
    """

    def __init__(self, results: pd.DataFrame) -> None:
        check_results(results, "method", "step", "layer", "measure", "similarity", "verdict")
        self.results = results

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
        """Measure and draw how similar the maps of some methods stay.

        Parameters
        ----------
        estimator, X, target
            As of ``sanity_check``.
        methods : sequence of str, or mapping from str to callable
            Names in ``MAP_METHODS``, or names of one's own and the methods.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **options
            Others of ``sanity_check``.
        """
        tables = [
            sanity_check(method, estimator, X, target, **options).assign(method=name)
            for name, method in named_methods(methods).items()
        ]
        return cls(pd.concat(tables, ignore_index=True)).plot(ax)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict on each method: of the last step, the worse of both measures."""
        last = self.results[self.results["step"] == self.results["step"].max()]
        ranked = list(VERDICTS)
        return {
            str(name): max(part["verdict"], key=ranked.index)
            for name, part in last.groupby("method", sort=False)
        }

    def _draw(self, on: Place) -> list[Axes]:
        table = self.results
        layers = table.drop_duplicates("step").sort_values("step")["layer"].tolist()
        names = layers[1:] if len(layers) - 1 <= MOST_NAMES else []
        heading = ["Do maps change with the weights?", "dotted: similarity of other samples' maps"]
        looks = markers(self.verdicts, ls="-", markersize=4)  # dots are those of chance
        shown = {f"{name}: {VERDICTS[v]}": looks[name] for name, v in self.verdicts.items()}
        width, height = legend_size(shown)
        width, below = max(WIDTH, width), FOOT + LETTER * max(map(len, names), default=0)
        height += GAP / 2 + 2 * HEIGHT + GAP + below + RIGHT
        sheet, head = Sheet.headed(heading, LEFT, LEFT + width + RIGHT, height, on)
        axes = []
        for place, (measure, title) in enumerate(PANELS.items()):
            ax = sheet.axes(LEFT, head + GAP / 2 + place * (HEIGHT + GAP), width, HEIGHT)
            for name, look in looks.items():
                part = table[(table["method"] == name) & (table["measure"] == measure)]
                draw_band(ax, part, "step", "similarity", look)
                ax.plot(part["step"], part["chance"], color=look["color"], ls=":", linewidth=1)
            ax.set_title(title, loc="left", fontsize=MEDIUM, color=INK)
            ax.set_ylabel("rank correlation", fontsize=MEDIUM, color=INK)
            ax.set_xlim(-EDGE, len(layers) - 1 + EDGE)
            # Intervals of few draws may reach past what a correlation can be.
            ax.set_ylim(min(max(ax.get_ylim()[0], -1.05), 0), 1.05)
            ax.locator_params(axis="x", integer=True)
            quieten(ax)
            axes.append(ax)
        if names:
            for ax in axes:
                ax.set_xticks(range(len(layers)), [""] * len(layers))
            axes[-1].set_xticklabels(["trained", *names], rotation=90, fontsize=SMALL)
        axes[0].tick_params(labelbottom=False)  # the steps are those below
        axes[-1].set_xlabel("mixed up so far", fontsize=MEDIUM, color=INK)
        name_below(axes[-1], below, shown)
        return axes
