"""The data sets that are known by name."""

import os
from pathlib import Path

import numpy as np

from .dataset import Dataset
from .npz import read_npz

VARIABLE = "SKLSTRUCT_DATA"


def load_digits() -> Dataset:
    """Return the 1797 handwritten digits that come with scikit-learn, 8x8, scaled to 0..1.

    Examples
    --------
    >>> from sklstruct.io import load_dataset
    >>> load_dataset("digits")
    Dataset('digits', 1797 samples of 8x8, 10 labels)
    """
    from sklearn import datasets  # takes a second that other data sets do without

    digits = datasets.load_digits()
    return Dataset("digits", (digits.images / 16).astype(np.float32), digits.target)


# Nothing is downloaded: a study must not depend on what a server gives out on the day.


def load_mnist() -> Dataset:
    """Return the MNIST digits from ``mnist.npz`` in the data folder.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.io import load_dataset
    >>> X, y = np.zeros((3, 28, 28), np.uint8), np.arange(3)  # the real ones in place of these
    >>> np.savez("mnist.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    >>> load_dataset("mnist", root=".")
    Dataset('mnist', 3 samples of 28x28 and 3 for testing, 3 labels)
    """
    return load_file("mnist")


def load_cifar10() -> Dataset:
    """Return the CIFAR-10 images from ``cifar10.npz`` in the data folder.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.io import load_dataset
    >>> X, y = np.zeros((3, 32, 32, 3), np.uint8), np.arange(3)  # the real ones in place of these
    >>> np.savez("cifar10.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    >>> load_dataset("cifar10", root=".")
    Dataset('cifar10', 3 samples of 32x32x3 and 3 for testing, 3 labels)
    """
    return load_file("cifar10")


def load_gtsrb() -> Dataset:
    """Return the German traffic signs from ``gtsrb.npz`` in the data folder.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.io import load_dataset
    >>> X, y = np.zeros((3, 32, 32, 3), np.uint8), np.arange(3)  # the real ones in place of these
    >>> np.savez("gtsrb.npz", X_train=X, y_train=y, X_test=X, y_test=y)
    >>> load_dataset("gtsrb", root=".")
    Dataset('gtsrb', 3 samples of 32x32x3 and 3 for testing, 3 labels)
    """
    return load_file("gtsrb")


def data_folder() -> Path | None:
    """Return the folder that the environment variable SKLSTRUCT_DATA names, if it does."""
    folder = os.environ.get(VARIABLE)
    return Path(folder).expanduser() if folder else None


def load_file(name: str) -> Dataset:
    """Return the data set ``NAME.npz`` of the data folder.

    Raises
    ------
    FileNotFoundError
        If the environment variable is not set, or the file is not in the folder.
    """
    folder = data_folder()
    if folder is None or not (path := folder / f"{name}.npz").is_file():
        absent = "" if folder is None else f", and there is no {path}"
        raise FileNotFoundError(
            f"The data set {name!r} is read from a file{absent}: set the environment variable "
            f"{VARIABLE} to the folder that holds {name}.npz."
        )
    return read_npz(path, name)
