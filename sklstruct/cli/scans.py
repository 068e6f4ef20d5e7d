"""The scans of a cohort: the options that say which ones, and how volumes come from them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import Add, aligned
from .specs import parse_value
from .ways import WrongUsage

if TYPE_CHECKING:
    from ..io.cohort import Cohort

SCALINGS = {"zscore": "zscore", "percentile": "percentile", "none": None}


# Which scans --------------------------------------------------------------------------------


def add_target(add: Add) -> None:
    """Add the option for the labels."""
    add("--target", required=True, metavar="COLUMN")


def add_scan_options(add: Add) -> None:
    """Add the options that say which images of a folder are meant."""
    add("--suffix", default="T1w", metavar="NAME")
    add("--datatype", default="anat", metavar="NAME")
    add("--session", metavar="LABEL")


def add_scans(add: Add) -> None:
    """Add the options that say which scans of a folder are taken."""
    add_scan_options(add)
    add("--leave-out-damaged", action="store_true", default=False)


def read_cohort(args: argparse.Namespace, target: str | None = None) -> Cohort:
    """Return the cohort of the arguments, read and without problems; see ``without_problems``."""
    return without_problems(open_cohort(args, args.cohort, target), args)


def without_problems(cohort: Cohort, args: argparse.Namespace) -> Cohort:
    """Read all scans and return the cohort without problems, or raise a ValueError.

    The problems are listed on standard error, whether their scans are left out or not.
    """
    need_site = getattr(args, "leave_site_out", False)
    cohort = cohort.check(leave_out=args.leave_out_damaged, need_site=need_site)
    if cohort.report.empty:
        return cohort
    print(listed(cohort), file=sys.stderr)  # standard output may be a table of predictions
    found = f"{args.cohort} has {problems(cohort)}"
    if not args.leave_out_damaged:
        raise ValueError(
            f"{found}, listed above; solve them, or leave these scans out with --leave-out-damaged"
        )
    print(f"sklstruct: {found}; these scans are left out", file=sys.stderr)
    return cohort


def open_cohort(args: argparse.Namespace, folder: str, target: str | None) -> Cohort:
    """Return the cohort of a folder, of which no image is read yet."""
    from ..io.cohort import Cohort
    from ..io.scans import bids_images

    if not Path(folder).is_dir():
        raise ValueError(f"{folder} must be a folder with scans and a participants.tsv.")
    if not Path(folder, "participants.tsv").exists():
        raise ValueError(
            f"{folder} has no participants.tsv, a table with a row for each subject; the column "
            "participant_id is enough where no labels are needed."
        )
    cohort = Cohort.from_bids(
        folder,
        target,
        suffix=args.suffix,
        datatype=args.datatype,
        session=args.session,
        site=getattr(args, "site", None) or "site",
    )
    # One error where names are of another kind, in place of a problem for every subject.
    if not bids_images(Path(folder), args.suffix, args.datatype):
        raise ValueError(
            f"{folder} has no image sub-*/[ses-*/]{args.datatype}/sub-*_{args.suffix}.nii[.gz]: "
            "--datatype and --suffix say where images lie and how their names end."
        )
    return cohort


def listed(cohort: Cohort) -> str:
    """Return the problems of a cohort as a table."""
    rows = cohort.report[["subject", "problem", "file"]].itertuples(index=False, name=None)
    return aligned([("SUBJECT", "PROBLEM", "FILE"), *rows])


def problems(cohort: Cohort) -> str:
    """Return "1 problem" or "2 problems"."""
    from ..io.cohort import counted

    return counted(len(cohort.report), "problem")


# What becomes of them -----------------------------------------------------------------------


def add_volume_options(add: Add) -> None:
    """Add the options that say how volumes come from scans."""
    add("--grid", metavar="FILE")
    add("--spacing", type=millimetres, metavar="MM")
    add("--smoothing", type=positive, metavar="MM")
    add("--mask", metavar="FILE")
    add("--crop", action="store_true", default=False)
    add("--scaling", choices=SCALINGS, default="zscore")
    add("--stream", action="store_true", default=False)
    add("--cache", metavar="DIR")


def check_volume_options(args: argparse.Namespace) -> None:
    """Raise WrongUsage if the options of volumes make no sense together."""
    if args.crop and args.mask is None:
        raise WrongUsage("argument --crop: needs --mask")


def volume_params(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of ``NiftiVolumes`` that the options stand for.

    Raises
    ------
    ValueError
        If a file is not there or no volume: known before all scans are read.
    """
    return {
        "grid": checked_file(args.grid, "grid", "same") or "first",
        "spacing": args.spacing,
        "smoothing_fwhm": args.smoothing,
        "mask": checked_file(args.mask, "mask", "brain"),
        "crop": args.crop,
        "scaling": SCALINGS[args.scaling],
        "stream": args.stream,
        "cache_dir": args.cache,
    }


def checked_file(value: str | None, option: str, name: str) -> str | None:
    """Return the value of an option if it is left out, a name or a volume, else raise an error."""
    if value is None or value == name:
        return value
    if not Path(value).is_file():
        raise ValueError(f"--{option} must be a file or the word {name}, got {value!r}.")
    from ..io.nifti import read_grid

    read_grid(value)
    return value


def millimetres(text: str) -> float | tuple[float, ...]:
    """Return one length, or one along each axis."""
    lengths = tuple(positive(part) for part in text.split(","))
    if len(lengths) not in (1, 3):
        raise argparse.ArgumentTypeError(f"{text!r} must be one length or three, such as 3,3,4")
    return lengths if len(lengths) == 3 else lengths[0]


def positive(text: str) -> float:
    """Return a positive number."""
    value = parse_value(text)
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive number of millimetres")
    return float(value)
