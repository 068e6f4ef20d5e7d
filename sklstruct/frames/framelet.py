"""Tight framelets from B-splines, by the unitary extension principle."""

from __future__ import annotations

from functools import reduce
from itertools import product
from math import comb, sqrt

import numpy as np

from .checks import check_integer, check_ndim, check_values
from .frame import Array, Frame, FrameFamily


class Framelets(FrameFamily):
    r"""Tensor products of the B-spline framelet masks.

    With :math:`m = \text{degree} + 1`, mask :math:`l` has the symbol

    .. math::
        \hat h_l(z) = (-1)^{\lfloor l / 2 \rfloor} \, 2^{-m} \sqrt{\tbinom{m}{l}} \,
        (1 + z)^{m - l} (1 - z)^l, \qquad l = 0, \dots, m

    Degree 1 gives [1, 2, 1]/4, sqrt(2)/4 [1, 0, -1] and [-1, 2, -1]/4.  Undecimated filtering
    with all atoms, forth and back, is the identity.

    Parameters
    ----------
    degree : int, default=1
        Degree of the spline, odd (1 is linear, 3 is cubic), so that the support, degree + 2,
        is odd too.

    See Also
    --------
    WaveletTransform : Orthonormal wavelets of whole signals.
    Pixels : The other basis of small patches.

    References
    ----------
    A. Ron and Z. Shen. Affine systems in L2(R^d): the analysis of the analysis operator.
    Journal of Functional Analysis, 1997.

    Examples
    --------
    >>> from sklstruct.frames import Framelets
    >>> frame = Framelets(degree=1).build(ndim=1)
    >>> frame.atoms.round(2)
    array([[ 0.25,  0.5 ,  0.25],
           [ 0.35,  0.  , -0.35],
           [-0.25,  0.5 , -0.25]])
    """

    degree: int = 1

    def build(self, ndim: int) -> Frame:
        """Return the frame of (degree + 2)**ndim atoms; their order counts the sign changes."""
        degree = check_integer("degree", self.degree, 1)
        if degree % 2 == 0:
            raise ValueError(f"degree must be odd, so that the support has a centre, got {degree}.")
        check_values((degree + 2) ** check_ndim(ndim), degree + 2, ndim)
        masks = spline_masks(degree + 1)
        indices = sorted(product(range(len(masks)), repeat=ndim), key=sum)
        atoms = [reduce(np.multiply.outer, [masks[i] for i in index]) for index in indices]
        return Frame(
            "framelet",
            np.stack(atoms),
            labels=tuple("h" + "".join(map(str, index)) for index in indices),
            orders=[sum(index) for index in indices],
        )


def spline_masks(m: int) -> list[Array]:
    """Return the m + 1 masks of the B-spline framelet of order m, each of m + 1 taps."""
    masks = []
    for wiggles in range(m + 1):
        factors = [np.array([1.0, 1.0])] * (m - wiggles) + [np.array([1.0, -1.0])] * wiggles
        sign = (-1) ** (wiggles // 2)
        masks.append(sign * sqrt(comb(m, wiggles)) / 2**m * reduce(np.convolve, factors))
    return masks
