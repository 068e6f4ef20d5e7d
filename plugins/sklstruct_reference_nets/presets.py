"""The published networks, and small ones, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.training import FEW_SAMPLES

CIFAR: dict[str, Any] = {
    "batch_size": 128,
    "optimizer": "sgd",
    "schedule": "cosine",
    "label_smoothing": 0.0,
}
ALL_CNN_C: dict[str, Any] = {
    **CIFAR,
    "kernels": (3, 3),
    "width": 96,
    "norm": False,
    "input_dropout": 0.2,
    "dropout": 0.5,
    "max_epochs": 350,
    "lr": 0.05,  # published: the best of 0.25, 0.1, 0.05 and 0.01; a tenth after 200, 250, 300
    "weight_decay": 1e-3,
}
ALL_CNNS: dict[str, dict[str, Any]] = {
    "small": {
        **FEW_SAMPLES,
        "kernels": (3, 3),
        "width": 32,
        "norm": True,
        "input_dropout": 0.0,
        "dropout": 0.0,
    },
    "all-cnn-a": {**ALL_CNN_C, "kernels": (5,)},
    "all-cnn-b": {**ALL_CNN_C, "kernels": (5, 1)},
    "all-cnn-c": ALL_CNN_C,
}
NINS: dict[str, dict[str, Any]] = {
    "small": {**FEW_SAMPLES, "width": 48, "norm": True, "dropout": 0.0},
    "nin": {
        **CIFAR,
        "width": 192,
        "norm": False,
        "dropout": 0.5,
        "max_epochs": 200,  # published: until the training accuracy stands, then once more
        "lr": 0.1,
        "weight_decay": 1e-4,
    },
}
LENETS: dict[str, dict[str, Any]] = {
    "lenet-5": {**FEW_SAMPLES, "lr": 0.003},  # published too: 20 passes, over 60,000 samples
}
ZHANG: dict[str, Any] = {
    **CIFAR,
    "dropout": 0.0,
    "max_epochs": 100,
    "lr": 0.01,  # published: 0.95 times that after every epoch
    "weight_decay": 0.0,
}
ALEXNETS: dict[str, dict[str, Any]] = {
    "small": {**FEW_SAMPLES, "widths": (32, 32), "hidden": (128,), "dropout": 0.5, "lr": 0.003},
    "zhang-2017": {**ZHANG, "widths": (64, 64), "hidden": (384, 192)},
}
VGGS: dict[str, dict[str, Any]] = {
    "small": {
        **FEW_SAMPLES,
        "widths": (32, 64, 128),
        "depth": 2,
        "hidden": (128,),
        "conv_dropout": 0.0,
        "dropout": 0.5,
    },
    "vgg-16": {
        **CIFAR,
        "widths": (64, 128, 256, 512, 512),
        "depth": (2, 2, 3, 3, 3),
        "hidden": (512,),
        "conv_dropout": (0.3, 0.4, 0.4, 0.4, 0.4),
        "dropout": 0.5,
        "max_epochs": 250,
        "lr": 0.1,  # published: half of that after every 20 epochs
        "weight_decay": 5e-4,
    },
}
MLPS: dict[str, dict[str, Any]] = {
    "small": {**FEW_SAMPLES, "widths": (256, 256), "dropout": 0.2, "lr": 0.003},
    "1x512": {**ZHANG, "widths": (512,)},
    "3x512": {**ZHANG, "widths": (512, 512, 512)},
}
