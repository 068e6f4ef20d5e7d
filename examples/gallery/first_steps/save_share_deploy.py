"""
Save, share, deploy
===================

A model file of the suite holds numbers and names, and no code: it may come from a stranger.  Where
the suite is not installed, the network runs without it, as plain convolutions.

What is learned: the same probabilities come from the file, bit by bit, and from the plain network,
but for rounding.
"""

# %%
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklstruct import RFNNClassifier
from sklstruct.datasets import load_digits
from sklstruct.estimators import load_model, save_model
from sklstruct.layers import to_dense

X, y = load_digits(return_X_y=True)
train, test = slice(300), slice(1000, None)
model = RFNNClassifier(widths=(16, 32), max_epochs=40, random_state=0).fit(X[train], y[train])
folder = tempfile.TemporaryDirectory()
path = Path(folder.name, "digits.skl")
save_model(model, path)
print(f"{path.stat().st_size // 1000} kB:", *zipfile.ZipFile(path).namelist()[:4], "...")
print("equal bits:", np.array_equal(load_model(path).predict_proba(X), model.predict_proba(X)))

# %%
# What such a file cannot hold is refused, here a function of somebody's own.  A pickle has to be
# asked for, by who writes it and by who reads it: ``allow_pickle=True`` is for your own files.
try:
    save_model(make_pipeline(FunctionTransformer(np.sqrt), model).fit(X[train], y[train]), path)
except ValueError as error:
    print(error)

# %%
# To deploy it, the frame is multiplied out: ``to_dense`` gives plain convolutions.  Around them go
# what the estimator does before and after, and ``torch.export`` writes it all to one file, for any
# number of images.


class Deployed(torch.nn.Module):
    """From pixels to probabilities."""

    def __init__(self, model):
        super().__init__()
        self.network = to_dense(model.net_.module_)
        self.mean, self.scale = float(model.mean_[0]), float(model.scale_[0])

    def forward(self, images):
        """Return the probabilities of images (n, 1, H, W)."""
        return self.network((images - self.mean) / self.scale).softmax(dim=1)


images = torch.from_numpy(X[test, np.newaxis].astype(np.float32))
any_number = ({0: torch.export.Dim("n")},)
program = torch.export.export(Deployed(model).eval(), (images[:2],), dynamic_shapes=any_number)
torch.export.save(program, Path(folder.name, "digits.pt2"))

# %%
# Elsewhere, with torch alone:
network = torch.export.load(Path(folder.name, "digits.pt2")).module()
with torch.no_grad():
    deployed = network(images).numpy()
difference = np.abs(deployed - model.predict_proba(X[test])).max()
print(f"largest difference of probabilities {difference:.0e}")
folder.cleanup()

# %%
# The mistakes of which the deployed network is surest.
wrong = np.flatnonzero(deployed.argmax(axis=1) != y[test])
surest = wrong[np.argsort(-deployed[wrong].max(axis=1))][:8]
# sphinx_gallery_alt = "Eight digits that are hard to read, and below each the probabilities of"
# sphinx_gallery_alt = "the ten classes as bars; the bar of the true class is orange, and another"
# sphinx_gallery_alt = "is longer."
figure, axes = plt.subplots(2, 8, figsize=(9, 2.6), layout="constrained")
for (above, below), row in zip(axes.T, surest, strict=True):
    above.imshow(X[test][row], cmap="gray_r")
    above.axis("off")
    bars = below.bar(range(10), 100 * deployed[row], color="C0")
    bars[y[test][row]].set_color("C1")
    below.set(xticks=[0, 3, 6, 9], yticks=[0, 50, 100], yticklabels=[], ylim=(0, 100))
axes[1, 0].set(yticklabels=[0, 50, 100], ylabel="probability, %")
