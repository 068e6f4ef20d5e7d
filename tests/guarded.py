"""Arrays that end where nobody may read on, for processes that would not survive it."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None)
rng = np.random.default_rng(0)
kept = []


def guarded(values):
    """Return a flat copy whose last value lies before a page that nobody may touch."""
    values = np.ascontiguousarray(values)
    size = -(-values.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, size + PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + size), PAGE, 0) == 0
    array = np.frombuffer(memory, values.dtype, values.size, size - values.nbytes)
    array[:] = values.ravel()
    kept.append(memory)
    return array


def normal(*shape):
    """Return random numbers, guarded."""
    return guarded(rng.normal(size=shape).astype(np.float32))
