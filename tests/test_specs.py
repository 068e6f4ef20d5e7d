"""Estimators as they are written in a line."""

import pytest

from sklstruct.estimators import make_estimators
from sklstruct.estimators.specs import Spec, parse_setting, parse_specs
from sklstruct.frames import GaussianDerivatives, Morlet, Pixels


@pytest.mark.parametrize(
    "text, specs",
    [
        ("rfnn", [Spec("rfnn", "rfnn", {})]),
        ("rfnn,svm", [Spec("rfnn", "rfnn", {}), Spec("svm", "svm", {})]),
        (
            "twin=rfnn:frame=pixel:frame__size=5,svm:C=3.0",
            [
                Spec("twin", "rfnn", {"frame": "pixel", "frame__size": 5}),
                Spec("svm:C=3.0", "svm", {"C": 3.0}),
            ],
        ),
        (
            "a=rfnn:widths=(8, 8):class_weight={0: 1, 1: 2}:device='cuda:0',b=svm",
            [
                Spec(
                    "a",
                    "rfnn",
                    {"widths": (8, 8), "class_weight": {0: 1, 1: 2}, "device": "cuda:0"},
                ),
                Spec("b", "svm", {}),
            ],
        ),
    ],
)
def test_estimators_are_read_as_they_are_written(text, specs):
    assert parse_specs(text) == specs
    assert parse_specs({spec.label: spec.text for spec in specs}) == specs


@pytest.mark.parametrize(
    "text, value",
    [
        ("a=3", 3),
        ("a=1e-3", 1e-3),
        ("a=8,8", (8, 8)),
        ("a=None", None),
        ("a=True", True),
        ("a=one-cycle", "one-cycle"),
        ("a='3'", "3"),
        ("a=", ""),
        ("a=b=c", "b=c"),
        ("a=" + "(" * 5000, "(" * 5000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_values_are_literals_or_else_text(text, value):
    assert parse_setting(text) == ("a", value)


def test_settings_reach_every_estimator_that_has_them():
    specs = "rfnn,RFNNClassifier:frame=pixel,own=rfnn:max_epochs=3,svm"
    made = make_estimators(specs, {"max_epochs": 5, "C": 2.0, "frame__order": 1})
    rfnn, twin, own, svm = made.values()
    assert list(made) == ["rfnn", "RFNNClassifier:frame=pixel", "own", "svm"]
    assert (rfnn.max_epochs, twin.max_epochs, own.max_epochs, svm.C) == (5, 5, 3, 2.0)
    assert rfnn.frame == own.frame == GaussianDerivatives(order=1)
    assert twin.frame == "pixel"


def test_nested_settings_apply_to_the_frame_that_is_set_beside_them():
    for settings in (["frame__slant=0.5", "frame=morlet"], ["frame=morlet", "frame__slant=0.5"]):
        made = make_estimators("rfnn", dict(map(parse_setting, settings)))
        frame = made["rfnn"].frame
        assert (type(frame), frame.slant) == (Morlet, 0.5)


@pytest.mark.parametrize(
    "spec, settings, message",
    [
        ("rfnn:frame__order=2", {"frame": "morlet"}, "'order' for Morlet"),
        ("rfnn:frame=pixel", {"frame__order": 2}, "'order' for Pixels"),
        ("rfnn,svm", {"kernel": "rbf"}, "no parameter 'kernel' of RFNNClassifier or PixelSVC"),
    ],
)
def test_a_setting_that_fits_nowhere_is_never_ignored(spec, settings, message):
    with pytest.raises(ValueError, match=message):
        make_estimators(spec, settings)


def test_own_parameters_come_before_common_ones():
    made = make_estimators("rfnn:frame=pixel:frame__size=3", {"frame__size": 5})
    assert made.popitem()[1].frame == Pixels(size=3)
