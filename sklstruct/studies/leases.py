"""Claims on keys that processes share through a folder, and that end with their process."""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self
from uuid import uuid4

from ..io.atomic import NO_LINKS, atomic_write

HEARTBEAT = 15.0  # seconds
EXPIRY = 300.0  # seconds: some routines of LAPACK let no other thread run for minutes
MOST_BYTES = 2**12  # of what a claim says
OWNER = ".owner"
CLAIM = re.compile(r"([0-9a-f]+)\.[0-9]+")


class Leases:
    """Keys that this process works on, and no other one that uses the same folder.

    Whoever enters has a file ``<nonce>.owner`` that says which process it is, and touches it every
    ``HEARTBEAT`` seconds.  A claim is another name of this file, ``<key>.0``, as links are made in
    one step and once, on network file systems too.  When its owner is gone, or has not touched its
    file for ``EXPIRY`` seconds, whoever makes ``<key>.1`` takes over, and so on: the claim with the
    largest number holds the key.

    Whether a process is gone is known at once on the machine that it ran on.  The age of a file
    is counted on the clock of the disk that it lies on, as those of two machines may differ.

    Parameters
    ----------
    folder : Path
        It is made if it is not there.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, list[bytes]] = {}  # what the claims on a key say, the last one ours
        self._lock = Lock()

    def __enter__(self) -> Self:
        nonce = uuid4().hex
        self._mark = json.dumps({**this_process(), "nonce": nonce}).encode()
        self._owner = self.folder / f"{nonce}{OWNER}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._owner, "wb") as stream:
            stream.write(self._mark)
        self._ended = Event()
        self._beating = Thread(target=self._beat, name="heartbeat", daemon=True)
        self._beating.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._beating.join()
        with suppress(OSError):  # what cannot be removed is known to be of a process that is gone
            for key in [*self._held]:
                self.release(key)
            self._tidy()
            self._owner.unlink(missing_ok=True)

    def claim(self, key: str) -> bool:
        """Take a key, and return whether it was free."""
        with self._lock:
            if key in self._held:
                return False
            claims: list[bytes] = []
            while True:
                path = self._path(key, len(claims))
                self._link(path)
                if (claim := read(path)) is None:  # given back just now
                    return False
                claims.append(claim)
                if claim == self._mark:
                    break
                if not self._is_dead(path, claim):
                    return False
            # Claims are removed in the order of their numbers.  If those of the dead are all there,
            # nobody has taken over from them and finished since they were read.
            if claims != [read(self._path(key, number)) for number in range(len(claims))]:
                path.unlink(missing_ok=True)
                return False
            self._held[key] = claims
            return True

    def release(self, key: str) -> None:
        """Give a key back, if it is ours."""
        with self._lock:
            claims = self._held.pop(key, [])
            if self._path(key, len(claims)).exists():  # taken over while this process slept
                return
            for number, claim in enumerate(claims):
                path = self._path(key, number)
                if read(path) == claim:
                    path.unlink(missing_ok=True)

    def _path(self, key: str, number: int) -> Path:
        return self.folder / f"{key}.{number}"

    def _link(self, path: Path) -> None:
        """Make a claim, if there is none of that name."""
        with suppress(FileExistsError):
            try:
                os.link(self._owner, path)
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                with open(path, "xb") as stream:
                    stream.write(self._mark)

    def _is_dead(self, path: Path, claim: bytes) -> bool:
        """Whether the owner of a claim, or of its own file, does not work any more."""
        try:
            owner = json.loads(claim)
            if is_gone(owner):
                return True
            path = self.folder / f"{owner['nonce']}{OWNER}"
        except (ValueError, KeyError, TypeError):  # not yet written, on a disk without links
            pass
        last = touched(path)
        self._owner.touch()
        now = touched(self._owner)
        return last is None or now is None or now - last > EXPIRY

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            with suppress(OSError):  # the disk may be back in time
                self._owner.touch()

    def _tidy(self) -> None:
        """Remove what dead processes have left."""
        for path in self.folder.iterdir():
            if match := CLAIM.fullmatch(path.name):
                if self.claim(match[1]):
                    self.release(match[1])
            elif path.suffix in (OWNER, ".part"):
                claim = read(path)
                if claim not in (None, self._mark) and self._is_dead(path, claim):
                    path.unlink(missing_ok=True)


def this_process() -> dict[str, Any]:
    """Return what tells this process from all others."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else None,
        # Containers of one machine number their processes apart.
        "namespace": os.readlink("/proc/self/ns/pid") if boot.exists() else None,
        "pid": os.getpid(),
        "started": started(os.getpid()),
    }


def is_gone(process: dict[str, Any]) -> bool:
    """Whether a process has ended; False where that is not known, as of another machine."""
    here = this_process()
    if any(process[name] != here[name] for name in ("host", "boot", "namespace")):
        return False
    if os.name != "posix":  # where os.kill with signal 0 is no question
        return False
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it is of another user
        return False
    return started(process["pid"]) != process["started"]  # another one may have its number


def started(pid: int) -> str | None:
    """Return when a process has started, in ticks; None if it has ended or that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *numbers = stat.rpartition(")")[2].split()
    return None if state in "ZX" else numbers[18]  # it may have ended, and its parent not looked


def read(path: Path) -> bytes | None:
    """Return what a small file says, None if it is not there."""
    try:
        with open(path, "rb") as stream:
            return stream.read(MOST_BYTES)
    except FileNotFoundError:
        return None


def touched(path: Path) -> float | None:
    """Return when a file was last touched, in seconds of the disk's clock, None if it is gone."""
    try:
        with open(path, "rb") as stream:  # network file systems ask the server only then
            return os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        return None
