"""The compiled way to filter and mix: single precision, on a CPU.

It computes the responses of a few rows at a time, channels side by side in the lanes of a vector,
and mixes them while they are in the cache.  Where it does not apply, or was not built, torch
computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

try:
    from . import _fused
except ImportError:  # no compiler where the package was built
    KERNELS: list[str] = []
else:
    KERNELS = _fused.available()

Profile: TypeAlias = tuple[float, ...]

AXES = 3  # the kernel takes lines and images for volumes of one plane, or of one row
MOST_TAPS = 128  # of a profile


@dataclass(frozen=True, eq=False)
class Plan:
    """What the kernel needs to know of a filter bank.

    Parameters
    ----------
    atoms, leaves : Tensor of int, shape (n_atoms,)
        The atom of each leaf of the tree of profiles, and the leaf of each atom.
    numbers : list of int
        Taps, stride, padding and number of nodes of each axis; then the parents of all nodes.
    profiles : Tensor, shape (n_values,)
        Of all nodes, one after another.
    """

    atoms: Tensor
    leaves: Tensor
    numbers: list[int]
    profiles: Tensor

    def mix(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Return the mixed responses of signals x, see ``SeparableFilter.mix``."""
        return OPS.mix(x, self._mixing(coefficients), self.numbers, self.profiles)

    def unmix(self, coefficients: Tensor, y: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Return the gradient for x, see ``SeparableFilter.unmix``."""
        return OPS.unmix(self._mixing(coefficients), y, spatial, self.numbers, self.profiles)

    def correlate(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the gradient for the coefficients, see ``SeparableFilter.correlate``."""
        mixing = OPS.correlate(y, x, len(self.atoms), self.numbers, self.profiles)
        return mixing[self.leaves].permute(2, 1, 0)

    def _mixing(self, coefficients: Tensor) -> Tensor:
        """Return the coefficients as (leaves, channels, out)."""
        return coefficients.permute(2, 1, 0).contiguous()[self.atoms]


def mix(x: Tensor, mixing: Tensor, numbers: list[int], profiles: Tensor) -> Tensor:
    """Map (n, channels, *spatial) to (n, out, *spatial_out)."""
    y = new_mixed(x, mixing, numbers, profiles)
    _fused.convolve(
        *how(mixing.shape, numbers, x, profiles),
        channels_last(x),
        mixing.contiguous().numpy(),
        channels_last(y),
    )
    return y


def new_mixed(x: Tensor, mixing: Tensor, numbers: list[int], profiles: Tensor) -> Tensor:
    """Return memory for the mixed responses."""
    out = []
    for axis, extent in enumerate(x.shape[2:], start=AXES + 2 - x.ndim):
        taps, stride, zeros, _ = numbers[4 * axis : 4 * axis + 4]
        out.append((extent + 2 * zeros - taps) // stride + 1)
    return x.new_empty((x.shape[0], *out, mixing.shape[2])).movedim(-1, 1)


def unmix(
    mixing: Tensor, y: Tensor, spatial: list[int], numbers: list[int], profiles: Tensor
) -> Tensor:
    """Return the gradient for x, given that for y."""
    x = new_signals(mixing, y, spatial, numbers, profiles)
    _fused.differentiate(
        *how(mixing.shape, numbers, x, profiles),
        None,
        mixing.contiguous().numpy(),
        channels_last(y),
        channels_last(x),
        None,
    )
    return x


def new_signals(
    mixing: Tensor, y: Tensor, spatial: list[int], numbers: list[int], profiles: Tensor
) -> Tensor:
    """Return memory for signals."""
    return y.new_empty((y.shape[0], *spatial, mixing.shape[1])).movedim(-1, 1)


def correlate(y: Tensor, x: Tensor, n_leaves: int, numbers: list[int], profiles: Tensor) -> Tensor:
    """Return the gradient for the mixing, (leaves, channels, out), given that for y."""
    mixing = new_mixing(y, x, n_leaves, numbers, profiles)
    _fused.differentiate(
        *how(mixing.shape, numbers, x, profiles),
        channels_last(x),
        None,
        channels_last(y),
        None,
        mixing.numpy(),
    )
    return mixing


def new_mixing(y: Tensor, x: Tensor, n_leaves: int, numbers: list[int], profiles: Tensor) -> Tensor:
    """Return memory for the mixing."""
    return x.new_empty((n_leaves, x.shape[1], y.shape[1]))


def how(mixing: Sequence[int], numbers: list[int], x: Tensor, profiles: Tensor) -> tuple[Any, ...]:
    """Return what the kernel wants first: its name, threads, all extents, and the profiles."""
    extents = [1] * (AXES + 2 - x.ndim) + list(x.shape[2:])
    layout = [x.shape[0], *mixing[1:]]
    for axis, extent in enumerate(extents):
        layout += [extent, *numbers[4 * axis : 4 * axis + 4]]
    layout += numbers[4 * AXES :]
    return KERNELS[0], torch.get_num_threads(), np.array(layout, np.int64), profiles.numpy()


def channels_last(x: Tensor) -> NDArray[np.float32]:
    """Return (n, channels, *spatial) as an array (n, *spatial, channels) without gaps."""
    return x.resolve_neg().movedim(1, -1).contiguous().numpy()


# As operators they stand in the graphs of torch.compile, which need not look into them.
LIBRARY = torch.library.Library("sklstruct", "FRAGMENT")
NUMBERS = "int[] numbers, Tensor profiles"
OPERATORS: list[tuple[str, Callable[..., Tensor], Callable[..., Tensor]]] = [
    (f"mix(Tensor x, Tensor mixing, {NUMBERS})", mix, new_mixed),
    (f"unmix(Tensor mixing, Tensor y, SymInt[] spatial, {NUMBERS})", unmix, new_signals),
    (f"correlate(Tensor y, Tensor x, int n_leaves, {NUMBERS})", correlate, new_mixing),
]
for schema, compute, memory in OPERATORS:
    name = LIBRARY.define(f"{schema} -> Tensor")
    LIBRARY.impl(name, compute, "CPU")
    torch.library.register_fake(f"sklstruct::{name}", memory, lib=LIBRARY)
OPS = torch.ops.sklstruct


def make_plan(tree: Any, stride: int, padding: tuple[int, ...]) -> Plan | None:
    """Return the plan of a tree of profiles, or None where there is no kernel for it.

    Parameters
    ----------
    tree : dict
        Of profiles along the first axis, each with the tree of those along the next one; at the
        last axis with the list of atoms.
    stride : int
    padding : tuple of int
    """
    axes: list[int] = []
    parents: list[int] = []
    profiles: list[float] = []
    level: list[Any] = [tree]  # the branches below each node of an axis
    for axis in range(AXES):
        if axis < AXES - len(padding):  # an axis that signals lack
            nodes: list[tuple[int, Profile, Any]] = [(0, (1.0,), level[0])]
            step, zeros = 1, 0
        else:
            nodes = list(below(level))
            step, zeros = stride, padding[axis - AXES]
        axes += [len(nodes[0][1]), step, zeros, len(nodes)]
        for parent, profile, _ in nodes:
            parents.append(parent)
            profiles.extend(profile)
        level = [branch for *_, branch in nodes]
    if not KERNELS or max(axes[::4]) > MOST_TAPS:
        return None
    atoms = torch.tensor(level)
    values = torch.tensor(profiles, dtype=torch.float32)
    return Plan(atoms, atoms.argsort(), axes + parents, values)


def below(level: list[Any]) -> Iterator[tuple[int, Profile, Any]]:
    """Yield the parent, the profile and the branch of every node below those of a level."""
    for parent, branches in enumerate(level):
        for profile, branch in branches.items():
            # Equal atoms are learned by weights of their own.
            for each in branch if isinstance(branch, list) else [branch]:
                yield parent, profile, each


def serves(*tensors: Tensor) -> bool:
    """Return whether the kernel can read these; a graph to be carried away must do without."""
    return (
        bool(KERNELS)
        and not is_carried_away()
        and all(
            type(tensor) in (Tensor, nn.Parameter)  # and none that stands for one in a graph
            and tensor.device.type == "cpu"
            and tensor.dtype == torch.float32
            and tensor.numel() > 0
            for tensor in tensors
        )
    )


def is_carried_away() -> bool:
    """Return whether a graph is being made that others run, who may lack this package."""
    compiler: Any = torch.compiler
    exporting = getattr(compiler, "is_exporting", compiler.is_compiling)  # new in torch 2.7
    return torch.jit.is_tracing() or exporting()
