"""n-term approximation, cartoon images and the uncertainty of atoms: theorems, and oracles."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from contourpy import contour_generator
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite import hermval

from sklstruct.datasets import make_cartoon
from sklstruct.frames import (
    CurveletTransform,
    FourierTransform,
    FrameTransform,
    GaussianDerivatives,
    WaveletTransform,
    make_transform,
)
from sklstruct.inspection import NTermDisplay, nterm_approximation, uncertainty

BASES = [FourierTransform(), WaveletTransform("haar")]
FRAMES = [CurveletTransform(), FrameTransform("framelet", levels=1)]
EXPECTED = {"fourier": (-0.5, 0.12), "wavelet": (-1, 0.15)}


def kept_only(transform, image, n):
    """Return which coefficients are kept, and what they give."""
    coefficients = transform.analyse(image[None])
    kept = np.argsort(-np.abs(coefficients[0]))[:n]
    coefficients[:, np.delete(np.arange(coefficients.size), kept)] = 0
    return kept, transform.synthesise(coefficients, image.shape)[0]


@pytest.mark.parametrize("transform", [*BASES, *FRAMES], ids=repr)
@given(seed=st.integers(0, 99), n=st.integers(0, 256))
@settings(max_examples=20)
def test_errors_are_those_of_what_is_kept(transform, seed, n):
    image = np.random.default_rng(seed).normal(size=(16, 16))
    found = nterm_approximation(transform, image, [n])
    error = ((image - kept_only(transform, image, n)[1]) ** 2).sum()
    np.testing.assert_allclose(found.table["error"], error, atol=1e-10)
    np.testing.assert_allclose(found.table["relative"], error / (image**2).sum(), atol=1e-10)


@pytest.mark.parametrize("transform", FRAMES, ids=repr)
def test_projections_go_to_the_least_squares_of_what_is_kept(transform):
    image = make_cartoon(16, random_state=0).image
    n_atoms = transform.bands(image.shape)[-1].part.stop
    atoms = transform.synthesise(np.eye(n_atoms), image.shape).reshape(n_atoms, -1)
    kept = kept_only(transform, image, 40)[0]
    best = image.ravel() - atoms[kept].T @ np.linalg.lstsq(atoms[kept].T, image.ravel())[0]
    errors = [
        nterm_approximation(transform, image, [40], n_projections=steps).table["error"][0]
        for steps in (0, 1, 3, 60)
    ]
    assert all(np.diff(errors) < 0)
    np.testing.assert_allclose(errors[-1], best @ best, rtol=1e-3)


@pytest.mark.parametrize("name", EXPECTED)
def test_slopes_are_those_of_the_theorem_at_any_resolution(name):
    slopes = [
        [nterm_approximation(name, make_cartoon(size, seed)).slope for seed in range(4)]
        for size in (256, 512)
    ]
    coarse, fine = np.mean(slopes, axis=1)
    wanted, tolerance = EXPECTED[name]
    assert abs(coarse - wanted) < tolerance
    assert abs(fine - wanted) < tolerance
    assert abs(fine - coarse) < 0.1


def test_the_window_is_told_by_the_cartoon_or_by_the_caller():
    cartoon = make_cartoon(64, random_state=0)
    assert nterm_approximation("fourier", cartoon).window == (
        cartoon.edge_length / 16,
        cartoon.edge_length / 2,
    )
    assert nterm_approximation("fourier", cartoon.image).window == (8, 64)
    found = nterm_approximation("fourier", cartoon, range(1, 100), window=(10, 20))
    n, error = (found.table.loc[9:19, column] for column in ("n", "error"))
    np.testing.assert_allclose(found.slope, np.polyfit(np.log(n), np.log(error), 1)[0])
    assert np.isnan(nterm_approximation("fourier", cartoon, [1, 10], window=(10, 20)).slope)


def test_signals_and_volumes_are_approximated_too():
    for shape in ((64,), (16, 16, 16)):
        image = np.ones(shape)
        table = nterm_approximation("fourier", image, [0, 1]).table
        np.testing.assert_allclose(table["relative"], [1, 0], atol=1e-12)


def test_what_cannot_be_is_refused():
    image = np.eye(16)
    for options, message in (
        ({"n": [257]}, "Each of n must be an integer from 0 to 256, got 257"),
        ({"n": 5}, "n must be a sequence"),
        ({"n": []}, "n must be a sequence of at least one"),
        ({"window": (20, 10)}, "window must be two numbers, the smaller one first"),
        ({"window": (20, np.inf)}, "window must be two numbers, the smaller one first"),
        ({"window": (20, "a")}, "window must be two numbers, the smaller one first"),
        ({"n_projections": -1}, "n_projections must be"),
    ):
        with pytest.raises(ValueError, match=message):
            nterm_approximation("fourier", image, **options)
    with pytest.raises(ValueError, match="image must have values other than 0"):
        nterm_approximation("fourier", np.zeros((16, 16)))
    with pytest.raises(ValueError, match="levels=5 must be at most 4"):
        nterm_approximation(WaveletTransform(levels=5), image)
    with pytest.raises(ValueError, match="at least one transform"):
        NTermDisplay({})


def test_the_display_shows_every_transform_with_its_slope(tmp_path):
    cartoon = make_cartoon(64, random_state=1)
    display = NTermDisplay.from_image(["fourier", "wavelet"], cartoon).save(tmp_path / "n.png")
    texts = {text.get_text() for text in display.axes_[0].texts}
    for name, found in display.results.items():
        assert f"{name} ({found.slope:.2f})" in texts
    assert {"n^-1/2", "n^-1", "n^-2 log^3 n"} <= texts
    table = display.to_frame()
    assert table.groupby("transform")["error"].apply(lambda e: e.is_monotonic_decreasing).all()
    assert isinstance(table, pd.DataFrame)


def test_the_display_shows_a_few_terms_in_any_order():
    image = np.random.default_rng(0).normal(size=(8, 8))  # whose window begins at one term
    sorted_, mixed = (
        NTermDisplay.from_image(["fourier"], image, n=n).axes_[0].lines
        for n in ([1, 2, 4, 8], [8, 1, 4, 2])
    )
    for one, other in zip(sorted_, mixed, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
        assert np.isfinite(one.get_xydata()).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_edge_of_a_cartoon_has_the_length_that_is_told(seed):
    cartoon = make_cartoon(512, random_state=seed)
    (line,) = contour_generator(z=cartoon.image).lines(0.5)
    length = np.hypot(*np.diff(line, axis=0).T).sum()
    np.testing.assert_allclose(length, cartoon.edge_length, rtol=0.01)


@given(seed=st.integers(0, 999))
@settings(max_examples=20)
def test_a_cartoon_shows_the_same_scene_at_any_size(seed):
    small, large = (make_cartoon(size, random_state=seed) for size in (48, 96))
    means = large.image.reshape(48, 2, 48, 2).mean(axis=(1, 3))
    assert np.linalg.norm(means - small.image) < 0.004 * np.linalg.norm(small.image)
    np.testing.assert_allclose(large.edge_length, 2 * small.edge_length)
    # Nothing reaches the border, so that the image is periodic.
    assert max(np.abs(large.image[0] - large.image[-1])) < 0.1


def test_a_cartoon_has_a_size_and_a_seed():
    with pytest.raises(ValueError, match="size must be an integer of at least 16, got 8"):
        make_cartoon(8)
    with pytest.raises(ValueError, match="random_state must be"):
        make_cartoon(32, random_state=-1)
    assert not np.array_equal(make_cartoon(32, 0).image, make_cartoon(32, 1).image)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("scale", [0.8, 2.5])
def test_a_gaussian_attains_the_bound_and_its_derivatives_are_as_far_as_theory_says(ndim, scale):
    frame = GaussianDerivatives(order=3, scales=(scale,)).build(ndim)
    table = uncertainty(frame)
    order = frame.functions.indices.ravel()
    m = np.maximum(order, 1)
    expected = np.sqrt(np.where(order == 0, 0.25, (m + 0.5) * (m - 0.25) / (m - 0.5)))
    np.testing.assert_allclose(table["product"], expected, rtol=1e-6)
    lowest = table[order == 0]
    np.testing.assert_allclose(lowest["sigma_x"], scale / np.sqrt(2), rtol=1e-6)


def test_hermite_functions_have_half_an_odd_number():
    x = np.arange(-60, 61) / 5
    atoms = [hermval(x, np.eye(6)[m]) * np.exp(-(x**2) / 2) for m in range(6)]
    np.testing.assert_allclose(uncertainty(atoms)["product"], np.arange(6) + 0.5, rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["gaussian", "gabor", "morlet", "anisotropic_gaussian", "circular_harmonics"]
)
def test_no_atom_is_below_the_bound(name):
    table = uncertainty(name)
    assert table["product"].min() > 0.5 - 1e-6
    assert set(table["axis"]) == {0, 1}


def test_atoms_of_transforms_are_measured_as_they_are():
    atoms = make_transform("wavelet").synthesise(np.eye(256)[[0, 100]], (16, 16))
    assert uncertainty(atoms)["product"].between(0.25, 16).all()
    with pytest.raises(ValueError, match="zero everywhere"):
        uncertainty(np.zeros((1, 4, 4)))


def test_the_example_prints_and_draws(tmp_path, capsys):
    example = runpy.run_path(Path(__file__).parents[1] / "examples/how_many_terms.py")
    pictures = tmp_path / "errors.png", tmp_path / "images.png"
    example["main"](64, 50, *pictures)
    told = capsys.readouterr().out
    assert all(name in told for name in example["TRANSFORMS"])
    assert all(picture.stat().st_size for picture in pictures)
