"""A dynamic steerable block against static networks on textured blobs.

Two first-order filters and one block, as in the thesis: its poses are learned, those of the largest
response, or filters that are predicted.  Beside it two static twins of as many parameters (within
5 %) and the same receptive field: one layer of free kernels, and the pose network itself as a
convolutional network, deep as it is.  All have the same head, a rectifier and a linear layer at
every place, and are trained alike, on 400 images, but that the rate of the dynamic block is the
better of two on other images (``--choose`` tries both for any method).  F is the best one over
thresholds at a tolerance of 2 pixels, on 200 unseen images.  Rows go to blobs.csv, one a fit.
"""

import argparse
import time

import numpy as np
import pandas as pd
import torch
from common import HERE, merge_csv
from torch import nn

from sklstruct import StructuredMapClassifier, boundary_scores
from sklstruct.datasets import make_textured_blobs
from sklstruct.frames import Frame, FrameFamily, GaussianDerivatives, Jet, Pixels
from sklstruct.layers import DenseNetwork, DynamicSteerableBlock, FrameConv, activation

UNITS, DEPTH, CONTEXT, WIDTH = 12, 5, 5, 8
N_TRAIN, N_TEST, EPOCHS = 400, 200, {1: 10, 2: 20, 3: 20}
BLOCKS = {
    "dynamic": {},
    "dynamic, largest response": {"pose": "max", "poses": "shared"},
    "dynamic filters": {"steering": "filters", "units": 11},
}
RATES = {"dynamic": 0.003}  # of the others 0.01
METHODS = (*BLOCKS, "static, one layer", "static, deep")


class Gradient(FrameFamily):
    """The two first derivatives of a Gaussian."""

    scale: float = 1.0
    size: int = 7

    def build(self, ndim):
        """Return the frame."""
        jet = GaussianDerivatives(order=1, scales=(self.scale,), size=self.size).build(ndim)
        first, functions = slice(1, None), jet.functions
        functions = Jet(functions.indices[first], functions.widths[first], functions.support)
        described = jet.labels[first], jet.orders[first], jet.scales[first]
        return Frame("gradient", jet.atoms[first], *described, functions=functions)


def builder(method):
    """Return what builds a network."""

    def build(in_shape, n_outputs):
        if method in BLOCKS:
            sizes = {"units": UNITS, "depth": DEPTH, "context": CONTEXT, "poses": "output"}
            layers = [DynamicSteerableBlock(1, WIDTH, Gradient(), **sizes | BLOCKS[method])]
            width = WIDTH
        elif method == "static, deep":
            layers, width = [FrameConv(1, UNITS, Gradient()), nn.Tanh()], WIDTH
            for n_out in [UNITS] * (DEPTH - 2) + [WIDTH]:
                layers += [nn.Conv2d(UNITS, n_out, CONTEXT, padding=CONTEXT // 2), nn.Tanh()]
            layers.pop()
        else:
            support, width = Gradient().size + (DEPTH - 1) * (CONTEXT - 1), 25
            layers = [FrameConv(1, width, Pixels(size=support), bias=False)]
        return DenseNetwork(n_outputs, nn.Sequential(*layers, activation(width, 2)), width, 2)

    return build


def fit(method, level, seed, n_test, test_seed, rate):
    """Return a row of results."""
    X, y = make_textured_blobs(N_TRAIN, level, random_state=10 * seed)
    X_test, y_test = make_textured_blobs(n_test, level, random_state=test_seed)
    model = StructuredMapClassifier(
        architecture=builder(method),
        class_weight="balanced",
        label_smoothing=0.0,
        max_epochs=EPOCHS[level],
        batch_size=16,
        lr=rate,
        random_state=seed,
    )
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    maps = [probabilities[1] for probabilities in model.predict_proba(X_test)]
    tolerance = 2 / np.hypot(*X.shape[1:])
    scores = boundary_scores(maps, [[one] for one in y_test], nms=False, tolerance=tolerance)
    row = {"estimator": method, "size": level, "draw": seed, "rate": rate, "f": scores.ods}
    row |= {"n_parameters": model.n_parameters_, "seconds": seconds}
    print("  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--choose", action="store_true", help="try both rates on other images")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for level in args.levels:
        for seed in range(args.seeds):
            for method in args.methods:
                if args.choose:
                    for rate in (0.01, 0.003):
                        fit(method, level, 100 + seed, 60, 1, rate)
                    continue
                row = fit(method, level, seed, N_TEST, 2, RATES.get(method, 0.01))
                merge_csv("blobs.csv", pd.DataFrame([row]), float_format="%.4g")
    if not args.choose:
        results = pd.read_csv(HERE / "blobs.csv")
        print(results.groupby(["size", "estimator"], sort=False)["f"].agg(["mean", "std", "count"]))


if __name__ == "__main__":
    main()
