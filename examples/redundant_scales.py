"""What one resolution of photographs says of another, and whether a network needs them all.

Patches of two photographs, and noise of the same shape, at four resolutions.  In photographs a
low resolution keeps nearly all of the energy and predicts the next higher one well, and what it
leaves out is sparse; which photograph a patch is from can be told as well from a sixteenth of the
numbers.  Noise keeps a quarter from level to level, and its details are as sparse as noise is.

Then five networks with the same convolutions on few digits, whose embeddings read the last level,
all levels, or the last level and the details of the first (Kazinnik, 2019): what each level says
of the next one after training, and how many digits are recognised.  File names on the command line
are those of two pictures.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_sample_images

from sklstruct import MultiscaleClassifier
from sklstruct.inspection import RedundancyDisplay, redundancy
from sklstruct.layers import Pyramid

SIZE = 32
COLUMNS = ["accuracy", "predicted_by_next", "kept", "n_points", "decay", "sparsity"]


def photographs(n_patches: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return grey patches (2 * n_patches, 1, SIZE, SIZE), and which photograph each is from."""
    rng = np.random.default_rng(0)
    patches = []
    for image in load_sample_images().images:
        grey = image.mean(axis=2) / 255
        for _ in range(n_patches):
            row, column = (rng.integers(extent - SIZE) for extent in grey.shape)
            patches.append(grey[row : row + SIZE, column : column + SIZE])
    return np.array(patches)[:, np.newaxis], np.repeat(["temple", "flower"], n_patches)


def main(
    n_patches: int = 80, n_train: int = 300, pictures: tuple[str, ...] = (), **params: Any
) -> None:
    """Print what resolutions have in common, and how five networks that read them fare."""
    X, y = photographs(n_patches)
    noise = np.random.default_rng(1).normal(size=X.shape)
    displays = []
    for name, data in {"photographs": (X - X.mean(), y), "noise": (noise, None)}.items():
        displays.append(RedundancyDisplay(redundancy(Pyramid(levels=3), *data)))
        print(displays[-1].to_frame().set_index("level")[COLUMNS].round(2).to_string(na_rep="-"))
        print(f"  of {name}\n")
    digits, labels = load_digits().images, load_digits().target
    params = {"widths": (8, 16), "max_epochs": 12, "random_state": 0, **params}
    print(f"digits: accuracy in % from {n_train}; R2 of the second level by the first, and back")
    for scales in ("last", "concatenate", "supervised", "supervised-detached", "pyramid"):
        model = MultiscaleClassifier(scales=scales, **params)
        model.fit(digits[:n_train], labels[:n_train])
        score = 100 * model.score(digits[n_train:], labels[n_train:])
        first = redundancy(model, digits[-200:]).iloc[0]
        both = f"{first['predicts_next']:.2f}  {first['predicted_by_next']:.2f}"
        print(f"  {scales:20s} {score:5.1f}  {both}")
    for display, picture in zip(displays, pictures, strict=False):
        display.save(picture)


if __name__ == "__main__":
    main(pictures=tuple(sys.argv[1:3]))
