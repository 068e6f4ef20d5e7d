"""Commands that work on a data set or on a cohort of scans, and the options of either."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Run = Callable[[argparse.Namespace], None]

DATA = "a name, an .npz file or a folder"


class WrongUsage(Exception):
    """Options that make no sense together."""


class Way:
    """One of the things that a command can work on, with the options that go with it alone.

    Parameters
    ----------
    source : Action
        The option that chooses this way.
    group : argument group
        Where the help shows its options.
    run : callable
        What the command does with the arguments.
    check : callable
        Raises ``WrongUsage`` for options that make no sense together.
    """

    def __init__(self, source: argparse.Action, group: Any, run: Run, check: Run) -> None:
        self.source, self.group, self.run, self.check = source, group, run, check
        self.options: list[argparse.Action] = []
        self.required: list[argparse.Action] = []
        self.defaults: dict[str, Any] = {}

    def add(
        self, name: str, *, default: Any = None, required: bool = False, **settings: Any
    ) -> None:
        """Add an option; the settings are those of ``add_argument``."""
        # None until ``settle``, lest a default of the other way look as if it had been typed.
        option = self.group.add_argument(name, default=None, **settings)
        self.options.append(option)
        self.defaults[option.dest] = default
        if required:
            self.required.append(option)

    def given(self, args: argparse.Namespace) -> list[str]:
        """Return the names of its options that are there."""
        return [name_of(opt) for opt in self.options if getattr(args, opt.dest) is not None]


class Ways:
    """The things that a command can work on, of which one has to be chosen.

    Parameters
    ----------
    parser : ArgumentParser
        Of the command.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser
        # Not commands of their own: fit is fit, whatever it works on.
        self.sources = parser.add_mutually_exclusive_group(required=True)
        self.ways: list[Way] = []
        parser.set_defaults(settle=self.settle)

    def add(self, names: str, run: Run, check: Run = lambda args: None, **settings: Any) -> Way:
        """Add an option that chooses a way, by one name or several, and return the way."""
        source = self.sources.add_argument(*names.split(), **settings)
        group = self.parser.add_argument_group(f"with {name_of(source)}")
        self.ways.append(Way(source, group, run, check))
        return self.ways[-1]

    def settle(self, args: argparse.Namespace) -> None:
        """Let the arguments run the way that is chosen, or stop with the usage and an error."""
        (chosen,) = (w for w in self.ways if getattr(args, w.source.dest) is not None)
        try:
            for way in self.ways:
                for option in way.given(args) if way is not chosen else ():
                    raise WrongUsage(
                        f"argument {option}: goes with {name_of(way.source)}, not with "
                        f"{name_of(chosen.source)}"
                    )
            given = chosen.given(args)
            lacking = [name for name in map(name_of, chosen.required) if name not in given]
            if lacking:
                raise WrongUsage(
                    f"the following arguments are required with {name_of(chosen.source)}: "
                    f"{', '.join(lacking)}"
                )
            for dest, default in chosen.defaults.items():
                if getattr(args, dest) is None:
                    setattr(args, dest, default)
            chosen.check(args)
        except WrongUsage as wrong:
            self.parser.error(str(wrong))
        args.run = chosen.run


def name_of(option: argparse.Action) -> str:
    """Return an option as it is typed."""
    return option.option_strings[0]


def usage(*ways: str, all_need: str) -> str:
    """Return the usage of a command, with a line for each way."""
    lines = [f"%(prog)s {way} {all_need} [OPTION ...]" for way in ways]
    return "\n       ".join(lines)  # below the first, after "usage: "
