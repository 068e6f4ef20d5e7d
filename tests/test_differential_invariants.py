"""Differential invariants against closed forms, their number, and rotations of any angle."""

from itertools import permutations
from math import comb

import numpy as np
import pytest
import torch
from scipy.stats import special_ortho_group

from sklstruct import DifferentialInvariants
from sklstruct.estimators.differential_invariants import CONTRACTIONS

EXACT = {"dtype": "float64"}
LAYOUT = {1: "L", 2: "HW", 3: "DHW"}
COUNTS = {  # derivatives up to the order, less the dimension of what a rotation makes of them
    **{(1, order): order + 1 for order in (1, 2, 3)},  # a mirror alone
    **{(2, order): comb(order + 2, 2) - 1 for order in (1, 2, 3)},
    (3, 1): 4 - 2,
    (3, 2): 10 - 3,
    (3, 3): 20 - 3,  # turns about a gradient leave it
}
CASES = pytest.mark.parametrize("ndim, order", COUNTS)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def rotation(ndim, seed=0):
    return special_ortho_group.rvs(ndim, random_state=seed) if ndim > 1 else -np.eye(1)


def grid(ndim, extent):
    """Return the points of a grid about its centre, shape (*extents, ndim)."""
    axes = [np.arange(extent) - extent // 2] * ndim
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(float)


def maps(image, **params):
    """Return the invariants of an image (*spatial) at every place, by their names."""
    model = DifferentialInvariants(
        **{"pool": None, "layout": LAYOUT[image.ndim], **EXACT, **params}
    )
    features = model.fit_transform(image[np.newaxis]).reshape(-1, *image.shape)
    names = [name.split(" (")[0].removeprefix("c0 ") for name in model.get_feature_names_out()]
    return dict(zip(dict.fromkeys(names), features, strict=True))


def at_centre(found):
    return {name: values[tuple(n // 2 for n in values.shape)] for name, values in found.items()}


# how many, and of what -------------------------------------------------------------------------


@CASES
def test_invariants_are_complete_and_their_functions_add_nothing(ndim, order):
    """The Jacobian with respect to the jet has the rank that a complete set has."""
    model = DifferentialInvariants(order=order, layout=LAYOUT[ndim], **EXACT)
    model.fit(noise(2, *(5,) * ndim))
    complete = sum(name.startswith("L") for name in model._labels())
    assert complete == COUNTS[ndim, order]
    for seed in range(3):
        jet = torch.from_numpy(noise(1, len(model.frame_.labels), *(1,) * ndim, seed=seed))
        jacobian = torch.autograd.functional.jacobian(model._maps, jet)
        matrix = jacobian.reshape(len(model._labels()), -1).numpy()
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        assert np.linalg.matrix_rank(matrix[:complete], tol=1e-6) == complete
        assert np.linalg.matrix_rank(matrix, tol=1e-9) == complete


def test_every_index_of_a_contraction_stands_twice():
    for words in (words for known in CONTRACTIONS.values() for words in known):
        letters = words.replace(" ", "")
        assert all(letters.count(letter) == 2 for letter in letters)


@CASES
def test_a_turned_polynomial_has_the_same_invariants(ndim, order):
    points, turn = grid(ndim, 13), rotation(ndim, seed=order)
    coefficients = noise(*(4,) * ndim)
    coefficients[np.indices(coefficients.shape).sum(axis=0) > 3] = 0  # of degree 3 when turned
    image, turned, mirrored = (
        polynomial(moved, coefficients)
        for moved in (points, points @ turn.T, points @ turn.T * [*[1.0] * (ndim - 1), -1.0])
    )
    wanted, found, other = (at_centre(maps(x, order=order)) for x in (image, turned, mirrored))
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
        sign = -1 if name == "flowline_curvature" else 1
        assert other[name] == pytest.approx(sign * value, rel=1e-9, abs=1e-9)


def polynomial(points, coefficients):
    powers = np.stack(np.nonzero(coefficients), axis=1)
    terms = (points[..., np.newaxis, :] ** powers).prod(axis=-1)
    return terms @ coefficients[coefficients != 0]


# closed forms ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim, scale", [(1, 1.0), (2, 1.0), (2, 2.3), (3, 1.0), (3, 0.7)])
def test_invariants_of_a_quadratic_are_those_of_its_gradient_and_hessian(ndim, scale):
    points = grid(ndim, 27 if ndim < 3 else 13)
    a, b = 0.7, noise(ndim)
    hessian = noise(ndim, ndim, seed=1)
    hessian = hessian + hessian.T
    image = a + points @ b + 0.5 * np.einsum("...i,ij,...j", points, hessian, points)
    found = maps(image, scale=scale)
    inner = (slice(12, 15) if ndim < 3 else slice(6, 7),) * ndim
    H = hessian * scale**2
    g = (points[inner] @ hessian + b) * scale  # derivatives are those in units of the scale
    bent, square = g @ H, (g**2).sum(axis=-1)
    wanted = {
        "L": image[inner] + np.trace(H) / 2,  # exp(scale**2 Laplacian / 2) of the image
        "L_i L_i": square,
        "L_ii": np.full(square.shape, np.trace(H)),
        "gradient_magnitude": np.sqrt(square),
    }
    if ndim > 1:
        wanted |= {
            "L_ij L_ij": np.full(square.shape, np.trace(H @ H)),
            "L_i L_ij L_j": (g * bent).sum(axis=-1),
            "hessian_determinant": np.full(square.shape, np.linalg.det(H)),
        }
    if ndim == 2:
        v = np.stack([-g[..., 1], g[..., 0]], axis=-1)  # along isophotes, |v| = |g|
        wanted["isophote_curvature"] = -np.einsum("...i,ij,...j", v, H, v)
        wanted["flowline_curvature"] = -np.einsum("...i,ij,...j", v, H, g)
    if ndim == 3:
        adjugate = np.linalg.det(H) * np.linalg.inv(H)
        wanted |= {
            "L_ij L_jk L_ki": np.full(square.shape, np.trace(H @ H @ H)),
            "L_i L_ij L_jk L_k": (bent**2).sum(axis=-1),
            "mean_curvature": ((g * bent).sum(axis=-1) - square * np.trace(H)) / 2,
            "gaussian_curvature": np.einsum("...i,ij,...j", g, adjugate, g),
        }
    assert wanted.keys() == found.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name][inner], values, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("ndim", [2, 3])
def test_curvatures_of_a_bright_ball_are_those_of_spheres(ndim):
    points = grid(ndim, 15)
    radius = np.linalg.norm(points, axis=-1)
    found = maps(-(radius**2) / 2)  # whose gradient has the length of the radius
    inner = (slice(6, 10),) * ndim
    r = radius[inner]
    curvatures = {"isophote_curvature": r**2} if ndim == 2 else {}  # 1 / r, times r**3
    if ndim == 3:
        curvatures = {"mean_curvature": r**2, "gaussian_curvature": r**2}  # 1 / r**2, times r**4
    for name, values in curvatures.items():
        np.testing.assert_allclose(found[name][inner], values, atol=1e-10)


@pytest.mark.parametrize("ndim", [2, 3])
def test_third_order_invariants_of_a_cubic(ndim):
    tensor = noise(ndim, ndim, ndim)
    tensor = sum(tensor.transpose(order) for order in permutations(range(3)))
    b, hessian = noise(ndim, seed=1), noise(ndim, ndim, seed=2)
    hessian = hessian + hessian.T
    points = grid(ndim, 13)
    image = points @ b + np.einsum("...i,ij,...j", points, hessian, points) / 2
    image = image + np.einsum("...i,ijk,...j,...k", points, tensor, points, points) / 6
    found = at_centre(maps(image, order=3))
    gradient = b + np.einsum("ijj", tensor) / 2  # what blurring by 1 adds at the centre
    tensors = {1: gradient, 2: hessian, 3: tensor}
    for words in (words for n in range(1, ndim + 1) for words in CONTRACTIONS[n] if words):
        name = " ".join(f"L_{word}" for word in words.split())
        operands = [tensors[len(word)] for word in words.split()]
        wanted = np.einsum(",".join(words.split()) + "->", *operands)
        assert found[name] == pytest.approx(wanted, rel=1e-10, abs=1e-10)


# rotations of images -----------------------------------------------------------------------------


@pytest.mark.parametrize("ndim, extent, order", [(2, 64, 2), (2, 64, 3), (3, 32, 2), (3, 32, 3)])
def test_features_of_a_smooth_image_survive_a_rotation_by_any_angle(ndim, extent, order):
    rng = np.random.default_rng(0)
    points = grid(ndim, extent)
    centres = rng.normal(size=(6, ndim)) * extent / 16
    widths, heights = rng.uniform(extent / 16, extent / 12, 6), rng.normal(size=6)

    def image(turn):
        distances = ((points[..., np.newaxis, :] @ turn.T - centres) ** 2).sum(axis=-1)
        return np.exp(-distances / (2 * widths**2)) @ heights

    model = DifferentialInvariants(order=order, layout=LAYOUT[ndim])
    reference = image(np.eye(ndim))
    turned = np.stack([reference, *(image(rotation(ndim, seed)) for seed in range(5))])
    features = model.fit_transform(turned)
    sizes = [np.abs(values).mean() for values in maps(reference, order=order).values()]
    assert (np.abs(features - features[0]) / sizes).max() < 1e-3  # single precision included


def test_single_precision_bears_a_strong_edge_beside_faint_curves():
    """Traces of powers of the Hessian would cancel down to the last digits."""
    z, y, x = np.mgrid[-12:13, -12:13, -12:13]
    image = 1000 * np.exp(-(x**2) / 8) + np.cos(0.5 * z) + np.sin(0.5 * y)
    found = []
    for dtype in ("float32", "float64"):
        model = DifferentialInvariants(layout="DHW", pool=None, dtype=dtype)
        maps = model.fit_transform(image[None]).reshape(-1, *image.shape)
        names = [name.split(" (")[0][3:] for name in model.get_feature_names_out()[:: image.size]]
        found.append(dict(zip(names, maps, strict=True)))
    single, double = found
    for name in ("hessian_determinant", "gaussian_curvature"):
        error = np.abs(single[name] - double[name]).max() / np.abs(double[name]).max()
        assert error < 5e-3


# features ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(20,), (9, 12), (3, 9, 12), (5, 6, 7)])
def test_features_are_means_of_maps_over_cells(shape):
    X = noise(2, *shape)
    settings = {**EXACT, "order": 3, "layout": {1: "L", 2: "HW", 3: "CHW"}[len(shape)]}
    if shape[0] == 5:
        settings["layout"] = "DHW"
    everywhere = DifferentialInvariants(**settings, pool=None).fit(X)
    spatial = everywhere.in_shape_[1:]
    found = everywhere.transform(X).reshape(2, -1, *spatial)
    means = DifferentialInvariants(**settings).fit_transform(X)
    np.testing.assert_allclose(means, found.reshape(*found.shape[:2], -1).mean(axis=2), atol=1e-12)
    model = DifferentialInvariants(**settings, pool=2).set_output(transform="pandas")
    table = model.fit_transform(X)
    cell = found[(slice(None), -2, *[slice(-(-n // 2)) for n in spatial])]
    name = f"c{len(X[0]) - 1 if shape[0] == 3 else 0} {everywhere._labels()[-2]}"
    first = table[f"{name} ({','.join('0' * len(spatial))})"]
    np.testing.assert_allclose(first, cell.reshape(2, -1).mean(axis=1), atol=1e-12)
    rows = DifferentialInvariants(**settings, image_shape=shape).fit_transform(X.reshape(2, -1))
    np.testing.assert_array_equal(rows, means)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"order": 4}, "order of DifferentialInvariants must be an integer from 1 to 3, got 4"),
        ({"scale": 0.4}, "scale of DifferentialInvariants must be a finite number of at least 0.5"),
        ({"pool": 0}, "pool of DifferentialInvariants must be an integer of at least 1 or None"),
    ],
)
def test_a_bad_parameter_is_named(params, message):
    with pytest.raises(ValueError, match=message):
        DifferentialInvariants(**params).fit(noise(2, 8, 8))
