"""Time training steps of the preset for brains, and compare them with dense kernels.

``step``: forward, backward and Adam on four volumes on the 2 mm grid of the MNI template.  Every
variant runs in a fresh process; peak_gb is all that the process ever held, torch included.

``twin``: a network, or one of its spatial layers, against the same with the composed kernels as
weights of ``nn.Conv3d``, in turn in one process, on shapes where that fits.  "dense" kernels have
the full support; "trimmed" ones lack the taps that meet nothing but padding wherever the kernel
stands, so that they are the strongest opponent with the same output.  kernel_gb is the size of
the weights, and difference that of the outputs relative to their norm.

``size``: the weights that dense kernels would have in the preset in full size.

``error``: of the coarse filters against exact ones, the largest over the atoms of a layer;
difference is relative to the response to noise, bound holds for all signals and is what the
layer's tolerance limits.

Beside the elapsed seconds stand those of the processor, which other work on the machine hardly
changes; times_slower compares the latter.
"""

import argparse
import copy
import json
import os
import resource
import subprocess
import sys
import time
from math import prod

import numpy as np
import torch
from common import append_csv
from sklstruct_rfnin.architecture import RFNiN, RFNiNNetwork, strided
from torch import nn
from torch.nn import functional as F

from sklstruct.layers.coarse import CoarseFrameConv, correlation
from sklstruct.layers.filtering import SeparableFilter

MNI, HALF = (91, 109, 91), (45, 54, 45)  # at 2 and 4 mm
WIDTHS = (128, 96, 96)
VARIANTS = {
    "plain": {},
    "checkpointing": {"checkpointing": True},
    "mixed precision": {"mixed_precision": True},
}
NETWORKS = [  # volume, spacing in mm, widths, kinds of twins
    ((23, 28, 23), 2.0, WIDTHS, ("trimmed",)),
    (HALF, 4.0, (1, 96, 96), ("trimmed",)),
    (HALF, 4.0, (1, 1, 1), ("dense",)),
]
LAYERS = [  # of the preset on MNI volumes: number, channels in and out, kinds of twins
    (3, 32, 32, ("trimmed",)),
    (2, 4, 4, ("trimmed",)),
    (3, 1, 1, ("dense", "trimmed")),
]
COLUMNS = ("case", "shape", "spacing", "channels", "kind", "threads", "turns", "seconds")
COLUMNS += ("cpu_seconds", "times_slower", "peak_gb", "kernel_gb", "difference", "bound")


def report(**values):
    """Append a row; columns that a case does not have stay empty."""
    append_csv("rfnin_step.csv", {name: values.get(name, "") for name in COLUMNS})


def joined(numbers, sign="x"):
    return sign.join(map(str, numbers))


def mri(**options):
    """Return the preset in full size."""
    return RFNiN(preset="mri", spacing=2.0, **options).build((1, *MNI), 2)


def layers_of(network):
    """Return the spatial convolutions of a network, and the extents of what comes into each."""
    shape, layers = network.in_shape, []
    for group in network.stages:
        conv, end = (part[0] for part in (group.parts["spatial"], group.parts["mixing"]))
        layers.append((conv, shape[1:]))
        pooled = hasattr(group.parts["mixing"], "pool")
        shape = strided(strided((end.out_channels, *shape[1:]), conv.stride), 1 + pooled)
    return layers


def make_step(network, x):
    """Return a function that takes one training step, and returns elapsed and CPU seconds."""
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    y = torch.arange(len(x)) % 2

    def step():
        start, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        out = network(x)
        loss = F.cross_entropy(out, y) if out.ndim == 2 else out.square().mean()
        loss.backward()
        optimizer.step()
        return time.perf_counter() - start, time.process_time() - cpu

    return step


# one step --------------------------------------------------------------------------------------


