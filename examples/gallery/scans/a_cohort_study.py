"""
A cohort study, to its report
=============================

Which of three classifiers should tell patients from controls?  A study fits all of them on the same
hold-outs of whole subjects, and keeps what it has found, so that it can be stopped and gone on
with.

What is learned: with sixty scans, differences of several points are no differences.
"""

# %%
import tempfile
from pathlib import Path

from sklstruct import PCASVC, RFNiNClassifier, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.inspection import ScoresDisplay, write_report
from sklstruct.studies import cohort_study, compare

folder = tempfile.TemporaryDirectory()
place = Path(folder.name)
head = {"shape": (20, 20, 20), "spacing": 10.0, "effect_size": 1.0, "jitter": 10.0}
cohort = simulate_cohort(place / "scans", n_subjects=60, random_state=1, **head)
print(cohort)

# %%
# ``on_paths`` lets an estimator of arrays take files; grid, mask and scaling are found on the
# training scans of each hold-out.
models = {
    "voxel SVM": VoxelSVC(),
    "PCA + SVM": PCASVC(),
    "RFNiN": RFNiNClassifier(max_epochs=10),
}
models = {name: on_paths(model, cache_dir=place / "cache") for name, model in models.items()}
results = cohort_study(
    models, cohort.X, cohort.y, cohort.groups, n_repeats=5, out=place / "study", progress=False
)
results.groupby("estimator")["balanced_accuracy"].agg(["mean", "std"]).round(3)

# %%
# Intervals of differences are wide, since hold-outs share their subjects: those of the corrected
# resampled t-test say so.
compare(results, "voxel SVM")[["estimator", "difference", "low", "high"]].round(2)

# %%
# Each point is a hold-out.

# sphinx_gallery_alt = "Balanced accuracy of three classifiers over five hold-outs, with lines"
# sphinx_gallery_alt = "that join the same hold-out, and their means."
ScoresDisplay.from_results(results)

# %%
# The report is one page that stands alone, with tables for a paper beside it: who was left out,
# what was compared with what, and how.  A hundred hold-outs in place of five are for figures to
# believe.
report = write_report(results, place / "study", baseline="voxel SVM")
print(sorted(file.name for file in report.parent.iterdir()))
print(f"{report.name}: {report.stat().st_size // 1000} kB")
folder.cleanup()
