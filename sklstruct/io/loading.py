"""From what a user writes to a data set: a name, a file or a folder."""

import os
from pathlib import Path

from ..plugins import entries, lookup
from .dataset import Dataset
from .image_folder import read_image_folder
from .npz import read_npz

VARIABLE = "SKLSTRUCT_DATA"


def data_folder() -> Path | None:
    """Return the folder that the environment variable SKLSTRUCT_DATA names, if it does."""
    folder = os.environ.get(VARIABLE)
    return Path(folder).expanduser() if folder else None


def load_dataset(
    source: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> Dataset:
    """Return a data set for a name, a file or a folder.

    Parameters
    ----------
    source : str or path-like
        A registered name, such as those of ``sklstruct.datasets``; or the name of a file
        ``NAME.npz`` in the data folder; or the path to an ``.npz`` file (see ``read_npz``) or to
        a folder with one subfolder of images a class (see ``read_image_folder``).  A registered
        name comes first: write ``./digits`` for a folder of that name.
    root : str or path-like, default=None
        A data folder that comes before the registered names.  If None, the one that the
        environment variable SKLSTRUCT_DATA names, after them.

    Returns
    -------
    dataset : Dataset

    Raises
    ------
    FileNotFoundError
        If there is nothing at a path, or not the file of a registered data set.
    ValueError
        If a name is unknown, with the close matches; or if the data cannot be used, or are not
        what a registered name stands for.

    See Also
    --------
    read_npz, read_image_folder : Where the files are.

    Examples
    --------
    >>> from sklstruct.io import load_dataset
    >>> load_dataset("digits")
    Dataset('digits', 1797 samples of 8x8, 10 labels)
    """
    path = Path(source).expanduser()
    is_name = isinstance(source, str) and path.name == source and path.suffix != ".npz"
    file = find_file(str(source), root) if is_name else path
    if file is not None:
        return read_image_folder(file) if file.is_dir() else read_npz(file)
    try:
        load = lookup("dataset", str(source))
    except ValueError as error:
        searched = root or data_folder() or f"the folder that {VARIABLE} would name"
        raise ValueError(f"{error} There is no {source}.npz in {searched} either.") from None
    return load()


def find_file(name: str, root: str | os.PathLike[str] | None) -> Path | None:
    """Return the file or folder that a name stands for, or None if it is to be looked up."""
    file, folder = f"{name}.npz", data_folder()
    places = [] if root is None else [Path(root, file)]
    # A file must not take the place of what has a name: a study would be of other data by chance.
    if name not in entries("dataset"):
        places += [*([] if folder is None else [folder / file]), Path(name)]
    return next(filter(Path.exists, places), None)
