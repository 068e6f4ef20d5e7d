"""The tree of scattering paths as data, and the grid that the signals live on.

A path is a sequence of wavelets of growing scale: the signal is convolved with the first, the
modulus of that with the second, and so on; at last it is averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bank import Bank, Wavelet

MOST_PATHS = 1 << 16
PADDINGS = ("reflect", "symmetric", "periodic", "zero")


@dataclass(frozen=True)
class Path:
    """One scattering path.

    Parameters
    ----------
    wavelets : tuple of Wavelet
        Those that are applied, in order; none for the average of the signal itself.
    numbers : tuple of int
        Their numbers in the bank of their order.
    parent : int
        Number of the path without the last wavelet, -1 for the empty path.
    level : int
        The modulus is kept at every 2^level-th sample.
    """

    wavelets: tuple[Wavelet, ...] = ()
    numbers: tuple[int, ...] = ()
    parent: int = -1
    level: int = 0

    @property
    def order(self) -> int:
        """Number of wavelets."""
        return len(self.wavelets)

    @property
    def j(self) -> int:
        """Scale of the last wavelet, -1 for the empty path."""
        return self.wavelets[-1].j if self.wavelets else -1


def scattering_paths(bank: Bank, max_order: int, average: bool = True) -> tuple[Path, ...]:
    """Return the paths of growing scale up to an order: by order, then by their wavelets."""
    paths, start = [Path()], 0
    for order in range(1, max_order + 1):
        parents = range(start, len(paths))
        start = len(paths)
        for parent in parents:
            check_number(len(paths))
            before = paths[parent]
            for number, wavelet in enumerate(bank.wavelets(order)):
                if wavelet.j > before.j:  # else the modulus holds next to nothing
                    # The average is at level ``coarsest``, and cannot be taken of less.
                    level = min(wavelet.j, bank.coarsest) if average else wavelet.j
                    wavelets, numbers = (*before.wavelets, wavelet), (*before.numbers, number)
                    paths.append(Path(wavelets, numbers, parent, level))
    check_number(len(paths))
    return tuple(paths)


def check_number(n_paths: int) -> None:
    """Raise ValueError for more paths than can be looked at one by one."""
    if n_paths > MOST_PATHS:
        raise ValueError(
            f"there must be at most {MOST_PATHS} scattering paths, got {n_paths} or more: lower J, "
            "L, Q or max_order."
        )


@dataclass(frozen=True)
class Branch:
    """Sibling paths of one scale, from all parents of another: they are computed together.

    Parameters
    ----------
    members : tuple of int
        Numbers of the paths: all children of the first parent, then those of the next.
    order : int
        Number of wavelets of these paths.
    level, parent_level : int
        Levels of these paths and of their parents.
    numbers : tuple of int
        Numbers of the last wavelets in the bank of this order, the same for all parents.
    children : tuple of Branch
        The branches of the next order.
    """

    members: tuple[int, ...]
    order: int
    level: int
    parent_level: int
    numbers: tuple[int, ...]
    children: tuple[Branch, ...]


def branches(paths: Sequence[Path], parents: tuple[int, ...] = (0,)) -> tuple[Branch, ...]:
    """Return the branches that start at paths of one scale and order."""
    children: dict[int, list[int]] = {}
    of_interest = set(parents)
    for number, path in sorted(enumerate(paths), key=lambda pair: pair[1].parent):
        if path.parent in of_interest:
            children.setdefault(path.j, []).append(number)
    return tuple(
        Branch(
            members=tuple(members),
            order=paths[members[0]].order,
            level=paths[members[0]].level,
            parent_level=paths[parents[0]].level,
            numbers=tuple(paths[n].numbers[-1] for n in members[: len(members) // len(parents)]),
            children=branches(paths, tuple(members)),
        )
        for members in children.values()
    )


@dataclass(frozen=True)
class Axis:
    """One axis of the grid: how a signal is padded, and what of the result belongs to it.

    Parameters
    ----------
    extent : int
        Samples of the signal.
    before, padded : int
        Samples in front of the signal, and in all with those behind it.
    """

    extent: int
    before: int
    padded: int

    def source(self, padding: str) -> NDArray[np.intp]:
        """Return where each padded sample comes from, -1 for a zero."""
        places = np.arange(self.padded) - self.before
        n = self.extent
        if padding == "periodic":
            return places % n
        if padding == "zero":
            return np.where((places >= 0) & (places < n), places, -1)
        if padding == "symmetric":
            places = places % (2 * n)  # the border twice, then back
            return np.minimum(places, 2 * n - 1 - places)
        places = places % max(2 * n - 2, 1)  # the border once; of one sample there is no other
        return np.minimum(places, 2 * n - 2 - places)

    def kept(self, level: int, trim: bool) -> slice:
        """Return the samples at a level that belong to the signal.

        With ``trim`` it is all but the first and the last, where padding was chosen for it.
        """
        if trim:
            return slice(1, (self.padded >> level) - 1)
        # Sampled level by level, as the wavelets do, every second of what is left is kept.
        start, stop = self.before, self.before + self.extent
        for _ in range(level):
            start, stop = (start + 1) // 2, (stop + 1) // 2
        return slice(start, stop)
