"""Values as JSON and plain arrays can hold them, and back: nothing is pickled, no code is run.

Estimators are values too: a registered name, parameters, what a fit has left, and of a network its
weights.  Only registered classes are ever made, and classes of data that are known here or that a
registered class vouches for: ``_holds()`` returns classes whose objects are no more than their
attributes.  Attributes named in ``_prepared`` follow from the others, by ``_prepare(in_shape_)``.
A class that is ``storable = False`` is refused before it is fitted.
"""

from __future__ import annotations

import copy
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import prod
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from .. import plugins
from ..architecture import Architecture
from ..compat import CALLBACKS_SET
from ..frames import Frame
from ..io.nifti.grid import Grid
from ..io.reading import read_member
from ..params import check
from ..training import (
    AtPlaces,
    Augment,
    Auxiliary,
    BinaryCrossEntropy,
    CrossEntropy,
    NetworkLoss,
    PosePenalty,
    SquaredError,
)
from .base import NetworkEstimator
from .targets import Classes, Maps, Values

PLAIN = (bool, int, float, str, type(None))  # JSON has these
KINDS = ("estimator", "frame", "architecture")  # of objects that are a name and parameters
DATA: dict[str, Any] = {  # classes whose constructors do nothing but keep, or check, their fields
    cls.__name__: cls
    for cls in (
        *(Frame, Grid, Classes, Values, Maps),
        *(AtPlaces, Augment, Auxiliary, BinaryCrossEntropy),
        *(CrossEntropy, NetworkLoss, PosePenalty, SquaredError),
    )
}
MOST_VALUES = 1 << 26  # of a sample: 400 x 400 x 400, so that a file cannot ask for more
FEW = 64  # parameters that a network may register beside those that it keeps
NOT_KEPT = "net_", CALLBACKS_SET  # one has a place of its own, the others are for a fit
HERE_ONLY = ("cache_dir",)  # parameters that nobody must choose for another machine


@dataclass
class Parts:
    """What a model file holds beside its JSON.

    Parameters
    ----------
    arrays : list of ndarray
    needs : dict from str to str
        The distribution that every registered name comes from.
    known : dict from str to type
        Classes of data, those included that the estimator at hand vouches for.
    """

    arrays: list[NDArray[Any]] = field(default_factory=list)
    needs: dict[str, str] = field(default_factory=dict)
    known: Mapping[str, type] = field(default_factory=lambda: DATA)


class Codec(NamedTuple):
    """How values of one kind are taken apart into simpler ones and put together again."""

    matches: Callable[[Any], bool]
    split: Callable[[Any], Any]
    join: Callable[[Any], Any]


def encode(value: Any, parts: Parts, what: str) -> Any:
    """Return a value as JSON can hold it, where an object is always ``{tag: content}``.

    Parameters
    ----------
    value : object
    parts : Parts
        Takes the arrays.
    what : str
        Name of the value in messages.

    Raises
    ------
    ValueError
        If the value cannot be stored.
    """
    if type(value) in PLAIN:
        return value
    if type(value) is list:
        return [encode(part, parts, what) for part in value]
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        parts.arrays.append(value)
        return {"array": len(parts.arrays) - 1}
    for kind in KINDS:
        if name := registered_name(kind, type(value)):
            parts.needs[name] = plugins.entries(kind)[name].source
            if kind == "estimator":
                return {kind: encode_estimator(value, name, parts)}
            return {kind: encode([name, value.get_params(deep=False)], parts, what)}
    # A frame with functions is more than its samples: its family is stored in place of it.
    cls = type(value)
    if parts.known.get(cls.__name__) is cls and getattr(value, "functions", None) is None:
        names = [one.name for one in fields(value)] if is_dataclass(value) else vars(value)
        return {"data": encode([cls.__name__, {n: getattr(value, n) for n in names}], parts, what)}
    for tag, codec in CODECS.items():
        if codec.matches(value):
            return {tag: encode(codec.split(value), parts, what)}
    raise ValueError(
        f"The {what} cannot be stored in a model file, as {value!r} is neither plain data nor of a "
        f"registered class{advice_on(value)}."
    )


