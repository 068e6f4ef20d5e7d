"""Does the frame of a deep network matter?  ResNet, WRN and DenseNet on few CIFAR-10 images.

``choose``: the recipe, for all frames alike, on other draws: from the first 40000 training images,
validated on 2000 of the last 10000.  Rows go to frame_resnet_recipes.csv.

``accuracy``: stratified draws that are the same for all frames, flips and shifts, one recipe and
budget, tested once on the 10000 test images; table 6 of the thesis has these frames on 50000.
Rows go to frame_resnet.csv, and differences with intervals are printed.

``speed``: a residual block on frames against the same block on pixels and on ``nn.Conv2d``, forward
and backward, the least of several times in turn.  Rows go to frame_resnet_speed.csv.

Needs cifar10.npz in the folder that SKLSTRUCT_DATA names.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from common import append_csv, merge_csv
from sklearn.model_selection import train_test_split
from sklstruct_frame_resnet.resnet import FrameResNet
from torch import nn

from sklstruct import FrameDenseNetClassifier, FrameResNetClassifier
from sklstruct.io import load_dataset
from sklstruct.layers import ResidualBlock, activation, channels_last
from sklstruct.studies import compare, format_summary, limited_data

FRAMES = ("pixel", "image", "gaussian", "naive")
RECIPES = {
    "AdamW, 0.01": {},
    "AdamW, 0.003": {"lr": 0.003},
    "AdamW, 0.01, twice the epochs": {"epochs": 2},
    "AdamW, 0.01, decay 0.5": {"weight_decay": 0.5},
    "SGD, 0.1, decay 5e-4": {"optimizer": "sgd", "lr": 0.1, "weight_decay": 5e-4},
}
EPOCHS = {100: 60, 500: 50}


def network(**params):
    """Return a ResNet-20 with the recipe of the preset "small"."""
    return FrameResNetClassifier(**{"depth": 20, "augment": "crops", **params})


def choose(args):
    data = load_dataset("cifar10")
    seen, X_val, y_val = slice(40000), data.X[40000:], data.y[40000:]
    X_val, _, y_val, _ = train_test_split(X_val, y_val, train_size=2000, random_state=0)
    for seed in range(1000, 1000 + args.draws):
        for n, epochs in EPOCHS.items():
            X, _, y, _ = train_test_split(
                data.X[seen], data.y[seen], train_size=n, stratify=data.y[seen], random_state=seed
            )
            for name, recipe in RECIPES.items():
                params = {**recipe, "max_epochs": epochs * recipe.get("epochs", 1)}
                params.pop("epochs", None)
                for frame in ("pixel", "image"):
                    model = network(frame=frame, random_state=seed, **params).fit(X, y)
                    row = {"recipe": name, "frame": frame, "size": n, "draw": seed}
                    row["accuracy"] = model.score(X_val, y_val)
                    append_csv("frame_resnet_recipes.csv", row)


def accuracy(args):
    data = load_dataset("cifar10")
    rivals = {f"ResNet-20, {frame}": network(frame=frame) for frame in FRAMES}
    wide = {"depth": 16, "widen_factor": 4}
    for frame in ("pixel", "image"):
        rivals[f"WRN-16-4, {frame}"] = network(frame=frame, **wide)
        rivals[f"DenseNet-22, {frame}"] = FrameDenseNetClassifier(frame=frame, augment="crops")
    for n in map(int, args.sizes.split(",")):
        results = limited_data(
            {k: v for k, v in rivals.items() if args.only in k},
            data.X,
            data.y,
            X_test=data.X_test,
            y_test=data.y_test,
            sizes=[n],
            n_draws=args.draws,
            n_jobs=args.n_jobs,
            out=args.work / f"{args.only or 'all'}-{n}",
        )
        merge_csv("frame_resnet.csv", results, ("estimator", "size", "draw"))
        print(format_summary(results))
        reference = results["estimator"].str.contains("pixel")
        for one in results["estimator"][reference].unique():
            print(compare(results, one, "accuracy").to_string())


def speed(args):
    torch.set_num_threads(1)
    for width, extent, n in ((16, 32, 25), (32, 16, 25), (64, 8, 25), (64, 32, 25), (160, 32, 8)):
        shape = n, width, extent, extent
        x = channels_last(torch.randn(shape)).requires_grad_()

        def block(make, width=width):
            residual = nn.Sequential(make(width, width), activation(width, 2), make(width, width))
            return ResidualBlock(activation(width, 2), residual, None)

        blocks = {frame: block(FrameResNet(frame=frame).convolution(2)) for frame in FRAMES}
        blocks["conv2d"] = block(lambda a, b: nn.Conv2d(a, b, 3, padding=1, bias=False))
        seconds = {name: [] for name in blocks}
        for _ in range(args.draws * 5):
            for name, one in blocks.items():
                start = time.perf_counter()
                one(x).sum().backward()
                seconds[name].append(time.perf_counter() - start)
        least = {name: float(np.min(times)) for name, times in seconds.items()}
        for name, value in least.items():
            row = {"block": name, "width": width, "extent": extent, "batch": n}
            row |= {"milliseconds": 1e3 * value, "times_pixel": value / least["pixel"]}
            append_csv("frame_resnet_speed.csv", row)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["choose", "accuracy", "speed"])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--sizes", default="100,500")
    parser.add_argument("--only", default="", help="a part of the names of networks")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("frame_resnet_fits"))
    args = parser.parse_args()
    {"choose": choose, "accuracy": accuracy, "speed": speed}[args.what](args)
