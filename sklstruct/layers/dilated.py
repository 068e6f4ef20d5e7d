"""Filtering with dilated atoms and mixing as one function, by the compiled way."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frame, Jet
from .filtering import FilterBank
from .fused import AXES, OneByOne, compute
from .scale import derivatives

Numbers = NDArray[np.intp]

PROFILES_MS = 0.3  # what it takes to make the profiles of a step


class DilatedFilter(FilterBank):
    r"""Mixed responses to Gaussian derivatives that are dilated by a factor.

    It is for the kernel alone: profiles are not those of the tree, which has their places in a
    table, but made anew for every factor.  The derivative along the logarithm of the factor needs
    no more than responses of the same kind, of an order that is higher by two: the samples
    :math:`p_n(x; s)` on a line, of which those of :math:`p_0` sum to one, satisfy

    .. math::
        \frac{\partial p_n}{\partial \log s} = p_{n+2} + \Big(n - \sum_x p_2(x)\Big) \, p_n

    exactly, as do continuous derivatives without the sum, which is next to nothing.

    Parameters
    ----------
    widths : ndarray, shape (n_widths,)
        Standard deviations before the dilation, in samples.
    numbers, indices : ndarray of int, shape (n_atoms, ndim)
        Of each atom along each axis, which width it has and the order of the derivative.
    support : tuple of int
    stride : int
    padding : tuple of int
        Zeros added to each side, for every axis.
    highest : int, default=0
        Order of the derivatives that are computed, if it is higher than that of the atoms.
    """

    def __init__(
        self,
        widths: NDArray[np.float64],
        numbers: Numbers,
        indices: Numbers,
        support: tuple[int, ...],
        stride: int,
        padding: tuple[int, ...],
        highest: int = 0,
    ) -> None:
        self.widths, self.numbers, self.indices = widths, numbers, indices
        self.highest = max(highest, int(indices.max()))
        places = numbers * (self.highest + 1) + indices  # from 1 on, in the table of an axis
        super().__init__(tuple(places.T[:, :, np.newaxis] + 1.0), support, stride, padding)

    def __call__(self, x: Tensor, coefficients: Tensor, factor: Tensor) -> Tensor:
        """Map (n, channels, *spatial) and (out, channels, n_atoms) to (n, out, *spatial_out)."""
        return DilateAndMix.apply(self, 2, tuple(x.shape[2:]), factor, x, coefficients)

    def cost(self, shape: tuple[int, ...], out_channels: int, compiled: bool = False) -> float:
        """Return modelled milliseconds of one training step for an input shape.

        A third of it, the gradient for the coefficients, is that of the higher order.
        """
        own, lifted = (
            FilterBank.cost(bank, shape, out_channels, compiled) for bank in (self, self.lift[0])
        )
        return (2 * own + lifted) / 3 + PROFILES_MS

    @cached_property
    def lift(self) -> tuple[DilatedFilter, NDArray[np.float64]]:
        """The filter of these atoms and those of an order that is higher by two along an axis.

        And which of them those are, shape (n_atoms, n_lifted), summed over axes.
        """
        pairs = zip(self.numbers.tolist(), self.indices.tolist(), strict=True)
        atoms = [(tuple(numbers), tuple(orders)) for numbers, orders in pairs]
        raised = [
            [(n, (*orders[:axis], orders[axis] + 2, *orders[axis + 1 :])) for n, orders in atoms]
            for axis in range(len(self.support))
        ]
        more = dict.fromkeys(atom for along in raised for atom in along if atom not in atoms)
        places = {atom: place for place, atom in enumerate([*atoms, *more])}
        which = np.zeros((len(atoms), len(atoms) + len(more)))
        for along in raised:
            for number, atom in enumerate(along):
                which[number, places[atom]] += 1
        rows = np.array([*atoms, *more])
        how = self.support, self.stride, self.padding
        return DilatedFilter(self.widths, rows[:, 0], rows[:, 1], *how, self.highest), which

    def lifting(self, factor: Tensor) -> Tensor:
        """Return the derivatives of atoms along the logarithm of the factor, in lifted ones.

        Returns
        -------
        lifting : Tensor, shape (n_atoms, n_lifted)
        """
        _, which = self.lift
        rates: Any = torch.from_numpy(self.indices.sum(axis=1)).to(factor)
        for numbers, extent in zip(self.numbers.T, self.support, strict=True):
            second = derivatives(factor, self.widths, 2, extent)[0, 2::3].sum(dim=-1)
            rates = rates - second[torch.from_numpy(numbers)]
        own = torch.eye(*which.shape, dtype=factor.dtype)
        return own * rates[:, None] + torch.from_numpy(which).to(factor)

    @cached_property
    def nodes(self) -> list[Numbers]:
        """Where in the table of an axis the plan's nodes stand, for every axis."""
        assert self.plan is not None
        counts = self.plan.numbers[3 : 4 * AXES : 4]
        nodes = np.split(self.plan.profiles.astype(int) - 1, np.cumsum(counts)[:-1])
        return nodes[AXES - len(self.support) :]

    def profiles(self, factor: Tensor) -> Tensor:
        """Return the profiles of the plan's nodes, one after another."""
        missing = AXES - len(self.support)
        parts = [torch.ones(missing, dtype=torch.float64)]
        for extent, places in zip(self.support, self.nodes, strict=True):
            table = table_of(float(factor), tuple(self.widths), self.highest, extent)
            parts.append(table[places].flatten())
        return torch.cat(parts).float()


