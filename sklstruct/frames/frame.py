"""A frame is data: a stack of atoms, and the properties that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..params import Params, remembered
from .checks import check_atoms

Array = NDArray[np.float64]

SPAN_TOLERANCE = 1e-10  # eigenvalues of the Gram matrix below this share of the largest count as 0
SEPARABLE_TOLERANCE = 1e-13  # of the largest value of an atom: it is rounding


class Steering(NamedTuple):
    """How a linear map of space mixes the atoms.

    Parameters
    ----------
    matrix : ndarray, shape (n_atoms, n_atoms)
        Row k holds the coefficients of the moved atom k.
    errors : ndarray, shape (n_atoms,)
        Relative error (2-norm over the support) of each moved atom; at rounding level where
        the frame is steerable.

    See Also
    --------
    Frame : Its method ``steering`` makes these.
    Steer : The same as a layer, at every place.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> quarter_turn = [[0, -1], [1, 0]]
    >>> steering = GaussianDerivatives(order=1).build(ndim=2).steering(quarter_turn)
    >>> abs(steering.matrix.round()).astype(int)
    array([[1, 0, 0],
           [0, 0, 1],
           [0, 1, 0]])
    >>> steering.error < 1e-12
    True
    """

    matrix: NDArray[np.floating[Any]]
    errors: NDArray[np.floating[Any]]

    @property
    def error(self) -> float:
        """Largest of the errors."""
        return float(self.errors.max())


class FrameFamily(Params):
    """Base of the frame families: parameters that build a frame for any number of dimensions.

    A family lists its parameters and has a method ``build(ndim)`` that returns a ``Frame``.

    See Also
    --------
    sklstruct.testing.parametrize_frames : Conformance checks for a family of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.frames import Frame, FrameFamily
    >>> class Boxes(FrameFamily):
    ...     size: int = 3
    ...     def build(self, ndim):
    ...         return Frame("boxes", np.ones((1, *(self.size,) * ndim)))
    >>> Boxes(size=5)
    Boxes(size=5)
    >>> Boxes(size=5).build(ndim=2)
    Frame('boxes', 1 atoms on 5x5)
    """

    _keywords_only = False  # GaussianDerivatives(3) is clear enough
    free: ClassVar[bool] = False  # whether the atoms give every kernel of their support alike
    tensor: ClassVar[bool] = False  # whether order may be a sequence, one for each axis

    @property
    def extent(self) -> int:
        """Extent of the atoms along every axis, in samples."""
        return self.build(2).support[0]

    def build(self, ndim: int) -> Frame:
        """Return the frame in ``ndim`` dimensions.

        Parameters
        ----------
        ndim : int
            Number of spatial dimensions, 1 to 3.

        Returns
        -------
        frame : Frame

        Raises
        ------
        ValueError
            If a parameter is out of range, or there is no such frame in ``ndim`` dimensions.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(ndim).")


