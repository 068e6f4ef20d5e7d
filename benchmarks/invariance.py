"""What features change when digits are shifted, dilated and turned a little, by depth.

Codes that are sparse in a fixed frame build in no invariance, and depth is needed for it
(J. Tanner's lecture): the mean over samples of the larger one of two ratios of the distance of
features to the size of a deformation, for pixels, for sparse codes in a fixed frame with and
without pooling, for the codes of two convolutional dictionaries, and for the stages of a network,
trained and as it is drawn.  Draws are other digits of MNIST, to train on and to move.  Rows go to
invariance.csv.  Needs mnist.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse
from functools import partial

import numpy as np
import pandas as pd
from common import HERE, merge_csv
from scipy.ndimage import gaussian_filter

from sklstruct import ConvolutionalSparseCoder, RFNNClassifier, SparseFrameClassifier
from sklstruct.datasets import fetch_mnist
from sklstruct.inspection import stability

MOVED, TRAINED = 20, 500
SIZES = {"translation": 1.0, "dilation": 0.05, "rotation": 0.05}  # samples, gradients, radians


def codes(coder, layer, X):
    return coder.codes(X)[layer].reshape(len(X), -1)


def representations(X, y, seed):
    """Yield name, depth and the function to the features."""
    yield "pixels", 0, lambda X: X.reshape(len(X), -1)
    for name, pool in (("sparse frame", None), ("sparse frame, pooled", 7)):
        model = SparseFrameClassifier(pool=pool).fit(X, y)
        yield name, 1, model.transform if pool is None else partial(pooled, model)
    for pursuit in ("threshold", "fista"):
        options = {"pursuit": pursuit, "tol": 1e-2, "dtype": "float32", "random_state": seed}
        coder = ConvolutionalSparseCoder(dictionaries=(16, 32), **options).fit(X[:100])
        for layer in range(2):
            yield f"dictionaries, {pursuit}", layer + 1, partial(codes, coder, layer)
    for name, epochs in (("network, drawn", 1), ("network, trained", 40)):
        lr = 1e-9 if epochs == 1 else None
        model = RFNNClassifier(max_epochs=epochs, lr=lr, random_state=seed).fit(X, y)
        for stage in range(3):
            model.set_params(feature_layer=f"stages.{stage}")
            yield name, stage + 1, model.transform
        model.set_params(feature_layer="head")
        yield name, 4, model.transform


def pooled(model, X):
    return model._features(model._read(X, reset=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    data = fetch_mnist()
    keys = "features", "depth", "deformation", "draw"
    for draw in range(args.draws):
        order = np.random.default_rng(draw).permutation(len(data.y))
        # Smooth enough for interpolation to be no deformation of its own.
        X = gaussian_filter(data.X[order[: TRAINED + MOVED]] / 255, (0, 1, 1)).astype(np.float32)
        train, moved = X[:TRAINED], X[TRAINED:]
        rows = []
        for name, depth, features in representations(train, data.y[order[:TRAINED]], draw):
            for kind, size in SIZES.items():
                options = {"boundary": "zero", "layout": "HW", "random_state": draw}
                found = stability(features, moved, kind, sizes=[size], n_draws=2, **options)
                rows.append((name, depth, kind, draw, found.mean_constant))
        table = pd.DataFrame(rows, columns=[*keys, "constant"])
        merge_csv("invariance.csv", table, keys, float_format="%.5g")
        print(f"draw {draw}", flush=True)
    table = pd.read_csv(HERE / "invariance.csv")
    groups = table.groupby([*keys[:2], "deformation"])["constant"].agg(["mean", "std"])
    print(groups.unstack().round(3).to_string())


if __name__ == "__main__":
    main()
