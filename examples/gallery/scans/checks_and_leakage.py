"""
A cohort: checks, leakage, leave-out
====================================

Scans come with accidents: a file that is damaged, a subject without a label, the same image under
two names.  And where a subject has two scans, a split of scans is no split of subjects.

What is learned: check before you fit, and split by subject; labels drawn by lot show why.
"""

# %%
# A folder of scans as BIDS has it, with simulated heads, into which three accidents are put.
import shutil
import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from sklearn.model_selection import StratifiedKFold, cross_val_score

from sklstruct import NiftiVolumes, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.io import Cohort
from sklstruct.studies import subject_splits

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name, "study")
simulate_cohort(folder, n_subjects=24, random_state=0)
scans = sorted(folder.glob("sub-*/anat/*.nii.gz"))
shutil.copy(scans[3], scans[7])  # the image of another subject
scans[11].write_bytes(scans[11].read_bytes()[:2000])  # a download that broke off
table = folder / "participants.tsv"
lines = table.read_text().splitlines()
lines[16] = lines[16].replace("control", "n/a").replace("patient", "n/a")
table.write_text("\n".join(lines) + "\n")

# %%
# ``check`` reads every image, and reports what is wrong.  Nobody can know which of two equal images
# is the right one, so both are problems.
cohort = Cohort.from_bids(folder, target="diagnosis").check()
problems = cohort.report["problem"].str.replace(str(folder), "study").str.slice(0, 70)
cohort.report[["subject"]].assign(problem=problems)

# %%
# A cohort with problems gives no samples.  Either they are solved, or they are left out, and the
# report of a study lists them.
try:
    cohort.X
except ValueError as error:
    print(str(error).splitlines()[0])
sound = cohort.check(leave_out=True)
print(f"{len(sound.y)} scans, {len(sound.report)} problems left out")

# %%
# Now to leakage.  Every subject gets a second scan, the same head with other noise, and a label
# that is drawn by lot.  There is nothing to learn: whatever is above one half is an error of the
# split.
rng = np.random.default_rng(0)
volumes = NiftiVolumes(spacing=12.0).fit_transform(sound.X)
noise = 0.1 * volumes.std() * rng.normal(size=volumes.shape)
both = np.concatenate([volumes, volumes + noise]).astype(np.float32)
subjects = np.tile(np.arange(len(volumes)), 2)

rows = {"scans": [], "subjects": []}
for draw in range(8):
    labels = np.tile(rng.permutation(np.arange(len(volumes)) % 2), 2)
    folds = StratifiedKFold(4, shuffle=True, random_state=draw)
    of_subjects = subject_splits(labels, subjects, n_repeats=4, test_size=0.25, random_state=draw)
    for name, splits in {"scans": folds, "subjects": of_subjects}.items():
        rows[name].append(100 * cross_val_score(VoxelSVC(), both, labels, cv=splits).mean())

# sphinx_gallery_alt = "Accuracy on labels that were drawn by lot, over eight draws: split by scan"
# sphinx_gallery_alt = "far above one half, split by subject mostly below it."
figure, ax = plt.subplots(figsize=(6, 2.2), layout="constrained")
for row, scores in enumerate(rows.values()):
    ax.plot(scores, np.full(len(scores), row), "o", color="C0", alpha=0.6)
    ax.plot(np.mean(scores), row, "|", color="black", markersize=22, markeredgewidth=2)
ax.axvline(50, color="black", linewidth=0.8, linestyle=":")
ax.set(yticks=[0, 1], yticklabels=["split by scan", "split by subject"], ylim=(1.5, -0.5))
ax.set(xlim=(0, 100), xlabel="accuracy in %, of labels drawn by lot")

# %%
# Split by subject, the accuracy is one half or less: with few subjects, to take one out moves the
# mean of its class away from it.
#
# A study asks for subjects, and keeps each on one side.  ``check_leakage`` finds images that are on
# both sides under other names, and ``find_leaks`` estimators that know the answers from elsewhere.
temporary.cleanup()
