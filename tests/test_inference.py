"""Metrics against scikit-learn, tests and intervals against theory and full enumeration."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn import metrics as oracle
from sklearn.preprocessing import label_binarize

from sklstruct.studies.cohort_study import CohortResults
from sklstruct.studies.cohort_text import format_cohort_summary, number, p_value
from sklstruct.studies.curves import calibration, calibration_error, roc_curves
from sklstruct.studies.inference import compare, exchange_test, holm, summarise_cohort
from sklstruct.studies.metrics import MEASURES, outcomes, score_fits
from sklstruct.studies.splits import subject_splits
from sklstruct.studies.summary import resampled_t_test

TWO, THREE = ("control", "patient"), ("a", "b", "c")
RNG = np.random.default_rng


def study(scores, labels, subjects, tests, classes=TWO, decisions=(), n_train=30, left_out=()):
    """Results of estimators that give scan i of repeat r the scores ``scores[label][r, i]``.

    Scores of two classes are those of the last one: probabilities, or decision values.
    """
    fits, predictions = [], []
    for (label, values), (repeat, test) in product(scores.items(), enumerate(tests)):
        given = np.asarray(values)[repeat, test]
        if len(classes) == 2:
            given = np.stack([-given if label in decisions else 1 - given, given], axis=1)
        part = {"estimator": label, "repeat": repeat}
        size = {"n_train": n_train, "n_test": len(test), "n_train_subjects": n_train}
        size["n_test_subjects"] = len({*subjects[test]})
        kind = {"held_out_site": "", "probabilities": label not in decisions}
        cost = {"fit_seconds": 1.0, "predict_seconds": 0.1, "n_parameters": None, "seed": repeat}
        fits.append(part | size | kind | cost)
        tested = {"subject": subjects[test], "scan": [f"scan {i}" for i in test]}
        tested |= {"label": labels[test], "predicted": np.array(classes)[given.argmax(axis=1)]}
        tested |= {f"score:{name}": given[:, k] for k, name in enumerate(classes)}
        predictions.append(pd.DataFrame(part | tested))
    columns = ["subject", "file", "problem"]
    return CohortResults(
        pd.DataFrame(fits).astype({"n_parameters": "Int64"}),
        pd.concat(predictions, ignore_index=True),
        np.array(classes),
        "diagnosis",
        pd.DataFrame(list(left_out), columns=columns),
        {},
    )


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
        part = part.sort_values("scan")
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
    means = summarise_cohort(results, n_bootstrap=50).pivot(index="metric", columns="estimator")
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
    assert np.isnan([row["t"], row["p_corrected"]]).all()  # all differences are the same
    # they differ in ten patients, and as much only if all or none of them are exchanged
    assert row["p_permutation"] == pytest.approx(2**-9, abs=0.002)


def test_what_a_test_part_lacks_does_not_count():
    labels = np.array(["control"] * 6 + ["patient"] * 6)
    tests = [np.arange(4), np.arange(3, 9)]  # the first one has no patient
    scores = {"net": [np.linspace(0.1, 0.9, 12)] * 2}
    results = study(scores, labels, np.arange(12).astype(str), tests)
    first, second = score_fits(results).to_dict("records")
    assert first["balanced_accuracy"] == first["specificity"] == 1
    assert np.isnan([first["auc"], first["sensitivity"]]).all()
    summary = summarise_cohort(results, n_bootstrap=200).set_index("metric")
    once = {"auc": 1, "sensitivity": 1}
    assert summary["n_repeats"].to_dict() == dict.fromkeys(MEASURES, 2) | once
    assert summary.loc["auc", "mean"] == second["auc"]
    assert roc_curves(results)["true_positive_rate"].notna().all()


def test_a_fit_whose_scores_are_no_numbers_has_no_metrics_of_scores():
    results = two_classes()
    lost = results.predictions["estimator"].eq("good") & results.predictions["repeat"].eq(1)
    results.predictions.loc[lost, ["score:control", "score:patient"]] = np.nan
    summary = summarise_cohort(results, n_bootstrap=20).set_index(["estimator", "metric"])
    of_scores = ["auc", "brier", "log_loss"]
    assert (
        summary.loc["good", "n_repeats"] == [2 if m in of_scores else 3 for m in MEASURES]
    ).all()
    assert (summary.loc["poor", "n_repeats"] == 3).all()
    (row,) = compare(results, "poor", "auc").to_dict("records")
    assert row["n_repeats"] == 2
    assert 0 < row["p_permutation"] <= 1
    used = results.predictions["estimator"].eq("good").sum() - lost.sum()
    assert calibration(results).groupby("estimator")["n"].sum()["good"] == used
    assert roc_curves(results)["true_positive_rate"].notna().all()


def test_the_order_of_the_rows_does_not_matter():
    results = two_classes()
    shuffled = CohortResults(
        results.fits,
        results.predictions.sample(frac=1, random_state=0),
        *(results.classes, results.target, results.left_out, results.description),
    )
    for use in (score_fits, summarise_cohort, compare, calibration, roc_curves):
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
    summary = summarise_cohort(results).set_index("metric").loc["balanced_accuracy"]
    assert summary["mean"] == pytest.approx(0.7)
    return summary["high"] - summary["low"]


def test_scans_of_a_subject_are_no_independent_samples():
    clustered, independent = width(by_subject(60, 4)), width(by_subject(240, 1))
    # the mean of two recalls of 30 and of 120 subjects, p = 0.7, by the normal distribution
    expected = 2 * 1.96 * np.sqrt(0.7 * 0.3 / np.array([60, 240]))
    np.testing.assert_allclose([clustered, independent], expected, rtol=0.1)


def test_repeats_of_the_same_predictions_tell_nothing_new():
    once = by_subject(60, 1)
    again = pd.concat([once.predictions.assign(repeat=r) for r in range(5)])
    fits = pd.concat([once.fits.assign(repeat=r) for r in range(5)])
    rest = once.classes, once.target, once.left_out, once.description
    assert width(CohortResults(fits, again, *rest)) == pytest.approx(width(once))


def of_five(scores, n_repeats=1):
    """A study of 5 controls and 40 patients, all of whom are tested each time."""
    labels = np.repeat(TWO, [5, 40])
    tests = [np.arange(45)] * n_repeats
    return study({"net": np.tile(scores, (n_repeats, 1))}, labels, np.arange(45).astype(str), tests)


def interval_of(results, metric):
    row = summarise_cohort(results, n_bootstrap=50).set_index("metric").loc[metric]
    return pytest.approx([row["low"], row["high"]], abs=1e-4)


def test_five_of_five_are_no_certainty():
    right = of_five(np.repeat([0.0, 1.0], [5, 40]))
    assert interval_of(right, "specificity") == [0.4782, 1]  # by tables of Clopper and Pearson
    four = of_five(np.r_[1.0, np.zeros(4), np.ones(40)])
    assert interval_of(four, "specificity") == [0.2836, 0.9949]
    assert interval_of(four, "sensitivity") == [0.9119, 1]
    again = of_five(np.r_[1.0, np.zeros(4), np.ones(40)], n_repeats=20)
    for metric in MEASURES:  # subjects count once
        low, high = (summarise_cohort(r).set_index("metric").loc[metric, ["low", "high"]]
                     for r in (four, again))  # fmt: skip
        np.testing.assert_allclose(low.astype(float), high.astype(float))


def test_the_interval_of_an_auc_has_the_variance_of_its_limits():
    rng = RNG(0)
    results = of_five(np.r_[rng.uniform(0, 0.6, 5), rng.uniform(0.3, 1, 40)])
    row = summarise_cohort(results, n_bootstrap=50).set_index("metric").loc["auc"]
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
    summary = summarise_cohort(results).set_index("metric")
    assert summary["low"].dropna().index.tolist() == ["sensitivity", "specificity"]
    assert "at least 5 subjects must be tested, but there were 4 of control." in (
        format_cohort_summary(results)
    )


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
    expected = {"low": test.low, "high": test.high, "t": float(test.t), "p_corrected": test.p}
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
    assert row["p_permutation"] == pytest.approx(expected)


def test_p_of_exchanges_is_uniform_where_methods_are_exchangeable():
    n_studies, n = 400, 30
    rng, p = RNG(0), []
    (outcome, *_) = outcomes(two_classes(n=2 * n)).values()
    outcome = outcome._replace(subject=np.arange(n))
    for _ in range(n_studies):  # two methods that know nothing, without ties
        scores = rng.normal(size=(2, 2, n, 2)).argsort(axis=2).argsort(axis=2).astype(float)
        pairs = {r: tuple(outcome._replace(ranks=ranks) for ranks in scores[r]) for r in range(2)}
        p.append(exchange_test(pairs, MEASURES["auc"], 199, rng))
    for level in (0.1, 0.5, 0.9):
        four_deviations = 4 * np.sqrt(level * (1 - level) / n_studies)
        assert abs(np.mean(np.array(p) <= level) - level) < four_deviations


def test_holm():
    adjusted = holm(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(adjusted, [0.03, np.nan, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])
    assert holm(np.array([])).shape == (0,)


def test_a_single_hold_out_has_no_t_test():
    results = two_classes(n_repeats=1)
    (row,) = compare(results).to_dict("records")
    assert np.isfinite([row["difference"], row["p_permutation"]]).all()
    assert np.isnan([row[name] for name in ("low", "high", "t", "p_corrected")]).all()
    summary = summarise_cohort(results, n_bootstrap=20)
    assert summary["std"].isna().all()
    recalls = summary["metric"].isin(["sensitivity", "specificity"])
    assert summary["mean"].notna().all()
    # three of the twelve scans are of patients, which is too few for the others
    assert (summary["low"].notna() == recalls).all()


def test_what_no_hold_out_has_is_compared_without_a_value():
    results = two_classes(decisions=("poor",))
    (row,) = compare(results, metric="brier").to_dict("records")
    assert row["n_repeats"] == 0
    values = [row[name] for name in ("difference", "low", "t", "p_corrected", "p_permutation")]
    assert np.isnan(values).all()


def test_methods_that_are_the_same_have_no_interval_of_their_difference():
    same = np.tile(RNG(0).uniform(size=24), (3, 1))
    labels = np.tile(TWO, 12)
    tests = [np.arange(12), np.arange(6, 18), np.arange(12, 24)]
    results = study({"a": same, "b": same}, labels, np.arange(24).astype(str), tests)
    (row,) = compare(results).to_dict("records")
    assert (row["difference"], row["p_permutation"]) == (0, 1)
    assert np.isnan([row[name] for name in ("low", "high", "t", "p_corrected")]).all()


def test_only_shared_repeats_are_compared():
    results = two_classes()
    keep = ~((results.fits["estimator"] == "poor") & (results.fits["repeat"] == 1))
    there = results.predictions.set_index(["estimator", "repeat"]).index != ("poor", 1)
    parts = results.fits[keep], results.predictions[there]
    rest = results.classes, results.target, results.left_out, results.description
    (row,) = compare(CohortResults(*parts, *rest)).to_dict("records")
    assert row["n_repeats"] == 2


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


# Words and errors ---------------------------------------------------------------------------


def test_the_summary_for_the_terminal():
    results = two_classes(decisions=("poor",))
    head, table, differences = format_cohort_summary(results, "poor").split("\n\n")
    scans, subjects = (results.predictions[name].nunique() for name in ("scan", "subject"))
    assert f"diagnosis: tested on {scans} scans of {subjects} subjects in 3 hold-outs." in head
    assert "patient is positive" in head
    names, first, *_, last = table.splitlines()
    assert names.split() == ["good", "poor"]
    row = summarise_cohort(results).iloc[0]
    mean, low, high = (f"{100 * row[name]:.1f}" for name in ("mean", "low", "high"))
    assert first.startswith("balanced accuracy")
    assert f"{mean} [{low}, {high}]" in first
    assert last.startswith("log loss")
    assert last.endswith(" -")
    assert len({len(line) for line in table.splitlines()}) == 1  # is aligned
    assert differences.splitlines()[0].startswith("Difference in balanced accuracy from poor")
    assert differences.splitlines()[2].startswith("good")


def test_numbers_are_written_as_in_a_paper():
    assert [number(x, "accuracy") for x in (0.8125, 1, np.nan)] == ["81.2", "100.0", "-"]
    assert [number(x, "auc", signed=True) for x in (-0.0001, -0.25)] == [
        "+0.000",
        "\N{MINUS SIGN}0.250",
    ]
    shown = ["< 0.001", "0.012", "0.20", "1.0", "-"]
    assert [p_value(p) for p in (0.0002, 0.012, 0.2, 1, np.nan)] == shown


def changed(fits=lambda t: t, predictions=lambda t: t):
    results = two_classes()
    parts = fits(results.fits), predictions(results.predictions)
    return CohortResults(
        *parts, results.classes, results.target, results.left_out, results.description
    )


@pytest.mark.parametrize(
    "results, message",
    [
        (changed(fits=lambda t: t.drop(columns="n_test")), r"fits lacks the columns \['n_test'\]"),
        (changed(predictions=lambda t: t.drop(columns="score:patient")), "'score:patient'"),
        (changed(fits=lambda t: t.iloc[:0]), "fits must have rows"),
        (changed(fits=lambda t: pd.concat([t, t])), "fits must have .* once.*'good', repeat 0"),
        (changed(predictions=lambda t: pd.concat([t, t[:1]])), "predictions must have .*'scan"),
        (changed(fits=lambda t: t[1:]), "'good' in repeat 0"),
        (changed(predictions=lambda t: t.assign(label="Patient")), "'label' .*'Patient'"),
        (changed(predictions=lambda t: t.assign(predicted=1)), "'predicted' .*'1'"),
    ],
)
def test_tables_that_are_not_sound_are_refused(results, message):
    for use in (score_fits, summarise_cohort, compare, calibration, roc_curves):
        with pytest.raises(ValueError, match=message):
            use(results)


@pytest.mark.parametrize(
    "use, given, message",
    [
        (compare, {"baseline": "svm"}, "'good', 'poor', got 'svm'"),
        (compare, {"metric": "f1"}, "metric must be one of balanced_accuracy, auc"),
        (compare, {"confidence": 95}, "confidence"),
        (compare, {"n_permutations": 0}, "n_permutations"),
        (summarise_cohort, {"confidence": 1}, "confidence"),
        (summarise_cohort, {"n_bootstrap": 0}, "n_bootstrap"),
        (calibration, {"n_bins": 0}, "n_bins"),
    ],
)
def test_parameters_out_of_range_are_refused(use, given, message):
    with pytest.raises(ValueError, match=message):
        use(two_classes(), **given)


def test_estimators_must_be_tested_on_the_same_scans():
    other = changed(
        predictions=lambda t: t.drop(
            index=t.index[t["estimator"].eq("poor") & t["repeat"].eq(1)][0]
        )
    )
    with pytest.raises(ValueError, match="'poor' and 'good' were not in repeat 1"):
        compare(other)
