"""Functions of the local jet that do not change when an image is rotated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frame, exact_jet
from ..frames.jet import SCALE
from ..params import integer, param
from .frame_transformer import PooledMaps

Tensors = Sequence[Tensor]  # the derivatives of every order k, (..., ndim, ..., ndim) of k axes

# Contractions of derivatives by the fewest dimensions in which each says something new: words are
# indices of one factor, and what stands twice is summed over.
CONTRACTIONS = {
    1: ("", "i i", "ii", "i ijj"),
    2: ("ij ij", "i ij j", "ijj ikk", "ijk ijk", "ij ijk k"),
    3: (
        *("ij jk ki", "i ij jk k"),
        *("ij ikk j", "i j k ijk", "ij ikl jkl", "i j ikl jkl", "ij jk ikl l", "i j ijk kll"),
    ),
}


def order_of(words: str) -> int:
    """Return the highest order of the derivatives in a product."""
    return max(map(len, words.split()), default=0)


def contraction(words: str, tensors: Tensors) -> Tensor:
    """Return the sum over all indices of a product of derivatives."""
    factors = words.split() or [""]
    operands = [tensors[len(factor)] for factor in factors]
    return torch.einsum(",".join(f"...{factor}" for factor in factors) + "->...", *operands)


def gradient_magnitude(L: Tensors) -> Tensor:
    """Return L_w, the derivative in the direction of the gradient."""
    return contraction("i i", L).sqrt()


def hessian_determinant(L: Tensors) -> Tensor:
    """Return det(L_ij), by formula, as a general routine takes far longer for small matrices."""
    if L[2].shape[-1] == 2:
        return L[2][..., 0, 0] * L[2][..., 1, 1] - L[2][..., 0, 1] ** 2
    first, *others = L[2].unbind(-2)
    return (first * torch.linalg.cross(*others)).sum(-1)  # traces of powers would cancel


def isophote_curvature(L: Tensors) -> Tensor:
    """Return kappa L_w**3 = - L_vv L_w**2, of corners too, and positive about bright blobs."""
    return contraction("i ij j", L) - contraction("i i", L) * contraction("ii", L)


def flowline_curvature(L: Tensors) -> Tensor:
    """Return mu L_w**3 = - L_vw L_w**2, whose sign a mirror turns round."""
    (y, x), bent = L[1].unbind(-1), torch.einsum("...ij,...j->...i", L[2], L[1])
    return bent[..., 0] * x - bent[..., 1] * y  # v is (L_y, - L_x) / L_w


def mean_curvature(L: Tensors) -> Tensor:
    """Return H L_w**3, half the sum of the principal curvatures of the isosurface."""
    return isophote_curvature(L) / 2


def gaussian_curvature(L: Tensors) -> Tensor:
    """Return K L_w**4, the product of the principal curvatures, L_i adj(L_jk)_il L_l."""
    a, b, c = L[2].unbind(-2)
    cross = torch.linalg.cross
    adjugate = torch.stack([cross(b, c), cross(c, a), cross(a, b)], dim=-2)
    return torch.einsum("...i,...ij,...j->...", L[1], adjugate, L[1])


NAMED: Mapping[Callable[[Tensors], Tensor], tuple[int, tuple[int, ...]]] = {  # order, dimensions
    gradient_magnitude: (1, (1, 2, 3)),
    hessian_determinant: (2, (2, 3)),
    isophote_curvature: (2, (2,)),
    flowline_curvature: (2, (2,)),
    mean_curvature: (2, (3,)),
    gaussian_curvature: (2, (3,)),
}


class DifferentialInvariants(PooledMaps):
    r"""Means of the differential invariants of an image: what rotations leave as it is.

    .. math::
        \Phi_{cIp}(f) = \mathrm{mean}_{x \in \text{cell } p} \,
        I(L, L_i, L_{ij}, \dots)(x), \qquad
        L_{i_1 \dots i_k} = \sigma^k \, \partial_{i_1} \dots \partial_{i_k} (g_\sigma * f_c)

    The invariants I are sums over all indices that stand twice, such as
    :math:`L_i L_{ij} L_j`, named ``L_i L_ij L_j``.  They are complete: as many as the derivatives
    have degrees of freedom up to a rotation, and independent of each other at almost every
    point, so that every other invariant is locally a function of them.

    ==========  =======  =======  =======
    dimensions  order 1  order 2  order 3
    ==========  =======  =======  =======
    1                 2        3        4
    2                 2        5        9
    3                 2        7       17
    ==========  =======  =======  =======

    Up to order 2 these are L, L_i L_i, L_ii; in 2D also L_ij L_ij and L_i L_ij L_j; and in 3D
    L_ij L_jk L_ki and L_i L_ij L_jk L_k too.  In 1D a mirror stands for the rotations.

    Then come functions of them that have names: ``gradient_magnitude`` L_w and
    ``hessian_determinant``; in 2D ``isophote_curvature`` and ``flowline_curvature``, both times
    L_w^3; in 3D the curvatures of isosurfaces, ``mean_curvature`` times L_w^3 and
    ``gaussian_curvature`` times L_w^4.  So they are finite where the gradient is 0.  Curvatures
    are positive around bright blobs (that of Gauss around dark ones too).  A mirror turns the
    sign of ``flowline_curvature``, and changes nothing else.

    Derivatives are scale-normalised, by :math:`\sigma^k`, and exact on polynomials (see
    ``exact_jet``).  Beyond its borders an image goes on with the values there.  Where it does not
    touch them, L_ii, ``hessian_determinant`` and ``flowline_curvature`` are divergences, whose
    means over the whole image are 0 but for sampling: they say something of cells, or of maps.

    Parameters
    ----------
    order : int, default=2
        Highest order of derivatives, 1 to 3.
    scale : float, default=1.0
        Standard deviation of the Gaussian in samples, at least 0.5.
    pool : int, default=1
        Number of cells along every axis, at most the extent; 1 averages over all places, which
        makes features invariant, and None keeps every sample point.

    See Also
    --------
    FrameTransformer : Responses to the atoms of a frame.

    References
    ----------
    L. M. J. Florack, B. M. ter Haar Romeny, J. J. Koenderink and M. A. Viergever. Cartesian
    differential invariants in scale-space. Journal of Mathematical Imaging and Vision, 1993.
    B. M. ter Haar Romeny. Front-end vision and multi-scale image analysis. Springer, 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import DifferentialInvariants
    >>> X = load_digits().images[:50]
    >>> model = DifferentialInvariants(dtype="float64")
    >>> features = model.fit_transform(X)
    >>> model.get_feature_names_out()[:4].tolist()
    ['c0 L (0,0)', 'c0 L_i L_i (0,0)', 'c0 L_ii (0,0)', 'c0 L_ij L_ij (0,0)']
    >>> bool(np.allclose(model.transform(np.rot90(X, axes=(1, 2))), features))
    True
    """

    order: int = param(2, integer(1, 3))
    scale: float = param(1.0, SCALE)
    pool: int | None = param(1, integer(1) | None)

    _padding_mode: ClassVar[str] = "replicate"  # other continuations bend isophotes at the border

    def _frame(self, ndim: int) -> Frame:
        frame: Frame = exact_jet(ndim, self.order, self.scale)
        return frame

    def _maps(self, responses: Tensor) -> Tensor:
        jet = responses.movedim(1, -1)
        places = places_of(self.frame_.labels, self.frame_.ndim, self.order)
        tensors = [jet[..., torch.from_numpy(numbers)] for numbers in places]
        contractions = [contraction(words, tensors) for words in self._contractions()]
        return torch.stack([*contractions, *(one(tensors) for one in self._named())], dim=1)

    def _labels(self) -> Sequence[str]:
        contractions = [
            " ".join(f"L_{word}" for word in words.split()) or "L" for words in self._contractions()
        ]
        return [*contractions, *(one.__name__ for one in self._named())]

    def _contractions(self) -> list[str]:
        """Return a complete set."""
        known = [words for n in range(1, self.frame_.ndim + 1) for words in CONTRACTIONS[n]]
        return sorted((words for words in known if order_of(words) <= self.order), key=order_of)

    def _named(self) -> list[Callable[[Tensors], Tensor]]:
        return [
            one
            for one, (order, ndims) in NAMED.items()
            if order <= self.order and self.frame_.ndim in ndims
        ]


@cache
def places_of(labels: tuple[str, ...], ndim: int, order: int) -> list[NDArray[np.int64]]:
    """Return for every order the numbers of the derivatives, shape (ndim, ..., ndim)."""
    letters, tables = "xyz"[:ndim][::-1], []
    for k in range(order + 1):
        names = ("".join(sorted(axes)) for axes in product(letters, repeat=k))  # they commute
        numbers = [labels.index(f"g_{name}" if name else "g") for name in names]
        tables.append(np.array(numbers).reshape((ndim,) * k))
    return tables
