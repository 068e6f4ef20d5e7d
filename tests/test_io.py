"""Data in and out: what is read, what is refused, and that no file is ever half written."""

import errno
import io
import os
import re
import resource
import zipfile

import numpy as np
import pytest
from PIL import Image

from sklstruct import plugins
from sklstruct.io import Dataset, atomic_write, load_dataset, read_image_folder, read_npz

X = np.arange(24.0).reshape(4, 2, 3)
Y = np.array(["a", "b", "a", "b"])
NAN = np.where(X == 5, np.nan, X)


@pytest.fixture
def npz(tmp_path):
    def write(save=np.savez, name="some.npz", **arrays):
        save(tmp_path / name, **arrays)
        return tmp_path / name

    return write


# --------------------------------------------------------------------------- atomic files


@pytest.mark.parametrize("mode, old, new", [("w", "old", "néw\n"), ("wb", b"old", b"\0\r\n")])
def test_a_file_is_replaced_when_all_is_written(mode, old, new, tmp_path):
    path = tmp_path / "file"
    with open(path, mode) as stream:
        stream.write(old)
    with atomic_write(path, mode) as stream:
        stream.write(new)
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == (new if mode == "wb" else new.encode())
    assert os.listdir(tmp_path) == ["file"]
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    assert path.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_stays_as_it_was_if_writing_fails(error, tmp_path):
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        with pytest.raises(error), atomic_write(tmp_path / name) as stream:  # noqa: PT012
            stream.write("half")
            raise error
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize(
    "place, kind",
    [("absent/file", FileNotFoundError), ("file/below", NotADirectoryError), (".", OSError)],
)
def test_a_place_that_cannot_be_written_to_is_named(place, kind, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(kind, match="Cannot write") as caught, atomic_write(tmp_path / place):
        pytest.fail("there was something to write to")
    assert caught.value.filename == str(tmp_path / place)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_must_not_be_replaced_stays(links, tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "file"
    with atomic_write(path, replace=False) as stream:
        stream.write("first")
    with (
        pytest.raises(FileExistsError, match=r"Cannot write: File exists: '.*file'"),
        atomic_write(path, replace=False) as stream,
    ):
        stream.write("second")
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_text() == "first"


def test_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OSError, match=r"Not a regular file: '.*pipe'"),
        atomic_write(tmp_path / "pipe"),
    ):
        pytest.fail("there was something to write to")
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


# ------------------------------------------------------------------------------- datasets


def test_a_dataset_says_what_it_is():
    data = Dataset("toy", X, Y, X[:2], Y[:2])
    assert repr(data) == "Dataset('toy', 4 samples of 2x3 and 2 for testing, 2 labels)"
    assert data.sample_shape == (2, 3)
    assert not data.has_maps
    assert Dataset("lists", [[1], [2]], [0, 1]).X.shape == (2, 1)
    assert repr(Dataset("toy", X, Y, groups=[0, 0, 1, 1])).endswith("2 labels, 2 groups)")


@pytest.mark.parametrize("at", [None, 1, 3])
def test_a_dataset_may_have_a_label_at_every_place(at):
    places = X if at is None else np.repeat(np.expand_dims(X, at), 3, at)
    data = Dataset("toy", places, X > 5, places[:2], X[:2] > 5)
    assert data.has_maps
    assert re.fullmatch(r"Dataset\('toy', 4 .* and 2 for testing, maps of 2 labels\)", repr(data))


