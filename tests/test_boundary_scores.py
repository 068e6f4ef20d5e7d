"""Scores of boundaries: thinning and matching against theorems, curves against closed forms."""

from math import hypot

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, label
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial.distance import cdist
from sklstruct_boundaries import compiled
from sklstruct_boundaries.matching import count_matches
from sklstruct_boundaries.scores import BoundaryScores
from sklstruct_boundaries.suppression import suppress
from sklstruct_boundaries.thinning import thin

from sklstruct import boundary_scores

WAYS = [True, False] if compiled.AVAILABLE else [False]
EIGHT = np.ones((3, 3))  # neighbours by sides and corners


@pytest.fixture(params=WAYS, ids={True: "kernel", False: "numpy"}.get)
def way(request, monkeypatch):
    monkeypatch.setattr(compiled, "AVAILABLE", request.param)


def both_ways(function, *arguments):
    """Return the results of the kernel, where it was built, and of NumPy."""
    results = []
    with pytest.MonkeyPatch.context() as patch:
        for available in WAYS:
            patch.setattr(compiled, "AVAILABLE", available)
            results.append(function(*arguments))
    return results


def drawing(text):
    return np.array([[letter == "#" for letter in line] for line in text.split()])


@st.composite
def masks(draw, most=24):
    """Draw a mask of noise or of smooth shapes, from 1x1 on."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.random([draw(st.integers(1, most)) for _ in range(2)])
    values = gaussian_filter(values, draw(st.sampled_from([0, 1, 2])))
    return values >= np.quantile(values, draw(st.floats(0, 1)))


@st.composite
def maps_and_truths(draw):
    """Draw levels of a map, what some annotators marked, and a tolerance."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    levels = rng.integers(0, 5, shape) * (rng.random(shape) < draw(st.floats(0, 1)))
    truths = rng.random((draw(st.integers(1, 3)), *shape)) < draw(st.floats(0, 1)) ** 2
    return levels.astype(np.int32), truths, draw(st.sampled_from([0, 0.05, 0.1, 0.3]))


# --- thinning: what it must give is what scikit-image gives ----------------------------------

