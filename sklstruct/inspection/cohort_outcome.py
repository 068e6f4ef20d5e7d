"""The sections of a report that say what came out."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from ..io.scans import in_words
from ..studies.cohort_text import name_of, number, p_value, with_interval, with_unit
from ..studies.curves import calibration_error
from ..studies.summary import ABSENT
from .cohort_display import (
    CohortCalibrationDisplay,
    CohortDifferencesDisplay,
    CohortRocDisplay,
    CohortScoresDisplay,
)
from .cohort_findings import COMPARED, Findings
from .page import Html, note, paragraph, picture, section, stacked, table

INTERVALS = (
    "Mean over the hold-outs, and below it its 95 % bootstrap interval over subjects: subjects "
    "are resampled within their classes, with all their scans in all hold-outs.  It covers the "
    "choice of the subjects that were tested, for the models as they were fitted, and not what "
    "other training subjects would have changed."
)
T_TEST = (
    "Intervals (95 %), t and the first p are those of the corrected resampled t-test (Nadeau and "
    "Bengio), which allows for hold-outs that share training subjects.  It asks whether the "
    "difference would last with other training and test subjects."
)
EXCHANGES = (
    "The second p is the share of exchanges of the predictions of both methods, subject by subject "
    "and in all hold-outs together, after which they differ at least as much; for the AUC, scores "
    "are exchanged as ranks.  It asks whether these fitted models differ on such subjects, and "
    "says nothing about other training subjects."
)
HOLM = "Below each p stands p after Holm's adjustment for {} estimators."
BASELINE = "The baseline is fixed: it is named in the call, or the first estimator that is given."
CALIBRATION = (
    "The calibration error is the distance of observed frequency and predicted probability, "
    "averaged over the predictions of all hold-outs in ten bins of equal width."
)


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
    notes = [INTERVALS]
    if len(found.results.classes) == 2:
        negative, positive = found.results.classes
        notes.append(
            f"The positive class is {positive}, the last one in sorted order: sensitivity is the "
            f"share of {positive} that is recognised, specificity that of {negative}."
        )
    fits = found.results.fits
    others = fits.loc[~fits["probabilities"].astype(bool), "estimator"].unique()
    if len(others):
        notes.append(
            f"The scores of {in_words(others)} are decision values and no probabilities: they have "
            "an AUC, but neither Brier score nor log loss nor calibration."
        )
    # A mean over other hold-outs than those of its neighbours is not comparable with theirs.
    fewer = summary[summary["n_repeats"].between(1, found.n_repeats - 1)]
    for (label, count), part in fewer.groupby(["estimator", "n_repeats"], sort=False):
        notes.append(
            f"{label}: {in_words(map(name_of, part['metric']))} over {count} of {found.n_repeats} "
            "hold-outs only, in which it was fitted and the metric is defined."
        )
    return section(
        "Results",
        table(["", *map(with_unit, metrics)], cells),
        *map(note, notes),
        picture(
            CohortScoresDisplay.from_results(found.results),
            f"Balanced accuracy (%) in each hold-out; means: {in_words(means)}.",
            "Balanced accuracy in each hold-out.  Grey lines join the dots of one hold-out, black "
            "lines are means, the dotted line is guessing.",
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
        *map(note, [T_TEST, EXCHANGES, HOLM.format(len(main)), BASELINE]),
        picture(
            CohortDifferencesDisplay(main),
            f"Balanced accuracy minus that of {baseline}, in points: {in_words(differences)}.",
            f"Balanced accuracy minus that of {baseline}, with the intervals of the corrected "
            "resampled t-test.",
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
        note("Balanced accuracy (%), and below it the AUC, at a site that training never saw."),
    )


def roc_section(found: Findings) -> Html:
    """Show ROC curves."""
    display = CohortRocDisplay.from_results(found.results)
    areas = [f"{label} {number(area, 'auc')}" for label, area in display.areas.items()]
    several = len(found.results.classes) > 2
    return section(
        "ROC curves",
        picture(
            display,
            f"Mean ROC curves; mean areas: {in_words(areas)}.",
            "Sensitivities are averaged over the hold-outs at equal specificity"
            + (", each class against all others." if several else "."),
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
        note(CALIBRATION),
        picture(
            CohortCalibrationDisplay(found.bins, found.estimators),
            f"Observed frequency over predicted probability; errors: {in_words(named)}.",
            f"How often {what} came true; areas of the dots stand for numbers of predictions.",
        ),
    )


def estimated(row: Any, name: str, metric: str) -> Html:
    """Return a number with its interval below."""
    middle, _, interval = with_interval(row, name, metric).partition(" ")
    return stacked(middle, interval)
