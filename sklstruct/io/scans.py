"""Which image belongs to which row of a table, and what is wrong about it."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from glob import escape, glob
from itertools import chain, product
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any, NamedTuple

from .participants import SESSION, SUBJECT, Row, Rows, read_participants

IMAGE = "image"
WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}  # of glob, as regular expressions

Files = dict[str | None, list[Path]]  # images of one row, by session
Key = tuple[str, str | None]  # subject and session, as in the name of an image


class Problem(NamedTuple):
    """What is wrong about a subject or a file."""

    subject: str
    file: str
    problem: str


class Join(NamedTuple):
    """Rows of a table, the images that were found for each, and all that might belong to one."""

    rows: Rows
    files: dict[int, Files]
    every: Iterable[Path]
    sessions: Mapping[Key, Row] = MappingProxyType({})  # what is known of a session alone

    def cells(self, line: int, session: str | None) -> Row:
        """Return a row, with what is known of the session in place of what is of the subject."""
        row = self.rows[line]
        own = self.sessions.get((row[SUBJECT] or "", session), {})
        return own | row | {name: cell for name, cell in own.items() if cell is not None}


# Images by their names in a BIDS folder -----------------------------------------------------


def join_bids(rows: Rows, folder: Path, suffix: str, datatype: str, session: str | None) -> Join:
    """Find the images of participants, of one session or of all that their rows do not name."""
    labels = {SUBJECT: "sub", SESSION: "ses"}
    rows = {
        line: row | {name: prefixed(entity, row[name]) for name, entity in labels.items()}
        for line, row in rows.items()
    }
    images = bids_images(folder, suffix, datatype)
    if session is not None:
        wanted = prefixed("ses", session)
        rows = {line: row for line, row in rows.items() if row[SESSION] in (None, wanted)}
        images = {key: paths for key, paths in images.items() if key[1] == wanted}
        if not rows or not images:
            raise ValueError(f"session must be one of those in {folder}, got {session!r}.")
    files: dict[int, Files] = {line: {} for line in rows}
    for (line, row), ((subject, label), paths) in product(rows.items(), images.items()):
        if subject == row[SUBJECT] and row[SESSION] in (None, label):
            files[line][label] = paths
    return Join(rows, files, chain.from_iterable(images.values()))


def read_sessions(folder: Path) -> dict[Key, Row]:
    """Return the rows of all ``sub-XX/sub-XX_sessions.tsv`` of a BIDS folder.

    Raises
    ------
    ValueError
        If such a table is damaged, or a session has no row of its own.
    """
    sessions: dict[Key, Row] = {}
    for tsv in sorted(folder.glob("sub-*/sub-*_sessions.tsv")):
        for line, row in read_participants(tsv, None, SESSION).items():
            key = tsv.parent.name, prefixed("ses", row[SESSION])
            if key in sessions or key[1] is None or tsv.name != f"{key[0]}_sessions.tsv":
                raise ValueError(
                    f"{tsv}, line {line}: there must be one row for each {SESSION} of {key[0]}, "
                    f"got {row[SESSION]!r}."
                )
            sessions[key] = {name: row[name] for name in row if name not in (SUBJECT, SESSION)}
    return sessions


def bids_images(folder: Path, suffix: str, datatype: str) -> dict[Key, list[Path]]:
    """Return the images in a BIDS folder that have a suffix, no subject for misplaced ones."""
    name = re.compile(rf"(sub-[^_]+)(?:_(ses-[^_]+))?(?:_.+)?_{re.escape(suffix)}\.nii(?:\.gz)?")
    images: dict[Key, list[Path]] = defaultdict(list)
    for place in ("sub-*", "sub-*/ses-*"):
        for path in sorted(folder.glob(f"{place}/{datatype}/sub-*")):
            if found := name.fullmatch(path.name):
                # A file of one subject or session in the folder of another belongs to neither.
                subject, *between, _, _ = path.relative_to(folder).parts
                elsewhere = bool(between) and found[2] not in (None, *between)
                in_place = subject == found[1] and not elsewhere
                images[found[1] if in_place else "", found[2]].append(path)
    return images


def prefixed(entity: str, label: str | None) -> str | None:
    """Return a label such as ``sub-01``, for ``01`` too."""
    return label if label is None or label.startswith(f"{entity}-") else f"{entity}-{label}"


# Images by a column or by a pattern ---------------------------------------------------------


def join_listed(rows: Rows, root: Path, images: str) -> Join:
    """Find the images of rows by a column with paths, or by a pattern with columns in braces."""
    columns = next(iter(rows.values()))
    listed = images in columns
    every = [] if listed else matches(root, images, dict.fromkeys(columns, "*"), str, forms(rows))
    files: dict[int, Files] = {}
    for line, row in rows.items():
        if listed:
            paths = [root / cell] if (cell := row[images]) else []
        else:
            paths = matches(root, images, row) if row[SUBJECT] else []
        files[line] = {row[SESSION]: paths} if paths else {}
    if any((row[SUBJECT] or "").startswith("sub-") for row in rows.values()):
        # Then "sub-01" and "01" are one subject, who must not be on both sides of a split.
        rows = {line: row | {SUBJECT: prefixed("sub", row[SUBJECT])} for line, row in rows.items()}
    return Join(rows, files, every)


def forms(rows: Rows) -> dict[str, str]:
    """Return the regular expression of the cells of each column."""
    # Where no name has an underscore, sub-1_rec-norm is another image of sub-1, and no subject.
    cells: dict[str, str] = defaultdict(str)
    for row in rows.values():
        for column, cell in row.items():
            cells[column] += cell or ""
    ends = {
        column: "".join(mark for mark in "/_" if mark not in text) for column, text in cells.items()
    }
    return {column: f"([^{marks}]*)" if marks else "(.*)" for column, marks in ends.items()}


def matches(
    root: Path,
    pattern: str,
    row: Row,
    quote: Callable[[str], str] = escape,
    forms: Mapping[str, str] = MappingProxyType({}),
) -> list[Path]:
    """Return the files that a pattern stands for, with the cells of a row put in."""
    cells = {name: quote(cell or "") for name, cell in row.items()}
    try:
        filled = pattern.format_map(cells)
    except (LookupError, ValueError, AttributeError):
        filled = pattern
    if filled == pattern:
        raise ValueError(
            "images must be a column, a folder, or a pattern with columns in braces such as "
            f"'{{{SUBJECT}}}/anat/*_T1w.nii.gz', got {pattern!r}. Columns: {', '.join(row)}."
        )
    # A column that is named twice has one value: "*/*_T1w.nii" would find images of other kinds.
    known: dict[str | None, str] = {}
    form = ""
    for literal, column, *_ in Formatter().parse(pattern):
        tokens = re.findall(r"(\*\*/?|\[[^]]+\]|[*?])|(.)", literal, re.DOTALL)
        form += "".join(re.escape(one) or WILDCARDS.get(wild, "[^/]") for wild, one in tokens)
        if column is not None:
            form += known.get(column, forms.get(column, "(.*)"))
            known.setdefault(column, rf"\{len(known) + 1}")
    names = glob(filled, root_dir=root, recursive=True)
    return sorted(root / name for name in names if re.fullmatch(form, name, re.DOTALL))


# What is wrong ------------------------------------------------------------------------------


def sort_out(
    join: Join, tsv: Path, root: Path, target: str | None
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Return the scans that can be used, as rows with an image, and all that is wrong."""
    scans: list[dict[str, Any]] = []
    problems: list[Problem] = []
    lines: dict[Any, list[int]] = defaultdict(list)
    owners: dict[str, set[str]] = defaultdict(set)
    known: set[Path] = set()
    for line, row in join.rows.items():
        key = row[SUBJECT], row[SESSION]
        lines[key].append(line)
        for path in chain.from_iterable(join.files[line].values()):
            known.add(path)
            # By what they are, as links may have other names.
            owners[os.path.realpath(path)].add(" ".join(filter(None, key)))
    for line, row in join.rows.items():
        subject, files = row[SUBJECT] or "", join.files[line]
        flaws = row_flaws(row, lines[row[SUBJECT], row[SESSION]])
        cells = {session: join.cells(line, session) for session in files or [row[SESSION]]}
        unlabelled = {name for name in cells if target and cells[name].get(target) is None}
        if len(unlabelled) == len(cells):
            flaws.append(f"there is no {target}")
        if not files:
            flaws.append(f"there is no image{f' of {row[SESSION]}' if row[SESSION] else ''}")
        problems += [Problem(subject, f"{tsv}, line {line}", flaw) for flaw in flaws]
        for session, paths in files.items():
            if flaw := image_flaw(paths, root, owners):
                problems.append(Problem(subject, str(paths[0]), flaw))
            elif session in unlabelled and not flaws:
                problems.append(
                    Problem(subject, str(paths[0]), f"there is no {target} of {session}")
                )
            elif not flaws:
                scans.append({**cells[session], SESSION: session, IMAGE: str(paths[0])})
    strays = (str(path) for path in join.every if path not in known)
    problems += [Problem("", path, "there is no row for this image") for path in strays]
    return scans, list(dict.fromkeys(problems))


