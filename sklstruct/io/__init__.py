"""Data in and out: data sets by name, from files and folders; volumes and cohorts of subjects."""

from typing import Any

from ..hookspecs import hookimpl
from ..lazy import attach

__getattr__, __dir__ = attach(__name__, __file__)


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide the transformers from files to volumes, and to regional means."""
    return {
        "nifti_volumes": "sklstruct.io.nifti.estimator:NiftiVolumes",
        "region_means": "sklstruct.io.nifti.regions:RegionMeans",
    }
