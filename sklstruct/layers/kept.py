"""Tensors that follow from a layer's parameters, kept for the next time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class KeptTensors(dict[Any, Tensor]):
    """Constants that are made when first asked for, by key, dtype and device.

    Copies and pickles start empty.
    """

    def like(self, x: Tensor, key: Any, make: Callable[[], Any]) -> Tensor:
        """Return what ``make`` returns, an array, in the dtype and on the device of a tensor."""
        key = key, x.dtype, x.device
        if key in self:
            return self[key]
        with torch.inference_mode(False):  # gradients may be wanted later
            made = torch.tensor(make(), dtype=x.dtype, device=x.device)
        if type(made) is Tensor:  # and none of those that stand for one while a graph is traced
            self[key] = made
        return made

    def __reduce__(self) -> Any:
        return type(self), ()
