"""Whatever holds estimators taken apart, and which of its outputs a target is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from ..estimators.samples import as_array
from ..io.nifti.estimator import NiftiVolumes


def unfolded(estimator: Any) -> list[Any]:
    """Return the steps of whatever holds estimators, the one that predicts last."""
    if isinstance(estimator, FrozenEstimator):
        return unfolded(estimator.estimator)
    if hasattr(estimator, "best_estimator_"):
        return unfolded(estimator.best_estimator_)
    if isinstance(estimator, Pipeline):
        *steps, last = (step for _, step in estimator.steps)
        return [*(step for step in steps if step not in (None, "passthrough")), *unfolded(last)]
    return [estimator]


def type_name(estimator: Any) -> str:
    """Return the name of the type of what predicts."""
    return type(unfolded(estimator)[-1]).__name__


def reader_of(estimator: Any) -> NiftiVolumes | None:
    """Return what reads scans, if that is how an estimator begins."""
    first = unfolded(estimator)[0]
    return first if isinstance(first, NiftiVolumes) else None


def parts_of(model: Any) -> tuple[NiftiVolumes, Any]:
    """Return what reads scans and what takes volumes."""
    first, *later = unfolded(model)
    if not isinstance(first, NiftiVolumes):
        name = type(first).__name__
        raise TypeError(f"model must be a pipeline that begins with NiftiVolumes, got {name}.")
    check_is_fitted(model)
    return first, later[0] if len(later) == 1 else make_pipeline(*later)


def in_memory(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return an estimator with its samples; of scans, what takes volumes, and the volumes."""
    if reader_of(estimator) is None:
        return estimator, as_array(X)
    volumes, estimator = parts_of(estimator)
    return estimator, volumes.transform(X)


def listed(estimator: Any, X: Any) -> Any:
    """Return samples as they can be taken one by one: of a folder of scans, their paths."""
    volumes = reader_of(estimator)
    return X if volumes is None else volumes.lazy(X).paths


def mask_of(estimator: Any, mask: Any, places: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which places of samples count; None is the mask of scans, else all of them.

    Raises
    ------
    ValueError
        If a mask has another shape, or no place.
    """
    volumes = reader_of(estimator)
    if mask is None and volumes is not None:
        mask = volumes.mask_
    counts = np.ones(places, bool) if mask is None else np.asarray(mask, bool)
    if counts.shape != places or not counts.any():
        raise ValueError(
            f"mask must have the shape {places} of a sample, and some places, got "
            f"{counts.shape} with {counts.sum()}."
        )
    return counts


class Each(tuple[Any, ...]):
    """Targets of samples, one for each."""

    __slots__ = ()


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
