"""A study: estimators compared over the splits of a design, anywhere, with nothing done twice."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.utils import check_scalar
from tqdm.auto import tqdm

from .config import write_config
from .data import StudyData, read_columns
from .description import (
    Cell,
    Description,
    changed_samples,
    environment,
    git_revision,
    keys_of,
    merged,
    plain,
)
from .designs import Design
from .fitting import Work, check_parameters, evaluate, group_params, last_step, note_of, noted
from .inference import check_baseline
from .parameters import describe_estimator
from .results import LEFT_OUT, PROBLEM, SAMPLES, Results, of_store, read_table, write_table
from .running import Failure, execute
from .search import Budget, BudgetSearchCV
from .store import FolderStore, MemoryStore
from .tasks import Task, task_of

SECONDS_BETWEEN_LOG_LINES = 10.0  # where standard error is a file and a bar cannot move
TABLES = "0"  # the key under which who writes tables claims that
SECONDS_TO_WAIT = 0.2  # for fits of other processes, before looking again


class Study:
    """Estimators, compared over the splits of a design.

    Every estimator gets the same splits, which depend on the data, the design, ``random_state``
    and their own numbers, and on nothing else.  Every fit takes a clone, whose parameters
    ``random_state``, also nested ones, are set to a seed that depends on ``random_state`` and the
    split.  Whatever an estimator does, as a pipeline or a search, it does with the training part
    alone.

    Parameters
    ----------
    design : Design
        ``Draws``, ``HoldOuts``, ``LeaveSiteOut``, ``KFold`` or ``FixedSplit``.
    estimators : dict
        Classifiers, regressors or estimators of maps by label; or pairs of one and what is
        searched in it: a grid or distributions by names of parameters.
    budget : Budget, default=None
        What each search may spend, the same for all; None is ``Budget(fits=30)``.
    random_state : int, default=0
    target : str, default="label"
        What the labels say, for the report.
    positive : label, default=None
        The class of two that sensitivity, AUC and calibration are about; None is the last one in
        sorted order, as everywhere in scikit-learn.
    name : str, default=""
        What the data are called, for pictures.
    baseline : str, default=None
        Label of the estimator that the others are compared with wherever none is named; it cannot
        change once it is named.  None is the first one, whatever came out.

    See Also
    --------
    limited_data, cohort_study : The same in one call, for two designs.
    Results : What comes out.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.svm import SVC
    >>> from sklstruct.studies import Budget, KFold, Study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> study = Study(
    ...     KFold(n_splits=3),
    ...     {"bayes": GaussianNB(), "svm": (SVC(), {"C": [1, 10, 100]})},
    ...     budget=Budget(fits=9),
    ... )
    >>> results = study.run(X, y)
    >>> results.groupby("estimator", sort=False)["accuracy"].mean().round(2).to_dict()
    {'bayes': 0.94, 'svm': 0.93}
    """

    def __init__(
        self,
        design: Design,
        estimators: Mapping[str, Any],
        *,
        budget: Budget | None = None,
        random_state: int = 0,
        target: str = "label",
        positive: Any = None,
        name: str = "",
        baseline: str | None = None,
    ) -> None:
        if not isinstance(design, Design):
            raise TypeError(
                "design must be Draws, HoldOuts, LeaveSiteOut, KFold or FixedSplit, got "
                f"{design!r}."
            )
        check_scalar(random_state, "random_state", Integral, min_val=0)
        check_scalar(target, "target", str)
        check_scalar(name, "name", str)
        self.design = design
        self.budget = Budget(fits=30) if budget is None else budget
        if not isinstance(self.budget, Budget):
            raise TypeError(f"budget must be a Budget, got {budget!r}.")
        self.estimators = check_estimators(estimators, self.budget)
        self.random_state = int(random_state)
        self.target, self.positive, self.name = target, positive, name
        self.baseline = baseline
        if baseline is not None:
            check_baseline(baseline, [*self.estimators])

    def run(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        *,
        sites: Any = None,
        X_test: Any = None,
        y_test: Any = None,
        left_out: pd.DataFrame | None = None,
        out: str | os.PathLike[str] | None = None,
        n_jobs: int | None = 1,
        backend: str | None = None,
        scheduler: Any = None,
        predictions: bool = False,
        config: Mapping[str, Any] | None = None,
        progress: bool = True,
    ) -> Results:
        """Make the fits that are not there yet, and return all that this study asks for.

        With a folder ``out``, every finished fit is a file there, which nothing ever rewrites.  A
        study that was stopped, by whatever means, is continued by the same call and repeats
        nothing.  Estimators, sizes, draws and repeats can be added in later calls.  Several
        processes, on one machine or on many that share a file system, can work on one folder at
        a time: each fit is made by one of them.

        Parameters
        ----------
        X : array-like, shape (n_samples, ...), or sequence of path
            Samples, as the estimators take them.
        y : array-like, shape (n_samples,) or (n_samples, *spatial)
            Labels, values, or maps of them.
        groups : array-like, shape (n_samples,), default=None
            Subjects, all of whose samples are on one side of a split; None if every sample is one.
        sites : array-like, shape (n_samples,), default=None
        X_test, y_test : default=None
            What every fit is tested on, for ``Draws`` and ``FixedSplit``.
        left_out : DataFrame, default=None
            Samples that were left out before, with the columns subject, file and problem; kept
            with the results.
        out : path-like, default=None
            Folder of the study; if None, results are in memory only.  It knows the data by values,
            and scans by their voxels and grids, not by paths: data can move to another folder.
        n_jobs : int or None, default=1
            Number of fits at a time, as in joblib.  BLAS takes one thread in each fit, so that
            the results are the same for any number.
        backend : str, default=None
            What runs them, a backend of joblib by its name, such as "threading".
        scheduler : str, Client or cluster of Dask distributed, default=None
            Where they run in place of this machine, such as "tcp://host:8786".
        predictions : bool, default=False
            Whether to write ``predictions.csv`` beside ``results.csv`` when the study ends.
        config : dict, default=None
            How the study was asked for, in options of ``sklstruct study`` by name.  What all runs
            have asked for is kept as ``study.toml`` in the folder, to be run again.
        progress : bool, default=True
            Whether to show a progress bar on standard error.

        Returns
        -------
        results : Results
            The fits that were asked for, by estimator and split; the folder may hold more.

        Raises
        ------
        ValueError
            If parameters or data do not fit together; or if ``out`` holds another study or is
            damaged, which is then left as it is.
        TypeError
            If an estimator does not predict what y is, or has no scores where classes need them.
        OSError
            If ``out`` cannot be written to, or the scheduler cannot be reached.
        """
        if n_jobs is not None and (not isinstance(n_jobs, Integral) or n_jobs == 0):
            raise ValueError(
                f"n_jobs must be a number of jobs, -1 for all cores, or None, got {n_jobs!r}."
            )
        data, task = self._read(X, y, groups, sites=sites, X_test=X_test, y_test=y_test)
        problems = check_left_out(left_out)
        warn_of_searches(self.estimators, data)
        run = self._describe(data, task) | ({"config": dict(config)} if config else {})
        work = Work(data, self.design, task, self.estimators, self.random_state)
        where = {"n_jobs": n_jobs, "backend": backend, "scheduler": scheduler}
        if scheduler is not None or backend is not None:
            # Without items, so that what cannot be reached is known before anything is written.
            list(execute(evaluate, None, (), **where))
        with MemoryStore() if out is None else FolderStore(Path(out)) as store:
            join(store, run, data, problems)
            if config and out is not None:
                write_config(store)
            try:
                complete(store, keys_of(run), work, progress, **where)
            except BaseException:
                # Of several errors the first says why it stopped.
                with suppress(OSError, ValueError):
                    export(store, bool(config), predictions, patient=False)
                raise
            export(store, bool(config), predictions)
            return of_store(store, [run], data.table, problems)

    def check(self, y: Any, groups: Any = None, *, sites: Any = None) -> None:
        """Raise as ``run`` does where labels cannot be studied so, before samples are read.

        Parameters
        ----------
        y : array-like, shape (n_samples,) or (n_samples, *spatial)
        groups, sites : array-like, shape (n_samples,), default=None

        Raises
        ------
        ValueError, TypeError
            As ``run`` does.
        """
        rows = [[row] for row in range(len(y))]  # as different as samples are
        data, _ = self._read(rows, y, groups, sites=sites)
        self.design.cells(data, self.random_state)

    def _read(self, X: Any, y: Any, groups: Any, **others: Any) -> tuple[StudyData, Task]:
        """Return the data, and what is predicted."""
        groups, y = read_columns(groups, y)
        task = task_of(y, self.estimators, self.positive)
        data = StudyData.checked(X, y, task.name, groups=groups, **others)
        if data.X_test is not None and not self.design.takes_test:
            raise ValueError(f"{type(self.design).__name__} takes no X_test and y_test.")
        return data, task

    def _describe(self, data: StudyData, task: Task) -> Description:
        """Return what this run is to compute."""
        design = self.design.describe()
        extent = {name: design.pop(name) for name in self.design.extent}
        fixed = {
            **task.describe(),
            "target": self.target,
            "positive": task.positive,
            "random_state": self.random_state,
            "budget": asdict(self.budget),
            "data": {**data.describe(), "classes": task.classes},
            "design": design,
        }
        estimators = {}
        for label, estimator in self.estimators.items():
            with noted(f"Raised by the parameters of the estimator {label!r}."):
                estimators[label] = describe_estimator(estimator)
        cells = self.design.cells(data, self.random_state)
        here = {**environment(), "git": git_revision()}
        run: Description = {"fixed": fixed, "extent": extent, "cells": cells}
        run |= {"name": self.name, "baseline": self.baseline, "estimators": estimators}
        return plain({**run, "environment": here})


def progress_bar(what: str, total: int, unit: str, shown: bool = True) -> tqdm[Any]:
    """Return a bar on standard error that says how much of something is done."""
    return tqdm(
        desc=what,
        total=total,
        unit=unit,
        mininterval=0.1 if sys.stderr.isatty() else SECONDS_BETWEEN_LOG_LINES,
        miniters=1,
        disable=not shown,
    )


def complete(store: Any, keys: dict[Cell, str], work: Work, progress: bool, **where: Any) -> None:
    """Make the fits that the store lacks, and put each into it as soon as it is there."""
    wanted = {key: cell for cell, key in keys.items()}
    bar = progress_bar("study", len(wanted), "fit", progress)
    failures: list[Failure] = []

    def open_cells() -> Iterator[Cell]:
        """Claim one fit after the other, as somebody is free to make it."""
        for key in missing:
            if failures:
                return
            if store.claim(key):
                yield wanted[key]

    with bar:
        while True:
            finished = store.keys() & wanted.keys()
            bar.update(len(finished) - bar.n)
            missing = [key for key in wanted if key not in finished]
            if not missing:
                return
            cells = open_cells()
            if (first := next(cells, None)) is None:  # what is missing is being made by others
                time.sleep(SECONDS_TO_WAIT)
                continue
            # Not before there is something to do: what is shared travels to all workers.
            for cell, fit in execute(evaluate, work, chain([first], cells), **where):
                key = keys[cell]
                if isinstance(fit, Failure):
                    store.release(key)
                    # A worker that has died could not say what it did.
                    if (note := note_of(work, cell)) not in getattr(fit.error, "__notes__", []):
                        fit.error.add_note(note)
                    failures.append(fit)
                    continue
                header = fit._asdict()
                columns = header.pop("columns")
                header["costs"]["git"] = git_revision()  # of who asked, not where it was computed
                store.put(key, header, columns)
                bar.update()
            if failures:
                raise failures[0].error


def export(store: Any, config: bool, predictions: bool, patient: bool = True) -> None:
    """Write the tables of all that is finished, when no other process does so."""
    if store.folder is None:
        return
    # Or an older table could take the place of a newer one.
    while not store.claim(TABLES):
        if not patient:
            return
        time.sleep(SECONDS_TO_WAIT)
    try:
        if config:  # with what others have finished meanwhile
            write_config(store)
        if not (everything := Results.read(store.folder)).empty:
            everything.export(store.folder, predictions=predictions)
    finally:
        store.release(TABLES)


def join(store: Any, run: Description, data: StudyData, left_out: pd.DataFrame) -> None:
    """Add a run to what the store has, or raise a ValueError if that is another study."""
    folder, table = store.folder, data.table
    try:
        merged([*store.runs().values(), run], store.keys())
    except ValueError as error:
        known = None if table is None else read_table(Path(folder, SAMPLES))
        changed = "" if known is None or table is None else changed_samples(known, table)
        raise ValueError(f"{folder} holds {error}.{changed}") from None
    store.add_run(run)
    # By their content: whoever works in the same folder writes the same.
    for name, content in () if folder is None else ((SAMPLES, table), (LEFT_OUT, left_out)):
        if content is not None:
            write_table(Path(folder, name), content)


# What is known before anything is fitted -----------------------------------------------------


def check_estimators(estimators: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """Return estimators by labels that a table can hold, a search for a pair with a grid."""
    if not isinstance(estimators, Mapping) or not estimators:
        raise ValueError(f"estimators must be a dict with estimators by label, got {estimators!r}.")
    found = {}
    for label, estimator in estimators.items():
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"The labels of estimators must be strings, got {label!r}.")
        model, *grid = estimator if isinstance(estimator, tuple) else (estimator,)
        if isinstance(model, type) or not hasattr(model, "get_params") or len(grid) > 1:
            raise TypeError(f"estimators[{label!r}] must be an estimator, got {estimator!r}.")
        with noted(f"Raised by the parameters of the estimator {label!r}."):
            found[label] = BudgetSearchCV(model, grid[0], budget) if grid else model
            check_parameters(found[label])
    return found


def check_left_out(left_out: pd.DataFrame | None) -> pd.DataFrame:
    """Return who was left out, in text, or raise a ValueError if it is no such table."""
    table = pd.DataFrame(columns=PROBLEM) if left_out is None else left_out
    if not isinstance(table, pd.DataFrame) or not {*PROBLEM} <= {*table.columns}:
        raise ValueError(f"left_out must be a table with the columns {PROBLEM}, got {left_out!r}.")
    # A subject without any image has no file, and text files know no missing values.
    return table[PROBLEM].fillna("").astype(str).reset_index(drop=True)


def warn_of_searches(estimators: Mapping[str, Any], data: StudyData) -> None:
    """Warn of estimators that hold out samples of subjects whose other samples they learn from."""
    # With a sample each there is nothing to part.
    if data.n_subjects == len(data):
        return
    for label, estimator in estimators.items():
        last = last_step(estimator)
        # Subjects reach the last step and nothing inside of it, as an estimator that is searched.
        parts = [part for part in estimator.get_params().values() if part is not last]
        parts += [] if group_params(estimator, data.groups) else [last]
        for part in parts:
            if hasattr(part, "cv") and hasattr(part, "fit"):
                warnings.warn(
                    f"The estimator {label!r} splits the samples of a subject in its own "
                    f"validation: its cv={part.cv!r} of {type(part).__name__} does not take "
                    "groups, as StratifiedGroupKFold of a search in the last step does.",
                    stacklevel=3,
                )
