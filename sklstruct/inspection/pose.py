"""Which poses the dynamic steerable blocks of a network see in samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..estimators.base import watched
from ..layers import DynamicSteerableBlock
from .opened import Opened

Array = NDArray[Any]


def pose_maps(estimator: Any, X: Any, block: str | None = None) -> Array:
    r"""Return the poses that a dynamic steerable block sees at all places of samples.

    Parameters
    ----------
    estimator : fitted network estimator
        With a ``DynamicSteerableBlock`` that turns something.
    X : array-like, shape (n, ...)
        Samples, of one shape.
    block : str, default=None
        Name of the block in ``net_.module_``; the first one if None.

    Returns
    -------
    poses : ndarray, shape (n, n_numbers, n_poses, \*spatial)
        Angles in radians, then the standard deviation where the block steers it, see
        ``DynamicSteerableBlock.pose``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it has no network.
    ValueError
        If there is no such block, or its kernels have no angles.

    See Also
    --------
    PoseDisplay : A picture of it.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredMapClassifier
    >>> from sklstruct.inspection import pose_maps
    >>> from sklstruct.layers import DynamicSteerableBlock
    >>> from torch.nn import Sequential
    >>> X = load_digits().images[:20]
    >>> def build(in_shape, n_outputs):
    ...     return Sequential(DynamicSteerableBlock(in_shape[0], n_outputs))
    >>> model = StructuredMapClassifier(architecture=build, max_epochs=1).fit(X, X > 8)
    >>> pose_maps(model, X[:5]).shape
    (5, 1, 1, 8, 8)
    """
    return seen_by_block(estimator, X, block).poses


class Seen(NamedTuple):
    """What a block sees of samples.

    Parameters
    ----------
    samples : ndarray, shape (n, channels, *spatial)
    poses : ndarray, shape (n, n_numbers, n_poses, *spatial)
    strengths : ndarray, shape (n, *spatial)
        Norms of the responses of all channels to all atoms but those of order 0.
    """

    samples: Array
    poses: Array
    strengths: Array


def seen_by_block(estimator: Any, X: Any, block: str | None) -> Seen:
    """Return what a block sees of samples, of one pass; raise as ``pose_maps`` does."""
    opened = Opened(estimator)
    name, found = find_block(opened, block)
    oriented = torch.from_numpy(found.frame.orders != 0)

    def look(x: Tensor) -> Tensor:
        responses = found.filter.responses(x)[:, :, oriented.to(x.device)]
        strength = responses.square().sum((1, 2)).sqrt()
        return torch.cat([strength[:, None], found.pose(x).flatten(1, 2)], dim=1)

    samples = np.asarray(opened.read(X)[:])
    with watched(opened.network, [name], look, "block", entering=True) as passing:
        seen = opened.run(samples, lambda x: passing(x)[0])
    poses = seen[:, 1:].reshape(len(seen), found.n_numbers, -1, *seen.shape[2:])
    return Seen(samples, poses, seen[:, 0])


def find_block(opened: Opened, name: str | None) -> tuple[str, Any]:
    """Return the name of a dynamic steerable block that has poses, and the block.

    Raises
    ------
    ValueError
        If there is no such block.
    """
    modules = opened.network.named_modules()
    blocks = {key: one for key, one in modules if isinstance(one, DynamicSteerableBlock)}
    if not blocks:
        raise ValueError(f"{type(opened.estimator).__name__} has no dynamic steerable blocks.")
    if name is None:
        name = next(iter(blocks))
    if name not in blocks:
        raise ValueError(f"block must be one of {tuple(blocks)}, got {name!r}.")
    found = blocks[name]
    if found.where is None or found.steering != "exact":
        raise ValueError(
            f"The block {name!r} steers by no pose, with pose={found.mode!r} and "
            f"steering={found.steering!r}."
        )
    return name, found
