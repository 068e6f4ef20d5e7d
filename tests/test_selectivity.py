"""What channels prefer is found where it is planted: orientations, frequencies and colours."""

import numpy as np
import pandas as pd
import pytest
import torch
from fitted import fitted
from sklearn.svm import SVC
from test_inspection import assert_legible
from torch import nn

import sklstruct
from sklstruct.inspection import SelectivityDisplay, selectivity, selectivity_by_layer
from sklstruct.inspection.opened import Opened
from sklstruct.inspection.tuning import even_directions

RED_GREEN, GREY = (1, -1, 0), (1, 1, 1)


class Planted(nn.Module):
    """One convolution with given kernels, without a border, and a linear head."""

    def __init__(self, kernels, n_outputs):
        super().__init__()
        width, channels, *size = kernels.shape
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(size) - 1]
        self.conv, self.act = conv(channels, width, size), nn.ReLU()
        self.head = nn.Linear(width, n_outputs)
        self.conv.weight.data = torch.tensor(kernels)

    def forward(self, x):
        return self.head(self.act(self.conv(x)).flatten(2).mean(2))


def planted(kernels, shape, scale=1.0):
    """Return a fitted estimator whose first layer has these kernels, in units of X."""
    n_channels = kernels.shape[1]
    rng = np.random.default_rng(0)
    deviation = np.multiply(scale, np.ones(n_channels)).reshape(-1, *(1,) * len(shape))
    X = 5 + deviation * rng.normal(size=(20, n_channels, *shape))
    model = sklstruct.StructuredClassifier(
        architecture=lambda in_shape, n_outputs: Planted(kernels, n_outputs),
        layout={1: "CL", 2: "CHW", 3: "CDHW"}[len(shape)],
        train_layers="last",
        dtype="float64",
        max_epochs=1,
        random_state=0,
    ).fit(X, np.arange(20) % 2)
    with torch.no_grad():
        weight = model.net_.module_.conv.weight
        weight *= torch.from_numpy(model.scale_).reshape(-1, *(1,) * len(shape))
    return model, X


def wave(size, direction, frequency, sigma):
    """Return a cosine along a direction under a Gaussian, of mean zero."""
    direction = np.asarray(direction) / np.linalg.norm(direction)
    p = np.indices((size,) * len(direction)) - size // 2
    gauss = np.exp(-np.square(p).sum(axis=0) / (2 * sigma**2))
    cosine = np.cos(2 * np.pi * frequency * np.tensordot(direction, p, axes=1))
    return gauss * (cosine - (gauss * cosine).sum() / gauss.sum())


def row_of(model, layer="conv", **options):
    """Return what the first channel of a layer prefers."""
    return selectivity(model, layers=[layer], n_untrained=0, **options).iloc[0]


# Orientations -------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv", "act"])
@pytest.mark.parametrize(("degrees", "frequency"), [(0, 0.125), (45, 0.25), (112.5, 0.25)])
def test_a_planted_wave_is_found(degrees, frequency, layer):
    angle = np.radians(degrees)
    kernel = wave(25, (np.sin(angle), np.cos(angle)), frequency, 6.0)
    row = row_of(planted(kernel[None, None], (40, 40))[0], layer)
    assert row["orientation"] > 0.9
    assert row["frequency"] == frequency
    assert abs((row["direction"] - degrees + 90) % 180 - 90) < 0.5


