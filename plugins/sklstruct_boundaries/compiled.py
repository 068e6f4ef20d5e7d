"""The compiled kernel: thinning and matching.  Where it was not built, NumPy does the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    from . import _boundaries
except ImportError:  # no compiler where the package was built
    AVAILABLE = False
else:
    AVAILABLE = True


def thin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask (height, width) thinned."""
    thinned = np.array(mask, np.uint8, order="C")
    _boundaries.thin(*thinned.shape, thinned)
    return thinned.astype(bool)


def count(
    levels: NDArray[np.int32],
    truths: NDArray[np.bool_],
    offsets: NDArray[np.int32],
    n_thresholds: int,
) -> NDArray[np.int64]:
    """Return counts (n_thresholds, 4) of matched pixels; other threads may go on."""
    counts = np.zeros((n_thresholds, 4), np.int64)
    arrays = (levels, truths.astype(np.uint8), offsets)
    _boundaries.count(*levels.shape, *map(np.ascontiguousarray, arrays), counts)
    return counts
