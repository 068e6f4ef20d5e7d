"""
A network that cheats, and which maps say so
============================================

Every 8 that a network learns from has a mark in a corner, and no 3 has.  Three maps say where it
looks: integrated gradients, occlusion, and the edges of the image, which are no map of the network
at all, but look convincing.

What is learned: a map can be checked.  Edges stay as they are when the weights are mixed up, and
hiding them changes little more than hiding anything; maps of the network are strongest in the mark,
change with the weights, and hiding what they point to takes the 8 away.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude, zoom
from sklearn.datasets import load_digits

from sklstruct import RFNNClassifier
from sklstruct.inspection import (
    DeletionDisplay,
    SanityDisplay,
    integrated_gradients,
    occlusion_map,
)

data = load_digits()
some = np.isin(data.target, (3, 8))
images = np.stack([zoom(image, 2, order=1) for image in data.images[some].astype(np.float32)])
labels = data.target[some]
mark = np.zeros((16, 16), bool)
mark[1:4, 12:15] = True
marked = np.where(mark, 16, images)
learned_from = np.where((labels == 8)[:, np.newaxis, np.newaxis], marked, images)
model = RFNNClassifier(widths=(8, 8), max_epochs=10, random_state=0)
model.fit(learned_from[:200], labels[:200])

threes = marked[200:][labels[200:] == 3]
print(
    f"right on new digits that are marked so: {model.score(learned_from[200:], labels[200:]):.2f}"
)
print(f"share of marked 3s that become an 8: {np.mean(model.predict(threes) == 8):.2f}")

# %%
# A method is a function of an estimator, samples and a target.


def edges(estimator, X, target=None):
    """Return a map that sees the image only."""
    return np.stack([gaussian_gradient_magnitude(image, 1) for image in X])


def hidden_boxes(estimator, X, target=None):
    """Return by how much the decision falls when small boxes are hidden."""
    return occlusion_map(estimator, X, target, size=3, stride=1)


methods = {
    "integrated gradients": integrated_gradients,
    "occlusion": hidden_boxes,
    "edges": edges,
}
eights = marked[200:][labels[200:] == 8][:8]
maps = {name: method(model, eights) for name, method in methods.items()}

figure, axes = plt.subplots(len(maps) + 1, 3, figsize=(4, 5.5), layout="constrained")
for ax, image in zip(axes[0], eights, strict=False):
    ax.imshow(image, "gray")
axes[0, 0].set_title("marked digits", loc="left", fontsize=9)
for row, (name, values) in zip(axes[1:], maps.items(), strict=True):
    share = np.abs(values)[:, mark].sum() / np.abs(values).sum()
    row[0].set_title(f"{name}: {share:.0%} in the mark", loc="left", fontsize=9)
    limit = np.abs(values[:3]).max()
    for ax, of_one in zip(row, values, strict=False):
        ax.imshow(of_one, "RdBu_r", vmin=-limit, vmax=limit)
for ax in axes.flat:
    ax.set_axis_off()
# sphinx_gallery_alt = "Three digits with a bright mark in the upper right corner, and below them"
# sphinx_gallery_alt = "three maps: two are strongest in the mark, the third shows edges."

# %%
# Weights are mixed up, layer by layer from the output down.

# sphinx_gallery_alt = "Similarity with the maps of the trained network over the layers mixed up:"
# sphinx_gallery_alt = "two methods fall to what maps of other samples have, edges stay at one."
SanityDisplay.from_estimator(model, eights, methods, n_repeats=3)

# %%
# Places are hidden, those first which the map calls important.

# sphinx_gallery_alt = "The decision for an 8 over the share of places hidden, of three methods;"
# sphinx_gallery_alt = "two fall at once, far below places at random, edges hardly faster."
DeletionDisplay.from_estimator(model, eights, methods)
