"""The registry: what the installed plugins provide, by kind and by name.

Everything comes in through the entry-point group ``sklstruct``, the built-in parts too.  A
plugin is any importable object with implementations of the hooks in ``hookspecs``.
"""

from __future__ import annotations

import difflib
import pkgutil
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pluggy

from . import hookspecs

KINDS = ("frame", "layer", "architecture", "estimator", "metric", "dataset")
RUN_TIME = "registered at run time"
_LOCK = threading.RLock()


@dataclass(frozen=True)
class Entry:
    """One thing that a plugin provides.

    Parameters
    ----------
    kind : {"frame", "layer", "architecture", "estimator", "metric", "dataset"}
    name : str
        The name it is looked up by.
    target : object
        The object itself, or a reference ``"module:object"`` to it.
    source : str
        The distribution it comes from, with its version.

    See Also
    --------
    lookup : The object of a name.

    Examples
    --------
    >>> from sklstruct.plugins import entries
    >>> entry = entries("architecture")["rfnn"]
    >>> entry.target, entry.attribute
    ('sklstruct_rfnn.architecture:RFNN', 'RFNN')
    >>> entry.load()
    <class 'sklstruct_rfnn.architecture.RFNN'>
    """

    kind: str
    name: str
    target: Any
    source: str

    @property
    def attribute(self) -> str:
        """Name of the object in its module, known without importing it."""
        if isinstance(self.target, str):
            return self.target.rpartition(":")[2]
        return getattr(self.target, "__name__", self.name)

    def load(self) -> Any:
        """Return the object, imported if necessary."""
        return pkgutil.resolve_name(self.target) if isinstance(self.target, str) else self.target


@cache
def manager() -> pluggy.PluginManager:
    """Return the plugin manager, with every installed plugin registered.

    See Also
    --------
    entries : What the plugins offer, by kind.

    Examples
    --------
    >>> from sklstruct.plugins import manager
    >>> manager().project_name
    'sklstruct'
    """
    pm = pluggy.PluginManager("sklstruct")
    pm.add_hookspecs(hookspecs)
    for entry_point in metadata.entry_points(group="sklstruct"):
        _admit(entry_point, pm)
    return pm


def _admit(entry_point: metadata.EntryPoint, pm: pluggy.PluginManager) -> None:
    """Register the plugin of an entry point, or warn: a broken one must not break the rest."""
    dist = entry_point.dist
    source = f"{dist.name} {dist.version}" if dist else "unknown distribution"
    name = f"{source}/{entry_point.name}"
    try:
        plugin = entry_point.load()
        if not pm.is_registered(plugin):
            pm.register(plugin, name)
            pm.check_pending()
    except Exception as error:
        if pm.has_plugin(name):
            pm.unregister(name=name)
        warnings.warn(
            f"The plugin {entry_point.name!r} of {source} cannot be loaded and is left out: "
            f"{type(error).__name__}: {error}",
            stacklevel=2,
        )


def entries(kind: str) -> dict[str, Entry]:
    """Return what is registered of one kind, by name.

    Parameters
    ----------
    kind : {"frame", "layer", "architecture", "estimator", "metric", "dataset"}

    Raises
    ------
    ValueError
        If two plugins register the same name.

    See Also
    --------
    lookup : The object of a name.

    Examples
    --------
    >>> from sklstruct.plugins import entries
    >>> {"framelet", "gaussian", "pixel"} <= entries("frame").keys()
    True
    """
    return dict(_entries(kind))


@cache
def _entries(kind: str) -> dict[str, Entry]:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS}, got {kind!r}.")
    found: dict[str, Entry] = {}
    with _LOCK:
        implementations = getattr(manager().hook, f"register_{kind}s").get_hookimpls()
        for implementation in implementations:
            source = implementation.plugin_name.partition("/")[0]
            for name, target in implementation.function().items():
                if name in found:
                    raise ValueError(
                        f"Two plugins register the {kind} {name!r}: {found[name].source} and "
                        f"{source}. Uninstall one of them, or ask for another name."
                    )
                found[name] = Entry(kind, name, target, source)
    return dict(sorted(found.items()))


