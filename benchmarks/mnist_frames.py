"""Compare frames for RFNN on training images of MNIST alone, for whether the default should change.

Eight draws of 300 training images each, other ones than those of mnist.py, judged on 3000 further
training images; the test set is never seen.  Needs mnist.npz in the folder that SKLSTRUCT_DATA
names.  Results go to mnist_frames.csv, one row a fit.
"""

import argparse

from common import merge_csv

from sklstruct import RFNNClassifier
from sklstruct.frames import GaussianDerivatives as Jet
from sklstruct.io import load_dataset
from sklstruct.studies import format_summary, limited_data

FRAMES = {
    "order 3, scale 1 (default)": "gaussian",
    "order 2, scale 1": Jet(order=2),
    "order 4, scale 1": Jet(order=4),
    "order 3, scales 1.5, 1, 1": (Jet(order=3, scales=(1.5,)), Jet(order=3), Jet(order=3)),
    "order 3, scales 1 and 2; 1; 1": (Jet(order=3, scales=(1.0, 2.0)), Jet(order=3), Jet(order=3)),
}
N_JUDGES = 3000


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="labels, separated by semicolons")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", default="mnist-frames-study", help="folder of the running study")
    args = parser.parse_args()
    data = load_dataset("mnist")
    labels = args.only.split(";") if args.only else FRAMES
    results = limited_data(
        {label: RFNNClassifier(frame=FRAMES[label]) for label in labels},
        data.X[N_JUDGES:],
        data.y[N_JUDGES:],
        X_test=data.X[:N_JUDGES],
        y_test=data.y[:N_JUDGES],
        sizes=[300],
        n_draws=args.draws,
        random_state=1,
        n_jobs=args.n_jobs,
        out=args.work,
    )
    print(format_summary(results))
    merge_csv("mnist_frames.csv", results.assign(error=100 * (1 - results["accuracy"])))


if __name__ == "__main__":
    main()
