"""Learning curves in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from numpy.typing import ArrayLike

from .designs import Draws
from .results import Results
from .study import Study


def limited_data(
    estimators: Mapping[str, Any],
    X: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
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
) -> Results:
    """Fit estimators on small training sets of several sizes and test each fit.

    It is ``Study(Draws(sizes, n_draws, test_size), estimators).run(X, y)``.

    Parameters
    ----------
    estimators, random_state, name
        As ``Study`` takes them.
    X, y, groups, X_test, y_test, n_jobs, out, progress
        As ``Study.run`` takes them.
    sizes, n_draws, test_size
        As ``Draws`` takes them.

    Returns
    -------
    results : Results
        A DataFrame with a row for each estimator, size and draw, in this order, that knows its
        predictions.

    Raises
    ------
    ValueError, TypeError, OSError
        As ``Study.run`` does.

    See Also
    --------
    Study : With groups, searches, schedulers and other designs.
    cohort_study : Subjects and sites in place of draws.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import limited_data
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = limited_data(models, X, y, sizes=[10, 40], n_draws=3)
    >>> results.groupby(["estimator", "size"])["accuracy"].mean().round(2)
    estimator  size
    counts     10      0.83
               40      0.90
    gauss      10      0.92
               40      0.96
    Name: accuracy, dtype: float64
    """
    design = Draws([*sizes], n_draws, test_size)
    study = Study(design, estimators, random_state=random_state, name=name)
    test: dict[str, Any] = {"X_test": X_test, "y_test": y_test}
    return study.run(X, y, groups, **test, out=out, n_jobs=n_jobs, progress=progress)
