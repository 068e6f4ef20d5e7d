"""Tables of a study as CSV: written whole or not at all, and read exactly as they were."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd

from ..io.atomic import atomic_write
from ..io.reading import open_file

Row = dict[str, Any]

MOST_BYTES, MOST_IN_LINE = 2**30, 2**20  # beyond those of any study

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
        # repr of a float is the shortest text that is read as the same number.
        lines = (
            [
                "" if pd.isna(row[name]) else TYPES[kind](row[name])
                for name, kind in self.columns.items()
            ]
            for row in rows
        )
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
        lines = None  # not pandas: it would not say on which line a file is wrong
        try:
            with open_file(path) as stream:
                lines = csv.reader(read_lines(stream), strict=True)
                if (header := next(lines, [])) != list(self.columns):
                    raise ValueError(f"the columns must be {list(self.columns)}, got {header}")
                for line in lines:
                    if len(line) != len(self.columns):
                        expected = len(self.columns)
                        raise ValueError(f"there must be {expected} values, got {len(line)}")
                    values = zip(self.columns, line, strict=True)
                    take({name: self._value(name, text) for name, text in values})
        except (ValueError, csv.Error) as error:
            place = "" if lines is None else f"line {lines.line_num}: "
            raise ValueError(f"{path} is damaged, and is left as it is: {place}{error}.") from error

    def _value(self, name: str, text: str) -> Any:
        """Return the value that a text stands for."""
        kind = self.columns[name]
        if text == "" and name in self.may_lack:
            return None
        try:
            return TRUTH[text] if kind == "bool" else TYPES[kind](text)
        except (ValueError, KeyError):
            raise ValueError(f"{name} must be {kind}, got {text!r}") from None


def read_lines(stream: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a table, one at a time, or raise a ValueError where one is too long."""
    if (size := os.fstat(stream.fileno()).st_size) > MOST_BYTES:
        raise ValueError(f"a table must have at most {MOST_BYTES} bytes, got {size}")
    line = b"\n"
    while following := stream.readline(MOST_IN_LINE + 1):
        if len(line := following) > MOST_IN_LINE:
            raise ValueError(f"a line must have at most {MOST_IN_LINE} bytes, got more")
        yield line.decode("utf-8")
    # The last line of a file that was cut off may look whole.
    if not line.endswith(b"\n"):
        raise ValueError("it must end with the end of the line")


def as_csv(lines: Iterable[Iterable[Any]]) -> str:
    """Return lines of CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()
