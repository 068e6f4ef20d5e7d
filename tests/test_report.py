"""The report of a study says everything, whatever it is of, and nothing in it breaks the page."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from test_inspection import assert_legible

from sklstruct.inspection import (
    CalibrationDisplay,
    CostDisplay,
    CriticalDifferenceDisplay,
    DifferencesDisplay,
    PredictedDisplay,
    RocDisplay,
    ScoresDisplay,
    StudyDisplay,
    write_comparison,
    write_report,
)
from sklstruct.inspection.lines import legible, spread
from sklstruct.inspection.report_methods import composition
from sklstruct.studies import (
    Budget,
    Draws,
    FixedSplit,
    HoldOuts,
    KFold,
    LeaveSiteOut,
    Results,
    Study,
    calibration,
    compare,
    compare_studies,
    critical_difference,
    format_summary,
    roc_curves,
    score_fits,
    summarise,
)
from sklstruct.studies.text import main_metric, number, with_interval

SVM, NET = "svm <b>$x$</b>", "logistic & co | 50%_"
ILL = "patient <i>"
LEFT_OUT = pd.DataFrame(
    {
        "subject": ["sub-98", "sub-99", ""],
        "file": ["anat/<script>alert(1)</script>.nii.gz", "sub-99_T1w.nii.gz", "stray.nii"],
        "problem": ["is cut short", "has no label", "belongs to no subject"],
    }
)
CLASSIFIERS = {
    SVM: make_pipeline(StandardScaler(), LinearSVC(C=0.01)),
    NET: LogisticRegression(),
    "guess": DummyClassifier(),
}
SITES = np.repeat(["Ulm <u>", "Bonn", "Kiel"], 20)


class Threshold(ClassifierMixin, BaseEstimator):
    """Maps of what is above a value."""

    dense = True

    def __init__(self, at=0.5):
        self.at = at

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (np.asarray(X) > self.at).astype(int)


def run(design, classes=("control", ILL), estimators=tuple(CLASSIFIERS), **options):
    """A study on two samples each of 30 subjects."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(30), 2)
    y = subject % len(classes)
    X = rng.normal(size=(30, 8))[subject] + rng.normal(size=(60, 8)) + 1.2 * np.eye(8)[y]
    names = np.array([f"sub-{i:02d}" for i in subject])
    what = {n: options.pop(n) for n in ("target", "name", "random_state", "budget") if n in options}
    if isinstance(estimators, tuple):
        estimators = {label: CLASSIFIERS[label] for label in estimators}
    groups = options.pop("groups", names)
    study = Study(design, estimators, **what)
    return study.run(X, np.array([*classes])[y], groups, progress=False, **options)


def run_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = 1000 * (X[:, 0] + rng.normal(0, 0.5, 60))
    models = {"ridge": Ridge(), "less": Ridge(100.0), "mean": DummyRegressor()}
    return Study(KFold(3, 2), models, target="volume").run(X, y, progress=False)


def run_maps():
    rng = np.random.default_rng(0)
    y = (rng.random((20, 6, 6)) < 0.3).astype(int)
    X = y + rng.normal(0, 0.8, y.shape)
    models = {"half": Threshold(), "high": Threshold(1.0), "low": Threshold(0.0)}
    return Study(FixedSplit(range(10)), models, target="lesion").run(X, y, progress=False)


STUDIES = {
    "draws": lambda: run(Draws([6, 12, 24], 4), "abc", name="letters", groups=None),
    "hold-outs": lambda: run(HoldOuts(5), left_out=LEFT_OUT, target="diagnosis <3"),
    "sites": lambda: run(LeaveSiteOut(), "abc", sites=SITES),
    "folds": run_values,
    "maps": run_maps,
}


@pytest.fixture(scope="module")
def studies():
    return {name: make() for name, make in STUDIES.items()}


@pytest.fixture(scope="module")
def results(studies):
    return studies["hold-outs"]


@pytest.fixture(scope="module")
def draws(studies):
    return studies["draws"]


