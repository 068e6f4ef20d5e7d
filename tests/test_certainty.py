"""Whether probabilities come true, and whether estimators of several seeds say the same."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from fitted import fitted
from scipy.stats import binomtest, norm, pearsonr, t
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import brier_score_loss, cohen_kappa_score, log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from test_inspection import assert_legible

import sklstruct
from sklstruct.inspection import (
    AgreementDisplay,
    CalibrationDisplay,
    agreement,
    calibration_errors,
    fitted_seeds,
    reliability,
)
from sklstruct.studies.curves import calibration_error


class Says(ClassifierMixin, BaseEstimator):
    """Say as probabilities what it is given, sharpened by a power."""

    def __init__(self, power=1.0, labels=3):
        self.power, self.labels = power, labels

    def fit(self, X, y=None):
        self.classes_ = np.arange(self.labels)
        return self

    def predict_proba(self, X):
        sharp = np.asarray(X) ** self.power
        return sharp / sharp.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Flips(ClassifierMixin, BaseEstimator):
    """Say one of two labels by chance, whatever it is given."""

    def __init__(self, random_state=None, chance=0.5):
        self.random_state, self.chance = random_state, chance

    def fit(self, X, y=None):
        self.classes_ = np.arange(2)
        return self

    def predict(self, X):
        return (np.random.default_rng(self.random_state).random(len(X)) < self.chance).astype(int)


def drawn(n, n_classes=3, seed=0):
    """Return probabilities, and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet(np.ones(n_classes), n)
    return said, (said.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


# Probabilities ------------------------------------------------------------------------------


def test_errors_of_a_perfect_model_are_those_that_are_expected():
    found = pd.concat(
        [
            calibration_errors(Says(labels=k).fit(None), *drawn(200, k, seed), n_draws=200)
            for k, seed in product((2, 3), range(50))
        ]
    )
    assert found["calibration_error"].mean() == pytest.approx(found["expected"].mean(), rel=0.05)
    assert np.mean(found["p_value"] < 0.05) < 0.12  # 5 of 100, and 7 are three deviations
    assert np.mean(found["calibration_error"] > found["highest"]) < 0.12


def test_an_overconfident_model_has_the_error_that_its_power_makes():
    said, y = drawn(20_000)
    model = Says(power=3).fit(None)
    sharp = said**3 / (said**3).sum(axis=1, keepdims=True)
    rows, top = np.arange(len(y)), sharp.argmax(axis=1)
    place = (sharp[rows, top] * 10).astype(int)
    # Of what is known without any label: the true probabilities.
    gaps = np.bincount(place, sharp[rows, top] - said[rows, top])
    expected = np.abs(gaps).sum() / len(y)
    errors = calibration_errors(model, said, y).iloc[0]
    assert expected > 0.1
    assert errors["calibration_error"] == pytest.approx(expected, abs=0.01)
    assert errors["adaptive_error"] == pytest.approx(expected, abs=0.01)
    assert errors["highest"] < 0.02
    assert errors["p_value"] == pytest.approx(1 / 1001)  # never 0, however many are drawn
    assert errors["brier"] == pytest.approx(np.square(sharp - np.eye(3)[y]).sum(axis=1).mean())
    assert errors["log_loss"] == pytest.approx(log_loss(y, sharp))


def test_reliability_by_hand():
    said = np.array([0.05, 0.1, 1.0, 0.96])
    X, y = np.stack([1 - said, said], axis=1), np.array([0, 1, 1, 0])
    model = Says(labels=2).fit(None)
    bins = reliability({"net": model}, X, y)
    limits = [binomtest(k, n).proportion_ci(0.95, "exact") for k, n in ((0, 1), (1, 1), (1, 2))]
    expected = {
        "estimator": ["net"] * 3,
        "low": pytest.approx([0, 0.1, 0.9]),
        "high": pytest.approx([0.1, 0.2, 1]),
        "probability": pytest.approx([0.05, 0.1, 0.98]),
        "frequency": [0, 1, 0.5],
        "n": [1, 1, 2],
        "frequency_low": pytest.approx([limit.low for limit in limits]),
        "frequency_high": pytest.approx([limit.high for limit in limits]),
    }
    assert bins.to_dict("list") == expected
    errors = calibration_errors(model, X, y).iloc[0]
    assert errors["calibration_error"] == pytest.approx((0.05 + 0.9 + 2 * 0.48) / 4)
    assert errors["calibration_error"] == pytest.approx(calibration_error(bins)["net"])
    assert errors["brier"] == pytest.approx(brier_score_loss(y, said))


def test_intervals_of_samples_that_say_the_same_are_those_of_subjects():
    said, y = drawn(60, 2)
    model = Says(labels=2).fit(None)
    some = reliability(model, said, y, n_bins=1).iloc[0]
    X, labels, subject = (np.repeat(values, 5, axis=0) for values in (said, y, np.arange(60)))
    wide = reliability(model, X, labels, n_bins=1, groups=subject).iloc[0]
    narrow = reliability(model, X, labels, n_bins=1).iloc[0]
    trials = 59 * (norm.ppf(0.975) / t.ppf(0.975, 59)) ** 2

    def width(row):
        return row["frequency_high"] - row["frequency_low"]

    assert width(wide) == pytest.approx(width(some) * np.sqrt(60 / trials), rel=0.01)
    assert width(narrow) < width(wide) / 2
    # Where all come true, each subject counts once.
    sure, true = np.tile([0.0, 1.0], (300, 1)), np.ones(300, int)
    found = reliability(model, sure, true, groups=subject).iloc[0]
    assert found["frequency_low"] == pytest.approx(binomtest(60, 60).proportion_ci().low)


def test_samples_of_a_subject_that_are_all_the_same_make_no_error_less_likely():
    model = Says(labels=2).fit(None)
    X, y = drawn(60, 2, 0)
    once = calibration_errors(model, X, y, n_draws=200)
    often, subject = [np.repeat(part, 5, axis=0) for part in (X, y)], np.repeat(np.arange(60), 5)
    together = calibration_errors(model, *often, groups=subject, n_draws=200)
    names = ["calibration_error", "expected", "highest", "p_value"]
    assert together[names].to_numpy() == pytest.approx(once[names].to_numpy())
    alone = calibration_errors(model, *often, n_draws=200)
    assert alone["expected"].item() < 0.7 * once["expected"].item()


def test_every_place_of_a_map_is_a_sample():
    X = load_digits().images[:20]
    y = np.where(X > 8, "ink", "paper").astype("U7")
    y[:, 0] = "unknown"
    model = sklstruct.StructuredMapClassifier(
        max_epochs=2, ignored_label="unknown", random_state=0
    ).fit(X, y)
    said = np.moveaxis(model.predict_proba(X), 1, -1)[:, 1:].reshape(-1, 2)
    flat = Says(labels=2).fit(None)
    labels, sample = (y[:, 1:].ravel() == "paper").astype(int), np.repeat(np.arange(20), 56)
    expected = reliability({"net": flat}, said, labels, groups=sample)
    pd.testing.assert_frame_equal(reliability({"net": model}, X, y), expected)
    pd.testing.assert_frame_equal(
        calibration_errors({"net": model}, X, y), calibration_errors({"net": flat}, said, labels)
    )


def test_searches_and_pipelines_and_what_gives_no_probabilities():
    model, X, y = fitted("pipeline")
    bins = reliability(model, X, y)
    assert bins["n"].sum() == len(y)
    assert bins["estimator"].unique().tolist() == ["RFNNClassifier"]
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}).fit(X, y)
    assert calibration_errors(search, X, y)["n"].tolist() == [len(y)]
    for estimator, error in (
        (SVC().fit(X, y), TypeError),
        (Ridge().fit(X, y), TypeError),
        (LogisticRegression(), NotFittedError),
    ):
        with pytest.raises(error, match=r"predict_proba|fitted"):
            reliability(estimator, X, y)
    for changes, message in (
        ({"n_bins": 0}, "n_bins must be an integer of at least 1, got 0"),
        ({"confidence": 1}, "confidence"),
        ({"groups": y[:3]}, "groups must be one for each of 40 samples"),
        ({"y": y + 1}, "no label"),
    ):
        with pytest.raises(ValueError, match=message):
            reliability(model, X, **({"y": y} | changes))


