"""How far outputs of an estimator are from moving along with its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array, get_tags

from ..estimators.base import representation
from ..params import check, one_of, real
from ..studies.tasks import is_dense
from .deformations import BOUNDARIES, Array
from .lipschitz import Space
from .motions import Act, Mask, Motion, make_motions
from .opened import Opened
from .steps import in_memory

OF_CLASSES = "decision_function", "predict_proba"
OUTPUTS = {"classifier": OF_CLASSES, "regressor": ("predict",)}


def equivariance(
    estimator: Any,
    X: Any,
    group: Any = "rotations",
    *,
    values: Sequence[float] | None = None,
    layer: str | None = None,
    boundary: str = "zero",
    margin: float = 0,
    image_shape: tuple[int, ...] | None = None,
    layout: str | None = None,
) -> pd.DataFrame:
    r"""Measure how far the outputs of moved samples are from the moved outputs of samples.

    .. math::
        e(g)^2 = \frac{\sum_x \| f(g x) - g f(x) \|^2}
        {\sum_x \| g f(x) - \overline{g f} \|^2}, \qquad
        (g x)(u) = x(g^{-1} u)

    where the mean :math:`\overline{g f}` is that of each output over all samples x, and over all
    places where there are any.  Outputs that are one a sample are to stay as they are,
    :math:`g f = f`; maps are to move along, and are compared at the places of the largest ball in
    the samples that come from places in it.  The error is 0 for what is invariant or
    equivariant, and about :math:`\sqrt 2` where outputs are as different as those of other samples.

    Parameters
    ----------
    estimator : fitted estimator or callable
        The outputs f are those of ``decision_function``, or else ``predict_proba``; of a regressor
        ``predict``; of a transformer that has none of these ``transform``.  A callable takes
        samples like X.  Outputs of shape (n, channels, *spatial) are maps.
    X : array-like, shape (n, ...)
        Samples; at least two, whose outputs differ.
    group : str, sequence of float, sequence of matrices or callable, default="rotations"
        What is done to samples, about their centres.

        - "rotations", of volumes about each axis, or a sequence of their angles in degrees,
          counter-clockwise as images are shown
        - "right angles", those of them that need no interpolation if extents are equal
        - "reflections" along each axis
        - "scales", by factors that are above 1 where things grow
        - "translations" along each axis, in samples
        - matrices of shape (ndim, ndim), which map places along the axes of an array
        - a function of arrays (n, channels, *spatial), of samples and of maps
    values : sequence of float, default=None
        Angles, factors or shifts of a group that has a name; None are some of each.
    layer : str, default=None
        Name of the layer in ``net_.module_`` whose outputs f are, of a network estimator.
    boundary : {"periodic", "reflect", "symmetric", "zero"}, default="zero"
        How samples continue beyond their border.  Zero is right for what lies on an empty ground;
        of photographs, cut out discs.
    margin : float, default=0
        Distance of the ball to the border, in samples: what a network sees beyond the border does
        not move along.
    image_shape : tuple of int, default=None
        Shape that flat rows of X fold into; None asks the estimator.
    layout : str, default=None
        Axes of a sample such as "HW", with "C" for channels; None asks the estimator, and without
        an answer all axes are of space.

    Returns
    -------
    table : DataFrame
        One row for each motion: ``group``; ``axis`` in space, along which or about which it is,
        where there are several; ``parameter``, an angle, a factor, a shift, an axis or a number;
        ``error``, as above, missing where no place is left to compare; ``resampling``, the error
        of :math:`f(g^{-1} g x)` from :math:`f(x)`, that interpolation and the border alone are to
        blame for (missing for a function); ``kept``, the share of samples or places whose
        predicted label stays (for classifiers).

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it gives no outputs, or has no network and a layer is asked for.
    ValueError
        If a parameter is none of the above, or all samples have the same outputs.

    See Also
    --------
    EquivarianceDisplay : A picture of it.
    label_radius : How far samples can be moved before their label changes.
    stability : How far features move when samples are deformed a little.

    References
    ----------
    K. Lenc and A. Vedaldi. Understanding image representations by measuring their equivariance
    and equivalence. CVPR, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import DifferentialInvariants
    >>> from sklstruct.inspection import equivariance
    >>> X = load_digits().images[:20]
    >>> table = equivariance(DifferentialInvariants().fit(X), X, "right angles")
    >>> table.columns.tolist(), bool(table["error"].max() < 1e-5)
    (['group', 'axis', 'parameter', 'error', 'resampling', 'kept'], True)
    """
    estimator, X = in_memory(estimator, X)
    X = check_array(X, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="X")
    check("boundary", boundary, one_of(*BOUNDARIES))
    check("margin", margin, real(least=0))
    space = Space.of(X, estimator, image_shape, layout)
    motions = make_motions(group, values, len(space.shape))
    labelled = layer is None and kind_of(estimator) == "classifier"
    rows = []
    with outputs_of(estimator, layer, len(space.shape)) as outputs:
        before = outputs(X)
        labels = estimator.predict(X) if labelled else None
        for motion in motions:
            X_moved = space.change(X, partial(motion.apply, boundary=boundary))
            found = outputs(X_moved)
            expected, inside = moved(before, motion, space.shape, boundary, margin)
            resampling, kept = np.nan, np.nan
            if isinstance(motion, Motion):
                back = motion.inverse()
                again = space.change(X_moved, partial(back.apply, boundary=boundary))
                _, still = moved(before, back, space.shape, boundary, margin)
                resampling = relative_error(outputs(again), before, still)
            if labelled and inside is None:
                kept = float(np.mean(estimator.predict(X_moved) == labels))
            elif labelled and np.any(inside):
                same = found.argmax(axis=1) == expected.argmax(axis=1)
                kept = float(same[:, inside].mean())
            error = relative_error(found, expected, inside)
            rows.append((motion.group, motion.axis, motion.parameter, error, resampling, kept))
    columns = ["group", "axis", "parameter", "error", "resampling", "kept"]
    return pd.DataFrame(rows, columns=columns).astype({"axis": "Int64"})


def kind_of(estimator: Any) -> str | None:
    """Return "classifier", "regressor" or what else scikit-learn knows; None of a function."""
    return get_tags(estimator).estimator_type if hasattr(estimator, "__sklearn_tags__") else None


@contextmanager
def outputs_of(estimator: Any, layer: str | None, ndim: int) -> Iterator[Callable[[Array], Array]]:
    """Give the function from samples to outputs, (n, n_outputs) or (n, channels, *spatial)."""
    if layer is not None:
        opened = Opened(estimator)
        with representation(opened.network, layer, "layer") as features:
            yield lambda X: as_outputs(opened.run(opened.read(X), features), ndim)
        return
    ways = OUTPUTS.get(kind_of(estimator) or "", (*OF_CLASSES, "transform"))
    found = [getattr(estimator, name) for name in ways if hasattr(estimator, name)]
    function = found[0] if found else estimator
    if not callable(function):
        raise TypeError(
            f"estimator must have one of {ways} or be callable, got {type(estimator).__name__}."
        )
    # The values of a map have no axis of channels where they are one a place.
    bare = is_dense(estimator)
    yield lambda X: as_outputs(function(X), ndim, bare)


def as_outputs(values: Any, ndim: int, bare: bool = False) -> Array:
    """Return outputs as maps (n, channels, *spatial) where they are, or else as rows."""
    values = np.asarray(values, dtype=np.float64)
    if bare and values.ndim == ndim + 1:
        values = values[:, np.newaxis]
    is_map = values.ndim == ndim + 2 and min(values.shape[2:]) > 1
    return values if is_map else values.reshape(len(values), -1)


def moved(
    outputs: Array, motion: Motion | Act, shape: tuple[int, ...], boundary: str, margin: float
) -> tuple[Array, Mask | None]:
    """Return what outputs are to be when samples have moved, and at which places of maps."""
    if outputs.ndim == 2:
        return outputs, None
    extents = outputs.shape[2:]
    ratio = np.array(extents) / shape  # of layers that are coarser than samples
    motion = motion.on(ratio)
    return motion.apply(outputs, boundary), motion.reached(extents, margin * ratio.min())


def relative_error(found: Array, expected: Array, inside: Mask | None) -> float:
    """Return the distance of outputs from what they are to be, relative to the spread of these.

    Raises
    ------
    ValueError
        If there is no spread.
    """
    if inside is not None:
        if not inside.any():  # as all has moved out of the ball
            return np.nan
        found, expected = found[..., inside], expected[..., inside]
    axes = (0, *range(2, expected.ndim))
    spread = np.linalg.norm(expected - expected.mean(axis=axes, keepdims=True))
    if not spread:
        raise ValueError("X must have samples whose outputs differ, got the same for all.")
    return float(np.linalg.norm(found - expected) / spread)
