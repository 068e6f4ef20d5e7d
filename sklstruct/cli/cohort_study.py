"""``sklstruct study --cohort``: estimators compared on a cohort of scans."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import at_least
from .scans import (
    add_scans,
    add_target,
    add_volume_options,
    check_volume_options,
    open_cohort,
    volume_params,
    without_problems,
)
from .specs import make_classifiers
from .ways import Ways, WrongUsage

if TYPE_CHECKING:
    from ..io.cohort import Cohort
    from ..studies.cohort_study import CohortResults

REPEATS = 20
TABLES = "summary.csv", "comparisons.csv", "fits.csv", "predictions.csv"


def add_cohort(ways: Ways) -> None:
    """Add the options of a study on a cohort."""
    way = ways.add("--cohort", run=run, check=check, metavar="FOLDER")
    add_target(way.add)
    way.add("--repeats", type=at_least(1), metavar="N")
    way.add("--leave-site-out", action="store_true", default=False)
    way.add("--site", metavar="COLUMN")
    way.add("--positive", metavar="LABEL")
    way.add("--baseline", metavar="LABEL")
    add_scans(way.add)
    add_volume_options(way.add)


def check(args: argparse.Namespace) -> None:
    """Raise WrongUsage if options make no sense together."""
    check_volume_options(args)
    if args.leave_site_out and args.test_size is not None:
        raise WrongUsage("argument --test-size: not allowed with --leave-site-out")
    if args.site is not None and not args.leave_site_out:
        raise WrongUsage("argument --site: needs --leave-site-out")
    labels = [spec.label for spec in args.estimators]
    if args.baseline is not None and args.baseline not in labels:
        raise WrongUsage(
            f"argument --baseline: must be one of {', '.join(labels)}, got {args.baseline!r}"
        )


def run(args: argparse.Namespace) -> None:
    """Run the study, or what is missing of it, and report."""
    estimators = make_classifiers(args.estimators, dict(args.set))
    volumes = volume_params(args)
    from ..estimators.volumes import on_paths
    from ..io.nifti import read_grid
    from ..studies.cohort_study import cohort_study

    cohort: Any = open_cohort(args, args.cohort, args.target)
    # A wrong column is known from the table; reading all scans may take an hour.
    check_columns(cohort, args)
    cohort = without_problems(cohort, args)
    warn_of_sites(cohort, args.target)
    sites = cohort.sites if args.leave_site_out else None
    if volumes["grid"] == "first":  # of the cohort, so that all splits have the same volumes
        grid = read_grid(cohort.X[0])
        if volumes["spacing"] is not None:
            grid = grid.with_spacing(volumes["spacing"])
        # As numbers, not as a path: the study must be the same one where the cohort has moved to.
        volumes |= {"shape": grid.shape, "affine": grid.affine.tolist(), "spacing": None}
    # Every fit would read and resample all its scans again.
    volumes["cache_dir"] = volumes["cache_dir"] or str(Path(args.out, "cache"))
    results = cohort_study(
        {label: on_paths(estimator, **volumes) for label, estimator in estimators.items()},
        cohort.X,
        cohort.y,
        cohort.groups,
        sites=sites,
        n_repeats=args.repeats or (REPEATS if sites is None else len({*sites.tolist()})),
        test_size=args.test_size,
        random_state=args.seed,
        n_jobs=args.n_jobs,
        out=args.out,
        left_out=cohort.report,
        target=args.target,
        positive=positive_of(cohort.y, args.positive),
    )
    report(results, args.out, args.baseline)


def check_columns(cohort: Cohort, args: argparse.Namespace) -> None:
    """Raise a ValueError unless there are classes and sites: known before all scans are read."""
    import numpy as np

    from ..studies.cohort_data import check_classes

    table = cohort.table
    labels = np.array(table[args.target].tolist())
    try:
        check_classes(labels, np.array(table["participant_id"]))
        positive_of(labels, args.positive)
    except ValueError as error:
        raise ValueError(f"--target {args.target} names no classes to study: {error}") from error
    if args.leave_site_out and cohort.site not in table:
        columns = ", ".join(map(str, table.columns.drop("image")))
        raise ValueError(
            f"{args.cohort}/participants.tsv has no column {cohort.site!r}: --site names the one "
            f"with the sites. Columns: {columns}."
        )


def positive_of(labels: Any, text: str | None) -> Any:
    """Return the label that a text means."""
    known = {str(label): label for label in sorted({*labels.tolist()})}
    if text is not None and text not in known:
        raise ValueError(f"--positive must be one of {', '.join(known)}, got {text!r}.")
    return None if text is None else known[text]


def warn_of_sites(cohort: Cohort, target: str) -> None:
    """Warn if sites tell labels apart, so that a model of sites would look like one of labels."""
    if cohort.site not in cohort.table or cohort.site == target:
        return
    labels = cohort.table.groupby(cohort.site)[target].nunique()
    if len(labels) > 1 and (labels == 1).all():
        warnings.warn(
            f"Every {cohort.site} has subjects of one {target} only: whatever tells the sites "
            "apart, as a scanner does, tells the labels apart.",
            stacklevel=2,
        )


def report(results: CohortResults, folder: str, baseline: str | None = None) -> None:
    """Write the report of a study, print its summary and say where everything is."""
    from ..inspection.cohort_report import write_report
    from ..studies.cohort_text import format_cohort_summary

    page = write_report(results, folder, baseline=baseline)
    print(format_cohort_summary(results, baseline=baseline))
    print("written to", ", ".join(map(str, [page, *(Path(folder, name) for name in TABLES)])))
