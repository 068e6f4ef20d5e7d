"""Time one default fit of RFNNClassifier on 300 images of 28x28, alone on the machine."""

import time

import numpy as np
from common import append_csv

from sklstruct import RFNNClassifier


def main():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, 300)
    for params in ({}, {"augment": "digits"}, {"n_threads": 2}, {"frame": "pixel"}):
        start = time.perf_counter()
        RFNNClassifier(random_state=0, **params).fit(X, y)
        seconds = time.perf_counter() - start
        append_csv("fit_time.csv", {"parameters": str(params), "seconds": seconds})


if __name__ == "__main__":
    main()
