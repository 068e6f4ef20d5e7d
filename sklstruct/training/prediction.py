"""Apply a fitted network to samples, such that predictions hardly depend on their company."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .device import limited_threads
from .rows import Unread, one_ahead

PIECE_VALUES = {"cpu": 1 << 14, "other": 1 << 22}  # of the input; small pieces stay in the cache
LARGEST_PIECE = {"cpu": 64, "other": 1024}  # samples


def run_in_pieces(
    function: Callable[[Tensor], Tensor],
    X: NDArray[Any] | Unread,
    prepare: Callable[[NDArray[Any]], Tensor],
    device: Any,
    n_threads: int | None,
    in_shape: tuple[int, ...] | None = None,
) -> NDArray[Any]:
    """Return ``function(prepare(X))``, computed for a few samples at a time.

    All pieces have one size, the last is filled up: a library picks its algorithm by the shape
    of a batch, and with another one a sample's last digits would depend on how many others are
    predicted along with it.  What is left depends on its place in the batch: products of
    matrices may round rows of odd length, or the last rows, in another order.  Between a sample
    alone and one among others, differences of 1e-6 of the largest output were measured in single
    precision and 1e-15 in double; the same samples in the same order give the same bits.  The
    precision is that of the network, also under ``torch.autocast``.

    Parameters
    ----------
    function : callable
        Maps a tensor (n, ...) on the device to a tensor (n, ...).
    X : ndarray or Unread, shape (n, channels, *spatial)
    prepare : callable
        Maps some samples to a tensor.
    device : torch device
    n_threads : int or None
    in_shape : tuple of int, default=None
        Shape of a sample for the network, where X is what it made of samples: pieces are as large
        as those that it was made of, or an inverse would meet other roundings.

    Returns
    -------
    out : ndarray, shape (n, ...)
    """
    kind = "cpu" if torch.device(device).type == "cpu" else "other"
    size = min(LARGEST_PIECE[kind], max(1, PIECE_VALUES[kind] // prod(in_shape or X.shape[1:])))
    starts = range(0, len(X), size)

    def piece(start: int) -> Tensor:
        part = X[start : start + size]
        if len(part) < size:
            part = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        return prepare(part)

    outputs: Tensor | None = None
    pieces = (one_ahead if isinstance(X, Unread) else map)(piece, starts)
    # NumPy has no bfloat16, which autocast may make of outputs.
    whole = torch.autocast(torch.device(device).type, enabled=False)
    with limited_threads(n_threads), torch.inference_mode(), whole:
        for start, x in zip(starts, pieces, strict=True):
            out = function(x.to(device))
            if outputs is None:  # at once: what is put together of pieces is there twice
                outputs = torch.empty((len(X), *out.shape[1:]), dtype=out.dtype)
            outputs[start : start + size] = out[: len(X) - start]
    assert outputs is not None  # there is a sample, as reading X ensures
    return outputs.numpy()
