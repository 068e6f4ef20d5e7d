"""Kill studies at random moments, let others go on, and count what is done twice or lost.

Each round starts one or two processes on one folder, with one or two jobs each, kills all of them
(SIGKILL) after a random time, again and again until the study is finished.  An estimator writes a
line into a diary when a fit begins and when it ends.  Counted are fits that ended in a process that
was not killed then and yet were made again, fits that the folder lacks in the end, and tables that
differ from that of an undisturbed study where times are left out.  Another round lets eight
processes work on one folder, half of them with the same estimators.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from common import append_csv
from sklearn.base import BaseEstimator, ClassifierMixin

from sklstruct.studies import Draws, Results, Study

TIMES = ["fit_seconds", "predict_seconds"]
DESIGN = Draws([20, 40], 8)
KILLS = 50
MOST_SECONDS = {1: 1.0, 2: 4.0}  # until all is killed; workers take a second to start


class Writer(ClassifierMixin, BaseEstimator):
    """Says by lines of a diary what it does, which takes a while."""

    def __init__(self, diary="", name="a", seconds=0.05, random_state=None):
        self.diary = diary
        self.name = name
        self.seconds = seconds
        self.random_state = random_state

    def fit(self, X, y):
        self._note("begun")
        time.sleep(self.seconds)
        self.classes_, counts = np.unique(y, return_counts=True)
        self.proba_ = counts / len(y)
        return self

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def predict_proba(self, X):
        noise = np.random.default_rng(self.random_state).random((len(X), len(self.proba_)))
        return (self.proba_ + noise) / (self.proba_ + noise).sum(axis=1, keepdims=True)

    def _note(self, event):
        line = f"{event} {self.name} {self.random_state} {os.getpid()}\n".encode()
        with open(self.diary, "ab", buffering=0) as diary:  # appended in one step
            diary.write(line)


def study(folder, names, n_jobs=1):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 5)), np.arange(200) % 3
    estimators = {name: Writer(str(Path(folder, "diary")), name) for name in names}
    Study(DESIGN, estimators).run(X, y, out=Path(folder, "out"), n_jobs=n_jobs, progress=False)


def started(folder, names, n_jobs):
    """Return a process in a group of its own, so that its workers die with it, once it is ready."""
    command = [sys.executable, __file__, "--study", folder, names, str(n_jobs)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def killed_rounds(folder, n_processes, n_jobs, kills, rng):
    """Return how often a study was killed before it was finished, and how many fits ran then."""
    killed = running = 0
    while killed < kills:
        processes = [started(folder, "ab", n_jobs) for _ in range(n_processes)]
        time.sleep(rng.uniform(0.05, MOST_SECONDS[n_jobs]))
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()
        if not alive:
            return killed, running
        killed += 1
        running += n_jobs * len(alive)
    assert started(folder, "ab", n_jobs).wait() == 0
    return killed, running


def begun(folder):
    """Return how often each fit was begun."""
    lines = [line.split() for line in Path(folder, "diary").read_text().splitlines()]
    return Counter((name, seed) for _, name, seed, _ in lines)


def without_times(folder):
    table = pd.read_csv(Path(folder, "out", "results.csv"), dtype=str)
    return table.drop(columns=TIMES).to_csv(index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--study", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.study:
        print("ready", flush=True)
        folder, names, n_jobs = args.study
        study(folder, names, int(n_jobs))
        return
    rng, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as undisturbed:
        study(undisturbed, "ab")
        expected, n_fits = without_times(undisturbed), len(begun(undisturbed))
    for n_processes in (1, 2):
        for n_jobs in (1, 2):
            kills = running = again = lost = other = studies = 0
            while kills < args.kills:
                with tempfile.TemporaryDirectory() as folder:
                    killed, then = killed_rounds(
                        folder, n_processes, n_jobs, args.kills - kills, rng
                    )
                    kills, running, studies = kills + killed, running + then, studies + 1
                    again += sum(begun(folder).values()) - n_fits
                    lost += n_fits - len(Results.read(Path(folder, "out")))
                    other += without_times(folder) != expected
            rows.append([n_processes, n_jobs, kills, studies, running, again, lost, other])
    with tempfile.TemporaryDirectory() as folder:
        names = ["ab", "ab", "ab", "ab", "c", "d", "cd", "e"]
        processes = [started(folder, each, 1) for each in names]
        for process in processes:
            process.wait()
        counts = begun(folder)
        lost = 5 * n_fits // 2 - len(Results.read(Path(folder, "out")))
        twice = sum(counts.values()) - len(counts)
        rows.append([8, 1, 0, 1, 0, twice, lost, int(any(p.returncode for p in processes))])
    columns = [
        *("processes", "n_jobs", "kills", "studies", "running_when_killed", "made_again"),
        *("lost", "other_tables"),
    ]
    for row in rows:
        append_csv("study_kills.csv", dict(zip(columns, row, strict=True)))


if __name__ == "__main__":
    main()
