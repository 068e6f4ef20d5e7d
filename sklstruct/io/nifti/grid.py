"""Where voxels are: grids in millimetres, canonical orientation, resampling between grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

Array = NDArray[Any]
Box = tuple[slice, ...]

CLOSE = 1e-3  # voxels by which equal grids may differ: affines are stored in single precision
LATTICE = 16  # places along an axis
FLAT = 1e-6  # volume of the parallelepiped of unit vectors along the axes, 1 where orthogonal


@dataclass(frozen=True, eq=False)
class Grid:
    """Voxels in space.

    Parameters
    ----------
    shape : tuple of int
        Number of voxels along the three axes.
    affine : ndarray, shape (4, 4)
        From the indices of a voxel to millimetres.

    Raises
    ------
    ValueError
        If the affine is not finite, has another last row than (0, 0, 0, 1), or maps space onto
        a plane.
    """

    shape: tuple[int, ...]
    affine: Array

    def __post_init__(self) -> None:
        if not np.isfinite(self.affine).all() or self.affine[3].tolist() != [0, 0, 0, 1]:
            raise ValueError(
                f"the affine must be finite with a last row 0, 0, 0, 1, got {self.affine.tolist()}"
            )
        lengths = np.linalg.norm(self.directions, axis=0)
        if not lengths.all() or not abs(np.linalg.det(self.directions / lengths)) > FLAT:
            raise ValueError(
                "the affine must be invertible, got a determinant of zero: "
                f"{self.directions.tolist()}"
            )

    def __repr__(self) -> str:
        spacing = ", ".join(f"{extent:.4g}" for extent in self.spacing)
        corner = ", ".join(f"{place:.4g}" for place in self.affine[:3, 3])
        return f"{'x'.join(map(str, self.shape))} voxels of ({spacing}) mm from ({corner})"

    @property
    def directions(self) -> Array:
        """The step from a voxel to the next one along each axis, as columns, in millimetres."""
        return self.affine[:3, :3]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a voxel along each axis, in millimetres."""
        return tuple(np.linalg.norm(self.directions, axis=0).tolist())

    def agrees(self, other: Grid) -> bool:
        """Whether the voxels of another grid are at the same places."""
        if self.shape != other.shape:
            return False
        # An affine map that moves no corner moves nothing in between.
        corners = np.indices((2, 2, 2)).reshape(3, -1) * (np.array(self.shape)[:, None] - 1)
        matrix, offset = voxel_map(self, other)
        return bool(np.abs(matrix @ corners + offset[:, None] - corners).max() < CLOSE)

    def canonical(self) -> Grid:
        """Return the same voxels with the axes that run most to the right, front and top."""
        orientation = io_orientation(self.affine)
        shape = [self.shape[axis] for axis in np.argsort(orientation[:, 0])]
        return Grid(tuple(shape), self.affine @ inv_ornt_aff(orientation, self.shape))

    def with_spacing(self, spacing: ArrayLike) -> Grid:
        """Return a grid over the same field of view with voxels of another size."""
        ratio = np.asarray(spacing, np.float64) / self.spacing
        # Less CLOSE, lest rounding add a whole layer of voxels to a side that divides evenly.
        shape = np.ceil(self.shape / ratio - CLOSE).astype(int).clip(min=1)
        return self.about_centre(shape, self.directions * ratio)

    def with_shape(self, shape: ArrayLike) -> Grid:
        """Return a grid about the same centre with another number of voxels."""
        return self.about_centre(np.asarray(shape), self.directions)

    def cropped(self, box: Box) -> Grid:
        """Return the part of the grid in a box of voxels."""
        ranges = [side.indices(extent) for side, extent in zip(box, self.shape, strict=True)]
        affine = self.affine.copy()
        affine[:3, 3] += self.directions @ [start for start, _, _ in ranges]
        return Grid(tuple(stop - start for start, stop, _ in ranges), affine)

    def about_centre(self, shape: Array, directions: Array) -> Grid:
        """Return a grid about the same centre with other voxels."""
        centre = self.affine[:3, 3] + self.directions @ (np.array(self.shape) - 1) / 2
        affine = np.eye(4)
        affine[:3, :3] = directions
        affine[:3, 3] = centre - directions @ (shape - 1) / 2
        return Grid(tuple(shape.tolist()), affine)


def voxel_map(source: Grid, target: Grid) -> tuple[Array, Array]:
    """Return the matrix and the offset from indices of a target to those of a source."""
    matrix = np.linalg.inv(source.affine) @ target.affine
    return matrix[:3, :3], matrix[:3, 3]


def coverage(source: Grid, target: Grid) -> float:
    """Return the share of a target that is in the field of view of a source."""
    # A lattice tells it well enough, and takes no time beside reading a scan.
    counts = [(extent, min(extent, LATTICE)) for extent in target.shape]
    axes = [(np.arange(count) + 0.5) * extent / count - 0.5 for extent, count in counts]
    matrix, offset = voxel_map(source, target)
    places = matrix @ np.reshape(np.meshgrid(*axes), (3, -1)) + offset[:, None]
    from_centre = np.abs(places - (np.array(source.shape)[:, None] - 1) / 2)
    return float((from_centre <= np.array(source.shape)[:, None] / 2 + CLOSE).all(axis=0).mean())


def to_canonical(values: Array, grid: Grid) -> tuple[Array, Grid]:
    """Return a view of a volume in canonical orientation (right, front, top), and its grid."""
    return apply_orientation(values, io_orientation(grid.affine)), grid.canonical()


def resample(
    values: Array, source: Grid, target: Grid, *, out: Array | None = None, nearest: bool = False
) -> Array:
    """Return the values of a volume at the voxels of another grid.

    Parameters
    ----------
    values : ndarray
        On the grid ``source``; zero beyond it.
    source, target : Grid
    out : ndarray, default=None
        Where to put the result.
    nearest : bool, default=False
        If True, the value of the nearest voxel; if False, linear between neighbours.

    Returns
    -------
    resampled : ndarray, shape target.shape
        The very ``values`` where the grids agree and there is no ``out``.
    """
    if source.agrees(target) and out is None:
        return values
    result = np.empty(target.shape, values.dtype) if out is None else out
    if source.agrees(target):
        result[...] = values
    else:
        rule: dict[str, Any] = {"order": 0 if nearest else 1, "mode": "grid-constant"}
        ndimage.affine_transform(values, *voxel_map(source, target), target.shape, result, **rule)
    return result
