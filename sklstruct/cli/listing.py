"""``sklstruct list``: what is installed, without importing it."""

from __future__ import annotations

import argparse

from .. import plugins
from .common import Commands, add_command, aligned


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "list", run)
    kind = parser.add_argument("kind", nargs="?", choices=plugins.KINDS, metavar="KIND")
    kind.type, kind.help = lambda text: text.removesuffix("s"), ", ".join(plugins.KINDS)


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
