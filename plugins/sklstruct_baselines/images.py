"""Linear machines on images and volumes: smoothing, scaling, and weights back on the voxels."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklstruct.estimators.samples import SampleReader, channels_first

from .duals import Array
from .linear import LinearMachines, linear_values

SMOOTHINGS = (2.0, 1.0, None)  # to choose from

IMAGE_PARAMETERS = """smoothing : float, "cv" or None, default=1.0
        Deviation of the Gaussian that samples are smoothed with, in voxels; "cv" chooses from
        none, 1 and 2.  Channels are smoothed each, and flat rows not at all.
    standardize : bool, default=True
        Whether voxels are divided by their deviation after smoothing.  Where many hardly vary,
        as in the margin of digits, that blows up their noise.
    class_weight : "balanced", dict or None, default=None
        Factors on the weights of the samples of each class; classes of factor 0 are left out.
    image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded, such as (28, 28) or (52, 64, 56).
    layout : str, default=None
        Axes of one sample, see ``sklstruct.estimators.samples``.
    dtype : {"float32", "float64"}, default="float32"
        Of the voxels; inner products and what follows are in double precision.
    random_state : int, RandomState instance or None, default=None
        Shuffles the folds; nothing else is random."""

IMAGE_ATTRIBUTES = """classes_ : ndarray, shape (n_classes,)
    layout_ : str
        How samples were read.
    coef_ : ndarray, shape (n_pairs, *sample shape)
        What each voxel of a sample as it is, not smoothed, adds to the margin of the second
        class of a pair over the first; for the pairs (0, 1), (0, 2) ... (1, 2) ...  Zero where
        all samples had the same value.
    intercept_ : ndarray, shape (n_pairs,)
    C_ : float
    smoothing_ : float or None
        As chosen, or given.
    temperature_ : float
        1 where less than two classes have several distinct samples to hold out.
    n_parameters_ : int
        Number of voxels that vary, and one, for each pair."""


@dataclass(kw_only=True, eq=False, repr=False)
class ImageSVC(LinearMachines, SampleReader):
    """Base of linear machines on the voxels of images and volumes."""

    C: float | None = None
    smoothing: float | str | None = 1.0
    standardize: bool = True
    class_weight: dict[Any, float] | str | None = None
    random_state: int | np.random.RandomState | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "C": [Interval(Real, 0, None, closed="neither"), None],
        "smoothing": [Interval(Real, 0, None, closed="neither"), StrOptions({"cv"}), None],
        "standardize": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "dtype": [StrOptions({"float32", "float64"})],
        "random_state": ["random_state"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__:  # written once, shown by help() for every machine
            doc = cls.__doc__.replace("{image_parameters}", IMAGE_PARAMETERS)
            cls.__doc__ = doc.replace("{image_attributes}", IMAGE_ATTRIBUTES)

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Choose the setting on samples held out, then fit the machine on all.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Images, volumes or rows, see ``sklstruct.estimators.samples``.  Beside X there are
            two more copies of it for a while.
        y : array-like, shape (n,)
            Labels of any type.
        sample_weight : array-like, shape (n,), default=None
            Not negative; samples of weight 0 are left out.
        groups : array-like, shape (n,), default=None
            Subjects, whose samples are held out together.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data cannot be used; the message says which and why.
        """
        self._validate_params()
        X, y = self._read(X, y, reset=True)
        check_classification_targets(y)
        deviations = SMOOTHINGS if self.smoothing == "cv" else (self.smoothing,)
        if self.layout_ == "L":
            deviations = (None,)  # numbers in a row are no neighbours
        seen = self._learn(X, y, sample_weight, groups, deviations, self.standardize)
        self.smoothing_ = seen.deviation
        self.coef_ = self._like_samples(self.coef_)
        return self

    def _values(self, X: Any) -> Array:
        check_is_fitted(self)
        X = self._read(X, reset=False)
        shape = self.sample_shape_ if self.image_shape is None else self.image_shape
        coef = channels_first(self.coef_.reshape(-1, *shape), self.layout_)
        return linear_values(X, coef, self.intercept_)

    def _like_samples(self, maps: Array) -> Array:
        """Return maps (n, channels, *spatial) in the shape of samples."""
        at = self.layout_.find("C")
        maps = maps[:, 0] if at < 0 else np.moveaxis(maps, 1, 1 + at)
        return maps.reshape(len(maps), *self.sample_shape_)
