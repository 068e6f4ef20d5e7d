"""Classifiers on scattering: their mathematics against oracles, and scikit-learn's contract."""

import pickle

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklstruct_scattering import classifier, svc, transformer
from sklstruct_scattering.cache import CACHE
from sklstruct_scattering.classifier import usual_scale
from sklstruct_scattering.linear import STRENGTHS, Ridge, ScatteringLinear
from sklstruct_scattering.pca import AffineSpaces, ScatteringPCAClassifier
from sklstruct_scattering.scaling import PathScaling
from sklstruct_scattering.svc import KernelMachines, ScatteringSVC

from sklstruct.estimators import distinct_rows

CLASSIFIERS = [ScatteringSVC, ScatteringLinear, ScatteringPCAClassifier]
every_classifier = pytest.mark.parametrize("cls", CLASSIFIERS)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    train, test = np.split(np.random.default_rng(0).permutation(len(y))[:600], [200])
    images = X.reshape(-1, 8, 8)
    return images[train], y[train], images[test], y[test]


@pytest.fixture
def points():
    """Return points of three classes with weights: (Z, codes, weight)."""
    rng = np.random.default_rng(0)
    codes = np.arange(30) % 3
    Z = rng.normal(size=(30, 8)) + 2 * np.eye(8)[codes]
    return Z, codes, rng.uniform(0.5, 2, size=30)


# scikit-learn's own checks -----------------------------------------------------------------------

EXPECTED = {
    "check_classifiers_train": (
        "its samples are points with two coordinates, which are read as signals of two places: "
        "scattering averages over both and forgets which one was larger"
    )
}


@parametrize_with_checks(
    [cls(dtype=dtype) for cls in CLASSIFIERS for dtype in ("float32", "float64")],
    expected_failed_checks=lambda estimator: EXPECTED,
)
@pytest.mark.filterwarnings("ignore")  # the checks feed warnings on purpose
def test_scikit_learn(estimator, check):
    check(estimator)


# the parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [True, False])
def test_scaling_gives_every_path_its_share_of_the_variance(log):
    rng = np.random.default_rng(0)
    orders = np.array([0, 1, 1, 1, 1, 2])
    S = rng.gamma(2, size=(200, 6, 9)) * 10.0 ** rng.normal(size=(6, 1)) * rng.uniform(size=9)
    S[:, 5] = 3.0  # a path that tells nothing
    weight = rng.integers(1, 4, size=200).astype(float)
    scaling = PathScaling(orders, log).fit(S.reshape(200, -1), weight)
    Z = scaling.transform(S.reshape(200, -1)).reshape(S.shape)
    np.testing.assert_allclose(np.average(Z, axis=0, weights=weight), 0, atol=1e-12)
    shares = np.average((Z**2).sum(axis=2), axis=0, weights=weight)
    expected = np.array([1, 0.5, 0.5, 0.5, 0.5, 0]) / (1 + 2 + 1)
    np.testing.assert_allclose(shares, expected, atol=1e-12)
    copies = S.reshape(200, -1).repeat(weight.astype(int), axis=0)
    repeated = PathScaling(orders, log).fit(copies, np.ones(len(copies)))
    np.testing.assert_allclose(repeated.transform(copies[:9]), scaling.transform(copies[:9]))


def test_logarithms_are_flat_below_half_the_mean_of_a_path():
    rng = np.random.default_rng(0)
    S = rng.normal(1, 1, size=(50, 3, 4))
    weight = rng.uniform(1, 2, size=50)
    half = np.average(np.abs(S).mean(axis=2), axis=0, weights=weight)[:, np.newaxis] / 2
    logs = np.sign(S) * np.log(1 + np.abs(S) / half)
    logs -= np.average(logs, axis=0, weights=weight)
    logs /= np.sqrt(3 * np.average((logs**2).sum(axis=2), axis=0, weights=weight))[:, np.newaxis]
    scaling = PathScaling(np.array([1, 1, 1]), log=True).fit(S.reshape(50, -1), weight)
    found = scaling.transform(S.reshape(50, -1))
    np.testing.assert_allclose(found, logs.reshape(50, -1), atol=1e-5 * abs(logs).max())