@lru_cache(maxsize=64)
def dilated_bank(frame: Frame, stride: int, padding: tuple[int, ...]) -> DilatedFilter:
    """Return the filters of a frame of Gaussian derivatives, for all layers that have it."""
    jet = frame.functions
    assert isinstance(jet, Jet)
    widths, numbers = np.unique(jet.widths, return_inverse=True)
    numbers = numbers.reshape(jet.widths.shape)
    # Of the order that the gradient needs, so that both look into one table.
    highest = int(jet.indices.max()) + 2
    return DilatedFilter(widths, numbers, jet.indices, jet.support, stride, padding, highest)


@lru_cache(maxsize=64)
@torch.no_grad()
def table_of(factor: float, widths: tuple[float, ...], order: int, extent: int) -> Tensor:
    """Return the derivatives on a line for a factor, which forward and backward ask for."""
    return derivatives(
        torch.tensor([factor], dtype=torch.float64), np.array(widths), order, extent
    )[0]


class DilateAndMix(OneByOne):
    r"""``DilatedFilter`` as a differentiable function that keeps no responses.

    As in ``FilterAndMix``, signals, coefficients and y are numbered 0, 1 and 2, and the gradient
    for one of them is a function of the next two, and of the factor.
    """

    @staticmethod
    def forward(
        bank: DilatedFilter,
        wanted: int,
        spatial: tuple[int, ...],
        factor: Tensor,
        one: Tensor,
        two: Tensor,
    ) -> Tensor:
        """Return the gradient for what is wanted; for y these are the mixed responses."""
        numbers, _, atoms = bank.plan  # type: ignore[misc]
        extents = bank.output_shape(spatial) if wanted == 2 else spatial
        how = extents, numbers, bank.profiles(factor), torch.from_numpy(atoms)
        return compute(wanted, one, two, *how)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of the factor and of both tensors."""
        (bank, wanted, spatial), (factor, *others) = ctx.how, ctx.saved_tensors
        places = (wanted + 1) % 3, (wanted + 2) % 3
        three = {wanted: grad, **dict(zip(places, others, strict=True))}
        for_factor, *needed = ctx.needs_input_grad[3:]
        found: dict[int, Tensor] = {}
        if for_factor:
            lifted = DilateAndMix.apply(bank.lift[0], 1, spatial, factor, three[2], three[0])
            found[1] = lifted[..., : bank.n_atoms]
            slope = (lifted * (three[1] @ bank.lifting(factor))).sum() / factor
        for place, need in zip(places, needed, strict=True):
            if need and place not in found:
                pair = three[(place + 1) % 3], three[(place + 2) % 3]
                found[place] = DilateAndMix.apply(bank, place, spatial, factor, *pair)
        return None, None, None, slope if for_factor else None, *map(found.get, places)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        """Return the derivative along a direction."""
        (bank, wanted, spatial), (factor, *others) = ctx.how, ctx.saved_tensors
        along_factor, *along = tangents[3:]
        parts = [
            DilateAndMix.apply(*ctx.how, factor, *pair)
            for pair in ((along[0], others[1]), (others[0], along[1]))
            if all(tensor is not None for tensor in pair)
        ]
        if along_factor is not None:
            lifting = bank.lifting(factor)
            if wanted != 1:  # then coefficients are among the two
                place = wanted // 2
                others[place] = others[place] @ lifting
            slope = DilateAndMix.apply(bank.lift[0], wanted, spatial, factor, *others)
            parts.append((slope @ lifting.T if wanted == 1 else slope) * along_factor / factor)
        return sum(parts[1:], start=parts[0])
