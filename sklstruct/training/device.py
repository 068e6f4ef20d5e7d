"""Where and with how many threads torch computes, and from which seed networks start."""

from __future__ import annotations

import ctypes
import os
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

MOST_THREADS = 1024  # what cannot start all its threads is ended by their library
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # numbers of mallopt
LARGEST_PIECE = 1 << 25  # bytes: glibc goes as far by itself, and keeps twice as much
KEPT = 1 << 28
_INITIALISATION = threading.RLock()
_FORKED: list[bool] = []  # whether this process is the copy of another one


def compute_alone() -> None:
    """Let torch wait for no threads in a process that was forked, as they are not there."""
    _FORKED.append(True)
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=compute_alone)


def resolve_device(device: str) -> str:
    """Return the torch device for a name; "auto" is CUDA, then MPS, then the CPU.

    The environment variable ``SKLSTRUCT_DEVICE`` decides in place of "auto".

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine does not have it.

    See Also
    --------
    limited_threads : Threads on a CPU.

    Examples
    --------
    >>> from sklstruct.training import resolve_device
    >>> resolve_device("cpu")
    'cpu'
    """
    if device == "auto":
        device = os.environ.get("SKLSTRUCT_DEVICE") or (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={device!r} cannot be used here: {reason}") from error
    return device


@contextmanager
def seeded_initialisation(seed: int) -> Iterator[None]:
    """Let torch's global generator, borrowed for a moment, start from a seed.

    Layers draw their first weights from it.  It belongs to the process, so networks that are
    built in threads side by side have to wait for each other here; all later randomness has
    generators of its own.  So does the default dtype: another one draws other numbers.
    """
    generator = torch.default_generator  # networks are built on the CPU
    with _INITIALISATION:
        state, dtype = generator.get_state(), torch.get_default_dtype()
        generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            generator.set_state(state)


@contextmanager
def limited_threads(n_threads: int | None) -> Iterator[None]:
    """Let torch use so many threads for one operation; None leaves it alone.

    See Also
    --------
    resolve_device : The device by its name.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.training import limited_threads
    >>> with limited_threads(1):
    ...     print(torch.get_num_threads())
    1
    """
    before = torch.get_num_threads()
    if _FORKED and n_threads != 1:
        warnings.warn(
            f"n_threads={n_threads} would stand still in a process that was forked, as the threads "
            "of torch are not there: one is used. Joblib's backend loky has no such limit.",
            stacklevel=4,
        )
        n_threads = 1
    torch.set_num_threads(int(n_threads or before))  # a grid may hold integers of NumPy
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the library of C keep the memory that a step frees, as the next one takes as much.

    Otherwise the system hands it out anew in every step, one page after another, each full of
    zeros: by a single thread, and for small networks that takes a sixth of a step.  Where the
    library has no such setting, nothing happens.
    """
    library: Any = ctypes.CDLL(None) if os.name == "posix" else None
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(MMAP_THRESHOLD, LARGEST_PIECE)
    library.mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        library.mallopt(TRIM_THRESHOLD, 2 * LARGEST_PIECE)
        library.malloc_trim(0)


def count_parameters(module: nn.Module, frozen: Collection[str] = ()) -> int:
    """Return the number of trainable parameters, without those of some names."""
    named = module.named_parameters()
    return sum(p.numel() for name, p in named if p.requires_grad and name not in frozen)