@pytest.mark.parametrize("n", [5, 30])  # fewer and more samples than coefficients
def test_ridge_is_where_the_gradient_vanishes(points, n):
    Z, codes, weight = (part[:n] for part in points)
    strengths = [0.1, 10.0]
    values = Ridge(strengths).fit(Z, codes, weight).decide(Z)
    assert values.shape == (n, 2, 3)
    targets = 2 * np.eye(3)[codes] - 1
    for C, W, f in zip(
        strengths,
        Ridge(strengths).fit(Z, codes, weight).matrices_,
        values.swapaxes(0, 1),
        strict=True,
    ):
        pull = weight[:, np.newaxis] * (f - targets)
        np.testing.assert_allclose(pull.sum(axis=0), 0, atol=1e-10)
        np.testing.assert_allclose(Z.T @ pull + W / C, 0, atol=1e-10)


def test_affine_spaces_are_the_nearest_ones(points):
    Z, codes, weight = points
    x = np.random.default_rng(1).normal(size=(4, 8))
    spaces = AffineSpaces([0, 2, 50]).fit(Z, codes, weight)
    distances = -spaces.decide(x)
    for c in range(3):
        member, w = Z[codes == c], weight[codes == c]
        mean = np.average(member, axis=0, weights=w)
        _, directions = np.linalg.eigh(np.cov(member.T, aweights=w))
        for k, d in enumerate((0, 2)):
            V = directions[:, 8 - d :]
            rest = (x - mean) - (x - mean) @ V @ V.T
            np.testing.assert_allclose(distances[:, k, c], (rest**2).sum(axis=1), atol=1e-10)
    np.testing.assert_allclose(distances[:, 2], 0, atol=1e-10)  # all of the space
    few = AffineSpaces([1, 50]).fit(Z[:9], codes[:9], weight[:9])  # three points span a plane
    assert [len(directions) for _, directions in few.spaces_] == [2, 2, 2]
    np.testing.assert_allclose(few.decide(Z[:9])[np.arange(9), 1, codes[:9]], 0, atol=1e-10)
    assert few.n_parameters == 3 * 3 * 8


@pytest.mark.parametrize("largest", [8000, 10], ids=["at once", "by and by"])
def test_kernel_machines_are_those_of_scikit_learn(points, largest, monkeypatch):
    monkeypatch.setattr(svc, "LARGEST_GRAM", largest)
    Z, codes, weight = points
    machines = KernelMachines(3.0, 0.2).fit(Z, codes, weight)
    x = np.random.default_rng(1).normal(size=(5, 8))
    for c in range(3):
        machine = SVC(C=3.0, gamma=0.2).fit(Z, codes == c, sample_weight=weight)
        found = machines.decide(x)[:, 0, c]
        np.testing.assert_allclose(found, machine.decision_function(x), atol=2 * machine.tol)
    assert len(machines.support_vectors_) <= len(Z)
    assert machines.n_parameters == np.count_nonzero(machines.coefficients_) + 3


@pytest.mark.parametrize(
    "extents, J", [((28, 28), 3), ((32, 32), 3), ((8, 8), 1), ((3,), 1), ((24, 100, 50), 3)]
)
def test_the_usual_scale_keeps_three_places(extents, J):
    assert usual_scale(extents) == J
    assert J == 1 or min(extents) >> J >= 3 > min(extents) >> (J + 1)


# the whole ---------------------------------------------------------------------------------------


@every_classifier
def test_it_is_good_and_its_probabilities_too(digits, cls):
    X, y, X_test, y_test = digits
    model = cls(random_state=0).fit(X, y)
    proba = model.predict_proba(X_test)
    assert model.score(X_test, y_test) > 0.95
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(proba.argmax(axis=1), model.predict(X_test))
    np.testing.assert_array_equal(
        proba.argmax(axis=1), model.decision_function(X_test).argmax(axis=1)
    )
    calibrated = log_loss(y_test, proba)
    for wrong in (model.temperature_ / 4, model.temperature_ * 4):
        model.temperature_ = wrong
        assert calibrated < log_loss(y_test, model.predict_proba(X_test))