@pytest.fixture(scope="module")
def folders(studies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    baselines = {"hold-outs": NET}
    for name, one in studies.items():
        page = write_report(one, folder / name, baseline=baselines.get(name))
        assert page == folder / name / "report.html"
    return folder


@pytest.fixture(params=STUDIES)
def kind(request):
    return request.param


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


# The page of any study ------------------------------------------------------------------------


def test_names_of_users_are_text_and_never_elements(folders, kind):
    page = Page(folders / kind / "report.html")
    assert not page.tags & {"script", "b", "i", "u", "link", "iframe"}


def test_the_page_stands_alone_and_its_pictures_have_words(folders, kind):
    page = Page(folders / kind / "report.html")
    assert not re.search(r"https?:|url\(|@import", re.sub(r'src="data:[^"]*"', "", page.source))
    assert len(page.images) == {"draws": 7, "hold-outs": 6, "sites": 6}.get(
        kind, 5 if kind == "folds" else 3
    )
    for image in page.images:
        form, content = image["src"].split(",")
        assert form == "data:image/svg+xml;base64"
        assert b"<svg" in base64.b64decode(content, validate=True)
        assert image["alt"]


def test_numbers_are_the_same_on_the_page_in_tables_and_in_text(folders, studies, kind):
    results, folder = studies[kind], folders / kind
    page, text = Page(folder / "report.html").text, format_summary(results)
    main = main_metric(results)
    last = summarise(results, main).groupby("estimator", sort=False).last()
    markdown, latex = ((folder / f"tables.{end}").read_text() for end in ("md", "tex"))
    for label, row in last.iterrows():
        assert f"{label} " in page
        assert with_interval(row, "mean", main) in page
        mean = number(row["mean"], main)
        assert mean in text
        assert mean in markdown
        assert mean.replace("\N{MINUS SIGN}", "$-$") in latex
    assert not re.search(r"\bnan\b", page + text + markdown + latex)
    summary = pd.read_csv(folder / "summary.csv", engine="python")
    pd.testing.assert_frame_equal(summary, summarise(results), check_exact=True)


def test_the_same_results_give_the_same_report(folders, studies, tmp_path, kind):
    write_report(studies[kind], tmp_path, baseline=NET if kind == "hold-outs" else None)
    before, again = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (folders / kind, tmp_path)
    )
    names = {"report.html", "summary.csv", "comparisons.csv", "tables.md", "tables.tex"}
    assert {*before} == names
    assert again == before


def test_a_study_that_is_read_again_has_the_same_report(tmp_path):
    results = run(HoldOuts(2), estimators=(NET, SVM), out=tmp_path / "study", left_out=LEFT_OUT)
    again = Results.read(tmp_path / "study")
    one, other = (write_report(r, tmp_path / name) for r, name in ((results, "a"), (again, "b")))
    assert one.read_bytes() == other.read_bytes()


def test_an_unknown_baseline_writes_nothing(results, tmp_path):
    with pytest.raises(ValueError, match="baseline must be one of"):
        write_report(results, tmp_path / "new", baseline="svm")
    assert not (tmp_path / "new").exists()


# What it says ---------------------------------------------------------------------------------


def test_a_reviewer_finds_what_the_numbers_are(folders, results):
    text = Page(folders / "hold-outs" / "report.html").text
    for row in LEFT_OUT.itertuples(index=False):
        assert " ".join(filter(None, row)) in text
    for said in (
        "60 samples of 30 subjects",
        f"{results['n_train_subjects'][0]} subjects, {results['n_train'][0]} samples",
        f"The positive class is {ILL}",
        f"The scores of {SVM} are decision values and no probabilities",
        f"Differences from {NET}",
        "corrected resampled t-test",
        "Holm",
        "It covers the choice of the subjects that were tested",
        "scikit-learn",
        "StandardScaler() \N{RIGHTWARDS ARROW} LinearSVC(C=0.01",
        results.description["data"]["sha256"],
    ):
        assert said in text
    found = pd.read_csv(folders / "hold-outs" / "comparisons.csv", engine="python")
    parts = [compare(results, NET, metric) for metric in ("balanced_accuracy", "auc")]
    pd.testing.assert_frame_equal(found, pd.concat(parts, ignore_index=True), check_exact=True)


def test_sites_that_were_left_out(folders, studies):
    page = Page(folders / "sites" / "report.html")
    scores = score_fits(studies["sites"]).merge(
        studies["sites"][["estimator", "repeat", "held_out_site"]]
    )
    rows = scores.query("held_out_site == 'Bonn'").itertuples()
    shown = [f"{100 * row.balanced_accuracy:.1f} {row.auc:.3f}" for row in rows]
    assert f"Bonn 10 20 {' '.join(shown)}" in page.text
    assert "of one whole site each: Bonn, Kiel and Ulm <u>" in page.text
    assert "sensitivity" not in page.text
    assert "No sample was left out." in page.text


