"""Finished fits, each stored once and never written again, and claims on those that are missing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.atomic import atomic_write
from ..io.reading import read_bytes
from .leases import Leases

FORMAT = 1
MOST_IN_HEADER, MOST_IN_RUN = 2**20, 2**24  # bytes, beyond those of any study
KEY = re.compile(r"[0-9a-f]{1,64}")
CELL, RUN = re.compile(rf"({KEY.pattern})\.cell"), re.compile(rf"({KEY.pattern})\.json")
PART = re.compile(rf"(\.{KEY.pattern}\.cell\..*\.part)")  # as `atomic_write` names it
OLD = "results.csv", "fits.csv"  # tables of studies that had no cells

Header = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


class FolderStore:
    """Finished cells of a study by key, and descriptions of the runs that made them, in a folder.

    A cell is a header, which is what JSON can hold, and arrays of numbers by name.  Nothing that
    is stored is ever written again.  A key is the hexadecimal digest of what determines the cell.
    Any number of processes on any number of machines may share the folder.  Cells are claimed and
    put within a with-block, at the end of which all claims are given back.

    Every cell is a file ``cells/<key>.cell`` that gets its name when all of it is on disk: a line
    with the SHA-256 of the rest of the line and the header as JSON, then the bytes of the arrays.
    Files and not a database, as the locks of those do not work on many network file systems.  It
    costs the same to add the first cell and the last.

    A process that ends, by whatever means, loses its claims: at once for others on its machine,
    after five minutes for others elsewhere.  Whoever was only asleep so long may compute a cell
    that another one has taken over; the first that is finished is stored.

    Parameters
    ----------
    folder : path-like
        It is made when the with-block is entered, if it is not there.

    Raises
    ------
    ValueError
        If the folder holds a study of an earlier version.
    OSError
        If it cannot be read or, in the with-block, written to.

    See Also
    --------
    MemoryStore : Without files.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.studies.store import FolderStore
    >>> with FolderStore("study") as store:
    ...     if store.claim("c0ffee"):
    ...         store.put("c0ffee", {"accuracy": 0.75}, {"predicted": np.array([0, 1, 1, 0])})
    >>> FolderStore("study").headers()
    {'c0ffee': {'accuracy': 0.75}}
    >>> store.arrays("c0ffee")
    {'predicted': array([0, 1, 1, 0])}
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._cells, self._runs = self.folder / "cells", self.folder / "runs"
        self._leases = Leases(self.folder / "leases")
        old = [self.folder / name for name in OLD if (self.folder / name).exists()]
        if old and not (self._runs.exists() or self._cells.exists()):
            raise ValueError(
                f"{old[0]} is there, of no study that can be continued: those of earlier versions "
                "had no cells.  It is left as it is; give the study another folder."
            )

    def __enter__(self) -> Self:
        for folder in (self._cells, self._runs):
            folder.mkdir(parents=True, exist_ok=True)
        self._leases.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self._leases.release_all()
            self._remove_parts()
        self._leases.__exit__()

    def keys(self) -> set[str]:
        """Return the keys of the finished cells, by one look into the folder."""
        return {*files(self._cells, CELL)}

    def claim(self, key: str) -> bool:
        """Take a cell to compute it, unless it is finished or a living process works on it."""
        path = self._path(key)
        if os.path.exists(path) or not self._leases.claim(key):
            return False
        # Another process may have finished it just before.  Once a folder is opened, a network
        # file system does not answer from what it has seen there earlier.
        with os.scandir(self._cells):
            finished = os.path.exists(path)
        if finished:
            self.release(key)
        return not finished

    def release(self, key: str) -> None:
        """Give back a claim, if it is still ours."""
        self._leases.release(key)

    def put(self, key: str, header: Header, arrays: Mapping[str, ArrayLike]) -> None:
        """Store a finished cell and end the claim on it; what is stored already stays.

        Raises
        ------
        TypeError
            If JSON cannot hold the header, or an array holds anything but numbers.
        OSError
            If the place cannot be written to; nothing is stored then.
        """
        self._write(self._path(key), pack(key, header, arrays))
        self.release(key)

    def headers(self) -> dict[str, Header]:
        """Return the headers of all finished cells.

        Raises
        ------
        ValueError
            If a cell is damaged; the message names the file.
        """
        headers = {}
        for key in self.keys():
            with self._open(key) as stream:
                headers[key] = read_first_line(stream, key)["header"]
        return headers

    def arrays(self, key: str) -> Arrays:
        """Return the arrays of a finished cell.

        Raises
        ------
        ValueError
            If it is damaged; the message names the file.
        """
        with self._open(key) as stream:
            return read_arrays(stream, read_first_line(stream, key))

    def add_run(self, record: dict[str, Any]) -> str:
        """Store the description of a run, unless there is an equal one, and return its digest."""
        text = (json.dumps(record, indent=2) + "\n").encode()
        if len(text) > MOST_IN_RUN:
            raise ValueError(
                f"The description of a run may have {MOST_IN_RUN} bytes, got {len(text)}: "
                "it names too many samples."
            )
        self._write(self._runs / f"{digest_of_run(text)}.json", text)
        return digest_of_run(text)

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the descriptions of runs by digest, in the order of the times of their files."""
        paths = files(self._runs, RUN)
        records = {}
        for digest in sorted(paths, key=lambda d: (os.stat(paths[d]).st_mtime_ns, d)):
            with damaged(paths[digest], "go on without the run"):
                text = read_bytes(paths[digest], MOST_IN_RUN, "the description of a run")
                if digest_of_run(text) != digest:
                    raise ValueError("it is not what was written")
                records[digest] = json.loads(text)
        return records

    def _path(self, key: str) -> str:
        return os.path.join(self._cells, f"{key}.cell")  # a Path costs as much as reading

    def _write(self, path: str | Path, content: bytes) -> None:
        """Write a file, unless it is there."""
        with suppress(FileExistsError), atomic_write(path, "wb", replace=False) as stream:
            stream.write(content)

    @contextmanager
    def _open(self, key: str) -> Iterator[IO[bytes]]:
        path = self._path(key)
        with damaged(path, "have the fit made again"), open(path, "rb") as stream:
            yield stream

    def _remove_parts(self) -> None:
        """Remove what processes that were killed have written of a cell."""
        for name, path in files(self._cells, PART).items():
            key = name.split(".")[1]
            if self._leases.claim(key):  # nobody writes it now
                Path(path).unlink(missing_ok=True)
                self.release(key)


class MemoryStore:
    """The same for one process, with which it ends."""

    folder = None

    def __init__(self) -> None:
        self._cells: dict[str, tuple[Header, Arrays]] = {}
        self._runs: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def keys(self) -> set[str]:
        """Return the keys of the finished cells."""
        return {*self._cells}

    def claim(self, key: str) -> bool:
        """Whether a cell is to be computed: nobody else works on it."""
        return key not in self._cells

    def release(self, key: str) -> None:
        """Do nothing: nobody waits for it."""

    def put(self, key: str, header: Header, arrays: Arrays) -> None:
        """Store a finished cell."""
        self._cells[key] = header, arrays

    def headers(self) -> dict[str, Header]:
        """Return the headers of all finished cells."""
        return {key: header for key, (header, _) in self._cells.items()}

    def arrays(self, key: str) -> Arrays:
        """Return the arrays of a finished cell."""
        return {**self._cells[key][1]}

    def add_run(self, record: dict[str, Any]) -> str:
        """Store the description of a run."""
        self._runs[key := str(len(self._runs))] = record
        return key

    def runs(self) -> dict[str, dict[str, Any]]:
        """Return the descriptions of runs."""
        return {**self._runs}


def files(folder: Path, pattern: re.Pattern[str]) -> dict[str, str]:
    """Return the paths of files whose names match a pattern, by what it finds in them."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        found = ((pattern.fullmatch(entry.name), entry) for entry in entries)
        return {match[1]: entry.path for match, entry in found if match and entry.is_file()}
    return {}


