"""Searches inside a study: the same budget for all, and nothing that the training part tells."""

import itertools
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import loguniform, randint
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklstruct.studies import Budget, BudgetSearchCV, KFold, Study, search
from sklstruct.studies.parameters import describe_value
from sklstruct.studies.search import InnerSplits

X, Y = load_iris(return_X_y=True)
GRID = {"C": [0.01, 0.1, 10], "gamma": ["auto", 0.1]}


class Noted(ClassifierMixin, BaseEstimator):
    """Predicts by a threshold, is right for the level 3, and notes whom it was fitted on."""

    fits: ClassVar = []

    def __init__(self, level=0, random_state=None):
        self.level = level
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        self.classes_ = np.unique(y)
        self.fits.append((self.level, None if groups is None else np.unique(groups).tolist()))
        return self

    def predict(self, X):
        return np.where(X[:, 0] > self.level, *self.classes_[::-1])


@pytest.fixture(autouse=True)
def no_fits():
    Noted.fits.clear()


def levels():
    return [level for level, _ in Noted.fits]


def fits_of(search):
    return len(search.cv_results_["params"]) * search.n_splits_


X_LEVELS = np.tile([[1.0], [2], [4], [5]], (6, 1))
Y_LEVELS = (X_LEVELS[:, 0] > 3).astype(int)


@given(
    st.integers(2, 6),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=6, max_size=40),
    st.booleans(),
    st.booleans(),
)
def test_inner_splits_keep_subjects_together_and_any_two_of_a_class_apart(
    n_splits, samples, grouped, classes
):
    y, groups = np.array(samples).T
    y = y[groups % len(y)] if grouped else y  # one class a subject
    groups = groups if grouped else None
    subjects = np.arange(len(y)) if groups is None else groups
    splits = InnerSplits(n_splits, 0, classes)
    of_class = {label: {*subjects[y == label]} for label in np.unique(y)}
    if max(map(len, of_class.values() if classes else [{*subjects}])) < 2:
        with pytest.raises(ValueError, match="two subjects of a class"):
            next(splits.split(y, y, groups))
        return
    folds = list(splits.split(y, y, groups))
    assert len(folds) == splits.get_n_splits(y, y, groups) == min(n_splits, len({*subjects}))
    np.testing.assert_array_equal(
        np.sort(np.concatenate([test for _, test in folds])), range(len(y))
    )
    for train, test in folds:
        assert not {*subjects[train]} & {*subjects[test]}
        assert sorted([*train, *test]) == list(range(len(y)))
        if classes:  # whatever is tested was learned from, if there are two
            assert all(of_class[c] & {*subjects[train]} for c in of_class if len(of_class[c]) > 1)
    if classes:
        tested = [[len(of & {*subjects[test]}) for _, test in folds] for of in of_class.values()]
        assert np.ptp(tested, axis=1).max() <= 1
    again = [test.tolist() for _, test in splits.split(y, y, groups)]
    assert again == [test.tolist() for _, test in folds]


@pytest.mark.parametrize("parameters", [GRID, {"C": loguniform(1e-2, 1e2)}], ids=["grid", "drawn"])
def test_a_larger_budget_tries_what_a_smaller_one_does_and_then_more(parameters):
    tried = [
        BudgetSearchCV(SVC(), parameters, Budget(fits=fits), random_state=3).fit(X, Y)
        for fits in (6, 14, 14)
    ]
    small, large, again = [str(s.cv_results_["params"]) for s in tried]
    assert large == again != str(tried[0].cv_results_["params"])
    assert large.startswith(small[:-1])
    assert [*map(fits_of, tried)] == [6, 12, 12]  # what pays for no candidate is not spent
    own = SVC().get_params()
    assert tried[0].cv_results_["params"][0] == {name: own[name] for name in parameters}
    assert tried[1].best_score_ >= tried[0].best_score_


def test_a_grid_that_is_smaller_than_the_budget_is_searched_once_and_as_a_whole():
    model = BudgetSearchCV(Noted(), {"level": [0, 3, 6]}, Budget(fits=100), random_state=0)
    model.fit(X_LEVELS, Y_LEVELS)
    assert levels()[:3] == [0, 0, 0]  # what it has by itself, which the grid need not repeat
    assert sorted(levels()[:-1]) == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert levels()[-1] == model.best_params_["level"] == 3
    assert (model.best_score_, fits_of(model)) == (1, 9)
    assert model.predict(X_LEVELS).tolist() == Y_LEVELS.tolist()


def test_a_search_is_no_worse_than_no_search_on_its_splits():
    model = BudgetSearchCV(Noted(3), {"level": [0, 6]}, Budget(fits=100)).fit(X_LEVELS, Y_LEVELS)
    assert model.best_params_ == {"level": 3}


def test_seconds_are_spent_as_far_as_candidates_fit_into_them(monkeypatch):
    clock = itertools.count(step=10)  # a candidate takes 10 s
    monkeypatch.setattr(search, "perf_counter", lambda: next(clock))
    model = BudgetSearchCV(Noted(), {"level": randint(0, 9)}, Budget(seconds=35), random_state=0)
    model.fit(X_LEVELS, Y_LEVELS)
    assert fits_of(model) == 9


