"""What is stored stays, whoever is killed, and no two processes compute the same."""

import errno
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from claimers import arrays, keys
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sklstruct.studies import leases
from sklstruct.studies.leases import EXPIRY, Leases
from sklstruct.studies.store import FolderStore, MemoryStore

KEY, OTHER = "0a" * 16, "0b" * 16
HEADER = {"estimator": "ridge", "accuracy": 0.1 + 0.2, "n_parameters": None, "size": 50}
ARRAYS = {"test": np.arange(7, dtype="i4"), "scores": np.linspace(0, 1, 14).reshape(7, 2)}


@pytest.fixture
def store(tmp_path):
    with FolderStore(tmp_path / "study") as store:
        yield store


@pytest.fixture
def stored(tmp_path):
    """The folder of a study with one cell."""
    with FolderStore(tmp_path / "study") as store:
        store.put(KEY, HEADER, ARRAYS)
    return tmp_path / "study"


def names(folder):
    return sorted(os.listdir(folder))


def assert_same(arrays, others):
    assert list(arrays) == list(others)
    for array, other in zip(arrays.values(), others.values(), strict=True):
        np.testing.assert_array_equal(array, other, strict=True)


# ----------------------------------------------------------------------- what comes back

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
JSON = st.recursive(SCALARS, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=5)
DTYPES = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    npst.complex_number_dtypes(endianness="?", sizes=(64, 128)),
)
ANY = DTYPES.flatmap(
    lambda d: npst.arrays(d, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), ANY, max_size=3), st.data())
def test_what_was_put_comes_back(tmp_path_factory, header, arrays, data):
    arrays = {n: a.T[::-1] if a.ndim and data.draw(st.booleans()) else a for n, a in arrays.items()}
    native = {n: a.astype(a.dtype.newbyteorder("=")) for n, a in arrays.items()}
    with FolderStore(tmp_path_factory.mktemp("study")) as store:
        store.put(KEY, header, arrays)
    assert store.headers() == {KEY: header}
    assert_same(store.arrays(KEY), native)
    assert all(array.flags.writeable for array in store.arrays(KEY).values())


def test_memory_gives_back_what_a_folder_does(store):
    with MemoryStore() as memory:
        for one in (store, memory):
            assert one.claim(KEY)
            one.put(KEY, HEADER, ARRAYS)
            assert not one.claim(KEY)
            one.add_run({"seed": 1})
        assert memory.keys() == store.keys()
        assert memory.headers() == store.headers()
        assert [*memory.runs().values()] == [*store.runs().values()]
        assert_same(memory.arrays(KEY), store.arrays(KEY))


def test_nan_and_infinities_come_back(store):
    store.put(KEY, {"log_loss": float("nan"), "bound": float("inf")}, {"x": np.array([np.nan])})
    assert str(store.headers()[KEY]) == "{'log_loss': nan, 'bound': inf}"
    assert np.isnan(store.arrays(KEY)["x"])


@pytest.mark.parametrize(
    "array",
    [["a", "b"], [object()], [b"a"], np.array(["2020"], "M8[D]"), np.zeros(2, "i4,f8"), [None]],
)
def test_arrays_of_anything_but_numbers_are_refused(array, store):
    with pytest.raises(TypeError, match=r"arrays\['label'\] must be of booleans or numbers, got"):
        store.put(KEY, HEADER, {"label": array})
    assert store.keys() == set()


def test_numbers_of_numpy_are_stored_as_those_of_python(store):
    store.put(KEY, {"n_parameters": np.int64(3), "score": np.float32(0.5)}, {})
    assert str(store.headers()[KEY]) == "{'n_parameters': 3, 'score': 0.5}"


def test_what_is_stored_is_never_replaced(store):
    store.put(KEY, HEADER, ARRAYS)
    store.put(KEY, {}, {})
    assert store.headers() == {KEY: HEADER}
    assert_same(store.arrays(KEY), ARRAYS)


def test_a_cell_is_claimed_once_and_not_after_it_is_finished(store):
    assert store.claim(KEY)
    assert not store.claim(KEY)
    store.release(KEY)
    assert store.claim(KEY)
    assert store.claim(OTHER)
    store.put(KEY, HEADER, ARRAYS)
    assert not store.claim(KEY)
    assert store.keys() == {KEY}
    store.release(KEY)


def test_claims_end_with_the_block(tmp_path):
    with pytest.raises(ZeroDivisionError), FolderStore(tmp_path) as store:
        1 / store.claim(KEY) / 0
    with store:
        assert store.claim(KEY)


