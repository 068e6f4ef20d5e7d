"""Dense estimators: a label or values at every place of a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_is_fitted

from ..architecture import make_architecture
from ..params import Rule, integer, param, real
from ..training.batches import MapSamples
from ..training.objectives import main_output
from ..training.rows import spread
from .base import NetworkEstimator
from .classifier import NetworkClassifier
from .regressor import NetworkRegressor
from .samples import channels_first, decide_layout, image_shape_of
from .targets import Classes, Maps, known

Array = NDArray[Any]

EXTENTS = integer(1) | Rule(
    "a tuple of positive integers",
    lambda v: isinstance(v, tuple) and bool(v) and all(map(integer(1).holds, v)),
)


class Images(list):
    """Images (channels, *spatial) of any extents.

    Parameters
    ----------
    images : list of ndarray
    crop : int, tuple of int or None
        Extents of the pieces that are taken, at most the largest ones; None are the smallest ones.
    """

    def __init__(self, images: Sequence[Array], crop: Any) -> None:
        super().__init__(images)
        extents = [image.shape[1:] for image in images]
        self.same = len(set(extents)) == 1
        smallest, largest = (tuple(map(of, zip(*extents, strict=True))) for of in (min, max))
        pieces = smallest if crop is None else per_axis("crop", crop, len(smallest))
        # Beyond the largest image there is nothing to learn from.
        self.shape = len(images), len(images[0]), *map(min, pieces, largest)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return images of one shape as an array, or raise ValueError."""
        if not self.same:
            shapes = sorted({image.shape[1:] for image in self})
            raise ValueError(f"X must have samples of one shape here, got {shapes}.")
        return np.stack(list(self)).astype(dtype or self[0].dtype, copy=False)


