"""One residual network on many frames: as many parameters, the same functions, another start.

A 3x3 kernel has nine values whatever basis they are learned in, so that a residual network on a
complete frame can be every function that it can be on pixels (thesis of J.-H. Jacobsen, section
4.3).  What differs is how training gets there, and whether that matters has to be measured, over
several draws of the training images.  When training is done, the frame can be forgotten.
"""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from sklstruct import FrameResNetClassifier
from sklstruct.layers import to_dense
from sklstruct.studies import compare, format_summary, limited_data


def main(n_train: int = 50, n_draws: int = 3, **params: Any) -> None:
    """Print the accuracy on every frame, and how far a network is from itself on pixels."""
    X, y = load_digits(return_X_y=True)
    images = X.reshape(-1, 8, 8).astype(np.float32)
    params = {"depth": 8, "max_epochs": 30, **params}
    models = {
        frame: FrameResNetClassifier(frame=frame, **params)
        for frame in ("pixel", "image", "gaussian", "naive")
    }
    results = limited_data(models, images, y, sizes=[n_train], n_draws=n_draws, progress=False)
    print(format_summary(results))
    table = compare(results, "pixel", "accuracy")[["estimator", "difference", "low", "high"]]
    print(table.to_string(index=False, float_format="{:.3f}".format))

    model = models["image"].set_params(random_state=0).fit(images[:n_train], y[:n_train])
    network = model.net_.module_.eval()
    plain = to_dense(network)
    x = torch.from_numpy(images[:, None])
    with torch.no_grad():
        outputs = network(x)
        off = float((plain(x) - outputs).abs().max() / outputs.abs().max())
    print(f"{sum(p.numel() for p in plain.parameters())} parameters on frames and on pixels")
    print(f"change of the outputs when the frame is forgotten: {off:.1e}")


if __name__ == "__main__":
    main()
