"""The record of a study: what was asked and what came out, safe on disk after every fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from ..io.atomic import atomic_write
from .description import MOST_BYTES, Description, merge, read_description
from .draws import estimator_seed
from .lock import locked
from .tables import Row, Table

STUDY = "study.json"
STRUCTURES = "weights_by_structure"  # entry of the description, by labels of networks
APART = "decide_apart_from_scores"  # entry of the description, of labels of estimators
FITS = {"limited_data": "results.csv", "cohort_study": "fits.csv"}  # by the kind of study

Cell = tuple[Any, ...]  # the label of an estimator, and the numbers of what it is fitted on


class Fit(NamedTuple):
    """A finished fit: its row, and the rows of what it was tested on, if the study keeps them.

    Of a network, also how many weights it would have with less structure.
    """

    row: Row
    details: list[Row]
    structure: dict[str, int] | None = None


@dataclass(frozen=True)
class Layout:
    """The files of one kind of study.

    Parameters
    ----------
    keys : tuple of str
        The columns of both tables that say which fit a row is of, the estimator first.
    extent : tuple of str
        Entries of the description that say how far the study went.
    tables : tuple of Table
        In the order in which they are written, as a fit counts when it is in all: that of details,
        ``n_test`` rows a fit, if the study keeps them, and that of fits, a row each with its seed.
    flaw : callable
        Returns what is wrong about a fit, "" if nothing is.
    apart : callable
        Returns the rows of a fit in which the estimator has decided against its own scores, as
        one with a threshold does; in all fits of another estimator there must be none.
    """

    keys: tuple[str, ...]
    extent: tuple[str, ...]
    tables: tuple[Table, ...]
    flaw: Callable[[Fit], str] = lambda fit: ""
    apart: Callable[[Fit], list[Row]] = lambda fit: []

    def cell(self, row: Row) -> Cell:
        """Return which fit a row is of."""
        return tuple(row[key] for key in self.keys)

    def rows(self, fit: Fit) -> list[list[Row]]:
        """Return what each of the tables holds of a fit."""
        return [fit.details, [fit.row]][-len(self.tables) :]

    def texts(self, fit: Fit) -> list[str]:
        """Return the lines of a fit in each of the tables."""
        return [table.text(r) for table, r in zip(self.tables, self.rows(fit), strict=True)]

    def frames(self, fits: list[Fit]) -> list[pd.DataFrame]:
        """Return the tables of some fits."""
        return [
            table.frame(row for fit in fits for row in self.rows(fit)[number])
            for number, table in enumerate(self.tables)
        ]

    def named(self, cell: Cell) -> str:
        """Return "estimator 'a', repeat 3"."""
        return ", ".join(f"{key} {value!r}" for key, value in zip(self.keys, cell, strict=True))


class Record:
    """The finished fits of a study, by cell.

    With a folder they are also in its tables, beside a ``study.json`` that describes the study;
    those of an earlier run are read, if it was the same study.

    Parameters
    ----------
    folder : path-like or None
    description : dict
        What ``describe`` returns.
    layout : Layout

    Raises
    ------
    OSError
        If the folder cannot be written to.
    ValueError
        If its files are damaged or belong to another study.
    """

    def __init__(self, folder: Path | None, description: Description, layout: Layout) -> None:
        self.description = description
        self.layout = layout
        self.fits: dict[Cell, Fit] = {}
        self._texts: dict[Cell, list[str]] = {}  # no fit is put into words twice
        self.folder = folder
        if folder is None:
            return
        study = folder / STUDY
        # Its name is that of no file, so that nothing else is ever taken for one.
        for part in folder.glob(f".*.{'[0-9a-f]' * 32}.part"):  # a killed run may have left it
            part.unlink(missing_ok=True)
        check_kind(folder, [table.file for table in self.layout.tables])
        if (folder / self.layout.tables[-1].file).exists():
            old = read_description(study, self.layout.extent)
            self.fits = read_fits(folder, self.layout, old)
            # An estimator without results binds nobody: whoever erred may name another one so.
            done = {label for label, *_ in self.fits}
            kept = {label: e for label, e in old["estimators"].items() if label in done}
            finished = {**old, "estimators": kept}
            if STRUCTURES in old:
                finished[STRUCTURES] = {k: w for k, w in old[STRUCTURES].items() if k in done}
            self.description = merge(finished, self.description, study)
        self._describe()

    @classmethod
    @contextmanager
    def opened(
        cls, folder: str | os.PathLike[str] | None, description: Description, layout: Layout
    ) -> Iterator[Self]:
        """Give the record of a folder, which no other study writes to meanwhile."""
        place = None if folder is None else Path(folder)
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        with locked(place):
            yield cls(place, description, layout)

    def _describe(self) -> None:
        """Write the description."""
        if self.folder is not None:
            text = json.dumps(self.description, indent=2) + "\n"
            if len(text) > MOST_BYTES:  # before days of fits that could not be read again
                raise ValueError(
                    f"The description of a study may have {MOST_BYTES} bytes, got {len(text)}: "
                    "it names too many scans."
                )
            with atomic_write(self.folder / STUDY) as stream:
                stream.write(text)

    def add(self, fit: Fit) -> None:
        """Add a finished fit, and write everything to disk."""
        cell = self.layout.cell(fit.row)
        self.fits[cell] = fit
        # Known when it is read again: an edited prediction looks like a threshold.
        known = self.description.get(APART, [])
        if cell[0] not in known and self.layout.apart(fit):
            self.description[APART] = [*known, cell[0]]
            self._describe()
        counted = self.description.get(STRUCTURES, {})
        if fit.structure is not None and cell[0] not in counted:
            self.description[STRUCTURES] = dict(sorted({**counted, cell[0]: fit.structure}.items()))
            self._describe()
        if self.folder is None:
            return
        # The whole table each time: appending could leave half a line, and order comes for free.
        labels = list(self.description["estimators"])
        cells = sorted(self.fits, key=lambda cell: (labels.index(cell[0]), *cell[1:]))
        for cell in self.fits.keys() - self._texts.keys():
            self._texts[cell] = self.layout.texts(self.fits[cell])
        for number, table in enumerate(self.layout.tables):
            table.write(self.folder, (self._texts[cell][number] for cell in cells))

    def __getitem__(self, cells: Iterable[Cell]) -> list[Fit]:
        return [self.fits[cell] for cell in cells]


def check_kind(folder: Path, files: list[str]) -> None:
    """Raise a ValueError if there are tables of another kind of study, or of an unknown one."""
    for kind, name in FITS.items():
        if name not in files and (folder / name).exists():
            raise ValueError(f"{folder / name} is there, which is of another study, by {kind}.")
    here = [name for name in files if (folder / name).exists()]
    if here and not (folder / STUDY).exists():
        raise ValueError(f"{folder / here[0]} is there, but no {STUDY} that says what it is.")


def read_fits(folder: Path, layout: Layout, description: Description) -> dict[Cell, Fit]:
    """Return the finished fits of the study that is described.

    Details of a fit that was killed before it was finished are left out.

    Raises
    ------
    ValueError
        If a file is damaged, or does not belong to the others.
    """
    fits: dict[Cell, Fit] = {}

    def take_fit(row: Row) -> None:
        cell = layout.cell(row)
        # The seed tells whether a row is of this study, whoever has edited the file.
        seed = estimator_seed(description["random_state"], *cell[1:])
        if cell[0] not in description["estimators"] or row["seed"] != seed:
            raise ValueError(f"it is not of the study that {STUDY} describes")
        if cell in fits:
            raise ValueError(f"{layout.named(cell)} is there twice")
        for name, value in row.items():  # counts, times, metrics: none is less
            lacking = name in layout.tables[-1].may_lack and value != value
            if isinstance(value, int | float) and not (value >= 0 or lacking):
                raise ValueError(f"{name} must be at least 0, got {value}")
        fits[cell] = Fit(row, [])

    def take_detail(row: Row) -> None:
        fit = fits.get(layout.cell(row))
        if fit is None:
            return
        if len(fit.details) == fit.row["n_test"]:
            raise ValueError(
                f"{layout.named(layout.cell(row))} must have {len(fit.details)} rows, got more"
            )
        fit.details.append(row)

    first, *others = layout.tables
    layout.tables[-1].read(folder, take_fit)
    for table in layout.tables[:-1]:
        table.read(folder, take_detail)
    for cell, fit in fits.items():
        which, flaw = layout.named(cell), layout.flaw(fit)
        if others and len(fit.details) != fit.row["n_test"]:
            flaw = (
                f"it must have {fit.row['n_test']} rows of {which}, as in {others[0].file}, got "
                f"{len(fit.details)}"
            )
        elif flaw:
            flaw = f"of {which}, {flaw}"
        elif cell[0] not in description.get(APART, []) and (apart := layout.apart(fit)):
            scan = apart[0]["scan"]
            flaw = f"of {which}, the prediction of {scan} is not the label of its largest score"
        if flaw:
            raise ValueError(f"{folder / first.file} is damaged, and is left as it is: {flaw}.")
    return fits
