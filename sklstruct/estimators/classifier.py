"""Classes in, probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .base import NetworkEstimator, check_both_or_none, with_weight
from .rows import Rows
from .training import Samples


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Train a network whose outputs are logits of classes."""

    class_weight: dict[Any, float] | str | None = None
    label_smoothing: float = 0.1

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **NetworkEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train on samples and their classes.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            See ``sklstruct.estimators.samples`` for how a sample is read.
        y : array-like, shape (n,)
            Labels of any type.
        sample_weight : array-like, shape (n,), default=None
        X_val, y_val : array-like, default=None
            Samples to watch the loss on; with ``early_stopping``, to stop by.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        self._validate_params()
        warm = self._is_warm()
        X, y = self._read_rows(X, y, reset=not warm, min_samples=2)
        check_classification_targets(y)
        weight = self._check_weight(sample_weight, X)
        classes = np.unique(y if weight is None else y[weight > 0])
        if warm and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"With warm_start, y must have the classes {self.classes_}, got {classes}."
            )
        if len(classes) < 2:
            raise ValueError(f"y must have at least two classes, got one class: {classes[0]}.")
        self.classes_: NDArray[Any] = classes
        validation = self._read_validation(X_val, y_val)
        X, y, weight = self._weigh(X, y, weight)
        return self._fit(X, y, weight, validation)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch, on from the present weights.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``
        classes : array-like, shape (n_classes,), default=None
            All labels that may ever come; needed in the first call.

        Returns
        -------
        self
        """
        self._validate_params()
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' has no meaning for partial_fit, which does not know all "
                "samples: give a dict."
            )
        first = not hasattr(self, "net_")
        X, y = self._read_rows(X, y, reset=first, min_samples=2)
        check_classification_targets(y)
        if first:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = np.unique(classes)
        return self._partial_fit(*self._weigh(X, y, self._check_weight(sample_weight, X)))

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return the logits of the classes; for two classes, their difference.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        decision : ndarray, shape (n, n_classes) or (n,)
        """
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probabilities of the classes, the softmax of the logits.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        probabilities : ndarray, shape (n, n_classes)
        """
        return softmax(self._outputs(X), axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the label of the most probable class.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        labels : ndarray, shape (n,)
        """
        check_is_fitted(self)
        return self.classes_[self._outputs(X).argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on samples and their labels.

        Raises
        ------
        ValueError
            If y has a label that was not there in training.
        """
        check_is_fitted(self)
        self._encode(np.asarray(y))
        return super().score(X, y, sample_weight)

    def _criterion(self) -> nn.Module:
        smoothing = self._setting("label_smoothing", n_samples=1)
        return nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing)

    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _stratify(self, samples: Samples) -> NDArray[Any]:
        return samples.y.numpy()

    def _encode(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """Return the numbers of classes, or raise ValueError for an unknown label."""
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels {unknown.tolist()} that are not among the classes "
                f"{self.classes_.tolist()}."
            )
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _weigh(
        self, X: Rows, y: NDArray[Any], weight: NDArray[Any] | None
    ) -> tuple[Rows, NDArray[Any], NDArray[Any] | None]:
        """Leave out samples of no weight, and join the weights of samples and classes."""
        X, y, weight = with_weight(X, y, weight)
        numbers = self._encode(y)
        if self.class_weight is not None:
            if isinstance(self.class_weight, dict):  # y need not hold every class
                every = np.concatenate([self.classes_, y])
                per_class = compute_class_weight(self.class_weight, classes=self.classes_, y=every)
            else:
                per_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            if not (np.all(per_class >= 0) and np.any(per_class > 0)):
                raise ValueError(
                    "class_weight must hold numbers of at least 0, not all of them 0, got "
                    f"{self.class_weight!r}."
                )
            of_sample = per_class[numbers]
            weight = of_sample if weight is None else weight * of_sample
        return X, numbers, weight

    def _read_validation(self, X: Any, y: Any) -> Any:
        check_both_or_none(X, y)
        if X is None:
            return None
        X, y = self._read_rows(X, y, reset=False)
        return X, self._encode(y)
