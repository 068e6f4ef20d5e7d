"""Scattering along positions and angles at once, as a torch module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, combinations
from math import pi, prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import circulant
from torch import Tensor, nn

from sklstruct.params import FLAG, check, integer

from .bank import BANKS, FREQUENCY, SIGMA, Array, Bank, line_wavelet, plane_bank, protected
from .checks import COUNT, IMAGE, PADDING, SCALE, check_scale, check_shape, whole
from .grid import Grid, in_pieces
from .paths import check_number
from .scattering import FixedFilters, filtered

ORDERS = integer(0, 2)


@dataclass(frozen=True)
class RotoPath:
    """What one coefficient of roto-translation scattering stands for.

    Parameters
    ----------
    j : tuple of int
        Scales of the wavelets that are applied, in order.
    beta : int, default=None
        Orientation of the second wavelet less that of the first, in steps of pi/L.
    k : int, default=None
        Scale 2^k of the wavelet along the angles; K is the low-pass filter.
    theta : int, default=None
        Angle in steps of pi/L, where angles are not averaged.
    """

    j: tuple[int, ...] = ()
    beta: int | None = None
    k: int | None = None
    theta: int | None = None

    @property
    def order(self) -> int:
        """Number of wavelets."""
        return len(self.j)


class RotoTranslationScattering(nn.Module):
    r"""Scattering of images whose second order runs along positions and angles at once.

    .. math::
        U_1 x(u, \theta) = |x \star \psi_{j_1,\theta}|(u), \qquad
        V x(u, \theta) = U_1 x(\cdot, \theta) \star \psi_{j_2,\theta+\beta}(u)

        S_2 x(u) = \frac{1}{2L} \sum_\theta
        \big| V x(u, \cdot) \star \bar\psi_k(\theta) \big| \star \phi_J(u)

    A rotation of x moves U_1 and V along the angles, as well as in position; so the average
    over the angles depends on the pattern but not on its orientation, and yet, other than a
    product of invariants, on how the angles in it are related.

    The angles go round the full circle, in 2L steps.  Where x is real
    :math:`V(\theta + \pi) = \overline{V(\theta)}`, so wavelets :math:`\bar\psi_k` of negative
    frequency would only repeat those of positive frequency.

    Parameters
    ----------
    J : int
        The average is over about 2^J samples, and kept at every 2^J-th.
    shape : tuple of int
        Extents of the images, (H, W); any, from 2^J on.
    L : int, default=8
        Number of orientations, over half a turn.
    K : int, default=None
        Number of scales along the angles, next to a low-pass filter; None is the largest with
        2^K up to L.
    max_order : int, default=2
        Largest number of wavelets on a path, 0 to 2.
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How images continue beyond their border.  With "periodic" nothing is padded, so that
        cyclic shifts are exact symmetries, as are rotations by a right angle of square images
        if L is even: extents must be multiples of 2^J.
    angle_average : bool, default=True
        If False, the coefficients of every angle are kept; a rotation permutes them.

    Attributes
    ----------
    paths : tuple of RotoPath
        What the coefficients stand for, in their order.
    out_shape : tuple of int
        Extents of the averaged coefficients.

    Raises
    ------
    ValueError
        If a parameter is not valid, such as a scale larger than the image.

    See Also
    --------
    RotoTranslationTransformer : The same as features of an estimator.
    Scattering : Angles each for itself.

    References
    ----------
    L. Sifre and S. Mallat. Rotation, scaling and deformation invariant scattering for texture
    discrimination. CVPR, 2013.

    E. Oyallon and S. Mallat. Deep roto-translation scattering for object classification. CVPR,
    2015.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import RotoTranslationScattering
    >>> RotoTranslationScattering(J=2, shape=(28, 28), L=4)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 1, 15, 7, 7])
    """

    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 8,
        K: int | None = None,
        max_order: int = 2,
        padding: str = "reflect",
        angle_average: bool = True,
    ) -> None:
        super().__init__()
        self.shape = check_shape(shape, IMAGE)
        self.J, self.L = whole("J", J, SCALE), whole("L", L, COUNT)
        most = self.L.bit_length()  # 2^K may be up to 2L, the whole circle
        self.K = most - 1 if K is None else whole("K", K, integer(0, most))
        self.max_order = whole("max_order", max_order, ORDERS)
        self.padding = check("padding", padding, PADDING)
        self.angle_average = check("angle_average", angle_average, FLAG)
        check_scale(self.J, None, self.shape, padding)
        self.grid = Grid.around(self.shape, self.J, padding)
        self.filters = FixedFilters(sampled_bank(self.grid.padded_shape, self.J, self.L))
        self.paths = roto_paths(self.J, self.L, self.K, self.max_order, angle_average)
        self.out_shape = self.grid.extents(self.J, average=True)

    def extra_repr(self) -> str:
        """Return the parameters that matter most."""
        return f"J={self.J}, shape={self.shape}, L={self.L}, K={self.K}, max_order={self.max_order}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the coefficients.

        Parameters
        ----------
        x : Tensor, shape (n, channels, H, W)
            Real; float32 or float64.

        Returns
        -------
        coefficients : Tensor, shape (n, channels, n_paths, *out_shape)

        Raises
        ------
        TypeError
            If x is not a real floating-point tensor.
        ValueError
            If x has another shape.
        """
        largest = self.L**2 * (self.K + 1) * prod(self.grid.padded_shape)
        return in_pieces(self._coefficients, x, self.shape, largest)

    def _coefficients(self, images: Tensor) -> Tensor:
        """Return the coefficients of images (n, H, W), (n, n_paths, *out_shape)."""
        return torch.cat(list(self._orders(images)), dim=1)

    def _orders(self, images: Tensor) -> Iterator[Tensor]:
        """Yield coefficients of images (n, H, W), order by order."""
        spectrum = torch.fft.fft2(self.grid.pad(images)[:, None])
        yield self._averaged(spectrum, 0)
        if self.max_order == 0:
            return
        moduli = [torch.fft.fft2(self._filtered(spectrum, 0, j)[:, 0].abs()) for j in range(self.J)]
        for j, found in enumerate(moduli):
            # Spectra are linear: averaging over angles first leaves one map to average in space.
            yield self._averaged(found.mean(1, keepdim=True) if self.angle_average else found, j)
        for first, second in pairs(self.J) if self.max_order == 2 else ():
            joint = self._along_angles(self._filtered(moduli[first], first, second))
            yield self._averaged(torch.fft.fft2(joint), second)

    def _filtered(self, spectra: Tensor, level: int, j: int) -> Tensor:
        """Convolve spectra (n, maps, h, w) with the wavelets j: (n, maps, L, h', w')."""
        numbers = tuple(range(j * self.L, (j + 1) * self.L))
        psi = self.filters.psi(1, numbers, level, spectra)
        return torch.fft.ifft2(filtered(spectra[:, :, None], psi, 2 ** (j - level), 2))

    def _along_angles(self, responses: Tensor) -> Tensor:
        """Return the joint moduli (n, n_paths, h, w) of responses (n, L, L, h, w).

        A wavelet turned by pi is the conjugate: half a circle of orientations makes the whole.
        """
        # Axis 1 has the orientation of the first wavelet, axis 2 that of the second less it: what
        # a rotation leaves alone.
        theta, beta = np.arange(2 * self.L), np.arange(self.L)[:, None]
        half_turns = torch.from_numpy((theta + beta) // self.L % 2).bool().to(responses.device)
        circle = responses[:, theta % self.L, (theta + beta) % self.L]
        circle = torch.where(half_turns[..., None, None], circle.conj(), circle)
        # One product for all angular wavelets: so short a circle needs no Fourier transform.
        kernels = self.filters.kept.like(circle, "angular", lambda: angular_kernels(self.L, self.K))
        moduli = (kernels @ circle.flatten(3)).abs().unflatten(-1, circle.shape[-2:])
        if self.angle_average:
            scales = moduli.split(circle_sizes(self.L, self.K), dim=2)
            moduli = torch.stack([scale.mean(2) for scale in scales], dim=2)
        return moduli.flatten(1, 2)

    def _averaged(self, spectra: Tensor, level: int) -> Tensor:
        """Return the averages over 2^J samples of spectra (n, maps, h, w) at a level."""
        phi = self.filters.phi(level, spectra)
        averages = torch.fft.ifft2(filtered(spectra, phi, 2 ** (self.J - level), 2)).real
        return averages[(..., *self.grid.kept(self.J, average=True))]


def pairs(J: int) -> list[tuple[int, int]]:
    """Return the pairs of growing scales below J."""
    return list(combinations(range(J), 2))


def circle_sizes(L: int, K: int) -> list[int]:
    """Return the number of angles of every angular filter: what is low-pass has period pi."""
    return [2 * L] * K + [L]


def roto_paths(J: int, L: int, K: int, max_order: int, angle_average: bool) -> tuple[RotoPath, ...]:
    """Return what the coefficients stand for, in their order."""

    def angles(size: int) -> Sequence[int | None]:
        return (None,) if angle_average else range(size)

    n_angles = 1 if angle_average else 2 * L
    check_number(J + len(pairs(J)) * L * (K + 1) * n_angles if max_order == 2 else J * L)
    first = [RotoPath((j,), theta=theta) for j in range(J) for theta in angles(L)]
    second = [
        RotoPath(j, beta, k, theta)
        for j in pairs(J)
        for beta in range(L)
        for k, size in enumerate(circle_sizes(L, K))
        for theta in angles(size)
    ]
    return tuple(chain([RotoPath()], *(first, second)[:max_order]))


@lru_cache(maxsize=BANKS)
def sampled_bank(shape: tuple[int, int], J: int, L: int) -> Bank:
    """Return the wavelets of the plane, on coarse grids as samples of those on the finest.

    There their spectra overlap at the border of the band, which cutting would leave to one side:
    right angles are exact symmetries.
    """
    bank = plane_bank(shape, J, L)
    psi = [  # levels of the plane are there already, cut: their number is right
        replace(w, levels=protected(*(sampled(w.levels[0], 2**r) for r in range(len(w.levels)))))
        for w in bank.wavelets(1)
    ]
    return replace(bank, psi=(tuple(psi),))


def sampled(spectrum: Array, step: int) -> Array:
    """Return the spectrum of a filter of which every ``step``-th sample is kept."""
    rows, columns = spectrum.shape
    return spectrum.reshape(step, rows // step, step, columns // step).sum(axis=(0, 2))


@lru_cache(maxsize=8)
def angular_kernels(L: int, K: int) -> NDArray[np.complexfloating]:
    """Return the convolutions along 2L angles as one matrix, (sum of circle sizes, 2L).

    They are Morlet wavelets at K scales, of the shape of those of the plane, and a low-pass
    filter.
    """
    spread = [1 / (2 * pi * SIGMA * 2**k) for k in range(K)]
    waves = [line_wavelet(2 * L, FREQUENCY / (2 * pi) / 2**k, spread[k]) for k in range(K)]
    low = line_wavelet(2 * L, 0.0, 1 / (2 * pi * SIGMA * 2 ** (K - 1)))
    responses = [circulant(np.fft.ifft(spectrum)) for spectrum in (*waves, low)]
    sizes = zip(responses, circle_sizes(L, K), strict=True)
    return protected(np.concatenate([rows[:size] for rows, size in sizes]))[0]
