"""Volumes that are read batch by batch: the same bits, little memory, one thread that ends."""

import signal
import threading
import time
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from scipy.sparse import csr_array
from sklearn.model_selection import cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import nn

from sklstruct import (
    NiftiVolumes,
    RFNiNClassifier,
    RFNNClassifier,
    RFNNRegressor,
    StructuredClassifier,
)
from sklstruct.estimators.samples import is_lazy
from sklstruct.io.nifti import Grid
from sklstruct.io.nifti.file import write_volume
from sklstruct.training.rows import Unread, channel_scaling, one_ahead

SMALL = {"widths": (2, 2), "max_epochs": 2, "batch_size": 4, "random_state": 0}
Y = np.arange(12) % 2


def write_cohort(folder, n, shape):
    """Write so many bright boxes, every other one with a brighter corner, and return the paths."""
    rng, paths = np.random.default_rng(0), []
    for number in range(n):
        values = 10 + rng.normal(size=shape).astype(np.float32)
        values[:3, :3, :3] += 3 * (number % 2)
        paths.append(folder / f"sub-{number:02}_T1w.nii")
        write_volume(paths[-1], values, Grid(shape, np.eye(4)))
    return paths


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"), 12, (7, 9, 8))


@pytest.fixture(scope="module")
def lazy(paths):
    return NiftiVolumes(stream=True, scaling=None).fit_transform(paths)


@dataclass
class Counted:
    """The least that lazy samples must be: they count what is read, by which thread."""

    values: np.ndarray
    read: list = field(default_factory=list)
    threads: set = field(default_factory=set)

    def __post_init__(self):
        self.shape, self.ndim, self.dtype = self.values.shape, self.values.ndim, self.values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, number):
        self.read.append(number)
        self.threads.add(threading.current_thread())
        return self.values[number]


# the same results --------------------------------------------------------------------------------


def assert_same(first, second, X, other):
    np.testing.assert_array_equal((first.mean_, first.scale_), (second.mean_, second.scale_))
    np.testing.assert_array_equal(first._outputs(X), second._outputs(other))
    np.testing.assert_array_equal(first.transform(X), second.transform(other))
    assert first.loss_curve_ == second.loss_curve_


@pytest.mark.parametrize("cls", [RFNNClassifier, RFNNRegressor])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"augment": "natural"},
        {"early_stopping": True, "validation_fraction": 0.3},
        {"standardize": False, "dtype": "float64"},
        {"layout": "DHW", "image_shape": (7, 9, 8)},
        {"sample_weight": Y + np.arange(12) % 3},
        {"layout": "HWC"},
        {"X_val": 8},
    ],
    ids=lambda params: ",".join(params),
)
def test_streamed_training_is_training_in_memory(lazy, cls, params):
    fit_params = {key: value for key, value in params.items() if key in ("sample_weight", "X_val")}
    own = {key: value for key, value in params.items() if key not in fit_params}
    models = []
    for X in (lazy, np.asarray(lazy)):
        if "X_val" in params:
            fit_params = {"X_val": X[np.arange(8, 12)], "y_val": Y[8:]}
        models.append(cls(**SMALL | own).fit(X, Y, **fit_params))
    assert_same(*models, lazy, np.asarray(lazy))


def test_streamed_training_goes_on_as_in_memory(lazy):
    models = RFNNClassifier(**SMALL, warm_start=True), RFNNClassifier(**SMALL, warm_start=True)
    for model, X in zip(models, (lazy, np.asarray(lazy)), strict=True):
        model.partial_fit(X[np.arange(8)], Y[:8], classes=[0, 1]).partial_fit(X, Y).fit(X, Y)
    assert_same(*models, lazy, np.asarray(lazy))


