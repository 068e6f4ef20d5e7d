"""Fixed frame responses as features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import prod
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Tensor

from .. import plugins
from ..layers import FrameConv
from .named import NamedParameters
from .prediction import run_in_pieces
from .samples import SampleReader
from .training import resolve_device, seeded_initialisation

POOL = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
NONLINEARITIES = {"abs": torch.abs, "square": torch.square, "none": lambda responses: responses}


@dataclass(kw_only=True, eq=False, repr=False)
class FrameTransformer(TransformerMixin, NamedParameters, SampleReader):
    r"""Responses to the atoms of a frame, made positive and averaged over cells.

    .. math::
        \Phi_{ckp}(f) = \mathrm{mean}_{x \in \text{cell } p} \, | (\psi_k \star f_c)(x) |

    Nothing is learned.

    Parameters
    ----------
    frame : str or frame family, default="gaussian"
    nonlinearity : {"abs", "square", "none"}, default="abs"
    pool : int, default=4
        Number of cells along every axis, at most the extent; None keeps every sample point.
    image_shape : tuple of int, default=None
        Shape into which flat rows of X are folded.
    layout : str, default=None
        Axes of one sample, see ``sklstruct.estimators.samples``.
    dtype : {"float32", "float64"}, default="float32"
    device : str, default="auto"
    n_threads : int, default=1
        Threads of torch on a CPU; None takes torch's own setting.

    Attributes
    ----------
    layout_ : str
        How samples were read.
    in_shape_ : tuple of int
        Shape of a sample, (channels, *spatial).
    frame_ : Frame

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import FrameTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> FrameTransformer(image_shape=(8, 8)).fit_transform(X[:5]).shape
    (5, 160)
    """

    frame: Any = "gaussian"
    nonlinearity: str = "abs"
    pool: int | None = 4
    device: str = "auto"
    n_threads: int | None = 1

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "nonlinearity": [StrOptions(set(NONLINEARITIES))],
        "pool": [Interval(Integral, 1, None, closed="left"), None],
        "dtype": [StrOptions({"float32", "float64"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def fit(self, X: Any, y: Any = None) -> Self:
        """Build the frame for the shape of the samples; y is there for pipelines."""
        self._validate_params()
        self.in_shape_ = self._read(X, reset=True).shape[1:]
        self.frame_ = plugins.make_frame(self.frame).build(len(self.in_shape_) - 1)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the features.

        Parameters
        ----------
        X : array-like, shape (n, ...)
            Samples of the shape that ``fit`` had.

        Returns
        -------
        features : ndarray, shape (n, channels * n_atoms * n_cells)
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        device = resolve_device(self.device)
        layer = self._layer().to(device)
        features = partial(self._features, layer)
        return run_in_pieces(features, X, torch.tensor, device, self.n_threads)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return a name such as ``c0 g_xy (1,3)`` for channel, atom and cell of every feature."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        names = [
            f"c{channel} {label} ({','.join(map(str, cell))})"
            for channel in range(self.in_shape_[0])
            for label in self.frame_.labels
            for cell in np.ndindex(*self._cells())
        ]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "frame_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags

    def _cells(self) -> tuple[int, ...]:
        return tuple(min(self.pool or extent, extent) for extent in self.in_shape_[1:])

    def _layer(self) -> FrameConv:
        """Return a frame layer that gives out the response to every atom."""
        with seeded_initialisation(0):  # which draws weights that are not used
            layer = FrameConv(1, len(self.frame_), self.frame_, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.diag(layer.norms)[:, None])
        return layer.to(getattr(torch, self.dtype)).eval()

    def _features(self, layer: FrameConv, x: Tensor) -> Tensor:
        responses = layer(x.flatten(0, 1)[:, None])
        positive = NONLINEARITIES[self.nonlinearity](responses)
        pool: Any = POOL[len(self._cells())]
        pooled = pool(positive, self._cells())
        return pooled.reshape(len(x), prod(pooled.shape[1:]) * x.shape[1])
