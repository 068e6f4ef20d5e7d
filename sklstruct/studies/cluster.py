"""The workers of Dask distributed, which come and go.  It needs the extra ``dask``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any
from uuid import uuid4

from distributed import Client, WorkerPlugin
from joblib import parallel_config

from .workers import OPENED, PARCELS, Function, pack, work_on

SECONDS_TO_CONNECT = 10


class Shipment(WorkerPlugin):
    """Brings what is shared once to each worker, also to those that come later.

    Scattered data would be lost with the last worker that has them, and copies are dropped
    where no item needs them at the moment.
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


@contextmanager
def cluster_pool(scheduler: Any, function: Function, shared: Any) -> Iterator[ClusterPool]:
    """Give the workers of a scheduler, by its address, a client or a cluster."""
    shipment = Shipment(f"sklstruct-{uuid4().hex}", pack(function, shared))
    with connected(scheduler) as client:
        try:
            client.register_plugin(shipment)
        except ImportError as error:
            error.add_note("The workers of the scheduler need the same packages as this process.")
            raise
        pool = ClusterPool(client, shipment.name)
        if not pool.capacity():
            warnings.warn(
                f"The scheduler {client.scheduler.address} has no workers: items wait for the "
                "first one.",
                stacklevel=5,
            )
        try:
            yield pool
        finally:
            with suppress(OSError, TimeoutError):  # a scheduler that is lost cannot be told
                pool.executor.shutdown(wait=False)
                client.unregister_worker_plugin(shipment.name)


def connected(scheduler: Any) -> AbstractContextManager[Client]:
    """Give a client of a scheduler, or raise if it cannot be reached."""
    if isinstance(scheduler, Client):
        return nullcontext(scheduler)
    try:
        return Client(scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(f"The scheduler {scheduler!r} cannot be reached: {error}") from error


class ClusterPool:
    """The workers of a scheduler, which compute with what is shared under a name."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name
        self.executor = client.get_executor(pure=False)

    def capacity(self) -> int:
        """Return the number of threads of all workers that are there now."""
        return sum(self.client.nthreads().values())

    def submit(self, item: Any) -> Future[Any]:
        """Give an item to a worker."""
        return self.executor.submit(fit, self.name, item)

    def restart(self) -> None:
        """Leave it to the scheduler, which replaces workers and repeats what they did."""
