"""Walks along attributes: samples that look to a layer like another one, a few channels on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from ..params import ODD, SEED, SEQUENCE, check, integer, one_of, real
from ..studies.intervals import clopper_pearson
from ..threads import one_blas_thread
from .attributes import (
    SOME,
    attribute_network,
    check_depths,
    invariant_arrays,
    make_orders,
    translated,
)
from .depth import labels_of, opened_classifier
from .display import AnyFigure, Axes, Display, Place
from .drawing import COLOURS, INK, SMALL, Sheet, heading_size
from .inverse_display import draw_sample, pictures
from .properties import association, image_properties

Array = NDArray[np.float64]

LARGEST_SHIFT = 7
N_QUERIES = 100
SHOWN = 2  # walks
CONFIDENCE = 0.95
ROUNDING = 1e-12  # by which a control may miss what it equals
PERIODS = {"orientation": np.pi}
PICTURE, SPACE, MARGIN, NAME, LABEL = 0.8, 0.08, 0.25, 0.25, 0.65  # inches
SAME, OTHER = COLOURS[2], COLOURS[1]
TAU = "\N{GREEK SMALL LETTER TAU}"


class AttributeWalk(Display):
    r"""Walks along the channels of a layer, by the samples that look like its translations.

    Every sample has an invariant array :math:`\bar x_j(v_{j-1}, v_j)`, what the layer has at the
    central place, summed over :math:`v_{j-2}`; the first layer has :math:`v_1` alone, and channels
    are those.  A walk leads from a sample to those whose arrays are nearest to its own, moved by
    :math:`\tau` channels,

    .. math::
        x_\tau = \operatorname*{arg\,min}_{x' \ne x} \sum_{v_{j-1}, v_j} \bigl(
        (a \star \bar x_j)(v_{j-1} - \tau, v_j) - (a \star \bar x'_j)(v_{j-1}, v_j) \bigr)^2

    where :math:`a \star` is the mean over a few channels.

    If the order of channels means something, walks along it do something that walks along a random
    order of the same channels do not: this is the control of all numbers here.  An order is drawn
    once for all samples, and all that follows is done as before.  A p-value is the share of orders,
    with the learned one, that do at least as well as that does; if it is near 1, random ones do
    better.  It is not below 1 / (n + 1) for n random orders, nor small for few channels, as
    rotations and reflections of an order often do the same: with 4 channels there are 3 orders that
    differ in more, with 8 there are 2520.

    Parameters
    ----------
    arrays : dict from int to array-like, shape (n, n_channels, n_filters)
        The invariant arrays by depth j.
    samples : ndarray, shape (n, channels, \*spatial)
    y : array-like, shape (n,)
        Their labels.
    queries : int or sequence of int, default=100
        From which samples walks start: so many at most, drawn at random, or their numbers.
    shifts : sequence of int, default=None
        Values of :math:`\tau`; None are 0 to 7, or as many as there are channels.
    smoothing : int, default=3
        Over how many channels means are taken, odd.  In a random order they leave less of what
        differs from channel to channel; with 1, orders are compared by the walks alone.
    boundary : {"periodic", "zeros"}, default="periodic"
        What comes in where channels have moved on.  Only periodic ones are translations; with
        zeros, what moves over the end is lost.
    n_permutations : int, default=19
        Number of random orders.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    arrays : dict from int to ndarray
    samples, y, boundary, smoothing
        As given.
    queries : ndarray of int, shape (n_queries,)
    shifts : ndarray of int, shape (n_shifts,)
    orders : dict from int to ndarray of int, shape (1 + n_permutations, n_channels)
        By depth: that which was learned, and the random ones.
    nearest : ndarray of int, shape (n_depths, n_shifts, n_queries)
        Numbers of the nearest samples.
    distances : ndarray, shape (n_depths, n_shifts, n_queries)
        How far they are, relative to the root mean square over all pairs of samples.
    figure_ : matplotlib Figure or SubFigure
    axes_ : ndarray of matplotlib Axes

    Raises
    ------
    ValueError
        If a parameter is out of range, or shapes do not fit.

    See Also
    --------
    AttributeOrderDisplay : Its numbers as a picture.
    attribute_invariance : What the network makes of translated layers.

    References
    ----------
    J.-H. Jacobsen, E. Oyallon, S. Mallat and A. W. M. Smeulders. Multiscale hierarchical
    convolutional networks. arXiv:1703.04140, 2017 (section 5.5.3 of the first author's thesis).

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.inspection import AttributeWalk
    >>> ring = np.eye(8)[:, :, np.newaxis]  # eight samples, which differ by translations alone
    >>> samples = np.arange(8.0).reshape(8, 1, 1) + np.zeros((8, 1, 2))
    >>> walk = AttributeWalk({3: ring}, samples, [0] * 8, queries=[2], shifts=[1, 3])
    >>> walk.nearest.tolist(), walk.distances.tolist()
    ([[[3], [5]]], [[[0.0], [0.0]]])
    """

    def __init__(
        self,
        arrays: Mapping[int, Any],
        samples: NDArray[Any],
        y: Any,
        *,
        queries: Any = N_QUERIES,
        shifts: Sequence[int] | None = None,
        smoothing: int = 3,
        boundary: str = "periodic",
        n_permutations: int = 19,
        random_state: Any = None,
    ) -> None:
        self.arrays = {j: np.ascontiguousarray(a, dtype=np.float64) for j, a in arrays.items()}
        self.samples, self.y = np.asarray(samples), labels_of(samples, y, "y")
        shapes = {depth: array.shape for depth, array in self.arrays.items()}
        n = len(samples)
        if not shapes or any(len(shape) != 3 or shape[0] != n for shape in shapes.values()):
            raise ValueError(
                f"arrays must have shape ({n}, n_channels, n_filters) at every depth, got {shapes}."
            )
        for depth, array in self.arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"arrays must be finite, got NaN or infinity at depth {depth}.")
            if not np.ptp(array, axis=0).any():
                raise ValueError(f"All of {n} samples have the same array at depth {depth}.")
        self.smoothing = check("smoothing", smoothing, ODD)
        self.boundary = check("boundary", boundary, one_of("periodic", "zeros"))
        check("n_permutations", n_permutations, integer(1))
        rng = check_random_state(check("random_state", random_state, SEED))
        if SEQUENCE.holds(check("queries", queries, integer(1) | SOME)):
            for query in queries:
                check("Each of queries", query, integer(0, n - 1))
            self.queries = np.asarray(queries, dtype=np.intp)
        else:
            number = min(n, queries)
            self.queries = np.sort(rng.choice(n, number, replace=False))
        if shifts is None:
            shifts = range(min(LARGEST_SHIFT + 1, *(shape[1] for shape in shapes.values())))
        for shift in check("shifts", shifts, SOME):
            check("Each of shifts", shift, integer())
        self.shifts = np.asarray(shifts, dtype=np.intp)
        self.orders = {
            depth: make_orders(shape[1], n_permutations, rng) for depth, shape in shapes.items()
        }
        found = [self._walk(array) for array in self.arrays.values()]
        self.nearest, self.distances = map(np.stack, zip(*found, strict=True))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        depths: Sequence[int] | None = None,
        **options: Any,
    ) -> Self:
        r"""Walk from samples to samples of the same set, by what the layers of a network have.

        Parameters
        ----------
        estimator : fitted network classifier
            Its network has ``n_layers``; ``boundary``; ``attributes(x, depth)``, the layer, of
            shape (n, \*attributes, \*places) with the last three attributes at most, the oldest
            first; and ``from_attributes(layer, depth)``, the outputs that follow from it.
        X : array-like, shape (n, ...)
            The set, such as training samples.
        y : array-like, shape (n,), default=None
            Their labels; None are those that the estimator predicts.
        depths : sequence of int, default=None
            Those of layers, from 1; None takes all.
        **options
            Others of the class; the boundary is that of the network.

        Returns
        -------
        walk : AttributeWalk

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no network classifier, or its network has no attributes.
        ValueError
            If a parameter is out of range.
        """
        opened = opened_classifier(estimator)
        network = attribute_network(opened)
        depths = check_depths(depths, network)
        samples = np.asarray(opened.read(X)[:])
        arrays = {depth: invariant_arrays(opened, samples, depth) for depth in depths}
        labels = estimator.predict(X) if y is None else y
        return cls(arrays, samples, labels, boundary=network.boundary, **options)

    # Walks ----------------------------------------------------------------------------------

    def _walk(self, array: Array) -> tuple[NDArray[np.intp], Array]:
        """Return numbers and distances of the nearest samples, shape (n_shifts, n_queries)."""
        reach = self.smoothing // 2
        around = [self._moved(array, shift) for shift in range(-reach, reach + 1)]
        smooth = np.mean(around, axis=0)
        rows = smooth.reshape(len(smooth), -1)
        squares = np.square(rows).sum(axis=1)
        scale = np.sqrt(2 * rows.var(axis=0).sum()) or 1.0
        nearest, distances = [], []
        for shift in self.shifts:
            moved = self._moved(smooth[self.queries], shift).reshape(len(self.queries), -1)
            with one_blas_thread():
                apart = squares - 2 * moved @ rows.T
            apart[np.arange(len(moved)), self.queries] = np.inf
            nearest.append(apart.argmin(axis=1))
            # Again: squares and products cancel one another but for rounding.
            distances.append(np.linalg.norm(moved - rows[nearest[-1]], axis=1) / scale)
        return np.stack(nearest), np.stack(distances)

    def _moved(self, array: Array, shift: int) -> Array:
        return translated(torch.from_numpy(array), int(shift), 1, self.boundary).numpy()

    # Numbers --------------------------------------------------------------------------------

    @cached_property
    def _found(self) -> list[tuple[NDArray[np.bool_], Array]]:
        """Whether walks stay in the class, by depth, (1 + n_permutations, n_shifts, n_queries)."""
        found = []
        for depth, array in self.arrays.items():
            walks = [self._walk(array[:, order]) for order in self.orders[depth]]
            nearest, distances = map(np.stack, zip(*walks, strict=True))
            found.append((self.y[nearest] == self.y[self.queries], distances))
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return the share of walks that stay in the class, against random orders of channels.

        An order that is real shows in how the share depends on the shift: walks to neighbours stay
        in the class, or those by multiples of the strides along channels that are still to come,
        which the network does not see.  Over all shifts together there is little in which orders
        can differ.

        Returns
        -------
        table : DataFrame
            One row for each depth and shift: ``depth``; ``shift``; ``share`` of the queries;
            ``low`` and ``high``, its exact interval of 95 % over queries; ``control``, the mean
            over random orders; ``control_low`` and ``control_high``, between which 95 % of these
            are; ``p_value``, of this row alone: of twenty, one is below 0.05 by chance; and
            ``distance``, the median over queries, and ``distance_control``.
        """
        rows: list[dict[str, Any]] = []
        for depth, (same, distances) in zip(self.arrays, self._found, strict=True):
            far = np.median(distances, axis=2)
            for number, shift in enumerate(self.shifts):
                shares = same[:, number].mean(axis=1)
                low, high = clopper_pearson(float(shares[0]), len(self.queries), CONFIDENCE)
                rows.append(
                    {"depth": depth, "shift": shift, "share": shares[0], "low": low, "high": high}
                    | against_control(shares)
                    | {"distance": far[0, number], "distance_control": far[1:, number].mean()}
                )
        return pd.DataFrame(rows)

    def localisation(self) -> pd.DataFrame:
        r"""Return how localised samples are along :math:`v_{j-1}`, against random orders.

        With the energy by which a sample differs from the mean over all,

        .. math::
            e(v) = \sum_{v_j} \bigl(\bar x_j(v, v_j) - E \, \bar x_j(v, v_j)\bigr)^2, \qquad
            w = \frac{(\sum_v e(v))^2}{\sum_v e(v)^2}, \qquad
            R^2 = \frac{|\sum_v e(v) \, e^{2 \pi i v / n}|^2}{(\sum_v e(v))^2}

        w says over how many of the n channels it is spread, whatever their order, and
        :math:`R^2` whether these are neighbours: 1 if there is a single one, 0 if they are all
        alike.  Over random orders its mean is :math:`(n / w - 1) / (n - 1)`.

        Returns
        -------
        table : DataFrame
            One row for each depth: ``depth``, ``n_channels``, ``width``, the mean of w over
            samples, ``concentration``, that of :math:`R^2`, and ``control``, ``control_low``,
            ``control_high`` and ``p_value`` as ``to_frame`` has them.

        References
        ----------
        K. V. Mardia and P. E. Jupp. Directional statistics. Wiley, 2000, section 2.3.
        """
        rows = []
        for depth, array in self.arrays.items():
            energy = energies(array)
            energy = energy[energy.any(axis=1)]
            widths = energy.sum(axis=1) ** 2 / np.square(energy).sum(axis=1)
            concentrations = [
                (np.abs(resultant(energy[:, order])) ** 2).mean() for order in self.orders[depth]
            ]
            rows.append(
                {
                    "depth": depth,
                    "n_channels": energy.shape[1],
                    "width": widths.mean(),
                    "concentration": concentrations[0],
                    **against_control(np.array(concentrations)),
                }
            )
        return pd.DataFrame(rows)

    def correlation(
        self, properties: Any = None, *, periods: Mapping[Any, float] = PERIODS
    ) -> pd.DataFrame:
        r"""Return how well properties of samples go along with where they are among the channels.

        That is the angle of the centre of mass of the energy along :math:`v_{j-1}`, see
        ``localisation``,

        .. math::
            \phi = \arg \sum_v e(v) \, e^{2 \pi i v / n}, \qquad
            r^2 = \frac{1}{m} \operatorname{tr} \bigl(S_{YY}^{-1} S_{YA} S_{AA}^{-1} S_{AY}\bigr)

        with :math:`A = (\cos \phi, \sin \phi)`, and as Y the ranks of the property, m = 1, or
        cosine and sine of one that is periodic, m = 2.

        Parameters
        ----------
        properties : DataFrame, default=None
            A row for each sample; None takes those of ``image_properties``.
        periods : dict to float, default={"orientation": pi}
            Of properties that are angles.

        Returns
        -------
        table : DataFrame
            One row for each depth and property: ``depth``, ``property``, ``r``, and ``control``,
            ``control_low``, ``control_high`` and ``p_value`` as ``to_frame`` has them;
            ``channel``, the largest r of a single channel :math:`\sum_{v_j} \bar x_j(v, v_j)` in
            place of the angle, by ranks too: it knows of no order, and is Spearman's coefficient
            but for the sign.  Samples that lack a property are left out.

        Raises
        ------
        ValueError
            If there is no row for each sample, no property of a name with a period, or a period
            that is not above 0.

        References
        ----------
        K. V. Mardia and P. E. Jupp. Directional statistics. Wiley, 2000, section 11.2.
        """
        table = image_properties(self.samples) if properties is None else pd.DataFrame(properties)
        if len(table) != len(self.samples):
            raise ValueError(
                f"properties must have a row for each of {len(self.samples)} samples, got "
                f"{len(table)}."
            )
        for angle, period in periods.items():
            check(f"The period of {angle}", period, real(above=0))
            if angle not in table and angle not in PERIODS:
                raise ValueError(
                    f"periods must be of properties, {', '.join(map(str, table))}, got {angle}."
                )
        rows = []
        for depth, array in self.arrays.items():
            energy, channels = energies(array), array.sum(axis=2)
            centres = [resultant(energy[:, order]) for order in self.orders[depth]]
            angles = [np.stack([np.cos(a), np.sin(a)], axis=1) for a in map(np.angle, centres)]
            for name in table:
                values = table[name].to_numpy(dtype=np.float64)
                known = np.isfinite(values) & np.isfinite(centres[0])
                values = values[known]
                if name in periods:
                    turns = 2 * np.pi * values / periods[name]
                    columns = np.stack([np.cos(turns), np.sin(turns)], axis=1)
                else:
                    columns = rankdata(values)[:, np.newaxis]
                r = [association(columns, angle[known]) for angle in angles]
                ranks = rankdata(channels[known], axis=0)
                single = [association(columns, rank[:, np.newaxis]) for rank in ranks.T]
                rows.append(
                    {"depth": depth, "property": name, "r": r[0]}
                    | against_control(np.array(r))
                    | {"channel": np.fmax.reduce(single)}
                )
        return pd.DataFrame(rows)

    # Pictures -------------------------------------------------------------------------------

    def plot(
        self,
        ax: Place = None,
        *,
        figure: AnyFigure | None = None,
        queries: Sequence[int] | None = None,
        depth: int | None = None,
    ) -> Self:
        """Draw walks at all depths, or at one of them with the invariant arrays.

        Each row is a walk: the sample, then the nearest ones.  Their frames say whether they are
        of its class.  Below are the arrays of a single depth, channels from top to bottom and
        filters from left to right; the largest value is white.

        Parameters
        ----------
        ax, figure
            As ``Display.plot`` takes them.
        queries : sequence of int, default=None
            Which of the samples that walks start from; None are the first two.
        depth : int, default=None
            That of the layer; None are all, without arrays.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such walk.
        """
        shown = self.queries[:SHOWN] if queries is None else queries
        for query in check("queries", shown, SOME):
            check("Each of queries", query, one_of(*self.queries.tolist()))
        if depth is not None:
            check("depth", depth, one_of(*self.arrays))
        self._shown = list(shown), depth
        return super().plot(ax, figure=figure)

    def _draw(self, on: Place) -> list[Axes]:
        queries, only = self._shown
        depths = list(self.arrays) if only is None else [only]
        heading = [
            "Walks along attributes" + ("" if only is None else f" at depth {only}"),
            f"the sample, and those nearest to it moved by {TAU} channels",
            "frames: green for its class, orange for another one",
        ]
        text, head = heading_size(heading)
        head += NAME
        step, rows = PICTURE + SPACE, len(depths) * (1 if only is None else 2)
        left = MARGIN + LABEL
        width = max(left + step * (1 + len(self.shifts)), MARGIN + text) + MARGIN
        block = step * rows + MARGIN
        sheet = Sheet(width, head + block * len(queries), on)
        sheet.heading(MARGIN, heading)
        axes = []
        for block_number, query in enumerate(queries):
            start = int(np.flatnonzero(self.queries == query)[0])
            for row, depth in enumerate(depths):
                numbers = [query, *self.nearest[list(self.arrays).index(depth), :, start]]
                drawn = pictures(self.samples[numbers][np.newaxis])[0]
                top = head + block * block_number + step * row
                sheet.text(MARGIN, top + PICTURE / 2, f"depth {depth}", fontsize=SMALL)
                for column, number in enumerate(numbers):
                    place = left + step * column, top, PICTURE, PICTURE
                    axes.append(sheet.axes(*place))
                    draw_sample(axes[-1], drawn[column], float(drawn.min()), float(drawn.max()))
                    if column:
                        edge = SAME if self.y[number] == self.y[query] else OTHER
                        axes[-1].spines[:].set(color=edge, linewidth=1.5)
                    if block_number == row == 0:
                        name = f"{TAU} = {self.shifts[column - 1]}" if column else "sample"
                        axes[-1].set_title(name, fontsize=SMALL, color=INK, pad=3)
                    if only is not None:
                        axes.append(sheet.axes(place[0], top + step, PICTURE, PICTURE))
                        draw_array(axes[-1], self.arrays[depth][number])
        return axes


def against_control(values: Array) -> dict[str, float]:
    """Return what random orders give, and the p-value of the learned one, which comes first."""
    learned, control = values[0], values[1:]
    low, high = np.quantile(control, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    as_well = values >= learned - ROUNDING
    return {
        "control": control.mean(),
        "control_low": low,
        "control_high": high,
        "p_value": np.nan if np.isnan(learned) else as_well.mean(),
    }


def energies(arrays: Array) -> Array:
    """Return by how much samples differ from their mean in each channel, (n, n_channels)."""
    return np.square(arrays - arrays.mean(axis=0)).sum(axis=2)


def resultant(energy: Array) -> NDArray[np.complex128]:
    """Return the centre of mass of channels on the unit circle, shape (n,); NaN of no energy."""
    n_channels = energy.shape[1]
    total = energy.sum(axis=1)
    circle = np.exp(2j * np.pi * np.arange(n_channels) / n_channels)
    return energy @ circle / np.where(total > 0, total, np.nan)


def draw_array(ax: Axes, array: Array) -> None:
    """Draw an invariant array, channels from top to bottom."""
    low, high = array.min(), array.max()
    ax.imshow(array, "gray", vmin=low, vmax=high or 1.0, aspect="auto", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
