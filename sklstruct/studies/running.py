"""Where the items of a study are computed: here, by joblib's backends, or by Dask distributed."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from joblib import Parallel, cpu_count, effective_n_jobs, parallel_config
from joblib.parallel import (
    BatchedCalls,
    LokyBackend,
    MultiprocessingBackend,
    SequentialBackend,
    get_active_backend,
)

from .leases import is_gone, this_process
from .workers import Failure, Function, attempt, pack, save, visible_gpus, work_from, work_on

if TYPE_CHECKING:
    from .cluster import ClusterPool

Item = TypeVar("Item")

LOCAL_PROCESSES = LokyBackend, MultiprocessingBackend
FOLDER = re.compile(r"sklstruct-([0-9a-f]+-[0-9]+-[0-9]*)-\w+")  # of a process
SECONDS_BETWEEN_LOOKS = 1.0  # for workers that have come


def execute(
    function: Function,
    shared: Any,
    items: Iterable[Item],
    *,
    n_jobs: int | None = 1,
    backend: str | None = None,
    scheduler: Any = None,
) -> Iterator[tuple[Item, Any]]:
    """Call a function for each item, side by side, and yield results as they come.

    An item is taken from ``items`` when a worker is free for it, in the calling thread, and not
    before.  What is shared travels once to each worker.  A worker that is killed takes no item
    with it: items that were computed then are computed again, and who breaks the pool alone is a
    failure.  (The backend "multiprocessing" waits for ever for a worker that was killed.)

    Workers are processes for the backends "loky" and "multiprocessing".  They share the cores,
    also where an estimator has ``n_jobs`` of its own; where there are several GPUs, each takes
    one for itself; arrays in what is shared are mapped into their memory and read-only.  With
    one job all is computed in this process, one item after another.

    Closing the iterator, and so ``KeyboardInterrupt``, ends the workers at once, but not threads
    nor what workers of a cluster compute now.

    Parameters
    ----------
    function : callable
        Takes ``shared`` and an item, and returns the result.
    shared : object
        What all calls need: data, estimators.  It must not be changed.
    items : iterable
        Small objects, in the order to compute them.
    n_jobs : int or None, default=1
        Number of workers, as in joblib.
    backend : str, default=None
        Of joblib, also registered ones such as "ray"; None is that of ``parallel_config``, or
        "loky".
    scheduler : str, Client or cluster, default=None
        Address of a scheduler of Dask distributed, or an object that leads to it.  Its workers
        compute all items, one a thread.

    Yields
    ------
    item : object
        One that has been computed.
    result : object or Failure
        What ``function`` has returned, or what it has raised.

    Raises
    ------
    ValueError
        If joblib has no such backend, or there is a scheduler too.
    OSError
        If the scheduler cannot be reached or is lost, or no space is left for what is shared.
    ModuleNotFoundError
        If Dask distributed is not installed; the message names the extra.

    See Also
    --------
    Study : Runs its fits by this.

    Examples
    --------
    >>> from sklstruct.studies import execute
    >>> sorted(execute(pow, 2, iter([1, 2, 3])))
    [(1, 2), (2, 4), (3, 8)]
    """
    if scheduler is not None:
        if backend is not None:
            raise ValueError(
                f"backend must be None where there is a scheduler, got {backend!r} beside "
                f"{scheduler!r}."
            )
        try:
            from .cluster import cluster_pool
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "A scheduler needs Dask distributed, which is not installed: "
                'pip install "sklstruct[dask]".'
            ) from error
        with cluster_pool(scheduler, function, shared) as pool:
            yield from computed(pool, items)
        return
    with nullcontext() if backend is None else parallel_config(backend=backend):
        n_workers, joblibs = effective_n_jobs(n_jobs), get_active_backend()[0]
    if n_workers == 1:
        for item in items:
            yield item, attempt(function, shared, item)
        return
    with joblib_pool(joblibs, n_workers, function, shared) as pool:
        yield from computed(pool, items)


def computed(pool: JoblibPool | ClusterPool, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield items with their results; each is taken when a worker is free."""
    source = iter(items)
    running: dict[Future[Any], Any] = {}
    suspects: list[Any] = []  # of which one has broken the pool: each is tried alone
    results: list[tuple[Any, Any]] = []
    while True:
        room = (1 if suspects else pool.capacity()) - len(running)
        for item in islice(suspects or source, max(0, room)):
            running[pool.submit(item)] = item
        yield from results  # while workers have something to do
        if running:
            wait(running, SECONDS_BETWEEN_LOOKS, FIRST_COMPLETED)
        elif room > 0:
            return
        else:
            sleep(SECONDS_BETWEEN_LOOKS)
        if any(map(is_broken, running)):
            wait(running)
            pool.restart()
        results, alone = [], bool(suspects)
        for future in [future for future in running if future.done()]:
            item = running.pop(future)
            if is_broken(future) and not alone:
                suspects.append(item)
            else:
                results.append((item, outcome(future)))
        if alone and results:
            del suspects[0]


