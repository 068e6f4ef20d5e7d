"""Parameters that may be given by name, and names that reach worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

from sklearn.base import BaseEstimator

from .. import plugins
from .augment import augmentation


class NamedParameters(BaseEstimator):
    """Let ``frame="gaussian"`` be set like ``frame=GaussianDerivatives()``, and pickle names.

    ``set_params(frame__order=2)`` replaces a name by the object that it stands for and sets the
    parameter there.  A name that was registered at run time is pickled with what it stands for.
    """

    _resolve: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "frame": plugins.make_frame,
        "augment": augmentation,
    }

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones too, and return the estimator.

        Raises
        ------
        ValueError
            If there is no such parameter, or a nested one is set on a value that has none.
        """
        super().set_params(**{name: value for name, value in params.items() if "__" not in name})
        nested = {name: value for name, value in params.items() if "__" in name}
        for head in {name.partition("__")[0] for name in nested}:
            self._make_settable(head)
        return super().set_params(**nested)

    def _make_settable(self, head: str) -> None:
        value = self.get_params(deep=False).get(head, self)
        if isinstance(value, str) and head in self._resolve:
            value = self._resolve[head](value)
            setattr(self, head, value)
        if not hasattr(value, "set_params"):
            raise ValueError(
                f"Parameters of {head!r} cannot be set on {type(self).__name__}: "
                f"{head}={value!r} has none of its own."
            )

    def __getstate__(self) -> dict[str, Any]:
        used = set(strings_in(self.get_params(deep=False)))
        here = plugins.run_time_entries()  # one of them may ask for another
        carried = here if any(entry.name in used for entry in here) else []
        return {**super().__getstate__(), **({"_carried": carried} if carried else {})}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for entry in state.pop("_carried", []):
            plugins.register(entry.kind, entry.name, entry.target)
        super().__setstate__(state)


def strings_in(value: Any) -> Iterator[str]:
    """Yield the strings in nested dicts and sequences."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from strings_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from strings_in(part)
