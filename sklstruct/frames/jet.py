"""The local jet with moments that are exact, so that derivatives of polynomials are too."""

from __future__ import annotations

from functools import reduce
from math import comb, factorial

import numpy as np
from numpy.polynomial.hermite_e import hermevander

from ..params import check, real
from .checks import check_integer, check_ndim, check_values, support_size
from .frame import Frame
from .gaussian import jet_atoms

NARROWEST = 0.5  # a narrower Gaussian has too few samples for the moments
TRUNCATE = 5.0  # standard deviations; what is beyond is corrected for as well
BEYOND = 2  # degrees above the order that are exact
SCALE = real(least=NARROWEST)


def exact_jet(ndim: int, order: int, scale: float) -> Frame:
    r"""Return scale-normalised Gaussian derivatives that are exact on polynomials.

    Along every axis, an atom is the Gaussian times the polynomial q of degree N + 2 that makes

    .. math::
        \psi_n(x) = g_\sigma(x) \, q_n(x / \sigma), \qquad
        \sum_x \psi_n(x) \, \mathrm{He}_m(x / \sigma) = n! \, \delta_{nm},
        \qquad m \le N + 2, \; n \le N

    with the order N and the Hermite polynomials.  The same holds for integrals of the
    derivatives of a Gaussian, where sampling and truncation lose it.  So the correlation with
    an atom is :math:`\sigma^{|\alpha|} \partial^\alpha (g_\sigma * p)` to rounding, for
    polynomials p of degree N + 2 in each coordinate.  (An atom of ``GaussianDerivatives`` is a
    derivative itself; correlation with it has the opposite sign where the order is odd.)

    Parameters
    ----------
    ndim : int
        Number of spatial dimensions, 1 to 3.
    order : int
        Highest total order of differentiation, N.
    scale : float
        Standard deviation of the Gaussian in samples, at least 0.5.

    Returns
    -------
    frame : Frame
        In the order of ``GaussianDerivatives``, and with its labels.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    See Also
    --------
    GaussianDerivatives : The frame to learn kernels in.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.frames import exact_jet
    >>> frame = exact_jet(ndim=1, order=2, scale=1.0)
    >>> frame.atoms.shape
    (3, 11)
    >>> x = np.arange(-5, 6)
    >>> (frame.atoms @ (3 * x**2 + 4 * x)).round(12)  # blurred, x**2 is x**2 + 1
    array([3., 4., 6.])
    """
    ndim, order = check_ndim(ndim), check_integer("order", order, 0)
    degree, scale = order + BEYOND, float(check("scale", scale, SCALE))
    size = max(support_size(None, scale, TRUNCATE), degree + 1 + degree % 2)
    check_values(comb(order + ndim, ndim), size, ndim)
    x = (np.arange(size) - size // 2) / scale
    # Of all kernels with these moments, it is the one of least norm in units of the Gaussian.
    root = np.exp(-(x**2) / 4)
    dual = np.linalg.pinv(root[:, np.newaxis] * hermevander(x, degree)) * root
    profiles = [factorial(n) * dual[n] for n in range(order + 1)]
    atoms, described = jet_atoms(ndim, order, (scale,))
    values = [reduce(np.multiply.outer, [profiles[n] for n in index]) for index, _ in atoms]
    return Frame("exact_jet", np.stack(values), **described)
