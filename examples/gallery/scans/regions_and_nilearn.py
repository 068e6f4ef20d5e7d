"""
Regions of an atlas, and nilearn
================================

Scans come in as files, and maps go out as files, in the space that they came from: so the suite and
nilearn work on the same images.  An atlas makes a table of a cohort, one column a region.

What is learned: ten numbers with names can do what tens of thousands of voxels do, if the atlas has
the right regions.
"""

# %%
# An atlas of blocks of 42 mm, for want of a better one: any NIfTI image of integers will do, such
# as those that ``nilearn.datasets`` fetches.
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstruct import NiftiVolumes, RegionMeans, VoxelSVC
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.inspection import MapDisplay

folder = tempfile.TemporaryDirectory()
cohort = simulate_cohort(Path(folder.name, "scans"), n_subjects=60, effect_size=0.8, random_state=0)
reader = NiftiVolumes(mask="brain")
volumes = reader.fit_transform(cohort.X)
blocks = np.ravel_multi_index(tuple(np.indices(reader.shape_) // 7), (5, 5, 5))
counts = np.bincount(blocks[reader.mask_], minlength=125)
labels = np.where(reader.mask_ & (counts[blocks] > 100), blocks, 0).astype(np.int16)
atlas = nibabel.Nifti1Image(labels, reader.affine_)

# %%
# ``RegionMeans`` reads the files one at a time, and gives a DataFrame if it is asked to.
regions = RegionMeans(atlas=atlas, volumes=NiftiVolumes(mask="brain"))
table = regions.set_output(transform="pandas").fit_transform(cohort.X)
table.iloc[:3, :5].round(3)

# %%
# A linear model of these, and one of all voxels, over the same folds.
linear = make_pipeline(regions, StandardScaler(), LogisticRegression(C=0.1))
voxels = on_paths(VoxelSVC(), mask="brain")
for name, model in {f"{table.shape[1]} regions": linear, "voxels": voxels}.items():
    scores = cross_val_score(model, cohort.X, cohort.y, cv=5)
    print(f"{name:12s} accuracy {100 * scores.mean():.0f} ± {100 * scores.std():.0f} % over folds")

# %%
# The weight of each region, as a map: patients have lost grey matter where the outline is.
weights = linear.fit(cohort.X, cohort.y)[-1].coef_[0]
painted = np.zeros(reader.shape_, np.float32)
for region, weight in zip(regions.region_labels_, weights, strict=True):
    painted[labels == region] = weight
truth = nibabel.load(Path(folder.name, "scans/derivatives/truth/label-atrophy_mask.nii.gz"))
# sphinx_gallery_alt = "Three planes of the mean head with the weights of the regions as blocks of"
# sphinx_gallery_alt = "colour; the strongest one covers the outline of the lesion."
MapDisplay(
    painted,
    volumes.mean(axis=0),
    affine=reader.affine_,
    truth=np.asarray(truth.dataobj),
    label="weight for patients",
)

# %%
# With nilearn
# ^^^^^^^^^^^^
# A map and the affine of its grid are an image, which nilearn draws; and its maskers give rows that
# every classifier of rows takes.  This part needs nilearn and does not run here.
#
# .. code-block:: python
#
#     from nilearn import plotting
#     from nilearn.maskers import NiftiMasker
#     from sklearn.svm import LinearSVC
#
#     mean = nibabel.Nifti1Image(volumes.mean(axis=0), reader.affine_)
#     plotting.plot_stat_map(nibabel.Nifti1Image(painted, reader.affine_), bg_img=mean)
#
#     masker = NiftiMasker(standardize=None)  # rows of voxels in place of volumes
#     model = make_pipeline(masker, StandardScaler(), LinearSVC())
#     cross_val_score(model, list(cohort.X), cohort.y, cv=5)
folder.cleanup()
