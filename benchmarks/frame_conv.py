"""Time FrameConv against the faster of contiguous and channels-last nn.ConvNd of equal support.

Forward and backward, in turn in one process, on one thread and on two, the least of several
times; the ratio is printed and appended to frame_conv.csv, with that of a layer that learns its
scale too, and the share of the speed of a measured product of matrices that the mixing alone
reaches.  ``--ways`` times the ways of
computing instead, which is what the model of the cost in ``sklstruct.layers.filtering`` has to
choose between.
"""

import argparse
import copy
import time

import torch
from common import append_csv
from torch import nn

from sklstruct.frames import Framelets, Gabor, GaussianDerivatives, Jet
from sklstruct.layers import FrameConv, fused

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
JET = GaussianDerivatives
CASES = [  # frame, batch, channels in and out, spatial shape
    (JET(2, size=7), 25, 64, 64, (14, 14)),
    (JET(2, size=7), 32, 64, 64, (28, 28)),
    (JET(2, size=5), 32, 64, 64, (32, 32)),
    (JET(2, size=3), 32, 64, 64, (32, 32)),
    (JET(3, (2.0,), size=13), 8, 64, 64, (64, 64)),
    (JET(3, (1.0, 2.0), size=13), 32, 64, 64, (28, 28)),
    (JET(3, size=9), 32, 1, 64, (28, 28)),
    (JET(2, size=7), 2, 16, 16, (32, 32, 32)),
    (JET(2, size=7), 4, 64, 64, (7, 7)),
    (JET(3), 25, 1, 64, (28, 28)),
    (JET(3), 25, 64, 64, (14, 14)),
    (JET(3), 32, 3, 64, (32, 32)),
    (JET(4, (1.0, 2.0, 4.0)), 4, 16, 32, (32, 32)),
    (JET(3), 32, 16, 32, (256,)),
    (JET(3, (8.0,)), 32, 16, 32, (1024,)),
    (Framelets(), 32, 64, 64, (32, 32)),
    (Gabor(), 32, 32, 32, (32, 32)),
    (JET(2), 4, 1, 16, (24, 24, 24)),
    (JET(3, (2.0,)), 2, 8, 8, (32, 32, 32)),
]
WHOLE = {2: torch.channels_last, 3: torch.channels_last_3d}


def step(layer, x, gradient):
    """Run forward and backward once."""
    start = time.perf_counter()
    layer(x).backward(gradient)
    return time.perf_counter() - start


def measure(pairs, repeats):
    """Return the least milliseconds of each layer on its signals, taking turns."""
    seconds = [[] for _ in pairs]
    gradients = [torch.randn_like(layer(x)) for layer, x in pairs]  # in the layout of the output
    for _ in range(repeats + 1):  # the first round warms up
        for (layer, x), gradient, times in zip(pairs, gradients, seconds, strict=True):
            times.append(step(layer, x, gradient))
    return [1e3 * min(times[1:]) for times in seconds]


def product_speed():
    """Return the multiplications a millisecond of a product of matrices."""
    a = torch.randn(1024, 1024)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 1024**3 / (1e3 * min(times))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--ways", action="store_true", help="time both ways of computing")
    args = parser.parse_args()
    for threads in map(int, args.threads.split(",")):
        torch.set_num_threads(threads)
        speed = product_speed()
        for case in CASES:
            row = {"threads": threads, **compare(*case, args.repeats, speed, args.ways)}
            append_csv("frame_conv_ways.csv" if args.ways else "frame_conv.csv", row)


def compare(family, n, c_in, c_out, spatial, repeats, speed, ways):
    """Return a row of the table: milliseconds and ratios."""
    torch.manual_seed(0)
    frame = family.build(len(spatial))
    x = torch.randn(n, c_in, *spatial, requires_grad=c_in > 3)
    padding = tuple(extent // 2 for extent in frame.support)
    conv = CONV[frame.ndim](c_in, c_out, frame.support, padding=padding)
    ours = FrameConv(c_in, c_out, frame)
    convs = [(conv, x)]
    if frame.ndim > 1 and max(frame.support) <= 15:  # channels last, longer ones take minutes
        last = WHOLE[frame.ndim]
        moved = x.detach().contiguous(memory_format=last).requires_grad_(c_in > 3)
        convs.append((copy.deepcopy(conv).to(memory_format=last), moved))
    layers = [ours]
    if ways and ours.bank is not None:
        layers = [FrameConv(c_in, c_out, frame, method=m) for m in ("compose", "filter")]
    elif isinstance(frame.functions, Jet) and 3 * frame.scales.max() < min(frame.support):
        layers.append(FrameConv(c_in, c_out, frame, learn_scale=True))
    # as it comes from a layer before
    signals = x.detach().movedim(1, -1).contiguous().movedim(-1, 1).requires_grad_(c_in > 3)
    work = x[0, 0].numel() * frame.atoms[0].size * c_in * c_out * n
    pairs = convs + [(layer, signals) for layer in layers]
    times = measure(pairs, 2 if work > 3e10 else repeats)
    fastest, ours_ms = min(times[: len(convs)]), times[len(convs) :]
    row = {
        "frame": frame.name,
        "atoms": len(frame),
        "support": "x".join(map(str, frame.support)),
        "shape": f"{n}x{c_in}->{c_out}x" + "x".join(map(str, spatial)),
        "method": ours.method_for(tuple(x.shape)),
        "kernel": (fused.KERNELS or ["none"])[0],
        "conv_ms": fastest,
    }
    if ways and len(layers) == 2:
        return row | {"compose": ours_ms[0] / fastest, "filter": ours_ms[1] / fastest}
    products = n * x[0, 0].numel() * len(frame) * c_in * c_out * (3 if c_in > 3 else 2)
    return row | {
        "frame_conv_ms": ours_ms[0],
        "ratio": ours_ms[0] / fastest,
        "learned_scale_ratio": ours_ms[1] / fastest if len(layers) == 2 else "",
        "share_of_sgemm": products / ours_ms[0] / speed,
    }


if __name__ == "__main__":
    main()
