"""The scattering transform as a torch module, in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, product
from math import prod
from typing import Any, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sklstruct.layers import KeptTensors
from sklstruct.params import FLAG, check, integer

from . import compiled
from .averages import averages
from .bank import Bank, line_bank, plane_bank, space_bank
from .checks import COUNT, OCTAVES, ORDERS, PADDING, SCALE, check_scale, check_shape, whole
from .grid import Grid, check_signals, in_pieces
from .learnable import LearnableMorlets, ResolvedMorlets
from .paths import Branch, Path, branches, scattering_paths

DERIVED = {"paths", "branches", "fixed", "plan"}  # much, and soon made anew


Filters = Union["FixedFilters", ResolvedMorlets]
# path numbers, their moduli, the spectra of these where paths go on, and their level
Moduli = tuple[Sequence[int], Tensor, Tensor | None, int]


class Scattering(nn.Module):
    r"""Wavelet scattering: averages of wavelet moduli, and of wavelet moduli of these.

    .. math::
        S_0 x = x \star \phi_J, \quad
        S_1 x = |x \star \psi_{\lambda_1}| \star \phi_J, \quad
        S_2 x = \big| |x \star \psi_{\lambda_1}| \star \psi_{\lambda_2} \big| \star \phi_J

    and so on, for wavelets :math:`\lambda` of growing scale.  The coefficients hardly change
    when x is shifted by less than 2^J samples, and depend on small deformations in a Lipschitz
    way.  The computation follows the dtype and the device of x.

    Parameters
    ----------
    J : int
        The average is over about 2^J samples, and kept at every 2^J-th.
    shape : tuple of int
        Extents of the signals, (T,), (H, W) or (D, H, W); any, from 2^J on.
    L : int, default=8
        Number of orientations, in two and three dimensions.
    Q : int or tuple of int, default=1
        Wavelets to the octave on a line, of first order and (if two are given) above.
    max_order : int, default=2
        Largest number of wavelets on a path, 0 to 3.
    T : int, default=None
        Scale of the average on a line, in samples; None is 2^J.
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How signals continue beyond their border.  With "periodic" nothing is padded, so that
        cyclic shifts are exact symmetries: extents must be multiples of 2^J.
    average : bool, default=True
        If False, the last average is left out, and what comes out is a list of the moduli.
    learnable : bool, default=False
        If True, orientation, frequency, width and slant of every wavelet are parameters
        (two dimensions only).

    Attributes
    ----------
    paths : tuple of Path
        The scattering paths, in the order of the coefficients.
    out_shape : tuple of int
        Extents of the averaged coefficients.

    Raises
    ------
    ValueError
        If a parameter is not valid, such as a scale larger than the signal.

    See Also
    --------
    ScatteringTransformer : The same as features of an estimator.
    HarmonicScattering : Volumes, invariant to rotations.

    Notes
    -----
    Coefficients are those of Kymatio 0.3, in its order.  On a line this includes a factor 2^-r
    for every filter that is applied to every 2^r-th sample.

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013.
    J. Andén and S. Mallat. Deep scattering spectrum. IEEE Trans. Signal Processing, 2014.
    S. Gauthier et al. Parametric scattering networks. CVPR, 2022.

    Examples
    --------
    >>> import torch
    >>> from sklstruct import Scattering
    >>> Scattering(J=2, L=8, shape=(28, 28))(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 1, 81, 7, 7])
    """

    def __init__(
        self,
        J: int,
        shape: Sequence[int],
        L: int = 8,
        Q: int | tuple[int, int] = 1,
        max_order: int = 2,
        T: int | None = None,
        padding: str = "reflect",
        average: bool = True,
        learnable: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.J, self.L = check_shape(shape), whole("J", J, SCALE), whole("L", L, COUNT)
        self.Q, self.max_order = whole("Q", Q, OCTAVES), whole("max_order", max_order, ORDERS)
        self.padding = check("padding", padding, PADDING)
        self.average = check("average", average, FLAG)
        if T is not None and len(self.shape) != 1:
            raise ValueError(f"T={T!r} is for signals on a line, got shape={self.shape}.")
        self.T = None if T is None else whole("T", T, integer(1, self.shape[0]))
        check_scale(self.J, self.T, self.shape, padding)
        if check("learnable", learnable, FLAG) and len(self.shape) != 2:
            raise ValueError(f"learnable=True is for two dimensions, got shape={self.shape}.")
        self.grid = (
            Grid.line(*self.shape, self.T or 2**self.J, padding)
            if len(self.shape) == 1
            else Grid.around(self.shape, self.J, padding)
        )
        self.learned = None
        if learnable:
            self.learned = LearnableMorlets(self._bank().wavelets(1), self.padded_shape, self.L)
        self._derive()

    def _derive(self) -> None:
        """Set what follows from the parameters."""
        bank = self._bank()
        self.coarsest = bank.coarsest
        self.paths: tuple[Path, ...] = scattering_paths(bank, self.max_order, self.average)
        self.branches: tuple[Branch, ...] = branches(self.paths)
        self.fixed = FixedFilters(bank)
        usual = self.average and not self.learned
        self.plan = compiled.make_plan(self.grid, bank, self.paths) if usual else None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in DERIVED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._derive()

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """Extents of the padded signals."""
        return self.grid.padded_shape

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Extents of the averaged coefficients."""
        return self.grid.extents(self.coarsest, average=True)

    @property
    def sampled_at(self) -> tuple[NDArray[Any], ...]:
        """Where averaged coefficients lie along each axis, in samples from the first one on."""
        kept = zip(self.grid.axes, self.grid.kept(self.coarsest, average=True), strict=True)
        step = 2**self.coarsest
        return tuple(step * np.arange(part.start, part.stop) - axis.before for axis, part in kept)

    @property
    def map_shapes(self) -> list[tuple[int, ...]]:
        """Extents of the coefficients of every path."""
        if self.average:
            return [self.out_shape] * len(self.paths)
        return [self.grid.extents(path.level, average=False) for path in self.paths]

    def extra_repr(self) -> str:
        """Return the parameters that are not defaults."""
        detail = f"Q={self.Q}" if len(self.shape) == 1 else f"L={self.L}"
        kernel = f", kernel={self.plan.kernel!r}" if self.plan else ""
        return f"J={self.J}, shape={self.shape}, {detail}, max_order={self.max_order}{kernel}"

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Return the coefficients.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *shape)
            Real; float32 or float64.

        Returns
        -------
        coefficients : Tensor, shape (n, channels, n_paths, *out_shape)
            Without averaging, a list of n_paths tensors (n, channels, *extents), each at the
            resolution of its last wavelet.

        Raises
        ------
        TypeError
            If x is not a tensor of float32 or float64.
        ValueError
            If x has another shape.
        """
        check_signals(x, self.shape)
        if self.plan is not None and compiled.serves(x):
            # It declines what only transforms of torch can see through.
            coefficients = compiled.scatter(self.plan, x.flatten(0, 1))
            if coefficients is not None:
                return coefficients.unflatten(0, x.shape[:2])
        # Wavelets that are learned are made once for all signals.
        learned = self.learned and ResolvedMorlets(self.fixed, self.learned(x.dtype))
        compute = partial(self._coefficients, filters=learned or self.fixed)
        widest = max([len(branch.members) for branch in self.branches], default=1)
        found = in_pieces(compute, x, self.shape, widest * prod(self.padded_shape))
        if self.average:
            return found
        sizes = [prod(extents) for extents in self.map_shapes]
        maps = zip(found.split(sizes, dim=-1), self.map_shapes, strict=True)
        return [values.unflatten(-1, extents) for values, extents in maps]

    def _coefficients(self, planes: Tensor, filters: Filters) -> Tensor:
        """Return the coefficients of signals (n, *shape), or the moduli in one row."""
        numbers: list[int] = []
        maps: list[Tensor] = []
        padded = self.grid.pad(planes)[:, None]
        spectrum = torch.fft.fftn(padded, dim=self.grid.dims)
        of_branches = self._descend(spectrum, self.branches, filters)
        for members, modulus, below, level in chain([((0,), padded, spectrum, 0)], of_branches):
            numbers += members
            if self.average:
                maps.append(self._averaged(modulus, below, level, filters))
            else:
                kept: Any = self.grid.kept(level, average=False)
                maps += modulus[(..., *kept)].flatten(2).unbind(1)
        # Branches come depth first, the paths are sorted by order.
        order = np.argsort(numbers).tolist()
        if self.average:
            return torch.cat(maps, dim=1)[:, order]
        return torch.cat([maps[k] for k in order], dim=1)

    def _descend(
        self, spectrum: Tensor, siblings: tuple[Branch, ...], filters: Filters
    ) -> Iterator[Moduli]:
        """Yield the moduli of branches and below, from the spectra of their parents."""
        for branch in siblings:
            psi = filters.psi(branch.order, branch.numbers, branch.parent_level, spectrum)
            step = 2 ** (branch.level - branch.parent_level)
            # (n, parents, wavelets, ...): all parents meet the same wavelets
            response = filtered(spectrum[:, :, None], psi, step, len(self.shape))
            modulus = torch.fft.ifftn(response, dim=self.grid.dims).abs().flatten(1, 2)
            if not branch.children:  # no transform is wasted on where a path ends
                yield branch.members, modulus, None, branch.level
                continue
            below = torch.fft.fftn(modulus, dim=self.grid.dims)
            yield branch.members, modulus, below, branch.level
            yield from self._descend(below, branch.children, filters)

    def _averaged(
        self, modulus: Tensor, spectrum: Tensor | None, level: int, filters: Filters
    ) -> Tensor:
        """Return the averages of moduli at a level, at the places that are kept."""
        dims = self.grid.dims
        if modulus.dtype == torch.float32 and len(self.shape) > 1:  # short sums, and no FFT
            for axis, dim in enumerate(dims):
                matrix = self.fixed.average(self.grid, level, axis, modulus)
                modulus = (modulus.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)
            return modulus
        if spectrum is None:
            spectrum = torch.fft.fftn(modulus, dim=dims)
        step = 2 ** (self.coarsest - level)
        response = filtered(spectrum, filters.phi(level, modulus), step, len(self.shape))
        kept: Any = self.grid.kept(self.coarsest, average=True)
        return torch.fft.ifftn(response, dim=dims).real[(..., *kept)]

    def _bank(self) -> Bank:
        if len(self.shape) == 1:
            # Moduli are smooth: above first order one wavelet to the octave is enough.
            per_octave = (self.Q, 1) if isinstance(self.Q, int) else (*self.Q, 1)[:2]
            return line_bank(*self.padded_shape, self.J, per_octave, self.T or 2**self.J)
        bank = plane_bank if len(self.shape) == 2 else space_bank
        return bank(self.padded_shape, self.J, self.L)


class FixedFilters:
    """The filters of a bank as tensors, in the dtype and on the device of the signals."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.kept = bank, KeptTensors()

    def psi(self, order: int, numbers: tuple[int, ...], level: int, like: Tensor) -> Tensor:
        """Return the wavelets of these numbers at a level, shape (len(numbers), ...)."""
        wavelets = self.bank.wavelets(order)
        key = "psi", order, numbers, level
        return self.kept.like(
            like, key, lambda: np.stack([wavelets[n].levels[level] for n in numbers])
        )

    def phi(self, level: int, like: Tensor) -> Tensor:
        """Return the low-pass filter at a level."""
        return self.kept.like(like, ("phi", level), lambda: self.bank.phi[level])

    def average(self, grid: Grid, level: int, axis: int, like: Tensor) -> Tensor:
        """Return the matrix that averages along an axis of moduli at a level."""
        key = "average", level, axis
        return self.kept.like(like, key, lambda: averages(self.bank, grid, level)[axis].matrix)


