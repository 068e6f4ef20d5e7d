"""NIfTI volumes: geometry as theorems, and every damaged file names itself."""

import gzip
import os
import pickle
import struct
import tracemalloc
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import Parallel, delayed
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from sklstruct import NiftiVolumes
from sklstruct.io import nifti
from sklstruct.io.nifti import Grid, check_volume, find_volumes, read_grid, read_volume
from sklstruct.io.nifti.grid import coverage, resample, voxel_map
from sklstruct.io.nifti.intensity import scale, smooth
from sklstruct.io.nifti.mask import bounding_box, foreground, otsu_threshold

SHAPE = (6, 7, 5)
AFFINE = np.array([[2.0, 0, 0, -5], [0, 3, 0, -9], [0, 0, 1.5, 4], [0, 0, 0, 1]])


def noise(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def save(path, values, affine=AFFINE, kind=nibabel.Nifti1Image, **header):
    image = kind(values, affine, dtype=values.dtype)
    for key, value in header.items():
        image.header[key] = value
    path.write_bytes(gzip.compress(image.to_bytes()) if path.suffix == ".gz" else image.to_bytes())
    return path


@pytest.fixture
def cohort(tmp_path):
    """Eight heads on one grid."""
    paths = []
    for number in range(8):
        values = noise(seed=number)
        values[1:-1, 1:-1, 1:-1] += 10
        folder = tmp_path / f"sub-{number:02}" / "anat"
        folder.mkdir(parents=True)
        paths.append(save(folder / f"sub-{number:02}_T1w.nii.gz", values))
    return paths


def in_mm(grid, indices):
    return grid.affine[:3, :3] @ indices + grid.affine[:3, 3:]


def all_indices(grid):
    return np.indices(grid.shape).reshape(3, -1)


# where voxels are --------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
def test_canonical_orientation_undoes_flips_and_permutations(tmp_path, axes, flips):
    values = noise()
    steps = tuple(slice(None, None, flip) for flip in flips)
    stored = values.transpose(axes)[steps]
    to_original = np.zeros((4, 4))  # from indices of the stored array
    to_original[3, 3] = 1
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        to_original[old, new] = flip
        to_original[old, 3] = 0 if flip == 1 else SHAPE[old] - 1
    path = save(tmp_path / "a.nii", stored, AFFINE @ to_original)
    back, grid = read_volume(path)
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(grid.affine, AFFINE)
    assert read_grid(path).agrees(grid)
    assert read_grid(path, canonical=False).shape == stored.shape


@st.composite
def grids(draw):
    """Grids near the origin, rotated and sheared, of any orientation."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    affine = np.eye(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    affine[:3, :3] = rotation @ np.diag(rng.uniform(0.5, 3, 3)) + rng.uniform(-0.1, 0.1, (3, 3))
    shape = tuple(rng.integers(2, 9, 3).tolist())
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2 + rng.uniform(-1, 1, 3)
    return Grid(shape, affine)


@given(grids(), grids(), st.tuples(*[st.floats(-5, 5)] * 4))
def test_resampling_a_ramp_is_exact_inside(source, target, ramp):
    *slopes, height = ramp
    values = (slopes @ in_mm(source, all_indices(source)) + height).reshape(source.shape)
    resampled = resample(values.astype(np.float32), source, target).ravel()
    matrix, offset = voxel_map(source, target)
    places = matrix @ all_indices(target) + offset[:, None]
    inside = ((places >= 0) & (places <= np.array(source.shape)[:, None] - 1)).all(axis=0)
    expected = slopes @ in_mm(target, all_indices(target)) + height
    np.testing.assert_allclose(resampled[inside], expected[inside], rtol=0, atol=1e-4)
    far = ((places < -1) | (places > np.array(source.shape)[:, None])).any(axis=0)
    assert not resampled[far].any()


def test_nothing_is_interpolated_where_grids_agree():
    source = Grid(SHAPE, AFFINE)
    nearly, moved = (Grid(SHAPE, AFFINE + np.eye(4, k=3) * mm) for mm in (1e-5, 0.01))
    values = noise()
    assert resample(values, source, nearly) is values
    out = np.empty_like(values)
    np.testing.assert_array_equal(resample(values, source, nearly, out=out), values)
    assert not source.agrees(moved)
    assert not source.agrees(Grid((6, 7, 4), AFFINE))


@given(grids(), st.floats(0.4, 4))
def test_a_new_spacing_keeps_centre_and_field_of_view(grid, spacing):
    new = grid.with_spacing(spacing)
    np.testing.assert_allclose(new.spacing, (spacing,) * 3)
    for one in (new, grid.with_shape((4, 4, 4)), grid.with_spacing(grid.spacing)):
        centres = [in_mm(g, (np.array(g.shape)[:, None] - 1) / 2) for g in (one, grid)]
        np.testing.assert_allclose(*centres, atol=1e-9)
    missing = np.array(grid.shape) * grid.spacing - np.array(new.shape) * spacing
    assert (missing < 0.01 * np.array(new.spacing)).all()
    assert (missing > -spacing).all()
    assert grid.with_spacing(grid.spacing).agrees(grid)


def test_a_spacing_that_divides_adds_no_voxel():
    stored = np.diag(np.array([1.2, 1.2, 1.2, 1], np.float32)).astype(float)  # a little above 1.2
    assert Grid((10, 11, 12), stored).with_spacing(0.4).shape == (30, 33, 36)


def test_a_crop_keeps_places():
    grid = Grid(SHAPE, AFFINE)
    box = (slice(1, 4), slice(0, 7), slice(2, 5))
    part = grid.cropped(box)
    assert part.shape == (3, 7, 3)
    np.testing.assert_array_equal(in_mm(part, np.zeros((3, 1))), in_mm(grid, [[1], [0], [2]]))


# values of voxels --------------------------------------------------------------------------------

KINDS = (nibabel.Nifti1Image, nibabel.Nifti2Image)
DTYPES = ["u1", "i1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u8", "<f4", ">f4", "<f8", ">f8"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_are_those_that_nibabel_reads(tmp_path, dtype, kind, name):
    stored = np.random.default_rng(0).integers(0, 100, (*SHAPE, 1)).astype(dtype)
    header = kind.header_class(endianness=dtype[0] if dtype[0] in "<>" else "<")
    header.set_data_shape(stored.shape)
    header.set_data_dtype(stored.dtype)
    header.set_sform(AFFINE, 1)
    header["scl_slope"], header["scl_inter"] = 0.3, -7.5
    header["vox_offset"] = 560
    content = header.binaryblock.ljust(560, b"\0") + stored.tobytes(order="F")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    values, grid = read_volume(tmp_path / name)
    expected = nibabel.load(tmp_path / name).get_fdata()[..., 0]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected.astype(np.float32))
    np.testing.assert_array_equal(grid.affine, AFFINE)


def test_content_tells_what_is_compressed(tmp_path):
    good = save(tmp_path / "a.nii", noise())
    misnamed = tmp_path / "b.nii"
    misnamed.write_bytes(gzip.compress(good.read_bytes()))
    np.testing.assert_array_equal(read_volume(misnamed)[0], noise())


@given(st.integers(0, 10**6), st.floats(0.1, 100), st.floats(-100, 100))
def test_zscore_has_mean_0_and_deviation_1_in_the_mask(seed, factor, shift):
    original = noise(seed=seed)
    mask = noise(seed=seed + 1) > 0
    scaled = {}
    for name, values in {"as it is": original, "other unit": factor * original + shift}.items():
        scaled[name] = values.astype(np.float32)
        scale(scaled[name], "zscore", mask)
        assert scaled[name][mask].mean(dtype=float) == pytest.approx(0, abs=1e-5)
        assert scaled[name][mask].std(dtype=float) == pytest.approx(1, abs=1e-5)
        assert not scaled[name][~mask].any()
    np.testing.assert_allclose(*scaled.values(), atol=1e-3)


@pytest.mark.parametrize("scaling", ["zscore", "percentile"])
def test_values_that_differ_by_rounding_have_no_scale(scaling):
    volume = np.full((6, 6, 6), 1000.3, np.float32)
    volume[::2] = np.nextafter(volume[::2], np.float32(np.inf))
    with pytest.raises(ValueError, match=r"must be positive and finite, got .* about 1000\.3"):
        scale(volume, scaling)


def test_percentiles_become_0_and_1():
    mask = noise(seed=1) > -1
    volume, original = noise(), noise()
    scale(volume, "percentile", mask, (10, 80))
    low, high = np.percentile(original[mask], (10, 80))
    expected = np.where(mask, ((original - low) / (high - low)).clip(0, 1), 0)
    np.testing.assert_allclose(volume, expected, atol=1e-6)
    whole = noise()
    scale(whole, "percentile", None, (0, 100))
    np.testing.assert_allclose(whole, (original - original.min()) / np.ptp(original), atol=1e-6)


def test_smoothing_is_in_millimetres():
    spacing, fwhm = (1.0, 2.0, 0.5), 5.0
    volume = np.zeros((41, 21, 81), np.float32)
    volume[20, 10, 40] = 1
    smooth(volume, spacing, fwhm)
    assert volume.sum() == pytest.approx(1, abs=1e-5)
    for axis, step in enumerate(spacing):
        profile = volume.sum(axis=tuple({0, 1, 2} - {axis}), dtype=float)
        places = step * (np.arange(len(profile)) - len(profile) // 2)
        assert np.sqrt(profile @ places**2) == pytest.approx(fwhm / 2.3548, rel=0.01)


def test_the_foreground_is_the_head_without_holes_and_specks():
    places = np.indices((16, 16, 16)) - 7.5
    head = (places**2).sum(axis=0) < 36
    values = np.where(head, 5, 0) + 0.3 * noise((16, 16, 16))
    values[8, 8, 8] = 0  # a ventricle
    values[0, 0, 0] = 9  # a speck
    np.testing.assert_array_equal(foreground(values), head)
    box = bounding_box(head)
    assert head[box].sum() == head.sum()
    assert all(head[box].any(axis=tuple({0, 1, 2} - {a}))[[0, -1]].all() for a in range(3))


def test_otsus_threshold_leaves_the_least_variance_within_classes():
    values = np.concatenate([noise(300), 6 + 2 * noise(500, seed=1)])
    candidates = np.histogram_bin_edges(values, 256)[1:-1]
    within = [
        sum(part.size * part.var() for part in (values[values < t], values[values >= t]))
        for t in candidates
    ]
    chosen = otsu_threshold(values)
    above = values >= chosen
    reached = above.sum() * values[above].var() + (~above).sum() * values[~above].var()
    assert reached <= 1.01 * min(within)


# the transformer ---------------------------------------------------------------------------------


def test_volumes_come_from_whatever_names_them(cohort, tmp_path, monkeypatch):
    expected = NiftiVolumes(scaling=None).fit_transform(cohort)
    assert (expected.shape, expected.dtype) == ((8, *SHAPE), np.float32)
    for number, values in enumerate(expected):
        np.testing.assert_array_equal(values, read_volume(cohort[number])[0])
    texts = [str(path) for path in cohort]
    (tmp_path / "sub-00" / "anat" / "._sub-00_T1w.nii.gz").write_bytes(b"left by a Mac")
    (tmp_path / "derivatives" / "sub-00").mkdir(parents=True)
    save(tmp_path / "derivatives" / "sub-00" / "sub-00_T1w.nii", noise())
    monkeypatch.chdir(tmp_path)
    forms = [
        texts,
        tuple(cohort),
        np.array(texts),
        np.array(cohort, dtype=object)[:, None],
        pd.Series(texts, index=range(8, 0, -1)),
        pd.DataFrame({"path": texts}),
        tmp_path,
        ".",
        f"{tmp_path}/sub-*/*/*.nii.gz",
        [path.relative_to(tmp_path) for path in cohort],
    ]
    for form in forms:
        found = NiftiVolumes(scaling=None).fit(form).transform(form)
        np.testing.assert_array_equal(found, expected)
    assert find_volumes(tmp_path, "sub-0[01]/anat/*.nii.gz") == cohort[:2]
    assert find_volumes(texts[3]) == cohort[3:4]


def test_images_of_nibabel_are_read_like_their_files(cohort, tmp_path):
    flipped = AFFINE @ [[-1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    path = save(tmp_path / "flipped.nii.gz", noise(seed=9)[::-1, ..., None], flipped)
    images = [nibabel.load(path) for path in cohort[:3]]
    images.append(nibabel.Nifti1Image(nibabel.load(path).get_fdata(), nibabel.load(path).affine))
    params = {"spacing": 2.0, "mask": "brain", "smoothing_fwhm": 3.0}
    expected = NiftiVolumes(**params).fit_transform([*cohort[:3], path])
    for form in (images, pd.Series(images), np.array(images, dtype=object)[:, None]):
        volumes = NiftiVolumes(**params, cache_dir=tmp_path / "cache").fit(form)
        np.testing.assert_array_equal(volumes.transform(form), expected)
    assert not entries(tmp_path / "cache")  # nobody would see a change of an image in memory
    np.testing.assert_array_equal(volumes.transform(images[1])[0], expected[1])
    grid, mask = nibabel.load(cohort[0]), nibabel.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE)
    given = clone(NiftiVolumes(grid=grid, mask=mask)).fit(cohort)
    np.testing.assert_array_equal(given.transform(images[:3]), given.transform(cohort[:3]))
    for values, message in [
        (np.zeros(SHAPE), "an image in memory is .* all are 0"),
        (np.full(SHAPE, np.nan), r"an image in memory is .* \(0, 0, 0\) is nan"),
        (noise((*SHAPE, 2)), "three axes"),
        (noise().astype(complex), "real numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            NiftiVolumes().fit_transform([nibabel.Nifti1Image(values, AFFINE)])


def test_the_common_grid(cohort, tmp_path):
    fine = np.diag([0.5, 0.5, 0.5, 1])
    other = save(tmp_path / "other.nii", noise((9, 9, 9)), fine)
    first = NiftiVolumes().fit([*cohort, other])
    assert first.shape_ == SHAPE
    np.testing.assert_array_equal(first.affine_, AFFINE)
    assert first.spacing_ == (2.0, 3.0, 1.5)
    assert NiftiVolumes(grid=other).fit(cohort).shape_ == (9, 9, 9)
    coarse = NiftiVolumes(grid="same", spacing=3, shape=(5, 5, 5)).fit(cohort)
    assert (coarse.shape_, coarse.spacing_) == ((5, 5, 5), (3, 3, 3))
    assert coarse.transform(cohort).shape == (8, 5, 5, 5)
    exact = NiftiVolumes(shape=(9, 9, 9), affine=fine.tolist()).fit(cohort)
    np.testing.assert_array_equal(exact.affine_, fine)
    with pytest.raises(ValueError, match=r"other\.nii.*must have the grid.*6x7x5.*9x9x9"):
        NiftiVolumes(grid="same").fit([*cohort, other])
    with pytest.raises(ValueError, match=r"other\.nii.*must have the grid"):
        NiftiVolumes(grid="same").fit(cohort).transform([other])


def test_a_scan_in_another_orientation_is_the_same_scan(cohort, tmp_path):
    values, grid = read_volume(cohort[0])
    turned = grid.affine @ [[0, 0, -1, 5], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    path = save(tmp_path / "turned.nii", values.transpose(1, 2, 0)[:, :, ::-1], turned)
    smooth(values, (2.0, 3.0, 1.5), 4.0)
    scale(values, "zscore")
    volumes = NiftiVolumes(smoothing_fwhm=4.0).fit(cohort)
    for found in volumes.transform([cohort[0], path]):
        np.testing.assert_array_equal(found, values)


def test_the_mask_is_of_the_training_volumes(tmp_path):
    head = np.zeros((16, 9, 8), bool)
    head[2:8, 3:7, 1:6] = True
    paths = []
    for number in range(4):
        values = (head * 9 + noise(head.shape, number)) * 10.0**number
        paths.append(save(tmp_path / f"{number}.nii", values.astype(np.float32)))
    apart = 1e5 * np.roll(head, 7, axis=0).astype(np.float32)  # its unit must not give it weight
    volumes = NiftiVolumes(mask="brain", crop=True)
    volumes.fit([*paths, save(tmp_path / "apart.nii", apart)])
    assert volumes.shape_ == volumes.mask_.shape == (6, 4, 5)
    assert volumes.mask_.all()
    np.testing.assert_array_equal(volumes.affine_[:, 3], AFFINE @ [2, 3, 1, 1])
    found = volumes.transform(paths)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), 1, atol=1e-5)
    image = save(tmp_path / "mask.nii.gz", (200 * head).astype(np.uint8))
    given = NiftiVolumes(mask=image).fit(paths)
    np.testing.assert_array_equal(given.mask_, head)
    np.testing.assert_array_equal(given.transform(paths)[:, 2:8, 3:7, 1:6], found)
    assert not given.transform(paths)[:, ~head].any()


def test_neither_hot_voxels_nor_a_negative_image_give_a_mask_that_is_no_head(tmp_path):
    head = np.zeros((12, 11, 10), bool)
    head[2:9, 3:8, 2:8] = True
    values = 9 * head + noise(head.shape)
    values[0, 0, 0], values[5, 5, 5], values[0, 1, 0] = 1e6, 3e5, -1e6
    hot = save(tmp_path / "hot.nii", values)
    np.testing.assert_array_equal(NiftiVolumes(mask="brain").fit([hot]).mask_, head)
    cut = head.copy()
    cut[:9, 4:7, 3:7] = True  # reaches the border, as a neck does
    damaged = 9 * head + noise(head.shape)
    damaged[0] = 1e5
    for name, values, share in [
        ("ground", -9 * cut + noise(head.shape), "a region .* and 98.0% of the border"),
        ("slice", damaged, r"a region that fills 0\.0% of the inside"),
        ("negative", -9 * head + noise(head.shape), "100.0%"),
        ("dots", np.where(np.arange(head.size) % 99, 0, 9).reshape(head.shape), "0.0%"),
    ]:
        path = save(tmp_path / f"{name}.nii", values.astype(np.float32))
        with pytest.raises(ValueError, match=rf"mask='brain' must find a head .* got {share}"):
            NiftiVolumes(mask="brain").fit([path])


def test_maps_go_back_to_where_they_came_from(cohort, tmp_path):
    volumes = NiftiVolumes(spacing=2.0).fit(cohort)
    grid = Grid(volumes.shape_, volumes.affine_)
    ramp = ([1.0, -2.0, 0.5] @ in_mm(grid, all_indices(grid))).reshape(grid.shape)
    volumes.to_nifti(ramp, tmp_path / "map.nii.gz")
    image = nibabel.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(image.get_fdata(), ramp, rtol=1e-6)
    np.testing.assert_allclose(image.affine, volumes.affine_)
    turned = AFFINE @ [[0, 0, -1, 5], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    subject = save(tmp_path / "subject.nii", noise((7, 5, 6)), turned)
    volumes.to_nifti(ramp, tmp_path / "map.nii", subject)
    image = nibabel.load(tmp_path / "map.nii")
    assert image.shape == (7, 5, 6)
    np.testing.assert_array_equal(image.affine, turned)
    own = Grid(image.shape, turned)
    expected = ([1.0, -2.0, 0.5] @ in_mm(own, all_indices(own))).reshape(own.shape)
    interior = np.s_[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(image.get_fdata()[interior], expected[interior], atol=1e-4)
    with pytest.raises(ValueError, match=r"shape \(6, 11, 4\).*\(3,\)"):
        volumes.to_nifti([1, 2, 3], tmp_path / "map.nii")
    with pytest.raises(ValueError, match=r"\.nii\.gz, got .*map\.png"):
        volumes.to_nifti(ramp, tmp_path / "map.png")
    assert not list(tmp_path.glob("*.part"))


def test_lazy_volumes_read_only_what_is_asked_for(cohort, tmp_path):
    gone = save(tmp_path / "gone.nii", noise())
    volumes = NiftiVolumes(stream=True).fit(cohort)
    lazy = volumes.transform([*cohort, gone])
    gone.unlink()
    assert lazy.shape == (9, *SHAPE) == (len(lazy), *lazy[0].shape)
    expected = clone(volumes).set_params(stream=False).fit_transform(cohort)
    np.testing.assert_array_equal(lazy[:8], expected)
    np.testing.assert_array_equal(lazy[-2], expected[7])
    np.testing.assert_array_equal(lazy[[3, 1]], expected[[3, 1]])
    np.testing.assert_array_equal(lazy[np.arange(9) == 5], expected[[5]])
    assert np.asarray(lazy[:2], np.float64).dtype == np.float64
    for read, wanted in zip(lazy[:8], expected, strict=True):
        np.testing.assert_array_equal(read, wanted)
    part, _ = train_test_split(lazy, random_state=0)
    assert part.shape == (6, *SHAPE)
    assert pickle.loads(pickle.dumps(lazy)).paths == lazy.paths
    with pytest.raises(FileNotFoundError, match="gone"):
        lazy[8]
    with pytest.raises(IndexError):
        lazy[9]


@pytest.mark.parametrize("name, dtype", [("a.nii", "f8"), ("a.nii.gz", "i2"), ("a.nii", "f4")])
def test_one_volume_is_held_beside_the_result(tmp_path, name, dtype):
    values = (100 * noise((64, 64, 64))).astype(dtype)
    fine = save(tmp_path / name, values, np.eye(4))
    size = 4 * values.size
    for params in ({}, {"scaling": "percentile"}, {"spacing": 1.01, "smoothing_fwhm": 2.0}):
        volumes = NiftiVolumes(mask=fine, **params).fit([fine])
        volumes.transform([fine])
        tracemalloc.start()
        found = volumes.transform([fine] * 4)
        beside = tracemalloc.get_traced_memory()[1] - found.nbytes
        for _ in volumes.lazy([fine] * 4):
            pass
        tracemalloc.stop()
        assert size <= beside < 1.9 * size


# scikit-learn ------------------------------------------------------------------------------------


def flatten(volumes):
    return np.asarray(volumes).reshape(len(volumes), -1)


@pytest.mark.parametrize("form", [list, np.array, pd.Series, lambda paths: list(map(str, paths))])
def test_paths_are_cross_validated(cohort, form):
    X, y = form(cohort), np.arange(8) % 2
    train, test = np.array_split(range(8), 2)
    volumes = NiftiVolumes(mask="brain", crop=True)
    linear = LogisticRegression().fit(flatten(volumes.fit_transform(cohort[:4])), y[train])
    by_hand = linear.predict_proba(flatten(volumes.transform(cohort[4:])))
    for stream in (False, True):
        volumes = NiftiVolumes(mask="brain", crop=True, stream=stream)
        model = make_pipeline(volumes, FunctionTransformer(flatten), LogisticRegression())
        params = {"cv": [(train, test)], "scoring": "neg_log_loss", "return_estimator": True}
        result = cross_validate(model, X, y, error_score="raise", **params)
        (fitted,) = result["estimator"]
        np.testing.assert_array_equal(fitted.predict_proba(cohort[4:]), by_hand)
        assert result["test_score"] == pytest.approx([-log_loss(y[test], by_hand)])


def test_it_is_an_estimator(cohort):
    volumes = NiftiVolumes(spacing=2.0, mask="brain")
    with pytest.raises(NotFittedError):
        volumes.transform(cohort)
    with pytest.raises(NotFittedError):
        volumes.to_nifti(noise(), "never.nii")
    params = volumes.get_params()
    assert volumes.fit(cohort) is volumes
    assert volumes.get_params() == params == clone(volumes).get_params()
    copy = pickle.loads(pickle.dumps(volumes))
    np.testing.assert_array_equal(copy.transform(cohort), volumes.transform(cohort))
    assert volumes.set_params(scaling=None).scaling is None
    with pytest.raises(ValueError, match="scalling"):
        volumes.set_params(scalling=None)
    model = make_pipeline(NiftiVolumes()).set_output(transform="pandas")
    assert model.fit_transform(cohort).shape == (8, *SHAPE)
    with config_context(transform_output="pandas"):
        assert NiftiVolumes().fit_transform(cohort).shape == (8, *SHAPE)
    tags = get_tags(volumes).input_tags
    assert (tags.string, tags.one_d_array, tags.two_d_array) == (True, True, False)
    assert "mask='brain'" in repr(volumes)


# the cache ---------------------------------------------------------------------------------------


def entries(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def test_what_is_cached_is_what_is_computed(cohort, tmp_path, monkeypatch):
    params = {"spacing": 2.0, "mask": "brain", "crop": True, "smoothing_fwhm": 3.0}
    cached = NiftiVolumes(**params, cache_dir=tmp_path / "cache")
    expected = NiftiVolumes(**params).fit_transform(cohort)
    np.testing.assert_array_equal(cached.fit_transform(cohort), expected)
    assert len(entries(tmp_path / "cache")) == 8
    monkeypatch.setattr(nifti.lazy, "read_volume", None)  # which would raise
    np.testing.assert_array_equal(cached.transform(cohort), expected)
    other_scaling = clone(cached).set_params(scaling="percentile").fit_transform(cohort)
    assert other_scaling.max() == 1
    moved = save(tmp_path / "moved.nii", noise(), AFFINE + np.eye(4, k=3))
    for changed in ({"spacing": 3.0}, {"smoothing_fwhm": None}, {"grid": moved}):
        with pytest.raises(TypeError):
            clone(cached).set_params(**changed).fit_transform(cohort)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
    ],
)
def test_a_damaged_entry_is_never_trusted(cohort, tmp_path, damage):
    volumes = NiftiVolumes(cache_dir=tmp_path / "cache").fit(cohort)
    expected = volumes.transform(cohort)
    first, second, *_ = entries(tmp_path / "cache")
    sound = first.read_bytes()
    first.write_bytes(damage(sound))
    second.write_bytes(sound)  # whole, but of another volume
    np.testing.assert_array_equal(volumes.transform(cohort), expected)
    assert first.read_bytes() == sound != second.read_bytes()


def test_what_is_interrupted_leaves_nothing(cohort, tmp_path, monkeypatch):
    def interrupt(key, values):
        raise KeyboardInterrupt

    volumes = NiftiVolumes(cache_dir=tmp_path / "cache").fit(cohort)
    monkeypatch.setattr(nifti.cache, "digest_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        volumes.transform(cohort)
    assert not entries(tmp_path / "cache")


def test_a_file_that_changes_is_read_again(cohort, tmp_path):
    volumes = NiftiVolumes(cache_dir=tmp_path / "cache", scaling=None).fit(cohort)
    path = save(tmp_path / "a.nii", noise(seed=20))
    times = os.stat(path)
    np.testing.assert_array_equal(volumes.transform([path])[0], noise(seed=20))
    save(path, noise(seed=21))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as unpacking an archive does
    np.testing.assert_array_equal(volumes.transform([path])[0], noise(seed=21))


def transform(volumes, paths):
    return volumes.transform(paths)


def test_workers_share_a_cache(cohort, tmp_path):
    volumes = NiftiVolumes(cache_dir=tmp_path / "cache", spacing=1.5).fit(cohort)
    expected = clone(volumes).set_params(cache_dir=None).fit_transform(cohort)
    tasks = [delayed(transform)(volumes, cohort[::step] * 3) for step in (1, -1, 1, -1)]
    for found, step in zip(Parallel(n_jobs=2)(tasks), (1, -1, 1, -1), strict=True):
        np.testing.assert_array_equal(found, np.concatenate([expected[::step]] * 3))
    files = entries(tmp_path / "cache")
    assert len(files) == 8
    assert {path.suffix for path in files} == {".volume"}


# damage ------------------------------------------------------------------------------------------


def patched(offset, form, *values):
    """Return a change of bytes of the header."""

    def change(content):
        part = struct.pack(form, *values)
        return content[:offset] + part + content[offset + len(part) :]

    return change


def flawed(position, value):
    values = noise()
    values[position] = value
    return values


SFORM = 280
FLAWS = {
    "truncated": (lambda c: c[:-1], "truncated"),
    "no voxels": (lambda c: c[:352], "truncated"),
    "half a header": (lambda c: c[:100], "first 100 bytes"),
    "empty": (lambda c: b"", "first 0 bytes"),
    "text": (lambda c: b"participant_id\tsex\n" * 99, "magic is missing"),
    "wrong magic": (patched(344, "<4s", b"n+9\0"), "magic is missing"),
    "pair": (patched(344, "<4s", b"ni1\0"), "another file"),
    "absurd size": (patched(40, "<4h", 3, 32767, 32767, 32767), "32767x32767x32767"),
    "negative size": (patched(40, "<4h", 3, 6, -7, 5), "-7"),
    "no size": (patched(40, "<4h", 3, 6, 0, 5), "three axes"),
    "2D": (patched(40, "<4h", 2, 6, 7, 5), r"three axes.*\(6, 7\)"),
    "4D": (patched(40, "<5h", 4, 6, 7, 1, 5), r"three axes.*\(6, 7, 1, 5\)"),
    "far offset": (patched(108, "<f", 1e30), "truncated"),
    "voxels from byte 0": (patched(108, "<f", 0), "behind the header, from byte 352 on"),
    "voxels in the header": (patched(108, "<f", 351), "offset 351 too low"),
    "negative offset": (patched(108, "<f", -16), "offset -16 too low"),
    "no offset": (patched(108, "<f", np.nan), "NaN"),
    "colours": (patched(70, "<2h", 128, 24), "real numbers"),
    "complex": (patched(70, "<2h", 32, 64), "real numbers"),
    "unknown dtype": (patched(70, "<2h", 77, 32), "77"),
    "bad slope": (patched(112, "<2f", 1, np.inf), "inf"),
    "zero determinant": (patched(SFORM + 32, "<4f", 0, 3, 0, -9), "determinant"),
    "zero column": (patched(SFORM, "<4f", 0, 0, 0, -5), "determinant"),
    "no affine": (patched(SFORM, "<4f", 2, np.nan, 0, -5), "finite"),
}
VOXELS = {
    "NaN": (flawed((1, 2, 3), np.nan), r"\(1, 2, 3\) is nan"),
    "infinite": (flawed((5, 6, 4), -np.inf), r"\(5, 6, 4\) is -inf"),
    "too large": (flawed((0, 0, 0), 1).astype(float) * 1e300, r"is -?inf"),
    "zero": (0 * noise(), "all are 0"),
    "constant": (0 * noise() + 7, "all are 7"),
}
GZIPS = {
    "no end": (lambda c: c[:-9], "end-of-stream"),
    "no checksum": (lambda c: c[:-4], "end-of-stream"),
    "wrong checksum": (lambda c: c[:-8] + bytes(4) + c[-4:], "CRC"),
    "garbled": (lambda c: c[:200] + bytes(50) + c[250:], "flawed.nii.gz"),
    "only a start": (lambda c: c[:2], "end-of-stream"),
    "garbage behind": (lambda c: c + b"garbage", "gzip"),
}


def expect_flaw(path, message):
    problem = check_volume(path)
    assert problem is not None
    assert str(path) in problem
    with pytest.raises(ValueError, match=message) as caught:
        NiftiVolumes().fit_transform([path])
    assert str(caught.value) == problem


@pytest.mark.parametrize("flaw", FLAWS)
@pytest.mark.parametrize("name", ["flawed.nii", "flawed.nii.gz"])
def test_a_damaged_file_names_itself(tmp_path, flaw, name):
    path = tmp_path / name
    change, message = FLAWS[flaw]
    content = change(save(tmp_path / "sound.nii", noise()).read_bytes())
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    expect_flaw(path, message)


@pytest.mark.parametrize("flaw", VOXELS)
def test_voxels_that_are_no_image_name_their_file(tmp_path, flaw):
    values, message = VOXELS[flaw]
    expect_flaw(save(tmp_path / "flawed.nii.gz", values), message)


@pytest.mark.parametrize("flaw", GZIPS)
def test_damaged_gzip_names_itself(tmp_path, flaw):
    change, message = GZIPS[flaw]
    path = save(tmp_path / "flawed.nii.gz", noise())
    path.write_bytes(change(path.read_bytes()))
    expect_flaw(path, message)


@pytest.mark.parametrize("cached", [False, True])
def test_voxels_that_are_not_finite_count_in_the_mask_only(tmp_path, cached):
    head = np.zeros(SHAPE, bool)
    head[1:4, 1:5, 1:4] = True
    values = noise() + 5
    spm = save(tmp_path / "spm.nii", np.where(head, values, np.nan))
    zeros = save(tmp_path / "zeros.nii", np.where(head, values, 0))
    mask = save(tmp_path / "mask.nii", head.astype(np.uint8))
    hole = values.copy()
    hole[2, 2, 2] = np.inf
    hole = save(tmp_path / "hole.nii", hole)
    cache_dir = tmp_path / "cache" if cached else None
    volumes = NiftiVolumes(grid=zeros, cache_dir=cache_dir, smoothing_fwhm=3.0)
    masked = clone(volumes).set_params(mask=mask).fit([zeros])
    np.testing.assert_array_equal(*masked.transform([zeros, spm]))
    with pytest.raises(ValueError, match=r"hole\.nii.*in the mask must be finite, but 2.78% are"):
        masked.transform([hole])  # one of 36
    without = volumes.fit([zeros])
    with pytest.raises(ValueError, match=r"spm\.nii.*must be finite"):
        without.transform([spm])
    filled = values.copy()
    filled[2, 2, 2] = 0
    filled = save(tmp_path / "filled.nii", filled)
    raw = {"smoothing_fwhm": None, "scaling": None, "non_finite": "zero"}
    np.testing.assert_array_equal(*without.set_params(**raw).fit([zeros]).transform([hole, filled]))
    between = AFFINE.copy()
    between[0, 3] += 1  # half a voxel: two of them are interpolated from the one in the middle
    moved = NiftiVolumes(shape=SHAPE, affine=between, **raw).fit([zeros]).transform([hole])[0]
    assert np.argwhere(moved == 0).tolist() == [[1, 2, 2], [2, 2, 2]]
    with pytest.raises(ValueError, match=r"empty\.nii.*all are nan"):
        without.transform([save(tmp_path / "empty.nii", noise() * np.nan)])
    brain = NiftiVolumes(mask="brain").fit([spm])
    np.testing.assert_array_equal(brain.mask_, head)
    np.testing.assert_array_equal(brain.transform([spm])[0], brain.transform([zeros])[0])


def test_sound_files_have_no_problem(cohort, tmp_path):
    assert [check_volume(path) for path in cohort] == [None] * 8
    assert check_volume(save(tmp_path / "a.nii", noise()[..., None])) is None


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path, name):
    sound = save(tmp_path / "sound.nii", noise()).read_bytes()
    content = patched(40, "<4h", 3, 500, 500, 500)(sound).ljust(2**21, b"\0")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    bomb = tmp_path / "bomb.nii"  # which does have the bytes, and takes no room on the disk
    bomb.write_bytes(patched(40, "<4h", 3, 1000, 1000, 1000)(sound))
    os.truncate(bomb, 5 * 10**9)
    tracemalloc.start()
    problems = [check_volume(tmp_path / name), check_volume(bomb)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "500x500x500" in problems[0]
    assert "max_bytes=2147483648" in problems[1]
    assert peak < 2**20
    with pytest.raises(ValueError, match=r"sound.*max_bytes=100.*take 840"):
        NiftiVolumes(max_bytes=100).fit([tmp_path / "sound.nii"])


SOUND = nibabel.Nifti1Image(noise(), AFFINE).to_bytes()
GIGABYTE = gzip.compress(bytes(2**24)) * 64  # of zeros, in a megabyte
HOSTILE = {
    "more behind": (gzip.compress(SOUND) + GIGABYTE, "4194304 bytes or more behind the la"),
    "much before": (gzip.compress(patched(108, "<f", 1e9)(SOUND)) + GIGABYTE, "at byte 4194304 at"),
    "zeros": (GIGABYTE, "magic is missing"),
    "zeros as voxels": (
        gzip.compress(patched(40, "<4h", 3, 32000, 32000, 1)(SOUND)) + 4 * GIGABYTE,
        "take 4096000000",
    ),
    "more than any file": (
        gzip.compress(patched(40, "<8h", 7, *[32767] * 3, *[1] * 4)(SOUND)) + GIGABYTE,
        "can hold",
    ),
    "many axes": (gzip.compress(patched(40, "<8h", 7, *[32767] * 7)(SOUND)), "three axes"),
    "no axes": (gzip.compress(patched(40, "<8h", 0, *[1] * 7)(SOUND)), "three axes"),
    "axes without end": (gzip.compress(patched(40, "<8h", 32767, *[1] * 7)(SOUND)), "flawed"),
    "nested": (gzip.compress(gzip.compress(SOUND)), "magic is missing"),
    "a name without end": (b"\x1f\x8b\x08\x08" + b"a" * 2**18, "end-of-stream"),
    "unknown method": (b"\x1f\x8b\x09" + gzip.compress(SOUND)[3:], "method"),
    "empty members": (gzip.compress(b"") * 1000, "first 0 bytes"),
    "infinite place": (gzip.compress(patched(SFORM + 12, "<f", np.inf)(SOUND)), "finite"),
}


@pytest.mark.parametrize("flaw", HOSTILE)
def test_hostile_files_are_refused_before_they_take_memory(tmp_path, flaw):
    content, message = HOSTILE[flaw]
    path = tmp_path / "flawed.nii.gz"
    path.write_bytes(content)
    tracemalloc.start()
    expect_flaw(path, message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


@given(st.integers(0, 351), st.binary(min_size=1, max_size=12), st.booleans())
def test_no_header_does_harm(tmp_path_factory, place, noise_bytes, zipped):
    path = tmp_path_factory.getbasetemp() / "fuzzed.nii"
    content = SOUND[:place] + noise_bytes + SOUND[place + len(noise_bytes) :]
    path.write_bytes(gzip.compress(content) if zipped else content)
    problem = check_volume(path, max_bytes=10**6)
    assert problem is None or str(path) in problem


@pytest.mark.parametrize(
    "X, error, message",
    [
        (["missing.nii"], FileNotFoundError, "missing.nii"),
        ("missing.nii", FileNotFoundError, "missing.nii"),
        ("none/*.nii", FileNotFoundError, r"none/\*\.nii"),
        (".", FileNotFoundError, "matches 'sub-"),
        ([], ValueError, "0 samples"),
        ([["a.nii", "b.nii"]], ValueError, r"\(1, 2\)"),
        (5, ValueError, r"\(\)"),
        ([3.5], TypeError, "entry 0 is 3.5"),
        (pd.Series(["a.nii", None]), TypeError, "entry 1 is"),
        (np.zeros((3, 1)), TypeError, "entry 0 is 0.0"),
    ],
)
def test_paths_that_are_none(tmp_path, monkeypatch, X, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        NiftiVolumes().fit(X)


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"grid": "frist"}, FileNotFoundError, "grid must be.*'frist'"),
        ({"grid": 3}, ValueError, "grid"),
        ({"mask": "brian"}, FileNotFoundError, "mask must be.*'brian'"),
        ({"crop": True}, ValueError, "crop=True needs a mask"),
        ({"spacing": 0}, ValueError, "spacing"),
        ({"spacing": (1, 2)}, ValueError, "spacing"),
        ({"spacing": (1, 2, -1)}, ValueError, "spacing"),
        ({"spacing": 1e-4}, ValueError, "max_bytes"),
        ({"shape": (1, 2.5, 3)}, ValueError, "shape of NiftiVolumes must be three int"),
        ({"shape": (1, 2)}, ValueError, "shape"),
        ({"shape": (1, 2, 0)}, ValueError, "shape"),
        ({"affine": np.eye(4)}, ValueError, "affine needs a shape"),
        ({"affine": np.eye(3), "shape": SHAPE}, ValueError, r"affine .* must be .*\(4, 4\)"),
        ({"affine": np.diag([1, 1, 0, 1]), "shape": SHAPE}, ValueError, "determinant"),
        ({"affine": np.ones((4, 4)), "shape": SHAPE}, ValueError, "last row"),
        ({"scaling": "z"}, ValueError, "scaling"),
        ({"percentiles": (99, 1)}, ValueError, "percentiles"),
        ({"percentiles": (1, 2, 3)}, ValueError, "percentiles"),
        ({"percentiles": (1, 200)}, ValueError, "percentiles"),
        ({"smoothing_fwhm": -1}, ValueError, "smoothing_fwhm"),
        ({"max_bytes": 0}, ValueError, "max_bytes"),
    ],
)
def test_bad_parameters_are_named(cohort, params, error, message):
    with pytest.raises(error, match=message):
        NiftiVolumes(**params).fit(cohort)


def test_a_volume_that_is_elsewhere_names_itself(cohort, tmp_path):
    far = AFFINE.copy()
    far[:3, 3] += 1000
    path = save(tmp_path / "far.nii", noise(), far)
    for cache_dir in (None, tmp_path / "cache"):
        with pytest.raises(ValueError, match=r"far\.nii.*zero everywhere on the grid"):
            NiftiVolumes(cache_dir=cache_dir).fit(cohort).transform([path])
    assert not entries(tmp_path / "cache")
    flat = noise()
    flat[2:5] = 3
    inside = np.zeros(SHAPE, np.uint8)
    inside[2:5] = 1
    mask = save(tmp_path / "mask.nii", inside)
    path = save(tmp_path / "flat.nii", flat)
    for scaling in ("zscore", "percentile"):
        with pytest.raises(ValueError, match=r"flat\.nii.*must be positive"):
            NiftiVolumes(mask=mask, scaling=scaling).fit_transform([path])
    with pytest.raises(ValueError, match=r"mask\.nii.*no voxel on the grid"):
        NiftiVolumes(mask=mask, shape=(2, 2, 2), affine=far).fit(cohort)


def test_a_scan_that_misses_most_of_the_grid_is_refused_or_warned_about(cohort, tmp_path):
    def scan(name, *corner):
        affine = np.eye(4)
        affine[:3, 3] = corner
        return save(tmp_path / name, noise((8, 8, 8)), affine)

    first, corner, beside = scan("a.nii", 0, 0, 0), scan("b.nii", 4, 4, 4), scan("c.nii", 4, 0, 0)
    volumes = NiftiVolumes(scaling=None, cache_dir=tmp_path / "cache").fit([first])
    with pytest.raises(ValueError, match=r"b\.nii .*covers 12% of the grid.* min_coverage=0\.25"):
        volumes.transform([corner])
    for _ in ("computed", "from the cache"):
        with pytest.warns(UserWarning, match=r"c\.nii: .* covers 50% of the grid"):
            half = volumes.transform([beside])[0]
    np.testing.assert_array_equal(half[4:], noise((8, 8, 8))[:4])
    with pytest.raises(ValueError, match=r"c\.nii .*covers 50% .*min_coverage=0\.6"):
        volumes.set_params(min_coverage=0.6).transform([beside])
    wide = NiftiVolumes(shape=(16, 16, 16)).fit([first])  # more than any scan covers
    assert wide.covered_ == 0.125
    assert wide.transform([first]).any()


@given(grids(), grids())
def test_coverage_is_the_share_of_voxels_in_the_field_of_view(source, target):
    matrix, offset = voxel_map(source, target)
    places = matrix @ all_indices(target) + offset[:, None]
    inside = (places >= -0.5) & (places <= np.array(source.shape)[:, None] - 0.5)
    assert coverage(source, target) == pytest.approx(inside.all(axis=0).mean())


def test_a_cache_that_cannot_be_written_says_where(cohort, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="cache"):
        NiftiVolumes(cache_dir=tmp_path / "cache").fit(cohort).transform(cohort)
