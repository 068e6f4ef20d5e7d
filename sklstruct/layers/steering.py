"""Responses of a frame that are turned and scaled at every place: steering in torch."""

from __future__ import annotations

from functools import cached_property, partial
from math import log
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermeval
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import Frame, GaussianDerivatives, Jet, Steering, build_frame
from ..params import FLAG, check
from .frame_conv import read_frame
from .kept import KeptTensors

Array: TypeAlias = NDArray[np.float64]

STEERABLE = 1e-8  # relative error up to which a frame counts as steered by rotations
ZERO = 1e-11  # entries of matrices below this share of the largest are rounding
PLANES = {1: (), 2: ((0, 1),), 3: ((1, 2), (2, 0), (0, 1))}  # by ndim: axes, the first to the next
N_SCALES = 65  # at which the error of scaling is looked at
DEGREE = 20  # of polynomials in the logarithm of a scale: exact but for rounding over two octaves


class Mixture(NamedTuple):
    r"""Sums of responses with coefficients that differ from place to place.

    .. math:: y_r(p) = \sum_{e: \, r_e = r} w_e \, t_{n_e}(p) \, f_{s_e}(p)

    Parameters
    ----------
    rows, sources, numbers : ndarray of int, shape (n_entries,)
        Which sum, which response, and which coefficient; sorted by row.
    weights : ndarray, shape (n_entries,)

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklstruct.layers.steering import Mixture
    >>> swapped = Mixture(np.array([0, 1]), np.array([1, 0]), np.array([0, 0]), np.ones(2))
    >>> swapped(torch.tensor([[[1.0, 2.0]]]), torch.full((1, 1, 1), 3.0))
    tensor([[[6., 3.]]])
    """

    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    numbers: NDArray[np.int64]
    weights: Array

    @property
    def n_rows(self) -> int:
        """Number of sums."""
        return int(self.rows.max()) + 1

    @property
    def n_numbers(self) -> int:
        """Number of coefficients at a place."""
        return int(self.numbers.max()) + 1

    def __call__(self, responses: Tensor, table: Tensor) -> Tensor:
        r"""Return the sums.

        Parameters
        ----------
        responses : Tensor, shape (n, channels, n_sources, \*spatial)
        table : Tensor, shape (n, n_numbers, 1 or channels, \*spatial)
            The coefficients.

        Returns
        -------
        sums : Tensor, shape (n, channels, n_rows, \*spatial)
        """
        terms: list[list[Tensor]] = [[] for _ in range(self.n_rows)]
        for row, source, number, weight in zip(*(part.tolist() for part in self), strict=True):
            terms[row].append(weight * table[:, number] * responses[:, :, source])
        return torch.stack([sum(some[1:], start=some[0]) for some in terms], dim=2)

    def transposed(self) -> Mixture:
        """Return the sums of rows that are the transpose of these."""
        order = np.lexsort((self.rows, self.sources))
        rows, sources = self.sources[order], self.rows[order]
        return Mixture(rows, sources, self.numbers[order], self.weights[order])

    def correlate(self, responses: Tensor, sums: Tensor, by_channel: bool) -> Tensor:
        r"""Return the gradient for the table of the inner product of the sums with others.

        Parameters
        ----------
        responses : Tensor, shape (n, channels, n_sources, \*spatial)
        sums : Tensor, shape (n, channels, n_rows, \*spatial)
        by_channel : bool
            Whether each channel has coefficients of its own.

        Returns
        -------
        gradient : Tensor, shape (n, n_numbers, 1 or channels, \*spatial)
        """
        terms: list[list[Tensor]] = [[] for _ in range(self.n_numbers)]
        for row, source, number, weight in zip(*(part.tolist() for part in self), strict=True):
            product = weight * sums[:, :, row] * responses[:, :, source]
            terms[number].append(product if by_channel else product.sum(1, keepdim=True))
        return torch.stack([sum(some[1:], start=some[0]) for some in terms], dim=1)

    def matrices(self) -> Array:
        """Return the matrix that each coefficient stands before, (n_numbers, n_rows, n_sources)."""
        shape = self.n_numbers, self.n_rows, int(self.sources.max()) + 1
        matrices = np.zeros(shape)
        matrices[self.numbers, self.rows, self.sources] = self.weights
        return matrices


