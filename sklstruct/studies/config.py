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
from .description import merged

CONFIG = "study.toml"
MOST = 2**20  # bytes
TABLES = "estimators", "search", "set"  # by label or by parameter
GROWING = "draws", "repeats", "runs"
BARE = re.compile(r"[A-Za-z0-9_-]+")  # keys that need no quotation marks

Config = dict[str, Any]


def read_config(path: str | os.PathLike[str]) -> Config:
    """Return what a TOML file says, or raise a ValueError that names it and the line."""
    try:
        return tomllib.loads(read_bytes(path, MOST, "a TOML file").decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a sound TOML file: {error}.") from error


def write_config(store: Any) -> None:
    """Write what all runs in the folder of a store have asked for, added up.

    Parameters
    ----------
    store : FolderStore
        Runs of which nothing is known how they were asked for are left out.
    """
    seen: set[str] | None = None
    # Again where another process has begun meanwhile: whoever is last has seen all.
    while seen != {*(runs := store.runs())}:
        seen = {*runs}
        description, _ = merged([*runs.values()], store.keys())
        configs = [run["config"] for run in runs.values() if "config" in run]
        with atomic_write(Path(store.folder, CONFIG)) as stream:
            stream.write(as_toml(added_up(configs, {*description["estimators"]})))


def added_up(configs: list[Config], labels: set[str]) -> Config:
    """Return what several runs make together: of the estimators that count, and of all sizes."""
    found: Config = {}
    for config in configs:
        grown = dict(config)
        mine = config.get("estimators", {})
        others = {
            label: what for label, what in found.get("search", {}).items() if label not in mine
        }
        grown["estimators"] = {**found.get("estimators", {}), **mine}
        grown["search"] = {**others, **config.get("search", {})}
        if "sizes" in config:
            grown["sizes"] = sorted({*found.get("sizes", ()), *config["sizes"]})
        for name in {*GROWING} & {*config} if found else ():
            if name in found:
                grown[name] = max(found[name], config[name])
            else:  # all that there are
                del grown[name]
        found = grown
    for name in ("estimators", "search"):
        found[name] = {label: what for label, what in found[name].items() if label in labels}
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
