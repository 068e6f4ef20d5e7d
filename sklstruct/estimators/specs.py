"""Estimators as they are written in a line.

``rfnn``, ``rfnn:frame=pixel`` and ``twin=rfnn:frame=pixel:frame__size=5`` are a registered name
or a class name, with parameters after colons and a label in front.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .. import plugins

Params = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """An estimator by its name, with parameters of its own."""

    label: str
    name: str
    params: Params

    @property
    def text(self) -> str:
        """The estimator as it is written, without its label."""
        return ":".join([self.name, *(f"{name}={value!r}" for name, value in self.params.items())])

    def make(self, **common: Any) -> Any:
        """Return the estimator; its own parameters come before common ones.

        Raises
        ------
        ValueError
            If the name or a parameter is unknown.
        """
        estimator = make_estimator(self.name, self.params)
        params = {**common, **self.params}
        check_names(params, [estimator])
        return estimator.set_params(**params)

    def taken(self, settings: Params) -> tuple[Params, dict[str, ValueError]]:
        """Return the settings that the estimator takes, and why it does not take the others."""
        taken: Params = {}
        refused = {}
        # A nested setting may need another one first: frame=morlet, then frame__slant=0.5.
        for name in sorted(settings, key=lambda name: name.count("__")):
            try:
                self.make(**taken, **{name: settings[name]})
                taken[name] = settings[name]
            except ValueError as error:
                refused[name] = error
        return taken, refused


def make_estimators(
    specs: str | Mapping[str, str] | Iterable[Spec], settings: Params | None = None
) -> dict[str, Any]:
    """Return the estimators of a line, by label.

    Parameters
    ----------
    specs : str or dict
        Registered names or names of classes with commas between them, each perhaps with a label
        in front and with parameters behind: ``"rfnn,twin=rfnn:frame=pixel"``.  Without a label,
        the text itself is one.  Or such texts by label.
    settings : dict, default=None
        Parameters that are set on every estimator that has them, where it has no own ones.

    Returns
    -------
    estimators : dict

    Raises
    ------
    ValueError
        If a label is there twice, a name is unknown, a setting fits no estimator, or a value is
        not valid.

    See Also
    --------
    sklstruct.plugins.entries : The names there are.

    Examples
    --------
    >>> from sklstruct.estimators import make_estimators
    >>> make_estimators("svm,soft=svm:C=0.1", {"gamma": 0.5})
    {'svm': PixelSVC(gamma=0.5), 'soft': PixelSVC(C=0.1, gamma=0.5)}
    """
    return {spec.label: spec.make() for spec in settled(parse_specs(specs), settings or {})}


def settled(specs: Iterable[Spec], settings: Params) -> list[Spec]:
    """Return estimators with the settings among the own parameters of all that have them.

    Raises
    ------
    ValueError
        As ``make_estimators`` does.
    """
    found: dict[str, Spec] = {}
    estimators: dict[str, Any] = {}
    taken_by_some: set[str] = set()
    refused: dict[str, ValueError] = {}
    specs = list(specs)
    # Seeds of single estimators would let them see different draws under one name of a study.
    for name in [*settings, *(name for spec in specs for name in spec.params)]:
        if name.rpartition("__")[2] == "random_state":
            raise ValueError(f"The parameter {name!r} is not set here: one seed is for all alike.")
    for spec in specs:
        if spec.label in found:
            raise ValueError(
                f"Two estimators have the label {spec.label!r}: write a label of its own in front "
                f"of one, such as other={spec.label}."
            )
        spec.make()  # what is wrong with its own parameters comes first
        taken, errors = spec.taken(settings)
        found[spec.label] = replace(spec, params={**taken, **spec.params})
        estimators[spec.label] = estimator = found[spec.label].make()
        taken_by_some |= taken.keys()
        refused |= {name: e for name, e in errors.items() if has_parameter(estimator, name)}
    for name in settings:  # what fits nowhere is a mistake, and never ignored
        if name not in taken_by_some:
            check_names([name], list(estimators.values()))
            raise refused[name]
    return list(found.values())


def make_estimator(name: str, params: Iterable[str]) -> Any:
    """Return an estimator for its registered name or the name of its class.

    Raises
    ------
    ValueError
        If the name is unknown, or that of an architecture; the message says how to write that, with
        the parameters too.
    """
    entries = plugins.entries("estimator")
    by_class = {entry.attribute: entry.name for entry in entries.values()}
    name = name if name in entries else by_class.get(name, name)
    if name not in entries and name in plugins.entries("architecture"):
        dense = getattr(plugins.lookup("architecture", name), "dense", False)
        raise ValueError(
            f"{name!r} is an architecture and no estimator: write "
            f"structured{'_map' if dense else ''}:architecture={name}, with parameters of its own "
            f"behind it, as :architecture__{next(iter(params), 'NAME')}=VALUE."
        )
    return plugins.lookup("estimator", name)()


def check_names(params: Iterable[str], estimators: list[Any]) -> None:
    """Raise ValueError if there is a parameter that none of the estimators has."""
    for name in params:
        if not any(has_parameter(estimator, name) for estimator in estimators):
            known = {known for e in estimators for known in e.get_params(deep=False)}
            hint = plugins.close_matches(head(name), known)
            owners = " or ".join(dict.fromkeys(type(e).__name__ for e in estimators))
            raise ValueError(f"There is no parameter {head(name)!r} of {owners}.{hint}")


def has_parameter(estimator: Any, name: str) -> bool:
    """Whether an estimator has a parameter, or the one in front of a nested parameter."""
    return head(name) in estimator.get_params(deep=False)


def head(name: str) -> str:
    """Return the parameter in front, such as ``frame`` of ``frame__order``."""
    return name.partition("__")[0]


# From text ----------------------------------------------------------------------------------


def parse_specs(specs: str | Mapping[str, str] | Iterable[Spec]) -> list[Spec]:
    """Return the estimators of a text such as ``rfnn,twin=rfnn:frame=pixel,svm``, or by label."""
    if isinstance(specs, str):
        return [parse_spec(part) for part in split(specs, ",")]
    if isinstance(specs, Mapping):
        return [replace(parse_spec(text), label=label) for label, text in specs.items()]
    return list(specs)


def one_spec(text: str) -> Spec:
    """Return the only estimator of a text."""
    specs = parse_specs(text)
    if len(specs) != 1:
        raise ValueError(f"{text!r} must be one estimator, got {len(specs)}")
    return specs[0]


def parse_spec(text: str) -> Spec:
    """Return the estimator of a text such as ``twin=rfnn:frame=pixel:widths=(8,8)``."""
    first, *settings = split(text.strip(), ":")
    label, equals, name = first.rpartition("=")
    label = label if equals else text.strip()
    if not label or not name:
        raise ValueError(f"{text!r} is no estimator such as rfnn or twin=rfnn:frame=pixel")
    return Spec(label, name, dict(map(parse_setting, settings)))


def parse_setting(text: str) -> tuple[str, Any]:
    """Return name and value of a text such as ``max_epochs=5``."""
    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise ValueError(f"{text!r} must read PARAM=VALUE, with quotes around a value with colons")
    return name, parse_value(value)


def parse_value(text: str) -> Any:
    """Return the Python literal that a text is, or several names, or else the text."""
    # Literals only: a command line that is pasted must not be able to run anything.
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        names = text.split(",")
        return tuple(names) if len(names) > 1 and all(map(str.isidentifier, names)) else text


def split(text: str, separator: str) -> list[str]:
    """Return the parts of a text; separators in brackets or quotes do not count."""
    # Not shlex or csv: values are Python, as (8, 8) or {0: 1}, and shells take their quotes off.
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character == separator and not quote and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if quote or depth:
        raise ValueError(f"{text!r} has a bracket or a quote without its other half")
    return parts