def test_pipelines_stream_to_the_same_bits_in_threads_too(paths, tmp_path):
    def probabilities(stream, n_jobs):
        volumes = NiftiVolumes(mask="brain", stream=stream, cache_dir=tmp_path)
        model = make_pipeline(volumes, RFNiNClassifier(max_epochs=2, random_state=0))
        params = {"cv": 2, "method": "predict_proba", "n_jobs": n_jobs}
        with parallel_config(backend="threading"):
            return cross_val_predict(model, np.array(paths), Y, **params)

    expected = probabilities(stream=False, n_jobs=1)
    for n_jobs in (1, 2):
        np.testing.assert_array_equal(probabilities(stream=True, n_jobs=n_jobs), expected)


def test_lazy_volumes_are_cross_validated_themselves(lazy):
    model = RFNNClassifier(**SMALL)
    results = [
        cross_validate(model, X, Y, cv=3, scoring="neg_log_loss", error_score="raise")
        for X in (lazy, np.asarray(lazy))
    ]
    np.testing.assert_array_equal(*(result["test_score"] for result in results))


def test_the_scaling_does_not_depend_on_where_the_samples_lie():
    X = np.random.default_rng(0).gamma(2, size=(30, 2, 13, 11)).astype(np.float32)
    mean, scale = channel_scaling(X, np.arange(len(X)), None)
    np.testing.assert_allclose(mean, X.mean((0, 2, 3), dtype=float), rtol=1e-12)
    np.testing.assert_allclose(scale, X.std((0, 2, 3), dtype=float), rtol=1e-12)
    order = np.arange(30)[::-1]
    unread = Unread(X[order].__getitem__, order, X.shape[1:], "float32")
    for other in (np.asfortranarray(X), unread):
        np.testing.assert_array_equal(
            channel_scaling(other, np.arange(len(X)), None), (mean, scale)
        )


# what is read, and when --------------------------------------------------------------------------


def test_every_epoch_reads_every_sample_once_by_one_other_thread(lazy):
    X = Counted(np.asarray(lazy))
    weight = np.arange(12) != 5
    model = RFNNClassifier(**SMALL).fit(X, Y, sample_weight=weight)
    passes = 2 + SMALL["max_epochs"]  # mean, deviation, epochs
    expected = passes * (np.arange(12) != 5)
    np.testing.assert_array_equal(np.bincount(X.read, minlength=12), expected)
    assert len(X.threads) == 1 + SMALL["max_epochs"] * 3
    X.read.clear()
    model.predict(X)
    assert X.read == list(range(12))


def test_one_is_computed_ahead_and_one_only():
    begun, ended, used = [], [], []

    def call(key):
        assert len(begun) == len(ended)  # no other one is under way
        begun.append(key)
        time.sleep(0.005)
        ended.append(key)
        return key

    for value in one_ahead(call, iter(range(5))):
        used.append(value)
        for thread in readers():
            thread.join()
        assert len(begun) == min(value + 2, 5)
    assert used == list(range(5))
    assert list(one_ahead(call, [])) == []


def readers():
    return [each for each in threading.enumerate() if "read-ahead" in each.name]


class Broken(nn.Module):
    """A network that fails in the second batch."""

    def __init__(self, in_shape, n_outputs, error):
        super().__init__()
        self.head, self.error, self.calls = nn.Linear(int(np.prod(in_shape)), n_outputs), error, 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 2:
            raise self.error
        return self.head(x.flatten(1))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more")], ids=repr)
def test_the_thread_ends_with_a_training_that_fails(lazy, error):
    X = Counted(np.asarray(lazy))
    model = StructuredClassifier(
        architecture=lambda *shapes: Broken(*shapes, error), batch_size=2, standardize=False
    )
    with pytest.raises(type(error)):
        model.fit(X, Y)
    for thread in readers():
        thread.join(timeout=10)
    assert not readers()
    assert len(X.read) == 6  # two batches and the one ahead


