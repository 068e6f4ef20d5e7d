"""Published data sets: known by their content, from files or a server, whole or not at all."""

import gzip
import os
import sys
from dataclasses import replace
from functools import partial
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import SVC

from sklstruct import datasets, plugins
from sklstruct.cli.models import first_draw
from sklstruct.datasets import sources
from sklstruct.datasets.sources import any_order, idx, published_order
from sklstruct.io import load_dataset, read_data

PUBLISHED = sources.SOURCES
SHAPE = (3, 2, 4)  # channels first, as a server has them
RNG = np.random.default_rng(0)
X, Y = RNG.integers(256, size=(8, 2, 4, 3), dtype=np.uint8), np.arange(8, dtype=np.uint8) % 3
TRAIN, TEST = slice(None, -2), slice(-2, None)
FILE = {"X_train": X[TRAIN], "y_train": Y[TRAIN], "X_test": X[TEST], "y_test": Y[TEST]}
HEADER = "% a remark\n@RELATION toy\n@ATTRIBUTE pixel1 integer\n@ATTRIBUTE class {0,1,2}\n\n@DATA\n"


def arff(images=X, labels=Y, quote=""):
    """Return the file of images, channels first, and labels."""
    rows = np.moveaxis(images, -1, 1).reshape(len(images), -1)
    lines = [
        ",".join(map(str, row)) + f",{quote}{label}{quote}"
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
    ]
    return (HEADER + "\n".join(lines) + "\n").encode()


