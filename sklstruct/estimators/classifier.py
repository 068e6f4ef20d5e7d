"""Classes in, probabilities out."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from ..compat import ClassifierMixin
from ..params import MAPPING, one_of, param, real
from .base import NetworkEstimator
from .targets import Classes

CLASS_WEIGHT = MAPPING | one_of("balanced") | None
LABEL_SMOOTHING = real(least=0, below=1) | None


class NetworkClassifier(ClassifierMixin, NetworkEstimator):
    """Train a network whose outputs are logits of classes.

    Parameters
    ----------
    class_weight : dict or "balanced", default=None
        Factors on the weights of the samples of each class; classes of factor 0 are left out.
    label_smoothing : float, default=None
        Share of every target that is spread over all classes; None is what the preset of the
        architecture has, or else 0.1.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)

    See Also
    --------
    NetworkRegressor : The same for values.
    StructuredClassifier : Any architecture, without a class of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from sklstruct import Architecture
    >>> from sklstruct.estimators import NetworkClassifier
    >>> class Perceptron(Architecture, NetworkClassifier):
    ...     width: int = 16
    ...     def build(self, in_shape, n_outputs):
    ...         first, last = np.prod(in_shape), n_outputs
    ...         layers = nn.Linear(first, self.width), nn.ReLU(), nn.Linear(self.width, last)
    ...         return nn.Sequential(nn.Flatten(), *layers)
    >>> X = np.random.default_rng(0).normal(size=(8, 6, 6))
    >>> Perceptron(max_epochs=1).fit(X, [0, 1] * 4).predict_proba(X).shape
    (8, 2)
    """

    class_weight: dict[Any, float] | str | None = param(None, CLASS_WEIGHT, may_change=True)
    label_smoothing: float | None = param(None, LABEL_SMOOTHING, may_change=True)

    _target: ClassVar[Any] = Classes

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels of the classes, sorted."""
        check_is_fitted(self)
        return self.target_.classes

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch, on from the present weights.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``
        classes : array-like, shape (n_classes,), default=None
            All labels that may ever come; needed in the first call, and the same in later ones.

        Returns
        -------
        self
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' has no meaning for partial_fit, which does not know all "
                "samples: give a dict."
            )
        first = not hasattr(self, "net_")
        if classes is None and first:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        target = None if classes is None else self._of_classes(np.unique(classes))
        if not (target is None or first or np.array_equal(target.classes, self.classes_)):
            raise ValueError(
                f"classes must be those of the first call to partial_fit, {self.classes_}, got "
                f"{target.classes}."
            )
        return self._partial_fit(X, y, sample_weight, target)

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
        outputs = self._outputs(X)
        return self.target_.decode(outputs)

    def predict_with_proba(self, X: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return what ``predict`` and ``predict_proba`` do, for samples that are read once.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        labels : ndarray, shape (n,)
        probabilities : ndarray, shape (n, n_classes)
        """
        outputs = self._outputs(X)
        return self.target_.decode(outputs), softmax(outputs, axis=1)

    def _of_classes(self, classes: NDArray[Any]) -> Any:
        """Return the codec of labels that may be any of some classes."""
        return Classes(classes)
