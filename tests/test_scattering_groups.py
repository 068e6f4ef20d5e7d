"""Scattering along rotations: in the plane jointly with position, in space by solid harmonics."""

import copy
import os
import pickle
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from sklstruct_scattering import grid, roto
from sklstruct_scattering.harmonic import HarmonicScattering
from sklstruct_scattering.roto import RotoTranslationScattering
from sklstruct_scattering.roto_transformer import RotoTranslationTransformer
from sklstruct_scattering.scattering import Scattering

REFERENCE_FILE = Path(__file__).parent / "data" / "harmonic_reference.npz"
REFERENCE = np.load(REFERENCE_FILE)
CASES = [name.removeprefix("signal ") for name in REFERENCE if name.startswith("signal ")]
FILTERS_ROUNDED = 1e-6  # the wavelets themselves are rounded to single precision


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def quarter_turn(x, dims=(-2, -1)):
    """Rotate a periodic signal by a right angle around its sample 0, which stays in place."""
    return torch.rot90(x, 1, dims).roll(1, dims[0])


def change(seen, wanted):
    return float((seen - wanted).norm() / wanted.norm())


# --- the plane ------------------------------------------------------------------------------


def waves(angle, n=64, seed=0):
    """Return an image (n, n) of a dozen wave packets, turned by an angle around its centre."""
    rng = np.random.default_rng(seed)
    radius, place, direction = (
        14 * rng.random(12) ** 0.5,
        *(2 * np.pi * rng.random((2, 12)) + angle),
    )
    weight, frequency, width = (
        rng.normal(size=12),
        *rng.uniform([[0.4], [2]], [[1.2], [4]], (2, 12)),
    )
    y, x = (np.mgrid[:n, :n] - n / 2)[:, None]
    total = np.zeros((n, n))
    for k in range(12):
        v, u = y - radius[k] * np.sin(place[k]), x - radius[k] * np.cos(place[k])
        along = u * np.cos(direction[k]) + v * np.sin(direction[k])
        window = np.exp(-(u**2 + v**2) / (2 * width[k] ** 2))
        total += (weight[k] * window * np.cos(frequency[k] * along))[0]
    return torch.from_numpy(total)[None, None]


