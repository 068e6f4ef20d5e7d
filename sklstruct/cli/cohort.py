"""``sklstruct cohort``: look through a cohort of images, or simulate one."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from .common import Commands, add_command, add_group, adder, at_least, integers
from .data import WHICH, add_which, listed, problems

NUMBERS = {
    "spacing": 6.0,
    "effect-size": 0.5,
    "jitter": 0.0,
    "noise": 0.05,
    "age-effect": 0.03,
    "site-effect": 0.05,
}


def add_commands(commands: Commands) -> None:
    """Add the command with its own commands."""
    actions = add_group(commands, "cohort", "ACTION")
    add_check(actions)
    add_simulate(actions)


def add_check(actions: Commands) -> None:
    """Add the command that looks for problems."""
    add = adder(add_command(actions, "cohort check", check))
    add("data", metavar="COHORT")
    add("--target", metavar="COLUMN")
    add("--sites", "--site", dest="sites", metavar="COLUMN")
    add_which(add)


def check(args: argparse.Namespace) -> None:
    """Print all problems, and raise a ValueError if there are any."""
    from ..io import read_data
    from ..io.cohort import in_lines

    which: dict[str, Any] = {name: getattr(args, name, None) for name in WHICH}
    cohort = read_data(args.data, **which, labels=False, check=False).cohort
    if cohort is None:
        raise ValueError(f"{args.data} is no cohort of scans.")
    cohort = cohort.check(leave_out=True, need_site=args.sites is not None)
    if cohort.report.empty:
        print(cohort)
        return
    print("\n".join([listed(cohort), *in_lines(cohort.notes, "note", "notes")]))
    raise ValueError(f"{args.data} has {problems(cohort)}; {len(cohort)} scans are without any")


def add_simulate(actions: Commands) -> None:
    """Add the command that writes a simulated cohort."""
    add = adder(add_command(actions, "cohort simulate", simulate))
    add("out", metavar="OUT")
    add("--subjects", type=at_least(2), default=40, metavar="N", dest="n_subjects")
    add("--shape", type=integers, default=[32, 32, 32], metavar="N,N,N")
    for option, default in NUMBERS.items():
        add(f"--{option}", type=float, default=default, metavar="X")
    add("--sites", type=at_least(1), default=2, metavar="N")
    add("--template", choices=["MNI152"])
    add("--seed", type=at_least(0), default=0, metavar="N", dest="random_state")


def simulate(args: argparse.Namespace) -> None:
    """Write the cohort and say what it is."""
    from ..datasets.simulate import Recipe, simulate_cohort

    # Options have the names of the parameters, so that none can be forgotten here.
    print(
        simulate_cohort(args.out, **{one.name: getattr(args, one.name) for one in fields(Recipe)})
    )
    print(f"written to {args.out}; the truth is in {args.out}/derivatives/truth")
