"""Learning curves of a limited-data study."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from ..io.reading import read_bytes
from ..studies import summarise
from ..studies.description import MOST_BYTES, read_description
from ..studies.record import FITS, STUDY
from .display import Axes, Display, Place
from .drawing import COLOURS, FAINT, INK, LETTER, MEDIUM, one_axes

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

KEYS = ("estimator", "size", "draw")
SHARES_CORRECT = {"accuracy": "error (%)", "balanced_accuracy": "balanced error (%)"}
NAMES = {
    "log_loss": "log loss",
    "fit_seconds": "time to fit (s)",
    "predict_seconds": "time to predict (s)",
    "n_parameters": "parameters",
}
LEADER = {"arrowstyle": "-", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4}
MARKERS = "osD^vP*"
BANDS = 3  # more of them overlap into grey
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, LABEL, LINE = 5.0, 3.6, 0.7, 0.55, 0.6, 0.4, 0.2  # inches
TICK_GAP = 0.07  # least distance of labels as a share of their axis


class StudyDisplay(Display):
    """Learning curves: a metric over the number of training samples, for each estimator.

    Accuracies are drawn as errors in percent on a logarithmic axis, where 2 % against 1 % is as
    far as 40 % against 20 %.

    Parameters
    ----------
    results : DataFrame
        One row for each estimator, size and draw, with these columns and the metric.
    metric : str, default="accuracy"
        Name of a column of numbers.
    name : str, default=""
        What the data are called.

    Attributes
    ----------
    results : DataFrame
        Rows in which the metric has a value.
    metric, name : str
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If a column is missing, the metric is no column of numbers, or no row has a value.

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
    >>> display.to_frame().round(2)
      estimator  size  mean   std  n_draws
    0     gauss    10  0.92  0.05        3
    1     gauss    40  0.96  0.02        3
    2    counts    10  0.83  0.07        3
    3    counts    40  0.90  0.01        3
    """

    def __init__(self, results: pd.DataFrame, *, metric: str = "accuracy", name: str = "") -> None:
        check_columns(results, metric)
        self.results = results.dropna(subset=[*KEYS, metric], ignore_index=True)
        self.metric, self.name = metric, name
        if self.results.empty:
            raise ValueError(f"The results have no row with a value of {metric!r}.")

    @classmethod
    def from_results(
        cls,
        results: pd.DataFrame | str | PathLike[str],
        metric: str = "accuracy",
        *,
        ax: Place = None,
    ) -> Self:
        """Draw the results of a study from a table, a file or a folder.

        Parameters
        ----------
        results : DataFrame or path-like
            A path is that of the folder which a study writes, or of the CSV file in it.
        metric : str, default="accuracy"
            Name of a column of numbers.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        ValueError
            If a column is missing, the metric is no column of numbers, or no row has a value.
        OSError
            If the file cannot be read.
        """
        if isinstance(results, pd.DataFrame):
            return cls(results, metric=metric, name=results.attrs.get("name", "")).plot(ax)
        path = Path(results)
        if not path.is_file():  # the folder of a study
            path = path / FITS["limited_data"]
        beside = path.with_name(STUDY)
        name = read_description(beside, ()).get("name", "") if beside.exists() else ""
        try:
            text = BytesIO(read_bytes(path, MOST_BYTES, "the results of a study"))
            display = cls(pd.read_csv(text), metric=metric, name=name)
        except ValueError as error:  # pandas' errors about the file are some too
            raise ValueError(f"{path}: {error}") from error
        return display.plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return mean and standard deviation over the draws.

        Returns
        -------
        table : DataFrame
            With the columns estimator, size, mean, std (nan for a single draw) and n_draws.
        """
        return summarise(self.results, self.metric)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a line through the means, a band of one deviation, and a dot for each draw.

        The axis of the metric is logarithmic where all values are positive.
        """
        names = self.results["estimator"].astype(str)
        width = LEFT + WIDTH + LABEL + LETTER * names.str.len().max()
        height = max(HEIGHT, LINE * names.nunique())
        ax = one_axes(on, (width, TOP + height + BOTTOM), (LEFT, TOP, WIDTH, height))
        values, label = self.results[self.metric].astype(float), NAMES.get(self.metric, self.metric)
        if self.metric in SHARES_CORRECT:
            values, label = 100 * (1 - values), SHARES_CORRECT[self.metric]
        ax.set(xscale="log", yscale="log" if values.min() > 0 else "linear")
        sizes = self.results["size"]
        lines = {
            str(name): draw_curve(ax, part, sizes[part.index], number, names.nunique() <= BANDS)
            for number, (name, part) in enumerate(values.groupby(names, sort=False))
        }
        style: dict[str, Any] = {"fontsize": MEDIUM, "color": INK, "parse_math": False}
        ax.set_title("\n".join(self._heading()), loc="left", pad=8, **style)
        finish_axes(ax, np.unique(sizes), label)
        label_ends(ax, lines)
        return [ax]

    def _heading(self) -> list[str]:
        """Return what is drawn, and what lines, bands and dots are."""
        draws = self.to_frame()["n_draws"]
        number = "one draw" if draws.max() == 1 else f"{draws.max()} draws"
        if draws.min() < draws.max():
            number = f"{draws.min()} to {number}"
        several = bool(draws.max() > 1)
        # Said only where they are drawn.
        band = several and self.results["estimator"].nunique() <= BANDS
        parts = ["line: mean", *["band: one standard deviation"] * band, "dots: single draws"]
        return [
            f"Learning curves{f' on {self.name}' if self.name else ''}, {number}",
            *["; ".join(parts)] * several,
        ]


def check_columns(results: pd.DataFrame, metric: str) -> None:
    """Raise ValueError unless the results have what the display needs."""
    missing = [column for column in KEYS if column not in results]
    if missing:
        raise ValueError(f"The results lack the columns {missing}; they have {list(results)}.")
    known = [c for c in results if c not in KEYS and is_numeric_dtype(results[c])]
    if metric not in known:
        raise ValueError(f"metric must be a column of numbers, one of {known}, got {metric!r}.")
    if not is_numeric_dtype(results["size"]) or (results["size"] <= 0).any():
        raise ValueError("The column 'size' must hold positive numbers.")
    if np.isinf(results[metric]).any():
        raise ValueError(f"The column {metric!r} holds infinite values.")


def draw_curve(
    ax: Axes, values: pd.Series[float], sizes: pd.Series[int], number: int, band: bool = True
) -> Line2D:
    """Draw the curve of one estimator, and return the line through its means."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    by_size = values.groupby(sizes)
    mean, std = by_size.mean(), by_size.std().fillna(0)
    lower = mean - std
    if ax.get_yscale() == "log":  # where a band has no lower end
        lower = lower.where(lower > 0, by_size.min())
    if band:
        ax.fill_between(mean.index, lower, mean + std, color=colour, alpha=0.12, linewidth=0)
    ax.scatter(sizes, values, s=8, color=colour, alpha=0.35 if band else 0.6, linewidth=0)
    return ax.plot(mean.index, mean, color=colour, marker=marker, markersize=5, linewidth=1.5)[0]


