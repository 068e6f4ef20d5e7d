"""The naive frame: monomials, a structured basis without any wish for good behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from math import prod
from typing import ClassVar

import numpy as np

from .checks import check_ndim, check_order, check_size, check_values
from .frame import Array, Frame, FrameFamily, centred_grid


class Monomials(FrameFamily):
    r"""Monomials :math:`\psi_{pq}(x, y) = x^p y^q` on the square :math:`[-1, 1]^2`.

    Parameters
    ----------
    order : int or sequence of int, default=2
        Highest power along every axis, or along each one; below ``size``.
    size : int, default=3
        Extent of the support along every axis, odd.

    See Also
    --------
    GaussianDerivatives : Better conditioned, at any scale.

    References
    ----------
    J.-H. Jacobsen. Structured deep networks (thesis), section 4.4.1.

    Examples
    --------
    >>> from sklstruct.frames import Monomials
    >>> frame = Monomials(order=1).build(ndim=2)
    >>> frame.labels
    ('x00', 'x10', 'x01', 'x11')
    >>> frame.atoms[1]
    array([[-1.,  0.,  1.],
           [-1.,  0.,  1.],
           [-1.,  0.,  1.]])
    """

    order: int | Sequence[int] = 2
    size: int = 3

    tensor: ClassVar[bool] = True

    def build(self, ndim: int) -> Frame:
        """Return the frame of (order + 1)**ndim atoms."""
        order, size = check_order(self.order, check_ndim(ndim)), check_size(self.size)
        highest = order if isinstance(order, tuple) else (order,) * ndim
        if max(highest) >= size:
            raise ValueError(f"order must be below size = {size}, got {self.order}.")
        check_values(prod(power + 1 for power in highest), size, ndim)
        indices = sorted(product(*(range(power + 1) for power in highest)), key=sum)
        functions = partial(evaluate_monomials, indices=tuple(indices), radius=max(size // 2, 1))
        support = (size,) * ndim
        return Frame(
            "naive",
            functions(centred_grid(support)).reshape(len(indices), *support),
            labels=tuple("x" + "".join(map(str, reversed(index))) for index in indices),
            orders=[sum(index) for index in indices],
            functions=functions,
        )


def evaluate_monomials(points: Array, indices: tuple[tuple[int, ...], ...], radius: int) -> Array:
    """Return monomials of points / radius, shape (n_atoms, n_points)."""
    return np.stack([np.prod((points / radius) ** np.array(index), axis=1) for index in indices])
