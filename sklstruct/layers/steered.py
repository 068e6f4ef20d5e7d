"""Filtering, steering and mixing as one function, and the compiled way to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import grad

from ..frames import Frame
from . import fused
from .dimensions import convolve, output_extents
from .filtering import SeparableFilter
from .fused import AXES, KERNELS, LIBRARY, OneByOne, serves
from .kept import KeptTensors
from .steering import Mixture

MOST_NUMBERS, MOST_ENTRIES = 64, 256  # of a place and of a mixture, that the kernel takes
INPUT = {1: grad.conv1d_input, 2: grad.conv2d_input, 3: grad.conv3d_input}


class SteeredFilter:
    r"""Mixed sums of responses, with coefficients that differ from place to place.

    .. math:: y_o(p) = \sum_{ir} c_{oir} \sum_{e: \, r_e = r} w_e \, t_{n_e}(p) \,
        (\psi_{s_e} \star f_i)(p)

    Parameters
    ----------
    frame : Frame
    mixture : Mixture
        The sums over e.
    bank : SeparableFilter or None
        Of the frame, for the compiled way.
    stride : int
    padding : tuple of int
    """

    def __init__(
        self,
        frame: Frame,
        mixture: Mixture,
        bank: SeparableFilter | None,
        stride: int,
        padding: tuple[int, ...],
    ) -> None:
        self.frame, self.mixture, self.bank = frame, mixture, bank
        self.stride, self.padding, self.kept = stride, padding, KeptTensors()

    def __call__(self, x: Tensor, table: Tensor, coefficients: Tensor) -> Tensor:
        r"""Return the mixed sums.

        Parameters
        ----------
        x : Tensor, shape (n, channels, \*spatial)
        table : Tensor, shape (n, n_numbers, 1 or channels, \*spatial_out)
            The t.
        coefficients : Tensor, shape (out, channels, n_rows)

        Returns
        -------
        y : Tensor, shape (n, out, \*spatial_out)
        """
        by_channel = table.shape[2] > 1
        # Which autocast leaves in several precisions; derivatives are taken without it.
        kind = torch.promote_types(torch.promote_types(x.dtype, table.dtype), coefficients.dtype)
        x, table, coefficients = x.to(kind), table.to(kind), coefficients.to(kind)
        return SteerAndMix.apply(self, 3, by_channel, tuple(x.shape[2:]), x, table, coefficients)

    @cached_property
    def steps(self) -> tuple[list[int], Any]:
        """The mixture as the kernel takes it: sums of leaves in place of responses."""
        bank: Any = self.bank
        owners = bank.owners or range(bank.n_atoms)
        leaves: dict[int, list[int]] = {}
        for leaf, term in enumerate(bank.plan.atoms.tolist()):
            leaves.setdefault(owners[term], []).append(leaf)
        entries = [
            (row, leaf, number, weight)
            for row, source, number, weight in zip(*self.mixture, strict=True)
            for leaf in leaves[source]
        ]
        forward = [(row, leaf, k, e) for e, (row, leaf, k, _) in enumerate(entries)]
        backward = sorted((leaf, row, k, e) for row, leaf, k, e in forward)
        steps = [int(number) for entry in forward + backward for number in entry]
        return steps, np.array([weight for *_, weight in entries], np.float32)

    def is_compiled(self, *tensors: Tensor) -> bool:
        """Return whether there is a kernel, and it can read these."""
        if self.bank is None or self.bank.plan is None or not serves(*tensors):
            return False
        return self.mixture.n_numbers <= MOST_NUMBERS and len(self.steps[1]) <= MOST_ENTRIES

    def compiled(
        self,
        wanted: list[int],
        four: Sequence[Tensor | None],
        by_channel: bool,
        spatial: tuple[int, ...],
    ) -> list[Tensor]:
        """Return what is wanted of signals, table, coefficients and y, by the kernel."""
        bank: Any = self.bank
        steps, weights = self.steps
        head = [self.mixture.n_rows, self.mixture.n_numbers, int(by_channel)]
        extents = [*spatial, *self.output_shape(spatial)]
        numbers, *arrays = bank.plan
        profiles = torch.from_numpy(arrays[0])
        found: list[Tensor] = torch.ops.sklstruct.steer_and_mix(
            wanted, *four, extents, numbers, profiles, head + steps, torch.from_numpy(weights)
        )
        return found

    def responses(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to (n, channels, n_atoms, *spatial_out)."""
        atoms = self.kept.like(x, "atoms", lambda: self.frame.atoms[:, np.newaxis])
        single = x.flatten(0, 1).unsqueeze(1)
        y = convolve(single, atoms, None, stride=self.stride, padding=self.padding)
        return y.unflatten(0, x.shape[:2])

    def adjoint(self, responses: Tensor, spatial: Sequence[int]) -> Tensor:
        """Map (n, channels, n_atoms, *spatial_out) back to (n, channels, *spatial)."""
        atoms = self.kept.like(responses, "atoms", lambda: self.frame.atoms[:, np.newaxis])
        some = responses.flatten(0, 1)
        shape = len(some), 1, *spatial
        x = INPUT[self.frame.ndim](shape, atoms, some, self.stride, self.padding)
        return x.unflatten(0, responses.shape[:2]).squeeze(2)

    def output_shape(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """Return the spatial shape of the output."""
        return output_extents(spatial, self.frame.support, self.stride, self.padding)


class SteerAndMix(OneByOne):
    r"""``SteeredFilter`` as a differentiable function that keeps no responses.

    The inner product of y and the mixed sums is linear in signals, table, coefficients and y, which
    are numbered 0 to 3.  The gradient for one of them is a function of the other three, and so are
    the derivatives of that.
    """

    @staticmethod
    def forward(
        way: SteeredFilter,
        wanted: int,
        by_channel: bool,
        spatial: tuple[int, ...],
        *others: Tensor,
    ) -> Tensor:
        """Return the gradient for what is wanted; for y these are the mixed sums."""
        if way.is_compiled(*others):
            four: list[Any] = list(others)
            four.insert(wanted, None)
            return way.compiled([wanted], four, by_channel, spatial)[0]
        four = [*others[:wanted], others[0], *others[wanted:]]
        x, table, coefficients, y = four
        if wanted != 0:
            responses = way.responses(x)
        if wanted >= 2:
            rows = way.mixture(responses, table)
            if wanted == 3:
                return torch.einsum("ncr...,ocr->no...", rows, coefficients)
            return torch.einsum("ncrp,nop->ocr", rows.flatten(3), y.flatten(2))
        above = torch.einsum("no...,ocr->ncr...", y, coefficients)
        if wanted == 1:
            return way.mixture.correlate(responses, above, by_channel)
        return way.adjoint(way.mixture.transposed()(above, table), spatial)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        """Return the gradients of the three tensors."""
        (way, wanted, *rest), others = ctx.how, list(ctx.saved_tensors)
        four = [*others[:wanted], above, *others[wanted:]]
        places = [place for place in range(4) if place != wanted]
        needed = dict(zip(places, ctx.needs_input_grad[4:], strict=True))
        found: dict[int, Tensor] = {}
        both = wanted == 3 and needed[0] and needed[1] and way.frame.ndim < 3
        if both and not torch.is_grad_enabled() and way.is_compiled(*four):
            # What both have in common is computed once.
            found = dict(enumerate(way.compiled([0, 1], four, *rest)))
        for place, need in needed.items():
            if need and place not in found:
                three = *four[:place], *four[place + 1 :]
                found[place] = SteerAndMix.apply(way, place, *rest, *three)
        return None, None, None, None, *map(found.get, places)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        """Return the derivative along a direction."""
        parts = []
        for place, tangent in enumerate(tangents[4:]):
            if tangent is not None:
                others = list(ctx.saved_tensors)
                others[place] = tangent
                parts.append(SteerAndMix.apply(*ctx.how, *others))
        return sum(parts[1:], start=parts[0])


def memory(
    wanted: Sequence[int],
    x: Any,
    table: Any,
    coefficients: Any,
    y: Any,
    extents: Sequence[int],
    numbers: Sequence[int],
    profiles: Tensor,
    steps: Sequence[int],
    weights: Tensor,
) -> list[Tensor]:
    """Return memory for what is wanted, with the numbers of a place side by side."""
    some = x if table is None else table
    rows, n_numbers, by_channel = steps[:3]
    if coefficients is None:
        return [some.new_empty((y.shape[1], x.shape[1], rows))]
    out, channels, _ = coefficients.shape
    inner = (channels,), (n_numbers, channels if by_channel else 1), (), (out,)
    half = len(extents) // 2
    spatial = extents[:half], *[extents[half:]] * 3
    return [
        inner_first(some.new_empty((some.shape[0], *spatial[one], *inner[one])), len(inner[one]))
        for one in wanted
    ]


def inner_first(values: Tensor, n: int) -> Tensor:
    """Move the last axes, of the numbers of a place, behind the samples."""
    return values.movedim((*range(-n, 0),), (*range(1, 1 + n),))


def inner_last(values: Tensor, n: int) -> Any:
    """Return an array in which the numbers of a place lie side by side."""
    last = values.resolve_neg().movedim((*range(1, 1 + n),), (*range(-n, 0),))
    return last.contiguous().numpy()


def compute(
    wanted: Sequence[int],
    x: Any,
    table: Any,
    coefficients: Any,
    y: Any,
    extents: Sequence[int],
    numbers: Sequence[int],
    profiles: Tensor,
    steps: Sequence[int],
    weights: Tensor,
) -> list[Tensor]:
    """Return what ``SteerAndMix`` does, by the kernel.

    Parameters
    ----------
    wanted : sequence of int
        Signals (0), table (1), coefficients (2) or mixed sums (3); or both 0 and 1.
    x, table, coefficients, y : Tensor
        Those that the result depends on.
    extents : sequence of int
        Of the signals, and of the sums.
    numbers, profiles
        Of ``Plan``.
    steps : sequence of int
        Number of rows and of coefficients at a place, and whether each channel has its own; then
        row, leaf, number and weight of all entries, sorted by rows, and leaf, row, number and
        weight, sorted by leaves.
    weights : Tensor, shape (n_entries,)
    """
    given = x, table, coefficients, y
    found = memory(wanted, *given, extents, numbers, profiles, steps, weights)
    old, new = [], dict(zip(wanted, found, strict=True))
    for one, n_inner in ((0, 1), (1, 2), (3, 1)):
        tensor = given[one]
        old.append(None if tensor is None else inner_last(tensor, n_inner))
        if one in new:
            new[one] = inner_last(new[one], n_inner)
    n_out, channels, _ = found[0].shape if coefficients is None else coefficients.shape
    half = len(extents) // 2
    layout = [found[0].shape[0] if old[0] is None else len(old[0]), channels, n_out]
    for axis, extent in enumerate((*(1,) * (AXES - half), *extents[:half])):
        layout += [extent, *numbers[4 * axis : 4 * axis + 4]]
    plan = np.array(layout + list(numbers[4 * AXES :]), np.int64), profiles.numpy()
    how = KERNELS[0], torch.get_num_threads(), *plan, np.array(steps, np.int64), weights.numpy()
    signals, places, sums = old
    if 3 in new:
        mixing = coefficients.permute(2, 1, 0).contiguous().numpy()
        fused._fused.convolve(*how, signals, mixing, places, new[3])
    elif 2 in new:
        mixing = found[0].new_empty(steps[0], channels, n_out)
        fused._fused.differentiate(*how, signals, None, places, sums, None, mixing.numpy())
        found[0].copy_(mixing.permute(2, 1, 0))
    else:
        mixing = coefficients.permute(0, 2, 1).contiguous().numpy()
        gradients = new.get(0), None, new.get(1)
        fused._fused.differentiate(*how, signals, mixing, places, sums, *gradients)
    return found


LIBRARY.define(
    "steer_and_mix(int[] wanted, Tensor? x, Tensor? table, Tensor? coefficients, Tensor? y, "
    "SymInt[] extents, int[] numbers, Tensor profiles, int[] steps, Tensor weights) -> Tensor[]"
)
LIBRARY.impl("steer_and_mix", compute, "CPU")
torch.library.register_fake("sklstruct::steer_and_mix", memory, lib=LIBRARY)
