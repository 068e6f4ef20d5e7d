"""Rows of coefficients that this process keeps, so that a search computes each sample once.

A candidate of a grid search is a clone that sees copies of some of the samples: neither the
estimator nor the array that it is given can carry anything over to the next candidate.  But the
coefficients of a sample do not depend on its company, so they are found again by the values of
the sample, whatever fold it comes back in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

BLOCK = 1 << 26  # bytes of coefficients that are computed before they are put in place


class RowCache:
    """Rows by key, of which those that were not used for longest give way to new ones."""

    def __init__(self) -> None:
        self._rows: OrderedDict[bytes, NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()  # a search may run its candidates in threads

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> NDArray[Any] | None:
        """Return the row of a key, None if there is none."""
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
            return self._rows.get(key)

    def put(self, key: bytes, row: NDArray[Any], limit: float) -> None:
        """Keep a copy of a row; what is kept, by whomever, may take so many bytes in all."""
        with self._lock:
            if key not in self._rows:
                self._rows[key] = row.copy()  # a view would keep the whole block
                self._bytes += row.nbytes
            while self._bytes > limit:
                self._bytes -= self._rows.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._rows.clear()
            self._bytes = 0


CACHE = RowCache()


def cached_rows(
    compute: Callable[[NDArray[Any]], NDArray[Any]],
    X: NDArray[Any],
    width: int,
    setting: Any,
    limit: float,
    n_in_all: int | None = None,
) -> NDArray[Any]:
    """Return ``compute(X)``, where rows that were computed before are taken from the cache.

    Parameters
    ----------
    compute : callable
        Maps samples (m, ...) to rows (m, width), each sample for itself.
    X : ndarray, shape (n, ...)
    width : int
        Length of a row.
    setting : object
        What the rows depend on beside the samples; its repr tells settings apart.
    limit : float
        Bytes that the cache may take.  Rows that do not fit into it all together are neither
        looked up nor kept: they would only drive one another out.
    n_in_all : int, default=None
        Number of samples of which X is a part; None is all of them.

    Returns
    -------
    rows : ndarray, shape (n, width)
    """
    rows = np.empty((len(X), width), X.dtype)
    row_bytes = width * X.itemsize
    keep = row_bytes * (len(X) if n_in_all is None else n_in_all) <= limit
    # Equal values mean equal samples only in the same type and shape.
    begun = blake2b(repr((setting, X.dtype, X.shape[1:])).encode(), digest_size=16)
    for part in gen_batches(len(X), max(1, BLOCK // max(1, row_bytes))):
        if not keep:
            rows[part] = compute(X[part])
            continue
        missing: dict[bytes, list[int]] = {}  # by key: of equal samples, one is enough
        for place in range(part.start, part.stop):
            digest = begun.copy()
            digest.update(np.ascontiguousarray(X[place]).data)
            row = CACHE.get(key := digest.digest())
            if row is None:
                missing.setdefault(key, []).append(place)
            else:
                rows[place] = row
        if missing:
            computed = compute(X[[places[0] for places in missing.values()]])
            for (key, places), row in zip(missing.items(), computed, strict=True):
                rows[places] = row
                CACHE.put(key, row, limit)
    return rows
