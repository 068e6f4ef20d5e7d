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
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import Frame, GaussianDerivatives
from ..frames.checks import check_positive
from ..frames.product import product_jet
from ..plugins import make_frame
from .filtering import FilterAndMix, Profile, SeparableFilter, build_tree
from .frame_conv import WEAKEST_DIRECTION, FrameConv, check_options

Array = NDArray[np.float64]

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
        factors = tuple(np.round(rows, 12) + 0.0 for rows in factors)  # so that profiles agree
        self.tree, self.n_atoms = build_tree(factors), len(factors[0])
        self.reductions = [
            reduce_bands(
                {profile: correlation(profile, length, stride) for profile in profiles_of(rows)},
                tolerance / len(spatial),
            )
            for rows, length in zip(factors, spatial, strict=True)
        ]
        self._bands = {}

    def __call__(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """Map (n, channels, *spatial) and (out, channels, n_atoms) to (n, out, *spatial_out)."""
        x = along_axes(x, [reduction.smooth for reduction in self.reductions])
        x = FilterAndMix.apply(x, coefficients, self)
        return along_axes(x, [reduction.interpolate for reduction in self.reductions])

    def output_shape(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the small grid of the responses."""
        return tuple(len(next(iter(one.bands.values()))) for one in self.reductions)

    def _band(self, profile: Profile, axis: int, length: int, like: Tensor) -> Tensor:
        key = (profile, axis, like.dtype, like.device)
        if key not in self._bands:
            self._bands[key] = torch.from_numpy(self.reductions[axis - 1].bands[profile]).to(like)
        return self._bands[key]


def profiles_of(rows: Array) -> list[Profile]:
    """Return the different profiles among the factors of one axis."""
    return list(dict.fromkeys(map(tuple, rows.tolist())))


def correlation(profile: Profile, length: int, stride: int) -> Array:
    """Return the correlation with a profile as a matrix, for as many zeros as "same" adds."""
    centre = len(profile) // 2
    offsets = np.arange(length) - np.arange(0, length, stride)[:, None] + centre
    inside = (offsets >= 0) & (offsets < len(profile))
    return np.where(inside, np.array(profile)[offsets.clip(0, len(profile) - 1)], 0.0)


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
        nn.Module.__init__(self)  # FrameConv would hold all atoms as arrays
        check_options(in_channels=in_channels, out_channels=out_channels, stride=stride)
        self.frame = factored_frame(frame, ndim)
        self.in_channels, self.out_channels, self.stride = in_channels, out_channels, stride
        self.padding = tuple(extent // 2 for extent in self.frame.support)
        self.padding_mode, self.method = "zeros", "filter"
        self.tolerance = check_positive("tolerance", tolerance)
        self._filters: dict[tuple[int, ...], list[tuple[list[int], ReducedFilter]]] = {}
        dtype = torch.get_default_dtype()
        norms = torch.tensor(np.sqrt(np.diag(self.frame.gram)), dtype=dtype)
        self.register_buffer("norms", norms, persistent=False)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, len(self.frame)))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_filters": {}}

    @property
    def basis(self) -> Tensor:  # type: ignore[override]
        """The atoms of unit norm as one array, (n_atoms, *support), built anew."""
        atoms = torch.tensor(self.frame.atoms).to(self.weight)
        return atoms / self.norms.view(-1, *(1,) * self.frame.ndim)

    def reset_parameters(self) -> None:
        """Draw kernels that are white in the span of the atoms, as ``FrameConv`` does."""
        norms = np.sqrt(np.diag(self.frame.gram))
        values, vectors = np.linalg.eigh(self.frame.gram / np.outer(norms, norms))
        floored = values.clip(WEAKEST_DIRECTION * values[-1])
        energy = self.in_channels * (values.clip(0) / floored).sum()
        mixing = (vectors / np.sqrt(floored)) @ vectors.T * np.sqrt(2 / energy)
        with torch.no_grad():
            draws = torch.randn_like(self.weight)
            self.weight.copy_(draws @ torch.from_numpy(mixing).to(draws))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def filters(self, spatial: tuple[int, ...]) -> list[tuple[list[int], ReducedFilter]]:
        """Return the atoms of each scale and their filter, for signals of this shape."""
        if spatial not in self._filters:
            factors, scales = self.frame.factors, self.frame.scales
            assert factors is not None
            groups = [np.flatnonzero(same_scale(scales, s)) for s in np.unique(scales)]
            parts = [tuple(rows[atoms] for rows in factors) for atoms in groups]
            self._filters[spatial] = [
                (atoms.tolist(), ReducedFilter(part, spatial, self.stride, self.tolerance))
                for atoms, part in zip(groups, parts, strict=True)
            ]
        return self._filters[spatial]

    def _filter(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            x, coefficients = x.to(self.weight.dtype), self.coefficients
            filters = self.filters(tuple(x.shape[2:]))
            responses = (bank(x, coefficients[:, :, atoms]) for atoms, bank in filters)
            out = next(responses)
            for response in responses:
                out.add_(response)
            return out if self.bias is None else out + self.bias.view(-1, *(1,) * self.frame.ndim)


def same_scale(scales: Array, scale: float) -> Array:
    """Return which scales equal one; those that are nan equal each other."""
    return np.isnan(scales) if np.isnan(scale) else scales == scale


def factored_frame(frame: Any, ndim: int | None) -> Frame:
    """Return a frame with factors, or raise ValueError where the atoms are not separable."""
    frame = make_frame(frame)
    ndim = ndim or (frame.ndim if isinstance(frame, Frame) else 2)
    if type(frame) is GaussianDerivatives:
        return product_jet(frame, ndim)
    built: Frame = frame.build(ndim)
    if built.factors is None:
        raise ValueError(f"The atoms of the frame {built.name!r} are not separable.")
    return built
