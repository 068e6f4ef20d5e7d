"""How far samples can be moved before a classifier says something else of them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array, check_consistent_length

from ..params import check, integer, one_of, real
from ..studies.tasks import is_dense
from .deformations import BOUNDARIES, Array
from .equivariant import kind_of
from .lipschitz import Space
from .motions import axes_of, group_of, make_motion
from .steps import in_memory

FARTHEST = {"rotations": 180.0, "scales": 2.0}
HALVINGS = 8  # of the step in which a label has changed


def label_radius(
    estimator: Any,
    X: Any,
    y: Any = None,
    group: str = "rotations",
    *,
    farthest: float | None = None,
    n_steps: int = 36,
    boundary: str = "zero",
    image_shape: tuple[int, ...] | None = None,
    layout: str | None = None,
) -> pd.DataFrame:
    r"""Find the radius within which motions of a sample preserve its label.

    .. math::
        r(x) = \inf \{ |t| : h(g_t x) \ne h(x) \}

    for the predicted label h and motions :math:`g_t` of one parameter, in every direction: turned
    by t degrees, shifted by t samples, or scaled by factors t or 1 / t.  Every direction is
    scanned in equal steps, and the first one in which the label has changed is halved; a change
    that is undone within a step is not seen.

    Parameters
    ----------
    estimator : fitted classifier
    X : array-like, shape (n, ...)
    y : array-like, shape (n,), default=None
        True labels, that are to be predicted in place of :math:`h(x)`: the radius of a sample
        whose label is wrong already is 0, or 1 for scales.
    group : {"rotations", "scales", "translations"}, default="rotations"
        Volumes turn about each axis; translations are along each axis.
    farthest : float, default=None
        Largest angle, factor or shift; None is 180 degrees, 2, or half of the smallest extent.
    n_steps : int, default=36
        Number of steps as far as that.
    boundary, image_shape, layout
        As ``equivariance`` takes them.

    Returns
    -------
    table : DataFrame
        One row for each sample: ``sample``; ``label``, that is to stay; ``radius``, inf where it
        does all the way; ``parameter`` and ``axis`` of the nearest motion that changes it, missing
        where there is none.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no classifier, or one of places.
    ValueError
        If a parameter is none of the above.

    See Also
    --------
    LabelRadiusDisplay : A picture of it.
    equivariance : How far outputs move.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import PixelSVC
    >>> from sklstruct.inspection import label_radius
    >>> X, y = load_digits().images[:100], load_digits().target[:100]
    >>> model = PixelSVC(random_state=0).fit(X, y)
    >>> table = label_radius(model, X[:20], group="translations")
    >>> table.columns.tolist(), bool((table["radius"] > 0).all())
    (['sample', 'label', 'radius', 'parameter', 'axis'], True)
    """
    estimator, X = in_memory(estimator, X)
    X = check_array(X, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="X")
    check("group", group, one_of(*FARTHEST, "translations"))
    check("n_steps", n_steps, integer(1))
    check("boundary", boundary, one_of(*BOUNDARIES))
    space = Space.of(X, estimator, image_shape, layout)
    ndim, by_factor = len(space.shape), group == "scales"
    group_of(group, ndim)
    check("farthest", farthest, real(above=1 if by_factor else 0) | None)
    if farthest is None:
        farthest = FARTHEST.get(group, min(space.shape) / 2)
    if kind_of(estimator) != "classifier" or is_dense(estimator):
        raise TypeError(
            f"estimator must be a classifier of samples, got {type(estimator).__name__}."
        )
    check_consistent_length(X, y)
    predicted = estimator.predict(X)
    labels = predicted if y is None else np.asarray(y)

    def parameters(amounts: Any) -> Any:
        return np.exp(amounts) if by_factor else amounts  # equal steps of factors are of logarithms

    def changes(numbers: Any, axis: int | None, amounts: Array) -> Any:
        rows = X[numbers]
        for amount in np.unique(amounts):
            apply = make_motion(group, parameters(amount), axis, ndim).apply
            part = amounts == amount
            rows[part] = space.change(rows[part], partial(apply, boundary=boundary))
        return estimator.predict(rows) != labels[numbers]

    reach = np.log(farthest) if by_factor else farthest
    ways = list(product(axes_of(group, ndim), (1, -1)))
    radius = np.where(predicted == labels, np.inf, 0)
    signs, axes = np.full(len(X), np.nan), np.full(len(X), np.nan)
    for low, high in pairwise(np.linspace(0, reach, n_steps + 1)):
        left = np.flatnonzero(radius > low)
        if not len(left):
            break
        for axis, sign in ways:
            numbers = left[changes(left, axis, np.full(len(left), sign * high))]
            below, above = np.full(len(numbers), low), np.full(len(numbers), high)
            for _ in range(HALVINGS if len(numbers) else 0):
                middle = (below + above) / 2
                changed = changes(numbers, axis, sign * middle)
                below, above = np.where(changed, below, middle), np.where(changed, middle, above)
            nearer = above < radius[numbers]
            numbers = numbers[nearer]
            radius[numbers], signs[numbers] = above[nearer], sign
            axes[numbers] = np.nan if axis is None else axis
    columns = {
        "sample": np.arange(len(X)),
        "label": labels,
        "radius": parameters(radius),
        "parameter": parameters(signs * radius),
        "axis": axes,
    }
    return pd.DataFrame(columns).astype({"axis": "Int64"})
