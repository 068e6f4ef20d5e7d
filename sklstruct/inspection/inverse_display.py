"""How well a representation can be inverted, and what lies between samples, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..estimators.samples import channels_first, decide_layout, image_shape_of
from ..params import check, real
from .display import Axes, Display, Place
from .drawing import INK, SMALL, Sheet, draw_channels, heading_size
from .interpolation import Interpolation, interpolate
from .jacobian import singular_values
from .opened import RGB
from .panels import Panel, check_results, draw_panels

PICTURE, SPACE, MARGIN, NAME = 0.8, 0.08, 0.25, 0.25  # inches


class SingularValuesDisplay(Display):
    """Singular values of Jacobians, relative to the largest, and the energy up to each of them.

    Parameters
    ----------
    results : mapping from str to DataFrame
        By name, as ``singular_values`` returns them.

    Attributes
    ----------
    results : dict from str to DataFrame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (2,)

    Raises
    ------
    ValueError
        If there are no results, or they lack a column.

    See Also
    --------
    singular_values : The numbers behind it.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import SingularValuesDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=1, random_state=0).fit(X, y)
    >>> display = SingularValuesDisplay.from_estimator(model, X[0], layers=["stages.0", "stages.1"])
    >>> list(display.energy_within(0.1))
    ['stages.0', 'stages.1']
    """

    def __init__(self, results: Mapping[str, pd.DataFrame]) -> None:
        if not results:
            raise ValueError("results must be tables by name, got none.")
        for table in results.values():
            check_results(table, "rank", "value", "energy", "fraction")
        self.results = dict(results)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        sample: Any,
        k: int | None = None,
        *,
        layers: Sequence[str] | None = None,
        ax: Place = None,
    ) -> Self:
        """Compute and draw the singular values at a sample.

        Parameters
        ----------
        estimator, sample, k
            As ``singular_values`` takes them.
        layers : sequence of str, default=None
            Names of layers in ``net_.module_``; None takes what ``transform`` returns.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        ValueError
            If ``singular_values`` refuses something.
        """
        names = {"features": None} if layers is None else {name: name for name in layers}
        return cls(
            {
                name: singular_values(estimator, sample, k, layer=layer)
                for name, layer in names.items()
            }
        ).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of all, by ``name``."""
        return pd.concat(self.results, names=["name"]).reset_index("name").reset_index(drop=True)

    def energy_within(self, fraction: float = 0.1) -> dict[str, float]:
        """Return the share of the energy that the first values carry, by name.

        Parameters
        ----------
        fraction : float, default=0.1
            How many of the values, as a share of the number of all; at least one.

        Returns
        -------
        energies : dict from str to float
            NaN where not so many values are known.
        """
        check("fraction", fraction, real(above=0, most=1))
        energies = {}
        for name, table in self.results.items():
            within = table["energy"][table["fraction"] >= fraction]
            energies[name] = float(within.iloc[0]) if len(within) else np.nan
        return energies

    def _draw(self, on: Place) -> list[Axes]:
        heading = ["Singular values of the Jacobian", "of a representation at one sample"]
        relative, energies = {}, {}
        for name, table in self.results.items():
            by_rank = table.set_index("rank")
            values = by_rank["value"] / by_rank["value"].max()
            # What is left of zeros after rounding would take most of a logarithmic axis.
            relative[name] = values[values > len(values) * np.finfo(float).eps]
            energies[name] = by_rank["energy"]
        panels = [
            Panel("value, relative to the largest", "rank", relative, logarithmic="xy"),
            Panel("share of the energy up to a rank", "rank", energies, logarithmic="x"),
        ]
        return draw_panels(on, heading, panels)


class InterpolationDisplay(Display):
    """Samples between those of pairs, a row for each pair from its first to its second one.

    Signals are lines, images are grey or in colours, of volumes the middle plane is drawn.  All
    samples of a row have one scale, that of the two which it runs between.

    Parameters
    ----------
    found : Interpolation
        As ``interpolate`` returns it.
    image_shape : tuple of int, default=None
        Shape that flat samples fold into.
    layout : str, default=None
        Axes of a sample, see ``sklstruct.estimators.samples``.

    Attributes
    ----------
    found : Interpolation
    samples : ndarray, shape (n_pairs, n_steps, channels, *spatial)
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_pairs * n_steps,)

    Raises
    ------
    ValueError
        If the shape or the layout does not fit the samples.

    See Also
    --------
    interpolate : The numbers behind it.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from sklstruct.inspection import InterpolationDisplay, interpolate
    >>> X = load_digits().data[:100]
    >>> found = interpolate(PCA().fit(X), X[:2], X[2:4], n_steps=5)
    >>> display = InterpolationDisplay(found, image_shape=(8, 8)).save("between.png")
    >>> display.samples.shape
    (2, 5, 1, 8, 8)
    """

    def __init__(
        self,
        found: Interpolation,
        *,
        image_shape: tuple[int, ...] | None = None,
        layout: str | None = None,
    ) -> None:
        self.found = found
        given = found.samples
        shape = image_shape_of(given.shape[2:], image_shape)
        planes = channels_first(given.reshape(-1, *shape), decide_layout(shape, layout))
        self.samples = planes.reshape(*given.shape[:2], *planes.shape[1:])

    @classmethod
    def from_estimator(
        cls, estimator: Any, first: Any, second: Any, n_steps: int = 8, *, ax: Place = None
    ) -> Self:
        """Compute and draw the samples between those of pairs.

        Parameters are those of ``interpolate``, and ``ax`` as ``plot`` takes it.
        """
        return cls(
            interpolate(estimator, first, second, n_steps),
            image_shape=getattr(estimator, "image_shape", None),
            layout=getattr(estimator, "layout_", None),
        ).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the distances, as the table of ``interpolate`` has them."""
        return self.found.table

    def _draw(self, on: Place) -> list[Axes]:
        n_pairs, n_steps = self.samples.shape[:2]
        heading = ["Between samples, through the representation", "t: share of the first sample"]
        text, head = heading_size(heading)
        head += NAME
        step = PICTURE + SPACE
        width = MARGIN + max(step * n_steps, text) + MARGIN
        sheet = Sheet(width, head + step * n_pairs + MARGIN, on)
        sheet.heading(MARGIN, heading)
        axes, drawn = [], pictures(self.samples)
        for pair, column in np.ndindex(n_pairs, n_steps):
            ax = sheet.axes(MARGIN + step * column, head + step * pair, PICTURE, PICTURE)
            ends = drawn[pair, [0, -1]]
            draw_channels(ax, drawn[pair, column], float(ends.min()), float(ends.max()))
            if pair == 0:
                t = self.found.table["t"].iloc[column]
                ax.set_title(f"t = {t:.2g}", fontsize=SMALL, color=INK, pad=3)
            axes.append(ax)
        return axes


def pictures(samples: NDArray[Any]) -> NDArray[Any]:
    """Return what is drawn of samples (n_pairs, n_steps, channels, *spatial).

    That is signals as they are, and of images and middle planes of volumes the colours, or the
    mean over other channels.
    """
    if samples.ndim == 4:
        return samples
    planes = samples[:, :, :, samples.shape[3] // 2] if samples.ndim == 6 else samples
    return planes if planes.shape[2] == RGB else planes.mean(axis=2, keepdims=True)
