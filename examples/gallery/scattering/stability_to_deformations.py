"""
Stability to deformations
=========================

A small deformation should change the representation of an image a little, and no more than in
proportion.  Here images are shifted, dilated and bent, and what changes is measured.

What is learned: the spectrum hardly sees shifts, but under dilations and bends it changes nearly
twice as much as scattering; pixels change with everything.
"""

# %%
import numpy as np

from sklstruct import ScatteringTransformer
from sklstruct.datasets import load_digits
from sklstruct.inspection import StabilityDisplay, stability

X, y = load_digits(return_X_y=True)
images = np.pad(X[:20].repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (4, 4), (4, 4)))
print(f"{len(images)} images of {images.shape[1:]} pixels")


def pixels(images):
    """Return the images as rows."""
    return images.reshape(len(images), -1)


def spectrum(images):
    """Return the moduli of the Fourier transform as rows."""
    return np.abs(np.fft.fft2(images)).reshape(len(images), -1)


# %%
# The distance of the features before and after, as a share of the norm of the features, for
# deformations of growing size.  The bound of Mallat is a straight line from the origin.
transformers = {
    "scattering": ScatteringTransformer(J=3, L=6).fit(images),
    "spectrum": spectrum,
    "pixels": pixels,
}
# sphinx_gallery_alt = "Two graphs, for translations and diffeomorphisms, of the change of"
# sphinx_gallery_alt = "features against the size of the deformation: scattering is lowest for"
# sphinx_gallery_alt = "bends, the spectrum for translations, and pixels are highest in both."
StabilityDisplay.from_transformers(transformers, images, ["translation", "diffeomorphism"])

# %%
# The same as a number: the largest ratio of the change to the size of the deformation.
for name, transformer in transformers.items():
    found = stability(transformer, images, "dilation", random_state=0)
    print(f"{name:10s}  {found.constant:.2f}")
