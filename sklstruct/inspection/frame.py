"""The atoms of a frame, and its numbers."""

from __future__ import annotations

import copy
from itertools import accumulate
from math import ceil, prod, radians, sqrt
from typing import Any, NamedTuple, Self

import numpy as np

from .. import plugins
from ..frames import Frame, build_frame
from . import drawing
from .display import Axes, Display, Place
from .drawing import Sheet

WIDEST = {1: 10, 2: 16, 3: 6}  # atoms in a line
CELL = {1: (1.0, 0.7), 2: (0.8, 0.8), 3: (1.8, 0.6)}  # largest picture of an atom, in inches
GAP = {1: 0.12, 2: 0.12, 3: 0.3}
SCALING = "every atom from minus (blue) to plus (red) its own largest magnitude"
ANGLES = (30, 45, 90)  # degrees of the rotations that a frame is steered by
MARGIN, CAPTION, PAGE = 0.2, 0.22, 8.0


class Line(NamedTuple):
    """A line of the picture: a name, and atoms at columns."""

    name: str
    atoms: list[int]
    columns: list[float]


class FrameDisplay(Display):
    """Atoms of a frame, by order and scale, under its derived numbers.

    Parameters
    ----------
    frame : Frame

    Attributes
    ----------
    frame : Frame
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (n_atoms,)

    Raises
    ------
    TypeError
        If ``frame`` is no ``Frame``.

    See Also
    --------
    KernelDisplay : Kernels that were learned.

    Examples
    --------
    >>> from sklstruct.inspection import FrameDisplay
    >>> display = FrameDisplay.from_family("gaussian", order=2)
    >>> display.numbers["atoms"], display.numbers["tight"]
    (6, False)
    """

    def __init__(self, frame: Frame) -> None:
        if not isinstance(frame, Frame):
            raise TypeError(f"frame must be a Frame, got {frame!r}; see FrameDisplay.from_family.")
        self.frame = frame

    @classmethod
    def from_family(
        cls, family: Any, ndim: int | None = None, *, ax: Place = None, **params: Any
    ) -> Self:
        """Build the frame of a family, and draw it.

        Parameters
        ----------
        family : str, frame family or Frame
            A registered name, or the object itself, which is left as it is.
        ndim : int, default=None
            Number of spatial dimensions; if None, 2, or those of the ``Frame``.
        ax : matplotlib Axes, Figure or SubFigure, default=None
            What to draw on; a new figure if None.
        **params
            Parameters of the family, such as ``order=3``.

        Raises
        ------
        ValueError
            If a name, a parameter or its value is unknown to the family, or if a ``Frame`` has
            other dimensions.
        TypeError
            If parameters are given for something without parameters.
        """
        return cls(built(family, ndim, **params)).plot(ax)

    @property
    def numbers(self) -> dict[str, Any]:
        """The derived numbers: atoms, rank, bounds A and B, condition, redundancy, tight."""
        frame = self.frame
        lower, upper = frame.bounds
        return {
            "atoms": len(frame),
            "support": frame.support,
            "rank": frame.rank,
            "lower_bound": lower,
            "upper_bound": upper,
            "condition_number": frame.condition_number,
            "redundancy": frame.redundancy,
            "tight": frame.is_tight,
        }

    def _draw(self, on: Place) -> list[Axes]:
        """Draw every atom, each with colours from minus to plus its largest magnitude.

        A line holds a scale, or an order where there is one scale; volumes are shown by three
        planes.
        """
        lines, heading = arrange(self.frame), self._heading()
        (wide, high), gap = CELL[self.frame.ndim], GAP[self.frame.ndim]
        left = MARGIN + 1.3 * drawing.LETTER * max(len(line.name) for line in lines)
        columns = max(line.columns[-1] for line in lines) + 1
        shrink = min(1, (PAGE - left - MARGIN) / columns / (wide + gap))
        wide, high, step = wide * shrink, high * shrink, (wide + gap) * shrink
        text, head = drawing.heading_size(heading)
        width = max(left + columns * step, MARGIN + text) + MARGIN
        sheet = Sheet(width, head + len(lines) * (high + CAPTION) + MARGIN, on)
        sheet.heading(MARGIN, heading)
        axes = {}
        for row, line in enumerate(lines):
            top = head + row * (high + CAPTION) + CAPTION
            sheet.text(MARGIN, top + high / 2, line.name)
            for atom, column in zip(line.atoms, line.columns, strict=True):
                axes[atom] = sheet.axes(left + column * step, top, wide, high)
        for atom, ax in axes.items():
            drawing.draw_filter(ax, self.frame.atoms[atom], self.frame.labels[atom])
        return [axes[atom] for atom in sorted(axes)]

    def _heading(self) -> list[str]:
        frame, numbers = self.frame, self.numbers
        extents = "x".join(map(str, frame.support))
        atoms = f"{len(frame)} atoms" if len(frame) > 1 else "one atom"
        return [
            f"{frame.name}, {frame.ndim}D: {atoms} on {extents} samples",
            f"rank {numbers['rank']} of {prod(frame.support)},  bounds A = "
            f"{numbers['lower_bound']:.3g}, B = {numbers['upper_bound']:.3g},  "
            f"B/A = {numbers['condition_number']:.3g},  redundancy {numbers['redundancy']:.3g},  "
            f"{'' if numbers['tight'] else 'not '}tight",
            SCALING if frame.ndim > 1 else "every atom on an axis of its own",
            *[drawing.PLANES] * (frame.ndim == 3),
        ]


