"""What structure saves, counted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from sklstruct import (
    HierarchicalCNNClassifier,
    PixelSVC,
    RFNiNClassifier,
    RFNNClassifier,
    StructuredClassifier,
    plugins,
)
from sklstruct.inspection import structure, write_report
from sklstruct.layers import CONV, FrameConv, Weights
from sklstruct.studies import Results, limited_data

STEPS = [*Weights._fields]
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}


def test_the_example_of_sparse_connections_and_shared_parameters():
    table = structure(nn.Conv2d(1, 1, 2), in_shape=(1, 3, 3))
    row = table.loc["network"]
    assert row[["dense", "local", "shared", "parameters"]].tolist() == [36, 16, 4, 5]
    assert row.out_shape == (1, 2, 2)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 2).flatmap(lambda d: st.tuples(*[st.integers(1, 6)] * d)),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 3),
    st.sampled_from(["free", "gaussian", "groups", "transposed", "dilated"]),
)
def test_connections_are_those_that_a_gradient_sees(extents, support, stride, kind):
    if kind == "gaussian":
        frame = plugins.lookup("frame", "gaussian")(order=2, size=5)
        layer = FrameConv(2, 3, frame, ndim=len(extents), stride=stride)
    else:
        groups = 2 if kind == "groups" else 1
        options = {"stride": stride, "padding": support // 2, "groups": groups}
        if kind == "dilated":
            options |= {"dilation": 2, "padding": support - 1}
        make = TRANSPOSED if kind == "transposed" else CONV
        layer = make[len(extents)](2, 4, support, **options)
    with torch.no_grad():  # no weight is zero by chance
        layer.weight.copy_(torch.rand_like(layer.weight) + 0.5)
    weights = Weights(*structure(layer, (2, *extents))[STEPS].iloc[0])
    jacobian = torch.autograd.functional.jacobian(layer, torch.zeros(1, 2, *extents))
    assert weights.dense == jacobian.numel()
    if kind != "gaussian":  # whose kernels may have zeros
        assert weights.local == np.count_nonzero(jacobian)
        assert weights.shared == layer.weight.numel()
    else:
        free = CONV[len(extents)](2, 3, 5, stride=stride, padding=2)
        same = structure(free, (2, *extents))[STEPS[:3]].iloc[0].tolist()
        assert [*weights[:3]] == same
        assert weights.frame == layer.weight.numel()


@pytest.mark.parametrize("mode", ["circular", "reflect", "replicate"])
def test_connections_beyond_the_sample_are_counted_once(mode):
    convolution = FrameConv(1, 1, "pixel", padding_mode=mode)
    for layer in (convolution, convolution.to_dense()):
        with torch.no_grad():
            layer.weight.fill_(1)
        jacobian = torch.autograd.functional.jacobian(layer, torch.zeros(1, 1, 4, 5))
        assert structure(layer, (1, 4, 5)).local.item() == np.count_nonzero(jacobian)


def test_a_layer_that_runs_twice_has_the_connections_of_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(input=self.layer(x))

    assert structure(Twice(), (3,))[STEPS].to_numpy().tolist() == [[18, 18, 9, 9, 9]]


@pytest.mark.parametrize("in_shape", [(3, 32, 32), (1, 24, 24)])
@pytest.mark.parametrize("name", sorted(plugins.entries("architecture")))
def test_no_step_of_structure_adds_weights_and_all_parameters_are_there(name, in_shape):
    architecture = plugins.lookup("architecture", name)
    architecture = architecture() if isinstance(architecture, type) else architecture
    network = getattr(architecture, "build", architecture)(in_shape, 10)
    table = structure(network, in_shape)
    assert table.parameters.sum() == sum(p.numel() for p in network.parameters())
    steps = table[STEPS].to_numpy()
    assert (np.diff(steps, axis=1) <= 0).all(), table
    assert (table.attributes <= table.parameters).all(), table
    assert (steps[:, 0] > 0).any()


def test_weights_that_frames_and_attributes_save():
    table = RFNNClassifier().describe((1, 28, 28), 10)
    convolutions = table[table.kind == "FrameConv"]
    assert convolutions.shared.tolist() == [64 * 49, 64 * 64 * 49, 64 * 64 * 49]
    assert convolutions.frame.tolist() == [640, 40960, 40960]
    twin = RFNNClassifier(frame="pixel").describe((1, 28, 28), 10)
    assert (twin.frame == twin.shared).all()
    deep = HierarchicalCNNClassifier(preset="cifar10+").describe((3, 32, 32), 10)
    layer = deep[deep.kind == "AttributeConv"].iloc[-2]
    maps = 4 * 8 * 16  # of v1, v2 and v3
    assert layer.shared == maps * maps * 9
    assert layer.attributes == 32 * 9 + 16 * 32 * 77


def test_fitted_estimators_know_their_samples():
    X = np.random.default_rng(0).normal(size=(8, 12, 12))
    model = RFNNClassifier(widths=(4, 4), max_epochs=1).fit(X, [0, 1, 2, 0] * 2)
    table = make_pipeline("passthrough", model)
    assert structure(table).equals(model.describe())
    search = GridSearchCV(model, {}, cv=2).fit(X, [0, 1, 2, 0] * 2)
    assert structure(search).shape == model.describe().shape
    assert model.describe().parameters.sum() == model.n_parameters_
    assert model.describe().out_shape.iloc[-1] == (3,)
    assert not model.net_.module_.training
    rfnin = RFNiNClassifier(widths=(4, 4)).describe((1, 12, 12))
    assert {*STEPS, "atoms", "receptive_field"} <= {*rfnin.columns}
    conv = rfnin.iloc[0]
    assert conv.frame == conv.atoms * 4


def test_what_cannot_be_described_is_told():
    for estimator in (RFNNClassifier(), StructuredClassifier(architecture="mlp")):
        with pytest.raises(ValueError, match=r"in_shape must be \(channels, \*spatial\)"):
            estimator.describe()
    for shape in (8, (1, 0, 8), "18", (1, 8.0)):
        with pytest.raises(ValueError, match=r"in_shape must be \(channels, \*spatial\), integers"):
            structure("rfnn", shape)
    with pytest.raises(ValueError, match="Unknown architecture 'rfn'"):
        structure("rfn", (1, 8, 8))


def test_studies_say_what_their_networks_save(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(24, 10, 10)), np.arange(24) % 2
    models = {"b": RFNNClassifier(widths=(4, 4), max_epochs=1), "a": PixelSVC()}
    expected = models["b"].describe((1, 10, 10), 2)[STEPS].sum().to_dict()
    results = limited_data(models, X, y, sizes=[8], n_draws=2, out=tmp_path / "few")
    for found in (results, Results.read(tmp_path / "few")):
        assert found.description["weights_by_structure"] == {"b": expected}
    write_report(results, tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert all(f"{number:,}" in page for number in expected.values())


def test_studies_tell_sources_by_what_they_have_learned(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(24, 10, 10)), np.arange(24) % 2
    options = {"widths": (4, 4), "max_epochs": 1}
    for seed in (0, 0, 1):
        source = RFNNClassifier(random_state=seed, **options).fit(X, y)
        models = {"net": RFNNClassifier(init={"stages": source}, **options)}
        source.set_params(random_state=0)  # as it prints
        if seed:
            with pytest.raises(ValueError, match="init of estimator 'net' was"):
                limited_data(models, X, y, sizes=[8], n_draws=1, out=tmp_path)
        else:
            limited_data(models, X, y, sizes=[8], n_draws=1, out=tmp_path)
