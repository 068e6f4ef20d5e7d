"""Linear models on images and volumes: smoothing, scaling, and weights back on the voxels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklstruct.estimators import SampleReader, channels_first, like_samples
from sklstruct.params import FLAG, all_or_nothing, one_of, param, real
from sklstruct.threads import one_blas_thread

from .duals import Array
from .linear import LinearModel

SMOOTHINGS = (2.0, 1.0, None)  # to choose from


class ImageModel(LinearModel, SampleReader):
    """Base of linear models on the voxels of images and volumes.

    Voxels are smoothed, centred and divided by their deviation over the training samples.
    Everything is done on the inner products of the samples, so that hundreds of volumes of any
    size are a matter of seconds; for more than some thousand samples, that matrix becomes large.

    Parameters
    ----------
    smoothing : float, "cv" or None, default=1.0
        Deviation of the Gaussian that samples are smoothed with, in voxels; "cv" chooses from
        none, 1 and 2.  Channels are smoothed each, and flat rows not at all.
    standardize : bool, default=True
        Whether voxels are divided by their deviation after smoothing.  Where many hardly vary,
        as in the margin of digits, that blows up their noise.
    dtype : {"float32", "float64"}, default="float32"
        Of the voxels; inner products and what follows are in double precision.

    Attributes
    ----------
    smoothing_ : float or None
        As chosen, or given.
    """

    smoothing: float | str | None = param(1.0, real(above=0) | one_of("cv") | None)
    standardize: bool = param(True, FLAG)

    @all_or_nothing
    @one_blas_thread()
    def fit(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Self:
        """Choose the setting on samples held out, then fit the model on all.

        Identical samples of the same target count as one with their summed weights.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Images, volumes or rows, see ``sklstruct.estimators.samples``.  Beside X there are
            two more copies of it for a while.  Lazy samples are read one by one into an array
            of ``dtype``, as all are needed at once.
        y : array-like, shape (n,)
            Labels of any type, or numbers for a regressor.
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
        self.check_params()
        X, y = self._read(X, y, reset=True, lazily=True)
        X = X if isinstance(X, np.ndarray) else X[:]  # all meet each other in inner products
        deviations = SMOOTHINGS if self.smoothing == "cv" else (self.smoothing,)
        if self.layout_ == "L":
            deviations = (None,)  # numbers in a row are no neighbours
        seen = self._learn(X, y, sample_weight, groups, deviations, self.standardize)
        self.smoothing_ = seen.deviation
        self.coef_ = like_samples(self.coef_, self.layout_, self.sample_shape_)
        return self

    @one_blas_thread()
    def _of_samples(self, X: Any) -> Array:
        """Return the outputs, (n, n_outputs); what is lazy is read some samples at a time."""
        check_is_fitted(self)
        X = self._read(X, reset=False, lazily=True)
        # Weights have the shape of samples as they are given, and are read as these are.
        shape = self.sample_shape_ if self.image_shape is None else self.image_shape
        coef = channels_first(self.coef_.reshape(-1, *shape), self.layout_)
        return self._outputs(X, coef)
