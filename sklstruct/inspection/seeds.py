"""How far estimators that differ by chance alone say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier
from sklearn.utils import check_random_state

from ..estimators.samples import as_array
from ..params import SEED, check, integer, one_of

Floats = NDArray[np.float64]


def agreement(estimators: Any, X: Any, y: Any = None, *, by: str = "pair") -> pd.DataFrame:
    r"""Return how far fitted estimators, such as those of several seeds, say the same.

    Of two classifiers, p is the share of samples on which they agree, and q the share on which they
    would if each said its labels as often, but at random.  Cohen's kappa is

    .. math:: \kappa = \frac{p - q}{1 - q}, \qquad q = \sum_c q_c q'_c .

    Of accuracies a and a', both are right or both wrong on :math:`a a' + (1 - a)(1 - a')` of the
    samples if their errors are independent; the consistency of errors is the kappa of that.

    Parameters
    ----------
    estimators : sequence of fitted estimators, or dict from str to these
        Two or more, all classifiers or all regressors.
    X : array-like, shape (n, ...)
        Samples that they were not fitted to.
    y : array-like, shape (n,), default=None
        What is true, if errors are compared too.
    by : {"pair", "sample"}, default="pair"
        Whether there is a row for each pair of estimators, or for each sample.

    Returns
    -------
    table : DataFrame
        By pair: ``first``, ``second`` and, of classifiers, ``agreement`` p, ``chance`` q, ``kappa``
        and ``churn``, 1 - p; with y also ``first_accuracy``, ``second_accuracy``,
        ``error_agreement``, which is the share of both right or both wrong, ``error_chance`` and
        ``error_kappa``.  Of regressors, ``correlation`` and ``difference``, the root mean square
        in units of y; with y also ``error_correlation``.

        By sample: of classifiers ``label``, which most say, ``share`` of those who do, and
        ``spread``, the standard deviation of probabilities over estimators, averaged over the
        classes (NaN where one has none); with y also ``right``, the share of those who are.  Of
        regressors, ``value``, the mean, and ``spread``, the standard deviation; with y also
        ``error``, of the mean.

        At every place of maps, or every value, there is a prediction: pairs are compared over all
        of them, and the rows of samples are means, without ``label``.

    Raises
    ------
    NotFittedError
        If an estimator is not fitted.
    TypeError
        If some are classifiers and some are not.
    ValueError
        If there are fewer than two estimators, or y is not of the shape of predictions.

    See Also
    --------
    fitted_seeds : Estimators that differ by the seed alone.
    AgreementDisplay : A picture of it.
    cka : How alike their layers are.

    References
    ----------
    J. Cohen. A coefficient of agreement for nominal scales. Educational and Psychological
    Measurement 20, 1960.

    R. Geirhos, K. Meding and F. A. Wichmann. Beyond accuracy: quantifying trial-by-trial
    behaviour of CNNs and humans by measuring error consistency. NeurIPS, 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import agreement, fitted_seeds
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=5)
    >>> seeds = fitted_seeds(model, X[:100], y[:100], n_seeds=3)
    >>> table = agreement(seeds, X[100:200], y[100:200])
    >>> table[["first", "second"]].to_numpy().tolist(), bool((table["kappa"] > 0).all())
    ([['0', '1'], ['0', '2'], ['1', '2']], True)
    >>> agreement(seeds, X[100:200], by="sample").columns.tolist()
    ['label', 'share', 'spread']
    """
    check("by", by, one_of("pair", "sample"))
    named = estimators if isinstance(estimators, Mapping) else dict(enumerate(estimators))
    if len(named) < 2:
        raise ValueError(f"estimators must be two or more, got {len(named)}.")
    kinds = {is_classifier(estimator) for estimator in named.values()}
    if len(kinds) > 1:
        raise TypeError("estimators must be all classifiers, or all regressors, got some of both.")
    said = np.stack([np.asarray(estimator.predict(X)) for estimator in named.values()])
    truth = None if y is None else np.asarray(as_array(y))
    if truth is not None and truth.shape != said.shape[1:]:
        raise ValueError(f"y must be of shape {said.shape[1:]}, got {truth.shape}.")
    if by == "pair":
        compare = pair_of_classifiers if kinds == {True} else pair_of_regressors
        pairs = combinations(zip(map(str, named), said, strict=True), 2)
        return pd.DataFrame(
            {"first": a, "second": b} | compare(one.ravel(), two.ravel(), truth)
            for (a, one), (b, two) in pairs
        )
    if kinds == {True}:
        return samples_of_classifiers([*named.values()], X, said, truth)
    return samples_of_regressors(said, truth)


def pair_of_classifiers(
    one: NDArray[Any], two: NDArray[Any], truth: NDArray[Any] | None
) -> dict[str, float]:
    """Return how far two classifiers agree."""
    labels, places = np.unique(np.stack([one, two]), return_inverse=True)
    shares = [np.bincount(p, minlength=len(labels)) / one.size for p in places.reshape(2, -1)]
    found = float(np.mean(one == two))
    chance = float(shares[0] @ shares[1])
    row = {"agreement": found, "chance": chance, "kappa": kappa(found, chance), "churn": 1 - found}
    if truth is None:
        return row
    right = one == truth.ravel(), two == truth.ravel()
    a, b = (float(each.mean()) for each in right)
    same, chance = float(np.mean(right[0] == right[1])), a * b + (1 - a) * (1 - b)
    row |= {"first_accuracy": a, "second_accuracy": b}
    errors = {"error_agreement": same, "error_chance": chance, "error_kappa": kappa(same, chance)}
    return row | errors


def pair_of_regressors(one: Floats, two: Floats, truth: NDArray[Any] | None) -> dict[str, float]:
    """Return how far two regressors agree."""
    difference = float(np.sqrt(np.square(one - two).mean()))
    row = {"correlation": correlation(one, two), "difference": difference}
    if truth is None:
        return row
    return row | {"error_correlation": correlation(one - truth.ravel(), two - truth.ravel())}


def samples_of_classifiers(
    estimators: Sequence[Any], X: Any, said: NDArray[Any], truth: NDArray[Any] | None
) -> pd.DataFrame:
    """Return how far classifiers agree on each sample."""
    labels, places = np.unique(said, return_inverse=True)
    places = places.reshape(*said.shape[:2], -1)
    counts = np.stack([np.mean(places == k, axis=0) for k in range(len(labels))])
    table = pd.DataFrame({"share": counts.max(axis=0).mean(axis=1)})
    if said.ndim == 2:
        table.insert(0, "label", labels[counts[..., 0].argmax(axis=0)])
    if all(hasattr(estimator, "predict_proba") for estimator in estimators):
        spread = np.std([estimator.predict_proba(X) for estimator in estimators], axis=0)
        table["spread"] = spread.reshape(len(table), -1).mean(axis=1)
    else:
        table["spread"] = np.nan
    if truth is not None:
        table["right"] = np.mean(said == truth, axis=0).reshape(len(table), -1).mean(axis=1)
    return table


def samples_of_regressors(said: Floats, truth: NDArray[Any] | None) -> pd.DataFrame:
    """Return how far regressors agree on each sample."""
    mean, n = said.mean(axis=0), said.shape[1]
    columns = {"value": mean, "spread": said.std(axis=0, ddof=1)}
    if truth is not None:
        columns["error"] = mean - truth
    return pd.DataFrame(
        {name: values.reshape(n, -1).mean(axis=1) for name, values in columns.items()}
    )


def kappa(found: float, chance: float) -> float:
    """Return agreement beyond chance, NaN where chance is 1."""
    return (found - chance) / (1 - chance) if chance < 1 else np.nan


def correlation(one: Floats, two: Floats) -> float:
    """Return Pearson's correlation, NaN where values are all the same."""
    if one.min() == one.max() or two.min() == two.max():
        return np.nan
    return float(np.corrcoef(one, two)[0, 1])


