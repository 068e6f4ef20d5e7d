"""What a unit wants of what there is: the parts of samples that drive it most."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..params import check, integer
from .opened import Opened, slope
from .places import Coordinates, Places
from .units import watched_places

Array = NDArray[Any]

SEEN = 1e-3  # share of the largest slope above which a unit sees a place
TRIALS = 4  # samples of noise that fields are measured on


class Patches(NamedTuple):
    """Parts of samples that drive a unit most, the strongest first.

    Parameters
    ----------
    patches : ndarray, shape (n_patches, ...)
        In units and layout of X, but as images where X has flat rows.  Beyond the border of a
        sample they have the mean of the training.
    table : DataFrame
        One row for each: ``sample``, its number; ``response``; and for every axis in space
        ``place_0``, that of the unit in its layer, or 0 if that has no places, and ``start_0`` and
        ``stop_0``, from where to where it sees the sample, which may be beyond its borders.  Of
        scans also ``x_mm``, ``y_mm`` and ``z_mm``, the centre.

    See Also
    --------
    best_patches : Finds them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import best_patches
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> patches, table = best_patches(model, X, 2, "stages.0.0", n_patches=3)
    >>> patches.shape, bool(table["response"].is_monotonic_decreasing)
    ((3, 7, 7), True)
    """

    patches: Array
    table: pd.DataFrame


def best_patches(
    estimator: Any,
    X: Any,
    unit: Any = None,
    layer: str | None = None,
    *,
    n_patches: int = 9,
    per_sample: int = 1,
) -> Patches:
    r"""Return the parts of samples that drive a unit most.

    .. math::
        (x, p)^* = \arg\max_{x \in X, \; p} h_{kp}(x)

    of what a layer gives in a channel k at places p, and what is cut out is what the unit sees:
    the box outside of which the slope :math:`\partial h_p / \partial x` is below a thousandth of
    its largest value, as measured in the middle of some samples of noise; at most the whole
    sample.  X is run through a few samples at a time.

    Parameters
    ----------
    estimator : fitted estimator
        That ends in a network.
    X : array-like, shape (n, ...)
        Samples of the shape that ``fit`` had.
    unit : int, label or None, default=None
        The number of a channel; without a layer as of ``responses``, and whole samples are found.
    layer : str, default=None
        Name of a layer in ``net_.module_``; None is the output.
    n_patches : int, default=9
        How many; fewer where there are not so many.
    per_sample : int, default=1
        How many of one sample, at most, which do not overlap.

    Returns
    -------
    found : Patches
        With ``patches`` and ``table``.

    Raises
    ------
    NotFittedError, TypeError
        If the estimator is not fitted, or does not end in a network.
    ValueError
        If there is no such layer or unit, or X has another shape.

    See Also
    --------
    maximise : Samples that drive it more than any there is.
    MaximisedDisplay : A picture of both.

    References
    ----------
    M. D. Zeiler and R. Fergus. Visualizing and understanding convolutional networks. ECCV, 2014.

    W. Luo, Y. Li, R. Urtasun and R. Zemel. Understanding the effective receptive field in deep
    convolutional neural networks. NeurIPS, 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import best_patches
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> found = best_patches(model, X, 2, "stages.0.0", n_patches=3)
    >>> found.table.columns[:4].tolist()
    ['sample', 'response', 'place_0', 'place_1']
    >>> best_patches(model, X, unit=7).patches.shape
    (9, 8, 8)
    """
    check("n_patches", n_patches, integer(1))
    check("per_sample", per_sample, integer(1))
    if layer is not None:
        check("unit", unit, integer(0))
    opened = Opened(estimator)
    samples = opened.read(X)
    field = field_of(opened, layer)
    with watched_places(opened, unit, layer) as at_places:
        found = opened.run(samples, lambda x: field.strongest(at_places(x)[0], per_sample))
    values, best = found.reshape(-1, 2).T
    order = np.argsort(-values, kind="stable")[:n_patches]
    order = order[values[order] > -np.inf]  # a sample may not have so many
    numbers = order // per_sample
    places, starts = field.boxes(best[order].astype(int))
    stops = starts + field.size
    table = pd.DataFrame({"sample": numbers, "response": values[order]})
    for name, along in (("place", places), ("start", starts), ("stop", stops)):
        table[[f"{name}_{axis}" for axis in range(along.shape[1])]] = along
    if opened.volumes is not None:
        affine = opened.volumes.affine_
        centres = (starts + stops - 1) / 2
        table[["x_mm", "y_mm", "z_mm"]] = centres @ affine[:3, :3].T + affine[:3, 3]
    return Patches(opened.in_layout(cut(opened, samples, numbers, starts, stops)), table)


class Field(NamedTuple):
    """What the places of a layer see of a sample: boxes of one size.

    Parameters
    ----------
    centres : tuple of ndarray, each of shape (n_places,)
        Of the boxes, along each axis.
    size : ndarray of int, shape (n_axes,)
    """

    centres: Coordinates
    size: NDArray[np.int64]

    def boxes(self, flat: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of some numbers, and where their boxes start, each (n, n_axes)."""
        places = np.unravel_index(flat, [len(along) for along in self.centres])
        middles = [along[place] for along, place in zip(self.centres, places, strict=True)]
        return np.stack(places, 1), np.rint(np.stack(middles, 1) - (self.size - 1) / 2).astype(int)

    def strongest(self, maps: Tensor, n: int) -> Tensor:
        """Return the largest values of maps whose boxes do not overlap, and their places.

        Parameters
        ----------
        maps : Tensor, shape (n_samples, 1, *places)
        n : int

        Returns
        -------
        found : Tensor of float64, shape (n_samples, n, 2)
            Value, and number of the place; minus infinity where there are not so many.
        """
        along = [torch.from_numpy(axis) for axis in self.centres]
        centres = torch.stack(torch.meshgrid(*along, indexing="ij"), dim=-1).flatten(0, -2)
        size, flat, found = torch.from_numpy(self.size), maps.flatten(1).double().cpu(), []
        for _ in range(n):
            values, best = flat.max(dim=1)
            found.append(torch.stack([values, best.double()], dim=1))
            # A box that is apart along one axis does not overlap.
            near = ((centres - centres[best].unsqueeze(1)).abs() < size).all(dim=2)
            flat = flat.masked_fill(near, -torch.inf)
        return torch.stack(found, dim=1)


