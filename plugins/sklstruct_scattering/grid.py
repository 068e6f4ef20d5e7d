"""The grid that signals live on: padding, sampling, and what is kept of the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, log2

import torch
from torch import Tensor, nn

from sklstruct.layers import is_traced

from .bank import line_support
from .paths import Axis

PIECE = {"cpu": 1 << 17, "other": 1 << 26}  # complex numbers of the largest product at a time


@dataclass(frozen=True)
class Grid:
    """The axes of signals, and how these continue beyond their border.

    Parameters
    ----------
    axes : tuple of Axis
    padding : {"reflect", "symmetric", "periodic", "zero"}
    """

    axes: tuple[Axis, ...]
    padding: str

    @classmethod
    def around(cls, shape: tuple[int, ...], J: int, padding: str) -> Grid:
        """Return the grid with a margin of about 2^J samples, or none if it is periodic."""
        if padding == "periodic":
            return cls(tuple(Axis(extent, 0, extent) for extent in shape), padding)
        step = 2**J
        # Multiples of 2^J, so that samples at every level are evenly spaced, and at least one
        # average more at each end, which are dropped: they have seen the most of the padding.
        padded = [((extent + step) // step + 1) * step for extent in shape]
        pairs = zip(shape, padded, strict=True)
        return cls(tuple(Axis(n, (wide - n) // 2, wide) for n, wide in pairs), padding)

    @classmethod
    def line(cls, extent: int, T: int, padding: str) -> Grid:
        """Return the grid of a line with a margin for averages over T samples, or none.

        With the margin it is a power of 2, and at most the signal and its reflections.
        """
        if padding == "periodic":
            return cls((Axis(extent, 0, extent),), padding)
        wide = extent + 6 * line_support(extent, T)  # three supports to each side, as in Kymatio
        padded = 2 ** min(ceil(log2(wide)), floor(log2(max(3 * extent - 2, 1))))
        return cls((Axis(extent, (padded - extent) // 2, padded),), padding)

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Extents of the padded signals."""
        return tuple(axis.padded for axis in self.axes)

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimensions of space: the last of a tensor."""
        return tuple(range(-len(self.axes), 0))

    def pad(self, signals: Tensor) -> Tensor:
        """Return signals (n, *shape) with their continuation beyond the border."""
        for dim, axis in enumerate(self.axes, start=1):
            source = axis.source(self.padding)
            if (source < 0).any():  # no sample to copy from
                widths = (axis.before, axis.padded - axis.before - axis.extent)
                skipped = (0, 0) * (len(self.axes) - dim)
                signals = nn.functional.pad(signals, (*skipped, *widths))
            elif axis.padded > axis.extent:
                places = torch.from_numpy(source).to(signals.device)
                signals = signals.index_select(dim, places)
        return signals

    def kept(self, level: int, average: bool) -> tuple[slice, ...]:
        """Return the samples at a level that belong to the signal."""
        # On a line, where the margin is wide, Kymatio keeps the averages that the signal has.
        trim = average and len(self.axes) > 1 and self.padding != "periodic"
        return tuple(axis.kept(level, trim) for axis in self.axes)

    def extents(self, level: int, average: bool) -> tuple[int, ...]:
        """Return the extents of what is kept at every 2^level-th sample."""
        return tuple(part.stop - part.start for part in self.kept(level, average))


def in_pieces(
    compute: Callable[[Tensor], Tensor], x: Tensor, shape: tuple[int, ...], values: int
) -> Tensor:
    """Return what is computed of every signal of x, in the precision of x.

    Parameters
    ----------
    compute : callable
        Maps signals (n, *shape) to a tensor (n, ...).
    x : Tensor, shape (n, channels, *shape)
    shape : tuple of int
    values : int
        Complex numbers of the largest product, for one signal: some are computed at a time.

    Returns
    -------
    found : Tensor, shape (n, channels, ...)

    Raises
    ------
    TypeError, ValueError
        If x is no tensor of float32 or float64, or has another shape.
    """
    check_signals(x, shape)
    signals = x.flatten(0, 1)
    with torch.autocast(x.device.type, enabled=False):
        if is_traced():  # a graph is one for any number of signals
            return compute(signals).unflatten(0, x.shape[:2])
        some = signals if len(signals) else x.new_zeros(1, *shape)  # no FFT takes nothing
        size = PIECE["cpu" if x.device.type == "cpu" else "other"] // values
        found = torch.cat([compute(piece) for piece in some.split(max(1, size))])
        return found[: len(signals)].unflatten(0, x.shape[:2])


def check_signals(x: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless x is a tensor of float32 or float64, (n, channels, *shape)."""
    dtype = x.dtype if isinstance(x, Tensor) else type(x).__name__
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x must be a tensor of float32 or float64, got {dtype}.")
    if x.ndim != len(shape) + 2 or tuple(x.shape[2:]) != shape:
        wanted = f"(n, channels, {', '.join(map(str, shape))})"
        raise ValueError(f"x must have shape {wanted}, got {tuple(x.shape)}.")