def test_calibration_display():
    said, y = drawn(500)
    models = {"honest": Says().fit(None), "sharp": Says(power=2).fit(None)}
    display = CalibrationDisplay.from_estimator(models, said, y, n_bins=5)
    assert_legible(display.figure_)
    assert display.errors["estimator"].tolist() == ["honest", "sharp"]
    pd.testing.assert_frame_equal(display.bins, reliability(models, said, y, n_bins=5))


# Seeds --------------------------------------------------------------------------------------


def test_the_same_estimator_agrees_with_itself():
    for name in ("rfnn", "pipeline"):
        model, X, y = fitted(name)
        row = agreement([model, model], X, y).iloc[0]
        assert row["agreement"] == row["kappa"] == row["error_agreement"] == 1
        assert row["churn"] == 0
        samples = agreement([model, model], X, y, by="sample")
        assert samples["label"].tolist() == model.predict(X).tolist()
        assert (samples["share"] == 1).all()
        assert (samples["spread"] == 0).all()
        np.testing.assert_array_equal(samples["right"], model.predict(X) == y)


def test_coins_agree_by_chance_alone():
    coins = [Flips(seed).fit(None) for seed in (0, 1)]
    biased = [Flips(seed, 0.9).fit(None) for seed in (2, 3)]
    X, y = np.zeros((10_000, 1)), np.arange(10_000) % 2
    for pair, chance in ((coins, 0.5), (biased, 0.82)):
        row = agreement(pair, X, y).iloc[0]
        assert row["agreement"] == pytest.approx(chance, abs=0.02)  # four deviations
        assert row["chance"] == pytest.approx(chance, abs=0.02)
        assert row["error_chance"] == pytest.approx(0.5, abs=0.02)
        assert abs(row["kappa"]) < 0.05
        first, second = (one.predict(X) for one in pair)
        assert row["kappa"] == pytest.approx(cohen_kappa_score(first, second))
    # Biased coins agree often, and their errors are the same often, as y is even.
    errors = cohen_kappa_score(first == y, second == y)
    assert row["error_kappa"] == pytest.approx(errors, abs=1e-3)
    samples = agreement(coins, X, by="sample")
    assert samples["share"].isin([0.5, 1]).all()
    assert samples["spread"].isna().all()
    constant = [Flips(0, 1.0).fit(None)] * 2
    assert np.isnan(agreement(constant, X)["kappa"]).all()


