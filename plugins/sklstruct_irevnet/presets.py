"""The published networks, and a small one, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.training import FEW_SAMPLES

SMALL: dict[str, Any] = {
    "blocks": (2, 2, 2),
    "widths": 128,
    "strides": (1, 2, 2),
    "kernels": "3-3-3",
    "initial_downsampling": 1,
    "zeros": "front",
    "dropout": 0.1,
    **FEW_SAMPLES,
}
CIFAR = {
    **SMALL,
    "blocks": (18, 18, 18),
    "widths": (16, 64, 256),
    "zeros": "end",
    "max_epochs": 200,
    "batch_size": 128,
    "lr": 0.1,
    "optimizer": "sgd",
    "schedule": "cosine",  # published: a fifth after 60, 120 and 160 epochs
    "weight_decay": 5e-4,
    "label_smoothing": 0.0,
}
IMAGENET = {
    **CIFAR,
    "dropout": 0.0,
    "max_epochs": 120,  # 600,000 batches of 256
    "batch_size": 256,
    "weight_decay": 1e-4,
}
IMAGENET_B = {
    **IMAGENET,
    "blocks": (6, 16, 72, 6),
    "widths": "bijective",
    "strides": (2, 2, 2, 2),
    "kernels": "1-3-1",
    "initial_downsampling": 2,
}
PRESETS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "cifar": CIFAR,
    "cifar-bijective": {**CIFAR, "widths": "bijective", "initial_downsampling": 2},
    "imagenet-a": {
        **IMAGENET,
        "blocks": (4, 4, 6, 4),
        "widths": (48, 192, 768, 3072),
        "strides": (1, 2, 2, 2),
        "initial_downsampling": 4,
    },
    "imagenet-b": IMAGENET_B,
    "imagenet-b-released": {**IMAGENET_B, "kernels": "3-3-3"},
}
