"""The report of a cohort study, for the reviewers of a paper."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..io.atomic import atomic_write
from ..io.cohort import counted
from ..io.scans import in_words
from ..studies.cohort_study import CohortResults
from ..studies.cohort_text import (
    beyond,
    extent,
    name_of,
    number,
    p_value,
    with_interval,
    with_unit,
    without_intervals,
)
from ..studies.curves import calibration, calibration_error
from ..studies.inference import baseline_of, compare, summarise_cohort, too_small
from ..studies.metrics import estimators_of, score_fits
from ..studies.record import STRUCTURES
from ..studies.summary import ABSENT
from . import cohort_display as displays
from .page import (
    TEXT,
    Html,
    element,
    facts,
    listing,
    note,
    page,
    paragraph,
    picture,
    section,
    stacked,
    table,
)

COMPARED = ("balanced_accuracy", "auc")  # fixed before, not those that come out well


def write_report(
    results: CohortResults, folder: str | os.PathLike[str], *, baseline: str | None = None
) -> Path:
    """Write what a cohort study found, for people and as tables.

    Parameters
    ----------
    results : CohortResults
    folder : path-like
        Where to write ``report.html``, a page that stands alone, with the pictures in it;
        ``summary.csv``, what ``summarise_cohort`` returns; and ``comparisons.csv``, what
        ``compare`` returns for balanced accuracy and AUC.  It is made if it is not there.
    baseline : str, default=None
        Label of the estimator to compare with; None is the first one, whatever came out.

    Returns
    -------
    report : Path
        That of ``report.html``.

    Raises
    ------
    ValueError
        If there is no such baseline, or the results are not sound.
    OSError
        If a file cannot be written.

    See Also
    --------
    sklstruct.studies.format_cohort_summary : The figures as text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.inspection import write_report
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> _ = write_report(results, "report", baseline="counts")
    >>> sorted(file.name for file in Path("report").iterdir())
    ['comparisons.csv', 'report.html', 'summary.csv']
    """
    found = Findings(results, baseline)
    title = f"Predicting {found.results.target} from scans"
    contents = {
        "summary.csv": found.summary.to_csv(index=False, lineterminator="\n"),
        "comparisons.csv": found.comparisons.to_csv(index=False, lineterminator="\n"),
        "report.html": page(title, lead(found), *(part(found) for part in SECTIONS)),
    }
    # All is computed before anything is written: an error leaves an earlier report as it was.
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with atomic_write(folder / name) as stream:
            stream.write(content)
    return folder / "report.html"


class Findings:
    """Everything that a report says, computed once.

    Parameters
    ----------
    results : CohortResults
    baseline : str or None
        None is the first estimator.

    Attributes
    ----------
    results, baseline
        As given, or found.
    scores, summary, comparisons, bins : DataFrame
        From ``score_fits``, ``summarise_cohort``, ``compare`` and ``calibration``.
    estimators : list of str
    n_repeats : int
        Number of hold-outs.
    """

    def __init__(self, results: CohortResults, baseline: str | None) -> None:
        self.results, self.baseline = results, baseline_of(results, baseline)
        self.scores, self.summary = score_fits(results), summarise_cohort(results)
        compared = [compare(results, baseline, metric) for metric in COMPARED]
        self.comparisons = pd.concat(compared, ignore_index=True)
        self.bins = calibration(results)
        self.estimators = estimators_of(results)
        self.n_repeats = results.fits["repeat"].nunique()


def lead(found: Findings) -> Html:
    """Say in a sentence what was done."""
    return element(
        "p",
        f"{in_words(found.estimators)}: classifiers of {found.results.target} "
        f"({in_words(found.results.classes)}), tested on {extent(found.results)}.",
        class_="lead",
    )


# What came out ------------------------------------------------------------------------------


def scores_section(found: Findings) -> Html:
    """Show all metrics, and the balanced accuracy of every hold-out."""
    summary = found.summary
    metrics = list(summary.dropna(subset="mean")["metric"].unique())
    rows = {(row["estimator"], row["metric"]): row for row in summary.to_dict("records")}
    cells = [
        [label, *(estimated(rows[label, metric], "mean", metric) for metric in metrics)]
        for label in found.estimators
    ]
    main = summary[summary["metric"] == COMPARED[0]].to_dict("records")
    means = [f"{row['estimator']} {with_interval(row, 'mean', COMPARED[0])}" for row in main]
    notes = [TEXT["intervals"]]
    if too_small(found.results):
        notes.append(without_intervals(found.results))
    if len(found.results.classes) == 2:
        negative, positive = found.results.classes
        # Whoever has chosen it knows why it is.
        chosen = found.results.description.get("positive") is not None
        why = "" if chosen else ", the last one in sorted order"
        notes.append(TEXT["positive"].format(positive=positive, negative=negative, why=why))
    fits = found.results.fits
    others = fits.loc[~fits["probabilities"].astype(bool), "estimator"].unique()
    if len(others):
        notes.append(TEXT["decisions"].format(in_words(others)))
    # A mean over other hold-outs than those of its neighbours is not comparable with theirs.
    fewer = summary[summary["n_repeats"].between(1, found.n_repeats - 1)]
    for (label, count), part in fewer.groupby(["estimator", "n_repeats"], sort=False):
        metrics_of = in_words(map(name_of, part["metric"]))
        notes.append(TEXT["fewer"].format(label, metrics_of, count, found.n_repeats))
    return section(
        "Results",
        table(["", *map(with_unit, metrics)], cells),
        *map(note, notes),
        picture(
            displays.CohortScoresDisplay.from_results(found.results),
            f"Balanced accuracy (%) in each hold-out; means: {in_words(means)}.",
            TEXT["scores"],
        ),
    )


def comparison_section(found: Findings) -> Html:
    """Show the differences from the baseline."""
    comparisons, baseline = found.comparisons, found.baseline
    if comparisons.empty:
        return section("Comparison", paragraph("There is one estimator, nothing to compare with."))
    # One metric is drawn, fixed before: a picture of the one that came out best would mislead.
    main = comparisons[comparisons["metric"] == COMPARED[0]]
    differences = [
        f"{row['estimator']} {with_interval(row, 'difference', row['metric'])}"
        for row in main.to_dict("records")
    ]
    heads = ["difference", "t", "p, corrected t-test", "p, exchanges"]
    return section(
        f"Differences from {baseline}",
        table(["", "metric", *heads], map(compared, comparisons.to_dict("records"))),
        *map(note, beyond(comparisons)),
        *(
            note(TEXT[name].format(len(main)))
            for name in ("t_test", "exchanges", "holm", "baseline")
        ),
        picture(
            displays.CohortDifferencesDisplay(main),
            f"Balanced accuracy minus that of {baseline}, in points: {in_words(differences)}.",
            TEXT["differences"].format(baseline),
        ),
    )


def compared(row: dict[Hashable, Any]) -> list[Any]:
    """Return the cells of a comparison."""
    metric = row["metric"]
    return [
        row["estimator"],
        with_unit(metric),
        estimated(row, "difference", metric),
        ABSENT if np.isnan(row["t"]) else f"{row['t']:.2f}".replace("-", "\N{MINUS SIGN}"),
        *(
            stacked(p_value(row[name]), f"Holm {p_value(row[f'{name}_holm'])}")
            for name in ("p_corrected", "p_permutation")
        ),
    ]


def sites_section(found: Findings) -> Html:
    """Show what came out at each site that was left out; nothing if no sites were."""
    scores = found.scores[found.scores["held_out_site"] != ""]
    if scores.empty:
        return Html()
    rows = []
    for site, fits in scores.groupby("held_out_site"):
        row = [site, fits["n_test_subjects"].iloc[0], fits["n_train_subjects"].iloc[0]]
        for label in found.estimators:
            of_label = fits[fits["estimator"] == label]
            shown = [number(v, metric) for metric in COMPARED for v in of_label[metric].iloc[:1]]
            row.append(stacked(*(shown or [ABSENT, ""])))  # it may not have been tested there
        rows.append(row)
    return section(
        "Sites that were left out",
        table(["site", "subjects tested", "subjects trained on", *found.estimators], rows),
        note(TEXT["sites"]),
    )


def roc_section(found: Findings) -> Html:
    """Show ROC curves."""
    display = displays.CohortRocDisplay.from_results(found.results)
    areas = [f"{label} {number(area, 'auc')}" for label, area in display.areas.items()]
    several = len(found.results.classes) > 2
    return section(
        "ROC curves",
        picture(
            display,
            f"Mean ROC curves; mean areas: {in_words(areas)}.",
            TEXT["roc_several" if several else "roc"],
        ),
    )


def calibration_section(found: Findings) -> Html:
    """Show whether probabilities are right."""
    if found.bins.empty:
        return section("Calibration", paragraph("No estimator gives probabilities."))
    errors = calibration_error(found.bins)
    scores = found.summary[found.summary["metric"] == "brier"].set_index("estimator")["mean"]
    rows = [
        [label, number(errors[label], "error"), number(scores[label], "brier")]
        if label in errors
        else [label, "no probabilities", ABSENT]
        for label in found.estimators
    ]
    named = [f"{label} {number(error, 'error')}" for label, error in errors.items()]
    several = len(found.results.classes) > 2
    what = (
        "the largest probability" if several else f"the probability of {found.results.classes[-1]}"
    )
    return section(
        "Calibration",
        table(["", "calibration error", name_of("brier")], rows),
        note(TEXT["calibration"]),
        picture(
            displays.CohortCalibrationDisplay(found.bins, found.estimators),
            f"Observed frequency over predicted probability; errors: {in_words(named)}.",
            TEXT["frequencies"].format(what),
        ),
    )


def estimated(row: Any, name: str, metric: str) -> Html:
    """Return a number with its interval below."""
    middle, _, interval = with_interval(row, name, metric).partition(" ")
    return stacked(middle, interval)


# What was done, and how ----------------------------------------------------------------------


def study_section(found: Findings) -> Html:
    """Say who was studied and how subjects were held out."""
    results, data = found.results, found.results.description["data"]
    fits = results.fits
    if data["held_out"] == "sites":
        sites = in_words(sorted(fits["held_out_site"].unique()))
        held_out = f"{found.n_repeats}, of one whole site each: {sites}"
    else:
        size = f"test_size = {data['test_size']}"
        held_out = f"{found.n_repeats}, of whole subjects, random within classes, {size}"
    of_label = results.predictions.groupby("label")[["subject", "scan"]].nunique()
    counts = of_label.reindex(results.classes, fill_value=0).to_dict("records")
    tested = [
        f"{counted(count['subject'], 'subject')} ({counted(count['scan'], 'scan')}) of {label}"
        for label, count in zip(results.classes, counts, strict=True)
    ]
    seeds = fits.drop_duplicates("repeat").sort_values("repeat")["seed"]
    return section(
        "The study",
        facts(
            [
                ("Cohort", f"{data['n_scans']} scans of {data['n_subjects']} subjects"),
                ("Tested", in_words(tested)),
                ("Hold-outs", held_out),
                ("Training part", sizes(fits, "train")),
                ("Test part", sizes(fits, "test")),
                ("Seed", f"{results.description['random_state']}"),
                ("Seeds of the fits", ", ".join(map(str, seeds))),
                ("Data", f"SHA-256 {data['sha256']}"),
            ]
        ),
        table(
            ["", "parameters", "seconds a fit", "seconds to predict"],
            [[label, *costs(fits[fits["estimator"] == label])] for label in found.estimators],
        ),
        note(TEXT["costs"]),
        *structures(results.description.get(STRUCTURES, {})),
    )


def structures(weights: dict[str, dict[str, int]]) -> list[Html]:
    """Return a table of the weights that networks would have with less structure, if any."""
    if not weights:
        return []
    rows = [[label, *map("{:,}".format, steps.values())] for label, steps in weights.items()]
    return [table(["weights", *next(iter(weights.values()))], rows), note(TEXT["structures"])]


def sizes(fits: pd.DataFrame, part: str) -> str:
    """Return the size of the training or test parts."""
    subjects, scans = (span(fits[f"n_{part}{unit}"], str) for unit in ("_subjects", ""))
    return f"{subjects} subjects, {scans} scans"


def costs(fits: pd.DataFrame) -> list[Any]:
    """Return the cells with parameters and seconds of an estimator."""
    counts = fits["n_parameters"].dropna().astype(int)
    cells: list[Any] = [span(counts, "{:,}".format) if len(counts) else ABSENT]
    for name in ("fit_seconds", "predict_seconds"):
        # Medians: the first fit of a process also imports and compiles.
        cells.append(stacked(in_seconds(fits[name].median()), span(fits[name], in_seconds)))
    return cells


def in_seconds(value: float) -> str:
    """Return three digits, and all before the point."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


