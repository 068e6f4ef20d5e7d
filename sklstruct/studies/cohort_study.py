"""Hold-outs of subjects or sites in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from .designs import Design, HoldOuts, LeaveSiteOut
from .results import Results
from .study import Study


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
) -> Results:
    """Fit estimators on part of the subjects, again and again, and predict the others.

    It is ``Study(HoldOuts(n_repeats, test_size), estimators).run(X, y, groups)``, or
    ``LeaveSiteOut(n_repeats)`` where there are sites.  Before anything is fitted, images are
    compared: if two subjects have the same one, under whatever names, that is an error.

    Parameters
    ----------
    estimators, random_state, target, positive
        As ``Study`` takes them.
    X, y, groups, left_out, n_jobs, out, progress
        As ``Study.run`` takes them.
    sites : array-like, shape (n_scans,), default=None
        If given, every repeat leaves out one site, and there must not be more repeats than
        sites.
    n_repeats : int, default=20
    test_size : float, int or None, default=None
        Share or number of the subjects to test on; None is a quarter.

    Returns
    -------
    results : Results
        A DataFrame with a row for each estimator and repeat, in this order, that knows its
        predictions.

    Raises
    ------
    ValueError, TypeError, OSError
        As ``Study.run`` does.

    See Also
    --------
    Study : With searches, schedulers and other designs.
    limited_data : Learning curves.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.naive_bayes import GaussianNB, MultinomialNB
    >>> from sklstruct.studies import cohort_study
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> models = {"gauss": GaussianNB(), "counts": MultinomialNB()}
    >>> results = cohort_study(models, X, y, groups=range(len(y)), n_repeats=3)
    >>> results.groupby("estimator", sort=False)["balanced_accuracy"].mean().round(2).to_dict()
    {'gauss': 0.94, 'counts': 0.9}
    """
    if groups is None:
        raise ValueError("groups must have a value for each scan, got None.")
    design: Design = HoldOuts(n_repeats, test_size)
    if sites is not None:
        if test_size is not None:
            raise ValueError(f"test_size must be None where sites are left out, got {test_size!r}.")
        design = LeaveSiteOut(n_repeats)
    study = Study(design, estimators, random_state=random_state, target=target, positive=positive)
    return study.run(
        X,
        y,
        groups,
        sites=sites,
        left_out=left_out,
        out=out,
        n_jobs=n_jobs,
        predictions=True,
        progress=progress,
    )
