"""What takes a sample from where nothing is seen to what a network says of it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from torch import Tensor

from ..params import FLAG, check, integer
from .attribution import explained
from .opened import Opened, slope

Array = NDArray[Any]

BASELINES = "mean", "blur"
BLUR = 0.1  # deviation of the Gaussian, relative to the extents
LARGE = 0.05  # share of what a map holds in all that it may miss unsaid


def integrated_gradients(
    estimator: Any,
    X: Any,
    target: Any = None,
    *,
    baseline: str | ArrayLike = "mean",
    n_steps: int = 32,
    return_gap: bool = False,
) -> Any:
    r"""Return what every place adds to what a network says, on the way from a baseline.

    .. math::
        m_p = \sum_c (x_{cp} - x^0_{cp}) \int_0^1
        \frac{\partial f}{\partial x_{cp}} \bigl(x^0 + a \, (x - x^0)\bigr) \, da, \qquad
        \sum_p m_p = f(x) - f(x^0)

    over the channels c, by Gauss and Legendre's rule.  A map is in units of f, and complete: it
    adds up to the difference of f between the sample and the baseline, where f is of the class
    that is explained for the sample.

    Parameters
    ----------
    estimator : fitted estimator
        A network estimator, or a pipeline or a search that ends in one.
    X : array-like, shape (n, ...)
        Samples as ``fit`` had them; paths of scans are read one at a time.
    target : label or int, default=None
        As of ``gradient_map``.
    baseline : "mean", "blur" or array-like of the shape of a sample, default="mean"
        :math:`x^0`: the mean of each channel in training; the sample, blurred by a Gaussian with
        the deviation of a tenth of its extents; or a sample, which may be a path where X are.
    n_steps : int, default=32
        Number of places on the way at which gradients are taken.
    return_gap : bool, default=False
        Whether to return as well what maps miss.

    Returns
    -------
    maps : ndarray of float32, shape (n, *spatial)
    gap : ndarray, shape (n,)
        :math:`f(x) - f(x^0) - \sum_p m_p`, if ``return_gap``.

    Warns
    -----
    RuntimeWarning
        If a map misses more than a twentieth of the sum of its magnitudes.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If the target or a parameter is none of the above, or X has another shape.

    See Also
    --------
    gradient_map : One gradient; "input_x_gradient" is this one's single step.
    captum_map : Other methods.

    References
    ----------
    M. Sundararajan, A. Taly and Q. Yan. Axiomatic attribution for deep networks. ICML, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import integrated_gradients
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> maps, gap = integrated_gradients(model, X[:3], target=7, return_gap=True)
    >>> maps.shape, bool(abs(gap).max() < 0.02)
    ((3, 8, 8), True)
    """
    opened = Opened(estimator)
    weigh = opened.weigh(target)
    check("n_steps", n_steps, integer(1))
    check("return_gap", return_gap, FLAG)
    # Of scans, a text may be the path of one.
    named = isinstance(baseline, str) and (opened.volumes is None or baseline in BASELINES)
    if named and baseline not in BASELINES:
        raise ValueError(f"baseline must be 'mean', 'blur' or a sample, got {baseline!r}.")
    given = None
    if not named:
        one = opened.read(np.asarray(baseline)[np.newaxis])[:]
        given = opened.estimator._to_tensor(one)
    places, weights = np.polynomial.legendre.leggauss(n_steps)

    def start_of(x: Tensor) -> Tensor:
        if given is not None:
            return given.to(x)
        if baseline == "mean":  # samples are standardised
            return torch.zeros_like(x)
        deviations = 0, 0, *(BLUR * extent for extent in x.shape[2:])
        return torch.from_numpy(ndimage.gaussian_filter(x.cpu().numpy(), deviations)).to(x)

    def explain(x: Tensor) -> Tensor:
        f, start = explained(opened, weigh, x), start_of(x)
        mean = torch.zeros_like(x)
        for place, weight in zip((places + 1) / 2, weights / 2, strict=True):
            mean += weight * slope(f, start + place * (x - start))
        values = (mean * (x - start)).sum(dim=1).flatten(1)
        change = f(x) - f(start.expand_as(x))
        gap = change - values.sum(dim=1, dtype=torch.float64).to(change)
        return torch.cat([values, gap[:, np.newaxis]], dim=1)

    samples = opened.read(X)
    found = opened.run(samples, explain)
    maps, gap = found[:, :-1], found[:, -1]
    missed = missed_share(maps, gap)
    if (missed > LARGE).any():
        warnings.warn(
            f"Integrated gradients of {(missed > LARGE).sum()} of {len(gap)} samples miss up to "
            f"{missed.max():.0%} of what they hold: a larger n_steps than {n_steps} may help.",
            RuntimeWarning,
            stacklevel=2,
        )
    maps = maps.reshape(len(maps), *samples.shape[2:]).astype(np.float32, copy=False)
    return (maps, gap) if return_gap else maps


def missed_share(maps: Array, gap: Array) -> Array:
    """Return what maps miss, relative to the sums of their magnitudes, (n,)."""
    held = np.abs(maps).reshape(len(maps), -1).sum(axis=1)
    return np.abs(gap) / np.maximum(held, np.finfo(np.float32).tiny)
