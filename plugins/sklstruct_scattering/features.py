"""What all fixed features share: a torch module whose maps become named rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar

import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklstruct.estimators import FeatureTransformer
from sklstruct.params import Params, param

from .checks import COUNT, PADDING, SCALE
from .meta import feature_names, feature_table


class Padded(Params):
    """Base of what continues samples beyond their border.

    Parameters
    ----------
    padding : {"reflect", "symmetric", "periodic", "zero"}, default="reflect"
        How samples continue beyond their border.
    """

    padding: str = param("reflect", PADDING)


class OnWavelets(Params):
    """Base of what stands on wavelets.

    Parameters
    ----------
    J : int, default=2
        The average is over about 2^J samples, and kept at every 2^J-th.
    L : int, default=8
        Number of orientations, in two and three dimensions; in two over half a turn.
    """

    J: Any = param(2, SCALE)
    L: int = param(8, COUNT)


class MapTransformer(Padded, FeatureTransformer):
    """Base of transformers whose features are maps (n, channels, n_maps, *extents) of a module.

    Features are ordered by channel, map and place.  A subclass tells which module it is, whose
    parameters it has, and what its maps are.
    """

    _fewest_features: ClassVar[int] = 2  # there are no waves in a single number
    _kind: ClassVar[Any]
    _prepared: ClassVar[tuple[str, ...]] = ("module_",)

    @abstractmethod
    def _maps(self) -> pd.DataFrame:
        """Return what every map is: a row each, with its name as index."""

    @property
    def meta_(self) -> pd.DataFrame:
        """What every feature is: a row each, with its name as index.

        The columns are the channel; what tells the maps apart; and the place, x, (y, x) or
        (z, y, x).  Of a wavelet these are its scale j (2^j samples), its number theta among
        the orientations (n on a line), the angle of the wave in radians from axis y to axis x,
        its centre frequency xi and the width sigma of its spectrum, in cycles a sample.
        """
        check_is_fitted(self)
        return feature_table(self.in_shape_[0], self._maps(), self._shapes)

    def _prepare(self, in_shape: tuple[int, ...]) -> None:
        # The parameters of the module are those of the transformer, but for the shape.
        params = self.get_params(deep=False)
        named = {name: params[name] for name in signature(self._kind).parameters if name in params}
        self.module_: Any = self._kind(shape=in_shape[1:], **named)

    def _function(self, device: str) -> Callable[[Tensor], Tensor]:
        return lambda x: self.module_(x).flatten(1)

    def _names(self) -> NDArray[Any]:
        return feature_names(self.in_shape_[0], self._maps().index, self._shapes)

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Extents of every map."""
        return [self.module_.out_shape] * len(self._maps())
