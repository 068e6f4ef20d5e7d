"""Where any estimator looks: what happens to its decision when a part of a sample is hidden."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

from ..estimators.samples import as_array, channels_first, like_samples
from ..studies.tasks import is_dense
from .steps import parts_of, reader_of, target_column, unfolded

Array = NDArray[Any]

VALUES_AT_ONCE = 1 << 24  # of occluded copies
BOXES = 4  # along an axis, one beside the other


def occlusion_map(
    estimator: Any,
    X: Any,
    target: Any = None,
    *,
    size: int | tuple[int, ...] | None = None,
    stride: int | tuple[int, ...] | None = None,
    fill: str | float | ArrayLike = "mean",
    mask: ArrayLike | None = None,
) -> NDArray[np.float32]:
    r"""Return by how much the decision for a sample falls when the surroundings are hidden.

    .. math::
        m_p = \frac{1}{|B_p|} \sum_{b \in B_p} f(x) - f(x_b)

    over the boxes :math:`B_p` that a place p is in, where :math:`x_b` has the fill in the box
    b.  f is the decision value, if there is none the probability, for a regressor the
    prediction.  Where m is positive, what is there speaks for the target.

    Parameters
    ----------
    estimator : fitted classifier or regressor
        Of any kind, or a pipeline or a search that ends in one.
    X : array-like, shape (n, *shape)
        Samples.  Where the estimator has a ``layout_``, their axes are known, rows are folded as
        its ``image_shape`` says, and boxes hold all channels; else all axes are taken for axes in
        space.  Of what begins with ``NiftiVolumes``, paths of scans, which are read one at a time.
    target : label or int, default=None
        A class; None is the second of two classes, and of more the one that is predicted for
        the sample.  For a regressor of several values, the number of the value.
    size : int or tuple of int, default=None
        Extent of a box, along all axes in space or along each; those of the sample are the
        largest.  None is a quarter of each.  With one for each axis of the sample, those of
        channels too, there are boxes of channels as well, and a map has the shape of the sample.
    stride : int or tuple of int, default=None
        Distance between boxes, at most ``size``; None is half of the size.  The last box ends
        where the sample does.
    fill : "mean", float or array-like of the shape of a sample, default="mean"
        What is put in place of a box; "mean" is the mean of the sample, of each channel.
    mask : array-like of bool, of the shape of a map, default=None
        Where boxes hide something, a head say; elsewhere maps are zero.  None is the mask of
        ``NiftiVolumes``, if there is one.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)

    Raises
    ------
    ValueError
        If a parameter is none of the above.

    See Also
    --------
    gradient_map, class_activation_map, grad_cam_map : Faster, for networks.

    References
    ----------
    M. D. Zeiler and R. Fergus. Visualizing and understanding convolutional networks.
    ECCV, 2014.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringSVC
    >>> from sklstruct.inspection import occlusion_map
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = ScatteringSVC(random_state=0).fit(X, y)
    >>> occlusion_map(model, X[:3], size=3).shape
    (3, 8, 8)
    """
    samples: Any
    columns = None
    if reader_of(estimator) is not None:
        volumes, estimator = parts_of(estimator)
        samples, mask = volumes.lazy(X), volumes.mask_ if mask is None else mask
    else:
        samples, columns = np.asarray(as_array(X)), getattr(X, "columns", None)
        if samples.ndim < 2 or samples.dtype.kind not in "iuf":
            raise ValueError(
                "X must be numbers of shape (n, ...), one row a sample, got "
                f"{samples.dtype} of shape {samples.shape}."
            )
    shape = samples.shape[1:]
    folded, layout = axes_of(estimator, shape)
    if isinstance(size, (tuple, list)) and len(size) == len(folded):
        layout = ""  # there are boxes of channels as well
    extents = tuple(np.delete(folded, layout.index("C")).tolist()) if "C" in layout else folded
    boxes = list(make_boxes(extents, size, stride))
    filling = None if isinstance(fill, str) and fill == "mean" else np.asarray(fill)
    if filling is not None and (
        filling.dtype.kind not in "iuf" or filling.shape not in ((), shape)
    ):
        raise ValueError(
            f"fill must be 'mean', a number, or an array of the shape {shape}, got "
            f"{fill if filling.dtype.kind == 'U' else filling.shape!r}."
        )
    inside = np.ones(extents, bool) if mask is None else np.asarray(mask, bool)
    if inside.shape != extents:
        raise ValueError(f"mask must have the shape {extents} of a map, got {inside.shape}.")

    def channels_and_space(given: Array) -> Array:
        return channels_first(given.reshape(1, *folded), layout)[0]

    def scores_of(copies: Array) -> Array:
        return decisions(estimator, like_samples(copies, layout, shape), columns)

    def choose(scores: Array) -> int:
        column = target_column(estimator, target, len(scores))
        return int(scores.argmax()) if column is None else column

    maps = np.empty((len(samples), *extents), np.float32)
    for number, out in enumerate(maps):
        sample = channels_and_space(samples[number])
        if filling is None:
            other = sample.mean(axis=tuple(range(1, sample.ndim)), keepdims=True)
        else:
            other = channels_and_space(np.broadcast_to(filling, shape))
        # Boxes that change nothing cost nothing, and outside of the mask nothing changes.
        other = np.where(inside, other, sample)
        out[...] = np.where(inside, map_of_one(scores_of, sample, other, boxes, choose), 0)
    return maps


def map_of_one(
    scores_of: Callable[[Array], Array],
    sample: Array,
    other: Array,
    boxes: list[tuple[slice, ...]],
    choose: Callable[[Array], int],
) -> NDArray[np.float64]:
    """Return the map of one sample (channels, *spatial), boxes of which are those of another."""
    sample = sample.astype(np.result_type(sample, np.float32), copy=False)
    scores = scores_of(sample[np.newaxis])[0]
    column = choose(scores)
    total, coverage = np.zeros(sample.shape[1:]), np.zeros(sample.shape[1:])
    for box in boxes:
        coverage[box] += 1
    # Most of a scan is background, where hiding changes nothing.
    changing = [box for box in boxes if (sample[:, *box] != other[:, *box]).any()]
    # Many copies at a time, which networks are fast with, but never more than memory holds.
    step = max(1, VALUES_AT_ONCE // sample.size)
    with warnings.catch_warnings():
        # To hide the brightest part of a sample changes its scale.
        warnings.filterwarnings("ignore", "X is on another scale", UserWarning)
        for start in range(0, len(changing), step):
            part = changing[start : start + step]
            copies = np.repeat(sample[np.newaxis], len(part), axis=0)
            for copy, box in zip(copies, part, strict=True):
                copy[:, *box] = other[:, *box]
            for box, score in zip(part, scores_of(copies)[:, column], strict=True):
                total[box] += scores[column] - score
    return total / coverage


def axes_of(estimator: Any, shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Return the shape of samples with rows folded, and their layout, empty if it is unknown."""
    last = unfolded(estimator)[-1]
    layout = getattr(last, "layout_", "")
    folded = tuple(getattr(last, "image_shape", None) or shape)
    # Steps before may have made other samples of these.
    if getattr(last, "sample_shape_", shape) == shape and len(layout) == len(folded):
        return folded, layout
    return shape, ""


