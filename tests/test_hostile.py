"""Files that were made to do harm: each is refused by its name, at once and in little memory."""

import gzip
import io
import json
import os
import shutil
import struct
import tracemalloc
import zipfile

import nibabel
import numpy as np
import pytest
from PIL import Image
from sklearn.svm import SVC

from sklstruct import ScatteringTransformer, WindowedFourierTransformer
from sklstruct.estimators.persistence import load_model, save_model
from sklstruct.io import check_volume, load_dataset, read_data, read_image_folder
from sklstruct.io.reading import read_member
from sklstruct.studies import Results, cohort_study
from sklstruct.studies.store import FolderStore

MOST = 2**28  # bytes
RNG = np.random.default_rng(0)


@pytest.fixture
def frugal():
    """Trace memory, untouched memory included, which must stay far below that of the bombs."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST


def npy(shape, descr="<f8", content=b"", pad=0):
    """Return an array file that claims what it likes."""
    claim = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".ljust(60 + pad)
    return (
        b"\x93NUMPY\x02\x00" + struct.pack("<I", len(claim) + 1) + claim.encode() + b"\n" + content
    )


def vast(path):
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, 2**40)  # which takes no room on the disk


def endless(path):
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def made_of(content):
    return lambda path: path.write_bytes(content() if callable(content) else content)


# arrays -------------------------------------------------------------------------------------


def archive(method=zipfile.ZIP_DEFLATED, **members):
    def make(path):
        with zipfile.ZipFile(path, "w", method, compresslevel=1) as file:
            for key, content in {"y": npy((4,), content=bytes(32)), **members}.items():
                file.writestr(f"{key}.npy", content)

    return make


def lying(path, method=zipfile.ZIP_STORED, ratio=1):
    """Let the directory promise 80 gigabytes of an array, which its header promises too."""
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("y.npy", npy((4,), content=bytes(32)))
        file.writestr("X.npy", npy((10**9, 10), content=bytes(80)))
        info = file.getinfo("X.npy")
        info.file_size += 8 * (10**10 - 10)
        info.compress_size = info.file_size // ratio


def padded(path):
    """Let a bomb come with so much beside it that the whole file grows little."""
    archive(X=npy((2**25, 10), "|u1", bytes(2**25 * 10)))(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as file:
        file.writestr("other.bin", RNG.bytes(2**24 + 2**20))


def many_members(path):
    """Write a directory of 2**17 entries by hand, which is slow by the library."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[20, 0, 20, 0], *[0] * 7, 1, *[0] * 6) + b"X"
    directory = entry * 2**17
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    path.write_bytes(directory + end)


