"""Linear models on voxels and on components, against scikit-learn and SciPy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, cross_val_score
from sklearn.svm import SVC
from sklstruct_baselines.duals import inner_products, principal_components
from sklstruct_baselines.pca import PCASVC
from sklstruct_baselines.seen import smoothed
from sklstruct_baselines.voxels import STRENGTHS, VoxelRidge, VoxelSVC

from sklstruct.plugins import lookup

SHAPE = (7, 8, 6)
TOLERANCE = 2e-3  # of margins, where the solver stops at 1e-3


def volumes(n=60, n_classes=2, shape=SHAPE, seed=0):
    """Return noise with a blob in another place for each class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    X = rng.normal(size=(n, *shape))
    for place in range(n_classes):
        X[y == place, ..., 1 + 2 * place : 3 + 2 * place] += 0.4
    return X, y


def rows(X):
    return X.reshape(len(X), -1)


def by_hand(X, n_train, smoothing, standardize):
    """Return what the machine sees, as scikit-learn's rows."""
    Z = X if smoothing is None else np.stack([gaussian_filter(x, smoothing) for x in X])
    Z = rows(Z - Z[:n_train].mean(axis=0))
    Z = Z / Z[:n_train].std(axis=0) if standardize else Z
    return Z / np.sqrt(np.square(Z[:n_train]).sum(axis=1).mean())


@pytest.fixture(scope="module")
def two():
    return volumes(80)


# voxels ------------------------------------------------------------------------------------------


def test_they_are_registered():
    assert lookup("estimator", "voxel_svm") is VoxelSVC
    assert lookup("estimator", "voxel_ridge") is VoxelRidge
    assert lookup("estimator", "pca_svm") is PCASVC


@pytest.mark.parametrize("smoothing, standardize", [(None, False), (0.8, False), (1.5, True)])
def test_margins_are_those_of_a_linear_machine_on_flat_voxels(smoothing, standardize):
    X, y = volumes(90, n_classes=3)
    Z = by_hand(X, 60, smoothing, standardize)
    model = VoxelSVC(C=0.7, smoothing=smoothing, standardize=standardize, dtype="float64")
    reference = SVC(kernel="linear", C=0.7, decision_function_shape="ovo")
    expected = reference.fit(Z[:60], y[:60]).decision_function(Z[60:])
    model.fit(X[:60], y[:60])
    margins = rows(X[60:]) @ rows(model.coef_).T + model.intercept_
    tolerance = TOLERANCE * np.ptp(expected)
    np.testing.assert_allclose(margins, -expected, atol=tolerance)  # of the second of a pair
    first = -margins[:, [0, 1]].max(axis=1)
    np.testing.assert_allclose(model.decision_function(X[60:])[:, 0], first, rtol=1e-9)

    train = np.flatnonzero(y[:60] < 2)
    Z = by_hand(X[:60][train], len(train), smoothing, standardize)
    expected = reference.fit(Z, y[train]).decision_function(Z)
    decision = model.fit(X[train], y[train]).decision_function(X[train])
    np.testing.assert_allclose(decision, expected, atol=TOLERANCE * np.ptp(expected))


def test_smoothing_is_a_gaussian_filter_and_symmetric():
    first, second = np.random.default_rng(0).normal(size=(2, 5, 2, *SHAPE))
    expected = [[gaussian_filter(channel, 1.3) for channel in image] for image in first]
    np.testing.assert_array_equal(smoothed(first, 1.3), expected)
    forth, back = np.vdot(smoothed(first, 2.5), second), np.vdot(first, smoothed(second, 2.5))
    assert forth == pytest.approx(back, rel=1e-12)
    assert smoothed(first, None) is first


@pytest.mark.parametrize(
    "shape, flat, params",
    [
        (SHAPE, False, {}),
        ((2, *SHAPE), False, {}),
        ((*SHAPE, 2), False, {}),
        ((9, 10), False, {}),
        ((9, 10, 3), False, {}),
        (SHAPE, True, {"image_shape": SHAPE}),
        ((9, 10, 3), True, {"image_shape": (9, 10, 3)}),
        ((40,), False, {}),
    ],
)
@pytest.mark.parametrize("cls", [VoxelSVC, PCASVC, VoxelRidge])
def test_weights_have_the_shape_of_samples_and_give_the_decision(cls, shape, flat, params):
    X, y = volumes(40, shape=shape)
    X = rows(X) if flat else X
    model = cls(dtype="float64", random_state=0, **params).fit(X, y)
    assert model.coef_.shape == (1, *X.shape[1:])
    decision = np.tensordot(X, model.coef_[0], X.ndim - 1) + model.intercept_
    outputs = getattr(model, "decision_function", model.predict)(X)
    np.testing.assert_allclose(outputs, decision, rtol=1e-9)
    assert model.n_parameters_ == model.coef_.size + 1
    assert model.smoothing_ == (1.0 if len(shape) > 1 else None)


