"""How alike the layers of networks are, as a picture."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

from .alignment import cka
from .display import Axes, Place, TableDisplay
from .drawing import Sheet
from .matrices import MARGIN, draw_matrix, matrix_size
from .panels import check_results


class CKADisplay(TableDisplay):
    """Linear centred kernel alignment of all pairs of layers, from 0 to 1.

    Parameters
    ----------
    results : DataFrame
        As ``cka`` returns it for estimators.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (2,)
        The table, and its colours.

    Raises
    ------
    ValueError
        If results are no table with rows.

    See Also
    --------
    cka : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import CKADisplay
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X, y)
    >>> CKADisplay.from_estimator(model, X).to_frame().shape
    (2, 2)
    """

    def __init__(self, results: pd.DataFrame) -> None:
        check_results(results)
        self.results = results

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, other: Any = None, *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw how alike the layers of a network are, or of two.

        Parameters are those of ``cka``, and ``ax`` as ``plot`` takes it.
        """
        return cls(cka(estimator, X, other, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        heading = ["Similarity of layers", "linear CKA of their features"]
        sheet, head = Sheet.headed(heading, MARGIN, *matrix_size(self.results), on)
        return draw_matrix(sheet, 0, head, self.results, "CKA")
