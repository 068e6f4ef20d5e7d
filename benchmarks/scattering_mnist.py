"""MNIST with few training images: the classifiers on scattering.

Five stratified draws, the same as in mnist.py, tested on the 10000 test images; defaults
throughout.  A size of 60000 is one fit on all training images.  Needs mnist.npz in the folder
that SKLSTRUCT_DATA names.  Results go to scattering_mnist.csv, one row a fit; a fit that is
repeated replaces its row.
"""

import argparse

import pandas as pd
from common import merge_csv
from sklstruct_scattering.linear import ScatteringLinear
from sklstruct_scattering.pca import ScatteringPCAClassifier
from sklstruct_scattering.svc import ScatteringSVC

from sklstruct.io import load_dataset
from sklstruct.studies import FixedSplit, Study, format_summary, limited_data

ESTIMATORS = {
    "PCA": ScatteringPCAClassifier(),
    "SVC": ScatteringSVC(),
    "linear": ScatteringLinear(),
}


def on_draws(named, data, sizes, n_draws):
    """Return the rows of the study of small training sets."""
    results = limited_data(
        named,
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        sizes=sizes,
        n_draws=n_draws,
    )
    print(format_summary(results))
    return results.drop(columns="seed").to_dict("records")


def on_all(label, estimator, data):
    """Return the row of one fit on all training images."""
    study = Study(FixedSplit(), {label: estimator})
    results = study.run(data.X, data.y, X_test=data.X_test, y_test=data.y_test)
    (row,) = results.drop(columns=["seed", "run"]).to_dict("records")
    return row | {"size": len(data.y), "draw": 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(ESTIMATORS), help="labels")
    parser.add_argument("--sizes", default="300,1000,2000,5000")
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    data = load_dataset("mnist")
    named = {label: ESTIMATORS[label] for label in args.only.split(",")}
    sizes = [int(size) for size in args.sizes.split(",")]
    small = [size for size in sizes if size < len(data.y)]
    rows = on_draws(named, data, small, args.draws) if small else []
    if len(data.y) in sizes:
        rows += [on_all(label, estimator, data) for label, estimator in named.items()]
    rows = [row | {"error": 100 * (1 - row["accuracy"])} for row in rows]
    merge_csv("scattering_mnist.csv", pd.DataFrame(rows), float_format="%.4g")


if __name__ == "__main__":
    main()
