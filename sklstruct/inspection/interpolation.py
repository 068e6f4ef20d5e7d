"""The way from one sample to another through a representation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..estimators.samples import as_array
from ..params import check, integer
from .blocks import Array


class Interpolation(NamedTuple):
    """Samples between those of pairs, and how far they are from them.

    Parameters
    ----------
    table : DataFrame
        One row for each pair and step: ``pair``, ``t``, and the distances ``from_first``,
        ``from_second`` and ``from_mixture`` of samples, as shares of that within the pair.
    samples : ndarray, shape (n_pairs, n_steps, ...)

    See Also
    --------
    interpolate : Computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklstruct.inspection import interpolate
    >>> X = np.random.default_rng(0).normal(size=(9, 4))
    >>> found = interpolate(PCA().fit(X), X[:2], X[2:4], n_steps=3)
    >>> found.samples.shape, found.table["t"].tolist()
    ((2, 3, 4), [1.0, 0.5, 0.0, 1.0, 0.5, 0.0])
    """

    table: pd.DataFrame
    samples: NDArray[Any]


def interpolate(estimator: Any, first: Any, second: Any, n_steps: int = 8) -> Interpolation:
    r"""Return the samples whose representations lie between those of two samples.

    .. math::
        x_t = \Phi^{-1}(t \, \Phi(x_0) + (1 - t) \, \Phi(x_1)), \qquad t = 1, \dots, 0

    Where :math:`\Phi` is linear, they are the mixtures :math:`t x_0 + (1 - t) x_1`.  The distance
    from these shows how far it is from that; the distance of the first sample from the first
    of the pair is the error of the inverse.

    Mixtures of features are features of a sample where there are as many as values of a sample.
    A network that pads has more: an inverse then gives samples of other features, which may be
    far from both of the pair.

    Parameters
    ----------
    estimator : fitted transformer
        With ``transform`` and ``inverse_transform``, as network estimators have where the
        network has an inverse.
    first, second : array-like, shape (n_pairs, ...)
        Samples :math:`x_0` and :math:`x_1`.
    n_steps : int, default=8
        Number of samples from one to the other, both with them.

    Returns
    -------
    found : Interpolation
        With ``table`` and ``samples``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it has no inverse.
    ValueError
        If first and second differ in shape, samples of a pair are the same, or features are
        those of a layer that has no inverse.

    See Also
    --------
    InterpolationDisplay : A picture of it.
    singular_values : How well a representation can be inverted.

    References
    ----------
    J.-H. Jacobsen, A. W. M. Smeulders and E. Oyallon. i-RevNet: deep invertible networks. ICLR,
    2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklstruct.inspection import interpolate
    >>> X = np.random.default_rng(0).normal(size=(9, 4))
    >>> table, samples = interpolate(PCA().fit(X), X[:1], X[1:2], n_steps=3)
    >>> table.round(2).abs()
       pair    t  from_first  from_second  from_mixture
    0     0  1.0         0.0          1.0           0.0
    1     0  0.5         0.5          0.5           0.0
    2     0  0.0         1.0          0.0           0.0
    """
    check("n_steps", n_steps, integer(2))
    check_is_fitted(estimator)
    missing = [n for n in ("transform", "inverse_transform") if not hasattr(estimator, n)]
    if missing:
        raise TypeError(
            "estimator must have transform and inverse_transform, but "
            f"{type(estimator).__name__} has no {missing[0]}: its network needs inverse(features)."
        )
    pairs = [np.asarray(as_array(samples)) for samples in (first, second)]
    shapes = [each.shape for each in pairs]
    if shapes[0] != shapes[1] or not pairs[0].size:
        raise ValueError(
            "first and second must be samples, as many and of the same shape, got "
            f"{shapes[0]} and {shapes[1]}."
        )
    ends = [each[:, np.newaxis] for each in pairs]
    apart = distances(*ends)
    if not apart.all():
        raise ValueError(f"first and second are the same sample in pair {int(apart.argmin())}.")
    n_pairs = len(pairs[0])
    t = np.linspace(1, 0, n_steps)
    features = mixtures(t, *(np.asarray(estimator.transform(each)) for each in pairs))
    found = np.asarray(estimator.inverse_transform(features.reshape(n_pairs * n_steps, -1)))
    samples = found.reshape(n_pairs, n_steps, *found.shape[1:])
    table = {
        "pair": np.repeat(np.arange(n_pairs), n_steps),
        "t": np.tile(t, n_pairs),
        "from_first": (distances(samples, ends[0]) / apart).ravel(),
        "from_second": (distances(samples, ends[1]) / apart).ravel(),
        "from_mixture": (distances(samples, mixtures(t, *pairs)) / apart).ravel(),
    }
    return Interpolation(pd.DataFrame(table), samples)


def mixtures(t: Array, first: NDArray[Any], second: NDArray[Any]) -> Array:
    """Return the mixtures of pairs, first ones with shares t, shape (n_pairs, len(t), ...)."""
    shares = t.reshape(-1, *[1] * (first.ndim - 1))
    return shares * first[:, np.newaxis] + (1 - shares) * second[:, np.newaxis]


def distances(one: NDArray[Any], other: NDArray[Any]) -> Array:
    """Return the distances of samples (n_pairs, n_steps, ...), shape (n_pairs, n_steps)."""
    apart = one.astype(np.float64) - other
    return np.linalg.norm(apart.reshape(*apart.shape[:2], -1), axis=2)
