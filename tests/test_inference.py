"""Metrics against scikit-learn, tests and intervals against theory and full enumeration."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, spearmanr, ttest_rel
from sklearn import metrics as oracle
from sklearn.preprocessing import label_binarize
from statsmodels.stats.multitest import multipletests

from sklstruct.studies import Results, calibration, compare, roc_curves, score_fits, summarise
from sklstruct.studies.curves import calibration_error
from sklstruct.studies.inference import exchange_test, holm, resampled_t_test, too_small
from sklstruct.studies.intervals import left_out
from sklstruct.studies.outcomes import outcomes
from sklstruct.studies.splits import subject_splits
from sklstruct.studies.tasks import Classes, ClassMaps, ValueMaps, Values

TWO, THREE = ("control", "patient"), ("a", "b", "c")
MEASURES = Classes.measures
RNG = np.random.default_rng


def results_of(fits, predictions, task, keys=("repeat",), condition=(), overlapping=True):
    """Results with a description of what matters here."""
    design = {"keys": [*keys], "condition": [*condition], "overlapping": overlapping}
    data = {"classes": task.classes.tolist()}
    known = {"design": design, "data": data, "positive": task.positive, "target": "diagnosis"}
    return Results(fits, predictions, task.describe() | known)


def changed(results, fits=lambda t: t, predictions=lambda t: t):
    return Results(fits(results.fits), predictions(results.predictions), results.description)


def study(scores, labels, subjects, tests, classes=TWO, decisions=(), n_train=30):
    """Results of estimators that give sample i of repeat r the scores ``scores[label][r, i]``.

    Scores of two classes are those of the last one: probabilities, or decision values.
    """
    task, fits, predictions = Classes(np.array(classes)), [], []
    for (label, values), (repeat, test) in product(scores.items(), enumerate(tests)):
        given = np.asarray(values)[repeat, test]
        if len(classes) == 2:
            given = np.stack([-given if label in decisions else 1 - given, given], axis=1)
        columns = {
            "label": np.searchsorted(classes, labels[test]),
            "predicted": given.argmax(axis=1),
            "decisions" if label in decisions else "probabilities": given,
        }
        part = {"estimator": label, "repeat": repeat}
        size = {"n_train_subjects": n_train, "n_test_subjects": len({*subjects[test]})}
        fits.append(part | task.score(columns) | size)
        tested = {"subject": subjects[test], "sample": [f"scan {i}" for i in test]}
        predictions.append(pd.DataFrame(part | tested | task.frame(columns)))
    return results_of(pd.DataFrame(fits), pd.concat(predictions, ignore_index=True), task)


def two_classes(seed=0, n=24, n_repeats=3, shares=(1.0, 0.5), **options):
    """Estimators "good" and "poor" on two classes, with ties among their probabilities."""
    rng = RNG(seed)
    labels = np.tile(TWO, n // 2)
    noise = rng.uniform(size=(2, n_repeats, n))
    target = (labels == "patient").astype(float)
    good, poor = ((share * target + noise[k]) / (1 + share) for k, share in enumerate(shares))
    scores = {"good": good.round(2), "poor": poor.round(1)}
    tests = [np.sort(rng.permutation(n)[: n // 2]) for _ in range(n_repeats)]
    subjects = np.array([f"sub-{i // 2}" for i in range(n)])
    return study(scores, labels, subjects, tests, **options)


def three_classes(decisions=()):
    rng = RNG(1)
    labels = rng.permutation(np.tile(THREE, 10))
    logits = rng.normal(size=(2, 30, 3)) + 2 * (labels[:, None] == np.array(THREE))
    proba = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    scores = {"net": logits if "net" in decisions else proba}
    tests = [np.arange(20), np.arange(10, 30)]
    return study(scores, labels, np.arange(30).astype(str), tests, THREE, decisions)


def of_values(seed=0, n=40, n_repeats=3, shift=0.0, noise=(0.5, 1.5), **design):
    """Estimators "good" and "poor" of a number, two samples a subject, in hold-outs of half."""
    rng, task, fits, predictions = RNG(seed), Values(), [], []
    y = np.repeat(rng.normal(size=n // 2), 2) + 0.5 * rng.normal(size=n)
    for repeat in range(n_repeats):
        subjects = np.sort(rng.permutation(n // 2)[: n // 4])
        test = np.sort(np.concatenate([2 * subjects, 2 * subjects + 1]))
        for label, size in zip(("good", "poor"), noise, strict=True):
            said = y[test] + size * rng.normal(size=len(test))
            columns = {"label": y[test] + shift, "predicted": said + shift}
            part = {"estimator": label, "repeat": repeat}
            counts = {"n_train_subjects": n // 4, "n_test_subjects": n // 4}
            fits.append(part | task.score(columns) | counts)
            tested = {"subject": (test // 2).astype(str), "sample": [f"{i:03d}" for i in test]}
            predictions.append(pd.DataFrame(part | tested | task.frame(columns)))
    return results_of(pd.DataFrame(fits), pd.concat(predictions, ignore_index=True), task, **design)


def by_fit(results):
    return results.predictions.groupby(["estimator", "repeat"], sort=False)


# Metrics ------------------------------------------------------------------------------------


def of_scikit_learn(part, classes, probabilities=True):
    """The metrics by scikit-learn's functions."""
    label, predicted = part["label"], part["predicted"]
    scores = part[[f"score:{name}" for name in classes]].to_numpy()
    binary = label_binarize(label, classes=classes)
    areas = scores[:, -1:] if len(classes) == 2 else scores
    found = {
        "balanced_accuracy": oracle.balanced_accuracy_score(label, predicted),
        "auc": oracle.roc_auc_score(binary, areas, average="macro"),
        "accuracy": oracle.accuracy_score(label, predicted),
    }
    if len(classes) == 2:
        recall = oracle.recall_score(label, predicted, labels=classes, average=None)
        found |= {"specificity": recall[0], "sensitivity": recall[1]}
    if probabilities:
        found["log_loss"] = oracle.log_loss(label, scores, labels=list(classes))
        given, truth = (scores[:, 1], binary) if len(classes) == 2 else (scores, label)
        found["brier"] = oracle.brier_score_loss(truth, given)
    return found