@every_classifier
def test_two_classes_of_any_type_in_rows_of_any_layout(digits, cls):
    X, y, X_test, _ = digits
    X, y = X[y < 2], y[y < 2]
    model = cls(random_state=0).fit(X, y)
    decision, proba = model.decision_function(X_test), model.predict_proba(X_test)
    assert decision.shape == (len(X_test),)
    np.testing.assert_array_equal(decision > 0, proba[:, 1] > 0.5)
    names = np.array(["nil", "one"])
    flat = cls(image_shape=(8, 8), random_state=0).fit(X.reshape(len(X), -1), names[y])
    np.testing.assert_array_equal(flat.predict_proba(X_test.reshape(-1, 64)), proba)
    np.testing.assert_array_equal(
        flat.predict(X_test.reshape(-1, 64)), names[model.predict(X_test)]
    )
    colour = np.stack([X, X[:, ::-1], 0 * X], axis=-1)
    last = cls(random_state=0).fit(colour, y)
    first = cls(random_state=0).fit(np.moveaxis(colour, -1, 1), y)
    assert (last.layout_, first.layout_) == ("HWC", "CHW")
    assert last.transformer_.in_shape_ == (3, 8, 8)
    np.testing.assert_array_equal(
        last.predict_proba(colour), first.predict_proba(np.moveaxis(colour, -1, 1))
    )


@every_classifier
@pytest.mark.parametrize("shape", [(24,), (3, 24), (9, 10, 12)])
def test_signals_and_volumes_are_told_apart_by_their_frequency(cls, shape):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    phase, place = rng.uniform(0, 2 * np.pi, size=(60, 1)), np.arange(shape[-1])
    waves = np.cos(np.where(y, 0.6, 1.8)[:, np.newaxis] * np.pi / 2 * place + phase)
    noise = 0.3 * rng.normal(size=(60, *shape))
    samples = waves.reshape(60, *(1,) * (len(shape) - 1), -1) + noise
    layout = "CL" if len(shape) == 2 else None
    model = cls(layout=layout, L=3, random_state=0).fit(samples[:30], y[:30])
    assert model.score(samples[30:], y[30:]) == 1


@every_classifier
def test_weights_are_repetitions_and_the_order_does_not_matter(digits, cls):
    X, y, X_test, _ = digits
    rng = np.random.default_rng(0)
    weight = rng.integers(0, 4, size=len(y))
    repeated = rng.permutation(np.repeat(np.arange(len(y)), weight))
    weighted = cls(random_state=0).fit(X, y, sample_weight=weight)
    copied = cls(random_state=0).fit(X[repeated], y[repeated])
    expected = copied.predict_proba(X_test)
    np.testing.assert_allclose(weighted.predict_proba(X_test), expected, atol=1e-6)


@pytest.mark.parametrize("cls", [ScatteringSVC, ScatteringLinear])
def test_class_weights_are_sample_weights(digits, cls):
    X, y, X_test, _ = digits
    by_class = cls(class_weight={3: 5.0}, random_state=0).fit(X, y)
    by_sample = cls(random_state=0).fit(X, y, sample_weight=np.where(y == 3, 5.0, 1.0))
    np.testing.assert_array_equal(by_class.predict_proba(X_test), by_sample.predict_proba(X_test))


@pytest.mark.parametrize("cls", [ScatteringSVC, ScatteringLinear])
def test_a_class_of_weight_0_is_left_out(digits, cls):
    X, y, X_test, _ = digits
    model = cls(class_weight={3: 0}, random_state=0).fit(X, y)
    without = cls(random_state=0).fit(X[y != 3], y[y != 3])
    np.testing.assert_array_equal(model.classes_, np.delete(np.arange(10), 3))
    np.testing.assert_array_equal(model.predict_proba(X_test), without.predict_proba(X_test))


@pytest.mark.parametrize(
    "cls, name", [(ScatteringLinear, "C"), (ScatteringPCAClassifier, "n_components")]
)
def test_what_is_chosen_is_best_on_samples_held_out(digits, cls, name):
    """Scale on all samples, as fitting does; then search over candidates fold by fold."""
    X, y, *_ = digits
    model = cls(random_state=0).fit(X, y)
    rows, codes, weight, _ = distinct_rows(X.astype(np.float32), y, None, None)
    Z = model.scaling_.transform(model.transformer_.transform(X[rows, np.newaxis]).astype(float))
    losses = {}
    candidates = model._candidates(codes)
    for candidate in candidates:
        values = np.empty((len(y), 10))
        for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(Z, codes):
            head = model._head([candidate]).fit(Z[train], codes[train], weight[train])
            values[test] = head.decide(Z[test])[:, 0]
        scaled = values / (np.geomspace(1e-4, 10, 200)[:, np.newaxis, np.newaxis] * values.std())
        likelihood = log_softmax(scaled, axis=2)[:, np.arange(len(y)), codes].mean(axis=1)
        losses[candidate] = -likelihood.max()
    chosen = getattr(model, f"{name}_")
    assert losses[chosen] <= min(losses.values()) + 1e-3
    assert min(losses.values()) < losses[candidates[0]] - 1e-3
    given = cls(**{name: candidates[0]}, random_state=0).fit(X, y)
    assert getattr(given, f"{name}_") == candidates[0]


