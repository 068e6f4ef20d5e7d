"""Volumes on disk, for several processes at a time, and trusted only where they are whole."""

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zlib import crc32

from ..atomic import atomic_write
from .grid import Array

DIGEST = 32  # bytes
VERSION = 2  # of what is computed; a new one makes entries of the old one invisible


def fetch(
    folder: str | os.PathLike[str], key: bytes, out: Array, compute: Callable[[Array], None]
) -> None:
    """Fill an array with the entry of a key; ``compute`` fills it where there is none.

    Entries are files with a digest of key and voxels, then the voxels.  They are written beside
    their place and moved there, so that a process sees a whole entry or none, whoever else writes
    it.  What does not agree with its digest is computed again.  Nothing is ever deleted: remove
    the folder to be rid of it.

    Parameters
    ----------
    folder : path-like
        Made when the first entry is written.
    key : bytes
        As ``key_of`` returns it.
    out : ndarray, C-contiguous
    compute : callable
        Writes the values into the array that it is given.
    """
    # In folders by the first digits, as some file systems are slow where there are many files.
    path = Path(folder) / key.hex()[:2] / f"{key.hex()}.volume"
    try:
        with open(path, "rb") as stream:
            expected = stream.read(DIGEST)
            whole = stream.readinto(out.data.cast("B")) == out.nbytes and not stream.read(1)
            found = whole and expected == digest_of(key, out)
    except OSError:  # there is none, or it may not be read
        found = False
    if found:
        return
    compute(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "wb") as stream:
        stream.write(digest_of(key, out))
        stream.write(out.data)


def key_of(path: str | os.PathLike[str], setting: Any) -> bytes:
    """Return the key of what is computed from a file, another one whenever the file changes.

    Parameters
    ----------
    path : str or path-like
    setting : object
        All that the result depends on beside the file; its repr tells settings apart.
    """
    # A hash of the content would be safer, and take as long as reading the file, which the cache
    # is there to avoid.
    stat = os.stat(path)
    identity = (os.path.realpath(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return blake2b(repr((VERSION, identity, setting)).encode(), digest_size=DIGEST).digest()


def digest_of(key: bytes, values: Array) -> bytes:
    """Return the digest of an entry; a checksum finds damage, in a fifth of the time of a hash."""
    checksum = crc32(values.data).to_bytes(4, "big")
    return blake2b(key + checksum, digest_size=DIGEST).digest()
