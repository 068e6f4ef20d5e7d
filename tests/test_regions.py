"""Numbers of regions by hand, and the support vector machine on them against scikit-learn."""

import pickle

import nibabel
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklstruct_baselines.regions import RegionSVC

from sklstruct import NiftiVolumes, RegionMeans
from sklstruct.io.nifti import Grid, write_volume
from sklstruct.plugins import lookup

SHAPE = (7, 8, 6)
AFFINE = np.array([[2.0, 0, 0, -5], [0, 3, 0, -9], [0, 0, 1.5, 4], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)
AS_IS = NiftiVolumes(scaling=None)


@pytest.fixture
def atlas(tmp_path):
    """Return an atlas of three slabs, and its labels."""
    labels = np.zeros(SHAPE, int)
    labels[1:3], labels[3:5, 2:], labels[5:, :, 1:] = 2, 5, 12
    write_volume(tmp_path / "atlas.nii.gz", labels, GRID)
    return tmp_path / "atlas.nii.gz", labels


@pytest.fixture
def scans(tmp_path):
    """Return paths of scans, their volumes and labels."""
    X = np.abs(np.random.default_rng(0).normal(size=(40, *SHAPE))).astype(np.float32)
    y = np.arange(40) % 2
    X[y == 1, 3:5] *= 1.3
    paths = [tmp_path / f"scan-{number:02}.nii" for number in range(len(X))]
    for path, volume in zip(paths, X, strict=True):
        write_volume(path, volume, GRID)
    return np.array([str(path) for path in paths], dtype=object), X, y


def test_they_are_registered():
    assert lookup("estimator", "region_means") is RegionMeans
    assert lookup("estimator", "region_svm") is RegionSVC


def test_means_and_shares_of_regions_by_hand(atlas, scans):
    paths, X, _ = scans
    path, labels = atlas
    means = RegionMeans(atlas=path, volumes=AS_IS).fit(paths)
    np.testing.assert_array_equal(means.region_labels_, [2, 5, 12])
    expected = np.column_stack([X[:, labels == label].mean(axis=1) for label in (2, 5, 12)])
    np.testing.assert_allclose(means.transform(paths), expected, rtol=1e-6)
    sums = np.column_stack([X[:, labels == label].sum(axis=1) for label in (2, 5, 12)])
    shares = RegionMeans(atlas=path, statistic="share").fit_transform(paths)
    np.testing.assert_allclose(shares, sums / X.sum(axis=(1, 2, 3))[:, None], rtol=1e-6)


def test_regions_are_brought_onto_the_common_grid(tmp_path, atlas, scans):
    paths, *_ = scans
    path, labels = atlas
    turned = AFFINE @ np.diag([-1, 1, 1, 1])  # the same places, counted from the other side
    turned[:3, 3] = AFFINE[:3, 3] + AFFINE[:3, 0] * (SHAPE[0] - 1)
    write_volume(tmp_path / "turned.nii", labels[::-1], Grid(SHAPE, turned))
    fine = Grid(SHAPE, AFFINE).with_spacing(np.array(GRID.spacing) / 3)
    tripled = labels.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    write_volume(tmp_path / "fine.nii", tripled, fine)
    expected = RegionMeans(atlas=path).fit_transform(paths)
    for name in ("turned.nii", "fine.nii"):
        found = RegionMeans(atlas=tmp_path / name).fit_transform(paths)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_labels_are_rounded_within_the_error_of_floats(tmp_path, atlas, scans):
    labels = atlas[1]
    image = nibabel.Nifti1Image((1000 * labels).astype(np.int16), AFFINE)
    image.header["scl_slope"], image.header["scl_inter"] = 0.99999994, 0
    (tmp_path / "scaled.nii").write_bytes(image.to_bytes())
    regions = RegionMeans(atlas=tmp_path / "scaled.nii").fit(scans[0]).regions_
    np.testing.assert_array_equal(regions, 1000 * labels)


def test_an_atlas_and_scans_may_be_images_in_memory(atlas, scans):
    paths, path = scans[0][:3], atlas[0]
    expected = RegionMeans(atlas=path, volumes=AS_IS).fit_transform(paths)
    means = RegionMeans(atlas=nibabel.load(path), volumes=AS_IS)
    np.testing.assert_array_equal(means.fit_transform([*map(nibabel.load, paths)]), expected)


def test_regions_end_where_the_mask_does(tmp_path, atlas, scans):
    paths, X, _ = scans
    path, labels = atlas
    mask = np.zeros(SHAPE)
    mask[:, 1:6] = 1
    write_volume(tmp_path / "mask.nii", mask, GRID)
    reader = NiftiVolumes(scaling=None, mask=tmp_path / "mask.nii", crop=True)
    model = RegionMeans(atlas=path, volumes=reader).fit(paths)
    inside = labels * (mask > 0)
    np.testing.assert_array_equal(model.regions_, inside[:, 1:6])
    expected = np.column_stack([X[:, inside == label].mean(axis=1) for label in (2, 5, 12)])
    np.testing.assert_allclose(model.transform(paths), expected, rtol=1e-6)


def test_regions_have_names(tmp_path, atlas, scans):
    paths, *_ = scans
    (tmp_path / "names.tsv").write_text("index\tname\n2\tleft\n12\tright\n99\tnowhere\n")
    for names in ({2: "left", 12: "right"}, tmp_path / "names.tsv"):
        model = RegionMeans(atlas=atlas[0], names=names).set_output(transform="pandas")
        table = model.fit_transform(paths[:3])
        assert table.columns.tolist() == ["left", "region 5", "right"]
    with pytest.raises(ValueError, match=r"several are \['left'\]"):
        RegionMeans(atlas=atlas[0], names={2: "left", 5: "left"}).fit(paths)
    (tmp_path / "names.csv").write_text('index,name\n2,"left, 1"\n5,n/a\n12.0,right\n')
    model = RegionMeans(atlas=atlas[0], names=tmp_path / "names.csv").fit(paths)
    assert model.region_names_ == ["left, 1", "region 5", "right"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("label\tname\n2\tleft\n", r"line 1: there must be a column 'index'"),
        ("index,name\n2,left\n", r"line 1: .* separated by tabs, not by ','"),
        ("index\tlabel\n2\tleft\n", r"line 1: there is no column 'name'"),
        ('index\tname\n2\t"left\n5\tb\n12\tright"\n', "line 2: .*quotation mark"),
        ("index\tname\n2\tleft\n2.5\tb\n", r"line 3: index must be an integer.* got '2\.5'"),
        ("index\tname\n2\tleft\n2\tb\n", "line 3: index must be .* another one .* got '2'"),
        ("index\tname\n2\tleft\nn/a\tb\n", "line 3: index must be an integer.* got None"),
    ],
)
def test_a_table_of_names_is_refused_by_its_line(text, message, tmp_path, atlas, scans):
    (tmp_path / "names.tsv").write_text(text)
    with pytest.raises(ValueError, match=rf"names\.tsv, {message}"):
        RegionMeans(atlas=atlas[0], names=tmp_path / "names.tsv").fit(scans[0])


