"""H-Net against RFNN on turned digits: trained upright, tested at every angle.

300 of the first 50000 training images of MNIST, stratified draws that are the same for both, and
2000 of the 10000 other training images, as they are and turned by angles that are uniform on the
circle, by bilinear interpolation, the same for all.  Rows go to hnet.csv, one a fit; the paired
difference is printed with its interval of 95 %.  Needs mnist.npz in the folder that SKLSTRUCT_DATA
names.

``--choose`` is for recipes: it draws by another seed, and tests on others of the first 50000
images, which are left out of the draws.
"""

import argparse
import time

import numpy as np
import pandas as pd
from common import merge_csv
from scipy.ndimage import rotate
from scipy.stats import t as student
from sklearn.model_selection import train_test_split

from sklstruct import RFNNClassifier, StructuredClassifier
from sklstruct.io import load_dataset

ESTIMATORS = {"H-Net": StructuredClassifier(architecture="hnet"), "RFNN": RFNNClassifier()}
N_TRAIN, N_TEST, SIZE = 50000, 2000, 300


def turned(images, seed):
    """Return images that are turned by angles uniform on the circle."""
    angles = np.random.default_rng(seed).uniform(0, 360, len(images))
    pairs = zip(images.astype(float), angles, strict=True)
    return np.stack([rotate(image, angle, reshape=False, order=1) for image, angle in pairs])


def interval(differences):
    """Return the mean of paired differences, and half its interval of 95 %."""
    n = len(differences)
    half = student.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return f"{differences.mean():.2f} +- {half:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--choose", action="store_true")
    args = parser.parse_args()
    data = load_dataset("mnist")
    X, y = np.asarray(data.X).reshape(-1, 28, 28), data.y
    others = slice(N_TRAIN, N_TRAIN + N_TEST)
    if args.choose:
        others = slice(N_TRAIN - N_TEST, N_TRAIN)
    X_test, y_test = X[others], y[others]
    tests = {"upright_error": X_test, "turned_error": turned(X_test, seed=0)}
    pool = np.arange(N_TRAIN - N_TEST * args.choose)
    rows = []
    for draw in range(args.draws):
        seed = 1000 * args.choose + draw
        train = train_test_split(pool, train_size=SIZE, stratify=y[pool], random_state=seed)[0]
        for name, estimator in ESTIMATORS.items():
            start = time.perf_counter()
            model = estimator.set_params(random_state=seed).fit(X[train], y[train])
            row = {"estimator": name, "size": SIZE, "draw": draw}
            row |= {"fit_seconds": time.perf_counter() - start}
            row |= {k: 100 * (1 - model.score(images, y_test)) for k, images in tests.items()}
            rows.append(row)
            print("  ".join(f"{k}={v}" for k, v in row.items()), flush=True)
    results = pd.DataFrame(rows)
    for error in tests:
        table = results.pivot(index="draw", columns="estimator", values=error)
        print(error, table.mean().round(2).to_dict(), interval(table["H-Net"] - table["RFNN"]))
    if not args.choose:
        merge_csv("hnet.csv", results)


if __name__ == "__main__":
    main()
