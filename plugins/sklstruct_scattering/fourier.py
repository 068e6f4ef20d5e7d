"""The modulus of the windowed Fourier transform, as a torch module and as features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import ceil, prod
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklstruct.params import check, integer, param

from .checks import COUNT, PADDING, check_shape, whole
from .features import MapTransformer
from .grid import Grid, in_pieces
from .meta import AXES
from .paths import Axis

MOST_FREQUENCIES = 1 << 23  # whose numbers take half a gigabyte for a moment


class WindowedFourier(nn.Module):
    r"""Modulus of the windowed Fourier transform, on a grid of positions and frequencies.

    .. math::
        F x(k, u) = w^{-d/2}
        \Big| \sum_v x(v) \, g(v - u) \, e^{-2 \pi i \langle k, v \rangle / w} \Big|

    with :math:`g(v) = \prod_a \sin(\pi v_a / w)` on a cube of w samples.  Where w is even and
    windows overlap by half, the squares of the windows add to 1; so, with periodic padding and
    extents that are multiples of w/2, the squares of the coefficients add to
    :math:`\|x\|^2`.  As x is real, -k gives what k gives, and one of the two is left out.

    Parameters
    ----------
    shape : tuple of int
        Extents of the signals, (T,), (H, W) or (D, H, W).
    window : int, default=8
        Extent w of the window, and number of frequencies along an axis.  None is the Fourier
        transform of the whole signal, g = 1, which no translation changes if it is cyclic, and
        every deformation the more the higher the frequency is.
    hop : int, default=None
        Samples from one window to the next, at most w; None is half a window.
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How signals continue beyond their border.

    Attributes
    ----------
    frequencies : ndarray, shape (n_frequencies, ndim)
        The vectors k, in periods to the window.
    out_shape : tuple of int
        Number of windows along every axis.

    Raises
    ------
    ValueError
        If a parameter is not valid.

    See Also
    --------
    WindowedFourierTransformer : The same as features of an estimator.

    References
    ----------
    S. Mallat. Group invariant scattering. Communications on Pure and Applied Mathematics, 2012,
    section 1: what is not stable about it.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import WindowedFourier
    >>> module = WindowedFourier(shape=(16, 16), window=4)
    >>> module(torch.zeros(5, 1, 16, 16)).shape
    torch.Size([5, 1, 10, 8, 8])
    >>> module.frequencies[-1]
    array([-1,  1])
    """

    def __init__(
        self,
        shape: Sequence[int],
        window: int | None = 8,
        hop: int | None = None,
        padding: str = "reflect",
    ) -> None:
        super().__init__()
        self.shape = check_shape(shape)
        self.window = None if window is None else whole("window", window, COUNT)
        if self.window is None and hop is not None:
            raise ValueError(f"hop={hop!r} is the distance of windows, but window is None.")
        self.hop = None if hop is None else whole("hop", hop, integer(1, self.window))
        self.padding = check("padding", padding, PADDING)
        self.widths, self.steps = self.shape, self.shape
        if self.window is not None:
            self.widths = (self.window,) * len(self.shape)
            self.steps = (self.hop or ceil(self.window / 2),) * len(self.shape)
        places = zip(self.shape, self.widths, self.steps, strict=True)
        self.grid = Grid(tuple(window_axis(*place) for place in places), padding)
        self.out_shape = tuple(ceil(n / s) for n, s in zip(self.shape, self.steps, strict=True))
        self.frequencies = distinct_frequencies(self.widths)

    def extra_repr(self) -> str:
        """Return the parameters."""
        return f"shape={self.shape}, window={self.window}, hop={self.hop}, padding={self.padding!r}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the moduli.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *shape)
            Real; float32 or float64.

        Returns
        -------
        moduli : Tensor, shape (n, channels, n_frequencies, *out_shape)

        Raises
        ------
        TypeError
            If x is not a real floating-point tensor.
        ValueError
            If x has another shape.
        """
        return in_pieces(self._moduli, x, self.shape, prod(self.out_shape + self.widths))

    def _moduli(self, signals: Tensor) -> Tensor:
        """Return the moduli of signals (n, *shape)."""
        ndim = len(self.shape)
        patches = self.grid.pad(signals)  # to become (n, *places, *window)
        for dim, (width, step) in enumerate(zip(self.widths, self.steps, strict=True), start=1):
            patches = patches.unfold(dim, width, step)
        taper = torch.from_numpy(self._taper()).to(patches)
        spectra = torch.fft.rfftn(patches * taper, dim=self.grid.dims, norm="ortho")
        wanted = torch.from_numpy(self._rows()).to(signals.device)
        moduli = spectra.flatten(-ndim).index_select(-1, wanted).abs()
        return moduli.movedim(-1, 1)

    def _taper(self) -> NDArray[np.float64]:
        """Return the window, 1 for the whole signal."""
        if self.window is None:
            return np.ones(self.widths)
        # half a sample off, so that it is symmetric and no sample is lost
        wave = np.sin(np.pi * (np.arange(self.window) + 0.5) / self.window)
        return reduce(np.multiply.outer, [wave] * len(self.widths))

    def _rows(self) -> NDArray[np.intp]:
        """Return where the frequencies stand in the flat transform of real signals."""
        half = (*self.widths[:-1], self.widths[-1] // 2 + 1)
        return np.ravel_multi_index(tuple((self.frequencies % self.widths).T), half)


class WindowedFourierTransformer(MapTransformer):
    r"""Moduli of windowed Fourier transforms of signals, images and volumes.

    .. math::
        F x(k, u) = w^{-d/2}
        \Big| \sum_v x(v) \, g(v - u) \, e^{-2 \pi i \langle k, v \rangle / w} \Big|

    with a sine window g, w samples wide along every axis.  A translation by much less than w
    changes them little; but a dilation moves high frequencies far, from one k to the next, and
    the more so the wider the window: they are not stable to deformations as scattering is.

    Nothing is learned.  Features are ordered by channel, frequency and place.

    Parameters
    ----------
    window : int, default=8
        Extent w of the window, which may be wider than the signal, and number of frequencies
        along an axis.  None is the Fourier transform of the whole.
    hop : int, default=None
        Samples from one window to the next, at most w; None is half a window.

    Attributes
    ----------
    module_ : WindowedFourier
        The torch module; its ``frequencies`` and ``out_shape`` tell how to fold the features.

    See Also
    --------
    ScatteringTransformer : Stable to deformations.
    WindowedFourier : The torch module.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import WindowedFourierTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> transformer = WindowedFourierTransformer(window=4, image_shape=(8, 8)).fit(X)
    >>> transformer.transform(X[:5]).shape
    (5, 160)
    >>> transformer.get_feature_names_out()[-1]
    'F[k=(-1,1)]@(3,3)'

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013, section 2.
    """

    window: int | None = param(8, COUNT | None)
    hop: int | None = param(None, COUNT | None)

    _kind: ClassVar[Any] = WindowedFourier

    def _maps(self) -> pd.DataFrame:
        k = self.module_.frequencies  # in periods to the window; xi is in cycles a sample
        table = pd.DataFrame(k, columns=[f"k_{axis}" for axis in AXES[k.shape[1]]])
        table["xi"] = np.linalg.norm(k / self.module_.widths, axis=1)
        names = [f"F[k=({','.join(map(str, each))})]" for each in k.tolist()]
        return table.set_axis(names if k.shape[1] > 1 else [f"F[k={each}]" for each in k[:, 0]])


def window_axis(extent: int, width: int, step: int) -> Axis:
    """Return the axis on which windows cover a signal, as much at one end as at the other."""
    padded = (ceil(extent / step) - 1) * step + width  # what the last window reaches
    return Axis(extent, (padded - extent) // 2, padded)


def distinct_frequencies(widths: tuple[int, ...]) -> NDArray[np.intp]:
    """Return one of each pair of wave vectors k and -k, the one with the last entry positive."""
    if prod(widths) > MOST_FREQUENCIES:
        raise ValueError(
            f"a window of {'x'.join(map(str, widths))} samples must have at most "
            f"{MOST_FREQUENCIES} frequencies, got {prod(widths)}."
        )
    k = np.indices(widths).reshape(len(widths), -1)
    extents = np.array(widths)[:, None]
    # The last axis counts most: of that one, transforms of real signals keep the first half.
    number, opposite = (
        np.ravel_multi_index(tuple(each[::-1]), widths[::-1]) for each in (k, -k % extents)
    )
    kept = k[:, number <= opposite]
    return np.where(kept > extents // 2, kept - extents, kept).T
