"""ScatteringPCAClassifier: an affine space of scattering coefficients for each class."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.linalg import eigh

from sklstruct.params import integer, param

from .classifier import Array, Labels, ScatteringClassifier

MOST_COMPONENTS = 200
N_CANDIDATES = 50
ROUNDING = 1e-10  # of the largest variance: directions of less are not determined


class ScatteringPCAClassifier(ScatteringClassifier):
    r"""Nearest affine space of scattering coefficients, one for each class.

    .. math::
        f_c(x) = -\|z(x) - \mu_c\|^2 + \sum_{k \le d} \langle v_{ck}, z(x) - \mu_c \rangle^2,

    minus the squared distance of the scaled coefficients z to the space through the mean of the
    class along its d leading principal directions.  Within a class deformations move samples
    along few directions, which few samples tell: often the best classifier below about 2000 of
    them.  Probabilities are :math:`\mathrm{softmax}(f(x) / T)`.  The dimension d, common to all
    classes, and the temperature T are those of least log loss of samples held out.

    Parameters
    ----------
    n_components : int, default=None
        Dimension d of the affine spaces; None chooses one up to 200.  A class of n samples has
        at most n - 1 directions.

    Attributes
    ----------
    n_components_ : int
        The dimension that was chosen, or given.
    n_parameters_ : int
        Entries of means and directions.

    See Also
    --------
    ScatteringSVC : With a Gaussian kernel.
    ScatteringTransformer : The features alone.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013, section 4.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringPCAClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = ScatteringPCAClassifier(image_shape=(8, 8), random_state=0).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """

    n_components: int | None = param(None, integer(0) | None)

    @property
    def n_components_(self) -> int:
        """The dimension that was chosen, or given."""
        return self.head_.dimensions[0]

    def _candidates(self, codes: Labels) -> list[int]:
        if self.n_components is not None:
            return [self.n_components]
        # One more direction matters less the more there are: candidates are geometric.
        most = min(MOST_COMPONENTS, np.bincount(codes).max() - 1)
        spread = np.geomspace(1, most + 1, N_CANDIDATES).round().astype(int) - 1
        return np.unique(spread).tolist()

    def _head(self, candidates: list[int]) -> AffineSpaces:
        return AffineSpaces(candidates)


class AffineSpaces:
    """Affine spaces of several dimensions, each within the next.

    Parameters
    ----------
    dimensions : list of int
    """

    def __init__(self, dimensions: list[int]) -> None:
        self.dimensions = dimensions

    def fit(self, Z: Array, codes: Labels, weight: Array) -> Self:
        """Learn from scaled coefficients, class numbers and weights."""
        most = max(self.dimensions)
        members = (codes == c for c in range(codes.max() + 1))
        self.spaces_ = [affine_space(Z[rows], weight[rows], most) for rows in members]
        self.n_parameters = sum(mean.size + along.size for mean, along in self.spaces_)
        return self

    def decide(self, Z: Array) -> Array:
        """Return minus the squared distances, shape (n, n_dimensions, n_classes)."""
        squares = (Z**2).sum(axis=1)
        values = np.empty((len(Z), len(self.dimensions), len(self.spaces_)))
        for c, (mean, directions) in enumerate(self.spaces_):
            # Written out, as an array of all differences would be large.
            distance = squares - 2 * Z @ mean + mean @ mean
            # The first column is that of dimension 0: nothing is along no direction.
            along = np.zeros((len(Z), len(directions) + 1))
            np.cumsum((Z @ directions.T - directions @ mean) ** 2, axis=1, out=along[:, 1:])
            reached = np.minimum(self.dimensions, len(directions))
            values[:, :, c] = along[:, reached] - distance[:, np.newaxis]
        return values


def affine_space(Z: Array, weight: Array, most: int) -> tuple[Array, Array]:
    """Return the mean (d,) and at most ``most`` principal directions (k, d), orthonormal."""
    mean = np.average(Z, axis=0, weights=weight)
    A = np.sqrt(weight)[:, np.newaxis] * (Z - mean)
    dual = len(A) <= A.shape[1]  # the smaller matrix has the same variances
    gram = A @ A.T if dual else A.T @ A
    top = min(most, len(A) - 1, A.shape[1])
    if top == 0:
        return mean, np.empty((0, A.shape[1]))
    n = len(gram)
    variances, vectors = eigh(gram, subset_by_index=(n - top, n - 1))
    kept = np.flatnonzero(variances > ROUNDING * variances[-1])[::-1]
    directions = vectors[:, kept].T
    if dual:
        directions = directions @ A / np.sqrt(variances[kept])[:, np.newaxis]
    return mean, directions