@pytest.mark.parametrize("J, L", [(1, 4), (2, 6), (3, 4)])
def test_a_right_angle_turns_the_coefficients_in_position_only(J, L):
    """The theorem of invariance; plain scattering permutes its orientations instead."""
    x = noise(1, 2, 24, 24)
    joint = RotoTranslationScattering(J, (24, 24), L=L, padding="periodic")
    assert change(joint(quarter_turn(x)), quarter_turn(joint(x))) < FILTERS_ROUNDED
    plain = Scattering(J, (24, 24), L=L, padding="periodic", max_order=1)
    assert change(plain(quarter_turn(x)), quarter_turn(plain(x))) > 0.1
    first = plain(quarter_turn(x))[:, :, 1:].unflatten(2, (J, L))
    turned = quarter_turn(plain(x))[:, :, 1:].unflatten(2, (J, L)).roll(-L // 2, 3)
    assert change(first, turned) < FILTERS_ROUNDED


def test_a_right_angle_shifts_the_angles_that_are_kept():
    joint = RotoTranslationScattering(3, (24, 24), L=4, padding="periodic", angle_average=False)
    x = noise(1, 1, 24, 24)
    before, after = quarter_turn(joint(x))[0, 0], joint(quarter_turn(x))[0, 0]
    number = {path: n for n, path in enumerate(joint.paths)}
    for path, n in number.items():
        if path.theta is None:
            origin = n
        else:
            circle = [p.theta for p in number if (p.j, p.beta, p.k) == (path.j, path.beta, path.k)]
            theta = (path.theta + 2) % len(circle)
            origin = number[roto.RotoPath(path.j, path.beta, path.k, theta)]
        assert change(after[n], before[origin]) < FILTERS_ROUNDED


def test_shifts_of_periodic_images_shift_the_coefficients():
    joint = RotoTranslationScattering(2, (16, 24), L=3, padding="periodic")
    x = noise(1, 1, 16, 24)
    seen, wanted = joint(x.roll((4, 8), (2, 3))), joint(x).roll((1, 2), (3, 4))
    torch.testing.assert_close(seen, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("L, k", [(8, 1), (8, 2), (8, 3), (6, 1), (4, 1)])
def test_other_angles_change_averages_a_hundredfold_less_than_plain_scattering(L, k):
    """Measured: 0.2 to 0.8 % where coefficients of plain scattering change by 20 to 90 %."""
    joint = RotoTranslationScattering(3, (64, 64), L=L, padding="periodic")
    plain = Scattering(3, (64, 64), L=L, padding="periodic")
    pictures = [waves(angle) for angle in (0, np.pi * k / L)]
    changes = {}
    for scattering in (joint, plain):
        second = [path.order == 2 for path in scattering.paths]
        before, after = (scattering(x)[0, 0, second].mean((-2, -1)) for x in pictures)
        changes[scattering] = change(after, before)
    assert changes[joint] < 0.01
    assert changes[joint] < changes[plain] / 20


def test_coefficients_are_the_double_convolution_written_out():
    L, n = 3, 16
    joint = RotoTranslationScattering(2, (n, n), L=L, K=1, padding="periodic", angle_average=False)
    x = noise(1, 1, n, n)
    bank = joint.filters.bank
    psi = [np.fft.ifft2(wavelet.levels[0].astype(float)) for wavelet in bank.wavelets(1)]

    def convolve(u, v):
        return np.fft.ifft2(np.fft.fft2(u) * np.fft.fft2(v))

    def wavelet(j, theta):  # around the circle: half a turn is the conjugate
        half_turns, theta = divmod(theta, L)
        return psi[j * L + theta].conj() if half_turns % 2 else psi[j * L + theta]

    first = [np.abs(convolve(x[0, 0], wavelet(0, theta))) for theta in range(2 * L)]
    for path, seen in zip(joint.paths, joint(x)[0, 0].numpy(), strict=True):
        if path.order < 2:
            continue
        circle = [convolve(first[t], wavelet(1, t + path.beta)) for t in range(2 * L)]
        kernel = roto.angular_kernels(L, 1)[2 * L * path.k]  # row of angle 0: h(-t)
        mixed = sum(kernel[(t - path.theta) % (2 * L)] * circle[t] for t in range(2 * L))
        coarse = np.fft.fft2(np.abs(mixed)[::2, ::2]) * bank.phi[1]
        wanted = np.fft.ifft2(coarse).real[::2, ::2]
        np.testing.assert_allclose(seen, wanted, rtol=1e-10)


@pytest.mark.parametrize("L, K", [(8, 3), (6, 2), (1, 0)])
def test_angular_wavelets_cover_the_circle_and_do_not_expand(L, K):
    """Littlewood-Paley: all frequencies are seen, by wavelets, their mirror images or low-pass."""
    rows = np.cumsum([0, *roto.circle_sizes(L, K)])[:-1]
    spectra = np.abs(np.fft.fft(roto.angular_kernels(L, K)[rows], axis=1)) ** 2
    mirrored = np.roll(spectra[:, ::-1], 1, axis=1)
    total = (spectra[:-1] + mirrored[:-1]).sum(0) / 2 + spectra[-1]
    assert total.min() > 0.05
    assert total.max() < 1.1


@pytest.mark.parametrize("shape, J, padding", [((21, 34), 2, "reflect"), ((8, 8), 3, "zero")])
def test_first_order_is_plain_scattering_averaged_over_angles(shape, J, padding):
    x = noise(2, 3, *shape)
    joint = RotoTranslationScattering(J, shape, L=3, padding=padding)(x)
    plain = Scattering(J, shape, L=3, padding=padding, max_order=1)(x)
    first = plain[:, :, 1:].unflatten(2, (J, 3)).mean(3)
    torch.testing.assert_close(joint[:, :, 0], plain[:, :, 0], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(joint[:, :, 1 : 1 + J], first, rtol=1e-7, atol=1e-9)


def test_paths_describe_the_coefficients():
    for angle_average, order in product([True, False], [0, 1, 2]):
        joint = RotoTranslationScattering(
            3, (16, 20), L=6, max_order=order, angle_average=angle_average
        )
        found = joint(noise(2, 1, 16, 20))
        assert found.shape == (2, 1, len(joint.paths), *joint.out_shape)
        assert {path.order for path in joint.paths} == set(range(order + 1))
        assert len(set(joint.paths)) == len(joint.paths)


# --- space ----------------------------------------------------------------------------------


def blobs(turn, n=32, seed=0):
    """Return a volume of a few Gaussian blobs, turned around its centre."""
    rng = np.random.default_rng(seed)
    centres = turn.apply(rng.uniform(-5, 5, (6, 3)))
    grid = np.mgrid[:n, :n, :n] - n / 2
    squared = ((grid - centres[:, :, None, None, None]) ** 2).sum(1)
    weights = rng.uniform(0.5, 1.5, 6)
    return torch.from_numpy(np.tensordot(weights, np.exp(-squared / (2 * 1.5**2)), 1))[None, None]


@pytest.mark.parametrize("case", CASES)
def test_solid_harmonics_are_those_of_kymatio(case):
    scattering = HarmonicScattering(**eval(f"dict({case})"))
    seen = scattering(torch.from_numpy(REFERENCE[f"signal {case}"])[:, None])
    assert seen.dtype == torch.float32
    wanted = torch.from_numpy(REFERENCE[f"coefficients {case}"])[:, None]
    torch.testing.assert_close(seen.double(), wanted, rtol=1e-5, atol=0)


IN_DOUBLE = """
import sys
import numpy as np, torch
from sklstruct import HarmonicScattering
found, reference = {}, np.load(sys.argv[1])
for case in (name[7:] for name in reference if name.startswith("signal")):
    x = torch.from_numpy(reference[f"signal {case}"]).double()[:, None]
    found[case] = HarmonicScattering(**eval(f"dict({case})"))(x)[:, 0].numpy()
np.savez(sys.argv[2], **found)
"""


def test_solid_harmonics_are_those_of_kymatio_in_double_precision(tmp_path):
    """Both round their wavelets to single precision, by routines that differ by processor.

    So both are computed with those that NumPy has for any: the last digits of a wavelet are seen.
    """
    env = os.environ | {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
    out = tmp_path / "found.npz"
    command = [sys.executable, "-W", "ignore", "-c", IN_DOUBLE, str(REFERENCE_FILE), str(out)]
    subprocess.run(command, env=env, check=True)
    found = np.load(out)
    assert set(found) == set(CASES)
    for case in CASES:
        np.testing.assert_allclose(found[case], REFERENCE[f"coefficients {case}"], rtol=1e-9)


@pytest.mark.parametrize("n", [9, 8])
@pytest.mark.parametrize("dims", [(2, 3), (2, 4), (3, 4)])
def test_right_angles_shifts_and_reflections_change_nothing(n, dims):
    scattering = HarmonicScattering(1, (n, n, n), L=3)
    spectrum = torch.fft.fftn(noise(1, 1, n, n, n), dim=(2, 3, 4))
    if n % 2 == 0:  # the border of the band has one side only
        for dim in (2, 3, 4):
            spectrum.select(dim, n // 2).zero_()
    x = torch.fft.ifftn(spectrum, dim=(2, 3, 4)).real
    wanted = scattering(x)
    moved = [quarter_turn(x, dims), x.roll((3, 1), dims), x.flip(dims[:1])]
    for seen in map(scattering, moved):
        torch.testing.assert_close(seen, wanted, rtol=FILTERS_ROUNDED, atol=0)


def test_any_rotation_of_a_smooth_volume_changes_little_if_all_m_are_taken():
    """Measured: 0.07 %, where moduli of a single m change by 8 %."""
    turn = Rotation.from_euler("xyz", [0.5, 0.8, 1.9])
    before, after = blobs(Rotation.identity()), blobs(turn)
    changes = {}
    for covariant in (True, False):
        scattering = HarmonicScattering(
            1, (32,) * 3, L=2, integral_powers=(1, 2), rotation_covariant=covariant
        )
        changes[covariant] = float((scattering(after) / scattering(before) - 1).abs().max())
    assert changes[True] < 0.002
    assert changes[False] > 20 * changes[True]


def test_wavelets_integrate_to_one_and_see_no_mean():
    """The root of the sum of squares over m is the modulus of the response to an impulse."""
    x = torch.zeros(1, 1, 48, 48, 48, dtype=torch.float64)
    x[..., 0, 0, 0] = 1
    scattering = HarmonicScattering(0, (48,) * 3, L=3, sigma_0=2.5, integral_powers=(1,))
    np.testing.assert_allclose(scattering(x)[0, 0, 0, :, 0], 1, rtol=1e-3)
    flat = scattering(torch.ones_like(x))[0, 0, 0, :, 0]
    np.testing.assert_allclose(flat / 48**3, [1, 0, 0, 0], atol=1e-6)


def test_scales_describe_the_coefficients():
    scattering = HarmonicScattering(2, (8, 8, 8), L=1, max_order=2)
    assert scattering.paths == ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    assert scattering(noise(2, 3, 8, 8, 8)).shape == (2, 3, 6, 2, 3)
    first = HarmonicScattering(2, (8, 8, 8), L=1, max_order=1)
    x = noise(1, 1, 8, 8, 8)
    assert torch.equal(first(x), scattering(x)[:, :, :3])


# --- both -----------------------------------------------------------------------------------

TINY = [
    RotoTranslationScattering(2, (8, 8), L=2, padding="periodic"),
    RotoTranslationScattering(2, (6, 5), L=3, angle_average=False),
    HarmonicScattering(1, (4, 4, 4), L=2),
    HarmonicScattering(1, (5, 4, 6), L=1, sigma_0=0.5, rotation_covariant=False),
]


@pytest.mark.parametrize("scattering", TINY, ids=repr)
def test_gradients_are_exact(scattering):
    x = noise(1, 1, *scattering.shape).requires_grad_()
    assert torch.autograd.gradcheck(scattering, x, fast_mode=True)


@pytest.mark.parametrize("scattering", TINY, ids=repr)
def test_the_gradient_at_nothing_is_nothing(scattering):
    x = torch.zeros(1, 1, *scattering.shape, requires_grad=True)
    scattering(x)[:, :, 1:].sum().backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("scattering", TINY, ids=repr)
def test_gradients_flow_after_inference(scattering):
    scattering = pickle.loads(pickle.dumps(scattering))  # without filters
    x = noise(1, 1, *scattering.shape)
    with torch.inference_mode():
        wanted = scattering(x)
    x = x.requires_grad_()
    seen = scattering(x)
    seen.sum().backward()
    torch.testing.assert_close(seen.detach(), wanted)
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize("scattering", TINY, ids=repr)
def test_copies_and_pieces_give_the_same(scattering, monkeypatch):
    x = noise(5, 2, *scattering.shape, dtype=torch.float32)
    wanted = scattering(x)
    assert wanted.dtype == torch.float32
    for same in (pickle.loads(pickle.dumps(scattering)), copy.deepcopy(scattering)):
        assert torch.equal(same(x), wanted)
    monkeypatch.setitem(grid.PIECE, "cpu", 1)
    torch.testing.assert_close(scattering(x), wanted)
    assert repr(scattering.J) in repr(scattering)


def test_a_pickle_holds_no_filters():
    scattering = HarmonicScattering(1, (16,) * 3)
    small = len(pickle.dumps(scattering))
    scattering(noise(1, 1, 16, 16, 16))
    assert len(pickle.dumps(scattering)) == small < 10_000


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"J": 0}, "J must be an integer from 1 to 62, got 0"),
        ({"J": 5}, "J=5 averages over 32 samples"),
        ({"shape": (16,)}, "two extents of images"),
        ({"L": 0}, "L must be"),
        ({"K": 5}, "K must be an integer from 0 to 3"),
        ({"max_order": 3}, "max_order must be an integer from 0 to 2"),
        ({"padding": "mirror"}, "padding must be one of"),
        ({"padding": "periodic", "shape": (18, 16)}, "multiples of 4"),
        ({"angle_average": 1}, "angle_average must be True or False"),
    ],
)
def test_bad_parameters_of_the_plane_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        RotoTranslationScattering(**{"J": 2, "shape": (16, 16), "L": 4, **parameters})


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"J": -1}, "J must be an integer of at least 0"),
        ({"J": 4}, "wider than the shape"),
        ({"shape": (8, 8)}, "three extents of volumes"),
        ({"L": 1.5}, "L must be"),
        ({"sigma_0": 0}, "sigma_0 must be a finite number above 0, got 0"),
        ({"max_order": 0}, "max_order must be an integer from 1 to 2"),
        ({"integral_powers": ()}, "integral_powers must be one or more"),
        (
            {"integral_powers": (1, -1)},
            r"integral_powers must be one or more positive numbers, got \(1, -1\)",
        ),
        ({"rotation_covariant": None}, "rotation_covariant must be True or False"),
    ],
)
def test_bad_parameters_of_space_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        HarmonicScattering(**{"J": 1, "shape": (8, 8, 8), **parameters})


