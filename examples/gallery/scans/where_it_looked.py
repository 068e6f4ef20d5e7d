"""
Where it looked, against the known lesion
=========================================

Patients of a simulated cohort have lost grey matter around one place, which is known.  A classifier
is fitted, and asked by occlusion where it looked: how much does its decision fall when a box of a
head is replaced by the mean of all?

What is learned: a classifier can be right for a reason that is wrong; a map shows it only in part.
"""

# %%
import tempfile
from pathlib import Path

import nibabel
import numpy as np

from sklstruct import NiftiVolumes, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.inspection import MapDisplay, occlusion_map

folder = tempfile.TemporaryDirectory()
cohort = simulate_cohort(Path(folder.name, "scans"), n_subjects=60, effect_size=0.9, random_state=0)
reader = NiftiVolumes(mask="brain")
volumes = reader.fit_transform(cohort.X)
train, test = slice(40), slice(40, None)
model = VoxelSVC().fit(volumes[train], cohort.y[train])
print(f"accuracy on the other scans {model.score(volumes[test], cohort.y[test]):.2f}")

# %%
# The maps of the patients among the other scans, in boxes of 24 mm.
patients = volumes[test][cohort.y[test] == "patient"]
fill = volumes[train].mean(axis=0)
maps = occlusion_map(model, patients, "patient", size=4, stride=2, fill=fill, mask=reader.mask_)
mean = maps.mean(axis=0)

# %%
# The outline is the lesion: where the average loss of the patients is at least half of the largest.
lesion = nibabel.load(Path(folder.name, "scans/derivatives/truth/label-atrophy_mask.nii.gz"))
truth = np.asarray(lesion.dataobj)
# sphinx_gallery_alt = "Three planes of the mean head, with the mean map of occlusion in colours:"
# sphinx_gallery_alt = "it is reddest inside the outline of the lesion in the left temporal lobe."
MapDisplay(
    mean,
    volumes.mean(axis=0),
    affine=reader.affine_,
    truth=truth,
    title="where the decision for patients comes from",
    label="fall of the decision",
)

# %%
# In numbers: how large is the map in the lesion, and how much of what is largest lies in it?
inside = mean[truth > 0].mean() / np.abs(mean).mean()
n_voxels = np.count_nonzero(truth)
largest = mean >= np.sort(mean, axis=None)[-n_voxels]
print(f"mean in the lesion is {inside:.0f} times the mean of the volume")
print(f"of the {n_voxels} largest voxels, {100 * (truth > 0)[largest].mean():.0f} % lie in it")
folder.cleanup()
