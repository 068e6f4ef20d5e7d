"""Frames of harmonics against closed forms: of the atoms, of their norms, and of how they turn."""

from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag
from scipy.spatial.transform import Rotation
from scipy.special import ive, lpmv, spherical_in

from sklstruct.frames import CircularHarmonics, SolidHarmonics

ANGLES = st.floats(-np.pi, np.pi)
SEEDS = st.integers(0, 2**32 - 1)
DIMENSIONS = pytest.mark.parametrize("ndim", [1, 2, 3])
DEFAULTS = pytest.mark.parametrize("family", [CircularHarmonics(), SolidHarmonics()], ids=repr)


def plane_rotation(angle):
    """Return the rotation that takes the x-axis to (cos, sin); the last array axis is x."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def angular(points, degree):
    """Return the real harmonics of a degree from SciPy's functions, and the distances."""
    distance = np.linalg.norm(points, axis=1)
    if points.shape[1] == 1:
        return np.sign(points.T) ** degree, distance
    phi = np.arctan2(points.T[-2], points.T[-1])
    if points.shape[1] == 2:
        waves = [np.cos(degree * phi), np.sin(degree * phi)]
        return np.stack(waves[: 1 + (degree > 0)]), distance
    rows = []
    for m in range(-degree, degree + 1):
        k = abs(m)  # SciPy's functions have the sign (-1)^m of Condon and Shortley
        norm = (-1) ** k * np.sqrt((2 if m else 1) * factorial(degree - k) / factorial(degree + k))
        wave = np.sin(k * phi) if m < 0 else np.cos(k * phi)
        rows.append(norm * lpmv(k, degree, points.T[0] / distance) * wave)
    return np.stack(rows), distance


def bessel(ndim, degree, z):
    """Return the mean of exp(z (u - 1)) against a harmonic, u on the sphere, from SciPy."""
    if ndim == 1:
        return (1 + (-1) ** degree * np.exp(-2 * z)) / 2
    return ive(degree, z) if ndim == 2 else spherical_in(degree, z) * np.exp(-z)


# --- atoms ----------------------------------------------------------------------------------


@DIMENSIONS
@pytest.mark.parametrize("width", [0.3, 0.5, 2.0])
def test_rings_are_those_of_bessel_functions(ndim, width):
    frame = CircularHarmonics(order=4, radii=(0, 1.5, 4), width=width).build(ndim)
    points = np.random.default_rng(0).uniform(-5, 5, size=(50, ndim))
    seen, row = frame.evaluate(points), 0
    for radius, highest in ((0, 0), (1.5, 4), (4, 4)):
        for degree in range(min(highest, 1 if ndim == 1 else 4) + 1):
            waves, distance = angular(points, degree)
            square = bessel(ndim, degree, radius**2 / (2 * width**2)) / len(waves)
            norm = np.sqrt(square / (4 * np.pi * width**2) ** (ndim / 2))
            rings = np.exp(-((distance - radius) ** 2) / (2 * width**2))
            rings *= bessel(ndim, degree, distance * radius / width**2)
            rings /= (2 * np.pi * width**2) ** (ndim / 2) * norm
            stop = row + len(waves)
            np.testing.assert_allclose(seen[row:stop], rings * waves, rtol=0, atol=1e-11)
            row = stop
    assert row == len(frame)


@DIMENSIONS
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_solid_harmonics_are_polynomials_under_a_gaussian(ndim, scale):
    frame = SolidHarmonics(order=4, scales=(scale,)).build(ndim)
    points = np.random.default_rng(0).uniform(-5, 5, size=(50, ndim))
    seen = frame.evaluate(points)
    for degree in sorted(set(frame.orders)):
        waves, distance = angular(points, degree)
        x = distance / scale
        expected = waves * x**degree * np.exp(-(x**2) / 2)
        rows = seen[frame.orders == degree]
        factors = rows / expected
        np.testing.assert_allclose(factors, factors[0, 0], rtol=1e-9)
        assert factors[0, 0] > 0


@DIMENSIONS
@pytest.mark.parametrize(
    "family",
    [
        CircularHarmonics(order=3, radii=(0, 2, 4), width=1.5, truncate=7),
        SolidHarmonics(order=3, scales=(2.0, 2.5), truncate=7),
    ],
    ids=repr,
)
def test_atoms_have_unit_norm_and_are_orthogonal_across_harmonics(family, ndim):
    frame = family.build(ndim)
    same = np.array([label.split(" ")[0] for label in frame.labels])
    np.testing.assert_allclose(frame.norms, 1, atol=1e-8)
    np.testing.assert_allclose(frame.gram * (same[:, None] != same), 0, atol=1e-8)


@DIMENSIONS
@DEFAULTS
def test_defaults_are_independent_and_well_conditioned(family, ndim):
    frame = family.build(ndim)
    assert frame.rank == len(frame)
    assert frame.condition_number < 8


@DIMENSIONS
@DEFAULTS
def test_atoms_vanish_at_the_origin_like_a_power_of_their_order(family, ndim):
    frame = family.build(ndim)
    direction = np.full((1, ndim), 1 / np.sqrt(ndim))
    near, nearer = (frame.evaluate(step * direction)[:, 0] for step in (1e-3, 1e-4))
    np.testing.assert_array_equal(frame.evaluate(0 * direction)[frame.orders > 0], 0)
    np.testing.assert_allclose(near, 10.0**frame.orders * nearer, rtol=1e-4, atol=1e-18)


