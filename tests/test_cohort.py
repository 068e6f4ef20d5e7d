"""Cohorts: what belongs together, what is wrong, what must not leak, and simulated heads."""

import gzip
import json
import os
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import ShuffleSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from sklstruct import cli
from sklstruct.datasets import phantom, simulate_cohort
from sklstruct.io.cohort import Cohort
from sklstruct.io.leakage import check_leakage
from sklstruct.studies.splits import subject_splits

HEADER = "participant_id\tsex\tage\tsite"
ROWS = [f"sub-{n}\t{'MF'[n % 2]}\t{50 + n}\tsite{n % 3}" for n in range(1, 6)]
TINY = {"shape": (8, 10, 9), "spacing": 20.0, "n_subjects": 4}


def voxels(seed, shape=(3, 4, 5)):
    return np.random.default_rng(seed).integers(1, 100, shape).astype(np.int16)


def write_scan(path, seed, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels(seed), np.eye(4) if affine is None else affine), path)
    return path


def scan(n, *between, end=".nii.gz"):
    """Return the name of an image in a BIDS folder."""
    folder = Path(f"sub-{n}", *(part for part in between if part.startswith("ses-")), "anat")
    return folder / f"{'_'.join([f'sub-{n}', *between, 'T1w'])}{end}"


@pytest.fixture
def bids(tmp_path):
    folder = tmp_path / "study"
    for n in range(1, 6):
        write_scan(folder / scan(n), n)
    rewrite(folder, HEADER, *ROWS)
    return folder


def rewrite(folder, *lines):
    (folder / "participants.tsv").write_text("\n".join(lines) + "\n")


def problems(cohort):
    return list(cohort.report[["subject", "problem"]].itertuples(index=False, name=None))


# ----------------------------------------------------------------------- what there is


def test_a_sound_folder_gives_samples_in_the_order_of_its_table(bids):
    rewrite(bids, HEADER, *reversed(ROWS))
    cohort = Cohort.from_bids(bids, target="sex").check()
    assert cohort.report.empty
    assert cohort.X.tolist() == [str(bids / scan(n)) for n in (5, 4, 3, 2, 1)]
    assert cohort.y.tolist() == list("FMFMF")
    assert cohort.groups.tolist() == [f"sub-{n}" for n in (5, 4, 3, 2, 1)]
    assert cohort.sites.tolist() == ["site2", "site1", "site0", "site2", "site1"]
    assert cohort.table["age"].tolist() == [55, 54, 53, 52, 51]
    assert repr(cohort) == "Cohort('study', 5 scans of 5 subjects; sex: F (3), M (2); 3 sites)"
    assert cohort.take([0, 2]).groups.tolist() == ["sub-5", "sub-3"]


def test_numbers_are_numbers_and_the_rest_may_be_absent(bids):
    rewrite(bids, "participant_id\tscore", *(f"{n}\t{n / 2}" for n in range(1, 6)))
    cohort = Cohort.from_bids(bids, target="score")
    assert cohort.y.dtype == float
    assert cohort.sites is None
    assert cohort.groups.tolist() == [f"sub-{n}" for n in range(1, 6)]
    assert Cohort.from_bids(bids).y is None


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + "\r\n".join([HEADER, *ROWS]),  # as a spreadsheet writes it
        "\n".join(f'"{line}"'.replace("\t", '"\t"') for line in [HEADER, *ROWS]),  # and R
        "\n".join([HEADER, "", *ROWS, "", ""]),
    ],
)
def test_tables_of_other_programs_are_read(text, bids):
    (bids / "participants.tsv").write_bytes(text.encode())
    assert Cohort.from_bids(bids, "sex").y.tolist() == list("FMFMF")


def test_sessions_are_scans_of_one_subject(bids):
    for n in (1, 2):
        write_scan(bids / scan(n, "ses-late"), 10 + n)
    rewrite(bids, HEADER, *ROWS)
    (bids / scan(2)).unlink()
    cohort = Cohort.from_bids(bids, "sex")
    assert cohort.groups.tolist() == ["sub-1", "sub-1", "sub-2", "sub-3", "sub-4", "sub-5"]
    late = bids / scan(2, "ses-late")
    assert cohort.X[2] == str(late)
    assert cohort.table["session_id"].tolist()[:3] == [None, "ses-late", "ses-late"]
    assert "6 scans of 5 subjects (1 to 2 scans each)" in repr(cohort)
    chosen = Cohort.from_bids(bids, "sex", session="late")
    assert problems(chosen) == [(f"sub-{n}", "there is no image") for n in (3, 4, 5)]
    assert chosen.check(leave_out=True).groups.tolist() == ["sub-1", "sub-2"]
    with pytest.raises(ValueError, match=r"session must be one of those in .*study, got 'never'"):
        Cohort.from_bids(bids, "sex", session="never")


