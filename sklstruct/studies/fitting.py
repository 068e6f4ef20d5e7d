"""What every study does with its estimators: check them, seed them, fit what is missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from joblib import Parallel
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter
from tqdm.auto import tqdm

from ..compat import BaseSearchCV
from ..threads import one_blas_thread
from .description import is_random_state
from .record import Record

STEPS = "dense", "local", "shared", "frame", "attributes"  # of the structure of a network
SECONDS_BETWEEN_LOG_LINES = 10.0  # where standard error is a file and a bar cannot move


def check_estimators(estimators: Mapping[str, Any]) -> None:
    """Raise unless there are estimators with labels that a table can hold."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise ValueError(f"estimators must be a dict with estimators by label, got {estimators!r}.")
    for label, estimator in estimators.items():
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"The labels of estimators must be strings, got {label!r}.")
        if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
            raise TypeError(f"estimators[{label!r}] must be an estimator, got {estimator!r}.")
        with noted(f"Raised by the parameters of the estimator {label!r}."):
            check_parameters(estimator)


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


def check_jobs(n_jobs: int | None) -> None:
    """Raise a ValueError unless joblib can take a number of jobs."""
    if n_jobs == 0:
        raise ValueError("n_jobs must be a number of jobs, -1 for all cores, or None, got 0.")


def complete(record: Record, calls: Mapping[Any, Any], n_jobs: int | None, progress: bool) -> None:
    """Make the fits that a record lacks, and add each as soon as it is there.

    Parameters
    ----------
    record : Record
    calls : dict
        For each cell the delayed call that returns its fit, in the order to make them.
    n_jobs : int or None
    progress : bool
    """
    missing = [call for cell, call in calls.items() if cell not in record.fits]
    bar = tqdm(
        desc="study",
        total=len(calls),
        initial=len(calls) - len(missing),
        unit="fit",
        mininterval=0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LOG_LINES,
        miniters=1,
        disable=not progress,
    )
    # One fit a batch, in any order: what is finished is safe on disk before the next one begins.
    with bar:
        for fit in Parallel(n_jobs, return_as="generator_unordered", batch_size=1)(missing):
            record.add(fit)
            bar.update()


def weights_by_structure(model: Any) -> dict[str, int] | None:
    """Return the numbers of weights of a network from the least structure to the most, or None."""
    last = model[-1] if isinstance(model, Pipeline) else model
    # By what it has, as this room knows no estimators.
    if not hasattr(last, "describe") or not hasattr(last, "net_"):
        return None
    totals = last.describe().sum(numeric_only=True)
    return {name: int(totals[name]) for name in STEPS}


@contextmanager
def fitting(note: str) -> Iterator[None]:
    """Give one thread to BLAS, and add to an error which fit it comes from."""
    # Sums over several threads round differently, and jobs would fight for the cores.
    with noted(note), one_blas_thread():
        yield


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Add to an error what it comes from."""
    try:
        yield
    except Exception as error:
        error.add_note(note)
        raise


def seeded(estimator: Any, seed: int) -> Any:
    """Return the estimator with all its random states set to a seed."""
    # The same seed for all of them: steps of a pipeline draw different things anyway.
    names = filter(is_random_state, estimator.get_params(deep=True))
    return estimator.set_params(**dict.fromkeys(names, seed))


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """Return what a function returns, and the seconds that it took."""
    start = perf_counter()
    result = function(*args)
    return result, perf_counter() - start


def probabilities(model: Any, X: Any) -> NDArray[np.float64]:
    """Return the probabilities of the classes, which add up to one."""
    proba = np.asarray(model.predict_proba(X), dtype=np.float64)
    return proba / proba.sum(axis=1, keepdims=True)  # exactly, also where they came in float32


def group_params(model: Any, groups: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the subjects under the name by which ``fit`` takes them, if it does.

    They go to the last step of a pipeline: to an estimator whose ``fit`` has ``groups``, or to a
    search whose ``cv`` splits by groups, so that model selection keeps subjects together too.
    """
    name, last = model.steps[-1] if isinstance(model, Pipeline) else ("", model)
    cv: Any = last.cv if isinstance(last, BaseSearchCV) else None
    by_group = hasattr(cv, "split") and cv.get_metadata_routing().consumes("split", ["groups"])
    if not (by_group or has_fit_parameter(last, "groups")):
        return {}
    return {f"{name}__groups" if name else "groups": groups}
