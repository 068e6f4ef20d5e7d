"""Filters of a layer as sheets of pictures, and their spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..params import check, integer, one_of
from .display import Axes, Display, Place
from .drawing import (
    COLOURS,
    FAINT,
    INK,
    SMALL,
    TINY,
    Sheet,
    bare,
    draw_filter,
    draw_planes,
    faint_ticks,
    in_rows,
    order_colour,
    planes_through,
)
from .filter_properties import ORDERS, describe, spectrum
from .kernels import named_filters
from .opened import RGB, Opened

Array = NDArray[np.float64]

PAGE, MARGIN, GAP, NUMBER, FOOT, BAR = 3.3, 0.15, 0.06, 0.12, 0.3, 0.36  # inches
CELLS = {1: (0.66, 0.45), 2: (0.33, 0.33), 3: (0.92, 0.2875)}
NYQUIST = 0.5
CYCLIC, RISING = "twilight_shifted", "viridis"
FRAME = 1.6  # points
WORDS = {
    "orientation": "orientation (degrees)",
    "scale": "scale (samples)",
    "order": "order",
    "energy": "energy",
}


class FilterDisplay(Display):
    r"""The filters of a layer side by side, ordered and framed by what they are like.

    Filters of three channels are images in colour, grey where they are zero.  Of other numbers of
    channels the profile in space is shown that all of them share most (the first singular
    vector); with the channel of the largest weight counted as positive.  Every filter has colours
    of its own, to its largest magnitude, and its number above.

    Parameters
    ----------
    kernels : ndarray, shape (n, n_channels, \*support)
    table : DataFrame
        Of as many rows, with the columns filter and that of ``by``; see ``filter_table``.
    layer : str, default=""
        Name of the layer.
    by : {"orientation", "scale", "order", "energy"} or None, default=None
        What filters are ordered and framed by; None leaves them in order.
    spacing : sequence of float, default=None
        Distance of samples along each axis in mm; None counts samples.

    Attributes
    ----------
    kernels, table, layer, by, spacing
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n,)

    See Also
    --------
    filters, filter_table : The numbers behind it.
    SpectrumDisplay : The filters as functions of frequency.
    KernelDisplay : Kernels beside the atoms of their frame.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import FilterDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=1, random_state=0).fit(X, y)
    >>> display = FilterDisplay.from_estimator(model, by="orientation").save("filters.png")
    >>> display.kernels.shape
    (4, 1, 7, 7)
    """

    def __init__(
        self,
        kernels: Array,
        table: pd.DataFrame,
        *,
        layer: str = "",
        by: str | None = None,
        spacing: Sequence[float] | None = None,
    ) -> None:
        self.kernels, self.table, self.layer = kernels, table, layer
        self.by, self.spacing = check("by", by, one_of(*WORDS) | None), spacing

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        layer: str | None = None,
        *,
        of: str | None = None,
        by: str | None = None,
        n_filters: int = 64,
        ax: Place = None,
    ) -> Self:
        """Draw the filters of a layer.

        Parameters
        ----------
        estimator, layer, of
            As of ``filters``.
        by : {"orientation", "scale", "order", "energy"} or None, default=None
        n_filters : int, default=64
            Largest number of filters, those of the most energy.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            If ``filters`` refuses something, or a parameter is none of the above.
        """
        check("by", by, one_of(*WORDS) | None)
        kernels, table, name = strongest(estimator, layer, of, n_filters)
        if by is not None:
            order = table[by].argsort(kind="stable")  # those without come last
            kernels, table = kernels[order], table.iloc[order]
        volumes = Opened(estimator).volumes if of == "input" else None
        spacing = None if volumes is None else volumes.spacing_
        label = f"of the input, up to {name}" if of == "input" else name
        return cls(kernels, table, layer=label, by=by, spacing=spacing).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return what the filters are like."""
        return self.table

    def _draw(self, on: Place) -> list[Axes]:
        n_channels, *support = self.kernels.shape[1:]
        extents = " x ".join(map(str, support))
        of = f"{n_channels} channels" if n_channels > 1 else "one channel"
        heading = ["Filters", self.layer, f"{extents} samples, {of}"]
        heading += ["planes yx, zx, zy through the largest value"] * (len(support) == 3)
        sheet, axes, bottom = cells(
            on, heading, len(self.kernels), len(support), BAR * bool(self.by)
        )
        for ax, kernel, number in zip(axes, self.kernels, self.table["filter"], strict=True):
            draw_kernel(ax, kernel)
            ax.set_title(str(number), fontsize=TINY, color=INK, pad=1.5)
        step, unit = (1, "samples") if self.spacing is None else (self.spacing[-1], "mm")
        reach = (support[-1] - 1) / 2 * step
        draw_ruler(sheet, bottom, support, reach, f"{unit} from the middle, along the last axis")
        if self.by:
            self._frame(axes, sheet, bottom + FOOT)
        return axes

    def _frame(self, axes: list[Axes], sheet: Sheet, bottom: float) -> None:
        """Draw a frame in a colour around every filter, and what colours stand for."""
        from matplotlib import colormaps

        values = self.table[self.by].to_numpy()
        bar = sheet.axes(MARGIN, bottom + 0.05, 1.6, 0.08)
        if self.by == "order":
            colours: Any = [order_colour(int(v)) if np.isfinite(v) else FAINT for v in values]
            for order in ORDERS:
                bar.axvspan(order - 0.5, order + 0.5, color=order_colour(order))
            bar.set(xlim=(-0.5, len(ORDERS) - 0.5), yticks=[], xticks=[*ORDERS])
        else:
            cyclic = self.by == "orientation"
            known = np.sort(values[np.isfinite(values)])
            low, high = (0.0, 180.0) if cyclic or not len(known) else (known[0], known[-1])
            high = high if high > low else low + 1
            colours = colormaps[CYCLIC if cyclic else RISING]((values - low) / (high - low))
            colours[~np.isfinite(values)] = 0.75
            ramp = np.linspace(low, high, 256)[np.newaxis]
            bar.imshow(ramp, CYCLIC if cyclic else RISING, extent=(low, high, 0, 1), aspect="auto")
            bar.set(yticks=[])
            bar.locator_params(axis="x", nbins=4)
            if cyclic:
                bar.set_xticks([0, 45, 90, 135, 180])
        faint_ticks(bar)
        bar.spines[:].set_visible(False)
        sheet.text(MARGIN + 1.68, bottom + 0.09, WORDS[self.by], fontsize=SMALL)
        for ax, colour in zip(axes, colours, strict=True):
            ax.spines[:].set(color=colour, linewidth=FRAME, visible=True)


