"""Whatever is registered passes the public conformance checks, and what is wrong does not."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from sklstruct import Architecture
from sklstruct.frames import Frame, FrameFamily, Pixels
from sklstruct.testing import parametrize_architectures, parametrize_frames


@parametrize_frames()
def test_frame(check, family, ndim):
    check(family, ndim)


@parametrize_architectures()
def test_architecture(check, build, in_shape):
    check(build, in_shape)


# --- the checks can fail --------------------------------------------------------------------


class FlatLand(Pixels):
    def build(self, ndim):
        return super().build(2)


class Moody(Pixels):
    def build(self, ndim):
        return Frame("moody", np.random.default_rng().normal(size=(2, *(3,) * ndim)))


class Deaf(Pixels):
    def set_params(self, **params):
        return self


class Unnamed(Pixels):
    def build(self, ndim):
        return Frame("unnamed", super().build(ndim).atoms, labels=["atom"] * self.size**ndim)


class LooseFrame(Frame):
    bounds = (0.5, 2.0)  # they hold, but are not attained


class Loose(Pixels):
    def build(self, ndim):
        return LooseFrame("loose", super().build(ndim).atoms)


class Grey(Pixels):
    def build(self, ndim):
        frame = super().build(ndim)
        object.__setattr__(frame, "whitening", np.ones((len(frame), len(frame))))
        return frame


class Stiff(Pixels):
    def build(self, ndim):
        frame = super().build(ndim)
        object.__setattr__(frame, "factors", tuple(np.ones((ndim, len(frame), self.size))))
        return frame


class OnlyInThePlane(FrameFamily):
    size: int = 3

    def build(self, ndim):
        if ndim != 2:
            raise ValueError(f"ndim must be 2, got {ndim}.")
        return Pixels(self.size).build(ndim)


class Net(nn.Module):
    """The mean over space and a linear layer, with room for a mistake."""

    def __init__(self, in_shape, n_outputs):
        super().__init__()
        self.norm = nn.BatchNorm1d(in_shape[0])
        self.head = nn.Linear(in_shape[0], n_outputs)

    def features(self, x):
        return self.norm(x.flatten(2).mean(dim=2))

    def forward(self, x):
        return self.head(self.features(x))


class Bare(Net):
    features = property()  # hasattr says no

    def forward(self, x):
        return self.head(self.norm(x.flatten(2).mean(dim=2)))


class Boaster(Net):
    """What it promises beyond outputs is wrong in three ways."""

    def class_activations(self, x):
        return x.repeat_interleave(self.head.out_features, 1)[:, : self.head.out_features]


class Liar(Net):
    def inverse(self, features):
        return features


class Miser(Net):
    def loss(self, x, y):
        return nn.functional.cross_entropy(self(x), y)


class Squeezed(Net):
    def forward(self, x):
        return super().forward(x).squeeze()


class Gossip(Net):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0))


class Single(Net):
    def forward(self, x):
        return super().forward(x.double().float())


class Idle(Net):
    def __init__(self, in_shape, n_outputs):
        super().__init__(in_shape, n_outputs)
        self.unused = nn.Linear(2, 2)


class Unseeded(Net):
    def __init__(self, in_shape, n_outputs):
        super().__init__(in_shape, n_outputs)
        self.head.weight.data *= np.random.default_rng().normal()


class Forgetful(Net):
    def __init__(self, in_shape, n_outputs):
        super().__init__(in_shape, n_outputs)
        self.shift = torch.randn(())

    def forward(self, x):
        return super().forward(x) + self.shift


def run(mark):
    """Return the names of the checks that fail and of those that are skipped."""
    failed, skipped = set(), set()
    for check, subject, case in (param.values for param in mark.args[1]):
        try:
            check(subject, case)
        except pytest.skip.Exception:
            skipped.add((check.__name__, case))
        except Exception:
            failed.add(check.__name__.removeprefix("check_").partition("_")[2])
    return failed, skipped


@pytest.mark.parametrize(
    "family, failing",
    [
        (FlatLand(3), {"builds", "repeats", "convolves"}),
        (Moody(3), {"repeats"}),
        (Deaf(3), {"repeats", "refuses_unknown_parameters"}),
        (Unnamed(3), {"builds"}),
        (Loose(3), {"bounds"}),
        (Grey(3), {"whitening"}),
        (Stiff(3), {"factors", "convolves"}),
    ],
)
def test_a_wrong_frame_fails(family, failing):
    failed, skipped = run(parametrize_frames(family))
    assert failed == failing
    assert not skipped


@pytest.mark.parametrize(
    "build, failing",
    [
        (Net, set()),
        (Bare, {"has_features"}),
        (Boaster, {"keeps_its_word"}),
        (Liar, {"keeps_its_word"}),
        (Miser, {"keeps_its_word"}),
        (Squeezed, {"gives_outputs"}),
        (Gossip, {"gives_outputs", "has_features"}),
        (Single, {"follows_dtype"}),
        (Idle, {"learns_everywhere"}),
        (Unseeded, {"is_seeded"}),
        (Forgetful, {"is_kept", "has_features"}),
    ],
)
def test_a_wrong_architecture_fails(build, failing):
    failed, skipped = run(parametrize_architectures(build))
    assert failed == failing
    assert not skipped


class Small(Architecture):
    """A linear layer.

    Parameters
    ----------
    bias : bool, default=True
    """

    bias: bool = True
    presets: ClassVar[dict] = {"default": {"lr": 0.1}}

    def build(self, in_shape, n_outputs):
        return Net(in_shape, n_outputs)


class Undescribed(Small):
    width: int = 3


class Deafened(Small):
    def set_params(self, **params):
        return self


class Overruled(Small):
    """A preset that sets what is not None."""

    presets: ClassVar[dict] = {"default": {"bias": False}}


class Strayed(Small):
    """A preset of what is no parameter."""

    presets: ClassVar[dict] = {"default": {"biass": False}}


@pytest.mark.parametrize(
    "architecture, failing",
    [
        (Small, set()),
        (Undescribed, {"is_data"}),
        (Deafened, {"is_data"}),
        (Overruled, {"presets"}),
        (Strayed, {"presets"}),
    ],
)
def test_wrong_data_of_an_architecture_fail(architecture, failing):
    failed, _ = run(parametrize_architectures(architecture))
    assert failed == failing


def test_what_is_refused_is_skipped_unless_everything_is():
    failed, skipped = run(parametrize_frames(OnlyInThePlane()))
    assert not failed
    assert {ndim for _, ndim in skipped} == {1, 3}
    failed, skipped = run(parametrize_frames(OnlyInThePlane(size=4)))
    assert "builds" in failed
    assert not skipped


def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match="Unknown frame 'gausian'"):
        parametrize_frames("gausian")
    with pytest.raises(ValueError, match="Did you mean 'rfnn'"):
        parametrize_architectures("rfn")
