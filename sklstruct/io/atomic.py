"""Files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a file for writing that takes its place when all is written.

    What is written goes to a temporary file beside ``path``, which replaces ``path`` at the
    end of the with-block.  If the block raises, the temporary file is removed and ``path`` is
    as it was before.

    Parameters
    ----------
    path : str or path-like
    mode : {"w", "wb"}, default="w"
        For text, in UTF-8 and with line ends as they are written, or for bytes.

    Yields
    ------
    stream : file object

    Raises
    ------
    OSError
        The subclass that says why the place cannot be written to; its message names ``path``.
    """
    path = Path(path)
    # In the same folder, because only within a file system is moving a file one step; and under
    # a name of its own, because other processes may write the same file now.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        stream: IO[Any] = open(temporary, mode, **text)  # type: ignore[call-overload]  # noqa: SIM115
    except OSError as error:  # it names the temporary file, which the caller does not know
        raise OSError(error.errno, f"Cannot write: {error.strerror}", str(path)) from error
    try:
        with stream:
            yield stream
            stream.flush()
            # After a loss of power there may be a name without a content otherwise.
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C must not leave anything either
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes ``path`` when all is written."""
    path = path.absolute()  # of "." there is no folder beside it
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "Must be absent or an empty folder", str(path))
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        temporary.mkdir()
    except OSError as error:
        raise OSError(error.errno, f"Cannot write: {error.strerror}", str(path)) from error
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that people can read."""
    path.write_text(json.dumps(content, indent=2, default=int) + "\n", encoding="utf-8")
