"""Means over samples, and how sure they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

CONFIDENCE = 0.95


class Mean(NamedTuple):
    """A mean and its interval."""

    mean: float
    low: float
    high: float


def mean_over_samples(values: NDArray[Any]) -> Mean:
    r"""Return the mean of values of samples, (n,), or of samples in random draws, (n, n_draws).

    The interval is Student's (95 %), with the variance of a mean over samples plus that of a mean
    over draws, :math:`s_n^2 / n + s_r^2 / r`, and Satterthwaite's degrees of freedom.  It is nan
    for a single sample, and that of the samples alone for a single draw; without samples all is.
    """
    if not values.size:
        return Mean(np.nan, np.nan, np.nan)
    values = values.reshape(len(values), -1)
    mean = float(values.mean())
    ways = [values.mean(axis=1 - axis) for axis in (0, 1) if values.shape[axis] > 1]
    if len(values) == 1:
        return Mean(mean, np.nan, np.nan)
    parts = np.array([way.var(ddof=1) / len(way) for way in ways])
    if not parts.any():
        return Mean(mean, mean, mean)
    freedoms = np.array([len(way) - 1 for way in ways])
    freedom = parts.sum() ** 2 / (parts**2 / freedoms).sum()
    reach = student.isf((1 - CONFIDENCE) / 2, freedom) * np.sqrt(parts.sum())
    return Mean(mean, mean - reach, mean + reach)
