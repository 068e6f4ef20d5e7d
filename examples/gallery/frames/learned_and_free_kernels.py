"""
Learned kernels, on a frame and free
====================================

A kernel on a frame of six Gaussian derivatives has six weights, whatever its size; a free kernel of
7x7 pixels has 49.  Both learn the same digits.

What is learned: with a quarter of the weights the accuracy is nearly that of free kernels, and the
kernels can be read.
"""

# %%
import numpy as np
from matplotlib import pyplot as plt
from sklearn.model_selection import train_test_split

from sklstruct import RFNNClassifier
from sklstruct.datasets import load_digits
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import KernelDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=300, test_size=600, stratify=y, random_state=0
)
jet = GaussianDerivatives(order=2, scales=(1.0,))
models = {
    "on a frame": RFNNClassifier(frame=jet, widths=(16, 32), max_epochs=30, random_state=0),
    "free": RFNNClassifier(frame="pixel", widths=(16, 32), max_epochs=30, random_state=0),
}
for name, model in models.items():
    accuracy = model.fit(X_train, y_train).score(X_test, y_test)
    weights = sum(p.numel() for p in model.net_.module_.parameters())
    print(f"{name:10s}  accuracy {100 * accuracy:.1f} %, {weights} weights")

# %%
# Kernels of the first layer on the frame, and the coefficients of each.

# sphinx_gallery_alt = "Four kernels of the network on a frame, smooth blobs and edges, and bars"
# sphinx_gallery_alt = "for how much of each of the six Gaussian derivatives is in them."
KernelDisplay.from_estimator(models["on a frame"], n_kernels=4)

# %%
# Eight kernels of each network, side by side.  Where the digits do not say what a free kernel
# should be, it stays as it was drawn.
kernels = {
    name: KernelDisplay.from_estimator(model, n_kernels=16).kernels
    for name, model in models.items()
}
# sphinx_gallery_alt = "Two rows of eight kernels of seven by seven pixels: those on the frame are"
# sphinx_gallery_alt = "smooth, those that are free look like noise."
figure, axes = plt.subplots(2, 8, figsize=(7, 2.1), layout="constrained")
for row, (name, drawn) in zip(axes, kernels.items(), strict=True):
    row[0].set_ylabel(name)
    for ax, kernel in zip(row, drawn, strict=False):
        limit = np.abs(kernel).max()
        ax.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])

# %%
# How rough they are can be counted: the share of their energy that lies beyond half of the highest
# frequency.


def roughness(kernels):
    """Return the share of energy above 1/4 cycle a pixel, of kernels (n, H, W)."""
    spectrum = np.abs(np.fft.fft2(kernels, (64, 64))) ** 2
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    return (spectrum * (frequency > 0.25)).sum(axis=(1, 2)) / spectrum.sum(axis=(1, 2))


for name, drawn in kernels.items():
    share = 100 * roughness(drawn)
    print(f"{name:10s}  {np.median(share):.0f} %, from {share.min():.0f} to {share.max():.0f} %")
