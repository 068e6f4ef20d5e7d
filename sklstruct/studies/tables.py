"""Tables of a study as CSV: written whole or not at all, and read exactly as they were."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ..io.atomic import atomic_write

Row = dict[str, Any]

TYPES: dict[str, type] = {"str": str, "int64": int, "Int64": int, "float64": float, "bool": bool}
TRUTH = {"True": True, "False": False}


@dataclass(frozen=True)
class Table:
    """A CSV file of a study.

    Parameters
    ----------
    file : str
        Its name.
    columns : dict
        Types by name.
    may_lack : frozenset of str
        Columns that may have no value.
    """

    file: str
    columns: Mapping[str, str]
    may_lack: frozenset[str] = frozenset()

    def frame(self, rows: Iterable[Row]) -> pd.DataFrame:
        """Return rows as a DataFrame."""
        return pd.DataFrame(list(rows), columns=list(self.columns)).astype(dict(self.columns))

    def text(self, rows: Iterable[Mapping[Any, Any]]) -> str:
        """Return rows as lines of CSV, with numbers that are read exactly as they were."""
        lines = ([self._plain(name, row[name]) for name in self.columns] for row in rows)
        return as_csv(lines)

    def write(self, folder: Path, texts: Iterable[str]) -> None:
        """Write the whole file, which consists of the texts of some rows."""
        with atomic_write(folder / self.file) as stream:
            stream.write(as_csv([self.columns]))
            stream.writelines(texts)

    def read(self, folder: Path, take: Callable[[Row], None]) -> None:
        """Give one row after the other to a function, which raises a ValueError if it is wrong.

        Raises
        ------
        ValueError
            If the file is damaged; the message names it and the line.
        """
        path = folder / self.file
        lines = None
        try:
            with open(path, encoding="utf-8", newline="") as stream:
                text = stream.read()
            lines = csv.reader(io.StringIO(text, newline=""), strict=True)
            self._check_header(next(lines, []))
            for line in lines:
                take(self._parsed(line))
            if not text.endswith("\n"):
                raise ValueError("it must end with the end of the line")
        except (ValueError, csv.Error) as error:
            place = "" if lines is None else f"line {lines.line_num}: "
            raise ValueError(f"{path} is damaged, and is left as it is: {place}{error}.") from error

    def _check_header(self, header: list[str]) -> None:
        if header != list(self.columns):
            raise ValueError(f"the columns must be {list(self.columns)}, got {header}")

    def _parsed(self, line: list[str]) -> Row:
        """Return one row with its values in their types."""
        if len(line) != len(self.columns):
            raise ValueError(f"there must be {len(self.columns)} values, got {len(line)}")
        return {
            name: self._value(name, text) for name, text in zip(self.columns, line, strict=True)
        }

    def _plain(self, name: str, value: Any) -> Any:
        """Return a value as CSV takes it."""
        return "" if pd.isna(value) else TYPES[self.columns[name]](value)

    def _value(self, name: str, text: str) -> Any:
        """Return the value that a text stands for."""
        kind = self.columns[name]
        if text == "" and name in self.may_lack:
            return None
        try:
            return TRUTH[text] if kind == "bool" else TYPES[kind](text)
        except (ValueError, KeyError):
            raise ValueError(f"{name} must be {kind}, got {text!r}") from None


def as_csv(lines: Iterable[Iterable[Any]]) -> str:
    """Return lines of CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()
