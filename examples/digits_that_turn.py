"""Digits that turn: a network that learned them upright knows them in every quarter turn, or not.

The maps of the H-Net turn with the image, and only their magnitudes are averaged in the end, so
that right angles cannot change what it says (Worrall et al., 2017).  The differential invariants
of an image do not turn either, and a linear model can read them.  A network that knows up from
down reads upright digits better, and turned ones hardly at all.
"""

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklstruct import DifferentialInvariants, RFNNClassifier, StructuredClassifier


def main(n_train: int = 300, **params: Any) -> None:
    """Print the accuracy of three models by the angle that digits are turned by."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8)
    images, y = images[y != 9], y[y != 9]  # which would become a 6
    params = {"max_epochs": 30, **params}
    invariants = DifferentialInvariants(order=3, pool=1)
    linear = LogisticRegression(max_iter=2000)
    models = {
        "H-Net": StructuredClassifier(architecture="hnet", random_state=0, **params),
        "invariants": make_pipeline(invariants, StandardScaler(), linear),
        "RFNN": RFNNClassifier(random_state=0, **params),
    }
    print("accuracy in % on digits turned by")
    print(" " * 10, *(f"{90 * quarters:5d}" for quarters in range(4)))
    for name, model in models.items():
        model.fit(images[:n_train], y[:n_train])
        turned = (np.rot90(images[n_train:], quarters, axes=(1, 2)) for quarters in range(4))
        scores = [100 * model.score(np.ascontiguousarray(part), y[n_train:]) for part in turned]
        print(f"{name:10s}", *(f"{score:5.1f}" for score in scores))


if __name__ == "__main__":
    main()
