"""Where a model looked, in one call: maps by a method's name, of scans or of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..estimators.volumes import last_step, takes_paths
from .attribution import class_activation_map, gradient_map
from .map_display import head_in
from .maps import Attribution, mean_volume, parts_of, write_array_maps, write_maps
from .occlusion import occlusion_map

METHODS = {
    "activation": "class activation",
    "gradient": "slope of the output",
    "occlusion": "fall of the output when hidden",
}
BY_NAME: dict[str, Attribution] = {"activation": class_activation_map, "gradient": gradient_map}
BOX = 24.0  # mm
BOXES = 4  # that cover an axis of an array


def explain(
    model: Any,
    X: Any,
    out: str | PathLike[str],
    method: str = "activation",
    *,
    target: Any = None,
    size: float | None = None,
    stride: float | None = None,
    y: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
    names: Iterable[str] | None = None,
) -> Path:
    """Write maps of where a model looked in samples.

    Parameters
    ----------
    model : fitted estimator
        Of arrays, or of scans: then a pipeline that begins with ``NiftiVolumes``.
    X : array-like
        Arrays or scans, as the model takes them.
    out : path-like
        Folder to write, absent or empty.
    method : {"activation", "gradient", "occlusion"}, default="activation"
        What each place adds to the output of a network; the slope of the output; or, for any
        model, what changes when a box looks as in the mean of all scans, or has the mean of the
        image.
    target : label, default=None
        The class, or the number of a value; None is the last of two classes, and of more the one
        that is predicted.
    size, stride : float, default=None
        Edge of the boxes of occlusion and from one to the next: of scans in mm, 24 if None; of
        arrays in pixels, a quarter of an axis if None.
    y, subjects : array-like, shape (n,), default=None
        Labels and subjects of scans, for averages over them.
    names : iterable of str, default=None
        What arrays are called; their numbers if None.

    Returns
    -------
    out : Path
        What is in it say ``write_maps`` and ``write_array_maps``.

    Raises
    ------
    ValueError, TypeError, OSError
        As the method, ``write_maps`` and ``write_array_maps`` do.

    See Also
    --------
    write_maps, write_array_maps : The same with any function.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import explain
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> sorted(file.name for file in explain(model, X[:3], "maps", "gradient").iterdir())
    ['maps.json', 'maps.npy', 'maps.png', 'samples.csv']
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    classes = getattr(model, "classes_", None)
    label = METHODS[method]
    if target is not None or (classes is not None and len(classes) == 2):
        label += f" ({classes[-1] if target is None and classes is not None else target})"
    if takes_paths(model):
        chosen = scan_method(method, model, X, size, stride)
        return write_maps(model, X, out, chosen, target=target, y=y, subjects=subjects, label=label)
    step = last_step(model)
    arrays = X if step is model else model[:-1].transform(X)
    chosen = array_method(method, step, arrays, size, stride)
    names = map(str, range(len(arrays))) if names is None else names
    return write_array_maps(step, arrays, out, chosen, names=names, target=target, label=label)


def scan_method(
    method: str, model: Any, paths: Any, size: float | None, stride: float | None
) -> Attribution:
    """Return a method for volumes, with boxes in millimetres and what is put in their place."""
    if method != "occlusion":
        return BY_NAME[method]
    volumes, _ = parts_of(model)
    size = size or BOX
    edges = {"size": size, "stride": stride or size}
    voxels = {  # which may have other edges
        name: tuple(max(1, round(edge / step)) for step in volumes.spacing_)
        for name, edge in edges.items()
    }
    # Not a constant: a hole in a head is no head, and a model may say anything of it.
    mean = mean_volume(volumes.lazy(paths))
    return partial(occlusion_map, **voxels, fill=mean, mask=head_in(mean, volumes.mask_))


def array_method(
    method: str, estimator: Any, X: Any, size: float | None, stride: float | None
) -> Attribution:
    """Return a method for arrays, with boxes in pixels that hold all channels."""
    if method != "occlusion":
        return BY_NAME[method]
    shape, layout = X.shape[1:], getattr(estimator, "layout_", "")
    axes = layout if len(layout) == len(shape) else "S" * len(shape)
    edges = [
        extent if axis == "C" else max(1, round(size or extent / BOXES))
        for extent, axis in zip(shape, axes, strict=True)
    ]
    steps = [
        edge if axis == "C" else max(1, round(stride or edge))
        for edge, axis in zip(edges, axes, strict=True)
    ]
    return partial(occlusion_map, size=tuple(edges), stride=tuple(steps))