def test_a_row_can_be_that_of_one_session(bids):
    write_scan(bids / scan(1, "ses-a"), 11)
    write_scan(bids / scan(1, "ses-b"), 12)
    rows = ["sub-1\ta\twell", "sub-1\tb\till", "sub-2\tc\twell", "sub-1\tb\twell"]
    rewrite(bids, "participant_id\tsession_id\tstate", *rows)
    cohort = Cohort.from_bids(bids, "state")
    assert cohort.check(leave_out=True).y.tolist() == ["well"]
    assert problems(cohort)[:3] == [
        ("sub-1", "there are several rows of this participant, lines 3 and 5"),
        ("sub-2", "there is no image of ses-c"),
        ("sub-1", "there are several rows of this participant, lines 3 and 5"),
    ]


def test_tables_of_sessions_say_what_is_of_a_session(bids):
    for label in "abc":
        write_scan(bids / scan(1, f"ses-{label}"), ord(label))
    (bids / scan(1)).unlink()
    table = bids / "sub-1" / "sub-1_sessions.tsv"
    table.write_text("session_id\tage\tstate\na\t60\twell\nses-b\tn/a\till\nc\t62\t\n")
    cohort = Cohort.from_bids(bids, "state")
    late = str(bids / scan(1, "ses-c"))
    unlabelled = [(f"sub-{n}", "there is no state") for n in range(2, 6)]
    assert problems(cohort) == [("sub-1", "there is no state of ses-c"), *unlabelled]
    assert cohort.report["file"][0] == late
    rest = cohort.check(leave_out=True)
    assert rest.y.tolist() == ["well", "ill"]
    assert rest.table["age"].tolist() == [60, 51]  # that of the subject where the session has none
    assert Cohort.from_bids(bids, "sex").check().table["age"].tolist() == [
        60,
        51,
        62,
        52,
        53,
        54,
        55,
    ]
    for content, message in [
        ("session\tage\na\t60\n", r"sub-1_sessions\.tsv, line 1: .* column 'session_id'"),
        ("session_id\tage\na\t60\nses-a\t61\n", r"sessions\.tsv, line 3: .* one row for each"),
        ("session_id\tage\nn/a\t60\n", r"sessions\.tsv, line 2: .* one row for each session_id"),
    ]:
        table.write_text(content)
        with pytest.raises(ValueError, match=message):
            Cohort.from_bids(bids)


# ----------------------------------------------------------------------- what is wrong


def lose(folder):
    (folder / scan(2)).unlink()


def add_image(folder):
    write_scan(folder / scan(2, "run-2"), 9)


def add_same_uncompressed(folder):
    write_scan(folder / scan(2, end=".nii"), 2)


def repeat_row(folder):
    rewrite(folder, HEADER, *ROWS, ROWS[1])


def unlabel(folder):
    rewrite(folder, HEADER, ROWS[0], ROWS[1].replace("M", "n/a"), *ROWS[2:])


def truncate(folder):
    path = folder / scan(2)
    path.write_bytes(path.read_bytes()[:-20])


def no_magic(folder):
    (folder / scan(2)).write_bytes(gzip.compress(b"n/a" * 999))


def copy(folder):
    (folder / scan(1)).write_bytes((folder / scan(2)).read_bytes())


def link_nowhere(folder):
    (folder / scan(2)).unlink()
    (folder / scan(2)).symlink_to("annex.nii.gz")


def misplace(folder):
    (folder / scan(2)).rename(folder / "sub-2" / "anat" / scan(3).name)


def misplace_session(folder):
    write_scan(folder / "sub-2" / "ses-1" / "anat" / "sub-2_ses-2_T1w.nii.gz", 9)


def add_stranger(folder):
    write_scan(folder / scan(7), 7)


FLAWS = [
    (lose, ["sub-2"], r"participants\.tsv, line 3: there is no image"),
    (add_image, ["sub-2"], "several images where one is wanted, sub-2_T1w.nii.gz and sub-2_run-2"),
    (add_same_uncompressed, ["sub-2"], "several images where one is wanted"),
    (repeat_row, ["sub-2"], "there are several rows of this participant, lines 3 and 7"),
    (unlabel, ["sub-2"], r"participants\.tsv, line 3: there is no sex"),
    (truncate, ["sub-2"], r"sub-2_T1w\.nii\.gz: is not a usable NIfTI volume"),
    (no_magic, ["sub-2"], r"sub-2_T1w\.nii\.gz: .* magic"),
    (copy, ["sub-1", "sub-2"], r"sub-2_T1w\.nii\.gz: the voxels are those of .*sub-1_T1w"),
    (link_nowhere, ["sub-2"], r"sub-2_T1w\.nii\.gz: the link leads to no file"),
    (misplace, ["sub-2"], r"sub-3_T1w\.nii\.gz: there is no row for this image"),
    (misplace_session, [], r"sub-2_ses-2_T1w\.nii\.gz: there is no row for this image"),
    (add_stranger, [], r"sub-7_T1w\.nii\.gz: there is no row for this image"),
]


