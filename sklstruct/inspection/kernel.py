"""Effective kernels beside the atoms that they are made of."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..frames import Frame
from ..frames.checks import check_integer
from . import drawing
from .display import Axes, Display, Place
from .drawing import Sheet
from .frame_layers import frame_layers, unit_coefficients

KERNEL = {1: (1.0, 0.6), 2: (0.7, 0.7), 3: (1.8, 0.6)}  # picture of a kernel, in inches
ATOM = {1: 0.6, 2: 1.0, 3: 3.0}  # height of an atom as a share of its width
BARS, NARROWEST_ATOM, WIDEST_ATOM, UPRIGHT = 6.0, 0.2, 0.6, 0.35  # widths, in inches
MARGIN, GAP, NUMBER, TICKS = 0.25, 0.15, 0.3, 0.55
SCALES, LEVEL, SIDEWAYS = 0.2, 0.17, 0.32  # heights of scales and labels above the atoms


class KernelDisplay(Display):
    r"""Effective kernels of a frame layer, and their coefficients under the atoms.

    .. math::
        w = \sum_k c_k \, \psi_k / \|\psi_k\|

    Coefficients are those of the atoms of unit norm: a bar shows how much of a kernel an atom
    makes, whatever its order and scale.  Where a layer learns its scale, atoms have the first one
    and kernels the learned one.

    Parameters
    ----------
    frame : Frame
    kernels : ndarray, shape (n_kernels, *support)
    coefficients : ndarray, shape (n_kernels, n_atoms)
    layer : str, default=""
        Name of the layer.
    input_channel : int, default=0
        Input channel that the kernels are applied to.

    Attributes
    ----------
    frame, kernels, coefficients, layer, input_channel
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes
        First those of the atoms, then those of a kernel and its bars, for each kernel.

    See Also
    --------
    CoefficientDisplay : Coefficients of all layers.
    FrameDisplay : The atoms.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import KernelDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> display = KernelDisplay.from_estimator(model).save("kernels.png")
    >>> display.kernels.shape, display.coefficients.shape
    ((4, 7, 7), (4, 10))
    """

    def __init__(
        self,
        frame: Frame,
        kernels: NDArray[Any],
        coefficients: NDArray[Any],
        *,
        layer: str = "",
        input_channel: int = 0,
    ) -> None:
        self.frame, self.kernels, self.coefficients = frame, kernels, coefficients
        self.layer, self.input_channel = layer, input_channel

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        layer: str | int | None = None,
        n_kernels: int = 8,
        input_channel: int = 0,
        ax: Place = None,
    ) -> Self:
        """Draw the kernels of a layer of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            With a network in ``net_``.
        layer : str or int, default=None
            Name of a frame layer in ``net_.module_``, or its index among the frame layers; the
            first one if None.
        n_kernels : int, default=8
            Largest number of kernels, those of the first output channels.
        input_channel : int, default=0
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no frame layers, or not the layer, channel or number asked for.
        """
        layers = frame_layers(estimator)
        names = list(layers)
        # Names are long, and mean nothing to whoever wants the second layer.
        index = 0 if layer is None else names.index(layer) if layer in names else layer
        if not isinstance(index, Integral) or not -len(names) <= index < len(names):
            raise ValueError(
                f"layer must be an index below {len(names)} or one of {', '.join(names)}, got "
                f"{layer!r}."
            )
        name = names[index]
        picked = slice(check_integer("n_kernels", n_kernels, 1)), input_channel
        kernels = layers[name].kernel.numpy(force=True).astype(np.float64)
        if check_integer("input_channel", input_channel, 0) >= kernels.shape[1]:
            raise ValueError(
                f"input_channel must be below {kernels.shape[1]}, the number of input channels of "
                f"{name}, got {input_channel}."
            )
        return cls(
            layers[name].frame,
            kernels[picked],
            unit_coefficients(layers[name])[picked],
            layer=name,
            input_channel=input_channel,
        ).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw the atoms on top, and a line for each kernel: the kernel, and its coefficients.

        All kernels share their colours, and all coefficients their axis; every atom has colours
        of its own.
        """
        wide, high = KERNEL[self.frame.ndim]
        step = float(np.clip(BARS / len(self.frame), NARROWEST_ATOM, WIDEST_ATOM))
        text, head = drawing.heading_size(self._heading())
        head += SCALES * bool(drawing.scale_runs(self.frame))
        head += SIDEWAYS if step < UPRIGHT else LEVEL
        left = MARGIN + NUMBER + wide + GAP  # of the bars
        top = head + step * ATOM[self.frame.ndim] + GAP  # of the kernels
        width = max(left + step * len(self.frame) + TICKS, MARGIN + text + MARGIN)
        sheet = Sheet(width, top + len(self.kernels) * (high + GAP) + MARGIN, on)
        sheet.heading(MARGIN, self._heading())
        axes = self._draw_atoms(sheet, left, head, step)
        for row in range(len(self.kernels)):
            y = top + row * (high + GAP)
            sheet.text(MARGIN, y + high / 2, str(row))
            axes.append(sheet.axes(MARGIN + NUMBER, y, wide, high))
            drawing.draw_filter(axes[-1], self.kernels[row], limit=np.abs(self.kernels).max())
            axes.append(sheet.axes(left, y, step * len(self.frame), high))
            self._draw_bars(axes[-1], self.coefficients[row])
        return axes

    def _heading(self) -> list[str]:
        of_layer = f" of {self.layer}" if self.layer else ""
        return [
            f"Kernels{of_layer} for input channel {self.input_channel}",
            f"frame {self.frame.name}, bars: coefficients of the atoms of unit norm",
            "colours: every atom to its own largest magnitude, all kernels to theirs",
            *[drawing.PLANES] * (self.frame.ndim == 3),
        ]

    def _draw_atoms(self, sheet: Sheet, left: float, top: float, step: float) -> list[Axes]:
        rotation = 90 if step < UPRIGHT else 0
        for start, stop, scale in drawing.scale_runs(self.frame):
            y = drawing.heading_size(self._heading())[1] + SCALES / 2
            x = left + step * (start + stop) / 2
            sheet.text(x, y, drawing.scale_name(scale), ha="center", fontsize=drawing.SMALL)
        axes = []
        for k, (atom, label) in enumerate(zip(self.frame.atoms, self.frame.labels, strict=True)):
            size = 0.9 * step, 0.9 * step * ATOM[self.frame.ndim]
            axes.append(sheet.axes(left + (k + 0.05) * step, top, *size))
            drawing.draw_filter(axes[-1], atom, label, stacked=True, rotation=rotation)
        return axes

    def _draw_bars(self, ax: Axes, values: NDArray[Any]) -> None:
        # One axis for all kernels: a kernel of small coefficients is to look like one.
        limit = 1.1 * np.abs(self.coefficients).max() or 1.0
        colours = np.where(values < 0, drawing.NEGATIVE, drawing.POSITIVE)
        ax.bar(np.arange(len(values)), values, 0.7, color=colours)
        ax.axhline(0, color=drawing.INK, linewidth=0.5)
        ax.set(xlim=(-0.5, len(values) - 0.5), ylim=(-limit, limit), xticks=[])
        ax.yaxis.tick_right()
        ax.locator_params(axis="y", nbins=3)
        drawing.faint_ticks(ax)
        ax.spines[:].set_visible(False)
