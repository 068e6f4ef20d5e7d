"""Windowed Fourier and wavelet moduli, and how stable these and scattering are."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklstruct_scattering.fourier import WindowedFourier, WindowedFourierTransformer
from sklstruct_scattering.scattering import Scattering
from sklstruct_scattering.transformer import ScatteringTransformer
from sklstruct_scattering.wavelet_modulus import WaveletModulus, WaveletModulusTransformer
from test_inspection import assert_legible

from sklstruct.inspection import StabilityDisplay, stability
from sklstruct.inspection.deformations import largest_gradient

SHAPES = ((32,), (16, 24), (8, 8, 12))
EXACT = {"padding": "periodic", "dtype": "float64"}
FOURIER = WindowedFourierTransformer(window=None, dtype="float64")


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


def smooth(n, *shape):
    """Return periodic signals without the finest waves, which no interpolation gets right."""
    spectrum = np.fft.fftn(noise(n, *shape).numpy(), axes=range(1, len(shape) + 1))
    for axis, extent in enumerate(shape, start=1):
        low = np.abs(np.fft.fftfreq(extent)) < 1 / 8
        spectrum *= low.reshape([-1 if a == axis else 1 for a in range(spectrum.ndim)])
    return np.fft.ifftn(spectrum, axes=range(1, len(shape) + 1)).real


# The windowed Fourier transform --------------------------------------------------------------


def test_moduli_are_those_of_the_formula():
    x, w = noise(1, 1, 10, 13), 4
    module = WindowedFourier((10, 13), window=w, hop=3, padding="zero")
    assert module.out_shape == (4, 5)
    found = module(x)[0, 0]
    before = [axis.before for axis in module.grid.axes]
    padded = np.pad(x[0, 0].numpy(), [(b, 2 * w) for b in before])
    sine = np.sin(np.pi * (np.arange(w) + 0.5) / w)
    for number, k in enumerate(module.frequencies):
        wave = np.exp(-2j * np.pi * (k[0] * np.arange(w)[:, None] + k[1] * np.arange(w)) / w)
        for u in np.ndindex(4, 5):
            patch = padded[3 * u[0] : 3 * u[0] + w, 3 * u[1] : 3 * u[1] + w]
            wanted = abs((patch * np.outer(sine, sine) * wave).sum()) / w
            assert found[number][u].item() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_window_it_is_the_fourier_transform(shape):
    x, module = noise(2, 3, *shape), WindowedFourier(shape, window=None)
    dims = tuple(range(2, 2 + len(shape)))
    wanted = torch.fft.fftn(x, dim=dims, norm="ortho").abs()[(..., *module.frequencies.T)]
    torch.testing.assert_close(module(x).flatten(2), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_of_each_pair_of_frequencies_one_is_kept(window, ndim):
    k = WindowedFourier((8,) * ndim, window=window).frequencies
    both = np.unique(np.concatenate([k, -k]) % window, axis=0)
    assert len(both) == window**ndim
    assert len(k) == (len(both) + np.all(2 * both % window == 0, axis=1).sum()) / 2
    assert (np.abs(k) <= window / 2).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [None, 2, 8])
def test_windows_that_overlap_by_half_keep_the_norm(shape, window):
    x, module = noise(2, 1, *shape), WindowedFourier(shape, window, padding="periodic")
    k, widths = module.frequencies, np.array(module.widths)
    counts = torch.from_numpy(2 - np.all(2 * k % widths == 0, axis=1))  # both of a pair
    energies = (module(x) ** 2).flatten(3).sum(3) @ counts.double()
    torch.testing.assert_close(energies, (x**2).flatten(2).sum(2))


def test_cyclic_translations_do_not_change_the_fourier_modulus():
    X = noise(3, 12, 15).numpy()
    features = FOURIER.fit_transform(X)
    for shift in [(1, 0), (5, 7), (-3, 14)]:
        moved = FOURIER.transform(np.roll(X, shift, axis=(1, 2)))
        np.testing.assert_allclose(moved, features, rtol=0, atol=1e-14 * np.abs(X).sum())


# The wavelet transform -----------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["periodic", "reflect"])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_powers_of_two_it_is_first_order_scattering(shape, padding):
    J, x = 2, noise(2, 3, *shape)
    options = {"L": 3, "padding": padding}
    moduli = WaveletModulus(J, shape, average=False, **options)(x)
    averages = WaveletModulus(J, shape, **options)(x)
    first = slice(1, 1 + moduli.shape[2])
    scattering = Scattering(J, shape, max_order=1, **options)
    torch.testing.assert_close(averages, scattering(x)[:, :, first], rtol=0, atol=1e-12)
    unaveraged = Scattering(J, shape, max_order=1, average=False, **options)
    for path, wanted, found in zip(
        unaveraged.paths[first], unaveraged(x)[first], moduli.unbind(2), strict=True
    ):
        every = (slice(None, None, 2**path.level),) * len(shape)
        torch.testing.assert_close(found[(..., *every)], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("Q, xi", [(1, 0.35), (3, 0.35), (4, 0.373), (8, 0.435)])
def test_the_finest_wave_of_a_line_has_the_frequency_that_is_told(Q, xi):
    found = WaveletModulus(2, (64,), Q=Q).wavelets[0][1].xi
    assert found == pytest.approx(max(0.35, 1 / (1 + 2 ** (3 / Q))))
    assert found == pytest.approx(xi, abs=5e-4)


@pytest.mark.parametrize("shape, largest", [((256,), 8), ((64, 64), 4)])
def test_a_wave_is_strongest_at_its_scale(shape, largest):
    scales = np.geomspace(1, largest, 25)
    module = WaveletModulus(3, shape, scales, L=2, padding="periodic")
    for n in (7, 12, 19):
        wave = np.cos(2 * np.pi * n * np.arange(shape[0]) / shape[0])
        x = torch.from_numpy(np.broadcast_to(wave[(..., *[None] * (len(shape) - 1))], shape).copy())
        responses = module(x[None, None])[0, 0].flatten(1).mean(1)
        strongest, wavelet = module.wavelets[responses.argmax()]
        wanted = np.clip(module.wavelets[0][1].xi / (n / shape[0]), 1, largest)
        assert strongest == pytest.approx(wanted, rel=0.1)
        assert wavelet.xi == pytest.approx(module.wavelets[0][1].xi / strongest)


# The transformers ----------------------------------------------------------------------------

TRANSFORMERS = (WindowedFourierTransformer(), WaveletModulusTransformer(J=1))


@parametrize_with_checks([*TRANSFORMERS, WindowedFourierTransformer(window=None)])
@pytest.mark.filterwarnings("ignore")  # the checks feed warnings on purpose
def test_scikit_learn(estimator, check):
    check(estimator)


def test_names_and_meta_say_what_a_feature_is():
    X = noise(4, 3, 12, 20).numpy()
    for estimator, names in [
        (WindowedFourierTransformer(window=4, dtype="float64"), ["k_y", "k_x"]),
        (WaveletModulusTransformer(scales=(1, 1.5), L=3, dtype="float64"), ["s", "theta"]),
    ]:
        table = estimator.set_output(transform="pandas").fit_transform(X)
        maps = estimator.module_(torch.from_numpy(X)).numpy()
        assert list(table.columns) == list(estimator.meta_.index)
        assert table.columns.is_unique
        known = estimator.meta_.groupby(names, sort=False).ngroup()
        for name, row in estimator.meta_.sample(20, random_state=0).iterrows():
            place = row["channel"], known[name], row["y"], row["x"]
            np.testing.assert_array_equal(table[name], maps[(slice(None), *map(int, place))])
            label = ",".join(f"{row[n]:g}" for n in names)
            shown = (
                name.replace("s=", "").replace("theta=", "").replace("k=(", "").replace(")]", "]")
            )
            assert shown == f"c{row['channel']:g} {shown[3]}[{label}]@({row['y']:g},{row['x']:g})"
    line = WindowedFourierTransformer(window=4).fit(X[:, 0, 0])
    assert line.get_feature_names_out()[-1] == "F[k=2]@(9)"
    line = WaveletModulusTransformer(scales=(1, 2.5)).fit(X[:, 0, 0])
    assert line.get_feature_names_out()[-1] == "W[s=2.5]@(4)"


@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=lambda e: type(e).__name__)
def test_features_of_a_sample_do_not_depend_on_its_company(estimator):
    X = noise(70, 9, 11).numpy()
    features = estimator.fit(X).transform(X)
    np.testing.assert_array_equal(estimator.transform(X[5:6]), features[5:6])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(X), features)


@pytest.mark.parametrize(
    "estimator, message",
    [
        (
            WindowedFourierTransformer(window=0),
            "window of .* must be an integer of at least 1 or None, got 0",
        ),
        (WindowedFourierTransformer(window=4, hop=5), "hop must be an integer from 1 to 4, got 5"),
        (WindowedFourierTransformer(window=None, hop=5), "window is None"),
        (WindowedFourierTransformer(padding="wrap"), "padding of .* must be one of"),
        (WaveletModulusTransformer(J=4), "J=4 averages over 16 samples"),
        (WaveletModulusTransformer(J=0), "J of .* must be"),
        (
            WaveletModulusTransformer(J=2, scales=(0.5, 1)),
            r"scales must be different numbers from 1 to 2\*\*J = 4",
        ),
        (
            WaveletModulusTransformer(J=2, scales=(1, 4.5)),
            "scales must be different numbers from 1",
        ),
        (WaveletModulusTransformer(scales=()), "scales must be different numbers"),
        (WaveletModulusTransformer(scales=(1, "a")), "scales must be different numbers"),
        (WaveletModulusTransformer(Q=(1, 1)), "Q of .* must be an integer"),
        (WaveletModulusTransformer(dtype="float16"), "dtype"),
    ],
)
def test_bad_parameters_are_named(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(np.ones((2, 9, 10)))


@pytest.mark.parametrize("module", [WindowedFourier((8, 9)), WaveletModulus(2, (8, 9))])
def test_bad_tensors_are_named(module):
    with pytest.raises(ValueError, match=r"\(n, channels, 8, 9\), got \(2, 1, 8, 8\)"):
        module(torch.zeros(2, 1, 8, 8))
    with pytest.raises(TypeError, match=r"float32.*float64|floating-point"):
        module(torch.zeros(2, 1, 8, 9, dtype=torch.complex64))


# Stability: what is measured -----------------------------------------------------------------


def pixels(X):
    return X


def test_a_shifted_wave_moves_as_far_as_it_must():
    omega = 2 * np.pi * 5 / 64
    X = np.cos(omega * np.arange(64))[None]
    table = stability(pixels, X, "translation", random_state=0).table
    wanted = 2 * np.sin(omega * table["size"] / 2)  # |1 - exp(i omega c)|
    np.testing.assert_allclose(table["distance"], wanted, rtol=1e-3)
    np.testing.assert_array_equal(table["gradient"], 0)
    np.testing.assert_allclose(table["displacement"], table["size"])
    np.testing.assert_allclose(table["ratio"] * table["size"], table["distance"])


@pytest.mark.parametrize("shape", [(40,), (12, 16), (8, 8, 10)])
@pytest.mark.parametrize("deformation", ["translation", "dilation", "diffeomorphism"])
def test_sizes_are_the_norm_of_the_displacements(shape, deformation):
    X, sizes = smooth(2, *shape), (0.02, 0.3)
    options = {"sizes": sizes, "n_draws": 2, "random_state": 1}
    free = stability(pixels, X, deformation, **options).table
    column = "displacement" if deformation == "translation" else "gradient"
    np.testing.assert_allclose(free[column], free["size"])
    scaled = stability(pixels, X, deformation, scale=8, **options).table
    np.testing.assert_allclose(scaled["displacement"] / 8 + scaled["gradient"], scaled["size"])
    assert set(free["size"]) == set(scaled["size"]) == set(sizes)
    assert free["draw"].nunique() == (1 if deformation == "dilation" else 2)
    assert len(free) == 2 * len(sizes) * free["draw"].nunique()


def test_a_rotation_turns_about_the_centre():
    y, x = np.mgrid[:33, :33] - 16.0
    seen = []
    blob, beside = (np.exp(-((x - shift) ** 2 + y**2) / 20) for shift in (0, 4))
    found = stability(lambda X: seen.append(X) or X, [blob, beside], "rotation", sizes=[0.1])
    distances = found.table.groupby("sample")["distance"].max()
    assert distances[0] < 0.01 < 0.05 < distances[1]
    turned = seen[1][1]
    angle = np.arctan2((turned * y).sum(), (turned * x).sum())
    np.testing.assert_allclose(abs(angle), 0.1, rtol=0.01)
    with pytest.raises(ValueError, match="not finite, or all 0"):
        stability(lambda X: X, x, "rotation")


def test_a_dilation_enlarges_about_the_centre():
    u = np.arange(65.0) - 32
    X = np.exp(-((u / 8) ** 2))[None]
    seen = []
    stability(lambda X: seen.append(X) or X, X, "dilation", sizes=[0.2])
    np.testing.assert_allclose(seen[1][0], np.exp(-((0.8 * u / 8) ** 2)), atol=1e-6)


def test_the_size_is_given_to_a_field_of_ones_own():
    def shear(shape, rng):
        return np.stack([np.zeros(shape), np.tile(np.sin(np.arange(shape[0]))[:, None], shape[1])])

    found = stability(pixels, smooth(2, 12, 12), shear, sizes=[0.1], random_state=0)
    assert found.deformation == "shear"
    np.testing.assert_allclose(found.table["gradient"], 0.1)


def test_a_translation_of_ones_own_has_no_gradient_but_rounding():
    def shift(shape, rng):
        u = np.arange(shape[0])
        return (u + 0.1 - u)[None]

    assert np.ptp(shift((48,), None)) > 0
    X = smooth(2, 48)
    found = stability(pixels, X, shift, random_state=0)
    np.testing.assert_array_equal(found.table["gradient"], 0)
    np.testing.assert_allclose(found.table["displacement"], found.table["size"])
    assert found.unit == "shift (samples)"
    assert found.table["size"].max() == 4  # samples
    for size in (1e-6, 0.5):  # small ones are no rounding
        field = size * np.sin(np.arange(48.0))[None]
        assert largest_gradient(field) == pytest.approx(size * largest_gradient(field / size))
        assert largest_gradient(field + size) > 0


def test_distances_are_relative_to_the_features_or_to_the_signal():
    X = smooth(3, 24)
    doubled, signal = (
        stability(lambda X: 2 * X, X, relative_to=r, random_state=0) for r in ("features", "signal")
    )
    plain = stability(pixels, X, random_state=0)
    np.testing.assert_allclose(doubled.table["ratio"], plain.table["ratio"])
    np.testing.assert_allclose(signal.table["ratio"], 2 * plain.table["ratio"])
    assert plain.constant == plain.table["ratio"].max()
    best = [part["ratio"].max() for _, part in plain.table.groupby(["sample", "draw"])]
    assert plain.mean_constant == pytest.approx(np.mean(best))


def test_random_state_fixes_the_displacements():
    X = smooth(2, 16, 16)
    one, same, other = (stability(pixels, X, random_state=s).table for s in (0, 0, 1))
    assert one.equals(same)
    assert (one["ratio"] != other["ratio"]).all()


def test_channels_move_together_and_rows_are_folded():
    images = smooth(3, 12, 16)
    wanted = stability(pixels, images, random_state=0).table
    colour = np.repeat(images[..., None], 3, axis=-1)
    for X, options in [
        (images.reshape(3, -1), {"image_shape": (12, 16)}),
        (colour, {"layout": "HWC"}),
        (np.moveaxis(colour, -1, 1), {"layout": "CHW"}),
        (colour.reshape(3, -1), {"layout": "HWC", "image_shape": (12, 16, 3)}),
    ]:
        found = stability(pixels, X, random_state=0, **options).table
        np.testing.assert_allclose(found["ratio"], wanted["ratio"])
    rows = colour.reshape(3, -1)
    transformer = WaveletModulusTransformer(image_shape=(12, 16, 3)).fit(rows)
    asked = stability(transformer, rows, random_state=0).table
    told = stability(
        transformer.transform, rows, random_state=0, layout="HWC", image_shape=(12, 16, 3)
    )
    assert asked.equals(told.table)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"deformation": "shear"}, "deformation must be one of .*'translation'.*, got 'shear'"),
        ({"deformation": lambda shape, rng: np.zeros(3)}, r"shape \(2, 8, 8\), got \(3,\)"),
        ({"deformation": lambda shape, rng: np.zeros((2, *shape))}, "all 0"),
        ({"deformation": lambda shape, rng: np.full((2, *shape), np.nan)}, "not finite"),
        ({"sizes": []}, "sizes must be"),
        ({"sizes": 0.1}, "sizes must be"),
        ({"sizes": [0.1, -1]}, "Each of sizes must be a finite number above 0, got -1"),
        ({"sizes": [0.1, 1.5]}, "fold the signal; they must stay below 1"),
        ({"scale": 0}, "scale must be"),
        ({"relative_to": "pixels"}, "relative_to must be one of"),
        ({"boundary": "wrap"}, "boundary must be one of"),
        ({"n_draws": 0}, "n_draws must be"),
        ({"image_shape": (8, 9)}, r"image_shape=\(8, 9\) does not fit samples of shape \(8, 8\)"),
        ({"layout": "CHW"}, "layout='CHW' has 3 axes"),
        ({"X": np.full((2, 8, 8), np.nan)}, "X contains NaN"),
        ({"X": np.zeros((2, 8, 8))}, "Sample 0 of X is all 0"),
        ({"X": np.ones((2, 8, 1))}, r"at least 2 samples along every axis, got \(8, 1\)"),
        ({"X": np.ones((0, 8, 8))}, "0 sample"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        stability(**{"transformer": pixels, "X": np.ones((2, 8, 8))} | options)


def test_what_gives_no_features_is_refused():
    with pytest.raises(TypeError, match="transformer must have transform or be callable, got str"):
        stability("scattering", np.ones((2, 8)))


# Stability: the theorems ---------------------------------------------------------------------

WIDTH = 40  # of the wave packets, in samples


@pytest.fixture(scope="module")
def packets():
    """Waves of three frequencies, an octave apart each, in a window."""
    u = np.arange(512) - 255.5
    return [np.exp(-((u / WIDTH) ** 2) / 2) * np.cos(np.pi / k * u)[None] for k in (8, 4, 2)]


def constants(transformer, packets, deformation):
    transformer = clone(transformer).set_params(layout="L")
    found = [stability(transformer.fit(x), x, deformation, random_state=0) for x in packets]
    return np.array([each.constant for each in found])


def test_fourier_moduli_do_not_see_translations(packets):
    assert constants(FOURIER, packets[:1], "translation") < 1e-6
    fourier = clone(FOURIER).set_params(layout="L").fit(packets[2])
    found = stability(fourier, packets[2], "translation", sizes=[1, 3, 50])
    assert found.constant < 1e-14


def test_the_constant_of_fourier_moduli_grows_with_the_frequency(packets):
    """A dilation by e moves a wave by e * omega, in a spectrum that is 1 / WIDTH wide."""
    wanted = np.pi / np.array([8, 4, 2]) * WIDTH / np.sqrt(2)
    np.testing.assert_allclose(constants(FOURIER, packets, "dilation"), wanted, rtol=0.05)


@pytest.mark.parametrize("deformation", ["dilation", "diffeomorphism"])
@pytest.mark.parametrize("cls", [ScatteringTransformer, WaveletModulusTransformer])
def test_the_constant_of_scattering_does_not(packets, cls, deformation):
    scattering = constants(cls(J=6, **EXACT), packets, deformation)
    fourier = constants(FOURIER, packets, deformation)
    assert scattering.max() < 4
    assert fourier[2] > 1.9 * fourier[1]
    assert scattering[2] < 1.2 * scattering[1]
    assert scattering[2] < fourier[2] / 10


@pytest.mark.parametrize("J", [3, 5])
def test_scattering_moves_with_translations_by_their_share_of_its_scale(packets, J):
    scattering = constants(ScatteringTransformer(J=J, **EXACT), packets, "translation")
    image = np.pi / np.array([8, 4, 2])  # a wave moves by |1 - exp(i omega c)|
    assert (scattering < 0.6 * 2**-J).all()
    assert (scattering < 0.2 * image).all()


def test_of_images_too():
    X = smooth(4, 32, 32)
    scattering = ScatteringTransformer(J=3, **EXACT).fit(X)
    for deformation, share in {"translation": 0.3, "dilation": 0.6, "diffeomorphism": 0.6}.items():
        found = [stability(t, X, deformation, random_state=0) for t in (scattering, pixels)]
        assert found[0].constant < share * found[1].constant


# The picture ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def display():
    X = smooth(3, 16, 16)
    fourier = WindowedFourierTransformer(window=None).fit(X)
    transformers = {"pixels": pixels, "Fourier modulus": fourier}
    return StabilityDisplay.from_transformers(transformers, X, n_draws=2)


def test_a_display_holds_the_constants(display):
    table = display.to_frame().set_index(["representation", "deformation"])
    measured = display.results["pixels"][1]
    assert table.loc[("pixels", "dilation"), "constant"] == measured.constant
    assert table.loc[("pixels", "dilation"), "mean_constant"] == measured.mean_constant
    first = [[each.table["displacement"] for each in m] for m in display.results.values()]
    for one, other in zip(*first, strict=True):
        assert one.equals(other)  # all see the same


def test_a_panel_for_every_deformation(display, tmp_path):
    assert display.plot().axes_.shape == (3,)
    titles = [ax.get_title(loc="left") for ax in display.axes_]
    assert titles == ["translation", "dilation", "diffeomorphism"]
    labels = [ax.get_xlabel() for ax in display.axes_]
    assert labels == ["shift (samples)", *["largest gradient of the displacements"] * 2]
    for ax, measured in zip(display.axes_, display.results["pixels"], strict=True):
        sizes, means = ax.lines[0].get_data()
        wanted = measured.table.groupby("size")["distance"].mean()
        np.testing.assert_allclose(sizes, [0, *wanted.index])
        np.testing.assert_allclose(means, [0, *wanted])
    display.save(tmp_path / "stability.png")
    assert (tmp_path / "stability.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("n_deformations", [1, 3])
def test_a_panel_is_legible(display, n_deformations):
    measured = {name: found[:n_deformations] for name, found in display.results.items()}
    crowded = {f"{name} number {k}": found for name, found in measured.items() for k in range(4)}
    for results in (measured, crowded):
        assert_legible(StabilityDisplay(results).plot().figure_)


def test_results_that_do_not_belong_together_are_refused(display):
    pixels, fourier = display.results.values()
    with pytest.raises(ValueError, match="same deformations"):
        StabilityDisplay({"pixels": pixels, "Fourier": fourier[:2]})
    with pytest.raises(ValueError, match="same deformations"):
        StabilityDisplay({})
    with pytest.raises(ValueError, match="same deformations"):
        StabilityDisplay({"pixels": []})
