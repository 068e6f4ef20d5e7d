"""What of the site is written by the code itself: the reference, and the command line."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sklstruct import plugins
from sklstruct.cli import make_parser

ROOMS = {
    "sklstruct": "Estimators, layers and metrics of all plugins",
    "sklstruct.frames": "Frames",
    "sklstruct.layers": "Layers",
    "sklstruct.training": "Training",
    "sklstruct.estimators": "Estimators in general",
    "sklstruct.io": "Data and files",
    "sklstruct.datasets": "Data sets by name",
    "sklstruct.studies": "Studies",
    "sklstruct.inspection": "Inspection",
    "sklstruct.params": "Parameters",
    "sklstruct.plugins": "Plugins",
    "sklstruct.testing": "Checks for plugins",
}


REFERENCE_PAGES = *ROOMS, "by_name"


def write_pages(folder: Path) -> None:
    """Write the pages, where their content is another than before."""
    shown: set[int] = set()
    for room, title in ROOMS.items():
        write(folder / "api" / f"{room}.rst", room_page(room, title, shown))
    write(folder / "api" / "by_name.rst", by_name_page(shown))
    listed = "\n".join(f"   {room}" for room in REFERENCE_PAGES)
    write(folder / "api" / "index.rst", f"{heading('Reference', '=')}\n{REFERENCE}\n{listed}\n")
    write(folder / "command_line.md", command_line(make_parser()))
    write(folder / "_measured.md", measured(folder.parent / "benchmarks"))


REFERENCE = """
Every public name stands on one page, with its formula, the shapes it takes and gives, and an
example that runs.

.. toctree::
   :maxdepth: 1
"""


def public_names(room: str, shown: set[int]) -> Iterator[str]:
    """Yield the classes and functions of a room that no room before it has."""
    package = importlib.import_module(room)
    for name in sorted(dir(package), key=str.lower):
        value = getattr(package, name)
        module = getattr(value, "__module__", "")
        # Of a single module, what it imports is not its own; and hooks are for pluggy.
        own = module.startswith("sklstruct") if hasattr(package, "__path__") else module == room
        known = name.startswith("_") or hasattr(value, "sklstruct_impl") or id(value) in shown
        if own and callable(value) and not known:
            shown.add(id(value))
            yield name


def own_methods(module: str, name: str) -> list[tuple[str, str]]:
    """Return (kind, name) of what a class has in public that the project itself describes."""
    found: dict[str, str | None] = {}
    for base in reversed(getattr(importlib.import_module(module), name).__mro__):
        if base.__module__.startswith("sklstruct"):
            found |= {key: kind_of(key, value) for key, value in vars(base).items()}
    return sorted((kind, key) for key, kind in found.items() if kind)


def kind_of(name: str, value: Any) -> str | None:
    """Return whether an attribute of a class is a method or a property, if it is described."""
    routed = name.startswith("set_") and name.endswith("_request")  # by scikit-learn
    if name.startswith("_") or routed or not getattr(value, "__doc__", None):
        return None
    if isinstance(value, (property, cached_property)):
        return "property"
    methods = classmethod, staticmethod
    return "method" if inspect.isroutine(value) or isinstance(value, methods) else None


def room_page(room: str, title: str, shown: set[int]) -> str:
    """Return the page of a room: what it is for, and what is in it."""
    package = importlib.import_module(room)
    about = inspect.getdoc(package) or ""
    parts = [heading(f"{title}: ``{room}``", "="), about, f".. currentmodule:: {room}"]
    kinds: dict[str, list[str]] = {"Classes": [], "Functions": []}
    for name in public_names(room, shown):
        kinds["Classes" if inspect.isclass(getattr(package, name)) else "Functions"].append(name)
    for kind, names in kinds.items():
        parts += listing(kind, names)
    return "\n\n".join(parts) + "\n"


def by_name_page(shown: set[int]) -> str:
    """Return the page of what plugins publish by a registered name alone."""
    parts = [heading("By name", "="), BY_NAME]
    for kind, title in {"architecture": "Architectures", "dataset": "Data sets"}.items():
        values = [entry.load() for entry in plugins.entries(kind).values()]
        new = {f"~{v.__module__}.{v.__qualname__}" for v in values if id(v) not in shown}
        parts += listing(title, sorted(new, key=lambda name: name.rpartition(".")[2].lower()))
        shown |= set(map(id, values))
    return "\n\n".join(parts) + "\n"


BY_NAME = """
What ``StructuredClassifier(architecture="rfnn")`` and ``load_dataset("textured_blobs_1")`` know by
a name, and ``sklstruct list`` lists.
"""


def listing(title: str, names: list[str]) -> list[str]:
    """Return a heading and a table of names with a page each, or nothing if there are none."""
    listed = "\n".join(f"   {name}" for name in names)
    table = f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{listed}"
    return [heading(title, "-"), table] if names else []


def heading(text: str, line: str) -> str:
    """Return a heading of reStructuredText."""
    return f"{text}\n{line * len(text)}"


def command_line(parser: argparse.ArgumentParser) -> str:
    """Return the page of the command line, from the parser that reads it."""
    parts = ["# Command line", COMMANDS, *commands(parser, 2)]
    return "\n\n".join(parts) + "\n"


COMMANDS = """
Every command explains itself with `--help`; what follows is the same text.
`sklstruct completion bash` prints what lets a shell complete commands, options and names.
""".strip()


def commands(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """Yield a heading and the help of every command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield f"{'#' * level} {sub.prog}"
                yield f"```text\n{sub.format_help().strip()}\n```"
                yield from commands(sub, level + 1)


def measured(folder: Path) -> str:
    """Return a table of the benchmarks' results: how many, from when, with which versions."""
    rows = ["| results | rows | measured | on | with |", "|---|---|---|---|---|"]
    for path in sorted(folder.glob("*.csv")):
        table = pd.read_csv(path)
        if "date" in table:
            days = " to ".join(sorted({table["date"].min(), table["date"].max()}))
            machines, versions = (", ".join(table[key].unique()) for key in ("machine", "versions"))
            rows.append(f"| `{path.name}` | {len(table)} | {days} | {machines} | {versions} |")
    return "\n".join(rows) + "\n"


def write(path: Path, content: str) -> None:
    """Write a page, unless it is as it was: what is newer is built again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        path.write_text(content, encoding="utf-8")