def test_subjects_stay_together_and_reach_who_holds_out_samples():
    groups = np.repeat(np.arange(12), 2)
    pipeline = make_pipeline(StandardScaler(), Noted())
    for model, name in ((Noted(), "level"), (pipeline, "noted__level")):
        Noted.fits.clear()
        tuned = BudgetSearchCV(model, {name: [3]}, Budget(fits=6), random_state=0)
        tuned.fit(X_LEVELS, Y_LEVELS, groups=groups)
        *inner, (_, last) = Noted.fits
        assert [len(subjects) for _, subjects in inner] == [8] * 6
        assert last == list(range(12))


def test_values_are_judged_by_r2_and_any_metric_can_take_its_place():
    values = load_diabetes(return_X_y=True)
    default = BudgetSearchCV(Ridge(), {"alpha": [0.1]}, Budget(fits=6), random_state=0)
    squares = BudgetSearchCV(
        Ridge(), {"alpha": [0.1]}, Budget(fits=6), random_state=0, metric="neg_mean_squared_error"
    )
    assert 0.4 < default.fit(*values).best_score_ < 0.6
    assert squares.fit(*values).best_score_ < -1000


@pytest.mark.parametrize(
    "parameters, error",
    [
        ({"noted__levle": [1]}, "'noted__levle' is no parameter of Pipeline.* mean noted__level"),
        ({"noted": [Noted()], "noted__lvl": [1]}, "'noted__lvl' is no parameter"),
        ([{"noted__level": [1]}, {"noted__lvl": randint(0, 1)}], "'noted__lvl' is no parameter"),
        ({"noted__level": []}, "'noted__level' need to be a non-empty sequence"),
        ({"noted__level": 3}, "'noted__level' needs to be a list"),
        ({}, "parameters must be a dict with values or distributions"),
        ([], "parameters must be a dict with values or distributions"),
        ("level", "parameters must be a dict with values or distributions"),
    ],
)
def test_a_grid_that_cannot_be_searched_is_known_before_anything_is_fitted(parameters, error):
    model = make_pipeline(StandardScaler(), Noted())
    with pytest.raises((ValueError, TypeError), match=error) as raised:
        Study(KFold(2), {"a": model, "b": (model, parameters)})
    assert raised.value.__notes__ == ["Raised by the parameters of the estimator 'b'."]
    with pytest.raises((ValueError, TypeError), match=error):
        BudgetSearchCV(model, parameters, Budget(fits=6)).fit(X_LEVELS, Y_LEVELS)
    assert not Noted.fits


def test_an_error_names_the_candidate():
    model = BudgetSearchCV(Noted(), {"level": ["x"]}, Budget(fits=6))
    with pytest.raises(Exception, match=r"ufunc 'greater'|not supported") as raised:
        model.fit(X_LEVELS, Y_LEVELS)
    assert raised.value.__notes__ == ["Raised by the candidate {'level': 'x'}."]


@pytest.mark.parametrize(
    "budget, error",
    [
        ({}, "in fits or in seconds"),
        ({"fits": 3, "seconds": 1}, "in fits or in seconds"),
        ({"fits": 4, "n_splits": 5}, "fits must be an integer of at least n_splits=5"),
        ({"fits": 9.5}, "fits must be an integer"),
        ({"seconds": float("nan")}, "seconds must be a finite number above 0"),
        ({"fits": 9, "n_splits": 1}, "n_splits must be an integer of at least 2"),
    ],
)
def test_a_budget_that_cannot_be_spent_is_an_error(budget, error):
    with pytest.raises(ValueError, match=error):
        Budget(**budget)


def test_distributions_are_described_by_value():
    one, same, other = loguniform(1e-3, 1), loguniform(1e-3, 1), loguniform(1e-5, 1)
    assert describe_value([{"C": one}]) == describe_value([{"C": same}])
    assert describe_value([{"C": one}]) != describe_value([{"C": other}])


def test_a_study_searches_with_one_budget_and_keeps_what_was_chosen():
    estimators = {
        "plain": Noted(),
        "grid": (Noted(), {"level": [3, 6]}),
        "drawn": (Noted(), {"level": randint(3, 4)}),
    }
    study = Study(KFold(2), estimators, budget=Budget(fits=9))
    results = study.run(X_LEVELS, Y_LEVELS, progress=False)
    fits = results.groupby("estimator", sort=False)["search_fits"].agg(list)
    assert fits.to_dict() == {"plain": [0, 0], "grid": [9, 9], "drawn": [9, 9]}
    assert {*results.query("estimator == 'grid'")["chosen"]} == {'{"level": 3}'}
    assert {*results.query("estimator == 'drawn'")["chosen"]} == {'{"level": 3}'}
    assert results.query("estimator == 'grid'")["accuracy"].tolist() == [1, 1]
