"""What makes a study, as its ``study.json`` holds it."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sklearn.base import clone

from ..io.leakage import named
from ..io.reading import read_bytes
from .data import fingerprint

MOST_BYTES = 2**24  # of a description, which may become twenty times as many in memory
LIBRARIES = ("sklstruct", "numpy", "scipy", "scikit-learn", "pandas", "joblib", "torch", "skorch")
GROWING: dict[str, Any] = {  # what later runs of a study may add to, and how it adds up
    "sizes": lambda old, new: sorted({*old, *new}),
    "n_draws": max,
    "n_repeats": max,
}

Description = dict[str, Any]


def describe(
    data: Description, estimators: Mapping[str, Any], random_state: int, **extent: Any
) -> Description:
    """Return what makes a study, as JSON can hold it."""
    installed = {dist.name for dist in metadata.distributions()}
    environment = {
        "versions": {name: metadata.version(name) for name in LIBRARIES if name in installed},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "n_cpus": os.cpu_count(),
    }
    return {
        "data": data,
        "random_state": random_state,
        "estimators": {label: describe_estimator(e) for label, e in estimators.items()},
        **extent,
        "environments": [environment],  # a list: runs that add to a study may come from others
    }


def describe_estimator(estimator: Any) -> dict[str, str]:
    """Return the class and the parameters of an estimator that results depend on."""
    # No result depends on these: seeds are the study's, and a cache may lie anywhere.
    names = {
        name
        for name in estimator.get_params(deep=True)
        if is_random_state(name) or name.rpartition("__")[2] == "cache_dir"
    }
    plain = clone(estimator).set_params(**dict.fromkeys(names))  # a step's repr has them too
    parameters = {
        name: describe_value(value)
        for name, value in sorted(plain.get_params(deep=True).items())
        if name not in names
    }
    kind = type(estimator)
    return {"class": f"{kind.__module__}.{kind.__qualname__}", **parameters}


def describe_value(value: Any) -> str:
    """Return a parameter as text that is the same in every run, and only for equal values."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses change with every run
    arrays = [*unseen(value)]
    return f"{text} {fingerprint(*arrays)}" if arrays else text


def unseen(value: Any) -> Iterator[Any]:
    """Yield the arrays that a parameter depends on and does not print."""
    # A frame prints its name and its size only; a network, from which others start, no weights.
    if hasattr(value, "atoms"):
        yield value.atoms
    if hasattr(value, "net_"):
        weights = value.net_.module_.state_dict()
        yield from (weights[name].numpy(force=True) for name in sorted(weights))
    if isinstance(value, Mapping):
        for part in value.values():
            for one in part if isinstance(part, tuple) else (part,):
                yield from unseen(one)


def is_random_state(parameter: str) -> bool:
    """Whether a parameter of an estimator, perhaps a nested one, is a seed."""
    return parameter.rpartition("__")[2] == "random_state"


def read_description(path: Path, extent: Iterable[str]) -> Description:
    """Return the description in a ``study.json``, which must have the names in ``extent``."""
    try:
        content = read_bytes(path, MOST_BYTES, "the description of a study")
        description = json.loads(content.decode("utf-8"))
        merge(description, description, path)  # has all that a description must have
        for name in extent:
            description[name]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error!r}.") from error
    return description


def merge(old: Description, new: Description, path: Path) -> Description:
    """Return the description of two runs of one study, or raise a ValueError if they are two."""
    shared = [label for label in old["estimators"] if label in new["estimators"]]
    before, now = must_agree(old, shared), must_agree(new, shared)
    wrong = [
        f"{name} was {before.get(name, 'absent')} and is {now.get(name, 'absent')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    if wrong:
        raise ValueError(
            f"{path} describes another study: {'; '.join(wrong)}.{changed_scans(old, new)}"
        )
    environments = old["environments"]
    return {
        **old,
        **new,
        "estimators": {**old["estimators"], **new["estimators"]},
        **{name: add(old[name], new[name]) for name, add in GROWING.items() if name in new},
        "environments": environments + [e for e in new["environments"] if e not in environments],
    }


def changed_scans(old: Description, new: Description) -> str:
    """Return which scans are others than they were, "" if that is not known."""
    before, now = old.get("scans", {}), new.get("scans", {})
    changed = []
    if len(before) == len(now):  # in their order, as folders may move
        marks = zip(before.values(), now.items(), strict=True)
        changed = [name for mark, (name, other) in marks if mark != other]
    return f"  Changed since: {named(changed)}" if changed else ""


def must_agree(description: Description, labels: list[str]) -> dict[str, Any]:
    """Return what cannot change within a study, by names for a message."""
    flat = {"random_state": description["random_state"]}
    flat |= {f"data {name}": value for name, value in description["data"].items()}
    for label in labels:
        parameters = description["estimators"][label].items()
        flat |= {f"{name} of estimator {label!r}": value for name, value in parameters}
    return flat