WRONG = [
    ({"X": X[:3]}, "X and y must have one entry a sample, got 3 and 4"),
    ({"X": X[:0], "y": Y[:0]}, r"X must hold samples, .* got shape \(0, 2, 3\)"),
    ({"X": np.arange(4)}, r"X must hold samples, .* got shape \(4,\)"),
    ({"X": X.astype(str)}, "X must hold real numbers, got dtype <U"),
    ({"X": X.astype(complex)}, "X must hold real numbers, got dtype complex128"),
    ({"X": NAN}, "X must be finite, got 1 values"),
    ({"X": np.full_like(X, np.inf)}, "X must be finite, got 24 values"),
    ({"y": Y[:, None]}, r"y must be one-dimensional, .* got shape \(4, 1\)"),
    ({"y": X[:3]}, "X and y must have one entry a sample, got 4 and 3"),
    ({"y": X, "X_test": X, "y_test": Y}, r"y_test must have labels of shape \(2, 3\)"),
    ({"y": np.array([0, 1, np.nan, 1])}, "y must be finite"),
    ({"X_test": X, "y_test": Y[:1]}, "X_test and y_test must have one entry a sample"),
    ({"X_test": X[:, :, :2], "y_test": Y}, r"X_test must have samples of shape \(2, 3\)"),
    ({"X_test": NAN, "y_test": Y}, "X_test must be finite"),
    ({"X_test": X}, "X_test and y_test belong together"),
    ({"groups": Y[:3]}, r"groups must have shape \(4,\), one a sample of X, got \(3,\)"),
]


@pytest.mark.parametrize("change, message", WRONG)
def test_data_that_cannot_be_used_are_refused_with_the_file(change, message, npz):
    with pytest.raises(ValueError, match=message):
        Dataset("wrong", **{"X": X, "y": Y, **change})
    with pytest.raises(ValueError, match=rf"some\.npz: {message}"):
        read_npz(npz(**{"X": X, "y": Y, **change}))


def test_objects_are_no_labels():
    with pytest.raises(ValueError, match=r"numbers or strings, got .* dtype object"):
        Dataset("wrong", X, Y.astype(object))


# ------------------------------------------------------------------------------------ npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_both_pairs_of_keys_are_read(save, npz):
    data = read_npz(npz(save, X=X, y=Y, other=np.array([print])))  # what is not used is not read
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.y, Y)
    assert (data.name, data.X_test, data.y_test) == ("some", None, None)
    data = read_npz(npz(save, X_train=X, y_train=Y, X_test=X[:1], y_test=Y[:1]), name="toy")
    np.testing.assert_array_equal(data.X_test, X[:1])
    assert data.name == "toy"
    assert read_npz(npz(X=X, y=Y, groups=Y)).groups.tolist() == Y.tolist()
    assert read_npz(npz(X=X, y=Y, track=Y), groups="track").groups.tolist() == Y.tolist()


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"X": X}, "X and y or the keys X_train and y_train or .*, got X"),
        ({"X": X, "y_train": Y}, "got X, y_train"),
        ({"images": X}, "got none of them"),
        ({"X": X, "y": Y, "X_train": X, "y_train": Y}, "got X, X_train, y, y_train"),
        ({"X": X, "y": np.array([object()] * 4)}, "not a sound .npz file of plain arr"),
    ],
)
def test_keys_and_objects_that_are_refused(arrays, message, npz):
    with pytest.raises(ValueError, match=rf"some\.npz .*{message}"):
        read_npz(npz(**arrays))


class Bomb:
    went_off = False

    def __reduce__(self):
        return setattr, (Bomb, "went_off", True)


