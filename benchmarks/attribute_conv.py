"""A training step of hierarchical attribute CNNs, against the same function by reshaping.

The yardstick computes layers as the authors' code does: the maps of a batch become samples of a
spatial convolution, norm and unit follow, then for every value of the oldest attribute the maps of
a place become planes of attributes, which are convolved, and the results are averaged.  Planes lie
channel by channel, or with the channels side by side, whichever is faster.  Parameters are shared,
outputs and gradients are compared first.  Times are minima over steps in turn within one process;
memory is the peak of a step above what was there before it, in a fresh process each, the median of
several.  Rows go to attribute_conv.csv.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from common import append_csv
from irevnet_memory import print_peak
from sklstruct_hierarchical.architecture import HierarchicalCNN
from torch import nn

WAYS = ("ours", "reshaping", "reshaping, channels last")
STEP = "import json, sys; from attribute_conv import peak; peak(*json.loads(sys.argv[1]))"


class Reshaping(nn.Module):
    """The layer by the convolutions of torch, for every value of the oldest attribute in turn."""

    def __init__(self, conv, channels_last):
        super().__init__()
        self.conv, self.channels_last = conv, channels_last
        norm = nn.BatchNorm2d if conv.intermediate_nonlinearity else Standardise
        self.norm = norm(conv.n_factors)
        if conv.intermediate_nonlinearity:
            self.norm.weight, self.norm.bias = conv.norm.weight, conv.norm.bias

    def forward(self, x):
        """Map (n, [oldest,] *attributes, *spatial) to (n, *attributes_out, n_filters, *places)."""
        conv = self.conv
        x = x.unsqueeze(1) if x.ndim == 5 else x
        n, oldest, *extents = x.shape[:4]
        filters = conv.spatial_filters.unsqueeze(1)
        z = F.conv2d(x.reshape(-1, 1, *x.shape[4:]), filters, stride=conv.stride, padding=1)
        z = z.view(n, oldest, *extents, conv.n_factors, *z.shape[2:])
        if conv.intermediate_nonlinearity:
            z = F.elu(self.norm(z.flatten(0, 3))).view(z.shape)
        else:
            z = self.norm(z)
        total = 0
        for one in range(oldest):
            planes = z[:, one].permute(0, 4, 5, 1, 2, 3).flatten(0, 2).permute(0, 3, 1, 2)
            if not self.channels_last:
                planes = planes.contiguous()
            padding = [taps // 2 for taps in conv.attribute_support]
            step = conv.attribute_stride
            total = total + F.conv2d(planes, conv.attribute_filters, stride=step, padding=padding)
        y = (total / oldest).unflatten(0, (n, *z.shape[-2:]))
        return y.permute(0, 4, 5, 3, 1, 2).contiguous()


class Standardise(nn.Module):
    """Standardise by the deviation of the mean over the oldest attribute."""

    def __init__(self, _):
        super().__init__()

    def forward(self, z):
        """Map (n, oldest, *attributes, factors, *places) to the same shape."""
        mean = z.mean(1, keepdim=True)
        variance, mean = torch.var_mean(mean, (0, 1, 2, 3, 5, 6), correction=0, keepdim=True)
        return (z - mean) * (variance + 1e-5).rsqrt()


def make(preset, way):
    """Return a network that computes a preset in a way; equal parameters for all ways."""
    torch.manual_seed(0)
    network = HierarchicalCNN(preset=preset).build((3, 32, 32), 10)
    if way != "ours":
        for layer in network.stages[2:]:
            layer.conv = Reshaping(layer.conv, way != "reshaping")
    return network


def stepper(network, batch):
    """Return a function that does one step, on images of some extent."""
    torch.manual_seed(1)
    images, labels = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))

    def step(extent=32):
        network.zero_grad()
        start = time.perf_counter()
        loss = F.cross_entropy(network(images[..., :extent, :extent]), labels)
        loss.backward()
        return time.perf_counter() - start, loss.item()

    return step


def check(preset):
    """Raise AssertionError unless all ways are one function, with equal gradients."""
    found = []
    for way in WAYS:
        network = make(preset, way).double()
        _, loss = stepper(network.to(torch.float32), 2)(12)
        gradients = [w.grad for w in network.parameters()]
        found.append((loss, torch.stack([g.norm() for g in gradients])))
    for loss, gradients in found[1:]:
        assert abs(loss - found[0][0]) < 1e-4, (loss, found[0][0])
        torch.testing.assert_close(gradients.sort()[0], found[0][1].sort()[0], rtol=1e-2, atol=1e-4)


def peak(preset, way, batch):
    """Print the memory that a step takes above what was there before it."""
    torch.set_num_threads(1)
    step = stepper(make(preset, way), batch)
    step(8)
    print_peak(step)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", default="cifar10+,cifar10,released,small")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--processes", type=int, default=3)
    args = parser.parse_args()
    for preset in args.presets.split(","):
        check(preset)
        memory = {}
        for way in WAYS:
            command = [sys.executable, "-c", STEP, json.dumps([preset, way, args.batch])]
            run = {"cwd": Path(__file__).parent, "check": True, "capture_output": True}
            runs = [subprocess.run(command, **run).stdout for _ in range(args.processes)]
            memory[way] = median(map(float, runs))
        steps = {way: stepper(make(preset, way), args.batch) for way in WAYS}
        for threads in map(int, args.threads.split(",")):
            torch.set_num_threads(threads)
            turns = [{way: step()[0] for way, step in steps.items()} for _ in range(args.turns)]
            best = {way: min(turn[way] for turn in turns) for way in WAYS}
            yardstick = min(WAYS[1:], key=best.__getitem__)
            for way in WAYS:
                row = {"preset": preset, "batch": args.batch, "threads": threads, "way": way}
                row |= {"ms": 1e3 * best[way], "images_per_s": args.batch / best[way]}
                row |= {"speedup": best[yardstick] / best[way], "peak_mb": memory[way]}
                append_csv("attribute_conv.csv", row | {"memory": memory[way] / memory[yardstick]})


if __name__ == "__main__":
    main()
