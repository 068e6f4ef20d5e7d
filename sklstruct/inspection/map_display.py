"""A map over a brain: three planes through one place."""

from __future__ import annotations

from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.nifti import Grid, read_volume
from ..io.nifti.grid import resample, to_canonical
from ..io.nifti.mask import HEAD, foreground
from .display import Axes, Display, Place
from .drawing import (
    DIVERGING,
    FAINT,
    INK,
    LETTER,
    SMALL,
    Sheet,
    faint_ticks,
    heading_size,
)
from .methods import MapMethod, map_method, values_of
from .pictured import predictions, title_of
from .steps import parts_of

Array = NDArray[Any]

MARGIN, GAP, NAME = 0.15, 0.28, 0.25  # inches
PANEL = 0.4, 2.2  # the longest side of a plane, at least and where there is room
BAR, BAR_NUMBERS, BAR_LABEL = 0.12, 0.45, 0.65
COLUMN = 4.0  # up to this, there is no room for a label beside the colours
PLANES = (  # the axis across, the axes to the right and up, and what their ends are
    ("x", 0, (1, 2), ("P", "A")),
    ("y", 1, (0, 2), ("L", "R")),
    ("z", 2, (0, 1), ("L", "R")),
)
WINDOW = 0.5, 99.5  # percentiles of the background from black to white
FADE = 0.1, 0.4  # shares of the limit from where on a map begins to cover and covers


