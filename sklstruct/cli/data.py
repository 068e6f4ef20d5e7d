"""The samples of a command, and how volumes come from them where they are scans."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import Add, WrongUsage, aligned, positive

if TYPE_CHECKING:
    from ..io import Cohort, Samples

SCALINGS = {"zscore": "zscore", "percentile": "percentile", "none": None}
WHICH = "target", "groups", "sites", "images", "suffix", "datatype", "session"
VOLUMES = "grid", "spacing", "smoothing", "mask", "crop", "scaling", "stream", "cache"


# Which samples -------------------------------------------------------------------------------


def add_data(add: Add, required: bool = True) -> None:
    """Add the options that say which samples are meant."""
    # All names everywhere: one option, whose value decides.
    names = "--data", "--dataset", "--cohort"
    add(*names, dest="data", required=required, metavar="DATA")
    add_which(add)
    add("--leave-out-damaged", action="store_true", default=None)


def add_which(add: Add) -> None:
    """Add the options that say which images of a cohort are meant."""
    add("--images", metavar="WHERE")
    add("--suffix", metavar="NAME")
    add("--datatype", metavar="NAME")
    add("--session", metavar="LABEL")


def read(
    args: argparse.Namespace,
    *,
    labels: bool = True,
    need_sites: bool = False,
    known: Callable[[Samples], None] = lambda samples: None,
) -> Samples:
    """Return the samples of the arguments, or raise an error that says what is wrong.

    The problems of scans are listed on standard error, whether these are left out or not; and
    ``known`` may raise for what is known before all scans are read, which may take an hour.
    """
    from ..io import UnsoundCohort, read_data

    which: dict[str, Any] = {name: getattr(args, name, None) for name in WHICH}
    validation = not getattr(args, "no_validation", None)
    samples = read_data(args.data, **which, labels=labels, validation=validation, check=False)
    if len(samples):
        known(samples)
    try:
        samples = samples.check(leave_out=bool(args.leave_out_damaged), need_sites=need_sites)
    except UnsoundCohort as error:
        print(listed(error.cohort), file=sys.stderr)
        raise ValueError(
            f"{args.data} has {problems(error.cohort)}, listed above; solve them, or leave these "
            "scans out with --leave-out-damaged"
        ) from error
    if samples.cohort is not None and len(samples.cohort.report):
        print(listed(samples.cohort), file=sys.stderr)  # standard output may be a table
        found = problems(samples.cohort)
        print(f"sklstruct: {args.data} has {found}; these scans are left out", file=sys.stderr)
    return samples


def listed(cohort: Cohort) -> str:
    """Return the problems of a cohort as a table."""
    rows = cohort.report[["subject", "problem", "file"]].itertuples(index=False, name=None)
    return aligned([("SUBJECT", "PROBLEM", "FILE"), *rows])


def problems(cohort: Cohort) -> str:
    """Return "1 problem" or "2 problems"."""
    from ..io.cohort import counted

    return counted(len(cohort.report), "problem")


def label_of(labels: Any, text: str | None, option: str) -> Any:
    """Return the label that a text means, or raise a ValueError if there is none."""
    if text is None:
        return None
    known = {str(label): label for label in sorted({*labels.ravel().tolist()})}
    if text not in known:
        raise ValueError(f"--{option} must be one of the classes {', '.join(known)}, got {text!r}.")
    return known[text]


# What becomes of scans -----------------------------------------------------------------------


def add_volumes(add: Add) -> None:
    """Add the options that say how volumes come from scans."""
    add("--grid", metavar="FILE")
    add("--spacing", type=millimetres, metavar="MM")
    add("--smoothing", type=positive, metavar="MM")
    add("--mask", metavar="FILE")
    add("--crop", action="store_true", default=None)
    add("--scaling", choices=SCALINGS)
    add("--stream", action="store_true", default=None)
    add("--cache", metavar="DIR")


def volume_params(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters of ``NiftiVolumes`` that the options stand for.

    Raises
    ------
    ValueError
        If a file is not there or no volume: known before all scans are read.
    """
    if args.crop and args.mask is None:
        raise WrongUsage("argument --crop: needs --mask")
    return {
        "grid": checked_file(args.grid, "grid", "same") or "first",
        "spacing": args.spacing,
        "smoothing_fwhm": args.smoothing,
        "mask": checked_file(args.mask, "mask", "brain"),
        "crop": bool(args.crop),
        "scaling": SCALINGS[args.scaling or "zscore"],
        "stream": bool(args.stream),
        "cache_dir": args.cache,
    }


def check_for_scans(args: argparse.Namespace, samples: Samples) -> None:
    """Raise WrongUsage if there are options for scans, and the samples are none."""
    for name in () if samples.scans else VOLUMES:
        if getattr(args, name) is not None:
            raise WrongUsage(f"argument --{name}: goes with scans, and {args.data} has none")


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
        raise ValueError(f"{text!r} must be one length or three, such as 3,3,4")
    return lengths if len(lengths) == 3 else lengths[0]