def outcome(future: Future[Any]) -> Any:
    """Return the result of what is done, or a Failure."""
    try:
        return future.result()
    except CancelledError as error:
        raise ConnectionError("The scheduler is lost, and with it what its workers did.") from error
    except Exception as error:  # such as a result that cannot be sent
        return Failure(error)


def is_broken(future: Future[Any]) -> bool:
    """Whether a worker has ended without a result."""
    # Not what came back as a Failure: an estimator may have workers of its own.
    ended = future.done() and not future.cancelled()
    return ended and isinstance(future.exception(), BrokenExecutor)


# By joblib ------------------------------------------------------------------------------------


@contextmanager
def joblib_pool(
    backend: Any, n_workers: int, function: Function, shared: Any
) -> Iterator[JoblibPool]:
    """Give the workers of a backend of joblib, which end at once if the block raises."""
    share = max(1, cpu_count() // n_workers)
    gpus = visible_gpus()
    own_gpus = type(backend) in LOCAL_PROCESSES and len(gpus) > 1
    with ExitStack() as stack:
        pool: JoblibPool
        if type(backend) in LOCAL_PROCESSES:
            folder = stack.enter_context(temporary_folder())
            save(folder, function, shared)
            slots = [gpus[number % len(gpus)] for number in range(n_workers)] if own_gpus else []
            pool = JoblibPool(backend, n_workers, partial(work_from, str(folder), share, slots))
        elif getattr(backend, "supports_sharedmem", False):
            pool = JoblibPool(backend, n_workers, partial(attempt, function, shared))
        else:
            pool = ElsewherePool(backend, n_workers, function, shared)
        if share == 1:
            pool.nested = SequentialBackend(nesting_level=1), None
        # A folder of joblib for large arguments is not needed.
        stack.enter_context(Parallel(n_workers, backend=backend, max_nbytes=None))
        if own_gpus:
            pool.restart()  # workers of an earlier call may have started on one
        backend.start_call()
        try:
            yield pool
        except BaseException:
            backend.abort_everything(ensure_ready=False)
            raise
        finally:
            backend.stop_call()
        if own_gpus:
            backend.abort_everything(ensure_ready=False)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder that is removed at the end, or by the next one if all processes are killed."""
    for left in Path(tempfile.gettempdir()).iterdir():
        if (name := FOLDER.fullmatch(left.name)) and is_gone(name[1]):
            shutil.rmtree(left, ignore_errors=True)
    prefix = f"sklstruct-{this_process()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class JoblibPool:
    """The workers of a backend of joblib, item by item, as ``Parallel`` takes many ahead."""

    def __init__(self, backend: Any, n_workers: int, work: Callable[..., Any]) -> None:
        self.backend, self.n_workers, self.work = backend, n_workers, work
        self.nested = backend.get_nested_backend()

    def capacity(self) -> int:
        """Return how many items can be computed at a time."""
        return self.n_workers

    def submit(self, item: Any) -> Future[Any]:
        """Give an item to a worker that is free."""
        future: Future[Any] = Future()
        self.send(future, item)
        return future

    def send(self, future: Future[Any], item: Any, *more: Any) -> None:
        """Let a worker compute an item for a future."""

        def receive(outcome: Any) -> None:
            try:
                (result,) = self.backend.retrieve_result_callback(outcome)
                self.receive(future, item, result)
            except BaseException as error:
                future.set_exception(error)

        try:
            call = BatchedCalls([(self.work, (item, *more), {})], self.nested)
            self.backend.submit(call, callback=receive)
        except BrokenExecutor as error:  # a worker has ended meanwhile
            future.set_exception(error)

    def receive(self, future: Future[Any], item: Any, result: Any) -> None:
        """Take what a worker has returned."""
        future.set_result(result)

    def restart(self) -> None:
        """Replace all workers, after one of them has broken the pool."""
        self.backend.abort_everything(ensure_ready=True)


class ElsewherePool(JoblibPool):
    """Workers that may be on other machines: who lacks what is shared gets it with an item."""

    def __init__(self, backend: Any, n_workers: int, function: Function, shared: Any) -> None:
        super().__init__(backend, n_workers, partial(work_on, uuid4().hex))
        self.parcel = pack(function, shared)

    def receive(self, future: Future[Any], item: Any, result: Any) -> None:
        """Take what a worker has returned, or send all that it needs."""
        if result:
            future.set_result(*result)
        else:
            self.send(future, item, self.parcel)
