"""Parameter objects that scikit-learn can clone, print and search, without scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass
class Params:
    """Base of dataclasses whose fields are parameters in the scikit-learn sense.

    Nothing is checked on construction or by ``set_params``, as everywhere in scikit-learn:
    a parameter is judged where it is used.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; ``deep`` is there for scikit-learn."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name and return the object.

        Raises
        ------
        ValueError
            If there is no parameter of that name; nothing is set then.
        """
        known = self.get_params()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for {type(self).__name__}. "
                    f"Valid parameters are: {list(known)}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self
