"""The anatomy of simulated heads: which share of every place is grey matter, white or fluid.

Everything is a function of coordinates in millimetres, laid out as in the MNI space (x to the
right, y to the front, z up), so that the same head can be sampled on any grid.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Field = NDArray[np.float64]
Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]  # centre, half axes

CENTRE = (0, -18, 8)  # of the field of view, in mm as everything here
EXTENT = (144, 184, 160)  # of the whole head
CEREBRUM: Ellipsoid = (0, -18, 16), (67, 86, 60)
CEREBELLUM: Ellipsoid = (0, -64, -36), (48, 30, 24)
STEM: Ellipsoid = (0, -30, -44), (11, 13, 26)
NUCLEI: tuple[Ellipsoid, ...] = (  # those on the right; the left ones are their mirror images
    ((11, -18, 8), (9, 15, 9)),  # thalamus
    ((26, 4, 3), (7, 17, 11)),  # putamen and pallidum
    ((27, -22, -15), (7, 18, 7)),  # hippocampus
)
VENTRICLES: tuple[Ellipsoid, ...] = (
    ((12, -12, 22), (6, 32, 9)),  # lateral
    ((0, -12, 2), (2.5, 14, 9)),  # third
)
RIM = 4.0  # of fluid around the brain
CORTEX = 5.0  # of grey matter, rather thick because voxels are large
SULCUS = 1.0, 17.0  # half width and depth
FOLDED = SULCUS[1] + CORTEX  # depth down to which there is grey matter
FISSURE = 1.5, 28.0  # the same between the hemispheres
FOLDS = 16  # plane waves whose zero lines are the sulci
FOLD_LENGTHS = 44.0, 60.0  # range of their wavelengths
WARPS = 12  # plane waves that tell one head from another
WARP_LENGTHS = 70.0, 200.0


class Tissues(NamedTuple):
    """Shares of every voxel, whose sum is 1 inside the head and 0 outside."""

    grey: Field
    white: Field
    fluid: Field


Anatomy = Callable[[Field, float], Tissues]  # of points, for some ageing


def grid_affine(shape: tuple[int, ...], spacing: float) -> Field:
    """Return the affine from voxels to millimetres of a grid around the middle of the head."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = CENTRE - spacing * (np.array(shape) - 1) / 2
    return affine


def grid_points(shape: tuple[int, ...], spacing: float) -> Field:
    """Return the millimetres of all voxels, (3, *shape)."""
    return spacing * np.indices(shape) + column(grid_affine(shape, spacing)[:3, 3])


def column(vector: object) -> Field:
    """Return three numbers in a shape that goes with (3, *shape)."""
    return np.asarray(vector, dtype=float).reshape(3, 1, 1, 1)


def phantom(points: Field, ageing: float, width: float) -> Tissues:
    """Return the tissues of a head made of ellipsoids and folds.

    Parameters
    ----------
    points : ndarray, shape (3, *shape)
        Millimetres.
    ageing : float
        Share of the thickness of the cortex that is lost; the ventricles grow by twice as much.
    width : float
        Millimetres over which one tissue passes into the next, as by partial volume.

    Returns
    -------
    tissues : Tissues
        Each of shape ``shape``.
    """
    points = np.concatenate([np.abs(points[:1]), points[1:]])  # both sides are the same
    cerebrum, cerebellum = depth(points, CEREBRUM), depth(points, CEREBELLUM)
    stem = depth(points, STEM)
    clefts = cleft(folding(points), cerebrum, SULCUS), cleft(points[0], cerebrum, FISSURE)
    surface = np.maximum(np.minimum(cerebrum, np.minimum(*clefts)), cerebellum)
    head = within(np.maximum.reduce([cerebrum, cerebellum, stem]) + RIM, width)
    ventricles = within(deepest(points, VENTRICLES, 1 + 2 * ageing), width)
    fluid = np.maximum(1 - within(np.maximum(surface, stem), width), ventricles)
    core = within(np.maximum(surface - CORTEX * (1 - ageing), stem), width)
    white = np.minimum(core * (1 - within(deepest(points, NUCLEI), width)), 1 - fluid)
    return Tissues(head * (1 - white - fluid), head * white, head * fluid)


def depth(points: Field, ellipsoid: Ellipsoid, growth: float = 1.0) -> Field:
    r"""Return how deep points lie below the surface of an ellipsoid, in millimetres.

    To first order in this depth, with half axes :math:`r` and :math:`\rho = |p / r|`, it is
    :math:`\rho (1 - \rho) / |p / r^2|`.
    """
    centre, axes = column(ellipsoid[0]), growth * column(ellipsoid[1])
    scaled = (points - centre) / axes + 1e-9  # not 0 / 0 in the centre
    rho = np.linalg.norm(scaled, axis=0)
    return rho * (1 - rho) / np.linalg.norm(scaled / axes, axis=0)