ARRAYS = {
    "zeros": (archive(X=npy((2**29,), "|u1", bytes(2**29 - 2**20))), "more than 20 times"),
    "zeros beside much": (padded, "more than 20 times as many"),
    "bzip2": (archive(zipfile.ZIP_BZIP2, X=npy((4, 2), content=bytes(64))), "stored or deflated"),
    "lzma": (archive(zipfile.ZIP_LZMA, X=npy((4, 2), content=bytes(64))), "stored or deflated"),
    "claims memory": (archive(X=npy((4, 10**9), content=bytes(64))), "32000000000 bytes, got 64"),
    "claims the sky": (archive(X=npy((4, 10**30))), "bytes, got 0"),
    "claims less": (archive(X=npy((4, 1), content=bytes(2**20))), "32 bytes, got 1048576"),
    "lies": (lying, "more than 20 times"),
    "long header": (archive(X=npy((4, 2), pad=2**25)), "EOF"),
    "objects": (archive(X=npy((4, 2), "|O", b"cos\nsystem\n")), "Object arrays"),
    "no samples": (archive(X=npy((0, 10**12))), "must hold samples"),
    "many axes": (archive(X=npy((1,) * 90, content=bytes(8))), "ndim|dimension"),
    "directory": (many_members, "at most 4194304 bytes"),
    "vast": (vast, "not a sound .npz file"),
    "endless": (endless, "must be a file"),
    "pipe": (pipe, "must be a file"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind, tmp_path, frugal):
    make, message = ARRAYS[kind]
    make(path := tmp_path / "some.npz")
    tracemalloc.reset_peak()  # what made it does not count
    with pytest.raises(ValueError, match=rf"some\.npz.*{message}"):
        load_dataset(path)


@pytest.mark.parametrize("method, ratio", [(0, 1), (0, 2), (8, 15), (8, 10**4), (8, 10**9)])
def test_sizes_that_are_lies(method, ratio, tmp_path, frugal):
    lying(tmp_path / "some.npz", method, ratio)
    with (
        zipfile.ZipFile(tmp_path / "some.npz") as archive,
        pytest.raises(ValueError, match=r"X\.npy cannot have the 80000000\d+ bytes"),
    ):
        read_member(archive, "X.npy")


def test_the_command_line_says_which_file(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("claims memory", "bzip2", "directory"):
        ARRAYS[kind][0](tmp_path / "some.npz")
        status, _, err = run("fit", "--estimator", "rfnn", "--data", "some.npz", "--out", "model")
        assert status != 0
        assert "some.npz is not a sound .npz file" in err


def test_many_samples_take_no_names(tmp_path, frugal):
    shape = (2**22, 1)
    np.savez_compressed(tmp_path / "some.npz", X=np.zeros(shape, np.uint8))
    tracemalloc.reset_peak()
    assert read_data(tmp_path / "some.npz", labels=False).X.shape == shape
    assert tracemalloc.get_traced_memory()[1] < 2**24


# images -------------------------------------------------------------------------------------


def picture(mode, size):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, "PNG")
    return stream.getvalue()


IMAGES = {
    "bomb.png": (lambda: picture("1", (2**13, 2**13)), "more than 200 times as many"),
    "memory.npy": (npy((10**5, 10**5), content=bytes(64)), "80000000000 bytes, got 64"),
    "sky.npy": (npy((10**30,)), "bytes, got 0"),
    "objects.npy": (npy((4, 6), "|O", b"cos\nsystem\n"), "Object arrays"),
    "long.npy": (npy((4, 6), pad=2**24), "EOF"),
    "claims a long header.npy": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(2**20), "EOF"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name, tmp_path, frugal):
    for label in "ab":
        (tmp_path / label).mkdir()
        made_of(IMAGES[name][0])(tmp_path / label / name)
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match=rf"{name} is not a sound image: .*{IMAGES[name][1]}"):
        read_image_folder(tmp_path)