@pytest.mark.parametrize("scattering", [TINY[0], TINY[2]], ids=repr)
def test_bad_signals_are_named(scattering):
    with pytest.raises(ValueError, match=r"x must have shape \(n, channels, .*got"):
        scattering(torch.zeros(2, 1, *scattering.shape[:-1]))
    with pytest.raises(TypeError, match="complex64"):
        scattering(torch.zeros(2, 1, *scattering.shape, dtype=torch.complex64))


# --- as features ----------------------------------------------------------------------------


def test_roto_translation_features_are_the_coefficients_with_their_names():
    X = noise(3, 2, 9, 8).numpy()
    transformer = RotoTranslationTransformer(L=3, dtype="float64").fit(X)
    module = RotoTranslationScattering(J=2, shape=(9, 8), L=3)
    features = transformer.set_output(transform="pandas").transform(X)
    np.testing.assert_allclose(features, module(torch.from_numpy(X)).flatten(1), rtol=1e-9)
    assert list(features.columns) == list(transformer.meta_.index)
    assert transformer.meta_.index.is_unique
    row = transformer.meta_.loc["c1 R2[j=0,1,beta=2,k=0]@(1,0)"]
    assert row[["channel", "order", "j1", "j2", "beta", "k", "y", "x"]].tolist() == [
        *(1, 2, 0, 1, 2, 0, 1, 0)
    ]
    copied = pickle.loads(pickle.dumps(transformer)).transform(X)
    np.testing.assert_array_equal(copied, features)


def test_roto_translation_features_are_of_images():
    X = noise(3, 64).numpy()
    with pytest.raises(ValueError, match=r"shape must be the two extents of images, got \(64,\)"):
        RotoTranslationTransformer(layout="L").fit(X)
    folded = RotoTranslationTransformer(image_shape=(8, 8), L=2)
    assert folded.__sklearn_tags__().input_tags.two_d_array
    assert folded.fit(X).transform(X).shape == (3, len(folded.module_.paths) * 4)
