"""How alike representations are, of layers of a network and of two networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..estimators.base import watched
from ..params import FLAG, check, one_of
from ..threads import one_blas_thread
from ..training.rows import rounding
from .blocks import block_names
from .opened import Opened

Array = NDArray[np.float64]

VALUES_AT_ONCE = 1 << 24  # features of all samples
EPSILON = np.finfo(np.float64).eps


def cka(
    first: Any,
    second: Any,
    other: Any = None,
    *,
    layers: Sequence[str] | None = None,
    other_layers: Sequence[str] | None = None,
    places: str = "mean",
    debiased: bool = True,
) -> Any:
    r"""Return how alike two representations are, or those in all layers of one or two networks.

    Linear centred kernel alignment of features :math:`X \in R^{n \times p}` and :math:`Y \in R^{n
    \times q}` of the same n samples, of which the means are taken away,

    .. math::
        \mathrm{CKA} = \frac{H(X, Y)}{\sqrt{H(X, X) \, H(Y, Y)}}, \qquad
        H(X, Y) = \|X^T Y\|^2 - \frac{n}{n - 2} d \cdot e
                  + \frac{\sum_i d_i \sum_i e_i}{(n - 1)(n - 2)},

    with the squared norms :math:`d_i = \|x_i\|^2` and :math:`e_i = \|y_i\|^2` of the samples.
    This H is unbiased but for a factor; its first term alone grows with the number of features,
    and of few samples makes everything alike.  CKA is 1 for what is equal up to rotation, scale and
    translation, and about 0 for what is independent, where it may be below.

    Parameters
    ----------
    first : array-like of shape (n, p), or fitted estimator
        A representation; or a network estimator, a pipeline or a search that ends in one.
    second : array-like of shape (n, q), or X of shape (n, ...)
        The other representation; or samples, where ``first`` is an estimator.
    other : fitted estimator, default=None
        Whose layers those of ``first`` are compared with; None is ``first`` itself.
    layers, other_layers : sequence of str, default=None
        Names of layers in ``net_.module_``; None takes the blocks of the network, which are the
        children of its ``stages``, and for ``other_layers`` of the same network ``layers``.
    places : {"mean", "all"}, default="mean"
        Whether features of layers are means over all places, or the values at each.
    debiased : bool, default=True
        Whether all of H is taken, or the first term alone.

    Returns
    -------
    similarity : float, or DataFrame of shape (n_layers, n_other_layers)
        Named by the layers.  NaN where all samples have the same features.

    Raises
    ------
    NotFittedError
        If an estimator is not fitted.
    TypeError
        If ``other`` or layers are given beside two arrays, or an estimator has no network.
    ValueError
        If arrays are not of as many samples, samples are fewer than four (two if not debiased),
        or there is no such layer.

    See Also
    --------
    CKADisplay : A picture of it.
    agreement : How alike are the predictions.

    Notes
    -----
    Beside one piece of samples, :math:`2^{24}` values of features are in memory at a time, and
    for each layer the smaller of n x p and n x n values.

    References
    ----------
    S. Kornblith, M. Norouzi, H. Lee and G. Hinton. Similarity of neural network representations
    revisited. ICML, 2019.

    L. Song, A. Smola, A. Gretton, J. Bedo and K. Borgwardt. Feature selection via dependence
    maximization. JMLR 13, 2012.

    A. Murphy, J. Zylberberg and A. Fyshe. Correcting biased centered kernel alignment measures
    in biological and artificial neural networks. arXiv:2405.01012, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import cka
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X, y)
    >>> table = cka(model, X)
    >>> table.shape, bool(np.allclose(np.diag(table), 1))
    ((2, 2), True)
    >>> noise = np.random.default_rng(0).normal(size=(2, 20, 200))
    >>> round(cka(*noise), 2), round(cka(*noise, debiased=False), 2)
    (0.12, 0.92)
    """
    check("places", places, one_of("mean", "all"))
    check("debiased", debiased, FLAG)
    if hasattr(first, "fit"):
        rows = columns = representations(first, second, layers, places)
        if other is not None or other_layers is not None:
            whose = first if other is None else other
            columns = representations(whose, second, other_layers, places)
        similarity = aligned([*rows.values()], [*columns.values()], debiased)
        names = pd.Index(rows, name="layer"), pd.Index(columns, name="other_layer")
        return pd.DataFrame(similarity, *names)
    if other is not None or layers is not None or other_layers is not None:
        raise TypeError("other, layers and other_layers need an estimator: first is an array.")
    one, two = representation("first", first), representation("second", second)
    if len(one) != len(two):
        raise ValueError(f"second must have the {len(one)} samples of first, got {len(two)}.")
    return float(aligned([one], [two], debiased)[0, 0])


def representation(name: str, features: ArrayLike) -> Array:
    """Return features of samples, less their means, in as many columns as there are samples."""
    features = np.asarray(features)
    if features.ndim != 2 or features.dtype.kind not in "iuf" or not np.isfinite(features).all():
        raise ValueError(
            f"{name} must be finite numbers of shape (n, n_features), got {features.dtype} of "
            f"shape {features.shape}."
        )
    features = centred(features)
    return features if features.shape[1] <= len(features) else root(features @ features.T)


def representations(
    estimator: Any, X: Any, layers: Sequence[str] | None, places: str
) -> dict[str, Array]:
    """Return the features of samples in each layer, less their means, in n columns at most."""
    names, opened = block_names(estimator, layers), Opened(estimator)
    samples = opened.read(X)
    n, widths = len(samples), list[int]()
    parts: dict[str, list[Array]] = {name: [] for name in names}
    grams: dict[str, Array] = {}

    reduce = partial(opened.as_rows, places=places)
    with watched(opened.network, names, reduce, "layers") as outputs:

        def columns(x: Tensor, start: int = 0, stop: int = 1) -> Tensor:
            passing = outputs(x)
            widths[:] = [part.shape[1] for part in passing]
            return torch.cat(passing, dim=1)[:, start:stop]

        opened.run(samples[:1], columns)  # how many there are
        edges = [*accumulate(widths, initial=0)]
        step = max(1, VALUES_AT_ONCE // n)
        # Some columns in each pass: those of volumes do not fit into memory.
        for start in range(0, edges[-1], step):
            found = opened.run(samples, partial(columns, start=start, stop=start + step))
            for name, (first, stop) in zip(names, pairwise(edges), strict=True):
                part = centred(found[:, max(first - start, 0) : max(stop - start, 0)])
                if stop - first <= n:
                    parts[name].append(part)
                else:
                    with one_blas_thread():
                        grams[name] = grams.get(name, 0) + part @ part.T
    return {
        name: root(grams[name]) if name in grams else np.concatenate(parts[name], axis=1)
        for name in names
    }


def centred(features: NDArray[Any]) -> Array:
    """Return features less their means over the samples; 0 where they are constant."""
    mean = features.mean(axis=0, dtype=np.float64)
    out = features - mean
    out[:, out.std(axis=0) <= rounding(mean, len(features), features.dtype)] = 0
    return out


@one_blas_thread()
def root(gram: Array) -> Array:
    """Return n features of n samples with these products."""
    values, vectors = np.linalg.eigh(gram)
    return vectors * np.sqrt(np.maximum(values, 0))


@one_blas_thread()
def aligned(rows: Sequence[Array], columns: Sequence[Array], debiased: bool) -> Array:
    """Return the alignment of all pairs of centred representations, (n_rows, n_columns)."""
    n, least = len(rows[0]), 4 if debiased else 2
    if n < least:
        raise ValueError(f"CKA needs at least {least} samples, got {n}.")

    def shared(one: Array, two: Array) -> float:
        value = np.square(one.T @ two).sum()
        if debiased:
            d, e = np.square(one).sum(axis=1), np.square(two).sum(axis=1)
            value += d.sum() * e.sum() / ((n - 1) * (n - 2)) - n / (n - 2) * (d @ e)
        return float(value)

    def norm(one: Array) -> float:
        own, whole = shared(one, one), np.square(one).sum()
        return float(np.sqrt(own)) if own > n * EPSILON * whole**2 else np.nan

    norms = np.outer([norm(one) for one in rows], [norm(two) for two in columns])
    return np.array([[shared(one, two) for two in columns] for one in rows]) / norms
