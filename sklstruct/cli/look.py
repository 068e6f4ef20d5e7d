"""``sklstruct look``: everything there is to see of a model, as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import Commands, add_command, adder, at_least, check_writable
from .data import add_data, read
from .models import read_fitted, trained_on


def add_commands(commands: Commands) -> None:
    """Add the command."""
    add = adder(add_command(commands, "look", look))
    add("model", metavar="MODEL")
    add("--allow-pickle", action="store_true")
    add_data(add)
    add("--part", choices=("train", "test"))
    add("--target", metavar="COLUMN")
    add("--no-labels", action="store_true")
    add("--n-maps", type=at_least(1), default=4, metavar="N")
    add("--seed", type=at_least(0), default=0, metavar="N")
    add("--out", metavar="FILE")


def look(args: argparse.Namespace) -> None:
    """Write the page, and say where it is."""
    from ..inspection import write_look

    model_file = Path(args.model)
    out = args.out or model_file.with_name(f"{model_file.stem}-look.html")
    check_writable(out)
    model, fits = read_fitted(args)
    samples = read(args, labels=not args.no_labels, known=fits).part(args.part)
    page = write_look(
        model,
        samples.X,
        out,
        None if args.no_labels else samples.y,
        groups=samples.groups,
        n_maps=args.n_maps,
        random_state=args.seed,
        name=args.model,
        data="; ".join([samples.words, *map(" ".join, trained_on(model, samples))]),
    )
    print(f"written to {page}")
