"""The published networks, and a small one, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sklstruct.frames import GaussianDerivatives, Pixels


@dataclass(frozen=True)
class Plan:
    """A group of layers.

    Parameters
    ----------
    width : int
        Channels.
    frame : frame family
        Of the spatial convolution; ``Pixels`` where that is free in the paper too.
    stride : int, default=1
        Of that convolution.
    mixing : bool, default=True
        Whether a 1x1 convolution follows.  Where the last group has none, the paper counts the
        linear layer for it.
    pool : bool, default=True
        Whether 3x3 max pooling with stride 2 ends the group.
    dropout : float, default=0.0
        Before the group.
    twin : int, default=None
        Support of plain kernels in place of the frame; None is that of the frame.
    """

    width: int
    frame: Any
    stride: int = 1
    mixing: bool = True
    pool: bool = True
    dropout: float = 0.0
    twin: int | None = None


@dataclass(frozen=True)
class Preset:
    """A network and its training.

    Parameters
    ----------
    plans : tuple of Plan
        One for each group.
    training : dict
        Parameters of the training.
    unit : float, default=1.0
        Length of scale 1 in millimetres, for networks that are told the ``spacing``.
    tolerance : float, default=0.0
        Relative error allowed to the filters, see ``CoarseFrameConv``; 0 computes exactly.
    largest : int, default=None
        Volumes of larger extents are averaged over 2x2x2 samples until none is larger.
    linear : bool, default=False
        Whether classifiers have a linear one beside the network, see ``mixture``.
    """

    plans: tuple[Plan, ...]
    training: dict[str, Any] = field(default_factory=dict)
    unit: float = 1.0
    tolerance: float = 0.0
    largest: int | None = None
    linear: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each group."""
        return tuple(plan.width for plan in self.plans)

    def plan(self, group: int) -> Plan:
        """Return the plan of a group; further groups are like the last one."""
        return self.plans[min(group, len(self.plans) - 1)]


def jet(order: int, *scales: float, size: int | None = None, **params: Any) -> GaussianDerivatives:
    """Return Gaussian derivatives of an order at some scales."""
    return GaussianDerivatives(order=order, scales=scales, size=size, **params)


def octaves(order: int) -> list[GaussianDerivatives]:
    """Return the frames of the four groups for photographs, each without the largest scale."""
    scales = (1.0, 2.0, 4.0, 8.0)
    return [jet(order, *scales[: 4 - group], size=11 - 2 * group) for group in range(4)]


SMALL = {
    "max_epochs": ((60, 50), (250, 20)),  # by number of samples
    "batch_size": 8,
    "lr": 0.005,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
}
MRI = {
    **SMALL,
    "max_epochs": 50,
    "batch_size": 4,
    "lr": 0.001,
    "optimizer": "adam",
    "weight_decay": 0.0,
}
IMAGENET = {
    "max_epochs": 25,  # 100,000 batches of 130,000 images
    "batch_size": 32,
    "lr": 0.01,
    "optimizer": "sgd",
    "schedule": "cosine",
    "weight_decay": 5e-4,
    "label_smoothing": 0.0,
}
CIFAR = {**IMAGENET, "max_epochs": 200, "batch_size": 128, "lr": 0.1}

THIRD, FOURTH = octaves(3), octaves(4)
BRAIN = jet(3, 1.0, 4.0, 16.0, truncate=5.0)  # a cut at 3 would show at every resolution

PRESETS = {
    "small": Preset(
        (
            Plan(16, jet(2, 1.0, 2.0, size=9), stride=2),
            Plan(32, jet(2, 1.0, size=5), dropout=0.1),
            Plan(32, jet(2, 1.0, size=5), pool=False, dropout=0.1),
        ),
        SMALL,
        largest=32,
        linear=True,
    ),
    "cifar": Preset(
        (
            Plan(192, THIRD[1]),
            Plan(192, THIRD[2], dropout=0.5),
            Plan(192, THIRD[3], mixing=False, pool=False, dropout=0.5),
        ),
        CIFAR,
    ),
    "imagenet-v1": Preset(
        (
            Plan(96, THIRD[0], stride=4),
            Plan(256, THIRD[1]),
            Plan(384, THIRD[2]),
            Plan(1024, THIRD[3], mixing=False, pool=False, dropout=0.5),
        ),
        IMAGENET,
    ),
    "imagenet-v2": Preset(
        (
            Plan(128, FOURTH[0], stride=2, pool=False),
            Plan(128, FOURTH[1], stride=2),
            Plan(384, FOURTH[2]),
            Plan(512, FOURTH[3]),
            Plan(1024, Pixels(size=3), pool=False, dropout=0.5),
        ),
        IMAGENET,
    ),
    "mri": Preset(
        (
            Plan(128, BRAIN, stride=2, twin=7),
            Plan(96, BRAIN, twin=5),
            Plan(96, BRAIN, pool=False, twin=5),
        ),
        MRI,
        unit=2.0,  # the grid of the MNI template
        tolerance=1e-3,
    ),
}


def find_preset(name: str) -> Preset:
    """Return the preset of a name, or raise ValueError."""
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {tuple(PRESETS)}, got {name!r}.")
    return PRESETS[name]
