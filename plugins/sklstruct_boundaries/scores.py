"""How good maps of boundaries are, as the field scores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from sklstruct.params import FLAG, SEQUENCE, check, integer, real

from .matching import count_matches
from .suppression import suppress

Array = NDArray[Any]

COUNTS = ["matched_truth", "total_truth", "matched_predicted", "total_predicted"]
N_STEPS = 100  # from one threshold to the next, both among them


def boundary_scores(
    maps: Sequence[Any],
    annotations: Sequence[Any],
    *,
    nms: bool = True,
    n_thresholds: int = 99,
    tolerance: float = 0.0075,
    n_jobs: int | None = None,
) -> BoundaryScores:
    r"""Score maps of boundaries against what annotators marked: ODS, OIS and AP.

    At a threshold t a map is thinned to lines, whose pixels are matched with those of every
    annotator: one to one, within the tolerance, as many as possible.  With sums over images,

    .. math::
        P(t) = \frac{\#\text{predicted pixels matched with any annotator}}
                    {\#\text{predicted pixels}}, \quad
        R(t) = \frac{\sum_a \#\text{matched pixels of annotator } a}
                    {\sum_a \#\text{pixels of annotator } a}, \quad
        F = \frac{2 P R}{P + R}

    Precision is 0 where nothing is predicted.  ODS is the best F at one threshold for all images,
    OIS that of the sums with the best threshold of each image, and AP the mean of P over the
    recalls 0, 0.01, ..., 1; the toolboxes of the field divide the sum over these 101 by 100.  As
    there, P is 0 at recalls that are not attained: of maps of 0 and 1 alone, AP says nothing.

    Parameters
    ----------
    maps : sequence of array-like, shape (height, width)
        Values from 0 to 1.  Images may differ in size.
    annotations : sequence of array-like, shape (n_annotators, height, width) or (height, width)
        What is a boundary, for each image by one annotator or by several; bool, or 0 and 1.
    nms : bool, default=True
        Whether maps are smoothed a little and what is no maximum across a boundary is set to 0.
    n_thresholds : int, default=99
        They are k / (n_thresholds + 1).
    tolerance : float, default=0.0075
        Largest distance of matched pixels, in diagonals of the image.
    n_jobs : int or None, default=None
        Threads, one image each.  Scores do not depend on it.

    Returns
    -------
    scores : BoundaryScores

    Raises
    ------
    ValueError
        If a map or an annotation is no such array, they do not fit each other, or no annotator
        marked any pixel, which leaves F undefined.

    See Also
    --------
    StructuredMapClassifier : What gives maps.

    References
    ----------
    D. R. Martin, C. C. Fowlkes and J. Malik. Learning to detect natural image boundaries using
    local brightness, color, and texture cues. IEEE Transactions on Pattern Analysis and Machine
    Intelligence 26, 2004.

    P. Arbelaez, M. Maire, C. Fowlkes and J. Malik. Contour detection and hierarchical image
    segmentation. IEEE Transactions on Pattern Analysis and Machine Intelligence 33, 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import boundary_scores
    >>> truth, near = np.eye(100), np.diag(np.linspace(0, 1, 99), k=1)
    >>> boundary_scores([near], [truth], nms=False, n_thresholds=9)
    BoundaryScores(ods=0.942, ois=0.942, ap=0.792, threshold=0.1, n_images=1, n_thresholds=9)
    """
    check("nms", nms, FLAG)
    check("n_thresholds", n_thresholds, integer(1))
    check("tolerance", tolerance, real(least=0, most=1))
    check("n_jobs", n_jobs, integer() | None)
    pairs = read_pairs(maps, annotations)
    thresholds = np.arange(1, n_thresholds + 1) / (n_thresholds + 1)

    def count(values: Array, truths: list[Array]) -> Array:
        maxima = suppress(values) if nms else values
        levels = np.searchsorted(thresholds, maxima, side="right").astype(np.int32)
        return count_matches(levels, np.array(truths, bool), n_thresholds, tolerance)

    sums = Parallel(n_jobs, prefer="threads")(delayed(count)(*pair) for pair in pairs)
    return BoundaryScores(thresholds, np.stack(sums))


def read_pairs(maps: Sequence[Any], annotations: Sequence[Any]) -> list[tuple[Array, list[Array]]]:
    """Return each map with what its annotators marked, checked."""
    check("maps", maps, SEQUENCE)
    check("annotations", annotations, SEQUENCE)
    if len(maps) == 0 or len(maps) != len(annotations):
        raise ValueError(
            "maps and annotations must be of the same images, at least one, got "
            f"{len(maps)} and {len(annotations)}."
        )
    pairs = []
    for number, (image, annotation) in enumerate(zip(maps, annotations, strict=True)):
        name = f"maps[{number}]"
        values = read_image(name, image)
        if not ((values >= 0) & (values <= 1)).all():  # nor is NaN
            raise ValueError(
                f"{name} must have values from 0 to 1, got some from {values.min():.4g} to "
                f"{values.max():.4g}."
            )
        name = f"annotations[{number}]"
        truths = {name: annotation}
        if dimensions(annotation) != 2:
            check(name, annotation, SEQUENCE)
            truths = {f"{name}[{k}]": truth for k, truth in enumerate(annotation)}
        if not truths:
            raise ValueError(f"{name} must be of one annotator at least, got none.")
        pairs.append((values, [read_truth(*truth, values.shape) for truth in truths.items()]))
    return pairs


def dimensions(annotation: Any) -> int:
    """Return the number of axes; of a list of maps that differ in size one is as good as three."""
    try:
        return np.ndim(annotation)
    except ValueError:
        return 1


def read_image(name: str, image: ArrayLike) -> Array:
    """Return an image as an array, or raise ValueError unless it is one."""
    try:
        values = np.asarray(image)
    except ValueError:  # rows that differ in length
        values = np.asarray(image, object)
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "buif":
        raise ValueError(
            f"{name} must be numbers of shape (height, width), got {values.dtype} of shape "
            f"{values.shape}."
        )
    return values


def read_truth(name: str, truth: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return what an annotator marked, or raise ValueError unless it fits the map."""
    values = read_image(name, truth)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape of its map, {shape}, got {values.shape}.")
    if not ((values == 0) | (values == 1)).all():
        raise ValueError(
            f"{name} must be True and False, or 1 and 0, got values from {values.min():.4g} to "
            f"{values.max():.4g}."
        )
    return values


def ratio(part: Array, whole: Array) -> Array:
    """Return shares, 0 of nothing."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=whole > 0)


def f_measure(recall: Array, precision: Array) -> Array:
    """Return harmonic means, 0 where both are 0."""
    return ratio(2 * recall * precision, recall + precision)


@dataclass(frozen=True, eq=False, repr=False)
class BoundaryScores:
    """Scores of maps of boundaries: ``ods``, ``ois``, ``ap`` and more, all from counts of pixels.

    Parameters
    ----------
    thresholds : ndarray, shape (n_thresholds,)
        Rising.
    sums : ndarray of int, shape (n_images, n_thresholds, 4)
        Pixels of all annotators that are matched, and all of them; predicted pixels that are
        matched with any annotator, and all of them.

    Raises
    ------
    ValueError
        If no annotator marked any pixel.

    See Also
    --------
    boundary_scores : Where they come from.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct import boundary_scores
    >>> scores = boundary_scores([np.eye(9), 1 - np.eye(9)], [np.eye(9)] * 2, nms=False)
    >>> scores.per_image
    array([1., 0.])
    >>> scores.of([0, 0]).ods
    1.0
    """

    thresholds: NDArray[np.float64]
    sums: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not self.sums[..., 1].any():
            raise ValueError(
                "annotations must have a pixel that is a boundary in one image at least, as F is "
                "undefined otherwise, got none."
            )

    def __repr__(self) -> str:
        n_images, n_thresholds, _ = self.sums.shape
        return (
            f"BoundaryScores(ods={self.ods:.3f}, ois={self.ois:.3f}, ap={self.ap:.3f}, "
            f"threshold={self.threshold:.3g}, n_images={n_images}, n_thresholds={n_thresholds})"
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a threshold: ``threshold``, sums over images by name, ``recall``, ..., ``f``."""
        table = pd.DataFrame(self.sums.sum(axis=0), columns=COUNTS)
        table.insert(0, "threshold", self.thresholds)
        recall, precision = recall_and_precision(self.sums.sum(axis=0))
        return table.assign(recall=recall, precision=precision, f=f_measure(recall, precision))

    @cached_property
    def _optimum(self) -> tuple[float, float]:
        """F and threshold of the optimal dataset scale."""
        curve = self.table[["threshold", "recall", "precision"]].to_numpy()
        if len(curve) > 1:
            share = np.linspace(0, 1, N_STEPS)[:, None]
            curve = (curve[:-1, None] + share * np.diff(curve, axis=0)[:, None]).reshape(-1, 3)
        f = f_measure(curve[:, 1], curve[:, 2])
        return float(f.max()), float(curve[f.argmax(), 0])

    @property
    def ods(self) -> float:
        """Best F at one threshold for all images, with P and R linear between thresholds."""
        return self._optimum[0]

    @property
    def threshold(self) -> float:
        """Threshold of the best F; the lowest where several are as good."""
        return self._optimum[1]

    @cached_property
    def per_image(self) -> NDArray[np.float64]:
        """Best F of each image at a threshold of its own, shape (n_images,)."""
        return f_measure(*recall_and_precision(self.sums)).max(axis=1)

    @cached_property
    def ois(self) -> float:
        """F of the sums over images, each at its best threshold."""
        best = f_measure(*recall_and_precision(self.sums)).argmax(axis=1)
        return float(f_measure(*recall_and_precision(self.sums[np.arange(len(best)), best].sum(0))))

    @cached_property
    def ap(self) -> float:
        """Mean precision over recalls 0, 0.01, ..., 1: linear between, 0 beyond those attained."""
        # Of several precisions at one recall that of the lowest threshold, as in the field.
        recall, first = np.unique(self.table["recall"], return_index=True)
        precision = self.table["precision"].to_numpy()[first]
        return float(np.interp(np.linspace(0, 1, 101), recall, precision, left=0, right=0).mean())

    def of(self, images: ArrayLike) -> BoundaryScores:
        """Return the scores of some images, by number or mask; one may come several times.

        Parameters
        ----------
        images : array-like of int, or of bool
        """
        return BoundaryScores(self.thresholds, self.sums[np.asarray(images)])


def recall_and_precision(sums: Array) -> tuple[Array, Array]:
    """Return recall and precision for counts, which are along the last axis."""
    return ratio(sums[..., 0], sums[..., 1]), ratio(sums[..., 2], sums[..., 3])
