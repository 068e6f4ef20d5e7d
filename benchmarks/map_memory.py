"""Memory and time of the maps of many scans, by the number of scans and by method.

Simulated scans of a number of voxels, as compressed NIfTI; a small RFNiN that reads them through
``on_paths``, and ``explain``, which writes a map in the space of every scan and averages over
groups.  Each method and number of scans is measured in a fresh process: the largest memory that it
ever held, all of Python, torch and the packages included, and the time of ``explain``.  "array" is
not written to files: all maps as one array.  Results go to map_memory.csv.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import append_csv
from irevnet_memory import MB, status

from sklstruct import RFNiNClassifier
from sklstruct.datasets import simulate_cohort
from sklstruct.estimators import on_paths
from sklstruct.estimators.persistence import load_model, save_model
from sklstruct.inspection import explain
from sklstruct.inspection.methods import map_method

ONCE = "import json, sys; from map_memory import once; once(*json.loads(sys.argv[1]))"
METHODS = "gradient,grad_cam,activation,integrated_gradients,occlusion"


def once(folder, method, n_scans, written):
    """Print the largest memory of this process in MB, and the seconds that maps take."""
    torch.set_num_threads(1)
    folder = Path(folder)
    model = load_model(folder / "model.skl")
    paths = sorted(map(str, folder.glob("cohort/sub-*/anat/*")))[:n_scans]
    start = time.perf_counter()
    if written:
        with tempfile.TemporaryDirectory() as out:
            explain(model, paths, Path(out) / "maps", method, target=model.classes_[-1])
    else:
        map_method(method)(model, paths, model.classes_[-1])
    print(status("VmHWM"), time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", default="5,20,60")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--shape", default="91,109,91")
    parser.add_argument("--array", action="store_true", help="one array, no files")
    args = parser.parse_args()
    numbers, shape = ([*map(int, text.split(","))] for text in (args.scans, args.shape))
    with tempfile.TemporaryDirectory() as folder:
        size = {"n_subjects": max(numbers), "shape": shape, "spacing": 2.0}
        cohort = simulate_cohort(Path(folder) / "cohort", **size)
        model = on_paths(RFNiNClassifier(max_epochs=1, random_state=0, device="cpu"), mask="brain")
        some = np.r_[:4, -4:0]
        save_model(model.fit(cohort.X[some], cohort.y[some]), Path(folder) / "model.skl")
        for method in args.methods.split(","):
            for n_scans in numbers:
                given = json.dumps([folder, method, n_scans, not args.array])
                command = [sys.executable, "-c", ONCE, given]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                peak, seconds = map(float, done.stdout.split())
                row = {
                    "method": method,
                    "voxels": "x".join(map(str, shape)),
                    "scans": n_scans,
                    "maps": "array" if args.array else "files",
                    "peak_megabytes": peak,
                    "of_which_volume": 4 * float(np.prod(shape)) / MB,
                    "seconds_per_scan": seconds / n_scans,
                }
                append_csv("map_memory.csv", row)


if __name__ == "__main__":
    main()