FAR_AWAY = Grid(SHAPE, AFFINE + np.eye(4, k=3) * 1000)


@pytest.mark.parametrize(
    "labels, grid, message",
    [
        (np.zeros(SHAPE), GRID, "must have labels, but all voxels are 0"),
        (np.full(SHAPE, 1.5), GRID, r"integers from 0 to 16777215, got 1\.5"),
        (np.full(SHAPE, -1), GRID, "integers from 0 to 16777215, got -1"),
        (np.ones(SHAPE), FAR_AWAY, "no region has a voxel on the grid of 7x8x6"),
        (np.arange(336).reshape(SHAPE), GRID.with_spacing(0.5), r"of its regions have no voxel"),
    ],
)
def test_an_atlas_that_does_not_serve_is_named(tmp_path, scans, labels, grid, message):
    write_volume(tmp_path / "wrong.nii", labels, grid)
    with pytest.raises(ValueError, match=rf"wrong\.nii is .*{message}"):
        RegionMeans(atlas=tmp_path / "wrong.nii").fit(scans[0])


def test_what_else_is_refused(tmp_path, atlas, scans):
    paths, X, y = scans
    with pytest.raises(ValueError, match="atlas of RegionMeans must be a path or an image of nib"):
        RegionMeans().fit(paths)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.nii"):
        RegionMeans(atlas="nowhere.nii").fit(paths)
    with pytest.raises(ValueError, match="scaling=None, got 'zscore'"):
        RegionMeans(atlas=atlas[0], statistic="share", volumes=NiftiVolumes()).fit(paths)
    write_volume(tmp_path / "negative.nii", X[0] - 1, GRID)
    shares = RegionMeans(atlas=atlas[0], statistic="share").fit(paths)
    with pytest.raises(ValueError, match=r"negative\.nii is .* not negative"):
        shares.transform([tmp_path / "negative.nii"])
    with pytest.raises(ValueError, match="inconsistent"):
        RegionSVC(atlas=atlas[0]).fit(paths, y[:-1])
    with pytest.raises(ValueError, match="C of RegionSVC must be"):
        RegionSVC(atlas=atlas[0], C=-1).fit(paths, y)


def test_a_machine_on_regions_is_that_of_scikit_learn(atlas, scans):
    paths, _, y = scans
    labels = np.array(["ill", "well"])[y]
    model = RegionSVC(atlas=atlas[0], C=0.5).fit(paths[:30], labels[:30])
    table = RegionMeans(atlas=atlas[0]).fit(paths[:30]).transform(paths)
    machine = SVC(kernel="linear", C=0.5 / 3)  # three numbers of variance 1 have the norm 3
    expected = make_pipeline(StandardScaler(), machine).fit(table[:30], labels[:30])
    decision = model.decision_function(paths[30:])
    np.testing.assert_allclose(
        decision, expected.decision_function(table[30:]), atol=2e-3
    )  # tol of the solver is 1e-3
    np.testing.assert_allclose(decision, table[30:] @ model.coef_[0] + model.intercept_)
    assert model.n_parameters_ == 4


def test_a_machine_on_regions_is_an_estimator(atlas, scans):
    paths, _, y = scans
    labels = np.array(["ill", "well"])[y]
    model = clone(RegionSVC(atlas=atlas[0], names={5: "amygdala"}, random_state=0))
    scores = cross_val_score(model, paths, labels, cv=3)
    assert scores.mean() > 0.7
    model.fit(paths, labels, groups=np.arange(40) // 2)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(paths), model.predict_proba(paths))
    weights = model.region_weights()
    assert weights.columns.tolist() == ["label", "name", "well over ill"]
    assert weights.loc[weights["well over ill"].abs().idxmax(), "name"] == "amygdala"
    tags = model.__sklearn_tags__().input_tags
    assert tags.string
    assert not tags.two_d_array


def test_weights_of_scans_are_repetitions(atlas, scans):
    paths, _, y = scans
    weight = np.arange(40) % 3
    model = RegionSVC(atlas=atlas[0], random_state=0)
    weighted = clone(model).fit(paths, y, sample_weight=weight)
    copied = clone(model).fit(np.repeat(paths, weight), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.coef_, copied.coef_)
