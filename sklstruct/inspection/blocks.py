"""What the blocks of a network give, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..estimators.base import NetworkEstimator, watched
from .opened import Opened, streams

Array = NDArray[np.float64]


def check_network(estimator: Any) -> None:
    """Raise TypeError unless this is a network estimator, NotFittedError unless it is fitted."""
    if not isinstance(estimator, NetworkEstimator):
        raise TypeError(
            f"estimator must be a network estimator, got {type(estimator).__name__}; of a stack, "
            "inspect network_."
        )
    check_is_fitted(estimator)


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
    widths: list[int] = []
    reduce = mean_over_places if places == "mean" else flat
    opened = Opened(estimator)
    with watched(opened.network, names, reduce, "layers") as outputs:

        def side_by_side(x: Tensor) -> Tensor:
            parts = outputs(x)
            widths[:] = [part.shape[1] for part in parts]
            return torch.cat(parts, dim=1)

        found = opened.run(opened.read(X), side_by_side)
    return np.split(found.astype(np.float64), np.cumsum(widths)[:-1], axis=1)


def mean_over_places(output: Any) -> Tensor:
    """Return the means over places of an output (n, channels, *places), shape (n, channels)."""
    parts = []
    for part in streams(output):
        exact = torch.promote_types(part.dtype, torch.float32)  # of bfloat16, a mean is coarse
        parts.append(part.flatten(2).mean(2, dtype=exact) if part.ndim > 2 else part.to(exact))
    return torch.cat(parts, dim=1)


def flat(output: Any) -> Tensor:
    """Return an output (n, ...) as rows, shape (n, n_features)."""
    return torch.cat([part.flatten(1) for part in streams(output)], dim=1)
