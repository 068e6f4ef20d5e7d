"""A kernel support vector machine on raw pixels, with calibrated probabilities."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.svm import SVC
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from sklstruct.estimators import (
    as_array,
    best_temperature,
    distinct_rows,
    held_out_values,
    watch_scale,
)
from sklstruct.params import all_or_nothing, one_of, param, real
from sklstruct.threads import one_blas_thread
from sklstruct.training import spread

from .duals import Array, Labels
from .pairs import PairwiseSVC, smallest_margins


class PixelSVC(PairwiseSVC):
    r"""Support vector machine with a Gaussian kernel on raw pixels.

    The kernel is :math:`\exp(-\gamma \|x - x'\|^2)` on pixels that are centred each and divided
    by *one* standard deviation common to all: a scale for each pixel would blow up the noise
    of pixels that hardly vary, such as those of the margin.

    The decision value of a class is its smallest margin over any other one,
    :math:`f_i(x) = \min_{j \ne i} m_{ij}(x)` with the margins :math:`m_{ij} = -m_{ji}` of the
    pairwise machines.  The probabilities are :math:`\mathrm{softmax}(f(x) / T)`, where the
    temperature T minimises the log loss of decision values from cross-validation.

    Identical samples of a class count as one with their summed weights.  Mean and scale of the
    pixels are those of all samples, held out or not.

    Parameters
    ----------
    C : float, default=10.0
        Penalty of the margin violations, for a sample of weight 1.
    gamma : "scale" or float, default="scale"
        Inverse squared width of the kernel, in units of the scaled pixels; "scale" is one over
        the number of pixels.

    Attributes
    ----------
    svc_ : SVC
        The machine on the scaled pixels.
    mean_ : ndarray, shape (n_pixels,)
    scale_ : float
        The common standard deviation, 1 where all samples agree.
    n_parameters_ : int
        Number of coefficients of the support vectors, and intercepts.  The support vectors
        themselves are data and not counted.

    See Also
    --------
    VoxelSVC : A linear machine for volumes.
    ScatteringSVC : The same kernel on scattering coefficients.

    References
    ----------
    C. Cortes and V. Vapnik. Support-vector networks. Machine Learning, 1995.

    C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger. On calibration of modern neural networks.
    ICML, 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import PixelSVC
    >>> X, y = load_digits(return_X_y=True)
    >>> model = PixelSVC(random_state=0).fit(X[:200], y[:200])
    >>> model.score(X[200:], y[200:]) > 0.8
    True
    >>> model.predict_proba(X[:3]).shape
    (3, 10)
    """

    C: float = param(10.0, real(above=0))
    gamma: str | float = param("scale", one_of("scale") | real(least=0))

    storable: ClassVar[bool] = False  # libsvm trusts the arrays of a machine with its memory

    @all_or_nothing
    @one_blas_thread()
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the machine, then the temperature of its probabilities.

        Parameters
        ----------
        X : array-like, shape (n_samples, ...)
            Images of any shape; every value is a pixel.
        y : array-like, shape (n_samples,)
            Labels of any type.
        sample_weight : array-like, shape (n_samples,), default=None
            Not negative; samples of weight 0 are left out.

        Returns
        -------
        self : PixelSVC

        Raises
        ------
        ValueError
            If X is not finite, if y has a single class, or if a parameter is not valid.
        """
        self.check_params()
        X, y = validate_data(self, as_array(X), y, allow_nd=True, dtype=np.float64)
        self._image_shape = X.shape[1:]
        X = X.reshape(len(X), -1)
        watch_scale(self, X[:, np.newaxis], reset=True)
        rows, y, weight, self.classes_ = distinct_rows(X, y, sample_weight, self.class_weight)
        X = X[rows]
        # One scale for all pixels, or those of the margin would be as loud as the others.
        self.mean_ = np.average(X, axis=0, weights=weight)
        variance = np.average(((X - self.mean_) ** 2).mean(axis=1), weights=weight)
        self.scale_ = float(spread(np.abs(self.mean_).max(), variance, X.size, X.dtype))
        X = self._scaled(X)
        self.svc_ = self._machine().fit(X, y, sample_weight=weight)

        def decide(train: Labels, test: Labels) -> Array:
            machine = self._machine().fit(X[train], y[train], sample_weight=weight[train])
            return decision_values(machine, X[test])

        self.temperature_ = 1.0
        if (held_out := held_out_values(decide, y, self.random_state)) is not None:
            rows, values = held_out
            self.temperature_ = best_temperature(values, y[rows], weight[rows])[0]
        self.n_parameters_ = self.svc_.dual_coef_.size + self.svc_.intercept_.size
        return self

    @one_blas_thread()
    def _values(self, X: Any) -> Array:
        check_is_fitted(self)
        X = validate_data(self, as_array(X), allow_nd=True, dtype=np.float64, reset=False)
        if X.shape[1:] != self._image_shape:
            raise ValueError(
                f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted on "
                f"shape {self._image_shape}."
            )
        X = X.reshape(len(X), -1)
        watch_scale(self, X[:, np.newaxis], reset=False)
        return decision_values(self.svc_, self._scaled(X))

    def _scaled(self, X: Array) -> Array:
        return (X - self.mean_) / self.scale_

    def _machine(self) -> SVC:
        gamma = "auto" if self.gamma == "scale" else self.gamma  # both 1 / n_pixels at unit scale
        seed = 0  # or it draws one from NumPy's global generator, to no use
        return SVC(C=self.C, gamma=gamma, decision_function_shape="ovo", random_state=seed)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def decision_values(machine: SVC, X: Array) -> Array:
    """Return the smallest margin of every class over any other, shape (n_samples, n_classes)."""
    margins = machine.decision_function(X).reshape(len(X), -1)
    if len(machine.classes_) > 2:
        margins = -margins  # of several classes, scikit-learn gives the margin of the first
    return smallest_margins(margins)
