"""The options of a study in a file, and the file that a study leaves."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import plugins
from ..estimators.specs import Spec, parse_specs, parse_value
from .common import WrongUsage

DEFAULTS: dict[str, Any] = {"seed": 0, "n_jobs": 1}
REQUIRED = "data", "estimators", "out"
PATHS = "data", "images", "grid", "mask", "cache"
PLACES = "n_jobs", "backend", "scheduler", "out"  # which decide on no result
LISTS = "sizes", "spacing"
TABLES = "set", "search"


def fill(args: argparse.Namespace) -> None:
    """Put in what was not typed: from the file of options if there is one, or else defaults.

    Raises
    ------
    ValueError
        If the file is not sound, or has an unknown option or one of a wrong type.
    WrongUsage
        If something is missing.
    """
    typed: dict[str, Any] = {"set": dict(args.set), "search": searched(args.search or ())}
    config: dict[str, Any] = {} if args.config is None else read_options(args)
    if args.estimators is not None:  # what a file says of others is not asked for
        labels = {spec.label for spec in args.estimators}
        config["search"] = {k: v for k, v in config.get("search", {}).items() if k in labels}
        if config.get("baseline") not in labels:
            config.pop("baseline", None)
    for name, value in {**DEFAULTS, **config}.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    for name in TABLES:
        setattr(args, name, {**config.get(name, {}), **typed[name]})
    if lacking := [f"--{name}" for name in REQUIRED if getattr(args, name) is None]:
        raise WrongUsage(f"the following arguments are required: {', '.join(lacking)}")


def searched(pairs: Any) -> dict[str, dict[str, Any]]:
    """Return what is searched by label."""
    found: dict[str, dict[str, Any]] = {}
    for label, grid in pairs:
        found[label] = {**found.get(label, {}), **grid}
    return found


# From a file ---------------------------------------------------------------------------------


def read_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options in a file by their names in the arguments."""
    from ..studies.config import CONFIG, read_config

    path = Path(args.config)
    path = path / CONFIG if path.is_dir() else path
    found: dict[str, Any] = {"out": str(path.parent)}
    for key, value in read_config(path).items():
        action = args.options.get(key.replace("-", "_"))
        if action is None or action.dest in ("config", "debug"):
            known = [name.replace("_", "-") for name in args.options if name not in ("config",)]
            hint = plugins.close_matches(key, known)
            raise ValueError(f"{path}: there is no option {key!r}.{hint}")
        try:
            found[action.dest] = option_of(action, value)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise ValueError(f"{path}: {key}: {error}") from error
    for name in (*PATHS, "out"):
        # As whoever wrote the file sees it; what is registered, or a column, stays a name.
        if found.get(name) is not None and name_of_place(name, found[name], path.parent):
            found[name] = str(path.parent / Path(found[name]).expanduser())
    return found


def name_of_place(option: str, value: str, folder: Path) -> bool:
    """Whether a value means a place beside the file of options."""
    if option in ("out", "cache"):
        return value != str(folder)
    registered = option == "data" and value in plugins.entries("dataset")
    return not registered and (folder / Path(value).expanduser()).exists()


def option_of(action: argparse.Action, value: Any) -> Any:
    """Return the value of an option, of a type that TOML has."""
    if action.dest in TABLES:
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a table, got {value!r}")
        return table_of(action.dest, value)
    if action.dest == "estimators":
        return estimators_of(value)
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, got {value!r}")
        return value or None
    if action.dest in LISTS and isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, (bool, list, Mapping)) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be a number or text, got {value!r}")
    if action.type is None and not isinstance(value, str):
        raise ValueError(f"must be text, got {value!r}")
    parsed = action.type(str(value)) if callable(action.type) else value
    if action.choices is not None and parsed not in action.choices:
        raise ValueError(f"must be one of {', '.join(action.choices)}, got {value!r}")
    return parsed


def estimators_of(value: Any) -> list[Spec]:
    """Return estimators of a text, a list of texts, or texts by label."""
    texts = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, (str, list, Mapping)) or not all(isinstance(t, str) for t in texts):
        raise ValueError(f"must be text, a list of texts, or a table with them, got {value!r}")
    return parse_specs(",".join(value) if isinstance(value, list) else value)


def table_of(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by name, or what is searched by label and name."""
    if name == "set":
        return {key: literal(value) for key, value in table.items()}
    found = {}
    for label, grid in table.items():
        if not isinstance(grid, Mapping) or not all(isinstance(v, list) for v in grid.values()):
            raise ValueError(f"{label}: must be a table of lists, got {grid!r}")
        found[label] = {key: [literal(one) for one in values] for key, values in grid.items()}
    return found


def literal(value: Any) -> Any:
    """Return a parameter, which may be written as on the command line."""
    if isinstance(value, list):
        return tuple(map(literal, value))
    return parse_value(value) if isinstance(value, str) else value


# To a file -----------------------------------------------------------------------------------


def recorded(args: argparse.Namespace, specs: list[Spec]) -> dict[str, Any]:
    """Return the options that make a study, as TOML can hold them."""
    found: dict[str, Any] = {}
    for action in args.options.values():
        name, value = action.dest, getattr(args, action.dest)
        if value is None or name in (*TABLES, *PLACES, "config", "debug"):
            continue
        if name in PATHS and name_of_place(name, value, Path.cwd()):
            value = str(Path(value).expanduser().absolute())
        if name == "budget":
            value = f"{value['seconds']}s" if "seconds" in value else value["fits"]
        found[name.replace("_", "-")] = list(value) if isinstance(value, tuple) else value
    # Each with all of its parameters: another run may set others.
    found["estimators"] = {spec.label: spec.text for spec in specs}
    if args.search:
        found["search"] = {
            label: {name: [*map(as_written, values)] for name, values in grid.items()}
            for label, grid in args.search.items()
        }
    return found


def as_written(value: Any) -> Any:
    """Return a parameter as ``literal`` reads it."""
    return value if isinstance(value, (bool, int, float)) else repr(value)