class Server(ThreadingHTTPServer):
    """A server on this machine, and what it is asked for and answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.body, self.status, self.missing, self.zipped, self.asked = arff(), 200, 0, False, []


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = gzip.compress(self.server.body) if self.server.zipped else self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body) + self.server.missing))
        if self.server.zipped:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    """Make a few images the published ones, of which no place has any."""
    source = sources.Source(train=any_order(X[TRAIN], Y[TRAIN]), test=any_order(X[TEST], Y[TEST]))
    monkeypatch.setattr(sources, "SOURCES", {"mnist": source})
    monkeypatch.setattr(sources, "N_TEST", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return sources.SOURCES


@pytest.fixture
def server(known):
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/toy.arff"
    known["mnist"] = replace(known["mnist"], url=url, shape=SHAPE)
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def file(tmp_path):
    """Return a function that writes the file of a data set to a folder."""

    def write(folder="data", name="mnist", **arrays):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / folder / f"{name}.npz", **{**FILE, **arrays})
        return tmp_path / folder

    return write


def assert_is_known(data):
    for found, wanted in (
        *((data.X, X[TRAIN]), (data.y, Y[TRAIN])),
        *((data.X_test, X[TEST]), (data.y_test, Y[TEST])),
    ):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.uint8


# ------------------------------------------------------------------------------- digests


@given(st.permutations(range(len(X))), st.sampled_from(["u1", "i4", "i8", "U1", "U7"]))
def test_a_digest_is_the_same_in_any_order_and_for_any_type_of_labels(order, dtype):
    groups = Y[::-1]
    again = X[order], Y[order].astype(dtype), groups[order].astype(dtype)
    assert any_order(*again) == any_order(X, Y, groups)


@given(st.integers(0, 7), st.integers(0, 23), st.integers(1, 255))
def test_a_digest_tells_what_is_not_the_same(sample, place, change):
    other, swapped = X.copy(), Y.copy()
    other[sample].flat[place] ^= change
    swapped[[0, 1]] = swapped[[1, 0]]
    for digest in (any_order, published_order):
        for wrong in ((other, Y), (X, swapped), (X[:-1], Y[:-1]), (X, Y, Y), (X / 255, Y)):
            assert digest(*wrong) != digest(X, Y)


def test_the_digest_of_the_published_order_is_that_of_idx_files():
    images, labels = np.array([[[1, 2, 3], [4, 5, 255]]], np.uint8), np.array([7, 9])
    file = b"\0\0\x08\x03\0\0\0\x01\0\0\0\x02\0\0\0\x03\1\2\3\4\5\xff"
    assert idx(images) == file
    assert idx(labels) == b"\0\0\x08\x01\0\0\0\x02\7\x09"
    assert (
        published_order(images, labels) == f"{md5(file).hexdigest()} {md5(idx(labels)).hexdigest()}"
    )


# --------------------------------------------------------------------------------- files


def test_a_file_is_looked_for_in_one_place_after_the_other(file, monkeypatch, tmp_path):
    fetch = partial(datasets.fetch_mnist, download_if_missing=False)
    with pytest.raises(
        FileNotFoundError, match=r"cache/sklstruct/mnist\.npz: set .* SKLSTRUCT_DATA"
    ):
        fetch()
    file("cache/sklstruct")
    assert_is_known(fetch())
    monkeypatch.setenv("SKLSTRUCT_DATA", str(tmp_path / "data"))
    assert_is_known(fetch())  # where there is nothing, the cache is next
    file("data", X_train=X[TRAIN][::-1], y_train=Y[TRAIN][::-1].astype(str))
    np.testing.assert_array_equal(fetch().X, X[TRAIN][::-1])  # in the order of the file
    with pytest.raises(FileNotFoundError, match=r"there is no \S*/own/mnist\.npz: set"):
        fetch(data_home=tmp_path / "own")
    assert_is_known(fetch(data_home=file("own")))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"X_train": X[TRAIN] ^ 1},
            "samples to train on have the digest {train}, got [0-9a-f]{{64}}",
        ),
        ({"y_test": 1 - Y[TEST]}, "samples to test on have the digest {test}, got [0-9a-f]{{64}}"),
        ({"X_test": X[TRAIN][:, :1], "y_test": Y[TRAIN]}, "X_test must have samples of shape"),
        ({"X_train": X[TRAIN] / 255}, "samples to train on have the digest"),
    ],
)
def test_another_file_of_that_name_is_refused(change, message, file, known):
    digests = {"train": known["mnist"].train, "test": known["mnist"].test}
    with pytest.raises(ValueError, match=rf"data/mnist\.npz.*{message.format(**digests)}"):
        datasets.fetch_mnist(data_home=file(**change))


def test_a_file_without_samples_to_test_on_is_refused(tmp_path):
    np.savez(tmp_path / "mnist.npz", X=X[TRAIN], y=Y[TRAIN])
    with pytest.raises(ValueError, match=r"samples to test on have the digest .*, got none"):
        datasets.fetch_mnist(data_home=tmp_path)


def test_tracks_come_along_and_are_checked(file, known):
    tracks = np.arange(6, dtype=np.int32) // 2
    known["gtsrb"] = replace(
        known["mnist"], train=any_order(X[TRAIN], Y[TRAIN], tracks), groups="track_train"
    )
    data = datasets.fetch_gtsrb(data_home=file(name="gtsrb", track_train=tracks))
    assert repr(data).endswith("3 labels, 3 groups)")
    assert data.groups.tolist() == tracks.tolist()
    for wrong in ({"track_train": tracks[::-1]}, {"track": tracks}):
        with pytest.raises(ValueError, match="samples to train on have the digest"):
            datasets.fetch_gtsrb(data_home=file("other", "gtsrb", **wrong))
        os.remove(file("other") / "gtsrb.npz")


def test_groups_are_those_of_the_samples_that_are_drawn(file):
    np.savez(file() / "own.npz", X=X, y=Y, groups=np.arange(8))
    samples = first_draw(read_data(file() / "own.npz"), 4, SVC(), seed=1)
    np.testing.assert_array_equal(samples.X, X[samples.groups])
    assert len(samples.groups) == 4


# ------------------------------------------------------------------------------ by name


def test_digits_are_at_hand():
    data = datasets.load_digits()
    assert (data.X.shape, data.X.dtype) == ((1797, 8, 8), np.float32)
    assert (data.X.min(), data.X.max()) == (0, 1)
    assert sorted(set(data.y.tolist())) == list(range(10))
    for again, values in zip(datasets.load_digits(return_X_y=True), (data.X, data.y), strict=True):
        np.testing.assert_array_equal(again, values)


def test_names_stand_for_what_is_fetched(file, monkeypatch):
    monkeypatch.setenv("SKLSTRUCT_DATA", str(file()))
    assert_is_known(load_dataset("mnist"))
    X_train, y_train = datasets.fetch_mnist(return_X_y=True)
    np.testing.assert_array_equal(X_train, X[TRAIN])
    np.testing.assert_array_equal(y_train, Y[TRAIN])


def test_all_that_has_a_source_is_registered():
    assert PUBLISHED.keys() <= plugins.entries("dataset").keys()


# ---------------------------------------------------------------------------- downloads


@pytest.mark.parametrize("quote", ["", "'"])
@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_downloaded_is_kept(quote, zipped, server, tmp_path):
    server.body, server.zipped = arff(quote=quote), zipped
    for _ in range(2):
        assert_is_known(datasets.fetch_mnist())
    assert server.asked == ["/toy.arff"]
    assert os.listdir(tmp_path / "cache" / "sklstruct") == ["mnist.npz"]
    assert_is_known(datasets.fetch_mnist(data_home=tmp_path / "own"))
    assert os.listdir(tmp_path / "own") == ["mnist.npz"]


@pytest.mark.parametrize(
    "answer, kind, message",
    [
        ({"status": 404}, OSError, "404 Client Error"),
        ({"missing": 100}, OSError, "IncompleteRead"),
        ({"body": arff()[:-100]}, OSError, "the number of columns changed"),
        ({"body": arff(X[:-1], Y[:-1])}, ValueError, "samples to train on have the digest"),
        ({"body": arff(X[::-1], Y[::-1])}, ValueError, "samples to train on have the digest"),
        ({"body": b"<html>try again</html>"}, OSError, "it is no ARFF file"),
        ({"body": arff(X[..., 1:], Y)}, OSError, "cannot reshape"),
        ({"body": b"\xff\0"}, OSError, "can't decode"),
    ],
)
def test_a_download_is_whole_or_not_there(answer, kind, message, server, tmp_path):
    vars(server).update(answer)
    with pytest.raises(kind, match=rf"(?s){server.server_port}/toy\.arff.*{message}"):
        datasets.fetch_mnist(data_home=tmp_path / "own")
    assert os.listdir(tmp_path / "own") == []


def test_the_file_of_a_server_is_checked_before_it_is_read(server, known, tmp_path):
    known["mnist"] = replace(known["mnist"], sha256="0" * 64)
    with pytest.raises(OSError, match=r"toy\.arff: SHA256 .*expected 0{64} but got [0-9a-f]{64}"):
        datasets.fetch_mnist(data_home=tmp_path / "own")
    assert os.listdir(tmp_path / "own") == []


def test_an_unreachable_server_is_named(known, tmp_path):
    known["mnist"] = replace(known["mnist"], url="http://127.0.0.1:9/toy.arff", shape=SHAPE)
    with pytest.raises(OSError, match=r"SKLSTRUCT_DATA may name, nor .*127\.0\.0\.1:9/toy\.arff: "):
        load_dataset("mnist")


def test_a_folder_that_cannot_be_written_is_told_with_the_way_out(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        OSError, match=rf"no mnist\.npz, .*SKLSTRUCT_DATA may name, .*{tmp_path}/file"
    ):
        datasets.fetch_mnist(data_home=tmp_path / "file")
    assert not server.asked


def test_nothing_is_asked_for_where_nothing_is_wanted(server, monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError, match="is read from a file"):
        datasets.fetch_mnist(data_home=tmp_path, download_if_missing=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"pip install sklstruct\[datasets\].*SKLSTRUCT_DATA"):
        datasets.fetch_mnist(data_home=tmp_path)
    assert not server.asked
