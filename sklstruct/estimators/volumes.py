"""Estimators of volumes, made to take the paths of scans."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags

from ..io.nifti import read_grid
from ..io.nifti.estimator import NiftiVolumes


def on_paths(estimator: Any, **nifti_params: Any) -> Any:
    """Return an estimator that takes paths of scans where this one takes volumes.

    Grid, mask and scaling are then found by ``fit``, on the training scans only.

    Parameters
    ----------
    estimator : estimator
        Of volumes (n, D, H, W), or one that takes paths already; or, for a study, a pair of it and
        of what is searched in it, by names of its parameters.
    **nifti_params
        Parameters of ``NiftiVolumes``.

    Returns
    -------
    estimator : Pipeline or estimator
        ``NiftiVolumes`` and the estimator.  If that takes paths, itself; or, if its parameter
        ``volumes`` is None, a clone that has ``NiftiVolumes`` there.  Of a pair, a pair.

    See Also
    --------
    NiftiVolumes : From paths to volumes.

    Examples
    --------
    >>> from sklstruct import RegionSVC, VoxelSVC
    >>> from sklstruct.estimators import on_paths
    >>> on_paths(VoxelSVC(), spacing=8.0)
    Pipeline(steps=[('niftivolumes', NiftiVolumes(spacing=8.0)),
                    ('voxelsvc', VoxelSVC())])
    >>> on_paths(RegionSVC(atlas="atlas.nii.gz"), spacing=8.0)
    RegionSVC(atlas='atlas.nii.gz', volumes=NiftiVolumes(spacing=8.0))
    """
    if isinstance(estimator, tuple):
        plain, searched = estimator
        whole = on_paths(plain, **nifti_params)
        step = "" if takes_paths(plain) else f"{whole.steps[-1][0]}__"
        return whole, {f"{step}{name}": values for name, values in searched.items()}
    if not takes_paths(estimator):
        return make_pipeline(NiftiVolumes(**nifti_params), estimator)
    # What reads paths itself, as RegionSVC, is told how; but never against its own parameters.
    if estimator.get_params(deep=False).get("volumes", estimator) is None:
        return clone(estimator).set_params(volumes=NiftiVolumes(**nifti_params))
    return estimator


def common_grid(first: Any, spacing: Any = None) -> dict[str, Any]:
    """Return parameters of ``NiftiVolumes`` that give all splits of a study the same volumes.

    Parameters
    ----------
    first : str or path-like
        The scan whose grid is that of all.
    spacing : float or tuple of float, default=None
        Edge of a voxel in mm; None is that of the scan.
    """
    grid = read_grid(first)
    grid = grid if spacing is None else grid.with_spacing(spacing)
    # As numbers, not as a path: a study must be the same one where its scans have moved to.
    return {"shape": grid.shape, "affine": grid.affine.tolist(), "spacing": None}


def takes_paths(estimator: Any) -> bool:
    """Whether an estimator, or the first step of a pipeline, takes paths of scans."""
    tags = get_tags(steps_of(estimator)[0]).input_tags  # text classifiers take strings in rows
    return bool(tags.string and not tags.two_d_array)


def last_step(estimator: Any) -> Any:
    """Return the step of a pipeline that predicts, or the estimator itself."""
    return steps_of(estimator)[-1]


def steps_of(estimator: Any) -> list[Any]:
    """Return the steps of a pipeline, or the estimator as the only one."""
    if isinstance(estimator, Pipeline):
        return [step for _, step in estimator.steps]
    return [estimator]
