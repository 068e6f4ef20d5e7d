"""Samples that stay where they lie, in memory or in files, until a batch of them is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key")
Value = TypeVar("Value")

VALUES_AT_ONCE = 1 << 16  # copies in double precision stay small


@dataclass(frozen=True, eq=False)
class Unread:
    """Lazy samples as an array (n, channels, *spatial) that is read for arrays of indices.

    Parameters
    ----------
    read : callable
        Maps a number to the sample, (channels, *spatial).
    shape : tuple of int
        (n, channels, *spatial).
    dtype : str
    """

    read: Callable[[int], NDArray[Any]]
    shape: tuple[int, ...]
    dtype: str

    def __getitem__(self, index: NDArray[np.intp]) -> NDArray[Any]:
        samples = np.empty((len(index), *self.shape[1:]), self.dtype)
        for place, number in enumerate(index.tolist()):
            samples[place] = self.read(number)
        return samples


@dataclass(frozen=True, eq=False)
class Rows:
    """A choice of samples, none of which is copied or read before it is asked for.

    ``rows[key]`` is a new array, ``rows.take(key)`` a further choice.

    Parameters
    ----------
    source : ndarray or Unread, shape (m, channels, *spatial)
    index : ndarray of int, shape (n,)
        Which of them, and in what order.
    """

    source: NDArray[Any] | Unread
    index: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for, (n, channels, *spatial)."""
        return (len(self), *self.source.shape[1:])

    @property
    def lazy(self) -> bool:
        """Whether they are read from files."""
        return isinstance(self.source, Unread)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.ascontiguousarray(self.source[self.index[key]])  # sums round alike then

    def take(self, key: Any) -> Rows:
        """Return those of an array of indices or of a mask."""
        return Rows(self.source, self.index[key])


def in_turn(
    function: Callable[[Key], Value], keys: Iterable[Key], X: NDArray[Any] | Rows
) -> Iterator[Value]:
    """Yield ``function(key)``, which takes samples of X, for every key in its order.

    If they are read from files, a thread does that for the next key in the meantime.
    """
    ahead = isinstance(X, Rows) and X.lazy
    return one_ahead(function, keys) if ahead else map(function, keys)


def one_ahead(function: Callable[[Key], Value], keys: Iterable[Key]) -> Iterator[Value]:
    """Yield ``function(key)`` for every key, computed by a thread while its precursor is used."""
    calls = (call_in_thread(function, key) for key in keys)
    call = next(calls, None)
    while call is not None:
        value = call.result()
        call = next(calls, None)
        yield value


def call_in_thread(function: Callable[[Key], Value], key: Key) -> Future[Value]:
    """Start a call in a thread that ends with it: none is left over, however a training ends."""
    thread = ThreadPoolExecutor(1, "sklstruct-read-ahead")
    call = thread.submit(function, key)
    thread.shutdown(wait=False)
    return call


def in_pieces(X: NDArray[Any] | Rows) -> Iterator[slice]:
    """Yield slices of samples that are few enough to be computed on in double precision."""
    size = max(1, VALUES_AT_ONCE // prod(X.shape[1:]))
    return (slice(start, start + size) for start in range(0, len(X), size))


def channel_scaling(X: NDArray[Any] | Rows, weight: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (weighted) mean and standard deviation of every channel, each (channels,)."""
    spatial = tuple(range(2, len(X.shape)))
    means, squares = np.empty((2, *X.shape[:2]))
    for rows in in_pieces(X):
        means[rows] = X[rows].mean(axis=spatial, dtype=np.float64)
    mean = np.average(means, axis=0, weights=weight)
    for rows in in_pieces(X):
        centred = X[rows] - mean.reshape(-1, *(1,) * len(spatial))
        squares[rows] = np.square(centred, out=centred).mean(axis=spatial)
    variance = np.average(squares, axis=0, weights=weight)
    return mean, np.sqrt(np.where(variance > 0, variance, 1))
