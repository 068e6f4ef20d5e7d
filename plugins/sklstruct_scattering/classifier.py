"""The one path from X to probabilities, shared by every classifier on scattering.

X --read--> samples --scattering--> coefficients --scaling--> Z --head--> decision values
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import log2
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklstruct.estimators.calibration import best_candidate, distinct_samples, held_out_values
from sklstruct.estimators.samples import SampleReader

from .scaling import PathScaling
from .transformer import ScatteringTransformer

Array = NDArray[np.float64]
Labels = NDArray[np.intp]

LAYOUTS = {1: "CL", 2: "CHW", 3: "CDHW"}  # of samples as they were read, by dimension
FEWEST_PLACES = 3
AT_A_TIME = 256  # samples of which coefficients are there in double precision
OF_TRANSFORMER = (
    *("L", "Q", "max_order", "T", "padding"),
    *("dtype", "device", "n_threads", "cache_size"),
)

SCATTERING_PARAMETERS = """J : int, default=None
        The average is over about 2^J samples.  None is the largest J that keeps at least 3
        places along every axis, 3 for images of 28x28 or 32x32.
    L : int, default=8
        Number of orientations, in two and three dimensions.
    Q : int or tuple of int, default=1
        Wavelets to the octave on a line, of first order and (if two are given) above.
    max_order : int, default=2
        Largest number of wavelets on a path, 0 to 3.
    T : int, default=None
        Scale of the average on a line, in samples; None is 2^J.
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How samples continue beyond their border.
    log : bool, default=True
        Whether to take logarithms of the coefficients, flattened below half the mean of a path,
        before they are centred and scaled.
    image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded, such as (28, 28) or (3, 32, 32).
    layout : str, default=None
        Axes of one sample, see ``sklstruct.estimators.samples``.
    dtype : {"float32", "float64"}, default="float32"
        Of the coefficients; what follows is in double precision.
    device : str, default="auto"
    n_threads : int, default=1
        Threads of torch on a CPU; None takes torch's own setting.
    cache_size : float, default=256
        Megabytes of coefficients that this process keeps, so that a search over the other
        parameters computes those of each sample once; 0 keeps none.  What is kept is common to
        all scattering, and the smallest size in use wins.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds; nothing else is random."""

SCATTERING_ATTRIBUTES = """classes_ : ndarray, shape (n_classes,)
    layout_ : str
        How samples were read.
    transformer_ : ScatteringTransformer
        Maps samples (n, channels, *spatial) to coefficients.
    scaling_ : PathScaling
        Found without labels on all samples, held out or not: what is chosen on samples held out
        knows the scale of their coefficients.
    temperature_ : float
        1 where less than two classes have several distinct samples to hold out.
    n_parameters_ : int"""


class Head(Protocol):
    """Decides between classes, in one way for each of some candidates of a parameter."""

    @property
    def n_parameters(self) -> int:
        """Number of numbers that were learned."""

    def fit(self, Z: Array, codes: Labels, weight: Array) -> Self:
        """Learn from scaled coefficients, class numbers and weights."""

    def decide(self, Z: Array) -> Array:
        """Return decision values, shape (n, n_candidates, n_classes)."""


@dataclass(kw_only=True, eq=False, repr=False)
class ScatteringClassifier(ClassifierMixin, SampleReader):
    """Base of classifiers that see the scattering coefficients of samples.

    A subclass tells the candidates of the parameter that is chosen on samples held out, and
    makes heads.

    Coefficients of a sample do not depend on its company, but products of matrices round
    differently for other numbers of rows: decision values may differ in the last digits with
    the samples that are predicted together.
    """

    J: int | None = None
    L: int = 8
    Q: int | tuple[int, int] = 1
    max_order: int = 2
    T: int | None = None
    padding: str = "reflect"
    log: bool = True
    device: str = "auto"
    n_threads: int | None = 1
    cache_size: float = 256
    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "log": ["boolean"],
        "dtype": [StrOptions({"float32", "float64"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "cache_size": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__:  # written once, shown by help() for every classifier
            doc = cls.__doc__.replace("{scattering}", SCATTERING_PARAMETERS)
            cls.__doc__ = doc.replace("{attributes}", SCATTERING_ATTRIBUTES)

    @abstractmethod
    def _candidates(self, codes: Labels) -> list[Any]:
        """Return the values to choose from, the most cautious first."""

    @abstractmethod
    def _head(self, candidates: list[Any]) -> Head:
        """Return a head for these values."""

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
        self._validate_params()
        X, y = self._read(X, y, reset=True, ensure_min_features=2)
        check_classification_targets(y)
        class_weight = getattr(self, "class_weight", None)  # not every head has a use for them
        X, codes, weight, self.classes_ = distinct_samples(X, y, sample_weight, class_weight)
        self.transformer_ = self._transformer(X.shape[1:]).fit(X)
        Z = self._fit_scaling(X, weight)
        chosen, self.temperature_ = self._choose(Z, codes, weight)
        self.head_: Any = self._head([chosen]).fit(Z, codes, weight)
        self.n_parameters_ = self.head_.n_parameters
        return self

    def decision_function(self, X: Any) -> Array:
        """Return the decision values of the classes; for two classes, their difference.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        decision : ndarray, shape (n, n_classes) or (n,)
        """
        values = self._values(X)
        return values[:, 1] - values[:, 0] if len(self.classes_) == 2 else values

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, shape (n, n_classes).

        Their last digits may differ with the samples that are predicted together.
        """
        return softmax(self._values(X) / self.temperature_, axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable classes, shape (n,)."""
        values = self._values(X)
        return self.classes_[values.argmax(axis=1)]

    def _transformer(self, in_shape: tuple[int, ...]) -> ScatteringTransformer:
        """Return the transformer for samples (channels, *spatial)."""
        parameters = {name: getattr(self, name) for name in OF_TRANSFORMER}
        J = usual_scale(in_shape[1:]) if self.J is None else self.J
        return ScatteringTransformer(J=J, layout=LAYOUTS[len(in_shape) - 1], **parameters)

    def _fit_scaling(self, X: NDArray[Any], weight: Array) -> Array:
        """Fit the scaling, and return the scaled coefficients."""
        S = self.transformer_.transform(X).astype(np.float64)
        orders = [path.order for path in self.transformer_.scattering_.paths]
        self.scaling_ = PathScaling(np.tile(orders, X.shape[1]), self.log).fit(S, weight)
        return self.scaling_.transform(S)

    def _choose(self, Z: Array, codes: Labels, weight: Array) -> tuple[Any, float]:
        """Return the candidate that does best on samples held out, and its temperature."""
        candidates = self._candidates(codes)

        def decide(train: Labels, test: Labels) -> Array:
            head = self._head(candidates).fit(Z[train], codes[train], weight[train])
            return head.decide(Z[test])

        held_out = held_out_values(decide, codes, self.random_state)
        if held_out is None:
            return candidates[0], 1.0
        rows, values = held_out
        best, temperature = best_candidate(values, codes[rows], weight[rows])
        return candidates[best], temperature

    def _values(self, X: Any) -> Array:
        """Return the decision values, shape (n, n_classes)."""
        check_is_fitted(self)
        X = self._read(X, reset=False)
        values = np.empty((len(X), len(self.classes_)))
        for rows, S in self.transformer_.blocks(X, AT_A_TIME):
            Z = self.scaling_.transform(S.astype(np.float64))
            values[rows] = self.head_.decide(Z)[:, 0]
        return values


def usual_scale(extents: tuple[int, ...]) -> int:
    """Return the largest J that keeps a few places along every axis."""
    return max(1, int(log2(min(extents) / FEWEST_PLACES)))
