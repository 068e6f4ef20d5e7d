"""Scattering coefficients as features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils import check_array, check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklstruct.estimators import TorchReader, like_samples
from sklstruct.params import FLAG, check, param, real
from sklstruct.training import limited_threads, resolve_device

from .cache import cached_rows
from .checks import COUNT, OCTAVES, ORDERS
from .compiled import serves
from .features import MapTransformer, OnWavelets, Padded
from .inversion import matching_signal
from .meta import path_table
from .scattering import Scattering

SETTING = ("J", "shape", "L", "Q", "max_order", "T", "padding", "average")


class OnScattering(OnWavelets, Padded, TorchReader):
    """Base of what stands on scattering.

    Parameters
    ----------
    Q : int or tuple of int, default=1
        Wavelets to the octave on a line, of first order and (if two are given) above.
    max_order : int, default=2
        Largest number of wavelets on a path, 0 to 3.
    T : int, default=None
        Scale of the average on a line, in samples; None is 2^J.
    cache_size : float, default=256
        Megabytes of coefficients that this process keeps, so that a search over the parameters
        of a classifier computes those of each sample once; 0 keeps none.  What is kept is common
        to all scattering, and the smallest size in use wins: what exceeds it is dropped, whoever
        put it there.
    """

    Q: int | tuple[int, int] = param(1, OCTAVES)
    max_order: int = param(2, ORDERS)
    T: int | None = param(None, COUNT | None)
    cache_size: float = param(256, real(least=0))


class ScatteringTransformer(OnScattering, MapTransformer):
    r"""Wavelet scattering coefficients of signals, images and volumes.

    .. math::
        S_0 x = x \star \phi_J, \quad
        S_1 x = |x \star \psi_{\lambda_1}| \star \phi_J, \quad
        S_2 x = \big| |x \star \psi_{\lambda_1}| \star \psi_{\lambda_2} \big| \star \phi_J

    Nothing is learned.  Features are ordered by channel, path and place.

    Parameters
    ----------
    average : bool, default=True
        If False, the last average is left out, and every path has the resolution of its last
        wavelet: paths differ in their number of features.

    Attributes
    ----------
    module_ : Scattering
        The torch module; its ``paths`` and ``out_shape`` tell how to fold the features.

    See Also
    --------
    Scattering : The torch module.
    ScatteringSVC, ScatteringLinear : Classifiers on these features.
    RotoTranslationTransformer : Angles along with positions.

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

    average: bool = param(True, FLAG)

    _kind: ClassVar[Any] = Scattering

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
            yield rows, self._compute(X[rows], n_in_all=len(X))

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
        check("n_steps", n_steps, COUNT)
        X = check_array(X, dtype=self.dtype, order="C")
        if X.shape[1] != self._width:
            raise ValueError(f"X must have {self._width} features, got {X.shape[1]}.")
        # Drawn for all at once, so that no sample's start depends on how others fared.
        starts = check_random_state(random_state).normal(size=(len(X), *self.in_shape_))
        device = resolve_device(self.device)
        with limited_threads(self.n_threads):
            samples = [
                matching_signal(self._function(device), target, start, n_steps)
                for target, start in zip(torch.tensor(X, device=device), starts, strict=True)
            ]
        return like_samples(np.array(samples, self.dtype), self.layout_, self.sample_shape_)

    def _maps(self) -> pd.DataFrame:
        return path_table(self.module_.paths, len(self.module_.shape))

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        return self.module_.map_shapes

    @property
    def _width(self) -> int:
        """Number of features."""
        return self.in_shape_[0] * sum(map(prod, self._shapes))

    def _compute(self, X: NDArray[Any], n_in_all: int | None = None) -> NDArray[Any]:
        """Return the features of samples (n, channels, *spatial), some of them kept before."""
        of_module = [getattr(self.module_, name) for name in SETTING]
        setting = of_module, resolve_device(self.device)  # devices round differently
        limit = 1e6 * self.cache_size
        return cached_rows(self._compute_anew, X, self._width, setting, limit, n_in_all)

    def _compute_anew(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the features of samples (n, channels, *spatial), each for itself."""
        device = resolve_device(self.device)
        like = torch.empty(0, dtype=getattr(torch, self.dtype), device=device)
        if self.module_.plan is None or not serves(like):
            return super()._compute(X)
        with limited_threads(self.n_threads), torch.inference_mode():
            # The kernel computes each signal alike in any company: no piece needs filling up.
            return self._function(device)(torch.tensor(X)).numpy()

    def _function(self, device: str) -> Callable[[Tensor], Tensor]:
        def features(x: Tensor) -> Tensor:
            maps = self.module_(x)
            if isinstance(maps, list):  # without average every path has a resolution of its own
                maps = torch.cat([each.flatten(2) for each in maps], dim=2)
            return maps.flatten(1)

        return features
