"""Pictures of what a study predicted: ROC curves, calibration, values against their truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any, Self

import numpy as np
import pandas as pd

from ..params import SEED, check, integer
from ..studies.curves import calibration, calibration_error, roc_curves
from ..studies.outcomes import score_fits
from ..studies.tasks import check_columns
from ..studies.text import number
from .certainty import bins_of, errors_of, outcomes_of
from .display import Axes, Display, Place
from .drawing import INK, LEADING, LETTER, MEDIUM, Sheet, one_axes
from .lines import legend_size, name_below, quieten, styles
from .study import Source, last_part, results_of

LEFT, TOP, SQUARE, FOOT, RIGHT = 0.65, 0.15, 3.6, 0.6, 0.2  # inches
LEAST, MOST = 8, 160  # areas of markers that stand for numbers of predictions
PANEL, GAP, HEAD = 1.75, 0.5, 0.3  # inches
MARGIN = 0.1  # of the range of true values, beyond which predictions lie on the edge
MANY = 300  # dots
AREA, ERROR = "(mean area under the curve)", "(calibration error)"
ERROR_AND_CHANCE = "(calibration error; that of a perfect model)"


class RocDisplay(Display):
    """Mean ROC curves over the repeats.

    Parameters
    ----------
    curves : DataFrame
        What ``roc_curves`` returns.
    areas : dict from str to float
        Mean AUC by estimator, shown beside its name.

    Attributes
    ----------
    curves : DataFrame
    areas : dict from str to float
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    See Also
    --------
    sklstruct.studies.roc_curves : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import RocDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = RocDisplay.from_results(results)
    >>> {label: round(float(area), 2) for label, area in display.areas.items()}
    {'bayes': 0.98}
    """

    def __init__(self, curves: pd.DataFrame, areas: dict[str, float]) -> None:
        self.curves, self.areas = curves, areas

    @classmethod
    def from_results(cls, results: Source, *, ax: Place = None) -> Self:
        """Draw the curves of a study, or of its folder; of the largest of several sizes."""
        results = last_part(results_of(results))
        areas = score_fits(results).groupby("estimator", sort=False)["auc"].mean()
        return cls(roc_curves(results), dict(areas)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a curve for each estimator."""
        looks = styles(self.areas)
        shown = {f"{n} ({number(self.areas[n], 'auc')})": look for n, look in looks.items()}
        ax = square_for(shown, AREA, on)
        for name, style in looks.items():
            part = self.curves[self.curves["estimator"] == name]
            ax.plot(part["false_positive_rate"], part["true_positive_rate"], **style)
        finish_square(ax, "1 \N{MINUS SIGN} specificity", "sensitivity")
        name_below(ax, FOOT, shown, AREA)
        return [ax]


class CalibrationDisplay(Display):
    """How often what was predicted with some probability came true.

    Markers lie on the diagonal where probabilities are right; their areas stand for the number
    of predictions.

    Parameters
    ----------
    bins : DataFrame
        What ``calibration`` or ``reliability`` returns; of the latter with intervals.
    estimators : sequence of str, default=None
        All estimators of the study, which get the same colours as in its other pictures; those
        of the bins if None.
    errors : DataFrame, default=None
        What ``calibration_errors`` returns, to be shown beside the names.

    Attributes
    ----------
    bins : DataFrame
    estimators : list of str
    errors : DataFrame or None
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there are no bins, as where no estimator gives probabilities.

    See Also
    --------
    sklstruct.studies.calibration : The numbers of a study.
    reliability, calibration_errors : Those of fitted classifiers.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import CalibrationDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = CalibrationDisplay.from_results(results, n_bins=2)
    >>> display.bins.columns.tolist()
    ['estimator', 'low', 'high', 'probability', 'frequency', 'n']
    """

    def __init__(
        self,
        bins: pd.DataFrame,
        estimators: Sequence[str] | None = None,
        errors: pd.DataFrame | None = None,
    ) -> None:
        if bins.empty:
            raise ValueError("bins must have rows, got none: there are no probabilities.")
        self.bins, self.errors = bins, errors
        self.estimators = list(bins["estimator"].unique() if estimators is None else estimators)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers, as ``bins`` has them."""
        return self.bins

    @classmethod
    def from_results(cls, results: Source, n_bins: int = 10, *, ax: Place = None) -> Self:
        """Draw the calibration in a study, or its folder; at the largest of several sizes."""
        results = last_part(results_of(results))
        return cls(calibration(results, n_bins), results.estimators).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: Any,
        y: Any,
        *,
        n_bins: int = 10,
        groups: Any = None,
        random_state: Any = 0,
        ax: Place = None,
    ) -> Self:
        """Measure and draw the calibration of a fitted classifier, or of several.

        Parameters are those of ``reliability`` and ``calibration_errors``, and ``ax`` as ``plot``
        takes it.
        """
        check("n_bins", n_bins, integer(1))
        check("random_state", random_state, SEED)
        outcomes = outcomes_of(estimators, X, y, groups)  # predicted once, for both
        errors = errors_of(outcomes, n_bins, random_state)
        return cls(bins_of(outcomes, n_bins), errors=errors).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a curve for each estimator that gives probabilities."""
        errors = calibration_error(self.bins)
        beside, heading = errors.map(lambda error: number(error, "")), ERROR
        if self.errors is not None:
            chance = self.errors.set_index("estimator")["expected"]
            beside += "; " + chance.map(lambda error: number(error, ""))
            heading = ERROR_AND_CHANCE
        looks = {name: look for name, look in styles(self.estimators).items() if name in errors}
        shown = {f"{name} ({beside[name]})": look for name, look in looks.items()}
        ax = square_for(shown, heading, on)
        for name, style in looks.items():
            part = self.bins[self.bins["estimator"] == name]
            line = part["probability"], part["frequency"]
            # By area, which eyes compare; a bin of three predictions is no evidence.
            areas = LEAST + MOST * part["n"] / self.bins["n"].max()
            ax.plot(*line, **style)
            ax.scatter(*line, areas, style["color"], alpha=0.5, clip_on=False)
            if "frequency_low" in part:
                ends = part["frequency_low"], part["frequency_high"]
                ax.vlines(part["probability"], *ends, style["color"], linewidth=0.8)
        finish_square(ax, "predicted probability", "observed frequency")
        name_below(ax, FOOT, shown, heading)
        return [ax]


