"""What estimators of a study make of samples, parameters and time: learning curves and costs."""

from __future__ import annotations

from os import PathLike
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..studies.inference import summarise
from ..studies.results import Results
from ..studies.tasks import check_columns
from ..studies.text import CONDITIONS, main_metric, scale_of, with_unit
from .display import Axes, Display, Place
from .drawing import INK, MEDIUM, Sheet, one_axes
from .lines import legend_size, legible, markers, name_below, quieten

Source = Results | str | PathLike[str]

WIDTH, HEIGHT, LEFT, TOP, FOOT, RIGHT = 3.7, 2.9, 0.65, 0.55, 0.55, 0.2  # inches
PANEL = 2.2  # height of one of two panels
MARGIN = 1.5  # factor between the outermost costs and the ends of their axis
SHARES_CORRECT = {"accuracy": "error (%)", "balanced_accuracy": "balanced error (%)"}
COSTS = {"n_parameters": "parameters", "fit_seconds": "seconds to fit (median)"}


class StudyDisplay(Display):
    """Learning curves: a metric over the number of training samples, for each estimator.

    Accuracies are drawn as errors in percent on a logarithmic axis, where 2 % against 1 % is as
    far as 40 % against 20 %.

    Parameters
    ----------
    fits : DataFrame
        One row for each estimator, size and draw, with these columns and the metric.
    summary : DataFrame
        Means with intervals, as ``summarise`` returns them.
    metric : str, default="accuracy"
        Name of a column of numbers.
    name : str, default=""
        What the data are called.

    Attributes
    ----------
    fits, summary : DataFrame
        Rows in which the metric has a value.
    metric, name : str
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If a column is missing, or no row has a value.

    See Also
    --------
    sklstruct.studies.summarise : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.inspection import StudyDisplay
    >>> from sklstruct.studies import limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> display = StudyDisplay.from_results(results).save("curves.png")
    >>> display.to_frame()[["estimator", "size", "mean", "std", "n_repeats"]].round(2)
      estimator  size  mean   std  n_repeats
    0     gauss    10  0.92  0.05          3
    1    counts    10  0.83  0.07          3
    2     gauss    40  0.96  0.02          3
    3    counts    40  0.90  0.01          3
    """

    def __init__(
        self,
        fits: pd.DataFrame,
        summary: pd.DataFrame,
        *,
        metric: str = "accuracy",
        name: str = "",
    ) -> None:
        check_columns("fits", fits, ["estimator", "size", metric])
        check_columns("summary", summary, ["estimator", "size", "mean", "low", "high"])
        self.fits = fits.dropna(subset=["size", metric], ignore_index=True)
        self.summary = summary.dropna(subset="mean", ignore_index=True)
        self.metric, self.name = metric, name
        if self.fits.empty or self.summary.empty:
            raise ValueError(f"The results have no value of {metric!r}.")

    @classmethod
    def from_results(cls, results: Source, metric: str | None = None, *, ax: Place = None) -> Self:
        """Draw the learning curves of a study, or of its folder.

        Parameters
        ----------
        results : Results or path-like
            A path is that of the folder which a study writes.
        metric : str, default=None
            Name of a column of numbers; None is the accuracy, or the main metric of the task.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        ValueError
            If it is no study over sizes, the metric is no column of numbers, or no row has a value.
        OSError
            If the folder cannot be read.
        """
        results = results_of(results)
        if "size" not in results.condition_columns:
            kind = results.description["design"]["kind"]
            raise ValueError(f"Learning curves need a study over sizes, such as Draws, got {kind}.")
        metric = main_metric(results) if metric is None else metric
        summary, name = summarise(results, metric), results.description.get("name", "")
        return cls(results.fits, summary, metric=metric, name=name).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the means with intervals, as ``summary`` has them."""
        return self.summary

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a line through the means, whiskers that are intervals, and a dot for each draw.

        The axis of the metric is logarithmic where all values are positive.
        """
        names = [str(name) for name in self.summary["estimator"].unique()]
        width, height = legend_size(names)
        size = LEFT + max(WIDTH, width) + RIGHT, TOP + HEIGHT + FOOT + height
        ax = one_axes(on, size, (LEFT, TOP, max(WIDTH, width), HEIGHT))
        table = self.summary.assign(**self._shown(self.summary))
        values = self._shown(self.fits[[self.metric]].set_axis(["mean"], axis=1))["mean"]
        label = SHARES_CORRECT.get(self.metric, with_unit(self.metric))
        ax.set(xscale="log", yscale="log" if values.min() > 0 else "linear")
        looks = markers(names)
        for name in names:
            mine, fits = table["estimator"] == name, self.fits["estimator"] == name
            colour = looks[name]["color"]
            ax.scatter(self.fits["size"][fits], values[fits], 8, colour, alpha=0.4, linewidth=0)
            draw_curve(ax, table[mine].sort_values("size"), "size", looks[name])
        style: dict[str, Any] = {"fontsize": MEDIUM, "color": INK, "parse_math": False}
        ax.set_title("\n".join(self._heading()), loc="left", pad=8, **style)
        finish_axes(ax, np.unique(self.summary["size"]), CONDITIONS["size"], label)
        # From the top down as the curves end, so that an eye finds them.
        last = table[table["size"] == table["size"].max()].set_index("estimator")["mean"]
        order = sorted(names, key=lambda name: -last.get(name, np.inf))
        name_below(ax, FOOT, {name: looks[name] for name in order})
        return [ax]

    def _shown(self, table: pd.DataFrame) -> dict[str, pd.Series[float]]:
        """Return what is drawn for mean, low and high."""
        columns = {name: table[name] for name in ("mean", "low", "high") if name in table}
        if self.metric in SHARES_CORRECT:
            other = {"mean": "mean", "low": "high", "high": "low"}
            return {name: 100 * (1 - columns[other[name]]) for name in columns}
        return {name: scale_of(self.metric) * column for name, column in columns.items()}

    def _heading(self) -> list[str]:
        """Return what is drawn, and what lines, whiskers and dots are."""
        draws = self.summary["n_repeats"]
        number = "one draw" if draws.max() == 1 else f"{draws.max()} draws"
        if draws.min() < draws.max():
            number = f"{draws.min()} to {number}"
        whiskers = ["whiskers: 95 % intervals"] * bool(self.summary["low"].notna().any())
        dots = ["dots: single draws"] * bool(draws.max() > 1)
        parts = ["line: mean", *whiskers, *dots]
        return [
            f"Learning curves{f' on {self.name}' if self.name else ''}, {number}",
            *["; ".join(parts)] * (len(parts) > 1),
        ]


