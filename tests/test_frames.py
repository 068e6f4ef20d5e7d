"""Frames: what is derived from the atoms, and how they move."""

import pickle
from functools import reduce
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.special import binom, eval_hermitenorm

from sklstruct.frames import (
    Frame,
    Framelets,
    Gabor,
    GaussianDerivatives,
    Monomials,
    Pixels,
    product_jet,
)

ANGLES = st.floats(-np.pi, np.pi)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def stacks(draw):
    """Draw atoms of any number of dimensions, some of them mixes of the others."""
    ndim, n_free, n_mixed = (draw(st.integers(*limits)) for limits in ((1, 3), (1, 5), (0, 3)))
    rng = np.random.default_rng(draw(SEEDS))
    free = rng.normal(size=(n_free, *rng.choice([3, 5], size=ndim)))
    return np.concatenate([free, np.tensordot(rng.normal(size=(n_mixed, n_free)), free, axes=1)])


# --- what follows from the atoms ------------------------------------------------------------


@given(stacks())
def test_bounds_and_rank_are_those_of_the_singular_values(atoms):
    frame = Frame("random", atoms)
    values = np.linalg.svd(frame.flat, compute_uv=False)
    rank = np.linalg.matrix_rank(frame.flat)
    lower, upper = values[rank - 1] ** 2, values[0] ** 2
    assert frame.rank == rank
    np.testing.assert_allclose(frame.bounds, (lower, upper), rtol=1e-7)
    np.testing.assert_allclose(frame.condition_number, upper / lower, rtol=1e-7)
    assert frame.redundancy == len(atoms) / rank
    assert frame.is_complete == (rank == atoms[0].size)


def test_three_vectors_at_120_degrees_are_a_tight_redundant_frame():
    angles = np.pi / 2 + 2 * np.pi / 3 * np.arange(3)
    atoms = np.stack([np.cos(angles), np.zeros(3), np.sin(angles)], axis=1)
    frame = Frame("Mercedes-Benz", atoms)
    np.testing.assert_allclose(frame.bounds, (1.5, 1.5))
    assert frame.is_tight
    assert frame.redundancy == 1.5
    assert not frame.is_complete


@given(stacks(), SEEDS)
def test_whitened_atoms_are_the_nearest_tight_frame(atoms, seed):
    frame = Frame("random", atoms)
    tight = frame.whitening @ frame.flat
    projection = np.linalg.pinv(frame.flat) @ frame.flat
    np.testing.assert_allclose(tight.T @ tight, projection, atol=1e-6)
    other = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(frame),) * 2))[0] @ tight
    assert np.linalg.norm(tight - frame.flat) <= np.linalg.norm(other - frame.flat)


@given(st.integers(1, 3), SEEDS)
def test_factors_of_products_are_found_and_of_sums_are_not(ndim, seed):
    profiles = np.random.default_rng(seed).normal(size=(2, ndim, 5))
    products = [reduce(np.multiply.outer, one) for one in profiles]
    factors = Frame("products", products).factors
    for atom, *vectors in zip(products, *factors, strict=True):
        np.testing.assert_allclose(reduce(np.multiply.outer, vectors), atom, atol=1e-12)
    if ndim > 1:
        assert Frame("sum", [sum(products)]).factors is None


