"""Score boundaries of the BSDS500 test images: the gradient magnitude, and people.

The gradient magnitude is that of grey values smoothed by a Gaussian, times a constant.  Each
person is scored against the others who saw the same image.  Intervals are 95 % of 1000 draws of
images with replacement.  Needs the folder bsds500/test with ID.png and ID.npz, whose
``boundaries`` are (n_annotators, height, width), in the folder that SKLSTRUCT_DATA names.
Results go to boundary_scores.csv, one row a map.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
from common import append_csv
from PIL import Image
from scipy.ndimage import gaussian_gradient_magnitude

from sklstruct import boundary_scores

LARGEST = 0.2  # gradient magnitude, of grey values from 0 to 1 by pixels


def read_bsds(split):
    """Return the images (height, width, 3), and what people marked in them."""
    folder = Path(os.environ["SKLSTRUCT_DATA"]) / "bsds500" / split
    files = sorted(folder.glob("*.png"))
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return images, [np.load(file.with_suffix(".npz"))["boundaries"] for file in files]


def gradient_magnitude(image, sigma):
    grey = np.asarray(Image.fromarray(image).convert("L"), float) / 255
    return np.clip(gaussian_gradient_magnitude(grey, sigma) / LARGEST, 0, 1)


def interval(scores, groups):
    """Return the bounds of ODS over draws of images, each of which may have several maps."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(groups), (1000, len(groups)))
    f = [scores.of(np.concatenate([groups[i] for i in draw])).ods for draw in draws]
    return np.quantile(f, [0.025, 0.975])


def report(name, maps, truths, groups, **options):
    start = time.perf_counter()
    scores = boundary_scores(maps, truths, **options)
    seconds = time.perf_counter() - start
    low, high = map(float, interval(scores, groups))
    row = {"maps": name, "n_maps": len(maps), "seconds": seconds, "ods": scores.ods}
    row |= {"low": low, "high": high, "ois": scores.ois, "ap": scores.ap}
    append_csv("boundary_scores.csv", row | {"threshold": scores.threshold} | options)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="test")
    parser.add_argument("--sigma", type=float, nargs="+", default=[2.0], help="in pixels")
    parser.add_argument("--n-thresholds", type=int, default=99)
    parser.add_argument("--n-jobs", type=int, default=2)
    args = parser.parse_args()
    images, truths = read_bsds(args.split)
    numbers = np.arange(len(images))
    for sigma in args.sigma:
        maps = [gradient_magnitude(image, sigma) for image in images]
        options = {"nms": True, "n_thresholds": args.n_thresholds, "n_jobs": args.n_jobs}
        name = f"gradient magnitude, sigma {sigma:g}, {args.split}"
        report(name, maps, truths, numbers[:, None], **options)
    pairs = [
        (number, truth[k], np.delete(truth, k, axis=0))
        for number, truth in enumerate(truths)
        for k in range(len(truth))
    ]
    of, people, others = zip(*pairs, strict=True)
    groups = [np.flatnonzero(np.equal(of, number)) for number in numbers]
    options = {"nms": False, "n_thresholds": 1, "n_jobs": args.n_jobs}
    report(f"people, {args.split}", people, others, groups, **options)


if __name__ == "__main__":
    main()
