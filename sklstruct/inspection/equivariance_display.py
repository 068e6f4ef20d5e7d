"""What motions change, as pictures: outputs of estimators, and the labels of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd

from .display import Axes, Display, Place
from .equivariant import equivariance
from .motions import GROUPS
from .panels import Panel, check_results, draw_panels
from .radius import label_radius

NUMBER = "number"  # of what has no parameter


class EquivarianceDisplay(Display):
    """Relative error of outputs over the parameter of a group, and the share of kept predictions.

    Beside the error of each estimator, which is 0 where its outputs are invariant or move along,
    is what resampling alone does to them.

    Parameters
    ----------
    results : mapping from str to DataFrame
        By name, as ``equivariance`` returns them for the same group.

    Attributes
    ----------
    results : dict from str to DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,) or (2,)

    Raises
    ------
    ValueError
        If there are no results, they lack a column, or are of different groups.

    See Also
    --------
    equivariance : The numbers behind it.
    StabilityDisplay : The same for small deformations.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import EquivarianceDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> display = EquivarianceDisplay.from_estimator(model, X[100:120], "right angles")
    >>> display.to_frame().shape
    (3, 7)
    """

    def __init__(self, results: Mapping[str, pd.DataFrame]) -> None:
        self.results = dict(results)
        for table in self.results.values():
            check_results(table, "group", "axis", "parameter", "error", "resampling", "kept")
        groups = {group for table in self.results.values() for group in table["group"]}
        if len(groups) != 1:
            raise ValueError(f"results must be of one group, got {sorted(groups)}.")
        (self._group,) = groups

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, group: Any = "rotations", *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw how far outputs are from moving along with samples.

        Parameters are those of ``equivariance``, with several estimators by their names in a
        dict, and ``ax`` as ``plot`` takes it.
        """
        tables = {
            name: equivariance(one, X, group, **options) for name, one in named(estimator).items()
        }
        return cls(tables).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of all, by ``estimator``."""
        return joined(self.results)

    def _draw(self, on: Place) -> list[Axes]:
        over = GROUPS[self._group].unit if self._group in GROUPS else NUMBER
        heading = [
            f"Equivariance to {self._group}",
            "error: 0 where outputs stay or move along, 1.4 where they are like those of others",
        ]
        errors, shares = {}, {}
        for name, table in self.results.items():
            for label, part in by_axis(name, table).items():
                part = part.set_index("parameter")
                errors[label] = part["error"]
                if part["resampling"].any():
                    errors[f"{label}, resampling"] = part["resampling"]
                if part["kept"].notna().any():
                    shares[label] = part["kept"]
        panels = [Panel("relative error", over, errors)]
        panels += [Panel("predictions kept", over, shares)] * bool(shares)
        return draw_panels(on, heading, panels)


class LabelRadiusDisplay(Display):
    """Share of samples whose label is preserved, over the size of a motion.

    Parameters
    ----------
    results : mapping from str to DataFrame
        By name, as ``label_radius`` returns them for the same group.
    group : str, default="rotations"
        What was done to the samples.

    Attributes
    ----------
    results : dict from str to DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there are no results, or they lack a column.

    See Also
    --------
    label_radius : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import PixelSVC
    >>> from sklstruct.inspection import LabelRadiusDisplay
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = PixelSVC(random_state=0).fit(X, y)
    >>> display = LabelRadiusDisplay.from_estimator(model, X[:20], group="scales", n_steps=9)
    >>> display.to_frame().shape
    (20, 6)
    """

    def __init__(self, results: Mapping[str, pd.DataFrame], group: str = "rotations") -> None:
        self.results, self.group = dict(results), group
        if not self.results:
            raise ValueError("results must be tables by name, got none.")
        for table in self.results.values():
            check_results(table, "sample", "radius")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        group: str = "rotations",
        *,
        ax: Place = None,
        **options: Any,
    ) -> Self:
        """Measure and draw how far samples can be moved before their label changes.

        Parameters are those of ``label_radius``, with several estimators by their names in a
        dict, and ``ax`` as ``plot`` takes it.
        """
        tables = {
            name: label_radius(one, X, y, group, **options)
            for name, one in named(estimator).items()
        }
        return cls(tables, group).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of all, by ``estimator``."""
        return joined(self.results)

    def _draw(self, on: Place) -> list[Axes]:
        start = float(self.group == "scales")  # the factor of what is as it was
        curves = {name: survival(table["radius"], start) for name, table in self.results.items()}
        # All curves reach as far as the farthest one, where nothing changes any more.
        farthest = max(curve.index.max() for curve in curves.values())
        for curve in curves.values():
            curve.loc[farthest] = curve.iloc[-1]
        heading = [f"Label-preserving radius of {self.group}"]
        return draw_panels(on, heading, [Panel("labels kept", GROUPS[self.group].unit, curves)])


def named(estimators: Any) -> Mapping[str, Any]:
    """Return estimators by their names."""
    if isinstance(estimators, Mapping):
        return estimators
    return {getattr(estimators, "__name__", type(estimators).__name__): estimators}


def joined(results: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return tables one below the other, with their names as ``estimator``."""
    table = pd.concat(results, names=["estimator"])
    return table.reset_index("estimator").reset_index(drop=True)


def by_axis(name: str, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return a table, or the parts of it where motions are about or along several axes."""
    if table["axis"].nunique() < 2 or table["parameter"].equals(table["axis"].astype(float)):
        return {name: table}
    return {f"{name}, axis {axis}": part for axis, part in table.groupby("axis")}


def survival(radius: pd.Series[float], start: float) -> pd.Series[float]:
    """Return the share of samples that have a larger radius, over all radii."""
    places = np.unique([start, *radius[np.isfinite(radius)]])
    return pd.Series([(radius > place).mean() for place in places], places)
