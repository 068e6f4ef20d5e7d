"""Convolutional dictionaries, and the codes that signals have in them."""

from __future__ import annotations

import warnings
from functools import cached_property
from math import prod

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .thresholds import soft


class ConvolutionalDictionary:
    r"""All cyclic shifts of a few small atoms: the columns of a matrix D.

    .. math:: (D \gamma)_c = \sum_k \psi_{kc} * \gamma_k

    Signals are periodic, so that every atom is whole wherever it stands; those that are larger
    than a signal are wrapped around it.  Columns have norm 1.

    Parameters
    ----------
    atoms : Tensor, shape (n_atoms, channels, *support)
        Which are divided by their norms.
    spatial : tuple of int
        Extents of the signals.

    Raises
    ------
    ValueError
        If an atom is zero on the grid of the signals.

    References
    ----------
    V. Papyan, Y. Romano and M. Elad. Convolutional neural networks analyzed via convolutional
    sparse coding. JMLR, 2017.

    See Also
    --------
    ConvolutionalSparseCoder : Several of them, one on the codes of the other.

    Examples
    --------
    >>> import torch
    >>> from sklstruct_sparse.dictionary import ConvolutionalDictionary
    >>> dictionary = ConvolutionalDictionary(torch.tensor([[[1.0, 1.0]], [[1.0, -1.0]]]), (8,))
    >>> x = torch.randn(5, 1, 8)
    >>> dictionary.analyse(x).shape, dictionary.synthesise(dictionary.analyse(x)).shape
    (torch.Size([5, 2, 8]), torch.Size([5, 1, 8]))
    >>> round(dictionary.mutual_coherence, 3)
    0.5
    """

    def __init__(self, atoms: Tensor, spatial: tuple[int, ...]) -> None:
        places = torch.zeros(1, dtype=torch.long, device=atoms.device)
        for extent, support in zip(spatial, atoms.shape[2:], strict=True):
            along = (torch.arange(support, device=atoms.device) - support // 2) % extent
            places = (places[:, None] * extent + along).flatten()
        grid = atoms.new_zeros(*atoms.shape[:2], prod(spatial))
        grid.index_add_(2, places, atoms.flatten(2))
        norms = grid.flatten(1).norm(dim=1)
        if not (norms > 0).all():
            zero = int((norms == 0).int().argmax())
            raise ValueError(
                f"atom {zero} of a dictionary is zero on signals of extents {spatial}."
            )
        shape = -1, *(1,) * (atoms.ndim - 1)
        self.atoms, self.spatial = atoms / norms.view(shape), tuple(spatial)
        self._axes = tuple(range(2, atoms.ndim))
        self._spectrum = self._forth(grid.view(*atoms.shape[:2], *spatial) / norms.view(shape))

    def synthesise(self, codes: Tensor) -> Tensor:
        """Return the signals D g, (n, n_atoms, *spatial) to (n, channels, *spatial)."""
        return self._back(torch.einsum("kc...,nk...->nc...", self._spectrum, self._forth(codes)))

    def analyse(self, x: Tensor) -> Tensor:
        """Return all inner products with atoms, the adjoint of ``synthesise``."""
        conjugate = self._spectrum.conj()
        return self._back(torch.einsum("kc...,nc...->nk...", conjugate, self._forth(x)))

    @cached_property
    def squared_norm(self) -> float:
        """The largest eigenvalue of D^T D."""
        by_place = self._spectrum.flatten(2).permute(2, 0, 1)
        return float(torch.linalg.matrix_norm(by_place, 2).max()) ** 2

    @cached_property
    def mutual_coherence(self) -> float:
        r"""The largest :math:`|\langle d_i, d_j \rangle|` of two columns of D."""
        largest = 0.0
        for number, spectrum in enumerate(self._spectrum):
            products = self._back((self._spectrum * spectrum.conj()).sum(1)[None])[0]
            products[(number, *(0,) * len(self.spatial))] = 0  # of the column with itself
            largest = max(largest, float(products.abs().max()))
        return largest

    def pursue(
        self,
        x: Tensor,
        penalty: float,
        *,
        pursuit: str = "fista",
        tol: float = 1e-6,
        max_steps: int = 5000,
    ) -> Tensor:
        r"""Return the sparse codes of signals.

        .. math::
            \min_g \tfrac{1}{2} \|x - D g\|^2 + \lambda \|g\|_1, \qquad
            \lambda = \text{penalty} \cdot \max |D^T x|

        Each signal has a :math:`\lambda` of its own: with a penalty of 1 its code is zero.  The
        minimum is where with :math:`c = D^T (x - D g)`

        .. math:: c_i = \lambda \, \mathrm{sign}(g_i) \text{ if } g_i \ne 0, \quad
            |c_i| \le \lambda \text{ else},

        and a signal is done when this is violated by at most :math:`\text{tol} \cdot \lambda`.

        Parameters
        ----------
        x : Tensor, shape (n, channels, *spatial)
        penalty : float
            Above 0.
        pursuit : {"fista", "ista", "threshold"}, default="fista"
            Proximal gradient descent, with momentum or without; or soft thresholding of
            :math:`D^T x` by :math:`\lambda`, which is no minimum but a first guess.
        tol : float, default=1e-6
        max_steps : int, default=5000

        Returns
        -------
        codes : Tensor, shape (n, n_atoms, *spatial)

        Warns
        -----
        ConvergenceWarning
            If some signals are not done after so many steps.

        References
        ----------
        A. Beck and M. Teboulle. A fast iterative shrinkage-thresholding algorithm for linear
        inverse problems. SIAM Journal on Imaging Sciences, 2009.

        B. O'Donoghue and E. Candes. Adaptive restart for accelerated gradient schemes.
        Foundations of Computational Mathematics, 2015.
        """
        products = self.analyse(x)
        each = -1, *(1,) * (x.ndim - 1)
        lam = penalty * products.flatten(1).abs().amax(1).view(each)
        if pursuit == "threshold":
            return soft(products, lam)
        step, out = 1 / self.squared_norm, torch.zeros_like(products)
        left = torch.arange(len(x), device=x.device)  # signals that are not done yet
        g = y = out
        slope = slope_y = -products  # gradients of the smooth part, at g and at y
        t = torch.ones_like(lam)
        for _ in range(max_steps):
            new = soft(y - step * slope_y, step * lam)
            slope_new = self.analyse(self.synthesise(new)) - products
            at_zero = (slope_new.abs() - lam).clamp_min(0)
            off = torch.where(new == 0, at_zero, (slope_new + lam * new.sign()).abs())
            done = off.flatten(1).amax(1) <= tol * lam.flatten()
            out[left] = new
            if done.all():
                return out
            if pursuit == "ista":
                y, slope_y = new, slope_new
            else:
                # Where the momentum leads uphill it starts anew.
                uphill = ((y - new) * (new - g)).flatten(1).sum(1).view(each) > 0
                t = torch.where(uphill, 1, t)
                t_new = (1 + (1 + 4 * t**2).sqrt()) / 2
                ahead, t = (t - 1) / t_new, t_new
                y, slope_y = new + ahead * (new - g), slope_new + ahead * (slope_new - slope)
            g, slope = new, slope_new
            if done.any():
                rest = ~done
                left, lam, products, t = left[rest], lam[rest], products[rest], t[rest]
                g, slope, y, slope_y = g[rest], slope[rest], y[rest], slope_y[rest]
        warnings.warn(
            f"{len(left)} of {len(x)} codes are not within tol={tol:g} after max_steps={max_steps} "
            "steps: raise max_steps, tol or penalty, or use dtype='float64'.",
            ConvergenceWarning,
            stacklevel=2,
        )
        return out

    def _forth(self, x: Tensor) -> Tensor:
        return torch.fft.rfftn(x, dim=self._axes)

    def _back(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfftn(spectrum, s=self.spatial, dim=self._axes)
