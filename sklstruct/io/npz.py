"""Data sets from NumPy files, which are read but never unpickled."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..plugins import close_matches
from .dataset import Dataset
from .reading import check_growth, open_file, open_zip, read_member

GROWTH = 20  # how many times its size a file may become, as data seldom grow tenfold
TEST = {"X_test": "X_test", "y_test": "y_test"}
LAYOUTS = (  # what the parts of a data set are called; the last are those of MedMNIST
    {"X": "X", "y": "y", **TEST},
    {"X": "X_train", "y": "y_train", **TEST},
    {
        f"{role}{part}": f"{name}_{values}"
        for part, name in {"": "train", "_val": "val", "_test": "test"}.items()
        for role, values in {"X": "images", "y": "labels"}.items()
    },
)
PARTS = {key for layout in LAYOUTS for key in layout.values()}

Arrays = dict[str, NDArray[Any]]


def read_npz(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    target: str | None = None,
    groups: str = "groups",
    validation: bool = True,
) -> Dataset:
    """Return the data set in an ``.npz`` file.

    Parameters
    ----------
    path : str or path-like
        File with the keys X and y, or X_train and y_train, and perhaps X_test and y_test; or
        with those of MedMNIST, train_images, train_labels, val_images and so on.  Other keys are
        not read.
    name : str, default=None
        Name of the data set; that of the file if left out.
    target : str, default=None
        Key of labels in place of y, those of test samples under ``<target>_test``.
    groups : str, default="groups"
        Key of the groups that samples of X belong to, if the file has it.
    validation : bool, default=True
        Whether val_images join train_images; they are not read if not.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    OSError
        If the file is not there or may not be read.
    ValueError
        If it is damaged, holds pickled objects or other keys, or no data set.

    See Also
    --------
    load_dataset : From a name, a file or a folder.
    read_data : With sites too, and samples without labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.io import read_npz
    >>> np.savez_compressed("images.npz", X=np.zeros((10, 8, 8)), y=np.arange(10) % 2)
    >>> read_npz("images.npz")
    Dataset('images', 10 samples of 8x8, 2 labels)
    """
    path = Path(path)
    parts = read_parts(path, target=target, validation=validation, usual_groups=groups)
    parts.pop("sites", None)
    return as_dataset(path, name or path.stem, parts)


def as_dataset(path: Path, name: str, parts: Arrays) -> Dataset:
    """Return the data set of its parts, or raise a ValueError that names the file."""
    try:
        return Dataset(name, **parts)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_parts(
    path: Path,
    *,
    labels: bool = True,
    target: str | None = None,
    groups: str | None = None,
    sites: str | None = None,
    validation: bool = True,
    usual_groups: str = "groups",
) -> Arrays:
    """Return X, y, X_test, y_test, groups and sites, those of them that a file has.

    Without ``labels``, X alone is enough, or X_test, and nothing else is read.  Keys that are
    asked for must be there, the usual ones need not.
    """
    wanted: dict[str, str] = {}  # what each part is called in the file

    def choose(keys: set[str]) -> set[str]:
        layout = layout_of(path, keys, labels and target is None)
        if target is not None:
            layout |= {"y": key_of(path, target, "target", keys), "y_test": f"{target}_test"}
        if not labels:
            layout = {role: key for role, key in layout.items() if role.startswith("X")}
        if not validation:
            layout = {role: key for role, key in layout.items() if not role.endswith("_val")}
        wanted.update((role, key) for role, key in layout.items() if key in keys)
        usual = {"groups": (groups, usual_groups), "sites": (sites, "sites")}
        for role, (key, default) in usual.items():
            if key is not None or (labels and default in keys):
                wanted[role] = key_of(path, key or default, role, keys)
        return {*wanted.values()}

    arrays = read_arrays(path, choose)
    parts = {role: arrays[key] for role, key in wanted.items()}
    for role in ("X", "y"):
        if (more := parts.pop(f"{role}_val", None)) is not None:
            parts[role] = np.concatenate([parts[role], more])
    for role in {"y", "y_test"} & {*parts}:  # MedMNIST has a column of labels
        if wanted[role].endswith("_labels") and parts[role].shape[1:] == (1,):
            parts[role] = parts[role][:, 0]
    return parts


def layout_of(path: Path, keys: set[str], labelled: bool) -> dict[str, str]:
    """Return what the parts of a data set are called in a file with some keys."""
    needed = ("X", "y") if labelled else ("X",)
    found = [layout for layout in LAYOUTS if all(layout[role] in keys for role in needed)]
    if not found and not labelled and "X_test" in keys:
        return {"X": "X_test"}
    if len(found) != 1:
        pairs = [" and ".join(layout[role] for role in needed) for layout in LAYOUTS]
        raise ValueError(
            f"{path} must hold either the keys {' or the keys '.join(pairs)}, got "
            f"{', '.join(sorted(keys & PARTS)) or 'none of them'}."
        )
    return dict(found[0])


def key_of(path: Path, key: str, role: str, keys: set[str]) -> str:
    """Return a key that somebody has asked for, or raise a ValueError if it is not there."""
    if key not in keys:
        raise ValueError(
            f"{path} has no key {key!r} for the {role}.{close_matches(key, keys)} "
            f"Keys: {', '.join(sorted(keys))}."
        )
    return key


def read_arrays(path: Path, choose: Callable[[set[str]], set[str]]) -> Arrays:
    """Return those arrays of an ``.npz`` file whose keys are chosen out of all."""
    # np.load takes what is no zip archive for a pickle, and tells its user to allow it.
    with open_file(path) as stream:
        with sound(path):
            archive = open_zip(stream)
            found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = {key: found[key] for key in choose({*found})}
        with sound(path):
            # Of the parts that are read: the others may be there to make the file a large one.
            stored = sum(info.compress_size for info in chosen.values())
            taken = sum(info.file_size for info in chosen.values())
            check_growth(min(stored, path.stat().st_size), taken, GROWTH)
            return {key: read_member(archive, info.filename) for key, info in chosen.items()}


@contextmanager
def sound(path: Path) -> Iterator[None]:
    """Raise whatever is raised as a ValueError that names the file."""
    try:
        yield
    except Exception as error:  # zip, decompressors and headers fail in their own ways
        raise ValueError(f"{path} is not a sound .npz file of plain arrays: {error}") from error
