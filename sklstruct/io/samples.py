"""Whatever a user has, as samples: a name, a file, a folder of images, or a cohort of scans."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from ..plugins import close_matches, entries
from .cohort import NAMES, Cohort, UnsoundCohort, counted, subjects_in_words, values_in
from .dataset import check_samples
from .image_folder import SUFFIXES, image_files, read_image_folder, read_images
from .loading import find_file, load_dataset
from .npz import as_dataset, read_parts
from .participants import SUBJECT
from .scans import IMAGE, bids_images

TABLES = {".csv", ".tsv"}
PICTURES = {*SUFFIXES, ".npy"}
OF_SCANS = {"suffix": "T1w", "datatype": "anat", "session": None}  # what a BIDS folder is asked for


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Samples with all that is known of them, made by ``read_data``.

    Parameters
    ----------
    source : str
        What they were read from.
    X : ndarray, shape (n_samples, *sample_shape), or of path, shape (n_samples,)
        Arrays, or paths of scans.
    y : ndarray, shape (n_samples,) or (n_samples, *spatial), or None
        Labels, values, or maps of them.
    groups : ndarray, shape (n_samples,), or None
        Subjects, or what else samples have in common.
    sites : ndarray, shape (n_samples,), or None
    X_test, y_test : ndarray or None
        Samples to test on, where the source has them apart.
    names : mapping from str to sequence
        What the samples are called, column by column; their numbers if empty.
    kind : str
        Which part of the source they are: "train", "test", or "" for all.
    cohort : Cohort or None
        The scans' own table, and what is wrong about them.

    See Also
    --------
    read_data : Makes them.

    Examples
    --------
    >>> from sklstruct.io import read_data
    >>> data = read_data("digits")
    >>> data
    Samples(1797 samples of digits, 8x8)
    >>> data.X.shape, data.groups is None
    ((1797, 8, 8), True)
    """

    source: str
    X: Any
    y: Any = None
    groups: Any = None
    sites: Any = None
    X_test: Any = None
    y_test: Any = None
    names: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    kind: str = ""
    cohort: Cohort | None = None

    def __post_init__(self) -> None:
        if not self.names:  # no list, as a file may hold very many
            object.__setattr__(self, "names", {"sample": range(len(self.X))})

    def __len__(self) -> int:
        return len(self.X)

    def __repr__(self) -> str:
        test = "" if self.X_test is None else f" and {len(self.X_test)} for testing"
        return f"Samples({self.words}{test})"

    @property
    def scans(self) -> bool:
        """Whether the samples are paths of scans."""
        return self.cohort is not None and self.X.ndim == 1

    @property
    def left_out(self) -> pd.DataFrame | None:
        """Scans that were left out, with the columns subject, file and problem."""
        return None if self.cohort is None else self.cohort.report

    @property
    def words(self) -> str:
        """How many there are of what, and of which shape."""
        if self.cohort is not None:
            thing = "scan" if self.scans else "image"
            subjects = subjects_in_words(self.names[SUBJECT], thing)
            return f"{counted(len(self), thing)} of {subjects} of {self.source}"
        thing, shape = f"{self.kind} sample".strip(), "x".join(map(str, self.X.shape[1:]))
        return f"{counted(len(self), thing)} of {self.source}, {shape}"

    def part(self, part: str | None = None) -> Self:
        """Return one part of the samples alone.

        Parameters
        ----------
        part : {"train", "test"}, default=None
            None is "test" where there are test samples, and all there are where not.

        Raises
        ------
        ValueError
            If there are no test samples, and they are asked for.
        """
        if part == "test" and self.X_test is None:
            raise ValueError(
                f"{self.source} has no test samples: leave the part out to take all it has."
            )
        if self.X_test is None:
            return self
        if part == "train":
            return replace(self, X_test=None, y_test=None, kind="train")
        return type(self)(self.source, self.X_test, self.y_test, kind="test")

    def check(self, *, leave_out: bool = False, need_sites: bool = False) -> Self:
        """Read all scans and return the samples without any that has a problem.

        Arrays have been checked when they were read, and are returned as they are.

        Parameters
        ----------
        leave_out : bool, default=False
            Whether to go on without scans that have problems; ``left_out`` lists them.
        need_sites : bool, default=False
            Whether a scan of unknown site has a problem.

        Raises
        ------
        UnsoundCohort
            A ValueError that lists all problems, if there are any that are not left out.
        """
        if self.cohort is None:
            return self
        cohort = self.cohort
        if self.scans:
            cohort = cohort.check(leave_out=leave_out, need_site=need_sites)
        if len(cohort.report) and not leave_out:
            raise UnsoundCohort(cohort)
        (kept,) = np.nonzero(np.isin(self.names[IMAGE], [*cohort.table[IMAGE]]))
        if not len(kept):
            raise ValueError(f"{self.source} has no image that can be used.")
        warn_of_sites(cohort)
        return replace(self.take(kept), cohort=cohort)

    def take(self, samples: Any) -> Self:
        """Return some of the samples, given by their numbers; test samples stay as they are."""
        chosen: dict[str, Any] = {
            name: None if values is None else values[samples]
            for name in ("X", "y", "groups", "sites")
            for values in [getattr(self, name)]
        }
        names = {name: [column[one] for one in samples] for name, column in self.names.items()}
        return replace(self, **chosen, names=names)


