"""The compiled kernel: scattering of single-precision signals and images on a CPU.

It computes 16 signals side by side in the lanes of a vector, with its own Fourier transform, so
that everything between the image and the coefficients stays in the cache.  Where it does not
apply, or was not built, torch computes the same.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

try:
    from . import _lanes
except ImportError:  # no compiler where the package was built
    AVAILABLE = False
else:
    AVAILABLE = True

if TYPE_CHECKING:
    from .scattering import Scattering

LANES = 16
NEGLIGIBLE = 1e-9  # weight of an average, to the largest
LARGEST_PRIME = 31  # prime factor of an extent


def serves(x: Tensor) -> bool:
    """Return whether the kernel computes such signals."""
    tracked = x.requires_grad and torch.is_grad_enabled()
    tracked = tracked or forward_ad.unpack_dual(x).tangent is not None
    return x.device.type == "cpu" and x.dtype == torch.float32 and not tracked


def scatter(plan: Plan, planes: Tensor) -> Tensor:
    """Return the coefficients, shape (n, n_paths, *out_shape), on the threads that torch has."""
    signals = planes.detach().contiguous().numpy()
    out = np.empty((len(signals), *plan.out_shape), np.float32)
    threads = min(torch.get_num_threads(), ceil(len(signals) / LANES))
    if threads <= 1:
        plan.run(signals, out)
    else:
        step = ceil(len(signals) / LANES / threads) * LANES
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
        Extents by level, sources of the padded rows and columns, averaging matrices by level,
        paths and filters.
    """

    out_shape: tuple[int, ...]
    heights: tuple[int, ...]
    arrays: tuple[NDArray[Any], ...]

    def run(self, signals: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Fill ``out`` with the coefficients of the signals; other threads may go on."""
        if len(signals):
            _lanes.scatter(len(signals), *self.heights, signals, out, *self.arrays)


def make_plan(module: Scattering) -> Plan | None:
    """Return the plan of a transform, or None where the kernel does not apply."""
    if not AVAILABLE or not module.average or len(module.grid.axes) > 2 or not _smooth(module):
        return None
    lead = (1,) * (2 - len(module.grid.axes))
    levels = range(1 + max(path.level for path in module.paths))
    extents = [[*lead, *(axis.padded >> level for axis in module.grid.axes)] for level in levels]
    sources = [np.zeros(1, int)] * len(lead) + [a.source(module.padding) for a in module.grid.axes]
    averages = [part for level in levels for part in _averages(module, level)]
    paths, filters = _paths(module)
    return Plan(
        (len(module.paths), *module.out_shape),
        (*lead, *module.shape, *lead, *module.out_shape),
        (
            np.array(extents, np.int64),
            *(np.ascontiguousarray(source, np.int64) for source in sources),
            np.concatenate(averages).astype(np.float32),
            paths,
            filters,
        ),
    )


def _smooth(module: Scattering) -> bool:
    """Return whether the padded extents have small prime factors only."""
    for extent in module.padded_shape:
        for factor in range(2, LARGEST_PRIME + 1):
            while extent % factor == 0:
                extent //= factor
        if extent > 1:
            return False
    return True


def _averages(module: Scattering, level: int) -> list[NDArray[np.float64]]:
    """Return the flat matrices that average along rows and along columns, and sample."""
    phi = module.fixed.bank.phi[level]
    profiles = [np.ones(1)] * (2 - phi.ndim) + _profiles(phi.astype(float))
    kept = (slice(0, 1),) * (2 - phi.ndim) + module.grid.kept(module.coarsest, average=True)
    step = 2 ** (module.coarsest - level)
    matrices = []
    for profile, part in zip(profiles, kept, strict=True):
        n = len(profile)
        response = np.fft.ifft(profile).real
        places = np.arange(part.start, part.stop) * step
        response[abs(response) < NEGLIGIBLE * abs(response).max()] = 0  # the kernel skips zeros
        matrices.append(response[(places[:, None] - np.arange(n)) % n].ravel())
    return matrices


def _profiles(phi: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the factors of a low-pass filter, which is a product up to single precision."""
    if phi.ndim == 1:
        return [phi]
    return [phi[:, 0] / phi[0, 0], phi[0]]


def _paths(module: Scattering) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return level, first child, number of children and place of the filter; and the filters."""
    table = np.zeros((len(module.paths), 4), np.int64)
    places: dict[int, int] = {}
    filters: list[NDArray[np.float32]] = [np.zeros(1, np.float32)]
    size = 1
    for number, path in enumerate(module.paths):
        table[number, 0] = path.level
        if path.parent < 0:
            continue
        if table[path.parent, 2] == 0:
            table[path.parent, 1] = number
        table[path.parent, 2] += 1
        spectrum = path.wavelets[-1].levels[module.paths[path.parent].level]
        if id(spectrum) not in places:
            places[id(spectrum)] = size
            filters.append((spectrum / spectrum.size).astype(np.float32).ravel())
            size += spectrum.size
        table[number, 3] = places[id(spectrum)]
    return table, np.concatenate(filters)
