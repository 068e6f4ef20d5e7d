"""The compiled way to filter and mix: single precision, on a CPU.

It computes the responses of a few rows at a time, channels side by side in the lanes of a vector,
and mixes them while they are in the cache.  Where it does not apply, or was not built, torch
computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
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


class Plan(NamedTuple):
    """What the kernel needs to know of a filter bank.

    Parameters
    ----------
    numbers : list of int
        Taps, stride, padding and number of nodes of each axis; then the parents of all nodes.
    profiles : Tensor, shape (n_values,)
        Of all nodes, one after another.
    atoms : Tensor of int, shape (n_leaves,)
        The atom of each leaf of the tree of profiles.
    """

    numbers: list[int]
    profiles: Tensor
    atoms: Tensor


def memory(
    wanted: int,
    one: Tensor,
    two: Tensor,
    spatial: Sequence[int],
    numbers: Sequence[int],
    *rest: Any,
) -> Tensor:
    """Return memory for what is wanted, with the channels of a place side by side."""
    if wanted == 1:
        return two.new_empty((one.shape[1], two.shape[1], numbers[4 * AXES - 1]))
    if wanted == 0:
        n, channels, extents = two.shape[0], one.shape[1], list(spatial)
    else:
        n, channels, extents = one.shape[0], two.shape[0], []
        for axis, extent in enumerate(spatial, start=AXES - len(spatial)):
            taps, stride, zeros, _ = numbers[4 * axis : 4 * axis + 4]
            extents.append((extent + 2 * zeros - taps) // stride + 1)
    return one.new_empty((n, *extents, channels)).movedim(-1, 1)


def compute(
    wanted: int,
    one: Tensor,
    two: Tensor,
    spatial: Sequence[int],
    numbers: Sequence[int],
    profiles: Tensor,
    atoms: Tensor,
) -> Tensor:
    """Return what ``FilterAndMix`` does: mixed responses, or a gradient.

    Parameters
    ----------
    wanted : int
        Signals (0), coefficients (1) or mixed responses (2); the tensors are the next two of
        this circle.
    one, two : Tensor
    spatial : sequence of int
        Extents of the signals.
    numbers, profiles, atoms
        As of ``Plan``.
    """
    found = memory(wanted, one, two, spatial, numbers)
    circle = [(found, one, two)[(place - wanted) % 3] for place in range(3)]
    by_leaf = circle.pop(1).permute(2, 1, 0)[atoms].contiguous()
    x, y = (part.resolve_neg().movedim(1, -1).contiguous().numpy() for part in circle)
    layout = [x.shape[0], *by_leaf.shape[1:]]
    for axis, extent in enumerate([1] * (AXES - len(spatial)) + list(spatial)):
        layout += [extent, *numbers[4 * axis : 4 * axis + 4]]
    plan = np.array(layout + list(numbers[4 * AXES :]), np.int64), profiles.numpy()
    mixing, threads = by_leaf.numpy(), torch.get_num_threads()
    if wanted == 2:
        _fused.convolve(KERNELS[0], threads, *plan, x, mixing, y)
    elif wanted == 0:
        _fused.differentiate(KERNELS[0], threads, *plan, None, mixing, y, x, None)
    else:
        _fused.differentiate(KERNELS[0], threads, *plan, x, None, y, None, mixing)
        found.permute(2, 1, 0).index_copy_(0, atoms, by_leaf)
    return found


# As an operator it stands in the graphs of torch.compile, which need not look into it.
LIBRARY = torch.library.Library("sklstruct", "FRAGMENT")
LIBRARY.define(
    "filter_and_mix(int wanted, Tensor one, Tensor two, SymInt[] spatial, int[] numbers, "
    "Tensor profiles, Tensor atoms) -> Tensor"
)
LIBRARY.impl("filter_and_mix", compute, "CPU")
torch.library.register_fake("sklstruct::filter_and_mix", memory, lib=LIBRARY)


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
    values = torch.tensor(profiles, dtype=torch.float32)
    return Plan(axes + parents, values, torch.tensor(level))


def below(level: list[Any]) -> Iterator[tuple[int, Profile, Any]]:
    """Yield the parent, the profile and the branch of every node below those of a level."""
    for parent, branches in enumerate(level):
        for profile, branch in branches.items():
            # Equal atoms are learned by weights of their own.
            for each in branch if isinstance(branch, list) else [branch]:
                yield parent, profile, each


def serves(*tensors: Tensor) -> bool:
    """Return whether the kernel can read these, and no graph is made that is carried away.

    Who runs such a graph may lack this package.
    """
    compiler: Any = torch.compiler
    exporting = getattr(compiler, "is_exporting", compiler.is_compiling)  # new in torch 2.7
    if not KERNELS or torch.jit.is_tracing() or exporting():
        return False
    return all(
        type(tensor) in (Tensor, nn.Parameter)  # and none that stands for one in a graph
        and tensor.device.type == "cpu"
        and tensor.dtype == torch.float32
        and tensor.numel() > 0
        for tensor in tensors
    )
