"""The report of a study, for the reviewers of a paper: what came out."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..io.cohort import counted
from ..io.scans import in_words
from ..studies.curves import calibration, calibration_error
from ..studies.inference import baseline_of, compare, drawn_anew, summarise
from ..studies.ranks import CriticalDifference, critical_difference
from ..studies.results import Results
from ..studies.text import (
    ABSENT,
    BOLD,
    CONDITIONS,
    MINUS,
    beyond,
    compared_metrics,
    extent,
    format_summary,
    n_exchanges,
    name_of,
    name_of_test,
    number,
    other_baseline,
    p_value,
    span,
    unbeaten,
    unfinished,
    unit_of,
    with_interval,
    with_unit,
    without_intervals,
    without_tests,
)
from . import study_rows, study_squares
from .page import (
    TEXT,
    Html,
    element,
    joined,
    note,
    page,
    paragraph,
    picture,
    section,
    sentence,
    stacked,
    table,
    write_files,
)
from .report_methods import MANY, METHODS
from .study import CostDisplay, StudyDisplay, last_part

RANKED = 3  # estimators, below which ranks say no more than differences


def write_report(
    results: Results, folder: str | os.PathLike[str], *, baseline: str | None = None
) -> Path:
    """Write what a study found, for people and as tables.

    Parameters
    ----------
    results : Results
        Of any design and task, also of a study that is not finished.
    folder : path-like
        Where to write ``report.html``, a page that stands alone, with the pictures in it;
        ``summary.csv``, what ``summarise`` returns; ``comparisons.csv``, what ``compare`` returns
        for the metrics that are compared; and ``tables.md`` and ``tables.tex``, what
        ``format_summary`` returns.  It is made if it is not there.
    baseline : str, default=None
        Label of the estimator to compare with; None is that of the study, or else the first one,
        whatever came out.

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
    sklstruct.studies.format_summary : The figures as text.

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
    ['comparisons.csv', 'report.html', 'summary.csv', 'tables.md', 'tables.tex']
    """
    found = Findings(results, baseline)
    name = results.description.get("name")
    title = f"Predicting {results.target}{f' on {name}' if name else ''}"
    sections = [part(found) for part in (*FINDINGS, *METHODS)]
    contents = {
        "summary.csv": found.summary.to_csv(index=False, lineterminator="\n"),
        "comparisons.csv": found.differences.to_csv(index=False, lineterminator="\n"),
        "tables.md": format_summary(results, baseline, format="markdown") + "\n",
        "tables.tex": format_summary(results, baseline, format="latex") + "\n",
        "report.html": page(title, lead(found), *sections),
    }
    # All is computed before anything is written: an error leaves an earlier report as it was.
    return write_files(folder, contents) / "report.html"


class Findings:
    """Everything that a report says, computed once.

    Parameters
    ----------
    results : Results
    baseline : str or None
        As of ``write_report``.

    Attributes
    ----------
    results, baseline
        As given, or found.
    last : Results
        Those at the largest size of the training set, all where there are no sizes.
    summary, differences, pairs : DataFrame
        From ``summarise`` and ``compare``: with the baseline, and of all pairs by the main metric.
    exchanges : dict from str to int
        How many exchanges there were in the test of each metric that is compared.
    ranks : CriticalDifference or None
        None where there are too few estimators or repeats.
    winners : set of tuple
        Estimators, each with its size, whom nobody beats though somebody is beaten.
    estimators, metrics, compared : list of str
        Labels; metrics that have values; those that are compared.
    main : str
        The first of these.
    sizes : list of int
        Of the training sets, [] where the design has none.
    """

    def __init__(self, results: Results, baseline: str | None) -> None:
        if results.empty:
            raise ValueError("results must have a finished fit, got none.")
        self.results, self.last = results, last_part(results)
        self.estimators, self.baseline = results.estimators, baseline_of(results, baseline)
        self.compared = compared_metrics(results)
        self.main = self.compared[0]
        self.summary = summarise(results)
        self.metrics = list(self.summary.dropna(subset="mean")["metric"].unique())
        self.exchanges = {name: n_exchanges(results, name) for name in self.compared}
        differences = [
            compare(results, baseline, name, n_permutations=n) for name, n in self.exchanges.items()
        ]
        self.differences = pd.concat(differences, ignore_index=True)
        self.pairs = compare(results, metric=self.main, pairs="all", n_permutations=0)
        self.winners = unbeaten(results, self.pairs)
        self.sizes = [condition["size"] for condition, _ in results.parts() if condition]
        with suppress(ValueError):
            self.ranks = critical_difference(results, self.main)

    ranks: CriticalDifference | None = None

    def at_last(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of the largest size, all where there are no sizes."""
        return table[table["size"] == self.last["size"].iloc[0]] if self.sizes else table

    @property
    def where(self) -> str:
        """How to say that something is at the largest size only."""
        return f", {self.last['size'].iloc[0]:,} training samples" if len(self.sizes) > 1 else ""


