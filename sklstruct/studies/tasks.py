"""What y means: classes, values or maps; what predictions of it say, and how good they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.base import is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d

from ..compat import BaseSearchCV
from . import intervals, metrics
from .metrics import EPSILON, Array, Floats, Measure, Outcome

Columns = Mapping[str, Array]

NO_CLASSES: Array = np.empty(0)
ROUNDING = 0.01  # of probabilities in half precision
SCORE = "score:"  # before the label in the names of columns


class Task(ABC):
    """What a study does with the predictions of its estimators, for one kind of y.

    Attributes
    ----------
    name : str
        As it is recorded: "classes", "values" or "maps".
    places : str
        Of maps, what is at a place: "classes", "values", or "score" if only the estimator can tell
        how good they are; else "".
    classes : ndarray
        The labels, sorted, if there are any.
    positive : label
        The class of two that some metrics are about, None for the last one.
    measures : dict of Measure
        Metrics by name.
    main : str
        The metric that estimators are compared by, and searched by.

    See Also
    --------
    task_of : Which one it is.
    """

    name: ClassVar[str]
    places: ClassVar[str] = ""
    main: ClassVar[str]
    measures: ClassVar[dict[str, Measure]]

    classes: Array
    positive: Any = None

    def describe(self) -> dict[str, Any]:
        """Return what ``task_from`` needs to know, beside the classes of the data."""
        return {"task": self.name, "places": self.places}

    @abstractmethod
    def predict(self, model: Any, X: Any, y: Any) -> Columns:
        """Return what a fitted model says of samples beside what they are, a row a sample.

        Every sample is read once where the model allows it: the steps of a pipeline before the
        last one transform it once, and what knows labels and probabilities together is asked once.

        Parameters
        ----------
        model : fitted estimator
        X : array-like, shape (n, ...), or list of images
        y : array-like, shape (n,), or maps: array-like, shape (n, *spatial), or list of maps
        """

    def frame(self, columns: Columns) -> dict[str, Array]:
        """Return the same as columns of a table that people read."""
        return dict(columns)

    @abstractmethod
    def columns(self, table: pd.DataFrame) -> Columns:
        """Return what such a table holds, for ``outcome``."""

    @abstractmethod
    def outcome(self, columns: Columns, sample: Array, subject: Array) -> Outcome:
        """Return what metrics are made of."""

    def score(self, columns: Columns) -> dict[str, Any]:
        """Return the metrics of one fit by name, from what ``predict`` gives.

        Of classes, also whether scores are ``probabilities``.
        """
        everyone = np.arange(len(next(iter(columns.values()))))
        outcome = self.outcome(columns, everyone, everyone)
        return {name: float(of(outcome)[0]) for name, of in self.measures.items()}


def in_one_pass(model: Any, X: Any) -> tuple[Any, Any]:
    """Return the part of a fitted model that predicts, and samples as that part takes them."""
    if isinstance(model, BaseSearchCV):
        return in_one_pass(model.best_estimator_, X)
    if isinstance(model, Pipeline):
        before, last = model[:-1], model[-1]
        return in_one_pass(last, before.transform(X) if len(before) else X)
    return model, X


# Classes -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Classes(Task):
    """A label of each sample.

    Parameters
    ----------
    classes : ndarray, shape (n_classes,)
        The labels, sorted.
    positive : label, default=None
        The class of two that sensitivity and AUC are about; None is the last one.

    See Also
    --------
    task_of : Which task a study has.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies.tasks import Classes
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> task = Classes(np.array([0, 1]))
    >>> columns = task.predict(GaussianNB().fit(X[:99], y[:99]), X[99:], y[99:])
    >>> {name: values.shape for name, values in columns.items()}
    {'label': (470,), 'predicted': (470,), 'probabilities': (470, 2)}
    >>> round(task.score(columns)["auc"], 2)
    0.99
    """

    classes: Array
    positive: Any = None

    name: ClassVar[str] = "classes"
    main: ClassVar[str] = "balanced_accuracy"
    measures: ClassVar[dict[str, Measure]] = {
        "balanced_accuracy": Measure(
            metrics.balanced_accuracy,
            partial(intervals.interval_of_accuracy, balanced=True),
            (0, 1),
            share=True,
            guess=lambda n_classes: 1 / n_classes,
        ),
        "auc": Measure(
            metrics.auc, intervals.interval_of_auc, (0, 1), ranks=True, guess=lambda n_classes: 0.5
        ),
        "sensitivity": Measure(
            partial(metrics.recall_of_two, label=1),
            partial(intervals.interval_of_recall, label=1),
            (0, 1),
            share=True,
        ),
        "specificity": Measure(
            partial(metrics.recall_of_two, label=0),
            partial(intervals.interval_of_recall, label=0),
            (0, 1),
            share=True,
        ),
        "accuracy": Measure(
            metrics.accuracy,
            partial(intervals.interval_of_accuracy, balanced=False),
            (0, 1),
            share=True,
        ),
        "brier": Measure(
            partial(metrics.mean_loss, column=-2),
            intervals.interval_of_class_loss,
            (0, np.inf),
            loss=True,
        ),
        "log_loss": Measure(
            partial(metrics.mean_loss, column=-1),
            intervals.interval_of_class_loss,
            (0, np.inf),
            loss=True,
        ),
    }

    def predict(self, model: Any, X: Any, y: Any) -> Columns:
        """Return labels and predictions as numbers of classes, and scores.

        Returns
        -------
        columns : dict of ndarray
            label and predicted, (n,), and either probabilities or decisions, (n, n_classes), or
            neither where the model has no scores.

        Raises
        ------
        ValueError
            If there is a label that is no class, or scores are not finite or of another shape.
        """
        last, X = in_one_pass(model, X)
        scores = {}
        if hasattr(last, "predict_with_proba"):
            predicted, scores["probabilities"] = last.predict_with_proba(X)
        else:
            predicted = last.predict(X)
            if hasattr(last, "predict_proba"):
                scores["probabilities"] = last.predict_proba(X)
            elif hasattr(last, "decision_function"):
                scores["decisions"] = last.decision_function(X)
        if len(predicted) != len(y):
            raise ValueError(
                f"There must be a prediction of each sample, got {len(predicted)} of {len(y)}."
            )
        for name in scores.keys() & {"probabilities"}:
            check_probabilities(np.asarray(scores[name]))
        return {
            "label": self._numbers("y has", y),
            "predicted": self._numbers("It predicts", predicted),
            **{name: self._scores(last, given, len(predicted)) for name, given in scores.items()},
        }

    def _numbers(self, who: str, labels: Any) -> NDArray[np.int16]:
        """Return the places of labels among the classes."""
        places = {label: place for place, label in enumerate(self.classes.tolist())}
        labels = np.asarray(labels).ravel().tolist()
        if unknown := set(labels) - set(places):
            raise ValueError(f"{who} what is no label, {unknown}, of {self.classes.tolist()}.")
        return np.array([places[label] for label in labels], dtype=np.int16)

    def _scores(self, model: Any, scores: Any, n: int) -> Array:
        """Return a column of scores for each class."""
        scores = np.asarray(scores)
        # One column a class, whatever it is: metrics then need no case for machines.
        scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
        known = getattr(model, "classes_", self.classes)
        if scores.shape != (n, len(known)) or not np.isfinite(scores).all():
            raise ValueError(
                f"Scores must be finite and of shape {n, len(known)}, a column a class, got shape "
                f"{scores.shape} with {np.count_nonzero(~np.isfinite(scores))} that are not finite."
            )
        at = self._numbers("It knows", known)
        if len(at) < len(self.classes) and not hasattr(model, "predict_proba"):
            raise ValueError(
                f"There must be decision values of all classes, {self.classes.tolist()}, but it "
                f"has learned from {known.tolist()} alone."
            )
        every = np.zeros((n, len(self.classes)), scores.dtype)  # what it never saw is improbable
        every[:, at] = scores
        return every

    def frame(self, columns: Columns) -> dict[str, Array]:
        """Return labels as y has them, and a column of scores for each class."""
        scores, names = scores_in(columns, len(self.classes)), self._score_names()
        return {
            "label": self.classes[columns["label"]],
            "predicted": self.classes[columns["predicted"]],
            **dict(zip(names, scores.T, strict=True)),
        }

    def columns(self, table: pd.DataFrame) -> Columns:
        """Return numbers of classes, and scores of whatever kind."""
        names = self._score_names()
        check_columns("predictions", table, ["label", "predicted", *names])
        return {
            **{name: self._codes(table[name]) for name in ("label", "predicted")},
            "scores": table[names].to_numpy(np.float64),
        }

    def _score_names(self) -> list[str]:
        return [f"{SCORE}{label}" for label in self.classes.tolist()]

    def _codes(self, labels: pd.Series[Any]) -> NDArray[np.int16]:
        # By distinct labels: there may be millions of rows.
        codes, distinct = pd.factorize(labels)
        try:
            return self._numbers("", distinct)[codes]
        except ValueError:
            unknown = sorted({str(x) for x in distinct} - {str(x) for x in self.classes})
            raise ValueError(
                f"The column {labels.name!r} of predictions must hold the classes "
                f"{self.classes.tolist()}, got {', '.join(map(repr, unknown))}."
            ) from None

    def outcome(self, columns: Columns, sample: Array, subject: Array) -> Outcome:
        """Return what metrics are made of."""
        label, n_classes = columns["label"], len(self.classes)
        given = np.asarray(scores_in(columns, n_classes), np.float64)
        sure = columns.get("sure", "decisions" not in columns)
        is_class = np.eye(n_classes)[label]
        # Probabilities sum to one, also those that came in float32.
        scores = given / np.where(sure, given.sum(axis=1), 1.0)[:, None]
        # Halved for two classes, it is the score that Brier defined for events.
        squared = np.square(scores - is_class).sum(axis=1) / (2 if n_classes == 2 else 1)
        of_label = np.clip(scores[np.arange(len(label)), label], EPSILON, 1 - EPSILON)
        losses = np.where(sure, [squared, -np.log(of_label)], np.nan)  # decisions have neither
        right = is_class * (label == columns["predicted"])[:, None]
        order = positive_last(self.classes, self.positive)
        sums = np.column_stack([is_class[:, order], right[:, order], *losses])
        # Ranks of what was given: dividing by sums would break ties by what it rounds.
        ranks = rankdata(given, axis=0)
        return Outcome(sample, subject, sums, *(x[:, order] for x in (is_class, scores, ranks)))

    def score(self, columns: Columns) -> dict[str, Any]:
        """Return the metrics of one fit, and whether scores are probabilities."""
        return super().score(columns) | {"probabilities": "probabilities" in columns}


def check_probabilities(given: Array) -> None:
    """Raise a ValueError if numbers are far from probabilities, as outputs of a network may be."""
    sums = given.sum(axis=-1)
    if (
        given.ndim == 2
        and np.isfinite(given).all()
        and not (given.min() >= -ROUNDING and np.abs(sums - 1).max() <= ROUNDING)
    ):
        raise ValueError(
            "Probabilities must not be negative and must sum to 1, got them from "
            f"{given.min():.3g} to {given.max():.3g} with sums from {sums.min():.3g} to "
            f"{sums.max():.3g}."
        )


def scores_in(columns: Columns, n_classes: int) -> Array:
    """Return the scores that there are, nan where there are none."""
    for name in ("scores", "probabilities", "decisions"):
        if name in columns:
            return columns[name]
    return np.full((len(columns["label"]), n_classes), np.nan)


def positive_last(classes: Array, positive: Any) -> NDArray[np.intp]:
    """Return the order of classes in which the positive one of two comes last."""
    return np.argsort([label == positive for label in classes.tolist()], kind="stable")


# Values --------------------------------------------------------------------------------------

OF_VALUES = {
    "r2": Measure(metrics.r2, intervals.interval_of_r2, (-np.inf, 1), guess=lambda n_classes: 0.0),
    "mae": Measure(metrics.mae, intervals.interval_of_loss, (0, np.inf), loss=True),
    "rmse": Measure(metrics.rmse, intervals.interval_of_loss, (0, np.inf), loss=True),
}


class Values(Task):
    """A number of each sample.

    Metrics are the coefficient of determination, the mean absolute error, the root of the mean
    squared error, and Spearman's rank correlation.

    See Also
    --------
    task_of : Which task a study has.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from sklstruct.studies.tasks import Values
    >>> X, y = load_diabetes(return_X_y=True)
    >>> columns = Values().predict(Ridge(alpha=0.1).fit(X[:300], y[:300]), X[300:], y[300:])
    >>> {name: round(value, 2) for name, value in Values().score(columns).items()}
    {'r2': 0.51, 'mae': 41.48, 'rmse': 52.76, 'rank_correlation': 0.71}
    """

    classes = NO_CLASSES

    name: ClassVar[str] = "values"
    main: ClassVar[str] = "r2"
    measures: ClassVar[dict[str, Measure]] = {
        **OF_VALUES,
        "rank_correlation": Measure(
            metrics.rank_correlation,
            intervals.interval_of_ranks,
            (-1, 1),
            ranks=True,
            guess=lambda n_classes: 0.0,
        ),
    }

    def predict(self, model: Any, X: Any, y: Any) -> Columns:
        """Return values and predicted values.

        Returns
        -------
        columns : dict of ndarray
            label and predicted, (n,).

        Raises
        ------
        ValueError
            If predictions are not finite or not one a sample.
        """
        label = np.asarray(y, np.float64).ravel()
        predicted = np.asarray(model.predict(X), np.float64)
        if predicted.shape not in ((len(label),), (len(label), 1)) or not (
            np.isfinite(predicted).all()
        ):
            raise ValueError(
                f"Predictions must be finite and of shape {(len(label),)}, got shape "
                f"{predicted.shape} with {np.count_nonzero(~np.isfinite(predicted))} that are not "
                "finite."
            )
        return {"label": label, "predicted": predicted.ravel()}

    def columns(self, table: pd.DataFrame) -> Columns:
        """Return the same as arrays, with one centre for the sums of all fits."""
        return centred(numbers_in(table, ["label", "predicted"]))

    def outcome(self, columns: Columns, sample: Array, subject: Array) -> Outcome:
        """Return what metrics are made of."""
        label, said = (np.asarray(columns[name], np.float64) for name in ("label", "predicted"))
        # Squares of what is far from zero would round away what differs.
        near, error = label - columns.get("centre", label.mean()), said - label
        none, one = np.zeros(len(label)), np.ones(len(label))
        sums = metrics.moments(one, near, none, error**2, np.abs(error))
        ranks = rankdata(said)[:, None]
        return Outcome(sample, subject, sums, label[:, None], said[:, None], ranks)


# Maps ----------------------------------------------------------------------------------------


def outcome_of_sums(sums: Floats, sample: Array, subject: Array) -> Outcome:
    """Return what metrics of sums alone are made of."""
    empty = np.empty((len(sums), 0))
    return Outcome(sample, subject, sums, empty, empty, empty)


@dataclass(frozen=True, eq=False)
class ClassMaps(Task):
    """A label at every place of a sample.

    All places of the tested samples count alike.  Metrics are the mean over classes of
    intersection over union, the overlap of Dice (of two classes that of the positive one, else
    the mean), the share of places that are recognised, and its mean over classes.

    Parameters
    ----------
    classes : ndarray, shape (n_classes,)
        The labels, sorted.
    positive : label, default=None
        The class of two that Dice is about; None is the last one.
    ignored : object, default=None
        The label of places that do not count.

    See Also
    --------
    task_of : Which task a study has.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.studies.tasks import ClassMaps
    >>> class Everywhere:
    ...     def predict(self, X):
    ...         return np.ones_like(X)
    >>> y = np.array([[[0, 1], [1, 1]]])
    >>> task = ClassMaps(np.array([0, 1]))
    >>> columns = task.predict(Everywhere(), y, y)
    >>> columns["counts"]  # of the labels 0 and 1, in rows
    array([[[0, 1],
            [0, 3]]])
    >>> {name: round(value, 2) for name, value in task.score(columns).items()}
    {'mean_iou': 0.38, 'dice': 0.86, 'accuracy': 0.75, 'balanced_accuracy': 0.5}
    """

    classes: Array
    positive: Any = None
    ignored: Any = None

    name: ClassVar[str] = "maps"
    places: ClassVar[str] = "classes"
    main: ClassVar[str] = "mean_iou"
    measures: ClassVar[dict[str, Measure]] = {
        "mean_iou": Measure(metrics.mean_iou, intervals.interval_of_places, (0, 1), share=True),
        "dice": Measure(metrics.dice, intervals.interval_of_places, (0, 1), share=True),
        "accuracy": Measure(
            metrics.accuracy_of_places, intervals.interval_of_places, (0, 1), share=True
        ),
        "balanced_accuracy": Measure(
            metrics.balanced_accuracy_of_places,
            intervals.interval_of_places,
            (0, 1),
            share=True,
            guess=lambda n_classes: 1 / n_classes,
        ),
    }

    def predict(self, model: Any, X: Any, y: Any) -> Columns:
        """Return how many places of each label got each label.

        Returns
        -------
        columns : dict of ndarray
            counts of int, (n, n_classes, n_classes): labels in rows, predictions in columns.

        Raises
        ------
        ValueError
            If a map has other places than its sample, or a label that is no class.
        """
        n, counts = len(self.classes), []
        for number, (truth, said) in enumerate(zip(y, model.predict(X), strict=True)):
            truth, said = in_places(number, truth, said)
            some = ... if self.ignored is None else truth != self.ignored
            places = []
            for who, labels in (("y has", truth[some]), ("It predicts", said[some])):
                found = np.searchsorted(self.classes, labels).clip(max=n - 1)
                if (wrong := self.classes[found] != labels).any():
                    unknown = set(labels[wrong].tolist())
                    raise ValueError(
                        f"{who} what is no label, {unknown}, of {self.classes.tolist()}."
                    )
                places.append(found)
            pairs = (places[0] * n + places[1]).ravel()
            counts.append(np.bincount(pairs, minlength=n * n).reshape(n, n))
        return {"counts": np.stack(counts)}

    def frame(self, columns: Columns) -> dict[str, Array]:
        """Return a column of counts for each pair of labels."""
        counts = columns["counts"].reshape(len(columns["counts"]), -1)
        return dict(zip(self._pairs(), counts.T, strict=True))

    def _pairs(self) -> list[str]:
        labels = self.classes.tolist()
        return [f"n:{label}:{predicted}" for label in labels for predicted in labels]

    def columns(self, table: pd.DataFrame) -> Columns:
        """Return the counts as an array."""
        found = numbers_in(table, self._pairs())
        n = len(self.classes)
        return {"counts": np.stack([*found.values()], axis=1).reshape(-1, n, n)}

    def outcome(self, columns: Columns, sample: Array, subject: Array) -> Outcome:
        """Return what metrics are made of."""
        order = positive_last(self.classes, self.positive)
        counts = np.asarray(columns["counts"], np.float64)[:, order][:, :, order]
        return outcome_of_sums(counts.reshape(len(counts), -1), sample, subject)


class ValueMaps(Task):
    """A number, or several, at every place of a sample.

    All numbers of the tested samples that are finite count alike.  Metrics are the coefficient of
    determination, the mean absolute error and the root of the mean squared error.

    See Also
    --------
    task_of : Which task a study has.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.studies.tasks import ValueMaps
    >>> class Everywhere:
    ...     def predict(self, X):
    ...         return np.zeros_like(X)
    >>> y = np.array([[[0.0, 1.0], [1.0, np.nan]]])
    >>> columns = ValueMaps().predict(Everywhere(), y, y)
    >>> {name: round(value, 2) for name, value in ValueMaps().score(columns).items()}
    {'r2': -2.0, 'mae': 0.67, 'rmse': 0.82}
    """

    classes = NO_CLASSES

    name: ClassVar[str] = "maps"
    places: ClassVar[str] = "values"
    main: ClassVar[str] = "r2"
    measures: ClassVar[dict[str, Measure]] = OF_VALUES

    def predict(self, model: Any, X: Any, y: Any) -> Columns:
        """Return numbers, means and sums of each sample.

        Returns
        -------
        columns : dict of ndarray
            n; label, the mean; and spread, squared_error and absolute_error, sums of squared
            deviations from that mean and of errors, each (n,).

        Raises
        ------
        ValueError
            If a map has other places than its sample, or a prediction is not finite.
        """
        rows = []
        for number, (truth, said) in enumerate(zip(y, model.predict(X), strict=True)):
            truth, said = in_places(number, truth, said)
            known = np.isfinite(truth)
            truth, error = truth[known].astype(np.float64), said[known] - truth[known]
            if not np.isfinite(error).all():
                raise ValueError(f"Predictions must be finite, got others for sample {number}.")
            mean = truth.mean() if len(truth) else 0.0
            sums = np.square(truth - mean).sum(), np.square(error).sum(), np.abs(error).sum()
            rows.append([len(truth), mean, *sums])
        return dict(zip(SUMS, np.array(rows, np.float64).T, strict=True))

    def columns(self, table: pd.DataFrame) -> Columns:
        """Return the same as arrays, with one centre for the sums of all fits."""
        return centred(numbers_in(table, SUMS))

    def outcome(self, columns: Columns, sample: Array, subject: Array) -> Outcome:
        """Return what metrics are made of."""
        n, label, *sums = (np.asarray(columns[name], np.float64) for name in SUMS)
        centre = columns.get("centre", label.mean())
        return outcome_of_sums(metrics.moments(n, label - centre, *sums), sample, subject)


SUMS = ["n", "label", "spread", "squared_error", "absolute_error"]


class ScoredMaps(Task):
    """Maps that only the estimator itself can judge, by its ``score``.

    What it gives for all tested samples stands at each of them.

    See Also
    --------
    task_of : Which task a study has.
    """

    classes = NO_CLASSES

    name: ClassVar[str] = "maps"
    places: ClassVar[str] = "score"
    main: ClassVar[str] = "score"
    measures: ClassVar[dict[str, Measure]] = {
        # Of some of the samples it would be another, so that there is no interval.
        "score": Measure(
            lambda totals: metrics.ratio(totals[..., 0], totals[..., 1]),
            lambda measure, tests, mean, confidence: intervals.NONE,
            (-np.inf, np.inf),
        )
    }

    def predict(self, model: Any, X: Any, y: Any) -> Columns:
        """Return the score of all samples, once for each of them."""
        return {"score": np.full(len(y), float(model.score(X, y)))}

    def columns(self, table: pd.DataFrame) -> Columns:
        """Return the same as an array."""
        return numbers_in(table, ["score"])

    def outcome(self, columns: Columns, sample: Array, subject: Array) -> Outcome:
        """Return what the one metric is made of."""
        found = np.asarray(columns["score"], np.float64)
        return outcome_of_sums(np.stack([found, np.ones(len(found))], axis=1), sample, subject)


def in_places(number: int, truth: Any, said: Any) -> tuple[Array, Array]:
    """Return a map and its prediction in one shape, or raise a ValueError."""
    truth, said = np.asarray(truth), np.asarray(said)
    if truth.shape != said.shape and truth.ndim == said.ndim:
        truth = np.moveaxis(truth, -1, 0)  # predictions have their channels first
    if truth.size != said.size or (
        truth.shape != said.shape
        and [*filter(one_not, truth.shape)] != [*filter(one_not, said.shape)]
    ):
        raise ValueError(
            f"The map of sample {number} must have the shape of y, {truth.shape}, got {said.shape}."
        )
    return truth.reshape(said.shape), said


def one_not(extent: int) -> bool:
    """Whether an axis is one."""
    return extent != 1


def check_columns(what: str, table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise a ValueError unless a table has all columns."""
    if absent := [name for name in names if name not in table]:
        raise ValueError(f"{what} must have the columns {absent}; it has {list(table)}.")


