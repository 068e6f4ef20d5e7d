"""What every filter of a layer is like: its orientation, frequency, scale, order and parity."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..frames import Jet
from ..params import FLAG, check
from .kernels import named_filters
from .opened import RGB

Array = NDArray[np.float64]

N_FREQUENCIES = {1: 257, 2: 65, 3: 33}  # along every axis; odd, so that none is its own negative
SMOOTH = 1 / 4  # cycles a sample, half of what samples can hold
ORDERS, N_SCALES, FINEST, COARSEST = range(5), 24, 0.5, 1 / 3  # of the derivatives that are tried
ISOTROPIC = 1e-9  # anisotropy where no direction is more than another
COLUMNS = (
    "energy",
    "orientation",
    "elevation",
    "anisotropy",
    "frequency",
    "bandwidth",
    "smoothness",
    "width",
    "order",
    "scale",
    "explained",
    "parity",
    "colour",
)


def filter_table(
    estimator: Any, layer: str | None = None, *, of: str | None = None, by_channel: bool = False
) -> pd.DataFrame:
    r"""Describe every filter of a layer by numbers.

    With the power :math:`P(f) = \sum_c |\hat w_c(f)|^2` over the input channels at a frequency f in
    cycles a sample, and its second moments :math:`M = \sum_f f f^T P(f) / \sum_f P(f)` with
    eigenvalues :math:`\mu_1 \ge \mu_2 \ge \dots`, a row has

    - energy, :math:`\sum_c \|w_c\|^2`;
    - orientation, of the first eigenvector of M, in which the filter varies most: degrees from
      the last axis (x) towards the one before it (y), from 0 to 180; elevation, in volumes its
      angle to that plane, from -90 to 90;
    - anisotropy, :math:`(\mu_1 - \mu_2) / (\mu_1 + \mu_2)`, from 0 to 1;
    - frequency, the largest P is at, and bandwidth, the standard deviation of :math:`|f|` under P,
      in cycles a sample;
    - smoothness, the share of the power below a quarter of a cycle a sample;
    - width, :math:`\sqrt 2` times the standard deviation of places along an axis under
      :math:`\sum_c w_c^2`, in samples: that of the Gaussian in a Gaussian or a Gabor filter;
    - order and scale (in samples) of the Gaussian derivatives of one order and one scale that
      explain most of it, less what as many random atoms would, and explained, the share they do;
    - parity, :math:`\langle w, w(-\cdot) \rangle / \|w\|^2`: 1 of even filters, -1 of odd ones;
    - colour, of three channels the share of the energy that is not the same in all of them.

    Parameters
    ----------
    estimator, layer, of
        As of ``filters``.
    by_channel : bool, default=False
        Whether every pair of an output and an input channel has a row, and not every output.

    Returns
    -------
    table : DataFrame
        With the columns layer, filter, with ``by_channel`` channel, and those above; what does not
        exist, such as the orientation of a curve, is nan.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        As ``filters`` does.

    References
    ----------
    J. Bigun and G. H. Granlund. Optimal orientation detection of linear symmetry. ICCV, 1987.

    See Also
    --------
    filters : The kernels.
    FilterDisplay : They, ordered by one of these columns.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import filter_table
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> filter_table(model)[["layer", "filter", "order", "scale"]].round(1)
            layer  filter  order  scale
    0  stages.0.0       0    3.0    1.2
    1  stages.0.0       1    3.0    1.0
    2  stages.0.0       2    3.0    1.1
    3  stages.0.0       3    3.0    1.5
    """
    check("by_channel", by_channel, FLAG)
    kernels, name = named_filters(estimator, layer, of)
    n_out, n_in = kernels.shape[:2]
    rows = kernels.reshape(n_out * n_in, 1, *kernels.shape[2:]) if by_channel else kernels
    places = {"filter": np.repeat(np.arange(n_out), n_in if by_channel else 1)}
    if by_channel:
        places["channel"] = np.tile(np.arange(n_in), n_out)
    return pd.DataFrame({"layer": name, **places} | describe(rows))


def describe(kernels: Array) -> dict[str, Array]:
    """Return the columns of ``filter_table`` but its names, for kernels (n, channels, *support)."""
    n, n_channels, *support = kernels.shape
    flat = kernels.reshape(n, n_channels, -1)
    energy = (flat**2).sum(axis=(1, 2))
    alive = energy > 0
    units = flat[alive] / np.sqrt(energy[alive, np.newaxis, np.newaxis])
    found = waves(units.reshape(-1, n_channels, *support))
    found |= {"width": widths(units, tuple(support))}
    found |= best_derivatives(units, tuple(support))._asdict()
    found["parity"] = (units * units[:, :, ::-1]).sum(axis=(1, 2))
    if n_channels == RGB:
        found["colour"] = 1 - (units.sum(axis=1) ** 2).sum(axis=1) / RGB
    table = {name: np.full(n, np.nan) for name in COLUMNS} | {"energy": energy}
    for name, values in found.items():
        table[name][alive] = values
    return table


def spectrum(kernels: Array) -> Array:
    """Return the power over input channels, frequency 0 in the middle, (n, *frequencies)."""
    axes = range(1, kernels.ndim - 1)
    extents = [max(N_FREQUENCIES[len(axes)], extent | 1) for extent in kernels.shape[2:]]
    power = [(abs(np.fft.fftn(one, extents, axes)) ** 2).sum(axis=0) for one in kernels]
    return np.fft.fftshift(np.reshape(power, (len(kernels), *extents)), axes=[*axes])


def frequencies(extents: tuple[int, ...]) -> Array:
    """Return the frequencies of a spectrum in cycles a sample, (n_frequencies, ndim)."""
    axes = [np.fft.fftshift(np.fft.fftfreq(extent)) for extent in extents]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(extents))


def waves(units: Array) -> dict[str, Array]:
    """Return what the spectra of filters say."""
    ndim = units.ndim - 2
    power = spectrum(units)
    f = frequencies(power.shape[1:])
    power = power.reshape(len(units), -1)
    power /= power.sum(axis=1, keepdims=True)
    radius = np.linalg.norm(f, axis=1)
    mean = power @ radius
    found = {
        "frequency": radius[power.argmax(axis=1)],
        "bandwidth": np.sqrt(np.maximum(power @ radius**2 - mean**2, 0)),
        "smoothness": power @ (radius < SMOOTH),
    }
    if ndim > 1:
        moments = np.einsum("np,pi,pj->nij", power, f, f, optimize=True)
        sizes, vectors = np.linalg.eigh(moments)
        first, second = sizes[:, -1], sizes[:, -2]
        found["anisotropy"] = anisotropy = (first - second) / (first + second)
        *z, y, x = np.where(anisotropy > ISOTROPIC, vectors[:, :, -1].T, np.nan)
        found["orientation"] = np.degrees(np.arctan2(y, x)) % 180
        if z:
            upper = np.where((y < 0) | ((y == 0) & (x < 0)), -1, 1)  # of the two ends, that one
            found["elevation"] = np.degrees(np.arcsin(np.clip(upper * z[0], -1, 1)))
    return found


def widths(units: Array, support: tuple[int, ...]) -> Array:
    """Return how far filters reach, as the standard deviation of a Gaussian that does as well."""
    share, points = (units**2).sum(axis=1), middle_grid(support)
    mean = share @ points
    spread = share @ (points**2).sum(axis=1) - (mean**2).sum(axis=1)
    return np.sqrt(2 * np.maximum(spread, 0) / len(support))


class Derivatives(NamedTuple):
    """Order and scale of the Gaussian derivatives that explain most, and the share they do."""

    order: Array
    scale: Array
    explained: Array


def best_derivatives(units: Array, support: tuple[int, ...]) -> Derivatives:
    """Return which Gaussian derivatives of one order and one scale explain filters best."""
    n_samples, rows = units.shape[2], units.reshape(-1, units.shape[2])
    # Atoms between the samples of an even support, and so for any extents.
    scales = np.geomspace(FINEST, max(2 * FINEST, COARSEST * max(support)), N_SCALES)
    tried, shares = [], []
    for order, scale in product(ORDERS, scales.tolist()):
        span = derivatives(order, scale, support)
        if len(span) < n_samples:
            tried.append((order, scale, len(span) / n_samples))
            shares.append(((rows @ span.T) ** 2).sum(axis=1).reshape(len(units), -1).sum(axis=1))
    by_chance = np.array([chance for *_, chance in tried])[:, np.newaxis]
    explained = np.reshape(shares, (len(tried), len(units)))
    better = (explained - by_chance) / (1 - by_chance)
    best = better.round(9).argmax(axis=0)  # of equals the lowest order, whatever rounding did
    order, scale = np.array(tried)[best, :2].T
    return Derivatives(order, scale, explained[best, np.arange(len(units))])


def derivatives(order: int, scale: float, support: tuple[int, ...]) -> Array:
    """Return an orthonormal basis of the Gaussian derivatives of an order, (n, n_samples)."""
    ndim = len(support)
    indices = [i for i in product(range(order + 1), repeat=ndim) if sum(i) == order]
    atoms = Jet(np.array(indices), np.full((len(indices), ndim), scale), support)
    values = atoms(middle_grid(support))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    # By the few products of atoms with each other: volumes have thousands of samples.
    squares, turns = np.linalg.eigh(values @ values.T)
    kept = squares > 1e-12 * squares[-1]
    return (turns[:, kept] / np.sqrt(squares[kept])).T @ values


def middle_grid(support: tuple[int, ...]) -> Array:
    """Return the points of samples around the middle, which may lie between two of them."""
    axes = [np.arange(extent) - (extent - 1) / 2 for extent in support]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(support))
