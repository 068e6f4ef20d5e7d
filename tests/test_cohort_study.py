"""Studies on cohorts: who is on which side, what is on disk whenever a study stops, and errors."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    ShuffleSplit,
    StratifiedGroupKFold,
    cross_val_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sklstruct.datasets import simulate_cohort
from sklstruct.io.leakage import check_leakage
from sklstruct.io.nifti.estimator import NiftiVolumes
from sklstruct.studies import CohortResults, cohort_data, cohort_study, limited_data, subject_splits
from sklstruct.studies.cohort_text import format_cohort_summary
from sklstruct.studies.draws import estimator_seed
from sklstruct.studies.metrics import score_fits

TIMES = ["fit_seconds", "predict_seconds"]
FILES = ["fits.csv", "left_out.csv", "predictions.csv", "study.json"]


class Spy(TransformerMixin, BaseEstimator):
    """Writes down the rows that it is fitted on, and stops or fails in a fit when told to."""

    def __init__(self, diary=None, random_state=None):
        self.diary = diary
        self.random_state = random_state

    def fit(self, X, y=None):
        with open(Path(self.diary, "diary"), "a") as diary:
            diary.write(json.dumps([X[:, 0].astype(int).tolist(), self.random_state]) + "\n")
        if len(read_diary(self.diary)) == 4:
            if Path(self.diary, "stop").exists():
                raise KeyboardInterrupt
            if Path(self.diary, "fail").exists():
                raise RuntimeError("no luck")
        return self

    def transform(self, X):
        return X[:, 1:]

    def __sklearn_is_fitted__(self):
        return True


class Loud(ClassifierMixin, BaseEstimator):
    """Predicts a class, and gives no scores or wrong ones."""

    def __init__(self, scores=None, label=None):
        self.scores = scores
        self.label = label

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0] if self.label is None else self.label)


class Louder(Loud):
    def decision_function(self, X):
        return np.tile(self.scores, (len(X), 1)).squeeze()


def read_diary(folder):
    return [json.loads(line) for line in Path(folder, "diary").read_text().splitlines()]


@pytest.fixture
def diary(tmp_path):
    folder = tmp_path / "diary"
    folder.mkdir()
    return folder


def data(n_subjects=12, n_classes=2, scans=2):
    """Rows with their number first; subjects of one class are alike, their scans more so."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"sub-{n:02}" for n in range(n_subjects)], scans)
    labels = np.repeat(np.arange(n_subjects) % n_classes, scans)
    of_subject = np.repeat(rng.normal(size=(n_subjects, 3)), scans, axis=0) + labels[:, None]
    values = of_subject + 0.1 * rng.normal(size=of_subject.shape)
    return np.column_stack([np.arange(len(values)), values]), np.array(list("acb"))[labels], groups


def models(diary, names="ab"):
    return {name: make_pipeline(Spy(str(diary)), LogisticRegression(C=ord(name))) for name in names}


def study(diary, names="ab", **options):
    return cohort_study(
        models(diary, names), *data(), **{"n_repeats": 3, "progress": False} | options
    )


def test_results_show_what_came_out(diary):
    results = study(diary)
    text, html = repr(results), results._repr_html_()
    means = score_fits(results).groupby("estimator")["balanced_accuracy"].mean()
    for part in (text, html):
        assert "hold-outs" in part
        assert all(f"{means[name]:.3f}" in part for name in "ab")


def assert_same(results, expected):
    """All but the times are exactly the same."""
    fits, wanted = results.fits.drop(columns=TIMES), expected.fits.drop(columns=TIMES)
    pd.testing.assert_frame_equal(fits, wanted, check_exact=True)
    pd.testing.assert_frame_equal(results.predictions, expected.predictions, check_exact=True)
    pd.testing.assert_frame_equal(results.left_out, expected.left_out)
    assert results.classes.tolist() == expected.classes.tolist()
    assert results.classes.dtype == expected.classes.dtype
    assert results.target == expected.target


def contents(folder):
    return {file: file.read_bytes() for file in folder.iterdir()}


