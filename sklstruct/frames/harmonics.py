"""Frames of harmonics: angular waves on rings, and polynomials under a Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import pi, sqrt
from typing import Any

from ..params import SEQUENCE, check, real
from .checks import (
    check_integer,
    check_ndim,
    check_positive,
    check_scales,
    check_size,
    check_values,
    support_size,
)
from .frame import Array, Frame, FrameFamily, centred_grid
from .harmonic_atoms import evaluate_rings, evaluate_solids, harmonic_labels

RADIUS = real(least=0, most=100)  # what is summed over a ring grows with it
WIDTH = real(least=0.25)  # narrower rings fall between the samples
MOST_DEGREES = 30  # beyond, factorials and powers lose digits


class CircularHarmonics(FrameFamily):
    r"""Rings that carry an angular wave, blurred by a Gaussian: the filters of the H-Net.

    .. math::
        \psi_{mq}(x) \propto \int_0^{2\pi} e^{i m \theta} \, g_\sigma(x - r_q u_\theta) \, d\theta
        \propto e^{-(|x|^2 + r_q^2) / 2 \sigma^2}
        \, I_m \! \left( \frac{|x| \, r_q}{\sigma^2} \right) e^{i m \varphi(x)}

    with the modified Bessel functions :math:`I_m`, real and imaginary part as two atoms, each of
    unit norm in the continuum.  A pair of coefficients is amplitude and phase of the m-th
    harmonic of the blurred image on a ring.  Atoms of order m vanish at the origin like
    :math:`|x|^m`, and are smooth there.  In 3D the rings are spheres with harmonics
    :math:`Y_{\ell m}`, in 1D pairs of points with an even and an odd one.

    Parameters
    ----------
    order : int, default=2
        Highest angular order, that of the harmonics on a sphere in 3D.  In 1D there are 0 and 1.
    radii : sequence of float, default=None
        Of the rings, in samples, at most 100; None is 0, 1, ... as far as ``size`` goes, or 2.  A
        ring takes part in the orders below :math:`\pi r_q`, as its :math:`2 \pi r_q` samples
        carry no others; the centre in order 0 alone.
    width : float, default=0.5
        Standard deviation of the Gaussian, in samples, at least 0.25.
    size : int, default=None
        Extent of the atoms along every axis, odd.  If None, it follows from ``truncate``.
    truncate : float, default=2.0
        What the automatic support holds beyond the largest ring, in standard deviations.

    See Also
    --------
    SolidHarmonics : Harmonics without rings.
    GaussianDerivatives : Steerable as well, by derivatives.

    References
    ----------
    D. E. Worrall, S. J. Garbin, D. Turmukhambetov and G. J. Brostow. Harmonic networks: deep
    translation and rotation equivariance. CVPR, 2017.

    Examples
    --------
    >>> from sklstruct.frames import CircularHarmonics
    >>> frame = CircularHarmonics(order=1, radii=(0, 1)).build(ndim=2)
    >>> frame.labels
    ('cos0 r0', 'cos0 r1', 'cos1 r1', 'sin1 r1')
    >>> turn = [[0.8, -0.6], [0.6, 0.8]]
    >>> frame.steering(turn).error < 1e-12
    True
    >>> round(CircularHarmonics().build(ndim=2).condition_number, 1)
    5.1
    """

    order: int = 2
    radii: Sequence[float] | None = None
    width: float = 0.5
    size: int | None = None
    truncate: float = 2.0

    def build(self, ndim: int) -> Frame:
        """Return the frame of the harmonics that every ring carries, which all rotations steer.

        Raises
        ------
        ValueError
            If no ring carries the highest order, or the support does not hold all rings.
        """
        ndim, width = check_ndim(ndim), float(check("width", self.width, WIDTH))
        radii = check("radii", self.radii, SEQUENCE | None)
        if radii is None:
            radii = range(3 if self.size is None else check_size(self.size) // 2 + 1)
        radii = sorted(float(check("Each of radii", radius, RADIUS)) for radius in radii)
        if len(set(radii)) < len(radii) or not radii:
            raise ValueError(f"radii must differ, and be at least one, got {self.radii!r}.")
        reach = radii[-1] + check_positive("truncate", self.truncate) * width
        size = support_size(self.size, reach, 1.0)
        if radii[-1] > size / 2:
            raise ValueError(
                f"A ring of radius {radii[-1]:g} does not fit size={size}: raise size."
            )
        degrees = carried(self.order, ndim, radii, lambda radius, _: radius)
        functions = partial(evaluate_rings, degrees=degrees, width=width)
        return harmonic_frame("circular_harmonics", ndim, size, degrees, functions, width)


class SolidHarmonics(FrameFamily):
    r"""Harmonic polynomials under an isotropic Gaussian, at one or more scales.

    .. math::
        \psi_{\ell m \sigma}(x) \propto (|x| / \sigma)^\ell \, Y_{\ell m}(x / |x|)
        \, e^{-|x|^2 / 2 \sigma^2}

    with the real spherical harmonics in 3D, :math:`\cos \ell \varphi` and
    :math:`\sin \ell \varphi` in 2D, an even and an odd one in 1D; each of unit norm in the
    continuum.

    Parameters
    ----------
    order : int, default=3
        Highest degree :math:`\ell`.  In 1D there are 0 and 1.
    scales : sequence of float, default=(1.0,)
        Standard deviations of the Gaussian, in samples.  A scale takes part in the degrees below
        :math:`\pi \sigma \sqrt \ell`: the atoms are largest on the ring of radius
        :math:`\sigma \sqrt \ell`, whose samples carry no others.
    size : int, default=None
        Extent of the atoms along every axis, odd.  If None, it follows from ``truncate``.
    truncate : float, default=3.0
        Half the automatic extent, in standard deviations of the largest scale.

    See Also
    --------
    CircularHarmonics : Harmonics on rings.
    GaussianDerivatives : All polynomials of a degree under a Gaussian.

    References
    ----------
    M. Eickenberg, G. Exarchakis, M. Hirn and S. Mallat. Solid harmonic wavelet scattering:
    predicting quantum molecular energy from invariant descriptors of 3D electronic densities.
    NIPS, 2017.

    Examples
    --------
    >>> from sklstruct.frames import SolidHarmonics
    >>> frame = SolidHarmonics(order=1).build(ndim=3)
    >>> frame.labels
    ('Y0,0', 'Y1,-1', 'Y1,0', 'Y1,1')
    >>> round(SolidHarmonics().build(ndim=3).condition_number, 2)
    1.04
    """

    order: int = 3
    scales: Sequence[float] = (1.0,)
    size: int | None = None
    truncate: float = 3.0

    def build(self, ndim: int) -> Frame:
        """Return the frame of the harmonics that every scale carries, which all rotations steer.

        Raises
        ------
        ValueError
            If no scale carries the highest degree, or the support does not hold it.
        """
        ndim, scales = check_ndim(ndim), check_scales(self.scales)
        size = support_size(self.size, scales[-1], self.truncate)
        degrees = carried(self.order, ndim, scales, lambda scale, degree: scale * sqrt(degree))
        peak = max(scale * sqrt(degree) for scale, degree in degrees)
        if peak > size / 2:
            raise ValueError(
                f"Atoms of order {self.order} are largest at a radius of {peak:.3g}, which does "
                f"not fit size={size}: raise size or truncate."
            )
        functions = partial(evaluate_solids, degrees=degrees)
        return harmonic_frame("solid_harmonics", ndim, size, degrees, functions, None)


def carried(
    order: Any, ndim: int, places: Sequence[float], radius: Callable[[float, int], float]
) -> tuple[tuple[float, int], ...]:
    """Return the places and degrees of a frame: those that the samples on a ring can carry.

    Parameters
    ----------
    order : int
        Highest degree.
    ndim : int
    places : sequence of float
        Radii, or scales.
    radius : callable
        Maps place and degree to the radius of the ring where such atoms are largest.
    """
    highest = min(check_integer("order", order, 0, MOST_DEGREES), 1 if ndim == 1 else MOST_DEGREES)

    def carries(place: float, degree: int) -> bool:  # by Nyquist: 2 pi r samples, a unit apart
        return degree == 0 or degree < pi * radius(place, degree)

    if not any(carries(place, highest) for place in places):
        raise ValueError(
            f"order must be lower, got {order}: the samples on the largest ring, of radius "
            f"{radius(places[-1], highest):.3g}, do not carry harmonics of that order."
        )
    degrees = range(highest + 1)
    return tuple((place, n) for place in places for n in degrees if carries(place, n))


def harmonic_frame(
    name: str,
    ndim: int,
    size: int,
    degrees: Sequence[tuple[float, int]],
    functions: Callable[[Array], Array],
    width: float | None,
) -> Frame:
    """Return the frame of all harmonics of some degrees, each at a radius or a scale."""
    rows = [(place, n, label) for place, n in degrees for label in harmonic_labels(ndim, n)]
    check_values(len(rows), size, ndim)
    if len(rows) > size**ndim:
        raise ValueError(
            f"{len(rows)} atoms do not fit a support of {size**ndim} samples: raise size (now "
            f"{size}) or lower order."
        )
    mark = "@" if width is None else "r"  # a scale, or a radius
    several = len({place for place, _ in degrees}) > 1
    return Frame(
        name,
        functions(centred_grid((size,) * ndim)).reshape(-1, *(size,) * ndim),
        labels=tuple(f"{label} {mark}{place:g}" if several else label for place, _, label in rows),
        orders=[n for _, n, _ in rows],
        scales=[place if width is None else width for place, _, _ in rows],
        functions=functions,
    )