@pytest.mark.parametrize(
    "results, classes, probabilities",
    [
        (two_classes(), TWO, True),
        (two_classes(decisions=("good", "poor")), TWO, False),
        (three_classes(), THREE, True),
        (three_classes(decisions=("net",)), THREE, False),
    ],
    ids=["two", "two, decisions", "three", "three, decisions"],
)
def test_metrics_are_those_of_scikit_learn(results, classes, probabilities):
    scores = score_fits(results)
    assert len(scores) == len(results.fits)
    for row, (_, part) in zip(scores.to_dict("records"), by_fit(results), strict=True):
        expected = of_scikit_learn(part, classes, probabilities)
        for name in MEASURES:
            assert row[name] == pytest.approx(expected.get(name, np.nan), abs=1e-12, nan_ok=True)


def test_a_whole_weight_is_a_scan_that_comes_several_times():
    results = two_classes()
    tests = outcomes(results)
    for key, part in by_fit(results):
        part = part.sort_values("sample")
        times = RNG(3).integers(1, 4, size=len(part))
        expected = of_scikit_learn(part.loc[part.index.repeat(times)], TWO)
        for name, measure in MEASURES.items():
            found = measure(tests[key], times[None].astype(float))
            assert found == pytest.approx([expected[name]], abs=1e-12)


def test_perfect_and_constant_classifiers_have_their_values():
    labels = np.tile(TWO, 10)
    truth = (labels == "patient").astype(float)
    scores = {"perfect": [truth] * 2, "constant": np.full((2, 20), 0.5)}
    tests = [np.arange(10), np.arange(10, 20)]
    results = study(scores, labels, np.arange(20).astype(str), tests)
    means = summarise(results).pivot(index="metric", columns="estimator")
    perfect, constant = means["mean"]["perfect"], means["mean"]["constant"]
    assert (perfect[["balanced_accuracy", "auc", "sensitivity", "specificity"]] == 1).all()
    assert perfect[["brier", "log_loss"]].to_numpy() == pytest.approx([0, 0], abs=1e-15)
    values = [0.5, 0.5, 0, 1, 0.5, 0.25, np.log(2)]
    assert constant.to_dict() == pytest.approx(dict(zip(MEASURES, values, strict=True)))
    for name in ("balanced_accuracy", "auc", "accuracy"):
        assert means["low"]["constant"][name] == means["high"]["constant"][name] == 0.5
    ten_of_ten = 0.025**0.1  # Clopper and Pearson's lower limit
    assert means["low"]["perfect"]["sensitivity"] == pytest.approx(ten_of_ten)
    both = 1 - (1 - ten_of_ten) / 2**0.5  # of a mean of two, by squares
    assert means["low"]["perfect"]["balanced_accuracy"] == pytest.approx(both)
    assert 0.6 < means["low"]["perfect"]["auc"] < 1 == means["high"]["perfect"]["auc"]
    (row,) = compare(results, "constant").to_dict("records")
    assert row["difference"] == 0.5
    assert np.isnan([row["t"], row["p_t"]]).all()  # all differences are the same
    # they differ in ten patients, and as much only if all or none of them are exchanged
    assert row["p_exchange"] == pytest.approx(2**-9, abs=0.002)