def digest_of_run(text: bytes) -> str:
    """Return the name of the description of a run."""
    return sha256(text).hexdigest()[:16]


@contextmanager
def damaged(path: str, end: str) -> Iterator[None]:
    """Name the file that turns out to be damaged, and say to what end it can be moved away."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged, and is left as it is: {error}.  Move it away to {end}."
        ) from error


def pack(key: str, header: Header, arrays: Mapping[str, ArrayLike]) -> bytes:
    """Return a cell as bytes."""
    stored = {name: plain(name, array) for name, array in arrays.items()}
    content = b"".join(array.tobytes() for array in stored.values())
    about = {
        "format": FORMAT,
        "key": key,
        "header": header,
        "arrays": {name: [array.dtype.str, array.shape] for name, array in stored.items()},
        "bytes": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    line = json.dumps(about, default=np.generic.item).encode()
    if len(line) > MOST_IN_HEADER:
        raise ValueError(f"header may have {MOST_IN_HEADER} bytes, got {len(line)}.")
    return b"%s %s\n%s" % (sha256(line).hexdigest().encode(), line, content)


def plain(name: str, array: ArrayLike) -> NDArray[Any]:
    """Return an array whose numbers have the same bytes on every machine."""
    array = np.asarray(array)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"arrays[{name!r}] must be of booleans or numbers, got {array.dtype}.")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def read_first_line(stream: IO[bytes], key: str) -> dict[str, Any]:
    """Return what a cell says of itself, or raise a ValueError if it cannot be that one."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    line = stream.readline(MOST_IN_HEADER + 100)
    digest, _, text = line.partition(b" ")
    if sha256(text[:-1]).hexdigest().encode() != digest:
        raise ValueError("its first line is not what was written")
    about = json.loads(text)
    if about["format"] != FORMAT:
        raise ValueError(f"its format must be {FORMAT}, got {about['format']}")
    if about["key"] != key:
        raise ValueError(f"it is the cell {about['key']}")
    if (expected := len(line) + about["bytes"]) != size:
        raise ValueError(f"it must have {expected} bytes, got {size}")
    return about


def read_arrays(stream: IO[bytes], about: dict[str, Any]) -> Arrays:
    """Return the arrays that follow the first line."""
    content = stream.read(about["bytes"])
    if sha256(content).hexdigest() != about["sha256"]:
        raise ValueError("its arrays are not what was written")
    arrays, start = {}, 0
    for name, (code, shape) in about["arrays"].items():
        dtype = np.dtype(code)
        array = np.frombuffer(content, dtype, prod(shape), start).reshape(shape)
        arrays[name] = array.astype(dtype.newbyteorder("="))
        start += array.nbytes
    return arrays