def test_agreement_of_regressors():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, 2, 3] + rng.normal(size=100)
    models = {alpha: Ridge(alpha).fit(X[:50], y[:50]) for alpha in (1, 100)}
    first, second = (model.predict(X) for model in models.values())
    row = agreement(models, X, y).iloc[0]
    assert (row["first"], row["second"]) == ("1", "100")
    assert row["correlation"] == pytest.approx(pearsonr(first, second)[0])
    assert row["difference"] == pytest.approx(np.sqrt(np.square(first - second).mean()))
    assert row["error_correlation"] == pytest.approx(pearsonr(first - y, second - y)[0])
    samples = agreement(models, X, y, by="sample")
    np.testing.assert_allclose(samples["spread"], np.abs(first - second) / np.sqrt(2))
    np.testing.assert_allclose(samples["error"], (first + second) / 2 - y)


def test_maps_agree_place_by_place():
    X = load_digits().images[:20]
    maps = [
        sklstruct.StructuredMapClassifier(max_epochs=1, random_state=seed).fit(X, X > 8)
        for seed in range(3)
    ]
    said = [model.predict(X) for model in maps]
    assert agreement(maps, X)["agreement"].iloc[0] == np.mean(said[0] == said[1])
    votes = np.sum(said, axis=0)
    samples = agreement(maps, X, X > 8, by="sample")
    assert samples.columns.tolist() == ["share", "spread", "right"]
    expected = np.maximum(votes, 3 - votes).mean(axis=(1, 2)) / 3
    np.testing.assert_allclose(samples["share"], expected)


def test_seeds_differ_by_the_seed_alone():
    digits = load_digits()
    X, y = digits.data[:80], digits.target[:80]
    net = sklstruct.RFNNClassifier(image_shape=(8, 8), widths=(4,), max_epochs=2)
    for estimator, name in (
        (net, "random_state"),
        (make_pipeline(StandardScaler(), net), "rfnnclassifier__random_state"),
        (GridSearchCV(net, {"lr": [0.01]}, cv=2), "estimator__random_state"),
    ):
        seeds = fitted_seeds(estimator, X, y, n_seeds=2)
        numbers = [one.get_params()[name] for one in seeds]
        assert len(set(numbers)) == 2
        assert not np.array_equal(*(one.predict_proba(X) for one in seeds))
        again = fitted_seeds(estimator, X, y, n_seeds=1)[0]
        np.testing.assert_array_equal(again.predict_proba(X), seeds[0].predict_proba(X))
    assert net.random_state is None
    assert not hasattr(net, "net_")
    told = fitted_seeds(net, X, y, n_seeds=1, sample_weight=np.arange(80.0))[0]
    assert not np.array_equal(told.predict_proba(X), fitted_seeds(net, X, y)[0].predict_proba(X))
    with pytest.raises(ValueError, match="estimator must have a random_state, got SVR"):
        fitted_seeds(SVR(), X, y)


def test_what_cannot_agree_is_told():
    model, X, y = fitted("rfnn")
    regressor = Ridge().fit(X.reshape(len(X), -1), y)
    for args, error, message in (
        (([model], X), ValueError, "two or more, got 1"),
        (([model, regressor], X), TypeError, "some of both"),
        (([model, model], X, y[:3]), ValueError, r"y must be of shape \(40,\), got \(3,\)"),
    ):
        with pytest.raises(error, match=message):
            agreement(*args)
    with pytest.raises(ValueError, match="by must be one of"):
        agreement([model, model], X, by="class")


def test_agreement_display():
    model, X, y = fitted("rfnn")
    other = fitted("scattering_net")[0]
    classes = AgreementDisplay.from_estimators({"rfnn": model, "scattering": other}, X, y)
    flat = X.reshape(len(X), -1)
    ridges = [Ridge(alpha).fit(flat, y) for alpha in (1, 10, 100)]
    for display, measure in (
        (classes, "agreement"),
        (AgreementDisplay.from_estimators(ridges, flat), "correlation"),
    ):
        assert_legible(display.figure_)
        drawn_values = np.asarray(display.axes_[0].images[0].get_array())
        assert drawn_values[0, 1] == drawn_values[1, 0] == display.results[measure].iloc[0]
    heights = [bar.get_height() for bar in classes.axes_[2].patches]
    assert heights == [np.sum(classes.samples["share"] == share) for share in (0.5, 1)]