# ---------------------------------------------------------------------- who is on which side


def test_estimators_see_other_subjects_than_they_are_tested_on(diary):
    _, y, groups = data()
    results = study(diary)
    splits = subject_splits(y, groups, n_repeats=3)
    fitted = [set(rows) for rows, _ in read_diary(diary)]  # by repeat, then estimator
    for n, (_, part) in enumerate(results.predictions.groupby(["repeat", "estimator"])):
        tested = part["scan"].astype(int).tolist()
        assert fitted[n] == set(range(len(y))) - set(tested)
        assert not set(groups[list(fitted[n])]) & set(groups[tested])
        assert tested == splits[n // 2][1].tolist()
        assert part["subject"].tolist() == groups[tested].tolist()
        assert part["label"].tolist() == y[tested].tolist()
    counts = results.fits[["n_train", "n_test", "n_train_subjects", "n_test_subjects"]]
    assert counts.to_numpy().tolist() == [[16, 8, 8, 4]] * 6
    assert len(results.predictions) == 8 * 6


class Torn(LogisticRegression):
    """Writes down the rows that it is fitted on."""

    def __init__(self, diary=None):
        super().__init__()
        self.diary = diary

    def fit(self, X, y):
        with open(Path(self.diary, "diary"), "a") as diary:
            diary.write(json.dumps([X[:, 0].astype(int).tolist(), None]) + "\n")
        return super().fit(X, y)


def test_a_search_by_groups_keeps_subjects_together_within_the_training_part(diary):
    _, _, groups = data()
    search = GridSearchCV(Torn(str(diary)), {"diary": [str(diary)]}, cv=StratifiedGroupKFold(2))
    models = {"plain": search, "in a pipeline": make_pipeline(FunctionTransformer(), search)}
    cohort_study(models, *data(), n_repeats=2, progress=False)
    fits = [set(groups[rows]) for rows, _ in read_diary(diary)]
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
    tested = results.predictions
    hits = tested["label"] == tested["predicted"]
    recalls = hits.groupby([tested["repeat"], tested["label"]]).mean()
    # The mean is a sum over pairs of a tested subject s and its neighbour t of w_st [y_s = y_t].
    # With fair labels its variance is sum (w_st + w_ts)^2 / 4 over pairs, at most half the sum
    # of the squares of what each subject weighs.
    shares = tested["subject"].value_counts(normalize=True)
    deviation = np.sqrt((shares**2).sum() / 2)
    assert abs(recalls.mean() - 0.5) < 4 * deviation < 0.2


def test_a_search_that_parts_scans_of_a_subject_is_warned_of():
    X, y, groups = data()
    search = GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=3)
    options = {"n_repeats": 1, "progress": False}
    for estimator in (search, make_pipeline(StandardScaler(), search)):
        with pytest.warns(UserWarning, match="'a' splits the scans of a subject .* cv=3"):
            cohort_study({"a": estimator}, X, y, groups, **options)
    machine = CalibratedClassifierCV(LogisticRegression(), cv=2)  # whom the search gives no groups
    search = GridSearchCV(machine, {"estimator__C": [1, 2]}, cv=StratifiedGroupKFold(2))
    with pytest.warns(UserWarning, match="scans of a subject .* cv=2 of CalibratedClassifierCV"):
        cohort_study({"a": search}, X, y, groups, **options)
    cohort_study({"a": search}, X, y, np.arange(24), **options)  # one scan each: nothing to part


def test_the_positive_class_is_the_one_that_is_named(tmp_path):
    X, y, groups = data()
    options = {"n_repeats": 3, "progress": False}
    last = cohort_study({"svm": SVC()}, X, y, groups, **options)
    results = cohort_study({"svm": SVC()}, X, y, groups, positive="a", out=tmp_path, **options)
    assert last.classes.tolist() == ["a", "c"]
    assert results.classes.tolist() == CohortResults.read(tmp_path).classes.tolist() == ["c", "a"]
    assert "a is positive" in format_cohort_summary(results)
    one, other = score_fits(last), score_fits(results)
    np.testing.assert_array_equal(one["sensitivity"], other["specificity"])
    recall = results.predictions.query("label == 'a' and repeat == 0").eval("label == predicted")
    assert other["sensitivity"][0] == recall.mean()
    np.testing.assert_array_equal(one["auc"], other["auc"])
    with pytest.raises(ValueError, match="positive must be one of two classes, got 'b' of"):
        cohort_study({"svm": SVC()}, X, y, groups, positive="b", **options)


