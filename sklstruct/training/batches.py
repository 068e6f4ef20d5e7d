"""Samples and targets in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .rows import Unread, one_ahead

Index = NDArray[np.intp]
Prepare = Callable[[NDArray[Any]], Tensor]


class Batch(tuple):
    """A pair of samples and targets, as callbacks of skorch unpack it, with weights as attribute.

    Parameters
    ----------
    x : Tensor, shape (n, channels, *spatial)
    y : Tensor, or tuple of Tensor
    weight : Tensor, shape (n,)

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import Batch
    >>> batch = Batch(torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 0, 1]), torch.ones(4))
    >>> x, y = batch
    >>> x.shape, batch.weight
    (torch.Size([4, 1, 8, 8]), tensor([1., 1., 1., 1.]))
    """

    weight: Tensor

    def __new__(cls, x: Tensor, y: Any, weight: Tensor) -> Batch:
        """Return the pair."""
        batch = super().__new__(cls, (x, y))
        batch.weight = weight
        return batch

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        x, y = self
        y = tuple(part.to(device) for part in y) if isinstance(y, tuple) else y.to(device)
        return Batch(x.to(device), y, self.weight.to(device))


@dataclass(frozen=True)
class Samples(Dataset[Any]):  # which skorch leaves as it is
    """Samples, targets and weights, and how samples become a tensor.

    Parameters
    ----------
    x : ndarray or Unread, shape (m, channels, *spatial)
    index : ndarray of int, shape (n,)
        Which of them.
    y : Tensor, shape (n,) of class numbers or (n, n_outputs) of values
    weight : Tensor, shape (n,)
        With mean one.
    prepare : callable
        Maps an array of samples to a tensor with memory of its own.
    """

    x: NDArray[Any] | Unread
    index: Index
    y: Tensor
    weight: Tensor
    prepare: Prepare

    def __len__(self) -> int:
        return len(self.y)

    def take(self, kept: Index) -> Samples:
        """Return some of the samples, none of which is copied."""
        return replace(self, index=self.index[kept], y=self.y[kept], weight=self.weight[kept])

    def batch(self, numbers: Index, generator: torch.Generator | None) -> Batch:
        """Return the samples of some numbers."""
        x = self.prepare(self.x[self.index[numbers]])
        return Batch(x, self.y[numbers], self.weight[numbers])

    def changed(self, batch: Batch, augment: Any, generator: torch.Generator) -> Batch:
        """Return an augmented batch, whose targets stay as they are."""
        return Batch(augment(batch[0], generator), batch[1], batch.weight)


@dataclass(frozen=True)
class MapSamples(Dataset[Any]):
    """Samples and maps of any extents, of which pieces of one size are taken.

    Parameters
    ----------
    x : sequence of ndarray, shape (channels, *spatial)
    y : sequence of ndarray, shape (*spatial) of class numbers or (n_outputs, *spatial) of values
    weight : sequence of ndarray, shape (*spatial)
        Of every place; with mean one over all of them.
    prepare : callable
        Maps an array (n, channels, *spatial) to a tensor with memory of its own.
    crop : tuple of int, or None
        Extents of the pieces; None takes samples as a whole, which then must have one shape.
    """

    x: Sequence[NDArray[Any]]
    y: Sequence[NDArray[Any]]
    weight: Sequence[NDArray[Any]]
    prepare: Prepare
    crop: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def index(self) -> Index:
        """The numbers of the samples, all of them."""
        return np.arange(len(self.x))

    def take(self, kept: Index) -> MapSamples:
        """Return some of the samples."""
        x, y, weight = ([part[i] for i in kept] for part in (self.x, self.y, self.weight))
        return replace(self, x=x, y=y, weight=weight)

    def batch(self, numbers: Index, generator: torch.Generator | None) -> Batch:
        """Return pieces of the samples of some numbers.

        They lie anywhere, or in the middle where there is no generator.  What a piece has beyond
        a small sample repeats its border, and has no weight.
        """
        pieces = [self._piece(number, generator) for number in numbers]
        x, y, weight = (np.stack(part) for part in zip(*pieces, strict=True))
        targets = torch.from_numpy(y), torch.from_numpy(weight)
        return Batch(self.prepare(x), targets, torch.ones(len(x), dtype=targets[1].dtype))

    def changed(self, batch: Batch, augment: Any, generator: torch.Generator) -> Batch:
        """Return an augmented batch, whose maps have moved along."""
        if not hasattr(augment, "move"):
            raise TypeError(
                "augment of maps must be a name, an Augment, or have a method move(x, maps, "
                f"generator) that moves the maps of a batch too, got {augment!r}."
            )
        x, *moved = augment.move(batch[0], batch[1], generator)
        return Batch(x, tuple(moved), batch.weight)

    def _piece(self, i: int, generator: Any) -> tuple[NDArray[Any], ...]:
        x, y, weight = self.x[i], self.y[i], self.weight[i]
        if self.crop is None:
            return x, y, weight
        n_spatial = len(self.crop)
        for axis, extent in enumerate(self.crop, start=-n_spatial):
            room = x.shape[axis] - extent
            if room > 0:
                at = room // 2
                if generator is not None:
                    at = int(torch.randint(room + 1, (), generator=generator))
                inside = slice(at, at + extent)
                x, y, weight = (cut(part, axis, inside) for part in (x, y, weight))
            elif room < 0:
                low, high = -room // 2, -room - -room // 2
                x, y = pad(x, axis, low, high, "edge"), pad(y, axis, low, high, "edge")
                weight = pad(weight, axis, low, high, "constant")
        return x, y, weight


def cut(array: NDArray[Any], axis: int, inside: slice) -> NDArray[Any]:
    """Return a part of an array along one axis."""
    return array[(*[slice(None)] * (array.ndim + axis), inside)]


def pad(array: NDArray[Any], axis: int, low: int, high: int, mode: Any) -> NDArray[Any]:
    """Return an array with more places at both ends of one axis."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = low, high
    return np.pad(array, widths, mode=mode)


@dataclass
class Batches:
    """Iterate over samples in batches of (nearly) equal size.

    Whole batches are taken at once, which is twice as fast as collecting single samples; and no
    batch is much smaller than another, which batch norm would not like.

    Parameters
    ----------
    dataset : Samples or MapSamples
    batch_size : int
        Largest size of a batch.
    generator : torch.Generator, default=None
        Shuffles the samples and drives the augmentation; if None, they come in order.
    augment : callable, default=None
        See ``Augment``.
    device : str, default="cpu"
        Where batches are wanted.
    """

    dataset: Any
    batch_size: int
    generator: torch.Generator | None = None
    augment: Any = None
    device: str = "cpu"

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.dataset)
        order = torch.arange(n)
        if self.generator is not None:
            order = torch.randperm(n, generator=self.generator)
        numbers = np.array_split(order.numpy(), -(-n // min(self.batch_size, n)))
        take = partial(self.dataset.batch, generator=self.generator)
        each = one_ahead if isinstance(self.dataset.x, Unread) else map
        for batch in each(take, numbers):
            if self.device != "cpu":
                batch = batch.to(self.device)
            if self.augment is not None and self.generator is not None:
                batch = self.dataset.changed(batch, self.augment, self.generator)
            yield batch