def worker(variant, threads, repeats):
    """Print the seconds of every step and the gigabytes of this process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    step = make_step(mri(**VARIANTS[variant]), torch.randn(4, 1, *MNI))
    steps = [step() for _ in range(repeats + 1)][1:]  # the first warms up
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-9
    print(json.dumps([*np.median(steps, axis=0), peak]))


def time_steps(threads, turns):
    """Report one training step of the preset in full size, in all variants."""
    for variant in VARIANTS:
        words = [sys.executable, __file__, "worker", variant, str(threads), str(turns)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
        seconds, cpu_seconds, peak_gb = json.loads(done.stdout.splitlines()[-1])
        report(
            case="step",
            shape=joined((4, 1, *MNI)),
            spacing=2.0,
            channels=joined(WIDTHS, "/"),
            kind=variant,
            threads=threads,
            turns=turns,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            peak_gb=peak_gb,
        )


# dense kernels ---------------------------------------------------------------------------------


def reach_of(conv, spatial, kind):
    """Return how far the kernels of a twin reach to each side."""
    if kind == "dense":
        return conv.padding
    return tuple(min(p, extent - 1) for p, extent in zip(conv.padding, spatial, strict=True))


def dense_twin(conv, spatial, kind):
    """Return ``nn.Conv3d`` of the same function on signals of a shape."""
    reach = reach_of(conv, spatial, kind)
    rows = [
        torch.tensor(rows[:, p - r : p + r + 1]).to(conv.weight)
        for rows, p, r in zip(conv.frame.factors, conv.padding, reach, strict=True)
    ]
    kernel = torch.tensordot(conv.coefficients, torch.einsum("kx,ky,kz->kxyz", *rows), dims=1)
    dense = nn.Conv3d(1, 1, 1, stride=conv.stride, padding=reach, bias=False)
    dense.weight = nn.Parameter(kernel.detach())
    return dense


def dense_network(network, kind):
    """Return a copy of a network that has dense kernels."""
    dense = copy.deepcopy(network)
    for group, (conv, spatial) in zip(dense.stages, layers_of(network), strict=True):
        group.parts["spatial"].conv = dense_twin(conv, spatial, kind)
    return dense


@torch.no_grad()
def relative_difference(model, other, x):
    """Return the difference of the outputs in training, of a network in front of the mean."""
    ours, theirs = (
        (m.stages if isinstance(m, RFNiNNetwork) else m)(x) for m in (model.train(), other.train())
    )
    return float((ours - theirs).norm() / theirs.norm())


def weight_gb(model):
    """Return the gigabytes of the weights of the spatial convolutions."""
    network = isinstance(model, RFNiNNetwork)
    convs = [group.parts["spatial"].conv for group in model.stages] if network else [model]
    return sum(conv.weight.numel() * 4e-9 for conv in convs)


def compare(frame, twins, x, turns, **about):
    """Report a model on a frame, and its dense twins in turn with it."""
    differences = {kind: relative_difference(frame, twin, x) for kind, twin in twins.items()}
    models = {"frame": frame, **twins}
    steps = {kind: make_step(model, x) for kind, model in models.items()}
    steps["frame"]()  # warms up; the twins have seen to their buffers in the comparison
    rounds = [[step() for step in steps.values()] for _ in range(turns)]
    medians = np.median(rounds, axis=0)
    for (kind, model), (seconds, cpu_seconds) in zip(models.items(), medians, strict=True):
        report(
            case="twin",
            shape=joined(x.shape),
            kind=kind,
            threads=torch.get_num_threads(),
            turns=turns,
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            times_slower=cpu_seconds / medians[0, 1],
            kernel_gb=weight_gb(model),
            difference=differences.get(kind, ""),
            **about,
        )


def compare_networks(turns):
    """Compare whole networks on single volumes."""
    for volume, spacing, widths, kinds in NETWORKS:
        torch.manual_seed(0)
        design = RFNiN(preset="mri", spacing=spacing, widths=widths)
        network = design.build((1, *volume), 2)
        twins = {kind: dense_network(network, kind) for kind in kinds}
        x = torch.randn(1, 1, *volume)
        compare(network, twins, x, turns, spacing=spacing, channels=joined(widths, "/"))


def compare_layers(turns):
    """Compare single layers of the preset on what they get from an MNI volume."""
    for number, n_in, n_out, kinds in LAYERS:
        torch.manual_seed(0)
        original, spatial = layers_of(mri())[number - 1]
        conv = CoarseFrameConv(n_in, n_out, original.frame, bias=False)
        twins = {kind: dense_twin(conv, spatial, kind) for kind in kinds}
        x = torch.randn(1, n_in, *spatial, requires_grad=True)
        about = {"spacing": 2.0, "channels": f"layer {number}: {n_in}->{n_out}"}
        compare(conv, twins, x, turns, **about)


def state_sizes():
    """Report the weights that dense kernels would have in full size, layer by layer."""
    for number, (conv, spatial) in enumerate(layers_of(mri()), start=1):
        channels = conv.in_channels, conv.out_channels
        for kind in ("dense", "trimmed"):
            taps = prod(2 * r + 1 for r in reach_of(conv, spatial, kind))
            report(
                case="size",
                shape=joined((1, channels[0], *spatial)),
                spacing=2.0,
                channels=f"layer {number}: " + joined(channels, "->"),
                kind=kind,
                kernel_gb=prod(channels) * taps * 4e-9,
            )


# errors ----------------------------------------------------------------------------------------


def bound(bank, factors, spatial, stride):
    """Return the largest relative error of the atoms of a scale, over all signals.

    It is at most the sum of those along the axes, as the coarse filters are compressions.
    """
    total = 0.0
    for rows, length, reduction in zip(factors, spatial, bank.reductions, strict=True):
        total = total + np.array([axis_error(p, length, stride, reduction) for p in rows.round(12)])
    return total.max()


def axis_error(profile, length, stride, reduction):
    """Return the relative error of the correlation with a profile along one axis."""
    exact = correlation(tuple(profile), length, stride)
    coarse = reduction.bands[tuple((profile + 0.0).tolist())]
    coarse = coarse if reduction.smooth is None else coarse @ reduction.smooth
    coarse = coarse if reduction.interpolate is None else reduction.interpolate @ coarse
    return np.linalg.norm(coarse - exact, 2) / np.linalg.norm(exact, 2)


def error_on_noise(conv, filters, x):
    """Return the largest relative error of the responses of the atoms to a signal."""
    n_atoms = len(conv.frame)
    identity = torch.eye(n_atoms, dtype=x.dtype)[:, None]
    exact = SeparableFilter(conv.frame, conv.stride, conv.padding)(x, identity)[0]
    errors = []
    for atoms, bank in filters:
        wanted = exact[atoms].flatten(1)
        coarse = bank(x, identity[: len(atoms), :, : len(atoms)])[0].flatten(1)
        errors.append(((coarse - wanted).norm(dim=1) / wanted.norm(dim=1)).max().item())
    return max(errors)


def state_errors():
    """Report the errors of the coarse filters in each layer of the preset in full size."""
    for number, (conv, spatial) in enumerate(layers_of(mri()), start=1):
        torch.manual_seed(0)
        filters = conv.filters(spatial)
        factors = conv.frame.factors
        bounds = [
            bound(bank, [rows[atoms] for rows in factors], spatial, conv.stride)
            for atoms, bank in filters
        ]
        report(
            case="error",
            shape=joined((1, 1, *spatial)),
            spacing=2.0,
            channels=f"layer {number}",
            kind=f"tolerance {conv.tolerance:g}",
            difference=error_on_noise(conv, filters, torch.randn(1, 1, *spatial).double()),
            bound=float(max(bounds)),
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "cases", nargs="*", default=["step", "networks", "layers", "sizes", "errors"]
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    runs = {
        "sizes": state_sizes,
        "errors": state_errors,
        "step": lambda: time_steps(args.threads, args.turns),
        "networks": lambda: compare_networks(args.turns),
        "layers": lambda: compare_layers(args.turns),
    }
    for case in args.cases:
        runs[case]()


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
