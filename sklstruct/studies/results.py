"""What came out of a study: a table of its fits that knows their predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..io.atomic import atomic_write
from ..io.reading import read_bytes
from .description import Cell, Description, merged
from .store import FolderStore
from .tasks import task_from

RESULTS, PREDICTIONS, PROVENANCE = "results.csv", "predictions.csv", "provenance.csv"
SAMPLES, LEFT_OUT = "samples.csv", "left_out.csv"
MOST_BYTES = 2**27  # of such a table, beyond those of any study
PROBLEM = ["subject", "file", "problem"]  # columns of what was left out


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
    provenance : DataFrame, or function that returns one, default=None
        One row a fit: when, where and with what it was made, and its memory.

    Attributes
    ----------
    predictions, description, left_out, provenance

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

    _metadata: list[str] = [  # noqa: RUF012
        *("_predictions", "_provenance", "description", "left_out")
    ]

    def __init__(
        self,
        fits: pd.DataFrame,
        predictions: pd.DataFrame | Callable[[], pd.DataFrame],
        description: Description,
        left_out: pd.DataFrame | None = None,
        provenance: pd.DataFrame | Callable[[], pd.DataFrame] | None = None,
    ) -> None:
        super().__init__(fits)  # type: ignore[call-arg]
        self._predictions = predictions
        self.description = description
        self.left_out = pd.DataFrame(columns=PROBLEM) if left_out is None else left_out
        self._provenance = pd.DataFrame() if provenance is None else provenance

    @property
    def _constructor(self) -> Any:
        """A part of the table is not the study, whose predictions it does not have."""
        return pd.DataFrame

    def __reduce__(self) -> Any:
        """Take the predictions along, wherever they are read from."""
        known = self.predictions, self.description, self.left_out, self.provenance
        return type(self), (self.fits, *known)

    @property
    def predictions(self) -> pd.DataFrame:
        """What was predicted, read when it is first asked for."""
        if callable(self._predictions):
            self._predictions = self._predictions()
        return self._predictions

    @property
    def provenance(self) -> pd.DataFrame:
        """When, where and with what each fit was made, put together when it is first asked for."""
        if callable(self._provenance):
            self._provenance = self._provenance()
        return self._provenance

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
            yield (
                condition,
                Results(
                    fits.reset_index(drop=True),
                    partial(self._part_of, "predictions", condition),
                    self.description,
                    self.left_out,
                    partial(self._part_of, "provenance", condition),
                ),
            )

    def _part_of(self, name: str, condition: dict[str, Any]) -> pd.DataFrame:
        table = getattr(self, name)
        if table.empty:
            return table
        mine = (table[[*condition]] == [*condition.values()]).all(axis=1)
        return table[mine].reset_index(drop=True)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Results:
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
        store = FolderStore(Path(folder))
        runs = [*store.runs().values()]
        if not runs:
            raise ValueError(f"{folder} holds no study.")
        samples, left_out = (read_table(Path(folder, name)) for name in (SAMPLES, LEFT_OUT))
        return of_store(store, runs, samples, left_out)

    def export(self, folder: str | os.PathLike[str], *, predictions: bool = False) -> None:
        """Write the tables of a study as CSV, each whole or not at all.

        Parameters
        ----------
        folder : path-like
            Where to write ``results.csv``, one row a fit, and ``provenance.csv``, when, where and
            with what each was made.
        predictions : bool, default=False
            Whether to write ``predictions.csv`` too, one row a fit and tested sample.
        """
        write_table(Path(folder, RESULTS), self.fits)
        write_table(Path(folder, PROVENANCE), self.provenance)
        if predictions:
            write_table(Path(folder, PREDICTIONS), self.predictions)


def of_store(
    store: Any,
    runs: list[Description],
    samples: pd.DataFrame | None,
    left_out: pd.DataFrame | None = None,
) -> Results:
    """Return what is finished of the study that some runs add up to, if they make one.

    Samples have no table where they are the numbers of the rows.
    """
    try:
        try:
            description, stored = merged(runs, store.keys())
        except ValueError as error:  # of runs that began at a time, before either had a result
            raise ValueError(
                f"{store.folder} holds results of {error}.  Move one of the files in "
                f"{Path(store.folder, 'runs')} away to leave that run out."
            ) from None
        check_samples(store, samples, description["data"]["n_samples"])
        headers = store.headers()
        found = {cell: headers[key] for cell, key in stored.items()}
        names = ["estimator", *description["design"]["keys"]]
        fits = pd.DataFrame([header["row"] for header in found.values()])
        if fits.empty:
            fits = pd.DataFrame(columns=names)
        else:
            fits["n_parameters"] = fits["n_parameters"].astype("Int64")
        costs = [header["costs"] for header in found.values()]
        description["weights_by_structure"] = {
            cell.estimator: header["structure"]
            for cell, header in found.items()
            if header["structure"] is not None
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{store.folder} is damaged: {error!r}.") from error
    load = partial(predictions_of, store, stored, description, samples)
    return Results(fits, load, description, left_out, partial(provenance_of, fits[names], costs))


def check_samples(store: Any, samples: pd.DataFrame | None, n_samples: int) -> None:
    """Raise a ValueError unless a table names all samples."""
    columns = {"sample", "subject"}
    if samples is not None and (len(samples) != n_samples or not columns <= {*samples}):
        raise ValueError(
            f"{store.folder / SAMPLES} is damaged: it must name sample and subject of {n_samples} "
            f"samples, got {len(samples)} rows with the columns {', '.join(map(str, samples))}."
        )


def provenance_of(cells: pd.DataFrame, costs: list[dict[str, Any]]) -> pd.DataFrame:
    """Return what differs from run to run as a table, versions a column each."""
    return pd.concat([cells, pd.json_normalize(costs)], axis=1)


def predictions_of(
    store: Any, stored: dict[Cell, str], description: Description, samples: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the predictions of all fits as a table."""
    task, names = task_from(description), description["design"]["keys"]
    parts = [pd.DataFrame(columns=["estimator", *names, "subject", "sample"])]
    for cell, key in stored.items():
        columns = store.arrays(key)
        test = columns.pop("test")
        if samples is None or description["data"]["n_test"] is not None:
            known = dict.fromkeys(("subject", "sample"), test.astype(str))
        else:
            known = {name: samples[name].to_numpy()[test] for name in ("subject", "sample")}
        fit = {"estimator": cell.estimator, **dict(zip(names, cell.key, strict=True))}
        parts.append(pd.DataFrame({**fit, **known, **task.frame(columns)}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, with numbers that are read exactly as they were."""
    with atomic_write(path) as stream:
        table.to_csv(stream, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame | None:
    """Return a table of text, None if it is not there."""
    if not path.exists():
        return None
    text = BytesIO(read_bytes(path, MOST_BYTES, "a table of a study"))
    try:
        return pd.read_csv(text, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' errors about a file are some too
        raise ValueError(f"{path} is damaged: {error}") from error
