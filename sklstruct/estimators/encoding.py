"""Values as JSON and plain arrays can hold them, and back: nothing is pickled, no code is run."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import plugins
from ..frames import Frame
from ..io.nifti.grid import Grid
from ..params import Params
from .augment import Augment

PLAIN = (bool, int, float, str, type(None))  # JSON has these

Arrays = list[NDArray[Any]]


def encode_all(what: str, values: Mapping[str, Any], arrays: Arrays) -> dict[str, Any]:
    """Return values by name as JSON can hold them; their arrays go to a list.

    Raises
    ------
    ValueError
        If a value cannot be stored; the message gives its name.
    """
    encoded = {}
    for name, value in values.items():
        try:
            encoded[name] = encode(value, arrays)
        except TypeError as error:
            raise ValueError(
                f"The {what} {name!r} cannot be stored in a model file: {error}"
            ) from error
    return encoded


def decode_all(values: Mapping[str, Any], archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the values by name that ``encode_all`` has written."""
    return {name: decode(value, archive) for name, value in values.items()}


def encode(value: Any, arrays: Arrays) -> Any:
    """Return a value as JSON can hold it, where an object is always ``{tag: content}``."""
    if type(value) in PLAIN:
        return value
    if type(value) is list:
        return [encode(part, arrays) for part in value]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        arrays.append(value)
        return {"array": len(arrays) - 1}
    for tag, codec in CODECS.items():
        if codec.matches(value):
            return {tag: encode(codec.split(value), arrays)}
    raise TypeError(f"there is no form for {value!r}.")


def decode(value: Any, archive: zipfile.ZipFile) -> Any:
    """Return the value that ``encode`` has written, without unpickling anything."""
    if isinstance(value, list):
        return [decode(part, archive) for part in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "array":
        member = BytesIO(archive.read(f"{content}.npy"))
        return np.lib.format.read_array(member, allow_pickle=False)
    return CODECS[tag].join(decode(content, archive))


class Codec(NamedTuple):
    """How values of one kind are taken apart into simpler ones and put together again."""

    matches: Callable[[Any], bool]
    split: Callable[[Any], Any]
    join: Callable[[Any], Any]


def is_family(value: Any) -> bool:
    """Whether a value is a frame family that a name stands for."""
    return isinstance(value, Params) and registered_name("frame", type(value)) is not None


def is_sampled_frame(value: Any) -> bool:
    """Whether a value is a frame that is nothing but its samples."""
    return type(value) is Frame and value.functions is None


def join_objects(parts: Any) -> NDArray[Any]:
    """Return an array of objects from its shape and its values."""
    shape, values = parts
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def registered_name(kind: str, cls: type) -> str | None:
    """Return the name that a class is registered under, or None."""
    for name, entry in plugins.entries(kind).items():
        if entry.attribute == cls.__name__ and entry.load() is cls:
            return name
    return None


CODECS = {
    "tuple": Codec(lambda v: type(v) is tuple, list, tuple),
    "dict": Codec(lambda v: type(v) is dict, lambda v: [list(item) for item in v.items()], dict),
    "scalar": Codec(
        lambda v: isinstance(v, np.generic) and type(v.item()) in PLAIN,
        lambda v: [v.dtype.str, v.item()],
        lambda parts: np.dtype(parts[0]).type(parts[1]),
    ),
    "objects": Codec(
        lambda v: isinstance(v, np.ndarray),  # all other arrays are stored as such
        lambda v: [list(v.shape), v.ravel().tolist()],
        join_objects,
    ),
    "path": Codec(lambda v: isinstance(v, os.PathLike), os.fspath, Path),
    "slice": Codec(
        lambda v: type(v) is slice, lambda v: [v.start, v.stop, v.step], lambda ends: slice(*ends)
    ),
    "grid": Codec(
        lambda v: type(v) is Grid, lambda v: [v.shape, v.affine], lambda parts: Grid(*parts)
    ),
    "augment": Codec(
        lambda v: type(v) is Augment, Augment.get_params, lambda params: Augment(**params)
    ),
    "frame": Codec(
        is_sampled_frame,
        lambda v: [getattr(v, field.name) for field in fields(v)],
        lambda values: Frame(*values),
    ),
    "family": Codec(
        is_family,
        lambda v: [registered_name("frame", type(v)), v.get_params()],
        lambda parts: plugins.lookup("frame", parts[0])(**parts[1]),
    ),
}
