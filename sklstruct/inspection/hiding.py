"""Whether the places that a map points to matter: what happens when they are hidden in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import gaussian_filter
from sklearn.utils import check_random_state
from torch import Tensor

from ..estimators.base import NetworkEstimator
from ..params import SEED, check, integer, one_of
from ..studies.data import taken
from .means import Mean, mean_over_samples
from .methods import map_method
from .occlusion import VALUES_AT_ONCE, decisions
from .opened import Opened
from .steps import listed, mask_of, parts_of, reader_of, target_column, unfolded

Array = NDArray[Any]

Decision = Callable[[Array], Array]

KINDS = {"deletion": -1, "insertion": 1}  # what a larger area is worth
FILL = one_of("mean", "blur")
BLUR = 1 / 8  # standard deviation as a share of an axis


@dataclass(frozen=True)
class DeletionCurves:
    r"""What a decision becomes when places are hidden, or shown, in the order of a map.

    Parameters
    ----------
    kind : {"deletion", "insertion"}
    table : DataFrame
        One row for each ``order`` ("map", "random" and "reverse") and ``share`` of the places
        that are hidden, or shown: ``score``, the mean of f over samples, with ``low`` and
        ``high``, its interval (95 %).
    areas : DataFrame
        One row for each ``sample``: the areas under its curves, ``map``, ``random`` (the mean
        over orders) and ``reverse``, all in units of f, as shares run from 0 to 1; and ``gain``,
        by how much the map is better than random orders.

    See Also
    --------
    deletion : Measures it.
    DeletionDisplay : A picture of it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import deletion
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(8, 8), max_epochs=5, random_state=0).fit(X[:300], y[:300])
    >>> curves = deletion(model, X[300:320], "input_x_gradient")
    >>> bool(curves.gain.low > 0)
    True
    """

    kind: str
    table: pd.DataFrame
    areas: pd.DataFrame

    @property
    def gain(self) -> Mean:
        """Mean gain over samples, and its interval (95 %)."""
        return mean_over_samples(self.areas["gain"].to_numpy())


def deletion(
    estimator: Any,
    X: Any,
    maps: ArrayLike | str | Callable[..., Any],
    target: Any = None,
    *,
    kind: str = "deletion",
    fill: str | float | ArrayLike = "mean",
    n_steps: int = 20,
    n_random: int = 10,
    mask: ArrayLike | None = None,
    random_state: Any = 0,
) -> DeletionCurves:
    r"""Hide places in the order of a map, or show them, and measure what the decision becomes.

    .. math::
        A = \int_0^1 f(x_s) \, ds

    where :math:`x_s` is the sample with the share s of its places hidden, those of the largest
    values of the map first (deletion); or all hidden but these (insertion).  f is what maps are
    about: the difference of the logits of two classes, the logit of one of more, the value of a
    regressor in the units of y but for their mean; of estimators that are no networks as of
    ``occlusion_map``.  Where a map says what matters, A is small for deletion and large for
    insertion.

    A is compared with that of random orders: those of the same map, moved around by random
    distances, what leaves the sample coming in again on the other side.  These are as coarse as
    the map is.  An order of random pixels would be another rival: it destroys all edges at once,
    while a map of large blocks leaves them.  Places where maps are equal come in random order.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one; or any other classifier
        or regressor of arrays, or such a one behind ``NiftiVolumes``.
    X : array-like, shape (n, ...)
        Samples; scans are read one after another.
    maps : array-like, shape (n, \*spatial), or str or callable
        Places of the sample as the network reads it, all its channels together; where there is
        no network, of shape (n, ...) as X.  Or a method: a name in ``MAP_METHODS`` or a callable
        that maps (estimator, X, target) to such maps.
    target : label or int, default=None
        What maps are about, as of ``gradient_map``; it stays that of the whole sample.
    kind : {"deletion", "insertion"}, default="deletion"
    fill : "mean", "blur", float or array-like, default="mean"
        What is put in place of a place: the mean of the sample, of each channel; the sample
        blurred by an eighth of every axis; or values of the sample's own, which may be given for
        each channel and place.
    n_steps : int, default=20
        In how many steps all places are hidden.
    n_random : int, default=10
        Number of random orders of a sample.
    mask : array-like of bool, shape (\*spatial), default=None
        Which places count, a head say; the others stay as they are.  None is the mask of scans if
        they have one, else all places.
    random_state : int, RandomState instance or None, default=0

    Returns
    -------
    curves : DeletionCurves
        With ``table``, ``areas`` and ``gain``, which is positive where the map is better than
        random orders.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If a parameter is none of the above, or maps do not have the places of the samples.

    See Also
    --------
    DeletionDisplay : A picture of it.
    sanity_check : Whether a map depends on what the network has learned.

    References
    ----------
    W. Samek, A. Binder, G. Montavon, S. Lapuschkin and K.-R. Mueller. Evaluating the
    visualization of what a deep neural network has learned. IEEE Transactions on Neural Networks
    and Learning Systems, 2017.

    V. Petsiuk, A. Das and K. Saenko. RISE: randomized input sampling for explanation of black-box
    models. BMVC, 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklstruct.inspection import deletion
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> contributions = (X - X.mean(axis=1, keepdims=True)) * model.coef_
    >>> curves = deletion(model, X, contributions)
    >>> bool(curves.gain.low > 0)
    True
    >>> bool((curves.areas["map"] < curves.areas["reverse"]).all())
    True
    """
    check("kind", kind, one_of(*KINDS))
    check("n_steps", n_steps, integer(1))
    check("n_random", n_random, integer(1))
    rng = check_random_state(check("random_state", random_state, SEED))
    read, decide, n_axes = decision_of(estimator, target, getattr(X, "columns", None))
    samples, X = read(X), listed(estimator, X)
    n, places = len(samples), samples.shape[1 + n_axes :]
    counts = mask_of(estimator, mask, places)
    explain: Any = map_method(maps) if callable(maps) or isinstance(maps, str) else None
    given: Any = None if explain else with_places(maps, (n, *places))
    ends = np.round(np.linspace(0, counts.sum(), n_steps + 1))
    seeds, scores = rng.randint(2**31, size=n), []
    for numbers in np.array_split(np.arange(n), -(-n * counts.size // VALUES_AT_ONCE)):
        if explain is None:
            values = given[numbers]
        else:
            made = explain(estimator, taken(X, numbers), target)
            values = with_places(made, (len(numbers), *places))
        for number, value in zip(numbers, values, strict=True):
            sample = np.asarray(samples[number : number + 1])[0]
            sample = sample.astype(np.result_type(sample, np.float32), copy=False)
            first, last = sample, filling(sample, fill, n_axes)
            if kind == "insertion":
                first, last = np.where(counts, last, sample), sample
            orders = orders_of(value, counts, n_random, np.random.default_rng(seeds[number]))
            scores.append(scores_of(decide(sample), first, last, orders, ends))
    return summarised(kind, ends / ends[-1], np.stack(scores))


def with_places(maps: Any, shape: tuple[int, ...]) -> Array:
    """Return maps as an array, or raise ValueError if they have not the places of the samples."""
    maps = np.asarray(maps)
    if maps.shape != shape:
        raise ValueError(f"maps must have the places of the samples, {shape}, got {maps.shape}.")
    return maps


def decision_of(
    estimator: Any, target: Any, columns: Any
) -> tuple[Any, Callable[[Array], Decision], int]:
    """Return what reads samples, what decides about one of them, and how many axes channels have.

    What decides about a sample maps changed copies of it to f, (n,); rows have named columns
    unless these are None.
    """
    if isinstance(unfolded(estimator)[-1], NetworkEstimator):
        opened = Opened(estimator)
        weigh = opened.weigh(target)

        def by_network(sample: Array) -> Decision:
            weights = weigh(torch.from_numpy(opened.run(sample[np.newaxis], opened.outputs)))

            def f(x: Tensor) -> Tensor:
                outputs = opened.outputs(x)
                return (outputs * weights.to(outputs)).sum(1)

            return lambda copies: opened.run(copies, f)

        return opened.read, by_network, 1
    read: Callable[[Any], Any] = np.asarray
    step = estimator
    if reader_of(estimator) is not None:
        volumes, step = parts_of(estimator)
        read, columns = volumes.lazy, None

    def by_columns(sample: Array) -> Decision:
        whole = decisions(step, sample[np.newaxis], columns)[0]
        column = target_column(step, target, len(whole))
        chosen = int(whole.argmax()) if column is None else column
        return lambda copies: decisions(step, copies, columns)[:, chosen]

    return read, by_columns, 0


def filling(sample: Array, fill: Any, n_axes: int) -> Array:
    """Return what is put in the place of a sample, of which the first axes have channels."""
    in_space = tuple(range(n_axes, sample.ndim))
    if isinstance(fill, str):
        if check("fill", fill, FILL) == "mean":
            return np.broadcast_to(sample.mean(axis=in_space, keepdims=True), sample.shape)
        return gaussian_filter(
            sample, [BLUR * sample.shape[axis] for axis in in_space], axes=in_space
        )
    given = np.asarray(fill)
    try:
        return np.broadcast_to(given, sample.shape).astype(sample.dtype)
    except ValueError:
        raise ValueError(
            f"fill must be 'mean', 'blur', a number, or an array that a sample of the shape "
            f"{sample.shape} can have, got {given.shape}."
        ) from None


def orders_of(values: Array, counts: Array, n_random: int, rng: np.random.Generator) -> list[Array]:
    """Return the numbers that places have in the order of a map, in reverse, and at random.

    Places that do not count have numbers larger than all.
    """
    moves = rng.integers(values.shape, size=(n_random, values.ndim))
    axes = tuple(range(values.ndim))
    moved = [np.roll(values, move, axes) for move in moves.tolist()]
    orders = []
    for by in (values, -values, *moved):
        numbers = np.full(values.shape, values.size)
        order = np.lexsort((rng.random(counts.sum()), -by[counts]))
        numbers[counts] = np.argsort(order)
        orders.append(numbers)
    return orders


def scores_of(
    decision: Decision, first: Array, last: Array, orders: list[Array], ends: Array
) -> Array:
    """Return decisions when places turn from first to last in some orders, (n_orders, steps)."""
    scores: list[Array] = []
    at_once = max(1, VALUES_AT_ONCE // (first.size * len(ends)))
    for start in range(0, len(orders), at_once):
        part = np.stack(orders[start : start + at_once])
        turned = part[:, np.newaxis] < ends.reshape(-1, *(1,) * (part.ndim - 1))
        # One axis for the copies, and those of channels before the places.
        turned = turned.reshape(-1, *(1,) * (first.ndim - part.ndim + 1), *part.shape[1:])
        scores.extend(decision(np.where(turned, last, first)).reshape(len(part), len(ends)))
    return np.stack(scores)


def summarised(kind: str, shares: Array, scores: Array) -> DeletionCurves:
    """Return curves and areas of scores, (n, n_orders, steps)."""
    of_map, of_reverse, of_random = scores[:, 0], scores[:, 1], scores[:, 2:].mean(axis=1)
    curves = {"map": of_map, "random": of_random, "reverse": of_reverse}
    rows = [
        (order, share, *mean_over_samples(column))
        for order, of_order in curves.items()
        for share, column in zip(shares, of_order.T, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["order", "share", "score", "low", "high"])
    areas = pd.DataFrame({name: trapezoid(each, shares) for name, each in curves.items()})
    gain = KINDS[kind] * (areas["map"] - areas["random"])
    areas.insert(0, "sample", np.arange(len(areas)))
    return DeletionCurves(kind, table, areas.assign(gain=gain))