@cache
def lookup(kind: str, name: str) -> Any:
    """Return the object that is registered under a name.

    Raises
    ------
    ValueError
        If the name is unknown; the message gives the close matches and all known names.

    See Also
    --------
    entries : All names of a kind.
    register : A name of one's own.

    Examples
    --------
    >>> from sklstruct.plugins import lookup
    >>> lookup("frame", "gaussian")
    <class 'sklstruct.frames.gaussian.GaussianDerivatives'>
    >>> lookup("frame", "gausian")
    Traceback (most recent call last):
        ...
    ValueError: Unknown frame 'gausian'. Did you mean 'gaussian' ... Known: ...
    """
    known = entries(kind)
    if name in known:
        return known[name].load()
    names = ", ".join(known) or "none"
    raise ValueError(
        f"Unknown {kind} {name!r}.{close_matches(name, known)} Known: {names}. "
        "Others need the plugin that registers them, or before this call "
        f"sklstruct.plugins.register({kind!r}, {name!r}, ...)."
    )


def close_matches(name: str, known: Iterable[str]) -> str:
    """Return a question with the known names that are close to a wrong one, or nothing.

    See Also
    --------
    lookup : Refuses unknown names with it.

    Examples
    --------
    >>> from sklstruct.plugins import close_matches
    >>> close_matches("gausian", ["gaussian", "pixel"])
    " Did you mean 'gaussian'?"
    """
    close = difflib.get_close_matches(name, list(known), n=3)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def make_frame(frame: Any, like: Any = None) -> Any:
    """Return a frame family, for a registered name or for a family (or a ``Frame``) itself.

    Parameters
    ----------
    frame : str, frame family or Frame
    like : frame family, default=None
        A name stands for the family with the parameters of this one, as far as it has them, and
        with its support; where this one is free, like pixels, it is meant to stay so.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If ``frame`` is neither a name nor something with a method ``build(ndim)``.

    See Also
    --------
    build_frame : From a family to its atoms.
    lookup : Anything by its name.

    Examples
    --------
    >>> from sklstruct.frames import GaussianDerivatives
    >>> from sklstruct.plugins import make_frame
    >>> make_frame("gaussian")
    GaussianDerivatives(order=3, scales=(1.0,), size=None, truncate=3.0)
    >>> make_frame("pixel", like=GaussianDerivatives(order=2))
    Pixels(size=7)
    """
    if isinstance(frame, str):
        family = lookup("frame", frame)
        if like is not None and (family is type(like) or like.free):
            return like
        made = family()
        if like is None or not hasattr(made, "get_params"):  # as a family of a notebook may be
            return made
        given, known = like.get_params() | {"size": like.extent}, made.get_params()
        if not getattr(made, "tensor", False) and isinstance(given.get("order"), (tuple, list)):
            given["order"] = max(given["order"])  # of all axes alike
        return made.set_params(**{name: given[name] for name in given if name in known})
    if isinstance(frame, type):
        name = frame.__name__
        raise TypeError(f"frame must be an object, such as {name}(), got the class {name} itself.")
    if not callable(getattr(frame, "build", None)):
        raise TypeError(
            "frame must be the name of a registered frame or an object with a method "
            f"build(ndim), such as GaussianDerivatives(order=3), got {frame!r}."
        )
    return frame