DRAWINGS = {
    "line": ("..... .###. .....", "..... .###. ....."),
    "block": ("#### #### ####", ".... .##. ...."),
    "two by two": (".##. .##. ....", ".... .#.. ...."),
    "square": ("##### ##### ##### ##### #####", "..... ..... ..#.. ..... ....."),
    "hat": (
        ".#..... ..###.. ..###.. ..###.. ..###.. ..###.. .......",
        ".#..... ..#.... ...#... ...#... ...#... ....... .......",
    ),
    "ring": (
        "###### ###### ##..## ##..## ###### ######",
        "...... .###.. #...#. #...#. .#..#. ..##..",
    ),
    "cross": (
        "##...## ###.### .#####. ..###.. .#####. ###.### ##...##",
        "....... ##...#. ..#.#.. ...#... ..#.#.. .#...#. #....#.",
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_known_drawings_are_thinned(way, name):
    thick, thinned = map(drawing, DRAWINGS[name])
    np.testing.assert_array_equal(thin(thick), thinned)


@given(mask=masks())
def test_thinning_keeps_pieces_and_holes_and_is_done_when_it_is_done(mask):
    thinned, *others = both_ways(thin, mask)
    for other in others:
        np.testing.assert_array_equal(thinned, other)
    assert not (thinned & ~mask).any()
    assert label(thinned, EIGHT)[1] == label(mask, EIGHT)[1]
    outside = [label(np.pad(~each, 1, constant_values=True))[1] for each in (thinned, mask)]
    assert outside[0] == outside[1]
    np.testing.assert_array_equal(thin(thinned), thinned)


# --- matching -------------------------------------------------------------------------------


@given(drawn=maps_and_truths())
def test_as_many_pixels_are_matched_as_can_be_and_both_ways_agree(drawn):
    levels, truths, tolerance = drawn
    counts, *others = both_ways(count_matches, levels, truths, 4, tolerance)
    for other in others:
        np.testing.assert_array_equal(counts, other)
    for number, (matched_truth, total_truth, matched, total) in enumerate(counts):
        predicted = np.argwhere(thin(levels > number))
        sizes = []
        for truth in truths:
            near = cdist(predicted, np.argwhere(truth)) <= tolerance * hypot(*levels.shape)
            sizes.append((maximum_bipartite_matching(csr_array(near)) >= 0).sum())
        assert matched_truth == sum(sizes)
        assert total_truth == truths.sum()
        assert total == len(predicted)
        assert max(sizes) <= matched <= min(total, sum(sizes))


@pytest.mark.parametrize(
    "line, truth, n_matched",
    [
        ("#..#...", "..#.#..", 2),  # the nearest pixel gives way
        ("...#..#", "..#.#..", 2),
        ("#..#..#....", "..#..#..#..", 3),
        ("#.#.#.#", "...#...", 1),
        (".......", "...#...", 0),
    ],
)
def test_matchings_that_are_known(way, line, truth, n_matched):
    counts = count_matches(drawing(line).astype(np.int32), drawing(truth)[None], 1, 2 / hypot(1, 7))
    assert counts.tolist() == [[n_matched, truth.count("#"), n_matched, line.count("#")]]


def test_a_pixel_may_match_each_annotator_once(way):
    line, truths = drawing("#.#.#").astype(np.int32), [drawing("#...."), drawing("#.#..")]
    assert count_matches(line, np.array(truths), 1, 0).tolist() == [[3, 3, 2, 3]]


@pytest.mark.parametrize("tolerance, n_matched", [(0.1, 1), (0.0999, 0)])
def test_the_tolerance_is_a_share_of_the_diagonal(way, tolerance, n_matched):
    levels, truth = np.zeros((30, 40), np.int32), np.zeros((1, 30, 40), bool)
    levels[3, 3] = truth[0, 6, 7] = True  # 5 of 50 away
    assert count_matches(levels, truth, 1, tolerance)[0, 0] == n_matched


# --- suppression ----------------------------------------------------------------------------


def suppressed_one_by_one(image):
    """Return what is left, by the loops of the reference."""

    def smooth(values, *weights):
        weights, margin = np.array(weights) / sum(weights), len(weights) // 2
        for axis in (0, 1):
            wide = np.pad(
                values, [(margin, margin) if i == axis else (0, 0) for i in (0, 1)], "symmetric"
            )
            values = np.apply_along_axis(np.convolve, axis, wide, weights, "valid")
        return values

    values = smooth(image, 1, 2, 1)
    down, right = np.gradient(smooth(values, 1, 2, 3, 4, 5, 4, 3, 2, 1))
    across, (mixed, along) = np.gradient(down)[0], np.gradient(right)
    angle = np.arctan(across * np.sign(-mixed) / (along + 1e-5)) % np.pi
    left, (height, width) = values.copy(), image.shape
    for y, x in np.ndindex(height, width):
        for side in (-1, 1):
            row = min(max(y + side * np.sin(angle[y, x]), 0), height - 1.001)
            column = min(max(x + side * np.cos(angle[y, x]), 0), width - 1.001)
            i, j = int(row), int(column)
            weights = np.outer([i + 1 - row, row - i], [j + 1 - column, column - j])
            if values[y, x] * 1.01 < (values[i : i + 2, j : j + 2] * weights).sum():
                left[y, x] = 0
        for place, extent in ((y, height), (x, width)):
            left[y, x] *= min(1, place / 5, (extent - 1 - place) / 5)
    return left


@pytest.mark.parametrize("shape", [(40, 31), (31, 40)])
def test_suppression_is_that_of_the_reference(shape):
    image = gaussian_filter(np.random.default_rng(0).random(shape), 1)
    np.testing.assert_allclose(suppress(image), suppressed_one_by_one(image), atol=1e-6)


# Of exactly horizontal ridges the toolbox suppresses nothing, and so they are left to thinning.
@pytest.mark.parametrize("degrees", range(15, 180, 15))
def test_a_ridge_becomes_a_line_at_its_crest(degrees):
    y, x = np.mgrid[:48, :48] - 23.5
    angle = np.deg2rad(degrees)
    distance = x * np.sin(angle) - y * np.cos(angle)
    maxima = suppress(np.exp(-(distance**2) / 8)) > 0.05
    inside = np.hypot(x, y) < 16
    assert abs(distance[maxima & inside]).max() < 0.75
    line = thin(maxima)
    along = int(abs(np.sin(angle)) > abs(np.cos(angle)))
    assert set(line.sum(axis=along)[12:-12]) == {1}


@given(seed=st.integers(0, 2**32))
def test_suppression_commutes_with_reflections_and_transposes(seed):
    image = gaussian_filter(np.random.default_rng(seed).random((30, 41)), 1.5)
    inner = (slice(6, -6),) * 2
    maxima = suppress(image)
    for moved in (np.flipud, np.fliplr, np.transpose):
        difference = suppress(moved(image)) - moved(maxima)
        assert (abs(difference[inner]) > 1e-6).mean() < 0.01  # ties


def test_what_is_left_is_the_smoothed_map_and_fades_at_the_border():
    ridge = np.zeros((30, 15))
    ridge[:, 7] = 1
    maxima = suppress(ridge)
    np.testing.assert_allclose(maxima[:6, 7], [0, 0.1, 0.2, 0.3, 0.4, 0.5], atol=1e-6)
    np.testing.assert_allclose(maxima[15], ridge[15] / 2)
    across = suppress(ridge.T)
    assert (across[:, 15] > 0).sum() == 3
    assert thin(across > 0.1)[:, 15].sum() == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 3), (5, 1)])