class Stage(NamedTuple):
    """A turn about one axis, a change of scale, or both in one.

    Parameters
    ----------
    angle : int or None
        Number of the pose that turns.
    mixture : Mixture
    waves : ndarray of int, shape (n_numbers,), or None
        Of each coefficient: 0 is 1, 2k - 1 the cosine and 2k the sine of k times the angle.
    radial : ndarray, shape (n_numbers, n_terms), or None
        The function of the scale that it is multiplied by, in terms of ``Dilation``.
    """

    angle: int | None
    mixture: Mixture
    waves: NDArray[np.int64] | None
    radial: Array | None


class Steer(nn.Module):
    r"""Turn the responses of a frame at every place by angles, and dilate them.

    .. math:: f_\theta(p) = S(\theta(p)) \, f(p), \qquad S(\theta) \psi(x) = \psi(R_\theta^{-1} x)

    with the matrix S of ``Frame.steering``, which is never there as a whole: in the basis in which
    S is diagonal, pairs of responses turn by multiples of the angle,

    .. math:: S(\theta) = V^{-1} \operatorname{diag}(R_{k_1 \theta}, R_{k_2 \theta}, \dots) V

    In 3D a rotation is a product of three such turns.  With ``scale`` the atoms of one canonical
    scale are made of those of all scales of the frame, which is exact at these scales (but for the
    Gaussian itself, which a frame has once) and least squares in between: Gaussians have inner
    products in closed form, and so have coefficients,

    .. math::
        \psi_\alpha(\cdot; \sigma) \approx \sum_\beta C_{\alpha \beta}(\sigma) \, \psi_\beta,
        \qquad C(\sigma) = B(\sigma) \, G^{-1}

    Parameters
    ----------
    frame : str, frame family or Frame
        One that all rotations steer, such as Gaussian derivatives up to a total order.
    ndim : int, default=None
        None is that of a ``Frame``, and 2 for a family.
    scale : bool, default=False
        Whether the pose has a standard deviation, in samples, as its last number.

    Attributes
    ----------
    n_numbers : int
        Numbers of a pose: angles in radians, none in 1D, one in 2D and three in 3D, and with
        ``scale`` a standard deviation.
    canonical : Frame
        What is turned and dilated: the frame itself, or its derivatives at the middle scale.
    scale_range : tuple of float
        Smallest and largest standard deviation that the frame carries.

    Raises
    ------
    ValueError
        If rotations do not steer the frame, or ``scale`` is asked of a frame that is none of
        Gaussian derivatives of at least two scales.

    Notes
    -----
    In 2D an angle turns the first axis towards the second.  In 3D the angles a, b, c mean
    :math:`R_0(a) R_1(b) R_2(c)`, each about one axis of the array.

    References
    ----------
    W. T. Freeman and E. H. Adelson. The design and use of steerable filters. PAMI, 1991.

    P. Perona. Deformable kernels for early vision. PAMI, 1995.

    See Also
    --------
    DynamicSteerableBlock : A convolution whose kernels are steered by what it sees.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.layers import Steer
    >>> steer = Steer(GaussianDerivatives(order=1))
    >>> f = torch.tensor([0.0, 1.0, 0.0]).view(1, 1, 3, 1, 1)  # g, g_x and g_y at one place
    >>> steer(f, torch.full((1, 1, 1, 1, 1), torch.pi / 2)).flatten().abs().round()
    tensor([0., 0., 1.])
    >>> wide = Steer(GaussianDerivatives(order=2, scales=(0.8, 1.1, 1.5)), scale=True)
    >>> wide.scale_range, round(wide.error, 3)
    ((0.8, 1.5), 0.033)
    """

    def __init__(self, frame: Any, *, ndim: int | None = None, scale: bool = False) -> None:
        super().__init__()
        frame = read_frame(frame, ndim)
        check("scale", scale, FLAG)
        self.frame, self.scale, self.kept = frame, bool(scale), KeptTensors()
        self.dilation = Dilation(frame) if scale else None
        self.canonical = frame if self.dilation is None else self.dilation.canonical
        self.n_angles = len(PLANES[frame.ndim])
        self.n_numbers = self.n_angles + self.scale
        if self.n_numbers == 0:
            raise ValueError(
                "A frame of one dimension is steered by scale only: set scale=True, or "
                "steer_scale=True of an estimator."
            )
        self.stages, self.inverse = self._plan()

    def _plan(self) -> tuple[list[Stage], Array]:
        """Return the stages, and the matrix from what the last one gives to canonical responses."""
        stages, before = [], np.eye(len(self.canonical))[np.newaxis]
        dilation, planes = self.dilation, PLANES[self.frame.ndim]
        if dilation is not None and len(planes) == 1:  # both in one
            before = dilation.matrices
        elif dilation is not None:
            mixture, _, radial = as_mixture({0: dilation.matrices})
            stages.append(Stage(None, mixture, None, radial))
        for number, plane in enumerate(planes):
            turn = Turn(self.canonical, plane)
            parts = {wave: matrix @ turn.basis @ before for wave, matrix in turn.waves.items()}
            mixture, waves, radial = as_mixture(parts)
            scaled = dilation is not None and len(planes) == 1
            stages.append(Stage(number, mixture, waves, radial if scaled else None))
            before = np.asarray(np.linalg.inv(turn.basis)[np.newaxis], np.float64)
        return stages, before[0] if planes else np.eye(len(self.canonical))

    @property
    def scale_range(self) -> tuple[float, float]:
        """Smallest and largest standard deviation that the frame carries."""
        return float(np.min(self.frame.scales)), float(np.max(self.frame.scales))

    @cached_property
    def error(self) -> float:
        """Largest relative error of a steered atom, over angles and the range of scales."""
        turns = [Turn(self.canonical, plane).error for plane in PLANES[self.frame.ndim]]
        return max([*turns, 0.0 if self.dilation is None else self.dilation.error])

    def forward(self, responses: Tensor, pose: Tensor) -> Tensor:
        r"""Return the responses of the canonical atoms, turned and dilated.

        Parameters
        ----------
        responses : Tensor, shape (n, channels, n_atoms, \*spatial)
            To the atoms of ``frame``.
        pose : Tensor, shape (n, n_numbers, 1 or channels, \*spatial)
            One for all channels, or one for each.

        Returns
        -------
        steered : Tensor, shape (n, channels, n_canonical, \*spatial)
        """
        if responses.shape[2] != len(self.frame):
            raise ValueError(
                f"Steer wants responses of shape (n, channels, {len(self.frame)}, ...), got "
                f"{tuple(responses.shape)}."
            )
        rows = responses
        for stage, table in zip(self.stages, self.tables(pose), strict=True):
            rows = stage.mixture(rows, table)
        inverse = self.kept.like(rows, "inverse", lambda: self.inverse)
        return torch.einsum("ab,ncb...->nca...", inverse, rows)

    def tables(self, pose: Tensor) -> list[Tensor]:
        """Return the coefficients of each stage, (n, n_coefficients, 1 or channels, *spatial)."""
        if pose.shape[1] != self.n_numbers:
            raise ValueError(
                f"Steer wants poses of shape (n, {self.n_numbers}, 1 or channels, ...), got "
                f"{tuple(pose.shape)}."
            )
        found = []
        for number, stage in enumerate(self.stages):
            factors = []
            if stage.angle is not None and stage.waves is not None:
                angle, waves = pose[:, stage.angle], [torch.ones_like(pose[:, stage.angle])]
                for k in range(1, (int(stage.waves.max()) + 1) // 2 + 1):
                    waves += [torch.cos(k * angle), torch.sin(k * angle)]
                factors.append(torch.stack([waves[wave] for wave in stage.waves.tolist()], dim=1))
            if self.dilation is not None and stage.radial is not None:
                terms = self.dilation.terms(pose[:, -1])
                radial = self.kept.like(pose, number, partial(np.asarray, stage.radial))
                factors.append(torch.einsum("tf,nf...->nt...", radial, terms))
            found.append(factors[0] if len(factors) == 1 else factors[0] * factors[1])
        return found

    def matrix(self, *pose: float) -> Array:
        """Return the matrix of one pose, (n_canonical, n_atoms), in double precision."""
        responses = torch.eye(len(self.frame), dtype=torch.float64)[None]
        numbers = torch.tensor(pose, dtype=torch.float64).view(1, -1, 1)
        steered: Array = self(responses, numbers)[0].numpy().T
        return steered


class Turn:
    r"""The basis in which turns in a plane are diagonal: :math:`S(\theta) = V^{-1} R(\theta) V`.

    Parameters
    ----------
    frame : Frame
    plane : tuple of int
        Axes; an angle turns the first one towards the second.

    Attributes
    ----------
    basis : ndarray, shape (n_atoms, n_atoms)
        V, as sparse as it can be.
    waves : dict from int to ndarray, shape (n_atoms, n_atoms)
        R as the sum of these matrices times 1 (0), cosines (2k - 1) and sines (2k).
    error : float
        Largest relative error of a turned atom.
    """

    def __init__(self, frame: Frame, plane: tuple[int, ...]) -> None:
        highest = int(np.max(frame.orders))
        n = 2 * highest + 1
        angles = 2 * np.pi * np.arange(n) / n
        turns = [steering(frame, plane, angle) for angle in angles]
        some = np.stack([turn.matrix for turn in turns])
        rows: list[Array] = []
        self.waves: dict[int, Array] = {}
        size = len(frame)
        for k in range(highest + 1):
            # The projection on what turns k times as fast: a Fourier coefficient of S.
            projection = np.einsum("a,aij->ij", np.exp(-1j * k * angles), some) / n
            for row in reduced(projection.real if k == 0 else projection):
                at = len(rows)
                if k == 0:
                    rows.append(row)
                    self.waves.setdefault(0, np.zeros((size, size)))[at, at] = 1
                    continue
                rows += [row.real, row.imag]
                cosine = self.waves.setdefault(2 * k - 1, np.zeros((size, size)))
                sine = self.waves.setdefault(2 * k, np.zeros((size, size)))
                cosine[at, at] = cosine[at + 1, at + 1] = sine[at + 1, at] = 1
                sine[at, at + 1] = -1
        self.basis, lost = np.array(rows), np.inf
        if self.basis.shape == (size, size) and np.linalg.matrix_rank(self.basis) == size:
            by_one = {0: 1.0} | {
                wave: (np.cos if wave % 2 else np.sin)((wave + 1) // 2)
                for wave in range(1, 2 * highest + 1)
            }
            turned = sum(matrix * by_one[wave] for wave, matrix in self.waves.items())
            found = np.linalg.solve(self.basis, turned @ self.basis)
            lost = abs(found - steering(frame, plane, 1.0).matrix).max()
        self.error = max(lost, *(turn.error for turn in turns))
        if self.error > STEERABLE:
            raise ValueError(
                f"The frame {frame.name!r} is not steered by rotations: take Gaussian derivatives "
                "up to a total order, or circular or solid harmonics, whose atoms are independent."
            )


def steering(frame: Frame, plane: tuple[int, ...], angle: float) -> Steering:
    """Return how an angle turns the atoms, or raise ValueError if it does not."""
    rotation, (first, second) = np.eye(frame.ndim), plane
    rotation[[first, second], [first, second]] = np.cos(angle)
    rotation[first, second], rotation[second, first] = -np.sin(angle), np.sin(angle)
    found = None if frame.functions is None else frame.steering(rotation)
    if found is None or found.error > STEERABLE:
        error = (
            "on the grid only" if found is None else f"with a relative error of {found.error:.2g}"
        )
        raise ValueError(
            f"The frame {frame.name!r} is not steered by rotations, but {error}: take Gaussian "
            "derivatives up to a total order, or circular or solid harmonics."
        )
    return found


def reduced(projection: NDArray[Any]) -> NDArray[Any]:
    """Return a basis of the space of the rows with many zeros, by Gaussian elimination."""
    rows = projection.copy()
    for at in range(round(np.trace(projection).real)):
        pivot = np.unravel_index(np.abs(rows[at:]).argmax(), rows[at:].shape)
        rows[[at, at + pivot[0]]] = rows[[at + pivot[0], at]]
        rows[at] /= rows[at, pivot[1]]
        others = np.arange(len(rows)) != at
        rows[others] -= np.outer(rows[others, pivot[1]], rows[at])
    rows = rows[: round(np.trace(projection).real)]
    rows[abs(rows) < ZERO * abs(rows).max(initial=0)] = 0
    return rows


class Dilation:
    """How Gaussian derivatives of any scale are made of those of several scales.

    Parameters
    ----------
    frame : Frame
        Of Gaussian derivatives.

    Attributes
    ----------
    canonical : Frame
        The derivatives at the middle scale.
    matrices : ndarray, shape (n_terms, n_canonical, n_atoms)
        C as the sum of these times ``terms``.
    """

    def __init__(self, frame: Frame) -> None:
        jet, scales = frame.functions, np.unique(frame.scales)
        if not isinstance(jet, Jet) or (jet.widths != jet.widths[:, :1]).any():
            raise ValueError(
                "scale=True needs a frame of round Gaussian derivatives, such as 'gaussian', got "
                f"{frame.name!r}."
            )
        if len(scales) < 2:
            raise ValueError(
                "scale=True needs a frame of at least two scales, of which others are made, such "
                f"as GaussianDerivatives(scales=(0.8, 1.1, 1.5)), got the scale {scales[0]:g} only."
            )
        self.frame, self.range = frame, (float(scales[0]), float(scales[-1]))
        middle = float(scales[(len(scales) - 1) // 2 if len(scales) % 2 else 0])
        if len(scales) % 2 == 0:
            middle = float(np.sqrt(scales[0] * scales[-1]))
        order, self.size = int(jet.indices.sum(axis=1).max()), frame.support[0]
        self.family = GaussianDerivatives(order=order, scales=(middle,), size=self.size)
        self.canonical = build_frame(self.family, frame.ndim)
        canonical: Any = self.canonical.functions
        if {*map(tuple, canonical.indices)} != {*map(tuple, jet.indices)}:
            raise ValueError(
                "scale=True needs all derivatives up to a total order, got those of "
                f"{frame.name!r} with orders {sorted({*map(tuple, jet.indices.tolist())})}."
            )
        widths = jet.widths[:, 0]
        gram = inner_products(jet.indices, widths, jet.indices, widths)
        nodes = np.polynomial.chebyshev.chebpts1(1 + DEGREE)
        low, high = np.log(self.range)
        made = []
        for scale in np.exp(low + (high - low) * (nodes + 1) / 2):
            inner = inner_products(canonical.indices, np.array([scale]), jet.indices, widths)
            made.append(np.linalg.solve(gram, inner.T).T)
        basis = np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, DEGREE))
        self.matrices = np.tensordot(basis, np.stack(made), axes=1)

    def terms(self, scale: Tensor) -> Tensor:
        """Return polynomials of the logarithm of the scale, shape (n, ...) to (n, n_terms, ...).

        Beyond the range, the scale is taken for that at its end.
        """
        low, high = map(log, self.range)
        u = 2 * (torch.log(scale.clamp(*self.range)) - low) / (high - low) - 1
        terms = [torch.ones_like(u), u]
        for _ in range(DEGREE - 1):  # Chebyshev's
            terms.append(2 * u * terms[-1] - terms[-2])
        return torch.stack(terms, dim=1)

    @cached_property
    def error(self) -> float:
        """Largest relative error of a dilated atom over the range of scales."""
        worst = 0.0
        for scale in np.linspace(*self.range, N_SCALES):
            family = GaussianDerivatives(
                order=self.family.order, scales=(float(scale),), size=self.size
            )
            wanted = family.build(self.frame.ndim).flat
            terms = self.terms(torch.tensor([scale], dtype=torch.float64))[0].numpy()
            made = np.tensordot(terms, self.matrices, axes=1) @ self.frame.flat
            errors = np.linalg.norm(made - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
            worst = max(worst, float(errors.max()))
        return worst


def inner_products(first: NDArray[Any], sigma: Array, second: NDArray[Any], tau: Array) -> Array:
    r"""Return the inner products of scale-normalised derivatives of Gaussians on the whole space.

    .. math::
        \langle \psi_{\alpha, \sigma}, \psi_{\beta, \tau} \rangle = (2 \pi)^{-d/2}
        (-1)^{|\alpha|} \sigma^{|\alpha|} \tau^{|\beta|} s^{-|\alpha| - |\beta| - d}
        \prod_i \mathrm{He}_{\alpha_i + \beta_i}(0), \qquad s^2 = \sigma^2 + \tau^2

    Parameters
    ----------
    first, second : ndarray of int, shape (n, ndim) and (m, ndim)
        Orders of differentiation.
    sigma, tau : ndarray, shape (n,) or (1,), and (m,)

    Returns
    -------
    products : ndarray, shape (n, m)
        But for a factor that is the same for all.
    """
    orders, sigma = first[:, None] + second, sigma[:, None]
    at_zero = np.array([hermeval(0.0, np.eye(n + 1)[n]) for n in range(int(orders.max()) + 1)])
    a, b = first.sum(axis=1)[:, None], second.sum(axis=1)
    wide = np.sqrt(sigma**2 + tau**2) ** -(a + b + first.shape[1])
    found: Array = (-1.0) ** a * sigma**a * tau**b * wide * at_zero[orders].prod(axis=2)
    return found


def as_mixture(parts: dict[int, Array]) -> tuple[Mixture, NDArray[np.int64], Array]:
    """Return matrices of waves and terms as sums with as few coefficients as there are functions.

    Parameters
    ----------
    parts : dict from int to ndarray, shape (n_terms, n_rows, n_sources)
        By the number of the wave.

    Returns
    -------
    mixture : Mixture
    waves : ndarray of int, shape (n_numbers,)
    radial : ndarray, shape (n_numbers, n_terms)
    """
    entries: list[tuple[int, int, int, float]] = []
    functions: dict[tuple[Any, ...], int] = {}
    waves, radial = [], []
    largest = max(abs(part).max() for part in parts.values())
    for wave, part in sorted(parts.items()):
        for row, source in np.argwhere((abs(part) > ZERO * largest).any(axis=0)).tolist():
            function = part[:, row, source]
            weight = function[abs(function).argmax()]
            key = wave, *(np.round(function / weight, 9) + 0.0)
            if key not in functions:
                functions[key] = len(functions)
                waves.append(wave)
                radial.append(function / weight)
            entries.append((row, source, functions[key], weight))
    entries.sort()
    rows, sources, numbers = (np.array([one[i] for one in entries], np.int64) for i in range(3))
    mixture = Mixture(rows, sources, numbers, np.array([one[3] for one in entries]))
    return mixture, np.array(waves, np.int64), np.array(radial)