class MapDisplay(Display):
    """Three planes of a map, sagittal, coronal and axial, in colours over a grey volume.

    The left of the picture is the left of the subject (neurological convention), and the
    letters L and R, P and A say so; front and top of the head are to the right and up.  Places
    are in millimetres from the origin of the affine.  The map fades out towards zero.

    Parameters
    ----------
    values : array-like, shape (D, H, W)
        The map.
    background : array-like, shape (D, H, W), default=None
        What to draw it over, the mean volume say; blank where it is exactly zero.
    affine : array-like, shape (4, 4), default=None
        From indices to millimetres, x to the right, y to the front and z to the top; None is
        for voxels of 1 mm in this order.
    at : tuple of 3 float, default=None
        Place that the planes go through, in millimetres; None is the place of the largest
        magnitude in the head, or where the head is largest if the map is zero there.  The head is
        what is bright in the background, or everything if there is none.
    truth : array-like, shape (D, H, W), default=None
        A mask whose outline is drawn.
    limit : float, default=None
        What the ends of the colours stand for, with zero in the middle; None is the largest
        magnitude.
    title, label : str, default=""
        Stand over the picture and at the colours.

    Attributes
    ----------
    values, background, truth : ndarray or None
        In canonical orientation.
    affine : ndarray, shape (4, 4)
        Theirs.
    at : tuple of float
        Middle of the voxel that the planes go through, in millimetres.
    limit, title, label
        As given, or found.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (3,)

    Raises
    ------
    ValueError
        If the arrays are not of one shape with three axes, the map is not finite, the affine is
        not invertible, or the place lies outside.

    See Also
    --------
    SampleMapsDisplay : Samples beside each other.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.inspection import MapDisplay
    >>> values = np.zeros((10, 12, 8))
    >>> values[2:4, 5:8, 3:5] = 1
    >>> display = MapDisplay(values, np.ones_like(values), title="where it looked").plot()
    >>> len(display.axes_)
    3
    """

    def __init__(
        self,
        values: ArrayLike,
        background: ArrayLike | None = None,
        *,
        affine: ArrayLike | None = None,
        at: tuple[float, float, float] | None = None,
        truth: ArrayLike | None = None,
        limit: float | None = None,
        title: str = "",
        label: str = "",
    ) -> None:
        given = np.asarray(values)
        if given.ndim != 3 or not np.isfinite(given).all():
            raise ValueError(
                f"values must be finite numbers with three axes, got shape {given.shape}."
            )
        affine = np.eye(4) if affine is None else np.asarray(affine, np.float64)
        grid = Grid(given.shape, affine)
        # Left and right are as in the head, whatever the file; a mirrored map is a wrong finding.
        self.values, self._grid = to_canonical(given, grid)
        self.affine = self._grid.affine
        self.background = canonical("background", background, grid)
        self.truth = canonical("truth", truth, grid)
        if at is not None:
            place = np.asarray(at, np.float64)
            if place.shape != (3,) or not np.isfinite(place).all():
                raise ValueError(f"at must be three numbers in millimetres, got {at!r}.")
            voxel = np.rint((np.linalg.inv(self.affine) @ [*place, 1])[:3]).astype(int)
            if (voxel < 0).any() or (voxel >= self.values.shape).any():
                raise ValueError(f"at must be a place on {self._grid}, got {at!r}.")
            self._voxel = tuple(voxel.tolist())
        else:
            self._voxel = self._best_voxel()
        self.at = tuple((self.affine @ [*self._voxel, 1])[:3].tolist())
        self.limit = float(limit or np.abs(self.values).max() or 1)
        self.title, self.label = title, label

    @classmethod
    def from_nifti(
        cls,
        values: str | PathLike[str],
        background: str | PathLike[str] | None = None,
        *,
        truth: str | PathLike[str] | None = None,
        ax: Place = None,
        **params: Any,
    ) -> Self:
        """Draw map, background and mask from files; the last two are resampled to the map.

        Parameters
        ----------
        values, background, truth : path-like
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **params
            As for the display; not the affine, which comes with the files.

        Raises
        ------
        OSError, ValueError
            If a file cannot be read; the message names it.
        """
        map_, grid = read_volume(values, constant=True)
        others: dict[str, Any] = {}
        for name, path in {"background": background, "truth": truth}.items():
            if path is not None:  # the edges of a mask must not be interpolated
                others[name] = resample(
                    *read_volume(path, constant=True), grid, nearest=name == "truth"
                )
        return cls(map_, affine=grid.affine, **others, **params).plot(ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        method: str | MapMethod = "gradient",
        target: Any = None,
        *,
        at: tuple[float, float, float] | None = None,
        ax: Place = None,
        **params: Any,
    ) -> Self:
        """Draw where a model looks in one scan, over this scan on the common grid.

        Parameters
        ----------
        estimator : fitted pipeline that begins with NiftiVolumes
            Or a search of one.
        X : str, path-like or image
            The scan.
        method : str or callable, default="gradient"
            As of ``SampleMapsDisplay.from_estimator``.
        target : label or int, default=None
            As the method takes it.
        at : tuple of 3 float, default=None
            As for the display.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **params
            Of the method.

        Raises
        ------
        NotFittedError, OSError, TypeError, ValueError
            As the method and ``NiftiVolumes`` do.
        """
        volumes, last = parts_of(estimator)
        volume = volumes.lazy([X])[0]
        map_ = map_method(method)(last, volume[np.newaxis], target, **params)[0]
        if volumes.mask_ is not None:  # outside, volumes are the same for all
            map_ = np.where(volumes.mask_, map_, 0)
        said = predictions(last, volume[np.newaxis])[0]
        label = values_of(method, last, target)
        return cls(
            map_, volume, affine=volumes.affine_, at=at, title=title_of(said), label=label
        ).plot(ax)

    def _best_voxel(self) -> tuple[int, ...]:
        """Return where there is most to see."""
        head = None if self.background is None else head_in(self.background)
        inside = np.ones(self.values.shape, bool) if head is None else head
        # In the air a map may be largest, and there is nothing to see.
        strengths = np.where(inside, np.abs(self.values), 0)
        if strengths.any():
            found = np.unravel_index(strengths.argmax(), strengths.shape)
            return tuple(int(index) for index in found)
        if head is None:
            return tuple(extent // 2 for extent in self.values.shape)
        # Nothing is the strongest: show as much of the head as there is.
        areas = (head.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3))
        return tuple(int(area.argmax()) for area in areas)

    def _draw(self, on: Place) -> list[Axes]:
        """Draw the planes and the colours."""
        extents = np.array(self.values.shape) * self._grid.spacing
        shares = extents / extents.max()
        across = sum(shares[axes[0]] for _, _, axes, _ in PLANES)
        beside = room(on) > COLUMN and fits(self.label, PANEL[1] * max(shares[1:]))
        frame = 2 * MARGIN + len(PLANES) * GAP + BAR + (BAR_LABEL if beside else BAR_NUMBERS)
        inches = shares * np.clip((room(on) - frame) / across, *PANEL)
        height = max(inches[1:])
        heading = [line for line in (self.title, "" if beside else self.label) if line]
        head = (heading_size(heading)[1] if heading else MARGIN) + NAME
        sheet = Sheet(frame + across * max(inches), head + height + MARGIN, on)
        sheet.heading(MARGIN, heading)
        axes, left = [], MARGIN
        for name, normal, (right, up), ends in PLANES:
            wide, tall = inches[right], inches[up]
            place = f"{name} = {self.at[normal]:.0f} mm".replace("-", "\N{MINUS SIGN}")
            sheet.text(left + wide / 2, head - NAME / 2, place, ha="center", fontsize=SMALL)
            axes.append(sheet.axes(left, head + (height - tall) / 2, wide, tall))
            self._draw_plane(axes[-1], normal, (right, up), ends)
            left += wide + GAP
        bar = sheet.axes(left, head + 0.1 * height, BAR, 0.8 * height)
        self._draw_bar(bar, self.label if beside else "")
        return axes

    def _draw_plane(
        self, ax: Axes, normal: int, across: tuple[int, int], ends: tuple[str, str]
    ) -> None:
        """Draw the plane across an axis, with a cross at the place."""
        right, up = (self._grid.spacing[axis] * self.values.shape[axis] for axis in across)
        # No smoothing: a map must not look finer than it is.
        style: dict[str, Any] = {"extent": (0, right, 0, up), "interpolation": "nearest"}
        style["origin"] = "lower"
        if self.background is not None:
            # A few bright vessels would leave the brain in the dark.
            low, high = np.percentile(self.background[self.background != 0], WINDOW)
            grey = np.ma.masked_equal(self._cut(self.background, normal), 0)
            ax.imshow(grey, "gray", vmin=low, vmax=high, **style)
        ax.imshow(coloured(self._cut(self.values, normal), self.limit), **style)
        if self.truth is not None:
            draw_outline(ax, self._cut(self.truth, normal) != 0, right, up)
        centre = [(self._voxel[axis] + 0.5) * self._grid.spacing[axis] for axis in across]
        ax.axvline(centre[0], color=INK, linewidth=0.4, alpha=0.6)
        ax.axhline(centre[1], color=INK, linewidth=0.4, alpha=0.6)
        ax.set_axis_off()
        for x, side, end in zip((-0.02, 1.02), ("right", "left"), ends, strict=True):
            letter: dict[str, Any] = {"ha": side, "va": "center", "fontsize": SMALL, "color": INK}
            ax.text(x, 0.5, end, transform=ax.transAxes, **letter)

    def _cut(self, volume: Array, normal: int) -> Array:
        """Return the plane of a volume across an axis, rows going up."""
        return np.take(volume, self._voxel[normal], axis=normal).T

    def _draw_bar(self, ax: Axes, label: str) -> None:
        """Draw what the colours stand for, over grey as they are in the planes."""
        ramp = np.linspace(-self.limit, self.limit, 256)[:, np.newaxis]
        style: dict[str, Any] = {"aspect": "auto", "origin": "lower"}
        style["extent"] = (0, 1, -self.limit, self.limit)
        ax.imshow(np.full_like(ramp, 0.5), "gray", vmin=0, vmax=1, **style)
        ax.imshow(coloured(ramp, self.limit), **style)
        finish_bar(ax, label)