def test_a_site_is_left_out(diary):
    sites = np.repeat(["north", "south", "west"], 8)
    results = study(diary, sites=sites)
    assert sorted(results.fits["held_out_site"]) == sorted(["north", "south", "west"] * 2)
    for repeat, part in results.predictions.groupby("repeat"):
        scans = part["scan"].astype(int)
        assert {*sites[scans]} == {*results.fits.query(f"repeat == {repeat}")["held_out_site"]}
        assert len(scans) == 16
    with pytest.raises(ValueError, match="for each of 4 repeats"):
        study(diary, sites=sites, n_repeats=4)


def test_a_split_with_a_subject_on_both_sides_is_refused(diary, monkeypatch):
    rows = np.arange(24)
    monkeypatch.setattr(cohort_data, "subject_splits", lambda *_, **__: [(rows[:13], rows[13:])])
    with pytest.raises(ValueError, match="in training and in test, but 1 is: sub-06"):
        study(diary)


def test_seeds_depend_on_the_repeat_and_not_on_the_company(diary, tmp_path):
    results = study(diary, random_state=4)
    seeds = [estimator_seed(4, repeat) for repeat in range(3)]
    assert results.fits["seed"].tolist() == seeds * 2
    assert [seed for _, seed in read_diary(diary)] == np.repeat(seeds, 2).tolist()
    (tmp_path / "alone").mkdir()
    alone = study(tmp_path / "alone", "b", random_state=4, n_repeats=2)
    expected = results.predictions.query("estimator == 'b' and repeat < 2")
    pd.testing.assert_frame_equal(alone.predictions, expected.reset_index(drop=True))


# ---------------------------------------------------------------------------------- tables


@pytest.mark.parametrize(
    "labels", [["NA", "1", 'a "b", c'], ["no", "yes"], [False, True], [3, 1, 2], [0.0, 1.0]]
)
def test_what_is_read_is_what_was_computed(labels, tmp_path):
    X, y, groups = data(18, len(labels))
    y = np.array(labels)[np.searchsorted(np.unique(y), y)]
    estimators = {"NA": LogisticRegression(), 'x,"y"': SVC()}
    left_out = pd.DataFrame({"subject": ["s", None], "file": ["f,g", "h"], "problem": ["p", "q"]})
    options = {"left_out": left_out, "target": "sex", "n_repeats": 2, "progress": False}
    results = cohort_study(estimators, X, y, groups, out=tmp_path, **options)
    assert sorted(os.listdir(tmp_path)) == FILES
    read = CohortResults.read(tmp_path)
    assert_same(read, results)
    pd.testing.assert_frame_equal(read.fits, results.fits, check_exact=True)
    assert read.description == results.description
    assert read.left_out["subject"].tolist() == ["s", ""]
    assert results.classes.tolist() == sorted(labels)
    assert results.predictions["label"].isin(labels).all()
    assert results.fits["probabilities"].tolist() == [True, True, False, False]