def test_what_a_test_part_lacks_does_not_count():
    labels = np.array(["control"] * 6 + ["patient"] * 6)
    tests = [np.arange(4), np.arange(3, 9)]  # the first one has no patient
    scores = {"net": [np.linspace(0.1, 0.9, 12)] * 2}
    results = study(scores, labels, np.arange(12).astype(str), tests)
    first, second = score_fits(results).to_dict("records")
    assert first["balanced_accuracy"] == first["specificity"] == 1
    assert np.isnan([first["auc"], first["sensitivity"]]).all()
    summary = summarise(results).set_index("metric")
    once = {"auc": 1, "sensitivity": 1}
    assert summary["n_repeats"].to_dict() == dict.fromkeys(MEASURES, 2) | once
    assert summary.loc["auc", "mean"] == second["auc"]
    assert roc_curves(results)["true_positive_rate"].notna().all()


def test_a_fit_whose_scores_are_no_numbers_has_no_metrics_of_scores():
    results = two_classes()
    lost = results.predictions["estimator"].eq("good") & results.predictions["repeat"].eq(1)
    results.predictions.loc[lost, ["score:control", "score:patient"]] = np.nan
    assert score_fits(results)[["auc", "brier", "log_loss"]].isna().sum().tolist() == [1, 1, 1]
    of_scores = ["auc", "brier", "log_loss"]
    results.loc[results["estimator"].eq("good") & results["repeat"].eq(1), of_scores] = np.nan
    summary = summarise(results).set_index(["estimator", "metric"])
    assert (
        summary.loc["good", "n_repeats"] == [2 if m in of_scores else 3 for m in MEASURES]
    ).all()
    assert (summary.loc["poor", "n_repeats"] == 3).all()
    (row,) = compare(results, "poor", "auc").to_dict("records")
    assert row["n_repeats"] == 2
    assert 0 < row["p_exchange"] <= 1
    used = results.predictions["estimator"].eq("good").sum() - lost.sum()
    assert calibration(results).groupby("estimator")["n"].sum()["good"] == used
    assert roc_curves(results)["true_positive_rate"].notna().all()


def test_the_order_of_the_rows_does_not_matter():
    results = two_classes()
    shuffled = changed(results, predictions=lambda t: t.sample(frac=1, random_state=0))
    for use in (score_fits, summarise, compare, calibration, roc_curves):
        pd.testing.assert_frame_equal(use(results), use(shuffled))


# Intervals ----------------------------------------------------------------------------------


