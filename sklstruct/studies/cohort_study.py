"""How well estimators tell the subjects of a cohort apart."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from html import escape
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from .cohort_data import LABEL_TYPES, CohortData
from .description import Description, describe, read_description
from .draws import estimator_seed
from .fitting import (
    check_estimators,
    check_jobs,
    complete,
    fitting,
    group_params,
    seeded,
    timed,
    weights_by_structure,
)
from .record import FITS, STUDY, Cell, Fit, Layout, Record, check_kind, read_fits
from .tables import Row, Table

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
SUM_ERROR = 1e-3  # of probabilities in single precision
TIE = 1e-6  # of scores, which may have been compared in another precision
LEFT_OUT = Table("left_out.csv", {"subject": "str", "file": "str", "problem": "str"})


@dataclass(frozen=True, eq=False, repr=False)
class CohortResults:
    """What came out of a study on a cohort.

    Parameters
    ----------
    fits : DataFrame
        One row a fit: estimator, repeat, n_train and n_test (scans), n_train_subjects,
        n_test_subjects, held_out_site ("" where no sites are left out), probabilities (whether
        scores are), fit_seconds, predict_seconds, n_parameters (NA without ``n_parameters_``)
        and seed.
    predictions : DataFrame
        One row a fit and tested scan: estimator, repeat, subject, scan (the path, or the number
        of the row), label, predicted, and a column ``score:<label>`` for each class:
        its probability, or the value of the decision function, which for two classes is
        -d and d.
    classes : ndarray, shape (n_classes,)
        The labels, sorted; of two, the last one is positive, as the study says.
    target : str
        What the labels say.
    left_out : DataFrame
        Scans that were left out before: subject, file and problem.
    description : dict
        What ``study.json`` holds: data, seeds, estimators and environments.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import CohortResults, cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models, subjects = {"bayes": GaussianNB()}, range(len(y))
    >>> results = cohort_study(models, X, y, subjects, n_repeats=3, out="results")
    >>> results.fits[["estimator", "repeat", "n_train", "n_test"]].head(3)
      estimator  repeat  n_train  n_test
    0     bayes       0      427     142
    1     bayes       1      427     142
    2     bayes       2      427     142
    >>> CohortResults.read("results").predictions.shape == results.predictions.shape
    True
    """

    fits: pd.DataFrame
    predictions: pd.DataFrame
    classes: NDArray[Any]
    target: str
    left_out: pd.DataFrame
    description: Description

    def __repr__(self) -> str:
        return "\n".join([self._title(), self._means().to_string(float_format="{:.3f}".format)])

    def _repr_html_(self) -> str:
        return (
            f"<p>{escape(self._title())}</p>{self._means().to_html(float_format='{:.3f}'.format)}"
        )

    def _title(self) -> str:
        counts = (self.predictions["subject"].nunique(), self.fits["repeat"].nunique())
        return "CohortResults: {}, {} subjects, {} hold-outs".format(self.target, *counts)

    def _means(self) -> pd.DataFrame:
        """Return mean metrics over the hold-outs, one row an estimator."""
        from .metrics import MEASURES, score_fits  # which know this class

        return score_fits(self).groupby("estimator", sort=False)[[*MEASURES]].mean()

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Return what a study has written, all that is finished.

        Parameters
        ----------
        folder : path-like
            The ``out`` of a study.

        Returns
        -------
        results : CohortResults

        Raises
        ------
        OSError
            If a file is not there.
        ValueError
            If a file is damaged; the message names it and the line.
        """
        folder = Path(folder)
        check_kind(folder, [FIT_TABLE.file, PREDICTIONS])
        description = read_description(folder / STUDY, EXTENT)
        try:
            layout = layout_of(np.array(description["data"]["classes"]))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{folder / STUDY} is damaged: {error!r}.") from error
        fits = read_fits(folder, layout, description)
        check_told_once(folder, [row for fit in fits.values() for row in fit.details])
        left_out: list[Row] = []
        LEFT_OUT.read(folder, left_out.append)
        return cls._of(list(fits.values()), layout, description, LEFT_OUT.frame(left_out))

    @classmethod
    def _of(
        cls, done: list[Fit], layout: Layout, description: Description, left_out: pd.DataFrame
    ) -> Self:
        """Return the results of some fits."""
        predictions, fits = layout.frames(done)
        labels, target = description["data"]["classes"], description["target"]
        # Of two the last one is positive, everywhere.
        classes = np.array(sorted(labels, key=lambda label: label == description.get("positive")))
        return cls(fits, predictions, classes, target, left_out, description)