def test_one_hold_out_of_one_estimator_without_probabilities(tmp_path):
    page = Page(write_report(run(HoldOuts(1), "ab", (SVM,)), tmp_path))
    assert "nothing to compare with" in page.text
    assert "No estimator gives probabilities" in page.text
    assert not re.search(r"\bnan\b", page.text)
    assert len(page.images) == 3
    assert pd.read_csv(tmp_path / "comparisons.csv").empty


def test_intervals_that_no_difference_can_have_are_noted(results, tmp_path):
    two = run(HoldOuts(2), "ab", (NET, SVM, "guess"), random_state=2)
    note = "2 hold-outs are too few for this test to say how much estimators differ"
    assert compare(two)[["low", "high"]].abs().max(axis=None) > 1
    assert note in Page(write_report(two, tmp_path / "two")).text
    assert note in format_summary(two)
    assert compare(results, NET)[["low", "high"]].abs().max(axis=None) < 1
    assert "too few for this test" not in Page(write_report(results, tmp_path / "five")).text


@pytest.mark.parametrize(
    "n_repeats, why", [(1, "with a single hold-out they need 5"), (3, "the same in every hold-out")]
)
def test_where_there_is_no_interval_it_is_said_why(n_repeats, why, tmp_path):
    models = {"net": LogisticRegression(), "twin": LogisticRegression(), "guess": DummyClassifier()}
    twins = run(HoldOuts(n_repeats), "ab", models)
    text, page = format_summary(twins), Page(write_report(twins, tmp_path)).text
    for said in (text, page):
        assert re.search(rf"No interval and no t-test of twin minus net.*: .*{why}", said)
        assert not re.search(r"of .*guess minus|\bnan\b", said)
    assert ["twin", "+0.0", "-", "1.0"] in map(str.split, text.splitlines())


@pytest.mark.parametrize(
    "models, said",
    [
        ([DummyClassifier()] * 3, "all are tied"),
        (
            [LogisticRegression(), LogisticRegression(), DummyClassifier()],
            "F = \N{INFINITY}, as all",
        ),
    ],
)
def test_ranks_without_a_statistic_are_told_in_words(models, said, tmp_path):
    results = run(HoldOuts(3), "ab", dict(zip("xyz", models, strict=True)))
    text = Page(write_report(results, tmp_path)).text
    assert said in text
    assert not re.search(r"\b(inf|nan)\b", text)


def test_how_many_samples_subjects_have_is_told_where_they_differ():
    groups = np.repeat(["a", "b", "c", *map(str, range(18))], [9, 8, 7, *[2] * 18])
    several = run(KFold(3), "ab", (SVM,), groups=groups)
    said = "60 samples of 21 subjects (2 to 9 samples each) in 3 folds"
    assert said in format_summary(several)


def without(results, label, **key):
    """The results of a study that lacks some fits."""
    tables = []
    for table in (results.fits, results.predictions):
        gone = table["estimator"].eq(label)
        for name, value in key.items():
            gone &= table[name].eq(value)
        tables.append(table[~gone].reset_index(drop=True))
    return Results(*tables, results.description, results.left_out, results.provenance)


def test_an_unfinished_study_says_how_much_is_missing(results, draws, tmp_path):
    one = without(results, NET, repeat=4)
    text = Page(write_report(one, tmp_path)).text
    assert f"Not finished: 1 fit of 15 are missing, 1 of {NET}." in text
    assert "Not finished: 1 fit of 15" in format_summary(one)
    assert f"{NET}: balanced accuracy, AUC, " in text
    assert "over 4 of 5 hold-outs only" in text
    gone = without(draws, SVM, size=24)
    line = next(line for line in format_summary(gone).splitlines() if line.startswith(SVM))
    assert line.split()[-1] == "-"
    assert "Not finished" in Page(write_report(gone, tmp_path / "draws")).text
    with pytest.raises(ValueError, match="must have a finished fit"):
        write_report(Results(draws.fits[:0], draws.predictions[:0], draws.description), tmp_path)


