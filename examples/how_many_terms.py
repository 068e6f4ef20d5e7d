"""A cartoon from few terms: waves, wavelets and curvelets, and how fast their errors fall.

An image that is smooth but for a smooth edge needs many waves, fewer wavelets, and in the long run
the fewest curvelets, which are as long as the root of their width (Candes and Donoho, 2004): the
squared error of the n largest terms falls like n^-1/2, n^-1 and n^-2 log^3 n.  The long run is far
away: with so few terms wavelets are ahead, as curvelets come four to a pixel.  File names on the
command line are those of pictures of the errors and of what the terms give.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

from sklstruct.datasets import make_cartoon
from sklstruct.frames import FrameTransform, GaussianDerivatives, Transform, make_transform
from sklstruct.inspection import NTermDisplay

TRANSFORMS = {
    "Fourier": make_transform("fourier"),
    "wavelets": make_transform("wavelet"),
    "curvelets": make_transform("curvelet"),
    "gaussian derivatives": FrameTransform(
        frame=GaussianDerivatives(order=2, scales=(0.7,)), levels=4
    ),
}


def of_largest(transform: Transform, image: np.ndarray, n: int) -> np.ndarray:
    """Return what the n largest coefficients give."""
    coefficients = transform.analyse(image[None])
    coefficients[np.abs(coefficients) < np.sort(np.abs(coefficients[0]))[-n]] = 0
    return transform.synthesise(coefficients, image.shape)[0]


def main(
    size: int = 256, n: int = 200, errors: str | None = None, images: str | None = None
) -> None:
    """Print errors and slopes of each transform, and draw them."""
    cartoon = make_cartoon(size, random_state=0)
    print(f"{size}x{size} pixels, an edge of {cartoon.edge_length:.0f} pixels, {n} terms")
    display = NTermDisplay.from_image(TRANSFORMS, cartoon)
    shown = {"image": cartoon.image}
    for name, transform in TRANSFORMS.items():
        shown[name] = of_largest(transform, cartoon.image, n)
        error = ((shown[name] - cartoon.image) ** 2).sum() / (cartoon.image**2).sum()
        slope = display.results[name].slope
        print(f"{name:22s} error {100 * error:4.1f} % of the energy, slope {slope:5.2f}")
    if errors is not None:
        display.save(errors)
    if images is not None:
        figure = Figure(figsize=(3 * len(shown), 3.2), layout="constrained")
        for ax, (name, values) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
            ax.imshow(values, "gray", vmin=cartoon.image.min(), vmax=cartoon.image.max())
            ax.set(title=name, xticks=[], yticks=[])
        figure.savefig(images)


if __name__ == "__main__":
    main(**dict(zip(("errors", "images"), sys.argv[1:], strict=False)))
