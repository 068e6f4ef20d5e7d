"""``sklstruct cohort``: look through a cohort of images, or simulate one."""

from __future__ import annotations

import argparse
from dataclasses import fields

from .common import Commands, add_command, add_group, at_least, integers
from .scans import FOLDER, add_scan_options, listed, open_cohort, problems


def add_commands(commands: Commands) -> None:
    """Add the command with its own commands."""
    purpose = "look through a cohort of images, or simulate one"
    example = "sklstruct cohort check adni --target diagnosis"
    actions = add_group(commands, "cohort ACTION", purpose, example)
    add_check(actions)
    add_simulate(actions)


def add_check(actions: Commands) -> None:
    """Add the command that looks for problems."""
    purpose = (
        "read all images of a BIDS folder and its participants.tsv, and list all problems at once"
    )
    example = "sklstruct cohort check adni --target diagnosis"
    parser = add_command(actions, "check", check, purpose, example)
    parser.add_argument("folder", metavar="FOLDER", help=FOLDER)
    parser.add_argument("--target", metavar="COLUMN", help="column that must have a label each")
    parser.add_argument("--site", metavar="COLUMN", help="column that must have a site each")
    add_scan_options(parser.add_argument)


def check(args: argparse.Namespace) -> None:
    """Print all problems, and raise a ValueError if there are any."""
    from ..io.cohort import in_lines

    # Not without_problems, which stops where there are some: here they are what is asked for.
    cohort = open_cohort(args, args.folder, args.target)
    cohort = cohort.check(leave_out=True, need_site=args.site is not None)
    if cohort.report.empty:
        print(cohort)
        return
    print("\n".join([listed(cohort), *in_lines(cohort.notes, "note", "notes")]))
    raise ValueError(f"{args.folder} has {problems(cohort)}; {len(cohort)} scans are without any")


def add_simulate(actions: Commands) -> None:
    """Add the command that writes a simulated cohort."""
    purpose = "write a BIDS folder of simulated brains, half of them with a local atrophy"
    example = "sklstruct cohort simulate demo --subjects 60 --effect-size 0.5 --jitter 10 --seed 0"
    parser = add_command(actions, "simulate", simulate, purpose, example)
    parser.add_argument("out", metavar="OUT", help="folder to write, absent or empty")
    add = parser.add_argument
    number = "40 if left out"
    add("--subjects", type=at_least(2), default=40, metavar="N", dest="n_subjects", help=number)
    shape = "voxels, 32,32,32 if left out"
    add("--shape", type=integers, default=[32, 32, 32], metavar="N,N,N", help=shape)
    for option, default, purpose in NUMBERS:
        purpose = f"{purpose}, {default:g} if left out"
        add(option, type=float, default=default, metavar="X", help=purpose)
    add("--sites", type=at_least(1), default=2, metavar="N", help="scanners, 2 if left out")
    add("--template", choices=["MNI152"], help="start from the template that nilearn ships")
    seed = "decides all, 0 if left out"
    add("--seed", type=at_least(0), default=0, metavar="N", dest="random_state", help=seed)


NUMBERS = (
    ("--spacing", 6.0, "edge of a voxel in mm"),
    ("--effect-size", 0.5, "share of the grey matter that patients have lost, 0 to 1"),
    ("--jitter", 0.0, "mm by which the place of the atrophy varies"),
    ("--noise", 0.05, "standard deviation, relative to white matter"),
    ("--age-effect", 0.03, "share of the cortex that is lost in ten years"),
    ("--site-effect", 0.05, "difference of brightness between scanners"),
)


def simulate(args: argparse.Namespace) -> None:
    """Write the cohort and say what it is."""
    from ..io.simulate import Recipe, simulate_cohort

    # Options have the names of the parameters, so that none can be forgotten here.
    print(
        simulate_cohort(args.out, **{one.name: getattr(args, one.name) for one in fields(Recipe)})
    )
    print(f"written to {args.out}; the truth is in {args.out}/derivatives/truth")
