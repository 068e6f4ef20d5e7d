"""Limited-data studies: the draws, what is on disk whenever a study stops, and the numbers."""

import errno
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstruct import RFNNClassifier, StructuredClassifier
from sklstruct.studies import format_summary, limited_data, paired_differences, summarise
from sklstruct.studies.draws import estimator_seed, stratified_order
from sklstruct.studies.limited_data import score
from sklstruct.studies.lock import locked

SIZES = [6, 12, 24]
TIMES = ["fit_seconds", "predict_seconds"]


class Witness(ClassifierMixin, BaseEstimator):
    """Writes down what it is given, predicts the first class, and goes off when told to."""

    def __init__(self, diary, name="a", random_state=None):
        self.diary = diary
        self.name = name
        self.random_state = random_state

    def fit(self, X, y):
        self._note("fit", X)
        if len(read_diary(self.diary, "fit")) > 4:
            self._go_off()
        self.classes_ = np.unique(y)
        return self

    def _go_off(self):
        bomb = Path(self.diary, "bomb")
        try:
            bomb.rename(bomb.with_name("spent"))
        except FileNotFoundError:
            return
        action = bomb.with_name("spent").read_text()
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt if action == "interrupt" else RuntimeError("no luck")

    def predict(self, X):
        self._note("predict", X)
        return np.full(len(X), self.classes_[0])

    def _note(self, event, X):
        ids = X[:, 0].astype(int).tolist()
        with open(Path(self.diary, "diary"), "a") as diary:
            diary.write(json.dumps([event, self.name, ids, self.random_state]) + "\n")


def read_diary(folder, event):
    lines = map(json.loads, Path(folder, "diary").read_text().splitlines())
    return [(name, ids, seed) for what, name, ids, seed in lines if what == event]


@pytest.fixture
def data():
    y = np.repeat(["x", "y", "z"], [20, 30, 40])
    return np.column_stack([np.arange(len(y)), np.sin(np.arange(len(y)))]), y


@pytest.fixture
def diary(tmp_path):
    folder = tmp_path / "diary"
    folder.mkdir()
    return folder


def study(diary, data, names="ab", **options):
    options = {"sizes": SIZES, "n_draws": 2, "progress": False, **options}
    return limited_data({name: Witness(str(diary), name) for name in names}, *data, **options)


# ---------------------------------------------------------------------------------- draws


@given(st.lists(st.integers(2, 30), min_size=2, max_size=6), st.integers(0, 99), st.data())
def test_heads_and_tails_of_the_order_are_stratified(counts, seed, data):
    classes = np.random.default_rng(seed).permutation(np.repeat(range(len(counts)), counts))
    order = stratified_order(classes, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(classes)))
    length = data.draw(st.integers(len(counts), len(classes)))
    for part in (order[:length], order[len(order) - length :]):
        found = np.bincount(classes[part], minlength=len(counts))
        assert found.min() >= 1
        shares = np.array(counts) / len(classes)
        assert np.all(np.abs(found - length * shares) <= 1 + len(counts) * shares)


def test_a_rare_class_is_in_every_head_and_tail():
    classes = np.repeat(range(3), [2, 50, 50])
    order = classes[stratified_order(classes, np.random.default_rng(0))]
    assert set(order[:3]) == set(order[-3:]) == {0, 1, 2}


