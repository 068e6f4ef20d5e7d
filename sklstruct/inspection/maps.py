"""Where a model looked in the scans of a cohort, written as NIfTI."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length

from .. import __version__
from ..io.atomic import new_folder, write_json
from ..io.nifti.estimator import NiftiVolumes
from ..studies.study import progress_bar
from .map_display import MapDisplay
from .map_statistics import Group, GroupMoments, Moments
from .pictured import predictions, samples_shown
from .sample_maps_display import SampleMapsDisplay
from .steps import parts_of

Array = NDArray[Any]
Attribution = Callable[[Any, Any, Any], Array]
SHOWN = 24  # samples in a picture
KINDS = {"true": "label", "predicted": "predicted"}  # of groups, and where their labels stand


def write_maps(
    model: Any,
    X: Any,
    out: str | PathLike[str],
    attribution: Attribution,
    *,
    target: Any = None,
    y: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
    label: str = "",
    progress: bool = True,
) -> Path:
    r"""Write the map of every scan, the averages over subjects, and pictures of these.

    .. math::
        \bar m = \frac{1}{n} \sum_s m_s, \qquad
        d^2 = \frac{1}{n - 1} \sum_s (m_s - \bar m)^2, \qquad
        t = \frac{\sqrt n \, \bar m}{d}

    over the maps of n subjects s, each the mean over the scans of the subject.  The t-map says
    how steady a map is from subject to subject; it is no test of the model.

    Scans are read and explained one by one, so that memory does not grow with their number.

    Parameters
    ----------
    model : fitted pipeline of NiftiVolumes and an estimator
        Or a search of one.
    X : array-like of str or path-like, shape (n,)
        Scans, in any form that ``NiftiVolumes`` takes.
    out : path-like
        Folder to write, which must be absent or empty.  It is there as a whole or not at all.
    attribution : callable
        Maps (estimator, volumes, target) to maps of the shape of the volumes, (n, D, H, W):
        ``integrated_gradients``, ``grad_cam_map`` and the like, or with parameters,
        ``functools.partial(occlusion_map, size=5)``.
    target : label, default=None
        What the maps are about, as the attribution takes it.  Give it where there are more than
        two classes, lest maps of different ones be averaged.
    y : array-like, shape (n,), default=None
        Labels.  With those of a classifier, there are averages over each true and each
        predicted class too; and where there are two classes, the average over the last one
        minus that over the first, with Welch's t.
    subjects : array-like, shape (n,), default=None
        Whose the scans are; if None, each is of another subject.
    label : str, default=""
        What the values of the maps are, for the pictures.
    progress : bool, default=True
        Whether to show a progress bar on standard error.

    Returns
    -------
    out : Path
        In it, ``scans/NAME_map.nii.gz`` are the maps in the spaces of the scans, where NAME are
        the entities of a BIDS name, and ``scans.csv`` is their table.  On the common grid are
        ``group/GROUP_stat-mean_map.nii.gz``, ``stat-std`` and ``stat-t``, and
        ``mean_volume.nii.gz``; ``group/GROUP.png`` shows the mean map over the mean volume.
        GROUP is ``all``, ``true-CLASS``, ``predicted-CLASS`` or ``difference-CLASS-CLASS``.
        ``maps.json`` says what was done.  Outside the mask of the volumes, maps are zero.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it does not begin with NiftiVolumes, or the attribution cannot explain its estimator.
    OSError, ValueError
        If the folder is not empty or cannot be written, a scan is not sound, or y or subjects
        have another length.

    See Also
    --------
    write_array_maps : The same for images.

    Examples
    --------
    >>> from functools import partial
    >>> from sklstruct import VoxelSVC
    >>> from sklstruct.estimators import on_paths
    >>> from sklstruct.inspection import occlusion_map, write_maps
    >>> from sklstruct.datasets import simulate_cohort
    >>> cohort = simulate_cohort("study", n_subjects=8, shape=(16, 16, 16), spacing=12.0)
    >>> model = on_paths(VoxelSVC()).fit(cohort.X, cohort.y)
    >>> out = write_maps(model, cohort.X[:2], "maps", partial(occlusion_map, size=8))
    >>> sorted(file.name for file in out.iterdir())
    ['group', 'maps.json', 'mean_volume.nii.gz', 'scans', 'scans.csv']
    """
    volumes, estimator = parts_of(model)
    scans = volumes.lazy(X)
    table = table_of(scans.paths, y, subjects)
    average, groups = Moments(), GroupMoments()  # not arrays of all maps
    bar = progress_bar("maps", len(table), "scan", progress)
    with new_folder(Path(out)) as folder, bar:
        for part in ("scans", "group"):
            (folder / part).mkdir()
        for _, own in table.groupby("subject", sort=False, dropna=False):
            of_subject = GroupMoments()
            for row in own.index:
                sample = scans[row][np.newaxis]
                values = attribution(estimator, sample, target)[0]
                if volumes.mask_ is not None:  # outside, volumes are the same for all
                    values = np.where(volumes.mask_, values, 0)
                volumes.to_nifti(values, folder / table["map"][row], subject=scans.paths[row])
                average.add(sample[0])
                table.at[row, "predicted"] = predictions(estimator, sample)[0]
                of: list[Group] = [("all",)]
                if y is not None and is_classifier(estimator):
                    of += [(kind, table.at[row, name]) for kind, name in KINDS.items()]
                for group in of:
                    of_subject[group].add(values)
                bar.update()
            for group, moments in of_subject.items():  # scans of one subject count as one
                groups[group].add(moments.mean)
        volumes.to_nifti(average.mean, folder / "mean_volume.nii.gz")
        write_groups(groups, volumes, average.mean, label, folder / "group")
        table.to_csv(folder / "scans.csv", index=False, lineterminator="\n")
        counts = {"n_scans": len(table), "n_subjects": table["subject"].nunique()}
        describe(folder, model, label, about(estimator, target), **counts)
    return Path(out)


def write_array_maps(
    estimator: Any,
    X: Any,
    out: str | PathLike[str],
    attribution: Attribution,
    *,
    names: Iterable[str],
    target: Any = None,
    label: str = "",
) -> Path:
    r"""Write the maps of samples that are arrays, and a picture of the first ones.

    Parameters
    ----------
    estimator : fitted estimator
    X : ndarray, shape (n, ...)
    out : path-like
        Folder to write, which must be absent or empty.  It is there as a whole or not at all.
    attribution : callable
        As of ``write_maps``.
    names : iterable of str
        What samples are called.
    target : label, default=None
        What the maps are about, as the attribution takes it.
    label : str, default=""
        What the values of the maps are, for the picture.

    Returns
    -------
    out : Path
        In it, ``maps.npy`` are the maps, (n, \*spatial); ``samples.csv`` are names and
        predictions; ``maps.png`` shows the first samples and their maps in common colours; and
        ``maps.json`` says what was done.

    Raises
    ------
    OSError, ValueError
        If the folder is not empty or cannot be written, or X has another shape than in training.

    See Also
    --------
    write_maps : The same for scans.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RFNNClassifier
    >>> from sklstruct.inspection import gradient_map, write_array_maps
    >>> X, y = load_digits().images[:50], load_digits().target[:50]
    >>> model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, y)
    >>> out = write_array_maps(model, X[:3], "maps", gradient_map, names=["a", "b", "c"], target=7)
    >>> sorted(file.name for file in out.iterdir())
    ['maps.json', 'maps.npy', 'maps.png', 'samples.csv']
    """
    maps = attribution(estimator, X, target)
    names, predicted = list(names), predictions(estimator, X)
    with new_folder(Path(out)) as folder:
        np.save(folder / "maps.npy", maps)
        table = pd.DataFrame({"sample": names, "predicted": predicted})
        table.to_csv(folder / "samples.csv", index=False, lineterminator="\n")
        titles = [
            name if said is None else f"{name}: {said}"
            for name, said in zip(names, predicted, strict=True)
        ]
        shown = samples_shown(estimator, X[:SHOWN], maps.shape[1:])
        SampleMapsDisplay(shown, maps[:SHOWN], titles[:SHOWN], label=label).save(
            folder / "maps.png"
        )
        describe(folder, estimator, label, about(estimator, target), n_samples=len(maps))
    return Path(out)


def describe(folder: Path, model: Any, values: str, target: str, **counts: int) -> None:
    """Write what maps are of, and what made them."""
    made_by = {"made_by": f"sklstruct {__version__}", "model": repr(model)}
    write_json(folder / "maps.json", {**made_by, "values": values, "target": target, **counts})


def about(estimator: Any, target: Any) -> str:
    """Return what maps are about, in words where no target was named."""
    if target is not None:
        return str(target)
    if not is_classifier(estimator):
        return "the prediction"
    classes = estimator.classes_
    return str(classes[-1]) if len(classes) == 2 else "the class that is predicted"


def table_of(scans: list[Any], y: Any, subjects: Any) -> pd.DataFrame:
    """Return one row a scan: where it is, whose, where its map goes, and its label."""
    check_consistent_length(scans, y, subjects)
    paths = [  # an image of nibabel may be in memory only
        scan if isinstance(scan, Path) else Path(scan.get_filename() or f"scan-{number}")
        for number, scan in enumerate(scans)
    ]
    # Names of scans are those of the maps, so that tools find which belong together.
    owners = np.arange(len(paths)) if subjects is None else np.asarray(subjects)
    files = [f"scans/{name}_map.nii.gz" for name in distinct(map(bids_name, paths))]
    table = pd.DataFrame({"scan": [*map(str, paths)], "subject": owners, "map": files})
    if y is not None:
        table["label"] = np.asarray(y).tolist()
    return table.assign(predicted=None)


def mean_volume(volumes: Iterable[Array]) -> Array:
    """Return the mean of volumes that are read one after another."""
    moments = Moments()
    for volume in volumes:
        moments.add(volume)
    return np.asarray(moments.mean, np.float32)


def write_groups(
    groups: GroupMoments, volumes: NiftiVolumes, average: Array, label: str, folder: Path
) -> None:
    """Write the maps of all groups, and draw their means over the average volume."""
    for group, maps in groups.statistics():
        # A label may be any text, "a/b" too.
        name = "-".join(quote(str(word), safe="") for word in group)
        for stat, values in maps.items():
            volumes.to_nifti(values, folder / f"{name}_stat-{stat}_map.nii.gz")
        shown: dict[str, Any] = {"title": in_words(*group), "label": label}
        MapDisplay(maps["mean"], average, affine=volumes.affine_, **shown).save(
            folder / f"{name}.png"
        )


def in_words(kind: str, *labels: Any) -> str:
    """Return what a group map is."""
    if kind == "difference":
        return "Mean map of {} minus that of {}".format(*labels)
    return "Mean map of all" if kind == "all" else f"Mean map of those {kind} {labels[0]}"


def bids_name(path: Path) -> str:
    """Return the entities of the name of a scan, sub-01_ses-2; its whole name if there are none."""
    name = re.sub(r"\.nii(\.gz)?$", "", path.name)
    entities = [part for part in name.split("_") if "-" in part]
    return "_".join(entities) if name.startswith("sub-") else name


def distinct(names: Iterable[str]) -> list[str]:
    """Return names, those that occur more than once with numbers that make them unique."""
    names = list(names)
    taken, times = set(names), Counter(names)
    numbered = []
    for name in names:
        if times[name] > 1:
            name = next(new for k in count(1) if (new := f"{name}_number-{k}") not in taken)
        taken.add(name)
        numbered.append(name)
    return numbered