def test_searches_and_stacks_say_what_they_are(tmp_path):
    stack = StackingClassifier([("bayes", GaussianNB()), ("linear", LinearSVC())], cv=2)
    models = {"searched": (LogisticRegression(), {"C": [0.1, 1.0]}), "joint": stack}
    results = run(HoldOuts(2), estimators=models, budget=Budget(fits=4, n_splits=2), groups=None)
    text = Page(write_report(results, tmp_path)).text
    assert "at most 4 fits" in text
    assert re.search(r"searched 4 C = (0\.1|1\.0) \(\d of 2\)", text)
    assert "BudgetSearchCV with LogisticRegression" in text
    assert "StackingClassifier, a stack of GaussianNB and LinearSVC" in text
    assert "joint join several models" in text


@pytest.mark.parametrize(
    "kind, parameters, expected",
    [
        ("LinearStackClassifier", {"network": "None", "linear": "None"}, "its default parts"),
        (
            "Pipeline",
            {"steps": "[('z', A()), ('a', S(x=B()))]", "z": "A()", "z__n": "1", "a": "S(x=B())",
             "a__x": "B()", "a__x__m": "2"},
            "A \N{RIGHTWARDS ARROW} S with B",
        ),
        ("Plain", {"x": "1"}, "Plain"),
    ],
)  # fmt: skip
def test_an_estimator_is_described_by_its_parts(kind, parameters, expected):
    assert composition(kind, parameters).endswith(expected)


# Text -----------------------------------------------------------------------------------------


def test_learning_curves_as_text_are_means_and_deviations(draws):
    first, head, *lines = format_summary(draws).splitlines()
    assert first == "accuracy in %, mean ± standard deviation, by number of training samples"
    assert head.split() == ["6", "12", "24"]
    for line, (label, part) in zip(lines, draws.groupby("estimator", sort=False), strict=True):
        assert line.startswith(label)
        by_size = 100 * part.groupby("size")["accuracy"].agg(["mean", "std"])
        shown = re.findall(r"([\d.]+) ± ([\d.]+)", line.removeprefix(label))
        np.testing.assert_allclose(np.array(shown, float), by_size, atol=0.051)
    assert "± " in format_summary(draws, metric="log_loss")
    assert f"minus that of {NET}" in format_summary(draws, NET)


def test_weights_of_networks_are_told(draws):
    steps = {"dense": 2369536, "shared": 2369536, "frame": 92800}
    description = {**draws.description, "weights_by_structure": {NET: steps}}
    one = Results(draws.fits, draws.predictions, description)
    said = "2,369,536 if all layers were dense, 92,800 with kernels of few atoms"
    assert format_summary(one).endswith(f"weights of {NET}, biases and norms not counted: {said}")


def test_tables_in_latex_and_markdown_say_what_names_say(results):
    latex, markdown = (format_summary(results, format=form) for form in ("latex", "markdown"))
    assert r"logistic \& co $|$ 50\%\_" in latex
    assert r"svm $<$b$>$\$x\$$<$/b$>$" in latex
    assert not re.search(r"[^\\][%#_]", re.sub(r"\\\\$", "", latex, flags=re.M))
    assert latex.count(r"\begin{tabular}") == latex.count(r"\bottomrule") == 2
    assert r"logistic \& co \| 50%\_" in markdown
    for table in re.findall(r"(?:^\|.*\n?)+", markdown, flags=re.M):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1
    with pytest.raises(ValueError, match="format must be one of text, markdown, latex"):
        format_summary(results, format="html")


def test_bold_is_whom_nobody_beats_where_somebody_is_beaten(results, draws):
    pairs = compare(results, pairs="all")
    assert (pairs["p_t_holm"] < 0.05).any() == ("**" in format_summary(results, format="markdown"))
    far = {"mean": DummyClassifier(), "good": LogisticRegression(), "same": LogisticRegression()}
    found = run(Draws([30], 6), "ab", far, groups=None)
    text = format_summary(found, format="markdown")
    bold = [line.split(" | ")[0].strip("| ") for line in text.splitlines() if "**" in line]
    assert bold == ["good", "same"]


