"""What resolutions have in common, as a picture."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

from .display import Axes, Place, TableDisplay
from .levels import redundancy
from .panels import Panel, check_results, draw_panels

PANELS = [  # and the columns that are their lines
    ("accuracy of a linear classifier", {"": "accuracy"}),
    ("R2 of least squares", {"of the next level": "predicts_next", "by it": "predicted_by_next"}),
    ("numbers of a sample", {"": "n_points"}),
    ("details against Gaussian noise", {"": "sparsity"}),
]


class RedundancyDisplay(TableDisplay):
    """Accuracy, redundancy, numbers of a sample, and sparsity of details, over the levels.

    Where a level is predicted well by the next one, the next one has little that is new; where
    sparsity is 1, details are spread as noise is.

    Parameters
    ----------
    results : DataFrame
        As ``redundancy`` returns it.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (4,), or (3,) without labels

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    redundancy : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct.inspection import RedundancyDisplay
    >>> from sklstruct.layers import Pyramid
    >>> X, y = load_digits().images[:100, None], load_digits().target[:100]
    >>> display = RedundancyDisplay.from_estimator(Pyramid(levels=2), X, y).save("levels.png")
    >>> display.axes_.shape
    (4,)
    """

    def __init__(self, results: pd.DataFrame) -> None:
        check_results(results, *(column for _, lines in PANELS for column in lines.values()))
        self.results = results

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw what levels have in common.

        Parameters are those of ``redundancy``, and ``ax`` as ``plot`` takes it.
        """
        return cls(redundancy(estimator, X, y, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        table = self.results.dropna(axis=1, how="all").reset_index(drop=True)
        panels = []
        for name, lines in PANELS:
            known = {label: column for label, column in lines.items() if column in table}
            curves = {label: table[column].dropna() for label, column in known.items()}
            if curves:
                axes = "y" if name.startswith("numbers") else ""
                panels.append(Panel(name, "level (0: the finest)", curves, logarithmic=axes))
        return draw_panels(on, ["Redundancy of resolutions", "one level and the next"], panels)
