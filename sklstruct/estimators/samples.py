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

from dataclasses import dataclass
from functools import partial
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from .rows import Rows, Unread, is_lazy

LAYOUTS = ("L", "CL", "LC", "HW", "CHW", "HWC", "DHW", "CDHW", "DHWC")
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


def smoothed(X: NDArray[Any], deviation: float | None) -> NDArray[Any]:
    """Smooth samples (n, channels, *spatial), reflected at their border; None leaves them alone.

    The deviation of the Gaussian is in samples.  As a matrix, this is symmetric.
    """
    if deviation is None:
        return X
    result = np.empty_like(X)
    for image, target in zip(X, result, strict=True):
        gaussian_filter(image, (0,) + (deviation,) * (image.ndim - 1), output=target)
    return result


@dataclass(kw_only=True, eq=False, repr=False)
class SampleReader(BaseEstimator):
    """Read X as samples (n, channels, *spatial), the same way in training and after it."""

    image_shape: tuple[int, ...] | None = None
    layout: str | None = None
    dtype: str = "float32"

    def _read(
        self, X: Any, y: Any = "no_validation", *, reset: bool, min_samples: int = 1, **checks: Any
    ) -> Any:
        """Return X as an array (n, channels, *spatial) of the dtype, or (X, y) if y is given."""
        X, y = (part.detach().cpu().numpy() if hasattr(part, "detach") else part for part in (X, y))
        if not reset and hasattr(X, "shape"):
            self._check_sample_shape(tuple(X.shape[1:]))
        checks.update(dtype=self.dtype, allow_nd=True, ensure_min_samples=min_samples)
        checked = validate_data(self, X, y, reset=reset, **checks)
        X, *targets = checked if isinstance(checked, tuple) else (checked,)
        shape = image_shape_of(X.shape[1:], self.image_shape)
        if reset:
            self.layout_ = decide_layout(shape, self.layout)
            self.sample_shape_ = X.shape[1:]
        self._check_sample_shape(X.shape[1:])  # lists had no shape before
        X = channels_first(X.reshape(len(X), *shape), self.layout_)
        return (X, *targets) if targets else X

    def _read_rows(self, X: Any, y: Any = "no_validation", *, reset: bool, **checks: Any) -> Any:
        """Return X as ``Rows`` (n, channels, *spatial), or (X, y); what is lazy stays unread."""
        lazy = is_lazy(X)
        given = np.broadcast_to(np.zeros((), self.dtype), X.shape) if lazy else X
        read = self._read(given, y, reset=reset, ensure_all_finite=not lazy, **checks)
        source, *targets = read if isinstance(read, tuple) else (read,)
        if lazy:  # its shape has passed the checks; values have to when they are read
            arrange = partial(channels_first, layout=self.layout_)
            source = Unread(X, source.shape, self.dtype, arrange)
        rows = Rows(source, np.arange(source.shape[0]))
        return (rows, *targets) if targets else rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _check_sample_shape(self, shape: tuple[int, ...]) -> None:
        """Raise ValueError unless samples have the shape that the estimator was fitted with."""
        flat_rows = len(shape) <= 1 and len(self.sample_shape_) == 1  # scikit-learn checks these
        if shape != self.sample_shape_ and not flat_rows:
            raise ValueError(
                f"X has samples of shape {shape}, but {type(self).__name__} was fitted with "
                f"samples of shape {self.sample_shape_}."
            )
