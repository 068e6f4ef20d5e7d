"""Machines between pairs of classes, and what they say of every class."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from sklstruct.estimators import CalibratedClassifier, ClassWeighted

from .duals import Array


class PairwiseSVC(ClassWeighted, CalibratedClassifier):
    r"""Base of support vector machines that are trained for each pair of classes.

    The decision value of a class is its smallest margin over any other one,
    :math:`f_i(x) = \min_{j \ne i} m_{ij}(x)` with the margins :math:`m_{ij} = -m_{ji}` of the
    pairwise machines: the winner of all its pairs comes first, as by voting, but there are no
    steps.
    """

    def decision_function(self, X: Any) -> Array:
        """Return the decision values, shape (n, n_classes).

        For two classes the margin of the second one, shape (n,).
        """
        values = self._values(X)
        return values if len(self.classes_) > 2 else values[:, 1]


def smallest_margins(margins: Array) -> Array:
    """Return the smallest margin of every class over any other.

    Parameters
    ----------
    margins : ndarray, shape (..., n_pairs)
        Of the second class of a pair over the first, for the pairs (0, 1), (0, 2) ... (1, 2) ...

    Returns
    -------
    values : ndarray, shape (..., n_classes)
    """
    n_classes = int(1 + np.sqrt(1 + 8 * margins.shape[-1])) // 2
    # In place, pair by pair: all margins of all classes at once would be twice as many.
    smallest = np.full((*margins.shape[:-1], n_classes), np.inf)
    for pair, (i, j) in enumerate(combinations(range(n_classes), 2)):
        smallest[..., i] = np.minimum(smallest[..., i], -margins[..., pair])
        smallest[..., j] = np.minimum(smallest[..., j], margins[..., pair])
    return smallest
