"""Statistics of maps over subjects, for groups of scans, one map at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Group = tuple[Any, ...]


class Moments:
    """Mean and deviation of volumes that come one after another."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, values: Array) -> None:
        """Take a volume into account."""
        # Welford's way: sums of squares would lose all digits where the mean is large.
        self.n += 1
        difference = values - np.asarray(self.mean, np.float64)
        self.mean = self.mean + difference / self.n
        self.squares = self.squares + difference * (values - self.mean)

    @property
    def variance(self) -> Array:
        """Of two volumes or more."""
        return np.asarray(self.squares / (self.n - 1))

    def maps(self) -> dict[str, Array]:
        """Return mean and, of two volumes or more, standard deviation and t."""
        if self.n < 2:
            return {"mean": self.mean}
        error = np.sqrt(self.variance / self.n)
        return {"mean": self.mean, "std": np.sqrt(self.variance), "t": ratio(self.mean, error)}

    def minus(self, other: Moments) -> dict[str, Array]:
        """Return the difference of the means and, of two volumes or more each, Welch's t."""
        difference = self.mean - other.mean
        if min(self.n, other.n) < 2:
            return {"mean": difference}
        # Welch's: patients often vary more than controls.
        error = np.sqrt(self.variance / self.n + other.variance / other.n)
        return {"mean": difference, "t": ratio(difference, error)}


def ratio(values: Array, errors: Array) -> Array:
    """Return values in units of their errors, zero where there is no error."""
    return np.divide(values, errors, out=np.zeros_like(errors), where=errors > 0)


class GroupMoments(defaultdict[Group, Moments]):
    """Moments by group: a word, and the label that the scans of the group have in common."""

    def __init__(self) -> None:
        super().__init__(Moments)

    def statistics(self) -> Iterator[tuple[Group, dict[str, Array]]]:
        """Yield the maps of every group, and of two true classes those of the last minus first."""
        for group, moments in self.items():
            yield group, moments.maps()
        true = sorted(group for group in self if group[0] == "true")
        if len(true) == 2:
            first, last = true
            yield ("difference", last[1], first[1]), self[last].minus(self[first])
