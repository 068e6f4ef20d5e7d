"""Files from anywhere, read so that none takes more memory than what it says it is."""

import os
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

SMALL = 2**28  # bytes that any file may become
NPY_HEADER = 2**14  # bytes, more than NumPy takes for the header of an array
DIRECTORY = 2**22  # bytes of what an archive says about its members: some fifty thousand
DEFLATE_RATIO = 1032  # no compressed byte stands for more than so many
HEADERS = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
    (3, 0): npy.read_array_header_2_0,  # the same, with names in another encoding
}


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading, or raise a ValueError for a pipe or a device: they may not end."""
    if (place := Path(path)).exists() and not (place.is_file() or place.is_dir()):
        raise ValueError(f"{path} must be a file.")
    return open(path, "rb")


def read_bytes(path: str | os.PathLike[str], most: int, what: str) -> bytes:
    """Return what is in a file, or raise a ValueError if it is more than ``most`` bytes."""
    with open_file(path) as stream:
        content = stream.read(most + 1)  # not all at once, as sizes of files say little
    if len(content) > most:
        raise ValueError(f"{path} must be {what} of at most {most} bytes, got more.")
    return content


def check_growth(stored: int, taken: int, growth: int) -> None:
    """Raise a ValueError if so many stored bytes would become too many in memory."""
    if taken > max(SMALL, growth * stored):
        raise ValueError(
            f"its {stored} bytes would become {taken}, more than {growth} times as many; "
            "where that is right, save it without compression"
        )


class FewBytes:
    """A binary stream of which no more than ``DIRECTORY`` bytes are read at a time."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self.stream.read(min(size, DIRECTORY + 1) if size >= 0 else DIRECTORY + 1)
        if len(data) > DIRECTORY:
            raise ValueError(f"the list of its parts must have at most {DIRECTORY} bytes")
        return data


def open_zip(stream: IO[bytes]) -> ZipFile:
    """Open an archive, whose list of members is read without taking much memory."""
    # Every entry of 50 bytes becomes an object of ten times that.
    archive = ZipFile(FewBytes(stream))
    archive.fp = stream
    return archive


def read_member(archive: ZipFile, name: str) -> NDArray[Any]:
    """Return the array in a part of an archive, which must be stored or deflated."""
    info = archive.getinfo(name)
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # others take gigabytes at a gulp
        raise ValueError(f"its part {name} must be stored or deflated, as NumPy does it")
    most = info.compress_size * (1 if info.compress_type == ZIP_STORED else DEFLATE_RATIO)
    if info.file_size > most or info.header_offset + info.compress_size > archive.start_dir:
        raise ValueError(f"its part {name} cannot have the {info.file_size} bytes that it claims")
    with archive.open(info) as member:
        return read_npy(member, info.file_size)


def read_npy(stream: IO[bytes], size: int) -> NDArray[Any]:
    """Return the array that the first ``size`` bytes of a stream hold, never unpickled.

    Raises
    ------
    ValueError
        If they are no ``.npy`` file, or its header promises more or less than there is.
    """
    head = BytesIO(stream.read(min(size, NPY_HEADER)))
    version = npy.read_magic(head)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the .npy format is none of {[*HEADERS]}")
    shape, _, dtype = HEADERS[version](head)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded, as they are pickles")
    promised, there = prod(shape) * dtype.itemsize, size - head.tell()
    if promised != there:  # NumPy would take the memory first
        raise ValueError(
            f"an array of shape {shape} and dtype {dtype} must have {promised} bytes, got {there}"
        )
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
