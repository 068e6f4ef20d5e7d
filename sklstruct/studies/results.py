"""What came out of a study: a table of its fits that knows their predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..io.atomic import atomic_write

RESULTS, PREDICTIONS, PROVENANCE = "results.csv", "predictions.csv", "provenance.csv"
LEFT_OUT = ["subject", "file", "problem"]

Description = dict[str, Any]


class Results(pd.DataFrame):
    """The fits of a study, one a row, with what was predicted in each of them.

    It is a DataFrame, and what is derived from it (a selection, a group) is a plain one.

    Parameters
    ----------
    fits : DataFrame
        One row a fit: estimator, the columns of the design that say which fit it is (size and
        draw, repeat, fold), metrics, numbers of samples and subjects, seconds and seed.
    predictions : DataFrame, or function that returns one
        One row a fit and tested sample: estimator, the columns of the design, subject (the sample
        where there are no groups), sample (a path, or the number of the row), label and predicted,
        and ``score:<label>`` for each class: its probability, or the value of the decision
        function, which for two classes is -d and d.  Of maps, counts or sums over their places.
    description : dict
        What makes the study: task, design, data, seed, estimators and environments.
    left_out : DataFrame, default=None
        Samples that were left out before: subject, file and problem.

    Attributes
    ----------
    predictions, description, left_out

    See Also
    --------
    Study : Makes them.
    summarise, compare, rank_table, calibration, roc_curves : What they say.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklstruct.studies import HoldOuts, Results, Study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> study = Study(HoldOuts(n_repeats=2), {"bayes": GaussianNB()})
    >>> results = study.run(X, y, out="study")
    >>> results[["estimator", "repeat", "n_train", "n_test"]]
      estimator  repeat  n_train  n_test
    0     bayes       0      427     142
    1     bayes       1      427     142
    >>> results.predictions.shape
    (284, 8)
    >>> Results.read("study").equals(results)
    True
    """

    _metadata: list[str] = ["_predictions", "description", "left_out"]

    def __init__(
        self,
        fits: pd.DataFrame,
        predictions: pd.DataFrame | Callable[[], pd.DataFrame],
        description: Description,
        left_out: pd.DataFrame | None = None,
    ) -> None:
        super().__init__(fits)
        self._predictions = predictions
        self.description = description
        self.left_out = pd.DataFrame(columns=LEFT_OUT) if left_out is None else left_out

    @property
    def _constructor(self) -> Any:
        """A part of the table is not the study, whose predictions it does not have."""
        return pd.DataFrame

    @property
    def predictions(self) -> pd.DataFrame:
        """What was predicted, read when it is first asked for."""
        if callable(self._predictions):
            self._predictions = self._predictions()
        return self._predictions

    @property
    def fits(self) -> pd.DataFrame:
        """The same table without what it knows."""
        return pd.DataFrame(self)

    @property
    def task(self) -> str:
        """What was predicted: "classes", "values" or "maps"."""
        return str(self.description["task"])

    @property
    def target(self) -> str:
        """What the labels say."""
        return str(self.description["target"])

    @property
    def classes(self) -> NDArray[Any]:
        """The labels, sorted; of two, the last one is positive, as the study says."""
        labels, positive = self.description["data"]["classes"], self.description["positive"]
        return np.array(sorted(labels, key=lambda label: label == positive))

    @property
    def key_columns(self) -> list[str]:
        """The columns that say which fit of an estimator a row is of."""
        return list(self.description["design"]["keys"])

    @property
    def condition_columns(self) -> list[str]:
        """Those that make another question, as the size of the training set does."""
        return list(self.description["design"]["condition"])

    @property
    def repeat_columns(self) -> list[str]:
        """Those that ask the same question again, as draws do."""
        return [name for name in self.key_columns if name not in self.condition_columns]

    @property
    def estimators(self) -> list[str]:
        """The labels of the estimators, in their order."""
        return list(dict.fromkeys(self["estimator"]))

    @property
    def missing(self) -> pd.DataFrame:
        """The fits that the study is to have and has not yet: estimator and key columns."""
        columns = ["estimator", *self.key_columns]
        wanted = [
            (label, *key)
            for label in self.description["estimators"]
            for key in self.description["cells"]
        ]
        there = {*self[columns].itertuples(index=False, name=None)}
        return pd.DataFrame([cell for cell in wanted if cell not in there], columns=columns)

    def parts(self) -> Iterator[tuple[dict[str, Any], Results]]:
        """Yield each condition, such as ``{"size": 50}``, with the results of it alone."""
        columns = self.condition_columns
        if not columns:
            yield {}, self
            return
        for values, fits in self.fits.groupby(columns):
            condition = dict(zip(columns, values, strict=True))
            yield condition, Results(
                fits.reset_index(drop=True),
                lambda condition=condition: self._predictions_of(condition),
                self.description,
                self.left_out,
            )

    def _predictions_of(self, condition: dict[str, Any]) -> pd.DataFrame:
        table = self.predictions
        mine = (table[[*condition]] == [*condition.values()]).all(axis=1)
        return table[mine].reset_index(drop=True)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Return what a study has written, all that is finished.

        Parameters
        ----------
        folder : path-like
            The ``out`` of a study.

        Returns
        -------
        results : Results

        Raises
        ------
        OSError
            If the folder is not there, or a file cannot be read.
        ValueError
            If it holds no study, or a file is damaged; the message names it.
        """
        raise NotImplementedError  # filled below


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, with numbers that are read exactly as they were."""
    with atomic_write(path) as stream:
        table.to_csv(stream, index=False, lineterminator="\n")