def test_runs_come_back_in_their_order_and_once(store):
    first, second = {"b": 1, "a": ["é"]}, {"b": 2}
    digests = [store.add_run(record) for record in (first, second, first)]
    for second_of_day, digest in enumerate(digests[:2]):
        os.utime(store.folder / "runs" / f"{digest}.json", (second_of_day, second_of_day))
    assert list(store.runs().items()) == [(digests[0], first), (digests[1], second)]
    assert list(store.runs()[digests[0]]) == ["b", "a"]  # as the order of estimators matters


def test_the_first_line_of_a_cell_says_what_is_in_it(stored):
    digest, line = (stored / f"cells/{KEY}.cell").read_bytes().split(b"\n")[0].split(b" ", 1)
    about = json.loads(line)
    assert len(digest) == 64
    assert about["header"] == HEADER
    assert about["arrays"] == {"test": ["<i4", [7]], "scores": ["<f8", [7, 2]]}
    assert names(stored / "leases") == []


# ----------------------------------------------------------------------- many processes


def claimers(folder, *numbers):
    """Return who has claimed what, in order, and who was killed."""
    script = Path(__file__).with_name("claimers.py")
    command = [sys.executable, str(script), str(folder), *map(str, numbers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    claims = defaultdict(list)
    for line in (folder / "diary").read_text().splitlines():
        _, key, pid = line.split()
        claims[key].append(int(pid))
    return claims, {*map(int, done.stdout.split())}


@pytest.mark.parametrize("n_processes, n_kills", [(8, 0), (1, 30), (4, 30)])
def test_every_cell_is_computed_once_but_for_those_of_the_killed(n_processes, n_kills, tmp_path):
    claims, killed = claimers(tmp_path, n_processes, 400, n_kills)
    assert sorted(claims) == keys(400)
    assert n_kills == 0 or killed
    for key, (*before, last) in claims.items():
        assert {*before} <= killed, key
        assert len({*before, last}) == len(claims[key])
    store = FolderStore(tmp_path / "study")
    assert store.headers() == {key: {"number": n} for n, key in enumerate(keys(400))}
    for key in keys(400):
        assert_same(store.arrays(key), arrays(key))
    assert names(store.folder / "leases") == []
    assert names(store.folder / "cells") == [f"{key}.cell" for key in keys(400)]


class Killed(BaseException):
    """Ends a process wherever it is."""


class Process(threading.Thread):
    """Claims and gives back a key, and stops before whatever it asks of the disk."""

    def __init__(self, nonce, folder, holders):
        super().__init__(daemon=True)
        self.holders, self.problem = holders, None
        self.may_go, self.stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.killed = self.ended = False
        self.leases = Leases(folder)
        self.leases._mark = f"0-{nonce}--0"
        self.leases._owner = folder / f"{self.leases._mark}.owner"
        self.leases._owner.write_text(self.leases._mark)

    def run(self):
        try:
            self.may_go.acquire()
            for _ in range(2):
                if self.leases.claim(KEY):
                    self.holders.add(self)
                    assert sum(not holder.killed for holder in self.holders) == 1
                    self.stop()
                    self.holders.discard(self)
                    self.leases.release(KEY)
        except Killed:
            pass
        except Exception as problem:
            self.problem = problem
        self.ended = True
        self.stopped.release()

    def stop(self):
        self.stopped.release()
        self.may_go.acquire()
        if self.killed:
            raise Killed

    def step(self):
        if not self.ended:
            self.may_go.release()
            self.stopped.acquire()


def test_no_two_hold_a_key_in_whatever_order_they_run_and_die(tmp_path, monkeypatch):
    def stopping(function):
        def stop_before(*args, **options):
            if isinstance(thread := threading.current_thread(), Process):
                thread.stop()
            return function(*args, **options)

        return stop_before

    for place, name in ((os, "link"), (leases, "read"), (Path, "unlink"), (Path, "exists")):
        monkeypatch.setattr(place, name, stopping(getattr(place, name)))
    rng = random.Random(0)
    for number in range(400):
        folder, holders = tmp_path / str(number), set()
        folder.mkdir()
        processes = [Process(nonce, folder, holders) for nonce in range(5)]
        dead = processes[-1]  # and its claim is there
        dead.killed = dead.ended = True
        os.link(dead.leases._owner, folder / f"{KEY}.0")
        monkeypatch.setattr(leases, "is_gone", lambda name, p=processes: p[int(name[2])].killed)
        for process in processes[:-1]:
            process.start()
            for _ in range(rng.randrange(10)):
                process.step()
        while living := [process for process in processes if not process.ended]:
            process = rng.choice(living)
            process.killed |= len(living) > 1 and rng.random() < 0.05
            for _ in range(rng.choice([1, 2, 3, 5, 8, 30])):
                process.step()
            assert not any(process.problem for process in processes)


def test_a_cell_that_is_finished_while_it_is_claimed_is_not_computed_again(tmp_path, monkeypatch):
    with FolderStore(tmp_path) as one, FolderStore(tmp_path) as other:
        claim = other._leases.claim

        def slow_claim(key):
            assert one.claim(key)
            one.put(key, HEADER, ARRAYS)
            return claim(key)

        monkeypatch.setattr(other._leases, "claim", slow_claim)
        assert not other.claim(KEY)
    assert names(tmp_path / "leases") == []


# ----------------------------------------------------------------------- other machines


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The store of a process that runs on another machine."""
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        store = FolderStore(tmp_path).__enter__()
    yield store
    store.__exit__()


def age(store, seconds):
    """Let the last heartbeat of a store be so long ago, on the clock of the disk."""
    owner = store._leases._owner
    owner.touch()
    last = owner.stat().st_mtime - seconds
    for path in owner.parent.iterdir():
        if path.read_text() == owner.stem:
            os.utime(path, (last, last))


def no_links(*_):
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("clock", [-1e6, 0, 1e6])
def test_a_process_elsewhere_is_dead_when_its_heart_does_not_beat(
    links, clock, elsewhere, tmp_path, monkeypatch
):
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(time, "time", lambda: clock)  # of this machine, which does not count
    assert elsewhere.claim(KEY)
    with FolderStore(tmp_path) as store:
        age(elsewhere, EXPIRY / 2)
        assert not store.claim(KEY)
        age(elsewhere, EXPIRY + 9)
        assert store.claim(KEY)
        age(elsewhere, 0)  # it was only asleep, and does no harm when it wakes up
        assert not elsewhere.claim(KEY)
        elsewhere.release(KEY)
        assert not elsewhere.claim(KEY)
        store.put(KEY, HEADER, ARRAYS)
        elsewhere.put(KEY, {}, {})
        assert store.headers() == {KEY: HEADER}
        assert names(tmp_path / "leases") == sorted(
            s._leases._owner.name for s in (store, elsewhere)
        )


def test_who_has_slept_takes_nothing_from_whoever_came_later(elsewhere, tmp_path):
    assert elsewhere.claim(KEY)
    age(elsewhere, EXPIRY + 9)
    with FolderStore(tmp_path) as store, FolderStore(tmp_path) as third:
        assert store.claim(KEY)
        store.release(KEY)
        assert store.claim(KEY)
        elsewhere.release(KEY)
        assert not third.claim(KEY)


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT", 0.001)
    with FolderStore(tmp_path) as store:
        owner = store._leases._owner
        os.utime(owner, (0, 0))
        while owner.stat().st_mtime == 0:
            time.sleep(0.001)
        owner.unlink()  # as by those who take it for dead
        while not owner.exists():
            time.sleep(0.001)
        assert store.claim(KEY)
    assert names(tmp_path / "leases") == []
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())


def test_a_number_that_another_process_has_by_now_is_no_life(monkeypatch):
    here = leases.this_process()
    machine, pid, since = here.split("-")
    assert not leases.is_gone(here)
    assert leases.is_gone(f"{machine}-{pid}-1")
    assert leases.is_gone(f"{machine}-{10**20}-{since}")
    for name in (f"0{machine}-{pid}-1", f"0-{10**20}-1"):  # of another machine or container
        assert not leases.is_gone(name)

    def forbidden(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)  # it is of another user
    assert not leases.is_gone(f"{machine}-{pid}-1")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"../a-1-1-b", b"a-1-1"])
def test_a_claim_that_says_nothing_ends_when_it_is_old(content, tmp_path):
    with FolderStore(tmp_path) as store:
        path = tmp_path / "leases" / f"{KEY}.0"
        path.write_bytes(content)
        assert not store.claim(KEY)
        os.utime(path, (0, 0))
        assert store.claim(KEY)
    assert names(tmp_path / "leases") == []


def test_what_the_killed_have_left_is_removed_and_nothing_else(elsewhere, tmp_path):
    def part(key):
        (tmp_path / "cells" / f".{key}.cell.0123.part").write_text("half")

    elsewhere.claim(OTHER)
    part(KEY)
    part(OTHER)  # which is written just now
    strange = tmp_path / "leases" / ".DS_Store"
    strange.write_text("")
    with FolderStore(tmp_path) as store:
        assert store.keys() == set()
        assert store.claim(KEY)
    assert names(tmp_path / "cells") == [f".{OTHER}.cell.0123.part"]
    assert names(tmp_path / "leases") == sorted(
        [strange.name, f"{OTHER}.0", elsewhere._leases._owner.name]
    )


# ----------------------------------------------------------------------- damage and disks


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "its first line is not": [
        *(lambda c, at=at: flipped(c, at) for at in (0, 64, 70, 200)),
        lambda c: b"",
        lambda c: c[:100],
        lambda c: b"\0" * len(c),
        lambda c: c.replace(b"\n", b" "),
    ],
    "it must have .* bytes, got": [lambda c: c[:-1], lambda c: c + b"\0"],
    "its arrays are not": [lambda c: flipped(c, len(c) - 1)],
}


@pytest.mark.parametrize(
    "message, damage", [(message, damage) for message, all_ in DAMAGES.items() for damage in all_]
)
def test_a_damaged_cell_is_named_and_left_as_it_is(message, damage, stored):
    path = stored / f"cells/{KEY}.cell"
    path.write_bytes(content := damage(path.read_bytes()))
    store = FolderStore(stored)
    message = rf"{KEY}\.cell is damaged, and is left as it is: {message}.* Move it away to have"
    with pytest.raises(ValueError, match=message):
        store.arrays(KEY)
    if "arrays" not in message:  # headers are read without what follows
        with pytest.raises(ValueError, match=message):
            store.headers()
    with store:
        assert not store.claim(KEY)
        store.put(KEY, HEADER, ARRAYS)
    assert path.read_bytes() == content
    path.rename(stored / "moved")
    with store:
        assert store.claim(KEY)


def test_a_cell_under_another_name_is_refused(stored):
    (stored / f"cells/{KEY}.cell").rename(stored / f"cells/{OTHER}.cell")
    with pytest.raises(ValueError, match=rf"{OTHER}\.cell is damaged.* it is the cell {KEY}"):
        FolderStore(stored).headers()


def test_a_cell_of_a_later_format_is_refused(stored, monkeypatch):
    monkeypatch.setattr("sklstruct.studies.store.FORMAT", 2)
    with pytest.raises(ValueError, match="its format must be 2, got 1"):
        FolderStore(stored).headers()


def test_other_files_are_not_read(stored):
    for name in ("notes.txt", ".DS_Store", f"._{KEY}.cell", f"{KEY} (copy).cell", "x.cell"):
        (stored / "cells" / name).write_text("")
        (stored / "runs" / name.replace("cell", "json")).write_text("")
    (stored / "cells" / f"{OTHER}.cell").mkdir()
    assert FolderStore(stored).headers() == {KEY: HEADER}
    assert FolderStore(stored).runs() == {}


@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: b"", lambda c: flipped(c, 6)])
def test_a_damaged_run_is_named(damage, stored):
    digest = FolderStore(stored).add_run({"seed": 1})
    path = stored / f"runs/{digest}.json"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{digest}\.json is damaged.* it is not what was wri"):
        FolderStore(stored).runs()


@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_is_named_and_gets_nothing(links, stored, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with FolderStore(stored) as store:
        assert store.claim(OTHER)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            for use in (lambda: store.put(OTHER, {}, ARRAYS), lambda: store.add_run({})):
                with pytest.raises(OSError, match=r"Cannot write: No space left on device: '.*"):
                    use()
        assert names(stored / "cells") == [f"{KEY}.cell"]
        assert names(stored / "runs") == []
        store.put(OTHER, {}, ARRAYS)
        store.put(KEY, {}, {})
        store.add_run({})
    assert store.headers() == {KEY: HEADER, OTHER: {}}
    assert names(stored / "cells") == [f"{KEY}.cell", f"{OTHER}.cell"]
    assert names(stored / "leases") == []


def test_a_folder_that_must_not_be_written_to_is_read(stored, monkeypatch):
    def read_only(path, mode="r", *args, **options):
        if {*mode} & {*"wax"}:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open(path, mode, *args, **options)

    monkeypatch.setattr("sklstruct.io.atomic.open", read_only, raising=False)
    store = FolderStore(stored)
    assert store.headers() == {KEY: HEADER}
    assert_same(store.arrays(KEY), ARRAYS)
    with pytest.raises(OSError, match=r"Cannot write: Read-only file system: '.*leases"), store:
        pytest.fail("it cannot be used")


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), FolderStore(tmp_path / "file"):
        pytest.fail("it cannot be used")


def test_a_folder_that_is_not_there_is_empty_and_is_not_made(tmp_path):
    store = FolderStore(tmp_path / "study")
    assert (store.keys(), store.headers(), store.runs()) == (set(), {}, {})
    assert names(tmp_path) == []


@pytest.mark.parametrize("table", ["results.csv", "fits.csv"])
def test_studies_of_earlier_versions_are_refused(table, tmp_path, stored):
    (tmp_path / table).write_text("")
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(ValueError, match=rf"{table} is there, of no study that can be continued"):
        FolderStore(tmp_path)
    (stored / table).write_text("")  # what a study of today exports
    assert FolderStore(stored).keys() == {KEY}
