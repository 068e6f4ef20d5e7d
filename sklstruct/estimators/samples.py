"""What a row of X is: one documented rule from any array to (n, channels, *spatial).

===============  ======================================  ===========================
shape of X       condition                               read as (``layout``)
===============  ======================================  ===========================
(n, a)           ``image_shape`` is None                 signal, "L"
(n, a)           ``image_shape`` is given                reshaped, then as below
(n, a, b)        always                                  grey image, "HW"
(n, a, b, c)     a <= 4                                  image, "CHW"
(n, a, b, c)     a > 4 and c <= 4                        image, "HWC"
(n, a, b, c)     a > 4 and c > 4                         volume, "DHW"
(n, a, b, c, d)  a <= 4 or d > 4                         volume with channels, "CDHW"
(n, a, b, c, d)  a > 4 and d <= 4                        volume with channels, "DHWC"
===============  ======================================  ===========================

The parameter ``layout`` overrides the rule, and the fitted attribute ``layout_`` tells what was
decided.

X may also be ``LazySamples``, such as ``LazyVolumes`` are: network estimators then read samples
batch by batch, and hold but a few at a time.
"""

from __future__ import annotations

from math import prod
from operator import index
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ..params import Params, one_of, param
from ..training.rows import Unread

LAYOUTS = ("L", "CL", "LC", "HW", "CHW", "HWC", "DHW", "CDHW", "DHWC")
DTYPE = one_of("float32", "float64")
MOST_CHANNELS = 4  # grey, colour, colour with alpha; more are not taken for channels


def decide_layout(shape: tuple[int, ...], layout: str | None = None) -> str:
    """Return the layout of samples of this shape, by the rule above unless it is given.

    Raises
    ------
    ValueError
        If the layout is unknown or does not fit the number of axes, or no rule covers the shape.
    """
    if layout is not None:
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {LAYOUTS} or None, got {layout!r}.")
        if len(layout) != len(shape):
            raise ValueError(
                f"layout={layout!r} has {len(layout)} axes, but samples have shape {shape}."
            )
        return layout
    channels_last = len(shape) > 2 and shape[0] > MOST_CHANNELS >= shape[-1]
    if len(shape) == 1:
        return "L"
    if len(shape) == 2:
        return "HW"
    if len(shape) == 3:
        return "HWC" if channels_last else "CHW" if shape[0] <= MOST_CHANNELS else "DHW"
    if len(shape) == 4:
        return "DHWC" if channels_last else "CDHW"
    raise ValueError(
        f"X must have 2 to 5 axes (samples first; see the parameter layout), "
        f"but its samples have shape {shape}."
    )


def image_shape_of(shape: tuple[int, ...], image_shape: Any) -> tuple[int, ...]:
    """Return the shape of samples after flat rows have been folded into images.

    Raises
    ------
    ValueError
        If ``image_shape`` is no shape, or has another number of values than a row.
    """
    if image_shape is None:
        return shape
    try:
        wanted = tuple(index(extent) for extent in image_shape)
    except TypeError:
        raise ValueError(f"image_shape must be a tuple of int, got {image_shape!r}.") from None
    if len(shape) > 1:
        if shape != wanted:
            raise ValueError(
                f"image_shape={wanted} is for flat rows or for samples of that shape, "
                f"but X has samples of shape {shape}."
            )
    elif prod(wanted) != shape[0]:
        raise ValueError(
            f"image_shape={wanted} needs rows of {prod(wanted)} values, but X has {shape[0]}."
        )
    return wanted


def channels_first(X: NDArray[Any], layout: str) -> NDArray[Any]:
    """Return X, shape (n, *axes of layout), as (n, channels, *spatial)."""
    if "C" not in layout:
        return X[:, np.newaxis]
    return np.moveaxis(X, 1 + layout.index("C"), 1)