def advice_on(value: Any) -> str:
    """Return how a value could be stored, "" if there is no way."""
    if hasattr(value, "atoms"):
        return ": give its family, such as GaussianDerivatives()"
    is_kind = {
        "estimator": hasattr(value, "fit"),
        "architecture": isinstance(value, Architecture),
        "frame": hasattr(value, "build"),
    }
    for kind in filter(is_kind.get, is_kind):
        return (
            ": register it by a plugin of a distribution, or in every session that saves or loads "
            f"it by sklstruct.plugins.register({kind!r}, NAME, {type(value).__name__})"
        )
    return ""


class Arrays:
    """The arrays of a model file, each to be taken once: none is larger than its part of it.

    Parameters
    ----------
    archive : ZipFile
        Whose members are stored, not compressed.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive, self.left = archive, set(archive.namelist())

    def take(self, number: int) -> NDArray[Any]:
        """Return an array."""
        self.left.remove(name := f"{number}.npy")
        return read_member(self.archive, name)


def decode(value: Any, arrays: Arrays, known: Mapping[str, type]) -> Any:
    """Return the value that ``encode`` has written, without unpickling anything."""
    if isinstance(value, list):
        return [decode(part, arrays, known) for part in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()  # one entry, or the file is no work of ours
    if tag == "array":
        return arrays.take(content)
    if tag == "estimator":
        return decode_estimator(content, arrays)
    content = decode(content, arrays, known)
    if tag in KINDS:
        name, params = content
        return plugins.lookup(tag, name)(**params)
    if tag == "data":
        name, values = content
        if is_dataclass(known[name]):
            return known[name](**values)
        made: Any = object.__new__(known[name])
        vars(made).update(values)
        return made
    return CODECS[tag].join(content)


# Estimators ---------------------------------------------------------------------------------


def encode_estimator(estimator: Any, name: str, parts: Parts) -> dict[str, Any]:
    """Return an estimator of a registered name by its parameters and what a fit has left."""
    cls, params = type(estimator).__name__, estimator.get_params(deep=False)
    held = [estimator]
    for key in [key for key, value in params.items() if isinstance(value, str)]:
        # What names stand for, so that it is known before a long fit; unknown ones are set later.
        with suppress(ValueError, AttributeError):
            held.append(estimator.resolved(key))
    for part in held:
        if not getattr(part, "storable", True):
            raise ValueError(
                f"{type(part).__name__} cannot be stored in a model file, as there is no form for "
                "what it learns."
            )
    prepared = getattr(estimator, "_prepared", ())
    inner = replace(parts, known=known_to(type(estimator)))
    encoded = {
        group: {n: encode(v, inner, f"{kind} {n!r} of {cls}") for n, v in values.items()}
        for group, kind, values in (
            ("params", "parameter", without(params, *HERE_ONLY)),
            ("fitted", "attribute", without(vars(estimator), *NOT_KEPT, *prepared, *params)),
        )
    }
    net = None
    if isinstance(estimator, NetworkEstimator) and hasattr(estimator, "net_"):
        weights = estimator.net_.module_.state_dict()
        # The state of the optimiser is twice as large as the weights, and seldom wanted.
        state = {
            "history": [without(row, "batches") for row in estimator.net_.history],
            "weights": {name: tensor.numpy(force=True) for name, tensor in weights.items()},
        }
        net = encode(state, parts, f"net of {cls}")
    return {"name": name, **encoded, "net": net}


def decode_estimator(content: Mapping[str, Any], arrays: Arrays) -> Any:
    """Return the estimator that a file describes."""
    make = plugins.lookup("estimator", content["name"])
    known = known_to(make)
    params, fitted = (
        {name: decode(value, arrays, known) for name, value in content[group].items()}
        for group in ("params", "fitted")
    )
    estimator = make(**without(params, *HERE_ONLY))
    check_numbers(make, params)
    fitted = without(fitted, *estimator.get_params(deep=False))  # which have a place of their own
    if taken := [name for name in fitted if hasattr(make, name)]:
        raise ValueError(f"no fit of {make.__name__} leaves attributes {taken}")
    vars(estimator).update(fitted)  # not by setattr, as some of them are read-only
    if prod(fitted.get("in_shape_", ())) > MOST_VALUES:
        raise ValueError(f"samples of shape {fitted['in_shape_']} are too large")
    if getattr(make, "_prepared", ()) and "in_shape_" in fitted:
        estimator._prepare(estimator.in_shape_)
    net = decode(content["net"], arrays, DATA)
    if net is not None:
        # Parameters may have been set after the fit; the network is of those before.
        built = copy.copy(estimator)
        vars(built).update({**estimator._built_with, "feature_layer": None})
        weights = {name: torch.as_tensor(value) for name, value in net["weights"].items()}
        with torch.device("meta"), at_most(4 * len(weights) + FEW):  # has shapes, and no memory
            wanted = built._architecture().build(built.in_shape_, built.target_.n_outputs)
        found = {name: weight.shape for name, weight in weights.items()}
        if found != (shapes := {name: value.shape for name, value in wanted.state_dict().items()}):
            first = next(n for n in [*shapes, *found] if shapes.get(n) != found.get(n))
            raise ValueError(
                f"the weights are of another network: {first} must have shape {shapes.get(first)}, "
                f"got {found.get(first)}"
            )
        built._build(0, "cpu", built._plan(1))
        built.net_.module_.load_state_dict(weights)
        built.net_.module_.eval()
        built.net_.history.extend(net["history"])
        estimator.net_ = built.net_
    return estimator


def check_numbers(make: Any, params: Mapping[str, Any]) -> None:
    """Raise ValueError for numbers among parameters that a fit would have refused."""
    # Numbers only: a path may lead nowhere here, and need not.
    for name, one in getattr(make, "__dataclass_fields__", {}).items():
        rule, value = one.metadata.get("rule"), params.get(name)
        if rule is not None and isinstance(value, (int, float)):
            check(f"{name} of {make.__name__}", value, rule)


@contextmanager
def at_most(n_parameters: int) -> Iterator[None]:
    """Let no network of more parameters be built: a few bytes can ask for a million layers."""
    count, here = 0, get_ident()

    def counted(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal count
        count += get_ident() == here  # not of what other threads build meanwhile
        if count > n_parameters:
            raise ValueError("the weights are of another network, which has fewer parameters")

    hook = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        hook.remove()


def known_to(make: Any) -> Mapping[str, type]:
    """Return the classes of data that a file may hold for a registered class."""
    holds = getattr(make, "_holds", tuple)
    return {**DATA, **{cls.__name__: cls for cls in holds()}}


def registered_name(kind: str, cls: type) -> str | None:
    """Return the name that a class is registered under, or None."""
    for name, entry in plugins.entries(kind).items():
        # By its name first, as loading imports; then by what it is, as names prove nothing.
        if entry.attribute == cls.__name__ and entry.load() is cls:
            return name
    return None


def without(mapping: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return a dict with all but some of the keys."""
    return {key: value for key, value in mapping.items() if key not in keys}


# Other values -------------------------------------------------------------------------------


def join_objects(parts: Any) -> NDArray[Any]:
    """Return an array of objects from its shape and its values."""
    shape, values = parts
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def join_scalar(parts: Any) -> Any:
    """Return a number or a text of NumPy from its type and its value."""
    dtype, value = np.dtype(parts[0]), parts[1]
    if dtype.kind not in "biufU":  # others take a number for a size
        raise ValueError(f"a scalar must be a number or a text, got dtype {dtype}")
    return dtype.type(value)


CODECS = {
    "tuple": Codec(lambda v: type(v) is tuple, list, tuple),
    # As pairs, because keys may be numbers, and because an object of JSON has another meaning.
    "dict": Codec(lambda v: type(v) is dict, lambda v: [list(item) for item in v.items()], dict),
    "scalar": Codec(
        lambda v: isinstance(v, np.generic) and type(v.item()) in PLAIN,
        lambda v: [v.dtype.str, v.item()],
        join_scalar,
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
    "pipeline": Codec(lambda v: type(v) is Pipeline, lambda v: list(v.steps), Pipeline),
    "frozen": Codec(lambda v: type(v) is FrozenEstimator, lambda v: v.estimator, FrozenEstimator),
}
