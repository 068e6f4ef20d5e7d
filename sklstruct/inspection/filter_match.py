"""How alike the filters of two networks are, whatever their order, orientation and sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from math import ceil, sqrt
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from ..params import FLAG, check, integer
from .display import Axes, Display, Place
from .drawing import TINY, Sheet, in_rows
from .filter_display import CELLS, GAP, MARGIN, PAGE, draw_kernel, per_page
from .kernels import named_filters

Array = NDArray[np.float64]

LABEL = 0.13  # height of small text, in inches
SHOWN = 20  # pairs
ROUNDING = 1e-9


@dataclass(frozen=True)
class FilterMatch:
    r"""Pairs of filters of two networks that are most alike, and how alike pairs are by chance.

    Parameters
    ----------
    table : DataFrame
        A row a pair: first and second, the numbers of the filters, and their similarity.
    kernels : tuple of ndarray, shape (n_pairs, n_in, \*support)
        Of the pairs, those of the first network and those of the second, moved onto them.
    random, permuted : ndarray, shape (n_random,)
        Mean similarities of the first filters and as many of white noise, or those of the second
        network with their samples in another order.

    See Also
    --------
    match_filters : Finds them.
    FilterMatchDisplay : A picture of them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import match_filters
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> match_filters(model, model).table.round(6).values.tolist()[0]
    [0.0, 0.0, 1.0]
    """

    table: pd.DataFrame
    kernels: tuple[Array, Array]
    random: Array
    permuted: Array

    @property
    def similarity(self) -> float:
        """Mean similarity of the pairs, from 0 to 1."""
        return float(self.table["similarity"].mean())


def match_filters(
    first: Any,
    second: Any,
    layer: str | tuple[str, str] | None = None,
    *,
    turns: bool = True,
    n_angles: int = 4,
    max_shift: int = 1,
    n_random: int = 20,
    random_state: int = 0,
) -> FilterMatch:
    r"""Pair the filters of two networks, as they say the same in any order, sign and orientation.

    .. math::
        \max_\pi \frac{1}{n} \sum_o \max_T
        \frac{|\langle v_o, \, T w_{\pi(o)} \rangle|}{\|v_o\| \, \|w_{\pi(o)}\|}

    over the ways :math:`\pi` to pair them one by one, and over the motions T: quarter turns and
    mirror images, shifts by whole samples, and in images rotations in between.

    Parameters
    ----------
    first, second : fitted estimator
        Network estimators, or pipelines or searches that end in one.
    layer : str, tuple of str or None, default=None
        Name of the layer of both, or one of each; None as of ``filters``.
    turns : bool, default=True
        Whether filters may be turned and mirrored: in 8 ways in images, in 48 in volumes, which
        takes a while for many filters.
    n_angles : int, default=4
        Rotations of images in a full turn, a multiple of 4.  Those that are no quarter turns are
        interpolated by cubic splines.
    max_shift : int, default=1
        Samples along every axis.
    n_random : int, default=20
        How often chance is tried.
    random_state : int, default=0

    Returns
    -------
    match : FilterMatch

    Raises
    ------
    NotFittedError, TypeError
        As ``filters`` does.
    ValueError
        If a parameter is none of the above, or the filters differ in their channels or axes.

    See Also
    --------
    FilterMatchDisplay : A picture of the pairs.

    References
    ----------
    Y. Li, J. Yosinski, J. Clune, H. Lipson and J. Hopcroft. Convergent learning: do different
    neural networks learn the same representations? ICLR, 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import match_filters
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> models = [
    ...     RFNNClassifier(widths=(4,), max_epochs=1, random_state=seed).fit(X, y)
    ...     for seed in (0, 1)
    ... ]
    >>> match = match_filters(*models)
    >>> bool(match.similarity > match.random.max())
    True
    """
    check("turns", turns, FLAG)
    check("max_shift", max_shift, integer(0))
    check("n_random", n_random, integer(1))
    check("random_state", random_state, integer(0))
    if check("n_angles", n_angles, integer(4)) % 4:
        raise ValueError(f"n_angles must be a multiple of 4, got {n_angles}.")
    layers = layer if isinstance(layer, tuple) else (layer, layer)
    v, w = (
        named_filters(estimator, name, None)[0]
        for estimator, name in zip((first, second), layers, strict=True)
    )
    if v.shape[1] != w.shape[1] or v.ndim != w.ndim:
        raise ValueError(
            "first and second must have filters of as many channels and axes, got those of shapes "
            f"{v.shape} and {w.shape}."
        )
    ndim = v.ndim - 2
    if n_angles > 4 and (ndim != 2 or not turns):
        raise ValueError(
            f"n_angles must be 4 unless filters are images that may be turned, got {n_angles}."
        )
    motions = Motions(turns, n_angles, max_shift)
    extents = motions.extents(v.shape[2:], w.shape[2:])
    v_unit = unit(padded(v, extents))
    similarity, which = motions.best(v_unit, padded(w, extents))
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    order = np.argsort(-similarity[rows, columns].round(9), kind="stable")
    rows, columns = rows[order], columns[order]
    found = {"first": rows, "second": columns, "similarity": similarity[rows, columns]}
    moved = motions.applied(padded(w, extents)[columns], which[rows, columns])
    signs = np.sign((unit(moved) * v_unit[rows]).sum(axis=(1, *range(2, v.ndim)), keepdims=True))
    rng = np.random.default_rng(random_state)
    chance = np.empty((2, n_random))
    for k in range(n_random):
        permuted = [one.reshape(len(one), -1)[:, rng.permutation(one[0].size)] for one in w]
        for kind, other in enumerate((rng.normal(size=w.shape), np.reshape(permuted, w.shape))):
            alike, _ = motions.best(v_unit, padded(other, extents))
            chance[kind, k] = alike[linear_sum_assignment(alike, maximize=True)].mean()
    return FilterMatch(
        pd.DataFrame(found), (padded(v, extents)[rows], signs * moved), chance[0], chance[1]
    )


class Motions(NamedTuple):
    """The ways in which filters may be moved onto others; parameters as of ``match_filters``."""

    turns: bool
    n_angles: int
    max_shift: int

    def extents(self, *supports: tuple[int, ...]) -> tuple[int, ...]:
        """Return extents in which filters of some supports are whole however they are moved."""
        largest = [max(along) for along in zip(*supports, strict=True)]
        if self.turns:
            largest = [max(largest)] * len(largest)
        if self.n_angles > 4:  # corners move outwards
            largest = [extent + 2 * ceil((sqrt(2) - 1) * extent / 2) for extent in largest]
        return tuple(extent + 2 * self.max_shift for extent in largest)

    def all(self, w: Array) -> Iterator[Array]:
        """Yield filters (n, channels, *extents) moved in each of the ways."""
        ndim = w.ndim - 2
        steps = range(-self.max_shift, self.max_shift + 1)
        for turned in self._turned(w) if self.turns else [w]:
            for shift in product(steps, repeat=ndim):
                yield np.roll(turned, shift, axis=range(2, w.ndim))

    def _turned(self, w: Array) -> Iterator[Array]:
        axes = range(2, w.ndim)
        for k in range(self.n_angles // 4):
            options: dict[str, Any] = {"axes": (-1, -2), "reshape": False, "order": 3}
            between: Array = ndimage.rotate(w, 360 * k / self.n_angles, **options) if k else w
            for order in permutations(axes):
                for mirrored in product((False, True), repeat=len(axes)):
                    flipped = (axis for axis, back in zip(axes, mirrored, strict=True) if back)
                    yield np.flip(between.transpose(0, 1, *order), tuple(flipped))

    def best(self, v: Array, w: Array) -> tuple[Array, NDArray[np.intp]]:
        """Return how alike filters are at best, (n_first, n_second), and the number of the way."""
        rows = v.reshape(len(v), -1)
        similarity, which = np.zeros((len(v), len(w))), np.zeros((len(v), len(w)), int)
        for number, moved in enumerate(self.all(w)):
            alike = np.abs(rows @ unit(moved).reshape(len(w), -1).T)
            better = alike > similarity + ROUNDING  # of equals the first, whatever rounding did
            similarity[better], which[better] = alike[better], number
        return similarity, which

    def applied(self, w: Array, which: NDArray[np.intp]) -> Array:
        """Return filters, each moved in the way of a number."""
        out = w.copy()
        for number, moved in enumerate(self.all(w)):
            out[which == number] = moved[which == number]
        return out


def unit(w: Array) -> Array:
    """Return filters of norm 1; those that are zero stay so."""
    norms = np.sqrt((w**2).sum(axis=tuple(range(1, w.ndim)), keepdims=True))
    return w / np.where(norms > 0, norms, 1)


def padded(w: Array, extents: tuple[int, ...]) -> Array:
    """Return filters with zeros around them, up to some extents."""
    missing = np.subtract(extents, w.shape[2:]).tolist()
    return np.pad(w, [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in missing)])


class FilterMatchDisplay(Display):
    """Filters of one network above those of another that are most like them.

    Filters of the second network are moved onto those of the first; below each pair is how alike
    they are.

    Parameters
    ----------
    match : FilterMatch
    n_pairs : int, default=20
        Largest number of pairs, those that are most alike.

    Attributes
    ----------
    match, n_pairs
        As given.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes, shape (2 n_pairs,)
        Of each pair the first and the second.

    See Also
    --------
    match_filters : The numbers behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import FilterMatchDisplay
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> models = [
    ...     RFNNClassifier(widths=(4,), max_epochs=1, random_state=seed).fit(X, y)
    ...     for seed in (0, 1)
    ... ]
    >>> display = FilterMatchDisplay.from_estimators(*models).save("pairs.png")
    >>> len(display.axes_)
    8
    """

    def __init__(self, match: FilterMatch, n_pairs: int = SHOWN) -> None:
        self.match, self.n_pairs = match, check("n_pairs", n_pairs, integer(1))

    @classmethod
    def from_estimators(
        cls, first: Any, second: Any, *, n_pairs: int = SHOWN, ax: Place = None, **options: Any
    ) -> Self:
        """Pair the filters of two networks, and draw them.

        Parameters are those of ``match_filters`` and of the display, and ``ax`` as ``plot`` takes
        it.
        """
        return cls(match_filters(first, second, **options), n_pairs).plot(ax)

    def to_frame(self) -> pd.DataFrame:
        """Return the pairs."""
        return self.match.table

    def _draw(self, on: Place) -> list[Axes]:
        match, ndim = self.match, self.match.kernels[0].ndim - 2
        wide, high = CELLS[ndim]
        pairs = match.table.head(self.n_pairs)
        heading = [
            f"Filters of two networks, {match.similarity:.2f} alike",
            f"by chance {match.random.mean():.2f} (noise), {match.permuted.mean():.2f} (permuted)",
            "above: number in each, below: similarity",
        ]
        columns, row = per_page(wide, len(pairs)), 2 * (high + LABEL) + 2 * GAP
        size = PAGE, -(-len(pairs) // columns) * row
        sheet, head = Sheet.headed(heading, MARGIN, *size, on)
        axes = []
        places = in_rows(len(pairs), columns, wide + GAP, row)
        for (x, y), pair, *kernels in zip(places, pairs.itertuples(), *match.kernels, strict=False):
            left, top = MARGIN + x, head + y
            for part, kernel in enumerate(kernels):
                axes.append(sheet.axes(left, top + LABEL + part * (high + GAP / 2), wide, high))
                draw_kernel(axes[-1], kernel)
            style: dict[str, Any] = {"ha": "center", "fontsize": TINY}
            sheet.text(left + wide / 2, top + LABEL / 2, f"{pair.first}, {pair.second}", **style)
            below = top + 1.5 * LABEL + 2 * high + GAP / 2
            sheet.text(left + wide / 2, below, f"{pair.similarity:.2f}", **style)
        return axes
