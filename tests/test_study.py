"""Studies: who is on which side, what is on disk whenever a study stops, and errors."""

import errno
import json
import multiprocessing
import os
import pickle
import runpy
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sklstruct import RFNNClassifier, StructuredClassifier, StructuredMapClassifier
from sklstruct.datasets import simulate_cohort
from sklstruct.io.leakage import check_leakage
from sklstruct.io.nifti.estimator import NiftiVolumes
from sklstruct.studies import (
    Draws,
    FixedSplit,
    HoldOuts,
    KFold,
    LeaveSiteOut,
    Results,
    Study,
    cohort_study,
    find_leaks,
    limited_data,
    subject_splits,
)
from sklstruct.studies import study as studying
from sklstruct.studies.splits import estimator_seed, stratified_order
from sklstruct.studies.store import FolderStore

TIMES = ["fit_seconds", "predict_seconds"]
DESIGNS = [
    Draws([6, 12, 24], 2),
    HoldOuts(4),
    LeaveSiteOut(3),
    KFold(3, 2),
    FixedSplit(range(0, 60, 2), 3),
]


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


class Loud(ClassifierMixin, BaseEstimator):
    """Gives wrong scores or labels."""

    def __init__(self, scores=None, label=None):
        self.scores = scores
        self.label = label

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0] if self.label is None else self.label)

    def decision_function(self, X):
        return np.tile(self.scores, (len(X), 1)).squeeze()


class Proud(ClassifierMixin, BaseEstimator):
    """Gives wrong probabilities, and perhaps a wrong number of labels."""

    def __init__(self, probabilities, n=None):
        self.probabilities = probabilities
        self.n = n

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(self.n or len(X), self.classes_[0])

    def predict_proba(self, X):
        return np.repeat(self.probabilities, len(X), axis=0)


def read_diary(folder, event):
    path = Path(folder, "diary")
    lines = map(json.loads, path.read_text().splitlines() if path.exists() else [])
    return [(name, ids, seed) for what, name, ids, seed in lines if what == event]


@pytest.fixture
def diary(tmp_path):
    folder = tmp_path / "diary"
    folder.mkdir()
    return str(folder)


