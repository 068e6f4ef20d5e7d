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
decided.  Signals of several channels need it: (n, 3, 500) are taken for very flat images unless
``layout="CL"`` says what they are.  Where shapes look like a mistake, a warning says so.

A list of arrays, tensors or PIL images is as good as an array.  X may also be ``LazySamples``,
such as ``LazyVolumes`` are: network estimators then read samples batch by batch, and hold but a
few at a time.
"""

from __future__ import annotations

import sys
import warnings
from math import isqrt, prod
from operator import index
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from ..compat import BaseEstimator
from ..params import Params, one_of, param
from ..training.rows import Unread, rounding

LAYOUTS = ("L", "CL", "LC", "HW", "CHW", "HWC", "DHW", "CDHW", "DHWC")
DTYPE = one_of("float32", "float64")
MOST_CHANNELS = 4  # grey, colour, colour with alpha; more are not taken for channels
SMALLEST_IMAGE = 64  # values; shorter rows are seldom images
SMALLEST_COLOURED = 768  # the same, of three colours
LONGEST_SIGNAL = 10_000  # values; longer rows are mostly volumes, or voxels of a mask
FLAT = 8  # an image this much longer than high is suspicious
FAR = 4  # a scale that differs by such a factor is suspicious


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
    """Return X, shape (n, *axes of layout), as (n, channels, *spatial).

    See Also
    --------
    like_samples : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import channels_first
    >>> channels_first(np.zeros((5, 28, 32, 3)), "HWC").shape
    (5, 3, 28, 32)
    >>> channels_first(np.zeros((5, 28, 32)), "HW").shape
    (5, 1, 28, 32)
    """
    if "C" not in layout:
        return X[:, np.newaxis]
    return np.moveaxis(X, 1 + layout.index("C"), 1)


def like_samples(X: NDArray[Any], layout: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return arrays (n, channels, *spatial) in the layout and the shape of samples of X.

    This undoes ``channels_first``, and the folding of flat rows.

    See Also
    --------
    channels_first : The way there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import like_samples
    >>> like_samples(np.zeros((5, 3, 28, 32)), "HWC", (28, 32, 3)).shape
    (5, 28, 32, 3)
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
    plain = isinstance(X, np.ndarray) and not X.dtype.hasobject
    lazily, samples = lazily and not plain and is_lazy(X), X
    if lazily:  # the shape is checked now; values are when they are read
        X = np.broadcast_to(np.zeros((), estimator.dtype), X.shape)
        checks["ensure_all_finite"] = False
    elif not plain:
        X = as_array(X)
    if hasattr(y, "detach"):
        y = as_array(y)
    if not reset and hasattr(X, "shape"):
        check_sample_shape(estimator, tuple(X.shape[1:]))
    if getattr(X, "ndim", 0) > 2 and 0 in X.shape[1:]:  # scikit-learn looks at rows only
        raise ValueError(f"X has samples of shape {X.shape[1:]}, which hold no values.")
    checks = {"dtype": estimator.dtype, "allow_nd": True, **checks}
    checked = validate_data(estimator, X, y, reset=reset, **checks)
    X, *targets = checked if isinstance(checked, tuple) else (checked,)
    shape = X.shape[1:]
    if estimator.image_shape is not None:
        shape = image_shape_of(shape, estimator.image_shape)
    if reset:
        estimator.layout_ = decide_layout(shape, estimator.layout)
        estimator.sample_shape_ = X.shape[1:]
        if estimator._sees_places and estimator.layout is None and estimator.image_shape is None:
            warn_of_shape(shape)
    X = channels_first(X.reshape(len(X), *shape), estimator.layout_)
    if lazily:
        numbers = np.arange(len(samples))
        X = Unread(lazy_reader(estimator, samples), numbers, X.shape[1:], estimator.dtype)
    elif hasattr(estimator, "predict"):
        watch_scale(estimator, X, reset)
    return (X, *targets) if targets else X


def as_array(X: Any) -> Any:
    """Return an array for a tensor, and for a list, a Series or an array of samples.

    Anything else is returned as it is.

    Raises
    ------
    ValueError
        If samples differ in shape; the message names the first that does.
    TypeError
        For a DataLoader or a Dataset, which say neither how many samples they have nor of what
        shape.

    See Also
    --------
    channels_first : The next step.

    Examples
    --------
    >>> import torch
    >>> from sklstruct.estimators import as_array
    >>> as_array(torch.ones(2, 3)), as_array([[1, 2], [3, 4]]).shape
    (array([[1., 1., 1.],
           [1., 1., 1.]], dtype=float32), (2, 2))
    """
    torch: Any = sys.modules.get("torch")  # what nobody has imported has no tensors
    if torch and isinstance(X, torch.Tensor):
        X, known = X.detach().cpu().to_dense(), (torch.float16, torch.float32, torch.float64)
        # NumPy has no bfloat16, nor what is shorter.
        return (X.float() if X.is_floating_point() and X.dtype not in known else X).numpy()
    if hasattr(X, "__array_interface__") and not hasattr(X, "shape"):
        return np.asarray(X)  # one image of PIL, whose shape is then compared with that of samples
    sources = (torch.utils.data.DataLoader, torch.utils.data.Dataset) if torch else ()
    if isinstance(X, sources) and not is_lazy(X):
        raise TypeError(
            f"X must be an array, got a {type(X).__name__}: take its samples out, or give it "
            "shape, ndim and dtype, as LazySamples have them."
        )
    cells = X.to_numpy() if hasattr(X, "iloc") else X
    of_objects = isinstance(cells, np.ndarray) and cells.dtype.hasobject
    if not isinstance(X, (list, tuple)) and not of_objects:
        return X
    if of_objects and cells.ndim == 2 and cells.shape[1] == 1:  # as a DataFrame of one column
        cells = cells[:, 0]
    if of_objects and cells.ndim > 1 and cells.size and np.ndim(cells.flat[0]):
        raise ValueError(
            f"X must have one array a sample, but has {cells.shape[1]} columns, of which the first "
            "one holds arrays."
        )
    samples = [np.asarray(as_array(x) if hasattr(x, "detach") else x) for x in cells]
    if not samples or samples[0].ndim == 0 or samples[0].dtype.hasobject:
        return X
    for number, sample in enumerate(samples):
        if sample.shape != samples[0].shape:
            raise ValueError(
                f"X must hold samples of one shape, got {samples[0].shape} in X[0] and "
                f"{sample.shape} in X[{number}]."
            )
    return np.stack(samples)


def warn_of_shape(shape: tuple[int, ...]) -> None:
    """Warn of samples that are likely to be something else than what they are read as."""
    advice = ""
    if len(shape) == 1:
        side, edge = isqrt(shape[0]), round(shape[0] ** (1 / 3))
        square: list[tuple[int, ...]] = (
            [(side, side)] if side**2 == shape[0] >= SMALLEST_IMAGE else []
        )
        third = isqrt(shape[0] // 3)
        square += [(3, third, third)] if 3 * third**2 == shape[0] >= SMALLEST_COLOURED else []
        cube = [(edge, edge, edge)] if edge**3 == shape[0] > SMALLEST_IMAGE else []
        if square or cube:
            shapes = " or ".join(f"image_shape={one}" for one in square + cube)
            advice = f"signals of {shape[0]} values: {shapes} reads them as images, layout='L'"
        elif shape[0] > LONGEST_SIGNAL:
            advice = f"signals of {shape[0]} values: image_shape reads them as volumes, layout='L'"
    elif len(shape) == 2 and FLAT * min(shape) <= max(shape):
        layout = "CL" if shape[0] < shape[1] else "LC"
        advice = f"images of {shape[0]} x {shape[1]}: layout={layout!r} reads signals, layout='HW'"
    if advice:
        warnings.warn(f"The samples of X are read as {advice} says that it is so.", stacklevel=2)


def watch_scale(estimator: Any, X: NDArray[Any], reset: bool) -> None:
    """Keep mean and deviation of every channel, or warn where they are far from what they were.

    So are samples from 0 to 255 for a network that has learned from 0 to 1.

    Parameters
    ----------
    estimator : estimator
        That keeps them.
    X : ndarray, shape (n, channels, *spatial)
    reset : bool
        True in ``fit``, False in ``predict``.

    See Also
    --------
    SampleReader : A base of estimators that does this by itself.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from sklstruct.estimators import watch_scale
    >>> model, X = SimpleNamespace(), np.random.default_rng(0).normal(size=(50, 1, 8))
    >>> watch_scale(model, X, reset=True)
    >>> watch_scale(model, X + 1, reset=False)  # says nothing: nearly the same
    """
    # A hundred samples at a thousand places: enough for a factor, and hardly a copy.
    step = slice(None, None, max(1, round((prod(X.shape[2:]) / 1000) ** (1 / (X.ndim - 2)))))
    some = X[(slice(None, None, max(1, len(X) // 100)), slice(None), *[step] * (X.ndim - 2))]
    axes = 0, *range(2, X.ndim)
    mean, spread = some.mean(axis=axes, dtype=np.float64), some.std(axis=axes, dtype=np.float64)
    if reset:
        constant = spread <= rounding(mean, some[:, 0].size, X.dtype)
        estimator._moments = mean, np.where(constant, 0, spread)
        return
    known_mean, known_spread = estimator._moments
    far = (abs(mean - known_mean) > FAR * known_spread) | (spread > FAR * known_spread)
    if len(some) > FAR:  # few samples may well look alike
        far |= FAR * spread < known_spread
    far &= known_spread > 0
    if far.any():
        channel = int(np.argmax(far))
        warnings.warn(
            f"X is on another scale than in training: channel {channel} has mean "
            f"{mean[channel]:.3g} and deviation {spread[channel]:.3g}, and had "
            f"{known_mean[channel]:.3g} and {known_spread[channel]:.3g}.",
            stacklevel=2,
        )


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

    See Also
    --------
    channels_first : The order of axes that it gives.
    FeatureTransformer, TorchReader : What is made of it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklstruct.estimators import SampleReader
    >>> class Means(SampleReader):
    ...     def fit(self, X, y=None):
    ...         self.means_ = self._read(X, reset=True).mean(axis=(0, 2, 3))
    ...         return self
    >>> Means(layout="HWC").fit(np.ones((5, 8, 8, 3))).means_
    array([1., 1., 1.], dtype=float32)
    """

    image_shape: tuple[int, ...] | None = None
    layout: str | None = None
    dtype: str = param("float32", DTYPE)

    _sees_places: ClassVar[bool] = False  # whether it matters which values are neighbours

    def _read(self, X: Any, y: Any = "no_validation", *, reset: bool, **checks: Any) -> Any:
        return read(self, X, y, reset=reset, **checks)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
