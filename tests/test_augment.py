import pickle
from math import isqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from sklstruct.training.augment import (
    Augment,
    augmentation,
    resample,
    rotations,
    sampling_grid,
    smoothing,
)

SHAPES = {1: (15,), 2: (11, 15), 3: (9, 13, 11)}  # odd, so that there is a sample at the centre
EVERYTHING = Augment(0.1, 20, 0.2, 0.1, 0.03, 0.2, True, 0.3, 0.2, 0.1)
seeds = st.integers(0, 2**32)
dimensions = st.sampled_from([1, 2, 3])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n, channels, spatial, dtype=torch.float64, seed=1):
    return torch.randn(n, channels, *spatial, generator=generator(seed), dtype=dtype)


def coordinates(n, spatial):
    """A batch whose channels are the positions, counted from the centre."""
    axes = [torch.arange(size, dtype=torch.float64) - size // 2 for size in spatial]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).repeat(n, *(1,) * (len(spatial) + 1))


def positions_at_centre(augment, spatial, seed, n=32):
    """Where the centre is taken from, (n, ndim): linear interpolation of a ramp is exact."""
    moved = augment(coordinates(n, spatial), generator(seed))
    return moved[(..., *(size // 2 for size in spatial))]


def maps(augment, spatial, seed, n=32):
    """The linear maps from output to input, (n, ndim, ndim), for augmentations about the centre."""
    moved = augment(coordinates(n, spatial), generator(seed))
    columns = []
    for axis in range(len(spatial)):
        step = [size // 2 + (k == axis) for k, size in enumerate(spatial)]
        columns.append(moved[(..., *step)])
    return torch.stack(columns, dim=-1)


def quarter_turn(x, first, second):
    """Resample with the rotation by 90 degrees of the first axis towards the second."""
    ndim = x.ndim - 2
    plane = torch.zeros(len(x), ndim, ndim, dtype=x.dtype)
    plane[:, second, first] = 1
    angle = torch.full((len(x),), torch.pi / 2, dtype=x.dtype)
    still = torch.zeros(len(x), ndim, dtype=x.dtype)
    return resample(x, sampling_grid(tuple(x.shape[2:]), rotations(angle, plane), still))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_without_strength_the_very_batch_comes_back(ndim):
    x = batch(2, 3, SHAPES[ndim])
    assert Augment()(x, generator()) is x


@pytest.mark.parametrize("spatial", [(7, 7), (6, 10), (4, 8, 6), (5, 5, 9)])
def test_quarter_turns_move_samples_exactly(spatial):
    x = batch(2, 2, spatial)
    for first, second in [(0, 1), (0, 2), (1, 2)][: 2 * len(spatial) - 3]:
        size = min(spatial[first], spatial[second])
        inside = [slice(None)] * x.ndim
        for axis in (first, second):
            start = (spatial[axis] - size) // 2
            inside[axis + 2] = slice(start, start + size)
        square = x[tuple(inside)].numpy()
        expected = np.rot90(square, -1, axes=(first + 2, second + 2))
        turned = quarter_turn(x, first, second)[tuple(inside)]
        np.testing.assert_allclose(turned, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [(3,), (2, -3), (1, -2, 3)])
def test_whole_shifts_move_samples_exactly_and_repeat_the_border(steps):
    spatial = SHAPES[len(steps)]
    x = batch(2, 2, spatial)
    shift = torch.tensor([steps], dtype=x.dtype) / torch.tensor(spatial)
    eye = torch.eye(len(steps), dtype=x.dtype)[None]
    grid = sampling_grid(spatial, eye.repeat(2, 1, 1), shift.repeat(2, 1))
    sources = [np.clip(np.arange(n) - s, 0, n - 1) for n, s in zip(spatial, steps, strict=True)]
    expected = x.numpy()[(slice(None), slice(None), *np.ix_(*sources))]
    np.testing.assert_allclose(resample(x, grid), expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(angle=st.floats(0, 180), ndim=st.sampled_from([2, 3]), seed=seeds)
def test_rotations_are_rigid_in_samples_and_within_the_angle(angle, ndim, seed):
    matrices = maps(Augment(rotation=angle), SHAPES[ndim], seed)
    eye = torch.eye(ndim, dtype=matrices.dtype).expand_as(matrices)
    torch.testing.assert_close(matrices @ matrices.mT, eye, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.linalg.det(matrices), eye[:, 0, 0], rtol=0, atol=1e-9)
    cosines = (matrices.diagonal(dim1=1, dim2=2).sum(1) - (ndim - 2)) / 2
    assert cosines.min() >= np.cos(np.radians(angle)) - 1e-9


def test_rotations_reach_the_angle_both_ways_and_every_axis():
    plane = maps(Augment(rotation=40.0), SHAPES[2], seed=0, n=500)
    angles = torch.rad2deg(torch.atan2(plane[:, 1, 0], plane[:, 0, 0]))
    assert angles.min() < -39
    assert angles.max() > 39
    space = maps(Augment(rotation=40.0), SHAPES[3], seed=0, n=500)
    axes = torch.stack([(space - space.mT)[:, i, j] for i, j in ((2, 1), (0, 2), (1, 0))], dim=1)
    axes = axes / axes.norm(dim=1, keepdim=True)
    covariance = axes.T @ axes / len(axes)  # of the uniform law on the sphere: a third of I
    torch.testing.assert_close(
        covariance, torch.eye(3, dtype=axes.dtype) / 3, rtol=0, atol=5 * (4 / 45 / 500) ** 0.5
    )


@settings(deadline=None, max_examples=30)
@given(shift=st.floats(0, 0.4), ndim=dimensions, seed=seeds)
def test_shifts_are_within_their_share_of_every_extent(shift, ndim, seed):
    positions = positions_at_centre(Augment(shift=shift), SHAPES[ndim], seed, n=128)
    share = positions.abs() / torch.tensor(SHAPES[ndim])
    assert (share.amax(0) <= shift + 1e-9).all()
    assert (share.amax(0) >= 0.8 * shift - 1e-9).all()


def test_whole_shifts_give_the_crops_of_a_padded_image():
    n, image = 500, batch(1, 2, (16, 8))
    moved = Augment(shift=0.125, whole_shifts=True)(image.expand(n, -1, -1, -1), generator())
    padded = np.pad(image[0].numpy(), ((0, 0), (2, 2), (1, 1)), mode="edge")
    crops = [padded[:, a : a + 16, b : b + 8] for a in range(5) for b in range(3)]
    distances = np.array([abs(moved.numpy() - crop).max(axis=(1, 2, 3)) for crop in crops])
    assert distances.min(axis=0).max() < 1e-12
    assert set(distances.argmin(axis=0)) == set(range(15))


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(0, 1), ndim=dimensions, seed=seeds)
def test_sizes_are_within_their_factor(scale, ndim, seed):
    matrices = maps(Augment(scale=scale), SHAPES[ndim], seed, n=128)
    sizes = 1 / matrices[:, 0, 0]
    eye = torch.eye(ndim, dtype=matrices.dtype)
    torch.testing.assert_close(matrices * sizes[:, None, None], eye.expand_as(matrices))
    logs = sizes.log() / np.log1p(max(scale, 1e-6))
    assert logs.abs().max() <= 1 + 1e-6
    assert scale < 1e-3 or logs.abs().max() >= 0.8


@settings(deadline=None, max_examples=30)
@given(shear=st.floats(0, 0.9), ndim=st.sampled_from([2, 3]), seed=seeds)
def test_shears_are_within_bounds_off_the_diagonal(shear, ndim, seed):
    entries = maps(Augment(shear=shear), SHAPES[ndim], seed, n=128)
    eye = torch.eye(ndim, dtype=entries.dtype)
    extreme = (entries - eye).abs().amax(0)
    assert (extreme <= (1 - eye) * shear + 1e-9).all()
    assert (extreme >= (1 - eye) * 0.8 * shear - 1e-9).all()


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_elastic_is_the_standard_deviation_of_the_displacement(ndim):
    n = 2000
    positions = positions_at_centre(Augment(elastic=0.05), SHAPES[ndim], seed=0, n=n)
    share = positions / torch.tensor(SHAPES[ndim])
    deviations = share.square().mean(0).sqrt()
    expected = torch.full((ndim,), 0.05, dtype=deviations.dtype)
    torch.testing.assert_close(deviations, expected, rtol=5 / (2 * n) ** 0.5, atol=0)


def test_smoothed_noise_has_the_covariance_of_its_gaussian():
    extent, smoothness = 51, 0.1
    band = smoothing(extent, smoothness)
    points = torch.linspace(0, 1, extent)
    expected = torch.exp(-((points[:, None] - points) ** 2) / (4 * smoothness**2))
    covariance = band @ band.T
    inner = slice(15, 36)  # near the border, only the variance is that of white noise
    torch.testing.assert_close(covariance[inner, inner], expected[inner, inner], rtol=0, atol=2e-3)
    torch.testing.assert_close(covariance.diagonal(), torch.ones(extent))
    torch.testing.assert_close(smoothing(4, 1e-3), torch.eye(4))


@pytest.mark.parametrize(
    "flip, axes", [(True, [-1]), ((0,), [2]), ([-1], [-1]), ((0, -1, 0), [2, -1])]
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_flips_mirror_every_axis_with_probability_one_half(flip, axes, ndim):
    n = 400
    image = batch(1, 1, SHAPES[ndim])
    moved = Augment(flip=flip)(image.expand(n, *image.shape[1:]), generator())
    possible = [image]
    for axis in axes:
        possible += [x.flip(axis) for x in possible]
    near = torch.stack([torch.isclose(moved, x).flatten(1).all(1) for x in possible])
    share = 1 / len(possible)
    assert near.sum() == n
    assert (abs(near.sum(1) - n * share) < 5 * isqrt(int(n * share * (1 - share)))).all()


@settings(deadline=None, max_examples=20)
@given(contrast=st.floats(1e-3, 1), brightness=st.floats(0, 3), seed=seeds)
def test_intensity_is_affine_about_the_mean_of_each_channel(contrast, brightness, seed):
    x = batch(128, 2, (5, 6)) + 3
    moved = Augment(contrast=contrast, brightness=brightness)(x, generator(seed))
    means, centred = x.mean((2, 3), keepdim=True), moved.mean((2, 3), keepdim=True)
    offsets = (centred - means)[:, :, 0, 0]
    factors = ((moved - centred) / (x - means)).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-6, atol=0)
    torch.testing.assert_close(offsets[:, 0], offsets[:, 1])
    logs = factors[:, 0].log() / np.log1p(contrast)
    assert 0.8 < logs.abs().max() < 1 + 1e-6
    assert 0.8 * brightness - 1e-9 <= offsets.abs().max() <= brightness + 1e-9


def test_noise_is_white():
    n = 100
    x = batch(n, 2, (10, 10))
    difference = Augment(noise=0.3)(x, generator()) - x
    assert abs(difference.std() / 0.3 - 1) < 5 / (2 * difference.numel()) ** 0.5
    neighbours = difference[..., 1:] * difference[..., :-1]
    assert abs(neighbours.mean()) < 5 * 0.09 / neighbours.numel() ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spatial", [(20,), (7, 12), (6, 5, 8), (1, 9)])
def test_shape_and_type_are_kept_and_a_constant_stays_constant(spatial, dtype):
    x = batch(3, 2, spatial, dtype)
    before = x.clone()
    moved = EVERYTHING(x, generator())
    assert (moved.shape, moved.dtype) == (x.shape, dtype)
    assert moved.isfinite().all()
    assert torch.equal(x, before)
    geometry = Augment(0.3, 90, 0.5, 0.3, 0.1, flip=True)
    torch.testing.assert_close(geometry(torch.full_like(x, 0.7), generator()), x * 0 + 0.7)


def test_equal_generators_give_equal_batches_whatever_the_global_state():
    x = batch(4, 1, (8, 9), torch.float32)[:1].expand(4, -1, -1, -1)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = EVERYTHING(x, generator(5))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(EVERYTHING(x, generator(5)), first)
    assert not torch.equal(EVERYTHING(x, generator(6)), first)
    assert len(torch.unique(first, dim=0)) == 4  # every sample has its own draw


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_the_batch_may_live_on_another_device_than_the_generator(ndim):
    x = torch.empty(2, 3, *SHAPES[ndim], device="meta")
    moved = EVERYTHING(x, generator())
    assert (moved.device, moved.shape) == (x.device, x.shape)


def test_is_a_parameter_object():
    copy = clone(EVERYTHING)
    assert copy is not EVERYTHING
    assert copy == pickle.loads(pickle.dumps(EVERYTHING)) == EVERYTHING
    assert copy.set_params(rotation=5.0).rotation == 5.0
    with pytest.raises(ValueError, match=r"'angle'.*rotation"):
        copy.set_params(angle=5.0)


def test_choices_of_augmentation():
    own = Augment(shift=0.1)
    assert augmentation(None) is None
    assert augmentation(own) is own
    assert augmentation(torch.add) is torch.add
    assert augmentation("digits") == augmentation("digits") is not augmentation("digits")
    assert augmentation("digits").flip is False
    assert augmentation("natural").flip is True
    assert augmentation("crops") == Augment(shift=0.125, whole_shifts=True, flip=True)
    with pytest.raises(ValueError, match=r"'digits', 'natural', 'crops', 'flips'.*'letters'"):
        augmentation("letters")
    for wrong in (Augment, 3):
        with pytest.raises(TypeError, match=r"augment must be None, one of .*digits"):
            augmentation(wrong)


@pytest.mark.parametrize(
    "name", [n for n in Augment().get_params() if n not in ("flip", "whole_shifts")]
)
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, "much", True, None])
def test_strengths_are_checked_on_call(name, value):
    augment = Augment(**{name: value})
    with pytest.raises(ValueError, match=f"^{name} of Augment must be"):
        augment(batch(1, 1, (4, 4)), generator())


@pytest.mark.parametrize(
    "params, message",
    [
        ({"rotation": 181}, "rotation of Augment must be .* at most 180, got 181"),
        (
            {"elastic_smoothness": 0},
            "elastic_smoothness of Augment must be a finite number above 0",
        ),
        ({"flip": (2,)}, "flip must be .* from -2 to 1"),
        ({"flip": (0, -3)}, "flip must be"),
        ({"flip": "x"}, "flip must be"),
        ({"flip": 1}, "flip must be"),
        ({"whole_shifts": 1}, "whole_shifts of Augment must be True or False, got 1"),
    ],
)
def test_other_bad_parameters_are_named(params, message):
    with pytest.raises(ValueError, match=message):
        Augment(**params)(batch(1, 1, (4, 4)), generator())


def test_bad_batches_are_refused():
    with pytest.raises(TypeError, match=r"torch\.uint8"):
        Augment()(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), generator())
    for shape in [(4, 4), (1, 1, 2, 2, 2, 2)]:
        with pytest.raises(ValueError, match="x must have the shape"):
            Augment()(torch.zeros(shape), generator())
