"""A network stacked with a linear model: cross-validation decides how much each has to say."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.model_selection import GroupKFold
from sklearn.utils import check_random_state, indexable
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, has_fit_parameter

from .. import plugins
from ..compat import BaseEstimator, ClassifierMixin, RegressorMixin, safe_indexing
from ..params import SEED, Params, all_or_nothing, integer, param
from .held_out import best_temperature, held_out_values, subject_numbers, weights_of_samples

Array = NDArray[Any]

SHARES = np.linspace(0, 1, 21)  # of the network, to choose from
LEAST_PROBABILITY = np.finfo(np.float32).eps  # a smaller one is rounding, and would outweigh all
MAX_SEED = np.iinfo(np.int32).max


def make_estimator(name: str) -> Any:
    """Return the estimator of a registered name."""
    if isinstance(name, type):
        raise TypeError(
            f"A part of a stack must be an estimator, such as {name.__name__}(), got the class "
            f"{name.__name__} itself."
        )
    return plugins.lookup("estimator", name)()


class LinearStack(Params, BaseEstimator):
    r"""Base of stacks of a network and a linear model.

    Much of what samples say that are registered to each other, as scans are, is about places; a
    linear model finds that, and a network what can be anywhere.  The share s of the network is
    chosen by what models say of samples that they have not seen: of all shares whose mean loss
    exceeds the least one by no more than one standard error of the difference, the smallest, in
    favour of the simpler part.

    Parameters
    ----------
    cv : int, default=3
        Number of folds, each of which takes one more training of the network.
    random_state : int, RandomState or None, default=None
        Decides the folds, and whatever random states of the parts are None.

    Attributes
    ----------
    network_, linear_ : estimator
        The parts, fitted on all samples.
    share_ : float
        The share of the network; 0 where nothing can be held out.
    """

    cv: int = param(3, integer(2))
    random_state: Any = param(None, SEED)

    @all_or_nothing
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose the share on samples held out, and fit both parts on all.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            As both parts take it.
        y : array-like, shape (n,)
            Labels of any type for a classifier, numbers for a regressor.
        sample_weight : array-like, shape (n,), default=None
            Not negative; samples of weight 0 are left out.
        groups : array-like, shape (n,), default=None
            Subjects, whose samples are held out together.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        self.check_params()
        y = self._read_y(column_or_1d(y, warn=True))
        X, y = indexable(X, y)
        if issparse(X):
            raise ValueError("X must be dense: sparse input is not supported.")
        weight = None
        if sample_weight is not None:
            weight = weights_of_samples(y, y, sample_weight)
            kept = np.flatnonzero(weight)
            X, y, weight = safe_indexing(X, kept), y[kept], weight[kept]
            groups = None if groups is None else np.asarray(groups)[kept]
        subjects = subject_numbers(groups, y)
        random_state = check_random_state(self.random_state)
        # Both parts are drawn anew in every fold, from the same seeds: a fold then differs from
        # the whole in its samples alone.
        parts = [seeded(clone(self.resolved(name)), random_state) for name in ("network", "linear")]

        def fitted(part: Any, rows: Array) -> Any:
            known = {"sample_weight": weight, "groups": None if groups is None else subjects}
            fit_params = {
                name: values[rows]
                for name, values in known.items()
                if values is not None and has_fit_parameter(part, name)
            }
            return clone(part).fit(safe_indexing(X, rows), y[rows], **fit_params)

        def decide(train: Array, test: Array) -> Array:
            unseen = safe_indexing(X, test)
            return np.stack([self._say(fitted(part, train), unseen) for part in parts], axis=1)

        self.share_, self._factor = self._choose(
            decide, y, weight if weight is not None else np.ones(len(y)), subjects, random_state
        )
        self.network_, self.linear_ = (fitted(part, np.arange(len(y))) for part in parts)
        counts = (getattr(part, "n_parameters_", 0) for part in (self.network_, self.linear_))
        self.n_parameters_ = sum(counts)
        if hasattr(self.linear_, "n_features_in_"):
            self.n_features_in_ = self.linear_.n_features_in_
        return self

    @abstractmethod
    def _read_y(self, y: Array) -> Array:
        """Return targets, or raise ValueError if they are none."""

    @abstractmethod
    def _say(self, part: Any, X: Any) -> Array:
        """Return what a fitted part says of samples, in numbers that can be averaged."""

    @abstractmethod
    def _choose(
        self, decide: Any, y: Array, weight: Array, subjects: Array, random_state: Any
    ) -> tuple[float, float]:
        """Return the share of the network, and the factor on the average of both parts."""

    def _average(self, X: Any) -> Array:
        """Return the weighted average of what both parts say."""
        check_is_fitted(self)
        network, linear = (self._say(part, X) for part in (self.network_, self.linear_))
        return self._factor * (self.share_ * network + (1 - self.share_) * linear)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class LinearStackClassifier(ClassifierMixin, LinearStack):
    r"""A network classifier stacked with a linear one.

    .. math::
        p(x) \propto \exp\big( (s \log p_{net}(x) + (1 - s) \log p_{lin}(x)) / T \big)

    The share s and the temperature T are found by log loss on samples held out.

    Parameters
    ----------
    network : str or classifier, default="rfnin"
        Any classifier with probabilities, or the registered name of one.
    linear : str or classifier, default="voxel_svm"
        The same, the simpler part.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    weights_ : ndarray, shape (2,)
        Factors on the logarithms of the probabilities of network and linear classifier.

    See Also
    --------
    LinearStackRegressor : The same for values.

    References
    ----------
    D. H. Wolpert. Stacked generalization. Neural Networks, 1992.

    L. Breiman, J. Friedman, R. Olshen and C. Stone. Classification and regression trees, 1984,
    section 3.4.3 (the rule of one standard error).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import LinearStackClassifier, RFNNClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X[:60].reshape(-1, 8, 8)
    >>> stack = LinearStackClassifier(network=RFNNClassifier(max_epochs=1), random_state=0)
    >>> stack.fit(X, y[:60]).predict_proba(X).shape
    (60, 10)
    """

    network: Any = param("rfnin", resolve=make_estimator)
    linear: Any = param("voxel_svm", resolve=make_estimator)

    @property
    def classes_(self) -> Array:
        """The labels of the classes, sorted."""
        check_is_fitted(self)
        return self.network_.classes_

    @property
    def weights_(self) -> NDArray[np.float64]:
        """Factors on the logarithms of the probabilities of network and linear classifier."""
        check_is_fitted(self)
        return self._factor * np.array([self.share_, 1 - self.share_])

    def decision_function(self, X: Any) -> Array:
        """Return the logits of the classes, (n, n_classes); for two classes, their difference."""
        logits = self._average(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, shape (n, n_classes)."""
        return softmax(self._average(X), axis=1)

    def predict(self, X: Any) -> Array:
        """Return the most probable classes, shape (n,)."""
        logits = self._average(X)
        return self.classes_[logits.argmax(axis=1)]

    def predict_with_proba(self, X: Any) -> tuple[Array, Array]:
        """Return what ``predict`` and ``predict_proba`` do, for samples that are read once."""
        logits = self._average(X)
        return self.classes_[logits.argmax(axis=1)], softmax(logits, axis=1)

    def _read_y(self, y: Array) -> Array:
        check_classification_targets(y)
        return y

    def _say(self, part: Any, X: Any) -> Array:
        proba = np.asarray(part.predict_proba(X), dtype=np.float64)
        return np.log(np.maximum(proba, LEAST_PROBABILITY))

    def _choose(
        self, decide: Any, y: Array, weight: Array, subjects: Array, random_state: Any
    ) -> tuple[float, float]:
        codes = np.unique(y, return_inverse=True)[1]
        held_out = held_out_values(decide, codes, random_state, subjects, self.cv)
        if held_out is None:
            return 0.0, 1.0
        rows, said = held_out
        codes, weight, network, linear = codes[rows], weight[rows], said[:, 0], said[:, 1]
        temperatures, losses = [], []
        for share in SHARES:
            logits = share * network + (1 - share) * linear
            temperature, _ = best_temperature(logits, codes, weight)
            temperatures.append(temperature)
            found = log_softmax(logits / temperature, axis=1)
            losses.append(-found[np.arange(len(codes)), codes])
        chosen = simplest(np.array(losses), weight, subjects[rows])
        return float(SHARES[chosen]), 1 / temperatures[chosen]