def lead(found: Findings) -> Html:
    """Say in a sentence what was done, and how much of it."""
    results = found.results
    of_classes = f" ({in_words(results.classes)})" if 0 < len(results.classes) <= MANY else ""
    lines = [element("p", line, class_="warning") for line in unfinished(results)]
    names = f"{in_words(found.estimators)}: how well they predict {results.target}"
    said = f"{names}{of_classes}, tested on {extent(results)}."
    return joined([element("p", said, class_="lead"), *lines])


# What came out ---------------------------------------------------------------------------------


def results_section(found: Findings) -> Html:
    """Show means with intervals: by size if there are sizes, and of all metrics."""
    parts = []
    if found.sizes:
        for metric in found.compared:
            parts.append(element("h3", sentence(f"{with_unit(metric)}, by {CONDITIONS['size']}")))
            parts.append(by_size(found, metric))
        parts.append(element("h3", f"All metrics{found.where}"))
    parts.append(all_metrics(found))
    return section("Results", *parts, *map(note, notes_on_results(found)), *spread(found))


def by_size(found: Findings, metric: str) -> Html:
    """Return a table of one metric with a column for each size."""
    of_metric = found.summary[found.summary["metric"] == metric]
    head = ["", *(f"{size:,}" for size in found.sizes)]
    return table(head, means(found, of_metric, "size", found.sizes))


def all_metrics(found: Findings) -> Html:
    """Return a table with a column for each metric that has values."""
    head = ["", *map(with_unit, found.metrics)]
    return table(head, means(found, found.at_last(found.summary), "metric", found.metrics))


def means(
    found: Findings, summary: pd.DataFrame, column: str, values: Iterable[Any]
) -> list[list[Any]]:
    """Return a row for each estimator, with a cell for each value of a column of a summary."""
    rows = {(row["estimator"], row[column]): row for row in summary.to_dict("records")}
    return [
        [label, *(mean(found, rows.get((label, v))) for v in values)] for label in found.estimators
    ]


def mean(found: Findings, row: Any) -> Html:
    """Return a mean with its interval below, in bold if nobody beats it."""
    if row is None:
        return Html(ABSENT)
    middle, _, interval = with_interval(row, "mean", row["metric"]).partition(" ")
    winner = (row["estimator"], *(row[name] for name in found.results.condition_columns))
    best = row["metric"] == found.main and winner in found.winners
    return stacked(element("span", middle, class_="best") if best else middle, interval)


def notes_on_results(found: Findings) -> list[str]:
    """Return what readers of the numbers must know."""
    results, summary = found.results, found.at_last(found.summary)
    unit, most = unit_of(results), int(summary["n_repeats"].max())
    several = "anew" if drawn_anew(results) else "shared"
    notes = [TEXT["intervals"][several if most > 1 else "single"].format(unit)]
    notes += [BOLD.format(name_of(found.main))] * bool(found.winners)
    notes += without_intervals(found.last)
    if results.task == "classes":
        notes += notes_on_classes(found)
    # A mean over other repeats than those of its neighbours is not comparable with theirs.
    fewer = summary[summary["n_repeats"].between(1, most - 1)]
    for (label, count), part in fewer.groupby(["estimator", "n_repeats"], sort=False):
        metrics = in_words(map(name_of, part["metric"]))
        notes.append(TEXT["fewer"].format(label, metrics, count, most, unit))
    return notes


def notes_on_classes(found: Findings) -> list[str]:
    """Return which class is positive, and whose scores are no probabilities."""
    results, notes = found.results, []
    if len(results.classes) == 2:
        negative, positive = results.classes
        # Whoever has chosen it knows why it is.
        chosen = results.description.get("positive") is not None
        why = "" if chosen else ", the last one in sorted order"
        notes.append(TEXT["positive"].format(positive=positive, negative=negative, why=why))
    others = results.loc[~results["probabilities"].astype(bool), "estimator"].unique()
    if len(others):
        notes.append(TEXT["decisions"].format(in_words(others)))
    return notes


def spread(found: Findings) -> list[Html]:
    """Show learning curves, and the main metric in every repeat."""
    metric, unit = found.main, unit_of(found.results)
    pictures = []
    if len(found.sizes) > 1:
        curves = StudyDisplay.from_results(found.results, metric)
        words = f"Learning curves of {in_words(found.estimators)}."
        pictures.append(picture(curves, words, TEXT["curves"]))
    last = found.at_last(found.summary)
    means = [
        f"{row['estimator']} {with_interval(row, 'mean', metric)}"
        for row in last[last["metric"] == metric].to_dict("records")
    ]
    what = sentence(f"{with_unit(metric)} in each {unit}{found.where}")
    scores = study_rows.ScoresDisplay.from_results(found.last, metric)
    words = f"{what}; means: {in_words(means)}."
    return [*pictures, picture(scores, words, TEXT["scores"].format(what, unit))]


