"""``sklstruct report | compare``: what studies have found."""

from __future__ import annotations

import argparse

from .common import Commands, add_command, adder

FORMATS = "text", "markdown", "latex"


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    add_report(commands, "report")
    add = adder(add_command(commands, "compare", compare))
    add("folders", nargs="+", metavar="DIR")
    add("--format", choices=FORMATS, default=FORMATS[0])
    add("--out", metavar="DIR")


def add_report(commands: Commands, command: str) -> None:
    """Add the command for one study."""
    add = adder(add_command(commands, command, report))
    add("folder", metavar="DIR")
    add("--baseline", metavar="LABEL")
    add("--format", choices=FORMATS, default=FORMATS[0])


def report(args: argparse.Namespace) -> None:
    """Print the tables of a study, and write its report anew."""
    show(args.folder, args.baseline, args.format)


def show(folder: str, baseline: str | None = None, format: str = FORMATS[0]) -> None:
    """Print the tables of a folder, write its report and say where everything is."""
    from ..inspection import write_report
    from ..studies import Results, format_summary

    results = Results.read(folder)
    print(format_summary(results, baseline, format=format))
    results.export(folder)
    page = write_report(results, folder, baseline=baseline)
    if format == FORMATS[0]:  # others are for a file
        print(f"written to {folder}/results.csv and {page}")


def compare(args: argparse.Namespace) -> None:
    """Print what several studies say together, and write a page of it."""
    from ..inspection import write_comparison
    from ..studies import Results, compare_studies

    results = map(Results.read, args.folders)
    comparison = compare_studies(*results, names=args.folders)
    print(comparison.to_text(args.format))
    if args.out:
        print(f"written to {write_comparison(comparison, args.out)}")
