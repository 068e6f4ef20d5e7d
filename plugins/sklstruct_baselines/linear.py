"""The one path from arrays and targets to linear models that are chosen on samples held out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from sklstruct import estimators
from sklstruct.compat import BaseEstimator
from sklstruct.params import Params, param, real

from .duals import PENALTIES, Array, Dual, Labels, solve_pairs
from .pairs import PairwiseSVC, smallest_margins
from .seen import SeenVoxels, centred

AT_A_TIME = 64  # samples that are there in double precision

Decide = Callable[[Labels, Labels], Array]


class LinearModel(Params, BaseEstimator):
    """Base of models that are linear in voxels, or in what else samples are made of.

    A model has settings, of which the best one on samples held out is taken; here, C alone.
    Beside the settings it may choose what is seen of samples.

    Attributes
    ----------
    intercept_ : ndarray, shape (n_outputs,)
    C_ : float
        As chosen, or given.
    n_parameters_ : int
        Number of values that vary, and one, for each output.
    """

    C: float | None = param(None, real(above=0) | None)

    _strengths: ClassVar[tuple[float, ...]] = PENALTIES  # to choose from, the most cautious first

    @abstractmethod
    def _distinct(self, X: NDArray[Any], y: Any, sample_weight: Any) -> tuple[Labels, Any, Array]:
        """Return where distinct samples are, their targets as numbers, and their weights."""

    @abstractmethod
    def _solve(self, K: Array, y: Any, weight: Array, settings: list[Any]) -> list[Dual]:
        """Return the outputs for each setting, from the inner products of samples."""

    @abstractmethod
    def _best(self, decide: Decide, y: Any, weight: Array, subjects: Labels) -> int:
        """Return the candidate of least loss on samples held out.

        ``decide`` maps the rows to train on and those to test on to outputs
        (n_test, n_candidates, n_outputs).
        """

    def _settings(self) -> list[Any]:
        """Return the settings to choose from, the most cautious first."""
        return list(self._strengths) if self.C is None else [self.C]

    def _keep(self, setting: Any, seen: SeenVoxels, X: Array, weight: Array) -> None:
        """Set the attributes that tell the setting."""
        self.C_ = setting

    def _learn(
        self, X: Any, y: Any, sample_weight: Any, groups: Any, deviations: Any, standardize: bool
    ) -> SeenVoxels:
        """Set what is learned, with weights like X, and return what was seen of samples."""
        subjects = estimators.subject_numbers(groups, X)
        rows, target, weight = self._distinct(estimators.digests(X), y, sample_weight)
        # Inner products of samples far from the origin would lose the digits that differ.
        X, mean, varies = centred(X[rows], weight)
        # Found on all samples, held out or not: no target enters them.
        views = [SeenVoxels.of(X, weight, deviation, standardize) for deviation in deviations]
        settings = self._settings()

        def decide(train: Labels, test: Labels) -> Array:
            outputs = []
            for K in (view.kernel for view in views):
                within, across = K[np.ix_(train, train)], K[np.ix_(test, train)]
                duals = self._solve(within, target[train], weight[train], settings)
                outputs += [across @ dual.coefficients + dual.intercepts for dual in duals]
            return np.stack(outputs, axis=1)

        best = self._best(decide, target, weight, subjects[rows])
        number, place = divmod(best, len(settings))  # views are the outer loop
        seen, setting = views[number], settings[place]
        (dual,) = self._solve(seen.kernel, target, weight, [setting])
        self._keep(setting, seen, X, weight)
        # Smoothing spreads weights onto voxels that never varied, of which nothing was learned.
        self.coef_ = np.where(varies, seen.weights(X, dual.coefficients), 0)
        self.intercept_ = dual.intercepts - self.coef_.reshape(len(self.coef_), -1) @ mean.ravel()
        self.n_parameters_ = len(self.coef_) * (int(varies.sum()) + 1)
        return seen

    def _outputs(self, X: Any, coef: Array) -> Array:
        """Return the outputs (n, n_outputs) for samples, from weights (n_outputs, ...)."""
        outputs = np.empty((len(X), len(coef)))
        for rows in gen_batches(len(X), AT_A_TIME):
            part = X[rows]  # read now, if it is lazy
            outputs[rows] = part.reshape(len(part), -1) @ coef.reshape(len(coef), -1).T
        return outputs + self.intercept_


class LinearSVC(PairwiseSVC, LinearModel):
    """Base of linear support vector machines.

    The penalty is that of least log loss on samples held out, on which the temperature of the
    probabilities is found too.

    Parameters
    ----------
    C : float, default=None
        Penalty of the margin violations, for a sample of weight 1, where the mean squared norm
        of what the machine sees is 1; None chooses a power of ten from 0.01 to 100.

    Attributes
    ----------
    coef_ : ndarray, shape (n_pairs, *sample shape)
        What each value of a sample as it is, not smoothed, adds to the margin of the second
        class of a pair over the first; for the pairs (0, 1), (0, 2) ... (1, 2) ...  Zero where
        all samples had the same value.
    intercept_ : ndarray, shape (n_pairs,)
    """

    def _distinct(self, X: NDArray[Any], y: Any, sample_weight: Any) -> tuple[Labels, Any, Array]:
        found = estimators.distinct_rows(X, y, sample_weight, self.class_weight)
        self.classes_ = found[-1]
        return found[:-1]

    def _solve(self, K: Array, y: Any, weight: Array, settings: list[Any]) -> list[Dual]:
        return [solve_pairs(K, y, weight, C) for C in settings]

    def _best(self, decide: Decide, y: Any, weight: Array, subjects: Labels) -> int:
        found = estimators.held_out_values(decide, y, self.random_state, subjects)
        if found is None:
            self.temperature_ = 1.0
            return -1  # the last view and the last setting
        rows, values = found[0], smallest_margins(found[1])
        best, self.temperature_ = estimators.best_candidate(values, y[rows], weight[rows])
        return best
