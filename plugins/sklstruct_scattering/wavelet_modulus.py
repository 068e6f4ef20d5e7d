"""The modulus of the wavelet transform at any scales, as a torch module and as features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import log2
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sklstruct.params import FLAG, Rule, check, param, real

from . import bank
from .bank import Bank, Wavelet
from .checks import COUNT, SCALE, is_several, whole
from .features import MapTransformer, OnWavelets
from .meta import COLUMNS
from .scattering import Scattering


class WaveletModulus(Scattering):
    r"""Modulus of the wavelet transform: scattering of first order, at any scales.

    .. math::
        W x(s, \theta, u) = |x \star \psi_{s,\theta}|(u), \qquad
        \psi_{s,\theta}(u) = s^{-d} \, \psi_\theta(u / s)

    or, averaged, :math:`|x \star \psi_{s,\theta}| \star \phi_J`.  The scales of scattering are
    the powers of 2.

    Parameters
    ----------
    J : int
        The largest scale is at most 2^J.  Averages are over about 2^J samples, and kept at
        every 2^J-th.
    shape : tuple of int
        Extents of the signals, (T,), (H, W) or (D, H, W); any, from 2^J on.
    scales : sequence of float, default=None
        From 1, the finest wavelet that samples resolve (3/8 of a period to the sample in the
        plane and in space; on a line 0.35, or 1 / (1 + 2^(3/Q)) where this is more, from Q = 4
        on), to 2^J; None is 1, 2, ... 2^(J-1).
    L : int, default=8
        Number of orientations, in two and three dimensions.
    Q : int, default=1
        Wavelets to the octave that a line would need: the larger, the more periods they have.
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How signals continue beyond their border.
    average : bool, default=True
        If False, the moduli themselves come out, at every sample.

    Attributes
    ----------
    scales : tuple of float
    wavelets : tuple of (float, Wavelet)
        By scale, then by orientation, each with its scale.
    out_shape : tuple of int
        Extents of what comes out.

    Raises
    ------
    ValueError
        If a parameter is not valid, such as a scale larger than the signal.

    See Also
    --------
    WaveletModulusTransformer : The same as features of an estimator.

    References
    ----------
    S. Mallat. Understanding deep convolutional networks. Phil. Trans. R. Soc. A, 2016, section
    3: with the average they are stable to deformations, at a loss that scattering recovers.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import WaveletModulus
    >>> module = WaveletModulus(J=2, shape=(16, 16), scales=(1, 1.5, 2), L=4)
    >>> module(torch.zeros(5, 1, 16, 16)).shape
    torch.Size([5, 1, 12, 4, 4])
    """

    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        scales: Sequence[float] | None = None,
        L: int = 8,
        Q: int = 1,
        padding: str = "reflect",
        average: bool = True,
    ) -> None:
        J, Q = whole("J", J, SCALE), whole("Q", Q, COUNT)
        self.scales = tuple(2.0**j for j in range(J))
        if scales is not None:
            given, scale = scales if is_several(scales) else (scales,), real(least=1, most=2**J)
            wanted = Rule(
                f"different numbers from 1 to 2**J = {2**J}",
                lambda v: all(map(scale.holds, v)) and 0 < len(set(v)) == len(v),
            )
            self.scales = tuple(sorted(map(float, check("scales", given, wanted))))
        super().__init__(J, shape, L=L, Q=Q, max_order=1, padding=padding, average=average)

    @property
    def wavelets(self) -> tuple[tuple[float, Wavelet], ...]:
        """The wavelets by scale, then by orientation, each with its scale."""
        wavelets = [path.wavelets[0] for path in self.paths[1:]]
        # Wavelets know the octave of their scale only.
        scale_of_each = np.repeat(self.scales, len(wavelets) // len(self.scales)).tolist()
        return tuple(zip(scale_of_each, wavelets, strict=True))

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Extents of what comes out."""
        return super().out_shape if self.average else self.shape

    def forward(self, x: Tensor) -> Tensor:
        """Return the moduli.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *shape)
            Real; float32 or float64.

        Returns
        -------
        moduli : Tensor, shape (n, channels, n_wavelets, *out_shape)

        Raises
        ------
        TypeError
            If x is not a real floating-point tensor.
        ValueError
            If x has another shape.
        """
        found = super().forward(x)  # with x itself, or its average, in front
        return found[:, :, 1:] if isinstance(found, Tensor) else torch.stack(found[1:], dim=2)

    def _bank(self) -> Bank:
        usual = super()._bank()
        # Averages are there at these levels; moduli that are not averaged stay as they are.
        coarsest = len(usual.phi) - 1 if self.average else 0
        wavelets = scaled_wavelets(self.padded_shape, self.L, self.Q, self.scales)
        psi = tuple(replace(wavelet, j=min(wavelet.j, coarsest)) for wavelet in wavelets)
        return replace(usual, psi=(psi,))


