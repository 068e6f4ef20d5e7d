from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.special import expit

from sklstruct.estimators import MapEstimator
from sklstruct.params import integer, one_of, param, real
from sklstruct.training import AtPlaces, Augment, Auxiliary, BinaryCrossEntropy

from .architecture import DynResNet

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Boundaries:
    pos_weight: float
    checks: ClassVar[dict[str, Any]] = {}

    @classmethod
    def of(cls, maps, weight=None, before=None, *, estimator):
        if before is not None:
            return before
        n = sum(np.isfinite(y).sum() for y in maps)
        pos = sum(np.nansum(y) for y in maps)
        return cls(float((n - pos) / pos) ** estimator.balance)

    @property
    def n_outputs(self) -> int:
        return 1

    def objective(self, label_smoothing: float) -> Any:
        return Auxiliary(AtPlaces(BinaryCrossEntropy(self.pos_weight)), 1.0)

    def encode(self, y: Array, dtype: str) -> tuple[Array, Array]:
        says = np.isfinite(y)
        return np.where(says, y, 0).astype(dtype), says

    def decode(self, outputs: Array) -> Array:
        return expit(outputs[0])

    def strata(self, y: Any) -> None:
        return None


class BoundaryDetector(DynResNet, MapEstimator):
    annotators: str = param("majority", one_of("majority", "more than two", "consensus", "share"))
    slack: int = 0
    balance: float = 1.0

    _target: ClassVar[Any] = Boundaries

    def _read_map(self, number, given):
        values, shape = given
        marks = np.asarray(values, np.float32).reshape(-1, *shape)
        if self.slack:
            f = np.ones((3, 3), bool) if self.slack >= 10 else None
            marks = np.stack(
                [binary_dilation(m > 0.5, f, iterations=self.slack % 10) for m in marks]
            )
        share = marks.mean(axis=0)
        if self.annotators == "majority":
            return (share > 0.5).astype(np.float32)
        if self.annotators == "more than two":
            return (marks.sum(axis=0) > 2).astype(np.float32)
        if self.annotators == "share":
            return share.astype(np.float32)
        out = (share >= self.eta).astype(np.float32)
        out[(share > 0) & (share < self.eta)] = np.nan
        return out

    eta: float = 0.3

    def decision_function(self, X: Any) -> Any:
        return self._map(X, lambda logits: logits[0])

    def predict_proba(self, X: Any) -> Any:
        return self._map(X, self.target_.decode)
