"""How well estimators learn from little data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import product
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss, recall_score
from sklearn.utils import check_scalar

from .data import StudyData
from .description import describe
from .draws import estimator_seed
from .fitting import (
    check_estimators,
    check_jobs,
    complete,
    fitting,
    probabilities,
    seeded,
    timed,
    weights_by_structure,
)
from .record import FITS, Fit, Layout, Record
from .tables import Table


class Cell(NamedTuple):
    """One fit of a study."""

    estimator: str
    size: int
    draw: int


RESULTS = Table(
    FITS["limited_data"],
    {
        "estimator": "str",
        "size": "int64",
        "draw": "int64",
        "accuracy": "float64",
        "balanced_accuracy": "float64",
        "log_loss": "float64",
        "fit_seconds": "float64",
        "predict_seconds": "float64",
        "n_parameters": "Int64",
        "n_test": "int64",
        "seed": "int64",
    },
    may_lack=frozenset({"log_loss", "n_parameters"}),
)


def flaw_of(fit: Fit) -> str:
    """Return what is wrong about a fit that was read, "" if nothing is."""
    for name in ("accuracy", "balanced_accuracy"):
        if not 0 <= fit.row[name] <= 1:
            return f"{name} must be from 0 to 1, got {fit.row[name]}"
    return ""


LAYOUT = Layout(Cell._fields, ("sizes", "n_draws"), (RESULTS,), flaw_of)


def limited_data(
    estimators: Mapping[str, Any],
    X: ArrayLike,
    y: ArrayLike,
    *,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    sizes: Iterable[int],
    n_draws: int = 5,
    test_size: float | int | None = None,
    random_state: int = 0,
    n_jobs: int | None = 1,
    out: str | os.PathLike[str] | None = None,
    name: str = "",
    progress: bool = True,
) -> pd.DataFrame:
    """Fit estimators on small training sets of several sizes and test each fit.

    Every estimator gets the same training sets.  They are stratified, hold every class, and
    those of one draw are nested; they depend on the data, ``random_state`` and the number of
    the draw, and on nothing else.

    With a folder ``out``, every finished fit is written to ``results.csv`` there.  A study that
    was stopped, by whatever means, is continued by the same call and repeats nothing.  Sizes,
    draws and estimators can be added in later calls.

    Parameters
    ----------
    estimators : dict
        Classifiers by label.  Every fit takes a clone; its parameters ``random_state``, also
        nested ones, are set to a seed that depends on ``random_state``, size and draw.
    X : array-like, shape (n_samples, ...)
        Samples to draw training sets from.
    y : array-like, shape (n_samples,)
        Labels of any type.
    X_test : array-like, shape (n_test, ...), default=None
        What every fit is tested on.  If None, every draw holds out samples of X.
    y_test : array-like, shape (n_test,), default=None
    sizes : iterable of int
        Numbers of training samples.
    n_draws : int, default=5
        Number of training sets of each size.
    test_size : int, float or None, default=None
        Number or share of the samples to hold out, stratified, where no test samples are
        given; None is a third.  It does not depend on the sizes, so that sizes can be added.
    random_state : int, default=0
    n_jobs : int or None, default=1
        Number of fits at a time, as in joblib.  BLAS takes one thread in each fit, so that
        the scores are the same for any number.
    out : path-like, default=None
        Folder for ``results.csv`` and for ``study.json``, which describes the study.
    name : str, default=""
        What the data are called, for pictures.
    progress : bool, default=True
        Whether to show a progress bar on standard error.

    Returns
    -------
    results : DataFrame
        One row for each estimator, size and draw, in this order, with the columns estimator,
        size, draw, accuracy, balanced_accuracy (mean recall of the classes that are tested),
        log_loss (natural; nan without ``predict_proba``), fit_seconds, predict_seconds (of
        all test samples), n_parameters (the attribute ``n_parameters_``; NA without it), n_test
        and seed.

    Raises
    ------
    ValueError
        If parameters or data do not fit together; or if ``out`` holds another study, is in use by
        one or damaged, which is then left as it is.
    OSError
        If ``out`` cannot be written to.

    See Also
    --------
    summarise, format_summary, paired_differences : What came out.
    cohort_study : Subjects and sites in place of draws.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> results.shape
    (12, 11)
    >>> results.groupby(["estimator", "size"])["accuracy"].mean().round(2)
    estimator  size
    counts     10      0.83
               40      0.90
    gauss      10      0.92
               40      0.96
    Name: accuracy, dtype: float64
    """
    data = StudyData.checked(X, y, X_test, y_test, test_size)
    check_estimators(estimators)
    sizes = check_sizes(sizes, data)
    check_scalar(n_draws, "n_draws", Integral, min_val=1)
    check_scalar(random_state, "random_state", Integral, min_val=0)
    check_jobs(n_jobs)
    description = describe(
        data.describe(),
        estimators,
        int(random_state),
        sizes=sizes,
        n_draws=int(n_draws),
        name=name,
    )
    # Draw by draw: a study that is stopped early has compared all on some of them.
    by_draw = product(range(n_draws), sizes, estimators)
    cells = [Cell(label, size, draw) for draw, size, label in by_draw]
    fits = {c: delayed(evaluate)(estimators[c.estimator], c, data, random_state) for c in cells}
    with Record.opened(out, description, LAYOUT) as record:
        complete(record, fits, n_jobs, progress)
    (results,) = LAYOUT.frames(record[product(estimators, sizes, range(n_draws))])
    results.attrs["name"] = name  # for the title of a picture
    return results


def check_sizes(sizes: Iterable[int], data: StudyData) -> list[int]:
    """Return the sizes in ascending order, or raise if there cannot be such training sets."""
    sizes = list(sizes)
    if not sizes or len({*sizes}) < len(sizes):
        raise ValueError(f"sizes must be numbers of samples, each once, got {sizes}.")
    for size in sizes:
        check_scalar(size, "sizes", Integral)
        if size < len(data.classes):
            raise ValueError(
                f"sizes must be at least {len(data.classes)}, one sample a class, got {size}."
            )
        if size > data.n_available:
            raise ValueError(
                f"sizes must be at most {data.n_available}, got {size}: there are {len(data.y)} "
                f"samples, of which {len(data.y) - data.n_available} are held out for testing."
            )
    return sorted(map(int, sizes))


def evaluate(estimator: Any, cell: Cell, data: StudyData, random_state: int) -> Fit:
    """Fit an estimator on one training set and test it."""
    label, size, draw = cell
    seed = estimator_seed(random_state, size, draw)
    X_train, y_train, X_test, y_test = data.split(size, draw, random_state)
    with fitting(f"Raised by the estimator {label!r} on {size} samples, draw {draw}."):
        model = seeded(clone(estimator), seed)
        _, fit_seconds = timed(model.fit, X_train, y_train)
        predicted, predict_seconds = timed(model.predict, X_test)
        scores = score(model, X_test, y_test, predicted, data.classes)
    row = {
        **cell._asdict(),
        **scores,
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "n_parameters": getattr(model, "n_parameters_", None),
        "n_test": len(y_test),
        "seed": seed,
    }
    return Fit(row, [], weights_by_structure(model))


def score(
    model: Any,
    X_test: NDArray[Any],
    y_test: NDArray[Any],
    predicted: NDArray[Any],
    classes: NDArray[Any],
) -> dict[str, float]:
    """Return the accuracy, the balanced accuracy and the log loss of a fitted classifier."""
    # balanced_accuracy_score would warn of classes that are predicted and not tested.
    tested = np.unique(y_test)  # recall means nothing for a class that is not tested
    recall = recall_score(y_test, predicted, labels=tested, average="macro", zero_division=0)
    scores = {"accuracy": accuracy_score(y_test, predicted), "balanced_accuracy": recall}
    if not hasattr(model, "predict_proba"):
        return {**scores, "log_loss": np.nan}
    # All classes of the study, as a test set may lack one.
    proba = probabilities(model, X_test)
    return {**scores, "log_loss": log_loss(y_test, proba, labels=classes)}
