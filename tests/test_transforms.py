"""Transforms that keep the energy: theorems over all extents, and oracles for the conventions."""

import sys

import numpy as np
import pytest
import pywt
from hypothesis import given
from hypothesis import strategies as st

from sklstruct.frames import (
    CurveletTransform,
    FourierTransform,
    FrameTransform,
    GaussianDerivatives,
    Pixels,
    WaveletTransform,
    make_transform,
)

ORTHONORMAL = [FourierTransform(), WaveletTransform("haar"), WaveletTransform("db4")]
FRAMES = [
    FrameTransform("framelet"),
    FrameTransform(GaussianDerivatives(order=2)),
    FrameTransform(GaussianDerivatives(order=1, scales=(1.0, 3.0)), levels=2),
    FrameTransform("gabor", levels=1),
]
ANY = [*ORTHONORMAL, WaveletTransform("sym4", levels=2), *FRAMES]
EXTENTS = st.one_of(*(st.tuples(*[st.integers(4, most)] * d) for d, most in ((1, 40), (2, 20))))


def check_parseval(transform, spatial, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *spatial))
    coefficients = transform.analyse(x)
    rounding = 1e-10 * np.linalg.norm(x)
    np.testing.assert_allclose(np.linalg.norm(coefficients), np.linalg.norm(x), rtol=1e-10)
    np.testing.assert_allclose(transform.synthesise(coefficients, spatial), x, atol=rounding)
    others = rng.normal(size=coefficients.shape)
    np.testing.assert_allclose(
        (transform.synthesise(others, spatial) * x).sum(),
        (others * coefficients).sum(),
        atol=rounding * np.linalg.norm(others),
    )
    bands = transform.bands(spatial)
    stops = [band.part.stop for band in bands]
    assert [band.part.start for band in bands] == [0, *stops[:-1]]
    assert stops[-1] == coefficients.shape[1]
    assert all(np.prod(b.shape) == b.part.stop - b.part.start for b in bands)


@pytest.mark.parametrize("transform", ANY, ids=repr)
@given(spatial=EXTENTS, seed=st.integers(0, 99))
def test_energy_is_kept_and_the_adjoint_is_the_inverse(transform, spatial, seed):
    check_parseval(transform, spatial, seed)


@given(spatial=st.tuples(*[st.integers(2, 40)] * 2), seed=st.integers(0, 99))
def test_energy_is_kept_by_curvelets(spatial, seed):
    check_parseval(CurveletTransform(), spatial, seed)


@pytest.mark.parametrize("transform", [*ANY, CurveletTransform(levels=2)], ids=repr)
def test_energy_is_kept_in_volumes(transform):
    check_parseval(transform, (9, 8, 11), seed=0)


@pytest.mark.parametrize("transform", ORTHONORMAL, ids=repr)
@pytest.mark.parametrize("spatial", [(32,), (16, 32), (8, 16, 8)])
def test_a_basis_has_as_many_coefficients_as_samples(transform, spatial):
    assert transform.bands(spatial)[-1].part.stop == np.prod(spatial)


@pytest.mark.parametrize("spatial", [(7,), (8,), (5, 6), (4, 3, 2)])
def test_the_fourier_basis_is_that_of_cosines_and_sines(spatial):
    basis = FourierTransform().synthesise(np.eye(np.prod(spatial)), spatial)
    grid = np.stack(np.meshgrid(*map(np.arange, spatial), indexing="ij"), -1) / spatial
    for index, wave in zip(np.ndindex(*spatial), basis, strict=True):
        phase = 2 * np.pi * grid @ np.array(index)
        waves = np.cos(phase), np.sin(phase)
        size = [(wave * w).sum() / max(np.linalg.norm(w), 1e-9) for w in waves]
        np.testing.assert_allclose(max(np.abs(size)), 1)


def test_wavelets_are_those_of_the_package():
    x = np.random.default_rng(0).normal(size=(1, 32, 32))
    theirs = pywt.wavedec2(x[0], "db2", "periodization", level=2)
    flat = np.concatenate([part.ravel() for part in [theirs[0], *theirs[1], *theirs[2]]])
    ours = WaveletTransform("db2", levels=2)
    by_name = {b.name: ours.analyse(x)[0, b.part] for b in ours.bands((32, 32))}
    np.testing.assert_allclose(np.sort(ours.analyse(x)[0]), np.sort(flat))
    np.testing.assert_allclose(by_name["da1"], theirs[2][0].ravel())  # details along the rows


def test_filtering_with_a_tight_frame_needs_no_residual():
    frame, x = make_transform("framelet"), np.random.default_rng(0).normal(size=(1, 12))
    padded = np.pad(x[0], 1, mode="wrap")
    atoms = frame.resolved("frame").build(1).atoms
    expected = np.concatenate([np.correlate(padded, atom, "valid") for atom in atoms])
    np.testing.assert_allclose(frame.analyse(x)[0], expected, atol=1e-12)


