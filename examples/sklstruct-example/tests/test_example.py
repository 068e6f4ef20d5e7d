"""The plugin passes the conformance checks."""

from sklstruct.testing import parametrize_architectures, parametrize_frames


@parametrize_frames("dct")
def test_frame(check, family, ndim):
    """Run the checks of a frame."""
    check(family, ndim)


@parametrize_architectures("tiny")
def test_architecture(check, build, in_shape):
    """Run the checks of an architecture."""
    check(build, in_shape)
