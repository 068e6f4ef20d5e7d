"""The record of a study: what was asked and what came out, safe on disk after every fit."""

from __future__ import annotations

import csv
import json
import os
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..io.atomic import atomic_write
from .data import fingerprint
from .draws import estimator_seed

COLUMNS = {
    "estimator": "str",
    "size": "int64",
    "draw": "int64",
    "accuracy": "float64",
    "balanced_accuracy": "float64",
    "log_loss": "float64",
    "fit_seconds": "float64",
    "predict_seconds": "float64",
    "n_parameters": "Int64",
    "n_test": "int64",
    "seed": "int64",
}
PARSERS: dict[str, Any] = {"str": str, "int64": int, "Int64": int, "float64": float}
MAY_LACK = {"log_loss", "n_parameters"}
LIBRARIES = ("sklstruct", "numpy", "scipy", "scikit-learn", "pandas", "joblib", "torch", "skorch")

Row = dict[str, Any]
Description = dict[str, Any]


class Cell(NamedTuple):
    """One fit of a study."""

    estimator: str
    size: int
    draw: int


class Record:
    """The finished rows of a study, by cell.

    With a folder they are also in its ``results.csv``, beside a ``study.json`` that describes
    the study; those of an earlier run are read, if it was the same study.

    Parameters
    ----------
    folder : path-like or None
    description : dict
        What ``describe`` returns.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    ValueError
        If its files are damaged or belong to another study.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, description: Description) -> None:
        self.description = description
        self.rows: dict[Cell, Row] = {}
        self.file = None if folder is None else Path(folder) / "results.csv"
        if self.file is not None:
            self._open(self.file, self.file.with_name("study.json"))

    def _open(self, results: Path, study: Path) -> None:
        results.parent.mkdir(parents=True, exist_ok=True)
        for file in (results, study):  # a killed run may have left what it was writing
            for part in file.parent.glob(f".{file.name}.*.part"):
                part.unlink(missing_ok=True)
        if results.exists() and not study.exists():
            raise ValueError(f"{results} is there, but no {study.name} that says what it is.")
        if results.exists():
            old = read_description(study)
            self.rows = read_rows(results, old)
            self.description = merge(without_empty(old, self.rows), self.description, study)
        with atomic_write(study) as stream:
            stream.write(json.dumps(self.description, indent=2) + "\n")

    def add(self, row: Row) -> None:
        """Add a finished row, and write all rows to disk."""
        self.rows[Cell(row["estimator"], row["size"], row["draw"])] = row
        if self.file is not None:
            labels = list(self.description["estimators"])
            cells = sorted(self.rows, key=lambda c: (labels.index(c.estimator), c.size, c.draw))
            with atomic_write(self.file) as stream:
                self.table(cells).to_csv(stream, index=False, lineterminator="\n")

    def table(self, cells: Iterable[Cell]) -> pd.DataFrame:
        """Return the rows of some cells as a table."""
        rows = [self.rows[cell] for cell in cells]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def describe(
    data: Description,
    estimators: Mapping[str, Any],
    sizes: list[int],
    n_draws: int,
    random_state: int,
) -> Description:
    """Return what makes a study, as JSON can hold it."""
    return {
        "data": data,
        "random_state": random_state,
        "estimators": {label: describe_estimator(e) for label, e in estimators.items()},
        "sizes": sizes,
        "n_draws": n_draws,
        "environments": [describe_environment()],
    }


def describe_estimator(estimator: Any) -> dict[str, str]:
    """Return the class and the parameters of an estimator; its seeds are the study's."""
    parameters = {
        name: describe_value(value)
        for name, value in sorted(estimator.get_params(deep=True).items())
        if not is_random_state(name)
    }
    kind = type(estimator)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **parameters}


def describe_value(value: Any) -> str:
    """Return a parameter as text that is the same in every run, and only for equal values."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses change with every run
    atoms = getattr(value, "atoms", None)  # a frame prints its name and its size only
    return text if atoms is None else f"{text} {fingerprint(atoms)}"


def is_random_state(parameter: str) -> bool:
    """Whether a parameter of an estimator, perhaps a nested one, is a seed."""
    return parameter.rpartition("__")[2] == "random_state"


def describe_environment() -> dict[str, Any]:
    """Return the versions of the libraries and the kind of machine."""
    installed = {dist.name for dist in metadata.distributions()}
    return {
        "versions": {name: metadata.version(name) for name in LIBRARIES if name in installed},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "n_cpus": os.cpu_count(),
    }


def read_description(path: Path) -> Description:
    """Return the description in a ``study.json``."""
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        merge(description, description, path)  # has all that a description must have
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}.") from error
    return description


def merge(old: Description, new: Description, path: Path) -> Description:
    """Return the description of two runs of one study, or raise a ValueError if they are two."""
    shared = [label for label in old["estimators"] if label in new["estimators"]]
    before, now = must_agree(old, shared), must_agree(new, shared)
    wrong = [
        f"{name} was {before.get(name, 'absent')} and is {now.get(name, 'absent')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if wrong:
        raise ValueError(f"{path} describes another study: {'; '.join(wrong)}.")
    environments = old["environments"]
    return {
        **new,
        "estimators": {**old["estimators"], **new["estimators"]},
        "sizes": sorted({*old["sizes"], *new["sizes"]}),
        "n_draws": max(old["n_draws"], new["n_draws"]),
        "environments": environments + [e for e in new["environments"] if e not in environments],
    }


def without_empty(description: Description, rows: Iterable[Cell]) -> Description:
    """Return a description without the estimators that have no rows: they bind nobody."""
    labels = {cell.estimator for cell in rows}
    estimators = {k: v for k, v in description["estimators"].items() if k in labels}
    return {**description, "estimators": estimators}


def must_agree(description: Description, labels: list[str]) -> dict[str, Any]:
    """Return what cannot change within a study, by names for a message."""
    flat = {"random_state": description["random_state"]}
    flat |= {f"data {name}": value for name, value in description["data"].items()}
    for label in labels:
        parameters = description["estimators"][label].items()
        flat |= {f"{name} of estimator {label!r}": value for name, value in parameters}
    return flat


def read_rows(path: Path, description: Description) -> dict[Cell, Row]:
    """Return the rows of a ``results.csv``, or raise a ValueError if it is damaged."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            header, *lines = csv.reader(stream, strict=True)
        if header != list(COLUMNS):
            raise ValueError(f"the columns must be {list(COLUMNS)}, got {header}.")
        return check_rows([parse_row(line) for line in lines], description)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged, and is left as it is: {error}") from error


def parse_row(line: list[str]) -> Row:
    """Return one row with its values in their types, exactly as they were written."""
    row: Row = {}
    for (name, dtype), text in zip(COLUMNS.items(), line, strict=True):
        row[name] = None if text == "" and name in MAY_LACK else PARSERS[dtype](text)
    return row


def check_rows(rows: list[Row], description: Description) -> dict[Cell, Row]:
    """Return rows by cell, or raise unless they are of the study that is described, each once."""
    cells = [Cell(row["estimator"], row["size"], row["draw"]) for row in rows]
    for line, (cell, row) in enumerate(zip(cells, rows, strict=True), start=2):
        seed = estimator_seed(description["random_state"], cell.size, cell.draw)
        if cell.estimator not in description["estimators"] or row["seed"] != seed:
            raise ValueError(f"line {line} is not of the study that study.json describes.")
    if len({*cells}) < len(cells):
        raise ValueError("there are fits twice.")
    return dict(zip(cells, rows, strict=True))
