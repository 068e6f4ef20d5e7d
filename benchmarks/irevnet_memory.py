"""Memory and time of a training step of networks of one width, by their number of blocks.

The same i-RevNet with its activations recomputed and stored, RevNet likewise, and the residual
network with as many bottlenecks and parameters.  Memory is measured in a fresh process each, as
the peak of a step above what was there before it, with parameters, gradients and the optimiser's
state in place after a first step on small images; the median of several.  Times are minima over
steps in turn within one process.  Results go to irevnet_memory.csv.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from common import append_csv
from sklstruct_irevnet.architecture import IRevNet
from sklstruct_irevnet.twins import ResNetTwin, RevNet

MODELS = {
    "i-RevNet": (IRevNet, False),
    "i-RevNet, stored": (IRevNet, True),
    "RevNet": (RevNet, False),
    "RevNet, stored": (RevNet, True),
    "ResNet": (ResNetTwin, True),
}
STEP = "import json, sys; from irevnet_memory import peak; peak(*json.loads(sys.argv[1]))"
MB = 1e6
DROPOUT = 0.1


def trainer(label, n_blocks, kernels, width, extent, batch):
    """Return a function that does one step, on a batch or on a single small image."""
    make, stored = MODELS[label]
    shape = {"blocks": (n_blocks,), "widths": (width,), "strides": (1,), "kernels": kernels}
    network = make(**shape, store_activations=stored, dropout=DROPOUT).build(
        (3, extent, extent), 10
    )
    optimizer = torch.optim.AdamW(network.parameters())
    images, labels = torch.randn(batch, 3, extent, extent), torch.randint(10, (batch,))

    def step(x=images, y=labels):
        optimizer.zero_grad(set_to_none=False)
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    return step


def status(name):
    """Return a figure of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 / MB


def print_peak(step):
    """Print the memory in MB that a step takes above what was there before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    step()
    print(status("VmHWM") - before)


def peak(*args):
    """Print the memory that a step takes above what was there before it."""
    torch.set_num_threads(1)
    step = trainer(*args)
    step(torch.randn(2, 3, 8, 8), torch.tensor([0, 1]))
    print_peak(step)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", default="10,30,100")
    parser.add_argument("--kernels", default="1-3-1,3-3-3")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--extent", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for kernels in args.kernels.split(","):
        smallest = {}
        for n_blocks in map(int, args.blocks.split(",")):
            shape = n_blocks, kernels, args.width, args.extent, args.batch
            steps, seconds, peaks = {}, {}, {}
            for label in MODELS:
                command = [sys.executable, "-c", STEP, json.dumps([label, *shape])]
                peaks[label] = median(  # what the allocator cannot use again differs by a tenth
                    float(subprocess.run(command, check=True, capture_output=True).stdout)
                    for _ in range(args.processes)
                )
                smallest.setdefault(label, peaks[label])
                steps[label] = trainer(label, *shape)
            for turn in range(1 + args.turns):
                for label, step in steps.items():
                    start = time.perf_counter()
                    step()
                    taken = time.perf_counter() - start
                    seconds[label] = min(taken, seconds.get(label, taken)) if turn else taken
            for label in MODELS:
                stored = label if label == "ResNet" else label.removesuffix(", stored") + ", stored"
                row = {
                    "model": label,
                    "blocks": n_blocks,
                    "kernels": kernels,
                    "width": args.width,
                    "images": f"{args.batch}x3x{args.extent}x{args.extent}",
                    "threads": args.threads,
                    "megabytes": peaks[label],
                    "of_fewest_blocks": peaks[label] / smallest[label],
                    "stored_takes": peaks[stored] / peaks[label],
                    "seconds": seconds[label],
                    "of_stored": seconds[label] / seconds[stored],
                    "of_revnet": seconds[label] / seconds["RevNet"],
                }
                append_csv("irevnet_memory.csv", row)


if __name__ == "__main__":
    main()
