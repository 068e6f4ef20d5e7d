"""The command line: list, show, study, report, compare, fit, predict, score, look, explain, cohort.

Whatever takes long to import is imported by the command that needs it, so that ``list`` and
``--help`` answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from .. import __version__
from . import cohort, explain, listing, look, models, report, show, study
from .common import WrongUsage

BAD_INPUT = ValueError, TypeError, OSError, ImportError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; those of the process if None.

    Returns
    -------
    status : int
        0 if all went well, 1 after an error, 2 for wrong usage, 130 after an interruption.
    """
    try:
        args = parse(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    with warnings.catch_warnings():
        # Without the line of code that a warning comes from, which is not the user's.
        warnings.showwarning = lambda message, *_, **__: print(
            f"sklstruct: warning: {message}", file=sys.stderr
        )
        return run(args)


def run(args: argparse.Namespace) -> int:
    """Run a command, say in one line what stops it, and return its exit status."""
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; Python would complain on its way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print(f"sklstruct: interrupted{args.when_interrupted}", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(f"sklstruct: error: {in_one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, WrongUsage) else 1
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of a command; those it does not know are there for ``show frame``."""
    parser = make_parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown and not args.takes_unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    args.unknown = unknown
    return args


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        "sklstruct",
        description="Structured deep networks for learning from little data.",
        epilog="sklstruct COMMAND --help shows examples of each command",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(takes_unknown=False, when_interrupted="")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in (listing, show, study, report, models, look, explain, cohort):
        group.add_commands(commands)
    listing.add_completion(commands, parser)
    return parser


def in_one_line(error: Exception) -> str:
    """Return what there is to say about an error; more for those that should not occur."""
    text = str(error)
    # "[Errno 2] No such file or directory: 'a.npz'" is for programmers.
    if isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if not isinstance(error, BAD_INPUT):
        text = f"{type(error).__name__}: {text} (run with --debug to see where)"
    notes = getattr(error, "__notes__", [])
    if notes and not text.endswith("."):
        text += "."
    return " ".join(" ".join([text, *notes]).split())
