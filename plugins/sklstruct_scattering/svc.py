"""ScatteringSVC: a kernel support vector machine on scattering coefficients."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from sklstruct.estimators import ClassWeighted
from sklstruct.params import param, real

from .classifier import Array, Labels, ScatteringClassifier

LARGEST_GRAM = 8000  # samples whose kernel matrix is computed at once, 0.5 GB
CACHE = 1000  # megabytes of kernel values for more samples than that


class ScatteringSVC(ClassWeighted, ScatteringClassifier):
    r"""Support vector machines with a Gaussian kernel on scattering coefficients.

    Each machine tells one class from the others,

    .. math::
        f_c(x) = b_c + \sum_i a_{ci} \exp(-\gamma \|z(x) - z(x_i)\|^2),

    where z are the scaled coefficients.  Probabilities are :math:`\mathrm{softmax}(f(x) / T)`,
    with the temperature T of least log loss on samples held out.

    Parameters
    ----------
    C : float, default=100.0
        Penalty of the margin violations, for a sample of weight 1.
    gamma : float, default=0.1
        Inverse squared width of the kernel, where the total variance of z is 1.

    Attributes
    ----------
    n_parameters_ : int
        Number of coefficients of the support vectors, and intercepts.  The support vectors
        themselves are data and not counted.

    See Also
    --------
    ScatteringLinear : A linear machine on the same coefficients.
    ScatteringPCAClassifier : Affine spaces, one a class.
    ScatteringTransformer : The features alone.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013.
    R. Rifkin and A. Klautau. In defense of one-vs-all classification. JMLR, 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringSVC
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ScatteringSVC(image_shape=(8, 8), random_state=0).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """

    C: float = param(100.0, real(above=0))
    gamma: float = param(0.1, real(above=0))

    def _candidates(self, codes: Labels) -> list[float]:
        return [self.C]

    def _head(self, candidates: list[float]) -> KernelMachines:
        return KernelMachines(candidates[0], self.gamma)


class KernelMachines:
    """One machine for each class against the others, with one kernel matrix for all.

    Parameters
    ----------
    C : float
    gamma : float
    """

    def __init__(self, C: float, gamma: float) -> None:
        self.C, self.gamma = C, gamma

    def fit(self, Z: Array, codes: Labels, weight: Array) -> Self:
        """Learn from scaled coefficients, class numbers and weights."""
        at_once = len(Z) <= LARGEST_GRAM  # one matrix then serves the machines of all classes
        X = rbf_kernel(Z, gamma=self.gamma) if at_once else Z
        kernel = "precomputed" if at_once else "rbf"
        n_classes = codes.max() + 1
        self.coefficients_, self.intercepts_ = np.zeros((len(Z), n_classes)), np.empty(n_classes)
        for c in range(n_classes):
            machine = SVC(
                C=self.C, kernel=kernel, gamma=self.gamma, cache_size=CACHE, random_state=0
            )  # a seed, or it draws one from NumPy's global generator
            machine.fit(X, codes == c, sample_weight=weight)
            self.coefficients_[machine.support_, c] = machine.dual_coef_[0]
            self.intercepts_[c] = machine.intercept_[0]
        used = self.coefficients_.any(axis=1)  # a sample may support the machine of any class
        self.support_vectors_, self.coefficients_ = Z[used], self.coefficients_[used]
        self.n_parameters = int(np.count_nonzero(self.coefficients_)) + n_classes
        return self

    def decide(self, Z: Array) -> Array:
        """Return the values of the machines, shape (n, 1, n_classes)."""
        kernel = rbf_kernel(Z, self.support_vectors_, gamma=self.gamma)
        return (kernel @ self.coefficients_ + self.intercepts_)[:, np.newaxis]
