"""The results of a study as text for people: plain, in Markdown or in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..io.cohort import counted
from ..io.scans import in_words
from .inference import baseline_of, compare, summarise, too_small
from .intervals import LEAST
from .results import Results

ABSENT, MINUS = "-", "\N{MINUS SIGN}"
ALPHA = 0.05  # of what is called beyond chance
NAMES = {  # others are named by their columns
    "auc": "AUC",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "spearman": "rank correlation",
    "iou": "mean IoU",
    "dice": "Dice",
    "n_parameters": "parameters",
    "fit_seconds": "seconds to fit",
    "predict_seconds": "seconds to predict",
}
OF_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "±": r"$\pm$",
    "²": "$^2$",
    MINUS: "$-$",
}


class Table(NamedTuple):
    """Cells of text under a head, the first column of which names the rows.

    Parameters
    ----------
    head : list of str
    rows : list of list of str
    bold : set of (int, int), default=frozenset()
        Row and column of the cells that stand out.
    """

    head: list[str]
    rows: list[list[str]]
    bold: frozenset[tuple[int, int]] = frozenset()


class Block(NamedTuple):
    """A table with the lines that stand before and after it."""

    before: list[str]
    table: Table
    after: list[str] = []


def format_summary(
    results: Results,
    baseline: str | None = None,
    metric: str | None = None,
    *,
    format: str = "text",
) -> str:
    """Return means of all estimators, and how they differ from a baseline.

    Parameters
    ----------
    results : Results
    baseline : str, default=None
        Label of the estimator to compare with.  None is the first one; learning curves are then
        shown without differences.
    metric : str, default=None
        What is compared, and what learning curves show; None is the main metric of the task.
    format : {"text", "markdown", "latex"}, default="text"
        Tables in LaTeX take the package booktabs.  In Markdown and LaTeX, those estimators are
        bold that no other one beats beyond chance (5 %, Holm's adjustment over all pairs); none
        is where nobody is beaten.

    Returns
    -------
    text : str
        A line for each estimator and a column for each size with mean ± standard deviation over
        the draws; or, where there are no sizes, a line for each metric and a column for each
        estimator, with intervals, and a table of the differences.

    Raises
    ------
    ValueError
        If there is no such baseline, metric or format, or the results are not sound.

    See Also
    --------
    summarise, compare : The same as tables of numbers.
    sklstruct.inspection.write_report : The same with pictures.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import format_summary, limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> print(format_summary(results))
    accuracy in %, mean ± standard deviation, by number of training samples
                    10          40
    gauss   91.9 ± 4.6  96.3 ± 1.6
    counts  83.3 ± 7.4  89.6 ± 1.1
    """
    if format not in RENDERED:
        raise ValueError(f"format must be one of {', '.join(RENDERED)}, got {format!r}.")
    render = RENDERED[format]
    return "\n\n".join(render(block) for block in summary_blocks(results, baseline, metric))



def summary_blocks(results: Results, baseline: str | None, metric: str | None) -> list[Block]:
    """Return what a summary has to say."""
    if results.condition_columns:
        metric = curve_metric(results) if metric is None else metric
        blocks = [curve_block(results, metric)]
        if baseline is not None:
            blocks += curve_differences(results, baseline, metric)
    else:
        metric = main_metric(results) if metric is None else metric
        blocks = [metrics_block(results, metric), *differences(results, baseline, metric)]
    blocks[0].after.extend([*weights_of(results), *unfinished(results)])
    return blocks


# Tables of a study ---------------------------------------------------------------------------


def curve_block(results: Results, metric: str) -> Block:
    """Return mean ± standard deviation by size."""
    (condition,) = results.condition_columns
    summary = summarise(results, metric).set_index(["estimator", condition])
    sizes = sorted(results[condition].unique())
    labels = results.estimators
    rows = [
        [label, *(with_deviation(summary, (label, size), metric) for size in sizes)]
        for label in labels
    ]
    unit = " in %" if is_share(metric) else ""
    what = f"{name_of(metric)}{unit}, mean ± standard deviation, by {CONDITIONS[condition]}"
    winners = {
        (labels.index(label), 1 + sizes.index(size)) for label, size in unbeaten(results, metric)
    }
    return Block([what], Table(["", *map(str, sizes)], rows, frozenset(winners)), [])


def curve_differences(results: Results, baseline: str, metric: str) -> list[Block]:
    """Return differences from a baseline by size, nothing if there is one estimator."""
    (condition,) = results.condition_columns
    table = compare(results, baseline, metric)
    if table.empty:
        return []
    rows = {(row["estimator"], row[condition]): row for row in table.to_dict("records")}
    sizes, test = sorted(table[condition].unique()), next(iter(tests_of(table)))
    cells = [
        [label, *(difference_with_p(rows.get((label, size)), test) for size in sizes)]
        for label in table["estimator"].unique()
    ]
    points = ", points" if is_share(metric) else ""
    what = f"difference in {name_of(metric)} from {baseline}{points} [95 % interval], p (Holm)"
    return [Block([what], Table(["", *map(str, sizes)], cells), beyond(results, table))]


def metrics_block(results: Results, main: str) -> Block:
    """Return a line for each metric, a column for each estimator."""
    summary = summarise(results).set_index(["metric", "estimator"])
    labels = results.estimators
    # Sensitivity of three classes, log loss of machines without probabilities: no row of dashes.
    known = summary["mean"].groupby(level="metric", sort=False).count()
    metrics = [*known.index[known > 0]]
    rows = [
        [name_of(m), *(with_interval(summary.loc[(m, label)], "mean", m) for label in labels)]
        for m in metrics
    ]
    winners = {(metrics.index(main), 1 + labels.index(label)) for (label,) in unbeaten(results, main)}
    return Block(
        [f"{results.target}: tested on {extent(results)}.", means_of(results)],
        Table(["", *labels], rows, frozenset(winners)),
        [],
    )


def differences(results: Results, baseline: str | None, metric: str) -> list[Block]:
    """Return how estimators differ from a baseline, nothing if there is one estimator."""
    table = compare(results, baseline, metric)
    if table.empty:
        return []
    tests = tests_of(table)
    rows = [
        [
            row["estimator"],
            with_interval(row, "difference", metric),
            *(p_value(row[f"{column}_holm"]) for column in tests),
        ]
        for row in table.to_dict("records")
    ]
    head = ["", "difference", *tests.values()]
    what = f"Difference in {name_of(metric)} from {table['baseline'][0]}, and p (Holm):"
    return [Block([what], Table(head, rows), beyond(results, table))]


def unbeaten(results: Results, metric: str) -> set[tuple[str, Any]]:
    """Return estimators, each with its condition, that none beats though it beats another.

    They are all estimators of a condition but those that another one beats beyond chance; none is
    where nobody is beaten, as there is nobody to tell them from.
    """
    pairs = compare(results, metric=metric, pairs="all")
    column = next(iter(tests_of(pairs)), "")
    if pairs.empty or not column:
        return set()
    beyond_chance = pairs[pairs[f"{column}_holm"] < ALPHA]
    better = beyond_chance["difference"] * (-1 if metric in LOSSES else 1) > 0
    beaten = beyond_chance["baseline"].where(better, beyond_chance["estimator"])
    conditions = beyond_chance[results.condition_columns].itertuples(index=False, name=None)
    lost = {*zip(beaten, conditions, strict=True)}
    return {
        (label, *condition)
        for condition in {condition for _, condition in lost}
        for label in results.estimators
        if (label, condition) not in lost
    }


# Sentences about a study -----------------------------------------------------------------------


def extent(results: Results) -> str:
    """Return on how many samples of how many subjects a study was tested, and how often."""
    table = results.predictions
    samples, subjects = table["sample"].nunique(), table["subject"].nunique()
    of_subjects = f" of {counted(subjects, 'subject')}" if subjects < samples else ""
    return f"{counted(samples, sample_word(results))}{of_subjects} in {repeats_of(results)}"


def repeats_of(results: Results) -> str:
    """Return how often a study asked its question, such as "20 hold-outs"."""
    unit = results.description["design"]["unit"]
    return counted(len(results.fits[results.repeat_columns].drop_duplicates()), unit)


def sample_word(results: Results) -> str:
    """Return what a sample is called."""
    return "scan" if results.description["data"].get("scans") else "sample"


def means_of(results: Results) -> str:
    """Return what numbers and their intervals are."""
    unit = results.description["design"]["unit"]
    tested = "subjects" if has_subjects(results) else f"{sample_word(results)}s"
    parts = [f"Mean over the {unit}s [95 % interval over the tested {tested}]"]
    if results.task == "classes" and len(results.classes) == 2:
        parts.append(f"{results.classes[-1]} is positive")
    small = f" {without_intervals(results)}" if too_small(results) else ""
    return f"{'; '.join(parts)}.{small}"


def has_subjects(results: Results) -> bool:
    """Whether subjects are something else than samples."""
    table = results.predictions
    return table["subject"].nunique() < table["sample"].nunique()


def without_intervals(results: Results) -> str:
    """Return why there are no intervals but those of recalls."""
    small = in_words(f"{count} of {label}" for label, count in too_small(results).items())
    return (
        f"Only recalls have intervals: of each class at least {LEAST} subjects must be tested, but "
        f"there were {small}."
    )


def beyond(results: Results, comparisons: pd.DataFrame) -> list[str]:
    """Return a note if intervals reach beyond what a difference can be."""
    # A t-test of few repeats knows nothing of bounds.
    bounded = comparisons[comparisons["metric"].isin(BOUNDED)]
    if not (bounded[["low", "high"]].abs() > 1).any(axis=None):
        return []
    repeats = counted(int(bounded["n_repeats"].min()), results.description["design"]["unit"])
    return [
        "Intervals that reach beyond 100 points, or beyond 1 for the AUC, hold what no difference "
        f"can be: {repeats} are too few for this test to say how much estimators differ."
    ]


def weights_of(results: Results) -> list[str]:
    """Return how many weights networks would have with less structure."""
    weights = results.description.get("weights_by_structure") or {}
    return [
        f"weights of {label}: " + ", ".join(f"{count:,} {step}" for step, count in steps.items())
        for label, steps in weights.items()
    ]


def unfinished(results: Results) -> list[str]:
    """Return how much is missing of a study that is not finished."""
    missing, wanted = len(results.missing), results.description["wanted"]
    return [f"not finished: {missing} of {counted(wanted, 'fit')} are missing"] * bool(missing)


# Numbers ---------------------------------------------------------------------------------------


def name_of(metric: str) -> str:
    """Return the name of a metric as people write it."""
    return NAMES.get(metric, metric.replace("_", " "))


def with_unit(metric: str) -> str:
    """Return the name of a metric, in percent if it is a share."""
    return f"{name_of(metric)} (%)" if is_share(metric) else name_of(metric)


def number(value: float, metric: str, signed: bool = False) -> str:
    """Return percent with one decimal for a share, three decimals or digits for others."""
    if np.isnan(value):
        return ABSENT
    scale, decimals = (100, 1) if is_share(metric) else (1, 3)
    shown = round(round(scale * value, 9), decimals) + 0.0  # the same half up, no negative zero
    return f"{shown:{'+' if signed else ''}.{decimals}f}".replace("-", MINUS)


def with_deviation(summary: pd.DataFrame, row: tuple[str, Any], metric: str) -> str:
    """Return "82.3 ± 1.2", or "82.3" of a single value."""
    if row not in summary.index or np.isnan(mean := summary.loc[row, "mean"]):
        return ABSENT
    std = summary.loc[row, "std"]
    scale, style = (100, ".1f") if is_share(metric) else (1, ".3g")
    spread = "" if np.isnan(std) else f" ± {scale * std:{style}}"
    return f"{scale * mean:{style}}{spread}".replace("-", MINUS)


def with_interval(row: Any, name: Hashable, metric: str) -> str:
    """Return "82.3 [78.7, 85.4]" from a row with low and high."""
    signed = name == "difference"
    middle, *ends = (number(row[column], metric, signed) for column in (name, "low", "high"))
    return middle if ends == [ABSENT, ABSENT] else f"{middle} [{ends[0]}, {ends[1]}]"


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, down to 0.001."""
    if np.isnan(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:#.2g}"


# Formats ---------------------------------------------------------------------------------------


def as_text(block: Block) -> str:
    """Return a block as lines of text, the first column to the left, others to the right."""
    cells = [block.table.head, *block.table.rows]
    first, *others = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]).rstrip() for row in cells
    ]
    return "\n".join([*block.before, *lines, *block.after])


