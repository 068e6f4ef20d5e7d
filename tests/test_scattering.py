"""The scattering transform: Kymatio's coefficients, symmetries, gradients, and its errors."""

import pickle
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklstruct_scattering import compiled
from torch.func import functional_call

from sklstruct import (
    HarmonicScattering,
    RotoTranslationScattering,
    Scattering,
    WindowedFourier,
)
from sklstruct.frames import half_sphere

EXAMPLES = Path(__file__).parents[1] / "examples"
REFERENCE = np.load(Path(__file__).parent / "data" / "kymatio_reference.npz")
CASES = [name.removeprefix("signal ") for name in REFERENCE if name.startswith("signal ")]


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def by_torch(scattering):
    """Return the transform without its compiled kernel."""
    copy = pickle.loads(pickle.dumps(scattering))
    copy.plan = None
    return copy


def relative_error(seen, wanted):
    return float((seen.double() - wanted).norm() / wanted.norm())


# --- oracles --------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_coefficients_are_those_of_kymatio(case):
    scattering = Scattering(**eval(f"dict({case})"))
    signal = torch.from_numpy(REFERENCE[f"signal {case}"])[:, None]
    wanted = torch.from_numpy(REFERENCE[f"coefficients {case}"])[:, None]
    for transform in (scattering, by_torch(scattering)):
        assert relative_error(transform(signal.double()), wanted) < 1e-9
        assert relative_error(transform(signal), wanted) < 1e-6
        worst = (transform(signal) - wanted).abs().max() / wanted.abs().max()
        assert worst < 1e-5


def test_paths_are_direct_convolutions_and_samples():
    """A path is |  |x * psi_1| * psi_2 | * phi, where every modulus is sampled at its scale."""
    scattering = Scattering(J=3, L=3, shape=(16, 16), padding="periodic", max_order=3)
    x = noise(1, 1, 16, 16)

    def convolve(u, spectrum, step):
        return np.fft.ifft2(np.fft.fft2(u) * spectrum)[::step, ::step]

    for path, seen in zip(scattering.paths, scattering(x)[0, 0].numpy(), strict=True):
        u, level = x[0, 0].numpy(), 0
        for wavelet in path.wavelets:
            u = np.abs(convolve(u, wavelet.levels[level], 2 ** (wavelet.j - level)))
            level = wavelet.j
        wanted = convolve(u, scattering.fixed.bank.phi[level], 2 ** (3 - level)).real
        np.testing.assert_allclose(seen, wanted, rtol=1e-9, atol=1e-12)


def test_first_order_is_a_frame_network_with_fixed_coefficients():
    """Thesis 3.3.2, as the example has it; it differs by the 3.1415 that scales the wavelets."""
    example = runpy.run_path(EXAMPLES / "gallery/scattering/scattering_is_a_frame_network.py")
    J, L, x = 2, 6, noise(2, 1, 32, 32)
    shape = {"shape": (32, 32), "padding": "periodic"}
    wanted = Scattering(J=J, L=L, max_order=1, average=False, **shape)(x)[1:]
    for j in range(J):
        seen = example["moduli"](x, j, L)[:, example["same_order"](L)].detach()
        assert relative_error(seen, torch.cat(wanted[j * L : (j + 1) * L], dim=1)) < 1e-4


# --- symmetries -----------------------------------------------------------------------------


def test_cyclic_shifts_move_the_coefficients():
    scattering = Scattering(J=2, L=4, shape=(16, 24), padding="periodic")
    x = noise(2, 1, 16, 24)
    shifted = scattering(x.roll((4, -8), (2, 3)))
    torch.testing.assert_close(shifted, scattering(x).roll((1, -2), (3, 4)))


