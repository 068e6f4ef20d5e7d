"""Published data sets: where they come from, and how their content is known."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io import Dataset, atomic_write, read_npz
from ..io.loading import VARIABLE, data_folder

Array = NDArray[Any]
Folder = str | os.PathLike[str]

OPENML = "https://www.openml.org/data/v1/download"
N_TEST = 10000  # the last samples of each file there


def any_order(*arrays: Array) -> str:
    r"""Return the digest of samples and of what belongs to each, the same in any order.

    .. math:: \mathrm{SHA256}(d_{(1)} d_{(2)} \dots d_{(n)})

    where :math:`d_{(1)} \le \dots \le d_{(n)}` are the sorted digests
    :math:`\mathrm{SHA256}(x_i y_i \dots)` of samples, then labels (and groups) as 16 characters
    of UTF-32, little-endian.
    """
    samples, *labels = arrays
    # As text, since files hold labels in several types.
    rows = zip(samples, *(values.astype("<U16") for values in labels), strict=True)
    digests = (sha256(b"".join(part.tobytes() for part in row)).digest() for row in rows)
    return sha256(b"".join(sorted(digests))).hexdigest()


def published_order(*arrays: Array) -> str:
    """Return the MD5s of the uncompressed IDX files that arrays of bytes were published as."""
    return " ".join(md5(idx(values), usedforsecurity=False).hexdigest() for values in arrays)


def idx(values: Array) -> bytes:
    """Return an IDX file: 0x800 plus the number of axes, the extents, and the bytes."""
    header = np.array([0x800 + values.ndim, *values.shape], ">i4")
    integers = values.dtype.kind in "iu"
    return header.tobytes() + (values.astype(np.uint8) if integers else values).tobytes()


@dataclass(frozen=True)
class Source:
    """What is known of a published data set.

    Parameters
    ----------
    train, test : str
        Digests of the samples to train on and to test on, with their labels (and groups).
    digest : callable
        Maps these arrays to their digest.
    groups : str, default="groups"
        Key of the groups in its ``.npz`` file, if it has any.
    url : str, default=None
        ARFF file whose rows are an image and its label, with those to test on last.
    sha256 : str, default=None
        Of that file, where it is known.
    shape : tuple of int, default=()
        Of an image in that file, channels first.
    """

    train: str
    test: str
    digest: Callable[..., str] = any_order
    groups: str = "groups"
    url: str | None = None
    sha256: str | None = None
    shape: tuple[int, ...] = ()


SOURCES = {
    "mnist": Source(
        train="f4ce13bce2bead23c8a51d4296f57b5d7bbfc0cd41da4f8570cf09ae497e2b6b",
        test="77f2eef306b868d0a15f3043965ba0b91c4c311428ee3cebee4b5667333fc9b9",
        url=f"{OPENML}/52667/mnist_784.arff",  # of the data set 554
        sha256="418c0a60d2b4abc95db2e2bbf676f3af93ddaf18f79ba3f640624ab57007fb4b",
        shape=(28, 28),
    ),
    "fashion_mnist": Source(  # known by the files of its authors alone
        train="f4a8712d7a061bf5bd6d2ca38dc4d50a 9018921c3c673c538a1fc5bad174d6f9",
        test="8181f5470baa50b63fa0f6fddb340f0a 15d484375f8d13e6eb1aabb0c3f46965",
        digest=published_order,
        url=f"{OPENML}/18238735/Fashion-MNIST.arff",  # of the data set 40996
        shape=(28, 28),
    ),
    "cifar10": Source(
        train="7733feea414dacc6eae4b0379414e42c638682518e09506931ef43789e633167",
        test="b6a7f1c51a1c7c028782220eaef534d555f7a2c629a018e155bdd1b51527f87e",
        url=f"{OPENML}/16797613/CIFAR_10.arff",  # of the data set 40927
        sha256="d28aa6ec1ac50109b54d58c45a4d31be6f9c406b36af81733e09bf9a55b73961",
        shape=(3, 32, 32),
    ),
    "gtsrb": Source(
        train="022b6d1a10b029fe6c62e9c0dcbc3ac76c69df9858933d8c8060456411b6266e",
        test="f47ac27c990f9cd5c8f38a9a0bd8b30c534892450c67a792b72c74316f888307",
        groups="track_train",
    ),
}


def fetch(name: str, data_home: Folder | None, download_if_missing: bool, return_X_y: bool) -> Any:
    """Return a published data set, from the first file ``NAME.npz`` or downloaded to the last."""
    source, file = SOURCES[name], f"{name}.npz"
    paths = [folder / file for folder in folders(data_home)]
    path = next(filter(Path.is_file, paths), paths[-1])
    if path.is_file():
        data = read_npz(path, name, groups=source.groups)
        check_content(data, source, str(path))
    elif source.url is None or not download_if_missing:
        raise FileNotFoundError(
            f"The data set {name!r} is read from a file, and there is no "
            f"{' or '.join(map(str, paths))}: set the environment variable {VARIABLE} to the "
            f"folder that holds {file}."
        )
    else:
        data = download(name, source, path)
    return (data.X, data.y) if return_X_y else data


def folders(data_home: Folder | None) -> list[Path]:
    """Return the folders in which a data set may be, the last one for what is downloaded."""
    if data_home is not None:
        return [Path(data_home).expanduser()]
    given, caches = data_folder(), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    cache = Path(caches).expanduser() / "sklstruct"
    return [cache] if given is None else [given, cache]


def check_content(data: Dataset, source: Source, where: str) -> None:
    """Raise a ValueError that names the place unless a data set is the published one."""
    train = (data.X, data.y) if data.groups is None else (data.X, data.y, data.groups)
    for part, wanted, arrays in (
        ("train", source.train, train),
        ("test", source.test, (data.X_test, data.y_test)),
    ):
        found = "none" if arrays[0] is None else source.digest(*arrays)
        if found != wanted:
            raise ValueError(
                f"{where} must hold the published data set {data.name!r}, whose samples to {part} "
                f"on have the digest {wanted}, got {found}. Give a data set of your own another "
                "name."
            )


def download(name: str, source: Source, path: Path) -> Dataset:
    """Return a data set from its server, and write it to a file if it is the published one."""
    try:
        import pooch
    except ImportError as error:
        raise ImportError(
            f"The data set {name!r} is downloaded by pooch, which cannot be imported ({error}): "
            "install it with pip install sklstruct[datasets], or set the environment variable "
            f"{VARIABLE} to the folder that holds {path.name}."
        ) from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder:
            options = {"fname": f"{name}.arff", "path": folder, "progressbar": True}
            file = pooch.retrieve(source.url, source.sha256, **options)
            X, y = read_arff(Path(file), source.shape)
        data = Dataset(name, X[:-N_TEST], y[:-N_TEST], X[-N_TEST:], y[-N_TEST:])
    except (OSError, ValueError) as error:
        raise OSError(
            f"There is no {path.name}, in the folder that the environment variable {VARIABLE} "
            f"may name, nor can the data set {name!r} be had from {source.url}: {error}"
        ) from error
    check_content(data, source, str(source.url))
    arrays: dict[str, Any] = {
        "X_train": data.X,
        "y_train": data.y,
        "X_test": data.X_test,
        "y_test": data.y_test,
    }
    with atomic_write(path, "wb") as stream:
        np.savez(stream, **arrays)
    return data


def read_arff(path: Path, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return images of bytes, channels last, and labels, from the rows of an ARFF file."""
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            if line.strip().lower() == "@data":
                break
        else:
            raise ValueError("it is no ARFF file")
        rows = np.loadtxt(stream, np.uint8, delimiter=",", comments="%", quotechar="'", ndmin=2)
    images = rows[:, :-1].reshape(-1, *shape)
    if len(shape) > 2:
        images = np.moveaxis(images, 1, -1)
    return np.ascontiguousarray(images), rows[:, -1]