@pytest.mark.parametrize("key", ["X", "y"])
def test_pickles_are_never_opened(key, npz, tmp_path):
    bomb = np.array([Bomb()] * 4)
    with pytest.raises(ValueError, match=r"some\.npz .*Object arrays cannot be loaded"):
        read_npz(npz(**{"X": X, "y": Y, key: bomb}))
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        np.save(tmp_path / "images" / name / "0.npy", bomb)
    with pytest.raises(ValueError, match=r"0\.npy is not a sound image: Object arrays"):
        read_image_folder(tmp_path / "images")
    assert not Bomb.went_off


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_file_is_refused_or_read_as_it_was(save, npz):
    path = npz(save, X=X, y=Y)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for place in rng.choice(len(whole), 150, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            data = read_npz(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            n_refused += 1
        else:
            np.testing.assert_array_equal(data.X, X)
            np.testing.assert_array_equal(data.y, Y)
    assert n_refused > 50


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(share, npz):
    path = npz(X=X, y=Y)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"some\.npz is not a sound \.npz file"):
        read_npz(path)


def test_what_is_no_npz_is_refused(tmp_path):
    np.save(tmp_path / "single.npy", X)
    (tmp_path / "text.npz").write_text("X, y")
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("X.npy", "no array")
        archive.writestr("y.npy", "no array")
    for name in ("single.npy", "text.npz", "other.npz"):
        with pytest.raises(ValueError, match=name):
            load_dataset(tmp_path / name)


def member(claim, content=b"", version=b"\x01\x00"):
    """Return an array file that claims what it likes."""
    header = claim.encode().ljust(118) + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + content


def claiming(shape="(4, 2)", descr="'<f8'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"


ZEROS = bytes(2**20)
HOSTILE = {
    "bomb": ({"X": member(claiming("(30, 1048576)", "'u1'"), 30 * ZEROS)}, "would become 314"),
    "bombs": ({k: member(claiming(), 15 * ZEROS) for k in ("X", "y")}, "would become 314"),
    "vast": ({"X": member(claiming("(100000000000, 1000)"))}, ""),
    "vast dtype": ({"X": member(claiming("(4, 4)", "'V2000000000'"))}, ""),
    "negative": ({"X": member(claiming("(-4, 2)"), bytes(64))}, ""),
    "empty type": ({"X": member(claiming("(4, 2)", "'U0'"))}, "real numbers"),
    "pickle": ({"X": member(claiming(descr="'|O'"), b"cos\nsystem\n")}, "Object arrays"),
    "fields": ({"X": member(claiming(descr="[('a', '|O')]"), bytes(64))}, "Object arrays"),
    "code": ({"X": member("__import__('os')")}, "malformed"),
    "deep": ({"X": member("(" * 90)}, ""),
    "short": ({"X": member(claiming(), bytes(8))}, "must have 64 bytes, got 8"),
    "version": ({"X": member(claiming(), bytes(64), b"\x09\x00")}, "version"),
    "no array": ({"X": ZEROS, "y": ZEROS}, "magic"),
}


@pytest.mark.parametrize("flaw", HOSTILE)
def test_hostile_archives_are_refused_before_they_take_memory(flaw, tmp_path, monkeypatch):
    monkeypatch.setattr("sklstruct.io.reading.SMALL", 2**22)
    members, message = HOSTILE[flaw]
    with zipfile.ZipFile(tmp_path / "some.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key, content in {"y": member(claiming("(4,)"), bytes(32)), **members}.items():
            archive.writestr(f"{key}.npy", content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=rf"some\.npz.*{message}"):
        read_npz(tmp_path / "some.npz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**14  # kilobytes


# ------------------------------------------------------------------------------ by name


def test_files_of_the_data_folder_come_by_name(npz, tmp_path, monkeypatch):
    for name in ("mine", "digits"):
        npz(name=f"{name}.npz", X_train=X, y_train=Y, X_test=X[:1], y_test=Y[:1])
    monkeypatch.setenv("SKLSTRUCT_DATA", str(tmp_path))
    assert load_dataset("mine").name == "mine"
    assert len(load_dataset("mine").X) == 4
    assert len(load_dataset("digits").X) == 1797  # a registered name comes first,
    assert len(load_dataset("digits", root=tmp_path).X) == 4  # unless a folder is asked for
    monkeypatch.delenv("SKLSTRUCT_DATA")
    assert len(load_dataset("mine", root=tmp_path).X) == 4


def test_registered_loaders_are_used():
    data = Dataset("toy", X, Y)
    plugins.register("dataset", "toy", lambda: data)
    try:
        assert load_dataset("toy") is data
    finally:
        plugins.unregister("dataset", "toy")


def test_unknown_names_give_the_close_ones():
    with pytest.raises(ValueError, match=r"dataset 'mnsit'\. Did you mean 'mnist'.*no mnsit\.npz"):
        load_dataset("mnsit")


@pytest.mark.parametrize("source", ["absent.npz", "./absent", "absent/mnist"])
def test_absent_paths_are_named(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        load_dataset(source)


def test_a_path_is_a_file_or_a_folder(npz, folder, monkeypatch):
    path = npz(X=X, y=Y)
    monkeypatch.chdir(path.parent)
    for source in (path, str(path), "some.npz", "./some.npz"):
        assert load_dataset(source).name == "some"
    for source in (folder, str(folder), f"./{folder.name}", folder.name):
        assert load_dataset(source).name == folder.name


# ------------------------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(2):
            grey = np.full((4, 6), 10 * number + len(label), np.uint8)
            Image.fromarray(grey).save(tmp_path / "pets" / label / f"{number}.png")
    (tmp_path / "pets" / ".hidden").mkdir()
    (tmp_path / "pets" / "README").write_text("no class")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "pets" / "cat" / ".0.png").write_text("hidden")
    return tmp_path / "pets"


def test_subfolders_are_classes(folder):
    data = read_image_folder(folder)
    assert (data.X.shape, data.X.dtype) == ((4, 4, 6), np.float32)
    assert data.y.tolist() == ["cat", "cat", "dog", "dog"]
    np.testing.assert_allclose(255 * data.X[:, 0, 0], [3, 13, 3, 13])


@pytest.mark.parametrize(
    "mode, shape, white",
    [
        ("1", (4, 6), 1),
        ("L", (4, 6), 255),
        ("LA", (4, 6), (255, 255)),
        ("P", (4, 6, 3), 255),
        ("RGB", (4, 6, 3), (255, 255, 255)),
        ("RGBA", (4, 6, 3), (255, 255, 255, 255)),
        ("I;16", (4, 6), 65535),
    ],
)
def test_images_of_all_modes_are_from_0_to_1(mode, shape, white, tmp_path):
    for label, color in (("a", 0), ("b", white)):
        (tmp_path / label).mkdir()
        image = Image.new(mode, (6, 4), color)
        if mode == "P":
            image.putpalette([value for value in range(256) for _ in range(3)])
        image.save(tmp_path / label / "image.png")
    data = read_image_folder(tmp_path)
    assert data.X.shape == (2, *shape)
    assert [(image.min(), image.max()) for image in data.X] == [(0, 0), (1, 1)]


def test_arrays_are_images_of_any_dimension(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "volume.npy", np.ones((3, 4, 5), np.float32))
    assert read_image_folder(tmp_path).X.shape == (2, 3, 4, 5)


def damage(folder, name, content):
    buffer = io.BytesIO()
    if isinstance(content, np.ndarray):
        np.save(buffer, content)
    elif isinstance(content, Image.Image):
        content.save(buffer, "PNG")
    else:
        buffer.write(content)
    (folder / name).write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("dog/2.png", Image.new("L", (6, 5)), r"2\.png must have the shape \(4, 6\) of .*0\.png"),
        ("dog/2.png", Image.new("RGB", (6, 4)), r"2\.png must have .* got \(4, 6, 3\)"),
        ("dog/2.png", b"", r"2\.png is not a sound image"),
        ("dog/2.jpg", b"\xff\xd8 half a", r"2\.jpg is not a sound image"),
        ("dog/2.npy", np.full((4, 6), np.nan), r"2\.npy is not a sound image: .*finite"),
        ("dog/2.npy", np.full((4, 6), "a"), r"2\.npy is not a sound image: .*real numbers"),
        ("dog/2.npy", b"\x93NUMPY", r"2\.npy is not a sound image"),
    ],
)
def test_images_that_are_refused(name, content, message, folder):
    damage(folder, name, content)
    with pytest.raises(ValueError, match=message):
        read_image_folder(folder)


def test_an_image_that_was_cut_off_is_refused(folder):
    rng = np.random.default_rng(0)
    file = folder / "dog" / "0.png"
    Image.fromarray(rng.integers(0, 255, (4, 6), np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"0\.png is not a sound image"):
        read_image_folder(folder)


def test_folders_that_are_refused(folder, tmp_path):
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty must hold images .*, got none"):
        read_image_folder(folder)
    with pytest.raises(ValueError, match="at least 2 classes, got 0 subfolders"):
        read_image_folder(folder / "empty")
    with pytest.raises(ValueError, match="at least 2 classes, got 1 subfolders"):
        read_image_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_image_folder(tmp_path / "absent")
