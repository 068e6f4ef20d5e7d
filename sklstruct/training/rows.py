"""Samples that stay in files until a batch of them is taken, and what is measured of samples."""

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
Array = NDArray[Any]

VALUES_AT_ONCE = 1 << 16  # copies in double precision stay small


@dataclass(frozen=True, eq=False)
class Unread:
    """What stands for an array (n, channels, *spatial), of which rows are read when asked for.

    Parameters
    ----------
    read : callable
        Maps a number to the sample, (channels, *spatial).
    index : ndarray of int, shape (n,)
        The numbers of the samples.
    sample_shape : tuple of int
        (channels, *spatial).
    dtype : str
    """

    read: Callable[[int], Array]
    index: NDArray[np.intp]
    sample_shape: tuple[int, ...]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for."""
        return (len(self.index), *self.sample_shape)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: Any) -> Array:
        numbers = self.index[key]
        samples = np.empty((len(numbers), *self.sample_shape), self.dtype)
        for place, number in enumerate(numbers.tolist()):
            samples[place] = self.read(number)
        return samples


def one_ahead(function: Callable[[Key], Value], keys: Iterable[Key]) -> Iterator[Value]:
    """Yield ``function(key)`` for every key, computed by a thread while its precursor is used.

    In place of ``map`` where samples are read from files.
    """
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


def channel_scaling(X: Array | Unread, index: NDArray[np.intp], weight: Any) -> tuple[Array, Array]:
    """Return (weighted) mean and standard deviation of every channel, each (channels,).

    Parameters
    ----------
    X : ndarray or Unread, shape (m, channels, *spatial)
    index : ndarray of int, shape (n,)
        Which of the samples count.
    weight : ndarray, shape (n,), or None
    """
    spatial = tuple(range(2, len(X.shape)))
    size = max(1, VALUES_AT_ONCE // prod(X.shape[1:]))
    pieces = [slice(start, start + size) for start in range(0, len(index), size)]
    means, squares = np.empty((2, len(index), X.shape[1]))
    for rows in pieces:
        # Sums of contiguous arrays round alike, whatever the layout that X came in.
        means[rows] = np.ascontiguousarray(X[index[rows]]).mean(axis=spatial, dtype=np.float64)
    mean = np.average(means, axis=0, weights=weight)
    for rows in pieces:
        centred = np.ascontiguousarray(X[index[rows]]) - mean.reshape(-1, *(1,) * len(spatial))
        squares[rows] = np.square(centred, out=centred).mean(axis=spatial)
    variance = np.average(squares, axis=0, weights=weight)
    return mean, spread(mean, variance, len(index) * prod(X.shape[2:]), X.dtype)


def spread(mean: Array, variance: Array, n: int, dtype: Any) -> Array:
    """Return standard deviations to divide by: 1 for what is constant but for rounding.

    Parameters
    ----------
    mean, variance : ndarray of float64
    n : int
        Number of values behind each.
    dtype : dtype
        Of the values.

    See Also
    --------
    NetworkEstimator : Standardises channels by it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.training import spread
    >>> spread(np.array([1.0, 5.0]), np.array([4.0, 0.0]), n=10, dtype=np.float32)
    array([2., 1.])
    """
    deviation = np.sqrt(variance)
    return np.where(deviation > rounding(mean, n, dtype), deviation, 1.0)


def rounding(mean: Array, n: int, dtype: Any) -> Array:
    """Return the deviation that n equal values of a dtype may have, of the given mean."""
    # A sum of n equal numbers is off by n roundings at most, and the numbers themselves by one.
    return (n * np.finfo(np.float64).eps + np.finfo(dtype).eps) * np.abs(mean)
