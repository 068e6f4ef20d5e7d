"""Data in and out: data sets by name, from ``.npz`` files and from folders of images."""

import importlib
from typing import Any

from ..hookspecs import hookimpl

_HOMES = {
    "Dataset": "dataset",
    "atomic_write": "atomic",
    "load_dataset": "loading",
    "read_image_folder": "image_folder",
    "read_npz": "npz",
}


@hookimpl
def register_datasets() -> dict[str, Any]:
    """Provide the data sets that the suite knows by name."""
    return {
        "digits": "sklstruct.io.known:load_digits",
        "mnist": "sklstruct.io.known:load_mnist",
        "cifar10": "sklstruct.io.known:load_cifar10",
        "gtsrb": "sklstruct.io.known:load_gtsrb",
    }


def __getattr__(name: str) -> Any:  # importing this package for listing must stay fast
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
