"""ScatteringLinear: a linear classifier on scattering coefficients."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.linalg import eigh

from sklstruct.estimators import ClassWeighted
from sklstruct.params import param, real

from .classifier import Array, Labels, ScatteringClassifier

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-3, 9))


class ScatteringLinear(ClassWeighted, ScatteringClassifier):
    r"""Ridge regression of the classes on scattering coefficients.

    .. math::
        f(x) = W z(x) + b, \quad
        \min_{W, b} \sum_i w_i \|f(x_i) - t_i\|^2 + \|W\|^2 / C,

    where z are the scaled coefficients, and the target :math:`t_i` is 1 for the class of
    :math:`x_i` and -1 for the others.  Probabilities are :math:`\mathrm{softmax}(f(x) / T)`.
    C and the temperature T are those of least log loss of samples held out.

    Parameters
    ----------
    C : float, default=None
        Inverse of the penalty, where the total variance of z is 1; None chooses one from 0.03
        to 10000.

    Attributes
    ----------
    C_ : float
        The C that was chosen, or given.
    n_parameters_ : int
        Entries of W and b.

    See Also
    --------
    ScatteringSVC : With a Gaussian kernel.
    ScatteringTransformer : The features alone.

    References
    ----------
    R. Rifkin and A. Klautau. In defense of one-vs-all classification. JMLR, 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringLinear
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ScatteringLinear(image_shape=(8, 8), random_state=0).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """

    C: float | None = param(None, real(above=0) | None)

    @property
    def C_(self) -> float:
        """The C that was chosen, or given."""
        return self.head_.strengths[0]

    def _candidates(self, codes: Labels) -> list[float]:
        return list(STRENGTHS) if self.C is None else [self.C]

    def _head(self, candidates: list[float]) -> Ridge:
        return Ridge(candidates)


class Ridge:
    """Ridge regression for several strengths C at the cost of one.

    Parameters
    ----------
    strengths : list of float
    """

    def __init__(self, strengths: list[float]) -> None:
        self.strengths = strengths

    def fit(self, Z: Array, codes: Labels, weight: Array) -> Self:
        """Learn from scaled coefficients, class numbers and weights."""
        targets = np.where(codes[:, np.newaxis] == np.arange(codes.max() + 1), 1.0, -1.0)
        mean, centre = (np.average(part, axis=0, weights=weight) for part in (Z, targets))
        root = np.sqrt(weight)[:, np.newaxis]
        # Of what is centred the intercept is 0, and so it costs nothing, as it should.
        A, T = root * (Z - mean), root * (targets - centre)
        if len(A) <= A.shape[1]:  # the smaller one of two matrices of inner products
            eigenvalues, U = eigh(A @ A.T, overwrite_a=True)
            basis, along = A.T @ U, U.T @ T
        else:
            eigenvalues, basis = eigh(A.T @ A, overwrite_a=True)
            along = basis.T @ (A.T @ T)
        # In the basis of the eigenvectors every strength is a division.
        shrunk = [along / (eigenvalues[:, np.newaxis] + 1 / C) for C in self.strengths]
        self.matrices_ = np.stack([basis @ part for part in shrunk])
        self.intercepts_ = centre - mean @ self.matrices_
        self.n_parameters = self.matrices_[0].size + self.intercepts_[0].size
        return self

    def decide(self, Z: Array) -> Array:
        """Return the regressed targets, shape (n, n_strengths, n_classes)."""
        return (Z @ self.matrices_ + self.intercepts_[:, np.newaxis]).swapaxes(0, 1)
