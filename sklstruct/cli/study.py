"""``sklstruct study``: estimators compared on little data."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import cohort_study
from .common import Commands, add_command, add_set, at_least, integers, number
from .specs import make_classifiers, parse_specs
from .ways import DATA, Ways, usage


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "study",
        run,
        "compare estimators on small training sets of several sizes, or on a cohort of scans",
        "sklstruct study --dataset digits --estimators rfnn,twin=rfnn:frame=pixel,svm \\\n"
        "      --sizes 50,100,300 --draws 5 --set max_epochs=20 --out results",
        "sklstruct study --cohort adni --target diagnosis --estimators rfnin,voxel_svm \\\n"
        "      --repeats 20 --spacing 3 --baseline voxel_svm --out results",
        usage=usage(
            "--dataset DATA --sizes N,N",
            "--cohort FOLDER --target COLUMN",
            all_need="--estimators A,B --out DIR",
        ),
    )
    ways = Ways(parser)
    way = ways.add("--dataset --data", run, dest="data", metavar="DATA", help=DATA)
    sizes = "numbers of training samples"
    way.add("--sizes", required=True, type=integers, metavar="N,N", help=sizes)
    draws = "training sets of each size, 5 if left out"
    way.add("--draws", type=at_least(1), default=5, metavar="N", help=draws)
    cohort_study.add_cohort(ways)
    add = parser.add_argument
    purpose = "names, each perhaps with a label and parameters: twin=rfnn:frame=pixel"
    add("--estimators", required=True, type=parse_specs, metavar="A,B", help=purpose)
    purpose = "decides splits and fits, 0 if left out"
    add("--seed", type=at_least(0), default=0, metavar="N", help=purpose)
    add_set(parser, "set a parameter on every estimator that has it; may be repeated")
    purpose = "number or share of the samples, or of the subjects of a cohort, to test on"
    add("--test-size", type=number, metavar="N", help=purpose)
    add("--n-jobs", type=int, default=1, metavar="N", help="fits at a time, 1 if left out")
    add("--out", required=True, metavar="DIR", help="folder for the results")
    parser.set_defaults(when_interrupted="; the same command goes on from here")


def run(args: argparse.Namespace) -> None:
    """Run the study, or what is missing of it, and report."""
    estimators = make_classifiers(args.estimators, dict(args.set))  # wrong names, before data
    from ..io import load_dataset
    from ..studies import limited_data

    data = load_dataset(args.data)
    if args.test_size is not None and data.X_test is not None:
        raise ValueError(f"{args.data} has test samples of its own: leave out --test-size.")
    limited_data(
        estimators,
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        sizes=args.sizes,
        n_draws=args.draws,
        test_size=args.test_size,
        random_state=args.seed,
        n_jobs=args.n_jobs,
        out=args.out,
        name=args.data,
    )
    report(args.out)  # from the file, so that a study that is shown again says the same


def report(folder: str, baseline: str | None = None) -> None:
    """Print the table of a study and draw its learning curves, or write its report anew."""
    if Path(folder, "fits.csv").exists():
        from ..studies.cohort_study import CohortResults

        cohort_study.report(CohortResults.read(folder), folder, baseline)
        return
    if baseline is not None:
        raise ValueError(f"--baseline is for studies on cohorts, and {folder} holds none.")
    from ..inspection import StudyDisplay
    from ..studies import format_summary

    results, picture = Path(folder, "results.csv"), Path(folder, "learning_curve.png")
    display = StudyDisplay.from_results(folder)
    print("accuracy in %, mean ± standard deviation, by number of training samples")
    print(format_summary(display.results))
    display.save(picture)
    print(f"written to {results} and {picture}")
