"""What it costs to store fits: a file each, rows of a database, or tables that are rewritten.

A fit has a row of 22 entries, and labels and 10 scores of 600 tested samples.  Milliseconds are
those to add one of the first and one of the last fits of a study, in turn.  Seconds are those to
open the study and to read all rows, passed and computed, the best of five times.  Megabytes are
what a study of 200 or 800 fits hands to the disk, with rows alone and with the scores.  Nothing is
lost with the power in any of the ways.  Tables are what studies were before; their last fits are
timed with the lines of one fit in place of all earlier ones.  The ratios to a file each are
printed.  Appends to study_store.csv.
"""

import argparse
import csv
import json
import sqlite3
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import append_csv

from sklstruct.io import atomic_write
from sklstruct.studies.store import FolderStore

N_TEST, N_CLASSES = 600, 10
METRICS = ("accuracy", "balanced_accuracy", "log_loss", "auc", "brier", "fit_seconds")
COUNTS = ("n_train", "n_test", "n_train_subjects", "n_test_subjects", "n_parameters", "seed")


class Files:
    """A file each."""

    def __init__(self, folder):
        self.store = FolderStore(folder)
        self.store.__enter__()

    def add(self, key, header, arrays):
        """Claim a fit, and store it."""
        assert self.store.claim(key)
        self.store.put(key, header, arrays)

    def count(self):
        """Read all rows."""
        return len(self.store.headers())

    def close(self):
        """Leave the folder."""
        self.store.__exit__()


class Database:
    """Rows of SQLite with a write-ahead log, which takes one machine at a time."""

    def __init__(self, folder):
        self.connection = sqlite3.connect(folder / "study.db", isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS fits (key TEXT PRIMARY KEY, header TEXT, arrays BLOB)"
        )
        self.close = self.connection.close

    def add(self, key, header, arrays):
        """Insert a row."""
        content = b"".join(array.tobytes() for array in arrays.values())
        row = key, json.dumps(header), content
        self.connection.execute("INSERT INTO fits VALUES (?, ?, ?)", row)

    def count(self):
        """Read all rows."""
        rows = self.connection.execute("SELECT key, header FROM fits")
        return len({key: json.loads(header) for key, header in rows})


class Tables:
    """Tables as CSV that are rewritten with every fit."""

    def __init__(self, folder):
        self.files = folder / "predictions.csv", folder / "fits.csv"
        self.texts = [], []

    def add(self, key, header, arrays):
        """Put a fit into words, and write all of them."""
        samples = zip(*(array.tolist() for array in arrays.values()), strict=True)
        lines = (f"{key},{','.join(map(str, sample))}\n" for sample in samples)
        row = ",".join(map(str, (header["row"] | header["costs"]).values()))
        for path, texts, text in zip(self.files, self.texts, ("".join(lines), row), strict=True):
            texts.append(text + "\n")
            with atomic_write(path) as stream:
                stream.writelines(texts)

    def repeat(self, n):
        """Have the lines of the first fit n times."""
        for texts in self.texts:
            texts[:] = texts[:1] * n

    def count(self):
        """Read all rows."""
        with open(self.files[1], newline="") as stream:
            return len([*csv.reader(stream)])

    def close(self):
        """Do nothing."""


WAYS = {"files": Files, "database": Database, "tables": Tables}


def fits(n, scores):
    """Yield the keys, headers and arrays of n fits, with scores or without any array."""
    rng = np.random.default_rng(0)
    for number in range(n):
        row = {"estimator": "random forest", "size": 300, "draw": number}
        row |= {name: float(rng.random()) for name in METRICS}
        row |= {name: int(rng.integers(2**31)) for name in COUNTS}
        row |= {"held_out_site": "", "chosen": "", "device": "cpu"}
        costs = {"host": "node17", "pid": 12345, "started": "2026-01-01", "peak_memory_mb": 512.3}
        arrays = {
            "test": np.arange(N_TEST, dtype=np.int32),
            "label": rng.integers(N_CLASSES, size=N_TEST, dtype=np.int16),
            "predicted": rng.integers(N_CLASSES, size=N_TEST, dtype=np.int16),
            "scores": rng.random((N_TEST, N_CLASSES), dtype=np.float32),
        }
        key = sha256(b"%d" % number).hexdigest()[:32]
        yield key, {"row": row, "costs": costs}, arrays if scores else {}


def seconds(function, *args):
    """Return how long a call takes, and how long the processor works on it."""
    start, worked = time.perf_counter(), time.process_time()
    function(*args)
    return time.perf_counter() - start, time.process_time() - worked


def fill(store, n, scores=True):
    """Store n fits."""
    if isinstance(store, Tables):
        store.add(*next(fits(1, scores)))
        store.repeat(n - 1)
        n = 1
    for fit in fits(n, scores):
        store.add(*fit)


def written():
    """Return how many megabytes this process has written."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"]) / 1e6


def time_adding(open_store, n):
    """Return the milliseconds of the first and the last fits of n, added in turn."""
    few = 10 if open_store is Tables else 100
    last = [*fits(n, scores=True)][-few:]
    with TemporaryDirectory() as new, TemporaryDirectory() as old:  # noqa: SIM117
        with closing(open_store(Path(new))) as empty, closing(open_store(Path(old))) as full:
            fill(full, n - few)
            taken = [[seconds(store.add, *fit)[0] for store in (empty, full)] for fit in last]
    return 1e3 * np.median(taken, axis=0)


def time_reading(open_store, n):
    """Return the seconds to open a study of n fits and to read all rows."""

    def read():
        with closing(open_store(Path(folder))) as store:
            assert store.count() == n

    with TemporaryDirectory() as folder:
        with closing(open_store(Path(folder))) as store:
            fill(store, n, scores=open_store is not Tables)
        return np.min([seconds(read) for _ in range(5)], axis=0).tolist()


def megabytes(open_store, n, scores):
    """Return how much a study of n fits writes."""
    with TemporaryDirectory() as folder, closing(open_store(Path(folder))) as store:
        before = written()
        for fit in fits(n, scores):
            store.add(*fit)
        return written() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=10_000)
    args = parser.parse_args()
    rows = []
    for way, open_store in WAYS.items():
        first, last = time_adding(open_store, args.fits)
        row = {"way": way, "fits": args.fits, "first_ms": float(first), "last_ms": float(last)}
        passed, worked = time_reading(open_store, args.rows)
        row |= {"rows": args.rows, "read_s": passed, "read_cpu_s": worked}
        row |= {f"mb_{n}": megabytes(open_store, n, scores=False) for n in (200, 800)}
        # Tables would write 40 GB.
        scores = "" if open_store is Tables else megabytes(open_store, 800, scores=True)
        append_csv("study_store.csv", row | {"mb_800_scores": scores})
        rows.append(row)
    files, *others = rows
    for other in others:
        ratios = (f"{k} {other[k] / files[k]:.3g}" for k in files if k[-2:] in ("ms", "_s", "00"))
        print(f"{other['way']} / files: {', '.join(ratios)}")


if __name__ == "__main__":
    main()
