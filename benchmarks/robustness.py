"""Measure what noise in the coefficients of an RFNN costs, by the frame that its kernels are in.

Three networks a frame, each fitted to 300 other training images of MNIST, and 5 draws of noise;
accuracies are on 2000 test images.  "pixel+dct" joins two orthonormal bases of a 7x7 patch to a
tight frame of redundancy 2, "pixel x4" has every pixel four times; of these, noise is added to
the learned coefficients, and to those of least norm.  Needs mnist.npz in the folder that
SKLSTRUCT_DATA names.  Results go to robustness.csv, one row a draw.
"""

import argparse

import numpy as np
from common import merge_csv
from scipy.fft import dct
from sklearn.model_selection import train_test_split

from sklstruct import RFNNClassifier
from sklstruct.frames import Frame, Pixels
from sklstruct.inspection import coefficient_robustness
from sklstruct.io import load_dataset

N_TRAINING, N_TEST, TEST = 300, 2000, 50000  # from there on nobody trains
SIZE = 7
NOISE = (0, 0.05, 0.1, 0.2, 0.4, 0.8)


def joined(name, *bases):
    """Return the frame of the atoms of several bases of patches."""
    return Frame(name, np.concatenate([rows.reshape(-1, SIZE, SIZE) for rows in bases]))


def frames():
    pixels = np.eye(SIZE**2)
    cosines = dct(np.eye(SIZE), norm="ortho")
    return {
        "gaussian": "gaussian",
        "framelet": "framelet",
        "pixel": Pixels(size=SIZE),
        "pixel+dct": joined("pixel+dct", pixels, np.kron(cosines, cosines)),
        "pixel x4": joined("pixel x4", *[pixels] * 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="frames, separated by semicolons")
    parser.add_argument("--seeds", type=int, default=3, help="fits, each to other images")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--max-epochs", type=int, default=30)
    args = parser.parse_args()
    data = load_dataset("mnist")
    X_test, y_test = data.X[TEST : TEST + N_TEST], data.y[TEST : TEST + N_TEST]
    known = frames()
    for name in args.only.split(";") if args.only else known:
        for seed in range(args.seeds):
            X, _, y, _ = train_test_split(
                data.X[:TEST],
                data.y[:TEST],
                train_size=N_TRAINING,
                stratify=data.y[:TEST],
                random_state=seed,
            )
            model = RFNNClassifier(
                frame=known[name], max_epochs=args.max_epochs, random_state=seed
            ).fit(X, y)
            layer = model.net_.module_.stages[0][0]
            redundant = layer.frame.redundancy > 1
            for which in ("learned", "canonical") if redundant else ("learned",):
                options = {"noise": NOISE, "n_draws": args.draws, "random_state": 0}
                table = coefficient_robustness(
                    {name: model}, X_test, y_test, coefficients=which, **options
                ).assign(seed=seed, coefficients=which, redundancy=layer.frame.redundancy)
                print(table.groupby("noise")[["score", "kernel_change"]].mean(), flush=True)
                keys = ("estimator", "coefficients", "seed", "noise", "draw")
                merge_csv("robustness.csv", table, keys, float_format="%.5g")


if __name__ == "__main__":
    main()
