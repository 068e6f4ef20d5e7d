"""STUB."""

from dataclasses import asdict, dataclass


@dataclass
class Budget:
    fits: int | None = None
    seconds: float | None = None

    def describe(self):
        return asdict(self)