def test_a_frame_stays_as_it_is():
    atoms = np.eye(3)
    frame = Frame("pixels", atoms)
    atoms[:] = 7
    np.testing.assert_array_equal(frame.atoms, np.eye(3))
    for kept in (frame, pickle.loads(pickle.dumps(frame))):
        with pytest.raises(ValueError, match="read-only"):
            kept.atoms[0, 0] = 1
        with pytest.raises(AttributeError):
            kept.name = "other"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"atoms": np.ones(3)}, "atoms must have shape"),
        ({"atoms": np.ones((0, 3))}, "atoms must have shape"),
        ({"atoms": np.ones((2, 3, 4))}, r"extent of a support must be odd, got \(3, 4\)"),
        ({"atoms": [[1, np.nan, 0]]}, "'mine' are not all finite"),
        ({"atoms": [[1, np.inf, 0]]}, "'mine' are not all finite"),
        ({"atoms": [[1, 2, 1], [0, 0, 0]]}, "atom of the frame 'mine' is zero everywhere"),
        ({"labels": ("a",)}, "labels must have one entry for each of 2 atoms"),
        ({"orders": [0, 1, 2]}, "orders must have one entry for each of 2 atoms"),
        ({"scales": [1.0]}, "scales must have one entry for each of 2 atoms"),
        ({"orientations": [1.0]}, "orientations must have one entry for each of 2 atoms"),
    ],
)
def test_a_frame_refuses_what_is_none(changes, message):
    with pytest.raises(ValueError, match=message):
        Frame(**({"name": "mine", "atoms": np.eye(3)[:2]} | changes))


def test_a_frame_stands_where_a_family_can():
    frame = Pixels(size=3).build(2)
    assert frame.build(2) is frame
    with pytest.raises(ValueError, match="2 dimensions, but 3 are needed"):
        frame.build(3)


# --- steering -------------------------------------------------------------------------------


def plane_rotation(angle):
    """Return the rotation that takes the x-axis to (cos, sin); the last array axis is x."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def jet(points, order, scale, size):
    """Return Gaussian derivatives at points from SciPy's polynomials, sorted as in the frame."""
    ndim = points.shape[1]
    radius = np.arange(size) - size // 2
    total = np.exp(-(radius**2) / (2 * scale**2)).sum() ** ndim
    indices = [i for i in np.ndindex(*(order + 1,) * ndim) if sum(i) <= order]
    window = np.exp(-(points**2).sum(axis=1) / (2 * scale**2)) / total
    return np.stack(
        [
            (-1) ** sum(index) * window * np.prod(eval_hermitenorm(index, points / scale), axis=1)
            for index in sorted(indices, key=lambda i: (sum(i), i))
        ]
    )


@given(ANGLES, st.integers(1, 4), st.sampled_from([1.0, 1.5, 2.3]))
def test_derivatives_along_a_direction_mix_by_the_binomial_theorem(angle, order, scale):
    """Thesis, eq. 22: G_xx turns to cos^2 G_xx + 2 cos sin G_xy + sin^2 G_yy, and so on."""
    frame = GaussianDerivatives(order=order, scales=(scale,)).build(2)
    names = ["g_" + "x" * (order - k) + "y" * k for k in range(order + 1)]
    row = frame.steering(plane_rotation(angle)).matrix[frame.labels.index(names[0])]
    expected = np.zeros(len(frame))
    for k, name in enumerate(names):
        mixed = binom(order, k) * np.cos(angle) ** (order - k) * np.sin(angle) ** k
        expected[frame.labels.index(name)] = mixed
    np.testing.assert_allclose(row, expected, atol=1e-10)


@given(SEEDS, st.integers(1, 3), st.sampled_from([1.0, 1.7]))
def test_steering_in_space_is_resampling_the_functions(seed, order, scale):
    frame = GaussianDerivatives(order=order, scales=(scale,)).build(3)
    rotation = Rotation.random(None, seed).as_matrix()
    steering = frame.steering(rotation)
    resampled = jet(frame.grid @ rotation, order, scale, frame.support[0])  # at R^-1 x
    np.testing.assert_allclose(steering.matrix @ frame.flat, resampled, atol=1e-12)
    assert steering.error < 1e-10


@pytest.mark.parametrize("order, scales", [(1, (1.0,)), (3, (1.5,)), (2, (1.0, 2.0))])
@given(first=SEEDS, second=SEEDS)
def test_rotations_compose(order, scales, first, second):
    one, other = (Rotation.random(None, seed).as_matrix() for seed in (first, second))
    frame = GaussianDerivatives(order=order, scales=scales).build(3)
    composed = frame.steering(other).matrix @ frame.steering(one).matrix
    np.testing.assert_allclose(frame.steering(one @ other).matrix, composed, atol=1e-9)


