"""Commands that work on a data set or on a cohort of scans, and the options of either."""

from __future__ import annotations

import argparse
from typing import Any

from .common import Add, Run, adder


class WrongUsage(Exception):
    """Options that make no sense together."""


class Way:
    """One of the things that a command can work on, with the options that go with it alone.

    Parameters
    ----------
    source : Action
        The option that chooses this way.
    adds : callable
        Adds an option where the help shows those of this way.
    run : callable
        What the command does with the arguments.
    check : callable
        Raises ``WrongUsage`` for options that make no sense together.
    """

    def __init__(self, source: argparse.Action, adds: Add, run: Run, check: Run) -> None:
        self.source, self.adds, self.run, self.check = source, adds, run, check
        self.options: list[argparse.Action] = []
        self.required: list[argparse.Action] = []
        self.defaults: dict[str, Any] = {}

    def add(
        self, name: str, *, default: Any = None, required: bool = False, **settings: Any
    ) -> argparse.Action:
        """Add an option; the settings are those of ``add_argument``."""
        # None until ``settle``, lest a default of the other way look as if it had been typed.
        option = self.adds(name, default=None, **settings)
        self.options.append(option)
        self.defaults[option.dest] = default
        if required:
            self.required.append(option)
        return option

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
        self.adds = adder(parser, parser.add_mutually_exclusive_group(required=True))
        self.ways: list[Way] = []
        parser.set_defaults(settle=self.settle)

    def add(self, *names: str, run: Run, check: Run = lambda args: None, **settings: Any) -> Way:
        """Add an option that chooses a way, by one name or several, and return the way."""
        source = self.adds(*names, **settings)
        group = self.parser.add_argument_group(f"with {name_of(source)}")
        self.ways.append(Way(source, adder(self.parser, group), run, check))
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