def field_of(opened: Opened, layer: str | None) -> Field:
    """Measure what the places of a layer see, where there are places, else the whole sample."""
    extents = np.array(opened.in_shape[1:])
    middle = (extents - 1) / 2
    known = {} if layer is None else Places(opened, opened.in_shape, opened.outputs).of_layer
    if layer not in known:
        return Field(tuple(middle[:, np.newaxis]), extents)
    centres = known[layer]
    place: Any = [
        int(np.abs(along - half).argmin()) for along, half in zip(centres, middle, strict=True)
    ]
    slopes = np.zeros(extents)
    with opened.at(layer) as passing, opened.alone() as like:
        noise = np.random.default_rng(0).standard_normal((TRIALS, *opened.in_shape))
        for sample in torch.from_numpy(noise).to(like).split(1):
            gradient = slope(
                lambda x: opened.as_maps(passing(x)[0])[:, :, *place].sum(1), sample
            ).abs()
            slopes = np.fmax(slopes, gradient.amax((0, 1)).numpy(force=True))
    seen = np.argwhere(slopes >= SEEN * slopes.max())  # everything, if there is no slope
    centre = np.array([along[one] for along, one in zip(centres, place, strict=True)])
    # The border of the sample may cut one side off.
    reach = np.maximum(centre - seen.min(axis=0), seen.max(axis=0) - centre)
    size = np.rint(2 * reach + 1).astype(int)
    # What sees more than there is sees the whole sample.
    fits = size <= extents
    whole = (np.full(len(along), half) for along, half in zip(centres, middle, strict=True))
    return Field(
        tuple(own if fit else half for own, half, fit in zip(centres, whole, fits, strict=True)),
        np.minimum(size, extents),
    )


def cut(
    opened: Opened,
    samples: Any,
    numbers: NDArray[np.int64],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
) -> Array:
    """Return boxes out of samples, (n, C, *size), which may reach beyond them."""
    extents = opened.in_shape[1:]
    nothing = np.zeros((1, *opened.in_shape), opened.estimator.dtype)
    mean = opened.to_images(nothing)[0].reshape(len(nothing[0]), -1).mean(axis=1)
    size = (stops - starts)[0]
    patches = np.empty((len(numbers), len(mean), *size), nothing.dtype)
    patches[...] = mean.reshape(-1, *(1,) * len(extents))
    for patch, number, start in zip(patches, numbers, starts, strict=True):
        image = opened.to_images(opened.run(samples[number : number + 1], torch.clone))[0]
        low, high = np.clip(start, 0, extents), np.clip(start + size, 0, extents)
        inside = tuple(map(slice, low, high))
        patch[:, *map(slice, low - start, high - start)] = image[:, *inside]
    return patches