def like_samples(X: NDArray[Any], layout: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return arrays (n, channels, *spatial) in the layout and the shape of samples of X.

    This undoes ``channels_first``, and the folding of flat rows.
    """
    at = layout.find("C")
    X = X[:, 0] if at < 0 else np.moveaxis(X, 1, 1 + at)
    return X.reshape(len(X), *shape)


@runtime_checkable
class LazySamples(Protocol):
    """What stands for an array (n, ...) of three axes or more, and reads samples when asked for.

    ``LazyVolumes`` of NIfTI files do, as do data sets of HDF5 and Zarr.  An index gives one
    sample as an array, also in another thread.  To be split by scikit-learn, they must give
    lazy samples for an array of indices.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that this stands for."""

    @property
    def ndim(self) -> int:
        """Number of its axes."""

    @property
    def dtype(self) -> Any:
        """Type of its values."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: Any) -> Any:
        """Return the sample of a number, shape (...)."""


def is_lazy(X: Any) -> bool:
    """Return whether X are lazy samples; what other libraries can see in memory are not."""
    return isinstance(X, LazySamples) and not hasattr(X, "__dlpack__") and X.ndim > 2


def read(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool,
    lazily: bool = False,
    **checks: Any,
) -> Any:
    """Return X as an array (n, channels, *spatial), or (X, y) if y is given.

    Parameters
    ----------
    estimator : estimator
        Its parameters ``image_shape``, ``layout`` and ``dtype`` say how.
    X : array-like, shape (n, ...)
    y : array-like, default="no_validation"
    reset : bool
        Whether samples of any shape are taken, and their shape and layout are kept as
        ``sample_shape_`` and ``layout_``; if not, they must be as before.
    lazily : bool, default=False
        Whether lazy samples stay so, as ``Unread``.
    **checks
        As ``validate_data`` takes them.

    Raises
    ------
    ValueError
        If X or y cannot be used; the message says what was seen and wanted.
    """
    X, y = (part.detach().cpu().numpy() if hasattr(part, "detach") else part for part in (X, y))
    # Samples that other libraries can see in memory are no lazy ones.
    lazy = isinstance(X, LazySamples) and not hasattr(X, "__dlpack__") and X.ndim > 2
    samples = X
    if lazily and lazy:  # the shape is checked now; values are when they are read
        X = np.broadcast_to(np.zeros((), estimator.dtype), X.shape)
        checks["ensure_all_finite"] = False
    if not reset and hasattr(X, "shape"):
        check_sample_shape(estimator, tuple(X.shape[1:]))
    checks = {"dtype": estimator.dtype, "allow_nd": True, **checks}
    checked = validate_data(estimator, X, y, reset=reset, **checks)
    X, *targets = checked if isinstance(checked, tuple) else (checked,)
    shape = X.shape[1:]
    if estimator.image_shape is not None:
        shape = image_shape_of(shape, estimator.image_shape)
    if reset:
        estimator.layout_ = decide_layout(shape, estimator.layout)
        estimator.sample_shape_ = X.shape[1:]
    elif not hasattr(samples, "shape"):  # of a list, the shape is known by now
        check_sample_shape(estimator, X.shape[1:])
    X = channels_first(X.reshape(len(X), *shape), estimator.layout_)
    if lazily and lazy:
        numbers = np.arange(len(samples))
        X = Unread(lazy_reader(estimator, samples), numbers, X.shape[1:], estimator.dtype)
    return (X, *targets) if targets else X


def lazy_reader(estimator: Any, X: LazySamples) -> Any:
    """Return the function that reads a sample by its number, as (channels, *spatial)."""
    layout, wanted, dtype = estimator.layout_, tuple(X.shape[1:]), estimator.dtype

    def read_one(number: int) -> NDArray[Any]:
        name = f"X[{number}]"
        checks = {"dtype": dtype, "ensure_2d": False, "allow_nd": True, "input_name": name}
        sample = check_array(X[number], **checks)
        if sample.shape != wanted:
            raise ValueError(f"{name} must have the shape {wanted} of all, got {sample.shape}.")
        first: NDArray[Any] = channels_first(sample[np.newaxis], layout)[0]
        return first

    return read_one


def check_sample_shape(estimator: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless samples have the shape that the estimator was fitted with."""
    known = estimator.sample_shape_
    flat_rows = len(shape) <= 1 and len(known) == 1  # scikit-learn checks these
    if shape != known and not flat_rows:
        raise ValueError(
            f"X has samples of shape {shape}, but {type(estimator).__name__} was fitted with "
            f"samples of shape {known}."
        )


class SampleReader(Params, BaseEstimator):
    """Base of estimators that read X as samples (n, channels, *spatial).

    Parameters
    ----------
    image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded, such as (28, 28) or (3, 32, 32).
    layout : str, default=None
        Axes of one sample: "L", "CL", "LC", "HW", "CHW", "HWC", "DHW", "CDHW" or "DHWC".  If
        None, decided by the rule of ``sklstruct.estimators.samples``; see ``layout_``.
    dtype : {"float32", "float64"}, default="float32"
        Of the samples.

    Attributes
    ----------
    layout_ : str
        How samples were read.
    """

    image_shape: tuple[int, ...] | None = None
    layout: str | None = None
    dtype: str = param("float32", DTYPE)

    def _read(self, X: Any, y: Any = "no_validation", *, reset: bool, **checks: Any) -> Any:
        return read(self, X, y, reset=reset, **checks)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    # Two estimators are equal if they are one, and scikit-learn knows how to print them.
    __eq__ = object.__eq__
    __hash__ = object.__hash__
    __repr__ = BaseEstimator.__repr__
