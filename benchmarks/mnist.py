"""MNIST with few training images: RFNN, its unstructured twins and an SVM on pixels.

Twenty stratified draws from the first 50000 training images, the same for every estimator, tested
on the 10000 others, which no setting was chosen on; defaults throughout.  Stopped and started
again it continues.  Needs mnist.npz in the folder that SKLSTRUCT_DATA names.  Results go to
mnist.csv, one row a fit.
"""

import argparse

from common import merge_csv
from sklstruct_baselines.svm import PixelSVC

from sklstruct import RFNNClassifier
from sklstruct.frames import Pixels
from sklstruct.io import load_dataset
from sklstruct.studies import format_summary, limited_data

PLAIN = {
    "RFNN": RFNNClassifier(),
    "twin 7x7": RFNNClassifier(frame="pixel"),
    "twin 5x5": RFNNClassifier(frame=Pixels(size=5)),
    "SVM": PixelSVC(),
}
AUGMENTED = {
    "RFNN, augmented": RFNNClassifier(augment="digits"),
    "twin 7x7, augmented": RFNNClassifier(frame="pixel", augment="digits"),
}
PAPER = {
    "RFNN, paper": RFNNClassifier(preset="paper"),
    "twin, paper": RFNNClassifier(preset="paper", frame="pixel"),
}
N_TRAIN = 50000
GROUPS = {"plain": PLAIN, "augmented": AUGMENTED, "paper": PAPER}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", default="plain,augmented")
    parser.add_argument("--only", help="labels, separated by semicolons")
    parser.add_argument("--sizes", default="300")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", default="mnist-study", help="folder of the running study")
    args = parser.parse_args()
    data = load_dataset("mnist")
    named = {k: v for group in args.groups.split(",") for k, v in GROUPS[group].items()}
    if args.only:
        named = {label: named[label] for label in args.only.split(";")}
    results = limited_data(
        named,
        data.X[:N_TRAIN],
        data.y[:N_TRAIN],
        X_test=data.X[N_TRAIN:],
        y_test=data.y[N_TRAIN:],
        sizes=[int(size) for size in args.sizes.split(",")],
        n_draws=args.draws,
        n_jobs=args.n_jobs,
        out=args.work,
    )
    print(format_summary(results))
    merge_csv("mnist.csv", results.assign(error=100 * (1 - results["accuracy"])))


if __name__ == "__main__":
    main()
