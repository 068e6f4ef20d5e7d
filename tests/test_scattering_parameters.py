"""What the classes of scattering do with NumPy's numbers, and what they keep and share."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklstruct_scattering.bank import line_bank, plane_bank, space_bank
from sklstruct_scattering.fourier import WindowedFourier
from sklstruct_scattering.roto import angular_kernels, sampled_bank
from sklstruct_scattering.transformer import ScatteringTransformer
from sklstruct_scattering.wavelet_modulus import WaveletModulus, scaled_wavelets

from sklstruct import HarmonicScattering, RotoTranslationScattering, Scattering

LINE, PLANE, SPACE = (32,), (8, 12), (8, 8, 8)


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(0).normal(size=shape))


def coefficients(module):
    found = module(noise(2, 1, *module.shape))
    return torch.cat([each.flatten(2) for each in found], 2) if isinstance(found, list) else found


def with_numpy(value):
    """Return the parameter with NumPy's numbers in place of Python's."""
    if isinstance(value, tuple):
        return tuple(map(with_numpy, value))
    numbers = {int: np.int64, float: np.float64}
    return numbers[type(value)](value) if type(value) in numbers else value


def assert_plain(value):
    """Fail unless the numbers in a parameter are Python's own."""
    for each in value if isinstance(value, tuple) else (value,):
        assert type(each) in (int, float, str, bool, type(None))


# --- NumPy's numbers ------------------------------------------------------------------------

CASES = [
    (Scattering, {"J": 2, "shape": LINE, "Q": 2}),
    (Scattering, {"J": 2, "shape": LINE, "Q": (4, 2), "T": 16}),
    (Scattering, {"J": 3, "shape": LINE, "T": 6, "max_order": 1, "average": False}),
    (Scattering, {"J": 2, "shape": LINE, "T": 4, "padding": "periodic"}),
    (Scattering, {"J": 2, "shape": PLANE, "L": 3, "max_order": 2}),
    (Scattering, {"J": 1, "shape": PLANE, "L": 2, "learnable": True}),
    (Scattering, {"J": 2, "shape": SPACE, "L": 3}),
    (RotoTranslationScattering, {"J": 2, "shape": PLANE, "L": 3, "K": 1, "max_order": 2}),
    (RotoTranslationScattering, {"J": 2, "shape": PLANE, "L": 3, "angle_average": False}),
    (HarmonicScattering, {"J": 1, "shape": SPACE, "L": 2, "sigma_0": 1.5, "max_order": 2}),
    (WaveletModulus, {"J": 2, "shape": LINE, "Q": 3, "scales": (1.0, 1.5)}),
    (WaveletModulus, {"J": 2, "shape": PLANE, "L": 3}),
    (WindowedFourier, {"shape": PLANE, "window": 4, "hop": 3}),
]


@pytest.mark.parametrize(("kind", "parameters"), CASES)
def test_numbers_of_numpy_are_as_good_as_those_of_python(kind, parameters):
    wanted = kind(**parameters)
    seen = kind(**{name: with_numpy(value) for name, value in parameters.items()})
    assert torch.equal(coefficients(seen), coefficients(wanted))
    assert repr(seen) == repr(wanted)
    for name in set(parameters) - {"learnable"}:
        assert_plain(getattr(seen, name))
    copied = pickle.loads(pickle.dumps(seen))
    assert torch.equal(coefficients(copied), coefficients(wanted))


@pytest.mark.parametrize("pair", [[4, 2], np.array([4, 2])], ids=repr)
def test_pairs_may_be_lists_and_arrays(pair):
    seen = Scattering(2, np.array(LINE), Q=pair)
    assert seen.Q == (4, 2)
    assert torch.equal(coefficients(seen), coefficients(Scattering(2, LINE, Q=(4, 2))))


def test_one_number_in_brackets_is_that_number():
    seen, wanted = (coefficients(Scattering(2, LINE, Q=Q)) for Q in ((4,), 4))
    assert torch.equal(seen, wanted)


@pytest.mark.parametrize("Q", [(), [1, 2, 3], np.array([1, 0]), np.float64(2), "11", (True, 1)])
def test_what_is_no_number_of_wavelets_is_named(Q):
    with pytest.raises(ValueError, match="Q must be an integer of at least 1"):
        Scattering(2, LINE, Q=Q)


def test_a_grid_may_be_a_range_of_numpy():
    X, y = np.random.default_rng(0).normal(size=(24, 32)), np.arange(24) % 2
    pipeline = make_pipeline(ScatteringTransformer(), LogisticRegression())
    grid = {
        "scatteringtransformer__Q": np.arange(1, 4),
        "scatteringtransformer__J": np.arange(1, 3),
        "scatteringtransformer__T": np.array([8]),
        "scatteringtransformer__max_order": np.arange(1, 3),
    }
    plain = {name: values.tolist() for name, values in grid.items()}
    seen, wanted = (
        GridSearchCV(pipeline, each, cv=2, error_score="raise").fit(X, y) for each in (grid, plain)
    )
    np.testing.assert_array_equal(
        seen.cv_results_["mean_test_score"], wanted.cv_results_["mean_test_score"]
    )


# --- what is shared and what is stored ------------------------------------------------------


def filters_that_are_shared():
    banks = [
        line_bank(64, 2, (1, 1), 4.0),
        plane_bank((16, 16), 2, 2),
        space_bank((8, 8, 8), 2, 2),
        sampled_bank((16, 16), 2, 2),
    ]
    wavelets = [wavelet for bank in banks for order in bank.psi for wavelet in order]
    for shape in ((64,), (16, 16), (8, 8, 8)):
        wavelets += scaled_wavelets(shape, 2, 1, (1.0, 1.5))
    yield from (level for bank in banks for level in bank.phi)
    yield from (level for wavelet in wavelets for level in wavelet.levels)
    yield angular_kernels(4, 2)


def test_shared_filters_are_read_only_and_keep_no_more_than_themselves():
    for filters in filters_that_are_shared():
        assert filters.flags.c_contiguous
        assert filters.base is None
        with pytest.raises(ValueError, match="read-only"):
            filters[...] = 0


@pytest.mark.parametrize(
    "module",
    [
        Scattering(2, (64, 64), L=4, learnable=True),
        WaveletModulus(2, (64, 64), L=4),
        WaveletModulus(2, (64, 64), L=4, average=False),
    ],
)
def test_pickles_hold_no_filters(module):
    stored = pickle.dumps(module)
    assert len(stored) < 6000
    for same in (pickle.loads(stored), copy.deepcopy(module)):
        assert torch.equal(coefficients(same), coefficients(module))