def comparison_section(found: Findings) -> Html:
    """Show the differences from the baseline."""
    baseline, results = found.baseline, found.results
    if found.differences.empty:
        return section("Comparison", paragraph("There is one estimator, nothing to compare with."))
    last = found.at_last(found.differences)
    # One metric is drawn, fixed before: a picture of the one that came out best would mislead.
    main = last[last["metric"] == found.main].reset_index(drop=True)
    words = [
        f"{row['estimator']} {with_interval(row, 'difference', found.main)}"
        for row in main.to_dict("records")
    ]
    head = ["", "metric", "difference", "t", f"p, {name_of_test(last)}", "p, exchanges"]
    notes = [
        *without_tests(results, found.differences),
        *beyond(results, last),
        *(TEXT["tests"][name] for name in last["test"].unique()),
        TEXT["exchanges"].format(
            in_words(
                f"{f'{n:,}' if n else 'none'} for {name_of(name)}"
                for name, n in found.exchanges.items()
            )
        ),
        TEXT["holm"],
        *(other_baseline(results, baseline) or [TEXT["baseline"]]),
    ]
    what = f"{name_of(found.main)} minus that of {baseline}"
    return section(
        f"Differences from {baseline}",
        *differences_by_size(found),
        table(head, map(compared, last.to_dict("records"))),
        *map(note, notes),
        picture(
            study_rows.DifferencesDisplay(main),
            f"{sentence(what)}: {in_words(words)}.",
            TEXT["differences"].format(sentence(what) + found.where),
        ),
    )


def differences_by_size(found: Findings) -> list[Html]:
    """Return a table of the main metric with a column for each of several sizes."""
    if len(found.sizes) < 2:
        return []
    table_of = found.differences[found.differences["metric"] == found.main].to_dict("records")
    rows = {(row["estimator"], row["size"]): row for row in table_of}
    cells = [
        [label, *(with_p(rows.get((label, size)), found.main) for size in found.sizes)]
        for label in found.estimators
        if label != found.baseline
    ]
    return [
        element("h3", f"{sentence(with_unit(found.main))}, by {CONDITIONS['size']}"),
        table(["", *(f"{size:,}" for size in found.sizes)], cells),
        element("h3", f"All that is compared{found.where}"),
    ]


def with_p(row: Any, metric: str) -> Html:
    """Return a difference, and below it its interval and p."""
    if row is None:
        return Html(ABSENT)
    middle, _, interval = with_interval(row, "difference", metric).partition(" ")
    return stacked(middle, f"{interval} p {p_value(row['p_t_holm'])}".strip())


def compared(row: dict[Hashable, Any]) -> list[Any]:
    """Return the cells of a comparison."""
    metric = row["metric"]
    middle, _, interval = with_interval(row, "difference", metric).partition(" ")
    return [
        row["estimator"],
        with_unit(metric),
        stacked(middle, interval),
        ABSENT if np.isnan(row["t"]) else f"{row['t']:.2f}".replace("-", MINUS),
        *(
            stacked(p_value(row[name]), f"Holm {p_value(row[f'{name}_holm'])}")
            for name in ("p_t", "p_exchange")
        ),
    ]