def read_data(
    source: str | os.PathLike[str],
    target: str | None = None,
    *,
    groups: str | None = None,
    sites: str | None = None,
    images: str | None = None,
    labels: bool = True,
    validation: bool = True,
    suffix: str | None = None,
    datatype: str | None = None,
    session: str | None = None,
    check: bool = True,
    leave_out: bool = False,
) -> Samples:
    """Return the samples that a name, a file or a folder stands for.

    Parameters
    ----------
    source : str or path-like
        A registered name, such as those of ``sklstruct.datasets``, or that of a file in the data
        folder (see ``load_dataset``); an ``.npz`` file (see ``read_npz``); a folder with one
        subfolder of images a class (see ``read_image_folder``); a BIDS folder with a
        ``participants.tsv``; or a table of participants, ``.tsv`` or ``.csv``, with ``images``.
        Without labels, any folder of images, or one image.
    target : str, default=None
        Column of a table, or key of an ``.npz`` file, with the labels.  A cohort needs it.
    groups : str, default=None
        Column or key that says what samples belong together.  If None, participant_id of a
        cohort, the key groups of a file, and what a data set has.
    sites : str, default=None
        Column or key with the sites; if None, the one called so ("site" of a cohort) if there
        is one.
    images : str, default=None
        Where the images of a table are: a column with paths, a folder, or a pattern with columns
        in braces, such as ``"scans/{participant_id}/*.nii.gz"`` (see ``Cohort.from_tsv``).
    labels : bool, default=True
        Whether there must be labels.
    validation : bool, default=True
        Whether the validation part of a file of MedMNIST joins its training part.
    suffix, datatype, session : str, default=None
        Which images of a BIDS folder are meant (see ``Cohort.from_bids``): T1w in anat, of all
        sessions, if None.
    check : bool, default=True
        Whether to read all scans of a cohort now, as ``Samples.check`` does; their names, labels
        and subjects are known without.
    leave_out : bool, default=False
        Whether to go on without scans that have problems.

    Returns
    -------
    data : Samples

    Raises
    ------
    OSError
        If there is nothing at a path, or it may not be read.
    ValueError
        If a name is unknown, with the close matches; if something is asked for that the source
        does not have; or if the data cannot be used.
    UnsoundCohort
        A ValueError that lists all problems, if scans have any and they are not left out.

    See Also
    --------
    load_dataset, Cohort : Arrays with labels alone, and scans.

    Examples
    --------
    >>> from sklstruct.datasets import simulate_cohort
    >>> from sklstruct.io import read_data
    >>> cohort = simulate_cohort("brains", n_subjects=4, shape=(8, 10, 9), spacing=20.0)
    >>> data = read_data("brains", "diagnosis")
    >>> data
    Samples(4 scans of 4 subjects of brains)
    >>> data.y.tolist(), data.sites.tolist()
    (['control', 'patient', 'control', 'patient'], ['site1', 'site1', 'site2', 'site2'])
    >>> read_data("digits", groups="writer")
    Traceback (most recent call last):
        ...
    ValueError: digits has no columns or keys to choose from, got groups='writer'.
    """
    source, place = str(source), place_of(source)
    asked: dict[str, Any] = {"target": target, "groups": groups, "sites": sites}
    bids = {"suffix": suffix, "datatype": datatype, "session": session}
    if place is not None and (place.suffix.lower() in TABLES or is_cohort(place)):
        cohort = open_cohort(place, images, target, sites, bids)
        data = of_cohort(source, cohort, labels, groups)
        return data.check(leave_out=leave_out) if check else data
    refuse(f"{source} is no cohort of scans", {"images": images, **bids})
    if place is not None and place.suffix.lower() == ".npz":
        return of_npz(
            source, place, labels, read_parts(place, labels=labels, validation=validation, **asked)
        )
    if place is not None and place.exists():
        refuse(f"{source} is no cohort with a participants.tsv, and no .npz file", asked)
        return of_images(source, place, labels)
    if place is None:
        refuse(f"{source} has no columns or keys to choose from", asked)
    known = load_dataset(source)
    fields = "X", "y", "groups", "X_test", "y_test"
    return Samples(source, **{name: getattr(known, name) for name in fields})


def place_of(source: str | os.PathLike[str]) -> Path | None:
    """Return where samples lie, None for a data set that is known by its name."""
    path = Path(source).expanduser()
    if path.name != str(source) or path.suffix:
        return path
    return None if str(source) in entries("dataset") else find_file(str(source), None) or path


def refuse(because: str, asked: Mapping[str, str | None]) -> None:
    """Raise a ValueError for the first thing that is asked for."""
    for name, value in asked.items():
        if value is not None:
            raise ValueError(f"{because}, got {name}={value!r}.")