@pytest.mark.parametrize(
    "damage, lost, message", FLAWS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_flaw_is_named_and_stops_everything_until_it_is_left_out(damage, lost, message, bids):
    damage(bids)
    cohort = Cohort.from_bids(bids, "sex").check()
    with pytest.raises(ValueError, match=message):
        _ = cohort.X
    with pytest.raises(ValueError, match="must be without problems"):
        _ = cohort.y
    assert set(cohort.report["subject"]) - {""} == set(lost)
    rest = cohort.check(leave_out=True)
    kept = [f"sub-{n}" for n in range(1, 6) if f"sub-{n}" not in lost]
    assert rest.groups.tolist() == kept
    assert len(rest.X) == len(rest.y) == len(kept)
    assert problems(rest) == problems(cohort)
    assert f"{len(cohort.report)} problem" in repr(rest)
    assert "left out" in repr(rest)


def test_all_flaws_are_listed_at_once(bids):
    truncate(bids)
    (bids / scan(1)).unlink()
    add_stranger(bids)
    rewrite(bids, HEADER, *ROWS[:3], ROWS[3].replace("M", ""), ROWS[4])
    assert [subject for subject, _ in problems(Cohort.from_bids(bids, "sex").check())] == [
        "sub-1",
        "sub-4",
        "",
        "sub-2",
    ]


def test_a_cohort_without_a_single_sound_scan_says_so(bids):
    rewrite(bids, HEADER, "sub-9\tM\t3\tsite1")
    cohort = Cohort.from_bids(bids, "sex").check(leave_out=True)
    assert repr(cohort).startswith("Cohort('study', 0 scans of 0 subjects")
    with pytest.raises(ValueError, match="'study' has no scan that can be used"):
        _ = cohort.X


BAD_TABLES = [
    (b"", r"participants\.tsv is empty"),
    (b"\n\n", r"participants\.tsv is empty"),
    (HEADER.encode(), "has a header but no participants"),
    (b"participant_id,sex\nsub-1,M\n", r"line 1: .*separated by tabs, not by ','"),
    (b"participant_id;sex\nsub-1;M\n", "not by ';'"),
    (
        b"id\tsex\nsub-1\tM\n",
        r"line 1: there must be a column 'participant_id', got \['id', 'sex'\]",
    ),
    (
        b"participant_id\tsex\tsex\nsub-1\tM\tM\n",
        r"line 1: .* a name of its own, got twice \['sex'",
    ),
    (b"participant_id\tsexe\nsub-1\tM\n", "line 1: there is no column 'sex'. Did you mean 'sexe'"),
    (b"participant_id\tsex\nsub-1\tM\nsub-2\n", "line 3: there must be 2 cells .* got 1"),
    (b"participant_id\tsex\n\n\nsub-1\n", "line 4: there must be 2 cells .* got 1"),
    (b"participant_id\tsex\nsub-1\tM\t\n", "line 2: there must be 2 cells .* got 3"),
    (b"participant_id\tsex\nsub-1\tm\xe4nnlich\n", "line 2: the text must be in UTF-8.*0xe4"),
    ("participant_id\tsex\n".encode("utf-16-le"), "line 1: the text must be in UTF-8"),
    (b'participant_id\tsex\nsub-1\t"M\nsub-2\tF\n', "line 2: .* mark must have its partner"),
    (b'participant_id\tsex\nsub-1\t"M\nsub-2\tF"\nsub-3\tF\n', "line 2: .* must have its partn"),
]


@pytest.mark.parametrize("content, message", BAD_TABLES)
def test_a_bad_table_is_refused_with_its_line(content, message, bids):
    (bids / "participants.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        Cohort.from_bids(bids, "sex")
    assert str(bids / "participants.tsv") in str(caught.value)


def grow(path):
    path.touch()
    os.truncate(path, 2**40)  # which takes no room on the disk


HOSTILE = {
    "endless": (lambda path: path.symlink_to("/dev/zero"), "must be a file"),
    "pipe": (os.mkfifo, "must be a file"),
    "folder": (Path.mkdir, "must be a file"),
    "vast": (grow, "at most 67108864 bytes"),
    "lines": (b"participant_id\n" + b"a\n" * 2**19, "at most .* 524288 lines"),
    "columns": (b"participant_id" + b"\ta" * 2**14, "and 16384 columns"),
    "ragged": (b"participant_id\n" + b"\t" * 2**20, "line 2: there must be 1 cells"),
    "long cell": (b"participant_id\n" + b"a" * 2**20, "line 2: field larger than field limit"),
    "long name": (b"a" * 2**20 + b"\nb", "line 1: field larger"),
    "quotes": (b'participant_id\n"' + b'""' * 2**16, "line 2: .*must have its partner"),
    "other lines": (b"participant_id\nsub-1\x0c\x1c\x85\n", "line 2: the text must be in UTF-8"),
    "overlong": (b"participant_id\n\xc0\xaf..\n", "line 2: the text must be in UTF-8"),
    "surrogate": (b"participant_id\n\xed\xa0\x80\n", "line 2: the text must be in UTF-8"),
}


@pytest.mark.parametrize("flaw", HOSTILE)
def test_hostile_tables_are_refused_before_they_take_memory(flaw, bids):
    make, message = HOSTILE[flaw]
    tsv = bids / "participants.tsv"
    tsv.unlink()
    tsv.write_bytes(make) if isinstance(make, bytes) else make(tsv)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"participants\.tsv.*{message}"):
        Cohort.from_bids(bids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**28


def test_an_absent_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        Cohort.from_bids(tmp_path / "nowhere")
    assert caught.value.filename == str(tmp_path / "nowhere" / "participants.tsv")


# ------------------------------------------------------------------ tables of any folder


def test_images_are_found_by_a_column_or_a_pattern(bids):
    rows = [f"{row}\t{scan(n)}" for n, row in enumerate(ROWS, 1)]
    rewrite(bids, f"{HEADER}\tfile", *rows)
    expected = Cohort.from_bids(bids, "sex")
    pattern = "{participant_id}/an*/*_T1w.nii.gz"
    for images in ("file", pattern):
        cohort = Cohort.from_tsv(bids / "participants.tsv", images, "sex")
        assert cohort.X.tolist() == expected.X.tolist()
        assert cohort.y.tolist() == expected.y.tolist()
    add_stranger(bids)
    cohort = Cohort.from_tsv(bids / "participants.tsv", pattern, "sex")
    assert problems(cohort) == [("", "there is no row for this image")]
    rewrite(bids, HEADER, "n/a\tF\t50\tsite0")
    cohort = Cohort.from_tsv(bids / "participants.tsv", "{participant_id}/anat/sub-1*", "sex")
    assert problems(cohort)[:2] == [("", "there is no participant_id"), ("", "there is no image")]


@pytest.mark.parametrize("start", ["", "./", "**/", "[s]?b-1/../"])
def test_a_column_that_a_pattern_names_twice_has_one_value(start, bids):
    write_scan(bids / scan(1, "rec-norm"), 9)
    pattern = start + "{participant_id}/anat/{participant_id}_T1w.nii.gz"
    assert Cohort.from_tsv(bids / "participants.tsv", pattern, "sex").check().report.empty
    add_stranger(bids)
    cohort = Cohort.from_tsv(bids / "participants.tsv", pattern, "sex").check()
    assert cohort.report["file"].map(lambda path: Path(path).name).unique() == [scan(7).name]


@pytest.mark.parametrize("start", ["*/anat/", "**/", "sub-*/**/", "[s]?b-[0-9]/*/"])
def test_names_end_at_underscores_where_no_name_has_one(start, bids):
    write_scan(bids / scan(1, "rec-norm"), 9)
    pattern = start + "{participant_id}_T1w.nii.gz"
    assert Cohort.from_tsv(bids / "participants.tsv", pattern, "sex").report.empty
    add_stranger(bids)
    cohort = Cohort.from_tsv(bids / "participants.tsv", pattern, "sex")
    assert cohort.report["file"].map(lambda path: Path(path).name).tolist() == [scan(7).name]
    rewrite(bids, HEADER, "sub-1_rec-norm\tF\t50\tsite0", ROWS[1])
    cohort = Cohort.from_tsv(bids / "participants.tsv", pattern, "sex")
    assert len(cohort) == 2
    assert str(bids / scan(1)) in cohort.report["file"].tolist()


def test_a_listed_image_must_be_one_file_inside_the_folder(bids):
    outside = write_scan(bids.parent / "x.nii.gz", 1)
    files = ["../x.nii.gz", outside, scan(3), scan(3), "n/a"]
    rewrite(
        bids, f"{HEADER}\tfile", *(f"{row}\t{file}" for row, file in zip(ROWS, files, strict=True))
    )
    cohort = Cohort.from_tsv(bids / "participants.tsv", "file", "sex")
    outside_of = f"the image lies outside of {bids}, at {outside}"
    assert problems(cohort) == [
        ("sub-1", outside_of),
        ("sub-2", outside_of),
        ("sub-3", "the image belongs to several rows, of sub-3 and sub-4"),
        ("sub-4", "the image belongs to several rows, of sub-3 and sub-4"),
        ("sub-5", "there is no image"),
    ]
    cohort = Cohort.from_tsv(bids / "participants.tsv", "file", "sex", root=bids.parent)
    assert cohort.check(leave_out=True).X.tolist() == [str(outside)]
    assert problems(cohort)[1:] == [
        ("sub-3", "there is no such file"),
        ("sub-4", "there is no such file"),
        ("sub-5", "there is no image"),
    ]


def test_links_out_of_the_folder_are_followed_and_names_are_not(bids):
    store = bids.parent / ".git/modules/study/annex/objects"  # of a submodule, as DataLad has it
    for n in (1, 2):
        (bids / scan(n)).rename(write_scan(store / f"MD5E-s{n}.nii.gz", 0))
        (bids / scan(n)).symlink_to(f"../../../.git/modules/study/annex/objects/MD5E-s{n}.nii.gz")
    (bids / "sub-3").rename(bids.parent / "third")
    (bids / "sub-3").symlink_to(bids.parent / "third")
    cohort = Cohort.from_bids(bids, "sex").check()
    assert cohort.X.tolist() == [str(bids / scan(n)) for n in range(1, 6)]
    write_scan(bids.parent / "other" / "x.nii.gz", 1)
    names = [scan(1), "sub-3/../other/x.nii.gz", bids.parent / "third/anat/sub-3_T1w.nii.gz"]
    rewrite(bids, "participant_id\tfile", *(f"sub-{n}\t{name}" for n, name in enumerate(names, 1)))
    cohort = Cohort.from_tsv(bids / "participants.tsv", "file")
    assert cohort.table["image"].tolist() == [str(bids / scan(1))]
    assert cohort.report["problem"].str.startswith("the image lies outside").tolist() == [True] * 2


@pytest.mark.parametrize("images", ["sub-1.nii", "{subject}.nii", "{", "{}"])
def test_a_pattern_must_name_columns(images, bids):
    with pytest.raises(
        ValueError, match=r"images must be a column, a folder, or a pattern .* Columns: .*sex"
    ):
        Cohort.from_tsv(bids / "participants.tsv", images)


# --------------------------------------------------------------------------- leakage


def test_a_subject_on_both_sides_is_an_error_that_names_it(bids):
    cohort = Cohort.from_bids(bids, "sex")
    check_leakage(cohort.take([0, 1]), cohort.take([2, 3, 4]))
    with pytest.raises(ValueError, match="but 2 are: sub-2, sub-3"):
        check_leakage(cohort.take([0, 1, 2]), cohort.take([1, 2, 3]))
    with pytest.raises(ValueError, match="but 1 is: 7"):
        check_leakage(cohort.X[:2], cohort.X[2:4], train_groups=[7, 8], test_groups=[9, 7])
    with pytest.raises(ValueError, match="one subject an image, got 1 and 2"):
        check_leakage(cohort.X[:2], cohort.X[2:4], train_groups=[7], test_groups=[9, 7])


def test_a_subject_is_the_same_with_or_without_a_prefix(bids):
    with pytest.raises(ValueError, match="but 1 is: 02"):
        check_leakage("ab", "cd", train_groups=["sub-02", "sub-1"], test_groups=["02", "2"])
    rewrite(bids, "participant_id\tsession_id\tfile", f"sub-1\ta\t{scan(1)}", f"1\tb\t{scan(2)}")
    cohort = Cohort.from_tsv(bids / "participants.tsv", "file")
    assert cohort.groups.tolist() == ["sub-1"] * 2
    rewrite(bids, "participant_id\tfile", f"sub-1\t{scan(1)}", f"1\t{scan(2)}")
    cohort = Cohort.from_tsv(bids / "participants.tsv", "file")
    assert problems(cohort)[0][1] == "there are several rows of this participant, lines 2 and 3"
    groups = np.array([f"{prefix}{n:02}" for n in range(12) for prefix in ("", "sub-")])
    for _, test in subject_splits(np.repeat([0, 1], 12), groups, n_repeats=5):
        np.testing.assert_array_equal(test[1::2] - test[::2], 1)


def flipped(values, affine):
    return values[::-1], affine @ np.diag([-1, 1, 1, 1])


def transposed(values, affine):
    return values.transpose(2, 0, 1), affine[:, [2, 0, 1, 3]]


def as_float(values, affine):
    return values.astype(np.float64), affine


@pytest.mark.parametrize("change", [flipped, transposed, as_float])
@pytest.mark.parametrize("end", [".nii", ".nii.gz"])
def test_the_same_image_is_found_under_another_name(change, end, bids):
    path = bids / f"copy{end}"
    nibabel.save(nibabel.Nifti1Image(*change(voxels(2), np.eye(4))), path)
    train, test = [bids / scan(1), bids / scan(2)], [bids / scan(3), path]
    check_leakage(train[:1], test)
    with pytest.raises(ValueError, match=rf"same image .*copy{end} and .*sub-2_T1w"):
        check_leakage(train, test)


def test_an_image_that_only_looks_alike_is_another_one(bids):
    values = voxels(2)
    values[0, 0, 0] += 1
    for name, other in {"near.nii": values, "folded.nii": voxels(2).reshape(4, 3, 5)}.items():
        nibabel.save(nibabel.Nifti1Image(other, np.eye(4)), bids / name)
        check_leakage([bids / scan(2)], [bids / name])
    before = os.stat(bids / "near.nii")
    write_scan(bids / "near.nii", 2)  # a file is read again when it has changed, as archives do it
    os.utime(bids / "near.nii", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ValueError, match="same image"):
        check_leakage([bids / scan(2)], [bids / "near.nii"])


# ----------------------------------------------------------------------------- splits


def longitudinal(seed, sizes=(23, 11, 4)):
    """Return labels and subjects of scans, one to four a subject, shuffled."""
    rng = np.random.default_rng(seed)
    label = np.repeat([f"class{n}" for n in range(len(sizes))], sizes)
    subject = rng.permutation([f"s{n}" for n in range(sum(sizes))])
    scans = rng.permutation(np.repeat(np.arange(len(label)), rng.integers(1, 5, len(label))))
    return label[scans], subject[scans]


@pytest.mark.parametrize("test_size", [None, 0.1, 0.5, 0.9, 12])
def test_splits_are_stratified_hold_outs_of_subjects(test_size):
    y, groups = longitudinal(0)
    label_of = dict(zip(groups, y, strict=True))
    share = {None: 0.25, 12: 12 / len(label_of)}.get(test_size, test_size)
    splits = subject_splits(y, groups, n_repeats=5, test_size=test_size, random_state=3)
    assert len({test.tobytes() for _, test in splits}) == 5
    for train, test in splits:
        np.testing.assert_array_equal(np.sort([*train, *test]), np.arange(len(y)))
        assert not set(groups[train]) & set(groups[test])
        for label in set(y):
            subjects = {subject for subject in label_of if label_of[subject] == label}
            held_out = len(subjects & set(groups[test]))
            assert 1 <= held_out < len(subjects)
            assert abs(held_out - share * len(subjects)) < 1


def test_a_split_depends_on_subjects_seed_and_number_only():
    y, groups = longitudinal(1)
    splits = subject_splits(y, groups, n_repeats=4, random_state=5)
    for (train, test), (same_train, same_test) in zip(
        subject_splits(y, groups, n_repeats=2, random_state=5), splits, strict=False
    ):
        np.testing.assert_array_equal(train, same_train)
        np.testing.assert_array_equal(test, same_test)
    order = np.random.default_rng(0).permutation(len(y))
    shuffled = subject_splits(y[order], groups[order], n_repeats=4, random_state=5)
    for (_, test), (_, moved) in zip(splits, shuffled, strict=True):
        assert set(groups[test]) == set(groups[order][moved])
    other = subject_splits(y, groups, n_repeats=4, random_state=6)
    assert any(set(a[1]) != set(b[1]) for a, b in zip(splits, other, strict=True))


def test_random_labels_give_chance_where_plain_splits_give_the_subject_away():
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(60), 4)
    X = rng.standard_normal((60, 5))[subject] + 0.01 * rng.standard_normal((240, 5))
    y = rng.permutation(np.arange(60) % 2)[subject]
    model = KNeighborsClassifier(1)
    splits = subject_splits(y, subject, n_repeats=20, test_size=0.5)
    honest = cross_val_score(model, X, y, cv=splits).mean()
    leaking = cross_val_score(model, X, y, cv=ShuffleSplit(20, test_size=0.5, random_state=0))
    assert abs(honest - 0.5) < 0.1
    assert leaking.mean() > 0.85


@pytest.mark.parametrize("kind", [float, int])
def test_numbers_are_stratified_by_fifths(kind):
    age = np.random.default_rng(0).permutation(np.linspace(20, 90, 50)).astype(kind)
    for _, test in subject_splits(age, np.arange(50), n_repeats=3, test_size=0.2):
        fifth = np.searchsorted(np.quantile(age, [0.2, 0.4, 0.6, 0.8]), age[test])
        assert np.bincount(fifth).tolist() == [2] * 5


def test_each_site_is_left_out_once_with_all_that_its_subjects_left_elsewhere():
    y, groups = longitudinal(2)
    site_of = {subject: n % 3 for n, subject in enumerate(sorted(set(groups)))}
    sites = np.array([f"site{site_of[subject]}" for subject in groups])
    traveller = np.flatnonzero(groups == groups[0])
    assert len(traveller) > 1
    sites[traveller[0]] = "site0" if sites[traveller[0]] != "site0" else "site1"
    splits = subject_splits(y, groups, n_repeats=3, sites=sites)
    assert {tuple(set(sites[test])) for _, test in splits} == {("site0",), ("site1",), ("site2",)}
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert not set(sites[train]) & set(sites[test])
        assert len(test) == np.count_nonzero(sites == sites[test[0]])


IMPOSSIBLE = [
    ({"y": [0, 0, 0, 1]}, "at least 2 subjects of every class.* classes of \\[3, 1\\]"),
    ({"groups": [1, 1, 2, 2]}, "at least 2 subjects of every class"),
    ({"groups": [1, 1, 1, 1]}, "at least 2 subjects of every class"),
    ({"groups": [1, 2, 3, None]}, "groups must have no missing values, got 1"),
    ({"y": [0.5, 0.25, np.nan, 1]}, "y must have no missing values, got 1"),
    ({"test_size": 0.0}, "test_size must be a share between 0 and 1"),
    ({"test_size": 4}, "a number of subjects from 1 to 3, got 4"),
    ({"n_repeats": 0}, "n_repeats"),
    ({"sites": list("aaaa")}, "There must be a site to leave out"),
    ({"sites": list("aabb"), "n_repeats": 3}, "for each of 3 repeats .* \\['a', 'b'\\]"),
    ({"sites": list("aabb")}, "must have subjects of every class when site '[ab]' is left out"),
    ({"sites": list("abab"), "test_size": 0.5}, "test_size must be None where sites"),
]


@pytest.mark.parametrize("change, message", IMPOSSIBLE)
def test_an_impossible_split_is_refused(change, message):
    arguments = {"y": [0, 0, 1, 1], "groups": [1, 2, 3, 4], "n_repeats": 1} | change
    with pytest.raises(ValueError, match=message):
        subject_splits(**arguments)


# --------------------------------------------------------------------- simulated heads


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def images(cohort):
    return np.array([nibabel.load(path).get_fdata() for path in cohort.X])


def test_a_simulated_cohort_is_sound_and_the_same_again(tmp_path):
    cohort = simulate_cohort(tmp_path / "a", **TINY)
    assert cohort.check().report.empty
    assert cohort.y.tolist() == ["control", "patient"] * 2
    assert cohort.sites.tolist() == ["site1", "site1", "site2", "site2"]
    image = nibabel.load(cohort.X[0])
    assert image.shape == (8, 10, 9)
    assert image.header.get_zooms() == (20, 20, 20)
    assert nibabel.aff2axcodes(image.affine) == tuple("RAS")
    (tmp_path / "b").mkdir()  # an empty folder is as good as none
    simulate_cohort(tmp_path / "b", **TINY)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert Path(cohort.X[0]).read_bytes()[4:8] == bytes(4)  # no time stamp
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_every_subject_and_every_seed_gives_another_head(tmp_path):
    heads = [
        head
        for seed in (0, 1)
        for head in images(
            simulate_cohort(
                tmp_path / f"{seed}", **TINY, noise=0.0, site_effect=0.0, random_state=seed
            )
        )
    ]
    assert len({head.tobytes() for head in heads}) == len(heads) == 8


def test_it_describes_itself_as_bids_wants(tmp_path):
    simulate_cohort(tmp_path / "a", **TINY)
    described = json.loads((tmp_path / "a" / "dataset_description.json").read_text())
    assert described["DatasetType"] == "raw"
    assert {"Name", "BIDSVersion"} <= described.keys()
    columns = json.loads((tmp_path / "a" / "participants.json").read_text())
    assert list(columns) == list(pd.read_csv(tmp_path / "a" / "participants.tsv", sep="\t"))
    truth = json.loads((tmp_path / "a" / "derivatives" / "truth" / "simulation.json").read_text())
    assert truth["spacing"] == 20
    assert truth["shape"] == [8, 10, 9]


def test_only_patients_lose_something_and_only_around_the_place_that_the_truth_names(tmp_path):
    setting = {**TINY, "shape": (16, 20, 18), "spacing": 10.0, "noise": 0.0, "jitter": 20.0}
    sound = simulate_cohort(tmp_path / "sound", **setting, effect_size=0.0)
    cohort = simulate_cohort(tmp_path / "ill", **setting, effect_size=1.0)
    lost = images(sound) - images(cohort)
    assert not lost[::2].any()
    assert (lost >= -1).all()
    truth = tmp_path / "ill" / "derivatives" / "truth"
    places = pd.read_csv(truth / "atrophy.tsv", sep="\t")
    assert places["participant_id"].tolist() == ["sub-0002", "sub-0004"]
    points = np.moveaxis(phantom.grid_points(setting["shape"], setting["spacing"]), 0, -1)
    for image, place in zip(lost[1::2], places[["x", "y", "z"]].to_numpy(), strict=True):
        distance = np.linalg.norm(points - place, axis=-1)
        assert image[distance < 36].sum() > 0.9 * image.sum()
        assert image[distance < 18].mean() > 3 * image[(distance > 18) & (distance < 36)].mean()
    mask = nibabel.load(truth / "label-atrophy_mask.nii.gz").get_fdata() > 0
    average = lost[1::2].mean(axis=0)
    assert average[mask].min() > average[~mask].mean() * 10
    assert mask.flat[average.argmax()]
    absent = tmp_path / "sound" / "derivatives" / "truth" / "label-atrophy_mask.nii.gz"
    assert not nibabel.load(absent).get_fdata().any()


def test_a_subject_stays_the_same_in_a_larger_cohort(tmp_path):
    few = simulate_cohort(tmp_path / "few", **TINY)
    many = simulate_cohort(tmp_path / "many", **{**TINY, "n_subjects": 6})
    np.testing.assert_array_equal(images(few), images(many)[:4])


def test_age_and_scanner_show(tmp_path):
    setting = {**TINY, "n_subjects": 8, "noise": 0.0, "effect_size": 0.0, "sites": 2}
    plain = simulate_cohort(tmp_path / "plain", **setting, age_effect=0.0, site_effect=0.0)
    bright = simulate_cohort(tmp_path / "sites", **setting, age_effect=0.0, site_effect=0.4)
    old = simulate_cohort(tmp_path / "age", **setting, age_effect=0.2, site_effect=0.0)
    ratio = images(bright).sum((1, 2, 3)) / images(plain).sum((1, 2, 3))
    second = plain.sites == "site2"
    assert ratio[second].min() > ratio[~second].max() + 0.1
    age = plain.table["age"].to_numpy()
    white = images(old).sum((1, 2, 3)) - images(plain).sum((1, 2, 3))
    assert abs(np.corrcoef(age, white)[0, 1]) > 0.9


def test_the_phantom_is_a_head():
    points = phantom.grid_points((32, 32, 32), 6.0)
    tissues = phantom.phantom(points, 0.0, 6.0)
    total = sum(tissues)
    assert all(share.min() > -1e-12 for share in tissues)
    assert total.max() < 1 + 1e-12
    assert not np.concatenate([total[[0, -1]].ravel(), total[:, [0, -1]].ravel()]).any()
    assert 0.3 < tissues.grey.sum() / total.sum() < 0.45
    np.testing.assert_allclose(tissues.white, tissues.white[::-1], atol=1e-12)
    fine = phantom.phantom(phantom.grid_points((64, 64, 64), 3.0), 0.0, 3.0)
    coarse = fine.grey.reshape(32, 2, 32, 2, 32, 2).mean((1, 3, 5))
    assert np.corrcoef(coarse.ravel(), tissues.grey.ravel())[0, 1] > 0.9
    old = phantom.phantom(points, 0.2, 6.0)
    assert old.grey.sum() < 0.95 * tissues.grey.sum()


def test_a_head_can_start_from_the_template_of_nilearn(tmp_path, monkeypatch):
    shape, spacing = (32, 32, 32), 6.0
    tissues = phantom.phantom(phantom.grid_points(shape, spacing), 0.0, spacing)
    affine = phantom.grid_affine(shape, spacing)
    maps = [nibabel.Nifti1Image(m, affine) for m in (tissues.grey, tissues.white, sum(tissues))]
    names = "load_mni152_gm_template", "load_mni152_wm_template", "load_mni152_brain_mask"
    fake = SimpleNamespace(
        **{
            name: lambda resolution, image=image: image
            for name, image in zip(names, maps, strict=True)
        }
    )
    monkeypatch.setitem(sys.modules, "nilearn", SimpleNamespace(datasets=fake))
    cohort = simulate_cohort(tmp_path / "a", **TINY, template="MNI152")
    expected = simulate_cohort(tmp_path / "b", **TINY)
    assert np.corrcoef(images(cohort).ravel(), images(expected).ravel())[0, 1] > 0.9
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(ImportError, match=r"tissue maps from nilearn.* pip install nilearn"):
        simulate_cohort(tmp_path / "c", template="MNI152")
    assert not (tmp_path / "c").exists()


WRONG = [
    ({"n_subjects": 1}, "n_subjects must be an integer of at least 2, got 1"),
    ({"shape": (8, 8)}, "shape must be three int of at least 1"),
    ({"shape": (8, 9, 9)}, "must cover a head, 144 x 184 x 160 mm, got 160 x 180 x 180 mm"),
    ({"effect_size": 1.5}, "effect_size must be .* of at least 0 and of at most 1, got 1.5"),
    ({"noise": np.nan}, "noise must be a finite number .*, got nan"),
    ({"sites": 0}, "sites must be an integer of at least 1"),
    ({"template": "mni"}, "template must be 'MNI152' or None"),
]


@pytest.mark.parametrize("change, message", WRONG)
def test_a_wrong_parameter_writes_nothing(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        simulate_cohort(tmp_path / "out", **{**TINY, **change})
    assert not list(tmp_path.iterdir())


def test_a_cohort_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr("sklstruct.datasets.simulate.write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate_cohort(tmp_path / "out", **TINY)
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all of it")
    with pytest.raises(FileExistsError, match="absent or an empty folder") as caught:
        simulate_cohort(tmp_path / "full", **TINY)
    assert caught.value.filename == str(tmp_path / "full")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "thesis.txt"]
    with pytest.raises(FileNotFoundError, match="Cannot write"):
        simulate_cohort(tmp_path / "no" / "such", **TINY)


def interrupt(*_, **__):
    raise KeyboardInterrupt


# ------------------------------------------------------------------------ command line


def test_a_cohort_is_simulated_and_checked_on_the_command_line(tmp_path, capsys):
    out = str(tmp_path / "demo")
    sizes = ["--subjects", "4", "--shape", "8,10,9", "--spacing", "20", "--seed", "3"]
    assert cli.main(["cohort", "simulate", out, *sizes, "--effect-size", "0.7"]) == 0
    assert "4 scans of 4 subjects; diagnosis: control (2), patient (2); 2 sites" in (
        capsys.readouterr().out
    )
    again = simulate_cohort(tmp_path / "again", **TINY, effect_size=0.7, random_state=3)
    assert contents(tmp_path / "demo") == contents(Path(again.X[0]).parents[2])
    assert cli.main(["cohort", "check", out, "--target", "diagnosis"]) == 0
    assert "4 scans of 4 subjects" in capsys.readouterr().out


def test_what_is_unusual_is_noted_and_stops_nothing(bids, succeed):
    values = voxels(2).astype(np.float32)
    values[0, 0, :3] = np.nan, np.inf, -np.inf
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), bids / scan(2))
    write_scan(bids / scan(4), 4, np.eye(4) + 2 * np.eye(4, k=2) @ np.diag([0, 0, 0, 1]))
    cohort = Cohort.from_bids(bids, "sex").check()
    notes = [
        ("sub-2", str(bids / scan(2)), "5.00% of its voxels are NaN or infinite"),
        ("sub-4", str(bids / scan(4)), "it covers 50% of the grid of the first scan"),
    ]
    assert list(cohort.notes.itertuples(index=False, name=None)) == notes
    assert len(cohort.X) == 5
    printed = succeed("cohort", "check", bids)
    assert all(note in printed for _, _, note in notes)


def test_all_problems_are_printed_at_once(bids, capsys):
    truncate(bids)
    (bids / scan(1)).unlink()
    assert cli.main(["cohort", "check", str(bids), "--target", "sex"]) == 1
    out, err = capsys.readouterr()
    heading, *lines = out.splitlines()
    assert heading.split() == ["SUBJECT", "PROBLEM", "FILE"]
    assert [line.split()[0] for line in lines] == ["sub-1", "sub-2"]
    assert "has 2 problems; 3 scans are without any" in err
    assert cli.main(["cohort", "check", str(bids), "--target", "sexe"]) == 1
    assert "Did you mean 'sex'?" in capsys.readouterr().err
