"""Pictures of a cohort study: scores, differences, ROC curves and calibration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from os import PathLike
from typing import Any, Self

import numpy as np
import pandas as pd

from ..studies.cohort_study import CohortResults
from ..studies.cohort_text import name_of, number, with_unit
from ..studies.curves import calibration, calibration_error, roc_curves
from ..studies.inference import compare
from ..studies.metrics import estimators_of, measure_of, score_fits
from ..studies.summary import SHARES
from .display import Axes, Display, Place
from .drawing import COLOURS, FAINT, INK, LETTER, MEDIUM, one_axes
from .study import LINE, quieten

WIDTH, ROW, SQUARE = 4.6, 0.5, 3.2  # inches
TOP, FOOT, LEFT, RIGHT, GAP, SAMPLE = 0.2, 0.55, 0.65, 0.25, 0.35, 0.5  # inches
NUMBER, HEADING = len(" (0.123)"), len("(mean area under the curve)")  # letters beside a square
DASHES = ("-", "--", "-.", ":")
BUNCH, BREADTH = 0.07, 0.7  # of a row: distance of equal dots, and what all of them may take
LEAST, MOST = 8, 160  # areas of markers that stand for numbers of scans


Results = CohortResults | str | PathLike[str]


class CohortScoresDisplay(Display):
    """A metric in every repeat: a dot each, those of one repeat joined, and the mean as a line.

    Parameters
    ----------
    scores : DataFrame
        What ``score_fits`` returns.
    metric : str, default="balanced_accuracy"
        One of its metrics.
    chance : float, default=None
        Where to draw a line for guessing.

    Attributes
    ----------
    values : DataFrame
        Index repeat, columns estimators.
    metric : str
    chance : float or None
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there is no such metric, or no value of it.

    See Also
    --------
    sklstruct.studies.score_fits : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import CohortScoresDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = CohortScoresDisplay.from_results(results, metric="auc").save("auc.png")
    >>> display.values["bayes"].round(2).tolist()
    [0.98, 0.99, 0.99]
    """

    def __init__(
        self,
        scores: pd.DataFrame,
        *,
        metric: str = "balanced_accuracy",
        chance: float | None = None,
    ) -> None:
        measure_of(metric)
        self.values = scores.pivot(index="repeat", columns="estimator", values=metric)
        self.values = self.values[scores["estimator"].unique()]  # in their order
        self.metric, self.chance = metric, chance
        if self.values.isna().all(axis=None):
            raise ValueError(f"The scores have no value of {metric!r}.")

    @classmethod
    def from_results(
        cls, results: Results, metric: str = "balanced_accuracy", *, ax: Place = None
    ) -> Self:
        """Draw a metric of all fits of a study, or of its folder."""
        results = results_of(results)
        guessing = {"balanced_accuracy": 1 / len(results.classes), "auc": 0.5}
        return cls(score_fits(results), metric=metric, chance=guessing.get(metric)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator."""
        names = [str(name) for name in self.values]
        ax = rows_for(names, on)
        values = self.values * scale_of(self.metric)
        rows = values.apply(beside_one_another) + np.arange(len(names))
        # Hold-outs differ more than methods do: only within one of them can methods be compared.
        ax.plot(values.T, rows.T, color=FAINT, linewidth=0.5, alpha=0.6, zorder=1)
        for place, name in enumerate(names):
            colour = COLOURS[place % len(COLOURS)]
            ends = place - BREADTH / 2, place + BREADTH / 2
            ax.vlines(values[name].mean(), *ends, color=INK, linewidth=2, zorder=2)
            ax.scatter(values[name], rows[name], 14, colour, alpha=0.6, linewidth=0, zorder=3)
        if self.chance is not None:
            ax.axvline(self.chance * scale_of(self.metric), color=INK, linewidth=0.8, ls=":")
        finish_rows(ax, names, with_unit(self.metric))
        return [ax]