def of_npz(source: str, place: Path, labels: bool, parts: dict[str, Any]) -> Samples:
    """Return the samples of a file of arrays, which are checked."""
    if not labels:
        check_samples(f"{place}: X", parts["X"])
        return Samples(source, **parts)
    sites = parts.pop("sites", None)
    data = as_dataset(place, place.stem, parts)
    if sites is not None and sites.shape != data.y.shape[:1]:
        raise ValueError(
            f"{place}: sites must have shape ({len(data.X)},), one a sample of X, got "
            f"{sites.shape}."
        )
    return Samples(source, **{name: getattr(data, name) for name in parts}, sites=sites)


def of_images(source: str, place: Path, labels: bool) -> Samples:
    """Return the images of a file, of a folder, or of a folder with a subfolder a class."""
    files = image_files(place)
    names = {"sample": [str(f.relative_to(place)) if f != place else f.name for f in files]}
    if not labels:
        return Samples(source, read_images(files), names=names)
    data = read_image_folder(place)
    return Samples(source, data.X, data.y, names=names)


# Cohorts -------------------------------------------------------------------------------------


def is_cohort(place: Path) -> bool:
    """Whether a folder is one of BIDS; raise a ValueError if that lacks its table."""
    if not place.is_dir():
        return False
    there = (place / "participants.tsv").exists()
    if not there and any(entry.is_dir() for entry in place.glob("sub-*")):
        raise ValueError(
            f"{place} has no participants.tsv, a table with a row for each subject; the column "
            "participant_id is enough where no labels are needed."
        )
    return there


def open_cohort(
    place: Path,
    images: str | None,
    target: str | None,
    sites: str | None,
    bids: Mapping[str, str | None],
) -> Cohort:
    """Return the cohort of a folder or of a table, of which no image is read yet."""
    folder, table = place, None
    if place.is_dir():
        refuse(
            f"{place} is a BIDS folder, whose images have names of their own", {"images": images}
        )
    else:
        if images is None:
            raise ValueError(
                f"{place} is a table: images must say where the images are, by a column with "
                "paths, a folder, or a pattern such as 'scans/{participant_id}.nii.gz'."
            )
        folder, table = Path(images).expanduser(), place
        if not any(folder.glob("sub-*/")):
            refuse(f"{images} is no BIDS folder", bids)
            return Cohort.from_tsv(place, images, target, site=sites or "site")
    which: dict[str, Any] = {name: bids[name] or default for name, default in OF_SCANS.items()}
    cohort = Cohort.from_bids(folder, target, **which, site=sites or "site", participants_tsv=table)
    # One error where names are of another kind, in place of a problem for every subject.
    if not bids_images(folder, which["suffix"], which["datatype"]):
        raise ValueError(
            f"{folder} has no image sub-*/[ses-*/]{which['datatype']}/sub-*_{which['suffix']}"
            ".nii[.gz]: datatype and suffix say where images lie and how their names end."
        )
    return cohort


def of_cohort(source: str, cohort: Cohort, labels: bool, groups: str | None) -> Samples:
    """Return the samples of a cohort, with the columns that are asked for."""
    table = cohort.table
    if labels and cohort.target is None:
        raise ValueError(
            f"{source} needs a target, the column with the labels. {columns_of(table)}"
        )
    asked = {"groups": groups, "sites": None if cohort.site == "site" else cohort.site}
    for name, column in asked.items():
        if column is not None and column not in table:
            raise ValueError(
                f"{source} has no column {column!r} for the {name}."
                f"{close_matches(column, table.columns)} {columns_of(table)}"
            )
    X = np.array([*table[IMAGE], None], dtype=object)[:-1]
    pictures = [Path(path) for path in X.tolist()]
    if pictures and all(path.suffix.lower() in PICTURES for path in pictures):
        X = read_images(pictures)
    return Samples(
        source,
        X,
        values_in(table, cohort.target),
        values_in(table, groups or SUBJECT),
        values_in(table, cohort.site),
        # As in the table of the cohort, so that both can be joined.
        names={name: table[name].tolist() for name in NAMES if name in table},
        cohort=cohort,
    )


def warn_of_sites(cohort: Cohort) -> None:
    """Warn if sites tell labels apart, so that a model of sites would look like one of labels."""
    table, target = cohort.table, cohort.target
    if target is None or cohort.site not in table or cohort.site == target:
        return
    labels = table.groupby(cohort.site)[target].nunique()
    if len(labels) > 1 and (labels == 1).all():
        warnings.warn(
            f"Every {cohort.site} has subjects of one {target} only: whatever tells the sites "
            "apart, as a scanner does, tells the labels apart.",
            stacklevel=3,
        )


def columns_of(table: pd.DataFrame) -> str:
    """Return the columns that a table has, as the end of a message."""
    return f"Columns: {', '.join(map(str, table.columns.drop(IMAGE)))}."
