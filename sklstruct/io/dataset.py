"""What a data set is: samples and their labels, or maps of labels, checked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples with labels, and a test set where the source has one.

    Parameters
    ----------
    name : str
    X : ndarray, shape (n_samples, *sample_shape)
        Finite numbers, of any plain dtype.
    y : ndarray, shape (n_samples,) or (n_samples, *spatial)
        Labels of any plain dtype, numbers or strings, no objects: one a sample, or maps of one at
        every place of it, whose shape is that of a sample without an axis of channels.
    X_test : ndarray, shape (n_test, *sample_shape), default=None
    y_test : ndarray, shape (n_test,) or (n_test, *spatial), default=None
    groups : ndarray, shape (n_samples,), default=None
        What samples of X belong together, such as frames of one track: on both sides of a split,
        they would be no test.

    Raises
    ------
    ValueError
        If lengths or shapes do not agree, if there is nothing, or if values are no numbers or
        not finite.

    See Also
    --------
    load_dataset : From a name, a file or a folder.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.io import Dataset
    >>> Dataset("noise", np.zeros((10, 8, 8)), np.arange(10) % 2)
    Dataset('noise', 10 samples of 8x8, 2 labels)
    """

    name: str
    X: Array
    y: Array
    X_test: Array | None = None
    y_test: Array | None = None
    groups: Array | None = None

    def __post_init__(self) -> None:
        for field in ("X", "y", "X_test", "y_test", "groups"):
            values = getattr(self, field)
            # The only moment in which it changes: what is frozen is what was checked.
            object.__setattr__(self, field, None if values is None else np.asarray(values))
        check_pair("X", self.X, "y", self.y)
        if self.groups is not None and self.groups.shape != (len(self.X),):
            raise ValueError(
                f"groups must have shape ({len(self.X)},), one a sample of X, got "
                f"{self.groups.shape}."
            )
        if self.X_test is None and self.y_test is None:
            return
        if self.X_test is None or self.y_test is None:
            raise ValueError("X_test and y_test belong together, but one of them is missing.")
        check_pair("X_test", self.X_test, "y_test", self.y_test)
        if self.X_test.shape[1:] != self.sample_shape:
            raise ValueError(
                f"X_test must have samples of shape {self.sample_shape} as X has, got "
                f"{self.X_test.shape[1:]}."
            )
        if self.y_test.shape[1:] != self.y.shape[1:]:
            raise ValueError(
                f"y_test must have labels of shape {self.y.shape[1:]} as y has, got "
                f"{self.y_test.shape[1:]}."
            )

    def __repr__(self) -> str:
        test = "" if self.y_test is None else f" and {len(self.y_test)} for testing"
        shape = "x".join(map(str, self.sample_shape))
        labels = f"{'maps of ' if self.has_maps else ''}{len(np.unique(self.y))} labels"
        groups = "" if self.groups is None else f", {len(np.unique(self.groups))} groups"
        return f"Dataset({self.name!r}, {len(self.y)} samples of {shape}{test}, {labels}{groups})"

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.X.shape[1:]

    @property
    def has_maps(self) -> bool:
        """Whether there is a label at every place, not one a sample."""
        return self.y.ndim > 1


def check_pair(x_name: str, X: Array, y_name: str, y: Array) -> None:
    """Raise a ValueError unless X holds samples and y one label or map for each of them."""
    check_samples(x_name, X)
    shape = X.shape[1:]
    places = {shape, shape[1:], shape[:-1]} - {()}  # channels are none, or the first or last axis
    # Objects would need pickle to be stored.
    if y.dtype.kind not in "biufSU" or (y.ndim != 1 and y.shape[1:] not in places):
        raise ValueError(
            f"{y_name} must be one-dimensional, or maps of the places of {x_name}, of labels that "
            f"are numbers or strings, got shape {y.shape} and dtype {y.dtype}."
        )
    if len(X) != len(y):
        raise ValueError(
            f"{x_name} and {y_name} must have one entry a sample, got {len(X)} and {len(y)}."
        )
    check_finite(y_name, y)


def check_samples(name: str, X: Array) -> None:
    """Raise a ValueError unless an array holds finite numbers, (n_samples, *sample_shape)."""
    if X.ndim < 2 or X.size == 0:
        raise ValueError(f"{name} must hold samples, (n_samples, ...), got shape {X.shape}.")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {X.dtype}.")
    check_finite(name, X)


def check_finite(name: str, values: Array) -> None:
    """Raise a ValueError if there are NaN or infinite values."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        wrong = np.count_nonzero(~np.isfinite(values))
        raise ValueError(f"{name} must be finite, got {wrong} values that are NaN or infinite.")
