"""Channels that have an order: walks along it that are exact, and walks in a network that learned.

Wavelets whose frequencies are a quarter of an octave apart tell sinusoids apart by where they
respond: for one of twice the frequency, all responses have moved by four channels.  Those of
wavelets that are rotated do so where an image is turned, but for their places, which turn too.

A hierarchical attribute CNN learns layers whose channels have an order, as what follows are
convolutions along them (Jacobsen, Oyallon, Mallat and Smeulders, 2017).  Whether it means something
is another question.  Walks lead from a digit to the one that is most like its translation along the
channels; the control walks in random orders of the same channels.  In the last layer but one, walks
by two channels lead to the same digit more often than in most random orders, and walks by one
channel less often: two is the stride of what follows, so it is an order of the architecture.  The
energy of a digit is spread over half of the channels or nearly all of them, and where it has its
centre has hardly to do with brightness, orientation or size.  File names on the command line are
those of two pictures.
"""

import sys
from typing import Any

import numpy as np
from scipy.ndimage import rotate, zoom
from scipy.signal import fftconvolve
from sklearn.datasets import load_digits

from sklstruct import HierarchicalCNNClassifier
from sklstruct.frames import Morlet
from sklstruct.inspection import AttributeOrderDisplay, AttributeWalk

PER_OCTAVE = 4


def sinusoids() -> None:
    """Print how far responses to a sinusoid move when its frequency is multiplied."""
    scales = tuple(2 ** (step / PER_OCTAVE) for step in range(2, 22))
    atoms = Morlet(scales=scales, truncate=5).build(1).atoms[:0:-1]  # from low to high
    wavelets = atoms[1::2] + 1j * atoms[::2]
    places = np.arange(wavelets.shape[1]) - wavelets.shape[1] // 2
    print("sinusoids: channels moved, and the largest error as a share of the response")
    before = np.abs(wavelets @ np.cos(0.1 * places))
    for step in (1, 2, 4):
        factor = 2 ** (step / PER_OCTAVE)
        after = np.abs(wavelets @ np.cos(0.1 * factor * places))
        moved = after.argmax() - before.argmax()
        error = np.abs(after[step:] - before[:-step]).max() / before.max()
        print(f"  frequency x {factor:4.2f}  {moved:3d}  {error:.1e}")


def turned_images() -> None:
    """Print how far responses to an image move when it is turned, with and without its places."""
    atoms = Morlet(n_orientations=8, scales=(2.0,), slant=0.5).build(2).atoms[1:]
    wavelets = atoms[::2] + 1j * atoms[1::2]
    image = np.pad(zoom(load_digits().images[3], 33 / 8), 16)
    turn: dict[str, Any] = {"reshape": False, "axes": (0, 1), "order": 5}
    before = np.stack([np.abs(fftconvolve(image, w, "same")) for w in wavelets])
    print("images: error as a share of the response, if places turn as well, and if they do not")
    for step in (1, 2, 4):
        angle = 180 * step / len(wavelets)
        turned = rotate(image, angle, **turn)
        after = np.stack([np.abs(fftconvolve(turned, w, "same")) for w in wavelets])
        moved = np.roll(before, -step, axis=0)  # as the rows of images are counted downwards
        places = np.stack([rotate(x, angle, **turn) for x in moved])
        errors = [np.linalg.norm(after - x) / np.linalg.norm(before) for x in (places, moved)]
        print(f"  {angle:4.1f} degrees, {step} channels:  {errors[0]:.1e}  {errors[1]:.1e}")


def main(
    n_train: int = 400,
    n_permutations: int = 39,
    pictures: tuple[str, ...] = (),
    depth: int = 6,
    **params: Any,
) -> None:
    """Print what is exact, then how a network that learned fares against random orders."""
    sinusoids()
    turned_images()
    X, y = load_digits().images, load_digits().target
    params = {"n_attributes": 16, "strided": (3,), "max_epochs": 10, **params}
    model = HierarchicalCNNClassifier(
        boundary="periodic", depth=depth, random_state=0, **params
    ).fit(X[:n_train], y[:n_train])
    print(f"digits: accuracy {100 * model.score(X[n_train:], y[n_train:]):.1f} %")
    walk = AttributeWalk.from_estimator(model, X, y, n_permutations=n_permutations, random_state=0)
    table = walk.to_frame()
    print("walks that stay in the class, in %, and in random orders (95 % of them)")
    print("  depth", *(f"{f'shift {shift}':>14s}" for shift in walk.shifts[1:5]))
    for number, part in table.groupby("depth"):
        shown = part[part["shift"].between(1, 4)]
        columns = 100 * shown[["share", "control_low", "control_high"]].to_numpy()
        print(f"  {number:5d}", *("{:5.0f} ({:2.0f} - {:2.0f})".format(*row) for row in columns))
    print("localisation: width in channels, concentration, that of random orders, p-value")
    for row in walk.localisation().itertuples():
        numbers = f"{row.concentration:.3f}  {row.control:.3f}  {row.p_value:.2f}"
        print(f"  {row.depth:5d}  {row.width:4.1f} of {row.n_channels:2d}  {numbers}")
    print("correlation with properties: in the order, in random ones, p-value; of one channel")
    for row in walk.correlation().itertuples():
        numbers = f"{row.r:.2f}  {row.control:.2f}  {row.p_value:.2f}  {row.channel:.2f}"
        print(f"  {row.depth:5d}  {row.property:12s} {numbers}")
    if pictures:
        walk.save(pictures[0])
        AttributeOrderDisplay(walk, depth=depth - 2).save(pictures[1])


if __name__ == "__main__":
    main(pictures=tuple(sys.argv[1:3]))
