"""Networks in pieces: what a prediction depends on, and what it does not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklstruct_rfnin.architecture import RFNiN
from sklstruct_rfnn.architecture import RFNN
from sklstruct_scattering.net import ScatteringNet
from threadpoolctl import threadpool_info, threadpool_limits

from sklstruct import (
    PCASVC,
    RFNNClassifier,
    ScatteringLinear,
    ScatteringPCAClassifier,
    VoxelRidge,
)
from sklstruct.layers.network import Linear
from sklstruct.threads import one_blas_thread
from sklstruct.training.prediction import run_in_pieces

# of the largest output: some units in the last place
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-14}
SHAPES = st.one_of(
    st.tuples(st.integers(1, 3), st.integers(4, 40)),
    st.tuples(st.integers(1, 3), st.integers(4, 13), st.integers(4, 13)),
    st.tuples(st.just(1), *[st.integers(4, 9)] * 3),
)
ARCHITECTURES = [
    Linear(),
    RFNN(widths=(5, 6)),
    RFNiN(widths=(5, 6)),
    ScatteringNet(J=1, L=2, width=5),
]


def limits():
    return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}


def predictions(network, X):
    return run_in_pieces(network, X, torch.from_numpy, "cpu", 1)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@given(SHAPES, st.integers(1, 75), st.sampled_from(ARCHITECTURES))
def test_a_sample_alone_is_predicted_as_among_others_but_for_rounding(
    dtype, shape, n, architecture
):
    torch.manual_seed(0)
    network = architecture.build(shape, 3).to(dtype).eval()
    X = torch.randn(n, *shape, dtype=dtype).numpy()
    together = predictions(network, X)
    np.testing.assert_array_equal(predictions(network, X), together)
    alone = np.concatenate([predictions(network, X[i : i + 1]) for i in {0, n // 2, n - 1}])
    wanted = together[list({0, n // 2, n - 1})]
    np.testing.assert_allclose(alone, wanted, rtol=0, atol=ROUNDING[dtype] * np.abs(together).max())


def test_autocast_around_a_prediction_does_not_change_it():
    X = np.random.default_rng(0).normal(size=(8, 9, 9))
    model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, [0, 1] * 4)
    wanted = model.predict_proba(X)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(model.predict_proba(X), wanted)


@pytest.mark.parametrize("cls", [ScatteringLinear, ScatteringPCAClassifier, VoxelRidge, PCASVC])
def test_threads_of_blas_change_no_bit(cls):
    X, y = load_digits(return_X_y=True)
    images, y = np.kron(X[:300].reshape(-1, 8, 8), np.ones((2, 2))) + 0.1, y[:300] % 2
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            model = cls(random_state=0).fit(images, y)
            values = getattr(model, "decision_function", model.predict)(images)
            assert limits() == {threads}  # as before
        found.append(values)
    np.testing.assert_array_equal(*found)


def test_threads_side_by_side_share_the_limit_of_blas():
    """The first one to come out does not end it, and the last one leaves what was before."""

    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            with one_blas_thread():
                assert limits() == {1}
            assert limits() == {1}
        assert limits() == {2}