class PredictedDisplay(Display):
    """Predicted values against true ones, a panel for each estimator.

    Dots lie on the diagonal where predictions are right; each is a tested sample in one repeat.
    Predictions far beyond all true values are drawn on the edge.

    Parameters
    ----------
    predictions : DataFrame
        With the columns estimator, label and predicted.
    target : str, default="label"
        What the values are of.

    Attributes
    ----------
    predictions : DataFrame
    target : str
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_estimators,)

    Raises
    ------
    ValueError
        If a column is missing, or there is no prediction.

    See Also
    --------
    CalibrationDisplay, RocDisplay : The same for classifiers.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklstruct.inspection import PredictedDisplay
    >>> from sklstruct.studies import KFold, Study
    >>> X, y = load_diabetes(return_X_y=True)
    >>> results = Study(KFold(n_splits=3), {"ridge": Ridge()}).run(X, y, progress=False)
    >>> len(PredictedDisplay.from_results(results).predictions)
    442
    """

    def __init__(self, predictions: pd.DataFrame, *, target: str = "label") -> None:
        check_columns("predictions", predictions, ["estimator", "label", "predicted"])
        if predictions.empty:
            raise ValueError("predictions must have rows, got none.")
        self.predictions, self.target = predictions, target

    @classmethod
    def from_results(cls, results: Source, *, ax: Place = None) -> Self:
        """Draw what a study of values, or its folder, predicted; at the largest of several sizes.

        Raises
        ------
        ValueError
            If the study predicted something else.
        """
        results = last_part(results_of(results))
        if results.task != "values":
            raise ValueError(f"The study must be one of values, got one of {results.task}.")
        return cls(results.predictions, target=results.target).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a panel for each estimator, all with the same axes."""
        parts = {
            str(name): part for name, part in self.predictions.groupby("estimator", sort=False)
        }
        titles = [wrap(name, int(PANEL / LETTER)) for name in parts]
        head = HEAD + LEADING * (max(map(len, titles)) - 1)
        across = min(2, len(parts))
        down = -(-len(parts) // across)
        step, row = PANEL + GAP, head + PANEL + GAP
        sheet = Sheet(LEFT + step * across, row * down + TOP, on)
        # As far as truth goes, and a bit: a prediction gone astray would make a dot of all others.
        low, high = self.predictions["label"].min(), self.predictions["label"].max()
        margin = MARGIN * (high - low) or 1.0
        ends = low - margin, high + margin
        axes = []
        for place, (part, look) in enumerate(
            zip(parts.values(), styles(parts).values(), strict=True)
        ):
            column, line = place % across, place // across
            ax = sheet.axes(LEFT + step * column, head + row * line, PANEL, PANEL)
            # As pixels where they are many: each would be an element of the picture.
            dots: dict[str, Any] = {"alpha": 0.4, "linewidth": 0, "rasterized": len(part) > MANY}
            ax.scatter(part["label"], part["predicted"].clip(*ends), 8, look["color"], **dots)
            ax.axline((low, low), slope=1, color=INK, linewidth=0.8, ls=":", zorder=0)
            ax.set(xlim=ends, ylim=ends)
            ax.locator_params(nbins=4)
            style: dict[str, Any] = {"fontsize": MEDIUM, "color": INK, "parse_math": False}
            ax.set_title("\n".join(titles[place]), loc="left", **style)
            if column == 0:
                ax.set_ylabel("predicted", **style)
            if place >= len(parts) - across:
                ax.set_xlabel(self.target, **style)
            quieten(ax, "both")
            axes.append(ax)
        return axes


# What the pictures share -----------------------------------------------------------------------


def square_for(names: Iterable[str], heading: str, place: Place) -> Axes:
    """Return axes, new ones square with room for a heading and names below."""
    width, height = legend_size(names, heading)
    size = LEFT + max(SQUARE, width) + RIGHT, TOP + SQUARE + FOOT + height
    return one_axes(place, size, (LEFT, TOP, SQUARE, SQUARE))


def finish_square(ax: Axes, x_label: str, y_label: str) -> None:
    """Draw the diagonal and name the axes, which both go from 0 to 1."""
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, ls=":", zorder=0)
    ticks = np.linspace(0, 1, 6)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks)
    ax.set_xlabel(x_label, fontsize=MEDIUM, color=INK)
    ax.set_ylabel(y_label, fontsize=MEDIUM, color=INK)
    quieten(ax, "both")
