"""
Scattering features, with names in a DataFrame
==============================================

Scattering convolves an image with wavelets, takes the modulus, averages, and does so once more with
what the average has lost.  Nothing is trained, and every feature can say what it is: which scales,
which directions, which place.

What is learned: with named features, a linear model is its own explanation.
"""

# %%
# Patches of the two photographs that come with scikit-learn: of a temple, and of a flower.
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstruct import ScatteringTransformer
from sklstruct.inspection import ScatteringDisplay

SIZE = 32
rng = np.random.default_rng(0)
patches, labels = [], []
for name in ("china", "flower"):
    grey = load_sample_image(f"{name}.jpg").mean(axis=2) / 255
    for _ in range(100):
        y, x = (rng.integers(extent - SIZE) for extent in grey.shape)
        patches.append(grey[y : y + SIZE, x : x + SIZE])
        labels.append(name)
patches, labels = np.array(patches), np.array(labels)

# %%
# With ``set_output``, features come as a DataFrame.  Here they are averages over whole patches:
# ``J=5`` is as wide as a patch.
transformer = ScatteringTransformer(J=5, L=4, max_order=1).set_output(transform="pandas")
features = np.log(transformer.fit_transform(patches) + 1e-6)
features.iloc[:3, :4].round(2)

# %%
# A name is a path: ``S1[j=0,theta=2]`` is the mean modulus of a wavelet at the finest scale.
# ``meta_`` has the same as a table.
transformer.meta_.head(4)

# %%
# A linear model of the logarithms tells temple from flower, and its weights can be read: which
# scales and which directions the temple has and the flower has not.
model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
accuracy = cross_val_score(model, features, labels, cv=5)
print(f"accuracy {100 * accuracy.mean():.0f} % over five folds of patches of the same photographs")
weights = pd.Series(-model.fit(features, labels)[-1].coef_[0], features.columns)
weights.nlargest(4).round(2).to_frame("weight for the temple")

# %%
# All weights at a glance: what is fine speaks for the temple, in every direction, and what is
# coarse for the flower, which lies before leaves that are out of focus.
first = transformer.meta_["order"] == 1
table = weights[first.to_numpy()].to_numpy().reshape(5, 4)
# sphinx_gallery_alt = "Weights of the linear model by scale and direction of the wavelet in red"
# sphinx_gallery_alt = "for the temple and blue for the flower."
figure, ax = plt.subplots(figsize=(4.4, 3.2), layout="constrained")
limit = np.abs(table).max()
picture = ax.imshow(table, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
ax.set(xticks=range(4), xticklabels=[f"{45 * k}°" for k in range(4)])
ax.set(yticks=range(5), yticklabels=[2**j for j in range(5)])
ax.set(xlabel="direction of the wave", ylabel="scale in pixels")
figure.colorbar(picture, label="weight: flower < 0 < temple")

# %%
# Second order says more: how the modulus of one wavelet varies at a larger scale.  The disks show
# both orders for a piece of the photograph, fine scales outside: the beams of the temple are
# upright and level.
temple = load_sample_image("china.jpg")[130:258, 240:368].mean(axis=2)[None] / 255
transformer = ScatteringTransformer(J=4, L=8).fit(temple)
# sphinx_gallery_alt = "A piece of the temple, and its scattering coefficients of first and second"
# sphinx_gallery_alt = "order as disks of frequencies."
ScatteringDisplay.from_transformer(transformer, temple)
