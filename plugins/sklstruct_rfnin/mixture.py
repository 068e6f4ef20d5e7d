"""How much a network and a linear classifier beside it have to say: what held-out samples show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.base import clone

from sklstruct.estimators.calibration import held_out_values
from sklstruct.estimators.rows import Rows

from .linear import Array, Labels, Places, fit_linear

FOLDS = 3  # each costs a training on the rest
LEAST = 0.01  # share; classes are told apart, if badly, also where nothing was learned
READ = ("classes_", "layout_", "sample_shape_", "n_features_in_", "feature_names_in_")


def mix(
    estimator: Any,
    X: Rows,
    codes: Labels,
    weight: Array | None,
    subjects: Labels,
    seeds: list[int],
) -> None:
    r"""Set a linear classifier beside the network of a fitted estimator, and their shares.

    .. math::
        o(x) = a\, g(x) + b\, (W x + v)

    with the outputs g of the network, the linear classifier (W, v) of ``fit_linear``, and the
    shares :math:`a, b` of least log loss for samples that both have not seen: networks that are
    trained anew on two thirds of the samples each, and linear classifiers likewise.

    Parameters
    ----------
    estimator : RFNiNClassifier
        Its network must have a place for the linear classifier.
    X : Rows, shape (n, channels, *spatial)
    codes : ndarray of int, shape (n,)
        Numbers of the classes.
    weight : ndarray, shape (n,), or None
    subjects : ndarray of int, shape (n,)
        Whose samples are held out together.
    seeds : list of int
        For the folds of both, and for the networks.
    """
    if len(np.unique(codes)) < len(estimator.classes_):
        return  # a class without weight: the network stays alone
    weight = np.ones(len(codes)) if weight is None else weight / weight.mean()
    places = Places(X, weight, estimator._to_tensor)
    linear = fit_linear(places, codes, weight, subjects, seeds[1])
    if linear is None:
        return  # nothing to hold out, or to tell apart: the network stays alone
    found = held_out_network(estimator, X, codes, weight, subjects, seeds[0])
    if found is None:
        return
    rows, logits = found
    both, mine, others = np.intersect1d(rows, linear.rows, return_indices=True)
    shares = best_shares(logits[mine], linear.logits[others], codes[both], weight[both])
    estimator.net_.module_.set_beside(linear.weight, linear.bias, shares)
    estimator.n_parameters_ += linear.weight.size + linear.bias.size


def held_out_network(
    estimator: Any, X: Rows, codes: Labels, weight: Array, subjects: Labels, seed: int
) -> tuple[Labels, Array] | None:
    """Return samples and their outputs by networks that are trained as this one, without them.

    Callbacks are left out: they may watch a validation that there is not, or write files.
    """
    settings = "batch_size", "lr", "optimizer", "schedule", "weight_decay", "label_smoothing"
    member = clone(estimator).set_params(
        **{name: estimator._setting(name, len(X)) for name in settings},
        max_epochs=len(estimator.net_.history),
        early_stopping=False,
        callbacks=None,
        feature_layer=None,
        linear=False,
        random_state=seed,
        verbose=0,
    )

    def decide(train: Labels, test: Labels) -> NDArray[Any]:
        network = clone(member)
        for name in READ:
            if hasattr(estimator, name):
                setattr(network, name, getattr(estimator, name))
        network._fit(X.take(train), codes[train], weight[train], None)
        outputs: NDArray[Any] = network._run(X.take(test), network.net_.module_)
        return outputs.astype(np.float64)

    return held_out_values(decide, codes, seed, subjects, FOLDS)


def best_shares(network: Array, linear: Array, codes: Labels, weight: Array) -> tuple[float, float]:
    """Return the factors on two sets of logits (n, n_classes) whose sum has the least log loss."""
    rows, share = np.arange(len(codes)), weight / weight.sum()

    def loss(factors: Array) -> float:
        logits = factors[0] * network + factors[1] * linear
        return float(-share @ log_softmax(logits, axis=1)[rows, codes])

    found = minimize(loss, np.full(2, 0.5), method="L-BFGS-B", bounds=[(LEAST, None)] * 2)
    return float(found.x[0]), float(found.x[1])
