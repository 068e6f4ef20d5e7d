"""``sklstruct list | completion``: what is installed, without importing it."""

from __future__ import annotations

import argparse
from functools import partial

from .. import plugins
from .common import Commands, add_command, adder, aligned

# What completes a word in each shell; of estimators, what stands behind the last comma.
COMPLETERS = {
    "bash": """
_sklstruct_estimators() {{ compgen -P "${{1%"${{1##*,}}"}}" -W "{estimator}" -- "${{1##*,}}"; }}
_sklstruct_architectures() {{ compgen -W "{architecture}" -- "$1"; }}
_sklstruct_data() {{ compgen -W "{dataset}" -- "$1"; compgen -f -- "$1"; }}
""",
    "zsh": """
_sklstruct_estimators() {{ _values -s , estimator {estimator} }}
_sklstruct_architectures() {{ compadd {architecture} }}
_sklstruct_data() {{ compadd {dataset}; _files }}
""",
    "tcsh": "",
}
KINDS = {"estimators": "estimator", "architectures": "architecture", "data": "dataset"}
PLACES = {  # by what stands for a value in the help
    **dict.fromkeys(["FILE", "PNG", "COHORT"], "file"),
    **dict.fromkeys(["DIR", "OUT"], "directory"),
    "DATA": "data",
    "A,B": "estimators",
    "ESTIMATOR": "estimators",
    "ARCHITECTURE": "architectures",
}


def add_commands(commands: Commands) -> None:
    """Add the command that lists."""
    add = adder(add_command(commands, "list", run))
    kind = add("kind", nargs="?", choices=plugins.KINDS, metavar="KIND")
    kind.type = lambda text: text.removesuffix("s")


def add_completion(commands: Commands, parser: argparse.ArgumentParser) -> None:
    """Add the command that lets shells complete all commands of a parser."""
    run = partial(complete, parser)
    adder(add_command(commands, "completion", run))("shell", choices=[*COMPLETERS], metavar="SHELL")


def run(args: argparse.Namespace) -> None:
    """Print a line for everything that is registered."""
    kinds = [args.kind] if args.kind else plugins.KINDS
    entries = [entry for kind in kinds for entry in plugins.entries(kind).values()]
    # Of references only: importing all plugins to list them would take seconds.
    rows = [(entry.kind, entry.name, target(entry), entry.source) for entry in entries]
    print(aligned([("KIND", "NAME", "TARGET", "DISTRIBUTION"), *rows]))


def target(entry: plugins.Entry) -> str:
    """Return the reference to what is registered."""
    if isinstance(entry.target, str):
        return entry.target
    return f"{getattr(entry.target, '__module__', '')}:{entry.attribute}"


def complete(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Print what lets a shell complete commands, options, and the names that are registered."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError(
            "Completion needs the package shtab: pip install sklstruct[completion]."
        ) from error
    names = {kind: " ".join(plugins.entries(kind)) for kind in KINDS.values()}
    functions = {
        key: {
            "bash": f"_sklstruct_{key}",
            "zsh": f"_sklstruct_{key}",
            "tcsh": f"({names[kind]})",
        }
        for key, kind in KINDS.items()
    }
    ways = {**functions, "file": shtab.FILE, "directory": shtab.DIRECTORY}
    for action in actions_of(parser):
        if action.metavar in PLACES:
            action.complete = ways[PLACES[action.metavar]]  # type: ignore[attr-defined]
    preamble = {shell: text.format(**names) for shell, text in COMPLETERS.items()}
    print(shtab.complete(parser, args.shell, preamble=preamble))  # type: ignore[arg-type]


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the options of a parser and of all parsers below it."""
    found = []
    for action in parser._actions:
        found.append(action)
        for inner in action.choices or () if action.nargs == argparse.PARSER else ():
            found += actions_of(action.choices[inner])  # type: ignore[index]
    return found