class SpectrumDisplay(Display):
    r"""Amplitude spectra of the filters of a layer, side by side.

    .. math:: \sqrt{\sum_c |\hat w_c(f)|^2}

    over the channels c, at frequencies f up to half a cycle a sample, each to its own largest
    value; of volumes the planes through frequency 0.

    Parameters
    ----------
    spectra : ndarray, shape (n, \*frequencies)
        With frequency 0 in the middle; their extents are odd.
    numbers : sequence of int
        Those of the filters.
    layer : str, default=""
        Name of the layer.

    Attributes
    ----------
    spectra, numbers, layer
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n,)

    See Also
    --------
    FilterDisplay : The filters.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import SpectrumDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=1, random_state=0).fit(X, y)
    >>> SpectrumDisplay.from_estimator(model).spectra.shape
    (4, 65, 65)
    """

    def __init__(self, spectra: Array, numbers: Sequence[int], *, layer: str = "") -> None:
        self.spectra, self.numbers, self.layer = spectra, numbers, layer

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        layer: str | None = None,
        *,
        of: str | None = None,
        n_filters: int = 64,
        ax: Place = None,
    ) -> Self:
        """Draw the spectra of the filters of a layer.

        Parameters
        ----------
        estimator, layer, of
            As of ``filters``.
        n_filters : int, default=64
            Largest number of filters, those of the most energy.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError, TypeError, ValueError
            If ``filters`` refuses something, or a parameter is none of the above.
        """
        kernels, table, name = strongest(estimator, layer, of, n_filters)
        return cls(np.sqrt(spectrum(kernels)), table["filter"].tolist(), layer=name).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        extents = self.spectra.shape[1:]
        heading = ["Amplitude spectra", self.layer, "each from 0 (dark) to its largest (bright)"]
        if len(extents) == 1:
            heading[2] = "each on an axis of its own"
        heading += ["planes yx, zx, zy through frequency 0"] * (len(extents) == 3)
        sheet, axes, bottom = cells(on, heading, len(self.spectra), len(extents))
        for ax, values, number in zip(axes, self.spectra, self.numbers, strict=True):
            bare(ax)
            if values.ndim == 1:
                ax.plot(values, color=COLOURS[0], linewidth=1)
                ax.set(xlim=(-0.5, len(values) - 0.5), ylim=(0, 1.15 * (values.max() or 1)))
            else:
                middle = planes_through(values, [extent // 2 for extent in extents])
                planes = [values] if values.ndim == 2 else middle
                draw_planes(ax, planes, (0, values.max() or 1), RISING)
                ax.spines[:].set_visible(False)
            ax.set_title(str(number), fontsize=TINY, color=INK, pad=1.5)
        draw_ruler(sheet, bottom, extents, NYQUIST, "cycles a sample, along the last axis")
        return axes


def strongest(
    estimator: Any, layer: str | None, of: str | None, n_filters: int
) -> tuple[Array, pd.DataFrame, str]:
    """Return the filters of the most energy, in order, their table, and the name of the layer."""
    check("n_filters", n_filters, integer(1))
    kernels, name = named_filters(estimator, layer, of)
    table = pd.DataFrame({"layer": name, "filter": np.arange(len(kernels))} | describe(kernels))
    picked = np.sort(np.argsort(-table["energy"], kind="stable")[:n_filters])
    return kernels[picked], table.iloc[picked].reset_index(drop=True), name


def cells(
    on: Place, heading: list[str], n: int, ndim: int, foot: float = 0
) -> tuple[Sheet, list[Axes], float]:
    """Return a sheet, a place on it for each filter, and where these end, in inches."""
    wide, high = CELLS[ndim]
    columns = per_page(wide, n)
    row = high + NUMBER + GAP
    height = -(-n // columns) * row
    sheet, head = Sheet.headed(heading, MARGIN, PAGE, height + FOOT + foot, on)
    axes = [
        sheet.axes(MARGIN + left, head + top + NUMBER, wide, high)
        for left, top in in_rows(n, columns, wide + GAP, row)
    ]
    return sheet, axes, head + height


def per_page(wide: float, n: int) -> int:
    """Return how many of n pictures fit side by side."""
    return min(max(1, int((PAGE - MARGIN) / (wide + GAP))), n)


def draw_kernel(ax: Axes, kernel: Array) -> None:
    """Draw a filter (n_channels, *support), in colour where it has three channels of an image."""
    if kernel.ndim == 3 and len(kernel) == RGB:
        height, width = kernel.shape[1:]
        shade = 0.5 + kernel.transpose(1, 2, 0) / (2 * np.abs(kernel).max() or 1)
        ax.imshow(shade, extent=(0, width, height, 0), interpolation="nearest")
        bare(ax)
    else:
        draw_filter(ax, shared_profile(kernel))


def shared_profile(kernel: Array) -> Array:
    """Return what channels have most in common, (*support); of one channel that is the kernel."""
    flat = kernel.reshape(len(kernel), -1)
    left, sizes, right = np.linalg.svd(flat, full_matrices=False)
    sign = np.sign(left[np.abs(left[:, 0]).argmax(), 0]) or 1
    return (sign * sizes[0] * right[0]).reshape(kernel.shape[1:])


def draw_ruler(sheet: Sheet, top: float, extents: Sequence[int], reach: float, unit: str) -> None:
    """Draw how far the ends of filters are from the middle, as wide as the first one."""
    wide, high = CELLS[len(extents)]
    width = wide if len(extents) == 1 else high * extents[-1] / max(extents)
    left = MARGIN + (wide - width) / 2 * (len(extents) == 2)
    ruler = sheet.axes(left, top + 0.02, width, 0.03)
    half = width / 2 * (1 - 1 / extents[-1])  # to the middle of the last sample
    ruler.set(xlim=(-width / 2, width / 2), yticks=[])
    ruler.set_xticks([-half, half], [f"\N{MINUS SIGN}{reach:.3g}", f"{reach:.3g}"], fontsize=TINY)
    faint_ticks(ruler)
    ruler.tick_params(labelsize=TINY, pad=1)
    ruler.spines[["top", "right", "left"]].set_visible(False)
    ruler.spines["bottom"].set_color(INK)
    sheet.text(left + width + 0.14, top + 0.12, unit, fontsize=TINY)
