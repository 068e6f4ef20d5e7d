"""How large the coefficients of a trained network are, atom by atom and layer by layer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..frames import Frame
from . import drawing
from .display import Axes, Display, Place
from .drawing import Sheet
from .frame_layers import frame_layers, unit_coefficients

NARROWEST, ATOM, PANEL, LEFT, MARGIN = 5.0, 0.2, 1.3, 0.6, 0.2  # inches
NAME, SCALES, FOOT = 0.28, 0.12, 0.4
UPRIGHT = 16  # atoms whose labels fit side by side


class CoefficientDisplay(Display):
    r"""Mean and spread of the coefficients over all effective kernels of each layer.

    For an atom :math:`k` of a layer, over its output channels :math:`o` and input channels
    :math:`i`, the mean and the standard deviation of :math:`c_{oik} \|\psi_k\|`.

    That is the coefficient of the atom of unit norm, which has a kernel's own scale; so orders
    and scales compare, while the atoms as sampled differ in norm by powers of the scale.
    Layers differ by their number of input channels too, and have an axis each.

    Parameters
    ----------
    coefficients : dict from str to ndarray, shape (out_channels, in_channels, n_atoms)
        Coefficients of the atoms of unit norm, by layer.
    frames : dict from str to Frame
        Frame of every layer.
    absolute : bool, default=False
        Whether to take the magnitudes of the coefficients.

    Attributes
    ----------
    coefficients, frames, absolute
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_layers,)

    See Also
    --------
    KernelDisplay : The kernels that coefficients make.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016, figure 5.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import CoefficientDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> display = CoefficientDisplay.from_estimator(model)
    >>> display.to_frame().columns.tolist()
    ['layer', 'atom', 'order', 'scale', 'mean', 'std']
    """

    def __init__(
        self,
        coefficients: dict[str, NDArray[Any]],
        frames: dict[str, Frame],
        *,
        absolute: bool = False,
    ) -> None:
        self.coefficients, self.frames, self.absolute = coefficients, frames, absolute

    @classmethod
    def from_estimator(cls, estimator: Any, absolute: bool = False, ax: Place = None) -> Self:
        """Draw the coefficients of all frame layers of a fitted estimator.

        Parameters
        ----------
        estimator : fitted estimator
            With a network in ``net_``.
        absolute : bool, default=False
            Whether to take the magnitudes of the coefficients: their mean shows how much an
            atom is used, where signs would cancel.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it has no frame layers.
        """
        layers = frame_layers(estimator)
        return cls(
            {name: unit_coefficients(layer) for name, layer in layers.items()},
            {name: layer.frame for name, layer in layers.items()},
            absolute=absolute,
        ).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers, one row for each atom of each layer.

        Returns
        -------
        table : DataFrame
            With the columns layer, atom, order, scale, mean and std.
        """
        return pd.concat([self._table(name) for name in self.coefficients], ignore_index=True)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw a panel for each layer: a dot at the mean, a line of one deviation to each side."""
        inner = max(NARROWEST, ATOM * max(map(len, self.frames.values())))
        head = drawing.heading_size(self._heading())[1] + drawing.LEADING
        name = NAME + SCALES * any(map(drawing.scale_runs, self.frames.values()))
        step = name + PANEL + FOOT
        sheet = Sheet(LEFT + inner + MARGIN, head + step * len(self.frames) + MARGIN, on)
        sheet.heading(LEFT, self._heading())
        orders = np.unique(np.concatenate([frame.orders for frame in self.frames.values()]))
        for place, order in enumerate(orders if len(orders) > 1 else []):  # the legend of colours
            style = {"color": drawing.order_colour(order), "weight": "bold"}
            sheet.text(LEFT + 0.6 * place, head - drawing.LEADING, f"order {order}", **style)
        axes = []
        for row, layer in enumerate(self.frames):
            top = head + row * step
            sheet.text(LEFT, top + 0.12, layer, weight="bold")
            axes.append(sheet.axes(LEFT, top + name, inner, PANEL))
            self._draw_layer(axes[-1], layer)
        return axes

    def _table(self, name: str) -> pd.DataFrame:
        frame = self.frames[name]
        values = self.coefficients[name].reshape(-1, len(frame))
        values = np.abs(values) if self.absolute else values
        columns = {
            "layer": name,
            "atom": frame.labels,
            "order": frame.orders,
            "scale": frame.scales,
            "mean": values.mean(axis=0),
            "std": values.std(axis=0),
        }
        return pd.DataFrame(columns)

    def _heading(self) -> list[str]:
        what = "Magnitudes of coefficients" if self.absolute else "Coefficients"
        line = "mean ± one standard deviation, of the atoms of unit norm"
        return [f"{what} over all kernels", line]

    def _draw_layer(self, ax: Axes, name: str) -> None:
        frame, table = self.frames[name], self._table(name)
        ax.axhline(0, color=drawing.FAINT, linewidth=0.8)
        for order in np.unique(frame.orders):
            part, colour = table[table["order"] == order], drawing.order_colour(order)
            ax.errorbar(part.index, part["mean"], part["std"], fmt="o", markersize=4, color=colour)
        for start, stop, scale in drawing.scale_runs(frame):
            ax.axvline(stop - 0.5, color=drawing.FAINT, linewidth=0.5, linestyle=":")
            style: dict[str, Any] = {"ha": "center", "fontsize": drawing.SMALL}
            style |= {"color": drawing.INK, "transform": ax.get_xaxis_transform()}  # above the axes
            ax.text((start + stop - 1) / 2, 1.03, drawing.scale_name(scale), **style)
        rotation = 90 if len(frame) > UPRIGHT else 0
        ax.set_xticks(range(len(frame)), [*map(drawing.pretty, frame.labels)], rotation=rotation)
        ax.set_xlim(-0.5, len(frame) - 0.5)
        ax.locator_params(axis="y", nbins=5)
        drawing.faint_ticks(ax)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.spines["left"].set_color(drawing.FAINT)