@dataclass(frozen=True, eq=False)
class Frame:
    """A finite family of filters, sampled on a centred grid.

    Everything but the fields below is derived from the atoms.

    Parameters
    ----------
    name : str
        Name of the family that this frame was sampled from.
    atoms : ndarray, shape (n_atoms, *support)
        The filters, as they are correlated with a signal.  Every extent is odd.
    labels : sequence of str, default=()
        One for each atom; its number if left out.
    orders : array-like of int, shape (n_atoms,), default=None
        Order of differentiation (or degree) of each atom; 0 if left out.
    scales : array-like of float, shape (n_atoms,), default=None
        Standard deviation of each atom's envelope in samples; nan if left out.
    orientations : array-like of float, shape (n_atoms,), default=None
        Angle of each atom in radians; nan if left out or without meaning.
    functions : callable, default=None
        The atoms off the grid: maps points of shape (n_points, ndim) to values of shape
        (n_atoms, n_points).  If None, the atoms exist on the grid only.

    Raises
    ------
    ValueError
        If the atoms have no spatial axis, an even extent, or values that are not finite, if one
        is zero everywhere, or if labels, orders, scales or orientations are not one an atom.

    See Also
    --------
    FrameFamily : Parameters that build a frame for any number of dimensions.

    Examples
    --------
    >>> from sklstruct.frames import Frame
    >>> frame = Frame("differences", [[1, 2, 1], [-1, 0, 1], [-1, 2, -1]])
    >>> frame
    Frame('differences', 3 atoms on 3)
    >>> frame.rank, frame.is_complete
    (3, True)
    """

    name: str
    atoms: Array
    labels: tuple[str, ...] = ()
    orders: Any = None
    scales: Any = None
    orientations: Any = None
    functions: Callable[[Array], Array] | None = None

    def __post_init__(self) -> None:
        atoms = np.array(self.atoms, dtype=np.float64)
        if atoms.ndim < 2 or atoms.size == 0:
            raise ValueError(f"atoms must have shape (n_atoms, *support), got {atoms.shape}.")
        check_atoms(len(atoms))
        if not all(extent % 2 for extent in atoms.shape[1:]):
            raise ValueError(f"Every extent of a support must be odd, got {atoms.shape[1:]}.")
        if not np.isfinite(atoms).all():
            raise ValueError(f"The atoms of the frame {self.name!r} are not all finite.")
        n = len(atoms)
        if not atoms.reshape(n, -1).any(axis=1).all():
            raise ValueError(f"An atom of the frame {self.name!r} is zero everywhere.")
        usual = {"orders": np.zeros(n, int), "scales": np.full(n, np.nan)}
        usual["orientations"] = usual["scales"]
        per_atom: dict[str, Any] = {"labels": tuple(self.labels) or tuple(map(str, range(n)))}
        for field, values in usual.items():
            given = getattr(self, field)
            per_atom[field] = values if given is None else np.asarray(given)
        for field, values in per_atom.items():
            if len(values) != n:
                raise ValueError(f"{field} must have one entry for each of {n} atoms: {values!r}.")
            object.__setattr__(self, field, values)
        atoms.flags.writeable = False
        object.__setattr__(self, "atoms", atoms)

    def __reduce__(self) -> Any:  # copies are checked and read-only like the original
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __len__(self) -> int:
        return len(self.atoms)

    def __repr__(self) -> str:
        extents = "x".join(map(str, self.support))
        return f"Frame({self.name!r}, {len(self)} atoms on {extents})"

    def build(self, ndim: int) -> Frame:
        """Return the frame itself, so that it can stand wherever a family can."""
        if ndim != self.ndim:
            raise ValueError(f"This frame has {self.ndim} dimensions, but {ndim} are needed.")
        return self

    @cached_property
    def support(self) -> tuple[int, ...]:
        """Extents of the atoms, in samples."""
        return self.atoms.shape[1:]

    @cached_property
    def ndim(self) -> int:
        """Number of spatial dimensions."""
        return len(self.support)

    @cached_property
    def flat(self) -> Array:
        """The atoms as rows, shape (n_atoms, n_samples)."""
        return self.atoms.reshape(len(self), -1)

    @cached_property
    def gram(self) -> Array:
        r"""Gram matrix :math:`G_{kl} = \langle \psi_k, \psi_l \rangle`, (n_atoms, n_atoms)."""
        return self.flat @ self.flat.T

    @cached_property
    def norms(self) -> Array:
        """Norms of the atoms, shape (n_atoms,)."""
        return np.sqrt(np.diag(self.gram))

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues, ascending, and eigenvectors of the Gram matrix, on its range only."""
        values, vectors = np.linalg.eigh(self.gram)
        # What the atoms do not span has eigenvalues that are rounding, of either sign.
        kept = values > SPAN_TOLERANCE * values[-1]
        return values[kept], vectors[:, kept]

    @property
    def rank(self) -> int:
        """Dimension of the space of kernels that the atoms span."""
        return len(self._spectrum[0])

    @property
    def bounds(self) -> tuple[float, float]:
        r"""Frame bounds on the span of the atoms.

        The largest :math:`A` and the smallest :math:`B` with
        :math:`A \|f\|^2 \le \sum_k \langle f, \psi_k \rangle^2 \le B \|f\|^2`
        for every patch :math:`f` in the span.
        """
        values, _ = self._spectrum
        return float(values[0]), float(values[-1])

    @property
    def is_complete(self) -> bool:
        """Whether the atoms span all patches, so that the bounds hold for every patch."""
        return self.rank == self.flat.shape[1]

    @property
    def is_tight(self) -> bool:
        """Whether both bounds agree, so that analysis keeps the energy up to a factor."""
        return bool(np.isclose(*self.bounds))

    @property
    def redundancy(self) -> float:
        """Number of atoms for each dimension of their span; 1 where they are independent."""
        return len(self) / self.rank

    @property
    def condition_number(self) -> float:
        """Ratio B / A of the frame bounds; 1 where the frame is tight."""
        lower, upper = self.bounds
        return upper / lower

    @cached_property
    def whitening(self) -> Array:
        r"""The matrix :math:`G^{+1/2}` that turns the atoms into the canonical tight frame.

        :math:`\tilde\psi = G^{+1/2} \psi` spans the same kernels with both frame bounds 1, and
        among all such frames it is the nearest to the atoms (Loewdin's orthogonalisation).
        Shape (n_atoms, n_atoms), symmetric; the identity for an orthonormal frame.
        """
        values, vectors = self._spectrum
        return (vectors / np.sqrt(values)) @ vectors.T

    @cached_property
    def factors(self) -> tuple[Array, ...] | None:
        r"""One-dimensional factors :math:`\psi_k = \phi_{k1} \otimes \dots \otimes \phi_{kd}`.

        A tuple with one ndarray of shape (n_atoms, extent) for each axis, or None where an atom
        is no such product.
        """
        per_atom = [separate(atom) for atom in self.atoms]
        if any(profiles is None for profiles in per_atom):
            return None
        return tuple(np.stack(profiles) for profiles in zip(*per_atom, strict=True))

    def steering(self, matrix: ArrayLike) -> Steering:
        r"""Return how a linear map of space mixes the atoms.

        The matrix :math:`S` that minimises
        :math:`\| \psi(A^{-1} x) - S \psi(x) \|` over the grid points :math:`x`.

        Parameters
        ----------
        matrix : array-like, shape (ndim, ndim)
            The map A: a rotation, a dilation ``s * np.eye(ndim)``, any invertible matrix.  Axes
            are those of the array.

        Returns
        -------
        steering : Steering
            The matrix and its errors: at rounding level where the frame is steerable by A.
            There :math:`S_{AB} = S_B S_A`, and a kernel :math:`c^T \psi` moves to
            :math:`(S^T c)^T \psi`.

        Raises
        ------
        ValueError
            If A has another shape or is singular, or moves grid points of a frame that exists
            on the grid only to places in between.

        References
        ----------
        W. T. Freeman and E. H. Adelson. The design and use of steerable filters. PAMI, 1991.
        """
        matrix = np.asarray(matrix, dtype=float)
        if matrix.shape != (self.ndim,) * 2:
            raise ValueError(f"matrix must have shape {(self.ndim,) * 2}, got {matrix.shape}.")
        if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-12:
            raise ValueError(f"matrix must be invertible, got {matrix.tolist()}.")
        moved = self.evaluate(self.grid @ np.linalg.inv(matrix).T)
        mixed = np.linalg.lstsq(self.flat.T, moved.T, rcond=None)[0].T
        residual = np.linalg.norm(mixed @ self.flat - moved, axis=1)
        size = np.linalg.norm(moved, axis=1)
        return Steering(mixed, residual / np.where(size > 0, size, 1))

    def steered(self, matrix: ArrayLike, tolerance: float = 1e-6) -> Frame:
        """Return this frame moved by a linear map of space, through its steering matrix.

        Raises
        ------
        ValueError
            If the relative error of the steering exceeds the tolerance.
        """
        steering = self.steering(matrix)
        if steering.error > tolerance:
            raise ValueError(
                f"The frame {self.name!r} is steered by this matrix with a relative error of "
                f"{steering.error:.2g} only, but {tolerance:.2g} is asked for."
            )
        atoms = np.tensordot(steering.matrix, self.atoms, axes=1)
        return replace(self, atoms=atoms, orientations=None, functions=None)

    @property
    def grid(self) -> Array:
        """The sample points, shape (n_samples, ndim); the origin is in the centre."""
        return centred_grid(self.support)

    def evaluate(self, points: ArrayLike) -> Array:
        """Return the values of the atoms at any points, (n_points, ndim) to (n_atoms, n_points).

        Raises
        ------
        ValueError
            If the frame exists on the grid only, and a point lies between grid points.
        """
        points = np.asarray(points, dtype=float)
        if self.functions is not None:
            return self.functions(points)
        nearest = np.rint(points).astype(int)
        if not np.allclose(points, nearest, rtol=0, atol=1e-9):
            raise ValueError(
                f"The frame {self.name!r} exists on the grid only: it can be moved by the "
                "rotations of the grid, but has no values between grid points."
            )
        # Beyond their support atoms are zero.
        places = nearest + np.array(self.support) // 2
        inside = ((places >= 0) & (places < self.support)).all(axis=1)
        values = np.zeros((len(self), len(points)))
        values[:, inside] = self.atoms[(slice(None), *places[inside].T)]
        return values


def centred_grid(support: tuple[int, ...]) -> Array:
    """Return the points of a grid around the origin, shape (n_points, ndim)."""
    axes = [np.arange(n, dtype=float) - n // 2 for n in support]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(support))


def separate(atom: Array) -> tuple[Array, ...] | None:
    """Return the factors of a product of one-dimensional profiles, or None if it is none."""
    profiles: list[Array] = []
    rest = atom
    while rest.ndim > 1:  # peel off the leading axis: rank one means atom = profile x rest
        matrix = rest.reshape(len(rest), -1)
        pivot = np.unravel_index(np.abs(matrix).argmax(), matrix.shape)
        profile, remainder = matrix[:, pivot[1]] / matrix[pivot], matrix[pivot[0]]
        error = np.abs(np.outer(profile, remainder) - matrix).max()
        if error > SEPARABLE_TOLERANCE * abs(matrix[pivot]):
            return None
        profiles.append(profile)
        rest = remainder.reshape(rest.shape[1:])
    return (*profiles, rest)


@remembered
def build_frame(family: FrameFamily, ndim: int) -> Frame:
    """Return the frame of a family, the same one for equal families.

    Layers and fits that have a frame in common so share what is derived from it.

    See Also
    --------
    FrameFamily : Parameters that build a frame.
    make_frame : From a name to a family.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives, build_frame
    >>> build_frame(GaussianDerivatives(order=2), 2)
    Frame('gaussian', 6 atoms on 7x7)
    >>> build_frame(GaussianDerivatives(order=2), 2) is build_frame(GaussianDerivatives(order=2), 2)
    True
    """
    frame = family.build(ndim)
    if not isinstance(frame, Frame):
        raise TypeError(f"{type(family).__name__} must build a Frame, got {type(frame).__name__}.")
    return frame