def test_a_planted_wave_is_found_in_volumes():
    for direction in even_directions(3, 8)[[0, 4, 12]]:
        kernel = wave(13, direction, 0.25, 3.0)
        row = row_of(planted(kernel[None, None], (15, 14, 16))[0])
        azimuth, elevation = np.radians(row[["direction", "elevation"]].astype(float))
        found = [
            np.sin(elevation),
            np.cos(elevation) * np.sin(azimuth),
            np.cos(elevation) * np.cos(azimuth),
        ]
        assert row["orientation"] > 0.9
        assert abs(direction @ found) > np.cos(np.radians(0.5))


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_the_same_in_all_directions_prefers_none(ndim):
    size = 13
    p = np.indices((size,) * ndim) - size // 2
    squared = np.square(p).sum(axis=0)
    surround = np.exp(-squared / 2) - np.exp(-squared / 8) * 2.0**-ndim  # centre and surround
    row = row_of(planted(surround[None, None], (size + 3,) * ndim)[0], frequencies=(0.1, 0.2))
    assert row["orientation"] < 0.02


def test_responses_of_a_kernel_are_its_transfer_function():
    rng = np.random.default_rng(0)
    kernels = rng.normal(size=(3, 1, 5, 5))
    frequencies, directions = (0.1, 0.3), even_directions(2, 6)
    model, _ = planted(kernels, (12, 11), scale=3)
    table = selectivity(
        model, layers=["conv"], frequencies=frequencies, n_orientations=6, n_untrained=0
    )
    k = np.multiply.outer(frequencies, directions)
    waves = np.exp(2j * np.pi * np.tensordot(k, np.indices((5, 5)), axes=1))
    transfer = np.abs(np.tensordot(kernels[:, 0], waves, axes=([1, 2], [2, 3])))
    transfer *= model.scale_[0]
    for (_, row), responses in zip(table.iterrows(), transfer, strict=True):
        best = responses[responses.max(axis=1).argmax()]
        doubled = np.exp(2j * np.arctan2(directions[:, 0], directions[:, 1]))
        mean = (best * doubled).sum() / best.sum()
        assert row["response"] == pytest.approx(best.max())
        assert row["orientation"] == pytest.approx(abs(mean))
        assert row["direction"] == pytest.approx(np.degrees(np.angle(mean)) / 2 % 180)


