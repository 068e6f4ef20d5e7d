"""The features that a layer of a fitted network computes, the scikit-learn way."""

from __future__ import annotations

from dataclasses import dataclass
from threading import get_ident
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Tensor, nn

from .rows import Rows
from .samples import SampleReader


@dataclass(kw_only=True, eq=False, repr=False)
class LayerFeatures(TransformerMixin, SampleReader):
    """Give an estimator that holds a net ``transform`` and the names of the features."""

    feature_layer: str | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {"feature_layer": [str, None]}

    def transform(self: Any, X: Any) -> NDArray[Any]:
        """Return the features of a layer, see ``feature_layer``.

        Parameters
        ----------
        X : array-like, shape (n, ...)

        Returns
        -------
        features : ndarray, shape (n, n_features_out)
        """
        check_is_fitted(self)
        features = self._features(self._read_rows(X, reset=False))
        return features.reshape(len(features), -1)

    def get_feature_names_out(self: Any, input_features: Any = None) -> NDArray[Any]:
        """Return a name such as ``stages.2[5,0,3]`` for every feature of ``transform``."""
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        shape = self._features(np.zeros((1, *self.in_shape_), self.dtype)).shape[1:]
        layer = self.feature_layer or "features"
        places = (",".join(map(str, index)) for index in np.ndindex(shape))
        return np.array([f"{layer}[{place}]" for place in places], dtype=object)

    def _features(self: Any, X: NDArray[Any] | Rows) -> NDArray[Any]:
        """Return what passes the feature layer, in the shape it has there."""
        module = self.net_.module_
        seen: dict[int, Tensor] = {}  # by thread: others may run the same network

        def before(layer: nn.Module, args: Any) -> None:
            seen[get_ident()] = args[0]

        def after(layer: nn.Module, args: Any, output: Tensor) -> None:
            seen[get_ident()] = output

        if self.feature_layer is None:
            handle = last_linear(module).register_forward_pre_hook(before)
        else:
            handle = named_layer(module, self.feature_layer).register_forward_hook(after)
        try:
            return self._run(X, lambda x: (module(x), seen.pop(get_ident()))[1])
        finally:
            handle.remove()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [self.dtype]
        return tags


def last_linear(module: nn.Module) -> nn.Module:
    """Return the last linear layer, or raise ValueError where there is none."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("The network has no linear layer: name a layer with feature_layer.")
    return layers[-1]


def named_layer(module: nn.Module, name: str) -> nn.Module:
    """Return the layer of that name, or raise ValueError with the names that there are."""
    layers = dict(module.named_modules())
    if not name or name not in layers:
        known = ", ".join(filter(None, layers))
        raise ValueError(f"feature_layer={name!r} is no layer of the network: {known}.")
    return layers[name]
