"""The one path from arrays and labels to linear machines that are chosen and calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklstruct.estimators.calibration import (
    best_candidate,
    digests,
    distinct_rows,
    held_out_values,
    subject_numbers,
)

from .calibrated import CalibratedSVC, smallest_margins
from .duals import PENALTIES, Array, Dual, Labels, solve_pairs
from .seen import SeenVoxels, centred

AT_A_TIME = 64  # samples that are there in double precision


class LinearMachines(CalibratedSVC):
    """Base of machines that are linear in voxels, or in what else samples are made of.

    A machine has settings, of which the one of least log loss on samples held out is taken;
    here, the penalty C alone.  Beside the settings it may choose what is seen of samples.
    """

    C: float | None
    class_weight: dict[Any, float] | str | None
    random_state: int | np.random.RandomState | None

    def _settings(self) -> list[Any]:
        """Return the settings to choose from, the most cautious first."""
        return list(PENALTIES) if self.C is None else [self.C]

    def _solve(self, K: Array, codes: Labels, weight: Array, settings: list[Any]) -> list[Dual]:
        """Return the margins for each setting, from the inner products of samples."""
        return [solve_pairs(K, codes, weight, C) for C in settings]

    def _keep(self, setting: Any, seen: SeenVoxels, X: Array, weight: Array) -> None:
        """Set the attributes that tell the setting."""
        self.C_ = setting

    def _learn(
        self,
        X: Array,
        y: Array,
        sample_weight: ArrayLike | None,
        groups: ArrayLike | None,
        deviations: Sequence[Any],
        standardize: bool,
    ) -> SeenVoxels:
        """Set what is learned, with weights like X, and return what was seen of samples."""
        subjects = subject_numbers(groups, X)
        rows, codes, weight, self.classes_ = distinct_rows(
            digests(X), y, sample_weight, self.class_weight
        )
        X, mean, varies = centred(X[rows], weight)
        views = [SeenVoxels.of(X, weight, deviation, standardize) for deviation in deviations]
        number, setting = self._choose([v.kernel for v in views], codes, weight, subjects[rows])
        seen = views[number]
        (dual,) = self._solve(seen.kernel, codes, weight, [setting])
        self._keep(setting, seen, X, weight)
        self.coef_ = np.where(varies, seen.weights(X, dual.coefficients), 0)
        n_pairs = len(self.coef_)
        self.intercept_ = dual.intercepts - self.coef_.reshape(n_pairs, -1) @ mean.ravel()
        self.n_parameters_ = n_pairs * (int(varies.sum()) + 1)
        return seen

    def _choose(
        self, kernels: Sequence[Array], codes: Labels, weight: Array, subjects: Labels
    ) -> tuple[int, Any]:
        """Return the number of the kernel matrix, and the setting; set the temperature.

        The last of each where nothing can be held out.
        """
        settings = self._settings()

        def decide(train: Labels, test: Labels) -> Array:
            values = []
            for K in kernels:
                within, across = K[np.ix_(train, train)], K[np.ix_(test, train)]
                duals = self._solve(within, codes[train], weight[train], settings)
                values += [dual.decide(across) for dual in duals]
            return np.stack(values, axis=1)

        held_out = held_out_values(decide, codes, self.random_state, subjects)
        if held_out is None:
            self.temperature_ = 1.0
            return len(kernels) - 1, settings[-1]
        rows, values = held_out
        best, self.temperature_ = best_candidate(values, codes[rows], weight[rows])
        return best // len(settings), settings[best % len(settings)]


def linear_values(X: Array, coef: Array, intercept: Array) -> Array:
    """Return decision values (n, n_classes) from samples, weights (n_pairs, ...), intercepts."""
    weights = coef.reshape(len(coef), -1).T
    margins = np.empty((len(X), len(coef)))
    for start in range(0, len(X), AT_A_TIME):
        part = X[start : start + AT_A_TIME]
        margins[start : start + AT_A_TIME] = part.reshape(len(part), -1) @ weights
    return smallest_margins(margins + intercept)
