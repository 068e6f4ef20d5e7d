"""Processes that work through the same cells of a folder, some of which are killed at random.

    python claimers.py FOLDER N_PROCESSES N_CELLS N_KILLS

Each writes a line "claim <key> <pid>" to FOLDER/diary before it computes a cell.  The numbers of
those that were killed are printed.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from sklstruct.studies.store import FolderStore


def keys(n_cells):
    return [f"{number:08x}" for number in range(n_cells)]


def arrays(key):
    return {"scores": np.random.default_rng(int(key, 16)).normal(size=(20, 3))}


def work(folder, n_cells, seed):
    """Compute cells until all are there."""
    diary = os.open(folder / "diary", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    rng = random.Random(seed)
    with FolderStore(folder / "study") as store:
        while missing := sorted(set(keys(n_cells)) - store.keys()):
            rng.shuffle(missing)
            for key in missing:
                if store.claim(key):
                    os.write(diary, f"claim {key} {os.getpid()}\n".encode())
                    time.sleep(rng.random() / 500)
                    store.put(key, {"number": int(key, 16)}, arrays(key))
            time.sleep(0.001)


def start(*arguments):
    """Return the number of a new process that works."""
    if pid := os.fork():
        return pid
    try:
        work(*arguments)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def main(folder, n_processes, n_cells, n_kills):
    rng = random.Random(0)
    working = [start(folder, n_cells, seed) for seed in range(n_processes)]
    every, killed = [*working], []
    for number in range(n_kills):
        time.sleep(rng.random() / 20)
        victim = working.pop(rng.randrange(len(working)))
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        working.append(start(folder, n_cells, n_processes + number))
        every.append(working[-1])
    # Only now, so that those that were killed are zombies until then.
    statuses = {pid: os.waitpid(pid, 0)[1] for pid in every}
    print(*(pid for pid in killed if os.WIFSIGNALED(statuses[pid])))
    return sum(map(os.WEXITSTATUS, statuses.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
