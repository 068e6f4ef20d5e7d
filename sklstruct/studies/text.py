"""The results of a study as text for people: plain, in Markdown or in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..io.cohort import counted, subjects_in_words
from ..io.scans import in_words
from .inference import compare, named_baseline, summarise, too_small
from .intervals import LEAST
from .outcomes import check_some
from .results import Results
from .tasks import TASKS, task_in

ABSENT, MINUS = "-", "\N{MINUS SIGN}"
ALPHA = 0.05  # of what is called beyond chance
NAMES = {  # others are named by their columns
    "auc": "AUC",
    "brier": "Brier score",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "mean_iou": "mean IoU",
    "dice": "Dice",
    "fit_seconds": "seconds to fit",
    "predict_seconds": "seconds to predict",
    "n_parameters": "parameters",
}
BOLD = "Bold: whom no other one beats beyond chance in {} (5 %, Holm's adjustment over all pairs)."
MEASURES = {name: of for task in TASKS.values() for name, of in task.measures.items()}
SHARES = {name for name, measure in MEASURES.items() if measure.share}  # shown in percent
OF_TARGET = {"mae", "rmse"}  # in the unit of what is predicted, so that decimals say nothing
SECOND = {"balanced_accuracy": "auc", "accuracy": "auc", "r2": "mae", "mean_iou": "accuracy"}
# Of the exchange test: how many at most and at least, how many exchanged predictions in all, and
# how much longer one takes where ranks are exchanged.
EXCHANGES, FEWEST, AFFORDABLE, RANKING = 5000, 199, 10**8, 10
CONDITIONS = {"size": "number of training samples"}
TESTS = {
    "corrected": "corrected t-test",
    "paired": "paired t-test",
    "subjects": "t-test over subjects",
}
STRUCTURES = {  # from the least to the most, of which each has those before
    "dense": "if all layers were dense",
    "local": "with connections within kernels only",
    "shared": "with the same kernels at all places",
    "frame": "with kernels of few atoms",
    "attributes": "with what ordered attributes share",
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


Winners = set[tuple[Any, ...]]  # labels of estimators, each with its condition


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
    after: list[str]


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
        Label of the estimator to compare with.  None is that of the study, or else the first one;
        learning curves are then shown without differences.
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
    check_format(format)
    check_some(results)
    metric = main_metric(results) if metric is None else metric
    # In plain text nothing is bold, and tests of all pairs take their time.
    winners = set()
    if format != "text":
        pairs = compare(results, metric=metric, pairs="all", n_permutations=0)
        winners = unbeaten(results, pairs)
    if results.condition_columns:
        blocks = [curve_block(results, metric, winners)]
        baseline = baseline or named_baseline(results)
        blocks += [] if baseline is None else curve_differences(results, baseline, metric)
    else:
        blocks = [metrics_block(results, metric, winners), *differences(results, baseline, metric)]
    return "\n\n".join(map(RENDERED[format], blocks))


# Tables of a study ---------------------------------------------------------------------------


def curve_block(results: Results, metric: str, winners: Winners) -> Block:
    """Return mean ± standard deviation by size."""
    (condition,) = results.condition_columns
    summary = summarise(results, metric).set_index(["estimator", condition])
    labels, sizes = results.estimators, sorted(results[condition].unique())
    rows = [
        [label, *(with_deviation(summary, (label, size), metric) for size in sizes)]
        for label in labels
    ]
    unit = " in %" if metric in SHARES else ""
    what = f"{name_of(metric)}{unit}, mean ± standard deviation, by {CONDITIONS[condition]}"
    bold = {(labels.index(label), 1 + sizes.index(size)) for label, size in winners}
    table = Table(["", *map(str, sizes)], rows, frozenset(bold))
    return Block([what], table, notes_below(results, metric, winners))


def notes_below(results: Results, metric: str, winners: Winners) -> list[str]:
    """Return what stands below the first table."""
    bold = [BOLD.format(name_of(metric))] * bool(winners)
    return [*bold, *weights_of(results), *unfinished(results)]


def curve_differences(results: Results, baseline: str, metric: str) -> list[Block]:
    """Return differences from a baseline by size, nothing if there is one estimator."""
    (condition,) = results.condition_columns
    table = compare(results, baseline, metric, n_permutations=0)
    if table.empty:
        return []
    rows = {(row["estimator"], row[condition]): row for row in table.to_dict("records")}
    sizes = sorted(table[condition].unique())
    cells = [
        [label, *(difference_with_p(rows.get((label, size)), metric) for size in sizes)]
        for label in table["estimator"].unique()
    ]
    what = f"{name_of(metric)} minus that of {baseline}{points(metric)} [95 % interval], p (Holm)"
    shown = Table(["", *map(str, sizes)], cells)
    return [Block([what], shown, notes_on_differences(results, table))]


def metrics_block(results: Results, main: str, winners: Winners) -> Block:
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
    bold = {(metrics.index(main), 1 + labels.index(label)) for (label,) in winners}
    return Block(
        [f"{results.target}: tested on {extent(results)}.", means_of(results)],
        Table(["", *labels], rows, frozenset(bold)),
        notes_below(results, main, winners),
    )


def differences(results: Results, baseline: str | None, metric: str) -> list[Block]:
    """Return how estimators differ from a baseline, nothing if there is one estimator."""
    exchanges = n_exchanges(results, metric)
    table = compare(results, baseline, metric, n_permutations=exchanges)
    if table.empty:
        return []
    rows = [
        [
            row["estimator"],
            with_interval(row, "difference", metric),
            *(p_value(row[name]) for name in ("p_t_holm", "p_exchange_holm")),
        ]
        for row in table.to_dict("records")
    ]
    what = f"Difference in {name_of(metric)} from {table['baseline'][0]}, and p (Holm):"
    head = ["", "difference", name_of_test(table), "exchange test"]
    return [Block([what], Table(head, rows), notes_on_differences(results, table))]


def name_of_test(comparisons: pd.DataFrame) -> str:
    """Return what the t-tests of a table of comparisons are called."""
    names = comparisons["test"].unique()
    return TESTS[names[0]] if len(names) == 1 else "t-test"


def unbeaten(results: Results, pairs: pd.DataFrame) -> Winners:
    """Return the estimators, each with its condition, that no other one beats beyond chance.

    Where nobody is beaten there are none, as there is nobody to tell them from.

    Parameters
    ----------
    results : Results
    pairs : DataFrame
        What ``compare`` returns for all pairs and one metric.
    """
    lost = set()
    for row in pairs[pairs["p_t_holm"] < ALPHA].to_dict("records"):
        ahead = (row["difference"] > 0) != MEASURES[row["metric"]].loss
        condition = tuple(row[name] for name in results.condition_columns)
        lost.add((row["baseline"] if ahead else row["estimator"], *condition))
    return {
        (label, *condition)
        for condition in {tuple(condition) for _, *condition in lost}
        for label in results.estimators
        if (label, *condition) not in lost
    }


# Sentences about a study -----------------------------------------------------------------------


def extent(results: Results) -> str:
    """Return on how many samples of how many subjects a study was tested, and how often."""
    word, tested = sample_word(results), results.predictions.drop_duplicates("sample")
    subjects = f" of {subjects_in_words(tested['subject'], word)}" if has_subjects(results) else ""
    repeats = counted(n_repeats(results), unit_of(results))
    return f"{counted(len(tested), word)}{subjects} in {repeats}"


def n_repeats(results: Results) -> int:
    """Return how often a study asked its question."""
    return len(results.fits[results.repeat_columns].drop_duplicates())


def unit_of(results: Results) -> str:
    """Return what one repeat is called, such as "hold-out"."""
    return str(results.description["design"]["unit"])


def sample_word(results: Results) -> str:
    """Return what a sample is called."""
    return "scan" if results.description["data"].get("scans") else "sample"


def has_subjects(results: Results) -> bool:
    """Whether samples are those of subjects."""
    return results.description["data"].get("n_subjects") is not None


def means_of(results: Results) -> str:
    """Return what numbers and their intervals are."""
    tested = "subjects" if has_subjects(results) else f"{sample_word(results)}s"
    what = f"Mean over the {unit_of(results)}s [95 % interval over the tested {tested}]"
    two = results.task == "classes" and len(results.classes) == 2
    positive = f"; {results.classes[-1]} is positive" if two else ""
    return " ".join([f"{what}{positive}.", *without_intervals(results)])


def without_intervals(results: Results) -> list[str]:
    """Return why there are no intervals but those of recalls, if there are none."""
    small = too_small(results) if results.task == "classes" else {}
    found = in_words(f"{count} of {label}" for label, count in small.items()) if small else ""
    unit = "subjects" if has_subjects(results) else f"{sample_word(results)}s"
    return [
        f"Only recalls have intervals: of each class at least {LEAST} {unit} must be tested, but "
        f"there were {found}."
    ] * bool(small)


def notes_on_differences(results: Results, comparisons: pd.DataFrame) -> list[str]:
    """Return what readers of differences from a baseline must know."""
    return [
        *other_baseline(results, comparisons["baseline"][0]),
        *without_tests(results, comparisons),
        *beyond(results, comparisons),
    ]


def without_tests(results: Results, comparisons: pd.DataFrame) -> list[str]:
    """Return why differences have no interval and no t-test, if some have none."""
    unknown = comparisons[comparisons["difference"].notna() & comparisons["low"].isna()]
    unit, notes = unit_of(results), []
    for single, rows in unknown.groupby(unknown["n_repeats"] == 1):
        why = (
            f"with a single {unit} they need {LEAST} tested subjects, and a difference that "
            "changes when some of these are left out"
            if single
            else f"the difference is the same in every {unit}, which says nothing of its spread"
        )
        pairs = [
            " ".join(
                [
                    f"{row['estimator']} minus {row['baseline']}",
                    *[f"in {name_of(row['metric'])}"] * (comparisons["metric"].nunique() > 1),
                    *(f"at {row[name]:,}" for name in results.condition_columns),
                ]
            )
            for row in rows.to_dict("records")
        ]
        notes.append(f"No interval and no t-test of {in_words(pairs)}: {why}.")
    return notes


def beyond(results: Results, comparisons: pd.DataFrame) -> list[str]:
    """Return a note if intervals reach beyond what a difference can be."""
    # A t-test of few repeats knows nothing of bounds.
    widest = comparisons["metric"].map(lambda name: np.ptp(MEASURES[name].bounds))
    out = (comparisons[["low", "high"]].abs().max(axis=1) > widest) & (widest < np.inf)
    if not out.any():
        return []
    repeats = counted(int(comparisons["n_repeats"][out].min()), unit_of(results))
    return [
        "Intervals that reach beyond 100 points, or beyond 1 for the AUC, hold what no difference "
        f"can be: {repeats} are too few for this test to say how much estimators differ."
    ]


def other_baseline(results: Results, baseline: str) -> list[str]:
    """Return a note if a comparison is with another baseline than the study names."""
    named = results.description.get("baseline")
    return [f"The study names {named} as its baseline, and not {baseline}."] * (
        named not in (None, baseline)
    )


def weights_of(results: Results) -> list[str]:
    """Return how many weights networks would have with less structure."""
    weights = results.description.get("weights_by_structure") or {}
    return [
        f"weights of {label}, biases and norms not counted: {weights_in_words(steps)}"
        for label, steps in weights.items()
    ]


def weights_in_words(steps: Mapping[str, int]) -> str:
    """Return numbers of weights by structure, without what saves none."""
    known = [*steps.items()]
    saving = [pair for pair, before in zip(known[1:], known, strict=False) if pair[1] < before[1]]
    return ", ".join(f"{count:,} {STRUCTURES[step]}" for step, count in [*known[:1], *saving])


def unfinished(results: Results) -> list[str]:
    """Return how much is missing of a study that is not finished."""
    missing = results.missing
    if missing.empty:
        return []
    counts = missing["estimator"].value_counts()
    of_each = in_words(f"{counts[label]} of {label}" for label in missing["estimator"].unique())
    wanted = len(missing) + len(results)
    return [f"Not finished: {counted(len(missing), 'fit')} of {wanted} are missing, {of_each}."]


# Metrics -------------------------------------------------------------------------------------


def main_metric(results: Results) -> str:
    """Return the metric that a study is about."""
    # Of stratified draws, whose classes are balanced by the data, accuracy is what is reported.
    task = task_in(results)
    if task.name == "classes" and results.condition_columns:
        return "accuracy"
    # R2 of a constant, and the like, is nowhere defined.
    known = (name for name in task.measures if results[name].notna().any())
    return task.main if results[task.main].notna().any() else next(known, task.main)


def compared_metrics(results: Results) -> list[str]:
    """Return the metrics that are compared, fixed before: the main one, and a second one."""
    measures, main = task_in(results).measures, main_metric(results)
    return [main, *(name for name in (SECOND.get(main),) if name in measures)]


def n_exchanges(results: Results, metric: str) -> int:
    """Return how many exchanges of predictions a test of a metric can afford, 0 for no test."""
    tested = results.fits.groupby("estimator")["n_test"].sum()
    areas = max(1, len(results.classes)) if MEASURES[metric].ranks else 1
    cost = int(tested.max()) * areas * (RANKING if MEASURES[metric].ranks else 1)
    affordable = min(EXCHANGES, AFFORDABLE // cost)
    return affordable if affordable >= FEWEST else 0


def chance(results: Results, metric: str) -> float | None:
    """Return what guessing reaches, None where that is not known."""
    guess = MEASURES[metric].guess(len(results.classes)) if metric in MEASURES else np.nan
    return None if np.isnan(guess) else float(guess)


# Numbers ---------------------------------------------------------------------------------------


def name_of(metric: str) -> str:
    """Return the name of a metric as people write it."""
    return NAMES.get(metric, metric.replace("_", " "))


def with_unit(metric: str) -> str:
    """Return the name of a metric, in percent if it is a share."""
    return f"{name_of(metric)} (%)" if metric in SHARES else name_of(metric)


def points(metric: str) -> str:
    """Return the unit of differences in a metric."""
    return " (points)" if metric in SHARES else ""


def scale_of(metric: str) -> int:
    """Return what a metric is multiplied with where it is shown."""
    return 100 if metric in SHARES else 1


def number(value: float, metric: str, signed: bool = False) -> str:
    """Return percent with one decimal for a share, three decimals or three digits for others."""
    if np.isnan(value):
        return ABSENT
    # The same half up, and no negative zero.
    shown = round(scale_of(metric) * value, 9) + 0.0
    sign = "+" if signed else ""
    if metric in OF_TARGET or metric not in MEASURES:
        text = f"{shown:{sign},.0f}" if abs(shown) >= 1000 else f"{shown:{sign}#.3g}".rstrip(".")
    else:
        decimals = 1 if metric in SHARES else 3
        text = f"{round(shown, decimals) + 0.0:{sign}.{decimals}f}"
    return text.replace("-", MINUS)


def with_deviation(summary: pd.DataFrame, row: tuple[str, Any], metric: str) -> str:
    """Return "82.3 ± 1.2", or "82.3" of a single value."""
    if row not in summary.index:
        return ABSENT
    mean, std = (number(summary.loc[row, name], metric) for name in ("mean", "std"))
    return mean if std == ABSENT else f"{mean} ± {std}"


def with_interval(row: Any, name: Hashable, metric: str) -> str:
    """Return "82.3 [78.7, 85.4]" from a row with low and high, if there is one."""
    if row is None:
        return ABSENT
    signed = name == "difference"
    middle, *ends = (number(row[column], metric, signed) for column in (name, "low", "high"))
    return middle if ends == [ABSENT, ABSENT] else f"{middle} [{ends[0]}, {ends[1]}]"


def difference_with_p(row: Any, metric: str) -> str:
    """Return "+1.2 [+0.4, +2.0], 0.012" from a row of a comparison, if there is one."""
    if row is None:
        return ABSENT
    shown, p = with_interval(row, "difference", metric), p_value(row["p_t_holm"])
    return shown if p == ABSENT else f"{shown}, {p}"


def p_value(p: float) -> str:
    """Return a p-value with two significant digits, down to 0.001."""
    if np.isnan(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:#.2g}"


# A constant is shown as one number: "18 to 18" makes readers look for the difference.
def span(values: pd.Series[Any], style: Callable[[Any], str]) -> str:
    """Return "18", or "16 to 18" if values differ."""
    low, high = style(values.min()), style(values.max())
    return low if low == high else f"{low} to {high}"


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
    bold = [
        {column for row, column in table.bold if row == place} for place in range(len(table.rows))
    ]
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


def check_format(format: str) -> None:
    """Raise a ValueError unless tables can be written so."""
    if format not in RENDERED:
        raise ValueError(f"format must be one of {', '.join(RENDERED)}, got {format!r}.")
