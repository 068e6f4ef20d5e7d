"""Parameters of scattering, judged before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from sklstruct.frames.checks import check_integer

from .paths import PADDINGS

MOST_ORDERS = 3


class Parameters(NamedTuple):
    """Checked parameters, with Python's integers: those of NumPy are no sizes to torch."""

    shape: tuple[int, ...]
    J: int
    L: int
    Q: int | tuple[int, int]
    max_order: int
    T: int | None


def check_parameters(
    *,
    J: Any,
    shape: Any,
    L: Any,
    Q: Any,
    max_order: Any,
    T: Any,
    padding: Any,
    average: Any,
    learnable: Any,
) -> Parameters:
    """Return what is stored of the parameters.

    Raises
    ------
    ValueError
        If a parameter is not valid; the message names it.
    """
    shape = check_shape(shape)
    checked = Parameters(
        shape=shape,
        J=check_integer("J", J, 1),
        L=check_integer("L", L, 1),
        Q=check_octaves(Q),
        max_order=check_integer("max_order", max_order, 0, MOST_ORDERS),
        T=check_average_scale(T, shape),
    )
    check_scale(checked.J, checked.T, shape, padding)
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}.")
    for name, flag in {"average": average, "learnable": learnable}.items():
        if not isinstance(flag, bool):
            raise ValueError(f"{name} must be True or False, got {flag!r}.")
    if learnable and len(shape) != 2:
        raise ValueError(f"learnable=True is for two dimensions, got shape={shape}.")
    return checked


def check_shape(shape: Any) -> tuple[int, ...]:
    """Return the extents, 1 to 3 positive integers."""
    extents = tuple(shape) if isinstance(shape, Sequence | np.ndarray) else (shape,)
    whole = all(isinstance(extent, Integral) and int(extent) > 0 for extent in extents)
    if not whole or not 1 <= len(extents) <= 3:
        raise ValueError(f"shape must be 1 to 3 positive integers, got {shape!r}.")
    return tuple(int(extent) for extent in extents)


def check_octaves(Q: Any) -> int | tuple[int, int]:
    """Return the wavelets to the octave, one number or two."""
    if isinstance(Q, Sequence | np.ndarray) and len(Q) == 2:
        return check_integer("Q", Q[0], 1), check_integer("Q", Q[1], 1)
    return check_integer("Q", Q, 1)


def check_scale(J: int, T: int | None, shape: tuple[int, ...], padding: Any) -> None:
    """Raise ValueError where the scale does not go with the extents."""
    if min(shape) < 2**J:
        largest = min(shape).bit_length() - 1
        raise ValueError(
            f"J={J} averages over {2**J} samples, but the shape is {shape}: "
            + (f"J can be at most {largest}." if largest else "the signals are too small.")
        )
    step = 2 ** max(J, (T or 1).bit_length() - 1)
    if padding == "periodic" and any(extent % step for extent in shape):
        raise ValueError(
            f"padding='periodic' needs extents that are multiples of {step} for J={J} and T={T}, "
            f"got shape={shape}."
        )


def check_average_scale(T: Any, shape: tuple[int, ...]) -> int | None:
    """Return T, or raise ValueError unless it is a scale on a line, or None."""
    if T is None:
        return None
    if len(shape) != 1:
        raise ValueError(f"T={T!r} is for signals on a line, got shape={shape}.")
    return check_integer("T", T, 1, shape[0])
