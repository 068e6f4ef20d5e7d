"""The frame families against formulas, tables and other libraries."""

from itertools import product
from math import ceil, comb, factorial, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve, correlate, gaussian_filter
from scipy.signal import fftconvolve

from sklstruct.frames import (
    AnisotropicGaussian,
    FirstGaussianDerivatives,
    Framelets,
    Gabor,
    GaussianDerivatives,
    Monomials,
    Morlet,
    Pixels,
    exact_jet,
    half_sphere,
    product_jet,
)
from sklstruct.frames.anisotropic import perpendicular_axes

NDIMS = st.integers(1, 3)
DIMENSIONS = pytest.mark.parametrize("ndim", [1, 2, 3])


# --- Gaussian derivatives -------------------------------------------------------------------


@given(NDIMS, st.integers(0, 4), st.floats(0.8, 2.5))
def test_gaussian_atoms_are_the_impulse_responses_of_scipy(ndim, order, scale):
    frame = GaussianDerivatives(order=order, scales=(scale,), truncate=2).build(ndim)
    impulse = np.zeros(frame.support)
    impulse[tuple(extent // 2 for extent in frame.support)] = 1
    radius = frame.support[0] // 2
    for atom, label in zip(frame.atoms, frame.labels, strict=True):
        index = [label.partition("_")[2].count(letter) for letter in "zyx"[-ndim:]]
        response = gaussian_filter(impulse, scale, index, mode="constant", radius=radius)
        np.testing.assert_allclose(atom, scale ** sum(index) * response, atol=1e-13)


@pytest.mark.parametrize("ndim, order", [(1, 4), (2, 3), (3, 1)])
def test_blurring_a_jet_gives_the_jet_at_the_dilated_scale(ndim, order):
    """Thesis, eq. 21: G(sqrt(j^2 + n^2)) = G(j) * G(n), and so for the derivatives of G.

    What the truncation leaves out is of the size of exp(-truncate^2 / 2), 1e-14 here.
    """
    j, n, truncate = 1.5, 2.0, 8
    dilated = sqrt(j**2 + n**2)
    size = 2 * ceil(truncate * dilated) + 1
    fine, coarse = (
        GaussianDerivatives(order=order, scales=(scale,), size=size).build(ndim)
        for scale in (j, dilated)
    )
    blur = GaussianDerivatives(order=0, scales=(n,), size=size).build(ndim).atoms[0]
    for atom, k, expected in zip(fine.atoms, fine.orders, coarse.atoms, strict=True):
        blurred = fftconvolve(atom, blur, mode="same") * (dilated / j) ** k
        np.testing.assert_allclose(blurred, expected, atol=1e-12)


@pytest.mark.parametrize("scale, extent", [(1.0, 7), (1.5, 11), (2.0, 13), (4.0, 25)])
def test_the_automatic_support_is_the_published_one(scale, extent):
    assert GaussianDerivatives(scales=(scale,)).build(2).support == (extent, extent)


@given(st.floats(0.3, 2), st.floats(0.5, 5), st.floats(0.3, 1))
def test_the_automatic_support_is_odd_and_covers_its_deviations(scale, truncate, slant):
    shared = {"scales": (scale / 2, scale), "truncate": truncate}
    for family, widest in (
        (GaussianDerivatives(order=0, **shared), scale),
        (Gabor(slant=slant, **shared), scale / slant),
    ):
        extent = family.build(1).support[0]
        assert extent % 2 == 1
        assert extent // 2 - 1 < truncate * widest <= extent // 2


@given(NDIMS, st.integers(0, 4), st.integers(1, 3))
def test_gaussian_counts_and_metadata(ndim, order, n_scales):
    scales = (1.0, 2.0, 3.0)[:n_scales]
    frame = GaussianDerivatives(order=order, scales=scales, size=7).build(ndim)
    per_scale = comb(order + ndim, ndim)
    assert len(frame) == n_scales * per_scale - (n_scales - 1)
    assert [(frame.orders == k).sum() for k in range(1, order + 1)] == [
        n_scales * comb(k + ndim - 1, ndim - 1) for k in range(1, order + 1)
    ]
    assert list(frame.scales[frame.orders == 0]) == [1.0]
    assert len(set(frame.labels)) == len(frame)


@pytest.mark.parametrize(
    "scales, totals",
    [
        ([(1,)] * 4, (12, 24, 40, 60)),
        ([(1, 2, 4, 8), (1, 2, 4), (1, 2), (1,)], (24, 54, 94, 144)),
    ],
    ids=["single scale", "several scales"],
)
def test_four_layers_have_the_published_number_of_atoms(scales, totals):
    """Thesis, table 1."""
    for order, total in zip((1, 2, 3, 4), totals, strict=True):
        layers = [GaussianDerivatives(order=order, scales=layer).build(2) for layer in scales]
        assert sum(map(len, layers)) == total


def test_the_published_counts_in_space_and_at_four_scales():
    in_space = [len(GaussianDerivatives(order=order).build(3)) for order in range(5)]
    assert in_space == [1, 4, 10, 20, 35]
    at_four = [GaussianDerivatives(order=order, scales=(1, 2, 4, 8)) for order in (3, 4)]
    assert [len(family.build(2)) for family in at_four] == [37, 57]


def test_a_tensor_set_is_the_product_of_its_axes():
    lines = [GaussianDerivatives(order=n, scales=(0.8,), size=5).build(1) for n in (2, 1)]
    plane = GaussianDerivatives(order=(2, 1), scales=(0.8,), size=5).build(2)
    assert plane.labels == ("g", "g_x", "g_y", "g_xy", "g_yy", "g_xyy")
    for atom, label in zip(plane.atoms, plane.labels, strict=True):
        rows, columns = (line.atoms[label.count(x)] for line, x in zip(lines, "yx", strict=True))
        np.testing.assert_allclose(atom, np.outer(rows, columns), atol=1e-15)
    for ndim in (1, 2, 3):
        short, long = (GaussianDerivatives(order=order) for order in ((2,), (2,) * ndim))
        np.testing.assert_array_equal(short.build(ndim).atoms, long.build(ndim).atoms)
        np.testing.assert_allclose(
            product_jet(long, ndim).atoms, long.build(ndim).atoms, atol=1e-15
        )


def test_nine_derivatives_on_nine_samples():
    """Condition numbers of the tensor set and ranks: those of the design notes."""
    for scale, condition in ((0.5, 7.3), (0.8, 4.0), (1.0, 7.3), (1.5, 48)):
        frame = GaussianDerivatives(order=(2, 2), scales=(scale,), size=3).build(2)
        unit = frame.flat / frame.norms[:, None]
        assert frame.is_complete
        assert np.linalg.cond(unit) == pytest.approx(condition, rel=0.02)
    assert [FirstGaussianDerivatives().build(ndim).rank for ndim in (1, 2, 3)] == [3, 8, 19]


def test_the_order_of_scales_does_not_matter():
    one, other = (GaussianDerivatives(scales=scales).build(1) for scales in ((1, 2), [2.0, 1.0]))
    np.testing.assert_array_equal(one.atoms, other.atoms)
    assert one.labels == other.labels == (
        "g @1", "g_x @1", "g_xx @1", "g_xxx @1", "g_x @2", "g_xx @2", "g_xxx @2"
    )  # fmt: skip


@DIMENSIONS
@pytest.mark.parametrize("order", [0, 2, 3])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_an_exact_jet_gives_the_derivatives_of_blurred_polynomials(ndim, order, scale):
    frame = exact_jet(ndim, order, scale)
    powers = np.array([*product(range(order + 3), repeat=ndim)])
    monomials = ((frame.grid / scale) ** powers[:, np.newaxis]).prod(axis=2)
    indices = [[label.partition("_")[2].count(x) for x in "zyx"[-ndim:]] for label in frame.labels]
    wanted = [
        [np.prod([blurred(*pair) for pair in zip(p, n, strict=True)]) for p in powers.tolist()]
        for n in indices
    ]
    # Rounding is that of the terms, which may be a million times larger than their sum.
    terms = np.maximum(abs(frame.flat) @ abs(monomials.T), 1)
    assert (abs(frame.flat @ monomials.T - wanted) / terms).max() < 5e-14


def blurred(power, n):
    """Return the derivative at 0 of x**power, blurred by a Gaussian of deviation 1."""
    rest = power - n  # of which the moment is that of a normal variable
    moment = {0: 1, 2: 1, 4: 3}.get(rest, 0)
    return factorial(power) // factorial(max(rest, 0)) * moment


# --- elongated Gaussians --------------------------------------------------------------------


@given(st.integers(0, 3), st.floats(0.7, 1.5), st.floats(0.5, 3))
def test_along_an_axis_an_elongated_gaussian_is_a_product(order, scale, elongation):
    frame = AnisotropicGaussian(order, 3, elongation, (scale,)).build(2)
    size = frame.support[0]
    along, across = (
        GaussianDerivatives(order, (s,), size=size).build(1).atoms
        for s in (scale * elongation, scale)
    )
    for atom, label in zip(frame.atoms, frame.labels, strict=True):
        if label.startswith("g0"):
            expected = np.outer(across[label.count("v")], along[label.count("u")])
            sign = (-1) ** label.count("v")  # v points up, and y down
            np.testing.assert_allclose(atom, sign * expected, atol=1e-12)


@pytest.mark.parametrize("ndim, count", [(2, 5), (3, 4)])
def test_elongated_atoms_are_derivatives_along_and_across_the_axis(ndim, count):
    scale, elongation, h = 1.2, 2.5, 1e-3
    frame = AnisotropicGaussian(2, count, elongation, (scale,)).build(ndim)
    atoms = dict(zip(frame.labels, range(len(frame)), strict=True))
    axes = map(perpendicular_axes, half_sphere(ndim, count))
    for k, basis in enumerate(axes):
        steps = basis * scale * np.array([[elongation]] + [[1.0]] * (ndim - 1))
        for letter, step in zip("uvw", steps, strict=False):
            before, here, after = (frame.evaluate(frame.grid + t * step) for t in (-h, 0, h))
            for low, high in ((f"g{k}", f"g{k}_{letter}"), (f"g{k}_u", f"g{k}_u{letter}")):
                if high in atoms:
                    slope = (after - before)[atoms[low]] / (2 * h)
                    np.testing.assert_allclose(slope, here[atoms[high]], atol=1e-6)


@pytest.mark.parametrize("scales", [(1.0,), (0.8, 1.5)])
@pytest.mark.parametrize("ndim, count, order", [(2, 3, 3), (3, 4, 2)])
def test_what_is_not_elongated_spans_the_jet(ndim, count, order, scales):
    family = AnisotropicGaussian(order, count, 1.0, scales, size=7)
    elongated, jet = (
        f.build(ndim) for f in (family, GaussianDerivatives(order, scales=scales, size=7))
    )
    assert len(elongated) == count * len(jet)
    assert elongated.rank == jet.rank == len(jet)
    for one, other in ((elongated, jet), (jet, elongated)):
        projection = np.linalg.pinv(other.flat) @ other.flat
        np.testing.assert_allclose(one.flat @ projection, one.flat, atol=1e-9)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_turn_by_one_orientation_permutes_elongated_atoms_up_to_a_sign(count):
    frame = AnisotropicGaussian(2, count, truncate=5).build(2)  # a corner must not be seen
    (cos, sin), n = (f(np.pi / count) for f in (np.cos, np.sin)), len(frame) // count
    steering = frame.steering([[cos, sin], [-sin, cos]])
    assert steering.error < 1e-12
    signs = np.ones(len(frame))
    signs[-n:] = (-1.0) ** frame.orders[-n:]
    expected = signs[:, np.newaxis] * np.roll(np.eye(len(frame)), n, axis=1)
    np.testing.assert_allclose(steering.matrix, expected, atol=1e-5)
    np.testing.assert_allclose(frame.orientations[::n], np.pi * np.arange(count) / count)
    np.testing.assert_allclose(frame.flat[frame.orders == 0].sum(axis=1), 1)


# --- pixels, framelets, monomials -----------------------------------------------------------


@given(NDIMS, st.sampled_from([1, 3, 5]))
def test_pixels_are_orthonormal_and_complete(ndim, size):
    frame = Pixels(size=size).build(ndim)
    np.testing.assert_array_equal(frame.gram, np.eye(size**ndim))
    np.testing.assert_allclose(frame.whitening, np.eye(size**ndim), atol=1e-15)
    assert frame.bounds == (1, 1)
    assert frame.condition_number == frame.redundancy == 1
    assert frame.is_tight
    assert frame.is_complete


def test_linear_framelets_are_the_published_masks():
    masks = np.array([[1, 2, 1], [sqrt(2), 0, -sqrt(2)], [-1, 2, -1]]) / 4
    np.testing.assert_allclose(Framelets().build(1).atoms, masks, atol=1e-15)
    frame = Framelets().build(2)
    for label, atom in zip(frame.labels, frame.atoms, strict=True):
        i, j = map(int, label.removeprefix("h"))
        np.testing.assert_allclose(atom, np.outer(masks[i], masks[j]), atol=1e-15)


@DIMENSIONS
@pytest.mark.parametrize("degree", [1, 3])
def test_framelets_give_back_a_signal(ndim, degree):
    signal = np.random.default_rng(0).normal(size=(9, 8, 7)[:ndim])
    atoms = Framelets(degree=degree).build(ndim).atoms
    responses = [correlate(signal, atom, mode="wrap") for atom in atoms]
    pairs = zip(responses, atoms, strict=True)
    rebuilt = sum(convolve(response, atom, mode="wrap") for response, atom in pairs)
    np.testing.assert_allclose(rebuilt, signal, atol=1e-12)


@DIMENSIONS
@pytest.mark.parametrize("order, size", [(0, 1), (2, 3), (3, 5)])
def test_monomials_are_powers_of_the_coordinates(ndim, order, size):
    frame = Monomials(order=order, size=size).build(ndim)
    axes = np.meshgrid(*[np.linspace(-1, 1, size) if size > 1 else [0]] * ndim, indexing="ij")
    seen = dict(zip(frame.labels, frame.atoms, strict=True))
    assert len(seen) == len(frame) == (order + 1) ** ndim
    for powers in product(range(order + 1), repeat=ndim):  # of x, y, z, where x is the last axis
        expected = np.prod([x**p for x, p in zip(reversed(axes), powers, strict=True)], axis=0)
        np.testing.assert_allclose(seen["x" + "".join(map(str, powers))], expected, atol=1e-15)


# --- Gabor and Morlet -----------------------------------------------------------------------


@DIMENSIONS
@pytest.mark.parametrize("slant", [0.5, 1.0])
def test_morlet_waves_do_not_see_the_mean_and_gabor_waves_do(ndim, slant):
    shared = {"scales": (1.0, 2.0), "slant": slant, "frequency": 1.5}
    sums = Morlet(**shared).build(ndim).flat.sum(axis=1)
    np.testing.assert_allclose(sums, [1, *np.zeros(len(sums) - 1)], atol=1e-12)
    gabor = Gabor(**shared).build(ndim)
    waves = np.array([label.startswith("cos") for label in gabor.labels])
    assert (abs(gabor.flat.sum(axis=1)[waves]) > 0.05).all()


@given(st.integers(1, 6), st.floats(1, 3), st.floats(0.5, 2.5), st.floats(0.4, 1))
def test_gabor_waves_are_windowed_waves(n_orientations, scale, frequency, slant):
    frame = Gabor(n_orientations, (scale,), frequency, slant).build(2)
    y, x = frame.grid.T
    for k in range(n_orientations):
        angle = np.pi * k / n_orientations
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        window = np.exp(-(along**2 + (slant * across) ** 2) / (2 * scale**2))
        wave = window / window.sum() * np.exp(1j * frequency * along / scale)
        np.testing.assert_allclose(frame.flat[1 + 2 * k], wave.real, atol=1e-12)
        np.testing.assert_allclose(frame.flat[2 + 2 * k], wave.imag, atol=1e-12)
        np.testing.assert_allclose(frame.orientations[1 + 2 * k], angle, atol=1e-12)


@given(st.integers(1, 8))
def test_gabor_waves_in_space_are_waves_of_distinct_directions(n_orientations):
    frame = Gabor(n_orientations, (2.0,), 1.5).build(3)
    steps = [(frame.grid == step).all(axis=1).argmax() for step in np.eye(3)]
    sines = frame.flat[2::2][:, steps] / frame.flat[0, steps]  # sin(frequency u / scale)
    directions = np.arcsin(sines) * 2.0 / 1.5
    cosines = abs(directions @ directions.T)
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-12)
    assert (cosines - np.eye(n_orientations)).max() < 0.95


# --- parameters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family, ndim, message",
    [
        (GaussianDerivatives(), 4, "ndim must be 1, 2 or 3, got 4"),
        (GaussianDerivatives(order=-1), 2, "order must be an integer of at least 0, got -1"),
        (GaussianDerivatives(order=1.5), 2, "order must be an integer of at least 0, got 1.5"),
        (GaussianDerivatives(order=True), 2, "order must be an integer"),
        (GaussianDerivatives(order=(2, 2)), 3, "or one for each of 3 axes, got \\(2, 2\\)"),
        (GaussianDerivatives(order=(2, -1)), 2, "Each of order must be an integer of at least 0"),
        (GaussianDerivatives(order="2"), 2, "order must be an integer of at least 0, got '2'"),
        (GaussianDerivatives(order=3, size=3), 2, "do not fit a support of 9 samples: raise size"),
        (GaussianDerivatives(scales=()), 2, "scales must hold at least one positive number"),
        (GaussianDerivatives(scales="1"), 2, "scales must hold at least one positive number"),
        (GaussianDerivatives(scales=(1, 0)), 2, "scales must be a finite number above 0, got 0"),
        (GaussianDerivatives(scales=np.nan), 2, "scales must be a finite number above 0, got nan"),
        (GaussianDerivatives(scales=np.inf), 2, "scales must be a finite number above 0, got inf"),
        (GaussianDerivatives(scales=(2, 1, 2)), 2, "scales must differ from one another"),
        (GaussianDerivatives(truncate=0), 2, "truncate must be a finite number above 0, got 0"),
        (GaussianDerivatives(size=6), 2, "size must be odd"),
        (Pixels(size=4), 2, "size must be odd"),
        (Pixels(size=0), 2, "size must be an integer of at least 1, got 0"),
        (Pixels(), 0, "ndim must be 1, 2 or 3, got 0"),
        (Pixels(), "2", "ndim must be 1, 2 or 3, got '2'"),
        (Framelets(degree=2), 2, "degree must be odd"),
        (Framelets(degree=0), 2, "degree must be an integer of at least 1, got 0"),
        (Framelets(), 4, "ndim must be"),
        (Monomials(order=3), 2, "order must be below size = 3, got 3"),
        (Monomials(size=2), 2, "size must be odd"),
        (Monomials(), -1, "ndim must be"),
        (Gabor(n_orientations=0), 2, "n_orientations must be an integer of at least 1, got 0"),
        (Gabor(frequency=-1), 2, "frequency must be a finite number above 0, got -1"),
        (Gabor(slant=None), 2, "slant must be a finite number above 0, got None"),
        (Gabor(size=1), 2, "An atom of the frame 'gabor' is zero everywhere"),
        (AnisotropicGaussian(), 1, "ndim must be 2 or 3, where a Gaussian has a direction, got 1"),
        (AnisotropicGaussian(elongation=0), 2, "elongation must be a finite number above 0, got 0"),
        (AnisotropicGaussian(order=10**9), 2, "a frame must have at most 2500 atoms"),
        (AnisotropicGaussian(n_orientations=10**9), 3, "a frame must have at most 2500 atoms"),
        (Morlet(scales=(-1,)), 1, "scales must be a finite number above 0, got -1"),
        (Morlet(), 5, "ndim must be"),
    ],
    ids=lambda value: repr(value) if hasattr(value, "build") else None,
)
def test_a_bad_parameter_is_named(family, ndim, message):
    with pytest.raises(ValueError, match=message):
        family.build(ndim)


def test_a_jet_that_cannot_be_exact_is_refused():
    with pytest.raises(
        ValueError, match=r"scale must be a finite number of at least 0\.5, got 0\.4"
    ):
        exact_jet(2, 2, 0.4)