class MapEstimator(NetworkEstimator):
    """Train a network that has an output at every place.

    X and y may be arrays of one shape, or lists of images and maps of different sizes.

    Parameters
    ----------
    crop : int or tuple of int, default=None
        Extents of the pieces of samples, anywhere in them, that the network is trained on, at
        most those of the largest sample.  What a small sample lacks repeats its border and has no
        weight.  None is whole samples, or the smallest extents where they differ.
    tile : int or tuple of int, default=None
        Largest extents that are predicted at a time; None has no limit.
    overlap : float, default=0.5
        Share of a tile that lies in the next one.  In between, the middle of a tile counts more
        than its border, which knows less.

    See Also
    --------
    StructuredMapClassifier, StructuredMapRegressor : Labels or values, with any architecture.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredMapRegressor
    >>> X = load_digits().images[:20]
    >>> model = StructuredMapRegressor(crop=6, max_epochs=1, random_state=0).fit(X, X)
    >>> model.set_params(tile=5).predict(X).shape
    (20, 8, 8)
    """

    crop: int | tuple[int, ...] | None = param(None, EXTENTS | None)
    tile: int | tuple[int, ...] | None = param(None, EXTENTS | None, may_change=True)
    overlap: float = param(0.5, real(least=0, below=1), may_change=True)

    dense: ClassVar[bool] = True  # as an architecture says it
    _dense: ClassVar[bool] = True
    _channels_of_y: ClassVar[bool] = True  # whether there are values at a place, and not a label

    def transform(self, X: Any) -> Array:
        """Return the features of a layer at all places, see ``feature_layer``.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of one shape.

        Returns
        -------
        features : ndarray, shape (n, n_features_out)
        """
        check_is_fitted(self)
        images = np.asarray(self._read(X, reset=False))
        return self._features(images).reshape(len(images), -1)

    # Reading --------------------------------------------------------------------------------

    def _read(self, X: Any, y: Any = None, *, reset: bool, **checks: Any) -> Images:
        """Return samples as arrays (channels, *spatial)."""
        if isinstance(X, str) or not hasattr(X, "__len__") or len(X) == 0:
            raise ValueError(f"X must be an array or a list of at least one image, got {X!r}.")
        images = []
        for number, image in enumerate(X):
            image = image.detach().cpu().numpy() if hasattr(image, "detach") else image
            image = check_array(
                image,
                dtype=self.dtype,
                ensure_2d=False,
                allow_nd=True,
                ensure_min_samples=0,
                ensure_min_features=0,
                input_name=f"X[{number}]",
            )
            image = image.reshape(image_shape_of(image.shape, self.image_shape))
            if reset and number == 0:
                self.layout_ = decide_layout(image.shape, self.layout)
            if image.ndim != len(self.layout_) or image.size == 0:
                raise ValueError(
                    f"X[{number}] must have the axes of all samples, {self.layout_}, and a place "
                    f"at least, got shape {image.shape}."
                )
            images.append(np.ascontiguousarray(channels_first(image[np.newaxis], self.layout_)[0]))
        images = Images(images, self.crop)
        n_channels = len(images[0]) if reset else self.in_shape_[0]
        for number, image in enumerate(images):
            if len(image) != n_channels:
                raise ValueError(
                    f"X[{number}] must have {n_channels} channels, got {len(image)} of an image "
                    f"of shape {image.shape}."
                )
        return images

    def _read_pairs(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> Any:
        """Return samples, maps and weights of places, each as a list of arrays."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but it is None.")
        check_consistent_length(X, y, sample_weight)
        images = self._read(X, reset=reset)
        shapes = [image.shape[1:] for image in images]
        weights = [np.ones(shape, self.dtype) for shape in shapes]
        for number, given in enumerate([] if sample_weight is None else sample_weight):
            weight = np.asarray(given, self.dtype)
            if weight.shape not in ((), shapes[number]) or not (weight >= 0).all():
                raise ValueError(
                    f"sample_weight[{number}] must be a number, or a map of shape "
                    f"{shapes[number]}, of at least 0, got shape {weight.shape}."
                )
            weights[number] *= weight
        maps = [self._read_map(*one) for one in enumerate(zip(y, shapes, strict=True))]
        return images, maps, weights, np.arange(len(images))

    def _read_map(self, number: int, given: tuple[Any, tuple[int, ...]]) -> Array:
        """Return a map as (*spatial) of labels or (n_values, *spatial)."""
        values, shape = given
        values = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
        last = self.layout_.endswith("C")
        if values.ndim == len(shape) + 1:
            values = np.moveaxis(values, -1, 0) if last else values
        elif self._channels_of_y:
            values = values[np.newaxis]
        if not self._channels_of_y and values.shape == (1, *shape):
            values = values[0]
        if values.shape[values.ndim - len(shape) :] != shape or (
            values.ndim != len(shape) + self._channels_of_y
        ):
            raise ValueError(
                f"y[{number}] must have the places of X[{number}], {shape}"
                f"{', and perhaps channels' if self._channels_of_y else ''}, got shape "
                f"{np.shape(given[0])}."
            )
        return values.astype(np.float64) if self._channels_of_y else values

    def _data(self, X: Any, y: Any, weight: Any, kept: Any) -> MapSamples:
        encoded = [self.target_.encode(values, self.dtype) for values in y]
        weight = [np.ones(says.shape) for _, says in encoded] if weight is None else weight
        weight = [w * says for w, (_, says) in zip(weight, encoded, strict=True)]
        total = sum(w.sum() for w in weight)
        if not total > 0:
            raise ValueError("No place has weight: all are ignored, or sample_weight is 0.")
        mean = total / sum(w.size for w in weight)
        weight = [(w / mean).astype(self.dtype) for w in weight]
        crop = None if X.same and self.crop is None else X.shape[2:]
        return MapSamples(X, [target for target, _ in encoded], weight, self._to_tensor, crop)

    def _with_weight(self, y: Any, weight: Any, kept: Any) -> Any:
        return y, weight, kept  # here places have weights, and samples stay

    @staticmethod
    def _channel_scaling(X: Images, kept: Any, weight: Any) -> tuple[Array, Array]:
        rows = [image.reshape(len(image), -1) for image in X]
        n = sum(row.shape[1] for row in rows)
        mean = sum(row.sum(axis=1, dtype=np.float64) for row in rows) / n
        # One image at a time is there in double precision.
        squares = (((row - mean[:, np.newaxis]) ** 2).sum(axis=1) for row in rows)
        return mean, spread(mean, sum(squares) / n, n, X[0].dtype)

    # After training -------------------------------------------------------------------------

    def _map(self, X: Any, decode: Callable[[Array], Array]) -> Any:
        """Return what is decoded of the outputs (n_outputs, *spatial) of each sample.

        One array where samples have one shape, else a list.
        """
        check_is_fitted(self)
        images = self._read(X, reset=False)
        same = len({image.shape for image in images}) == 1
        if same and not self._is_tiled(images[0].shape[1:]):
            outputs = list(self._run_maps(np.stack(images)))
        else:
            outputs = [self._tiled(image) for image in images]
        decoded = [decode(one) for one in outputs]
        return np.stack(decoded) if same else decoded

    def _is_tiled(self, extents: tuple[int, ...]) -> bool:
        tile = per_axis("tile", self.tile or extents, len(extents))
        return any(size < extent for size, extent in zip(tile, extents, strict=True))

    def _run_maps(self, X: Array) -> Array:
        """Return outputs (n, n_outputs, *spatial) for samples of one shape."""
        network = self.net_.module_
        outputs = self._run(X, lambda x: main_output(network(x)))
        if outputs.shape[2:] != X.shape[2:]:
            raise ValueError(
                f"The network must give outputs at every place, {X.shape[2:]}, got "
                f"{outputs.shape[2:]}."
            )
        return outputs

    def _tiled(self, image: Array) -> Array:
        """Return the outputs for one image, (n_outputs, *spatial), from tiles that overlap."""
        extents = image.shape[1:]
        limits = per_axis("tile", self.tile or extents, len(extents))
        sizes = [min(pair) for pair in zip(limits, extents, strict=True)]
        starts, window = [], np.ones(())
        for size, extent in zip(sizes, extents, strict=True):
            step = max(1, round(size * (1 - self.overlap)))
            starts.append([*range(0, extent - size, step), extent - size])
            # Never zero, as the border of an image is that of a single tile.
            ramp = np.minimum(np.arange(size) + 1, size - np.arange(size))
            window = np.multiply.outer(window, ramp / ramp.max())
        inside = [
            (slice(None), *(slice(a, a + size) for a, size in zip(corner, sizes, strict=True)))
            for corner in product(*starts)
        ]
        outputs = self._run_maps(np.stack([image[part] for part in inside]))
        if len(inside) == 1:
            return outputs[0]
        total, weight = np.zeros((outputs.shape[1], *extents)), np.zeros((1, *extents))
        for part, output in zip(inside, outputs, strict=True):
            total[part] += window * output
            weight[part] += window
        return (total / weight).astype(outputs.dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags


class StructuredMapClassifier(MapEstimator, NetworkClassifier):
    """Classifier of every place, with any architecture that gives maps.

    Parameters
    ----------
    architecture : str, Architecture or callable, default="frame_fcn"
        As ``StructuredClassifier`` takes it, but one that gives maps.
    ignored_label : object, default=None
        A label of places that say nothing, neither in training nor in ``score``.

    See Also
    --------
    StructuredMapRegressor : The same for values.
    sklstruct_fcn.architecture.FrameFCN : The default architecture.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredMapClassifier
    >>> X = load_digits().images[:20]
    >>> model = StructuredMapClassifier(max_epochs=1, random_state=0).fit(X, X > 8)
    >>> model.predict(X).shape
    (20, 8, 8)
    """

    architecture: Any = param("frame_fcn", resolve=make_architecture)
    ignored_label: Any = None

    _target: ClassVar[Any] = Maps
    _channels_of_y: ClassVar[bool] = False

    def decision_function(self, X: Any) -> Any:
        """Return the logits at every place.

        Parameters
        ----------
        X : array-like, shape (n, ...), or list of images

        Returns
        -------
        logits : ndarray, shape (n, n_classes, *spatial), or list of ndarray
        """
        return self._map(X, lambda logits: logits)

    def predict_proba(self, X: Any) -> Any:
        """Return the probabilities of the classes at every place.

        Parameters
        ----------
        X : array-like, shape (n, ...), or list of images

        Returns
        -------
        probabilities : ndarray, shape (n, n_classes, *spatial), or list of ndarray
        """
        return self._map(X, lambda logits: softmax(logits, axis=0))

    def predict(self, X: Any) -> Any:
        """Return the label at every place.

        Parameters
        ----------
        X : array-like, shape (n, ...), or list of images

        Returns
        -------
        labels : ndarray, shape (n, *spatial), or list of ndarray
        """
        return self._map(X, lambda logits: self.target_.decode(logits))

    def predict_with_proba(self, X: Any) -> tuple[Any, Any]:
        """Return what ``predict`` and ``predict_proba`` do, for samples that are read once."""
        logits = self.decision_function(X)
        together = np.stack if isinstance(logits, np.ndarray) else list
        labels = [self.target_.decode(one) for one in logits]
        return together(labels), together([softmax(one, axis=0) for one in logits])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the (weighted) share of places whose label is right, but for ignored ones."""
        _, maps, weights, _ = self._read_pairs(X, y, sample_weight, reset=False)
        right, total = 0.0, 0.0
        for wanted, seen, weight in zip(maps, self.predict(X), weights, strict=True):
            weight = weight * known(wanted, self.ignored_label)
            right, total = right + (weight * (wanted == seen)).sum(), total + weight.sum()
        return float(right / total)

    def _of_classes(self, classes: Array) -> Any:
        return Maps(Classes(classes), self.ignored_label)


class StructuredMapRegressor(MapEstimator, NetworkRegressor):
    """Regressor of every place, with any architecture that gives maps.

    Values of y that are not finite say nothing, neither in training nor in ``score``.

    Parameters
    ----------
    architecture : str, Architecture or callable, default="frame_fcn"
        As ``StructuredClassifier`` takes it, but one that gives maps.

    See Also
    --------
    StructuredMapClassifier : The same for labels.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import StructuredMapRegressor
    >>> X = load_digits().images[:20]
    >>> model = StructuredMapRegressor(max_epochs=1, random_state=0).fit(X, X / 16)
    >>> model.predict(X).shape
    (20, 8, 8)
    """

    architecture: Any = param("frame_fcn", resolve=make_architecture)

    _target: ClassVar[Any] = Maps

    def predict(self, X: Any) -> Any:
        """Return the values at every place, in the units of y.

        Parameters
        ----------
        X : array-like, shape (n, ...), or list of images

        Returns
        -------
        values : ndarray, shape (n, *spatial) or (n, n_values, *spatial), or list of ndarray
            Channels come first, also where y had them last.
        """
        return self._map(X, lambda outputs: self.target_.decode(outputs))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination over all places that say something."""
        _, maps, weights, _ = self._read_pairs(X, y, sample_weight, reset=False)
        columns = []
        for wanted, seen, weight in zip(maps, self.predict(X), weights, strict=True):
            says = np.isfinite(wanted).all(axis=0)
            seen = seen if seen.ndim == wanted.ndim else seen[np.newaxis]
            columns.append((wanted[:, says].T, seen[:, says].T, weight[says]))
        wanted, seen, weight = (np.concatenate(part) for part in zip(*columns, strict=True))
        return float(r2_score(wanted, seen, sample_weight=weight))


def per_axis(name: str, value: int | tuple[int, ...], n_axes: int) -> tuple[int, ...]:
    """Return extents along each axis, from one for all or from a tuple."""
    extents = value if isinstance(value, tuple) else (value,) * n_axes
    if len(extents) != n_axes:
        raise ValueError(f"{name} must be a number or one for each of {n_axes} axes, got {value}.")
    return tuple(map(int, extents))