def filtered(spectrum: Tensor, psi: Tensor, step: int, ndim: int) -> Tensor:
    """Return the spectra of filtered signals of which every ``step``-th sample is kept.

    Sampling in space is averaging over the aliases in Fourier; products and sums are taken
    alias by alias, so that the full product is never there.

    Parameters
    ----------
    spectrum : Tensor, shape (..., *extents)
        Complex.
    psi : Tensor, shape (..., *extents)
        Real filters; leading axes are broadcast.
    step : int
    ndim : int
        Number of extents.

    Returns
    -------
    response : Tensor, shape (..., *(extent // step for extent in extents))
    """
    pairs = torch.view_as_real(spectrum)  # of real numbers, as filters are: half the work
    weights = torch.stack([psi, psi], dim=-1) / step**ndim
    extents = [n // step for n in psi.shape[-ndim:]]
    corners = product(*(range(0, step * n, n) for n in extents))
    aliases: list[Any] = [
        (..., *(slice(at, at + n) for at, n in zip(corner, extents, strict=True)), slice(2))
        for corner in corners
    ]
    total = pairs[aliases[0]] * weights[aliases[0]]
    for alias in aliases[1:]:
        total = torch.addcmul(total, pairs[alias], weights[alias])
    return torch.view_as_complex(total)
