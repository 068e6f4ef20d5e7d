"""Published data sets of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..io import Dataset
from .sources import Folder, fetch


def load_digits(*, return_X_y: bool = False) -> Any:
    """Return the 1797 handwritten digits that come with scikit-learn, 8x8, scaled to 0..1.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return (X, y) in place of a data set.

    Returns
    -------
    data : Dataset
        X of float32, shape (1797, 8, 8), and y, shape (1797,).

    See Also
    --------
    fetch_mnist : More and larger ones.

    Examples
    --------
    >>> from sklstruct.datasets import load_digits
    >>> load_digits()
    Dataset('digits', 1797 samples of 8x8, 10 labels)
    >>> X, y = load_digits(return_X_y=True)
    """
    from sklearn import datasets  # takes a second that other data sets do without

    digits = datasets.load_digits()
    data = Dataset("digits", (digits.images / 16).astype(np.float32), digits.target)
    return (data.X, data.y) if return_X_y else data


def fetch_mnist(
    *,
    data_home: Folder | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Return the MNIST digits: 60000 images to train on and 10000 to test on, 28x28.

    They are read from ``mnist.npz``, with the keys X_train, y_train, X_test and y_test, in any
    order; if there is no such file, they are downloaded from OpenML (data set 554) and kept in one.
    Whatever they come from, images and labels must have the known SHA-256.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to read from and to download to.  If None, files are looked for in the folder that
        the environment variable SKLSTRUCT_DATA names, then in ``~/.cache/sklstruct``, where
        downloads go.
    download_if_missing : bool, default=True
        Whether to download what is in no file; this takes the package pooch.
    return_X_y : bool, default=False
        Return (X, y), to train on, in place of a data set.

    Returns
    -------
    data : Dataset
        X of uint8, shape (60000, 28, 28), and y, shape (60000,).

    Raises
    ------
    FileNotFoundError
        If there is no file, and it is not to be downloaded.
    ImportError
        If it is to be downloaded and pooch is not installed.
    OSError
        If it cannot be downloaded, or not be written.
    ValueError
        If a file holds something else.

    See Also
    --------
    fetch_fashion_mnist : Clothes in place of digits, which are harder.
    sklstruct.io.load_dataset : Data sets by name.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner. Gradient-based learning applied to document
    recognition. Proceedings of the IEEE 86, 1998.

    Examples
    --------
    >>> from sklstruct.datasets import fetch_mnist
    >>> fetch_mnist(data_home=".", download_if_missing=False)
    Traceback (most recent call last):
        ...
    FileNotFoundError: The data set 'mnist' is read from a file, and there is no mnist.npz: ...
    """
    return fetch("mnist", data_home, download_if_missing, return_X_y)


def fetch_fashion_mnist(
    *,
    data_home: Folder | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Return the Fashion-MNIST clothes: 60000 images to train on and 10000 to test on, 28x28.

    They are read from ``fashion_mnist.npz``, in their published order, or downloaded from OpenML
    (data set 40996), as ``fetch_mnist`` does it.  Images and labels must have the MD5 that the
    files of the authors have.

    Parameters
    ----------
    data_home : path-like, default=None
        As of ``fetch_mnist``.
    download_if_missing : bool, default=True
        Whether to download what is in no file; this takes the package pooch.
    return_X_y : bool, default=False
        Return (X, y), to train on, in place of a data set.

    Returns
    -------
    data : Dataset
        X of uint8, shape (60000, 28, 28), and y, shape (60000,): T-shirt, trouser, pullover, dress,
        coat, sandal, shirt, sneaker, bag and ankle boot.

    Raises
    ------
    OSError, ImportError, ValueError
        As by ``fetch_mnist``.

    See Also
    --------
    fetch_mnist : Digits.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf. Fashion-MNIST: a novel image dataset for benchmarking
    machine learning algorithms. arXiv:1708.07747, 2017.

    Examples
    --------
    >>> from sklstruct.datasets import fetch_fashion_mnist
    >>> fetch_fashion_mnist(data_home=".", download_if_missing=False)
    Traceback (most recent call last):
        ...
    FileNotFoundError: The data set 'fashion_mnist' is read from a file, and there is no ...
    """
    return fetch("fashion_mnist", data_home, download_if_missing, return_X_y)


def fetch_cifar10(
    *,
    data_home: Folder | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Return the CIFAR-10 photographs: 50000 to train on and 10000 to test on, 32x32 in colour.

    They are read from ``cifar10.npz``, in any order, or downloaded from OpenML (data set 40927,
    700 MB of text), as ``fetch_mnist`` does it.

    Parameters
    ----------
    data_home : path-like, default=None
        As of ``fetch_mnist``.
    download_if_missing : bool, default=True
        Whether to download what is in no file; this takes the package pooch.
    return_X_y : bool, default=False
        Return (X, y), to train on, in place of a data set.

    Returns
    -------
    data : Dataset
        X of uint8, shape (50000, 32, 32, 3), and y, shape (50000,): airplane, automobile, bird,
        cat, deer, dog, frog, horse, ship and truck.

    Raises
    ------
    OSError, ImportError, ValueError
        As by ``fetch_mnist``.

    See Also
    --------
    fetch_mnist : Digits.

    References
    ----------
    A. Krizhevsky. Learning multiple layers of features from tiny images. University of Toronto,
    2009.

    Examples
    --------
    >>> from sklstruct.datasets import fetch_cifar10
    >>> fetch_cifar10(data_home=".", download_if_missing=False)
    Traceback (most recent call last):
        ...
    FileNotFoundError: The data set 'cifar10' is read from a file, and there is no cifar10.npz: ...
    """
    return fetch("cifar10", data_home, download_if_missing, return_X_y)


def fetch_gtsrb(*, data_home: Folder | None = None, return_X_y: bool = False) -> Any:
    """Return German road signs: 5228 images to train on and 12630 to test on, 32x32 in colour.

    The images to train on are four frames of each of 1307 tracks: a track is one drive past one
    sign, whose frames look alike.  Who splits them and not their groups validates on what was
    trained on.

    They are read from ``gtsrb.npz``, with the keys X_train, y_train, track_train, X_test and
    y_test, in any order, and must have the known SHA-256.  They are not downloaded, as nobody
    publishes them in this form.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder to read from.  If None, the one that the environment variable SKLSTRUCT_DATA names,
        then ``~/.cache/sklstruct``.
    return_X_y : bool, default=False
        Return (X, y), to train on, in place of a data set.

    Returns
    -------
    data : Dataset
        X of uint8, shape (5228, 32, 32, 3), y of 43 classes, shape (5228,), and groups, the tracks.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file holds something else.

    See Also
    --------
    fetch_cifar10 : Photographs in colour.
    load_dataset : Any data set by its name.

    References
    ----------
    J. Stallkamp, M. Schlipsing, J. Salmen and C. Igel. Man vs. computer: benchmarking machine
    learning algorithms for traffic sign recognition. Neural Networks 32, 2012.

    Examples
    --------
    >>> from sklstruct.datasets import fetch_gtsrb
    >>> fetch_gtsrb(data_home=".")
    Traceback (most recent call last):
        ...
    FileNotFoundError: The data set 'gtsrb' is read from a file, and there is no gtsrb.npz: ...
    """
    return fetch("gtsrb", data_home, False, return_X_y)
