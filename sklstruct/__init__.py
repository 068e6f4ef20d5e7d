"""Structured deep networks with a scikit-learn interface.

Estimators, layers and metrics of every installed plugin are importable from here by their names,
and are imported when first asked for: ``from sklstruct import RFNNClassifier``.
"""

import importlib
from typing import Any

from .architecture import Architecture as Architecture
from .hookspecs import hookimpl as hookimpl

__version__ = "0.1.0"

ROOMS = (
    *("datasets", "estimators", "frames", "inspection", "io", "layers", "params", "plugins"),
    *("studies", "testing", "training"),
)
IMPORTABLE = ("estimator", "layer", "metric")  # kinds


def __getattr__(name: str) -> Any:
    if name == "__all__":  # rooms are not in it, as one would hide the module io of Python
        return ["Architecture", "hookimpl", *(entry.attribute for entry in _classes())]
    if name in ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if not name.startswith("_"):
        for entry in _classes():
            if entry.attribute == name:
                return entry.load()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    core = ("Architecture", "hookimpl", "__version__")
    return sorted({*core, *ROOMS, *(entry.attribute for entry in _classes())})


def _classes() -> list[Any]:
    """Return the entries that are importable from here."""
    from .plugins import entries

    return [entry for kind in IMPORTABLE for entry in entries(kind).values()]
