"""How many threads compute products of matrices, whichever library asks for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

_LOCK = threading.Lock()
_LIMITS: list[Any] = []  # the limit that is in force, and a place for each who needs it


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread, in a block or in a function: several add in another order.

    The number belongs to the process.  So what runs in threads side by side shares the limit,
    which ends with the last of them.
    """
    with _LOCK:
        if not _LIMITS:
            _LIMITS.append(blas_controller().limit(limits=1, user_api="blas"))
        _LIMITS.append(None)
    try:
        yield
    finally:
        with _LOCK:
            _LIMITS.pop()
            if len(_LIMITS) == 1:
                _LIMITS.pop().restore_original_limits()


@lru_cache(maxsize=1)
def blas_controller() -> ThreadpoolController:
    """Return what sets the number of threads; finding the libraries takes some milliseconds."""
    return ThreadpoolController()
