"""The published networks, and a small one of each kind, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.frames import GaussianDerivatives
from sklstruct.training import FEW_SAMPLES

SMALL: dict[str, Any] = {
    "frame": (GaussianDerivatives(order=(2,), scales=(0.8,), size=3),),
    "dropout": 0.0,
    **FEW_SAMPLES,
}
CIFAR: dict[str, Any] = {
    **SMALL,
    "max_epochs": 164,
    "batch_size": 64,
    "lr": 0.1,
    "optimizer": "sgd",
    "schedule": "cosine",  # published: a tenth after a half and three quarters of the epochs
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
}
RESNET = {"width": 16, "widen_factor": 1, "bottleneck": False}
RESNETS: dict[str, dict[str, Any]] = {
    "small": {**SMALL, **RESNET, "depth": 14},
    **{f"resnet-{depth}": {**CIFAR, **RESNET, "depth": depth} for depth in (20, 56, 110)},
    "resnet-164": {**CIFAR, **RESNET, "depth": 164, "bottleneck": True},
    "resnet-164-basic": {**CIFAR, **RESNET, "depth": 164},
    "wrn-16-4": {
        **CIFAR,
        **RESNET,
        "depth": 16,
        "widen_factor": 4,
        "max_epochs": 200,
        "batch_size": 128,
        "weight_decay": 5e-4,
    },
}
DENSENET = {"growth": 12, "compression": 1.0, "bottleneck": False}
DENSENETS: dict[str, dict[str, Any]] = {
    "small": {**SMALL, **DENSENET, "depth": 22},
    "densenet-40-12": {**CIFAR, **DENSENET, "depth": 40},
    "densenet-100-12": {**CIFAR, **DENSENET, "depth": 100},
    "densenet-bc-100-12": {
        **CIFAR,
        **DENSENET,
        "depth": 100,
        "compression": 0.5,
        "bottleneck": True,
        "max_epochs": 300,
    },
}
