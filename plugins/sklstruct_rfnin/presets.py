"""The published networks, and a small one, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.frames import GaussianDerivatives, Pixels


def jet(order: int, *scales: float, size: int | None = None, **params: Any) -> GaussianDerivatives:
    """Return Gaussian derivatives of an order at some scales."""
    return GaussianDerivatives(order=order, scales=scales, size=size, **params)


def octaves(order: int) -> list[GaussianDerivatives]:
    """Return the frames of the four groups for photographs, each without the largest scale."""
    scales = (1.0, 2.0, 4.0, 8.0)
    return [jet(order, *scales[: 4 - group], size=11 - 2 * group) for group in range(4)]


THIRD, FOURTH = octaves(3), octaves(4)
BRAIN = jet(3, 1.0, 4.0, 16.0, truncate=5.0)  # a cut at 3 would show at every resolution

SMALL = {
    "frame": (jet(2, 1.0, 2.0, size=9), jet(2, 1.0, size=5)),
    "widths": (16, 32, 32),
    "strides": (2, 1, 1),
    "pools": (True, True, False),
    "mixing": True,
    "dropout": 0.1,
    "largest": 32,
    "unit": 1.0,
    "tolerance": 0.0,
    "max_epochs": ((60, 50), (250, 20)),  # by number of samples
    "batch_size": 8,
    "lr": 0.005,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "weight_decay": 0.05,
    "label_smoothing": 0.1,
    "settle_norms": True,
}
IMAGENET_V1 = {
    **SMALL,
    "frame": THIRD,
    "widths": (96, 256, 384, 1024),
    "strides": (4, 1, 1, 1),
    "pools": (True, True, True, False),
    # Where the last group has no 1x1 convolution, the paper counts the linear layer for it.
    "mixing": (True, True, True, False),
    "dropout": (0.0, 0.0, 0.0, 0.5),
    "largest": None,
    "max_epochs": 25,  # 100,000 batches of 130,000 images
    "batch_size": 32,
    "lr": 0.01,
    "optimizer": "sgd",
    "schedule": "cosine",
    "weight_decay": 5e-4,
    "label_smoothing": 0.0,
}
PRESETS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "cifar": {
        **IMAGENET_V1,
        "frame": THIRD[1:],
        "widths": (192, 192, 192),
        "strides": 1,
        "pools": (True, True, False),
        "mixing": (True, True, False),
        "dropout": 0.5,
        "max_epochs": 200,
        "batch_size": 128,
        "lr": 0.1,
    },
    "imagenet-v1": IMAGENET_V1,
    "imagenet-v2": {
        **IMAGENET_V1,
        "frame": (*FOURTH, Pixels(size=3)),
        "widths": (128, 128, 384, 512, 1024),
        "strides": (2, 2, 1, 1, 1),
        "pools": (False, True, True, True, False),
        "mixing": True,
        "dropout": (0.0, 0.0, 0.0, 0.0, 0.5),
    },
    "mri": {
        **SMALL,
        "frame": (BRAIN,),
        "free_sizes": (7, 5, 5),
        "widths": (128, 96, 96),
        "dropout": 0.0,
        "largest": None,
        "unit": 2.0,  # the grid of the MNI template
        "tolerance": 1e-3,
        "max_epochs": 50,
        "batch_size": 4,
        "lr": 0.001,
        "optimizer": "adam",
        "weight_decay": 0.0,
    },
}
