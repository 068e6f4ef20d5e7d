"""The compiled kernel: scattering of single-precision signals and images on a CPU.

It computes 16 signals side by side in the lanes of a vector, with its own Fourier transform, so
that everything between the image and the coefficients stays in the cache.  Where it does not
apply, or was not built, torch computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

try:
    from . import _lanes
except ImportError:  # no compiler where the package was built
    KERNELS: list[str] = []
else:
    KERNELS = _lanes.available()

from .averages import NEGLIGIBLE, Average, averages
from .bank import Bank
from .grid import Grid
from .paths import Path

LANES = 16
LARGE = 120**2  # values of a padded image
LARGEST_PRIME = 31  # prime factor of an extent


def serves(x: Tensor) -> bool:
    """Return whether the kernel computes such signals: nothing follows what is done to them."""
    tracked = x.requires_grad and torch.is_grad_enabled()
    # What is traced or compiled must be operations of torch.
    tracked = tracked or torch.jit.is_tracing() or torch.compiler.is_compiling()
    plain = x.device.type == "cpu" and x.dtype == torch.float32 and not tracked
    return plain and forward_ad.unpack_dual(x).tangent is None


def scatter(plan: Plan, planes: Tensor) -> Tensor | None:
    """Return the coefficients (n, n_paths, *out_shape), on the threads that torch has.

    None where the signals are not there to be read, as under ``torch.func.vmap``.
    """
    try:
        signals = planes.detach().resolve_neg().contiguous().numpy()
    except RuntimeError:
        return None
    out = np.empty((len(signals), *plan.out_shape), np.float32)
    bounds = plan.bounds(len(signals), torch.get_num_threads())
    if len(bounds) <= 2:
        plan.run(signals, out, *bounds)
    else:
        with ThreadPoolExecutor(len(bounds) - 1) as pool:
            list(pool.map(plan.run, repeat(signals), repeat(out), bounds, bounds[1:]))
    return torch.from_numpy(out)


@dataclass(frozen=True, eq=False)
class Plan:
    """What the kernel needs to know of a transform, as flat arrays.

    Parameters
    ----------
    out_shape : tuple of int
        (n_paths, *extents of the averages).
    heights : tuple of int
        Extents of the signals and of the averages, with rows of 1 on a line.
    arrays : tuple of ndarray
        Sources of the padded rows and columns, averages by level and their weights, paths,
        filters, and what ``large_terms`` says of these.
    kernel : str
        One of ``KERNELS``.
    parts : ndarray
        Of large signals, which are computed one at a time as several would not stay in the cache:
        the work up to each path of first order and up to the last of them, as a share of all.
        Empty for others.
    """

    out_shape: tuple[int, ...]
    heights: tuple[int, ...]
    arrays: tuple[NDArray[Any], ...]
    kernel: str
    parts: NDArray[np.float64]

    def bounds(self, n: int, threads: int) -> list[int]:
        """Return where the work of each thread begins, and where the last one ends.

        It is counted in signals, which share vectors, or in parts of large signals.
        """
        if not len(self.parts):
            each = ceil(ceil(n / LANES) / threads) * LANES
            return [*range(0, n, each), n] if n else [0, 0]
        done = (np.arange(n)[:, np.newaxis] + self.parts[:-1]).ravel()
        begins = np.searchsorted(done, np.arange(threads) * n / threads - 1e-6)
        return [*np.unique(begins).tolist(), len(done)]

    def run(
        self, signals: NDArray[np.float32], out: NDArray[np.float32], begin: int, end: int
    ) -> None:
        """Fill ``out`` with coefficients within some bounds; other threads may go on."""
        how = self.kernel, len(self.parts) > 0, begin, end
        _lanes.scatter(*how, *self.heights, signals, out, *self.arrays)


def make_plan(grid: Grid, bank: Bank, paths: Sequence[Path]) -> Plan | None:
    """Return the plan of a transform with averages, or None where the kernel does not apply."""
    if not KERNELS or len(grid.axes) > 2 or not all(map(is_smooth, grid.padded_shape)):
        return None
    lead = (1,) * (2 - len(grid.axes))  # the kernel takes a line for an image of one row
    large = len(grid.axes) == 2 and prod(grid.padded_shape) > LARGE
    shape, out_shape = (axis.extent for axis in grid.axes), grid.extents(bank.coarsest, True)
    sources = [np.zeros(1, int)] * len(lead) + [axis.source(grid.padding) for axis in grid.axes]
    return Plan(
        (len(paths), *out_shape),
        (*lead, *shape, *lead, *out_shape),
        (
            *(np.ascontiguousarray(source, np.int64) for source in sources),
            *all_averages(grid, bank, 1 + max(path.level for path in paths)),
            *all_filters(paths, large),
        ),
        KERNELS[0],
        shares_of_work(paths) if large else np.empty(0),
    )


def shares_of_work(paths: Sequence[Path]) -> NDArray[np.float64]:
    """Return the work up to each path of first order and up to the last, as a share of all."""
    parents = {path.parent for path in paths}
    costs = [(1 + (number in parents)) * 4.0**-path.level for number, path in enumerate(paths)]
    work = np.bincount([path.numbers[0] for path in paths[1:]], costs[1:]) if paths[1:] else [1]
    return np.cumsum([0, *work]) / sum(work)


def is_smooth(extent: int) -> bool:
    """Whether an extent has small prime factors only, for which the kernel has a transform."""
    for factor in range(2, LARGEST_PRIME + 1):
        while extent % factor == 0:
            extent //= factor
    return extent == 1


def all_averages(
    grid: Grid, bank: Bank, n_levels: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the averages of every level, along rows and then along columns, and all weights.

    An average is told by its extent, the place of its first weight for the first sample that is
    kept, the places from sample to sample, the number of weights, and where these begin.
    """
    lead = [Average(1, 0, 1, 1, np.ones(1))] * (2 - len(grid.axes))
    found = [each for level in range(n_levels) for each in lead + averages(bank, grid, level)]
    begins = np.cumsum([0, *(len(each.weights) for each in found)])
    table = [
        (each.extent, each.start, each.step, len(each.weights), begin)
        for each, begin in zip(found, begins[:-1], strict=True)
    ]
    weights = np.concatenate([each.weights for each in found])
    return np.array(table, np.int64), weights.astype(np.float32)