class LinearStackRegressor(RegressorMixin, LinearStack):
    r"""A network regressor stacked with a linear one.

    .. math:: f(x) = s \, f_{net}(x) + (1 - s) \, f_{lin}(x)

    The share s is found by squared error on samples held out.

    Parameters
    ----------
    network : str or regressor, default="rfnin_regressor"
        Any regressor, or the registered name of one.
    linear : str or regressor, default="voxel_ridge"
        The same, the simpler part.

    See Also
    --------
    LinearStackClassifier : The same for classes.

    References
    ----------
    L. Breiman. Stacked regressions. Machine Learning, 1996.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import LinearStackRegressor, RFNNRegressor
    >>> X = load_digits().images[:60]
    >>> ink = X.mean(axis=(1, 2))
    >>> stack = LinearStackRegressor(network=RFNNRegressor(max_epochs=1), cv=2, random_state=0)
    >>> stack.fit(X, ink).score(X, ink) > 0.9
    True
    """

    network: Any = param("rfnin_regressor", resolve=make_estimator)
    linear: Any = param("voxel_ridge", resolve=make_estimator)

    def predict(self, X: Any) -> Array:
        """Return the values, shape (n,)."""
        return self._average(X)

    def _read_y(self, y: Array) -> Array:
        return y.astype(np.float64)

    def _say(self, part: Any, X: Any) -> Array:
        return np.asarray(part.predict(X), dtype=np.float64)

    def _choose(
        self, decide: Any, y: Array, weight: Array, subjects: Array, random_state: Any
    ) -> tuple[float, float]:
        n_folds = min(self.cv, len(np.unique(subjects)))
        if n_folds < 2:
            return 0.0, 1.0
        folds = GroupKFold(n_folds, shuffle=True, random_state=random_state)
        said = np.empty((len(y), 2))
        for train, test in folds.split(y, y, subjects):
            said[test] = decide(train, test)
        losses = [(y - said @ (share, 1 - share)) ** 2 for share in SHARES]
        return float(SHARES[simplest(np.array(losses), weight, subjects)]), 1.0


