"""Find boundaries in the test images of BSDS500 with dynamic blocks and with their static twins.

``BoundaryDetector`` is trained on the 300 images of train and val, without any other data, and
scored on the 200 of test; for choices, ``--choose`` trains on train and scores on val.  With
``--half`` all is done at half the resolution: an image is averaged over 2x2 pixels, and a mark is
where one of four pixels is marked.  Intervals are 95 % of 1000 draws of images with replacement;
those of differences of the first pose from the others draw the same images for both, and are of
means over the seeds.  Reads what ``boundary_scores.py`` reads.  Results go to boundaries.csv, one
row a fit, and boundaries_differences.csv.
"""

import argparse
import time

import numpy as np
from boundary_scores import interval, read_bsds
from common import append_csv
from joblib import Parallel, delayed

from sklstruct import BoundaryDetector, boundary_scores
from sklstruct.estimators import save_model


def halved(image):
    """Return pixels in pairs of rows and of columns, (height, 2, width, 2, ...)."""
    height, width = (extent // 2 for extent in image.shape[:2])
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *image.shape[2:])


def read(splits, half):
    """Return images and what people marked in them, of some splits."""
    images, truths = [], []
    for split in splits:
        for image, truth in zip(*read_bsds(split), strict=True):
            if half:  # an odd row or column is left out
                image = halved(image).mean(axis=(1, 3), dtype=np.float32)
                truth = np.stack([halved(marks).any(axis=(1, 3)) for marks in truth])
            images.append(image)
            truths.append(truth)
    return images, truths


def fit(options, X, y, X_test, y_test, save):
    """Return the scores of a detector, and a row of results."""
    model, start = BoundaryDetector(**options), time.perf_counter()
    model.fit(X, y)
    fitted = time.perf_counter()
    if save:
        save_model(model, f"{save}-{model.pose}-{model.random_state}.sklstruct")
    maps = model.predict_proba(X_test)
    predicted = time.perf_counter()
    scores = boundary_scores(maps, y_test, n_jobs=model.n_threads)
    low, high = map(float, interval(scores, np.arange(len(maps))[:, None]))
    row = {"preset": model.preset, "pose": model.pose, "side_outputs": model.side_outputs}
    row |= {"seed": model.random_state, "n_test": len(maps), "threads": model.n_threads}
    row |= {"n_parameters": model.n_parameters_, "epochs": model.n_iter_}
    row |= {"fit_seconds": fitted - start, "predict_seconds": predicted - fitted}
    row |= {"ods": scores.ods, "low": low, "high": high, "ois": scores.ois}
    return scores, row | {"ap": scores.ap, "threshold": scores.threshold}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--pose", nargs="+", default=["learned"], help="learned, max, fixed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="those of the preset, if not given")
    parser.add_argument("--side-outputs", action="store_true")
    parser.add_argument("--half", action="store_true", help="half the resolution")
    parser.add_argument("--choose", action="store_true", help="train on train, score on val")
    parser.add_argument("--n-threads", type=int, default=2)
    parser.add_argument("--n-jobs", type=int, default=1, help="fits at a time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save", help="model file, without an ending; the names of fits are added")
    args = parser.parse_args()
    X, y = read(["train"] if args.choose else ["train", "val"], args.half)
    X_test, y_test = read(["val"] if args.choose else ["test"], args.half)
    options = {"preset": args.preset, "side_outputs": args.side_outputs, "verbose": 1}
    options |= {"max_epochs": args.epochs, "n_threads": args.n_threads, "device": args.device}
    pairs = [(pose, seed) for seed in args.seeds for pose in args.pose]
    run = delayed(fit)
    fits = (
        run(options | {"pose": pose, "random_state": seed}, X, y, X_test, y_test, args.save)
        for pose, seed in pairs
    )
    found = {}
    for pair, results in zip(
        pairs, Parallel(args.n_jobs, return_as="generator")(fits), strict=True
    ):
        found[pair], row = results
        append_csv("boundaries.csv", {"half": args.half, "n_train": len(X)} | row)
    rng, first = np.random.default_rng(0), args.pose[0]
    draws = rng.integers(0, len(y_test), (1000, len(y_test)))
    for pose in args.pose[1:]:

        def difference(images, other=pose):
            pairs = ((found[first, seed], found[other, seed]) for seed in args.seeds)
            return np.mean([a.of(images).ods - b.of(images).ods for a, b in pairs])

        low, high = np.quantile([difference(draw) for draw in draws], [0.025, 0.975])
        row = {"preset": args.preset, "pose": first, "other": pose, "half": args.half}
        row |= {"seeds": len(args.seeds), "n_test": len(y_test)}
        row |= {"difference": float(difference(np.arange(len(y_test))))}
        append_csv("boundaries_differences.csv", row | {"low": float(low), "high": float(high)})


if __name__ == "__main__":
    main()