class CostDisplay(Display):
    """A metric over what it costs: the number of parameters, and the seconds of a fit.

    A line joins what an estimator makes of several sizes of the training set; best is what lies
    above and to the left.

    Parameters
    ----------
    costs : DataFrame
        One row for each estimator (and size): estimator, n_parameters and fit_seconds (medians
        over the fits; nan where they are not known), mean, low and high of the metric.
    metric : str

    Attributes
    ----------
    costs : DataFrame
    metric : str
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,) or (2,)
        The first one is left out where no number of parameters is known.

    Raises
    ------
    ValueError
        If a column is missing, or there is no value.

    See Also
    --------
    StudyDisplay : The metric by the number of samples.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.inspection import CostDisplay
    >>> from sklstruct.studies import limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> results = limited_data({"bayes": GaussianNB()}, X, y, sizes=[10, 40], n_draws=3)
    >>> display = CostDisplay.from_results(results)
    >>> display.to_frame()[["estimator", "size", "mean"]].round(2)
      estimator  size  mean
    0     bayes    10  0.92
    1     bayes    40  0.96
    """

    def __init__(self, costs: pd.DataFrame, *, metric: str) -> None:
        check_columns("costs", costs, ["estimator", *COSTS, "mean", "low", "high"])
        self.costs, self.metric = costs.dropna(subset="mean", ignore_index=True), metric
        if self.costs.empty:
            raise ValueError(f"costs must have a value of {metric!r}, got none.")

    @classmethod
    def from_results(cls, results: Source, metric: str | None = None, *, ax: Place = None) -> Self:
        """Draw the costs of a study, or of its folder; the metric is the main one if None."""
        results = results_of(results)
        metric = main_metric(results) if metric is None else metric
        columns = ["estimator", *results.condition_columns]
        # Medians: the first fit of a process also imports and compiles.
        medians = results.fits.astype(dict.fromkeys(COSTS, "float64")).groupby(columns)
        costs = medians[[*COSTS]].median().reset_index()
        return cls(summarise(results, metric).merge(costs, on=columns), metric=metric).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers, as ``costs`` has them."""
        return self.costs

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a panel for each cost that is known, one above the other."""
        names = [str(name) for name in self.costs["estimator"].unique()]
        known = [cost for cost in COSTS if (self.costs[cost] > 0).any()]
        width, height = legend_size(names)
        width = max(WIDTH, width)
        step = PANEL + FOOT
        sheet = Sheet(LEFT + width + RIGHT, RIGHT + step * len(known) + height, on)
        looks = markers(names)
        axes = []
        for place, cost in enumerate(known):
            ax = sheet.axes(LEFT, RIGHT + step * place, width, PANEL)
            ax.set_xscale("log")
            for name in names:
                part = self.costs[(self.costs["estimator"] == name) & (self.costs[cost] > 0)]
                scaled = part.assign(
                    **{each: part[each] * scale_of(self.metric) for each in ("mean", "low", "high")}
                )
                draw_curve(ax, scaled, cost, looks[name])
            ax.set_xlabel(COSTS[cost], fontsize=MEDIUM, color=INK)
            ax.set_ylabel(with_unit(self.metric), fontsize=MEDIUM, color=INK)
            ax.locator_params(axis="y", nbins=6)
            positive = self.costs[cost][self.costs[cost] > 0]
            ax.set_xlim(positive.min() / MARGIN, positive.max() * MARGIN)
            plain_numbers(ax.xaxis)
            quieten(ax, "both")
            axes.append(ax)
        name_below(axes[-1], FOOT, looks)
        return axes


