"""The sections of a report that say what was done, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from ..io.cohort import counted
from ..io.scans import in_words
from ..studies.cohort_text import extent
from ..studies.summary import ABSENT
from .cohort_findings import Findings
from .page import Html, element, facts, listing, note, paragraph, section, stacked, table

METHODS = (
    "All scans of a subject are on one side of every hold-out, and all estimators have the same "
    "hold-outs.",
    "Every fit takes a fresh clone of the whole estimator and sees the training part only; so do "
    "preprocessing and model selection, where they are part of it.",
    "Balanced accuracy is the mean recall of the classes.  AUC is the area under the ROC curve; "
    "for more than two classes, the mean of each class against all others.",
    "The Brier score is the mean squared distance of probability and label (for two classes, of "
    "one of them), the log loss the mean negative natural logarithm of the probability of the "
    "label.  Both are losses: less is better.",
    "Where a hold-out lacks a class, recalls are averaged over the other classes, and what needs "
    "that class is not defined.  Means are over the hold-outs in which a metric is defined.",
    "Intervals take 2000 resampled cohorts; tests take 5000 exchanges, or all where there are "
    "fewer.  Both are drawn with the seed 0.",
)
REFERENCES = (
    "C. Nadeau and Y. Bengio. Inference for the generalization error. Machine Learning, 2003.",
    "E. S. Venkatraman and C. B. Begg. A distribution-free procedure for comparing receiver "
    "operating characteristic curves from a paired experiment. Biometrika, 1996.",
    "C. A. Field and A. H. Welsh. Bootstrapping clustered data. Journal of the Royal Statistical "
    "Society B, 2007.",
    "S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
    "Statistics, 1979.",
)


def lead(found: Findings) -> Html:
    """Say in a sentence what was done."""
    return element(
        "p",
        f"{in_words(found.estimators)}: classifiers of {found.results.target} "
        f"({in_words(found.results.classes)}), tested on {extent(found.results)}.",
        class_="lead",
    )


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
        note("Medians over the hold-outs, and the least and the most."),
    )


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
        paragraph("Problems for which scans or subjects were left out before the study:"),
        table(["subject", "file", "problem"], rows, "text"),
    )


def methods_section(found: Findings) -> Html:
    """Say what the numbers are."""
    references = listing(REFERENCES)
    return section("How it was done", listing(METHODS), paragraph("References"), references)


def settings_section(found: Findings) -> Html:
    """List versions, and the parameters of the estimators."""
    description = found.results.description
    settings = []
    for label in found.estimators:
        parameters = description["estimators"][label]
        # The repr of a pipeline's steps leaves out defaults, and its parameters would not.
        steps = parameters.get("steps", "; ".join(f"{k} = {v}" for k, v in parameters.items()))
        settings.append((label, steps))
    environments = [("Run with", in_short(each)) for each in description["environments"]]
    return section(
        "Software and settings",
        facts([*environments, *settings]),
        note("Steps of pipelines show what differs from the defaults; study.json has everything."),
    )


def in_short(environment: dict[str, Any]) -> str:
    """Return the versions of the libraries, and the machine."""
    versions = [f"{name} {version}" for name, version in environment["versions"].items()]
    machine = f"{environment['platform']}, {environment['processor']}, {environment['n_cpus']} CPUs"
    return f"Python {environment['python']}, {', '.join(versions)}; {machine}"
