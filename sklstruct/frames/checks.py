"""Checks of the parameters that several families share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..params import check, integer, real

POSITIVE = real(above=0)
MOST_ATOMS = 2500  # whose Gram matrix takes seconds, growing with their cube
MOST_VALUES = 1 << 24  # of all atoms: 128 MB.  A slip, or a file, must not fill the memory.


def check_ndim(ndim: Any) -> int:
    """Return ndim, or raise ValueError unless it is 1, 2 or 3."""
    if ndim not in (1, 2, 3):
        raise ValueError(f"ndim must be 1, 2 or 3, got {ndim!r}.")
    return int(ndim)


def check_integer(name: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """Return an integer from ``minimum`` (to ``maximum``, if given), or raise ValueError."""
    return int(check(name, value, integer(minimum, maximum)))


def is_sequence(value: Any) -> bool:
    """Return whether there may be several, which an array of no axes has not."""
    return isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim > 0)


def check_order(order: Any, ndim: int) -> int | tuple[int, ...]:
    """Return an integer from 0, or one for each axis, or raise ValueError.

    A sequence of one is meant for all axes.
    """
    if isinstance(order, str) or not is_sequence(order):
        return check_integer("order", order, 0)
    if len(order) not in (1, ndim):
        raise ValueError(
            f"order must be an integer, or one for each of {ndim} axes, got {order!r}."
        )
    orders = tuple(check_integer("Each of order", one, 0) for one in order)
    return orders * (ndim // len(orders))


def check_positive(name: str, value: Any) -> float:
    """Return a positive finite number, or raise ValueError."""
    return float(check(name, value, POSITIVE))


def check_scales(scales: Any) -> tuple[float, ...]:
    """Return one or several positive scales in ascending order, or raise ValueError."""
    values = scales if is_sequence(scales) else [scales]
    if len(values) == 0 or isinstance(values, str):
        raise ValueError(f"scales must hold at least one positive number, got {scales!r}.")
    checked = sorted(check_positive("Each of scales", scale) for scale in values)
    if len(set(checked)) < len(checked):
        raise ValueError(f"scales must differ from one another, got {scales!r}.")
    return tuple(checked)


def check_size(size: Any) -> int:
    """Return an odd extent of at least 1, or raise ValueError."""
    if check_integer("size", size, 1) % 2 == 0:
        raise ValueError(f"size must be odd, so that a support has a centre, got {size!r}.")
    return int(size)


def check_atoms(n_atoms: int) -> None:
    """Raise ValueError for more atoms than a frame may have."""
    if n_atoms > MOST_ATOMS:
        raise ValueError(
            f"a frame must have at most {MOST_ATOMS} atoms, got {n_atoms}: lower the order, the "
            "size, or the number of scales or orientations."
        )


def check_values(n_atoms: int, size: int, ndim: int) -> None:
    """Raise ValueError if so many atoms of size**ndim samples are too large to be built."""
    check_atoms(n_atoms)
    if n_atoms * size**ndim > MOST_VALUES:
        raise ValueError(
            f"{n_atoms} atoms of {size}**{ndim} samples must have at most {MOST_VALUES} values "
            f"together, got {n_atoms * size**ndim}: lower the size or the scales."
        )


def support_size(size: Any, scale: float, truncate: Any) -> int:
    """Return ``size``, or what covers ``truncate`` standard deviations to each side.

    See Also
    --------
    GaussianDerivatives, Morlet : Where it is used.

    Examples
    --------
    >>> from sklstruct.frames import support_size
    >>> support_size(None, scale=1.5, truncate=3.0), support_size(7, scale=1.5, truncate=3.0)
    (11, 7)
    """
    if size is not None:
        return check_size(size)
    return 2 * int(np.ceil(check_positive("truncate", truncate) * scale)) + 1
