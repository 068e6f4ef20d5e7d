"""Filtering and mixing as one function, and the compiled way to it: single precision, on a CPU.

The kernel computes the responses of a few rows at a time, channels side by side in the lanes of a
vector, and mixes them while they are in the cache.  Where it does not apply, or was not built,
torch computes the same.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

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


class OneByOne(torch.autograd.Function):
    """A function of its last arguments, tensors, which it keeps for its derivatives.

    ``torch.func.vmap`` computes it for one after another.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Which torch looks up at every call.
        cls.forward.__signature__ = inspect.signature(cls.forward)  # type: ignore[attr-defined]

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """Keep what derivatives need."""
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        ctx.how = inputs[: -len(tensors)]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @classmethod
    def vmap(cls, info: Any, in_dims: Any, *inputs: Any) -> tuple[Tensor, int]:
        """Return the results for a batch of tensors."""
        several = [
            value.unbind(dim) if isinstance(dim, int) else [value] * info.batch_size
            for value, dim in zip(inputs, in_dims, strict=True)
        ]
        return torch.stack([cls.apply(*each) for each in zip(*several, strict=True)]), 0


class FilterAndMix(OneByOne):
    r"""``SeparableFilter`` as a differentiable function that keeps no responses.

    It computes by the kernel, or else as the bank does.

    The inner product :math:`\langle y, \sum_{ik} c_{oik} (\psi_k \star f_i) \rangle` is linear in
    signals, coefficients and y, which are numbered 0, 1 and 2.  The gradient for one of them is a
    function of the next two in this circle, and so are the derivatives of that.
    """

    @staticmethod
    def forward(
        bank: Any, wanted: int, spatial: tuple[int, ...], one: Tensor, two: Tensor
    ) -> Tensor:
        """Return the gradient for what is wanted; for y these are the mixed responses."""
        if bank.plan and serves(one, two):
            numbers, *arrays = bank.plan
            tensors = map(torch.from_numpy, arrays)
            extents = bank.output_shape(spatial) if wanted == 2 else spatial
            # An operator is for graphs, and takes longer to be called.
            way = torch.ops.sklstruct.filter_and_mix if torch.compiler.is_compiling() else compute
            return way(wanted, one, two, extents, numbers, *tensors)
        if wanted == 0:
            return bank.unmix(one, two, spatial)
        return bank.correlate(one, two) if wanted == 1 else bank.mix(one, two)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of both tensors."""
        (bank, wanted, spatial), (one, two) = ctx.how, ctx.saved_tensors
        if (
            wanted == 2
            and bank.adjoint_plan
            and all(ctx.needs_input_grad[3:])
            and len(two) <= 2 * one.shape[1]  # else those of signals are so much fewer responses
            and not torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
            and serves(one, two, grad)
        ):
            return None, None, None, *both_gradients(bank.adjoint_plan, one, two, grad)
        pairs = ((wanted + 1) % 3, two, grad), ((wanted + 2) % 3, grad, one)
        needed = zip(pairs, ctx.needs_input_grad[3:], strict=True)
        gradients = [
            FilterAndMix.apply(bank, number, spatial, *pair) if need else None
            for (number, *pair), need in needed
        ]
        return None, None, None, *gradients

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        """Return the derivative along a direction."""
        (one, two), (along_one, along_two) = ctx.saved_tensors, tangents[3:]
        parts = [
            FilterAndMix.apply(*ctx.how, *pair)
            for pair in ((along_one, two), (one, along_two))
            if all(tensor is not None for tensor in pair)
        ]
        return sum(parts[1:], start=parts[0])


class Plan(NamedTuple):
    """What the kernel needs to know of a filter bank.

    Parameters
    ----------
    numbers : list of int
        Taps, stride, padding and number of nodes of each ``Axis``; then the parents of all nodes.
    profiles : ndarray of float32
        Of all nodes, one after another.  No tensors, which a graph under way would make its own.
    atoms : ndarray of int, shape (n_leaves,)
        The atom of each leaf of the tree of profiles.
    """

    numbers: list[int]
    profiles: NDArray[np.float32]
    atoms: NDArray[np.int64]

    def adjoint(self) -> Plan | None:
        """Return the plan whose responses of y are mixed to the gradient of signals, if one is."""
        numbers, profiles, parts = list(self.numbers), [], self.profiles
        for axis in range(AXES):
            taps, stride, padding, nodes = numbers[4 * axis : 4 * axis + 4]
            if stride != 1 or padding >= taps:
                return None
            numbers[4 * axis + 2] = taps - 1 - padding
            profiles.append(parts[: taps * nodes].reshape(nodes, taps)[:, ::-1].ravel())
            parts = parts[taps * nodes :]
        return Plan(numbers, np.concatenate(profiles), self.atoms)


def memory(
    wanted: int,
    one: Tensor,
    two: Tensor,
    extents: Sequence[int],
    numbers: Sequence[int],
    *rest: Any,
) -> Tensor:
    """Return memory for what is wanted, with the channels of a place side by side."""
    if wanted == 1:
        return two.new_empty((one.shape[1], two.shape[1], numbers[4 * AXES - 1]))
    n, channels = (two.shape[0], one.shape[1]) if wanted == 0 else (one.shape[0], two.shape[0])
    strides, step = [1], channels
    for extent in reversed(extents):
        strides.insert(1, step)
        step *= extent
    # No view of another tensor, so that a bias may be added in place.
    return one.new_empty_strided((n, channels, *extents), (step, *strides))


def compute(
    wanted: int,
    one: Tensor,
    two: Tensor,
    extents: Sequence[int],
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
    extents : sequence of int
        Of what is wanted, where it is signals or mixed responses.
    numbers, profiles, atoms
        Of ``Plan``.
    """
    found = memory(wanted, one, two, extents, numbers)
    circle = [(found, one, two)[(place - wanted) % 3] for place in range(3)]
    coefficients = circle.pop(1)
    x, y = map(by_place, circle)
    how = instructions(x, coefficients.shape[1::-1], numbers, profiles)
    if wanted == 2:
        mixing = coefficients.permute(2, 1, 0).index_select(0, atoms)
        _fused.convolve(*how, x, mixing.numpy(), None, y)
    elif wanted == 0:
        mixing = coefficients.permute(0, 2, 1).index_select(1, atoms)
        _fused.differentiate(*how, None, mixing.numpy(), None, y, x)
    else:
        mixing = coefficients.new_empty(len(atoms), *coefficients.shape[1::-1])
        _fused.differentiate(*how, x, None, None, y, None, mixing.numpy())
        found.permute(2, 1, 0).index_copy_(0, atoms, mixing)
    return found


