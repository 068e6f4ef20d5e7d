"""The hooks of the plugin system, one sentence each.  This module imports only pluggy.

Every hook returns a dictionary from names to objects, or to references ``"module:object"``
that are imported on first use; references keep listing and importing fast.
"""

from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("sklstruct")
hookimpl = pluggy.HookimplMarker("sklstruct")


@hookspec
def register_frames() -> dict[str, Any]:  # type: ignore[empty-body]
    """Return ``{name: family}``, where ``family().build(ndim)`` gives a ``Frame``."""


@hookspec
def register_layers() -> dict[str, Any]:  # type: ignore[empty-body]
    """Return ``{name: layer}``, where ``layer(**params)`` gives a module to build networks from."""


@hookspec
def register_architectures() -> dict[str, Any]:  # type: ignore[empty-body]
    """Return ``{name: architecture}``, a class whose ``build`` gives a module."""


@hookspec
def register_estimators() -> dict[str, Any]:  # type: ignore[empty-body]
    """Return ``{name: make}``, where ``make()`` gives a scikit-learn estimator."""


@hookspec
def register_metrics() -> dict[str, Any]:  # type: ignore[empty-body]
    """Return ``{name: metric}``, a function that says how good predictions are."""


@hookspec
def register_datasets() -> dict[str, Any]:  # type: ignore[empty-body]
    """Return ``{name: load}``, where ``load()`` gives a ``sklstruct.io.Dataset``."""
