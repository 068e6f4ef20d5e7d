"""Rules of the parameters of scattering, for its modules and for the estimators on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklstruct.params import Rule, check, integer, one_of

from .paths import PADDINGS

COUNT = integer(1)
SCALE = integer(1, 62)  # no extent is larger than 2^62, and 2^J must not fill the memory itself
ORDERS = integer(0, 3)
PADDING = one_of(*PADDINGS)


def is_several(value: Any) -> bool:
    """Whether a value is a sequence of numbers, or an array of them."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)


def are_counts(values: Any) -> bool:
    """Whether a value is a sequence of positive integers."""
    return is_several(values) and all(map(COUNT.holds, values))


OCTAVES = COUNT | Rule("one or two of these", lambda v: are_counts(v) and 1 <= len(v) <= 2)
SHAPE = Rule("1 to 3 positive integers", lambda v: are_counts(v) and 1 <= len(v) <= 3)
IMAGE = Rule("the two extents of images", lambda v: are_counts(v) and len(v) == 2)
VOLUME = Rule("the three extents of volumes", lambda v: are_counts(v) and len(v) == 3)


def whole(name: str, value: Any, rule: Rule) -> Any:
    """Return an integer or several as Python's, or raise ValueError unless a rule holds.

    NumPy's are no sizes to torch, and would show in what is printed.
    """
    check(name, value, rule)
    return tuple(map(int, value)) if is_several(value) else int(value)


def check_shape(shape: Any, rule: Rule = SHAPE) -> tuple[int, ...]:
    """Return the extents of signals; a number is that of a line."""
    return whole("shape", shape if is_several(shape) else (shape,), rule)


def check_scale(J: int, T: int | None, shape: tuple[int, ...], padding: str) -> None:
    """Raise ValueError where the scale does not go with the extents."""
    if min(shape) < 2**J:
        largest = min(shape).bit_length() - 1
        raise ValueError(
            f"J={J} averages over {2**J} samples, but the shape is {shape}: "
            + (f"J can be at most {largest}." if largest else "the signals are too small.")
        )
    # Without a margin every level must have whole samples.
    step = 2 ** max(J, (T or 1).bit_length() - 1)
    if padding == "periodic" and any(extent % step for extent in shape):
        raise ValueError(
            f"padding='periodic' needs extents that are multiples of {step} for J={J} and T={T}, "
            f"got shape={shape}."
        )
