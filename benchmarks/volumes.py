"""Classifiers of volumes on cohorts of 73 to 600 scans: RFNiN, its twin, stacks, linear baselines.

Hold-outs of a quarter of the subjects (of half of them where the cohort is simulated),
stratified, the same for every classifier; defaults throughout.  The tasks place-J-N are simulated
too: N scans to train on, and the lesion of every patient displaced by J mm (one standard
deviation) along the cortex, so that a linear model of voxels has the less to hold on to, the
larger J is.  Defaults were chosen on other hold-outs of the same cohorts, or within their
training parts.  Stopped and started again it continues.  Needs the folders t1 and hippocampus in
the folder that SKLSTRUCT_DATA names.  Results go to volumes.csv, one row a fit.
"""

import argparse
import os
from pathlib import Path

from common import merge_csv

from sklstruct import PCASVC, LinearStackClassifier, NiftiVolumes, RFNiNClassifier, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.io import Cohort
from sklstruct.studies import cohort_study, format_summary

ESTIMATORS = {
    "RFNiN": RFNiNClassifier(),
    "plain NiN": RFNiNClassifier(frame="pixel"),
    "RFNiN, stacked": LinearStackClassifier(network=RFNiNClassifier()),
    "plain NiN, stacked": LinearStackClassifier(network=RFNiNClassifier(frame="pixel")),
    "plain NiN, 120 epochs": RFNiNClassifier(frame="pixel", max_epochs=120),
    "voxel SVM": VoxelSVC(),
    "PCA + SVM": PCASVC(),
}
TASKS = {
    "sex": ("t1", "sex"),
    "anterior": ("hippocampus", "anterior_fraction_high"),
    "tertile": ("hippocampus", "volume_tertile"),
}
SIMULATED = {
    "simulated": {"n_subjects": 300, "effect_size": 0.6, "jitter": 15.0, "random_state": 7},
    **{
        f"place-{jitter}-{n}": {
            "n_subjects": 2 * n,
            "effect_size": 0.6,
            "jitter": float(jitter),
            "random_state": 8,
        }
        for n in (100, 300)
        for jitter in (0, 10, 20)
    },
}


def cohort_of(task, work):
    """Return the cohort of a task."""
    if task in TASKS:
        folder, target = TASKS[task]
        return Cohort.from_bids(Path(os.environ["SKLSTRUCT_DATA"]) / folder, target)
    if not (work / f"{task}-cohort").exists():
        simulate_cohort(work / f"{task}-cohort", **SIMULATED[task])
    return Cohort.from_bids(work / f"{task}-cohort", "diagnosis")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join([*TASKS, *SIMULATED]))
    parser.add_argument("--only", default=";".join(ESTIMATORS), help="separated by semicolons")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--work", type=Path, default="volumes-study", help="of the running study")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for task in args.tasks.split(","):
        cohort = cohort_of(task, args.work)
        results = cohort_study(
            {label: ESTIMATORS[label] for label in args.only.split(";")},
            NiftiVolumes().fit_transform(cohort.X),
            cohort.y,
            cohort.groups,
            n_repeats=args.repeats,
            test_size=0.5 if task in SIMULATED else None,
            n_jobs=args.n_jobs,
            out=args.work / task,
            target=task,
        )
        print(format_summary(results))
        fits = results.assign(task=task)
        merge_csv("volumes.csv", fits, ["task", "estimator", "repeat"], float_format="%.4g")


if __name__ == "__main__":
    main()
