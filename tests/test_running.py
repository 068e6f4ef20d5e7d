"""Items of a study are computed anywhere, with the same results and nothing left behind."""

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from time import sleep

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import (
    array_shapes,
    arrays,
    boolean_dtypes,
    floating_dtypes,
    integer_dtypes,
    unicode_string_dtypes,
)
from joblib.parallel import MultiprocessingBackend

from sklstruct.studies import Failure, execute
from sklstruct.studies.leases import this_process
from sklstruct.studies.workers import load, save

ITEMS = list(range(8))
with_signals = pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")


class Diary:
    """What all calls share: numbers, and a folder in which they say what they do."""

    def __init__(self, folder):
        self.folder, self.numbers, self.ends = folder, np.arange(8.0) ** 2, "raise"

    def __getstate__(self):
        return vars(self)

    def __setstate__(self, state):
        vars(self).update(state)
        self.note("loaded")

    def note(self, what, *more):
        with open(self.folder / what, "a") as stream:
            stream.write(f"{' '.join(map(str, (os.getpid(), *more)))}\n")

    def read(self, what):
        path = self.folder / what
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def square(diary, item):
    try:
        diary.note("started", item, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if item == 5 and diary.ends == "raise":
            raise KeyError("five")
        if item == 5 and (diary.ends == "always" or len(started(diary, 5)) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        sleep(0.02)
        return float(diary.numbers[item]), joblib.effective_n_jobs(4)
    finally:
        diary.note("ended", item)


def started(diary, item):
    return [line for line in diary.read("started") if line[1] == str(item)]


def few(diary, most):
    """Yield the items, each when fewer than so many are pulled and not finished."""
    for n_pulled, item in enumerate(ITEMS):
        assert n_pulled - len(diary.read("ended")) < most
        yield item


class Elsewhere(MultiprocessingBackend):
    """A backend that somebody else has registered, as Ray does."""


@pytest.fixture
def diary(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")  # of this machine, whatever it has
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setitem(joblib.parallel.BACKENDS, "elsewhere", Elsewhere)
    yield Diary(tmp_path)
    assert not [*tmp_path.glob("sklstruct-*")]


@pytest.mark.parametrize(
    "where, n_workers, n_loads",
    [
        ({}, 1, 0),
        ({"n_jobs": 2, "backend": "threading"}, 2, 0),
        ({"n_jobs": 2, "backend": "multiprocessing"}, 2, 2),
        ({"n_jobs": 2, "backend": "elsewhere"}, 2, 2),
        ({"n_jobs": 2}, 2, 2),
    ],
    ids=str,
)
def test_everywhere_the_same_comes_out(diary, where, n_workers, n_loads):
    outcomes = dict(execute(square, diary, few(diary, n_workers), **where))
    error = outcomes.pop(5).error
    assert isinstance(error, KeyError)
    # Workers share the cores with what is parallel in a fit; alone it has them all.
    inner = 4 if where == {} else 1
    assert outcomes == {item: (item**2, inner) for item in ITEMS if item != 5}
    loads = [pid for (pid,) in diary.read("loaded")]
    assert len({*loads}) == len(loads) <= n_loads
    assert bool(loads) == bool(n_loads)
    if loads:
        assert 'raise KeyError("five")' in str(error.__cause__)


@with_signals
def test_who_breaks_the_pool_is_found_and_takes_nobody_with_it(diary):
    diary.ends = "always"
    outcomes = dict(execute(square, diary, ITEMS, n_jobs=2))
    error = outcomes.pop(5).error
    assert "killed" in str(error) or "terminated" in str(error)
    assert sorted(outcomes) == [item for item in ITEMS if item != 5]
    assert len(started(diary, 5)) == 2
    assert all(len(started(diary, item)) <= 2 for item in outcomes)


def test_what_killed_processes_have_left_is_removed_by_the_next_one(diary):
    machine, pid, since = this_process().split("-")
    killed = diary.folder / f"sklstruct-{machine}-{pid}-1-x"  # by another one of this number
    others = [diary.folder / f"sklstruct-{name}" for name in (f"0-{pid}-1-x", "x", f"{pid}-x")]
    running = diary.folder / f"sklstruct-{machine}-{pid}-{since}-x"
    for folder in (killed, running, *others):
        folder.mkdir()
    list(execute(square, diary, ITEMS, n_jobs=2, backend="multiprocessing"))
    assert not killed.exists()
    for folder in (running, *others):
        folder.rmdir()


@with_signals
def test_each_process_takes_one_gpu_for_itself(diary, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-7")
    for _ in execute(square, diary, ITEMS, n_jobs=2, backend="multiprocessing"):
        pass
    gpus = {pid: gpu for pid, _, gpu in diary.read("started")}
    assert len({*gpus.values()}) == len(gpus)
    assert {*gpus.values()} <= {"2", "GPU-7"}


@with_signals
def test_workers_of_a_cluster_come_and_are_killed(diary):
    distributed = pytest.importorskip("distributed")
    diary.ends = "once"
    options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": 60}
    with distributed.LocalCluster(n_workers=0, **options) as cluster:
        timer = threading.Timer(0.5, cluster.scale, [2])
        timer.start()
        with pytest.warns(UserWarning, match="has no workers: items wait for the first one"):
            outcomes = dict(execute(square, diary, ITEMS, scheduler=cluster.scheduler_address))
        timer.join()
    assert outcomes == {item: (item**2, 1) for item in ITEMS}
    assert len(started(diary, 5)) == 2
    loads = [pid for (pid,) in diary.read("loaded")]
    assert 2 <= len({*loads}) == len(loads) <= 3  # two workers, and the one in place of the killed


SCRIPT = """
import sys
from pathlib import Path
from test_running import Diary, wait
from sklstruct.studies import execute
for _ in execute(wait, Diary(Path(sys.argv[1])), range(9), n_jobs=2, backend=sys.argv[2]):
    pass
"""


def wait(diary, item):
    diary.note("started", item)
    sleep(100)


@with_signals
@pytest.mark.parametrize("end, backend", [("SIGINT", "loky"), ("SIGKILL", "multiprocessing")])
def test_whoever_stops_leaves_no_process_and_no_file(tmp_path, end, backend):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, tmp_path, backend],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    diary = Diary(tmp_path)
    until(lambda: len(diary.read("started")) == 2)
    (os.killpg if end == "SIGINT" else os.kill)(process.pid, getattr(signal, end))
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert (end == "SIGKILL") or b"KeyboardInterrupt" in said
    until(lambda: not any(map(alive, {int(pid) for pid, _ in diary.read("started")})))
    until(lambda: not [*tmp_path.glob("sklstruct-*")])


def until(holds):
    for _ in range(600):
        if holds():
            return
        sleep(0.1)
    raise AssertionError("It takes a minute.")


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


DTYPES = boolean_dtypes() | integer_dtypes() | floating_dtypes() | unicode_string_dtypes()


@given(st.lists(arrays(DTYPES, array_shapes(min_dims=0, min_side=0)), max_size=4))
def test_arrays_that_are_shared_come_as_they_were_and_cannot_be_changed(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("shared")
    values = [*values, *(value.T[::-1] for value in values if value.ndim > 1)]
    named = np.array(["a", None, 3], object)
    save(folder, square, (values, named))
    function, (loaded, texts) = load(str(folder))
    assert function is square
    assert texts.tolist() == named.tolist()
    for before, after in zip(values, loaded, strict=True):
        np.testing.assert_array_equal(before, after)
        assert before.dtype.newbyteorder("=") == after.dtype.newbyteorder("=")
        # What is not contiguous is copied.
        assert not (after.flags.writeable and before.flags.c_contiguous and before.size)


def test_a_failure_travels_with_its_notes_and_its_traceback():
    try:
        {}["missing"]
    except KeyError as error:
        error.add_note("Raised by the estimator 'a'.")
        there = pickle.loads(pickle.dumps(Failure(error))).error
    assert there.__notes__ == ["Raised by the estimator 'a'."]
    assert '{}["missing"]' in str(there.__cause__)
    odd = ValueError("odd")
    odd.held = threading.Lock()  # which stays where it is
    odd = pickle.loads(pickle.dumps(Failure(odd))).error
    assert (type(odd), str(odd)) == (RuntimeError, "ValueError: odd")


def test_what_cannot_be_computed_anywhere_is_said_in_one_line(monkeypatch):
    with pytest.raises(ValueError, match="backend must be None where there is a scheduler"):
        next(execute(pow, 2, [1], backend="loky", scheduler="tcp://127.0.0.1:1"))
    with pytest.raises(ValueError, match="abacus"):
        next(execute(pow, 2, [1], backend="abacus"))
    monkeypatch.setattr("sklstruct.studies.cluster.SECONDS_TO_CONNECT", 0.2)
    with pytest.raises(ConnectionError, match=r"scheduler 'tcp://127.0.0.1:1' cannot be reached"):
        next(execute(pow, 2, [1], scheduler="tcp://127.0.0.1:1"))
    monkeypatch.delitem(sys.modules, "sklstruct.studies.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "sklstruct\[dask\]"'):
        next(execute(pow, 2, [1], scheduler="tcp://127.0.0.1:1"))
