"""What is held out, what is chosen on it, and how copies and weights count."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from sklstruct.estimators.held_out import (
    ENOUGH,
    best_candidate,
    best_temperature,
    digests,
    distinct_rows,
    held_out_values,
    subject_numbers,
    weights_of_samples,
    without_copies,
)

# samples and their weights -----------------------------------------------------------------------


def test_distinct_samples_carry_the_weight_of_their_copies():
    X = np.array([[1.0, 2.0], [0.0, 3.0], [1.0, 2.0], [-0.0, 3.0], [1.0, 2.0], [5.0, 5.0]])
    y = np.array(["b", "a", "b", "a", "a", "a"])
    rows, codes, weight, classes = distinct_rows(X, y, [1, 2, 3, 4, 5, 0], {"a": 10, "b": 1})
    found = {(*X[r], classes[c]): w for r, c, w in zip(rows, codes, weight, strict=True)}
    assert found == {(1, 2, "b"): 4, (0, 3, "a"): 60, (1, 2, "a"): 50}
    others, *shuffled = distinct_rows(X[::-1], y[::-1], [0, 5, 4, 3, 2, 1], {"a": 10, "b": 1})
    np.testing.assert_array_equal(X[::-1][others], X[rows])
    for one, other in zip(shuffled, (codes, weight, classes), strict=True):
        np.testing.assert_array_equal(one, other)
    values = np.array([2.5, 0.1, 2.5, 0.1, 0.1, 0.1])  # of a regressor
    rows, weight = without_copies(X, values, weights_of_samples(X, values, [1, 2, 3, 4, 5, 0]))
    found = {(*X[r], values[r]): w for r, w in zip(rows, weight, strict=True)}
    assert found == {(1, 2, 2.5): 4, (0, 3, 0.1): 6, (1, 2, 0.1): 5}


def test_digests_tell_samples_apart_as_their_values_do():
    X = np.random.default_rng(0).normal(size=(10, 3, 4))
    X = np.concatenate([X, np.zeros((1, 3, 4)), -np.zeros((1, 3, 4)), X[[3, 3]], 0 * X[:1]])
    y = np.zeros(len(X), int)
    y[:3] = 1
    by_digest = distinct_rows(digests(X), y, None, None)
    by_value = distinct_rows(X, y, None, None)
    order, expected = np.argsort(by_digest[0]), np.argsort(by_value[0])
    for found, wanted in zip(by_digest[:3], by_value[:3], strict=True):
        np.testing.assert_array_equal(found[order], wanted[expected])
    assert by_value[2].max() == 3


def test_balanced_classes_have_equal_weights_whatever_their_samples_have():
    X, y = np.arange(7.0)[:, np.newaxis], np.array([0, 0, 0, 0, 1, 1, 1])
    weight = weights_of_samples(X, y, [1, 2, 3, 0, 1, 1, 0], "balanced")
    np.testing.assert_allclose(np.bincount(y, weight), 4)  # half of all
    assert weight[3] == weight[6] == 0


def test_what_is_no_weight_and_no_subject_is_refused():
    X, y = np.zeros((3, 1)), np.array([0, 1, 1])
    with pytest.raises(ValueError, match="class_weight must be finite and not negative"):
        weights_of_samples(X, y, None, {0: -1, 1: 1})
    with pytest.raises(ValueError, match="positive for some samples"):
        without_copies(X, y, np.zeros(3))
    with pytest.raises(ValueError, match="groups must have no missing values, got 1"):
        subject_numbers(["a", None, "a"], X)


# holding out -------------------------------------------------------------------------------------


def held_out_of(codes, subjects=None):
    """Return the training and test rows of all folds."""
    calls = []

    def decide(train, test):
        calls.append((train, test))
        return test

    found = held_out_values(decide, codes, 0, subjects)
    if found is not None:
        np.testing.assert_array_equal(*found)
        np.testing.assert_array_equal(found[0], np.concatenate([test for _, test in calls]))
    return calls


def test_every_sample_is_held_out_once_if_they_are_not_too_many():
    tested = np.concatenate([test for _, test in held_out_of(np.arange(60) % 3)])
    assert sorted(tested) == list(range(60))
    tested = np.concatenate([test for _, test in held_out_of(np.arange(3 * ENOUGH) % 2)])
    assert ENOUGH <= len(set(tested)) == len(tested) < 2 * ENOUGH
    assert held_out_of(np.array([0, 0, 1])) == []


def test_subjects_are_held_out_whole_and_every_model_knows_all_classes():
    subjects = np.random.default_rng(0).integers(0, 30, size=120)
    calls = held_out_of(subjects % 3, subjects)
    for train, test in calls:
        assert not set(subjects[train]) & set(subjects[test])
        assert set(subjects[train] % 3) == {0, 1, 2}
        assert len(train) + len(test) == 120
    assert sorted(np.concatenate([test for _, test in calls])) == list(range(120))


def test_the_only_subject_of_a_class_is_never_held_out():
    codes = np.array([0, 2, 1, 3, 2, 0, 2, 0, 2, 0])
    calls = held_out_of(codes)
    assert all(set(codes[train]) == {0, 1, 2, 3} for train, _ in calls)
    assert sorted(np.concatenate([test for _, test in calls])) == [0, 1, 4, 5, 6, 7, 8, 9]
    subjects = np.repeat(np.arange(11), 2)
    codes = np.where(subjects == 10, 2, subjects % 2)
    tested = np.concatenate([test for _, test in held_out_of(codes, subjects)])
    assert sorted(tested) == list(range(20))
    changing = np.array([0, 1] * 11)  # every subject has a scan of each class
    assert held_out_of(changing, subjects) == []


# choosing ----------------------------------------------------------------------------------------


class Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose samples are its decision values."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]


def test_the_best_temperature_is_that_of_the_model_that_made_the_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20000, 4))
    codes = np.array([rng.choice(4, p=p) for p in softmax(logits / 0.7, axis=1)])
    weight = rng.uniform(size=len(codes))
    temperature, loss = best_temperature(logits, codes, weight)
    assert temperature == pytest.approx(0.7, rel=0.05)
    by_hand = log_loss(codes, softmax(logits / temperature, axis=1), sample_weight=weight)
    assert loss == pytest.approx(by_hand, rel=1e-9)
    for other in (0.9, 1.1):
        assert loss < log_loss(
            codes, softmax(logits / temperature * other, 1), sample_weight=weight
        )
    noisy = logits + 2 * rng.normal(size=logits.shape)
    candidates = 1e-3 * np.stack([noisy, logits, logits, noisy], axis=1)
    best, temperature = best_candidate(candidates, codes, weight)
    assert best == 1
    assert temperature == pytest.approx(0.7e-3, rel=0.05)


def test_the_best_temperature_is_that_of_scikit_learn():
    pytest.importorskip("sklearn", minversion="1.8", reason="it has temperatures since then")
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2000, 3))
    codes = np.array([rng.choice(3, p=p) for p in softmax(logits / 1.6, axis=1)])
    model = CalibratedClassifierCV(
        FrozenEstimator(Logits().fit(logits, codes)), method="temperature"
    ).fit(logits, codes)
    temperature, _ = best_temperature(logits, codes, np.ones(2000))
    expected = model.predict_proba(logits)
    np.testing.assert_allclose(softmax(logits / temperature, axis=1), expected, atol=1e-4)
