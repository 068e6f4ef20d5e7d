"""Data sets from NumPy files, which are read but never unpickled."""

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .dataset import Dataset
from .reading import check_growth, open_file, open_zip, read_member

GROWTH = 20  # how many times its size a file may become, as data seldom grow tenfold
KEYS = (("X", "y"), ("X_train", "y_train"))


def read_npz(
    path: str | os.PathLike[str], name: str | None = None, *, groups: str = "groups"
) -> Dataset:
    """Return the data set in an ``.npz`` file.

    Parameters
    ----------
    path : str or path-like
        File with the keys X and y, or X_train and y_train, and perhaps X_test and y_test.
        Other keys are not read.
    name : str, default=None
        Name of the data set; that of the file if left out.
    groups : str, default="groups"
        Key of the groups that samples of X belong to, if the file has it.

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

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.io import read_npz
    >>> np.savez_compressed("images.npz", X=np.zeros((10, 8, 8)), y=np.arange(10) % 2)
    >>> read_npz("images.npz")
    Dataset('images', 10 samples of 8x8, 2 labels)
    """
    path = Path(path)
    others = "X_test", "y_test", groups
    arrays = read_arrays(path, {key for keys in (*KEYS, others) for key in keys})
    found = [keys for keys in KEYS if set(keys) <= arrays.keys()]
    if len(found) != 1:
        raise ValueError(
            f"{path} must hold either the keys X and y or the keys X_train and y_train, got "
            f"{', '.join(sorted(arrays)) or 'none of them'}."
        )
    X, y = (arrays[key] for key in found[0])
    try:
        return Dataset(name or path.stem, X, y, *map(arrays.get, others))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_arrays(path: Path, keys: set[str]) -> dict[str, NDArray[Any]]:
    """Return those arrays of an ``.npz`` file that have one of the keys."""
    # np.load takes what is no zip archive for a pickle, and tells its user to allow it.
    with open_file(path) as stream:
        try:
            archive = open_zip(stream)
            found = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            found = {key: info for key, info in found.items() if key in keys}
            # Of the parts that are read: the others may be there to make the file a large one.
            stored = sum(info.compress_size for info in found.values())
            taken = sum(info.file_size for info in found.values())
            check_growth(min(stored, path.stat().st_size), taken, GROWTH)
            return {key: read_member(archive, info.filename) for key, info in found.items()}
        except Exception as error:  # zip, decompressors and headers fail in their own ways
            raise ValueError(f"{path} is not a sound .npz file of plain arrays: {error}") from error