@pytest.mark.parametrize("make", [pipe, endless])
def test_images_without_end(make, tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        make(tmp_path / label / "image.npy")
    with pytest.raises(ValueError, match=r"image\.npy must be a file"):
        read_image_folder(tmp_path)


# volumes ------------------------------------------------------------------------------------

ZEROS = gzip.compress(bytes(2**24)) * 128  # two gigabytes, in two megabytes


def volume(*shape, behind=b""):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    content = bytearray(nibabel.Nifti1Image(np.zeros((8, 8, 8), np.uint8), np.eye(4)).to_bytes())
    struct.pack_into("<4h", content, 40, 3, *shape)
    return gzip.compress(bytes(content)) + behind


VOLUMES = {
    "more than the header says": (volume(8, 8, 8, behind=ZEROS), "bytes or more behind the last"),
    "more than a file can hold": (volume(30000, 30000, 30000, behind=ZEROS), "can hold"),
    "more than max_bytes": (volume(1200, 1200, 1200, behind=ZEROS), "max_bytes=2147483648"),
    "nothing but zeros": (volume(800, 800, 800, behind=ZEROS), "more than 200 times as many"),
    "axes of no extent": (volume(0, 8, 8, behind=ZEROS), "three axes"),
    "axes of negative extent": (volume(-8, -8, 8, behind=ZEROS), "three axes|negative|not a usab"),
    "no header": (ZEROS, "magic is missing"),
}


@pytest.mark.parametrize("kind", VOLUMES)
def test_volumes(kind, tmp_path, frugal):
    content, message = VOLUMES[kind]
    made_of(content)(path := tmp_path / "some.nii.gz")
    problem = check_volume(path)
    assert str(path) in problem
    with pytest.raises(ValueError, match=message):
        raise ValueError(problem)


@pytest.mark.parametrize("make", [pipe, endless])
def test_volumes_without_end(make, tmp_path):
    make(tmp_path / "some.nii")
    assert "some.nii must be a file" in check_volume(tmp_path / "some.nii")


# studies ------------------------------------------------------------------------------------

RUNS = {
    "vast": (vast, "at most 16777216 bytes"),
    "endless": (endless, "must be a file|holds no study"),
    "pipe": (pipe, "must be a file|holds no study"),
    "nested": (made_of(b"[" * 10**5), "is not what was written"),
    "no text": (made_of(b"\xff\xfe\x00"), "is not what was written"),
}
CELLS = {
    "vast": (vast, "first line is not"),
    "zeros": (made_of(bytes(2**24)), "first line is not"),
    "nested": (made_of(b"[" * 10**5), "first line is not"),
    "no text": (made_of(b"\xff\xfe\x00\n"), "first line is not"),
}
TABLES = {
    "vast": (vast, "samples.csv"),
    "endless": (endless, "must be a file"),
    "pipe": (pipe, "must be a file"),
    "no text": (made_of(b"\xff\xfe\x00\n"), "samples.csv is damaged"),
    "no columns": (made_of(b"a,b\n1,2\n"), "samples.csv is damaged"),
    "too short": (made_of(b"sample,subject,site,mark\n"), "samples.csv is damaged"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of a study."""
    folder, X = tmp_path_factory.mktemp("studies") / "study", RNG.normal(size=(24, 3))
    y, groups = np.repeat(["a", "b"], 12), np.arange(24).astype(str)
    cohort_study({"svm": SVC()}, X, y, groups, n_repeats=2, out=folder, progress=False)
    return folder


@pytest.fixture
def spoilt(whole, tmp_path):
    """Return a function that gives the study with a file that is spoilt."""

    def spoil(pattern, make):
        shutil.copytree(whole, tmp_path / "study")
        path = min((tmp_path / "study").glob(pattern))
        make(path)
        return tmp_path / "study"

    return spoil


@pytest.mark.parametrize("kind", RUNS)
def test_runs_of_studies(kind, spoilt, frugal):
    make, message = RUNS[kind]
    with pytest.raises(ValueError, match=message):
        Results.read(spoilt("runs/*.json", make))


@pytest.mark.parametrize("kind", CELLS)
def test_fits_of_studies(kind, spoilt, frugal):
    make, message = CELLS[kind]
    with pytest.raises(ValueError, match=rf"\.cell is damaged, and is left as it is.*{message}"):
        Results.read(spoilt("cells/*.cell", make))


@pytest.mark.parametrize("kind", TABLES)
def test_samples_of_studies(kind, spoilt, frugal):
    make, message = TABLES[kind]
    folder = spoilt("samples.csv", make)
    with pytest.raises(ValueError, match=message):
        assert Results.read(folder).predictions is None


def forged(change):
    """Return what writes the description of a run anew, under the name that fits it."""

    def make(path):
        run = json.loads(path.read_text())
        change(run)
        path.unlink()
        FolderStore(path.parents[1]).add_run(run)

    return make


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run.pop("cells"),
        lambda run: run.pop("fixed"),
        lambda run: run["fixed"].pop("design"),
        lambda run: run["fixed"].pop("data"),
        lambda run: run.update(cells=7),
        lambda run: run.update(estimators=[]),
    ],
)
def test_runs_that_make_no_study(change, spoilt):
    with pytest.raises(ValueError, match="study is damaged"):
        Results.read(spoilt("runs/*.json", forged(change)))


def test_a_run_that_was_changed_has_other_fits(spoilt):
    folder = spoilt("runs/*.json", forged(lambda run: run["fixed"].update(target="q")))
    results = Results.read(folder)
    assert results.empty
    assert len(results.missing) == 2


# models -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the parts of some sound model files."""
    path, found = tmp_path_factory.mktemp("models") / "model.skl", {}
    for name, model, shape in (
        ("image", ScatteringTransformer(J=1, L=2), (2, 8, 8)),
        ("line", ScatteringTransformer(J=1), (2, 32)),
        ("fourier", WindowedFourierTransformer(window=4), (2, 8, 8)),
    ):
        save_model(model.fit(RNG.normal(size=shape)), path)
        with zipfile.ZipFile(path) as file:
            found[name] = {part: file.read(part) for part in file.namelist()}
    return found


SCATTERING = {
    "large": ("image", {"in_shape_": (1, 2**13, 2**13)}, "wavelets on a grid of 8196x8196"),
    "larger": ("image", {"in_shape_": (1, 2**20, 2**20)}, "too large"),
    "empty": ("image", {"in_shape_": (0, 2**20, 2**20)}, "wavelets on a grid"),
    "negative": ("image", {"in_shape_": (1, -(2**20), 2**20)}, "shape must be"),
    "many orientations": ("image", {"L": 10**7}, "10000000 wavelets"),
    "many paths": ("image", {"L": 41, "J": 3, "max_order": 3}, "at most 65536 scattering paths"),
    "endless scale": ("image", {"J": 10**18}, "must be an integer from 1 to 62"),
    "a volume": ("image", {"in_shape_": (1, 400, 400, 400), "L": 64}, "64 wavelets"),
    "a long line": ("line", {"in_shape_": (1, 2**26)}, "grid of 67108864 samples"),
    "many to the octave": ("line", {"Q": 10**8}, "wavelets on a grid of"),
    "more digits than there are": ("line", {"Q": 10**400}, "wavelets on a grid of"),
    "a wide average": ("line", {"T": 10**18}, "T must be"),
    "a wide window": ("fourier", {"window": 10**5}, "frequencies, got 10000000000"),
    "a window of all": ("fourier", {"in_shape_": (1, 2**13, 2**13), "window": None}, "got 671088"),
}


@pytest.mark.parametrize("kind", SCATTERING)
def test_models_of_scattering(kind, models, tmp_path, frugal):
    name, values, message = SCATTERING[kind]
    parts = dict(models[name])
    content = json.loads(parts["model.json"])
    estimator = content["model"]["estimator"]
    for key, value in values.items():
        group = estimator["fitted" if key in estimator["fitted"] else "params"]
        group[key] = {"tuple": list(value)} if isinstance(value, tuple) else value
    parts["model.json"] = json.dumps(content)
    write_parts(tmp_path / "model.skl", parts)
    with pytest.raises(ValueError, match=rf"model\.skl holds a model .*{message}"):
        load_model(tmp_path / "model.skl")


def write_parts(path, parts):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


MODELS = {
    "a large description": (lambda path: write_parts(path, {"model.json": "0" * 2**25}), "at most"),
    "no description": (lambda path: write_parts(path, {"other": ""}), "no item named"),
    "directory": (many_members, "at most 4194304 bytes"),
    "vast": (vast, "not a zip file"),
    "endless": (endless, "must be a file"),
    "pipe": (pipe, "must be a file"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models(kind, tmp_path, frugal):
    make, message = MODELS[kind]
    make(tmp_path / "model.skl")
    with pytest.raises(ValueError, match=rf"model\.skl.*{message}"):
        load_model(tmp_path / "model.skl")
