"""What reading volumes batch by batch costs, against training on the same volumes in memory.

A cohort is simulated in a temporary folder, or read from a BIDS folder; RFNiNClassifier trains on
it streamed, with the volumes kept on disk on the common grid, and in memory, in turn.  Seconds of
an epoch, passed and computed by all threads, are medians from the second epoch on, when nothing
is resampled any more.  The ratio of the computed ones is the cost where one core does it all;
where another is idle it reads ahead, and the ratio of those passed is less.  Appends to
loading.csv.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import append_csv
from skorch.callbacks import Callback

from sklstruct import NiftiVolumes, RFNiNClassifier
from sklstruct.datasets import simulate_cohort


class EpochSeconds(Callback):
    """Record the seconds of every epoch: passed, and computed by this process."""

    def __init__(self):
        self.marks = []

    def on_train_begin(self, net, **kwargs):
        """Mark the start of an epoch, which is also the end of the one before."""
        self.marks.append((time.perf_counter(), time.process_time()))

    on_epoch_end = on_train_begin


def seconds(X, epochs):
    """Return the seconds (epochs - 1, 2) of the epochs of a fit after the first, and the model."""
    clock, y = EpochSeconds(), np.arange(len(X)) % 2
    model = RFNiNClassifier(max_epochs=epochs, callbacks=[clock], random_state=0).fit(X, y)
    return np.diff(clock.marks, axis=0)[1:], model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a BIDS folder; without it, a cohort is simulated")
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--shape", type=int, nargs=3, default=(52, 64, 56))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        source = args.data
        if source is None:
            size = {"n_subjects": args.subjects, "shape": tuple(args.shape), "spacing": 3.0}
            source = simulate_cohort(Path(folder) / "cohort", **size).X
        volumes = NiftiVolumes(mask="brain", crop=True, stream=True, cache_dir=f"{folder}/cache")
        streamed = volumes.fit_transform(source)
        X = {"streamed": streamed, "memory": np.asarray(streamed)}  # which fills the cache too
        taken = {name: [] for name in X}
        for _ in range(args.repeats):
            models = []
            for name in X:
                epochs, model = seconds(X[name], args.epochs)
                taken[name].extend(epochs)
                models.append(model)
            np.testing.assert_array_equal(*(model.loss_curve_ for model in models))
    name = "simulated" if args.data is None else Path(args.data).name
    row = {"data": name, "n": len(streamed)}
    row |= {"shape": "x".join(map(str, streamed.shape[1:])), "epochs": args.epochs}
    row["cores"] = len(os.sched_getaffinity(0))
    for kind, name in enumerate(("passed", "computed")):
        medians = {how: float(np.median(taken[how], axis=0)[kind]) for how in X}
        row |= {f"{how}_{name}_s": value for how, value in medians.items()}
        row[f"ratio_{name}"] = medians["streamed"] / medians["memory"]
    append_csv("loading.csv", row)


if __name__ == "__main__":
    main()
