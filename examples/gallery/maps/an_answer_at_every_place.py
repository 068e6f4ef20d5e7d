"""
An answer at every place
========================

Where y is a map, with a label at every place of an image, a map classifier learns it: from crops,
from images of different sizes, and it predicts whole images, in tiles if they are large.

What is learned: a map is as easy as a label; what needs care is that one of the classes is rare.
"""

# %%
# Images of blobs under noise that is half as strong as they are.  The target is their boundary,
# some 3 % of the pixels.
import numpy as np
from matplotlib import pyplot as plt
from scipy.ndimage import gaussian_gradient_magnitude
from sklearn.metrics import average_precision_score, precision_recall_curve

from sklstruct import StructuredMapClassifier
from sklstruct.datasets import make_textured_blobs

X, y = make_textured_blobs(60, level=1, random_state=0)
X_test, y_test = make_textured_blobs(20, level=1, start=60, random_state=0)
noise = np.random.default_rng(0)
X += 0.5 * noise.normal(size=X.shape)
X_test += 0.5 * noise.normal(size=X_test.shape)
print(f"{len(X)} images of {X.shape[1:]}, {100 * y.mean():.1f} % of the pixels are boundary")

# %%
# Without ``class_weight`` a network would do well to say "no boundary" everywhere.
model = StructuredMapClassifier(
    class_weight="balanced", crop=48, augment="flips", max_epochs=12, batch_size=5, random_state=0
)
model.fit(X, y)
found = model.predict_proba(X_test)[:, 1]

# %%
# Any size will do: here a row of three images, predicted at once and in tiles.
wide = np.concatenate(X_test[:3], axis=1)
tiled = model.set_params(tile=48).predict_proba([wide])[0]
print(f"{wide.shape} pixels in, {tiled.shape} probabilities out")

# %%
# The threshold is yours to choose; the curve has all of them.
gradient = np.stack([gaussian_gradient_magnitude(image, 2) for image in X_test])
# sphinx_gallery_alt = "Two images of blobs under noise, their boundaries, and the probabilities"
# sphinx_gallery_alt = "that the network gives, which follow the boundaries; beside them the"
# sphinx_gallery_alt = "curves of precision against recall, of the network above that of the"
# sphinx_gallery_alt = "gradient."
figure = plt.figure(figsize=(9, 3.9), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.35, 1])
axes = left.subplots(2, 3)
for row, sample in enumerate([0, 3]):
    shown = X_test[sample], y_test[sample], found[sample]
    for ax, picture, title in zip(
        axes[row], shown, ["image", "boundary", "probability"], strict=True
    ):
        ax.imshow(picture, cmap="gray")
        ax.axis("off")
        if row == 0:
            ax.set_title(title)
ax = right.subplots()
for name, scores in {"network": found, "magnitude of the gradient": gradient}.items():
    precision, recall, _ = precision_recall_curve(y_test.ravel(), scores.ravel())
    average = average_precision_score(y_test.ravel(), scores.ravel())
    ax.plot(recall, precision, label=f"{name}: {average:.2f}")
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
ax.legend(title="average precision")
