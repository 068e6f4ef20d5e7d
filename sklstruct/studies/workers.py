"""What happens where the items of a study are computed, in this process or in its workers."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from time import sleep
from typing import Any

import cloudpickle
import numpy as np
from threadpoolctl import threadpool_limits

from ..io.atomic import replacing

Function = Callable[[Any, Any], Any]

OBJECTS, ARRAYS = "objects", "arrays"  # the files of what is shared
ALIGNMENT = 64  # bytes, as NumPy aligns arrays
SECONDS_BETWEEN_LOOKS = 1.0
THREADS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
PARCELS: dict[str, bytes] = {}  # what came to this process and was not opened yet, by name
OPENED: dict[str, tuple[Function, Any]] = {}  # functions and what is shared, by name or folder
_OPENING = threading.Lock()
_OWN: list[Any] = []  # what a worker keeps until it ends


@dataclass(frozen=True)
class Failure:
    """What comes back for an item in place of a result.

    Parameters
    ----------
    error : Exception or SystemExit
        What was raised.  Where that was in another process, its traceback is the cause.

    See Also
    --------
    execute : Where it comes from.

    Examples
    --------
    >>> from sklstruct.studies import Failure, execute
    >>> dict(execute(lambda shared, item: shared / item, 6, [0, 2]))
    {0: Failure(error=ZeroDivisionError('division by zero')), 2: 3.0}
    """

    error: BaseException

    def __reduce__(self) -> tuple[Any, ...]:
        text = "".join(traceback.format_exception(self.error))
        try:
            pickle.loads(pickle.dumps(self.error))
        except Exception:  # what cannot travel, as where __init__ takes other arguments
            return _failed, (RuntimeError(f"{type(self.error).__name__}: {self.error}"), text)
        return _failed, (self.error, text)


class WorkerTraceback(Exception):
    """Where in another process an error was raised, as the text of its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _failed(error: BaseException, text: str) -> Failure:
    error.__cause__ = WorkerTraceback(text)
    return Failure(error)


def attempt(function: Function, shared: Any, item: Any) -> Any:
    """Return what a function returns, or a Failure."""
    try:
        return function(shared, item)
    except (Exception, SystemExit) as error:  # sys.exit would end a worker that others wait for
        return Failure(error)


# What is shared, through a file ---------------------------------------------------------------


def save(folder: Path, function: Function, shared: Any) -> None:
    """Write a function and what is shared to a folder, arrays for themselves.

    Raises
    ------
    OSError
        If there is no space for them; the message names the file.
    """
    buffers: list[pickle.PickleBuffer] = []
    # By value, where a class or function was made in a notebook.
    objects = cloudpickle.dumps((function, shared), protocol=5, buffer_callback=buffers.append)
    sizes = [buffer.raw().nbytes for buffer in buffers]
    with replacing(folder / ARRAYS) as path, open(path, "wb") as stream:
        for buffer, size in zip(buffers, sizes, strict=True):
            stream.write(buffer.raw())
            stream.write(bytes(-size % ALIGNMENT))
    with replacing(folder / OBJECTS) as path, open(path, "wb") as stream:
        pickle.dump((objects, sizes), stream)


def load(folder: str) -> tuple[Function, Any]:
    """Return what was saved in a folder; arrays are mapped into memory and cannot be changed."""
    objects, sizes = pickle.loads(Path(folder, OBJECTS).read_bytes())
    starts = [0, *accumulate(size + -size % ALIGNMENT for size in sizes)]
    mapped = np.memmap(Path(folder, ARRAYS), mode="r") if starts[-1] else np.zeros(0, np.uint8)
    parts = [mapped[start:][:size] for start, size in zip(starts, sizes, strict=False)]
    return pickle.loads(objects, buffers=parts)


def work_from(folder: str, share: int, slots: list[str], item: Any) -> Any:
    """Return the outcome of an item in a worker process of this machine."""
    if not _OWN:
        prepare(Path(folder), share, slots)
    if folder not in OPENED:
        OPENED[folder] = load(folder)
    return attempt(*OPENED[folder], item)


def prepare(folder: Path, share: int, slots: list[str]) -> None:
    """Make a process a worker: with its share of the cores, one GPU, and an end of its own."""
    _OWN.append(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all; one process ends the others
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    if "OMP_NUM_THREADS" not in os.environ:  # loky has set it before libraries came in
        threadpool_limits(share)
    for name in THREADS:
        os.environ.setdefault(name, str(share))
    os.environ["LOKY_MAX_CPU_COUNT"] = str(share)  # what n_jobs=-1 means in a fit
    for number, gpu in enumerate(slots):
        if taken(folder / f"slot{number}"):
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            break


def watch(parent: int) -> None:
    """Forget what is shared when its folder is gone, and end this process after its parent."""
    while os.getppid() == parent:
        sleep(SECONDS_BETWEEN_LOOKS)
        for folder in [*OPENED]:
            if not os.path.isdir(folder):
                OPENED.pop(folder)
    # A parent that was killed could do neither.
    for folder in OPENED:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def taken(path: Path) -> bool:
    """Whether this process has locked a file, until it ends."""
    import fcntl  # which Windows has not

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    return True


def visible_gpus() -> list[str]:
    """Return the names of the GPUs of this machine that processes can take."""
    if os.name != "posix":
        return []
    # Without torch, which would take memory of one of them.
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


# What is shared, through the network ----------------------------------------------------------


def pack(function: Function, shared: Any) -> bytes:
    """Return a function and what is shared as bytes."""
    return cloudpickle.dumps((function, shared), protocol=5)


def work_on(name: str, item: Any, parcel: bytes | None = None) -> tuple[Any, ...]:
    """Return the outcome of an item in a tuple, which is empty if what is shared is not here.

    Parameters
    ----------
    name : str
        Of what is shared.
    item : object
    parcel : bytes, default=None
        What is shared, for where it is not there yet.
    """
    with _OPENING:  # threads of a worker open it once
        if name not in OPENED:
            if parcel is not None:
                OPENED.clear()  # as joblib tells no worker when a study ends
            elif (parcel := PARCELS.get(name)) is None:
                return ()
            OPENED[name] = pickle.loads(parcel)
            PARCELS.pop(name, None)
        opened = OPENED[name]
    return (attempt(*opened, item),)
