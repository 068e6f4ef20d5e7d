"""CIFAR-10 with few training images: a network on scattering, its twin on pixels, linear models.

Five stratified draws, the same for every estimator, tested on the 10000 test images.  The only
augmentation is by flips and crops, for network and twin alike.  The parameters were chosen on
images of the training set: six other draws of 100, judged by 2000 further images.  Stopped and
started again it continues.  Needs cifar10.npz in the folder that SKLSTRUCT_DATA names.  Results
go to scattering_cifar.csv, one row a fit.
"""

import argparse

from common import merge_csv

from sklstruct import ScatteringLinear, ScatteringNetClassifier
from sklstruct.io import load_dataset
from sklstruct.studies import format_summary, limited_data

ESTIMATORS = {
    "scattering net": ScatteringNetClassifier(augment="crops"),
    "twin on pixels": ScatteringNetClassifier(augment="crops", front="pixels"),
    "twin, 200 epochs": ScatteringNetClassifier(augment="crops", front="pixels", max_epochs=200),
    "scattering linear": ScatteringLinear(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="labels, separated by semicolons")
    parser.add_argument("--sizes", default="100")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--work", default="cifar-study", help="folder of the running study")
    args = parser.parse_args()
    data = load_dataset("cifar10")
    labels = args.only.split(";") if args.only else ESTIMATORS
    results = limited_data(
        {label: ESTIMATORS[label] for label in labels},
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        sizes=[int(size) for size in args.sizes.split(",")],
        n_draws=args.draws,
        n_jobs=args.n_jobs,
        out=args.work,
    )
    print(format_summary(results))
    merge_csv("scattering_cifar.csv", results)


if __name__ == "__main__":
    main()
