"""What orientations and colours the channels of a network are tuned to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.utils import check_random_state
from torch import Tensor

from ..estimators.base import watched
from ..params import SEED, SEQUENCE, Rule, check, integer, real
from ..training.rows import Unread
from .blocks import block_names
from .opened import RGB, Opened
from .panels import check_results

Array = NDArray[np.float64]
Changes: TypeAlias = Callable[[Tensor], list[Tensor]]

MEASURES = ("orientation", "grating_colour", "colour")
FREQUENCIES = (0.0625, 0.125, 0.25, 0.375)  # cycles a sample
PHASES = (0.0, 0.25, 0.5, 0.75)  # cycles
SILENT = 1e-4  # of the strongest response in a layer
STRONGEST, SHARE = 100, 10  # samples of a channel at most, and one of how many
OPPONENT = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # red-green, yellow-blue
TINY = np.finfo(np.float64).tiny
GOLDEN = (1 + np.sqrt(5)) / 2
BETWEEN = Rule(
    "a sequence of numbers above 0 and of at most 0.5",
    lambda v: SEQUENCE.holds(v) and len(v) > 0 and all(real(above=0, most=0.5).holds(f) for f in v),
)


def selectivity(
    estimator: Any,
    X: Any = None,
    *,
    layers: Sequence[str] | None = None,
    frequencies: Sequence[float] = FREQUENCIES,
    n_orientations: int = 8,
    n_untrained: int = 1,
    random_state: Any = 0,
) -> pd.DataFrame:
    r"""Measure how far channels of a network prefer an orientation, and colours to grey.

    The network sees gratings :math:`a \sqrt 2 \cos 2 \pi (f u \cdot p + \varphi)` of unit deviation
    in standardised samples, of frequency f, direction u and phase :math:`\varphi`.  The response
    :math:`r_{f u}` of a channel is the root mean square, over places and four phases, of what it
    gives less what it gives for a blank sample.  At the frequency with the largest response, in d
    dimensions,

    .. math::
        M = \frac{\sum_u r_u \, u u^T}{\sum_u r_u}, \qquad
        \mathrm{orientation} = \sqrt{\frac{d}{d - 1}} \; \Bigl\|M - \frac{1}{d} I\Bigr\|_F,

    which in 2D is one less the circular variance, :math:`|\sum_\theta r_\theta e^{2 i \theta}| /
    \sum_\theta r_\theta`: 0 for equal responses and 1 for a single one.

    Of three channels, red, green and blue, gratings are grey, red-green or yellow-blue, where
    the latter change no sum of the channels in units of X; of other numbers, gratings are in one
    channel at a time.  Orientations are those of the best of these gratings.  With the largest
    responses to each,

    .. math:: \mathrm{grating\ colour} = \frac{\sqrt{r_{rg}^2 + r_{yb}^2}}
        {\sqrt{r_{rg}^2 + r_{yb}^2} + r_{grey}},

    which is about 0.6 for weights at random, as colours have two dimensions and grey has one.

    From X, with the response b at the place of the sample where it is largest, and g at the same
    place of the grey version of the sample, over the samples that a channel responds to most,
    :math:`\mathrm{colour} = 1 - \sum \max(g, 0) / \sum b`: 0 for what sees grey values alone, 1
    for what sees colours alone.  The grey version differs from the mean of the samples by the same
    in all channels, the mean of what the sample differs by.

    Parameters
    ----------
    estimator : fitted network estimator
        Or a pipeline or a search that ends in one.  With ``standardize=False``, what it reads is
        taken to have mean 0 and deviation 1.
    X : array-like, shape (n, ...), default=None
        Samples, which are needed for ``colour`` alone: of each channel the strongest tenth counts,
        at most 100.
    layers : sequence of str, default=None
        Names of layers in ``net_.module_``, in their order; None takes the blocks of the network,
        which are the children of its ``stages``.
    frequencies : sequence of float, default=(0.0625, 0.125, 0.25, 0.375)
        In cycles a sample, at most 0.5.
    n_orientations : int, default=8
        In 2D, directions between 0 and 180 degrees, 3 or more.  In 3D they are the 15 axes through
        the edges of an icosahedron, which prefer no direction.
    n_untrained : int, default=1
        Number of networks of the same architecture that are measured as they start, for
        comparison: what these have too was not learned.
    random_state : int, RandomState instance or None, default=0
        What they are drawn from.

    Returns
    -------
    table : DataFrame
        One row for each network, layer and channel: ``network``, which is "fitted" or "untrained"
        with a number, ``layer``, ``depth`` from 1, ``channel``, ``response`` (the largest of
        :math:`r_{f u}`), ``orientation``, ``direction`` of the grating in degrees from the last
        axis towards the one before, ``elevation`` towards the first axis (in 3D), ``frequency``,
        ``grating_colour`` and ``colour``.  What there is none of, in 1D, without three channels
        or for a channel without response, is NaN.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it does not end in a network.
    ValueError
        If a parameter is out of range, there is no such layer, or the network has no stages and
        no layers are named.

    See Also
    --------
    selectivity_by_layer : Medians with intervals.
    SelectivityDisplay : A picture of it.

    References
    ----------
    D. L. Ringach, R. M. Shapley and M. J. Hawken. Orientation selectivity in macaque V1:
    diversity and laminar dependence. Journal of Neuroscience 22, 2002.

    I. Rafegas and M. Vanrell. Color encoding in biologically-inspired convolutional neural
    networks. Vision Research 151, 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import selectivity
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X, y)
    >>> table = selectivity(model)
    >>> table.groupby(["network", "layer"]).size().to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {('fitted', 'stages.0'): 4, ('fitted', 'stages.1'): 8,
     ('untrained 1', 'stages.0'): 4, ('untrained 1', 'stages.1'): 8}
    """
    check("frequencies", frequencies, BETWEEN)
    check("n_orientations", n_orientations, integer(3))
    check("n_untrained", n_untrained, integer(0))
    check("random_state", random_state, SEED)
    opened, names = Opened(estimator), block_names(estimator, layers)
    samples = None if X is None or opened.in_shape[0] != RGB else opened.read(X)
    seeds = check_random_state(random_state).randint(2**31, size=n_untrained).tolist()
    networks = {"fitted": opened} | {
        f"untrained {number}": opened.untrained(seed) for number, seed in enumerate(seeds, 1)
    }
    directions = even_directions(len(opened.in_shape) - 1, n_orientations)
    tables = []
    for network, one in networks.items():
        found = tuned(one, names, np.array(frequencies, float), directions)
        colours = None if samples is None else coloured(one, names, samples)
        for depth, (name, columns) in enumerate(found.items(), 1):
            where = {"network": network, "layer": name, "depth": depth}
            channels = {"channel": np.arange(len(columns["response"]))}
            colour = np.nan if colours is None else colours[name]
            tables.append(pd.DataFrame(where | channels | columns | {"colour": colour}))
    return pd.concat(tables, ignore_index=True)


def even_directions(ndim: int, n_orientations: int) -> Array:
    """Return unit vectors of axes, of which none is preferred, (n_directions, ndim)."""
    if ndim == 1:
        return np.ones((1, 1))
    if ndim == 2:
        angle = np.pi * np.arange(n_orientations) / n_orientations
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)
    edges = np.array([(1, a * GOLDEN, b / GOLDEN) for a, b in product((1, -1), repeat=2)]) / 2
    turned = [np.roll(edges, shift, axis=1) for shift in range(3)]
    return np.concatenate([np.eye(3), *turned])


def tuned(
    opened: Opened, names: Sequence[str], frequencies: Array, directions: Array
) -> dict[str, dict[str, Array]]:
    """Return what the channels of layers prefer among gratings."""
    n_channels, places = opened.in_shape[0], np.indices(opened.in_shape[1:])
    colours = np.eye(n_channels)
    if n_channels == RGB:  # those of samples, not of standardised ones
        colours = np.concatenate([np.ones((1, 3)), OPPONENT]) / opened.estimator.scale_
    colours *= np.sqrt(2 * n_channels) / np.linalg.norm(colours, axis=1, keepdims=True)
    kinds = [*product(colours, frequencies, directions, PHASES)]

    def grating(number: int) -> Array:
        colour, frequency, direction, phase = kinds[number]
        cycles = np.tensordot(frequency * direction, places, axes=1) + phase
        wave = np.multiply.outer(colour, np.cos(2 * np.pi * cycles))
        return opened.unstandardised(wave[np.newaxis])[0]

    def squared(changes: Changes, x: Tensor) -> list[Tensor]:
        return [change.square().mean(2) for change in changes(x)]

    gratings = Unread(grating, np.arange(len(kinds)), opened.in_shape, opened.estimator.dtype)
    shape = len(colours), len(frequencies), len(directions), len(PHASES), -1
    return {
        name: preferred(np.sqrt(found.reshape(shape).mean(axis=3)), frequencies, directions)
        for name, found in in_layers(opened, names, gratings, squared).items()
    }


def preferred(responses: Array, frequencies: Array, directions: Array) -> dict[str, Array]:
    """Return what channels prefer, from responses (n_colours, n_frequencies, n_directions, m)."""
    (n_colours, *_, n_channels), ndim = responses.shape, directions.shape[1]
    strongest = responses.max(axis=2).reshape(-1, n_channels)
    best, channels = strongest.argmax(axis=0), np.arange(n_channels)
    response = strongest[best, channels]
    heard = response > SILENT * response.max()
    tuning = responses.reshape(-1, *responses.shape[2:])[best, :, channels]
    tuning = np.where(heard[:, np.newaxis], tuning, 1.0)
    moments = np.einsum("cd,di,dj->cij", tuning, directions, directions)
    moments /= tuning.sum(axis=1)[:, np.newaxis, np.newaxis]
    orientation = np.full(n_channels, np.nan)
    axis = np.full((n_channels, 3), np.nan)
    if ndim > 1:
        spread = np.linalg.norm(moments - np.eye(ndim) / ndim, axis=(1, 2))
        orientation = np.sqrt(ndim / (ndim - 1)) * spread
        axis[:, 3 - ndim :] = np.linalg.eigh(moments)[1][..., -1]  # of the largest eigenvalue
        axis *= np.where(axis[:, [3 - ndim]] < 0, -1, 1)
    colour = np.full(n_channels, np.nan)
    if n_colours == 3:
        grey, *opponent = responses.max(axis=(1, 2))
        colour = np.hypot(*opponent) / np.maximum(np.hypot(*opponent) + grey, TINY)
    preferences = {
        "orientation": orientation,
        "direction": np.degrees(np.arctan2(axis[:, 1], axis[:, 2])) % (180 if ndim == 2 else 360),
        "elevation": np.degrees(np.arcsin(np.minimum(axis[:, 0], 1))),
        "frequency": frequencies[best % len(frequencies)],
        "grating_colour": colour,
    }
    silent = {name: np.where(heard, values, np.nan) for name, values in preferences.items()}
    return {"response": response} | silent


def coloured(opened: Opened, names: Sequence[str], samples: Any) -> dict[str, Array]:
    """Return which share of the strongest responses of channels is owed to colour."""

    def strongest(changes: Changes, x: Tensor) -> list[Tensor]:
        scale = torch.from_numpy(opened.estimator.scale_).to(x).reshape(-1, *(1,) * (x.ndim - 2))
        grey = (x * scale).mean(1, keepdim=True) / scale  # of what differs from the mean colour
        pairs = []
        for change, other in zip(changes(x), changes(grey), strict=True):
            top, place = change.max(dim=2, keepdim=True)
            pairs.append(torch.cat([top, other.gather(2, place)], dim=2))
        return pairs

    shares = {}
    for name, pairs in in_layers(opened, names, samples, strongest).items():
        top = np.maximum(pairs[..., 0], 0)
        n = min(STRONGEST, max(1, len(top) // SHARE))
        rows = np.argsort(-top, axis=0, kind="stable")[:n]
        total, grey = (
            np.take_along_axis(np.maximum(values, 0), rows, axis=0).sum(axis=0)
            for values in (top, pairs[..., 1])
        )
        heard = total > SILENT * total.max()
        shares[name] = np.where(heard, 1 - grey / np.where(heard, total, 1), np.nan)
    return shares


def in_layers(
    opened: Opened,
    names: Sequence[str],
    samples: Any,
    measure: Callable[[Changes, Tensor], list[Tensor]],
) -> dict[str, Array]:
    """Return what is measured of samples in layers, all in one pass.

    Parameters
    ----------
    opened : Opened
    names : sequence of str
        Those of the layers.
    samples : ndarray or Unread
    measure : callable
        Maps a function, and standardised samples, to a tensor (n, channels, ...) for each layer.
        The function maps samples to what layers give, (n, channels, n_places), less what they
        give for a blank sample.
    """
    blank: list[Tensor] = []

    def places_last(passing: Any) -> Tensor:
        maps = opened.as_maps(passing)
        return maps.flatten(2) if maps.ndim > 2 else maps.unsqueeze(2)

    with watched(opened.network, names, places_last, "layers") as outputs:

        def changes(x: Tensor) -> list[Tensor]:
            if not blank:
                blank[:] = outputs(torch.zeros_like(x[:1]))
            return [maps - none for maps, none in zip(outputs(x), blank, strict=True)]

        parts = opened.run_parts(samples, lambda x: measure(changes, x))
    return dict(zip(names, parts, strict=True))


def selectivity_by_layer(table: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Return the medians of selectivities over the channels of each layer.

    Parameters
    ----------
    table : DataFrame
        As ``selectivity`` returns it.
    confidence : float, default=0.95
        Of the intervals, which are exact for channels that are independent (by order statistics),
        and NaN where these are too few.

    Returns
    -------
    medians : DataFrame
        One row for each ``network`` ("fitted" or "untrained"), ``layer`` with its ``depth``, and
        ``measure``, which is "orientation", "grating_colour" or "colour": ``n`` channels that
        respond, their ``median``, ``low`` and ``high``.

    Raises
    ------
    ValueError
        If the table lacks a column, or the confidence is not between 0 and 1.

    See Also
    --------
    selectivity : One row a channel.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import selectivity, selectivity_by_layer
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = RFNNClassifier(widths=(4, 8), max_epochs=2, random_state=0).fit(X, y)
    >>> medians = selectivity_by_layer(selectivity(model))
    >>> medians[["network", "layer", "measure", "n"]].head(2)
      network     layer      measure  n
    0  fitted  stages.0  orientation  4
    1  fitted  stages.1  orientation  8
    """
    check_results(table, "network", "layer", "depth", *MEASURES)
    check("confidence", confidence, real(above=0, below=1))
    table = table.assign(network=table["network"].str.partition(" ")[0])
    rows: list[tuple[Any, ...]] = []
    for measure in MEASURES:
        known = table.dropna(subset=measure)
        for place, part in known.groupby(["network", "layer", "depth"], sort=False)[measure]:
            values = np.sort(part)
            below = int(binom.ppf((1 - confidence) / 2, len(values), 0.5))
            ends = (values[below - 1], values[-below]) if below else (np.nan, np.nan)
            rows.append((*place, measure, len(values), np.median(values), *ends))
    columns = ["network", "layer", "depth", "measure", "n", "median", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
