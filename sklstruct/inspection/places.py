"""Where the places of what layers give lie in samples, and maps of places as maps of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from ..layers import find_layer
from .opened import Opened, streams

Array = NDArray[Any]
Extents = tuple[int, ...]
Coordinates = tuple[Array, ...]  # where places lie along each axis in space, (n_places,)


class Places:
    r"""Where the places of what layers give lie in samples, as one pass of zeros tells.

    A place lies in the middle of what it sees.  After a layer with stride s, padding p and a
    support of k samples that are d apart, place u lies where

    .. math:: s u - p + d (k - 1) / 2

    did before it.  Of windows that reach past the border, as those of pools with ``ceil_mode``,
    only the part inside counts.  A layer may say itself where its places lie among those before,
    with ``sampled_at``, an array for each axis.  Others that change the number of places, as those
    that move blocks into channels, are taken to spread theirs evenly over those before; and what
    no layer tells is spread evenly over the sample.  Layers that hold layers are taken to have
    their places where the last of these with as many has them, so that branches have to stride
    alike.

    Parameters
    ----------
    opened : Opened
    in_shape : tuple of int
        Shape of a sample for the network, (channels, \*spatial).
    function : callable
        Runs the layers, on standardised samples.

    Attributes
    ----------
    of_layer : dict of str to tuple of ndarray
        By the name of a layer that gives places: where they lie along each axis in space, in
        samples from the first one on.
    of_extents : dict of tuple of int to tuple of ndarray
        The same by the numbers of places along the axes, where the last layer has as many.
    """

    def __init__(
        self, opened: Opened, in_shape: Extents, function: Callable[[Tensor], Tensor]
    ) -> None:
        self._network, self.sample = opened.network, in_shape[1:]
        self.of_layer: dict[str, Coordinates] = {}
        self.of_extents: dict[Extents, Coordinates] = {}
        self.at(self.sample)
        opened.trace(function, self._note, in_shape)

    def at(self, extents: Extents) -> Coordinates:
        """Return where so many places lie, evenly over the sample unless a layer told."""
        if extents not in self.of_extents:
            sample = tuple(np.arange(float(extent)) for extent in self.sample)
            self.of_extents[extents] = spread(sample, extents)
        return self.of_extents[extents]

    def of(self, layer: str | None) -> tuple[str, Coordinates]:
        """Return a layer, the last one with places if None, and where its places lie.

        Raises
        ------
        ValueError
            If there is no such layer, or it has no places.
        """
        if layer is not None:
            find_layer(self._network, layer, "layer")
        elif self.of_layer:
            layer = list(self.of_layer)[-1]
        if layer not in self.of_layer:
            last = [*self.of_layer][-3:]
            known = f"such as {last}" if last else "and the network has none"
            raise ValueError(f"layer must be a layer that gives places, {known}, got {layer!r}.")
        return layer, self.of_layer[layer]

    def _note(self, name: str, layer: nn.Module, args: Any, output: Any) -> None:
        """Take a layer into account that has run."""
        before, after = (self._extents(given) for given in (args, output))
        if after is None:
            return
        # What holds layers, as a residual block, has their places.
        single = hasattr(layer, "kernel_size") or not list(layer.children())
        if before is not None and (single or after not in self.of_extents):
            self.of_extents[after] = through(layer, self.at(before), after)
        self.of_layer[name] = self.at(after)

    def _extents(self, given: Any) -> Extents | None:
        """Return the numbers of places of what a layer takes or gives, None if it has none."""
        first = next((part for part in streams(given) if isinstance(part, Tensor)), None)
        if first is None or first.ndim < 2 + len(self.sample):
            return None
        return tuple(first.shape[-len(self.sample) :])

    def to_samples(self, maps: Array, at: Coordinates) -> NDArray[np.float32]:
        """Return maps (n, *places) as maps (n, *spatial), linear between where the places lie."""
        # Past the last place nothing is known, and the map stays as it is there.
        index = (
            np.interp(np.arange(extent), along, np.arange(len(along)))
            for extent, along in zip(self.sample, at, strict=True)
        )
        grid = np.meshgrid(*index, indexing="ij")
        found = np.empty((len(maps), *self.sample), np.float32)
        for values, out in zip(maps, found, strict=True):
            ndimage.map_coordinates(values, grid, output=out, order=1, mode="nearest")
        return found


def through(layer: nn.Module, before: Coordinates, extents: Extents) -> Coordinates:
    """Return where the places lie that a layer gives, by where those lie that it is given."""
    sampled_at: Any = getattr(layer, "sampled_at", None)
    if sampled_at is not None:
        return tuple(map(between, before, sampled_at))
    if not hasattr(layer, "stride") or getattr(layer, "transposed", False):
        return spread(before, extents)
    size, stride, dilation, padding = (
        getattr(layer, name, usual)
        for name, usual in (("kernel_size", 1), ("stride", 1), ("dilation", 1), ("padding", 0))
    )
    reach = np.multiply(dilation, np.array(size) - 1)
    padding = {"same": reach // 2, "valid": 0}[padding] if isinstance(padding, str) else padding
    after = []
    axes = (np.broadcast_to(each, len(before)) for each in (reach, stride, padding))
    for along, n_places, window, step, pad in zip(before, extents, *axes, strict=True):
        start = step * np.arange(n_places) - pad
        end = start + window
        if getattr(layer, "ceil_mode", False):
            end = np.minimum(end, len(along) - 1 + pad)
        after.append(between(along, (start + end) / 2))
    return tuple(after)


def spread(before: Coordinates, extents: Extents) -> Coordinates:
    """Return places, each in the middle of an equal share of those before."""
    return tuple(
        between(along, (np.arange(n_places) + 0.5) * len(along) / n_places - 0.5)
        for along, n_places in zip(before, extents, strict=True)
    )


def between(along: Array, index: Array) -> Array:
    """Return where fractional numbers of places lie, also past the first and the last one."""
    if len(along) == 1:
        return along[0] + index
    inside = np.interp(index, np.arange(len(along)), along)
    below, above = np.minimum(index, 0), np.maximum(index - (len(along) - 1), 0)
    return inside + below * (along[1] - along[0]) + above * (along[-1] - along[-2])