def test_the_layout_moves_nothing_but_axes():
    X, y = volumes(40, shape=(3, 9, 8))
    first = VoxelSVC(C=1.0, dtype="float64").fit(X, y)
    last = VoxelSVC(C=1.0, dtype="float64").fit(np.moveaxis(X, 1, -1), y)
    assert (first.layout_, last.layout_) == ("CHW", "HWC")
    np.testing.assert_allclose(last.coef_, np.moveaxis(first.coef_, 1, -1), rtol=1e-9)


@pytest.mark.parametrize("cls", [VoxelSVC, PCASVC])
def test_units_do_not_matter(cls, two):
    X, y = two
    offsets = np.random.default_rng(1).normal(size=SHAPE)
    for smoothing, unit in [(1.0, 250.0), (None, np.exp(offsets))]:
        model = cls(smoothing=smoothing, dtype="float64", random_state=0)
        expected = clone(model).fit(X, y).predict_proba(X)
        X_moved = unit * X + 100 * offsets
        found = clone(model).fit(X_moved, y).predict_proba(X_moved)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_voxel_that_never_varied_has_no_weight(two):
    X, y = two
    X = np.array(X)
    X[:, 0] = 0.1  # is no sum of powers of two: its mean is rounded
    model = VoxelSVC(random_state=0).fit(X, y)
    assert not model.coef_[:, 0].any()
    assert model.coef_[:, 1:].all()
    assert model.n_parameters_ == X[0, 1:].size + 1
    expected = model.decision_function(X)
    X[:, 0] = 1
    np.testing.assert_array_equal(model.decision_function(X), expected)


def test_smoothing_is_chosen_by_what_it_does():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    noise = rng.normal(size=(60, 10, 10, 10))
    coarse = noise + 0.08 * y[:, None, None, None] * (np.indices((10, 10, 10))[0] < 5)
    fine = noise + 0.08 * y[:, None, None, None] * (-1) ** np.indices((10, 10, 10)).sum(axis=0)
    assert VoxelSVC(smoothing="cv", random_state=0).fit(coarse, y).smoothing_ is not None
    assert VoxelSVC(smoothing="cv", random_state=0).fit(fine, y).smoothing_ is None


def test_single_precision_is_enough(two):
    X, y = two
    half = VoxelSVC(random_state=0).fit(X.astype(np.float32), y)
    full = VoxelSVC(random_state=0, dtype="float64").fit(X, y)
    np.testing.assert_allclose(half.predict_proba(X), full.predict_proba(X), atol=1e-3)
    Z = np.random.default_rng(0).normal(size=(3, 10**5)).astype(np.float32) + 100
    exact = Z.astype(np.longdouble) @ Z.astype(np.longdouble).T
    np.testing.assert_allclose(inner_products(Z, np.ones(10**5)), exact.astype(float), rtol=1e-13)


def test_weights_are_repetitions_and_the_order_does_not_matter(two):
    X, y = two
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, size=len(y))
    repeated = rng.permutation(np.repeat(np.arange(len(y)), weight))
    for model in (VoxelSVC(random_state=0), PCASVC(random_state=0), VoxelRidge(random_state=0)):
        weighted = clone(model).fit(X, y, sample_weight=weight)
        copied = clone(model).fit(X[repeated], y[repeated])
        np.testing.assert_array_equal(weighted.coef_, copied.coef_)
        for name in ("temperature_", "C_"):
            assert getattr(weighted, name, 0) == getattr(copied, name, 0)


