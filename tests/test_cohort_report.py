"""The report of a cohort study says everything, and nothing in it can break the page."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from test_inspection import assert_legible

from sklstruct.inspection import (
    CohortCalibrationDisplay,
    CohortDifferencesDisplay,
    CohortRocDisplay,
    CohortScoresDisplay,
    write_report,
)
from sklstruct.studies.cohort_study import CohortResults, cohort_study
from sklstruct.studies.curves import calibration, roc_curves
from sklstruct.studies.inference import compare, summarise_cohort
from sklstruct.studies.metrics import score_fits

SVM, NET = "svm <b>$x$</b>", "logistic & co"
ILL = "patient <i>"
LEFT_OUT = pd.DataFrame(
    {
        "subject": ["sub-98", "sub-99", ""],
        "file": ["anat/<script>alert(1)</script>.nii.gz", "sub-99_T1w.nii.gz", "stray.nii"],
        "problem": ["is cut short", "has no label", "belongs to no subject"],
    }
)
ESTIMATORS = {
    SVM: make_pipeline(StandardScaler(), LinearSVC(C=0.01)),
    NET: LogisticRegression(),
    "guess": DummyClassifier(),
}


def run(classes, estimators=tuple(ESTIMATORS), **options):
    """A study on two scans each of 30 subjects."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(30), 2)
    y = subject % len(classes)
    X = rng.normal(size=(30, 8))[subject] + rng.normal(size=(60, 8)) + 1.2 * np.eye(8)[y]
    chosen = {label: ESTIMATORS[label] for label in estimators}
    names = np.array([f"sub-{i:02d}" for i in subject])
    return cohort_study(chosen, X, np.array(classes)[y], names, progress=False, **options)


@pytest.fixture(scope="module")
def results():
    return run(["control", ILL], n_repeats=5, left_out=LEFT_OUT, target="diagnosis <3")


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "new"
    assert write_report(results, folder, baseline=NET) == folder / "report.html"
    return folder