def test_there_is_no_orientation_in_1d_and_none_of_silent_channels():
    kernels = np.zeros((2, 1, 9))
    kernels[0, 0] = wave(9, (1,), 0.25, 2.0)
    model, _ = planted(kernels, (30,))
    table = selectivity(model, layers=["conv"], n_untrained=0)
    assert table["frequency"].tolist()[0] == 0.25
    assert np.isnan(table["frequency"][1])
    assert table[["orientation", "direction", "elevation", "colour"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="NaN alone"):
        SelectivityDisplay(table)


# Colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv", "act"])
def test_grey_filters_see_no_colour_and_opponent_ones_nothing_else(layer):
    blob = np.exp(-np.square(np.indices((5, 5)) - 2).sum(axis=0) / 2)
    colours = [GREY, RED_GREEN, (1, 1, -2), (1, 0, 0)]
    kernels = np.multiply.outer(np.array(colours, float), blob)
    model, X = planted(kernels, (12, 12), scale=(1, 2, 4))  # deviations must not matter
    table = selectivity(model, X, layers=[layer], n_untrained=0)
    for name in ("grating_colour", "colour"):
        assert table[name][0] == pytest.approx(0, abs=1e-6)
        assert table[name][1] == pytest.approx(1, abs=1e-6)
        assert table[name][2] == pytest.approx(1, abs=1e-6)
        assert 0.2 < table[name][3] < 0.9


def test_colour_counts_where_a_channel_responds_most():
    kernels = np.multiply.outer(np.array([RED_GREEN, GREY, (1, 0, 0)], float), np.ones((1, 1)))
    model, X = planted(kernels, (6, 6))
    found = selectivity(model, X, layers=["conv"], n_untrained=0)["colour"]
    X = X - model.mean_[:, None, None]
    reds, grey = X[:, 0].reshape(20, -1), X.mean(axis=1).reshape(20, -1)
    place = reds.argmax(axis=1)
    rows = np.argsort(-reds.max(axis=1))[:2]  # a tenth
    expected = 1 - np.maximum(grey[rows, place[rows]], 0).sum() / reds.max(axis=1)[rows].sum()
    assert found[2] == pytest.approx(expected)


# Networks -----------------------------------------------------------------------------------


def test_untrained_networks_are_drawn_anew_and_leave_the_fitted_one_alone():
    model, X, _ = fitted("resnet_20")
    before = {name: value.clone() for name, value in model.net_.module_.state_dict().items()}
    said = model.predict_proba(X)
    table = selectivity(model, n_untrained=2, layers=["stages.stem", "stages.stage1"])
    assert table["network"].unique().tolist() == ["fitted", "untrained 1", "untrained 2"]
    responses = [part["response"].to_numpy() for _, part in table.groupby("network")]
    assert not np.allclose(responses[1], responses[2])
    again = selectivity(model, n_untrained=2, layers=["stages.stem", "stages.stage1"])
    pd.testing.assert_frame_equal(table, again)
    for name, value in model.net_.module_.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(layer._forward_hooks for layer in model.net_.module_.modules())
    np.testing.assert_array_equal(model.predict_proba(X), said)


def test_an_untrained_network_is_what_a_training_starts_from():
    _, X, y = fitted("rfnn")
    source = sklstruct.RFNNClassifier(widths=(6, 6), max_epochs=1, random_state=1).fit(X, y)
    model = sklstruct.RFNNClassifier(
        widths=(6, 6), max_epochs=1, random_state=0, init={"stages.0": source}
    ).fit(X, y)
    start = Opened(model).untrained(0)
    for own, other in zip(
        start.network.stages[0].parameters(),
        source.net_.module_.stages[0].parameters(),
        strict=True,
    ):
        assert torch.equal(own, other)
    assert start.network is not model.net_.module_


def test_medians_have_the_intervals_of_order_statistics():
    values = np.random.default_rng(0).permutation(25) / 25
    rows = {"network": "fitted", "layer": "a", "depth": 1, "orientation": values}
    table = pd.DataFrame(rows | {"grating_colour": np.nan, "colour": np.nan})
    few = table[:4].assign(network="untrained 1")
    medians = selectivity_by_layer(pd.concat([table, few]))
    assert medians["network"].tolist() == ["fitted", "untrained"]
    # Of 25 values, the 8th and the 18th: 96 % of 2^25 ways to lie about the median.
    assert medians.iloc[0, 4:].tolist() == [25, 12 / 25, 7 / 25, 17 / 25]
    assert medians[["low", "high"]].iloc[1].isna().all()


def test_what_cannot_be_measured_is_told():
    model, X, _ = fitted("rfnn")
    assert selectivity(model, X, n_untrained=0)["colour"].isna().all()
    for changes, error, message in (
        ({"frequencies": (0.6,)}, ValueError, "frequencies must be a sequence of numbers above"),
        ({"frequencies": ()}, ValueError, "frequencies"),
        ({"n_orientations": 2}, ValueError, "n_orientations"),
        ({"n_untrained": -1}, ValueError, "n_untrained"),
        ({"layers": ["stages.7"]}, ValueError, "layers"),
        ({"estimator": SVC()}, TypeError, "got SVC"),
    ):
        with pytest.raises(error, match=message):
            selectivity(**({"estimator": model} | changes))


def test_display():
    model, X, _ = fitted("resnet_20")
    display = SelectivityDisplay.from_estimator(model, X)
    assert len(display.axes_) == 3
    assert_legible(display.figure_)
    medians = display.medians.query("measure == 'colour'")["median"].tolist()
    drawn = [line.get_ydata().tolist() for line in display.axes_[2].lines[:2]]
    assert drawn == [medians[:5], medians[5:]]  # of the fitted network, then the untrained one
    digits = SelectivityDisplay.from_estimator(fitted("hierarchical")[0])
    assert len(digits.axes_) == 1
    assert_legible(digits.figure_)
