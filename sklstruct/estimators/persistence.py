"""Model files that are safe to read, whoever wrote them.

A model file is a zip archive of ``model.json`` and of plain NumPy arrays.  Nothing in it is
pickled, and reading it runs no code of its own: it can only name estimators, frames and
architectures that are installed, and give them parameters and weights.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from skorch.history import History

from .. import plugins
from ..frames import Frame
from ..io.atomic import atomic_write
from ..params import Params
from .augment import Augment
from .base import NetworkEstimator
from .training import seeded_initialisation

FORMAT = "sklstruct model"
VERSION = 1
HEADER = "model.json"
PLAIN = (bool, int, float, str, type(None))  # JSON has these

Arrays = list[NDArray[Any]]


def save_model(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted network estimator to a file that is safe to share.

    The state of the optimiser is not kept: training that goes on from a loaded model starts
    with a fresh one.

    Parameters
    ----------
    estimator : NetworkEstimator
        Fitted, and of a registered class.
    path : str or path-like
        Conventionally with the suffix ``.skl``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it is no network estimator.
    ValueError
        If its class is not registered, or a parameter cannot be stored.
    OSError
        If the file cannot be written; an earlier one is then left as it was.
    """
    arrays: Arrays = []
    header = describe(estimator, arrays)
    check_is_fitted(estimator)
    header["fitted"] = encode_all("attribute", fitted_attributes(estimator), arrays)
    header["net"] = encode_all("part of net_", net_state(estimator.net_), arrays)
    with atomic_write(path, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(HEADER, json.dumps(header))
        for number, array in enumerate(arrays):
            with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load_model(path: str | os.PathLike[str]) -> Any:
    """Return the estimator in a model file, on the CPU and ready to predict.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    estimator : NetworkEstimator
        Its predictions on a CPU are those of the estimator that was saved, bit by bit.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no model file or a damaged one, has a later format, or needs a plugin that is
        not installed; the message names the file.
    """
    with open(path, "rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
            header = json.loads(archive.read(HEADER))
            version = header["version"] if header["format"] == FORMAT else None
        except Exception as error:  # archives are damaged in many ways
            raise ValueError(f"{path} is not a sound model file: {error}") from error
        if version != VERSION:
            raise ValueError(
                f"{path} must be a model file of format {VERSION} to be read by this version of "
                f"sklstruct, got format {version!r}."
            )
        try:
            return restore(header, archive)
        except Exception as error:
            needs = f"{header.get('estimator')} of {header.get('source')}"
            raise ValueError(
                f"{path} holds a model ({needs}) that is damaged or cannot be built here: {error}"
            ) from error


def describe(estimator: Any, arrays: Arrays) -> dict[str, Any]:
    """Return the head of a model file, which says what the estimator was before it was fitted.

    Raises
    ------
    TypeError, ValueError
        If the estimator cannot be stored: known before a long fit.
    """
    name = type(estimator).__name__
    if not isinstance(estimator, NetworkEstimator):
        raise TypeError(f"A model file can hold network estimators only, {name} is none.")
    registered = registered_name("estimator", type(estimator))
    if registered is None:
        raise ValueError(f"A model file can hold registered estimators only, {name} is none.")
    return {
        "format": FORMAT,
        "version": VERSION,
        "estimator": registered,
        "source": plugins.entries("estimator")[registered].source,
        "params": encode_all("parameter", estimator.get_params(deep=False), arrays),
    }


def restore(header: dict[str, Any], archive: zipfile.ZipFile) -> NetworkEstimator:
    """Return the estimator that an archive holds."""
    make = plugins.lookup("estimator", header["estimator"])
    if not (isinstance(make, type) and issubclass(make, NetworkEstimator)):
        raise ValueError(f"{header['estimator']!r} is no network estimator.")
    params, fitted, net = (
        {name: decode(value, archive) for name, value in header[part].items()}
        for part in ("params", "fitted", "net")
    )
    estimator: Any = make(**params)
    vars(estimator).update(fitted)
    with seeded_initialisation(0):
        module = estimator._build_network(estimator.in_shape_, estimator._n_outputs())
    estimator.net_ = estimator._make_net(module, "cpu")
    estimator.net_.history = History(net["history"])
    module.load_state_dict({name: torch.as_tensor(v) for name, v in net["weights"].items()})
    return estimator


def fitted_attributes(estimator: Any) -> dict[str, Any]:
    """Return what a fit has left on an estimator, besides its net."""
    return without(vars(estimator), "net_", *estimator.get_params(deep=False))


def net_state(net: Any) -> dict[str, Any]:
    """Return what a fit has left in a skorch net, but for the optimiser."""
    weights = net.module_.state_dict()
    return {
        "history": [without(row, "batches") for row in net.history],
        "weights": {name: tensor.numpy(force=True) for name, tensor in weights.items()},
    }


def without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a dict with all but some of the keys."""
    return {key: value for key, value in mapping.items() if key not in keys}


def registered_name(kind: str, cls: type) -> str | None:
    """Return the name that a class is registered under, or None."""
    for name, entry in plugins.entries(kind).items():
        if entry.attribute == cls.__name__ and entry.load() is cls:
            return name
    return None


# Values as JSON and arrays ------------------------------------------------------------------


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
