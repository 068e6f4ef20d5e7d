"""VoxelSVC and VoxelRidge: the linear models of voxels that networks have to beat."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from sklstruct.compat import RegressorMixin
from sklstruct.estimators import weights_of_samples, without_copies
from sklstruct.params import SEED, param

from .duals import Array, Dual, Labels, solve_ridge
from .images import ImageModel
from .linear import Decide, LinearSVC
from .pairs import smallest_margins

STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-8, 5))  # the first leave hardly any slope
N_FOLDS = 5


class VoxelSVC(LinearSVC, ImageModel):
    r"""Linear support vector machine on smoothed voxels.

    Voxels are smoothed, centred and divided by their deviation over the training samples; the
    machines of all pairs of classes are linear in them,

    .. math::
        m_{ij}(x) = b_{ij} + \langle w_{ij}, x \rangle,

    and the decision value of a class is its smallest margin over any other one.  The penalty C
    is that of least log loss on samples held out, on which the temperature of the probabilities
    :math:`\mathrm{softmax}(f(x) / T)` is found too.  Everything is done on the inner products of
    the samples, so that hundreds of volumes of any size are a matter of seconds; for more than
    some thousand samples, that matrix becomes large.

    See Also
    --------
    VoxelRidge : The same for values.
    PCASVC, RegionSVC : Components and regions in place of voxels.

    References
    ----------
    C. Cortes and V. Vapnik. Support-vector networks. Machine Learning, 1995.

    S. Klöppel et al. Automatic classification of MR scans in Alzheimer's disease. Brain, 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import VoxelSVC
    >>> X, y = load_digits(return_X_y=True)
    >>> model = VoxelSVC(smoothing=None, standardize=False).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """

    def _values(self, X: Any) -> Array:
        return smallest_margins(self._of_samples(X))


class VoxelRidge(RegressorMixin, ImageModel):
    r"""Ridge regression on smoothed voxels.

    Voxels are smoothed, centred and divided by their deviation over the training samples, and

    .. math::
        f(x) = b + \langle v, x \rangle, \qquad
        \min_{v, b} \sum_i w_i (y_i - f(x_i))^2 + \|v\|^2 / C.

    The strength C is that of least squared error on samples held out, in up to five folds of
    whole subjects.

    Parameters
    ----------
    C : float, default=None
        Inverse of the penalty, for samples of weight 1, where the mean squared norm of what the
        model sees is 1; None chooses one from 0.0001 to 100, the least if there is but one
        subject.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds; nothing else is random.

    Attributes
    ----------
    coef_ : ndarray, shape (1, *sample shape)
        What each voxel of a sample as it is, not smoothed, adds to the value.

    See Also
    --------
    VoxelSVC : The same for classes.

    References
    ----------
    A. E. Hoerl and R. W. Kennard. Ridge regression: biased estimation for nonorthogonal
    problems. Technometrics, 1970.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import VoxelRidge
    >>> X, y = load_digits(return_X_y=True)
    >>> ink = X.sum(axis=1)
    >>> model = VoxelRidge(image_shape=(8, 8), random_state=0).fit(X[:200], ink[:200])
    >>> model.score(X[200:], ink[200:]) > 0.9
    True
    """

    random_state: int | np.random.RandomState | None = param(None, SEED)

    _strengths: ClassVar[tuple[float, ...]] = STRENGTHS

    def predict(self, X: Any) -> Array:
        """Return the values, shape (n,)."""
        return self._of_samples(X)[:, 0]

    def _distinct(self, X: NDArray[Any], y: Any, sample_weight: Any) -> tuple[Labels, Any, Array]:
        y = y.astype(np.float64)
        rows, weight = without_copies(X, y, weights_of_samples(X, y, sample_weight))
        return rows, y[rows], weight

    def _solve(self, K: Array, y: Any, weight: Array, settings: list[Any]) -> list[Dual]:
        return solve_ridge(K, y, weight, settings)

    def _best(self, decide: Decide, y: Any, weight: Array, subjects: Labels) -> int:
        n_folds = min(N_FOLDS, len(np.unique(subjects)))
        if n_folds < 2:
            return 0  # the most cautious one, as nothing speaks for another
        folds = GroupKFold(n_folds, shuffle=True, random_state=self.random_state)
        losses = 0
        for train, test in folds.split(y, groups=subjects):
            # Errors are added and not averaged by fold: a subject may have any number of samples.
            errors = decide(train, test)[..., 0] - y[test, np.newaxis]
            losses = losses + weight[test] @ np.square(errors)
        return int(np.argmin(losses))
