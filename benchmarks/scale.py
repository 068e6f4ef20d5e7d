"""Digits larger or smaller than those of the training: fixed scales, and scales that are learned.

Networks of three stages whose head reads the maxima over all places are trained on 300 MNIST
digits in the middle of a canvas of 56x56, and tested on 500 others that are resized by 0.5 to 2.
Only the learning of the scales differs: "fixed", "learned" (one factor a layer) and "channel" (one
an output channel).  "moved": after the training, all learned scales are multiplied by one of the
factors that digits are resized by.  It is known, or chosen without labels: for all test images
together such that the means of features are nearest to those of the training ("features"), or
that predictions are the most confident ("confidence"), or for each image by its confidence
("each").  "images moved" lets the network with fixed scales choose likewise among test images that
are resized back, which any network can.  Draw 0 was for choosing frame and training; needs
mnist.npz in the folder that SKLSTRUCT_DATA names.  Results go to scale.csv, one row a method, draw
and size of digits.
"""

import argparse
import copy

import numpy as np
import pandas as pd
from common import merge_csv
from PIL import Image
from scipy.special import softmax
from scipy.stats import t
from torch import nn

from sklstruct import StructuredClassifier
from sklstruct.frames import GaussianDerivatives
from sklstruct.inspection import learned_scales
from sklstruct.io import load_dataset
from sklstruct.layers import FrameConv, Network, dilate

N_TRAIN, CANVAS = 50000, 56  # images to draw the training from, and extent in samples
SIZES = 0.5, 0.71, 1.0, 1.41, 2.0
FRAME = GaussianDerivatives(order=2, scales=(1.4,), size=15)
METHODS = {"fixed": False, "learned": True, "channel": "channel"}
WIDTHS = 12, 16, 24
N_TEST = 500
WAYS = "known", "features", "confidence", "each"
KEYS = "method", "draw", "digits"


class Stages:
    """An architecture with one setting."""

    def __init__(self, learn_scale):
        self.learn_scale = learn_scale

    def build(self, in_shape, n_outputs):
        """Return three stages and the maxima over places."""
        stages, channels = nn.Sequential(), in_shape[0]
        for number, width in enumerate(WIDTHS):
            options = {"bias": False, "learn_scale": self.learn_scale}
            conv = FrameConv(channels, width, FRAME, **options)
            pool = [nn.MaxPool2d(2)] * (number < 2)
            stages.append(nn.Sequential(conv, nn.BatchNorm2d(width), *pool, nn.ReLU()))
            channels = width
        maxima = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
        return Network(in_shape, n_outputs, stages, pool=maxima, dropout=0.2)


def resized(images, factor):
    """Return images whose middle is resized, on the canvas."""
    canvas = np.zeros((len(images), CANVAS, CANVAS), dtype=np.float32)
    for one, image in zip(canvas, images, strict=True):
        extent = 2 * round(image.shape[0] * factor / 2)
        small = Image.fromarray(image.astype(np.float32)).resize((extent,) * 2, Image.BICUBIC)
        low, cut = max(0, (CANVAS - extent) // 2), max(0, (extent - CANVAS) // 2)
        values = np.asarray(small)[cut : extent - cut, cut : extent - cut]
        one[low : low + len(values), low : low + len(values)] = values
    return canvas


def probabilities_of(model, features):
    """Return what the head makes of features, (n, n_classes)."""
    weight, bias = (p.detach().numpy() for p in model.net_.module_.head.parameters())
    return softmax(features @ weight.T + bias, axis=1)


def chosen(way, members, model, reference, known):
    """Return the probabilities of the factor that is chosen, from features by factor."""
    outputs = [probabilities_of(model, features) for features in members.values()]
    if way == "known":
        return probabilities_of(model, members[known])
    if way == "features":
        shifts = [features.mean(axis=0) - reference.mean(axis=0) for features in members.values()]
        distances = [np.sum((shift / (1e-6 + reference.std(axis=0))) ** 2) for shift in shifts]
        return outputs[np.argmin(distances)]
    confidence = np.max(outputs, axis=2)
    if way == "confidence":
        return outputs[confidence.mean(axis=1).argmax()]
    return np.stack(outputs)[confidence.argmax(axis=0), np.arange(confidence.shape[1])]


def moved(model, factor):
    """Return a copy of a fitted estimator with its scales multiplied."""
    twin = copy.deepcopy(model)
    twin.net_.module_ = dilate(model.net_.module_, factor)
    return twin


def one_draw(data, draw, args):
    """Yield the rows of one draw."""
    rng = np.random.default_rng(draw)
    train = rng.choice(N_TRAIN, args.size, replace=False)
    test = N_TRAIN + rng.choice(len(data.X) - N_TRAIN, N_TEST, replace=False)
    digits, labels = data.X[test] / 255, data.y[test]
    for name, learn_scale in args.methods.items():
        model = StructuredClassifier(
            architecture=Stages(learn_scale).build,
            max_epochs=args.epochs,
            standardize=False,
            random_state=draw,
        )
        X_train = resized(data.X[train] / 255, 1.0)
        model.fit(X_train, data.y[train])
        reference = model.transform(X_train)
        if learn_scale:
            table = learned_scales(model).groupby("layer").learned_scale
            print(table.agg(["min", "mean", "max"]).round(2).to_string())
        for size in SIZES:
            X = resized(digits, size)
            outputs = {name: model.predict_proba(X)}
            members = {}
            if name == "learned":
                members = {f: moved(model, f).transform(X) for f in SIZES}
            elif name == "fixed":
                members = {f: model.transform(resized(X, 1 / f)) for f in SIZES}
            for way in WAYS if members else ():
                what = "moved" if learn_scale else "images moved"
                found = chosen(way, members, model, reference, size)
                outputs[f"{name}, {what}: {way}"] = found
            for method, probabilities in outputs.items():
                error = 100 * (probabilities.argmax(axis=1) != labels).mean()
                print(f"{draw}  {method:28s} {size:5g} {error:6.2f}", flush=True)
                yield {"method": method, "draw": draw, "digits": size, "error": error}


def summary(results):
    """Return mean errors, and differences to fixed scales with 95 % intervals over draws."""
    rows = []
    for (method, size), part in results.groupby(["method", "digits"], sort=False):
        fixed = results[(results.method == "fixed") & (results.digits == size)]
        errors = part.set_index("draw").error
        gain = errors - fixed.set_index("draw").error
        half = t.ppf(0.975, len(gain) - 1) * gain.std() / len(gain) ** 0.5
        rows.append((method, size, errors.mean(), gain.mean(), half))
    return pd.DataFrame(rows, columns=["method", "digits", "error", "minus fixed", "half"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--only", default=",".join(METHODS))
    args = parser.parse_args()
    args.methods = {name: METHODS[name] for name in args.only.split(",")}
    data = load_dataset("mnist")
    parts = []
    for draw in range(1, 1 + args.draws):
        parts.append(pd.DataFrame(one_draw(data, draw, args)))
        merge_csv("scale.csv", parts[-1], KEYS)
    print(summary(pd.concat(parts)).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
