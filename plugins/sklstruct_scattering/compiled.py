"""The compiled kernel: scattering of single-precision signals and images on a CPU.

It computes 16 signals side by side in the lanes of a vector, with its own Fourier transform, so
that everything between the image and the coefficients stays in the cache.  Where it does not
apply, or was not built, torch computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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

from .averages import Average, averages
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
    together = 1 if plan.large else LANES  # threads share no vector
    threads = min(torch.get_num_threads(), ceil(len(signals) / together))
    if threads <= 1:
        plan.run(signals, out)
    else:
        step = ceil(len(signals) / together / threads) * together
        parts = [slice(start, start + step) for start in range(0, len(signals), step)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda part: plan.run(signals[part], out[part]), parts))
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
        Sources of the padded rows and columns, averages by level and their weights, paths and
        filters.
    kernel : str
        One of ``KERNELS``.
    large : bool
        Whether one signal is computed at a time: several of them would not stay in the cache.
    """

    out_shape: tuple[int, ...]
    heights: tuple[int, ...]
    arrays: tuple[NDArray[Any], ...]
    kernel: str
    large: bool

    def run(self, signals: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Fill ``out`` with the coefficients of the signals; other threads may go on."""
        if len(signals):
            how = self.kernel, self.large, len(signals)
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
        large,
    )


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
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return level, first child, number of children and place of the filter; and the filters.

    Those for large signals have columns for rows, as spectra have there.
    """
    table = np.zeros((len(paths), 4), np.int64)
    filters: list[NDArray[np.float32]] = [np.zeros(1, np.float32)]
    places: dict[int, int] = {}  # of what many parents share
    for number, path in enumerate(paths):
        table[number, 0] = path.level
        if path.parent < 0:
            continue
        if table[path.parent, 2] == 0:
            table[path.parent, 1] = number  # siblings follow one another
        table[path.parent, 2] += 1
        spectrum = path.wavelets[-1].levels[paths[path.parent].level]
        if id(spectrum) not in places:
            places[id(spectrum)] = sum(map(len, filters))
            # with the factor of the inverse transform, which the kernel leaves out
            values = (spectrum / spectrum.size).astype(np.float32)
            filters.append(values.ravel(order="F" if large else "C"))
        table[number, 3] = places[id(spectrum)]
    # The kernel reads whole vectors, the last one beyond the filters.
    return table, np.concatenate([*filters, np.zeros(LANES, np.float32)])
