"""Motions of signals, images and volumes about their centres, in groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..params import SEQUENCE, Rule, check, one_of, real
from .deformations import Array, warp

Mask: TypeAlias = NDArray[np.bool_]

RIGHT = Rule("a multiple of 90", lambda v: real().holds(v) and v % 90 == 0)


class Group(NamedTuple):
    """What is known of a group of motions.

    Parameters
    ----------
    unit : str
        Of its parameter.
    values : tuple of float
        Of the parameter, where none are told.
    rule : Rule
        What its parameter may be.
    fewest : int
        Axes that it needs.
    """

    unit: str
    values: tuple[float, ...]
    rule: Rule
    fewest: int = 1


GROUPS = {
    "rotations": Group("angle (degrees)", tuple(range(0, 360, 15)), real(), 2),
    "right angles": Group("angle (degrees)", (90, 180, 270), RIGHT, 2),
    "reflections": Group("axis", (-1,), one_of(-1)),
    "scales": Group("factor", (0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4), real(above=0)),
    "translations": Group("shift (samples)", (0.5, 1, 2, 4), real()),
}


@dataclass(frozen=True)
class Motion:
    r"""A motion :math:`u \mapsto c + A (u - c) + t` of places about the centre c.

    Parameters
    ----------
    group : str
    parameter : float
        Which one of the group.
    axis : int or None
        Axis in space about which volumes are turned, or along which there is a motion.
    matrix : ndarray, shape (ndim, ndim)
    shift : ndarray, shape (ndim,)
        In samples.
    """

    group: str
    parameter: float
    axis: int | None
    matrix: Array
    shift: Array

    def inverse(self) -> Motion:
        """Return the motion that undoes it."""
        back: Array = np.linalg.inv(self.matrix).astype(np.float64)
        return Motion(self.group, self.parameter, self.axis, back, -back @ self.shift)

    def on(self, ratio: Array) -> Motion:
        """Return the same motion of a grid whose extents are by a ratio those of this one."""
        matrix = ratio[:, np.newaxis] * self.matrix / ratio
        return Motion(self.group, self.parameter, self.axis, matrix, ratio * self.shift)

    def sources(self, shape: tuple[int, ...]) -> Array:
        """Return where what comes to every place has been, (ndim, *shape)."""
        centre = (np.array(shape) - 1) / 2
        places = np.moveaxis(np.indices(shape), 0, -1) - centre - self.shift
        return np.moveaxis(places @ np.linalg.inv(self.matrix).T + centre, -1, 0)

    def apply(self, planes: Array, boundary: str) -> Array:
        """Return moved signals (n, channels, *shape), interpolated by splines of fifth order."""
        shape = planes.shape[2:]
        return warp(planes, np.indices(shape) - self.sources(shape), boundary)

    def reached(self, shape: tuple[int, ...], margin: float) -> Mask:
        """Return which places of a ball come from a place in it.

        Parameters
        ----------
        shape : tuple of int
        margin : float
            Distance of the ball to the border.
        """
        return in_ball(np.indices(shape), margin) & in_ball(self.sources(shape), margin)


@dataclass(frozen=True)
class Act:
    """A motion that is known by what it makes of signals.

    Parameters
    ----------
    function : callable
        Of arrays (n, channels, *shape).
    """

    function: Callable[[Array], Any]
    group: str = "function"
    parameter: float = 0
    axis: int | None = None

    def on(self, ratio: Array) -> Self:
        """Return the function, which has to know what to make of another grid."""
        return self

    def apply(self, planes: Array, boundary: str) -> Array:
        """Return what the function makes of signals.

        Raises
        ------
        ValueError
            If they have another shape then.
        """
        moved = np.asarray(self.function(planes), dtype=np.float64)
        if moved.shape != planes.shape:
            raise ValueError(
                f"group must return an array of the shape {planes.shape} that it is given, got "
                f"{moved.shape}."
            )
        return moved

    def reached(self, shape: tuple[int, ...], margin: float) -> Mask:
        """Return the places of a ball."""
        return in_ball(np.indices(shape), margin)


def in_ball(places: NDArray[Any], margin: float) -> Mask:
    """Return which places (ndim, *shape) are in the largest ball of a grid, (*shape)."""
    shape = np.array(places.shape[1:])
    radius = (shape.min() - 1) / 2 - margin
    centre = ((shape - 1) / 2).reshape(-1, *[1] * len(shape))
    return np.linalg.norm(places - centre, axis=0) <= radius + 1e-9


def make_motions(group: Any, values: Any, ndim: int) -> list[Motion] | list[Act]:
    """Return the motions of a group.

    Parameters
    ----------
    group : str, sequence of float, sequence of matrices or callable
    values : sequence of float or None
        Of the parameter; None are those of the group.
    ndim : int
        Number of axes in space.

    Raises
    ------
    ValueError
        If there is no such group in so many dimensions, or a value is none of its parameter.
    """
    if isinstance(group, str):
        known = group_of(group, ndim)
        values = known.values if values is None else check("values", values, SEQUENCE)
        return [
            make_motion(group, check("Each of values", value, known.rule), axis, ndim)
            for axis in axes_of(group, ndim)
            for value in values
        ]
    if values is not None:
        raise ValueError(f"values are those of a group that has a name, got {values!r}.")
    if callable(group):
        return [Act(group)]
    array = np.asarray(group, dtype=np.float64)
    if array.ndim == 1:
        return make_motions("rotations", array.tolist(), ndim)
    if array.shape[1:] != (ndim, ndim) or not np.linalg.det(array).all():
        raise ValueError(
            f"group must be one of {tuple(GROUPS)}, angles in degrees, invertible matrices of "
            f"shape {(ndim, ndim)} or a function, got {group!r}."
        )
    still = np.zeros(ndim)
    return [Motion("matrices", number, None, a, still) for number, a in enumerate(array)]


def group_of(name: str, ndim: int) -> Group:
    """Return the group of a name, or raise ValueError if there is none in so many dimensions."""
    group = GROUPS[check("group", name, one_of(*GROUPS))]
    if ndim < group.fewest:
        raise ValueError(f"{name} need samples of at least {group.fewest} axes, got {ndim}.")
    return group


def axes_of(group: str, ndim: int) -> list[int | None]:
    """Return the axes about which a group turns, or along which it moves; None is all at once."""
    alike = group == "scales" or (ndim == 2 and GROUPS[group].fewest == 2)
    return [None] if alike else list(range(ndim))


def make_motion(group: str, parameter: float, axis: int | None, ndim: int) -> Motion:
    """Return one motion of a group that has a name."""
    matrix, shift = np.eye(ndim), np.zeros(ndim)
    if group == "scales":
        matrix *= parameter
    elif group == "translations":
        shift[axis] = parameter
    elif group == "reflections":
        matrix[axis, axis], parameter = -1, axis or 0
    else:  # counter-clockwise as images are shown
        first, second = (other for other in range(ndim) if other != axis)
        cosine, sine = np.cos(np.deg2rad(parameter)), np.sin(np.deg2rad(parameter))
        if parameter % 90 == 0:  # lest rounding move what has a place
            cosine, sine = cosine.round(), sine.round()
        matrix[first, first] = matrix[second, second] = cosine
        matrix[first, second], matrix[second, first] = -sine, sine
    return Motion(group, float(parameter), axis, matrix, shift)