class CohortDifferencesDisplay(Display):
    """Differences from a baseline with their intervals.

    Parameters
    ----------
    comparisons : DataFrame
        What ``compare`` returns.

    Attributes
    ----------
    comparisons : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there is nothing to compare.

    See Also
    --------
    sklstruct.studies.compare : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.inspection import CohortDifferencesDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = CohortDifferencesDisplay.from_results(results, baseline="counts")
    >>> display.comparisons["difference"].round(2).tolist()
    [0.03]
    """

    def __init__(self, comparisons: pd.DataFrame) -> None:
        if comparisons.empty:
            raise ValueError("comparisons must have rows, got none.")
        self.comparisons = comparisons.reset_index(drop=True)

    @classmethod
    def from_results(
        cls,
        results: Results,
        baseline: str | None = None,
        metric: str = "balanced_accuracy",
        *,
        ax: Place = None,
    ) -> Self:
        """Compare the estimators of a study, or of its folder, with a baseline."""
        return cls(compare(results_of(results), baseline, metric)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator."""
        table, names = self.comparisons, list(self.comparisons["estimator"])
        metric, baseline = str(table["metric"][0]), table["baseline"][0]
        ax = rows_for(names, on)
        middle, low, high = (scale_of(metric) * table[c] for c in ("difference", "low", "high"))
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.hlines(table.index, low, high, color=COLOURS[0], linewidth=2)
        ax.plot(middle, table.index, "o", color=COLOURS[0], markersize=6)
        points = " (points)" if metric in SHARES else ""
        finish_rows(ax, names, f"{name_of(metric)} minus that of {baseline}{points}")
        return [ax]


class CohortRocDisplay(Display):
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
    >>> from sklstruct.inspection import CohortRocDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = CohortRocDisplay.from_results(results)
    >>> {label: round(float(area), 2) for label, area in display.areas.items()}
    {'bayes': 0.98}
    """

    def __init__(self, curves: pd.DataFrame, areas: dict[str, float]) -> None:
        self.curves, self.areas = curves, areas

    @classmethod
    def from_results(cls, results: Results, *, ax: Place = None) -> Self:
        """Draw the curves of a study, or of its folder."""
        results = results_of(results)
        areas = score_fits(results).groupby("estimator", sort=False)["auc"].mean()
        return cls(roc_curves(results), dict(areas)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a curve for each estimator."""
        ax = square_for(list(self.areas), on)
        shown = {}
        for (name, area), style in zip(self.areas.items(), styles(self.areas), strict=True):
            part = self.curves[self.curves["estimator"] == name]
            ax.plot(part["false_positive_rate"], part["true_positive_rate"], **style)
            shown[f"{name} ({number(area, 'auc')})"] = style
        label_lines(ax, "mean area under the curve", shown)
        finish_square(ax, "1 \N{MINUS SIGN} specificity", "sensitivity")
        return [ax]


class CohortCalibrationDisplay(Display):
    """How often what was predicted with some probability came true.

    Markers lie on the diagonal where probabilities are right; their areas stand for the number
    of predictions.

    Parameters
    ----------
    bins : DataFrame
        What ``calibration`` returns.
    estimators : sequence of str, default=None
        All estimators of the study, which get the same colours as in its other pictures; those
        of the bins if None.

    Attributes
    ----------
    bins : DataFrame
    estimators : list of str
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there are no bins, as where no estimator gives probabilities.

    See Also
    --------
    sklstruct.studies.calibration : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import CohortCalibrationDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = CohortCalibrationDisplay.from_results(results, n_bins=2)
    >>> display.bins.columns.tolist()
    ['estimator', 'low', 'high', 'probability', 'frequency', 'n']
    """

    def __init__(self, bins: pd.DataFrame, estimators: Sequence[str] | None = None) -> None:
        if bins.empty:
            raise ValueError("bins must have rows, got none: there are no probabilities.")
        self.bins = bins
        self.estimators = list(bins["estimator"].unique() if estimators is None else estimators)

    @classmethod
    def from_results(cls, results: Results, n_bins: int = 10, *, ax: Place = None) -> Self:
        """Draw the calibration of the estimators of a study, or of its folder."""
        results = results_of(results)
        return cls(calibration(results, n_bins), estimators_of(results)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a curve for each estimator that gives probabilities."""
        ax = square_for(self.estimators, on)
        errors = calibration_error(self.bins)
        shown = {}
        for name, style in zip(self.estimators, styles(self.estimators), strict=True):
            part = self.bins[self.bins["estimator"] == name]
            if part.empty:
                continue
            line = part["probability"], part["frequency"]
            # By area, which eyes compare; a bin of three predictions is no evidence.
            areas = LEAST + MOST * part["n"] / self.bins["n"].max()
            ax.plot(*line, **style)
            ax.scatter(*line, areas, style["color"], alpha=0.5, clip_on=False)
            shown[f"{name} ({number(errors[name], 'calibration_error')})"] = style
        label_lines(ax, "calibration error", shown)
        finish_square(ax, "predicted probability", "observed frequency")
        return [ax]


# What the pictures share -----------------------------------------------------------------------


def results_of(results: Results) -> CohortResults:
    """Return results, those that a study has written if a folder is given."""
    return results if isinstance(results, CohortResults) else CohortResults.read(results)


def styles(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return how the line of each estimator is drawn."""
    # Dashes too: a report may be printed, or read by colour-blind eyes.
    looks = zip(names, cycle(COLOURS), cycle(DASHES), strict=False)
    return [{"color": colour, "ls": dashes, "linewidth": 1.5} for _, colour, dashes in looks]


def rows_for(names: list[str], place: Place) -> Axes:
    """Return axes, new ones with a row for each name and room for it to the left."""
    left, height = GAP + LETTER * max(map(len, names)), ROW * len(names)
    size = left + WIDTH + RIGHT, TOP + height + FOOT
    return one_axes(place, size, (left, TOP, WIDTH, height))


def square_for(names: list[str], place: Place) -> Axes:
    """Return axes, new ones square with room for names and a number to the right."""
    right = SAMPLE + LETTER * max(HEADING, NUMBER + max(map(len, names)))
    height = max(SQUARE, LINE * (1 + len(names)))
    return one_axes(
        place, (LEFT + SQUARE + right, TOP + height + FOOT), (LEFT, TOP, SQUARE, SQUARE)
    )


def finish_rows(ax: Axes, names: list[str], label: str) -> None:
    """Name the rows and the axis."""
    ax.set_yticks(range(len(names)), names, parse_math=False)  # a label may hold a dollar sign
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(label, fontsize=MEDIUM, color=INK, parse_math=False)
    quieten(ax, "x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def finish_square(ax: Axes, x_label: str, y_label: str) -> None:
    """Draw the diagonal and name the axes, which both go from 0 to 1."""
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, ls=":", zorder=0)
    ticks = np.linspace(0, 1, 6)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks)
    ax.set_xlabel(x_label, fontsize=MEDIUM, color=INK)
    ax.set_ylabel(y_label, fontsize=MEDIUM, color=INK)
    quieten(ax, "both")


def label_lines(ax: Axes, heading: str, shown: dict[str, dict[str, Any]]) -> None:
    """Write names of lines with numbers to the right, each with a sample of its line."""
    inches = ax.bbox.transformed(ax.figure.dpi_scale_trans.inverted())
    left, right, text = 1 + np.array([0.1, 0.35, 0.42]) / inches.width
    where: dict[str, Any] = {"transform": ax.transAxes, "va": "center", "fontsize": MEDIUM}
    for row, (label, style) in enumerate([(f"({heading})", None), *shown.items()]):
        height = 1 - (row + 0.5) * LINE / inches.height
        ax.text(text if style else left, height, label, color=INK, parse_math=False, **where)
        if style:
            ax.plot([left, right], [height] * 2, transform=ax.transAxes, clip_on=False, **style)


def beside_one_another(values: pd.Series[float]) -> pd.Series[float]:
    """Return offsets, in rows, that keep equal values apart."""
    # Few subjects make many equal accuracies, which would hide one another.
    alike = values.groupby(values.round(9), dropna=False)
    count = alike.transform("size")
    return (alike.cumcount() - (count - 1) / 2) * np.minimum(BUNCH, BREADTH / count)


def scale_of(metric: str) -> int:
    """Return what a metric is multiplied with where it is drawn."""
    return 100 if metric in SHARES else 1