def deepest(points: Field, ellipsoids: tuple[Ellipsoid, ...], growth: float = 1.0) -> Field:
    """Return the depth below the surface of several ellipsoids together."""
    return np.maximum.reduce([depth(points, ellipsoid, growth) for ellipsoid in ellipsoids])


def cleft(across: Field, down: Field, extent: tuple[float, float]) -> Field:
    """Return the distance from a cleft of some half width and depth."""
    half_width, floor = extent
    return np.maximum(np.abs(across) - half_width, down - floor)


def within(level: Field, width: float) -> Field:
    """Return the share of a voxel that is inside, for its depth below the surface."""
    return np.clip(level / width + 0.5, 0, 1)


def folding(points: Field) -> Field:
    """Return about the distance from the nearest sulcus, the same in all heads.

    Sulci are drawn on the surface of the cerebrum and go straight inwards.
    """
    centre, axes = map(column, CEREBRUM)
    rho = np.linalg.norm((points - centre) / axes, axis=0) + 1e-9
    # The same in all heads.
    vectors, phases = draw_waves(np.random.default_rng(20), FOLDS, FOLD_LENGTHS)
    field = sum_waves(centre + (points - centre) / rho, vectors, phases, np.ones((1, FOLDS)))
    # A wave over its slope is the distance from its zero, near there.
    slope = np.linalg.norm(vectors) / np.sqrt(3)  # root mean square along the surface
    return rho * field[0] / slope


def draw_waves(
    rng: np.random.Generator, number: int, lengths: tuple[float, float]
) -> tuple[Field, Field]:
    """Return wave vectors in random directions, (number, 3), and phases, (number,)."""
    vectors = rng.standard_normal((number, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors *= 2 * np.pi / rng.uniform(*lengths, (number, 1))
    return vectors, rng.uniform(0, 2 * np.pi, number)


def sum_waves(points: Field, vectors: Field, phases: Field, amplitudes: Field) -> Field:
    """Return sums of plane waves, one for each row of amplitudes, (n_sums, *shape)."""
    total = np.zeros((len(amplitudes), *points.shape[1:]))
    # One wave after another: all at once would take 16 times the memory of a volume.
    for vector, phase, amplitude in zip(vectors, phases, amplitudes.T, strict=True):
        wave = np.cos(np.tensordot(vector, points, 1) + phase)
        total += amplitude.reshape(-1, 1, 1, 1) * wave
    return total


def warp(points: Field, size: float, rng: np.random.Generator) -> Field:
    """Return points moved smoothly and at random, by ``size`` mm on average along every axis."""
    vectors, phases = draw_waves(rng, WARPS, WARP_LENGTHS)
    amplitudes = size * np.sqrt(2 / WARPS) * rng.standard_normal((3, WARPS))
    return points + sum_waves(points, vectors, phases, amplitudes)


def onto_cortex(place: Field) -> Field:
    """Return the place in the middle of the folded cortex that is straight above or below."""
    centre, axes = map(np.array, CEREBRUM)
    offset = (place - centre) / axes
    rho = 1 - FOLDED / 2 / axes.mean()
    return centre + axes * rho * offset / np.linalg.norm(offset)


def choose_anatomy(template: str | None, width: float) -> Anatomy:
    """Return the function that gives the tissues of a head, for voxels of some width."""
    if template is None:
        return partial(phantom, width=width)
    try:
        from nilearn import datasets  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError(
            "template='MNI152' takes its tissue maps from nilearn, which cannot be imported "
            f"({error}): install it with pip install nilearn, or leave out the template."
        ) from error
    kinds = ("gm_template", "wm_template", "brain_mask")
    images = [getattr(datasets, f"load_mni152_{kind}")(2) for kind in kinds]  # mm
    inverse = np.linalg.inv(images[0].affine)
    sigma = 0.35 * width * np.linalg.norm(inverse[:3, :3], axis=1)  # voxels, against aliasing
    maps = [gaussian_filter(image.get_fdata(), sigma) for image in images]

    def anatomy(points: Field, ageing: float) -> Tissues:
        voxels = np.tensordot(inverse[:3, :3], points, 1) + column(inverse[:3, 3])
        grey, white, head = (np.clip(map_coordinates(m, voxels, order=1), 0, 1) for m in maps)
        white = np.minimum(white, head)  # interpolated maps add up to more than the head in places
        grey = np.minimum(grey, head - white) * (1 - ageing)
        return Tissues(grey, white, head - white - grey)

    return anatomy
