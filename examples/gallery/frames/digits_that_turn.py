"""
Digits that turn
================

Digits are learned upright, and tested in every quarter turn.  The maps of the H-Net turn with the
image, and only their magnitudes are averaged in the end, so that right angles cannot change what it
says (Worrall et al., 2017).  The differential invariants of an image do not turn either, and a
linear model can read them.

What is learned: invariance that is built in holds without a single turned example, and costs
something upright; a network that knows up from down reads upright digits better, and turned ones
hardly at all.
"""

# %%
# Nine would become a six, and is left out.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstruct import DifferentialInvariants, RFNNClassifier, StructuredClassifier
from sklstruct.datasets import load_digits

X, y = load_digits(return_X_y=True)
X, y = X[y != 9], y[y != 9]
train, test = slice(300), slice(300, 800)
models = {
    "H-Net": StructuredClassifier(architecture="hnet", max_epochs=50, random_state=0),
    "invariants": make_pipeline(
        DifferentialInvariants(order=3, pool=1), StandardScaler(), LogisticRegression(max_iter=2000)
    ),
    "RFNN": RFNNClassifier(widths=(16, 32), max_epochs=25, random_state=0),
}
models["H-Net"].set_params(architecture__widths=(4, 8))
accuracy = {}
for name, model in models.items():
    model.fit(X[train], y[train])
    turned = [np.rot90(X[test], quarters, axes=(1, 2)).copy() for quarters in range(4)]
    accuracy[name] = [100 * model.score(images, y[test]) for images in turned]
    print(f"{name:10s}", *(f"{score:5.1f}" for score in accuracy[name]))

# %%
# On MNIST, with 300 images, the H-Net errs on 10 % of upright digits and on 12 % of those that are
# turned by any angle; RFNN errs on 3 % and 61 %.

# sphinx_gallery_alt = "Accuracy against the angle for three models: the H-Net and the invariants"
# sphinx_gallery_alt = "are level over all quarter turns, RFNN is highest upright and falls"
# sphinx_gallery_alt = "steeply."
figure, ax = plt.subplots(figsize=(5, 3), layout="constrained")
for (name, scores), marker in zip(accuracy.items(), "os^", strict=True):
    ax.plot([0, 90, 180, 270], scores, marker=marker, label=name)
ax.set(xticks=[0, 90, 180, 270], ylim=(0, 100))
ax.set(xlabel="angle in degrees", ylabel="accuracy in %")
ax.legend()