def fitted_seeds(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    n_seeds: int = 5,
    n_jobs: int | None = None,
    random_state: Any = 0,
    **fit_params: Any,
) -> list[Any]:
    """Fit clones of an estimator to the same samples, which differ by the seed alone.

    Parameters
    ----------
    estimator : estimator
        Fitted or not, with a parameter ``random_state``, or a step that has one.
    X : array-like, shape (n, ...)
    y : array-like, shape (n,)
    n_seeds : int, default=5
    n_jobs : int, default=None
        How many are fitted side by side, as joblib takes it.
    random_state : int, RandomState instance or None, default=0
        What seeds are drawn from.
    **fit_params
        What else ``fit`` takes, such as groups.

    Returns
    -------
    estimators : list of fitted estimators

    Raises
    ------
    ValueError
        If nothing in the estimator is random.

    See Also
    --------
    agreement : How far they say the same.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import fitted_seeds
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1)
    >>> len(fitted_seeds(model, X, y, n_seeds=2))
    2
    """
    check("n_seeds", n_seeds, integer(1))
    check("random_state", random_state, SEED)
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    if not names:
        raise ValueError(f"estimator must have a random_state, got {type(estimator).__name__}.")
    seeds = check_random_state(random_state).randint(2**31, size=n_seeds).tolist()
    clones = [clone(estimator).set_params(**dict.fromkeys(names, seed)) for seed in seeds]
    return list(Parallel(n_jobs)(delayed(one.fit)(X, y, **fit_params) for one in clones))
