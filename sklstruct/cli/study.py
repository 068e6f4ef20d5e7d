"""``sklstruct study``: estimators compared on little data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import Commands, add_command, add_set, at_least
from .specs import make_estimators, parse_specs, parse_value


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "study",
        run,
        "compare estimators on small training sets of several sizes",
        "sklstruct study --dataset digits --estimators rfnn,twin=rfnn:frame=pixel,svm \\\n"
        "      --sizes 50,100,300 --draws 5 --set max_epochs=20 --out results",
    )
    parser.add_argument("--dataset", required=True, help="a name, an .npz file or a folder")
    parser.add_argument(
        "--estimators",
        required=True,
        type=parse_specs,
        metavar="A,B",
        help="names, each perhaps with a label and parameters: twin=rfnn:frame=pixel",
    )
    parser.add_argument(
        "--sizes", required=True, type=integers, metavar="N,N", help="numbers of training samples"
    )
    parser.add_argument(
        "--draws",
        type=at_least(1),
        default=5,
        metavar="N",
        help="training sets of each size, 5 if left out",
    )
    parser.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        metavar="N",
        help="decides draws and fits, 0 if left out",
    )
    add_set(parser, "set a parameter on every estimator that has it; may be repeated")
    parser.add_argument(
        "--test-size",
        type=number,
        metavar="N",
        help="number or share of the samples to test on, where the data has no test set",
    )
    parser.add_argument(
        "--n-jobs", type=int, default=1, metavar="N", help="fits at a time, 1 if left out"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    parser.set_defaults(when_interrupted="; the same command goes on from here")


def run(args: argparse.Namespace) -> None:
    """Run the study, or what is missing of it, and report."""
    estimators = make_estimators(args.estimators, dict(args.set))
    from sklearn.base import is_classifier

    from ..io import load_dataset
    from ..studies import limited_data

    for label, estimator in estimators.items():
        if not is_classifier(estimator):
            raise ValueError(f"A study compares classifiers, and {label} is none.")
    data = load_dataset(args.dataset)
    if args.test_size is not None and data.X_test is not None:
        raise ValueError(f"{args.dataset} has test samples of its own: leave out --test-size.")
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
    )
    report(args.out)


def report(folder: str) -> None:
    """Print the table of a study and draw its learning curves."""
    from ..inspection import StudyDisplay
    from ..studies import format_summary

    results, picture = Path(folder, "results.csv"), Path(folder, "learning_curve.png")
    display = StudyDisplay.from_results(results)
    print("accuracy in %, mean ± standard deviation, by number of training samples")
    print(format_summary(display.results))
    display.save(picture)
    print(f"written to {results} and {picture}")


def integers(text: str) -> list[int]:
    """Return the integers of a text such as ``50,100``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be integers such as 50,100") from None


def number(text: str) -> Any:
    """Return an integer or a float."""
    value = parse_value(text)
    if type(value) not in (int, float):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number such as 500 or 0.3")
    return value
