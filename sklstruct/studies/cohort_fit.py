"""One fit of a study on a cohort, and the tables that it goes into."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .cohort_data import LABEL_TYPES, CohortData
from .draws import estimator_seed
from .fitting import fitting, group_params, probabilities, seeded, timed
from .record import FITS, Fit, Layout
from .tables import Table

KEYS, EXTENT = ("estimator", "repeat"), ("target", "n_repeats")
PREDICTIONS = "predictions.csv"
FIT_TABLE = Table(
    FITS["cohort_study"],
    {
        "estimator": "str",
        "repeat": "int64",
        "n_train": "int64",
        "n_test": "int64",
        "n_train_subjects": "int64",
        "n_test_subjects": "int64",
        "held_out_site": "str",
        "probabilities": "bool",
        "fit_seconds": "float64",
        "predict_seconds": "float64",
        "n_parameters": "Int64",
        "seed": "int64",
    },
    may_lack=frozenset({"n_parameters"}),
)


def layout_of(classes: NDArray[Any]) -> Layout:
    """Return the files of a study with these classes."""
    label = LABEL_TYPES[classes.dtype.kind]
    columns = {
        "estimator": "str",
        "repeat": "int64",
        "subject": "str",
        "scan": "str",
        "label": label,
        "predicted": label,
        **dict.fromkeys(score_columns(classes), "float64"),
    }
    return Layout(KEYS, EXTENT, FIT_TABLE, Table(PREDICTIONS, columns))


def score_columns(classes: NDArray[Any]) -> list[str]:
    """Return the names of the columns of scores."""
    return [f"score:{label}" for label in classes.tolist()]


def evaluate(estimator: Any, label: str, repeat: int, data: CohortData, random_state: int) -> Fit:
    """Fit an estimator on the training part of a repeat and predict the other part."""
    seed = estimator_seed(random_state, repeat)
    train, test = data.splits[repeat]
    with fitting(f"Raised by the estimator {label!r} in repeat {repeat}."):
        model = seeded(clone(estimator), seed)
        fit = partial(model.fit, **group_params(model, data.groups[train]))
        _, fit_seconds = timed(fit, data.take(train), data.y[train])
        tested = data.take(test)  # once for both: of paths, that is nothing
        predicted, predict_seconds = timed(model.predict, tested)
        scores = class_scores(model, tested, (len(test), len(data.classes)))
        predicted = np.asarray(predicted)
        if unknown := set(predicted.tolist()) - set(data.classes.tolist()):
            raise ValueError(
                f"It predicts what is no label, {unknown}, of {data.classes.tolist()}."
            )
        # A machine may give numbers of another type for labels; a file is to be read as the same.
        predicted = predicted.astype(data.classes.dtype).tolist()
    last = model[-1] if isinstance(model, Pipeline) else model
    row = {
        "estimator": label,
        "repeat": repeat,
        **data.counts(repeat),
        "probabilities": hasattr(model, "predict_proba"),
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "n_parameters": getattr(last, "n_parameters_", None),
        "seed": seed,
    }
    names = score_columns(data.classes)
    details = [
        {"estimator": label, "repeat": repeat, **scan, "predicted": value}
        | dict(zip(names, values, strict=True))
        for scan, value, values in zip(data.tested(repeat), predicted, scores.tolist(), strict=True)
    ]
    return Fit(row, details)


def class_scores(model: Any, X: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the probabilities of the classes, or what there is instead."""
    if hasattr(model, "predict_proba"):
        scores = probabilities(model, X)
    else:
        scores = np.asarray(model.decision_function(X), dtype=np.float64)
        # One column a class, whatever it is: metrics then need no case for machines.
        scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
    if scores.shape != shape or not np.isfinite(scores).all():
        raise ValueError(
            f"Scores must be finite and of shape {shape}, a column a class, got shape "
            f"{scores.shape} with {np.count_nonzero(~np.isfinite(scores))} that are not finite."
        )
    return scores
