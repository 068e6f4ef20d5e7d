"""What every coefficient is: its name and its row in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Features:
    """The coefficients of a sample in a row: channel by channel, map by map, place by place.

    Parameters
    ----------
    n_channels : int
    maps : DataFrame
        What every map is: a row each, with its name, such as ``S1[j=0,theta=3]``, as index.
    shapes : sequence of tuple of int
        Extents of every map.
    """

    n_channels: int
    maps: pd.DataFrame
    shapes: Sequence[tuple[int, ...]]

    def __len__(self) -> int:
        return self.n_channels * sum(self._sizes)

    @property
    def names(self) -> NDArray[np.object_]:
        """Names such as ``S1[j=0,theta=3]@(2,4)``, of several channels ``c0 S1[...``."""
        prefixes = [f"c{c} " for c in range(self.n_channels)] if self.n_channels > 1 else [""]
        names = [
            f"{prefix}{label}@({','.join(map(str, place))})"
            for prefix in prefixes
            for label, shape in zip(self.maps.index, self.shapes, strict=True)
            for place in np.ndindex(*shape)
        ]
        return np.array(names, dtype=object)

    @property
    def table(self) -> pd.DataFrame:
        """A row for every coefficient, with its name as index."""
        numbers = np.tile(np.repeat(np.arange(len(self.shapes)), self._sizes), self.n_channels)
        table = self.maps.iloc[numbers].set_axis(pd.Index(self.names, name="feature"))
        table.insert(0, "channel", np.repeat(np.arange(self.n_channels), sum(self._sizes)))
        ndim = len(self.shapes[0])
        places = [np.indices(shape).reshape(ndim, -1) for shape in self.shapes]
        for axis, values in zip(AXES[ndim], np.concatenate(places, axis=1), strict=True):
            table[axis] = np.tile(values, self.n_channels)
        return table

    @property
    def _sizes(self) -> list[int]:
        return [prod(shape) for shape in self.shapes]


def path_table(paths: Sequence[Path], ndim: int) -> pd.DataFrame:
    """Return a row for every path: its number, its order, its wavelets; its name is the index."""
    columns: dict[str, Any] = {
        "path": range(len(paths)),
        "order": [path.order for path in paths],
    }
    for k in range(max(path.order for path in paths)):
        for name in COLUMNS[ndim]:
            values = [wavelet_value(path, k, name) for path in paths]
            columns[f"{name}{k + 1}"] = pd.Series(values, dtype=TYPES.get(name, "float64")).array
    return pd.DataFrame(columns, index=[path_name(path, ndim) for path in paths])


def path_name(path: Path, ndim: int) -> str:
    """Return a name such as ``S2[j=0,theta=3][j=1,theta=5]``, on a line ``S1[j=0,n=3]``."""
    told = COLUMNS[ndim][:2]
    wavelets = (
        f"[{','.join(f'{name}={wavelet_value(path, k, name)}' for name in told)}]"
        for k in range(path.order)
    )
    return f"S{path.order}{''.join(wavelets)}"


def wavelet_value(path: Path, k: int, name: str) -> Any:
    """Return what a column says about wavelet k of a path, missing where there is none."""
    if k >= path.order:
        return None if name in TYPES else nan
    return path.numbers[k] if name == "n" else getattr(path.wavelets[k], name)