class WaveletModulusTransformer(OnWavelets, MapTransformer):
    r"""Moduli of the wavelet transform of signals, images and volumes, at any scales.

    .. math::
        W x(s, \theta, u) = |x \star \psi_{s,\theta}| \star \phi_J(u), \qquad
        \psi_{s,\theta}(u) = s^{-d} \, \psi_\theta(u / s)

    or the moduli without the average.  At scales 1, 2, ... 2^(J-1) this is scattering of first
    order in the plane and in space; averaged it is stable to translations and deformations.

    Nothing is learned.  Features are ordered by channel, scale, orientation and place.

    Parameters
    ----------
    J : int, default=2
        The largest scale is at most 2^J.  Averages are over about 2^J samples, and kept at
        every 2^J-th.
    scales : sequence of float, default=None
        From 1, the finest wavelet that samples resolve, to 2^J; None is 1, 2, ... 2^(J-1).
    Q : int, default=1
        Wavelets to the octave that a line would need: the larger, the more periods they have.
    average : bool, default=True
        If False, features are the moduli themselves, at every sample.

    Attributes
    ----------
    module_ : WaveletModulus
        The torch module; its ``wavelets`` and ``out_shape`` tell how to fold the features.

    See Also
    --------
    ScatteringTransformer : Higher orders too.
    WaveletModulus : The torch module.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import WaveletModulusTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> transformer = WaveletModulusTransformer(scales=(1, 1.5, 2), L=4, image_shape=(8, 8))
    >>> transformer.fit_transform(X[:5]).shape
    (5, 48)
    >>> transformer.get_feature_names_out()[-1]
    'W[s=2,theta=3]@(1,1)'

    References
    ----------
    S. Mallat. Group invariant scattering. Communications on Pure and Applied Mathematics, 2012.
    """

    scales: Sequence[float] | None = None
    Q: int = param(1, COUNT)
    average: bool = param(True, FLAG)

    _kind: ClassVar[Any] = WaveletModulus

    def _maps(self) -> pd.DataFrame:
        module = self.module_
        oriented = len(module.shape) > 1
        names = [
            f"W[s={scale:g},theta={wavelet.theta}]" if oriented else f"W[s={scale:g}]"
            for scale, wavelet in module.wavelets
        ]
        columns = [name for name in COLUMNS[len(module.shape)] if name not in ("j", "n")]
        rows = [(scale, *(getattr(w, name) for name in columns)) for scale, w in module.wavelets]
        return pd.DataFrame(rows, columns=["s", *columns], index=names)


@lru_cache(maxsize=bank.BANKS)
def scaled_wavelets(
    shape: tuple[int, ...], L: int, Q: int, scales: tuple[float, ...]
) -> tuple[Wavelet, ...]:
    """Return the wavelets of scattering at other scales, on a grid of this shape."""
    bank.check_room(len(scales) * (L if len(shape) > 1 else 1), shape)
    if len(shape) > 1:
        make: Any = bank.plane_wavelet if len(shape) == 2 else bank.space_wavelet
        return tuple(make(shape, log2(scale), k, L, 0) for scale in scales for k in range(L))
    # Of scale 0, so that their moduli are kept at every sample.  At a coarser level the average
    # would lose a factor: the filters of a line are periodised as in Kymatio, by the mean over
    # stretches and not by their sum.
    waves = [[of_finest / scale for of_finest in bank.finest_wave(Q)] for scale in scales]
    return tuple(
        Wavelet(0, bank.protected(bank.line_wavelet(shape[0], *wave)), xi=wave[0], sigma=wave[1])
        for wave in waves
    )