def test_random_labels_give_chance():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6, 6, 6)).repeat(2, axis=0)  # two scans of each subject
    X += 0.1 * rng.normal(size=X.shape)
    subjects = np.repeat(np.arange(90), 2)
    y = rng.integers(0, 2, size=90)[subjects]
    model = VoxelSVC(random_state=0)
    folds = StratifiedGroupKFold(5)
    scores = cross_val_score(model, X, y, groups=subjects, cv=folds, scoring="balanced_accuracy")
    assert abs(scores.mean() - 0.5) < 0.1
    alone, together = clone(model).fit(X, y), clone(model).fit(X, y, groups=subjects)
    sure, unsure = (m.predict_proba(X).max(axis=1).mean() for m in (alone, together))
    assert unsure < 0.7 < sure  # the other scan of a subject gives its label away


@pytest.mark.parametrize(
    "params, message",
    [
        ({"C": 0}, "C of PCASVC must be"),
        ({"smoothing": 0.0}, "smoothing of PCASVC must be"),
        ({"smoothing": "much"}, "smoothing of PCASVC must be"),
        ({"standardize": 2}, "standardize of PCASVC must be"),
        ({"n_components": 0}, "n_components of PCASVC must be"),
        ({"n_components": 1.5}, "n_components of PCASVC must be"),
        ({"layout": "DH"}, "layout"),
    ],
)
def test_bad_parameters_are_named(two, params, message):
    with pytest.raises(ValueError, match=message):
        PCASVC(**params).fit(*two)


def test_other_samples_and_subjects_without_a_name_are_refused(two):
    X, y = two
    model = VoxelSVC(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=r"samples of shape \(7, 8, 5\)"):
        model.predict(X[..., :5])
    groups = np.array(["a", None] * 40, dtype=object)
    with pytest.raises(ValueError, match="groups must have no missing values, got 40"):
        model.fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="inconsistent"):
        model.fit(X, y, groups=np.arange(79))


class Unread:
    """Samples that are there one at a time only."""

    def __init__(self, X, numbers=None):
        self.X, self.numbers = X, np.arange(len(X)) if numbers is None else numbers
        self.shape, self.ndim, self.dtype = (len(self.numbers), *X.shape[1:]), X.ndim, X.dtype
        self.read = []

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        chosen = self.numbers[index]
        if chosen.ndim:
            return Unread(self.X, chosen)
        self.read.append(index)
        return self.X[chosen].tolist()


@pytest.mark.parametrize("cls", [VoxelSVC, PCASVC, VoxelRidge])
def test_lazy_samples_are_read_one_by_one(cls, two):
    X, y = two
    model, lazy = cls(random_state=0), Unread(X)
    expected = clone(model).fit(X, y).predict(X)
    model.fit(lazy, y)
    assert lazy.read == list(range(len(X)))
    np.testing.assert_array_equal(model.predict(lazy), expected)
    scores = cross_val_score(clone(model), lazy, y, cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(clone(model), X, y, cv=2))


# values ------------------------------------------------------------------------------------------


