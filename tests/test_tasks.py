"""What y means to a study: which task, read in one pass, and the same in arrays and in tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC

from sklstruct import (
    BoundaryDetector,
    LinearStackClassifier,
    PixelSVC,
    RFNNClassifier,
    StructuredMapClassifier,
    StructuredMapRegressor,
)
from sklstruct.datasets import simulate_cohort
from sklstruct.io import NiftiVolumes
from sklstruct.io.nifti.lazy import VolumeReader
from sklstruct.studies.tasks import (
    Classes,
    ClassMaps,
    ScoredMaps,
    ValueMaps,
    Values,
    is_dense,
    task_from,
    task_of,
)

RNG = np.random.default_rng


# Which task ---------------------------------------------------------------------------------


MAPS = [np.eye(4, dtype=int), np.ones((3, 5), int)]
DENSE = StructuredMapClassifier(max_epochs=1)
IGNORING = StructuredMapClassifier(ignored_label=9)


@pytest.mark.parametrize(
    "y, estimators, kind, classes",
    [
        (["b", "a"], [GaussianNB(), GridSearchCV(SVC(), {})], Classes, ["a", "b"]),
        (np.array([[1], [0]]), [make_pipeline(PCA(), RidgeClassifier())], Classes, [0, 1]),
        ([1.5, 2.0], [LinearRegression(), make_pipeline(PCA(), DummyRegressor())], Values, []),
        (MAPS, [DENSE, make_pipeline(FunctionTransformer(), DENSE)], ClassMaps, [0, 1]),
        (np.stack([MAPS[0]] * 2), [DENSE], ClassMaps, [0, 1]),
        (MAPS, [StructuredMapRegressor()], ValueMaps, []),
        (MAPS, [BoundaryDetector()], ScoredMaps, []),
    ],
)
def test_y_and_estimators_say_which_task_it_is(y, estimators, kind, classes):
    task = task_of(y, dict(zip("ab", estimators, strict=False)))
    assert type(task) is kind
    assert task.classes.tolist() == classes
    again = task_from(task.describe() | {"data": {"classes": classes}})
    assert type(again) is kind
    assert again.classes.tolist() == classes


@pytest.mark.parametrize(
    "y, estimators, error, message",
    [
        ([0, 1], {"a": GaussianNB(), "b": LinearRegression()}, TypeError,
         "'a' is a classifier and 'b' a regressor"),
        (MAPS, {"a": DENSE, "b": GaussianNB()}, TypeError,
         "'a' is a classifier of maps and 'b' a classifier"),
        ([0, 1], {"a": PCA()}, TypeError, r"estimators\['a'\] must be a classifier, a regressor"),
        (MAPS, {"a": GaussianNB()}, ValueError, "one label or value a sample .*by an attribute"),
        (np.zeros((3, 2)), {"a": LinearRegression()}, ValueError, r"of shape \(3, 2\)"),
        ([0, 1], {"a": DENSE}, ValueError, "must have a map a sample"),
        (MAPS, {"a": DENSE, "b": IGNORING}, ValueError, "one ignored_label"),
    ],
)  # fmt: skip
def test_mixtures_and_what_does_not_fit_are_refused(y, estimators, error, message):
    with pytest.raises(error, match=message):
        task_of(y, estimators)


def test_the_positive_class_of_two():
    assert task_of([0, 1], {"a": GaussianNB()}, positive=np.int64(0)).positive == 0
    for y, positive in (([0, 1], 2), ([0, 1, 2], 1)):
        with pytest.raises(ValueError, match="positive must be one of two classes, got"):
            task_of(y, {"a": GaussianNB()}, positive)
    with pytest.raises(ValueError, match="positive"):
        task_of([0.5, 1.5], {"a": LinearRegression()}, 0)
    columns = {"label": np.array([0, 0, 0, 1]), "predicted": np.array([0, 0, 1, 1])}
    columns["probabilities"] = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    classes = np.array([0, 1])
    one, other = (Classes(classes, positive).score(columns) for positive in (1, 0))
    assert (one["sensitivity"], one["specificity"]) == (1, 2 / 3)
    assert (other["sensitivity"], other["specificity"]) == (2 / 3, 1)
    assert one["auc"] == other["auc"] == 2 / 3


# Arrays and tables --------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.booleans())
def test_the_auc_by_ranks_is_that_of_scikit_learn(seed, n_classes, ties):
    rng = RNG(seed)
    y = rng.permutation(np.arange(20) % n_classes)
    scores = rng.uniform(size=(20, n_classes)).round(1 if ties else 9) + 0.01
    task = Classes(np.arange(n_classes))
    columns = {"label": y, "predicted": scores.argmax(axis=1), "decisions": scores}
    each = [roc_auc_score(y == k, scores[:, k]) for k in range(n_classes)]
    expected = each[1] if n_classes == 2 else np.mean(each)
    assert task.score(columns)["auc"] == pytest.approx(expected, abs=1e-12)


def test_tables_hold_what_arrays_do():
    rng = RNG(0)
    label = rng.integers(0, 3, size=9).astype(np.int16)
    proba = rng.dirichlet(np.ones(3), size=9)
    maps, two = rng.integers(0, 2, size=(2, 5, 3, 4)), ClassMaps(np.array([0, 1]))
    tasks = {
        Classes(np.array(["x", "y", "z"])): {
            "label": label, "predicted": proba.argmax(axis=1), "probabilities": proba
        },
        Values(): {"label": rng.normal(size=9), "predicted": rng.normal(size=9)},
        two: two.predict(Says(maps[0]), None, maps[1]),
        ValueMaps(): ValueMaps().predict(Says(maps[0]), None, maps[1].astype(float)),
        ScoredMaps(): {"score": np.full(4, 0.5)},
    }  # fmt: skip
    for task, columns in tasks.items():
        table = pd.DataFrame(task.frame(columns))
        again = task.columns(table)
        everyone = np.arange(len(table))
        outcome = task.outcome(again, everyone, everyone)
        found = {name: float(measure(outcome)[0]) for name, measure in task.measures.items()}
        assert found == pytest.approx({n: task.score(columns)[n] for n in found}, nan_ok=True)


class Says:
    """What predicts what it is told to."""

    def __init__(self, said):
        self.said = said

    def predict(self, X):
        return self.said


def test_classes_that_were_not_learned_are_improbable():
    model = GaussianNB().fit(np.array([[0.0], [1.0], [4.0], [5.0]]), ["c", "c", "a", "a"])
    task = Classes(np.array(["a", "b", "c"]))
    columns = task.predict(model, np.array([[0.0], [5.0], [2.0]]), ["c", "a", "b"])
    assert columns["predicted"].tolist()[:2] == [2, 0]
    np.testing.assert_array_equal(columns["probabilities"][:, 1], 0)
    np.testing.assert_array_equal(
        columns["probabilities"][:, [0, 2]], model.predict_proba([[0.0], [5.0], [2.0]])
    )


def test_places_of_the_ignored_label_do_not_count():
    y = [np.array([[0, 1, 9]]), np.array([[9, 1]])]
    task = task_of(y, {"a": IGNORING})
    assert task.classes.tolist() == [0, 1]
    columns = task.predict(Says([np.array([[0, 0, 0]]), np.array([[1, 1]])]), None, y)
    assert columns["counts"].tolist() == [[[1, 0], [1, 0]], [[0, 0], [0, 1]]]


def test_channels_of_maps_are_where_predictions_have_them():
    y = RNG(0).normal(size=(2, 4, 5, 3))
    columns = ValueMaps().predict(Says(np.moveaxis(y, -1, 1)), None, y)
    assert columns["squared_error"].tolist() == [0, 0]
    assert columns["n"].tolist() == [60, 60]
    columns = ValueMaps().predict(Says(y[..., 0]), None, y[..., :1])
    assert columns["squared_error"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "task, said, y, message",
    [
        (
            ClassMaps(np.arange(2)),
            [np.eye(3, dtype=int)],
            [np.eye(4, dtype=int)],
            "of sample 0 must",
        ),
        (
            ClassMaps(np.arange(2)),
            [np.full((2, 2), 7)],
            [np.ones((2, 2), int)],
            r"predicts .*\{7\}",
        ),
        (ValueMaps(), [np.full((2, 2), np.nan)], [np.ones((2, 2))], "finite.* sample 0"),
        (Values(), np.array([1.0, np.nan]), [0, 1], "with 1 that are not finite"),
        (Values(), np.zeros((2, 3)), [0, 1], r"of shape \(2,\), got shape \(2, 3\)"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(task, said, y, message):
    with pytest.raises(ValueError, match=message):
        task.predict(Says(said), None, y)


def test_labels_and_scores_that_are_none_are_refused():
    task = Classes(np.array([0, 1]))
    X = np.zeros((2, 1))
    model = DummyClassifier().fit(X, [3, 4])
    with pytest.raises(ValueError, match=r"It predicts what is no label, \{3\}"):
        task.predict(model, X, [0, 1])
    with pytest.raises(ValueError, match=r"y has what is no label, \{5\}"):
        task.predict(DummyClassifier().fit(X, [0, 1]), X, [0, 5])
    model = RidgeClassifier().fit(np.array([[0.0], [1.0]]), [0, 1])
    with pytest.raises(ValueError, match="decision values of all classes"):
        Classes(np.arange(3)).predict(model, X, [0, 1])


# In one pass --------------------------------------------------------------------------------


class Counted(BaseEstimator):
    """A step that counts the samples that are read through it."""

    read = 0

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        Counted.read += len(X)
        return X


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.parametrize("last", [LogisticRegression(), SVC()])
def test_a_pipeline_reads_each_tested_sample_once(searched, last):
    X, y = RNG(0).normal(size=(40, 3)), np.arange(40) % 2
    model = make_pipeline(Counted(), last)
    model = GridSearchCV(model, {}, cv=2) if searched else model
    model.fit(X, y)
    Counted.read = 0
    columns = Classes(np.arange(2)).predict(model, X, y)
    assert Counted.read == len(X)
    np.testing.assert_array_equal(columns["predicted"], model.predict(X))
    name = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    scores = getattr(model, name)(X)
    np.testing.assert_array_equal(columns[["decisions", "probabilities"][scores.ndim - 1]][:, 1],
                                  scores if scores.ndim == 1 else scores[:, 1])  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        RFNNClassifier(widths=(4,), max_epochs=1, random_state=0),
        PixelSVC(random_state=0),
        LinearStackClassifier(
            network=RFNNClassifier(widths=(4,), max_epochs=1),
            linear=PixelSVC(),
            cv=2,
            random_state=0,
        ),
    ],
)
def test_labels_and_probabilities_at_once_are_those_one_by_one(model):
    X = RNG(0).normal(size=(40, 6, 6))
    y = np.array(["a", "b", "c", "d"])[np.arange(40) % 4]
    model.fit(X, y)
    labels, probabilities = model.predict_with_proba(X)
    np.testing.assert_array_equal(labels, model.predict(X))
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))


def test_labels_and_probabilities_of_maps_at_once():
    images = [np.eye(6), np.eye(5, 8)]
    model = StructuredMapClassifier(max_epochs=1, random_state=0)
    model.fit(images, [image > 0 for image in images])
    for X in (images, np.stack([images[0]] * 2)):
        one_by_one = model.predict(X), model.predict_proba(X)
        for found, expected in zip(model.predict_with_proba(X), one_by_one, strict=True):
            assert type(found) is type(expected)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_stream_of_volumes_is_read_once(tmp_path, monkeypatch):
    cohort = simulate_cohort(tmp_path, n_subjects=8, random_state=0)
    network = RFNNClassifier(widths=(2,), max_epochs=1, random_state=0)
    model = make_pipeline(NiftiVolumes(stream=True, shape=(8, 8, 8)), network)
    y = np.arange(len(cohort.X)) % 2
    model.fit(cohort.X, y)
    read, original = [], VolumeReader.read

    def counted(self, path, out=None):
        read.append(str(path))
        return original(self, path, out)

    monkeypatch.setattr(VolumeReader, "read", counted)
    columns = Classes(np.arange(2)).predict(model, cohort.X, y)
    assert sorted(read) == sorted(map(str, cohort.X))
    np.testing.assert_array_equal(columns["predicted"], model.predict(cohort.X))


def test_what_has_no_scores_has_no_metrics_of_them():
    X, y = RNG(0).normal(size=(20, 2)), np.arange(20) % 2
    task, voters = Classes(np.arange(2)), [("bayes", GaussianNB())]
    columns = task.predict(VotingClassifier(voters).fit(X, y), X, y)
    found, expected = (task.score(c) for c in (columns, task.predict(GaussianNB().fit(X, y), X, y)))
    lost = {"auc": np.nan, "brier": np.nan, "log_loss": np.nan, "probabilities": False}
    assert found == pytest.approx(expected | lost, nan_ok=True)


class OwnScore(ClassifierMixin, BaseEstimator):
    """A classifier that is asked for everything, as it does not know both at once."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0).astype(int)]

    def predict_proba(self, X):
        return np.stack([X[:, 0] <= 0.5, X[:, 0] > 0.5], axis=1).astype(np.float32)


