"""How a study was asked for, in a file that is enough to run it again."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..io.atomic import atomic_write
from ..io.reading import read_bytes
from .description import Description, merged

CONFIG = "study.toml"
MOST = 2**20  # bytes
TABLES = "estimators", "search", "set"  # by label or by parameter
GROWING = "sizes", "draws", "repeats", "runs"  # what one run may ask more of than another
BARE = re.compile(r"[A-Za-z0-9_-]+")  # keys that need no quotation marks

Config = dict[str, Any]


def read_config(path: str | os.PathLike[str]) -> Config:
    """Return what a TOML file says, or raise a ValueError that names it and the line."""
    try:
        return tomllib.loads(read_bytes(path, MOST, "a TOML file").decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a sound TOML file: {error}.") from error


def write_config(store: Any) -> None:
    """Write what all runs in a folder have asked for, added up, as far as that is known."""
    seen: set[str] | None = None
    # Again where another process has begun meanwhile: whoever is last has seen all.
    while seen != {*(runs := store.runs())}:
        seen = {*runs}
        description, _ = merged([*runs.values()], store.keys())
        configs = [run["config"] for run in runs.values() if "config" in run]
        with atomic_write(Path(store.folder, CONFIG)) as stream:
            stream.write(as_toml(added_up(configs, description)))


def added_up(configs: list[Config], study: Description) -> Config:
    """Return what several runs make together: the estimators that count, and all sizes."""
    named = {"baseline": study["baseline"]} if study["baseline"] else {}
    found = {name: value for name, value in configs[-1].items() if name not in GROWING} | named
    grown = {name.removeprefix("n_"): number for name, number in study["design"].items()}
    found |= {name: grown[name] for name in GROWING if grown.get(name) is not None}
    counts = study["estimators"]
    last = {label: one for one in configs for label in one["estimators"] if label in counts}
    for name in ("estimators", "search"):
        tables = {label: one.get(name, {}) for label, one in last.items()}
        found[name] = {label: table[label] for label, table in tables.items() if label in table}
    return found


def as_toml(config: Mapping[str, Any]) -> str:
    """Return options as TOML: values, then tables."""
    lines = [
        f"{key_of(name)} = {value_of(value)}"
        for name, value in config.items()
        if not isinstance(value, Mapping)
    ]
    for name in TABLES:
        for head, inner in tables_of([name], config.get(name)):
            values = (f"{key_of(key)} = {value_of(value)}" for key, value in inner.items())
            lines += ["", f"[{'.'.join(map(key_of, head))}]", *values]
    return "\n".join(lines) + "\n"


def tables_of(head: list[str], table: Any) -> list[tuple[list[str], Mapping[str, Any]]]:
    """Return a table of values, or the tables that are in it."""
    if not isinstance(table, Mapping) or not table:
        return []
    if not any(isinstance(value, Mapping) for value in table.values()):
        return [(head, table)]
    return [one for key, inner in table.items() for one in tables_of([*head, key], inner)]


def key_of(name: str) -> str:
    """Return a key as TOML has it."""
    return name if BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def value_of(value: Any) -> str:
    """Return a value as TOML has it: text, a number, a truth value, or a list of them."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(value_of, value))}]"
    # JSON writes all of these as TOML does.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
