"""Blobs whose boundaries gradients show, hint at, or hide, and kernels that turn where they are.

On the first level the magnitude of gradients is all that is needed.  On the third one, blobs and
background have textures of one mean and one contrast, and gradients are as large everywhere.  A
dynamic steerable block turns its kernels at every place by an angle that it finds from what is
around (Jacobsen, de Brabandere and Smeulders, 2017); its static twin has the same weights and turns
nothing.  Both see 7x7 pixels and little more, so that neither can tell textures apart well.  A file
name on the command line is that of a picture of the angles.
"""

import sys
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude
from sklearn.metrics import average_precision_score
from torch import nn

from sklstruct import StructuredMapClassifier
from sklstruct.inspection import PoseDisplay
from sklstruct.io import load_dataset
from sklstruct.layers import DynamicSteerableBlock


class OneBlock:
    """An architecture: a dynamic steerable block, and a linear layer at every place."""

    def __init__(self, pose: str, width: int = 8) -> None:
        self.pose, self.width = pose, width

    def __call__(self, in_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return the network."""
        block = DynamicSteerableBlock(in_shape[0], self.width, pose=self.pose)
        norm, head = nn.BatchNorm2d(self.width), nn.Conv2d(self.width, n_outputs, 1)
        return nn.Sequential(block, norm, nn.ReLU(), head)


def main(n_train: int = 60, n_test: int = 40, picture: str | None = None, **params: Any) -> None:
    """Print how well boundaries are found on every level, and draw the angles of the first one."""
    params = {"max_epochs": 10, "batch_size": 5, "class_weight": "balanced", **params}
    print("average precision in %, by level", *(f"{level:5d}" for level in (1, 2, 3)))
    scores: dict[str, list[float]] = {}
    for level in (1, 2, 3):
        data: Any = load_dataset(f"textured_blobs_{level}")
        X, y = data.X_test[:n_test], data.y_test[:n_test]
        found = {"gradient magnitude": np.stack([gaussian_gradient_magnitude(x, 1) for x in X])}
        for name, pose in {"static block": "fixed", "dynamic block": "learned"}.items():
            model = StructuredMapClassifier(architecture=OneBlock(pose), random_state=0, **params)
            model.fit(data.X[:n_train], data.y[:n_train])
            found[name] = model.predict_proba(X)[:, 1]
        for name, maps in found.items():
            score = 100 * average_precision_score(y.ravel(), maps.ravel())
            scores.setdefault(name, []).append(score)
        if level == 1 and picture is not None:
            PoseDisplay.from_estimator(model, X[:4]).save(picture)
    for name, row in scores.items():
        print(f"{name:32s}", *(f"{score:5.1f}" for score in row))


if __name__ == "__main__":
    main(picture=sys.argv[1] if len(sys.argv) > 1 else None)
