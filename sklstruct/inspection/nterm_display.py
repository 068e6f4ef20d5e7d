"""Errors of n-term approximations over the number of terms, beside what theorems say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd

from .display import Axes, Display, Place
from .drawing import COLOURS, FAINT, INK, LETTER, MEDIUM, Sheet
from .lines import MARKERS, label_ends, quieten
from .nterm import NTermApproximation, nterm_approximation

HEADING = [
    "Errors of n-term approximations",
    "in brackets the slope in the grey window; dashed: rates of the theorem",
]
RATES = {
    r"n^-1/2": lambda n: n**-0.5,
    r"n^-1": lambda n: 1 / n,
    r"n^-2 log^3 n": lambda n: np.log(n) ** 3 / n**2,
}
FEWEST = 2  # terms where rates begin, as the logarithm of 1 is 0
WIDE, HEIGHT, LEFT, ROOM, FOOT = 4.2, 3.2, 0.75, 0.4, 0.6  # inches


class NTermDisplay(Display):
    r"""Relative squared errors over the number of terms, for several transforms.

    The dashed lines are the rates for images that are piecewise :math:`C^2` with an edge that is
    :math:`C^2`: :math:`n^{-1/2}` (Fourier), :math:`n^{-1}` (wavelets) and :math:`n^{-2} \log^3 n`
    (curvelets).  They start from the largest error at the start of the window.

    Parameters
    ----------
    results : mapping from str to NTermApproximation
        By the name of the transform.

    Attributes
    ----------
    results : dict from str to NTermApproximation
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (1,)

    Raises
    ------
    ValueError
        If there are no results.

    See Also
    --------
    nterm_approximation : The numbers behind it.

    References
    ----------
    E. J. Candes and D. L. Donoho. New tight frames of curvelets and optimal representations of
    objects with piecewise C2 singularities. Communications on Pure and Applied Mathematics,
    2004.

    Examples
    --------
    >>> from sklstruct.inspection import NTermDisplay
    >>> from sklstruct.datasets import make_cartoon
    >>> cartoon = make_cartoon(128, random_state=0)
    >>> display = NTermDisplay.from_image(["fourier", "wavelet"], cartoon).save("terms.png")
    >>> display.to_frame().columns.tolist()
    ['transform', 'n', 'error', 'relative']
    """

    def __init__(self, results: Mapping[str, NTermApproximation]) -> None:
        if not results:
            raise ValueError("results must be of at least one transform, got none.")
        self.results = dict(results)

    @classmethod
    def from_image(
        cls,
        transforms: Mapping[str, Any] | Sequence[Any],
        image: Any,
        *,
        ax: Place = None,
        **options: Any,
    ) -> Self:
        """Measure and draw the errors of several transforms on one image.

        Parameters
        ----------
        transforms : mapping from str to transform, or sequence of these
            Each as ``nterm_approximation`` takes it; a sequence is named by what they are.
        image : Cartoon or array-like
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **options
            Others of ``nterm_approximation``.

        Raises
        ------
        ValueError
            If ``nterm_approximation`` refuses something.
        """
        if not isinstance(transforms, Mapping):
            transforms = {str(transform): transform for transform in transforms}
        results = {
            name: nterm_approximation(transform, image, **options)
            for name, transform in transforms.items()
        }
        return cls(results).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers.

        Returns
        -------
        table : DataFrame
            With the columns transform, n, error and relative.
        """
        tables = [
            found.table.assign(transform=name)[["transform", "n", "error", "relative"]]
            for name, found in self.results.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def _draw(self, on: Place) -> list[Axes]:
        labels = [f"{name} ({found.slope:.2f})" for name, found in self.results.items()]
        tables = [found.table.sort_values("n") for found in self.results.values()]
        room = ROOM + LETTER * max(map(len, [*labels, *RATES]))
        sheet, head = Sheet.headed(HEADING, LEFT, LEFT + WIDE + room, HEIGHT + FOOT, on)
        ax = sheet.axes(LEFT, head, WIDE, HEIGHT)
        ax.set(xscale="log", yscale="log")
        lines = {}
        for number, (label, table) in enumerate(zip(labels, tables, strict=True)):
            seen = table[(table["n"] > 0) & (table["relative"] > 0)]
            style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.5}
            style |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 3}
            (lines[label],) = ax.plot(seen["n"], seen["relative"], **style)
        windows = [found.window for found in self.results.values()]
        low, high = min(start for start, _ in windows), max(end for _, end in windows)
        ax.axvspan(low, high, color=FAINT, alpha=0.3, linewidth=0)
        start = max(low, FEWEST)
        highest = max(np.interp(start, table["n"], table["relative"]) for table in tables)
        n = np.geomspace(start, high)
        for name, rate in RATES.items():
            style = {"color": INK, "linestyle": "--", "linewidth": 1}
            (lines[name],) = ax.plot(n, highest * rate(n) / rate(start), **style)
        ax.set_xlabel("terms n", fontsize=MEDIUM, color=INK)
        ax.set_ylabel("relative squared error", fontsize=MEDIUM, color=INK)
        quieten(ax, "both")
        ax.minorticks_off()
        label_ends(ax, lines)
        return [ax]