@every_classifier
def test_without_something_to_hold_out_the_cautious_candidate_is_taken(digits, cls):
    X, y, X_test, _ = digits
    _, kept = np.unique(y, return_index=True)
    model = cls().fit(X[kept], y[kept])
    assert model.temperature_ == 1
    assert model.predict_proba(X_test).shape[1] == 10
    assert getattr(model, "C_", STRENGTHS[0]) == STRENGTHS[0]
    assert getattr(model, "n_components_", 0) == 0


@every_classifier
def test_one_rare_class_does_not_end_the_choice(digits, cls):
    X, y, X_test, y_test = digits
    kept = (y != 3) | (np.arange(len(y)) == np.flatnonzero(y == 3)[0])
    proba = cls(random_state=0).fit(X[kept], y[kept]).predict_proba(X_test)
    frequent = y_test != 3
    complete = cls(random_state=0).fit(X, y).predict_proba(X_test)
    losses = [log_loss(y_test[frequent], p[frequent], labels=range(10)) for p in (proba, complete)]
    assert losses[0] < 1.5 * losses[1]


@every_classifier
def test_parameters_are_counted(digits, cls):
    X, y, *_ = digits
    model = cls(J=2, L=4, random_state=0).fit(X, y)
    width = len(model.transformer_.get_feature_names_out())
    head = model.head_
    assert width == (1 + 2 * 4 + 4 * 4) * 2 * 2
    if cls is ScatteringLinear:
        assert model.n_parameters_ == 10 * width + 10
    elif cls is ScatteringPCAClassifier:
        counts = np.bincount(y)
        assert (
            model.n_parameters_ == sum(1 + min(model.n_components_, n - 1) for n in counts) * width
        )
    else:
        assert model.n_parameters_ == (head.coefficients_ != 0).sum() + 10


@every_classifier
def test_scattering_follows_set_params_and_pickles(digits, cls):
    X, y, X_test, _ = digits
    model = cls(random_state=0).fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X_test), model.predict_proba(X_test))
    changed = clone(model).set_params(J=2, L=5, max_order=1, log=False, padding="zero").fit(X, y)
    assert (changed.transformer_.J, changed.transformer_.padding) == (2, "zero")
    assert changed.transformer_.transform(X[:1, np.newaxis]).shape == (1, 11 * 4)
    fresh = cls(J=2, L=5, max_order=1, log=False, padding="zero", random_state=0).fit(X, y)
    np.testing.assert_array_equal(fresh.predict_proba(X_test), changed.predict_proba(X_test))


@every_classifier
def test_a_grid_is_what_it_says_and_computes_scattering_once(digits, cls, monkeypatch):
    X, y, *_ = digits
    X, y = X[y < 4], y[y < 4]
    name, values = (
        ("n_components", [0, 3]) if cls is ScatteringPCAClassifier else ("C", [0.1, 10.0])
    )
    grid = {"J": [1, 2], "L": [3, 4], name: values}
    computed = []
    compute = transformer.ScatteringTransformer._compute_anew
    monkeypatch.setattr(
        transformer.ScatteringTransformer,
        "_compute_anew",
        lambda self, X: computed.append(len(X)) or compute(self, X),
    )
    CACHE.clear()
    search = GridSearchCV(cls(random_state=0), grid, cv=3).fit(X, y)
    assert sum(computed) == 4 * len(X)
    scores = search.cv_results_["mean_test_score"]
    for params, score in zip(search.cv_results_["params"], scores, strict=True):
        assert score == cross_val_score(cls(random_state=0, **params), X, y, cv=3).mean()
    assert len(set(scores)) > 1


