"""How far estimators say the same, as a picture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from .display import Axes, Place, TableDisplay
from .drawing import COLOURS, INK, MEDIUM, Sheet
from .lines import quieten
from .matrices import MARGIN, draw_matrix, matrix_size
from .panels import check_results
from .seeds import agreement

WIDTH, PANEL, GAP, LEFT, FOOT = 2.4, 1.2, 0.25, 0.6, 0.5  # inches
BINS = 20  # of spreads


class AgreementDisplay(TableDisplay):
    """Agreement of all pairs of estimators, and on how many samples how many say the same.

    Of regressors, the correlation of their values, and how far these are spread.

    Parameters
    ----------
    results : DataFrame
        As ``agreement`` returns it by pair.
    samples : DataFrame
        The same by sample.

    Attributes
    ----------
    results, samples : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (3,)
        Of pairs, their colours, and of samples.

    Raises
    ------
    ValueError
        If tables lack a column.

    See Also
    --------
    agreement : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import AgreementDisplay, fitted_seeds
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=5)
    >>> seeds = fitted_seeds(model, X[:100], y[:100], n_seeds=3)
    >>> display = AgreementDisplay.from_estimators(seeds, X[100:200], y[100:200])
    >>> display.to_frame().shape, display.samples.shape
    ((3, 11), (100, 4))
    """

    def __init__(self, results: pd.DataFrame, samples: pd.DataFrame) -> None:
        regress = isinstance(results, pd.DataFrame) and "correlation" in results
        check_results(results, "first", "second", "correlation" if regress else "agreement")
        check_results(samples, "spread" if regress else "share")
        self.results, self.samples = results, samples

    @classmethod
    def from_estimators(cls, estimators: Any, X: Any, y: Any = None, *, ax: Place = None) -> Self:
        """Measure and draw how far fitted estimators say the same.

        Parameters are those of ``agreement``, and ``ax`` as ``plot`` takes it.
        """
        tables = (agreement(estimators, X, y, by=by) for by in ("pair", "sample"))
        return cls(*tables).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        measure = "correlation" if "correlation" in self.results else "agreement"
        pairs = self.results[["first", "second", measure]].set_axis(["a", "b", "value"], axis=1)
        names = pd.unique(pairs[["a", "b"]].to_numpy().ravel())
        table = pairs.pivot(index="a", columns="b", values="value").reindex(
            index=names, columns=names
        )
        table = table.fillna(table.T)
        mean = pairs["value"].mean()
        heading = ["Agreement of estimators", f"{measure} of pairs: {mean:.2f} on average"]
        width, height = matrix_size(table)
        size = max(width, LEFT + WIDTH) + MARGIN, height + GAP + PANEL + FOOT
        sheet, head = Sheet.headed(heading, MARGIN, *size, on)
        axes = draw_matrix(sheet, 0, head, table, measure)
        ax = sheet.axes(LEFT, head + height + GAP, WIDTH, PANEL)
        style: dict[str, Any] = {"fontsize": MEDIUM, "color": INK}
        if measure == "agreement":
            n = len(names)
            said = (self.samples["share"] * n).round().astype(int)
            ax.bar(range(1, n + 1), np.bincount(said, minlength=n + 1)[1:], color=COLOURS[0])
            ax.set_xlabel("estimators that say the same", **style)
            ax.locator_params(axis="x", integer=True)
        else:
            ax.hist(self.samples["spread"], BINS, color=COLOURS[0])
            ax.set_xlabel("standard deviation (units of y)", **style)
        ax.set_ylabel("samples", **style)
        ax.locator_params(axis="y", nbins=4, integer=True)
        quieten(ax)
        ax.set_axisbelow(True)
        return [*axes, ax]
