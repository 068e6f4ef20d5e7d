"""
A frame, its bounds and its steering
====================================

A frame is a handful of filters.  A network on it learns how to add them up, and what the filters
can and cannot say decides what the network can learn.  All of that follows from their values.

What is learned: Gaussian derivatives turn exactly, by any angle, by mixing six numbers.  Gabor
filters only nearly do.
"""

# %%
# The Gaussian and its derivatives up to the second order, with a standard deviation of 1.5 pixels.
import numpy as np
from matplotlib import pyplot as plt

from sklstruct.frames import Gabor, GaussianDerivatives
from sklstruct.inspection import FrameDisplay

frame = GaussianDerivatives(order=2, scales=(1.5,)).build(ndim=2)
# sphinx_gallery_alt = "Six filters: a Gaussian, its two first derivatives with a light and a dark"
# sphinx_gallery_alt = "lobe each, and its three second derivatives."
FrameDisplay(frame)

# %%
# The bounds :math:`A` and :math:`B` say how much larger a kernel is than its coefficients, :math:`A
# \|c\|^2 \le \|\sum_k c_k \psi_k\|^2 \le B \|c\|^2`: where they are far apart, some directions are
# learned faster than others.  Their ratio is the condition number. The redundancy is the number of
# atoms over the dimension of their span.
lower, upper = frame.bounds
print(f"bounds {lower:.4f} and {upper:.4f}, condition number {frame.condition_number:.1f}")
print(f"{len(frame)} atoms on {frame.support} pixels, redundancy {frame.redundancy:.1f}")

# %%
# To turn a kernel is to multiply its six coefficients by a matrix, which is found from the atoms
# and comes with its error.


def rotation(degrees):
    """Return the matrix of a turn of the plane."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


coefficients = np.array([0, 1, 1, 1.5, 0, 0])  # of some kernel
limit = np.abs(np.tensordot(coefficients, frame.atoms, 1)).max()
# sphinx_gallery_alt = "One kernel in six positions, turned by 0 to 150 degrees in steps of 30:"
# sphinx_gallery_alt = "its shape is the same in all of them."
figure, axes = plt.subplots(1, 6, figsize=(7, 1.5), layout="constrained")
for ax, degrees in zip(axes, range(0, 180, 30), strict=True):
    turned = coefficients @ frame.steering(rotation(degrees)).matrix
    kernel = np.tensordot(turned, frame.atoms, 1)
    ax.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(title=f"{degrees}°", xticks=[], yticks=[])

# %%
# How exact is it?  For Gaussian derivatives the error is that of rounding.  Four Gabor filters have
# four directions, and between these a turned filter is not a sum of theirs.
angles = np.arange(0, 91, 3)
families = {
    "Gaussian derivatives, order 2": GaussianDerivatives(order=2, scales=(1.5,)),
    "Gabor, 4 directions": Gabor(n_orientations=4),
    "Gabor, 8 directions": Gabor(n_orientations=8),
}
# sphinx_gallery_alt = "Error of steering against the angle, on a logarithmic scale: Gaussian"
# sphinx_gallery_alt = "derivatives stay near 1e-15 at every angle; Gabor filters with four and"
# sphinx_gallery_alt = "with eight directions have errors of tenths between their directions."
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for (name, family), marker in zip(families.items(), "os^", strict=True):
    atoms = family.build(ndim=2)
    errors = [atoms.steering(rotation(angle)).error for angle in angles]
    ax.semilogy(angles, np.maximum(errors, 1e-16), marker=marker, markersize=4, label=name)
ax.set(xlabel="angle in degrees", ylabel="relative error", xticks=range(0, 91, 15))
ax.legend()