def test_equal_classes_are_drawn_equally():
    classes = np.repeat(range(5), 12)
    order = stratified_order(classes, np.random.default_rng(0))
    for size in range(5, 60, 5):
        assert np.bincount(classes[order[:size]]).tolist() == [size // 5] * 5


def test_draws_are_the_same_for_all_nested_and_apart_from_the_test_samples(diary, data):
    study(diary, data)
    fits, tests = read_diary(diary, "fit"), read_diary(diary, "predict")
    assert fits[0::2] == [("a", ids, seed) for _, ids, seed in fits[1::2]]
    sets = [set(ids) for _, ids, _ in fits[::2]]
    assert [len(ids) for ids in sets] == SIZES * 2
    assert sets[0] < sets[1] < sets[2]
    assert not any(
        set(ids) & set(test) for (_, ids, _), (_, test, _) in zip(fits, tests, strict=True)
    )
    held_out = [tuple(test) for _, test, _ in tests]
    assert len(set(held_out[:6])) == len(set(held_out[6:])) == 1
    assert held_out[0] != held_out[6]
    assert len(held_out[0]) == 30
    assert sets[0] != sets[3]


def test_draws_do_not_depend_on_the_company(diary, data, tmp_path):
    study(diary, data)
    among_others = {(len(ids), seed): ids for _, ids, seed in read_diary(diary, "fit")}
    (tmp_path / "alone").mkdir()
    study(tmp_path / "alone", data, "b", sizes=[24, 7], n_draws=1)
    for _, ids, seed in read_diary(tmp_path / "alone", "fit"):
        assert len(ids) == 7 or among_others[24, seed] == ids


def test_given_test_samples_are_used_as_they_are(diary, data):
    X, y = data
    results = study(diary, data, X_test=X[5:9] + 1000, y_test=y[5:9], sizes=[len(y)])
    assert [ids for _, ids, _ in read_diary(diary, "predict")] == [[1005, 1006, 1007, 1008]] * 4
    assert set(results["n_test"]) == {4}


def test_every_random_state_is_set_to_the_seed_of_the_draw(diary, data):
    pipe = make_pipeline(StandardScaler(), Witness(str(diary)))
    results = limited_data({"p": pipe}, *data, sizes=[9], n_draws=3, random_state=4, progress=False)
    seeds = [estimator_seed(4, 9, draw) for draw in range(3)]
    assert [seed for *_, seed in read_diary(diary, "fit")] == seeds == results["seed"].tolist()
    assert len({*seeds}) == 3
    assert pipe[-1].random_state is None


def test_results_are_the_same_for_any_number_of_jobs(tmp_path):
    X, y = load_digits(return_X_y=True)
    estimators = {
        "forest": RandomForestClassifier(5),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    }
    options = {"sizes": [60, 20], "n_draws": 2, "progress": False}
    alone = limited_data(estimators, X[:400], y[:400], **options)
    together = limited_data(estimators, X[:400], y[:400], n_jobs=2, out=tmp_path, **options)
    pd.testing.assert_frame_equal(
        alone.drop(columns=TIMES), together.drop(columns=TIMES), check_exact=True
    )
    keys = list(together[["estimator", "size", "draw"]].itertuples(index=False, name=None))
    assert keys == [(e, s, d) for e in estimators for s in (20, 60) for d in (0, 1)]
    read = pd.read_csv(tmp_path / "results.csv")
    pd.testing.assert_frame_equal(
        read.drop(columns="n_parameters"), together.drop(columns="n_parameters")
    )


class Picky(ClassifierMixin, BaseEstimator):
    """Takes plain arrays that it may write to, and nothing else."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.predict(X)
        assert type(y) is np.ndarray
        return self

    def predict(self, X):
        assert type(X) is np.ndarray
        X += 1
        return np.full(len(X), self.classes_[0])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_estimators_get_plain_arrays_of_their_own(n_jobs):
    X = np.zeros((20, 10_000))  # large enough to come into a worker as a memory map
    y = np.arange(20) % 2
    limited_data(
        {"a": Picky(), "b": Picky()},
        X,
        y,
        X_test=X,
        y_test=y,
        sizes=[4, 20],
        n_draws=1,
        n_jobs=n_jobs,
        progress=False,
    )
    assert not X.any()


# ------------------------------------------------------------------------------- stopping


def interrupted(diary, data, out, action, **options):
    """Run a study that is stopped in its fifth fit."""
    (diary / "bomb").write_text(action)
    if action == "kill":
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=study, args=(diary, data), kwargs={"out": out, **options})
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        return None
    with pytest.raises(KeyboardInterrupt if action == "interrupt" else RuntimeError) as caught:
        study(diary, data, out=out, **options)
    return caught.value


def test_parameters_that_cannot_be_used_are_known_before_anything_is_fitted(diary, data):
    wrong = [
        (StructuredClassifier(architecture="rfn"), "Unknown architecture 'rfn'"),
        (make_pipeline(StandardScaler(), RFNNClassifier(frame="pixl")), "Unknown frame 'pixl'"),
        (RFNNClassifier(lr=-1), "lr of RFNNClassifier must be"),
    ]
    for estimator, message in wrong:
        estimators = {"a": Witness(str(diary)), "b": estimator}
        with pytest.raises(ValueError, match=message) as caught:
            limited_data(estimators, *data, sizes=[9], n_draws=1, progress=False)
        assert caught.value.__notes__ == ["Raised by the parameters of the estimator 'b'."]
        assert not (diary / "diary").exists()


def test_a_full_disk_is_named(diary, data, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*out/study\.json") as caught:
        study(diary, data, out=tmp_path / "out")
    assert caught.value.errno == errno.ENOSPC


def test_a_folder_has_one_study_at_a_time_and_says_whose(diary, data, tmp_path):
    holder = f"process {os.getpid()} on {re.escape(socket.gethostname())}, since 2"
    with locked(tmp_path), pytest.raises(ValueError, match=f"is in use by .* {holder}"):
        study(diary, data, out=tmp_path)
    assert not (diary / "diary").exists()
    assert len(study(diary, data, out=tmp_path)) == 12
    assert not (tmp_path / "study.lock").exists()


def test_a_dead_process_keeps_no_folder(diary, data, tmp_path):
    code = (
        "import os, signal, pathlib; from sklstruct.studies.lock import locked\n"
        f"with locked(pathlib.Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert (tmp_path / "study.lock").exists()
    assert len(study(diary, data, out=tmp_path)) == 12


@pytest.mark.parametrize("action", ["interrupt", "kill", "raise"])
def test_a_study_that_was_stopped_goes_on_and_repeats_nothing(action, diary, data, tmp_path):
    interrupted(diary, data, tmp_path / "out", action)
    before = pd.read_csv(tmp_path / "out" / "results.csv")
    assert len(before) == 4
    resumed = study(diary, data, out=tmp_path / "out")
    fits = read_diary(diary, "fit")
    assert len(fits) == 12 + 1  # the one that was stopped is begun again
    assert fits[4] == fits[5]
    kept = resumed.merge(before[["estimator", "size", "draw"]])
    pd.testing.assert_frame_equal(kept[TIMES], before[TIMES])  # not timed again either
    whole = study(diary, data)
    pd.testing.assert_frame_equal(
        resumed.drop(columns=TIMES), whole.drop(columns=TIMES), check_exact=True
    )
    assert sorted(os.listdir(tmp_path / "out")) == ["results.csv", "study.json"]
    again = study(diary, data, out=tmp_path / "out")
    pd.testing.assert_frame_equal(again, resumed, check_exact=True)
    assert len(read_diary(diary, "fit")) == 13 + 12


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_says_which_fit_it_comes_from(n_jobs, diary, data, tmp_path):
    error = interrupted(diary, data, tmp_path / "out", "raise", n_jobs=n_jobs)
    assert str(error) == "no luck"
    if n_jobs == 1:  # otherwise any of the first fits may be the fifth
        assert error.__notes__ == ["Raised by the estimator 'a' on 24 samples, draw 0."]
    assert "Raised by the estimator" in error.__notes__[0]
    n_kept = len(pd.read_csv(tmp_path / "out" / "results.csv"))
    n_begun = len(read_diary(diary, "fit"))
    study(diary, data, out=tmp_path / "out")
    assert len(read_diary(diary, "fit")) == n_begun + 12 - n_kept


def test_sizes_draws_and_estimators_can_be_added(diary, data, tmp_path):
    first = study(diary, data, "a", sizes=[6], n_draws=1, out=tmp_path / "out")
    more = study(diary, data, "ba", sizes=[12, 6], n_draws=2, out=tmp_path / "out")
    assert len(read_diary(diary, "fit")) == 8
    assert more["estimator"].tolist() == ["b"] * 4 + ["a"] * 4
    pd.testing.assert_frame_equal(more.iloc[[4]].reset_index(drop=True), first)
    again = study(diary, data, "a", sizes=[6], n_draws=1, out=tmp_path / "out")
    pd.testing.assert_frame_equal(again, first)
    table = pd.read_csv(tmp_path / "out" / "results.csv")
    assert table["estimator"].tolist() == ["a"] * 4 + ["b"] * 4  # nothing was lost
    described = json.loads((tmp_path / "out" / "study.json").read_text())
    assert (described["sizes"], described["n_draws"]) == ([6, 12], 2)
    assert list(described["estimators"]) == ["a", "b"]
    assert len(described["environments"]) == 1


def test_another_study_in_the_same_folder_is_refused(diary, data, tmp_path):
    out = tmp_path / "out"
    study(diary, data, sizes=[6], out=out)
    before = {file: file.read_bytes() for file in out.iterdir()}
    X, y = data
    changed = X.copy()
    changed[3, 1] += 1e-9
    with pytest.raises(ValueError, match=r"study\.json describes another .* data sha256 was"):
        study(diary, (changed, y), sizes=[6], out=out)
    with pytest.raises(ValueError, match="random_state was 0 and is 1"):
        study(diary, data, sizes=[6], out=out, random_state=1)
    with pytest.raises(ValueError, match="data n_test was 30 and is 10"):
        study(diary, data, sizes=[6], out=out, test_size=10)
    with pytest.raises(ValueError, match="name of estimator 'b' was 'b' and is 'c'"):
        limited_data({"b": Witness(str(diary), "c")}, X, y, sizes=[6], out=out, progress=False)
    with pytest.raises(ValueError, match=r"class of estimator 'b' was .*Witness and is .*Logistic"):
        limited_data({"b": LogisticRegression()}, X, y, sizes=[6], out=out, progress=False)
    assert {file: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text[:-3],
        lambda text: text + text.splitlines()[-1] + "\n",
        lambda text: text.replace("accuracy", "exactness"),
        lambda text: text.replace(",6,", ",six,"),
        lambda text: text.replace("b,", "q,"),
        lambda text: re.sub(r"^a,6,0,[^,]*", "a,6,0,nan", text, flags=re.MULTILINE),
        lambda text: re.sub(r"^a,6,0,[^,]*", "a,6,0,33.3", text, flags=re.MULTILINE),
        lambda text: "\0" * len(text),
    ],
)
def test_damaged_results_are_refused_and_left_alone(damage, diary, data, tmp_path):
    study(diary, data, sizes=[6], out=tmp_path / "out")
    file = tmp_path / "out" / "results.csv"
    file.write_text(damage(file.read_text()))
    before = file.read_text()
    with pytest.raises(ValueError, match=r"results\.csv is damaged"):
        study(diary, data, out=tmp_path / "out")
    assert file.read_text() == before


@pytest.mark.parametrize("text", ["", "[]", '{"data": {}}', '{"data": '])
def test_a_damaged_description_is_refused(text, diary, data, tmp_path):
    study(diary, data, sizes=[6], out=tmp_path / "out")
    (tmp_path / "out" / "study.json").write_text(text)
    with pytest.raises(ValueError, match=r"study\.json is damaged"):
        study(diary, data, out=tmp_path / "out")
    (tmp_path / "out" / "study.json").unlink()
    with pytest.raises(ValueError, match=r"results\.csv is there, but no study\.json"):
        study(diary, data, out=tmp_path / "out")


def test_labels_that_look_like_something_else_survive(diary, data, tmp_path):
    labels = ["NA", "1", 'a "b", c', "nan"]
    estimators = {label: Witness(str(diary), label) for label in labels}
    for _ in range(2):
        results = limited_data(
            estimators, *data, sizes=[6], n_draws=1, out=tmp_path / "out", progress=False
        )
        assert results["estimator"].tolist() == labels
    assert len(read_diary(diary, "fit")) == 4


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sizes": [61]}, r"sizes must be at most 60, got 61: there are 90 samples, of which 30"),
        ({"sizes": [2]}, "sizes must be at least 3, one sample a class, got 2"),
        ({"sizes": [6, 6]}, r"sizes must be numbers of samples, each once, got \[6, 6\]"),
        ({"sizes": []}, "sizes must be"),
        ({"sizes": [0.5]}, "sizes must be an instance of int"),
        ({"n_draws": 0}, "n_draws == 0, must be >= 1"),
        ({"random_state": -1}, "random_state == -1"),
        ({"random_state": None}, "random_state must be an instance"),
        ({"test_size": 2}, "test_size must leave at least 3 samples"),
        ({"test_size": 0.99}, "test_size must leave at least 3 samples"),
        ({"estimators": {}}, "estimators must be a dict"),
        ({"estimators": {1: LogisticRegression()}}, "labels of estimators must be strings, got 1"),
        ({"estimators": {"a": LogisticRegression}}, r"estimators\['a'\] must be an estimator"),
        ({"y": np.repeat(["x", "y", "z"], [1, 49, 40])}, r"got \{'x': 1, 'y': 49, 'z': 40\}"),
        ({"y": np.repeat("x", 90)}, "at least 2 classes"),
        ({"y": np.linspace(0, 1, 90)}, "Unknown label type"),
        ({"y": ["x", "y"]}, "X and y must agree, got 90 and 2 samples"),
        ({"X": np.full((90, 2), np.nan)}, "Input X contains NaN"),
        ({"X": np.zeros((0, 2))}, "0 sample"),
        ({"X_test": np.zeros((2, 2))}, "Give X_test and y_test together"),
        ({"X_test": np.zeros((2, 3)), "y_test": ["x", "y"]}, "X_test must have shape"),
        ({"X_test": np.zeros((2, 2)), "y_test": ["x", "q"]}, r"labels that y has not: \['q'\]"),
        ({"X_test": np.zeros((2, 2)), "y_test": ["x", "y"], "test_size": 3}, "no test_size"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_fitted(
    change, message, diary, data, tmp_path
):
    given = {"estimators": {"a": Witness(str(diary))}, "X": data[0], "y": data[1], "sizes": [6]}
    with pytest.raises((ValueError, TypeError), match=message):
        limited_data(**{**given, **change}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    assert not (diary / "diary").exists()


def test_an_unwritable_place_is_named_before_anything_is_fitted(diary, data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        study(diary, data, out=tmp_path / "file" / "out")
    assert not (diary / "diary").exists()


# -------------------------------------------------------------------------------- numbers


class Frequencies(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent class, with the frequencies as probabilities in float32."""

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.proba = (counts / len(y)).astype(np.float32)
        self.n_parameters_ = 3
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[self.proba.argmax()])

    def predict_proba(self, X):
        return np.tile(self.proba, (len(X), 1))