def ages(n=70, seed=0):
    """Return volumes and numbers that show in a few of their voxels."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, *SHAPE)), rng.normal(50, 10, size=n)
    X[:, :3] += 0.04 * (y - 50).reshape(-1, 1, 1, 1)
    return X, y, rng.uniform(0.5, 2, size=n)


@pytest.mark.parametrize("smoothing, standardize", [(None, False), (1.5, True)])
def test_values_are_those_of_ridge_regression_on_flat_voxels(smoothing, standardize):
    X, y, weight = ages()
    for n, w in ((50, np.ones(50)), (50, weight[:50])):
        model = VoxelRidge(C=0.3, smoothing=smoothing, standardize=standardize, dtype="float64")
        model.fit(X[:n], y[:n], sample_weight=w)
        Z = X if smoothing is None else np.stack([gaussian_filter(x, smoothing) for x in X])
        Z = rows(Z - np.average(Z[:n], axis=0, weights=w))
        if standardize:
            Z /= np.sqrt(np.average(Z[:n] ** 2, axis=0, weights=w))
        Z /= np.sqrt(np.average((Z[:n] ** 2).sum(axis=1), weights=w))
        reference = Ridge(alpha=1 / 0.3, solver="cholesky").fit(Z[:n], y[:n], sample_weight=w)
        np.testing.assert_allclose(model.predict(X[n:]), reference.predict(Z[n:]), rtol=1e-9)


def test_the_strength_is_that_of_least_error_on_subjects_held_out():
    X, y, _ = ages(140)
    subjects = np.arange(140) // 2
    model = VoxelRidge(random_state=0, smoothing=None, standardize=False).fit(X, y, groups=subjects)
    assert STRENGTHS[0] < model.C_ < STRENGTHS[-1]
    assert VoxelRidge(random_state=0).fit(X[:90], y[:90]).score(X[90:], y[90:]) > 0.5
    Z = by_hand(X, len(X), None, False)
    errors = dict.fromkeys(STRENGTHS, 0.0)
    for train, test in GroupKFold(5, shuffle=True, random_state=1).split(Z, groups=subjects):
        for C in STRENGTHS:
            ridge = Ridge(alpha=1 / C, solver="cholesky").fit(Z[train], y[train])
            errors[C] += np.square(ridge.predict(Z[test]) - y[test]).sum()
    assert errors[model.C_] < 1.1 * min(errors.values())  # in other folds
    assert errors[model.C_] < errors[STRENGTHS[0]] / 2
    alone = VoxelRidge(random_state=0).fit(X, y, groups=np.zeros(140))
    assert min(STRENGTHS) == alone.C_


def test_numbers_that_nothing_tells_are_predicted_by_their_mean():
    X, y, _ = ages()
    y = np.random.default_rng(1).permutation(y)
    predicted = VoxelRidge(random_state=0).fit(X, y).predict(ages(seed=2)[0])
    assert predicted.std() < 0.1 * y.std()
    np.testing.assert_allclose(predicted, y.mean(), atol=0.3 * y.std())


# components --------------------------------------------------------------------------------------


def test_components_are_those_of_scikit_learn(two):
    X, y = two
    model = PCASVC(n_components=6, smoothing=None, standardize=False, dtype="float64").fit(X, y)
    reference = PCA(6, svd_solver="full").fit(rows(X))
    components = rows(model.components_)
    signs = np.sign(np.sum(components * reference.components_, axis=1))
    np.testing.assert_allclose(components, signs[:, None] * reference.components_, atol=1e-8)
    scores = rows(X - X.mean(axis=0)) @ components.T
    np.testing.assert_allclose(scores, signs * reference.transform(rows(X)), atol=1e-8)
    largest = np.abs(scores).argmax(axis=0)
    assert (scores[largest, np.arange(6)] > 0).all()


def test_the_machine_on_components_is_that_of_scikit_learn(two):
    X, y = two
    model = PCASVC(n_components=6, C=0.7, smoothing=None, standardize=False, dtype="float64")
    pca = PCA(6, svd_solver="full").fit(rows(X[:60]))
    Z = pca.transform(rows(X))
    Z /= np.sqrt(np.square(Z[:60]).sum(axis=1).mean())
    expected = SVC(kernel="linear", C=0.7).fit(Z[:60], y[:60]).decision_function(Z[60:])
    decision = model.fit(X[:60], y[:60]).decision_function(X[60:])
    np.testing.assert_allclose(decision, expected, atol=TOLERANCE * np.ptp(expected))


def test_all_components_are_the_machine_on_voxels(two):
    X, y = two
    whole = PCASVC(n_components=1.0, C=1.0, random_state=0).fit(X, y)
    voxels = VoxelSVC(C=1.0, random_state=0).fit(X, y)
    assert whole.n_components_ == len(X) - 1
    expected = voxels.predict_proba(X)
    np.testing.assert_allclose(whole.predict_proba(X), expected, atol=TOLERANCE)


def test_a_share_of_the_variance_gives_the_number_of_components(two):
    X, y = two
    for share in (0.3, 0.9):
        model = PCASVC(n_components=share, smoothing=None, standardize=False).fit(X, y)
        assert model.n_components_ == PCA(share, svd_solver="full").fit(rows(X)).n_components_


def test_weighted_components_are_those_of_repetitions():
    X = np.random.default_rng(0).normal(size=(12, 5))
    weight = np.arange(1, 13)
    repeated = np.repeat(np.arange(12), weight)
    scores, projection = principal_components(X @ X.T, weight.astype(float))
    many, _ = principal_components(X[repeated] @ X[repeated].T, np.ones(len(repeated)))
    np.testing.assert_allclose(scores[repeated], many[:, :5], atol=1e-8)
    np.testing.assert_allclose((X.T @ projection).T @ X.T @ projection, np.eye(5), atol=1e-8)
