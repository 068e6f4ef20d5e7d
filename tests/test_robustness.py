"""Noise in the coefficients of networks: what theory says it does to kernels, and nothing stays."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from test_inspection import assert_legible
from torch import nn

from sklstruct import RFNNClassifier, RFNNRegressor, StructuredClassifier
from sklstruct.frames import Frame, Framelets, GaussianDerivatives, Pixels
from sklstruct.inspection import RobustnessDisplay, coefficient_robustness
from sklstruct.inspection.frame_layers import frame_layers, unit_coefficients
from sklstruct.inspection.robustness import energy, least_norm
from sklstruct.layers import CoarseFrameConv, FrameConv

EXACT = {"dtype": "float64", "max_epochs": 1, "random_state": 0, "widths": (16, 16)}
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 8, 8)), np.arange(40) % 2
X[Y == 1, :4] += 0.3


def fitted(frame="gaussian", **params):
    return RFNNClassifier(frame=frame, **{**EXACT, **params}).fit(X, Y)


def repeated(times):
    """Return a network on a frame that has every pixel several times, and its pixel twin."""
    atoms = np.concatenate([Pixels(size=3).build(2).atoms] * times)
    model, twin = fitted(Frame("repeated", atoms)), fitted(Pixels(size=3))
    shapes = {name: value.shape for name, value in state(model).items()}
    model.net_.module_.load_state_dict(
        {
            name: value if value.shape == shapes[name] else value.repeat(1, 1, times) / times
            for name, value in state(twin).items()
        }
    )
    return model, twin


def state(model):
    return {name: value.clone() for name, value in model.net_.module_.state_dict().items()}


def test_without_noise_scores_are_exact_and_afterwards_nothing_has_changed():
    models = {"gaussian": fitted(), "pixel": fitted("pixel"), "paper": fitted(preset="paper")}
    before = {name: state(model) for name, model in models.items()}
    options = {"n_draws": 2, "random_state": 0}
    table = coefficient_robustness(models, X, Y, **options)
    assert len(table) == 3 * 5 * 2
    for name, part in table.groupby("estimator"):
        clean = part[part["noise"] == 0]
        assert (clean["score"] == models[name].score(X, Y)).all()
        assert (clean["kernel_change"] == 0).all()
        now = models[name].net_.module_.state_dict()
        assert all(torch.equal(value, now[key]) for key, value in before[name].items())
    pd.testing.assert_frame_equal(table, coefficient_robustness(models, X, Y, **options))
    alone = coefficient_robustness(models["pixel"], X, Y, **options)
    part = table[table["estimator"] == "pixel"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, part.assign(estimator="RFNNClassifier"))


def test_nothing_has_changed_after_an_error(monkeypatch):
    model, calls = fitted(), []
    before = state(model)

    def score(self, X, y):
        calls.append(state(self))
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return 0.5

    monkeypatch.setattr(type(model), "score", score)
    with pytest.raises(RuntimeError, match="out of memory"):
        coefficient_robustness(model, X, Y, noise=(0.1,))
    assert not torch.equal(calls[2]["stages.1.0.weight"], before["stages.1.0.weight"])
    assert all(torch.equal(value, state(model)[name]) for name, value in before.items())


@pytest.mark.parametrize("times", [2, 4, 9])
def test_a_tight_frame_of_redundancy_k_lets_through_a_kth_of_the_noise(times):
    model, twin = repeated(times)
    np.testing.assert_allclose(model.predict_proba(X), twin.predict_proba(X), rtol=1e-9)
    options = {"noise": (0.3,), "n_draws": 5, "random_state": 0}
    table = coefficient_robustness({"repeated": model, "pixel": twin}, X, Y, **options)
    change = np.sqrt((table.set_index("estimator")["kernel_change"] ** 2).groupby(level=0).mean())
    assert change["pixel"] == pytest.approx(0.3, rel=0.03)
    assert change["repeated"] == pytest.approx(0.3 / np.sqrt(times), rel=0.03)
    # As learned the coefficients may hold anything that adds nothing to the kernels.
    layer = model.net_.module_.stages[1][0]
    with torch.no_grad():
        layer.weight += torch.tensor([5.0, *[0.0] * 8, -5.0, *[0.0] * (9 * times - 10)])
    learned, canonical = (
        coefficient_robustness(model, X, Y, coefficients=which, **options)["kernel_change"].mean()
        for which in ("learned", "canonical")
    )
    assert canonical == pytest.approx(0.3 / np.sqrt(times), rel=0.03)
    assert learned > 2 * canonical


@pytest.mark.parametrize(
    "params",
    [{}, {"preset": "paper"}, {"frame": Framelets()}, {"frame": GaussianDerivatives(order=4)}],
)
def test_kernels_change_as_the_gram_matrix_says(params):
    model = fitted(**params)
    shares = []
    for layer in frame_layers(model).values():
        c, kernels = unit_coefficients(layer), layer.kernel.numpy(force=True)
        shares.append((c**2).sum() / (kernels**2).sum())
    table = coefficient_robustness(model, X, Y, noise=(0.2,), random_state=0)
    wanted = 0.2**2 * np.mean(shares)
    assert (table["kernel_change"] ** 2).mean() == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("learn_scale", [False, True, "channel"])
def test_the_energy_of_coefficients_is_that_of_their_kernels(learn_scale):
    layer = FrameConv(2, 3, "gaussian", learn_scale=learn_scale).double()
    if layer.scale is not None:  # away from where it started
        nn.init.uniform_(layer.scale.log_factor, -0.5, 0.5)
    wanted = float(layer.kernel.detach().square().sum())
    assert energy(unit_coefficients(layer), layer) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("learn_scale", [True, "channel"])
def test_least_coefficients_make_the_same_kernels_at_learned_scales(learn_scale):
    layer = FrameConv(2, 3, "gaussian_first", learn_scale=learn_scale).double()
    nn.init.uniform_(layer.scale.log_factor, -0.3, 0.2)
    nn.init.normal_(layer.weight)
    given = unit_coefficients(layer)
    least = least_norm(given, layer)
    rows = layer.scale().numpy(force=True) / layer.frame.norms[:, np.newaxis]
    np.testing.assert_allclose(least @ rows, given @ rows, atol=1e-5)
    assert np.linalg.norm(least) < 0.99 * np.linalg.norm(given)


def test_scores_are_those_of_the_noisy_kernels(monkeypatch):
    """What the table says has changed is what the network computes with."""
    model, kernels = fitted(preset="paper"), []

    def score(self, X, y):
        layers = frame_layers(self).values()
        kernels.append([layer.kernel.numpy(force=True) for layer in layers])
        return 0.5

    monkeypatch.setattr(type(model), "score", score)
    table = coefficient_robustness(model, X, Y, noise=(0.1, 0.4), n_draws=1, random_state=0)
    clean = kernels[0]
    for noisy, change in zip(kernels[1:], table["kernel_change"], strict=True):
        pairs = zip(noisy, clean, strict=True)
        shares = [((a - b) ** 2).sum() / (b**2).sum() for a, b in pairs]
        assert change == pytest.approx(np.sqrt(np.mean(shares)), rel=1e-9)


def test_kernels_too_large_to_be_built_are_no_hindrance():
    """At scale 16 in space, the atoms alone would take half a gigabyte."""

    def build(in_shape, n_outputs):
        layer = CoarseFrameConv(1, 2, GaussianDerivatives(order=2, scales=(1, 4, 16)), ndim=3)
        return nn.Sequential(layer, nn.Flatten(), nn.Linear(2 * 6**3, n_outputs))

    volumes = RNG.normal(size=(6, 6, 6, 6))
    model = StructuredClassifier(architecture=build, max_epochs=1).fit(volumes, Y[:6])
    table = coefficient_robustness(model, volumes, Y[:6], n_draws=1, random_state=0)
    assert (table["kernel_change"][1:] > 0).all()
    assert "atoms" not in vars(model.net_.module_[0].frame)


def test_the_score_of_a_regressor_is_its_own():
    model = RFNNRegressor(**EXACT).fit(X, X[:, 2, 2])
    table = coefficient_robustness(model, X, X[:, 2, 2], noise=[0, 1], n_draws=1, random_state=0)
    assert table["score"][0] == model.score(X, X[:, 2, 2])


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"noise": (0.1, -1)}, ValueError, "Each of noise must be a finite number of at least 0"),
        ({"noise": ()}, ValueError, "noise and estimators must have at least one entry"),
        ({"noise": 0.1}, ValueError, "noise must be a sequence, got 0.1"),
        ({"n_draws": 0}, ValueError, "n_draws must be an integer of at least 1, got 0"),
        ({"coefficients": "dual"}, ValueError, "coefficients must be one of"),
        ({"random_state": "a"}, ValueError, "random_state must be"),
    ],
)
def test_a_bad_parameter_is_named(params, error, message):
    with pytest.raises(error, match=message):
        coefficient_robustness(fitted(), X, Y, **params)


def test_what_has_no_coefficients_is_refused():
    linear = StructuredClassifier(architecture="linear", max_epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="StructuredClassifier has no frame layers"):
        coefficient_robustness({"linear": linear}, X, Y)
    with pytest.raises(ValueError, match=r"results must be a table with the columns \['estimator'"):
        RobustnessDisplay(pd.DataFrame({"noise": [0.1]}))


@pytest.mark.parametrize("several", [False, True])
def test_the_picture_can_be_read(several, tmp_path):
    models = {"gaussian": fitted(), "pixel": fitted("pixel")} if several else fitted()
    display = RobustnessDisplay.from_estimators(models, X, Y, n_draws=3, random_state=0)
    assert len(display.axes_) == 2
    assert len(display.axes_[0].lines) == 1 + several
    line = display.axes_[0].lines[0]
    part = display.to_frame().groupby(["estimator", "noise"], sort=False)["score"].mean()
    np.testing.assert_allclose(line.get_ydata(), part[:5])
    assert 0.2 in line.get_xdata()
    assert_legible(display.figure_)
    drawn = display.plot(Figure(figsize=(8, 4))).save(tmp_path / "robustness.png")
    assert drawn.figure_.get_figwidth() == 8