def test_the_scores_of_one_fit(data, diary):
    X, y = data
    results = limited_data(
        {"f": Frequencies(), "w": Witness(str(diary))},
        X,
        y,
        X_test=X[-5:],
        y_test=["x", "x", "y", "y", "y"],  # nothing of the class that is the most frequent
        sizes=[90],
        n_draws=1,
        progress=False,
    )
    frequencies, witness = results.to_dict("records")
    assert (frequencies["accuracy"], frequencies["balanced_accuracy"]) == (0, 0)
    expected = -(2 * np.log(20 / 90) + 3 * np.log(30 / 90)) / 5
    assert frequencies["log_loss"] == pytest.approx(expected, rel=1e-6)
    assert frequencies["n_parameters"] == 3
    assert (witness["accuracy"], witness["balanced_accuracy"]) == (0.4, 0.5)
    assert np.isnan(witness["log_loss"])
    assert pd.isna(results["n_parameters"]).tolist() == [False, True]
    assert set(results["n_test"]) == {5}


def test_classes_that_are_not_tested_do_not_count():
    model = Frequencies().fit(None, np.array(["x", "y", "z"]))  # a third each, inexact in float32
    scores = score(model, [0, 1, 2], ["x", "x", "y"], ["x", "z", "y"], model.classes_)
    assert scores["accuracy"] == 2 / 3
    assert scores["balanced_accuracy"] == (1 / 2 + 1) / 2
    assert scores["log_loss"] == pytest.approx(np.log(3), rel=1e-15)


