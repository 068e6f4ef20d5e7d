"""Parameters as data: fields with a default and a rule, which are read, set, searched and checked.

A class of parameters lists them as annotated attributes, and needs no decorator::

    class Blur(Params):
        width: float = param(1.0, real(above=0))
        mode: str = param("reflect", one_of("reflect", "zeros"))

Nothing is checked on construction or by ``set_params``, as everywhere in scikit-learn: a parameter
is judged where it is used, by ``check_params``.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache, wraps
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, ClassVar, Self, dataclass_transform

from .docstrings import inherit_sections

# --- rules ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """What a parameter may be: words for people, and a test.

    Parameters
    ----------
    words : str
        What is wanted, such as "an integer of at least 1".
    holds : callable
        Whether a value is that.

    See Also
    --------
    integer, real, one_of, instance_of : The usual ones.

    Examples
    --------
    >>> from sklstruct.params import Rule
    >>> even = Rule("an even number", lambda v: v % 2 == 0)
    >>> even.holds(4), even.holds(5)
    (True, False)
    >>> (even | None).words
    'an even number or None'
    """

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: Rule | None) -> Rule:
        """Return the rule that either of two holds; ``rule | None`` lets a value be None."""
        if other is None:
            return Rule(f"{self.words} or None", lambda v: v is None or self.holds(v))
        return Rule(f"{self.words} or {other.words}", lambda v: self.holds(v) or other.holds(v))


FLAGS = ("bool", "bool_")  # the types of True and False, of Python and of NumPy
FLAG = Rule("True or False", lambda v: type(v).__name__ in FLAGS)


def integer(least: int | None = None, most: int | None = None) -> Rule:
    """Return the rule of integers, NumPy's too, from one bound to the other.

    See Also
    --------
    param : Where rules are used.
    one_of, instance_of, real : Other rules.

    Examples
    --------
    >>> from sklstruct.params import integer
    >>> rule = integer(1, 8)
    >>> rule.words, rule.holds(8), rule.holds(8.0)
    ('an integer from 1 to 8', True, False)
    """
    low, high = -inf if least is None else least, inf if most is None else most
    if most is not None and least is not None:
        words = f"an integer from {least} to {most}"
    else:
        words = "an integer" if least is None else f"an integer of at least {least}"

    return Rule(
        words,
        lambda v: (
            isinstance(v, Integral) and type(v).__name__ not in FLAGS and low <= int(v) <= high
        ),
    )


def real(
    *, above: float = -inf, least: float = -inf, below: float = inf, most: float = inf
) -> Rule:
    """Return the rule of finite numbers between bounds, which may be strict or not.

    See Also
    --------
    param : Where rules are used.
    integer, instance_of, one_of : Other rules.

    Examples
    --------
    >>> from sklstruct.params import real
    >>> rule = real(above=0, most=1)
    >>> rule.words, rule.holds(0.5), rule.holds(0)
    ('a finite number above 0 and of at most 1', True, False)
    """
    bounds = {"above": above, "of at least": least, "below": below, "of at most": most}
    words = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items() if isfinite(bound))
    return Rule(
        f"a finite number {words}".strip(),
        lambda v: (
            isinstance(v, Real)
            and type(v).__name__ not in FLAGS
            and isfinite(v)
            and above < float(v) < below
            and least <= float(v) <= most
        ),
    )


def one_of(*values: Any) -> Rule:
    """Return the rule of a few values.

    See Also
    --------
    param : Where rules are used.
    integer, instance_of, real : Other rules.

    Examples
    --------
    >>> from sklstruct.params import one_of
    >>> rule = one_of("mean", "max")
    >>> rule.words, rule.holds("max"), rule.holds("min")
    ("one of ('mean', 'max')", True, False)
    """
    return Rule(
        f"one of {values}" if len(values) > 1 else repr(values[0]),
        lambda v: any(type(plain(v)) is type(known) and v == known for known in values),
    )


def plain(value: Any) -> Any:
    """Return a value with Python's numbers and texts for those of NumPy, and lists for arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.params import plain
    >>> plain((np.int64(3), np.bool_(True))), plain(np.arange(2))
    ((3, True), [0, 1])
    """
    if type(value) in (tuple, list):
        return type(value)(map(plain, value))
    of_numpy = type(value).__module__ == "numpy" and hasattr(value, "tolist")
    return value.tolist() if of_numpy else value


def instance_of(words: str, *types: type) -> Rule:
    """Return the rule of the instances of some types.

    See Also
    --------
    param : Where rules are used.
    one_of, integer, real : Other rules.

    Examples
    --------
    >>> from sklstruct.params import instance_of
    >>> rule = instance_of("a text", str)
    >>> rule.words, rule.holds("a"), rule.holds(1)
    ('a text', True, False)
    """
    return Rule(words, lambda v: isinstance(v, types))


SEQUENCE = Rule("a sequence", lambda v: hasattr(v, "__len__") and not isinstance(v, (str, dict)))
WIDTHS = Rule(
    "a sequence of integers of at least 1, one a stage",
    lambda v: SEQUENCE.holds(v) and len(v) > 0 and all(map(integer(1).holds, v)),
)
ODD = Rule("an odd integer of at least 1", lambda v: integer(1).holds(v) and v % 2 == 1)
SEED = integer(0, 2**32 - 1) | Rule("a RandomState", lambda v: hasattr(v, "randint")) | None
MAPPING = instance_of("a dict", Mapping)


def check(name: str, value: Any, rule: Rule) -> Any:
    """Return a value, or raise ValueError unless a rule holds for it.

    See Also
    --------
    Params.check_params : All parameters of an object.

    Examples
    --------
    >>> from sklstruct.params import check, integer
    >>> check("size", 3, integer(1))
    3
    >>> check("size", 0, integer(1))
    Traceback (most recent call last):
        ...
    ValueError: size must be an integer of at least 1, got 0.
    """
    if not rule.holds(value):
        raise ValueError(f"{name} must be {rule.words}, got {value!r}.")
    return value


# --- parameters -----------------------------------------------------------------------------


def param(
    default: Any,
    rule: Rule | None = None,
    *,
    resolve: Callable[[Any], Any] | None = None,
    may_change: bool = False,
) -> Any:
    """Return the field of a parameter.

    Parameters
    ----------
    default : object
        Immutable, as all instances share it.
    rule : Rule, default=None
        What values ``check_params`` lets pass; None is any.
    resolve : callable, default=None
        Maps a name to the object that it stands for, so that parameters of that object can be
        set where the name stands: ``frame__order=2`` where frame is "gaussian".
    may_change : bool, default=False
        Whether a network whose training goes on can follow another value.

    See Also
    --------
    Params : What has such fields.
    one_of, integer, real, instance_of : Rules.

    Examples
    --------
    >>> from sklstruct.params import Params, integer, param
    >>> class Box(Params):
    ...     size: int = param(3, integer(1))
    >>> Box(size=0).check_params()
    Traceback (most recent call last):
        ...
    ValueError: size of Box must be an integer of at least 1, got 0.
    """
    metadata = {"rule": rule, "resolve": resolve, "may_change": may_change}
    return field(default=default, metadata=metadata)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class Params:
    """Base of classes whose annotated attributes are parameters in the scikit-learn sense.

    Every subclass becomes a dataclass by itself.  Its docstring describes its own parameters;
    those that it inherits are added from where they are described.

    See Also
    --------
    param : Fields with rules.

    Examples
    --------
    >>> from sklstruct.params import Params
    >>> class Box(Params):
    ...     size: int = 3
    ...     name: str = "box"
    >>> box = Box(size=5)
    >>> box.get_params(), box.set_params(size=7)
    ({'size': 5, 'name': 'box'}, Box(size=7, name='box'))
    >>> box == Box(size=7)
    True
    """

    _keywords_only: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        documented = bool(cls.__dict__.get("__doc__"))
        dataclass(kw_only=cls._keywords_only, eq=False, repr=False)(cls)
        _check_annotated(cls)
        if documented:  # not by what a dataclass writes where there is nothing
            inherit_sections(cls)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name, with ``deep`` also those of parameters."""
        params = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    params |= {f"{name}__{inner}": v for inner, v in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and return the object.

        A parameter of a parameter has both names, ``frame__order``.  It may be set where a name
        stands for an object, which it replaces then, and where there is a sequence of objects,
        each of which gets it that has such a parameter.

        Raises
        ------
        ValueError
            If there is no parameter of that name, or the value in front has none of its own;
            nothing is set then.
        """
        known = self.get_params(deep=False)
        nested: dict[str, dict[str, Any]] = {}
        # Names are checked before anything is set, so that an error leaves all as it was.
        for name, value in params.items():
            head, inner, rest = name.partition("__")
            if head not in known:
                raise ValueError(
                    f"Invalid parameter {head!r} for {type(self).__name__}. "
                    f"Valid parameters are: {sorted(known)}."
                )
            if inner:
                nested.setdefault(head, {})[rest] = value
        before = {name: known[name] for name in params if name in known}
        try:
            for name in before:  # whole parameters come first: others may be set on them
                setattr(self, name, params[name])
            for head, own in nested.items():
                before.setdefault(head, known[head])
                setattr(self, head, self._with_params(head, own))
        except BaseException:
            for name, value in before.items():
                setattr(self, name, value)
            raise
        return self

    def check_params(self) -> None:
        """Raise ValueError unless every parameter is what its rule says."""
        for one in fields(self):  # type: ignore[arg-type]
            rule = one.metadata.get("rule")
            if rule is not None and not rule.holds(value := getattr(self, one.name)):
                raise ValueError(
                    f"{one.name} of {type(self).__name__} must be {rule.words}, got {value!r}."
                )

    def resolved(self, name: str) -> Any:
        """Return the object that a parameter stands for, where it may be a name."""
        value = getattr(self, name)
        resolve = type(self).__dataclass_fields__[name].metadata.get("resolve")  # type: ignore[attr-defined]
        return resolve(value) if resolve and isinstance(value, (str, type)) else value

    def _with_params(self, name: str, params: dict[str, Any]) -> Any:
        """Return the value of a parameter after parameters of its own are set."""
        value = self.resolved(name)
        several = isinstance(value, (tuple, list)) and len(value) > 0
        parts = value if several else [value]
        if any(isinstance(part, type) or not hasattr(part, "set_params") for part in parts):
            raise ValueError(
                f"Parameters of {name!r} cannot be set on {type(self).__name__}: "
                f"{name}={value!r} has none of its own."
            )
        if not several:
            # An estimator given as a parameter is the caller's; scikit-learn sets it in place.
            owned = value if hasattr(value, "fit") else copy_of(value)
            return owned.set_params(**params)
        copies = tuple(map(copy_of, parts))
        for inner, own in params.items():
            taking = [c for c in copies if inner.partition("__")[0] in c.get_params(deep=False)]
            for part in taking or copies:  # where none has it, the first one says so
                part.set_params(**{inner: own})
        return copies

    # Parameters are equal by value.  An estimator is more than its parameters: it is equal to
    # itself alone, and scikit-learn knows how to print it.
    def __eq__(self, other: object) -> bool:
        if hasattr(self, "fit"):
            return self is other
        return type(self) is type(other) and same(self.get_params(False), other.get_params(False))

    def __hash__(self) -> int:
        if hasattr(self, "fit"):
            return object.__hash__(self)
        raise TypeError(f"{type(self).__name__} cannot be hashed, as its parameters may change.")

    def _get_doc_link(self) -> str:
        """Return where scikit-learn's picture of an estimator links to, or nothing.

        It is the page of the class in the site whose address the environment variable
        ``SKLSTRUCT_DOCS`` holds.  Classes of others have no page there.
        """
        site, name = os.environ.get("SKLSTRUCT_DOCS", ""), type(self).__name__
        public = getattr(sys.modules[__package__], name, None) is type(self)
        return f"{site}/api/generated/sklstruct.{name}.html" if site and public else ""

    def __repr__(self, *args: Any, **kwargs: Any) -> str:
        if hasattr(self, "fit"):
            return super().__repr__(*args, **kwargs)
        params = ", ".join(f"{k}={v!r}" for k, v in self.get_params(deep=False).items())
        return f"{type(self).__name__}({params})"


def _check_annotated(cls: type) -> None:
    """Raise TypeError if a dataclass has a value that its author may take for a parameter."""
    bases = cls.__mro__[1:]
    known: dict[str, Any] = cls.__dataclass_fields__  # type: ignore[attr-defined]
    constants = {name for base in bases for name in vars(base)} - {one.name for one in fields(cls)}
    # A field that has a type here is another object than that of a base.
    inherited = [getattr(base, "__dataclass_fields__", {}) for base in bases]
    for name, value in vars(cls).items():
        typed = name in known and all(one.get(name) is not known[name] for one in inherited)
        ours = name.startswith("_") or callable(value) or hasattr(value, "__get__")
        if not (typed or ours or name in constants):
            raise TypeError(
                f"{name} of {cls.__name__} has no type, and so is no parameter: write {name}: "
                f"{type(value).__name__} = {value!r}, or {name}: ClassVar = {value!r} for what is "
                "the same in all objects."
            )


def copy_of(params: Any) -> Any:
    """Return an object with the same parameters.

    Examples
    --------
    >>> from sklstruct.frames import Pixels
    >>> from sklstruct.params import copy_of
    >>> family = Pixels(size=3)
    >>> copy_of(family) == family, copy_of(family) is family
    (True, False)
    """
    return type(params)(**params.get_params(deep=False))


def same(one: Any, other: Any) -> bool:
    """Whether two values of a parameter are the same value, wherever in memory they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.params import same
    >>> same([1, 2], (1, 2)), same(np.zeros(3), np.zeros(3)), same(np.zeros(3), np.zeros(4))
    (True, True, False)
    """
    if one is other:
        return True
    if isinstance(one, Real) and isinstance(other, Real):
        return bool(one == other)  # 1 and np.int64(1) are, as a grid may hold either
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if hasattr(one, "tobytes"):  # an array
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if hasattr(one, "__code__"):  # a function, which another process may have sent a copy of
        parts = [
            (f.__code__, f.__defaults__, [cell.cell_contents for cell in f.__closure__ or ()])
            for f in (one, other)
        ]
        return same(*parts)
    if type(one).__eq__ is object.__eq__ and hasattr(one, "__dict__"):
        return same(vars(one), vars(other))
    return bool(one == other)


def remembered(build: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that builds once for equal parameters, in this process.

    What it returns is shared, and so must not change.

    Parameters
    ----------
    build : callable
        Of parameter objects and numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.params import remembered
    >>> zeros = remembered(np.zeros)
    >>> zeros(3) is zeros(3)
    True
    """

    @lru_cache(maxsize=32)
    def from_bytes(key: bytes) -> Any:
        return build(*pickle.loads(key))

    # What pickles to equal bytes is built alike, also from another object.
    @wraps(build)
    def once(*args: Any) -> Any:
        try:
            key = pickle.dumps(args)  # two lists of equal numbers are no two keys
        except Exception:  # a class of a notebook, say
            return build(*args)
        return from_bytes(key)

    return once


def all_or_nothing(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method ``fit`` such that half a fit is none.

    Where it fails after anything was found out, all fitted attributes are taken away.

    See Also
    --------
    Params : Parameters as data.

    Examples
    --------
    >>> from sklstruct.params import all_or_nothing
    >>> class Mean:
    ...     @all_or_nothing
    ...     def fit(self, X):
    ...         self.n_ = len(X)
    ...         self.mean_ = sum(X) / self.n_
    >>> mean = Mean()
    >>> try:
    ...     mean.fit([])
    ... except ZeroDivisionError:
    ...     print(vars(mean))
    {}
    """

    @wraps(fit)
    def whole(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = dict(vars(self))
        try:
            return fit(self, *args, **kwargs)
        except BaseException:
            fitted = [name for name in vars(self) if name.endswith("_") and name[0] != "_"]
            if any(vars(self)[name] is not before.get(name) for name in fitted):
                for name in fitted:
                    del self.__dict__[name]
            raise

    return whole