@pytest.fixture
def hears_signals():
    """Let SIGINT raise KeyboardInterrupt, also where tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears_signals")
def test_ctrl_c_is_heard_while_a_batch_is_awaited(lazy):
    class Slow(Counted):
        goes_on = threading.Event()

        def __getitem__(self, number):
            if len(self.read) == 5:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                assert self.goes_on.wait(10)
            return super().__getitem__(number)

    model = RFNNClassifier(**SMALL, standardize=False)
    with pytest.raises(KeyboardInterrupt):
        model.fit(Slow(np.asarray(lazy)), Y)
    assert not hasattr(model, "loss_curve_")
    Slow.goes_on.set()
    for thread in readers():
        thread.join(timeout=10)
    assert not readers()


# memory ------------------------------------------------------------------------------------------


def pooled(in_shape, n_outputs):
    """Return the least of networks: what takes memory beside it is the way of the data."""
    return nn.Sequential(nn.AvgPool3d(10), nn.Flatten(), nn.Linear(64, n_outputs))


@pytest.mark.parametrize("stream, most", [(False, 1.3), (True, 0.3)])
def test_the_cohort_is_held_once_or_not_at_all(tmp_path, stream, most):
    paths = np.array(write_cohort(tmp_path, 48, (40, 40, 40)))
    y = np.arange(48) // 2 % 2
    network = StructuredClassifier(
        architecture=pooled, max_epochs=2, batch_size=2, early_stopping=True, random_state=0
    )
    model = make_pipeline(NiftiVolumes(stream=stream), network)
    model.fit(paths[:8], y[:8])
    cohort = 48 * 4 * 40**3
    tracemalloc.start()
    model.fit(paths, y, structuredclassifier__sample_weight=np.arange(48) > 3)
    in_fit = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    model.predict(paths)
    in_predict = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert in_fit < most * cohort
    assert in_predict < most * cohort


# what is refused ---------------------------------------------------------------------------------


def test_what_is_in_memory_is_not_lazy(lazy):
    X = np.zeros((3, 2, 2))
    others = X, torch.zeros(3, 2, 2), X.tolist(), pd.DataFrame(X[0]), pd.Series(X[0, 0])
    assert not any(map(is_lazy, (*others, csr_array(X[0]))))
    assert is_lazy(lazy)
    assert is_lazy(Counted(X))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda values: np.where(np.arange(12) == 5, np.nan, values.T).T, r"X\[5\] contains NaN"),
        (lambda values: values[:1], "minimum of 2"),
        (lambda values: values[:9], "inconsistent"),
    ],
)
def test_lazy_samples_are_checked_when_they_are_read(lazy, change, message):
    values = change(np.asarray(lazy))
    y = Y if len(values) > 1 else Y[:1]
    for params in ({}, {"standardize": False}):
        with pytest.raises(ValueError, match=message):
            RFNNClassifier(**SMALL | params).fit(Counted(values), y)


def test_a_sample_of_another_shape_is_named(lazy):
    X = Counted(np.asarray(lazy))
    X.shape = (12, 7, 9, 9)
    with pytest.raises(ValueError, match=r"X\[0\].*\(7, 9, 9\).*\(7, 9, 8\)"):
        RFNNClassifier(**SMALL).fit(X, Y)
    model = RFNNClassifier(**SMALL).fit(lazy, Y)
    with pytest.raises(ValueError, match=r"\(7, 9, 9\)"):
        model.predict(X)


def test_a_file_that_goes_away_during_the_training_is_named(tmp_path):
    paths = write_cohort(tmp_path, 12, (7, 9, 8))

    class Remove(Callback):
        def on_epoch_end(self, net, **kwargs):
            paths[7].unlink()

    model = make_pipeline(NiftiVolumes(stream=True), RFNNClassifier(**SMALL, callbacks=[Remove()]))
    with pytest.raises(FileNotFoundError, match="sub-07"):
        model.fit(paths, Y)
    assert not hasattr(model[-1], "loss_curve_")