def table(**accuracies):
    """Results with one size for each number of an estimator's list of lists."""
    rows = [
        {"estimator": name, "size": 10 * (s + 1), "draw": d, "n_test": 40, "accuracy": value}
        for name, sizes in accuracies.items()
        for s, draws in enumerate(sizes)
        for d, value in enumerate(draws)
    ]
    return pd.DataFrame(rows)


def test_summary():
    results = table(svm=[[0.5, 0.75, 1.0], [0.9]], cnn=[[0.25, 0.25]])
    summary = summarise(results)
    assert summary["estimator"].tolist() == ["svm", "svm", "cnn"]
    assert summary["size"].tolist() == [10, 20, 10]
    assert summary["mean"].tolist() == [0.75, 0.9, 0.25]
    np.testing.assert_array_equal(summary["std"], [0.25, np.nan, 0.0])
    assert summary["n_draws"].tolist() == [3, 1, 2]
    assert format_summary(results).splitlines() == [
        "              10    20",
        "svm  75.0 ± 25.0  90.0",
        "cnn   25.0 ± 0.0     -",
    ]
    as_loss = results.rename(columns={"accuracy": "log_loss"})
    assert format_summary(as_loss, "log_loss").splitlines()[1] == "svm  0.75 ± 0.25  0.9"