def built(family: Any, ndim: int | None = None, **params: Any) -> Frame:
    """Return the frame of a family with parameters; see ``FrameDisplay.from_family``."""
    # A copy, lest a picture change the frame of an estimator that somebody holds.
    family = copy.copy(plugins.make_frame(family))
    if params and not hasattr(family, "set_params"):
        raise TypeError(f"{family!r} has no parameters, but {sorted(params)} were given.")
    if params:
        family.set_params(**params)
    return build_frame(family, getattr(family, "ndim", 2) if ndim is None else ndim)


def arrange(frame: Frame) -> list[Line]:
    """Return the lines of the picture: scales with aligned orders, or else order by order."""
    groups: dict[tuple[float, int], list[int]] = {}
    for atom in np.lexsort((frame.orders, np.nan_to_num(frame.scales))):
        key = float(np.nan_to_num(frame.scales[atom])), int(frame.orders[atom])
        groups.setdefault(key, []).append(int(atom))
    widths = {
        order: max(len(atoms) for (_, other), atoms in groups.items() if other == order)
        for order in sorted({order for _, order in groups})
    }
    several_scales = len({scale for scale, _ in groups}) > 1
    one_each = max(widths.values()) == 1
    if (several_scales or one_each) and sum(widths.values()) <= WIDEST[frame.ndim]:
        return scale_lines(groups, widths)
    return order_lines(groups, WIDEST[frame.ndim])


def scale_lines(groups: dict[tuple[float, int], list[int]], widths: dict[int, int]) -> list[Line]:
    """Return a line for each scale, in which equal orders stand below one another."""
    gap = 0.25 if max(widths.values()) > 1 else 0  # between orders
    starts = [start + gap * i for i, start in enumerate(accumulate(widths.values(), initial=0))]
    start_of = dict(zip(widths, starts, strict=False))
    lines: dict[float, Line] = {}
    for (scale, order), atoms in groups.items():
        line = lines.setdefault(scale, Line(drawing.scale_name(scale) if scale else "", [], []))
        line.atoms.extend(atoms)
        line.columns.extend(start_of[order] + rank for rank in range(len(atoms)))
    return list(lines.values())


def order_lines(groups: dict[tuple[float, int], list[int]], widest: int) -> list[Line]:
    """Return centred lines for each order of each scale, broken where they are too long."""
    several_scales = len({scale for scale, _ in groups}) > 1
    lines = []
    for (scale, order), atoms in groups.items():
        parts = [drawing.scale_name(scale)] * several_scales
        parts += [f"order {order}"] * (len(groups) > 1)
        if len(atoms) > widest and len(groups) == 1:
            widest = min(widest, ceil(sqrt(len(atoms))))
        length = ceil(len(atoms) / ceil(len(atoms) / widest))
        for start in range(0, len(atoms), length):
            name = "" if start else ", ".join(parts)
            lines.append(Line(name, atoms[start : start + length], []))
    longest = max(len(line.atoms) for line in lines)
    for line in lines:
        shift = (longest - len(line.atoms)) / 2
        line.columns.extend(shift + rank for rank in range(len(line.atoms)))
    return lines


def steering_errors(frame: Frame) -> dict[str, Any]:
    """Return how far a frame is from being steered by rotations in the plane of its last axes."""
    errors: dict[str, Any] = {}
    # Angles that no grid has, and one that every grid has: there, it is zero but for rounding.
    for angle in ANGLES if frame.ndim > 1 else ():
        rotation = np.eye(frame.ndim)
        c, s = np.cos(radians(angle)), np.sin(radians(angle))
        rotation[-2:, -2:] = [[c, -s], [s, c]]
        try:
            errors[f"steering error, {angle} degrees"] = frame.steering(rotation).error
        except ValueError:  # it has no values there
            errors[f"steering error, {angle} degrees"] = "on the grid only"
    return errors
