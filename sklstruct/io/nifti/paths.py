"""From what a user writes to paths: lists, columns, patterns and BIDS folders."""

import os
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import SpatialImage

from ...compat import BaseEstimator
from ...params import Params, instance_of

PATTERN = "sub-*/**/*_T1w.nii*"
PATH = instance_of("a path", str, os.PathLike)
VOLUME = PATH | instance_of("an image of nibabel", SpatialImage)


class TakesPaths(Params, BaseEstimator):
    """Base of estimators that take paths, and no rows of numbers.

    Attributes
    ----------
    n_features_in_ : int
        One, the path.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def find_volumes(X: Any, pattern: str = PATTERN) -> list[Any]:
    """Return the paths that a user means, and the images in memory as they are.

    Parameters
    ----------
    X : array-like of str, path-like or image, shape (n,) or (n, 1); or one of these
        Paths and images of nibabel as they are; or the name of a file, a pattern such as
        ``"scans/*.nii.gz"`` (``**`` for any folders), or a folder in which ``pattern`` is looked
        for.
    pattern : str, default="sub-*/**/*_T1w.nii*"
        What to find in a folder; the default finds the T1 scans of a BIDS folder, and none of
        its derivatives.

    Returns
    -------
    paths : list of Path or image
        In the order given; those found, in alphabetical order.

    Raises
    ------
    FileNotFoundError
        If a pattern or a folder has no such file.
    TypeError
        If an entry is neither a path nor an image.
    ValueError
        If there are none, or X has several columns.

    See Also
    --------
    NiftiVolumes : Reads what is found.

    Examples
    --------
    >>> from sklstruct.datasets import simulate_cohort
    >>> from sklstruct.io import find_volumes
    >>> cohort = simulate_cohort("study", n_subjects=8, random_state=0)
    >>> len(find_volumes("study")), len(find_volumes("study/sub-000[12]/anat/*.nii.gz"))
    (8, 2)
    """
    if isinstance(X, (str, os.PathLike)):
        return found_by(os.path.expanduser(X), pattern)
    entries = np.asarray([X] if isinstance(X, SpatialImage) else X, dtype=object)
    if entries.ndim == 2 and entries.shape[1] == 1:
        entries = entries[:, 0]
    if entries.ndim != 1:
        raise ValueError(f"X must have one path a sample, got shape {entries.shape}.")
    if not len(entries):
        raise ValueError("X must have at least one path, got 0 samples.")
    for place, entry in enumerate(entries):
        if not isinstance(entry, (str, os.PathLike, SpatialImage)):
            raise TypeError(f"X must hold paths or images, but entry {place} is {entry!r}.")
    return [e if isinstance(e, SpatialImage) else Path(e).expanduser() for e in entries]


def found_by(text: str, pattern: str) -> list[Path]:
    """Return what one string stands for: a file, the files in a folder, or those of a pattern."""
    if os.path.isdir(text):
        names = glob(pattern, root_dir=text, recursive=True)
        names = [os.path.join(text, name) for name in names]
    elif has_magic(text) and not os.path.exists(text):  # a name may hold a bracket
        names = glob(text, recursive=True)
    else:
        return [Path(text)]
    if not names:
        sought = f" that matches {pattern!r}" if os.path.isdir(text) else ""
        raise FileNotFoundError(f"There is no file{sought} in {text!r}.")
    return [Path(name) for name in sorted(names)]
