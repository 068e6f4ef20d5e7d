"""What y is: how labels, values or maps become targets of a network, and its outputs them again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from ..training.objectives import AtPlaces, CrossEntropy, Objective, SquaredError
from ..training.rows import channel_scaling

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Classes:
    """Labels of classes, one a sample.

    Parameters
    ----------
    classes : ndarray, shape (n_classes,)
        Sorted.
    """

    classes: Array

    checks: ClassVar[dict[str, Any]] = {}  # for validate_data

    @staticmethod
    def read(y: Array) -> Array:
        """Return labels of any type, or raise ValueError if they are none."""
        check_classification_targets(y)
        return y

    @classmethod
    def of(
        cls,
        y: Array,
        weight: Array | None = None,
        before: Classes | None = None,
        estimator: Any = None,
    ) -> Classes:
        """Return the classes of labels; if a training goes on, they must be those before.

        Raises
        ------
        ValueError
            If there are less than two classes, or others than before.
        """
        classes = np.unique(y)
        if len(classes) < 2:
            raise ValueError(
                f"y must have at least two classes with weight, got one class: {classes[0]}."
            )
        if before is not None and not np.array_equal(classes, before.classes):
            raise ValueError(
                f"With warm_start, y must have the classes {before.classes}, got {classes}."
            )
        return cls(classes) if before is None else before

    @property
    def n_outputs(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def objective(self, label_smoothing: float) -> Objective:
        """Return the cross entropy."""
        return CrossEntropy(label_smoothing)

    def encode(self, y: Array, dtype: str = "") -> Tensor:
        """Return the numbers of classes as a tensor, or raise ValueError for an unknown label."""
        unknown = np.setdiff1d(y, self.classes)
        if len(unknown):
            raise ValueError(
                f"y has labels {unknown.tolist()} that are not among the classes "
                f"{self.classes.tolist()}."
            )
        return torch.from_numpy(np.searchsorted(self.classes, y).astype(np.int64))

    def decode(self, outputs: Array) -> Array:
        """Return the label of the largest logit, (n, n_classes, ...) to (n, ...)."""
        return self.classes[outputs.argmax(axis=1)]

    def strata(self, y: Tensor) -> Array | None:
        """Return what both parts of a hold-out should have in equal shares."""
        return y.numpy()

    def weighed(self, y: Array, weight: Array | None, class_weight: Any) -> Array:
        """Return the weights of samples, joined with those of their classes."""
        of_sample = self.factors(class_weight, y)[self.encode(y).numpy()]
        return of_sample if weight is None else weight * of_sample

    def factors(self, class_weight: Any, y: Array) -> Array:
        """Return the factor on the weights of each class, shape (n_classes,).

        Raises
        ------
        ValueError
            If they are no weights.
        """
        # A part of the samples need not hold every class that a dict gives a weight.
        given = np.concatenate([self.classes, y]) if isinstance(class_weight, dict) else y
        factors = compute_class_weight(class_weight, classes=self.classes, y=given)
        if not (np.all((factors >= 0) & np.isfinite(factors)) and np.any(factors > 0)):
            raise ValueError(
                f"class_weight must hold finite numbers of at least 0, not all of them 0, got "
                f"{class_weight!r}."
            )
        return factors


@dataclass(frozen=True, eq=False)
class Values:
    """Numbers, one or several a sample, which a network meets centred and scaled.

    Parameters
    ----------
    shape : tuple of int
        Of the numbers of a sample, () or (n_values,).
    mean, scale : ndarray, shape (n_values,)
        Weighted mean and deviation over the training samples.
    """

    shape: tuple[int, ...]
    mean: Array
    scale: Array

    checks: ClassVar[dict[str, Any]] = {"multi_output": True, "y_numeric": True}

    @staticmethod
    def read(y: Array) -> Array:
        """Return numbers, of a single column as a vector."""
        if y.ndim == 2 and y.shape[1] == 1:
            message = "A column-vector y was passed when a 1d array was expected."
            warnings.warn(message, DataConversionWarning, stacklevel=4)
            y = y[:, 0]
        return y.astype(np.float64)

    @classmethod
    def of(
        cls,
        y: Array,
        weight: Array | None = None,
        before: Values | None = None,
        estimator: Any = None,
    ) -> Values:
        """Return mean and deviation of numbers; a training that goes on keeps the first ones."""
        if before is not None:
            return before
        columns = y.reshape(len(y), -1)  # each is a channel without places
        return cls(y.shape[1:], *channel_scaling(columns, np.arange(len(y)), weight))

    @property
    def n_outputs(self) -> int:
        """Number of values."""
        return len(self.mean)

    def objective(self, label_smoothing: float) -> Objective:
        """Return the squared error."""
        return SquaredError()

    def encode(self, y: Array, dtype: str) -> Tensor:
        """Return standardised values (n, n_values) as a tensor of a dtype.

        Raises
        ------
        ValueError
            If a sample has another number of values.
        """
        if y.shape[1:] != self.shape:
            raise ValueError(
                f"y must have shape (n, {', '.join(map(str, self.shape))}) as in the "
                f"first fit, got {y.shape}."
            )
        standardised = (y.reshape(len(y), -1) - self.mean) / self.scale
        return torch.from_numpy(standardised.astype(dtype))

    def decode(self, outputs: Array) -> Array:
        """Return values in the units of y, as y had them."""
        values = outputs * self.scale + self.mean
        return values.reshape(len(values), *self.shape)

    def strata(self, y: Tensor) -> Array | None:
        """Return None: a hold-out of numbers is drawn from all alike."""
        return None


@dataclass(frozen=True, eq=False)
class Maps:
    """A label or values at every place of a sample.

    Parameters
    ----------
    places : Classes or Values
        What is at a place.
    ignored : object, default=None
        The label of places that say nothing; values that are not finite say nothing either.
    left_out : ndarray, default=None
        Labels of places that have no weight anywhere.
    """

    places: Classes | Values
    ignored: Any = None
    left_out: Array | None = None

    @classmethod
    def of(
        cls,
        maps: Sequence[Array],
        weight: Any = None,
        before: Maps | None = None,
        *,
        estimator: Any,
    ) -> Maps:
        """Return the classes, or mean and deviation, of all places that say something.

        Parameters
        ----------
        maps : sequence of ndarray, shape (*spatial) of labels or (n_values, *spatial)
        weight : sequence of ndarray, shape (*spatial), default=None
            Of places; a class needs some.
        before : Maps, default=None
            Where a training goes on.
        estimator : StructuredMapClassifier or StructuredMapRegressor
        """
        ignored, left_out = getattr(estimator, "ignored_label", None), None
        if is_classifier(estimator):
            y = np.concatenate([labels[known(labels, ignored)] for labels in maps])
            kind: Any = Classes
            if weight is not None:
                pairs = zip(maps, weight, strict=True)
                some = np.concatenate([w[known(labels, ignored)] > 0 for labels, w in pairs])
                if some.any():
                    left_out = np.setdiff1d(y, y[some])
                    y = y[some]
        else:
            flat = np.concatenate([values.reshape(len(values), -1) for values in maps], axis=1)
            y = flat.T[np.isfinite(flat).all(axis=0)]
            kind, y = Values, y[:, 0] if y.shape[1] == 1 else y
        if len(y) == 0:
            raise ValueError("y says nothing at any place: all labels are ignored, or not finite.")
        if kind is Classes:
            check_classification_targets(y)
        places = kind.of(y, None, None if before is None else before.places)
        return cls(places, ignored, left_out) if before is None else before

    @property
    def n_outputs(self) -> int:
        """Number of outputs at a place."""
        return self.places.n_outputs

    @property
    def classes(self) -> Array:
        """The labels of the classes."""
        return self.places.classes  # type: ignore[union-attr]

    def objective(self, label_smoothing: float) -> Objective:
        """Return the weighted mean over places of what a place is worth."""
        return AtPlaces(self.places.objective(label_smoothing))

    def encode(self, y: Array, dtype: str) -> tuple[Array, Array]:
        """Return the target of one map, and where it says something, (*spatial).

        Raises
        ------
        ValueError
            If there is a label that is no class, or another number of values.
        """
        if isinstance(self.places, Classes):
            says = known(y, self.ignored)
            if self.left_out is not None:
                says &= ~np.isin(y, self.left_out)
            numbers = np.zeros(y.shape, np.int64)
            numbers[says] = self.places.encode(y[says]).numpy()
            return numbers, says
        says = np.asarray(np.isfinite(y).all(axis=0))
        # NaN times a weight of zero would still be NaN.
        columns = np.where(says, y, 0).reshape(len(y), -1).T
        columns = columns if self.places.shape else columns[:, 0]
        encoded = self.places.encode(columns, dtype).numpy()
        return encoded.T.reshape(-1, *y.shape[1:]), says

    def decode(self, outputs: Array) -> Array:
        """Return the map of outputs (n_outputs, *spatial): labels, or values in the units of y."""
        if isinstance(self.places, Classes):
            return self.places.decode(outputs[np.newaxis])[0]
        values = self.places.decode(outputs.reshape(len(outputs), -1).T)
        return values.T.reshape(*self.places.shape, *outputs.shape[1:])

    def weighed(self, y: Sequence[Array], weight: Sequence[Array], class_weight: Any) -> Any:
        """Return the weights of places, joined with those of their classes."""
        assert isinstance(self.places, Classes)
        encoded = [self.encode(labels, "float32") for labels in y]
        seen = np.concatenate([labels[says] for labels, (_, says) in zip(y, encoded, strict=True)])
        factors = self.places.factors(class_weight, seen)
        return [w * factors[numbers] for w, (numbers, _) in zip(weight, encoded, strict=True)]

    def strata(self, y: Any) -> Array | None:
        """Return None: a hold-out of maps is drawn from all alike."""
        return None


def known(labels: Array, ignored: Any) -> NDArray[np.bool_]:
    """Return where labels are not the ignored one."""
    return np.ones(labels.shape, bool) if ignored is None else labels != ignored
