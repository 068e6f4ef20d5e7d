"""A small network for a CPU, and the one of the thesis, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.frames import GaussianDerivatives

SMALL: dict[str, Any] = {
    "frame": (GaussianDerivatives(order=2, size=5),),
    "stem": 16,
    "widths": (24, 40, 64),
    "strides": 2,
    "top": 32,
    "max_epochs": 120,
    "batch_size": 4,
    "lr": 0.01,
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "weight_decay": 0.01,
}
THESIS: dict[str, Any] = {
    **SMALL,
    "frame": (GaussianDerivatives(order=3, size=7),),
    "stem": 64,
    "widths": (128, 128),
    "top": 256,
}
PRESETS = {"small": SMALL, "thesis": THESIS}