def decisions(estimator: Any, X: Any, columns: Any = None) -> Array:
    """Return one column a class or a value, (n, n_columns), of rows that may have named columns."""
    X = X if columns is None else pd.DataFrame(X, columns=columns)
    if is_dense(estimator):
        from .opened import Opened  # of networks alone, as torch is

        return Opened(estimator).values(X)  # means over places
    if not is_classifier(estimator):
        return np.asarray(estimator.predict(X)).reshape(len(X), -1)
    if not hasattr(estimator, "decision_function"):
        return np.asarray(estimator.predict_proba(X))
    scores = np.asarray(estimator.decision_function(X))
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def make_boxes(shape: tuple[int, ...], size: Any, stride: Any) -> Iterator[tuple[slice, ...]]:
    """Yield boxes that cover a sample."""
    if size is None:
        size = tuple(max(1, round(extent / BOXES)) for extent in shape)
    sizes = np.minimum(per_axis("size", size, shape), shape)
    strides = (sizes + 1) // 2 if stride is None else per_axis("stride", stride, shape)
    if (strides > sizes).any():
        raise ValueError(
            f"stride must be at most size, lest places be left out, got {stride!r} for {size!r}."
        )
    # The last box ends where the sample does, lest its border count in smaller boxes.
    starts = [
        [*range(0, extent - length, step), extent - length]
        for extent, length, step in zip(shape, sizes.tolist(), strides.tolist(), strict=True)
    ]
    for corner in product(*starts):
        yield tuple(slice(a, a + length) for a, length in zip(corner, sizes, strict=True))


def per_axis(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return a parameter as one positive integer for each axis."""
    values = value if isinstance(value, (tuple, list)) else (value,) * len(shape)
    sound = all(isinstance(one, Integral) and int(one) >= 1 for one in values)
    if not sound or len(values) != len(shape):
        raise ValueError(
            f"{name} must be a positive integer, or {len(shape)} of them, got {value!r}."
        )
    return np.array(values, np.int64)
