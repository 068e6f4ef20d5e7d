"""Means over cells, with which codes forget where exactly something is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOL = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


class SignedCells(nn.Module):
    r"""Means of the positive and of the negative parts of codes over cells of each sub-band.

    .. math::
        \mathrm{mean}_{p \in \text{cell}} \max(0, h_b(p)), \qquad
        \mathrm{mean}_{p \in \text{cell}} \max(0, -h_b(p))

    Parameters
    ----------
    shapes : sequence of tuple of int
        Extents of each sub-band.
    cells : int
        Number of cells along each axis, at most its extent.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.cells import SignedCells
    >>> SignedCells([(4,), (2,)], cells=1)(torch.tensor([[[1.0, 1, -2, 0, 4, 4]]]))
    tensor([[[0.5000, 0.5000, 4.0000, 0.0000]]])
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], cells: int) -> None:
        super().__init__()
        # Sub-bands of one shape that follow one another are averaged together.
        groups = ((shape, len([*same])) for shape, same in groupby(shapes))
        self.groups = [
            (shape, n, tuple(min(cells, extent) for extent in shape)) for shape, n in groups
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Map codes (n, channels, n_coefficients) to means (n, channels, n_means)."""
        means = []
        parts = x.split([prod(shape) * n for shape, n, _ in self.groups], dim=2)
        for part, (shape, _, cells) in zip(parts, self.groups, strict=True):
            maps = part.reshape(len(x), -1, *shape)
            signed = torch.stack([maps.clamp_min(0), (-maps).clamp_min(0)], dim=2)
            pool: Any = POOL[len(shape)]
            means.append(pool(signed.flatten(1, 2), cells).reshape(*x.shape[:2], -1))
        return torch.cat(means, dim=2)
