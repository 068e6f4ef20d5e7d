"""What the blocks of a network give, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..estimators.base import watched
from .opened import Opened

Array = NDArray[np.float64]


def block_names(estimator: Any, layers: Sequence[str] | None) -> list[str]:
    """Return the names of the layers that are told, or else of the children of ``stages``.

    Those without parameters, which pad or average, are left out if any has some.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If layers are no sequence of different names, or the network has no stages.
    """
    network = Opened(estimator).network
    if layers is not None:
        names = [] if isinstance(layers, str) else list(layers)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"layers must be a sequence of different names, got {layers!r}.")
        return names
    stages = getattr(network, "stages", None)
    children = dict(stages.named_children()) if isinstance(stages, nn.Module) else {}
    learned = [name for name, child in children.items() if list(child.parameters())]
    if not children:
        raise ValueError(
            f"The network {type(network).__name__} has no stages: name its blocks with layers."
        )
    return [f"stages.{name}" for name in learned or children]


def block_features(
    estimator: Any, X: Any, names: Sequence[str], places: str = "mean"
) -> list[Array]:
    """Return the features of samples after each of some layers, all of one pass.

    Parameters
    ----------
    estimator : fitted network estimator
    X : array-like, shape (n, ...)
    names : sequence of str
        Those of the layers.
    places : {"mean", "all"}, default="mean"
        Whether features are means over all places, or the values at each.

    Returns
    -------
    features : list of ndarray, shape (n, n_features)
    """
    opened = Opened(estimator)
    reduce = partial(opened.as_rows, places=places)
    with watched(opened.network, names, reduce, "layers") as outputs:
        return opened.run_parts(opened.read(X), outputs)
