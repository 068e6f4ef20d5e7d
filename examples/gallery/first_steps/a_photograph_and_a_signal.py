"""
A photograph and a signal: layouts
==================================

An array does not say which of its axes are places and which are channels.  One rule, which is
written down and can be overruled, decides; and ``layout_`` tells what was decided.

What is learned: the same estimator reads signals, images and volumes, with channels first or last.
"""

# %%
# A photograph in colours, and a signal whose frequency rises.
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_sample_image

from sklstruct import DifferentialInvariants, FrameTransformer, RFNNClassifier
from sklstruct.frames import GaussianDerivatives

photograph = load_sample_image("china.jpg")[100:356, 200:456] / 255
time = np.linspace(0, 1, 400, endpoint=False)
signal = np.sin(2 * np.pi * (4 * time + 20 * time**2))

# %%
# What is read how?  Of (n, a, b, c) at most four channels come first or last; rows are signals.
rng = np.random.default_rng(0)
labels = [0, 1] * 4
for shape in [(8, 12, 12), (8, 12, 12, 3), (8, 3, 12, 12), (8, 12, 12, 12), (8, 20)]:
    X = rng.normal(size=shape)
    model = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, labels)
    print(f"{shape!s:16s} {model.layout_}")

# %%
# Channels first or last, the answer is the same.
X = rng.normal(size=(8, 12, 12, 3))
last = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0).fit(X, labels)
first = RFNNClassifier(widths=(4,), max_epochs=1, random_state=0)
first.fit(np.ascontiguousarray(X.transpose(0, 3, 1, 2)), labels)
print(np.array_equal(last.predict_proba(X), first.predict_proba(X.transpose(0, 3, 1, 2))))

# %%
# Gaussian derivatives do not mind how many axes there are.  ``pool=None`` keeps every place, so
# that the responses are a photograph and a signal again.  A row of 400 values might be an image of
# 20x20, and is warned of: ``layout="L"`` says that it is a signal.
gradient = DifferentialInvariants(scale=1.5, pool=None).set_output(transform="pandas")
grey = photograph.mean(axis=2)[None]
edges = gradient.fit_transform(grey).filter(regex="gradient_magnitude").to_numpy().reshape(256, 256)
second = FrameTransformer(
    frame=GaussianDerivatives(order=2, scales=(2.0,)), nonlinearity="none", pool=None, layout="L"
)
bends = second.set_output(transform="pandas").fit_transform(signal[None]).filter(regex="g_xx")

# sphinx_gallery_alt = "Above, a photograph of a temple and the magnitude of its gradient, in"
# sphinx_gallery_alt = "which edges of the roof are bright.  Below, a wave whose frequency rises,"
# sphinx_gallery_alt = "and its second derivative, whose amplitude rises along with it."
figure, axes = plt.subplots(2, 2, figsize=(7, 4.8), height_ratios=[3, 1.2], layout="constrained")
axes[0, 0].imshow(photograph)
axes[0, 1].imshow(edges, cmap="gray")
axes[1, 0].plot(time, signal)
axes[1, 1].plot(time, bends.to_numpy()[0])
for ax, title in zip(
    axes.flat, ["photograph", "gradient", "signal", "second derivative"], strict=True
):
    ax.set_title(title)
for ax in axes[0]:
    ax.axis("off")
for ax in axes[1]:
    ax.set_xlabel("time in seconds")