def test_small_maps_are_suppressed_too(shape):
    assert suppress(np.ones(shape)).shape == shape
    scores = boundary_scores([np.ones(shape)], [np.ones(shape)], nms=False)
    assert scores.sums[0, 0, 0] == scores.sums[0, 0, 3] > 0


# --- curves ---------------------------------------------------------------------------------


def scores_of(*images):
    """Return scores for (recall, precision) of each image at every threshold, in percent."""
    sums = [[(recall, 100, precision, 100) for recall, precision in image] for image in images]
    return BoundaryScores(np.arange(1, len(images[0]) + 1) / 10, np.array(sums))


def test_the_best_f_lies_between_two_thresholds():
    scores = scores_of([(100, 50), (50, 100), (0, 0)])
    assert scores.ods == pytest.approx(0.75, abs=1e-4)  # both are 3/4 in the middle
    assert scores.threshold == pytest.approx(0.15, abs=1e-3)
    assert scores.table.f.tolist() == pytest.approx([2 / 3, 2 / 3, 0])


def test_each_image_has_its_best_threshold():
    scores = scores_of([(80, 80), (10, 20)], [(20, 20), (60, 60)])
    assert scores.per_image.tolist() == pytest.approx([0.8, 0.6])
    assert scores.ois == pytest.approx(0.7)
    assert scores.ods == pytest.approx(0.5)


def test_average_precision_is_the_area_over_the_recalls_that_are_attained():
    assert scores_of([(100, 100), (0, 100)]).ap == pytest.approx(1)
    assert scores_of([(100, 50), (50, 50)]).ap == pytest.approx(0.5 * 51 / 101)
    assert scores_of([(100, 0), (0, 100)]).ap == pytest.approx(0.5)
    falling = np.linspace(0.4, 0.2, 41)  # at recalls from 0.1 to 0.5
    several = scores_of([(50, 20), (50, 90), (10, 40), (0, 40)])
    assert several.ap == pytest.approx((10 * 0.4 + falling.sum()) / 101)


@pytest.fixture(scope="module")
def some():
    """Return maps of images that differ in size, and what one, two and three annotators marked."""
    rng = np.random.default_rng(0)
    shapes = [(20, 31), (31, 20), (17, 17)]
    maps = [gaussian_filter(rng.random(shape), 1) for shape in shapes]
    return maps, [rng.random((1 + n, *shape)) < 0.1 for n, shape in enumerate(shapes)]


@pytest.mark.parametrize("images", [[2, 0, 2], [False, True, True]])
def test_scores_of_some_images_are_those_of_their_maps(some, images):
    chosen = [[part[i] for i in np.arange(3)[images]] for part in some]
    ours, theirs = boundary_scores(*some).of(images), boundary_scores(*chosen)
    assert repr(ours) == repr(theirs)
    assert ours.table.equals(theirs.table)


def test_scores_do_not_depend_on_threads_or_on_how_annotations_are_given(some):
    maps, truths = some
    sums = boundary_scores(maps, truths).sums
    given = [truths[0][0], list(truths[1].astype(float)), truths[2].tolist()]
    np.testing.assert_array_equal(boundary_scores(maps, given, n_jobs=2).sums, sums)