def test_quarter_turns_permute_the_orientations():
    L = 4
    scattering = Scattering(J=2, L=L, shape=(16, 16), padding="periodic")
    x = noise(1, 1, 16, 16)
    turned = torch.rot90(x, 1, (2, 3)).roll(1, 2)  # about the sample (0, 0)
    numbers = {tuple((w.j, w.theta) for w in p.wavelets): k for k, p in enumerate(scattering.paths)}
    after = [
        numbers[tuple((j, (theta + L // 2) % L) for j, theta in wavelets)] for wavelets in numbers
    ]
    wanted = torch.rot90(scattering(x), 1, (3, 4)).roll(1, 3)
    # opposite directions are not told apart, so a half turn may stand for either
    torch.testing.assert_close(scattering(turned)[:, :, after], wanted, rtol=0, atol=1e-6)


def test_energy_does_not_grow():
    """The wavelets are nearly a tight frame of bound 1, so no order adds energy."""
    scattering = Scattering(J=3, L=8, shape=(32, 32), padding="periodic", average=False)
    maps = scattering(noise(1, 1, 32, 32, seed=3))
    energies = [0.0] * 3
    for path, m in zip(scattering.paths, maps, strict=True):
        energies[path.order] += float(m.square().sum()) * 4**path.level
    assert energies[1] < 1.1 * energies[0]
    assert energies[2] < energies[1]


def test_constant_signals_have_no_wavelet_coefficients():
    for shape in ((64,), (16, 20), (8, 8, 8)):
        scattering = Scattering(J=2, L=3, shape=shape)
        out = scattering(torch.ones(1, 1, *shape, dtype=torch.float64))
        torch.testing.assert_close(out[:, :, 0], torch.ones_like(out[:, :, 0]), rtol=0, atol=2e-3)
        assert out[:, :, 1:].abs().max() < 1e-4


def test_wavelets_of_space_divide_the_directions_and_cover_the_spectrum():
    n, L = 16, 6
    scattering = Scattering(J=1, L=L, shape=(n,) * 3, max_order=1, padding="periodic")
    bank = scattering.fixed.bank
    spectra = np.stack([wavelet.levels[0] for wavelet in bank.psi[0]])
    centres = np.rint(half_sphere(3, L) * 3 / 8 * n).astype(int)  # 3 pi / 4 radians a sample
    strongest = [np.argmax(spectra[(slice(None), *centre)]) for centre in centres]
    assert strongest == list(range(L))
    mirrored = np.roll(spectra[:, ::-1, ::-1, ::-1], 1, (1, 2, 3))
    coverage = (spectra**2 + mirrored**2).sum(axis=0) / 2 + bank.phi[0] ** 2
    frequencies = np.meshgrid(*[np.fft.fftfreq(n)] * 3)
    inside = np.hypot.reduce(frequencies) <= 3 / 8  # beyond the centres it may fall off
    assert coverage[inside].min() > 0.2
    assert coverage.max() < 2.5


# --- the compiled kernel --------------------------------------------------------------------


built = pytest.mark.skipif(not compiled.KERNELS, reason="built without a C compiler")
each_kernel = pytest.mark.parametrize("kernel", compiled.KERNELS)


each_way = pytest.mark.parametrize("large", [False, True], ids=["side by side", "one by one"])


def by_kernel(kernel, large, **parameters):
    """Return a transform that computes with a kernel, images as if they were large or small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "LARGE", 0 if large else np.inf)
        scattering = Scattering(**parameters)
    scattering.plan = replace(scattering.plan, kernel=kernel)
    return scattering


@built
@each_kernel
@each_way
@given(
    shape=st.one_of(
        st.tuples(st.integers(8, 40)),
        st.tuples(st.integers(4, 40), st.integers(4, 40)),
    ),
    J=st.integers(1, 3),
    L=st.integers(1, 5),
    T=st.none() | st.integers(1, 8),
    max_order=st.integers(0, 3),
    padding=st.sampled_from(["reflect", "symmetric", "zero", "periodic"]),
    n=st.integers(0, 21),
)
def test_kernel_agrees_with_torch(kernel, large, shape, J, L, T, max_order, padding, n):
    J, T = min(J, min(shape).bit_length() - 1), T if len(shape) == 1 else None
    if padding == "periodic":
        shape = tuple(extent // 8 * 8 or 8 for extent in shape)
    scattering = by_kernel(
        kernel, large, J=J, L=L, Q=L, T=T, shape=shape, max_order=max_order, padding=padding
    )
    x = noise(n, 1, *shape)
    seen, wanted = scattering(x.float()), scattering(x)
    assert seen.shape == wanted.shape
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen.double(), wanted, rtol=0, atol=2e-6)


@built
@each_kernel
@each_way
def test_kernel_gives_a_signal_the_same_bits_in_any_company_and_on_any_threads(kernel, large):
    scattering = by_kernel(kernel, large, J=2, L=5, shape=(20, 13))
    x = noise(37, 1, 20, 13, dtype=torch.float32)
    together = scattering(x)
    for start, stop in ((0, 1), (3, 5), (30, 37), (5, 25), (7, 11)):
        assert torch.equal(scattering(x[start:stop]), together[start:stop])
    before = torch.get_num_threads()
    try:
        for threads, n in ((3, 37), (5, 3), (64, 1), (2, 0)):
            torch.set_num_threads(threads)
            assert torch.equal(scattering(x[:n]), together[:n])
    finally:
        torch.set_num_threads(before)


@built
@each_kernel
@each_way
@pytest.mark.parametrize("n", [1, 21])
def test_kernel_neither_overflows_nor_vanishes(kernel, large, n):
    scattering = by_kernel(kernel, large, J=2, L=2, shape=(9, 12))
    x = noise(n, 1, 9, 12)
    wanted = scattering(x)
    for size in (1e-30, 1e-20, 1e20, 1e36):
        seen = scattering((size * x).float()).double() / size
        torch.testing.assert_close(seen, wanted, rtol=0, atol=2e-6)
    x[0, 0, 3, 3] = np.inf
    spoiled = scattering(x.float())
    assert not torch.isfinite(spoiled[0]).all()
    assert torch.isfinite(spoiled[1:]).all()


@built
def test_kernel_refuses_arrays_that_do_not_fit():
    plan = Scattering(J=1, L=1, shape=(8, 8)).plan
    x, out = np.zeros((2, 8, 8), np.float32), np.zeros((2, *plan.out_shape), np.float32)
    with pytest.raises(ValueError, match="do not fit"):
        plan.run(x[:1], out, 0, 1)
    with pytest.raises(ValueError, match="do not fit"):
        plan.run(x, out, 0, 3)
    with pytest.raises(ValueError, match="no such kernel"):
        replace(plan, kernel="abacus").run(x, out, 0, 2)


def test_long_lines_need_no_large_plan():
    scattering = Scattering(J=3, shape=(1 << 14,))
    assert len(scattering.plan.arrays[3]) < 10_000  # weights, not matrices


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # that it gives itself
def test_transforms_of_torch_see_through_the_kernel():
    scattering = Scattering(J=1, L=2, shape=(8, 8))
    x = noise(3, 2, 1, 8, 8, dtype=torch.float32)
    wanted = scattering(x.flatten(0, 1)).unflatten(0, (3, 2))
    torch.testing.assert_close(torch.func.vmap(scattering)(x), wanted)
    torch.testing.assert_close(scattering(torch._neg_view(x[0])), scattering(-x[0]))
    tangent = torch.ones_like(x[0])
    out, derivative = torch.func.jvp(scattering, (x[0],), (tangent,))
    torch.testing.assert_close(out, wanted[0])
    step = (scattering(x[0].double() + 1e-6) - scattering(x[0].double() - 1e-6)) / 2e-6
    torch.testing.assert_close(derivative.double(), step, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of tracing itself
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_transform_follows_its_input():
    scattering = Scattering(J=1, L=2, shape=(8, 8))
    x, other = noise(2, 3, 1, 8, 8, dtype=torch.float32)
    traced = torch.jit.trace(scattering, x, check_trace=False)
    torch.testing.assert_close(traced(other), scattering(other))


def test_large_prime_extents_are_left_to_torch():
    scattering = Scattering(J=1, L=2, shape=(70, 6))  # padded to 74 = 2 x 37
    assert scattering.padded_shape == (74, 10)
    assert scattering.plan is None
    x = noise(1, 1, 70, 6)
    torch.testing.assert_close(scattering(x.float()).double(), scattering(x), rtol=0, atol=2e-6)


# --- gradients and learned wavelets ---------------------------------------------------------


def test_gradients_with_respect_to_the_signal():
    for shape in ((16,), (6, 5), (4, 4, 4)):
        scattering = Scattering(J=1, L=2, shape=shape)
        x = noise(1, 1, *shape).requires_grad_()
        assert torch.autograd.gradcheck(scattering, x)
    single = noise(1, 1, 16, 16, dtype=torch.float32).requires_grad_()
    Scattering(J=2, L=2, shape=(16, 16))(single).sum().backward()
    assert torch.isfinite(single.grad).all()
    assert single.grad.abs().max() > 0


def test_filters_made_without_gradients_serve_with_them_too():
    for scattering in (Scattering(J=1, shape=(8, 8)), HarmonicScattering(J=1, shape=(4, 4, 4))):
        x = noise(1, 1, *scattering.shape)
        with torch.inference_mode():
            scattering(x)
        x.requires_grad_()
        scattering(x).sum().backward()
        assert torch.isfinite(x.grad).all()


def test_gradient_at_zero_is_finite():
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    Scattering(J=1, L=2, shape=(8, 8))(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_learnable_wavelets_start_as_the_fixed_ones_and_follow_their_parameters():
    x = noise(2, 1, 16, 16)
    fixed = Scattering(J=2, L=3, shape=(16, 16))
    learnable = Scattering(J=2, L=3, shape=(16, 16), learnable=True).double()
    wanted = fixed(x)
    assert relative_error(learnable(x).detach(), wanted) < 1e-6
    names = [name for name, _ in learnable.named_parameters()]
    assert [name.rpartition(".")[2] for name in names] == ["angle", "frequency", "sigma", "slant"]
    small = noise(1, 1, 8, 8)
    module = Scattering(J=2, L=2, shape=(8, 8), learnable=True).double()
    start = tuple(p.detach().clone().requires_grad_() for p in module.parameters())

    def outputs(*parameters):
        return functional_call(module, dict(zip(names, parameters, strict=True)), small)

    assert torch.autograd.gradcheck(outputs, start)


def test_learned_wavelets_find_the_frequency_of_a_wave():
    """Gradient ascent on the energy of one coefficient turns the wavelet towards the wave."""
    u = torch.arange(32.0)
    x = torch.cos(1.9 * u)[None, None, :, None].expand(1, 1, 32, 32)
    module = Scattering(J=1, L=4, shape=(32, 32), max_order=1, learnable=True)
    aligned = int(torch.cos(module.learned.angle.detach()).abs().argmax())
    before = float(module.learned.frequency[aligned].detach())
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(15):
        optimizer.zero_grad()
        (-module(x)[:, :, 1 + aligned].mean()).backward()
        optimizer.step()
    after = float(module.learned.frequency[aligned].detach())
    assert abs(after - 1.9) < abs(before - 1.9)


# --- shapes, storage, errors ----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(33,), (9, 14), (8, 9, 10)])
@pytest.mark.parametrize("average", [True, False])
def test_shapes_by_path(shape, average):
    scattering = Scattering(J=2, L=2, Q=2, shape=shape, max_order=2, average=average)
    out = scattering(noise(2, 3, *shape))
    if average:
        assert out.shape == (2, 3, len(scattering.paths), *scattering.out_shape)
        return
    assert len(out) == len(scattering.paths)
    for path, m in zip(scattering.paths, out, strict=True):
        assert m.shape[:2] == (2, 3)
        for extent, kept in zip(shape, m.shape[2:], strict=True):
            assert abs(kept - extent / 2**path.level) < 1


def test_padding_modes_continue_the_signal():
    x = noise(1, 1, 12)
    modes = {"reflect": "reflect", "symmetric": "symmetric", "zero": "constant"}
    for padding, numpy_mode in modes.items():
        scattering = Scattering(J=3, shape=(12,), padding=padding)
        axis = scattering.grid.axes[0]
        widths = axis.before, axis.padded - axis.before - axis.extent
        wanted = np.pad(x[0, 0].numpy(), widths, mode=numpy_mode)
        np.testing.assert_array_equal(scattering.grid.pad(x[:, 0])[0], wanted)


def test_pickled_copies_are_small_and_agree():
    scattering = Scattering(J=2, shape=(28, 28))
    stored = pickle.dumps(scattering)
    assert len(stored) < 5000  # the filters follow from the parameters
    x = noise(1, 1, 28, 28, dtype=torch.float32)
    assert torch.equal(pickle.loads(stored)(x), scattering(x))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"J": 4}, "J=4 averages over 16 samples.*J can be at most 3"),
        ({"J": 0}, "J must be an integer from 1 to 62, got 0"),
        ({"L": 0}, "L must be"),
        ({"Q": 1.5}, "Q must be"),
        ({"shape": (8, 0)}, "shape must be 1 to 3 positive integers"),
        ({"shape": (8,) * 4}, "shape must be 1 to 3 positive integers"),
        ({"max_order": 4}, "max_order must be an integer from 0 to 3, got 4"),
        ({"padding": "mirror"}, "padding must be one of .*, got 'mirror'"),
        ({"padding": "periodic", "shape": (8, 10)}, "multiples of 4"),
        ({"T": 8}, "T=8 is for signals on a line"),
        ({"T": 99, "shape": (16,)}, "T must be an integer from 1 to 16"),
        ({"average": 1}, "average must be True or False"),
        ({"learnable": True, "shape": (16,)}, "learnable=True is for two dimensions"),
    ],
)
def test_wrong_parameters(changed, message):
    with pytest.raises(ValueError, match=message):
        Scattering(**{"J": 2, "shape": (8, 8), **changed})


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 8, 8), ValueError, r"x must have shape \(n, channels, 8, 8\), got \(2, 8"),
        (torch.zeros(2, 1, 8, 9), ValueError, r"got \(2, 1, 8, 9\)"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.complex64), TypeError, "got torch.complex64"),
        (np.zeros((2, 1, 8, 8)), TypeError, "got ndarray"),
    ],
)
def test_wrong_signals(x, error, message):
    with pytest.raises(error, match=message):
        Scattering(J=2, shape=(8, 8))(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_signals_give_no_coefficients(dtype):
    out = Scattering(J=1, L=2, shape=(8, 8))(torch.zeros(0, 3, 8, 8, dtype=dtype))
    assert out.shape == (0, 3, 3, 4, 4)
    for values in Scattering(J=1, L=2, shape=(8,), average=False)(torch.zeros(2, 0, 8)):
        assert values.numel() == 0
    assert RotoTranslationScattering(J=1, L=2, shape=(8, 8))(torch.zeros(0, 1, 8, 8)).numel() == 0
    assert HarmonicScattering(J=1, shape=(4, 4, 4))(torch.zeros(0, 1, 4, 4, 4)).numel() == 0
    assert WindowedFourier(shape=(8, 8))(torch.zeros(0, 1, 8, 8)).numel() == 0


def test_a_path_is_told_in_a_line():
    assert len(repr(Scattering(J=2, shape=(16, 16)).paths[-1])) < 500
