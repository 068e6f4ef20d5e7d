"""What the commands share: their parsers, their tables and their files."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tomllib
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from ..estimators.specs import parse_setting, parse_value

Commands = Any  # what ``add_subparsers`` returns, which argparse keeps private
Run = Callable[[argparse.Namespace], None]
Add = Callable[..., argparse.Action]  # adds an option

HELP = tomllib.loads(Path(__file__).with_name("help.toml").read_text(encoding="utf-8"))


def add_command(
    commands: Commands, command: str, run: Run, **options: Any
) -> argparse.ArgumentParser:
    """Add a command such as "show frame", and return its parser."""
    parser = add_parser(commands, command, **options)
    parser.set_defaults(run=run, command=command, options={})
    adder(parser)("--debug", action="store_true")
    return parser


def add_group(commands: Commands, command: str, metavar: str) -> Commands:
    """Add a command with commands of its own, and return what takes these."""
    return add_parser(commands, command).add_subparsers(metavar=metavar, required=True)


def add_parser(commands: Commands, command: str, **options: Any) -> argparse.ArgumentParser:
    """Add a command with its help, which ends with examples, and return its parser."""
    words = HELP[command]
    purpose, examples = words["purpose"], words["examples"].strip().splitlines()
    several = "s" if sum(not line.startswith(" ") for line in examples) > 1 else ""
    usage = words.get("usage", "").strip().replace("\n", "\n       ")  # below "usage: "
    parser: argparse.ArgumentParser = commands.add_parser(
        command.split()[-1],
        help=purpose,
        usage=usage or None,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog="\n  ".join([f"example{several}:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,  # as it stands, line by line
        **options,
    )
    return parser


def adder(parser: argparse.ArgumentParser, title: str | None = None) -> Add:
    """Return what adds options to a parser, or to a group of it, with the words for them."""
    words = HELP["all"] | HELP[parser.get_default("command")].get("options", {})
    group = parser if title is None else parser.add_argument_group(title)

    def add(*names: str, **settings: Any) -> argparse.Action:
        name = next(name for name in names if len(name) > 2)  # no single letter
        # A KeyError here, when any command is called: no option goes without a word.
        settings["help"] = words[name.lstrip("-")]
        if "type" in settings:
            settings["type"] = explained(settings["type"])
        action = group.add_argument(*names, **settings)
        parser.get_default("options").update((key_of(name), action) for name in names)
        return action

    return add


def key_of(name: str) -> str:
    """Return the name of an option as a file of options may have it, with underscores."""
    return name.lstrip("-").replace("-", "_")


def add_set(add: Add) -> None:
    """Add the option that sets parameters."""
    settings = {"action": "append", "default": [], "type": parse_setting}
    add("--set", metavar="PARAM=VALUE", **settings)


def explained(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a type of arguments whose errors say what is wrong."""

    def parse(text: str) -> Any:
        try:
            return kind(text)
        except ValueError as error:  # of which argparse would not show the words
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def at_least(minimum: int) -> Callable[[str], int]:
    """Return a type of arguments, the integers from a minimum."""

    def integer(text: str) -> int:
        value = parse_value(text)  # True is no number here
        if type(value) is not int or value < minimum:
            raise ValueError(f"must be an integer from {minimum}, got {text!r}")
        return value

    return integer


def integers(text: str) -> list[int]:
    """Return the integers of a text such as ``50,100``."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} must be integers such as 50,100") from None


def number(text: str) -> Any:
    """Return an integer or a float."""
    value = parse_value(text)
    if type(value) not in (int, float):
        raise ValueError(f"{text!r} must be a number such as 500 or 0.3")
    return value


def positive(text: str) -> float:
    """Return a positive number."""
    value = number(text)
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} must be a positive number")
    return float(value)


def aligned(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as lines of aligned columns; numbers below a heading go to the right."""
    texts = [[cell_text(cell) for cell in row] for row in rows]
    lines = [""] * len(rows)
    for column in range(len(rows[0])):
        width = max(len(row[column]) for row in texts)
        right = isinstance(rows[-1][column], (int, float))
        for line, row in enumerate(texts):
            text = row[column].rjust(width) if right else row[column].ljust(width)
            lines[line] += text + "  "
    return "\n".join(line.rstrip() for line in lines)


def cell_text(cell: Any) -> str:
    """Return the text of a cell: four digits of a number, yes or no, "-" for nan."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return "-" if cell != cell else f"{cell:.4g}"
    return str(cell)


def by_x(extents: Sequence[int]) -> str:
    """Return a shape such as 3x32x32."""
    return "x".join(map(str, extents))


class WrongUsage(ValueError):
    """Options that make no sense together."""


class Unwritten(Exception):
    """Leaves the writing of a file that is not to be written."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError unless a file can be written there, and leave everything as it is."""
    from ..io import atomic_write

    # By writing: permissions alone do not tell, on a full or a remote disk.
    with suppress(Unwritten), atomic_write(path):
        raise Unwritten


def write_csv(rows: Sequence[Sequence[Any]], path: str | None) -> None:
    """Write rows as CSV, to a file as a whole or to standard output."""
    from ..io import atomic_write

    with nullcontext(sys.stdout) if path is None else atomic_write(path) as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
