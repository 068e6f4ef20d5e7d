"""MNIST with 1000 training images: sparse codes in fixed frames and in learned dictionaries.

Five stratified draws, the same as in scattering_mnist.py, tested on the 10000 test images; the
default frame was chosen on other draws.  Defaults but for what a label says.  Needs mnist.npz in
the folder that SKLSTRUCT_DATA names.  Results go to sparse_frames.csv, one row a fit, and the
paired differences from the default to sparse_frames_differences.csv.
"""

import argparse

import pandas as pd
from common import HERE, merge_csv, paired_differences
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklstruct_scattering.linear import ScatteringLinear
from sklstruct_sparse.classifier import SparseFrameClassifier as Sparse
from sklstruct_sparse.coder import ConvolutionalSparseCoder

from sklstruct.frames import CurveletTransform
from sklstruct.io import load_dataset
from sklstruct.studies import format_summary, limited_data

DEFAULT = "elongated Gaussians (default)"
CURVELETS = CurveletTransform(levels=3)
STRENGTHS = [10.0**k for k in range(-1, 7)]


def coder(**params):
    """Return a classifier that is linear in the codes of two learned layers."""
    coder = ConvolutionalSparseCoder(pool=7, dtype="float32", **params)
    return make_pipeline(coder, StandardScaler(with_std=False), RidgeClassifierCV(STRENGTHS))


ESTIMATORS = {
    DEFAULT: Sparse(),
    "keep a tenth": Sparse(threshold="keep-k"),
    "printed soft": Sparse(threshold="printed-soft"),
    "printed hard": Sparse(threshold="printed-hard"),
    "learned thresholds": Sparse(learn_threshold=True),
    "no pooling": Sparse(pool=None),
    "wavelets": Sparse(frame="wavelet"),
    "wavelets, no pooling": Sparse(frame="wavelet", pool=None),
    "curvelets": Sparse(frame=CURVELETS),
    "coder, threshold": coder(pursuit="threshold"),
    "linear on pixels": Sparse(frame="wavelet", pool=None, tau=0.0),
    "scattering, linear": ScatteringLinear(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="labels, separated by semicolons")
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    data = load_dataset("mnist")
    labels = args.only.split(";") if args.only else ESTIMATORS
    results = limited_data(
        {label: ESTIMATORS[label] for label in labels},
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        sizes=[1000],
        n_draws=args.draws,
    )
    print(format_summary(results))
    results = results.drop(columns="seed").assign(error=100 * (1 - results["accuracy"]))
    merge_csv("sparse_frames.csv", results, float_format="%.4g")
    known = pd.read_csv(HERE / "sparse_frames.csv")
    table = paired_differences(known, reference=DEFAULT, metric="error")
    table.to_csv(HERE / "sparse_frames_differences.csv", index=False, float_format="%.3g")
    print(table.to_string(index=False, float_format="{:.2f}".format))


if __name__ == "__main__":
    main()