@given(ANGLES, st.integers(0, 4))
def test_steered_atoms_are_rotated_back_by_the_inverse(angle, order):
    frame = GaussianDerivatives(order=order).build(2)
    there = frame.steered(plane_rotation(angle))
    back = np.tensordot(frame.steering(plane_rotation(-angle)).matrix, there.atoms, axes=1)
    np.testing.assert_allclose(back, frame.atoms, atol=1e-10)


@pytest.mark.parametrize("family", [Pixels(size=5), Framelets(), Framelets(degree=3)], ids=repr)
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_symmetries_of_the_grid_permute_pixels_and_framelets(family, ndim):
    frame = family.build(ndim)
    for axes in permutations(range(ndim)):
        matrix = np.eye(ndim)[list(axes)]
        matrix[0] *= -1
        mixing, errors = frame.steering(matrix)
        assert errors.max() < 1e-12
        np.testing.assert_allclose(abs(mixing) @ np.ones(len(frame)), 1, atol=1e-12)
        np.testing.assert_allclose(abs(mixing).max(axis=1), 1, atol=1e-12)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_monomials_are_steered_by_every_symmetry_of_the_grid(ndim):
    for axes in permutations(range(ndim)):
        assert Monomials().build(ndim).steering(-np.eye(ndim)[list(axes)]).error < 1e-12


@pytest.mark.parametrize("factor", [1.1, 1.25, 1 / 1.25])
def test_dilation_is_steered_the_better_the_higher_the_order(factor):
    errors = []
    for order in (0, 2, 4, 6):
        frame = GaussianDerivatives(order=order, size=15, scales=(1.5,)).build(2)
        steering = frame.steering(factor * np.eye(2))
        dilated = jet(frame.grid / factor, order, 1.5, 15)
        distance = np.linalg.norm(steering.matrix @ frame.flat - dilated, axis=1)
        stated = distance / np.linalg.norm(dilated, axis=1)
        np.testing.assert_allclose(steering.errors, stated, rtol=1e-6)
        nearest = dilated @ np.linalg.pinv(frame.flat) @ frame.flat
        np.testing.assert_allclose(distance, np.linalg.norm(nearest - dilated, axis=1), rtol=1e-6)
        assert steering.error == steering.errors.max()
        errors.append(steering.errors[0])
    assert all(after < before / 3 for before, after in pairwise(errors))


def test_a_frame_that_is_not_steerable_says_so():
    frame = Gabor().build(2)
    assert frame.steering(plane_rotation(0.3)).error > 0.1
    with pytest.raises(ValueError, match="'gabor' is steered by this matrix with a relative error"):
        frame.steered(plane_rotation(0.3))


@pytest.mark.parametrize(
    "matrix, message",
    [
        (np.eye(3), r"matrix must have shape \(2, 2\), got \(3, 3\)"),
        ([[1, 2], [2, 4]], "matrix must be invertible"),
        ([[1, 0], [0, np.nan]], "matrix must be invertible"),
        (plane_rotation(0.3), "'pixel' exists on the grid only"),
    ],
)
def test_steering_refuses_what_moves_no_atoms(matrix, message):
    with pytest.raises(ValueError, match=message):
        Pixels().build(2).steering(matrix)


def test_what_is_too_large_is_refused():
    with pytest.raises(ValueError, match="at most 2500 atoms, got 3969"):
        Pixels(size=63).build(2)
    with pytest.raises(ValueError, match="at most 2500 atoms, got 2501"):
        Frame("many", np.ones((2501, 3)))
    with pytest.raises(ValueError, match="at most 2500 atoms, got 5456"):
        product_jet(GaussianDerivatives(order=30), 3)
    jet = product_jet(GaussianDerivatives(order=2, scales=(100.0,)), 3)  # by its factors only
    with pytest.raises(ValueError, match="601x601x601 samples, built as a whole"):
        jet.atoms  # noqa: B018
