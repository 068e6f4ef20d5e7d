"""Roto-translation scattering coefficients as features."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from sklstruct.params import FLAG, integer, param

from .features import MapTransformer, OnWavelets
from .roto import ORDERS, RotoPath, RotoTranslationScattering

COLUMNS = ("order", "j1", "j2", "beta", "k", "theta")


class RotoTranslationTransformer(OnWavelets, MapTransformer):
    r"""Scattering coefficients of images, jointly over positions and angles.

    .. math::
        S_2 x(u) = \frac{1}{2L} \sum_\theta
        \big| V x(u, \cdot) \star \bar\psi_k(\theta) \big| \star \phi_J(u), \qquad
        V x(u, \theta) = |x \star \psi_{j_1,\theta}| \star \psi_{j_2,\theta+\beta}(u)

    They hardly change where a pattern is turned on the spot, and still tell how the directions
    in it are related.  Nothing is learned.  Features are ordered by channel, path and place.

    Parameters
    ----------
    K : int, default=None
        Number of scales along the angles, next to a low-pass filter; None is the largest with
        2^K up to L.
    max_order : int, default=2
        Largest number of wavelets on a path, 0 to 2.
    angle_average : bool, default=True
        If False, the coefficients of every angle are kept; a rotation permutes them.

    Attributes
    ----------
    module_ : RotoTranslationScattering
        The torch module; its ``paths`` and ``out_shape`` tell how to fold the features.

    See Also
    --------
    ScatteringTransformer : Angles each for itself.
    RotoTranslationScattering : The torch module.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklstruct import RotoTranslationTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> transformer = RotoTranslationTransformer(L=4, image_shape=(8, 8)).fit(X)
    >>> transformer.transform(X[:5]).shape
    (5, 60)
    >>> transformer.get_feature_names_out()[-1]
    'R2[j=0,1,beta=3,k=2]@(1,1)'

    References
    ----------
    E. Oyallon and S. Mallat. Deep roto-translation scattering for object classification. CVPR,
    2015.
    """

    K: int | None = param(None, integer(0) | None)
    max_order: int = param(2, ORDERS)
    angle_average: bool = param(True, FLAG)

    _kind: ClassVar[Any] = RotoTranslationScattering

    def _maps(self) -> pd.DataFrame:
        paths = self.module_.paths
        rows = [(p.order, *p.j, *[None] * (2 - p.order), p.beta, p.k, p.theta) for p in paths]
        names = pd.Index([path_name(path) for path in paths])
        return pd.DataFrame(rows, columns=COLUMNS, index=names).astype("Int64")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = self.image_shape is not None  # rows alone are no images
        return tags


def path_name(path: RotoPath) -> str:
    """Return a name such as ``R2[j=0,1,beta=3,k=2]``."""
    if path.order == 0:
        return "R0"
    told = {"beta": path.beta, "k": path.k, "theta": path.theta}
    details = [f",{name}={value}" for name, value in told.items() if value is not None]
    return f"R{path.order}[j={','.join(map(str, path.j))}{''.join(details)}]"
