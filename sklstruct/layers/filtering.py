"""Filter with separable atoms and mix the responses, in pieces that stay in the cache.

A pass along one axis is a product with a banded matrix.  The responses to all atoms are many
times larger than the signal; they are never held as a whole, but computed for a few samples
and channels at a time, mixed, and computed again when the gradient needs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..frames import Frame

Profile: TypeAlias = tuple[float, ...]
# What follows a profile: branches along the next axis, or the numbers of the finished atoms.
Tree: TypeAlias = "dict[Profile, Tree | list[int]]"

PIECE_BYTES = {"cpu": 1 << 20, "other": 1 << 28}  # of responses; measured on CPUs with 1 MB L2


class SeparableFilter:
    r"""Mixed responses :math:`\sum_{ik} c_{oik} (\psi_k \star f_i)` for separable atoms.

    Atoms with the same leading factors share those passes, so a jet of order 3 in space takes
    4 + 10 + 20 passes and not 60.

    Parameters
    ----------
    frame : Frame
        With separable atoms.
    stride : int
    padding : tuple of int
        Zeros added to each side, for every axis.
    """

    def __init__(self, frame: Frame, stride: int, padding: tuple[int, ...]) -> None:
        if frame.factors is None:
            raise ValueError(f"The atoms of the frame {frame.name!r} are not separable.")
        self.support, self.stride, self.padding = frame.support, stride, padding
        self.n_atoms = len(frame)
        self.tree = build_tree(frame.factors)
        self._bands: dict[Any, Tensor] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_bands": {}}

    def __call__(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Map (n, channels, *spatial) and (out, channels, n_atoms) to (n, out, *spatial_out)."""
        with torch.autocast(x.device.type, enabled=False):  # bands and pieces have one dtype
            return FilterAndMix.apply(x.to(coefficients.dtype), coefficients, self)

    def output_shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the spatial shape of the output."""
        extents = zip(spatial, self.support, self.padding, strict=True)
        return tuple((s + 2 * p - k) // self.stride + 1 for s, k, p in extents)

    def pieces(self, x: Tensor) -> Iterator[tuple[slice, slice]]:
        """Yield slices of samples and channels whose responses fit the cache."""
        n, channels = x.shape[:2]
        single = self.n_atoms * prod(self.output_shape(tuple(x.shape[2:]))) * x.element_size()
        room = max(1, PIECE_BYTES["cpu" if x.device.type == "cpu" else "other"] // single)
        some_channels = min(channels, room)
        some = max(1, room // some_channels)
        for sample in range(0, n, some):
            for channel in range(0, channels, some_channels):
                yield slice(sample, sample + some), slice(channel, channel + some_channels)

    def cost(self, shape: tuple[int, ...], out_channels: int) -> float:
        """Return modelled milliseconds of one training step for an input shape.

        The numbers are a fit to measured steps on one CPU core (``benchmarks``); only their
        ratio to ``dense_cost`` matters.
        """
        n, channels, *spatial = shape
        products, elements, calls = self._work(tuple(spatial))
        voxels = n * prod(self.output_shape(tuple(spatial)))
        mixing = voxels * channels * out_channels * self.n_atoms
        passes = n * channels * (products * 6e-8 + elements * 9e-7)
        single = self.n_atoms * prod(self.output_shape(tuple(spatial))) * 4
        pieces = ceil(n * channels / max(1, PIECE_BYTES["cpu"] // single))
        return mixing * 1e-7 + passes + calls * pieces * 0.024

    def dense_cost(self, shape: tuple[int, ...], out_channels: int) -> float:
        """Return modelled milliseconds of one training step with composed kernels."""
        n, channels, *spatial = shape
        voxels = n * prod(self.output_shape(tuple(spatial)))
        taps = prod(self.support)
        slow = 5 if max(self.support) > 15 else 1  # vendor kernels give up on long filters
        work = channels * out_channels * taps * (voxels * slow + 2 * self.n_atoms)
        return work * 2e-8 + 0.1

    def _work(self, spatial: tuple[int, ...]) -> tuple[int, int, int]:
        """Return products, elements written and passes, for one channel of one sample."""
        out = self.output_shape(spatial)

        def walk(tree: Tree, axis: int) -> np.ndarray:
            total = np.zeros(3, dtype=int)
            elements = prod(out[: axis + 1]) * prod(spatial[axis + 1 :])
            for branch in tree.values():
                total += elements * spatial[axis], elements, 1
                total += 0 if isinstance(branch, list) else walk(branch, axis + 1)
            return total

        products, elements, calls = walk(self.tree, 0).tolist()
        return products, elements, calls

    def responses(self, x: Tensor) -> Tensor:
        """Map (rows, *spatial) to the responses to all atoms, (n_atoms, rows, *spatial_out)."""
        out = x.new_empty(self.n_atoms, len(x), *self.output_shape(tuple(x.shape[1:])))
        self._descend(x, self.tree, 1, out)
        return out

    def _descend(self, x: Tensor, tree: Tree, axis: int, out: Tensor) -> None:
        for profile, branch in tree.items():
            band = self._band(profile, axis, x.shape[axis], x)
            if isinstance(branch, list):  # the last axis: one plain matrix product
                first, *same = branch
                torch.mm(x.flatten(0, -2), band.T, out=out[first].flatten(0, -2))
                for atom in same:
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
        """Return a one-dimensional correlation as a matrix, shape (length_out, length)."""
        padding = self.padding[axis - 1]
        key = (profile, padding, length, like.dtype, like.device)
        if key in self._bands:
            return self._bands[key]
        padded = length + 2 * padding
        rows = np.zeros(((padded - len(profile)) // self.stride + 1, padded))
        for row in range(len(rows)):
            rows[row, row * self.stride : row * self.stride + len(profile)] = profile
        inside = rows[:, padding : padding + length]
        band = torch.tensor(inside, dtype=like.dtype, device=like.device)
        if type(band) is Tensor:  # and none of those that stand for one while a graph is traced
            self._bands[key] = band
        return band


class FilterAndMix(torch.autograd.Function):
    """``SeparableFilter`` as a differentiable function that keeps no responses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficients: Tensor, bank: SeparableFilter) -> Tensor:
        """Return the mixed responses, (n, out_channels, *spatial_out)."""
        ctx.save_for_backward(x, coefficients)
        ctx.bank = bank
        out = x.new_zeros(len(x), len(coefficients), *bank.output_shape(tuple(x.shape[2:])))
        for samples, channels in bank.pieces(x):
            mixing = coefficients[:, channels].transpose(1, 2).flatten(1)
            rows = x[samples, channels].transpose(0, 1).flatten(0, 1)
            responses = bank.responses(rows).view(mixing.shape[1], -1)
            mixed = (mixing @ responses).view(len(mixing), -1, *out.shape[2:])
            out[samples] += mixed.transpose(0, 1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        """Return the gradients of the signal and of the coefficients."""
        (x, coefficients), bank = ctx.saved_tensors, ctx.bank
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        grad_c = torch.zeros_like(coefficients) if ctx.needs_input_grad[1] else None
        for samples, channels in bank.pieces(x):
            some = x[samples, channels].transpose(0, 1)
            mixing = coefficients[:, channels].transpose(1, 2).flatten(1)
            above = grad[samples].transpose(0, 1).reshape(len(mixing), -1)
            if grad_c is not None:
                responses = bank.responses(some.flatten(0, 1)).view(mixing.shape[1], -1)
                piece = (above @ responses.T).view(len(mixing), bank.n_atoms, -1)
                grad_c[:, channels] += piece.transpose(1, 2)
            if grad_x is not None:
                shape = bank.n_atoms, some.shape[0] * some.shape[1], *grad.shape[2:]
                below = bank.adjoint((mixing.T @ above).view(shape), tuple(x.shape[2:]))
                grad_x[samples, channels] = below.view(some.shape).transpose(0, 1)
        return grad_x, grad_c, None


def build_tree(factors: tuple[np.ndarray, ...]) -> Tree:
    """Return the factors of all atoms as a tree, one level an axis, shared where they agree.

    All factors but the last have a largest value of one, so they can be compared after rounding.
    """
    *leading, last = factors
    leading = [np.round(axis, 12) + 0.0 for axis in leading]  # there is no -0 any more
    tree: Any = {}
    for atom in range(len(last)):
        branch = tree
        for axis in leading:
            branch = branch.setdefault(tuple(axis[atom].tolist()), {})
        branch.setdefault(tuple(last[atom].tolist()), []).append(atom)
    return tree
