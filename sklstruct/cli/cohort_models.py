"""``sklstruct fit | predict | score --cohort``: one model of scans, in a file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .common import aligned, by_x, check_writable, write_csv
from .model_files import check_kept, keep, make_model, read_model
from .scans import (
    FOLDER,
    add_scans,
    add_target,
    add_volume_options,
    check_volume_options,
    read_cohort,
    volume_params,
)
from .scores import check_labels, scores_of
from .ways import Ways

if TYPE_CHECKING:
    from ..io.cohort import Cohort

NAMES = "participant_id", "session_id", "image"


def add_fit(ways: Ways) -> None:
    """Add the options of training on a cohort."""
    way = ways.add("--cohort", fit, check_volume_options, metavar="FOLDER", help=FOLDER)
    add_target(way.add)
    add_scans(way.add)
    add_volume_options(way.add, "none if left out")


def add_predict(ways: Ways) -> None:
    """Add the options of prediction for a cohort, which needs no labels."""
    way = ways.add("--cohort", predict, metavar="FOLDER", help=FOLDER)
    add_scans(way.add)


def add_score(ways: Ways) -> None:
    """Add the options of scoring on a cohort."""
    way = ways.add("--cohort", score, metavar="FOLDER", help=FOLDER)
    add_target(way.add)
    add_scans(way.add)


def fit(args: argparse.Namespace) -> None:
    """Train an estimator on scans and write it to a file."""
    from ..estimators.volumes import last_step, on_paths
    from ..studies.fitting import group_params

    model = on_paths(make_model(args), **volume_params(args))  # one file knows how to read scans
    check_kept(model, args.out, args.allow_pickle)
    cohort = read_cohort(args, args.target)
    check_labels(last_step(model), cohort.y)  # before hours of training
    # Subjects with several scans stay together where a model holds samples out.
    model.fit(cohort.X, cohort.y, **group_params(model, cohort.groups))
    volumes = getattr(model[0] if hasattr(model, "steps") else model, "shape_", None)
    samples = in_words(cohort, args.cohort)
    keep(model, args, samples if volumes is None else f"{samples}, {by_x(volumes)}")


def predict(args: argparse.Namespace) -> None:
    """Print predictions for scans as CSV, or write them to a file."""
    model = read_scan_model(args)
    if args.out:
        check_writable(args.out)
    cohort = read_cohort(args)
    step, volumes = volumes_of(model, cohort.X)
    # Names first, as in the table of the cohort, so that both can be joined.
    header = [name for name in NAMES if name in cohort.table]
    columns = [cohort.table[name].tolist() for name in header]
    header, columns = [*header, "predicted"], [*columns, step.predict(volumes).tolist()]
    if hasattr(step, "predict_proba"):
        header += [f"p_{label}" for label in step.classes_.tolist()]
        columns += step.predict_proba(volumes).T.tolist()
    write_csv([header, *zip(*columns, strict=True)], args.out)


def score(args: argparse.Namespace) -> None:
    """Print how good the predictions of a model for scans are."""
    model = read_scan_model(args)
    cohort = read_cohort(args, args.target)
    scores = scores_of(*volumes_of(model, cohort.X), cohort.y)
    print(aligned([("data", in_words(cohort, args.cohort)), *scores.items()]))


def read_scan_model(args: argparse.Namespace) -> Any:
    """Return the model of the arguments, or raise a ValueError if it takes no scans."""
    from ..estimators.volumes import takes_paths

    model = read_model(args.model, args.allow_pickle)
    # A model of arrays would take paths for samples, and say something of them.
    if not takes_paths(model):
        name = type(model).__name__
        raise ValueError(f"{args.model} holds a {name} of arrays: give it --data, not --cohort.")
    return model


def volumes_of(model: Any, paths: Any) -> tuple[Any, Any]:
    """Return what predicts and what it takes, so that scans are read once for all it predicts."""
    from ..estimators.volumes import last_step

    step = last_step(model)
    return step, paths if step is model else model[:-1].transform(paths)


def in_words(cohort: Cohort, folder: str) -> str:
    """Return how many scans of how many subjects there are."""
    from ..io.cohort import counted

    subjects = counted(cohort.table["participant_id"].nunique(), "subject")
    return f"{counted(len(cohort), 'scan')} of {subjects} of {folder}"