class Page(HTMLParser):
    """Checks that elements are closed in their order, and keeps what a reader sees."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.images, self.texts = [], set(), [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open
        self.text = " ".join("".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.texts.append(" ")

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def test_names_of_users_are_text_and_never_elements(folder):
    page = Page(folder / "report.html")
    assert not page.tags & {"script", "b", "i", "link", "iframe"}
    for name in (SVM, NET, ILL, "diagnosis <3"):
        assert name in page.text


def test_everybody_who_was_left_out_is_named(folder):
    page = Page(folder / "report.html")
    for row in LEFT_OUT.itertuples(index=False):
        assert " ".join(filter(None, row)) in page.text


def test_the_page_stands_alone_and_its_pictures_have_words(folder):
    page = Page(folder / "report.html")
    assert not re.search(r"https?:|url\(|@import", re.sub(r'src="data:[^"]*"', "", page.source))
    assert len(page.images) == 4
    for image in page.images:
        kind, content = image["src"].split(",")
        assert kind == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(content, validate=True)
        assert NET in image["alt"]


def test_a_reviewer_finds_what_the_numbers_are(folder, results):
    text = Page(folder / "report.html").text
    first = summarise_cohort(results).iloc[0]
    mean, low, high = (f"{100 * first[name]:.1f}" for name in ("mean", "low", "high"))
    assert f"{SVM} {mean} [{low}, {high}]" in text
    for said in (
        "60 scans of 30 subjects",
        f"{results.fits['n_train_subjects'][0]} subjects, {results.fits['n_train'][0]} scans",
        f"The positive class is {ILL}",
        f"The scores of {SVM} are decision values and no probabilities",
        f"Differences from {NET}",
        "corrected resampled t-test",
        "Holm",
        "It covers the choice of the subjects that were tested",
        "scikit-learn",
        "StandardScaler() \N{RIGHTWARDS ARROW} LinearSVC(C=0.01",
        ", ".join(map(str, results.fits["seed"][:5])),
        results.description["data"]["sha256"],
    ):
        assert said in text


def test_the_tables_are_complete(folder, results):
    summary = pd.read_csv(folder / "summary.csv", engine="python")
    pd.testing.assert_frame_equal(summary, summarise_cohort(results), check_exact=True)
    found = pd.read_csv(folder / "comparisons.csv", engine="python")
    parts = [compare(results, NET, metric) for metric in ("balanced_accuracy", "auc")]
    pd.testing.assert_frame_equal(found, pd.concat(parts, ignore_index=True), check_exact=True)


def test_the_same_results_give_the_same_report(folder, results):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {*before} == {"report.html", "summary.csv", "comparisons.csv"}
    write_report(results, folder, baseline=NET)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_study_that_is_read_again_has_the_same_report(tmp_path):
    results = run([0, 1], [NET, SVM], n_repeats=2, out=tmp_path / "study", left_out=LEFT_OUT)
    again = CohortResults.read(tmp_path / "study")
    one, other = (write_report(r, tmp_path / name) for r, name in ((results, "a"), (again, "b")))
    assert one.read_bytes() == other.read_bytes()


def test_an_unknown_baseline_writes_nothing(results, tmp_path):
    with pytest.raises(ValueError, match="baseline must be one of"):
        write_report(results, tmp_path / "new", baseline="svm")
    assert not (tmp_path / "new").exists()


def test_sites_and_more_than_two_classes(tmp_path):
    sites = np.repeat(["Ulm <u>", "Bonn", "Kiel"], 20)
    results = run(["a", "b", "c"], sites=sites, n_repeats=3)
    page = Page(write_report(results, tmp_path))
    scores = score_fits(results).query("held_out_site == 'Bonn'")
    shown = [f"{100 * row.balanced_accuracy:.1f} {row.auc:.3f}" for row in scores.itertuples()]
    assert f"Bonn 10 20 {' '.join(shown)}" in page.text
    assert "of one whole site each: Bonn, Kiel and Ulm <u>" in page.text
    assert "sensitivity" not in page.text
    assert "No scan was left out." in page.text


def test_one_hold_out_of_one_estimator_without_probabilities(tmp_path):
    page = Page(write_report(run(["a", "b"], [SVM], n_repeats=1), tmp_path))
    assert "nothing to compare with" in page.text
    assert "No estimator gives probabilities" in page.text
    assert "nan" not in page.text
    assert len(page.images) == 2
    assert pd.read_csv(tmp_path / "comparisons.csv").empty


def test_intervals_that_no_difference_can_have_are_noted(results, tmp_path):
    two = run(["a", "b"], [NET, SVM, "guess"], n_repeats=2, random_state=2)
    note = "2 hold-outs are too few for this test to say how much estimators differ"
    assert compare(two)[["low", "high"]].abs().max(axis=None) > 1
    assert note in Page(write_report(two, tmp_path / "two")).text
    assert compare(results, NET)[["low", "high"]].abs().max(axis=None) < 1
    assert "too few for this test" not in Page(write_report(results, tmp_path / "five")).text


def test_means_over_fewer_hold_outs_are_said(results, tmp_path):
    last = results.fits["repeat"].eq(4) & results.fits["estimator"].eq(NET)
    gone = results.predictions["repeat"].eq(4) & results.predictions["estimator"].eq(NET)
    fields = {
        **vars(results),
        "fits": results.fits[~last],
        "predictions": results.predictions[~gone],
    }
    page = Page(write_report(type(results)(**fields), tmp_path))
    assert f"{NET}: balanced accuracy, AUC, " in page.text
    assert "over 4 of 5 hold-outs only" in page.text


# Displays -----------------------------------------------------------------------------------


def test_dots_are_the_hold_outs(results):
    display = CohortScoresDisplay.from_results(results).plot()
    (ax,) = display.axes_
    scores = score_fits(results).groupby("estimator", sort=False)["balanced_accuracy"]
    means, dots = ax.collections[::2], ax.collections[1::2]
    for (_, values), mean, dot in zip(scores, means, dots, strict=True):
        np.testing.assert_allclose(dot.get_offsets()[:, 0], 100 * values)
        np.testing.assert_allclose(mean.get_segments()[0][:, 0], 100 * values.mean())
        assert len({tuple(place) for place in dot.get_offsets().round(6)}) == len(values)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [SVM, NET, "guess"]
    assert_legible(display.figure_)


def test_intervals_are_those_of_the_comparison(results):
    display = CohortDifferencesDisplay.from_results(results, NET, "auc").plot()
    (ax,) = display.axes_
    expected = compare(results, NET, "auc")
    ends = np.array([line[:, 0] for line in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, expected[["low", "high"]])
    assert ax.get_xlabel() == f"AUC minus that of {NET}"
    assert_legible(display.figure_)


@pytest.mark.parametrize(
    "display, table, columns",
    [
        (CohortRocDisplay, roc_curves, ["false_positive_rate", "true_positive_rate"]),
        (CohortCalibrationDisplay, calibration, ["probability", "frequency"]),
    ],
)
def test_curves_are_drawn_in_the_colours_of_their_names(results, display, table, columns):
    display = display.from_results(results).plot()
    (ax,) = display.axes_
    curves = [line for line in ax.get_lines() if line.get_transform() == ax.transData]
    samples = [line for line in ax.get_lines() if line not in curves]
    expected = table(results).groupby("estimator", sort=False)
    for line, sample, text, (name, part) in zip(curves, samples, ax.texts[1:], expected):  # noqa: B905
        np.testing.assert_allclose(line.get_xydata(), part[columns])
        assert line.get_color() == sample.get_color()
        assert text.get_text().startswith(name)
    assert len(samples) == len(ax.texts) - 1 == expected.ngroups
    assert_legible(display.figure_)


def test_pictures_of_a_folder_are_those_of_its_results(tmp_path):
    results = run(["control", ILL], n_repeats=2, out=tmp_path)
    for display in (CohortScoresDisplay, CohortRocDisplay):
        (one,), (other,) = (display.from_results(r).axes_ for r in (results, tmp_path))
        for mine, theirs in zip(one.get_lines(), other.get_lines(), strict=True):
            np.testing.assert_array_equal(mine.get_xydata(), theirs.get_xydata())


def test_colours_of_estimators_are_the_same_in_all_pictures(results):
    roc, bins = (
        d.from_results(results).plot() for d in (CohortRocDisplay, CohortCalibrationDisplay)
    )
    assert bins.axes_[0].get_lines()[0].get_color() == roc.axes_[0].get_lines()[1].get_color()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda r: CohortScoresDisplay(score_fits(r), metric="f1"), "metric must be one of"),
        (lambda r: CohortScoresDisplay(score_fits(r).assign(auc=np.nan), metric="auc"), "'auc'"),
        (lambda r: CohortDifferencesDisplay(compare(r).iloc[:0]), "comparisons"),
        (lambda r: CohortCalibrationDisplay(calibration(r).iloc[:0]), "no probabilities"),
    ],
)
def test_what_cannot_be_drawn_is_refused(results, make, message):
    with pytest.raises(ValueError, match=message):
        make(results)
