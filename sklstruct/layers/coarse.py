r"""Frame convolution at large scales: each scale is filtered at the resolution it deserves.

What a Gaussian of scale 16 lets through is determined by few numbers along each axis, far fewer
than there are samples.  Along every axis the correlations :math:`B_p` with the profiles p of one
scale are therefore replaced by

.. math::
    U U^T B_p V V^T \approx B_p

where the few columns of V smooth and subsample the signal in the best possible way, and those of
U interpolate the responses.  All filtering and mixing happens on the small grid in between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..frames import Frame, GaussianDerivatives
from ..frames.checks import check_positive
from ..frames.product import product_jet
from ..plugins import make_frame
from .filtering import Array, Profile, SeparableFilter, agreeing, correlation
from .frame_conv import FrameConv
from .fused import Axis, make_plan
from .kept import KeptTensors

TAIL = 1e-9  # share of the largest value of a profile
WORTHWHILE = 0.8  # a side is reduced where that leaves at most this share of its samples


class Reduction(NamedTuple):
    """The correlations with the profiles of one scale along one axis, on a small grid.

    Parameters
    ----------
    smooth : ndarray, shape (n_small, length), or None
        From the signal to the small grid; None where nothing is gained.
    bands : dict of ndarray, shape (n_small_out, n_small)
        The correlations, by profile.
    interpolate : ndarray, shape (length_out, n_small_out), or None
    """

    smooth: Array | None
    bands: dict[Profile, Array]
    interpolate: Array | None


def reduce_bands(bands: dict[Profile, Array], tolerance: float) -> Reduction:
    r"""Return the correlations on the smallest grids that keep each to a relative tolerance.

    Parameters
    ----------
    bands : dict of ndarray, shape (length_out, length)
    tolerance : float
        Bound of :math:`\|B_p - U U^T B_p V V^T\| / \|B_p\|` in the spectral norm.
    """
    unit = [band / (np.linalg.norm(band, 2) or 1.0) for band in bands.values()]
    out = leading_space(unit, tolerance / 2)
    into = leading_space([band.T for band in unit], tolerance / 2)
    small = {}
    for profile, band in bands.items():
        band = band if out is None else out.T @ band
        small[profile] = band if into is None else band @ into
    return Reduction(None if into is None else into.T, small, out)


def leading_space(maps: list[Array], tolerance: float) -> Array | None:
    """Return an orthonormal basis of what the maps reach, to a tolerance; None if that is most."""
    left = np.linalg.svd(np.concatenate(maps, axis=1), full_matrices=False)[0]

    def suffices(n: int) -> bool:
        kept = left[:, :n]
        return all(np.linalg.norm(m - kept @ (kept.T @ m), 2) <= tolerance for m in maps)

    # One more direction never makes it worse, so that the fewest are found by bisection.
    most = int(WORTHWHILE * len(left))
    n = bisect_left(range(most + 1), True, key=suffices)
    return left[:, :n] if n <= most else None


class ReducedFilter(SeparableFilter):
    """The atoms of one scale, filtered on a small grid.

    Parameters
    ----------
    factors : tuple of ndarray, shape (n_atoms, extent)
        Of these atoms, one for each axis.
    spatial : tuple of int
        Shape of the signals.
    stride : int
    tolerance : float
        Bound of the relative error of every response, see ``CoarseFrameConv``.
    """

    def __init__(
        self, factors: tuple[Array, ...], spatial: tuple[int, ...], stride: int, tolerance: float
    ) -> None:
        self._grow_tree(factors)
        self.bands = KeptTensors()
        self.reductions = [
            reduce_bands(
                {
                    profile: correlation(profile, length, stride, len(profile) // 2)
                    for profile in dict.fromkeys(map(tuple, agreeing(rows).tolist()))
                },
                tolerance / len(spatial),
            )
            for rows, length in zip(factors, spatial, strict=True)
        ]

        self.plan = make_plan(
            self.tree,
            [self._axis(axis, rows, stride) for axis, rows in enumerate(factors)],
        )

    def _axis(self, axis: int, profiles: Array, stride: int) -> Axis:
        """Return correlations, but for tails that nobody sees, or what they are if reduced."""
        smooth, bands, interpolate = self.reductions[axis]
        if smooth is None and interpolate is None:
            sizes = np.abs(profiles).max(axis=0)
            ends = sizes, sizes[::-1]
            tail = min(int(np.argmax(half > TAIL * sizes.max())) for half in ends)
            taps = len(sizes) - 2 * tail
            middle = slice(tail, tail + taps)
            return Axis(taps, stride, taps // 2, lambda profile: profile[middle])
        rows, columns = next(iter(bands.values())).shape
        return Axis(columns, 0, rows, lambda profile: bands[profile].ravel().tolist())

    def __call__(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Map (n, channels, *spatial) and (out, channels, n_atoms) to (n, out, *spatial_out)."""
        x = along_axes(x, [reduction.smooth for reduction in self.reductions])
        x = super().__call__(x, coefficients)
        return along_axes(x, [reduction.interpolate for reduction in self.reductions])

    def output_shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the small grid of the responses."""
        return tuple(len(next(iter(one.bands.values()))) for one in self.reductions)

    def _band(self, profile: Profile, axis: int, length: int, like: Tensor) -> Tensor:
        bands = self.reductions[axis - 1].bands
        return self.bands.like(like, (profile, axis), lambda: bands[profile])


def along_axes(x: Tensor, matrices: Sequence[Array | None]) -> Tensor:
    """Apply one matrix along each spatial axis; None leaves an axis as it is."""
    for axis, matrix in enumerate(matrices, start=2):
        if matrix is not None:
            x = torch.matmul(x.movedim(axis, -1), torch.from_numpy(matrix.T).to(x))
            x = x.movedim(-1, axis)
    return x


class CoarseFrameConv(FrameConv):
    r"""``FrameConv`` for large scales: each scale is filtered on the smallest grid that holds it.

    The response to every atom is that of ``FrameConv`` with zero padding up to

    .. math::
        \| \tilde\psi \star f - \psi \star f \| \le \epsilon \, \|\psi\|_{op} \, \|f\|

    with the tolerance :math:`\epsilon` and the largest gain :math:`\|\psi\|_{op}` of the atom
    on signals of this shape.

    Parameters
    ----------
    in_channels, out_channels : int
    frame : str, frame family or Frame
        With separable atoms.  Gaussian derivatives are never built as arrays, which at scale 16
        in space would take half a gigabyte.
    ndim : int, default=None
        As of ``FrameConv``.
    stride : int, default=1
    bias : bool, default=True
    tolerance : float, default=1e-3
        The bound :math:`\epsilon` above.

    Raises
    ------
    ValueError
        If a parameter is none of the above, or the atoms are not separable.

    See Also
    --------
    FrameConv

    Examples
    --------
    >>> import torch
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.layers import CoarseFrameConv
    >>> layer = CoarseFrameConv(1, 8, GaussianDerivatives(order=1, scales=(1.0, 16.0)), ndim=3)
    >>> layer(torch.zeros(1, 1, 40, 40, 40)).shape
    torch.Size([1, 8, 40, 40, 40])
    >>> [small.output_shape((40, 40, 40)) for _, small in layer.filters((40, 40, 40))]
    [(40, 40, 40), (6, 6, 6)]
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        frame: Any,
        *,
        ndim: int | None = None,
        stride: int = 1,
        bias: bool = True,
        tolerance: float = 1e-3,
    ) -> None:
        frame = factored_frame(frame, ndim)
        super().__init__(
            in_channels, out_channels, frame, stride=stride, bias=bias, method="filter"
        )
        self.tolerance = check_positive("tolerance", tolerance)

    def _atoms(self) -> dict[str, Array]:
        return {"norms": self.frame.norms}

    @property
    def basis(self) -> Tensor:  # type: ignore[override]
        """The atoms of unit norm as one array, (n_atoms, *support), built anew."""
        return torch.from_numpy(super()._atoms()["basis"]).to(self.weight)

    def filters(self, spatial: tuple[int, ...]) -> list[tuple[list[int], ReducedFilter]]:
        """Return the atoms of each scale and their filter, for signals of this shape."""
        return reduced_filters(self.frame, spatial, self.stride, self.tolerance)

    def _mixed(self, x: Tensor) -> Tensor:
        filters, coefficients = self.filters(tuple(x.shape[2:])), self.coefficients
        return reduce(torch.add, (bank(x, coefficients[:, :, atoms]) for atoms, bank in filters))


@lru_cache(maxsize=64)
def reduced_filters(
    frame: Frame, spatial: tuple[int, ...], stride: int, tolerance: float
) -> list[tuple[list[int], ReducedFilter]]:
    """Return what ``CoarseFrameConv.filters`` does, the same for all layers of a frame."""
    assert frame.factors is not None
    _, scales = np.unique(frame.scales, return_inverse=True)
    groups = [np.flatnonzero(scales == scale) for scale in range(scales.max() + 1)]
    parts = [tuple(rows[atoms] for rows in frame.factors) for atoms in groups]
    return [
        (atoms.tolist(), ReducedFilter(part, spatial, stride, tolerance))
        for atoms, part in zip(groups, parts, strict=True)
    ]


def factored_frame(frame: Any, ndim: int | None) -> Frame:
    """Return a frame with factors, or raise ValueError where the atoms are not separable."""
    frame = make_frame(frame)
    ndim = ndim or (frame.ndim if isinstance(frame, Frame) else 2)
    if type(frame) is GaussianDerivatives:
        return product_jet(frame, ndim)
    frame = frame.build(ndim)
    if frame.factors is None:
        raise ValueError(f"The atoms of the frame {frame.name!r} are not separable.")
    return frame
