"""Boundaries of images: what several annotators marked in, maps out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from sklstruct.estimators import EXTENTS, MapEstimator
from sklstruct.params import one_of, param, real
from sklstruct.training import AtPlaces, Auxiliary, BinaryCrossEntropy, augmentation

from .architecture import DynResNet
from .scores import boundary_scores

Array = NDArray[Any]

RULES = ("consensus", "majority", "more than two", "share")
SOME = 0.3  # share of the annotators that make a boundary by consensus


@dataclass(frozen=True, eq=False)
class Boundaries:
    """The probability of a boundary at every place, as one logit.

    Parameters
    ----------
    pos_weight : float
        The factor on what boundaries count.
    """

    pos_weight: float

    checks: ClassVar[dict[str, Any]] = {}
    n_outputs: ClassVar[int] = 1

    @classmethod
    def of(
        cls,
        maps: Sequence[Array],
        weight: Sequence[Array] | None = None,
        before: Boundaries | None = None,
        *,
        estimator: Any,
    ) -> Boundaries:
        """Return the balance of boundaries and the rest; a training that goes on keeps the first.

        Raises
        ------
        ValueError
            If there is no boundary at all, or nothing else.
        """
        if before is not None:
            return before
        weight = [np.ones(y.shape) for y in maps] if weight is None else weight
        pairs = list(zip(maps, weight, strict=True))
        marked = sum(float(np.nansum(w * y)) for y, w in pairs)
        rest = sum(float(np.nansum(w * (1 - y))) for y, w in pairs)
        if marked == 0 or rest == 0:
            seen = "boundary" if marked == 0 else "place without a boundary"
            raise ValueError(f"y must have boundaries and places without, got no {seen}.")
        return cls((rest / marked) ** estimator.balance)

    def objective(self, label_smoothing: float) -> Auxiliary:
        """Return the balanced cross entropy, of side outputs too."""
        return Auxiliary(AtPlaces(BinaryCrossEntropy(self.pos_weight)), 1.0)

    @staticmethod
    def encode(y: Array, dtype: str) -> tuple[Array, Array]:
        """Return the probabilities of one map, and where it says something, (*spatial)."""
        says = np.isfinite(y)
        return np.where(says, y, 0).astype(dtype), says

    @staticmethod
    def decode(outputs: Array) -> Array:
        """Return the probabilities for outputs (1, *spatial)."""
        return expit(outputs[0])

    @staticmethod
    def strata(y: Any) -> None:
        """Return None: a hold-out of maps is drawn from all alike."""


class BoundaryDetector(DynResNet, MapEstimator):
    r"""Detector of boundaries in images of any sizes, learned from what annotators marked.

    Parameters
    ----------
    annotators : {"consensus", "majority", "more than two", "share"}, default="consensus"
        What is a boundary where several annotators marked different places.  "consensus": what at
        least 0.3 of them marked, while places that fewer marked say nothing, as in the
        literature.  "majority": what more than half of them marked.  "more than two": what three
        or more marked.  "share": each place as much as the share of those who marked it.
    balance : float, default=0.5
        How far boundaries, which are rare, are made to weigh as much as all other places together:
        with 1 they do, as in the literature; with 0 every place weighs the same.
    threshold : float, default=0.5
        Probability from which on ``predict`` tells a boundary.
    crop : int or tuple of int, default=192
        As for any estimator of maps.
    augment : None, "flips" or another name, Augment or callable, default="flips"
        As for any network: images are mirrored along both axes, and marks with them.

    See Also
    --------
    boundary_scores : How good maps are; ``score`` is its ODS.
    StructuredMapClassifier : Any classes, with any architecture.

    Notes
    -----
    X is a list of images and y of maps (height, width), or of maps of several annotators
    (n_annotators, height, width), with values from 0 to 1.

    The loss is the mean over places and, with ``side_outputs``, the sum over outputs of

    .. math:: -r \, y \log p - (1 - y) \log(1 - p), \qquad r = (n_0 / n_1)^\beta

    with ``balance`` :math:`\beta` and the numbers :math:`n_1` of places with a boundary and
    :math:`n_0` without: the odds that p gives a boundary are r times those that it has.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017.

    Y. Liu, M.-M. Cheng, X. Hu, K. Wang and X. Bai. Richer convolutional features for edge
    detection. CVPR, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import BoundaryDetector
    >>> images = [np.eye(20), np.eye(16, 24)]
    >>> maps = [image > 0 for image in images]
    >>> model = BoundaryDetector(widths=(8,), crop=16, max_epochs=20, random_state=0)
    >>> model = model.fit(images, maps)
    >>> [map.shape for map in model.predict_proba(images)]
    [(20, 20), (16, 24)]
    """

    annotators: str = param("consensus", one_of(*RULES))
    balance: float = param(0.5, real(least=0, most=1))
    threshold: float = param(0.5, real(least=0, most=1), may_change=True)
    crop: int | tuple[int, ...] | None = param(192, EXTENTS | None)
    augment: Any = param("flips", resolve=augmentation, may_change=True)

    _target: ClassVar[Any] = Boundaries

    def decision_function(self, X: Any) -> Any:
        """Return the logit of a boundary at every place.

        Parameters
        ----------
        X : list of images, or array-like, shape (n, ...)

        Returns
        -------
        logits : list of ndarray, shape (height, width), or ndarray, shape (n, height, width)
        """
        return self._map(X, lambda outputs: outputs[0])

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of a boundary at every place.

        Parameters
        ----------
        X : list of images, or array-like, shape (n, ...)

        Returns
        -------
        maps : list of ndarray, shape (height, width), or ndarray, shape (n, height, width)
        """
        return self._map(X, self.target_.decode)

    def predict(self, X: Any) -> Any:
        """Return where boundaries are, several places wide: True or False at every place.

        Parameters
        ----------
        X : list of images, or array-like, shape (n, ...)

        Returns
        -------
        maps : list of ndarray, shape (height, width), or ndarray, shape (n, height, width)
        """
        return self._map(X, lambda outputs: self.target_.decode(outputs) >= self.threshold)

    def score(self, X: Any, y: Any) -> float:
        """Return the F of boundaries at the best threshold for all images (ODS).

        Parameters
        ----------
        X : list of images, or array-like, shape (n, ...)
        y : list of maps, as for ``fit``, but of True and False, or 1 and 0
        """
        return boundary_scores(self.predict_proba(X), y, n_jobs=self.n_threads).ods

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, on from the present weights.

        Mean and deviation of X, and the weight of boundaries, are those of the first call.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``

        Returns
        -------
        self
        """
        return self._partial_fit(X, y, sample_weight)

    def _read(self, X: Any, y: Any = None, *, reset: bool, **checks: Any) -> Any:
        """Return images as arrays (channels, *spatial)."""
        images = super()._read(X, y, reset=reset, **checks)
        if images[0].ndim < 3:
            raise ValueError(
                "X must be a list of images, or an array of them, got one of which X[0] has shape "
                f"{np.shape(X[0])}: a single image is [image]."
            )
        return images

    def _read_map(self, number: int, given: tuple[Any, tuple[int, ...]]) -> Array:
        """Return the probability of a boundary at every place, NaN where nothing is said."""
        values, shape = given
        values = values.detach().cpu().numpy() if hasattr(values, "detach") else values
        try:
            marks = np.asarray(values, np.float32)
            seen = f"shape {marks.shape}"
        except ValueError:  # maps of several shapes
            marks = np.zeros(0, np.float32)
            seen = f"shapes {[np.shape(one) for one in values]}"
        marks = marks[np.newaxis] if marks.ndim == len(shape) else marks
        if marks.shape[1:] != shape or len(marks) == 0:
            raise ValueError(
                f"y[{number}] must be a map of the places of X[{number}], {shape}, or such maps of "
                f"several annotators, got {seen}."
            )
        if not ((marks >= 0) & (marks <= 1)).all():  # nor is NaN
            raise ValueError(
                f"y[{number}] must have values from 0 to 1, got some from {marks.min():.4g} to "
                f"{marks.max():.4g}."
            )
        share = marks.mean(axis=0)
        if self.annotators == "share":
            return share
        if self.annotators == "majority":
            return (share > 0.5).astype(share.dtype)
        if self.annotators == "more than two":
            if len(marks) < 3:
                raise ValueError(
                    f"annotators='more than two' needs at least three of them, y[{number}] has "
                    f"{len(marks)}: 'consensus' does with any number."
                )
            return (marks.sum(axis=0) > 2).astype(share.dtype)
        return np.where((share > 0) & (share < SOME), np.nan, share >= SOME).astype(share.dtype)

    @classmethod
    def _holds(cls) -> tuple[type, ...]:
        return (Boundaries,)