def both_gradients(plan: Plan, x: Tensor, coefficients: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of signals and coefficients, from the same responses of that of y.

    Parameters
    ----------
    plan : Plan
        ``Plan.adjoint`` of that of the bank.
    x, coefficients : Tensor
    y : Tensor
        The gradient of mixed responses.
    """
    numbers, atoms = plan.numbers, torch.from_numpy(plan.atoms)
    found = memory(0, coefficients, y, x.shape[2:], numbers)
    mixing = coefficients.permute(2, 0, 1).index_select(0, atoms)
    gradient = torch.empty_like(mixing)
    above = by_place(y)
    how = instructions(above, coefficients.shape[:2], numbers, torch.from_numpy(plan.profiles))
    filled = None, gradient.numpy(), None, by_place(found)
    _fused.differentiate(*how, above, mixing.numpy(), None, by_place(x), *filled)
    of_coefficients = torch.empty_like(coefficients)
    of_coefficients.permute(2, 0, 1).index_copy_(0, atoms, gradient)
    return found, of_coefficients


def by_place(signals: Tensor) -> NDArray[np.float32]:
    """Return signals as an array, with the channels of a place side by side."""
    array: NDArray[np.float32] = signals.resolve_neg().movedim(1, -1).contiguous().numpy()
    return array


def instructions(
    x: NDArray[np.float32], channels: Sequence[int], numbers: Sequence[int], profiles: Tensor
) -> tuple[Any, ...]:
    """Return what the kernel is told first: how, on signals of which shape, and by which plan."""
    layout = [x.shape[0], *channels]
    for axis, extent in enumerate((*(1,) * (AXES - x.ndim + 2), *x.shape[1:-1])):
        layout += [extent, *numbers[4 * axis : 4 * axis + 4]]
    plan = np.array(layout + list(numbers[4 * AXES :]), np.int64), profiles.numpy()
    return KERNELS[0], torch.get_num_threads(), *plan, None, None


# As an operator it stands in the graphs of torch.compile, which need not look into it.
LIBRARY = torch.library.Library("sklstruct", "FRAGMENT")
LIBRARY.define(
    "filter_and_mix(int wanted, Tensor one, Tensor two, SymInt[] extents, int[] numbers, "
    "Tensor profiles, Tensor atoms) -> Tensor"
)
LIBRARY.impl("filter_and_mix", compute, "CPU")
torch.library.register_fake("sklstruct::filter_and_mix", memory, lib=LIBRARY)


class Axis(NamedTuple):
    """What is done along an axis, by the profiles of a tree.

    Parameters
    ----------
    taps, stride, padding : int
        Of correlations with the profiles.  Where the stride is 0, each profile stands for a
        matrix with that many columns, and ``padding`` is the number of its rows.
    values : callable
        From a profile to all numbers of it.
    """

    taps: int
    stride: int
    padding: int
    values: Callable[[Profile], Iterable[float]]


MISSING = Axis(1, 1, 0, tuple)  # an axis that signals lack


def make_plan(tree: Any, axes: Sequence[Axis]) -> Plan | None:
    """Return the plan of a tree of profiles, or None where there is no kernel for it.

    Parameters
    ----------
    tree : dict
        Of profiles along the first axis, each with the tree of those along the next one; at the
        last axis with the list of atoms.
    axes : sequence of Axis
    """
    if not KERNELS or max(axis.taps for axis in axes) > MOST_TAPS:
        return None
    n_missing = AXES - len(axes)
    numbers: list[int] = []
    parents: list[int] = []
    profiles: list[float] = []
    for _ in range(n_missing):
        tree = {(1.0,): tree}
    level: list[Any] = [tree]  # the branches below each node of an axis
    for axis in [MISSING] * n_missing + list(axes):
        nodes = list(below(level))
        numbers += [*axis[:3], len(nodes)]
        for parent, profile, _ in nodes:
            parents.append(parent)
            profiles.extend(axis.values(profile))
        level = [branch for *_, branch in nodes]
    return Plan(numbers + parents, np.array(profiles, np.float32), np.array(level, np.int64))


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
