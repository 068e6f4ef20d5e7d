"""What all fixed features share: a torch module whose maps become named rows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Tensor, nn

from sklstruct.estimators.prediction import run_in_pieces
from sklstruct.estimators.samples import SampleReader
from sklstruct.estimators.training import resolve_device

from .meta import Features

SAMPLE_PARAMETERS = """image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded.
    layout : str, default=None
        Axes of one sample, see ``sklstruct.estimators.samples``.
    dtype : {"float32", "float64"}, default="float32"
    device : str, default="auto"
    n_threads : int, default=1
        Threads of torch on a CPU; None takes torch's own setting."""


@dataclass(kw_only=True, eq=False, repr=False)
class MapTransformer(TransformerMixin, SampleReader):
    """Base of transformers whose features are maps (n, channels, n_maps, *extents) of a module.

    Features are ordered by channel, map and place.  A subclass tells which module it is and
    what its maps are.
    """

    device: str = "auto"
    n_threads: int | None = 1

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "dtype": [StrOptions({"float32", "float64"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__doc__:  # written once, shown by help() for every transformer
            cls.__doc__ = cls.__doc__.replace("{samples}", SAMPLE_PARAMETERS)

    @abstractmethod
    def _module(self, shape: tuple[int, ...]) -> nn.Module:
        """Return the module for samples of a spatial shape."""

    @abstractmethod
    def _maps(self) -> pd.DataFrame:
        """Return what every map is: a row each, with its name as index."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the filters for the shape of the samples; y is there for pipelines."""
        self._validate_params()
        self.in_shape_ = self._read(X, reset=True, ensure_min_features=2).shape[1:]
        self.module_: Any = self._module(self.in_shape_[1:])
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the features.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        features : ndarray, shape (n, channels * n_maps * prod(extents))
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        device = resolve_device(self.device)
        return run_in_pieces(self._features, X, torch.tensor, device, self.n_threads)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return map and place of every feature, such as ``F[k=(1,2)]@(3,4)``.

        With several channels, ``c0`` and so on comes first.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return self._description.names

    @property
    def meta_(self) -> pd.DataFrame:
        """What every feature is: a row each, with its name as index.

        The columns are the channel; what tells the maps apart; and the place, x, (y, x) or
        (z, y, x).  Of a wavelet these are its scale j (2^j samples), its number theta among
        the orientations (n on a line), the angle of the wave in radians from axis y to axis x,
        its centre frequency xi and the width sigma of its spectrum, in cycles a sample.
        """
        check_is_fitted(self)
        return self._description.table

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Extents of every map."""
        return [self.module_.out_shape] * len(self._maps())

    @property
    def _description(self) -> Features:
        return Features(self.in_shape_[0], self._maps(), self._shapes)

    def _features(self, x: Tensor) -> Tensor:
        return self.module_(x).flatten(1)
