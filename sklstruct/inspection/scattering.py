"""Scattering coefficients in the plane of frequencies, or of time and frequency."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .display import Axes, Display, Place
from .drawing import FAINT, INK, POSITIVE, SMALL, Sheet, faint_ticks, heading_size

if TYPE_CHECKING:
    from matplotlib.collections import PatchCollection

PANEL, GAP, MARGIN, NAME, SCALE, BAR = 2.8, 0.35, 0.25, 0.15, 0.8, 0.08  # inches
COLOURS = "magma"
NYQUIST = 0.5  # cycles a sample, the highest frequency
ORDERS = {1: "first order", 2: "second order"}
WAVELET = ("j", "theta", "angle")


class ScatteringDisplay(Display):
    r"""Scattering coefficients of an image as a disk of frequencies, one for each order.

    The coefficient of first order of a wavelet at scale :math:`2^j` with a wave in direction
    :math:`\theta` fills the sector around :math:`\theta` between the radii :math:`2^{-j-1}` and
    :math:`2^{-j}`, and the one opposite, as the spectrum of an image is symmetric.  At second
    order, the sector of the first wavelet is divided along the radius by the scale of the
    second, the finest outside, and around the centre by its direction.  Coefficients are
    averaged over places and channels, or taken at one place.

    Parameters
    ----------
    meta : DataFrame, shape (n_features, n_columns)
        What every coefficient is: the columns are channel, path and order; j1, theta1 and
        angle1 of the first wavelet, and so on; and the place, y and x.
    coefficients : array-like, shape (n_features,)
    place : tuple of int, default=None
        Where to look, (y, x) on the grid of coefficients; if None, everywhere.
    image : array-like, shape (height, width) or (height, width, 3), default=None
        Is drawn beside the disks.

    Attributes
    ----------
    meta, coefficients, place, image
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_panels,)

    Raises
    ------
    ValueError
        If the coefficients are not those of oriented wavelets in the plane, if their number is
        not that of the rows of ``meta``, or if there are none at the place.

    See Also
    --------
    CoefficientDisplay : Coefficients that a network has learned.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013, figure 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringTransformer
    >>> from sklstruct.inspection import ScatteringDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> transformer = ScatteringTransformer(J=2, L=4, image_shape=(8, 8)).fit(X)
    >>> display = ScatteringDisplay.from_transformer(transformer, X[y == 1])
    >>> brightest = display.to_frame().query("order == 1").nlargest(1, "coefficient")
    >>> brightest[["j1", "theta1"]].iloc[0].to_dict()
    {'j1': 1, 'theta1': 3}
    """

    def __init__(
        self,
        meta: pd.DataFrame,
        coefficients: ArrayLike,
        *,
        place: tuple[int, int] | None = None,
        image: ArrayLike | None = None,
    ) -> None:
        self.meta, self.coefficients, self.place = meta, np.asarray(coefficients), place
        self.image = None if image is None else np.asarray(image)
        missing = {"path", "order", "y", "x", *columns(1)} - set(meta.columns)
        if missing:
            raise ValueError(
                "The disk is for coefficients of oriented wavelets in the plane, of order 1 at "
                f"least, but meta has no column {', '.join(sorted(missing))}."
            )
        if self.coefficients.shape != (len(meta),):
            raise ValueError(
                f"coefficients must have shape ({len(meta)},), one for each row of meta, got "
                f"{self.coefficients.shape}."
            )
        if place is not None and not self._here.any():
            raise ValueError(f"There are no coefficients at place={place!r}.")

    @classmethod
    def from_transformer(
        cls, transformer: Any, X: Any, *, place: tuple[int, int] | None = None, ax: Place = None
    ) -> Self:
        """Compute the coefficients of samples, and draw them.

        Parameters
        ----------
        transformer : ScatteringTransformer
            Fitted.
        X : array-like, shape (n, ...)
            Samples as the transformer takes them: one, or several to average over.
        place : tuple of int, default=None
            Where to look, (y, x) on the grid of coefficients; if None, everywhere.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError
            If the transformer is not fitted.
        ValueError
            If X or its coefficients are not what a disk is for.
        """
        coefficients = np.asarray(transformer.transform(X)).mean(axis=0)
        # As the transformer reads them, or the picture would be of another image.
        samples = transformer._read(X, reset=False).mean(axis=0)  # (channels, height, width)
        image = {1: samples[0], 3: np.moveaxis(samples, 0, -1)}.get(len(samples))
        return cls(transformer.meta_, coefficients, place=place, image=image).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the numbers of the picture, one row for each path.

        Returns
        -------
        table : DataFrame
            With the columns order, j1, theta1, angle1 and so on, and coefficient.
        """
        kept = ["order", *(name for k in ORDERS for name in columns(k) if name in self.meta)]
        table = self.meta[["path", *kept]].assign(coefficient=self.coefficients)
        paths = table[self._here].groupby("path")
        return paths[kept].first().assign(coefficient=paths["coefficient"].mean())

    @property
    def _here(self) -> NDArray[np.bool_]:
        """Which rows of ``meta`` are at the place."""
        if self.place is None:
            return np.ones(len(self.meta), bool)
        return (self.meta[["y", "x"]].to_numpy() == self.place).all(axis=1)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw the image, and the disks of first and of second order with colours of their own."""
        table = self.to_frame()
        orders = [order for order in ORDERS if (table["order"] == order).any()]
        heading = self._heading(orders)
        text, head = heading_size(heading)
        panels = len(orders) + (self.image is not None)
        step, top = PANEL + GAP, head + NAME
        width = 2 * MARGIN + max(text, panels * step - GAP)
        sheet = Sheet(width, top + PANEL + SCALE, on)
        sheet.heading(MARGIN, heading)
        axes = [sheet.axes(MARGIN + step * panel, top, PANEL, PANEL) for panel in range(panels)]
        if self.image is not None:
            self._draw_image(axes[0], self.image)
        for panel, order in zip(range(panels)[-len(orders) :], orders, strict=True):
            left = MARGIN + step * panel
            sheet.text(left + PANEL / 2, head, ORDERS[order], ha="center", weight="bold")
            disk = draw_disk(axes[panel], table[table["order"] == order], order)
            scale = sheet.axes(left + PANEL / 4, top + PANEL + SCALE / 2, PANEL / 2, BAR)
            draw_scale(scale, disk)
        return axes

    def _draw_image(self, ax: Axes, image: NDArray[Any]) -> None:
        """Draw the image from its least to its largest value, and frame the place."""
        from matplotlib.patches import Rectangle

        low, high = image.min(), image.max()
        ax.imshow((image - low) / ((high - low) or 1), "gray", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color=FAINT, linewidth=0.5)
        if self.place is not None:
            grid = self.meta[["y", "x"]].max().to_numpy() + 1
            height, width = image.shape[:2] / grid
            corner = width * self.place[1] - 0.5, height * self.place[0] - 0.5
            ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=POSITIVE))

    def _heading(self, orders: list[int]) -> list[str]:
        where = "averaged over all places" if self.place is None else f"at the place {self.place}"
        return [
            f"Scattering coefficients {where}",
            "radius: frequency in cycles a sample, j = 0 outside;  angle: direction of the wave, "
            "with the number theta",
            "second order: in each sector, the second wavelet by j2, finest outside, and by its "
            "angle to the first, parallel in the middle",
        ][: max(orders) + 1]


def columns(k: int) -> list[str]:
    """Return the columns of ``meta`` that place wavelet k in the plane of frequencies."""
    return [f"{name}{k}" for name in WAVELET]


def draw_disk(ax: Axes, table: pd.DataFrame, order: int) -> PatchCollection:
    """Draw the coefficients of an order, and return the patches with their colours."""
    sectors = first_order_sectors(table) if order == 1 else second_order_sectors(table)
    disk = wedges(sectors, cmap=COLOURS, linewidth=0.4, edgecolor="face")
    disk.set_array(np.tile(table["coefficient"], 2))  # spectra of real images are symmetric
    # Second order is an order of magnitude weaker: in common colours it would be black.
    disk.set_clim(0, table["coefficient"].max() or 1)
    ax.add_collection(disk)
    firsts = table.drop_duplicates(["j1", "theta1"])
    borders = wedges(
        first_order_sectors(firsts), facecolor="none", edgecolor="white", linewidth=0.7
    )
    ax.add_collection(borders)
    write_frequencies(ax, firsts)
    return disk


def wedges(sectors: NDArray[np.float64], **style: Any) -> PatchCollection:
    """Return patches of sectors (inner, outer, start, stop), then of those opposite."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Wedge

    patches = [
        Wedge((0, 0), outer, *np.degrees([start + turn, stop + turn]), width=outer - inner)
        for turn in (0, pi)
        for inner, outer, start, stop in sectors
    ]
    return PatchCollection(patches, **style)