@every_classifier
def test_predicting_many_samples_leaves_those_of_a_search_in_place(digits, cls, monkeypatch):
    X, y, X_test, _ = digits
    CACHE.clear()
    width = cls().fit(X, y).transformer_._width
    monkeypatch.setattr(classifier, "AT_A_TIME", 50)
    CACHE.clear()
    model = cls(cache_size=4e-6 * width * 300).fit(X, y)  # room for 300 rows
    assert len(CACHE) == len(X)
    expected = model.predict_proba(X_test)  # 400, in blocks that would fit
    assert len(CACHE) == len(X)
    found = model.predict_proba(X_test[:60])  # these fit beside them
    assert len(CACHE) == len(X) + 60
    np.testing.assert_allclose(found, expected[:60], rtol=1e-9, atol=1e-12)
    CACHE.clear()


# what is refused ---------------------------------------------------------------------------------

X, Y = np.random.default_rng(0).normal(size=(10, 8, 8)), np.arange(10) % 2


@every_classifier
@pytest.mark.parametrize(
    "params, data, message",
    [
        ({"J": 4}, (X, Y), "J=4"),
        ({"J": 0}, (X, Y), "J of .* must"),
        ({"L": 0}, (X, Y), "L of .* must"),
        ({"max_order": 5}, (X, Y), "max_order"),
        ({"padding": "mirror"}, (X, Y), "padding"),
        ({"T": 4}, (X, Y), "T=4"),
        ({"log": 2}, (X, Y), "log"),
        ({"dtype": "int8"}, (X, Y), "dtype"),
        ({"layout": "WH"}, (X, Y), "layout"),
        ({"image_shape": (7, 7)}, (X.reshape(10, -1), Y), "49 values"),
        ({"cache_size": -1}, (X, Y), "cache_size"),
        ({"n_threads": 0}, (X, Y), "n_threads"),
        ({}, (np.where(X > 2, np.nan, X), Y), "NaN"),
        ({}, (X + 1j, Y), "[Cc]omplex"),
        ({}, (X[:, 0, 0], Y), "1D"),
        ({}, (X, Y[:9]), "inconsistent"),
        ({}, (X, None), "y"),
        ({}, (X, Y * 0), r"2 classes with weight, got 1 class: \[0\]"),
        ({}, (X, Y + 0.5), "Unknown label type"),
        ({}, (X, Y, -np.ones(10)), "sample_weight"),
        ({}, (X, Y, np.eye(10)[0]), r"2 classes with weight, got 1 class: \[0\]"),
    ],
)
def test_bad_input_is_named(cls, params, data, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cls(**params).fit(*data)


@pytest.mark.parametrize(
    "model, name",
    [
        (ScatteringSVC(C=0), "C"),
        (ScatteringSVC(gamma="scale"), "gamma"),
        (ScatteringSVC(class_weight="fair"), "class_weight"),
        (ScatteringLinear(C=-1), "C"),
        (ScatteringPCAClassifier(n_components=-1), "n_components"),
        (ScatteringPCAClassifier(n_components=2.5), "n_components"),
    ],
)
def test_bad_parameters_are_named(model, name):
    with pytest.raises(ValueError, match=f"{name} of {type(model).__name__} must be"):
        model.fit(X, Y)


@pytest.mark.parametrize("cls", [ScatteringSVC, ScatteringLinear])
@pytest.mark.parametrize(
    "weights, message",
    [
        ({0: 0}, r"2 classes with weight, got 1 class: \[1\]"),
        ({0: 0, 1: 0}, r"2 classes with weight, got 0 classes: \[\]"),
        ({0: -1}, "class_weight must be finite and not negative"),
        ({0: np.nan}, "class_weight must be finite and not negative"),
        ({0: np.inf}, "class_weight must be finite and not negative"),
    ],
)
def test_class_weights_that_leave_nothing_are_refused(cls, weights, message):
    with pytest.raises(ValueError, match=message):
        cls(class_weight=weights).fit(X, Y)


@every_classifier
def test_other_samples_than_in_training_are_refused(cls):
    with pytest.raises(NotFittedError):
        cls().predict(X)
    model = cls().fit(X, Y)
    for other in (X[:, :7], X[:, np.newaxis], X.reshape(10, -1)):
        with pytest.raises(ValueError, match=r"samples of shape .*\(8, 8\)"):
            model.predict(other)
