"""Where a model looked, in one call: maps by a method's name, of scans or of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..estimators.volumes import takes_paths
from .map_display import head_in
from .maps import mean_volume, write_array_maps, write_maps
from .methods import MapMethod, map_method, values_of
from .occlusion import occlusion_map
from .steps import parts_of

BOX = 24.0  # mm


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
    progress: bool = True,
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
    method : str, default="activation"
        "activation" is what each place adds to the output of a network that ends with a mean, and
        "grad_cam" the like for others; "gradient" is the slope of the output, "smooth_gradient"
        its mean over noisy copies, "input_x_gradient" the slope times the sample, and
        "integrated_gradients" what adds up to the output; "occlusion" is, for any model, what
        changes when a box looks as in the mean of all scans, or has the mean of the image.
        "captum:DeepLift" is a class of the package captum.
    target : label, default=None
        The class, or the number of a value; None is the last of two classes, and of more the one
        that is predicted.
    size, stride : float, default=None
        Edge of the boxes of occlusion and from one to the next: of scans in mm, 24 if None; of
        arrays in pixels, as of ``occlusion_map``.  A stride is the size if that is given.
    y, subjects : array-like, shape (n,), default=None
        Labels and subjects of scans, for averages over them.
    names : iterable of str, default=None
        What arrays are called; their numbers if None.
    progress : bool, default=True
        Whether to show a progress bar of scans on standard error.

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
    chosen, label = map_method(method), values_of(method, model, target)
    if takes_paths(model):
        if method == "occlusion":
            chosen = occlusion_of_scans(model, X, size or BOX, stride)
        known = {"target": target, "y": y, "subjects": subjects, "label": label}
        return write_maps(model, X, out, chosen, **known, progress=progress)
    if method == "occlusion":
        edges = {"size": size, "stride": stride or size}
        pixels = {name: max(1, round(edge)) for name, edge in edges.items() if edge}
        chosen = partial(occlusion_map, **pixels)
    names = map(str, range(len(X))) if names is None else names
    return write_array_maps(model, X, out, chosen, names=names, target=target, label=label)


def occlusion_of_scans(model: Any, paths: Any, size: float, stride: float | None) -> MapMethod:
    """Return occlusion with boxes in millimetres, and what is put in their place."""
    volumes, _ = parts_of(model)
    edges = {"size": size, "stride": stride or size}
    voxels = {  # which may have other edges
        name: tuple(max(1, round(edge / step)) for step in volumes.spacing_)
        for name, edge in edges.items()
    }
    # Not a constant: a hole in a head is no head, and a model may say anything of it.
    mean = mean_volume(volumes.lazy(paths))
    return partial(occlusion_map, **voxels, fill=mean, mask=head_in(mean, volumes.mask_))
