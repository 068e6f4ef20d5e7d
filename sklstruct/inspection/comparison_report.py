"""Several studies side by side, as a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..io.cohort import counted
from ..io.scans import in_words
from ..studies.comparison import Comparison, comparison_block
from ..studies.text import name_of, number, unfinished, with_interval, with_unit
from .page import (
    TEXT,
    Html,
    facts,
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
from .report import friedman_in_words
from .report_methods import data_in_words, design_in_words
from .study_rows import CriticalDifferenceDisplay, DifferencesDisplay


def write_comparison(comparison: Comparison, folder: str | os.PathLike[str]) -> Path:
    """Write what several studies say about the same estimators, for people and as tables.

    Parameters
    ----------
    comparison : Comparison
        What ``compare_studies`` returns.
    folder : path-like
        Where to write ``comparison.html``, a page that stands alone; ``means.csv`` and
        ``differences.csv``, the tables of the comparison; and ``comparison.md`` and
        ``comparison.tex``.  It is made if it is not there.

    Returns
    -------
    page : Path
        That of ``comparison.html``.

    Raises
    ------
    OSError
        If a file cannot be written.

    See Also
    --------
    write_report : The page of one study.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer, load_wine
    >>> from sklearn.naive_bayes import BernoulliNB, GaussianNB
    >>> from sklstruct.inspection import write_comparison
    >>> from sklstruct.studies import KFold, Study, compare_studies
    >>> models = {"gauss": GaussianNB(), "signs": BernoulliNB()}
    >>> studies = [
    ...     Study(KFold(n_splits=3), models, name=load.__name__[5:]).run(*load(return_X_y=True))
    ...     for load in (load_breast_cancer, load_wine)
    ... ]
    >>> write_comparison(compare_studies(*studies), "both").name
    'comparison.html'
    """
    names = in_words(comparison.studies)
    sections = [
        results_section(comparison),
        *differences_section(comparison),
        *ranks_section(comparison),
        studies_section(comparison),
    ]
    contents = {
        "means.csv": comparison.means.to_csv(index=False, lineterminator="\n"),
        "differences.csv": comparison.differences.to_csv(index=False, lineterminator="\n"),
        "comparison.md": comparison.to_text("markdown") + "\n",
        "comparison.tex": comparison.to_text("latex") + "\n",
        "comparison.html": page(f"Studies compared: {names}", *sections),
    }
    return write_files(folder, contents) / "comparison.html"


def results_section(comparison: Comparison) -> Html:
    """Show means with intervals, side by side."""
    ((what,), cells, notes) = comparison_block(comparison)
    rows = [[first, *(split(cell) for cell in row)] for first, *row in cells.rows]
    shown = table(cells.head, rows)
    return section("Results", paragraph(f"{sentence(what)}."), shown, *map(note, notes))


def split(cell: str) -> Any:
    """Return a cell with its interval below the number."""
    return stacked(*cell.split(" ", 1)) if " [" in cell else cell


def differences_section(comparison: Comparison) -> Iterator[Html]:
    """Show how estimators differ between studies of the same splits."""
    first = next(iter(comparison.studies))
    found = comparison.differences.rename(columns={"first": "baseline"})
    for name, part in found.groupby("study", sort=False):
        sizes = ", " + part["size"].astype(str) if "size" in part else ""
        rows = part.assign(estimator=part["estimator"] + sizes)
        words = [
            f"{row['estimator']} {with_interval(row, 'difference', comparison.metric)}"
            for row in rows.to_dict("records")
        ]
        what = f"{sentence(name_of(comparison.metric))} in {name} minus that in {first}"
        yield section(
            f"{name} and {first}",
            picture(DifferencesDisplay(rows), f"{what}: {in_words(words)}.", f"{what}."),
            *(note(TEXT["tests"][test]) for test in part["test"].unique()),
            note(TEXT["same"]),
        )


def ranks_section(comparison: Comparison) -> Iterator[Html]:
    """Show ranks over data sets."""
    if comparison.ranks.empty:
        return
    ranks, critical, metric = comparison.ranks, comparison.critical, comparison.metric
    n_blocks = counted(int(ranks["n_blocks"].iloc[0]), "data set")
    head = ["", "mean rank", "wins", with_unit(metric)]
    rows = [
        [
            row["estimator"],
            f"{row['mean_rank']:.2f}",
            row["wins"],
            number(row["mean"], comparison.metric),
        ]
        for row in ranks.to_dict("records")
    ]
    parts = [paragraph(TEXT["blocks"].format(n_blocks)), table(head, rows)]
    if critical is not None:
        words = [f"{label} {rank:.2f}" for label, rank in critical.ranks.items()]
        parts += [
            paragraph(friedman_in_words(critical)),
            picture(
                CriticalDifferenceDisplay(critical),
                f"Mean ranks: {in_words(words)}; critical difference {critical.difference:.2f}.",
                TEXT["critical"],
            ),
        ]
    yield section("Ranks", *parts)


def studies_section(comparison: Comparison) -> Html:
    """Say what was studied."""
    pairs = [
        (name, "; ".join([data_in_words(one), design_in_words(one), *unfinished(one)]))
        for name, one in comparison.studies.items()
    ]
    return section("The studies", facts(pairs))
