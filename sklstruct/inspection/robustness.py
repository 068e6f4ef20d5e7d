"""How much a network loses when noise is added to the coefficients of its kernels."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state

from ..frames.frame import SPAN_TOLERANCE, Array
from ..layers import FrameConv
from ..params import SEED, SEQUENCE, check, integer, one_of, real
from .frame_layers import frame_layers, unit_coefficients

NOISE = (0, 0.05, 0.1, 0.2, 0.4)  # of the root mean square of a layer's coefficients


def coefficient_robustness(
    estimators: Any,
    X: Any,
    y: Any,
    *,
    noise: Sequence[float] = NOISE,
    coefficients: str = "learned",
    n_draws: int = 10,
    random_state: Any = None,
) -> pd.DataFrame:
    r"""Measure the score of fitted networks whose kernels have noisy coefficients.

    In every frame layer, with coefficients c of the atoms :math:`u_k` of unit norm,

    .. math::
        \tilde c = c + \eta \, \mathrm{rms}(c) \, z, \qquad z \sim N(0, 1), \qquad
        E \, \frac{\|\tilde w - w\|^2}{\|w\|^2} = \eta^2 \, \frac{\|c\|^2}{c^T G c}

    where G is the Gram matrix of the :math:`u_k` and :math:`w = \sum_k c_k u_k`.  An orthonormal
    frame, as that of pixels, changes its kernels by the share :math:`\eta`.  In a tight frame of
    redundancy r the coefficients of least norm change them by :math:`\eta / \sqrt r` only.  Where
    atoms cancel one another, the change is larger than :math:`\eta`; so it is where an
    overcomplete frame was learned from large weights that add nothing to its kernels.  Scores
    over ``kernel_change`` leave all this out of account, and compare the networks alone.

    Parameters
    ----------
    estimators : fitted network estimator, or dict from str to these
        With frame layers.  While this runs, no other thread must use them; then they are as
        they were, whatever happens.
    X : array-like, shape (n, ...)
        Samples that they were not fitted to.
    y : array-like, shape (n,)
    noise : sequence of float, default=(0, 0.05, 0.1, 0.2, 0.4)
        Values of :math:`\eta`.
    coefficients : {"learned", "canonical"}, default="learned"
        Whether c is what was learned, or the coefficients of least norm of the same kernels,
        which differ where the frame is overcomplete.
    n_draws : int, default=10
        Number of draws of z; each is added at every level.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    table : DataFrame
        One row for each estimator, level and draw: ``estimator``, ``noise``, ``draw``,
        ``score``, which is the accuracy or R2 that the estimator's own ``score`` gives, and
        ``kernel_change``, :math:`\|\tilde w - w\| / \|w\|` over all kernels of a layer, as root
        mean square over the layers.

    Raises
    ------
    NotFittedError
        If an estimator is not fitted.
    TypeError
        If a frame layer is of a kind whose weights are not known to be coefficients.
    ValueError
        If a parameter is out of range, or an estimator has no frame layers.

    See Also
    --------
    RobustnessDisplay : A picture of it.
    CoefficientDisplay : The coefficients.

    References
    ----------
    J.-H. Jacobsen, B. de Brabandere and A. W. M. Smeulders. Dynamic steerable blocks in deep
    residual networks. BMVC, 2017 (section 4.3 of the first author's thesis).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import coefficient_robustness
    >>> X, y = load_digits().images, load_digits().target
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X[:100], y[:100])
    >>> table = coefficient_robustness(model, X[100:], y[100:], n_draws=2, random_state=0)
    >>> table.shape, table.columns.tolist()
    ((10, 5), ['estimator', 'noise', 'draw', 'score', 'kernel_change'])
    """
    for level in check("noise", noise, SEQUENCE):
        check("Each of noise", level, real(least=0))
    check("coefficients", coefficients, one_of("learned", "canonical"))
    check("n_draws", n_draws, integer(1))
    rng = check_random_state(check("random_state", random_state, SEED))
    if len(noise) == 0 or (isinstance(estimators, Mapping) and not estimators):
        raise ValueError(
            f"noise and estimators must have at least one entry, got {noise!r} and {estimators!r}."
        )
    if not isinstance(estimators, Mapping):
        estimators = {type(estimators).__name__: estimators}
    layers = {name: frame_convolutions(estimator) for name, estimator in estimators.items()}
    # One seed for all: those of one shape see the same noise.
    seeds = rng.randint(2**31, size=n_draws)
    rows: list[tuple[Any, ...]] = []
    for name, estimator in estimators.items():
        clean = float(estimator.score(X, y))
        known = [unit_coefficients(layer) for layer in layers[name]]
        if coefficients == "canonical":
            known = [least_norm(c, layer) for c, layer in zip(known, layers[name], strict=True)]
        for draw, seed in enumerate(seeds):
            for level in noise:
                if level == 0:
                    rows.append((name, level, draw, clean, 0.0))
                    continue
                normal = np.random.RandomState(seed).standard_normal
                changes = [level * np.sqrt(np.mean(c**2)) * normal(c.shape) for c in known]
                parts = zip(layers[name], changes, known, strict=True)
                shares = [energy(d, layer) / (energy(c, layer) or 1.0) for layer, d, c in parts]
                with changed(layers[name], changes):
                    score = float(estimator.score(X, y))
                rows.append((name, level, draw, score, np.sqrt(np.mean(shares))))
    return pd.DataFrame(rows, columns=["estimator", "noise", "draw", "score", "kernel_change"])


def frame_convolutions(estimator: Any) -> list[FrameConv]:
    """Return the frame layers of a fitted estimator, or raise TypeError if one is no FrameConv."""
    layers = frame_layers(estimator)
    for name, layer in layers.items():
        if not isinstance(layer, FrameConv):
            raise TypeError(f"Layer {name!r} must be a FrameConv, got {type(layer).__name__}.")
    return list(layers.values())


@contextmanager
def changed(layers: Sequence[FrameConv], changes: Sequence[Array]) -> Iterator[None]:
    """Add something to the coefficients of the atoms of unit norm for as long as this lasts."""
    kept = [layer.weight.detach().clone() for layer in layers]
    try:
        for layer, change in zip(layers, changes, strict=True):
            # The weights of a layer are those of its atoms times its own norms, which may be 1.
            own = torch.from_numpy(change / layer.frame.norms).to(layer.weight) * layer.norms
            with torch.no_grad():
                layer.weight.add_(own)
        yield
    finally:
        with torch.no_grad():  # not subtracted, as that would leave rounding
            for layer, weight in zip(layers, kept, strict=True):
                layer.weight.copy_(weight)


def unit_gram(layer: FrameConv) -> Array:
    """Return the Gram matrix of the atoms of unit norm, of learned scales one for each factor."""
    gram = layer.frame.gram
    if layer.scale is not None:  # in double precision, as rounding would hide what depends
        rows = copy.deepcopy(layer.scale).double()().numpy(force=True)
        gram = rows @ rows.swapaxes(1, 2)
    return gram / np.outer(layer.frame.norms, layer.frame.norms)


def energy(coefficients: Array, layer: FrameConv) -> float:
    """Return the squared norm of all kernels together, for coefficients of unit atoms."""
    return float(np.sum((coefficients @ unit_gram(layer)) * coefficients))


def least_norm(coefficients: Array, layer: FrameConv) -> Array:
    """Return the coefficients of least norm of the same kernels."""
    gram = unit_gram(layer)
    return coefficients @ gram @ np.linalg.pinv(gram, rcond=SPAN_TOLERANCE, hermitian=True)