def pairs_section(found: Findings) -> Html:
    """Show how all estimators differ from one another, and their ranks."""
    if len(found.estimators) < RANKED:
        return Html()
    last = found.at_last(found.pairs)
    cells = {}
    for row in last.to_dict("records"):
        one, other, p = row["estimator"], row["baseline"], f"p {p_value(row['p_t_holm'])}"
        cells[one, other] = stacked(number(row["difference"], found.main, signed=True), p)
        cells[other, one] = stacked(number(-row["difference"], found.main, signed=True), p)
    labels = found.estimators
    rows = [[one, *(cells.get((one, other), "") for other in labels)] for one in labels]
    what = f"{sentence(with_unit(found.main))}{found.where}: row minus column."
    return section(
        "All pairs",
        paragraph(what),
        table(["", *labels], rows),
        note(TEXT["pairs"].format(name_of_test(last), len(cells) // 2)),
        *map(note, without_tests(found.results, last)),
        *ranked(found),
    )


def ranked(found: Findings) -> list[Html]:
    """Return mean ranks and their critical difference, nothing where there are none."""
    if found.ranks is None:
        return []
    ranks = [f"{label} {rank:.2f}" for label, rank in found.ranks.ranks.items()]
    blocks = counted(found.ranks.n_blocks, unit_of(found.results))
    blocks += " of all sizes" if len(found.sizes) > 1 else ""
    said = [
        TEXT["ranks"].format(name_of(found.main), blocks),
        friedman_in_words(found.ranks),
    ]
    return [
        element("h3", "Ranks"),
        paragraph(" ".join(said)),
        picture(
            study_rows.CriticalDifferenceDisplay(found.ranks),
            f"Mean ranks: {in_words(ranks)}; critical difference {found.ranks.difference:.2f}.",
            f"{TEXT['critical']}  {TEXT['shared']}",
        ),
    ]


def friedman_in_words(found: CriticalDifference) -> str:
    """Return what says whether estimators are alike."""
    if np.isnan(found.statistic):
        return TEXT["tied"]
    alike = np.isinf(found.statistic)  # nothing is left that varies
    shown = "\N{INFINITY}, as all rank them alike," if alike else f"{found.statistic:.2f}"
    return TEXT["friedman"].format(shown, p_in_words(found.p))


def p_in_words(p: float) -> str:
    """Return "p = 0.012" or "p < 0.001"."""
    shown = p_value(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def costs_section(found: Findings) -> Html:
    """Show what estimators cost, and what they make of it."""
    fits = found.last.fits
    head = ["", "parameters", "seconds a fit", "seconds to predict"]
    rows = [[label, *costs(fits[fits["estimator"] == label])] for label in found.estimators]
    display = CostDisplay.from_results(found.results, found.main)
    what = f"{sentence(with_unit(found.main))} over what it costs."
    return section(
        "Costs",
        table(head, rows),
        note(TEXT["costs"].format(found.where)),
        picture(display, what, TEXT["costs_picture"]),
    )


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


def roc_section(found: Findings) -> Html:
    """Show ROC curves."""
    if found.results.task != "classes":
        return Html()
    display = study_squares.RocDisplay.from_results(found.last)
    areas = [f"{label} {number(area, 'auc')}" for label, area in display.areas.items()]
    several = ", each class against all others" if len(found.results.classes) > 2 else ""
    return section(
        "ROC curves",
        picture(
            display,
            f"Mean ROC curves{found.where}; mean areas: {in_words(areas)}.",
            TEXT["roc"].format(unit_of(found.results), several, found.where),
        ),
    )


def calibration_section(found: Findings) -> Html:
    """Show whether probabilities are right."""
    if found.results.task != "classes":
        return Html()
    bins = calibration(found.last)
    if bins.empty:
        return section("Calibration", paragraph("No estimator gives probabilities."))
    errors, last = calibration_error(bins), found.at_last(found.summary)
    scores = last[last["metric"] == "brier"].set_index("estimator")["mean"]
    rows = [
        [label, number(errors[label], ""), number(scores[label], "brier")]
        if label in errors
        else [label, "no probabilities", ABSENT]
        for label in found.estimators
    ]
    named = [f"{label} {number(error, '')}" for label, error in errors.items()]
    classes = found.results.classes
    what = "the largest probability" if len(classes) > 2 else f"the probability of {classes[-1]}"
    return section(
        "Calibration",
        table(["", "calibration error", name_of("brier")], rows),
        note(TEXT["calibration"].format(unit_of(found.results))),
        picture(
            study_squares.CalibrationDisplay(bins, found.estimators),
            f"Observed frequency over predicted probability; errors: {in_words(named)}.",
            TEXT["frequencies"].format(what, found.where),
        ),
    )


def predicted_section(found: Findings) -> Html:
    """Show predicted values against true ones."""
    if found.results.task != "values":
        return Html()
    display = study_squares.PredictedDisplay.from_results(found.last)
    words = f"Predicted against true {found.results.target}, {in_words(found.estimators)}."
    caption = TEXT["predicted"].format(found.results.target, unit_of(found.results), found.where)
    return section("Predicted and true values", picture(display, words, caption))


def sites_section(found: Findings) -> Html:
    """Show what came out at each site that was left out; nothing if no sites were."""
    fits = found.last.fits
    if found.results.description["design"]["kind"] != "LeaveSiteOut":
        return Html()
    rows = []
    for site, part in fits.groupby("held_out_site"):
        row = [site, part["n_test_subjects"].iloc[0], part["n_train_subjects"].iloc[0]]
        for label in found.estimators:
            mine = part[part["estimator"] == label]
            shown = [number(v, metric) for metric in found.compared for v in mine[metric].iloc[:1]]
            row.append(stacked(*(shown or [ABSENT, ""])))  # it may not have been tested there
        rows.append(row)
    below = "".join(f" and {with_unit(metric)}" for metric in found.compared[1:])
    return section(
        "Sites that were left out",
        table(["site", "subjects tested", "subjects trained on", *found.estimators], rows),
        note(TEXT["sites"].format(sentence(with_unit(found.main)), below)),
    )


FINDINGS = (
    *(results_section, comparison_section, pairs_section, costs_section, roc_section),
    *(calibration_section, predicted_section, sites_section),
)