def test_what_a_frame_does_not_see_goes_to_the_residual():
    transform = FrameTransform(GaussianDerivatives(order=0, scales=(2.0,)))
    waves = np.cos(2 * np.pi * np.outer([1, 31], np.arange(64)) / 64)
    low, residual = (transform.bands((64,))[i].part for i in (0, 1))
    slow, fast = transform.analyse(waves)
    assert np.linalg.norm(slow[residual]) < 1e-6 < 1 - 1e-6 < np.linalg.norm(fast[residual])
    np.testing.assert_allclose(slow[low], waves[0], atol=1e-6)


def test_a_coarser_octave_sees_the_same_pattern_twice_as_large():
    transform = FrameTransform("gabor", levels=3)
    bands = transform.bands((64, 64))
    places = np.arange(64)
    energies = []
    for period in (4, 8):
        wave = np.cos(2 * np.pi * places / period) * np.ones((64, 1))
        energy = transform.analyse(wave[None])[0] ** 2
        energies.append({b.name: energy[b.part].mean() for b in bands})
    for name in make_transform("gabor").frame.build(2).labels:
        np.testing.assert_allclose(
            energies[0][f"{name}, octave 2"], energies[1][f"{name}, octave 3"], atol=1e-12
        )


@pytest.mark.parametrize("transform", [*ANY, CurveletTransform()], ids=repr)
def test_float32_stays_so(transform):
    x = np.random.default_rng(0).normal(size=(1, 16, 16)).astype(np.float32)
    coefficients = transform.analyse(x)
    again = transform.synthesise(coefficients, (16, 16))
    assert coefficients.dtype == again.dtype == np.float32
    np.testing.assert_allclose(again, x, atol=1e-5)


@pytest.mark.parametrize("transform", ANY)
def test_coefficients_may_be_integers(transform):
    n_coefficients = transform.bands((16,))[-1].part.stop
    atoms = transform.synthesise(np.eye(n_coefficients, dtype=int), (16,))
    np.testing.assert_array_equal(atoms, transform.synthesise(np.eye(n_coefficients), (16,)))


def test_names_stand_for_transforms_and_frames():
    assert make_transform("fourier") == FourierTransform()
    assert make_transform("curvelet") == CurveletTransform()
    assert make_transform("pixel") == make_transform(Pixels()) == FrameTransform(Pixels())
    assert make_transform(FRAMES[0]) is FRAMES[0]
    assert FrameTransform("gaussian").set_params(frame__order=1).frame.order == 1


@pytest.mark.parametrize(
    "transform, x, message",
    [
        (FourierTransform(), np.zeros(4), "1 to 3 extents"),
        (FourierTransform(), np.zeros((1, 4)) * 1j, "must be real"),
        (WaveletTransform("bior2.2"), np.zeros((1, 16)), "must be orthogonal"),
        (WaveletTransform("daubechies"), np.zeros((1, 16)), "orthogonal wavelet of pywt.*'daub"),
        (WaveletTransform("dmey"), np.zeros((1, 16)), "dmey is none"),
        (WaveletTransform(levels=0), np.zeros((1, 16)), "levels of WaveletTransform.*got 0"),
        (WaveletTransform(levels=4), np.zeros((1, 15, 32)), "levels=4 must be at most 3"),
        (WaveletTransform(), np.zeros((1, 1)), "levels=1 must be at most 0"),
        (CurveletTransform(), np.zeros((1, 16)), "2 or 3 axes"),
        (CurveletTransform(), np.zeros((1, 1, 16)), "levels=1 must be at most 0"),
        (CurveletTransform(levels=5), np.zeros((1, 16, 16)), "levels=5 must be at most 4"),
        (FrameTransform(levels=5), np.zeros((1, 16, 16)), "levels=5 must be at most 4"),
    ],
)
def test_what_cannot_be_is_refused(transform, x, message):
    with pytest.raises(ValueError, match=message):
        transform.analyse(x)


def test_coefficients_must_fit():
    with pytest.raises(ValueError, match=r"must have shape \(n, 16\).*got \(1, 15\)"):
        FourierTransform().synthesise(np.zeros((1, 15)), (4, 4))
    with pytest.raises(ValueError, match="coefficients must be real"):
        FourierTransform().synthesise(np.zeros((1, 16)) * 1j, (4, 4))
    with pytest.raises(
        ValueError, match=r"Unknown transform 'wavelets'\. Did you mean 'wavelet'.*four"
    ):
        make_transform("wavelets")
    with pytest.raises(TypeError, match="frame must be"):
        make_transform(WaveletTransform)


@pytest.mark.parametrize("transform", [WaveletTransform(), CurveletTransform(levels=1)])
def test_a_missing_package_is_named_with_its_extra(transform, monkeypatch):
    extra = {"WaveletTransform": "wavelets", "CurveletTransform": "curvelets"}
    for module in ("pywt", "curvelets.numpy"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"sklstruct\[{extra[type(transform).__name__]}\]"):
        transform.analyse(np.zeros((1, 10, 22)))
