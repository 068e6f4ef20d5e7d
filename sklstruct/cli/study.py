"""``sklstruct study``: estimators compared over the splits of a design."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import plugins
from ..estimators.specs import Spec, parse_setting, parse_specs, settled, split
from .common import Commands, WrongUsage, add_command, add_set, adder, at_least, integers, number
from .config import fill, recorded
from .data import add_data, add_volumes, check_for_scans, label_of, read, volume_params
from .report import show

if TYPE_CHECKING:
    from ..io import Samples
    from ..studies import Study

DESIGNS = {  # what decides on the design, and what goes with it
    "sizes": ("draws", "test_size"),
    "folds": ("repeats",),
    "leave_site_out": ("repeats", "sites"),
    "repeats": ("test_size",),
    "runs": (),
}
REPEATS = 20


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "study", run)
    add = adder(parser)
    # Without defaults, and nothing required: what is not typed may stand in a file.
    add("--config", metavar="FILE")
    add("--estimators", type=parse_specs, metavar="A,B")
    add_set(add)
    add("--search", action="append", type=parse_search, metavar="LABEL:PARAM=[X,Y]")
    add("--budget", type=budget, metavar="N")
    add("--seed", type=at_least(0), metavar="N")
    add("--out", metavar="DIR")
    add("--baseline", metavar="LABEL")
    add = adder(parser, "data")
    add_data(add, required=False)
    add("--target", metavar="COLUMN")
    add("--groups", metavar="COLUMN")
    add("--sites", "--site", dest="sites", metavar="COLUMN")
    add("--positive", metavar="LABEL")
    add("--no-validation", action="store_true", default=None)
    add = adder(parser, "design")
    add("--sizes", type=integers, metavar="N,N")
    add("--draws", type=at_least(1), metavar="N")
    add("--repeats", type=at_least(1), metavar="N")
    add("--leave-site-out", action="store_true", default=None)
    add("--folds", type=at_least(2), metavar="N")
    add("--runs", type=at_least(1), metavar="N")
    add("--test-size", type=number, metavar="N")
    add_volumes(adder(parser, "volumes of scans"))
    add = adder(parser, "where it runs")
    add("--n-jobs", type=int, metavar="N")
    add("--backend", metavar="NAME")
    add("--scheduler", metavar="ADDRESS")
    parser.set_defaults(when_interrupted="; the same command goes on from here")


def run(args: argparse.Namespace) -> None:
    """Run the study, or what is missing of it, and report."""
    fill(args)
    specs = settled(args.estimators, dict(args.set))  # wrong names, before data
    check_labels("baseline", [] if args.baseline is None else [args.baseline], specs)
    check_labels("search", args.search, specs)
    volumes = volume_params(args)
    import numpy as np
    import pandas as pd

    def known(samples: Samples) -> None:
        check_for_scans(args, samples)
        study = make_study(args, specs, samples)
        if not samples.scans:
            return
        if args.leave_site_out:  # of which some may be missing, as the check of the scans will say
            samples = samples.take(np.flatnonzero(pd.notna(samples.sites)))
        sites = samples.sites if args.leave_site_out else None
        study.check(samples.y, samples.groups, sites=sites)

    samples = read(args, need_sites=bool(args.leave_site_out), known=known)
    study = make_study(args, specs, samples, volumes if samples.scans else None)
    test = {"X_test": samples.X_test, "y_test": samples.y_test}
    if samples.X_test is not None and not study.design.takes_test:
        test = {}
        kind = type(study.design).__name__
        print(f"sklstruct: {kind} leaves the test samples of {args.data} alone", file=sys.stderr)
    study.run(
        samples.X,
        samples.y,
        samples.groups,
        sites=samples.sites if args.leave_site_out else None,
        **test,
        left_out=samples.left_out,
        out=args.out,
        n_jobs=args.n_jobs,
        backend=args.backend,
        scheduler=args.scheduler,
        predictions=samples.scans,
        config=recorded(args, specs),
    )
    show(args.out)


def make_study(
    args: argparse.Namespace,
    specs: list[Spec],
    samples: Samples,
    volumes: dict[str, Any] | None = None,
) -> Study:
    """Return the study of the arguments, of scans if it is said how volumes come from them."""
    from ..estimators.volumes import common_grid, on_paths
    from ..studies import Budget, Study

    pairs = {spec.label: (spec.make(), args.search.get(spec.label)) for spec in specs}
    estimators = {label: pair if pair[1] else pair[0] for label, pair in pairs.items()}
    if volumes is not None:
        if volumes["grid"] == "first":  # of all scans, not of those of a split
            volumes = volumes | common_grid(samples.X[0], volumes["spacing"])
        # Every fit would read and resample all its scans again.
        volumes["cache_dir"] = volumes["cache_dir"] or str(Path(args.out, "cache"))
        estimators = {label: on_paths(one, **volumes) for label, one in estimators.items()}
    return Study(
        design_of(args, samples),
        estimators,
        budget=None if args.budget is None else Budget(**args.budget),
        random_state=args.seed,
        target=args.target or "label",
        positive=label_of(samples.y, args.positive, "positive"),
        name=Path(args.data).name,
        baseline=args.baseline,
    )


def design_of(args: argparse.Namespace, samples: Samples) -> Any:
    """Return the design that the options stand for, or raise WrongUsage if they do not agree."""
    from ..studies import Draws, FixedSplit, HoldOuts, KFold, LeaveSiteOut

    given = [name for name in DESIGNS if getattr(args, name) is not None]
    kind = given[0] if given else "runs" if samples.X_test is not None else "repeats"
    for name in dict.fromkeys([*DESIGNS, *(name for names in DESIGNS.values() for name in names)]):
        if getattr(args, name) is not None and name not in (kind, *DESIGNS[kind]):
            goes = [option(one) for one, names in DESIGNS.items() if name in names]
            rest = f"does not go with {option(kind)}" if given else f"goes with {' or '.join(goes)}"
            raise WrongUsage(f"argument {option(name)}: {rest}")
    if not given and kind == "repeats" and not samples.scans:
        raise WrongUsage(
            f"{args.data} has no test samples of its own: say how to test, by --sizes 50,100, "
            "--repeats 20, --folds 5 or --leave-site-out"
        )
    if kind == "runs":
        if samples.X_test is None:
            raise WrongUsage(f"argument --runs: {args.data} has no test samples of its own")
        return FixedSplit(n_runs=args.runs or 1)
    if kind == "sizes":
        if args.test_size is not None and samples.X_test is not None:
            raise ValueError(f"{args.data} has test samples of its own: leave out --test-size.")
        return Draws(args.sizes, n_draws=args.draws or 5, test_size=args.test_size)
    if kind == "folds":
        return KFold(args.folds, n_repeats=args.repeats or 1)
    if kind == "leave_site_out":
        return LeaveSiteOut(n_repeats=args.repeats)
    return HoldOuts(n_repeats=args.repeats or REPEATS, test_size=args.test_size)


def option(name: str) -> str:
    """Return an option as it is typed."""
    return f"--{name.replace('_', '-')}"


def check_labels(name: str, labels: Any, specs: list[Spec]) -> None:
    """Raise WrongUsage unless labels are those of estimators."""
    known = [spec.label for spec in specs]
    for label in labels:
        if label not in known:
            hint = plugins.close_matches(label, known)
            raise WrongUsage(
                f"argument --{name}: must be one of {', '.join(known)}, got {label!r}.{hint}"
            )


def parse_search(text: str) -> tuple[str, dict[str, Any]]:
    """Return what is searched in which estimator, of a text such as ``svm:C=[1,10]``."""
    label, *settings = split(text, ":")
    grid = dict(map(parse_setting, settings))
    if not grid or not all(isinstance(values, (list, tuple)) for values in grid.values()):
        raise ValueError(f"{text!r} must read LABEL:PARAM=[VALUE,VALUE]")
    return label, grid


def budget(text: str) -> dict[str, Any]:
    """Return what a search may spend, of a text such as ``30``, fits, or ``60s``."""
    try:
        return {"seconds": float(text[:-1])} if text.endswith("s") else {"fits": int(text)}
    except ValueError:
        raise ValueError(f"{text!r} must be a number of fits, 30, or of seconds, 60s") from None
