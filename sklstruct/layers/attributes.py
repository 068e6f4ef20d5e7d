"""The three steps of a convolution over space and attributes, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from .dimensions import CONVOLVE


def patches(x: Tensor, support: Sequence[int], stride: int) -> Tensor:
    r"""Return what a filter sees at every place, the padding of zeros included.

    Parameters
    ----------
    x : Tensor, shape (\*lead, \*spatial)
    support : sequence of int
        Of the filter, one for each spatial axis; odd.
    stride : int

    Returns
    -------
    patches : Tensor, shape (n_taps, \*lead, \*places)
    """
    ndim = len(support)
    x = F.pad(x, [extent // 2 for extent in reversed(support) for _ in range(2)])
    for axis, extent in enumerate(support):
        x = x.unfold(x.ndim - ndim, extent, stride)  # its axis moves to the end
        x = x.movedim(-1, axis).movedim(x.ndim - 1 - ndim, -1)
    return x.flatten(0, ndim - 1)


def patch_moments(x: Tensor, support: Sequence[int], stride: int) -> tuple[Tensor, Tensor]:
    r"""Return mean and covariance of the patches, over all samples, attributes and places.

    They determine mean :math:`h^T m` and variance :math:`h^T C h` of what any filter h gives.

    Parameters
    ----------
    x, support, stride
        As for ``patches``.

    Returns
    -------
    mean : Tensor, shape (n_taps,)
    covariance : Tensor, shape (n_taps, n_taps)
    """
    seen = patches(x, support, stride).flatten(1)
    mean = seen.mean(1)
    centred = seen - mean[:, None]
    return mean, centred @ centred.T / seen.shape[1]


def spread(x: Tensor, filters: Tensor, offset: Tensor, stride: int, rectify: bool) -> Tensor:
    r"""Filter every map with all spatial filters, and average over the oldest attribute.

    .. math:: z_q(u, v) = \frac{1}{O} \sum_o \rho\Big(\sum_{u'} h_q(u') \, x(u - u', o, v)
        + b_q \Big)

    Parameters
    ----------
    x : Tensor, shape (n, oldest, \*attributes, \*spatial)
    filters : Tensor, shape (n_factors, \*support)
        h, applied to each map alone.
    offset : Tensor, shape (n_factors,)
        b.
    stride : int
        Along the spatial axes.
    rectify : bool
        Whether :math:`\rho` is the exponential linear unit; else it is the identity.

    Returns
    -------
    z : Tensor, shape (n, \*attributes, n_factors, \*places)
    """
    support = filters.shape[1:]
    lead, spatial = x.shape[: -len(support)], x.shape[-len(support) :]
    padding = [extent // 2 for extent in support]
    maps = x.reshape(-1, 1, *spatial)
    z = CONVOLVE[len(support)](maps, filters[:, None], offset, stride=stride, padding=padding)
    if rectify:
        z = F.elu(z)
    return z.unflatten(0, lead).mean(1)


def mix(z: Tensor, filters: Tensor, stride: int, periodic: bool) -> Tensor:
    r"""Convolve along the attributes, and sum over the factors.

    .. math:: y_k(u, v) = \sum_{q, v'} g_{kq}(v') \, z_q(u, s v - v')

    Parameters
    ----------
    z : Tensor, shape (n, \*attributes, n_factors, \*places)
    filters : Tensor, shape (n_filters, n_factors, \*support)
        g; supports are odd.
    stride : int
        s, along every attribute.
    periodic : bool
        Whether attributes go round; else there are zeros beyond their ends.

    Returns
    -------
    y : Tensor, shape (n, \*attributes_out, n_filters, \*places)
    """
    support = filters.shape[2:]
    n_attributes = len(support)
    places = z.shape[2 + n_attributes :]
    planes = z.flatten(2 + n_attributes).movedim(-1, 1).flatten(0, 1).movedim(-1, 1)
    padding = [extent // 2 for extent in support]
    if periodic:
        for axis, around in enumerate(padding, start=2):
            extent = planes.shape[axis]
            index = torch.arange(-around, extent + around, device=z.device) % extent
            planes = planes.index_select(axis, index)
        padding = [0] * n_attributes
    y = CONVOLVE[n_attributes](planes, filters, stride=stride, padding=padding)
    y = y.movedim(1, -1).unflatten(0, (len(z), prod(places))).movedim(1, -1)
    return y.unflatten(-1, places) if places else y.squeeze(-1)
