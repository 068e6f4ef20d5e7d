"""What a dynamic steerable block costs: a step forward and backward, against its static twin.

Blocks with a pose that is learned, the one of largest response, filters that are predicted, and
none, on one image of 160x160.  Times are minima over turns within one process; memory is the peak
of a step above what was there before it, in a fresh process each, the median of several.  Rows go
to dynamic_block.csv.
"""

import argparse
import json
import subprocess
import sys
import time
from statistics import median

import torch
from common import append_csv
from irevnet_memory import print_peak

from sklstruct.frames import GaussianDerivatives
from sklstruct.layers import DynamicSteerableBlock

WIDTHS = ((64, 128), (16, 32))
EXTENT = 160
BLOCKS = {
    "static": {"pose": "fixed"},
    "dynamic": {},
    "dynamic, 16 units": {"units": 16},
    "dynamic, scale": {"frame": "scales", "scale": True},
    "largest response": {"pose": "max"},
    "predicted filters": {"steering": "filters"},
}
STEP = "import json, sys; from dynamic_block import peak; peak(*json.loads(sys.argv[1]))"


def stepper(label, n_in, n_out):
    """Return a function that does one step on an image of some extent."""
    torch.manual_seed(0)
    options = dict(BLOCKS[label])
    scales = (0.8, 1.1, 1.5) if options.pop("frame", None) else (1.0,)
    block = DynamicSteerableBlock(
        n_in, n_out, GaussianDerivatives(order=2, scales=scales, size=7), **options
    )

    def step(extent=EXTENT):
        x = torch.randn(1, n_in, extent, extent).to(memory_format=torch.channels_last)
        x.requires_grad_()
        start = time.perf_counter()
        y = block(x)
        y.backward(y.detach())
        return time.perf_counter() - start

    return step


def peak(label, n_in, n_out):
    """Print the memory that a step takes above what was there before it."""
    torch.set_num_threads(1)
    step = stepper(label, n_in, n_out)
    step(8)
    print_peak(step)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for widths in WIDTHS:
        steps = {label: stepper(label, *widths) for label in BLOCKS}
        seconds = dict.fromkeys(BLOCKS, float("inf"))
        for _ in range(args.turns):
            for label, step in steps.items():
                seconds[label] = min(step(), seconds[label])
        megabytes = {
            label: median(
                float(subprocess.run(command, check=True, capture_output=True).stdout)
                for _ in range(args.processes)
            )
            for label in BLOCKS
            for command in [[sys.executable, "-c", STEP, json.dumps([label, *widths])]]
        }
        for label in BLOCKS:
            row = {
                "block": label,
                "channels": "{} to {}".format(*widths),
                "threads": args.threads,
                "milliseconds": 1e3 * seconds[label],
                "of_static_time": seconds[label] / seconds["static"],
                "megabytes": megabytes[label],
                "of_static_memory": megabytes[label] / megabytes["static"],
            }
            append_csv("dynamic_block.csv", row)


if __name__ == "__main__":
    main()
