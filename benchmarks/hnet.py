"""H-Net, steerable ResNets and RFNN on turned digits: trained upright, tested at every angle.

300 of the first 50000 training images of MNIST, stratified draws that are the same for all, and
2000 of the 10000 other training images, as they are and turned by angles that are uniform on the
circle, by bilinear interpolation, the same for all.  Rows go to hnet.csv, one a fit.  Needs
mnist.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse

import numpy as np
import pandas as pd
from common import HERE, merge_csv
from scipy.ndimage import rotate
from scipy.stats import t as student
from sklearn.model_selection import train_test_split

from sklstruct import RFNNClassifier, SteerableResNetClassifier, StructuredClassifier
from sklstruct.io import load_dataset

ESTIMATORS = {
    "H-Net": StructuredClassifier(architecture="hnet"),
    "RFNN": RFNNClassifier(),
    "SteerableResNet": SteerableResNetClassifier(),
    "SteerableResNet, static": SteerableResNetClassifier(pose="fixed"),
    "SteerableResNet, largest response": SteerableResNetClassifier(pose="max"),
}
PAIRS = (
    ("H-Net", "RFNN"),
    ("SteerableResNet", "SteerableResNet, static"),
    ("SteerableResNet", "SteerableResNet, largest response"),
    ("SteerableResNet", "RFNN"),
)
NAME, N_TRAIN, N_TEST, SIZE = "hnet.csv", 50000, 2000, 300


def turned(images, seed):
    """Return images that are turned by angles uniform on the circle."""
    angles = np.random.default_rng(seed).uniform(0, 360, len(images))
    pairs = zip(images.astype(float), angles, strict=True)
    return np.stack([rotate(image, angle, reshape=False, order=1) for image, angle in pairs])


def summary():
    """Print mean errors, and paired differences with their intervals of 95 %."""
    results = pd.read_csv(HERE / NAME)
    for error in ("upright_error", "turned_error"):
        table = results.pivot(index="draw", columns="estimator", values=error)
        print(f"{error}: {table.mean().round(2).to_dict()}, {len(table)} draws")
        for one, other in PAIRS:
            if {one, other} <= {*table}:
                differences = (table[one] - table[other]).dropna()
                half = student.ppf(0.975, len(differences) - 1) * differences.sem()
                print(f"    {one} - {other}: {differences.mean():.2f} +- {half:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--only", choices=tuple(ESTIMATORS), nargs="+", default=ESTIMATORS)
    args = parser.parse_args()
    data = load_dataset("mnist")
    X, y = np.asarray(data.X).reshape(-1, 28, 28), data.y
    X_test, y_test = X[N_TRAIN : N_TRAIN + N_TEST], y[N_TRAIN : N_TRAIN + N_TEST]
    tests = {"upright_error": X_test, "turned_error": turned(X_test, seed=0)}
    options = {"train_size": SIZE, "stratify": y[:N_TRAIN]}
    for draw in range(args.draws):
        train, _ = train_test_split(np.arange(N_TRAIN), random_state=draw, **options)
        for name in args.only:
            model = ESTIMATORS[name].set_params(random_state=draw).fit(X[train], y[train])
            row = {"estimator": name, "size": SIZE, "draw": draw, "n_test": N_TEST}
            row |= {k: 100 * (1 - model.score(images, y_test)) for k, images in tests.items()}
            print("  ".join(f"{k}={v}" for k, v in row.items()), flush=True)
            merge_csv(NAME, pd.DataFrame([row]), float_format="%.4g")
    summary()


if __name__ == "__main__":
    main()