@pytest.mark.parametrize("kind", [list, pd.DataFrame])
def test_samples_may_be_of_any_kind(kind):
    X, y, groups = data()
    options = {"n_repeats": 2, "progress": False}
    expected = cohort_study({"svm": SVC()}, X, y, groups, **options)
    assert_same(
        cohort_study({"svm": SVC()}, kind(X), list(y), pd.Series(groups), **options), expected
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_are_probabilities_or_decision_values(n_classes):
    X, y, groups = data(18, n_classes)
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


def test_the_table_is_the_same_for_any_number_of_jobs(tmp_path):
    X, y, groups = data()
    by_subject = StratifiedGroupKFold(2)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 10]}, cv=by_subject
    )
    estimators = {"search": search, "lr": LogisticRegression()}
    options = {"n_repeats": 3, "progress": False}
    alone = cohort_study(estimators, X, y, groups, **options)
    together = cohort_study(estimators, X, y, groups, n_jobs=2, out=tmp_path, **options)
    assert_same(together, alone)
    assert_same(CohortResults.read(tmp_path), alone)
    keys = list(alone.fits[["estimator", "repeat"]].itertuples(index=False, name=None))
    assert keys == [(label, repeat) for label in estimators for repeat in range(3)]


class Cautious(LogisticRegression):
    """Predicts the last class only where it is sure."""

    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.9).astype(int)]


def test_an_estimator_may_decide_apart_from_its_scores(tmp_path):
    options = {"n_repeats": 2, "progress": False, "out": tmp_path}
    estimators = {"sure": LogisticRegression(), "cautious": Cautious()}
    results = cohort_study(estimators, *data(), **options)
    assert_same(CohortResults.read(tmp_path), results)
    assert_same(cohort_study(estimators, *data(), **options), results)
    assert results.description["decide_apart_from_scores"] == ["cautious"]


# -------------------------------------------------------------------------------- stopping


def test_a_study_that_was_stopped_goes_on_and_repeats_nothing(diary, tmp_path):
    out = tmp_path / "out"
    (diary / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        study(diary, out=out)
    (diary / "stop").unlink()
    before = CohortResults.read(out)
    assert len(before.fits) == 3
    resumed = study(diary, out=out)
    assert len(read_diary(diary)) == 6 + 1  # the one that was stopped is begun again
    assert_same(resumed, study(diary))
    assert_same(CohortResults.read(out), resumed)
    kept = resumed.fits.merge(before.fits[["estimator", "repeat"]])
    pd.testing.assert_frame_equal(kept[TIMES], before.fits[TIMES])
    assert sorted(os.listdir(out)) == FILES


@pytest.mark.parametrize("file, n_fits", [("predictions.csv", 2), ("fits.csv", 2)])
def test_a_study_may_stop_before_either_table_is_written(
    file, n_fits, diary, tmp_path, monkeypatch
):
    out, written = tmp_path / "out", []
    replace = os.replace

    def stopping(source, target):
        written.append(Path(target).name)
        if written.count(file) == n_fits + 1:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            study(diary, out=out)
    read = CohortResults.read(out)
    assert len(read.fits) == n_fits
    assert len(read.predictions) == n_fits * 8
    whole = study(diary)
    assert_same(study(diary, out=out), whole)
    assert_same(CohortResults.read(out), whole)
    assert len(read_diary(diary)) == 6 + 6 + 1


def test_an_error_says_which_fit_it_comes_from(diary, tmp_path):  # of workers: test_studies
    (diary / "fail").touch()
    with pytest.raises(RuntimeError, match="no luck") as caught:
        study(diary, out=tmp_path / "out")
    assert caught.value.__notes__ == ["Raised by the estimator 'b' in repeat 1."]
    assert len(CohortResults.read(tmp_path / "out").fits) == 3
    assert_same(study(diary, out=tmp_path / "out"), study(diary))


def test_repeats_and_estimators_can_be_added(diary, tmp_path):
    out = tmp_path / "out"
    study(diary, "a", n_repeats=1, out=out)
    more = study(diary, "ba", n_repeats=3, out=out)
    assert len(read_diary(diary)) == 6
    assert more.fits["estimator"].tolist() == ["b"] * 3 + ["a"] * 3
    assert_same(more, study(diary, "ba"))
    again = study(diary, "a", n_repeats=1, out=out)
    assert len(again.fits) == 1
    everything = CohortResults.read(out)
    assert everything.fits["estimator"].tolist() == ["a"] * 3 + ["b"] * 3  # nothing was lost
    assert everything.description["n_repeats"] == 3
    assert len(everything.description["environments"]) == 1


def test_another_study_in_the_same_folder_is_refused(diary, tmp_path):
    out = tmp_path / "out"
    study(diary, out=out)
    before = contents(out)
    X, y, groups = data()
    changed = X.copy()
    changed[3, 1] += 1e-9  # of the scan named 3
    options = {"n_repeats": 3, "progress": False, "out": out}
    for samples, labels, subjects in [
        (changed, y, groups),
        (X, np.where(y == "a", "c", "a"), groups),
        (X, y, np.char.add(groups, "x")),
    ]:
        with pytest.raises(ValueError, match=r"study\.json describes another .* sha256") as caught:
            cohort_study(models(diary), samples, labels, subjects, **options)
        assert (samples is changed) == str(caught.value).endswith("Changed since: 3.")
    with pytest.raises(ValueError, match="random_state was 0 and is 1"):
        study(diary, out=out, random_state=1)
    with pytest.raises(ValueError, match=r"data test_size was 0\.25 and is 0\.5"):
        study(diary, out=out, test_size=0.5)
    other = {"a": models(diary)["a"].set_params(logisticregression__C=1)}
    with pytest.raises(ValueError, match="logisticregression__C of estimator 'a' was 97 and is 1"):
        cohort_study(other, X, y, groups, **options)
    with pytest.raises(ValueError, match=r"fits\.csv is there, .* of another study, by cohort_s"):
        limited_data({"a": SVC()}, X, y, sizes=[4], n_draws=1, out=out, progress=False)
    assert contents(out) == before
    other = tmp_path / "other"
    limited_data({"a": SVC()}, X, y, sizes=[4], n_draws=1, out=other, progress=False)
    for use in (lambda: study(diary, out=other), lambda: CohortResults.read(other)):
        with pytest.raises(ValueError, match=r"results\.csv is there, .* by limited_data"):
            use()


def edited(text, **cells):
    """The table with other cells in its first row."""
    header, first, *rest = text.splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True)) | cells
    return "\n".join([header, ",".join(row.values()), *rest, ""])


