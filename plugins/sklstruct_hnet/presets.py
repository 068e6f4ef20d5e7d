"""Published settings, and those for few samples, as tables of parameters."""

from __future__ import annotations

from typing import Any

from sklstruct.frames import CircularHarmonics

SMALL: dict[str, Any] = {
    "frame": (CircularHarmonics(width=1.0, size=11, radii=(0, 2, 4)), CircularHarmonics(width=0.7, size=5)),
    "widths": (8, 16, 32),
    "depth": (1, 1, 2),
    "orders": (0, 1),
    "dropout": 0.2,
    "max_epochs": 60,
    "batch_size": 25,
    "lr": 0.01,
}
PRESETS = {"small": SMALL}
