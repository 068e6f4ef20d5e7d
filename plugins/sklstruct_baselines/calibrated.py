"""From the margins between pairs of classes to calibrated probabilities, the same for all."""

from __future__ import annotations

from abc import abstractmethod
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin

Array = NDArray[np.float64]


class CalibratedSVC(ClassifierMixin, BaseEstimator):
    r"""Base of support vector machines whose probabilities are calibrated.

    The decision value of a class is its smallest margin over any other one,
    :math:`f_i(x) = \min_{j \ne i} m_{ij}(x)` with the margins :math:`m_{ij} = -m_{ji}` of the
    pairwise machines: the winner of all its pairs comes first, as by voting, but there are no
    steps.  The probabilities are :math:`\mathrm{softmax}(f(x) / T)`, where the temperature T
    minimises the log loss of decision values from cross-validation; a single number cannot
    change which class comes first.
    """

    classes_: NDArray[Any]
    temperature_: float

    @abstractmethod
    def _values(self, X: Any) -> Array:
        """Return the decision values of all classes, shape (n_samples, n_classes)."""

    def decision_function(self, X: Any) -> Array:
        """Return the decision values, shape (n_samples, n_classes).

        For two classes the margin of the second one, shape (n_samples,).
        """
        values = self._values(X)
        return values if len(self.classes_) > 2 else values[:, 1]

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, shape (n_samples, n_classes)."""
        values = self._values(X)
        return softmax(values / self.temperature_, axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable classes, shape (n_samples,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


def smallest_margins(margins: Array) -> Array:
    """Return the smallest margin of every class over any other.

    Parameters
    ----------
    margins : ndarray, shape (n_samples, n_pairs)
        Of the second class of a pair over the first, for the pairs (0, 1), (0, 2) ... (1, 2) ...

    Returns
    -------
    values : ndarray, shape (n_samples, n_classes)
    """
    n_classes = int(1 + np.sqrt(1 + 8 * margins.shape[1])) // 2
    smallest = np.full((len(margins), n_classes), np.inf)
    for margin, (i, j) in zip(margins.T, combinations(range(n_classes), 2), strict=True):
        smallest[:, i] = np.minimum(smallest[:, i], -margin)
        smallest[:, j] = np.minimum(smallest[:, j], margin)
    return smallest
