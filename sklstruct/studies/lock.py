"""One study at a time in a folder."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

LOCK = "study.lock"
SHOWN = 200  # letters of what the file says


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Hold the lock of a folder, if there is one, while a study writes to it.

    The lock is the kernel's and ends with the process that holds it, whatever ends that; the file
    says who it is.

    Raises
    ------
    ValueError
        If another study holds it; the message says which process, where and since when.
    """
    if folder is None:
        yield
        return
    stream = lock(folder)
    try:
        # What a killed process has written may still be there.
        stream.truncate(0)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        stream.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}\n")
        stream.flush()
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # before it is given back, lest it be another's
        stream.close()


def lock(folder: Path) -> IO[str]:
    """Return the open file that holds the lock of a folder."""
    import fcntl

    path = folder / LOCK
    while True:
        stream = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
            stream.close()  # who held it has removed it in between
        except BlockingIOError:
            stream.seek(0)
            with stream:
                holder = stream.read(SHOWN).strip() or "another process"
            raise ValueError(
                f"{folder} is in use by another study: {holder}.  Wait for its end, or give this "
                "one a folder of its own."
            ) from None
        except OSError as error:  # some remote disks know no locks
            warnings.warn(
                f"{path} cannot be locked ({error.strerror}): two studies at a time in one folder "
                "would lose each other's fits.",
                stacklevel=2,
            )
            return stream
