"""Gaussian-derivative frames: the local jet of Koenderink and van Doorn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, product
from math import comb, prod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import NDArray

from .checks import (
    check_ndim,
    check_order,
    check_positive,
    check_scales,
    check_size,
    check_values,
    support_size,
)
from .frame import Array, Frame, FrameFamily, centred_grid

AXES = "xyz"


class GaussianDerivatives(FrameFamily):
    r"""Scale-normalised derivatives of a Gaussian, up to a total order, at one or more scales.

    .. math::
        \psi_{\alpha,\sigma}(x) = \sigma^{|\alpha|} \, \partial^\alpha g_\sigma(x)
        = \prod_i (-1)^{\alpha_i} \mathrm{He}_{\alpha_i}(x_i / \sigma) \, g_\sigma(x_i),
        \qquad |\alpha| \le \text{order}

    with the Hermite polynomials :math:`\mathrm{He}_n` and a Gaussian whose samples sum to one.
    The zero-order atom stands only at the lowest scale.

    Parameters
    ----------
    order : int or sequence of int, default=3
        Highest total order of differentiation; or the highest along each axis of the array, which
        gives the tensor set, as (2,) does for any number of axes.
    scales : sequence of float, default=(1.0,)
        Standard deviations of the Gaussian, in samples.
    size : int, default=None
        Extent of the atoms along every axis, odd.  If None, it follows from ``truncate``.
    truncate : float, default=3.0
        Half the automatic extent, in standard deviations of the largest scale.

    See Also
    --------
    Gabor, Morlet : Waves of several directions under a Gaussian.
    Pixels : The unstructured twin.

    References
    ----------
    J.-H. Jacobsen, J. van Gemert, Z. Lou and A. W. M. Smeulders. Structured receptive fields
    in CNNs. CVPR, 2016, section 3 (eq. 20 of chapter 3 of the first author's thesis).

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> frame = GaussianDerivatives(order=2, scales=(1.0,)).build(ndim=2)
    >>> frame
    Frame('gaussian', 6 atoms on 7x7)
    >>> frame.labels
    ('g', 'g_x', 'g_y', 'g_xx', 'g_xy', 'g_yy')
    >>> GaussianDerivatives(order=(2, 2), scales=(0.8,), size=3).build(ndim=2).is_complete
    True
    """

    order: int | Sequence[int] = 3
    scales: Sequence[float] = (1.0,)
    size: int | None = None
    truncate: float = 3.0

    tensor: ClassVar[bool] = True

    def build(self, ndim: int) -> Frame:
        """Return the frame: (order + ndim choose ndim) atoms, less one at each higher scale.

        A tensor set has (order + 1) atoms along each axis, and so their product.  Every rotation
        steers the frame; a tensor set of equal orders those of the grid do.
        """
        ndim = check_ndim(ndim)
        order = check_order(self.order, ndim)
        scales = check_scales(self.scales)
        size = support_size(self.size, scales[-1], self.truncate)
        n_atoms = (jet_size(ndim, order) - 1) * len(scales) + 1
        check_values(n_atoms, size, ndim)
        if n_atoms > size**ndim:
            raise ValueError(
                f"{n_atoms} atoms of order {order} do not fit a support of {size**ndim} "
                f"samples: raise size (now {size}) or lower order."
            )
        atoms, described = jet_atoms(ndim, order, scales)
        return Frame("gaussian", **sampled_jet(atoms, size), **described)


class FirstGaussianDerivatives(FrameFamily):
    """As many Gaussian derivatives as the support has samples, by total order.

    The last ones are nearly or wholly dependent on the others: on three samples
    :math:`g_{xxx}` is a multiple of :math:`g_x`.

    Parameters
    ----------
    size : int, default=3
        Extent of the support along every axis, odd.
    scale : float, default=0.8
        Standard deviation of the Gaussian, in samples.

    See Also
    --------
    GaussianDerivatives : Its tensor set is a basis of such supports.

    References
    ----------
    J.-H. Jacobsen. Structured deep networks (thesis), figure 9 b.

    Examples
    --------
    >>> from sklstruct.frames import FirstGaussianDerivatives
    >>> frame = FirstGaussianDerivatives().build(ndim=2)
    >>> frame, frame.rank
    (Frame('gaussian_first', 9 atoms on 3x3), 8)
    """

    size: int = 3
    scale: float = 0.8

    def build(self, ndim: int) -> Frame:
        """Return the frame of size**ndim atoms."""
        n_atoms = check_size(self.size) ** check_ndim(ndim)
        check_values(n_atoms, self.size, ndim)
        order = next(order for order in count() if jet_size(ndim, order) >= n_atoms)
        atoms, described = jet_atoms(ndim, order, (check_positive("scale", self.scale),))
        described = {name: of_atoms[:n_atoms] for name, of_atoms in described.items()}
        return Frame("gaussian_first", **sampled_jet(atoms[:n_atoms], self.size), **described)


class Jet(NamedTuple):
    r"""Gaussian derivatives off the grid: the ``functions`` of a frame that is made of them.

    .. math::
        \psi(x)
        = \prod_i (-1)^{\alpha_i} \mathrm{He}_{\alpha_i}(x_i / \sigma_i) \, g_{\sigma_i}(x_i)

    Parameters
    ----------
    indices : ndarray of int, shape (n_atoms, ndim)
        Order of differentiation of each atom along each axis.
    widths : ndarray, shape (n_atoms, ndim)
        Standard deviation of its Gaussian along each axis, in samples.
    support : tuple of int
        Extents of the grid on which the samples of a Gaussian sum to one.

    See Also
    --------
    GaussianDerivatives : The family of such frames.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.frames import GaussianDerivatives
    >>> jet = GaussianDerivatives(order=1).build(ndim=2).functions
    >>> jet.indices.tolist(), jet.widths[0].tolist(), jet.support
    ([[0, 0], [0, 1], [1, 0]], [1.0, 1.0], (7, 7))
    >>> jet(np.array([[0.0, 0.5]])).shape
    (3, 1)
    """

    indices: NDArray[np.intp]
    widths: Array
    support: tuple[int, ...]

    def __call__(self, points: Array) -> Array:
        """Map points of shape (n_points, ndim) to values of shape (n_atoms, n_points)."""
        radii = [np.arange(extent) - extent // 2 for extent in self.support]
        values = np.empty((len(self.indices), len(points)))
        for row, (index, widths) in enumerate(zip(self.indices, self.widths, strict=True)):
            x = points / widths
            # A sum and no integral: constants shall pass the samples, however small the scale is.
            sums = [
                np.exp(-((radius / width) ** 2) / 2).sum()
                for radius, width in zip(radii, widths, strict=True)
            ]
            values[row] = np.exp(-(x**2).sum(axis=1) / 2) / prod(sums)
            differentiate(values[row], x, index)
        return values


def differentiate(gaussian: Array, x: Array, index: Sequence[int]) -> None:
    r"""Multiply a Gaussian in place by :math:`\prod_i (-1)^{n_i} \mathrm{He}_{n_i}(x_i)`.

    Parameters
    ----------
    gaussian : ndarray, shape (n_points,)
    x : ndarray, shape (n_points, ndim)
        In standard deviations.
    index : sequence of int
        Order of differentiation along each axis.
    """
    for axis, n in enumerate(index):
        gaussian *= (-1) ** n * hermeval(x[:, axis], np.eye(n + 1)[n])


def jet_size(ndim: int, order: int | tuple[int, ...]) -> int:
    """Return the number of derivatives of one scale."""
    if isinstance(order, tuple):
        return prod(highest + 1 for highest in order)
    return comb(order + ndim, ndim)


def jet_atoms(
    ndim: int, order: int | tuple[int, ...], scales: tuple[float, ...]
) -> tuple[list[tuple[tuple[int, ...], float]], dict[str, Any]]:
    """Return multi-index and scale of the atoms of a jet, and what a frame says of these."""
    highest = order if isinstance(order, tuple) else (order,) * ndim
    most = order if isinstance(order, int) else sum(order)
    indices = sorted(product(*(range(n + 1) for n in highest)), key=lambda i: (sum(i), i))
    atoms = [
        (index, scale)
        for scale in scales
        for index in indices
        if sum(index) <= most and (sum(index) > 0 or scale == scales[0])
    ]
    return atoms, {
        "labels": tuple(jet_label(index, scale, scales) for index, scale in atoms),
        "orders": [sum(index) for index, _ in atoms],
        "scales": [scale for _, scale in atoms],
    }


def sampled_jet(atoms: list[tuple[tuple[int, ...], float]], size: int) -> dict[str, Any]:
    """Return samples and functions of atoms on a support of one size along all axes."""
    indices = np.array([index for index, _ in atoms])
    scales = np.array([[scale] for _, scale in atoms])
    support = (size,) * indices.shape[1]
    jet = Jet(indices, scales.repeat(len(support), axis=1), support)
    values = jet(centred_grid(support)).reshape(len(atoms), *support)
    return {"atoms": values, "functions": jet}


def jet_label(index: tuple[int, ...], scale: float, scales: Sequence[float]) -> str:
    """Return a name such as ``g_xxy``; the last axis of the array is x, as in pictures."""
    letters = "".join(AXES[axis] * n for axis, n in enumerate(reversed(index)))
    name = f"g_{letters}" if letters else "g"
    return name if len(scales) == 1 else f"{name} @{scale:g}"
