"""Parameters of estimators as text that tells any two values apart, in every process the same."""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType, NoneType
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone

from .data import fingerprint

# No result depends on these: seeds are the study's, and a cache may lie anywhere.
HARMLESS = "random_state", "cache_dir", "memory", "n_jobs", "verbose"
PRINTED = (
    *(str, bytes, int, float, complex, NoneType, range, slice, PurePath),
    *(np.generic, np.dtype, np.ufunc, BuiltinFunctionType),
)
CONTAINERS = list, tuple, set, frozenset
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
MARK = 16  # letters of a digest

Ids = Set[int]


def describe_estimator(estimator: Any) -> dict[str, str]:
    """Return the class and the parameters of an estimator that results depend on."""
    names = {name for name in estimator.get_params(deep=True) if is_harmless(name)}
    plain = clone(estimator).set_params(**dict.fromkeys(names))  # a step's repr has them too
    values = plain.get_params(deep=True)
    parts = {id(value) for value in values.values() if is_told_by_params(value)}
    parameters = {
        name: describe_value(value, parts)
        for name, value in sorted(values.items())
        if name not in names
    }
    return {"class": name_of(type(estimator)), **parameters}


def is_told_by_params(value: Any) -> bool:
    """Whether a value is an estimator that is nothing but its parameters."""
    # Who clones itself may keep what it has learned.
    clones = getattr(type(value), "__sklearn_clone__", None)
    return hasattr(value, "get_params") and clones is BaseEstimator.__sklearn_clone__


def is_random_state(parameter: str) -> bool:
    """Whether a parameter of an estimator, perhaps a nested one, is a seed."""
    return parameter.rpartition("__")[2] == "random_state"


def is_harmless(parameter: str) -> bool:
    """Whether no result depends on a parameter, perhaps a nested one."""
    return parameter.rpartition("__")[2] in HARMLESS


def describe_value(value: Any, parts: Ids = frozenset()) -> str:
    """Return a parameter as text, with a digest behind it of what text does not show.

    Parameters
    ----------
    value : object
    parts : set of int
        The ``id`` of estimators that are described elsewhere, parameter by parameter.
    """
    text = in_words(value)
    if is_printed(value, parts):
        return text
    digest = hashlib.sha256()
    for token in contents(value, parts):
        digest.update(f"{len(token)} {token}".encode())
    return f"{text} {digest.hexdigest()[:MARK]}"


def in_words(value: Any) -> str:
    """Return a value as people read it, without what changes from process to process."""
    if isinstance(value, Mapping):
        pairs = (f"{in_words(name)}: {in_words(part)}" for name, part in value.items())
        return f"{{{', '.join(sorted(pairs))}}}"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(in_words, value)))}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(in_words, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(in_words, value))})"
    if hasattr(value, "rvs") and hasattr(value, "dist"):  # of SciPy, which prints its address only
        return f"{value.dist.name}({', '.join(map(in_words, [*value.args, *value.kwds.items()]))})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(of_python(value)))


def is_printed(value: Any, parts: Ids) -> bool:
    """Whether the words for a value say all that it is."""
    if isinstance(value, Mapping):
        return all(is_printed(part, parts) for pair in value.items() for part in pair)
    if isinstance(value, CONTAINERS):
        return all(is_printed(part, parts) for part in value)
    return isinstance(value, (*PRINTED, type)) or id(value) in parts


def contents(value: Any, parts: Ids, outer: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield all that a value is, part by part."""
    value = of_python(value)
    if any(value is one for one in outer):
        return
    yield name_of(type(value))
    if isinstance(value, PRINTED):
        yield repr(value)
        return
    if isinstance(value, (type, ModuleType)):
        yield name_of(value)
        return
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield fingerprint(value)  # repr rounds, and leaves out what is in the middle
        return
    if id(value) in parts:
        return
    # What is in an estimator that keeps what it has learned is told nowhere else.
    inner = parts if is_told_by_params(value) or not hasattr(value, "get_params") else frozenset()
    for part in parts_of(value):
        yield from contents(part, inner, (*outer, value))


def parts_of(value: Any) -> Iterable[Any]:
    """Return what a value consists of, in an order that is the same in every process."""
    if isinstance(value, Mapping):
        return [part for name in sorted(value, key=in_words) for part in (name, value[name])]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=in_words)
    if isinstance(value, (list, tuple, np.ndarray)):
        return value
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    if isinstance(value, FunctionType):
        return parts_of_function(value)
    if isinstance(value, CodeType):  # without lines and names of files
        return value.co_code, value.co_consts, value.co_names, value.co_varnames
    if issparse(value):
        rows = value.tocsr().sorted_indices()
        return value.shape, rows.data, rows.indices, rows.indptr
    if hasattr(value, "atoms"):  # a frame, which prints its name and its size
        return repr(value), value.atoms
    if hasattr(value, "net_"):  # from which others start
        return value.get_params(deep=False), value.net_.module_
    if hasattr(value, "state_dict"):
        return repr(value), value.state_dict()
    if hasattr(value, "detach"):
        return (value.numpy(force=True),)
    return parts_of_object(value)


def parts_of_function(function: FunctionType) -> Iterable[Any]:
    """Return the code of a function, and what it takes from around it."""
    code = function.__code__
    if code.co_filename.startswith(INSTALLED):  # it changes with the version of its package
        return function.__module__, function.__qualname__
    known = ((name, function.__globals__.get(name)) for name in code.co_names)
    around = [pair for pair in known if isinstance(pair[1], (*PRINTED, np.ndarray, FunctionType))]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return code, function.__defaults__, function.__kwdefaults__, cells, around


def parts_of_object(value: Any) -> Iterable[Any]:
    """Return the state of any other object, as a copy would get it."""
    try:
        made = value.__reduce_ex__(4)
    except Exception:  # of what cannot be copied, such as a lock
        return (in_words(value),)
    if isinstance(made, str):
        return (made,)
    make, arguments, state, *items = (*made, None)[:6]
    if isinstance(state, Mapping):  # a distribution of SciPy has the global generator
        state = {name: part for name, part in state.items() if not is_generator(name)}
    return [name_of(make), arguments, state, *(list(one) for one in items if one is not None)]


def is_generator(name: Any) -> bool:
    """Whether an attribute is a source of random numbers."""
    return str(name).endswith("random_state")


def of_python(value: Any) -> Any:
    """Return a number of NumPy as the equal one of Python."""
    return value.item() if isinstance(value, (np.bool_, np.int64, np.float64, np.str_)) else value


def name_of(kind: Any) -> str:
    """Return the full name of a class or a function."""
    module = getattr(kind, "__module__", None)
    # What is started by multiprocessing has another name for the same script.
    module = "__main__" if module == "__mp_main__" else module
    return ".".join(filter(None, [module, getattr(kind, "__qualname__", kind.__name__)]))
