"""Pictures of a study with a row for each estimator: scores, differences and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pandas as pd

from ..studies.inference import compare
from ..studies.outcomes import score_fits
from ..studies.ranks import CriticalDifference, critical_difference
from ..studies.results import Results
from ..studies.tasks import check_columns
from ..studies.text import chance, main_metric, name_of, points, scale_of, with_unit
from .display import Axes, Display, Place
from .drawing import COLOURS, FAINT, INK, LETTER, MEDIUM, NEGATIVE, one_axes
from .lines import quieten
from .study import Source, last_part, results_of

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
        check_columns("scores", scores, ["estimator", *repeats, metric])
        values = scores.pivot(index=[*repeats], columns="estimator", values=metric)
        self.values = values[scores["estimator"].unique()].astype(float)  # in their order
        self.metric, self.chance = metric, chance
        if self.values.isna().all(axis=None):
            raise ValueError(f"The scores have no value of {metric!r}.")

    @classmethod
    def from_results(cls, results: Source, metric: str | None = None, *, ax: Place = None) -> Self:
        """Draw a metric, the main one if None, of a study or its folder, at its largest size."""
        results = last_part(results_of(results))
        metric = main_metric(results) if metric is None else metric
        return cls(
            score_fits(results),
            metric=metric,
            repeats=tuple(results.repeat_columns),
            chance=chance(results, metric),
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
        """Compare the estimators of a study, or of its folder, with a baseline.

        Parameters
        ----------
        results : Results or path-like
            Of several sizes of the training set, the largest one counts.
        baseline : str, default=None
            Label of the estimator to compare with; None is the one of the study, or the first.
        metric : str, default=None
            None is the main metric of the study.
        ax : matplotlib Axes, Figure or SubFigure, default=None
        """
        results = last_part(results_of(results))
        metric = main_metric(results) if metric is None else metric
        return cls(compare(results, baseline, metric)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator."""
        table, names = self.comparisons, [str(name) for name in self.comparisons["estimator"]]
        metric, baseline = str(table["metric"][0]), table["baseline"][0]
        ax = rows_for(names, on)
        middle, low, high = (scale_of(metric) * table[c] for c in ("difference", "low", "high"))
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.hlines(table.index, low, high, color=COLOURS[0], linewidth=2)
        ax.plot(middle, table.index, "o", color=COLOURS[0], markersize=6)
        finish_rows(ax, names, f"{name_of(metric)} minus that of {baseline}{points(metric)}")
        return [ax]


class CriticalDifferenceDisplay(Display):
    """Mean ranks of estimators, and bars over those that do not differ beyond chance.

    Parameters
    ----------
    found : CriticalDifference
        What ``critical_difference`` returns.

    Attributes
    ----------
    found : CriticalDifference
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    See Also
    --------
    sklstruct.studies.critical_difference : The numbers behind it.

    References
    ----------
    J. Demsar. Statistical comparisons of classifiers over multiple data sets. Journal of Machine
    Learning Research, 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
    >>> from sklstruct.inspection import CriticalDifferenceDisplay
    >>> from sklstruct.studies import limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB(), "signs": BernoulliNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> display = CriticalDifferenceDisplay.from_results(results)
    >>> display.found.ranks.round(1).to_dict()
    {'gauss': 1.2, 'counts': 1.8, 'signs': 3.0}
    """

    def __init__(self, found: CriticalDifference) -> None:
        self.found = found

    @classmethod
    def from_results(
        cls,
        results: Source | Mapping[str, Results],
        metric: str | None = None,
        *,
        ax: Place = None,
    ) -> Self:
        """Draw the ranks in a study or its folder, or in several studies by their names."""
        if isinstance(results, Mapping):
            return cls(critical_difference(results, metric)).plot(ax)
        results = results_of(results)
        metric = main_metric(results) if metric is None else metric
        return cls(critical_difference(results, metric)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a row for each estimator from the best to the worst, and the bars above."""
        ranks, groups = self.found.ranks, self.found.groups
        names = [f"{name} ({rank:.2f})" for name, rank in ranks.items()]
        bars = BAR * (3 + len(groups))  # in rows, with that of the difference itself
        ax, top = rows_for(names, on, bars), -0.5 - bars
        heights = top + BAR * (2 + np.arange(len(groups)))
        places = np.arange(len(names))
        ax.vlines(ranks, top + 2 * BAR, places, color=FAINT, linewidth=0.6, zorder=1)
        ax.plot(ranks, places, "o", color=COLOURS[0], markersize=6, zorder=3)
        for group, height in zip(groups, heights, strict=True):
            ends = ranks[group[0]] - NUDGE, ranks[group[-1]] + NUDGE
            ax.hlines(height, *ends, color=INK, linewidth=3, zorder=3)
        ends = 1, 1 + self.found.difference
        ax.hlines(top + BAR, *ends, color=NEGATIVE, linewidth=3)
        text = f"critical difference {self.found.difference:.2f}"
        ax.text(1, top + BAR / 3, text, fontsize=MEDIUM, color=NEGATIVE, va="center")
        finish_rows(ax, names, "mean rank (1 is best)", bars)
        ax.set_xlim(1 - 2 * NUDGE, max(len(names), ends[1]) + 2 * NUDGE)
        ax.set_xticks(range(1, 1 + len(names)))
        return [ax]


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