def row_flaws(row: Row, lines: list[int]) -> list[str]:
    """Return what is wrong about a row of the table, whatever its label is."""
    if row[SUBJECT] is None:
        return [f"there is no {SUBJECT}"]
    several = f"there are several rows of this participant, lines {in_words(lines)}"
    return [several] if len(lines) > 1 else []


def image_flaw(paths: list[Path], root: Path, owners: Mapping[str, set[str]]) -> str | None:
    """Return what is wrong about the images of one scan, which should be one, without reading."""
    path, real = paths[0], os.path.realpath(paths[0])
    if len(paths) > 1:
        return f"there are several images where one is wanted, {in_words(p.name for p in paths)}"
    if points_out(path, root):
        return f"the image lies outside of {root}, at {real}"
    if not path.is_file():
        return "the link leads to no file" if path.is_symlink() else "there is no such file"
    if len(owners[real]) > 1:
        return f"the image belongs to several rows, of {in_words(sorted(owners[real]))}"
    return None


def points_out(path: Path, root: Path) -> bool:
    """Whether the name of a file leads out of a folder."""
    # A row such as ../../other/scan.nii must not bring in what is not of the cohort.  A link in the
    # folder may: whoever owns the folder made it, as DataLad does for every scan.
    inner = path.relative_to(root).parts if path.is_relative_to(root) else ("..",)
    return ".." in inner and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def in_words(things: Iterable[Any]) -> str:
    """Return an enumeration such as "3, 4 and 7"."""
    *first, last = map(str, things)
    return f"{', '.join(first)} and {last}" if first else last
