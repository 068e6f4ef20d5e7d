"""The one path from X to probabilities, shared by every classifier on scattering.

X --read--> samples --scattering--> coefficients --scaling--> Z --head--> decision values
"""

from __future__ import annotations

from abc import abstractmethod
from math import log2
from typing import Any, Protocol, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from sklstruct import estimators
from sklstruct.estimators import CalibratedClassifier
from sklstruct.params import FLAG, all_or_nothing, param
from sklstruct.threads import one_blas_thread

from .checks import SCALE
from .scaling import PathScaling
from .transformer import OnScattering, ScatteringTransformer

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

LAYOUTS = {1: "CL", 2: "CHW", 3: "CDHW"}  # of samples as they were read, by dimension
FEWEST_PLACES = 3
AT_A_TIME = 256  # samples of which coefficients are there in double precision


class Head(Protocol):
    """Decides between classes, in one way for each of some candidates of a parameter."""

    n_parameters: int  # numbers that were learned

    def fit(self, Z: Array, codes: Labels, weight: Array) -> Self:
        """Learn from scaled coefficients, class numbers and weights."""

    def decide(self, Z: Array) -> Array:
        """Return decision values, shape (n, n_candidates, n_classes)."""


class ScatteringClassifier(CalibratedClassifier, OnScattering):
    """Base of classifiers that see the scattering coefficients of samples.

    A subclass tells the candidates of the parameter that is chosen on samples held out, and
    makes heads.

    Coefficients of a sample do not depend on its company, but products of matrices round
    differently for other numbers of rows: decision values may differ in the last digits with
    the samples that are predicted together.

    Parameters
    ----------
    J : int, default=None
        The average is over about 2^J samples.  None is the largest J that keeps at least 3
        places along every axis, 3 for images of 28x28 or 32x32.
    log : bool, default=True
        Whether to take logarithms of the coefficients, flattened below half the mean of a path,
        before they are centred and scaled.
    dtype : {"float32", "float64"}, default="float32"
        Of the coefficients; what follows is in double precision.

    Attributes
    ----------
    transformer_ : ScatteringTransformer
        Maps samples (n, channels, *spatial) to coefficients.
    scaling_ : PathScaling
        Found without labels on all samples, held out or not: what is chosen on samples held out
        knows the scale of their coefficients.
    n_parameters_ : int
    """

    J: int | None = param(None, SCALE | None)
    log: bool = param(True, FLAG)

    @abstractmethod
    def _candidates(self, codes: Labels) -> list[Any]:
        """Return the values to choose from, the most cautious first."""

    @abstractmethod
    def _head(self, candidates: list[Any]) -> Head:
        """Return a head for these values."""

    @all_or_nothing
    @one_blas_thread()
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from samples and their classes.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : array-like, shape (n,)
            Labels of any type.
        sample_weight : array-like, shape (n,), default=None
            Not negative; samples of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        self.check_params()
        X, y = self._read(X, y, reset=True, ensure_min_features=2)
        class_weight = getattr(self, "class_weight", None)  # not every head has a use for them
        rows, codes, weight, self.classes_ = estimators.distinct_rows(
            X, y, sample_weight, class_weight
        )
        X = X[rows]
        self.transformer_ = self._transformer(X.shape[1:]).fit(X)
        S = self.transformer_.transform(X).astype(np.float64)
        # The paths of every channel are scaled on their own.
        orders = [path.order for path in self.transformer_.module_.paths] * X.shape[1]
        self.scaling_ = PathScaling(np.array(orders), self.log).fit(S, weight)
        Z = self.scaling_.transform(S)
        chosen, self.temperature_ = self._choose(Z, codes, weight)
        self.head_: Any = self._head([chosen]).fit(Z, codes, weight)
        self.n_parameters_ = self.head_.n_parameters
        return self

    @classmethod
    def _holds(cls) -> tuple[type, ...]:
        """Return the classes whose objects a model file may hold."""
        return PathScaling, get_type_hints(cls._head)["return"]

    def _transformer(self, in_shape: tuple[int, ...]) -> ScatteringTransformer:
        """Return the transformer for samples (channels, *spatial)."""
        transformer, own = ScatteringTransformer(), self.get_params(deep=False)
        own["J"] = usual_scale(in_shape[1:]) if self.J is None else self.J
        # It is given samples that were read and folded already.
        own |= {"layout": LAYOUTS[len(in_shape) - 1], "image_shape": None}
        shared = own.keys() & transformer.get_params()
        return transformer.set_params(**{name: own[name] for name in shared})

    def _choose(self, Z: Array, codes: Labels, weight: Array) -> tuple[Any, float]:
        """Return the candidate that does best on samples held out, and its temperature."""
        candidates = self._candidates(codes)

        def decide(train: Labels, test: Labels) -> Array:
            head = self._head(candidates).fit(Z[train], codes[train], weight[train])
            return head.decide(Z[test])

        found = estimators.held_out_values(decide, codes, self.random_state)
        if found is None:
            return candidates[0], 1.0
        rows, values = found
        best, temperature = estimators.best_candidate(values, codes[rows], weight[rows])
        return candidates[best], temperature

    @one_blas_thread()
    def _values(self, X: Any) -> Array:
        """Return the decision values, shape (n, n_classes)."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        values = np.empty((len(X), len(self.classes_)))
        for rows, S in self.transformer_.blocks(X, AT_A_TIME):  # all in double would be large
            Z = self.scaling_.transform(S.astype(np.float64))
            values[rows] = self.head_.decide(Z)[:, 0]
        return values


def usual_scale(extents: tuple[int, ...]) -> int:
    """Return the largest J that keeps a few places along every axis."""
    return max(1, int(log2(min(extents) / FEWEST_PLACES)))