def test_what_an_estimator_predicts_is_not_taken_from_its_probabilities():
    X, y = np.array([[0.2], [0.7], [-1.0]]), np.array([1, 1, 0])
    columns = Classes(np.arange(2)).predict(OwnScore().fit(X, y), X, y)
    assert columns["predicted"].tolist() == [1, 1, 0]
    assert columns["probabilities"].dtype == np.float32
    assert columns["probabilities"].argmax(axis=1).tolist() == [0, 1, 0]


def test_a_detector_is_judged_by_its_own_score():
    images = [np.eye(20), np.eye(16, 24)]
    maps = [image > 0 for image in images]
    model = BoundaryDetector(widths=(4,), crop=16, max_epochs=2, random_state=0).fit(images, maps)
    task = task_of(maps, {"net": model})
    columns = task.predict(model, images, maps)
    assert task.score(columns) == {"score": pytest.approx(model.score(images, maps))}


@pytest.mark.parametrize("dense", [True, False])
def test_whatever_holds_an_estimator_of_maps_gives_maps(dense):
    one = StructuredMapClassifier() if dense else RFNNClassifier()
    held = make_pipeline(PCA(), GridSearchCV(FrozenEstimator(one), {}))
    assert [is_dense(one), is_dense(held)] == [dense, dense]
    assert not is_dense(GaussianNB())