def cohort_study(
    estimators: Mapping[str, Any],
    X: Any,
    y: ArrayLike,
    groups: ArrayLike,
    *,
    sites: ArrayLike | None = None,
    n_repeats: int = 20,
    test_size: float | int | None = None,
    random_state: int = 0,
    n_jobs: int | None = 1,
    out: str | os.PathLike[str] | None = None,
    left_out: pd.DataFrame | None = None,
    target: str = "label",
    positive: Any = None,
    progress: bool = True,
) -> CohortResults:
    """Fit classifiers on part of the subjects, again and again, and predict the others.

    The splits are those of ``subject_splits``, the same for all estimators: all scans of a
    subject are on one side, classes are stratified.  Whatever an estimator does, as a pipeline
    or a search, it does with the training part alone.  It keeps subjects together there too if
    its ``fit`` takes ``groups``, or if it is a search whose ``cv`` does, such as
    ``StratifiedGroupKFold``.  Before anything is fitted, images are
    compared: if two subjects have the same one, under whatever names, that is an error.

    With a folder ``out``, every finished fit is written there.  A study that was stopped, by
    whatever means, is continued by the same call and repeats nothing.  Repeats and estimators
    can be added in later calls.

    Parameters
    ----------
    estimators : dict
        Classifiers by label.  Every fit takes a clone; its parameters ``random_state``, also
        nested ones, are set to a seed that depends on ``random_state`` and the repeat.
    X : array-like of path, shape (n_scans,), or array-like, shape (n_scans, ...)
        Scans, as the estimators take them.
    y : array-like, shape (n_scans,)
        Labels: text, truth values or numbers; at most 10 different numbers.
    groups : array-like, shape (n_scans,)
        Subjects.
    sites : array-like, shape (n_scans,), default=None
        If given, every repeat leaves out one site, and there must not be more repeats than
        sites.
    n_repeats : int, default=20
    test_size : float, int or None, default=None
        Share or number of the subjects to test on; None is a quarter.
    random_state : int, default=0
    n_jobs : int or None, default=1
        Number of fits at a time, as in joblib.  BLAS takes one thread in each fit.
    out : path-like, default=None
        Folder for ``fits.csv``, ``predictions.csv``, ``left_out.csv`` and ``study.json``.  The
        last one identifies the data by the voxels and grids of the images, or the values of the
        rows, with labels, subjects and sites, in their order; not by paths, so that data can
        move to another folder.
    left_out : DataFrame, default=None
        Scans that were left out before, with the columns subject, file and problem, as in the
        report of a cohort; kept with the results.
    target : str, default="label"
        What the labels say, for the report.
    positive : label, default=None
        The class of two that sensitivity, AUC and calibration are about; None is the last one in
        sorted order, as everywhere in scikit-learn.
    progress : bool, default=True
        Whether to show a progress bar on standard error.

    Returns
    -------
    results : CohortResults
        The fits that were asked for, by estimator, repeat, and number of the scan.

    Raises
    ------
    ValueError
        If parameters or data do not fit together, or an image cannot be read; or if ``out``
        holds another study, is in use by one or damaged, which is then left as it is.
    TypeError
        If an estimator is no classifier that gives scores.
    OSError
        If a file cannot be read, or ``out`` cannot be written to.

    See Also
    --------
    summarise_cohort, compare, score_fits : What came out.
    limited_data : Learning curves.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> results
    CohortResults: label, 331 subjects, 3 hold-outs
               balanced_accuracy   auc  sensitivity  specificity  accuracy  brier  log_loss
    estimator
    gauss                  0.937 0.984        0.944        0.931     0.939  0.059     0.957
    counts                 0.903 0.957        0.970        0.836     0.920  0.077     1.150
    """
    check_classifiers(estimators)
    check_scalar(target, "target", str)
    check_jobs(n_jobs)
    columns = list(LEFT_OUT.columns)
    table = pd.DataFrame(columns=columns) if left_out is None else left_out
    if not isinstance(table, pd.DataFrame) or not {*columns} <= {*table.columns}:
        raise ValueError(f"left_out must be a table with the columns {columns}, got {left_out!r}.")
    # A subject without any image has no file, and text files know no missing values.
    problems = table[columns].fillna("").astype(dict(LEFT_OUT.columns)).reset_index(drop=True)
    data = CohortData.checked(
        X, y, groups, sites, n_repeats=n_repeats, test_size=test_size, random_state=random_state
    )
    description = describe(
        data.describe(),
        estimators,
        int(random_state),
        target=target,
        n_repeats=int(n_repeats),
        positive=check_positive(positive, data.classes),
        scans=data.marks,
    )
    warn_of_searches(estimators, data)
    layout = layout_of(data.classes)
    # Repeat by repeat: a study that is stopped early has compared all estimators on some splits.
    by_repeat = [(label, repeat) for repeat, label in product(range(n_repeats), estimators)]
    fits = {c: delayed(evaluate)(estimators[c[0]], *c, data, random_state) for c in by_repeat}
    with Record.opened(out, description, layout) as record:
        check_tested(record, by_repeat, data)
        if record.folder is not None:
            LEFT_OUT.write(record.folder, [LEFT_OUT.text(problems.to_dict("records"))])
        complete(record, fits, n_jobs, progress)
    # What was asked for now, though the folder may hold more from other calls.
    done = record[product(estimators, range(n_repeats))]
    return CohortResults._of(done, layout, record.description, problems)


