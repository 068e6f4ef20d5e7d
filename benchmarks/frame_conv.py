"""Time FrameConv against nn.ConvNd of equal support.

Forward and backward, in turn in one process, medians; the ratio is printed and appended to
frame_conv.csv.  ``ways`` also times the two ways of computing, which is what the model of the
cost in ``sklstruct.layers.filtering`` has to choose between.
"""

import argparse
import time

import numpy as np
import torch
from common import append_csv
from torch import nn

from sklstruct.frames import Framelets, Gabor, GaussianDerivatives
from sklstruct.layers import FrameConv

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
JET = GaussianDerivatives
CASES = [  # frame, batch, channels in and out, spatial shape
    (JET(3), 25, 1, 64, (28, 28)),
    (JET(3), 25, 64, 64, (14, 14)),
    (JET(3), 25, 64, 64, (7, 7)),
    (JET(3), 4, 64, 64, (7, 7)),
    (JET(3), 32, 3, 64, (32, 32)),
    (JET(2, (1.5,)), 25, 64, 64, (14, 14)),
    (JET(3, (1.5,)), 25, 1, 64, (28, 28)),
    (JET(3, (2.0,)), 16, 64, 64, (32, 32)),
    (JET(4, (1.0, 2.0, 4.0)), 8, 16, 32, (64, 64)),
    (JET(3, (4.0,)), 16, 32, 32, (32, 32)),
    (JET(3, (8.0,)), 4, 16, 16, (64, 64)),
    (JET(3), 32, 16, 32, (256,)),
    (JET(3, (8.0,)), 32, 16, 32, (1024,)),
    (Framelets(), 32, 64, 64, (32, 32)),
    (Gabor(), 32, 32, 32, (32, 32)),
    (JET(2), 4, 1, 16, (24, 24, 24)),
    (JET(2), 4, 16, 16, (24, 24, 24)),
    (JET(3, (2.0,)), 2, 8, 8, (32, 32, 32)),
    (JET(3, (4.0,), truncate=4.0), 1, 4, 4, (40, 40, 40)),
]


def step(layer, x):
    """Run forward and backward once."""
    start = time.perf_counter()
    layer(x).sum().backward()
    return time.perf_counter() - start


def measure(layers, x, repeats):
    """Return median seconds of each layer, taking turns."""
    seconds = [[] for _ in layers]
    for repeat in range(repeats + 1):
        for layer, times in zip(layers, seconds, strict=True):
            elapsed = step(layer, x)
            if repeat:  # the first round warms up
                times.append(elapsed)
    return [float(np.median(times)) for times in seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--ways", action="store_true", help="time both ways of computing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for family, n, c_in, c_out, spatial in CASES:
        torch.manual_seed(0)
        frame = family.build(len(spatial))
        x = torch.randn(n, c_in, *spatial, requires_grad=c_in > 3)
        padding = tuple(extent // 2 for extent in frame.support)
        conv = CONV[frame.ndim](c_in, c_out, frame.support, padding=padding)
        ours = FrameConv(c_in, c_out, frame)
        layers = [conv, ours]
        if args.ways and frame.factors is not None:
            layers += [FrameConv(c_in, c_out, frame, method=m) for m in ("compose", "filter")]
        large = x[0, 0].numel() * frame.atoms[0].size * c_in * c_out * n > 3e10
        times = measure(layers, x, 2 if large else args.repeats)
        row = {
            "frame": frame.name,
            "atoms": len(frame),
            "support": "x".join(map(str, frame.support)),
            "shape": f"{n}x{c_in}->{c_out}x" + "x".join(map(str, spatial)),
            "threads": args.threads,
            "method": ours.method_for(tuple(x.shape)),
            "conv_ms": 1e3 * times[0],
            "frame_conv_ms": 1e3 * times[1],
            "ratio": times[1] / times[0],
        }
        if len(times) == 4:
            row |= {"compose": times[2] / times[0], "filter": times[3] / times[0]}
        append_csv("frame_conv_ways.csv" if args.ways else "frame_conv.csv", row)


if __name__ == "__main__":
    main()