def numbers_in(table: pd.DataFrame, names: Iterable[str]) -> dict[str, Floats]:
    """Return columns of a table as numbers."""
    check_columns("predictions", table, names)
    return {name: table[name].to_numpy(np.float64) for name in names}


def centred(columns: dict[str, Floats]) -> dict[str, Floats]:
    """Return columns and the mean label of all rows."""
    return columns | {"centre": np.full_like(columns["label"], columns["label"].mean())}


# Which it is ---------------------------------------------------------------------------------


TASKS = {(one.name, one.places): one for one in (Classes, Values, ClassMaps, ValueMaps, ScoredMaps)}


def is_dense(estimator: Any) -> bool:
    """Whether an estimator gives a map for each sample, which it says by an attribute ``dense``."""
    # By what it has, as this room knows no estimators.
    if isinstance(estimator, Pipeline):
        return is_dense(estimator.steps[-1][1])
    if isinstance(estimator, (BaseSearchCV, FrozenEstimator)):
        return is_dense(estimator.estimator)
    return bool(getattr(estimator, "dense", False))


def task_of(y: Any, estimators: Mapping[str, Any], positive: Any = None) -> Task:
    """Return what y means to some estimators.

    Classifiers are to tell classes and regressors values; those that say by an attribute ``dense``
    that they give maps, labels or values at every place.  What is neither, and gives maps, is
    judged by its own ``score``.

    Parameters
    ----------
    y : array-like, shape (n,), or maps: array-like, shape (n, *spatial), or list of array-like
    estimators : dict
        Estimators by label.
    positive : label, default=None
        The class of two that is positive; None is the last one in sorted order.

    Returns
    -------
    task : Task

    Raises
    ------
    TypeError
        If estimators are of several kinds, or one cannot predict what is wanted.
    ValueError
        If y is none of these.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies.tasks import task_of
    >>> task_of(["a", "b"], {"bayes": GaussianNB()}).name
    'classes'
    >>> task_of([0.1, 0.2], {"bayes": GaussianNB(), "ridge": Ridge()})
    Traceback (most recent call last):
        ...
    TypeError: estimators must be of one kind, but 'bayes' is a classifier and 'ridge' a regressor.
    """
    kinds = {label: kind_of(estimator) for label, estimator in estimators.items()}
    first, kind = next(iter(kinds.items()))
    for label, other in kinds.items():
        if other != kind:
            raise TypeError(
                f"estimators must be of one kind, but {first!r} is a {kind} and {label!r} a "
                f"{other}."
            )
    scored = all(hasattr(estimator, "score") for estimator in estimators.values())
    if kind == "estimator" or (kind == "estimator of maps" and not scored):
        raise TypeError(
            f"estimators[{first!r}] must be a classifier, a regressor or an estimator of maps with "
            f"score, got {estimators[first]!r}."
        )
    if kind == "classifier":
        classes = np.unique(one_each(y, kind))
        return Classes(classes, check_positive(positive, classes))
    if kind == "classifier of maps":
        ignored = ignored_by(estimators)
        classes = np.unique(np.concatenate([np.unique(one) for one in maps_of(y, kind)]))
        classes = classes[classes != ignored]
        return ClassMaps(classes, check_positive(positive, classes), ignored)
    check_positive(positive, NO_CLASSES)
    if kind == "regressor":
        one_each(y, kind)
        return Values()
    maps_of(y, kind)
    return ValueMaps() if kind == "regressor of maps" else ScoredMaps()


