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
    estimators : dict
        Estimators by label, as for ``Study``.
    X : array-like, shape (n_samples, ...)
        Samples to draw training sets from.
    y : array-like, shape (n_samples,)
        Labels of any type, or values.
    groups : array-like, shape (n_samples,), default=None
        What samples belong together, such as frames of a track: on one side of every split.
    X_test : array-like, shape (n_test, ...), default=None
        What every fit is tested on.  If None, every draw holds out samples of X.
    y_test : array-like, shape (n_test,), default=None
    sizes : iterable of int
        Numbers of training samples.
    n_draws : int, default=5
        Number of training sets of each size.
    test_size : int, float or None, default=None
        Number or share of the samples to hold out, stratified, where no test samples are given;
        None is a third.
    random_state : int, default=0
    n_jobs : int or None, default=1
        Number of fits at a time, as in joblib.
    out : path-like, default=None
        Folder of the study, which goes on from what is there.
    name : str, default=""
        What the data are called, for pictures.
    progress : bool, default=True
        Whether to show a progress bar on standard error.

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
