"""MNIST with few training images: the classifiers on scattering.

Five stratified draws, the same as in mnist.py, tested on the 10000 test images; defaults
throughout.  A size of 60000 is one fit on all training images.  Needs mnist.npz in the folder
that SKLSTRUCT_DATA names.  Results go to scattering_mnist.csv, one row a fit; a fit that is
repeated replaces its row.
"""

import argparse

import numpy as np
import pandas as pd
from common import merge_csv
from sklstruct_scattering.linear import ScatteringLinear
from sklstruct_scattering.pca import ScatteringPCAClassifier
from sklstruct_scattering.svc import ScatteringSVC

from sklstruct.io import load_dataset
from sklstruct.studies import format_summary, limited_data
from sklstruct.studies.limited_data import score, timed

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
    estimator.set_params(random_state=0)
    _, fit_seconds = timed(estimator.fit, data.X, data.y)
    predicted, predict_seconds = timed(estimator.predict, data.X_test)
    return {
        "estimator": label,
        "size": len(data.y),
        "draw": 0,
        **score(estimator, data.X_test, data.y_test, predicted, np.unique(data.y)),
        "fit_seconds": fit_seconds,
        "predict_seconds": predict_seconds,
        "n_parameters": estimator.n_parameters_,
        "n_test": len(data.y_test),
    }


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
