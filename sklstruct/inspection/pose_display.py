"""Poses that dynamic steerable blocks see, and the kernels that they make, as pictures."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..params import check, integer
from .display import Axes, Display, Place
from .drawing import INK, SMALL, Sheet, draw_filter, heading_size, scale_name
from .inverse_display import draw_sample, pictures
from .opened import Opened
from .pose import find_block, seen_by_block

Array = NDArray[Any]

PICTURE, SPACE, MARGIN, NAME = 1.3, 0.1, 0.25, 0.25  # inches
WHEEL, ROOM = 0.8, 0.45  # of the legend, and around it
KERNEL = {1: (0.9, 0.6), 2: (0.7, 0.7), 3: (1.8, 0.6)}  # inches
BRIGHTEST = 0.99  # of all strengths, the share that is not the brightest
DEGREE = "\N{DEGREE SIGN}"


class PoseDisplay(Display):
    """Images, and the poses that a dynamic steerable block sees in them.

    The hue is the angle by which kernels are turned, counter-clockwise, as the wheel has it; the
    brightness is the norm of the responses that are turned.  Where the block steers the scale too,
    a third picture shows it, from dark to bright.

    Parameters
    ----------
    samples : ndarray, shape (n, channels, H, W)
    angles, strengths : ndarray, shape (n, h, w)
        The angles in radians.
    scales : ndarray, shape (n, h, w), default=None

    Attributes
    ----------
    samples, angles, strengths, scales
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes
        First the wheel, then those of each sample.

    Raises
    ------
    ValueError
        If samples are no images.

    See Also
    --------
    pose_maps : The numbers behind it.
    SteeredKernelDisplay : The kernels at some poses.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.inspection import PoseDisplay
    >>> rows, columns = np.mgrid[-8:9, -8:9]
    >>> turns, far = np.arctan2(-rows, columns), np.hypot(rows, columns)
    >>> display = PoseDisplay(far[None, None], turns[None], far[None]).save("poses.png")
    >>> display.colours.shape
    (1, 17, 17, 3)
    """

    def __init__(
        self, samples: Array, angles: Array, strengths: Array, scales: Array | None = None
    ) -> None:
        if np.ndim(samples) != 4 or np.ndim(angles) != 3:
            raise ValueError(
                f"samples must be images with one angle at every place, got {np.shape(samples)} "
                f"and angles of shape {np.shape(angles)}."
            )
        self.samples, self.angles, self.strengths, self.scales = samples, angles, strengths, scales

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, block: str | None = None, *, pose: int = 0, ax: Place = None
    ) -> Self:
        """Draw the poses that a fitted estimator sees in images.

        Parameters
        ----------
        estimator : fitted network estimator
        X : array-like, shape (n, ...)
            All images that are to be drawn.
        block : str, default=None
            As ``pose_maps`` takes it.
        pose : int, default=0
            Number of the pose, where a place has several.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        ValueError
            If ``pose_maps`` refuses something, samples are no images, or there is no such pose.
        """
        seen = seen_by_block(estimator, X, block)
        check("pose", pose, integer(0, seen.poses.shape[2] - 1))
        angle, *scale = np.moveaxis(seen.poses[:, :, pose], 1, 0)
        return cls(seen.samples, angle, seen.strengths, *scale[:1]).plot(ax)

    @property
    def colours(self) -> Array:
        """Red, green and blue of the poses, shape (n, h, w, 3)."""
        brightest = np.quantile(self.strengths, BRIGHTEST) or 1
        return wheel_colours(self.angles, self.strengths / brightest)

    def _draw(self, on: Place) -> list[Axes]:
        heading = ["Poses", "hue: angle by which kernels are turned; brightness: norm of responses"]
        shades = pictures(self.samples[:, np.newaxis])[:, 0]
        names, columns = ["image", "pose"], [shades, np.moveaxis(self.colours, -1, 1)]
        if self.scales is not None:
            low, high = self.scales.min(), self.scales.max()
            names.append(f"{scale_name(low.round(2))} to {high:.2g}")
            columns.append((self.scales[:, np.newaxis] - low) / (high - low or 1))
        text, head = heading_size(heading)
        head += NAME
        step = PICTURE + SPACE
        right = MARGIN + step * len(columns) + ROOM
        height = max(step * len(shades), WHEEL + 2 * ROOM)
        sheet = Sheet(max(right + WHEEL + ROOM, text) + MARGIN, head + height + MARGIN, on)
        sheet.heading(MARGIN, heading)
        axes = [sheet.axes(right, head + ROOM / 2, WHEEL, WHEEL)]
        draw_wheel(axes[0])
        for row, column in np.ndindex(len(shades), len(columns)):
            ax = sheet.axes(MARGIN + step * column, head + step * row, PICTURE, PICTURE)
            shown = columns[column][row]
            ends = (shown.min(), shown.max()) if column == 0 else (0.0, 1.0)
            draw_sample(ax, shown, *map(float, ends))
            if row == 0:
                ax.set_title(names[column], fontsize=SMALL, color=INK, pad=3)
            axes.append(ax)
        return axes


class SteeredKernelDisplay(Display):
    """Effective kernels of a dynamic steerable block, a row each, at one pose a column.

    Parameters
    ----------
    kernels : ndarray, shape (n_poses, n_kernels, *support)
    names : sequence of str
        Of the poses.

    Attributes
    ----------
    kernels, names
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_kernels * n_poses,)

    See Also
    --------
    PoseDisplay : Which poses are seen where.
    KernelDisplay : Kernels that nothing steers.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.inspection import SteeredKernelDisplay
    >>> from sklstruct.layers import DynamicSteerableBlock
    >>> block = DynamicSteerableBlock(1, 2)
    >>> kernels = block.kernels(torch.tensor([[0.0], [1.5]])).detach()[:, :, 0].numpy()
    >>> display = SteeredKernelDisplay(kernels, ["0", "1.5"]).save("kernels.png")
    >>> len(display.axes_)
    4
    """

    def __init__(self, kernels: Array, names: Any) -> None:
        self.kernels, self.names = kernels, list(names)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        block: str | None = None,
        *,
        poses: Any = None,
        n_kernels: int = 6,
        input_channel: int = 0,
        ax: Place = None,
    ) -> Self:
        """Draw the kernels of a block of a fitted estimator.

        Parameters
        ----------
        estimator : fitted network estimator
        block : str, default=None
            As ``pose_maps`` takes it.
        poses : array-like, shape (n_poses, n_numbers), default=None
            Angles in radians, then the standard deviation where the block steers it.  None are
            eight angles, of volumes the first one; of signals the ends and the middle of scales.
        n_kernels : int, default=6
            Largest number of kernels, those of the first output channels.
        input_channel : int, default=0
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If there is no such block or channel, or poses have another shape.
        """
        _, found = find_block(Opened(estimator), block)
        weight = found.conv.weight
        check("n_kernels", n_kernels, integer(1))
        check("input_channel", input_channel, integer(0, weight.shape[1] - 1))
        given = default_poses(found) if poses is None else np.asarray(poses, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != found.n_numbers:
            raise ValueError(f"poses must have shape (n, {found.n_numbers}), got {given.shape}.")
        kernels = found.kernels(weight.new_tensor(given)).numpy(force=True)
        n_angles = found.n_numbers - found.steer.scale
        names = [
            ", ".join(
                [f"{angle:.0f}{DEGREE}" for angle in np.rad2deg(pose[:n_angles])]
                + [scale_name(scale.round(2)) for scale in pose[n_angles:]]
            )
            for pose in given
        ]
        return cls(kernels[:, :n_kernels, input_channel], names).plot(ax)

    def _draw(self, on: Place) -> list[Axes]:
        wide, high = KERNEL[self.kernels.ndim - 2]
        heading = ["Steered kernels", "a row for each kernel, a column for each pose"]
        text, head = heading_size(heading)
        head += NAME
        n_poses, n_kernels = self.kernels.shape[:2]
        width = max((wide + SPACE) * n_poses, text)
        height = head + (high + SPACE) * n_kernels
        sheet = Sheet(width + 2 * MARGIN, height + MARGIN, on)
        sheet.heading(MARGIN, heading)
        limits = np.abs(self.kernels).max(axis=tuple({*range(self.kernels.ndim)} - {1}))
        axes = []
        for row, column in np.ndindex(n_kernels, n_poses):
            left, top = MARGIN + (wide + SPACE) * column, head + (high + SPACE) * row
            axes.append(sheet.axes(left, top, wide, high))
            draw_filter(axes[-1], self.kernels[column, row], limit=float(limits[row]))
            if row == 0:
                axes[-1].set_title(self.names[column], fontsize=SMALL, color=INK, pad=3)
        return axes


def default_poses(block: Any) -> Array:
    """Return eight angles at the first scale of a block, or three scales where nothing turns."""
    scale = block.steer.scale
    if block.n_numbers == scale:
        low, high = block.steer.scale_range
        return np.array([[low], [(low + high) / 2], [high]])
    poses = np.zeros((8, block.n_numbers))
    poses[:, 0] = np.arange(8) * np.pi / 4
    if scale:
        poses[:, -1] = block.steer.canonical.scales[0]
    return poses


def wheel_colours(angles: Array, strengths: Array) -> Array:
    """Return colours whose hue is an angle, and whose brightness is a strength of at most 1."""
    from matplotlib.colors import hsv_to_rgb

    hue = angles / (2 * np.pi) % 1
    value = np.clip(strengths, 0, 1)
    return hsv_to_rgb(np.stack([hue, np.ones_like(hue), value], axis=-1))


def draw_wheel(ax: Axes) -> None:
    """Draw what the hues mean."""
    rows, columns = np.mgrid[1:-1:129j, -1:1:129j]
    far = np.hypot(rows, columns)
    wheel = wheel_colours(np.arctan2(rows, columns), far)
    ax.imshow(np.where(far[..., np.newaxis] <= 1, wheel, 1), extent=(-1, 1, -1, 1))
    ax.set_axis_off()
    for angle in (0, 90, 180, 270):
        place = 1.35 * np.cos(np.deg2rad(angle)), 1.25 * np.sin(np.deg2rad(angle))
        style: dict[str, Any] = {"ha": "center", "va": "center", "clip_on": False}
        ax.text(*place, f"{angle}{DEGREE}", fontsize=SMALL, color=INK, **style)
