"""Which maps of where a network looks can be trusted: three questions that may be answered no.

Does a map change when the weights are mixed up, from the output to the input (``sanity_check``)?
Does hiding, or showing, what it points to do more than hiding random places as coarse as the map
(``deletion``)?  Is the largest magnitude where patients of a simulated cohort have lost grey
matter?  All methods with their defaults (boxes of occlusion in scans are 40 mm wide, side by
side), and two that see no network: the sample itself, and noise.  Five draws of the training data:
200 small digits that are a 3 or an 8, with maps of 10 other 8s; 100 of 150 simulated scans of 8 mm,
with maps of 6 patients among the others, in which what is hidden looks as in the mean of the
training scans, and only places in the head count.  Nothing was chosen on these figures.  Results
go to where_it_looks.csv, one row a draw and method.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from common import HERE, merge_csv
from scipy.stats import t as student
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from sklstruct import NiftiVolumes, RFNiNClassifier, RFNNClassifier
from sklstruct.datasets import simulate_cohort
from sklstruct.inspection import deletion, sanity_check
from sklstruct.inspection.methods import MAP_METHODS, map_method
from sklstruct.io.nifti import read_volume

MODELS = {
    "digits": {"RFNN": RFNNClassifier(), "twin": RFNNClassifier(frame="pixel")},
    "cohort": {"RFNiN": RFNiNClassifier(), "twin": RFNiNClassifier(frame="pixel")},
}
COHORT = {
    "n_subjects": 150,
    "shape": (24, 24, 24),
    "spacing": 8.0,
    "effect_size": 0.6,
    "random_state": 11,
}
PAIR = 3, 8
BOX = 5  # voxels
TRUTH = "derivatives/truth/label-atrophy_mask.nii.gz"
HEAD = 0.2  # of the brightest voxel of the mean scan
KEYS = ("task", "estimator", "draw", "method")
MEASURES = (
    "signed",
    "magnitude",
    "chance",
    "deletion",
    "insertion",
    "lesion_auc",
    "mean_map_auc",
    "lesion_share",
)


def the_sample(estimator, X, target=None):
    return np.asarray(X, np.float32)


def noise(estimator, X, target=None):
    """Return noise that depends on the sample and the network, as maps do."""
    seeds = np.abs(1e6 * estimator.decision_function(X)).reshape(len(X), -1).sum(axis=1)
    return np.stack([np.random.default_rng(int(seed)).normal(size=X.shape[1:]) for seed in seeds])


METHODS = {**MAP_METHODS, "the sample": the_sample, "noise": noise}


def digits(draw):
    """Return images to train on, others to test on, and those whose maps are made."""
    X, y = load_digits().images, load_digits().target
    X, y = X[np.isin(y, PAIR)], y[np.isin(y, PAIR)]
    X, X_test, y, y_test = train_test_split(X, y, train_size=200, stratify=y, random_state=draw)
    return X, y, X_test, y_test, X_test[y_test == PAIR[1]][:10], {}, None


def scans(draw, y, volumes, lesion):
    """Return the same of scans, what else ``deletion`` takes, and where patients lost something."""
    numbers = np.arange(len(volumes))
    train, test = train_test_split(numbers, train_size=100, stratify=y, random_state=draw)
    mean = volumes[train].mean(axis=0)
    patients = [number for number in test if y[number] == "patient"][:6]
    return (
        *(volumes[train], y[train], volumes[test], y[test], volumes[patients]),
        {"fill": mean, "mask": mean > mean.min() + HEAD * np.ptp(mean)},
        lesion,
    )


def measure(model, method, shown, options, lesion):
    """Return what a method is worth on a fitted model."""
    options = {"n_steps": 10, "n_random": 3, **options}
    explain = map_method(METHODS[method])
    if method == "occlusion" and "fill" in options:  # what is hidden there is what is hidden here
        hidden = {name: options[name] for name in ("fill", "mask")}
        explain = partial(explain, size=BOX, stride=BOX, **hidden)
    mask = options.get("mask")
    sane = sanity_check(explain, model, shown, n_repeats=1, mask=mask)  # anew in every draw
    last = sane[sane["step"] == sane["step"].max()].set_index("measure")
    row = {
        **dict.fromkeys(("lesion_auc", "lesion_share", "mean_map_auc", "lesion_volume"), np.nan),
        **last["similarity"],
        "chance": last.loc["magnitude", "chance"],
    }
    maps = explain(model, shown, None)
    for kind in ("deletion", "insertion"):
        found = deletion(model, shown, maps, kind=kind, **options)
        ends = found.table[found.table["order"] == "map"].set_index("share")["score"]
        row |= {kind: found.gain.mean, "span": abs(ends.iloc[0] - ends.iloc[-1])}
    if lesion is not None:
        head, sizes = options["mask"], np.abs(maps)
        areas = [roc_auc_score(lesion[head], size[head]) for size in sizes]
        shares = [size[lesion & head].sum() / size[head].sum() for size in sizes]
        row |= {"lesion_auc": np.mean(areas), "lesion_share": np.mean(shares)}
        row["mean_map_auc"] = roc_auc_score(lesion[head], np.abs(maps.mean(axis=0))[head])
        row["lesion_volume"] = (lesion & head).sum() / head.sum()
    return row


def summary(rows):
    """Return means over draws with Student's intervals (95 %), as text."""
    grouped = rows.groupby(["task", "estimator", "method"], sort=False)[[*MEASURES]]
    reach = grouped.sem().mul(student.isf(0.025, grouped.count().clip(lower=2) - 1))
    return grouped.mean().round(2).astype(str) + " +- " + reach.round(2).astype(str)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default="digits,cohort")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if "cohort" in args.tasks:
            cohort = simulate_cohort(Path(folder) / "cohort", **COHORT)
            volumes = NiftiVolumes().fit_transform(cohort.X)
            lesion = read_volume(Path(folder, "cohort", TRUTH))[0] > 0
        for draw in range(args.draws):
            for task in args.tasks.split(","):
                data = digits(draw) if task == "digits" else scans(draw, cohort.y, volumes, lesion)
                X, y, X_test, y_test, *rest = data
                for name, model in MODELS[task].items():
                    model.set_params(random_state=draw).fit(X, y)
                    accuracy = model.score(X_test, y_test)
                    for method in args.methods.split(","):
                        if method == "activation" and not hasattr(
                            model.net_.module_, "class_activations"
                        ):
                            continue
                        row = measure(model, method, *rest)
                        keys = dict(zip(KEYS, (task, name, draw, method), strict=True))
                        print(keys, row, flush=True)
                        row = {**keys, "accuracy": accuracy, **row}
                        merge_csv("where_it_looks.csv", [row], KEYS, float_format="%.4g")
    print(summary(pd.read_csv(HERE / "where_it_looks.csv")).to_string())


if __name__ == "__main__":
    main()