def as_markdown(block: Block) -> str:
    """Return a block as paragraphs and a table of Markdown."""
    head, *rows = [
        f"| {' | '.join(markdown_cell(cell, place in bold) for place, cell in enumerate(row))} |"
        for row, bold in rows_with_bold(block.table)
    ]
    rule = f"|---|{'---:|' * (len(block.table.head) - 1)}"
    before, after = (map(markdown_text, lines) for lines in (block.before, block.after))
    return "\n\n".join([*before, "\n".join([head, rule, *rows]), *after])


def as_latex(block: Block) -> str:
    """Return a block as a floating table of LaTeX with its lines as the caption."""
    head, *rows = [
        " & ".join(
            rf"\textbf{{{latex(cell)}}}" if place in bold else latex(cell)
            for place, cell in enumerate(row)
        )
        + r" \\"
        for row, bold in rows_with_bold(block.table)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex(' '.join([*block.before, *block.after]))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(block.table.head) - 1)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def rows_with_bold(table: Table) -> list[tuple[list[str], set[int]]]:
    """Return the head and the rows, each with the columns that stand out."""
    bold = [{column for row, column in table.bold if row == place} for place in range(len(table.rows))]
    return [(table.head, set()), *zip(table.rows, bold, strict=True)]


def markdown_cell(cell: str, bold: bool) -> str:
    """Return a cell of a table of Markdown."""
    text = markdown_text(cell).replace("|", r"\|")
    return f"**{text}**" if bold else text


def markdown_text(text: str) -> str:
    """Return text in which no character means anything to Markdown, but for the bar of tables."""
    return re.sub(r"([\\`*_{}\[\]<>#~$&])", r"\\\1", text)


def latex(text: str) -> str:
    """Return text in which no character means anything to LaTeX."""
    return "".join(OF_LATEX.get(char, char) for char in text)


RENDERED = {"text": as_text, "markdown": as_markdown, "latex": as_latex}
