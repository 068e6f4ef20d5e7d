"""Data in and out: data sets by name, from files and folders; volumes and cohorts of subjects."""

import importlib
from typing import Any

from ..hookspecs import hookimpl

_HOMES = {
    "Cohort": "cohort",
    "Dataset": "dataset",
    "NiftiVolumes": "nifti.estimator",
    "OfRegions": "nifti.regions",
    "RegionMeans": "nifti.regions",
    "atomic_write": "atomic",
    "check_leakage": "leakage",
    "check_volume": "nifti",
    "find_volumes": "nifti",
    "load_dataset": "loading",
    "read_image_folder": "image_folder",
    "read_npz": "npz",
    "simulate_cohort": "simulate",
}


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the transformers from files to volumes, and to regional means."""
    return {
        "nifti_volumes": "sklstruct.io.nifti.estimator:NiftiVolumes",
        "region_means": "sklstruct.io.nifti.regions:RegionMeans",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
