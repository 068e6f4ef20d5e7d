"""What every coefficient is: its name and its row in a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan, prod
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .paths import Path

AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
COLUMNS = {1: ("j", "n", "xi", "sigma"), 2: ("j", "theta", "angle", "xi", "sigma")}
COLUMNS[3] = ("j", "theta", "xi", "sigma")
TYPES = dict.fromkeys(("j", "theta", "n"), "Int64")  # integers that may be missing


def feature_names(
    n_channels: int, labels: Iterable[str], shapes: Sequence[tuple[int, ...]]
) -> NDArray[np.object_]:
    """Return the names of the coefficients: channel by channel, map by map, place by place.

    They are such as ``S1[j=0,theta=3]@(2,4)``, of several channels ``c0 S1[...``.

    Parameters
    ----------
    n_channels : int
    labels : iterable of str
        Of every map, such as ``S1[j=0,theta=3]``.
    shapes : sequence of tuple of int
        Extents of every map.
    """
    names = [
        f"{label}@({','.join(map(str, place))})"
        for label, shape in zip(labels, shapes, strict=True)
        for place in np.ndindex(*shape)
    ]
    if n_channels > 1:
        names = [f"c{channel} {name}" for channel in range(n_channels) for name in names]
    return np.array(names, dtype=object)


def feature_table(
    n_channels: int, maps: pd.DataFrame, shapes: Sequence[tuple[int, ...]]
) -> pd.DataFrame:
    """Return a row for every coefficient, with its name as index; ``maps`` has one a map."""
    sizes = [prod(shape) for shape in shapes]
    numbers = np.tile(np.repeat(np.arange(len(shapes)), sizes), n_channels)
    names = pd.Index(feature_names(n_channels, maps.index, shapes), name="feature")
    table = maps.iloc[numbers].set_axis(names)
    table.insert(0, "channel", np.repeat(np.arange(n_channels), sum(sizes)))
    ndim = len(shapes[0])  # maps may differ in their extents, but not in this
    places = [np.indices(shape).reshape(ndim, -1) for shape in shapes]
    for axis, values in zip(AXES[ndim], np.concatenate(places, axis=1), strict=True):
        table[axis] = np.tile(values, n_channels)
    return table


def path_table(paths: Sequence[Path], ndim: int) -> pd.DataFrame:
    """Return a row for every path: its number, its order, its wavelets; its name is the index."""
    columns: dict[str, Any] = {"path": range(len(paths)), "order": [path.order for path in paths]}
    for k in range(max(path.order for path in paths)):  # a path has fewer wavelets than columns
        for name in COLUMNS[ndim]:
            values = [wavelet_value(path, k, name) for path in paths]
            columns[f"{name}{k + 1}"] = pd.Series(values, dtype=TYPES.get(name, "float64")).array
    return pd.DataFrame(columns, index=[path_name(path, ndim) for path in paths])


def path_name(path: Path, ndim: int) -> str:
    """Return a name such as ``S2[j=0,theta=3][j=1,theta=5]``, on a line ``S1[j=0,n=3]``."""
    name = f"S{path.order}"
    for k in range(path.order):
        told = (f"{column}={wavelet_value(path, k, column)}" for column in COLUMNS[ndim][:2])
        name += f"[{','.join(told)}]"
    return name


def wavelet_value(path: Path, k: int, name: str) -> Any:
    """Return what a column says about wavelet k of a path, missing where there is none."""
    if k >= path.order:
        return None if name in TYPES else nan
    return path.numbers[k] if name == "n" else getattr(path.wavelets[k], name)