@given(st.floats(-1e6, 1e6), st.sampled_from(["accuracy", "auc", "mae"]), st.booleans())
def test_numbers_have_a_sign_and_no_negative_zero(value, metric, signed):
    text = number(value, metric, signed)
    assert not re.fullmatch(r"\N{MINUS SIGN}0\.?0*", text)
    plain = float(text.replace("\N{MINUS SIGN}", "-").replace(",", ""))
    scale = 100 if metric == "accuracy" else 1
    tolerance = {"accuracy": 0.051, "auc": 0.00051}.get(metric, 0.0051 * abs(value) + 0.51)
    assert plain == pytest.approx(scale * value, abs=tolerance)
    assert (text[0] in "+\N{MINUS SIGN}") >= signed


# Several studies ------------------------------------------------------------------------------


def test_studies_of_the_same_splits_are_compared_in_pairs(tmp_path):
    other = {**CLASSIFIERS, NET: LogisticRegression(C=1e-4)}
    one, two = (run(HoldOuts(4), estimators=models) for models in (CLASSIFIERS, other))
    found = compare_studies(one, two, names=["old", "new"])
    differences = found.differences.set_index("estimator")
    assert differences.loc[[SVM, "guess"], "difference"].eq(0).all()
    expected = two["balanced_accuracy"].to_numpy() - one["balanced_accuracy"].to_numpy()
    of_net = (one["estimator"] == NET).to_numpy()
    assert differences.loc[NET, "difference"] == pytest.approx(expected[of_net].mean())
    text = found.to_text()
    assert number(expected[of_net].mean(), "balanced_accuracy", signed=True) in text
    assert f"No interval and no t-test of {SVM} minus old and guess minus old" in text
    page = Page(write_comparison(found, tmp_path))
    assert len(page.images) == 1
    assert not page.tags & {"script", "b", "i"}