def check_classifiers(estimators: Mapping[str, Any]) -> None:
    """Raise unless all estimators are classifiers that give scores."""
    check_estimators(estimators)  # known now, not after the first of many fits
    for label, estimator in estimators.items():
        if not is_classifier(estimator):
            raise TypeError(f"estimators[{label!r}] must be a classifier, got {estimator!r}.")
        if not any(hasattr(estimator, name) for name in ("predict_proba", "decision_function")):
            raise TypeError(
                f"estimators[{label!r}] must have predict_proba or decision_function, got "
                f"{estimator!r}."
            )


def check_positive(positive: Any, classes: NDArray[Any]) -> Any:
    """Return the positive class as JSON can hold it, or raise a ValueError if there is none."""
    if positive is not None and (len(classes) != 2 or positive not in classes.tolist()):
        raise ValueError(
            f"positive must be one of two classes, got {positive!r} of {classes.tolist()}."
        )
    return None if positive is None else classes[classes == positive][0].item()


def warn_of_searches(estimators: Mapping[str, Any], data: CohortData) -> None:
    """Warn of estimators that hold out scans of subjects whose other scans they learn from."""
    # With a scan each there is nothing to part.
    if len(np.unique(data.groups)) == len(data.groups):
        return
    for label, estimator in estimators.items():
        last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        # Subjects reach the last step and nothing inside of it, as an estimator that is searched.
        parts = [part for part in estimator.get_params().values() if part is not last]
        parts += [] if group_params(estimator, data.groups) else [last]
        for part in parts:
            if hasattr(part, "cv") and hasattr(part, "fit"):
                warnings.warn(
                    f"The estimator {label!r} splits the scans of a subject in its own validation: "
                    f"its cv={part.cv!r} of {type(part).__name__} does not take groups, as "
                    "StratifiedGroupKFold of a search in the last step does.",
                    stacklevel=3,
                )


def check_tested(record: Record, cells: Iterable[Cell], data: CohortData) -> None:
    """Raise a ValueError unless finished fits were tested on the scans of their split.

    Scans that have moved since take their present names.
    """
    for cell in cells:
        if cell not in record.fits:
            continue
        details, tested = record.fits[cell].details, data.tested(cell[1])
        # Wherever the scans are now, subjects and labels are those of the split.
        found, wanted = ([(r["subject"], r["label"]) for r in rows] for rows in (details, tested))
        if found != wanted:
            raise ValueError(
                f"{PREDICTIONS} in {record.folder} is damaged, and is left as it is: subjects and "
                f"labels of {record.layout.named(cell)} are not those of the data."
            )
        row = record.fits[cell].row
        if wrong := [name for name, n in data.counts(cell[1]).items() if row[name] != n]:
            raise ValueError(
                f"{FIT_TABLE.file} in {record.folder} is damaged, and is left as it is: "
                f"{', '.join(wrong)} of {record.layout.named(cell)} are not those of the split."
            )
        for row, scan in zip(details, tested, strict=True):
            row.update(scan)


# One fit, and the tables that it goes into ----------------------------------------------------


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
    tables, known = (Table(PREDICTIONS, columns), FIT_TABLE), classes.tolist()
    return Layout(KEYS, EXTENT, tables, partial(flaw_of, classes=known), decided_apart)


def check_told_once(folder: Path, rows: list[Row]) -> None:
    """Raise a ValueError unless a scan has one subject and one label, wherever it was tested."""
    told: dict[Any, tuple[Any, Any]] = {}
    for row in rows:
        seen = row["subject"], row["label"]
        if (first := told.setdefault(row["scan"], seen)) != seen:
            raise ValueError(
                f"{folder / PREDICTIONS} is damaged, and is left as it is: the subject and label "
                f"of {row['scan']} must be the same in all its rows, got {first} and {seen}."
            )


def flaw_of(fit: Fit, classes: list[Any]) -> str:
    """Return what is wrong about a fit that was read, "" if nothing is."""
    n_subjects = len({row["subject"] for row in fit.details})
    if n_subjects != fit.row["n_test_subjects"]:
        return f"there must be {fit.row['n_test_subjects']} subjects, got {n_subjects}"
    for row in fit.details:
        for name in ("label", "predicted"):
            if row[name] not in classes:
                return f"the {name} of {row['scan']} must be a class, got {row[name]!r}"
        scores = scores_of(row)
        sound, kind = bool(np.isfinite(scores).all()), "finite"
        if fit.row["probabilities"]:
            sound &= min(scores) >= 0 and abs(sum(scores) - 1) <= SUM_ERROR
            kind = "probabilities that sum to one"
        if not sound:
            return f"the scores of {row['scan']} must be {kind}, got {scores}"
    return ""


def decided_apart(fit: Fit) -> list[Row]:
    """Return the rows whose prediction is not the label of the largest score."""
    return [r for r in fit.details if r[f"score:{r['predicted']}"] < max(scores_of(r)) - TIE]


def scores_of(row: Row) -> list[float]:
    """Return the scores of a scan."""
    return [value for name, value in row.items() if name.startswith("score:")]


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
    return Fit(row, details, weights_by_structure(model))


def class_scores(model: Any, X: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the probabilities of the classes, or what there is instead."""
    if hasattr(model, "predict_proba"):
        scores = np.asarray(model.predict_proba(X), dtype=np.float64)
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
