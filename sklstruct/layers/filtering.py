"""Filter with separable atoms and mix the responses, in pieces that stay in the cache.

A pass along one axis is a product with a banded matrix.  The responses to all atoms are many
times larger than the signal; they are never held as a whole, but computed for a few samples
and channels at a time, mixed, and computed again when the gradient needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from operator import mul
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frame
from .dimensions import LONG, output_extents
from .fused import Axis, FilterAndMix, Plan, Profile, make_plan
from .kept import KeptTensors

Array: TypeAlias = NDArray[np.float64]
# What follows a profile: branches along the next axis, or the numbers of the finished atoms.
Tree: TypeAlias = "dict[Profile, Tree | list[int]]"

LANES = 16  # of a vector
RANK_TOLERANCE = 1e-12  # share of the largest singular value
PIECE_BYTES = {"cpu": 1 << 20, "other": 1 << 28}  # of responses; measured on CPUs with 1 MB L2


class FilterBank:
    """Separable atoms as a tree of profiles, what it gives, and what it costs.

    Atoms with the same leading factors share those passes, so a jet of order 3 in space takes
    4 + 10 + 20 passes and not 60.

    Parameters
    ----------
    factors : tuple of ndarray, shape (n_atoms, extent)
        Profiles of the atoms along each axis, or what stands for them.
    support : tuple of int
    stride : int
    padding : tuple of int
        Zeros added to each side, for every axis.
    """

    def __init__(
        self,
        factors: tuple[Array, ...],
        support: tuple[int, ...],
        stride: int,
        padding: tuple[int, ...],
    ) -> None:
        self.support, self.stride, self.padding = support, stride, padding
        self._grow_tree(factors)
        axes = [Axis(k, stride, p, tuple) for k, p in zip(support, padding, strict=True)]
        self.plan: Plan | None = make_plan(self.tree, axes)  # of the compiled way

    def _grow_tree(self, factors: tuple[Array, ...]) -> None:
        """Sort the atoms into a tree, one level an axis, shared where their factors agree."""
        profiles = [list(map(tuple, agreeing(rows).tolist())) for rows in factors]
        self.tree: Any = {}
        for atom, (*leading, last) in enumerate(zip(*profiles, strict=True)):
            branch = self.tree
            for profile in leading:
                branch = branch.setdefault(profile, {})
            branch.setdefault(last, []).append(atom)
        to_axis = range(1, len(factors) + 1)
        self.passes = [len(set(zip(*profiles[:n], strict=True))) for n in to_axis]
        self.n_atoms = len(factors[0])

    def output_shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the spatial shape of the output."""
        return output_extents(spatial, self.support, self.stride, self.padding)

    def cost(self, shape: tuple[int, ...], out_channels: int, compiled: bool = False) -> float:
        """Return modelled milliseconds of one training step for an input shape.

        The numbers are a fit to measured steps on one CPU core (``benchmarks``); only their
        ratio to ``dense_cost`` matters.
        """
        n, channels, *spatial = shape
        out = self.output_shape(tuple(spatial))
        elements = [
            passes * prod(out[: axis + 1]) * prod(spatial[axis + 1 :])
            for axis, passes in enumerate(self.passes)
        ]
        single = self.n_atoms * prod(out)
        if compiled:
            products = sum(map(mul, elements, self.support))
            mixed = single * whole_vectors(out_channels)
            copied = prod(spatial) * 3.3e-6
            return n * channels * (mixed * 2.1e-8 + products * 4e-8 + copied) + 0.1
        mixing = n * channels * out_channels * single * 1e-7
        products = sum(map(mul, elements, spatial))
        passes = n * channels * (products * 6e-8 + sum(elements) * 9e-7)
        pieces = ceil(n * channels / max(1, PIECE_BYTES["cpu"] // (4 * single)))
        return mixing + passes + sum(self.passes) * pieces * 0.024

    def dense_cost(self, shape: tuple[int, ...], out_channels: int) -> float:
        """Return modelled milliseconds of one training step with composed kernels."""
        n, channels, *spatial = shape
        voxels = n * prod(self.output_shape(tuple(spatial)))
        taps = prod(self.support)
        slow = 5 if max(self.support) > LONG else 1
        work = channels * whole_vectors(out_channels) * taps * (voxels * slow + 2 * self.n_atoms)
        return work * 2.1e-8 + n * channels * prod(spatial) * 3e-6 + 0.1


class SeparableFilter(FilterBank):
    r"""Mixed responses :math:`\sum_{ik} c_{oik} (\psi_k \star f_i)` for separable atoms.

    An atom that is no product is taken for a sum of products.

    Parameters
    ----------
    frame : Frame
        With atoms of low separable rank.
    stride : int
    padding : tuple of int
        Zeros added to each side, for every axis.
    """

    def __init__(self, frame: Frame, stride: int, padding: tuple[int, ...]) -> None:
        factors = frame.factors
        if factors is None:
            factors, self.owners = separable_terms(frame.atoms)
        super().__init__(factors, frame.support, stride, padding)
        self.adjoint_plan = self.plan and self.plan.adjoint()
        self.bands = KeptTensors()

    owners: list[int] | None = None  # the atom of each term, where these are not the atoms
    adjoint_plan: Plan | None = None  # of the compiled way to both gradients at once

    def __call__(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Map (n, channels, *spatial) and (out, channels, n_atoms) to (n, out, *spatial_out)."""
        if self.owners is not None:
            coefficients = coefficients[:, :, self.owners]
        return FilterAndMix.apply(self, 2, tuple(x.shape[2:]), x, coefficients)

    def mix(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Return the mixed responses y of signals x, (n, out, *spatial_out)."""
        spatial_out = self.output_shape(tuple(x.shape[2:]))
        y = x.new_zeros(x.shape[0], len(coefficients), *spatial_out)
        for samples, channels in self.pieces(x):
            mixing = coefficients[:, channels].transpose(1, 2).flatten(1)
            mixed = mixing @ self.responses(x[samples, channels])
            y[samples] += mixed.unflatten(1, (-1, *spatial_out)).transpose(0, 1)
        return y

    def unmix(self, coefficients: Tensor, y: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Return the gradient for x of the inner product of the mixed responses with y."""
        x = y.new_empty(y.shape[0], coefficients.shape[1], *spatial)
        for samples, channels in self.pieces(x):
            mixing = coefficients[:, channels].transpose(1, 2).flatten(1)
            above = y[samples].transpose(0, 1).flatten(1)
            below = (mixing.T @ above).view(self.n_atoms, -1, *y.shape[2:])
            shape = mixing.shape[1] // self.n_atoms, -1, *spatial
            x[samples, channels] = self.adjoint(below, spatial).view(shape).transpose(0, 1)
        return x

    def correlate(self, y: Tensor, x: Tensor) -> Tensor:
        """Return the gradient for the coefficients of that inner product."""
        found = x.new_zeros(y.shape[1], x.shape[1], self.n_atoms)
        for samples, channels in self.pieces(x):
            above = y[samples].transpose(0, 1).flatten(1)
            piece = above @ self.responses(x[samples, channels]).T
            found[:, channels] += piece.unflatten(1, (self.n_atoms, -1)).transpose(1, 2)
        return found

    def pieces(self, x: Tensor) -> Iterator[tuple[slice, slice]]:
        """Yield slices of samples and channels whose responses fit the cache."""
        if is_traced():  # a graph is one for any number of samples
            yield slice(None), slice(None)
            return
        n, channels, *spatial = x.shape
        single = self.n_atoms * prod(self.output_shape(tuple(spatial))) * x.element_size()
        room = max(1, PIECE_BYTES["cpu" if x.device.type == "cpu" else "other"] // single)
        some_channels = min(channels, room)
        some = max(1, room // some_channels)
        for sample in range(0, n, some):
            for channel in range(0, channels, some_channels):
                yield slice(sample, sample + some), slice(channel, channel + some_channels)

    def responses(self, x: Tensor) -> Tensor:
        """Map (n, channels, *spatial) to the responses, (n_atoms * channels, n * n_places)."""
        n, channels, *spatial = x.shape
        out = x.new_empty(self.n_atoms, channels, n, *self.output_shape(tuple(spatial)))
        self._descend(x.transpose(0, 1).flatten(0, 1), self.tree, 1, out.flatten(1, 2))
        return out.flatten(0, 1).flatten(1)

    def _descend(self, x: Tensor, tree: Tree, axis: int, out: Tensor) -> None:
        for profile, branch in tree.items():
            band = self._band(profile, axis, x.shape[axis], x)
            if isinstance(branch, list):  # the last axis: one plain matrix product
                first, *same = branch
                torch.mm(x.flatten(0, -2), band.T, out=out[first].flatten(0, -2))
                for atom in same:  # equal atoms are learned by weights of their own
                    out[atom] = out[first]
            else:
                filtered = band @ x.flatten(axis + 1).flatten(0, axis - 1)
                shape = *x.shape[:axis], len(band), *x.shape[axis + 1 :]
                self._descend(filtered.reshape(shape), branch, axis + 1, out)

    def adjoint(self, responses: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Map (n_atoms, rows, *spatial_out) back to (rows, *spatial), as the transpose does."""
        return self._ascend(responses, self.tree, 1, spatial)

    def _ascend(self, r: Tensor, tree: Tree, axis: int, spatial: tuple[int, ...]) -> Tensor:
        shape = *r.shape[1 : axis + 1], *spatial[axis - 1 :]
        total = r.new_zeros(shape)
        for profile, branch in tree.items():
            band = self._band(profile, axis, spatial[axis - 1], r)
            if isinstance(branch, list):
                for atom in branch:
                    total.view(-1, shape[-1]).addmm_(r[atom].flatten(0, -2), band)
            else:
                upper = self._ascend(r, branch, axis + 1, spatial)
                inner = upper.flatten(axis + 1).flatten(0, axis - 1)
                total.view(-1, shape[axis], inner.shape[-1]).add_(band.T @ inner)
        return total

    def _band(self, profile: Profile, axis: int, length: int, like: Tensor) -> Tensor:
        """Return a correlation along an axis as a matrix, shape (length_out, length)."""
        padding = self.padding[axis - 1]
        return self.bands.like(
            like,
            (profile, padding, length),
            lambda: correlation(profile, length, self.stride, padding),
        )


def separable_terms(atoms: Array) -> tuple[tuple[Array, ...], list[int]]:
    """Return products of profiles that sum to the atoms, and the number of the atom of each.

    Parameters
    ----------
    atoms : ndarray, shape (n_atoms, *support)

    Returns
    -------
    factors : tuple of ndarray, shape (n_terms, extent)
        One for each axis.
    owners : list of int
    """
    found = [(owner, term) for owner, atom in enumerate(atoms) for term in products(atom)]
    profiles = zip(*(term for _, term in found), strict=True)
    return tuple(map(np.stack, profiles)), [owner for owner, _ in found]


def products(atom: Array) -> Iterator[tuple[Array, ...]]:
    """Yield products of profiles, as few as its singular values ask for, that sum to an atom."""
    if atom.ndim == 1:
        yield (atom,)
        return
    left, sizes, right = np.linalg.svd(atom.reshape(len(atom), -1), full_matrices=False)
    for number in np.flatnonzero(sizes > RANK_TOLERANCE * sizes[0]):
        for rest in products((sizes[number] * right[number]).reshape(atom.shape[1:])):
            yield left[:, number], *rest


def whole_vectors(channels: int) -> int:
    """Return the number of channels that are computed where so many are wanted."""
    return LANES * ceil(channels / LANES)


def agreeing(rows: Array) -> Array:
    """Return rows of which those that differ by rounding alone are equal."""
    size = np.exp2(np.floor(np.log2(np.abs(rows).max(axis=1, keepdims=True))))
    keys = np.hstack([size, np.round(rows / size, 12) + 0.0])  # there is no -0 any more
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return rows[first[number.ravel()]]


def correlation(profile: Profile, length: int, stride: int, padding: int) -> Array:
    """Return the correlation with a profile as a matrix, shape (length_out, length)."""
    n_out = (length + 2 * padding - len(profile)) // stride + 1
    offsets = np.arange(length) - stride * np.arange(n_out)[:, None] + padding
    inside = (offsets >= 0) & (offsets < len(profile))
    return np.where(inside, np.array(profile)[offsets.clip(0, len(profile) - 1)], 0.0)


def is_traced() -> bool:
    """Return whether a graph is being made of what is computed, for tensors of other sizes too.

    Examples
    --------
    >>> from sklstruct.layers import is_traced
    >>> is_traced()
    False
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
