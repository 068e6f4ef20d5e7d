"""Whatever a user has, read by one function."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sklstruct.datasets import simulate_cohort
from sklstruct.io import Cohort, UnsoundCohort, load_dataset, read_data, read_npz

RNG = np.random.default_rng(0)
X, Y = RNG.integers(256, size=(12, 4, 4), dtype=np.uint8), np.arange(12) % 3


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "scans"
    simulate_cohort(folder, n_subjects=4, shape=(8, 10, 9), spacing=20.0, random_state=0)
    return folder


@pytest.fixture(autouse=True)
def folder(simulated, tmp_path, monkeypatch):
    shutil.copytree(simulated, tmp_path / "scans")
    monkeypatch.chdir(tmp_path)


def damage(path):
    path.write_bytes(path.read_bytes()[:200])


def test_names_files_and_folders_are_told_apart():
    data, known = read_data("digits"), load_dataset("digits")
    np.testing.assert_array_equal(data.X, known.X)
    assert data.words == "1797 samples of digits, 8x8"
    np.savez("own.npz", X=X, y=Y, X_test=X[:2], y_test=Y[:2], groups=Y, other=Y[::-1])
    data = read_data("own.npz")
    assert np.array_equal(data.groups, Y)
    assert (len(data.part()), len(data.part("train")), data.part().kind) == (2, 12, "test")
    data = read_data("own.npz", groups="other", sites="groups")
    assert np.array_equal(data.groups, Y[::-1])
    assert np.array_equal(data.sites, Y)
    for label, image in zip("abab", X[:4], strict=True):
        Path("images", label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(f"images/{label}/{image.sum()}.png")
    data = read_data("images")
    assert data.y.tolist() == ["a", "a", "b", "b"]
    assert sorted(data.names["sample"]) == sorted(
        f"{label}/{image.sum()}.png" for label, image in zip("abab", X[:4], strict=True)
    )
    assert read_data("images/a", labels=False).X.shape == (2, 4, 4)
    Path("digits").mkdir()  # a name means what is registered, a path what is there
    assert read_data("digits").X.shape == (1797, 8, 8)


def test_files_of_medmnist_are_read():
    labels = Y[:, np.newaxis].astype(np.uint8)
    np.savez("toymnist.npz", train_images=X[:6], train_labels=labels[:6], val_images=X[6:9],
             val_labels=labels[6:9], test_images=X[9:], test_labels=labels[9:])  # fmt: skip
    for data in (read_data("toymnist.npz"), read_npz("toymnist.npz")):
        np.testing.assert_array_equal(data.X, X[:9])
        np.testing.assert_array_equal(data.y, Y[:9])
        np.testing.assert_array_equal(data.X_test, X[9:])
        np.testing.assert_array_equal(data.y_test, Y[9:])
    assert len(read_data("toymnist.npz", validation=False)) == 6
    np.savez("several.npz", train_images=X, train_labels=np.tile(labels, 2))
    with pytest.raises(ValueError, match=r"several\.npz: y must be one-dimensional"):
        read_data("several.npz")


@pytest.mark.parametrize(
    "table, images",
    [
        ("scans/participants.tsv", "scans"),
        ("table.csv", "scans"),
        ("table.csv", "flat"),
        ("table.csv", "flat/{participant_id}_T1w.nii.gz"),
        ("listed.csv", "place"),
    ],
)
def test_a_table_finds_its_images(table, images):
    rows = Path("scans/participants.tsv").read_text().replace("\t", ",").splitlines()
    Path("table.csv").write_text("\n".join(rows))
    Path("flat").mkdir()
    for path in sorted(Path("scans").glob("sub-*/anat/*.nii.gz")):
        shutil.copy(path, "flat")
    head, *rest = rows
    places = [f"flat/{row.split(',')[0]}_T1w.nii.gz" for row in rest]
    listed = [f"{head},place", *map(",".join, zip(rest, places, strict=True))]
    Path("listed.csv").write_text("\n".join(listed))
    data, known = (
        read_data(table, "diagnosis", images=images),
        Cohort.from_bids("scans", "diagnosis"),
    )
    assert data.scans
    assert [Path(path).name for path in data.X] == [Path(path).name for path in known.X]
    for name in ("y", "groups", "sites"):
        np.testing.assert_array_equal(getattr(data, name), getattr(known, name))
    assert read_data(table, "diagnosis", images=images, groups="site").groups.tolist() == (
        known.sites.tolist()
    )


def test_a_table_of_pictures_becomes_arrays():
    Path("skin").mkdir()
    for number, image in enumerate(X[:4]):
        Image.fromarray(image).save(f"skin/p{number}.png")
    Path("skin.csv").write_text("participant_id,mole\np0,yes\np1,no\np2,yes\np3,n/a\n")
    with pytest.raises(UnsoundCohort, match="there is no mole"):
        read_data("skin.csv", "mole", images="skin")
    data = read_data("skin.csv", "mole", images="skin", leave_out=True)
    np.testing.assert_allclose(data.X, X[:3] / 255, atol=1e-6)
    assert data.y.tolist() == ["yes", "no", "yes"]
    assert data.left_out["subject"].tolist() == ["p3"]
    assert data.words == "3 images of 3 subjects of skin.csv"


def test_scans_are_read_once_it_is_known_what_they_are_for():
    damage(Path("scans/sub-0002/anat/sub-0002_T1w.nii.gz"))
    data = read_data("scans", "diagnosis", check=False)
    assert len(data) == 4
    with pytest.raises(UnsoundCohort, match="sub-0002"):
        data.check()
    checked = data.check(leave_out=True)
    assert checked.groups.tolist() == ["sub-0001", "sub-0003", "sub-0004"]
    assert checked.left_out["subject"].tolist() == ["sub-0002"]
    assert checked.words == "3 scans of 3 subjects of scans"
    assert checked.names["participant_id"] == checked.groups.tolist()


@pytest.mark.parametrize(
    "source, asked, message",
    [
        ("digts", {}, "Unknown dataset 'digts'. Did you mean 'digits'"),
        ("digits", {"target": "age"}, "digits has no columns or keys .* target='age'"),
        ("digits", {"suffix": "T2w"}, "digits is no cohort of scans, got suffix='T2w'"),
        ("nothing.npz", {}, "nothing.npz"),
        ("own.npz", {"target": "lable"}, "no key 'lable' for the target. Did you mean 'label'"),
        ("own.npz", {"sites": "place"}, r"own.npz: sites must have shape \(12,\)"),
        ("bare.npz", {}, "must hold either the keys X and y or .*train_images"),
        ("scans", {}, "scans needs a target.* Columns: participant_id, age, site, diagnosis"),
        ("scans", {"target": "diagnose"}, "no column 'diagnose'. Did you mean 'diagnosis'"),
        ("scans", {"target": "age", "sites": "sit"}, "'sit' for the sites. Did you mean 'site'"),
        ("scans", {"target": "age", "images": "x"}, "scans is a BIDS folder.* images='x'"),
        ("scans", {"target": "age", "suffix": "T2w"}, r"no image .*anat/sub-\*_T2w.nii"),
        ("scans/participants.tsv", {"target": "age"}, "images must say where the images are"),
        ("scans/participants.tsv", {"target": "age", "images": "flat"}, "must be a column, a fol"),
        ("scans/sub-0001", {"target": "age"}, "is no cohort with a participants.tsv"),
        ("bids", {}, "bids has no participants.tsv"),
    ],
)
def test_what_is_not_there_is_named(source, asked, message):
    np.savez("own.npz", X=X, y=Y, label=Y, place=Y[:3])
    np.savez("bare.npz", X=X)
    Path("bids/sub-1").mkdir(parents=True)
    with pytest.raises((ValueError, OSError), match=message):
        read_data(source, **asked)
