"""Settings for few samples, and the published ones, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.frames import CircularHarmonics
from sklstruct.training import FEW_SAMPLES

SMALL: dict[str, Any] = {
    "frame": (
        # Images are sampled more coarsely than the maps made of them: wide rings see less of it.
        CircularHarmonics(radii=(0.0, 2.0, 4.0), width=1.0, size=11),
        CircularHarmonics(width=0.7, size=5),
    ),
    "widths": (8, 16, 32),
    "depth": (1, 1, 2),
    "orders": (0, 1),
    "dropout": 0.0,
    **FEW_SAMPLES,
    "weight_decay": 0.01,
}
PAPER: dict[str, Any] = {
    **SMALL,
    "frame": (CircularHarmonics(order=1, radii=(0.0, 0.8, 1.6, 2.4), size=5),),
    "widths": (8, 16, 35),
    "depth": 2,
    "max_epochs": 200,
    "batch_size": 46,
    "lr": 0.0076,
    "optimizer": "adam",
    "schedule": "cosine",
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
}
PRESETS = {"small": SMALL, "paper": PAPER}