def register(kind: str, name: str, target: Any) -> None:
    """Register something at run time, in a notebook say, under a name of its own.

    Estimators that use the name carry its object along when they are pickled, so that it is
    known in worker processes too.

    Parameters
    ----------
    kind : {"frame", "layer", "architecture", "estimator", "metric", "dataset"}
    name : str
    target : object
        What the hook of that kind asks for.

    Raises
    ------
    ValueError
        If an installed plugin has the name.  A name registered at run time is replaced.
    TypeError
        If the name is no string.

    See Also
    --------
    unregister : The way back.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> from sklstruct.plugins import lookup, register, unregister
    >>> register("frame", "coarse", lambda: Pixels(size=3))
    >>> lookup("frame", "coarse")()
    Pixels(size=3)
    >>> unregister("frame", "coarse")
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"name must be a string, got {name!r}.")
    with _LOCK:
        before = entries(kind).get(name)
        if before is not None and before.source != RUN_TIME:
            raise ValueError(f"The {kind} name {name!r} is taken by {before.source}.")
        plugin_name = f"{RUN_TIME}/{kind}-{name}"
        # A notebook registers the same cell again and again.
        if before is not None:
            manager().unregister(name=plugin_name)
        hook = hookspecs.hookimpl(specname=f"register_{kind}s")(lambda: {name: target})
        manager().register(SimpleNamespace(hook=hook), plugin_name)
        _forget()


def unregister(kind: str, name: str) -> None:
    """Forget something that was registered at run time.

    See Also
    --------
    register : The way there.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> from sklstruct.plugins import entries, register, unregister
    >>> register("frame", "coarse", lambda: Pixels(size=3))
    >>> unregister("frame", "coarse")
    >>> "coarse" in entries("frame")
    False
    """
    plugin_name = f"{RUN_TIME}/{kind}-{name}"
    if manager().get_plugin(plugin_name) is None:
        raise ValueError(f"No {kind} {name!r} was registered at run time.")
    manager().unregister(name=plugin_name)
    _forget()


def _forget() -> None:
    """Ask the plugins anew what there is."""
    _entries.cache_clear()
    lookup.cache_clear()


def run_time_entries() -> list[Entry]:
    """Return everything that was registered at run time.

    See Also
    --------
    register, unregister : What makes and removes them.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> from sklstruct.plugins import register, run_time_entries, unregister
    >>> register("frame", "coarse", lambda: Pixels(size=3))
    >>> [entry.name for entry in run_time_entries()]
    ['coarse']
    >>> unregister("frame", "coarse")
    """
    return [e for kind in KINDS for e in entries(kind).values() if e.source == RUN_TIME]


def with_carried(state: dict[str, Any], params: Any) -> dict[str, Any]:
    """Return a state to pickle, with what names among the parameters stand for in this process.

    A worker process knows what is installed; what was registered at run time has to travel.

    See Also
    --------
    register_carried : The other end.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> from sklstruct.plugins import register, unregister, with_carried
    >>> register("frame", "coarse", lambda: Pixels(size=3))
    >>> list(with_carried({}, {"frame": "coarse"})), list(with_carried({}, {"frame": "pixel"}))
    (['_carried'], [])
    >>> unregister("frame", "coarse")
    """
    used = set(strings_in(params))
    here = run_time_entries()  # one of them may ask for another
    carried = here if any(entry.name in used for entry in here) else []
    return {**state, **({"_carried": carried} if carried else {})}


def register_carried(state: dict[str, Any]) -> dict[str, Any]:
    """Register what a pickled state carries, and return the rest of it.

    See Also
    --------
    with_carried : The other end.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> from sklstruct.plugins import Entry, lookup, register_carried, unregister
    >>> carried = [Entry("frame", "coarse", lambda: Pixels(size=3), "another process")]
    >>> register_carried({"_carried": carried, "size": 3})
    {'size': 3}
    >>> lookup("frame", "coarse")()
    Pixels(size=3)
    >>> unregister("frame", "coarse")
    """
    for entry in state.pop("_carried", []):
        register(entry.kind, entry.name, entry.target)
    return state


def strings_in(value: Any) -> Iterator[str]:
    """Yield the strings in nested dicts and sequences.

    Examples
    --------
    >>> from sklstruct.plugins import strings_in
    >>> list(strings_in({"frame": ["gaussian", ("pixel", 3)]}))
    ['gaussian', 'pixel']
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings_in(part)