def fits(label: str, inches: float) -> bool:
    """Whether there is room for a label beside a bar of colours of this height."""
    return LETTER * len(label) <= inches


def room(on: Place) -> float:
    """Return how many inches wide a place to draw on is."""
    return float("inf") if on is None else on.bbox.width / on.figure.dpi


def finish_bar(ax: Axes, label: str) -> None:
    """Put the numbers and what they are to the right of colours."""
    from matplotlib.ticker import MaxNLocator

    ax.set_xticks([])
    ax.yaxis.set_major_locator(MaxNLocator(5, symmetric=True))
    ax.yaxis.tick_right()
    ax.yaxis.get_offset_text().set(fontsize=SMALL, color=INK)
    ax.yaxis.set_label_position("right")
    ax.set_ylabel(label, fontsize=SMALL, color=INK)
    faint_ticks(ax)
    ax.spines[:].set(color=FAINT, linewidth=0.5)


def head_in(volume: Array, mask: Array | None = None) -> Array | None:
    """Return where the head is: a mask, or what is bright if that may be one, else None."""
    if mask is not None or not np.ptp(volume):
        return mask
    head = foreground(volume)
    return head if HEAD[0] <= head.mean() <= HEAD[1] else None


def canonical(name: str, values: ArrayLike | None, grid: Grid) -> Array | None:
    """Return a volume in canonical orientation, or raise a ValueError if its shape is wrong."""
    if values is None:
        return None
    given = np.asarray(values)
    if given.shape != grid.shape:
        raise ValueError(f"{name} must have the shape {grid.shape} of values, got {given.shape}.")
    return to_canonical(given, grid)[0]


def draw_outline(ax: Axes, inside: Array, right: float, up: float) -> None:
    """Draw the edges of the voxels in a mask, on an image of a size in millimetres."""
    from matplotlib.collections import LineCollection

    padded = np.pad(inside, 1).astype(int)
    rows, columns = np.nonzero(np.diff(padded[:, 1:-1], axis=0))  # edges along a row
    flat = [((x, y), (x + 1, y)) for y, x in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(np.diff(padded[1:-1], axis=1))
    upright = [((x, y), (x, y + 1)) for y, x in zip(rows, columns, strict=True)]
    edges = np.array(flat + upright).reshape(-1, 2, 2) * (right, up) / inside.shape[::-1]
    for colour, width in (("white", 2), (INK, 0.8)):  # seen on dark and on bright
        style: dict[str, Any] = {"colors": colour, "linewidths": width, "capstyle": "projecting"}
        ax.add_collection(LineCollection(list(edges), **style), autolim=False)


def coloured(values: Array, limit: float) -> Array:
    """Return the colours of values, transparent near zero, (*shape, 4)."""
    from matplotlib import colormaps

    share = np.clip(values / limit, -1, 1)
    colours = np.asarray(colormaps[DIVERGING]((1 + share) / 2))
    low, high = FADE
    colours[..., 3] = np.clip((np.abs(share) - low) / (high - low), 0, 1)
    return colours
