"""The table of a cohort, read so that nothing is guessed."""

import csv
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from ..plugins import close_matches

SUBJECT, SESSION = "participant_id", "session_id"
Row = dict[str, str | None]
Rows = dict[int, Row]

MAX_BYTES, MAX_LINES, MAX_COLUMNS = 2**26, 2**19, 2**14  # beyond those of any cohort
SEPARATORS = {"\t": "tabs", ",": "commas"}
MISSING = {"", "n/a", "N/A", "NA", "NaN", "nan"}


def read_participants(
    path: Path, target: str | None, key: str = SUBJECT, separator: str = "\t"
) -> Rows:
    """Return the rows of a ``participants.tsv``, or of another table.

    Parameters
    ----------
    path : Path
    target : str or None
        A column that must be there, beside the key.
    key : str, default="participant_id"
        The column that says what a row is about.
    separator : str, default=a tab
        What is between cells.

    Returns
    -------
    rows : dict from int to dict
        The cells of a row by column, under the number of its line: text, or None where a value
        is missing.  There always is a column session_id.

    Raises
    ------
    OSError
        If the file is not there or may not be read.
    ValueError
        If it is no such table; the message names file and line.
    """
    # pandas would guess types, take "NA" as it likes and not say on which line a row breaks.
    numbered = []
    # One line at a time: a lone quotation mark would swallow all rows up to the next one.
    for line, content in enumerate(re.split(r"\r\n?|\n", read_text(path)), 1):
        try:
            cells = next(csv.reader([content], delimiter=separator, strict=True), [])
        except csv.Error as error:
            hint = ", a quotation mark must have its partner on the line" * ('"' in content)
            raise ValueError(f"{path}, line {line}: {error}{hint}.") from error
        if cells:
            numbered.append((line, [cell.strip() for cell in cells]))
    if not numbered:
        raise ValueError(f"{path} is empty, but must be a table with a column {key!r}.")
    (first, header), *rest = numbered
    check_header(f"{path}, line {first}", header, target, key, separator)
    if not rest:
        raise ValueError(f"{path} has a header but no {key.removesuffix('_id')}s.")
    rows: Rows = {}
    for line, cells in rest:
        if len(cells) != len(header):
            raise ValueError(
                f"{path}, line {line}: there must be {len(header)} cells separated by "
                f"{SEPARATORS[separator]}, as "
                f"in the header, got {len(cells)}."
            )
        values = (None if cell in MISSING else cell for cell in cells)
        rows[line] = {SESSION: None, **dict(zip(header, values, strict=True))}
    return rows


def read_text(path: Path) -> str:
    """Return the text of a table, or raise a ValueError if it is none or larger than any."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} must be a file.")
    with open(path, "rb") as stream:
        stored = stream.read(MAX_BYTES + 1)  # not all at once, it may have no end
    n_lines, n_columns = stored.count(b"\n") + 1, stored.partition(b"\n")[0].count(b"\t") + 1
    if len(stored) > MAX_BYTES or n_lines > MAX_LINES or n_columns > MAX_COLUMNS:
        raise ValueError(
            f"{path} must be a table of at most {MAX_BYTES} bytes, {MAX_LINES} lines and "
            f"{MAX_COLUMNS} columns, got {len(stored)} bytes or more, {n_lines} lines and "
            f"{n_columns} columns."
        )
    try:
        text = stored.decode("utf-8-sig")  # spreadsheets put a mark in front
        place = stored.find(b"\0")  # as in UTF-16, or where the file is no text
    except UnicodeDecodeError as error:
        place = error.start
    if place >= 0:
        line = stored.count(b"\n", 0, place) + 1
        raise ValueError(
            f"{path}, line {line}: the text must be in UTF-8, got the byte 0x{stored[place]:02x}."
        )
    return text


def check_header(
    where: str, header: list[str], target: str | None, key: str, separator: str
) -> None:
    """Raise a ValueError unless there is a header with the columns that are needed."""
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise ValueError(f"{where}: every column must have a name of its own, got twice {twice}.")
    if key not in header:
        sign = next((sign for sign in ",;\t" if len(header) == 1 and sign in header[0]), None)
        between = SEPARATORS[separator]
        hint = f" Columns must be separated by {between}, not by {sign!r}." if sign else ""
        raise ValueError(f"{where}: there must be a column {key!r}, got {header}.{hint}")
    if target is not None and target not in header:
        raise ValueError(
            f"{where}: there is no column {target!r}.{close_matches(target, header)} "
            f"Columns: {', '.join(header)}."
        )


def typed(column: pd.Series) -> pd.Series:
    """Return a column of text as numbers if all its values are numbers."""
    # All or none: ages of which one reads "unknown" must not become numbers with a gap.
    values = column.dropna()
    if values.empty or pd.to_numeric(values, errors="coerce").isna().any():
        return column
    return pd.to_numeric(column)
