"""The score of networks against noise in the coefficients of their kernels, as a picture."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

from .display import Axes, Place, TableDisplay
from .panels import Panel, check_results, draw_panels
from .robustness import coefficient_robustness

OVER = {"noise": "relative noise of coefficients", "kernel_change": "relative change of kernels"}


class RobustnessDisplay(TableDisplay):
    """Mean score over the noise of coefficients, and over the change of kernels that this makes.

    A frame whose line is high on the left alone turns noise of coefficients into less noise of
    kernels; a network whose line is high on the right as well suffers less from noisy kernels.

    Parameters
    ----------
    results : DataFrame
        As ``coefficient_robustness`` returns it.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (2,)

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    coefficient_robustness : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import RobustnessDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> display = RobustnessDisplay.from_estimators(model, X[100:], y[100:], n_draws=2)
    >>> display.to_frame().shape
    (10, 5)
    """

    def __init__(self, results: pd.DataFrame) -> None:
        check_results(results, "estimator", "noise", "score", "kernel_change")
        self.results = results

    @classmethod
    def from_estimators(
        cls, estimators: Any, X: Any, y: Any, *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw the score of networks whose kernels have noisy coefficients.

        Parameters are those of ``coefficient_robustness``, and ``ax`` as ``plot`` takes it.
        """
        return cls(coefficient_robustness(estimators, X, y, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        curves = {
            str(name): part.groupby("noise")[["kernel_change", "score"]].mean().reset_index()
            for name, part in self.results.groupby("estimator", sort=False)
        }
        panels = [
            Panel("score", label, {k: c.set_index(over)["score"] for k, c in curves.items()})
            for over, label in OVER.items()
        ]
        heading = ["Robustness to noisy coefficients", "means over the draws of the noise"]
        return draw_panels(on, heading, panels)
