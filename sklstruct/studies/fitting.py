"""One fit of a study: an estimator is fitted on one side of a split and predicts the other."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from ..compat import BaseSearchCV
from ..threads import one_blas_thread
from .data import StudyData
from .description import Cell, environment
from .designs import Design, Split
from .parameters import describe_value, is_random_state
from .splits import estimator_seed
from .tasks import Task

STEPS = "dense", "local", "shared", "frame", "attributes"  # of the structure of a network


class Fit(NamedTuple):
    """A finished fit.

    Parameters
    ----------
    row : dict
        What the table of results says of it.
    columns : dict from str to ndarray
        What was predicted, one value or row for each tested sample.
    costs : dict
        What differs from run to run: where and when it was made, and its memory.
    structure : dict or None
        Of a network, how many weights it would have with less structure.
    """

    row: dict[str, Any]
    columns: dict[str, NDArray[Any]]
    costs: dict[str, Any]
    structure: dict[str, int] | None = None


@dataclass(frozen=True, eq=False)
class Work:
    """All that the fits of a study have in common."""

    data: StudyData
    design: Design
    task: Task
    estimators: Mapping[str, Any]
    random_state: int


def evaluate(work: Work, cell: Cell) -> Fit:
    """Fit an estimator on one side of a split and let it predict the other."""
    label, key = cell
    data, seed = work.data, estimator_seed(work.random_state, *key)
    split = work.design.split(data, key, work.random_state)
    started = datetime.now(UTC)
    with suppress(OSError):  # where the kernel can forget the peak of earlier fits
        Path("/proc/self/clear_refs").write_text("5")
    # Sums over several threads round differently, and jobs would fight for the cores.
    with noted(note_of(work, cell)), one_blas_thread():
        model = seeded(clone(work.estimators[label]), seed)
        X, y = data.training(split.train)
        groups = None if data.groups is None else data.groups[split.train]
        start = perf_counter()
        model.fit(X, y, **group_params(model, groups))
        fit_seconds = perf_counter() - start
        X, y = data.tested(split.test)
        start = perf_counter()
        columns = work.task.predict(model, X, y)
        predict_seconds = perf_counter() - start
    last = last_step(model)
    search = last if isinstance(last, BaseSearchCV) else None
    if search is not None:
        last = last_step(search.best_estimator_)
    n_parameters = getattr(last, "n_parameters_", None)
    row = {
        "estimator": label,
        **dict(zip(work.design.keys, key, strict=True)),
        **work.task.score(columns),
        **counts(data, split),
        "n_parameters": None if n_parameters is None else int(n_parameters),
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        **spent(search, fit_seconds),
        "device": str(getattr(getattr(last, "net_", None), "device", "cpu")),
        "seed": seed,
    }
    costs = {
        "started": started.isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "peak_memory_mb": peak_memory_mb(),
        **environment(),
    }
    return Fit(row, {"test": split.test, **columns}, costs, weights_by_structure(last))


def last_step(model: Any) -> Any:
    """Return what predicts in a pipeline."""
    return model[-1] if isinstance(model, Pipeline) else model


def spent(search: Any, fit_seconds: float) -> dict[str, Any]:
    """Return what a search has cost and chosen, nothing if there was none."""
    if search is None:
        return {"search_fits": 0, "search_seconds": 0.0, "chosen": ""}
    return {
        "search_fits": len(search.cv_results_["params"]) * search.n_splits_,
        "search_seconds": max(fit_seconds - search.refit_time_, 0.0),
        "chosen": json.dumps(search.best_params_, default=plain),
    }


def counts(data: StudyData, split: Split) -> dict[str, Any]:
    """Return how many samples and subjects are on each side, and the site that is left out."""
    inside = data.X_test is None  # else who is tested has no subject and no site
    tested = np.unique(data.subjects[split.test]) if inside else split.test
    sites = [] if data.sites is None or not inside else np.unique(data.sites[split.test]).tolist()
    return {
        "n_train": len(split.train),
        "n_test": len(split.test),
        "n_train_subjects": len(np.unique(data.subjects[split.train])),
        "n_test_subjects": len(tested),
        "held_out_site": str(sites[0]) if len(sites) == 1 else "",
    }


def peak_memory_mb() -> float | None:
    """Return the largest memory of this process since it was last forgotten, None if not known."""
    with suppress(OSError, IndexError):
        status = Path("/proc/self/status").read_text()
        return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)
    return None


def weights_by_structure(last: Any) -> dict[str, int] | None:
    """Return the numbers of weights of a network from the least structure to the most, or None."""
    # By what it has, as this room knows no estimators.
    if not hasattr(last, "describe") or not hasattr(last, "net_"):
        return None
    totals = last.describe().sum(numeric_only=True)
    return {name: int(totals[name]) for name in STEPS}


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Add to an error what it comes from."""
    try:
        yield
    except SystemExit as end:  # which would end the study without a word
        error = RuntimeError(f"It has called sys.exit({end.code!r}).")
        error.add_note(note)
        raise error from end
    except Exception as error:
        error.add_note(note)
        raise


def note_of(work: Work, cell: Cell) -> str:
    """Return from which fit an error comes: "size 50, draw 2"."""
    names = zip(work.design.keys, cell.key, strict=True)
    where = ", ".join(f"{name} {value}" for name, value in names)
    return f"Raised by the estimator {cell.estimator!r}, {where}."


def check_parameters(value: Any) -> None:
    """Raise as a fit would for a parameter, also a nested one, that cannot be used."""
    if isinstance(value, (tuple, list)):
        for part in value:
            check_parameters(part)
    elif hasattr(value, "get_params") and not isinstance(value, type):
        # By what it has, as this room knows no estimators.
        if hasattr(value, "check_params"):
            value.check_params()
        for name, own in value.get_params(deep=False).items():
            # A name that stands for an object may be unknown, and what it stands for wrong.
            check_parameters(value.resolved(name) if hasattr(value, "resolved") else own)


def seeded(estimator: Any, seed: int) -> Any:
    """Return the estimator with all its random states set to a seed."""
    # The same seed for all of them: steps of a pipeline draw different things anyway.
    known = estimator.get_params(deep=True)
    estimator.set_params(**dict.fromkeys(filter(is_random_state, known), seed))
    # Splits of scikit-learn, which are no parameters, would draw from the global generator.
    drawing = {
        name: copy(value)
        for name, value in known.items()
        if hasattr(value, "split") and getattr(value, "random_state", seed) is None
    }
    for splits in drawing.values():
        splits.random_state = seed
    return estimator.set_params(**drawing)


def plain(value: Any) -> Any:
    """Return a parameter as JSON can hold it, the same in every process."""
    return value.item() if isinstance(value, np.generic) else describe_value(value)


def group_params(model: Any, groups: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    """Return the subjects under the name by which ``fit`` takes them, if it does.

    They go to the last step of a pipeline: to an estimator whose ``fit`` has ``groups``, or to a
    search whose ``cv`` splits by groups, so that model selection keeps subjects together too.
    """
    if groups is None:
        return {}
    name, last = model.steps[-1] if isinstance(model, Pipeline) else ("", model)
    cv: Any = last.cv if isinstance(last, BaseSearchCV) else None
    by_group = hasattr(cv, "split") and cv.get_metadata_routing().consumes("split", ["groups"])
    if not (by_group or has_fit_parameter(last, "groups")):
        return {}
    return {f"{name}__groups" if name else "groups": groups}
