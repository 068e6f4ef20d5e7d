"""Ridge regression that says of every sample what it would say without it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]

ROUNDING = 1e-12  # of the largest variance along a direction; what is smaller is nothing
SURE = 1e-9  # share of itself that every sample at least leaves to the others


class Fits(NamedTuple):
    """Ridge regressions of several strengths.

    Parameters
    ----------
    matrices : ndarray, shape (n_strengths, n_features, n_targets)
    intercepts : ndarray, shape (n_strengths, n_targets)
    left_out : ndarray, shape (n, n_strengths, n_targets)
        What is said of each sample by the fit to the others.
    """

    matrices: Array
    intercepts: Array
    left_out: Array


def ridge(Z: Array, T: Array, weight: Array, strengths: list[float]) -> Fits:
    r"""Return ridge regressions of targets, for several strengths at the cost of one.

    .. math::
        \min_{W, b} \sum_i w_i \|W z_i / s + b - t_i\|^2 + \|W\|^2 / C

    where the number s makes the total variance 1.  Left out, sample i misses its target by
    :math:`r_i / (1 - H_{ii})`, with its residual r and the matrix H from targets to fitted values.

    Parameters
    ----------
    Z : ndarray, shape (n, n_features)
    T : ndarray, shape (n, n_targets)
    weight : ndarray, shape (n,)
        Positive.
    strengths : list of float
        Values of C.

    References
    ----------
    D. M. Allen. The relationship between variable selection and data augmentation and a method
    for prediction. Technometrics, 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct_sparse.ridge import ridge
    >>> Z = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> fits = ridge(Z, T=2 * Z + 1, weight=np.ones(4), strengths=[1e9])
    >>> fits.matrices.ravel().round(3), fits.intercepts.ravel().round(3)
    (array([2.]), array([1.]))
    >>> fits.left_out.ravel().round(3)
    array([1., 3., 5., 9.])
    """
    mean, centre = (np.average(part, axis=0, weights=weight) for part in (Z, T))
    root = np.sqrt(weight)[:, np.newaxis]
    A, targets = root * (Z - mean), root * (T - centre)
    scale = np.sqrt(np.square(A).sum() / weight.sum()) or 1.0
    A /= scale
    dual = len(A) <= A.shape[1]  # the smaller one of two matrices has the same eigenvalues
    squares, vectors = eigh(A @ A.T if dual else A.T @ A)
    kept = squares > ROUNDING * squares[-1]
    squares, vectors = squares[kept], vectors[:, kept]
    V = A.T @ vectors / np.sqrt(squares) if dual else vectors
    B = vectors * np.sqrt(squares) if dual else A @ vectors
    # In the basis of the eigenvectors every strength is a division.
    shrinking = 1 / (squares + 1 / np.array(strengths)[:, np.newaxis])
    along = shrinking[:, :, np.newaxis] * (B.T @ targets)
    matrices = V @ along / scale
    leverage = shrinking @ np.square(B).T + weight / weight.sum()
    rest = np.maximum(1 - leverage, SURE)[:, :, np.newaxis]
    left_out = T - (targets - B @ along) / (root * rest)
    return Fits(matrices, centre - mean @ matrices, left_out.swapaxes(0, 1))