def finish_axes(ax: Axes, sizes: NDArray[Any], label: str) -> None:
    """Put the sizes and plain numbers to the axes, and take away what nobody reads."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    ax.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    # Ticks at the sizes that were studied, and nowhere else.
    ax.set_xticks(sizes, legible(sizes))
    ax.minorticks_off()
    low, high = ax.get_ylim()
    if ax.get_yscale() == "log":
        wide, steps = high > 10 * low, (1, 2, 5, 10)
        locator = LogLocator(subs=steps[:3]) if wide else MaxNLocator(6, steps=steps)
        ax.yaxis.set_major_locator(locator)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("training samples", fontsize=MEDIUM, color=INK)
    ax.set_ylabel(label, fontsize=MEDIUM, color=INK)
    quieten(ax)


def quieten(ax: Axes, grid: Literal["both", "x", "y"] = "y") -> None:
    """Make ticks and lines of the axes faint, and take away those that nobody reads."""
    ax.tick_params(labelsize=MEDIUM, length=3, color=FAINT, labelcolor=INK)
    ax.grid(axis=grid, color=FAINT, linewidth=0.4)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)


def legible(sizes: NDArray[Any], gap: float = TICK_GAP) -> list[str]:
    """Return labels of ascending ticks on a logarithmic axis, empty where there is no room."""
    places = np.log(sizes / sizes[0]) / (np.log(sizes[-1] / sizes[0]) or 1)
    labels, last = [], -np.inf
    for size, place in zip(sizes, places, strict=True):
        fits = place - last > gap
        labels.append(f"{size:g}" if fits else "")
        last = place if fits else last
    return labels


def label_ends(ax: Axes, lines: dict[str, Line2D]) -> None:
    """Write the name of every line to the right of its end, with no two names overlapping."""
    ax.autoscale_view()  # which matplotlib puts off, and places are shares of the axes
    ends = np.array([np.asarray(line.get_xydata())[-1] for line in lines.values()])
    heights = ax.transAxes.inverted().transform(ax.transData.transform(ends))[:, 1]
    axis_inches = ax.bbox.transformed(ax.figure.dpi_scale_trans.inverted()).height
    heights = spread(heights, LINE / axis_inches)
    # What has been pushed beyond an end of the axis comes back, and pushes the others.
    heights -= min(heights.min(), 0)
    heights -= max(heights.max() - 1, 0)
    for (name, line), end, height in zip(lines.items(), ends, heights, strict=True):
        style: dict[str, Any] = {"color": line.get_color(), "fontsize": MEDIUM, "va": "center"}
        style["arrowprops"] = LEADER | {"color": line.get_color()}
        place = 1.04, height
        ax.annotate(name, end, place, textcoords="axes fraction", parse_math=False, **style)


def spread(places: NDArray[Any], gap: float) -> NDArray[Any]:
    """Return the nearest places (least squares) in the same order that lie a gap apart."""
    from scipy.optimize import isotonic_regression

    # With steps taken off, "a gap apart" is "not descending": the problem of isotonic regression.
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(places))
    out = np.empty(len(places))
    out[order] = isotonic_regression(places[order] - steps).x + steps
    return out