@pytest.mark.parametrize(
    "file, damage, message",
    [
        ("fits.csv", lambda text: "", r"fits\.csv is damaged, .*: line 0: the columns must be"),
        ("fits.csv", lambda text: text[:-3], r"line 7: it is not of the study"),
        ("fits.csv", lambda text: text[:-1], r"line 7: it must end"),
        ("fits.csv", lambda text: text.replace("True", "maybe", 1), "line 2: probabilities must b"),
        ("fits.csv", lambda text: text + text.splitlines()[-1] + "\n", "line 8: .* twice"),
        ("fits.csv", lambda text: text.replace(",16,", ",", 1), "line 2: there must be 12 values"),
        ("predictions.csv", lambda text: "", r"predictions\.csv is damaged.*: line 0: the col"),
        ("predictions.csv", lambda text: text[: len(text) // 2], "line 2[0-9]: "),
        ("predictions.csv", lambda text: text[:-1], "line 49: it must end"),
        ("predictions.csv", lambda text: text[:-3] + "x\n", "line 49: score:c must be float64"),
        (
            "predictions.csv",
            lambda text: "".join(text.splitlines(True)[:-1]),
            r"predictions\.csv is damaged, .*: it must have 8 rows of estimator 'b', repeat 2, as",
        ),
        ("predictions.csv", lambda text: text.replace("sub-", "sob-"), r"those of the data"),
        ("predictions.csv", lambda text: "\0" * len(text), r"predictions\.csv is damaged"),
        (
            "predictions.csv",
            lambda text: edited(text, predicted="c"),
            r"predictions\.csv is damaged, .*: of estimator 'a', repeat 0, the prediction of 8 is",
        ),
        ("predictions.csv", lambda text: edited(text, predicted="b"), "predicted of 8 .* got 'b'"),
        ("predictions.csv", lambda text: edited(text, label="b"), "the label of 8 must be a class"),
        (
            "predictions.csv",
            lambda text: edited(text, **{"score:c": "nan"}),
            "the scores of 8 must be probabilities .* nan",
        ),
        (
            "predictions.csv",
            lambda text: edited(text, **{"score:a": "0.1"}),
            "sum to one, got .0.1",
        ),
        ("predictions.csv", lambda text: edited(text, subject="sub-03"), "4 subjects, got 5"),
        ("fits.csv", lambda text: text.replace(",16,", ",15,", 1), r"n_train .* split|of the data"),
        ("fits.csv", lambda text: edited(text, n_train="-3"), "line 2: n_train must be at least 0"),
        (
            "fits.csv",
            lambda text: edited(text, fit_seconds="nan"),
            "fit_seconds must be .*, got nan",
        ),
        ("study.json", lambda text: text[:-5], r"study\.json is damaged"),
        ("study.json", lambda text: text.replace("n_repeats", "n"), r"study\.json is damaged"),
    ],
)
def test_damaged_files_are_refused_and_left_alone(file, damage, message, diary, tmp_path):
    out = tmp_path / "out"
    study(diary, out=out)
    (out / file).write_text(damage((out / file).read_text()))
    before = contents(out)
    with pytest.raises(ValueError, match=message):
        study(diary, out=out)
    if "of the data" not in message:  # which only the study knows
        with pytest.raises(ValueError, match=message):
            CohortResults.read(out)
    assert contents(out) == before


def test_a_scan_has_one_label_wherever_it_was_tested(diary, tmp_path):
    out = tmp_path / "out"
    label = study(diary, out=out).predictions["label"][0]
    text = (out / "predictions.csv").read_text()
    (out / "predictions.csv").write_text(edited(text, label="a" if label == "c" else "c"))
    with pytest.raises(ValueError, match="subject and label of 8 must be the same in all its rows"):
        CohortResults.read(out)


def test_a_file_that_is_gone_is_missed(diary, tmp_path):
    out = tmp_path / "out"
    study(diary, out=out)
    (out / "predictions.csv").unlink()
    for use in (lambda: study(diary, out=out), lambda: CohortResults.read(out)):
        with pytest.raises(FileNotFoundError, match=r"predictions\.csv"):
            use()
    (out / "study.json").unlink()
    with pytest.raises(ValueError, match=r"fits\.csv is there, but no study\.json"):
        study(diary, out=out)


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
    tested = results.predictions["scan"].tolist()
    assert set(tested) < set(cohort.X)
    shutil.move(tmp_path / "cohort", tmp_path / "elsewhere")
    moved = type(cohort).from_bids(tmp_path / "elsewhere", target="diagnosis")
    more = volume_study(moved, tmp_path / "cache", out=tmp_path / "out")
    pd.testing.assert_frame_equal(more.fits[TIMES][:1], results.fits[TIMES])
    assert more.predictions["scan"].isin(moved.X).all()
    assert_same(more, volume_study(moved))
    assert_same(CohortResults.read(tmp_path / "out"), more)


def test_volumes_may_be_read_when_they_are_asked_for(cohort):
    volumes = NiftiVolumes(grid="same", stream=True).fit_transform(cohort.X)
    model = make_pipeline(FunctionTransformer(flattened), LogisticRegression())
    options = {"n_repeats": 2, "progress": False}
    results = cohort_study({"lr": model}, volumes, cohort.y, cohort.groups, **options)
    expected = volume_study(cohort).predictions.drop(columns="scan")
    pd.testing.assert_frame_equal(results.predictions.drop(columns="scan"), expected)


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
    expected = volume_study(cohort).predictions.drop(columns="scan")
    pd.testing.assert_frame_equal(results.predictions.drop(columns="scan"), expected)
    assert results.predictions["scan"].isin([str(row) for row in range(len(images))]).all()
    with pytest.raises(ValueError, match=r"in training and in test, .*: .* and an image in memory"):
        check_leakage([nibabel.Nifti1Image.from_bytes(images[0].to_bytes())], cohort.X[:1])


def test_the_same_rows_of_two_subjects_are_refused(diary):
    X, y, groups = data()
    X[[1, 9]] = X[8], X[8]  # of sub-00, and of sub-04 twice
    with pytest.raises(ValueError, match="row 1 of sub-00 and row 8 of sub-04") as caught:
        cohort_study(models(diary), X, y, groups)
    assert "row 9 of sub-04" in str(caught.value)
    X[1] = 0.0
    cohort_study(models(diary), X, y, groups, n_repeats=1, progress=False)  # one subject may


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
        ({"estimators": {"a": Ridge()}}, r"estimators\['a'\] must be a classifier, got Ridge"),
        ({"estimators": {"a": Loud()}}, r"estimators\['a'\] must have predict_proba or decision_f"),
        ({"estimators": {"a": SVC}}, r"estimators\['a'\] must be an estimator"),
        ({"y": np.arange(24)}, "y must be the labels of classes, got 24 different numbers"),
        ({"y": np.arange(24) % 2 + 0.5}, "Unknown label type"),
        ({"y": ["a"] * 24}, r"at least 2 classes with at least 2 subjects each, got \{'a': 12\}"),
        ({"y": ["b"] * 2 + ["a"] * 22}, r"got \{'a': 11, 'b': 1\}"),
        ({"y": ["b"] + ["a"] * 23}, r"got \{'a': 12, 'b': 1\}"),
        ({"y": [None] + ["a"] * 23}, "y must have no missing values, got 1"),
        ({"y": ["a", "a", None] + ["b"] * 21}, "y must have no missing values, got 1, of sub-01."),
        (
            {"sites": ["s"] * 10 + [None] * 2 + ["t"] * 12},
            "sites must have no missing values, got 2, of sub-05",
        ),
        ({"groups": ["s", "t"] * 6}, r"as many scans each, got \[24, 24, 12\]"),
        ({"groups": [np.nan] * 24}, "groups must have no missing values"),
        ({"X": np.zeros((3, 2))}, r"as many scans each, got \[3, 24, 24\]"),
        ({"X": "scans/*.nii"}, r"X must have one path a scan, got 'scans/\*\.nii' for all"),
        ({"X": ["scan.nii"] * 23 + [1]}, "X must hold paths or images, but entry 23 is 1"),
        ({"X": ["missing.nii"] * 24}, r"missing\.nii"),
        ({"sites": ["s", "t"]}, r"got \[24, 24, 24, 2\]"),
        ({"sites": ["s", "t"] * 12}, "for each of 20 repeats"),
        ({"n_repeats": 0}, "n_repeats == 0, must be >= 1"),
        ({"test_size": 2.0}, "test_size must be a share"),
        ({"random_state": None}, "random_state must be an instance"),
        ({"n_jobs": 0}, "n_jobs must be a number"),
        ({"target": None}, "target must be an instance of str"),
        ({"left_out": [1]}, "left_out must be a table with the columns"),
        ({"left_out": pd.DataFrame({"file": []})}, "left_out must be a table with the columns"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_fitted(change, message, diary, tmp_path):
    X, y, groups = data()
    given = {"estimators": models(diary), "X": X, "y": y, "groups": groups} | change
    with pytest.raises((ValueError, TypeError, OSError), match=message):
        cohort_study(**given, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
    assert not (diary / "diary").exists()


@pytest.mark.parametrize(
    "estimator, message",
    [
        (Louder(np.nan), "Scores must be finite and of shape .8, 2., .* with 16 that are not"),
        (Louder([1.0, 2.0, 3.0]), "Scores must be finite"),
        (Louder(1.0, "q"), r"predicts what is no label, .'q'., of .'a', 'c'."),
    ],
)
def test_scores_and_labels_that_mean_nothing_are_refused(estimator, message):
    with pytest.raises(ValueError, match=message) as caught:
        cohort_study({"loud": estimator}, *data(), n_repeats=1, progress=False)
    assert caught.value.__notes__ == ["Raised by the estimator 'loud' in repeat 0."]


def test_an_unwritable_place_is_named_before_anything_is_fitted(diary, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        study(diary, out=tmp_path / "file" / "out")
    assert not (diary / "diary").exists()
