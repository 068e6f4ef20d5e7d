"""Pictures of a study with a row for each estimator: scores, differences and ranks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from ..studies import compare, critical_difference, rank_table, score_fits
from ..studies.text import guessing, is_share, main_metric, name_of, with_unit
from .display import Axes, Display, Place
from .drawing import COLOURS, FAINT, INK, LETTER, MEDIUM, NEGATIVE, one_axes
from .lines import quieten
from .study import Source, check_columns, results_of, scale_of

WIDTH, ROW, TOP, FOOT, LEFT, RIGHT = 4.1, 0.55, 0.1, 0.55, 0.15, 0.2  # inches
NAME, BAR = 0.36, 0.3  # of a row: how far above its middle its name stands; distance of bars
NUDGE = 0.05  # of a rank, by which bars go beyond
BUNCH, BREADTH = 0.06, 0.44  # of a row: distance of equal dots, and what all of them may take


class ScoresDisplay(Display):
    """A metric in every repeat: a dot each, those of one repeat joined, and the mean as a line.

    Parameters
    ----------
    scores : DataFrame
        One row a fit: estimator, the columns in ``repeats``, and the metric.
    metric : str, default="balanced_accuracy"
    repeats : list of str, default=["repeat"]
        Columns that say which repeat a row is of.
    chance : float, default=None
        Where to draw a line for guessing.

    Attributes
    ----------
    values : DataFrame
        Index repeats, columns estimators.
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
    >>> from sklstruct.inspection import ScoresDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = cohort_study({"bayes": GaussianNB()}, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = ScoresDisplay.from_results(results, metric="auc").save("auc.png")
    >>> display.values["bayes"].round(2).tolist()
    [0.98, 0.99, 0.99]
    """

    def __init__(
        self,
        scores: pd.DataFrame,
        *,
        metric: str = "balanced_accuracy",
        repeats: tuple[str, ...] = ("repeat",),
        chance: float | None = None,
    ) -> None:
        check_columns("scores", scores, "estimator", *repeats, metric)
        values = scores.pivot(index=[*repeats], columns="estimator", values=metric)
        self.values = values[scores["estimator"].unique()].astype(float)  # in their order
        self.metric, self.chance = metric, chance
        if self.values.isna().all(axis=None):
            raise ValueError(f"The scores have no value of {metric!r}.")

    @classmethod
    def from_results(cls, results: Source, metric: str | None = None, *, ax: Place = None) -> Self:
        """Draw a metric, the main one if None, of all fits of a study or of its folder."""
        results = results_of(results)
        metric = main_metric(results) if metric is None else metric
        return cls(
            score_fits(results),
            metric=metric,
            repeats=tuple(results.key_columns),
            chance=guessing(results, metric),
        ).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator."""
        names = [str(name) for name in self.values]
        ax = rows_for(names, on)
        values = self.values * scale_of(self.metric)
        rows = values.apply(beside_one_another) + np.arange(len(names))
        # Repeats differ more than methods do: only within one of them can methods be compared.
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


class DifferencesDisplay(Display):
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
    >>> from sklstruct.inspection import DifferencesDisplay
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> display = DifferencesDisplay.from_results(results, baseline="counts")
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
        results: Source,
        baseline: str | None = None,
        metric: str | None = None,
        *,
        ax: Place = None,
    ) -> Self:
        """Compare the estimators of a study, or of its folder, with a baseline."""
        return cls(compare(results_of(results), baseline, metric)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator."""
        table, names = self.comparisons, [str(name) for name in self.comparisons["estimator"]]
        metric, baseline = str(table["metric"][0]), table["baseline"][0]
        ax = rows_for(names, on)
        middle, low, high = (scale_of(metric) * table[c] for c in ("difference", "low", "high"))
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.hlines(table.index, low, high, color=COLOURS[0], linewidth=2)
        ax.plot(middle, table.index, "o", color=COLOURS[0], markersize=6)
        points = " (points)" if is_share(metric) else ""
        finish_rows(ax, names, f"{name_of(metric)} minus that of {baseline}{points}")
        return [ax]


class CriticalDifferenceDisplay(Display):
    """Mean ranks of estimators, and bars over those that do not differ beyond chance.

    Parameters
    ----------
    ranks : Series of float
        Mean ranks by estimator, 1 being the best.
    critical_difference : float
        Two mean ranks differ beyond chance if they are further apart.

    Attributes
    ----------
    ranks : Series of float
        From the best to the worst.
    critical_difference : float
    groups : list of (float, float)
        First and last rank under each bar.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    References
    ----------
    J. Demšar. Statistical comparisons of classifiers over multiple data sets. JMLR, 2006.
    """

    def __init__(self, ranks: pd.Series[float], critical_difference: float) -> None:
        self.ranks = ranks.sort_values(kind="stable")
        self.critical_difference = float(critical_difference)
        self.groups = alike(self.ranks.to_numpy(float), self.critical_difference)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator from the best to the worst, and the bars above."""
        names = [f"{name} ({rank:.2f})" for name, rank in self.ranks.items()]
        bars = BAR * (2 + len(self.groups))  # in rows, with that of the difference itself
        ax = rows_for(names, on, bars)
        ranks, places = self.ranks.to_numpy(float), np.arange(len(names))
        top = -0.5 - bars
        ax.vlines(ranks, top + 2 * BAR, places, color=FAINT, linewidth=0.6, zorder=1)
        ax.plot(ranks, places, "o", color=COLOURS[0], markersize=6, zorder=3)
        heights = top + BAR * (2 + np.arange(len(self.groups)))
        for (first, last), height in zip(self.groups, heights, strict=True):
            ax.hlines(height, first - NUDGE, last + NUDGE, color=INK, linewidth=3, zorder=3)
        ax.hlines(top + BAR, 1, 1 + self.critical_difference, color=NEGATIVE, linewidth=3)
        style: dict[str, Any] = {"fontsize": MEDIUM, "color": INK, "va": "center"}
        text = f"critical difference {self.critical_difference:.2f}"
        ax.text(1 + self.critical_difference + 2 * NUDGE, top + BAR, text, **style)
        finish_rows(ax, names, "mean rank (1 is best)", bars)
        ax.set_xlim(1 - 4 * NUDGE, max(len(names), 1 + self.critical_difference) + 4 * NUDGE)
        return [ax]


def alike(ranks: Any, critical_difference: float) -> list[tuple[float, float]]:
    """Return first and last of every largest run of ascending ranks within the difference."""
    ends = [ranks[ranks <= first + critical_difference].max() for first in ranks]
    runs = [(first, last) for first, last in zip(ranks, ends, strict=True) if last > first]
    return [run for i, run in enumerate(runs) if i == 0 or run[1] > runs[i - 1][1]]


# What the pictures share -----------------------------------------------------------------------


def rows_for(names: list[str], place: Place, above: float = 0) -> Axes:
    """Return axes, new ones with a row for each name and room for more rows above."""
    width, height = max(WIDTH, LETTER * max(map(len, names))), ROW * (len(names) + above)
    size = LEFT + width + RIGHT, TOP + height + FOOT
    return one_axes(place, size, (LEFT, TOP, width, height))


def finish_rows(ax: Axes, names: list[str], label: str, above: float = 0) -> None:
    """Name the rows, each above what it shows, and the axis."""
    # Not beside them: names are long, and telephones narrow.
    ax.set_yticks(np.arange(len(names)) - NAME, names, ha="left", parse_math=False)
    for name in ax.get_yticklabels():
        name.set_bbox({"facecolor": "white", "linewidth": 0, "pad": 0.5})
    ax.set_ylim(len(names) - 0.5, -0.5 - above)
    ax.set_xlabel(label, fontsize=MEDIUM, color=INK, parse_math=False)
    quieten(ax, "x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0, pad=0)


def beside_one_another(values: pd.Series[float]) -> pd.Series[float]:
    """Return offsets, in rows, that keep equal values apart."""
    # Few subjects make many equal accuracies, which would hide one another.
    alike = values.groupby(values.round(9), dropna=False)
    count = alike.transform("size")
    return (alike.cumcount() - (count - 1) / 2) * np.minimum(BUNCH, BREADTH / count)
