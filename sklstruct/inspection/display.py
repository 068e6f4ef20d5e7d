"""What all displays share: a picture that is drawn, shown and saved."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..io.atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure, SubFigure

    AnyFigure: TypeAlias = Figure | SubFigure
else:  # of annotations only: matplotlib is imported when the first picture is drawn
    Axes = AnyFigure = Any

Place: TypeAlias = "Axes | AnyFigure | None"


class Display:
    """Base of the displays: ``from_...`` and ``plot`` draw, ``save`` writes, notebooks show.

    Figures are made without pyplot, so that they need no screen and nothing keeps them alive.
    For a window, draw on a figure of pyplot: ``display.plot(plt.figure())``.

    Attributes
    ----------
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes
    """

    figure_: AnyFigure
    axes_: NDArray[Any]

    def plot(self, ax: Place = None, *, figure: AnyFigure | None = None) -> Self:
        """Draw the picture, set ``figure_`` and ``axes_``, and return the display.

        Parameters
        ----------
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on.  Displays of several axes put theirs inside.  With neither ``ax``
            nor ``figure`` it is a new figure, with room for everything that is written.
        figure : matplotlib Figure or SubFigure, default=None
            The same as ``ax``.

        Returns
        -------
        self
        """
        self.axes_ = np.array(self._draw(figure if ax is None else ax))
        self.figure_ = self.axes_[0].figure
        return self

    def _draw(self, on: Place) -> list[Axes]:
        """Draw the picture and return its axes."""
        raise NotImplementedError(f"{type(self).__name__} must define _draw.")

    def save(self, path: str | PathLike[str], dpi: float = 200) -> Self:
        """Write the picture to a file, whole or not at all; draw it first if need be.

        Parameters
        ----------
        path : path-like
            Its suffix decides the format, such as .png, .pdf or .svg.
        dpi : float, default=200
            Dots per inch, where the format has dots.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If matplotlib does not know the format.
        OSError
            If the file cannot be written.
        """
        # In memory first: an unknown format or a failing plot leaves no file behind.
        content = self._render(Path(path).suffix.removeprefix(".") or "png", dpi)
        with atomic_write(path, "wb") as file:
            file.write(content)
        return self

    def _render(self, file_format: str, dpi: float) -> bytes:
        if not hasattr(self, "figure_"):
            self.plot()
        content = BytesIO()
        figure: Any = self.figure_.figure  # the whole of it, if figure_ is a part
        figure.savefig(content, format=file_format, dpi=dpi)
        return content.getvalue()

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows; None if it shows the figure anyway, being pyplot's."""
        drawn = getattr(self, "figure_", None)
        if drawn is not None and drawn.figure.canvas.manager is not None:
            return None
        return self._render("png", dpi=120)


class TableDisplay(Display):
    """Base of the displays of one table, ``results``."""

    results: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers, as ``results`` has them."""
        return self.results
