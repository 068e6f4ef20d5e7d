"""Samples as they are shown beside their maps, and what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimators.samples import as_array, channels_first
from ..studies.tasks import is_dense
from .occlusion import axes_of
from .opened import RGB, Opened

Array = NDArray[Any]


def samples_shown(estimator: Any, X: Any, spatial: tuple[int, ...]) -> Array:
    """Return samples in the places of their maps, (n, *spatial), with colours (n, *spatial, 3)."""
    samples = np.asarray(as_array(X))
    if samples.dtype.kind in "iufb":
        folded, layout = axes_of(estimator, samples.shape[1:])
        layout = layout if folded != spatial else ""
        samples = channels_first(samples.reshape(len(samples), *folded), layout)
    if samples.shape[2:] != spatial:  # steps of a pipeline have made others of them
        samples = np.asarray(Opened(estimator).read(X)[:])
    if samples.shape[1] != RGB or len(spatial) != 2:
        return samples.mean(axis=1)
    lowest, largest = (of(samples, axis=(1, 2, 3), keepdims=True) for of in (np.min, np.max))
    return np.moveaxis((samples - lowest) / np.maximum(largest - lowest, 1e-12), 1, -1)


def title_of(said: Any) -> str:
    """Return what was predicted as a title, empty if that is nothing in particular."""
    return "" if said is None else f"predicted {f'{said:.3g}' if isinstance(said, float) else said}"


def predictions(estimator: Any, X: Any) -> list[Any]:
    """Return what is predicted of each sample, None where that is something at every place."""
    if is_dense(estimator):
        return [None] * len(X)
    return np.asarray(estimator.predict(X)).tolist()
