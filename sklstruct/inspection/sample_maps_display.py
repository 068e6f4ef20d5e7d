"""Samples and, below each, where a model looks in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .display import Axes, Display, Place
from .drawing import (
    COLOURS,
    DIVERGING,
    FAINT,
    INK,
    LETTER,
    SMALL,
    Sheet,
    bare,
    draw_planes,
    faint_ticks,
    in_rows,
    planes_through,
)
from .integrated import missed_share
from .map_display import BAR, BAR_LABEL, GAP, MARGIN, NAME, finish_bar, fits
from .methods import MapMethod, map_method, values_of
from .pictured import predictions, samples_shown, title_of

Array = NDArray[Any]


class SampleMapsDisplay(Display):
    """Samples, and below each its map, all in the same colours with white at zero.

    Of volumes there are three planes through the place where the map has its largest magnitude.
    Axes are in samples.

    Parameters
    ----------
    samples : ndarray, shape (n, *spatial), or (n, height, width, 3) in colour
    maps : ndarray, shape (n, *spatial)
        With one to three axes in space.
    titles : sequence of str
        What stands over the samples.
    label : str, default=""
        What the values of the maps are.

    Attributes
    ----------
    samples, maps, titles, label
        As given.
    missed : ndarray, shape (n,), or None
        Of integrated gradients, what maps miss of the change of the output, relative to the sum of
        their magnitudes; None of other methods.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (2 n,)
        First those of the samples, then those of the maps.

    Raises
    ------
    ValueError
        If maps are not finite.

    See Also
    --------
    MapDisplay : Three planes of one volume.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import SampleMapsDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> display = SampleMapsDisplay.from_estimator(model, X[:3], "integrated_gradients", target=7)
    >>> display.maps.shape, len(display.axes_)
    ((3, 8, 8), 6)
    """

    def __init__(self, samples: Array, maps: Array, titles: Sequence[str], label: str = "") -> None:
        if not np.isfinite(maps).all():
            raise ValueError(f"maps must be finite numbers, got {np.isfinite(maps).mean():.0%} so.")
        self.samples, self.maps, self.titles, self.label = samples, maps, titles, label

    missed: Array | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        method: str | MapMethod = "gradient",
        target: Any = None,
        *,
        ax: Place = None,
        **params: Any,
    ) -> Self:
        """Draw where a model looks in samples.

        Parameters
        ----------
        estimator : fitted estimator
            As the method takes it.
        X : array-like, shape (n, ...)
        method : str or callable, default="gradient"
            "activation", "grad_cam", "gradient", "input_x_gradient", "integrated_gradients",
            "occlusion" or "smooth_gradient"; "captum:NAME" for a class of captum; or a function of
            (estimator, X, target) that returns maps (n, *spatial).
        target : label or int, default=None
            As the method takes it.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **params
            Of the method.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            As the method does.
        """
        complete = method == "integrated_gradients"
        params |= {"return_gap": True} if complete else {}
        found: Any = map_method(method)(estimator, X, target, **params)
        maps = found[0] if complete else found
        said = predictions(estimator, X)
        titles = [*map(title_of, said)]
        label = values_of(method, estimator, target)
        display = cls(samples_shown(estimator, X, maps.shape[1:]), maps, titles, label)
        display.missed = missed_share(*found) if complete else None
        return display.plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        # One limit for all: a weak map must not look like a strong one.
        limit = float(np.abs(self.maps).max() or 1)
        wide, high, per_row = (2.4, 0.75, 2) if self.maps.ndim == 4 else (0.75, 0.75, 8)
        columns, step = min(len(self.maps), per_row), wide + GAP / 4
        n_rows = -(-len(self.maps) // columns)
        row = NAME + 2 * high + GAP
        curves, tall = self.maps.ndim == 2, 2 * high + GAP / 4
        beside = not curves and fits(self.label, tall)
        head = NAME if beside else 2 * NAME
        margin = 0.45 if curves else MARGIN
        width = margin + columns * step + (0 if curves else BAR + BAR_LABEL)
        sheet = Sheet(width, head - NAME + n_rows * row + MARGIN / 2, on)
        if not beside:
            sheet.text(margin, NAME / 2, self.label)
        axes: list[list[Axes]] = [[], []]
        places = in_rows(len(self.maps), columns, step, row)
        for (x, y), sample, values, title in zip(
            places, self.samples, self.maps, self.titles, strict=True
        ):
            left, top = margin + x, head + y
            peak = np.unravel_index(np.abs(values).argmax(), values.shape)
            scaled = sample - sample.min()
            for part, (shown, ends, colours) in enumerate(
                (
                    (scaled, (0.0, float(scaled.max() or 1)), "gray"),
                    (values, (-limit, limit), DIVERGING),
                )
            ):
                ax = sheet.axes(left, top + part * (high + GAP / 4), wide, high)
                draw_through(ax, shown, peak, ends, colours)
                axes[part].append(ax)
            if x == 0:
                name_axes(axes[1][-1], values.shape)
                if curves:
                    name_values(axes[1][-1])
            shown = title[-int(wide / LETTER) :]
            axes[0][-1].set_title(shown, fontsize=SMALL, color=INK, pad=3)
        if not curves:
            bar = sheet.axes(margin + columns * step, head, BAR, tall)
            draw_bar(bar, limit, self.label if beside else "")
        return axes[0] + axes[1]


def draw_through(
    ax: Axes, values: Array, peak: Sequence[Any], ends: tuple[float, float], colours: str
) -> None:
    """Draw a curve, an image, or the planes of a volume through a place."""
    bare(ax)
    if values.ndim == 1:
        ax.axhline(0, color=FAINT, linewidth=0.6)
        ax.plot(values, color=COLOURS[0], linewidth=1)
        ax.set(xlim=(-0.5, len(values) - 0.5), ylim=(1.1 * ends[0], 1.1 * ends[1]))
    else:
        planes = planes_through(values, peak) if len(peak) == 3 else [values]
        draw_planes(ax, planes, ends, colours)
        ax.spines[:].set_visible(False)


def name_axes(ax: Axes, shape: tuple[int, ...]) -> None:
    """Say how many samples there are from left to right, or which planes there are of a volume."""
    words = "planes yx, zx, zy" if len(shape) == 3 else "samples"
    ax.set_xlabel(words, fontsize=SMALL, color=INK, labelpad=2 if len(shape) == 3 else -5)
    if len(shape) < 3:
        ax.set_xticks([0, shape[-1] - (len(shape) == 1)])
        faint_ticks(ax)


def name_values(ax: Axes) -> None:
    """Put numbers to the left of a curve."""
    from matplotlib.ticker import MaxNLocator

    ax.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    faint_ticks(ax)


def draw_bar(ax: Axes, limit: float, label: str) -> None:
    """Draw what the colours stand for."""
    ramp = np.linspace(-limit, limit, 256)[:, np.newaxis]
    ax.imshow(ramp, DIVERGING, extent=(0, 1, -limit, limit), aspect="auto", origin="lower")
    finish_bar(ax, label)
