"""How well the largest coefficients of a transform give a signal back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import check_array

from ..datasets import Cartoon
from ..estimators.samples import as_array
from ..frames import make_transform
from ..params import SEQUENCE, Rule, check, integer, real

Array = NDArray[np.float64]

WINDOW = 1 / 16, 1 / 2  # of the length of the edge in pixels
BEYOND = 8  # how far the numbers of terms go beyond both ends of the window
N_STEPS = 32  # numbers of terms that are tried
NUMBERS = Rule("a sequence of at least one number", lambda v: SEQUENCE.holds(v) and len(v) > 0)
RANGE = Rule(
    "two numbers, the smaller one first",
    lambda v: (
        SEQUENCE.holds(v) and len(v) == 2 and all(map(real(above=0).holds, v)) and v[0] < v[1]
    ),
)


@dataclass(frozen=True)
class NTermApproximation:
    r"""Errors :math:`\|f - f_n\|^2` by the number of terms, and how fast they fall.

    Parameters
    ----------
    transform : transform
        What the terms are of.
    table : DataFrame
        One row for each ``n``: the squared ``error``, and the ``relative`` one, divided by
        :math:`\|f\|^2`.
    window : tuple of float
        Least and largest n of those whose errors make the slope.

    See Also
    --------
    nterm_approximation : Measures it.

    Examples
    --------
    >>> from sklstruct.inspection import nterm_approximation
    >>> from sklstruct.datasets import make_cartoon
    >>> found = nterm_approximation("fourier", make_cartoon(128, random_state=0))
    >>> found.table.columns.tolist(), [round(end) for end in found.window]
    (['n', 'error', 'relative'], [14, 112])
    """

    transform: Any
    table: pd.DataFrame
    window: tuple[float, float]

    @property
    def slope(self) -> float:
        """Least-squares slope of log error over log n within the window; nan below two points."""
        seen = self.table[self.table["n"].between(*self.window) & (self.table["error"] > 0)]
        if len(seen) < 2:
            return float("nan")
        return float(np.polyfit(np.log(seen["n"]), np.log(seen["error"]), 1)[0])


def nterm_approximation(
    transform: Any,
    image: Any,
    n: Sequence[int] | None = None,
    *,
    window: tuple[float, float] | None = None,
    n_projections: int = 0,
) -> NTermApproximation:
    r"""Measure the error of an image made of the n largest coefficients of a transform.

    .. math::
        f_n = \sum_{k \in K_n} \langle f, \psi_k \rangle \psi_k

    where :math:`K_n` has the n largest :math:`|\langle f, \psi_k \rangle|`.  In an orthonormal
    basis it is the best of all n-term approximations.  In a redundant tight frame there may be
    better ones: with ``n_projections`` the coefficients of the terms in :math:`K_n` go on towards
    those of the orthogonal projection of f on their span.

    For images that are piecewise :math:`C^2` with an edge that is :math:`C^2` the squared errors
    fall like :math:`n^{-1/2}` (Fourier), :math:`n^{-1}` (wavelets) and
    :math:`n^{-2} \log^3 n` (curvelets).  Where n comes to the length of the edge in pixels, the
    terms have the finest scale there is, and errors fall faster than those of the function that
    the image shows: slopes are measured below.

    Parameters
    ----------
    transform : str, frame family, Frame or transform
        As ``make_transform`` takes it.
    image : Cartoon or array-like, shape (*spatial,)
        One signal of 1 to 3 axes.
    n : sequence of int, default=None
        Numbers of terms; None is a geometric range around the window.
    window : tuple of float, default=None
        Ends of the range of n in which the slope is measured.  None is from a sixteenth to half
        of the length of the edge in pixels, which a ``Cartoon`` tells; of other images it is
        taken for twice the largest extent.
    n_projections : int, default=0
        Steps of conjugate gradients towards the projection.

    Returns
    -------
    approximation : NTermApproximation
        With ``table``, ``window`` and ``slope``.

    Raises
    ------
    ValueError
        If a parameter is not valid, n exceeds the number of coefficients, or the image is 0.

    See Also
    --------
    NTermDisplay : A picture of it, for several transforms.

    References
    ----------
    E. J. Candes and D. L. Donoho. New tight frames of curvelets and optimal representations of
    objects with piecewise C2 singularities. Communications on Pure and Applied Mathematics,
    2004.

    Examples
    --------
    >>> from sklstruct.inspection import nterm_approximation
    >>> from sklstruct.datasets import make_cartoon
    >>> cartoon = make_cartoon(256, random_state=0)
    >>> [round(nterm_approximation(name, cartoon).slope, 1) for name in ("fourier", "wavelet")]
    [-0.5, -1.0]
    """
    transform = make_transform(transform)
    values = image.image if isinstance(image, Cartoon) else as_array(image)
    values = check_array(
        values, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="image"
    )
    if not values.any():
        raise ValueError("image must have values other than 0, as errors are shares of its energy.")
    edge_length = image.edge_length if isinstance(image, Cartoon) else 2 * max(values.shape)
    check("window", window, RANGE | None)
    check("n_projections", n_projections, integer(0))
    low, high = window or (edge_length * share for share in WINDOW)
    coefficients = transform.analyse(values[None])[0]
    if n is None:
        ends = max(low / BEYOND, 1), min(high * BEYOND, coefficients.size)
        n = np.unique(np.geomspace(*ends, N_STEPS).round().astype(int)).tolist()
    for one in check("n", n, NUMBERS):
        check("Each of n", one, integer(0, coefficients.size))
    table = pd.DataFrame({"n": n})
    order = np.argsort(-np.abs(coefficients), kind="stable")
    if coefficients.size == values.size:  # a Parseval frame without redundancy is a basis
        # Smallest first: differences of large sums would be rounding.
        left = np.append(np.cumsum(coefficients[order[::-1]] ** 2)[::-1], 0)
        table["error"] = left[table["n"]]
    else:
        table["error"] = [
            frame_error(transform, values, coefficients, order[:terms], n_projections)
            for terms in table["n"]
        ]
    table["relative"] = table["error"] / (values**2).sum()
    return NTermApproximation(transform, table, (float(low), float(high)))


def frame_error(
    transform: Any, image: Array, coefficients: Array, kept: NDArray[np.intp], n_steps: int
) -> float:
    """Return the squared error of what the kept coefficients give, or their projection."""

    def synthesise(values: Array) -> Array:
        everywhere = np.zeros_like(coefficients)
        everywhere[kept] = values
        return transform.synthesise(everywhere[None], image.shape)[0]

    residual = image - synthesise(coefficients[kept])
    # Conjugate gradients on the normal equations of least squares (CGLS).
    direction, before = np.zeros(len(kept)), np.inf
    for _ in range(n_steps):
        gradient = transform.analyse(residual[None])[0, kept]
        energy = gradient @ gradient
        if energy <= np.finfo(float).eps ** 2 * (coefficients[kept] ** 2).sum():
            break
        direction = gradient + energy / before * direction
        change, before = synthesise(direction), energy
        residual = residual - energy / (change**2).sum() * change
    return float((residual**2).sum())
