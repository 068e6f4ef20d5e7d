"""A convolution over space and attributes as one function, and the compiled way to it.

Between the two steps of it, filters of every map and products along attributes, there is far more
than comes in.  The kernel computes that for a few places at a time, forward and backward, while it
is in the cache.  It is there for single precision on a CPU; elsewhere torch computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import fused
from .dimensions import CONVOLVE, output_extents

try:
    from . import _attributes
except ImportError:  # no compiler where the package was built
    MOST_TAPS = 0
else:
    MOST_TAPS = 32  # of a spatial filter
MOST_FACTORS = 128
FORWARD, BACKWARD, MOMENTS, REFILTER = range(4)  # what the kernel can do
FAR = 100.0  # a mean over its deviation, squared, that costs a covariance its digits

Integers = NDArray[np.int64]


class Way(NamedTuple):
    """How a convolution goes over space and attributes.

    Parameters
    ----------
    support : tuple of int
        Of spatial filters; odd.
    stride : int
        Along the spatial axes.
    rectify : bool
        Whether what is filtered goes through an exponential linear unit.
    attribute_support : tuple of int
        Odd.
    attribute_stride : int
    periodic : bool
        Whether attributes go round; else there are zeros beyond their ends.
    """

    support: tuple[int, ...]
    stride: int
    rectify: bool
    attribute_support: tuple[int, ...]
    attribute_stride: int
    periodic: bool

    def places(self, x: Tensor) -> tuple[int, ...]:
        """Return the number of places along each spatial axis."""
        spatial = x.shape[-len(self.support) :]
        return output_extents(spatial, self.support, self.stride, [0] * len(spatial))


def surround(x: Tensor, support: Sequence[int]) -> Tensor:
    """Return samples with the zeros around them that filters of such supports see.

    Parameters
    ----------
    x : Tensor, shape (*lead, *spatial)
    support : sequence of int
        One for each spatial axis; odd.
    """
    return F.pad(x, [extent // 2 for extent in reversed(support) for _ in range(2)])


def convolve_attributes(
    x: Tensor, spatial: Tensor, shift: Tensor, filters: Tensor, way: Way
) -> Tensor:
    r"""Filter every map, average over the oldest attribute, and convolve along the others.

    .. math::
        z_q(u, v) = \frac{1}{O} \sum_o \rho\Big(\sum_{u'} h_q(u') \, x(s u + u', o, v)
        + b_q\Big), \qquad
        y(u, v, k) = \sum_{q, v'} g_{kq}(v') \, z_q(u, t v + v')

    Parameters
    ----------
    x : Tensor, shape (n, oldest, \*attributes, \*spatial)
        With what surrounds the samples.
    spatial : Tensor, shape (n_factors, \*support)
        h, applied to each map alone.
    shift : Tensor, shape (n_factors,)
        b.
    filters : Tensor, shape (n_filters, n_factors, \*attribute_support)
        g, of which the middle tap sees the position itself.
    way : Way

    Returns
    -------
    y : Tensor, shape (n, \*attributes_out, n_filters, \*places)
    """
    tensors = x, spatial, shift, filters
    few = prod(way.support) <= MOST_TAPS and len(spatial) <= MOST_FACTORS
    return (
        ConvolveAttributes.apply(*tensors, way)
        if few and goes(*tensors)
        else by_torch(*tensors, way)
    )


def by_torch(x: Tensor, spatial: Tensor, shift: Tensor, filters: Tensor, way: Way) -> Tensor:
    """Return what ``convolve_attributes`` does, by torch."""
    ndim = len(way.support)
    maps = x.flatten(0, -ndim - 1).unsqueeze(1)
    z = CONVOLVE[ndim](maps, spatial.unsqueeze(1), shift, stride=way.stride)
    z = F.elu(z) if way.rectify else z
    z = z.unflatten(0, x.shape[:-ndim]).mean(1).flatten(-ndim)
    planes = z.movedim(-1, 1).flatten(0, 1).movedim(-1, 1)
    padding = [extent // 2 for extent in way.attribute_support]
    if way.periodic:
        for axis, around in enumerate(padding, start=2):
            extent = planes.shape[axis]
            index = torch.arange(-around, extent + around, device=z.device) % extent
            planes = planes.index_select(axis, index)
        padding = [0] * len(padding)
    y = CONVOLVE[len(padding)](planes, filters, stride=way.attribute_stride, padding=padding)
    places = way.places(x)
    return y.movedim(1, -1).unflatten(0, (-1, prod(places))).movedim(1, -1).unflatten(-1, places)


def patch_moments(x: Tensor, support: tuple[int, ...], stride: int) -> tuple[Tensor, Tensor]:
    r"""Return mean and covariance of what filters see, over all samples, attributes and places.

    They determine mean :math:`h^T m` and variance :math:`h^T C h` of what any filter h gives.

    Parameters
    ----------
    x : Tensor, shape (n, oldest, \*attributes, \*spatial)
        With what surrounds the samples.
    support : tuple of int
    stride : int

    Returns
    -------
    mean : Tensor, shape (n_taps,)
    covariance : Tensor, shape (n_taps, n_taps)
    """
    if prod(support) <= MOST_TAPS and goes(x):
        return PatchMoments.apply(x, support, stride)
    return moments_by_torch(x, support, stride)


def moments_by_torch(x: Tensor, support: tuple[int, ...], stride: int) -> tuple[Tensor, Tensor]:
    """Return the same, by torch."""
    places = output_extents(x.shape[-len(support) :], support, stride, [0] * len(support))
    taps = []
    for tap in product(*map(range, support)):
        spans = zip(tap, places, strict=True)
        at: Any = [slice(first, first + stride * (n - 1) + 1, stride) for first, n in spans]
        taps.append(x[(..., *at)].flatten())
    seen = torch.stack(taps)
    mean = seen.mean(1)
    centred = seen - mean[:, None]
    return mean, centred @ centred.T / seen.shape[1]


# --- the compiled way -----------------------------------------------------------------------


def goes(*tensors: Tensor) -> bool:
    """Return whether the kernel can read these, and torch makes no graph of its own of them."""
    return MOST_TAPS > 0 and not torch.compiler.is_compiling() and fused.serves(*tensors)


@lru_cache(maxsize=128)
def grid(
    spatial: tuple[int, ...], support: tuple[int, ...], places: tuple[int, ...], stride: int
) -> tuple[Integers, Integers]:
    """Return where places lie in a plane with its surroundings, and where taps lie from there."""
    steps = np.cumprod((1, *spatial[:0:-1]))[::-1]
    where = np.tensordot(steps * stride, np.indices(places), axes=1)
    return where.ravel(), np.tensordot(steps, np.indices(support), axes=1).ravel()


@lru_cache(maxsize=128)
def links(
    extents: tuple[int, ...], support: tuple[int, ...], stride: int, periodic: bool
) -> tuple[tuple[int, ...], int, Integers]:
    """Return the extents of what is convolved, and which position each of its taps sees.

    Returns
    -------
    extents_out : tuple of int
    n : int
        Number of links, each of a position of the output, the position that it sees, and the tap.
    numbers : ndarray of int
        Where those of each output start, and all of them; the same sorted by what is seen, and
        turned; and sorted by taps.
    """
    extents_out = tuple(-(-extent // stride) for extent in extents)
    indices = np.indices((*extents_out, *support)).reshape(2 * len(extents), -1)
    to, taps = np.split(indices, 2)
    sizes = np.array(extents)[:, None]
    seen = to * stride + taps - np.array(support)[:, None] // 2
    inside = ((seen >= 0) & (seen < sizes) | periodic).all(axis=0)
    ravel = np.ravel_multi_index
    columns = ravel(to, extents_out), ravel(seen % sizes, extents), ravel(taps, support)
    table = np.stack(columns, axis=1)[inside]
    numbers = []
    for by, n_groups in enumerate((prod(extents_out), prod(extents), prod(support))):
        ordered = table[np.argsort(table[:, by], kind="stable")]
        starts = np.searchsorted(ordered[:, by], np.arange(n_groups + 1))
        numbers += [starts, ordered[:, [1, 0, 2]].ravel() if by == 1 else ordered.ravel()]
    return extents_out, len(table), np.concatenate(numbers).astype(np.int64)


def values(tensor: Tensor) -> Any:
    """Return an array with the values of a tensor side by side."""
    return tensor.detach().resolve_neg().contiguous().numpy()


def kernel(kind: int, x: Tensor, places: tuple[int, ...], way: Way, *arrays: Any) -> None:
    """Let the kernel fill arrays.

    Parameters
    ----------
    kind : int
    x : Tensor
    places : tuple of int
    way : Way
    arrays : ndarray or None
        Spatial filters with their shifts behind them, filters [tap][factor][filter], the output,
        and the gradients of samples, of spatial filters and of filters.
    """
    ndim = len(way.support)
    spatial, extents = tuple(x.shape[-ndim:]), tuple(x.shape[2:-ndim])
    where, offset = grid(spatial, way.support, places, way.stride)
    n_factors = 1 if arrays[0] is None else len(arrays[0]) // (1 + len(offset))
    numbers = [*x.shape[:2], prod(extents), prod(spatial), n_factors, int(way.rectify)]
    table = None
    if arrays[1] is None:
        numbers += [1, 1, 1, 0]
    else:
        seen = extents, way.attribute_support, way.attribute_stride, way.periodic
        extents_out, n, table = links(*seen)
        numbers += [prod(extents_out), arrays[1].shape[2], len(arrays[1]), n]
    layout = np.array(numbers, np.int64), where, offset, table
    arrays += (None,) * (6 - len(arrays))
    _attributes.run(fused.KERNELS[0], torch.get_num_threads(), kind, *layout, values(x), *arrays)


class ConvolveAttributes(fused.OneByOne):
    """The compiled way of ``convolve_attributes``."""

    @staticmethod
    def forward(x: Tensor, spatial: Tensor, shift: Tensor, filters: Tensor, way: Way) -> Tensor:
        """Return what is convolved."""
        places = way.places(x)
        extents = x.shape[2 : -len(places)]
        extents_out, *_ = links(
            tuple(extents), way.attribute_support, way.attribute_stride, way.periodic
        )
        y = x.new_empty((len(x), *extents_out, len(filters), *places))
        kernel(FORWARD, x, places, way, *weights(spatial, shift, filters), y.numpy())
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """Keep what derivatives need."""
        *tensors, ctx.way = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> Any:
        """Return the gradients of the four tensors."""
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[:4]
        if torch.is_grad_enabled() or not goes(above):
            return *gradients_by_torch(by_torch, tensors, wanted, above, ctx.way), None
        x, spatial, shift, filters = tensors
        into = x.new_zeros(x.shape) if wanted[0] else None
        of_spatial = x.new_empty((len(spatial), prod(ctx.way.support) + 1))
        given = weights(spatial, shift, filters)
        of_filters = x.new_empty(given[1].shape)
        found = None if into is None else into.numpy(), of_spatial.numpy(), of_filters.numpy()
        kernel(BACKWARD, x, ctx.way.places(x), ctx.way, *given, values(above), *found)
        of_shift = of_spatial[:, -1].clone()
        of_spatial = of_spatial[:, :-1].reshape(spatial.shape)
        return into, of_spatial, of_shift, of_filters.permute(2, 1, 0).reshape(filters.shape), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        """Return the derivative along a direction."""
        tensors = ctx.saved_tensors
        pairs = zip(tangents[:4], tensors, strict=True)
        along = tuple(torch.zeros_like(one) if t is None else t for t, one in pairs)
        return torch.func.jvp(partial(by_torch, way=ctx.way), tensors, along)[1]


def weights(spatial: Tensor, shift: Tensor, filters: Tensor) -> tuple[Any, Any]:
    """Return spatial filters with their shifts, and filters [tap][factor][filter]."""
    return (
        values(torch.cat([spatial.flatten(), shift])),
        values(filters.flatten(2).permute(2, 1, 0)),
    )


def gradients_by_torch(
    function: Any, tensors: Sequence[Tensor], wanted: Sequence[bool], above: Any, *rest: Any
) -> list[Tensor | None]:
    """Return the gradients of a function that torch computes, which have derivatives as well."""
    learned = [one for one, need in zip(tensors, wanted, strict=True) if need]

    def of_learned(*learned: Tensor) -> Any:
        given = iter(learned)
        pairs = zip(tensors, wanted, strict=True)
        return function(*(next(given) if need else one for one, need in pairs), *rest)

    # Not torch.autograd.grad: one of them may be a function of another.
    with torch.enable_grad():
        found = iter(torch.func.vjp(of_learned, *learned)[1](above))
    return [next(found) if need else None for need in wanted]


def moments_in_double(
    x: Tensor, support: tuple[int, ...], stride: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and covariance from sums of products in single precision."""
    n_taps, way = prod(support), Way(support, stride, False, (), 1, False)
    places = way.places(x)
    sums = np.empty(n_taps * (n_taps + 3) // 2)  # each tap's, and its products with those up to it
    kernel(MOMENTS, x, places, way, None, None, sums)
    sums /= prod(x.shape[: -len(support)]) * prod(places)
    own = np.cumsum(np.arange(n_taps) + 1) - 1
    mean, products = sums[own], np.zeros((n_taps, n_taps))
    products[np.tril_indices(n_taps)] = np.delete(sums, own)
    with np.errstate(invalid="ignore"):  # of samples that are not finite
        return mean, products + np.tril(products, -1).T - np.outer(mean, mean)


class PatchMoments(torch.autograd.Function):
    """The compiled way of ``patch_moments``."""

    @staticmethod
    def forward(x: Tensor, support: tuple[int, ...], stride: int) -> tuple[Tensor, Tensor]:
        """Return mean and covariance."""
        mean, covariance = moments_in_double(x, support, stride)
        if (mean**2 > FAR * covariance.diagonal()).any():
            offset = mean.mean()
            mean, covariance = moments_in_double(x - float(offset), support, stride)
            mean += offset
        return torch.from_numpy(mean).to(x), torch.from_numpy(covariance).to(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep what derivatives need."""
        x, *ctx.rest = inputs
        ctx.save_for_backward(x, output[0])
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_covariance: Tensor) -> Any:
        r"""Return the gradient, :math:`((G + G^T)(x - m) + g) / N` of what filters see."""
        x, mean = ctx.saved_tensors
        support, stride = ctx.rest
        above = of_mean, of_covariance
        if torch.is_grad_enabled() or not goes(*above):
            return *gradients_by_torch(moments_by_torch, [x], [True], above, *ctx.rest), None, None
        way = Way(support, stride, False, (), 1, False)
        places = way.places(x)
        n = prod(x.shape[: -len(support)]) * prod(places)
        filters = (of_covariance + of_covariance.T) / n
        shift = of_mean / n - filters @ mean
        gradient = x.new_zeros(x.shape)
        arrays = values(torch.cat([filters.flatten(), shift])), None, None, gradient.numpy()
        kernel(REFILTER, x, places, way, *arrays)
        return gradient, None, None

    @staticmethod
    def jvp(ctx: Any, along: Tensor, *others: Any) -> Any:
        """Return the derivatives along a direction."""
        (x,) = ctx.saved_tensors
        return torch.func.jvp(lambda x: moments_by_torch(x, *ctx.rest), (x,), (along,))[1]

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, *rest: Any) -> Any:
        """Return the results for a batch of tensors, one after another."""
        results = [PatchMoments.apply(one, *rest) for one in x.unbind(in_dims[0])]
        return tuple(map(torch.stack, zip(*results, strict=True))), (0, 0)