def all_filters(
    paths: Sequence[Path], large: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int32]]:
    """Return level, first child, number of children, filter and terms of paths; filters; terms.

    Those for large signals are without what is negligible.
    """
    table = np.zeros((len(paths), 5), np.int64)
    filters: list[NDArray[np.float32]] = [np.zeros(1, np.float32)]
    terms: list[NDArray[np.int32]] = [np.zeros(1, np.int32)]
    places: dict[tuple[int, int], tuple[int, int]] = {}  # of what many parents share
    for number, path in enumerate(paths):
        table[number, 0] = path.level
        if path.parent < 0:
            continue
        if table[path.parent, 2] == 0:
            table[path.parent, 1] = number  # siblings follow one another
        table[path.parent, 2] += 1
        fine = paths[path.parent].level
        spectrum = path.wavelets[-1].levels[fine]
        key = id(spectrum), path.level - fine
        if key not in places:
            places[key] = sum(map(len, filters)), sum(map(len, terms))
            # with the factor of the inverse transform, which the kernel leaves out
            values = (spectrum / spectrum.size).astype(np.float32)
            if large:
                values, where = large_terms(values, 2 ** (path.level - fine))
                terms.append(where)
            filters.append(values.ravel())
        table[number, 3:] = places[key]
    return table, np.concatenate(filters), np.concatenate(terms)


def large_terms(
    spectrum: NDArray[np.float32], step: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the terms of a filtered spectrum, LANES neighbours down at a time.

    The spectrum at every ``step``-th sample is a sum of aliases; terms whose weights single
    precision does not see beside the largest are left out.

    Returns
    -------
    weights : ndarray, shape (n_terms, LANES)
        Column by column, and down each.
    where : ndarray
        How many of them there are for each LANES samples of the result, shape (columns, rows /
        LANES), rounded up; and where each begins in a spectrum that has columns of whole LANES.
    """
    rows, columns = (extent // step for extent in spectrum.shape)
    aliases = spectrum.reshape(step, rows, step, columns).transpose(3, 1, 2, 0)
    aliases = np.pad(aliases, [(0, 0), (0, -rows % LANES), (0, 0), (0, 0)])
    aliases = aliases.reshape(columns, -1, LANES, step, step).transpose(0, 1, 3, 4, 2)
    seen = abs(aliases).max(axis=-1) > NEGLIGIBLE * abs(spectrum).max()
    column, block, across, down = np.nonzero(seen)
    long = ceil(len(spectrum) / LANES) * LANES
    begins = (column + across * columns) * long + block * LANES + down * rows
    return aliases[seen], np.concatenate([seen.sum(axis=(2, 3)).ravel(), begins]).astype(np.int32)
