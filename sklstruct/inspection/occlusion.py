"""Where any estimator looks: what happens to its decision when a part of a sample is hidden."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

Array = NDArray[Any]

VALUES_AT_ONCE = 1 << 24  # of occluded copies


def occlusion_map(
    estimator: Any,
    X: ArrayLike,
    target: Any = None,
    *,
    size: int | tuple[int, ...],
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
        Or a pipeline, that takes arrays.
    X : array-like, shape (n, *shape)
        Samples; their axes are taken for axes in space.
    target : label or int, default=None
        A class; None is the second of two classes, and of more the one that is predicted for
        the sample.  For a regressor of several values, the number of the value.
    size : int or tuple of int
        Extent of a box, along all axes or along each; those of the sample are the largest.
    stride : int or tuple of int, default=None
        Distance between boxes, at most ``size``; None is half of the size.  The last box ends
        where the sample does.
    fill : "mean", float or array-like of the shape of a sample, default="mean"
        What is put in place of a box; "mean" is the mean of the sample.
    mask : array-like of bool, of the shape of a sample, default=None
        Where boxes hide something, a head say; elsewhere maps are zero.

    Returns
    -------
    maps : ndarray of float32, shape (n, *shape)

    Raises
    ------
    ValueError
        If a parameter is none of the above.

    See Also
    --------
    gradient_map, class_activation_map : Faster, for networks.

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
    samples = np.asarray(X)
    if samples.ndim < 2 or samples.dtype.kind not in "iuf":
        raise ValueError(
            "X must be numbers of shape (n, ...), one row a sample, got "
            f"{samples.dtype} of shape {samples.shape}."
        )
    shape = samples.shape[1:]
    boxes = list(make_boxes(shape, size, stride))
    filling = None if isinstance(fill, str) and fill == "mean" else np.asarray(fill)
    if filling is not None and (
        filling.dtype.kind not in "iuf" or filling.shape not in ((), shape)
    ):
        raise ValueError(
            f"fill must be 'mean', a number, or an array of the shape {shape}, got "
            f"{fill if filling.dtype.kind == 'U' else filling.shape!r}."
        )
    inside = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
    if inside.shape != shape:
        raise ValueError(f"mask must have the shape {shape} of a sample, got {inside.shape}.")
    maps = np.empty(samples.shape, np.float32)
    for sample, out in zip(samples, maps, strict=True):
        # Boxes that change nothing cost nothing, and outside of the mask nothing changes.
        other = np.where(inside, sample.mean() if filling is None else filling, sample)
        out[...] = np.where(inside, map_of_one(estimator, sample, target, other, boxes), 0)
    return maps


def map_of_one(
    estimator: Any, sample: Array, target: Any, other: Array, boxes: list[tuple[slice, ...]]
) -> NDArray[np.float64]:
    """Return the map of one sample, whose boxes are replaced by those of another."""
    sample = sample.astype(np.result_type(sample, np.float32), copy=False)
    scores = decisions(estimator, sample[np.newaxis])[0]
    chosen = target_column(estimator, target, len(scores))
    column = int(scores.argmax()) if chosen is None else chosen
    total, coverage = np.zeros(sample.shape), np.zeros(sample.shape)
    for box in boxes:
        coverage[box] += 1
    # Most of a scan is background, where hiding changes nothing.
    changing = [box for box in boxes if (sample[box] != other[box]).any()]
    # Many copies at a time, which networks are fast with, but never more than memory holds.
    step = max(1, VALUES_AT_ONCE // sample.size)
    for start in range(0, len(changing), step):
        part = changing[start : start + step]
        copies = np.repeat(sample[np.newaxis], len(part), axis=0)
        for copy, box in zip(copies, part, strict=True):
            copy[box] = other[box]
        for box, score in zip(part, decisions(estimator, copies)[:, column], strict=True):
            total[box] += scores[column] - score
    return total / coverage


def decisions(estimator: Any, X: Array) -> Array:
    """Return one column a class or a value, (n, n_columns)."""
    if not is_classifier(estimator):
        return np.asarray(estimator.predict(X)).reshape(len(X), -1)
    if not hasattr(estimator, "decision_function"):
        return np.asarray(estimator.predict_proba(X))
    scores = np.asarray(estimator.decision_function(X))
    return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def target_column(estimator: Any, target: Any, n_columns: int) -> int | None:
    """Return the column of outputs that a target means; None is the largest one of a sample.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    target : label or int or None
        A class or the number of a value; None is the only value, the second of two classes, and
        of more the one that is predicted.
    n_columns : int
        Number of outputs.

    Raises
    ------
    ValueError
        If there is no such class or value, or not one output a class.
    """
    if not is_classifier(estimator):
        target = 0 if target is None and n_columns == 1 else target
        if target not in range(n_columns):
            raise ValueError(
                f"target must be the number of a value, from 0 to {n_columns - 1}, got {target!r}."
            )
        return int(target)
    classes = estimator.classes_.tolist()
    if n_columns != len(classes):
        raise ValueError(
            f"{type(estimator).__name__} must give one decision value a class, {len(classes)}, "
            f"got {n_columns}."
        )
    if target is None:
        return 1 if n_columns == 2 else None
    if target not in classes:
        raise ValueError(f"target must be one of the classes {classes}, got {target!r}.")
    return int(classes.index(target))


def make_boxes(shape: tuple[int, ...], size: Any, stride: Any) -> Iterator[tuple[slice, ...]]:
    """Yield boxes that cover a sample."""
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
