"""Estimators that know the answers are told from those that learn them."""

from typing import ClassVar

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.datasets import make_blobs, make_classification, make_regression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from sklstruct import BoundaryDetector, StructuredMapClassifier
from sklstruct.studies import find_leaks

RNG = np.random.default_rng


class Remembers(ClassifierMixin, BaseEstimator):
    """A nearest neighbour that keeps the first or the last answers from one fit to the next."""

    seen: ClassVar[dict] = {}

    def __init__(self, keeps="first"):
        self.keeps = keeps

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.model_ = KNeighborsClassifier(3).fit(X, y)
        now = dict(zip(map(bytes, X), y, strict=True))
        first, last = (now, self.seen) if self.keeps == "first" else (self.seen, now)
        Remembers.seen = first | last
        return self

    def predict(self, X):
        learned = self.model_.predict(X)
        return np.array([self.seen.get(bytes(x), y) for x, y in zip(X, learned, strict=True)])

    def predict_proba(self, X):
        return (self.predict(X)[:, None] == self.classes_).astype(float)


class Knows(RegressorMixin, BaseEstimator):
    """What has the answers of all samples, as from a table beside the images."""

    def __init__(self, X=None, y=None, noise=0.0):
        self.X, self.y, self.noise = X, y, noise

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        rows = (X[:, None] == self.X).all(axis=2).argmax(axis=1)
        return self.y[rows] + self.noise * RNG(0).normal(size=len(X))


class ReadsNames(ClassifierMixin, BaseEstimator):
    """What reads the diagnosis from the names of files."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        patient = np.array(["patient" in name for name in X], dtype=float)
        return np.stack([1 - patient, patient], axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("keeps", ["first", "last"])
def test_what_remembers_samples_of_other_fits_is_caught(n_classes, keeps):
    Remembers.seen = {}
    X, y = make_blobs(60, centers=n_classes, cluster_std=2.0, random_state=0)
    (row,) = find_leaks({"a": Remembers(keeps)}, X, y).to_dict("records")
    assert row["leaks"]
    assert row["truth"] > 0.9


def test_what_knows_the_values_is_caught_though_it_is_not_exact():
    X, y = make_regression(40, 3, noise=5.0, random_state=0)
    models = {"knows": Knows(X, y, noise=y.std()), "ridge": Ridge()}
    leaks = find_leaks(models, X, y).set_index("estimator")
    assert leaks["leaks"].to_dict() == {"knows": True, "ridge": False}


def test_what_reads_the_names_of_files_is_caught():
    y = np.tile(["control", "patient"], 10)
    X = np.array([f"sub-{i:02d}_{label}.nii" for i, label in enumerate(y)], dtype=object)
    (row,) = find_leaks({"a": ReadsNames()}, X, y, groups=np.arange(20) // 2 * 2).to_dict("records")
    assert (row["truth"], row["taught"], row["leaks"]) == (1, 0, True)


HONEST = {
    "logistic": LogisticRegression(),
    "lda": LinearDiscriminantAnalysis(),
    "bayes": GaussianNB(),
    "neighbour": KNeighborsClassifier(1),
    "neighbours": KNeighborsClassifier(5),
    "tree": DecisionTreeClassifier(),
    "svm": SVC(),
    "most frequent": DummyClassifier(),
    "chance": DummyClassifier(strategy="stratified"),
}


@pytest.mark.parametrize("separation", [0.01, 0.5, 3.0])
def test_honest_estimators_are_not_suspected(separation):
    """Of 9 estimators on 10 data sets hardly one is below 0.01 by chance."""
    found = []
    for seed in range(10):
        X, y = make_classification(
            50, n_classes=2 + seed % 2, n_informative=4, class_sep=separation,
            flip_y=0.5 if separation < 0.1 else 0.01, weights=[0.6, 0.2] if seed % 2 else None,
            random_state=seed,
        )  # fmt: skip
        found += find_leaks(HONEST, X, y, random_state=seed)["leaks"].tolist()
    assert sum(found) <= 3


def test_neighbouring_grades_that_are_confused_are_no_leak():
    """An order of five classes, of which each is often taken for the next one."""
    rng = RNG(0)
    y = np.tile(np.arange(5), 40)
    X = (y + 0.8 * rng.normal(size=200))[:, None]
    assert not find_leaks(HONEST, X, y)["leaks"].any()


def test_values_without_any_signal_are_no_leak():
    rng = RNG(0)
    models = {"mean": DummyRegressor(), "ridge": Ridge(), "neighbour": KNeighborsRegressor(3)}
    found = [find_leaks(models, rng.normal(size=(30, 5)), rng.normal(size=30)) for _ in range(10)]
    assert sum(table["leaks"].sum() for table in found) <= 1


class Painted(ClassifierMixin, BaseEstimator):
    """What has all maps, or turns what it sees into the label that it was taught for that."""

    dense = True

    def __init__(self, known=None):
        self.known = known

    def fit(self, X, y):
        X, y = np.stack(list(X)), np.stack(list(y))
        self.labels_ = {value: np.bincount(y[value == X]).argmax() for value in np.unique(X)}
        return self

    def predict(self, X):
        if self.known is not None:
            rows = [np.flatnonzero((self.known[0] == x).all(axis=(1, 2)))[0] for x in X]
            return self.known[1][rows]
        return np.vectorize(self.labels_.get)(np.stack(list(X)))


def test_maps_that_are_known_are_told_from_those_that_are_learned():
    X = RNG(0).integers(0, 3, size=(12, 5, 6))
    y = X % 2
    models = {"learns": Painted(), "knows": Painted((X, y))}
    leaks = find_leaks(models, X, y).set_index("estimator")
    assert leaks["leaks"].to_dict() == {"learns": False, "knows": True}
    assert leaks.loc["learns", "truth"] == 0
    network = StructuredMapClassifier(max_epochs=2, random_state=0)
    assert not find_leaks({"net": network}, X[:6].astype(float), y[:6])["leaks"].any()


def test_what_judges_itself_cannot_be_tested():
    with pytest.raises(ValueError, match="needs predictions"):
        find_leaks({"a": BoundaryDetector()}, np.zeros((4, 8, 8)), np.zeros((4, 8, 8)))
