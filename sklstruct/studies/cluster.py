"""The workers of Dask distributed, which come and go.  It needs the extra ``dask``."""

from __future__ import annotations

import warnings
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

from distributed import Client, WorkerPlugin
from joblib import parallel_config

from .workers import OPENED, PARCELS, Function, pack, work_on

SECONDS_TO_CONNECT = 10


class Shipment(WorkerPlugin):
    """Brings what is shared once to each worker, also to those that come later.

    Scattered data would be lost with the last worker that has them, and copies are dropped
    where no item needs them at the moment.

    Parameters
    ----------
    name : str
    parcel : bytes
    """

    def __init__(self, name: str, parcel: bytes) -> None:
        self.name, self.parcel = name, parcel

    def setup(self, worker: Any) -> None:
        """Put the parcel where the first item opens it."""
        PARCELS[self.name] = self.parcel

    def teardown(self, worker: Any) -> None:
        """Forget what was shared."""
        PARCELS.pop(self.name, None)
        OPENED.pop(self.name, None)


def fit(name: str, item: Any) -> Any:
    """Return the outcome of an item in a thread of a worker."""
    # The cores belong to all threads of all workers.
    with parallel_config(backend="sequential"):
        (result,) = work_on(name, item)
    return result


class ClusterPool:
    """The workers of a scheduler.

    Parameters
    ----------
    scheduler : str, Client or cluster
    function : callable
    shared : object
    """

    def __init__(self, scheduler: Any, function: Function, shared: Any) -> None:
        self.name = f"sklstruct-{uuid4().hex}"
        parcel = pack(function, shared)
        self.owned = not isinstance(scheduler, Client)
        if self.owned:
            scheduler = connected(scheduler)
        self.client = scheduler
        self.client.register_plugin(Shipment(self.name, parcel))
        self.executor = self.client.get_executor(pure=False)
        if not self.capacity():
            warnings.warn(
                f"The scheduler {self.client.scheduler.address} has no workers: items wait for "
                "the first one.",
                stacklevel=4,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # A scheduler that is lost cannot be told.
        with suppress(OSError, TimeoutError):
            self.executor.shutdown(wait=False)
            self.client.unregister_worker_plugin(self.name)
        if self.owned:
            self.client.close()

    def capacity(self) -> int:
        """Return the number of threads of all workers that are there now."""
        return sum(self.client.nthreads().values())

    def submit(self, item: Any) -> Future[Any]:
        """Give an item to a worker."""
        return self.executor.submit(fit, self.name, item)

    def restart(self) -> None:
        """Leave it to the scheduler, which replaces workers and repeats what they did."""


def connected(scheduler: Any) -> Client:
    """Return a client of a scheduler, or raise if it cannot be reached."""
    try:
        return Client(scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"The scheduler {scheduler!r} cannot be reached: {error}") from error
