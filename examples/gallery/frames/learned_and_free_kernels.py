"""
Learned kernels, on a frame and free
====================================

A kernel on a frame of six Gaussian derivatives has six weights, whatever its size; a free kernel
of 7x7 pixels has 49.  Both learn the same digits.

What is learned: the accuracy may be the same, and the kernels are not.
"""

# %%
import numpy as np
from matplotlib import pyplot as plt

from sklstruct import RFNNClassifier
from sklstruct.datasets import load_digits
from sklstruct.inspection import KernelDisplay

X, y = load_digits(return_X_y=True)
train, test = slice(300), slice(300, 900)
models = {
    "on a frame": RFNNClassifier(widths=(16, 32), max_epochs=40, random_state=0),
    "free": RFNNClassifier(frame="pixel", widths=(16, 32), max_epochs=40, random_state=0),
}
for name, model in models.items():
    accuracy = model.fit(X[train], y[train]).score(X[test], y[test])
    weights = sum(p.numel() for p in model.net_.module_.parameters())
    print(f"{name:10s}  accuracy {100 * accuracy:.1f} %, {weights} weights")

# %%
# Kernels of the first layer on the frame, and the coefficients of each.

# sphinx_gallery_alt = "Eight kernels of the network on a frame: smooth blobs, edges and saddles."
KernelDisplay.from_estimator(models["on a frame"])

# %%
# Those that are free.  What the digits do not decide is left as it was drawn.

# sphinx_gallery_alt = "Eight free kernels of seven by seven pixels: they look like noise."
KernelDisplay.from_estimator(models["free"])

# %%
# How rough they are can be counted: the share of the energy of the kernels beyond half of the
# highest frequency.


def roughness(kernels):
    """Return the share of energy above a quarter of a cycle a pixel, of kernels (n, H, W)."""
    spectrum = np.abs(np.fft.fft2(kernels, (64, 64))) ** 2
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    return (spectrum * (frequency > 0.25)).sum(axis=(1, 2)) / spectrum.sum(axis=(1, 2))


# sphinx_gallery_alt = "Share of energy at high frequencies of all kernels of the first layer:"
# sphinx_gallery_alt = "small for kernels on the frame, large for those that are free."
figure, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
for row, (_, model) in enumerate(models.items()):
    kernels = KernelDisplay.from_estimator(model, n_kernels=16).kernels
    share = 100 * roughness(kernels.reshape(len(kernels), *kernels.shape[-2:]))
    ax.plot(share, np.full(len(share), row), "o", alpha=0.6)
ax.set(yticks=[0, 1], yticklabels=models, ylim=(1.5, -0.5), xlim=(0, 100))
ax.set_xlabel("energy above 1/4 cycle a pixel, in %")
