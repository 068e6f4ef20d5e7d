"""Time RFNNClassifier.fit against a hand-written torch loop that takes the same steps.

Both train the same network from the same weights on the same batches, in turn, in one process;
the ratio of the medians is printed and appended to overhead.csv.
"""

import argparse
import time

import numpy as np
import torch
from common import append_csv
from torch.nn import functional as F

from sklstruct import RFNNClassifier
from sklstruct.architecture import make_architecture


def hand_written(X, y, seed, epochs, batch_size=25, lr=0.01):
    """Return the network after the steps that the estimator's defaults take."""
    torch.manual_seed(seed)
    network = make_architecture("rfnn").build((1, *X.shape[1:]), 10)
    x = torch.from_numpy((X - X.mean()) / X.std())[:, None]
    y = torch.from_numpy(y)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, weight_decay=0.01, fused=True)
    n_batches = -(-len(x) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=epochs * n_batches + 1
    )
    network.train()
    for _ in range(epochs):
        for index in torch.randperm(len(x)).tensor_split(n_batches):
            loss = F.cross_entropy(network(x[index]), y[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for n, extent, epochs in ((300, 28, 3), (300, 8, 20), (1000, 8, 8)):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, extent, extent)).astype(np.float32)
        y = rng.integers(0, 10, n)
        seconds = {"estimator": [], "loop": []}
        for repeat in range(args.repeats + 1):
            start = time.perf_counter()
            RFNNClassifier(max_epochs=epochs, random_state=repeat).fit(X, y)
            middle = time.perf_counter()
            hand_written(X, y, repeat, epochs)
            if repeat:  # the first round warms up
                seconds["estimator"].append(middle - start)
                seconds["loop"].append(time.perf_counter() - middle)
        estimator, loop = (float(np.median(values)) for values in seconds.values())
        append_csv(
            "overhead.csv",
            {"n": n, "extent": extent, "epochs": epochs, "estimator_s": estimator, "loop_s": loop}
            | {"ratio": estimator / loop},
        )


if __name__ == "__main__":
    main()