def kind_of(estimator: Any) -> str:
    """Return what an estimator is."""
    kind = "classifier" if is_classifier(estimator) else "estimator"
    kind = "regressor" if is_regressor(estimator) else kind
    return f"{kind} of maps" if is_dense(estimator) else kind


def check_positive(positive: Any, classes: Array) -> Any:
    """Return the positive class as JSON can hold it, or raise a ValueError if there is none."""
    if positive is None:
        return None
    if len(classes) != 2 or positive not in classes.tolist():
        raise ValueError(
            f"positive must be one of two classes, got {positive!r} of {classes.tolist()}."
        )
    return classes[classes == positive][0].item()


def ignored_by(estimators: Mapping[str, Any]) -> Any:
    """Return the label of places that do not count, the same for all estimators."""
    found = {}
    for label, estimator in estimators.items():
        params = estimator.get_params(deep=True).items()
        names = [value for name, value in params if name.split("__")[-1] == "ignored_label"]
        found[label] = next((value for value in names if value is not None), None)
    if len(set(found.values())) > 1:
        raise ValueError(
            f"estimators must have one ignored_label, or their scores are of other places, got "
            f"{found}."
        )
    return next(iter(found.values()))


def one_each(y: Any, kind: str) -> Array:
    """Return y with one label or value a sample, or raise a ValueError."""
    try:
        shape = np.shape(y)
    except ValueError:  # maps that differ in size
        shape = (len(y), "...")
    if len(shape) > 1 and shape[1:] != (1,):
        raise ValueError(
            f"y must have one label or value a sample where estimators are {kind}s of samples, got "
            f"maps or rows of shape {shape}: what gives maps says so by an attribute dense."
        )
    column = column_or_1d(y)
    if kind == "regressor" and np.asarray(column).dtype.kind not in "biufO":
        raise ValueError(
            f"y must be numbers where estimators are regressors, got labels such as "
            f"{str(column[0])!r}."
        )
    return column


def maps_of(y: Any, kind: str) -> list[Array]:
    """Return y as maps, or raise a ValueError."""
    maps = [np.asarray(one) for one in y]
    if any(one.ndim == 0 for one in maps):
        raise ValueError(
            f"y must have a map a sample where it is for a {kind}, got {maps[0]!r} for the first."
        )
    return maps


def task_from(description: Mapping[str, Any]) -> Task:
    """Return the task of a study from its description.

    Parameters
    ----------
    description : dict
        With what ``Task.describe`` gives, ``data`` with ``classes``, and ``positive``.

    Returns
    -------
    task : Task

    Raises
    ------
    ValueError
        If there is no such task.
    """
    wanted = description["task"], description.get("places", "")
    if wanted not in TASKS:
        known = ", ".join(repr(" of ".join(filter(None, names))) for names in TASKS)
        raise ValueError(f"task must be one of {known}, got {wanted[0]!r}.")
    kind: Any = TASKS[wanted]
    if "classes" not in wanted:
        return kind()
    return kind(np.unique(description["data"]["classes"]), description.get("positive"))


def task_in(results: Any) -> Task:
    """Return the task of results."""
    return task_from(results.description)
