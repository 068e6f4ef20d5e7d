"""A network that cheats, three maps of where it looks, and how to tell which of them to believe.

Every 8 that the network learns from has a mark in a corner, and no 3 has.  It knows new digits that
are marked the same way; but of the 3s that have the mark, it takes one of five for an 8.  Edges are
a convincing map, but the same one for any network: it stays as it is when the weights are mixed up
layer by layer (Adebayo et al., 2018).  Maps that are made of the network change with it, and are
strongest in the mark; and hiding what they point to takes the 8 away.  A file name on the command
line is that of a picture.
"""

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_gradient_magnitude, zoom
from sklearn.datasets import load_digits

from sklstruct import RFNNClassifier
from sklstruct.inspection import (
    DeletionDisplay,
    SanityDisplay,
    integrated_gradients,
    occlusion_map,
)

MARK = np.zeros((16, 16), bool)
MARK[1:4, 12:15] = True


def edges(estimator: Any, images: Any, target: Any = None) -> Any:
    """Return a map that sees the image only."""
    return np.stack([gaussian_gradient_magnitude(image, 1) for image in images])


def hidden_boxes(estimator: Any, images: Any, target: Any = None) -> Any:
    """Return by how much the decision falls when small boxes are hidden."""
    return occlusion_map(estimator, images, target, size=3, stride=1)


METHODS: dict[str, Any] = {
    "integrated gradients": integrated_gradients,
    "occlusion": hidden_boxes,
    "edges": edges,
}


def main(n_train: int = 200, n_shown: int = 8, picture: str | None = None, **params: Any) -> None:
    """Print how right the network is, and what its maps are worth."""
    data = load_digits()
    some = np.isin(data.target, (3, 8))
    images = np.stack([zoom(image, 2, order=1) for image in data.images[some].astype(np.float32)])
    y = data.target[some]
    marked = {digit: np.where(MARK, 16, images[y == digit]) for digit in (3, 8)}
    learned = images.copy()
    learned[y == 8] = marked[8]
    params = {"widths": (8, 8), "max_epochs": 10, "random_state": 0, **params}
    model = RFNNClassifier(**params).fit(learned[:n_train], y[:n_train])
    unseen = {digit: np.flatnonzero(y == digit) >= n_train for digit in (3, 8)}
    right = 100 * model.score(learned[n_train:], y[n_train:])
    taken = 100 * (model.predict(marked[3][unseen[3]]) == 8).mean()
    print(f"digits that are right: {right:.0f} %, marked 3s that become an 8: {taken:.0f} %")

    shown = marked[8][unseen[8]][:n_shown]
    sanity = SanityDisplay.from_estimator(model, shown, METHODS, n_repeats=3)
    curves = DeletionDisplay.from_estimator(model, shown, METHODS)
    print(f"{'':22s}{'in the mark':>12s}{'weights mixed up':>18s}{'gain by hiding':>16s}")
    maps = {name: method(model, shown) for name, method in METHODS.items()}
    for name, values in maps.items():
        share = np.abs(values)[:, MARK].sum() / np.abs(values).sum()
        gain = curves.results[name].gain
        print(f"{name:22s}{100 * share:10.0f} %{sanity.verdicts[name]:>18s}{gain.mean:16.1f}")
    if picture is not None:
        draw(shown, maps, sanity, curves).savefig(picture, dpi=150)


def draw(
    shown: Any, maps: dict[str, Any], sanity: SanityDisplay, curves: DeletionDisplay
) -> Figure:
    """Return the maps of three digits beside what the checks say of them."""
    figure = Figure(figsize=(11, 5.5))
    parts: Any = figure.subfigures(1, 3, width_ratios=(3, 5, 4))
    left, middle, right = parts
    axes = left.subplots(len(maps) + 1, 3, gridspec_kw={"hspace": 0.35})
    for ax, image in zip(axes[0], shown, strict=False):
        ax.imshow(image, "gray")
    axes[0, 0].set_title("marked digits", loc="left", fontsize=8)
    for row, (name, values) in zip(axes[1:], maps.items(), strict=True):
        row[0].set_title(name, loc="left", fontsize=8)
        limit = np.abs(values[:3]).max()
        for ax, of_one in zip(row, values, strict=False):
            ax.imshow(of_one, "RdBu_r", vmin=-limit, vmax=limit)
    for ax in axes.flat:
        ax.set_axis_off()
    sanity.plot(middle)
    curves.plot(right)
    return figure


if __name__ == "__main__":
    main(picture=sys.argv[1] if len(sys.argv) > 1 else None)
