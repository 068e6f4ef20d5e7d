"""What is seen in photographs without labels: strokes, and combinations of strokes.

A photograph is coded in a dictionary of small atoms, all of whose shifts may be used, and the codes
are coded in a second dictionary (Papyan, Romano and Elad, 2017).  Both are learned from patches,
without labels.  Atoms of the second layer are combinations of those of the first, and are drawn as
such: what convolutional deep belief networks have shown (Lee et al., 2011).  Basis pursuit needs
far fewer atoms for a patch than one soft threshold keeps.

What the theory promises has to be looked for elsewhere.  Dictionaries that are learned hold shifted
copies of their strokes, and for a coherence near 1 no code is sure to be found.  And codes of the
first layer are hardly sparse in the second: what two layers give back of a patch is much less than
what one does.  File names on the command line are those of two pictures.
"""

import sys
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from sklstruct import ConvolutionalSparseCoder
from sklstruct.frames import Frame
from sklstruct.inspection import FrameDisplay

EXTENT = 32


def photographs(n_patches: int) -> Any:
    """Return patches of grey photographs whose slow changes of brightness are taken away."""
    rng, patches = np.random.default_rng(0), []
    for image in load_sample_images().images:
        grey = gaussian_filter(image.mean(axis=2) / 255, 0.7)[::2, ::2]
        detail = grey - gaussian_filter(grey, 3)
        detail /= np.sqrt(gaussian_filter(detail**2, 8)) + 0.02
        places = rng.integers(0, np.array(detail.shape) - EXTENT, size=(n_patches // 2, 2))
        patches += [detail[y : y + EXTENT, x : x + EXTENT] for y, x in places]
    return np.stack(patches)


def main(n_patches: int = 60, pictures: tuple[str, ...] = (), **params: Any) -> None:
    """Print what pursuit and thresholding need for a patch, and draw both layers."""
    X = photographs(n_patches)
    known: dict[str, Any] = {"dictionaries": (16, 32), "size": 7, "penalty": (0.1, 0.1), **params}
    coder = ConvolutionalSparseCoder(tol=0.05, dtype="float32", random_state=0, **known).fit(X)
    print("mutual coherence of the layers:", *coder.mutual_coherence_.round(2))
    few, atoms = X[:10], coder.atoms_
    same = {**known, "tol": 0.05, "dtype": "float32"}
    threshold = ConvolutionalSparseCoder(**same | {"dictionaries": atoms, "pursuit": "threshold"})
    for name, one in (("basis pursuit", coder), ("soft threshold", threshold.fit(few))):
        counts = [(codes != 0).sum(axis=(1, 2, 3)).mean() for codes in one.codes(few)]
        print(f"{name}: entries of a code for 100 pixels, by layer:", end="")
        print(*(f"{100 * count / EXTENT**2:6.0f}" for count in counts))
    one = ConvolutionalSparseCoder(**same | {"dictionaries": atoms[:1], "penalty": 0.1}).fit(few)
    for name, model in (("one layer", one), ("two layers", coder)):
        print(
            f"lost by {name} of pursuit: {100 * model.reconstruction_error(few):.0f} % of the norm"
        )
    for layer, picture in enumerate(pictures):
        shown = coder.effective_atoms(layer)[:, 0]
        FrameDisplay(Frame(f"layer {layer + 1}", shown)).save(picture)


if __name__ == "__main__":
    main(pictures=tuple(sys.argv[1:3]))