def test_summary_of_a_column_with_gaps():
    results = table(svm=[[0.5]], cnn=[[0.5]]).assign(n_parameters=pd.array([7, None], "Int64"))
    assert format_summary(results, "n_parameters").splitlines() == ["     10", "svm   7", "cnn   -"]


@pytest.mark.parametrize("use", [summarise, format_summary])
def test_what_is_not_in_the_results_is_refused(use):
    with pytest.raises(ValueError, match="rows and the columns speed"):
        use(table(svm=[[0.5]]), "speed")
    with pytest.raises(ValueError, match="got 0 rows"):
        use(table(svm=[[0.5]]).iloc[:0])


def test_paired_differences():
    results = table(svm=[[0.5, 0.6, 0.7], [0.9]], cnn=[[0.6, 0.6, 0.9, 0.1], [0.8]])
    result = paired_differences(results, "svm")  # 0.1, 0.0, 0.2: the fourth draw has no partner
    assert result[["estimator", "size", "n_draws"]].to_numpy().tolist() == [
        ["cnn", 10, 3],
        ["cnn", 20, 1],
    ]
    np.testing.assert_allclose(result["difference"], [0.1, -0.1])
    np.testing.assert_allclose(result["standard_error"], [0.1 / np.sqrt(3), np.nan])
    half = 4.302652729911275 * 0.1 / np.sqrt(3)  # t quantile 0.975 with 2 degrees of freedom
    np.testing.assert_allclose(result["low"], [0.1 - half, np.nan])
    np.testing.assert_allclose(result["high"], [0.1 + half, np.nan])
    corrected = paired_differences(results, "svm", corrected=True)
    np.testing.assert_allclose(corrected["standard_error"][0], 0.1 * np.sqrt(1 / 3 + 40 / 10))
    narrow = paired_differences(results, "svm", confidence=0.5)
    assert narrow["high"][0] < result["high"][0]
    assert paired_differences(results[results["estimator"] == "svm"], "svm").empty
    with pytest.raises(ValueError, match="one of the estimators 'svm', 'cnn', got 'rf'"):
        paired_differences(results, "rf")
    with pytest.raises(ValueError, match="confidence"):
        paired_differences(results, "svm", confidence=95)


def test_progress_is_on_standard_error_and_can_be_off(diary, data, capsys):
    study(diary, data, sizes=[6])
    assert capsys.readouterr() == ("", "")
    study(diary, data, sizes=[6], progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err
    assert err.count("/4") == 2  # the beginning and the end: a file is not flooded


def test_an_estimator_that_never_finished_binds_nobody(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    study = {"sizes": [6], "n_draws": 1, "out": tmp_path, "progress": False}
    limited_data({"good": LogisticRegression()}, X, y, **study)
    with pytest.raises(ValueError, match="parameter of LogisticRegression"):
        limited_data({"bad": LogisticRegression(C=-1.0)}, X, y, **study)
    limited_data({"bad": LogisticRegression(C=2.0)}, X, y, **study)
    with pytest.raises(ValueError, match="another study"):
        limited_data({"good": LogisticRegression(C=2.0)}, X, y, **study)
