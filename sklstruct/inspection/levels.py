"""How much of one resolution is said by another already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array
from torch import Tensor

from ..estimators.base import watched
from ..estimators.samples import as_array
from ..layers import Pyramid
from ..params import ODD, SEED, check, integer
from ..threads import one_blas_thread
from .blocks import Array, block_names
from .depth import labels_of
from .opened import Opened

RIDGES = 10.0 ** np.arange(-10, 6, 2)  # of the mean variance of predictors
PENALTIES = 10.0 ** np.arange(-3, 6)  # where every feature has unit variance
LARGEST = 0.1  # share of the details
FIRST, LAST = 0.01, 0.5  # of the sorted details, between which their decay is fitted
ROUNDING = np.finfo(np.float32).eps ** 2  # share of the energy below which nothing is there
GAUSSIAN = 2 * (norm.isf(LARGEST / 2) * norm.pdf(norm.isf(LARGEST / 2)) + LARGEST / 2)


class Level(NamedTuple):
    """One resolution, and what becomes of it in the next lower one.

    Parameters
    ----------
    name : str
    maps : ndarray, shape (n, channels, *places)
    whole, low : ndarray, shape (n, ...), or None
        What was split, and its low resolution on the same grid.
    details : ndarray, shape (n, n_details), or None
    """

    name: str
    maps: Array
    whole: Array | None = None
    low: Array | None = None
    details: Array | None = None


def redundancy(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    layers: Sequence[str] | None = None,
    patch: int = 3,
    cv: int = 5,
    random_state: Any = 0,
) -> pd.DataFrame:
    r"""Measure what the levels of a network, or the resolutions of samples, have in common.

    Five things are said of resolutions: that classes differ less at the lower ones, that one can
    be told from the other, that the lower one is a least-squares projection, that it has fewer
    numbers, and that details are sparse.  Each is a number here.

    *Redundancy* is the cross-validated :math:`R^2` of the least squares that predict one level at a
    place from a patch of the other level about it.  Places of all samples count as observations,
    so there may be more features than samples; folds keep the places of a sample together.
    Where extents differ, the values of a block of the finer level are those of one place.  A ridge
    is chosen on the other folds from a path that begins at :math:`10^{-10}` of the variance of
    the predictors, which leaves an exact copy at 1, and ends where everything is predicted by
    the mean, which leaves noise at 0.

    Parameters
    ----------
    estimator : fitted network estimator, or Pyramid
        Whose levels are compared: named layers, or the low resolutions of samples.  Or a pipeline
        or a search that ends in a network estimator.
    X : array-like, shape (n, ...)
        Samples; for a pyramid (n, channels, \*spatial).
    y : array-like, shape (n,), default=None
        Labels; without any there are no accuracies.
    layers : sequence of str, default=None
        Names of the layers in ``net_.module_``, in their order, from (n, channels, \*places) each;
        None takes the blocks of the network, which are the children of its ``stages``.
    patch : int, default=3
        Extent of the patches, odd.
    cv : int, default=5
        Number of folds.
    random_state : int, RandomState instance or None, default=0
        Decides which samples are in which fold.

    Returns
    -------
    table : DataFrame
        One row for each level, the finest one first: ``level``; ``n_places`` and ``n_points``,
        numbers of a sample; ``accuracy`` of a linear classifier, cross-validated, that sees all of
        them, with a ridge that it chooses by itself; ``predicts_next`` and ``predicted_by_next``,
        :math:`R^2` of the next level by this one and of this one by the next; ``kept``, share of
        the energy of this level in its projection on half the resolution; ``cosine`` of projection
        and residual, 0 but for rounding where it is a least-squares one; and of the details
        between this level and half its resolution, as means over the samples, ``decay``, the
        exponent a of :math:`|d|_{(k)} \sim k^{-a}` between the first hundredth and half of them,
        sorted, ``energy_10``, share of their energy in the largest tenth of them, and ``sparsity``,
        that share divided by the 0.44 that Gaussian noise has.  Layers are split by
        ``Pyramid()``; NaN is where there is no next level, or too little to be split.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is neither a network estimator nor a pyramid.
    ValueError
        If a parameter is out of range, there are fewer samples than folds, or the network has no
        such layers, or they have no channels.

    See Also
    --------
    RedundancyDisplay : A picture of it.
    sklstruct.layers.Pyramid : How samples are split.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct.inspection import redundancy
    >>> from sklstruct.layers import Pyramid
    >>> table = redundancy(Pyramid(levels=2), load_digits().images[:200, None])
    >>> table[["level", "n_points", "predicts_next", "predicted_by_next", "kept"]].round(2)
         level  n_points  predicts_next  predicted_by_next  kept
    0    input        64           0.99               0.72  0.81
    1  level 1        16           0.97               0.62  0.57
    2  level 2         4            NaN                NaN   NaN
    """
    check("patch", patch, ODD)
    check("random_state", random_state, SEED)
    if check("cv", cv, integer(2)) > len(X):
        raise ValueError(f"cv={cv} folds need as many samples, got {len(X)}.")
    if isinstance(estimator, Pyramid):
        levels = list(resolutions(estimator, X))
    else:
        levels = list(layers_of(Opened(estimator), X, block_names(estimator, layers)))
    labels = None if y is None else labels_of(X, y, "y")
    folds = np.empty(len(X), int)
    for number, (_, part) in enumerate(KFold(cv, shuffle=True, random_state=random_state).split(X)):
        folds[part] = number
    rows: list[dict[str, Any]] = []
    for level, after in zip(levels, [*levels[1:], None], strict=True):
        row: dict[str, Any] = {"level": level.name, "n_places": int(np.prod(level.maps.shape[2:]))}
        row |= {"n_points": int(np.prod(level.maps.shape[1:])), "accuracy": np.nan}
        if labels is not None:
            row["accuracy"] = linear_accuracy(level.maps, labels, cv, random_state)
        row |= {"predicts_next": np.nan, "predicted_by_next": np.nan}
        if after is not None:
            here, there = side_by_side(level.maps, after.maps)
            row["predicts_next"] = predictability(here, there, folds, patch)
            row["predicted_by_next"] = predictability(there, here, folds, patch)
        rows.append(row | split_numbers(level))
    return pd.DataFrame(rows)


# --- levels ---------------------------------------------------------------------------------


def resolutions(pyramid: Pyramid, X: Any) -> Iterator[Level]:
    """Yield the resolutions of samples, and how each is split."""
    X = check_array(as_array(X), dtype=np.float64, order="C", allow_nd=True, ensure_2d=False)
    with torch.no_grad():
        x = torch.tensor(X)
        low_resolutions, (_, *details) = pyramid.resolutions(x), pyramid(x)
        split = [pyramid.low_pass(x, level).numpy() for level in range(pyramid.levels + 1)]
    for level, bands in enumerate(reversed(details)):
        name, maps = "input" if level == 0 else f"level {level}", low_resolutions[level].numpy()
        yield Level(name, maps, split[level], split[level + 1], together(bands))
    yield Level(f"level {pyramid.levels}", low_resolutions[-1].numpy())


def layers_of(opened: Opened, X: Any, names: Sequence[str]) -> Iterator[Level]:
    """Yield what layers of a network give, each of which is split by itself."""
    samples, pyramid = opened.read(X), Pyramid()
    for name in names:
        with watched(opened.network, [name], opened.as_maps, "layers") as outputs:
            (maps,) = opened.run_parts(samples, outputs)
        if maps.ndim < 3:
            raise ValueError(
                f"layers must give (n, channels, *places), but {name!r} gives {maps.shape}."
            )
        if max(maps.shape[2:]) < 2:
            yield Level(name, maps)
            continue
        x = torch.from_numpy(maps)
        _, details = pyramid(x)
        yield Level(name, maps, maps, pyramid.low_pass(x).numpy(), together(details))


def together(bands: Sequence[Tensor]) -> Array:
    """Return the details of samples as rows."""
    return torch.cat([band.flatten(1) for band in bands], dim=1).numpy()


# --- numbers --------------------------------------------------------------------------------


@one_blas_thread()
def linear_accuracy(maps: Array, labels: NDArray[Any], cv: int, random_state: Any) -> float:
    """Return the cross-validated accuracy of a linear classifier."""
    folds = StratifiedKFold(cv, shuffle=True, random_state=random_state)
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(PENALTIES))
    return float(cross_val_score(model, maps.reshape(len(maps), -1), labels, cv=folds).mean())


def side_by_side(*maps: Array) -> list[Array]:
    """Return maps on the coarsest grid of all, the values of a block at each of its places.

    Returns
    -------
    maps : list of ndarray, shape (n, *places, n_values)
    """
    grid = np.min([one.shape[2:] for one in maps], axis=0)
    found = []
    for one in maps:
        blocks = [-(-extent // places) for extent, places in zip(one.shape[2:], grid, strict=True)]
        room = [
            (0, block * places - extent)
            for block, places, extent in zip(blocks, grid, one.shape[2:], strict=True)
        ]
        one = np.pad(one, [(0, 0), (0, 0), *room], mode="edge")
        shape = [size for pair in zip(grid, blocks, strict=True) for size in pair]
        one = one.reshape(*one.shape[:2], *shape)
        places, within = range(2, one.ndim, 2), range(3, one.ndim, 2)
        found.append(one.transpose(0, *places, 1, *within).reshape(len(one), *grid, -1))
    return found


def patches(maps: Array, patch: int) -> Array:
    """Return the values about each place, (n, *places, n_values), those at the border repeated."""
    axes = tuple(range(1, maps.ndim - 1))
    room = [(patch // 2, patch // 2) if axis in axes else (0, 0) for axis in range(maps.ndim)]
    padded = np.pad(maps, room, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (patch,) * len(axes), axis=axes)
    return windows.reshape(*maps.shape[:-1], -1)


@one_blas_thread()
def predictability(predictors: Array, targets: Array, folds: NDArray[Any], patch: int = 1) -> float:
    """Return the cross-validated R2 of targets by patches of predictors; nan if they do not vary.

    Parameters
    ----------
    predictors, targets : ndarray, shape (n, *places, n_values)
    folds : ndarray, shape (n,)
        Number of the fold of each sample.
    patch : int, default=1
    """
    values = [x - x.mean(tuple(range(x.ndim - 1))) for x in (predictors, targets)]
    n_predictors, sums = values[0].shape[-1] * patch ** (values[0].ndim - 2), []
    # From sums over folds alone: patches of all places may be large.
    for fold in np.unique(folds):
        here, there = (x[folds == fold] for x in values)
        rows = np.concatenate([patches(here, patch), there], axis=-1)
        rows = rows.reshape(-1, rows.shape[-1])
        sums.append((len(rows), rows.sum(0), rows.T @ rows))
    total, errors, spread = [sum(parts) for parts in zip(*sums, strict=True)], [], []
    for n, first, second in sums:
        n_others, mean = total[0] - n, (total[1] - first) / (total[0] - n)
        moments = total[2] - second - n_others * np.outer(mean, mean)
        # What the fold is about the mean of the others.
        off = second - np.outer(first, mean) - np.outer(mean, first) + n * np.outer(mean, mean)
        a, b = slice(n_predictors), slice(n_predictors, None)
        eigenvalues, axes = np.linalg.eigh(moments[a, a])
        eigenvalues = eigenvalues.clip(0)
        ridges = RIDGES * (eigenvalues.mean() or 1.0)
        common, common_off = axes.T @ moments[a, b], axes.T @ off[a, b]
        gram, variance = axes.T @ off[a, a] @ axes, np.trace(off[b, b])
        weights = [common / (eigenvalues + ridge)[:, np.newaxis] for ridge in ridges]
        errors.append([variance + np.sum(w * (gram @ w - 2 * common_off)) for w in weights])
        spread.append(variance)
    error = np.array(errors)
    chosen = (error.sum(0) - error).argmin(1)  # by the other folds
    left = error[np.arange(len(error)), chosen].sum()
    varies = sum(spread) > ROUNDING * np.sum(targets**2)
    return float(1 - left / sum(spread)) if varies else np.nan


def split_numbers(level: Level) -> dict[str, float]:
    """Return what is to be said of a level that is split, nan if it is not."""
    names = "kept", "cosine", "decay", "energy_10", "sparsity"
    if level.whole is None or level.low is None or level.details is None:
        return dict.fromkeys(names, np.nan)
    whole, low, rest = (
        one.reshape(len(one), -1) for one in (level.whole, level.low, level.whole - level.low)
    )
    there = np.sum(rest**2, axis=1) > ROUNDING * np.sum(whole**2, axis=1)
    low_rest = np.sum(low[there] * rest[there])
    lengths = np.sqrt(np.sum(low[there] ** 2) * np.sum(rest[there] ** 2))
    cosine = abs(low_rest) / (lengths or 1.0)
    sizes = np.sort(np.abs(level.details[there]), axis=1)[:, ::-1]
    n_largest = round(LARGEST * sizes.shape[1])
    shares = [np.sum(one[:n_largest] ** 2) / np.sum(one**2) for one in sizes if n_largest]
    kept = np.sum(low**2) / (np.sum(whole**2) or 1.0)
    share = mean_of(shares)
    values = kept, cosine, mean_of(map(decay_exponent, sizes)), share, share / GAUSSIAN
    return dict(zip(names, values, strict=True))


def mean_of(values: Iterable[float]) -> float:
    """Return the mean of the values that are numbers, nan if none is."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else np.nan


def decay_exponent(sizes: Array) -> float:
    """Return how fast sorted sizes fall with their number, nan if too few are above 0."""
    numbers = np.arange(1, 1 + len(sizes))
    fitted = (numbers >= FIRST * len(sizes)) & (numbers <= LAST * len(sizes)) & (sizes > 0)
    if fitted.sum() < 2:
        return np.nan
    return -float(np.polyfit(np.log(numbers[fitted]), np.log(sizes[fitted]), 1)[0])
