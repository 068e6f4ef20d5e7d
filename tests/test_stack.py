"""A network stacked with a linear model: what each part has to say, and how that is chosen."""

from typing import ClassVar

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV

from sklstruct import LinearStackClassifier, LinearStackRegressor, RFNNClassifier
from sklstruct.estimators.stack import LEAST_PROBABILITY, SHARES, simplest

SMALL = RFNNClassifier(widths=(8,), max_epochs=5)


def spots(n=60, seed=0):
    """Half of the images have a spot on the left, the others the same spot on the right."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, 12, 12)), np.arange(n) % 2
    X[y == 0, 2:5, 2:5] += 1.5
    X[y == 1, 7:10, 7:10] += 1.5
    return X, y


class Oracle(ClassifierMixin, BaseEstimator):
    """Knows the class of a sample, which its first value is, with some probability of error."""

    seen: ClassVar[list] = []  # the samples of each fit

    def __init__(self, wrong=0.0, confidence=2.0):
        self.wrong, self.confidence = wrong, confidence

    def fit(self, X, y, sample_weight=None, groups=None):
        self.classes_ = np.unique(y)
        Oracle.seen.append((X[:, 0], sample_weight, groups))
        return self

    def predict_proba(self, X):
        rng = np.random.default_rng(int(1e6 * abs(X[:, 1]).sum()))
        truth = np.where(rng.random(len(X)) < self.wrong, 1 - X[:, 0], X[:, 0])
        sure = 2 * truth - 1
        return softmax(self.confidence * np.stack([-sure, sure], axis=1), axis=1)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def numbers(n=200, seed=0):
    y = np.arange(n) % 2
    return np.stack([y, np.random.default_rng(seed).random(n)], axis=1), y


def test_the_stack_is_the_weighted_mean_of_logarithms():
    X, y = spots()
    stack = LinearStackClassifier(network=SMALL, random_state=0).fit(X, y)
    parts = [
        np.log(np.maximum(part.predict_proba(X).astype(float), LEAST_PROBABILITY))
        for part in (stack.network_, stack.linear_)
    ]
    logits = stack.weights_[0] * parts[0] + stack.weights_[1] * parts[1]
    np.testing.assert_allclose(stack.predict_proba(X), softmax(logits, axis=1), rtol=1e-9)
    np.testing.assert_allclose(stack.decision_function(X), logits[:, 1] - logits[:, 0], rtol=1e-9)
    assert stack.n_parameters_ == stack.network_.n_parameters_ + stack.linear_.n_parameters_
    again = clone(stack).fit(X, y)
    assert np.array_equal(again.predict_proba(X), stack.predict_proba(X))
    assert stack.network.random_state is None  # what was given stays as it is


def test_where_the_linear_part_says_it_all_it_is_left_alone():
    """The rule of one standard error: a network that is no better has no say."""
    X, y = numbers()
    parts = {"linear": Oracle(wrong=0.1), "network": Oracle(wrong=0.1)}
    for seed in range(5):
        worse = LinearStackClassifier(**parts | {"network": Oracle(wrong=0.4)}, random_state=seed)
        assert worse.fit(X, y).share_ == 0
        assert worse.score(X, y) == worse.linear_.score(X, y)
    useful = LinearStackClassifier(linear=Oracle(wrong=0.4), network=Oracle(wrong=0.05))
    assert useful.set_params(random_state=0).fit(X, y).share_ > 0.3


def test_the_simplest_candidate_within_one_standard_error():
    rng = np.random.default_rng(0)
    n = 400
    noise = rng.normal(size=n)
    losses = np.stack([np.full(n, 0.05) + noise, np.zeros(n) + noise, rng.normal(size=n) + 3])
    assert simplest(losses, np.ones(n), np.arange(n)) == 1  # a sure difference, however small
    doubtful = losses.copy()
    doubtful[0] += rng.normal(scale=2.0, size=n)
    mean = (doubtful[0] - doubtful[1]).mean()
    error = (doubtful[0] - doubtful[1]).std(ddof=1) / np.sqrt(n)
    assert (mean <= error) == (simplest(doubtful, np.ones(n), np.arange(n)) == 0)
    # repeated samples of a subject are no further evidence
    few = np.repeat(doubtful[:, :20], 20, axis=1)
    assert simplest(few, np.ones(n), np.repeat(np.arange(20), 20)) == simplest(
        doubtful[:, :20], np.ones(20), np.arange(20)
    )


def test_probabilities_are_calibrated():
    """Parts that are too sure of themselves are believed as far as they are right."""
    X, y = numbers(n=600)
    sure = Oracle(wrong=0.2, confidence=8.0)
    stack = LinearStackClassifier(network=sure, linear=sure, random_state=0).fit(X, y)
    assert stack.predict_proba(X).max() == pytest.approx(0.8, abs=0.05)


def test_subjects_are_held_out_together_and_weights_go_along():
    X, y = numbers(n=60)
    X[:, 0] = np.arange(60)  # which sample it is
    groups, weight = np.arange(60) // 4 * 2 + y, np.where(np.arange(60) < 6, 0.0, 1.0 + y)
    part = Oracle()
    Oracle.seen = []
    LinearStackClassifier(network=part, linear=part, random_state=0).fit(X, y, weight, groups)
    whole = set(range(6, 60))
    assert len(Oracle.seen) == 2 * (3 + 1)
    for samples, weights, subjects in Oracle.seen:
        samples = samples.astype(int)
        assert set(samples) <= whole
        assert np.array_equal(weights, weight[samples])
        assert len(np.unique(subjects)) == len(np.unique(groups[samples]))
        held_out = whole - set(samples)
        assert not set(groups[samples]) & set(groups[sorted(held_out)])


def test_weights_are_not_negative():
    X, y = spots(n=8)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        LinearStackClassifier(network=SMALL).fit(X, y, sample_weight=-np.ones(8))


def test_where_nothing_can_be_held_out_the_linear_part_stands_alone():
    X, y = spots(n=6)
    stack = LinearStackClassifier(network=SMALL, random_state=0).fit(X, [0, 1, 1, 1, 1, 1])
    assert stack.share_ == 0
    one_each = LinearStackClassifier(network=SMALL, random_state=0).fit(X, y, groups=y)
    assert one_each.share_ == 0


def test_any_network_and_any_linear_model_by_name_or_object():
    X, y = spots(n=40)
    stack = LinearStackClassifier(network="rfnn", linear=LogisticRegression(), random_state=0)
    stack.set_params(
        network__max_epochs=2, network__widths=(4,), linear__C=0.1, network__frame__order=1
    )
    rows = stack.set_params(network__image_shape=(12, 12)).fit(X.reshape(len(X), -1), y)
    assert rows.network_.frame.order == 1
    grid = {"network__frame__order": [1, 2], "linear": ["pca_svm", DummyClassifier()]}
    search = GridSearchCV(LinearStackClassifier(network=SMALL, cv=2, random_state=0), grid, cv=2)
    assert search.fit(X, y).best_params_["linear"] == "pca_svm"
    with pytest.raises(TypeError, match=r"such as RFNNClassifier\(\), got the class RFNNClass"):
        LinearStackClassifier(network=RFNNClassifier).fit(X, y)
    with pytest.raises(ValueError, match="Did you mean 'rfnn'"):
        LinearStackClassifier(network="rfn").fit(X, y)


class Half(RegressorMixin, BaseEstimator):
    """Predicts one column of X."""

    def __init__(self, column=0):
        self.column = column

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X[:, self.column]


def test_regressors_are_stacked_by_squared_error():
    rng = np.random.default_rng(0)
    y = rng.normal(size=500)
    X = y[:, np.newaxis] + rng.normal(size=(500, 2)) * (1.0, 0.5)
    stack = LinearStackRegressor(network=Half(0), linear=Half(1), random_state=0).fit(X, y)
    # least squares: shares as the inverse variances, 1 and 4, and a little less for the network
    assert 0.05 <= stack.share_ <= 0.2
    np.testing.assert_allclose(stack.predict(X), X @ (stack.share_, 1 - stack.share_))
    alone = LinearStackRegressor(network=Half(0), linear=LinearRegression(), random_state=0)
    assert alone.fit(X, y).share_ == 0
    assert SHARES[0] == 0


@pytest.mark.parametrize(
    "params, y, message",
    [
        ({"cv": 1}, [0, 1] * 4, "cv of LinearStackClassifier must be an integer of at least 2"),
        ({"random_state": "x"}, [0, 1] * 4, "random_state"),
        ({}, [0, 1] * 3, "inconsistent"),
        ({}, [0.5, 1.5] * 4, "Unknown label type"),
        ({}, [1] * 8, "class"),
    ],
)
def test_bad_input_is_named(params, y, message):
    with pytest.raises(ValueError, match=message):
        LinearStackClassifier(network=SMALL, **params).fit(np.zeros((8, 6, 6)), y)