# A constant is shown as one number: "18 to 18" makes readers look for the difference.
def span(values: pd.Series[Any], style: Callable[[Any], str]) -> str:
    """Return "18", or "16 to 18" if values differ."""
    low, high = style(values.min()), style(values.max())
    return low if low == high else f"{low} to {high}"


def left_out_section(found: Findings) -> Html:
    """Say who was left out, and why."""
    left_out = found.results.left_out
    if left_out.empty:
        return section("Left out", paragraph("No scan was left out."))
    rows = left_out[["subject", "file", "problem"]].to_numpy().tolist()
    return section(
        "Left out",
        paragraph(TEXT["left_out"]),
        table(["subject", "file", "problem"], rows, "text"),
    )


def methods_section(found: Findings) -> Html:
    """Say what the numbers are."""
    methods, references = listing(TEXT["methods"]), listing(TEXT["references"])
    return section("How it was done", methods, paragraph("References"), references)


def settings_section(found: Findings) -> Html:
    """List versions, and the parameters of the estimators."""
    description = found.results.description
    settings = []
    for label in found.estimators:
        settings.append((label, described(description["estimators"][label])))
    environments = [("Run with", in_short(each)) for each in description["environments"]]
    return section(
        "Software and settings",
        facts([*environments, *settings]),
        note(TEXT["settings"]),
    )


def described(parameters: dict[str, str]) -> str:
    """Return the steps of a pipeline one after another, or the parameters of an estimator."""
    if "steps" not in parameters:
        return "; ".join(f"{name} = {value}" for name, value in parameters.items())
    # Each by its repr, which leaves out defaults, in the order that the list of them has.
    places = {name: parameters["steps"].find(f"({name!r}, ") for name in parameters}
    steps = sorted((place, name) for name, place in places.items() if place >= 0)
    return " \N{RIGHTWARDS ARROW} ".join(parameters[name] for _, name in steps)


def in_short(environment: dict[str, Any]) -> str:
    """Return the versions of the libraries, and the machine."""
    versions = [f"{name} {version}" for name, version in environment["versions"].items()]
    machine = f"{environment['platform']}, {environment['processor']}, {environment['n_cpus']} CPUs"
    return f"Python {environment['python']}, {', '.join(versions)}; {machine}"


SECTIONS = (
    *(scores_section, comparison_section, sites_section, roc_section, calibration_section),
    *(study_section, left_out_section, methods_section, settings_section),
)