def by_subject(n_subjects, n_scans, share=0.7):
    """Subjects whose scans are all recognised, or none of them; a share of them in each class."""
    labels = np.repeat(np.tile(TWO, n_subjects // 2), n_scans)
    subjects = np.repeat([f"sub-{i}" for i in range(n_subjects)], n_scans)
    place = np.arange(n_subjects * n_scans) // n_scans // 2  # of a subject in its class
    right = place < share * n_subjects / 2
    scores = np.where(right == (labels == "patient"), 0.9, 0.1)
    return study({"net": [scores]}, labels, subjects, [np.arange(len(labels))])


def width(results):
    summary = summarise(results).set_index("metric").loc["balanced_accuracy"]
    assert summary["mean"] == pytest.approx(0.7)
    return summary["high"] - summary["low"]


def test_scans_of_a_subject_are_no_independent_samples():
    clustered, independent = width(by_subject(60, 4)), width(by_subject(240, 1))
    # the mean of two recalls of 30 and of 120 subjects, p = 0.7, by the normal distribution
    expected = 2 * 1.96 * np.sqrt(0.7 * 0.3 / np.array([60, 240]))
    np.testing.assert_allclose([clustered, independent], expected, rtol=0.1)


def test_repeats_of_the_same_predictions_tell_nothing_new():
    once = by_subject(60, 1)
    again = changed(once, *[lambda t: pd.concat([t.assign(repeat=r) for r in range(5)])] * 2)
    assert width(again) == pytest.approx(width(once))


def of_five(scores, n_repeats=1):
    """A study of 5 controls and 40 patients, all of whom are tested each time."""
    labels = np.repeat(TWO, [5, 40])
    tests = [np.arange(45)] * n_repeats
    return study({"net": np.tile(scores, (n_repeats, 1))}, labels, np.arange(45).astype(str), tests)


def interval_of(results, metric):
    row = summarise(results).set_index("metric").loc[metric]
    return pytest.approx([row["low"], row["high"]], abs=1e-4)


def test_five_of_five_are_no_certainty():
    right = of_five(np.repeat([0.0, 1.0], [5, 40]))
    assert interval_of(right, "specificity") == [0.4782, 1]  # by tables of Clopper and Pearson
    four = of_five(np.r_[1.0, np.zeros(4), np.ones(40)])
    assert interval_of(four, "specificity") == [0.2836, 0.9949]
    assert interval_of(four, "sensitivity") == [0.9119, 1]
    again = of_five(np.r_[1.0, np.zeros(4), np.ones(40)], n_repeats=20)
    for metric in MEASURES:  # subjects count once
        low, high = (summarise(r).set_index("metric").loc[metric, ["low", "high"]]
                     for r in (four, again))  # fmt: skip
        np.testing.assert_allclose(low.astype(float), high.astype(float))


def test_the_interval_of_an_auc_has_the_variance_of_its_limits():
    rng = RNG(0)
    results = of_five(np.r_[rng.uniform(0, 0.6, 5), rng.uniform(0.3, 1, 40)])
    row = summarise(results).set_index("metric").loc["auc"]
    for limit in (row["low"], row["high"]):
        spread = 1 + 21.5 * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        deviation = np.sqrt(limit * (1 - limit) * spread / 200)
        assert abs(limit - row["mean"]) == pytest.approx(1.959964 * deviation)


def test_a_classifier_that_says_one_label_is_at_chance_whoever_is_tested():
    designs = {
        "few of a class": (np.repeat(TWO, [5, 40]), TWO, 20, None),
        "three classes": (np.repeat(THREE, 8), THREE, 20, None),
        "sites": (np.tile(np.repeat(TWO, [2, 6]), 5), TWO, 5, np.repeat(range(5), 8)),
    }
    for labels, classes, n_repeats, sites in designs.values():
        subjects = np.arange(len(labels)).astype(str)
        splits = subject_splits(labels, subjects, n_repeats=n_repeats, sites=sites)
        scores = np.tile(np.linspace(0.8, 0.1, len(classes)), (n_repeats, len(labels), 1))
        scores = scores[..., -1] if len(classes) == 2 else scores
        results = study({"net": scores}, labels, subjects, [test for _, test in splits], classes)
        chance = 1 / len(classes)
        assert [chance, chance] == interval_of(results, "balanced_accuracy")


def test_small_classes_have_no_intervals_and_it_is_said():
    labels = np.repeat(TWO, [4, 20])
    scores = RNG(0).uniform(size=(1, 24))
    results = study({"net": scores}, labels, np.arange(24).astype(str), [np.arange(24)])
    summary = summarise(results).set_index("metric")
    assert summary["low"].dropna().index.tolist() == ["sensitivity", "specificity"]
    assert too_small(results) == {"control": 4}


def test_ties_that_are_in_the_data_count_half_whatever_rows_sum_to():
    scores = {"net": [[[0.2, 0.7, 0.1], [0.2, 0.2, 0.6], [0.2, 0.3, 0.5]]]}
    results = study(scores, np.array(THREE), np.arange(3).astype(str), [np.arange(3)], THREE)
    # one against all others: 1/2 of class a, whose scores are tied, 0 of b and 1/2 of c
    assert score_fits(results)["auc"].tolist() == [pytest.approx(1 / 3)]


# Comparisons --------------------------------------------------------------------------------


def test_the_corrected_t_test_is_that_of_nadeau_and_bengio():
    differences = np.array([0.1, 0.0, 0.2, 0.1])  # mean 0.1, variance 0.02 / 3
    test = resampled_t_test(0.1, differences.std(ddof=1), 4, ratio=1 / 4)
    error = np.sqrt((1 / 4 + 1 / 4) * 0.02 / 3)
    assert test.standard_error == pytest.approx(error)
    assert test.t == pytest.approx(0.1 / error)
    assert test.p == pytest.approx(0.181690, abs=1e-6)  # 3 degrees of freedom
    assert (test.low, test.high) == pytest.approx((0.1 - 3.182446 * error, 0.1 + 3.182446 * error))


def test_without_test_samples_it_is_the_paired_t_test():
    a, b = RNG(0).normal(size=(2, 12))
    expected = ttest_rel(a, b)
    test = resampled_t_test((a - b).mean(), (a - b).std(ddof=1), 12)
    assert (test.t, test.p) == pytest.approx((expected.statistic, expected.pvalue))
    interval = expected.confidence_interval()
    assert (test.low, test.high) == pytest.approx((interval.low, interval.high))


def test_the_correction_keeps_the_level_where_hold_outs_overlap():
    """Two nearest-mean rules on equally good features are equal over all data sets."""
    n_studies, n, n_repeats, n_test = 1000, 60, 20, 15
    rng, y = RNG(0), np.tile([0, 1], n // 2)
    x = rng.normal(size=(n_studies, n, 2)) + 0.8 * y[:, None]
    test = rng.random((n_studies, n_repeats, n)).argsort(axis=-1).argsort(axis=-1) < n_test
    weights = [~test & (y == label) for label in (0, 1)]
    low, high = (w.astype(float) @ x / w.sum(axis=-1)[..., None] for w in weights)
    side = (high - low)[:, :, None] * (x[:, None] - (high + low)[:, :, None] / 2) > 0
    correct = (side == (y == 1)[:, None]) & test[..., None]
    d = (correct[..., 0].sum(axis=-1) - correct[..., 1].sum(axis=-1)) / n_test
    given = d.mean(axis=1), d.std(axis=1, ddof=1), n_repeats
    corrected, naive = (
        np.mean(resampled_t_test(*given, ratio).p < 0.05) for ratio in (n_test / (n - n_test), 0)
    )
    four_deviations = 4 * np.sqrt(0.05 * 0.95 / n_studies)
    assert abs(corrected - 0.05) < four_deviations
    assert naive > 0.3


def test_comparisons_take_the_subjects_of_the_repeats():
    results = two_classes(n_repeats=6)
    (row,) = compare(results, "poor").to_dict("records")
    scores = score_fits(results).pivot(
        index="repeat", columns="estimator", values="balanced_accuracy"
    )
    d = scores["good"] - scores["poor"]
    ratio = (results.fits.query("estimator == 'good'")["n_test_subjects"] / 30).mean()
    test = resampled_t_test(d.mean(), d.std(), 6, ratio)
    expected = {"low": test.low, "high": test.high, "t": float(test.t), "p_t": test.p}
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert (row["estimator"], row["baseline"], row["n_repeats"]) == ("good", "poor", 6)
    (reverse,) = compare(results).to_dict("records")  # the first one is the baseline
    assert (reverse["estimator"], reverse["baseline"]) == ("poor", "good")
    assert reverse["difference"] == -row["difference"]


def exchanged(results, who, metric):
    """The difference of the metric when subjects have changed their owners, by scikit-learn."""
    table = results.predictions.copy()
    table["rank"] = by_fit(results)["score:patient"].rank()
    swap = table["subject"].isin(who)
    names = {"good": "poor", "poor": "good"}
    table["owner"] = table["estimator"].where(~swap, table["estimator"].map(names))
    values = {
        (owner, repeat): oracle.balanced_accuracy_score(part["label"], part["predicted"])
        if metric == "balanced_accuracy"
        else oracle.roc_auc_score(part["label"] == "patient", part["rank"])
        for (owner, repeat), part in table.groupby(["owner", "repeat"])
    }
    means = pd.Series(values).groupby(level=0).mean()
    return means["good"] - means["poor"]


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auc"])
def test_exchanges_of_few_subjects_are_enumerated(metric):
    results = two_classes(seed=5, n=8, n_repeats=2, shares=(0.8, 0.3))
    subjects = sorted({*results.predictions["subject"]})
    cases = product([False, True], repeat=len(subjects))
    found = [
        abs(exchanged(results, {s for s, out in zip(subjects, case, strict=True) if out}, metric))
        for case in cases
    ]
    expected = np.mean(np.array(found) >= found[0] - 1e-12)
    assert 0.05 < expected < 0.95
    (row,) = compare(results, "poor", metric).to_dict("records")
    assert row["p_exchange"] == pytest.approx(expected)


def test_p_of_exchanges_is_uniform_where_methods_are_exchangeable():
    n_studies, n = 400, 30
    rng, p = RNG(0), []
    (outcome, *_) = outcomes(two_classes(n=2 * n)).values()
    outcome = outcome._replace(subject=np.arange(n))
    for seed in range(n_studies):  # two methods that know nothing, without ties
        scores = rng.normal(size=(2, 2, n, 2)).argsort(axis=2).argsort(axis=2).astype(float)
        pairs = {r: tuple(outcome._replace(ranks=ranks) for ranks in scores[r]) for r in range(2)}
        p.append(exchange_test(pairs, MEASURES["auc"], 199, seed))
    for level in (0.1, 0.5, 0.9):
        four_deviations = 4 * np.sqrt(level * (1 - level) / n_studies)
        assert abs(np.mean(np.array(p) <= level) - level) < four_deviations


@given(st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), max_size=12))
def test_holm_is_that_of_statsmodels_where_p_is_known(values):
    p = np.array(values, dtype=float)
    known, adjusted = ~np.isnan(p), holm(p)
    assert np.isnan(adjusted[~known]).all()
    if known.any():
        _, expected, *_ = multipletests(p[known], method="holm")
        np.testing.assert_allclose(adjusted[known], expected, rtol=1e-12, atol=0)


def test_a_single_hold_out_is_tested_over_its_subjects():
    """For a mean the deviation of subjects who are left out is that of the paired t-test."""
    labels, rng = np.tile(TWO, 12), RNG(0)
    scores = {name: rng.uniform(size=(1, 24)) for name in "ab"}
    results = study(scores, labels, np.arange(24).astype(str), [np.arange(24)])
    (row,) = compare(results, metric="brier").to_dict("records")
    truth = (labels == "patient").astype(float)
    expected = ttest_rel(*(np.square(scores[name][0] - truth) for name in "ba"))
    assert (row["test"], row["n_repeats"]) == ("subjects", 1)
    assert (row["t"], row["p_t"]) == pytest.approx((expected.statistic, expected.pvalue))
    interval = expected.confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert 0 < row["p_exchange"] <= 1
    assert summarise(results)["std"].isna().all()


def test_what_no_hold_out_has_is_compared_without_a_value():
    results = two_classes(decisions=("poor",))
    (row,) = compare(results, metric="brier").to_dict("records")
    assert row["n_repeats"] == 0
    values = [row[name] for name in ("difference", "low", "t", "p_t", "p_exchange")]
    assert np.isnan(values).all()


def test_methods_that_are_the_same_have_no_interval_of_their_difference():
    same = np.tile(RNG(0).uniform(size=24), (3, 1))
    labels = np.tile(TWO, 12)
    tests = [np.arange(12), np.arange(6, 18), np.arange(12, 24)]
    results = study({"a": same, "b": same}, labels, np.arange(24).astype(str), tests)
    (row,) = compare(results).to_dict("records")
    assert (row["difference"], row["p_exchange"]) == (0, 1)
    assert np.isnan([row[name] for name in ("low", "high", "t", "p_t")]).all()


def test_only_shared_repeats_are_compared():
    gone = [lambda t: t[~(t["estimator"].eq("poor") & t["repeat"].eq(1))]] * 2
    (row,) = compare(changed(two_classes(), *gone)).to_dict("records")
    assert row["n_repeats"] == 2


def test_all_pairs_and_their_adjustment_within_a_condition():
    """Each size is a question of its own, with three pairs of three estimators."""
    labels, rng = np.tile(TWO, 30), RNG(0)
    scores = {name: rng.uniform(size=(4, 60)) for name in "abc"}
    plain = study(scores, labels, np.arange(60).astype(str), [np.arange(60)] * 4)
    sizes = [lambda t: t.assign(size=10 + t["repeat"] // 2, draw=t["repeat"] % 2)] * 2
    names = {"keys": ["size", "draw"], "condition": ["size"], "overlapping": False}
    results = changed(plain, *sizes)
    results.description["design"] = names
    table = compare(results, "b", "auc", pairs="all")
    assert table.columns[0] == "size"
    pairs = [("b", "a"), ("c", "a"), ("c", "b")]
    assert [*zip(table["estimator"], table["baseline"], strict=True)] == pairs * 2
    assert (table["test"] == "paired").all()
    for _, part in table.groupby("size"):
        for name in ("p_t", "p_exchange"):
            expected = multipletests(part[name], method="holm")[1]
            np.testing.assert_allclose(part[f"{name}_holm"], expected)
    d = [plain["auc"].iloc[4:6].to_numpy() - plain["auc"].iloc[:2].to_numpy()]  # of size 10
    expected = ttest_rel(d[0], np.zeros(2))
    assert (table["t"][0], table["p_t"][0]) == pytest.approx((expected.statistic, expected.pvalue))
    summary = summarise(results, "auc")
    assert [*zip(summary["size"], summary["estimator"], strict=True)] == [*product([10, 11], "abc")]


# Curves -------------------------------------------------------------------------------------


def test_calibration_by_hand():
    labels = np.array(["control", "patient", "patient", "control"])
    scores = {"net": [[0.05, 0.1, 1.0, 0.96]], "svm": [[0, 1, 1, 0]]}
    results = study(scores, labels, np.arange(4).astype(str), [np.arange(4)], decisions=("svm",))
    bins = calibration(results)
    assert bins.to_dict("list") == {
        "estimator": ["net"] * 3,
        "low": pytest.approx([0, 0.1, 0.9]),
        "high": pytest.approx([0.1, 0.2, 1]),
        "probability": pytest.approx([0.05, 0.1, 0.98]),
        "frequency": [0, 1, 0.5],
        "n": [1, 1, 2],
    }
    errors = calibration_error(bins)
    assert errors.to_dict() == {"net": pytest.approx((0.05 + 0.9 + 2 * 0.48) / 4)}


def test_calibration_of_more_classes_is_that_of_the_largest_probability():
    bins = calibration(three_classes(), n_bins=1)
    predictions = three_classes().predictions
    proba = predictions[[f"score:{name}" for name in THREE]]
    assert bins["probability"][0] == pytest.approx(proba.max(axis=1).mean())
    hits = predictions["label"] == predictions["predicted"]
    assert bins["frequency"][0] == pytest.approx(hits.mean())


def test_roc_curves_are_means_of_those_of_scikit_learn():
    results = two_classes()
    curves = roc_curves(results).set_index(["estimator", "false_positive_rate"])
    found = []
    for _, part in results.predictions.query("estimator == 'good'").groupby("repeat"):
        fpr, tpr, _ = oracle.roc_curve(part["label"] == "patient", part["score:patient"])
        found.append(np.interp(np.linspace(0, 1, 101), fpr, tpr))
    curve = curves.loc["good", "true_positive_rate"]
    np.testing.assert_allclose(curve.iloc[1:], np.mean(found, axis=0)[1:])
    assert (curve.iloc[0], curve.iloc[-1]) == (0, 1)


# Values and maps ----------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.sampled_from([0.0, 1e6]))
def test_metrics_of_values_are_those_of_scikit_learn_and_scipy(seed, n, shift):
    rng = RNG(seed)
    y, said = rng.normal(size=(2, n), scale=8).round() / 8  # with ties
    y[0] += 1
    found = Values().score({"label": y + shift, "predicted": said + shift})
    expected = {
        "r2": oracle.r2_score(y, said),
        "mae": oracle.mean_absolute_error(y, said),
        "rmse": oracle.root_mean_squared_error(y, said),
        "rank_correlation": spearmanr(y, said).statistic if len({*said}) > 1 else 0,
    }
    assert found == pytest.approx(expected, abs=1e-7 if shift else 1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_metrics_of_maps_are_those_of_all_places_together(seed, n_classes):
    rng, classes = RNG(seed), np.arange(n_classes)
    y, said = ([rng.integers(0, n_classes, size=(3 + k, 4)) for k in range(5)] for _ in range(2))
    task = ClassMaps(classes)
    found = task.score(task.predict(Says(said), None, y))
    label, predicted = (np.concatenate([one.ravel() for one in maps]) for maps in (y, said))
    average = {"average": "binary"} if n_classes == 2 else {"average": "macro"}
    assert found == pytest.approx(
        {
            "mean_iou": oracle.jaccard_score(label, predicted, average="macro"),
            "dice": oracle.f1_score(label, predicted, **average),
            "accuracy": oracle.accuracy_score(label, predicted),
            "balanced_accuracy": oracle.recall_score(label, predicted, average="macro"),
        }
    )
    values = [one + rng.normal(size=one.shape) for one in y]
    values[0][0, 0] = np.nan  # says nothing
    found = ValueMaps().score(ValueMaps().predict(Says(said), None, values))
    label = np.concatenate([one.ravel() for one in values])
    known = np.isfinite(label)
    pair = label[known], predicted[known]
    names = "r2_score", "mean_absolute_error", "root_mean_squared_error"
    assert [*found.values()] == pytest.approx([getattr(oracle, name)(*pair) for name in names])


class Says:
    """What predicts what it is told to."""

    def __init__(self, maps):
        self.maps = maps

    def predict(self, X):
        return self.maps


def test_what_is_far_from_zero_has_the_same_r2_and_interval():
    near, far = (summarise(of_values(shift=shift)).set_index(["estimator", "metric"])
                 for shift in (0.0, 1e8))  # fmt: skip
    names = ["mean", "low", "high"]
    np.testing.assert_allclose(near[names], far[names], rtol=1e-6)


def test_the_interval_of_a_mean_error_is_that_of_student_on_the_scale_of_its_logarithm():
    """Leaving out a subject moves a mean by its own part, so that the error is s / sqrt(n)."""
    task, rng = Values(), RNG(0)
    error, everyone = rng.exponential(size=30), np.arange(30)
    columns = {"label": np.zeros(30), "predicted": error}
    measure = task.measures["mae"]
    without = left_out(measure, [task.outcome(columns, everyone, everyone)])
    np.testing.assert_allclose(without, (error.sum() - error) / 29)
    results = of_values(n_repeats=1)
    row = summarise(results, "mae").set_index("estimator").loc["good"]
    assert np.log(row["high"] / row["mean"]) == pytest.approx(np.log(row["mean"] / row["low"]))


def test_samples_of_a_subject_tell_no_more_than_one():
    """Twins of every sample leave all intervals where they are."""
    once = of_values(n_repeats=1)
    twice = changed(once, predictions=lambda t: pd.concat([t, t.assign(sample=t["sample"] + "b")]))
    names = ["low", "high"]
    np.testing.assert_allclose(summarise(once)[names], summarise(twice)[names], rtol=1e-9)


def test_a_share_of_places_that_all_subjects_have_alike_is_no_certainty():
    task = ClassMaps(np.arange(2))
    counts = np.tile([[60, 0], [0, 40]], (10, 1, 1))
    everyone = np.arange(10)
    test = task.outcome({"counts": counts}, everyone, everyone)
    measure = task.measures["mean_iou"]
    low, high = measure.interval(measure, [test], 1.0, 0.95)
    assert (low, high) == pytest.approx((0.025 ** (1 / 10), 1))  # ten of ten subjects
    # Subjects that are coins, all places of them alike, are as many trials.
    of_coins = np.array([[[50, 0], [0, 50]]] * 7 + [[[0, 50], [50, 0]]] * 3)
    test = task.outcome({"counts": of_coins}, everyone, everyone)
    measure = task.measures["accuracy"]
    low, high = measure.interval(measure, [test], 0.7, 0.95)
    widest = beta.ppf(0.025, 7, 4), beta.ppf(0.975, 8, 3)
    assert low < widest[0] + 0.02
    assert high > widest[1] - 0.02


def test_errors_of_few_subjects_have_no_interval():
    for n, metrics in ((16, {"rank_correlation"}), (20, {"mae", "rmse", "rank_correlation"})):
        for overlapping in (True, False):  # hold-outs of 4 and 5 subjects, of 8 and 10
            summary = summarise(of_values(n=n, n_repeats=20, overlapping=overlapping))
            known = summary.dropna(subset=["low", "high"])
            assert {*known["metric"]} == metrics


def test_intervals_over_draws_add_both_variances():
    """With a deviation over draws of zero there is that over subjects alone."""
    alike, anew = (of_values(n_repeats=5, overlapping=over) for over in (True, False))
    once, both = summarise(alike), summarise(anew)
    t = 2.776445  # of 4 degrees of freedom
    reach = t * once["std"] / np.sqrt(5)
    for name in ("low", "high"):
        side = np.hypot(once[name] - once["mean"], reach)
        bound = {"r2": 1, "rank_correlation": 1}
        expected = once["mean"] + (side if name == "high" else -side)
        expected = expected.clip(upper=once["metric"].map(bound).fillna(np.inf))
        np.testing.assert_allclose(both[name], expected, rtol=1e-5)


@pytest.mark.parametrize("metric", [*Values.measures])
def test_exchanges_of_values_are_enumerated(metric):
    results = of_values(n=16, n_repeats=2, noise=(0.7, 1.2))
    table = results.predictions
    subjects = sorted({*table["subject"]})
    names = {"good": "poor", "poor": "good"}
    table["rank"] = by_fit(results)["predicted"].rank()
    found = []
    for case in product([False, True], repeat=len(subjects)):
        swap = table["subject"].isin([s for s, out in zip(subjects, case, strict=True) if out])
        owner = table["estimator"].where(~swap, table["estimator"].map(names))
        values = {
            key: of_value(metric, part) for key, part in table.groupby([owner, table["repeat"]])
        }
        means = pd.Series(values).groupby(level=0).mean()
        found.append(abs(means["good"] - means["poor"]))
    (row,) = compare(results, "poor", metric).to_dict("records")
    assert row["p_exchange"] == pytest.approx(np.mean(np.array(found) >= found[0] - 1e-12))


def of_value(metric, part):
    if metric == "rank_correlation":
        return spearmanr(part["label"], part["rank"]).statistic
    name = {"r2": "r2_score", "mae": "mean_absolute_error", "rmse": "root_mean_squared_error"}
    return getattr(oracle, name[metric])(part["label"], part["predicted"])


def test_metrics_of_fits_are_those_of_their_predictions():
    for results in (two_classes(), three_classes(), of_values()):
        scores = score_fits(results)
        pd.testing.assert_frame_equal(scores, results.fits[[*scores]])


# Errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"predictions": lambda t: t.drop(columns="score:patient")}, "'score:patient'"),
        ({"fits": lambda t: t.iloc[:0]}, "results must have a finished fit"),
        ({"fits": lambda t: pd.concat([t, t])}, "fits must have .* once.*'good', repeat 0"),
        ({"predictions": lambda t: pd.concat([t, t[:1]])}, "predictions must have .*sample 'scan"),
        ({"fits": lambda t: t[1:]}, "'good', repeat 0"),
        ({"predictions": lambda t: t.assign(label="Patient")}, "'label' .*'Patient'"),
        ({"predictions": lambda t: t.assign(predicted=1)}, "'predicted' .*'1'"),
    ],
)
def test_tables_that_are_not_sound_are_refused(changes, message):
    for use in (score_fits, summarise, compare, calibration, roc_curves):
        with pytest.raises(ValueError, match=message):
            use(changed(two_classes(), **changes))


@pytest.mark.parametrize(
    "use, given, message",
    [
        (compare, {"baseline": "svm"}, "'good', 'poor', got 'svm'"),
        (compare, {"metric": "f1"}, "metric must be one of balanced_accuracy, auc"),
        (compare, {"confidence": 95}, "confidence"),
        (compare, {"n_permutations": -1}, "n_permutations"),
        (compare, {"pairs": "some"}, "'baseline' or 'all', got 'some'"),
        (summarise, {"confidence": 1}, "confidence"),
        (summarise, {"metric": "f1"}, "metric must be one of balanced_accuracy, auc"),
        (calibration, {"n_bins": 0}, "n_bins"),
    ],
)
def test_parameters_out_of_range_are_refused(use, given, message):
    with pytest.raises(ValueError, match=message):
        use(two_classes(), **given)


def test_estimators_must_be_tested_on_the_same_samples():
    def without_one(table):
        return table.drop(
            index=table.index[table["estimator"].eq("poor") & table["repeat"].eq(1)][0]
        )

    with pytest.raises(ValueError, match="'poor' and 'good' were not in 1"):
        compare(changed(two_classes(), predictions=without_one))


def test_curves_are_of_classes():
    for use in (calibration, roc_curves):
        with pytest.raises(ValueError, match="of classes, got 'values'"):
            use(of_values())
