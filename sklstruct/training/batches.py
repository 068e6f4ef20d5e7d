"""Samples and targets in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .rows import Rows, in_turn

Index = NDArray[np.intp]
Prepare = Callable[[NDArray[Any]], Tensor]


class Batch(tuple):
    """A pair of samples and targets, as callbacks of skorch unpack it, with weights as attribute.

    Parameters
    ----------
    x : Tensor, shape (n, channels, *spatial)
    y : Tensor, or tuple of Tensor
    weight : Tensor, shape (n,)
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


Augmentation = Callable[[Batch, torch.Generator], Batch]


class TrainingData(Dataset[Any]):
    """What a network can be trained on; skorch leaves a data set of torch as it is."""

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError

    @property
    def numbers(self) -> Index:
        """Which of the samples that were given these are."""
        return np.arange(len(self))

    def batches(self, indices: Sequence[Index], generator: Any = None) -> Iterator[Batch]:
        """Yield the samples of every array of indices."""
        raise NotImplementedError


@dataclass(frozen=True)
class Samples(TrainingData):
    """Samples, targets and weights of equal length, and how samples become a tensor.

    Parameters
    ----------
    x : Rows, shape (n, channels, *spatial)
    y : Tensor, shape (n,) of class numbers or (n, n_outputs) of values
    weight : Tensor, shape (n,)
        With mean one.
    prepare : callable
        Maps an array of samples to a tensor with memory of its own.
    """

    x: Rows
    y: Tensor
    weight: Tensor
    prepare: Prepare

    def __len__(self) -> int:
        return len(self.y)

    @property
    def numbers(self) -> Index:
        """Which of the samples that were given these are."""
        return self.x.index

    def take(self, index: Index) -> Samples:
        """Return some of the samples."""
        return replace(self, x=self.x.take(index), y=self.y[index], weight=self.weight[index])

    def batches(self, indices: Sequence[Index], generator: Any = None) -> Iterator[Batch]:
        """Yield the samples of every array of indices."""

        def batch(index: Index) -> Batch:
            return Batch(self.prepare(self.x[index]), self.y[index], self.weight[index])

        return in_turn(batch, indices, self.x)


@dataclass(frozen=True)
class MapSamples(TrainingData):
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

    def take(self, index: Index) -> MapSamples:
        """Return some of the samples."""
        chosen = ([part[i] for i in index] for part in (self.x, self.y, self.weight))
        return MapSamples(*chosen, self.prepare, self.crop)

    def batches(self, indices: Sequence[Index], generator: Any = None) -> Iterator[Batch]:
        """Yield pieces of the samples of every array of indices.

        They lie anywhere, or in the middle where there is no generator.  What a piece has beyond
        a small sample repeats its border, and has no weight.
        """
        for index in indices:
            pieces = [self._piece(i, generator) for i in index]
            x, y, weight = (np.stack(part) for part in zip(*pieces, strict=True))
            targets = torch.from_numpy(y), torch.from_numpy(weight)
            yield Batch(self.prepare(x), targets, torch.ones(len(x), dtype=targets[1].dtype))

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
        Maps (batch, generator) to a batch.
    device : str, default="cpu"
        Where batches are wanted.
    """

    def __init__(
        self,
        dataset: TrainingData,
        batch_size: int,
        generator: torch.Generator | None = None,
        augment: Augmentation | None = None,
        device: str = "cpu",
    ) -> None:
        self.dataset, self.generator, self.augment = dataset, generator, augment
        self.device = device
        self.n_batches = -(-len(dataset) // min(batch_size, len(dataset)))

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Batch]:
        n = len(self.dataset)
        order = torch.arange(n)
        if self.generator is not None:
            order = torch.randperm(n, generator=self.generator)
        indices = np.array_split(order.numpy(), self.n_batches)
        for batch in self.dataset.batches(indices, self.generator):
            if self.device != "cpu":
                batch = batch.to(self.device)
            if self.augment is not None and self.generator is not None:
                batch = self.augment(batch, self.generator)
            yield batch