@DIMENSIONS
def test_a_ring_takes_part_in_the_orders_that_its_samples_carry(ndim):
    frame = CircularHarmonics(order=5, radii=(0, 0.3, 0.5, 1, 2), size=9).build(ndim)
    highest = {}
    for order, label in zip(frame.orders, frame.labels, strict=True):
        highest[label.split(" r")[1]] = order
    line = ndim == 1
    assert list(highest.items()) == [("0", 0), ("0.3", 0), ("0.5", 1)] + (
        [("1", 1), ("2", 1)] if line else [("1", 3), ("2", 5)]
    )
    counts = {1: (1, 1), 2: (1, 2, 2, 2, 2, 2), 3: (1, 3, 5, 7, 9, 11)}[ndim]
    assert len(frame) == sum(sum(counts[: order + 1]) for order in highest.values())


# --- how they turn --------------------------------------------------------------------------


@given(ANGLES, SEEDS, st.sampled_from([CircularHarmonics(order=4), SolidHarmonics(order=4)]))
def test_in_the_plane_a_turn_is_a_block_rotation_by_multiples_of_its_angle(angle, seed, family):
    frame = family.build(2)
    turn = plane_rotation(angle)
    steering = frame.steering(turn)
    assert steering.error < 1e-12
    blocks = []
    for label, m in zip(frame.labels, frame.orders, strict=True):
        if label.startswith("cos"):
            block = plane_rotation(m * angle)
            blocks.append(block if m else block[:1, :1])
    np.testing.assert_allclose(steering.matrix, block_diag(*blocks), atol=1e-12)
    points = np.random.default_rng(seed).uniform(-4, 4, size=(30, 2))
    moved = frame.evaluate(points @ turn)  # the rows of points times the inverse, transposed
    np.testing.assert_allclose(moved, steering.matrix @ frame.evaluate(points), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@DEFAULTS
def test_in_space_turns_are_orthogonal_in_each_block_and_follow_the_group_law(family, seed):
    frame = family.build(3)
    A, B = Rotation.random(2, random_state=seed).as_matrix()
    S_A, S_B, S_AB = (frame.steering(turn) for turn in (A, B, A @ B))
    block = [label.split(",")[0] + label.partition(" ")[2] for label in frame.labels]
    across = np.array(block)[:, None] != np.array(block)
    for steering in (S_A, S_B, S_AB):
        assert steering.error < 1e-12
        S = steering.matrix
        np.testing.assert_allclose(S @ S.T, np.eye(len(frame)), atol=1e-12)
        np.testing.assert_allclose(S[across], 0, atol=1e-12)
    np.testing.assert_allclose(S_AB.matrix, S_B.matrix @ S_A.matrix, atol=1e-12)
    points = np.random.default_rng(seed).uniform(-4, 4, size=(30, 3))
    moved = frame.evaluate(points @ A)
    np.testing.assert_allclose(moved, S_A.matrix @ frame.evaluate(points), atol=1e-12)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    "family",
    [
        CircularHarmonics(order=3, radii=(0, 3), width=1.5, truncate=7),
        SolidHarmonics(order=3, scales=(2.0,), truncate=7),
    ],
    ids=repr,
)
def test_coefficients_of_a_turned_image_are_the_turned_coefficients(family, ndim):
    """Of images as smooth as the samples ask for: the integral is a sum, but for tails."""
    frame = family.build(ndim)
    rng = np.random.default_rng(0)
    centres, signs = rng.uniform(-3, 3, size=(5, ndim)), rng.choice([-1, 1], size=5)
    turn = plane_rotation(0.7) if ndim == 2 else Rotation.random(random_state=0).as_matrix()

    def image(points):
        square = ((points[:, None] - centres) ** 2).sum(axis=2)
        return np.exp(-square / (2 * 1.5**2)) @ signs

    before, after = (frame.flat @ image(frame.grid @ way) for way in (np.eye(ndim), turn))
    expected = frame.steering(turn.T).matrix @ before
    assert abs(after - expected).max() < 1e-6 * abs(before).max()


# --- parameters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family, ndim, message",
    [
        (CircularHarmonics(), 4, "ndim must be 1, 2 or 3, got 4"),
        (CircularHarmonics(order=-1), 2, "order must be an integer from 0 to 30, got -1"),
        (CircularHarmonics(order=7), 2, r"order must be lower, got 7: .* of radius 2, do not"),
        (CircularHarmonics(order=1, radii=(0,)), 1, "order must be lower, got 1"),
        (CircularHarmonics(radii=()), 2, "radii must differ, and be at least one"),
        (CircularHarmonics(radii=(1, 1)), 2, "radii must differ"),
        (CircularHarmonics(radii=(-1, 1)), 2, "Each of radii must be a finite number of at least"),
        (CircularHarmonics(radii="01"), 2, "radii must be a sequence or None, got '01'"),
        (CircularHarmonics(radii=(0, 2), size=3), 2, "ring of radius 2 does not fit size=3"),
        (CircularHarmonics(width=0), 2, "width must be a finite number of at least 0.25, got 0"),
        (CircularHarmonics(truncate=-1), 2, "truncate must be a finite number above 0, got -1"),
        (CircularHarmonics(radii=(0, 0.5, 1), order=2, size=3), 1, "5 atoms do not fit .* of 3"),
        (SolidHarmonics(scales=(0.3,)), 2, "order must be lower, got 3"),
        (SolidHarmonics(scales=(0,)), 2, "scales must be a finite number above 0"),
        (SolidHarmonics(size=4), 3, "size must be odd"),
        (SolidHarmonics(size=3), 2, "order 3 are largest at a radius of 1.73, .* fit size=3"),
        (SolidHarmonics(order=31, scales=(9,)), 1, "order must be an integer from 0 to 30"),
    ],
    ids=lambda value: repr(value) if hasattr(value, "build") else None,
)
def test_a_bad_parameter_is_named(family, ndim, message):
    with pytest.raises(ValueError, match=message):
        family.build(ndim)