# --- maps whose scores are known ------------------------------------------------------------


def test_a_perfect_map_is_perfect_and_an_empty_one_is_not(way):
    truth = thin(drawing("......#### ..####.... ##........ .......#.. ......#.#."))
    perfect = boundary_scores([truth], [truth], nms=False)
    assert (perfect.ods, perfect.ois, perfect.threshold) == (1, 1, 0.01)
    empty = boundary_scores([truth * 0], [truth])
    assert (empty.ods, empty.ois, empty.ap) == (0, 0, 0)
    assert not empty.table[["precision", "recall", "f"]].to_numpy().any()


def test_of_two_people_one_is_to_the_other_as_the_other_to_the_one(way):
    one, other = np.eye(100, dtype=bool), np.eye(100, k=1, dtype=bool) & (np.arange(100) < 60)
    ours, theirs = (
        boundary_scores([a], [b], nms=False, n_thresholds=1).table.iloc[0]
        for a, b in ((one, other), (other, one))
    )
    assert (ours.recall, ours.precision) == (theirs.precision, theirs.recall) == (1, 0.59)
    assert ours.f == theirs.f == pytest.approx(2 * 0.59 / 1.59)


def test_a_threshold_is_reached_by_what_is_as_large():
    table = boundary_scores([[[0.25, 0, 0.5]]], [[[1, 0, 1]]], nms=False, n_thresholds=3).table
    assert table.threshold.tolist() == [0.25, 0.5, 0.75]
    assert table.total_predicted.tolist() == [2, 1, 0]
    assert table.recall.tolist() == [1, 0.5, 0]


def test_an_image_without_boundaries_costs_precision_only():
    truth = np.eye(9)
    scores = boundary_scores([truth, truth], [[truth], [truth * 0]], nms=False)
    assert scores.table[["recall", "precision"]].iloc[0].tolist() == [1, 0.5]
    assert scores.per_image.tolist() == [1, 0]


TRUTH = np.eye(4)


@pytest.mark.parametrize(
    "maps, annotations, message",
    [
        ([], [], "maps and annotations must be of the same images, at least one, got 0 and 0"),
        ([TRUTH], [TRUTH] * 2, "must be of the same images.*got 1 and 2"),
        (3, [TRUTH], "maps must be a sequence, got 3"),
        (TRUTH, [TRUTH] * 4, r"maps\[0\] must be numbers of shape \(height, width\), got .*\(4,\)"),
        ([TRUTH, TRUTH * 2], [TRUTH] * 2, r"maps\[1\] must have values from 0 to 1, .* 0 to 2"),
        ([TRUTH * np.nan], [TRUTH], r"maps\[0\] must have values from 0 to 1, .*nan"),
        ([TRUTH[:0]], [TRUTH[:0]], r"maps\[0\] must be numbers"),
        ([[[0, 1], [1]]], [TRUTH], r"maps\[0\] must be numbers .* got object of shape \(2,\)"),
        ([TRUTH], [TRUTH[1:]], r"annotations\[0\] must have the shape of its map, \(4, 4\), got"),
        ([TRUTH], [[TRUTH, TRUTH[1:]]], r"annotations\[0\]\[1\] must have the shape of its map"),
        ([TRUTH], [[]], r"annotations\[0\] must be of one annotator at least"),
        ([TRUTH], [None], r"annotations\[0\] must be a sequence, got None"),
        ([TRUTH], [[TRUTH, TRUTH * 255]], r"annotations\[0\]\[1\] must be True and False"),
        ([TRUTH] * 2, [TRUTH * 0] * 2, "annotations must have a pixel .* F is undefined"),
    ],
)
def test_wrong_maps_and_annotations_are_named(maps, annotations, message):
    with pytest.raises(ValueError, match=message):
        boundary_scores(maps, annotations)


@pytest.mark.parametrize(
    "parameter",
    [
        {"nms": "yes"},
        {"n_thresholds": 0},
        {"tolerance": -1},
        {"tolerance": 2},
        {"n_jobs": 0},
        {"n_jobs": 0.5},
    ],
)
def test_wrong_parameters_are_named(parameter):
    with pytest.raises(ValueError, match=f"{next(iter(parameter))} "):
        boundary_scores([TRUTH], [TRUTH], **parameter)
