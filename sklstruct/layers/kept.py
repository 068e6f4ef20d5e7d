"""Tensors that follow from a layer's parameters, kept for the next time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class KeptTensors(dict[Any, Tensor]):
    """Constants that are made when first asked for, by key, dtype and device.

    Copies and pickles start empty.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from sklstruct.layers import KeptTensors
    >>> kept = KeptTensors()
    >>> kept.like(torch.zeros(1), "ones", lambda: np.ones(2))
    tensor([1., 1.])
    >>> kept.like(torch.zeros(1), "ones", lambda: 1 / 0)  # is not asked for again
    tensor([1., 1.])
    """

    def like(self, x: Tensor, key: Any, make: Callable[[], NDArray[Any]]) -> Tensor:
        """Return the array that ``make`` returns, in the precision and on the device of x."""
        key = key, x.dtype, x.device
        if key in self:
            return self[key]
        values = make()
        dtype = x.dtype.to_complex() if np.iscomplexobj(values) else x.dtype.to_real()
        with torch.inference_mode(False):  # gradients may be wanted later
            made = torch.tensor(values, dtype=dtype, device=x.device)
        if type(made) is Tensor:  # and none of those that stand for one while a graph is traced
            self[key] = made
        return made

    def __reduce__(self) -> Any:
        return type(self), ()
