"""What determines the fits of a study, as JSON can hold it and as keys of what is stored."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from typing import Any, NamedTuple

import pandas as pd

from ..io.leakage import named

# What results depend on; others are told, and do not make another fit.
MATTER = ("sklstruct", "numpy", "scipy", "scikit-learn", "torch", "skorch")
LIBRARIES = (*MATTER, "pandas", "joblib")
GROWING: dict[str, Any] = {  # what later runs may add to, and how it adds up
    "sizes": lambda old, new: sorted({*old, *new}),
    "n_draws": max,
    "n_repeats": lambda old, new: None if old is None or new is None else max(old, new),
    "n_runs": max,
}

Description = dict[str, Any]


class Cell(NamedTuple):
    """One fit of a study: which estimator, and on which split."""

    estimator: str
    key: tuple[int, ...]


@lru_cache(maxsize=1)
def environment() -> Description:
    """Return what computes here: versions and machine."""
    installed = {dist.name for dist in metadata.distributions()}
    return {
        "versions": {name: metadata.version(name) for name in LIBRARIES if name in installed},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "n_cpus": os.cpu_count(),
    }


@lru_cache(maxsize=1)
def git_revision() -> str:
    """Return the revision of the working folder, "+" behind it where files differ; or ""."""
    try:
        said = [
            subprocess.run(
                ["git", *command], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return said[0] + ("+" if said[1] else "")


# Keys of what is stored ----------------------------------------------------------------------


def plain(description: Description) -> Description:
    """Return a description as it comes back from a file, to be equal to one that does."""
    return json.loads(json.dumps(description, default=lambda value: value.tolist()))


def digest_of(value: Any) -> str:
    """Return a hash of what JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def keys_of(run: Description) -> dict[Cell, str]:
    """Return the key under which each fit of a run is stored: a hash of what determines it.

    They are in the order to compute them: one that stops early has compared all on some splits.
    """
    versions = run["environment"]["versions"]
    common = digest_of([run["fixed"], {name: versions.get(name) for name in MATTER}])
    by_label = {
        label: digest_of([common, label, parameters])
        for label, parameters in run["estimators"].items()
    }
    return {
        Cell(label, tuple(key)): digest_of([digest, key])
        for key in run["cells"]
        for label, digest in by_label.items()
    }


# Runs that add up to a study -----------------------------------------------------------------


def merged(runs: list[Description], done: set[str]) -> tuple[Description, dict[Cell, str]]:
    """Return the study that several runs add up to, and where its fits are stored.

    Parameters
    ----------
    runs : list of dict
        In the order in which they began.
    done : set of str
        Keys of what is finished.

    Returns
    -------
    description : dict
    stored : dict
        Keys of the finished fits, by cell, in the order of the results.

    Raises
    ------
    ValueError
        If the runs are of several studies.
    """
    last = runs[-1]
    estimators: dict[str, dict[str, str]] = {}
    stored: dict[Cell, str] = {}
    extent = {**last["extent"]}
    for run in runs:
        agree(run["fixed"], last["fixed"])
        finished = {cell: key for cell, key in keys_of(run).items() if key in done}
        there = {cell.estimator for cell in finished}
        for label, parameters in run["estimators"].items():
            # An estimator without results binds nobody: whoever erred may name another one so.
            if run is last or label in there:
                known = estimators.setdefault(label, parameters)
                agree(known, parameters, f" of estimator {label!r}")
        extent = {name: GROWING[name](extent[name], run["extent"][name]) for name in extent}
        stored |= finished  # of several versions, those of the last run
    order = {label: place for place, label in enumerate(ordered(runs, {*estimators}))}
    cells = sorted({tuple(key) for run in runs for key in run["cells"]})
    fixed = last["fixed"]
    environments = [run["environment"] for run in runs]
    description = {
        **fixed,
        "design": {**fixed["design"], **extent},
        "name": last["name"],
        "baseline": agreed_baseline(runs, {*estimators}),
        "estimators": {label: estimators[label] for label in order},
        "cells": [list(key) for key in cells],
        "environments": [e for n, e in enumerate(environments) if e not in environments[:n]],
    }
    in_order = sorted(stored, key=lambda cell: (order[cell.estimator], cell.key))
    return description, {cell: stored[cell] for cell in in_order}


def ordered(runs: list[Description], labels: set[str]) -> list[str]:
    """Return labels in the order of the runs, which does not depend on which began first."""
    by_size = sorted(runs, key=lambda run: (-len(run["estimators"]), sorted(run["estimators"])))
    return [
        label
        for label in dict.fromkeys(label for run in by_size for label in run["estimators"])
        if label in labels
    ]


def agreed_baseline(runs: list[Description], labels: set[str]) -> str | None:
    """Return the estimator that runs compare others with, None if no run names one that counts."""
    named = [run["baseline"] for run in runs if run.get("baseline") in labels]
    if len({*named}) > 1:
        raise ValueError(
            f"another study, whose baseline was {named[0]} and is {named[-1]}: only a report can "
            "be asked for with another one"
        )
    return named[0] if named else None


def agree(old: Description, new: Description, of: str = "") -> None:
    """Raise a ValueError unless two runs say the same of their study, or of one estimator."""
    before, now = flat(old), flat(new)
    wrong = [
        f"{name}{of} was {before.get(name, 'absent')} and is {now.get(name, 'absent')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if wrong:
        raise ValueError(f"another study: {'; '.join(wrong)}")


def flat(fixed: Description) -> dict[str, Any]:
    """Return what cannot change within a study, by names for a message."""
    found: dict[str, Any] = {}
    for name, value in fixed.items():
        if isinstance(value, Mapping):
            found |= {f"{name} {part}": inner for part, inner in value.items()}
        else:
            found[name] = value
    return found


def changed_samples(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Return which samples are others than they were, "" if that is not known."""
    if len(old) != len(new):
        return ""
    changed = new["sample"][old["mark"].to_numpy() != new["mark"].to_numpy()]  # folders may move
    return f"  Changed since: {named(changed)}" if len(changed) else ""