# What the pictures share -----------------------------------------------------------------------


def results_of(results: Source) -> Results:
    """Return results, those that a study has written if a folder is given."""
    return results if isinstance(results, Results) else Results.read(results)


def last_part(results: Results) -> Results:
    """Return the results at the largest size of the training set, all where there are no sizes."""
    parts = [part for _, part in results.parts()]
    # Of a study that is not finished, the largest one that most estimators have.
    most = max(len(part.estimators) for part in parts)
    return [part for part in parts if len(part.estimators) == most][-1]


def draw_curve(ax: Axes, table: pd.DataFrame, over: str, style: dict[str, Any]) -> None:
    """Draw means over a column, with whiskers from low to high where these are known."""
    ax.plot(table[over], table["mean"], **style)
    low = table["low"]
    if ax.get_yscale() == "log":  # where a whisker has no lower end
        low = low.where(low > 0, table["mean"] / 10)
    ax.vlines(table[over], low, table["high"], color=style["color"], linewidth=1, alpha=0.7)


def finish_axes(ax: Axes, sizes: NDArray[Any], over: str, label: str) -> None:
    """Put the sizes and plain numbers to the axes, and take away what nobody reads."""
    ax.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    # Ticks at the sizes that were studied, and nowhere else.
    ax.set_xticks(sizes, legible(sizes))
    ax.minorticks_off()
    if ax.get_yscale() == "log":
        plain_numbers(ax.yaxis)
    ax.set_xlabel(over, fontsize=MEDIUM, color=INK)
    ax.set_ylabel(label, fontsize=MEDIUM, color=INK)
    quieten(ax)


def plain_numbers(axis: Any) -> None:
    """Put ticks with plain numbers to a logarithmic axis."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < 1000 * low else (1,)
    few = MaxNLocator(5, steps=[1, 2, 5, 10])
    axis.set_major_locator(few if high < 10 * low else LogLocator(subs=subs, numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
