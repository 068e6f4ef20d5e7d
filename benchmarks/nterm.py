"""n terms of Fourier, wavelets, curvelets and a frame of Gaussian derivatives on cartoon images.

The scenes of make_cartoon, each at 512, 1024 and 2048 pixels.  Slopes of log error over log n are
those between a sixteenth and half of the length of the edge in pixels.  Rows go to nterm.csv, one
for an image and a transform: slope, relative squared error at the end of the window, and the first
n up to eight times the length of the edge from which on errors are below those of wavelets (empty:
there is none).  The low-pass parts of curvelets and of the frame have 8 x 8 samples at any size.
``--figure`` writes the picture of one scene.
"""

import argparse
import time
from math import log2

import numpy as np
import pandas as pd
from common import HERE, merge_csv

from sklstruct.datasets import make_cartoon
from sklstruct.frames import (
    CurveletTransform,
    FourierTransform,
    FrameTransform,
    GaussianDerivatives,
    WaveletTransform,
)
from sklstruct.inspection import NTermDisplay, nterm_approximation

KEYS = "transform", "size", "draw"
LARGEST = {"curvelets, projected": 1024}  # a projection takes five times as long
PROJECTIONS = {"curvelets, projected": 5}
CLAIMS = {"Fourier": (-0.5, 0.12), "wavelets db4": (-1, 0.15), "wavelets Haar": (-1, 0.15)}
STABLE = 0.1
STARTS, ENDS = 2, 8  # numbers of the terms that are a sixteenth and half of the length of the edge


def transforms(size):
    """Return the transforms of images of a size, by name."""
    octaves = int(log2(size / 8))
    curvelets = CurveletTransform(levels=octaves + 1)
    return {
        "Fourier": FourierTransform(),
        "wavelets db4": WaveletTransform("db4", levels=octaves),
        "wavelets Haar": WaveletTransform("haar", levels=octaves),
        "curvelets": curvelets,
        "curvelets, projected": curvelets,
        "gaussian derivatives": FrameTransform(
            GaussianDerivatives(order=2, scales=(0.7,)), levels=octaves
        ),
    }


def measure(size, draw):
    """Return the approximations of one image, and a row for each."""
    cartoon = make_cartoon(size, random_state=draw)
    n = (cartoon.edge_length * 2 ** np.arange(-5, 3.5, 0.5)).round().astype(int)
    window = n[STARTS], n[ENDS]
    found, rows = {}, []
    for name, transform in transforms(size).items():
        if size > LARGEST.get(name, size):
            continue
        start = time.perf_counter()
        steps = PROJECTIONS.get(name, 0)
        found[name] = nterm_approximation(
            transform, cartoon, n.tolist(), window=window, n_projections=steps
        )
        seconds = time.perf_counter() - start
        table = found[name].table
        above = table["error"] >= found.get("wavelets db4", found[name]).table["error"]
        behind = np.flatnonzero(above)
        crossing = n[behind[-1] + 1] if len(behind) and behind[-1] + 1 < len(n) else None
        row = {"transform": name, "size": size, "draw": draw, "slope": found[name].slope}
        row |= {"least_n": window[0], "largest_n": window[1]}
        row |= {"relative_error": table["relative"][ENDS]}
        row |= {"below_wavelets_from": crossing, "seconds": seconds}
        rows.append(row)
        print(*(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))
    return found, pd.DataFrame(rows)


def summarise(results):
    """Print means over draws, and which claims hold."""
    slopes = results.groupby(["transform", "size"], sort=False)["slope"].agg(["mean", "std"])
    errors = results.groupby(["transform", "size"], sort=False)["relative_error"].mean()
    print(slopes.join(errors).round(4).to_string())
    means = slopes["mean"].unstack()
    changes = means.diff(axis=1).iloc[:, 1:]
    print("change of the slope when the size doubles:", changes.round(3).to_string(), sep="\n")
    for name, (slope, tolerance) in CLAIMS.items():
        held = (means.loc[name] - slope).abs().max() <= tolerance
        print(f"{name}: {slope} within {tolerance}: {'held' if held else 'not held'}")
    for name, change in changes.iterrows():
        held = change.abs().max() <= STABLE
        print(f"{name}: stable to {STABLE}: {'held' if held else 'not held'}")
    n = results.loc[results["transform"] == "curvelets"].groupby("size")["largest_n"].mean()
    print("slope of n^-2 log^3 n at the end of the window:", (3 / np.log(n) - 2).round(2).to_dict())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--figure", help="file to write the picture of the first draw to")
    args = parser.parse_args()
    for size in args.sizes:
        for draw in range(args.draws):
            found, rows = measure(size, draw)
            merge_csv("nterm.csv", rows, KEYS, float_format="%.4g")
            if args.figure and draw == 0:
                NTermDisplay(found).save(args.figure)
    summarise(pd.read_csv(HERE / "nterm.csv"))


if __name__ == "__main__":
    main()
