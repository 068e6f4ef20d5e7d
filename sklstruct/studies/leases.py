"""Claims on keys that processes share through a folder, and that end with their process."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from hashlib import sha256
from math import inf
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self
from uuid import uuid4

from ..io.atomic import NO_LINKS, atomic_write

HEARTBEAT = 15.0  # seconds
EXPIRY = 300.0  # seconds: some routines of LAPACK let no other thread run for minutes
MOST = 2**10  # characters of a claim
CLAIM = re.compile(r"([0-9a-f]+)\.[0-9]+")
MARK = r"([0-9a-f]+-[0-9]+-[0-9]*)-[0-9a-f]+"  # of a process, and of one of its entries
OWNER = re.compile(rf"\.?({MARK})\.owner(\..*\.part)?")  # as `atomic_write` names it meanwhile


class Leases:
    """Keys that this process works on, and no other one that uses the same folder.

    Whoever enters has a file ``<mark>.owner``, with a mark that tells it from all others, which it
    touches every ``HEARTBEAT`` seconds.  A claim is another name of this file, ``<key>.0``: links
    are made in one step and once, on network file systems too.  When its owner is gone, or has not
    touched its file for ``EXPIRY`` seconds, whoever makes ``<key>.1`` takes over, and so on: the
    claim with the largest number holds the key.

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
        self._held: dict[str, list[str]] = {}  # what the claims on a key say, the last one ours
        self._lock = Lock()

    def __enter__(self) -> Self:
        self._mark = f"{this_process()}-{uuid4().hex}"
        self._owner = self.folder / f"{self._mark}.owner"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._touch()
        self._ended = Event()
        self._beating = Thread(target=self._beat, name="heartbeat", daemon=True)
        self._beating.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._beating.join()
        with suppress(OSError):  # what cannot be removed is known to be of a process that is gone
            self.release_all()
            self._tidy()
            self._owner.unlink(missing_ok=True)

    def claim(self, key: str) -> bool:
        """Take a key, and return whether it was free."""
        with self._lock:
            if key in self._held:
                return False
            claims: list[str] = []
            while True:
                path = self._path(key, len(claims))
                self._link(path)
                if (claim := read(path)) is None:  # given back just now
                    return False
                claims.append(claim)
                if claim != self._mark:
                    if not self._is_dead(path, claim):
                        return False
                elif not self._is_taken_over(key, claims):
                    break
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
            if self._is_taken_over(key, claims):
                return
            for number, claim in enumerate(claims):
                path = self._path(key, number)
                if read(path) == claim:
                    path.unlink(missing_ok=True)

    def release_all(self) -> None:
        """Give all keys back."""
        for key in [*self._held]:
            self.release(key)

    def _is_taken_over(self, key: str, claims: list[str]) -> bool:
        """Whether there is a claim after our last one, as when this process has slept."""
        return self._path(key, len(claims)).exists()

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
                with open(path, "x", encoding="utf-8") as stream:
                    stream.write(self._mark)

    def _is_dead(self, path: Path, mark: str) -> bool:
        """Whether the owner of a file does not work any more."""
        if (match := re.fullmatch(MARK, mark)) and is_gone(match[1]):
            return True
        # A claim ages by itself where it is no link.
        last = max(touched(path), touched(self.folder / f"{mark}.owner") if match else -inf)
        self._touch()
        return touched(self._owner) - last > EXPIRY

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            with suppress(OSError):  # the disk may be back in time
                self._touch()

    def _touch(self) -> None:
        """Show that this process works."""
        if not self._owner.exists():  # those who took it for dead may have removed it
            with atomic_write(self._owner) as stream:
                stream.write(self._mark)
        os.utime(self._owner)

    def _tidy(self) -> None:
        """Remove what dead processes have left."""
        for path in self.folder.iterdir():
            if match := CLAIM.fullmatch(path.name):
                if self.claim(match[1]):
                    self.release(match[1])
            elif (match := OWNER.fullmatch(path.name)) and self._is_dead(path, match[1]):
                path.unlink(missing_ok=True)


def this_process() -> str:
    """Return which machine this is, the number of this process and when it has started."""
    proc = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    # Machines may have one name, and containers of one machine number their processes apart.
    machine = [socket.gethostname()]
    if all(path.exists() for path in proc):
        machine += [proc[0].read_text(), os.readlink(proc[1])]
    digest = sha256("\n".join(machine).encode()).hexdigest()[:16]
    return f"{digest}-{os.getpid()}-{started(os.getpid())}"


def is_gone(process: str) -> bool:
    """Whether a process has ended; False where that is not known, as of another machine."""
    machine, pid, since = process.split("-")
    # Where it is no question to a process, os.kill with signal 0 would end it.
    if machine != this_process().split("-")[0] or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it is of another user
        return False
    return started(int(pid)) != since  # another one may have its number


def started(pid: int) -> str:
    """Return when a process has started, in ticks; "" if it has ended or that is not known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *numbers = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else numbers[18]  # it may have ended, and its parent not looked


def read(path: Path) -> str | None:
    """Return what a claim says, None if it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read(MOST)
    except FileNotFoundError:
        return None


def touched(path: Path) -> float:
    """Return when a file was last touched, in seconds of its disk's clock; -inf if it is gone."""
    try:
        with open(path, "rb") as stream:  # network file systems ask the server only then
            return os.fstat(stream.fileno()).st_mtime
    except FileNotFoundError:
        return -inf
