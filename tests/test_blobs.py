"""Textured blobs: boundaries to the pixel, no clue in gradients where there is to be none."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from sklstruct.datasets.blobs import TEXTURES, draw_blobs, draw_texture, make_textured_blobs

CROSS, SQUARE = ndimage.generate_binary_structure(2, 1), ndimage.generate_binary_structure(2, 2)
LEVELS = pytest.mark.parametrize("level", [1, 2, 3])


def blobs_of(number, shape=(64, 64)):
    """Return where the blobs of a sample are."""
    return draw_blobs(np.random.default_rng([0, number]), shape)


@LEVELS
def test_boundaries_are_those_of_the_blobs(level):
    X, y = make_textured_blobs(30, level, random_state=0)
    for number, (x, edge) in enumerate(zip(X, y, strict=True)):
        beyond = blobs_of(number)
        inside = beyond[1:-1, 1:-1]
        around = np.stack([np.roll(beyond, step, axis) for step in (1, -1) for axis in (0, 1)])
        assert np.array_equal(edge, (beyond & ~around.all(axis=0))[1:-1, 1:-1])
        assert inside.any()
        assert not inside.all()
        if level == 1:
            assert np.array_equal(x, inside)


def test_boundaries_are_closed_and_as_thin_as_can_be():
    """Without them, nothing joins blobs and background; without any pixel of them, something does.

    Only where a blob is two pixels wide at most, a pixel of its boundary has no inside.
    """
    _, y = make_textured_blobs(60, 3, random_state=0)
    spare, total = 0, 0
    for number, edge in enumerate(y):
        inside = blobs_of(number)[1:-1, 1:-1]
        core, outside = inside & ~edge, ~inside
        assert not (ndimage.binary_dilation(core, CROSS) & outside).any()
        between = ndimage.binary_dilation(core, SQUARE) & ndimage.binary_dilation(outside, CROSS)
        spare, total = spare + (edge & ~between).sum(), total + edge.sum()
    assert spare < 0.02 * total


@LEVELS
def test_there_are_always_more(level):
    X, y = make_textured_blobs(12, level, random_state=3)
    for start, n_samples in ((0, 5), (4, 8), (11, 1)):
        part = make_textured_blobs(n_samples, level, start=start, random_state=3)
        assert np.array_equal(part[0], X[start : start + n_samples])
        assert np.array_equal(part[1], y[start : start + n_samples])
    far, _ = make_textured_blobs(1, level, start=10**9, random_state=3)
    assert not any(np.array_equal(far[0], x) for x in X)
    assert len({x.tobytes() for x in X}) == 12
    assert X.dtype == np.float32
    assert X.min() >= 0
    assert X.max() <= 1
    drawn = make_textured_blobs(2, level, random_state=np.random.RandomState(0))
    again = make_textured_blobs(2, level, random_state=np.random.RandomState(0))
    assert np.array_equal(drawn[0], again[0])
    assert not np.array_equal(drawn[0], make_textured_blobs(2, level)[0])


@pytest.mark.parametrize("shape", [(16, 16), (33, 100)])
def test_images_may_have_any_extents(shape):
    for level in (1, 2, 3):
        X, y = make_textured_blobs(20, level, shape=shape, random_state=0)
        assert X.shape == y.shape == (20, *shape)
        assert np.isfinite(X).all()
        assert y.any(axis=(1, 2)).all()


def sides(level, n_samples=100):
    """Return means and deviations of blobs and of what is around them, (n, 2, 2)."""
    X, _ = make_textured_blobs(n_samples, level, random_state=0)
    masks = [blobs_of(number)[1:-1, 1:-1] for number in range(n_samples)]
    return np.array(
        [[(x[s].mean(), x[s].std()) for s in (m, ~m)] for x, m in zip(X, masks, strict=True)]
    )


def test_what_the_sides_of_a_boundary_have_in_common():
    means, contrasts = np.moveaxis(sides(level=3), -1, 0)
    np.testing.assert_allclose(means, 0.5, atol=0.002)
    np.testing.assert_allclose(contrasts[:, 0], contrasts[:, 1], rtol=0.02)
    means, contrasts = np.moveaxis(sides(level=2), -1, 0)
    assert 0.03 < abs(np.diff(means)).mean() < 0.1
    assert 0.1 < abs(np.diff(np.log(contrasts))).mean() < 0.6


@pytest.mark.parametrize("kind", TEXTURES)
def test_a_texture_has_its_wavelength_and_its_orientation(kind):
    rng, texture = np.random.default_rng(0), TEXTURES[kind]
    for wavelength, angle in ((4.0, 0.5), (8.0, 2.0)):
        values = [draw_texture(rng, (64, 64), texture, wavelength, angle) for _ in range(20)]
        power = np.mean([np.abs(np.fft.fft2(v)) ** 2 for v in values], axis=0)
        rows, columns = np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64), indexing="ij")
        directions = np.exp(2j * np.arctan2(rows, columns))
        mean = (power * directions).sum() / power.sum()
        peak = np.hypot(rows, columns).flat[power.argmax()]
        assert 0.6 < peak * wavelength < 1.6
        assert (abs(mean) > 0.5) == (texture.concentration > 0)
        if texture.concentration:
            assert abs(np.angle(mean * np.exp(-2j * angle))) / 2 < 0.1


def best_f_score(X, y, sigma):
    """Return the best F of the thinned magnitude of gradients, within 2 pixels of a boundary."""
    magnitudes = []
    for x in X.astype(float):
        gradient = [ndimage.gaussian_filter(x, sigma, order=o) for o in ((1, 0), (0, 1))]
        magnitude = np.hypot(*gradient)
        step = np.array(gradient) / np.maximum(magnitude, 1e-12)
        beside = [
            ndimage.map_coordinates(magnitude, np.indices(x.shape) + s * step, order=1)
            for s in (1, -1)
        ]
        magnitudes.append(
            np.where((magnitude >= beside[0]) & (magnitude > beside[1]), magnitude, 0)
        )
    near = [ndimage.distance_transform_edt(~edge) <= 2 for edge in y]
    scores = []
    for threshold in np.quantile(
        np.concatenate([m[m > 0] for m in magnitudes]), np.arange(0, 1, 0.05)
    ):
        found = [magnitude > threshold for magnitude in magnitudes]
        precision = np.sum(np.array(found) & near) / np.sum(found)
        reached = [ndimage.distance_transform_edt(~f) <= 2 for f in found]
        recall = np.sum(np.array(reached) & y) / y.sum()
        scores.append(2 * precision * recall / (precision + recall))
    return max(scores)


@pytest.mark.parametrize("level, least, most", [(1, 0.95, 1), (2, 0.4, 0.6), (3, 0, 0.35)])
def test_what_gradients_say(level, least, most):
    X, y = make_textured_blobs(40, level, random_state=0)
    assert least <= max(best_f_score(X, y, sigma) for sigma in (1, 3, 4, 5)) <= most


@pytest.mark.parametrize(
    "params, message",
    [
        ({"n_samples": 0}, "n_samples must be an integer of at least 1, got 0"),
        ({"level": 4}, "level must be an integer from 1 to 3, got 4"),
        ({"start": -1}, "start must be an integer of at least 0, got -1"),
        ({"shape": (8, 64)}, "shape must be a tuple of two integers of at least 16"),
        ({"shape": 64}, "shape must be a tuple"),
        ({"random_state": "a"}, "random_state must be"),
    ],
)
def test_a_bad_parameter_is_named(params, message):
    with pytest.raises(ValueError, match=message):
        make_textured_blobs(**{"n_samples": 1, "level": 1, **params})


def test_the_example_finds_boundaries_where_gradients_do(capsys, tmp_path):
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples/textured_blobs.py"))
    example["main"](n_train=10, n_test=10, max_epochs=4, picture=str(tmp_path / "poses.png"))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    scores = {" ".join(row[:2]): [float(score) for score in row[2:]] for row in rows}
    assert all(first > 2 * max(others) for first, *others in scores.values())
    assert scores["dynamic block"][0] > 30
    assert (tmp_path / "poses.png").stat().st_size > 0