def data(n_subjects=30, n_classes=3, scans=3):
    """Rows with their number first; subjects of one class are alike, their scans more so."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"sub-{n:02}" for n in range(n_subjects)], scans)
    labels = np.repeat(np.arange(n_subjects) % n_classes, scans)
    of_subject = np.repeat(rng.normal(size=(n_subjects, 3)), scans, axis=0) + labels[:, None]
    values = of_subject + 0.1 * rng.normal(size=of_subject.shape)
    return np.column_stack([np.arange(len(values)), values]), np.array(list("acb"))[labels], groups


SITES = np.repeat(["north", "south", "west"], 30)


def study(diary, design=DESIGNS[0], names="ab", *, grouped=False, random_state=0, **options):
    X, y, groups = data()
    estimators = {name: Witness(diary, name) for name in names}
    known = {"groups": groups} if grouped else {}
    known |= {"sites": SITES} if isinstance(design, LeaveSiteOut) else {}
    options = {"progress": False, **known, **options}
    return Study(design, estimators, random_state=random_state).run(X, y, **options)


def assert_same(results, expected, times=TIMES):
    """All but the times are exactly the same."""
    one, other = (r.fits.drop(columns=times) for r in (results, expected))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    pd.testing.assert_frame_equal(results.predictions, expected.predictions, check_exact=True)
    assert results.classes.tolist() == expected.classes.tolist()


def contents(folder):
    return {file: file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


# ---------------------------------------------------------------------- who is on which side


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


def test_equal_classes_are_drawn_equally():
    classes = np.repeat(range(5), 12)
    order = stratified_order(classes, np.random.default_rng(0))
    for size in range(5, 60, 5):
        assert np.bincount(classes[order[:size]]).tolist() == [size // 5] * 5


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: type(design).__name__)
def test_all_estimators_see_the_same_sides_and_they_are_apart(design, grouped, diary):
    _, y, groups = data()
    if grouped and isinstance(design, FixedSplit):
        design = FixedSplit(np.isin(groups, groups[::6]), 2)
    results = study(diary, design, grouped=grouped)
    fits, tests = read_diary(diary, "fit"), read_diary(diary, "predict")
    assert fits[0::2] == [("a", ids, seed) for _, ids, seed in fits[1::2]]
    assert len(fits) == len(tests) == len(results)
    for (_, train, _), (_, test, _) in zip(fits, tests, strict=True):
        assert not {*train} & {*test}
        assert {*y[train]} == {*y[test]} == {*"abc"}
        assert not (grouped and {*groups[train]} & {*groups[test]})
    by_fit = results.predictions.groupby(["estimator", *results.key_columns])["sample"]
    tested = {frozenset(map(int, part)) for _, part in by_fit}
    assert tested == {frozenset(test) for _, test, _ in tests}
    labels = y[results.predictions["sample"].astype(int)]
    assert results.predictions["label"].tolist() == labels.tolist()
    if grouped:
        subjects = groups[results.predictions["sample"].astype(int)]
        assert results.predictions["subject"].tolist() == subjects.tolist()
    assert results["n_train"].tolist() == [len(ids) for ids in in_order(results, fits)]
    assert results["n_test"].tolist() == [len(ids) for ids in in_order(results, tests)]


def in_order(results, notes):
    """What was noted in the order of the table, which is by estimator."""
    ids = {name: iter([i for n, i, _ in notes if n == name]) for name in "ab"}
    seeds = {name: {s: i for n, i, s in notes if n == name} for name in "ab"}
    del ids
    return [seeds[row.estimator][row.seed] for row in results.itertuples()]


def test_draws_are_nested_and_share_their_test_samples(diary):
    study(diary, names="a")
    sets = [set(ids) for _, ids, _ in read_diary(diary, "fit")]
    assert [len(ids) for ids in sets] == [6, 12, 24] * 2
    assert sets[0] < sets[1] < sets[2]
    held_out = [tuple(test) for _, test, _ in read_diary(diary, "predict")]
    assert len({*held_out[:3]}) == len({*held_out[3:]}) == 1
    assert held_out[0] != held_out[3]
    assert sets[0] != sets[3]


@pytest.mark.parametrize(
    "alone, together",
    [(Draws([24, 7], 1), Draws([6, 24], 3)), (HoldOuts(1), HoldOuts(3)), (KFold(3), KFold(3, 2))],
    ids=lambda design: type(design).__name__,
)
def test_splits_and_seeds_do_not_depend_on_the_company(alone, together, diary, tmp_path):
    study(diary, together, random_state=4)
    among_others = {seed: ids for _, ids, seed in read_diary(diary, "fit")}
    (tmp_path / "alone").mkdir()
    study(str(tmp_path / "alone"), alone, "b", random_state=4)
    shared = [
        (ids, among_others[seed])
        for _, ids, seed in read_diary(tmp_path / "alone", "fit")
        if seed in among_others
    ]
    assert shared
    assert all(ids == others for ids, others in shared)


def test_hold_outs_are_those_of_subject_splits(diary):
    _, y, groups = data()
    study(diary, HoldOuts(3, 0.3), "a", grouped=True)
    splits = subject_splits(y, groups, n_repeats=3, test_size=0.3)
    for (_, fitted, _), (train, _) in zip(read_diary(diary, "fit"), splits, strict=True):
        assert fitted == train.tolist()


def test_sites_are_left_out_one_after_the_other(diary):
    results = study(diary, LeaveSiteOut(), "a", grouped=True)
    assert sorted(results["held_out_site"]) == ["north", "south", "west"]
    for repeat, part in results.predictions.groupby("repeat"):
        assert {*SITES[part["sample"].astype(int)]} == {results["held_out_site"][repeat]}
    with pytest.raises(ValueError, match="for each of 4 repeats"):
        study(diary, LeaveSiteOut(4))
    with pytest.raises(ValueError, match="sites must have a value for each sample"):
        Study(LeaveSiteOut(), {"a": SVC()}).run(*data()[:2])


def test_sites_need_not_have_all_values():
    X, _, _ = data()
    sites = np.repeat(["north", "south", "west"], [44, 44, 2])
    results = Study(LeaveSiteOut(), {"ridge": Ridge()}).run(X, X[:, 1], sites=sites, progress=False)
    assert sorted(results["n_test"]) == [2, 44, 44]
    splits = subject_splits(X[:, 1], np.arange(90), sites=sites, n_repeats=3)
    assert sorted(len(test) for _, test in splits) == [2, 44, 44]
    few = Draws([1], 2, test_size=1)
    assert Study(few, {"ridge": Ridge()}).run(X, X[:, 1], progress=False)["n_test"].tolist() == [
        1,
        1,
    ]


def test_a_class_that_few_groups_have_is_on_the_side_to_learn_from():
    X, _, _ = data()
    y, groups = np.repeat([0, 1, 2], [40, 40, 10]), np.repeat(range(18), 5)
    groups[80:] = np.repeat([0, 8], 5)  # whose other samples are of other classes
    with pytest.raises(ValueError, match=r"The training part of draw \d+ lacks a class"):
        Study(Draws([6], 20), {"svm": SVC()}).run(X, y, groups, progress=False)


def test_given_test_samples_are_used_as_they_are(diary):
    X, y, _ = data()
    for design in (Draws([len(y)], 2), FixedSplit(n_runs=2)):
        results = study(diary, design, "a", X_test=X[5:9] + 1000, y_test=y[5:9], sites=SITES)
        assert [*results["held_out_site"]] == [""] * 2  # as the sites are those of X
        assert [*results["n_test"]] == [4] * 2
        assert results.predictions["sample"].tolist() == ["0", "1", "2", "3"] * 2
    tested = [ids for _, ids, _ in read_diary(diary, "predict")]
    assert tested == [[1005, 1006, 1007, 1008]] * 4
    with pytest.raises(ValueError, match="HoldOuts takes no X_test"):
        study(diary, HoldOuts(2), X_test=X[:4], y_test=y[:4])


def test_every_random_state_is_set_to_the_seed_of_the_draw(diary):
    pipe = make_pipeline(StandardScaler(with_mean=False, with_std=False), Witness(diary))
    X, y, _ = data()
    results = limited_data({"p": pipe}, X, y, sizes=[9], n_draws=3, random_state=4, progress=False)
    seeds = [estimator_seed(4, 9, draw) for draw in range(3)]
    assert [seed for *_, seed in read_diary(diary, "fit")] == seeds == results["seed"].tolist()
    assert len({*seeds}) == 3
    assert pipe[-1].random_state is None


class Torn(LogisticRegression):
    """Writes down the rows that it is fitted on."""

    def __init__(self, diary=None):
        super().__init__()
        self.diary = diary

    def fit(self, X, y):
        with open(Path(self.diary, "diary"), "a") as diary:
            diary.write(json.dumps(["fit", "a", X[:, 0].astype(int).tolist(), None]) + "\n")
        return super().fit(X[:, 1:], y)

    def predict(self, X):
        return super().predict(X[:, 1:])

    def predict_proba(self, X):
        return super().predict_proba(X[:, 1:])


def test_a_search_by_groups_keeps_subjects_together_within_the_training_part(diary):
    X, y, groups = data()
    search = GridSearchCV(Torn(diary), {"diary": [diary]}, cv=StratifiedGroupKFold(2))
    models = {"plain": search, "in a pipeline": make_pipeline(FunctionTransformer(), search)}
    cohort_study(models, X, y, groups, n_repeats=2, progress=False)
    fits = [set(groups[rows]) for _, rows, _ in read_diary(diary, "fit")]
    assert len(fits) == 3 * 4
    for first, second, both in zip(fits[::3], fits[1::3], fits[2::3], strict=True):
        assert not first & second
        assert first | second == both


def test_random_labels_give_chance_where_a_split_of_scans_cheats():
    rng = np.random.default_rng(0)
    n_subjects = 400
    groups = np.repeat(np.arange(n_subjects), 3)
    X = rng.normal(size=(n_subjects, 4))[groups] + 1e-3 * rng.normal(size=(len(groups), 4))
    y = rng.integers(2, size=n_subjects)[groups]
    nearest = KNeighborsClassifier(1)
    naive = ShuffleSplit(5, test_size=0.25, random_state=0)
    assert cross_val_score(nearest, X, y, cv=naive, scoring="balanced_accuracy").mean() > 0.95
    results = cohort_study({"nearest": nearest}, X, y, groups, progress=False)
    # The mean is a sum over pairs of a tested subject s and its neighbour t of w_st [y_s = y_t].
    # With fair labels its variance is sum (w_st + w_ts)^2 / 4 over pairs, at most half the sum
    # of the squares of what each subject weighs.
    shares = results.predictions["subject"].value_counts(normalize=True)
    deviation = np.sqrt((shares**2).sum() / 2)
    assert abs(results["balanced_accuracy"].mean() - 0.5) < 4 * deviation < 0.2


def test_a_search_that_parts_scans_of_a_subject_is_warned_of():
    X, y, groups = data()
    X = X[:, 1:]
    search = GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=3)
    options = {"n_repeats": 1, "progress": False}
    for estimator in (search, make_pipeline(StandardScaler(), search)):
        with pytest.warns(UserWarning, match="'a' splits the samples of a subject .* cv=3"):
            cohort_study({"a": estimator}, X, y, groups, **options)
    machine = CalibratedClassifierCV(LogisticRegression(), cv=2)  # whom the search gives no groups
    search = GridSearchCV(machine, {"estimator__C": [1, 2]}, cv=StratifiedGroupKFold(2))
    with pytest.warns(UserWarning, match="samples of a subject .* cv=2 of CalibratedClassifierCV"):
        cohort_study({"a": search}, X, y, groups, **options)
    cohort_study({"a": search}, X, y, np.arange(90), **options)  # one scan each: nothing to part


class Leaking(KNeighborsClassifier):
    """Remembers what it was ever fitted on, whatever it is fitted on now."""

    seen = []  # noqa: RUF012

    def fit(self, X, y):
        self.seen.append((X, y))
        return super().fit(*(np.concatenate(part) for part in zip(*self.seen, strict=True)))


def test_an_estimator_that_remembers_other_fits_is_caught():
    X, _, groups = data()
    y = np.random.default_rng(0).permutation(np.repeat([0, 1], 45))  # nothing to be learned
    models = {"fair": KNeighborsClassifier(1), "leaking": Leaking(1)}
    results = Study(KFold(3), models).run(X[:, 1:], y, progress=False)
    assert results.groupby("estimator")["accuracy"].max()["leaking"] == 1  # it looks excellent
    found = find_leaks(models, X[:, 1:], y, groups)
    assert found["leaks"].tolist() == [False, True]


# ---------------------------------------------------------------------------------- tables


def test_results_are_a_table_that_knows_more(diary, tmp_path):
    results = study(diary, out=tmp_path)
    assert isinstance(results, pd.DataFrame)
    part = results[results["size"] == 6]
    assert type(part) is type(results.fits) is pd.DataFrame
    again = pickle.loads(pickle.dumps(results))
    assert_same(again, results)
    parts = {condition["size"]: part for condition, part in results.parts()}
    assert [*parts] == [6, 12, 24]
    assert len(parts[12]) == len(results) / 3
    assert {*parts[12].predictions["size"]} == {*parts[12].provenance["size"]} == {12}
    read = pd.read_csv(tmp_path / "results.csv")
    pd.testing.assert_frame_equal(
        read[["estimator", "size", "draw", "accuracy", "seed"]],
        results.fits[["estimator", "size", "draw", "accuracy", "seed"]],
        check_exact=True,
    )
    assert len(pd.read_csv(tmp_path / "provenance.csv")) == len(results)
    assert results.provenance["versions.numpy"].tolist() == [np.__version__] * len(results)
    assert (results.provenance["peak_memory_mb"] > 10).all()


@pytest.mark.parametrize(
    "labels", [["NA", "1", 'a "b", c'], ["no", "yes"], [False, True], [3, 1, 2], [0.0, 1.0]]
)
def test_what_is_read_is_what_was_computed(labels, tmp_path):
    X, y, groups = data(18, len(labels))
    y = np.array(labels)[np.searchsorted(np.unique(y), y)]
    estimators = {"NA": LogisticRegression(), 'x,"y"': SVC(), "nan": Witness(str(tmp_path))}
    left_out = pd.DataFrame({"subject": ["s", None], "file": ["f,g", "h"], "problem": ["p", "q"]})
    options = {"left_out": left_out, "target": "sex", "n_repeats": 2, "progress": False}
    results = cohort_study(estimators, X[:, 1:], y, groups, out=tmp_path / "out", **options)
    read = Results.read(tmp_path / "out")
    assert_same(read, results)
    pd.testing.assert_frame_equal(read, results, check_exact=True)
    assert read.description == results.description
    assert read.left_out.to_numpy().tolist() == [["s", "f,g", "p"], ["", "h", "q"]]
    assert results.classes.tolist() == read.classes.tolist() == sorted(labels)
    assert read.classes.dtype == results.classes.dtype
    assert results.predictions["label"].isin(labels).all()
    assert results.estimators == [*estimators]
    assert sorted(os.listdir(tmp_path / "out")) == [
        *("cells", "leases", "left_out.csv", "predictions.csv", "provenance.csv"),
        *("results.csv", "runs", "samples.csv"),
    ]
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == len(results.predictions)


@pytest.mark.parametrize("kind", [list, pd.DataFrame])
def test_samples_may_be_of_any_kind(kind):
    X, y, groups = data()
    options = {"n_repeats": 2, "progress": False}
    expected = cohort_study({"svm": SVC()}, X, y, groups, **options)
    assert_same(
        cohort_study({"svm": SVC()}, kind(X), list(y), pd.Series(groups), **options), expected
    )


@pytest.mark.parametrize("kind", [csc_array, coo_array])
def test_samples_may_be_sparse(kind):
    X, y, _ = data()
    study = Study(KFold(3), {"svm": SVC(kernel="linear")})
    expected = study.run(X, y, progress=False)["accuracy"]
    assert study.run(kind(X), y, progress=False)["accuracy"].tolist() == expected.tolist()


def test_maps_may_be_tensors():
    images = np.random.default_rng(0).normal(size=(6, 8, 9)).astype(np.float32)
    maps, of_several = (images > 0).astype(int), [8, 7] * 3
    study = Study(KFold(2), {"maps": StructuredMapClassifier(max_epochs=1)})
    for kind in (list, lambda parts: [part[:n] for part, n in zip(parts, of_several, strict=True)]):
        expected = study.run(kind(images), kind(maps), progress=False)
        X, y = kind(torch.tensor(images)), kind(torch.tensor(maps))
        assert_same(study.run(X, y, progress=False), expected)
    assert_same(
        study.run(*map(torch.tensor, (images, maps)), progress=False),
        study.run(images, maps, progress=False),
    )


class OfMeans(KNeighborsClassifier):
    """Knows images of any sizes by their means."""

    def fit(self, X, y):
        return super().fit(np.array([[image.mean()] for image in X]), y)

    def predict_proba(self, X):
        return super().predict_proba(np.array([[image.mean()] for image in X]))

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_images_may_be_of_several_sizes(tmp_path):
    images = [np.full((2 + number % 3, 4), number % 2) + 0.01 * number for number in range(12)]
    in_one_array = np.empty(12, object)
    in_one_array[:] = images
    study = Study(FixedSplit(), {"means": OfMeans(1)})
    test = {"X_test": images[:6:3], "y_test": [0, 1]}  # which are of one size
    for X in (images, in_one_array):
        results = study.run(X, np.arange(12) % 2, **test, out=tmp_path / "out", progress=False)
        assert results["accuracy"].tolist() == [1]
    with pytest.raises(
        ValueError, match=r"X_test must have shape \(n, 3\), as X has, got \(2, 2, 4\)"
    ):
        study.run(np.zeros((12, 3)), np.arange(12) % 2, X_test=images[:6:3], y_test=[0, 1])


def test_names_of_columns_are_data_too(tmp_path):
    X, y, _ = data()
    study = Study(KFold(3), {"svm": SVC()})
    study.run(pd.DataFrame(X, columns=list("pqrs")), y, out=tmp_path, progress=False)
    with pytest.raises(ValueError, match="another study: data sha256"):
        study.run(pd.DataFrame(X, columns=list("qprs")), y, out=tmp_path, progress=False)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_splits_of_a_search_are_drawn_by_the_seed_of_the_fit(n_jobs):
    X, y, _ = data()
    splits = StratifiedKFold(3, shuffle=True)
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": np.arange(1, 20)}, cv=splits)
    study = Study(KFold(3, 3), {"search": search})
    once, again = (study.run(X, y, n_jobs=n_jobs, progress=False) for _ in range(2))
    assert_same(once, again, [*TIMES, "search_seconds"])
    assert splits.random_state is None
    assert all(type(json.loads(text)["n_neighbors"]) is int for text in once["chosen"])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_probabilities_or_decision_values(n_classes):
    X, y, groups = data(18, n_classes)
    X = X[:, 1:]
    groups = np.array([int(name[4:]) for name in groups])
    estimators = {"lr": LogisticRegression(), "svm": SVC()}
    results = cohort_study(estimators, X, y, groups, n_repeats=1, progress=False)
    ((train, test),) = subject_splits(y, groups, n_repeats=1)
    columns = [f"score:{label}" for label in "abc" if label in y]
    scores = {label: part[columns] for label, part in results.predictions.groupby("estimator")}
    proba = LogisticRegression().fit(X[train], y[train]).predict_proba(X[test])
    np.testing.assert_allclose(scores["lr"], proba, rtol=1e-6)
    values = SVC().fit(X[train], y[train]).decision_function(X[test])
    expected = np.column_stack([-values, values]) if n_classes == 2 else values
    np.testing.assert_allclose(scores["svm"], expected, rtol=1e-6)
    assert results.predictions["subject"].tolist() == groups[test].astype(str).tolist() * 2


def test_the_positive_class_is_the_one_that_is_named(tmp_path):
    X, y, groups = data(12, 2)
    options = {"n_repeats": 3, "progress": False}
    last = cohort_study({"svm": SVC()}, X, y, groups, **options)
    results = cohort_study({"svm": SVC()}, X, y, groups, positive="a", out=tmp_path, **options)
    assert last.classes.tolist() == ["a", "c"]
    assert results.classes.tolist() == Results.read(tmp_path).classes.tolist() == ["c", "a"]
    np.testing.assert_array_equal(last["sensitivity"], results["specificity"])
    recall = results.predictions.query("label == 'a' and repeat == 0").eval("label == predicted")
    assert results["sensitivity"][0] == recall.mean()
    np.testing.assert_allclose(last["auc"], results["auc"], rtol=1e-12)
    with pytest.raises(ValueError, match="positive must be one of two classes, got 'b' of"):
        cohort_study({"svm": SVC()}, X, y, groups, positive="b", **options)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_results_are_the_same_for_any_number_of_jobs(backend, tmp_path):
    X, y = load_digits(return_X_y=True)
    estimators = {
        "forest": RandomForestClassifier(5),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    }
    study, options = Study(Draws([60, 20], 2), estimators), {"progress": False}
    alone = study.run(X[:400], y[:400], **options)
    together = study.run(X[:400], y[:400], n_jobs=2, backend=backend, out=tmp_path, **options)
    assert_same(together, alone)
    keys = list(together[["estimator", "size", "draw"]].itertuples(index=False, name=None))
    assert keys == [(e, s, d) for e in estimators for s in (20, 60) for d in (0, 1)]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning")
def test_results_are_the_same_on_a_cluster_of_which_a_worker_is_killed(diary, tmp_path):
    from distributed import LocalCluster  # takes a second

    Path(diary, "bomb").write_text("kill")
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        spread = study(diary, out=tmp_path, scheduler=cluster.scheduler_address)
    assert Path(diary, "spent").exists()
    n_fits = len(read_diary(diary, "fit"))
    assert 12 + 1 <= n_fits <= 12 + 2  # the one that died, and perhaps what its worker had waiting
    assert_same(spread, study(diary))
    assert_same(Results.read(tmp_path), spread)


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
    study = Study(Draws([4, 20], 1), {"a": Picky(), "b": Picky()})
    study.run(X, y, X_test=X, y_test=y, n_jobs=n_jobs, progress=False)
    assert not X.any()


# -------------------------------------------------------------------------------- stopping


def interrupted(diary, out, action, **options):
    """Run a study that is stopped in its fifth fit."""
    Path(diary, "bomb").write_text(action)
    if action == "kill":
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=study, args=(diary,), kwargs={"out": out, **options})
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        return None
    with pytest.raises(KeyboardInterrupt if action == "interrupt" else RuntimeError) as caught:
        study(diary, out=out, **options)
    return caught.value


@pytest.mark.parametrize("action", ["interrupt", "kill", "raise"])
def test_a_study_that_was_stopped_goes_on_and_repeats_nothing(action, diary, tmp_path):
    out = tmp_path / "out"
    interrupted(diary, out, action)
    before = Results.read(out)
    assert len(before) == 4
    assert len(before.missing) == 8
    stored = contents(out / "cells")
    resumed = study(diary, out=out)
    fits = read_diary(diary, "fit")
    assert len(fits) == 12 + 1  # the one that was stopped is begun again
    assert fits[4] == fits[5]
    assert {file: file.read_bytes() for file in stored} == stored
    kept = resumed.merge(before[["estimator", "size", "draw"]])
    pd.testing.assert_frame_equal(kept[TIMES], before.fits[TIMES])  # not timed again either
    whole = study(diary)
    assert_same(resumed, whole)
    assert_same(Results.read(out), whole)
    assert not [*(out / "leases").iterdir()]
    assert Results.read(out).missing.empty
    study(diary, out=out)
    assert len(read_diary(diary, "fit")) == 13 + 12


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_says_which_fit_it_comes_from(n_jobs, diary, tmp_path):
    error = interrupted(diary, tmp_path / "out", "raise", n_jobs=n_jobs)
    assert str(error) == "no luck"
    if n_jobs == 1:  # otherwise any of the first fits may be the fifth
        assert error.__notes__[0] == "Raised by the estimator 'a', size 24, draw 0."
    assert "Raised by the estimator" in error.__notes__[0]
    n_kept = len(pd.read_csv(tmp_path / "out" / "results.csv"))
    n_begun = len(read_diary(diary, "fit"))
    study(diary, out=tmp_path / "out")
    assert len(read_diary(diary, "fit")) == n_begun + 12 - n_kept
    assert n_begun == n_kept + 1  # whatever else was being fitted was kept


class Leaving(LogisticRegression):
    """Ends its process in place of a fit."""

    def __init__(self, leave=None):
        super().__init__()
        self.leave = leave

    def fit(self, X, y):
        self.leave(3)


@pytest.mark.parametrize(
    "leave, n_jobs, message",
    [(sys.exit, 1, r"sys\.exit\(3\)"), (sys.exit, 2, r"sys\.exit\(3\)"), (os._exit, 2, "EXIT")],
)
def test_an_estimator_that_ends_its_process_is_named(leave, n_jobs, message):
    X, y, _ = data()
    study = Study(KFold(2), {"good": KNeighborsClassifier(), "left": Leaving(leave)})
    with pytest.raises(RuntimeError, match=message) as caught:
        study.run(X, y, n_jobs=n_jobs, progress=False)
    assert caught.value.__notes__[-1].startswith("Raised by the estimator 'left', repeat 0, fold")


def test_sizes_draws_and_estimators_can_be_added(diary, tmp_path):
    out = tmp_path / "out"
    first = study(diary, Draws([6], 1), "a", out=out)
    more = study(diary, Draws([12, 6], 2), "ba", out=out)
    assert len(read_diary(diary, "fit")) == 8
    assert more["estimator"].tolist() == ["b"] * 4 + ["a"] * 4
    pd.testing.assert_frame_equal(more.iloc[[4]].reset_index(drop=True), first.fits)
    again = study(diary, Draws([6], 1), "a", out=out)
    assert_same(again, first, [])
    everything = Results.read(out)
    assert len(everything) == 8  # nothing was lost
    assert everything.description["design"]["sizes"] == [6, 12]
    assert everything.description["design"]["n_draws"] == 2
    assert len(everything.description["environments"]) == 1
    assert everything.missing.empty


def test_several_processes_on_one_folder_make_each_fit_once(diary, tmp_path):
    out, context = tmp_path / "out", multiprocessing.get_context("spawn")
    runs = [((diary, DESIGNS[0], names), {"out": out}) for names in ("ab", "ab", "c", "ac")]
    processes = [context.Process(target=study, args=args, kwargs=kwargs) for args, kwargs in runs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    fits = [(name, seed) for name, _, seed in read_diary(diary, "fit")]
    assert len(fits) == len({*fits}) == 3 * 6
    results = Results.read(out)
    assert len(results) == len(pd.read_csv(out / "results.csv")) == 18
    assert results.missing.empty


def test_runs_that_began_together_and_disagree_are_told_apart(diary, tmp_path):
    X, y, _ = data()
    for name in "ac":
        Study(KFold(3), {"a": Witness(diary, name)}).run(X, y, out=tmp_path / name, progress=False)
    for file in (tmp_path / "c").rglob("*"):
        if file.suffix in (".cell", ".json"):
            shutil.copy(file, tmp_path / "a" / file.parent.name)
    with pytest.raises(ValueError, match=r"a holds results of .* 'a' was .* and is .* Move one of"):
        Results.read(tmp_path / "a")
    (run,) = (tmp_path / "c" / "runs").iterdir()
    (tmp_path / "a" / "runs" / run.name).unlink()
    assert len(Results.read(tmp_path / "a")) == 3


def test_nothing_travels_while_others_make_what_is_missing(diary, tmp_path, monkeypatch):
    design, waits, travels = FixedSplit(range(0, 60, 2)), [], []
    study(diary, design, "a", out=tmp_path / "before")
    (cell,) = (tmp_path / "before" / "cells").iterdir()

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            other.release(cell.stem)

    def execute(*args, **where):
        travels.append(where)
        return studying_execute(*args, **where)

    studying_execute = studying.execute
    monkeypatch.setattr(studying, "execute", execute)
    monkeypatch.setattr(studying.time, "sleep", sleep)
    with FolderStore(tmp_path / "out") as other:
        assert other.claim(cell.stem)
        assert len(study(diary, design, "a", out=tmp_path / "out")) == 1
    assert len(waits) == 3
    assert len(travels) == 1


def test_the_table_is_never_older_than_one_that_was_there(diary, tmp_path, monkeypatch):
    """Who writes tables while another one does so waits, and reads what there is by then."""
    study(diary, names="a", out=tmp_path)
    with FolderStore(tmp_path) as other:
        assert other.claim(studying.TABLES)
        monkeypatch.setattr(studying.time, "sleep", lambda seconds: other.release(studying.TABLES))
        (tmp_path / "results.csv").unlink()
        study(diary, names="b", out=tmp_path)
    assert len(pd.read_csv(tmp_path / "results.csv")) == 12


def test_another_study_in_the_same_folder_is_refused(diary, tmp_path):
    out = tmp_path / "out"
    X, y, groups = data()
    estimators = {"a": Witness(diary)}

    def again(X=X, y=y, groups=groups, estimators=estimators, design=None, seed=0):
        design = design or HoldOuts(2)
        return Study(design, estimators, random_state=seed).run(
            X, y, groups, out=out, progress=False
        )

    again()
    before = contents(out)
    changed = X.copy()
    changed[3, 1] += 1e-9  # of the scan named 3
    other = np.where(y == "a", "c", np.where(y == "c", "a", y))
    for change in ({"X": changed}, {"y": other}, {"groups": np.char.add(groups, "x")}):
        with pytest.raises(ValueError, match="out holds another study: data sha256 was") as caught:
            again(**change)
        assert ("X" in change) == str(caught.value).endswith("Changed since: 3.")
    with pytest.raises(ValueError, match="random_state was 0 and is 1"):
        again(seed=1)
    with pytest.raises(ValueError, match=r"design test_size was None and is 0\.5"):
        again(design=HoldOuts(2, 0.5))
    with pytest.raises(ValueError, match="design kind was HoldOuts and is KFold"):
        again(design=KFold(3))
    with pytest.raises(ValueError, match="name of estimator 'a' was 'a' and is 'c'"):
        again(estimators={"a": Witness(diary, "c")})
    with pytest.raises(ValueError, match=r"class of estimator 'a' was .*Witness and is .*Logistic"):
        again(estimators={"a": LogisticRegression()})
    assert contents(out) == before


def test_an_estimator_that_never_finished_binds_nobody(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    study = {"sizes": [6], "n_draws": 1, "out": tmp_path, "progress": False}
    limited_data({"good": LogisticRegression()}, X, y, **study)
    with pytest.raises(ValueError, match="parameter of LogisticRegression"):
        limited_data({"bad": LogisticRegression(C=-1.0)}, X, y, **study)
    limited_data({"bad": LogisticRegression(C=2.0)}, X, y, **study)
    assert sorted(Results.read(tmp_path)["estimator"]) == ["bad", "good"]
    with pytest.raises(ValueError, match="another study"):
        limited_data({"good": LogisticRegression(C=2.0)}, X, y, **study)


@pytest.mark.parametrize("file", ["cells/*.cell", "runs/*.json"])
def test_damaged_files_are_named_and_left_alone(file, diary, tmp_path):
    out = tmp_path / "out"
    study(diary, out=out)
    damaged = min(out.glob(file))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    before = contents(out)
    for use in (lambda: study(diary, out=out), lambda: Results.read(out)):
        with pytest.raises(ValueError, match=f"{damaged.name} is damaged"):
            use()
    assert contents(out) == before
    assert len(read_diary(diary, "fit")) == 12


def test_a_folder_without_a_study_and_an_old_one_are_refused(diary, tmp_path):
    with pytest.raises(ValueError, match="holds no study"):
        Results.read(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "results.csv").write_text("estimator,size\n")
    with pytest.raises(ValueError, match=r"results\.csv is there, of no study that can be"):
        study(diary, out=tmp_path / "old")
    assert not read_diary(diary, "fit")


# ---------------------------------------------------------------------------------- images


def flattened(volumes):
    return np.asarray(volumes).reshape(len(volumes), -1)


@pytest.fixture
def cohort(tmp_path):
    options = {"n_subjects": 8, "shape": (8, 10, 9), "spacing": 20.0}
    return simulate_cohort(tmp_path / "cohort", **options)


def volume_study(cohort, cache=None, **options):
    steps = NiftiVolumes(cache_dir=cache), FunctionTransformer(flattened), LogisticRegression()
    options = {"n_repeats": 2, "progress": False} | options
    return cohort_study({"lr": make_pipeline(*steps)}, cohort.X, cohort.y, cohort.groups, **options)


def test_images_are_given_as_paths_and_may_move(cohort, tmp_path):
    results = volume_study(cohort, out=tmp_path / "out", n_repeats=1)
    tested = results.predictions["sample"].tolist()
    assert set(tested) < set(cohort.X)
    shutil.move(tmp_path / "cohort", tmp_path / "elsewhere")
    moved = type(cohort).from_bids(tmp_path / "elsewhere", target="diagnosis")
    more = volume_study(moved, tmp_path / "cache", out=tmp_path / "out")
    pd.testing.assert_frame_equal(more[TIMES][:1], results.fits[TIMES])
    assert more.predictions["sample"].isin(moved.X).all()
    assert_same(more, volume_study(moved))
    assert_same(Results.read(tmp_path / "out"), more)


def test_volumes_may_be_read_when_they_are_asked_for(cohort):
    volumes = NiftiVolumes(grid="same", stream=True).fit_transform(cohort.X)
    model = make_pipeline(FunctionTransformer(flattened), LogisticRegression())
    options = {"n_repeats": 2, "progress": False}
    results = cohort_study({"lr": model}, volumes, cohort.y, cohort.groups, **options)
    expected = volume_study(cohort).predictions.drop(columns="sample")
    pd.testing.assert_frame_equal(results.predictions.drop(columns="sample"), expected)


def test_the_same_image_of_two_subjects_is_refused_and_named(cohort, tmp_path):
    first, second = cohort.X[[2, 5]]
    shutil.copy(first, second)
    with pytest.raises(ValueError, match="must not have the same image") as caught:
        volume_study(cohort, out=tmp_path / "out")
    assert f"{first} of {cohort.groups[2]} and {second} of {cohort.groups[5]}" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_images_in_memory_are_as_good_as_files(cohort, tmp_path):
    images = [nibabel.load(path) for path in cohort.X]
    in_memory = SimpleNamespace(X=images, y=cohort.y, groups=cohort.groups)
    results = volume_study(in_memory, out=tmp_path / "out")
    expected = volume_study(cohort).predictions.drop(columns="sample")
    pd.testing.assert_frame_equal(results.predictions.drop(columns="sample"), expected)
    assert results.predictions["sample"].isin([str(row) for row in range(len(images))]).all()
    with pytest.raises(ValueError, match=r"in training and in test, .*: .* and an image in memory"):
        check_leakage([nibabel.Nifti1Image.from_bytes(images[0].to_bytes())], cohort.X[:1])


def test_the_same_rows_of_two_subjects_are_refused(diary):
    X, y, groups = data()
    X[[1, 9]] = X[12], X[12]  # of sub-00, and of sub-03 and sub-04
    with pytest.raises(ValueError, match="row 1 of sub-00 and row 9 of sub-03") as caught:
        cohort_study({"a": SVC()}, X, y, groups)
    assert "row 12 of sub-04" in str(caught.value)
    X[[1, 9]] = X[0], X[10]  # one subject may
    cohort_study({"a": SVC()}, X, y, groups, n_repeats=1, progress=False)


def test_a_scan_that_is_there_twice_is_named(cohort):
    X, y, groups = (np.append(part, part[:1]) for part in (cohort.X, cohort.y, cohort.groups))
    with pytest.raises(ValueError, match=f"every scan once, got several times: {X[0]}"):
        cohort_study({"a": SVC()}, X, y, groups, progress=False)


def test_an_image_that_cannot_be_read_is_named(cohort):
    Path(cohort.X[3]).write_bytes(b"no image")
    with pytest.raises(ValueError, match=Path(cohort.X[3]).name):
        volume_study(cohort)


# ---------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "change, message",
    [
        ({"estimators": {}}, "estimators must be a dict"),
        ({"estimators": {1: SVC()}}, "labels of estimators must be strings, got 1"),
        ({"estimators": {"a": SVC}}, r"estimators\['a'\] must be an estimator"),
        ({"estimators": {"a": Ridge(), "b": SVC()}}, "'a'|'b'"),
        ({"estimators": {"a": StructuredClassifier(architecture="rfn")}}, "Unknown arch.* 'rfn'"),
        (
            {"estimators": {"a": make_pipeline(StandardScaler(), RFNNClassifier(frame="pixl"))}},
            "Unknown frame 'pixl'",
        ),
        ({"design": "draws"}, "design must be Draws, HoldOuts"),
        ({"y": np.arange(90)}, "y must be the labels of classes, got 90 different numbers"),
        ({"y": np.linspace(0, 1, 90)}, "Unknown label type|different numbers"),
        ({"y": ["a"] * 90}, r"at least 2 classes with at least 2 samples each, got \{'a': 90\}"),
        ({"y": ["b"] + ["a"] * 89}, r"got \{'a': 89, 'b': 1\}"),
        ({"y": ["x", "y"]}, "as many samples in all of them, got X 90, y 2"),
        ({"y": [None] + ["a"] * 89}, "y must have no missing values, got 1"),
        ({"y": [np.nan] + ["a"] * 89}, "y must have no missing values, got 1"),
        ({"y": None}, "y must have a label, a value or a map for each sample, got None"),
        ({"X": None}, "X must have one sample after the other, got None"),
        ({"X": np.full((90, 2), np.nan)}, "Input X contains NaN"),
        ({"X": "scans/*.nii"}, r"X must have one path a scan, got 'scans/\*\.nii' for all"),
        ({"X": ["scan.nii"] * 89 + [1]}, "X must hold paths or images, but entry 89 is 1"),
        ({"X": ["missing.nii"] * 90}, r"missing\.nii"),
        ({"X_test": np.zeros((2, 4))}, "Give X_test and y_test together"),
        ({"X_test": np.zeros((2, 3)), "y_test": ["a", "b"]}, "X_test must have shape"),
        ({"X_test": np.zeros((2, 4)), "y_test": ["a", "q"]}, r"labels that y has not: \['q'\]"),
        (
            {"X_test": np.zeros((2, 4)), "y_test": ["a", "b"], "design": Draws([6], test_size=3)},
            "no test_size",
        ),
        ({"groups": ["s", "t"] * 6}, "got X 90, y 90, groups 12"),
        ({"groups": [np.nan] * 90}, "groups must have no missing values"),
        ({"groups": data()[2], "y": ["a", "a", None] + ["b"] * 87}, "got 1, of sub-00"),
        ({"design": Draws([61])}, "sizes must be at most 60, got 61: there are 90 samples, of wh"),
        ({"design": Draws([2])}, "sizes must be at least 3, one sample a class, got 2"),
        ({"design": Draws([6], test_size=2)}, "test_size must leave at least 3 samples"),
        ({"design": Draws([6], test_size=0.99)}, "test_size must leave at least 3 samples"),
        ({"design": HoldOuts(2, 2.0)}, "test_size must be a share"),
        ({"design": KFold(31)}, "n_splits must be at most 30, so that every fold tests every"),
        ({"design": FixedSplit()}, "Give the test samples of X as test, or X_test and y_test"),
        (
            {"design": FixedSplit([1]), "groups": data()[2]},
            "in training and in test, but 1 is: sub-00",
        ),
        ({"design": FixedSplit(data()[1] == "a")}, "The training part of the split lacks a class"),
        ({"design": FixedSplit([90])}, "test must be numbers of samples from 0 to 89"),
        (
            {"design": FixedSplit([True] * 9)},
            "test must say of each of 90 samples .* got 9 of them",
        ),
        ({"budget": 3}, "budget must be a Budget, got 3"),
        ({"random_state": -1}, "random_state == -1"),
        ({"random_state": None}, "random_state must be an instance"),
        ({"target": None}, "target must be an instance of str"),
        ({"baseline": "svn"}, "baseline must be one of the estimators .*, got 'svn'"),
        ({"n_jobs": 0}, "n_jobs must be a number"),
        ({"n_jobs": "2"}, "n_jobs must be a number"),
        ({"left_out": [1]}, "left_out must be a table with the columns"),
        ({"left_out": pd.DataFrame({"file": []})}, "left_out must be a table with the columns"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_fitted(change, message, diary, tmp_path):
    X, y, _ = data()
    given = {"design": Draws([6]), "estimators": {"a": Witness(diary)}, "X": X, "y": y} | change
    of_study = {"design", "estimators", "random_state", "target", "budget", "baseline"}
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        Study(**{name: value for name, value in given.items() if name in of_study}).run(
            **{name: value for name, value in given.items() if name not in of_study},
            out=tmp_path / "out",
            progress=False,
        )
    assert not (tmp_path / "out").exists()
    assert not read_diary(diary, "fit")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Draws([]), "sizes must be numbers of samples, each once"),
        (lambda: Draws([6, 6]), r"sizes must be numbers of samples, each once, got \[6, 6\]"),
        (lambda: Draws([0.5]), "sizes must be an instance of int"),
        (lambda: Draws(6), "sizes must be a list of numbers of samples, got 6"),
        (lambda: Draws([6], test_size="a"), "test_size must be an instance of float"),
        (lambda: FixedSplit([0.5]), r"test must be numbers of samples, or .*, got \[0\.5\]"),
        (lambda: Draws([6], 0), "n_draws == 0, must be >= 1"),
        (lambda: HoldOuts(0), "n_repeats == 0, must be >= 1"),
        (lambda: KFold(1), "n_splits == 1, must be >= 2"),
    ],
)
def test_designs_that_cannot_be_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize(
    "estimator, message",
    [
        (Loud(np.nan), "finite"),
        (Loud([1.0, 2.0, 3.0, 4.0]), "shape"),
        (Loud([1.0, 2.0, 3.0], "q"), r"'q'"),
        (Proud([[0.0, 0.0, 0.0]]), r"must sum to 1, got them from 0 to 0 with sums from 0 to 0"),
        (Proud([[2.0, -1.0, 0.0]]), "must not be negative and must sum to 1, got them from -1 to"),
        (Proud([[1.0, 0.0, 0.0]], 3), "a prediction of each sample, got 3 of 18"),
    ],
)
def test_scores_and_labels_that_mean_nothing_are_refused(estimator, message):
    with pytest.raises(ValueError, match=message) as caught:
        cohort_study({"loud": estimator}, *data(), n_repeats=1, progress=False)
    assert caught.value.__notes__[0] == "Raised by the estimator 'loud', repeat 0."


def test_a_place_that_cannot_be_written_to_is_named(diary, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        study(diary, out=tmp_path / "file" / "out")
    assert not read_diary(diary, "fit")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*out/") as caught:
        study(diary, out=tmp_path / "out")
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "where, message",
    [
        ({"backend": "nowhere", "n_jobs": 2}, "nowhere"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "'tcp://127.0.0.1:9' cannot be reached"),
    ],
)
def test_where_nothing_can_run_nothing_is_written(where, message, diary, tmp_path, monkeypatch):
    monkeypatch.setattr("sklstruct.studies.cluster.SECONDS_TO_CONNECT", 0.2)
    with pytest.raises((ValueError, OSError), match=message):
        study(diary, out=tmp_path / "out", **where)
    assert not (tmp_path / "out").exists()


def test_progress_is_on_standard_error_and_can_be_off(diary, capsys):
    study(diary)
    assert capsys.readouterr() == ("", "")
    study(diary, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "12/12" in err
    assert err.count("/12") == 2  # the beginning and the end: a file is not flooded


def test_the_example_goes_on_and_reports(capsys):
    example = runpy.run_path(Path(__file__).parents[1] / "examples/a_study_from_end_to_end.py")
    example["main"](sizes=(20,), n_draws=2, max_epochs=1)
    out = capsys.readouterr().out
    assert "4 fits\n6 fits, of which 0 are missing" in out
    assert out.endswith("report: report.html\n")
