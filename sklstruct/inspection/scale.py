"""Which scales a network has learned, as a table and as a picture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from . import drawing
from .display import Axes, Place, TableDisplay
from .drawing import Sheet
from .frame_layers import frame_layers
from .panels import check_results

COLUMNS = "layer", "channel", "initial_scale", "learned_scale"
WIDE, LEFT, MARGIN, NAME, TICKS, FOOT = 4.6, 0.3, 0.25, 0.28, 0.3, 0.25  # inches
LINE, LOW, HIGH = 0.06, 0.35, 1.6  # heights of a channel, and of a panel
ROOM = 1.1  # to both sides of all scales


def learned_scales(estimator: Any) -> pd.DataFrame:
    """Return the scales that the frame layers of a fitted estimator have learned.

    Parameters
    ----------
    estimator : fitted estimator
        With a network in ``net_``, of an architecture with ``learn_scale``.

    Returns
    -------
    table : DataFrame
        With the columns layer; channel, the output channel, missing where all have one factor;
        initial_scale and learned_scale, in samples, or in the unit of the frame.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If no layer learns its scale.

    See Also
    --------
    ScaleDisplay : The same as a picture.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import learned_scales
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 4), learn_scale=True, max_epochs=1, random_state=0)
    >>> learned_scales(model.fit(X, y)).round(1)
            layer  channel  initial_scale  learned_scale
    0  stages.0.0     <NA>            1.0            1.0
    1  stages.1.0     <NA>            1.0            1.0
    """
    rows = []
    for name, layer in frame_layers(estimator).items():
        if getattr(layer, "scale", None) is None:
            continue
        initial, found = np.unique(layer.frame.scales), layer.scales.tolist()
        channels = range(len(found)) if len(found) > 1 else [pd.NA]
        for channel, scales in zip(channels, found, strict=True):
            rows += [(name, channel, *pair) for pair in zip(initial, scales, strict=True)]
    if not rows:
        raise ValueError(
            f"{type(estimator).__name__} learns no scales: it needs an architecture with "
            "learn_scale=True or 'channel', and frames of Gaussian derivatives."
        )
    return pd.DataFrame(rows, columns=COLUMNS).astype({"channel": "Int64"})


class ScaleDisplay(TableDisplay):
    """Scales that were learned, beside those that they started from.

    A panel for each layer, a line for each factor: from the first scale, which is dashed, to the
    learned one, a dot.  Channels stand in the order of their factors, and each scale of the frame
    has a colour.

    Parameters
    ----------
    results : DataFrame
        As ``learned_scales`` returns it.

    Attributes
    ----------
    results : DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_layers,)

    Raises
    ------
    ValueError
        If results lack a column.

    See Also
    --------
    learned_scales : The numbers behind it.
    CoefficientDisplay : What else a frame layer has learned.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import ScaleDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(learn_scale="channel", max_epochs=1, random_state=0).fit(X, y)
    >>> display = ScaleDisplay.from_estimator(model).save("scales.png")
    >>> len(display.to_frame())  # 64 channels in each of three layers
    192
    """

    def __init__(self, results: pd.DataFrame) -> None:
        check_results(results, *COLUMNS)
        self.results = results

    @classmethod
    def from_estimator(cls, estimator: Any, ax: Place = None) -> Self:
        """Draw the learned scales of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            As ``learned_scales`` takes it.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If no layer learns its scale.
        """
        return cls(learned_scales(estimator)).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        layers = {str(name): part for name, part in self.results.groupby("layer", sort=False)}
        channels = {name: len(part.channel.unique()) for name, part in layers.items()}
        heights = {name: np.clip(LINE * n, LOW, HIGH) for name, n in channels.items()}
        lines = ["Learned scales", "from the first scale (dashed) to the learned one (dot)"]
        top = drawing.heading_size(lines)[1]
        height = top + sum(heights.values()) + len(layers) * (NAME + TICKS) + FOOT
        sheet = Sheet(LEFT + WIDE + MARGIN, height, on)
        sheet.heading(LEFT, lines)
        seen = self.results[["initial_scale", "learned_scale"]]
        ends = seen.min().min() / ROOM, seen.max().max() * ROOM
        axes = []
        for name, part in layers.items():
            factors = part.learned_scale / part.initial_scale
            low, high = factors.min(), factors.max()
            span = f"{low:.3g}" if channels[name] == 1 else f"{low:.3g} to {high:.3g}"
            sheet.text(LEFT, top + 0.12, name, weight="bold")
            style: dict[str, Any] = {"ha": "right"}
            sheet.text(LEFT + WIDE, top + 0.12, f"\N{MULTIPLICATION SIGN} {span}", **style)
            axes.append(sheet.axes(LEFT, top + NAME, WIDE, heights[name]))
            self._draw_layer(axes[-1], part.assign(factor=factors), ends)
            top += NAME + heights[name] + TICKS
        axes[-1].set_xlabel(
            "standard deviation \N{GREEK SMALL LETTER SIGMA}",
            fontsize=drawing.MEDIUM,
            color=drawing.INK,
        )
        return axes

    def _draw_layer(self, ax: Axes, part: pd.DataFrame, ends: tuple[float, float]) -> None:
        for number, first in enumerate(part.initial_scale.unique().tolist()):
            of_scale = part[part.initial_scale == first].sort_values("factor")
            learned = of_scale.learned_scale.to_numpy()
            colour, rows = drawing.COLOURS[number % len(drawing.COLOURS)], np.arange(len(learned))
            ax.axvline(first, color=colour, linewidth=0.8, linestyle="--")
            ax.hlines(rows, first, learned, color=colour, linewidth=0.8, alpha=0.5)
            size = 5 if len(rows) == 1 else 3
            ax.plot(learned, rows, "o", color=colour, markersize=size, clip_on=False)
        ax.set(xlim=ends, ylim=(-0.7, len(rows) - 0.3), yticks=[])
        ax.locator_params(axis="x", nbins=7)
        drawing.faint_ticks(ax)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.spines["bottom"].set_color(drawing.FAINT)