def test_studies_of_several_data_sets_rank_their_estimators(tmp_path):
    rng = np.random.default_rng(0)
    models = {"good": LogisticRegression(), "bayes": GaussianNB(), "guess": DummyClassifier()}
    found = []
    for number_of in range(3):
        y = np.arange(60) % 2
        X = rng.normal(size=(60, 4)) + 2 * y[:, None]
        study = Study(KFold(3), models, name=f"set {number_of}")
        found.append(study.run(X, y, progress=False))
    several = compare_studies(*found)
    expected = critical_difference({f"set {n}": one for n, one in enumerate(found)})
    pd.testing.assert_series_equal(several.critical.ranks, expected.ranks)
    assert several.differences.empty
    assert f"{expected.ranks['guess']:.2f}" in several.to_text()
    page = Page(write_comparison(several, tmp_path))
    assert "3 data sets" in page.text
    assert len(page.images) == 1
    names = {"comparison.html", "comparison.md", "comparison.tex", "differences.csv", "means.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_studies_that_have_nothing_in_common_are_refused(results, studies):
    with pytest.raises(ValueError, match="two studies at least, got 1"):
        compare_studies(results)
    with pytest.raises(ValueError, match=r"one task, got .*classes.*values"):
        compare_studies(results, studies["folds"])
    other = run(HoldOuts(2), estimators={"another": GaussianNB()})
    with pytest.raises(ValueError, match="no label is in two"):
        compare_studies(results, other)
    with pytest.raises(ValueError, match="names must be 2, one a study, got"):
        compare_studies(results, results, names=["a"])


# Displays -------------------------------------------------------------------------------------


def test_accuracies_are_drawn_as_errors_on_logarithmic_axes(draws):
    display = StudyDisplay.from_results(draws)
    (ax,) = display.axes_
    assert (ax.get_xscale(), ax.get_ylabel()) == ("log", "error (%)")
    np.testing.assert_array_equal(ax.get_xticks(), [6, 12, 24])
    table = display.to_frame()
    pd.testing.assert_frame_equal(table, summarise(draws, "accuracy"))
    curves = [line for line in ax.get_lines() if line.get_transform() == ax.transData]
    for line, (label, part) in zip(curves, table.groupby("estimator", sort=False), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * (1 - part["mean"]))
        dots, whiskers = (
            next(c for c in ax.collections if hasattr(c, want) and same_colour(c, line))
            for want in ("get_sizes", "get_segments")
        )
        expected = draws.loc[draws["estimator"] == label, "accuracy"]
        np.testing.assert_allclose(dots.get_offsets()[:, 1], 100 * (1 - expected))
        ends = np.array([segment[:, 1] for segment in whiskers.get_segments()])
        np.testing.assert_allclose(np.sort(ends)[:, 1], 100 * (1 - part["low"]))
    assert ax.get_title("left") == (
        "Learning curves on letters, 4 draws\n"
        "line: mean; whiskers: 95 % intervals; dots: single draws"
    )
    assert_legible(display.figure_)


def same_colour(collection, line):
    from matplotlib.colors import to_rgb

    colours = [*collection.get_facecolor(), *collection.get_edgecolor()]
    return any(np.allclose(colour[:3], to_rgb(line.get_color())) for colour in colours)


def test_names_stand_beside_samples_of_their_lines_however_many_they_are(draws):
    fits = draws.fits[draws["estimator"] == NET]
    summary = summarise(draws, "log_loss").query("estimator == @NET")
    many = [t for i in range(25) for t in [f"${i}_"]]
    tables = [
        pd.concat([table.assign(estimator=name) for name in many], ignore_index=True)
        for table in (fits, summary)
    ]
    display = StudyDisplay(*tables, metric="log_loss").plot()
    (ax,) = display.axes_
    curves = [line for line in ax.get_lines() if line.get_transform() == ax.transData]
    samples = [line for line in ax.get_lines() if line not in curves]
    shown = {
        text.get_text(): (sample.get_color(), sample.get_marker(), sample.get_linestyle())
        for text, sample in zip(ax.texts, samples, strict=True)
    }
    assert shown == {
        name: (line.get_color(), line.get_marker(), line.get_linestyle())
        for name, line in zip(many, curves, strict=True)
    }
    assert len({*shown.values()}) == 25
    assert_legible(display.figure_)


def test_a_perfect_score_and_a_single_draw_are_drawn_too(draws):
    perfect = draws.fits.query("draw == 0").assign(accuracy=1.0)
    summary = perfect[["estimator", "size"]].assign(mean=1.0, low=np.nan, high=np.nan, n_repeats=1)
    (ax,) = StudyDisplay(perfect, summary).plot().axes_
    assert ax.get_yscale() == "linear"
    assert ax.get_title("left") == "Learning curves, one draw"


def test_values_that_are_not_there_are_left_out_of_learning_curves(draws):
    display = StudyDisplay.from_results(draws, "log_loss")
    assert display.to_frame()["estimator"].unique().tolist() == [NET, "guess"]
    with pytest.raises(ValueError, match="metric must be one of"):
        StudyDisplay.from_results(draws, "acuracy")
    with pytest.raises(ValueError, match="no value of 'log_loss'"):
        StudyDisplay(draws.fits.assign(log_loss=np.nan), display.summary, metric="log_loss")
    with pytest.raises(ValueError, match=r"fits must have the columns \['size'\]"):
        StudyDisplay(draws.fits.drop(columns="size"), display.summary)


def test_learning_curves_need_sizes(results, tmp_path):
    with pytest.raises(ValueError, match="study over sizes, such as Draws, got HoldOuts"):
        StudyDisplay.from_results(results)
    with pytest.raises((ValueError, FileNotFoundError), match="missing"):
        StudyDisplay.from_results(tmp_path / "missing")


def test_dots_are_the_repeats(results):
    display = ScoresDisplay.from_results(results)
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
    display = DifferencesDisplay.from_results(results, NET, "auc")
    (ax,) = display.axes_
    expected = compare(results, NET, "auc")
    ends = np.array([line[:, 0] for line in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, expected[["low", "high"]])
    assert ax.get_xlabel() == f"AUC minus that of {NET}"
    assert_legible(display.figure_)


@pytest.mark.parametrize(
    "display, table, columns",
    [
        (RocDisplay, roc_curves, ["false_positive_rate", "true_positive_rate"]),
        (CalibrationDisplay, calibration, ["probability", "frequency"]),
    ],
)
def test_curves_are_drawn_in_the_colours_of_their_names(results, display, table, columns):
    display = display.from_results(results)
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


def test_bars_join_estimators_that_do_not_differ(studies, draws):
    display = CriticalDifferenceDisplay.from_results(draws, "accuracy")
    (ax,) = display.axes_
    found = critical_difference(draws, "accuracy")
    dots = next(line for line in ax.get_lines() if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), found.ranks)
    _, *bars, whole = [c.get_segments()[0][:, 0] for c in ax.collections]
    assert len(bars) == len(found.groups)
    for (left, right), group in zip(bars, found.groups, strict=True):
        under = found.ranks[(found.ranks >= left) & (found.ranks <= right)]
        assert [*under.index] == group
    assert np.ptp(whole) == pytest.approx(found.difference)
    assert_legible(display.figure_)


def test_costs_stand_under_what_they_reach(draws):
    display = CostDisplay.from_results(draws)
    table = display.to_frame()
    medians = draws.groupby(["estimator", "size"])["fit_seconds"].median()
    for row in table.itertuples():
        assert row.fit_seconds == medians[row.estimator, row.size]
    (ax,) = display.axes_  # none of them knows its parameters
    line = ax.get_lines()[0]
    part = table[table["estimator"] == SVM]
    np.testing.assert_allclose(line.get_xydata(), part[["fit_seconds", "mean"]] * [1, 100])
    known = table.assign(n_parameters=[10.0 ** (3 + i % 4) for i in range(len(table))])
    both = CostDisplay(known, metric="accuracy").plot()
    assert len(both.axes_) == 2
    for each in (display, both):
        assert_legible(each.figure_)


def test_predictions_are_drawn_within_the_range_of_the_truth(studies):
    results = studies["folds"]
    display = PredictedDisplay.from_results(results)
    for ax, (label, part) in zip(
        display.axes_, results.predictions.groupby("estimator", sort=False), strict=True
    ):
        assert ax.get_title("left") == label
        dots = ax.collections[0].get_offsets()
        np.testing.assert_allclose(dots[:, 0], part["label"])
        low, high = ax.get_ylim()
        np.testing.assert_allclose(dots[:, 1], part["predicted"].clip(low, high))
    assert_legible(display.figure_)
    with pytest.raises(ValueError, match="must be one of values, got one of maps"):
        PredictedDisplay.from_results(studies["maps"])


def test_pictures_of_a_folder_are_those_of_its_results(tmp_path):
    results = run(HoldOuts(2), out=tmp_path)
    for display in (ScoresDisplay, RocDisplay):
        (one,), (other,) = (display.from_results(r).axes_ for r in (results, tmp_path))
        for mine, theirs in zip(one.get_lines(), other.get_lines(), strict=True):
            np.testing.assert_array_equal(mine.get_xydata(), theirs.get_xydata())


def test_colours_of_estimators_are_the_same_in_all_pictures(results):
    roc, bins = (d.from_results(results) for d in (RocDisplay, CalibrationDisplay))
    assert bins.axes_[0].get_lines()[0].get_color() == roc.axes_[0].get_lines()[1].get_color()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda r: ScoresDisplay(score_fits(r), metric="f1"), r"scores must have .*\['f1'\]"),
        (lambda r: ScoresDisplay(score_fits(r).assign(auc=np.nan), metric="auc"), "'auc'"),
        (lambda r: DifferencesDisplay(compare(r).iloc[:0]), "comparisons"),
        (lambda r: CalibrationDisplay(calibration(r).iloc[:0]), "no probabilities"),
        (lambda r: CostDisplay(pd.DataFrame(), metric="auc"), "costs must have the columns"),
        (lambda r: PredictedDisplay(r.predictions[:0]), "predictions must have rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused(results, make, message):
    with pytest.raises(ValueError, match=message):
        make(results)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_names_are_spread_no_more_than_needed(places, gap):
    places = np.array(places)
    out = spread(places, gap)
    order = np.argsort(places, kind="stable")
    assert (np.diff(out[order]) >= gap - 1e-9).all()
    assert out.mean() == pytest.approx(places.mean())
    np.testing.assert_allclose(spread(out, gap), out, atol=1e-9)


def test_sizes_that_are_too_close_have_ticks_without_labels():
    assert legible(np.array([50, 100, 300, 1000])) == ["50", "100", "300", "1000"]
    assert legible(np.array([100, 105, 1000])) == ["100", "", "1000"]
    assert legible(np.array([300])) == ["300"]


def test_what_is_defined_nowhere_is_left_out(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 3))
    results = Study(KFold(4), {"ridge": Ridge(), "lasso": Lasso()}).run(
        X, np.ones(40), progress=False
    )
    assert "R²" not in format_summary(results)
    assert "MAE" in write_report(results, tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize("use", [summarise, compare, format_summary, score_fits, calibration])
def test_a_table_that_knows_no_predictions_is_refused(use, results):
    with pytest.raises(TypeError, match=r"results must be what a study returns, .* got DataFrame"):
        use(results.fits)