def simplest(losses: Array, weight: Array, subjects: Array) -> int:
    """Return the first candidate whose loss is within one standard error of the least one.

    The error is that of the mean difference, over subjects: samples of one are no independent
    evidence.

    Parameters
    ----------
    losses : ndarray, shape (n_candidates, n)
        Of samples held out, the simplest candidate first.
    weight : ndarray, shape (n,)
    subjects : ndarray of int, shape (n,)
    """
    means = np.average(losses, axis=1, weights=weight)
    numbers = np.unique(subjects, return_inverse=True)[1]
    shares = np.bincount(numbers, weight) / weight.sum()  # of each subject in the mean
    for candidate, loss in enumerate(losses):
        excess = loss - losses[means.argmin()]
        mean = means[candidate] - means.min()
        parts = np.bincount(numbers, excess * weight) / weight.sum() - mean * shares
        if mean <= np.sqrt((parts**2).sum() * len(shares) / max(1, len(shares) - 1)):
            return candidate
    return int(means.argmin())


def seeded(estimator: Any, random_state: np.random.RandomState) -> Any:
    """Return an estimator in which every random state that was None is a number."""
    for name, value in sorted(estimator.get_params().items()):
        if name.rpartition("__")[2] == "random_state" and value is None:
            estimator.set_params(**{name: int(random_state.randint(MAX_SEED))})
    return estimator
