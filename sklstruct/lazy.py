"""Packages whose names are imported when they are first asked for, as their stubs say."""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and the ``__dir__`` of a package.

    Its stub ``__init__.pyi`` says by plain imports where every name lives, to checkers of types
    too, so that listing what is installed loads neither torch nor scikit-learn.

    Parameters
    ----------
    package, file : str
        Its ``__name__`` and its ``__file__``.
    """
    homes = {
        alias.asname or alias.name: ("." * node.level + (node.module or ""), alias.name)
        for node in ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def __getattr__(name: str) -> Any:
        if name == "__all__":
            return sorted(homes)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, attribute = homes[name]
        return getattr(import_module(home, package), attribute)

    def __dir__() -> list[str]:
        own = vars(sys.modules[package]).items()  # hooks among them, which pluggy looks for here
        defined = {name for name, value in own if getattr(value, "__module__", None) == package}
        return sorted(defined | homes.keys())

    return __getattr__, __dir__
