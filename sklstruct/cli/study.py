"""``sklstruct study``: estimators compared on little data."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import cohort_study
from .common import Commands, add_command, add_set, adder, at_least, integers, number
from .specs import make_classifiers, parse_specs
from .ways import Ways


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "study", run)
    ways = Ways(parser)
    way = ways.add("--dataset", "--data", run=run, dest="data", metavar="DATA")
    way.add("--sizes", required=True, type=integers, metavar="N,N")
    way.add("--draws", type=at_least(1), default=5, metavar="N")
    cohort_study.add_cohort(ways)
    add = adder(parser)
    add("--estimators", required=True, type=parse_specs, metavar="A,B")
    add("--seed", type=at_least(0), default=0, metavar="N")
    add_set(add)
    add("--test-size", type=number, metavar="N")
    add("--n-jobs", type=int, default=1, metavar="N")
    add("--out", required=True, metavar="DIR")
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
    from ..studies.description import read_description
    from ..studies.record import STRUCTURES, STUDY

    results, picture = Path(folder, "results.csv"), Path(folder, "learning_curve.png")
    display = StudyDisplay.from_results(folder)
    print("accuracy in %, mean ± standard deviation, by number of training samples")
    print(format_summary(display.results))
    description = read_description(Path(folder, STUDY), ())
    for label, steps in description.get(STRUCTURES, {}).items():
        print(f"weights of {label}: " + ", ".join(f"{n:,} {step}" for step, n in steps.items()))
    display.save(picture)
    print(f"written to {results} and {picture}")