def write_frequencies(ax: Axes, firsts: pd.DataFrame) -> None:
    """Write the numbers of the directions around a disk, and the radii under it."""
    for theta, angle in firsts.groupby("theta1")["angle1"].first().items():
        x, y = 1.06 * NYQUIST * np.sin(angle), -1.06 * NYQUIST * np.cos(angle)
        ax.text(x, y, str(theta), fontsize=SMALL, color=INK, ha="center", va="center")
    reach = 1.12 * NYQUIST
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), yticks=[], aspect="equal")
    edges = NYQUIST / 2.0 ** np.arange(3)
    ax.set_xticks([0, *edges], ["0", *(f"1/{1 / edge:.0f}" for edge in edges)])
    faint_ticks(ax)
    ax.spines[:].set_visible(False)


def draw_scale(ax: Axes, disk: PatchCollection) -> None:
    """Draw what the colours of a disk stand for."""
    from matplotlib.ticker import MaxNLocator

    bar = ax.figure.colorbar(disk, cax=ax, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    faint_ticks(ax)


def first_order_sectors(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return radii and angles (inner, outer, start, stop) of the sectors of first wavelets.

    Radii are frequencies; angles are from the right, anticlockwise, in radians.  The wave of a
    wavelet runs at ``angle1`` from the first axis, downwards, to the second.
    """
    outer = NYQUIST / 2.0 ** table["j1"].to_numpy(float)
    centre = table["angle1"].to_numpy(float) - pi / 2
    half = pi / 2 / table["theta1"].nunique()
    return np.stack([outer / 2, outer, centre - half, centre + half], axis=1)


def second_order_sectors(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return the parts of the sectors of first wavelets that belong to second ones."""
    inner, outer, start, stop = first_order_sectors(table).T
    j1, j2 = table["j1"].to_numpy(float), table["j2"].to_numpy(float)
    height = (outer - inner) / (j2.max() - j1)
    outer = outer - (j2 - j1 - 1) * height
    n_angles = table["theta2"].nunique()
    width = (stop - start) / n_angles
    turn = (table["angle2"] - table["angle1"]).to_numpy(float) / pi * n_angles
    start = start + (turn.round() + n_angles // 2) % n_angles * width
    return np.stack([outer - height, outer, start, start + width], axis=1)
