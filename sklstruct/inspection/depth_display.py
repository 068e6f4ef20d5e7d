"""What becomes of classes from block to block, and in few dimensions, as pictures."""

from __future__ import annotations

from typing import Any, Self

import pandas as pd

from .depth import accuracy_by_components, accuracy_by_depth, contraction_by_depth
from .display import Axes, Place, TableDisplay
from .panels import Panel, check_results, draw_panels

NAMES = {
    "linear_svm": "linear SVM",
    "nearest_neighbour": "nearest neighbour",
    "head": "head",
}
CONTRACTION = [  # panels, and the columns that are their lines
    ("distance within over between classes", {"": "ratio"}),
    ("pairs of a class that came closer", {"": "contracted"}),
    ("distance between classes", {"smallest": "margin", "5 % quantile": "margin_5"}),
]


class DepthDisplay(TableDisplay):
    """Accuracies, or distances within and between classes, over the depth of a network.

    Accuracies are those of two classifiers on the features after every block; the dashed line
    is the network itself.  Distances are in units of the mean distance of all pairs of samples.

    Parameters
    ----------
    results : DataFrame
        As ``accuracy_by_depth`` or ``contraction_by_depth`` returns it.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,) for accuracies and (3,) for distances

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    accuracy_by_depth, contraction_by_depth : The numbers behind it.
    ComponentsDisplay : Accuracies over the dimension.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import DepthDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> data = X[:100], y[:100], X[100:150], y[100:150]
    >>> display = DepthDisplay.from_accuracy(model, *data).save("depth.png")
    >>> display.to_frame().shape
    (5, 5)
    """

    def __init__(self, results: pd.DataFrame) -> None:
        columns = [column for _, lines in CONTRACTION for column in lines.values()]
        accuracies = isinstance(results, pd.DataFrame) and "accuracy" in results
        check_results(results, "depth", *(["classifier", "accuracy"] if accuracies else columns))
        self.results = results

    @classmethod
    def from_accuracy(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        X_test: Any,
        y_test: Any,
        *,
        ax: Place = None,
        **options: Any,
    ) -> Self:
        """Measure and draw how well classes can be told apart after every block.

        Parameters are those of ``accuracy_by_depth``, and ``ax`` as ``plot`` takes it.
        """
        return cls(accuracy_by_depth(estimator, X, y, X_test, y_test, **options)).plot(ax)

    @classmethod
    def from_contraction(
        cls, estimator: Any, X: Any, y: Any, *, ax: Place = None, **options: Any
    ) -> Self:
        """Measure and draw distances within and between classes after every block.

        Parameters are those of ``contraction_by_depth``, and ``ax`` as ``plot`` takes it.
        """
        return cls(contraction_by_depth(estimator, X, y, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        if "accuracy" in self.results:
            curves = accuracies(self.results, "depth")
            levels = {"head": float(curves.pop("head").iloc[0])} if "head" in curves else {}
            heading = ["Accuracy by depth", "of classifiers on the means of features over places"]
            return draw_panels(on, heading, [Panel("accuracy", "block", curves, levels)])
        table = self.results.set_index("depth")
        panels = [
            Panel(name, "block (0: the samples)", {label: table[c] for label, c in lines.items()})
            for name, lines in CONTRACTION
        ]
        heading = ["Contraction by depth", "distances are relative to the mean of all pairs"]
        return draw_panels(on, heading, panels)


class ComponentsDisplay(TableDisplay):
    """Accuracies over the number of principal components that classifiers see.

    Parameters
    ----------
    results : DataFrame
        As ``accuracy_by_components`` returns it.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    accuracy_by_components : The numbers behind it.
    DepthDisplay : Accuracies over the depth.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import ComponentsDisplay
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> data = X[:100], y[:100], X[100:150], y[100:150]
    >>> display = ComponentsDisplay.from_estimator(model, *data).save("components.png")
    >>> display.to_frame().shape
    (8, 4)
    """

    def __init__(self, results: pd.DataFrame) -> None:
        check_results(results, "n_components", "classifier", "accuracy")
        self.results = results

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        X_test: Any,
        y_test: Any,
        *,
        ax: Place = None,
        **options: Any,
    ) -> Self:
        """Measure and draw in how many dimensions classes can be told apart.

        Parameters are those of ``accuracy_by_components``, and ``ax`` as ``plot`` takes it.
        """
        return cls(accuracy_by_components(estimator, X, y, X_test, y_test, **options)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        heading = ["Accuracy by dimension", "of classifiers on the first principal components"]
        curves = accuracies(self.results, "n_components")
        return draw_panels(on, heading, [Panel("accuracy", "components", curves, logarithmic="x")])


def accuracies(results: pd.DataFrame, over: str) -> dict[str, pd.Series[float]]:
    """Return the accuracies of each classifier over a column."""
    return {
        NAMES.get(str(kind), str(kind)): part.set_index(over)["accuracy"]
        for kind, part in results.groupby("classifier", sort=False)
    }
