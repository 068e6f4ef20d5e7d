"""PCASVC: a linear support vector machine on principal components."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval

from .duals import PENALTIES, Array, Dual, Labels, leading, principal_components, solve_components
from .images import ImageSVC
from .seen import SeenVoxels

SHARES = 0.5, 0.7, 0.8, 0.9, 0.95, 1.0  # of the variance, to choose from


@dataclass(kw_only=True, eq=False, repr=False)
class PCASVC(ImageSVC):
    r"""Linear support vector machine on principal components of smoothed voxels.

    Components are found exactly, through the inner products of the samples, and anew for every
    fold.  With all of them this is ``VoxelSVC``: a machine that is linear does not notice a
    rotation.  Scores are not whitened, so that C means the same for any number of components.

    The decision value of a class is its smallest margin over any other one.  The number of
    components and the penalty C are those of least log loss on samples held out, on which the
    temperature of the probabilities :math:`\mathrm{softmax}(f(x) / T)` is found too.

    Identical samples of a class count as one with their summed weights.  Mean and deviation of
    the voxels are those of all training samples, held out or not; no label enters them.

    Parameters
    ----------
    n_components : int, float or None, default=None
        Number of components, or the share of the variance that they must hold; None chooses a
        share from 0.5 to 1.
    C : float, default=None
        Penalty of the margin violations, for a sample of weight 1, where the mean squared norm
        of the scores is 1; None chooses a power of ten from 0.01 to 100.
    {image_parameters}

    Attributes
    ----------
    n_components_ : int
    components_ : ndarray, shape (n_components_, *sample shape)
        Orthogonal directions of length 1 among smoothed and scaled voxels, in the order of
        their variance; the score of largest size on each is positive.
    {image_attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import PCASVC
    >>> X, y = load_digits(return_X_y=True)
    >>> model = PCASVC(n_components=30, standardize=False).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    """

    n_components: int | float | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **ImageSVC._parameter_constraints,
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
            None,
        ],
    }

    def _settings(self) -> list[tuple[int | float, float]]:
        numbers = SHARES if self.n_components is None else (self.n_components,)
        penalties = PENALTIES if self.C is None else (self.C,)
        return [(number, C) for number in numbers for C in penalties]

    def _solve(self, K: Array, codes: Labels, weight: Array, settings: list[Any]) -> list[Dual]:
        return solve_components(K, codes, weight, settings)

    def _keep(self, setting: Any, seen: SeenVoxels, X: Array, weight: Array) -> None:
        number, self.C_ = setting
        scores, projection = principal_components(seen.kernel, weight)
        kept = leading(scores, weight, number)
        self.components_ = self._like_samples(seen.combine(X, projection[:, kept]))
        self.n_components_ = len(self.components_)
