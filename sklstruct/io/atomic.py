"""Files that are there as a whole or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal
from uuid import uuid4

NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}  # of a disk


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], mode: Literal["w", "wb"] = "w", *, replace: bool = True
) -> Iterator[IO[Any]]:
    """Open a file for writing that takes its place when all is written.

    What is written goes to a temporary file beside ``path``, which replaces ``path`` at the
    end of the with-block.  If the block raises, the temporary file is removed and ``path`` is
    as it was before.

    Parameters
    ----------
    path : str or path-like
    mode : {"w", "wb"}, default="w"
        For text, in UTF-8 and with line ends as they are written, or for bytes.
    replace : bool, default=True
        Whether to put it in the place of a file that is there.

    Yields
    ------
    stream : file object

    Raises
    ------
    OSError
        The subclass that says why the place cannot be written to; its message names ``path``.  It
        is a FileExistsError if there is a file, by now, that must not be replaced.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklstruct.io import atomic_write
    >>> with atomic_write("notes.txt") as stream:
    ...     _ = stream.write("all or nothing")
    >>> Path("notes.txt").read_text()
    'all or nothing'
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Cannot write: Is a directory", str(path))
    if path.exists() and not path.is_file():  # a device is no file to put another one in its place
        raise OSError(errno.EINVAL, "Cannot write: Not a regular file", str(path))
    text = {"encoding": "utf-8", "newline": ""} if mode == "w" else {}
    stream: IO[Any]
    with (
        replacing(path, os.replace if replace else rename_once) as temporary,
        open(temporary, mode, **text) as stream,  # type: ignore[call-overload]
    ):
        yield stream
        stream.flush()
        # After a loss of power there may be a name without a content otherwise.
        os.fsync(stream.fileno())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes ``path`` when all is written."""
    path = path.absolute()  # of "." there is no folder beside it
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "Must be absent or an empty folder", str(path))
    with replacing(path) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def replacing(path: Path, rename: Callable[[Path, Path], None] = os.replace) -> Iterator[Path]:
    """Give a name for a file or folder that takes the place of ``path`` at the end."""
    # In the same folder, because only within a file system is moving a file one step; and under
    # a name of its own, because other processes may write the same file now.
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield temporary
        rename(temporary, path)
    except BaseException as error:  # Ctrl-C must not leave anything either
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        elif temporary.exists():
            temporary.unlink()
        # What is unknown to the caller, or has no name at all, as where no space is left.
        if isinstance(error, OSError) and error.filename in (str(temporary), None):
            reason = error.strerror or error
            raise OSError(error.errno, f"Cannot write: {reason}", str(path)) from error
        raise


def rename_once(old: Path, new: Path) -> None:
    """Rename a file, or raise a FileExistsError if there is another one of that name."""
    try:
        os.link(old, new)  # one step, of which a second process fails
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if new.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(old)) from error
        os.replace(old, new)
    else:
        old.unlink()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that people can read."""
    path.write_text(json.dumps(content, indent=2, default=int) + "\n", encoding="utf-8")
