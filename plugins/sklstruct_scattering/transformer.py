"""Scattering coefficients as features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklstruct.estimators.prediction import run_in_pieces
from sklstruct.estimators.training import limited_threads, resolve_device
from sklstruct.frames.checks import check_integer

from .cache import cached_rows
from .compiled import serves
from .features import MapTransformer
from .inversion import matching_signal
from .meta import path_table
from .scattering import Scattering

SETTING = ("J", "shape", "L", "Q", "max_order", "T", "padding", "average")


@dataclass(kw_only=True, eq=False, repr=False)
class ScatteringTransformer(MapTransformer):
    r"""Wavelet scattering coefficients of signals, images and volumes.

    .. math::
        S_0 x = x \star \phi_J, \quad
        S_1 x = |x \star \psi_{\lambda_1}| \star \phi_J, \quad
        S_2 x = \big| |x \star \psi_{\lambda_1}| \star \psi_{\lambda_2} \big| \star \phi_J

    Nothing is learned.  Features are ordered by channel, path and place.

    Parameters
    ----------
    J : int, default=2
        The average is over about 2^J samples, and kept at every 2^J-th.
    L : int, default=8
        Number of orientations, in two and three dimensions.
    Q : int or tuple of int, default=1
        Wavelets to the octave on a line, of first order and (if two are given) above.
    max_order : int, default=2
        Largest number of wavelets on a path, 0 to 3.
    T : int, default=None
        Scale of the average on a line, in samples; None is 2^J.
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How samples continue beyond their border.
    average : bool, default=True
        If False, the last average is left out, and every path has the resolution of its last
        wavelet.
    {samples}
    cache_size : float, default=256
        Megabytes of coefficients that this process keeps, for all scattering together, so that
        a search over the parameters of a classifier computes those of each sample once; 0
        keeps none.  The smallest size in use wins: what exceeds it is dropped, whoever put it
        there.

    Attributes
    ----------
    layout_ : str
        How samples were read.
    in_shape_ : tuple of int
        Shape of a sample, (channels, *spatial).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import ScatteringTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> transformer = ScatteringTransformer(J=1, L=4, image_shape=(8, 8)).fit(X)
    >>> transformer.transform(X[:5]).shape
    (5, 80)
    >>> transformer.get_feature_names_out()[-1]
    'S1[j=0,theta=3]@(3,3)'

    References
    ----------
    J. Bruna and S. Mallat. Invariant scattering convolution networks. PAMI, 2013.
    """

    J: int = 2
    L: int = 8
    Q: int | tuple[int, int] = 1
    max_order: int = 2
    T: int | None = None
    padding: str = "reflect"
    average: bool = True
    cache_size: float = 256

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MapTransformer._parameter_constraints,
        "cache_size": [Interval(Real, 0, None, closed="left")],
    }

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the coefficients.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        features : ndarray, shape (n, channels * n_paths * prod(out_shape))
            Without averaging, the coefficients of the paths differ in number.
        """
        check_is_fitted(self)
        return self._rows(self._read(X, reset=False))

    def blocks(self, X: Any, size: int) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the coefficients of some samples at a time.

        They are kept if those of all samples fit into the cache together: blocks of many
        samples do not drive out what is kept for a search.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.
        size : int
            Samples at a time.

        Yields
        ------
        rows : slice
            Which samples these are.
        features : ndarray, shape (at most size, n_features)
            What ``transform`` gives for them.
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        for rows in gen_batches(len(X), size):
            yield rows, self._rows(X[rows], n_in_all=len(X))

    def inverse_transform(
        self, X: Any, *, n_steps: int = 100, random_state: Any = None
    ) -> NDArray[Any]:
        r"""Return samples of nearly these coefficients, to see what the coefficients keep.

        White noise is moved downhill on :math:`\|S x - s\|^2`.  Other samples than the original
        may have its coefficients, the more of them the larger J is.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
            Coefficients, as ``transform`` gives them.
        n_steps : int, default=100
            Steps of the descent, for each sample.
        random_state : int, RandomState instance or None, default=None
            Draws the noise.

        Returns
        -------
        samples : ndarray, shape (n, ...)
            In the shape of the samples that ``fit`` had.

        Raises
        ------
        ValueError
            If X has another number of features than ``transform`` gives.
        """
        check_is_fitted(self)
        check_integer("n_steps", n_steps, 1)
        X = check_array(X, dtype=self.dtype, order="C")
        if X.shape[1] != self._width:
            raise ValueError(f"X must have {self._width} features, got {X.shape[1]}.")
        starts = check_random_state(random_state).normal(size=(len(X), *self.in_shape_))
        targets = torch.tensor(X, device=resolve_device(self.device))
        with limited_threads(self.n_threads):
            samples = [
                matching_signal(self._features, target, start, n_steps)
                for target, start in zip(targets, starts, strict=True)
            ]
        return self._as_given(np.array(samples, self.dtype))

    @property
    def scattering_(self) -> Scattering:
        """The torch module; its ``paths`` and ``out_shape`` tell how to fold the features."""
        return self.module_

    def _module(self, shape: tuple[int, ...]) -> Scattering:
        return Scattering(
            self.J,
            shape,
            L=self.L,
            Q=self.Q,
            max_order=self.max_order,
            T=self.T,
            padding=self.padding,
            average=self.average,
        )

    def _maps(self) -> pd.DataFrame:
        return path_table(self.scattering_.paths, len(self.scattering_.shape))

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Extents of the coefficients of every path."""
        return self.scattering_.map_shapes

    @property
    def _width(self) -> int:
        return self.in_shape_[0] * sum(map(prod, self._shapes))

    def _rows(self, X: NDArray[Any], n_in_all: int | None = None) -> NDArray[Any]:
        """Return the features of samples (n, channels, *spatial), some of them kept before."""
        device = resolve_device(self.device)
        setting = [getattr(self.scattering_, name) for name in SETTING]
        return cached_rows(
            partial(self._compute, device),
            X,
            width=self._width,
            setting=(setting, device),
            limit=1e6 * self.cache_size,
            n_in_all=n_in_all,
        )

    def _compute(self, device: str, X: NDArray[Any]) -> NDArray[Any]:
        """Return the features of samples (n, channels, *spatial), each for itself."""
        like = torch.empty(0, dtype=getattr(torch, self.dtype), device=device)
        if self.scattering_.plan is not None and serves(like):
            with limited_threads(self.n_threads), torch.inference_mode():
                return self._features(torch.tensor(X)).numpy()  # no piece needs filling up here
        return run_in_pieces(self._features, X, torch.tensor, device, self.n_threads)

    def _features(self, x: Tensor) -> Tensor:
        maps = self.scattering_(x)
        if isinstance(maps, list):
            maps = torch.cat([each.flatten(2) for each in maps], dim=2)
        return maps.flatten(1)

    def _as_given(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return samples (n, channels, *spatial) in the layout and the shape that ``fit`` had."""
        channel = max(0, self.layout_.find("C"))  # without such an axis there is one channel
        return np.moveaxis(X, 1, 1 + channel).reshape(len(X), *self.sample_shape_)
