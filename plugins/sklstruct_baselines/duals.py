"""Linear models that see samples through their inner products alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.svm import SVC
from sklearn.utils import gen_batches

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

PENALTIES = tuple(10.0**k for k in range(-2, 3))  # where the mean squared norm of samples is 1
RANK_TOLERANCE = 1e-10  # of the largest eigenvalue of a kernel matrix
BLOCK = 2**14  # columns that are there in double precision at a time


class Dual(NamedTuple):
    r"""Outputs :math:`m(x) = b + \sum_k a_k \langle x, x_k \rangle` from inner products.

    Those of classification are margins, positive for the second class of a pair, for the pairs
    (0, 1), (0, 2) ... (1, 2) ...
    """

    coefficients: Array  # (n, n_outputs)
    intercepts: Array  # (n_outputs,)


def solve_pairs(K: Array, codes: Labels, weight: Array, C: float) -> Dual:
    """Return the support vector machines of all pairs of classes.

    Parameters
    ----------
    K : ndarray, shape (n, n)
        Inner products.
    codes : ndarray, shape (n,)
        Numbers of classes.
    weight : ndarray, shape (n,)
    C : float
        Penalty of the margin violations, for a sample of weight 1.
    """
    pairs = list(combinations(range(codes.max() + 1), 2))
    dual = Dual(np.zeros((len(K), len(pairs))), np.empty(len(pairs)))
    for number, (i, j) in enumerate(pairs):
        rows = np.flatnonzero((codes == i) | (codes == j))
        # SVC would draw a seed from NumPy's global generator, to no use.
        machine = SVC(C=C, kernel="precomputed", random_state=0)
        machine.fit(K[np.ix_(rows, rows)], codes[rows], sample_weight=weight[rows])
        dual.coefficients[rows[machine.support_], number] = machine.dual_coef_[0]
        dual.intercepts[number] = machine.intercept_[0]
    return dual


def solve_components(
    K: Array, codes: Labels, weight: Array, settings: Sequence[tuple[int | float, float]]
) -> list[Dual]:
    """Return the support vector machines on principal components.

    Parameters
    ----------
    K, codes, weight
        As ``solve_pairs`` takes them.
    settings : sequence of (number, C)
        How many components, see ``leading``; and the penalty where the mean squared norm of
        the scores is 1.
    """
    scores, projection = principal_components(K, weight)
    mean = np.average(K, axis=0, weights=weight)
    duals = []
    for number, C in settings:
        kept = leading(scores, weight, number)
        Z = scores[:, kept]
        within = Z @ Z.T
        unit = mean_square(within, weight)
        on_scores = solve_pairs(within / unit, codes, weight, C)
        # Back from scores to samples; the scores are centred, the inner products are not.
        coefficients = projection[:, kept] @ (Z.T @ on_scores.coefficients) / unit
        duals.append(Dual(coefficients, on_scores.intercepts - mean @ coefficients))
    return duals


def solve_ridge(K: Array, y: Array, weight: Array, settings: Sequence[float]) -> list[Dual]:
    r"""Return ridge regression, for each setting at hardly more than the cost of one.

    .. math:: \min_{v, b} \sum_i w_i (y_i - b - \langle v, x_i \rangle)^2 + \|v\|^2 / C

    On principal components, which are uncorrelated, each has a solution of its own.

    Parameters
    ----------
    K, weight
        As ``solve_pairs`` takes them.
    y : ndarray, shape (n,)
    settings : sequence of C
    """
    scores, projection = principal_components(K, weight)
    mean, centre = np.average(K, axis=0, weights=weight), np.average(y, weights=weight)
    along, variances = scores.T @ (weight * (y - centre)), weight @ np.square(scores)
    shrunk = along[:, np.newaxis] / (variances[:, np.newaxis] + 1 / np.array(settings))
    solutions = (projection @ shrunk).T[..., np.newaxis]
    return [Dual(solution, centre - mean @ solution) for solution in solutions]


def principal_components(K: Array, weight: Array) -> tuple[Array, Array]:
    r"""Return the scores of samples on their principal components, and how they come about.

    The components of samples :math:`x_i` are the combinations
    :math:`v_q = \sum_i p_{iq} x_i`, of length 1 and orthogonal, in the order of the variance
    of the scores :math:`\langle v_q, x_i - \bar x \rangle`.  The score of largest size on each is
    positive.

    Parameters
    ----------
    K : ndarray, shape (n, n)
        Inner products of samples, about any origin.
    weight : ndarray, shape (n,)

    Returns
    -------
    scores : ndarray, shape (n, n_components)
        For all components whose variance is not zero.
    projection : ndarray, shape (n, n_components)
        The :math:`p_{iq}`; columns sum to zero.
    """
    root = np.sqrt(weight)
    K = K - np.average(K, axis=0, weights=weight)
    K = K - np.average(K, axis=1, weights=weight)[:, np.newaxis]
    eigenvalues, U = eigh(root[:, np.newaxis] * K * root)
    kept = np.flatnonzero(eigenvalues > RANK_TOLERANCE * eigenvalues[-1])[::-1]
    projection = root[:, np.newaxis] * U[:, kept] / np.sqrt(eigenvalues[kept])
    scores = K @ projection
    largest = np.abs(scores).argmax(axis=0)
    signs = np.sign(scores[largest, np.arange(len(kept))])
    return scores * signs, projection * signs


def leading(scores: Array, weight: Array, number: int | float) -> slice:
    """Return the first components: so many, or those that hold a share of the variance."""
    if isinstance(number, Integral):
        return slice(number)
    variances = weight @ np.square(scores)
    shares = np.cumsum(variances) / variances.sum()
    return slice(1 + np.searchsorted(shares, number - RANK_TOLERANCE))


def inner_products(X: NDArray[Any], scale: Array) -> Array:
    """Return the inner products of rows times a scale of columns, shape (n, n)."""
    K = np.zeros((len(X), len(X)))
    for columns in gen_batches(X.shape[1], BLOCK):
        part = X[:, columns] * scale[columns]  # in double precision
        K += part @ part.T
    return K


def combined(coefficients: Array, X: NDArray[Any]) -> Array:
    """Return combinations of rows, shape (n_combinations, n_columns)."""
    result = np.empty((coefficients.shape[1], X.shape[1]))
    for columns in gen_batches(X.shape[1], BLOCK):
        result[:, columns] = coefficients.T @ X[:, columns]
    return result


def mean_square(K: Array, weight: Array) -> float:
    """Return the mean squared norm of samples, or 1 if all are zero."""
    return float(np.average(np.diag(K), weights=weight)) or 1.0
