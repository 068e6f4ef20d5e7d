"""Transforms that keep the energy of a signal: Fourier, wavelets, curvelets, any tight frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, reduce
from importlib import import_module
from itertools import accumulate, islice, pairwise, product
from math import log2, nan, prod
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..params import Params, instance_of, integer, param
from ..plugins import close_matches, entries, make_frame
from .frame import Array, Frame, build_frame

Signals: TypeAlias = NDArray[np.floating[Any]]
Shape: TypeAlias = tuple[int, ...]

LEAST_EXTENT = 8  # of the low-pass part of curvelets, where the number of scales is not told
SEEN = 1e-2  # share of the largest energy below which a frame does not see a frequency
WEDGES = 3  # of each cone of directions at the coarsest scale; with 3 the frame is tight
EXTRAS = {"pywt": ("wavelets", "Wavelets"), "curvelets.numpy": ("curvelets", "Curvelets")}


class Band(NamedTuple):
    """One sub-band of the coefficients of a transform.

    Parameters
    ----------
    name : str
    scale : float
        Width of what its coefficients see, in samples; nan where there is none.
    part : slice
        Where its coefficients stand among all.
    shape : tuple of int
        Its extents: the coefficients of one signal, in space.

    See Also
    --------
    Transform.bands : All of them.

    Examples
    --------
    >>> from sklstruct.frames import WaveletTransform
    >>> WaveletTransform("haar", levels=1).bands((8,))[1]
    Band(name='d1', scale=2.0, part=slice(4, 8, None), shape=(4,))
    """

    name: str
    scale: float
    part: slice
    shape: Shape


class Transform(Params):
    r"""Base of the transforms: real coefficients :math:`\langle f, \psi_k \rangle` of real signals.

    All are Parseval, :math:`\sum_k \langle f, \psi_k \rangle^2 = \|f\|^2`, so that the adjoint
    gives the signal back, :math:`f = \sum_k \langle f, \psi_k \rangle \psi_k`.  Signals are
    periodic.  Where there are as many coefficients as samples the :math:`\psi_k` are an
    orthonormal basis.

    See Also
    --------
    make_transform : A transform by its name.

    References
    ----------
    S. Mallat. A wavelet tour of signal processing. Academic Press, 2009, section 5.1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.frames import WaveletTransform
    >>> x, wavelets = np.random.default_rng(0).normal(size=(1, 16, 16)), WaveletTransform()
    >>> coefficients = wavelets.analyse(x)
    >>> np.allclose((coefficients**2).sum(), (x**2).sum())
    True
    >>> np.allclose(wavelets.synthesise(coefficients, (16, 16)), x)
    True
    """

    _keywords_only: ClassVar[bool] = False

    def analyse(self, x: ArrayLike) -> Signals:
        """Return the coefficients of signals.

        Parameters
        ----------
        x : array-like, shape (n, *spatial)
            Real signals of 1 to 3 axes.

        Returns
        -------
        coefficients : ndarray, shape (n, n_coefficients)
            In the order of ``bands``; float32 for float32, else float64.

        Raises
        ------
        ValueError
            If a parameter is out of range, if x has other axes or is not real, or if its
            extents are too small.
        ImportError
            If the package behind the transform is missing.
        """
        x = real_floats("x", x)
        self._check(x.shape[1:])
        parts = self._analyse(x)
        return np.concatenate([part.reshape(len(x), -1) for part in parts], 1, dtype=x.dtype)

    def synthesise(self, coefficients: ArrayLike, spatial: Shape) -> Signals:
        """Return the signals of coefficients: the adjoint of ``analyse``, and its left inverse.

        Parameters
        ----------
        coefficients : array-like, shape (n, n_coefficients)
        spatial : tuple of int
            Extents of the signals.

        Returns
        -------
        x : ndarray, shape (n, *spatial)

        Raises
        ------
        ValueError
            As ``analyse``, and if there are more or fewer coefficients than such signals have.
        """
        coefficients, bands = real_floats("coefficients", coefficients), self.bands(spatial)
        wanted = bands[-1].part.stop
        if coefficients.ndim != 2 or coefficients.shape[1] != wanted:
            raise ValueError(
                f"coefficients must have shape (n, {wanted}) for signals of extents {spatial}, "
                f"got {coefficients.shape}."
            )
        n = len(coefficients)
        parts = [coefficients[:, band.part].reshape(n, *band.shape) for band in bands]
        return self._synthesise(parts, tuple(spatial)).astype(coefficients.dtype, copy=False)

    def bands(self, spatial: Shape) -> list[Band]:
        """Return the sub-bands of the coefficients, the coarsest scale first.

        Parameters
        ----------
        spatial : tuple of int
            Extents of the signals.

        Returns
        -------
        bands : list of Band
            With name, scale, place among the coefficients, and shape.

        Raises
        ------
        ValueError
            As ``analyse``.
        """
        self._check(spatial)
        layout = self._layout(tuple(spatial))
        ends = accumulate((prod(shape) for _, _, shape in layout), initial=0)
        return [
            Band(name, scale, slice(*ends), shape)
            for (name, scale, shape), ends in zip(layout, pairwise(ends), strict=True)
        ]

    def _check(self, spatial: Sequence[int]) -> None:
        """Raise ValueError unless parameters are in range and there are 1 to 3 extents."""
        self.check_params()
        if len(spatial) not in (1, 2, 3) or not all(map(integer(1).holds, spatial)):
            raise ValueError(
                f"Signals must have 1 to 3 extents of at least 1, (n, *spatial), got {spatial}."
            )

    def _layout(self, spatial: Shape) -> list[tuple[str, float, Shape]]:
        """Return name, scale and shape of the sub-bands."""
        raise NotImplementedError(f"{type(self).__name__} must define _layout.")

    def _analyse(self, x: Signals) -> list[Signals]:
        """Return the coefficients of each sub-band, arrays of shape (n, *shape)."""
        raise NotImplementedError(f"{type(self).__name__} must define _analyse.")

    def _synthesise(self, parts: list[Signals], spatial: Shape) -> Signals:
        """Return the signals, (n, *spatial), of the coefficients of each sub-band."""
        raise NotImplementedError(f"{type(self).__name__} must define _synthesise.")


class FourierTransform(Transform):
    r"""The orthonormal real Fourier basis, for any extents.

    .. math::
        \sqrt{2 / N} \cos \langle \omega, x \rangle, \quad
        \sqrt{2 / N} \sin \langle \omega, x \rangle

    for each pair :math:`\pm\omega` of frequencies, and :math:`N^{-1/2} \cos \langle \omega, x
    \rangle` where :math:`\omega` and :math:`-\omega` are the same.  Cosines stand where the
    first of a pair stands in the order of ``numpy.fft.fftn``, sines where the second does.

    See Also
    --------
    WaveletTransform, CurveletTransform : Other transforms of whole signals.
    make_transform : By name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.frames import FourierTransform
    >>> wave = np.cos(2 * np.pi * np.arange(8) / 8)
    >>> FourierTransform().analyse([wave, 1 + 0 * wave]).round(2) + 0.0
    array([[0.  , 2.  , 0.  , 0.  , 0.  , 0.  , 0.  , 0.  ],
           [2.83, 0.  , 0.  , 0.  , 0.  , 0.  , 0.  , 0.  ]])
    """

    def _layout(self, spatial: Shape) -> list[tuple[str, float, Shape]]:
        return [("fourier", nan, spatial)]

    def _analyse(self, x: Signals) -> list[Signals]:
        n, *spatial = x.shape
        spectrum = np.fft.fftn(x, axes=axes_of(spatial), norm="ortho").reshape(n, -1)
        own, partner = np.arange(prod(spatial)), opposite(spatial)
        waves = np.sqrt(2) * np.where(own < partner, spectrum.real, spectrum.imag)
        return [np.where(own == partner, spectrum.real, waves)]

    def _synthesise(self, parts: list[Signals], spatial: Shape) -> Signals:
        waves = parts[0].reshape(len(parts[0]), -1)
        own, partner = np.arange(prod(spatial)), opposite(spatial)
        sign = np.sign(own - partner)  # of the sine: -1 at the first of a pair
        pairs = np.where(own < partner, waves, waves[:, partner])
        pairs = pairs + 1j * sign * np.where(own < partner, waves[:, partner], waves)
        spectrum = np.where(own == partner, waves, pairs / np.sqrt(2))
        spectrum = spectrum.reshape(-1, *spatial)
        return np.fft.ifftn(spectrum, axes=axes_of(spatial), norm="ortho").real


class WaveletTransform(Transform):
    r"""Periodic orthonormal wavelets, by the package PyWavelets.

    Extents that :math:`2^{\text{levels}}` does not divide are filled up with zeros first; there
    are a few more coefficients than samples then.

    Parameters
    ----------
    wavelet : str, default="db4"
        Name of an orthogonal wavelet, as PyWavelets has it.
    levels : int, default=None
        Number of scales; if None as many as the smallest extent has room for the filter.

    See Also
    --------
    FourierTransform, CurveletTransform : Other transforms of whole signals.
    make_transform : By name.

    References
    ----------
    I. Daubechies. Ten lectures on wavelets. SIAM, 1992.

    Examples
    --------
    >>> from sklstruct.frames import WaveletTransform
    >>> wavelets = WaveletTransform("haar", levels=2)
    >>> wavelets.analyse([[1, 1, 1, 1, 5, 5, 7, 7]]).round(2) + 0.0
    array([[ 2., 12.,  0., -2.,  0.,  0.,  0.,  0.]])
    >>> [band.name for band in wavelets.bands((8,))]
    ['a2', 'd2', 'd1']
    """

    wavelet: str = param("db4", instance_of("the name of a wavelet", str))
    levels: int | None = param(None, integer(1) | None)

    def _layout(self, spatial: Shape) -> list[tuple[str, float, Shape]]:
        levels, ndim = self._levels(spatial), len(spatial)
        extents = filled_up(spatial, 2**levels)
        shapes = {level: tuple(n >> level for n in extents) for level in range(1, levels + 1)}
        return [
            (f"{'a' * ndim}{levels}", 2.0**levels, shapes[levels]),
            *(
                (f"{key}{level}", 2.0**level, shapes[level])
                for level in range(levels, 0, -1)
                for key in details(ndim)
            ),
        ]

    def _analyse(self, x: Signals) -> list[Signals]:
        spatial = x.shape[1:]
        levels, axes = self._levels(spatial), axes_of(spatial)
        low = zero_filled(x, 2**levels)
        parts: list[Signals] = []
        for _ in range(levels):
            octave = packaged("pywt").dwtn(low, self.wavelet, "periodization", axes)
            low = octave.pop("a" * len(axes))
            parts = [octave[key] for key in details(len(axes))] + parts
        return [low, *parts]

    def _synthesise(self, parts: list[Signals], spatial: Shape) -> Signals:
        low, *rest = parts
        axes = axes_of(spatial)
        keys = details(len(axes))
        while rest:
            own, rest = rest[: len(keys)], rest[len(keys) :]
            octave = dict(zip(keys, own, strict=True)) | {"a" * len(axes): low}
            low = packaged("pywt").idwtn(octave, self.wavelet, "periodization", axes)
        return cropped(low, spatial)

    def _levels(self, spatial: Shape) -> int:
        """Return the number of scales.

        Raises
        ------
        ValueError
            If the wavelet is unknown or not orthogonal, or an extent too small for the levels.
        """
        pywt = packaged("pywt")
        if self.wavelet == "dmey" or self.wavelet not in pywt.wavelist(kind="discrete"):
            known = "an orthogonal wavelet of pywt.wavelist(kind='discrete') (dmey is none)"
            raise ValueError(f"wavelet must be {known}, got {self.wavelet!r}.")
        wavelet = pywt.Wavelet(self.wavelet)
        if not wavelet.orthogonal:
            raise ValueError(f"wavelet must be orthogonal, got {self.wavelet!r}.")
        usual = max(1, pywt.dwt_max_level(min(spatial), wavelet.dec_len))
        return check_levels(self.levels or usual, spatial)


class CurveletTransform(Transform):
    r"""The uniform discrete curvelet transform, by the package curvelets, in 2D and 3D.

    The number of directions doubles at every other scale, so that a curvelet of width
    :math:`2^{-j}` has length :math:`2^{-j/2}`.  Real and imaginary part of a coefficient count
    as two; there are about 4 coefficients for each pixel, and 8 for each voxel.  Extents that 4
    or :math:`2^{\text{levels}}` does not divide are filled up with zeros first.

    Parameters
    ----------
    levels : int, default=None
        Number of scales; if None as many as leave a low-pass part of at least 8 samples along
        every axis.

    See Also
    --------
    WaveletTransform, FourierTransform : Other transforms of whole signals.
    make_transform : By name.

    References
    ----------
    T. T. Nguyen and H. Chauris. Uniform discrete curvelet transform. IEEE Transactions on
    Signal Processing, 2010.

    E. J. Candes and D. L. Donoho. New tight frames of curvelets and optimal representations of
    objects with piecewise C2 singularities. Communications on Pure and Applied Mathematics,
    2004.

    Examples
    --------
    >>> from sklstruct.frames import CurveletTransform
    >>> curvelets = CurveletTransform(levels=2)
    >>> curvelets.analyse([[[1.0] * 16] * 16]).shape
    (1, 1024)
    >>> [band.name for band in curvelets.bands((16, 16))][:3]
    ['low', 'scale 1, cone 0, wedge 0, real', 'scale 1, cone 0, wedge 0, imaginary']
    """

    levels: int | None = param(None, integer(1) | None)

    def _layout(self, spatial: Shape) -> list[tuple[str, float, Shape]]:
        udct, levels = self._udct(spatial)
        (((low,),), *scales) = udct.coefficient_shapes()
        return [
            ("low", 2.0 ** (levels - 1), low),
            *(
                (f"scale {j}, cone {cone}, wedge {wedge}, {half}", 2.0 ** (levels - j), shape)
                for j, cones in enumerate(scales, 1)
                for cone, wedges in enumerate(cones)
                for wedge, shape in enumerate(wedges)
                for half in ("real", "imaginary")
            ),
        ]

    def _analyse(self, x: Signals) -> list[Signals]:
        udct, levels = self._udct(x.shape[1:])
        parts = []
        for signal in zero_filled(x, multiple(levels)):
            low, *rest = flat(udct.forward(signal))
            halves = (half for wedge in rest for half in (wedge.real, wedge.imag))
            parts.append([low.real, *halves])
        return [np.stack(part) for part in zip(*parts, strict=True)]

    def _synthesise(self, parts: list[Signals], spatial: Shape) -> Signals:
        udct, _ = self._udct(spatial)
        low, *halves = parts
        wedges = [re + 1j * im for re, im in zip(halves[::2], halves[1::2], strict=True)]
        vectors = [part.reshape(len(low), -1) for part in (low + 0j, *wedges)]
        x = [udct.backward(udct.struct(vector)) for vector in np.concatenate(vectors, axis=1)]
        return cropped(np.array(x).reshape(-1, *udct.shape), spatial)

    def _udct(self, spatial: Shape) -> tuple[Any, int]:
        """Return the transform of the package for some extents, and the number of scales.

        Raises
        ------
        ValueError
            If there is one axis only, or an extent is too small for the levels.
        """
        if len(spatial) == 1:
            raise ValueError(f"Curvelets need 2 or 3 axes, got extents {spatial}.")
        usual = 1 + max(0, int(log2(min(spatial) / LEAST_EXTENT)))
        levels = check_levels(self.levels or usual, spatial)
        return curvelets_of(filled_up(spatial, multiple(levels)), levels), levels


class FrameTransform(Transform):
    r"""Any frame as a tight one: filtering with all of its atoms, at every octave.

    With :math:`S(\omega) = \sum_k |\hat\psi_k(\omega)|^2` on the frequencies of the signal, the
    atoms and one more, the residual, are

    .. math::
        \hat\psi_k / \sqrt{M}, \qquad \sqrt{1 - S / M}, \qquad M = \max(S, \max(S) / 100)

    Where the frame sees a frequency this is its canonical tight frame, and the residual is 0;
    what it does not see goes to the residual.  Filtering is undecimated.  With ``levels`` the
    signal is split into octaves first, each a Meyer band-pass part on the coarsest grid that
    holds it; the atoms filter all but the low-pass part.

    Parameters
    ----------
    frame : str, frame family or Frame, default="gaussian"
    levels : int, default=0
        Number of octaves that are split off; 0 filters the signal as it is.

    See Also
    --------
    Frame.whitening : The canonical tight frame of patches.

    References
    ----------
    E. P. Simoncelli and W. T. Freeman. The steerable pyramid: a flexible architecture for
    multi-scale derivative computation. ICIP, 1995.

    Examples
    --------
    >>> from sklstruct.frames import FrameTransform
    >>> [band.name for band in FrameTransform("framelet").bands((16,))]
    ['h0', 'h1', 'h2']
    >>> [band.name for band in FrameTransform("framelet", levels=1).bands((16,))]
    ['low', 'h0, octave 1', 'h1, octave 1', 'h2, octave 1']
    """

    frame: Any = param("gaussian", resolve=make_frame)
    levels: int = param(0, integer(0))

    def _layout(self, spatial: Shape) -> list[tuple[str, float, Shape]]:
        frame = build_frame(make_frame(self.frame), len(spatial))
        *octaves, (grid, multipliers) = self._filters(spatial)
        low = [("low", 2.0**self.levels, grid)]
        bands = low if self.levels else names(frame, 0, grid, len(multipliers))
        for number, (grid, multipliers) in reversed([*enumerate(octaves, 1)]):
            bands += names(frame, number, grid, len(multipliers))
        return bands

    def _analyse(self, x: Signals) -> list[Signals]:
        *octaves, coarsest = self._filters(x.shape[1:])
        spectrum = forth(x)
        parts: list[Signals] = []
        for grid, multipliers in octaves:
            low = low_pass(grid)
            parts = responses(spectrum * np.sqrt(1 - low**2), grid, multipliers) + parts
            spectrum = (spectrum * low)[:, *coarse(grid)]
        return responses(spectrum, *coarsest) + parts

    def _synthesise(self, parts: list[Signals], spatial: Shape) -> Signals:
        *octaves, (_, multipliers) = self._filters(spatial)
        rest = iter(parts)
        spectrum = gathered(rest, multipliers)
        for grid, multipliers in reversed(octaves):
            low, kept = low_pass(grid), coarse(grid)
            finer = gathered(rest, multipliers) * np.sqrt(1 - low**2)
            finer[:, *kept] += spectrum * low[kept]
            spectrum = finer
        return back(spectrum, spatial)

    def _filters(self, spatial: Shape) -> list[tuple[Shape, list[Array]]]:
        """Return grid and multipliers of each octave, the finest first, and of what is left.

        Raises
        ------
        ValueError
            If there is no such frame, or an extent is too small for the levels.
        """
        frame = build_frame(make_frame(self.frame), len(spatial))
        if not self.levels:
            return [(spatial, tight(frame, spatial))]
        grids = [spatial]
        for _ in range(check_levels(self.levels, spatial)):
            grids.append(tuple(-(-n // 2) for n in grids[-1]))
        return [*((grid, tight(frame, grid)) for grid in grids[:-1]), (grids[-1], [np.ones(1)])]


def make_transform(transform: Any) -> Any:
    """Return a transform, for its name, for a frame or the name of one, or for itself.

    Parameters
    ----------
    transform : {"fourier", "wavelet", "curvelet"}, str, frame family, Frame or transform
        A frame, or the name of a registered one, stands for the ``FrameTransform`` with it; a
        transform is any object with the methods of ``Transform``.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If it is neither a name nor a frame nor a transform.

    See Also
    --------
    FrameTransform : The transform of a frame.
    nterm_approximation : What transforms are compared by.

    Examples
    --------
    >>> from sklstruct.frames import make_transform
    >>> make_transform("wavelet")
    WaveletTransform(wavelet='db4', levels=None)
    >>> make_transform("framelet")
    FrameTransform(frame=Framelets(degree=1), levels=0)
    """
    if isinstance(transform, str) and transform in TRANSFORMS:
        return TRANSFORMS[transform]()
    if not isinstance(transform, type) and hasattr(transform, "analyse"):
        return transform
    known = [*TRANSFORMS, *entries("frame")]
    if isinstance(transform, str) and transform not in known:
        close = close_matches(transform, known)
        raise ValueError(f"Unknown transform {transform!r}.{close} Known: {', '.join(known)}.")
    return FrameTransform(frame=make_frame(transform))


TRANSFORMS = {
    "fourier": FourierTransform,
    "wavelet": WaveletTransform,
    "curvelet": CurveletTransform,
}


# --- packages --------------------------------------------------------------------------------


def packaged(name: str) -> Any:
    """Return a package that is an optional extra.

    Raises
    ------
    ImportError
        If it is missing; the message names the extra.
    """
    extra, kind = EXTRAS[name]
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{kind} come from a package that cannot be imported ({error}): install it with "
            f'pip install "sklstruct[{extra}]".'
        ) from error


@lru_cache(maxsize=4)  # its windows are as large as a few signals
def curvelets_of(extents: Shape, levels: int) -> Any:
    """Return the curvelet transform of the package for extents that the levels divide."""
    wedges = WEDGES * 2 ** (np.arange(levels) // 2)
    config = np.tile(wedges[:, None], len(extents))
    return packaged("curvelets.numpy").UDCT(extents, config)


# --- values ----------------------------------------------------------------------------------


def real_floats(name: str, values: ArrayLike) -> Signals:
    """Return real values in single precision if they have it, else in double."""
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise ValueError(f"{name} must be real, got values of type {values.dtype}.")
    return values.astype(np.float32 if values.dtype == np.float32 else np.float64, copy=False)


# --- extents ---------------------------------------------------------------------------------


def check_levels(levels: int, spatial: Shape) -> int:
    """Return levels, or raise ValueError where an extent cannot be halved so often."""
    most = int(log2(min(spatial)))
    if levels > most:
        raise ValueError(
            f"levels={levels} must be at most {most} for extents {spatial}: the smallest one is "
            "halved at every level."
        )
    return levels


def axes_of(spatial: Sequence[int]) -> tuple[int, ...]:
    """Return the axes in space of signals (n, *spatial)."""
    return tuple(range(1, len(spatial) + 1))


def filled_up(spatial: Shape, divisor: int) -> Shape:
    """Return the next extents that a number divides."""
    return tuple(-(-n // divisor) * divisor for n in spatial)


def zero_filled(x: Signals, divisor: int) -> Signals:
    """Return signals with zeros at the end of each axis, up to a multiple of a number."""
    spatial = x.shape[1:]
    more = [full - n for full, n in zip(filled_up(spatial, divisor), spatial, strict=True)]
    return np.pad(x, [(0, 0), *((0, n) for n in more)])


def cropped(x: Signals, spatial: Shape) -> Signals:
    """Return signals without what fills them up."""
    return x[(slice(None), *map(slice, spatial))]


# --- frequencies -----------------------------------------------------------------------------


def opposite(spatial: Sequence[int]) -> NDArray[np.intp]:
    """Return for every frequency, in flat order, where the opposite one stands."""
    places = np.ix_(*(-np.arange(n) % n for n in spatial))
    return np.ravel_multi_index(places, tuple(spatial)).ravel()


def forth(x: Signals) -> NDArray[Any]:
    """Return the half spectrum of real signals (n, *spatial)."""
    return np.fft.rfftn(x, axes=axes_of(x.shape[1:]), norm="ortho")


def back(spectrum: NDArray[Any], spatial: Shape) -> Signals:
    """Return the real signals of a half spectrum."""
    return np.fft.irfftn(spectrum, spatial, axes=axes_of(spatial), norm="ortho")


def responses(spectrum: NDArray[Any], grid: Shape, multipliers: list[Array]) -> list[Signals]:
    """Return the correlations of signals with each atom."""
    return [back(spectrum * multiplier.conj(), grid) for multiplier in multipliers]


def gathered(parts: Iterator[Signals], multipliers: list[Array]) -> NDArray[Any]:
    """Return the half spectrum of signals from their correlations with each atom."""
    return reduce(np.add, (forth(next(parts)) * multiplier for multiplier in multipliers))


@lru_cache(maxsize=8)
def tight(frame: Frame, grid: Shape) -> list[Array]:
    """Return the half spectra of the tight frame of a frame, and of the residual unless it is 0."""
    places = np.ix_(*(np.arange(n) - n // 2 for n in frame.support))
    flat = np.ravel_multi_index(places, grid, mode="wrap").ravel()
    # Atoms that are larger than the grid are wrapped around it.
    atoms = np.stack([np.bincount(flat, atom, prod(grid)) for atom in frame.flat])
    spectra = np.fft.rfftn(atoms.reshape(-1, *grid), axes=axes_of(grid))
    energy = (np.abs(spectra) ** 2).sum(axis=0)
    divisor = np.maximum(energy, SEEN * energy.max())
    residual = np.sqrt(1 - energy / divisor)
    return [*(spectra / np.sqrt(divisor)), *([residual] if residual.any() else [])]


def names(frame: Frame, octave: int, grid: Shape, n_bands: int) -> list[tuple[str, float, Shape]]:
    """Return name, scale and shape of what atoms, and the residual, give in an octave."""
    suffix, width = (f", octave {octave}", 2.0 ** (octave - 1)) if octave else ("", 1.0)
    atoms = zip([*frame.labels, "residual"], [*frame.scales * width, nan], strict=True)
    return [(label + suffix, float(scale), grid) for label, scale in islice(atoms, n_bands)]


def low_pass(grid: Shape) -> Array:
    r"""Return the Meyer window on a half spectrum: 1 to :math:`\pi/4`, 0 from :math:`\pi/2` on."""
    axes = [np.fft.fftfreq(n) for n in grid[:-1]] + [np.fft.rfftfreq(grid[-1])]
    windows = []
    for turns in axes:
        t = np.clip(8 * np.abs(turns) - 1, 0, 1)
        windows.append(np.cos(np.pi / 2 * t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)))
    return reduce(np.multiply.outer, windows)


def coarse(grid: Shape) -> tuple[Any, ...]:
    """Return where in a half spectrum the frequencies of the grid of half the extents stand."""
    *others, last = (-(-n // 2) for n in grid)
    centred = [np.arange(m) - m // 2 for m in others]
    rows = [np.fft.ifftshift(places) % n for places, n in zip(centred, grid, strict=False)]
    return np.ix_(*rows, np.arange(last // 2 + 1))


def details(ndim: int) -> list[str]:
    """Return the names of the details of one scale: d along an axis is a difference there."""
    return ["".join(key) for key in product("ad", repeat=ndim)][1:]


def multiple(levels: int) -> int:
    """Return what must divide extents of curvelets; the package needs a quarter of a turn."""
    return max(4, 2**levels)


def flat(nested: Any) -> list[NDArray[Any]]:
    """Return the arrays in nested lists, in order."""
    return [nested] if hasattr(nested, "shape") else [a for part in nested for a in flat(part)]
