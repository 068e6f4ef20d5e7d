"""Thinning of masks to lines that are one pixel wide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate

from . import compiled

BITS = np.array([[8, 4, 2], [16, 0, 1], [32, 64, 128]])  # of the neighbours, from the east


def thin(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Thin a mask until nothing changes, by the two subiterations of Guo and Hall.

    What hangs together by sides or corners stays so.  Outside the image nothing is set.

    Parameters
    ----------
    mask : ndarray of bool, shape (height, width)

    Returns
    -------
    thinned : ndarray of bool, shape (height, width)

    References
    ----------
    Z. Guo and R. W. Hall. Parallel thinning with two-subiteration algorithms. Communications of
    the ACM 32, 1989.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct_boundaries.thinning import thin
    >>> thin(np.ones((3, 6), bool)).astype(int)
    array([[0, 0, 0, 0, 0, 0],
           [0, 1, 1, 1, 1, 0],
           [0, 0, 0, 0, 0, 0]])
    """
    if compiled.AVAILABLE:
        return compiled.thin(mask)
    thinned, changed = mask.astype(np.uint8), True
    while changed:
        before = thinned.sum()
        for removable in REMOVABLE:
            thinned[removable[correlate(thinned, BITS, np.uint8, mode="constant")]] = 0
        changed = thinned.sum() < before
    return thinned.astype(bool)


def removable_neighbourhoods() -> NDArray[np.bool_]:
    """Return in which of the two subiterations a pixel goes, by the code of its neighbours."""
    x = [np.arange(256) >> i % 8 & 1 == 1 for i in range(9)]
    sides = range(0, 8, 2)
    crossings = sum((~x[i] & (x[i + 1] | x[i + 2])).astype(int) for i in sides)
    one = sum((x[i] | x[i + 1]).astype(int) for i in sides)
    other = sum((x[i + 1] | x[i + 2]).astype(int) for i in sides)
    least = np.minimum(one, other)
    thick = (crossings == 1) & (least >= 2) & (least <= 3)
    east, west = (x[1] | x[2] | ~x[7]) & x[0], (x[5] | x[6] | ~x[3]) & x[4]
    return np.array([thick & ~east, thick & ~west])


REMOVABLE = removable_neighbourhoods()
