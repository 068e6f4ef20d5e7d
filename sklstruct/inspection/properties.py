"""What can be measured of images without knowing what they show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import orth

from ..estimators.samples import as_array

Array = NDArray[np.float64]

COLOURS = ("red", "green", "blue")
ROUNDING = 1e-9  # what varies less is constant: ranks, cosines and sines are of the order of 1


def image_properties(samples: Any) -> pd.DataFrame:
    r"""Measure brightness, colour, orientation and size of images, signals or volumes.

    With g the mean over channels, and sums over all places u,

    .. math::
        J = \sum_u \nabla g(u) \, \nabla g(u)^T, \qquad
        c = \frac{\sum_u |\nabla g(u)|^2 \, u}{\sum_u |\nabla g(u)|^2}, \qquad
        s^2 = \frac{\sum_u |\nabla g(u)|^2 \, |u - c|^2}{\sum_u |\nabla g(u)|^2}

    Parameters
    ----------
    samples : array-like, shape (n, channels, \*spatial)

    Returns
    -------
    properties : DataFrame
        One row for each sample: ``brightness``, the mean; of three channels ``red``, ``green`` and
        ``blue``, their means less the brightness, and ``saturation``, the mean over places of the
        largest less the smallest; of images ``orientation``, the angle in [0, pi) along which g
        changes least, counter-clockwise from the rows, by the eigenvectors of the structure tensor
        J, and ``coherence``, the difference of its eigenvalues over their sum; ``size``, the spread
        s of edges about their centre, in samples.  What a constant sample does not have is missing.

    Raises
    ------
    ValueError
        If samples have no axes of space, or a single sample along one.

    See Also
    --------
    AttributeWalk.correlation : Whether attributes have to do with them.

    References
    ----------
    J. Bigun and G. H. Granlund. Optimal orientation detection of linear symmetry. ICCV, 1987.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.inspection import image_properties
    >>> rows, columns = np.mgrid[:32, :32]
    >>> waves = np.stack([np.sin(rows / 3), np.sin((rows + columns) / 5)])[:, np.newaxis]
    >>> table = image_properties(1 + waves)
    >>> np.rad2deg(table["orientation"]).round().tolist()
    [0.0, 45.0]
    """
    samples = np.asarray(as_array(samples), dtype=np.float64)
    if samples.ndim < 3 or min(samples.shape[2:]) < 2:
        raise ValueError(
            "samples must have shape (n, channels, *spatial), of at least 2 along every axis of "
            f"space, got {samples.shape}."
        )
    space = tuple(range(2, samples.ndim))
    means = samples.mean(axis=space)
    table = {"brightness": means.mean(axis=1)}
    if samples.shape[1] == len(COLOURS):
        table |= dict(zip(COLOURS, means.T - table["brightness"], strict=True))
        table["saturation"] = np.ptp(samples, axis=1).reshape(len(samples), -1).mean(axis=1)
    grey = samples.mean(axis=1)
    slopes = [np.gradient(grey, axis=axis).reshape(len(grey), -1) for axis in range(1, grey.ndim)]
    energy = sum(slope**2 for slope in slopes)
    total = energy.sum(axis=1)
    share = energy / np.where(total > 0, total, np.nan)[:, np.newaxis]
    if len(slopes) == 2:
        along, across = slopes[1], -slopes[0]  # rows are counted downwards
        even, odd = (along**2 - across**2).sum(axis=1), 2 * (along * across).sum(axis=1)
        flat = np.where(np.hypot(even, odd) > ROUNDING * total, 0, np.nan)  # has no orientation
        table["orientation"] = (np.arctan2(odd, even) + np.pi) / 2 % np.pi + flat
        table["coherence"] = np.hypot(even, odd) / np.where(total > 0, total, np.nan)
    places = np.indices(grey.shape[1:]).reshape(len(slopes), -1)
    centres = share @ places.T
    table["size"] = np.sqrt((share @ (places**2).T - centres**2).sum(axis=1).clip(0))
    return pd.DataFrame(table)


def association(one: Array, other: Array) -> float:
    r"""Return how well the columns of one matrix are a linear function of those of another.

    .. math::
        r^2 = \frac{1}{m} \operatorname{tr}
        \bigl(S_{YY}^{-1} S_{YA} S_{AA}^{-1} S_{AY}\bigr) \in [0, 1]

    for m independent columns of Y, and covariances S.  With ranks of one quantity on both sides
    it is the magnitude of Spearman's coefficient; with the cosine and sine of an angle as A, the
    circular-linear coefficient of Mardia, and with those of an angle as Y too, the root of half
    the circular-circular one of Jupp and Mardia.

    Parameters
    ----------
    one, other : ndarray, shape (n, n_columns)

    Returns
    -------
    r : float
        NaN where either of them is constant, or there are no rows.

    References
    ----------
    K. V. Mardia and P. E. Jupp. Directional statistics. Wiley, 2000, section 11.2.
    """
    bases = []
    for columns in (one, other):
        varies = np.ptp(columns, axis=0) > ROUNDING if len(columns) else np.zeros(1, bool)
        if not varies.any():
            return np.nan
        centred = columns - columns.mean(axis=0)
        bases.append(orth(centred[:, varies]))
    return float(np.linalg.norm(bases[0].T @ bases[1]) / np.sqrt(bases[0].shape[1]))
