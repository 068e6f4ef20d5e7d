"""The published networks, and a small one, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.training import FEW_SAMPLES

SMALL: dict[str, Any] = {
    "n_attributes": 8,
    "n_factors": 16,
    "depth": 12,
    "attribute_support": (5, 7),
    "attribute_stride": 2,
    "strided": (5, 9),
    "intermediate_nonlinearity": True,
    "mean_first": False,
    "head": "mean",
    **FEW_SAMPLES,
}
CIFAR10: dict[str, Any] = {
    **SMALL,
    "n_attributes": 16,
    "n_factors": 32,
    "attribute_support": (7, 11),
    "intermediate_nonlinearity": False,
    "max_epochs": 240,
    "batch_size": 50,
    "lr": 0.25,
    "optimizer": "sgd",
    "schedule": "cosine",  # published: a tenth every 40 epochs
    "weight_decay": 2e-4,
    "label_smoothing": 0.0,
}
CIFAR100 = {**CIFAR10, "attribute_support": (11, 11)}
PRESETS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "cifar10": CIFAR10,
    "cifar10+": {**CIFAR10, "intermediate_nonlinearity": True},
    "cifar100": CIFAR100,
    "cifar100+": {**CIFAR100, "intermediate_nonlinearity": True},
    "released": {
        **CIFAR10,
        "strided": (4, 8),
        "intermediate_nonlinearity": True,
        "mean_first": True,
        "head": "linear",
        "max_epochs": 320,
        "lr": 0.35,
        "weight_decay": 2 * 3e-4,  # the gradient of Keras' penalty, 3e-4 |w|^2
    },
}
