"""PCASVC: a linear support vector machine on principal components."""

from __future__ import annotations

from typing import Any

from sklstruct.estimators import like_samples
from sklstruct.params import integer, param, real

from .duals import PENALTIES, Array, Dual, leading, principal_components, solve_components
from .seen import SeenVoxels
from .voxels import VoxelSVC

SHARES = 0.5, 0.7, 0.8, 0.9, 0.95, 1.0  # of the variance, to choose from
SHARE = real(above=0, most=1)


class PCASVC(VoxelSVC):
    r"""Linear support vector machine on principal components of smoothed voxels.

    Components are found exactly, through the inner products of the samples, and anew for every
    fold.  With all of them this is ``VoxelSVC``: a machine that is linear does not notice a
    rotation.  Scores are not whitened, so that C means the same for any number of components.

    The decision value of a class is its smallest margin over any other one.  The number of
    components and the penalty C are those of least log loss on samples held out, on which the
    temperature of the probabilities :math:`\mathrm{softmax}(f(x) / T)` is found too.

    Parameters
    ----------
    n_components : int, float or None, default=None
        Number of components, or the share of the variance that they must hold; None chooses a
        share from 0.5 to 1.

    Attributes
    ----------
    n_components_ : int
    components_ : ndarray, shape (n_components, *sample shape)
        Orthogonal directions of length 1 among smoothed and scaled voxels, in the order of
        their variance; the score of largest size on each is positive.

    See Also
    --------
    VoxelSVC, RegionSVC : Voxels and regions in place of components.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import PCASVC
    >>> X, y = load_digits(return_X_y=True)
    >>> model = PCASVC(n_components=30, standardize=False).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """

    n_components: int | float | None = param(None, integer(1) | SHARE | None)

    def _settings(self) -> list[tuple[int | float, float]]:
        numbers = SHARES if self.n_components is None else (self.n_components,)
        penalties = PENALTIES if self.C is None else (self.C,)
        # Few components first: of equally good settings the first one is taken.
        return [(number, C) for number in numbers for C in penalties]

    def _solve(self, K: Array, y: Any, weight: Array, settings: list[Any]) -> list[Dual]:
        return solve_components(K, y, weight, settings)

    def _keep(self, setting: Any, seen: SeenVoxels, X: Array, weight: Array) -> None:
        number, self.C_ = setting
        scores, projection = principal_components(seen.kernel, weight)
        kept = leading(scores, weight, number)
        components = seen.combine(X, projection[:, kept])
        self.components_ = like_samples(components, self.layout_, self.sample_shape_)
        self.n_components_ = len(self.components_)
