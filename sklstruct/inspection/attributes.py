"""Layers of networks whose channels have an order, and whether the network sees them move."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor

from ..params import SEED, SEQUENCE, Rule, check, integer
from .depth import opened_classifier
from .opened import Opened

OFFERED = ("n_layers", "boundary", "attributes", "from_attributes")
KEPT = 3  # attributes of a layer at most
SOME = Rule("a sequence of at least one entry", lambda v: SEQUENCE.holds(v) and len(v) > 0)


def attribute_invariance(
    estimator: Any,
    X: Any,
    *,
    depths: Sequence[int] | None = None,
    shifts: Sequence[int] = (1, 2, 4),
    n_permutations: int = 5,
    random_state: Any = None,
) -> pd.DataFrame:
    r"""Measure what a network makes of layers that are translated along one of their attributes.

    What follows the layer :math:`x_j` are convolutions along its attributes and means over them.
    So what they make of it, :math:`f_j(x_j)`, does not change by a translation,

    .. math::
        f_j(x_j(u, \dots, v_k - \tau, \dots)) = f_j(x_j),

    where boundaries are periodic, :math:`\tau` is a multiple of all strides along :math:`v_k` that
    are still to come, and a mean over it is.  The control moves channels by :math:`\tau` places in
    a random order of them.

    Parameters
    ----------
    estimator : fitted network classifier
        With a network of attributes, see ``AttributeWalk``.
    X : array-like, shape (n, ...)
    depths : sequence of int, default=None
        Those of layers, from 1; None takes all.
    shifts : sequence of int, default=(1, 2, 4)
        Values of :math:`\tau`.  At zero boundaries, what moves over the end is lost.
    n_permutations : int, default=5
        Number of random orders.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    table : DataFrame
        One row for each layer, attribute and shift: ``depth``; ``attribute``, the number k;
        ``n_channels`` along it; ``shift``; ``kept``, the share of samples whose predicted class
        stays; ``change``, the distance of outputs from what they were, relative to their spread
        over samples; ``kept_control`` and ``change_control``, means over the random orders.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network classifier, or its network has no attributes.
    ValueError
        If a parameter is out of range, or all samples have the same outputs.

    See Also
    --------
    AttributeWalk : Samples that look like translated ones.

    References
    ----------
    J.-H. Jacobsen, E. Oyallon, S. Mallat and A. W. M. Smeulders. Multiscale hierarchical
    convolutional networks. arXiv:1703.04140, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import HierarchicalCNNClassifier
    >>> from sklstruct.inspection import attribute_invariance
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = HierarchicalCNNClassifier(boundary="periodic", depth=5, max_epochs=1)
    >>> table = attribute_invariance(model.fit(X, y), X, depths=[3], shifts=[1, 2])
    >>> table[table["change"] < 1e-4][["depth", "attribute", "n_channels", "shift"]]
       depth  attribute  n_channels  shift
    0      3          1           2      1
    1      3          1           2      2
    3      3          2           4      2
    5      3          3           8      2
    """
    opened = opened_classifier(estimator)
    network = attribute_network(opened)
    depths = check_depths(depths, network)
    for shift in check("shifts", shifts, SOME):
        check("Each of shifts", shift, integer())
    check("n_permutations", n_permutations, integer(1))
    rng = check_random_state(check("random_state", random_state, SEED))
    samples = opened.read(X)
    before = opened.run(samples, opened.outputs)
    spread = np.linalg.norm(before - before.mean(axis=0))
    if not spread:
        raise ValueError("X must have samples whose outputs differ, got the same for all.")

    def moved(x: Tensor, depth: int, axis: int, orders: NDArray[np.intp]) -> Tensor:
        layer = network.attributes(x, depth)
        layers = [
            translated(layer, shift, axis, network.boundary, order)
            for shift in shifts
            for order in orders
        ]
        return torch.stack([network.from_attributes(one, depth) for one in layers], dim=1)

    rows: list[tuple[Any, ...]] = []
    for depth in depths:
        shape = opened.run(samples[:1], partial(network.attributes, depth=depth)).shape
        for axis in range(1, min(depth, KEPT) + 1):
            orders = make_orders(shape[axis], n_permutations, rng)
            after = opened.run(samples, partial(moved, depth=depth, axis=axis, orders=orders))
            after = np.moveaxis(after.reshape(len(after), len(shifts), len(orders), -1), 0, 2)
            kept = (after.argmax(axis=-1) == before.argmax(axis=-1)).mean(axis=-1)
            change = np.linalg.norm(after - before, axis=(-2, -1)) / spread
            of_layer = depth, depth - min(depth, KEPT) + axis, shape[axis]
            rows += [
                (*of_layer, shift, k[0], c[0], k[1:].mean(), c[1:].mean())
                for shift, k, c in zip(shifts, kept, change, strict=True)
            ]
    columns = ["depth", "attribute", "n_channels", "shift"]
    columns += ["kept", "change", "kept_control", "change_control"]
    return pd.DataFrame(rows, columns=columns)


def attribute_network(opened: Opened) -> Any:
    """Return the network of an estimator, or raise TypeError if it has no attributes."""
    network = opened.network
    lacking = [name for name in OFFERED if not hasattr(network, name)]
    if lacking:
        raise TypeError(
            "estimator must have a network of attributes, as HierarchicalCNNClassifier has, but "
            f"{type(network).__name__} lacks {', '.join(lacking)}."
        )
    return network


def check_depths(depths: Sequence[int] | None, network: Any) -> Sequence[int]:
    """Return the depths of layers, all if None, or raise ValueError if there is no such layer."""
    if depths is None:
        return range(1, network.n_layers + 1)
    for depth in check("depths", depths, SOME):
        check("Each of depths", depth, integer(1, network.n_layers))
    return depths


def invariant_arrays(opened: Opened, samples: Any, depth: int) -> NDArray[np.float64]:
    r"""Return what a layer has at the central place, summed over the oldest attribute.

    .. math::
        \bar x_j(v_{j-1}, v_j) = \sum_{v_{j-2}} x_j(u_0, v_{j-2}, v_{j-1}, v_j)

    Parameters
    ----------
    opened : Opened
    samples : ndarray or Unread, shape (n, channels, *spatial)
    depth : int
        The number j.  The first layer has :math:`v_1` alone, which then stands for
        :math:`v_{j-1}`, and the second one nothing to sum over.

    Returns
    -------
    arrays : ndarray, shape (n, n_channels, n_filters)
    """
    network = opened.network

    def centre(x: Tensor) -> Tensor:
        layer = network.attributes(x, depth)
        n_attributes = min(depth, KEPT)
        for size in layer.shape[1 + n_attributes :]:
            layer = layer.select(1 + n_attributes, size // 2)
        return layer.sum(1) if n_attributes == KEPT else layer.reshape(*layer.shape[:2], -1)

    return opened.run(samples, centre).astype(np.float64)


def make_orders(n_channels: int, n_permutations: int, rng: Any) -> NDArray[np.intp]:
    """Return the learned order of channels and random ones, (1 + n_permutations, n_channels)."""
    random = [rng.permutation(n_channels) for _ in range(n_permutations)]
    return np.stack([np.arange(n_channels), *random])


def translated(
    values: Tensor, shift: int, axis: int, boundary: str, order: NDArray[np.intp] | None = None
) -> Tensor:
    """Return values that are moved along an axis, in an order of its entries."""
    size = values.shape[axis]
    order = np.arange(size) if order is None else order
    places = np.arange(size) - shift
    source = np.empty_like(order)
    source[order] = order[places % size]
    moved = values.index_select(axis, torch.from_numpy(source).to(values.device))
    if boundary == "zeros":
        lost = order[(places < 0) | (places >= size)]
        moved.index_fill_(axis, torch.from_numpy(lost).to(values.device), 0)
    return moved
