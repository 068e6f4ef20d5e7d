"""Cohorts: subjects with an image and a label each, and what is wrong about the others."""

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .leakage import Look, look_at
from .nifti.grid import Grid, coverage
from .nifti.lazy import MOST
from .participants import SESSION, SUBJECT, Rows, read_participants, typed
from .scans import IMAGE, Join, Problem, in_words, join_bids, join_listed, read_sessions, sort_out

NAMES = SUBJECT, SESSION, IMAGE
OF_PARTICIPANT = f"{{{SUBJECT}}}[._]*"  # a pattern of images, where there is a folder of them
SHOWN = 20  # problems in a message
MANY = 6  # values of a label that are counted one by one


@dataclass(frozen=True, eq=False, repr=False)
class Cohort:
    """Scans with labels and subjects, made by ``Cohort.from_bids`` or ``Cohort.from_tsv``.

    A cohort in which something is wrong gives its table and its report, but no samples until
    the problems are solved or left out with ``check(leave_out=True)``.

    Parameters
    ----------
    name : str
        The folder or the table that it comes from.
    table : DataFrame
        One row for each scan that can be used, with the columns participant_id, session_id (if
        there are sessions), image (the path), and those of the table.
    report : DataFrame
        All problems, with the columns subject, file and problem.
    target : str or None
        Column with the labels.
    site : str
        Column with the sites, if the table has it.
    left_out : bool
        Whether to go on without the scans that have problems.
    notes : DataFrame or None
        What ``check`` found that stops nothing, with the columns subject, file and note.

    See Also
    --------
    simulate_cohort : Scans to try things on.
    check_leakage : Whether two cohorts have the same images.

    Examples
    --------
    >>> from sklstruct.datasets import simulate_cohort
    >>> from sklstruct.io import Cohort
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> cohort = Cohort.from_bids("study", target="diagnosis").check()
    >>> cohort
    Cohort('study', 8 scans of 8 subjects; diagnosis: control (4), patient (4); 2 sites)
    >>> cohort.table.columns.tolist()
    ['participant_id', 'image', 'age', 'site', 'diagnosis']
    """

    name: str
    table: pd.DataFrame
    report: pd.DataFrame
    target: str | None = None
    site: str = "site"
    left_out: bool = False
    notes: pd.DataFrame | None = None

    @classmethod
    def from_bids(
        cls,
        folder: str | os.PathLike[str],
        target: str | None = None,
        *,
        suffix: str = "T1w",
        datatype: str = "anat",
        session: str | None = None,
        site: str = "site",
        participants_tsv: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Return the cohort of a BIDS folder.

        Images are ``sub-XX/[ses-YY/]anat/sub-XX[_ses-YY][_...]_T1w.nii[.gz]``; rows of
        ``participants.tsv`` belong to a subject, or to a session if there is a column
        session_id.  What tables ``sub-XX/sub-XX_sessions.tsv`` say of a session comes first.

        Parameters
        ----------
        folder : path-like
        target : str, default=None
            Column of ``participants.tsv``, or of the tables of sessions, with the labels.
        suffix : str, default="T1w"
            How the names of the images end; "run-1_T1w" takes first runs only.
        datatype : str, default="anat"
            The folder of the images of a subject or session.
        session : str, default=None
            The session to take; all of them if None, as several scans of a subject.
        site : str, default="site"
            Column with the sites, which need not be there.
        participants_tsv : path-like, default=None
            A table in place of the ``participants.tsv`` of the folder, perhaps a ``.csv``.

        Returns
        -------
        cohort : Cohort

        Raises
        ------
        OSError
            If there is no such folder, or no ``participants.tsv`` in it.
        ValueError
            If the table is damaged or a column is missing; the message names file and line.
        """
        folder = Path(folder).expanduser()
        tsv = Path(participants_tsv or folder / "participants.tsv").expanduser()
        sessions = read_sessions(folder)
        by_session = any(target in cells for cells in sessions.values())
        rows = read_table(tsv, None if by_session else target)
        join = join_bids(rows, folder, suffix, datatype, session)._replace(sessions=sessions)
        return cls._joined(folder.resolve().name, join, tsv, folder, target, site)

    @classmethod
    def from_tsv(
        cls,
        participants_tsv: str | os.PathLike[str],
        images: str,
        target: str | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        site: str = "site",
    ) -> Self:
        """Return the cohort of a table and of images anywhere in a folder.

        Parameters
        ----------
        participants_tsv : path-like
            Table with tabs between its cells, or commas in a ``.csv`` file, and a column
            participant_id; repeated scans of a subject are told apart by a column session_id.
        images : str
            A column with paths, or a pattern with columns in braces and wildcards, such as
            ``"{participant_id}/anat/*_T1w.nii.gz"``; relative to ``root``.  Or a folder, in which
            the names of images begin with the participant, as ``ID.nii.gz`` or ``ID_T1w.nii.gz``.
        target : str, default=None
            Column with the labels.
        root : path-like, default=None
            The folder in which all images, or links to them, must lie; that of the table if None.
        site : str, default="site"
            Column with the sites, which need not be there.

        Returns
        -------
        cohort : Cohort

        Raises
        ------
        OSError
            If the table is not there or may not be read.
        ValueError
            If the table is damaged or a column is missing; the message names file and line.
        """
        tsv = Path(participants_tsv).expanduser()
        folder = tsv.parent if root is None else Path(root).expanduser()
        rows = read_table(tsv, target)
        if images not in next(iter(rows.values())) and Path(images).expanduser().is_dir():
            folder, images = Path(images).expanduser(), OF_PARTICIPANT
        join = join_listed(rows, folder, images)
        return cls._joined(tsv.name, join, tsv, folder, target, site)

    @classmethod
    def _joined(
        cls, name: str, join: Join, tsv: Path, root: Path, target: str | None, site: str
    ) -> Self:
        """Return the cohort of rows and images that belong together."""
        scans, problems = sort_out(join, tsv, root, target)
        every = *join.rows.values(), *join.sessions.values()
        columns = dict.fromkeys([*NAMES, *chain.from_iterable(every)])
        table = pd.DataFrame(scans, columns=list(columns), dtype=object)
        if table[SESSION].isna().all():
            table = table.drop(columns=SESSION)
        # Names stay text: a subject called 007 is not 7.
        table = table.apply(lambda values: values if values.name in NAMES else typed(values))
        return cls(name, table, as_report(problems), target, site)

    # What there is ------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        parts = [f"{counted(len(self), 'scan')} of {subjects_in_words(self.table[SUBJECT])}"]
        if self.target is not None:
            parts.append(f"{self.target}: {in_short(values_in(self.table, self.target))}")
        if self.site in self.table:
            parts.append(counted(self.table[self.site].nunique(), "site"))
        head = f"Cohort({self.name!r}, {'; '.join(parts)})"
        return "\n".join([head, *self._listed(), *in_lines(self.notes, "note", "notes")])

    @property
    def X(self) -> NDArray[np.object_]:
        """Paths of the images, (n_scans,)."""
        return np.array(self._sound()[IMAGE], dtype=object)

    @property
    def y(self) -> NDArray[Any] | None:
        """Labels, (n_scans,), or None without a target."""
        return values_in(self._sound(), self.target)

    @property
    def groups(self) -> NDArray[Any]:
        """Subjects, (n_scans,)."""
        return values_in(self._sound(), SUBJECT)

    @property
    def sites(self) -> NDArray[Any] | None:
        """Sites, (n_scans,), or None if the table has no such column."""
        return values_in(self._sound(), self.site)

    def take(self, scans: ArrayLike) -> Self:
        """Return the cohort of some scans, given by their numbers or by a mask."""
        return replace(self, table=self.table.iloc[np.asarray(scans)].reset_index(drop=True))

    # What is wrong ------------------------------------------------------------------------

    def check(self, leave_out: bool = False, *, need_site: bool = False) -> Self:
        """Read all images and return the cohort with a report of everything that is wrong.

        Damaged images are found, and images with the same voxels under different names: which
        of them is the right one cannot be known, so that all of them are problems.  Noted is how
        many voxels are not finite, and whether a scan covers less than three quarters of the field
        of view of the first one.

        Parameters
        ----------
        leave_out : bool, default=False
            Whether to go on without the scans that have problems; the report lists them still.
        need_site : bool, default=False
            Whether scans of unknown site have a problem, as where whole sites are left out.

        Returns
        -------
        cohort : Cohort

        Raises
        ------
        ValueError
            If sites are needed, and the table has no such column.
        """
        if need_site and self.site not in self.table:
            raise ValueError(f"The cohort {self.name!r} has no column {self.site!r} with sites.")
        flaws: dict[str, str] = {}
        same: dict[str, list[str]] = defaultdict(list)
        noted: list[Problem] = []
        first: Grid | None = None
        for subject, path in self.table[[SUBJECT, IMAGE]].to_numpy().tolist():
            try:
                look = look_at(path)
                same[look.digest].append(path)
                first = first or look.grid
                noted += [Problem(subject, path, note) for note in notes_on(look, first)]
            except (OSError, ValueError) as error:  # one line, without the path that stands beside
                flaws[path] = " ".join(str(error).removeprefix(f"{path} ").split())
        for twins in same.values():
            for path in twins if len(twins) > 1 else ():
                others = in_words(other for other in twins if other != path)
                flaws[path] = f"the voxels are those of {others}"
        if need_site:
            unknown = self.table.loc[self.table[self.site].isna(), IMAGE]
            flaws |= dict.fromkeys(unknown.tolist(), f"there is no {self.site}") | flaws
        subjects = self.table.set_index(IMAGE)[SUBJECT]
        found = as_report([Problem(subjects[path], path, flaw) for path, flaw in flaws.items()])
        notes = as_report(noted).rename(columns={"problem": "note"})
        table = self.table[~self.table[IMAGE].isin(flaws)].reset_index(drop=True)
        report = pd.concat([self.report, found], ignore_index=True)
        return replace(self, table=table, report=report, left_out=leave_out, notes=notes)

    def _sound(self) -> pd.DataFrame:
        """Return the table, or raise a ValueError if there are problems that are not left out."""
        # Silence about a missing scan would change what a study says, and nobody would know.
        if len(self.report) and not self.left_out:
            raise UnsoundCohort(self)
        if self.table.empty:
            raise ValueError(f"The cohort {self.name!r} has no scan that can be used.")
        return self.table

    def _listed(self) -> list[str]:
        """Return the problems as lines of text."""
        return in_lines(self.report, "problem", "report", ", left out" if self.left_out else "")


def read_table(path: Path, target: str | None) -> Rows:
    """Return the rows of a table with tabs, or commas if its name says so."""
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    return read_participants(path, target, separator=separator)


class UnsoundCohort(ValueError):
    """There are problems that are neither solved nor left out; ``cohort`` lists them.

    Parameters
    ----------
    cohort : Cohort

    See Also
    --------
    Cohort : Its ``check`` leaves out what it is told to.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklstruct.datasets import simulate_cohort
    >>> from sklstruct.io import Cohort, UnsoundCohort
    >>> Path(simulate_cohort("study", n_subjects=8, random_state=0).X[0]).unlink()
    >>> try:
    ...     Cohort.from_bids("study", target="diagnosis").X
    ... except UnsoundCohort as error:
    ...     print(error.cohort.report["problem"].tolist())
    ['there is no image']
    """

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        super().__init__(
            f"The cohort {cohort.name!r} must be without problems; solve them, or leave them out "
            "with check(leave_out=True).\n" + "\n".join(cohort._listed())
        )


def values_in(table: pd.DataFrame, column: str | None) -> Any:
    """Return a column as a plain array, or None if the table has no such column."""
    # By way of a list NumPy finds the type; pandas would give objects, or a type of its own.
    return np.array(table[column].tolist()) if column in table else None


def notes_on(look: Look, first: Grid) -> list[str]:
    """Return what is unusual about a scan, though it may be what its owner wants."""
    share = coverage(look.grid, first)
    unknown = [f"{look.unknown:.2%} of its voxels are NaN or infinite"] if look.unknown else []
    beside = [f"it covers {share:.0%} of the grid of the first scan"] if share < MOST else []
    return unknown + beside


def in_lines(table: pd.DataFrame | None, thing: str, place: str, more: str = "") -> list[str]:
    """Return a table of what was found as lines of text, none where there is nothing."""
    if table is None or table.empty:
        return []
    rows = table.head(SHOWN).astype(str).to_numpy()
    lines = [f"  {f'{subject} {file}'.strip()}: {words}" for subject, file, words in rows]
    rest = len(table) - SHOWN
    last = [f"  and {rest} more, see {place}"] if rest > 0 else []
    return [f"{counted(len(table), thing)}{more}:", *lines, *last]


def as_report(problems: list[Problem]) -> pd.DataFrame:
    """Return problems as a table."""
    return pd.DataFrame(problems, columns=pd.Index(Problem._fields), dtype=object)


def counted(number: int, thing: str) -> str:
    """Return "1 problem" or "2 problems"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def subjects_in_words(subjects: ArrayLike, thing: str = "scan") -> str:
    """Return how many subjects there are, and how many samples each has if these are not alike."""
    names, counts = np.unique(np.asarray(subjects, str), return_counts=True)
    said = counted(len(names), "subject")
    if len({*counts.tolist()}) < 2:
        return said
    return f"{said} ({counts.min()} to {counted(int(counts.max()), thing)} each)"


def in_short(values: NDArray[Any]) -> str:
    """Return how often there is each label, or the range of many numbers."""
    labels, counts = np.unique(values, return_counts=True)
    if len(labels) > MANY and labels.dtype.kind in "iuf":
        return f"{labels[0]:g} to {labels[-1]:g}"
    shown = [f"{label} ({count})" for label, count in zip(labels, counts, strict=True)]
    more = [f"{len(labels) - MANY} more"] if len(labels) > MANY else []
    return ", ".join(shown[:MANY] + more)
