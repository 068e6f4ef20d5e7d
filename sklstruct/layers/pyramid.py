"""A low resolution and what it leaves out, level after level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..params import check, integer, one_of
from .kept import KeptTensors

Array = NDArray[np.float64]
Details = tuple[Tensor, ...]

ROOT = np.sqrt(3)
LOW_PASS = {  # orthonormal, by the number of vanishing moments
    "haar": np.array([1, 1]) / np.sqrt(2),
    "db2": np.array([1 + ROOT, 3 + ROOT, 3 - ROOT, 1 - ROOT]) / np.sqrt(32),
}
LINEAR = 0.0, 0.5, 0.5, 0.0  # what samples in between take of the two neighbours on each side
KINDS = *LOW_PASS, "projection", "learned"


class Pyramid(nn.Module):
    r"""Samples as a low resolution and the details of every level: nothing is lost.

    Each level halves all extents, e to :math:`\lceil e / 2 \rceil`.  "projection" and "learned"
    interpolate by :math:`U_l` along every axis, :math:`V_l = U_1 \cdots U_l`, and give

    .. math::
        a_l = (V_l^T V_l)^{-1} V_l^T x, \qquad d_l = a_{l-1} - U_l a_l, \qquad
        x = a_0 = V_L a_L + \sum_l V_{l-1} d_l

    Every low resolution :math:`V_l a_l` is the least-squares projection of x on what can be
    interpolated, and the terms of the sum are orthogonal to one another.  Of the samples that
    :math:`U_l` gives, every other one is what it is given, and those in between are weighted sums
    of their neighbours: :math:`V_l^T V_l \ge 1` whatever the weights, so that learning cannot lose
    the projection.

    "haar" and "db2" are orthonormal wavelets with one and two vanishing moments: there are as many
    numbers as x has, of the same energy.  Signals are periodic for them, and the last sample of
    an odd number of them belongs to the low resolution as it is.

    Parameters
    ----------
    levels : int, default=1
    kind : {"projection", "learned", "haar", "db2"}, default="projection"
        How samples are split: "projection" interpolates linearly, "learned" starts so and has four
        weights in each level, for all axes and channels.

    See Also
    --------
    SpaceToChannels : Less resolution without a low-pass.
    sklstruct.inspection.redundancy : What levels have in common.

    References
    ----------
    P. J. Burt and E. H. Adelson. The Laplacian pyramid as a compact image code. IEEE
    Transactions on Communications, 1983.

    M. Unser, A. Aldroubi and M. Eden. The L2 polynomial spline pyramid. IEEE Transactions on
    Pattern Analysis and Machine Intelligence, 1993.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.layers import Pyramid
    >>> pyramid, x = Pyramid(levels=2), torch.rand(5, 3, 32, 27)
    >>> low, coarse, fine = pyramid(x)
    >>> low.shape, [detail.shape for detail in fine]
    (torch.Size([5, 3, 8, 7]), [torch.Size([5, 3, 32, 27])])
    >>> torch.allclose(pyramid.inverse([low, coarse, fine]), x, atol=1e-6)
    True
    """

    def __init__(self, levels: int = 1, kind: str = "projection") -> None:
        super().__init__()
        self.levels = check("levels", levels, integer(1))
        self.kind = check("kind", kind, one_of(*KINDS))
        weights = [torch.tensor(LINEAR) for _ in range(levels if kind == "learned" else 0)]
        self.weights = nn.ParameterList(weights)  # one a level, as what has one axis is not decayed
        self.kept = KeptTensors()

    def forward(self, x: Tensor) -> list[Any]:
        r"""Split samples.

        Parameters
        ----------
        x : Tensor, shape (n, channels, \*spatial)

        Returns
        -------
        parts : list
            The low resolution, (n, channels, \*places), and the details of each level as a tuple
            of tensors, the finest level last: one of the shape of what the level splits, or of
            wavelets one for each product of low-pass and high-pass but the first, which may be
            empty where an extent is one.

        Raises
        ------
        ValueError
            If samples are too small for so many levels.
        """
        levels = list(self._levels(x))
        return [levels[-1][0], *(details for _, details in reversed(levels))]

    def inverse(self, parts: Sequence[Any]) -> Tensor:
        r"""Return the samples (n, channels, \*spatial) that have these parts.

        Raises
        ------
        ValueError
            If there are not as many parts as ``forward`` gives.
        """
        if len(parts) != self.levels + 1:
            raise ValueError(
                f"parts must be the low resolution and the details of {self.levels} levels, got "
                f"{len(parts)} parts."
            )
        x, *details = parts
        for level, detail in zip(reversed(range(self.levels)), details, strict=True):
            if self.kind in LOW_PASS:
                x = self._joined([x, *detail])
                continue
            for axis, extent in enumerate(detail[0].shape[2:], start=2):
                x = along(x, self._up(x, extent, level), axis)
            x = x + detail[0]
        return x

    def resolutions(self, x: Tensor) -> list[Tensor]:
        r"""Return samples and the low resolution of each level, (n, channels, \*places) each."""
        return [x, *(low for low, _ in self._levels(x))]

    def low_pass(self, x: Tensor, level: int | None = None) -> Tensor:
        r"""Return what the low resolution of a level, or the last, says about samples.

        Parameters
        ----------
        x : Tensor, shape (n, channels, \*spatial)
        level : int, default=None
            From 0, which leaves x as it is, to the number of levels, which is the default.

        Returns
        -------
        x : Tensor, shape (n, channels, \*spatial)
        """
        level = check("level", self.levels if level is None else level, integer(0, self.levels))
        low, *details = self(x)
        kept = len(details) - level
        zeros = [tuple(map(torch.zeros_like, finer)) for finer in details[kept:]]
        return self.inverse([low, *details[:kept], *zeros])

    def _levels(self, x: Tensor) -> Iterator[tuple[Tensor, Details]]:
        """Yield low resolution and details of each level, or raise ValueError if x has too few."""
        if not 3 <= x.ndim <= 5:
            raise ValueError(
                f"x must have shape (n, channels, *spatial) with 1 to 3 axes in space, got "
                f"{tuple(x.shape)}."
            )
        most = int(max(x.shape[2:]) - 1).bit_length()
        if self.levels > most:
            raise ValueError(
                f"levels must be at most {most} for samples of {tuple(x.shape[2:])} places, as "
                f"each halves them, got {self.levels}."
            )
        wavelets = self.kind in LOW_PASS
        axes = [] if wavelets else [self._projections(x, extent) for extent in x.shape[2:]]
        for level in range(self.levels):
            maps = [axis[level] for axis in axes]
            x, details = self._bands(x) if wavelets else self._projected(x, maps)
            yield x, details

    def _bands(self, x: Tensor) -> tuple[Tensor, Details]:
        """Return low resolution and details of one level of wavelets."""
        bands = [x]
        for axis in range(2, x.ndim):
            low_high = self._wavelets(x, x.shape[axis])
            bands = [along(band, rows, axis) for band in bands for rows in low_high]
        return bands[0], tuple(bands[1:])

    def _joined(self, bands: Sequence[Tensor]) -> Tensor:
        """Return what has these low resolution and details in one level of wavelets."""
        for axis in reversed(range(2, bands[0].ndim)):
            low, high = self._wavelets(bands[0], bands[0].shape[axis] + bands[1].shape[axis])
            bands = [
                along(one, low.T, axis) + along(other, high.T, axis)
                for one, other in zip(bands[::2], bands[1::2], strict=True)
            ]
        return bands[0]

    def _projected(
        self, x: Tensor, maps: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Details]:
        """Return low resolution and details, for what goes up and down along each axis."""
        low = x
        for axis, (_, down) in enumerate(maps, start=2):
            low = along(low, down, axis)
        back = low
        for axis, (up, _) in enumerate(maps, start=2):
            back = along(back, up, axis)
        return low, (x - back,)

    def _projections(self, like: Tensor, extent: int) -> list[tuple[Tensor, Tensor]]:
        """Return U and what finds the low resolution in each level, for signals of an extent."""
        # Least squares are those of the samples, not of what the level before has left.
        gram, maps = torch.eye(extent, dtype=like.dtype, device=like.device), []
        for level in range(self.levels):
            up = self._up(like, len(gram), level)
            weighted = up.T @ gram
            gram = weighted @ up
            maps.append((up, torch.linalg.solve(gram, weighted)))
        return maps

    def _wavelets(self, like: Tensor, extent: int) -> Sequence[Tensor]:
        """Return the rows of low-pass and of high-pass for signals of an extent."""
        filters = LOW_PASS[self.kind]
        rows = self.kept.like(like, extent, lambda: wavelet_rows(filters, extent))
        return rows.tensor_split([(extent + 1) // 2])

    def _up(self, like: Tensor, extent: int, level: int) -> Tensor:
        """Return U for signals of an extent, shape (extent, half)."""
        parts = self.kept.like(like, extent, lambda: interpolation(extent))
        weights = self.weights[level].to(like) if self.weights else like.new_tensor(LINEAR)
        return parts[0] + torch.tensordot(weights, parts[1:], 1)


def along(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Apply a matrix along an axis."""
    return torch.matmul(x.movedim(axis, -1), matrix.T).movedim(-1, axis)


def interpolation(extent: int) -> Array:
    """Return the samples that stay, and what each weight adds to those in between.

    Returns
    -------
    parts : ndarray, shape (1 + n_weights, extent, half)
        Beyond the ends, the last sample goes on.
    """
    half = (extent + 1) // 2
    parts = np.zeros((1 + len(LINEAR), extent, half))
    for place in range(extent):
        if place % 2 == 0:
            parts[0, place, place // 2] = 1
            continue
        for tap, offset in enumerate(range(1 - len(LINEAR) // 2, 1 + len(LINEAR) // 2), start=1):
            parts[tap, place, np.clip(place // 2 + offset, 0, half - 1)] += 1
    return parts


def wavelet_rows(low_pass: Array, extent: int) -> Array:
    """Return the orthogonal matrix of one level of a periodic wavelet transform, low-pass first."""
    half = extent // 2
    high_pass = low_pass[::-1] * (-1.0) ** np.arange(len(low_pass))
    rows = np.zeros((extent, extent))
    for place in range(half):
        for filters, row in ((low_pass, place), (high_pass, extent - half + place)):
            for tap, value in enumerate(filters):
                rows[row, (2 * place + tap) % (2 * half)] += value
    if extent % 2:
        rows[half, -1] = 1
    return rows
