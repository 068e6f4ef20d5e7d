"""What every structured network has to beat: classical learners on pixels and voxels."""

from typing import Any

from sklstruct import hookimpl


@hookimpl
def register_estimators() -> dict[str, Any]:
    """Provide linear models and kernel machines on pixels, voxels, components and regions."""
    return {
        "svm": "sklstruct_baselines.svm:PixelSVC",
        "voxel_svm": "sklstruct_baselines.voxels:VoxelSVC",
        "voxel_ridge": "sklstruct_baselines.voxels:VoxelRidge",
        "pca_svm": "sklstruct_baselines.pca:PCASVC",
        "region_svm": "sklstruct_baselines.regions:RegionSVC",
    }
